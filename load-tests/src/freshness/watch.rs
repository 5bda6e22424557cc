//! Those who wait for rows: a consumer of the topic, and readers who look again and again at the lake, the catalog and Snowflake.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use broker::{Broker as _, Polled, Start, TopicPartition};
use futures::TryStreamExt as _;
use iceberg_tables::{Catalog, Place, Progress, SqlCatalog, TableName};
use object_store::ObjectStore;
use object_store::path::Path;
use reqwest::Url;
use sinks::S3Options;
use sinks::parquet::layout::FileName;
use testbed::Testbed;
use tokio::task::JoinHandle;
use warehouse::snowflake::{Account, Connection, KeyPair, Retries, Session, Sql, Tokens};

use crate::kafka::Kafka;
use crate::stack::{PATIENCE, lake_url};

/// Its only partition has what is watched.
const TOPIC: &str = "bank.public.transactions";
const TABLE: &str = "bronze.transactions";
/// Between two looks of a reader; the emulator of Snowflake has other work beside.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_AT_SNOWFLAKE: Duration = Duration::from_millis(500);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// When rows were seen first, by their ids.
pub type Times = HashMap<i64, Instant>;

/// Offsets that were seen for the first time, from and up to these, both included.
type Ranges = BTreeMap<i64, (i64, Instant)>;

/// The file of the Iceberg tables' catalog.
pub fn catalog(bed: &Testbed) -> PathBuf {
    bed.folder().join("iceberg.db")
}

/// What is still to be waited for.
struct Goal {
    /// The consumer's work is done.
    is_read: AtomicBool,
    /// The others' is done when they have seen this offset.
    offset: AtomicI64,
}

/// All of them at work.
pub struct Watch {
    goal: Arc<Goal>,
    records: Arc<parking_lot::Mutex<HashMap<i64, (i64, Instant)>>>,
    topic: JoinHandle<anyhow::Result<()>>,
    lake: JoinHandle<anyhow::Result<Ranges>>,
    iceberg: JoinHandle<anyhow::Result<Ranges>>,
    snowflake: Option<JoinHandle<anyhow::Result<Ranges>>>,
}

impl Watch {
    /// Begins to watch the table of transactions, in Snowflake only if it is there.
    pub fn start(bed: &Testbed, with_snowflake: bool) -> anyhow::Result<Self> {
        let goal = Arc::new(Goal {
            is_read: AtomicBool::new(false),
            offset: AtomicI64::new(i64::MAX),
        });
        let records = Arc::new(parking_lot::Mutex::new(HashMap::new()));
        let kafka = Kafka::at(bed.kafka().bootstrap());
        let (store, file) = (store(bed)?, catalog(bed));
        let sql = with_snowflake.then(|| sql(bed)).transpose()?;
        let (lake, read) = (store.clone(), records.clone());
        let goals = [(); 4].map(|()| goal.clone());
        let [of_topic, of_lake, of_iceberg, of_snowflake] = goals;
        Ok(Self {
            goal,
            records,
            topic: tokio::task::spawn_blocking(move || {
                consume(&kafka, &of_topic, |id, offset| {
                    read.lock().entry(id).or_insert((offset, Instant::now()));
                })
            }),
            lake: tokio::spawn(async move { list(lake.as_ref(), &of_lake).await }),
            iceberg: tokio::spawn(async move { load(&file, store, &of_iceberg).await }),
            snowflake: sql.map(|sql| tokio::spawn(async move { select(&sql, &of_snowflake).await })),
        })
    }

    /// The last offset of these rows, once the consumer has seen them all.
    fn last(&self, ids: &[i64]) -> Option<i64> {
        let records = self.records.lock();
        let offsets: Option<Vec<i64>> = ids.iter().map(|id| Some(records.get(id)?.0)).collect();
        offsets?.into_iter().max()
    }

    /// Waits until these rows have arrived everywhere, and returns when each place showed each of them.
    pub async fn finish(self, ids: &[i64]) -> anyhow::Result<Vec<(&'static str, Times)>> {
        let started = Instant::now();
        let last = loop {
            if let Some(last) = self.last(ids) {
                break last;
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "not all rows came to {TOPIC} within {PATIENCE:?}"
            );
            tokio::time::sleep(LOOK).await;
        };
        self.goal.is_read.store(true, Ordering::Relaxed);
        self.goal.offset.store(last, Ordering::Relaxed);
        self.topic.await??;
        let mut places = vec![
            ("lake", arrived("lake", self.lake).await?),
            ("iceberg", arrived("iceberg", self.iceberg).await?),
        ];
        if let Some(snowflake) = self.snowflake {
            places.push(("snowflake_emulated", arrived("snowflake", snowflake).await?));
        }
        let records = self.records.lock();
        let of_topic = records.iter().map(|(id, (_, at))| (*id, *at)).collect();
        let times = |ranges: &Ranges| {
            let found = records.iter().filter_map(|(id, (offset, _))| {
                let (_, (end, at)) = ranges.range(..=*offset).next_back()?;
                (end >= offset).then_some((*id, *at))
            });
            found.collect::<Times>()
        };
        let of_readers = places.iter().map(|(place, ranges)| (*place, times(ranges)));
        Ok(std::iter::once(("topic", of_topic)).chain(of_readers).collect())
    }
}

/// What a reader has seen, once it has seen everything.
async fn arrived(place: &str, reader: JoinHandle<anyhow::Result<Ranges>>) -> anyhow::Result<Ranges> {
    tokio::time::timeout(PATIENCE, reader)
        .await
        .with_context(|| format!("{place}: not all rows were seen within {PATIENCE:?}"))??
}

/// Reads the topic as it comes.
fn consume(kafka: &Kafka, goal: &Goal, mut found: impl FnMut(i64, i64)) -> anyhow::Result<()> {
    let mut reader = kafka.broker().reader("freshness")?;
    reader.assign(&TopicPartition::new(TOPIC, 0), Start::Earliest)?;
    let mut polled = Polled::default();
    while !goal.is_read.load(Ordering::Relaxed) {
        reader.poll(1_000, LOOK, &mut polled)?;
        for message in polled.messages.drain(..) {
            let key = message.key.context("a change event has a key")?;
            let id: [u8; 8] = key.as_ref().try_into().context("a key is an id")?;
            found(i64::from_be_bytes(id), message.offset);
        }
        polled.ends.clear();
    }
    Ok(())
}

/// Lists the table's files.
async fn list(store: &dyn ObjectStore, goal: &Goal) -> anyhow::Result<Ranges> {
    let (folder, mut seen) = (Path::from(TABLE), Ranges::new());
    while !has(&seen, goal) {
        let objects: Vec<_> = store.list(Some(&folder)).try_collect().await?;
        let now = Instant::now();
        for file in objects.iter().filter_map(|object| FileName::parse(&object.location)) {
            seen.entry(file.start).or_insert((file.end, now));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(seen)
}

/// Loads the table from the catalog, as a reader does.
async fn load(file: &std::path::Path, store: Arc<dyn ObjectStore>, goal: &Goal) -> anyhow::Result<Ranges> {
    let catalog = SqlCatalog::sqlite(file, "riverbank", store, Place::new(&lake_url())).await?;
    let (name, mut seen, mut next) = (TableName::of(TABLE, None), Ranges::new(), 0);
    while !has(&seen, goal) {
        if let Some(loaded) = catalog.load(&name).await?
            && let Some(at) = Progress::read(&loaded.metadata)?.0.get(&0)
            && at.next > next
        {
            seen.insert(next, (at.next - 1, Instant::now()));
            next = at.next;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(seen)
}

/// Asks Snowflake for rows that it did not have before.
async fn select(sql: &Sql, goal: &Goal) -> anyhow::Result<Ranges> {
    let (mut seen, mut next) = (Ranges::new(), 0);
    while !has(&seen, goal) {
        let query = format!("SELECT _OFFSET FROM RIVERBANK.RAW.BRONZE_TRANSACTIONS WHERE _OFFSET >= {next}");
        let rows = sql.run(&query, &[]).await?;
        let now = Instant::now();
        for offset in rows.column("_OFFSET").context("a column")?.into_iter().flatten() {
            let offset: i64 = offset.parse()?;
            seen.entry(offset).or_insert((offset, now));
        }
        // Files may be loaded in any order.
        while seen.contains_key(&next) {
            next += 1;
        }
        tokio::time::sleep(LOOK_AT_SNOWFLAKE).await;
    }
    Ok(seen)
}

/// Whether everything up to the last offset that counts was seen.
fn has(seen: &Ranges, goal: &Goal) -> bool {
    let last = goal.offset.load(Ordering::Relaxed);
    let mut next = 0;
    if seen.last_key_value().is_none_or(|(_, (end, _))| *end < last) {
        return false;
    }
    seen.iter().all(|(start, (end, _))| {
        let follows = *start == next;
        next = end + 1;
        follows
    })
}

fn store(bed: &Testbed) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let minio = bed.minio();
    let s3 = S3Options {
        endpoint: Some(minio.endpoint().to_owned()),
        access_key: Some(minio.access_key().to_owned()),
        secret_key: Some(minio.secret_key().to_owned()),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
    };
    Ok(sinks::open(&lake_url(), &s3)?)
}

fn sql(bed: &Testbed) -> anyhow::Result<Sql> {
    let snowflake = bed.snowflake();
    let pem = std::fs::read_to_string(snowflake.private_key())?;
    let (Ok(account), Ok(key)) = (Account::parse(snowflake.account()), KeyPair::from_pem(&pem, None)) else {
        bail!("the emulator's account or key cannot be used");
    };
    let tokens = Tokens::new(&account, snowflake.user(), key);
    let connection = Connection::new(Url::parse(snowflake.url())?, tokens, Retries::default())?;
    Ok(Sql::new(Arc::new(connection), Session::default(), STATEMENT_TIMEOUT))
}

//! What the sink's tests share: a table of plain records, a log that is filled in transactions, and the proof at the end.
#![allow(dead_code, unused_imports)]

pub mod debezium;
pub mod worn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use broker::{Broker, CleanupPolicy, InProcessBroker, Membership, Message, Outgoing, TopicId, TopicPartition, TopicSpec};
use object_store::ObjectStore;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::columns::{self, Column, Kind};
use sinks::lake::{self, Depth};
use sinks::{Go, Origin, Probe, RetrySettings, Row, RowError, Rows, SinkHandle, SinkRunner, SinkSettings, Step, Table};
use wire::{MemoryRegistry, Registry};

pub use testkit::object_store::{Fault, FaultyStore};

pub const PARTITIONS: u32 = 3;
pub const BOUND: Duration = Duration::from_secs(120);

/// A table of texts.
pub struct Plain {
    pub name: &'static str,
    pub compacted: bool,
    /// The version of its shape.
    pub version: u32,
    /// While set, no record can be read, as if the registry were away.
    pub away: Arc<Mutex<bool>>,
}

impl Plain {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            compacted: false,
            version: 1,
            away: Arc::default(),
        }
    }
}

const COLUMNS: &[Column] = &[
    Column::nullable("key", Kind::Text, "The record's key."),
    Column::nullable("value", Kind::Text, "Its value."),
    Column::required("_offset", Kind::Int64, "Its offset."),
];

impl Table for Plain {
    fn name(&self) -> &str {
        self.name
    }
    fn description(&self) -> &str {
        "Texts."
    }
    fn topic(&self) -> &str {
        self.name
    }
    fn is_compacted(&self) -> bool {
        self.compacted
    }
    fn schema_version(&self) -> u32 {
        self.version
    }
    fn columns(&self) -> &[Column] {
        COLUMNS
    }
    fn key_columns(&self) -> &[&str] {
        if self.compacted { &["key"] } else { &[] }
    }
    fn rows(&self, _: Arc<dyn Registry>) -> Box<dyn Rows> {
        Box::new(PlainRows {
            away: self.away.clone(),
            ..PlainRows::default()
        })
    }
}

#[derive(Default)]
struct PlainRows {
    away: Arc<Mutex<bool>>,
    keys: StringBuilder,
    values: StringBuilder,
    offsets: Int64Builder,
    len: usize,
}

impl Rows for PlainRows {
    fn push(&mut self, _: Origin<'_>, record: &Message) -> Result<Row, RowError> {
        if *self.away.lock() {
            return Err(RowError::Unavailable("the registry is away".into()));
        }
        let text = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        self.keys.append_option(text(&record.key));
        self.values.append_option(text(&record.value));
        self.offsets.append_value(record.offset);
        self.len += 1;
        Ok(Row::Whole)
    }
    fn schema(&self) -> SchemaRef {
        columns::schema(COLUMNS)
    }
    fn len(&self) -> usize {
        self.len
    }
    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.len = 0;
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(self.keys.finish()),
            Arc::new(self.values.finish()),
            Arc::new(self.offsets.finish()),
        ];
        RecordBatch::try_new(columns::schema(COLUMNS), columns)
    }
}

/// A log, a store, and sinks between them.
pub struct Bench {
    pub broker: InProcessBroker,
    pub store: Arc<FaultyStore>,
    pub tables: Vec<Arc<Plain>>,
    pub settings: SinkSettings,
    pub metrics: prometheus::Registry,
    /// From one record's timestamp to the next.
    pub apart_ms: i64,
    /// What the log says of its topics' ids, if not their own.
    pub worn: Option<Option<TopicId>>,
    runtime: tokio::runtime::Runtime,
}

/// Settings for a sink that finishes its files quickly.
pub fn hasty() -> SinkSettings {
    SinkSettings {
        group: "sinks".into(),
        client_id: "sink".into(),
        rows_max: 40,
        age_max: Duration::from_millis(60),
        put_timeout: Duration::from_millis(150),
        retry: RetrySettings {
            quick_attempts: 2,
            quick_wait: Duration::from_millis(5),
            slow_wait: Duration::from_millis(40),
        },
        session_timeout: Duration::from_secs(20),
        stop_timeout: Duration::from_secs(20),
        ..SinkSettings::default()
    }
}

impl Bench {
    pub fn new(tables: Vec<Plain>, seed: u64) -> Self {
        let broker = InProcessBroker::default();
        let spec = |table: &Plain| TopicSpec {
            name: table.name.to_owned(),
            partitions: PARTITIONS,
            accept_existing: false,
            cleanup: if table.compacted {
                CleanupPolicy::Compact
            } else {
                CleanupPolicy::Delete(None)
            },
            settings: broker::TopicSettings::default(),
        };
        let specs: Vec<_> = tables.iter().map(spec).collect();
        broker.ensure_topics(&specs, BOUND).unwrap();
        Self {
            broker,
            store: Arc::new(FaultyStore::new(seed)),
            tables: tables.into_iter().map(Arc::new).collect(),
            settings: hasty(),
            metrics: prometheus::Registry::new(),
            apart_ms: 6_000,
            worn: None,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    pub fn one(seed: u64) -> Self {
        Self::new(vec![Plain::new("records")], seed)
    }

    /// The log, as the sinks see it.
    pub fn log(&self) -> Arc<dyn Broker> {
        let inner = self.broker.clone();
        match self.worn {
            None => Arc::new(inner),
            Some(id) => Arc::new(worn::Worn { inner, id }),
        }
    }

    pub fn sink(&self, client: &str) -> SinkRunner {
        self.sink_on(self.store.clone(), client)
    }

    pub fn sink_on(&self, store: Arc<dyn ObjectStore>, client: &str) -> SinkRunner {
        let settings = SinkSettings {
            client_id: client.to_owned(),
            ..self.settings.clone()
        };
        let tables = self.tables.iter().map(|table| table.clone() as Arc<dyn Table>).collect();
        SinkRunner::new(settings, self.log(), Arc::new(MemoryRegistry::default()), store, tables)
    }

    pub fn start(&mut self, client: &str) -> SinkHandle {
        self.metrics = prometheus::Registry::new();
        self.sink(client).start(&self.metrics).unwrap()
    }

    pub fn start_with(&mut self, client: &str, probe: Arc<dyn Probe>) -> SinkHandle {
        self.metrics = prometheus::Registry::new();
        self.sink(client).with_probe(probe).start(&self.metrics).unwrap()
    }

    /// Writes records into a table's topic: some plainly, some in transactions, some of which are aborted.
    pub fn produce(&self, topic: &str, records: u32, rng: &mut ChaCha8Rng) {
        let mut left = records;
        while left > 0 {
            let some = rng.random_range(1..=left.min(30));
            left -= some;
            let texts: Vec<_> = (0..some)
                .map(|_| (format!("key-{}", rng.random_range(0..50)), rng.random::<u64>().to_string()))
                .collect();
            let outgoing = texts.iter().map(|(key, value)| Outgoing {
                topic,
                partition: None,
                key: Some(key.as_bytes()),
                value: (value.len() % 7 != 0).then_some(value.as_bytes()),
                timestamp_ms: 1_700_000_000_000 + i64::from(left) * self.apart_ms,
                headers: &[],
            });
            let outgoing: Vec<_> = outgoing.collect();
            if rng.random_bool(0.4) {
                self.broker.producer("test").unwrap().send_all(&outgoing).unwrap();
                continue;
            }
            let mut producer = self.broker.transactional_producer("test", BOUND).unwrap();
            producer.begin().unwrap();
            outgoing.iter().for_each(|record| producer.send(*record).unwrap());
            if rng.random_bool(0.7) {
                producer.commit(&[], &Membership::NoGroup).unwrap();
            } else {
                // Its successor aborts it.
                drop(producer);
                drop(self.broker.transactional_producer("test", BOUND).unwrap());
            }
        }
    }

    /// How many records are in no file yet, and what must not be.
    pub fn look(&self) -> (u64, Vec<String>) {
        let (mut unwritten, mut problems) = (0, Vec::new());
        let store: Arc<dyn ObjectStore> = self.store.inner();
        for table in &self.tables {
            let report = self
                .runtime
                .block_on(lake::verify(&store, table.name, Depth::Offsets))
                .unwrap();
            let compared = lake::compare_with_log(&*self.log(), table.as_ref(), &report, BOUND).unwrap();
            unwritten += compared.partitions.iter().map(|partition| partition.unwritten).sum::<u64>();
            problems.extend(report.problems.iter().chain(&compared.problems).map(ToString::to_string));
        }
        (unwritten, problems)
    }

    /// Every record is in a file, exactly once, at its own offset and with its own content.
    pub fn prove(&self) {
        let (unwritten, problems) = self.look();
        assert_eq!((unwritten, problems), (0, vec![]));
        for table in self.tables.iter().filter(|table| !table.compacted) {
            assert_eq!(self.rows(table.name), self.records(table.name), "{}", table.name);
        }
    }

    pub fn wait_until_written(&self) {
        wait_for("every record is in a file", || self.look().0 == 0);
    }

    /// What the log has, by partition and offset.
    pub fn records(&self, topic: &str) -> Content {
        let mut content = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let mut reader = self.broker.reader("test").unwrap();
            let at = TopicPartition::new(topic, partition);
            let (first, end) = reader.bounds(&at, BOUND).unwrap();
            reader.assign(&at, broker::Start::At(first)).unwrap();
            let mut polled = broker::Polled::default();
            while polled.ends.last().is_none_or(|(_, next)| *next < end) {
                reader.poll(10_000, Duration::from_millis(10), &mut polled).unwrap();
            }
            for message in polled.messages {
                let text = |bytes: Option<bytes::Bytes>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
                content.insert((partition, message.offset), (text(message.key), text(message.value)));
            }
        }
        content
    }

    /// What the lake has, by partition and offset; panics on an offset that is there twice.
    pub fn rows(&self, table: &str) -> Content {
        self.rows_where(table, |_| true)
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The rows of some files.
    pub fn rows_where(&self, table: &str, is_wanted: impl Fn(&sinks::parquet::layout::FileName) -> bool) -> Content {
        let mut content = BTreeMap::new();
        let store = self.store.inner();
        let listing = self.runtime.block_on(lake::list(store.as_ref(), table)).unwrap();
        for file in listing.files.into_iter().filter(|file| is_wanted(&file.name)) {
            let bytes = self.runtime.block_on(async {
                let path = file.name.path();
                object_store::ObjectStoreExt::get(store.as_ref(), &path)
                    .await
                    .unwrap()
                    .bytes()
                    .await
                    .unwrap()
            });
            for batch in read_batches(bytes) {
                use arrow::array::AsArray;
                let (keys, values) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
                let offsets = batch.column(2).as_primitive::<arrow::datatypes::Int64Type>();
                for row in 0..batch.num_rows() {
                    let text = |column: &arrow::array::StringArray| {
                        use arrow::array::Array;
                        column.is_valid(row).then(|| column.value(row).to_owned())
                    };
                    let at = (file.name.partition, offsets.value(row));
                    assert!(
                        content.insert(at, (text(keys), text(values))).is_none(),
                        "{table} {at:?} is there twice"
                    );
                }
            }
        }
        content
    }

    /// The paths of a table's files.
    pub async fn names_of(&self, table: &str) -> Vec<object_store::path::Path> {
        let listing = lake::list(self.store.inner().as_ref(), table).await.unwrap();
        listing.files.iter().map(|file| file.name.path()).collect()
    }

    pub fn files(&self, table: &str) -> Vec<lake::LakeFile> {
        self.runtime
            .block_on(lake::list(self.store.inner().as_ref(), table))
            .unwrap()
            .files
    }
}

pub type Content = BTreeMap<(u32, i64), (Option<String>, Option<String>)>;

pub fn read_batches(bytes: bytes::Bytes) -> Vec<RecordBatch> {
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes)
        .unwrap()
        .build()
        .unwrap();
    reader.map(Result::unwrap).collect()
}

/// A row as texts, by column; nulls left out.
pub fn seen(batch: &RecordBatch, row: usize) -> BTreeMap<String, String> {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMicrosecondType;
    let (schema, mut seen) = (batch.schema(), BTreeMap::new());
    for (field, column) in schema
        .fields()
        .iter()
        .zip(batch.columns())
        .filter(|(_, column)| column.is_valid(row))
    {
        let text = match field.data_type() {
            DataType::Timestamp(..) => {
                let at = column.as_primitive::<TimestampMicrosecondType>().value(row);
                jiff::Timestamp::from_microsecond(at).unwrap().to_string()
            }
            _ => arrow::util::display::array_value_to_string(column, row).unwrap(),
        };
        seen.insert(field.name().clone(), text);
    }
    seen
}

#[track_caller]
pub fn wait_for(what: &str, is_so: impl FnMut() -> bool) {
    testkit::wait::wait_for(what, BOUND, is_so);
}

/// Randomness that a number replays.
pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Waits until a sink has crashed, and has the group notice.
pub fn bury(bench: &Bench, sink: SinkHandle, client: &str) {
    wait_for("the crash", || sink.is_finished());
    bench.broker.expire_member("sinks", client);
}

/// Waits until the sink's trouble has all of these words.
#[track_caller]
pub fn wait_for_trouble(sink: &SinkHandle, words: &[&str]) {
    wait_for(&format!("trouble with {words:?}"), || {
        sink.trouble()
            .is_some_and(|trouble| words.iter().all(|word| trouble.contains(word)))
    });
}

/// Ends the sink at a step, the `nth` time that it comes there.
pub struct CrashAt {
    pub step: Step,
    pub nth: Mutex<u32>,
}

impl CrashAt {
    pub fn new(step: Step, nth: u32) -> Arc<Self> {
        Arc::new(Self {
            step,
            nth: Mutex::new(nth),
        })
    }
}

impl Probe for CrashAt {
    fn at(&self, step: Step, _: &TopicPartition) -> Go {
        let mut nth = self.nth.lock();
        if step != self.step {
            return Go::On;
        }
        match nth.checked_sub(1) {
            Some(0) => Go::Crash,
            Some(left) => {
                *nth = left;
                Go::On
            }
            None => Go::On,
        }
    }
}

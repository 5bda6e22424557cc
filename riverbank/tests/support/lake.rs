//! Reads what was emitted as another program would: the topics by Kafka, the files by Parquet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type};
use broker::kafka::{KafkaBroker, KafkaSettings};
use broker::{Message, Replay};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::{AccountId, Money};
use wire::{Codec, Decimal, HttpRegistry, Registry, Topic, Wire};

/// How long the broker may show nothing of a topic.
const PATIENCE: Duration = Duration::from_secs(120);

/// All committed records of a topic, by partition.
fn read_all(bootstrap: &str, topic: &str) -> Vec<Vec<Message>> {
    let broker = KafkaBroker::new(KafkaSettings {
        bootstrap: bootstrap.to_owned(),
        ..KafkaSettings::default()
    });
    let partitions = broker::partitions_of(&broker, topic, PATIENCE).expect("the broker answers");
    let mut all = vec![Vec::new(); partitions.len()];
    Replay::of(&broker, "audit", &partitions)
        .and_then(|mut replay| {
            replay.to_the_end(PATIENCE, |of, message| {
                all[of.partition as usize].push(message);
                Ok(())
            })
        })
        .expect("the topic is read");
    all
}

/// The last value of each key of a compacted topic.
pub fn compacted<V: Wire>(
    bootstrap: &str,
    registry: &str,
    topic: Topic<AccountId, V>,
    show: impl Fn(&V) -> String,
) -> BTreeMap<i64, String> {
    let registry: Arc<dyn Registry> = Arc::new(HttpRegistry::new(registry).expect("the registry's address is right"));
    let codec = Codec::reader(registry);
    let mut newest = BTreeMap::new();
    for message in read_all(bootstrap, topic.name()).into_iter().flatten() {
        let key =
            AccountId::decode(message.key.as_deref().expect("a compacted topic has keys"), &codec).expect("the key is an id");
        match message.value {
            Some(value) => newest.insert(key.0, show(&V::decode(&value, &codec).expect("the value is readable"))),
            None => newest.remove(&key.0),
        };
    }
    newest
}

/// Every row of a table, batch by batch.
async fn batches(store: &dyn ObjectStore, table: &str) -> Vec<arrow::array::RecordBatch> {
    let mut all = Vec::new();
    let files: Vec<_> = store.list(None).try_collect().await.expect("the bucket is listed");
    for file in files
        .iter()
        .filter(|f| f.location.as_ref().contains(table) && f.location.as_ref().ends_with(".parquet"))
    {
        let bytes = store
            .get(&file.location)
            .await
            .expect("the file is there")
            .bytes()
            .await
            .expect("the file is read");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|b| b.build())
            .expect("the file is Parquet");
        all.extend(reader.map(|batch| batch.expect("the batch is read")));
    }
    all
}

fn offsets(batch: &arrow::array::RecordBatch) -> Vec<(i32, i64)> {
    let partitions = batch
        .column_by_name("_partition")
        .expect("a row has its partition")
        .as_primitive::<Int32Type>();
    let offsets = batch
        .column_by_name("_offset")
        .expect("a row has its offset")
        .as_primitive::<Int64Type>();
    (0..batch.num_rows())
        .map(|i| (partitions.value(i), offsets.value(i)))
        .collect()
}

/// An amount, at whatever scale its file has.
fn amount(column: &Decimal128Array, row: usize) -> Money {
    let DataType::Decimal128(_, scale) = column.data_type() else {
        panic!("{} is no decimal", column.data_type())
    };
    let scale = u32::try_from(*scale).expect("no scale is below zero");
    let unscaled = column.value(row);
    Money::try_from(Decimal { unscaled, scale }).expect("what we wrote is an amount")
}

/// The newest row of each account.
pub async fn newest_balances(store: &dyn ObjectStore) -> BTreeMap<i64, String> {
    let mut newest: BTreeMap<i64, (i64, String)> = BTreeMap::new();
    for batch in batches(store, "account_balances").await {
        let ids = batch
            .column_by_name("account_id")
            .expect("a row has its account")
            .as_primitive::<Int64Type>();
        let booked = batch
            .column_by_name("booked")
            .expect("a row has its balance")
            .as_primitive::<Decimal128Type>();
        for (i, (_, offset)) in offsets(&batch).into_iter().enumerate() {
            assert!(!booked.is_null(i), "a balance at offset {offset} is null");
            let known = newest.entry(ids.value(i)).or_insert((-1, String::new()));
            if offset > known.0 {
                *known = (offset, amount(booked, i).to_string());
            }
        }
    }
    newest.into_iter().map(|(id, (_, booked))| (id, booked)).collect()
}

/// Every committed offset of a topic is in Parquet exactly once. Returns how many.
pub async fn check_offsets(store: &dyn ObjectStore, bootstrap: &str, topic: &str) -> usize {
    let table = topic.rsplit('.').next().expect("a topic has a name");
    let mut written: Vec<(i32, i64)> = Vec::new();
    for batch in batches(store, &format!("bronze.{table}")).await {
        written.extend(offsets(&batch));
    }
    written.sort_unstable();
    let count = written.len();
    let mut once = written.clone();
    once.dedup();
    assert_eq!(once.len(), count, "{topic}: an offset is in Parquet twice");
    let bootstrap = bootstrap.to_owned();
    let name = topic.to_owned();
    let sent = tokio::task::spawn_blocking(move || read_all(&bootstrap, &name))
        .await
        .expect("the topic is read");
    let mut expected: Vec<(i32, i64)> = Vec::new();
    for (partition, messages) in sent.iter().enumerate() {
        expected.extend(messages.iter().map(|m| (partition as i32, m.offset)));
    }
    expected.sort_unstable();
    assert!(
        written == expected,
        "{topic}: {} offsets in Parquet, {} in the log",
        written.len(),
        expected.len()
    );
    count
}

//! The bank's own tables, from change events in the log to files.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use broker::{Broker, CleanupPolicy, InProcessBroker, Outgoing, TopicSpec};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use schemas::bronze::{CdcKey, Envelope, Op, Source, TransactionRow};
use schemas::{Money, topics};
use sinks::lake::{self, Depth};
use sinks::{SinkRunner, SinkSettings, tables};
use support::{BOUND, hasty, read_batches, wait_for};
use wire::{Codec, MemoryRegistry, Registry, Wire};

const EVENTS: i64 = 20_000;
const AT: i64 = 1_700_000_000_000;
const TABLE: &str = "bronze.transactions";

fn event(id: i64, op: Op) -> Envelope<TransactionRow> {
    let row = TransactionRow {
        id,
        account_id: Some(id % 97),
        txn_type: Some("DEPOSIT".into()),
        amount: Some(Money::from_hundredths(i128::from(id) + 1)),
        status: Some("COMPLETED".into()),
        created_at: Some(AT * 1_000),
        ..TransactionRow::default()
    };
    let (before, after) = if op == Op::Delete {
        (Some(row), None)
    } else {
        (None, Some(row))
    };
    let source = Source {
        lsn: Some(id),
        tx_id: Some(id),
        ts_ms: AT,
        ..Source::default()
    };
    Envelope {
        before,
        after,
        source,
        transaction: None,
        op,
        ts_ms: None,
        ts_us: None,
        ts_ns: None,
    }
}

/// Events in a fixed mix: mostly inserts, each tenth a delete with its tombstone, each hundredth rubbish.
fn produce(broker: &dyn Broker, registry: &Arc<dyn Registry>) -> BTreeMap<&'static str, u64> {
    let keys = Codec::register::<CdcKey>(registry.clone(), &topics::CDC_TRANSACTIONS.key_subject()).unwrap();
    let values =
        Codec::register::<Envelope<TransactionRow>>(registry.clone(), &topics::CDC_TRANSACTIONS.value_subject()).unwrap();
    let (mut counts, mut producer) = (BTreeMap::new(), broker.producer("test").unwrap());
    let mut send = |op: &'static str, key: &[u8], value: Option<&[u8]>| {
        let record = Outgoing {
            topic: topics::CDC_TRANSACTIONS.name(),
            partition: None,
            key: Some(key),
            value,
            timestamp_ms: AT,
            headers: &[],
        };
        producer.send_all(&[record]).unwrap();
        *counts.entry(op).or_default() += 1;
    };
    for id in 1..=EVENTS {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        CdcKey { id }.encode(&keys, &mut key).unwrap();
        let op = if id % 10 == 0 { Op::Delete } else { Op::Create };
        event(id, op).encode(&values, &mut value).unwrap();
        if id % 100 == 1 {
            value.truncate(value.len() / 2);
            send("undecodable", &key, Some(&value));
            continue;
        }
        send(op.as_str(), &key, Some(&value));
        if op == Op::Delete {
            send("tombstone", &key, None);
        }
    }
    counts
}

#[test]
fn every_change_event_arrives_as_what_it_is() {
    let broker = InProcessBroker::default();
    let specs = tables::all().into_iter().map(|table| TopicSpec {
        name: table.topic().to_owned(),
        partitions: 3,
        accept_existing: false,
        cleanup: if table.is_compacted() {
            CleanupPolicy::Compact
        } else {
            CleanupPolicy::Delete(None)
        },
        settings: broker::TopicSettings::default(),
    });
    broker.ensure_topics(&specs.collect::<Vec<_>>(), BOUND).unwrap();
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    let counts = produce(&broker, &registry);
    let records: u64 = counts.values().sum();

    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let metrics = prometheus::Registry::new();
    let settings = SinkSettings {
        rows_max: 5_000,
        age_max: Duration::from_secs(1),
        put_timeout: Duration::from_secs(10),
        ..hasty()
    };
    let runner = SinkRunner::new(settings, Arc::new(broker.clone()), registry, store.clone(), tables::all());
    let started = Instant::now();
    let sink = runner.start(&metrics).unwrap();
    wait_for("all is written", || counter(&metrics, "riverbank_sink_rows_total") == records);
    println!("{records} records in {:?}", started.elapsed());
    sink.stop().unwrap();
    assert_eq!(
        counter(&metrics, "riverbank_sink_undecodable_rows_total"),
        counts["undecodable"]
    );

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(lake::verify(&store, TABLE, Depth::Offsets)).unwrap();
    assert_eq!(report.problems, vec![]);
    let table = tables::all().into_iter().find(|table| table.name() == TABLE).unwrap();
    let compared = lake::compare_with_log(&broker, table.as_ref(), &report, BOUND).unwrap();
    assert_eq!(compared.problems, vec![]);
    assert!(compared.partitions.iter().all(|partition| partition.unwritten == 0));

    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for file in report.partitions.iter().flat_map(|partition| &partition.files) {
        let bytes = runtime.block_on(async { store.get(&file.name.path()).await.unwrap().bytes().await.unwrap() });
        for batch in read_batches(bytes) {
            let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
            let ops = batch.column_by_name("_op").unwrap().as_string::<i32>();
            for (id, op) in ids.iter().zip(ops) {
                assert!(
                    id.is_some_and(|id| (1..=EVENTS).contains(&id)),
                    "each row has its id, be it from the key"
                );
                *found.entry(op.unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    assert_eq!(found, counts.into_iter().map(|(op, count)| (op.to_owned(), count)).collect());
}

/// A counter's sum over its tables.
fn counter(metrics: &prometheus::Registry, name: &str) -> u64 {
    let families = metrics.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    family
        .get_metric()
        .iter()
        .map(|metric| metric.get_counter().get_value() as u64)
        .sum()
}

//! The source's columns change while the sink runs.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use broker::{Broker, CleanupPolicy, InProcessBroker, Outgoing, TopicSpec};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use serde_json::json;
use sinks::lake::{self, Depth};
use sinks::parquet::footer::Identity;
use sinks::{Probe, SinkHandle, SinkRunner, SinkSettings, Step, tables};
use support::debezium::{
    CUSTOMERS, TRANSACTIONS, V, Writer, altered, bare, bare_numeric, customer, numeric, retyped, transaction,
};
use support::{BOUND, CrashAt, hasty, read_batches, seen, wait_for};
use wire::{MemoryRegistry, Registry};

const AT: i64 = 1_772_366_400_000;

/// One partition of a change log, and its files.
struct Bench {
    table: &'static str,
    topic: &'static str,
    broker: InProcessBroker,
    registry: Arc<dyn Registry>,
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
    settings: SinkSettings,
}

/// A row, its nulls left out.
type Seen = BTreeMap<String, String>;

impl Bench {
    fn new(table: &'static str, topic: &'static str) -> Self {
        let broker = InProcessBroker::default();
        let spec = TopicSpec {
            name: topic.to_owned(),
            partitions: 1,
            accept_existing: false,
            cleanup: CleanupPolicy::Delete(None),
            settings: broker::TopicSettings::default(),
        };
        broker.ensure_topics(&[spec], BOUND).unwrap();
        Self {
            table,
            topic,
            broker,
            registry: Arc::new(MemoryRegistry::default()),
            store: Arc::new(InMemory::new()),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            // Files end for no other reason than those that a test adds.
            settings: SinkSettings {
                rows_max: 1_000_000,
                age_max: std::time::Duration::from_secs(3_600),
                ..hasty()
            },
        }
    }

    fn writer(&self, schema: &str) -> Writer {
        Writer::new(&self.registry, schema)
    }

    fn send(&self, value: &[u8]) {
        let record = Outgoing {
            topic: self.topic,
            partition: Some(0),
            key: Some(&7_i64.to_be_bytes()),
            value: Some(value),
            timestamp_ms: AT,
            headers: &[],
        };
        self.broker.producer("test").unwrap().send_all(&[record]).unwrap();
    }

    fn start(&self, client: &str, probe: Option<Arc<dyn Probe>>) -> SinkHandle {
        let settings = SinkSettings {
            client_id: client.to_owned(),
            ..self.settings.clone()
        };
        let tables = tables::all().into_iter().filter(|table| table.name() == self.table).collect();
        let runner = SinkRunner::new(
            settings,
            Arc::new(self.broker.clone()),
            self.registry.clone(),
            self.store.clone(),
            tables,
        );
        let runner = match probe {
            Some(probe) => runner.with_probe(probe),
            None => runner,
        };
        runner.start(&prometheus::Registry::new()).unwrap()
    }

    /// Reads everything, and ends.
    fn run(&self) {
        let sink = self.start("only", None);
        self.wait_until_read(&sink);
        sink.stop().unwrap();
    }

    fn wait_until_read(&self, sink: &SinkHandle) {
        wait_for("all is read", || {
            !sink.lag().is_empty() && sink.lag().iter().all(|lag| lag.at_end)
        });
    }

    /// The files' batches in order, after the proof that each offset is in one of them.
    fn files(&self) -> Vec<Vec<RecordBatch>> {
        let report = self
            .runtime
            .block_on(lake::verify(&self.store, self.table, Depth::Offsets))
            .unwrap();
        assert_eq!(report.problems, vec![]);
        let table = tables::all().into_iter().find(|table| table.name() == self.table).unwrap();
        let compared = lake::compare_with_log(&self.broker, table.as_ref(), &report, BOUND).unwrap();
        assert_eq!(compared.problems, vec![]);
        assert_eq!(compared.partitions[0].unwritten, 0);
        let files = report.partitions.iter().flat_map(|partition| &partition.files);
        let read = |path: Path| {
            let got = async { self.store.get(&path).await.unwrap().bytes().await.unwrap() };
            read_batches(self.runtime.block_on(got))
        };
        files.map(|file| read(file.name.path())).collect()
    }

    /// Every row by its offset, whatever columns its file has: as `union_by_name` reads them.
    fn rows(&self) -> BTreeMap<i64, Seen> {
        let mut rows = BTreeMap::new();
        for batch in self.files().concat() {
            for row in 0..batch.num_rows() {
                let seen = seen(&batch, row);
                let offset = seen["_offset"].parse().unwrap();
                assert!(rows.insert(offset, seen).is_none(), "offset {offset} is there twice");
            }
        }
        rows
    }

    fn types(&self, column: &str) -> Vec<Option<DataType>> {
        let of = |batches: &Vec<RecordBatch>| {
            let field = batches[0].schema().field_with_name(column).ok().cloned();
            field.map(|field| field.data_type().clone())
        };
        self.files().iter().map(of).collect()
    }

    /// Puts the offsets 0 to `rows` − 1 into a file as the version before this one wrote it.
    fn put_old_file(&self, columns: Vec<(&str, ArrayRef)>) {
        let rows = columns[0].1.len() as i64;
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let partitions: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(|_| 0)));
        let ops: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| "c")));
        let common = [("_op", ops), ("_partition", partitions), ("_offset", offsets)];
        let batch = RecordBatch::try_from_iter(columns.into_iter().chain(common)).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let identity = Identity {
            table: self.table.into(),
            topic: self.topic.into(),
            partition: 0,
            start: 0,
            end: rows - 1,
            schema: 1,
            rows: rows as u64,
            topic_id: None,
            generation: 1,
            days: None,
            digest: None,
            superseded_by: None,
        };
        let known = |key: &str| key != "riverbank.generation";
        for (key, value) in identity.key_values().into_iter().filter(|(key, _)| known(key)) {
            writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        let path = format!("{}/day=2026-03-01/p=00/0-{}-s1.parquet", self.table, rows - 1);
        let content = writer.into_inner().unwrap();
        self.runtime
            .block_on(self.store.put(&Path::from(path), content.into()))
            .unwrap();
    }
}

#[test]
fn columns_come_fill_and_are_renamed() {
    let bench = Bench::new("bronze.customers", "bank.public.customers");
    let email = |address: &str| ("email", V::from(address));
    let first = bench.writer(CUSTOMERS);
    // As the version before this one left it.
    bench.send(&first.insert(1, customer(1, vec![email("one@bank.example")])));
    bench.put_old_file(vec![
        ("id", Arc::new(Int64Array::from(vec![1]))),
        ("email", Arc::new(StringArray::from(vec!["one@bank.example"]))),
    ]);
    bench.send(&first.insert(2, customer(2, vec![email("two@bank.example")])));
    // ADD COLUMN kyc text
    let kyc = json!({"name": "kyc", "type": ["null", "string"], "default": null});
    let added = bench.writer(&altered(CUSTOMERS, |fields| fields.push(kyc)));
    bench.send(&added.insert(3, customer(3, vec![email("three@bank.example"), ("kyc", V::Null)])));
    // UPDATE … SET kyc = 'old'
    let before = customer(3, vec![email("three@bank.example"), ("kyc", V::Null)]);
    let after = customer(3, vec![email("three@bank.example"), ("kyc", V::from("old"))]);
    bench.send(&added.event("u", 4, before, after));
    // ALTER kyc SET NOT NULL
    let filled = altered(CUSTOMERS, |fields| fields.push(json!({"name": "kyc", "type": "string"})));
    let not_null = bench.writer(&filled);
    bench.send(&not_null.insert(5, customer(5, vec![email("five@bank.example"), ("kyc", V::from("new"))])));
    // RENAME email TO mail
    let renamed = bench.writer(&filled.replace("\"email\"", "\"mail\""));
    let row = customer(6, vec![("mail", V::from("six@bank.example")), ("kyc", V::from("new"))]);
    bench.send(&renamed.insert(6, row.clone()));
    bench.send(&renamed.event("d", 7, row, V::Null));
    bench.run();

    let rows = bench.rows();
    let expected = [
        ("1", Some("one@bank.example"), None, None),
        ("2", Some("two@bank.example"), None, None),
        ("3", Some("three@bank.example"), None, None),
        ("3", Some("three@bank.example"), Some("old"), None),
        ("5", Some("five@bank.example"), Some("new"), None),
        ("6", None, Some("new"), Some("six@bank.example")),
        ("6", None, Some("new"), Some("six@bank.example")),
    ];
    assert_eq!(rows.len(), expected.len());
    for (row, (id, email, kyc, mail)) in rows.values().zip(expected) {
        let of = |column: &str| row.get(column).map(String::as_str);
        assert_eq!((of("id"), of("email"), of("kyc"), of("mail")), (Some(id), email, kyc, mail));
        assert_eq!(of("_unparsed"), None);
    }
    let before: serde_json::Value = serde_json::from_str(&rows[&3]["_before"]).unwrap();
    assert_eq!(
        before,
        json!({
            "id": 3, "first_name": "Zoë", "last_name": "O'Neil", "email": "three@bank.example", "kyc": null,
            "created_at": "2026-03-01T12:00:00.5Z", "updated_at": "2026-03-01T12:00:00.5Z",
        })
    );
    assert_eq!(rows[&3]["created_at"], "2026-03-01T12:00:00.5Z");
    assert_eq!((rows[&6]["_op"].as_str(), rows[&6]["_lsn"].as_str()), ("d", "7"));
    assert!(rows[&6]["_before"].contains("six@bank.example"));
    // The old one; the bank's columns; with kyc, whose NOT NULL is no other shape; with mail.
    assert_eq!(bench.files().len(), 4);
}

#[test]
fn an_amount_s_type_changes_and_changes_back() {
    let bench = Bench::new("bronze.transactions", "bank.public.transactions");
    let schemas = [
        TRANSACTIONS.to_owned(),
        retyped(TRANSACTIONS, "amount", &bare_numeric()),
        retyped(TRANSACTIONS, "amount", &numeric(18, 4)),
        TRANSACTIONS.to_owned(),
        retyped(TRANSACTIONS, "amount", &numeric(60, 2)),
    ];
    let amounts = [
        V::Decimal(1230, 2),
        bare(12_345, 3),
        V::Decimal(123_456, 4),
        V::Decimal(-5, 2),
        V::Decimal(7, 2),
    ];
    for (id, (schema, amount)) in schemas.iter().zip(amounts).enumerate() {
        bench.send(&bench.writer(schema).insert(id as i64, transaction(id as i64, amount)));
    }
    bench.run();
    let rows = bench.rows();
    let seen: Vec<&str> = rows.values().map(|row| row["amount"].as_str()).collect();
    assert_eq!(seen[0], "12.3000");
    assert_eq!(seen[1].trim_end_matches('0'), "12.345");
    assert_eq!(seen[2].trim_end_matches('0'), "12.3456");
    assert_eq!(seen[3].trim_end_matches('0'), "-0.05");
    assert_eq!(seen[4], "0.07");
    let decimal = |digits, scale| Some(DataType::Decimal128(digits, scale));
    let types = bench.types("amount");
    // A bare NUMERIC's column holds what comes after it, too, until a file ends otherwise.
    assert_eq!(types, [decimal(20, 4), decimal(38, 18), Some(DataType::Utf8)]);
}

#[test]
fn what_a_bare_numeric_cannot_hold_is_not_lost() {
    let bench = Bench::new("bronze.transactions", "bank.public.transactions");
    let writer = bench.writer(&retyped(TRANSACTIONS, "amount", &bare_numeric()));
    bench.send(&writer.insert(1, transaction(1, bare(1, 19))));
    bench.send(&writer.insert(2, transaction(2, bare(i128::MAX, 0))));
    bench.send(&writer.insert(3, transaction(3, bare(12, -3))));
    let before = transaction(3, bare(12, -3));
    bench.send(&writer.event("u", 4, before, transaction(3, bare(1_250, 2))));
    bench.run();
    let rows = bench.rows();
    assert_eq!(rows[&0].get("amount"), None);
    assert_eq!(rows[&0]["_unparsed"], r#"{"amount":"0.0000000000000000001"}"#);
    assert_eq!(rows[&1]["_unparsed"], format!(r#"{{"amount":"{}"}}"#, i128::MAX));
    assert_eq!(rows[&2]["amount"].trim_end_matches(['0', '.']), "12");
    assert_eq!(rows[&3]["amount"].trim_end_matches('0'), "12.5");
    assert!(rows[&3]["_before"].contains(r#""amount":"12000""#), "{}", rows[&3]["_before"]);
}

/// During a rolling change of the source, records of either shape come in turns.
#[test]
fn shapes_that_take_turns_share_a_file() {
    for to in [numeric(18, 6), json!("string")] {
        let bench = Bench::new("bronze.transactions", "bank.public.transactions");
        let writers = [
            bench.writer(TRANSACTIONS),
            bench.writer(&retyped(TRANSACTIONS, "amount", &to)),
            // Another id, and no other shape.
            bench.writer(&altered(TRANSACTIONS, |fields| fields[1]["default"] = json!(0))),
        ];
        let amounts = [
            V::Decimal(700, 2),
            match to.is_string() {
                true => V::from("7"),
                false => V::Decimal(7_000_000, 6),
            },
            V::Decimal(700, 2),
        ];
        for id in 0..900 {
            let which = id % 3;
            let row = transaction(id as i64, amounts[which].clone());
            bench.send(&writers[which].insert(id as i64, row));
        }
        bench.run();
        let rows = bench.rows();
        assert_eq!(rows.len(), 900);
        assert!(
            rows.values().all(|row| row["amount"].trim_end_matches(['0', '.']) == "7"),
            "{to}"
        );
        let files = bench.files().len();
        assert!((2..=3).contains(&files), "{to}: {files} files, and not one for each record");
    }
}

#[test]
fn two_ids_of_one_shape_share_a_file() {
    let bench = Bench::new("bronze.transactions", "bank.public.transactions");
    let other = altered(TRANSACTIONS, |fields| {
        fields.reverse();
        fields.iter_mut().for_each(|field| field["doc"] = json!("the same"));
    });
    let writers = [bench.writer(TRANSACTIONS), bench.writer(&other)];
    for id in 0..100 {
        bench.send(&writers[id as usize % 2].insert(id, transaction(id, V::Decimal(100, 2))));
    }
    bench.run();
    assert_eq!((bench.rows().len(), bench.files().len()), (100, 1));
}

/// What is set aside or says nothing of columns takes no part in the shape, and costs no file.
#[test]
fn records_without_columns_fit_every_file() {
    let mut bench = Bench::new("bronze.customers", "bank.public.customers");
    bench.settings.rows_max = 10;
    let kyc = json!({"name": "kyc", "type": ["null", "string"], "default": null});
    let writer = bench.writer(&altered(CUSTOMERS, |fields| fields.push(kyc)));
    let row = |id| customer(id, vec![("email", V::from("a")), ("kyc", V::from("k"))]);
    for id in 0..5 {
        bench.send(&writer.insert(id, row(id)));
        bench.send(b"rubbish");
    }
    // A whole file of them, and what comes after it.
    for _ in 0..10 {
        bench.send(b"rubbish");
    }
    bench.send(&writer.event("t", 9, V::Null, V::Null));
    for id in 0..9 {
        bench.send(&writer.insert(id, row(id)));
    }
    bench.run();
    let text = Some(DataType::Utf8);
    assert_eq!(bench.types("kyc"), [text.clone(), text.clone(), text]);
    let ops: Vec<String> = bench.rows().into_values().map(|row| row["_op"].clone()).collect();
    let count = |op: &str| ops.iter().filter(|other| *other == op).count();
    assert_eq!((count("c"), count("undecodable"), count("t")), (14, 15, 1));
}

#[test]
fn a_shape_that_is_gone_leaves_the_files() {
    let mut bench = Bench::new("bronze.customers", "bank.public.customers");
    bench.settings.rows_max = 10;
    let kyc = json!({"name": "kyc", "type": ["null", "string"], "default": null});
    let with_kyc = bench.writer(&altered(CUSTOMERS, |fields| fields.push(kyc)));
    let without = bench.writer(CUSTOMERS);
    for id in 0..5 {
        bench.send(&with_kyc.insert(id, customer(id, vec![("email", V::from("a")), ("kyc", V::from("k"))])));
    }
    for id in 5..30 {
        bench.send(&without.insert(id, customer(id, vec![("email", V::from("a"))])));
    }
    bench.run();
    let text = Some(DataType::Utf8);
    assert_eq!(bench.types("kyc"), [text.clone(), text, None]);
    assert_eq!(bench.rows().len(), 30);
}

/// A decided file is written again with whatever shapes its range has.
#[test]
fn a_crash_at_every_step_is_made_good_while_shapes_change() {
    let types = [
        numeric(18, 2),
        json!("string"),
        json!("long"),
        bare_numeric(),
        json!({"type": "array", "items": "long"}),
    ];
    let amounts = [
        V::Decimal(1_200, 2),
        V::from("12"),
        V::Int(12),
        bare(12, 0),
        V::List(vec![V::Int(12)]),
    ];
    for step in Step::ALL {
        for nth in [1, 2, 5, 8] {
            let mut bench = Bench::new("bronze.transactions", "bank.public.transactions");
            bench.settings.rows_max = 40;
            bench.settings.age_max = std::time::Duration::from_millis(100);
            let writers: Vec<_> = types
                .iter()
                .map(|to| bench.writer(&retyped(TRANSACTIONS, "amount", to)))
                .collect();
            for id in 0..300_i64 {
                // Blocks of one shape, then all in turns.
                let which = if id < 150 { id / 30 } else { id } as usize % types.len();
                bench.send(&writers[which].insert(id, transaction(id, amounts[which].clone())));
            }
            let sink = bench.start("first", Some(CrashAt::new(step, nth)));
            wait_for("the crash", || sink.is_finished());
            bench.broker.expire_member("sinks", "first");
            let sink = bench.start("second", None);
            wait_for("all is written", || {
                bench.wait_until_read(&sink);
                sink.lag().iter().all(|lag| lag.records == 0)
            });
            sink.stop().unwrap();
            let rows = bench.rows();
            assert_eq!(rows.len(), 300, "{step:?} {nth}");
            for (offset, row) in &rows {
                let amount = row["amount"].trim_matches(['[', ']']);
                assert_eq!(amount.split('.').next(), Some("12"), "{step:?} {nth}: offset {offset}");
            }
            assert!(bench.files().len() <= 24, "{step:?} {nth}: {} files", bench.files().len());
        }
    }
}

//! Every table of typed records, from the log to files: what is drawn from the Avro schemas is what the rows say, column by column.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::types::Value;
use arrow::array::RecordBatch;
use broker::{Broker, CleanupPolicy, InProcessBroker, Outgoing, TopicSpec};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use schemas::gold::{
    AccountBalance, AccountDay, AccountVersion, BankDay, CustomerPosition, CustomerVersion, Reconciliation, TransactionFact,
    TransactionMinute,
};
use schemas::silver::{Account, Customer, Posting, Rejected, Transaction};
use schemas::topics;
use sinks::lake::{self, Depth};
use sinks::{SinkRunner, SinkSettings, tables};
use support::{BOUND, hasty, read_batches, rng, seen, wait_for};
use wire::{Codec, MemoryRegistry, Registry, Topic, Wire};

const AT_MS: i64 = 1_772_366_400_000;
const RECORDS: i64 = 150;
const PARTITIONS: u32 = 2;

/// A row as texts by column, nulls left out.
type Texts = BTreeMap<String, String>;

/// A topic of records of ours, and what of its table does not stand in its values' schema.
struct Records {
    topic: &'static str,
    schema: &'static str,
    /// Where the key is, part by part.
    key_columns: &'static [&'static str],
    /// Whether the columns are fields of the value, too.
    key_is_field: bool,
    is_compacted: bool,
    /// Reads a value as its Rust type and writes it again.
    again: fn(&[u8], &Codec) -> Vec<u8>,
}

fn records<K, V: Wire>(
    topic: Topic<K, V>,
    key_columns: &'static [&'static str],
    key_is_field: bool,
    is_compacted: bool,
) -> Records {
    Records {
        topic: topic.name(),
        schema: V::SCHEMA.unwrap(),
        key_columns,
        key_is_field,
        is_compacted,
        again: |bytes, codec| {
            let mut again = Vec::new();
            V::decode(bytes, codec).unwrap().encode(codec, &mut again).unwrap();
            again
        },
    }
}

fn all() -> Vec<Records> {
    vec![
        records::<_, Customer>(topics::SILVER_CUSTOMERS, &["id"], true, true),
        records::<_, Account>(topics::SILVER_ACCOUNTS, &["id"], true, true),
        records::<_, Transaction>(topics::SILVER_TRANSACTIONS, &["id"], true, true),
        records::<_, Posting>(topics::SILVER_POSTINGS, &["key_account_id"], false, false),
        records::<_, Rejected>(topics::SILVER_REJECTED, &["row_id"], false, false),
        records::<_, AccountBalance>(topics::ACCOUNT_BALANCES, &["account_id"], true, true),
        records::<_, CustomerVersion>(topics::CUSTOMER_HISTORY, &["customer_id", "version"], true, true),
        records::<_, AccountVersion>(topics::ACCOUNT_HISTORY, &["account_id", "version"], true, true),
        records::<_, TransactionFact>(topics::TRANSACTION_FACTS, &["transaction_id"], true, true),
        records::<_, CustomerPosition>(topics::CUSTOMER_POSITIONS, &["customer_id", "currency"], true, true),
        records::<_, AccountDay>(topics::ACCOUNT_DAILY, &["account_id", "day"], true, true),
        records::<_, BankDay>(topics::BANK_DAILY, &["day", "account_type", "currency"], true, true),
        records::<_, TransactionMinute>(
            topics::TRANSACTION_MINUTES,
            &["minute", "txn_type", "status", "currency"],
            true,
            true,
        ),
        records::<_, Reconciliation>(topics::RECONCILIATION, &["account_id"], true, true),
    ]
}

impl Records {
    fn avro(&self) -> Schema {
        Schema::parse_str(self.schema).unwrap()
    }

    /// Its value's fields, in their order.
    fn fields(&self) -> Vec<String> {
        let Schema::Record(record) = self.avro() else {
            panic!("{} holds no records", self.topic)
        };
        record.fields.iter().map(|field| field.name.clone()).collect()
    }
}

fn text(rng: &mut ChaCha8Rng) -> String {
    let letters = ['a', 'Z', '0', ' ', '\'', 'é', '€', '🂡'];
    let count = rng.random_range(0..12);
    (0..count).map(|_| letters[rng.random_range(0..letters.len())]).collect()
}

fn bytes(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..20)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A value of a type, and how a reader of the files shows it; `None` for null.
fn draw(rng: &mut ChaCha8Rng, name: &str, schema: &Schema) -> (Value, Option<String>) {
    match schema {
        Schema::Boolean => {
            let value = rng.random();
            (Value::Boolean(value), Some(value.to_string()))
        }
        Schema::Int => {
            let value: i32 = rng.random();
            (Value::Int(value), Some(value.to_string()))
        }
        Schema::Long => {
            let value: i64 = rng.random();
            (Value::Long(value), Some(value.to_string()))
        }
        Schema::Date => {
            // Years 1 to 9999: what a date of the source can be.
            let value = rng.random_range(-719_162..=2_932_896);
            let day = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(value);
            (Value::Date(value), Some(day.to_string()))
        }
        Schema::TimestampMicros => {
            let at = rng.random_range(-60_000_000_000_000_000..250_000_000_000_000_000);
            let shown = jiff::Timestamp::from_microsecond(at).unwrap().to_string();
            (Value::TimestampMicros(at), Some(shown))
        }
        Schema::String => {
            let currencies = ["EUR", "JPY", "KWD"];
            let value = match name {
                "currency" => currencies[rng.random_range(0..currencies.len())].to_owned(),
                _ => text(rng),
            };
            (Value::String(value.clone()), Some(value))
        }
        Schema::Bytes => {
            let value = bytes(rng);
            (Value::Bytes(value.clone()), Some(hex(&value)))
        }
        Schema::Decimal(decimal) => {
            assert_eq!(decimal.scale, 4, "{name}");
            let most = 10_i128.pow(u32::try_from(decimal.precision).unwrap()) - 1;
            let value = rng.random_range(-most..=most) / 10_i128.pow(rng.random_range(0..28));
            let sign = if value < 0 { "-" } else { "" };
            let (whole, part) = (value.unsigned_abs() / 10_000, value.unsigned_abs() % 10_000);
            (
                Value::Decimal(shortest(value).into()),
                Some(format!("{sign}{whole}.{part:04}")),
            )
        }
        Schema::Enum(symbols) => {
            let place = rng.random_range(0..symbols.symbols.len());
            let symbol = symbols.symbols[place].clone();
            (Value::Enum(place as u32, symbol.clone()), Some(symbol))
        }
        Schema::Union(union) => {
            let place = rng.random_range(0..union.variants().len());
            let (value, shown) = draw(rng, name, &union.variants()[place]);
            (Value::Union(place as u32, Box::new(value)), shown)
        }
        Schema::Null => (Value::Null, None),
        other => panic!("{name} is {other:?}: this test cannot draw it"),
    }
}

/// Two's complement, big endian, in as few bytes as hold the sign.
fn shortest(value: i128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    let spare = |pair: &&[u8]| pair[0] == sign && (pair[1] ^ sign) < 0x80;
    bytes[bytes.windows(2).take_while(spare).count()..].to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A field's value as a part of its record's key: a number as Kafka's serializers write it, a text ended by two zero bytes.
fn key_part(name: &str, value: &Value) -> Vec<u8> {
    match value {
        Value::Int(part) | Value::Date(part) => part.to_be_bytes().to_vec(),
        Value::Long(part) | Value::TimestampMicros(part) => part.to_be_bytes().to_vec(),
        Value::String(text) | Value::Enum(_, text) => [text.as_bytes(), &[0, 0]].concat(),
        other => panic!("{name} is {other:?}: no part of a key"),
    }
}

/// A record in the log, and its row.
struct Drawn {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    row: Texts,
    /// Words of the reason why it cannot be read.
    error: Option<&'static str>,
}

/// A record that can be read.
fn good(rng: &mut ChaCha8Rng, of: &Records, codec: &Codec, id: u32) -> Drawn {
    let avro = of.avro();
    let Schema::Record(record) = &avro else {
        panic!("{} holds no records", of.topic)
    };
    let (mut values, mut row) = (Vec::new(), Texts::new());
    for field in &record.fields {
        let (value, shown) = draw(rng, &field.name, &field.schema);
        row.extend(shown.map(|shown| (field.name.clone(), shown)));
        values.push((field.name.clone(), value));
    }
    let mut key = Vec::new();
    for column in of.key_columns {
        match values.iter().find(|(name, _)| of.key_is_field && name == column) {
            Some((_, part)) => key.extend(key_part(column, part)),
            None => {
                let part: i64 = rng.random();
                row.insert((*column).to_owned(), part.to_string());
                key.extend(part.to_be_bytes());
            }
        }
    }
    row.insert("op".to_owned(), if of.is_compacted { "upsert" } else { "append" }.to_owned());
    #[allow(deprecated, reason = "one call says all there is to say")]
    let datum = apache_avro::to_avro_datum(&avro, Value::Record(values)).unwrap();
    let written = [&[0], &id.to_be_bytes()[..], &datum].concat();
    let value = (of.again)(&written, codec);
    assert_eq!(hex(&value), hex(&written), "{}: {row:?}", of.topic);
    Drawn {
        key: Some(key),
        value: Some(value),
        row,
        error: None,
    }
}

/// What becomes of a good record by one kind of damage; `foreign` is a value of another topic's.
fn damaged(rng: &mut ChaCha8Rng, of: &Records, good: Drawn, foreign: &[u8]) -> Drawn {
    let (mut key, mut value) = (good.key.unwrap(), good.value.unwrap());
    let whole_key = key.len();
    let error = match rng.random_range(0..5) {
        0 => {
            value.truncate(rng.random_range(5..value.len()));
            "malformed"
        }
        1 => {
            value.push(0);
            "malformed"
        }
        2 => {
            value = foreign.to_vec();
            "not riverbank."
        }
        3 => {
            value = vec![0, 0, 0, 3, 9];
            "no schema 777"
        }
        _ => {
            key.truncate(rng.random_range(0..key.len()));
            "key: malformed"
        }
    };
    let mut row = Texts::from([
        ("op".to_owned(), "undecodable".to_owned()),
        ("_raw_key".to_owned(), hex(&key)),
        ("_raw".to_owned(), hex(&value)),
    ]);
    if key.len() == whole_key {
        let known = |column: &&str| ((*column).to_owned(), good.row[*column].clone());
        row.extend(of.key_columns.iter().map(known));
    }
    Drawn {
        key: Some(key),
        value: Some(value),
        row,
        error: Some(error),
    }
}

/// A record without a value: the end of a key where the topic has versions, and nothing that can be read where it has events.
fn empty(of: &Records, good: Drawn) -> Drawn {
    let key = good.key.unwrap();
    let of_key = |column: &&str| ((*column).to_owned(), good.row[*column].clone());
    let mut row: Texts = of.key_columns.iter().map(of_key).collect();
    if !of.is_compacted {
        row.insert("_raw_key".to_owned(), hex(&key));
    }
    row.insert(
        "op".to_owned(),
        if of.is_compacted { "delete" } else { "undecodable" }.to_owned(),
    );
    Drawn {
        key: Some(key),
        value: None,
        row,
        error: (!of.is_compacted).then_some("there is no value"),
    }
}

/// A record without a key: nobody knows whose it is.
fn keyless(good: Drawn) -> Drawn {
    let value = good.value.unwrap();
    let row = Texts::from([("op".to_owned(), "undecodable".to_owned()), ("_raw".to_owned(), hex(&value))]);
    Drawn {
        key: None,
        value: Some(value),
        row,
        error: Some("there is no key"),
    }
}

/// Writes random records into a topic; the record of timestamp `AT_MS + n` is the `n`th of what is returned.
fn produce(rng: &mut ChaCha8Rng, of: &Records, broker: &dyn Broker, registry: &Arc<dyn Registry>, foreign: &[u8]) -> Vec<Drawn> {
    let codec = Codec::register_schema(registry.clone(), &format!("{}-value", of.topic), of.schema).unwrap();
    let id = registry.register(&format!("{}-value", of.topic), of.schema).unwrap();
    let mut producer = broker.producer("test").unwrap();
    (0..RECORDS)
        .map(|number| {
            let good = good(rng, of, &codec, id);
            let mut drawn = match rng.random_range(0..10) {
                0 => damaged(rng, of, good, foreign),
                1 => empty(of, good),
                2 if number % 3 == 0 => keyless(good),
                _ => good,
            };
            let (partition, timestamp_ms) = (rng.random_range(0..PARTITIONS), AT_MS + number);
            let record = Outgoing {
                topic: of.topic,
                partition: Some(partition),
                key: drawn.key.as_deref(),
                value: drawn.value.as_deref(),
                timestamp_ms,
                headers: &[],
            };
            producer.send_all(&[record]).unwrap();
            let at = jiff::Timestamp::from_millisecond(timestamp_ms).unwrap();
            drawn.row.extend([
                ("_topic".to_owned(), of.topic.to_owned()),
                ("_partition".to_owned(), partition.to_string()),
                ("_timestamp".to_owned(), at.to_string()),
                ("_generation".to_owned(), "1".to_owned()),
            ]);
            drawn
        })
        .collect()
}

/// Checks a file's rows beside what was drawn; returns how many.
fn check(of: &Records, batch: &RecordBatch, drawn: &BTreeMap<&str, &Drawn>) -> usize {
    let schema = batch.schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let fields = of.fields();
    assert_eq!(
        columns[..fields.len()],
        fields,
        "{}: its fields come first, in their order",
        of.topic
    );
    for row in 0..batch.num_rows() {
        let mut seen = seen(batch, row);
        let expected = drawn[seen["_timestamp"].as_str()];
        seen.remove("_offset").unwrap();
        let error = seen.remove("_error");
        assert_eq!(seen, expected.row, "{}: {error:?}", of.topic);
        assert_eq!(error.is_some(), expected.error.is_some(), "{}: {error:?}", of.topic);
        let is_of = |words: &&str| error.as_ref().is_some_and(|error| error.contains(*words));
        assert!(
            expected.error.as_ref().is_none_or(is_of),
            "{}: {error:?}, not {:?}",
            of.topic,
            expected.error
        );
    }
    batch.num_rows()
}

/// All of it with the randomness of a seed.
fn run(seed: u64) {
    let mut rng = rng(seed);
    let broker = InProcessBroker::default();
    let specs = tables::all().into_iter().map(|table| TopicSpec {
        name: table.topic().to_owned(),
        partitions: PARTITIONS,
        accept_existing: false,
        cleanup: CleanupPolicy::Delete(None),
        settings: broker::TopicSettings::default(),
    });
    broker.ensure_topics(&specs.collect::<Vec<_>>(), BOUND).unwrap();
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
    let topics = all();
    let others: Vec<Vec<u8>> = topics.iter().map(|of| a_value(&mut rng, of, &registry)).collect();
    let drawn: Vec<Vec<Drawn>> = topics
        .iter()
        .enumerate()
        .map(|(place, of)| produce(&mut rng, of, &broker, &registry, &others[(place + 1) % others.len()]))
        .collect();

    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let metrics = prometheus::Registry::new();
    let settings = SinkSettings {
        put_timeout: Duration::from_secs(10),
        ..hasty()
    };
    let runner = SinkRunner::new(settings, Arc::new(broker.clone()), registry, store.clone(), tables::all());
    let sink = runner.start(&metrics).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (of, drawn) in topics.iter().zip(&drawn) {
        let table = tables::all().into_iter().find(|table| table.topic() == of.topic).unwrap();
        let report = || {
            let report = runtime.block_on(lake::verify(&store, table.name(), Depth::Offsets)).unwrap();
            let compared = lake::compare_with_log(&broker, table.as_ref(), &report, BOUND).unwrap();
            assert_eq!((&report.problems, &compared.problems), (&vec![], &vec![]), "seed {seed}");
            let unwritten: u64 = compared.partitions.iter().map(|partition| partition.unwritten).sum();
            (unwritten == 0).then_some(report)
        };
        wait_for(of.topic, || report().is_some());
        let by_time: BTreeMap<&str, &Drawn> = drawn.iter().map(|drawn| (drawn.row["_timestamp"].as_str(), drawn)).collect();
        let mut rows = 0;
        for file in report().unwrap().partitions.iter().flat_map(|partition| &partition.files) {
            let bytes = runtime.block_on(async { store.get(&file.name.path()).await.unwrap().bytes().await.unwrap() });
            rows += read_batches(bytes)
                .iter()
                .map(|batch| check(of, batch, &by_time))
                .sum::<usize>();
        }
        assert_eq!(rows, drawn.len(), "{}", of.topic);
    }
    sink.stop().unwrap();
}

/// A value that can be read, of a topic.
fn a_value(rng: &mut ChaCha8Rng, of: &Records, registry: &Arc<dyn Registry>) -> Vec<u8> {
    let subject = format!("{}-value", of.topic);
    let codec = Codec::register_schema(registry.clone(), &subject, of.schema).unwrap();
    let id = registry.register(&subject, of.schema).unwrap();
    good(rng, of, &codec, id).value.unwrap()
}

#[test]
fn every_record_is_the_row_that_it_says() {
    for seed in 0..4 {
        let ran = std::panic::catch_unwind(|| run(seed));
        assert!(ran.is_ok(), "seed {seed}");
    }
}

#[test]
fn every_table_of_typed_records_is_among_them() {
    let mut declared: Vec<_> = tables::all().iter().map(|table| table.topic().to_owned()).collect();
    declared.retain(|topic| !topic.starts_with(topics::CDC_PREFIX));
    assert_eq!(declared, all().iter().map(|of| of.topic).collect::<Vec<_>>());
}

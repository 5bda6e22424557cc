//! What the source's types become, and that no record is lost whatever it is.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use broker::Message;
use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use sinks::{Origin, Row, Rows, tables};
use support::debezium::{CUSTOMERS, TRANSACTIONS, V, Writer, altered, bare, bare_numeric, customer, named, numeric, transaction};
use support::seen;
use wire::{MemoryRegistry, Registry, RegistryError};

const TOPIC: &str = "bank.public.customers";

fn registry() -> Arc<dyn Registry> {
    Arc::new(MemoryRegistry::default())
}

fn rows(registry: &Arc<dyn Registry>, table: &str) -> Box<dyn Rows> {
    let table = tables::all().into_iter().find(|other| other.name() == table).unwrap();
    table.rows(registry.clone())
}

fn push(rows: &mut dyn Rows, topic: &str, offset: i64, key: Option<&[u8]>, value: Option<Bytes>) -> Row {
    let record = Message {
        slot: 0,
        offset,
        timestamp_ms: 0,
        key: key.map(Bytes::copy_from_slice),
        value,
        headers: vec![],
    };
    let waiting = rows.len();
    let row = rows.push(Origin { topic, partition: 0 }, &record).unwrap();
    assert_eq!(rows.len(), waiting + 1, "each record is exactly one row");
    row
}

/// Columns of every type that Debezium has a name for: the type, a value, its column, and what is seen of it.
fn columns() -> Vec<(&'static str, Json, V, DataType, &'static str)> {
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let debezium = |avro: &str, name: &str| named(avro, &format!("io.debezium.{name}"));
    let at = V::Int(1_772_366_400_123_456);
    vec![
        ("c_bool", json!("boolean"), V::Bool(true), DataType::Boolean, "true"),
        (
            "c_small",
            json!({"type": "int", "connect.type": "int16"}),
            V::Int(-3),
            DataType::Int64,
            "-3",
        ),
        (
            "c_big",
            json!("long"),
            V::Int(i64::MAX),
            DataType::Int64,
            "9223372036854775807",
        ),
        ("c_real", json!("float"), V::Double(0.5), DataType::Float32, "0.5"),
        ("c_double", json!("double"), V::Double(0.1), DataType::Float64, "0.1"),
        (
            "c_money",
            numeric(38, 10),
            V::Decimal(-15, 10),
            DataType::Decimal128(38, 10),
            "-0.0000000015",
        ),
        ("c_wide", numeric(60, 2), V::Decimal(-1_234, 2), DataType::Utf8, "-12.34"),
        (
            "c_bare",
            bare_numeric(),
            bare(5, 1),
            DataType::Decimal128(38, 18),
            "0.500000000000000000",
        ),
        (
            "c_date",
            debezium("int", "time.Date"),
            V::Int(20_513),
            DataType::Date32,
            "2026-03-01",
        ),
        (
            "c_time",
            debezium("long", "time.MicroTime"),
            V::Int(86_399_500_000),
            DataType::Utf8,
            "23:59:59.5",
        ),
        (
            "c_at",
            debezium("long", "time.MicroTimestamp"),
            at,
            utc(),
            "2026-03-01T12:00:00.123456Z",
        ),
        (
            "c_at_ms",
            debezium("long", "time.Timestamp"),
            V::Int(1_772_366_400_123),
            utc(),
            "2026-03-01T12:00:00.123Z",
        ),
        (
            "c_zoned",
            debezium("string", "time.ZonedTimestamp"),
            V::from("2026-03-01T12:00:00Z"),
            utc(),
            "2026-03-01T12:00:00Z",
        ),
        (
            "c_json",
            debezium("string", "data.Json"),
            V::from("{\"a\": 1}"),
            DataType::Utf8,
            "{\"a\": 1}",
        ),
        (
            "c_uuid",
            debezium("string", "data.Uuid"),
            V::from("0191-x"),
            DataType::Utf8,
            "0191-x",
        ),
        ("c_bytes", json!("bytes"), V::Bytes(vec![0, 255]), DataType::Binary, "00ff"),
        (
            "c_list",
            json!({"type": "array", "items": ["null", "long"]}),
            V::List(vec![V::Int(1), V::Null]),
            DataType::Utf8,
            "[1,null]",
        ),
        (
            "c_point",
            json!({"type": "record", "name": "P", "fields": [{"name": "x", "type": "double"}]}),
            V::Row(vec![("x", V::Double(1.5))]),
            DataType::Utf8,
            "{\"x\":1.5}",
        ),
        ("_OP", json!("string"), V::from("mine"), DataType::Utf8, "mine"),
    ]
}

#[test]
fn every_type_of_the_source_has_its_column() {
    let registry = registry();
    let schema = altered(CUSTOMERS, |fields| {
        for (name, to, ..) in columns() {
            fields.push(json!({"name": name, "type": ["null", to], "default": null}));
        }
    });
    let writer = Writer::new(&registry, &schema);
    let values = columns().into_iter().map(|(name, _, value, ..)| (name, value));
    let email = ("email", V::from("a@b.c"));
    let full = customer(1, values.chain([email.clone()]).collect());
    let mut rows = rows(&registry, "bronze.customers");
    push(rows.as_mut(), TOPIC, 0, None, Some(writer.event("u", 9, full.clone(), full)));
    let nothing = columns().into_iter().map(|(name, ..)| (name, V::Null));
    push(
        rows.as_mut(),
        TOPIC,
        1,
        None,
        Some(writer.insert(10, customer(2, nothing.chain([email]).collect()))),
    );
    let batch = rows.take().unwrap();
    let (full, empty) = (seen(&batch, 0), seen(&batch, 1));
    let before: Json = serde_json::from_str(&full["_before"]).unwrap();
    for (name, _, _, data_type, text) in columns() {
        // A source's column never takes the place of one of ours.
        let column = if name == "_OP" { "_OP_source" } else { name };
        assert_eq!(
            batch.schema().field_with_name(column).unwrap().data_type(),
            &data_type,
            "{name}"
        );
        assert_eq!(full.get(column).map(String::as_str), Some(text), "{name}");
        assert_eq!(empty.get(column), None, "{name}");
        assert!(!before[name].is_null(), "{name}");
    }
    for (name, value) in [
        ("c_money", json!("-0.0000000015")),
        ("c_bare", json!("0.5")),
        ("c_big", json!(i64::MAX)),
        ("c_bytes", json!("\\x00ff")),
        ("c_date", json!("2026-03-01")),
        ("c_list", json!([1, null])),
        ("c_at", json!("2026-03-01T12:00:00.123456Z")),
    ] {
        assert_eq!(before[name], value, "{name}");
    }
    assert_eq!(
        (full["_op"].as_str(), full["_lsn"].as_str(), full["_tx_id"].as_str()),
        ("u", "9", "7")
    );
    assert_eq!(full["_source_ts"], "2023-11-14T22:13:20Z");
    assert_eq!(full.get("_unparsed"), None);
}

#[test]
fn a_date_that_cannot_be_kept_costs_nothing_beside_it() {
    let registry = registry();
    let debezium = |avro: &str, name: &str| named(avro, &format!("io.debezium.time.{name}"));
    let schema = altered(TRANSACTIONS, |fields| {
        fields.push(json!({"name": "at_us", "type": debezium("long", "MicroTimestamp")}));
        fields.push(json!({"name": "on_day", "type": debezium("int", "Date")}));
    });
    let writer = Writer::new(&registry, &schema);
    let mut rows = rows(&registry, "bronze.transactions");
    let cases = [
        ("infinity", 9_223_372_036_825_200_000, i64::from(i32::MAX)),
        ("-infinity", -9_223_372_036_832_400_000, i64::from(i32::MIN)),
        ("-0044-03-15T00:00:00Z", -62_135_596_800_000_001, -719_163),
        ("+12000-01-01T00:00:00Z", 253_402_300_800_000_000, 2_932_897),
    ];
    for (offset, (at, at_us, day)) in cases.into_iter().enumerate() {
        let V::Row(mut row) = transaction(1, V::Decimal(12_000, 2)) else {
            panic!("a transaction is a row")
        };
        row[6].1 = V::from(at);
        row.extend([("at_us", V::Int(at_us)), ("on_day", V::Int(day))]);
        let row = push(
            rows.as_mut(),
            "bank.public.transactions",
            offset as i64,
            None,
            Some(writer.insert(1, V::Row(row))),
        );
        assert_eq!(row, Row::Whole);
    }
    let batch = rows.take().unwrap();
    for (row, (at, at_us, day)) in cases.into_iter().enumerate() {
        let seen = seen(&batch, row);
        assert_eq!(
            (seen["amount"].as_str(), seen["updated_at"].as_str()),
            ("120.0000", "2026-03-01T12:00:00Z")
        );
        assert!(
            ["created_at", "at_us", "on_day"]
                .iter()
                .all(|column| !seen.contains_key(*column)),
            "{at}"
        );
        let unparsed: Json = serde_json::from_str(&seen["_unparsed"]).unwrap();
        let expected = json!({"created_at": at, "at_us": at_us.to_string(), "on_day": day.to_string()});
        assert_eq!(unparsed, expected);
    }
}

#[test]
fn a_row_s_id_does_not_depend_on_its_key_s_framing() {
    let registry = registry();
    let key = include_str!("../../schemas/tests/data/debezium/bank.public.customers-key.json");
    let schema = wire::Codec::register_schema(registry.clone(), "key", key).unwrap();
    let framed = |id: i64| {
        let mut out = Vec::new();
        wire::encode_avro(&V::Row(vec![("id", V::Int(id))]), &schema, &mut out).unwrap();
        out
    };
    let writer = Writer::new(&registry, CUSTOMERS);
    // As long as a plain one, and one that could be taken for a framed one.
    assert_eq!(framed(8_192).len(), 8);
    let lookalike = i64::from_be_bytes(framed(8_192).try_into().unwrap());
    let ids = [1, -1, 8_192, 1 << 40, lookalike];
    let keys = ids
        .iter()
        .flat_map(|id| [(*id, framed(*id)), (*id, id.to_be_bytes().to_vec())]);
    let keys: Vec<_> = keys.collect();
    let mut batches = rows(&registry, "bronze.customers");
    for (id, key) in &keys {
        let row = customer(*id, vec![("email", V::from("a"))]);
        let delete = writer.event("d", 1, row, V::Null);
        push(batches.as_mut(), TOPIC, 0, Some(key), Some(delete));
        assert_eq!(push(batches.as_mut(), TOPIC, 1, Some(key), None), Row::Whole);
    }
    let batch = batches.take().unwrap();
    for (place, (id, key)) in keys.iter().enumerate() {
        for row in [2 * place, 2 * place + 1] {
            assert_eq!(seen(&batch, row)["id"], id.to_string(), "{key:?}");
        }
        assert_eq!(seen(&batch, 2 * place + 1)["_op"], "tombstone");
    }
    // A tombstone alone, of either framing.
    let mut alone = rows(&registry, "bronze.customers");
    for key in [framed(5), 5_i64.to_be_bytes().to_vec(), framed(8_192)] {
        push(alone.as_mut(), TOPIC, 0, Some(&key), None);
    }
    let batch = alone.take().unwrap();
    assert_eq!([0, 1, 2].map(|row| seen(&batch, row)["id"].clone()), ["5", "5", "8192"]);
}

/// A registry that knows the GUID of the schema with the id 1.
struct WithGuid(Arc<dyn Registry>);

impl Registry for WithGuid {
    fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        self.0.register(subject, schema)
    }

    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        self.0.by_id(id)
    }

    fn by_guid(&self, guid: &str) -> Result<Arc<str>, RegistryError> {
        match guid {
            "abababab-abab-abab-abab-abababababab" => self.0.by_id(1),
            other => Err(RegistryError::NoSuchGuid(other.to_owned())),
        }
    }
}

#[test]
fn a_header_may_name_the_schema_by_id_or_guid() {
    let registry: Arc<dyn Registry> = Arc::new(WithGuid(registry()));
    let value = Writer::new(&registry, CUSTOMERS).insert(1, customer(1, vec![("email", V::from("a@b.c"))]));
    assert_eq!(value[..5], [0, 0, 0, 0, 1]);
    let datum = value.slice(5..);
    let guid = |byte: u8| [&[1][..], &[byte; 16]].concat();
    let headers = [value[..5].to_vec(), guid(0xab), guid(0xcd), vec![1; 16]];
    let mut rows = rows(&registry, "bronze.customers");
    for (offset, header) in headers.into_iter().enumerate() {
        let record = Message {
            slot: 0,
            offset: offset as i64,
            timestamp_ms: 0,
            key: None,
            value: Some(datum.clone()),
            headers: vec![("__value_schema_id".into(), Some(header.into()))],
        };
        rows.push(
            Origin {
                topic: TOPIC,
                partition: 0,
            },
            &record,
        )
        .unwrap();
    }
    let batch = rows.take().unwrap();
    assert_eq!([0, 1].map(|row| seen(&batch, row)["email"].clone()), ["a@b.c", "a@b.c"]);
    for (row, reason) in [(2, "no schema of GUID cdcdcdcd-"), (3, "16 bytes")] {
        assert!(
            seen(&batch, row)["_error"].contains(reason),
            "{}",
            seen(&batch, row)["_error"]
        );
    }
}

#[test]
fn columns_that_differ_by_case_alone_have_names_of_their_own() {
    let registry = registry();
    let schema = altered(CUSTOMERS, |fields| {
        for name in ["KYC", "kyc", "day"] {
            fields.push(json!({"name": name, "type": "string"}));
        }
    });
    let more = ["email", "KYC", "kyc", "day"].map(|name| (name, V::from(name)));
    let mut rows = rows(&registry, "bronze.customers");
    let value = Writer::new(&registry, &schema).insert(1, customer(1, more.to_vec()));
    push(rows.as_mut(), TOPIC, 0, None, Some(value));
    let seen = seen(&rows.take().unwrap(), 0);
    assert_eq!([&seen["KYC"], &seen["kyc_2"], &seen["day_source"]], ["KYC", "kyc", "day"]);
}

/// A writer's precision is a promise that a foreign source may break.
#[test]
fn an_amount_with_too_many_digits_is_not_lost() {
    let registry = registry();
    let mut rows = rows(&registry, "bronze.transactions");
    let writer = Writer::new(&registry, TRANSACTIONS);
    let value = writer.insert(1, transaction(1, V::Decimal(-(10_i128.pow(18)), 2)));
    assert_eq!(
        push(rows.as_mut(), "bank.public.transactions", 0, None, Some(value)),
        Row::Whole
    );
    let seen = seen(&rows.take().unwrap(), 0);
    assert_eq!((seen.get("amount"), seen["status"].as_str()), (None, "COMPLETED"));
    assert_eq!(seen["_unparsed"], r#"{"amount":"-10000000000000000.00"}"#);
}

#[test]
fn a_truncate_is_a_row() {
    let registry = registry();
    let writer = Writer::new(&registry, CUSTOMERS);
    let mut rows = rows(&registry, "bronze.customers");
    push(rows.as_mut(), TOPIC, 0, None, Some(writer.event("t", 77, V::Null, V::Null)));
    let seen = seen(&rows.take().unwrap(), 0);
    assert_eq!(
        (seen["_op"].as_str(), seen["_lsn"].as_str(), seen.get("id")),
        ("t", "77", None)
    );
}

/// Whatever the bytes are, a record is one row; and what is read of damaged ones is bounded.
#[test]
fn damaged_records_are_rows_too() {
    let registry = registry();
    let schema = altered(CUSTOMERS, |fields| {
        for (name, to, ..) in columns() {
            fields.push(json!({"name": name, "type": to}));
        }
        fields.push(json!({"name": "nulls", "type": {"type": "array", "items": "null"}}));
    });
    let writer = Writer::new(&registry, &schema);
    let values = columns().into_iter().map(|(name, _, value, ..)| (name, value));
    let more = [("email", V::from("a")), ("nulls", V::List(vec![V::Null; 3]))];
    let whole = writer.insert(1, customer(1, values.chain(more).collect()));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut rows = rows(&registry, "bronze.customers");
    assert_eq!(push(rows.as_mut(), TOPIC, 0, None, Some(whole.clone())), Row::Whole);
    for length in 0..whole.len() {
        let row = push(rows.as_mut(), TOPIC, 1, None, Some(whole.slice(..length)));
        assert_eq!(row, Row::Undecodable, "{length} bytes");
    }
    for _ in 0..5_000 {
        let mut bytes = whole.to_vec();
        for _ in 0..rng.random_range(1..4) {
            let place = rng.random_range(0..bytes.len());
            bytes[place] = rng.random();
        }
        push(rows.as_mut(), TOPIC, 2, Some(&bytes[..9]), Some(bytes.clone().into()));
    }
    assert_eq!(rows.take().unwrap().num_rows(), 1 + whole.len() + 5_000);
    // A schema that is none of a change log.
    for schema in [
        r#""string""#,
        r#"{"type": "record", "name": "bank.public.customers.Envelope", "fields": [{"name": "op", "type": "string"}]}"#,
    ] {
        let id = registry.register(schema, schema).unwrap();
        let bytes = [&[0][..], &id.to_be_bytes(), &[2, b'c']].concat();
        assert_eq!(push(rows.as_mut(), TOPIC, 3, None, Some(bytes.into())), Row::Undecodable);
    }
    let batch = rows.take().unwrap();
    assert!(seen(&batch, 0)["_error"].contains("no record"));
    assert!(seen(&batch, 1)["_error"].contains("lacks Before"));
}

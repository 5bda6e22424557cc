//! Change events as a connector writes them, by schemas that differ from the bank's own.

use std::sync::Arc;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Value as Json, json};
use wire::{Codec, Decimal, Registry, encode_avro};

/// What Debezium registered for the bank's tables.
pub const CUSTOMERS: &str = include_str!("../../../schemas/tests/data/debezium/bank.public.customers-value.json");
/// Before its amounts had four decimal places.
pub const TRANSACTIONS: &str = include_str!("../data/transactions-of-two-places.json");

/// A value to be written.
#[derive(Debug, Clone)]
pub enum V {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Digits and scale.
    Decimal(i128, u32),
    Row(Vec<(&'static str, V)>),
    List(Vec<V>),
}

impl From<&str> for V {
    fn from(text: &str) -> Self {
        V::Text(text.to_owned())
    }
}

/// A bare `NUMERIC`, as Debezium writes it.
pub fn bare(unscaled: i128, scale: i64) -> V {
    let bytes = unscaled.to_be_bytes().to_vec();
    V::Row(vec![("scale", V::Int(scale)), ("value", V::Bytes(bytes))])
}

impl Serialize for V {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            V::Null => serializer.serialize_none(),
            V::Bool(value) => serializer.serialize_bool(*value),
            V::Int(value) => serializer.serialize_i64(*value),
            V::Double(value) => serializer.serialize_f64(*value),
            V::Text(text) => serializer.serialize_str(text),
            V::Bytes(bytes) => serializer.serialize_bytes(bytes),
            V::Decimal(unscaled, scale) => Decimal {
                unscaled: *unscaled,
                scale: *scale,
            }
            .serialize(serializer),
            V::Row(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
            V::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
        }
    }
}

/// A schema whose rows have other columns.
pub fn altered(schema: &str, alter: impl FnOnce(&mut Vec<Json>)) -> String {
    let mut schema: Json = serde_json::from_str(schema).unwrap();
    let row = schema.pointer_mut("/fields/0/type/1/fields").unwrap();
    alter(row.as_array_mut().unwrap());
    schema.to_string()
}

/// Gives a column another type.
pub fn retyped(schema: &str, name: &str, to: &Json) -> String {
    altered(schema, |fields| {
        let field = fields.iter_mut().find(|field| field["name"] == name).unwrap();
        *field = json!({"name": name, "type": to});
    })
}

/// `NUMERIC(precision, scale)`.
pub fn numeric(precision: u32, scale: u32) -> Json {
    json!({
        "type": "bytes", "scale": scale, "precision": precision, "connect.version": 1,
        "connect.parameters": {"scale": scale.to_string(), "connect.decimal.precision": precision.to_string()},
        "connect.name": "org.apache.kafka.connect.data.Decimal", "logicalType": "decimal",
    })
}

/// `NUMERIC`.
pub fn bare_numeric() -> Json {
    json!({
        "type": "record", "name": "VariableScaleDecimal", "namespace": "io.debezium.data", "connect.version": 1,
        "connect.doc": "Variable scaled decimal", "connect.name": "io.debezium.data.VariableScaleDecimal",
        "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    })
}

/// A primitive type that Debezium has a name for.
pub fn named(avro: &str, name: &str) -> Json {
    json!({"type": avro, "connect.version": 1, "connect.name": name})
}

/// Writes by one schema.
pub struct Writer(Codec);

impl Writer {
    /// Each schema has a subject of its own: the source's subjects refuse nothing.
    pub fn new(registry: &Arc<dyn Registry>, schema: &str) -> Self {
        Self(Codec::register_schema(registry.clone(), schema, schema).unwrap())
    }

    pub fn event(&self, op: &str, lsn: i64, before: V, after: V) -> Bytes {
        let text = V::from;
        let source = vec![
            ("version", text("3.6.0.Final")),
            ("connector", text("postgresql")),
            ("name", text("bank")),
            ("ts_ms", V::Int(1_700_000_000_000)),
            ("snapshot", text("false")),
            ("db", text("bank")),
            ("schema", text("public")),
            ("table", text("t")),
            ("txId", V::Int(7)),
            ("lsn", V::Int(lsn)),
        ];
        let event = V::Row(vec![
            ("before", before),
            ("after", after),
            ("source", V::Row(source)),
            ("op", text(op)),
        ]);
        let mut out = Vec::new();
        encode_avro(&event, &self.0, &mut out).unwrap();
        out.into()
    }

    /// An insert.
    pub fn insert(&self, lsn: i64, row: V) -> Bytes {
        self.event("c", lsn, V::Null, row)
    }
}

/// A row of `customers`, without its e-mail address, and more columns.
pub fn customer(id: i64, more: Vec<(&'static str, V)>) -> V {
    let at = V::from("2026-03-01T12:00:00.5Z");
    let row = vec![
        ("id", V::Int(id)),
        ("first_name", V::from("Zoë")),
        ("last_name", V::from("O'Neil")),
        ("created_at", at.clone()),
        ("updated_at", at),
    ];
    V::Row(row.into_iter().chain(more).collect())
}

/// A deposit of this amount.
pub fn transaction(id: i64, amount: V) -> V {
    let at = V::from("2026-03-01T12:00:00Z");
    V::Row(vec![
        ("id", V::Int(id)),
        ("account_id", V::Int(3)),
        ("txn_type", V::from("DEPOSIT")),
        ("amount", amount),
        ("related_account_id", V::Null),
        ("status", V::from("COMPLETED")),
        ("created_at", at.clone()),
        ("updated_at", at),
    ])
}

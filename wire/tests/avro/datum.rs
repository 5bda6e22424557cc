//! Any value, by serde: read, and compared with the other implementation's; or the other's, written.

use std::collections::HashMap;
use std::fmt;

use apache_avro::Schema;
use apache_avro::types::Value;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::Decimal;

use crate::random::Random;

/// What a visitor is shown.
#[derive(Debug)]
pub enum Datum {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
    Text(String),
    Items(Vec<Datum>),
    Entries(Vec<(String, Datum)>),
    Decimal(Decimal),
}

/// A number's bytes: the fewest, or so many.
pub fn big_endian(number: i128, size: Option<usize>) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    let sign = if number < 0 { 0xff } else { 0 };
    match size {
        Some(size) => bytes.splice(0..0, vec![sign; size - 16]).for_each(drop),
        None => {
            while bytes.len() > 1 && bytes[0] == sign && (bytes[1] ^ sign) & 0x80 == 0 {
                bytes.remove(0);
            }
        }
    }
    bytes
}

impl Datum {
    /// Whether it is the other's value.
    pub fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (datum, Value::Union(_, value)) => datum.is(value),
            (Datum::Null, Value::Null) => true,
            (Datum::Boolean(a), Value::Boolean(b)) => a == b,
            (Datum::Int(a), Value::Int(b) | Value::Date(b) | Value::TimeMillis(b)) => a == b,
            (Datum::Long(a), Value::Long(b) | Value::TimestampMicros(b) | Value::LocalTimestampMillis(b)) => a == b,
            (Datum::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Datum::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
            (Datum::Bytes(a), Value::Bytes(b) | Value::Fixed(_, b)) => a == b,
            (Datum::Text(a), Value::String(b) | Value::Enum(_, b)) => a == b,
            (Datum::Items(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b)),
            (Datum::Entries(a), Value::Record(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.is(&b.1))
            }
            (Datum::Entries(a), Value::Map(b)) => {
                // Of a key that comes twice, the last counts.
                let a: HashMap<_, _> = a.iter().map(|(key, datum)| (key, datum)).collect();
                a.len() == b.len() && a.iter().all(|(key, datum)| b.get(*key).is_some_and(|value| datum.is(value)))
            }
            (Datum::Decimal(a), Value::Decimal(b)) => *b == big_endian(a.unscaled, None).into(),
            _ => false,
        }
    }
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

enum Key {
    Text(String),
    Scale(u32),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl Visitor<'_> for Keys {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(Key::Text(text.to_owned()))
            }
            fn visit_u32<E>(self, scale: u32) -> Result<Key, E> {
                Ok(Key::Scale(scale))
            }
        }
        deserializer.deserialize_any(Keys)
    }
}

macro_rules! visit {
    ($($method:ident: $type:ty => $variant:ident),*) => {
        $(fn $method<E>(self, value: $type) -> Result<Datum, E> {
            Ok(Datum::$variant(value.to_owned()))
        })*
    };
}

impl<'de> Visitor<'de> for Any {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    visit! { visit_bool: bool => Boolean, visit_i32: i32 => Int, visit_i64: i64 => Long, visit_f32: f32 => Float,
    visit_f64: f64 => Double, visit_bytes: &[u8] => Bytes, visit_str: &str => Text }

    fn visit_unit<E>(self) -> Result<Datum, E> {
        Ok(Datum::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Datum, A::Error> {
        let mut datums = Vec::new();
        while let Some(datum) = items.next_element()? {
            datums.push(datum);
        }
        Ok(Datum::Items(datums))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Datum, A::Error> {
        let mut datums = Vec::new();
        while let Some(key) = entries.next_key()? {
            match key {
                Key::Text(text) => datums.push((text, entries.next_value()?)),
                Key::Scale(scale) => {
                    let unscaled = entries.next_value()?;
                    return Ok(Datum::Decimal(Decimal { unscaled, scale }));
                }
            }
        }
        Ok(Datum::Entries(datums))
    }
}

/// The other's value, as a type of ours would write it: which way, the seed decides.
pub struct Written<'a> {
    value: &'a Value,
    schema: &'a Schema,
    named: HashMap<String, &'a Schema>,
    seed: u64,
}

impl<'a> Written<'a> {
    pub fn new(value: &'a Value, schema: &'a Schema, seed: u64) -> Self {
        let mut named = HashMap::new();
        collect(schema, &mut named);
        Self {
            value,
            schema,
            named,
            seed,
        }
    }

    fn of(&self, value: &'a Value, schema: &'a Schema) -> Self {
        Written {
            value,
            schema,
            named: self.named.clone(),
            seed: Random::new(self.seed).next(),
        }
    }
}

/// The types with names.
pub fn collect<'a>(schema: &'a Schema, named: &mut HashMap<String, &'a Schema>) {
    if let Some(name) = schema.name()
        && !matches!(schema, Schema::Ref { .. })
    {
        named.insert(name.to_string(), schema);
    }
    match schema {
        Schema::Record(record) => record.fields.iter().for_each(|field| collect(&field.schema, named)),
        Schema::Union(union) => union.variants().iter().for_each(|variant| collect(variant, named)),
        Schema::Array(array) => collect(&array.items, named),
        Schema::Map(map) => collect(&map.types, named),
        _ => {}
    }
}

/// What a variant is called.
fn label(schema: &Schema) -> &'static str {
    match schema {
        Schema::Boolean => "Boolean",
        Schema::Int | Schema::Date | Schema::TimeMillis => "Int",
        Schema::Long | Schema::TimestampMicros | Schema::LocalTimestampMillis => "Long",
        Schema::Float => "Float",
        Schema::Double => "Double",
        Schema::Bytes => "Bytes",
        Schema::String => "String",
        Schema::Decimal(_) => "Decimal",
        Schema::Array(_) => "Array",
        Schema::Map(_) => "Map",
        named => named.name().unwrap().name().to_owned().leak(),
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let schema = match self.schema {
            Schema::Ref { name } => self.named[&name.to_string()],
            schema => schema,
        };
        let way = self.seed.is_multiple_of(2);
        match (self.value, schema) {
            (Value::Union(index, value), Schema::Union(union)) => {
                let variant = &union.variants()[*index as usize];
                let inner = self.of(value, variant);
                match **value {
                    Value::Null if way => serializer.serialize_none(),
                    Value::Null => serializer.serialize_unit(),
                    _ if union.variants().len() == 2 && way => serializer.serialize_some(&inner),
                    _ => serializer.serialize_newtype_variant("Union", *index, label(variant), &inner),
                }
            }
            (Value::Null, _) => serializer.serialize_unit(),
            (Value::Boolean(value), _) => serializer.serialize_bool(*value),
            (Value::Int(value) | Value::Date(value) | Value::TimeMillis(value), _) => match way {
                true => serializer.serialize_i32(*value),
                false => serializer.serialize_i64((*value).into()),
            },
            (Value::Long(value) | Value::TimestampMicros(value) | Value::LocalTimestampMillis(value), _) => match way {
                true => serializer.serialize_i64(*value),
                false => serializer.serialize_i128((*value).into()),
            },
            (Value::Float(value), _) => serializer.serialize_f32(*value),
            (Value::Double(value), _) => serializer.serialize_f64(*value),
            (Value::Bytes(bytes) | Value::Fixed(_, bytes), _) => match way {
                true => serializer.serialize_bytes(bytes),
                false => serializer.collect_seq(bytes),
            },
            (Value::String(text), _) => serializer.serialize_str(text),
            (Value::Enum(index, symbol), _) => match way {
                true => serializer.serialize_unit_variant("Enum", *index, symbol.clone().leak()),
                false => serializer.serialize_str(symbol),
            },
            (Value::Array(items), Schema::Array(array)) => {
                serializer.collect_seq(items.iter().map(|item| self.of(item, &array.items)))
            }
            (Value::Map(entries), Schema::Map(map)) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, self.of(value, &map.types))))
            }
            (Value::Decimal(decimal), Schema::Decimal(schema)) => {
                let bytes = Vec::<u8>::try_from(decimal.clone()).unwrap();
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
                let unscaled = bytes.iter().fold(sign, |sum: i128, byte| sum << 8 | i128::from(*byte));
                let scale = schema.scale as u32;
                Decimal { unscaled, scale }.serialize(serializer)
            }
            (Value::Record(fields), Schema::Record(record)) => {
                let mut fields: Vec<_> = fields.iter().zip(&record.fields).collect();
                if self.seed.is_multiple_of(3) {
                    Random::new(self.seed).shuffle(&mut fields);
                }
                if way {
                    let mut out = serializer.serialize_struct("Record", fields.len())?;
                    for ((name, value), field) in fields {
                        out.serialize_field(name.clone().leak(), &self.of(value, &field.schema))?;
                    }
                    return out.end();
                }
                let mut out = serializer.serialize_map(None)?;
                for ((name, value), field) in fields {
                    out.serialize_entry(name, &self.of(value, &field.schema))?;
                }
                out.end()
            }
            (value, schema) => panic!("{value:?} is none of {schema:?}"),
        }
    }
}

//! Random schemas, values of them, and damage.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::InnerDecimalSchema;
use apache_avro::types::Value;
use serde_json::{Value as Json, json};

use crate::datum::{big_endian, collect};

/// A generator of its own, so that a seed is one number.
pub struct Random {
    state: u64,
    named: usize,
    /// Names that may be referred to.
    known: Vec<String>,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            named: 0,
            known: Vec::new(),
        }
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let bits = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u64 + 1) as usize);
        }
    }

    /// A number of any magnitude.
    fn number(&mut self) -> i64 {
        let shift = self.below(64);
        self.next() as i64 >> shift
    }

    fn text(&mut self) -> String {
        let letters = ['a', 'Z', '0', '\0', 'é', '€', '🂡'];
        (0..self.below(12)).map(|_| letters[self.below(7) as usize]).collect()
    }

    fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn name(&mut self) -> String {
        self.named += 1;
        let namespace = if self.below(3) == 0 { "other.space." } else { "" };
        format!("{namespace}Name{}", self.named)
    }

    /// The text of a schema: mostly of a record.
    pub fn schema(&mut self) -> String {
        match self.below(8) {
            0 => self.any(3),
            _ => self.record(3),
        }
        .to_string()
    }

    fn any(&mut self, depth: u64) -> Json {
        match self.below(if depth == 0 { 19 } else { 26 }) {
            0 => json!("null"),
            1 => json!("boolean"),
            2 => json!("int"),
            3 | 4 => json!("long"),
            5 => json!("float"),
            6 => json!("double"),
            7 => json!("bytes"),
            8 | 9 => json!("string"),
            10 => json!({"type": "int", "logicalType": "date"}),
            11 => json!({"type": "int", "logicalType": "time-millis"}),
            12 => json!({"type": "long", "logicalType": "timestamp-micros"}),
            13 => json!({"type": "long", "logicalType": "local-timestamp-millis"}),
            14 | 15 => json!({"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": self.below(30)}),
            16 => self.fixed(),
            17 => self.fixed_decimal(),
            18 => self.symbols(),
            19..22 => self.union(depth - 1),
            22 => json!({"type": "array", "items": self.any(depth - 1)}),
            23 => json!({"type": "map", "values": self.any(depth - 1)}),
            _ => self.record(depth - 1),
        }
    }

    fn fixed(&mut self) -> Json {
        json!({"type": "fixed", "name": self.name(), "size": 1 + self.below(20)})
    }

    fn fixed_decimal(&mut self) -> Json {
        let size = 16 + self.below(4);
        json!({"type": "fixed", "name": self.name(), "size": size, "logicalType": "decimal", "precision": 30, "scale": self.below(9)})
    }

    fn symbols(&mut self) -> Json {
        let symbols: Vec<_> = (0..=self.below(100)).map(|index| format!("SYMBOL{index}")).collect();
        json!({"type": "enum", "name": self.name(), "symbols": symbols})
    }

    /// Null and one other type, in either order; or several that differ. A record within which this lies may be among them.
    fn union(&mut self, depth: u64) -> Json {
        let outer = (!self.known.is_empty()).then(|| self.reference());
        let mut variants = match self.below(3) {
            0 => vec![
                json!("null"),
                json!("int"),
                json!("long"),
                json!("string"),
                self.record(depth),
                self.symbols(),
            ],
            _ => vec![json!("null"), self.variant(depth)],
        };
        if variants.len() > 2 {
            variants.extend(outer);
        }
        self.shuffle(&mut variants);
        json!(variants)
    }

    fn reference(&mut self) -> Json {
        let index = self.below(self.known.len() as u64);
        json!(self.known[index as usize])
    }

    fn variant(&mut self, depth: u64) -> Json {
        if self.below(4) == 0 && !self.known.is_empty() {
            return self.reference();
        }
        loop {
            let known = self.known.len();
            let variant = self.any(depth);
            if !variant.is_array() && variant != json!("null") {
                return variant;
            }
            // What is thrown away defines nothing.
            self.known.truncate(known);
        }
    }

    fn record(&mut self, depth: u64) -> Json {
        let name = self.name();
        // A name without a namespace is in that of the record around it: whole names only are referred to.
        let namespaced = name.contains('.');
        if namespaced {
            self.known.push(name.clone());
        }
        let count = self.below(10);
        let fields: Vec<_> = (0..count)
            .map(|index| json!({"name": format!("field{index}"), "type": self.any(depth)}))
            .collect();
        json!({"type": "record", "name": name, "fields": fields})
    }

    /// A value of a schema.
    pub fn value(&mut self, schema: &Schema) -> Value {
        let mut named = HashMap::new();
        collect(schema, &mut named);
        self.value_of(schema, &named, 12)
    }

    fn value_of(&mut self, schema: &Schema, named: &HashMap<String, &Schema>, fuel: u32) -> Value {
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.below(2) == 0),
            Schema::Int => Value::Int(self.number() as i32),
            Schema::Date => Value::Date(self.number() as i32),
            Schema::TimeMillis => Value::TimeMillis(self.number() as i32),
            Schema::Long => Value::Long(self.number()),
            Schema::TimestampMicros => Value::TimestampMicros(self.number()),
            Schema::LocalTimestampMillis => Value::LocalTimestampMillis(self.number()),
            Schema::Float => Value::Float(f32::from_bits(self.next() as u32)),
            Schema::Double => Value::Double(f64::from_bits(self.next())),
            Schema::Bytes => {
                let count = self.below(100);
                Value::Bytes(self.bytes(count))
            }
            Schema::String => Value::String(self.text()),
            Schema::Fixed(fixed) => Value::Fixed(fixed.size, self.bytes(fixed.size as u64)),
            Schema::Decimal(decimal) => {
                let shift = self.below(64);
                let digits = (i128::from(self.number()) * i128::from(self.number())) >> shift;
                let size = match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                };
                Value::Decimal(big_endian(digits, size).into())
            }
            Schema::Enum(symbols) => {
                let index = self.below(symbols.symbols.len() as u64) as usize;
                Value::Enum(index as u32, symbols.symbols[index].clone())
            }
            Schema::Array(array) => {
                let count = if fuel == 0 { 0 } else { self.below(4) };
                Value::Array((0..count).map(|_| self.value_of(&array.items, named, fuel - 1)).collect())
            }
            // One entry at most: their order is not defined.
            Schema::Map(map) => {
                let count = if fuel == 0 { 0 } else { self.below(2) };
                let entries = (0..count).map(|_| (self.text(), self.value_of(&map.types, named, fuel - 1)));
                Value::Map(entries.collect())
            }
            Schema::Union(union) => {
                let null = union.variants().iter().position(|variant| *variant == Schema::Null);
                let index = match (fuel, null) {
                    (0, Some(null)) => null,
                    _ => self.below(union.variants().len() as u64) as usize,
                };
                let value = self.value_of(&union.variants()[index], named, fuel.saturating_sub(1));
                Value::Union(index as u32, Box::new(value))
            }
            Schema::Record(record) => {
                let fields = record.fields.iter();
                Value::Record(
                    fields
                        .map(|field| {
                            (
                                field.name.clone(),
                                self.value_of(&field.schema, named, fuel.saturating_sub(1)),
                            )
                        })
                        .collect(),
                )
            }
            Schema::Ref { name } => self.value_of(named[&name.to_string()], named, fuel),
            other => panic!("{other:?} is not made here"),
        }
    }

    /// The bytes with some changed, cut off, added or put elsewhere.
    pub fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(2) {
            let at = self.below(bytes.len() as u64 + 1) as usize;
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, [0, 1, 2, 0x7f, 0x80, 0xff][self.below(6) as usize]),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                4 if at < bytes.len() => bytes[at] = self.next() as u8,
                _ => {
                    let count = self.below(20);
                    bytes.splice(at..at, self.bytes(count));
                }
            }
        }
        bytes
    }
}

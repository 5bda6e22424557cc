//! Avro against another implementation of it: seeded random schemas and values go both ways, and damaged bytes are read by both.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(deprecated, reason = "one call each way says all there is to say")]

mod datum;
mod edges;
mod evolution;
mod names;
mod random;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use apache_avro::types::Value;
use apache_avro::{Schema, from_avro_datum, to_avro_datum};
use datum::{Datum, Written};
use proptest::prelude::*;
use random::Random;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use wire::{Codec, HEADER_LEN, MemoryRegistry, WireError, decode_avro, encode_avro};

/// A schema, here and there.
pub struct Subject {
    codec: Codec,
    schema: Schema,
}

impl Subject {
    /// Of a schema's text, or of a primitive type's name.
    pub fn new(text: &str) -> Self {
        let text = match text.starts_with(['{', '[', '"']) {
            true => text.to_owned(),
            false => format!("\"{text}\""),
        };
        Self {
            codec: Codec::register_schema(Arc::new(MemoryRegistry::default()), "subject-value", &text).unwrap(),
            schema: Schema::parse_str(&text).unwrap(),
        }
    }

    /// A datum, without the frame.
    pub fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, WireError> {
        let mut out = vec![0xAA];
        encode_avro(value, &self.codec, &mut out)?;
        assert_eq!(
            out[..=HEADER_LEN],
            [0xAA, 0, 0, 0, 0, 1],
            "what was there stays, then comes the frame"
        );
        Ok(out.split_off(1 + HEADER_LEN))
    }

    /// A value of a datum, without the frame.
    pub fn decode<T: for<'de> Deserialize<'de>>(&self, datum: &[u8]) -> Result<T, WireError> {
        decode_avro(&[&[0, 0, 0, 0, 1], datum].concat(), &self.codec)
    }

    /// The datum that the other implementation writes.
    pub fn there(&self, value: &Value) -> Vec<u8> {
        to_avro_datum(&self.schema, value.clone()).unwrap()
    }

    /// What the other implementation reads, if it reads all of it.
    pub fn read_there(&self, mut datum: &[u8]) -> Option<Value> {
        let value = from_avro_datum(&self.schema, &mut datum, None).ok()?;
        datum.is_empty().then_some(value)
    }
}

thread_local! {
    static WANTED: Cell<&'static [&'static str]> = const { Cell::new(&[]) };
}

/// A struct with the fields that are [`WANTED`].
#[derive(Debug)]
struct Part(Vec<(String, Datum)>);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Part;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Part, A::Error> {
                let mut part = Vec::new();
                for name in WANTED.get() {
                    part.push((
                        name.to_string(),
                        fields.next_element()?.ok_or_else(|| A::Error::missing_field(name))?,
                    ));
                }
                Ok(Part(part))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Part, A::Error> {
                let mut part = Vec::new();
                while let Some(entry) = fields.next_entry()? {
                    part.push(entry);
                }
                Ok(Part(part))
            }
        }
        deserializer.deserialize_struct("Part", WANTED.get(), Fields)
    }
}

/// Reads some fields of a record, in any order, and checks that they are those of the whole.
fn check_parts(subject: &Subject, datum: &[u8], record: &[(String, Value)], random: &mut Random) {
    for share in [0, 1, 2, 4] {
        let mut wanted: Vec<&'static str> = vec!["no_such_field"];
        wanted.extend(
            record
                .iter()
                .filter(|_| random.below(4) < share)
                .map(|(name, _)| &*name.clone().leak()),
        );
        if random.below(2) == 0 {
            wanted.remove(0);
        }
        if random.below(2) == 0 {
            random.shuffle(&mut wanted);
        }
        WANTED.set(wanted.leak());
        let Part(part) = subject.decode(datum).unwrap();
        let expected = record.iter().filter(|(name, _)| WANTED.get().contains(&name.as_str()));
        assert_eq!(part.len(), expected.clone().count());
        for ((name, datum), (expected, value)) in part.iter().zip(expected) {
            assert!(
                name == expected && datum.is(value),
                "{name}: {datum:?} is not {expected}: {value:?}"
            );
        }
    }
}

/// Everything that must hold for a schema and a value.
fn check(seed: u64) {
    let mut random = Random::new(seed);
    let text = random.schema();
    let subject = Subject::new(&text);
    let value = random.value(&subject.schema);
    let datum = subject.there(&value);

    let ours = subject.encode(&Written::new(&value, &subject.schema, random.next()));
    assert_eq!(ours.unwrap(), datum, "{text}\n{value:?}");
    let read: Datum = subject.decode(&datum).unwrap();
    assert!(read.is(&value), "{text}\n{read:?}\n{value:?}");
    subject.decode::<IgnoredAny>(&datum).unwrap();
    if let Value::Record(fields) = &value {
        check_parts(&subject, &datum, fields, &mut random);
    }

    for _ in 0..20 {
        let damaged = random.damaged(&datum);
        let read = subject.decode::<Datum>(&damaged);
        if let Ok(read) = read {
            let there = subject.read_there(&damaged);
            let there = there.unwrap_or_else(|| panic!("the other refuses {damaged:?} of {text}"));
            assert!(read.is(&there), "{damaged:?} of {text}\n{read:?}\n{there:?}");
        }
        let _ = subject.decode::<IgnoredAny>(&damaged);
        let _ = subject.decode::<Part>(&damaged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_implementations_agree(seed in any::<u64>()) {
        check(seed);
    }
}

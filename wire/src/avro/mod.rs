//! Avro straight into structs and out of them, by the writer's schema.
//!
//! A schema's text becomes a [`plan::Plan`] once. What a struct wants of a record is worked out once too ([`view`]): its fields
//! in the writer's order, and between them what to step over ([`skip`]). So a datum costs about what its wanted fields cost.
//!
//! Why not a library? This is the hot path: the fastest one that we tried took a good third of the instructions of a
//! record's way through the engine, most of them for fields that nobody wanted. The schema's language (names, namespaces, defaults) is left to `apache_avro`.

mod compile;
mod de;
mod default;
mod error;
mod found;
mod input;
mod name;
mod output;
mod plan;
mod schema;
mod ser;
mod skip;
mod step;
mod view;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::framing::{split, write_header};
use crate::{Codec, WireError};
pub(crate) use de::digits;
pub use error::Error as DatumError;
pub use input::Input as DatumInput;
pub(crate) use plan::Plan;
pub(crate) use schema::{can_read, is_schema, reads_alike, schema_name};

/// Appends a framed datum, in the schema that the codec registered.
pub fn encode_avro<T: Serialize>(value: &T, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
    let (id, plan) = codec.writer()?;
    write_header(id, out);
    let mut state = ser::State::new(plan, std::mem::take(out));
    let result = value.serialize(state.root());
    *out = state.out;
    result.map_err(|error| WireError::Unencodable(error.to_string()))
}

/// Reads a framed datum by the schema that it was written with, whatever that is called.
pub fn decode_avro<T: DeserializeOwned>(bytes: &[u8], codec: &Codec) -> Result<T, WireError> {
    let (id, datum) = split(bytes)?;
    decode(id, codec.plan(id)?, datum)
}

/// The same for a type that has a schema of its own: a record that was written under another name is none of it
/// ([`WireError::ForeignSchema`]), though its fields may fit. The schema's aliases count as its names.
pub fn decode_avro_as<T: DeserializeOwned>(schema: &'static str, bytes: &[u8], codec: &Codec) -> Result<T, WireError> {
    let (id, datum) = split(bytes)?;
    let plan = codec.plan(id)?;
    if let Err(expected) = plan.fits(schema) {
        return Err(WireError::ForeignSchema {
            id,
            expected: expected.to_owned(),
            found: plan.name().to_owned(),
        });
    }
    decode(id, plan, datum)
}

#[inline]
fn decode<T: DeserializeOwned>(id: u32, plan: &Plan, datum: &[u8]) -> Result<T, WireError> {
    let malformed = |error: error::Error| WireError::Malformed(format!("schema {id}: {error}"));
    let mut state = de::State::new(plan, datum);
    let value = T::deserialize(state.root()).map_err(malformed)?;
    match state.input.left() {
        0 => Ok(value),
        left => Err(malformed(error::Error::new(format!("{left} bytes are left over")))),
    }
}

/// Implements [`crate::Wire`] for a serde type by its Avro schema. What is read must have been written under the schema's name
/// or one of its aliases, unless `any_name` follows.
#[macro_export]
macro_rules! avro_wire {
    ($type:ty, $schema:expr) => {
        $crate::avro_wire!(@ $type, $schema, |bytes, codec| $crate::decode_avro_as($schema, bytes, codec));
    };
    ($type:ty, $schema:expr, any_name) => {
        $crate::avro_wire!(@ $type, $schema, |bytes, codec| $crate::decode_avro(bytes, codec));
    };
    (@ $type:ty, $schema:expr, |$bytes:ident, $codec:ident| $decode:expr) => {
        impl $crate::Wire for $type {
            const SCHEMA: Option<&'static str> = Some($schema);
            fn encode(&self, codec: &$crate::Codec, out: &mut Vec<u8>) -> Result<(), $crate::WireError> {
                $crate::encode_avro(self, codec, out)
            }
            fn decode($bytes: &[u8], $codec: &$crate::Codec) -> Result<Self, $crate::WireError> {
                $decode
            }
        }
    };
}

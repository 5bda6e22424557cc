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
mod input;
mod output;
mod plan;
mod ser;
mod skip;
mod view;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::framing::{split, write_header};
use crate::{Codec, WireError};
pub use error::Error as DatumError;
pub use input::Input as DatumInput;
pub(crate) use plan::Plan;

/// Appends a framed datum, in the schema that the codec registered.
pub fn encode_avro<T: Serialize>(value: &T, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
    let (id, plan) = codec.writer()?;
    write_header(id, out);
    let mut state = ser::State::new(plan, std::mem::take(out));
    let result = value.serialize(state.root());
    *out = state.out;
    result.map_err(|error| WireError::Unencodable(error.to_string()))
}

/// Reads a framed datum by the schema that it was written with.
pub fn decode_avro<T: DeserializeOwned>(bytes: &[u8], codec: &Codec) -> Result<T, WireError> {
    let (id, datum) = split(bytes)?;
    let plan = codec.plan(id)?;
    let malformed = |error: error::Error| WireError::Malformed(format!("schema {id}: {error}"));
    let mut state = de::State::new(plan, datum);
    let value = T::deserialize(state.root()).map_err(malformed)?;
    match state.input.left() {
        0 => Ok(value),
        left => Err(malformed(error::Error::new(format!("{left} bytes are left over")))),
    }
}

/// Implements [`crate::Wire`] for a serde type by its Avro schema.
#[macro_export]
macro_rules! avro_wire {
    ($type:ty, $schema:expr) => {
        impl $crate::Wire for $type {
            const SCHEMA: Option<&'static str> = Some($schema);
            fn encode(&self, codec: &$crate::Codec, out: &mut Vec<u8>) -> Result<(), $crate::WireError> {
                $crate::encode_avro(self, codec, out)
            }
            fn decode(bytes: &[u8], codec: &$crate::Codec) -> Result<Self, $crate::WireError> {
                $crate::decode_avro(bytes, codec)
            }
        }
    };
}

//! Avro straight into structs and out of them.

use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_avro_fast::ser::SerializerConfig;

use crate::framing::{HEADER_LEN, split, write_header};
use crate::{Codec, WireError};

/// Appends a framed datum, in the schema that the codec registered.
pub fn encode_avro<T: Serialize>(value: &T, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
    let (id, schema) = codec.writer()?;
    write_header(*id, out);
    let mut config = SerializerConfig::new(schema);
    // Raw bytes in records (a quarantined value) come as sequences from serde's default implementation.
    config.allow_slow_sequence_to_bytes();
    serde_avro_fast::to_datum(value, out, &mut config).map_err(|error| WireError::Unencodable(error.to_string()))?;
    Ok(())
}

/// Reads a framed datum by the schema that it was written with.
pub fn decode_avro<T: DeserializeOwned>(bytes: &[u8], codec: &Codec) -> Result<T, WireError> {
    let (id, datum) = split(bytes)?;
    debug_assert_eq!(bytes.len() - datum.len(), HEADER_LEN);
    let schema = codec.schema(id)?;
    let mut state = serde_avro_fast::de::DeserializerState::from_slice(datum, &schema);
    let value = T::deserialize(state.deserializer()).map_err(|error| WireError::Malformed(format!("schema {id}: {error}")))?;
    if state.into_reader().read(&mut [0]).unwrap_or(1) != 0 {
        return Err(WireError::Malformed(format!("schema {id}: bytes are left over")));
    }
    Ok(value)
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

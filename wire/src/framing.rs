//! Confluent's framing: a zero byte, the schema's id in four bytes, big endian, then the Avro datum.
//!
//! Newer serializers can put what stands before the datum into one of the record's headers instead: the same five bytes, or a byte of
//! one and the schema's GUID in sixteen.

use std::fmt;
use std::sync::Arc;

use crate::{Registry, RegistryError, WireError};

/// Bytes before the datum.
pub const HEADER_LEN: usize = 5;

/// The record header with the key's schema.
pub const KEY_SCHEMA_HEADER: &str = "__key_schema_id";

/// The record header with the value's schema.
pub const VALUE_SCHEMA_HEADER: &str = "__value_schema_id";

/// The schema id and the datum of framed bytes.
#[inline]
pub fn split(bytes: &[u8]) -> Result<(u32, &[u8]), WireError> {
    match bytes {
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        _ => Err(WireError::Malformed(unframed(bytes))),
    }
}

/// What bytes look like that have no schema's id before them.
#[cold]
fn unframed(bytes: &[u8]) -> String {
    let guess = match bytes {
        [] => return "nothing where a schema's id and a datum must be".to_owned(),
        [0, ..] => {
            return format!(
                "{} bytes are too few for a schema's id, which takes {HEADER_LEN}",
                bytes.len()
            );
        }
        [1, ..] if bytes.len() > 16 => ": a schema's GUID?",
        [0xc3, 0x01, ..] => ": Avro's single-object encoding?",
        [b'O', b'b', b'j', 1, ..] => ": an Avro file?",
        [b'{' | b'[' | b'"', ..] => ": JSON?",
        [b' '..=b'~', ..] => ": text?",
        _ => "",
    };
    format!("it starts with {:#04x}, not with 0x00 and a schema's id{guess}", bytes[0])
}

/// Which schema something was written by, as its record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriterSchema {
    /// By the registry's id.
    Id(u32),
    /// By its GUID, which few registries know.
    Guid([u8; 16]),
}

impl WriterSchema {
    /// From the record header with it ([`VALUE_SCHEMA_HEADER`]).
    ///
    /// # Errors
    ///
    /// It is neither an id nor a GUID.
    pub fn of_header(header: &[u8]) -> Result<Self, WireError> {
        match header {
            [0, id @ ..] if id.len() == 4 => Ok(Self::Id(u32::from_be_bytes([id[0], id[1], id[2], id[3]]))),
            [1, guid @ ..] if guid.len() == 16 => {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(guid);
                Ok(Self::Guid(bytes))
            }
            _ => Err(WireError::Malformed(format!(
                "the header for the schema has {} bytes: neither 0x00 and an id nor 0x01 and a GUID",
                header.len()
            ))),
        }
    }

    /// Its text, as the registry has it.
    ///
    /// # Errors
    ///
    /// The registry does not answer, or has no such schema.
    pub fn text(&self, registry: &dyn Registry) -> Result<Arc<str>, RegistryError> {
        match self {
            Self::Id(id) => registry.by_id(*id),
            Self::Guid(_) => registry.by_guid(&self.to_string()),
        }
    }
}

/// The id, or the GUID as registries write it.
impl fmt::Display for WriterSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guid = match self {
            Self::Id(id) => return id.fmt(f),
            Self::Guid(guid) => guid,
        };
        for (place, byte) in guid.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Appends the header.
pub(crate) fn write_header(id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
}

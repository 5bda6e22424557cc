//! Confluent's framing: a zero byte, the schema's id in four bytes, big endian, then the Avro datum.
//!
//! Newer serializers can put what stands before the datum into one of the record's headers instead: the same five bytes, or a byte of
//! one and the schema's GUID in sixteen.

use crate::WireError;

/// Bytes before the datum.
pub const HEADER_LEN: usize = 5;

/// The record header that tells of the key's schema.
pub const KEY_SCHEMA_HEADER: &str = "__key_schema_id";

/// The record header that tells of the value's schema.
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

/// Which schema a record's header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Id(u32),
    Guid([u8; 16]),
}

pub(crate) fn named_by(header: &[u8]) -> Result<Named, WireError> {
    match header {
        [0, id @ ..] if id.len() == 4 => Ok(Named::Id(u32::from_be_bytes([id[0], id[1], id[2], id[3]]))),
        [1, guid @ ..] if guid.len() == 16 => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(guid);
            Ok(Named::Guid(bytes))
        }
        _ => Err(WireError::Malformed(format!(
            "the header for the schema has {} bytes: neither 0x00 and an id nor 0x01 and a GUID",
            header.len()
        ))),
    }
}

/// A GUID as registries write it.
pub(crate) fn guid_text(guid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in guid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Appends the header.
pub(crate) fn write_header(id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
}

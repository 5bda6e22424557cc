//! Confluent's framing: a zero byte, the schema's id in four bytes, big endian, then the Avro datum.

use crate::WireError;

/// Bytes before the datum.
pub const HEADER_LEN: usize = 5;

/// The schema id and the datum of framed bytes.
pub fn split(bytes: &[u8]) -> Result<(u32, &[u8]), WireError> {
    match bytes {
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        [first, ..] if *first != 0 => Err(WireError::Malformed(format!("the first byte is {first:#04x}, not 0x00"))),
        _ => Err(WireError::Malformed(format!(
            "{} bytes are too few for a schema id",
            bytes.len()
        ))),
    }
}

/// Appends the header.
pub(crate) fn write_header(id: u32, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
}

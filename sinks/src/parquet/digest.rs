//! What records are, in a few bytes.
//!
//! Why of the records and not of a file's bytes? Two owners of one decision may encode the same records differently: the shape of a
//! file follows from what the one before it held, which a new owner does not know, and another version of the program or of its
//! libraries compresses differently. The same records are the same content.

use std::fmt::Write as _;

use broker::Message;
use sha2::{Digest as _, Sha256};

/// Letters of a short digest, for the group's metadata: enough to tell that a log is another one.
const SHORT_LETTERS: usize = 24;

/// The SHA-256 of records in their order: offsets, timestamps, keys, values and headers.
#[derive(Clone, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Takes the next record.
    pub fn add(&mut self, record: &Message) {
        self.0.update(record.offset.to_be_bytes());
        self.0.update(record.timestamp_ms.to_be_bytes());
        self.bytes(record.key.as_deref());
        self.bytes(record.value.as_deref());
        self.0.update((record.headers.len() as u64).to_be_bytes());
        for (name, value) in &record.headers {
            self.bytes(Some(name.as_bytes()));
            self.bytes(value.as_deref());
        }
    }

    /// Nothing is not the same as something that is empty, and every length is part of it.
    fn bytes(&mut self, bytes: Option<&[u8]>) {
        self.0
            .update(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
        self.0.update(bytes.unwrap_or_default());
    }

    /// As hexadecimal digits.
    pub fn finish(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string never fails.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// A digest's first letters.
pub fn short(digest: &str) -> &str {
    digest.get(..SHORT_LETTERS).unwrap_or(digest)
}

/// The short digest of one record.
pub fn of_record(record: &Message) -> String {
    let mut digest = Digest::default();
    digest.add(record);
    short(&digest.finish()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, key: Option<&'static str>, value: Option<&'static str>) -> Message {
        let bytes = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
        Message {
            slot: 0,
            offset,
            timestamp_ms: 7,
            key: key.map(bytes),
            value: value.map(bytes),
            headers: vec![],
        }
    }

    #[test]
    fn every_part_of_a_record_counts_and_its_slot_does_not() {
        let one = record(1, Some("k"), Some("v"));
        let headers = vec![("h".to_owned(), None)];
        let others = [
            record(2, Some("k"), Some("v")),
            record(1, Some("kv"), Some("")),
            record(1, Some("kv"), None),
            record(1, None, Some("kv")),
            Message {
                timestamp_ms: 8,
                ..one.clone()
            },
            Message { headers, ..one.clone() },
        ];
        let mut all: Vec<_> = others.iter().chain([&one]).map(of_record).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 7);
        assert_eq!(of_record(&Message { slot: 9, ..one.clone() }), of_record(&one));
    }
}

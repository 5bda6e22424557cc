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

/// Bytes that are hashed at once: many small pieces one by one cost more than copying them together first.
const PIECE: usize = 4_096;

/// The SHA-256 of records in their order: offsets, timestamps, keys, values and headers.
#[derive(Clone, Default)]
pub struct Digest {
    hash: Sha256,
    waiting: Vec<u8>,
}

impl Digest {
    /// Takes the next record.
    pub fn add(&mut self, record: &Message) {
        self.take(&record.offset.to_be_bytes());
        self.take(&record.timestamp_ms.to_be_bytes());
        self.bytes(record.key.as_deref());
        self.bytes(record.value.as_deref());
        self.take(&(record.headers.len() as u64).to_be_bytes());
        for (name, value) in &record.headers {
            self.bytes(Some(name.as_bytes()));
            self.bytes(value.as_deref());
        }
    }

    /// Nothing is not the same as something that is empty, and every length is part of it.
    fn bytes(&mut self, bytes: Option<&[u8]>) {
        self.take(&bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
        self.take(bytes.unwrap_or_default());
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > PIECE {
            self.hash.update(&self.waiting);
            self.waiting.clear();
        }
        match bytes.len() {
            ..=PIECE => self.waiting.extend_from_slice(bytes),
            _ => self.hash.update(bytes),
        }
    }

    /// As hexadecimal digits.
    pub fn finish(mut self) -> String {
        self.hash.update(&self.waiting);
        self.hash.finalize().iter().fold(String::new(), |mut text, byte| {
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
    fn it_is_the_hash_of_all_bytes_one_after_the_other() {
        let (mut digest, mut hash) = (Digest::default(), Sha256::new());
        for (offset, length) in (0..).zip([0, 1, 4_050, 4_095, 4_096, 4_097, 20_000, 3, 100, 4_000]) {
            let value = bytes::Bytes::from(vec![offset as u8; length]);
            digest.add(&Message {
                value: Some(value.clone()),
                ..record(offset, Some("key"), None)
            });
            hash.update(offset.to_be_bytes());
            hash.update(7_i64.to_be_bytes());
            hash.update(3_u64.to_be_bytes());
            hash.update("key");
            hash.update((length as u64).to_be_bytes());
            hash.update(&value);
            hash.update(0_u64.to_be_bytes());
            let expected: String = hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest.clone().finish(), expected, "offset {offset}");
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

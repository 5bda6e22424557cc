//! Many records in one: what a repartition topic holds.
//!
//! A record costs the client about a microsecond on its way to the broker and back, whatever its size: it is queued, placed,
//! counted, acknowledged and fetched on its own. Nobody but this engine reads a repartition topic, so there the records of a
//! transaction travel together.
//!
//! ```text
//!  log record, without a key:  version 1 │ count, 4 bytes │ record …
//!  record:                     timestamp − that of the record before (zigzag) │ key length + 1 │ key │ value length + 1 │ value
//! ```
//!
//! Numbers are variable-length as in Avro; length 0 stands for none. The log record's timestamp is that of the newest.

use std::ops::Range;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 5;

/// A log record is sent when it has this many bytes: a hundred small records cost little more than ten thousand would.
pub(crate) const PACK_BYTES: usize = 8 * 1024;

/// No pack holds more: with the place in its pack, a record has an offset of its own (see [`super::input`]).
pub(crate) const PACK_RECORDS: u32 = 1 << 12;

/// A pack without records: marks a place in a repartition topic (see [`super::handover`]).
pub(crate) const BARRIER: [u8; HEADER_LEN] = [VERSION, 0, 0, 0, 0];

/// Whether these are the bytes of a barrier.
pub(crate) fn is_barrier(bytes: &[u8]) -> bool {
    bytes == BARRIER
}

/// A pack that is being filled.
#[derive(Default)]
pub(crate) struct Pack {
    bytes: Vec<u8>,
    count: u32,
    latest_ms: i64,
    pub newest_ms: i64,
}

impl Pack {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn is_full(&self) -> bool {
        self.bytes.len() >= PACK_BYTES || self.count == PACK_RECORDS
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    pub fn push(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        if self.count == 0 {
            self.bytes.clear();
            self.bytes.extend_from_slice(&BARRIER);
            (self.latest_ms, self.newest_ms) = (0, timestamp_ms);
        }
        let delta = timestamp_ms.wrapping_sub(self.latest_ms);
        put_number(((delta << 1) ^ (delta >> 63)) as u64, &mut self.bytes);
        for part in [key, value] {
            put_number(part.map_or(0, |part| part.len() as u64 + 1), &mut self.bytes);
            self.bytes.extend_from_slice(part.unwrap_or_default());
        }
        self.count += 1;
        self.latest_ms = timestamp_ms;
        self.newest_ms = self.newest_ms.max(timestamp_ms);
    }

    /// The log record's value.
    pub fn finish(&mut self) -> &[u8] {
        self.bytes[1..HEADER_LEN].copy_from_slice(&self.count.to_be_bytes());
        &self.bytes
    }
}

/// How many records a pack says that it holds; `None` where it is no pack.
pub(crate) fn count(bytes: &[u8]) -> Option<u32> {
    let (head, records) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let [VERSION, count @ ..] = head else { return None };
    // Three bytes are the least that a record takes.
    Some(u32::from_be_bytes(*count)).filter(|count| (1..=PACK_RECORDS).contains(count) && *count as usize <= records.len() / 3)
}

/// A way through a pack.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    at: usize,
    timestamp_ms: i64,
}

/// A packed record: its parts lie in the pack's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub timestamp_ms: i64,
    pub key: Option<Range<usize>>,
    pub value: Option<Range<usize>>,
}

impl Cursor {
    pub fn start() -> Self {
        Self {
            at: HEADER_LEN,
            timestamp_ms: 0,
        }
    }

    /// The next record; `None` where the bytes are not as they must be.
    pub fn next_of(&mut self, bytes: &[u8]) -> Option<Packed> {
        let delta = self.number(bytes)?;
        let delta = (delta >> 1) as i64 ^ -((delta & 1) as i64);
        self.timestamp_ms = self.timestamp_ms.wrapping_add(delta);
        Some(Packed {
            timestamp_ms: self.timestamp_ms,
            key: self.part(bytes)?,
            value: self.part(bytes)?,
        })
    }

    fn part(&mut self, bytes: &[u8]) -> Option<Option<Range<usize>>> {
        let Some(len) = usize::try_from(self.number(bytes)?).ok()?.checked_sub(1) else {
            return Some(None);
        };
        let range = self.at..self.at.checked_add(len).filter(|end| *end <= bytes.len())?;
        self.at = range.end;
        Some(Some(range))
    }

    fn number(&mut self, bytes: &[u8]) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

    fn unpack(bytes: &[u8]) -> Option<Vec<Plain>> {
        let mut cursor = Cursor::start();
        let part = |range: Option<Range<usize>>| range.map(|range| bytes[range].to_vec());
        (0..count(bytes)?)
            .map(|_| cursor.next_of(bytes).map(|r| (r.timestamp_ms, part(r.key), part(r.value))))
            .collect()
    }

    fn part() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300))
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(records in proptest::collection::vec((any::<i64>(), part(), part()), 1..50)) {
            let mut pack = Pack::default();
            // Twice: a pack is used again.
            for _ in 0..2 {
                pack.clear();
                for (at, key, value) in &records {
                    pack.push(*at, key.as_deref(), value.as_deref());
                }
                prop_assert_eq!(pack.newest_ms, records.iter().map(|r| r.0).max().unwrap());
                prop_assert_eq!(unpack(pack.finish()), Some(records.clone()));
            }
        }

        #[test]
        fn other_bytes_are_refused_or_read_within_their_bounds(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version: bool) {
            if let (true, [head, a, b, ..]) = (version, bytes.as_mut_slice()) {
                (*head, *a, *b) = (VERSION, 0, 0);
            }
            unpack(&bytes);
        }
    }
}

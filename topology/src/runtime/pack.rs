//! Many records in one: what a repartition topic holds.
//!
//! A record costs the client about a microsecond on its way to the broker and back, whatever its size: it is queued, placed,
//! counted, acknowledged and fetched on its own. Nobody but this engine reads a repartition topic, so there the records of a
//! transaction travel together.
//!
//! ```text
//!  log record, without a key:  version │ count, 4 bytes │ record …
//!  record:                     timestamp − that of the record before (zigzag) │ key length + 1 │ key │ value length + 1 │ value
//!  in version 2 also:          │ headers' length │ headers
//! ```
//!
//! Numbers are variable-length as in Avro; length 0 stands for none. The log record's timestamp is that of the newest.
//!
//! Version 2 is for packs with [headers](crate::headers). Others stay in version 1, whose records are a byte shorter, and which earlier
//! versions of the engine read.

use std::ops::Range;

use crate::{headers, number};

const VERSION: u8 = 1;
const WITH_HEADERS: u8 = 2;
const HEADER_LEN: usize = 5;

/// A log record is sent when it has this many bytes: a hundred small records cost little more than ten thousand would.
pub(crate) const PACK_BYTES: usize = 8 * 1024;

/// No pack holds more: with the place in its pack, a record has [an offset of its own](crate::offset).
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

    /// Whether a record with or without headers can be added. Where it cannot, the pack goes first.
    pub fn takes(&self, has_headers: bool) -> bool {
        self.count == 0 || !has_headers || self.bytes[0] == WITH_HEADERS
    }

    /// Adds a record; headers as their bytes.
    pub fn push(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: Option<&[u8]>) {
        debug_assert!(self.takes(headers.is_some()), "a pack of version 1 has no headers");
        if self.count == 0 {
            self.bytes.clear();
            self.bytes.extend_from_slice(&BARRIER);
            if headers.is_some() {
                self.bytes[0] = WITH_HEADERS;
            }
            (self.latest_ms, self.newest_ms) = (0, timestamp_ms);
        }
        let delta = timestamp_ms.wrapping_sub(self.latest_ms);
        number::put(((delta << 1) ^ (delta >> 63)) as u64, &mut self.bytes);
        for part in [key, value] {
            number::put(part.map_or(0, |part| part.len() as u64 + 1), &mut self.bytes);
            self.bytes.extend_from_slice(part.unwrap_or_default());
        }
        if self.bytes[0] == WITH_HEADERS {
            let headers = headers.unwrap_or_default();
            number::put(headers.len() as u64, &mut self.bytes);
            self.bytes.extend_from_slice(headers);
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
    let [VERSION | WITH_HEADERS, count @ ..] = head else {
        return None;
    };
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
    pub headers: Option<Range<usize>>,
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
        let delta = number::take(bytes, &mut self.at)?;
        let delta = (delta >> 1) as i64 ^ -((delta & 1) as i64);
        self.timestamp_ms = self.timestamp_ms.wrapping_add(delta);
        Some(Packed {
            timestamp_ms: self.timestamp_ms,
            key: self.part(bytes)?,
            value: self.part(bytes)?,
            headers: match bytes.first() {
                Some(&WITH_HEADERS) => self.headers(bytes)?,
                _ => None,
            },
        })
    }

    fn headers(&mut self, bytes: &[u8]) -> Option<Option<Range<usize>>> {
        let len = number::take(bytes, &mut self.at)?;
        let part = number::take_part(bytes, len, &mut self.at)?;
        let is_whole = headers::is_whole(&bytes[part.clone()]);
        is_whole.then_some((!part.is_empty()).then_some(part))
    }

    fn part(&mut self, bytes: &[u8]) -> Option<Option<Range<usize>>> {
        match number::take(bytes, &mut self.at)?.checked_sub(1) {
            Some(len) => number::take_part(bytes, len, &mut self.at).map(Some),
            None => Some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

    fn unpack(bytes: &[u8]) -> Option<Vec<Plain>> {
        let mut cursor = Cursor::start();
        let part = |range: Option<Range<usize>>| range.map(|range| bytes[range].to_vec());
        let plain = |r: Packed| (r.timestamp_ms, part(r.key), part(r.value), part(r.headers));
        (0..count(bytes)?).map(|_| cursor.next_of(bytes).map(plain)).collect()
    }

    fn part() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300))
    }

    fn headers() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::weighted(0.2, "[a-z]{0,9}").prop_map(|name| {
            let mut bytes = Vec::new();
            let header = |name| (name, Some(bytes::Bytes::from_static(b"value")));
            crate::headers::encode(&name.into_iter().map(header).collect(), &mut bytes);
            Some(bytes).filter(|bytes| !bytes.is_empty())
        })
    }

    /// Packs records in order, into as many packs as they need.
    fn pack_all(records: &[Plain], pack: &mut Pack) -> Vec<Vec<u8>> {
        let mut packs = Vec::new();
        pack.clear();
        for (at, key, value, headers) in records {
            if !pack.takes(headers.is_some()) {
                packs.push(pack.finish().to_vec());
                pack.clear();
            }
            pack.push(*at, key.as_deref(), value.as_deref(), headers.as_deref());
        }
        packs.push(pack.finish().to_vec());
        packs
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(records in proptest::collection::vec((any::<i64>(), part(), part(), headers()), 1..50)) {
            let mut pack = Pack::default();
            // Twice: a pack is used again.
            for _ in 0..2 {
                let packs = pack_all(&records, &mut pack);
                prop_assert!(packs.len() <= 2, "headers begin another pack once");
                let unpacked: Vec<Plain> = packs.iter().flat_map(|pack| unpack(pack).unwrap()).collect();
                prop_assert_eq!(&unpacked, &records);
                let last = &records[records.len() - unpack(&packs[packs.len() - 1]).unwrap().len()..];
                prop_assert_eq!(pack.newest_ms, last.iter().map(|r| r.0).max().unwrap());
            }
        }

        #[test]
        fn other_bytes_are_refused_or_read_within_their_bounds(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0..3_u8) {
            if let (VERSION.., [head, a, b, ..]) = (version, bytes.as_mut_slice()) {
                (*head, *a, *b) = (version, 0, 0);
            }
            unpack(&bytes);
        }
    }

    #[test]
    fn packs_without_headers_are_as_earlier_versions_wrote_them() {
        let earlier: &[u8] = &[1, 0, 0, 0, 2, 14, 2, b'k', 3, b'v', b'w', 1, 0, 0];
        let records: [Plain; 2] = [(7, Some(b"k".to_vec()), Some(b"vw".to_vec()), None), (6, None, None, None)];
        assert_eq!(unpack(earlier).unwrap(), records);
        assert_eq!(pack_all(&records, &mut Pack::default()), [earlier]);
    }
}

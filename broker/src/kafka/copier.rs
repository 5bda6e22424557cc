//! Takes records out of librdkafka's buffers: the one place where their bytes are copied.

use bytes::{Bytes, BytesMut};

use super::native::Fetched;
use crate::port::Message;

/// Copies the keys and values of a batch into one allocation that all its messages share. It lives as long as any of them,
/// so who keeps a single record for long copies it once more.
pub(super) struct Copier {
    buffer: BytesMut,
}

impl Copier {
    pub fn for_batch(batch: &[Fetched<'_>]) -> Self {
        let len_of = |fetched: &Fetched<'_>| fetched.key().map_or(0, <[u8]>::len) + fetched.value().map_or(0, <[u8]>::len);
        let messages = batch.iter().filter(|fetched| fetched.error().is_none());
        Self {
            buffer: BytesMut::with_capacity(messages.map(len_of).sum()),
        }
    }

    pub fn message(&mut self, slot: u32, fetched: &Fetched<'_>) -> Message {
        let mut headers = Vec::new();
        fetched.headers(|name, value| headers.push((name.to_owned(), value.map(Bytes::copy_from_slice))));
        Message {
            slot,
            offset: fetched.offset(),
            timestamp_ms: fetched.timestamp_ms(),
            key: fetched.key().map(|key| self.copy(key)),
            value: fetched.value().map(|value| self.copy(value)),
            headers,
        }
    }

    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.buffer.extend_from_slice(bytes);
        self.buffer.split().freeze()
    }
}

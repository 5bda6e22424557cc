//! Where records leave for a topic.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use wire::{Codec, Wire};

use super::{Emit, Env, Node, OutgoingEntry, typed};
use crate::error::ProcessError;
use crate::headers;
use crate::record::{Payload, Record};

/// Says of a record whether it goes to every partition.
pub(crate) type ToAll<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// Where records leave for a topic.
pub(crate) struct SinkNode<K, V, T> {
    pub topic: &'static str,
    pub key: Codec,
    pub value: Codec,
    /// Which records go to every partition; none, where nothing is said.
    pub to_all: Option<ToAll<K, V>>,
    pub types: PhantomData<fn(K, V, T)>,
}

impl<K: Wire, V: Payload<T>, T: Wire> Node for SinkNode<K, V, T> {
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let record: &Record<K, V> = typed(record);
        let out = &mut *env.out;
        record.key.encode(&self.key, &mut out.arena)?;
        let key_end = out.arena.len();
        let value_end = match record.value.payload() {
            Some(value) => {
                value.encode(&self.value, &mut out.arena)?;
                Some(out.arena.len())
            }
            None => None,
        };
        let headers_end = (!env.headers.is_empty()).then(|| {
            headers::encode(env.headers, &mut out.arena);
            out.arena.len()
        });
        out.entries.push(OutgoingEntry {
            topic: self.topic,
            has_key: !record.key.is_missing(),
            to_all: self.to_all.as_ref().is_some_and(|to_all| to_all(&record.key, &record.value)),
            key_end,
            value_end,
            headers_end,
            timestamp_ms: record.timestamp_ms,
        });
        Ok(())
    }

    fn emit(&mut self, _: &mut Emit<'_>) -> Result<(), ProcessError> {
        Ok(())
    }

    fn clear(&mut self) {}
}

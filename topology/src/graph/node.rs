//! Nodes at work: typed inside, with their types forgotten at the edges.
//!
//! Why not one chain of closures? A merge gives a node two parents. So nodes sit in an arena and hand each record to
//! their children by reference, as `&dyn Any`; the check of its type is one comparison.

use std::any::Any;
use std::marker::PhantomData;

use wire::{Codec, KEY_SCHEMA_HEADER, VALUE_SCHEMA_HEADER, Wire, WireError};

use crate::error::ProcessError;
use crate::processor::{Context, Forward, Processor};
use crate::record::{Payload, Record, RecordMetadata};
use crate::store::{AnyStore, Slots, StoreSet};

/// What a node may touch while it processes a record.
pub(crate) struct Env<'a> {
    pub stores: &'a mut [Box<dyn AnyStore>],
    pub out: &'a mut Outgoings,
    pub at: &'a RecordMetadata,
    pub now_ms: i64,
}

/// Receives what a node gives to its children: output port and record.
pub(crate) type Emit<'a> = dyn FnMut(usize, &dyn Any) -> Result<(), ProcessError> + 'a;

/// A node of a task.
pub(crate) trait Node: Send {
    /// Processes a record of its input type; what it gives to its children waits for [`Node::emit`].
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError>;
    /// Source nodes only: decodes the record in `env.at`, and returns its event time in milliseconds.
    fn source(&mut self, env: &mut Env<'_>) -> Result<i64, ProcessError> {
        let _ = env;
        unreachable!("only a source node is given bytes")
    }
    /// Source nodes only: shows the key of a record that waits. One that cannot be read shows nothing.
    fn show_key(&self, bytes: &[u8], show: &mut dyn FnMut(&dyn Any)) {
        let _ = (bytes, show);
    }
    /// Processor nodes only: names what a record with this key will ask for.
    fn read_ahead(&mut self, key: &dyn Any, stores: &mut [Box<dyn AnyStore>]) {
        let _ = (key, stores);
    }
    /// Processor nodes only: the record in `env.at` went to the dead-letter topic.
    fn dead_letter(&mut self, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let _ = env;
        Ok(())
    }
    /// Processor nodes only.
    fn punctuate(&mut self, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let _ = env;
        Ok(())
    }
    /// Hands over what is waiting, and forgets it.
    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError>;
    /// Forgets what is waiting: the record failed.
    fn clear(&mut self);
}

fn typed<K: 'static, V: 'static>(record: &dyn Any) -> &Record<K, V> {
    // The DSL's types link only nodes whose types agree.
    record.downcast_ref().expect("an edge links equal types")
}

/// Records that the record in hand writes to topics; sent when it is done, forgotten when it fails.
#[derive(Default)]
pub(crate) struct Outgoings {
    pub arena: Vec<u8>,
    pub entries: Vec<OutgoingEntry>,
}

pub(crate) struct OutgoingEntry {
    pub topic: &'static str,
    pub key_end: usize,
    pub value_end: Option<usize>,
    pub timestamp_ms: i64,
}

impl Outgoings {
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }
}

/// A record as it came, for a source to read.
pub(crate) struct Arrived<'a> {
    at: &'a RecordMetadata,
    key: &'a Codec,
    value: &'a Codec,
}

impl Arrived<'_> {
    /// The record's own time, in milliseconds since the epoch.
    pub fn timestamp_ms(&self) -> i64 {
        self.at.timestamp_ms
    }

    /// Its key, which it must have.
    pub fn key<K: Wire>(&self) -> Result<K, ProcessError> {
        let bytes = self.at.key.as_deref();
        let bytes = bytes.ok_or_else(|| ProcessError::Record("the record has no key".to_owned()))?;
        Ok(self.decode(bytes, self.key, KEY_SCHEMA_HEADER)?)
    }

    /// Its key, where it has one that can be read. That the registry is away says nothing of the key.
    pub fn key_if_any<K: Wire>(&self) -> Result<Option<K>, ProcessError> {
        let bytes = self.at.key.as_deref();
        match bytes.map(|bytes| self.decode(bytes, self.key, KEY_SCHEMA_HEADER)) {
            Some(Ok(key)) => Ok(Some(key)),
            Some(Err(error)) if error.is_transient() => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// Its value; `None` for a tombstone.
    pub fn value<V: Wire>(&self) -> Result<Option<V>, ProcessError> {
        let bytes = self.at.value.as_deref();
        let decode = |bytes| self.decode(bytes, self.value, VALUE_SCHEMA_HEADER);
        Ok(bytes.map(decode).transpose()?)
    }

    /// What a header says of the schema goes before what stands in front of the datum.
    fn decode<T: Wire>(&self, bytes: &[u8], codec: &Codec, header: &str) -> Result<T, WireError> {
        if T::SCHEMA.is_some() && !self.at.headers.is_empty() {
            let mut headers = self.at.headers.iter().rev();
            if let Some((_, Some(schema))) = headers.find(|(name, _)| name == header) {
                return T::decode(&codec.framed(schema, bytes)?, codec);
            }
        }
        T::decode(bytes, codec)
    }
}

/// Where records come in: from bytes to a typed record.
pub(crate) struct SourceNode<K, V, F> {
    pub key: Codec,
    pub value: Codec,
    /// Makes a record of what came, or passes it over.
    pub read: F,
    pub waiting: Option<Record<K, V>>,
}

impl<K, V, F> Node for SourceNode<K, V, F>
where
    K: Wire,
    V: Send + 'static,
    F: Fn(&Arrived<'_>) -> Result<Option<Record<K, V>>, ProcessError> + Send + 'static,
{
    fn process(&mut self, _: &dyn Any, _: &mut Env<'_>) -> Result<(), ProcessError> {
        unreachable!("a source node has no parents")
    }

    fn source(&mut self, env: &mut Env<'_>) -> Result<i64, ProcessError> {
        self.waiting = (self.read)(&Arrived {
            at: env.at,
            key: &self.key,
            value: &self.value,
        })?;
        Ok(self
            .waiting
            .as_ref()
            .map_or(env.at.timestamp_ms, |record| record.timestamp_ms))
    }

    fn show_key(&self, bytes: &[u8], show: &mut dyn FnMut(&dyn Any)) {
        if let Ok(key) = K::decode(bytes, &self.key) {
            show(&key);
        }
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        match self.waiting.take() {
            Some(record) => emit(0, &record),
            None => Ok(()),
        }
    }

    fn clear(&mut self) {
        self.waiting = None;
    }
}

/// A step without state: a function from a record to records on one or two ports.
pub(crate) struct OperatorNode<KI, VI, KO, VO, E, F> {
    pub apply: F,
    pub main: Vec<Record<KO, VO>>,
    pub side: Vec<Record<KO, E>>,
    pub types: PhantomData<fn(KI, VI)>,
}

impl<KI, VI, KO, VO, E, F> Node for OperatorNode<KI, VI, KO, VO, E, F>
where
    KI: Send + 'static,
    VI: Send + 'static,
    KO: Send + 'static,
    VO: Send + 'static,
    E: Send + 'static,
    F: FnMut(&Record<KI, VI>, &RecordMetadata, &mut Vec<Record<KO, VO>>, &mut Vec<Record<KO, E>>) -> Result<(), ProcessError>
        + Send
        + 'static,
{
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError> {
        (self.apply)(typed(record), env.at, &mut self.main, &mut self.side)
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        self.main.iter().try_for_each(|record| emit(0, record))?;
        self.side.iter().try_for_each(|record| emit(1, record))?;
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.main.clear();
        self.side.clear();
    }
}

/// A [`Processor`] at work.
pub(crate) struct ProcessorNode<P: Processor> {
    pub processor: P,
    pub stores: Vec<&'static str>,
    /// Where its stores stand among the task's; found with the first record.
    pub at: Vec<usize>,
    pub waiting: Vec<Record<P::KeyOut, P::Out>>,
}

impl<P: Processor> ProcessorNode<P> {
    fn find_stores(&mut self, stores: &[Box<dyn AnyStore>]) {
        if self.at.len() < self.stores.len() {
            let place = |name: &&'static str| stores.iter().position(|store| store.name() == *name);
            let places = self
                .stores
                .iter()
                .map(|name| place(name).expect("a task has the stores of its processors"));
            self.at = places.collect();
        }
    }

    fn run(
        &mut self,
        env: &mut Env<'_>,
        timestamp_ms: i64,
        step: impl FnOnce(&mut P, &mut Context<'_, P>) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        self.find_stores(env.stores);
        let mut cx = Context {
            stores: P::Stores::handles(Slots {
                all: env.stores,
                at: &self.at,
            }),
            out: Forward {
                records: &mut self.waiting,
                timestamp_ms,
            },
            at: env.at,
            now_ms: env.now_ms,
        };
        step(&mut self.processor, &mut cx)
    }
}

impl<P: Processor> Node for ProcessorNode<P> {
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let record: &Record<P::KeyIn, P::In> = typed(record);
        self.run(env, record.timestamp_ms, |processor, cx| processor.process(cx, record))
    }

    fn read_ahead(&mut self, key: &dyn Any, stores: &mut [Box<dyn AnyStore>]) {
        if let (Some(name), Some(key)) = (P::READ_AHEAD, key.downcast_ref::<P::KeyIn>()) {
            self.find_stores(stores);
            let at = &self.at;
            name(key, &mut P::Stores::handles(Slots { all: stores, at }));
        }
    }

    fn dead_letter(&mut self, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let timestamp_ms = env.at.timestamp_ms;
        self.run(env, timestamp_ms, |processor, cx| processor.dead_letter(cx))
    }

    fn punctuate(&mut self, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let now_ms = env.now_ms;
        self.run(env, now_ms, |processor, cx| processor.punctuate(cx))
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        self.waiting.iter().try_for_each(|record| emit(0, record))?;
        self.waiting.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.waiting.clear();
    }
}

/// Where records leave for a topic.
pub(crate) struct SinkNode<K, V, T> {
    pub topic: &'static str,
    pub key: Codec,
    pub value: Codec,
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
        out.entries.push(OutgoingEntry {
            topic: self.topic,
            key_end,
            value_end,
            timestamp_ms: record.timestamp_ms,
        });
        Ok(())
    }

    fn emit(&mut self, _: &mut Emit<'_>) -> Result<(), ProcessError> {
        Ok(())
    }

    fn clear(&mut self) {}
}

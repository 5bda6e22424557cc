//! The Processor API: what every stateful step is written against.
//!
//! A processor is synchronous and runs to completion. What it forwards goes downstream when it returns, so it may forward
//! while it iterates a store. A record is processed whole or not at all: when a processor returns an error that is the
//! record's fault, everything the record wrote is undone and it goes to the dead-letter topic.

use broker::Headers;
use clock::Millis;

use crate::error::ProcessError;
use crate::punctuators::{Punctuation, Schedule};
use crate::record::{Record, RecordMetadata};
use crate::store::StoreSet;

/// A step with state of its own. Its name and its stores are given where it is added ([`crate::dsl::Stream::process`]).
pub trait Processor: Send + Sized + 'static {
    /// The key that comes in.
    type KeyIn: Send + 'static;
    /// The value that comes in.
    type In: Send + 'static;
    /// The key that goes out.
    type KeyOut: Send + 'static;
    /// The value that goes out.
    type Out: Send + 'static;
    /// Its stores: `()`, a [`crate::store::KeyValue`], or a tuple of them.
    type Stores: StoreSet;
    /// Names what a record will ask for, by its key alone ([`crate::store::KeyValueStore::read_ahead`]): where keys lie in the
    /// backend, those of many waiting records are then looked up together, which takes half as long. A hint: what is not named
    /// is looked up when it is asked for. It works for processors that read a topic's key, with only operators in between.
    const READ_AHEAD: Option<ReadAhead<Self>> = None;

    /// Called before the first record of a task: the place to schedule punctuators.
    fn init(&mut self, schedule: &mut Schedule<'_>) {
        let _ = schedule;
    }

    /// Processes one record.
    ///
    /// # Errors
    ///
    /// What keeps it from being processed: [`ProcessError::Record`] where the record is at fault, and what its stores say.
    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<Self::KeyIn, Self::In>) -> Result<(), ProcessError>;

    /// A record on its way here, or further down, went to the dead-letter topic, and all that it wrote was undone: `cx.at` has
    /// its bytes. Told by the source in front of it, with only operators in between.
    ///
    /// # Errors
    ///
    /// As [`Processor::process`]; the record is a dead letter all the same.
    fn dead_letter(&mut self, cx: &mut Context<'_, Self>) -> Result<(), ProcessError> {
        let _ = cx;
        Ok(())
    }

    /// Called when a punctuator is due, in the same transaction as the records around it.
    ///
    /// # Errors
    ///
    /// As [`Processor::process`]. There is no record that could be at fault: the task tries again.
    fn punctuate(&mut self, cx: &mut Context<'_, Self>, punctuation: Punctuation) -> Result<(), ProcessError> {
        let _ = (cx, punctuation);
        Ok(())
    }
}

/// Names the keys that a record with this key will ask for.
pub type ReadAhead<P> = for<'t> fn(&<P as Processor>::KeyIn, &mut <<P as Processor>::Stores as StoreSet>::Handles<'t>);

/// What a processor works with: disjoint fields, so that it may forward while it iterates a store.
pub struct Context<'t, P: Processor> {
    /// Its stores.
    pub stores: <P::Stores as StoreSet>::Handles<'t>,
    /// Where to forward to.
    pub out: Forward<'t, P::KeyOut, P::Out>,
    /// Where the record in hand came from.
    pub at: &'t RecordMetadata,
    /// The headers of the record in hand, as the steps before left them; none in a punctuation. They go with all that comes of it, except
    /// with what is forwarded with headers of its own. Those that say how the bytes which came are to be read, by the id of a schema, are
    /// in `at` alone.
    pub headers: &'t Headers,
    /// The wall clock.
    pub now_ms: Millis,
    /// Its punctuators. What a record schedules or cancels stays so, even if it goes to the dead-letter topic.
    pub schedule: Schedule<'t>,
}

/// Collects what a processor forwards.
pub struct Forward<'t, K, V> {
    pub(crate) records: &'t mut Vec<Record<K, V>>,
    pub(crate) headers: &'t mut Vec<(usize, Headers)>,
    pub(crate) timestamp_ms: Millis,
}

impl<K, V> Forward<'_, K, V> {
    /// Forwards a key and value with the timestamp of the record in hand.
    pub fn forward(&mut self, key: K, value: V) {
        self.records.push(Record {
            key,
            value,
            timestamp_ms: self.timestamp_ms,
        });
    }

    /// Forwards a record with headers of its own, in place of those of the record in hand. They go with all that comes of it.
    pub fn forward_with_headers(&mut self, record: Record<K, V>, headers: Headers) {
        self.headers.push((self.records.len(), headers));
        self.records.push(record);
    }

    /// Forwards a record with a timestamp of its own.
    pub fn forward_record(&mut self, record: Record<K, V>) {
        self.records.push(record);
    }
}

//! Nodes at work: typed inside, with their types forgotten at the edges.
//!
//! Why not one chain of closures? A merge gives a node two parents. So nodes sit in an arena and hand each record to
//! their children by reference, as `&dyn Any`; the check of its type is one comparison.

mod cache;
mod expire;
mod operator;
mod processor;
mod sink;
mod source;
mod stateful;

use std::any::Any;

use broker::Headers;
pub(crate) use cache::{CacheNode, Held, Sum};
use clock::Millis;
pub(crate) use expire::ExpireNode;
pub(crate) use operator::OperatorNode;
pub(crate) use processor::ProcessorNode;
pub(crate) use sink::{SinkNode, ToAll};
pub(crate) use source::{Arrived, SourceNode};
pub(crate) use stateful::StatefulNode;

use crate::error::ProcessError;
use crate::punctuators::{Punctuation, Punctuators};
use crate::record::{Record, RecordMetadata};
use crate::store::{AnyStore, TaskStores};

/// What a node may touch while it processes a record.
pub(crate) struct Env<'a> {
    /// The node's own number.
    pub id: usize,
    pub stores: &'a mut [Box<dyn AnyStore>],
    pub out: &'a mut Outgoings,
    pub punctuators: &'a mut Punctuators,
    pub at: &'a RecordMetadata,
    /// The headers of the record in hand, as the steps before left them.
    pub headers: &'a Headers,
    pub now_ms: Millis,
    /// The highest event time that the task has seen; kept where rows expire.
    pub stream_time_ms: Option<Millis>,
}

impl Env<'_> {
    /// The stores, for operators that are put together at run time.
    fn task_stores(&mut self) -> TaskStores<'_> {
        TaskStores {
            all: self.stores,
            stream_time_ms: self.stream_time_ms,
        }
    }
}

/// Receives what a node gives to its children: output port and record, and its headers where they are not those of the record in hand.
pub(crate) type Emit<'a> = dyn FnMut(usize, &dyn Any, Option<&Headers>) -> Result<(), ProcessError> + 'a;

/// What has expired at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expired {
    pub count: usize,
    pub has_more: bool,
}

/// A node of a task.
pub(crate) trait Node: Send {
    /// Processes a record of its input type; what it gives to its children waits for [`Node::emit`].
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError>;
    /// Source nodes only: decodes the record in `env.at`, and returns its event time, if it has one.
    fn source(&mut self, env: &mut Env<'_>) -> Result<Option<Millis>, ProcessError> {
        let _ = env;
        unreachable!("only a source node is given bytes")
    }
    /// Source nodes only: whether it tells another event time of a record than the record's own.
    fn extracts_time(&self) -> bool {
        false
    }
    /// Source nodes only: decodes the record in `at` before its turn, and returns its event time, if it has one.
    fn event_time(&mut self, at: &RecordMetadata) -> Result<Option<Millis>, ProcessError> {
        Ok(Some(at.timestamp_ms))
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
    /// Processor nodes only: before the first record of the task.
    fn init(&mut self, id: usize, punctuators: &mut Punctuators, now_ms: Millis) {
        let _ = (id, punctuators, now_ms);
    }
    /// Processor nodes only.
    fn punctuate(&mut self, env: &mut Env<'_>, punctuation: Punctuation) -> Result<(), ProcessError> {
        let _ = (env, punctuation);
        Ok(())
    }
    /// Whether it holds records back until [`Node::flush`].
    fn is_cache(&self) -> bool {
        false
    }
    /// Caches only: before a record of the task. What that one changes is taken back by [`Node::clear`].
    fn begin_record(&mut self) {}
    /// Caches only: whether it holds as much as it may.
    fn is_full(&self) -> bool {
        false
    }
    /// Caches only, before a commit: has the next record that was held back wait for [`Node::emit`], and returns its event time.
    /// `None`: that was all.
    fn flush(&mut self) -> Option<Millis> {
        None
    }
    /// Whether it holds rows that expire.
    fn expires(&self) -> bool {
        false
    }
    /// Where rows expire: before a record that moves stream time on. Deletes what has expired by then, as far as there is time; what it says of
    /// that waits for [`Node::emit`].
    fn expire(&mut self, stream_time_ms: Millis, env: &mut Env<'_>) -> Result<Expired, ProcessError> {
        let _ = (stream_time_ms, env);
        Ok(Expired::default())
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
    /// Whether it has a key.
    pub has_key: bool,
    /// Whether it goes to every partition of a repartition topic.
    pub to_all: bool,
    pub key_end: usize,
    pub value_end: Option<usize>,
    /// Where its headers end, if it has any.
    pub headers_end: Option<usize>,
    pub timestamp_ms: Millis,
}

impl Outgoings {
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }
}

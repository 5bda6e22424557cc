//! A task: a sub-topology on one partition, with its stores and its waiting input.
//!
//! ```text
//!   Restoring ──all changelogs replayed──► Running ──revoked, lost, fault──► (closed)
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Committed, Message, Outgoing, TopicPartition, TransactionalProducer};
use parking_lot::RwLock;
use wire::Registry;

use super::flow::Flow;
use super::input::Input;
use super::outbox::{Handed, Outbox, send_pack};
use super::pack::Pack;
use super::queue::BrokenPack;
use super::read_ahead::ReadAhead;
use super::unknown::Unknown;
use crate::error::{EngineError, ProcessError, StoreError};
use crate::graph::{Kind, Node, Outgoings, SubTopology, Topology};
use crate::record::RecordMetadata;
use crate::store::{Backend, Batch, FlushPart, StoreContext, Stored};

/// A task's name: which sub-topology, which partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The sub-topology's number in the topology.
    pub sub: usize,
    /// The partition of its inputs.
    pub partition: u32,
}

impl TaskId {
    /// What the task is called in logs and on disk.
    pub(crate) fn name(self, topology: &Topology) -> String {
        format!("{}/{}", topology.subs[self.sub].name, self.partition)
    }
}

/// What a task's committed state reflects. The lock is the gate of its queries: a commit holds it while all stores change.
#[derive(Debug, Clone, Default)]
pub struct Position {
    /// Input topics with the offset that is read next.
    pub offsets: Vec<(Arc<str>, i64)>,
    /// Event time of the newest record, in milliseconds since the epoch.
    pub stream_time_ms: i64,
    /// When the last transaction committed, or later the state was restored, in milliseconds since the epoch.
    pub committed_at_ms: i64,
}

pub(crate) struct Task {
    pub id: TaskId,
    pub name: String,
    flow: Flow,
    topology: Arc<Topology>,
    backend: Option<Arc<dyn Backend>>,
    pub inputs: Vec<Input>,
    read_ahead: ReadAhead,
    unknown: Unknown,
    pub(super) outbox: Outbox,
    pub position: Arc<RwLock<Position>>,
    /// Next wall-clock calls, per punctuating node.
    punctuations: Vec<(usize, Duration, i64)>,
    /// Changelog topic per store, and the offset to replay from.
    pub changelogs: Vec<(String, i64)>,
    sequence: u64,
    /// Something was processed since the last commit.
    pub dirty: bool,
    pub records: usize,
}

/// What came of one record.
pub(crate) enum Step {
    Processed,
    /// It went to the dead-letter topic.
    DeadLetter,
    /// Nothing waits.
    Idle,
    /// The registry is away, or does not know the schema yet: the record waits.
    Later(String),
}

impl Task {
    pub fn open(
        topology: &Arc<Topology>,
        id: TaskId,
        backend: Option<Arc<dyn Backend>>,
        registry: &Arc<dyn Registry>,
        now_ms: i64,
        source_partitions: &BTreeMap<&'static str, u32>,
    ) -> Result<Self, EngineError> {
        let sub: &SubTopology = &topology.subs[id.sub];
        let stored = backend
            .as_ref()
            .map(|b| b.stored())
            .transpose()?
            .flatten()
            .unwrap_or_default();
        let mut stores = Vec::new();
        let mut changelogs = Vec::new();
        for (family, &store) in sub.stores.iter().enumerate() {
            let definition = &topology.stores[store];
            let topic = definition.changelog_topic(&topology.application);
            let backend = backend.clone().expect("a task with stores has a backend");
            let cx = StoreContext {
                backend,
                family: family as u16,
                registry,
                changelog_topic: topic.clone(),
            };
            stores.push((definition.make)(&cx)?);
            let from = stored
                .changelog
                .iter()
                .find(|(name, _)| name == definition.name)
                .map_or(0, |(_, offset)| *offset);
            changelogs.push((topic, from));
        }
        let mut nodes: Vec<Option<Box<dyn Node>>> = Vec::new();
        nodes.resize_with(topology.nodes.len(), || None);
        let mut punctuations = Vec::new();
        for &node in &sub.nodes {
            nodes[node] = Some((topology.nodes[node].make)(registry)?);
            if let Kind::Processor {
                punctuate: Some(every), ..
            } = topology.nodes[node].kind
            {
                punctuations.push((node, every, now_ms + every.as_millis() as i64));
            }
        }
        let inputs: Vec<Input> = sub
            .sources
            .iter()
            .filter(|(topic, _)| id.partition < source_partitions[topic])
            .map(|&(topic, node)| Input::new(TopicPartition::new(topic, id.partition), node, topology.is_repartition(topic)))
            .collect();
        Ok(Self {
            id,
            name: id.name(topology),
            flow: Flow {
                nodes,
                stores,
                out: Outgoings::default(),
                at: RecordMetadata {
                    partition: id.partition,
                    ..RecordMetadata::default()
                },
            },
            topology: topology.clone(),
            backend,
            read_ahead: ReadAhead::new(topology, &inputs),
            unknown: Unknown::default(),
            inputs,
            outbox: Outbox::new(topology, sub, source_partitions),
            position: Arc::default(),
            punctuations,
            changelogs,
            sequence: stored.sequence,
            dirty: false,
            records: 0,
        })
    }

    /// The views of its stores, for queries.
    pub fn views(&self) -> Vec<(&'static str, Arc<dyn Any + Send + Sync>)> {
        self.flow.stores.iter().map(|s| (s.name(), s.view())).collect()
    }

    /// Returns how many records the message holds.
    pub fn buffer(&mut self, input: usize, message: Message) -> usize {
        self.inputs[input].buffer(message)
    }

    pub fn buffered(&self, input: usize) -> usize {
        self.inputs[input].buffered()
    }

    pub fn has_work(&self) -> bool {
        self.inputs.iter().any(Input::has_work)
    }

    /// The event time of the oldest record that waits in an input.
    pub fn oldest_waiting_ms(&self, input: usize) -> Option<i64> {
        self.inputs[input].front_ms()
    }

    /// Processes the waiting record with the lowest timestamp.
    pub fn step(&mut self, producer: &mut dyn TransactionalProducer, now_ms: i64) -> Result<Step, EngineError> {
        let heads = self.inputs.iter().enumerate();
        let Some((_, chosen)) = heads.filter_map(|(i, input)| Some((input.front_ms()?, i))).min() else {
            return Ok(Step::Idle);
        };
        self.read_ahead.before(chosen, &mut self.inputs, &mut self.flow)?;
        let input = &mut self.inputs[chosen];
        if !Arc::ptr_eq(&self.flow.at.topic, &input.partition.topic) {
            self.flow.at.topic = input.partition.topic.clone();
        }
        let node = input.node;
        let outcome = match input.show(&mut self.flow.at) {
            Ok(()) => self.flow.run_source(&self.topology, node, now_ms),
            Err(BrokenPack) => {
                self.flow.begin_record(self.flow.at.timestamp_ms);
                Err(ProcessError::Record("the pack of records is broken".to_owned()))
            }
        };
        let step = match outcome {
            Ok(()) => {
                self.outbox.send(&mut self.flow.out, producer)?;
                Step::Processed
            }
            Err(ProcessError::Wire(error)) if error.is_transient() || self.unknown.waits(&error, now_ms) => {
                self.flow.undo_record();
                self.inputs[chosen].put_back(&mut self.flow.at);
                return Ok(Step::Later(error.to_string()));
            }
            Err(ProcessError::Store(error)) => return Err(error.into()),
            Err(error) => {
                self.flow.undo_record();
                let (at, offset, reason) = (&self.flow.at, self.inputs[chosen].front_offset(), error.to_string());
                tracing::warn!(task = %self.name, topic = %at.topic, offset, reason, "a record goes to the dead-letter topic");
                self.outbox.send_dead_letter(at, offset, &reason, producer)?;
                self.tell_dead_letter(node, producer, now_ms)?;
                Step::DeadLetter
            }
        };
        self.inputs[chosen].pop(self.flow.at.timestamp_ms);
        self.dirty = true;
        self.records += 1;
        Ok(step)
    }

    /// What processors make of a dead letter counts with it.
    fn tell_dead_letter(
        &mut self,
        source: usize,
        producer: &mut dyn TransactionalProducer,
        now_ms: i64,
    ) -> Result<(), EngineError> {
        match self.flow.tell_dead_letter(&self.topology, source, now_ms) {
            Ok(()) => Ok(self.outbox.send(&mut self.flow.out, producer)?),
            Err(ProcessError::Store(error)) => Err(error.into()),
            Err(error) => {
                self.flow.undo_record();
                tracing::error!(task = %self.name, %error, "a processor could not be told of a dead letter");
                Ok(())
            }
        }
    }

    /// Calls the punctuators whose time has come. Returns whether any was called.
    pub fn punctuate(&mut self, producer: &mut dyn TransactionalProducer, now_ms: i64) -> Result<bool, EngineError> {
        let mut any = false;
        for i in 0..self.punctuations.len() {
            let (id, every, due_ms) = self.punctuations[i];
            if now_ms < due_ms {
                continue;
            }
            self.punctuations[i].2 = now_ms + every.as_millis() as i64;
            self.flow.at = RecordMetadata {
                partition: self.id.partition,
                offset: -1,
                timestamp_ms: now_ms,
                ..RecordMetadata::default()
            };
            self.flow.begin_record(now_ms);
            let outcome = self.flow.punctuate(&self.topology, id, now_ms);
            match outcome {
                Ok(()) => {
                    let wrote = !self.flow.out.entries.is_empty() || self.flow.stores.iter().any(|s| s.uncommitted_len() > 0);
                    self.outbox.send(&mut self.flow.out, producer)?;
                    self.dirty |= wrote;
                    any |= wrote;
                }
                Err(ProcessError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    // No record is at fault: it is tried again at its next time.
                    self.flow.undo_record();
                    tracing::error!(task = %self.name, node = %self.topology.nodes[id].name, %error, "a punctuation failed");
                }
            }
        }
        Ok(any)
    }

    /// When the next punctuation is due, in milliseconds since the epoch.
    pub fn next_punctuation_ms(&self) -> Option<i64> {
        self.punctuations.iter().map(|(_, _, due)| *due).min()
    }

    /// Adds a pack that a task of this worker wrote for it.
    pub fn hand(&mut self, handed: Handed) {
        let mut inputs = self.inputs.iter_mut();
        if let Some(input) = inputs.find(|input| *input.partition.topic == *handed.topic) {
            input.hand(handed.pack, handed.newest_ms);
        }
    }

    /// Whether records wait that were handed over: the transaction cannot commit without them.
    pub fn has_handed(&self) -> bool {
        self.inputs.iter().any(Input::has_handed)
    }

    /// Sends what was handed over, and cannot be processed now, to the repartition topics after all.
    pub fn give_up_handed(&mut self, producer: &mut dyn TransactionalProducer) -> Result<(), EngineError> {
        for input in &mut self.inputs {
            let mut pack = Pack::default();
            while let Some(at) = input.take_handed() {
                pack.push(at.timestamp_ms, at.key.as_deref(), at.value.as_deref());
                if pack.is_full() || !input.has_handed() {
                    send_pack(&input.partition.topic, input.partition.partition, &mut pack, producer)?;
                }
            }
        }
        Ok(())
    }

    /// Sends the changelog of the open transaction: when it `ends` all that is left of it, before that where it is worth while.
    pub fn send_changelog(&mut self, ends: bool, producer: &mut dyn TransactionalProducer) -> Result<(), EngineError> {
        for (store, (topic, _)) in self.flow.stores.iter_mut().zip(&self.changelogs) {
            let mut refused = None;
            let mut emit = |key: &[u8], value: Option<&[u8]>, timestamp_ms| {
                let record = Outgoing {
                    topic,
                    partition: Some(self.id.partition),
                    key: Some(key),
                    value,
                    timestamp_ms,
                    headers: &[],
                };
                producer.send(record).map_err(|e| {
                    refused = Some(e);
                    ProcessError::Record("the broker refused a changelog record".to_owned())
                })
            };
            let result = if ends {
                store.changelog(&mut emit)
            } else {
                store.changelog_so_far(&mut emit)
            };
            match (result, refused) {
                (_, Some(error)) => return Err(error.into()),
                (Err(ProcessError::Store(error)), _) => return Err(error.into()),
                (Err(error), _) => {
                    return Err(StoreError::Backend {
                        store: store.name().to_owned(),
                        reason: error.to_string(),
                    }
                    .into());
                }
                (Ok(()), None) => {}
            }
        }
        Ok(())
    }

    /// The offsets that the open transaction moves to.
    pub fn offsets(&self) -> impl Iterator<Item = (TopicPartition, Committed)> {
        let moved = self.inputs.iter().filter(|i| i.processed > 0);
        moved.map(|i| (i.partition.clone(), i.commit()))
    }

    /// The transaction has committed: its writes become visible in one step. `written` are the transaction's offsets. Returns
    /// how many records of each input it held.
    pub fn promote(&mut self, written: &[(TopicPartition, i64)], now_ms: i64) -> Vec<u64> {
        let mut position = self.position.write();
        self.flow.stores.iter_mut().for_each(|s| s.promote());
        for (topic, next) in &mut self.changelogs {
            if let Some((_, last)) = written
                .iter()
                .find(|(p, _)| p.partition == self.id.partition && *p.topic == **topic)
            {
                *next = last + 1;
            }
        }
        let mut processed = Vec::with_capacity(self.inputs.len());
        for input in &mut self.inputs {
            if input.processed > 0 {
                input.committed = input.reached();
            }
            processed.push(std::mem::take(&mut input.processed));
            position.stream_time_ms = position.stream_time_ms.max(input.newest_ms);
        }
        position.offsets = self.committed_offsets();
        position.committed_at_ms = now_ms;
        self.sequence += 1;
        self.dirty = false;
        self.records = 0;
        processed
    }

    /// The transaction did not commit: forgets all of it. The inputs must be read again from their committed offsets.
    pub fn discard(&mut self, registry: &Arc<dyn Registry>) -> Result<(), EngineError> {
        self.flow.stores.iter_mut().for_each(|s| s.discard());
        self.flow.out.clear();
        for (id, node) in self.flow.nodes.iter_mut().enumerate().filter(|(_, n)| n.is_some()) {
            *node = Some((self.topology.nodes[id].make)(registry)?);
        }
        self.outbox.clear();
        self.inputs.iter_mut().for_each(Input::rewind);
        self.dirty = false;
        self.records = 0;
        Ok(())
    }

    /// Takes what is committed for a flush; `None` if there is nothing new.
    pub fn flush(&mut self, now_ms: i64) -> Option<FlushJob> {
        let backend = self.backend.clone()?;
        let parts: Vec<_> = self.flow.stores.iter_mut().filter_map(|s| s.flush()).collect();
        if parts.is_empty() {
            return None;
        }
        Some(FlushJob {
            name: self.name.clone(),
            backend,
            parts,
            stored: self.stored(now_ms),
        })
    }

    fn stored(&self, now_ms: i64) -> Stored {
        Stored {
            changelog: self
                .flow
                .stores
                .iter()
                .zip(&self.changelogs)
                .map(|(s, (_, next))| (s.name().to_owned(), *next))
                .collect(),
            sources: self
                .inputs
                .iter()
                .map(|i| (i.partition.topic.to_string(), i.committed_offset()))
                .collect(),
            sequence: self.sequence,
            written_at_ms: now_ms,
        }
    }

    /// Adds replayed changelog records to the backend and moves the position.
    pub fn restore(&mut self, store: usize, messages: &[Message], next: i64, now_ms: i64) -> Result<(), StoreError> {
        let Some(backend) = self.backend.clone() else { return Ok(()) };
        let mut batch = Batch::default();
        for message in messages {
            if let Some(key) = &message.key {
                self.flow.stores[store].restore(key, message.value.as_deref(), &mut batch)?;
            }
        }
        self.changelogs[store].1 = next;
        batch.stored = Some(self.stored(now_ms));
        backend.write(&batch)
    }

    /// The state reflects all that the group had committed at this time.
    pub fn restored(&mut self, now_ms: i64) {
        let mut position = self.position.write();
        position.offsets = self.committed_offsets();
        position.committed_at_ms = now_ms;
    }

    fn committed_offsets(&self) -> Vec<(Arc<str>, i64)> {
        let offset = |input: &Input| (input.partition.topic.clone(), input.committed_offset().max(0));
        self.inputs.iter().map(offset).collect()
    }

    /// Sizes of its stores in the backend.
    pub fn sizes(&self) -> Vec<(&'static str, u64)> {
        let Some(backend) = &self.backend else { return Vec::new() };
        self.flow
            .stores
            .iter()
            .enumerate()
            .map(|(family, s)| (s.name(), backend.size_bytes(family as u16)))
            .collect()
    }
}

/// A task's committed layer on its way to the backend.
pub(crate) struct FlushJob {
    pub name: String,
    backend: Arc<dyn Backend>,
    parts: Vec<Box<dyn FlushPart>>,
    stored: Stored,
}

impl FlushJob {
    pub fn run(&self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for part in &self.parts {
            part.fill(&mut batch)?;
        }
        batch.stored = Some(self.stored.clone());
        self.backend.write(&batch)?;
        self.parts.iter().for_each(|p| p.done());
        Ok(())
    }
}

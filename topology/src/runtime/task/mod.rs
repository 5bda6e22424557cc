//! A task: a sub-topology on one partition, with its stores and its waiting input.
//!
//! ```text
//!   Restoring ──all changelogs replayed──► Running ──revoked, lost, fault──► (closed)
//! ```

mod commit;
mod expire;
mod step;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use broker::{Committed, Headers, Message, TopicPartition, TransactionalProducer};
use clock::Millis;
use parking_lot::RwLock;

use crate::error::EngineError;
use crate::graph::{SubTopology, Topology};
use crate::headers;
use crate::node::{Node, Outgoings};
use crate::offset::Reached;
use crate::punctuators::Punctuators;
use crate::record::RecordMetadata;
use crate::runtime::at_fault::RecordId;
use crate::runtime::flow::Flow;
use crate::runtime::input::{Input, stream_time_of};
use crate::runtime::outbox::{Handed, Outbox, send_pack};
use crate::runtime::pack::Pack;
use crate::runtime::parts::Parts;
use crate::runtime::plan::Plan;
use crate::runtime::read_ahead::ReadAhead;
use crate::runtime::state::Restore;
use crate::runtime::task_id::TaskId;
use crate::runtime::unknown::Unknown;
use crate::runtime::{EngineSettings, Metrics};
use crate::store::{Backend, Backing, StoreContext};

/// What a task's committed state reflects. The lock is the gate of its queries: a commit holds it while all stores change.
#[derive(Debug, Clone, Default)]
pub struct Position {
    /// Input topics with the offset that is read next.
    pub offsets: Vec<(Arc<str>, i64)>,
    /// Event time of the newest record.
    pub stream_time_ms: Millis,
    /// When the last transaction committed, or later the state was restored.
    pub committed_at_ms: Millis,
}

pub(crate) struct Task {
    pub id: TaskId,
    pub name: String,
    flow: Flow,
    topology: Arc<Topology>,
    backend: Option<Arc<dyn Backend>>,
    pub inputs: Vec<Input>,
    /// How long a record waits for one of an empty input; `None`: it does not wait.
    max_idle: Option<Duration>,
    /// A source with others beside it extracts event times.
    reads_heads: bool,
    read_ahead: ReadAhead,
    unknown: Unknown,
    pub outbox: Outbox,
    pub position: Arc<RwLock<Position>>,
    /// The highest event time that was ever processed; none before the first record.
    stream_time_ms: Option<Millis>,
    /// The same as of the last commit.
    committed_time_ms: Option<Millis>,
    /// The stream time at which punctuators were called last.
    punctuated_ms: Option<Millis>,
    /// The stream time by which all rows have expired that do.
    expired_ms: Option<Millis>,
    /// A stream time at which that panicked.
    forgone_ms: Option<Millis>,
    /// Changelog topic per store, and the offset to replay from. Stores without one come behind those that have one.
    pub changelogs: Vec<(String, i64)>,
    sequence: u64,
    /// Until when its changelogs are known to hold nothing that this task has not: it owned them then.
    pub valid_at_ms: Millis,
    plan: Arc<Plan>,
    /// The backend is to be told of `valid_at_ms` though there may be nothing else to write.
    touches: bool,
    /// Something was processed since the last commit.
    pub dirty: bool,
    pub records: usize,
    /// The record at fault for the error that was returned last.
    pub blame: Option<Blame>,
    /// What becomes of records that are at fault.
    settings: Arc<EngineSettings>,
}

/// Why a record takes its transaction down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Blame {
    /// A processor panicked.
    Panicked(RecordId),
    /// What was written at this record was refused.
    Refused(RecordId),
    /// The record is at fault, and the settings say that its task stops.
    Stopping(RecordId),
}

/// What came of one record.
pub(crate) enum Step {
    Processed,
    /// It went to the dead-letter topic; which topic it is of.
    DeadLetter(Arc<str>),
    /// Nothing waits, or it waits for what may come to an empty input.
    Idle,
    /// The registry is away, or does not know the schema yet: the record waits.
    Later(String),
}

impl Task {
    /// Opens a task with what its database knows. Its changelogs are still to be replayed.
    pub fn open(parts: &Parts, id: TaskId, backend: Option<Arc<dyn Backend>>) -> Result<Self, EngineError> {
        let (topology, registry) = (&parts.topology, &parts.registry);
        let source_partitions = &parts.plan.source_partitions;
        let now_ms = parts.clock.now_ms();
        let max_idle = parts.settings.max_task_idle;
        let sub: &SubTopology = &topology.subs[id.sub];
        let found = backend.as_ref().map(|b| b.stored()).transpose()?.flatten();
        let valid_at_ms = found.as_ref().map_or(now_ms, |stored| stored.written_at_ms);
        let was_written = found.is_some();
        let stored = found.unwrap_or_default();
        let mut stores = Vec::new();
        let mut changelogs = Vec::new();
        for (family, &store) in sub.stores.iter().enumerate() {
            let definition = &topology.stores[store];
            let family = family as u16;
            let backend = backend.clone().expect("a task with stores has a backend");
            let mut made = (definition.make)(&StoreContext {
                backend: backend.clone(),
                family,
                registry,
                subjects: definition.subjects(&topology.application),
            })?;
            let mut positions = stored.changelog.iter();
            let from = positions.find(|(name, _)| name == definition.name);
            let is_kept = definition.backing != Backing::Nowhere && from.is_some();
            if !is_kept && was_written {
                // It has no changelog, or had none when this was written: of when what is here is, nothing says.
                backend.clear(family)?;
            }
            if let Some(topic) = definition.changelog_topic(&topology.application) {
                changelogs.push((topic, from.map_or(0, |(_, offset)| *offset)));
                let mut times = stored.store_times.iter();
                if let Some((_, time_ms)) = times.find(|(name, _)| name == definition.name) {
                    made.set_stream_time(*time_ms);
                }
            }
            stores.push(made);
        }
        let mut nodes: Vec<Option<Box<dyn Node>>> = Vec::new();
        nodes.resize_with(topology.nodes.len(), || None);
        for &node in &sub.nodes {
            nodes[node] = Some((topology.nodes[node].make)(registry)?);
        }
        let mut inputs: Vec<Input> = parts.plan.sources[id.sub]
            .iter()
            .filter(|(topic, _)| id.partition < source_partitions[topic])
            .map(|&(topic, node)| {
                let mut input = Input::new(TopicPartition::new(topic, id.partition), node, topology.is_repartition(topic));
                let mut topics = stored.topics.iter();
                input.known_topic = topics.find(|(of, _)| of == topic).map(|(_, id)| id.clone());
                // A topic that was made anew under its name is another: what was reached in the earlier one says nothing of it.
                let is_another = parts.plan.is_another(topic, input.known_topic.as_ref());
                let mut reached = stored.reached.iter();
                let known = reached.find(|(of, ..)| of == topic).filter(|_| !is_another);
                input.known = known.map(|&(_, log, handed)| Reached::of_stored(log, handed));
                input
            })
            .collect();
        let those = |is: &dyn Fn(&dyn Node) -> bool| -> Vec<usize> {
            let all = nodes.iter().enumerate();
            let those = all.filter(|(_, node)| node.as_deref().is_some_and(is));
            those.map(|(id, _)| id).collect()
        };
        let caches = those(&|node| node.is_cache());
        let expiring = those(&|node| node.expires());
        if inputs.len() > 1 || !expiring.is_empty() {
            for input in &mut inputs {
                input.reads_head = nodes[input.node].as_ref().is_some_and(|node| node.extracts_time());
            }
        }
        let mut flow = Flow {
            nodes,
            stores,
            out: Outgoings::default(),
            caches,
            expiring,
            stream_time_ms: stored.stream_time_ms,
            headers: Headers::new(),
            punctuators: Punctuators::default(),
            event_time_ms: None,
            at: RecordMetadata {
                partition: id.partition,
                ..RecordMetadata::default()
            },
        };
        flow.init(now_ms);
        Ok(Self {
            id,
            name: id.name(topology),
            flow,
            topology: topology.clone(),
            backend,
            max_idle,
            reads_heads: inputs.iter().any(|input| input.reads_head),
            read_ahead: ReadAhead::new(topology, &inputs),
            unknown: Unknown::default(),
            inputs,
            outbox: Outbox::new(topology, sub, id.partition, source_partitions),
            position: Arc::default(),
            stream_time_ms: stored.stream_time_ms,
            committed_time_ms: stored.stream_time_ms,
            punctuated_ms: None,
            expired_ms: None,
            forgone_ms: None,
            changelogs,
            sequence: stored.sequence,
            valid_at_ms,
            plan: parts.plan.clone(),
            touches: false,
            dirty: false,
            records: 0,
            settings: parts.settings.clone(),
            blame: None,
        })
    }

    /// The views of its stores, for queries.
    pub fn views(&self) -> Vec<(&'static str, Arc<dyn Any + Send + Sync>)> {
        self.flow.stores.iter().map(|s| (s.name(), s.view())).collect()
    }

    /// Its stores without a changelog: empty when it is opened.
    pub fn unlogged(&self) -> Vec<&'static str> {
        let unlogged = self.flow.stores.iter().skip(self.changelogs.len());
        unlogged.map(|store| store.name()).collect()
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

    /// Whether what waits here waits for what may come to an empty input.
    pub fn idles(&self, now_ms: Millis) -> bool {
        let is_waited_for = |max_idle| self.inputs.iter().any(|input| input.is_waited_for(max_idle, now_ms));
        self.inputs.len() > 1 && self.max_idle.is_some_and(is_waited_for) && self.has_work()
    }

    /// The same, and notes since when inputs are empty.
    pub fn begins_to_idle(&mut self, now_ms: Millis) -> bool {
        if self.inputs.len() > 1 {
            self.inputs.iter_mut().for_each(|input| input.note_dry(now_ms));
        }
        self.idles(now_ms)
    }

    /// The event time of the oldest record that waits in an input.
    pub fn oldest_waiting_ms(&self, input: usize) -> Option<Millis> {
        self.inputs[input].event_ms()
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
            let (mut pack, mut own) = (Pack::default(), Vec::new());
            while let Some(at) = input.take_handed() {
                own.clear();
                headers::encode(&at.headers, &mut own);
                let own = Some(own.as_slice()).filter(|own| !own.is_empty());
                if !pack.takes(own.is_some()) {
                    send_pack(&input.partition.topic, input.partition.partition, &mut pack, producer)?;
                }
                pack.push(at.timestamp_ms.0, at.key.as_deref(), at.value.as_deref(), own);
                if pack.is_full() || !input.has_handed() {
                    send_pack(&input.partition.topic, input.partition.partition, &mut pack, producer)?;
                }
            }
        }
        Ok(())
    }

    /// The transaction that was committed at this time proves that the task is still this worker's.
    pub fn is_valid(&mut self, at_ms: Millis) {
        self.valid_at_ms = self.valid_at_ms.max(at_ms);
        self.touches = true;
    }

    /// The task starts from where the group stands now.
    pub fn stand_at(&mut self, stand: &[Reached]) {
        for (input, stand) in self.inputs.iter_mut().zip(stand) {
            // Where the group has nothing, what the state has said holds.
            if stand.log.is_some() || input.committed.log.is_none() {
                input.committed = *stand;
            }
            input.is_lost &= stand.log.is_none();
            input.rewind();
        }
    }

    /// How many keys are committed and not yet in the backend.
    pub fn unflushed(&self) -> usize {
        self.flow.stores.iter().map(|store| store.unflushed_len()).sum()
    }

    /// Whether its backend held anything when it was opened.
    pub fn had_state(&self) -> bool {
        self.sequence > 0
            || self
                .inputs
                .iter()
                .any(|input| input.known.is_some_and(|known| known.log.is_some()))
    }

    /// Gives its stores away, to be restored from its changelogs. Until it has them back, it only waits.
    pub fn begin_restore(&mut self, metrics: &Metrics) -> Restore {
        let stored = self.stored();
        Restore {
            task: self.name.clone(),
            backend: self.backend.clone(),
            stores: std::mem::take(&mut self.flow.stores),
            changelogs: std::mem::take(&mut self.changelogs),
            stored,
            replayed: 0,
            metrics: metrics.clone(),
        }
    }

    /// Has its stores back. Returns how many records were replayed.
    pub fn end_restore(&mut self, restored: Restore) -> u64 {
        self.flow.stores = restored.stores;
        self.changelogs = restored.changelogs;
        restored.replayed
    }

    /// The state reflects all that the group had committed at this time.
    pub fn restored(&mut self, now_ms: Millis) {
        self.is_valid(now_ms);
        let mut position = self.position.write();
        if let Some(stream_time_ms) = self.committed_time_ms {
            self.flow.stores.iter_mut().for_each(|s| s.pass_time(stream_time_ms));
        }
        position.offsets = self.committed_offsets();
        position.stream_time_ms = self.committed_time_ms.unwrap_or_default();
        position.committed_at_ms = now_ms;
    }

    /// Goes on from the stream time that the group's commits have.
    pub fn know_stream_time(&mut self, committed: &[Option<Committed>]) {
        let times = committed.iter().flatten().filter_map(stream_time_of);
        self.committed_time_ms = self.committed_time_ms.max(times.max());
        self.stream_time_ms = self.committed_time_ms;
        self.flow.stream_time_ms = self.stream_time_ms;
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

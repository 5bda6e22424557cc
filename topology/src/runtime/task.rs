//! A task: a sub-topology on one partition, with its stores and its waiting input.
//!
//! ```text
//!   Restoring ──all changelogs replayed──► Running ──revoked, lost, fault──► (closed)
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use broker::{BrokerError, Committed, Headers, Message, Outgoing, TopicPartition, TransactionalProducer};
use parking_lot::RwLock;
use wire::{Registry, WireError};

use super::at_fault::{AtFault, RecordId, Verdict, panic_text};
use super::flow::Flow;
use super::input::{Input, Reached, stream_time_of};
use super::outbox::{Handed, Outbox, send_pack};
use super::pack::Pack;
use super::queue::BrokenPack;
use super::read_ahead::ReadAhead;
use super::state::Restore;
use super::task_id::TaskId;
use super::transaction::Transaction;
use super::unknown::Unknown;
use super::{EngineSettings, OnFault};
use crate::error::{EngineError, ProcessError, StoreError};
use crate::graph::{SubTopology, Topology};
use crate::headers;
use crate::node::{Node, Outgoings};
use crate::planted::planted;
use crate::punctuators::{PunctuationType, Punctuators};
use crate::record::RecordMetadata;
use crate::store::{Backend, Batch, FlushPart, StoreContext, Stored, store_times};

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
    /// How long a record waits for one of an empty input, in milliseconds; `None`: it does not wait.
    pub max_idle_ms: Option<i64>,
    /// A source with others beside it extracts event times.
    reads_heads: bool,
    read_ahead: ReadAhead,
    unknown: Unknown,
    pub(super) outbox: Outbox,
    pub position: Arc<RwLock<Position>>,
    /// The highest event time that was ever processed, in milliseconds since the epoch; none before the first record.
    stream_time_ms: Option<i64>,
    /// The same as of the last commit.
    committed_time_ms: Option<i64>,
    /// The stream time at which punctuators were called last.
    punctuated_ms: Option<i64>,
    /// Changelog topic per store, and the offset to replay from.
    pub changelogs: Vec<(String, i64)>,
    sequence: u64,
    /// Until when its changelogs are known to hold nothing that this task has not: it owned them then.
    pub valid_at_ms: i64,
    topic_ids: Arc<BTreeMap<&'static str, String>>,
    /// The backend is to be told of `valid_at_ms` though there may be nothing else to write.
    touches: bool,
    /// Something was processed since the last commit.
    pub dirty: bool,
    pub records: usize,
    /// The record at fault for the error that was returned last.
    pub blame: Option<Blame>,
    /// What becomes of records that are at fault; the worker gives it its own.
    pub settings: Arc<EngineSettings>,
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
    /// It went to the dead-letter topic.
    DeadLetter,
    /// Nothing waits, or it waits for what may come to an empty input.
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
        topic_ids: &Arc<BTreeMap<&'static str, String>>,
    ) -> Result<Self, EngineError> {
        let sub: &SubTopology = &topology.subs[id.sub];
        let found = backend.as_ref().map(|b| b.stored()).transpose()?.flatten();
        let valid_at_ms = found.as_ref().map_or(now_ms, |stored| stored.written_at_ms);
        let stored = found.unwrap_or_default();
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
            let mut made = (definition.make)(&cx)?;
            let mut times = stored.store_times.iter();
            if let Some((_, time_ms)) = times.find(|(name, _)| name == definition.name) {
                made.set_stream_time(*time_ms);
            }
            stores.push(made);
            let from = stored
                .changelog
                .iter()
                .find(|(name, _)| name == definition.name)
                .map_or(0, |(_, offset)| *offset);
            changelogs.push((topic, from));
        }
        let mut nodes: Vec<Option<Box<dyn Node>>> = Vec::new();
        nodes.resize_with(topology.nodes.len(), || None);
        for &node in &sub.nodes {
            nodes[node] = Some((topology.nodes[node].make)(registry)?);
        }
        let mut inputs: Vec<Input> = sub
            .sources
            .iter()
            .filter(|(topic, _)| id.partition < source_partitions[topic])
            .map(|&(topic, node)| {
                let mut input = Input::new(TopicPartition::new(topic, id.partition), node, topology.is_repartition(topic));
                let mut reached = stored.reached.iter();
                let known = reached.find(|(of, ..)| of == topic);
                input.known = known.map(|&(_, log, handed)| Reached { log, handed });
                let mut topics = stored.topics.iter();
                input.known_topic = topics.find(|(of, _)| of == topic).map(|(_, id)| id.clone());
                input
            })
            .collect();
        if inputs.len() > 1 {
            for input in &mut inputs {
                input.reads_head = nodes[input.node].as_ref().is_some_and(|node| node.extracts_time());
            }
        }
        let is_cache = |id: &usize| nodes[*id].as_ref().is_some_and(|node| node.is_cache());
        let caches = (0..nodes.len()).filter(is_cache).collect();
        let mut flow = Flow {
            nodes,
            stores,
            out: Outgoings::default(),
            caches,
            headers: Headers::new(),
            punctuators: Punctuators::default(),
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
            max_idle_ms: None,
            reads_heads: inputs.iter().any(|input| input.reads_head),
            read_ahead: ReadAhead::new(topology, &inputs),
            unknown: Unknown::default(),
            inputs,
            outbox: Outbox::new(topology, sub, id.partition, source_partitions),
            position: Arc::default(),
            stream_time_ms: stored.stream_time_ms,
            committed_time_ms: stored.stream_time_ms,
            punctuated_ms: None,
            changelogs,
            sequence: stored.sequence,
            valid_at_ms,
            topic_ids: topic_ids.clone(),
            touches: false,
            dirty: false,
            records: 0,
            settings: Arc::default(),
            blame: None,
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

    /// Whether what waits here waits for what may come to an empty input.
    pub fn idles(&self, now_ms: i64) -> bool {
        let is_waited_for = |max_idle_ms| self.inputs.iter().any(|input| input.is_waited_for(max_idle_ms, now_ms));
        self.inputs.len() > 1 && self.max_idle_ms.is_some_and(is_waited_for) && self.has_work()
    }

    /// The same, and notes since when inputs are empty.
    pub fn begins_to_idle(&mut self, now_ms: i64) -> bool {
        if self.inputs.len() > 1 {
            self.inputs.iter_mut().for_each(|input| input.note_dry(now_ms));
        }
        self.idles(now_ms)
    }

    /// The event time of the oldest record that waits in an input.
    pub fn oldest_waiting_ms(&self, input: usize) -> Option<i64> {
        self.inputs[input].event_ms()
    }

    /// Reads the event times of the records in front, where sources extract them. Returns why the task must wait, where one cannot be read now.
    fn read_heads(&mut self, now_ms: i64, at_fault: &AtFault) -> Result<Option<String>, EngineError> {
        for chosen in 0..self.inputs.len() {
            let input = &mut self.inputs[chosen];
            if !input.wants_head() {
                continue;
            }
            let record = RecordId {
                task: self.id,
                input: chosen,
                offset: input.front_position(),
            };
            // A dead letter comes in its turn by the log's time.
            let own_ms = input.front_ms().unwrap_or_default();
            let read = match at_fault.verdict(&record) {
                Some(_) => Ok(own_ms),
                None => self.read_head(record)?,
            };
            let event_time_ms = match read {
                Err(ProcessError::Wire(error)) if error.is_transient() || self.unknown.waits(&error, now_ms) => {
                    return Ok(Some(error.to_string()));
                }
                Err(ProcessError::Store(error)) => return Err(error.into()),
                read => read.unwrap_or(own_ms),
            };
            self.inputs[chosen].set_head(event_time_ms);
        }
        Ok(None)
    }

    fn read_head(&mut self, record: RecordId) -> Result<Result<i64, ProcessError>, EngineError> {
        let input = &mut self.inputs[record.input];
        self.flow.at.topic = input.partition.topic.clone();
        let node = input.node;
        if let Err(BrokenPack) = input.show(&mut self.flow.at) {
            return Ok(Ok(self.flow.at.timestamp_ms));
        }
        let read = self.catching(Blame::Panicked(record), |task| Ok(task.flow.event_time(node)))?;
        self.inputs[record.input].put_back(&mut self.flow.at);
        Ok(read)
    }

    /// The input whose record comes next: the one with the lowest event time. None, while an empty one may bring a lower one.
    fn next_input(&mut self, now_ms: i64) -> Option<usize> {
        let (mut next, mut has_dry): (Option<(i64, usize)>, bool) = (None, false);
        for (i, input) in self.inputs.iter_mut().enumerate() {
            match input.event_ms() {
                Some(event_ms) if next.is_none_or(|(lowest, _)| event_ms < lowest) => next = Some((event_ms, i)),
                Some(_) => {}
                None => {
                    input.note_dry(now_ms);
                    has_dry = true;
                }
            }
        }
        let (_, chosen) = next.filter(|_| !has_dry || !self.idles(now_ms))?;
        Some(chosen)
    }

    /// Processes the waiting record with the lowest event time. Where an error is a record's fault, `blame` names it.
    pub fn step(
        &mut self,
        producer: &mut dyn TransactionalProducer,
        now_ms: i64,
        at_fault: &AtFault,
        transaction: &mut Transaction,
    ) -> Result<Step, EngineError> {
        if self.reads_heads
            && let Some(reason) = self.read_heads(now_ms, at_fault)?
        {
            return Ok(Step::Later(reason));
        }
        let Some(chosen) = self.next_input(now_ms) else {
            return Ok(Step::Idle);
        };
        let record = RecordId {
            task: self.id,
            input: chosen,
            offset: self.inputs[chosen].front_position(),
        };
        let is_alone = at_fault.is_alone(&record);
        if is_alone && transaction.records > 0 {
            transaction.is_full = true;
            return Ok(Step::Idle);
        }
        self.read_ahead(chosen)?;
        let input = &mut self.inputs[chosen];
        if !Arc::ptr_eq(&self.flow.at.topic, &input.partition.topic) {
            self.flow.at.topic = input.partition.topic.clone();
        }
        let node = input.node;
        let shown = input.show(&mut self.flow.at);
        let verdict = at_fault.verdict(&record);
        let outcome = match (shown, verdict) {
            (Ok(()), None) => self.catching(Blame::Panicked(record), |task| {
                Ok(task.flow.run_source(&task.topology, node, now_ms))
            })?,
            (shown, verdict) => {
                self.flow.begin_record(self.flow.at.timestamp_ms);
                let broken = shown.err().map(|BrokenPack| "the pack of records is broken".to_owned());
                let reason = broken.or_else(|| verdict.map(|verdict| verdict.reason.clone()));
                Err(ProcessError::Record(reason.unwrap_or_default()))
            }
        };
        let step = match outcome {
            Ok(()) => {
                let sent = self.outbox.send(&mut self.flow.out, producer);
                self.blaming(record, sent)?;
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
                if verdict.is_none() && self.stops_at(&error) {
                    self.blame = Some(Blame::Stopping(record));
                    return Err(EngineError::AtFault {
                        task: self.name.clone(),
                        reason: error.to_string(),
                    });
                }
                self.send_dead_letter(record, &error.to_string(), verdict, producer)?;
                if verdict.is_none_or(|verdict| verdict.with_hook) {
                    self.catching(Blame::Panicked(record), |task| {
                        task.tell_dead_letter(record, node, producer, now_ms)
                    })?;
                }
                Step::DeadLetter
            }
        };
        let event_time_ms = self.flow.at.timestamp_ms;
        self.inputs[chosen].pop(event_time_ms);
        self.dirty = true;
        self.records += 1;
        transaction.first.get_or_insert(record);
        transaction.records += 1;
        transaction.is_full |= is_alone || self.flow.has_full_cache();
        self.stream_time_ms = self.stream_time_ms.max(Some(event_time_ms));
        if self.punctuated_ms < self.stream_time_ms {
            self.punctuated_ms = self.stream_time_ms;
            let stream_time_ms = self.stream_time_ms.unwrap_or(event_time_ms);
            self.punctuate_by(PunctuationType::StreamTime, stream_time_ms, producer, now_ms)?;
        }
        Ok(step)
    }

    /// Whether the settings say that a record with this fault stops the task.
    fn stops_at(&self, error: &ProcessError) -> bool {
        let on_fault = match error {
            ProcessError::Record(_) => self.settings.on_unprocessable,
            ProcessError::Wire(WireError::Unencodable(_)) => self.settings.on_unwritable,
            _ => self.settings.on_unreadable,
        };
        on_fault == OnFault::Stop
    }

    fn read_ahead(&mut self, chosen: usize) -> Result<(), StoreError> {
        let (ahead, inputs, flow) = (&mut self.read_ahead, &mut self.inputs, &mut self.flow);
        let read = catch_unwind(AssertUnwindSafe(|| ahead.before(chosen, inputs, flow)));
        read.unwrap_or_else(|panic| {
            // It only saves time, and it was shown many records: none of them is at fault.
            let reason = panic_text(&*panic);
            tracing::error!(task = %self.name, reason, "a processor panicked while it named keys to be read ahead; that is off now");
            self.read_ahead.turn_off();
            Ok(())
        })
    }

    /// Runs processors: a panic of theirs is an error, for which the record is to blame.
    fn catching<T>(&mut self, blame: Blame, run: impl FnOnce(&mut Self) -> Result<T, EngineError>) -> Result<T, EngineError> {
        // What they leave behind is dropped with the transaction: nodes are made anew, and stores forget what it wrote.
        catch_unwind(AssertUnwindSafe(|| run(self))).unwrap_or_else(|panic| {
            self.blame = Some(blame);
            Err(EngineError::Panicked {
                task: self.name.clone(),
                reason: panic_text(&*panic),
            })
        })
    }

    /// What is refused of this record's outputs is its fault.
    fn blaming<T>(&mut self, record: RecordId, result: Result<T, EngineError>) -> Result<T, EngineError> {
        if result.as_ref().is_err_and(EngineError::is_refused) {
            self.blame = Some(Blame::Refused(record));
        }
        result
    }

    fn send_dead_letter(
        &mut self,
        record: RecordId,
        reason: &str,
        verdict: Option<&Verdict>,
        producer: &mut dyn TransactionalProducer,
    ) -> Result<(), EngineError> {
        let (at, offset) = (&self.flow.at, self.inputs[record.input].front_offset());
        tracing::warn!(task = %self.name, topic = %at.topic, offset, reason, "a record goes to the dead-letter topic");
        let with_bytes = verdict.is_none_or(|verdict| verdict.with_bytes);
        let sent = self.outbox.send_dead_letter(at, offset, reason, with_bytes, producer);
        self.blaming(record, sent)
    }

    /// What processors make of a dead letter counts with it.
    fn tell_dead_letter(
        &mut self,
        record: RecordId,
        source: usize,
        producer: &mut dyn TransactionalProducer,
        now_ms: i64,
    ) -> Result<(), EngineError> {
        match self.flow.tell_dead_letter(&self.topology, source, now_ms) {
            Ok(()) => {
                let sent = self.outbox.send(&mut self.flow.out, producer);
                self.blaming(record, sent)
            }
            Err(ProcessError::Store(error)) => Err(error.into()),
            Err(error) => {
                self.flow.undo_record();
                tracing::error!(task = %self.name, %error, "a processor could not be called for a dead letter");
                Ok(())
            }
        }
    }

    /// Calls the punctuators on the wall clock whose time has come. Returns whether any has written.
    pub fn punctuate(&mut self, producer: &mut dyn TransactionalProducer, now_ms: i64) -> Result<bool, EngineError> {
        self.punctuate_by(PunctuationType::WallClockTime, now_ms, producer, now_ms)
    }

    fn punctuate_by(
        &mut self,
        kind: PunctuationType,
        clock_ms: i64,
        producer: &mut dyn TransactionalProducer,
        now_ms: i64,
    ) -> Result<bool, EngineError> {
        let mut any = false;
        while let Some((id, punctuation)) = self.flow.punctuators.take_due(kind, clock_ms) {
            self.flow.at = RecordMetadata {
                partition: self.id.partition,
                offset: -1,
                timestamp_ms: clock_ms,
                ..RecordMetadata::default()
            };
            self.flow.begin_record(clock_ms);
            let punctuated = catch_unwind(AssertUnwindSafe(|| {
                self.flow.punctuate(&self.topology, id, punctuation, now_ms)
            }));
            // Its next call is a period away: what it does to its transaction, it does not do to the next.
            let outcome = punctuated.map_err(|panic| {
                self.flow.punctuators.forgo(punctuation.punctuator);
                EngineError::Panicked {
                    task: self.name.clone(),
                    reason: format!("in {}'s punctuator: {}", self.topology.nodes[id].name, panic_text(&*panic)),
                }
            })?;
            match outcome {
                Ok(()) => {
                    let wrote = !self.flow.out.entries.is_empty() || self.flow.stores.iter().any(|s| s.uncommitted_len() > 0);
                    self.outbox.send(&mut self.flow.out, producer)?;
                    self.dirty |= wrote && !planted("a punctuation alone is not committed");
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

    /// Whether nodes hold records back until the commit.
    pub fn has_caches(&self) -> bool {
        !self.flow.caches.is_empty()
    }

    /// Has what was held back for the commit go on. An update that fails takes the transaction down: which record it is of is not known here,
    /// and is found among the transaction's as one whose output is refused.
    pub fn flush_caches(&mut self, producer: &mut dyn TransactionalProducer, now_ms: i64) -> Result<(), EngineError> {
        for place in 0..self.flow.caches.len() {
            let id = self.flow.caches[place];
            loop {
                let flushed = catch_unwind(AssertUnwindSafe(|| self.flow.flush(&self.topology, id, now_ms)));
                let failed = |reason: String| {
                    let node = &self.topology.nodes[id].name;
                    BrokerError::Refused(format!("an update of {node} failed at the commit: {reason}"))
                };
                match flushed {
                    Ok(Ok(false)) => break,
                    Ok(Ok(true)) => self.outbox.send(&mut self.flow.out, producer)?,
                    Ok(Err(ProcessError::Store(error))) => return Err(error.into()),
                    Ok(Err(ProcessError::Wire(error))) if error.is_transient() => {
                        return Err(BrokerError::Unavailable(error.to_string()).into());
                    }
                    Ok(Err(error)) => return Err(failed(error.to_string()).into()),
                    Err(panic) => return Err(failed(panic_text(&*panic)).into()),
                }
            }
        }
        Ok(())
    }

    /// When the next punctuation on the wall clock is due, in milliseconds since the epoch.
    pub fn next_punctuation_ms(&self) -> Option<i64> {
        self.flow.punctuators.next_wall_clock_ms()
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
                pack.push(at.timestamp_ms, at.key.as_deref(), at.value.as_deref(), own);
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
                    return Err(match error {
                        ProcessError::Wire(error) if error.is_transient() => StoreError::Backend {
                            store: store.name().to_owned(),
                            reason: error.to_string(),
                        }
                        .into(),
                        error => EngineError::Unencodable {
                            store: store.name().to_owned(),
                            reason: error.to_string(),
                        },
                    });
                }
                (Ok(()), None) => {}
            }
        }
        Ok(())
    }

    /// The offsets that the open transaction moves to. Where it moves none, since only a timer wrote, all of them as they stand: a
    /// transaction without offsets would commit for a worker whose tasks are another's by now.
    pub fn offsets(&self, mark: &str) -> impl Iterator<Item = (TopicPartition, Committed)> {
        let moves = self.moves();
        let fenced = self.inputs.iter().any(|input| input.processed > 0) || !planted("a timer's transaction carries no offsets");
        let moved = self.inputs.iter().zip(moves).filter(move |(_, moves)| *moves && fenced);
        moved.map(move |(input, _)| {
            let moves = input.processed > 0;
            let time_ms = self.stream_time_ms;
            let offset = if moves {
                input.commit(time_ms, mark)
            } else {
                input.commit_again(time_ms, mark)
            };
            (input.partition.clone(), offset)
        })
    }

    /// Of each input, whether the open transaction commits its offset.
    fn moves(&self) -> Vec<bool> {
        let any = self.inputs.iter().any(|i| i.processed > 0);
        self.inputs.iter().map(|i| !any || i.processed > 0).collect()
    }

    /// Whether the transaction with this mark has committed, by the group's offsets. Where they lie does not say: another that has
    /// taken the task over may have come just as far.
    pub fn is_committed(&self, committed: &[Option<Committed>], mark: &str) -> bool {
        let mut moved = committed.iter().zip(self.moves()).filter(|(_, moves)| *moves);
        self.dirty
            && moved.all(|(committed, _)| {
                committed
                    .as_ref()
                    .is_some_and(|c| c.metadata.rsplit(',').next() == Some(mark))
            })
    }

    /// Where the group has this task stand, moved or not; nothing of inputs of which it has nothing.
    pub fn committed_again(&self, mark: &str) -> impl Iterator<Item = (TopicPartition, Committed)> {
        let idle = self.inputs.iter().filter(|i| i.processed == 0 && i.committed.log >= 0);
        idle.map(move |i| (i.partition.clone(), i.commit_again(self.stream_time_ms, mark)))
    }

    /// The transaction that was committed at this time proves that the task is still this worker's.
    pub fn is_valid(&mut self, at_ms: i64) {
        self.valid_at_ms = self.valid_at_ms.max(at_ms);
        self.touches = true;
    }

    /// The task starts from where the group stands now.
    pub fn stand_at(&mut self, stand: &[Reached]) {
        for (input, stand) in self.inputs.iter_mut().zip(stand) {
            // Where the group has nothing, what the state has said holds.
            if stand.log >= 0 || input.committed.log < 0 {
                input.committed = *stand;
            }
            input.is_lost &= stand.log < 0;
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
                .any(|input| input.known.is_some_and(|known| known.log >= 0))
    }

    /// The transaction has committed: its writes become visible in one step. `written` are the transaction's offsets. Returns
    /// how many records of each input it held.
    pub fn promote(&mut self, written: &[(TopicPartition, i64)], now_ms: i64) -> Vec<u64> {
        let moves = self.moves();
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
        for (input, moves) in self.inputs.iter_mut().zip(moves) {
            if input.processed > 0 || (moves && input.committed.log < 0) {
                input.committed = input.reached();
            }
            processed.push(std::mem::take(&mut input.processed));
        }
        self.committed_time_ms = self.stream_time_ms;
        self.flow.punctuators.promote();
        position.stream_time_ms = self.stream_time_ms.unwrap_or_default();
        position.offsets = self.committed_offsets();
        position.committed_at_ms = now_ms;
        self.sequence += 1;
        self.valid_at_ms = self.valid_at_ms.max(now_ms);
        self.dirty = false;
        self.records = 0;
        processed
    }

    /// The transaction did not commit: forgets all of it. The inputs must be read again from their committed offsets.
    pub fn discard(&mut self, registry: &Arc<dyn Registry>) -> Result<(), EngineError> {
        self.flow.stores.iter_mut().for_each(|s| s.discard());
        self.flow.punctuators.discard();
        (self.stream_time_ms, self.punctuated_ms) = (self.committed_time_ms, None);
        self.flow.out.clear();
        // All of them: one that panicked is not there any more.
        for &node in &self.topology.subs[self.id.sub].nodes {
            self.flow.nodes[node] = Some((self.topology.nodes[node].make)(registry)?);
        }
        self.outbox.clear();
        if !planted("a transaction that is dropped keeps its place") {
            self.inputs.iter_mut().for_each(Input::rewind);
        }
        self.dirty = false;
        self.records = 0;
        self.blame = None;
        Ok(())
    }

    /// Takes what is committed for a flush; `None` if there is nothing new.
    pub fn flush(&mut self) -> Option<FlushJob> {
        let backend = self.backend.clone()?;
        let parts: Vec<_> = self.flow.stores.iter_mut().filter_map(|s| s.flush()).collect();
        if parts.is_empty() && !std::mem::take(&mut self.touches) {
            return None;
        }
        Some(FlushJob {
            name: self.name.clone(),
            backend,
            parts,
            stored: self.stored(),
        })
    }

    fn stored(&self) -> Stored {
        Stored {
            changelog: self
                .flow
                .stores
                .iter()
                .zip(&self.changelogs)
                .map(|(s, (_, next))| {
                    (
                        s.name().to_owned(),
                        *next + i64::from(planted("the stored position is ahead")),
                    )
                })
                .collect(),
            sources: self
                .inputs
                .iter()
                .map(|i| (i.partition.topic.to_string(), i.committed_offset()))
                .collect(),
            reached: self
                .inputs
                .iter()
                .map(|i| (i.partition.topic.to_string(), i.committed.log, i.committed.handed))
                .collect(),
            topics: self
                .topic_ids
                .iter()
                .map(|(topic, id)| ((*topic).to_owned(), id.clone()))
                .collect(),
            stream_time_ms: self.committed_time_ms,
            store_times: store_times(&self.flow.stores),
            sequence: self.sequence,
            written_at_ms: self.valid_at_ms,
        }
    }

    /// Gives its stores away, to be restored from its changelogs. Until it has them back, it only waits.
    pub fn begin_restore(&mut self, metrics: &super::Metrics) -> Restore {
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
    pub fn restored(&mut self, now_ms: i64) {
        self.is_valid(now_ms);
        let mut position = self.position.write();
        position.offsets = self.committed_offsets();
        position.stream_time_ms = self.committed_time_ms.unwrap_or_default();
        position.committed_at_ms = now_ms;
    }

    /// Goes on from the stream time that the group's commits have.
    pub fn know_stream_time(&mut self, committed: &[Option<Committed>]) {
        let times = committed.iter().flatten().filter_map(stream_time_of);
        self.committed_time_ms = self.committed_time_ms.max(times.max());
        self.stream_time_ms = self.committed_time_ms;
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
        if planted("a flush is done before it is written") {
            self.parts.iter().for_each(|p| p.done());
        }
        self.backend.write(&batch)?;
        self.parts.iter().for_each(|p| p.done());
        Ok(())
    }
}

//! Hand-over: a re-keyed record whose partition is this worker's skips the repartition topic.
//!
//! It goes to the task that reads it in memory, within the transaction in which it was written: before that commits, the task
//! has processed it, and the offset that commits with it is the source's. So exactly-once is as it was, and a record needs one
//! commit on its way, not two. Records for partitions of other workers take the topic.
//!
//! Order per key and source partition must hold when the way changes:
//!
//! - From memory to the topic: between transactions. What was handed over is committed then.
//! - From the topic to memory: only once the reading task is past everything that this worker, or an earlier owner of its
//!   source partitions, wrote there. A *round* sees to that. While the writing tasks are held, a barrier is written behind all
//!   that; when the reader has come by, the way is free. Each topic has a round of its own, or a task between two topics would
//!   have to be held and to go on.
//!
//! Whenever tasks come or go, and after each fault, all records take the topics again, and rounds begin anew.
//!
//! In a backlog they take the topics, too: a source then runs ahead of the tasks behind it, which have fuller transactions, with
//! fewer changes for each key's many updates. That costs a quarter less, and latency is lost anyway.

use std::collections::BTreeSet;

use broker::{TopicPartition, TransactionalProducer};

use super::outbox::send_packed;
use super::pack::BARRIER;
use super::task::{Step, TaskId};
use super::trouble::Wait;
use super::worker::{BACKOFF_MS, OpenTransaction, Stage, Worker};
use crate::error::EngineError;
use crate::graph::Topology;
use crate::planted::planted;

/// Where a worker's re-keyed records go.
#[derive(Default)]
pub(crate) struct HandOver {
    /// Topics, by number in `links`, and partitions whose records are handed over.
    open: BTreeSet<(usize, u32)>,
    round: Option<Round>,
    retry_at_ms: i64,
    links: Vec<Link>,
    /// Commits in a row that came before the input ran dry.
    full_commits: u32,
}

/// A repartition topic between sub-topologies.
struct Link {
    topic: &'static str,
    writers: BTreeSet<usize>,
    reader: usize,
}

struct Round {
    link: usize,
    /// Partitions, each with the highest offset that this worker has written.
    barriers: Vec<(u32, i64)>,
    give_up_at_ms: i64,
}

/// A round that takes longer holds up the sources too much: the reading tasks have other work.
const ROUND_MS: i64 = 1_000;
const RETRY_MS: i64 = 10_000;

/// After so long, what was handed over and is not processed is left to the topics: the broker would end the transaction before long.
const FINISH_MS: i64 = 3_000;

/// After so many commits in a row that did not wait for the input to run dry, there is a backlog.
const BACKLOG_COMMITS: u32 = 5;

impl HandOver {
    /// For a topology's repartition topics. Where a topic leads back to a sub-topology that feeds it, nothing is handed over:
    /// the reader would have to be held and to go on.
    pub fn new(topology: &Topology) -> Self {
        let mut links: Vec<Link> = Vec::new();
        for (writer, sub) in topology.subs.iter().enumerate() {
            for (topic, reader) in topology.repartition_topics_of(sub) {
                match links.iter_mut().find(|link| link.topic == topic) {
                    Some(link) => {
                        link.writers.insert(writer);
                    }
                    None => links.push(Link {
                        topic,
                        writers: BTreeSet::from([writer]),
                        reader,
                    }),
                }
            }
        }
        links.retain(|link| link.writers.iter().all(|writer| *writer < link.reader));
        Self {
            links,
            ..Self::default()
        }
    }

    /// Whether the tasks of a sub-topology must not process anything now.
    pub fn holds(&self, sub: usize) -> bool {
        let round = self.round.as_ref();
        round.is_some_and(|round| self.links[round.link].writers.contains(&sub))
    }

    /// A transaction has committed: these are the highest offsets that it wrote.
    pub fn committed(&mut self, written: &[(TopicPartition, i64)]) {
        let Some(round) = &mut self.round else { return };
        let topic = self.links[round.link].topic;
        for (partition, barrier) in &mut round.barriers {
            let here = written
                .iter()
                .filter(|(p, _)| p.partition == *partition && *p.topic == *topic);
            *barrier = here.map(|(_, offset)| *offset).fold(*barrier, i64::max);
        }
    }
}

impl Worker {
    /// From now on all records take the topics. What was handed over is committed, or is about to be forgotten.
    pub fn stop_handing_over(&mut self) {
        if planted("memory goes on when tasks move") {
            return;
        }
        self.hand_over.open.clear();
        self.hand_over.round = None;
        self.hand_over.retry_at_ms = 0;
        self.tasks
            .values_mut()
            .for_each(|slot| slot.task.outbox.direct_all_to_topics());
    }

    /// A transaction has committed, since the input ran dry or before that.
    pub fn weigh_hand_over(&mut self, dry: bool) {
        let full_commits = if dry {
            0
        } else {
            self.hand_over.full_commits.saturating_add(1)
        };
        self.hand_over.full_commits = full_commits;
        if full_commits == BACKLOG_COMMITS && !self.hand_over.open.is_empty() {
            tracing::info!(worker = self.index, "a backlog: re-keyed records go through their topics");
            self.stop_handing_over();
            self.hand_over.retry_at_ms = self.now_ms() + RETRY_MS;
        }
    }

    /// Moves the way from topics to memory. Returns whether anything moved.
    pub fn advance_hand_over(&mut self) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        if let Some(round) = &self.hand_over.round {
            let link = &self.hand_over.links[round.link];
            let is_past = |(partition, offset): &(u32, i64)| self.input_is(link, *partition, |input| input.is_past(*offset));
            if round.barriers.iter().all(is_past) || planted("memory overtakes the topic") {
                self.hand_over();
                return Ok(true);
            }
            if now_ms >= round.give_up_at_ms {
                tracing::debug!(
                    worker = self.index,
                    topic = link.topic,
                    "records keep going through the topic for now"
                );
                self.hand_over.round = None;
                self.hand_over.retry_at_ms = now_ms + RETRY_MS;
            }
            return Ok(false);
        }
        let is_wanted = self.still.is_empty()
            && self.at_fault.is_empty()
            && self.parts.settings.repartition_in_memory
            && self.hand_over.full_commits < BACKLOG_COMMITS;
        if !is_wanted || now_ms < self.hand_over.retry_at_ms || self.producer.is_none() {
            return Ok(false);
        }
        // An earlier owner's transaction may still be on its way into the topics until the group's offsets are known.
        let is_unsettled = |id: &TaskId| matches!(self.tasks[id].stage, Stage::Opened);
        if !self.to_open.is_empty() || self.tasks.keys().any(is_unsettled) {
            return Ok(false);
        }
        for link in 0..self.hand_over.links.len() {
            if self.begin_round(link, now_ms)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether this worker runs the task that reads a partition, and its input is like that.
    fn input_is(&self, link: &Link, partition: u32, is: impl Fn(&super::input::Input) -> bool) -> bool {
        let id = TaskId {
            sub: link.reader,
            partition,
        };
        self.tasks.get(&id).is_some_and(|slot| {
            let mut inputs = slot.task.inputs.iter();
            matches!(slot.stage, Stage::Running) && inputs.any(|input| *input.partition.topic == *link.topic && is(input))
        })
    }

    /// Writes barriers into the partitions of a topic that can be handed over. Returns whether there are any.
    fn begin_round(&mut self, link: usize, now_ms: i64) -> Result<bool, EngineError> {
        let number = link;
        let link = &self.hand_over.links[number];
        if !self.tasks.keys().any(|id| link.writers.contains(&id.sub)) {
            return Ok(false);
        }
        let partitions = 0..self.parts.source_partitions[link.topic];
        let partitions = partitions.filter(|partition| {
            !self.hand_over.open.contains(&(number, *partition)) && self.input_is(link, *partition, |input| input.buffered() == 0)
        });
        let barriers: Vec<(u32, i64)> = partitions.map(|partition| (partition, i64::MAX)).collect();
        let topic = link.topic;
        if self.producer.is_none() || barriers.is_empty() {
            return Ok(false);
        }
        self.begin(now_ms)?;
        let Some(producer) = self.producer.as_mut() else {
            return Ok(false);
        };
        for (partition, _) in &barriers {
            send_packed(topic, *partition, &BARRIER, now_ms, producer.as_mut())?;
        }
        self.hand_over.round = Some(Round {
            link: number,
            barriers: barriers.into_iter().map(|(partition, _)| (partition, -1)).collect(),
            give_up_at_ms: now_ms + ROUND_MS,
        });
        self.commit()?;
        Ok(true)
    }

    /// The round is over: the way through memory is free.
    fn hand_over(&mut self) {
        let Some(round) = self.hand_over.round.take() else { return };
        let topic = self.hand_over.links[round.link].topic;
        for (partition, _) in round.barriers {
            for slot in self.tasks.values_mut() {
                slot.task.outbox.direct(topic, partition, true);
            }
            self.hand_over.open.insert((round.link, partition));
        }
        tracing::info!(worker = self.index, topic, "re-keyed records are handed over in memory");
    }

    /// Brings what tasks have written to the tasks that read it.
    pub fn deliver(&mut self) -> Result<(), EngineError> {
        let mut all = Vec::new();
        for slot in self.tasks.values_mut() {
            all.extend(slot.task.outbox.take_handed());
        }
        for handed in all {
            let counter = self.parts.metrics.handed_over.with_label_values(&[handed.topic]);
            counter.inc_by(u64::from(handed.records));
            let reader = self.parts.topology.repartition_reader(handed.topic);
            let id = reader.map(|sub| TaskId {
                sub,
                partition: handed.partition,
            });
            match id.and_then(|id| self.tasks.get_mut(&id)) {
                Some(slot) if matches!(slot.stage, Stage::Running) => slot.task.hand(handed),
                // The way is closed before a task goes; should that ever fail, the transaction must not commit.
                _ => return Err(EngineError::Topology(format!("{} was handed over to nobody", handed.topic))),
            }
        }
        Ok(())
    }

    /// Processes what was handed over, to the end: the transaction cannot commit without it. What cannot be processed now goes
    /// to its topic.
    pub fn finish_handed(&mut self) -> Result<(), EngineError> {
        let Some(mut producer) = self.producer.take() else {
            return Ok(());
        };
        let outcome = self.finish_handed_with(producer.as_mut());
        self.producer = Some(producer);
        outcome
    }

    fn finish_handed_with(&mut self, producer: &mut dyn TransactionalProducer) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let give_up_at_ms = now_ms + FINISH_MS;
        self.deliver()?;
        while let Some(id) = self.tasks.iter().find(|(_, slot)| slot.task.has_handed()).map(|(id, _)| *id) {
            let slot = self.tasks.get_mut(&id).expect("found above");
            let transaction = self.transaction.get_or_insert_with(|| OpenTransaction::begun(now_ms));
            while slot.task.has_handed() {
                let is_late = self.parts.clock.now_ms() >= give_up_at_ms;
                let step = if is_late || slot.wait.as_ref().is_some_and(|wait| !wait.may_try(now_ms)) {
                    Step::Idle
                } else {
                    slot.task.step(producer, now_ms, &self.at_fault, transaction)?
                };
                match step {
                    Step::Processed => continue,
                    Step::DeadLetter => {
                        self.parts.metrics.count_dead_letter(&slot.task.inputs[0].partition.topic);
                        continue;
                    }
                    Step::Idle => {}
                    Step::Later(reason) => slot.wait = Some(Wait::transient(reason, now_ms + BACKOFF_MS)),
                }
                slot.task.give_up_handed(producer)?;
                self.close_way_to(id, now_ms);
                break;
            }
            self.tasks
                .get_mut(&id)
                .expect("found above")
                .task
                .outbox
                .send_packs(producer)?;
            self.deliver()?;
        }
        Ok(())
    }

    /// A task does not get on: its records take the topic for a while.
    fn close_way_to(&mut self, id: TaskId, now_ms: i64) {
        for (number, link) in self
            .hand_over
            .links
            .iter()
            .enumerate()
            .filter(|(_, link)| link.reader == id.sub)
        {
            self.hand_over.open.remove(&(number, id.partition));
            for slot in self.tasks.values_mut() {
                slot.task.outbox.direct(link.topic, id.partition, false);
            }
        }
        self.hand_over.retry_at_ms = now_ms + RETRY_MS;
    }
}

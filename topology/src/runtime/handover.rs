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
use std::time::Duration;

use broker::TopicPartition;
use clock::Millis;

use super::at_fault::AtFault;
use super::input::Input;
use super::outbox::send_packed;
use super::pack::BARRIER;
use super::parts::Parts;
use super::task_id::TaskId;
use super::tasks::{Drive, Driven, TaskRegistry};
use super::transaction::Transactions;
use crate::error::EngineError;
use crate::graph::Topology;
use crate::planted::planted;

/// Where a worker's re-keyed records go.
#[derive(Default)]
pub(crate) struct HandOver {
    /// Topics, by number in `links`, and partitions whose records are handed over.
    open: BTreeSet<(usize, u32)>,
    round: Option<Round>,
    retry_at_ms: Millis,
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
    give_up_at_ms: Millis,
}

/// A round that takes longer holds up the sources too much: the reading tasks have other work.
const ROUND: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(10);

/// After so long, what was handed over and is not processed is left to the topics: the broker would end the transaction before long.
const FINISH: Duration = Duration::from_secs(3);

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

    /// From now on all records take the topics. What was handed over is committed, or is about to be forgotten.
    pub fn stop(&mut self, tasks: &mut TaskRegistry) {
        if planted("memory goes on when tasks move") {
            return;
        }
        self.open.clear();
        self.round = None;
        self.retry_at_ms = Millis::MIN;
        tasks.values_mut().for_each(|slot| slot.task.outbox.direct_all_to_topics());
    }

    /// A transaction has committed, since the input ran dry or before that.
    pub fn weigh(&mut self, dry: bool, tasks: &mut TaskRegistry, now_ms: Millis) {
        self.full_commits = if dry { 0 } else { self.full_commits.saturating_add(1) };
        if self.full_commits == BACKLOG_COMMITS && !self.open.is_empty() {
            tracing::info!("a backlog: re-keyed records go through their topics");
            self.stop(tasks);
            self.retry_at_ms = now_ms + RETRY;
        }
    }

    /// Ends the round that is under way, if it has come to its end. Returns whether anything moved.
    pub fn end_round(&mut self, tasks: &mut TaskRegistry, now_ms: Millis) -> bool {
        let Some(round) = &self.round else { return false };
        let link = &self.links[round.link];
        let is_past = |(partition, offset): &(u32, i64)| link.input_is(*partition, tasks, |input| input.is_past(*offset));
        if round.barriers.iter().all(is_past) || planted("memory overtakes the topic") {
            self.open_way(tasks);
            return true;
        }
        if now_ms >= round.give_up_at_ms {
            tracing::debug!(topic = link.topic, "records keep going through the topic for now");
            self.round = None;
            self.retry_at_ms = now_ms + RETRY;
        }
        false
    }

    /// Whether a round may begin, as far as that is known here.
    pub fn may_begin(&self, tasks: &TaskRegistry, now_ms: Millis) -> bool {
        // An earlier owner's transaction may still be on its way into the topics until the group's offsets are known.
        self.round.is_none()
            && self.full_commits < BACKLOG_COMMITS
            && now_ms >= self.retry_at_ms
            && tasks.wanted().is_empty()
            && !tasks.values().any(|slot| slot.is_opened())
    }

    /// Begins a round for the first topic with partitions that can be handed over: writes barriers into them. Returns whether there is
    /// one; the transaction is to be committed then.
    pub fn begin_round(
        &mut self,
        tasks: &TaskRegistry,
        transactions: &mut Transactions,
        parts: &Parts,
        now_ms: Millis,
    ) -> Result<bool, EngineError> {
        for (number, link) in self.links.iter().enumerate() {
            if !tasks.iter().any(|(id, _)| link.writers.contains(&id.sub)) {
                continue;
            }
            let partitions = 0..parts.plan.source_partitions[link.topic];
            let partitions = partitions.filter(|partition| {
                !self.open.contains(&(number, *partition)) && link.input_is(*partition, tasks, |input| input.buffered() == 0)
            });
            let partitions: Vec<u32> = partitions.collect();
            if partitions.is_empty() {
                continue;
            }
            let Some((producer, _)) = transactions.begin(now_ms)? else {
                return Ok(false);
            };
            for partition in &partitions {
                send_packed(link.topic, *partition, &BARRIER, now_ms, producer)?;
            }
            self.round = Some(Round {
                link: number,
                barriers: partitions.into_iter().map(|partition| (partition, -1)).collect(),
                give_up_at_ms: now_ms + ROUND,
            });
            return Ok(true);
        }
        Ok(false)
    }

    /// The round is over: the way through memory is free.
    fn open_way(&mut self, tasks: &mut TaskRegistry) {
        let Some(round) = self.round.take() else { return };
        let topic = self.links[round.link].topic;
        for (partition, _) in round.barriers {
            for slot in tasks.values_mut() {
                slot.task.outbox.direct(topic, partition, true);
            }
            self.open.insert((round.link, partition));
        }
        tracing::info!(topic, "re-keyed records are handed over in memory");
    }

    /// Processes what was handed over, to the end: the transaction cannot commit without it. What cannot be processed now goes
    /// to its topic.
    pub fn finish(
        &mut self,
        tasks: &mut TaskRegistry,
        transactions: &mut Transactions,
        at_fault: &AtFault,
        parts: &Parts,
    ) -> Result<(), EngineError> {
        let now_ms = parts.clock.now_ms();
        let give_up_at_ms = now_ms + FINISH;
        let goes_on = |task: &super::task::Task| task.has_handed() && parts.clock.now_ms() < give_up_at_ms;
        deliver(tasks, parts)?;
        while let Some(id) = tasks.iter().find(|(_, slot)| slot.task.has_handed()).map(|(id, _)| *id) {
            let Some((producer, transaction)) = transactions.begin(now_ms)? else {
                return Ok(());
            };
            let slot = tasks.slot_mut(id);
            let may_try = slot.wait.as_ref().is_none_or(|wait| wait.may_try(now_ms));
            if may_try && goes_on(&slot.task) {
                let with = Drive {
                    producer: &mut *producer,
                    transaction,
                    at_fault,
                    metrics: &parts.metrics,
                    now_ms,
                };
                let driven: Driven = slot.drive(with, |task, _| goes_on(task))?;
                tracing::trace!(task = %slot.task.name, ?driven, "what was handed over is processed");
            }
            if slot.task.has_handed() {
                slot.task.give_up_handed(producer)?;
                self.close_way_to(id, tasks, now_ms);
            }
            tasks.slot_mut(id).task.outbox.send_packs(producer)?;
            deliver(tasks, parts)?;
        }
        Ok(())
    }

    /// A task does not get on: its records take the topic for a while.
    fn close_way_to(&mut self, id: TaskId, tasks: &mut TaskRegistry, now_ms: Millis) {
        for (number, link) in self.links.iter().enumerate().filter(|(_, link)| link.reader == id.sub) {
            self.open.remove(&(number, id.partition));
            for slot in tasks.values_mut() {
                slot.task.outbox.direct(link.topic, id.partition, false);
            }
        }
        self.retry_at_ms = now_ms + RETRY;
    }
}

impl Link {
    /// Whether a task that reads a partition runs here, and its input is like that.
    fn input_is(&self, partition: u32, tasks: &TaskRegistry, is: impl Fn(&Input) -> bool) -> bool {
        let id = TaskId {
            sub: self.reader,
            partition,
        };
        tasks.get(id).is_some_and(|slot| {
            let mut inputs = slot.task.inputs.iter();
            slot.runs() && inputs.any(|input| *input.partition.topic == *self.topic && is(input))
        })
    }
}

/// Brings what tasks have written to the tasks that read it.
pub(crate) fn deliver(tasks: &mut TaskRegistry, parts: &Parts) -> Result<(), EngineError> {
    let mut all = Vec::new();
    for slot in tasks.values_mut() {
        all.extend(slot.task.outbox.take_handed());
    }
    for handed in all {
        let counter = parts.metrics.handed_over.with_label_values(&[handed.topic]);
        counter.inc_by(u64::from(handed.records));
        let reader = parts.topology.repartition_reader(handed.topic);
        let id = reader.map(|sub| TaskId {
            sub,
            partition: handed.partition,
        });
        match id.and_then(|id| tasks.get_mut(id)) {
            Some(slot) if slot.runs() => slot.task.hand(handed),
            // The way is closed before a task goes; should that ever fail, the transaction must not commit.
            _ => return Err(EngineError::Topology(format!("{} was handed over to nobody", handed.topic))),
        }
    }
    Ok(())
}

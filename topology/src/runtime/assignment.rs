//! Tasks come and go: open, restore, run, close.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use broker::{BrokerError, Committed, Polled, Start, TopicPartition};

use super::input::Input;
use super::shared::{OwnedGroup, Served};
use super::task::{Task, TaskId};
use super::trouble::Wait;
use super::worker::{BACKOFF_MS, Parts, Slot, Stage, Worker};
use crate::error::{EngineError, StoreError};
use crate::planted::planted;
use crate::store::Backend;

const CLOSE_BOUND: Duration = Duration::from_secs(20);
/// Well beyond the time after which the broker ends a transaction that is left open.
const RESTORE_PATIENCE_MS: i64 = 60_000;

impl Worker {
    /// Opens the tasks of the groups that wait for it: partition p of every sub-topology. A group whose disk refuses goes on
    /// waiting, and holds up nobody else.
    pub fn open_groups(&mut self) -> Result<(), EngineError> {
        let partitions = self.to_open.iter();
        let ids = partitions.flat_map(|&partition| (0..self.parts.topology.subs.len()).map(move |sub| TaskId { sub, partition }));
        let mine = |id: &TaskId| id.partition < self.parts.sub_partitions[id.sub] && !self.tasks.contains_key(id);
        let ids: Vec<TaskId> = ids.filter(mine).collect();
        let mut opened = self.wipe_states();
        for (id, backend) in ids.iter().zip(open_backends(&self.parts, &ids)) {
            if self.to_wipe.contains(id) {
                continue;
            }
            let result = backend
                .map_err(EngineError::from)
                .and_then(|backend| self.open_task(*id, backend));
            opened = opened.and(result);
        }
        // What turned out to be too old is wiped and opened next time.
        let waiting = std::mem::take(&mut self.to_open);
        for partition in waiting {
            let misses = |id: &TaskId| id.partition == partition && !self.tasks.contains_key(id);
            if ids.iter().any(misses) && !planted("a task that cannot be opened is given up") {
                self.to_open.insert(partition);
            } else {
                self.tell_if_runs(partition);
            }
        }
        opened
    }

    /// Removes state that cannot be carried on from.
    fn wipe_states(&mut self) -> Result<(), EngineError> {
        let mut wiped = Ok(());
        for id in std::mem::take(&mut self.to_wipe) {
            if let Err(error) = self.parts.backends.wipe(&id.name(&self.parts.topology)) {
                self.to_wipe.insert(id);
                wiped = Err(error.into());
            } else {
                self.parts.metrics.wipes.inc();
            }
        }
        wiped
    }

    fn open_task(&mut self, id: TaskId, backend: Option<Arc<dyn Backend>>) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let task = Task::open(
            &self.parts.topology,
            id,
            backend,
            &self.parts.registry,
            now_ms,
            &self.parts.source_partitions,
            &self.parts.topic_ids,
        )?;
        // A deleted key's tombstone may be gone from the changelog by now: what the state has of such keys would never be taken away.
        let age_ms = now_ms - task.valid_at_ms;
        if task.had_state() && age_ms > tombstones_last_ms(&self.parts) && !planted("a folder is trusted however old it is") {
            tracing::warn!(task = %task.name, age_ms, "the state is older than the tombstones of its changelogs; restoring it anew");
            self.to_wipe.insert(id);
            return Ok(());
        }
        tracing::info!(task = %task.name, changelogs = ?task.changelogs, "opened");
        // Tasks flush one after another over the interval, not all at once: by the golden ratio, however many there are.
        let every_ms = self.parts.settings.flush_interval.as_millis() as i64;
        let ahead_ms = i64::from(id.partition) * 618 % 1_000 * every_ms / 1_000;
        self.tasks.insert(
            id,
            Slot {
                task,
                stage: Stage::Opened,
                wait: None,
                assigned_at_ms: now_ms,
                flushed_at_ms: now_ms - ahead_ms,
            },
        );
        Ok(())
    }

    /// Moves opened and restoring tasks on. Returns whether anything moved.
    pub fn advance_restores(&mut self) -> Result<bool, EngineError> {
        let mut progress = self.start_restores()?;
        if self.reads_begun() || self.tasks.values().any(|s| matches!(s.stage, Stage::Restoring { .. })) {
            progress |= self.replay()?;
        }
        Ok(progress)
    }

    /// Asks the group's offsets **before** the changelogs are read: the answer waits for transactions that an earlier
    /// owner left open, so what they wrote is in the changelogs or never will be.
    fn start_restores(&mut self) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        let asks =
            |slot: &Slot| matches!(slot.stage, Stage::Opened) && slot.wait.as_ref().is_none_or(|wait| wait.may_try(now_ms));
        let reads = |id: &TaskId| self.begun.get(&id.partition).is_some_and(|begun| !begun.is_read());
        let opened = self.tasks.iter().filter(|(id, slot)| asks(slot) && !reads(id));
        let opened: Vec<TaskId> = opened.map(|(id, _)| *id).collect();
        let Some(&first) = opened.first() else { return Ok(false) };
        // One of them may be another's still, and must not hold up the rest: after a refusal, one is asked for in each turn.
        let asks_one = self
            .tasks
            .values()
            .any(|slot| slot.wait.is_some() && matches!(slot.stage, Stage::Opened));
        let asked = if asks_one { vec![first] } else { opened };
        match self.start_restore_of(&asked) {
            Ok(()) => Ok(true),
            Err(error) => self.wait_for_group(first, error),
        }
    }

    /// The group does not say where a task stands: an earlier owner's transaction is open, or the coordinator is away.
    fn wait_for_group(&mut self, id: TaskId, error: EngineError) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        let (EngineError::Broker(BrokerError::Unavailable(reason)), Some(slot)) = (&error, self.tasks.get_mut(&id)) else {
            return Err(error);
        };
        let reason = format!("{} waits for its group's offsets: {reason}", slot.task.name);
        slot.wait = Some(Wait::transient(reason, now_ms + BACKOFF_MS));
        Ok(false)
    }

    fn start_restore_of(&mut self, opened: &[TaskId]) -> Result<(), EngineError> {
        let inputs: Vec<TopicPartition> = opened
            .iter()
            .flat_map(|id| self.tasks[id].task.inputs.iter().map(|i| i.partition.clone()))
            .collect();
        let patience = self.offsets_patience();
        let mut committed = self.group.committed(&inputs, patience)?.into_iter();
        for &id in opened {
            let inputs = self.tasks[&id].task.inputs.len();
            let committed: Vec<Option<Committed>> = committed.by_ref().take(inputs).collect();
            if committed.iter().any(Option::is_none) && !self.knows_begun(id)? {
                continue;
            }
            let slot = self.tasks.get_mut(&id).expect("the caller has it");
            for (input, committed) in slot.task.inputs.iter_mut().zip(&committed) {
                input.committed = input.reached_at_open(committed.as_ref());
                if input.committed.log < 0 {
                    input.start = self.reader.bounds(&input.partition, patience)?.0;
                }
                input.rewind();
            }
            let mut left = Vec::new();
            for (store, (topic, from)) in slot.task.changelogs.iter().enumerate() {
                let start = if *from == 0 { Start::Earliest } else { Start::At(*from) };
                let place = TopicPartition::new(topic.as_str(), id.partition);
                match self.restorer.assign(&place, start) {
                    Ok(number) => left.push((number, store)),
                    Err(error) => {
                        self.readers_in_doubt = !planted("a reader in doubt is kept");
                        return Err(error.into());
                    }
                }
            }
            slot.wait = None;
            slot.stage = Stage::Restoring {
                left,
                moved_at_ms: self.parts.clock.now_ms(),
                replayed: 0,
            };
        }
        Ok(())
    }

    fn replay(&mut self) -> Result<bool, EngineError> {
        let mut polled = Polled::default();
        let max = self.parts.settings.poll_records_max;
        match self.restorer.poll(max, Duration::from_millis(10), &mut polled) {
            Err(BrokerError::OffsetOutOfRange { partition, .. }) => {
                self.restore_from_start(&partition);
                return Ok(true);
            }
            done => done?,
        }
        let progress = !polled.messages.is_empty() || !polled.ends.is_empty();
        self.read_begun(&polled);
        self.parts.metrics.restored.inc_by(polled.messages.len() as u64);
        let ids: Vec<TaskId> = self.tasks.keys().copied().collect();
        let mut outcome = Ok(progress);
        for id in ids {
            // What was polled for the others must reach them, whatever becomes of this one: it is not polled again.
            if let Err(error) = self.replay_task(id, &polled)
                && !planted("a restore goes on behind a gap")
            {
                tracing::warn!(task = %id.name(&self.parts.topology), %error, "a restore failed; it begins again where the state stands");
                self.reopen(id);
                self.open_at_ms = self.now_ms() + BACKOFF_MS;
                self.trouble.opening = Some(error.to_string());
                outcome = Ok(true);
            }
        }
        outcome
    }

    fn replay_task(&mut self, id: TaskId, polled: &Polled) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let slot = self.tasks.get_mut(&id).expect("the caller has it");
        let Stage::Restoring {
            left,
            moved_at_ms,
            replayed,
        } = &mut slot.stage
        else {
            return Ok(());
        };
        let mut ended = Vec::new();
        for &(number, store) in left.iter() {
            let messages: Vec<_> = polled.messages.iter().filter(|m| m.slot == number).cloned().collect();
            let ends = polled.ends.iter().filter(|(slot, _)| *slot == number);
            let end = ends.map(|(_, next)| *next).max();
            let next = end.or_else(|| messages.last().map(|m| m.offset + 1));
            if let Some(next) = next {
                *moved_at_ms = now_ms;
                *replayed += messages.len() as u64;
                let foreign = slot.task.restore(store, &messages, next)?;
                self.parts.metrics.restore_passed_over.inc_by(foreign as u64);
            }
            if end.is_some() || next.is_some() && planted("a restore ends before the end") {
                ended.push(number);
            }
        }
        left.retain(|(number, _)| !ended.contains(number));
        let done = left.is_empty();
        for number in ended {
            self.readers_in_doubt |= self.restorer.unassign(number).is_err();
        }
        if !done {
            return Ok(());
        }
        let task = &self.tasks[&id].task;
        let is_old = !task.changelogs.is_empty() && now_ms - task.valid_at_ms > tombstones_last_ms(&self.parts);
        if is_old && !planted("a folder is trusted however old it is") {
            // As after the sleep of a process: what was read first may have been deleted, and its tombstone be gone, before the end.
            tracing::warn!(task = %task.name, "the restore took longer than its changelogs keep tombstones; restoring anew");
            self.restore_anew(id);
            return Ok(());
        }
        self.run_task(id)
    }

    /// Tells of a changelog whose end does not come. A transaction that nobody ends hides all that lies behind its first record,
    /// and a broker that was killed may have lost the markers of one: nobody but an operator can end that.
    pub fn stuck_restore(&self) -> Option<String> {
        let now_ms = self.now_ms();
        let restores = self.tasks.values().find_map(|slot| {
            let Stage::Restoring { left, moved_at_ms, .. } = &slot.stage else {
                return None;
            };
            let (_, store) = left.first().filter(|_| now_ms - moved_at_ms > RESTORE_PATIENCE_MS)?;
            let (topic, next) = &slot.task.changelogs[*store];
            let waited_s = (now_ms - moved_at_ms) / 1000;
            Some(format!(
                "the restore of {} has waited for {waited_s} s at offset {next} of {topic}-{}: is a transaction hanging there? \
                 (kafka-transactions.sh find-hanging)",
                slot.task.name, slot.task.id.partition
            ))
        });
        let stuck = self.stuck_begun(now_ms - RESTORE_PATIENCE_MS).or(restores);
        // A broker that is away is reason enough.
        stuck.filter(|_| self.restorer.trouble().is_none())
    }

    /// The state is whole: queries may ask it, and its inputs are fetched.
    fn run_task(&mut self, id: TaskId) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        self.settle_missing_offsets(id);
        self.assign_inputs(id)?;
        let slot = self.tasks.get_mut(&id).expect("the caller has it");
        slot.stage = Stage::Running;
        slot.task.restored(now_ms);
        let took_ms = now_ms - slot.assigned_at_ms;
        self.parts.metrics.restore_duration.observe(took_ms.max(0) as f64 / 1000.0);
        tracing::info!(task = %slot.task.name, took_ms, "running");
        if self.shows_group(id.partition) {
            self.serve(id);
        }
        self.tell_if_runs(id.partition);
        Ok(())
    }

    /// Queries may ask a task's state.
    fn serve(&self, id: TaskId) {
        let task = &self.tasks[&id].task;
        let position = task.position.clone();
        let mut served = self.shared.served.write();
        for (store, view) in task.views() {
            served.insert(
                (store, id.partition),
                Served {
                    view,
                    position: position.clone(),
                    lease: self.lease.clone(),
                },
            );
        }
    }

    /// Shows this worker's groups again that are shown as nobody's: another of this instance was given one, heard of it only after it had
    /// lost it again, and took it off.
    pub fn show_groups_again(&self) {
        let groups = self.shared.groups.lock();
        let mine = self.tasks.keys().map(|id| id.partition).chain(self.to_open.iter().copied());
        let hidden: BTreeSet<u32> = mine.filter(|partition| !groups.contains_key(partition)).collect();
        drop(groups);
        for partition in hidden {
            self.take_group(partition);
            let tasks = self
                .tasks
                .iter()
                .filter(|(id, slot)| id.partition == partition && slot.runs());
            tasks.for_each(|(id, _)| self.serve(*id));
            self.tell_if_runs(partition);
        }
    }

    /// What an input starts from of which the group has no offset. If nothing of it was ever committed, that is the log's start. But
    /// a broker forgets offsets: read from the start, every record would count twice.
    fn settle_missing_offsets(&mut self, id: TaskId) {
        let now_ms = self.now_ms();
        let slot = self.tasks.get_mut(&id).expect("the caller has it");
        let Stage::Restoring { replayed, .. } = slot.stage else {
            return;
        };
        let name = &slot.task.name;
        let has_none = |input: &&mut Input| input.committed.log < 0;
        // What is in the state is all that was committed, if the changelogs had nothing to add; and the topic must be the same.
        for input in slot.task.inputs.iter_mut().filter(has_none) {
            let is_same = input.known_topic == self.parts.topic_ids.get(&*input.partition.topic).cloned();
            if let Some(known) = input.known.filter(|known| known.log >= 0 && replayed == 0 && is_same) {
                tracing::warn!(task = %name, input = %input.partition, offset = known.log, "the group has lost its offset; the state has it");
                input.committed = known;
                input.rewind();
            }
        }
        let begun = self.begun.get(&id.partition);
        let had_state = replayed > 0 || slot.task.had_state();
        let has_others = slot.task.inputs.iter().any(|input| input.committed.log >= 0);
        let mut lost = Vec::new();
        for input in slot.task.inputs.iter_mut().filter(has_none) {
            // A version that did not write what was begun leaves its state: of an input among others, or of a repartition topic, which comes
            // with a topology that moves state to another sub-topology, it may be that nothing was read.
            let guessed = || {
                let may_be_new = self.parts.topology.is_repartition(&input.partition.topic);
                had_state && !may_be_new && input.known.map_or(!has_others, |known| known.log >= 0)
            };
            let topic = &*input.partition.topic;
            input.is_lost = begun.and_then(|begun| begun.has(topic)).unwrap_or_else(guessed)
                && !planted("an input without an offset is read from its start");
            if input.is_lost {
                lost.push(input.partition.to_string());
            }
        }
        if !lost.is_empty() {
            let reason = format!(
                "{name} waits: the group has no offset for {}, though it had one (docs/runbooks/offsets.md)",
                lost.join(", ")
            );
            tracing::error!("{reason}");
            slot.wait = Some(Wait::offset_unknown(reason, now_ms));
        }
    }

    /// Says that a task group runs, if all of its tasks do. It may have none: where sub-topologies differ in their partitions, or
    /// the topic of the groups has more than any.
    fn tell_if_runs(&self, partition: u32) {
        let mut tasks = self.tasks.iter().filter(|(id, _)| id.partition == partition);
        if !self.to_open.contains(&partition) && tasks.all(|(_, slot)| slot.runs()) {
            self.tell_group(partition, true);
        }
    }

    /// Fetches a task's inputs from where the group stands.
    pub fn assign_inputs(&mut self, id: TaskId) -> Result<(), EngineError> {
        self.unassign_inputs(id)?;
        let slot = self.tasks.get_mut(&id).expect("the caller has it");
        if self.still.contains(&id.sub) || slot.wait.as_ref().is_some_and(Wait::is_for_all_inputs) {
            slot.task.inputs.iter_mut().for_each(Input::rewind);
            return Ok(());
        }
        for (i, input) in slot.task.inputs.iter_mut().enumerate() {
            let start = match input.committed_offset() {
                ..0 => Start::Earliest,
                offset => Start::At(offset),
            };
            let assigned = self.reader.assign(&input.partition, start);
            self.readers_in_doubt |= assigned.is_err();
            let number = assigned?;
            input.slot = Some(number);
            input.paused = false;
            let number = number as usize;
            if self.slots.len() <= number {
                self.slots.resize(number + 1, None);
            }
            self.slots[number] = Some((id, i));
        }
        Ok(())
    }

    fn unassign_inputs(&mut self, id: TaskId) -> Result<(), EngineError> {
        let inputs = self.tasks[&id].task.inputs.len();
        (0..inputs).try_for_each(|input| self.unassign_input(id, input))
    }

    /// Fetches an input no more.
    pub fn unassign_input(&mut self, id: TaskId, input: usize) -> Result<(), EngineError> {
        let slot = self.tasks.get_mut(&id).expect("the caller has it");
        if let Some(number) = slot.task.inputs[input].slot.take() {
            self.slots[number as usize] = None;
            let unassigned = self.reader.unassign(number);
            self.readers_in_doubt |= unassigned.is_err();
            unassigned?;
        }
        Ok(())
    }

    /// A task group was assigned to this worker: it is shown as its own, whoever of this instance had it before.
    pub fn take_group(&self, partition: u32) {
        let owned = OwnedGroup {
            worker: self.index,
            runs: false,
        };
        self.shared.groups.lock().insert(partition, owned);
    }

    /// Whether a task group is shown as this worker's. Another of this instance may have taken it over, and this one not know yet.
    fn shows_group(&self, partition: u32) -> bool {
        let groups = self.shared.groups.lock();
        groups.get(&partition).is_some_and(|owned| owned.worker == self.index)
    }

    /// Says whether a task group of this worker runs.
    fn tell_group(&self, partition: u32, runs: bool) {
        let mut groups = self.shared.groups.lock();
        if let Some(owned) = groups.get_mut(&partition).filter(|owned| owned.worker == self.index) {
            owned.runs = runs;
        }
    }

    /// Closes the tasks of a group; what is committed goes to the backend, what is not is forgotten.
    pub fn close_group(&mut self, partition: u32) {
        let mut groups = self.shared.groups.lock();
        if groups.get(&partition).is_some_and(|owned| owned.worker == self.index) {
            groups.remove(&partition);
        }
        drop(groups);
        self.to_open.remove(&partition);
        self.to_wipe.retain(|id| id.partition != partition);
        self.forget_begun(partition);
        let ids: Vec<TaskId> = self.tasks.keys().filter(|id| id.partition == partition).copied().collect();
        for id in ids {
            self.close_task(id);
        }
    }

    fn close_task(&mut self, id: TaskId) {
        self.at_fault.forget(id);
        let position = self.tasks[&id].task.position.clone();
        let mut served = self.shared.served.write();
        served.retain(|_, served| !Arc::ptr_eq(&served.position, &position));
        drop(served);
        if let Err(error) = self.unassign_inputs(id) {
            tracing::warn!(%error, "an input could not be let go");
        }
        let Some(mut slot) = self.tasks.remove(&id) else { return };
        if let Stage::Restoring { left, .. } = &slot.stage {
            for &(number, _) in left {
                if let Err(error) = self.restorer.unassign(number) {
                    tracing::warn!(%error, "a changelog could not be let go");
                    self.readers_in_doubt = true;
                }
            }
        }
        let mut inputs = self.shared.inputs.lock();
        for input in &slot.task.inputs {
            inputs.remove(&input.partition);
            let partition = id.partition.to_string();
            let labels = [&*input.partition.topic, partition.as_str()];
            let group = self.parts.topology.application();
            // A task that moved away must not leave its last lag behind.
            let _ = self.parts.metrics.lag_seconds.remove_label_values(&labels);
            let _ = self
                .parts
                .metrics
                .lag_records
                .remove_label_values(&[group, labels[0], labels[1]]);
        }
        drop(inputs);
        if !self.flusher.wait(id, CLOSE_BOUND) {
            tracing::error!(task = %slot.task.name, "its state could not be written in time; the changelog has it");
            return;
        }
        if slot.runs()
            && let Some(job) = slot.task.flush()
            && let Err(error) = job.run()
        {
            tracing::error!(task = %slot.task.name, %error, "its state could not be written; the changelog has it");
        }
        tracing::info!(task = %slot.task.name, "closed");
    }

    /// Closes a task, to be opened again from what is in its backend: at once, and as often as it takes.
    pub fn reopen(&mut self, id: TaskId) {
        self.tell_group(id.partition, false);
        self.close_task(id);
        self.to_open.insert(id.partition);
        self.open_at_ms = 0;
    }

    /// A changelog no longer has the offset that the state stands at: the state cannot be carried on from, so it is restored
    /// from the changelog's start.
    fn restore_from_start(&mut self, partition: &TopicPartition) {
        let is_changelog = |slot: &Slot| {
            slot.task.id.partition == partition.partition
                && matches!(slot.stage, Stage::Restoring { .. })
                && slot.task.changelogs.iter().any(|(topic, _)| **topic == *partition.topic)
        };
        let Some((&id, slot)) = self.tasks.iter().find(|(_, s)| is_changelog(s)) else {
            return;
        };
        tracing::warn!(
            task = %slot.task.name,
            %partition,
            "the changelog no longer has the position of the state; restoring from its start"
        );
        self.restore_anew(id);
    }

    /// Closes a task that is being restored, to be opened without what is in its backend.
    fn restore_anew(&mut self, id: TaskId) {
        self.reopen(id);
        self.to_wipe.insert(id);
    }
}

/// For how long state may be carried on from after it was last valid, in milliseconds: the replay must come by before tombstones go.
pub(super) fn tombstones_last_ms(parts: &Parts) -> i64 {
    (parts.tombstone_retention - parts.tombstone_retention / 8).as_millis() as i64
}

/// The backend of a task; `None` where it has no stores.
fn open_backend(parts: &Parts, id: TaskId) -> Result<Option<Arc<dyn Backend>>, StoreError> {
    let stores = parts.topology.subs[id.sub].stores.iter();
    let families: Vec<&str> = stores.map(|&store| parts.topology.stores[store].name).collect();
    if families.is_empty() {
        return Ok(None);
    }
    parts.backends.open(&id.name(&parts.topology), &families).map(Some)
}

/// The same for many, side by side: what a killed process wrote last is replayed here, which takes most of a restart.
fn open_backends(parts: &Parts, ids: &[TaskId]) -> Vec<Result<Option<Arc<dyn Backend>>, StoreError>> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = ids.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let open = |ids: &[TaskId]| ids.iter().map(|&id| open_backend(parts, id)).collect::<Vec<_>>();
        let shares: Vec<_> = ids.chunks(share).map(|ids| scope.spawn(move || open(ids))).collect();
        let opened = shares.into_iter().map(|share| share.join().expect("no backend panics"));
        opened.flatten().collect()
    })
}

//! Partitions that are read to their ends, on a thread of the state manager: changelogs, above all.
//!
//! Whoever asks for a replay gives what takes the records, keeps a handle, and has that back when all ends are reached. It may take it
//! back before, too: nothing is added to it from then on, so a task can be closed, and its state be opened by another, at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use broker::{Broker, BrokerError, Message, Polled, Reader, Start, TopicPartition};
use clock::Millis;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::error::{EngineError, StoreError};
use crate::planted::planted;
use crate::runtime::at_fault::panic_text;
use crate::runtime::parts::Parts;

/// How long the log is left alone after a fault.
const BACKOFF: Duration = Duration::from_millis(250);
/// While that lasts, the thread looks for other work so often.
const REST: Duration = Duration::from_millis(20);

/// Takes what is replayed.
pub(crate) trait Sink: Send + 'static {
    /// Takes records of the place with this number, and the offset that comes next there.
    fn take(&mut self, place: usize, messages: &[Message], next: i64) -> Result<(), StoreError>;
}

/// How a replay ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All ends were reached.
    Done,
    /// The log no longer has the offset from which this partition was to be read.
    OutOfRange(TopicPartition),
    /// The records could not be taken.
    Failed(EngineError),
}

/// A replay that was asked for.
pub(crate) struct Replay<S: Sink> {
    common: Arc<Common<S>>,
    places: Arc<Mutex<Vec<Place>>>,
}

struct Common<S> {
    /// What takes the records; nothing once it was taken back.
    sink: Mutex<Option<S>>,
    outcome: Mutex<Option<Outcome>>,
    /// It ended, whoever has heard of it: nothing is taken any more.
    has_ended: AtomicBool,
    moved_at_ms: AtomicI64,
}

impl<S: Sink> Replay<S> {
    /// How it ended, once it has; told once.
    pub fn outcome(&self) -> Option<Outcome> {
        self.common.outcome.lock().take()
    }

    /// When anything was read last, in milliseconds since the epoch.
    pub fn moved_at_ms(&self) -> Millis {
        Millis(self.common.moved_at_ms.load(Ordering::Relaxed))
    }

    /// The place whose end it still waits for, for an operator.
    pub fn waits_at(&self) -> Option<String> {
        // While records are being taken, it does not wait.
        let places = self.places.try_lock()?;
        let place = places.iter().find(|place| !place.at_end)?;
        let offset = match place.from {
            Start::At(offset) => offset,
            _ => 0,
        };
        Some(format!("offset {offset} of {}", place.at))
    }

    /// What took the records. The replay is over with that, wherever it stands.
    pub fn take_back(self) -> S {
        self.common
            .sink
            .lock()
            .take()
            .expect("only this takes it back, and it is gone then")
    }
}

impl<S: Sink> Drop for Replay<S> {
    fn drop(&mut self) {
        self.common.sink.lock().take();
    }
}

/// A partition to be read, and from where on.
struct Place {
    at: TopicPartition,
    from: Start,
    slot: Option<u32>,
    at_end: bool,
}

/// A replay, at work.
pub(super) struct Job {
    places: Arc<Mutex<Vec<Place>>>,
    work: Box<dyn Work>,
}

/// The part of a job that knows what takes its records.
trait Work: Send {
    /// Gives it records; `false`: it wants no more.
    fn take(&self, place: usize, messages: &[Message], next: i64, now_ms: Millis) -> bool;
    fn is_over(&self) -> bool;
    fn end(&self, outcome: Outcome);
}

impl<S: Sink> Work for Arc<Common<S>> {
    fn take(&self, place: usize, messages: &[Message], next: i64, now_ms: Millis) -> bool {
        let mut sink = self.sink.lock();
        let Some(sink) = sink.as_mut().filter(|_| !self.has_ended.load(Ordering::Acquire)) else {
            return false;
        };
        self.moved_at_ms.store(now_ms.0, Ordering::Relaxed);
        let taken = catch_unwind(AssertUnwindSafe(|| sink.take(place, messages, next)));
        let taken = taken.map_err(|panic| StoreError::Backend {
            store: "a restore".to_owned(),
            reason: format!("it panicked: {}", panic_text(&*panic)),
        });
        match taken.and_then(|taken| taken) {
            Err(error) if !planted("a restore goes on behind a gap") => {
                self.end(Outcome::Failed(error.into()));
                false
            }
            _ => true,
        }
    }

    fn is_over(&self) -> bool {
        self.has_ended.load(Ordering::Acquire) || self.sink.lock().is_none()
    }

    fn end(&self, outcome: Outcome) {
        if !self.has_ended.swap(true, Ordering::AcqRel) {
            *self.outcome.lock() = Some(outcome);
        }
    }
}

/// A replay of these places into a sink, and the job to be done for it.
pub(super) fn replay<S: Sink>(places: Vec<(TopicPartition, Start)>, sink: S, now_ms: Millis) -> (Replay<S>, Job) {
    let common = Arc::new(Common {
        sink: Mutex::new(Some(sink)),
        outcome: Mutex::new(places.is_empty().then_some(Outcome::Done)),
        has_ended: AtomicBool::new(places.is_empty()),
        moved_at_ms: AtomicI64::new(now_ms.0),
    });
    let places = places.into_iter().map(|(at, from)| Place {
        at,
        from,
        slot: None,
        at_end: false,
    });
    let places = Arc::new(Mutex::new(places.collect::<Vec<_>>()));
    let job = Job {
        places: places.clone(),
        work: Box::new(common.clone()),
    };
    (Replay { common, places }, job)
}

impl Job {
    fn is_over(&self) -> bool {
        self.work.is_over()
    }

    /// It cannot be done.
    pub fn fail(&self, error: EngineError) {
        self.work.end(Outcome::Failed(error));
    }

    fn has_slots(&self) -> bool {
        self.places.lock().iter().any(|place| place.slot.is_some())
    }

    /// Gives it what came for it. Its slots that have reached their ends are free.
    fn take(&self, by_slot: &[(Vec<Message>, Option<i64>)], now_ms: Millis) {
        let mut places = self.places.lock();
        for (number, place) in places.iter_mut().enumerate() {
            let Some((messages, end)) = place.slot.and_then(|slot| by_slot.get(slot as usize)) else {
                continue;
            };
            let Some(next) = end.or_else(|| messages.last().map(|message| message.offset + 1)) else {
                continue;
            };
            if !self.work.take(number, messages, next, now_ms) {
                return;
            }
            place.from = Start::At(next);
            place.at_end = end.is_some() || planted("a restore ends before the end");
        }
        if places.iter().all(|place| place.at_end) {
            self.work.end(Outcome::Done);
        }
    }
}

/// Reads for its jobs: the part of the state manager that a thread has.
pub(super) struct Replayer {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    client: String,
    /// A poll brings no more records than this.
    records_max: usize,
    reader: Option<Box<dyn Reader>>,
    jobs: Vec<Job>,
    retry_at_ms: Millis,
    /// The fault that holds it up, if there is one.
    trouble: Arc<Mutex<Option<String>>>,
}

impl Replayer {
    /// The one with this number in its process.
    pub fn new(parts: &Parts, index: usize) -> Result<Self, BrokerError> {
        let client = format!("{}-restore", parts.client_id(index));
        Ok(Self {
            broker: parts.broker.clone(),
            clock: parts.clock.clone(),
            records_max: parts.settings.poll_records_max,
            reader: Some(parts.broker.reader(&client)?),
            client,
            jobs: Vec::new(),
            retry_at_ms: Millis::MIN,
            trouble: Arc::default(),
        })
    }

    /// Where it reports the fault that holds it up.
    pub fn trouble(&self) -> Arc<Mutex<Option<String>>> {
        self.trouble.clone()
    }

    pub fn add(&mut self, job: Job) {
        self.jobs.push(job);
    }

    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// How many jobs it has.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// A turn has panicked: its jobs fail, and are asked for again.
    pub fn has_panicked(&mut self, reason: &str) {
        tracing::error!(client = self.client, reason, "a panic while changelogs are read");
        for job in self.jobs.drain(..) {
            job.fail(EngineError::Panicked {
                task: "a restore".to_owned(),
                reason: reason.to_owned(),
            });
        }
        self.reader = None;
    }

    /// Waits a fault out, if there is one.
    pub fn rest(&self) {
        if !self.is_idle() && self.clock.now_ms() < self.retry_at_ms {
            std::thread::sleep(REST);
        }
    }

    /// Reads on, for all jobs. Returns whether anything came.
    pub fn turn(&mut self, timeout: Duration) -> bool {
        if self.is_idle() || self.clock.now_ms() < self.retry_at_ms {
            return false;
        }
        match self.try_turn(timeout) {
            Ok(progress) => {
                let reader = self.reader.as_ref().filter(|_| !self.jobs.is_empty());
                *self.trouble.lock() = reader.and_then(|reader| reader.trouble());
                progress
            }
            Err(error) => {
                tracing::warn!(client = self.client, %error, "a fault while changelogs are read; they are read on with a new reader");
                *self.trouble.lock() = Some(error.to_string());
                if !planted("a reader in doubt is kept") {
                    self.forget_reader();
                }
                self.retry_at_ms = self.clock.now_ms() + BACKOFF;
                false
            }
        }
    }

    /// What a reader has is not known after it could not take on a partition, or let it go.
    fn forget_reader(&mut self) {
        self.reader = None;
        for job in &self.jobs {
            job.places.lock().iter_mut().for_each(|place| place.slot = None);
        }
    }

    fn try_turn(&mut self, timeout: Duration) -> Result<bool, BrokerError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.broker.reader(&self.client)?),
        };
        let mut in_doubt = false;
        for job in &self.jobs {
            let is_over = job.is_over();
            for place in job.places.lock().iter_mut() {
                if is_over || place.at_end {
                    let slot = place.slot.take();
                    in_doubt |= slot.is_some_and(|slot| reader.unassign(slot).is_err());
                } else if place.slot.is_none() {
                    match reader.assign(&place.at, place.from) {
                        Ok(slot) => place.slot = Some(slot),
                        Err(error) => {
                            in_doubt = true;
                            job.fail(error.into());
                            break;
                        }
                    }
                }
            }
        }
        if in_doubt && !planted("a reader in doubt is kept") {
            // What it could not let go, it may read on, and what it could not take on as well. Another takes its place at once.
            self.forget_reader();
            return Ok(true);
        }
        self.jobs.retain(|job| !job.is_over() || job.has_slots());
        if self.jobs.is_empty() {
            return Ok(true);
        }
        let mut polled = Polled::default();
        match reader.poll(self.records_max, timeout, &mut polled) {
            Err(BrokerError::OffsetOutOfRange { partition, .. }) => {
                let reads = |job: &&Job| job.places.lock().iter().any(|place| place.at == partition && !place.at_end);
                for job in self.jobs.iter().filter(reads) {
                    job.work.end(Outcome::OutOfRange(partition.clone()));
                }
                return Ok(true);
            }
            done => done?,
        }
        let progress = !polled.messages.is_empty() || !polled.ends.is_empty();
        let mut by_slot: Vec<(Vec<Message>, Option<i64>)> = Vec::new();
        let slots = polled.messages.iter().map(|message| message.slot);
        let slots = slots.chain(polled.ends.iter().map(|(slot, _)| *slot)).max();
        by_slot.resize_with(slots.map_or(0, |slot| slot as usize + 1), Default::default);
        polled
            .messages
            .into_iter()
            .for_each(|message| by_slot[message.slot as usize].0.push(message));
        polled
            .ends
            .iter()
            .for_each(|&(slot, next)| by_slot[slot as usize].1 = Some(next));
        let now_ms = self.clock.now_ms();
        self.jobs.iter().for_each(|job| job.take(&by_slot, now_ms));
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what it is given, and refuses the first of it.
    struct Refuses(usize);

    impl Sink for Refuses {
        fn take(&mut self, _: usize, _: &[Message], _: i64) -> Result<(), StoreError> {
            self.0 += 1;
            match self.0 {
                1 => Err(StoreError::Backend {
                    store: "s".to_owned(),
                    reason: "the disk is full".to_owned(),
                }),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn behind_a_gap_nothing_is_taken_though_the_failure_was_heard_of() {
        let place = TopicPartition::new("changelog", 0);
        let (replay, job) = replay(vec![(place, Start::Earliest)], Refuses(0), Millis(0));
        job.places.lock()[0].slot = Some(0);
        job.take(&[(Vec::new(), Some(5))], Millis(1));
        assert!(matches!(replay.outcome(), Some(Outcome::Failed(_))));
        job.take(&[(Vec::new(), Some(9))], Millis(2));
        assert!(replay.outcome().is_none(), "it ends once");
        assert!(job.is_over());
        assert_eq!(replay.waits_at().as_deref(), Some("offset 0 of changelog-0"));
        assert_eq!(replay.take_back().0, 1);
    }
}

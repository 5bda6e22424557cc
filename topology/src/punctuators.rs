//! When a task calls its processors though no record comes.
//!
//! Each punctuator is a value that was scheduled, and can be cancelled by it. Those on stream time are aligned to the epoch, as Kafka
//! Streams does: their first call comes with the first record. They are forgotten with the task, and scheduled anew by
//! [`crate::Processor::init`].

use std::time::Duration;

use clock::Millis;

/// By which clock a punctuator is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PunctuationType {
    /// The highest event time that the task has seen: moves only with records.
    StreamTime,
    /// The machine's clock.
    WallClockTime,
}

/// A punctuator that was scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Punctuator(u64);

/// A call of a punctuator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Punctuation {
    /// Which one.
    pub punctuator: Punctuator,
    /// By which clock.
    pub kind: PunctuationType,
    /// What that clock says.
    pub timestamp_ms: Millis,
}

/// Where a processor schedules and cancels its punctuators.
pub struct Schedule<'t> {
    pub(crate) all: &'t mut Punctuators,
    pub(crate) node: usize,
    pub(crate) now_ms: Millis,
}

impl Schedule<'_> {
    /// Calls [`crate::Processor::punctuate`] at this interval from now on. An interval that has passed several times over makes one call.
    pub fn every(&mut self, interval: Duration, kind: PunctuationType) -> Punctuator {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let due_ms = match kind {
            PunctuationType::StreamTime => Millis(0),
            PunctuationType::WallClockTime => self.now_ms + Duration::from_millis(interval_ms),
        };
        self.all.last += 1;
        let punctuator = Punctuator(self.all.last);
        self.all.entries.push(Entry {
            punctuator,
            node: self.node,
            kind,
            interval_ms,
            due_ms,
            committed_due_ms: due_ms,
        });
        punctuator
    }

    /// Calls it no more.
    pub fn cancel(&mut self, punctuator: Punctuator) {
        let node = self.node;
        self.all
            .entries
            .retain(|entry| entry.punctuator != punctuator || entry.node != node);
    }
}

struct Entry {
    punctuator: Punctuator,
    node: usize,
    kind: PunctuationType,
    interval_ms: u64,
    due_ms: Millis,
    /// As of the last commit.
    committed_due_ms: Millis,
}

/// The punctuators of a task.
#[derive(Default)]
pub(crate) struct Punctuators {
    entries: Vec<Entry>,
    last: u64,
}

impl Punctuators {
    /// Takes the one whose time came first, of those that this clock is past; it is due again an interval after
    /// that time, or, where several have passed meanwhile, at the next of those times that is still to come.
    pub fn take_due(&mut self, kind: PunctuationType, clock_ms: Millis) -> Option<(usize, Punctuation)> {
        let due = self
            .entries
            .iter_mut()
            .filter(|entry| entry.kind == kind && entry.due_ms <= clock_ms);
        let entry = due.min_by_key(|entry| entry.due_ms)?;
        let missed = clock_ms.since(entry.due_ms).as_millis() as u64 / entry.interval_ms;
        entry.due_ms += Duration::from_millis(entry.interval_ms.saturating_mul(missed.saturating_add(1)));
        let punctuation = Punctuation {
            punctuator: entry.punctuator,
            kind,
            timestamp_ms: clock_ms,
        };
        Some((entry.node, punctuation))
    }

    /// The transaction has committed: what was called is called no more.
    pub fn promote(&mut self) {
        self.entries
            .iter_mut()
            .for_each(|entry| entry.committed_due_ms = entry.due_ms);
    }

    /// The transaction has not committed: its records come again, and with them the calls on stream time.
    pub fn discard(&mut self) {
        let of_stream_time = |entry: &&mut Entry| entry.kind == PunctuationType::StreamTime;
        let entries = self.entries.iter_mut().filter(of_stream_time);
        entries.for_each(|entry| entry.due_ms = entry.committed_due_ms);
    }

    /// A call took its transaction down: it is not made again.
    pub fn forgo(&mut self, punctuator: Punctuator) {
        let found = self.entries.iter_mut().find(|entry| entry.punctuator == punctuator);
        found.into_iter().for_each(|entry| entry.committed_due_ms = entry.due_ms);
    }

    /// When the next one is due by the machine's clock.
    pub fn next_wall_clock_ms(&self) -> Option<Millis> {
        let of_wall_clock = self
            .entries
            .iter()
            .filter(|entry| entry.kind == PunctuationType::WallClockTime);
        of_wall_clock.map(|entry| entry.due_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(all: &mut Punctuators, kind: PunctuationType, clock_ms: i64) -> Vec<usize> {
        std::iter::from_fn(|| all.take_due(kind, Millis(clock_ms)))
            .map(|(node, _)| node)
            .collect()
    }

    fn schedule(all: &mut Punctuators, node: usize, now_ms: i64, interval_ms: u64, kind: PunctuationType) -> Punctuator {
        let now_ms = Millis(now_ms);
        Schedule { all, node, now_ms }.every(Duration::from_millis(interval_ms), kind)
    }

    #[test]
    fn each_is_called_once_however_late_and_none_that_was_cancelled() {
        use PunctuationType::WallClockTime as Wall;
        let mut all = Punctuators::default();
        schedule(&mut all, 1, 1_000, 10, Wall);
        let second = schedule(&mut all, 2, 1_000, 5, Wall);
        assert_eq!(all.next_wall_clock_ms(), Some(Millis(1_005)));
        assert_eq!(calls(&mut all, Wall, 1_004), Vec::<usize>::new());
        assert_eq!(calls(&mut all, Wall, 1_007), [2]);
        assert_eq!(calls(&mut all, Wall, 2_000), [1, 2]);
        let mut schedule = Schedule {
            all: &mut all,
            node: 1,
            now_ms: Millis(2_000),
        };
        // Another processor's is not its to cancel.
        schedule.cancel(second);
        schedule.node = 2;
        schedule.cancel(second);
        assert_eq!(calls(&mut all, Wall, 3_000), [1]);
    }

    #[test]
    fn stream_time_is_aligned_to_the_epoch() {
        use PunctuationType::StreamTime as Stream;
        let mut all = Punctuators::default();
        schedule(&mut all, 1, 77, 100, Stream);
        assert_eq!(all.next_wall_clock_ms(), None);
        assert_eq!(calls(&mut all, Stream, 1_234), [1]);
        assert_eq!(calls(&mut all, Stream, 1_299), Vec::<usize>::new());
        assert_eq!(calls(&mut all, Stream, 1_300), [1]);
    }
}

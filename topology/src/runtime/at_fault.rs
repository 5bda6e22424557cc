//! Records that take their transaction down: a processor panics at them, or what they write can never be written.
//!
//! Such a transaction would fail in the same way for ever, and with it all that shares it. So the record is found, and goes where a
//! record goes that its processor refuses: to the dead letters, without being processed again.
//!
//! ```text
//!   panic ──────────► again ──panic──► dead letter ──its hook panics──────► dead letter, no processor hears of it
//!   refused, alone in its transaction ► dead letter ──refused──────────────► dead letter without the record's bytes
//!                                                   ──refused again────────► and no processor hears of it
//!   refused with others: the next transactions hold half as many, until one that is refused holds a single record
//! ```

use std::collections::BTreeMap;

use super::task_id::TaskId;
use crate::offset::RecordOffset;

/// A record of a task: its input, and its offset there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordId {
    pub task: TaskId,
    pub input: usize,
    pub offset: RecordOffset,
}

/// What is done with a record instead of processing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub reason: String,
    /// Whether its dead letter holds its key and value.
    pub with_bytes: bool,
    /// Whether the processors are called for its dead letter.
    pub with_hook: bool,
}

#[derive(Default)]
pub(crate) struct AtFault {
    /// Records at which a processor panicked once: that may have been the state of its memory.
    panicked: BTreeMap<RecordId, String>,
    verdicts: BTreeMap<RecordId, Verdict>,
    /// A record that shall have a transaction for itself.
    alone: Option<RecordId>,
    /// While a culprit is looked for: how many records a transaction may hold, and how many are to be committed until it is given up.
    search: Option<Search>,
}

struct Search {
    records_max: usize,
    left: usize,
}

impl AtFault {
    /// What is to be done with a record; `None`: it is processed.
    pub fn verdict(&self, record: &RecordId) -> Option<&Verdict> {
        if self.verdicts.is_empty() {
            None
        } else {
            self.verdicts.get(record)
        }
    }

    /// How many records a transaction may hold now, at most.
    pub fn records_max(&self) -> Option<usize> {
        self.search.as_ref().map(|search| search.records_max)
    }

    /// Whether a record shall have a transaction for itself.
    pub fn is_alone(&self, record: &RecordId) -> bool {
        self.alone.as_ref() == Some(record)
    }

    /// Whether transactions hold what comes, as usual.
    pub fn is_quiet(&self) -> bool {
        self.alone.is_none() && self.search.is_none()
    }

    /// Whether no record is known or looked for. Until then none is handed over in memory, where it has no offset to be known by.
    pub fn is_empty(&self) -> bool {
        self.is_quiet() && self.panicked.is_empty() && self.verdicts.is_empty()
    }

    /// A processor panicked at a record. Returns whether it is the second time, which condemns it.
    pub fn panicked(&mut self, record: RecordId, reason: &str) -> bool {
        if let Some(verdict) = self.verdicts.get_mut(&record) {
            verdict.with_hook = false;
            return true;
        }
        if self.panicked.insert(record, reason.to_owned()).is_none() {
            return false;
        }
        self.condemn(record, reason);
        true
    }

    /// What a record wrote, with others or alone in its transaction, was refused.
    pub fn refused(&mut self, record: RecordId, was_alone: bool, reason: &str) {
        if !was_alone {
            self.alone = Some(record);
            return;
        }
        self.alone = None;
        self.search = None;
        match self.verdicts.get_mut(&record) {
            // Without its bytes it still was too much: that must have been what the processors wrote.
            Some(verdict) if !verdict.with_bytes => verdict.with_hook = false,
            Some(verdict) => verdict.with_bytes = false,
            None => self.condemn(record, reason),
        }
    }

    /// A transaction of several records was refused, and nothing says which of them it was.
    pub fn refused_among(&mut self, records: usize) {
        let left = self.search.as_ref().map_or(records, |search| search.left);
        self.search = Some(Search {
            records_max: (records / 2).max(1),
            left,
        });
    }

    fn condemn(&mut self, record: RecordId, reason: &str) {
        let verdict = Verdict {
            reason: reason.to_owned(),
            with_bytes: true,
            with_hook: true,
        };
        self.verdicts.insert(record, verdict);
    }

    /// A transaction with so many records has committed. `is_done` says of a record whether it is behind the task.
    pub fn committed(&mut self, records: usize, is_done: impl Fn(&RecordId) -> bool) {
        if self.is_empty() {
            return;
        }
        self.panicked.retain(|record, _| !is_done(record));
        self.verdicts.retain(|record, _| !is_done(record));
        self.alone = self.alone.filter(|record| !is_done(record));
        if let Some(search) = &mut self.search {
            search.left = search.left.saturating_sub(records);
            if search.left == 0 {
                self.search = None;
            }
        }
    }

    /// The task is no longer this worker's.
    pub fn forget(&mut self, task: TaskId) {
        self.panicked.retain(|record, _| record.task != task);
        self.verdicts.retain(|record, _| record.task != task);
        self.alone = self.alone.filter(|record| record.task != task);
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it said nothing that can be shown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Scale;

    const TASK: TaskId = TaskId { sub: 0, partition: 0 };

    fn record(offset: i64) -> RecordId {
        RecordId {
            task: TASK,
            input: 0,
            offset: Scale::new(false).position(offset).record(0),
        }
    }

    #[test]
    fn the_second_panic_condemns_a_record_and_a_third_spares_the_hook() {
        let mut all = AtFault::default();
        assert!(!all.panicked(record(7), "x"));
        assert_eq!(all.verdict(&record(7)), None);
        assert!(all.panicked(record(7), "x"));
        assert!(all.verdict(&record(7)).is_some_and(|v| v.with_hook && v.with_bytes));
        assert!(all.panicked(record(7), "the hook"));
        assert!(
            all.verdict(&record(7))
                .is_some_and(|v| !v.with_hook && v.with_bytes && v.reason == "x")
        );
        all.committed(1, |done| done.offset <= record(7).offset);
        assert!(!all.panicked(record(7), "x"), "it is forgotten");
    }

    #[test]
    fn what_is_refused_is_looked_for_by_halves_and_then_its_dead_letter_is_cut() {
        let mut all = AtFault::default();
        all.refused_among(10);
        assert_eq!(all.records_max(), Some(5));
        all.committed(5, |_| false);
        all.refused_among(5);
        all.refused_among(2);
        assert_eq!(all.records_max(), Some(1));
        all.refused(record(6), true, "too large");
        assert!(all.is_quiet());
        assert!(all.verdict(&record(6)).is_some_and(|v| v.with_bytes));
        all.refused(record(6), true, "too large");
        assert!(all.verdict(&record(6)).is_some_and(|v| !v.with_bytes && v.with_hook));
        all.refused(record(6), true, "too large");
        assert!(all.verdict(&record(6)).is_some_and(|v| !v.with_bytes && !v.with_hook));
    }

    #[test]
    fn a_search_that_finds_nothing_ends() {
        let mut all = AtFault::default();
        all.refused_among(4);
        all.committed(2, |_| false);
        assert!(!all.is_quiet());
        all.committed(2, |_| false);
        assert!(all.is_quiet());
    }
}

//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use crate::operation::Batch;
use crate::target::Outcome;

/// Counts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Operations in force, by kind.
    pub applied: BTreeMap<&'static str, u64>,
    /// Operations that the bank refused, by kind.
    pub refused: BTreeMap<&'static str, u64>,
    /// Commits that are in force.
    pub commits: u64,
    /// Batches that were refused although they ought to have been accepted: somebody else changes these accounts, too.
    pub unexpected_refusals: u64,
    /// The first such refusal, in the bank's words.
    pub first_unexpected: Option<String>,
    /// Times that a commit was tried again.
    pub retries: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Totals {
    /// Counts a batch.
    pub fn count(&mut self, batch: &Batch, outcome: &Outcome) {
        let by_kind = match outcome {
            Outcome::Committed => &mut self.applied,
            Outcome::Refused(_) => &mut self.refused,
        };
        for operation in &batch.operations {
            *by_kind.entry(operation.kind()).or_default() += 1;
        }
        match outcome {
            Outcome::Committed => self.commits += 1,
            Outcome::Refused(reason) if !batch.to_be_refused => {
                self.unexpected_refusals += 1;
                self.first_unexpected.get_or_insert_with(|| reason.clone());
            }
            Outcome::Refused(_) => {}
        }
    }

    /// Operations in force, of all kinds.
    pub fn operations(&self) -> u64 {
        self.applied.values().sum()
    }

    /// Operations refused, of all kinds.
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

impl AddAssign for Totals {
    /// As if one run had come after the other.
    fn add_assign(&mut self, later: Self) {
        for (counts, more) in [(&mut self.applied, later.applied), (&mut self.refused, later.refused)] {
            for (kind, count) in more {
                *counts.entry(kind).or_default() += count;
            }
        }
        self.commits += later.commits;
        self.unexpected_refusals += later.unexpected_refusals;
        self.first_unexpected = self.first_unexpected.take().or(later.first_unexpected);
        self.retries += later.retries;
        self.elapsed += later.elapsed;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        let rate = self.operations() as f64 / seconds;
        let (operations, commits) = (self.operations(), self.commits);
        writeln!(
            f,
            "{operations} operations in {commits} commits, {seconds:.1} s ({rate:.0} operations/s)"
        )?;
        let kinds: std::collections::BTreeSet<_> = self.applied.keys().chain(self.refused.keys()).collect();
        for kind in kinds {
            let count = |counts: &BTreeMap<&'static str, u64>| counts.get(kind).copied().unwrap_or_default();
            let refused = match count(&self.refused) {
                0 => String::new(),
                n => format!("   ({n} refused)"),
            };
            writeln!(f, "  {kind:<24} {:>10}{refused}", count(&self.applied))?;
        }
        if self.retries > 0 {
            writeln!(f, "  {:<24} {:>10}", "commits tried again", self.retries)?;
        }
        if let Some(reason) = &self.first_unexpected {
            writeln!(
                f,
                "  {} commits were refused that should not have been; the first: {reason}",
                self.unexpected_refusals
            )?;
        }
        Ok(())
    }
}

//! The audit: the system of record, the topics, the state stores (over HTTP) and the files must say the same.
//!
//! All of it is checked while the bank goes on. A look at the system of record and what is read of the topics are of different
//! moments, so what differs is looked at again until it agrees. It is wrong if it goes on differing although nothing changed it in
//! the meantime; what changes all the time is reported as not judged, unless what it is made of agrees.
//!
//! What is compared is not what the engine keeps, but what it has emitted; and balances are not compared with the engine's own sums
//! alone, but with the sums of the system of record's transactions.

mod balances;
mod books;
mod command;
mod expected;
mod files;
mod questions;
mod rows;
mod run;
mod served;
mod source;

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

pub use command::{audit, tell};
pub use files::check_files;
pub use run::{Audit, Patience};
pub use served::{Service, check_served};
pub use source::{PostgresSource, Source};

use questions::Questions;

/// Examples of what differs that are listed; the rest is counted.
const EXAMPLES_MAX: usize = 5;
/// Between two looks at what differs.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What was checked, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// What was checked, with how many.
    pub what: String,
    /// What is as it must be, and worth knowing.
    pub notes: Vec<String>,
    /// What must not be.
    pub problems: Vec<String>,
    /// How many changed too often to be judged.
    pub unjudged: usize,
}

impl Check {
    /// Nothing noted, no problem.
    pub fn of(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ..Self::default()
        }
    }

    /// Whether all is as it must be.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds some of the problems, and how many there are.
    fn found(&mut self, problems: Vec<String>) {
        let all = problems.len();
        self.problems.extend(problems.into_iter().take(EXAMPLES_MAX));
        if all > EXAMPLES_MAX {
            self.problems.push(format!("… and {} more", all - EXAMPLES_MAX));
        }
    }

    /// What is still open after all. Returns how many are not right: wrong, or not judged.
    fn answered<K: Copy + Eq + Hash + Ord, S: PartialEq>(&mut self, questions: Questions<K, S>, settle: Duration) -> usize {
        let (problems, moving) = questions.answers(settle);
        let wrong = problems.len();
        self.found(problems);
        if moving > 0 {
            self.unjudged += moving;
            self.notes.push(format!(
                "{moving} differed at every look, and changed at every look: they were not judged"
            ));
        }
        wrong + moving
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {} {}", if self.holds() { "ok    " } else { "BROKEN" }, self.what)?;
        self.problems
            .iter()
            .try_for_each(|problem| writeln!(f, "         {problem}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "         ({note})"))
    }
}

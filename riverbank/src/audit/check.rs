//! What was checked, and what came of it.

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use super::questions::Questions;
use crate::print::print;

/// Examples of what differs that are listed; the rest is counted.
pub(super) const EXAMPLES_MAX: usize = 5;
/// Between two looks at what differs.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(200);

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
    pub(super) fn found(&mut self, problems: Vec<String>) {
        let all = problems.len();
        self.problems.extend(problems.into_iter().take(EXAMPLES_MAX));
        if all > EXAMPLES_MAX {
            self.problems.push(format!("… and {} more", all - EXAMPLES_MAX));
        }
    }

    /// What is still open after all. Returns how many are not right: wrong, or not judged.
    pub(super) fn answered<K: Copy + Eq + Hash + Ord, S: PartialEq>(
        &mut self,
        questions: Questions<K, S>,
        settle: Duration,
    ) -> usize {
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

/// One line for each check, and what is wrong or worth knowing beneath it.
pub fn report(checks: &[Check]) -> anyhow::Result<()> {
    for check in checks {
        print(check)?;
    }
    let unjudged: usize = checks.iter().map(|check| check.unjudged).sum();
    match (checks.iter().all(Check::holds), unjudged) {
        (true, 0) => print("The books balance.\n"),
        (true, _) => print(format_args!(
            "The books balance, but for {unjudged} that changed too often to be judged.\n"
        )),
        (false, _) => print("The books do not balance.\n"),
    }
}

//! A table's rows beside those that were emitted of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use schemas::bronze::Row;
use schemas::rules::Rule;

use super::books::Emitted;
use super::check::{Check, EXAMPLES_MAX};
use super::expected::{Table, Verdict, judge};
use super::questions::Questions;

/// A table's part of the audit.
pub(super) struct OfTable<E: Table> {
    rows: usize,
    set_aside: HashMap<i64, Rule>,
    pub questions: Questions<i64, Option<E::Row>>,
}

impl<E: Table> Default for OfTable<E> {
    fn default() -> Self {
        Self {
            rows: 0,
            set_aside: HashMap::new(),
            questions: Questions::default(),
        }
    }
}

impl<E: Table> OfTable<E>
where
    E::Row: Row + PartialEq,
{
    pub fn saw(&mut self, seen: &mut HashSet<i64>, row: E::Row, emitted: &Emitted) {
        self.rows += 1;
        seen.insert(row.id());
        self.look(row.id(), Some(row), emitted);
    }

    /// The first look has shown everything: what is emitted beside it should not be there.
    pub fn saw_all(&mut self, seen: &HashSet<i64>, emitted: &Emitted) {
        for id in E::emitted(emitted).keys().filter(|id| !seen.contains(*id)) {
            self.look(*id, None, emitted);
        }
    }

    pub fn looked_again(&mut self, mut rows: HashMap<i64, E::Row>, emitted: &Emitted) {
        for id in self.questions.keys() {
            self.look(id, rows.remove(&id), emitted);
        }
    }

    fn look(&mut self, id: i64, row: Option<E::Row>, emitted: &Emitted) {
        match judge::<E>(id, row.as_ref(), E::emitted(emitted).get(&id)) {
            Verdict::Equal => self.questions.agrees(id),
            Verdict::SetAside(rule) => {
                self.questions.agrees(id);
                self.set_aside.insert(id, rule);
            }
            Verdict::Differs(difference) => self.questions.differs(id, row, difference),
        }
    }

    /// Whether the emitted row is not as the source has it.
    pub fn differs(&self, id: i64) -> bool {
        self.questions.is_open(id)
    }

    pub fn verdict(self, settle: Duration) -> Check {
        let mut check = Check::default();
        // What the source does not have is none of its rows.
        let ghosts = self.questions.states().filter(|row| row.is_none()).count();
        let open = check.answered(self.questions, settle).saturating_sub(ghosts);
        let right = self.rows.saturating_sub(open).saturating_sub(self.set_aside.len());
        check.what = match self.set_aside.len() {
            0 => format!("{}: {right} of {} rows are as the source has them", E::TOPIC, self.rows),
            aside => format!(
                "{}: {right} of {} rows are as the source has them, {aside} are set aside",
                E::TOPIC,
                self.rows
            ),
        };
        let mut by_rule: BTreeMap<Rule, Vec<i64>> = BTreeMap::new();
        self.set_aside
            .into_iter()
            .for_each(|(id, rule)| by_rule.entry(rule).or_default().push(id));
        for (rule, mut ids) in by_rule {
            ids.sort_unstable();
            let count = ids.len();
            let first: Vec<String> = ids.iter().take(EXAMPLES_MAX).map(i64::to_string).collect();
            let first = first.join(", ");
            check
                .notes
                .push(format!("{count} rows break the rule {rule} and are set aside: {first}"));
        }
        check
    }
}

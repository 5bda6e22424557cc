//! A table that is made of other rows: what every one of them is asked.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

use crate::audit::books::Emitted;
use crate::audit::check::Check;
use crate::audit::gold_rows::Rows;
use crate::audit::questions::Questions;

/// A row's fields as text, in their order.
pub(super) type Fields = Vec<(&'static str, String)>;

/// A table that is made of other rows.
pub(super) trait Aggregate {
    /// What is asked of by itself.
    type Key: Copy + Eq + Ord + Hash;
    /// What is compared.
    type Row: Clone + PartialEq;
    /// The topic.
    const TOPIC: &'static str;
    /// What the rows are made of, for a sentence.
    const MADE_OF: &'static str;
    /// The keys that were emitted.
    fn keys(of: &Emitted) -> HashSet<Self::Key>;
    /// What was emitted of a key.
    fn emitted(of: &Emitted, key: Self::Key) -> Option<Self::Row>;
    /// What must have been, of all keys or of those wanted.
    fn expected(of: &Emitted, wanted: Option<&HashSet<Self::Key>>) -> anyhow::Result<HashMap<Self::Key, Self::Row>>;
    /// What a row's key means, for a person.
    fn named(key: Self::Key) -> String;
    /// What is wrong with what was emitted of a key, if anything.
    fn difference(of: &Emitted, key: Self::Key, expected: Option<&Self::Row>, emitted: Option<&Self::Row>) -> Option<String>;
    /// How many rows were emitted.
    fn count(of: &Emitted) -> usize;
}

/// Whether a key is to be asked.
pub(super) fn is_wanted<K: Eq + Hash>(wanted: Option<&HashSet<K>>, key: &K) -> bool {
    wanted.is_none_or(|wanted| wanted.contains(key))
}

/// What is wrong with one row beside the one that must be there.
pub(super) fn row_difference<K: Copy + Ord, V: PartialEq>(
    made_of: &str,
    of: &Rows<K, V>,
    key: K,
    expected: Option<&V>,
    emitted: Option<&V>,
    fields: impl Fn(&V) -> Fields,
) -> Option<String> {
    if of.is_doubled(&key) {
        return Some("its row is in two partitions".to_owned());
    }
    match (expected, emitted) {
        (None, None) => None,
        (Some(_), None) => Some(format!("it has no row, and {made_of} make one")),
        (None, Some(_)) => Some(format!("it has a row, and {made_of} make none")),
        (Some(expected), Some(emitted)) if expected == emitted => None,
        (Some(expected), Some(emitted)) => {
            let both = fields(expected).into_iter().zip(fields(emitted));
            let differing = both.filter(|(one, other)| one != other);
            let differing: Vec<String> = differing
                .map(|((field, one), (_, other))| format!("{field} is {other}, and by {made_of} {one}"))
                .collect();
            Some(differing.join(", "))
        }
    }
}

/// What a question is about: as long as either changes, it is not to be judged.
type State<R> = (Option<R>, Option<R>);

/// A table's part of the audit.
pub(super) struct OfAggregate<A: Aggregate> {
    pub questions: Questions<A::Key, State<A::Row>>,
}

impl<A: Aggregate> Default for OfAggregate<A> {
    fn default() -> Self {
        Self {
            questions: Questions::default(),
        }
    }
}

impl<A: Aggregate> OfAggregate<A> {
    /// Looks at all rows, or again at those that differ.
    pub fn look(&mut self, is_first: bool, emitted: &Emitted) -> anyhow::Result<()> {
        let wanted: HashSet<A::Key> = match is_first {
            true => A::keys(emitted),
            false => self.questions.keys().into_iter().collect(),
        };
        if !is_first && wanted.is_empty() {
            return Ok(());
        }
        let mut expected = A::expected(emitted, (!is_first).then_some(&wanted))?;
        let mut look = |key, expected: Option<A::Row>| {
            let row = A::emitted(emitted, key);
            match A::difference(emitted, key, expected.as_ref(), row.as_ref()) {
                None => self.questions.agrees(key),
                Some(difference) => {
                    let difference = format!("{}: {}: {difference}", A::TOPIC, A::named(key));
                    self.questions.differs(key, (expected, row), difference);
                }
            }
        };
        for key in wanted {
            look(key, expected.remove(&key));
        }
        expected.into_iter().for_each(|(key, row)| look(key, Some(row)));
        Ok(())
    }

    /// `made_of_wrong`: nothing is said of it.
    pub fn verdict(self, emitted: &Emitted, made_of_wrong: bool, settle: Duration) -> Check {
        let (count, made_of) = (A::count(emitted), A::MADE_OF);
        let mut check = Check::of(format!("{}: {count} rows are what {made_of} make", A::TOPIC));
        if made_of_wrong {
            check.what = format!("{}: {count} rows", A::TOPIC);
            check
                .notes
                .push(format!("not compared: {made_of} are not as they must be themselves"));
        } else if check.answered(self.questions, settle) > 0 {
            check.what = format!("{}: {count} rows beside what {made_of} make", A::TOPIC);
        }
        check
    }
}

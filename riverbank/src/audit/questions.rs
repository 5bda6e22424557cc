//! What did not agree at the first look, and is asked again.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Things that differ, by their key, with what each is at the source (or is otherwise known of it): as long as that changes, it is
/// not to be judged.
#[derive(Debug)]
pub(super) struct Questions<K, S> {
    open: HashMap<K, Question<S>>,
}

#[derive(Debug)]
struct Question<S> {
    state: S,
    since: Instant,
    difference: String,
}

impl<K, S> Default for Questions<K, S> {
    fn default() -> Self {
        Self { open: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash + Ord, S: PartialEq> Questions<K, S> {
    /// It differs, while its state is this.
    pub fn differs(&mut self, key: K, state: S, difference: String) {
        match self.open.get_mut(&key) {
            Some(question) if question.state == state => question.difference = difference,
            _ => {
                let since = Instant::now();
                self.open.insert(
                    key,
                    Question {
                        state,
                        since,
                        difference,
                    },
                );
            }
        }
    }

    /// Whether it is asked in another state than it was in.
    pub fn has_changed(&self, key: K, state: &S) -> bool {
        self.open.get(&key).is_some_and(|question| question.state != *state)
    }

    /// Whether it differs.
    pub fn is_open(&self, key: K) -> bool {
        self.open.contains_key(&key)
    }

    /// Whether anything differs that has not changed for so long.
    pub fn is_any_settled(&self, settle: Duration) -> bool {
        self.open.values().any(|question| question.since.elapsed() >= settle)
    }

    /// What is known of something that differs.
    pub fn state(&self, key: K) -> Option<&S> {
        self.open.get(&key).map(|question| &question.state)
    }

    /// The states of what is open.
    pub fn states(&self) -> impl Iterator<Item = &S> {
        self.open.values().map(|question| &question.state)
    }

    /// It agrees now.
    pub fn agrees(&mut self, key: K) {
        self.open.remove(&key);
    }

    /// All of it differs from now on.
    pub fn ask_anew(&mut self) {
        let now = Instant::now();
        self.open.values_mut().for_each(|question| question.since = now);
    }

    /// What is to be asked again.
    pub fn keys(&self) -> Vec<K> {
        self.open.keys().copied().collect()
    }

    /// Whether something could still come to agree.
    pub fn is_unsettled(&self, settle: Duration) -> bool {
        self.open.values().any(|question| question.since.elapsed() < settle)
    }

    /// What differs and has not changed for so long, in the order of the keys; and how many are still in motion.
    pub fn answers(self, settle: Duration) -> (Vec<String>, usize) {
        let (still, moving): (BTreeMap<K, Question<S>>, BTreeMap<K, Question<S>>) = self
            .open
            .into_iter()
            .partition(|(_, question)| question.since.elapsed() >= settle);
        (
            still.into_values().map(|question| question.difference).collect(),
            moving.len(),
        )
    }
}

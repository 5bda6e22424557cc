//! Which nodes are processed by one task, and through which internal topics records come to it.
//!
//! A record of an input topic is processed to its end before the next one is sent. So only where it comes to a task through two
//! internal topics is there a choice which is read first, and results that depend on it prove nothing.

use std::collections::BTreeSet;

/// The input topics, and the wall clock, whose records can be the reason for a record.
pub type Causes = BTreeSet<String>;

/// An internal topic that a region reads.
#[derive(Debug, Clone)]
pub struct Entry {
    pub causes: Causes,
    /// Whether one input record can become several here.
    pub many: bool,
}

/// The sub-topologies, as far as they are known.
#[derive(Debug, Default)]
pub struct Regions {
    /// By region; a region that was joined to another one points there.
    all: Vec<Result<Vec<Entry>, usize>>,
}

impl Regions {
    pub fn add(&mut self, entry: Option<Entry>) -> usize {
        self.all.push(Ok(entry.into_iter().collect()));
        self.all.len() - 1
    }

    fn root(&self, mut region: usize) -> usize {
        while let Err(to) = self.all[region] {
            region = to;
        }
        region
    }

    pub fn entries(&self, region: usize) -> &[Entry] {
        self.all[self.root(region)].as_deref().unwrap_or_default()
    }

    /// Whether nothing comes to both through internal topics.
    pub fn fit(&self, one: usize, other: usize) -> bool {
        let (one, other) = (self.root(one), self.root(other));
        one == other
            || self
                .entries(one)
                .iter()
                .all(|entry| self.entries(other).iter().all(|of| of.causes.is_disjoint(&entry.causes)))
    }

    pub fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            let entries = std::mem::replace(&mut self.all[other], Err(one));
            self.enter(one, entries.unwrap_or_default());
        }
    }

    pub fn enter(&mut self, region: usize, entries: impl IntoIterator<Item = Entry>) {
        let root = self.root(region);
        if let Ok(all) = &mut self.all[root] {
            all.extend(entries);
        }
    }
}

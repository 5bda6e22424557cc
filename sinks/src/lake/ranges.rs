//! Sets of offsets, as ranges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A set of offsets. Neighbouring ranges are one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(i64, i64)>", into = "Vec<(i64, i64)>")]
pub struct Ranges(BTreeMap<i64, i64>);

impl Ranges {
    /// Adds the offsets from `start` to `end`, both included.
    pub fn insert(&mut self, start: i64, end: i64) {
        let (mut start, mut end) = (start, end);
        // Those that touch it.
        let touching: Vec<_> = self
            .0
            .range(..=end.saturating_add(1))
            .rev()
            .take_while(|(_, last)| last.saturating_add(1) >= start)
            .map(|(first, last)| (*first, *last))
            .collect();
        for (first, last) in touching {
            self.0.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.0.insert(start, end);
    }

    /// Whether all offsets from `start` to `end` are in it.
    pub fn covers(&self, start: i64, end: i64) -> bool {
        let before = self.0.range(..=start).next_back();
        before.is_some_and(|(_, last)| *last >= end)
    }

    /// The first of its offsets from `start` to `end`, and the last one that follows it there without a gap.
    pub fn overlap(&self, start: i64, end: i64) -> Option<(i64, i64)> {
        let before = self.0.range(..=start).next_back().filter(|(_, last)| **last >= start);
        let (first, last) = before.or_else(|| self.0.range(start..=end).next())?;
        Some((*first.max(&start), *last.min(&end)))
    }

    /// The ranges between the first offset and the last one that are not in it.
    pub fn holes(&self) -> Vec<(i64, i64)> {
        let ends = self.0.values();
        let starts = self.0.keys().skip(1);
        ends.zip(starts).map(|(end, start)| (end + 1, start - 1)).collect()
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().map(|(start, end)| (*start, *end))
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no offset is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first offset.
    pub fn first(&self) -> Option<i64> {
        self.0.keys().next().copied()
    }
}

impl From<Vec<(i64, i64)>> for Ranges {
    fn from(all: Vec<(i64, i64)>) -> Self {
        let mut ranges = Self::default();
        all.into_iter()
            .filter(|(start, end)| start <= end)
            .for_each(|(start, end)| ranges.insert(start, end));
        ranges
    }
}

impl From<Ranges> for Vec<(i64, i64)> {
    fn from(ranges: Ranges) -> Self {
        ranges.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn ranges_are_the_set_of_their_offsets() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for _ in 0..20 {
                let start = rng.random_range(0..60);
                let end = start + rng.random_range(0..6);
                ranges.insert(start, end);
                set.extend(start..=end);
                let listed: BTreeSet<i64> = ranges.iter().flat_map(|(start, end)| start..=end).collect();
                assert_eq!(listed, set, "seed {seed}");
                let (first, last) = (*set.first().unwrap(), *set.last().unwrap());
                let holes: BTreeSet<i64> = ranges.holes().into_iter().flat_map(|(start, end)| start..=end).collect();
                assert_eq!(holes, (first..=last).filter(|at| !set.contains(at)).collect(), "seed {seed}");
                let start = rng.random_range(0..60);
                let end = start + rng.random_range(0..4);
                assert_eq!(
                    ranges.covers(start, end),
                    (start..=end).all(|at| set.contains(&at)),
                    "seed {seed}"
                );
                let mut common = (start..=end)
                    .skip_while(|at| !set.contains(at))
                    .take_while(|at| set.contains(at));
                let expected = common.next().map(|first| (first, common.last().unwrap_or(first)));
                assert_eq!(ranges.overlap(start, end), expected, "seed {seed}");
            }
            let read: Ranges = Vec::from(ranges.clone()).into();
            assert_eq!(read, ranges, "seed {seed}");
            assert!(ranges.holes().len() + 1 == ranges.len(), "neighbours are one: seed {seed}");
        }
    }
}

//! What a walk has left must be as its model has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use topology::store::MemoryBackends;

use super::super::books::{COUNT, Change, LAST, SEEN, SUMS, TICKS, TOTAL, TOTALS};
use super::{LAST_WAITS, Walk, headers_of};

impl Walk {
    /// The inputs whose records are not all processed.
    fn behind(&self) -> Vec<String> {
        let lag = self.driver.queries().lag().into_iter();
        lag.filter(|lag| lag.records != 0).map(|lag| format!("{lag:?}")).collect()
    }

    /// Faults end, and everything must be as the model has it.
    pub(super) fn end(mut self) {
        self.faults.end();
        self.disk_faults.end();
        self.revive_all();
        self.settle();
        self.driver.hold_flushes(false);
        self.driver.advance_wall_clock(Duration::from_secs(10));
        // A record that waits for a silent input waits anew after each that is refused.
        for _ in 0..LAST_WAITS {
            self.driver.advance_wall_clock(Duration::from_secs(1));
            if self.behind().is_empty() {
                break;
            }
        }
        let readiness = self.driver.queries().readiness();
        assert!(readiness.ready, "{readiness:?}");
        assert_eq!(self.behind(), [""; 0]);
        let ticks = self.check();

        // What a new machine restores is what this one has.
        let state = self.driver.view(COUNT);
        for worker in 0..self.workers {
            self.driver.take_down(worker, self.random.random_bool(0.5));
            self.driver.give_disk(worker, Arc::new(MemoryBackends::default()));
        }
        self.revive_all();
        self.driver.settle();
        assert_eq!(self.driver.view(COUNT), state, "restored from nothing");
        assert_eq!(self.check_stores(), ticks, "restored from nothing");
    }

    /// Stores, outputs, dead letters. Returns the punctuator's calls by partition.
    fn check(&mut self) -> Vec<i64> {
        let (mut seen, mut said): (BTreeMap<i64, Vec<i64>>, BTreeMap<i64, Vec<i64>>) = Default::default();
        for message in self.driver.drain_bytes(SEEN.name()) {
            let value = value_of(message.value.as_deref());
            match value_of(message.key.as_deref()) - TICKS {
                ..0 => {
                    let change = Change::of(value);
                    assert_eq!(message.headers, headers_of(change.number), "the headers of {change:?}");
                    seen.entry(change.key).or_default().push(value);
                }
                partition => said.entry(partition).or_default().push(value),
            }
        }
        for (key, values) in &self.model.seen {
            let seen = seen.get(key).map_or(&[][..], Vec::as_slice);
            let numbers = |values: &[i64]| values.iter().map(|value| Change::of(*value).number).collect::<Vec<_>>();
            let (seen, expected) = (numbers(seen), numbers(values));
            let same = seen
                .iter()
                .zip(&expected)
                .take_while(|(seen, expected)| seen == expected)
                .count();
            assert_eq!(
                seen[same..],
                expected[same..],
                "the output of key {key}, behind {same} that are right"
            );
        }
        assert_eq!(seen.len(), self.model.seen.len(), "the output's keys");
        for (partition, numbers) in &said {
            let expected: Vec<i64> = (1..=numbers.len() as i64).collect();
            assert_eq!(
                *numbers, expected,
                "each call of the punctuator of partition {partition} once"
            );
        }
        let ticks = self.check_stores();
        let calls: Vec<i64> = said.values().map(|numbers| numbers.len() as i64).collect();
        let (mut counted, mut told) = (ticks.clone(), calls);
        counted.sort_unstable();
        told.sort_unstable();
        assert_eq!(counted, told, "the calls that were counted, and those that were said");
        assert_eq!(!ticks.is_empty(), self.ticking, "somebody ticks");

        let mut public = BTreeMap::new();
        for record in self.driver.drain(TOTALS) {
            public.insert(record.key, record.value.unwrap());
        }
        assert_eq!(public, self.model.totals, "the public topic");
        let sums = self
            .driver
            .drain(SUMS)
            .into_iter()
            .map(|record| (record.key, record.value.unwrap()));
        assert_eq!(sums.collect::<BTreeMap<_, _>>(), self.model.totals, "the cached table");
        let letters = self.driver.drain_bytes("walk-dead-letters");
        let dead: Vec<i64> = letters.iter().map(|letter| value_of(letter.value.as_deref())).collect();
        assert_eq!(dead.len(), self.model.dead.len(), "dead letters");
        assert_eq!(dead.into_iter().collect::<BTreeSet<_>>(), self.model.dead, "dead letters");
        ticks
    }

    fn check_stores(&mut self) -> Vec<i64> {
        let totals: BTreeMap<i64, i64> = self.driver.view(TOTAL).into_iter().collect();
        assert_eq!(totals, self.model.totals, "the totals");
        let (ticks, counts): (Vec<_>, Vec<_>) = self.driver.view(COUNT).into_iter().partition(|(key, _)| *key == TICKS);
        assert_eq!(
            counts.into_iter().collect::<BTreeMap<_, _>>(),
            self.model.counts,
            "a record counts wholly or not at all"
        );
        let last: BTreeMap<i64, i64> = self.driver.view(LAST).into_iter().collect();
        assert_eq!(last, self.model.last, "the store with deletes");
        ticks.into_iter().map(|(_, calls)| calls).collect()
    }
}

fn value_of(bytes: Option<&[u8]>) -> i64 {
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    i64::from_be_bytes(bytes.expect("a value is eight bytes"))
}

//! The same rows as a map with times.

use std::collections::BTreeMap;

use crate::support::TTL_MS;

/// What a task has: rows with their times, and the highest time that it has seen.
#[derive(Default)]
pub struct Model {
    pub rows: BTreeMap<i64, (i64, i64)>,
    pub time_ms: i64,
    /// What it says of its rows: key, value, time.
    pub told: Vec<(i64, Option<i64>, i64)>,
}

impl Model {
    /// A record of any topic of the task moves time on.
    pub fn pass(&mut self, at_ms: i64) {
        self.time_ms = self.time_ms.max(at_ms);
        let gone = self.rows.iter().filter(|(_, (_, row_ms))| row_ms + TTL_MS < self.time_ms);
        let mut gone: Vec<_> = gone.map(|(key, (_, row_ms))| (*row_ms, *key)).collect();
        gone.sort_unstable();
        for (_, key) in gone {
            self.rows.remove(&key);
            self.told.push((key, None, self.time_ms));
        }
    }

    pub fn write(&mut self, key: i64, value: Option<i64>, at_ms: i64) {
        self.pass(at_ms);
        let is_late = at_ms + TTL_MS < self.time_ms;
        let before = match value.filter(|_| !is_late) {
            Some(value) => self.rows.insert(key, (value, at_ms)),
            None => self.rows.remove(&key),
        };
        // Nobody hears of a row that was never made.
        if before.is_some() || !is_late || value.is_none() {
            self.told.push((key, value.filter(|_| !is_late), at_ms));
        }
    }
}

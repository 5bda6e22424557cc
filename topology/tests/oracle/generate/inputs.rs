//! What a case is fed.

use rand::RngExt;

use super::Generator;
use crate::case::{Input, feature};

const KEYS: [&str; 6] = ["a", "b", "k0", "k1", "k2", "k3"];
const RECORDS: std::ops::Range<usize> = 5..16;
/// How far the wall clock moves.
const ADVANCES: [i64; 5] = [300, 700, 1_000, 1_500, 2_600];

impl Generator<'_> {
    pub(super) fn inputs(&mut self) -> Vec<Input> {
        let nodes = self.nodes.iter();
        let topics: Vec<String> = nodes
            .filter(|node| node.op == "stream" || node.op == "table")
            .filter_map(|node| node.topic.clone())
            .collect();
        let has_clock = self.nodes.iter().any(|node| node.every.is_some());
        let with_nulls = (self.allowed)(feature::NULL_KEY) && self.chance(0.3);
        let first = self.random.random_range(0..KEYS.len());
        let keys = self.random.random_range(2..=4);
        let mut now_ms = 1_000;
        let mut inputs = Vec::new();
        for _ in 0..self.random.random_range(RECORDS) {
            if has_clock && self.chance(0.3) {
                inputs.push(Input::Advance([self.one_of(&ADVANCES)]));
                continue;
            }
            now_ms += self.random.random_range(0..40);
            let late_ms = if self.chance(0.3) {
                self.random.random_range(0..200)
            } else {
                0
            };
            let key = KEYS[(first + self.random.random_range(0..keys)) % KEYS.len()];
            let is_null = with_nulls && self.chance(0.15);
            inputs.push(Input::Record(
                self.one_of(&topics),
                (!is_null).then(|| key.to_owned()),
                self.value(),
                now_ms - late_ms,
            ));
        }
        inputs
    }

    fn value(&mut self) -> Option<i64> {
        match self.random.random_range(0..100) {
            0..15 => None,
            15..17 => Some(self.one_of(&[i64::MAX, i64::MIN, i64::MAX - 1])),
            _ => Some(self.random.random_range(-9..60)),
        }
    }
}

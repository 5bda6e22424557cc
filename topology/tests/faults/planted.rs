//! The walk finds what it is there for: mistakes that are planted into the engine, one at a time.
//!
//! `cargo test --workspace --features topology/planted --test faults planted`

use std::panic::{AssertUnwindSafe, catch_unwind};

use topology::testing::plant;

use super::walk::Struck;
use super::{seeds, steps};

/// Each is found within so many walks.
const WALKS: u64 = 200;

const MISTAKES: [&str; 23] = [
    "what is in doubt had committed",
    "what is in doubt had not committed",
    "a commit does not wait for what was handed over",
    "what a dead letter wrote stays",
    "the stored position is ahead",
    "a flush is done before it is written",
    "a punctuation alone is not committed",
    "a transaction that is dropped keeps its place",
    "a restore passes over deletes",
    "what is being flushed is not read",
    "what was flushed first stays for good",
    "memory overtakes the topic",
    "memory goes on when tasks move",
    "a task moves without a commit",
    "a zombie keeps its transaction",
    "a restore ends before the end",
    "a restore goes on behind a gap",
    "a folder is trusted however old it is",
    "a task that cannot be opened is given up",
    "a reader in doubt is kept",
    "a timer's transaction carries no offsets",
    "a record that takes its transaction down is tried for ever",
    "an input without an offset is read from its start",
];

#[test]
fn the_walk_finds_planted_mistakes() {
    let mut missed = Vec::new();
    for mistake in MISTAKES {
        plant(Some(mistake));
        let is_found = |seed: &u64| catch_unwind(AssertUnwindSafe(|| Struck::default().walk(*seed, steps(), None))).is_err();
        let found = seeds(WALKS).find(is_found);
        plant(None);
        if found.is_none() {
            missed.push(mistake);
        }
    }
    assert!(missed.is_empty(), "not found in {WALKS} walks: {missed:?}");
}

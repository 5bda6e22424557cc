//! What Postgres, Debezium and their operators really do to a change log: the books are right after each of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod guard;
mod order;
mod random;
mod snapshots;
mod sweeps;
mod values;

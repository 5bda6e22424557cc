//! What tests of several crates share: one faulty broker, one faulty object store, one faulty disk, and a wait with a bound.
//!
//! For `[dev-dependencies]` only. Faults are drawn from a seed or decided by the test, so that a failure can be replayed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub mod broker;
#[cfg(feature = "disk")]
pub mod disk;
pub mod object_store;
pub mod wait;

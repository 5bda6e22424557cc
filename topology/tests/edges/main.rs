//! The engine's edges, one by one: what goes wrong once must not cost a record, count one twice, or stand still for ever.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod at_fault;
mod offsets;
#[path = "../support/operator.rs"]
mod operator;
mod restore;
mod support;
mod time;
mod workers;

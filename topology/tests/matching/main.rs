//! Sources whose topics are those that match a pattern: which are read, and what happens when they come and go.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod come_and_go;
#[path = "../support/operator.rs"]
mod operator;
mod support;
mod walk;
mod which;

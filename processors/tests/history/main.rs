//! Versions of customers and accounts.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says its seed")]

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod random;

//! Rows that expire.

#![allow(clippy::unwrap_used, missing_docs)]

mod model;
mod rows;
mod support;
mod walk;

//! What the tests share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod aggregates;
pub mod engine;
pub mod follower;
pub mod http;
pub mod troubled;
pub mod versions;

use std::time::Duration;

/// Waits for a condition, ten seconds at most.
pub async fn until(what: &str, is_so: impl AsyncFnMut() -> bool) {
    testkit::wait::until(what, Duration::from_secs(10), is_so).await;
}

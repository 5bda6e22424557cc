//! What the tests share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod follower;
pub mod http;
pub mod troubled;

use std::time::{Duration, Instant};

/// Waits for a condition, ten seconds at most.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

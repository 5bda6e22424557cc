//! What the tests share.

pub mod flaky;

use std::time::{Duration, Instant};

/// Waits for a condition, ten seconds at most.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

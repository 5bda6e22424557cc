//! Waits that end: until something is so, or with a panic that says for what.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until it is so.
///
/// # Panics
///
/// If that takes longer than `bound`.
#[track_caller]
pub fn wait_for(what: &str, bound: Duration, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + bound;
    while !is_so() {
        assert!(Instant::now() < until, "not within {bound:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Waits until it is so, in an async test.
///
/// # Panics
///
/// If that takes longer than `bound`.
pub async fn until(what: &str, bound: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + bound;
    while !is_so().await {
        assert!(Instant::now() < until, "not within {bound:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

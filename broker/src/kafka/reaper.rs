//! Ends clients off the caller's path.
//!
//! Destroying a librdkafka client joins its threads, and for that may wait for a broker that is away. A worker that has
//! just failed must not hang there, so a thread of its own does it.

use std::time::Duration;

/// Drops `client` on a thread of its own, and waits for that at most `patience`.
pub(super) fn reap<T: Send + 'static>(client: T, patience: Duration) {
    let (done, wait) = crossbeam_channel::bounded(1);
    let spawned = std::thread::Builder::new().name("kafka-reaper".to_owned()).spawn(move || {
        drop(client);
        // Nobody may be waiting any more.
        let _ = done.send(());
    });
    match spawned {
        Ok(_) if patience.is_zero() => {}
        Ok(_) => {
            let _ = wait.recv_timeout(patience);
        }
        // The closure, and the client in it, was dropped right here.
        Err(error) => tracing::warn!(%error, "no thread to end a Kafka client on"),
    }
}

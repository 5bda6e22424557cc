//! Keeps a connector running.
//!
//! Connect restarts nothing by itself: a task that failed stays failed. Debezium waits for a database that is away, and
//! the producer for a broker; but a registry that is away in the moment when a new schema must be registered ends the task
//! (the converter's error does not count as one that may pass). Nothing is lost by that (what was not sent was not
//! acknowledged), but nothing moves either, until somebody starts the task again. This is that somebody.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tracing::{info, warn};

use crate::register::cause;
use crate::{restart_failed, status};

/// The longest pause between two restarts of a task that fails again and again.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Looks at the connector at this interval, for ever, and starts again what has failed; pauses between restarts double up
/// to a minute while they do not help. Ends when the future is dropped.
pub async fn supervise(connect_url: &str, name: &str, interval: Duration) {
    let longer = ExponentialBuilder::new()
        .with_min_delay(PAUSE_MAX.min(interval * 2))
        .with_max_delay(PAUSE_MAX)
        .without_max_times();
    let mut pauses = longer.build();
    let mut pause = interval;
    loop {
        tokio::time::sleep(pause).await;
        let is_well = match status(connect_url, name).await {
            Ok(Some(status)) => match status.failure() {
                None => true,
                Some(trace) => {
                    let cause = cause(trace);
                    warn!(connector = name, cause, "the connector has failed; restarting it");
                    restart(connect_url, name).await;
                    false
                }
            },
            Ok(None) => true,
            Err(error) => {
                warn!(connector = name, %error, "cannot look at the connector");
                false
            }
        };
        pause = if is_well {
            pauses = longer.build();
            interval
        } else {
            pauses.next().unwrap_or(PAUSE_MAX)
        };
    }
}

async fn restart(connect_url: &str, name: &str) {
    match restart_failed(connect_url, name).await {
        Ok(()) => info!(connector = name, "the connector is being restarted"),
        Err(error) => warn!(connector = name, %error, "the connector could not be started again"),
    }
}

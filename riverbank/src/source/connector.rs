//! The connector, kept at work.

use std::time::Duration;

use crate::config::Settings;

/// Between two looks at the connector.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Looks after the connector while the program runs, where `connect.url` says whom to ask: Connect itself starts nothing
/// again that has failed. Several instances may do so at once.
pub fn supervise(settings: &Settings) {
    if let Some(worker) = settings.connect.url.clone() {
        let name = settings.source.connector.clone();
        tokio::spawn(async move { connect::supervise(worker.as_str(), &name, WATCH_INTERVAL).await });
    }
}

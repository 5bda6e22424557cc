//! The watch over the source: whether it is still heard, and what is known of the way from it.
//!
//! Lag and readiness come from the topics, and say that all is well while nothing arrives in them. So the heartbeat is followed
//! through the whole way (Postgres, slot, Debezium, Kafka, here), and where the way is broken, the looks at Connect and at the
//! database say where. Every instance watches by itself; none of this takes anything from what it can answer.

mod connector;
mod heartbeat;
mod looks;
mod metrics;
mod watched;

use std::sync::Arc;

use connect::{CAPTURE_ROLE, ColumnPatterns, ConnectorProbe, SourceExpectations};
use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_PREFIX, CDC_TRANSACTIONS};
use tokio::task::JoinHandle;
use topology::clock::SystemClock;

use crate::config::Settings;
use crate::open::log::Log;
pub use connector::supervise;
use heartbeat::Follower;
pub use watched::Watched;

/// The watch; it ends when this is dropped.
pub struct SourceWatch {
    watched: Arc<Watched>,
    looks: Vec<JoinHandle<()>>,
    _heartbeat: Follower,
}

impl SourceWatch {
    /// Starts to watch what the settings name. Must be called within a runtime.
    pub fn start(settings: &Settings, log: &Log, metrics: &prometheus::Registry) -> anyhow::Result<Self> {
        let source = &settings.source;
        let watched = Arc::new(Watched::new(source, Arc::new(SystemClock)));
        metrics.register(Box::new(metrics::Collector::new(watched.clone())?))?;
        let mut looks = Vec::new();
        let probe = match &settings.connect.url {
            Some(url) => Some(ConnectorProbe::new(url.as_str(), &source.connector)?),
            None => None,
        };
        if let Some(probe) = probe.clone() {
            looks.push(tokio::spawn(looks::at_connector(
                watched.clone(),
                probe,
                source.look_interval,
            )));
        }
        if let Some(url) = &settings.postgres.url {
            let expected = SourceExpectations {
                publication: source.publication.clone(),
                tables: captured_tables(),
                excluded_columns: ColumnPatterns::of_names(&settings.connect.column_exclude),
                capture_role: CAPTURE_ROLE.to_owned(),
                slot: Some(source.slot.clone()),
            };
            let intervals = (source.look_interval, source.check_interval);
            looks.push(tokio::spawn(looks::at_database(
                watched.clone(),
                url.clone(),
                probe,
                expected,
                intervals,
            )));
        }
        let heartbeat = Follower::start(log, watched.clone())?;
        Ok(Self {
            watched,
            looks,
            _heartbeat: heartbeat,
        })
    }

    /// What is known.
    pub fn watched(&self) -> Arc<Watched> {
        self.watched.clone()
    }
}

impl Drop for SourceWatch {
    fn drop(&mut self) {
        for look in &self.looks {
            look.abort();
        }
    }
}

/// The tables behind the topics that the processors read.
fn captured_tables() -> Vec<String> {
    let topics = [CDC_CUSTOMERS.name(), CDC_ACCOUNTS.name(), CDC_TRANSACTIONS.name()];
    topics.map(|topic| topic[CDC_PREFIX.len() + 1..].to_owned()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_follow_from_the_topics() {
        assert_eq!(
            captured_tables(),
            ["public.customers", "public.accounts", "public.transactions"]
        );
    }
}

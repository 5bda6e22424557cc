//! The port to the watch over the source: when it was last heard, and what is known of the way from it.
//!
//! Lag says how far this program is behind its topics; it is 0 while nothing arrives in them. This says whether something
//! would.

use serde::{Deserialize, Serialize};
use topology::Micros;
use utoipa::ToSchema;

/// Tells of the source from what is known; never waits.
pub trait SourceWatch: Send + Sync + 'static {
    /// When the newest heartbeat that was heard was committed at the source.
    fn heard_at_us(&self) -> Option<Micros>;
    /// All that is known.
    fn report(&self) -> SourceReport;
}

/// What is known of the source and of the way from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceReport {
    /// Seconds since the source was last heard: what it committed since may be missing in any answer. Null while it was not
    /// heard yet, or where it has no heartbeat.
    #[schema(required, example = 3.2)]
    pub silence_seconds: Option<f64>,
    /// When the newest heartbeat that was heard was committed at the source; null likewise.
    #[schema(required, format = DateTime)]
    pub heard_at: Option<String>,
    /// Its position in the source's log (LSN); null likewise.
    #[schema(required)]
    pub heard_lsn: Option<i64>,
    /// The connector; null where nobody said whom to ask.
    #[schema(required)]
    pub connector: Option<ConnectorReport>,
    /// The replication slot; null where the database cannot be asked.
    #[schema(required)]
    pub slot: Option<SlotReport>,
    /// What is wrong with any of it; empty while all is well.
    pub troubles: Vec<String>,
    /// What is well and may not stay so.
    pub advice: Vec<String>,
}

/// The connector, as Kafka Connect reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectorReport {
    /// Its name.
    #[schema(example = "riverbank")]
    pub name: String,
    /// `RUNNING`, `FAILED`, `PAUSED`, `STOPPED`, `UNASSIGNED`, `RESTARTING`; `ABSENT` where Connect knows no such connector,
    /// `UNREACHABLE` where it does not answer.
    #[schema(example = "RUNNING")]
    pub state: String,
    /// Why it failed or cannot be asked; null while it runs.
    #[schema(required)]
    pub cause: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskReport>,
}

/// A task of the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskReport {
    /// Its number.
    pub id: u32,
    /// As the connector's.
    #[schema(example = "RUNNING")]
    pub state: String,
    /// Why it failed; null otherwise.
    #[schema(required)]
    pub cause: Option<String>,
}

/// The replication slot that the connector reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotReport {
    /// Its name.
    #[schema(example = "riverbank")]
    pub name: String,
    /// Whether the connector reads it now.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`, as Postgres has it; `missing` where there is no such slot.
    #[schema(example = "reserved")]
    pub wal_status: String,
    /// Bytes of log that the database keeps for it; null where nothing is kept.
    #[schema(required)]
    pub retained_bytes: Option<i64>,
    /// Bytes that may still be written before it is lost; null where nothing limits it.
    #[schema(required)]
    pub safe_bytes: Option<i64>,
}

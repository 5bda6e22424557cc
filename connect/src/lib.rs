//! Everything before Kafka: the source database's schema, and the connector that captures its changes.
//!
//! The bank lives in Postgres. [`migrate`] brings its schema up to date: the three tables, the currencies of ISO 4217, the
//! ledger rule that keeps balances (it posts in the name of a role of its own, `riverbank_ledger`, which nobody logs in as:
//! `postgres/migrations/0005_ledger.sql` says why), and what change capture needs (a publication, a heartbeat table, a role
//! that may read and replicate and no more). [`register`] then tells Kafka Connect to run Debezium on it, and waits until it
//! really runs. Both are safe to repeat, so a deployment calls them at each start.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use connect::{ConnectorSettings, Database};
//! use std::time::Duration;
//!
//! let admin = "postgres://postgres:secret@localhost/bank";
//! connect::migrate(admin).await?;
//! connect::allow_capture(admin, "cdc-secret").await?;
//! let database = Database::new("localhost", 5432, "bank", connect::CAPTURE_ROLE, "cdc-secret");
//! let settings = ConnectorSettings::bank(database, "http://localhost:8081/apis/ccompat/v7");
//! connect::register("http://localhost:8083", &settings, Duration::from_secs(60)).await?;
//! # Ok(()) }
//! ```
//!
//! Why no transformation in Connect (unwrapping, filtering, routing)? The envelope holds what the processors need:
//! before and after, the log position, the source's transaction. Whatever Connect dropped could never be had again.

mod check;
mod connector;
mod error;
mod migrations;
mod patterns;
mod probe;
mod register;
mod slot;
mod subjects;
mod supervise;

pub use check::{
    CheckError, ProblemKind, SourceExpectations, SourceProblem, captured_columns, check_source, check_source_on, look_into,
};
pub use connector::{CONNECTOR, ConnectorSettings, Database, HEARTBEAT_TABLE};
pub use error::RegisterError;
pub use migrations::{BATCH_STACK_SQL, CAPTURE_ROLE, MigrationError, SERVICE_ROLE, allow_capture, allow_service, migrate};
pub use patterns::ColumnPatterns;
pub use probe::{ConnectorProbe, RunningSettings, Sighting};
pub use register::{ConnectorStatus, TaskStatus, register, restart_failed, status};
pub use slot::{SlotState, slot_state};
pub use supervise::supervise;

//! What every system of record must do. Each implementation's test calls [`check`]; a failure panics, as an assertion does.
//!
//! Each case brings its own customers, so that all of them share one database.
//! [`samples`] makes such rows for further tests; [`events`] reads the change topics of an implementation that writes them.
//!
//! *Why not under `tests/`?* Then nobody else could run it: an implementation of another database lives in another crate.

pub mod events;
mod ledger;
mod refusals;
mod rows;
pub mod samples;
mod states;

use crate::SystemOfRecord;

/// Runs the whole suite.
///
/// # Panics
///
/// If the implementation breaks the port's contract. The message has the seed, where a case is a random one.
pub async fn check(records: &dyn SystemOfRecord) {
    records.check().await.expect("it can be reached");
    rows::check(records).await;
    refusals::check(records).await;
    ledger::check(records).await;
    states::check(records).await;
}

//! The change events of a simulated bank, as its database would send them.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use broker::{InProcessBroker, Message};
use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_TRANSACTION_METADATA, CDC_TRANSACTIONS};
use simulator::{Pace, Profile, RecordTarget, SimulatedBank, drive};
use system_of_record::InProcess;
use topology::clock::SystemClock;
use wire::FileRegistry;

use crate::records;

/// The change topics, in the order in which rows refer to each other.
pub const TOPICS: [&str; 3] = [CDC_CUSTOMERS.name(), CDC_ACCOUNTS.name(), CDC_TRANSACTIONS.name()];
/// The topic of the source's transactions' ends, which change no row and so are not counted as events.
pub const ENDS: &str = CDC_TRANSACTION_METADATA.name();

/// A topic's records, with their partitions.
pub type Records = Vec<(u32, Message)>;

/// Writers at the same time.
const LANES: usize = 64;

/// Lets a bank live for so many operations on the log in this process, and takes the change events, and the ends behind them.
pub fn events(registry: &Path, seed: u64, customers: u64, operations: u64) -> anyhow::Result<Vec<Records>> {
    let log = InProcessBroker::default();
    let registry = Arc::new(FileRegistry::open(registry)?);
    let records = Arc::new(InProcess::start(Arc::new(log.clone()), registry, Arc::new(SystemClock))?);
    let profile = Profile {
        customers,
        ..Profile::default()
    };
    let pace = Pace {
        count: Some(operations),
        ..Pace::default()
    };
    let totals = testbed::block_on(drive(
        SimulatedBank::lanes(seed, profile, LANES),
        Arc::new(RecordTarget::new(records)),
        pace,
    ))?;
    ensure!(
        totals.unexpected_refusals == 0,
        "the bank refused what it should not have: {:?}",
        totals.first_unexpected
    );
    TOPICS.iter().chain([&ENDS]).map(|topic| records::read(&log, topic)).collect()
}

//! The change events of a simulated bank, as its database would send them.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use broker::{Broker, InProcessBroker, Message};
use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_TRANSACTION_METADATA, CDC_TRANSACTIONS};
use simulator::{Pace, Profile, RecordTarget, SimulatedBank, Totals};
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
    let source = Source::new(Arc::new(log.clone()), registry, seed, customers)?;
    source.open()?;
    source.live(operations)?;
    TOPICS.iter().chain([&ENDS]).map(|topic| records::read(&log, topic)).collect()
}

/// A bank, and the log to which its change events go.
pub struct Source {
    lanes: Vec<SimulatedBank>,
    target: Arc<RecordTarget>,
}

impl Source {
    /// Empty. The schemas of its events are registered: the folder is one process's at a time.
    pub fn new(log: Arc<dyn Broker>, registry: &Path, seed: u64, customers: u64) -> anyhow::Result<Self> {
        let registry = Arc::new(FileRegistry::open(registry)?);
        let records = Arc::new(InProcess::start(log, registry, Arc::new(SystemClock))?);
        let profile = Profile {
            customers,
            ..Profile::default()
        };
        Ok(Self {
            lanes: SimulatedBank::lanes(seed, profile, LANES),
            target: Arc::new(RecordTarget::new(records)),
        })
    }

    /// Adds its first customers and their accounts.
    pub fn open(&self) -> anyhow::Result<()> {
        accepted(&testbed::block_on(simulator::open(
            &self.lanes,
            &self.target,
            &Pace::default().stop,
        ))?)
    }

    /// Lets it live for so many operations, and ends.
    pub fn live(self, operations: u64) -> anyhow::Result<()> {
        let pace = Pace {
            count: Some(operations),
            ..Pace::default()
        };
        accepted(&testbed::block_on(simulator::keep_busy(self.lanes, self.target, pace))?)
    }
}

fn accepted(totals: &Totals) -> anyhow::Result<()> {
    ensure!(
        totals.unexpected_refusals == 0,
        "the bank refused what it should not have: {:?}",
        totals.first_unexpected
    );
    Ok(())
}

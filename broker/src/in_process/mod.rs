//! A log in memory, shared by the threads of one process: the embedded default, and the twin that tests run on.
//!
//! It keeps Kafka's promises, not Kafka's protocol. One lock guards everything, so a transaction becomes visible in all of
//! its partitions and groups in one step. Memory is bounded by [`Limits`]: compacted topics keep the newest record of each
//! key, the others a number of records or an age. Nothing survives the process.
//!
//! ```
//! use std::time::Duration;
//! use broker::{Broker, CleanupPolicy, InProcessBroker, TopicSpec};
//!
//! let broker = InProcessBroker::new();
//! let payments = TopicSpec {
//!     name: "payments".to_owned(),
//!     partitions: 4,
//!     accept_existing: false,
//!     cleanup: CleanupPolicy::Delete(None),
//! };
//! broker.ensure_topics(&[payments], Duration::from_secs(1)).unwrap();
//! assert_eq!(broker.partitions("payments", Duration::from_secs(1)).unwrap(), Some(4));
//! ```

mod coordinator;
mod group;
mod log;
mod producer;
mod reader;
mod state;
mod sticky;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::lease::Monotonic;
use crate::port::{Broker, BrokerError, Group, GroupOptions, Producer, Reader, TopicPartition, TopicSpec, TransactionalProducer};
use state::Shared;

/// What bounds the memory of an [`InProcessBroker`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many records a partition of a `Delete` topic keeps; older ones go, and a reader that still wanted them gets
    /// [`BrokerError::OffsetOutOfRange`].
    pub records_per_partition: usize,
    /// A partition of a `Compact` topic is first compacted at this many records, then at each doubling.
    pub compact_at_least: usize,
    /// The largest record, key and value together, in bytes; a larger one is [`BrokerError::Refused`].
    pub record_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records_per_partition: 1 << 20,
            compact_at_least: 4_096,
            record_bytes_max: 1_000_000,
        }
    }
}

/// What [`Broker::tombstone_retention`] reports of every topic: Kafka's default. Here a tombstone outlives one compaction,
/// whatever its age.
const TOMBSTONE_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// A log in memory. Clones share it.
#[derive(Clone)]
pub struct InProcessBroker {
    shared: Arc<Shared>,
}

impl InProcessBroker {
    /// An empty log with the default limits, on the machine's clock.
    pub fn new() -> Self {
        let started = Instant::now();
        Self::with(Limits::default(), Arc::new(move || started.elapsed()))
    }

    /// An empty log with these limits, on this clock. The clock decides when a member's session has expired and when a
    /// record is too old; who moves it by hand calls [`InProcessBroker::tick`] afterwards. Time-outs of calls that wait
    /// go by the machine's clock.
    pub fn with(limits: Limits, clock: Monotonic) -> Self {
        Self {
            shared: Arc::new(Shared::new(limits, clock)),
        }
    }

    /// Applies what the clock has made due (expired sessions, old records) and wakes all who wait.
    pub fn tick(&self) {
        self.shared.tick();
    }

    /// Compacts a topic now; nothing to a topic that is not compacted, or does not exist.
    pub fn compact(&self, topic: &str) {
        self.shared.compact(topic);
    }

    /// Takes the members of a group with this client id for dead, as if their sessions had expired. Returns how many
    /// there were.
    pub fn expire_member(&self, group: &str, client_id: &str) -> usize {
        self.shared.expire_member(group, client_id)
    }
}

impl Default for InProcessBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InProcessBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessBroker").finish_non_exhaustive()
    }
}

impl Broker for InProcessBroker {
    fn ensure_topics(&self, specs: &[TopicSpec], _timeout: Duration) -> Result<(), BrokerError> {
        self.shared.ensure_topics(specs)
    }

    fn partitions(&self, topic: &str, _timeout: Duration) -> Result<Option<u32>, BrokerError> {
        Ok(self.shared.partitions(topic))
    }

    fn add_partitions(&self, topic: &str, total: u32, _timeout: Duration) -> Result<(), BrokerError> {
        self.shared.add_partitions(topic, total)
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)], _timeout: Duration) -> Result<(), BrokerError> {
        self.shared.delete_records(before)
    }

    fn tombstone_retention(&self, topics: &[&str], _timeout: Duration) -> Result<Vec<Option<Duration>>, BrokerError> {
        let of = |topic: &&str| self.shared.partitions(topic).map(|_| TOMBSTONE_RETENTION);
        Ok(topics.iter().map(of).collect())
    }

    fn reader(&self, _client_id: &str) -> Result<Box<dyn Reader>, BrokerError> {
        Ok(Box::new(reader::InProcessReader::new(self.shared.clone())))
    }

    fn group(&self, options: GroupOptions) -> Result<Box<dyn Group>, BrokerError> {
        Ok(Box::new(group::InProcessGroup::join(self.shared.clone(), options)))
    }

    fn transactional_producer(
        &self,
        transactional_id: &str,
        _timeout: Duration,
    ) -> Result<Box<dyn TransactionalProducer>, BrokerError> {
        Ok(Box::new(producer::InProcessTransactions::new(
            self.shared.clone(),
            transactional_id,
        )))
    }

    fn producer(&self, _client_id: &str) -> Result<Box<dyn Producer>, BrokerError> {
        Ok(Box::new(producer::InProcessProducer::new(self.shared.clone())))
    }
}

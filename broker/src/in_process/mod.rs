//! A log in memory, shared by the threads of one process: the embedded default, and the broker that tests run on.
//!
//! It keeps Kafka's promises, not Kafka's protocol, and it is not kinder than Kafka: the records of an open transaction are in
//! the log, and hide what lies behind them until it ends; its offsets are pending; a producer that is dropped has crashed, and
//! leaves its transaction to its successor or to the time-out. Tests can have commits go wrong
//! ([`InProcessBroker::transaction_faults`]), delete topics, and let offsets and transactional ids expire.
//!
//! One lock guards everything, so a transaction becomes visible in all of its partitions and groups in one step. Memory is
//! bounded by [`Limits`]: compacted topics keep the newest record of each key, the others a number of records or an age.
//! Nothing survives the process. Of a topic's settings, `delete.retention.ms` and `max.message.bytes` count; the others, which say how
//! brokers keep files and copies, are remembered, so that what differs is refused as on Kafka.
//!
//! ```
//! use std::time::Duration;
//! use broker::{Broker, CleanupPolicy, InProcessBroker, TopicSettings, TopicSpec};
//!
//! let broker = InProcessBroker::new();
//! let payments = TopicSpec {
//!     name: "payments".to_owned(),
//!     partitions: 4,
//!     accept_existing: false,
//!     cleanup: CleanupPolicy::Delete(None),
//!     settings: TopicSettings::default(),
//! };
//! broker.ensure_topics(&[payments], Duration::from_secs(1)).unwrap();
//! assert_eq!(broker.partitions("payments", Duration::from_secs(1)).unwrap(), Some(4));
//! ```

mod catalog;
mod coordinator;
mod faults;
mod group;
mod limits;
mod log;
mod offsets;
mod open;
mod producer;
mod reader;
mod state;
mod sticky;
mod topics;
mod transaction_faults;
mod transactional;
mod transactional_ids;
mod transactions;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use faults::CommitFault;
pub use limits::{Epochs, Limits};
pub use transaction_faults::TransactionFaults;

pub use crate::lease::Monotonic;
use crate::port::{
    Broker, BrokerError, Group, GroupOptions, Producer, Reader, TopicId, TopicPartition, TopicSpec, TransactionalProducer,
};
use state::Shared;

/// What [`Broker::tombstone_retention`] reports of a topic that has no `delete.retention.ms` of its own: Kafka's default. Here a
/// tombstone outlives one compaction, whatever its age.
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

    /// An empty log with these limits, on this clock. The clock decides when a member's session or a transaction has expired
    /// and when a record, an offset or a transactional id is too old; who moves it by hand calls [`InProcessBroker::tick`]
    /// afterwards. Time-outs of calls that wait go by the machine's clock.
    pub fn with(limits: Limits, clock: Monotonic) -> Self {
        Self {
            shared: Arc::new(Shared::new(limits, clock)),
        }
    }

    /// Applies what the clock has made due (expired sessions and transactions, old records, offsets and transactional ids) and
    /// wakes all who wait.
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

    /// How many transactions are open: of producers that are at work, and of those that are gone.
    pub fn open_transactions(&self) -> usize {
        self.shared.open_transactions()
    }

    /// Makes commits go wrong.
    pub fn transaction_faults(&self) -> TransactionFaults {
        TransactionFaults(self.shared.clone())
    }

    /// Forgets a transactional id, as if it had not been used for too long: its producer is fenced, and the next one starts
    /// afresh. Nothing happens, and the answer is `false`, where it is unknown or a transaction of its is open.
    pub fn expire_transactional_id(&self, id: &str) -> bool {
        self.shared.expire_transactional_id(id)
    }

    /// Drops a group's committed offsets, as if they had not been committed again for too long. Returns how many there were.
    pub fn expire_offsets(&self, group: &str) -> usize {
        self.shared.expire_offsets(group)
    }

    /// Deletes a topic, with its records and the offsets that groups have in it. Like Kafka's clients, a reader of it falls
    /// silent ([`Reader::trouble`] says why), and goes on at the same offset where the topic is made anew: mostly that is
    /// [`BrokerError::OffsetOutOfRange`]. Returns whether there was such a topic.
    pub fn delete_topic(&self, name: &str) -> bool {
        self.shared.delete_topic(name)
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

    fn topics(&self, _timeout: Duration) -> Result<BTreeMap<String, u32>, BrokerError> {
        Ok(self.shared.all_topics())
    }

    fn topic_ids(&self, topics: &[&str], _timeout: Duration) -> Result<Vec<Option<TopicId>>, BrokerError> {
        Ok(topics.iter().map(|topic| self.shared.id_of(topic)).collect())
    }

    fn add_partitions(&self, topic: &str, total: u32, _timeout: Duration) -> Result<(), BrokerError> {
        self.shared.add_partitions(topic, total)
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)], _timeout: Duration) -> Result<(), BrokerError> {
        self.shared.delete_records(before)
    }

    fn tombstone_retention(&self, topics: &[&str], _timeout: Duration) -> Result<Vec<Option<Duration>>, BrokerError> {
        Ok(topics.iter().map(|topic| self.shared.tombstone_retention(topic)).collect())
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
        Ok(Box::new(transactional::InProcessTransactions::new(
            self.shared.clone(),
            transactional_id,
        )))
    }

    fn producer(&self, _client_id: &str) -> Result<Box<dyn Producer>, BrokerError> {
        Ok(Box::new(producer::InProcessProducer::new(self.shared.clone())))
    }
}

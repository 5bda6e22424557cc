//! What bounds an in-process log, in memory and in time.

use std::time::Duration;

use crate::port::{BrokerError, Outgoing};

/// When the coordinator raises a producer's epoch, which fences every request that was made with the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Epochs {
    /// Only when a newer producer of the id is made, and when a transaction times out: what librdkafka's producers get. A
    /// commit that arrives a second time, late, ends whatever transaction the same producer has open by then.
    #[default]
    PerProducer,
    /// After each transaction, too (KIP-890, which Java's producers speak from 4.0 on): a late commit is always refused.
    Kip890,
}

/// What bounds an [`InProcessBroker`](super::InProcessBroker). All times are on its clock.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many records a partition of a `Delete` topic keeps; older ones go, and a reader that still wanted them gets
    /// [`BrokerError::OffsetOutOfRange`].
    pub records_per_partition: usize,
    /// A partition of a `Compact` topic is first compacted at this many records, then at each doubling.
    pub compact_at_least: usize,
    /// The largest record, key and value together, in bytes; a larger one is [`BrokerError::Refused`].
    pub record_bytes_max: usize,
    /// A transaction that is open for longer is aborted, and its producer is fenced.
    pub transaction_timeout: Duration,
    /// When a producer's epoch rises.
    pub epochs: Epochs,
    /// A group's committed offset that was not committed again for so long is gone; `None` keeps it. (Kafka: 7 days, for
    /// partitions of topics that the group does not subscribe to.)
    pub offsets_retention: Option<Duration>,
    /// A transactional id that was not used for so long is unknown afterwards, and its producer is fenced; `None` keeps it.
    /// (Kafka: 7 days.)
    pub transactional_id_expiration: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records_per_partition: 1 << 20,
            compact_at_least: 4_096,
            record_bytes_max: 1_000_000,
            // As the Kafka port sets it.
            transaction_timeout: Duration::from_secs(15),
            epochs: Epochs::default(),
            offsets_retention: None,
            transactional_id_expiration: None,
        }
    }
}

impl Limits {
    /// `bytes_max`: the topic's own limit, if it has one.
    pub(super) fn check_size(&self, record: &Outgoing<'_>, bytes_max: Option<usize>) -> Result<(), BrokerError> {
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let bytes_max = bytes_max.unwrap_or(self.record_bytes_max);
        if bytes > bytes_max {
            let topic = record.topic;
            return Err(BrokerError::Refused(format!(
                "{bytes} bytes for {topic}, more than {bytes_max}"
            )));
        }
        Ok(())
    }
}

//! The port: what the engine and the sinks ask of a log, in Kafka's terms.
//!
//! All calls are synchronous and are made from the thread that owns the object; nothing here needs an async runtime.
//! Reads see committed records only.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::lease::Lease;
use crate::topic_settings::TopicSettings;

/// A topic and one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Names a partition of a topic.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What the broker does with old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Old segments are dropped (`cleanup.policy=delete`), after this time, or never where `None`.
    Delete(Option<Duration>),
    /// The newest record of each key is kept (`cleanup.policy=compact`).
    Compact,
    /// The same, and old segments are dropped, too, after this time (`cleanup.policy=compact,delete`): what a key had is lost when it is
    /// not written again.
    CompactAndDelete(Duration),
}

impl CleanupPolicy {
    /// Whether records are compacted, and so need keys.
    pub fn compacts(self) -> bool {
        !matches!(self, Self::Delete(_))
    }

    /// After how long records are dropped, if ever.
    pub fn retention(self) -> Option<Duration> {
        match self {
            Self::Delete(age) => age,
            Self::Compact => None,
            Self::CompactAndDelete(age) => Some(age),
        }
    }

    /// Kafka's text for it, without the age, which an operator may well tune.
    pub fn text(self) -> &'static str {
        match self {
            Self::Delete(_) => "delete",
            Self::Compact => "compact",
            Self::CompactAndDelete(_) => "compact,delete",
        }
    }
}

/// A topic that must exist before the first record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: String,
    /// How many partitions it is created with; an existing topic with another number is an error, unless
    /// `accept_existing`.
    pub partitions: u32,
    /// Whether an existing topic keeps its own partition count, cleanup policy and settings (topics that others own).
    pub accept_existing: bool,
    /// What happens to old records; an existing topic with another policy is an error, unless `accept_existing`. Its age is not compared.
    pub cleanup: CleanupPolicy,
    /// What else it is made with; an existing topic with another value of one of these, or with fewer copies, is an error, unless
    /// `accept_existing`.
    pub settings: TopicSettings,
}

/// A topic's id: a name that is made anew has another one (KIP-516).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(u128);

impl TopicId {
    /// The id of these bits; `None` for zero, which stands for no id.
    pub fn from_bits(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }
}

/// As Kafka's tools write it: 22 letters of base64url.
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Letters of an id.
const ID_LETTERS: u32 = 22;
/// What the last letter has beyond the id's bits.
const ID_SPARE_BITS: u32 = 4;

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |place: u32| {
            let bits = match (6 * (ID_LETTERS - 1 - place)).checked_sub(ID_SPARE_BITS) {
                Some(shift) => self.0 >> shift,
                None => self.0 << ID_SPARE_BITS,
            };
            BASE64URL[(bits & 63) as usize] as char
        };
        f.pad(&(0..ID_LETTERS).map(letter).collect::<String>())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no topic id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no topic id")]
pub struct NoTopicId(String);

impl FromStr for TopicId {
    type Err = NoTopicId;

    fn from_str(text: &str) -> Result<Self, NoTopicId> {
        let mut bits = 0_u128;
        for (place, letter) in (0_u32..).zip(text.bytes()) {
            let value = BASE64URL.iter().position(|known| *known == letter);
            let value = value.ok_or_else(|| NoTopicId(text.to_owned()))? as u128;
            bits = match place + 1 < ID_LETTERS {
                true => bits << 6 | value,
                false => bits << (6 - ID_SPARE_BITS) | value >> ID_SPARE_BITS,
            };
        }
        // Other spellings of the same bits are none.
        let id = Self::from_bits(bits).filter(|id| id.to_string() == text);
        id.ok_or_else(|| NoTopicId(text.to_owned()))
    }
}

/// A record's headers, in order.
pub type Headers = Vec<(String, Option<Bytes>)>;

/// One committed record that a [`Reader`] fetched.
#[derive(Debug, Clone)]
pub struct Message {
    /// The slot that [`Reader::assign`] returned for the partition that it came from.
    pub slot: u32,
    /// Its offset in the partition.
    pub offset: i64,
    /// Its Kafka timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The key's bytes.
    pub key: Option<Bytes>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers, empty for most records.
    pub headers: Headers,
}

/// What a poll brought. Reused from call to call; [`Reader::poll`] appends.
#[derive(Debug, Default)]
pub struct Polled {
    /// Records, in offset order within each slot.
    pub messages: Vec<Message>,
    /// Slots whose end was reached, with the offset that comes next. An end is reported when nothing lies beyond it, not even
    /// a transaction that is still open or whose commit is not yet carried out: everything whose commit had returned
    /// before has been delivered, and aborted records and markers were stepped over. So who restores state up to an end
    /// misses nothing. Each end is reported once.
    pub ends: Vec<(u32, i64)>,
    /// Slots of which all that can be read now is delivered, though their end is not reached: an open transaction hides what comes
    /// next. Nobody waits for it in vain who wants no more than what is there. Told once at each such place, and no reason for a poll to
    /// return early.
    pub blocked: Vec<u32>,
}

/// Where a reader starts in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The first offset that is still there.
    Earliest,
    /// The end at the time of the call.
    Latest,
    /// This offset; where it is no longer there, the error is [`BrokerError::OffsetOutOfRange`], never a silent jump.
    At(i64),
}

/// Fetches the partitions that it is told to, with no part in any group. `isolation.level=read_committed`.
pub trait Reader: Send {
    /// Adds a partition and returns its slot: a small number, stable until it is unassigned, then free for reuse.
    fn assign(&mut self, partition: &TopicPartition, start: Start) -> Result<u32, BrokerError>;
    /// Removes a partition; none of its records is delivered afterwards.
    fn unassign(&mut self, slot: u32) -> Result<(), BrokerError>;
    /// Stops fetching a slot until [`Reader::resume`], for back-pressure.
    fn pause(&mut self, slot: u32) -> Result<(), BrokerError>;
    /// Fetches a paused slot again.
    fn resume(&mut self, slot: u32) -> Result<(), BrokerError>;
    /// Appends up to `max` records, waiting up to `timeout` for the first one; it returns early, too, when an end is
    /// reached. Transient faults (a broker that is away) are retried within; [`Reader::trouble`] reports them. With an
    /// error nothing was appended. An [`BrokerError::OffsetOutOfRange`] is reported once, and its slot stays silent until it is
    /// unassigned; all others go on.
    fn poll(&mut self, max: usize, timeout: Duration, into: &mut Polled) -> Result<(), BrokerError>;
    /// The first offset and the end (last stable offset) of a partition, asked of the broker. What was committed a moment
    /// ago may lie beyond that end yet; a restore goes by [`Polled::ends`] instead.
    fn bounds(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<(i64, i64), BrokerError>;
    /// Where a partition is read from by whoever wants what is from this time on (milliseconds since the epoch; what is before that
    /// counts as it): no record before that offset has such a timestamp. `None` where none has, before the end that [`Reader::bounds`]
    /// tells. It need not be a committed record's: as in Kafka, an aborted one or the marker of a transaction counts, too.
    fn offset_for_time(
        &mut self,
        partition: &TopicPartition,
        timestamp_ms: i64,
        timeout: Duration,
    ) -> Result<Option<i64>, BrokerError>;
    /// The latest transient fault, if the reader is in one now: text for the operator. Nothing on brokers that are never away.
    fn trouble(&self) -> Option<String>;
}

/// A step of a group's rebalance, in the cooperative protocol: partitions that stay are never named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// These are now this member's.
    Assigned(Vec<TopicPartition>),
    /// These go to another member as soon as [`Group::complete`] is called.
    Revoked(Vec<TopicPartition>),
    /// These were taken away already (the session expired): nothing may be committed for them.
    Lost(Vec<TopicPartition>),
}

/// An offset committed in a group, with its metadata text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The offset to read next.
    pub offset: i64,
    /// What the committer wrote beside it; empty for most.
    pub metadata: String,
}

/// Proof of membership at a generation, for [`TransactionalProducer::commit`].
#[derive(Clone)]
pub enum Membership {
    /// No group: for a transaction that commits no offsets.
    NoGroup,
    /// Kafka's own.
    #[cfg(feature = "kafka")]
    Kafka {
        /// The group's name.
        group: Arc<str>,
        /// What the client has of it.
        metadata: Arc<rdkafka::consumer::ConsumerGroupMetadata>,
    },
    /// The in-process broker's.
    InProcess {
        /// The group's name.
        group: String,
        /// The member within the group.
        member: u64,
        /// The generation at which it was a member.
        generation: u64,
    },
}

/// Membership of a consumer group: shares partitions among its members, and keeps offsets. It fetches no records.
pub trait Group: Send {
    /// Takes part in the group's life, waiting up to `timeout` for a step. Until a step is answered with
    /// [`Group::complete`], each poll returns it again. To be called at least every few seconds.
    fn poll(&mut self, timeout: Duration) -> Result<Option<Rebalance>, BrokerError>;
    /// Ends the step that `poll` returned.
    fn complete(&mut self, step: &Rebalance) -> Result<(), BrokerError>;
    /// The partitions that are this member's now.
    fn assignment(&self) -> Vec<TopicPartition>;
    /// The committed offsets, in the order asked; `None` where there is none. Waits for offsets that an open transaction
    /// holds, at most `timeout`.
    fn committed(&mut self, of: &[TopicPartition], timeout: Duration) -> Result<Vec<Option<Committed>>, BrokerError>;
    /// Commits offsets outside of a transaction, synchronously; a stale generation is [`BrokerError::Fenced`]. While the
    /// group rebalances it can be [`BrokerError::Unavailable`]: poll, and try again.
    fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), BrokerError>;
    /// Proof of membership for a transaction. To be asked for right before each commit: the generation rises with every
    /// rebalance, also for partitions that stay, and a commit with an older one is [`BrokerError::Fenced`]. That alone does
    /// not mean that partitions were lost; [`Group::poll`] reports it.
    fn membership(&self) -> Result<Membership, BrokerError>;
    /// How long this member may be sure of its partitions, kept from the first call on and renewed in the background while it is a
    /// member. For groups whose topics hold no records: offset 0 of a partition is committed now and then.
    fn lease(&mut self) -> Result<Arc<Lease>, BrokerError>;
    /// Leaves the group at once, so that others need not wait for the session to expire; a member with a name gives up what would
    /// be kept for it. Dropping without this is a crash.
    fn leave(&mut self) -> Result<(), BrokerError>;
}

/// A record to be written.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` lets murmur2 of the key choose, as Java's default partitioner does.
    pub partition: Option<u32>,
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The record's timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Headers; empty for most.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Writes records in transactions. Made by [`Broker::transactional_producer`], which fences every earlier producer of the same
/// id and so resolves what that one left open.
pub trait TransactionalProducer: Send {
    /// Starts a transaction.
    fn begin(&mut self) -> Result<(), BrokerError>;
    /// Queues a record in the open transaction. Waits, bounded, while the queue is full.
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), BrokerError>;
    /// Serves delivery reports without blocking; to be called now and then between sends.
    fn service(&mut self) -> Result<(), BrokerError>;
    /// Waits until every record is acknowledged, adds the offsets, commits. On **any** error the outcome is unknown: drop this
    /// producer, make a new one, and read the group's committed offsets to see what holds. Returns the highest offset that
    /// this transaction wrote in each partition: the engine stores its changelog positions from it.
    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError>;
}

/// Writes single records, idempotently, outside of transactions.
pub trait Producer: Send {
    /// Writes these records and waits, bounded, until all are acknowledged.
    fn send_all(&mut self, records: &[Outgoing<'_>]) -> Result<(), BrokerError>;
}

/// How a member joins a group.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// The group's name.
    pub group: String,
    /// Topics whose partitions are shared.
    pub topics: Vec<String>,
    /// A name for logs.
    pub client_id: String,
    /// A name that this member keeps over restarts (Kafka's static membership): within the session timeout it gets its
    /// partitions back at once and without a rebalance, even after a crash. Until that time is over nobody else gets them,
    /// unless it leaves ([`Group::leave`]). `None`: a new member each time.
    pub member: Option<String>,
    /// After how long without a sign of life a member is taken for dead.
    pub session_timeout: Duration,
}

/// A log. Cheap to share: `Arc<dyn Broker>`.
pub trait Broker: Send + Sync + 'static {
    /// Creates the topics that are missing and verifies the others. Retries while the broker is away, up to `timeout`.
    fn ensure_topics(&self, specs: &[TopicSpec], timeout: Duration) -> Result<(), BrokerError>;
    /// How many partitions a topic has; `None` where there is no such topic.
    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError>;
    /// The same for many topics at once, in the order asked.
    fn partition_counts(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<u32>>, BrokerError> {
        topics.iter().map(|topic| self.partitions(topic, timeout)).collect()
    }
    /// All topics with their numbers of partitions, by name; without those that the log keeps for itself, as Kafka its groups' offsets.
    fn topics(&self, timeout: Duration) -> Result<BTreeMap<String, u32>, BrokerError>;
    /// The ids of topics, in the order asked; `None` where there is no such topic, or the broker gives none (Kafka before 2.8).
    fn topic_ids(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<TopicId>>, BrokerError>;
    /// Adds partitions to a topic until it has `total`; nothing to one that has as many or more. Keys that were written before
    /// stay where they are, though the new count may put them elsewhere.
    fn add_partitions(&self, topic: &str, total: u32, timeout: Duration) -> Result<(), BrokerError>;
    /// Drops the records of each partition before an offset; `Ok` where they are gone already. Never moves a start back.
    fn delete_records(&self, before: &[(TopicPartition, i64)], timeout: Duration) -> Result<(), BrokerError>;
    /// How long each topic keeps the tombstones of its compaction (Kafka's `delete.retention.ms`), in the order asked; `None`
    /// where there is no such topic. Who read a compacted topic up to a position, and goes on from there within this time, is
    /// shown every deletion; later, some may be missing.
    fn tombstone_retention(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<Duration>>, BrokerError>;
    /// A reader with nothing assigned.
    fn reader(&self, client_id: &str) -> Result<Box<dyn Reader>, BrokerError>;
    /// Joins a group.
    fn group(&self, options: GroupOptions) -> Result<Box<dyn Group>, BrokerError>;
    /// A transactional producer; returns when its id is initialised and earlier holders are fenced, at the latest after
    /// `timeout`.
    fn transactional_producer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionalProducer>, BrokerError>;
    /// An idempotent producer without transactions.
    fn producer(&self, client_id: &str) -> Result<Box<dyn Producer>, BrokerError>;
}

/// What went wrong, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker is away or slow: try again.
    #[error("the broker did not answer: {0}")]
    Unavailable(String),
    /// Another producer or a newer generation has taken over: drop what is uncommitted, make new objects.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The offset is no longer (or not yet) in the partition.
    #[error("offset {offset} of {partition} is out of range")]
    OffsetOutOfRange {
        /// Where.
        partition: TopicPartition,
        /// Which.
        offset: i64,
    },
    /// A topic is not as it must be: an operator must act.
    #[error("topic {topic}: {reason}")]
    Topic {
        /// Which topic.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The record itself cannot be written (too large).
    #[error("the record was refused: {0}")]
    Refused(String),
    /// Anything else: give up, or make new objects.
    #[error("{0}")]
    Fatal(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_is_written_as_kafka_writes_it() {
        for (bits, text) in [
            (1, "AAAAAAAAAAAAAAAAAAAAAQ"),
            (u128::MAX, "_____________________w"),
            (0x4b1c_0ea1_5f0d_4a6b_9f3e_8d2c_7b6a_5948, "SxwOoV8NSmufPo0se2pZSA"),
        ] {
            let id = TopicId::from_bits(bits).unwrap();
            assert_eq!((id.to_string().as_str(), text.parse()), (text, Ok(id)));
        }
        assert_eq!(TopicId::from_bits(0), None);
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAR",
            "x",
            "AAAAAAAAAAAAAAAAAAAAA+",
        ] {
            assert!(text.parse::<TopicId>().is_err(), "{text}");
        }
    }
}

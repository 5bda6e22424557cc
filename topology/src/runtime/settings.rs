//! What an operator sets.

use std::time::Duration;

use broker::TopicSettings;
use serde::{Deserialize, Serialize};

/// Settings of an engine. Data only: brokers, stores and clocks are handed over apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// This instance's name, unique among those that share the application and lasting over restarts.
    pub instance: String,
    /// Worker threads.
    pub threads: usize,
    /// The partitions of the topics that the engine makes, and so the bound of its parallelism.
    pub partitions: u32,
    /// What the topics that the engine makes are made with beside that, such as `replication.factor` and `min.insync.replicas`: Kafka
    /// Streams' `topic.*` settings. Its own topics (changelogs, repartition topics and the like) must have them where they are there
    /// already; topics that others read or write may be set up by those.
    ///
    /// ```
    /// use topology::{EngineSettings, TopicSettings};
    ///
    /// let settings = EngineSettings {
    ///     topics: TopicSettings::new([("replication.factor", 3), ("min.insync.replicas", 2)]).unwrap(),
    ///     ..EngineSettings::default()
    /// };
    /// assert_eq!(settings.topics.replication_factor(), Some(3));
    /// ```
    pub topics: TopicSettings,
    /// At the latest after this, what was processed is committed; sooner when the input runs dry, and after five seconds in any case.
    pub commit_interval: Duration,
    /// How often committed state goes to the backend.
    pub flush_interval: Duration,
    /// A transaction holds at most this many input records.
    pub commit_records_max: usize,
    /// Records that a worker fetches at once.
    pub poll_records_max: usize,
    /// How many keys of a task may be committed and not yet in its backend, while that takes no writes; beyond them the task stands
    /// still. They are kept in memory.
    pub unflushed_keys_max: usize,
    /// How often the offsets of all inputs are committed again, moved or not, and the state marked as valid: well within the time for
    /// which the broker keeps offsets and tombstones.
    pub offsets_refresh_interval: Duration,
    /// What becomes of a record at which a processor panics, is tried again, and panics again.
    pub on_panic: OnFault,
    /// What becomes of a record whose bytes cannot be read as the topic's types.
    pub on_unreadable: OnFault,
    /// What becomes of a record that a processor refuses ([`ProcessError::Record`](crate::ProcessError::Record)).
    pub on_unprocessable: OnFault,
    /// What becomes of a record of which something cannot be written: it does not fit its schema, or the log refuses it.
    pub on_unwritable: OnFault,
    /// A fetched partition is paused when this many of its records wait, until half are processed.
    pub buffered_records_max: usize,
    /// Whether a re-keyed record whose partition is this worker's is handed over in memory, within the same transaction, instead
    /// of taking its repartition topic.
    pub repartition_in_memory: bool,
    /// How often records that are done are deleted from repartition topics, which nothing else ever empties.
    pub repartition_purge_interval: Duration,
    /// What a task of several inputs does while some of them have no records: the next record of another one may be later than what is still
    /// to come there. `None`: it goes on with what it has, in whatever order inputs were fetched. A duration: it goes on once the broker has
    /// nothing more for each empty input, and has had nothing for that long; so each record waits as long, while another input is silent.
    ///
    /// Zero, as in Kafka Streams, where this is `max.task.idle.ms`: what is in the log is processed in the order of time, such as after a
    /// restart, and a silent input holds up nobody. It costs the few milliseconds in which a fetch tells that there is nothing more. What an
    /// open transaction hides is not waited for, nor an input that nobody fetches.
    ///
    /// What was handed over in memory and has waited until its transaction commits takes its topic.
    pub max_task_idle: Option<Duration>,
    /// After how long without a sign of life an instance is taken for dead.
    pub session_timeout: Duration,
    /// How long one call to the broker may take before it counts as a fault.
    pub broker_timeout: Duration,
}

/// What becomes of a record that is at fault.
///
/// ```
/// use std::sync::Arc;
/// use topology::dsl::Builder;
/// use topology::store::MemoryBackends;
/// use topology::testing::TestDriver;
/// use topology::{EngineSettings, OnFault, Topic};
///
/// const NUMBERS: Topic<i64, i64> = Topic::new("numbers");
/// const HALVES: Topic<i64, i64> = Topic::new("halves");
///
/// let b = Builder::new("example");
/// let half = |_: &i64, n: &i64| if n % 2 == 0 { Ok(n / 2) } else { Err("it is odd") };
/// b.stream(NUMBERS).map_values_or_dead_letter(half).to(HALVES);
/// let settings = EngineSettings {
///     on_unprocessable: OnFault::Stop,
///     ..EngineSettings::default()
/// };
/// let mut driver = TestDriver::with(b.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap();
/// driver.queue(NUMBERS, 0, &1, Some(&3));
/// driver.queue(NUMBERS, 1, &1, Some(&4));
/// // Not to the end, as that does not come.
/// driver.turns(0, 10);
/// assert!(driver.drain(HALVES).is_empty(), "the record behind it waits as well");
/// let reasons = driver.queries().readiness().reasons;
/// assert!(reasons.iter().any(|reason| reason.contains("it is odd")), "{reasons:?}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnFault {
    /// It goes to the dead-letter topic, and what it wrote is undone.
    DeadLetter,
    /// Its task stops until a restart; its state answers, and readiness says why.
    Stop,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            instance: "0".to_owned(),
            threads: 1,
            partitions: 4,
            topics: TopicSettings::default(),
            commit_interval: Duration::from_millis(100),
            flush_interval: Duration::from_secs(1),
            commit_records_max: 100_000,
            poll_records_max: 4_000,
            unflushed_keys_max: 500_000,
            offsets_refresh_interval: Duration::from_secs(3_600),
            on_panic: OnFault::DeadLetter,
            on_unreadable: OnFault::DeadLetter,
            on_unprocessable: OnFault::DeadLetter,
            on_unwritable: OnFault::DeadLetter,
            buffered_records_max: 8_000,
            repartition_in_memory: true,
            repartition_purge_interval: Duration::from_secs(30),
            max_task_idle: Some(Duration::ZERO),
            session_timeout: Duration::from_secs(6),
            broker_timeout: Duration::from_secs(15),
        }
    }
}

//! What can be set about a sink.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of a Parquet sink. Durations are texts such as `60s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkSettings {
    /// The consumer group.
    pub group: String,
    /// This member's name in logs.
    pub client_id: String,
    /// A file ends at this many rows.
    pub rows_max: u64,
    /// A file ends at this many bytes of keys and values, as the log has them.
    pub bytes_max: u64,
    /// A file ends this long after its first record was read.
    #[serde(with = "humantime_serde")]
    pub age_max: Duration,
    /// What all open files of this member may hold in memory, in bytes; at this bound the largest file ends early.
    pub memory_bytes_max: u64,
    /// A file of so many bytes and more is uploaded in parts, side by side, where the store is fit for it.
    pub multipart_bytes: u64,
    /// After how long an attempt to reach the store is given up; a second more for each MiB that is sent.
    #[serde(with = "humantime_serde")]
    pub put_timeout: Duration,
    /// How faults are retried.
    pub retry: RetrySettings,
    /// After how long without a sign of life the group takes this member for dead.
    #[serde(with = "humantime_serde")]
    pub session_timeout: Duration,
    /// How long a clean stop may take to write what is open. What is left then is read again by the next owner.
    #[serde(with = "humantime_serde")]
    pub stop_timeout: Duration,
}

/// First quick attempts, then slow ones without end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// How many attempts are quick, the waits between them doubling; afterwards the sink reports trouble.
    pub quick_attempts: u32,
    /// The first wait.
    #[serde(with = "humantime_serde")]
    pub quick_wait: Duration,
    /// The wait between slow attempts.
    #[serde(with = "humantime_serde")]
    pub slow_wait: Duration,
}

impl Default for SinkSettings {
    fn default() -> Self {
        Self {
            group: "riverbank-sinks".to_owned(),
            client_id: "riverbank-sink".to_owned(),
            rows_max: 1_000_000,
            bytes_max: 128 << 20,
            age_max: Duration::from_secs(60),
            memory_bytes_max: 512 << 20,
            multipart_bytes: 64 << 20,
            put_timeout: Duration::from_secs(60),
            retry: RetrySettings::default(),
            session_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            quick_attempts: 5,
            quick_wait: Duration::from_millis(200),
            slow_wait: Duration::from_secs(15),
        }
    }
}

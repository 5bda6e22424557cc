//! Where a table keeps its rows, and how.

use std::fmt::Display;
use std::time::Duration;

use crate::store::{ChangelogSettings, changelog_settings};

/// Where a table keeps its rows: the name of a store, or more than that.
///
/// ```
/// use std::time::Duration;
/// use topology::Topic;
/// use topology::dsl::{Builder, Materialized};
///
/// const SALES: Topic<i64, i64> = Topic::new("sales");
///
/// let b = Builder::new("example");
/// let sales = b.stream(SALES).group_by_key();
/// sales.count("counts");
/// // A stream that is joined with this one sees how many there were at its own time.
/// sales.count(Materialized::versioned("counts-since", Duration::from_secs(3_600)));
/// b.build().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Materialized {
    pub(super) store: String,
    pub(super) retention: Option<Duration>,
    pub(super) ttl: Option<Duration>,
    pub(super) changelog: ChangelogSettings,
}

impl Materialized {
    /// In a store of this name.
    pub fn named(store: impl Into<String>) -> Self {
        Self {
            store: store.into(),
            retention: None,
            ttl: None,
            changelog: &[],
        }
    }

    /// In a store of this name that also keeps, for `retention`, what each key had before.
    pub fn versioned(store: impl Into<String>, retention: Duration) -> Self {
        Self {
            retention: Some(retention),
            ..Self::named(store)
        }
    }

    /// Rows that were not written for longer than `ttl` are gone, by stream time: the table is those of which the event time of the last change is
    /// not longer ago than that, seen from the highest event time that the task has had. Kafka Streams has no word for it; its users write a
    /// processor with a punctuator.
    ///
    /// - Rows expire **before the record** that moves stream time on is processed. So no record sees one that has expired, whether it
    ///   aggregates, joins or asks; and queries see none from the commit on that has the time.
    /// - What is behind the table hears of each as of a deletion, `Change { old, new: None }`, at the stream time by which it expired. Sinks get a
    ///   tombstone, as do the changelogs.
    /// - A record that comes so late that its row would have expired makes none, and takes away the row that it overwrites. An
    ///   aggregate begins anew when its row has expired.
    /// - Where many rows expire at once, as after a silence, a commit has a thousand of them, and the next record waits until all are gone. Queries
    ///   see none of them from the first of those commits on.
    /// - Without records stream time stands still, and nothing expires. Each task has its own stream time, which outlives restarts and moves;
    ///   so the same log makes the same rows.
    ///
    /// Rows by their times are a second store, `<store>-times`, with a changelog of its own, so a write is three or four changes instead of one.
    /// The time to live may be changed later. Whether rows expire at all may not, under a store that has some: the engine does not start then, and
    /// says what to do.
    ///
    /// ```
    /// use std::time::Duration;
    /// use topology::Topic;
    /// use topology::dsl::{Builder, Materialized};
    /// use topology::testing::TestDriver;
    ///
    /// const CLICKS: Topic<i64, String> = Topic::new("clicks");
    /// const RECENT: Topic<i64, i64> = Topic::new("recent");
    ///
    /// let b = Builder::new("example");
    /// let recent = Materialized::named("recent").expire_after(Duration::from_millis(100));
    /// b.stream(CLICKS).group_by_key().count(recent).to_stream().to_compacted(RECENT);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// for (at_ms, key) in [(0, 1), (100, 1), (150, 2), (201, 1)] {
    ///     driver.send(CLICKS, at_ms, &key, Some(&"click".to_owned()));
    /// }
    /// let of_one = driver.drain(RECENT).into_iter().filter(|record| record.key == 1);
    /// let of_one: Vec<_> = of_one.map(|record| (record.timestamp_ms.0, record.value)).collect();
    /// assert_eq!(of_one, [(0, Some(1)), (100, Some(2)), (201, None), (201, Some(1))]);
    /// ```
    pub fn expire_after(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// The topic of the store's changelog is made with these settings, by Kafka's names: as
    /// [`KeyValue::with_changelog`](crate::store::KeyValue::with_changelog). A table always has a changelog.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::{Builder, Materialized};
    ///
    /// const SALES: Topic<i64, i64> = Topic::new("sales");
    ///
    /// let counts = |settings: &[(&str, &str)]| {
    ///     let b = Builder::new("example");
    ///     let counts = Materialized::named("counts").with_changelog(settings.iter().copied());
    ///     b.stream(SALES).group_by_key().count(counts);
    ///     b.build()
    /// };
    /// assert!(counts(&[("segment.bytes", "104857600"), ("min.insync.replicas", "2")]).is_ok());
    /// let error = counts(&[("segment.bytes", "large")]).err().unwrap();
    /// assert!(error.to_string().contains("segment.bytes"), "{error}");
    /// ```
    pub fn with_changelog<N: AsRef<str>, V: Display>(self, settings: impl IntoIterator<Item = (N, V)>) -> Self {
        Self {
            changelog: changelog_settings(settings),
            ..self
        }
    }

    pub(in crate::dsl) fn name(&self) -> &str {
        &self.store
    }
}

impl From<&str> for Materialized {
    fn from(store: &str) -> Self {
        store.to_owned().into()
    }
}

impl From<&String> for Materialized {
    fn from(store: &String) -> Self {
        store.clone().into()
    }
}

impl From<String> for Materialized {
    fn from(store: String) -> Self {
        Self::named(store)
    }
}

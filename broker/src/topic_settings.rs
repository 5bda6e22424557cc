//! Settings of topics, checked before anything is asked of a broker.
//!
//! Names and values are Kafka's. Those that are here say how a topic is stored and copied. What decides which records stay is the
//! [`CleanupPolicy`](crate::CleanupPolicy)'s, and settings under which records would get other times than their writers gave are none.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many copies each partition has: no setting of Kafka's topics, but what a topic is made with.
const REPLICATION_FACTOR: &str = "replication.factor";

/// What a setting's value can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A whole number, this at least.
    Number(i64),
    /// A share between 0 and 1.
    Share,
    Flag,
    OneOf(&'static [&'static str]),
}

const SETTINGS: [(&str, Kind); 24] = [
    ("compression.gzip.level", Kind::Number(-1)),
    ("compression.lz4.level", Kind::Number(1)),
    (
        "compression.type",
        Kind::OneOf(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
    ),
    ("compression.zstd.level", Kind::Number(-131_072)),
    ("delete.retention.ms", Kind::Number(0)),
    ("file.delete.delay.ms", Kind::Number(0)),
    ("flush.messages", Kind::Number(1)),
    ("flush.ms", Kind::Number(0)),
    ("index.interval.bytes", Kind::Number(0)),
    ("local.retention.bytes", Kind::Number(-2)),
    ("local.retention.ms", Kind::Number(-2)),
    ("max.compaction.lag.ms", Kind::Number(1)),
    ("max.message.bytes", Kind::Number(0)),
    ("min.cleanable.dirty.ratio", Kind::Share),
    ("min.compaction.lag.ms", Kind::Number(0)),
    ("min.insync.replicas", Kind::Number(1)),
    ("preallocate", Kind::Flag),
    ("remote.storage.enable", Kind::Flag),
    (REPLICATION_FACTOR, Kind::Number(1)),
    ("segment.bytes", Kind::Number(14)),
    ("segment.index.bytes", Kind::Number(4)),
    ("segment.jitter.ms", Kind::Number(0)),
    ("segment.ms", Kind::Number(1)),
    ("unclean.leader.election.enable", Kind::Flag),
];

/// Settings that have another place, and which.
const ELSEWHERE: [(&str, &str); 6] = [
    (
        "cleanup.policy",
        "the topic's cleanup policy says what becomes of old records",
    ),
    (
        "retention.ms",
        "the topic's cleanup policy says for how long records are kept",
    ),
    ("retention.bytes", "records are kept by their age, and not by their number"),
    ("message.timestamp.type", "records keep the times that their writers gave"),
    ("message.timestamp.before.max.ms", "records have event times, however old"),
    ("message.timestamp.after.max.ms", "records have event times, however new"),
];

/// What a topic is made with beside its partitions and its cleanup policy: each setting that is not given is the broker's own. A topic that is
/// there already must have these.
///
/// ```
/// use broker::TopicSettings;
///
/// let settings = TopicSettings::new([("replication.factor", "3"), ("min.insync.replicas", "2")]).unwrap();
/// assert_eq!(settings.replication_factor(), Some(3));
/// assert_eq!(settings.get("min.insync.replicas"), Some("2"));
///
/// let error = TopicSettings::new([("segment.byte", "1000000")]).unwrap_err();
/// assert!(error.to_string().contains("segment.byte"));
/// let error = TopicSettings::new([("cleanup.policy", "delete")]).unwrap_err();
/// assert!(error.to_string().contains("cleanup policy"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicSettings {
    values: BTreeMap<&'static str, String>,
}

/// A setting that no topic can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} = {value:?}: {reason}")]
pub struct InvalidTopicSetting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl TopicSettings {
    /// These settings, by Kafka's names; `replication.factor` is one of them.
    ///
    /// # Errors
    ///
    /// There is no such setting, it has another place, or the value is none that it can have.
    pub fn new<N: AsRef<str>, V: fmt::Display>(settings: impl IntoIterator<Item = (N, V)>) -> Result<Self, InvalidTopicSetting> {
        let mut all = Self::default();
        for (name, value) in settings {
            all.set(name.as_ref(), value)?;
        }
        Ok(all)
    }

    /// Sets one more, in place of what was said of it before.
    ///
    /// # Errors
    ///
    /// As [`TopicSettings::new`].
    pub fn set(&mut self, name: &str, value: impl fmt::Display) -> Result<(), InvalidTopicSetting> {
        let value = value.to_string();
        let invalid = |reason: String| InvalidTopicSetting {
            name: name.to_owned(),
            value: value.clone(),
            reason,
        };
        if let Some((_, place)) = ELSEWHERE.iter().find(|(known, _)| *known == name) {
            return Err(invalid((*place).to_owned()));
        }
        let known = SETTINGS.iter().find(|(known, _)| *known == name);
        let (name, kind) = known.ok_or_else(|| invalid("topics have no such setting".to_owned()))?;
        kind.check(&value).map_err(invalid)?;
        self.values.insert(name, value);
        Ok(())
    }

    /// The value of a setting, if it is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many copies each partition has; `None` leaves it to the broker.
    pub fn replication_factor(&self) -> Option<u32> {
        self.get(REPLICATION_FACTOR)?.parse().ok()
    }

    /// A whole number, of a setting that is one.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// All but the replication factor, with their values.
    pub fn of_topic(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = self.values.iter().map(|(name, value)| (*name, value.as_str()));
        all.filter(|(name, _)| *name != REPLICATION_FACTOR)
    }

    /// These, and where they say nothing, others.
    pub fn or(&self, others: &Self) -> Self {
        let mut values = others.values.clone();
        values.extend(self.values.iter().map(|(name, value)| (*name, value.clone())));
        Self { values }
    }

    /// Whether two values of a setting mean the same, however they are written.
    pub(crate) fn is_same(name: &str, one: &str, other: &str) -> bool {
        let kind = SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        match kind {
            Some(Kind::Number(_)) => one.parse::<i64>().ok() == other.parse().ok(),
            Some(Kind::Share) => one.parse::<f64>().ok() == other.parse().ok(),
            _ => one.eq_ignore_ascii_case(other),
        }
    }
}

impl Kind {
    fn check(self, value: &str) -> Result<(), String> {
        match self {
            Kind::Number(least) => match value.parse::<i64>() {
                Ok(number) if number >= least => Ok(()),
                _ => Err(format!("it is a whole number, {least} at least")),
            },
            Kind::Share => match value.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(()),
                _ => Err("it is a number between 0 and 1".to_owned()),
            },
            Kind::Flag => match value {
                "true" | "false" => Ok(()),
                _ => Err("it is true or false".to_owned()),
            },
            Kind::OneOf(values) => match values.contains(&value) {
                true => Ok(()),
                false => Err(format!("it is one of {}", values.join(", "))),
            },
        }
    }
}

/// As a map.
impl Serialize for TopicSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values.serialize(serializer)
    }
}

/// From a map, whose values may be numbers and flags as well as texts.
impl<'de> Deserialize<'de> for TopicSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value {
            Flag(bool),
            Number(i64),
            Share(f64),
            Text(String),
        }
        let map = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let texts = map.into_iter().map(|(name, value)| {
            let text = match value {
                Value::Flag(flag) => flag.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Share(share) => share.to_string(),
                Value::Text(text) => text,
            };
            (name, text)
        });
        Self::new(texts).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_their_kinds() {
        for (name, right, wrong) in [
            ("segment.bytes", "1048576", "1MB"),
            ("segment.ms", "1", "0"),
            ("min.cleanable.dirty.ratio", "0.5", "1.5"),
            ("preallocate", "true", "yes"),
            ("compression.type", "zstd", "zip"),
            ("replication.factor", "3", "0"),
        ] {
            assert!(TopicSettings::new([(name, right)]).is_ok(), "{name}");
            let error = TopicSettings::new([(name, wrong)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_is_said_of_one_topic_goes_before_what_is_said_of_all() {
        let all = TopicSettings::new([("segment.ms", 1_000), ("segment.bytes", 1_000)]).unwrap();
        let one = TopicSettings::new([("segment.ms", 2_000)]).unwrap();
        let both = one.or(&all);
        assert_eq!(
            (both.get("segment.ms"), both.get("segment.bytes")),
            (Some("2000"), Some("1000"))
        );
    }

    #[test]
    fn equal_values_may_be_written_in_two_ways() {
        assert!(TopicSettings::is_same("min.cleanable.dirty.ratio", "0.50", "0.5"));
        assert!(TopicSettings::is_same("segment.ms", "0100", "100"));
        assert!(!TopicSettings::is_same("segment.ms", "100", "101"));
    }

    #[test]
    fn settings_come_from_a_map() {
        let text =
            r#"{"min.insync.replicas": 2, "preallocate": false, "min.cleanable.dirty.ratio": 0.25, "compression.type": "lz4"}"#;
        let settings: TopicSettings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.get("min.cleanable.dirty.ratio"), Some("0.25"));
        let again = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<TopicSettings>(&again).unwrap(), settings);
        let error = serde_json::from_str::<TopicSettings>(r#"{"segment.byte": 1}"#).unwrap_err();
        assert!(error.to_string().contains("segment.byte"), "{error}");
    }
}

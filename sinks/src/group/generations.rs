//! Which topic a table's files are of: `<table>/_topics/<generation>.json`.
//!
//! A topic's name does not say which topic it is: one that is deleted and made anew begins at offset 0 again, and so does another
//! cluster's. Its id does (KIP-516). The first sink of a table notes the id beside the files, create-only, so that all agree; a sink
//! that finds another id writes nothing until an operator has accepted it as the next generation
//! (`riverbank lake accept`, `docs/runbooks/lake.md`). Why not go on by itself? A wrong `kafka.brokers` would write another bank's
//! rows into this one's lake, for good.
//!
//! Files that were written before there were ids are taken for the topic's that is there now, once, if its log reaches as far as they
//! do; otherwise for those of a topic that is unknown.

use std::collections::BTreeMap;

use broker::TopicId;
use jiff::Timestamp;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

/// One topic that had the table's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number, from 1.
    pub generation: u32,
    /// The topic's name.
    pub topic: String,
    /// The topic's id; `None` for files without one that are not of the topic which was found.
    #[serde(with = "as_text")]
    pub topic_id: Option<TopicId>,
    /// The last offset of each partition that other files hold already: this generation's begin after it. In a topic's first
    /// generation, partitions that are not named begin where their log does; another one of it is only of those that are named.
    pub ends: BTreeMap<u32, i64>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

impl Generation {
    /// Where a table's generations are.
    pub fn folder(table: &str) -> Path {
        Path::from(format!("{table}/_topics"))
    }

    /// Where this one is.
    pub fn path(&self, table: &str) -> Path {
        Path::from(format!("{table}/_topics/{:05}.json", self.generation))
    }

    /// The generation that a topic's partition is in. A later one of the same topic is of the partitions that it names: their logs
    /// were cut off.
    pub fn of(all: &[Generation], id: Option<TopicId>, partition: u32) -> Option<&Generation> {
        let id = id?;
        let mut of_topic = all.iter().filter(|generation| generation.topic_id == Some(id));
        let first = of_topic.next()?;
        let later = of_topic.rfind(|generation| generation.ends.contains_key(&partition));
        Some(later.unwrap_or(first))
    }

    /// The id in words.
    pub fn id_text(&self) -> String {
        self.topic_id
            .map_or_else(|| "none that is known".to_owned(), |id| id.to_string())
    }
}

/// An optional id as Kafka writes it.
pub(super) mod as_text {
    use broker::TopicId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(id: &Option<TopicId>, serializer: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.collect_str(id),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TopicId>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        let id = text.map(|text| text.parse().map_err(serde::de::Error::custom));
        id.transpose()
    }
}

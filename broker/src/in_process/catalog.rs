//! The topics of the broker, with their partitions.

use std::sync::Arc;

use hashbrown::HashMap;

use super::log::PartitionLog;
use crate::port::{self, BrokerError, CleanupPolicy, TopicPartition};
use crate::topic_settings::TopicSettings;

/// A topic's place in [`Catalog::topics`]; a deleted topic leaves its place empty.
pub(super) type TopicId = usize;

pub(super) struct Topic {
    pub name: Arc<str>,
    /// What tells it from another topic of its name, in another log as well.
    pub id: Option<port::TopicId>,
    pub cleanup: CleanupPolicy,
    pub settings: TopicSettings,
    pub partitions: Vec<PartitionLog>,
    pub deleted: bool,
}

#[derive(Default)]
pub(super) struct Catalog {
    pub topics: Vec<Topic>,
    pub ids: HashMap<String, TopicId>,
}

impl Catalog {
    pub fn topic_id(&self, name: &str) -> Result<TopicId, BrokerError> {
        let missing = || BrokerError::Topic {
            topic: name.to_owned(),
            reason: "there is no such topic".to_owned(),
        };
        self.ids.get(name).copied().ok_or_else(missing)
    }

    pub fn partition(&self, of: &TopicPartition) -> Result<(TopicId, usize), BrokerError> {
        let topic = self.topic_id(&of.topic)?;
        let (index, count) = (of.partition as usize, self.topics[topic].partitions.len());
        if index >= count {
            let reason = format!("it has {count} partitions, and no partition {index}");
            return Err(BrokerError::Topic {
                topic: of.topic.to_string(),
                reason,
            });
        }
        Ok((topic, index))
    }

    /// All partitions of these topics, as far as the topics exist.
    pub fn partitions_of(&self, topics: &[String]) -> Vec<TopicPartition> {
        let known = topics.iter().filter_map(|name| self.ids.get(name));
        let mut all: Vec<_> = known
            .flat_map(|id| {
                let topic = &self.topics[*id];
                (0..topic.partitions.len()).map(|i| TopicPartition::new(topic.name.clone(), i as u32))
            })
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

//! The ids of the sink's topics, as the broker last said.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, BrokerError, TopicId};

/// Asks for all of the sink's topics at once, so that partitions which end a file at the same time share an answer.
pub(crate) struct TopicIds {
    broker: Arc<dyn Broker>,
    topics: Vec<String>,
    known: HashMap<String, TopicId>,
    asked: Option<Instant>,
    /// It was logged that the broker gives none.
    logged: bool,
}

impl TopicIds {
    pub fn new(broker: Arc<dyn Broker>, topics: Vec<String>) -> Self {
        Self {
            broker,
            topics,
            known: HashMap::new(),
            asked: None,
            logged: false,
        }
    }

    /// A topic's id, as it was at `since` or later; `None` from a broker that gives none.
    pub fn id(&mut self, topic: &str, since: Instant, timeout: Duration) -> Result<Option<TopicId>, BrokerError> {
        if self.asked.is_none_or(|asked| asked < since) {
            let asked = Instant::now();
            let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            let ids = self.broker.topic_ids(&names, timeout)?;
            let known = self.topics.iter().cloned().zip(ids);
            self.known = known.filter_map(|(topic, id)| Some((topic, id?))).collect();
            self.asked = Some(asked);
        }
        let id = self.known.get(topic).copied();
        if id.is_none() && !self.known.is_empty() {
            // A broker that gives others theirs has no such topic now.
            return Err(BrokerError::Topic {
                topic: topic.to_owned(),
                reason: "there is no such topic".to_owned(),
            });
        }
        if id.is_none() && !std::mem::replace(&mut self.logged, true) {
            tracing::warn!(
                topic,
                "the broker gives no topic ids: a topic that is made anew cannot be distinguished from the old one"
            );
        }
        Ok(id)
    }
}

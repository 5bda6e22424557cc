//! Topics: made, widened, emptied and deleted.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::catalog::Topic;
use super::log::PartitionLog;
use super::state::{Shared, State};
use super::{Limits, TOMBSTONE_RETENTION};
use crate::port::{BrokerError, TopicId, TopicPartition, TopicSpec};
use crate::topic_settings::TopicSettings;

impl Shared {
    pub fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), BrokerError> {
        let mut state = self.lock();
        for spec in specs {
            match state.catalog.ids.get(&spec.name) {
                Some(id) => verify(&state.catalog.topics[*id], spec)?,
                None => create(&mut state, spec, &self.limits)?,
            }
        }
        self.each_group(&mut state, |group, state| group.rebalance(state));
        self.regrouped.notify_all();
        Ok(())
    }

    pub fn partitions(&self, topic: &str) -> Option<u32> {
        let state = self.lock();
        let id = *state.catalog.ids.get(topic)?;
        Some(state.catalog.topics[id].partitions.len() as u32)
    }

    pub fn all_topics(&self) -> BTreeMap<String, u32> {
        let state = self.lock();
        let count = |id: &usize| state.catalog.topics[*id].partitions.len() as u32;
        let known = state.catalog.ids.iter();
        known.map(|(name, id)| (name.clone(), count(id))).collect()
    }

    pub fn id_of(&self, topic: &str) -> Option<TopicId> {
        let state = self.lock();
        state.catalog.topics[*state.catalog.ids.get(topic)?].id
    }

    /// For how long its tombstones are kept, by its own setting or by the log's.
    pub fn tombstone_retention(&self, topic: &str) -> Option<Duration> {
        let state = self.lock();
        let settings = &state.catalog.topics[*state.catalog.ids.get(topic)?].settings;
        let own = settings.number("delete.retention.ms").map(Duration::from_millis);
        Some(own.unwrap_or(TOMBSTONE_RETENTION))
    }

    pub fn add_partitions(&self, topic: &str, total: u32) -> Result<(), BrokerError> {
        let mut state = self.lock();
        let id = state.catalog.topic_id(topic)?;
        let topic = &mut state.catalog.topics[id];
        while topic.partitions.len() < total as usize {
            topic.partitions.push(PartitionLog::new(topic.cleanup, &self.limits));
        }
        self.each_group(&mut state, |group, state| group.rebalance(state));
        self.regrouped.notify_all();
        Ok(())
    }

    pub fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<(), BrokerError> {
        let mut state = self.lock();
        let state = &mut *state;
        for (place, offset) in before {
            let id = state.catalog.ids.get(&*place.topic);
            let log = id.and_then(|id| state.catalog.topics[*id].partitions.get_mut(place.partition as usize));
            let missing = || BrokerError::Topic {
                topic: place.topic.to_string(),
                reason: format!("there is no {place}"),
            };
            log.ok_or_else(missing)?.delete_before(*offset);
        }
        Ok(())
    }

    /// Whether there was such a topic.
    pub fn delete_topic(&self, name: &str) -> bool {
        let mut state = self.lock();
        let Some(id) = state.catalog.ids.remove(name) else {
            return false;
        };
        let topic = &mut state.catalog.topics[id];
        (topic.deleted, topic.partitions) = (true, Vec::new());
        self.each_group(&mut state, |group, state| {
            group.offsets.forget_topic(name);
            group.rebalance(state);
        });
        self.notify();
        true
    }

    pub fn compact(&self, topic: &str) {
        let mut state = self.lock();
        if let Ok(id) = state.catalog.topic_id(topic) {
            state.catalog.topics[id].partitions.iter_mut().for_each(PartitionLog::compact);
        }
    }
}

fn create(state: &mut State, spec: &TopicSpec, limits: &Limits) -> Result<(), BrokerError> {
    if spec.partitions == 0 {
        return Err(BrokerError::Topic {
            topic: spec.name.clone(),
            reason: "it needs at least one partition".to_owned(),
        });
    }
    let partitions = (0..spec.partitions)
        .map(|_| PartitionLog::new(spec.cleanup, limits))
        .collect();
    state.catalog.ids.insert(spec.name.clone(), state.catalog.topics.len());
    state.catalog.topics.push(Topic {
        name: spec.name.as_str().into(),
        id: random_id(),
        cleanup: spec.cleanup,
        settings: spec.settings.clone(),
        partitions,
        deleted: false,
    });
    Ok(())
}

/// By the randomness of the standard library's maps.
fn random_id() -> Option<TopicId> {
    let bits = || RandomState::new().hash_one(());
    TopicId::from_bits(u128::from(bits()) << 64 | u128::from(bits()))
}

fn verify(topic: &Topic, spec: &TopicSpec) -> Result<(), BrokerError> {
    if spec.accept_existing {
        return Ok(());
    }
    let refuse = |reason| {
        Err(BrokerError::Topic {
            topic: spec.name.clone(),
            reason,
        })
    };
    let (has, wanted) = (topic.partitions.len(), spec.partitions as usize);
    if has != wanted {
        return refuse(format!("it has {has} partitions, not {wanted}"));
    }
    // As on Kafka, the kind of policy is compared, and not the age, which an operator may well tune.
    let (has, wanted) = (topic.cleanup.text(), spec.cleanup.text());
    if has != wanted {
        return refuse(format!("its cleanup policy is {has}, not {wanted}"));
    }
    if let Some(wanted) = spec.settings.replication_factor() {
        let has = topic.settings.replication_factor().unwrap_or(1);
        if has < wanted {
            return refuse(format!("it has {has} replicas, not {wanted}"));
        }
    }
    for (name, wanted) in spec.settings.of_topic() {
        let has = topic.settings.get(name);
        if !has.is_some_and(|has| TopicSettings::is_same(name, has, wanted)) {
            let has = has.unwrap_or("the log's own");
            return refuse(format!("its {name} is {has}, not {wanted}"));
        }
    }
    Ok(())
}

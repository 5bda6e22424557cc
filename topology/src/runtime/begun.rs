//! Which inputs the application has begun to read, whatever the group says.
//!
//! A broker forgets the offsets of a group that was away for a week, and those of a topic that is deleted. An input without an
//! offset then looks like one that was never read, and read from the start, each of its records would count twice. So the
//! transaction that commits an offset of an input for the first time also writes a record into a compacted topic of the
//! application's own: in the partition of its task group, under the name of the input topic, with that topic's id as the value.
//! Where the group has no offset for an input, the partition is read before the task goes on.

use std::collections::BTreeSet;

use broker::{BrokerError, Committed, Outgoing, Polled, Start, TopicPartition};

use super::task::TaskId;
use super::worker::Worker;
use crate::error::EngineError;

/// What is known of the inputs of a task group.
pub(crate) struct Begun {
    /// The restore reader's slot, until the end is reached.
    slot: Option<u32>,
    asked_at_ms: i64,
    /// Input topics of which an offset was committed at some time.
    topics: BTreeSet<String>,
}

impl Begun {
    /// Whether all of it is read.
    pub fn is_read(&self) -> bool {
        self.slot.is_none()
    }

    /// Whether an input of the group was begun; `None` where nothing is known of any: the state is that of a version which kept no
    /// such records, or nothing was processed yet.
    pub fn has(&self, topic: &str) -> Option<bool> {
        (!self.topics.is_empty()).then(|| self.topics.contains(topic))
    }
}

impl Worker {
    /// Writes which of these inputs are begun, as far as this worker has not written it before. Returns those.
    pub fn send_begun(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        now_ms: i64,
    ) -> Result<Vec<TopicPartition>, BrokerError> {
        let Some(producer) = self.producer.as_mut() else {
            return Ok(Vec::new());
        };
        let new = offsets
            .iter()
            .map(|(input, _)| input)
            .filter(|input| !self.recorded.contains(input));
        let new: Vec<TopicPartition> = new.cloned().collect();
        if new.is_empty() {
            return Ok(new);
        }
        let topic = self.parts.topology.inputs_topic();
        for input in &new {
            let id = self.parts.topic_ids.get(&*input.topic);
            producer.send(Outgoing {
                topic: &topic,
                partition: Some(input.partition),
                key: Some(input.topic.as_bytes()),
                value: Some(id.map_or("", String::as_str).as_bytes()),
                timestamp_ms: now_ms,
                headers: &[],
            })?;
        }
        Ok(new)
    }

    /// These were written with a transaction that has committed.
    pub fn begun_is_committed(&mut self, inputs: Vec<TopicPartition>) {
        for input in &inputs {
            if let Some(begun) = self.begun.get_mut(&input.partition) {
                begun.topics.insert(input.topic.to_string());
            }
        }
        self.recorded.extend(inputs);
    }

    /// Whether it is known which of a task's inputs were begun. Where it is not, that is read from now on.
    pub fn knows_begun(&mut self, id: TaskId) -> Result<bool, EngineError> {
        if let Some(begun) = self.begun.get(&id.partition) {
            return Ok(begun.is_read());
        }
        let place = TopicPartition::new(self.parts.topology.inputs_topic(), id.partition);
        let assigned = self.restorer.assign(&place, Start::Earliest);
        self.readers_in_doubt |= assigned.is_err();
        let begun = Begun {
            slot: Some(assigned?),
            asked_at_ms: self.now_ms(),
            topics: BTreeSet::new(),
        };
        self.begun.insert(id.partition, begun);
        Ok(false)
    }

    /// Whether any of that is still being read.
    pub fn reads_begun(&self) -> bool {
        self.begun.values().any(|begun| !begun.is_read())
    }

    /// Says what has been read since before this time, if anything has.
    pub fn stuck_begun(&self, before_ms: i64) -> Option<String> {
        let is_stuck = |begun: &Begun| !begun.is_read() && begun.asked_at_ms < before_ms;
        let (partition, _) = self.begun.iter().find(|(_, begun)| is_stuck(begun))?;
        let topic = self.parts.topology.inputs_topic();
        Some(format!(
            "{topic}-{partition}, which says what inputs were begun, does not come to its end: is a transaction hanging there? \
             (kafka-transactions.sh find-hanging)"
        ))
    }

    /// Takes what was polled of it.
    pub fn read_begun(&mut self, polled: &Polled) {
        for begun in self.begun.values_mut() {
            let Some(number) = begun.slot else { continue };
            let keys = polled.messages.iter().filter(|message| message.slot == number);
            let keys = keys.filter_map(|message| std::str::from_utf8(message.key.as_deref()?).ok());
            begun.topics.extend(keys.map(str::to_owned));
            if polled.ends.iter().any(|(slot, _)| *slot == number) {
                begun.slot = None;
                self.readers_in_doubt |= self.restorer.unassign(number).is_err();
            }
        }
    }

    /// Forgets what is known of a group that is another's from now on.
    pub fn forget_begun(&mut self, partition: u32) {
        let reading = self.begun.remove(&partition).and_then(|begun| begun.slot);
        if let Some(number) = reading {
            self.readers_in_doubt |= self.restorer.unassign(number).is_err();
        }
    }
}

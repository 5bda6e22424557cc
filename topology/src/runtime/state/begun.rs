//! Which inputs the application has begun to read, whatever the group says.
//!
//! A broker forgets the offsets of a group that was away for a week, and those of a topic that is deleted. An input without an
//! offset then looks like one that was never read, and read from the start, each of its records would count twice. So the
//! transaction that commits an offset of an input for the first time also writes a record into a compacted topic of the
//! application's own: in the partition of its task group, under the name of the input topic, with that topic's id as the value.
//! Where the group has no offset for an input, the partition is read before the task goes on.

use std::collections::{BTreeMap, HashMap};

use broker::{BrokerError, Committed, Message, Outgoing, Start, TopicPartition, TransactionalProducer};
use clock::Millis;

use super::StateManager;
use super::replay::{Outcome, Replay, Sink};
use crate::error::{EngineError, StoreError};
use crate::runtime::parts::Parts;
use crate::runtime::plan::Plan;

/// Input topics of which an offset was committed at some time, with the ids that they had then; empty where the broker gave none.
#[derive(Default)]
struct Topics(BTreeMap<String, String>);

impl Sink for Topics {
    fn take(&mut self, _: usize, messages: &[Message], _: i64) -> Result<(), StoreError> {
        let text = |bytes: Option<&[u8]>| std::str::from_utf8(bytes.unwrap_or_default()).map(str::to_owned).ok();
        let topics = messages.iter().filter(|message| message.key.is_some());
        let topics = topics.filter_map(|message| {
            let id = text(message.value.as_deref()).unwrap_or_default();
            Some((text(message.key.as_deref())?, id))
        });
        self.0.extend(topics);
        Ok(())
    }
}

/// What is known of the inputs of a task group.
enum Begun {
    BeingRead { replay: Replay<Topics>, asked_at_ms: Millis },
    Read(BTreeMap<String, String>),
}

/// Which inputs were begun, of a worker's task groups.
#[derive(Default)]
pub(crate) struct BegunInputs {
    /// By group, where it has lost an offset or never had one.
    groups: BTreeMap<u32, Begun>,
    /// Inputs of which this worker has written that they are begun, with their topics' ids.
    recorded: HashMap<TopicPartition, String>,
}

impl BegunInputs {
    /// Writes which of these inputs are begun, as far as this worker has not written it before. Returns those.
    pub fn send(
        &self,
        offsets: &[(TopicPartition, Committed)],
        parts: &Parts,
        producer: &mut dyn TransactionalProducer,
    ) -> Result<Vec<(TopicPartition, String)>, BrokerError> {
        let id_of = |input: &TopicPartition| parts.plan.topic_ids.get(&*input.topic).map_or("", String::as_str);
        let inputs = offsets.iter().map(|(input, _)| input);
        let new = inputs.filter(|input| self.recorded.get(*input).is_none_or(|id| id != id_of(input)));
        let new: Vec<_> = new.map(|input| (input.clone(), id_of(input).to_owned())).collect();
        if new.is_empty() {
            return Ok(new);
        }
        let topic = parts.topology.inputs_topic();
        for (input, id) in &new {
            producer.send(Outgoing {
                topic: &topic,
                partition: Some(input.partition),
                key: Some(input.topic.as_bytes()),
                value: Some(id.as_bytes()),
                timestamp_ms: parts.clock.now_ms().0,
                headers: &[],
            })?;
        }
        Ok(new)
    }

    /// These were written with a transaction that has committed.
    pub fn committed(&mut self, inputs: Vec<(TopicPartition, String)>) {
        for (input, id) in &inputs {
            if let Some(Begun::Read(topics)) = self.groups.get_mut(&input.partition) {
                topics.insert(input.topic.to_string(), id.clone());
            }
        }
        self.recorded.extend(inputs);
    }

    /// Whether an input was begun; `None` where nothing is known of any of its group: the state is that of a version which kept no such
    /// records, or nothing was processed yet.
    pub fn has(&self, group: u32, topic: &str) -> Option<bool> {
        let knows = matches!(self.groups.get(&group), Some(Begun::Read(topics)) if !topics.is_empty());
        match self.id_of(group, topic) {
            Some(_) => Some(true),
            None => knows.then_some(false),
        }
    }

    /// Whether what was begun of an input is another topic than the one that is read under its name.
    pub fn was_another(&self, group: u32, topic: &str, plan: &Plan) -> bool {
        plan.is_another(topic, self.id_of(group, topic).filter(|id| !id.is_empty()))
    }

    /// The id that an input's topic had when it was last begun; empty where the broker gave none.
    fn id_of(&self, group: u32, topic: &str) -> Option<&String> {
        let read = || match self.groups.get(&group) {
            Some(Begun::Read(topics)) => topics.get(topic),
            _ => None,
        };
        self.recorded.get(&TopicPartition::new(topic, group)).or_else(read)
    }

    /// Whether it is known which inputs of a group were begun. Where it is not, that is read from now on.
    pub fn knows(&mut self, group: u32, parts: &Parts, state: &StateManager) -> bool {
        let begun = self.groups.entry(group).or_insert_with(|| {
            let place = TopicPartition::new(parts.topology.inputs_topic(), group);
            Begun::BeingRead {
                replay: state.replay(vec![(place, Start::Earliest)], Topics::default()),
                asked_at_ms: parts.clock.now_ms(),
            }
        });
        matches!(begun, Begun::Read(_))
    }

    /// Whether the inputs of a group are being read.
    pub fn reads(&self, group: u32) -> bool {
        matches!(self.groups.get(&group), Some(Begun::BeingRead { .. }))
    }

    /// Takes what has been read to its end. Returns whether anything was.
    pub fn advance(&mut self) -> Result<bool, EngineError> {
        let mut progress = false;
        let groups: Vec<u32> = self.groups.keys().copied().collect();
        for group in groups {
            let Some(Begun::BeingRead { replay, .. }) = self.groups.get(&group) else {
                continue;
            };
            let Some(outcome) = replay.outcome() else { continue };
            progress = true;
            let Some(Begun::BeingRead { replay, .. }) = self.groups.remove(&group) else {
                continue;
            };
            match outcome {
                Outcome::Done => {
                    self.groups.insert(group, Begun::Read(replay.take_back().0));
                }
                // It is read again when it is asked for again.
                Outcome::OutOfRange(_) => {}
                Outcome::Failed(error) => return Err(error),
            }
        }
        Ok(progress)
    }

    /// Says what has been read since before this time, if anything has.
    pub fn stuck(&self, before_ms: Millis, parts: &Parts) -> Option<String> {
        let is_stuck = |begun: &Begun| matches!(begun, Begun::BeingRead { asked_at_ms, .. } if *asked_at_ms < before_ms);
        let (partition, _) = self.groups.iter().find(|(_, begun)| is_stuck(begun))?;
        let topic = parts.topology.inputs_topic();
        Some(format!(
            "{topic}-{partition}, which says what inputs were begun, does not come to its end: is a transaction hanging there? \
             (kafka-transactions.sh find-hanging)"
        ))
    }

    /// Forgets what is known of a group that is another's from now on.
    pub fn forget(&mut self, group: u32) {
        self.groups.remove(&group);
        self.recorded.retain(|input, _| input.partition != group);
    }
}

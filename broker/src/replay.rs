//! Reads whole topics, each record once: to the end, and then what has been added.

use std::time::{Duration, Instant};

use crate::port::{Broker, BrokerError, Message, Polled, Reader, Start, TopicPartition};

const POLL_RECORDS: usize = 10_000;
const POLL: Duration = Duration::from_millis(100);

/// All partitions of a topic, in their order; none where there is no such topic.
pub fn partitions_of(broker: &dyn Broker, topic: &str, timeout: Duration) -> Result<Vec<TopicPartition>, BrokerError> {
    let count = broker.partitions(topic, timeout)?.unwrap_or(0);
    Ok((0..count).map(|partition| TopicPartition::new(topic, partition)).collect())
}

/// Some partitions, from their first record on.
pub struct Replay {
    reader: Box<dyn Reader>,
    /// By slot.
    partitions: Vec<Option<TopicPartition>>,
    /// Partitions whose end has not come yet.
    unended: Vec<u32>,
}

impl Replay {
    /// Begins at the first record of each of these partitions.
    pub fn of(broker: &dyn Broker, client_id: &str, partitions: &[TopicPartition]) -> Result<Self, BrokerError> {
        let mut replay = Self {
            reader: broker.reader(client_id)?,
            partitions: Vec::new(),
            unended: Vec::new(),
        };
        for partition in partitions {
            let slot = replay.reader.assign(partition, Start::Earliest)?;
            let index = slot as usize;
            if replay.partitions.len() <= index {
                replay.partitions.resize(index + 1, None);
            }
            replay.partitions[index] = Some(partition.clone());
            replay.unended.push(slot);
        }
        Ok(replay)
    }

    /// Shows every committed record up to the end of each partition: none is missed whose commit had returned before. Fails
    /// where for so long neither a record nor an end comes: the broker is away, or a transaction was left open.
    pub fn to_the_end<E: From<BrokerError>>(
        &mut self,
        patience: Duration,
        mut show: impl FnMut(&TopicPartition, Message) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut progress = Instant::now();
        while !self.unended.is_empty() {
            if self.poll(POLL, &mut show)? {
                progress = Instant::now();
            } else if progress.elapsed() > patience {
                return Err(self.stuck().into());
            }
        }
        Ok(())
    }

    /// Shows what is there that was not shown before, without waiting.
    pub fn follow<E: From<BrokerError>>(
        &mut self,
        mut show: impl FnMut(&TopicPartition, Message) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.poll(Duration::ZERO, &mut show)? {}
        Ok(())
    }

    /// Whether anything came.
    fn poll<E: From<BrokerError>>(
        &mut self,
        wait: Duration,
        show: &mut impl FnMut(&TopicPartition, Message) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut polled = Polled::default();
        self.reader.poll(POLL_RECORDS, wait, &mut polled)?;
        self.unended.retain(|slot| polled.ends.iter().all(|(ended, _)| ended != slot));
        let came = !polled.messages.is_empty() || !polled.ends.is_empty();
        for message in polled.messages {
            if let Some(Some(partition)) = self.partitions.get(message.slot as usize) {
                show(partition, message)?;
            }
        }
        Ok(came)
    }

    fn stuck(&self) -> BrokerError {
        let waiting = self
            .unended
            .iter()
            .filter_map(|slot| self.partitions.get(*slot as usize)?.as_ref());
        let waiting: Vec<String> = waiting.map(ToString::to_string).collect();
        let waiting = waiting.join(", ");
        BrokerError::Unavailable(match self.reader.trouble() {
            Some(trouble) => format!("the end of {waiting} does not come: {trouble}"),
            None => format!("the end of {waiting} does not come: is a transaction left open there?"),
        })
    }
}

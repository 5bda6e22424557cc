//! What a task's records write: to topics, and in packs to repartition topics or straight to the tasks that read them.

use std::collections::BTreeMap;

use broker::{Outgoing, TransactionalProducer, partition_for_key};
use bytes::Bytes;
use clock::Millis;

use super::pack::Pack;
use crate::error::EngineError;
use crate::graph::{SubTopology, Topology};
use crate::headers;
use crate::node::Outgoings;
use crate::record::RecordMetadata;

/// What a dead letter has of its reason, in bytes: a panic may say anything.
const REASON_MAX: usize = 4_096;

/// A pack on its way to a task of the same worker.
pub(crate) struct Handed {
    pub topic: &'static str,
    pub partition: u32,
    pub pack: Bytes,
    pub records: u32,
    pub newest_ms: Millis,
}

/// Records on their way to a partition of a repartition topic.
#[derive(Default)]
struct Lane {
    pack: Pack,
    in_memory: bool,
}

pub(super) struct Outbox {
    /// By repartition topic that the task writes to, and partition.
    lanes: Vec<(&'static str, Vec<Lane>)>,
    handed: Vec<Handed>,
    dead_letter_topic: String,
    application: String,
    /// The task's own, where records go on that have no key.
    partition: u32,
}

impl Outbox {
    pub fn new(topology: &Topology, sub: &SubTopology, partition: u32, source_partitions: &BTreeMap<&'static str, u32>) -> Self {
        let lanes = topology.repartition_topics_of(sub).map(|(topic, _)| {
            let lanes = std::iter::repeat_with(Lane::default);
            (topic, lanes.take(source_partitions[topic] as usize).collect())
        });
        Self {
            lanes: lanes.collect(),
            handed: Vec::new(),
            dead_letter_topic: topology.dead_letter_topic(),
            application: topology.application.clone(),
            partition,
        }
    }

    /// Sends what a record wrote.
    pub fn send(&mut self, out: &mut Outgoings, producer: &mut dyn TransactionalProducer) -> Result<(), EngineError> {
        let mut start = 0;
        for entry in &out.entries {
            let end = entry.value_end.unwrap_or(entry.key_end);
            let headers = entry.headers_end.map(|headers_end| &out.arena[end..headers_end]);
            let key = entry.has_key.then_some(&out.arena[start..entry.key_end]);
            let value = entry.value_end.map(|end| &out.arena[entry.key_end..end]);
            start = entry.headers_end.unwrap_or(end);
            if let Some((topic, lanes)) = self.lanes.iter_mut().find(|(topic, _)| *topic == entry.topic) {
                let lanes_len = lanes.len() as u32;
                let partitions = if entry.to_all {
                    0..lanes_len
                } else {
                    let partition = key.map_or(self.partition % lanes_len, |key| partition_for_key(key, lanes_len));
                    partition..partition + 1
                };
                for partition in partitions {
                    let lane = &mut lanes[partition as usize];
                    if !lane.pack.takes(headers.is_some()) {
                        lane.send(topic, partition, &mut self.handed, producer)?;
                    }
                    lane.pack.push(entry.timestamp_ms.0, key, value, headers);
                    if lane.pack.is_full() {
                        lane.send(topic, partition, &mut self.handed, producer)?;
                    }
                }
                continue;
            }
            let headers: Vec<_> = headers.into_iter().flat_map(headers::parts).collect();
            producer.send(Outgoing {
                topic: entry.topic,
                partition: None,
                key,
                value,
                timestamp_ms: entry.timestamp_ms.0,
                headers: &headers,
            })?;
        }
        out.clear();
        Ok(())
    }

    /// Sends the packs that are not full, too.
    pub fn send_packs(&mut self, producer: &mut dyn TransactionalProducer) -> Result<(), EngineError> {
        for (topic, lanes) in &mut self.lanes {
            for (partition, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.pack.is_empty()) {
                lane.send(topic, partition as u32, &mut self.handed, producer)?;
            }
        }
        Ok(())
    }

    /// Says which way a partition's records take from now on. To be called between [`Outbox::send_packs`] and the next record.
    pub fn direct(&mut self, topic: &str, partition: u32, in_memory: bool) {
        if let Some((_, lanes)) = self.lanes.iter_mut().find(|(name, _)| *name == topic) {
            lanes[partition as usize].in_memory = in_memory;
        }
    }

    /// All records go through their topics from now on.
    pub fn direct_all_to_topics(&mut self) {
        let lanes = self.lanes.iter_mut().flat_map(|(_, lanes)| lanes);
        lanes.for_each(|lane| lane.in_memory = false);
    }

    /// Takes what is to be handed over.
    pub fn take_handed(&mut self) -> std::vec::Drain<'_, Handed> {
        self.handed.drain(..)
    }

    /// Forgets what is not sent.
    pub fn clear(&mut self) {
        self.lanes
            .iter_mut()
            .flat_map(|(_, lanes)| lanes)
            .for_each(|lane| lane.pack.clear());
        self.handed.clear();
    }

    /// Sends a record to the dead-letter topic. `offset` is the log's.
    pub fn send_dead_letter(
        &self,
        at: &RecordMetadata,
        offset: i64,
        reason: &str,
        with_bytes: bool,
        producer: &mut dyn TransactionalProducer,
    ) -> Result<(), EngineError> {
        // The header names are those of Kafka Streams' own dead-letter queue (KIP-1034).
        let (partition, offset) = (at.partition.to_string(), offset.to_string());
        let own = [
            (
                "__streams.errors.message",
                &reason.as_bytes()[..reason.floor_char_boundary(REASON_MAX)],
            ),
            ("__streams.errors.topic", at.topic.as_bytes()),
            ("__streams.errors.partition", partition.as_bytes()),
            ("__streams.errors.offset", offset.as_bytes()),
            ("__streams.errors.application", self.application.as_bytes()),
        ];
        // Its own headers may be needed to read it: they can name its schema.
        let its = at.headers.iter();
        let its = its.map(|(name, value)| (name.as_str(), value.as_deref()));
        let omitted = [(
            "__streams.errors.bytes.omitted",
            "the dead letter with them was refused".as_bytes(),
        )];
        let present = |(name, value): (&'static str, _)| (name, Some(value));
        let own = own.into_iter().map(present);
        let headers: Vec<(&str, Option<&[u8]>)> = if with_bytes {
            its.chain(own).collect()
        } else {
            own.chain(omitted.into_iter().map(present)).collect()
        };
        producer.send(Outgoing {
            topic: &self.dead_letter_topic,
            partition: None,
            key: at.key.as_deref().filter(|_| with_bytes),
            value: at.value.as_deref().filter(|_| with_bytes),
            timestamp_ms: at.timestamp_ms.0,
            headers: &headers,
        })?;
        Ok(())
    }
}

impl Lane {
    fn send(
        &mut self,
        topic: &'static str,
        partition: u32,
        handed: &mut Vec<Handed>,
        producer: &mut dyn TransactionalProducer,
    ) -> Result<(), EngineError> {
        if self.in_memory {
            handed.push(Handed {
                topic,
                partition,
                records: self.pack.count(),
                newest_ms: Millis(self.pack.newest_ms),
                pack: Bytes::copy_from_slice(self.pack.finish()),
            });
            self.pack.clear();
            return Ok(());
        }
        send_pack(topic, partition, &mut self.pack, producer)
    }
}

/// Sends a pack to a repartition topic.
pub(super) fn send_pack(
    topic: &str,
    partition: u32,
    pack: &mut Pack,
    producer: &mut dyn TransactionalProducer,
) -> Result<(), EngineError> {
    let timestamp_ms = Millis(pack.newest_ms);
    send_packed(topic, partition, pack.finish(), timestamp_ms, producer)?;
    pack.clear();
    Ok(())
}

/// Sends the bytes of a pack to a repartition topic.
pub(super) fn send_packed(
    topic: &str,
    partition: u32,
    pack: &[u8],
    timestamp_ms: Millis,
    producer: &mut dyn TransactionalProducer,
) -> Result<(), EngineError> {
    producer.send(Outgoing {
        topic,
        partition: Some(partition),
        key: None,
        value: Some(pack),
        timestamp_ms: timestamp_ms.0,
        headers: &[],
    })?;
    Ok(())
}

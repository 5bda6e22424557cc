//! Records that are taken from one log to another as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use broker::{Broker, Message, Outgoing, Polled, Start, TopicPartition};

const PATIENCE: Duration = Duration::from_secs(30);

/// Written at once at most.
const BATCH: usize = 50_000;

/// All committed records of a topic, in order within each partition.
pub fn read(broker: &dyn Broker, topic: &str) -> anyhow::Result<Vec<(u32, Message)>> {
    let partitions = broker.partitions(topic, PATIENCE)?;
    let partitions = partitions.with_context(|| format!("there is no topic {topic}"))?;
    let mut reader = broker.reader("copy")?;
    let mut open = BTreeMap::new();
    for partition in 0..partitions {
        open.insert(
            reader.assign(&TopicPartition::new(topic, partition), Start::Earliest)?,
            partition,
        );
    }
    let (mut all, mut polled, mut left) = (Vec::new(), Polled::default(), open.len());
    while left > 0 {
        reader.poll(BATCH, PATIENCE, &mut polled)?;
        if polled.messages.is_empty() && polled.ends.is_empty() {
            bail!("{topic} could not be read to its end");
        }
        left -= polled.ends.drain(..).count();
        for message in polled.messages.drain(..) {
            all.push((open[&message.slot], message));
        }
    }
    let mut first = BTreeMap::new();
    for (partition, message) in &all {
        let offset = *first.entry(*partition).or_insert(message.offset);
        // Behind the first marker of a transaction at most.
        ensure!(offset <= 1, "the beginning of {topic} is gone already");
    }
    Ok(all)
}

/// Writes them to the same partitions, with their timestamps and headers.
pub fn write(broker: &dyn Broker, topic: &str, records: &[(u32, Message)]) -> anyhow::Result<()> {
    let mut producer = broker.producer("copy")?;
    for batch in records.chunks(BATCH) {
        let headers: Vec<_> = batch.iter().map(|(_, message)| headers(message)).collect();
        let outgoing: Vec<_> = batch
            .iter()
            .zip(&headers)
            .map(|((partition, message), headers)| Outgoing {
                topic,
                partition: Some(*partition),
                key: message.key.as_deref(),
                value: message.value.as_deref(),
                timestamp_ms: message.timestamp_ms,
                headers,
            })
            .collect();
        producer.send_all(&outgoing)?;
    }
    Ok(())
}

fn headers(message: &Message) -> Vec<(&str, Option<&[u8]>)> {
    let headers = message.headers.iter();
    headers.map(|(name, value)| (name.as_str(), value.as_deref())).collect()
}

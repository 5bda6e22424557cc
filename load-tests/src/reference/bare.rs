//! The baseline: the reference work as a loop over the same Kafka client, with a hash map for a store.
//!
//! It keeps no changelog, restores nothing and cannot share its work: what it costs is what no engine can go below by much.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use broker::{Broker, CleanupPolicy, Committed, GroupOptions, Outgoing, Polled, Start, TopicPartition, TopicSpec};
use hashbrown::HashMap;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::sync::Arc;
use wire::{Codec, Registry, Wire};

use super::program::{OneSchema, Program};
use super::work::{Balance, Change, Posting, booked, postings};
use crate::process::block_signals;

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs until SIGTERM.
pub fn run(program: &Program) -> anyhow::Result<()> {
    let stop = SignalFd::with_flags(&block_signals()?, SfdFlags::SFD_NONBLOCK)?;
    let schema = std::fs::read_to_string(&program.schema_file).context("reading the schema")?;
    let registry: Arc<dyn Registry> = Arc::new(OneSchema::new(&schema));
    let changes = Codec::reader(registry.clone());
    let repartition = format!("{}-postings-repartition", program.application_id);
    let posting_codec = Codec::register::<Posting>(registry.clone(), "postings")?;
    let balance_codec = Codec::register::<Balance>(registry, "balances")?;
    let broker = program.broker();
    let own = |name: &str, cleanup| TopicSpec {
        name: name.to_owned(),
        partitions: program.partitions,
        accept_existing: true,
        cleanup,
    };
    broker.ensure_topics(
        &[
            own(&repartition, CleanupPolicy::Delete(None)),
            own(&program.output, CleanupPolicy::Compact),
        ],
        PATIENCE,
    )?;
    let mut group = broker.group(GroupOptions {
        group: program.application_id.clone(),
        topics: vec![program.input.clone()],
        client_id: "bare".to_owned(),
        member: None,
        session_timeout: Duration::from_secs(6),
    })?;
    let mut reader = broker.reader("bare")?;
    let mut producer = broker.transactional_producer(&program.application_id, PATIENCE)?;
    let mut inputs = Vec::new();
    for topic in [&program.input, &repartition] {
        for partition in 0..program.partitions {
            let place = TopicPartition::new(topic.as_str(), partition);
            let slot = reader.assign(&place, Start::Earliest)?;
            inputs.resize(inputs.len().max(slot as usize + 1), None);
            inputs[slot as usize] = Some((place, topic == &program.input, -1_i64));
        }
    }
    let mut balances: HashMap<i64, Balance> = HashMap::new();
    let mut polled = Polled::default();
    let mut out = Vec::new();
    let mut open: Option<Instant> = None;
    while stop.read_signal()?.is_none() {
        if let Some(step) = group.poll(Duration::ZERO)? {
            group.complete(&step)?;
        }
        polled.messages.clear();
        polled.ends.clear();
        reader.poll(
            10_000,
            Duration::from_millis(if open.is_some() { 0 } else { 50 }),
            &mut polled,
        )?;
        for message in &polled.messages {
            let (_, is_change, next) = inputs[message.slot as usize].as_mut().context("a slot of ours")?;
            *next = message.offset + 1;
            let Some(value) = &message.value else { continue };
            if open.is_none() {
                producer.begin()?;
                open = Some(Instant::now());
            }
            let mut send = |topic: &str, key: i64, value: &[u8]| {
                producer.send(Outgoing {
                    topic,
                    partition: None,
                    key: Some(&key.to_be_bytes()),
                    value: Some(value),
                    timestamp_ms: message.timestamp_ms,
                    headers: &[],
                })
            };
            out.clear();
            if *is_change {
                for posting in postings(&Change::decode(value, &changes)?) {
                    out.clear();
                    posting.encode(&posting_codec, &mut out)?;
                    send(&repartition, posting.account_id, &out)?;
                }
            } else {
                let posting = Posting::decode(value, &posting_codec)?;
                let before = balances.get(&posting.account_id).copied();
                let balance = booked(before, &posting)?;
                balances.insert(posting.account_id, balance);
                balance.encode(&balance_codec, &mut out)?;
                send(&program.output, posting.account_id, &out)?;
            }
        }
        producer.service()?;
        let is_due =
            |since: Instant| polled.messages.is_empty() || since.elapsed() >= Duration::from_millis(program.commit_interval_ms);
        if open.is_some_and(is_due) && !group.assignment().is_empty() {
            let offsets: Vec<_> = inputs
                .iter()
                .flatten()
                .filter(|(.., next)| *next >= 0)
                .map(|(place, _, next)| {
                    let committed = Committed {
                        offset: *next,
                        metadata: String::new(),
                    };
                    (place.clone(), committed)
                })
                .collect();
            producer.commit(&offsets, &group.membership()?)?;
            open = None;
        }
    }
    group.leave()?;
    Ok(())
}

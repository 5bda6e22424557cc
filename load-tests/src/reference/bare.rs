//! The baselines: loops over the same Kafka client, without an engine.
//!
//! The bare loop does the reference work with a hash map for a store: no changelog, no restore, no sharing of work. The client
//! alone does no work at all, but fetches every change and sends about as many records in transactions as the work would: what
//! a plain loop pays for every update and a changelog as records of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use broker::{
    Broker, CleanupPolicy, Committed, GroupOptions, Message, Outgoing, Polled, Start, TopicPartition, TopicSpec,
    TransactionalProducer,
};
use hashbrown::HashMap;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use wire::{Codec, Registry, Wire};

use super::program::{OneSchema, Program};
use super::work::{Balance, Change, Posting, booked, postings};
use crate::process::block_signals;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a loop does with what it reads.
trait Work {
    /// The topics that it reads.
    fn inputs(&self) -> Vec<String>;
    /// The topics that are made for it.
    fn topics(&self) -> Vec<(String, CleanupPolicy)>;
    fn process(
        &mut self,
        from: &TopicPartition,
        message: &Message,
        producer: &mut dyn TransactionalProducer,
    ) -> anyhow::Result<()>;
}

/// The reference work.
struct Bare {
    input: String,
    repartition: String,
    output: String,
    changes: Codec,
    posting_codec: Codec,
    balance_codec: Codec,
    balances: HashMap<i64, Balance>,
    bytes: Vec<u8>,
}

impl Work for Bare {
    fn inputs(&self) -> Vec<String> {
        vec![self.input.clone(), self.repartition.clone()]
    }

    fn topics(&self) -> Vec<(String, CleanupPolicy)> {
        vec![
            (self.repartition.clone(), CleanupPolicy::Delete(None)),
            (self.output.clone(), CleanupPolicy::Compact),
        ]
    }

    fn process(
        &mut self,
        from: &TopicPartition,
        message: &Message,
        producer: &mut dyn TransactionalProducer,
    ) -> anyhow::Result<()> {
        let Some(value) = &message.value else { return Ok(()) };
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
        self.bytes.clear();
        if *from.topic == *self.input {
            for posting in postings(&Change::decode(value, &self.changes)?) {
                self.bytes.clear();
                posting.encode(&self.posting_codec, &mut self.bytes)?;
                send(&self.repartition, posting.account_id, &self.bytes)?;
            }
        } else {
            let posting = Posting::decode(value, &self.posting_codec)?;
            let before = self.balances.get(&posting.account_id).copied();
            let balance = booked(before, &posting)?;
            self.balances.insert(posting.account_id, balance);
            balance.encode(&self.balance_codec, &mut self.bytes)?;
            send(&self.output, posting.account_id, &self.bytes)?;
        }
        Ok(())
    }
}

/// Two records of a balance's size for each change: an output, and one for a changelog, whose partition is known.
struct ClientOnly {
    input: String,
    output: String,
    changelog: String,
}

impl Work for ClientOnly {
    fn inputs(&self) -> Vec<String> {
        vec![self.input.clone()]
    }

    fn topics(&self) -> Vec<(String, CleanupPolicy)> {
        let compacted = [&self.output, &self.changelog];
        compacted.map(|topic| (topic.clone(), CleanupPolicy::Compact)).to_vec()
    }

    fn process(
        &mut self,
        from: &TopicPartition,
        message: &Message,
        producer: &mut dyn TransactionalProducer,
    ) -> anyhow::Result<()> {
        // As hard to compress as balances are: neighbours have little in common.
        let mixed = (message.offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let key = (mixed % 100_000).to_be_bytes();
        let mut value = [0; 15];
        value[5..13].copy_from_slice(&mixed.to_be_bytes());
        for (topic, partition) in [(&self.output, None), (&self.changelog, Some(from.partition))] {
            producer.send(Outgoing {
                topic,
                partition,
                key: Some(&key),
                value: Some(&value),
                timestamp_ms: message.timestamp_ms,
                headers: &[],
            })?;
        }
        Ok(())
    }
}

/// The bare loop, until SIGTERM.
pub fn run(program: &Program) -> anyhow::Result<()> {
    let schema = std::fs::read_to_string(&program.schema_file).context("reading the schema")?;
    let registry: Arc<dyn Registry> = Arc::new(OneSchema::new(&schema));
    let work = Bare {
        input: program.input.clone(),
        repartition: format!("{}-postings-repartition", program.application_id),
        output: program.output.clone(),
        changes: Codec::reader(registry.clone()),
        posting_codec: Codec::register::<Posting>(registry.clone(), "postings")?,
        balance_codec: Codec::register::<Balance>(registry, "balances")?,
        balances: HashMap::new(),
        bytes: Vec::new(),
    };
    run_loop(program, work)
}

/// The client alone, until SIGTERM.
pub fn run_client_only(program: &Program) -> anyhow::Result<()> {
    let work = ClientOnly {
        input: program.input.clone(),
        output: program.output.clone(),
        changelog: format!("{}-changelog", program.application_id),
    };
    run_loop(program, work)
}

fn run_loop(program: &Program, mut work: impl Work) -> anyhow::Result<()> {
    let stop = SignalFd::with_flags(&block_signals()?, SfdFlags::SFD_NONBLOCK)?;
    let broker = program.broker();
    let own = |(name, cleanup)| TopicSpec {
        name,
        partitions: program.partitions,
        accept_existing: true,
        cleanup,
        settings: broker::TopicSettings::default(),
    };
    let topics: Vec<TopicSpec> = work.topics().into_iter().map(own).collect();
    broker.ensure_topics(&topics, PATIENCE)?;
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
    for topic in work.inputs() {
        for partition in 0..program.partitions {
            let place = TopicPartition::new(topic.as_str(), partition);
            let slot = reader.assign(&place, Start::Earliest)?;
            inputs.resize(inputs.len().max(slot as usize + 1), None);
            inputs[slot as usize] = Some((place, -1_i64));
        }
    }
    let mut polled = Polled::default();
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
            let (place, next) = inputs[message.slot as usize].as_mut().context("a slot of ours")?;
            *next = message.offset + 1;
            if open.is_none() {
                producer.begin()?;
                open = Some(Instant::now());
            }
            work.process(place, message, producer.as_mut())?;
        }
        producer.service()?;
        let is_due =
            |since: Instant| polled.messages.is_empty() || since.elapsed() >= Duration::from_millis(program.commit_interval_ms);
        if open.is_some_and(is_due) && !group.assignment().is_empty() {
            let offsets: Vec<_> = inputs
                .iter()
                .flatten()
                .filter(|(_, next)| *next >= 0)
                .map(|(place, next)| {
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

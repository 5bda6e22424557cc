//! State that an earlier version wrote, taken over before the engine starts.
//!
//! Earlier versions kept the rows of a table and the LSNs of its deletes in stores of as many partitions as the source's topics had.
//! Today each table has one store, of one partition, with all that an event is judged by. What is in the old stores' changelogs is
//! written to the new ones, once; balances, waiting legs and the group's offsets stay as they are, so nothing is processed twice.
//!
//! Several instances may start at the same time: each takes over the same transactional id, which fences the one before, and the
//! record that says "done" is part of the last transaction. So one of them completes it, and the others see that it is done.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail};
use broker::{Broker, CleanupPolicy, Membership, Message, Outgoing, Replay, TopicSpec, TransactionalProducer, partitions_of};
use bytes::Bytes;
use processors::{APPLICATION, stores};
use schemas::silver::{Account, Customer, Transaction};
use schemas::state::{Applied, SourcePosition};
use schemas::topics::{ACCOUNT_BALANCES, ACCOUNT_DAILY, BANK_DAILY, CUSTOMER_POSITIONS, TRANSACTION_FACTS, TRANSACTION_MINUTES};
use topology::clock::{Clock, Micros, Millis};
use topology::store::{KeyValue, StoreKey};
use wire::{Codec, Wire};

use crate::open::log::Log;

const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a topic's end may stay away without a record: a transaction that nobody ended hides it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Instances announce themselves every few seconds.
const SILENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);
/// Records of one transaction.
const RECORDS_MAX: usize = 10_000;
/// The layout of today.
const LAYOUT: i64 = 2;

/// Takes over what an earlier version left, if it left anything. Blocks.
pub fn take_over(log: &Log, clock: &dyn Clock) -> anyhow::Result<()> {
    let broker = &*log.broker;
    let old = |store: &str| format!("{APPLICATION}-{store}-changelog");
    if broker.partitions(&old("transactions"), TIMEOUT)?.is_none() {
        return Ok(());
    }
    broker.ensure_topics(&[compacted(&layout_topic())], TIMEOUT)?;
    if layout(broker)? >= LAYOUT {
        return Ok(());
    }
    tracing::warn!("an earlier version wrote the state: taking it over as soon as no instance of that version runs any more");
    until_others_are_silent(broker, clock)?;
    let producer = broker.transactional_producer(&layout_topic(), TIMEOUT)?;
    if layout(broker)? >= LAYOUT {
        return Ok(());
    }
    let mut posted = HashMap::new();
    read(broker, &old("posted"), |partition, message| {
        if let Some(key) = message.key {
            match message.value {
                Some(_) => posted.insert(key, partition),
                None => posted.remove(&key),
            };
        }
        Ok(())
    })?;
    let mut upgrade = Upgrade {
        log,
        now_ms: clock.now_ms(),
        posted,
        producer,
        waiting: 0,
    };
    let customers = upgrade.table(
        stores::CUSTOMERS,
        &old("customers"),
        &old("deleted-customers"),
        |c: &Customer| (c.source_lsn, c.source_ts),
    )?;
    let accounts = upgrade.table(stores::ACCOUNTS, &old("accounts"), &old("deleted-accounts"), |a: &Account| {
        (a.source_lsn, a.source_ts)
    })?;
    let transactions = upgrade.table(
        stores::TRANSACTIONS,
        &old("transactions"),
        &old("deleted-transactions"),
        |t: &Transaction| (t.source_lsn, t.source_ts),
    )?;
    upgrade.copy(stores::POSTED, &old("posted"))?;
    upgrade.done()?;
    tracing::warn!(
        customers,
        accounts,
        transactions,
        "the state of the earlier version is taken over; its changelogs ({}, …) are no longer used and may be deleted",
        old("transactions")
    );
    Ok(())
}

/// Tables that are made of all that has happened, with the versions that follow those without them.
const OF_ALL: [&str; 5] = [
    CUSTOMER_POSITIONS.name(),
    ACCOUNT_DAILY.name(),
    BANK_DAILY.name(),
    TRANSACTION_FACTS.name(),
    TRANSACTION_MINUTES.name(),
];

/// Refuses to begin such tables in the middle: what an earlier version has processed would be missing in tables that it did not have, and their figures
/// would look right. `from_now_on`: the operator wants them so.
pub fn check_gold(broker: &dyn Broker, from_now_on: bool) -> anyhow::Result<()> {
    let counts = broker.partition_counts(&OF_ALL, TIMEOUT)?;
    let missing: Vec<&str> = OF_ALL
        .into_iter()
        .zip(counts)
        .filter_map(|(topic, count)| count.is_none().then_some(topic))
        .collect();
    if missing.is_empty() || !has_records(broker, ACCOUNT_BALANCES.name())? {
        return Ok(());
    }
    let missing = missing.join(", ");
    if from_now_on {
        tracing::warn!("{missing}: they begin with what changes from now on, as engine.gold_from_now_on says");
        return Ok(());
    }
    bail!(
        "{missing}: an earlier version processed without them, and they are made of all that ever happened. Begin anew from the source's topics, or \
         set engine.gold_from_now_on to have them begin with what changes from now on (docs/runbooks/gold.md)"
    )
}

fn has_records(broker: &dyn Broker, topic: &str) -> anyhow::Result<bool> {
    if broker.partitions(topic, TIMEOUT)?.is_none() {
        return Ok(false);
    }
    let mut reader = broker.reader("upgrade")?;
    for partition in partitions_of(broker, topic, TIMEOUT)? {
        if reader.bounds(&partition, TIMEOUT)?.1 > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits until no instance has announced itself for a while: what it still processed would be missing in what is taken over.
fn until_others_are_silent(broker: &dyn Broker, clock: &dyn Clock) -> anyhow::Result<()> {
    let topic = format!("{APPLICATION}-instances");
    loop {
        let mut newest = None;
        read(broker, &topic, |_, message| {
            newest = newest.max(message.value.is_some().then_some(message.timestamp_ms));
            Ok(())
        })?;
        match newest.map(|at_ms| clock.now_ms().since(Millis(at_ms))) {
            Some(age) if age < SILENCE => {
                tracing::warn!(
                    age_ms = age.as_millis() as u64,
                    "an instance still announces itself, or did until just now: waiting for its end"
                );
                std::thread::sleep(PAUSE);
            }
            _ => return Ok(()),
        }
    }
}

fn layout_topic() -> String {
    format!("{APPLICATION}-layout")
}

fn compacted(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        accept_existing: false,
        cleanup: CleanupPolicy::Compact,
        settings: broker::TopicSettings::default(),
    }
}

/// The layout that was last completed.
fn layout(broker: &dyn Broker) -> anyhow::Result<i64> {
    let mut layout = 1;
    read(broker, &layout_topic(), |_, message| {
        if let Some(value) = &message.value {
            layout = i64::decode(value, &Codec::plain())?;
        }
        Ok(())
    })?;
    Ok(layout)
}

/// Shows all committed records of a topic, partition by partition.
fn read(broker: &dyn Broker, topic: &str, mut show: impl FnMut(u32, Message) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for partition in partitions_of(broker, topic, TIMEOUT)? {
        Replay::of(broker, "upgrade", &[partition])?.to_the_end(PATIENCE, |of, message| show(of.partition, message))?;
    }
    Ok(())
}

struct Upgrade<'a> {
    log: &'a Log,
    now_ms: Millis,
    /// In which partition a transaction has postings. Rows could lie in several partitions, where the key's schema had changed:
    /// the one that counts is the one whose postings stand.
    posted: HashMap<Bytes, u32>,
    producer: Box<dyn TransactionalProducer>,
    /// Records of the open transaction.
    waiting: usize,
}

impl Upgrade<'_> {
    /// One table: its rows, then its deletes.
    fn table<K, R>(
        &mut self,
        store: KeyValue<K, Applied<R>>,
        rows: &str,
        deleted: &str,
        position: impl Fn(&R) -> (i64, i64),
    ) -> anyhow::Result<usize>
    where
        K: StoreKey,
        R: Wire,
        Applied<R>: Wire,
    {
        let topic = self.prepare(store.name())?;
        let is_of_transactions = store.name() == stores::TRANSACTIONS.name();
        let registry = &self.log.registry;
        let reader = Codec::reader(registry.clone());
        let writer = Codec::register::<Applied<R>>(registry.clone(), &format!("{topic}-value"))?;
        let broker = self.log.broker.clone();
        let describe = |topic: &str| format!("read {topic}, which an earlier version wrote");
        // The rows that are there, with their partition.
        let mut live: HashMap<Bytes, u32> = HashMap::new();
        let mut doubled = 0;
        read(&*broker, rows, |partition, message| {
            let Some(key) = message.key else { return Ok(()) };
            let Some(value) = &message.value else {
                if live.get(&key) == Some(&partition) {
                    live.remove(&key);
                    self.write(&topic, &key, None)?;
                }
                return Ok(());
            };
            doubled += usize::from(live.get(&key).is_some_and(|known| *known != partition));
            if is_of_transactions && self.posted.get(&key).is_some_and(|posted| *posted != partition) {
                return Ok(());
            }
            let row = R::decode(value, &reader)?;
            let (lsn, committed_at) = position(&row);
            let streamed = SourcePosition {
                lsn: Some(lsn),
                committed_at: Micros(committed_at),
            };
            self.applied(&topic, &key, Some(row), streamed, &writer)?;
            live.insert(key, partition);
            Ok(())
        })
        .with_context(|| describe(rows))?;
        if doubled > 0 {
            tracing::warn!(
                doubled,
                topic = rows,
                "rows lay in several partitions, since their keys' schema had changed: repair them with an incremental snapshot"
            );
        }
        let mut gone = HashMap::new();
        read(&*broker, deleted, |_, message| {
            if let Some(key) = message.key {
                match &message.value {
                    Some(value) => gone.insert(key, i64::decode(value, &reader)?),
                    None => gone.remove(&key),
                };
            }
            Ok(())
        })
        .with_context(|| describe(deleted))?;
        gone.retain(|key, _| !live.contains_key(key));
        for (key, lsn) in gone {
            // The time of the delete was not kept: nothing that was committed before now can be newer.
            let streamed = SourcePosition {
                lsn: Some(lsn),
                committed_at: self.now_ms.to_micros(),
            };
            self.applied::<R>(&topic, &key, None, streamed, &writer)?;
        }
        Ok(live.len())
    }

    fn applied<R>(
        &mut self,
        topic: &str,
        key: &[u8],
        row: Option<R>,
        streamed: SourcePosition,
        writer: &Codec,
    ) -> anyhow::Result<()>
    where
        Applied<R>: Wire,
    {
        let applied = Applied {
            row,
            streamed: Some(streamed),
            ..Applied::default()
        };
        let mut value = Vec::new();
        applied.encode(writer, &mut value)?;
        self.write(topic, key, Some(&value))
    }

    /// A store whose values are as they were.
    fn copy<K, V>(&mut self, store: KeyValue<K, V>, from: &str) -> anyhow::Result<()> {
        let topic = self.prepare(store.name())?;
        let broker = self.log.broker.clone();
        read(&*broker, from, |_, message| match &message.key {
            Some(key) => self.write(&topic, key, message.value.as_deref()),
            None => Ok(()),
        })
        .with_context(|| format!("read {from}, which an earlier version wrote"))
    }

    /// The changelog of a store of today.
    fn prepare(&self, store: &str) -> anyhow::Result<String> {
        let topic = format!("{APPLICATION}-{store}-changelog");
        self.log.broker.ensure_topics(&[compacted(&topic)], TIMEOUT)?;
        Ok(topic)
    }

    fn write(&mut self, topic: &str, key: &[u8], value: Option<&[u8]>) -> anyhow::Result<()> {
        if self.waiting == 0 {
            self.producer.begin()?;
        }
        self.producer.send(Outgoing {
            topic,
            partition: Some(0),
            key: Some(key),
            value,
            timestamp_ms: self.now_ms.0,
            headers: &[],
        })?;
        self.waiting += 1;
        if self.waiting >= RECORDS_MAX {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        self.waiting = 0;
        if let Err(error) = self.producer.commit(&[], &Membership::NoGroup) {
            bail!("the state of an earlier version could not be taken over; start again: {error}");
        }
        Ok(())
    }

    fn done(mut self) -> anyhow::Result<()> {
        let topic = layout_topic();
        self.write(&topic, b"layout", Some(&LAYOUT.to_be_bytes()))?;
        if self.waiting > 0 {
            self.commit()?;
        }
        Ok(())
    }
}

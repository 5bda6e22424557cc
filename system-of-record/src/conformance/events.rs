//! The change topics of an implementation that writes them, read back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::in_process::InProcessBroker;
use broker::{Broker, Message, Polled, Start, TopicPartition};
use schemas::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, Op, Source, TransactionRow};
use wire::{Codec, MemoryRegistry, Wire};

/// An event of any table.
#[derive(Debug, Clone)]
pub enum ChangeEvent {
    /// Of `customers`.
    Customer(Envelope<CustomerRow>),
    /// Of `accounts`.
    Account(Envelope<AccountRow>),
    /// Of `transactions`.
    Transaction(Envelope<TransactionRow>),
}

macro_rules! of_each {
    ($event:expr, $envelope:ident => $value:expr) => {
        match $event {
            ChangeEvent::Customer($envelope) => $value,
            ChangeEvent::Account($envelope) => $value,
            ChangeEvent::Transaction($envelope) => $value,
        }
    };
}

impl ChangeEvent {
    /// The table, as the event names it.
    pub fn table(&self) -> &str {
        &self.source().table
    }
    /// What happened to the row.
    pub fn op(&self) -> Op {
        of_each!(self, envelope => envelope.op)
    }
    /// Where in the source it happened.
    pub fn source(&self) -> &Source {
        of_each!(self, envelope => &envelope.source)
    }
    /// The row's id.
    pub fn id(&self) -> i64 {
        of_each!(self, envelope => envelope.after.as_ref().or(envelope.before.as_ref()).expect("a row").id)
    }
}

/// Everything in a topic, by partition and offset.
pub fn records(broker: &InProcessBroker, topic: &str) -> Vec<Message> {
    let timeout = Duration::from_secs(5);
    let count = broker.partitions(topic, timeout).expect("the broker").expect("the topic");
    let mut reader = broker.reader("test").expect("a reader");
    for partition in 0..count {
        reader
            .assign(&TopicPartition::new(topic, partition), Start::Earliest)
            .expect("assign");
    }
    let mut polled = Polled::default();
    while polled.ends.len() < count as usize {
        reader.poll(10_000, timeout, &mut polled).expect("poll");
    }
    polled.messages
}

/// How many tombstones a topic has.
pub fn tombstones(broker: &InProcessBroker, topic: &str) -> usize {
    records(broker, topic)
        .iter()
        .filter(|message| message.value.is_none())
        .count()
}

/// Every event of every table, by position in the source's log.
pub fn change_events(broker: &InProcessBroker, registry: Arc<MemoryRegistry>) -> Vec<ChangeEvent> {
    let codec = Codec::reader(registry);
    let mut all = Vec::new();
    all.extend(
        of_table(broker, &codec, "bank.public.customers")
            .into_iter()
            .map(ChangeEvent::Customer),
    );
    all.extend(
        of_table(broker, &codec, "bank.public.accounts")
            .into_iter()
            .map(ChangeEvent::Account),
    );
    all.extend(
        of_table(broker, &codec, "bank.public.transactions")
            .into_iter()
            .map(ChangeEvent::Transaction),
    );
    all.sort_by_key(|event| event.source().lsn);
    all
}

fn of_table<R>(broker: &InProcessBroker, codec: &Codec, topic: &str) -> Vec<Envelope<R>>
where
    Envelope<R>: Wire,
{
    let decode = |message: &Message| {
        CdcKey::decode(message.key.as_deref().expect("a key"), codec).expect("the key");
        message
            .value
            .as_deref()
            .map(|bytes| Envelope::<R>::decode(bytes, codec).expect("an envelope"))
    };
    records(broker, topic).iter().filter_map(decode).collect()
}

/// The tables that the events make.
#[derive(Debug, Default)]
pub struct Replayed {
    /// By id.
    pub customers: BTreeMap<i64, CustomerRow>,
    /// By id.
    pub accounts: BTreeMap<i64, AccountRow>,
    /// By id.
    pub transactions: BTreeMap<i64, TransactionRow>,
}

/// Applies the events, each of which must begin where the one before it has left the row.
pub fn replay(events: &[ChangeEvent]) -> Replayed {
    let mut tables = Replayed::default();
    for event in events {
        match event {
            ChangeEvent::Customer(envelope) => step(&mut tables.customers, event.id(), envelope),
            ChangeEvent::Account(envelope) => step(&mut tables.accounts, event.id(), envelope),
            ChangeEvent::Transaction(envelope) => step(&mut tables.transactions, event.id(), envelope),
        }
    }
    tables
}

fn step<R: Clone + PartialEq + std::fmt::Debug>(rows: &mut BTreeMap<i64, R>, id: i64, envelope: &Envelope<R>) {
    assert_eq!(rows.get(&id), envelope.before.as_ref(), "what the row was before");
    match &envelope.after {
        Some(row) => rows.insert(id, row.clone()),
        None => rows.remove(&id),
    };
}

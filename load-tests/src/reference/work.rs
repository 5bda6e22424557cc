//! The reference work: change events of transactions → postings by account → running balances, every update written out.
//!
//! The Kafka Streams program in `peers/` does the same, record for record and byte for byte.

use std::fmt;

use schemas::Money;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use topology::dsl::{Builder, Stream};
use topology::store::{KeyValue, KeyValueStore};
use topology::{Context, EngineError, ProcessError, Processor, ReadAhead, Record, Topology};
use wire::{Codec, Topic, Wire, WireError, avro_wire};

/// A key that nothing looks at: the change event's.
#[derive(Debug, Clone, Copy)]
pub struct Unread;

impl Wire for Unread {
    const SCHEMA: Option<&'static str> = None;

    fn encode(&self, _: &Codec, _: &mut Vec<u8>) -> Result<(), WireError> {
        Ok(())
    }

    fn decode(_: &[u8], _: &Codec) -> Result<Self, WireError> {
        Ok(Self)
    }
}

/// A change of a row of `transactions`: what the work needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// The row as it was.
    #[serde(default)]
    pub before: Option<Row>,
    /// The row as it is.
    #[serde(default)]
    pub after: Option<Row>,
}

/// A transaction's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// The transaction.
    pub id: i64,
    /// The account that it is booked on.
    pub account_id: i64,
    /// Whether it adds.
    #[serde(rename = "txn_type")]
    pub direction: Direction,
    /// How much, above zero.
    pub amount: Money,
}

/// Whether a transaction adds to the balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A deposit.
    In,
    /// All else.
    Out,
}

impl<'de> Deserialize<'de> for Direction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Type;
        impl Visitor<'_> for Type {
            type Value = Direction;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a transaction type")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Direction, E> {
                Ok(if text == "DEPOSIT" { Direction::In } else { Direction::Out })
            }
        }
        deserializer.deserialize_str(Type)
    }
}

impl Row {
    fn signed(&self) -> Money {
        match self.direction {
            Direction::In => self.amount,
            Direction::Out => self.amount.negated(),
        }
    }
}

/// What one change does to one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct Posting {
    /// The transaction.
    pub transaction_id: i64,
    /// The account.
    pub account_id: i64,
    /// Signed.
    pub amount: Money,
}

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Balance {
    /// The account.
    pub account_id: i64,
    /// The sum of its postings.
    pub balance: Money,
    /// How many there were.
    pub postings: i64,
}

/// Read only: the schema is that of the reader's view.
impl Wire for Change {
    const SCHEMA: Option<&'static str> = None;

    fn encode(&self, _: &Codec, _: &mut Vec<u8>) -> Result<(), WireError> {
        Err(WireError::Unencodable("change events are only read".to_owned()))
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        wire::decode_avro(bytes, codec)
    }
}

avro_wire!(
    Posting,
    r#"{"type": "record", "name": "Posting", "namespace": "riverbank.reference", "fields": [
        {"name": "transaction_id", "type": "long"},
        {"name": "account_id", "type": "long"},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 4}}]}"#
);
avro_wire!(
    Balance,
    r#"{"type": "record", "name": "Balance", "namespace": "riverbank.reference", "fields": [
        {"name": "account_id", "type": "long"},
        {"name": "balance", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 4}},
        {"name": "postings", "type": "long"}]}"#
);

/// The postings of a change: the old row's are taken back first.
pub fn postings(change: &Change) -> impl Iterator<Item = Posting> + use<> {
    let leg = |row: Row, amount: Money| Posting {
        transaction_id: row.id,
        account_id: row.account_id,
        amount,
    };
    let before = change.before.map(|row| leg(row, row.signed().negated()));
    let after = change.after.map(|row| leg(row, row.signed()));
    before.into_iter().chain(after)
}

/// A balance after a posting.
pub fn booked(balance: Option<Balance>, posting: &Posting) -> Result<Balance, ProcessError> {
    let balance = balance.unwrap_or_default();
    let sum = balance.balance.checked_add(posting.amount);
    Ok(Balance {
        account_id: posting.account_id,
        balance: sum.map_err(|error| ProcessError::Record(error.to_string()))?,
        postings: balance.postings + 1,
    })
}

/// The output of [`Variant::Backed`]: a store's topic is part of its definition.
pub const BACKED_OUTPUT: &str = "reference-backed-balances";

/// How the store's changes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// A changelog of its own, and every update to the output: as in Kafka Streams.
    Changelog,
    /// The output is the changelog: the last update of each key in each transaction.
    Backed,
}

struct Own;
struct Shared;

/// Which store a [`Book`] keeps.
trait Keeping: Send + 'static {
    const STORE: KeyValue<i64, Balance>;
    const FORWARDS: bool;
}

impl Keeping for Own {
    const STORE: KeyValue<i64, Balance> = KeyValue::new("balances");
    const FORWARDS: bool = true;
}

impl Keeping for Shared {
    const STORE: KeyValue<i64, Balance> = KeyValue::backed_by("balances", Topic::new(BACKED_OUTPUT));
    const FORWARDS: bool = false;
}

/// Books postings.
struct Book<S>(S);

impl<S: Keeping> Processor for Book<S> {
    type KeyIn = i64;
    type In = Posting;
    type KeyOut = i64;
    type Out = Balance;
    type Stores = KeyValue<i64, Balance>;
    const READ_AHEAD: Option<ReadAhead<Self>> = Some(|account, balances| balances.read_ahead(*account));

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, Posting>) -> Result<(), ProcessError> {
        let balances: &mut KeyValueStore<i64, Balance> = cx.stores;
        let balance = booked(balances.get(&record.key)?, &record.value)?;
        balances.put(record.key, balance);
        if S::FORWARDS {
            cx.out.forward(record.key, balance);
        }
        Ok(())
    }
}

/// The topology of the reference work. Topic names live as long as the process.
pub fn topology(application: &str, input: &str, output: &str, variant: Variant) -> Result<Topology, EngineError> {
    let name = |text: &str| -> &'static str { text.to_owned().leak() };
    let changes: Topic<Unread, Change> = Topic::new(name(input));
    let repartition: Topic<i64, Posting> = Topic::new(name(&format!("{application}-postings-repartition")));
    let builder = Builder::new(application);
    let by_account: Stream<i64, Posting> = builder
        .stream(changes)
        .flat_map(|_, change| postings(change).map(|posting| (posting.account_id, posting)))
        .repartition(repartition);
    match variant {
        Variant::Changelog => by_account
            .process("book", Own::STORE, || Book(Own))
            .to_compacted(Topic::<i64, Balance>::new(name(output))),
        Variant::Backed => drop(by_account.process("book", Shared::STORE, || Book(Shared))),
    }
    builder.build()
}

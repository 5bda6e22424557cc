//! Changed rows as Debezium would send them: one envelope each, a tombstone after a delete, and the end of each transaction.

use std::sync::Arc;

use clock::Micros;
use schemas::bronze::{
    AccountRow, CdcKey, CollectionCount, CustomerRow, Envelope, Op, Source, TransactionBlock, TransactionMetadata, TransactionRow,
};
use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_PREFIX, CDC_TRANSACTION_METADATA, CDC_TRANSACTIONS};
use wire::{Codec, Registry, Topic, Wire, WireError};

use super::outbox::Event;
use super::tables::Touched;
use crate::{Account, Customer, Transaction};

/// How far apart two changes are in the log: about what a small row takes in Postgres' one.
const LSN_STEP: i64 = 128;

/// One topic's codecs.
struct Encoder<R>
where
    Envelope<R>: Wire,
{
    topic: Topic<CdcKey, Envelope<R>>,
    table: &'static str,
    key: Codec,
    value: Codec,
}

/// Writes change events, and counts the position in the log.
pub(super) struct Events {
    customers: Encoder<CustomerRow>,
    accounts: Encoder<AccountRow>,
    transactions: Encoder<TransactionRow>,
    metadata: Codec,
    lsn: i64,
    tx_id: i64,
}

/// What all events of a database transaction share.
struct Commit {
    tx_id: i64,
    last_lsn: i64,
    committed_at_us: Micros,
    total_order: i64,
    table_order: [i64; 3],
}

impl Events {
    /// Registers the schemas.
    pub fn register(registry: &Arc<dyn Registry>) -> Result<Self, WireError> {
        Ok(Self {
            customers: Encoder::register(CDC_CUSTOMERS, "customers", registry)?,
            accounts: Encoder::register(CDC_ACCOUNTS, "accounts", registry)?,
            transactions: Encoder::register(CDC_TRANSACTIONS, "transactions", registry)?,
            metadata: Codec::register::<TransactionMetadata>(registry.clone(), &CDC_TRANSACTION_METADATA.value_subject())?,
            lsn: 0x0100_0000,
            tx_id: 700,
        })
    }

    /// The newest position in the log.
    pub fn lsn(&self) -> i64 {
        self.lsn
    }

    /// The events of a database transaction, in the order of its changes.
    pub fn of(&mut self, touched: &[Touched], committed_at_us: Micros) -> Result<Vec<Event>, WireError> {
        let mut commit = Commit {
            tx_id: self.tx_id + 1,
            last_lsn: self.lsn,
            committed_at_us,
            total_order: 0,
            table_order: [0; 3],
        };
        let mut lsn = self.lsn;
        let mut events = Vec::with_capacity(touched.len());
        for row in touched {
            lsn += LSN_STEP;
            match row {
                Touched::Customer(before, after) => {
                    let rows = (before.as_ref().map(customer), after.as_ref().map(customer));
                    self.customers.write(rows, |row| row.id, commit.next(0), lsn, &mut events)?;
                }
                Touched::Account(before, after) => {
                    let rows = (before.as_ref().map(account), after.as_ref().map(account));
                    self.accounts.write(rows, |row| row.id, commit.next(1), lsn, &mut events)?;
                }
                Touched::Transaction(before, after) => {
                    let rows = (before.as_ref().map(transaction), after.as_ref().map(transaction));
                    self.transactions
                        .write(rows, |row| row.id, commit.next(2), lsn, &mut events)?;
                }
            }
        }
        if !events.is_empty() {
            events.push(commit.end(lsn, &self.metadata)?);
        }
        self.lsn = lsn;
        self.tx_id = commit.tx_id;
        Ok(events)
    }
}

impl Commit {
    /// Counts an event of a table, by its place among the tables.
    fn next(&mut self, table: usize) -> (&Self, i64) {
        self.total_order += 1;
        self.table_order[table] += 1;
        let order = self.table_order[table];
        (self, order)
    }

    /// Says that it has ended. As the connector does, under its time, eight bytes.
    fn end(&self, lsn: i64, codec: &Codec) -> Result<Event, WireError> {
        let timestamp_ms = self.committed_at_us.to_millis().0;
        let counts = ["customers", "accounts", "transactions"].iter().zip(self.table_order);
        let metadata = TransactionMetadata {
            status: "END".to_owned(),
            id: format!("{}:{lsn}", self.tx_id),
            event_count: Some(self.total_order),
            data_collections: Some(
                counts
                    .filter(|(_, event_count)| *event_count > 0)
                    .map(|(table, event_count)| CollectionCount {
                        data_collection: format!("public.{table}"),
                        event_count,
                    })
                    .collect(),
            ),
            ts_ms: timestamp_ms,
        };
        let mut value = Vec::new();
        metadata.encode(codec, &mut value)?;
        Ok(Event {
            topic: CDC_TRANSACTION_METADATA.name(),
            key: timestamp_ms.to_be_bytes().to_vec(),
            value: Some(value),
            timestamp_ms,
        })
    }

    fn source(&self, table: &str, lsn: i64) -> Source {
        Source {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connector: "riverbank".to_owned(),
            name: CDC_PREFIX.to_owned(),
            ts_ms: self.committed_at_us.to_millis().0,
            snapshot: Some("false".to_owned()),
            db: "bank".to_owned(),
            sequence: Some(format!("[\"{}\",\"{lsn}\"]", self.last_lsn)),
            ts_us: Some(self.committed_at_us.0),
            ts_ns: Some(self.committed_at_us.0 * 1000),
            schema: "public".to_owned(),
            table: table.to_owned(),
            tx_id: Some(self.tx_id),
            lsn: Some(lsn),
            ..Source::default()
        }
    }
}

impl<R> Encoder<R>
where
    Envelope<R>: Wire,
{
    fn register(topic: Topic<CdcKey, Envelope<R>>, table: &'static str, registry: &Arc<dyn Registry>) -> Result<Self, WireError> {
        Ok(Self {
            topic,
            table,
            key: Codec::register::<CdcKey>(registry.clone(), &topic.key_subject())?,
            value: Codec::register::<Envelope<R>>(registry.clone(), &topic.value_subject())?,
        })
    }

    fn write(
        &self,
        (before, after): (Option<R>, Option<R>),
        id: fn(&R) -> i64,
        (commit, table_order): (&Commit, i64),
        lsn: i64,
        events: &mut Vec<Event>,
    ) -> Result<(), WireError> {
        let op = match (&before, &after) {
            (None, _) => Op::Create,
            (Some(_), Some(_)) => Op::Update,
            (Some(_), None) => Op::Delete,
        };
        let id = after.as_ref().or(before.as_ref()).map(id).unwrap_or_default();
        let mut key = Vec::new();
        CdcKey { id }.encode(&self.key, &mut key)?;
        let timestamp_ms = commit.committed_at_us.to_millis().0;
        let envelope = Envelope {
            before,
            after,
            source: commit.source(self.table, lsn),
            transaction: Some(TransactionBlock {
                id: format!("{}:{lsn}", commit.tx_id),
                total_order: commit.total_order,
                data_collection_order: table_order,
            }),
            op,
            ts_ms: Some(timestamp_ms),
            ts_us: Some(commit.committed_at_us.0),
            ts_ns: Some(commit.committed_at_us.0 * 1000),
        };
        let mut value = Vec::new();
        envelope.encode(&self.value, &mut value)?;
        let event = |key, value| Event {
            topic: self.topic.name(),
            key,
            value,
            timestamp_ms,
        };
        if op == Op::Delete {
            events.push(event(key.clone(), Some(value)));
            events.push(event(key, None));
        } else {
            events.push(event(key, Some(value)));
        }
        Ok(())
    }
}

pub(super) fn customer(row: &Customer) -> CustomerRow {
    CustomerRow {
        id: row.id.0,
        first_name: Some(row.first_name.clone()),
        last_name: Some(row.last_name.clone()),
        email: Some(row.email.clone()),
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
    }
}

pub(super) fn account(row: &Account) -> AccountRow {
    AccountRow {
        id: row.id.0,
        customer_id: Some(row.customer_id.0),
        account_type: Some(row.account_type.to_string()),
        currency: Some(row.currency.to_string()),
        opening_balance: Some(row.opening_balance),
        balance: Some(row.balance),
        status: Some(row.status.to_string()),
        closed_at: row.closed_at,
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
    }
}

pub(super) fn transaction(row: &Transaction) -> TransactionRow {
    TransactionRow {
        id: row.id.0,
        account_id: Some(row.account_id.0),
        txn_type: Some(row.txn_type.to_string()),
        amount: Some(row.amount),
        related_account_id: row.related_account_id.map(|id| id.0),
        status: Some(row.status.to_string()),
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
    }
}

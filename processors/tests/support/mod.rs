//! The bank on the in-process log, driven by change events.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::in_process::InProcessBroker;
use broker::{Broker, CleanupPolicy, Outgoing, TopicSpec};
use processors::{BankSettings, SourcePartitions, bank, stores};
use schemas::Money;
use schemas::bronze::{AccountRow, CdcKey, Envelope, Op, Row, Source, TransactionRow};
use schemas::topics::*;
use topology::EngineSettings;
use topology::store::MemoryBackends;
use topology::testing::TestDriver;
use wire::{Codec, Topic, Wire};

pub fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// A source that commits changes one after the other.
pub struct Bench {
    pub driver: TestDriver,
    /// The position in the write-ahead log.
    pub lsn: i64,
    /// The source's clock, in milliseconds since the epoch.
    pub clock_ms: i64,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(SourcePartitions::default())
    }

    /// Whose source topics have so many partitions.
    pub fn with(partitions: SourcePartitions) -> Self {
        Self::set(BankSettings {
            partitions,
            ..BankSettings::default()
        })
    }

    /// With these settings.
    pub fn set(settings: BankSettings) -> Self {
        let partitions = settings.partitions;
        let create = |broker: InProcessBroker| -> Arc<dyn Broker> {
            let topics = [
                (CDC_CUSTOMERS.name(), partitions.customers),
                (CDC_ACCOUNTS.name(), partitions.accounts),
                (CDC_TRANSACTIONS.name(), partitions.transactions),
                (CDC_TRANSACTION_METADATA.name(), partitions.metadata),
            ];
            let specs = topics.map(|(name, partitions)| TopicSpec {
                name: name.to_owned(),
                partitions,
                accept_existing: true,
                cleanup: CleanupPolicy::Delete(None),
                settings: broker::TopicSettings::default(),
            });
            broker.ensure_topics(&specs, Duration::ZERO).unwrap();
            Arc::new(broker)
        };
        let engine = EngineSettings {
            partitions: 2,
            ..EngineSettings::default()
        };
        let backends = Arc::new(MemoryBackends::default());
        Self {
            driver: TestDriver::through(bank(settings).unwrap(), engine, backends, create).unwrap(),
            lsn: 0,
            clock_ms: 1_700_000_000_000,
        }
    }

    pub fn event<R>(&mut self, op: Op, after: Option<R>) -> Envelope<R> {
        self.lsn += 10;
        self.clock_ms += 10;
        let ts_ms = self.clock_ms;
        let source = Source {
            lsn: Some(self.lsn),
            tx_id: Some(self.lsn),
            ts_ms,
            ..Source::default()
        };
        Envelope {
            before: None,
            after,
            source,
            transaction: None,
            op,
            ts_ms: Some(ts_ms),
            ts_us: None,
            ts_ns: None,
        }
    }

    pub fn send<R: Clone>(&mut self, topic: Topic<CdcKey, Envelope<R>>, id: i64, event: &Envelope<R>)
    where
        Envelope<R>: Wire,
    {
        self.driver.send(topic, event.source.ts_ms, &CdcKey { id }, Some(event));
    }

    /// Sends an event to a partition, under a key of any bytes or none.
    pub fn send_to<R>(&mut self, topic: Topic<CdcKey, Envelope<R>>, partition: u32, key: Option<&[u8]>, event: &Envelope<R>)
    where
        Envelope<R>: Wire,
    {
        let codec = Codec::register::<Envelope<R>>(self.driver.registry(), &topic.value_subject()).unwrap();
        let mut value = Vec::new();
        event.encode(&codec, &mut value).unwrap();
        let record = Outgoing {
            topic: topic.name(),
            partition: Some(partition),
            key,
            value: Some(&value),
            timestamp_ms: event.source.ts_ms,
            headers: &[],
        };
        let mut producer = self.driver.broker().producer("connector").unwrap();
        producer.send_all(&[record]).unwrap();
        self.driver.settle();
    }

    /// Sends many events at once.
    pub fn send_all<R: Row>(&mut self, topic: Topic<CdcKey, Envelope<R>>, events: &[Envelope<R>])
    where
        Envelope<R>: Wire,
    {
        let codec = Codec::register::<Envelope<R>>(self.driver.registry(), &topic.value_subject()).unwrap();
        let mut producer = self.driver.broker().producer("connector").unwrap();
        let mut value = Vec::new();
        for event in events {
            value.clear();
            event.encode(&codec, &mut value).unwrap();
            let record = Outgoing {
                topic: topic.name(),
                partition: Some(0),
                key: Some(&event.row_id().unwrap().to_be_bytes()),
                value: Some(&value),
                timestamp_ms: event.source.ts_ms,
                headers: &[],
            };
            producer.send_all(&[record]).unwrap();
        }
        self.driver.settle();
    }

    pub fn account(&mut self, id: i64, opening: &str) {
        let event = self.event(Op::Create, Some(account(id, opening)));
        self.send(CDC_ACCOUNTS, id, &event);
    }

    pub fn transaction(&mut self, op: Op, row: TransactionRow) {
        let id = row.id;
        let event = self.event(op, (op != Op::Delete).then_some(row));
        self.send(CDC_TRANSACTIONS, id, &event);
    }

    /// Sends events under their rows' ids.
    pub fn sends<R: Row + Clone>(&mut self, topic: Topic<CdcKey, Envelope<R>>, events: &[&Envelope<R>])
    where
        Envelope<R>: Wire,
    {
        for event in events {
            let id = event.row_id().unwrap();
            self.send(topic, id, event);
        }
    }

    /// The source as after a restore into a new cluster: its log starts low, its clock goes on.
    pub fn restore(&mut self) {
        self.lsn = 0;
        self.clock_ms += 60_000;
    }

    pub fn booked(&self) -> BTreeMap<i64, (String, String)> {
        let all = self.driver.view(stores::BALANCES);
        all.into_iter()
            .map(|(id, b)| (id.0, (b.booked.to_string(), b.available.to_string())))
            .collect()
    }

    /// A row that a snapshot read at this position and time, which all of its rows share.
    pub fn read<R>(&self, marker: &str, row: R) -> Envelope<R> {
        Envelope {
            before: None,
            after: Some(row),
            source: Source {
                lsn: Some(self.lsn),
                ts_ms: self.clock_ms,
                snapshot: Some(marker.to_owned()),
                ..Source::default()
            },
            transaction: None,
            op: Op::Read,
            ts_ms: None,
            ts_us: None,
            ts_ns: None,
        }
    }

    #[track_caller]
    pub fn check(&self, expected: &[(i64, &str, &str)]) {
        let expected = expected
            .iter()
            .map(|(id, booked, available)| (*id, ((*booked).to_owned(), (*available).to_owned())))
            .collect();
        assert_eq!(self.booked(), expected);
    }

    pub fn rejected(&mut self) -> Vec<(i64, String)> {
        self.driver
            .drain(SILVER_REJECTED)
            .into_iter()
            .map(|r| (r.key, r.value.unwrap().rule))
            .collect()
    }
}

pub fn account(id: i64, opening: &str) -> AccountRow {
    AccountRow {
        id,
        customer_id: Some(1),
        account_type: Some(" checking ".into()),
        currency: Some("eur".into()),
        opening_balance: Some(money(opening)),
        balance: Some(money(opening)),
        status: Some("ACTIVE".into()),
        ..AccountRow::default()
    }
}

pub fn transaction(id: i64, account: i64, kind: &str, amount: &str, status: &str) -> TransactionRow {
    TransactionRow {
        id,
        account_id: Some(account),
        txn_type: Some(kind.into()),
        amount: Some(money(amount)),
        status: Some(status.into()),
        ..TransactionRow::default()
    }
}

pub fn deposit(id: i64, account: i64, amount: &str) -> TransactionRow {
    transaction(id, account, "DEPOSIT", amount, "COMPLETED")
}

pub fn transfer(id: i64, from: i64, to: i64, amount: &str, status: &str) -> TransactionRow {
    TransactionRow {
        related_account_id: Some(to),
        ..transaction(id, from, "TRANSFER", amount, status)
    }
}

//! Positions of the source, to the transaction: what was committed there, as the connector told of it, given to the bank in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use broker::in_process::InProcessBroker;
use broker::{Broker, CleanupPolicy, TopicSpec};
use processors::{BankSettings, bank};
use schemas::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, Op, TransactionRow};
use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_TRANSACTIONS};
use topology::EngineSettings;
use topology::store::MemoryBackends;
use topology::testing::TestDriver;
use wire::{Codec, HttpRegistry, Registry, Topic, Wire};

use super::gold::{Gold, read_all};

/// What the queries say in a snapshot of the source, and which transactions it sees.
pub struct Sample {
    pub asked: Gold,
    lsn: String,
    /// All before it are over.
    from: i64,
    /// None from it on has been committed.
    to: i64,
    /// Those between them that were open.
    open: BTreeSet<i64>,
}

impl Sample {
    /// `snapshot` as Postgres writes it: `from:to:open,open…`.
    pub fn new(snapshot: &str, lsn: String, asked: Gold) -> Self {
        let mut parts = snapshot.split(':');
        let mut number = || {
            parts
                .next()
                .and_then(|number| number.parse().ok())
                .expect("a transaction's number")
        };
        let (from, to) = (number(), number());
        let open = parts.next().unwrap_or_default().split(',').filter(|open| !open.is_empty());
        Self {
            asked,
            lsn,
            from,
            to,
            open: open.map(|open| open.parse().expect("a transaction's number")).collect(),
        }
    }

    fn sees(&self, transaction: i64) -> bool {
        transaction < self.from || (transaction < self.to && !self.open.contains(&transaction))
    }
}

/// What the connector has sent of one table, in the order of the commits.
struct Line<R> {
    topic: Topic<CdcKey, Envelope<R>>,
    events: Vec<Event<R>>,
}

struct Event<R> {
    /// None of a row that the connector's snapshot read, which every later snapshot sees.
    transaction: Option<i64>,
    at_ms: i64,
    key: CdcKey,
    value: Option<Envelope<R>>,
}

impl<R> Line<R>
where
    Envelope<R>: Wire,
{
    fn read(topic: Topic<CdcKey, Envelope<R>>, bootstrap: &str, codec: &Codec) -> Self {
        let mut partitions = read_all(bootstrap, topic.name());
        assert_eq!(partitions.len(), 1, "{} has the order of the commits", topic.name());
        let mut events: Vec<Event<R>> = Vec::new();
        for message in partitions.remove(0) {
            let key = message.key.as_deref().expect("an event has a key");
            let value = message.value.as_deref();
            let value = value.map(|value| Envelope::<R>::decode(value, codec).expect("the event is readable"));
            let transaction = match &value {
                // A tombstone belongs to the deletion before it.
                None => events.last().and_then(|deletion| deletion.transaction),
                Some(event) if event.op == Op::Read => None,
                Some(event) => Some(event.source.tx_id.expect("a change has a transaction")),
            };
            events.push(Event {
                transaction,
                at_ms: message.timestamp_ms,
                key: CdcKey::decode(key, codec).expect("the key is readable"),
                value,
            });
        }
        Self { topic, events }
    }

    /// Gives a bank what the snapshot sees. Returns how many events that were.
    fn give(&self, driver: &mut TestDriver, sample: &Sample) -> usize {
        let seen = self
            .events
            .iter()
            .filter(|event| event.transaction.is_none_or(|of| sample.sees(of)));
        let mut given = 0;
        for event in seen {
            driver.queue(self.topic, event.at_ms, &event.key, event.value.as_ref());
            given += 1;
        }
        given
    }
}

/// Everything that the connector has sent of the three tables.
pub struct Events {
    customers: Line<CustomerRow>,
    accounts: Line<AccountRow>,
    transactions: Line<TransactionRow>,
}

impl Events {
    pub fn of(bootstrap: &str, registry: &str) -> Self {
        let registry: Arc<dyn Registry> = Arc::new(HttpRegistry::new(registry).expect("the registry's address is right"));
        let codec = Codec::reader(registry);
        tokio::task::block_in_place(|| Self {
            customers: Line::read(CDC_CUSTOMERS, bootstrap, &codec),
            accounts: Line::read(CDC_ACCOUNTS, bootstrap, &codec),
            transactions: Line::read(CDC_TRANSACTIONS, bootstrap, &codec),
        })
    }

    /// Gives the bank what the snapshot sees, and compares what it makes of it. Returns what was compared.
    #[track_caller]
    pub fn judge(&self, sample: &Sample) -> String {
        let mut driver = driver();
        let given = [
            self.customers.give(&mut driver, sample),
            self.accounts.give(&mut driver, sample),
            self.transactions.give(&mut driver, sample),
        ];
        driver.settle();
        let all = self.customers.events.len() + self.accounts.events.len() + self.transactions.events.len();
        let given: usize = given.iter().sum();
        let (at, left) = (&sample.lsn, all - given);
        if let Err(problems) = Gold::of(&mut driver).equals(&sample.asked) {
            panic!("at {at}, with {given} events and without {left}: {problems}");
        }
        assert!(left > 0, "the source went on after {at}");
        let rows = sample.asked.rows();
        format!("at {at}, under load: {rows} rows are equal, of {given} events; {left} came later")
    }
}

/// The same topology, in memory.
fn driver() -> TestDriver {
    let create = |broker: InProcessBroker| -> Arc<dyn Broker> {
        let names = [CDC_CUSTOMERS.name(), CDC_ACCOUNTS.name(), CDC_TRANSACTIONS.name()];
        let specs = names.map(|name| TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            accept_existing: true,
            cleanup: CleanupPolicy::Delete(None),
            settings: broker::TopicSettings::default(),
        });
        broker
            .ensure_topics(&specs, std::time::Duration::ZERO)
            .expect("the topics are made");
        Arc::new(broker)
    };
    let settings = EngineSettings {
        partitions: 2,
        ..EngineSettings::default()
    };
    let of_bank = BankSettings {
        hold_expiry: None,
        ..BankSettings::default()
    };
    let topology = bank(of_bank).expect("the bank is built");
    TestDriver::through(topology, settings, Arc::new(MemoryBackends::default()), create).expect("it starts")
}

//! The Gold tables beside queries of the source's own tables: each in a file of `tests/postgres/`, which says what the table means.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use broker::kafka::{KafkaBroker, KafkaSettings};
use broker::{Message, Replay};
use schemas::gold::{
    AccountBalance, AccountDay, BankDay, BankDayKey, CustomerPosition, TransactionFact, TransactionMinute, TransactionMinuteKey,
};
use schemas::silver::AccountType;
use schemas::topics::{ACCOUNT_BALANCES, ACCOUNT_DAILY, BANK_DAILY, CUSTOMER_POSITIONS, TRANSACTION_FACTS, TRANSACTION_MINUTES};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use topology::testing::TestDriver;
use wire::{Codec, HttpRegistry, Registry, Topic, Wire};

/// How long the broker may show nothing of a topic.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Gold table that a query can judge.
pub trait Judged: Wire + PartialEq + Debug {
    type Key: Wire + Ord + Debug;
    const TOPIC: Topic<Self::Key, Self>;
    /// The definition.
    const QUERY: &'static str;
    /// Its columns, as they are read here: amounts as text, which keeps every digit, days and instants as numbers.
    const COLUMNS: &'static str;
    fn asked(row: &PgRow) -> (Self::Key, Self);
    /// What of an emitted row the query can know; nothing of one that it does not have.
    fn known(self) -> Option<Self> {
        Some(self)
    }
}

fn id(row: &PgRow, column: &str) -> i64 {
    row.get(column)
}

fn code<T: std::str::FromStr<Err: Debug>>(row: &PgRow, column: &str) -> T {
    row.get::<&str, _>(column).parse().expect("a code")
}

fn money(row: &PgRow, column: &str) -> Money {
    row.get::<&str, _>(column).parse().expect("an amount")
}

impl Judged for AccountBalance {
    type Key = AccountId;
    const TOPIC: Topic<AccountId, Self> = ACCOUNT_BALANCES;
    const QUERY: &'static str = include_str!("../postgres/account_balances.sql");
    const COLUMNS: &'static str =
        "account_id, customer_id, currency::text, opening::text, booked::text, pending::text, available::text";

    fn asked(row: &PgRow) -> (AccountId, Self) {
        let account_id = AccountId(id(row, "account_id"));
        let balance = Self {
            account_id,
            customer_id: CustomerId(id(row, "customer_id")),
            currency: code(row, "currency"),
            opening: money(row, "opening"),
            booked: money(row, "booked"),
            pending: money(row, "pending"),
            available: money(row, "available"),
            entry_count: 0,
            last_entry_at: None,
            is_deleted: false,
            source_lsn: 0,
            source_ts: 0,
            commit_number: None,
        };
        (account_id, balance)
    }

    fn known(self) -> Option<Self> {
        let known = Self {
            entry_count: 0,
            last_entry_at: None,
            source_lsn: 0,
            source_ts: 0,
            commit_number: None,
            ..self
        };
        Some(known).filter(|balance| !balance.is_deleted)
    }
}

impl Judged for CustomerPosition {
    type Key = (CustomerId, Currency);
    const TOPIC: Topic<Self::Key, Self> = CUSTOMER_POSITIONS;
    const QUERY: &'static str = include_str!("../postgres/customer_positions.sql");
    const COLUMNS: &'static str = "customer_id, currency::text, booked::text, available::text, accounts, open_accounts";

    fn asked(row: &PgRow) -> (Self::Key, Self) {
        let position = Self {
            customer_id: CustomerId(id(row, "customer_id")),
            currency: code(row, "currency"),
            booked: money(row, "booked"),
            available: money(row, "available"),
            accounts: row.get("accounts"),
            open_accounts: row.get("open_accounts"),
        };
        ((position.customer_id, position.currency), position)
    }
}

impl Judged for AccountDay {
    type Key = (AccountId, i32);
    const TOPIC: Topic<Self::Key, Self> = ACCOUNT_DAILY;
    const QUERY: &'static str = include_str!("../postgres/account_daily.sql");
    const COLUMNS: &'static str = "account_id, day - DATE '1970-01-01' AS day, customer_id, account_type, currency::text, \
                                   opening::text, credits::text, debits::text, entries, closing::text";

    fn asked(row: &PgRow) -> (Self::Key, Self) {
        let day = Self {
            account_id: AccountId(id(row, "account_id")),
            day: row.get("day"),
            customer_id: CustomerId(id(row, "customer_id")),
            account_type: code(row, "account_type"),
            currency: code(row, "currency"),
            opening: money(row, "opening"),
            credits: money(row, "credits"),
            debits: money(row, "debits"),
            entries: row.get("entries"),
            closing: money(row, "closing"),
        };
        ((day.account_id, day.day), day)
    }
}

impl Judged for BankDay {
    type Key = BankDayKey;
    const TOPIC: Topic<Self::Key, Self> = BANK_DAILY;
    const QUERY: &'static str = include_str!("../postgres/bank_daily.sql");
    const COLUMNS: &'static str = "day - DATE '1970-01-01' AS day, account_type, currency::text, net_flow::text, opened_with::text, \
                                   new_accounts, closed_accounts, active_accounts, active_customers";

    fn asked(row: &PgRow) -> (Self::Key, Self) {
        let day = Self {
            day: row.get("day"),
            account_type: code(row, "account_type"),
            currency: code(row, "currency"),
            net_flow: money(row, "net_flow"),
            opened_with: money(row, "opened_with"),
            new_accounts: row.get("new_accounts"),
            closed_accounts: row.get("closed_accounts"),
            active_accounts: row.get("active_accounts"),
            active_customers: row.get("active_customers"),
        };
        (day.key(), day)
    }
}

impl Judged for TransactionMinute {
    type Key = TransactionMinuteKey;
    const TOPIC: Topic<Self::Key, Self> = TRANSACTION_MINUTES;
    const QUERY: &'static str = include_str!("../postgres/transaction_minutes.sql");
    const COLUMNS: &'static str = "(extract(epoch FROM minute) * 1000000)::bigint AS minute, txn_type, status, currency::text, \
                                   transactions, amount::text, failures";

    fn asked(row: &PgRow) -> (Self::Key, Self) {
        let minute = Self {
            minute: row.get("minute"),
            txn_type: code(row, "txn_type"),
            status: code(row, "status"),
            currency: code(row, "currency"),
            transactions: row.get("transactions"),
            amount: money(row, "amount"),
            failures: row.get("failures"),
        };
        (minute.key(), minute)
    }
}

impl Judged for TransactionFact {
    type Key = TransactionId;
    const TOPIC: Topic<Self::Key, Self> = TRANSACTION_FACTS;
    const QUERY: &'static str = include_str!("../postgres/transactions.sql");
    const COLUMNS: &'static str = "transaction_id, account_id, currency::text, txn_type, amount::text, related_account_id, status, \
                                   (extract(epoch FROM created_at) * 1000000)::bigint AS created_at";

    fn asked(row: &PgRow) -> (Self::Key, Self) {
        let fact = Self {
            transaction_id: TransactionId(id(row, "transaction_id")),
            account_id: AccountId(id(row, "account_id")),
            account_version: 0,
            customer_id: CustomerId(0),
            account_type: AccountType::Checking,
            currency: code(row, "currency"),
            txn_type: code(row, "txn_type"),
            amount: money(row, "amount"),
            related_account_id: row.get::<Option<i64>, _>("related_account_id").map(AccountId),
            status: code(row, "status"),
            created_at: row.get("created_at"),
            updated_at: 0,
            source_lsn: 0,
            source_ts: 0,
        };
        (fact.transaction_id, fact)
    }

    /// What an account was is in no table of the source: dbt judges that, by its snapshots.
    fn known(self) -> Option<Self> {
        Some(Self {
            account_version: 0,
            customer_id: CustomerId(0),
            account_type: AccountType::Checking,
            updated_at: 0,
            source_lsn: 0,
            source_ts: 0,
            ..self
        })
    }
}

/// All committed records of a topic, by partition.
pub fn read_all(bootstrap: &str, topic: &str) -> Vec<Vec<Message>> {
    let broker = kafka(bootstrap);
    let partitions = broker::partitions_of(&broker, topic, PATIENCE).expect("the broker answers");
    let mut all = vec![Vec::new(); partitions.len()];
    Replay::of(&broker, "gold", &partitions)
        .and_then(|mut replay| {
            replay.to_the_end(PATIENCE, |of, message| {
                all[of.partition as usize].push(message);
                Ok(())
            })
        })
        .expect("the topic is read");
    all
}

fn kafka(bootstrap: &str) -> KafkaBroker {
    KafkaBroker::new(KafkaSettings {
        bootstrap: bootstrap.to_owned(),
        ..KafkaSettings::default()
    })
}

type Rows<T> = BTreeMap<<T as Judged>::Key, T>;

/// What each table is, or must be.
#[derive(Default)]
pub struct Gold {
    balances: Rows<AccountBalance>,
    positions: Rows<CustomerPosition>,
    days: Rows<AccountDay>,
    bank_days: Rows<BankDay>,
    minutes: Rows<TransactionMinute>,
    facts: Rows<TransactionFact>,
}

async fn ask<T: Judged>(connection: &mut PgConnection) -> Rows<T> {
    let query = format!("SELECT {} FROM ({}) AS asked", T::COLUMNS, T::QUERY);
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("the query of {}: {error}", T::TOPIC.name()));
    let all: Rows<T> = rows.iter().map(T::asked).collect();
    assert_eq!(all.len(), rows.len(), "the query of {} has no key twice", T::TOPIC.name());
    all
}

fn keep<T: Judged>(rows: &mut Rows<T>, key: T::Key, value: Option<T>) {
    match value.and_then(T::known) {
        Some(row) => rows.insert(key, row),
        None => rows.remove(&key),
    };
}

fn drained<T: Judged>(driver: &mut TestDriver) -> Rows<T> {
    let mut rows = Rows::<T>::new();
    for record in driver.drain(T::TOPIC) {
        keep(&mut rows, record.key, record.value);
    }
    rows
}

fn compare<T: Judged>(emitted: &Rows<T>, asked: &Rows<T>, problems: &mut Vec<String>) {
    let topic = T::TOPIC.name();
    for (key, row) in asked {
        match emitted.get(key) {
            Some(emitted) if emitted == row => {}
            found => problems.push(format!("{topic} {key:?}:\n  Postgres {row:?}\n  emitted  {found:?}")),
        }
    }
    let more = emitted.iter().filter(|(key, _)| !asked.contains_key(*key));
    problems.extend(more.map(|(key, row)| format!("{topic} {key:?}:\n  Postgres has no such row\n  emitted  {row:?}")));
}

impl Gold {
    /// By the queries, all as of the connection's one transaction.
    pub async fn asked(connection: &mut PgConnection) -> Self {
        Self {
            balances: ask(connection).await,
            positions: ask(connection).await,
            days: ask(connection).await,
            bank_days: ask(connection).await,
            minutes: ask(connection).await,
            facts: ask(connection).await,
        }
    }

    /// All that a bank in memory has emitted. To be called once: it takes what it reads.
    #[allow(dead_code, reason = "not every test file that has the tables does that")]
    pub fn of(driver: &mut TestDriver) -> Self {
        Self {
            balances: drained(driver),
            positions: drained(driver),
            days: drained(driver),
            bank_days: drained(driver),
            minutes: drained(driver),
            facts: drained(driver),
        }
    }

    /// How many rows there are, of all tables.
    pub fn rows(&self) -> usize {
        self.by_table().iter().map(|(_, rows)| rows).sum()
    }

    /// How many there are of each.
    pub fn by_table(&self) -> [(&'static str, usize); 6] {
        [
            (ACCOUNT_BALANCES.name(), self.balances.len()),
            (CUSTOMER_POSITIONS.name(), self.positions.len()),
            (ACCOUNT_DAILY.name(), self.days.len()),
            (BANK_DAILY.name(), self.bank_days.len()),
            (TRANSACTION_MINUTES.name(), self.minutes.len()),
            (TRANSACTION_FACTS.name(), self.facts.len()),
        ]
    }

    /// Whether these emitted rows are what was asked for, each of them and no other.
    pub fn equals(&self, asked: &Self) -> Result<(), String> {
        let mut problems = Vec::new();
        compare(&self.balances, &asked.balances, &mut problems);
        compare(&self.positions, &asked.positions, &mut problems);
        compare(&self.days, &asked.days, &mut problems);
        compare(&self.bank_days, &asked.bank_days, &mut problems);
        compare(&self.minutes, &asked.minutes, &mut problems);
        compare(&self.facts, &asked.facts, &mut problems);
        match problems.len() {
            0 => Ok(()),
            all => Err(format!("{all} rows differ:\n{}", problems[..all.min(8)].join("\n"))),
        }
    }
}

/// The tables as a reader of their topics has them.
pub struct Follower {
    replay: Replay,
    codec: Codec,
    pub gold: Gold,
}

impl Follower {
    /// Reads the topics from their first records on.
    pub fn of(bootstrap: &str, registry: &str) -> Self {
        let broker = kafka(bootstrap);
        let registry: Arc<dyn Registry> = Arc::new(HttpRegistry::new(registry).expect("the registry's address is right"));
        let of_topic = |(topic, _)| broker::partitions_of(&broker, topic, PATIENCE).expect("the broker answers");
        let partitions: Vec<_> = Gold::default().by_table().into_iter().flat_map(of_topic).collect();
        assert!(partitions.len() >= 6, "the topics are there");
        Self {
            replay: Replay::of(&broker, "gold", &partitions).expect("a reader"),
            codec: Codec::reader(registry),
            gold: Gold::default(),
        }
    }

    /// Reads what has been committed since.
    pub fn read(&mut self) {
        let (gold, codec) = (&mut self.gold, &self.codec);
        let read = tokio::task::block_in_place(|| {
            self.replay.follow(|of, message| {
                let (key, value) = (message.key.as_deref().unwrap_or_default(), message.value.as_deref());
                match &*of.topic {
                    topic if topic == ACCOUNT_BALANCES.name() => decoded(&mut gold.balances, key, value, codec),
                    topic if topic == CUSTOMER_POSITIONS.name() => decoded(&mut gold.positions, key, value, codec),
                    topic if topic == ACCOUNT_DAILY.name() => decoded(&mut gold.days, key, value, codec),
                    topic if topic == BANK_DAILY.name() => decoded(&mut gold.bank_days, key, value, codec),
                    topic if topic == TRANSACTION_FACTS.name() => decoded(&mut gold.facts, key, value, codec),
                    _ => decoded(&mut gold.minutes, key, value, codec),
                }
                Ok::<_, broker::BrokerError>(())
            })
        });
        read.expect("the topics are read");
    }
}

fn decoded<T: Judged>(rows: &mut Rows<T>, key: &[u8], value: Option<&[u8]>, codec: &Codec) {
    let key = T::Key::decode(key, codec).expect("the key is readable");
    keep(
        rows,
        key,
        value.map(|value| T::decode(value, codec).expect("the row is readable")),
    );
}

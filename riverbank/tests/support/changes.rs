//! Random changes of the bank's rows by SQL: everything that the database lets somebody do to them, from several connections, with several
//! changes in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::{Mutex, RwLock};

/// Accounts that every writer uses, of which none is deleted.
const SHARED: i64 = 8;
/// Accounts of a writer's own, which come and go.
const OWN: i64 = 10;
const CUSTOMERS: i64 = 6;
const CURRENCIES: [&str; 4] = ["EUR", "USD", "JPY", "KWD"];
/// Where nobody checks that an amount fits its account's currency, all do.
const NARROW_CURRENCIES: [&str; 3] = ["EUR", "USD", "KWD"];
/// 2026-03-01 at midnight UTC, in seconds: a few days around it have entries.
const TODAY: i64 = 1_772_323_200;

/// Whose tables they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// The project's own.
    Bank,
    /// A batch stack's: codes as people write them, balances that somebody sets, accounts that take all that hangs on them along.
    Narrow,
}

/// Some writers and their work.
pub struct Changes {
    pool: PgPool,
    schema: Schema,
    statements: AtomicUsize,
    refused: AtomicUsize,
    /// A writer holds it for a transaction; whoever holds it alone sees a source at rest.
    gate: RwLock<()>,
    /// By writer.
    known: Mutex<BTreeMap<i64, Known>>,
}

/// What a writer knows of the rows.
#[derive(Clone)]
struct Known {
    accounts: BTreeMap<i64, &'static str>,
    transactions: BTreeSet<i64>,
    last_id: i64,
}

impl Changes {
    /// Customers and the shared accounts.
    pub async fn open(pool: PgPool, schema: Schema) -> Arc<Self> {
        let changes = Self {
            pool,
            schema,
            statements: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            gate: RwLock::new(()),
            known: Mutex::default(),
        };
        let mut statements: Vec<String> = (1..=CUSTOMERS).map(add_customer).collect();
        statements
            .extend((1..=SHARED).map(|id| changes.open_account(id, schema.currency(id), id % CUSTOMERS + 1, "CHECKING", 0)));
        assert!(changes.commit(&statements).await, "the first rows are taken");
        Arc::new(changes)
    }

    pub fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits until so many statements were committed.
    pub async fn reaches(&self, count: usize) {
        while self.statements() < count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// No transaction is open, and none begins, as long as this is held.
    pub async fn rest(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// Has so many writers commit until so many statements are done.
    pub async fn run(self: Arc<Self>, seed: u64, writers: i64, until: usize) {
        let writers: Vec<_> = (0..writers)
            .map(|writer| tokio::spawn(self.clone().write(seed, writer, until)))
            .collect();
        for writer in writers {
            writer.await.expect("a writer ends");
        }
    }

    async fn write(self: Arc<Self>, seed: u64, writer: i64, until: usize) {
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(writer as u64));
        let begun = self.known.lock().await.remove(&writer);
        let mut known = begun.unwrap_or_else(|| Known {
            accounts: (1..=SHARED).map(|id| (id, self.schema.currency(id))).collect(),
            transactions: BTreeSet::new(),
            last_id: (writer + 1) * 1_000_000,
        });
        while self.statements() < until {
            let mut after = known.clone();
            let count = *[1, 1, 1, 2, 3, 4].choose(&mut random).expect("some");
            let statements: Vec<String> = (0..count)
                .flat_map(|_| self.change(&mut random, &mut after, writer))
                .collect();
            let _open = self.gate.read().await;
            if self.commit(&statements).await {
                known = after;
            }
        }
        self.known.lock().await.insert(writer, known);
    }

    /// One transaction; false where the bank refuses it, and nothing of it holds.
    async fn commit(&self, statements: &[String]) -> bool {
        let mut transaction = self.pool.begin().await.expect("a transaction begins");
        for statement in statements {
            let done = sqlx::query(AssertSqlSafe(statement.as_str()))
                .execute(&mut *transaction)
                .await;
            match done {
                Ok(_) => {}
                // A rule of the bank, or two writers in each other's way.
                Err(sqlx::Error::Database(error))
                    if error.is_check_violation()
                        || error.is_foreign_key_violation()
                        || error.is_unique_violation()
                        || matches!(error.code().as_deref(), Some("40P01" | "23001")) =>
                {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return false;
                }
                Err(error) => panic!("the database failed at {statement}: {error}"),
            }
        }
        transaction.commit().await.expect("the commit holds");
        self.statements.fetch_add(statements.len(), Ordering::Relaxed);
        true
    }

    fn change(&self, random: &mut StdRng, known: &mut Known, writer: i64) -> Vec<String> {
        match random.random_range(0..100) {
            0..38 => vec![self.add_transactions(random, known)],
            38..60 => vec![self.change_transaction(random, known)],
            60..67 => vec![remove_transaction(random, known)],
            67..74 => vec![self.add_account(random, known, writer)],
            74..88 => vec![self.change_account(random, known)],
            88..91 => self.remove_account(random, known, writer),
            91..96 => vec![change_customer(random)],
            96..98 => vec![renumber(random, known)],
            // Nothing that anybody could see.
            _ => vec!["UPDATE accounts SET account_type = account_type WHERE id <= 3".to_owned()],
        }
    }

    /// One statement of one to three rows.
    fn add_transactions(&self, random: &mut StdRng, known: &mut Known) -> String {
        let rows: Vec<String> = (0..random.random_range(1..=3))
            .map(|_| {
                known.last_id += 1;
                let id = known.last_id;
                known.transactions.insert(id);
                let (account, currency) = any_account(random, known);
                let kind = *["DEPOSIT", "DEPOSIT", "WITHDRAWAL", "TRANSFER"].choose(random).expect("some");
                let other = other_account(random, known, account).filter(|_| kind == "TRANSFER");
                let kind = if other.is_none() && kind == "TRANSFER" {
                    "DEPOSIT"
                } else {
                    kind
                };
                let status = *["COMPLETED", "COMPLETED", "COMPLETED", "PENDING", "PENDING", "FAILED"]
                    .choose(random)
                    .expect("some");
                let other = other.map_or("NULL".to_owned(), |other| other.to_string());
                let (amount, at) = (amount(random, currency), instant(random));
                let (kind, status) = (self.code(random, kind), self.code(random, status));
                format!("({id}, {account}, '{kind}', {amount}, {other}, '{status}', {at})")
            })
            .collect();
        let rows = rows.join(", ");
        format!(
            "INSERT INTO transactions (id, account_id, txn_type, amount, related_account_id, status, created_at) VALUES {rows}"
        )
    }

    fn change_transaction(&self, random: &mut StdRng, known: &Known) -> String {
        let (account, currency) = any_account(random, known);
        let set = match random.random_range(0..7) {
            0 => format!("account_id = {account}"),
            1 => format!("txn_type = '{}', related_account_id = NULL", self.code(random, "WITHDRAWAL")),
            2 => match other_account(random, known, account) {
                Some(other) => format!("account_id = {account}, txn_type = 'TRANSFER', related_account_id = {other}"),
                None => format!("amount = {}", amount(random, currency)),
            },
            3 => format!("amount = {}, account_id = {account}", amount(random, currency)),
            4 => format!("created_at = {}", instant(random)),
            // What may become of a transaction: PENDING, COMPLETED, REVERSED, or PENDING, FAILED.
            5 => {
                "status = CASE status WHEN 'PENDING' THEN 'COMPLETED' WHEN 'COMPLETED' THEN 'REVERSED' ELSE status END".to_owned()
            }
            _ => "status = CASE status WHEN 'PENDING' THEN 'FAILED' ELSE status END".to_owned(),
        };
        match any_transaction(random, known) {
            // A transfer from an account to itself is refused, by a batch stack's database not before it is read.
            Some(id) if random.random_bool(0.9) => {
                format!("UPDATE transactions SET {set} WHERE id = {id} AND related_account_id IS DISTINCT FROM {account}")
            }
            // Many rows at once.
            _ => format!(
                "UPDATE transactions SET created_at = created_at + interval '{} hours' WHERE account_id = {account} AND id % 3 = 0",
                random.random_range(-30..30)
            ),
        }
    }

    fn open_account(&self, id: i64, currency: &str, customer: i64, kind: &str, at: i64) -> String {
        let column = match self.schema {
            Schema::Bank => "opening_balance",
            Schema::Narrow => "balance",
        };
        let opening = [0, 10_000, 25_000][(id % 3) as usize];
        let at = shown(TODAY + at, 0);
        format!(
            "INSERT INTO accounts (id, customer_id, account_type, currency, {column}, created_at)
             VALUES ({id}, {customer}, '{kind}', '{currency}', {opening}, {at})"
        )
    }

    /// An account of the writer's own that is not there, perhaps not any more.
    fn add_account(&self, random: &mut StdRng, known: &mut Known, writer: i64) -> String {
        let id = own_account(random, writer);
        if known.accounts.contains_key(&id) {
            return self.change_account(random, known);
        }
        // A batch stack's transfers outlive the account that they went to, and keep their amounts.
        let currency = match self.schema {
            Schema::Bank => CURRENCIES.choose(random).expect("some"),
            Schema::Narrow => self.schema.currency(id),
        };
        known.accounts.insert(id, currency);
        let (customer, at) = (
            random.random_range(1..=CUSTOMERS),
            random.random_range(-3 * 86_400..3 * 86_400),
        );
        let kind = *["CHECKING", "SAVINGS"].choose(random).expect("some");
        let kind = self.code(random, kind);
        self.open_account(id, currency, customer, &kind, at)
    }

    fn change_account(&self, random: &mut StdRng, known: &mut Known) -> String {
        let (id, _) = any_account(random, known);
        let kind = *["CHECKING", "SAVINGS"].choose(random).expect("some");
        let customer = random.random_range(1..=CUSTOMERS);
        let set = match random.random_range(0..8) {
            0 | 1 => format!("customer_id = {customer}"),
            2 => format!("account_type = '{}'", self.code(random, kind)),
            3 => format!("customer_id = {customer}, account_type = '{}'", self.code(random, kind)),
            4 => format!("created_at = {}", instant(random)),
            // It is not what the account opened with.
            _ if self.schema == Schema::Narrow => format!("balance = {}", random.random_range(0..5_000)),
            5 => format!("status = 'INACTIVE', closed_at = {}", instant(random)),
            6 if id > SHARED => {
                let currency = CURRENCIES.choose(random).expect("some");
                known.accounts.insert(id, currency);
                format!("currency = '{currency}'")
            }
            _ => "status = 'ACTIVE'".to_owned(),
        };
        format!("UPDATE accounts SET {set} WHERE id = {id}")
    }

    fn remove_account(&self, random: &mut StdRng, known: &mut Known, writer: i64) -> Vec<String> {
        let id = own_account(random, writer);
        if known.accounts.remove(&id).is_none() {
            return vec![remove_transaction(random, known)];
        }
        let rows = format!("DELETE FROM transactions WHERE {id} IN (account_id, related_account_id)");
        let account = format!("DELETE FROM accounts WHERE id = {id}");
        match self.schema {
            Schema::Bank => vec![rows, account],
            Schema::Narrow => vec![account],
        }
    }

    /// A code, as some people write it where nobody checks it.
    fn code(&self, random: &mut StdRng, code: &str) -> String {
        match self.schema {
            Schema::Narrow if random.random_bool(0.2) => format!(" {}", code.to_lowercase()),
            _ => code.to_owned(),
        }
    }
}

impl Schema {
    /// The currency that an account has for as long as nobody changes it.
    fn currency(self, id: i64) -> &'static str {
        match self {
            Self::Bank => CURRENCIES[(id % 4) as usize],
            Self::Narrow => NARROW_CURRENCIES[(id % 3) as usize],
        }
    }
}

fn own_account(random: &mut StdRng, writer: i64) -> i64 {
    100 * (writer + 1) + random.random_range(0..OWN)
}

fn any_account(random: &mut StdRng, known: &Known) -> (i64, &'static str) {
    let place = random.random_range(0..known.accounts.len());
    known
        .accounts
        .iter()
        .nth(place)
        .map(|(id, currency)| (*id, *currency))
        .expect("some")
}

/// Another account of the same currency.
fn other_account(random: &mut StdRng, known: &Known, account: i64) -> Option<i64> {
    let currency = known.accounts.get(&account)?;
    let others = known.accounts.iter().filter(|(id, of)| **id != account && *of == currency);
    let others: Vec<i64> = others.map(|(id, _)| *id).collect();
    others.choose(random).copied()
}

fn any_transaction(random: &mut StdRng, known: &Known) -> Option<i64> {
    let place = random.random_range(0..known.transactions.len().max(1));
    known.transactions.iter().nth(place).copied()
}

fn remove_transaction(random: &mut StdRng, known: &mut Known) -> String {
    let id = any_transaction(random, known).unwrap_or(0);
    known.transactions.remove(&id);
    format!("DELETE FROM transactions WHERE id = {id}")
}

/// Another key for the same row.
fn renumber(random: &mut StdRng, known: &mut Known) -> String {
    let id = any_transaction(random, known).unwrap_or(0);
    known.last_id += 1;
    if known.transactions.remove(&id) {
        known.transactions.insert(known.last_id);
    }
    format!("UPDATE transactions SET id = {} WHERE id = {id}", known.last_id)
}

pub fn add_customer(id: i64) -> String {
    format!(
        "INSERT INTO customers (id, first_name, last_name, email) VALUES ({id}, 'Customer', 'Number {id}', 'c{id}@example.org')"
    )
}

/// One that has no account, or only the name of one that has.
fn change_customer(random: &mut StdRng) -> String {
    let id = random.random_range(100..110);
    match random.random_range(0..3) {
        0 => format!("{} ON CONFLICT (id) DO NOTHING", add_customer(id)),
        1 => format!("DELETE FROM customers WHERE id = {id}"),
        _ => format!(
            "UPDATE customers SET first_name = 'Changed' WHERE id = {}",
            random.random_range(1..=CUSTOMERS)
        ),
    }
}

fn amount(random: &mut StdRng, currency: &str) -> String {
    let whole = random.random_range(1..100);
    match currency {
        "JPY" => whole.to_string(),
        _ => format!("{whole}.{:02}", random.random_range(0..100)),
    }
}

/// An instant of a few days, minutes of which are shared, some around midnight.
fn instant(random: &mut StdRng) -> String {
    let minute = [0, 1, 700, 1_438, 1_439].choose(random).expect("some");
    let second = TODAY + random.random_range(-2..3) * 86_400 + minute * 60 + random.random_range(0..60);
    shown(second, random.random_range(0..1_000_000))
}

fn shown(second: i64, micros: i64) -> String {
    format!("to_timestamp({second}) + interval '{micros} microseconds'")
}

//! A source that changes in batches, seen by the connector change by change and by dbt as its tables between them.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use schemas::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, Op, Row, TransactionRow};
use schemas::topics::*;
use serde_json::{Value, json};
use wire::{Topic, Wire};

use crate::support::Bench;

/// An hour before clocks are set back in New York, the time zone of dbt's session: on 1 November 2026 at 06:00 UTC.
const START_US: i64 = 1_793_509_200_000_000;
const MINUTE_US: i64 = 60_000_000;

/// One table: its rows, and who changed in this batch.
struct Table<R> {
    topic: Topic<CdcKey, Envelope<R>>,
    rows: BTreeMap<i64, R>,
    changed: BTreeSet<i64>,
}

impl<R> Table<R> {
    fn new(topic: Topic<CdcKey, Envelope<R>>) -> Self {
        Self {
            topic,
            rows: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// One of the first so many ids that has not changed in this batch.
    fn pick(&mut self, random: &mut StdRng, ids: i64) -> Option<i64> {
        let id = random.random_range(1..=ids);
        self.changed.insert(id).then_some(id)
    }

    /// A row that is there.
    fn any(&self, random: &mut StdRng) -> Option<i64> {
        let ids: Vec<i64> = self.rows.keys().copied().collect();
        ids.choose(random).copied()
    }
}

/// The bank's database.
pub struct Source {
    pub bank: Bench,
    pub changes: usize,
    /// Whether it has the columns of a batch stack alone: none that say when a row was changed, nor what an account opened with or whether it is
    /// open; and tells the key alone of what a row was before.
    narrow: bool,
    random: StdRng,
    customers: Table<CustomerRow>,
    accounts: Table<AccountRow>,
    transactions: Table<TransactionRow>,
    /// The instant of the last batch.
    at_us: i64,
    /// The commit of the transaction in hand.
    commit_us: i64,
    tx_id: i64,
}

impl Source {
    pub fn new(seed: u64, narrow: bool) -> Self {
        Self {
            bank: Bench::new(),
            changes: 0,
            narrow,
            random: StdRng::seed_from_u64(seed),
            customers: Table::new(CDC_CUSTOMERS),
            accounts: Table::new(CDC_ACCOUNTS),
            transactions: Table::new(CDC_TRANSACTIONS),
            at_us: START_US,
            commit_us: START_US,
            tx_id: 700,
        }
    }

    /// A batch of transactions. Returns what dbt sees after it.
    pub fn batch(&mut self) -> Value {
        let before_us = self.at_us;
        // Several of them fall into the hour that comes twice.
        self.at_us += self.random.random_range(1..30) * MINUTE_US + self.random.random_range(0..1_000_000);
        self.customers.changed.clear();
        self.accounts.changed.clear();
        self.transactions.changed.clear();
        let count = self.random.random_range(80..140);
        let mut commits: Vec<i64> = (0..count)
            .map(|_| self.random.random_range(before_us + 1..=self.at_us))
            .collect();
        commits.sort_unstable();
        if self.narrow {
            // dbt knows no other time of a change than that of its run.
            commits.fill(self.at_us);
        }
        for commit_us in commits {
            self.begin(commit_us);
            match self.random.random_range(0..10) {
                0..4 => self.change_customer(),
                4..7 => self.change_account(),
                _ => self.change_transaction(),
            }
            if self.random.random_bool(0.02) {
                self.bank.driver.take_down(0, self.random.random_bool(0.5));
                self.bank.driver.revive(0).unwrap();
            }
        }
        // dbt sees that a row is gone at the instant of its run, so they go then.
        for _ in 0..self.random.random_range(2..8) {
            self.begin(self.at_us);
            self.delete_something();
        }
        self.bank.driver.settle();
        self.seen()
    }

    fn begin(&mut self, commit_us: i64) {
        (self.commit_us, self.tx_id) = (commit_us, self.tx_id + 1);
    }

    fn change_customer(&mut self) {
        let Some(id) = self.customers.pick(&mut self.random, 60) else {
            return;
        };
        let was_there = self.customers.rows.contains_key(&id);
        // a, then b, then a again is no version; nor is what came and went.
        for step in 0..self.random.random_range(1..=3) {
            let name = |random: &mut StdRng, of: &[&str]| Some((*of.choose(random).unwrap()).to_owned());
            let known = self.customers.rows.get(&id).cloned();
            let is_same = known.is_some() && self.random.random_bool(0.2);
            let row = CustomerRow {
                id,
                first_name: name(&mut self.random, &["Ada", " Bo ", "Cécile", "Dag"]),
                last_name: name(&mut self.random, &["Lee", "Ng", "O'Hara", "  von Ümlaut"]),
                email: name(&mut self.random, &["a@b.c", "A@B.C", " d@e.f"]),
                created_at: Some(known.as_ref().and_then(|row| row.created_at).unwrap_or(self.commit_us)),
                updated_at: self.updated_at(),
            };
            let row = match known {
                Some(known) if is_same => CustomerRow {
                    updated_at: self.updated_at(),
                    ..known
                },
                _ => row,
            };
            self.write(|source| &mut source.customers, id, Some(row));
            if step == 1 && was_there && self.random.random_bool(0.3) {
                let row = self.customers.rows[&id].clone();
                self.write(|source| &mut source.customers, id, None);
                self.write(|source| &mut source.customers, id, Some(row));
            }
        }
    }

    fn change_account(&mut self) {
        let Some(customer) = self.customers.any(&mut self.random) else {
            return;
        };
        let Some(id) = self.accounts.pick(&mut self.random, 60) else {
            return;
        };
        for _ in 0..self.random.random_range(1..=2) {
            let known = self.accounts.rows.get(&id).cloned();
            let text = |random: &mut StdRng, of: &[&str]| Some((*of.choose(random).unwrap()).to_owned());
            let status = [None, Some("ACTIVE"), Some("INACTIVE")];
            let status = status.choose(&mut self.random).unwrap().map(str::to_owned);
            let row = match known {
                // Its balance moves, or what of it is tracked.
                Some(known) if self.random.random_bool(0.4) => AccountRow {
                    balance: Some(format!("{}.50", self.random.random_range(0..1_000)).parse().unwrap()),
                    ..known
                },
                Some(known) => AccountRow {
                    customer_id: Some(if self.random.random_bool(0.3) {
                        customer
                    } else {
                        known.customer_id.unwrap()
                    }),
                    account_type: text(&mut self.random, &["CHECKING", "savings", " SAVINGS"]),
                    status,
                    ..known
                },
                None => AccountRow {
                    id,
                    customer_id: Some(customer),
                    account_type: text(&mut self.random, &["CHECKING", "SAVINGS"]),
                    currency: text(&mut self.random, &["EUR", "usd", "CHF"]),
                    opening_balance: Some("1000.00".parse().unwrap()),
                    balance: Some("1000.00".parse().unwrap()),
                    status,
                    closed_at: None,
                    created_at: Some(self.commit_us),
                    updated_at: None,
                },
            };
            let row = AccountRow {
                updated_at: self.updated_at(),
                opening_balance: row.opening_balance.filter(|_| !self.narrow),
                status: row.status.filter(|_| !self.narrow),
                ..row
            };
            self.write(|source| &mut source.accounts, id, Some(row));
        }
    }

    fn change_transaction(&mut self) {
        let Some(account) = self.accounts.any(&mut self.random) else {
            return;
        };
        let ids = self.transactions.rows.len() as i64 + 5;
        let Some(id) = self.transactions.pick(&mut self.random, ids) else {
            return;
        };
        let text = |random: &mut StdRng, of: &[&str]| Some((*of.choose(random).unwrap()).to_owned());
        let known = self.transactions.rows.get(&id).cloned();
        let row = TransactionRow {
            id,
            account_id: Some(account),
            txn_type: text(&mut self.random, &["DEPOSIT", "WITHDRAWAL"]),
            amount: Some(
                format!("{}.{:02}", self.random.random_range(0..500), self.random.random_range(1..100))
                    .parse()
                    .unwrap(),
            ),
            related_account_id: None,
            status: text(&mut self.random, &["PENDING", "COMPLETED", "FAILED", "reversed "]),
            created_at: Some(known.and_then(|row| row.created_at).unwrap_or(self.commit_us)),
            updated_at: self.updated_at(),
        };
        // NULL, then a value, then NULL.
        let other = self.accounts.any(&mut self.random).filter(|other| *other != account);
        let row = match other.filter(|_| self.random.random_bool(0.3)) {
            Some(other) => TransactionRow {
                txn_type: Some("TRANSFER".to_owned()),
                related_account_id: Some(other),
                ..row
            },
            None => row,
        };
        self.write(|source| &mut source.transactions, id, Some(row));
    }

    /// What nothing refers to goes.
    fn delete_something(&mut self) {
        let owners: BTreeSet<i64> = self.accounts.rows.values().filter_map(|row| row.customer_id).collect();
        let of_transactions = self.transactions.rows.values();
        let used: BTreeSet<i64> = of_transactions
            .flat_map(|row| [row.account_id, row.related_account_id])
            .flatten()
            .collect();
        match self.random.random_range(0..3) {
            0 => {
                let found = self.customers.any(&mut self.random).filter(|id| !owners.contains(id));
                if let Some(id) = found.filter(|id| self.customers.changed.insert(*id)) {
                    self.write(|source| &mut source.customers, id, None);
                }
            }
            1 => {
                let found = self.accounts.any(&mut self.random).filter(|id| !used.contains(id));
                if let Some(id) = found.filter(|id| self.accounts.changed.insert(*id)) {
                    self.write(|source| &mut source.accounts, id, None);
                }
            }
            _ => {
                let found = self.transactions.any(&mut self.random);
                if let Some(id) = found.filter(|id| self.transactions.changed.insert(*id)) {
                    self.write(|source| &mut source.transactions, id, None);
                }
            }
        }
    }

    /// When a row is changed, if the source has a column for that.
    fn updated_at(&self) -> Option<i64> {
        (!self.narrow).then_some(self.commit_us)
    }

    /// One statement on one row, as the connector tells of it.
    fn write<R: Row + Clone>(&mut self, table: fn(&mut Self) -> &mut Table<R>, id: i64, row: Option<R>)
    where
        Envelope<R>: Wire,
    {
        let known = match row.clone() {
            Some(row) => table(self).rows.insert(id, row),
            None => table(self).rows.remove(&id),
        };
        let op = match (&known, &row) {
            (None, _) => Op::Create,
            (Some(_), Some(_)) => Op::Update,
            (Some(_), None) => Op::Delete,
        };
        let mut event = self.bank.event(op, row);
        event.before = known.filter(|_| !self.narrow);
        event.source.tx_id = Some(self.tx_id);
        event.source.ts_ms = self.commit_us / 1_000;
        event.source.ts_us = Some(self.commit_us);
        let topic = table(self).topic;
        self.bank
            .driver
            .queue(topic, event.source.ts_ms, &CdcKey { id }, Some(&event));
        if op == Op::Delete {
            self.bank
                .driver
                .queue::<_, Envelope<R>>(topic, event.source.ts_ms, &CdcKey { id }, None);
        }
        self.changes += 1;
    }

    fn seen(&self) -> Value {
        let customers = self.customers.rows.values().map(|row| {
            json!({ "id": row.id, "first_name": row.first_name, "last_name": row.last_name, "email": row.email,
                    "created_at": row.created_at, "updated_at": row.updated_at })
        });
        let accounts = self.accounts.rows.values().map(|row| {
            json!({ "id": row.id, "customer_id": row.customer_id, "account_type": row.account_type, "currency": row.currency,
                    "opening_balance": row.opening_balance.map(|opening| opening.to_string()), "balance": row.balance.unwrap().to_string(),
                    "status": row.status, "created_at": row.created_at, "updated_at": row.updated_at })
        });
        let transactions = self.transactions.rows.values().map(|row| {
            json!({ "id": row.id, "account_id": row.account_id, "txn_type": row.txn_type, "amount": row.amount.unwrap().to_string(),
                    "related_account_id": row.related_account_id, "status": row.status,
                    "created_at": row.created_at, "updated_at": row.updated_at })
        });
        json!({
            "at_us": self.at_us,
            "customers": customers.collect::<Vec<_>>(),
            "accounts": accounts.collect::<Vec<_>>(),
            "transactions": transactions.collect::<Vec<_>>(),
        })
    }
}

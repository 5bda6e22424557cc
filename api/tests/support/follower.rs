//! State that follows the change topics, for tests of the routes: what the engine's stores would hold, without the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::reads::{AccountFilter, InputLag, Located, ReadError, Readiness, Reading, Reads, Rows, Scattered, TransactionFilter};
use broker::in_process::InProcessBroker;
use parking_lot::Mutex;
use schemas::bronze::{AccountRow, CustomerRow, Source, TransactionRow};
use schemas::gold::AccountBalance;
use schemas::silver::{Account, Customer, Transaction};
use schemas::{AccountId, CustomerId, Money, TransactionId};
use wire::MemoryRegistry;

use super::events::{Told, told};

/// The rows of one instance: those whose id leaves `index` when divided by the number of instances.
pub struct Follower {
    broker: InProcessBroker,
    registry: Arc<MemoryRegistry>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    customers: BTreeMap<CustomerId, Customer>,
    accounts: BTreeMap<AccountId, Account>,
    transactions: BTreeMap<TransactionId, Transaction>,
    index: i64,
    instances: Vec<String>,
    missing: Vec<u32>,
    trouble: Option<String>,
}

impl Follower {
    pub fn new(broker: InProcessBroker, registry: Arc<MemoryRegistry>) -> Self {
        let state = Mutex::new(State {
            instances: vec!["http://here".to_owned()],
            ..State::default()
        });
        Self { broker, registry, state }
    }

    /// Says who the instances are, and which of them this one is.
    pub fn share(&self, index: usize, instances: &[String]) {
        let mut state = self.state.lock();
        state.index = index as i64;
        state.instances = instances.to_vec();
    }

    /// Makes a partition one that nobody serves.
    pub fn lose_partition(&self) {
        self.state.lock().missing = vec![7];
    }

    /// Makes the stores not ready.
    pub fn stall(&self, reason: &str) {
        self.state.lock().trouble = Some(reason.to_owned());
    }

    /// Reads the change topics to their ends.
    pub fn catch_up(&self) {
        let mut state = self.state.lock();
        let events = told(&self.broker, self.registry.clone());
        state.customers.clear();
        state.accounts.clear();
        state.transactions.clear();
        for event in &events {
            let source = event.source();
            match event {
                Told::Customer(envelope) => {
                    let after = envelope.after.as_ref().map(|row| customer(row, source));
                    put(&mut state.customers, CustomerId(event.id()), after);
                }
                Told::Account(envelope) => {
                    let after = envelope.after.as_ref().map(|row| account(row, source));
                    put(&mut state.accounts, AccountId(event.id()), after);
                }
                Told::Transaction(envelope) => {
                    let after = envelope.after.as_ref().map(|row| transaction(row, source));
                    put(&mut state.transactions, TransactionId(event.id()), after);
                }
            }
        }
    }
}

fn put<K: Ord, V>(rows: &mut BTreeMap<K, V>, id: K, after: Option<V>) {
    match after {
        Some(row) => rows.insert(id, row),
        None => rows.remove(&id),
    };
}

impl State {
    fn holder(&self, id: i64) -> i64 {
        id % self.instances.len() as i64
    }

    fn others(&self) -> Vec<String> {
        let is_other = |(index, _): &(usize, &String)| *index as i64 != self.index;
        self.instances
            .iter()
            .enumerate()
            .filter(is_other)
            .map(|(_, address)| address.clone())
            .collect()
    }

    fn one<K: Ord, V: Clone>(&self, rows: &BTreeMap<K, V>, key: K, id: i64) -> Result<Scattered<Option<V>>, ReadError> {
        let value = rows.get(&key).filter(|_| self.holder(id) == self.index).cloned();
        let is_found = value.is_some();
        Ok(Scattered {
            value,
            others: if is_found { Vec::new() } else { self.others() },
            missing: if is_found { Vec::new() } else { self.missing.clone() },
        })
    }

    fn page<K: Ord + Copy, V: Clone>(
        &self,
        rows: &BTreeMap<K, V>,
        after: Option<K>,
        limit: usize,
        id: fn(K) -> i64,
        keep: impl Fn(&V) -> bool,
    ) -> Rows<V> {
        let is_here = |key: &K| after.is_none_or(|after| *key > after) && self.holder(id(*key)) == self.index;
        let page = rows.iter().filter(|(key, row)| is_here(key) && keep(row)).take(limit);
        Ok(Scattered {
            value: page.map(|(_, row)| row.clone()).collect(),
            others: self.others(),
            missing: self.missing.clone(),
        })
    }
}

impl Reads for Follower {
    fn balance(&self, id: AccountId) -> Result<Located<Reading<Option<AccountBalance>>>, ReadError> {
        let state = self.state.lock();
        if let Some(reason) = &state.trouble {
            return Err(ReadError::NotReady(reason.clone()));
        }
        let holder = state.holder(id.0);
        if holder != state.index {
            return Ok(Located::Elsewhere(state.instances[holder as usize].clone()));
        }
        let on = |row: &&Transaction| row.account_id == id || row.related_account_id == Some(id);
        let entries = state.transactions.values().filter(on).count() as i64;
        let value = state.accounts.get(&id).map(|account| AccountBalance {
            account_id: id,
            customer_id: account.customer_id,
            currency: account.currency,
            opening: account.opening_balance,
            booked: account.balance,
            pending: Money::ZERO,
            available: account.balance,
            entry_count: entries,
            last_entry_at: (entries > 0).then_some(account.source_ts),
            is_deleted: false,
            source_lsn: account.source_lsn,
            source_ts: account.source_ts,
        });
        Ok(Located::Here(Reading {
            value,
            committed_at_ms: 1_700_000_000_123,
        }))
    }

    fn customer(&self, id: CustomerId) -> Result<Scattered<Option<Customer>>, ReadError> {
        let state = self.state.lock();
        state.one(&state.customers, id, id.0)
    }

    fn account(&self, id: AccountId) -> Result<Scattered<Option<Account>>, ReadError> {
        let state = self.state.lock();
        state.one(&state.accounts, id, id.0)
    }

    fn transaction(&self, id: TransactionId) -> Result<Scattered<Option<Transaction>>, ReadError> {
        let state = self.state.lock();
        state.one(&state.transactions, id, id.0)
    }

    fn customers(&self, after: Option<CustomerId>, limit: usize) -> Rows<Customer> {
        let state = self.state.lock();
        state.page(&state.customers, after, limit, |id| id.0, |_| true)
    }

    fn accounts(&self, after: Option<AccountId>, limit: usize, filter: AccountFilter) -> Rows<Account> {
        let state = self.state.lock();
        state.page(&state.accounts, after, limit, |id| id.0, |row| filter.accepts(row))
    }

    fn transactions(&self, after: Option<TransactionId>, limit: usize, filter: TransactionFilter) -> Rows<Transaction> {
        let state = self.state.lock();
        state.page(&state.transactions, after, limit, |id| id.0, |row| filter.accepts(row))
    }

    fn readiness(&self) -> Readiness {
        let reasons: Vec<String> = self.state.lock().trouble.iter().cloned().collect();
        Readiness {
            ready: reasons.is_empty(),
            reasons,
        }
    }

    fn lag(&self) -> Vec<InputLag> {
        let topic = "bank.public.accounts".to_owned();
        vec![InputLag {
            topic,
            partition: 2,
            records: 5,
            oldest_waiting_ms: Some(1_700_000_000_000),
        }]
    }
}

fn customer(row: &CustomerRow, source: &Source) -> Customer {
    Customer {
        id: CustomerId(row.id),
        first_name: row.first_name.clone().expect("a name"),
        last_name: row.last_name.clone().expect("a name"),
        email: row.email.clone().expect("an address"),
        created_at: row.created_at.expect("a time"),
        updated_at: row.updated_at.expect("a time"),
        source_lsn: source.lsn.expect("a position"),
        source_ts: source.committed_at_us(),
    }
}

fn account(row: &AccountRow, source: &Source) -> Account {
    let code = |text: &Option<String>| text.clone().expect("a code");
    Account {
        id: AccountId(row.id),
        customer_id: CustomerId(row.customer_id.expect("an owner")),
        account_type: code(&row.account_type).parse().expect("a type"),
        currency: code(&row.currency).parse().expect("a currency"),
        opening_balance: row.opening_balance.expect("an amount"),
        balance: row.balance.expect("an amount"),
        status: code(&row.status).parse().expect("a status"),
        closed_at: row.closed_at,
        created_at: row.created_at.expect("a time"),
        updated_at: row.updated_at.expect("a time"),
        source_lsn: source.lsn.expect("a position"),
        source_ts: source.committed_at_us(),
    }
}

fn transaction(row: &TransactionRow, source: &Source) -> Transaction {
    let code = |text: &Option<String>| text.clone().expect("a code");
    Transaction {
        id: TransactionId(row.id),
        account_id: AccountId(row.account_id.expect("an account")),
        txn_type: code(&row.txn_type).parse().expect("a type"),
        amount: row.amount.expect("an amount"),
        related_account_id: row.related_account_id.map(AccountId),
        status: code(&row.status).parse().expect("a status"),
        created_at: row.created_at.expect("a time"),
        updated_at: row.updated_at.expect("a time"),
        source_lsn: source.lsn.expect("a position"),
        source_ts: source.committed_at_us(),
    }
}

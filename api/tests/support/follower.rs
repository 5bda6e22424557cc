//! State that follows the change topics, for tests of the routes: what the engine's stores would hold, without the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::reads::{
    AccountDays, AccountFilter, Aggregates, Balanced, Days, Entries, InputLag, Instance, Journal, Located, Minutes, Part,
    ReadError, Readiness, Reading, Reads, Rows, Scan, Scattered, Token, TransactionFilter, Versions,
};
use broker::in_process::InProcessBroker;
use parking_lot::Mutex;
use schemas::bronze::{AccountRow, CustomerRow, Source, TransactionRow};
use schemas::gold::{
    AccountBalance, AccountVersion, BankDay, CustomerPosition, CustomerVersion, Reconciliation, TransactionMinute,
    TransactionMinuteKey, Versioned,
};
use schemas::silver::{Account, BalanceFrom, Customer, Frontier, Posting, Transaction};
use schemas::state::{Hold, Opening};
use schemas::{AccountId, CustomerId, Money, TransactionId};
use system_of_record::conformance::events::{ChangeEvent, change_events};
use topology::Millis;
use wire::MemoryRegistry;

use super::aggregates;
use super::versions::{account_version, customer_version, follow};

/// The rows of one instance. A row's partition is what its id leaves when divided by the number of partitions.
pub struct Follower {
    token: Token,
    broker: InProcessBroker,
    registry: Arc<MemoryRegistry>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    customers: BTreeMap<CustomerId, Customer>,
    accounts: BTreeMap<AccountId, Account>,
    transactions: BTreeMap<TransactionId, Transaction>,
    customer_versions: BTreeMap<CustomerId, Vec<CustomerVersion>>,
    account_versions: BTreeMap<AccountId, Vec<AccountVersion>>,
    /// By partition: who has it.
    owners: Vec<Owner>,
    trouble: Option<String>,
    held_up: Option<String>,
}

/// Whom an instance takes for a partition's owner.
#[derive(Clone)]
pub enum Owner {
    Here,
    There(Instance),
    Nobody,
}

impl Follower {
    pub fn new(broker: InProcessBroker, registry: Arc<MemoryRegistry>) -> Self {
        let owners = vec![Owner::Here];
        let state = Mutex::new(State {
            owners,
            ..State::default()
        });
        let token = Token::random();
        Self {
            token,
            broker,
            registry,
            state,
        }
    }

    /// Says who has which partition.
    pub fn share(&self, owners: Vec<Owner>) {
        self.state.lock().owners = owners;
    }

    /// Lets nobody have a partition.
    pub fn lose(&self, partition: usize) {
        self.state.lock().owners[partition] = Owner::Nobody;
    }

    /// Makes the stores not ready.
    pub fn stall(&self, reason: &str) {
        self.state.lock().trouble = Some(reason.to_owned());
    }

    /// Holds up what follows the topics; the stores answer.
    pub fn hold_up(&self, reason: &str) {
        self.state.lock().held_up = Some(reason.to_owned());
    }

    /// Reads the change topics to their ends.
    pub fn catch_up(&self) {
        let mut state = self.state.lock();
        let events = change_events(&self.broker, self.registry.clone());
        state.customers.clear();
        state.accounts.clear();
        state.transactions.clear();
        state.customer_versions.clear();
        state.account_versions.clear();
        for event in &events {
            let source = event.source();
            match event {
                ChangeEvent::Customer(envelope) => {
                    let after = envelope.after.as_ref().map(|row| customer(row, source));
                    let versions = state.customer_versions.entry(CustomerId(event.id())).or_default();
                    follow(versions, after.as_ref(), source, customer_version);
                    put(&mut state.customers, CustomerId(event.id()), after);
                }
                ChangeEvent::Account(envelope) => {
                    let after = envelope.after.as_ref().map(|row| account(row, source));
                    let versions = state.account_versions.entry(AccountId(event.id())).or_default();
                    follow(versions, after.as_ref(), source, account_version);
                    put(&mut state.accounts, AccountId(event.id()), after);
                }
                ChangeEvent::Transaction(envelope) => {
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
    fn history<K: Ord, V: Versioned + Clone>(
        &self,
        all: &BTreeMap<K, Vec<V>>,
        (key, id): (K, i64),
        which: Versions,
    ) -> Result<Located<Reading<Part<V>>>, ReadError> {
        let versions = all.get(&key).map_or(&[][..], Vec::as_slice);
        let get = |number: i64| Ok(usize::try_from(number - 1).ok().and_then(|at| versions.get(at)).cloned());
        let part: Part<V> = which.pick::<V, ReadError>(get)?;
        Ok(match self.located(id, || ())? {
            Located::Here(reading) => Located::Here(Reading {
                value: part,
                committed_at_ms: reading.committed_at_ms,
            }),
            Located::Elsewhere(instance) => Located::Elsewhere(instance),
        })
    }

    fn partition(&self, id: i64) -> usize {
        id.rem_euclid(self.owners.len() as i64) as usize
    }

    fn one<K: Ord, V: Clone>(&self, rows: &BTreeMap<K, V>, key: K, id: i64) -> Result<Located<Reading<Option<V>>>, ReadError> {
        self.located(id, || rows.get(&key).cloned())
    }

    fn located<V>(&self, id: i64, value: impl FnOnce() -> V) -> Result<Located<Reading<V>>, ReadError> {
        match &self.owners[self.partition(id)] {
            Owner::Here => Ok(Located::Here(Reading {
                value: value(),
                committed_at_ms: Millis(1_700_000_000_123),
            })),
            Owner::There(instance) => Ok(Located::Elsewhere(instance.clone())),
            Owner::Nobody => Err(ReadError::NotReady("the partition is being restored".to_owned())),
        }
    }

    /// Which of the partitions that are asked for are here, and who has the others.
    fn shared(&self, scan: &Scan) -> Scattered<Vec<usize>> {
        let all = (0..self.owners.len() as u32).collect();
        let (mut here, mut others, mut missing) = (Vec::new(), BTreeMap::<Instance, Vec<u32>>::new(), Vec::new());
        for partition in scan.partitions.clone().unwrap_or(all) {
            match self.owners.get(partition as usize) {
                Some(Owner::Here) => here.push(partition as usize),
                Some(Owner::There(instance)) => others.entry(instance.clone()).or_default().push(partition),
                _ => missing.push(partition),
            }
        }
        Scattered {
            value: here,
            others: others.into_iter().collect(),
            missing,
        }
    }

    /// Those of the rows that are here.
    fn gathered<T, U>(
        &self,
        scan: &Scan,
        number: impl Fn(&T) -> i64,
        pick: impl FnOnce(&dyn Fn(&T) -> bool) -> Part<T, U>,
    ) -> Rows<T, U> {
        let Scattered { value, others, missing } = self.shared(scan);
        let is_here = |row: &T| value.contains(&self.partition(number(row)));
        Ok(Scattered {
            value: pick(&is_here),
            others,
            missing,
        })
    }

    fn page<K: Ord + Copy, V: Clone>(
        &self,
        rows: &BTreeMap<K, V>,
        scan: &Scan,
        id: fn(K) -> i64,
        keep: impl Fn(&V) -> bool,
    ) -> Rows<V> {
        let Scattered {
            value: here,
            others,
            missing,
        } = self.shared(scan);
        let is_here = |key: &K| {
            let id = id(*key);
            scan.after.is_none_or(|after| id > after) && here.contains(&self.partition(id))
        };
        let mut all: Vec<(&K, &V)> = rows.iter().filter(|(key, _)| is_here(key)).collect();
        all.sort_by_key(|(key, _)| id(**key));
        let left = all.len() > scan.visits_max;
        let visited: Vec<(&K, &V)> = all.into_iter().take(scan.visits_max).collect();
        let mut until = visited.last().filter(|_| left).map(|(key, _)| id(**key));
        let mut found: Vec<(&K, &V)> = visited.into_iter().filter(|(_, row)| keep(row)).collect();
        if found.len() > scan.limit {
            found.truncate(scan.limit);
            until = found.last().map(|(key, _)| id(**key));
        }
        Ok(Scattered {
            value: Part {
                rows: found.into_iter().map(|(_, row)| row.clone()).collect(),
                until,
            },
            others,
            missing,
        })
    }
}

impl Aggregates for Follower {
    fn positions(&self, id: CustomerId, scan: &Scan) -> Rows<CustomerPosition> {
        let state = self.state.lock();
        let mut all = aggregates::positions(id, &state.accounts);
        // Spread by their currencies, as by their whole keys.
        let number = |row: &CustomerPosition| i64::from(row.currency.as_str().as_bytes()[0]);
        state.gathered(scan, number, |is_here| {
            all.retain(is_here);
            Part { rows: all, until: None }
        })
    }

    fn account_days(&self, id: AccountId, days: Days) -> AccountDays {
        let state = self.state.lock();
        let all = |account| aggregates::some_days(aggregates::account_days(account, &state.transactions), days);
        state.located(id.0, || state.accounts.get(&id).map(all))
    }

    fn bank_days(&self, last: i32, scan: &Scan) -> Rows<BankDay> {
        let state = self.state.lock();
        let all = aggregates::bank_days(&state.accounts, &state.transactions);
        let number = |row: &BankDay| i64::from(row.currency.as_str().as_bytes()[0]);
        state.gathered(scan, number, |is_here| Part {
            rows: all.into_values().filter(|row| row.day <= last && is_here(row)).collect(),
            until: None,
        })
    }

    fn minutes(&self, minutes: &Minutes, scan: &Scan) -> Rows<TransactionMinute, TransactionMinuteKey> {
        let state = self.state.lock();
        let all = aggregates::minutes(&state.accounts, &state.transactions);
        let number = |row: &TransactionMinute| i64::from(row.currency.as_str().as_bytes()[0]);
        state.gathered(scan, number, |is_here| {
            aggregates::some_minutes(all, minutes, scan.limit, is_here)
        })
    }
}

/// It keeps no journal: accounts have what they opened with. What is found in one is tested on the engine's stores.
impl Journal for Follower {
    fn entries(&self, id: AccountId) -> Result<Located<Reading<Option<Entries>>>, ReadError> {
        let found = match self.balance(id)? {
            Located::Here(reading) => reading,
            Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
        };
        let entries = |balance: AccountBalance| Entries {
            frontier: None,
            opened_at: None,
            balance: AccountBalance {
                booked: balance.opening,
                entry_count: 0,
                ..balance
            },
        };
        Ok(Located::Here(Reading {
            value: found.value.balance.map(entries),
            committed_at_ms: found.committed_at_ms,
        }))
    }

    fn postings(&self, _: AccountId, _: i64, _: i64) -> Result<Vec<Posting>, ReadError> {
        Ok(Vec::new())
    }

    fn ahead(&self, _: AccountId, _: i64) -> Result<Vec<(i64, i64)>, ReadError> {
        Ok(Vec::new())
    }

    fn openings(&self, _: AccountId, _: i64) -> Result<Vec<(i64, Opening)>, ReadError> {
        Ok(Vec::new())
    }

    fn holds(&self, _: AccountId, _: TransactionId) -> Result<Vec<(TransactionId, Hold)>, ReadError> {
        Ok(Vec::new())
    }

    fn reconciliation(&self, id: AccountId) -> Result<Located<Reading<Option<Reconciliation>>>, ReadError> {
        let state = self.state.lock();
        state.located(id.0, || None)
    }

    fn different(&self, scan: &Scan) -> Rows<Reconciliation, AccountId> {
        let state = self.state.lock();
        let number = |row: &Reconciliation| row.account_id.0;
        state.gathered(scan, number, |_| Part {
            rows: Vec::new(),
            until: None,
        })
    }
}

impl Reads for Follower {
    fn balance(&self, id: AccountId) -> Result<Located<Reading<Balanced>>, ReadError> {
        let state = self.state.lock();
        if let Some(reason) = &state.trouble {
            return Err(ReadError::NotReady(reason.clone()));
        }
        let on = |row: &&Transaction| row.account_id == id || row.related_account_id == Some(id);
        let entries = state.transactions.values().filter(on).count() as i64;
        let balance = |account: &Account| AccountBalance {
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
            commit_number: None,
        };
        state.located(id.0, || Balanced {
            frontier: Some(Frontier::default()),
            is_awaited: false,
            balance: state.accounts.get(&id).map(balance),
        })
    }

    fn former(&self, now: &AccountBalance, _: i64) -> Result<Located<Reading<Option<AccountBalance>>>, ReadError> {
        self.state.lock().located(now.account_id.0, || None)
    }

    fn customer_history(&self, id: CustomerId, which: Versions) -> Result<Located<Reading<Part<CustomerVersion>>>, ReadError> {
        let state = self.state.lock();
        state.history(&state.customer_versions, (id, id.0), which)
    }

    fn account_history(&self, id: AccountId, which: Versions) -> Result<Located<Reading<Part<AccountVersion>>>, ReadError> {
        let state = self.state.lock();
        state.history(&state.account_versions, (id, id.0), which)
    }

    fn customer(&self, id: CustomerId) -> Result<Located<Reading<Option<Customer>>>, ReadError> {
        let state = self.state.lock();
        state.one(&state.customers, id, id.0)
    }

    fn account(&self, id: AccountId) -> Result<Located<Reading<Option<Account>>>, ReadError> {
        let state = self.state.lock();
        state.one(&state.accounts, id, id.0)
    }

    fn transaction(&self, id: TransactionId) -> Result<Located<Reading<Option<Transaction>>>, ReadError> {
        let state = self.state.lock();
        state.one(&state.transactions, id, id.0)
    }

    fn customers(&self, scan: &Scan) -> Rows<Customer> {
        let state = self.state.lock();
        state.page(&state.customers, scan, |id| id.0, |_| true)
    }

    fn accounts(&self, scan: &Scan, filter: AccountFilter) -> Rows<Account> {
        let state = self.state.lock();
        state.page(&state.accounts, scan, |id| id.0, |row| filter.accepts(row))
    }

    fn transactions(&self, scan: &Scan, filter: TransactionFilter) -> Rows<Transaction> {
        let state = self.state.lock();
        state.page(&state.transactions, scan, |id| id.0, |row| filter.accepts(row))
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn readiness(&self) -> Readiness {
        let state = self.state.lock();
        let reasons: Vec<String> = state.trouble.iter().chain(&state.held_up).cloned().collect();
        Readiness {
            ready: reasons.is_empty(),
            answers: state.trouble.is_none(),
            reasons,
        }
    }

    fn lag(&self) -> Vec<InputLag> {
        let topic = "bank.public.accounts".to_owned();
        vec![InputLag {
            topic,
            partition: 2,
            records: 5,
            oldest_waiting_ms: Some(Millis(1_700_000_000_000)),
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
        source_ts: source.committed_at_us().0,
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
        source_ts: source.committed_at_us().0,
        balance_from: BalanceFrom::Ledger,
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
        source_ts: source.committed_at_us().0,
    }
}

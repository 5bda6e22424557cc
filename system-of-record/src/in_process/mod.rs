//! The system of record in memory: the database of the embedded default, of tests and of simulations.
//!
//! It keeps the rules of the real one (the conformance suite runs on both) and sends the same change events: a commit returns once
//! its events are in the log. Commits are one after the other; what they wait for is the log, which takes many at once.
//!
//! Everything is in memory and grows with the bank; it is gone when the process ends, and so is the in-process log.

mod bank;
mod events;
mod outbox;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::{Broker, BrokerError, CleanupPolicy, TopicSpec};
use clock::{Clock, Micros};
use parking_lot::Mutex;
use schemas::bronze::{AccountRow, CustomerRow, TransactionRow};
use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_TRANSACTION_METADATA, CDC_TRANSACTIONS};
use schemas::{AccountId, CustomerId, TransactionId};
use tokio::sync::oneshot;
use wire::{Registry, WireError};

use crate::{Account, Change, Customer, Row, SystemOfRecord, SystemOfRecordError, Transaction, checks};
use bank::Bank;
use events::Events;
use outbox::{Batch, Outbox};

/// How long a commit waits for its turn while the log is away.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const TOPICS_TIMEOUT: Duration = Duration::from_secs(30);

/// Why it could not be started.
#[derive(Debug, thiserror::Error)]
pub enum InProcessError {
    /// The schemas of the change events could not be registered.
    #[error("the schemas of the change events could not be registered")]
    Schemas(#[from] WireError),
    /// The topics of the change events could not be made.
    #[error("the topics of the change events could not be made")]
    Topics(#[from] BrokerError),
    /// The thread that writes them could not be started.
    #[error("the thread that writes change events could not be started")]
    Thread(#[from] std::io::Error),
}

/// The database. Cheap to share by `Arc`.
pub struct InProcess {
    state: Mutex<State>,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
}

struct State {
    bank: Bank,
    events: Events,
    committed_at_us: Micros,
}

impl InProcess {
    /// Starts with empty tables. Makes the change topics, unless they are there: with one partition each, which keeps the order
    /// of the commits. Blocks while the broker or the registry is slow.
    pub fn start(broker: Arc<dyn Broker>, registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Result<Self, InProcessError> {
        let topic = |name: &str| TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            accept_existing: true,
            cleanup: CleanupPolicy::Delete(None),
            settings: broker::TopicSettings::default(),
        };
        let topics = [
            CDC_CUSTOMERS.name(),
            CDC_ACCOUNTS.name(),
            CDC_TRANSACTIONS.name(),
            CDC_TRANSACTION_METADATA.name(),
        ]
        .map(topic);
        broker.ensure_topics(&topics, TOPICS_TIMEOUT)?;
        let state = State {
            bank: Bank::default(),
            events: Events::register(&registry)?,
            committed_at_us: Micros(0),
        };
        Ok(Self {
            state: Mutex::new(state),
            outbox: Outbox::start(broker)?,
            clock,
        })
    }

    /// Every account, by id: for a check of the books.
    pub fn accounts(&self) -> Vec<Account> {
        self.state.lock().bank.tables.accounts.values().cloned().collect()
    }

    /// Every transaction, by id: for a check of the books.
    pub fn transactions(&self) -> Vec<Transaction> {
        self.state.lock().bank.tables.transactions.values().cloned().collect()
    }

    /// All rows as change events would show them, of one moment: for a check of the books.
    pub fn rows(&self) -> (Vec<CustomerRow>, Vec<AccountRow>, Vec<TransactionRow>) {
        let state = self.state.lock();
        let tables = &state.bank.tables;
        (
            tables.customers.values().map(events::customer).collect(),
            tables.accounts.values().map(events::account).collect(),
            tables.transactions.values().map(events::transaction).collect(),
        )
    }

    /// The position in the log of the newest change.
    pub fn lsn(&self) -> i64 {
        self.state.lock().events.lsn()
    }

    fn now_us(&self) -> Micros {
        self.clock.now_ms().to_micros()
    }
}

impl State {
    /// Applies the changes and makes their events, all or nothing. Commit times rise, whatever the clock does.
    fn commit(&mut self, changes: &[Change], now_us: Micros) -> Result<(Vec<Row>, Vec<outbox::Event>), SystemOfRecordError> {
        let at = now_us.max(Micros(self.committed_at_us.0 + 1));
        let rows = self.bank.apply(changes, at.0)?;
        let events = match self.events.of(&self.bank.tables.touched, at) {
            Ok(events) => events,
            Err(error) => {
                self.bank.tables.roll_back();
                return Err(SystemOfRecordError::Internal(format!(
                    "a change has no change event: {error}"
                )));
            }
        };
        self.bank.tables.touched.clear();
        self.committed_at_us = at;
        Ok((rows, events))
    }
}

#[async_trait]
impl SystemOfRecord for InProcess {
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Row>, SystemOfRecordError> {
        checks::check(changes)?;
        let turn = tokio::time::timeout(QUEUE_TIMEOUT, self.outbox.queue.reserve()).await;
        let turn = turn.map_err(|_| {
            let trouble = self.outbox.trouble();
            SystemOfRecordError::Unavailable(trouble.unwrap_or_else(|| "too many commits wait".to_owned()))
        })?;
        let turn = turn.map_err(|_| SystemOfRecordError::Unavailable("change events are no longer written".to_owned()))?;
        let (written, is_written) = oneshot::channel();
        let now_us = self.now_us();
        let rows = {
            let mut state = self.state.lock();
            let (rows, events) = state.commit(changes, now_us)?;
            // Within the lock: the queue has the order of the commits.
            turn.send(Batch { events, written });
            rows
        };
        let lost = |_| SystemOfRecordError::OutcomeUnknown("the program is ending".to_owned());
        is_written.await.map_err(lost)?;
        Ok(rows)
    }

    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, SystemOfRecordError> {
        Ok(self.state.lock().bank.tables.customers.get(&id).cloned())
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, SystemOfRecordError> {
        Ok(self.state.lock().bank.tables.accounts.get(&id).cloned())
    }

    async fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, SystemOfRecordError> {
        Ok(self.state.lock().bank.tables.transactions.get(&id).cloned())
    }

    async fn check(&self) -> Result<(), SystemOfRecordError> {
        match self.outbox.trouble() {
            Some(trouble) => Err(SystemOfRecordError::Unavailable(trouble)),
            None => Ok(()),
        }
    }
}

//! What was emitted: the topics' current rows, and the journal summed up.

use std::collections::HashMap;
use std::time::Duration;

use broker::{Message, Replay, TopicPartition, partitions_of};
use schemas::gold::{AccountBalance, AccountVersion, CustomerVersion};
use schemas::silver::{Account, Customer, Posting, Transaction};
use schemas::topics::{
    ACCOUNT_BALANCES, ACCOUNT_HISTORY, CUSTOMER_HISTORY, SILVER_ACCOUNTS, SILVER_CUSTOMERS, SILVER_POSTINGS, SILVER_TRANSACTIONS,
};
use schemas::{AccountId, Currency, Money, MoneyError, TransactionId};
use wire::{Codec, Wire};

use super::gold_rows::{self, GoldRows};
use super::versions::{self, Versions};
use crate::open::log::Log;

/// How long the log may show nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The emitted topics, read from their beginnings and followed. In memory: about what the rows take themselves.
pub(super) struct Books {
    replay: Replay,
    codec: Codec,
    pub emitted: Emitted,
}

/// The rows in force, and the journal.
#[derive(Default)]
pub(super) struct Emitted {
    pub customers: HashMap<i64, Customer>,
    pub accounts: HashMap<i64, Account>,
    pub transactions: HashMap<i64, Transaction>,
    pub balances: HashMap<i64, AccountBalance>,
    pub customer_versions: Versions<CustomerVersion>,
    pub account_versions: Versions<AccountVersion>,
    pub gold: GoldRows,
    pub journal: Journal,
    /// Holds of transactions of an earlier time than this, in microseconds since the epoch, have expired; `None`: none does.
    pub holds_since: Option<i64>,
}

/// The postings, summed up.
#[derive(Default)]
pub(super) struct Journal {
    pub postings: u64,
    pub by_account: HashMap<AccountId, Entries>,
    /// Transactions whose postings do not sum to zero, by currency.
    pub open: HashMap<(TransactionId, Currency), Money>,
}

/// An account's postings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entries {
    pub count: i64,
    pub sum: Money,
}

impl Books {
    /// Of the topics in this log; nothing is read yet.
    pub fn open(log: &Log) -> anyhow::Result<Self> {
        let topics = [
            SILVER_CUSTOMERS.name(),
            SILVER_ACCOUNTS.name(),
            SILVER_TRANSACTIONS.name(),
            SILVER_POSTINGS.name(),
            ACCOUNT_BALANCES.name(),
            CUSTOMER_HISTORY.name(),
            ACCOUNT_HISTORY.name(),
        ];
        let mut partitions = Vec::new();
        for topic in topics.into_iter().chain(gold_rows::TOPICS) {
            let of_topic = partitions_of(&*log.broker, topic, PATIENCE)?;
            anyhow::ensure!(
                !of_topic.is_empty(),
                "there is no topic {topic}: has riverbank ever run on this Kafka?"
            );
            partitions.extend(of_topic);
        }
        Ok(Self {
            replay: Replay::of(&*log.broker, "riverbank-audit", &partitions)?,
            codec: Codec::reader(log.registry.clone()),
            emitted: Emitted::default(),
        })
    }

    /// Reads all that had been committed when it was called.
    pub fn read(&mut self) -> anyhow::Result<()> {
        let (emitted, codec) = (&mut self.emitted, &self.codec);
        self.replay
            .to_the_end(PATIENCE, |of, message| emitted.add(of, message, codec))
    }

    /// Reads what has come since.
    pub fn follow(&mut self) -> anyhow::Result<()> {
        let (emitted, codec) = (&mut self.emitted, &self.codec);
        self.replay.follow(|of, message| emitted.add(of, message, codec))
    }
}

impl Emitted {
    fn add(&mut self, of: &TopicPartition, message: Message, codec: &Codec) -> anyhow::Result<()> {
        let offset = message.offset;
        let failed = |error: anyhow::Error| error.context(format!("read {of} at offset {offset}"));
        if self.gold.add(of, &message, codec).map_err(failed)? {
            return Ok(());
        }
        let added = match &*of.topic {
            topic if topic == SILVER_CUSTOMERS.name() => keep(&mut self.customers, message, codec),
            topic if topic == SILVER_ACCOUNTS.name() => keep(&mut self.accounts, message, codec),
            topic if topic == SILVER_TRANSACTIONS.name() => keep(&mut self.transactions, message, codec),
            topic if topic == ACCOUNT_BALANCES.name() => keep(&mut self.balances, message, codec),
            topic if topic == CUSTOMER_HISTORY.name() => versions::keep(&mut self.customer_versions, message, codec),
            topic if topic == ACCOUNT_HISTORY.name() => versions::keep(&mut self.account_versions, message, codec),
            _ => self.journal.add(message, codec),
        };
        added.map_err(failed)
    }
}

fn keep<V: Wire>(rows: &mut HashMap<i64, V>, message: Message, codec: &Codec) -> anyhow::Result<()> {
    let key = message.key.as_deref().unwrap_or_default();
    let id = i64::decode(key, codec)?;
    match &message.value {
        Some(value) => rows.insert(id, V::decode(value, codec)?),
        None => rows.remove(&id),
    };
    Ok(())
}

impl Journal {
    fn add(&mut self, message: Message, codec: &Codec) -> anyhow::Result<()> {
        match &message.value {
            Some(value) => Ok(self.post(&Posting::decode(value, codec)?)?),
            None => Ok(()),
        }
    }

    fn post(&mut self, posting: &Posting) -> Result<(), MoneyError> {
        self.postings += 1;
        let entries = self.by_account.entry(posting.account_id).or_default();
        entries.sum = entries.sum.checked_add(posting.amount)?;
        entries.count += 1;
        let key = (posting.transaction_id, posting.currency);
        let sum = self.open.remove(&key).unwrap_or_default().checked_add(posting.amount)?;
        if sum != Money::ZERO {
            self.open.insert(key, sum);
        }
        Ok(())
    }
}

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
    pub chain: Chain,
}

/// Whether postings follow each other: each has the next number, and goes on from the balance after the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// What the account had before the first one that says.
    pub opened_with: Option<Money>,
    /// The newest one's number, and the balance after it; `None`: it does not say, as those of cash and of earlier versions.
    pub last: Option<(i64, Money)>,
    /// How many go on from another balance than the one before had.
    pub jumps: i64,
    /// The first one that has not the next number.
    pub misnumbered: Option<i64>,
}

impl Chain {
    fn add(&mut self, posting: &Posting) -> Result<(), MoneyError> {
        let (Some(number), Some(after)) = (posting.entry_number, posting.balance_after) else {
            return Ok(());
        };
        let before = after.checked_sub(posting.amount)?;
        self.opened_with.get_or_insert(before);
        if let Some((last, balance)) = self.last.replace((number, after)) {
            self.jumps += i64::from(balance != before);
            if number != last + 1 {
                self.misnumbered.get_or_insert(number);
            }
        }
        Ok(())
    }

    /// What is wrong with it, beside a balance that counts as many postings. What an account opens with may change without a posting: then the
    /// next one goes on from another balance.
    pub fn difference(&self, balance: &AccountBalance) -> Option<String> {
        let id = balance.account_id;
        if let Some(number) = self.misnumbered {
            return Some(format!("account {id}: posting {number} does not follow the one before"));
        }
        let (last, after) = self.last?;
        if last != balance.entry_count {
            let count = balance.entry_count;
            return Some(format!(
                "account {id}: its newest posting has the number {last}, and there are {count}"
            ));
        }
        if self.opened_with != Some(balance.opening) || (self.jumps == 0 && after == balance.booked) {
            return None;
        }
        let (jumps, booked) = (self.jumps, balance.booked);
        Some(format!(
            "account {id}: {jumps} of its postings go on from another balance than the one before had; with the newest it is {after}, and {booked} is booked \
             (so it is as well where what it opened with was changed, and changed back)"
        ))
    }
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
        entries.chain.add(posting)?;
        let key = (posting.transaction_id, posting.currency);
        let sum = self.open.remove(&key).unwrap_or_default().checked_add(posting.amount)?;
        if sum != Money::ZERO {
            self.open.insert(key, sum);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of postings with these numbers, amounts and balances after them, beside a balance that opened with 100.00.
    #[track_caller]
    fn check(postings: &[(i64, i128, i128)], booked: i128, expected: Option<&str>) {
        let mut journal = Journal::default();
        for &(number, amount, after) in postings {
            let posting = Posting {
                posting_id: number.to_string(),
                transaction_id: TransactionId(number),
                account_id: AccountId(1),
                is_cash: false,
                currency: "EUR".parse::<Currency>().unwrap(),
                amount: Money::from_hundredths(amount),
                reverses: None,
                booked_at: number,
                effective_at: None,
                source_lsn: number,
                entry_number: Some(number),
                balance_after: Some(Money::from_hundredths(after)),
                recorded_at: Some(number),
            };
            journal.post(&posting).unwrap();
        }
        let balance = AccountBalance {
            account_id: AccountId(1),
            customer_id: schemas::CustomerId(1),
            currency: "EUR".parse::<Currency>().unwrap(),
            opening: Money::from_hundredths(10_000),
            booked: Money::from_hundredths(booked),
            pending: Money::ZERO,
            available: Money::from_hundredths(booked),
            entry_count: postings.len() as i64,
            last_entry_at: None,
            is_deleted: false,
            source_lsn: 1,
            source_ts: 1,
            commit_number: None,
        };
        let found = journal
            .by_account
            .get(&AccountId(1))
            .and_then(|entries| entries.chain.difference(&balance));
        assert_eq!(found.as_deref(), expected, "{postings:?}");
    }

    #[test]
    fn postings_follow_each_other() {
        check(&[], 10_000, None);
        check(&[(1, 100, 10_100), (2, -50, 10_050)], 10_050, None);
        check(
            &[(1, 100, 10_100), (3, -50, 10_050)],
            10_050,
            Some("account 1: posting 3 does not follow the one before"),
        );
        check(
            &[(2, 100, 10_100)],
            10_100,
            Some("account 1: its newest posting has the number 2, and there are 1"),
        );
        let jump = "account 1: 1 of its postings go on from another balance than the one before had; with the newest it is 100.51, and 100.50 is booked (so it is as well where what it opened with was changed, and changed back)";
        check(&[(1, 100, 10_100), (2, -50, 10_051)], 10_050, Some(jump));
        let behind = "account 1: 0 of its postings go on from another balance than the one before had; with the newest it is 101.00, and 100.50 is booked (so it is as well where what it opened with was changed, and changed back)";
        check(&[(1, 100, 10_100)], 10_050, Some(behind));
        // It opened with something else when these were made.
        check(&[(1, 100, 5_100), (2, 100, 10_200)], 10_200, None);
    }
}

//! The rows of the Gold tables that are made of other rows, as they are read from their topics.

use std::collections::BTreeMap;

use broker::{Message, TopicPartition};
use schemas::gold::{
    AccountDay, BankDay, BankDayKey, CustomerPosition, Reconciliation, TransactionFact, TransactionMinute, TransactionMinuteKey,
};
use schemas::topics::{ACCOUNT_DAILY, BANK_DAILY, CUSTOMER_POSITIONS, RECONCILIATION, TRANSACTION_FACTS, TRANSACTION_MINUTES};
use schemas::{AccountId, Currency, CustomerId, TransactionId};
use wire::{Codec, Wire};

/// The topics.
pub(super) const TOPICS: [&str; 6] = [
    RECONCILIATION.name(),
    TRANSACTION_FACTS.name(),
    CUSTOMER_POSITIONS.name(),
    ACCOUNT_DAILY.name(),
    BANK_DAILY.name(),
    TRANSACTION_MINUTES.name(),
];

/// Rows by their keys, with the partition that each lies in.
#[derive(Debug)]
pub(super) struct Rows<K, V> {
    rows: BTreeMap<K, (u32, V)>,
    /// Keys that another partition has, too: whoever reads both has the row twice.
    doubled: BTreeMap<(K, u32), V>,
}

impl<K, V> Default for Rows<K, V> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            doubled: BTreeMap::new(),
        }
    }
}

impl<K: Copy + Ord, V> Rows<K, V> {
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key).map(|(_, row)| row)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, (_, row))| (key, row))
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the row is there more than once.
    pub fn is_doubled(&self, key: &K) -> bool {
        self.doubled.range((*key, 0)..=(*key, u32::MAX)).next().is_some()
    }

    fn keep(&mut self, key: K, partition: u32, row: Option<V>) {
        let is_elsewhere = self.rows.get(&key).is_some_and(|(of, _)| *of != partition);
        match row {
            Some(row) if is_elsewhere => drop(self.doubled.insert((key, partition), row)),
            Some(row) => drop(self.rows.insert(key, (partition, row))),
            None if is_elsewhere => drop(self.doubled.remove(&(key, partition))),
            None => {
                self.rows.remove(&key);
                // One that is left is the row.
                let left = self.doubled.range((key, 0)..=(key, u32::MAX)).next().map(|(of, _)| *of);
                if let Some((of, row)) = left.and_then(|of| Some((of.1, self.doubled.remove(&of)?))) {
                    self.rows.insert(key, (of, row));
                }
            }
        }
    }
}

impl<K: Wire + Copy + Ord, V: Wire> Rows<K, V> {
    fn read(&mut self, partition: u32, message: &Message, codec: &Codec) -> anyhow::Result<()> {
        let key = K::decode(message.key.as_deref().unwrap_or_default(), codec)?;
        let row = message.value.as_ref().map(|value| V::decode(value, codec)).transpose()?;
        self.keep(key, partition, row);
        Ok(())
    }
}

/// The rows in force.
#[derive(Debug, Default)]
pub(super) struct GoldRows {
    pub reconciled: Rows<AccountId, Reconciliation>,
    pub facts: Rows<TransactionId, TransactionFact>,
    pub positions: Rows<(CustomerId, Currency), CustomerPosition>,
    pub days: Rows<(AccountId, i32), AccountDay>,
    pub bank_days: Rows<BankDayKey, BankDay>,
    pub minutes: Rows<TransactionMinuteKey, TransactionMinute>,
}

impl GoldRows {
    /// The days of an account, in their order; none where it has none.
    pub fn days_of(&self, account: AccountId) -> Option<BTreeMap<i32, AccountDay>> {
        let rows = self.days.rows.range((account, i32::MIN)..=(account, i32::MAX));
        let days: BTreeMap<i32, AccountDay> = rows.map(|((_, day), (_, row))| (*day, row.clone())).collect();
        (!days.is_empty()).then_some(days)
    }

    /// Takes a record of one of the topics; false where it is of another.
    pub fn add(&mut self, of: &TopicPartition, message: &Message, codec: &Codec) -> anyhow::Result<bool> {
        match &*of.topic {
            topic if topic == RECONCILIATION.name() => self.reconciled.read(of.partition, message, codec)?,
            topic if topic == TRANSACTION_FACTS.name() => self.facts.read(of.partition, message, codec)?,
            topic if topic == CUSTOMER_POSITIONS.name() => self.positions.read(of.partition, message, codec)?,
            topic if topic == ACCOUNT_DAILY.name() => self.days.read(of.partition, message, codec)?,
            topic if topic == BANK_DAILY.name() => self.bank_days.read(of.partition, message, codec)?,
            topic if topic == TRANSACTION_MINUTES.name() => self.minutes.read(of.partition, message, codec)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_two_partitions_is_doubled_until_one_of_them_is_gone() {
        for gone in [0, 1] {
            let mut rows = Rows::default();
            rows.keep(7, 0, Some("one"));
            rows.keep(7, 1, Some("two"));
            assert!(rows.is_doubled(&7) && !rows.is_doubled(&8));
            rows.keep(7, gone, None);
            assert!(!rows.is_doubled(&7));
            assert_eq!(rows.get(&7), Some(&if gone == 0 { "two" } else { "one" }));
            rows.keep(7, 1 - gone, None);
            assert_eq!((rows.get(&7), rows.len()), (None, 0));
        }
    }
}

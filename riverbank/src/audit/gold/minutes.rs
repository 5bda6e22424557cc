//! Transactions by minute: the transactions in force, grouped again.

use std::collections::{HashMap, HashSet};

use api::model::instant;
use schemas::Money;
use schemas::gold::{TransactionMinute, TransactionMinuteKey};
use schemas::silver::TransactionStatus;
use schemas::topics::TRANSACTION_MINUTES;
use topology::Micros;

use super::aggregate::{Aggregate, Fields, is_wanted, row_difference};
use crate::audit::books::Emitted;

const MINUTE_US: i64 = 60_000_000;

pub(super) struct Minutes;

impl Aggregate for Minutes {
    type Key = TransactionMinuteKey;
    type Row = TransactionMinute;
    const TOPIC: &'static str = TRANSACTION_MINUTES.name();
    const MADE_OF: &'static str = "the transactions and their accounts' currencies";

    fn keys(of: &Emitted) -> HashSet<Self::Key> {
        of.gold.minutes.iter().map(|(key, _)| *key).collect()
    }

    fn emitted(of: &Emitted, key: Self::Key) -> Option<TransactionMinute> {
        of.gold.minutes.get(&key).cloned()
    }

    fn expected(of: &Emitted, wanted: Option<&HashSet<Self::Key>>) -> anyhow::Result<HashMap<Self::Key, TransactionMinute>> {
        let mut all = HashMap::new();
        for transaction in of.transactions.values() {
            // Nothing else says its currency. An account that is gone has had one.
            let versions = of.account_versions.get(&transaction.account_id.0);
            let Some(account) = versions.and_then(|versions| versions.values().next_back()) else {
                continue;
            };
            let minute = transaction.created_at.div_euclid(MINUTE_US).saturating_mul(MINUTE_US);
            let key = (minute, transaction.txn_type, transaction.status, account.currency);
            if !is_wanted(wanted, &key) {
                continue;
            }
            let row = all.entry(key).or_insert(TransactionMinute {
                minute,
                txn_type: key.1,
                status: key.2,
                currency: key.3,
                transactions: 0,
                amount: Money::ZERO,
                failures: 0,
            });
            row.transactions += 1;
            row.amount = row.amount.checked_add(transaction.amount)?;
            row.failures += i64::from(transaction.status == TransactionStatus::Failed);
        }
        Ok(all)
    }

    fn named((minute, txn_type, status, currency): Self::Key) -> String {
        format!("{}, {txn_type}, {status}, in {currency}", instant(Micros(minute)))
    }

    fn difference(
        of: &Emitted,
        key: Self::Key,
        expected: Option<&TransactionMinute>,
        emitted: Option<&TransactionMinute>,
    ) -> Option<String> {
        row_difference(Self::MADE_OF, &of.gold.minutes, key, expected, emitted, fields)
    }

    fn count(of: &Emitted) -> usize {
        of.gold.minutes.len()
    }
}

fn fields(row: &TransactionMinute) -> Fields {
    vec![
        ("transactions", row.transactions.to_string()),
        ("amount", row.amount.to_string()),
        ("failures", row.failures.to_string()),
    ]
}

//! The facts: each transaction beside the versions of its account, in a search of its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use api::model::instant;
use schemas::TransactionId;
use schemas::gold::{AccountVersion, TransactionFact};
use schemas::topics::TRANSACTION_FACTS;
use topology::Micros;

use super::aggregate::{Aggregate, Fields, is_wanted, row_difference};
use crate::audit::books::Emitted;

pub(super) struct Facts;

impl Aggregate for Facts {
    type Key = TransactionId;
    type Row = TransactionFact;
    const TOPIC: &'static str = TRANSACTION_FACTS.name();
    const MADE_OF: &'static str = "the transactions and the versions of their accounts";

    fn keys(of: &Emitted) -> HashSet<TransactionId> {
        of.gold.facts.iter().map(|(key, _)| *key).collect()
    }

    fn emitted(of: &Emitted, key: TransactionId) -> Option<TransactionFact> {
        of.gold.facts.get(&key).cloned()
    }

    fn expected(
        of: &Emitted,
        wanted: Option<&HashSet<TransactionId>>,
    ) -> anyhow::Result<HashMap<TransactionId, TransactionFact>> {
        let mut all = HashMap::new();
        for transaction in of.transactions.values().filter(|row| is_wanted(wanted, &row.id)) {
            let Some(versions) = of.account_versions.get(&transaction.account_id.0) else {
                continue;
            };
            let (Some(then), Some(newest)) = (in_force(versions, transaction.created_at), versions.values().next_back()) else {
                continue;
            };
            let fact = TransactionFact {
                transaction_id: transaction.id,
                account_id: transaction.account_id,
                account_version: then.version,
                customer_id: then.customer_id,
                account_type: then.account_type,
                currency: newest.currency,
                txn_type: transaction.txn_type,
                amount: transaction.amount,
                related_account_id: transaction.related_account_id,
                status: transaction.status,
                created_at: transaction.created_at,
                updated_at: transaction.updated_at,
                source_lsn: transaction.source_lsn,
                source_ts: transaction.source_ts,
            };
            all.insert(transaction.id, fact);
        }
        Ok(all)
    }

    fn named(transaction: TransactionId) -> String {
        format!("transaction {transaction}")
    }

    fn difference(
        of: &Emitted,
        key: TransactionId,
        expected: Option<&TransactionFact>,
        emitted: Option<&TransactionFact>,
    ) -> Option<String> {
        row_difference(Self::MADE_OF, &of.gold.facts, key, expected, emitted, fields)
    }

    fn count(of: &Emitted) -> usize {
        of.gold.facts.len()
    }
}

/// The version that holds at an instant, by its own two ends; before the first one, that.
fn in_force(versions: &BTreeMap<i64, AccountVersion>, at: i64) -> Option<&AccountVersion> {
    let holds = |version: &&AccountVersion| version.valid_from.0 <= at && version.valid_to.is_none_or(|to| at < to.0);
    let first = versions.values().next().filter(|first| at < first.valid_from.0);
    versions.values().find(holds).or(first)
}

fn fields(row: &TransactionFact) -> Fields {
    vec![
        ("account_id", row.account_id.to_string()),
        ("account_version", row.account_version.to_string()),
        ("customer_id", row.customer_id.to_string()),
        ("account_type", row.account_type.to_string()),
        ("currency", row.currency.to_string()),
        ("txn_type", row.txn_type.to_string()),
        ("amount", row.amount.to_string()),
        (
            "related_account_id",
            row.related_account_id.map_or("null".to_owned(), |id| id.to_string()),
        ),
        ("status", row.status.to_string()),
        ("created_at", instant(Micros(row.created_at))),
        ("updated_at", instant(Micros(row.updated_at))),
        ("source_lsn", row.source_lsn.to_string()),
        ("source_ts", instant(Micros(row.source_ts))),
    ]
}

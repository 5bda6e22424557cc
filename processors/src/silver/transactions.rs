//! Transactions, cleaned.

use std::sync::atomic::AtomicU64;

use schemas::bronze::TransactionRow;
use schemas::rules::Rule;
use schemas::silver::{Transaction, TransactionStatus, TransactionType};
use schemas::state::{Applied, TableState};
use schemas::{AccountId, Money, TransactionId};
use topology::store::KeyValue;

use super::entity::Entity;
use super::rules::{Cleaning, Violation, amount, code, not_null};
use crate::counters::TRANSACTIONS_HELD;
use crate::stores;

/// The table `transactions`.
pub struct Transactions;

impl Entity for Transactions {
    type Id = TransactionId;
    type Row = TransactionRow;
    type Clean = Transaction;
    const NAME: &'static str = "apply-transactions";
    const ROWS: KeyValue<TransactionId, Applied<Transaction>> = stores::TRANSACTIONS;
    const TABLE: KeyValue<i64, TableState> = stores::TRANSACTIONS_TABLE;

    fn held_rows() -> &'static AtomicU64 {
        &TRANSACTIONS_HELD
    }

    fn id(key: i64) -> TransactionId {
        TransactionId(key)
    }

    fn number(id: TransactionId) -> i64 {
        id.0
    }

    fn clean(id: TransactionId, row: &TransactionRow, with: &mut Cleaning<'_, Transaction>) -> Result<Transaction, Violation> {
        let amount = amount("amount", &row.amount)?;
        if amount <= Money::ZERO {
            return Err(Violation::new(Rule::AmountPositive, format!("amount is {amount}")));
        }
        let account_id = AccountId(not_null("account_id", &row.account_id)?);
        let txn_type: TransactionType = code("txn_type", &row.txn_type)?;
        let related_account_id = row.related_account_id.map(AccountId);
        match (txn_type, related_account_id) {
            (TransactionType::Transfer, None) => {
                return Err(Violation::new(Rule::RelatedAccount, "a transfer names no other account"));
            }
            (TransactionType::Transfer, Some(related)) if related == account_id => {
                return Err(Violation::new(
                    Rule::RelatedAccount,
                    "a transfer goes to the account it comes from",
                ));
            }
            (TransactionType::Deposit | TransactionType::Withdrawal, Some(_)) => {
                return Err(Violation::new(Rule::RelatedAccount, "only a transfer names another account"));
            }
            _ => {}
        }
        let status = match &row.status {
            None => TransactionStatus::Completed,
            some => code("status", some)?,
        };
        let created_at = with.instant("created_at", row.created_at);
        Ok(Transaction {
            id,
            account_id,
            txn_type,
            amount,
            related_account_id,
            status,
            created_at: created_at
                .or(with.stored.map(|t| t.created_at))
                .unwrap_or(with.at.committed_at_us.0),
            updated_at: with
                .instant("updated_at", row.updated_at)
                .unwrap_or(with.at.committed_at_us.0),
            source_lsn: with.at.lsn,
            source_ts: with.at.committed_at_us.0,
        })
    }
}

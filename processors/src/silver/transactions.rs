//! Transactions, cleaned.

use schemas::bronze::TransactionRow;
use schemas::silver::{Transaction, TransactionStatus, TransactionType};
use schemas::{AccountId, Money, TransactionId};
use topology::store::KeyValue;

use super::apply::{Entity, SourcePosition};
use super::rules::{Violation, code, not_null};
use crate::stores;

/// The table `transactions`.
pub struct Transactions;

impl Entity for Transactions {
    type Id = TransactionId;
    type Row = TransactionRow;
    type Clean = Transaction;
    const NAME: &'static str = "apply-transactions";
    const ROWS: KeyValue<TransactionId, Transaction> = stores::TRANSACTIONS;
    const DELETED: KeyValue<TransactionId, i64> = stores::DELETED_TRANSACTIONS;

    fn id(key: i64) -> TransactionId {
        TransactionId(key)
    }

    fn lsn(row: &Transaction) -> i64 {
        row.source_lsn
    }

    fn clean(
        id: TransactionId,
        row: &TransactionRow,
        stored: Option<&Transaction>,
        at: SourcePosition,
    ) -> Result<Transaction, Violation> {
        let amount = not_null("amount", &row.amount)?;
        if amount <= Money::ZERO {
            return Err(Violation::new("amount_positive", format!("amount is {amount}")));
        }
        let account_id = AccountId(not_null("account_id", &row.account_id)?);
        let txn_type: TransactionType = code("txn_type", &row.txn_type)?;
        let related_account_id = row.related_account_id.map(AccountId);
        match (txn_type, related_account_id) {
            (TransactionType::Transfer, None) => {
                return Err(Violation::new("related_account", "a transfer names no other account"));
            }
            (TransactionType::Transfer, Some(related)) if related == account_id => {
                return Err(Violation::new(
                    "related_account",
                    "a transfer goes to the account it comes from",
                ));
            }
            (TransactionType::Deposit | TransactionType::Withdrawal, Some(_)) => {
                return Err(Violation::new("related_account", "only a transfer names another account"));
            }
            _ => {}
        }
        let status = match &row.status {
            None => TransactionStatus::Completed,
            some => code("status", some)?,
        };
        Ok(Transaction {
            id,
            account_id,
            txn_type,
            amount,
            related_account_id,
            status,
            created_at: row.created_at.or(stored.map(|t| t.created_at)).unwrap_or(at.committed_at_us),
            updated_at: row.updated_at.unwrap_or(at.committed_at_us),
            source_lsn: at.lsn,
            source_ts: at.committed_at_us,
        })
    }
}

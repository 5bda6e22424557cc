//! The fact table: each transaction with the customer and the version of its account that were in force at its own time.
//!
//! ```text
//!  silver.transactions ──┐
//!                        ├─ join, by the account ─► gold.transactions ─► by minute … (transaction_minutes)
//!  versions of accounts ─┘
//! ```
//!
//! An account is joined with all its versions at once, and each transaction picks its own. So it is right whatever comes late: a transaction
//! before its account waits for it, a version behind the transactions of its time has them told anew, and what moves to another account or
//! time picks again. Versions of accounts are few, and a new one is rare: then each transaction of the account picks again, and those that pick
//! what they had end here.
//!
//! *Why is the currency not that of the version?* It is the unit of the amount. An account's currency changes only while it has no transaction, so the
//! newest version has it for all of them, also for one that says a time before the change.

use schemas::AccountId;
use schemas::TransactionId;
use schemas::gold::TransactionFact;
use schemas::silver::Transaction;
use schemas::state::AccountTimeline;
use topology::dsl::Table;

use crate::stores;

/// The facts of transactions whose account is known.
pub fn transaction_facts(
    transactions: &Table<TransactionId, Transaction>,
    accounts: &Table<AccountId, AccountTimeline>,
) -> Table<TransactionId, TransactionFact> {
    let of_account = |_: &TransactionId, transaction: &Transaction| Some(transaction.account_id);
    transactions
        .fk_filter_join(accounts, of_account, transaction_fact, stores::TRANSACTION_FACTS)
        .on_change()
}

/// The fact of a transaction, if its account has versions.
pub fn transaction_fact(transaction: &Transaction, account: &AccountTimeline) -> Option<TransactionFact> {
    let (then, newest) = (account.in_force(transaction.created_at)?, account.versions.last()?);
    Some(TransactionFact {
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
    })
}

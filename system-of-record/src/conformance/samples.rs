//! Rows for the cases: each brings its own customers.

use std::sync::atomic::{AtomicU32, Ordering};

use schemas::silver::{AccountType, TransactionStatus, TransactionType};
use schemas::{AccountId, CustomerId, Money};

use crate::{Account, AccountDraft, Customer, CustomerDraft, SystemOfRecord, SystemOfRecordExt, Transaction, TransactionDraft};

static CUSTOMERS: AtomicU32 = AtomicU32::new(0);

/// A customer whom nobody else has.
pub fn person() -> CustomerDraft {
    let number = CUSTOMERS.fetch_add(1, Ordering::Relaxed);
    CustomerDraft {
        first_name: "Ada".to_owned(),
        last_name: format!("Lovelace {number}"),
        email: format!("ada{number}@example.com"),
    }
}

/// A new customer.
pub async fn customer(records: &dyn SystemOfRecord) -> Customer {
    records.insert_customer(person()).await.expect("a customer")
}

/// An account that a customer could open.
pub fn account_of(customer: CustomerId, currency: &str, opening: &str) -> AccountDraft {
    AccountDraft {
        customer_id: customer.into(),
        account_type: AccountType::Checking,
        currency: currency.parse().expect("a currency"),
        opening_balance: money(opening).into(),
    }
}

/// A new account of a new customer.
pub async fn account(records: &dyn SystemOfRecord, currency: &str, opening: &str) -> Account {
    let owner = customer(records).await;
    let draft = account_of(owner.id, currency, opening);
    records.insert_account(draft).await.expect("an account")
}

/// An amount.
pub fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

/// A completed deposit.
pub fn deposit(account: AccountId, amount: &str) -> TransactionDraft {
    TransactionDraft {
        account_id: account.into(),
        txn_type: TransactionType::Deposit,
        amount: money(amount).into(),
        related_account_id: None,
        status: TransactionStatus::Completed,
    }
}

/// A completed withdrawal.
pub fn withdrawal(account: AccountId, amount: &str) -> TransactionDraft {
    TransactionDraft {
        txn_type: TransactionType::Withdrawal,
        ..deposit(account, amount)
    }
}

/// A completed transfer.
pub fn transfer(from: AccountId, to: AccountId, amount: &str) -> TransactionDraft {
    TransactionDraft {
        txn_type: TransactionType::Transfer,
        related_account_id: Some(to.into()),
        ..deposit(from, amount)
    }
}

/// Commits a transaction that must be accepted.
pub async fn post(records: &dyn SystemOfRecord, draft: TransactionDraft) -> Transaction {
    records.insert_transaction(draft).await.expect("a transaction")
}

/// An account's balance.
pub async fn balance(records: &dyn SystemOfRecord, id: AccountId) -> Money {
    records.account(id).await.expect("a look-up").expect("the account").balance
}

//! What every system of record must do. Each case brings its own customers, so that all of them share one database.

mod ledger;
mod refusals;
mod rows;
mod states;

use std::sync::atomic::{AtomicU32, Ordering};

use api::system_of_record::{
    Account, AccountDraft, Customer, CustomerDraft, SystemOfRecord, SystemOfRecordExt, Transaction, TransactionDraft,
};
use schemas::silver::{AccountType, TransactionStatus, TransactionType};
use schemas::{AccountId, CustomerId, Money};

/// Runs the whole suite.
pub async fn check(records: &dyn SystemOfRecord) {
    records.check().await.expect("it can be reached");
    rows::check(records).await;
    refusals::check(records).await;
    ledger::check(records).await;
    states::check(records).await;
}

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

pub async fn customer(records: &dyn SystemOfRecord) -> Customer {
    records.insert_customer(person()).await.expect("a customer")
}

pub fn account_of(customer: CustomerId, currency: &str, opening: &str) -> AccountDraft {
    AccountDraft {
        customer_id: customer.into(),
        account_type: AccountType::Checking,
        currency: currency.parse().expect("a currency"),
        opening_balance: money(opening).into(),
    }
}

pub async fn account(records: &dyn SystemOfRecord, currency: &str, opening: &str) -> Account {
    let owner = customer(records).await;
    let draft = account_of(owner.id, currency, opening);
    records.insert_account(draft).await.expect("an account")
}

pub fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

pub fn deposit(account: AccountId, amount: &str) -> TransactionDraft {
    TransactionDraft {
        account_id: account.into(),
        txn_type: TransactionType::Deposit,
        amount: money(amount).into(),
        related_account_id: None,
        status: TransactionStatus::Completed,
    }
}

pub fn withdrawal(account: AccountId, amount: &str) -> TransactionDraft {
    TransactionDraft {
        txn_type: TransactionType::Withdrawal,
        ..deposit(account, amount)
    }
}

pub fn transfer(from: AccountId, to: AccountId, amount: &str) -> TransactionDraft {
    TransactionDraft {
        txn_type: TransactionType::Transfer,
        related_account_id: Some(to.into()),
        ..deposit(from, amount)
    }
}

pub async fn post(records: &dyn SystemOfRecord, draft: TransactionDraft) -> Transaction {
    records.insert_transaction(draft).await.expect("a transaction")
}

pub async fn balance(records: &dyn SystemOfRecord, id: AccountId) -> Money {
    records.account(id).await.expect("a look-up").expect("the account").balance
}

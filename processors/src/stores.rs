//! Every state store of the bank.

use schemas::gold::AccountBalance;
use schemas::silver::{Account, Customer, Leg, Transaction};
use schemas::topics::ACCOUNT_BALANCES;
use schemas::{AccountId, CustomerId, TransactionId};
use topology::store::KeyValue;

/// The current customers, partitioned as their change log is.
pub const CUSTOMERS: KeyValue<CustomerId, Customer> = KeyValue::new("customers");
/// The current accounts, partitioned as their change log is.
pub const ACCOUNTS: KeyValue<AccountId, Account> = KeyValue::new("accounts");
/// The current transactions, partitioned as their change log is.
pub const TRANSACTIONS: KeyValue<TransactionId, Transaction> = KeyValue::new("transactions");

/// The source LSN at which a customer was deleted: what comes again from before it is a duplicate.
pub const DELETED_CUSTOMERS: KeyValue<CustomerId, i64> = KeyValue::new("deleted-customers");
/// The source LSN at which an account was deleted.
pub const DELETED_ACCOUNTS: KeyValue<AccountId, i64> = KeyValue::new("deleted-accounts");
/// The source LSN at which a transaction was deleted.
pub const DELETED_TRANSACTIONS: KeyValue<TransactionId, i64> = KeyValue::new("deleted-transactions");

/// The source LSN of the version of a transaction whose postings stand.
pub const POSTED: KeyValue<TransactionId, i64> = KeyValue::new("posted");

/// The balance of every account; its changelog is the public topic.
pub const BALANCES: KeyValue<AccountId, AccountBalance> = KeyValue::backed_by("account-balances", ACCOUNT_BALANCES);
/// Legs that came before their account, in the order of their arrival.
pub const WAITING: KeyValue<(AccountId, i64), Leg> = KeyValue::new("waiting-legs");
/// By account: up to which arrival its waiting legs were reported to the quarantine.
pub const OVERDUE: KeyValue<AccountId, i64> = KeyValue::new("overdue-legs");

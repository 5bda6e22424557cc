//! Every state store of the bank.

use schemas::gold::{
    AccountBalance, AccountVersion, BankDay, BankDayKey, CustomerPosition, CustomerVersion, Reconciliation, TransactionMinute,
    TransactionMinuteKey,
};
use schemas::silver::{Account, Customer, Frontier, Leg, Posting, Transaction};
use schemas::state::{AccountTerms, Applied, DaySums, Hold, Opening, SourceBalance, TableState};
use schemas::topics::{ACCOUNT_BALANCES, ACCOUNT_HISTORY, CUSTOMER_HISTORY, RECONCILIATION};
use schemas::{AccountId, Currency, CustomerId, TransactionId};
use topology::store::{KeyValue, TimestampedKeyValue};

/// So many bytes of rows or sums wait for the commit at most, in each place where they do so that each is written once.
pub const HELD_BYTES_MAX: usize = 1 << 20;

/// The customers as applied, those that were deleted included.
pub const CUSTOMERS: KeyValue<CustomerId, Applied<Customer>> = KeyValue::new("applied-customers");
/// The accounts as applied, those that were deleted included.
pub const ACCOUNTS: KeyValue<AccountId, Applied<Account>> = KeyValue::new("applied-accounts");
/// The transactions as applied, those that were deleted included.
pub const TRANSACTIONS: KeyValue<TransactionId, Applied<Transaction>> = KeyValue::new("applied-transactions");

/// How far snapshots and truncates of `customers` are, under the key [`TABLE`].
pub const CUSTOMERS_TABLE: KeyValue<i64, TableState> = KeyValue::new("customers-table");
/// How far snapshots and truncates of `accounts` are.
pub const ACCOUNTS_TABLE: KeyValue<i64, TableState> = KeyValue::new("accounts-table");
/// How far snapshots and truncates of `transactions` are.
pub const TRANSACTIONS_TABLE: KeyValue<i64, TableState> = KeyValue::new("transactions-table");
/// The one key of a table's state.
pub const TABLE: i64 = 0;

/// The version of a transaction whose postings stand.
pub const POSTED: KeyValue<TransactionId, i64> = KeyValue::new("posted-versions");

/// How far the source's transactions are, under the key [`ALL_ACCOUNTS`]: where the changes of transactions are read.
pub const SOURCE_FRONTIER: KeyValue<AccountId, Frontier> = KeyValue::new("source-frontier");
/// How far the balances of a partition are, under the key [`ALL_ACCOUNTS`].
pub const FRONTIER: KeyValue<AccountId, Frontier> = KeyValue::new("balances-frontier");
/// No account, but all of them.
pub const ALL_ACCOUNTS: AccountId = AccountId(i64::MIN);

/// The balance of every account; its changelog is the public topic.
pub const BALANCES: KeyValue<AccountId, AccountBalance> = KeyValue::backed_by("account-balances", ACCOUNT_BALANCES);
/// What balances were before the transactions of the last minute, by the number of the one that changed each. Who asks for several accounts
/// asks of a moment ago; after a restart there is nothing here, and a moment later there is what is asked for.
pub const FORMER: KeyValue<(AccountId, i64), AccountBalance> = KeyValue::new("former-balances").without_changelog();
/// What every account opened with and its currency, from when on; the newest first.
pub const OPENINGS: KeyValue<(AccountId, i64), Opening> = KeyValue::new("account-openings");
/// Legs that came before their account, in the order of their arrival.
pub const WAITING: KeyValue<(AccountId, i64), Leg> = KeyValue::new("waiting-legs");
/// By account: up to which arrival its waiting legs were reported to the quarantine.
pub const OVERDUE: KeyValue<AccountId, i64> = KeyValue::new("overdue-legs");

/// What pending transactions hold, by account.
pub const HOLDS: KeyValue<(AccountId, TransactionId), Hold> = KeyValue::new("holds");
/// Those that hold, by their transactions' own time; with the LSN of the change that placed each.
pub const HOLDS_PLACED: KeyValue<(i64, AccountId, TransactionId), i64> = KeyValue::new("holds-placed");

/// The postings of every account, by their number.
pub const POSTINGS: KeyValue<(AccountId, i64), Posting> = KeyValue::new("account-postings");
/// Of postings that were known before their time: that time.
pub const POSTINGS_AHEAD: KeyValue<(AccountId, i64), i64> = KeyValue::new("postings-ahead");

/// The newest comparison of every account's streamed balance with the source's; its changelog is the public topic.
pub const RECONCILED: KeyValue<AccountId, Reconciliation> = KeyValue::backed_by("reconciled", RECONCILIATION);
/// Balances of the source that wait for the transactions until then, by account and LSN.
pub const TO_RECONCILE: KeyValue<(AccountId, i64), SourceBalance> = KeyValue::new("to-reconcile");
/// The accounts that differ; 1: all transactions until then have come.
pub const DIFFERENT: KeyValue<AccountId, i64> = KeyValue::new("different-accounts");

/// The versions of every customer; its changelog is the public topic.
pub const CUSTOMER_VERSIONS: KeyValue<(CustomerId, i64), CustomerVersion> =
    KeyValue::backed_by("customer-versions", CUSTOMER_HISTORY);
/// The number of every customer's newest version.
pub const CUSTOMER_NEWEST: KeyValue<CustomerId, i64> = KeyValue::new("customer-newest");
/// The versions of every account; its changelog is the public topic.
pub const ACCOUNT_VERSIONS: KeyValue<(AccountId, i64), AccountVersion> = KeyValue::backed_by("account-versions", ACCOUNT_HISTORY);
/// The number of every account's newest version.
pub const ACCOUNT_NEWEST: KeyValue<AccountId, i64> = KeyValue::new("account-newest");

/// The terms of accounts that are there: a table.
pub const ACCOUNT_TERMS: &str = "account-terms";
/// The transactions that are there: a table.
pub const TRANSACTION_ROWS: &str = "transaction-rows";
/// The versions of accounts, where their transactions ask: a table.
pub const ACCOUNT_TIMELINES: &str = "account-timelines";
/// The transactions with what their accounts were at their time: a table.
pub const TRANSACTION_FACTS: &str = "transaction-facts";

/// What customers have, by currency: a table.
pub const CUSTOMER_POSITIONS: &str = "customer-positions";
/// Transactions by minute: a table.
pub const TRANSACTION_MINUTES: &str = "minutes-of-transactions";
/// What was posted to accounts by day, and before it: a running aggregate.
pub const ACCOUNT_DAYS: &str = "account-days";
/// How many accounts of a customer were active on a day: a table.
pub const CUSTOMER_DAYS: &str = "customer-days";
/// The bank by day: a table.
pub const BANK_DAYS: &str = "bank-days";

/// Rows of [`ACCOUNT_TERMS`], for questions.
pub const TERMS_ROWS: TimestampedKeyValue<AccountId, AccountTerms> = KeyValue::new(ACCOUNT_TERMS);
/// Rows of [`CUSTOMER_POSITIONS`].
pub const POSITION_ROWS: TimestampedKeyValue<(CustomerId, Currency), CustomerPosition> = KeyValue::new(CUSTOMER_POSITIONS);
/// Rows of [`TRANSACTION_MINUTES`].
pub const MINUTE_ROWS: TimestampedKeyValue<TransactionMinuteKey, TransactionMinute> = KeyValue::new(TRANSACTION_MINUTES);
/// Rows of [`ACCOUNT_DAYS`], in the partitions of their accounts.
pub const ACCOUNT_DAY_ROWS: TimestampedKeyValue<(AccountId, i32), DaySums> = KeyValue::new(ACCOUNT_DAYS);
/// Rows of [`BANK_DAYS`].
pub const BANK_DAY_ROWS: TimestampedKeyValue<BankDayKey, BankDay> = KeyValue::new(BANK_DAYS);

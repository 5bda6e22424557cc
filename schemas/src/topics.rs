//! Every topic.

use wire::Topic;

use crate::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, TransactionMetadata, TransactionRow};
use crate::gold::{
    AccountBalance, AccountDay, AccountVersion, BankDay, BankDayKey, CustomerPosition, CustomerVersion, Reconciliation,
    TransactionFact, TransactionMinute, TransactionMinuteKey,
};
use crate::silver::{Account, Customer, ForAccounts, Posting, Rejected, SourceTransactionEnd, Transaction};
use crate::state::AccountTimeline;
use crate::{AccountId, Currency, CustomerId, TransactionId};

/// The prefix that the connector gives its topics.
pub const CDC_PREFIX: &str = "bank";

/// The change log of `customers`.
pub const CDC_CUSTOMERS: Topic<CdcKey, Envelope<CustomerRow>> = Topic::new("bank.public.customers");
/// The change log of `accounts`.
pub const CDC_ACCOUNTS: Topic<CdcKey, Envelope<AccountRow>> = Topic::new("bank.public.accounts");
/// The change log of `transactions`.
pub const CDC_TRANSACTIONS: Topic<CdcKey, Envelope<TransactionRow>> = Topic::new("bank.public.transactions");
/// Where the source's transactions begin and end. Its keys are of no use: they are what the connector's converter makes of them.
pub const CDC_TRANSACTION_METADATA: Topic<TransactionId, TransactionMetadata> = Topic::new("bank.transaction");

/// Current customers; compacted.
pub const SILVER_CUSTOMERS: Topic<CustomerId, Customer> = Topic::new("silver.customers");
/// Current accounts; compacted.
pub const SILVER_ACCOUNTS: Topic<AccountId, Account> = Topic::new("silver.accounts");
/// Current transactions; compacted.
pub const SILVER_TRANSACTIONS: Topic<TransactionId, Transaction> = Topic::new("silver.transactions");
/// Records that break a data rule, by the id of their row; append-only.
pub const SILVER_REJECTED: Topic<i64, Rejected> = Topic::new("silver.rejected");
/// The journal, by account; append-only.
pub const SILVER_POSTINGS: Topic<AccountId, Posting> = Topic::new("silver.postings");

/// Balances; compacted.
pub const ACCOUNT_BALANCES: Topic<AccountId, AccountBalance> = Topic::new("gold.account_balances");
/// Every version of every customer, by its number; compacted.
pub const CUSTOMER_HISTORY: Topic<(CustomerId, i64), CustomerVersion> = Topic::new("gold.customer_history");
/// Every version of every account, by its number; compacted.
pub const ACCOUNT_HISTORY: Topic<(AccountId, i64), AccountVersion> = Topic::new("gold.account_history");
/// What customers have, by currency; compacted.
pub const CUSTOMER_POSITIONS: Topic<(CustomerId, Currency), CustomerPosition> = Topic::new("gold.customer_positions");
/// Accounts by day; compacted.
pub const ACCOUNT_DAILY: Topic<(AccountId, i32), AccountDay> = Topic::new("gold.account_daily");
/// The bank by day, type of account and currency; compacted.
pub const BANK_DAILY: Topic<BankDayKey, BankDay> = Topic::new("gold.bank_daily");
/// Transactions, each with the customer and the version of its account that were in force at its own time; compacted.
pub const TRANSACTION_FACTS: Topic<TransactionId, TransactionFact> = Topic::new("gold.transactions");
/// Transactions by minute, type, status and currency; compacted.
pub const TRANSACTION_MINUTES: Topic<TransactionMinuteKey, TransactionMinute> = Topic::new("gold.transaction_minutes");

/// Streamed balances beside the source's own; compacted.
pub const RECONCILIATION: Topic<AccountId, Reconciliation> = Topic::new("gold.reconciliation");

/// From transactions to the accounts that they touch, and to all how far they are. Internal.
pub const LEGS: Topic<AccountId, ForAccounts> = Topic::new("riverbank-legs");

/// From the connector's metadata to the journal: which transactions have ended. Internal.
pub const TRANSACTION_ENDS: Topic<TransactionId, SourceTransactionEnd> = Topic::new("riverbank-transaction-ends");

/// From the histories of accounts to their transactions: all versions of an account whenever one changes. Internal.
pub const ACCOUNT_TIMELINES: Topic<AccountId, AccountTimeline> = Topic::new("riverbank-account-timelines");

/// Changes of customers by their id, where their topic has several partitions. Internal.
pub const CUSTOMERS_BY_ID: Topic<CdcKey, Envelope<CustomerRow>> = Topic::new("riverbank-customers-by-id");
/// Changes of accounts by their id, where their topic has several partitions. Internal.
pub const ACCOUNTS_BY_ID: Topic<CdcKey, Envelope<AccountRow>> = Topic::new("riverbank-accounts-by-id");
/// Changes of transactions by their id, where their topic has several partitions. Internal.
pub const TRANSACTIONS_BY_ID: Topic<CdcKey, Envelope<TransactionRow>> = Topic::new("riverbank-transactions-by-id");

//! What is in the bodies: types of their own, so that neither a topic nor a table can change by accident what clients see.
//!
//! Money is a string with the currency's decimal places, times are RFC 3339 in UTC, ids are numbers.

pub mod accepted;
mod account;
mod aggregates;
mod balance;
mod codes;
mod customer;
mod history;
mod journal;
mod together;
mod transaction;
mod values;

pub use account::{Account, AccountInput, AccountReplacement};
pub use aggregates::{AccountDay, All, BankDay, CustomerPosition, Items, TransactionMinute};
pub use balance::{AsOf, Balance};
pub use codes::{AccountStatusCode, AccountTypeCode, TransactionStatusCode, TransactionTypeCode};
pub use customer::{Customer, CustomerInput};
pub use history::{AccountVersion, CustomerVersion, History, InForce};
pub(crate) use journal::place;
pub use journal::{Explanation, Hold, Line, PastBalance, Posting, Postings, Reconciliation, Statement};
pub use together::{AsOfCommit, BalanceTogether, Balances};
pub use transaction::{Transaction, TransactionInput, TransactionReplacement};
pub use values::{day, day_of, instant, instant_of, microsecond, money, month, month_of};

//! Gold: what people ask for.

mod account_balance;
mod account_day;
mod bank_day;
mod customer_position;
mod history;
mod reconciliation;
mod transaction_fact;
mod transaction_minute;

pub use account_balance::AccountBalance;
pub use account_day::AccountDay;
pub use bank_day::{BankDay, BankDayKey};
pub use customer_position::CustomerPosition;
pub use history::{AccountVersion, CustomerVersion, Validity, Versioned};
pub use reconciliation::Reconciliation;
pub use transaction_fact::TransactionFact;
pub use transaction_minute::{TransactionMinute, TransactionMinuteKey};

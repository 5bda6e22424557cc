//! Gold: what people ask for, maintained with every change.
//!
//! Tables that add up other rows are made by the engine's operators alone; [`sums`] says how they add up and take back.

mod account_daily;
mod balances;
mod bank_daily;
mod customer_positions;
mod entries;
mod former;
mod holds;
mod openings;
mod postings;
mod reconcile;
mod sums;
mod transaction_facts;
mod transaction_minutes;

pub use account_daily::{account_daily, account_day, day_of};
pub use balances::{AccountEvent, GRACE, LedgerEntry, PostToBalance};
pub use bank_daily::bank_daily;
pub use customer_positions::customer_positions;
pub use former::{FORMER_KEPT, former_as_of};
pub use postings::{KeepPostings, newest};
pub use reconcile::{QUIET, Reconcile, ToReconcile};
pub use sums::{Sign, Sums, sums};
pub use transaction_facts::{transaction_fact, transaction_facts};
pub use transaction_minutes::transaction_minutes;

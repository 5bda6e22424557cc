//! Silver: what is true now. Change-log events become typed, cleaned rows, or a rejection that says why.

mod accounts;
mod apply;
mod customers;
mod ends;
mod entity;
mod journal;
mod position;
mod rules;
mod sweep;
mod transactions;

pub use accounts::Accounts;
pub use apply::{Apply, Change, Outcome};
pub use customers::Customers;
pub use ends::transaction_end;
pub use entity::Entity;
pub use journal::{END_AWAITED, Entered, Journal, SILENCE, ToJournal, effects};
pub use position::ChangePosition;
pub use rules::{Cleaning, Violation};
pub use sweep::{CONFIRMS_AFTER, FEW_ROWS, FEW_SHARE};
pub use transactions::Transactions;

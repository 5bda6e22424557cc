//! Silver: what is true now. Change-log events become typed, cleaned rows, or a rejection that says why.

mod accounts;
mod apply;
mod customers;
mod journal;
mod rules;
mod transactions;

pub use accounts::Accounts;
pub use apply::{Apply, Change, Entity, Outcome};
pub use customers::Customers;
pub use journal::{Journal, effects};
pub use rules::Violation;
pub use transactions::Transactions;

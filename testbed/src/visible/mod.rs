//! From a commit in Postgres to an answer over HTTP that shows it: how long that takes, and where the time goes.
//!
//! For the test of the whole stack and for the load tests; both bring their own Riverbank.

mod deposits;
mod legs;

pub use deposits::{ACCOUNTS, CUSTOMERS, Deposits, open_accounts};
pub use legs::{Legs, LegsMeans, metric};

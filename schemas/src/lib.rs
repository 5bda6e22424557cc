//! The contracts: what is on the topics, as Avro schemas (`avro/`) and as Rust types.
//!
//! [`topics`] names every topic. [`bronze`] is what Debezium sent, [`silver`] what is true now, [`gold`] what people ask for; [`state`]
//! is what the bank's own stores keep beside them. [`rules`] lists what a row must be.

pub mod bronze;
mod codes;
pub mod gold;
mod ids;
mod money;
pub mod rules;
pub mod silver;
pub mod state;
pub mod time;
pub mod topics;

pub use codes::{Currency, UnknownCode};
pub use ids::{AccountId, CustomerId, TransactionId};
pub use money::{Money, MoneyError};

//! The system of record: the database that owns customers, accounts and transactions.
//!
//! [`SystemOfRecord`] is the port. It commits [`Change`]s, several of them together or not at all, and tells which
//! [`Rule`] forbids one. Postgres is the bank's database; its in-process twin keeps
//! the same rules in memory and sends the same change events that Debezium would, for the embedded default. One conformance
//! suite runs on both.

mod change;
mod error;
mod port;
mod rows;

pub use change::{AccountDraft, AccountUpdate, Change, CustomerDraft, Ref, TransactionDraft};
pub use error::{Entity, Rule, SystemOfRecordError};
pub use port::{CHANGES_MAX, SystemOfRecord, SystemOfRecordExt};
pub use rows::{Account, Customer, Row, Transaction, Version};

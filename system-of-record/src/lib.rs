//! The system of record: the database that owns customers, accounts and transactions.
//!
//! [`SystemOfRecord`] is the port. It commits [`Change`]s, several of them together or not at all, and says which
//! [`Rule`] forbids one. [`Postgres`] is the bank's database; [`InProcess`] keeps the same rules in memory and sends the same
//! change events that Debezium would, for the embedded default. The suite in [`conformance`] runs on both.

mod change;
mod checks;
pub mod conformance;
mod error;
pub mod in_process;
mod port;
pub mod postgres;
mod rows;

pub use change::{AccountDraft, AccountUpdate, Amount, Change, CustomerDraft, Ref, TransactionDraft, TransactionUpdate};
pub use checks::AMOUNT_MAX;
pub use error::{Busy, Entity, Rule, SystemOfRecordError};
pub use in_process::{InProcess, InProcessError};
pub use port::{CHANGES_MAX, SystemOfRecord, SystemOfRecordExt};
pub use postgres::{Postgres, PostgresSettings};
pub use rows::{Account, Customer, Row, Transaction, Version};

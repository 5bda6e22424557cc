//! The audit: the system of record, the topics, the state stores (over HTTP) and the files must say the same.
//!
//! All of it is checked while the bank goes on. A look at the system of record and what is read of the topics are of different
//! moments, so what differs is looked at again until it agrees. It is wrong if it goes on differing although nothing changed it in
//! the meantime; what changes all the time is reported as not judged, unless what it is made of agrees.
//!
//! What is compared is not what the engine keeps, but what it has emitted; and balances are not compared with the engine's own sums
//! alone, but with the sums of the system of record's transactions.

mod asked;
mod balances;
mod books;
mod check;
mod expected;
mod files;
mod gold;
mod gold_rows;
mod histories;
mod iceberg;
mod journal;
mod questions;
mod reconciled;
mod rows;
mod run;
mod served;
mod service;
mod source;
mod versions;

pub use asked::{Kept, Patience};
pub use check::{Check, report};
pub use files::check_files;
pub use iceberg::check_iceberg;
pub use run::Audit;
pub use served::check_served;
pub use service::Service;
pub use source::{PostgresSource, Source};

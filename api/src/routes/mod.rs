//! The routes, by resource.

mod accounts;
mod all;
mod balances;
mod customers;
mod document;
mod health;
mod histories;
mod metrics;
mod rows;
mod topology;
mod transactions;

pub(crate) use all::all;
pub use all::openapi;
pub use health::{LagReport, PartitionLag};
pub(crate) use rows::Resource;

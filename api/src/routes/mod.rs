//! The routes, by resource.

mod accounts;
mod all;
mod balances;
mod customers;
mod document;
mod gather;
mod health;
mod histories;
mod journal;
mod kpis;
mod metrics;
mod positions;
mod rows;
mod topology;
mod transactions;

pub(crate) use all::all;
pub use all::openapi;
pub(crate) use gather::Group;
pub use health::{LagReport, PartitionLag};
pub(crate) use rows::Resource;

//! The HTTP service, in the same process as the state stores.
//!
//! Reads are answered from the stores and never touch the database; writes go to the [`system_of_record`] and come back
//! through change capture. [`router`] puts the [`routes`] together over two ports, [`reads::Reads`] (the stores) and
//! [`system_of_record::SystemOfRecord`] (the database), and [`serve`] listens.
//!
//! Any instance answers for any key: what is not in its own stores it asks of the instance that has it, in one hop
//! ([`forward`]). Every error is a [`problem::Problem`].

pub mod extract;
pub mod forward;
mod layers;
mod lists;
pub mod model;
pub mod page;
pub mod problem;
pub mod reads;
pub mod routes;
mod serve;
mod settings;
mod source;
mod state;
mod together;
mod trouble;

pub use layers::router;
pub use serve::serve;
pub use settings::HttpSettings;
pub use source::{ConnectorReport, SlotReport, SourceReport, SourceWatch, TaskReport};
pub use state::{ApiError, Parts, TopologyDescription};
pub use trouble::{Affects, Trouble, Troubles};

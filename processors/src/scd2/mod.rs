//! History: a version for every change of a tracked column, as slowly changing dimensions of type 2 keep them.

mod accounts;
mod customers;
mod history;

pub use accounts::AccountHistory;
pub use customers::CustomerHistory;
pub use history::{Dimension, History};

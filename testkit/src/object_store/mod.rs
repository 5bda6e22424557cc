//! Object stores in memory that fail as real ones do, or count what is asked of them.

mod counting;
mod faulty;

pub use counting::{CountingStore, copy_of};
pub use faulty::{Fault, FaultyStore};

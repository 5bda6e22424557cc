//! The operators that keep no state: a file each.

mod filter;
mod flat_map;
mod flat_map_values;
mod for_each;
mod map;
mod map_values;
mod merge;
mod peek;
mod select_key;
mod split;
mod try_map_values;

pub use split::Split;

/// The error side of an operator that has none.
type Never = std::convert::Infallible;

//! Gold: what people ask for, maintained with every change.

mod balances;

pub use balances::{AccountEvent, GRACE, LedgerEntry, PostToBalance};

//! Gold: what people ask for.

mod account_balance;

pub use account_balance::AccountBalance;

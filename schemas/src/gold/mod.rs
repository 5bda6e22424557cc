//! Gold: what people ask for.

mod account_balance;
mod history;

pub use account_balance::AccountBalance;
pub use history::{AccountVersion, CustomerVersion, Validity, Versioned};

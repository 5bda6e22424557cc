//! Silver: what is true now, typed and cleaned. Instants are microseconds since the epoch, UTC.

mod account;
mod customer;
mod frontier;
mod posting;
mod rejected;
mod transaction;

pub use account::{Account, AccountStatus, AccountType, BalanceFrom};
pub use customer::Customer;
pub use frontier::{ForAccounts, Frontier, OpenTransaction, SourceTransactionEnd};
pub use posting::{Leg, LegEntry, Posting};
pub use rejected::Rejected;
pub use transaction::{Transaction, TransactionStatus, TransactionType};

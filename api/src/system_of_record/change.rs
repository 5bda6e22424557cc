//! What can be asked of the system of record.

use schemas::silver::{AccountStatus, AccountType, TransactionStatus, TransactionType};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};

use super::Version;

/// A row that a change speaks of: one that is there, or one that an earlier change of the same commit makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ref<I> {
    /// The row with this id.
    Id(I),
    /// The row that the change at this index of the same commit makes.
    Made(usize),
}

impl<I> From<I> for Ref<I> {
    fn from(id: I) -> Self {
        Self::Id(id)
    }
}

/// A customer's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerDraft {
    /// First name; not blank, 100 characters at most.
    pub first_name: String,
    /// Last name; not blank, 100 characters at most.
    pub last_name: String,
    /// E-mail address, 255 characters at most; unique without regard to case.
    pub email: String,
}

/// A new account's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDraft {
    /// Whose it is.
    pub customer_id: Ref<CustomerId>,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
    /// What it holds at once; not negative. It never changes: transactions move the balance.
    pub opening_balance: Money,
}

/// What can be changed of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountUpdate {
    /// Whose it is.
    pub customer_id: Ref<CustomerId>,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency, which stays as soon as there is a transaction on it.
    pub currency: Currency,
    /// Whether it is open; `closed_at` follows.
    pub status: AccountStatus,
}

/// A transaction's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDraft {
    /// The account that is credited (deposit) or debited (withdrawal, transfer).
    pub account_id: Ref<AccountId>,
    /// What it does.
    pub txn_type: TransactionType,
    /// How much, above zero.
    pub amount: Money,
    /// The account that receives a transfer; present exactly for one.
    pub related_account_id: Option<Ref<AccountId>>,
    /// How far it is: only COMPLETED moves balances.
    pub status: TransactionStatus,
}

/// One change of one row. Where `expected` is given, the row must be at that version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new customer.
    InsertCustomer(CustomerDraft),
    /// Replaces a customer's columns.
    UpdateCustomer {
        /// Which.
        id: Ref<CustomerId>,
        /// Their columns from now on.
        to: CustomerDraft,
        /// The version that must be in force.
        expected: Option<Version>,
    },
    /// Removes a customer who has no accounts.
    DeleteCustomer {
        /// Which.
        id: Ref<CustomerId>,
        /// The version that must be in force.
        expected: Option<Version>,
    },
    /// A new account, ACTIVE.
    InsertAccount(AccountDraft),
    /// Replaces an account's columns.
    UpdateAccount {
        /// Which.
        id: Ref<AccountId>,
        /// Its columns from now on.
        to: AccountUpdate,
        /// The version that must be in force.
        expected: Option<Version>,
    },
    /// Closes an account: INACTIVE, with `closed_at`. The row stays. An account that is closed already stays as it is.
    CloseAccount {
        /// Which.
        id: Ref<AccountId>,
        /// The version that must be in force.
        expected: Option<Version>,
    },
    /// A new transaction, on accounts that are open.
    InsertTransaction(TransactionDraft),
    /// Replaces a transaction's columns; the balances follow.
    UpdateTransaction {
        /// Which.
        id: Ref<TransactionId>,
        /// Its columns from now on.
        to: TransactionDraft,
        /// The version that must be in force.
        expected: Option<Version>,
    },
    /// Removes a transaction; the balances follow.
    DeleteTransaction {
        /// Which.
        id: Ref<TransactionId>,
        /// The version that must be in force.
        expected: Option<Version>,
    },
}

//! What can be asked of the system of record.

use schemas::silver::{AccountStatus, AccountType, TransactionStatus, TransactionType};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};

use crate::{Transaction, Version};

/// An amount of money, and how many decimal places it was written with: `12.300` is no amount of EUR, though its value would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// How much.
    pub value: Money,
    /// The decimal places that it was written with, where somebody wrote it; else none, which says nothing.
    pub places: u32,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount {
        value: Money::ZERO,
        places: 0,
    };

    /// Whether it is an amount of this currency, as it was written.
    pub fn fits(self, currency: Currency) -> bool {
        self.is_written_for(currency) && self.value.fits_scale(currency.minor_digits())
    }

    /// Whether it was written with no more places than the currency has.
    pub fn is_written_for(self, currency: Currency) -> bool {
        self.places <= currency.minor_digits()
    }
}

impl From<Money> for Amount {
    fn from(value: Money) -> Self {
        Self { value, places: 0 }
    }
}

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
    pub opening_balance: Amount,
}

/// What can be changed of an account. What is not named stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountUpdate {
    /// Whose it is.
    pub customer_id: Ref<CustomerId>,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency, which stays as soon as there is a transaction on it.
    pub currency: Currency,
    /// Whether it is open; `closed_at` follows. Where it is not named it stays.
    pub status: Option<AccountStatus>,
}

/// A transaction's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDraft {
    /// The account that is credited (deposit) or debited (withdrawal, transfer).
    pub account_id: Ref<AccountId>,
    /// What it does.
    pub txn_type: TransactionType,
    /// How much, above zero.
    pub amount: Amount,
    /// The account that receives a transfer; present exactly for one.
    pub related_account_id: Option<Ref<AccountId>>,
    /// How far it is: only COMPLETED moves balances.
    pub status: TransactionStatus,
}

/// What an update says of a transaction. What it does not name stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionUpdate {
    /// The account that is credited (deposit) or debited (withdrawal, transfer).
    pub account_id: Ref<AccountId>,
    /// What it does.
    pub txn_type: TransactionType,
    /// How much, above zero.
    pub amount: Amount,
    /// The account that receives a transfer. Where it is not named it stays, as long as the transaction is a transfer.
    pub related_account_id: Option<Option<Ref<AccountId>>>,
    /// How far it is. Where it is not named it stays.
    pub status: Option<TransactionStatus>,
}

impl From<TransactionDraft> for TransactionUpdate {
    /// An update that names everything.
    fn from(to: TransactionDraft) -> Self {
        Self {
            account_id: to.account_id,
            txn_type: to.txn_type,
            amount: to.amount,
            related_account_id: Some(to.related_account_id),
            status: Some(to.status),
        }
    }
}

impl TransactionUpdate {
    /// The columns that a row has after the update.
    pub(super) fn over(&self, row: &Transaction) -> TransactionDraft {
        let is_transfer = self.txn_type == TransactionType::Transfer;
        let kept = row.related_account_id.filter(|_| is_transfer).map(Ref::Id);
        // An amount that stays was written by whoever read it here: an answer does not know the places of its currency.
        let amount = if self.amount.value == row.amount {
            row.amount.into()
        } else {
            self.amount
        };
        TransactionDraft {
            account_id: self.account_id,
            txn_type: self.txn_type,
            amount,
            related_account_id: self.related_account_id.unwrap_or(kept),
            status: self.status.unwrap_or(row.status),
        }
    }
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
    /// Removes an account that no transaction names.
    DeleteAccount {
        /// Which.
        id: Ref<AccountId>,
        /// The version that must be in force.
        expected: Option<Version>,
    },
    /// A new transaction, on accounts that are open.
    InsertTransaction(TransactionDraft),
    /// Changes a transaction's columns; the balances follow. A status changes from PENDING to COMPLETED or FAILED, and from
    /// COMPLETED to REVERSED, alone.
    UpdateTransaction {
        /// Which.
        id: Ref<TransactionId>,
        /// Its columns from now on.
        to: TransactionUpdate,
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

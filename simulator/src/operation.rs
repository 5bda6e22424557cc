//! What the simulated bank does, one operation at a time.
//!
//! Operations name customers, accounts and transactions by numbers of their own ([`CustomerRef`] and so on), since the
//! system of record gives the real ids: the same seed makes the same operations, whatever ids the rows get.

use schemas::silver::{AccountStatus, AccountType, TransactionStatus, TransactionType};
use schemas::{Currency, Money};

/// The n-th customer of this simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerRef(pub u64);

/// The n-th account of this simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountRef(pub u64);

/// The n-th transaction of this simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionRef(pub u64);

/// A customer's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// E-mail address, different for every customer of every seed.
    pub email: String,
}

/// A transaction's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The account that is credited or debited.
    pub account: AccountRef,
    /// What kind.
    pub txn_type: TransactionType,
    /// How much, in the account's currency; above zero.
    pub amount: Money,
    /// The account that receives a transfer.
    pub related: Option<AccountRef>,
    /// Where it stands.
    pub status: TransactionStatus,
}

/// Why a transaction changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeReason {
    /// A pending one was completed, or failed.
    Settle,
    /// A completed one was taken back: REVERSED.
    Reverse,
    /// The amount was wrong.
    Correct,
}

/// What a new transaction is for. The bank has no column for it; those who look at the operations want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Money paid in.
    Deposit,
    /// The employer's payment of a month.
    Salary,
    /// A payment by card.
    Card,
    /// Cash from a machine.
    Cash,
    /// A transfer to another customer.
    Payment,
    /// A transfer between a customer's own accounts.
    Own,
    /// The standing order for the rent.
    Rent,
    /// The standing order for what is put aside.
    Saving,
    /// What is left on an account that closes.
    Closing,
    /// An attempt to take more than there is.
    Overdraft,
}

/// Why an account's row changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountReason {
    /// A savings account becomes a checking account, or the other way round.
    Type,
    /// It is blocked: INACTIVE, whatever is on it.
    Block,
    /// A blocked one is open again.
    Reopen,
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A new customer.
    AddCustomer {
        /// Their number.
        customer: CustomerRef,
        /// Their columns.
        person: Person,
    },
    /// A customer moved to another e-mail address or name.
    ChangeCustomer {
        /// Their number.
        customer: CustomerRef,
        /// Their columns from now on.
        person: Person,
    },
    /// A customer who has no account leaves; the row goes.
    RemoveCustomer {
        /// Their number.
        customer: CustomerRef,
    },
    /// A new account.
    OpenAccount {
        /// Its number.
        account: AccountRef,
        /// Whose it is.
        customer: CustomerRef,
        /// Its kind.
        account_type: AccountType,
        /// Its currency.
        currency: Currency,
        /// What it holds at once.
        opening_balance: Money,
    },
    /// An account's type or status changes.
    ChangeAccount {
        /// Its number.
        account: AccountRef,
        /// Whose it is.
        customer: CustomerRef,
        /// Its kind from now on.
        account_type: AccountType,
        /// Its currency, which stays.
        currency: Currency,
        /// Its status from now on.
        status: AccountStatus,
        /// Why.
        reason: AccountReason,
    },
    /// An emptied account is closed: INACTIVE.
    CloseAccount {
        /// Its number.
        account: AccountRef,
    },
    /// An account that no transaction names goes; the row goes.
    RemoveAccount {
        /// Its number.
        account: AccountRef,
    },
    /// A new transaction.
    Post {
        /// Its number.
        transaction: TransactionRef,
        /// What it is for.
        purpose: Purpose,
        /// Its columns.
        draft: Draft,
    },
    /// A transaction's row changes.
    ChangeTransaction {
        /// Its number.
        transaction: TransactionRef,
        /// Its columns from now on.
        draft: Draft,
        /// Why.
        reason: ChangeReason,
    },
    /// A transaction's row goes.
    RemoveTransaction {
        /// Its number.
        transaction: TransactionRef,
    },
}

impl Operation {
    /// What it is called in the totals.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AddCustomer { .. } => "customers added",
            Self::ChangeCustomer { .. } => "customers changed",
            Self::RemoveCustomer { .. } => "customers removed",
            Self::OpenAccount { .. } => "accounts opened",
            Self::ChangeAccount { reason, .. } => match reason {
                AccountReason::Type => "accounts changed",
                AccountReason::Block => "accounts blocked",
                AccountReason::Reopen => "accounts reopened",
            },
            Self::CloseAccount { .. } => "accounts closed",
            Self::RemoveAccount { .. } => "accounts removed",
            Self::Post { draft, .. } => match draft.txn_type {
                TransactionType::Deposit => "deposits",
                TransactionType::Withdrawal => "withdrawals",
                TransactionType::Transfer => "transfers",
            },
            Self::ChangeTransaction {
                reason: ChangeReason::Settle,
                ..
            } => "transactions settled",
            Self::ChangeTransaction {
                reason: ChangeReason::Reverse,
                ..
            } => "transactions reversed",
            Self::ChangeTransaction {
                reason: ChangeReason::Correct,
                ..
            } => "transactions corrected",
            Self::RemoveTransaction { .. } => "transactions removed",
        }
    }
}

/// Operations that are committed together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In order; never empty.
    pub operations: Vec<Operation>,
    /// Whether the bank has to refuse it (an attempt to take what is not there).
    pub to_be_refused: bool,
}

//! Why a commit was refused, by what the caller can do about it.

use std::fmt;

/// The kinds of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// A customer.
    Customer,
    /// An account.
    Account,
    /// A transaction.
    Transaction,
}

impl Entity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Account => "account",
            Self::Transaction => "transaction",
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong. Nothing of the commit is in force, except perhaps after [`SystemOfRecordError::OutcomeUnknown`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SystemOfRecordError {
    /// The row that was to be changed is not there.
    #[error("there is no {entity} {id}")]
    NotFound {
        /// What kind of row.
        entity: Entity,
        /// Its id.
        id: i64,
    },
    /// The row is at another version than the one expected: read it again.
    #[error("{entity} {id} has changed since it was read")]
    VersionMismatch {
        /// What kind of row.
        entity: Entity,
        /// Its id.
        id: i64,
    },
    /// A rule of the bank forbids it: the same request cannot succeed unless the data change.
    #[error("{rule}")]
    Refused {
        /// Which rule.
        rule: Rule,
    },
    /// A value is not acceptable, whatever the data.
    #[error("{field}: {reason}")]
    Invalid {
        /// The column at fault.
        field: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// The database is away, and nothing was committed: try again.
    #[error("the system of record is unavailable: {0}")]
    Unavailable(String),
    /// The database is there, but others kept this commit from its turn in time; nothing was committed: try again.
    #[error("{0}")]
    Busy(Busy),
    /// The connection broke while the commit was on its way, and what became of it could not be found out: read, then decide.
    #[error("it is not known whether the commit is in force: {0}")]
    OutcomeUnknown(String),
    /// A fault of the program or of the database's schema: an operator must look.
    #[error("{0}")]
    Internal(String),
}

/// What a commit waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Busy {
    /// Another session holds a lock on a row, or on a table.
    #[error("another session holds a lock that the request needs")]
    Locked,
    /// All connections to the database are in use.
    #[error("all connections to the bank's database are in use")]
    Connections,
    /// A statement took longer than it may.
    #[error("the bank's database took too long")]
    Slow,
    /// Other commits came first, again and again.
    #[error("other writes came first, again and again")]
    Conflict,
}

impl From<Busy> for SystemOfRecordError {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy)
    }
}

impl From<Rule> for SystemOfRecordError {
    fn from(rule: Rule) -> Self {
        Self::Refused { rule }
    }
}

/// The rules that depend on other rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// E-mail addresses are unique without regard to case.
    EmailUnique,
    /// An account belongs to a customer who exists.
    CustomerExists,
    /// A customer who has accounts stays.
    CustomerInUse,
    /// An account that transactions name stays.
    AccountInUse,
    /// A transaction is on an account that exists.
    AccountExists,
    /// A transfer goes to an account that exists.
    RelatedAccountExists,
    /// New transactions, and changes that move money anew, need accounts that are open.
    AccountActive,
    /// Both accounts of a transfer have one currency.
    OneCurrency,
    /// An amount has no more decimal places than its currency.
    AmountScale,
    /// No balance goes below zero.
    NotOverdrawn,
    /// No balance grows beyond what the database can hold.
    BalanceInRange,
    /// The currency of an account with transactions stays.
    CurrencyFixed,
    /// A transaction's status goes from PENDING to COMPLETED or FAILED, and from COMPLETED to REVERSED.
    StatusFlow,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 13] = [
        Rule::EmailUnique,
        Rule::CustomerExists,
        Rule::CustomerInUse,
        Rule::AccountInUse,
        Rule::AccountExists,
        Rule::RelatedAccountExists,
        Rule::AccountActive,
        Rule::OneCurrency,
        Rule::AmountScale,
        Rule::NotOverdrawn,
        Rule::BalanceInRange,
        Rule::CurrencyFixed,
        Rule::StatusFlow,
    ];

    /// A stable name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmailUnique => "email-taken",
            Self::CustomerExists => "customer-unknown",
            Self::CustomerInUse => "customer-in-use",
            Self::AccountInUse => "account-in-use",
            Self::AccountExists => "account-unknown",
            Self::RelatedAccountExists => "related-account-unknown",
            Self::AccountActive => "account-inactive",
            Self::OneCurrency => "currencies-differ",
            Self::AmountScale => "amount-scale",
            Self::NotOverdrawn => "overdrawn",
            Self::BalanceInRange => "balance-out-of-range",
            Self::CurrencyFixed => "currency-fixed",
            Self::StatusFlow => "status-flow",
        }
    }

    /// The column at fault, where one is.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::EmailUnique => Some("email"),
            Self::CustomerExists => Some("customer_id"),
            Self::CustomerInUse | Self::AccountInUse => None,
            Self::AccountExists | Self::AccountActive => Some("account_id"),
            Self::RelatedAccountExists | Self::OneCurrency => Some("related_account_id"),
            Self::AmountScale | Self::NotOverdrawn | Self::BalanceInRange => Some("amount"),
            Self::CurrencyFixed => Some("currency"),
            Self::StatusFlow => Some("status"),
        }
    }

    /// Whether it is a conflict with the state of the data (later the same request may succeed), rather than a request that
    /// makes no sense.
    pub const fn is_conflict(self) -> bool {
        matches!(
            self,
            Self::EmailUnique
                | Self::CustomerInUse
                | Self::AccountInUse
                | Self::NotOverdrawn
                | Self::BalanceInRange
                | Self::CurrencyFixed
                | Self::StatusFlow
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmailUnique => "another customer has this e-mail address",
            Self::CustomerExists => "there is no such customer",
            Self::CustomerInUse => "the customer still has accounts",
            Self::AccountInUse => "the account still has transactions",
            Self::AccountExists => "there is no such account",
            Self::RelatedAccountExists => "there is no such related account",
            Self::AccountActive => "an inactive account takes no new transactions, and no change that moves its money anew",
            Self::OneCurrency => "the accounts of a transfer must have one currency",
            Self::AmountScale => "the amount has more decimal places than its currency",
            Self::NotOverdrawn => "the balance of an account would fall below zero",
            Self::BalanceInRange => "the balance of an account would grow too large",
            Self::CurrencyFixed => "the currency of an account with transactions cannot change",
            Self::StatusFlow => {
                "a transaction's status changes from PENDING to COMPLETED or FAILED, and from COMPLETED to REVERSED, alone"
            }
        })
    }
}

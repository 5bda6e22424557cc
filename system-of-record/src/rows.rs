//! Rows as the system of record has them.

use schemas::silver::{AccountStatus, AccountType, TransactionStatus, TransactionType};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId, silver};

use crate::SystemOfRecordError;

/// Tells versions of a row apart: a fingerprint of the columns that a client can see and that are not moved by other rows (an
/// account's balance, and the time of its last move, are). The same from the database and from the state stores, and the
/// same in every build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub u64);

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The id that the database gave.
    pub id: CustomerId,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address.
    pub email: String,
    /// When the row was made, in microseconds since the epoch.
    pub created_at: i64,
    /// When the row was last changed, in microseconds since the epoch.
    pub updated_at: i64,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The id that the database gave.
    pub id: AccountId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
    /// What it opened with.
    pub opening_balance: Money,
    /// Opening balance plus all completed transactions.
    pub balance: Money,
    /// Whether it is open.
    pub status: AccountStatus,
    /// When it was closed, in microseconds since the epoch.
    pub closed_at: Option<i64>,
    /// When the row was made, in microseconds since the epoch.
    pub created_at: i64,
    /// When the row was last changed (each move of the balance changes it), in microseconds since the epoch.
    pub updated_at: i64,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The id that the database gave.
    pub id: TransactionId,
    /// The account that it is on.
    pub account_id: AccountId,
    /// What it does.
    pub txn_type: TransactionType,
    /// How much, above zero.
    pub amount: Money,
    /// Where a transfer goes.
    pub related_account_id: Option<AccountId>,
    /// How far it is.
    pub status: TransactionStatus,
    /// When the row was made, in microseconds since the epoch.
    pub created_at: i64,
    /// When the row was last changed, in microseconds since the epoch.
    pub updated_at: i64,
}

/// A row of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A customer.
    Customer(Customer),
    /// An account.
    Account(Account),
    /// A transaction.
    Transaction(Transaction),
}

impl Row {
    /// The row's id, as a number.
    pub fn id(&self) -> i64 {
        match self {
            Self::Customer(row) => row.id.0,
            Self::Account(row) => row.id.0,
            Self::Transaction(row) => row.id.0,
        }
    }

    /// The customer, where it is one.
    pub fn customer(self) -> Result<Customer, SystemOfRecordError> {
        match self {
            Self::Customer(row) => Ok(row),
            other => Err(other.not_a("customer")),
        }
    }

    /// The account, where it is one.
    pub fn account(self) -> Result<Account, SystemOfRecordError> {
        match self {
            Self::Account(row) => Ok(row),
            other => Err(other.not_a("account")),
        }
    }

    /// The transaction, where it is one.
    pub fn transaction(self) -> Result<Transaction, SystemOfRecordError> {
        match self {
            Self::Transaction(row) => Ok(row),
            other => Err(other.not_a("transaction")),
        }
    }

    fn not_a(&self, wanted: &str) -> SystemOfRecordError {
        SystemOfRecordError::Internal(format!("row {} is no {wanted}", self.id()))
    }
}

impl Customer {
    /// The row as the rest of the bank sees it: trimmed, e-mail in lower case. Other programs may write to the database too.
    pub fn cleaned(mut self) -> Self {
        self.first_name = self.first_name.trim().to_owned();
        self.last_name = self.last_name.trim().to_owned();
        self.email = self.email.trim().to_lowercase();
        self
    }

    /// Which version of the row this is.
    pub fn version(&self) -> Version {
        let row = self.clone().cleaned();
        Fingerprint::of(row.id.0)
            .text(&row.first_name)
            .text(&row.last_name)
            .text(&row.email)
            .number(row.created_at)
            .number(row.updated_at)
            .version()
    }
}

impl Account {
    /// Which version of the row this is; moves of the balance make no new one.
    pub fn version(&self) -> Version {
        Fingerprint::of(self.id.0)
            .number(self.customer_id.0)
            .text(self.account_type.as_str())
            .text(self.currency.as_str())
            .text(&self.opening_balance.to_string())
            .text(self.status.as_str())
            .optional(self.closed_at)
            .number(self.created_at)
            .version()
    }
}

impl Transaction {
    /// Which version of the row this is.
    pub fn version(&self) -> Version {
        Fingerprint::of(self.id.0)
            .number(self.account_id.0)
            .text(self.txn_type.as_str())
            .text(&self.amount.to_string())
            .optional(self.related_account_id.map(|id| id.0))
            .text(self.status.as_str())
            .number(self.created_at)
            .number(self.updated_at)
            .version()
    }
}

/// FNV-1a, 64 bits: the same on every machine and in every build, which the standard library's hashers do not promise.
struct Fingerprint(u64);

impl Fingerprint {
    fn of(id: i64) -> Self {
        Self(0xcbf2_9ce4_8422_2325).number(id)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    fn number(self, number: i64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    fn optional(self, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.bytes(&[1]).number(number),
            None => self.bytes(&[0]),
        }
    }

    fn text(self, text: &str) -> Self {
        self.number(text.len() as i64).bytes(text.as_bytes())
    }

    fn version(self) -> Version {
        Version(self.0)
    }
}

impl From<&silver::Customer> for Customer {
    fn from(row: &silver::Customer) -> Self {
        Self {
            id: row.id,
            first_name: row.first_name.clone(),
            last_name: row.last_name.clone(),
            email: row.email.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<&silver::Account> for Account {
    fn from(row: &silver::Account) -> Self {
        Self {
            id: row.id,
            customer_id: row.customer_id,
            account_type: row.account_type,
            currency: row.currency,
            opening_balance: row.opening_balance,
            balance: row.balance,
            status: row.status,
            closed_at: row.closed_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<&silver::Transaction> for Transaction {
    fn from(row: &silver::Transaction) -> Self {
        Self {
            id: row.id,
            account_id: row.account_id,
            txn_type: row.txn_type,
            amount: row.amount,
            related_account_id: row.related_account_id,
            status: row.status,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

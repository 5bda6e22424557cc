//! The rows of the source's tables.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use super::{Envelope, Row};
use crate::Money;
use crate::money::optional_amount;
use crate::time::optional_instant;

/// A row of `customers`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CustomerRow {
    /// The customer's id.
    pub id: i64,
    /// First name.
    #[serde(default)]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default)]
    pub last_name: Option<String>,
    /// E-mail address, as it was typed.
    #[serde(default)]
    pub email: Option<String>,
    /// When the row was made, in microseconds since the epoch.
    #[serde(default, deserialize_with = "optional_instant", serialize_with = "crate::time::as_text")]
    pub created_at: Option<i64>,
    /// When the row was last changed, in microseconds since the epoch.
    #[serde(default, deserialize_with = "optional_instant", serialize_with = "crate::time::as_text")]
    pub updated_at: Option<i64>,
}

/// A row of `accounts`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountRow {
    /// The account's id.
    pub id: i64,
    /// Whose it is.
    #[serde(default)]
    pub customer_id: Option<i64>,
    /// CHECKING or SAVINGS.
    #[serde(default)]
    pub account_type: Option<String>,
    /// ISO 4217.
    #[serde(default)]
    pub currency: Option<String>,
    /// What the account opened with; some sources have no such column.
    #[serde(default, deserialize_with = "optional_amount")]
    pub opening_balance: Option<Money>,
    /// What the source says the balance is.
    #[serde(default, deserialize_with = "optional_amount")]
    pub balance: Option<Money>,
    /// ACTIVE or INACTIVE; some sources have no such column.
    #[serde(default)]
    pub status: Option<String>,
    /// When it was closed, in microseconds since the epoch.
    #[serde(default, deserialize_with = "optional_instant", serialize_with = "crate::time::as_text")]
    pub closed_at: Option<i64>,
    /// When the row was made, in microseconds since the epoch.
    #[serde(default, deserialize_with = "optional_instant", serialize_with = "crate::time::as_text")]
    pub created_at: Option<i64>,
    /// When the row was last changed, in microseconds since the epoch.
    #[serde(default, deserialize_with = "optional_instant", serialize_with = "crate::time::as_text")]
    pub updated_at: Option<i64>,
}

/// A row of `transactions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TransactionRow {
    /// The transaction's id.
    pub id: i64,
    /// Whose account it is on.
    #[serde(default)]
    pub account_id: Option<i64>,
    /// DEPOSIT, WITHDRAWAL or TRANSFER.
    #[serde(default)]
    pub txn_type: Option<String>,
    /// How much, above zero.
    #[serde(default, deserialize_with = "optional_amount")]
    pub amount: Option<Money>,
    /// Where a transfer goes.
    #[serde(default)]
    pub related_account_id: Option<i64>,
    /// PENDING, COMPLETED, FAILED or REVERSED.
    #[serde(default)]
    pub status: Option<String>,
    /// When the row was made, in microseconds since the epoch.
    #[serde(default, deserialize_with = "optional_instant", serialize_with = "crate::time::as_text")]
    pub created_at: Option<i64>,
    /// When the row was last changed, in microseconds since the epoch.
    #[serde(default, deserialize_with = "optional_instant", serialize_with = "crate::time::as_text")]
    pub updated_at: Option<i64>,
}

avro_wire!(Envelope<CustomerRow>, include_str!("../../avro/bronze/customers.avsc"));
avro_wire!(Envelope<AccountRow>, include_str!("../../avro/bronze/accounts.avsc"));
avro_wire!(Envelope<TransactionRow>, include_str!("../../avro/bronze/transactions.avsc"));

impl Row for CustomerRow {
    fn id(&self) -> i64 {
        self.id
    }
}

impl Row for AccountRow {
    fn id(&self) -> i64 {
        self.id
    }
}

impl Row for TransactionRow {
    fn id(&self) -> i64 {
        self.id
    }
}

//! Transactions.

use schemas::silver::{TransactionStatus, TransactionType};
use schemas::{AccountId, TransactionId, silver};
use serde::{Deserialize, Deserializer, Serialize};
use system_of_record::{Amount, Entity, TransactionDraft, TransactionUpdate, Version};
use topology::Micros;
use utoipa::ToSchema;

use super::values::amount;
use super::{TransactionStatusCode, TransactionTypeCode, instant};
use crate::page::Listed;
use crate::routes::Resource;

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Transaction {
    /// The transaction's id.
    #[schema(value_type = i64, example = 1)]
    pub id: TransactionId,
    /// The account that it credits (DEPOSIT) or debits.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// What it does.
    #[schema(value_type = TransactionTypeCode)]
    pub txn_type: TransactionType,
    /// How much, in the currency of its account, with two places or more: a transaction does not name its currency.
    #[schema(example = "12.30")]
    pub amount: String,
    /// The account that receives a transfer; null for the others.
    #[schema(required, value_type = Option<i64>)]
    pub related_account_id: Option<AccountId>,
    /// How far it is.
    #[schema(value_type = TransactionStatusCode)]
    pub status: TransactionStatus,
    /// When it was made.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub created_at: String,
    /// When the row was last changed.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub updated_at: String,
}

/// What a client says of a new transaction.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionInput {
    /// The account that it credits (DEPOSIT) or debits.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// What it does.
    #[schema(value_type = TransactionTypeCode)]
    pub txn_type: TransactionType,
    /// How much, above zero, with no more places than the account's currency has.
    #[serde(deserialize_with = "amount")]
    #[schema(schema_with = super::accepted::amount)]
    pub amount: Amount,
    /// The account that receives a transfer; left out for the others.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pub related_account_id: Option<AccountId>,
    /// How far it is; COMPLETED if it is left out.
    #[serde(default)]
    #[schema(value_type = Option<TransactionStatusCode>)]
    pub status: Option<TransactionStatus>,
}

impl From<TransactionInput> for TransactionDraft {
    fn from(input: TransactionInput) -> Self {
        Self {
            account_id: input.account_id.into(),
            txn_type: input.txn_type,
            amount: input.amount,
            related_account_id: input.related_account_id.map(Into::into),
            status: input.status.unwrap_or(TransactionStatus::Completed),
        }
    }
}

/// What a client says of a transaction that is there. What is left out stays as it is.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionReplacement {
    /// The account that it credits (DEPOSIT) or debits.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// What it does.
    #[schema(value_type = TransactionTypeCode)]
    pub txn_type: TransactionType,
    /// How much, above zero, with no more places than the account's currency has.
    #[serde(deserialize_with = "amount")]
    #[schema(
        value_type = String,
        pattern = r"^([1-9][0-9]{0,15}(\.[0-9]{1,4})?|0\.([1-9][0-9]{0,3}|0[1-9][0-9]{0,2}|00[1-9][0-9]?|000[1-9]))$",
        example = "12.30"
    )]
    pub amount: Amount,
    /// The account that receives a transfer; null for the others. Left out, it stays, as long as the transaction is a transfer.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<i64>)]
    pub related_account_id: Option<Option<AccountId>>,
    /// How far it is. Left out, or null, it stays; otherwise PENDING changes to COMPLETED or FAILED, COMPLETED to REVERSED, and
    /// nothing else.
    #[serde(default)]
    #[schema(value_type = Option<TransactionStatusCode>)]
    pub status: Option<TransactionStatus>,
}

/// A field that is there, if only as null.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl From<TransactionReplacement> for TransactionUpdate {
    fn from(input: TransactionReplacement) -> Self {
        Self {
            account_id: input.account_id.into(),
            txn_type: input.txn_type,
            amount: input.amount,
            related_account_id: input.related_account_id.map(|id| id.map(Into::into)),
            status: input.status,
        }
    }
}

impl From<system_of_record::Transaction> for Transaction {
    fn from(row: system_of_record::Transaction) -> Self {
        Self {
            id: row.id,
            account_id: row.account_id,
            txn_type: row.txn_type,
            amount: row.amount.to_string(),
            related_account_id: row.related_account_id,
            status: row.status,
            created_at: instant(Micros(row.created_at)),
            updated_at: instant(Micros(row.updated_at)),
        }
    }
}

impl Listed for Transaction {
    const LIST: &'static str = "transactions";
    fn id(&self) -> i64 {
        self.id.0
    }
}

impl Resource for Transaction {
    const ENTITY: Entity = Entity::Transaction;
    type Stored = silver::Transaction;
    fn of(row: &silver::Transaction) -> (Self, Version) {
        let row = system_of_record::Transaction::from(row);
        let version = row.version();
        (row.into(), version)
    }
}

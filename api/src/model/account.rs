//! Accounts.

use schemas::silver::{AccountStatus, AccountType};
use schemas::{AccountId, Currency, CustomerId, silver};
use serde::{Deserialize, Serialize};
use system_of_record::{AccountDraft, AccountUpdate, Amount, Entity, Version};
use topology::Micros;
use utoipa::ToSchema;

use super::values::amount;
use super::{AccountStatusCode, AccountTypeCode, accepted, instant, money};
use crate::page::Listed;
use crate::problem::Problem;
use crate::routes::Resource;

/// An account. Its balance, which moves with every transaction, is at `/accounts/{id}/balance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The account's id.
    #[schema(value_type = i64, example = 1)]
    pub id: AccountId,
    /// Whose it is.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// Its kind.
    #[schema(value_type = AccountTypeCode)]
    pub account_type: AccountType,
    /// Its currency, by ISO 4217.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// What it opened with.
    #[schema(example = "100.00")]
    pub opening_balance: String,
    /// Whether it is open.
    #[schema(value_type = AccountStatusCode)]
    pub status: AccountStatus,
    /// When it was closed; null while it is open.
    #[schema(required, format = DateTime)]
    pub closed_at: Option<String>,
    /// When it was opened.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub created_at: String,
}

/// What a client says of a new account.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountInput {
    /// Whose it is.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// Its kind.
    #[schema(value_type = AccountTypeCode)]
    pub account_type: AccountType,
    /// Its currency, by ISO 4217.
    #[schema(schema_with = accepted::currency)]
    pub currency: String,
    /// What it holds at once, with no more places than its currency has; nothing if it is left out.
    #[serde(default = "nothing", deserialize_with = "amount")]
    #[schema(schema_with = accepted::opening)]
    pub opening_balance: Amount,
}

/// What a client says of an account that is there. The opening balance is not among it: it never changes. What is left out stays as
/// it is.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountReplacement {
    /// Whose it is.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// Its kind.
    #[schema(value_type = AccountTypeCode)]
    pub account_type: AccountType,
    /// Its currency, which stays as soon as there is a transaction on the account.
    #[schema(schema_with = accepted::currency)]
    pub currency: String,
    /// Whether it is open. Left out, or null, it stays; INACTIVE closes the account, ACTIVE opens it again.
    #[serde(default)]
    #[schema(value_type = Option<AccountStatusCode>)]
    pub status: Option<AccountStatus>,
}

fn nothing() -> Amount {
    Amount::ZERO
}

fn currency(text: &str) -> Result<Currency, Problem> {
    let code = text.trim().to_uppercase();
    code.parse()
        .map_err(|_| Problem::invalid("currency", format!("{text:?} is no currency of ISO 4217")))
}

impl TryFrom<AccountInput> for AccountDraft {
    type Error = Problem;
    fn try_from(input: AccountInput) -> Result<Self, Problem> {
        Ok(Self {
            customer_id: input.customer_id.into(),
            account_type: input.account_type,
            currency: currency(&input.currency)?,
            opening_balance: input.opening_balance,
        })
    }
}

impl TryFrom<AccountReplacement> for AccountUpdate {
    type Error = Problem;
    fn try_from(input: AccountReplacement) -> Result<Self, Problem> {
        Ok(Self {
            customer_id: input.customer_id.into(),
            account_type: input.account_type,
            currency: currency(&input.currency)?,
            status: input.status,
        })
    }
}

impl From<system_of_record::Account> for Account {
    fn from(row: system_of_record::Account) -> Self {
        Self {
            id: row.id,
            customer_id: row.customer_id,
            account_type: row.account_type,
            currency: row.currency,
            opening_balance: money(row.opening_balance, row.currency),
            status: row.status,
            closed_at: row.closed_at.map(Micros).map(instant),
            created_at: instant(Micros(row.created_at)),
        }
    }
}

impl Listed for Account {
    const LIST: &'static str = "accounts";
    fn id(&self) -> i64 {
        self.id.0
    }
}

impl Resource for Account {
    const ENTITY: Entity = Entity::Account;
    type Stored = silver::Account;
    fn of(row: &silver::Account) -> (Self, Version) {
        let row = system_of_record::Account::from(row);
        let version = row.version();
        (row.into(), version)
    }
}

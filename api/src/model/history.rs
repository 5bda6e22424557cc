//! Histories: versions of customers and accounts.

use schemas::gold::{self, Validity, Versioned};
use schemas::silver::{AccountStatus, AccountType};
use schemas::{AccountId, Currency, CustomerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AccountStatusCode, AccountTypeCode, instant};

/// Versions of a row, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History<V> {
    /// The versions. Each begins where the one before it ends.
    pub versions: Vec<V>,
    /// To be sent as `after` for those that come next; null where there are none.
    #[schema(required, example = 100)]
    pub next: Option<i64>,
}

/// What a customer was for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerVersion {
    /// The customer.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// First name.
    #[schema(example = "Ada")]
    pub first_name: String,
    /// Last name.
    #[schema(example = "Lovelace")]
    pub last_name: String,
    /// E-mail address, in lower case.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// Which version it is, and when it was in force.
    #[serde(flatten)]
    pub in_force: InForce,
}

/// What an account was for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountVersion {
    /// The account.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// Whose it was.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// Its kind.
    #[schema(value_type = AccountTypeCode)]
    pub account_type: AccountType,
    /// Its currency, by ISO 4217.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Whether it was open.
    #[schema(value_type = AccountStatusCode)]
    pub status: AccountStatus,
    /// Which version it is, and when it was in force.
    #[serde(flatten)]
    pub in_force: InForce,
}

/// Which version it is, and when it was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InForce {
    /// 1, 2, … without gaps, deletions included.
    #[schema(example = 1)]
    pub version: i64,
    /// From when on: when the source committed the change that made it, or a microsecond after the version before it.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub valid_from: String,
    /// Until when: when the next version began; null where it is in force.
    #[schema(required, format = DateTime)]
    pub valid_to: Option<String>,
    /// Whether it is the newest version.
    pub is_current: bool,
    /// Whether the row was deleted; the columns are then those that it had last.
    pub is_deleted: bool,
    /// The position in the source's log (LSN) of the change that made it.
    #[schema(example = 26_700_120)]
    pub source_lsn: i64,
}

impl From<Validity> for InForce {
    fn from(validity: Validity) -> Self {
        Self {
            version: validity.version,
            valid_from: instant(validity.valid_from),
            valid_to: validity.valid_to.map(instant),
            is_current: validity.valid_to.is_none(),
            is_deleted: validity.is_deleted,
            source_lsn: validity.source_lsn,
        }
    }
}

impl From<gold::CustomerVersion> for CustomerVersion {
    fn from(version: gold::CustomerVersion) -> Self {
        Self {
            in_force: version.validity().into(),
            customer_id: version.customer_id,
            first_name: version.first_name,
            last_name: version.last_name,
            email: version.email,
        }
    }
}

impl From<gold::AccountVersion> for AccountVersion {
    fn from(version: gold::AccountVersion) -> Self {
        Self {
            in_force: version.validity().into(),
            account_id: version.account_id,
            customer_id: version.customer_id,
            account_type: version.account_type,
            currency: version.currency,
            status: version.status,
        }
    }
}

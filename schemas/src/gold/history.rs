//! Versions of customers and accounts: slowly changing dimensions of type 2.

use clock::Micros;
use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::silver::{AccountStatus, AccountType};
use crate::{AccountId, Currency, CustomerId};

/// Which of a row's versions one is, when it holds, and what made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// 1, 2, … without gaps, deletions included.
    pub version: i64,
    /// From when on it holds.
    pub valid_from: Micros,
    /// Until when; `None`: it is the newest.
    pub valid_to: Option<Micros>,
    /// Whether the row is gone.
    pub is_deleted: bool,
    /// LSN of the change that made it.
    pub source_lsn: i64,
    /// The source's transaction that made it.
    pub source_tx_id: Option<i64>,
}

/// A version of a row.
pub trait Versioned {
    /// Which of the row's versions it is, and when it holds.
    fn validity(&self) -> Validity;

    /// The same columns, as another version or for another time.
    #[must_use]
    fn with_validity(self, validity: Validity) -> Self;
}

/// A version of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerVersion {
    /// The customer.
    pub customer_id: CustomerId,
    /// 1, 2, … without gaps, deletions included.
    pub version: i64,
    /// Trimmed.
    pub first_name: String,
    /// Trimmed.
    pub last_name: String,
    /// Lower case.
    pub email: String,
    /// When the change that made this version was committed at the source, or a microsecond after the version before it.
    pub valid_from: Micros,
    /// When the next version began; `None`: this is the newest.
    pub valid_to: Option<Micros>,
    /// Whether it is the newest version.
    pub is_current: bool,
    /// Whether the row is gone; the columns are then those that it had last.
    pub is_deleted: bool,
    /// LSN of the change that made this version.
    pub source_lsn: i64,
    /// The source's transaction that made it; `None`: a snapshot, or the source does not say.
    pub source_tx_id: Option<i64>,
}

/// A version of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountVersion {
    /// The account.
    pub account_id: AccountId,
    /// 1, 2, … without gaps, deletions included.
    pub version: i64,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
    /// Whether it is open.
    pub status: AccountStatus,
    /// When the change that made this version was committed at the source, or a microsecond after the version before it.
    pub valid_from: Micros,
    /// When the next version began; `None`: this is the newest.
    pub valid_to: Option<Micros>,
    /// Whether it is the newest version.
    pub is_current: bool,
    /// Whether the row is gone; the columns are then those that it had last.
    pub is_deleted: bool,
    /// LSN of the change that made this version.
    pub source_lsn: i64,
    /// The source's transaction that made it; `None`: a snapshot, or the source does not say.
    pub source_tx_id: Option<i64>,
}

/// The columns that all kinds of versions have.
macro_rules! versioned {
    ($version:ty) => {
        impl Versioned for $version {
            fn validity(&self) -> Validity {
                Validity {
                    version: self.version,
                    valid_from: self.valid_from,
                    valid_to: self.valid_to,
                    is_deleted: self.is_deleted,
                    source_lsn: self.source_lsn,
                    source_tx_id: self.source_tx_id,
                }
            }

            fn with_validity(self, validity: Validity) -> Self {
                Self {
                    version: validity.version,
                    valid_from: validity.valid_from,
                    valid_to: validity.valid_to,
                    is_current: validity.valid_to.is_none(),
                    is_deleted: validity.is_deleted,
                    source_lsn: validity.source_lsn,
                    source_tx_id: validity.source_tx_id,
                    ..self
                }
            }
        }
    };
}

versioned!(CustomerVersion);
versioned!(AccountVersion);
avro_wire!(CustomerVersion, include_str!("../../avro/gold/customer_version.avsc"));
avro_wire!(AccountVersion, include_str!("../../avro/gold/account_version.avsc"));

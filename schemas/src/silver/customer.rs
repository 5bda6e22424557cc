//! Customers.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::CustomerId;

/// A customer, cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The customer.
    pub id: CustomerId,
    /// Trimmed.
    pub first_name: String,
    /// Trimmed.
    pub last_name: String,
    /// Lower case.
    pub email: String,
    /// When the row was made.
    pub created_at: i64,
    /// When the row was last changed.
    pub updated_at: i64,
    /// LSN of the change that made this version.
    pub source_lsn: i64,
    /// When that change was committed at the source.
    pub source_ts: i64,
}

avro_wire!(Customer, include_str!("../../avro/silver/customer.avsc"));

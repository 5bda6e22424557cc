//! Accounts by day.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::silver::AccountType;
use crate::{AccountId, Currency, CustomerId, Money};

/// An account on a day on which something was posted to it. A day without postings has no row: its balance is the closing of the last one
/// before it. What comes late for a day changes its row, and the opening and closing of all later ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDay {
    /// The account.
    pub account_id: AccountId,
    /// The day, in days since the epoch, UTC: by the transactions' own time, `created_at`.
    pub day: i32,
    /// Whose the account is now.
    pub customer_id: CustomerId,
    /// Its kind now.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
    /// What it had when the day began: what it opened with, and all that was posted for earlier days.
    pub opening: Money,
    /// Sum of what came in.
    pub credits: Money,
    /// Sum of what went out; not below zero.
    pub debits: Money,
    /// How many postings stand on the day; at least one. What was posted and taken back is not among them.
    pub entries: i64,
    /// Opening plus credits less debits.
    pub closing: Money,
}

avro_wire!(AccountDay, include_str!("../../avro/gold/account_day.avsc"));

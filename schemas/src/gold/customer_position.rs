//! What customers have.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::{Currency, CustomerId, Money};

/// What a customer has in one currency, over all of the customer's accounts. An account counts as soon as its row is there, and no
/// more when it is deleted; a customer without an account in the currency has no row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerPosition {
    /// The customer.
    pub customer_id: CustomerId,
    /// The currency; positions in several are never added.
    pub currency: Currency,
    /// Sum of the accounts' booked balances.
    pub booked: Money,
    /// Sum of the accounts' available balances: booked less holds.
    pub available: Money,
    /// How many accounts there are, closed ones included; at least one.
    pub accounts: i64,
    /// How many of them are open.
    pub open_accounts: i64,
}

avro_wire!(CustomerPosition, include_str!("../../avro/gold/customer_position.avsc"));

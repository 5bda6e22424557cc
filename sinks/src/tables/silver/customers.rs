//! `silver.customers`: every version of every customer.

use schemas::silver::Customer;
use schemas::{CustomerId, topics};

use super::super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// The table.
pub fn customers() -> Typed<CustomerId, Customer> {
    Typed::versions(topics::SILVER_CUSTOMERS, 1, "Every version of every customer, cleaned.")
        .key(
            "id",
            Kind::Int64,
            "The customer.",
            |key| Cell::Int(key.0),
            |customer| Cell::Int(customer.id.0),
        )
        .field("first_name", Kind::Text, "The first name, trimmed.", |customer| {
            Cell::Text(customer.first_name.as_str().into())
        })
        .field("last_name", Kind::Text, "The last name, trimmed.", |customer| {
            Cell::Text(customer.last_name.as_str().into())
        })
        .field("email", Kind::Text, "The address, trimmed and in lower case.", |customer| {
            Cell::Text(customer.email.as_str().into())
        })
        .field("created_at", Kind::Timestamp, "When the row was made.", |customer| {
            Cell::Timestamp(customer.created_at)
        })
        .field("updated_at", Kind::Timestamp, "When the row was last changed.", |customer| {
            Cell::Timestamp(customer.updated_at)
        })
        .field(
            "source_lsn",
            Kind::Int64,
            "LSN of the change that made this version.",
            |customer| Cell::Int(customer.source_lsn),
        )
        .field(
            "source_ts",
            Kind::Timestamp,
            "When that change was committed at the source.",
            |customer| Cell::Timestamp(customer.source_ts),
        )
}

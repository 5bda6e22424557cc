//! Customers.

use schemas::{CustomerId, silver};
use serde::{Deserialize, Serialize};
use system_of_record::{CustomerDraft, Entity, Version};
use topology::Micros;
use utoipa::ToSchema;

use super::{accepted, instant};
use crate::page::Listed;
use crate::routes::Resource;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Customer {
    /// The customer's id.
    #[schema(value_type = i64, example = 1)]
    pub id: CustomerId,
    /// First name.
    #[schema(example = "Ada")]
    pub first_name: String,
    /// Last name.
    #[schema(example = "Lovelace")]
    pub last_name: String,
    /// E-mail address, in lower case.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// When the customer was added.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub created_at: String,
    /// When the row was last changed.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub updated_at: String,
}

/// What a client says of a customer.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerInput {
    /// First name; not blank.
    #[schema(schema_with = accepted::first_name)]
    pub first_name: String,
    /// Last name; not blank.
    #[schema(schema_with = accepted::last_name)]
    pub last_name: String,
    /// E-mail address; unique without regard to case.
    #[schema(schema_with = accepted::email)]
    pub email: String,
}

impl From<CustomerInput> for CustomerDraft {
    fn from(input: CustomerInput) -> Self {
        Self {
            first_name: input.first_name.trim().to_owned(),
            last_name: input.last_name.trim().to_owned(),
            email: input.email.trim().to_lowercase(),
        }
    }
}

impl From<system_of_record::Customer> for Customer {
    fn from(row: system_of_record::Customer) -> Self {
        let row = row.cleaned();
        Self {
            id: row.id,
            first_name: row.first_name,
            last_name: row.last_name,
            email: row.email,
            created_at: instant(Micros(row.created_at)),
            updated_at: instant(Micros(row.updated_at)),
        }
    }
}

impl Listed for Customer {
    const LIST: &'static str = "customers";
    fn id(&self) -> i64 {
        self.id.0
    }
}

impl Resource for Customer {
    const ENTITY: Entity = Entity::Customer;
    type Stored = silver::Customer;
    fn of(row: &silver::Customer) -> (Self, Version) {
        let row = system_of_record::Customer::from(row);
        let version = row.version();
        (row.into(), version)
    }
}

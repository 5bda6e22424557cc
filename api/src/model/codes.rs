//! The accepted codes, for the API's document; the values themselves are those of the contracts.

#![allow(missing_docs, reason = "each code says itself")]

use utoipa::ToSchema;

/// What kind of account.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum AccountTypeCode {
    Checking,
    Savings,
}

/// Whether an account is open.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum AccountStatusCode {
    Active,
    Inactive,
}

/// What a transaction does.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum TransactionTypeCode {
    Deposit,
    Withdrawal,
    Transfer,
}

/// How far a transaction is. Only COMPLETED moves balances; PENDING withdrawals and transfers hold what they will take.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum TransactionStatusCode {
    Pending,
    Completed,
    Failed,
    Reversed,
}

//! What Postgres said, in the bank's terms.

use sqlx::error::DatabaseError;

use crate::system_of_record::{Change, Rule, SystemOfRecordError};

/// Why a commit stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// For a reason that has its final form.
    Told(SystemOfRecordError),
    /// By an error of the database or the connection, not yet looked at.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<SystemOfRecordError> for Stop {
    fn from(error: SystemOfRecordError) -> Self {
        Self::Told(error)
    }
}

impl Stop {
    /// Whether the same commit may succeed when it is tried again at once: it lost against another transaction.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Told(_) => false,
            Self::Database(error) => code(error).is_some_and(|code| code.starts_with("40")),
        }
    }

    /// Names the rule that the change broke, if that is why it stopped.
    pub fn told_of(self, change: &Change) -> Self {
        let refusal = match &self {
            Self::Told(_) => None,
            Self::Database(error) => error.as_database_error().and_then(|error| refusal(error, change)),
        };
        refusal.map_or(self, Self::Told)
    }

    /// The error for the caller.
    pub fn into_error(self) -> SystemOfRecordError {
        let error = match self {
            Self::Told(error) => return error,
            Self::Database(error) => error,
        };
        let class = code(&error).and_then(|code| code.get(..2).map(str::to_owned));
        match class.as_deref() {
            // Conflicts that outlasted the tries; too little of something; a statement that took too long, a server that starts
            // or stops, a standby (25006) that is not the primary yet; a broken connection.
            Some("40" | "53" | "57" | "08" | "25" | "55") => unavailable(error),
            Some(_) => SystemOfRecordError::Internal(error.to_string()),
            None => match error {
                sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
                    SystemOfRecordError::Internal(error.to_string())
                }
                error => unavailable(error),
            },
        }
    }
}

/// The database is away.
pub(super) fn unavailable(error: sqlx::Error) -> SystemOfRecordError {
    SystemOfRecordError::Unavailable(error.to_string())
}

fn code(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(DatabaseError::code)
        .map(|code| code.into_owned())
}

/// The rule that a constraint's name stands for; the names are those of `connect/postgres/migrations`.
fn refusal(error: &dyn DatabaseError, change: &Change) -> Option<SystemOfRecordError> {
    let invalid = |field, reason: &str| {
        let reason = reason.to_owned();
        Some(SystemOfRecordError::Invalid { field, reason })
    };
    let is_delete = matches!(change, Change::DeleteCustomer { .. });
    let is_account = matches!(change, Change::InsertAccount(_) | Change::UpdateAccount { .. });
    let rule = match error.constraint().unwrap_or_default() {
        "customers_email_unique" => Rule::EmailUnique,
        "accounts_customer_exists" if is_delete => Rule::CustomerInUse,
        "accounts_customer_exists" => Rule::CustomerExists,
        "transactions_account_exists" => Rule::AccountExists,
        "transactions_related_account_exists" => Rule::RelatedAccountExists,
        "transactions_account_active" => Rule::AccountActive,
        "transactions_one_currency" => Rule::OneCurrency,
        "accounts_balance_not_negative" if is_account => return invalid("opening_balance", "must not be negative"),
        "accounts_balance_not_negative" => Rule::NotOverdrawn,
        "accounts_currency_fixed" => Rule::CurrencyFixed,
        "transactions_amount_positive" => return invalid("amount", "must be above 0"),
        "transactions_related_only_for_transfer" => {
            return invalid("related_account_id", "is for transfers, and every transfer needs it");
        }
        "transactions_not_to_itself" => return invalid("related_account_id", "a transfer goes to another account"),
        // A number too large for its column: amounts were checked before, so it is a balance.
        _ if error.code().as_deref() == Some("22003") => Rule::BalanceInRange,
        _ => return None,
    };
    Some(rule.into())
}

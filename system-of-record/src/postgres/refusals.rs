//! What Postgres said, in the bank's terms.

use sqlx::error::DatabaseError;

use crate::{Busy, Change, Rule, SystemOfRecordError};

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

    /// Whether a lock was waited for in vain.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Database(error) if code(error).as_deref() == Some("55P03"))
    }

    /// Whether no connection was available in time: all are in use, or none can be made.
    pub fn is_without_connection(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::PoolTimedOut))
    }

    /// The table whose identity gave an id that a row has already: rows came with ids of their own.
    pub fn taken_id(&self) -> Option<&'static str> {
        let Self::Database(error) = self else { return None };
        match error.as_database_error()?.constraint()? {
            "customers_pkey" => Some("customers"),
            "accounts_pkey" => Some("accounts"),
            "transactions_pkey" => Some("transactions"),
            _ => None,
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
        let code = code(&error).unwrap_or_default();
        match (code.as_str(), code.get(..2).unwrap_or_default()) {
            // Nobody's fault, and the database is there: a lock (55P03), a statement that took too long (57014), a conflict.
            ("55P03", _) => Busy::Locked.into(),
            ("57014", _) => Busy::Slow.into(),
            (_, "40") => Busy::Conflict.into(),
            // Too little of something; a server that starts or stops; a broken connection; a standby (25006) that is not the
            // primary yet; an object that is not in the state for it.
            (_, "53" | "57" | "08" | "25" | "55") => unavailable(error),
            ("", _) => match error {
                sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
                    SystemOfRecordError::Internal(error.to_string())
                }
                error => unavailable(error),
            },
            _ => SystemOfRecordError::Internal(error.to_string()),
        }
    }
}

/// The database is away.
fn unavailable(error: sqlx::Error) -> SystemOfRecordError {
    SystemOfRecordError::Unavailable(error.to_string())
}

/// The SQLSTATE of an error that the database itself reported.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
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
    let is_delete = matches!(change, Change::DeleteCustomer { .. } | Change::DeleteAccount { .. });
    let is_account = matches!(change, Change::InsertAccount(_) | Change::UpdateAccount { .. });
    let rule = match error.constraint().unwrap_or_default() {
        "customers_email_unique" => Rule::EmailUnique,
        "accounts_customer_exists" if is_delete => Rule::CustomerInUse,
        "accounts_customer_exists" => Rule::CustomerExists,
        "transactions_account_exists" | "transactions_related_account_exists" if is_delete => Rule::AccountInUse,
        "transactions_account_exists" => Rule::AccountExists,
        "transactions_related_account_exists" => Rule::RelatedAccountExists,
        "transactions_account_active" => Rule::AccountActive,
        "transactions_one_currency" => Rule::OneCurrency,
        "accounts_balance_not_negative" if is_account => return invalid("opening_balance", "must not be negative"),
        "accounts_balance_not_negative" => Rule::NotOverdrawn,
        "accounts_currency_fixed" => Rule::CurrencyFixed,
        "transactions_status_flow" => Rule::StatusFlow,
        "transactions_amount_scale" => Rule::AmountScale,
        "transactions_currency_current" => {
            return invalid(
                "account_id",
                "its currency is no longer one of ISO 4217: it takes no new transactions",
            );
        }
        "accounts_currency_known" => return invalid("currency", "is no current currency of ISO 4217"),
        "accounts_opening_balance_scale" => return invalid("opening_balance", "has more decimal places than the currency"),
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

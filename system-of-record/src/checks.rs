//! What is wrong with a change whatever the data: checked before either implementation is asked, so that both say the same.

use schemas::silver::{TransactionStatus, TransactionType};
use schemas::{AccountId, Currency, Money};

use crate::{
    Account, AccountDraft, Amount, CHANGES_MAX, Change, CustomerDraft, Ref, Row, Rule, SystemOfRecordError, Transaction,
    TransactionDraft,
};

/// The largest amount, and the largest balance: what sixteen digits before the point hold, in hundredths.
pub const AMOUNT_MAX: Money = Money::from_hundredths(999_999_999_999_999_999);

const NAME_CHARS_MAX: usize = 100;
const EMAIL_CHARS_MAX: usize = 255;

/// Checks every change of a commit.
pub(crate) fn check(changes: &[Change]) -> Result<(), SystemOfRecordError> {
    if changes.is_empty() || changes.len() > CHANGES_MAX {
        let count = changes.len();
        return Err(SystemOfRecordError::Internal(format!(
            "a commit has 1 to {CHANGES_MAX} changes, not {count}"
        )));
    }
    changes.iter().try_for_each(|change| match change {
        Change::InsertCustomer(draft) | Change::UpdateCustomer { to: draft, .. } => customer(draft),
        Change::InsertAccount(draft) => account(draft),
        Change::InsertTransaction(draft) => transaction(draft),
        Change::UpdateTransaction { to, .. } => {
            amount(to.amount)?;
            match to.related_account_id {
                Some(related) => related_account(to.txn_type, to.account_id, related),
                None => Ok(()),
            }
        }
        Change::UpdateAccount { .. }
        | Change::CloseAccount { .. }
        | Change::DeleteCustomer { .. }
        | Change::DeleteAccount { .. }
        | Change::DeleteTransaction { .. } => Ok(()),
    })
}

fn invalid(field: &'static str, reason: impl Into<String>) -> SystemOfRecordError {
    let reason = reason.into();
    SystemOfRecordError::Invalid { field, reason }
}

fn text(field: &'static str, value: &str, chars_max: usize) -> Result<(), SystemOfRecordError> {
    if value.trim().is_empty() {
        return Err(invalid(field, "must not be blank"));
    }
    if value.chars().count() > chars_max {
        return Err(invalid(field, format!("has more than {chars_max} characters")));
    }
    if value.chars().any(char::is_control) {
        return Err(invalid(field, "must not have control characters"));
    }
    Ok(())
}

fn customer(draft: &CustomerDraft) -> Result<(), SystemOfRecordError> {
    text("first_name", &draft.first_name, NAME_CHARS_MAX)?;
    text("last_name", &draft.last_name, NAME_CHARS_MAX)?;
    text("email", &draft.email, EMAIL_CHARS_MAX)?;
    let has_both_parts = draft
        .email
        .trim()
        .split_once('@')
        .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'));
    if !has_both_parts || draft.email.trim().contains(char::is_whitespace) {
        return Err(invalid("email", "is no e-mail address"));
    }
    Ok(())
}

fn account(draft: &AccountDraft) -> Result<(), SystemOfRecordError> {
    let Amount { value, .. } = draft.opening_balance;
    if value < Money::ZERO || value > AMOUNT_MAX {
        return Err(invalid("opening_balance", format!("must be between 0 and {AMOUNT_MAX}")));
    }
    current(draft.currency)?;
    opening_scale(draft.opening_balance, draft.currency)
}

/// An account that changes its currency changes to one that is still in use.
pub(crate) fn current(currency: Currency) -> Result<(), SystemOfRecordError> {
    if currency.is_current() {
        return Ok(());
    }
    Err(invalid("currency", format!("{currency} was replaced by another currency")))
}

fn opening_scale(amount: Amount, currency: Currency) -> Result<(), SystemOfRecordError> {
    if !amount.fits(currency) {
        return Err(invalid("opening_balance", format!("has more decimal places than {currency}")));
    }
    Ok(())
}

fn amount(Amount { value, .. }: Amount) -> Result<(), SystemOfRecordError> {
    if value <= Money::ZERO || value > AMOUNT_MAX {
        return Err(invalid("amount", format!("must be above 0 and at most {AMOUNT_MAX}")));
    }
    Ok(())
}

/// Checks a transaction's columns.
pub(crate) fn transaction(draft: &TransactionDraft) -> Result<(), SystemOfRecordError> {
    amount(draft.amount)?;
    related_account(draft.txn_type, draft.account_id, draft.related_account_id)
}

fn related_account(
    txn_type: TransactionType,
    account: Ref<AccountId>,
    related: Option<Ref<AccountId>>,
) -> Result<(), SystemOfRecordError> {
    let is_transfer = txn_type == TransactionType::Transfer;
    match related {
        None if is_transfer => Err(invalid("related_account_id", "a transfer names the account that it goes to")),
        Some(_) if !is_transfer => Err(invalid("related_account_id", "only a transfer names another account")),
        Some(related) if related == account => Err(invalid("related_account_id", "a transfer goes to another account")),
        _ => Ok(()),
    }
}

/// Checks an account as a change would leave it.
pub(crate) fn account_row(row: &Account) -> Result<(), SystemOfRecordError> {
    opening_scale(row.opening_balance.into(), row.currency)
}

/// Checks a transaction as a change would leave it, given its account's currency.
pub(crate) fn transaction_row(row: &Transaction, currency: Currency) -> Result<(), SystemOfRecordError> {
    if row.amount.fits_scale(currency.minor_digits()) {
        Ok(())
    } else {
        Err(Rule::AmountScale.into())
    }
}

/// Checks that an amount was written with no more places than its account's currency has.
pub(crate) fn written_places(amount: Amount, currency: Currency) -> Result<(), SystemOfRecordError> {
    if amount.is_written_for(currency) {
        Ok(())
    } else {
        Err(Rule::AmountScale.into())
    }
}

/// What may become of a transaction:
///
/// ```text
/// PENDING ──► COMPLETED ──► REVERSED
///    └──────► FAILED
/// ```
pub(crate) fn status_flow(from: TransactionStatus, to: TransactionStatus) -> Result<(), SystemOfRecordError> {
    use TransactionStatus::{Completed, Failed, Pending, Reversed};
    match (from, to) {
        (Pending, Completed | Failed) | (Completed, Reversed) => Ok(()),
        (from, to) if from == to => Ok(()),
        _ => Err(Rule::StatusFlow.into()),
    }
}

/// The id that a reference stands for, given the rows that earlier changes of the commit left.
pub(crate) fn resolve<I: Copy>(reference: Ref<I>, made: &[Row], id_of: fn(&Row) -> Option<I>) -> Result<I, SystemOfRecordError> {
    match reference {
        Ref::Id(id) => Ok(id),
        Ref::Made(index) => made
            .get(index)
            .and_then(id_of)
            .ok_or_else(|| SystemOfRecordError::Internal(format!("no earlier change {index} of the commit made such a row"))),
    }
}

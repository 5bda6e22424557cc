//! New transactions that stand together in a commit, written by one statement.
//!
//! The ledger works once per statement: a hundred rows in one cost little more than one row. But it then sees only their sum, where
//! one row after the other would be refused at the first that takes what is not there. So only such rows go together of which no
//! account gets by one and gives by another: then the sum is refused exactly if one of them would be.

use std::collections::HashMap;

use schemas::AccountId;
use schemas::silver::{TransactionStatus, TransactionType};
use sqlx::PgConnection;

use super::refusals::Stop;
use super::statements::{account_id, checked_transaction, micros, transaction_columns, transaction_returning};
use crate::{Change, Row, SystemOfRecordError, TransactionDraft};

/// A new row, with the accounts that it names.
type New<'a> = (&'a TransactionDraft, AccountId, Option<AccountId>);

/// The transactions that the changes begin with and that may go together. `made` holds the rows of the changes before them.
pub(super) fn first<'a>(changes: &'a [Change], made: &[Row]) -> Vec<New<'a>> {
    let mut gains: HashMap<AccountId, bool> = HashMap::new();
    let mut together = Vec::new();
    for change in changes {
        let Change::InsertTransaction(draft) = change else { break };
        let related = draft.related_account_id.map(|id| account_id(id, made)).transpose();
        let (Ok(account), Ok(related)) = (account_id(draft.account_id, made), related) else {
            break;
        };
        let is_moving = draft.status == TransactionStatus::Completed;
        let own = (account, draft.txn_type == TransactionType::Deposit);
        let legs = [Some(own), related.map(|related| (related, true))];
        let mut legs = legs.into_iter().flatten().filter(|_| is_moving);
        if !legs.all(|(account, gain)| *gains.entry(account).or_insert(gain) == gain) {
            break;
        }
        together.push((draft, account, related));
    }
    together
}

/// Writes them, in their order.
pub(super) async fn insert(connection: &mut PgConnection, new: &[New<'_>]) -> Result<Vec<Row>, Stop> {
    let statement = sqlx::query(concat!(
        "INSERT INTO transactions (account_id, txn_type, amount, related_account_id, status) ",
        "SELECT n.account_id, n.txn_type, n.amount::numeric, n.related_account_id, n.status ",
        "FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[]) WITH ORDINALITY ",
        "AS n (account_id, txn_type, amount, related_account_id, status, place) ORDER BY n.place",
        transaction_returning!()
    ));
    let statement = statement
        .bind(new.iter().map(|(_, account, _)| account.0).collect::<Vec<i64>>())
        .bind(new.iter().map(|(draft, ..)| draft.txn_type.as_str()).collect::<Vec<&str>>())
        .bind(
            new.iter()
                .map(|(draft, ..)| draft.amount.value.to_string())
                .collect::<Vec<String>>(),
        )
        .bind(
            new.iter()
                .map(|(.., related)| related.map(|id| id.0))
                .collect::<Vec<Option<i64>>>(),
        )
        .bind(new.iter().map(|(draft, ..)| draft.status.as_str()).collect::<Vec<&str>>());
    let rows = statement.fetch_all(connection).await?;
    if rows.len() != new.len() {
        let reason = format!("{} new transactions made {} rows", new.len(), rows.len());
        return Err(SystemOfRecordError::Internal(reason).into());
    }
    let rows = rows.iter().zip(new);
    rows.map(|(row, (draft, ..))| checked_transaction(row, draft.amount).map(Row::Transaction))
        .collect()
}

//! The statements. Values are bound, never pasted; money travels as text, since the driver has no exact decimal of its own.

use schemas::silver::{AccountStatus, AccountType, TransactionStatus, TransactionType};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Row as _};

use super::refusals::Stop;
use crate::checks::{self, resolve};
use crate::{Account, Amount, Change, Customer, Entity, Ref, Row, SystemOfRecordError, Transaction, TransactionDraft, Version};

type Statement = Query<'static, sqlx::Postgres, PgArguments>;
type Written<T> = Result<T, Stop>;

macro_rules! micros {
    ($column:literal) => {
        concat!("(extract(epoch FROM ", $column, ") * 1000000)::bigint AS ", $column)
    };
}
macro_rules! customer_columns {
    () => {
        concat!(
            "id, first_name, last_name, email, ",
            micros!("created_at"),
            ", ",
            micros!("updated_at")
        )
    };
}
macro_rules! account_columns {
    () => {
        concat!(
            "id, customer_id, account_type, currency::text, opening_balance::text, balance::text, status, ",
            micros!("closed_at"),
            ", ",
            micros!("created_at"),
            ", ",
            micros!("updated_at")
        )
    };
}
macro_rules! transaction_columns {
    () => {
        concat!(
            "id, account_id, txn_type, amount::text, related_account_id, status, ",
            micros!("created_at"),
            ", ",
            micros!("updated_at")
        )
    };
}
/// The same, with the currency of the account that it is on.
macro_rules! transaction_returning {
    () => {
        concat!(
            " RETURNING ",
            transaction_columns!(),
            ", (SELECT a.currency::text FROM accounts AS a WHERE a.id = account_id) AS currency"
        )
    };
}
pub(super) use {micros, transaction_columns, transaction_returning};

/// The account that is meant, given the rows that earlier changes of the commit left.
pub(super) fn account_id(reference: Ref<AccountId>, made: &[Row]) -> Result<AccountId, SystemOfRecordError> {
    let id_of = |row: &Row| if let Row::Account(row) = row { Some(row.id) } else { None };
    resolve(reference, made, id_of)
}

/// Applies a change. `made` holds the rows of the changes before it.
pub(super) async fn write(connection: &mut PgConnection, change: &Change, made: &[Row]) -> Written<Row> {
    let customer_id = |id| resolve(id, made, |row| if let Row::Customer(row) = row { Some(row.id) } else { None });
    let account_id = |id| account_id(id, made);
    let transaction_id = |id| {
        resolve(
            id,
            made,
            |row| if let Row::Transaction(row) = row { Some(row.id) } else { None },
        )
    };
    match change {
        Change::InsertCustomer(draft) => {
            let statement = sqlx::query(concat!(
                "INSERT INTO customers (first_name, last_name, email) VALUES ($1, $2, $3) RETURNING ",
                customer_columns!()
            ));
            let statement = statement.bind(draft.first_name.clone()).bind(draft.last_name.clone());
            let row = statement.bind(draft.email.clone()).fetch_one(connection).await?;
            Ok(Row::Customer(customer_of(&row)?))
        }
        Change::UpdateCustomer { id, to, expected } => {
            let id = customer_id(*id)?;
            lock_customer(connection, id, *expected).await?;
            let statement = sqlx::query(concat!(
                "UPDATE customers SET first_name = $2, last_name = $3, email = $4 WHERE id = $1 RETURNING ",
                customer_columns!()
            ));
            let statement = statement.bind(id.0).bind(to.first_name.clone()).bind(to.last_name.clone());
            let row = one(connection, statement.bind(to.email.clone()), Entity::Customer, id.0).await?;
            Ok(Row::Customer(customer_of(&row)?))
        }
        Change::DeleteCustomer { id, expected } => {
            let id = customer_id(*id)?;
            lock_customer(connection, id, *expected).await?;
            let statement = sqlx::query(concat!("DELETE FROM customers WHERE id = $1 RETURNING ", customer_columns!()));
            let row = one(connection, statement.bind(id.0), Entity::Customer, id.0).await?;
            Ok(Row::Customer(customer_of(&row)?))
        }
        Change::InsertAccount(draft) => {
            let statement = sqlx::query(concat!(
                "INSERT INTO accounts (customer_id, account_type, currency, opening_balance, balance) ",
                "VALUES ($1, $2, $3, $4::text::numeric, $4::text::numeric) RETURNING ",
                account_columns!()
            ));
            let statement = statement
                .bind(customer_id(draft.customer_id)?.0)
                .bind(draft.account_type.as_str());
            let statement = statement
                .bind(draft.currency.to_string())
                .bind(draft.opening_balance.value.to_string());
            Ok(Row::Account(account_of(&statement.fetch_one(connection).await?)?))
        }
        Change::UpdateAccount { id, to, expected } => {
            let id = account_id(*id)?;
            let owner = customer_id(to.customer_id)?;
            lock_account(connection, id, *expected).await?;
            let statement = sqlx::query(concat!(
                "UPDATE accounts SET customer_id = $2, account_type = $3, currency = $4, status = coalesce($5, status) ",
                "WHERE id = $1 RETURNING ",
                account_columns!()
            ));
            let statement = statement.bind(id.0).bind(owner.0).bind(to.account_type.as_str());
            let statement = statement
                .bind(to.currency.to_string())
                .bind(to.status.map(AccountStatus::as_str));
            let row = one(connection, statement, Entity::Account, id.0).await?;
            Ok(Row::Account(account_of(&row)?))
        }
        Change::CloseAccount { id, expected } => {
            let id = account_id(*id)?;
            let open = lock_account(connection, id, *expected).await?;
            if open.status == AccountStatus::Inactive {
                return Ok(Row::Account(open));
            }
            let statement = sqlx::query(concat!(
                "UPDATE accounts SET status = 'INACTIVE' WHERE id = $1 RETURNING ",
                account_columns!()
            ));
            let row = one(connection, statement.bind(id.0), Entity::Account, id.0).await?;
            Ok(Row::Account(account_of(&row)?))
        }
        Change::DeleteAccount { id, expected } => {
            let id = account_id(*id)?;
            lock_account(connection, id, *expected).await?;
            let statement = sqlx::query(concat!("DELETE FROM accounts WHERE id = $1 RETURNING ", account_columns!()));
            let row = one(connection, statement.bind(id.0), Entity::Account, id.0).await?;
            Ok(Row::Account(account_of(&row)?))
        }
        Change::InsertTransaction(draft) => {
            let statement = sqlx::query(concat!(
                "INSERT INTO transactions (account_id, txn_type, amount, related_account_id, status) ",
                "VALUES ($1, $2, $3::text::numeric, $4, $5)",
                transaction_returning!()
            ));
            let accounts = (
                account_id(draft.account_id)?,
                draft.related_account_id.map(account_id).transpose()?,
            );
            let row = bind_draft(statement, draft, accounts).fetch_one(connection).await?;
            Ok(Row::Transaction(checked_transaction(&row, draft.amount)?))
        }
        Change::UpdateTransaction { id, to, expected } => {
            let id = transaction_id(*id)?;
            let draft = to.over(&lock_transaction(connection, id, *expected).await?);
            checks::transaction(&draft)?;
            let accounts = (
                account_id(draft.account_id)?,
                draft.related_account_id.map(account_id).transpose()?,
            );
            let statement = sqlx::query(concat!(
                "UPDATE transactions SET account_id = $1, txn_type = $2, amount = $3::text::numeric, related_account_id = $4, ",
                "status = $5 WHERE id = $6",
                transaction_returning!()
            ));
            let statement = bind_draft(statement, &draft, accounts).bind(id.0);
            let row = one(connection, statement, Entity::Transaction, id.0).await?;
            Ok(Row::Transaction(checked_transaction(&row, draft.amount)?))
        }
        Change::DeleteTransaction { id, expected } => {
            let id = transaction_id(*id)?;
            lock_transaction(connection, id, *expected).await?;
            let statement = sqlx::query(concat!(
                "DELETE FROM transactions WHERE id = $1 RETURNING ",
                transaction_columns!()
            ));
            let row = one(connection, statement.bind(id.0), Entity::Transaction, id.0).await?;
            Ok(Row::Transaction(transaction_of(&row)?))
        }
    }
}

/// A customer as committed.
pub(super) async fn customer(connection: &mut PgConnection, id: CustomerId) -> Written<Option<Customer>> {
    let statement = sqlx::query(concat!("SELECT ", customer_columns!(), " FROM customers WHERE id = $1"));
    let row = statement.bind(id.0).fetch_optional(connection).await?;
    row.as_ref().map(customer_of).transpose()
}

/// An account as committed.
pub(super) async fn account(connection: &mut PgConnection, id: AccountId) -> Written<Option<Account>> {
    let statement = sqlx::query(concat!("SELECT ", account_columns!(), " FROM accounts WHERE id = $1"));
    let row = statement.bind(id.0).fetch_optional(connection).await?;
    row.as_ref().map(account_of).transpose()
}

/// A transaction as committed.
pub(super) async fn transaction(connection: &mut PgConnection, id: TransactionId) -> Written<Option<Transaction>> {
    let statement = sqlx::query(concat!("SELECT ", transaction_columns!(), " FROM transactions WHERE id = $1"));
    let row = statement.bind(id.0).fetch_optional(connection).await?;
    row.as_ref().map(transaction_of).transpose()
}

/// Sees that the row is there and at the expected version, and keeps others from changing it until the commit ends.
async fn lock_customer(connection: &mut PgConnection, id: CustomerId, expected: Option<Version>) -> Written<Customer> {
    let statement = sqlx::query(concat!(
        "SELECT ",
        customer_columns!(),
        " FROM customers WHERE id = $1 FOR NO KEY UPDATE"
    ));
    let row = customer_of(&one(connection, statement.bind(id.0), Entity::Customer, id.0).await?)?;
    at_version(row.version(), expected, Entity::Customer, id.0)?;
    Ok(row)
}

async fn lock_account(connection: &mut PgConnection, id: AccountId, expected: Option<Version>) -> Written<Account> {
    let statement = sqlx::query(concat!(
        "SELECT ",
        account_columns!(),
        " FROM accounts WHERE id = $1 FOR NO KEY UPDATE"
    ));
    let row = account_of(&one(connection, statement.bind(id.0), Entity::Account, id.0).await?)?;
    at_version(row.version(), expected, Entity::Account, id.0)?;
    Ok(row)
}

/// Keeps others from changing these accounts until the commit ends; those that are not there are no matter here.
pub(super) async fn lock_accounts(connection: &mut PgConnection, ids: &[i64]) -> Written<()> {
    let statement = sqlx::query("SELECT FROM accounts WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE");
    statement.bind(ids.to_vec()).execute(connection).await?;
    Ok(())
}

async fn lock_transaction(connection: &mut PgConnection, id: TransactionId, expected: Option<Version>) -> Written<Transaction> {
    let statement = sqlx::query(concat!(
        "SELECT ",
        transaction_columns!(),
        " FROM transactions WHERE id = $1 FOR UPDATE"
    ));
    let row = transaction_of(&one(connection, statement.bind(id.0), Entity::Transaction, id.0).await?)?;
    at_version(row.version(), expected, Entity::Transaction, id.0)?;
    Ok(row)
}

fn at_version(current: Version, expected: Option<Version>, entity: Entity, id: i64) -> Written<()> {
    match expected {
        Some(expected) if expected != current => Err(SystemOfRecordError::VersionMismatch { entity, id }.into()),
        _ => Ok(()),
    }
}

async fn one(connection: &mut PgConnection, statement: Statement, entity: Entity, id: i64) -> Written<PgRow> {
    let row = statement.fetch_optional(connection).await?;
    row.ok_or_else(|| SystemOfRecordError::NotFound { entity, id }.into())
}

fn bind_draft(statement: Statement, draft: &TransactionDraft, (account, related): (AccountId, Option<AccountId>)) -> Statement {
    let statement = statement
        .bind(account.0)
        .bind(draft.txn_type.as_str())
        .bind(draft.amount.value.to_string());
    statement.bind(related.map(|id| id.0)).bind(draft.status.as_str())
}

fn customer_of(row: &PgRow) -> Written<Customer> {
    Ok(Customer {
        id: CustomerId(row.try_get("id")?),
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
        email: row.try_get("email")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn account_of(row: &PgRow) -> Written<Account> {
    Ok(Account {
        id: AccountId(row.try_get("id")?),
        customer_id: CustomerId(row.try_get("customer_id")?),
        account_type: parsed::<AccountType>(row, "account_type")?,
        currency: parsed::<Currency>(row, "currency")?,
        opening_balance: parsed::<Money>(row, "opening_balance")?,
        balance: parsed::<Money>(row, "balance")?,
        status: parsed::<AccountStatus>(row, "status")?,
        closed_at: row.try_get("closed_at")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn transaction_of(row: &PgRow) -> Written<Transaction> {
    Ok(Transaction {
        id: TransactionId(row.try_get("id")?),
        account_id: AccountId(row.try_get("account_id")?),
        txn_type: parsed::<TransactionType>(row, "txn_type")?,
        amount: parsed::<Money>(row, "amount")?,
        related_account_id: row.try_get::<Option<i64>, _>("related_account_id")?.map(AccountId),
        status: parsed::<TransactionStatus>(row, "status")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

/// A transaction whose amount was written for the currency of its account; that its value fits, the database has seen to.
pub(super) fn checked_transaction(row: &PgRow, amount: Amount) -> Written<Transaction> {
    let transaction = transaction_of(row)?;
    if amount.places > 0 && row.try_get::<Option<String>, _>("currency")?.is_some() {
        checks::written_places(amount, parsed::<Currency>(row, "currency")?)?;
    }
    Ok(transaction)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(row: &PgRow, column: &str) -> Written<T> {
    let text: &str = row.try_get(column)?;
    let foreign = |error: T::Err| SystemOfRecordError::Internal(format!("the database's {column} cannot be read: {error}"));
    Ok(text.parse().map_err(foreign)?)
}

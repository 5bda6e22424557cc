//! The system of record, as the audit looks at it: rows as the change log would show them, all of one moment.

use std::sync::Arc;

use anyhow::Context;
use connect::{ColumnPatterns, captured_columns};
use futures::TryStreamExt;
use schemas::Money;
use schemas::bronze::{AccountRow, CustomerRow, TransactionRow};
use schemas::time::{INSTANT_MAX, INSTANT_MIN};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use system_of_record::InProcess;
use topology::Micros;

/// A row of one of the three tables.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceRow {
    /// Of `customers`.
    Customer(CustomerRow),
    /// Of `accounts`.
    Account(AccountRow),
    /// Of `transactions`.
    Transaction(TransactionRow),
}

/// Which rows to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Customers by their ids.
    pub customers: Vec<i64>,
    /// Accounts by their ids.
    pub accounts: Vec<i64>,
    /// Transactions by their ids.
    pub transactions: Vec<i64>,
    /// All transactions of these accounts.
    pub transactions_of: Vec<i64>,
}

/// After all that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// In the source's log.
    pub lsn: i64,
    /// By its clock.
    pub at_us: Micros,
}

/// Where the rows are.
pub enum Source {
    /// The bank's database.
    Postgres(PostgresSource),
    /// The in-process system of record.
    InProcess(Arc<InProcess>),
}

impl Source {
    /// Shows rows as they are at one moment: customers first, then accounts, then transactions. All of them, or those wanted.
    /// Returns where the source was afterwards; nothing of one that has no log of its own.
    pub async fn look(
        &mut self,
        wanted: Option<&Wanted>,
        mut show: impl FnMut(SourceRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Position>> {
        match self {
            Self::Postgres(postgres) => postgres.look(wanted, &mut show).await.map(Some),
            Self::InProcess(records) => {
                let is_in = |ids: fn(&Wanted) -> &Vec<i64>, id: i64| wanted.is_none_or(|wanted| ids(wanted).contains(&id));
                let (customers, accounts, transactions) = records.rows();
                let customers = customers.into_iter().filter(|row| is_in(|w| &w.customers, row.id));
                let accounts = accounts.into_iter().filter(|row| is_in(|w| &w.accounts, row.id));
                let transactions = transactions.into_iter().filter(|row| {
                    let named = [row.account_id, row.related_account_id];
                    is_in(|w| &w.transactions, row.id) || named.into_iter().flatten().any(|id| is_in(|w| &w.transactions_of, id))
                });
                customers
                    .map(SourceRow::Customer)
                    .chain(accounts.map(SourceRow::Account))
                    .chain(transactions.map(SourceRow::Transaction))
                    .try_for_each(show)?;
                Ok(None)
            }
        }
    }
}

/// The bank's database, or one that knows nothing of us: columns that it does not have, or that are not captured, are null.
pub struct PostgresSource {
    connection: PgConnection,
    queries: [Query; 3],
}

/// How a table is read: all of it, or the rows that are wanted.
#[derive(Debug, Clone, Default)]
struct Query {
    all: String,
    wanted: String,
}

/// The columns of each table, with their kinds.
const TABLES: [(&str, &[(&str, Kind)]); 3] = [
    (
        "customers",
        &[
            ("first_name", Kind::Text),
            ("last_name", Kind::Text),
            ("email", Kind::Text),
            ("created_at", Kind::Instant),
            ("updated_at", Kind::Instant),
        ],
    ),
    (
        "accounts",
        &[
            ("customer_id", Kind::Id),
            ("account_type", Kind::Text),
            ("currency", Kind::Text),
            ("opening_balance", Kind::Amount),
            ("balance", Kind::Amount),
            ("status", Kind::Text),
            ("closed_at", Kind::Instant),
            ("created_at", Kind::Instant),
            ("updated_at", Kind::Instant),
        ],
    ),
    (
        "transactions",
        &[
            ("account_id", Kind::Id),
            ("txn_type", Kind::Text),
            ("amount", Kind::Amount),
            ("related_account_id", Kind::Id),
            ("status", Kind::Text),
            ("created_at", Kind::Instant),
            ("updated_at", Kind::Instant),
        ],
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Id,
    Text,
    Amount,
    Instant,
}

impl Kind {
    /// How a column is selected. Amounts and instants come as text: neither has a type that holds all that Postgres can.
    fn select(self, column: &str) -> String {
        match self {
            Self::Id => format!("{column}::bigint"),
            Self::Text => format!("{column}::text"),
            Self::Amount => format!("trim_scale({column}::numeric)::text"),
            Self::Instant => format!(
                "CASE WHEN isfinite({column}) THEN trunc(extract(epoch FROM {column}) * 1000000)::text ELSE {column}::text END"
            ),
        }
    }

    fn null(self) -> &'static str {
        match self {
            Self::Id => "NULL::bigint",
            _ => "NULL::text",
        }
    }
}

impl PostgresSource {
    /// Connects. `excluded`: columns that are not captured.
    pub async fn connect(url: &str, excluded: &ColumnPatterns) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.parse().context("not an address of a Postgres database")?;
        let options = options.application_name("riverbank-audit").disable_statement_logging();
        let mut connection = options.connect().await.context("connect to the bank's database")?;
        sqlx::raw_sql("SET search_path = pg_catalog; SET TimeZone = 'UTC'")
            .execute(&mut connection)
            .await?;
        let mut queries = <[Query; 3]>::default();
        for (query, (table, columns)) in queries.iter_mut().zip(TABLES) {
            let captured = captured_columns(&mut connection, &format!("public.{table}"), excluded).await?;
            anyhow::ensure!(!captured.is_empty(), "the database has no table public.{table}");
            let is_captured = |column: &str| captured.iter().any(|name| name == column);
            let selected = columns.iter().map(|(column, kind)| match is_captured(column) {
                true => format!("{} AS {column}", kind.select(column)),
                false => format!("{} AS {column}", kind.null()),
            });
            let selected: Vec<String> = selected.collect();
            query.all = format!("SELECT id::bigint AS id, {} FROM public.{table}", selected.join(", "));
            let of_accounts = ["account_id", "related_account_id"]
                .into_iter()
                .filter(|column| is_captured(column));
            let of_accounts: Vec<String> = match table {
                "transactions" => of_accounts.map(|column| format!(" OR {column} = ANY($2)")).collect(),
                _ => Vec::new(),
            };
            query.wanted = format!("{} WHERE id = ANY($1){}", query.all, of_accounts.concat());
        }
        Ok(Self { connection, queries })
    }

    async fn look(
        &mut self,
        wanted: Option<&Wanted>,
        show: &mut impl FnMut(SourceRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<Position> {
        let queries = self.queries.clone();
        let mut at = self
            .connection
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .context("look at the bank's database")?;
        for (table, query) in queries.into_iter().enumerate() {
            let text = match wanted {
                None => query.all,
                Some(_) => query.wanted,
            };
            let takes_accounts = text.contains("$2");
            // The names in it are those of the table above.
            let mut query = sqlx::query(AssertSqlSafe(text));
            if let Some(wanted) = wanted {
                query = query.bind([&wanted.customers, &wanted.accounts, &wanted.transactions][table]);
                if takes_accounts {
                    query = query.bind(&wanted.transactions_of);
                }
            }
            let mut rows = query.fetch(&mut *at);
            while let Some(row) = rows.try_next().await.context("read the bank's rows")? {
                show(source_row(table, &row)?)?;
            }
        }
        let position = sqlx::query_as(
            "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0')::bigint,
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
        )
        .fetch_one(&mut *at)
        .await?;
        let (lsn, at_us): (i64, i64) = position;
        let at_us = Micros(at_us);
        at.rollback().await?;
        Ok(Position { lsn, at_us })
    }
}

fn source_row(table: usize, row: &PgRow) -> Result<SourceRow, sqlx::Error> {
    let id = row.try_get("id")?;
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let number = |column: &str| row.try_get::<Option<i64>, _>(column);
    let amount = |column: &str| Ok::<_, sqlx::Error>(text(column)?.map(|text| text.parse().unwrap_or(Money::UNFIT)));
    let instant = |column: &str| Ok::<_, sqlx::Error>(text(column)?.map(|text| micros(&text)));
    Ok(match table {
        0 => SourceRow::Customer(CustomerRow {
            id,
            first_name: text("first_name")?,
            last_name: text("last_name")?,
            email: text("email")?,
            created_at: instant("created_at")?,
            updated_at: instant("updated_at")?,
        }),
        1 => SourceRow::Account(AccountRow {
            id,
            customer_id: number("customer_id")?,
            account_type: text("account_type")?,
            currency: text("currency")?,
            opening_balance: amount("opening_balance")?,
            balance: amount("balance")?,
            status: text("status")?,
            closed_at: instant("closed_at")?,
            created_at: instant("created_at")?,
            updated_at: instant("updated_at")?,
        }),
        _ => SourceRow::Transaction(TransactionRow {
            id,
            account_id: number("account_id")?,
            txn_type: text("txn_type")?,
            amount: amount("amount")?,
            related_account_id: number("related_account_id")?,
            status: text("status")?,
            created_at: instant("created_at")?,
            updated_at: instant("updated_at")?,
        }),
    })
}

/// An instant as the change log's reader takes it: the nearest one that can be kept.
fn micros(text: &str) -> i64 {
    match text.parse::<i128>() {
        Ok(micros) => micros.clamp(INSTANT_MIN.into(), INSTANT_MAX.into()) as i64,
        Err(_) if text.starts_with('-') => INSTANT_MIN,
        Err(_) => INSTANT_MAX,
    }
}

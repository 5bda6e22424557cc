"""What the page shows: the rows of the views, as they are. Amounts stay decimals."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb

VIEWS = Path(__file__).resolve().parent.parent / "duckdb.sql"

# What must be empty for the figures to be right, and what an operator should look at.
QUALITY = {
    "dq_duplicates": "positions that are in the lake twice",
    "dq_undecodable": "records that could not be read",
    "dq_rejected": "records that break a rule of the bank",
    "dq_unbalanced": "transactions whose postings do not add up to nothing",
    "dq_balances": "balances that are not their account's postings",
}


@dataclass
class Currency:
    """The figures of one currency: nothing is added across currencies."""

    code: str
    accounts: int
    booked: Decimal
    pending: Decimal
    available: Decimal
    average: Decimal
    by_type: list[tuple[str, int, Decimal]]
    top_customers: list[tuple[str, Decimal]]
    top_accounts: list[tuple[str, Decimal]]
    status_mix: list[tuple[str, int, Decimal]]
    transactions_by_day: list[tuple[date, str, Decimal]]
    postings_by_day: list[tuple[date, Decimal, Decimal]]


@dataclass
class Figures:
    """All that the page shows."""

    totals: dict[str, int]
    currencies: list[Currency]
    quality: dict[str, int]
    newest: str | None = field(default=None)


def connect(lake: str) -> duckdb.DuckDBPyConnection:
    """The views over a lake: a folder, or what DuckDB reads otherwise."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET VARIABLE lake = ?", [lake])
    connection.execute(VIEWS.read_text(encoding="utf-8"))
    return connection


def has_files(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether any table of the lake has a file."""
    return connection.execute("SELECT count(*) > 0 FROM glob(lake_files('*'))").fetchone()[0]


def read(connection: duckdb.DuckDBPyConnection) -> Figures:
    """Reads the views once."""
    cursor = connection.execute("FROM gold.kpi_totals")
    names = [column[0] for column in cursor.description]
    totals = dict(zip(names, cursor.fetchone(), strict=True))
    balances = connection.execute(
        "SELECT currency, accounts, total_booked, total_pending, total_available, average_booked FROM gold.kpi_balances"
        " ORDER BY accounts DESC, currency"
    ).fetchall()
    quality = {view: connection.execute(f"SELECT count(*) FROM ops.{view}").fetchone()[0] for view in QUALITY}
    newest = connection.execute("SELECT max(source_ts) FROM raw.gold_account_balances").fetchone()[0]
    return Figures(
        totals=totals,
        currencies=[_currency(connection, *row) for row in balances],
        quality=quality,
        newest=None if newest is None else f"{newest:%Y-%m-%d %H:%M:%S} UTC",
    )


def _currency(connection: duckdb.DuckDBPyConnection, code: str, *balances) -> Currency:
    def rows(sql: str) -> list[tuple]:
        return connection.execute(sql, [code]).fetchall()

    accounts, booked, pending, available, average = balances
    return Currency(
        code=code,
        accounts=accounts,
        booked=booked,
        pending=pending,
        available=available,
        average=average,
        by_type=rows(
            "SELECT txn_type, transactions, amount FROM gold.kpi_amount_by_type WHERE currency = ? ORDER BY amount DESC, txn_type"
        ),
        top_customers=rows(
            "SELECT coalesce(customer_name, 'customer ' || customer_id), booked FROM gold.kpi_top_customers"
            " WHERE currency = ? ORDER BY place"
        ),
        top_accounts=rows(
            "SELECT account_id || ' · ' || coalesce(customer_name, 'customer ' || customer_id), booked FROM gold.kpi_top_accounts"
            " WHERE currency = ? ORDER BY place"
        ),
        status_mix=rows(
            "SELECT status, transactions, percent_of_transactions FROM gold.kpi_status_mix WHERE currency = ?"
            " ORDER BY transactions DESC, status"
        ),
        transactions_by_day=rows(
            "SELECT created_on, txn_type, amount FROM gold.kpi_transactions_by_day WHERE currency = ? ORDER BY created_on, txn_type"
        ),
        postings_by_day=rows(
            "SELECT booked_on, taken_in, given_out FROM gold.kpi_postings_by_day WHERE currency = ? ORDER BY booked_on"
        ),
    )

"""The cards of the key figures, each declared once: which view it reads, by which query, and how it is drawn.

The page of charts (page.py), the Grafana dashboards (dashboards.py), what is copied for Grafana (publish.py) and the table of
docs/key-figures.md come from here. A query is in the SQL that DuckDB, Postgres and Snowflake share, and its columns are named as a
reader sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Shape(Enum):
    """How a card is drawn."""

    #: The columns of one row, each a number with its name.
    NUMBERS = "stat"
    #: A time.
    MOMENT = "time"
    #: A row per bar: its name, its length. The first row is at the top.
    BARS = "barchart"
    #: A row per part: its name, how many.
    SHARES = "piechart"
    #: A row per day and kind: `time`, `metric`, the amount. The kinds of a day are stacked.
    STACKED_DAYS = "stacked"
    #: A row per day: `time`, and an amount a column.
    DAYS = "timeseries"
    #: A row per minute: `time`, and an amount or a count a column.
    MINUTES = "minutes"
    #: A row per check: its name, how many findings. None is good.
    CHECKS = "checks"


@dataclass(frozen=True)
class Card:
    """A card."""

    key: str
    title: str
    #: What it shows, in a sentence.
    about: str
    view: str
    #: `{currency}` is the currency that it is for.
    select: str
    shape: Shape
    #: Columns and rows of Grafana's grid, which is 24 wide.
    width: int
    height: int
    #: Whether its numbers are amounts of money.
    money: bool = False
    #: Columns that are counts, where the others are amounts.
    counts: tuple[str, ...] = ()
    #: The column with the day, where a period can be chosen.
    day: str | None = None

    @property
    def is_by_currency(self) -> bool:
        return "{currency}" in self.select

    def query(self, currency: str, first_day: str | None = None, last_day: str | None = None) -> str:
        """Its SQL, with these expressions for the currency and the period; without a period, of every day."""
        of_period = ""
        if self.day is not None and first_day is not None:
            of_period = f" AND {self.day} BETWEEN {first_day} AND {last_day}"
        return self.select.format(currency=currency, period=of_period)


#: The currencies that there are, the one with the most accounts first. Nothing is added across currencies.
CURRENCIES = "SELECT currency FROM gold.kpi_balances ORDER BY accounts DESC, currency"

CARDS = (
    Card(
        key="as_of",
        title="As of",
        about="The newest change at the source that a balance shows",
        view="gold.kpi_as_of",
        select='SELECT newest_change AS "Newest change" FROM gold.kpi_as_of',
        shape=Shape.MOMENT,
        width=6,
        height=4,
    ),
    Card(
        key="totals",
        title="Totals",
        about="Customers, accounts, transactions and postings, of every currency",
        view="gold.kpi_totals",
        select=(
            'SELECT customers AS "Customers", accounts AS "Accounts", active_accounts AS "Active accounts",'
            ' transactions AS "Transactions", completed_transactions AS "Completed transactions", postings AS "Postings"'
            " FROM gold.kpi_totals"
        ),
        shape=Shape.NUMBERS,
        width=18,
        height=4,
    ),
    Card(
        key="balances",
        title="Balances",
        about="Accounts, and what they have: in total, on average, pending and available",
        view="gold.kpi_balances",
        select=(
            'SELECT accounts AS "Accounts", total_booked AS "Total balance", average_booked AS "Average balance",'
            ' total_pending AS "Pending", total_available AS "Available"'
            " FROM gold.kpi_balances WHERE currency = {currency}"
        ),
        shape=Shape.NUMBERS,
        width=24,
        height=4,
        money=True,
        counts=("Accounts",),
    ),
    Card(
        key="amount_by_type",
        title="Amount by type",
        about="Completed transactions",
        view="gold.kpi_amount_by_type",
        select=(
            'SELECT txn_type AS "Type", amount AS "Amount" FROM gold.kpi_amount_by_type WHERE currency = {currency}'
            " ORDER BY amount DESC, txn_type"
        ),
        shape=Shape.BARS,
        width=12,
        height=8,
        money=True,
    ),
    Card(
        key="status_mix",
        title="Transactions by status",
        about="Of every type",
        view="gold.kpi_status_mix",
        select=(
            'SELECT status AS "Status", transactions AS "Transactions" FROM gold.kpi_status_mix WHERE currency = {currency}'
            " ORDER BY transactions DESC, status"
        ),
        shape=Shape.SHARES,
        width=12,
        height=8,
    ),
    Card(
        key="top_customers",
        title="Top 10 customers",
        about="By what is on their accounts",
        view="gold.kpi_top_customers",
        select=(
            "SELECT COALESCE(customer_name, 'customer ' || customer_id) AS \"Customer\", booked AS \"Balance\""
            " FROM gold.kpi_top_customers WHERE currency = {currency} ORDER BY place"
        ),
        shape=Shape.BARS,
        width=12,
        height=10,
        money=True,
    ),
    Card(
        key="top_accounts",
        title="Top 10 accounts",
        about="By balance, with their owners",
        view="gold.kpi_top_accounts",
        select=(
            "SELECT account_id || ' · ' || COALESCE(customer_name, 'customer ' || customer_id) AS \"Account\", booked AS \"Balance\""
            " FROM gold.kpi_top_accounts WHERE currency = {currency} ORDER BY place"
        ),
        shape=Shape.BARS,
        width=12,
        height=10,
        money=True,
    ),
    Card(
        key="transactions_by_day",
        title="Completed transactions by day and type",
        about="By their creation (UTC)",
        view="gold.kpi_transactions_by_day",
        select=(
            'SELECT CAST(created_on AS TIMESTAMP) AS "time", txn_type AS "metric", amount AS "Value"'
            " FROM gold.kpi_transactions_by_day WHERE currency = {currency}{period} ORDER BY created_on, txn_type"
        ),
        shape=Shape.STACKED_DAYS,
        width=12,
        height=9,
        money=True,
        day="created_on",
    ),
    Card(
        key="postings_by_day",
        title="Taken in and given out by day",
        about="By booking (UTC), of customers' accounts",
        view="gold.kpi_postings_by_day",
        select=(
            'SELECT CAST(booked_on AS TIMESTAMP) AS "time", taken_in AS "Taken in", given_out AS "Given out"'
            " FROM gold.kpi_postings_by_day WHERE currency = {currency}{period} ORDER BY booked_on"
        ),
        shape=Shape.DAYS,
        width=12,
        height=9,
        money=True,
        day="booked_on",
    ),
    Card(
        key="deposits_by_day",
        title="Deposits held by day",
        about="What accounts have at the end of the day (UTC)",
        view="gold.kpi_bank_by_day",
        select=(
            'SELECT CAST(day AS TIMESTAMP) AS "time", deposits_held AS "Deposits held"'
            " FROM gold.kpi_bank_by_day WHERE currency = {currency}{period} ORDER BY day"
        ),
        shape=Shape.DAYS,
        width=12,
        height=9,
        money=True,
        day="day",
    ),
    Card(
        key="net_flow_by_day",
        title="Net flow by day",
        about="What came in less what went out, by the transactions' own time (UTC), and what new accounts opened with",
        view="gold.kpi_bank_by_day",
        select=(
            'SELECT CAST(day AS TIMESTAMP) AS "time", net_flow AS "Net flow", opened_with AS "Opened with"'
            " FROM gold.kpi_bank_by_day WHERE currency = {currency}{period} ORDER BY day"
        ),
        shape=Shape.DAYS,
        width=12,
        height=9,
        money=True,
        day="day",
    ),
    Card(
        key="transactions_by_minute",
        title="Transactions by minute",
        about="Of every type and status, by their creation (UTC), and how many of them failed",
        view="gold.kpi_transactions_by_minute",
        select=(
            'SELECT minute AS "time", transactions AS "Transactions", failures AS "Failures"'
            " FROM gold.kpi_transactions_by_minute WHERE currency = {currency}{period} ORDER BY minute"
        ),
        shape=Shape.MINUTES,
        width=24,
        height=8,
        day="created_on",
    ),
    Card(
        key="findings",
        title="Data quality",
        about="What the ops.dq_ views have found; zeros where the figures can be relied on",
        view="gold.kpi_findings",
        select='SELECT meaning AS "Check", findings AS "Findings" FROM gold.kpi_findings ORDER BY view_name',
        shape=Shape.CHECKS,
        width=24,
        height=4,
    ),
)


def card(key: str) -> Card:
    """The card of this key."""
    return next(card for card in CARDS if card.key == key)

"""What the page shows: the rows of the cards' queries, as they are. Amounts stay decimals."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from .cards import CARDS, CURRENCIES, Card


@dataclass(frozen=True)
class Rows:
    """What a card's query gave."""

    columns: list[str]
    rows: list[tuple]


@dataclass(frozen=True)
class Figures:
    """All that the page shows."""

    #: Of every currency, by the cards' keys.
    whole: dict[str, Rows]
    #: By currency, then by the cards' keys: nothing is added across currencies.
    by_currency: dict[str, dict[str, Rows]]


def read(connection: duckdb.DuckDBPyConnection) -> Figures:
    """Asks each card's query."""
    currencies = [code for (code,) in connection.execute(CURRENCIES).fetchall()]
    return Figures(
        whole={card.key: ask(connection, card) for card in CARDS if not card.is_by_currency},
        by_currency={
            code: {card.key: ask(connection, card, code) for card in CARDS if card.is_by_currency} for code in currencies
        },
    )


def ask(connection: duckdb.DuckDBPyConnection, card: Card, currency: str | None = None) -> Rows:
    """A card's rows, for the currency that it is for."""
    cursor = connection.execute(card.query("$currency"), {"currency": currency} if card.is_by_currency else {})
    return Rows([column[0] for column in cursor.description], cursor.fetchall())

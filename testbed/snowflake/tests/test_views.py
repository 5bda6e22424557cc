"""The views' numbers, in Snowflake's SQL on the emulator and in DuckDB's on the same files, beside Python's."""

from __future__ import annotations

import datetime
import os
import random
import re
import tempfile
import unittest
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from tests.bank import Bank, Row
from tests.client import Client, emulated
from tests.migrations import LOADED, ROOT, added, planned

DUCKDB = (ROOT / "warehouse" / "duckdb.sql").read_text()


def seed() -> int:
    """Of this run; a failure names it, and `BANK_SEED` repeats it."""
    return int(os.environ.get("BANK_SEED") or random.SystemRandom().randrange(10**6))


def sortable(row: Row) -> list[tuple[bool, str]]:
    return [(value is None, str(value)) for value in row]


def plain(value: Any) -> Any:
    """A value that is equal where the meaning is: numbers exactly, times in UTC."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | Decimal):
        # The scale is not the number.
        return Decimal(value).normalize()
    return value.astimezone(datetime.UTC) if isinstance(value, datetime.datetime) and value.tzinfo else value


def in_order(rows: list[Row]) -> list[Row]:
    return sorted((tuple(map(plain, row)) for row in rows), key=sortable)


def typed(value: str | None, column: dict[str, Any]) -> Any:
    """A value of the SQL REST API as Python's."""
    if value is None:
        return None
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    match column["type"]:
        case "fixed":
            return Decimal(value)
        case "boolean":
            return value == "true"
        case "date":
            return (epoch + datetime.timedelta(days=int(value))).date()
        case "timestamp_ntz":
            return epoch.replace(tzinfo=None) + datetime.timedelta(microseconds=int(Decimal(value) * 1_000_000))
        case "timestamp_ltz":
            return epoch + datetime.timedelta(microseconds=int(Decimal(value) * 1_000_000))
        case "binary":
            return bytes.fromhex(value)
        case "text":
            return value
    raise AssertionError(f"{column['name']} is {column['type']}: {value}")


class Database:
    """The warehouse's database, as it is on the emulator."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def query(self, statement: str) -> list[Row]:
        body = {"statement": statement, "database": "RIVERBANK"}
        status, answer = self.client.call("POST", "/api/v2/statements", body)
        if status != 200:
            raise AssertionError(f"{statement}: {answer}")
        columns, handle = answer["resultSetMetaData"]["rowType"], answer["statementHandle"]
        rows = answer["data"]
        for number in range(1, len(answer["resultSetMetaData"]["partitionInfo"])):
            rows += self.client.call("GET", f"/api/v2/statements/{handle}?partition={number}")[1]["data"]
        return [tuple(typed(value, column) for value, column in zip(row, columns, strict=True)) for row in rows]


class Warehouse(Database):
    """The same, made anew."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        for _, statement in planned(LOADED):
            client.sql(statement)

    def load(self, written: dict[str, list[str]]) -> None:
        for table, paths in written.items():
            pipe = f"RIVERBANK.RAW.{table.replace('.', '_').upper()}_PIPE"
            status, answer = self.client.insert(pipe, *paths)
            if status != 200:
                raise AssertionError(f"{pipe}: {answer}")
            for load in self.client.loads(pipe):
                if load["status"] != "LOADED":
                    raise AssertionError(f"{pipe}: {load}")


class Views(unittest.TestCase):
    def setUp(self) -> None:
        self.seed = seed()
        self.bank = Bank(self.seed)

    def check(self, query: Any) -> None:
        for statement, expected in self.bank.figures().items():
            with self.subTest(statement, seed=self.seed):
                self.assertEqual(in_order(query(statement)), in_order(expected))

    def test_in_snowflakes_sql(self) -> None:
        with emulated() as (client, lake):
            warehouse = Warehouse(client)
            written = self.bank.write_files(lake)
            warehouse.load(written)
            self.check(warehouse.query)
            self.assertEqual(warehouse.query("SELECT * FROM ops.dq_duplicates"), [])
            # 15 days later somebody hands over the same files, and they are loaded once more.
            client.control("clock", advance_seconds=15 * 86_400)
            warehouse.load({"silver.postings": written["silver.postings"], "silver.accounts": written["silver.accounts"]})
            self.check(warehouse.query)
            twice = warehouse.query("SELECT table_name, COUNT(*), MIN(times), MAX(times) FROM ops.dq_duplicates GROUP BY table_name")
            counts = {table: len(self.bank.topics[table].records) for table in ("silver.postings", "silver.accounts")}
            self.assertEqual(in_order(twice), in_order([(table, count, 2, 2) for table, count in counts.items()]))

    def test_in_duckdbs(self) -> None:
        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
            self.bank.write_files(Path(folder))
            # No figure may depend on the time zone of who asks.
            connection.execute("SET TimeZone = 'America/New_York'")
            connection.execute(f"SET VARIABLE lake = '{folder}'")
            connection.execute(DUCKDB)
            self.check(lambda statement: connection.execute(statement).fetchall())

    def test_a_break_in_the_books_is_found(self) -> None:
        lost = next(id for id, posting in self.bank.postings.items() if not posting["is_cash"])
        posting = self.bank.postings[lost]
        records = self.bank.topics["silver.postings"].records
        records[:] = [record for record in records if record["posting_id"] != lost]
        expected = {
            "SELECT transaction_id, off_by FROM ops.dq_unbalanced": [(posting["transaction_id"], -posting["amount"])],
            "SELECT account_id, booked - expected FROM ops.dq_balances": [(posting["account_id"], posting["amount"])],
        }
        with emulated() as (client, lake), duckdb.connect() as connection:
            warehouse = Warehouse(client)
            warehouse.load(self.bank.write_files(lake))
            connection.execute(f"SET VARIABLE lake = '{lake}'")
            connection.execute(DUCKDB)
            for statement, rows in expected.items():
                with self.subTest(statement, seed=self.seed):
                    self.assertEqual(in_order(warehouse.query(statement)), in_order(rows))
                    self.assertEqual(in_order(connection.execute(statement).fetchall()), in_order(rows))

    def test_both_have_the_same_views_and_columns(self) -> None:
        with emulated() as (client, _), duckdb.connect() as connection:
            Warehouse(client)
            connection.execute("SET VARIABLE lake = '/nowhere'")
            connection.execute(DUCKDB)
            views = connection.execute(
                "SELECT schema_name, view_name FROM duckdb_views() WHERE schema_name IN ('raw', 'silver', 'gold', 'ops')"
            ).fetchall()
            later = {f"RAW_{table}" for table in added(LOADED)}
            for schema, view in views:
                local = [name for name, *_ in connection.execute(f"SELECT * FROM {schema}.{view} LIMIT 0").description]
                body = {"statement": f"SELECT * FROM RIVERBANK.{schema}.{view} LIMIT 0"}
                answer = client.call("POST", "/api/v2/statements", body)[1]
                columns = [column["name"].lower() for column in answer["resultSetMetaData"]["rowType"]]
                if f"{schema}_{view}".upper() in later:
                    # A file has such a column where its schema has it, a table at its end.
                    columns.sort(), local.sort()
                self.assertEqual(columns, local, f"{schema}.{view}")
            made = [set(re.findall(r"VIEW RIVERBANK\.(\w+)\.(\w+)", statement)) for _, statement in planned(LOADED)]
            theirs = {(schema.lower(), view.lower()) for of in made for schema, view in of}
            self.assertEqual(theirs, {(schema, view) for schema, view in views if schema != "raw"})
            # A lake without any file: every view is there, and empty.
            totals = connection.execute("SELECT * FROM gold.kpi_totals").fetchall()
            self.assertEqual(totals, [(0, 0, 0, 0, 0, 0)])

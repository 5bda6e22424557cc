"""The way of the key figures to Grafana: a lake that the real sink wrote (`LAKE`), on a real object store, published into a real
Postgres, and asked there by every panel's query. Not found by discovery.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
from pathlib import Path
from typing import Any

import asyncpg
import boto3
import duckdb

from tests.grafana import KEY_FIGURES, currencies_query, filled, queries
from tests.migrations import ROOT
from tests.test_views import DUCKDB, in_order, plain

READER = "key_figures_reader"
PASSWORD = "hunter2-of-the-reader's"
LAKE = "s3://lake/riverbank"


class KeyFigures(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder, cls.owner = Path(os.environ["LAKE"]), os.environ["KEY_FIGURES_DATABASE"]
        address = urllib.parse.urlsplit(cls.owner)
        login = f"{READER}:{urllib.parse.quote(PASSWORD)}@{address.hostname}:{address.port}"
        cls.reader = address._replace(netloc=login).geturl()
        cls.store = {name: os.environ[f"MINIO_{name}"] for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY")}
        bucket = boto3.client(
            "s3", endpoint_url=cls.store["ENDPOINT"], region_name="us-east-1",
            aws_access_key_id=cls.store["ACCESS_KEY"], aws_secret_access_key=cls.store["SECRET_KEY"],
        )  # fmt: skip
        for file in cls.folder.rglob("*.parquet"):
            bucket.upload_file(str(file), "lake", f"riverbank/{file.relative_to(cls.folder)}")
        published = cls.publish(LAKE)
        if published.returncode != 0:
            raise AssertionError(published.stderr)
        cls.duckdb = duckdb.connect()
        cls.duckdb.execute("SET TimeZone = 'UTC'")
        cls.duckdb.execute(f"SET VARIABLE lake = '{cls.folder}'")
        cls.duckdb.execute(DUCKDB)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.duckdb.close()

    @classmethod
    def publish(cls, lake: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        store = {f"RIVERBANK_S3_{name}": value for name, value in cls.store.items()}
        of_this = {"KEY_FIGURES_DATABASE": cls.owner, "KEY_FIGURES_READER_PASSWORD": PASSWORD}
        command = [sys.executable, "-m", "report", "publish", lake, *arguments]
        env = os.environ | store | of_this | environment
        return subprocess.run(command, cwd=ROOT / "warehouse", env=env, check=False, capture_output=True, text=True)

    def postgres(self, statement: str, url: str | None = None) -> list[Any]:
        async def ask() -> list[Any]:
            connection = await asyncpg.connect(url or self.reader)
            try:
                # As Grafana asks: as text, without parameters.
                return await connection.fetch(statement)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def same(self, statement: str) -> int:
        """That a statement gives the same columns and rows, in the same order, from the copies as from the lake."""
        there, here = self.postgres(statement), self.duckdb.execute(statement)
        columns = [column[0] for column in here.description]
        rows = [tuple(map(plain, row)) for row in here.fetchall()]
        self.assertEqual([tuple(map(plain, row.values())) for row in there], rows, statement)
        for row in there:
            self.assertEqual(list(row.keys()), columns, statement)
        return len(rows)

    def test_each_panel_shows_what_the_views_say(self) -> None:
        currencies = [code for (code,) in self.duckdb.execute(currencies_query(KEY_FIGURES)).fetchall()]
        self.assertGreater(len(currencies), 1)
        self.same(currencies_query(KEY_FIGURES))
        for title, sql in queries(KEY_FIGURES).items():
            rows = {currency: self.same(filled(sql, currency)) for currency in currencies}
            # The bank's own currency, which is the first, has everything.
            self.assertGreater(rows[currencies[0]], 0, title)

    def test_the_copies_are_the_views(self) -> None:
        copied = self.postgres("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema NOT IN ('information_schema', 'pg_catalog')")
        self.assertEqual(len(copied), 12)
        for schema, view in copied:
            statement = f"SELECT * FROM {schema}.{view}"
            there = [tuple(row.values()) for row in self.postgres(statement)]
            self.assertEqual(in_order(there), in_order(self.duckdb.execute(statement).fetchall()), view)

    def test_a_period_is_of_whole_days_in_utc(self) -> None:
        day = self.duckdb.execute("SELECT max(created_on) FROM gold.kpi_transactions_by_day").fetchone()[0]
        noon = datetime.datetime.combine(day, datetime.time(12))
        after = noon + datetime.timedelta(days=1)
        by_day = [(title, sql) for title, sql in queries(KEY_FIGURES).items() if "by day" in title]
        self.assertEqual(len(by_day), 4)
        for title, sql in by_day:
            self.assertGreater(self.same(filled(sql, "EUR", (noon, noon))), 0, title)
            self.assertEqual(self.same(filled(sql, "EUR", (after, after))), 0, title)

    def test_a_currency_with_a_quote_is_no_sql(self) -> None:
        for title, sql in queries(KEY_FIGURES).items():
            if "$currency" in title:
                self.assertEqual(self.same(filled(sql, "X' OR ''='")), 0, title)

    def test_the_reader_reads_and_no_more(self) -> None:
        for statement in ("DELETE FROM gold.kpi_totals", "DROP TABLE gold.kpi_totals", "CREATE TABLE gold.mine (a int)"):
            with self.assertRaises(asyncpg.InsufficientPrivilegeError, msg=statement):
                self.postgres(statement)

    def test_what_cannot_be_read_leaves_the_figures_as_they_were(self) -> None:
        before = self.postgres("SELECT * FROM gold.kpi_totals")
        with tempfile.TemporaryDirectory() as folder:
            mark = Path(folder) / "mark"
            for lake, environment, reason in (
                (folder, {}, "no file of a table"),
                ("s3://lake/nowhere", {}, "no file of a table"),
                (LAKE, {"RIVERBANK_S3_SECRET_KEY": "another"}, "SIGNATURE_DOES_NOT_MATCH"),
                ("s3://nowhere/lake", {}, "not published"),
                (LAKE, {"KEY_FIGURES_DATABASE": ""}, "KEY_FIGURES_DATABASE is missing"),
                (LAKE, {"KEY_FIGURES_DATABASE": "postgres://127.0.0.1:1/nowhere"}, "not published"),
            ):
                published = self.publish(lake, "--mark", str(mark), **environment)
                self.assertEqual((published.returncode, mark.exists()), (1, False), lake)
                self.assertIn(reason, published.stderr)
                self.assertNotIn("Traceback", published.stderr)
        self.assertEqual(self.postgres("SELECT * FROM gold.kpi_totals"), before)

    def test_a_lake_without_files_is_an_empty_bank(self) -> None:
        self.postgres("CREATE DATABASE empty", self.owner)
        address = urllib.parse.urlsplit(self.owner)._replace(path="/empty").geturl()
        for _ in range(2):
            published = self.publish("s3://lake/nowhere", KEY_FIGURES_DATABASE=address)
            self.assertEqual((published.returncode, "no file of a table" in published.stdout), (0, True), published.stderr)
        self.assertEqual([tuple(row.values()) for row in self.postgres("SELECT * FROM gold.kpi_totals", address)], [(0,) * 6])
        self.assertEqual(self.publish(LAKE, KEY_FIGURES_DATABASE=address).returncode, 0)
        figures = "SELECT * FROM gold.kpi_totals"
        self.assertEqual(self.postgres(figures, address), self.postgres(figures))

    def test_a_view_that_got_other_columns_is_copied_anew(self) -> None:
        for statement in ("ALTER TABLE gold.kpi_totals DROP COLUMN postings", "COMMENT ON TABLE gold.kpi_totals IS 'another'"):
            self.postgres(statement, self.owner)
        with tempfile.TemporaryDirectory() as folder:
            mark = Path(folder) / "mark"
            published = self.publish(str(self.folder), "--mark", str(mark))
            self.assertEqual((published.returncode, mark.exists()), (0, True), published.stderr)
        self.same("SELECT * FROM gold.kpi_totals")


if __name__ == "__main__":
    unittest.main()

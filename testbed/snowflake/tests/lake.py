"""A lake that the real sink wrote (`LAKE`): its files are read by pyarrow, and everything else must agree. Not found by discovery."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unittest
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from tests import aggregates
from tests.bank import Row, rounded
from tests.client import emulated
from tests.grafana import SNOWFLAKE, currencies_query, filled, queries
from tests.migrations import LOADED, added, planned
from tests.test_views import DUCKDB, Warehouse, in_order, plain

WAREHOUSE = Path(__file__).resolve().parents[3] / "warehouse"

#: The key of each table's current rows, a column or several, and their view.
KEYS = {
    "silver.customers": ("id", "silver.customers"),
    "silver.accounts": ("id", "silver.accounts"),
    "silver.transactions": ("id", "silver.transactions"),
    "silver.postings": ("posting_id", "silver.postings"),
    "gold.account_balances": ("account_id", "gold.account_balances"),
    "gold.customer_history": ("customer_id, version", "gold.customer_history"),
    "gold.account_history": ("account_id, version", "gold.account_history"),
} | {table: (", ".join(key), table) for table, key in aggregates.KEYS.items()}


class Lake(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(os.environ["LAKE"])
        cls.files = {
            table.name: files
            for table in cls.folder.iterdir()
            if not table.name.startswith("_") and (files := sorted(table.glob("day=*/p=*/*.parquet")))
        }
        cls.rows = {table: [row for file in files for row in pq.ParquetFile(file).read().to_pylist()] for table, files in cls.files.items()}

    def current(self, table: str) -> dict[Any, dict[str, Any]]:
        """The current rows, by their keys: the last version of each, unless that is a delete."""
        names = KEYS[table][0].split(", ")
        newest: dict[Any, dict[str, Any]] = {}
        for row in sorted(self.rows[table], key=lambda row: (row.get("_generation") or 1, row["_offset"])):
            if row["op"] != "undecodable":
                newest[row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)] = row
        return {id: row for id, row in newest.items() if row["op"] != "delete"}

    def figures(self) -> dict[str, list[Row]]:
        balances = self.current("gold.account_balances")
        columns = ["account_id", "customer_id", "currency", "opening", "booked", "pending", "available", "entry_count", "last_entry_at"]
        by_currency = defaultdict(list)
        for balance in balances.values():
            if not balance["is_deleted"]:
                by_currency[balance["currency"]].append(balance)
        totals, top = [], []
        for currency, of in by_currency.items():
            total = sum(balance["booked"] for balance in of)
            sums = [sum((balance[name] for balance in of), Decimal(0)) for name in ("booked", "pending", "available")]
            totals.append((currency, len(of), *sums, rounded(total / len(of), "0.0001")))
            of.sort(key=lambda balance: (-balance["booked"], balance["account_id"]))
            top += [(currency, place, b["account_id"], b["booked"]) for place, b in enumerate(of[:10], 1)]
        silver = self.silver_figures() | self.added_up() if "silver.transactions" in self.rows else {}
        bronze = {table: len(rows) for table, rows in self.rows.items() if table.startswith("bronze.")}
        return silver | {
            f"SELECT {', '.join(columns)} FROM gold.account_balances": [
                tuple(balance[name] for name in columns) for balance in balances.values()
            ],
            "SELECT * FROM gold.kpi_balances": totals,
            "SELECT currency, place, account_id, booked FROM gold.kpi_top_accounts": top,
            "SELECT table_name, SUM(CAST(landed_rows AS DECIMAL(38,0))) FROM ops.dq_positions WHERE table_name LIKE 'bronze.%' GROUP BY table_name": list(
                bronze.items()
            ),
            "SELECT * FROM ops.dq_duplicates": [],
            "SELECT table_name FROM ops.dq_undecodable": [],
        } | {
            f"SELECT {key} FROM {view}": [id if isinstance(id, tuple) else (id,) for id in self.current(table)]
            for table, (key, view) in KEYS.items()
            if table in self.rows
        }

    def silver_figures(self) -> dict[str, list[Row]]:
        currency = {id: row["currency"] for id, row in self.current("silver.accounts").items()}
        by_type, by_status = defaultdict(list), defaultdict(list)
        for row in self.current("silver.transactions").values():
            by_status[currency.get(row["account_id"]), row["status"]].append(row["amount"])
            if row["status"] == "COMPLETED":
                by_type[currency.get(row["account_id"]), row["txn_type"]].append(row["amount"])
        return {
            "SELECT * FROM gold.kpi_amount_by_type": [(*key, len(a), sum(a)) for key, a in by_type.items()],
            "SELECT currency, status, transactions, amount FROM gold.kpi_status_mix": [
                (*key, len(a), sum(a)) for key, a in by_status.items()
            ],
            "SELECT customers, accounts, transactions, postings FROM gold.kpi_totals": [
                tuple(len(self.current(f"silver.{table}")) for table in ("customers", "accounts", "transactions", "postings"))
            ],
            # The sink has read everything when the demo ends: the books must balance.
            "SELECT * FROM ops.dq_unbalanced": [],
            "SELECT * FROM ops.dq_balances": [],
            "SELECT * FROM ops.dq_reconciliation": [],
        }

    def added_up(self) -> dict[str, list[Row]]:
        """Gold that adds up, from Silver and the balances, and what is on top of it."""
        accounts = self.current("silver.accounts")
        balances = {id: row for id, row in self.current("gold.account_balances").items() if not row["is_deleted"]}
        postings = [posting | {"effective_at": posting["effective_at"] or posting["booked_at"]} for posting in self.current("silver.postings").values()]
        versions: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for (account, _), version in sorted(self.current("gold.account_history").items()):
            versions[account].append(version)
        tables = aggregates.aggregates(accounts, versions, balances, self.current("silver.transactions"), postings)
        by_day: dict[Any, list[Any]] = defaultdict(lambda: [0, Decimal(0)])
        for row in tables["gold.transaction_minutes"]:
            if row["status"] == "COMPLETED":
                of = by_day[row["minute"].date(), row["currency"], row["txn_type"]]
                of[:] = [of[0] + row["transactions"], of[1] + row["amount"]]
        return aggregates.figures(tables) | {
            # What is held at the end of the last day is what the accounts have.
            "SELECT currency, deposits_held FROM gold.kpi_bank_by_day AS d WHERE day = (SELECT MAX(day) FROM gold.kpi_bank_by_day AS l WHERE l.currency = d.currency)": [
                (currency, sum(row["booked"] for row in balances.values() if row["currency"] == currency))
                for currency in {account["currency"] for account in accounts.values()}
            ],
            "SELECT * FROM gold.kpi_transactions_by_day WHERE currency IS NOT NULL": [(*key, *sums) for key, sums in by_day.items()],
        }

    def check(self, query: Callable[[str], list[Row]]) -> None:
        for statement, expected in self.figures().items():
            with self.subTest(statement):
                self.assertEqual(in_order(query(statement)), in_order(expected))

    def test_it_has_something_to_compare(self) -> None:
        bronze = ["bronze.customers", "bronze.accounts", "bronze.transactions"]
        silver = ["silver.customers", "silver.accounts", "silver.transactions", "silver.postings"]
        for table in [*bronze, *silver, "gold.account_balances", "gold.customer_history", "gold.account_history", *aggregates.KEYS]:
            self.assertGreater(len(self.rows[table]), 0, table)

    def test_the_tables_have_the_columns_of_the_files(self) -> None:
        # A pipe matches columns by their names, and a later migration adds them at the end.
        columns: dict[str, list[str]] = {}
        for _, statement in planned(LOADED):
            if match := re.match(r"CREATE TABLE IF NOT EXISTS RIVERBANK\.RAW\.(\w+) \((.*?)\n\)\n", statement, re.DOTALL):
                columns[match[1]] = [line.split()[0].strip('"').lower() for line in match[2].strip().splitlines()]
        for table, later in added(LOADED).items():
            columns[table] += [name.lower() for name, _ in later]
        for table, names in columns.items():
            for file in self.files.get(table.lower().replace("_", ".", 1), []):
                self.assertEqual(sorted(names), sorted(pq.read_schema(file).names), file)
        known = {f"{pipe.lower().replace('_', '.', 1)}" for _, s in planned(LOADED) for pipe in re.findall(r"RAW\.(\w+)_PIPE", s)}
        self.assertLessEqual(set(self.files), known)

    def check_documented(self, query: Callable[[str], list[Row]]) -> list[list[Row]]:
        """That the statements of docs/analysts.md find something, and what it is."""
        statements = re.findall(r"```sql\n(.*?);\n```", (WAREHOUSE.parent / "docs" / "analysts.md").read_text(), re.DOTALL)
        self.assertEqual(len(statements), 8)
        answers = [[tuple(map(plain, row)) for row in query(statement)] for statement in statements]
        self.assertTrue(all(answers), answers)
        return answers

    def test_duckdb(self) -> None:
        with duckdb.connect() as connection:
            connection.execute(f"SET VARIABLE lake = '{self.folder}'")
            connection.execute(DUCKDB)
            query = lambda statement: connection.execute(statement).fetchall()  # noqa: E731
            self.check(query)
            self.check_documented(query)

    def test_report(self) -> None:
        page = Path(self.folder) / "key-figures.html"
        command = [sys.executable, "-m", "report", "page", str(self.folder), str(page)]
        subprocess.run(command, cwd=WAREHOUSE, check=True, capture_output=True, text=True)
        text = page.read_text(encoding="utf-8")
        page.unlink()
        figures = self.figures()
        for currency, accounts, *amounts in figures["SELECT * FROM gold.kpi_balances"]:
            section = re.search(rf"<h2>{currency}</h2>(.*?)(?=<h2>)", text, re.DOTALL)[1]
            cards = re.findall(r"<b>(.*?)</b>", section)
            self.assertEqual([Decimal(card.replace(",", "")) for card in cards], [accounts, amounts[0], amounts[3], amounts[1], amounts[2]])
            of = lambda name: [row[1:] for row in figures[name] if row[0] == currency]  # noqa: B023
            drawn = [f"{amount:,.2f}" for *_, amount in of("SELECT * FROM gold.kpi_amount_by_type")]
            drawn += [f"{booked:,.2f}" for *_, booked in of("SELECT currency, place, account_id, booked FROM gold.kpi_top_accounts")]
            self.assertEqual([amount for amount in drawn if f">{amount}</" not in section], [])
        without = subprocess.run([*command[:4], str(page.parent / "nowhere"), str(page)], cwd=WAREHOUSE, check=False, capture_output=True, text=True)
        self.assertEqual((without.returncode, "no file of a table" in without.stderr), (1, True), without.stderr)

    def test_snowpipe(self) -> None:
        with emulated() as (client, _):
            client.control("mount", location="s3compat://lake/", folder=str(self.folder))
            warehouse = Warehouse(client)
            warehouse.load({
                table: [str(file.relative_to(self.folder / table)) for file in files] for table, files in self.files.items()
            })
            self.check(warehouse.query)
            self.check_dashboard(warehouse)

    def check_dashboard(self, warehouse: Warehouse) -> None:
        """That each panel of the dashboard for Snowflake, and what analysts are shown, gives there what the views on the files say."""
        with duckdb.connect() as connection:
            connection.execute(f"SET VARIABLE lake = '{self.folder}'")
            connection.execute(DUCKDB)
            documented = self.check_documented(lambda statement: connection.execute(statement).fetchall())
            self.assertEqual(self.check_documented(warehouse.query), documented)
            on_files = lambda statement: [tuple(map(plain, row)) for row in connection.execute(statement).fetchall()]  # noqa: E731
            currencies = on_files(currencies_query(SNOWFLAKE))
            self.assertEqual(warehouse.query(currencies_query(SNOWFLAKE)), currencies)
            for title, sql in queries(SNOWFLAKE).items():
                for (currency,) in currencies:
                    with self.subTest(title, currency=currency):
                        statement = filled(sql, currency)
                        self.assertEqual([tuple(map(plain, row)) for row in warehouse.query(statement)], on_files(statement))

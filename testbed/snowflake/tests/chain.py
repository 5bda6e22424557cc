"""What arrived in the emulator of a bank that is quiet again, beside its source. Not found by discovery.

`SOURCE` names a file of JSON with Postgres' rows and the balances that HTTP serves; `LAKE` is the lake's folder.
"""

from __future__ import annotations

import datetime
import json
import os
import unittest
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.bank import Row
from tests.client import from_environment
from tests.test_views import Database, in_order



def source(name: str, value: Any) -> Any:
    """A value of `SOURCE`: money is text there, and a time is microseconds."""
    if value is None:
        return None
    if name.endswith("_at"):
        return datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(microseconds=value)
    return Decimal(value) if name in ("opening_balance", "balance", "amount") else value


class Chain(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.database = Database(from_environment())
        cls.source = json.loads(Path(os.environ["SOURCE"]).read_text())
        cls.lake = Path(os.environ["LAKE"])

    def check(self, statement: str, expected: list[Row]) -> None:
        ours, theirs = in_order(self.database.query(statement)), in_order(expected)
        if ours != theirs:
            missing = [row for row in theirs if row not in ours][:5]
            more = [row for row in ours if row not in theirs][:5]
            self.fail(f"{statement}: {len(ours)} rows, not {len(theirs)}; missing {missing}, too many {more}")

    def test_current_rows_are_those_of_postgres(self) -> None:
        for table, rows in self.source["tables"].items():
            with self.subTest(table):
                self.assertGreater(len(rows), 0)
                names = list(next(iter(rows.values())))
                expected = [tuple(source(name, row[name]) for name in names) for row in rows.values()]
                self.check(f"SELECT {', '.join(names)} FROM silver.{table}", expected)

    def test_balances_are_those_of_postgres_and_of_http(self) -> None:
        view = "gold.account_balances WHERE account_id > 0 AND NOT is_deleted"
        accounts = self.source["tables"]["accounts"]
        expected = [(int(id), Decimal(row["opening_balance"]), Decimal(row["balance"])) for id, row in accounts.items()]
        self.check(f"SELECT account_id, opening, booked FROM {view}", expected)
        served = self.source["served"]
        self.assertEqual(served.keys(), accounts.keys())
        names = ["booked", "pending", "available"]
        expected = [(int(id), *(Decimal(served[id][name]) for name in names), served[id]["entry_count"]) for id in served]
        self.check(f"SELECT account_id, {', '.join(names)}, entry_count FROM {view}", expected)

    def test_tables_have_the_rows_of_the_files(self) -> None:
        tables = sorted(path.name for path in self.lake.iterdir() if not path.name.startswith("_") and any(path.glob("day=*")))
        for table in tables:
            with self.subTest(table):
                parquet = [pq.ParquetFile(file).read() for file in (self.lake / table).glob("day=*/p=*/*.parquet")]
                names = parquet[0].column_names
                rows: list[dict[str, Any]] = [row for file in parquet for row in file.to_pylist()]
                columns = ", ".join(f'"{name.upper()}"' for name in names)
                self.check(f"SELECT {columns} FROM raw.{table.replace('.', '_')}", [tuple(row[name] for name in names) for row in rows])

    def test_nothing_is_wrong_with_the_data(self) -> None:
        for view in ("duplicates", "gaps", "undecodable", "unbalanced", "balances", "rejected"):
            with self.subTest(view):
                self.check(f"SELECT * FROM ops.dq_{view}", [])

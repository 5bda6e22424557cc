"""Parquet files as the sink writes them: zstd, decimals, timestamps in microseconds UTC."""

from __future__ import annotations

import datetime
import io
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SEEN = datetime.datetime(2026, 1, 31, 23, 59, 59, 123456, tzinfo=datetime.UTC)


def parquet(rows: list[dict[str, Any]], **kinds: pa.DataType) -> bytes:
    """A file of these rows and columns."""
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(rows, pa.schema([pa.field(name, kind) for name, kind in kinds.items()]))
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def few(*ids: int) -> bytes:
    """A file with these ids, in the shape of the test's table."""
    rows = [{"id": id, "amount": Decimal(id) / 4, "seen": SEEN} for id in ids]
    return parquet(rows, id=pa.int64(), amount=pa.decimal128(38, 4), seen=pa.timestamp("us", "UTC"))

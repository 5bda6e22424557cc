"""Results as the SQL REST API writes them: every value a string, times as seconds since the epoch."""

from __future__ import annotations

import datetime
import decimal
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow
import pyarrow.types as is_type

#: Rows of one partition of a result.
PARTITION_ROWS = 10_000

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Result:
    """A statement's result."""

    columns: list[dict[str, Any]] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)

    def partition(self, number: int) -> list[list[str | None]]:
        return self.rows[number * PARTITION_ROWS : (number + 1) * PARTITION_ROWS]

    def partitions(self) -> list[dict[str, int]]:
        count = max(1, -(-len(self.rows) // PARTITION_ROWS))
        parts = [self.partition(number) for number in range(count)]
        return [{"rowCount": len(part), "uncompressedSize": len(json.dumps(part))} for part in parts]


def status(message: str) -> Result:
    """The result of a statement that only says what it did."""
    return table(pyarrow.table({"status": [message]}))


def table(rows: pyarrow.Table) -> Result:
    """A result of these rows."""
    values = [[_text(value) for value in column.to_pylist()] for column in rows.columns]
    return Result([_column(column) for column in rows.schema], [list(row) for row in zip(*values, strict=True)])


def _column(column: pyarrow.Field) -> dict[str, Any]:
    kind, precision, scale, length = _type(column.type)
    return {
        "name": column.name, "database": "", "schema": "", "table": "", "type": kind, "precision": precision,
        "scale": scale, "length": length, "byteLength": length, "nullable": True, "collation": None,
    }  # fmt: skip


def _type(of: pyarrow.DataType) -> tuple[str, int | None, int | None, int | None]:
    """Type, precision, scale, length."""
    if is_type.is_decimal(of):
        return "fixed", of.precision, of.scale, None
    if is_type.is_integer(of):
        return "fixed", 38, 0, None
    if is_type.is_floating(of):
        return "real", None, None, None
    if is_type.is_boolean(of):
        return "boolean", None, None, None
    if is_type.is_date(of):
        return "date", None, None, None
    if is_type.is_timestamp(of):
        return ("timestamp_ltz" if of.tz else "timestamp_ntz"), 0, 9, None
    if is_type.is_binary(of) or is_type.is_large_binary(of):
        return "binary", None, None, 8_388_608
    if is_type.is_list(of) or is_type.is_struct(of):
        return "array", None, None, None
    return "text", None, None, 16_777_216


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        since = (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)) - _EPOCH
        micros = since // datetime.timedelta(microseconds=1)
        sign, micros = ("-" if micros < 0 else ""), abs(micros)
        return f"{sign}{micros // 1_000_000}.{micros % 1_000_000:06d}000"
    if isinstance(value, datetime.date):
        return str((value - _EPOCH.date()).days)
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return str(value)

"""The lake in DuckDB: the views of warehouse/duckdb.sql over a folder, or over a bucket of an S3-compatible store."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow.fs import FileSelector, S3FileSystem

#: The views that the others are made of: current rows, a small part of what the files hold.
CURRENT = ("silver.customers", "silver.accounts", "silver.transactions", "silver.postings", "silver.rejected", "gold.account_balances")
VIEWS = Path(__file__).resolve().parent.parent / "duckdb.sql"


class _S3(ArrowFSWrapper):
    """A bucket's objects, for DuckDB, whose own client for S3 is an extension that it would fetch from the network."""

    protocol = "s3"


def _store() -> _S3:
    """The object store of the program's own settings, `RIVERBANK_S3_*`; without an endpoint it is AWS, with its usual credentials."""
    endpoint = os.environ.get("RIVERBANK_S3_ENDPOINT", "").rstrip("/")
    scheme, _, host = endpoint.rpartition("://")
    return _S3(
        S3FileSystem(
            access_key=os.environ.get("RIVERBANK_S3_ACCESS_KEY"),
            secret_key=os.environ.get("RIVERBANK_S3_SECRET_KEY"),
            endpoint_override=host or None,
            scheme=scheme or "https",
            region=os.environ.get("RIVERBANK_S3_REGION") or "us-east-1",
            connect_timeout=10,
            request_timeout=60,
        )
    )


def connect(lake: str) -> duckdb.DuckDBPyConnection:
    """The views over a lake: a folder, or `s3://bucket/prefix`."""
    connection = duckdb.connect()
    if lake.startswith("s3://"):
        store = _store()
        # An error where the store is away or refuses the login: a pattern of names would find nothing there, and say nothing.
        store.fs.get_file_info(FileSelector(lake.removeprefix("s3://"), allow_not_found=True))
        connection.register_filesystem(store)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET VARIABLE lake = ?", [lake.rstrip("/")])
    connection.execute(VIEWS.read_text(encoding="utf-8"))
    return connection


def has_files(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether any table of the lake has a file."""
    return connection.execute("SELECT count(*) > 0 FROM glob(lake_files('*'))").fetchone()[0]


def hold(connection: duckdb.DuckDBPyConnection) -> None:
    """Reads the current rows once, for all queries that follow: they are of one reading, and the files are not opened for each."""
    for view in CURRENT:
        connection.execute(f"CREATE TEMP TABLE held AS FROM {view}")
        connection.execute(f"DROP VIEW {view}")
        connection.execute(f"CREATE TABLE {view} AS FROM held")
        connection.execute("DROP TABLE held")

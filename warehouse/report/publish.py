"""Copies the key figures of a lake into a Postgres database, under the names of their views.

For tools that read databases and no Parquet, such as Grafana with its built-in PostgreSQL data source. Only what the cards read is
copied, some thousand rows at most; all of it changes in one transaction, so that a reader sees the figures of one reading. What cannot be
read leaves the database as it was.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import duckdb

from .cards import CARDS
from .lake import connect, has_files, hold

#: Who may read the copies, and nothing else.
READER = "key_figures_reader"
#: DuckDB's types that have another name in Postgres. Of the others, the name is the same.
TYPES = {"VARCHAR": "text", "HUGEINT": "numeric(38,0)", "TIMESTAMP WITH TIME ZONE": "timestamptz"}
KNOWN = re.compile(r"BIGINT|INTEGER|DATE|BOOLEAN|DECIMAL\(\d+,\d+\)")
#: Of statements and connections.
TIMEOUT_S = 60
#: "riverbank key figures" in ASCII, cut short: one publisher at a time.
LOCK = 0x7269766572


class CannotPublish(Exception):
    """The reason, for the operator."""


@dataclass(frozen=True)
class Table:
    """A view's rows."""

    schema: str
    name: str
    #: As in CREATE TABLE.
    columns: dict[str, str]
    rows: list[tuple[Any, ...]]

    @property
    def definition(self) -> str:
        return ", ".join(f'"{name}" {type}' for name, type in self.columns.items())


def add_command(commands: Any) -> None:
    """Adds the command `publish`."""
    command = commands.add_parser(
        "publish",
        help="copy a lake's key figures into a Postgres database, for Grafana",
        description="The database is KEY_FIGURES_DATABASE, a URL of a login that owns it. With KEY_FIGURES_READER_PASSWORD,"
        f" the role {READER} is made, which may read the figures and nothing else.",
    )
    command.add_argument("lake", help="a folder, or s3://bucket/prefix on the store of RIVERBANK_S3_*")
    command.add_argument("--every", type=float, metavar="SECONDS", help="again and again; otherwise once")
    command.add_argument("--mark", type=Path, metavar="FILE", help="is touched after each time that succeeded")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Publishes once, or until it is ended."""
    while True:
        started = time.monotonic()
        failed = attempt(arguments.lake, arguments.mark)
        if arguments.every is None:
            return int(failed)
        time.sleep(max(0.0, arguments.every - (time.monotonic() - started)))


def attempt(lake: str, mark: Path | None) -> bool:
    """Publishes, and says how it went. Returns whether it failed: the next attempt is a new start."""
    database = os.environ.get("KEY_FIGURES_DATABASE", "")
    try:
        if not database:
            raise CannotPublish("KEY_FIGURES_DATABASE is missing: a URL such as postgres://user:password@host/key_figures")
        has_any, tables = read(lake)
        asyncio.run(write(database, os.environ.get("KEY_FIGURES_READER_PASSWORD"), tables, not has_any))
    except (CannotPublish, duckdb.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        print(f"the key figures were not published: {error}", file=sys.stderr, flush=True)
        return True
    if mark is not None:
        mark.touch()
    empty = "" if has_any else f"; there is no file of a table in {lake} yet"
    print(f"published {sum(len(table.rows) for table in tables)} rows of {len(tables)} views{empty}", flush=True)
    return False


def read(lake: str) -> tuple[bool, list[Table]]:
    """Whether the lake has any file, and the rows of every view that a card reads."""
    with connect(lake) as connection:
        hold(connection)
        views = dict.fromkeys(card.view for card in CARDS)
        return has_files(connection), [read_view(connection, view) for view in views]


def read_view(connection: duckdb.DuckDBPyConnection, view: str) -> Table:
    """The rows of a view."""
    schema, name = view.split(".")
    columns = {column: postgres_type(type) for column, type, *_ in connection.execute(f"DESCRIBE {view}").fetchall()}
    numbers = [type.startswith(("numeric", "decimal")) for type in columns.values()]
    rows = connection.execute(f"FROM {view}").fetchall()
    exact = [
        tuple(Decimal(value) if is_number and value is not None else value for value, is_number in zip(row, numbers, strict=True))
        for row in rows
    ]
    return Table(schema, name, columns, exact)


def postgres_type(type: str) -> str:
    """Postgres' type for one of DuckDB's."""
    if type in TYPES:
        return TYPES[type]
    if KNOWN.fullmatch(type):
        return type.lower()
    raise CannotPublish(f"there is no type of Postgres for {type}")


async def write(database: str, reader_password: str | None, tables: list[Table], is_empty: bool) -> None:
    """Replaces what the database has, in one transaction. A lake without files replaces no figures: it may be the wrong one."""
    connection = await asyncpg.connect(database, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            if is_empty and await has_figures(connection):
                raise CannotPublish("there is no file of a table in the lake, and the figures stay as they were")
            for table in tables:
                await replace(connection, table)
            if reader_password:
                await let_read(connection, reader_password, {table.schema for table in tables})
    finally:
        await connection.close(timeout=TIMEOUT_S)


async def has_figures(connection: asyncpg.Connection) -> bool:
    """Whether anything but an empty bank was published before."""
    if await connection.fetchval("SELECT to_regclass('gold.kpi_as_of') IS NULL"):
        return False
    return await connection.fetchval("SELECT count(newest_change) > 0 FROM gold.kpi_as_of")


async def replace(connection: asyncpg.Connection, table: Table) -> None:
    """Replaces a table's rows, and the table itself where its columns have changed. Readers go on with the old rows meanwhile."""
    place = f'"{table.schema}"."{table.name}"'
    known = await connection.fetchval("SELECT obj_description(to_regclass($1), 'pg_class')", place)
    if known != table.definition:
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{table.schema}"')
        await connection.execute(f"DROP TABLE IF EXISTS {place}")
        await connection.execute(f"CREATE TABLE {place} ({table.definition})")
        comment = await connection.fetchval(f"SELECT format('COMMENT ON TABLE {place} IS %L', $1::text)", table.definition)
        await connection.execute(comment)
    await connection.execute(f"DELETE FROM {place}")
    await connection.copy_records_to_table(
        table.name, schema_name=table.schema, columns=list(table.columns), records=table.rows
    )


async def let_read(connection: asyncpg.Connection, password: str, schemas: set[str]) -> None:
    """Makes the reader, and lets it read."""
    exists = await connection.fetchval("SELECT count(*) > 0 FROM pg_roles WHERE rolname = $1", READER)
    how = "ALTER" if exists else "CREATE"
    login = await connection.fetchval(f"SELECT format('{how} ROLE {READER} LOGIN PASSWORD %L', $1::text)", password)
    await connection.execute(login)
    # A dashboard's query that is wrong stops by itself.
    await connection.execute(f"ALTER ROLE {READER} SET statement_timeout = '30s'")
    for schema in sorted(schemas):
        await connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO {READER}')
        await connection.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO {READER}')

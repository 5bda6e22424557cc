"""Runs statements: on fakesnow, or here where fakesnow has no such thing."""

from __future__ import annotations

import datetime
import decimal
import logging
import re
import threading
import warnings
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow
import snowflake.connector.errors
from fakesnow.instance import FakeSnow

from emulator import results, words
from emulator.objects import FILE_FORMAT, Objects
from emulator.results import Result
from emulator.words import NAME, SqlError

# Of fakesnow's and sqlglot's ways, not of the statements.
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_CREATE = r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:TRANSIENT\s+)?"
_STAGE = re.compile(rf"{_CREATE}STAGE\s+(IF\s+NOT\s+EXISTS\s+)?({NAME})(.*)", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(rf"{_CREATE}FILE\s+FORMAT\s+(?:IF\s+NOT\s+EXISTS\s+)?{NAME}(.*)", re.IGNORECASE | re.DOTALL)
_TABLE = re.compile(rf"{_CREATE}TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?({NAME})\s*\(.*\)(.*)", re.IGNORECASE | re.DOTALL)
_EVOLVE = re.compile(
    rf"ALTER\s+TABLE\s+({NAME})\s+SET\s+ENABLE_SCHEMA_EVOLUTION\s*=\s*(TRUE|FALSE)", re.IGNORECASE
)
_MERGE = re.compile(rf"MERGE\s+INTO\s+({NAME})", re.IGNORECASE)
_EVOLUTION = re.compile(r"\bENABLE_SCHEMA_EVOLUTION\s*=\s*TRUE\b", re.IGNORECASE)


@dataclass(frozen=True)
class Session:
    """What a request sets for its statements."""

    database: str | None = None
    schema: str | None = None


class Engine:
    """The warehouse. One statement runs at a time."""

    def __init__(self) -> None:
        self._fake = FakeSnow(create_database_on_connect=False, create_schema_on_connect=False)
        # The default of a Snowflake account, so that what depends on the session's time zone shows.
        self._fake.duck_conn.execute("SET GLOBAL TimeZone = 'America/Los_Angeles'")
        self._lock = threading.RLock()
        self.objects = Objects(self._exists)
        #: Full names of the tables that take new columns from files.
        self.evolving: set[str] = set()

    def run(self, statement: str, session: Session = Session(), bindings: list[Any] | None = None) -> Result:
        """Runs one statement. Raises SqlError."""
        with self._lock:
            statement = statement.strip().rstrip(";").strip()
            if (message := self.objects.run(statement)) is not None:
                return results.status(message)
            if evolve := _EVOLVE.fullmatch(statement):
                return self._evolve(evolve[1], evolve[2].upper() == "TRUE", session)
            if (given := _FORMAT.fullmatch(statement)) is not None:
                words.options(given[1], FILE_FORMAT)
            result = results.table(self._fakesnow(statement, session, bindings))
            self._remember(statement, session)
            return result

    def query(self, statement: str, *bindings: Any) -> list[tuple]:
        """Rows of a query, as Python values."""
        with self._lock:
            return self._fake.duck_conn.execute(statement, bindings).fetchall()

    def columns(self, table: str) -> set[str]:
        """The columns of a table, by its full name."""
        rows = self.query(
            "SELECT column_name FROM duckdb_columns() "
            "WHERE upper(database_name || '.' || schema_name || '.' || table_name) = ?",
            table,
        )
        return {name.upper() for (name,) in rows}

    def _exists(self, kind: str, name: str) -> bool:
        source, column = {
            "DATABASE": ("duckdb_databases()", "database_name"),
            "SCHEMA": ("duckdb_schemas()", "database_name || '.' || schema_name"),
            "TABLE": ("duckdb_tables()", "database_name || '.' || schema_name || '.' || table_name"),
            "VIEW": ("duckdb_views()", "database_name || '.' || schema_name || '.' || view_name"),
            "FILE FORMAT": (
                "_fs_global._fs_information_schema._fs_file_formats",
                "database_name || '.' || schema_name || '.' || name",
            ),
        }.get(kind, (None, None))
        if source is None:
            return True
        return bool(self.query(f"SELECT 1 FROM {source} WHERE upper({column}) = ?", ".".join(words.parts(name))))

    def exists(self, kind: str, name: str) -> bool:
        """Whether there is such an object, by its full name."""
        return self._exists(kind, name)

    def _evolve(self, table: str, on: bool, session: Session) -> Result:
        name = words.full_name(table, session.database, session.schema)
        if not self._exists("TABLE", name):
            raise words.missing("Table", name)
        (self.evolving.add if on else self.evolving.discard)(name)
        return results.status("Statement executed successfully.")

    def _remember(self, statement: str, session: Session) -> None:
        if (stage := _STAGE.fullmatch(statement)) is not None:
            name = words.full_name(stage[2], session.database, session.schema)
            if not (stage[1] and name in self.objects.stages):
                self.objects.remember_stage(name, stage[3])
        elif (table := _TABLE.fullmatch(statement)) is not None and _EVOLUTION.search(table[2]):
            self.evolving.add(words.full_name(table[1], session.database, session.schema))

    def _fakesnow(self, statement: str, session: Session, bindings: list[Any] | None) -> pyarrow.Table:
        if (merge := _MERGE.match(statement)) is not None and session.schema is None:
            # Its rows go through a table for which fakesnow wants the session's schema.
            session = Session(*words.full_name(merge[1], session.database, session.schema).split(".")[:2])
        connection = self._fake.connect(session.database, session.schema, paramstyle="qmark")
        try:
            cursor = connection.cursor()
            cursor.execute(statement, bindings)
            # The cursor's own rows lose columns of equal names.
            return cursor._arrow_table  # noqa: SLF001
        except snowflake.connector.errors.Error as error:
            message = error.raw_msg or error.msg or str(error)
            raise SqlError(message, f"{abs(error.errno):06d}", error.sqlstate or "42000") from None
        except duckdb.Error as error:
            raise SqlError(str(error), "100038", "22018") from None
        except (AssertionError, NotImplementedError, ValueError, KeyError, AttributeError) as error:
            raise SqlError(f"Unsupported feature: {error!r}", "000002", "0A000") from None
        finally:
            connection.close()


def bindings(given: dict[str, dict[str, Any]]) -> list[Any]:
    """Bound values, by their positions from 1. Raises SqlError."""
    values = []
    for position in range(1, len(given) + 1):
        bound = given.get(str(position))
        if not isinstance(bound, dict):
            raise SqlError(f"Bind variable {position} not set.", "000904", "42601")
        values.append(_bound(str(bound.get("type", "")).upper(), bound.get("value")))
    return values


def _bound(kind: str, text: Any) -> Any:
    if text is None:
        return None
    if not isinstance(text, str):
        raise SqlError("The value of a bind variable must be a string.", "000904", "42601")
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    try:
        match kind:
            case "FIXED":
                return decimal.Decimal(text) if "." in text else int(text)
            case "REAL":
                return float(text)
            case "BOOLEAN":
                return text.lower() in ("true", "1")
            case "DATE":
                return (epoch + datetime.timedelta(milliseconds=int(text))).date()
            case "TIMESTAMP_LTZ" | "TIMESTAMP_TZ":
                return epoch + datetime.timedelta(microseconds=int(text) // 1_000)
            case "TIMESTAMP_NTZ":
                return (epoch + datetime.timedelta(microseconds=int(text) // 1_000)).replace(tzinfo=None)
            case "BINARY":
                return bytes.fromhex(text)
            case "TEXT":
                return text
    except (ValueError, decimal.InvalidOperation):
        pass
    raise SqlError(f"Bind variable of type {kind} cannot be {text!r}.", "000904", "42601")

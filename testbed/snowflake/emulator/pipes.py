"""Pipes: which files each has received, the loads, and what is reported of them."""

from __future__ import annotations

import collections
import datetime
import queue
import re
import tempfile
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pyarrow.types as is_type
import sqlglot
from sqlglot import exp

from emulator import words
from emulator.clock import Clock, iso
from emulator.engine import Engine, Session
from emulator.faults import Faults
from emulator.stages import StageError, Store
from emulator.words import NAME, SqlError

#: How long a pipe ignores a path that it has received, whatever became of its load.
MEMORY = datetime.timedelta(days=14)
#: What `insertReport` keeps.
EVENTS_KEPT = datetime.timedelta(minutes=10)
EVENTS_MAX = 10_000
#: What `loadHistoryScan` returns at most.
HISTORY_MAX = 10_000
#: Files that wait to be loaded, of all pipes.
WAITING_MAX = 50_000

_CREATE = re.compile(
    rf"CREATE\s+(OR\s+REPLACE\s+)?PIPE\s+(IF\s+NOT\s+EXISTS\s+)?({NAME})(.*?)\s+AS\s+(COPY\s+INTO\s+({NAME})\s+FROM\s+"
    rf"@({NAME})(/\S*)?(.*))",
    re.IGNORECASE | re.DOTALL,
)
_PIPE = {"AUTO_INGEST", "ERROR_INTEGRATION", "AWS_SNS_TOPIC", "INTEGRATION", "COMMENT"}
_COPY = {"FILE_FORMAT", "FORMAT_NAME", "TYPE", "MATCH_BY_COLUMN_NAME", "ON_ERROR", "PATTERN"}


class TooMany(Exception):
    """More files wait than are taken."""


@dataclass
class Pipe:
    """A pipe."""

    name: str
    table: str
    stage: str
    under: str
    copy_options: str
    auto_ingest: bool
    paused: bool = False
    received: dict[str, datetime.datetime] = field(default_factory=dict)
    #: Reported events: their numbers, and the files' entries.
    events: collections.deque[tuple[int, datetime.datetime, dict]] = field(default_factory=collections.deque)
    next_event: int = 1
    history: list[tuple[datetime.datetime, dict]] = field(default_factory=list)
    waiting: int = 0
    #: Paths that came again while they were remembered.
    skipped: int = 0


class Pipes:
    """All pipes, and the thread that loads their files."""

    def __init__(self, engine: Engine, store: Store, clock: Clock, faults: Faults) -> None:
        self._engine, self._store, self._clock, self._faults = engine, store, clock, faults
        self._pipes: dict[str, Pipe] = {}
        self._lock = threading.Lock()
        self._queue: queue.Queue[tuple[Pipe, str, int | None, datetime.datetime]] = queue.Queue(WAITING_MAX)
        self._flowing = threading.Event()
        self._flowing.set()
        threading.Thread(target=self._load_for_ever, name="loads", daemon=True).start()

    # --- statements ----------------------------------------------------------------------------------------------

    def run(self, statement: str, session: Session) -> list[dict[str, Any]] | str | None:
        """Runs a statement of pipes: rows, or a message; None where it is of something else. Raises SqlError."""
        if re.match(r"CREATE\s+(OR\s+REPLACE\s+)?PIPE\b", statement, re.IGNORECASE):
            return self._create(statement, session)
        if match := re.fullmatch(rf"DROP\s+PIPE\s+(IF\s+EXISTS\s+)?({NAME})", statement, re.IGNORECASE):
            name = words.full_name(match[2], session.database, session.schema)
            if self._pipes.pop(name, None) is None and not match[1]:
                raise words.missing("Pipe", name)
            return f"{name} successfully dropped."
        if match := re.fullmatch(rf"ALTER\s+PIPE\s+({NAME})\s+(.*)", statement, re.IGNORECASE | re.DOTALL):
            return self._alter(self._named(match[1], session), match[2])
        if match := re.fullmatch(rf"SHOW\s+PIPES(\s+IN\s+(ACCOUNT|(DATABASE|SCHEMA)\s+({NAME})))?", statement, re.IGNORECASE):
            return [_shown(pipe) for pipe in self._pipes.values() if pipe.name.startswith(_prefix(match[4]))]
        if match := re.fullmatch(r"SELECT\s+SYSTEM\$PIPE_STATUS\(\s*'([^']+)'\s*\)(\s+AS\s+\w+)?", statement, re.IGNORECASE):
            return [{"SYSTEM$PIPE_STATUS": _status(self._named(match[1], session))}]
        return None

    def _create(self, statement: str, session: Session) -> str:
        if not (match := _CREATE.fullmatch(statement)):
            raise words.syntax_error(statement)
        replace, exists, name, given, copy, table, stage, path, copy_options = match.groups()
        name = words.full_name(name, session.database, session.schema)
        if name in self._pipes and not replace:
            if not exists:
                raise SqlError(f"SQL compilation error:\nObject '{name}' already exists.", "002002", "42710")
            return f"{name} already exists, statement succeeded."
        option = words.options(given, _PIPE)
        copy_option = words.options(copy_options, _COPY)
        try:
            parsed = sqlglot.parse_one(copy, read="snowflake")
        except sqlglot.errors.ParseError as error:
            raise SqlError(f"SQL compilation error:\n{error}") from None
        if not isinstance(parsed, exp.Copy):
            raise words.syntax_error(copy)
        database, schema = name.split(".")[:2]
        table, stage = words.full_name(table, database, schema), words.full_name(stage, database, schema)
        if not self._engine.exists("TABLE", table):
            raise words.missing("Table", table)
        if stage not in self._engine.objects.stages:
            raise words.missing("Stage", stage)
        named = copy_option.get("FILE_FORMAT", {}).get("FORMAT_NAME")
        if named and not self._engine.exists("FILE FORMAT", words.full_name(named, database, schema)):
            raise words.missing("File format", named)
        auto = str(option.get("AUTO_INGEST", "FALSE")).upper() == "TRUE"
        if auto and self._engine.objects.stages[stage].url.startswith("s3compat:"):
            raise SqlError("Auto ingest is not supported on a stage of S3-compatible storage.", "003139", "0A000")
        # fakesnow knows one way to take errors. A pipe's own, SKIP_FILE, is the same for a file: all or nothing.
        copy_options = re.sub(r"\bON_ERROR\s*=\s*\S+", "", copy_options, flags=re.IGNORECASE).strip()
        # It wants the name as a string, where Snowflake takes either.
        copy_options = re.sub(rf"\b(FORMAT_NAME\s*=\s*)({NAME})", r"\1'\2'", copy_options, flags=re.IGNORECASE)
        with self._lock:
            self._pipes[name] = Pipe(name, table, stage, (path or "").strip("/"), copy_options, auto)
        return f"Pipe {name} successfully created."

    def _alter(self, pipe: Pipe, what: str) -> str | list[dict[str, Any]]:
        if match := re.fullmatch(r"SET\s+PIPE_EXECUTION_PAUSED\s*=\s*(TRUE|FALSE)", what, re.IGNORECASE):
            pipe.paused = match[1].upper() == "TRUE"
            return "Statement executed successfully."
        if match := re.fullmatch(rf"REFRESH(\s+PREFIX\s*=\s*({words.STRING}))?", what, re.IGNORECASE):
            prefix = words.text_of(match[2]) if match[2] else ""
            stage = self._engine.objects.stages[pipe.stage]
            try:
                listed = self._store.list(stage, f"{pipe.under}/" if pipe.under else "")
            except StageError as error:
                raise SqlError(str(error), "091016", "22000") from None
            paths = [path for path in listed if path.startswith(prefix)]
            skipped = set(self.insert(pipe.name, [(path, None) for path in paths]))
            sent = [{"File": path, "Status": "SENT"} for path in paths if path not in skipped]
            return sent or "No files were sent."
        raise words.syntax_error(what)

    def _named(self, name: str, session: Session) -> Pipe:
        full = words.full_name(name, session.database, session.schema)
        if full not in self._pipes:
            raise words.missing("Pipe", full)
        return self._pipes[full]

    def get(self, name: str) -> Pipe | None:
        """A pipe, by its full name; parts in quotes keep their case."""
        return self._pipes.get(".".join(words.parts(name)))

    # --- loads ---------------------------------------------------------------------------------------------------

    def insert(self, name: str, files: list[tuple[str, int | None]]) -> list[str]:
        """Receives files, and returns those that the pipe remembers. Raises TooMany before it takes any."""
        now, skipped = self._clock.now(), []
        with self._lock:
            pipe = self._pipes[name]
            if self._queue.qsize() + len(files) > WAITING_MAX:
                raise TooMany
            for path, size in files:
                if (seen := pipe.received.get(path)) is not None and now - seen < MEMORY:
                    skipped.append(path)
                    continue
                pipe.received[path] = now
                pipe.waiting += 1
                self._queue.put_nowait((pipe, path, size, now))
            pipe.skipped += len(skipped)
        return skipped

    def hold(self, held: bool) -> None:
        """Stops loads, or lets them go on."""
        (self._flowing.clear if held else self._flowing.set)()

    def _load_for_ever(self) -> None:
        while True:
            pipe, path, size, received = self._queue.get()
            self._flowing.wait()
            try:
                entry = self._load(pipe, path)
            except Exception as error:
                # A fault of the emulator must not end the thread that all loads wait for.
                traceback.print_exc()
                entry = {"status": "LOAD_FAILED", "rowsInserted": 0, "rowsParsed": 0, "errorsSeen": 1, "systemError": repr(error)}
            now = self._clock.now()
            entry |= {"path": path, "timeReceived": iso(received), "lastInsertTime": iso(now), "complete": True}
            entry.setdefault("fileSize", size or 0)
            with self._lock:
                pipe.waiting -= 1
                pipe.history.append((now, entry))
                pipe.events.append((pipe.next_event, now, entry))
                pipe.next_event += 1

    def _load(self, pipe: Pipe, path: str) -> dict[str, Any]:
        stage = self._engine.objects.stages[pipe.stage]
        under = f"{pipe.under}/" if pipe.under else ""
        entry: dict[str, Any] = {"stageLocation": stage.location + under, "errorLimit": 1}
        fault = self._faults.take("load", path)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "file.parquet"
            try:
                entry["fileSize"] = self._store.fetch(stage, under + path, file)
                if fault == "LOAD_FAILED":
                    raise SqlError("The load failed on request.")
                parsed, inserted = self._copy(pipe, file, partly=fault == "PARTIALLY_LOADED")
            except (StageError, SqlError, OSError, pyarrow.ArrowException) as error:
                failed = {"rowsInserted": 0, "rowsParsed": 0, "errorsSeen": 1, "firstError": str(error)}
                return entry | failed | {"status": "LOAD_FAILED"}
        entry |= {"rowsInserted": inserted, "rowsParsed": parsed, "errorsSeen": parsed - inserted}
        if inserted < parsed:
            return entry | {"status": "PARTIALLY_LOADED", "firstError": "Rows were left out on request."}
        return entry | {"status": "LOADED"}

    def _copy(self, pipe: Pipe, file: Path, partly: bool) -> tuple[int, int]:
        """Runs the pipe's COPY on a file: rows parsed, and rows inserted."""
        shape = pyarrow.parquet.read_schema(file)
        parsed = pyarrow.parquet.read_metadata(file).num_rows
        if partly:
            half = pyarrow.parquet.read_table(file).slice(0, parsed // 2)
            pyarrow.parquet.write_table(half, file)
        if pipe.table in self._engine.evolving:
            self._evolve(pipe.table, shape)
        statement = f"COPY INTO {pipe.table} FROM 'file://{file.parent}/' FILES = ('{file.name}') {pipe.copy_options}"
        result = self._engine.run(statement, Session(*pipe.name.split(".")[:2]))
        loaded = [column["name"] for column in result.columns].index("rows_loaded")
        return parsed, sum(int(row[loaded] or 0) for row in result.rows)

    def _evolve(self, table: str, shape: pyarrow.Schema) -> None:
        known = self._engine.columns(table)
        for column in shape:
            if column.name.upper() not in known:
                name = column.name.upper().replace('"', '""')
                self._engine.run(f'ALTER TABLE {table} ADD COLUMN "{name}" {_sql_type(column.type)}')

    # --- reports -------------------------------------------------------------------------------------------------

    def report(self, pipe: Pipe, begin_mark: str | None) -> dict[str, Any]:
        """What `insertReport` answers. The last event before the mark comes again, as it may."""
        now = self._clock.now()
        with self._lock:
            while pipe.events and (now - pipe.events[0][1] > EVENTS_KEPT or len(pipe.events) > EVENTS_MAX):
                pipe.events.popleft()
            mark = _mark(begin_mark)
            first = pipe.events[0][0] if pipe.events else pipe.next_event
            files = [entry for number, _, entry in pipe.events if mark is None or number >= mark - 1]
            return {
                "pipe": pipe.name,
                "completeResult": mark is None or mark >= first,
                "nextBeginMark": f"1_{pipe.next_event}",
                "files": files,
            }

    def scan(self, pipe: Pipe, start: datetime.datetime, end: datetime.datetime) -> dict[str, Any]:
        """What `loadHistoryScan` answers."""
        oldest = self._clock.now() - MEMORY
        with self._lock:
            found = [(time, entry) for time, entry in pipe.history if max(start, oldest) <= time < end]
        kept = found[:HISTORY_MAX]
        answer = {
            "pipe": pipe.name,
            "completeResult": len(kept) == len(found),
            "startTimeInclusive": iso(start),
            "endTimeExclusive": iso(end),
            "files": [entry for _, entry in kept],
        }
        if kept:
            answer |= {"rangeStartTime": iso(kept[0][0]), "rangeEndTime": iso(kept[-1][0])}
        return answer


def _mark(text: str | None) -> int | None:
    if not text:
        return None
    match = re.fullmatch(r"1_(\d+)", text)
    if match is None:
        raise ValueError(f"no beginMark: {text!r}")
    return int(match[1])


def _prefix(name: str | None) -> str:
    return ".".join(words.parts(name)) + "." if name else ""


def _status(pipe: Pipe) -> str:
    state = "PAUSED" if pipe.paused else "RUNNING"
    return f'{{"executionState":"{state}","pendingFileCount":{pipe.waiting}}}'


def _shown(pipe: Pipe) -> dict[str, Any]:
    database, schema, name = pipe.name.split(".")
    return {
        "name": name, "database_name": database, "schema_name": schema, "owner": "SYSADMIN",
        "definition": f"COPY INTO {pipe.table} FROM @{pipe.stage}/{pipe.under}/ {pipe.copy_options}",
    }  # fmt: skip


def _sql_type(of: pyarrow.DataType) -> str:
    if is_type.is_decimal(of):
        return f"NUMBER({of.precision},{of.scale})"
    if is_type.is_integer(of):
        return "NUMBER(38,0)"
    if is_type.is_floating(of):
        return "FLOAT"
    if is_type.is_boolean(of):
        return "BOOLEAN"
    if is_type.is_date(of):
        return "DATE"
    if is_type.is_timestamp(of):
        return "TIMESTAMP_LTZ" if of.tz else "TIMESTAMP_NTZ"
    if is_type.is_binary(of) or is_type.is_large_binary(of):
        return "BINARY"
    return "VARCHAR"

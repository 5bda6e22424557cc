"""The SQL REST API: statements, their handles, and how each went."""

from __future__ import annotations

import concurrent.futures
import datetime
import threading
import uuid
from dataclasses import dataclass
from typing import Any

import pyarrow

from emulator import engine, results, words
from emulator.engine import Engine, Session
from emulator.pipes import Pipes
from emulator.results import Result
from emulator.words import SqlError

#: Status and body of an answer.
Answer = tuple[int, dict[str, Any]]


@dataclass
class Statement:
    """A submitted statement."""

    handle: str
    created_ms: int
    future: concurrent.futures.Future[Result]
    #: Of a request with several statements: theirs.
    handles: list[str] | None = None


class Statements:
    """Every statement that was submitted."""

    def __init__(self, warehouse: Engine, pipes: Pipes) -> None:
        self._engine, self._pipes = warehouse, pipes
        self._statements: dict[str, Statement] = {}
        self._requests: dict[str, str] = {}
        self._lock = threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "statements")

    def submit(self, body: dict[str, Any], request_id: str | None, is_retry: bool, is_async: bool) -> Answer:
        """POST /api/v2/statements. A retry with the same request id returns what the first try did."""
        text = body.get("statement")
        if not isinstance(text, str) or not text.strip():
            return 400, {"code": "391902", "message": "Missing statement in request."}
        with self._lock:
            handle = self._requests.get(request_id) if request_id and is_retry else None
        if handle is None:
            statement = self._start(text, body)
            handle = statement.handle
            with self._lock:
                if request_id:
                    self._requests[request_id] = handle
        if not is_async:
            concurrent.futures.wait([self._statements[handle].future])
        return self.answer(handle, 0)

    def _start(self, text: str, body: dict[str, Any]) -> Statement:
        session = Session(body.get("database"), body.get("schema"))
        wanted = str(body.get("parameters", {}).get("MULTI_STATEMENT_COUNT", "1"))
        several = words.split(text)

        def all_of_them() -> Result:
            if wanted not in ("0", str(len(several))):
                count = f"Actual statement count {len(several)} did not match the desired statement count {wanted}."
                raise SqlError(count, "000008", "0A000")
            bound = engine.bindings(body.get("bindings") or {})
            if len(several) == 1:
                return self.run(several[0], session, bound)
            for statement in several:
                own = concurrent.futures.Future()
                part = self._add(own)
                whole.handles.append(part.handle)
                try:
                    own.set_result(self.run(statement, session, None))
                except SqlError as error:
                    own.set_exception(error)
                    raise
            return results.status("Multiple statements executed successfully.")

        whole = Statement(str(uuid.uuid4()), _now_ms(), concurrent.futures.Future(), [] if len(several) > 1 else None)
        with self._lock:
            self._statements[whole.handle] = whole
            whole.future = self._pool.submit(all_of_them)
        return whole

    def _add(self, future: concurrent.futures.Future[Result]) -> Statement:
        statement = Statement(str(uuid.uuid4()), _now_ms(), future)
        with self._lock:
            self._statements[statement.handle] = statement
        return statement

    def run(self, statement: str, session: Session, bound: list[Any] | None) -> Result:
        """Runs a statement of pipes, or of anything else. Raises SqlError."""
        if statement.split(None, 1)[0].upper() == "USE":
            raise SqlError("Unsupported feature 'USE' in the SQL API.", "391911", "0A000")
        done = self._pipes.run(statement, session)
        if done is None:
            return self._engine.run(statement, session, bound or None)
        if isinstance(done, str):
            return results.status(done)
        return results.table(pyarrow.Table.from_pylist(done))

    def answer(self, handle: str, partition: int) -> Answer:
        """GET /api/v2/statements/{handle}."""
        with self._lock:
            statement = self._statements.get(handle)
        if statement is None:
            return 404, {"code": "000709", "message": f"Statement {handle} not found", "sqlState": "02000"}
        head = {
            "statementHandle": handle,
            "createdOn": statement.created_ms,
            "statementStatusUrl": f"/api/v2/statements/{handle}",
        }
        if not statement.future.done():
            return 202, head | {"code": "333334", "message": "Asynchronous execution in progress."}
        try:
            result = statement.future.result()
        except SqlError as error:
            return 422, head | {"code": error.code, "sqlState": error.state, "message": str(error)}
        if partition:
            return 200, {"data": result.partition(partition)}
        answer = head | {
            "code": "090001",
            "sqlState": "00000",
            "message": "Statement executed successfully.",
            "resultSetMetaData": {
                "numRows": len(result.rows),
                "format": "jsonv2",
                "rowType": result.columns,
                "partitionInfo": result.partitions(),
            },
            "data": result.partition(0),
        }
        return 200, answer if statement.handles is None else answer | {"statementHandles": statement.handles}

    def cancel(self, handle: str) -> Answer:
        """POST /api/v2/statements/{handle}/cancel: one that has begun runs to its end."""
        with self._lock:
            statement = self._statements.get(handle)
        if statement is None:
            return self.answer(handle, 0)
        statement.future.cancel()
        return 200, {"code": "000604", "message": "successfully canceled", "statementHandle": handle}


def _now_ms() -> int:
    return int(datetime.datetime.now(datetime.UTC).timestamp() * 1_000)

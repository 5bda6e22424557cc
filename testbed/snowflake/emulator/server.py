"""The HTTP side: routes, authentication, faults, and the control interface for tests."""

from __future__ import annotations

import json
import sys
import traceback
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from emulator.auth import Refused, Users
from emulator.clock import Clock, parse_iso
from emulator.engine import Engine
from emulator.faults import Fault, Faults
from emulator.pipes import Pipe, Pipes, TooMany
from emulator.stages import Store
from emulator.statements import Answer, Statements

FILES_MAX = 5_000
PATH_BYTES_MAX = 1_024
BODY_BYTES_MAX = 16 << 20


class Emulator:
    """Everything behind the routes."""

    def __init__(self, s3_endpoint: str | None = None) -> None:
        self.clock, self.faults, self.users = Clock(), Faults(), Users()
        self.store, self.engine = Store(s3_endpoint), Engine()
        self.pipes = Pipes(self.engine, self.store, self.clock, self.faults)
        self.statements = Statements(self.engine, self.pipes)

    def pipe_request(self, pipe: Pipe, endpoint: str, query: dict[str, str], body: bytes, content: str) -> Answer:
        """The Snowpipe REST API, of one pipe."""
        match endpoint:
            case "insertFiles":
                return self._insert_files(pipe, query, body, content)
            case "insertReport":
                return 200, self.pipes.report(pipe, query.get("beginMark"))
            case _:
                if "startTimeInclusive" not in query:
                    raise ValueError("startTimeInclusive is missing")
                start = parse_iso(query["startTimeInclusive"])
                end = parse_iso(query["endTimeExclusive"]) if "endTimeExclusive" in query else self.clock.now()
                return 200, self.pipes.scan(pipe, start, end)

    def _insert_files(self, pipe: Pipe, query: dict[str, str], body: bytes, content: str) -> Answer:
        if content == "application/json":
            try:
                files = [(file["path"], file.get("size")) for file in json.loads(body)["files"]]
            except (ValueError, KeyError, TypeError, AttributeError):
                return error(500, "the body is not JSON of files")
        elif content == "text/plain":
            files = [(line, None) for line in body.decode().splitlines() if line]
        else:
            return error(415, f"Content-Type {content!r}")
        if not files:
            return error(400, "there are no files")
        if len(files) > FILES_MAX:
            return error(429, f"{len(files)} files are more than {FILES_MAX}")
        if any(not isinstance(path, str) or not 0 < len(path.encode()) <= PATH_BYTES_MAX for path, _ in files):
            return error(400, f"a path must have 1 to {PATH_BYTES_MAX} bytes")
        try:
            skipped = self.pipes.insert(pipe.name, files)
        except TooMany:
            return error(429, "too many files wait")
        answer: dict[str, Any] = {"responseCode": "SUCCESS"}
        if "requestId" in query:
            answer["requestId"] = query["requestId"]
        if query.get("showSkippedFiles", "").lower() == "true":
            answer["skippedFiles"] = skipped
        return 200, answer

    def control(self, what: str, body: dict[str, Any]) -> Answer:
        """What a test asks for; nothing of it is Snowflake's."""
        match what:
            case "users":
                return 200, {"fingerprint": self.users.add(body["account"], body["user"], body["public_key"])}
            case "faults":
                self.faults.add(Fault(**body))
            case "clear-faults":
                self.faults.clear()
            case "clock":
                self.clock.advance(float(body["advance_seconds"]))
            case "hold":
                self.pipes.hold(bool(body["held"]))
            case "mount":
                self.store.mount(body["location"], body["folder"])
            case "pipe":
                if (pipe := self.pipes.get(body["pipe"])) is None:
                    return error(404, "Pipe not found")
                return 200, {
                    "received": sorted(pipe.received), "waiting": pipe.waiting, "skipped": pipe.skipped,
                    "loads": [entry for _, entry in pipe.history],
                }  # fmt: skip
            case _:
                return error(404, f"no control {what!r}")
        return 200, {"faults_left": self.faults.left()}


def error(status: int, message: str, code: str | None = None) -> Answer:
    """An answer that says what is wrong, as Snowflake's services word it."""
    return status, {"data": None, "code": code or f"390{status}", "message": message, "success": False}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Else every answer waits for the other side's delayed acknowledgement.
    disable_nagle_algorithm = True
    emulator: Emulator

    def do_GET(self) -> None:  # noqa: N802
        self._serve()

    def do_POST(self) -> None:  # noqa: N802
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        sys.stderr.write(f"{self.log_date_time_string()} {format % args}\n")

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            return self._send(error(413, "the body is too large"))
        body = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        path = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
        try:
            endpoint = _endpoint(self.command, path)
            fault = self.emulator.faults.take(endpoint) if endpoint else None
            if fault == "dropped":
                return self._hang_up()
            if fault in ("429", "500", "503"):
                return self._send(error(int(fault), "on request"), {"Retry-After": "1"} if fault != "500" else {})
            answer = self._answer(path, query, body)
        except Refused as refused:
            answer, fault = error(401, str(refused), refused.code), None
        except (ValueError, KeyError, TypeError) as wrong:
            answer, fault = error(400, repr(wrong)), None
        except Exception:
            traceback.print_exc()
            answer, fault = error(500, "the emulator failed; see its log"), None
        if fault == "lost":
            return self._hang_up()
        self._send(answer)

    def _answer(self, path: list[str], query: dict[str, str], body: bytes) -> Answer:
        emulator, post = self.emulator, self.command == "POST"
        match path:
            case ["health"]:
                return 200, {"status": "ready"}
            case ["control", what] if post:
                return emulator.control(what, json.loads(body or b"{}"))
            case ["v1", "data", "pipes", name, endpoint] if _endpoint(self.command, path):
                emulator.users.check(self.headers.get("Authorization"))
                if (pipe := emulator.pipes.get(name)) is None:
                    message = "Specified object does not exist or not authorized. Pipe not found"
                    return error(404, message, "390404")
                content = self.headers.get("Content-Type", "").partition(";")[0].strip()
                return emulator.pipe_request(pipe, endpoint, query, body, content)
            case ["api", "v2", "statements", *rest]:
                self._check_statement_headers()
                return self._statements(rest, query, body, post)
        return error(404, f"{self.command} {self.path} is nothing here")

    def _check_statement_headers(self) -> None:
        kind = self.headers.get("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT")
        if kind != "KEYPAIR_JWT":
            raise Refused(f"token type {kind} is not emulated")
        if not self.headers.get("User-Agent"):
            raise ValueError("User-Agent is missing")
        self.emulator.users.check(self.headers.get("Authorization"))

    def _statements(self, rest: list[str], query: dict[str, str], body: bytes, post: bool) -> Answer:
        statements = self.emulator.statements
        match rest, post:
            case [], True:
                flag = {name: query.get(name, "").lower() == "true" for name in ("retry", "async")}
                return statements.submit(json.loads(body), query.get("requestId"), flag["retry"], flag["async"])
            case [handle], False:
                return statements.answer(handle, int(query.get("partition", 0)))
            case [handle, "cancel"], True:
                return statements.cancel(handle)
        return error(404, f"{self.command} {self.path} is nothing here")

    def _send(self, answer: Answer, headers: dict[str, str] | None = None) -> None:
        status, body = answer
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _hang_up(self) -> None:
        """Ends the connection without an answer."""
        self.close_connection = True


def _endpoint(method: str, path: list[str]) -> str | None:
    match method, path:
        case "POST", ["v1", "data", "pipes", _, "insertFiles"]:
            return "insertFiles"
        case "GET", ["v1", "data", "pipes", _, ("insertReport" | "loadHistoryScan") as endpoint]:
            return endpoint
        case _, ["api", "v2", "statements", *_]:
            return "statements"
    return None


class Server(ThreadingHTTPServer):
    """A thread per connection."""

    daemon_threads = True
    # Clients that come all at once wait rather than being refused.
    request_queue_size = 128


def serve(emulator: Emulator, port: int) -> Server:
    """A server on the loopback address; port 0: any free one."""
    handler = type("EmulatorHandler", (Handler,), {"emulator": emulator})
    return Server(("127.0.0.1", port), handler)

"""A client of both interfaces, as small as it can be, and an emulator in the process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import tempfile
import threading
import time
import unittest
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization

from emulator.auth import fingerprint, make_key_pair
from emulator.server import Emulator, Handler, serve

ACCOUNT, USER = "RIVERBANK-TEST", "RIVERBANK"
#: No load takes longer, however busy the machine.
PATIENCE_S = 60


class Client:
    """Speaks to an emulator as Riverbank does."""

    def __init__(self, url: str, private_key: Path, account: str = ACCOUNT, user: str = USER) -> None:
        self._address = urllib.parse.urlsplit(url).netloc
        self.key = serialization.load_pem_private_key(private_key.read_bytes(), None)
        self.subject = f"{account}.{user}"

    def claims(self) -> dict[str, Any]:
        now = int(time.time())
        issuer = f"{self.subject}.{fingerprint(self.key.public_key())}"
        return {"iss": issuer, "sub": self.subject, "iat": now, "exp": now + 3_540}

    def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, content: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """Status and body. Raises OSError or HTTPException where no answer comes."""
        token = token or jwt.encode(self.claims(), self.key, "RS256")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content, "User-Agent": "riverbank-tests/1"}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_S)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def control(self, what: str, **body: Any) -> dict[str, Any]:
        status, answer = self.call("POST", f"/control/{what}", body)
        if status != 200:
            raise AssertionError(f"control {what}: {status} {answer}")
        return answer

    def sql(self, statement: str, **rest: Any) -> list[list[str | None]]:
        """The rows of a statement. Raises AssertionError where it fails."""
        status, answer = self.call("POST", "/api/v2/statements", {"statement": statement, **rest})
        if status != 200:
            raise AssertionError(f"{statement}: {status} {answer}")
        return answer["data"]

    def insert(self, pipe: str, *paths: str) -> tuple[int, dict[str, Any]]:
        files = {"files": [{"path": path, "size": 1} for path in paths]}
        return self.call("POST", f"/v1/data/pipes/{pipe}/insertFiles?showSkippedFiles=true&requestId=r", files)

    def report(self, pipe: str, mark: str = "") -> dict[str, Any]:
        status, answer = self.call("GET", f"/v1/data/pipes/{pipe}/insertReport?beginMark={mark}")
        if status != 200:
            raise AssertionError(f"insertReport: {status} {answer}")
        return answer

    def loads(self, pipe: str) -> list[dict[str, Any]]:
        """Every load of a pipe, once none waits."""
        until(lambda: self.control("pipe", pipe=pipe)["waiting"] == 0)
        return self.control("pipe", pipe=pipe)["loads"]


def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition, with a bound."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come true")
        time.sleep(0.01)


@contextlib.contextmanager
def emulated() -> Iterator[tuple[Client, Path]]:
    """An emulator in this process: its client, and a folder that is `s3compat://lake/`."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        emulator = Emulator()
        emulator.users.add(ACCOUNT, USER, make_key_pair(root))
        Handler.log_message = lambda *_: None  # type: ignore[method-assign]
        server = serve(emulator, 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            client = Client(f"http://127.0.0.1:{server.server_port}", root / "rsa_key.p8")
            (root / "lake").mkdir()
            client.control("mount", location="s3compat://lake/", folder=str(root / "lake"))
            yield client, root / "lake"
        finally:
            server.shutdown()
            server.server_close()


def from_environment() -> Client:
    """The client of the emulator that the testbed has started."""
    key = Path(os.environ["SNOWFLAKE_PRIVATE_KEY"])
    return Client(os.environ["SNOWFLAKE_URL"], key, os.environ["SNOWFLAKE_ACCOUNT"], os.environ["SNOWFLAKE_USER"])


def objects(endpoint: str, key: str, secret: str) -> list[str]:
    """The statements of one table and its pipe `B.RAW.T`."""
    return [
        "CREATE DATABASE IF NOT EXISTS B",
        "CREATE SCHEMA IF NOT EXISTS B.RAW",
        "CREATE FILE FORMAT IF NOT EXISTS B.RAW.PARQUET TYPE = PARQUET USE_LOGICAL_TYPE = TRUE",
        f"CREATE STAGE IF NOT EXISTS B.RAW.LAKE URL = 's3compat://lake/' ENDPOINT = '{endpoint}' "
        f"CREDENTIALS = (AWS_KEY_ID = '{key}' AWS_SECRET_KEY = '{secret}')",
        "CREATE TABLE IF NOT EXISTS B.RAW.T (ID NUMBER(19,0), AMOUNT NUMBER(38,4), SEEN TIMESTAMP_LTZ(6)) "
        "ENABLE_SCHEMA_EVOLUTION = TRUE",
        "CREATE PIPE IF NOT EXISTS B.RAW.T AS COPY INTO B.RAW.T FROM @B.RAW.LAKE/t/ "
        "FILE_FORMAT = (FORMAT_NAME = B.RAW.PARQUET) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE ON_ERROR = SKIP_FILE",
    ]


class Emulated(unittest.TestCase):
    """A test on an emulator of its own, with the objects above."""

    def setUp(self) -> None:
        self.client, self.lake = self.enterContext(emulated())
        for statement in objects("127.0.0.1:9", "k", "s"):
            self.client.sql(statement)

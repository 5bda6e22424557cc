"""Stages: where a pipe's files are, and how one is fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


class StageError(Exception):
    """A file or a stage that cannot be read."""


@dataclass(frozen=True)
class Stage:
    """An external stage."""

    url: str
    endpoint: str | None = None
    key_id: str | None = None
    secret_key: str | None = None

    @property
    def location(self) -> str:
        """Its URL, with the slash at its end that Snowflake adds."""
        return self.url.rstrip("/") + "/"


class Store:
    """Reads stages: S3-compatible ones at their endpoint, and those that a test has put on a local folder."""

    def __init__(self, s3_endpoint: str | None = None) -> None:
        #: Where `s3://` is, in place of AWS.
        self.s3_endpoint = s3_endpoint
        self._mounts: dict[str, Path] = {}

    def mount(self, location: str, folder: str) -> None:
        """Reads what is under this location from a local folder."""
        self._mounts[location.rstrip("/") + "/"] = Path(folder)

    def fetch(self, stage: Stage, path: str, to: Path) -> int:
        """Copies the file at this path under the stage's location, and returns its size."""
        if (folder := self._local(stage)) is not None:
            file = folder / path
            if not file.is_file():
                raise StageError(f"Remote file '{stage.location}{path}' was not found.")
            to.write_bytes(file.read_bytes())
            return to.stat().st_size
        bucket, prefix = _bucket(stage)
        try:
            self._client(stage).download_file(bucket, prefix + path, str(to))
        except (BotoCoreError, ClientError, OSError) as error:
            raise StageError(f"Remote file '{stage.location}{path}' cannot be read: {error}") from error
        return to.stat().st_size

    def list(self, stage: Stage, under: str) -> list[str]:
        """The paths of the files under this path, relative to it."""
        if (folder := self._local(stage)) is not None:
            root = folder / under
            return sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
        bucket, prefix = _bucket(stage)
        pages = self._client(stage).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + under)
        try:
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        except (BotoCoreError, ClientError) as error:
            raise StageError(f"{stage.location}{under} cannot be listed: {error}") from error
        return [key.removeprefix(prefix + under) for key in keys]

    def _local(self, stage: Stage) -> Path | None:
        for location, folder in self._mounts.items():
            if stage.location.startswith(location):
                return folder / stage.location.removeprefix(location)
        return None

    def _client(self, stage: Stage):
        endpoint = stage.endpoint or self.s3_endpoint
        if endpoint and "://" not in endpoint:
            # Snowflake speaks TLS alone; a test's store on loopback does not.
            local = re.match(r"(localhost|127\.0\.0\.1)(:|$)", endpoint)
            endpoint = f"{'http' if local else 'https'}://{endpoint}"
        return boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=stage.key_id,
            aws_secret_access_key=stage.secret_key,
            region_name="us-east-1",
            config=Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2}),
        )


def _bucket(stage: Stage) -> tuple[str, str]:
    scheme, _, rest = stage.location.partition("://")
    if scheme not in ("s3", "s3compat"):
        raise StageError(f"stages on {scheme}:// are not emulated")
    bucket, _, prefix = rest.partition("/")
    return bucket, prefix

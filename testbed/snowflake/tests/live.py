"""Against the servers of a testbed: a file on MinIO, by way of the emulator's own process. Not found by discovery."""

from __future__ import annotations

import os
import unittest

import boto3

from tests.client import from_environment, objects
from tests.files import few


class Live(unittest.TestCase):
    def test_a_file_on_minio_becomes_rows(self) -> None:
        client = from_environment()
        endpoint, key, secret = (os.environ[f"MINIO_{name}"] for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY"))
        for statement in objects(endpoint.removeprefix("http://"), key, secret):
            client.sql(statement)
        store = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1"
        )
        for number in range(3):
            store.put_object(Bucket="lake", Key=f"t/day=2026-01-31/p=00/{number}-{number}-s1.parquet", Body=few(number))
        first = "day=2026-01-31/p=00/0-0-s1.parquet"
        # The testbed has asked for one failure.
        self.assertEqual(client.insert("B.RAW.T", first)[0], 503)
        self.assertEqual(client.insert("B.RAW.T", first)[0], 200)
        client.loads("B.RAW.T")
        self.assertEqual(len(client.sql("ALTER PIPE B.RAW.T REFRESH")), 2)
        self.assertEqual({load["status"] for load in client.loads("B.RAW.T")}, {"LOADED"})
        self.assertEqual(client.sql("SELECT ID FROM B.RAW.T ORDER BY ID"), [["0"], ["1"], ["2"]])


class Fresh(unittest.TestCase):
    def test_after_a_restart_nothing_is_there_but_the_key(self) -> None:
        client = from_environment()
        self.assertEqual(client.insert("B.RAW.T", "a")[0], 404)

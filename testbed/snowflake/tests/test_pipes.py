"""Snowpipe's rules: what is remembered, what is reported, what is refused."""

from __future__ import annotations

import http.client
from decimal import Decimal

import pyarrow as pa

from tests.client import Emulated
from tests.files import few, parquet

PIPE = "B.RAW.T"
DAY_S = 86_400


class Pipes(Emulated):
    def put(self, path: str, data: bytes) -> str:
        file = self.lake / "t" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return path

    def ids(self) -> list[str]:
        return [id for (id,) in self.client.sql("SELECT ID FROM B.RAW.T ORDER BY ID")]

    def test_a_file_becomes_rows(self) -> None:
        path = self.put("day=2026-01-31/p=00/0-1-s1.parquet", few(1, 2))
        status, answer = self.client.insert(PIPE, path)
        self.assertEqual((status, answer), (200, {"responseCode": "SUCCESS", "requestId": "r", "skippedFiles": []}))
        (load,) = self.client.loads(PIPE)
        expected = {"status": "LOADED", "rowsInserted": 2, "rowsParsed": 2, "errorsSeen": 0, "complete": True}
        self.assertEqual(load | expected | {"path": path, "stageLocation": "s3compat://lake/t/"}, load)
        rows = self.client.sql("SELECT ID, AMOUNT, SEEN FROM B.RAW.T ORDER BY ID")
        self.assertEqual(rows, [["1", "0.2500", "1769903999.123456000"], ["2", "0.5000", "1769903999.123456000"]])

    def test_a_path_is_remembered_for_14_days_whatever_became_of_it(self) -> None:
        good = self.put("a.parquet", few(1))
        self.client.insert(PIPE, good, "missing.parquet")
        self.assertEqual({load["status"] for load in self.client.loads(PIPE)}, {"LOADED", "LOAD_FAILED"})
        self.put("missing.parquet", few(2))
        self.client.control("clock", advance_seconds=14 * DAY_S - 60)
        skipped = self.client.insert(PIPE, good, "missing.parquet")[1]["skippedFiles"]
        self.assertEqual((skipped, len(self.client.loads(PIPE))), ([good, "missing.parquet"], 2))
        self.client.control("clock", advance_seconds=61)
        self.assertEqual(self.client.insert(PIPE, good, "missing.parquet")[1]["skippedFiles"], [])
        self.client.loads(PIPE)
        # Nothing else keeps the first file's row from being there twice.
        self.assertEqual(self.ids(), ["1", "1", "2"])

    def test_reports_go_back_10_minutes_and_may_repeat(self) -> None:
        for number in range(3):
            self.client.insert(PIPE, self.put(f"{number}.parquet", few(number)))
        self.client.loads(PIPE)
        first = self.client.report(PIPE)
        self.assertEqual([file["path"] for file in first["files"]], [f"{number}.parquet" for number in range(3)])
        self.assertTrue(first["completeResult"])
        self.client.insert(PIPE, self.put("3.parquet", few(3)))
        self.client.loads(PIPE)
        second = self.client.report(PIPE, first["nextBeginMark"])
        self.assertEqual([file["path"] for file in second["files"]], ["2.parquet", "3.parquet"])
        self.client.control("clock", advance_seconds=601)
        late = self.client.report(PIPE, first["nextBeginMark"])
        self.assertEqual((late["files"], late["completeResult"]), ([], False))
        scan = "loadHistoryScan?startTimeInclusive=2026-01-01T00:00:00Z"
        history = self.client.call("GET", f"/v1/data/pipes/{PIPE}/{scan}")[1]
        self.assertEqual((len(history["files"]), history["completeResult"]), (4, True))
        self.assertEqual(self.client.call("GET", f"/v1/data/pipes/{PIPE}/loadHistoryScan")[0], 400)

    def test_new_columns_arrive_and_old_files_lack_them(self) -> None:
        wider = [{"id": 2, "amount": Decimal("1.5"), "kyc": "seen", "_generation": 2}]
        kinds = {"id": pa.int64(), "amount": pa.decimal128(20, 4), "kyc": pa.string(), "_generation": pa.int32()}
        self.client.insert(PIPE, self.put("old.parquet", few(1)), self.put("new.parquet", parquet(wider, **kinds)))
        self.assertEqual([load["status"] for load in self.client.loads(PIPE)], ["LOADED", "LOADED"])
        rows = self.client.sql("SELECT ID, AMOUNT, SEEN, KYC, _GENERATION FROM B.RAW.T ORDER BY ID")
        self.assertEqual(rows, [["1", "0.2500", "1769903999.123456000", None, None], ["2", "1.5000", None, "seen", "2"]])

    def test_without_schema_evolution_they_are_left_out(self) -> None:
        self.client.sql("ALTER TABLE B.RAW.T SET ENABLE_SCHEMA_EVOLUTION = FALSE")
        file = parquet([{"id": 1, "kyc": "seen"}], id=pa.int64(), kyc=pa.string())
        self.client.insert(PIPE, self.put("a.parquet", file))
        self.assertEqual(self.client.loads(PIPE)[0]["status"], "LOADED")
        self.assertEqual(self.client.sql("SELECT * FROM B.RAW.T"), [["1", None, None]])

    def test_what_is_no_parquet_or_does_not_fit_fails_whole(self) -> None:
        text = parquet([{"id": "1"}, {"id": "one"}], id=pa.string())
        self.client.insert(PIPE, self.put("a.parquet", b"PAR1"), self.put("b.parquet", text))
        for load in self.client.loads(PIPE):
            self.assertEqual((load["status"], load["rowsInserted"]), ("LOAD_FAILED", 0))
            self.assertTrue(load["firstError"])
        self.assertEqual(self.ids(), [])

    def test_loads_fail_on_request(self) -> None:
        self.client.control("faults", endpoint="load", kind="LOAD_FAILED", path="a.")
        self.client.control("faults", endpoint="load", kind="PARTIALLY_LOADED", path="b.")
        self.client.insert(PIPE, *(self.put(f"{name}.parquet", few(1, 2, 3, 4)) for name in "abc"))
        loads = {load["path"]: (load["status"], load["rowsInserted"], load["errorsSeen"]) for load in self.client.loads(PIPE)}
        expected = {"a": ("LOAD_FAILED", 0, 1), "b": ("PARTIALLY_LOADED", 2, 2), "c": ("LOADED", 4, 0)}
        self.assertEqual(loads, {f"{name}.parquet": load for name, load in expected.items()})

    def test_answers_fail_on_request(self) -> None:
        path = self.put("a.parquet", few(1))
        for kind in ("429", "500", "503"):
            self.client.control("faults", endpoint="insertFiles", kind=kind)
            self.assertEqual(self.client.insert(PIPE, path)[0], int(kind))
        self.client.control("faults", endpoint="insertFiles", kind="dropped")
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.client.insert(PIPE, path)
        self.assertEqual(self.client.control("pipe", pipe=PIPE)["received"], [])
        self.client.control("faults", endpoint="insertFiles", kind="lost")
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.client.insert(PIPE, path)
        self.assertEqual(self.client.control("pipe", pipe=PIPE)["received"], [path])
        self.assertEqual(self.client.insert(PIPE, path)[1]["skippedFiles"], [path])
        self.client.loads(PIPE)
        self.assertEqual(self.ids(), ["1"])

    def test_requests_that_are_wrong(self) -> None:
        url = f"/v1/data/pipes/{PIPE}/insertFiles"
        self.assertEqual(self.client.insert(PIPE)[0], 400)
        self.assertEqual(self.client.insert(PIPE, "x" * 1_025)[0], 400)
        self.assertEqual(self.client.insert(PIPE, "é" * 513)[0], 400)
        self.assertEqual(self.client.insert(PIPE, *map(str, range(5_001)))[0], 429)
        self.assertEqual(self.client.call("POST", url, b"{")[0], 500)
        self.assertEqual(self.client.call("POST", url, b"a.parquet", content="text/csv")[0], 415)
        self.assertEqual(self.client.insert("B.RAW.NOBODY", "a")[0], 404)
        self.assertEqual(self.client.control("pipe", pipe=PIPE)["received"], [])
        self.assertEqual(self.client.call("POST", url, b"a.parquet\nb.parquet\n", content="text/plain")[0], 200)

    def test_a_refresh_loads_what_nobody_named(self) -> None:
        paths = [self.put(f"day=2026-01-31/p=00/{number}.parquet", few(number)) for number in range(3)]
        self.client.insert(PIPE, paths[1])
        self.client.loads(PIPE)
        sent = self.client.sql("ALTER PIPE B.RAW.T REFRESH")
        self.assertEqual(sent, [[paths[0], "SENT"], [paths[2], "SENT"]])
        self.client.loads(PIPE)
        self.assertEqual(self.ids(), ["0", "1", "2"])

    def test_loads_wait_while_they_are_held(self) -> None:
        self.client.control("hold", held=True)
        self.client.insert(PIPE, self.put("a.parquet", few(1)))
        status = "SELECT SYSTEM$PIPE_STATUS('B.RAW.T')"
        self.assertEqual(self.client.sql(status), [['{"executionState":"RUNNING","pendingFileCount":1}']])
        self.assertEqual(self.client.report(PIPE)["files"], [])
        self.client.control("hold", held=False)
        self.assertEqual(len(self.client.loads(PIPE)), 1)

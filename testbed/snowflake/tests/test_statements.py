"""The SQL REST API."""

from __future__ import annotations

import http.client
from typing import Any

from tests.client import Emulated, until

URL = "/api/v2/statements"


class Statements(Emulated):
    def post(self, query: str = "", **body: Any) -> tuple[int, dict[str, Any]]:
        return self.client.call("POST", f"{URL}{query}", body)

    def test_a_result(self) -> None:
        status, answer = self.post(
            statement="SELECT CAST(1.5 AS NUMBER(38,4)) AS A, 'x' AS B, TRUE AS C, NULL AS D, '1970-01-03'::DATE AS E, "
            "'2026-01-01T00:00:00.000001Z'::TIMESTAMP_LTZ AS F, X'0AFF'::BINARY AS G"
        )
        self.assertEqual(status, 200)
        self.assertEqual((answer["code"], answer["sqlState"]), ("090001", "00000"))
        self.assertEqual(answer["data"], [["1.5000", "x", "true", None, "2", "1767225600.000001000", "0AFF"]])
        shape = answer["resultSetMetaData"]
        self.assertEqual([column["name"] for column in shape["rowType"]], list("ABCDEFG"))
        self.assertEqual([column["type"] for column in shape["rowType"]][:3], ["fixed", "text", "boolean"])
        self.assertEqual((shape["rowType"][0]["precision"], shape["rowType"][0]["scale"]), (38, 4))
        self.assertEqual(self.client.call("GET", answer["statementStatusUrl"])[1]["data"], answer["data"])

    def test_an_error(self) -> None:
        for statement in ("SELEC 1", "SELECT NOPE FROM B.RAW.T", "SELECT 1 FROM B.RAW.NOPE", "CREATE ROLL X"):
            status, answer = self.post(statement=statement)
            self.assertEqual(status, 422, statement)
            self.assertTrue(answer["code"] and answer["sqlState"] and answer["message"] and answer["statementHandle"])
            self.assertEqual(self.client.call("GET", f"{URL}/{answer['statementHandle']}")[0], 422)
        self.assertEqual(self.post(statement=" ")[0], 400)
        self.assertEqual(self.client.call("GET", f"{URL}/nobody")[0], 404)

    def test_asynchronous(self) -> None:
        status, answer = self.post("?async=true", statement="SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 1000))")
        self.assertIn(status, (200, 202))
        url = f"{URL}/{answer['statementHandle']}"
        until(lambda: self.client.call("GET", url)[0] == 200)
        self.assertEqual(self.client.call("GET", url)[1]["data"], [["1000"]])

    def test_a_retry_runs_once(self) -> None:
        statement = "INSERT INTO B.RAW.T (ID) VALUES (7)"
        self.client.control("faults", endpoint="statements", kind="lost")
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.post("?requestId=one", statement=statement)
        self.assertEqual(self.post("?requestId=one&retry=true", statement=statement)[0], 200)
        self.assertEqual(self.client.sql("SELECT ID FROM B.RAW.T"), [["7"]])

    def test_partitions(self) -> None:
        answer = self.post(statement="SELECT SEQ4() AS N FROM TABLE(GENERATOR(ROWCOUNT => 25000)) ORDER BY N")[1]
        parts = answer["resultSetMetaData"]["partitionInfo"]
        self.assertEqual([part["rowCount"] for part in parts], [10_000, 10_000, 5_000])
        url = f"{URL}/{answer['statementHandle']}?partition="
        rows = answer["data"] + [row for n in (1, 2) for row in self.client.call("GET", f"{url}{n}")[1]["data"]]
        self.assertEqual([int(row[0]) for row in rows], list(range(25_000)))

    def test_several_statements(self) -> None:
        body = {"statement": "SELECT 1; SELECT 'a;b' -- no ; here\n;"}
        self.assertEqual(self.post(**body)[1]["code"], "000008")
        answer = self.post(**body, parameters={"MULTI_STATEMENT_COUNT": "2"})[1]
        got = [self.client.call("GET", f"{URL}/{handle}")[1]["data"] for handle in answer["statementHandles"]]
        self.assertEqual(got, [[["1"]], [["a;b"]]])

    def test_bindings(self) -> None:
        self.post(
            statement="INSERT INTO B.RAW.T (ID, AMOUNT) VALUES (?, ?)",
            bindings={"1": {"type": "FIXED", "value": "3"}, "2": {"type": "FIXED", "value": "0.1000"}},
        )
        got = self.client.sql("SELECT AMOUNT FROM B.RAW.T WHERE ID = ?", bindings={"1": {"type": "FIXED", "value": "3"}})
        self.assertEqual(got, [["0.1000"]])
        wrong = {"1": {"type": "FIXED", "value": "three"}}
        self.assertEqual(self.post(statement="SELECT ID FROM B.RAW.T WHERE ID = ?", bindings=wrong)[0], 422)

    def test_a_merge_needs_no_schema_of_the_request(self) -> None:
        merge = (
            "MERGE INTO B.RAW.T AS T USING (SELECT 1 AS ID, {} AS AMOUNT) AS N ON T.ID = N.ID "
            "WHEN MATCHED THEN UPDATE SET AMOUNT = N.AMOUNT WHEN NOT MATCHED THEN INSERT (ID, AMOUNT) VALUES (N.ID, N.AMOUNT)"
        )
        for amount in ("1.5", "2.5"):
            self.client.sql(merge.format(amount))
        self.assertEqual(self.client.sql("SELECT ID, AMOUNT FROM B.RAW.T"), [["1", "2.5000"]])

    def test_a_request_names_its_schema(self) -> None:
        self.assertEqual(self.client.sql("SELECT COUNT(*) FROM T", database="B", schema="RAW"), [["0"]])
        self.assertEqual(self.post(statement="SELECT COUNT(*) FROM T")[0], 422)
        self.assertEqual(self.post(statement="USE DATABASE B")[0], 422)

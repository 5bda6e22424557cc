"""The warehouse's SQL: every statement is run by the emulator and parsed by sqlglot; what either can only look at is listed here."""

from __future__ import annotations

import json
import logging
import re
import unittest

import sqlglot
from sqlglot import exp

from tests.client import Client, emulated
from tests.migrations import AWS, ICEBERG, LOADED, ROOT, SET, added, defaults, migrations, planned

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

#: What the emulator checks and does not do: a table whose rows are in another catalog. Nothing can read it there.
CHECKED_ONLY = re.compile(r"CREATE ICEBERG TABLE\b")
#: The same in each way of loading.
IS_VIEW = re.compile(r"CREATE OR REPLACE VIEW\b")
#: What sqlglot has no grammar for, and takes as an opaque command. The emulator's own grammar reads these.
OPAQUE = re.compile(
    r"CREATE ROLE|GRANT ROLE|GRANT [A-Z, ]+ ON FUTURE|CREATE PIPE|CREATE CATALOG INTEGRATION|CREATE EXTERNAL VOLUME"
)


def parse(statement: str) -> exp.Expression:
    """Parses as Snowflake's SQL. Raises ParseError."""
    (parsed,) = sqlglot.parse(statement, read="snowflake", error_level=sqlglot.ErrorLevel.RAISE)
    return parsed


def parses(statement: str) -> bool:
    try:
        parsed = parse(statement)
    except sqlglot.errors.SqlglotError:
        return False
    return not isinstance(parsed, exp.Command) or bool(OPAQUE.match(statement))


def runs(client: Client, statement: str) -> tuple[bool, str]:
    status, answer = client.call("POST", "/api/v2/statements", {"statement": statement})
    return status == 200, f"{status} {answer.get('message')}\n{statement}"


class Files(unittest.TestCase):
    def test_files_are_as_the_readme_says(self) -> None:
        listed, used = defaults(), set()
        for migration in migrations():
            self.assertRegex(migration.name, r"^\d{4}_[a-z0-9_]+\.sql$")
            first = migration.text.splitlines()[1 if migration.when else 0]
            self.assertRegex(first, r"^-- (?!when)\S", migration.name)
            self.assertEqual(len(re.findall(r"^-- when:", migration.text, re.MULTILINE)), 1 if migration.when else 0)
            self.assertTrue(migration.text.rstrip().endswith(";"), migration.name)
            # A `;` elsewhere would split a statement in two.
            self.assertNotRegex(re.sub(r";[ \t]*$", "", migration.text, flags=re.MULTILINE).replace("--", ""), r";[ \t]*\n")
            used |= migration.variables
            if migration.when:
                used.add(migration.when[0])
        self.assertEqual(used, set(listed))
        self.assertEqual({name for name, default in listed.items() if not default}, set(SET))
        numbers = [migration.name[:4] for migration in migrations()]
        self.assertEqual(len(numbers), len(set(numbers)))

    def test_columns_are_those_of_the_schemas(self) -> None:
        tables = {
            "SILVER_CUSTOMERS": "silver/customer", "SILVER_ACCOUNTS": "silver/account", "SILVER_REJECTED": "silver/rejected",
            "SILVER_TRANSACTIONS": "silver/transaction", "SILVER_POSTINGS": "silver/posting",
            "GOLD_ACCOUNT_BALANCES": "gold/account_balance", "GOLD_CUSTOMER_HISTORY": "gold/customer_version",
            "GOLD_ACCOUNT_HISTORY": "gold/account_version", "GOLD_CUSTOMER_POSITIONS": "gold/customer_position",
            "GOLD_ACCOUNT_DAILY": "gold/account_day", "GOLD_BANK_DAILY": "gold/bank_day",
            "GOLD_TRANSACTION_MINUTES": "gold/transaction_minute", "GOLD_TRANSACTIONS": "gold/transaction_fact",
            "GOLD_RECONCILIATION": "gold/reconciliation",
        }  # fmt: skip
        columns = {
            created.this.this.name: [(c.name.upper(), c.kind.sql("snowflake")) for c in created.this.expressions]
            for name, statement in planned(LOADED)
            if name.startswith(("0007", "0011", "0016", "0030", "0042")) and isinstance(created := parse(statement), exp.Create)
        }
        for table, schema in tables.items():
            fields = json.loads((ROOT / "schemas" / "avro" / f"{schema}.avsc").read_text())["fields"]
            later = [name for name, _ in added(LOADED).get(table, [])]
            fields = [field for field in fields if field["name"].upper() not in later]
            expected = [(field["name"].upper(), snowflake_type(field["type"])) for field in fields]
            self.assertEqual(columns[table][: len(expected)], expected, table)
            # Where a record's key says what its value does not, that is the last of its own columns.
            own = columns[table][len(expected) : [name for name, _ in columns[table]].index("OP")]
            keys = {"SILVER_POSTINGS": ["KEY_ACCOUNT_ID"], "SILVER_REJECTED": ["ROW_ID"]}
            self.assertEqual([name for name, _ in own], keys.get(table, []), table)


def snowflake_type(avro: object) -> str:
    if isinstance(avro, list):
        (avro,) = [branch for branch in avro if branch != "null"]
    logical = avro.get("logicalType") if isinstance(avro, dict) else None
    kind = avro["type"] if isinstance(avro, dict) else avro
    if logical == "decimal":
        return "DECIMAL(38, 4)"
    if logical == "timestamp-micros":
        return "TIMESTAMPLTZ(6)"
    if logical == "date":
        return "DATE"
    return {
        "long": "DECIMAL(19, 0)", "int": "DECIMAL(10, 0)", "string": "VARCHAR", "enum": "VARCHAR", "boolean": "BOOLEAN",
        "bytes": "BINARY",
    }[kind]  # fmt: skip


class Statements(unittest.TestCase):
    def test_every_statement_parses(self) -> None:
        opaque, seen = set(), set()
        for way in (LOADED, AWS, ICEBERG):
            for name, statement in planned(way):
                parsed = parse(statement)
                kind = OPAQUE.match(statement)
                self.assertEqual(isinstance(parsed, exp.Command), kind is not None, f"{name}: {statement}")
                if kind:
                    opaque.add(re.sub(r"GRANT [A-Z, ]+ ON FUTURE", "GRANT … ON FUTURE", kind[0]))
                if copy := re.search(r"^COPY INTO.*", statement, re.MULTILINE | re.DOTALL):
                    self.assertIsInstance(parse(copy[0]), exp.Copy, name)
                seen.add(name)
        self.assertEqual(seen, {migration.name for migration in migrations()})
        self.assertEqual(len(opaque), 6, opaque)

    def test_every_statement_runs_and_runs_again(self) -> None:
        for way in (LOADED, AWS, ICEBERG):
            with self.subTest(way), emulated() as (client, _):
                checked = sum(CHECKED_ONLY.match(statement) is not None for _, statement in planned(way))
                self.assertEqual(checked, 17 if way is ICEBERG else 0)
                for _ in range(2):
                    for name, statement in planned(way):
                        # Views have nothing to read in Iceberg tables here. They are the same as in the other ways.
                        if way is ICEBERG and IS_VIEW.match(statement):
                            continue
                        ran, said = runs(client, statement)
                        self.assertTrue(ran, f"{name}: {said}")

    def test_planted_errors_are_found(self) -> None:
        for way in (LOADED, AWS, ICEBERG):
            with self.subTest(way), emulated() as (client, _):
                for name, statement in planned(way):
                    if way is not LOADED and IS_VIEW.match(statement):
                        continue
                    for wrong in planted(statement):
                        self.assertFalse(runs(client, wrong)[0], f"it ran, {name}: {wrong}")
                        if not OPAQUE.match(statement):
                            self.assertFalse(parses(wrong), f"it parsed, {name}: {wrong}")
                    # To sqlglot any option is one.
                    if wrong := misspelled(statement):
                        self.assertFalse(runs(client, wrong)[0], f"it ran, {name}: {wrong}")
                    ran, said = runs(client, statement)
                    self.assertTrue(ran, f"{name}: {said}")

    def test_names_that_do_not_exist_are_found(self) -> None:
        with emulated() as (client, _):
            for name, statement in planned(LOADED):
                if IS_VIEW.match(statement):
                    column = re.sub(r"\b(CURRENCY|_OFFSET|_PARTITION|FIRST_NAME|DAY_OF|ID)\b", "NO_COLUMN", statement, count=1)
                    source = re.sub(r"\bFROM RIVERBANK\.(\w+)\.(\w+)", r"FROM RIVERBANK.\1.NOTHING", statement, count=1)
                    for wrong in {column, source} - {statement}:
                        self.assertFalse(runs(client, wrong)[0], wrong)
                ran, said = runs(client, statement)
                self.assertTrue(ran, f"{name}: {said}")


def misspelled(statement: str) -> str | None:
    """The statement with its first option misspelled, where it is of a kind whose options are known."""
    if not re.match(r"CREATE (WAREHOUSE|FILE|STAGE|STORAGE|CATALOG|EXTERNAL|ICEBERG|PIPE|ROLE)\b", statement):
        return None
    wrong = re.sub(r"\b([A-Z_]+) = ", r"\1X = ", statement, count=1)
    return wrong if wrong != statement else None


def planted(statement: str) -> list[str]:
    """The statement with errors of several kinds."""
    first, rest = statement.split(None, 1)
    wrong = [f"{first[:-1]} {rest}", f"{statement} )", f"{statement} = ="]
    for keyword, misspelled in ((r"\bFROM\b", "FORM"), (r"\bAS\b\s+(?=SELECT|COPY)", "SA "), (r"\(", "((")):
        if re.search(keyword, statement):
            wrong.append(re.sub(keyword, misspelled, statement, count=1))
    return wrong

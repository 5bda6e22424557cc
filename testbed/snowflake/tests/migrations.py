"""The migrations of `warehouse/sql`: read, put together for a configuration, and split into statements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SQL = ROOT / "warehouse" / "sql"

#: What has no default, as a test sets it.
SET = {
    "s3_endpoint": "127.0.0.1:9000",
    "s3_key_id": "key",
    "s3_secret_key": "secret",
    "aws_role_arn": "arn:aws:iam::1:role/lake",
    "iceberg_catalog_uri": "https://catalog/api",
    "iceberg_warehouse": "lake",
    "iceberg_token": "token",
}
LOADED = {"stage": "s3compat", "tables": "loaded"}
AWS = {"stage": "s3", "tables": "loaded", "lake_url": "s3://lake/"}
ICEBERG = {"stage": "none", "tables": "iceberg"}


@dataclass(frozen=True)
class Migration:
    """A file."""

    name: str
    text: str

    @property
    def when(self) -> tuple[str, str] | None:
        match = re.match(r"-- when: (\w+)=(\w+)\n", self.text)
        return (match[1], match[2]) if match else None

    @property
    def variables(self) -> set[str]:
        return set(re.findall(r"\{\{(.*?)\}\}", self.text))

    def statements(self, values: dict[str, str]) -> list[str]:
        """Its statements, with these values for its variables: what `;` at a line's end ends."""
        text = re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], self.text)
        code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        return [statement.strip() for statement in re.split(r";[ \t]*(?:\n|$)", code) if statement.strip()]


def migrations() -> list[Migration]:
    """Every file, in order."""
    return [Migration(file.name, file.read_text()) for file in sorted(SQL.glob("*.sql"))]


def defaults() -> dict[str, str]:
    """The variables that the README lists, and their defaults ('' where there is none)."""
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? *\| .*\|$", (SQL / "README.md").read_text(), re.MULTILINE)
    return dict(rows)


def planned(way: dict[str, str]) -> list[tuple[str, str]]:
    """The statements of a configuration, each with its file's name."""
    values = defaults() | SET | way
    return [
        (migration.name, statement)
        for migration in migrations()
        if migration.when is None or values[migration.when[0]] == migration.when[1]
        for statement in migration.statements(values)
    ]


def added(way: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    """The columns that later migrations add to a table, and their types: a table made before has them at its end."""
    columns: dict[str, list[tuple[str, str]]] = {}
    for _, statement in planned(way):
        if match := re.search(r"ALTER TABLE \w+\.RAW\.(\w+) ADD COLUMN IF NOT EXISTS (\w+) (.+)$", statement):
            columns.setdefault(match[1], []).append((match[2], match[3]))
    return columns

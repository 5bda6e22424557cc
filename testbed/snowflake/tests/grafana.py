"""Grafana's dashboards as Grafana would use them: their queries, with its variables filled in."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

from tests.migrations import ROOT

GRAFANA = ROOT / "monitoring" / "grafana"
KEY_FIGURES = GRAFANA / "dashboards" / "key-figures.json"
SNOWFLAKE = GRAFANA / "snowflake" / "key-figures.json"
#: A period that no row of a test is outside of.
ALWAYS = (datetime.datetime(2000, 1, 1, 12), datetime.datetime(2100, 1, 1, 12))


def load(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def filled(sql: str, currency: str, period: tuple[datetime.datetime, datetime.datetime] = ALWAYS) -> str:
    """A query, as Grafana sends it. What it would not replace is an error."""
    values = {"currency:sqlstring": "'" + currency.replace("'", "''") + "'"}
    values |= {f"__{end}:date:iso": f"{time.isoformat(timespec='milliseconds')}Z" for end, time in zip(("from", "to"), period, strict=True)}
    return re.sub(r"\$\{(.*?)\}", lambda match: values[match[1]], sql)


def queries(file: Path) -> dict[str, str]:
    """The query of each panel, by its title."""
    panels = load(file)["panels"]
    return {panel["title"]: target["rawSql"] for panel in panels for target in panel["targets"]}


def currencies_query(file: Path) -> str:
    """The query of the variable `currency`."""
    (variable,) = load(file)["templating"]["list"]
    return variable["query"] if isinstance(variable["query"], str) else variable["query"]["rawSql"]

"""The Grafana dashboards of the key figures: the cards as panels, for two data sources that have the views.

`monitoring/grafana/dashboards/key-figures.json` reads what publish.py copied, by Grafana's built-in PostgreSQL data source;
`monitoring/grafana/snowflake/key-figures.json` reads Snowflake, by the plugin of Grafana Enterprise and Grafana Cloud. They differ in the
data source alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cards import CARDS, CURRENCIES, Card, Shape

GRAFANA = Path(__file__).resolve().parents[2] / "monitoring" / "grafana"
#: Grafana fills these in. `sqlstring` quotes a value; the days are those of the period that is chosen, in UTC.
CURRENCY = "${currency:sqlstring}"
FIRST_DAY, LAST_DAY = (f"CAST(LEFT('${{__{end}:date:iso}}', 10) AS DATE)" for end in ("from", "to"))
#: The width of Grafana's grid.
GRID = 24


@dataclass(frozen=True)
class Variant:
    """A data source, and how a query is said to it."""

    path: str
    uid: str
    source: dict[str, str]
    query: Callable[[str, str], dict[str, Any]]


def _postgres(sql: str, format: str) -> dict[str, Any]:
    return {"editorMode": "code", "format": format, "rawQuery": True, "rawSql": sql}


def _snowflake(sql: str, format: str) -> dict[str, Any]:
    return {"format": {"time_series": 0, "table": 1}[format], "rawSql": sql}


VARIANTS = (
    Variant(
        path="dashboards/key-figures.json",
        uid="riverbank-key-figures",
        source={"type": "grafana-postgresql-datasource", "uid": "key-figures"},
        query=_postgres,
    ),
    Variant(
        path="snowflake/key-figures.json",
        uid="riverbank-key-figures-snowflake",
        source={"type": "grafana-snowflake-datasource", "uid": "snowflake"},
        query=_snowflake,
    ),
)


def add_command(commands: Any) -> None:
    """Adds the command `dashboards`."""
    command = commands.add_parser("dashboards", help="write the Grafana dashboards", description="Writes the Grafana dashboards.")
    command.add_argument("--check", action="store_true", help="write nothing; fail where one is not as the cards say")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes each variant, or compares it."""
    others = [variant for variant in VARIANTS if not is_written(variant)]
    for variant in others:
        if arguments.check:
            print(f"{GRAFANA / variant.path} is not what the cards say; make dashboards writes it", file=sys.stderr)
        else:
            (GRAFANA / variant.path).parent.mkdir(parents=True, exist_ok=True)
            (GRAFANA / variant.path).write_text(text(variant), encoding="utf-8")
            print(GRAFANA / variant.path)
    return int(arguments.check and bool(others))


def is_written(variant: Variant) -> bool:
    """Whether the file is what the cards say."""
    file = GRAFANA / variant.path
    return file.is_file() and file.read_text(encoding="utf-8") == text(variant)


def text(variant: Variant) -> str:
    """The file of a variant."""
    return json.dumps(dashboard(variant), indent=2, ensure_ascii=False) + "\n"


def dashboard(variant: Variant) -> dict[str, Any]:
    """The whole dashboard."""
    currencies = variant.query(CURRENCIES, "table") | {"refId": "currencies"}
    return {
        "uid": variant.uid,
        "title": "Key figures",
        "description": "The bank in numbers, from the lake. Nothing is added across currencies.",
        "tags": ["riverbank", "key figures"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 0,
        "refresh": "1m",
        "timezone": "utc",
        "time": {"from": "now-30d", "to": "now"},
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {
                    "name": "currency",
                    "label": "Currency",
                    "type": "query",
                    "datasource": variant.source,
                    # The built-in SQL data sources take a variable's query as a string.
                    "query": CURRENCIES if "editorMode" in currencies else currencies,
                    "includeAll": False,
                    "multi": False,
                    "refresh": 2,
                    "sort": 0,
                    "hide": 0,
                    "regex": "",
                }
            ]
        },
        "panels": panels(variant),
    }


def panels(variant: Variant) -> list[dict[str, Any]]:
    """The cards in rows, from left to right."""
    placed, x, y = [], 0, 0
    for number, card in enumerate(CARDS, 1):
        if x + card.width > GRID:
            x, y = 0, y + placed[-1]["gridPos"]["h"]
        placed.append(panel(variant, card, number, {"x": x, "y": y, "w": card.width, "h": card.height}))
        x += card.width
    return placed


def panel(variant: Variant, card: Card, number: int, place: dict[str, int]) -> dict[str, Any]:
    """A card as a panel."""
    is_by_time = card.shape in (Shape.STACKED_DAYS, Shape.DAYS, Shape.MINUTES)
    sql = card.query(CURRENCY, FIRST_DAY, LAST_DAY)
    kind, options, custom = drawn(card)
    defaults: dict[str, Any] = {"unit": "locale", "decimals": 2 if card.money else 0, "custom": custom}
    if card.shape is Shape.MOMENT:
        defaults = {"unit": "dateTimeAsIso", "custom": custom}
    defaults["color"] = {"mode": "thresholds" if kind == "stat" else "palette-classic"}
    steps = [{"color": "text", "value": None}]
    if card.shape is Shape.CHECKS:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "id": number,
        "title": f"{card.title}, $currency" if card.is_by_currency else card.title,
        "description": f"{card.about} ({card.view})",
        "type": kind,
        "datasource": variant.source,
        "gridPos": place,
        "fieldConfig": {
            "defaults": defaults,
            "overrides": [
                {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "decimals", "value": 0}]} for name in card.counts
            ],
        },
        "targets": [
            {"refId": "A", "datasource": variant.source} | variant.query(sql, "time_series" if is_by_time else "table")
        ],
        "options": options,
    }


def drawn(card: Card) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The panel's type, its options and those of its fields."""
    tooltip = {"mode": "multi", "sort": "desc"}
    match card.shape:
        case Shape.NUMBERS:
            return "stat", stat(fields="", values=False), {}
        case Shape.MOMENT:
            # By itself a panel of numbers leaves times out.
            return "stat", stat(fields="/.*/", values=False) | {"textMode": "value"}, {}
        case Shape.CHECKS:
            return "stat", stat(fields="/^Findings$/", values=True), {}
        case Shape.BARS:
            return "barchart", {
                "orientation": "horizontal",
                "showValue": "always",
                "stacking": "none",
                "barWidth": 0.8,
                "groupWidth": 0.7,
                "xTickLabelRotation": 0,
                "xTickLabelSpacing": 0,
                "fullHighlight": False,
                "legend": {"displayMode": "hidden", "placement": "bottom", "showLegend": False, "calcs": []},
                "tooltip": {"mode": "single", "sort": "none"},
            }, {"fillOpacity": 80, "lineWidth": 0}
        case Shape.SHARES:
            return "piechart", {
                "pieType": "donut",
                "displayLabels": ["percent"],
                "reduceOptions": {"calcs": [], "fields": "/^Transactions$/", "values": True},
                "legend": {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": [], "values": ["value", "percent"]},
                "tooltip": {"mode": "single", "sort": "none"},
            }, {}
        case Shape.STACKED_DAYS | Shape.DAYS | Shape.MINUTES:
            stacking = "normal" if card.shape is Shape.STACKED_DAYS else "none"
            return "timeseries", {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": tooltip,
            }, {
                "drawStyle": "bars",
                "fillOpacity": 80,
                "lineWidth": 0,
                "stacking": {"mode": stacking, "group": "A"},
                "axisSoftMin": 0,
            }  # fmt: skip
    raise ValueError(f"{card.key} has no panel")


def stat(fields: str, values: bool) -> dict[str, Any]:
    """The options of a panel of numbers."""
    return {
        "reduceOptions": {"calcs": [] if values else ["lastNotNull"], "fields": fields, "values": values},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value_and_name",
        "wideLayout": True,
    }

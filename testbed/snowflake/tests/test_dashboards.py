"""Grafana's dashboards: what the cards of the key figures make, in the schema that Grafana publishes.

Grafana itself is not run. Each dashboard is read by Grafana's own library of its schema, which leaves out what it does not know and
refuses values that it does not; so nothing may be missing when it is written again.
"""

from __future__ import annotations

import json
import re
import sys
import unittest
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.grafana import GRAFANA, KEY_FIGURES, SNOWFLAKE, load, queries
from tests.migrations import ROOT

sys.path.insert(0, str(ROOT / "warehouse"))
from report import dashboards  # noqa: E402
from report.cards import CARDS  # noqa: E402

#: Read by Grafana, and not in the schema: the text of a query variable, for lists of variables.
UNKNOWN = {"definition"}


def lost(before: Any, after: Any, place: str = "") -> list[str]:
    """What is in one and not, or otherwise, in the other."""
    if isinstance(before, dict) and isinstance(after, dict):
        missing = [f"{place}.{key}" for key in before if key not in after and key not in UNKNOWN]
        return missing + [found for key in before if key in after for found in lost(before[key], after[key], f"{place}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [found for n, (a, b) in enumerate(zip(before, after, strict=True)) for found in lost(a, b, f"{place}[{n}]")]
    return [] if before == after else [f"{place}: {before} became {after}"]


def known(dashboard: dict[str, Any]) -> list[str]:
    """What Grafana's schema does not have of a dashboard."""
    return lost(dashboard, json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard))))


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}


class Dashboards(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        register_default_plugins()
        cls.files = sorted([*GRAFANA.glob("dashboards/*.json"), SNOWFLAKE])

    def test_all_are_of_the_schema(self) -> None:
        self.assertEqual(len(self.files), 3)
        for file in self.files:
            self.assertEqual(known(load(file)), [], file)

    def test_what_the_schema_does_not_have_is_found(self) -> None:
        for panel, error in ((0, ("options", "colourMode", "value")), (5, ("options", "pieType", "doughnut"))):
            dashboard = load(KEY_FIGURES)
            part, key, value = error
            dashboard["panels"][panel][part][key] = value
            try:
                found = known(dashboard)
            except ValueError as refused:
                found = [str(refused)]
            self.assertNotEqual(found, [], error)

    def test_panels_have_ids_of_their_own_and_do_not_overlap(self) -> None:
        uids = [load(file)["uid"] for file in self.files]
        self.assertEqual(len(set(uids)), len(uids))
        for file in self.files:
            panels = load(file)["panels"]
            self.assertEqual(len({panel["id"] for panel in panels}), len(panels), file)
            taken: set[tuple[int, int]] = set()
            for panel in panels:
                own = cells(panel["gridPos"])
                self.assertTrue(taken.isdisjoint(own), f"{file}: {panel['title']}")
                self.assertLessEqual(panel["gridPos"]["x"] + panel["gridPos"]["w"], 24, panel["title"])
                taken |= own

    def test_the_data_sources_are_provisioned(self) -> None:
        provisioned = "".join(file.read_text() for file in GRAFANA.glob("provisioning/datasources/*.yml"))
        by_hand = (GRAFANA / "snowflake" / "datasource.yml").read_text()
        for file, where in ((KEY_FIGURES, provisioned), (SNOWFLAKE, by_hand)):
            for panel in load(file)["panels"]:
                for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
                    self.assertRegex(where, rf"(?m)^    uid: {source['uid']}\n    type: {source['type']}$")

    def test_both_variants_are_what_the_cards_say(self) -> None:
        for variant in dashboards.VARIANTS:
            self.assertTrue(dashboards.is_written(variant), f"{variant.path}: run make dashboards")
        self.assertEqual(queries(KEY_FIGURES), queries(SNOWFLAKE))
        self.assertEqual(len(queries(KEY_FIGURES)), len(CARDS))

    def test_each_card_reads_its_view_and_the_documentation_lists_both(self) -> None:
        page = (ROOT / "docs" / "key-figures.md").read_text()
        rows = re.findall(r"^\| (.+?) \| `(\w+\.\w+)` \| (.+?) \|$", page, re.MULTILINE)
        self.assertEqual(rows, [(card.title, card.view, dashboards.drawn(card)[0]) for card in CARDS])
        for card in CARDS:
            self.assertEqual(re.findall(r"FROM (\S+)", card.query("'EUR'")), [card.view])
            # In Snowflake a reader's role has this schema, and none with landed rows.
            self.assertTrue(card.view.startswith("gold."), card.view)

    def test_the_image_has_the_packages_that_are_tested(self) -> None:
        packages = lambda file: {line for line in file.read_text().splitlines() if not line.startswith("#")}  # noqa: E731
        of_the_image = packages(ROOT / "warehouse" / "report" / "requirements.txt")
        self.assertGreater(len(of_the_image), 5)
        self.assertLessEqual(of_the_image, packages(ROOT / "testbed" / "snowflake" / "requirements.txt"))


if __name__ == "__main__":
    unittest.main()

"""python -m report COMMAND: what is made of the cards of the key figures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import dashboards, publish
from .figures import read
from .lake import connect, has_files, hold
from .page import page


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("page", help="draw a lake's key figures into one HTML page")
    command.add_argument("lake", help="a folder, or s3://bucket/prefix on the store of RIVERBANK_S3_*")
    command.add_argument("page", type=Path, help="the file to write")
    command.set_defaults(run=draw)
    publish.add_command(commands)
    dashboards.add_command(commands)
    arguments = parser.parse_args()
    return arguments.run(arguments)


def draw(arguments: argparse.Namespace) -> int:
    """Writes the page."""
    with connect(arguments.lake) as connection:
        if not has_files(connection):
            print(f"there is no file of a table in {arguments.lake}", file=sys.stderr)
            return 1
        hold(connection)
        figures = read(connection)
    arguments.page.write_text(page(figures, arguments.lake), encoding="utf-8")
    totals = figures.whole["totals"]
    transactions = totals.rows[0][totals.columns.index("Transactions")]
    print(f"{arguments.page}: {len(figures.by_currency)} currencies, {transactions:,} transactions")
    return 0


if __name__ == "__main__":
    sys.exit(main())

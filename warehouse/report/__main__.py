"""python -m report LAKE PAGE: draws the lake's key figures into a page."""

import sys
from pathlib import Path

from .figures import connect, has_files, read
from .page import page


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    lake, target = sys.argv[1:]
    with connect(lake) as connection:
        if not has_files(connection):
            print(f"there is no file of a table in {lake}", file=sys.stderr)
            return 1
        figures = read(connection)
    Path(target).write_text(page(figures, lake), encoding="utf-8")
    print(f"{target}: {len(figures.currencies)} currencies, {figures.totals['transactions']:,} transactions")
    return 0


if __name__ == "__main__":
    sys.exit(main())

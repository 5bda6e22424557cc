#!/usr/bin/env bash
# Draws the key figures of a lake into one HTML page: tools/report.sh LAKE PAGE. LAKE is a folder, or what DuckDB reads otherwise.
set -euo pipefail

[ $# = 2 ] && [ -n "$1" ] || { echo "usage: tools/report.sh LAKE PAGE   (make report LAKE=folder PAGE=key-figures.html)" >&2; exit 2; }
lake="$1"
[ ! -d "$lake" ] || lake="$(cd "$lake" && pwd)"
page="$(cd "$(dirname "$2")" && pwd)/$(basename "$2")"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for folder in "${RIVERBANK_CACHE:-$HOME/.cache/riverbank}"/opt/snowflake-*; do
  if cmp -s "$folder/requirements.txt" testbed/snowflake/requirements.txt; then
    cd warehouse
    exec "$folder/bin/python" -m report "$lake" "$page"
  fi
done
echo "the Python packages are missing: tools/install.sh snowflake" >&2
exit 1

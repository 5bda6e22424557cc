#!/usr/bin/env bash
# Runs a command of warehouse/report with the Python that has its packages: tools/report.sh page LAKE PAGE, publish LAKE, dashboards.
# LAKE is a folder, or s3://bucket/prefix on the store of RIVERBANK_S3_*.
set -euo pipefail

absolute() { (cd "$1" && pwd); }

# Its own folder is another one.
arguments=("$@")
if [ $# -ge 2 ] && [ -d "$2" ]; then arguments[1]="$(absolute "$2")"; fi
if [ "${1:-}" = page ] && [ $# = 3 ]; then
  # By itself, so that a folder which is not there ends it.
  folder="$(absolute "$(dirname "$3")")"
  arguments[2]="$folder/$(basename "$3")"
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for folder in "${RIVERBANK_CACHE:-$HOME/.cache/riverbank}"/opt/snowflake-*; do
  if cmp -s "$folder/requirements.txt" testbed/snowflake/requirements.txt; then
    cd warehouse
    exec "$folder/bin/python" -m report "${arguments[@]}"
  fi
done
echo "the Python packages are missing: tools/install.sh snowflake" >&2
exit 1

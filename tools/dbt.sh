#!/usr/bin/env bash
# dbt as a judge of the bank's tables (processors/tests/dbt): reads batches of changes from standard input, runs dbt after each, and writes the
# tables that it has made in the end.
set -euo pipefail

TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export RIVERBANK_CACHE="${RIVERBANK_CACHE:-$HOME/.cache/riverbank}"
ORACLE="$TOOLS/../processors/tests/dbt"

"$TOOLS/install.sh" dbt >&2
for folder in "$RIVERBANK_CACHE"/opt/dbt-*; do
  if cmp -s "$folder/requirements.txt" "$ORACLE/requirements.txt"; then
    exec "$folder/bin/python" "$ORACLE/run.py"
  fi
done
echo "dbt: not installed" >&2
exit 1

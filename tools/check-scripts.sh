#!/usr/bin/env bash
# Shell scripts parse, and shellcheck, where it is installed, has nothing to say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts=(.ci/run tools/*.sh)
for script in "${scripts[@]}"; do
  bash -n "$script"
  [ -x "$script" ] || { echo "scripts: $script is not executable"; exit 1; }
done
if command -v shellcheck >/dev/null; then
  shellcheck --external-sources "${scripts[@]}"
fi
echo "scripts: ${#scripts[@]} checked"

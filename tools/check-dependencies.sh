#!/usr/bin/env bash
# What other people's crates ask of whoever ships the program (deny.toml), and that each is used.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/versions.env
source tools/versions.env
TOOLS="${RIVERBANK_CACHE:-$HOME/.cache/riverbank}/opt/cargo-tools-$CARGO_DENY_VERSION-$CARGO_MACHETE_VERSION/bin"
[ -d "$TOOLS" ] || { echo "dependencies: run tools/install.sh lint first"; exit 1; }

# Advisories are left out: their database is another repository, and changes while this one does not.
"$TOOLS/cargo-deny" --log-level error check licenses bans sources
unused="$("$TOOLS/cargo-machete" 2>&1)" || { echo "$unused"; exit 1; }
echo "dependencies: none that nothing uses"

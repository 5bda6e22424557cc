#!/usr/bin/env bash
# Prometheus's configuration and rules are valid, and the rules do what their tests say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

promtool="${RIVERBANK_CACHE:-$HOME/.cache/riverbank}/opt/prometheus-debian/bin/promtool"
[ -x "$promtool" ] || promtool="$(command -v promtool)" || { echo "monitoring: no promtool; run tools/install.sh prometheus"; exit 1; }

"$promtool" check config monitoring/prometheus/prometheus.yml
"$promtool" check rules monitoring/prometheus/rules/*.yml
for tests in monitoring/prometheus/tests/*.yml; do
  "$promtool" test rules "$tests"
done

#!/usr/bin/env bash
# The oracle of the engine's operators: cases that Kafka Streams has answered (topology/tests/oracle/README.md).
#
#   tools/oracle.sh answer        reads cases from standard input and writes them with Kafka Streams' outputs and stores
#   tools/oracle.sh record        generates the recorded cases anew, has them answered, and writes topology/tests/oracle/cases
#   tools/oracle.sh seed N [OP]   has the case of a seed (and operator) answered, and compares the engine with it
set -euo pipefail

TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=tools/versions.env
source "$TOOLS/versions.env"
export RIVERBANK_CACHE="${RIVERBANK_CACHE:-$HOME/.cache/riverbank}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$RIVERBANK_CACHE/target}"
OPT="$RIVERBANK_CACHE/opt"

case "${1:-}" in
  answer)
    "$TOOLS/install.sh" oracle >&2
    exec "$OPT/java-$JAVA_WHEEL_VERSION/bin/java" -XX:+UseParallelGC --enable-native-access=ALL-UNNAMED \
      -cp "$OPT/kafka-streams-oracle/lib/*" riverbank.oracle.Main
    ;;
  record | seed)
    "$TOOLS/install.sh" build >&2
    cd "$TOOLS/.."
    exec cargo test --quiet --workspace --test oracle -- "$@"
    ;;
  *)
    sed -n '2,7p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac

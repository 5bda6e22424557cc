#!/usr/bin/env bash
# Dependencies between the crates point one way only, and the state store stays out of those that need none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0

# Every crate that a crate pulls in for its users (tests may use more).
tree() { cargo tree --offline --package "$1" --edges normal,build --prefix none --format '{p}' 2>/dev/null | cut -d' ' -f1 | sort -u; }

# without CRATE OTHER… : the crate must not depend on these, however indirectly.
without() {
  local crate="$1" other others
  shift
  others="$(tree "$crate")"
  [ -n "$others" ] || { echo "directions: cargo tree knows no $crate"; failed=1; return; }
  for other in "$@"; do
    if grep -qx "$other" <<<"$others"; then
      echo "directions: $crate must not depend on $other:"
      cargo tree --offline --package "$crate" --edges normal,build --invert "$other" 2>/dev/null | head -n 12
      failed=1
    fi
  done
}

cargo metadata --format-version 1 >/dev/null   # fetches what --offline needs below

without clock            wire schemas broker topology processors sinks system-of-record api connect testbed testkit simulator riverbank rocksdb rdkafka sqlx axum
without wire             schemas broker topology processors sinks system-of-record api connect testbed testkit simulator riverbank rocksdb rdkafka sqlx axum
without schemas          broker topology processors sinks system-of-record api connect testbed testkit simulator riverbank rocksdb rdkafka sqlx axum
without broker           schemas topology processors sinks system-of-record api connect testbed testkit simulator riverbank rocksdb sqlx axum
without topology         schemas processors sinks system-of-record api connect testbed testkit simulator riverbank sqlx axum
without processors       sinks system-of-record api connect testbed testkit simulator riverbank sqlx axum
without system-of-record topology processors sinks warehouse iceberg-tables api connect testbed testkit simulator riverbank axum
without simulator        topology processors sinks warehouse iceberg-tables api connect testbed testkit riverbank axum
without sinks            warehouse iceberg-tables topology processors system-of-record api connect testbed testkit simulator riverbank rocksdb sqlx axum
without iceberg-tables   warehouse topology processors system-of-record api connect testbed testkit simulator riverbank rocksdb axum
without warehouse        iceberg-tables topology processors system-of-record api connect testbed testkit simulator riverbank rocksdb sqlx
without api              sinks warehouse iceberg-tables connect testbed testkit simulator riverbank
without connect          wire schemas broker topology processors sinks system-of-record api testbed testkit simulator riverbank rocksdb rdkafka axum
without riverbank        testbed testkit

[ "$failed" = 0 ] && echo "directions: every dependency points the right way"
exit "$failed"

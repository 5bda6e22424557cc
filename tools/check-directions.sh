#!/usr/bin/env bash
# Dependencies between the rooms point one way only, and the state store stays out of those that need none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0

# Every crate that a room pulls in for its users (tests may use more).
tree() { cargo tree --offline --package "$1" --edges normal,build --prefix none --format '{p}' 2>/dev/null | cut -d' ' -f1 | sort -u; }

# without ROOM CRATE… : the room must not depend on these, however indirectly.
without() {
  local room="$1" crate crates
  shift
  crates="$(tree "$room")"
  [ -n "$crates" ] || { echo "directions: cargo tree knows no $room"; failed=1; return; }
  for crate in "$@"; do
    if grep -qx "$crate" <<<"$crates"; then
      echo "directions: $room must not depend on $crate:"
      cargo tree --offline --package "$room" --edges normal,build --invert "$crate" 2>/dev/null | head -n 12
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

#!/usr/bin/env bash
# The engine's crates compile with each of their features alone, and with none: in a workspace, others would ask for what they forget.
# Nothing is linked, so RocksDB, librdkafka and what those stand on are not compiled. It has a target folder of its own, with Rust alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${RIVERBANK_CACHE:-$HOME/.cache/riverbank}/features"
# Of RocksDB its bindings are generated, from the headers of the crate.
export ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR=/nowhere
host="$(rustc -vV | sed -n 's/^host: //p')"

check() {
  echo "features: $*"
  cargo check --quiet "$@" \
    --config "target.$host.rdkafka.rustc-link-lib=[]" --config "target.$host.zstd.rustc-link-lib=[]" \
    --config "target.$host.lz4.rustc-link-lib=[]" --config "target.$host.z.rustc-link-lib=[]"
}

export RUSTFLAGS="-D warnings"
for features in "" kafka rocksdb avro kafka,rocksdb,avro; do
  check --package topology --no-default-features --features "$features"
done
check --package wire --no-default-features
check --package broker --no-default-features

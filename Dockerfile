# syntax=docker/dockerfile:1.7
# The program alone in a small image. The caches of the first stage outlive a build: RocksDB, librdkafka and Arrow are
# compiled once, not at each change of a line.

FROM rust:1.95-bookworm AS build
# bindgen, for RocksDB, needs libclang; librdkafka needs OpenSSL's headers.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
    && apt-get update \
    && apt-get install -y --no-install-recommends cmake libclang-dev libssl-dev pkg-config zlib1g-dev
WORKDIR /src
COPY . .
# The target folder is a cache and stays out of the image, so the program is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/usr/local/cargo/git \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --workspace --bin riverbank \
    && install -D --strip target/release/riverbank /out/riverbank

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 libstdc++6 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 riverbank \
    && useradd --system --uid 10001 --gid riverbank --home-dir /var/lib/riverbank --shell /usr/sbin/nologin riverbank \
    && install -d -o riverbank -g riverbank /var/lib/riverbank /var/lib/riverbank/state /var/lib/riverbank/lake
COPY --from=build /out/riverbank /usr/local/bin/riverbank
USER 10001:10001
WORKDIR /var/lib/riverbank
VOLUME /var/lib/riverbank
# glibc's malloc keeps freed memory per arena, and librdkafka has many threads: with two arenas a sixth less is held.
ENV MALLOC_ARENA_MAX=2
# There is no authentication yet, so the service listens on the container's own loopback address. To reach it from outside,
# set RIVERBANK_HTTP_LISTEN=0.0.0.0:8080 and RIVERBANK_HTTP_INSECURE_NO_AUTH=true, and publish the port where you trust
# everybody who reaches it: --publish 127.0.0.1:8080:8080.
ENV RIVERBANK_HTTP_LISTEN=127.0.0.1:8080 \
    RIVERBANK_STATE_DIR=/var/lib/riverbank/state \
    RIVERBANK_SINK_URL=/var/lib/riverbank/lake \
    RIVERBANK_LOG_FORMAT=json
EXPOSE 8080
# SIGTERM commits, flushes and ends with exit code 0.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=6 CMD ["riverbank", "health"]
ENTRYPOINT ["riverbank"]
CMD ["run"]

# The image of one appliance: `docker build -t eider .`; docs/docker.md says how it is run.
#
# Both bases are arguments, so that the same file builds on bases made by debootstrap (`.ci/image`). They must be
# Debian of the same release: the binary uses the C and C++ libraries of the second one.
ARG BUILD_BASE=docker.io/library/rust:1.95-bookworm
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends ccache g++ pkg-config \
    # Installed together with the compiler, it may have looked for it too early.
    && update-ccache-symlinks \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock .askama.toml ./
COPY src src
COPY static static
# Compiling the database takes half an hour; the compiler's cache makes that a matter of minutes the next time. A base
# that sets CARGO_HOME, CARGO_TARGET_DIR or CCACHE_DIR brings its own folders.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/var/cache/ccache \
    export PATH="/usr/lib/ccache:$PATH" CCACHE_DIR="${CCACHE_DIR:-/var/cache/ccache}" \
    && export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-/build/target}" CCACHE_STATSLOG=/tmp/ccache.log \
    && cargo build --profile dist --locked --bin eider \
    && ccache --show-log-stats \
    && cp "$CARGO_TARGET_DIR/dist/eider" /eider \
    && rm -rf "$CARGO_TARGET_DIR"

FROM ${BASE}
# Certificates: calls to platforms are checked against the system's. Time zones are in the binary.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && mkdir --mode=0700 /data \
    && chown 10001:10001 /data
COPY --from=build /eider /usr/local/bin/eider
LABEL org.opencontainers.image.title="Eider" \
      org.opencontainers.image.description="Self-hosted order hub: marketplace orders into BigCommerce, tracking both ways" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number instead of a name: orchestrators can then tell that it is not root.
USER 10001:10001
# `serve` keeps its data in /data/eider, `demo` in /data/eider-demo; /data/appliance.toml is read where it exists.
ENV XDG_DATA_HOME=/data \
    EIDER__SERVER__LISTEN=0.0.0.0:8080
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["eider", "healthcheck"]
ENTRYPOINT ["eider"]
CMD ["serve"]

# One static binary in an empty image: no shell, no package manager, no user but a number.
#
#   docker build -t oidc-issuer .
#
# The binary is linked statically against glibc, not musl: musl's allocator costs a server on many cores
# dearly, and glibc resolves names inside an empty root without help (files and DNS are built in since 2.34).

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
ENV RUSTFLAGS="-C target-feature=+crt-static"

# The memory allocator is built with make: the base image has it, a slimmer one gets it here (any version will do).
# hadolint ignore=DL3008
RUN command -v make >/dev/null \
 || { apt-get -o APT::Sandbox::User=root update \
 && apt-get -o APT::Sandbox::User=root install -y --no-install-recommends make \
 && rm -rf /var/lib/apt/lists/*; }

# The dependencies, under empty crates: this layer is built again only when they change.
# `--target` keeps RUSTFLAGS away from build scripts and macros, which cannot be static.
COPY Cargo.toml Cargo.lock build.rs ./
COPY crates/core/Cargo.toml crates/core/
COPY build build
# Settings of the build: how AWS-LC is seeded.
COPY .cargo .cargo
RUN mkdir -p src tests/suite crates/core/src \
 && touch src/lib.rs tests/suite/main.rs crates/core/src/lib.rs \
 && echo 'fn main() {}' > src/main.rs \
 && cargo build --release --locked --target "$(rustc --print host-tuple)"

COPY crates crates
COPY src src
ARG REVISION=unknown
ENV BUILD_COMMIT="${REVISION}"
# `touch`: a checkout may be older than the layer above, and cargo goes by the time.
RUN touch crates/core/src/lib.rs src/lib.rs src/main.rs \
 && cargo build --release --locked --target "$(rustc --print host-tuple)" \
 && install -D -m 755 "target/$(rustc --print host-tuple)/release/oidc-issuer" /image/oidc-issuer \
 && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && echo 'oidc-issuer:x:65532:65532::/var/lib/oidc-issuer:/nonexistent' > /image/etc/passwd \
 && echo 'oidc-issuer:x:65532:' > /image/etc/group \
 && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
 && install -d /image/var/lib && install -d -m 700 /state/oidc-issuer

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="oidc-issuer" \
      org.opencontainers.image.description="Publishes a Kubernetes cluster's service-account keys as an OIDC issuer" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.documentation="README.md" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="scratch"

COPY --from=build /image/ /
# The only place that is written to: with a read-only root filesystem, mount a volume here.
COPY --from=build --chown=65532:65532 /state/ /var/lib/
VOLUME ["/var/lib/oidc-issuer"]

# Probes and Prometheus come from outside the container; a variable, so that `health` asks the same address
# whatever the configuration file says. The state folder is a default: the file may name another.
ENV OIDC_ISSUER_ADMIN="[::]:9180" \
    STATE_DIRECTORY="/var/lib/oidc-issuer"
USER 65532:65532
EXPOSE 8443/tcp 9180/tcp
STOPSIGNAL SIGTERM
# `health` gives up after 3 s and says why: the runtime waits longer, or nobody would read it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/oidc-issuer", "health"]
ENTRYPOINT ["/oidc-issuer"]
CMD ["serve"]

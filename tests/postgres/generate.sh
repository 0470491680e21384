#!/bin/sh
# Makes the generated files: .sqlx/ (what each query needs and returns, asked of a real database with the migrations
# applied) and openapi/openapi.json (asked of the program).
#
#   generate.sh           writes them
#   generate.sh --check   compares them with what is there, and changes nothing
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/postgres/find.sh
. tests/postgres/find.sh
sh tests/postgres/install.sh
find_postgres

work=$(mktemp -d)
trap 'exec 9>&-; wait; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

stale() {
    printf '\n%s is not what the code says: run "make generate" and commit the result.\n' "$1" >&2
    exit 1
}

# A database that ends with us: descriptor 9 is the pipe it watches.
mkfifo "$work/stdin" "$work/url"
sh tests/postgres/run.sh --fast <"$work/stdin" >"$work/url" &
exec 9>"$work/stdin"
read -r url <"$work/url"
# By psql: the program does not compile before its queries are known, so it cannot migrate.
for migration in migrations/*.sql; do
    LD_LIBRARY_PATH="$libraries" "$bindir/psql" -X -q -v ON_ERROR_STOP=1 --single-transaction -f "$migration" "$url" 9>&-
done

mkdir "$work/sqlx"
# Compiled anew even when nothing changed; put back, so that nothing else is.
touch -r src/lib.rs "$work/time"
touch src/lib.rs
if DATABASE_URL=$url SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$work/sqlx \
    cargo check --quiet --locked --workspace --all-targets 9>&-; then checked=yes; else checked=no; fi
touch -r "$work/time" src/lib.rs
[ "$checked" = yes ]
if [ "${1:-}" = --check ]; then
    diff -r "$work/sqlx" .sqlx || stale .sqlx
else
    mkdir -p .sqlx
    rm -f .sqlx/query-*.json
    cp "$work"/sqlx/query-*.json .sqlx/
fi

# What `make dev` and the tests build, too.
cargo build --quiet --locked --bin passphrase-broker --example dev 9>&-
"${CARGO_TARGET_DIR:-target}/debug/passphrase-broker" openapi >"$work/openapi.json"
if [ "${1:-}" = --check ]; then
    diff -u openapi/openapi.json "$work/openapi.json" || stale openapi/openapi.json
else
    mkdir -p openapi
    cp "$work/openapi.json" openapi/openapi.json
fi

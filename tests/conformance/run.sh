#!/bin/sh
# Runs Microsoft's own clients against azsim, certificates and challenges checked, through its CONNECT proxy; and the
# verifiers of other ecosystems against the audit log's checkpoints, proofs and events (log).
#
# usage: run.sh [rust|python|javascript|management|cli|remedies|official|log]...   (all when none is named)
# Installs them at the pinned versions into $CONFORMANCE_CACHE (target/conformance), once for each version.
# Every part prints its closing count; the last line here is their sum.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"
cache=${CONFORMANCE_CACHE:-$root/target/conformance}
work=$(mktemp -d)
passed=0 failed=0 azsim=
stop() { if [ -n "$azsim" ]; then kill "$azsim" && wait "$azsim" || true; azsim=; fi; }
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# A virtual environment with exactly what a requirements file names. Prints its path.
python_with() {
    venv=$cache/$1-$(sha256sum "$2" | cut -c1-16)
    if [ ! -e "$venv/complete" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --no-deps --requirement "$2" >&2
        "$venv/bin/pip" check >&2
        touch "$venv/complete"
    fi
    printf '%s\n' "$venv"
}

# A fresh azsim for every part.
start() {
    stop
    rm -rf "$work/azsim"
    "$work/program" --world "$here/world.json" --directory "$work/azsim" >"$work/azsim.log" &
    azsim=$!
    for _ in $(seq 100); do
        if grep -q KEY_VAULT_URI "$work/azsim.log"; then break; fi
        sleep 0.1
    done
    if [ ! -e "$work/azsim/env" ]; then echo 'azsim did not start' >&2; exit 1; fi
}

# Runs a command as azsim's client. In a subshell: installing must not go through azsim's proxy.
client() (
    set -a
    . "$work/azsim/env"
    HTTPS_PROXY=$AZSIM_PROXY NO_PROXY=127.0.0.1,localhost PYTHONDONTWRITEBYTECODE=1
    REQUESTS_CA_BUNDLE=$AZSIM_CA_FILE SSL_CERT_FILE=$AZSIM_CA_FILE NODE_EXTRA_CA_CERTS=$AZSIM_CA_FILE
    exec "$@"
)

# The last "N passed" and "M failed" that a part prints are its count; one that prints none, or ends badly, failed.
part() {
    name=$1
    shift
    printf '\n== %s\n' "$name"
    status=0
    "$@" >"$work/output" 2>&1 || status=$?
    cat "$work/output"
    of() { grep -oE "[0-9]+ $1" "$work/output" | tail -n 1 | cut -d' ' -f1; }
    ok=$(of passed) bad=$(of failed)
    if [ "$status" -ne 0 ] && [ "${bad:-0}" -eq 0 ] || [ "${ok:-0}" -eq 0 ]; then bad=$((${bad:-0} + 1)); fi
    passed=$((passed + ${ok:-0})) failed=$((failed + ${bad:-0}))
}

rust() {
    part 'Rust: azure_security_keyvault_secrets, azure_identity' \
        cargo test --locked --package azsim --test suite official_client
}

python() {
    venv=$(python_with python "$here/python/requirements.txt")
    start
    part 'Python: azure-keyvault-secrets, azure-identity' client "$venv/bin/python" "$here/python/secrets_client.py"
}

# What a package-lock names, and the program of that folder beside it. Prints where.
modules_with() {
    modules=$cache/$1-$(sha256sum "$here/$1/package-lock.json" | cut -c1-16)
    if [ ! -e "$modules/complete" ]; then
        mkdir -p "$modules"
        cp "$here/$1/package.json" "$here/$1/package-lock.json" "$modules"
        (cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund >&2)
        touch "$modules/complete"
    fi
    cp "$here/$1"/*.mjs "$modules"
    printf '%s\n' "$modules"
}

javascript() {
    modules=$(modules_with javascript)
    start
    part 'JavaScript: @azure/keyvault-secrets, @azure/identity' client node "$modules/secrets_client.mjs"
}

official() {
    venv=$(python_with python "$here/python/requirements.txt")
    start
    part "Python: the suite in azure-keyvault-secrets' source distribution, live" \
        client sh "$here/official/run.sh" "$venv" "$cache"
}

management() {
    venv=$(python_with python "$here/python/requirements.txt")
    start
    part 'Python: azure-mgmt-keyvault, -authorization, -recoveryservices' \
        client "$venv/bin/python" "$here/python/management_clients.py"
}

cli() {
    venv=$(python_with cli "$here/cli/requirements.txt")
    start
    part 'Azure CLI' client "$venv/bin/python" "$here/cli/commands.py" "$venv/bin/az"
}

# With an azsim of its own, that of `make dev`.
remedies() {
    venv=$(python_with cli "$here/cli/requirements.txt")
    stop
    part "Azure CLI: what preflight says to run" "$venv/bin/python" "$here/cli/remedies.py" "$venv/bin/az"
}

# Go's own modules as Debian packages them: GOPATH is where that puts them, and nothing is fetched.
log() {
    venv=$(python_with log "$here/log/requirements.txt")
    modules=$(modules_with log)
    if ! command -v go >/dev/null || [ ! -d /usr/share/gocode/src/golang.org/x/mod ]; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            golang-go golang-golang-x-mod-dev >&2
    fi
    stop
    samples=$work/samples.json
    part 'Rust: a log of 10,000 random events' env LOG_SAMPLES="$samples" \
        cargo test --locked --test api log_samples
    part 'Go: golang.org/x/mod/sumdb/note and tlog' env GO111MODULE=off GOFLAGS= GOPATH=/usr/share/gocode \
        GOCACHE="$cache/go" go run "$here/log/verify.go" "$samples"
    part 'Python: sigstore, rfc8785' "$venv/bin/python" -B "$here/log/verify.py" "$samples"
    part 'JavaScript: @sigstore/verify, canonicalize' node "$modules/verify.mjs" "$samples"
}

cargo build --locked --package azsim
# A copy: another build may replace it while this runs.
cp "${CARGO_TARGET_DIR:-target}/debug/azsim" "$work/program"
mkdir -p "$cache"
[ $# -gt 0 ] || set -- rust python javascript management cli remedies official log
for name in "$@"; do "$name"; done
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

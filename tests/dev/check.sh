#!/bin/sh
# The promises of `make dev`, tried: what it writes works, a broker that dies comes back, and nothing is left running
# however it ends.
# shellcheck disable=SC2016,SC2153,SC2154 # `eval` expands the quoted ones; the variables come from the file of `make dev`
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
chmod 755 "$work"
# PostgreSQL's directory is made here: what is left behind is seen. Not in .dev: somebody may be using it.
TMPDIR=$work/tmp DEV_DIRECTORY=$work/dev
export TMPDIR DEV_DIRECTORY
mkdir "$TMPDIR" && chmod 1777 "$TMPDIR"
passed=0 failed=0
make='' beside=''
trap 'for group in $make $beside; do kill -KILL "-$group"; done 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# start: `make dev` in a process group of its own, with every process below it in $all
start() {
    rm -f "$DEV_DIRECTORY/env"
    # A shell without job control lets background jobs ignore Ctrl-C.
    setsid env --default-signal=INT,QUIT make dev >"$work/output" 2>&1 &
    make=$!
    within 300 test -f "$DEV_DIRECTORY/env" || { cat "$work/output" >&2; return 1; }
    # shellcheck source=/dev/null
    . "$DEV_DIRECTORY/env"
    broker=$(cat "$BROKER_PID_FILE")
    example=$(parent "$broker")
    all=$(descendants "$make")
    postmaster=$(head -n 1 "$TMPDIR"/*/data/postmaster.pid)
}

parent() { sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status"; }

descendants() {
    echo "$1"
    for child in $(cat "/proc/$1/task"/*/children 2>/dev/null); do descendants "$child"; done
}

# within SECONDS COMMAND...
within() {
    left=$(($1 * 20))
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.05
    done
}

# shellcheck disable=SC2086 # a list of numbers
gone() {
    for process in $all; do
        # a zombie has no command line
        [ -z "$(tr -d '\0' 2>/dev/null <"/proc/$process/cmdline")" ] || return 1
    done 2>/dev/null
    [ -z "$(ls -A "$TMPDIR")" ] && ! curl -s -o "$work/answer" "$BROKER_URL/livez"
}

# so DESCRIPTION COMMAND...
so() {
    description=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "not so: $description" >&2
        failed=$((failed + 1))
    fi
}

# ends_after DESCRIPTION COMMAND...
ends_after() {
    description=$1
    shift
    so "it starts, before $description" start
    "$@"
    so "everything is gone after $description; left: $(ls -A "$TMPDIR")" within 15 gone
    wait "$make" 2>/dev/null
}

tidied() { [ "$(ls "$DEV_DIRECTORY")" = 'broker.log
lock' ]; }

# answers CODE CURL-ARGUMENT...
answers() {
    code=$1
    shift
    [ "$(curl -s -o "$work/answer" -w '%{http_code}' "$@")" = "$code" ]
}

every_variable_is_set() {
    for name in BROKER_URL BROKER_PID_FILE DATABASE_URL DATABASE_SUPERUSER_URL KEY_VAULT_URI KEY_VAULT_ID \
        RECOVERY_SERVICES_VAULT_ID SAMPLE_MACHINE_ID AZSIM_CA_FILE AZSIM_PROXY AZSIM_CONTROL_URL IDENTITY_ENDPOINT \
        IDENTITY_HEADER AZSIM_ARC_ENDPOINT AZSIM_ARC_KEY_DIRECTORY \
        OIDC_ISSUER ENTRA_AUDIENCE ENTRA_TENANT_ID AZ_IDENTITY_ENDPOINT AZ_IDENTITY_HEADER AZ_CONFIG_DIR \
        RSV_NO_IDENTITY_ID RSV_USER_ASSIGNED_ID RSV_NO_PERMISSION_ID RSV_BOTH_IDENTITIES_ID KEY_VAULT_SOFT_DELETED_URI \
        KEY_VAULT_NO_PURGE_PROTECTION_URI KEY_VAULT_ACCESS_POLICY_URI KEY_VAULT_FIREWALLED_URI SAMPLE_FQDN \
        SOFT_DELETED_FQDN OLD_AGENT_FQDN INCOMPLETE_FQDN \
        AUDIT_PUBLIC_KEY_FILE TOKEN_PORTAL TOKEN_HELPDESK TOKEN_AUDITOR TOKEN_AGENT TOKEN_NOBODY; do
        eval "[ -n \"\${$name:-}\" ]" || { echo "$name is not set" >&2; return 1; }
    done
    [ "$(stat -c %a "$DEV_DIRECTORY/env")" = 600 ]
}

every_token_is_accepted() {
    for token in "$TOKEN_PORTAL" "$TOKEN_HELPDESK" "$TOKEN_AUDITOR" "$TOKEN_AGENT" "$TOKEN_NOBODY"; do
        answers 200 -H "Authorization: Bearer $token" "$BROKER_URL/v1/me" || return 1
    done
}

# azure CODE RESOURCE URL: what Azure answers to the identity at $endpoint
azure() {
    token=$(curl -s "$endpoint?api-version=2019-08-01&resource=$2" -H "X-IDENTITY-HEADER: $IDENTITY_HEADER" |
        sed 's/.*"access_token":"\([^"]*\).*/\1/')
    answers "$1" --proxy "$AZSIM_PROXY" --cacert "$AZSIM_CA_FILE" -H "Authorization: Bearer $token" "$3"
}

key_vault_is_reached() {
    endpoint=$IDENTITY_ENDPOINT
    azure 200 https://vault.azure.net "${KEY_VAULT_URI}secrets?api-version=2025-07-01" &&
        grep -q AzBackup-srv-web01 "$work/answer"
}

# arm CODE PATH
arm() { azure "$1" https://management.azure.com "https://management.azure.com$2"; }

every_sample_is_there() {
    endpoint=$IDENTITY_ENDPOINT
    for id in "$RECOVERY_SERVICES_VAULT_ID" "$RSV_NO_IDENTITY_ID" "$RSV_USER_ASSIGNED_ID" "$RSV_NO_PERMISSION_ID" \
        "$RSV_BOTH_IDENTITIES_ID"; do
        arm 200 "$id?api-version=2026-05-01" || return 1
    done
    arm 200 "$RECOVERY_SERVICES_VAULT_ID/backupProtectionContainers?api-version=2025-02-01" &&
        grep -q "$SAMPLE_FQDN" "$work/answer" && grep -q "$OLD_AGENT_FQDN" "$work/answer" &&
        grep -q "$INCOMPLETE_FQDN" "$work/answer" && grep -q "$SOFT_DELETED_FQDN" "$work/answer" &&
        arm 200 "${KEY_VAULT_ID%/resourceGroups/*}/providers/Microsoft.KeyVault/deletedVaults?api-version=2026-02-01" &&
        grep -q "$(echo "$KEY_VAULT_SOFT_DELETED_URI" | cut -d/ -f3 | cut -d. -f1)" "$work/answer" &&
        azure 403 https://vault.azure.net "${KEY_VAULT_FIREWALLED_URI}secrets?api-version=2025-07-01" &&
        grep -q ForbiddenByFirewall "$work/answer" &&
        azure 200 https://vault.azure.net "${KEY_VAULT_ACCESS_POLICY_URI}secrets?api-version=2025-07-01" &&
        azure 200 https://vault.azure.net "${KEY_VAULT_NO_PURGE_PROTECTION_URI}secrets?api-version=2025-07-01" &&
        azure 200 https://vault.azure.net "${KEY_VAULT_URI}deletedsecrets?api-version=2025-07-01" &&
        grep -q "AzBackup-$(echo "$SOFT_DELETED_FQDN" | tr . -)-rsv-prod" "$work/answer"
}

# The broker reads, and changes nothing; the identity that az gets may.
administrator_administers() {
    group=${KEY_VAULT_ID%/providers/*}
    endpoint=$IDENTITY_ENDPOINT && arm 403 "$group?api-version=2024-11-01" &&
        endpoint=$AZ_IDENTITY_ENDPOINT && arm 200 "$group?api-version=2024-11-01"
}

# What is printed to be pasted does what it says: the status of each call is noted.
pasted_lines_work() (
    curl() { command curl "$@" -w '%{stderr}%{http_code}\n'; }
    sed -n '/^# Who am I/,$p' "$work/output" >"$work/paste"
    # shellcheck source=/dev/null
    . "$work/paste" >"$work/answer" 2>"$work/codes"
    [ "$(tr '\n' ' ' <"$work/codes")" = '200 200 200 201 201 200 201 200 200 200 200 200 ' ] || { cat "$work/codes" >&2; return 1; }
)

# With a checkpoint that is younger than the walk's, by the program alone.
log_verifies() {
    curl -s -o "$work/checkpoint" -H "Authorization: Bearer $TOKEN_AUDITOR" "$BROKER_URL/v1/audit/checkpoint" &&
        "${CARGO_TARGET_DIR:-target}/debug/passphrase-broker" audit verify --database-url "$DATABASE_URL" \
            --checkpoint "$work/checkpoint" --public-key "$AUDIT_PUBLIC_KEY_FILE" >"$work/answer" &&
        grep -q 'completeness  ok' "$work/answer"
}

# Started while the broker of the first is dead and nobody starts it again: its port is free.
another_takes_another_port() {
    kill -STOP "$example" && kill -KILL "$broker"
    DEV_DIRECTORY=$work/beside setsid env --default-signal=INT,QUIT make dev >"$work/second" 2>&1 &
    beside=$!
    within 300 test -f "$work/beside/env" || cat "$work/second" >&2
    kill -CONT "$example"
    other=$(sed -n 's/^export BROKER_URL=//p' "$work/beside/env")
    within 2 came_back && every_token_is_accepted && [ "$other" != "$BROKER_URL" ]
}

came_back() { new=$(cat "$BROKER_PID_FILE") && [ "$new" != "$broker" ] && answers 200 "$BROKER_URL/readyz"; }

so "DEV_ONCE=1 walks and ends well" eval 'DEV_ONCE=1 make dev >"$work/output" 2>&1'
so "the README's walk is the one that it prints" sh tests/dev/readme.sh --check "$work/output"
so "nothing is left after DEV_ONCE=1" eval 'tidied && [ -z "$(ls -A "$TMPDIR")" ]'

so "it starts" start
so "every variable is set, for the owner's eyes only" every_variable_is_set
so "every token is accepted" every_token_is_accepted
so "Key Vault is reached through the proxy" key_vault_is_reached
so "every sample is there, for the broker to read" every_sample_is_there
so "az is an administrator" administrator_administers
so "the lines to paste work" pasted_lines_work
so "the log verifies against a checkpoint" log_verifies
so "a second one says that one runs" eval '! make dev >"$work/second" 2>&1 && grep -q "already runs here, as process $example;" "$work/second"'
for _ in 1 2; do
    began=$(date +%s%N)
    kill -KILL "$broker"
    so "a broker that was killed is back on the same port within 2 seconds" within 2 came_back
    echo "the broker was back after $((($(date +%s%N) - began) / 1000000)) ms"
    broker=$new
done
so "another one takes another port, whatever this one's broker does" another_takes_another_port
kill -INT "-$beside"
wait "$beside"
all=$(descendants "$make")
# The whole process group, as the terminal does it.
kill -INT "-$make"
so "everything is gone after Ctrl-C" within 15 gone
wait "$make"
so "a clean end removes what would mislead" tidied

ends_after "SIGTERM to make" eval 'kill -TERM "$make"'
so "so does SIGTERM" tidied
ends_after "SIGTERM to the example" eval 'kill -TERM "$example"'
ends_after "SIGHUP to the process group" eval 'kill -HUP "-$make"'
ends_after "SIGKILL to make" eval 'kill -KILL "$make"'
so "so does SIGKILL to make" tidied
ends_after "SIGKILL to the example" eval 'kill -KILL "$example"'
ends_after "SIGKILL to the process group" eval 'kill -KILL "-$make"'
ends_after "the end of PostgreSQL" eval 'kill -KILL "$postmaster"'
so "the end of PostgreSQL is told" grep -q '^make dev: PostgreSQL ended' "$work/output"

echo "tests/dev: $passed passed, $failed failed"
[ "$failed" = 0 ]

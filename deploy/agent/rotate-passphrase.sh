#!/bin/sh
# Rotates the passphrase of this machine's backups: asks passphrase-broker what to do, hands the new passphrase to
# MARS_COMMAND, and confirms. Run it from cron or a systemd timer; one run does one thing, often nothing.
#
#   rotate-passphrase.sh          does what the broker says is to do now, and finishes what an earlier run began
#   rotate-passphrase.sh --now    rotates, also when nothing is due
#
# Settings are environment variables:
#   BROKER_URL            https://...
#   BROKER_RESOURCE       what the token is for: api://<client id of the broker's app registration>
#   MARS_COMMAND          run by sh; reads the passphrase as one line from its standard input and applies it. Status 0:
#                         applied; other: not applied; 128 and more: nobody knows. What it prints is searched for
#                         MARS_ERROR_CODE=... and, with writer "agent", for https://.../secrets/...
#                         It sees ROTATION_WRITER and KEY_VAULT_URI, and whatever the caller exports (a security PIN).
#   ROTATION_WRITER       broker (default) or agent: who saves the passphrase in Key Vault, for rotations begun here
#   STATE_DIRECTORY       /var/lib/passphrase-rotation; holds ids and the step, never the passphrase
#   TOKEN_SOURCE          arc (Azure Arc) or imds (Azure VM); default: arc where its agent is installed
#   ARC_ENDPOINT          http://localhost:40342/metadata/identity/oauth2/token
#   ARC_KEY_DIRECTORY     /var/opt/azcmagent/tokens
#   IMDS_URL              http://169.254.169.254
#   AGENT_VERSION         told to the broker with the confirmation
#   RETRY_FOR_SECONDS     300: how long one step is repeated before the next run has to go on
#   RETRY_DELAY_SECONDS   5: between two tries; 1 at least
#
# Exit status: 0 done, or nothing to do; 2 a setting is wrong; 3 no token; 4 the broker knows no machine of this
# identity, or refuses it; 5 the broker refuses the rotation; 6 MARS and the broker disagree; 7 MARS did not apply it;
# 75 not finished, the next run goes on. README.md beside this file says what to do.

# A trace would show the passphrase.
set +x +v +a
set -eu
# Whatever the caller exported under these names must not be exported with our values.
unset passphrase body answer token key
umask 077
# shellcheck disable=SC3045 # where there is none there is nothing to switch off
ulimit -c 0 2>/dev/null || :
LC_ALL=C
export LC_ALL
newline='
'

say() { printf 'rotate-passphrase: %s\n' "$1" >&2; }

# end STATUS MESSAGE
end() {
    say "$2"
    exit "$1"
}

settings() {
    # One that is not built in would be given the passphrase as an argument, for everybody to see.
    [ "$(command -v printf)" = printf ] || end 2 'this shell has no printf of its own; use dash, bash or busybox sh'
    for tool in curl awk sed; do
        command -v "$tool" >/dev/null || end 2 "$tool is not installed"
    done
    [ -n "${BROKER_URL:-}" ] || end 2 'BROKER_URL is not set'
    [ -n "${BROKER_RESOURCE:-}" ] || end 2 'BROKER_RESOURCE is not set'
    [ -n "${MARS_COMMAND:-}" ] || end 2 'MARS_COMMAND is not set'
    BROKER_URL=${BROKER_URL%/}
    case $BROKER_URL in
    *[!A-Za-z0-9.:/_~%\[\]-]*) end 2 'BROKER_URL is no plain URL' ;;
    https://*) ;;
    *) is_loopback "$BROKER_URL" || end 2 'BROKER_URL does not begin with https://' ;;
    esac
    case $BROKER_RESOURCE in *[!A-Za-z0-9.:/_-]*) end 2 'BROKER_RESOURCE has strange characters' ;; esac
    ROTATION_WRITER=${ROTATION_WRITER:-broker}
    case $ROTATION_WRITER in broker | agent) ;; *) end 2 'ROTATION_WRITER is broker or agent' ;; esac
    STATE_DIRECTORY=${STATE_DIRECTORY:-/var/lib/passphrase-rotation}
    if [ -z "${TOKEN_SOURCE:-}" ]; then
        if [ -n "${ARC_ENDPOINT:-}" ] || [ -d /var/opt/azcmagent ]; then TOKEN_SOURCE=arc; else TOKEN_SOURCE=imds; fi
    fi
    case $TOKEN_SOURCE in arc | imds) ;; *) end 2 'TOKEN_SOURCE is arc or imds' ;; esac
    ARC_ENDPOINT=${ARC_ENDPOINT:-http://localhost:40342/metadata/identity/oauth2/token}
    # What a key file holds is sent there.
    is_loopback "$ARC_ENDPOINT" || end 2 'ARC_ENDPOINT is not on this machine'
    ARC_KEY_DIRECTORY=${ARC_KEY_DIRECTORY:-/var/opt/azcmagent/tokens}
    ARC_KEY_DIRECTORY=${ARC_KEY_DIRECTORY%/}
    IMDS_URL=${IMDS_URL:-http://169.254.169.254}
    case ${AGENT_VERSION:-} in *[!0-9.]*) end 2 'AGENT_VERSION is numbers with dots' ;; esac
    RETRY_FOR_SECONDS=${RETRY_FOR_SECONDS:-300}
    RETRY_DELAY_SECONDS=${RETRY_DELAY_SECONDS:-5}
    case $RETRY_FOR_SECONDS$RETRY_DELAY_SECONDS in *[!0-9]*) end 2 'RETRY_..._SECONDS are numbers' ;; esac
    [ "$RETRY_DELAY_SECONDS" -ge 1 ] || end 2 'RETRY_DELAY_SECONDS is 1 at least'
}

# is_loopback URL
is_loopback() {
    host=${1#http://}
    [ "$host" != "$1" ] || return 1
    host=${host%%/*}
    case $host in
    localhost | 127.0.0.1) ;;
    localhost:* | 127.0.0.1:*) case ${host#*:} in '' | *[!0-9]*) return 1 ;; esac ;;
    *) return 1 ;;
    esac
}

# json PATH: the text or number at a path such as items.0.task, of the document on standard input.
json() {
    awk -v want="$1" '
    function bad() { failed = 1; exit 1 }
    function blanks() { while (at <= size && index(" \t\r\n", substr(text, at, 1))) at++ }
    function string(  out, c) {
        out = ""; odd = 0
        for (at++; at <= size; at++) {
            c = substr(text, at, 1)
            if (c == "\"") { at++; return out }
            if (c == "\\") {
                c = substr(text, ++at, 1)
                if (c == "u" || c == "n" || c == "r" || c == "t" || c == "b" || c == "f") {
                    # Not in anything that is asked for here; elsewhere it does not matter.
                    odd = 1; c = "?"
                }
            }
            out = out c
        }
        bad()
    }
    function inside(path, name) { return path == "" ? name : path "." name }
    function value(path,  c, name, number, word) {
        blanks(); c = substr(text, at, 1)
        if (c == "{" || c == "[") {
            number = 0; at++; blanks()
            if (index("}]", substr(text, at, 1))) { at++; return }
            while (1) {
                blanks(); name = number++
                if (c == "{") {
                    name = string(); blanks()
                    if (substr(text, at++, 1) != ":") bad()
                }
                value(inside(path, name)); blanks()
                word = substr(text, at++, 1)
                if (word == "}" || word == "]") return
                if (word != ",") bad()
            }
        }
        if (c == "\"") {
            word = string()
            if (path == want && odd) bad()
        } else {
            word = ""
            while (at <= size && !index(",]} \t\r\n", substr(text, at, 1))) word = word substr(text, at++, 1)
            if (word == "") bad()
        }
        if (path == want && word != "null") { printf "%s", word; found = 1 }
    }
    { text = text $0 "\n" }
    END { if (failed) exit 1; size = length(text); at = 1; value(""); exit !found }'
}

# member PATH: of the last answer; nothing when it is not there.
member() { printf '%s' "$body" | json "$1" || :; }

is_id() {
    case $1 in '' | *[!0-9a-f-]*) return 1 ;; esac
    [ "${#1}" = 36 ]
}

# --- What is kept between two runs. When all of it is lost the broker still says what is to do.

load() {
    machine='' rotation='' step='' writer='' secret='' code='' status_of_mars=''
    [ -f "$state" ] || return 0
    while IFS='=' read -r name text; do
        case $name in
        machine) machine=$text ;;
        rotation) rotation=$text ;;
        step) step=$text ;;
        writer) writer=$text ;;
        secret) secret=$text ;;
        code) code=$text ;;
        status) status_of_mars=$text ;;
        esac
    done <"$state"
    case $step in collected | applied | unsaved | refused) ;; *) step= ;; esac
    case $secret in *[!A-Za-z0-9.:/-]*) secret= ;; esac
    case $code in *[!A-Za-z0-9]*) code= ;; esac
    case $status_of_mars in *[!0-9]*) status_of_mars= ;; esac
    if [ -z "$step" ] || ! is_id "$machine" || ! is_id "$rotation"; then
        say "$state is not readable; asking the broker instead"
        step=
    fi
}

# save STEP: the file is there as it was or as it will be, never half of it.
save() {
    step=$1
    printf 'machine=%s\nrotation=%s\nstep=%s\nwriter=%s\nsecret=%s\ncode=%s\nstatus=%s\n' \
        "$machine" "$rotation" "$step" "$writer" "$secret" "$code" "$status_of_mars" >"$state.new"
    mv -f "$state.new" "$state"
}

forget() { rm -f "$state"; }

# --- Tokens

get_token() {
    for try in 1 2 3; do
        if [ "$TOKEN_SOURCE" = arc ]; then ask_arc; else ask_imds; fi
        case $token in
        *.*.*) case $token in *[!A-Za-z0-9._-]*) ;; *) return 0 ;; esac ;;
        esac
        [ "$try" = 3 ] || sleep "$RETRY_DELAY_SECONDS"
    done
    end 3 "no token from $TOKEN_SOURCE for $BROKER_RESOURCE"
}

# local_curl ARGUMENT...: on this machine, past any proxy; more settings from standard input.
local_curl() {
    curl -q -sS --config - --noproxy '*' --proto =http --max-time 20 --max-filesize 65536 --get \
        -H 'Metadata: true' --data-urlencode "resource=$BROKER_RESOURCE" "$@"
}

# The Azure Arc agent gives a token to whoever can read the file that it names.
ask_arc() {
    token=
    version='api-version=2020-06-01'
    challenge=$(local_curl -D - -o /dev/null -d "$version" "$ARC_ENDPOINT" </dev/null) || return 0
    file=$(printf '%s\n' "$challenge" | tr -d '\r"' | awk '
        tolower($0) ~ /^www-authenticate: *basic realm=/ { sub(/^[^=]*=/, ""); print; exit }')
    [ -n "$file" ] || return 0
    # Whoever answers there must not make us send another file of this machine.
    case $file in "$ARC_KEY_DIRECTORY"/*.key) ;; *) end 3 "the key file $file is not below $ARC_KEY_DIRECTORY" ;; esac
    case ${file#"$ARC_KEY_DIRECTORY"/} in .* | *[!A-Za-z0-9._-]*) end 3 "the key file has a strange name: $file" ;; esac
    [ ! -h "$file" ] && [ -f "$file" ] || end 3 "the key file $file is not there, or no plain file"
    [ -r "$file" ] || end 3 "the key file $file cannot be read: run this as root"
    [ "$(($(wc -c <"$file")))" -le 4096 ] || end 3 "the key file $file is too large"
    key=$(cat "$file")
    case $key in '' | *[!A-Za-z0-9+/=._-]*) end 3 "the key file $file holds no key" ;; esac
    found=$(printf 'header = "Authorization: Basic %s"\n' "$key" | local_curl -d "$version" "$ARC_ENDPOINT") || return 0
    token=$(printf '%s' "$found" | json access_token) || token=
    unset key found
}

ask_imds() {
    token=
    found=$(local_curl -d 'api-version=2018-02-01' "$IMDS_URL/metadata/identity/oauth2/token" </dev/null) || return 0
    token=$(printf '%s' "$found" | json access_token) || token=
    unset found
}

# --- The broker

# call METHOD PATH [JSON]: sets $status, 000 without an answer, and $body. Nothing secret is an argument of curl.
call() {
    data=
    [ -z "${3:-}" ] || data=$(printf '%s' "$3" | sed 's/[\\"]/\\&/g')
    case $BROKER_URL in https://*) protocol='=https' ;; *) protocol='=http' ;; esac
    if answer=$({
        printf 'url = "%s%s"\nrequest = "%s"\n' "$BROKER_URL" "$2" "$1"
        printf 'header = "Authorization: Bearer %s"\nheader = "Accept: application/json"\n' "$token"
        [ -z "$data" ] || printf 'header = "Content-Type: application/json"\ndata = "%s"\n' "$data"
    } | curl -q -sS --config - --proto "$protocol" --tlsv1.2 --connect-timeout 10 --max-time 60 \
        --max-filesize 1048576 --write-out '\n%{http_code}'); then
        status=${answer##*"$newline"}
        body=${answer%"$newline"*}
    else
        status=000 body=
    fi
    unset answer
}

# ask METHOD PATH [JSON]: repeats it until there is an answer that will not be another one in a moment.
ask() {
    left=$RETRY_FOR_SECONDS
    renewed=
    while :; do
        call "$@"
        case $status in
        000 | 408 | 429 | 5??) ;;
        401)
            [ -z "$renewed" ] || end 4 "the broker does not accept the token: $(member detail)"
            renewed=yes
            get_token
            continue
            ;;
        403) end 4 "the broker refuses: $(member detail)" ;;
        404)
            # What is kept here is of no use then. The broker knows what to do if the binding comes back.
            forget
            end 4 'the broker has no such machine or rotation for this identity; is it bound to another one now?'
            ;;
        *) return 0 ;;
        esac
        [ "$left" -gt 0 ] || end 75 "the broker does not answer ($status $(member code)); the next run goes on"
        sleep "$RETRY_DELAY_SECONDS"
        left=$((left - RETRY_DELAY_SECONDS))
    done
}

next_task() {
    ask GET /v1/agent/tasks
    [ "$status" = 200 ] || end 5 "the broker does not say what to do: $status $(member code)"
    task=$(member items.0.task)
    machine=$(member items.0.machineId)
    rotation=$(member items.0.rotationId)
    case $task.$(member items.0.state) in
    .)
        [ -n "$now" ] || end 0 'nothing to do'
        ask GET /v1/me
        machine=$(member machine.id)
        is_id "$machine" || end 4 'the broker has bound no machine to this identity'
        begin
        ;;
    rotate.*) begin ;;
    # Without a state of our own nobody knows whether it was applied: to apply it again does no harm.
    collectPassphrase.* | confirmRotation.collected) collect ;;
    # Too late to collect. A new rotation ends with a passphrase that is known.
    confirmRotation.*) begin ;;
    *) end 5 "the broker asks for something that this script does not know: $task" ;;
    esac
}

begin() {
    left_to_wait=$RETRY_FOR_SECONDS
    while :; do
        # Sent again, it gives the same rotation and the same passphrase.
        ask POST "/v1/machines/$machine/rotations" \
            "{\"passphrase\":{\"source\":\"generated\"},\"writer\":\"$ROTATION_WRITER\"}"
        [ "$status $(member code)" = '409 rotation-in-progress' ] && [ "$left_to_wait" -gt 0 ] || break
        sleep "$RETRY_DELAY_SECONDS"
        left_to_wait=$((left_to_wait - RETRY_DELAY_SECONDS))
    done
    [ "$status" = 201 ] || end 5 "the broker begins no rotation: $status $(member code): $(member detail)"
    take
}

# The passphrase of a rotation that is open, again.
collect() {
    ask POST "/v1/machines/$machine/rotations/$rotation/collect"
    case $status in
    200) take ;;
    410) begin ;;
    409)
        say "the rotation is closed: $(member detail)"
        forget
        next_task
        ;;
    *) end 5 "the broker does not give the passphrase: $status $(member code): $(member detail)" ;;
    esac
}

# Remembers which rotation it is, before anything is done with it.
take() {
    rotation=$(member id)
    writer=$(member writer)
    passphrase=$(member passphrase)
    body='' secret='' code='' status_of_mars=''
    is_id "$rotation" && [ "${#passphrase}" -ge 16 ] || end 5 'the broker gave no passphrase'
    save collected
    apply
}

# --- MARS

apply() {
    vault=
    if [ "$writer" = agent ]; then
        ask GET "/v1/machines/$machine"
        vault=$(member keyVaultUri)
    fi
    status_of_mars=0
    said=$(printf '%s\n' "$passphrase" |
        ROTATION_WRITER=$writer KEY_VAULT_URI=$vault sh -c "$MARS_COMMAND" 2>&1) || status_of_mars=$?
    # A command that shows the passphrase does not make us tell it on.
    case $said in *"$passphrase"*) said='(it printed the passphrase)' ;; esac
    unset passphrase
    if [ "$status_of_mars" = 0 ]; then
        secret=$(printf '%s\n' "$said" | awk '
            match($0, /https:\/\/[A-Za-z0-9.:-]+\/secrets\/[A-Za-z0-9\/-]+/) { print substr($0, RSTART, RLENGTH); exit }')
        save applied
        confirm
    fi
    printf '%s\n' "$said" >&2
    [ "$status_of_mars" != 126 ] && [ "$status_of_mars" != 127 ] || end 2 'MARS_COMMAND cannot be run'
    [ "$status_of_mars" -lt 128 ] || end 75 "MARS_COMMAND was killed ($status_of_mars); the next run applies it again"
    code=$(printf '%s\n' "$said" | awk '
        match($0, /MARS_ERROR_CODE=[0-9A-Za-z]+/) { print substr($0, RSTART + 16, RLENGTH - 16); exit }' | cut -c 1-16)
    [ -n "$code" ] || code=$(printf '%s\n' "$said" | awk '
        /[Ee]rror|[Cc]ode|ID/ && match($0, /0x[0-9A-Fa-f]+|[0-9][0-9][0-9][0-9][0-9][0-9]?/) {
            print substr($0, RSTART, RLENGTH); exit }' | cut -c 1-16)
    save refused
    report
}

report() {
    ask POST "/v1/machines/$machine/rotations/$rotation/fail" \
        "{${code:+\"marsErrorCode\":\"$code\",}\"message\":\"MARS_COMMAND ended with status $status_of_mars\"}"
    [ "$status" = 200 ] || say "the broker does not take the report: $status $(member code): $(member detail)"
    forget
    end 7 "MARS did not apply it (status $status_of_mars${code:+, error $code}); the old passphrase stays in force"
}

confirm() {
    left_to_wait=$RETRY_FOR_SECONDS
    # An earlier run has waited for it.
    [ "$step" != unsaved ] || left_to_wait=0
    said_version=${AGENT_VERSION:+\"agentVersion\":\"$AGENT_VERSION\"}
    while :; do
        said_secret=
        [ "$writer" != agent ] || said_secret=${secret:+\"secretIdentifier\":\"$secret\"}
        both=${said_version:+${said_secret:+,}}
        ask POST "/v1/machines/$machine/rotations/$rotation/confirm" "{$said_version$both$said_secret}"
        case $status in
        200)
            forget
            end 0 "confirmed: the new passphrase is in force (rotation $rotation)"
            ;;
        202) ;;
        400)
            [ -n "$said_secret" ] || end 5 "the broker does not take the confirmation: $(member detail)"
            say "the broker does not take $secret: $(member detail)"
            secret=
            continue
            ;;
        *) disagree ;;
        esac
        if [ "$left_to_wait" -le 0 ]; then
            # MARS will not save it any more. The same passphrase again does no harm.
            [ "$step" != unsaved ] || collect
            save unsaved
            end 75 'MARS has not saved the passphrase in Key Vault; the next run looks again, and else applies it again'
        fi
        sleep "$RETRY_DELAY_SECONDS"
        left_to_wait=$((left_to_wait - RETRY_DELAY_SECONDS))
    done
}

disagree() {
    why="$status $(member code): $(member detail)"
    [ "$(member code)" != key-vault-secret-disabled ] || end 6 "not confirmed, and tried again by the next run: $why"
    ask GET "/v1/machines/$machine/rotations/$rotation"
    if [ -n "$(member otherSecretIdentifiers.0)" ]; then
        end 6 "not confirmed, and tried again by the next run: $why"
    fi
    forget
    end 6 "the rotation cannot be confirmed any more: $why"
}

now=
case ${1:-} in
'') ;;
--now) now=yes ;;
--help | -h)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
*) end 2 'usage: rotate-passphrase.sh [--now | --help]' ;;
esac
settings
mkdir -p "$STATE_DIRECTORY"
state=$STATE_DIRECTORY/state
# MARS_COMMAND holds it, too: one that outlives this script is waited for.
if command -v flock >/dev/null; then
    exec 9>"$STATE_DIRECTORY/lock"
    flock -n 9 || end 75 'another run is at it'
fi
load
get_token
case $step in
applied | unsaved) confirm ;;
refused) report ;;
# Nobody knows whether it was applied. The same passphrase again does no harm.
collected) collect ;;
*) next_task ;;
esac

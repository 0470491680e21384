#!/bin/sh
# Starts a private PostgreSQL for tests, `make dev` and benchmarks; it ends with its caller.
#
#   tests/postgres/run.sh [--durable | --fast] [--directory DIR] [-c NAME=VALUE]...
#
# When the server takes connections, one line on stdout names it: the superuser's URL. It runs until stdin closes (the
# caller keeps a pipe open), or SIGINT or SIGTERM; then it is stopped and its temporary directory removed. A caller that
# wants to handle Ctrl-C itself, and have its database meanwhile, starts this script in a process group of its own.
#
#   --durable      survives a crash of the machine, as in production (the default)
#   --fast         the same settings, with data that go with the server in memory (/dev/shm) when there is room for them:
#                  the service refuses a PostgreSQL that does not keep what it confirms
#   --directory    keep the data there (made when it does not exist); without it they go with the server
#   -c             any other setting of PostgreSQL
#
# Every account on this machine can connect without a password ("trust" on loopback): never put real data in it.
# As root the server runs as user postgres, else nobody: PostgreSQL refuses root.
#
# Three processes in a chain, so that none outlives the one before it, however that one dies:
#   front     this process: learns of the guard's end from wait;
#   guard     watches stdin, in a session of its own, so that it survives a kill of the caller's process group and can
#             clean up; the kernel tells it of the front's end (pdeathsig);
#   postgres  gets SIGINT, a fast shutdown, from the kernel when the guard dies.
set -u

# shellcheck source=tests/postgres/find.sh
. "$(dirname "$0")/find.sh"

complain() {
    printf 'tests/postgres/run.sh: %s\n' "$1" >&2
}

usage() {
    complain "$1
usage: run.sh [--durable | --fast] [--directory DIR] [-c NAME=VALUE]..."
    exit 2
}

random_number() {
    od -An -N4 -tu4 /dev/urandom | tr -d ' '
}

# A zombie has ended, though `kill -0` still finds it. No child process here: SIGCHLD is trapped.
alive() {
    read -r _ _ state _ <"/proc/$1/stat" && [ "$state" != Z ]
} 2>/dev/null

# in_memory: whether the data go where fsync costs nothing. A container's /dev/shm is often too small.
in_memory() {
    [ "$durability" = fast ] && [ -z "$keep" ] && [ -w /dev/shm ] || return 1
    df -Pk /dev/shm 2>/dev/null | tail -n 1 | { read -r _ _ _ free _ && [ "${free:-0}" -ge 4194304 ]; }
}

# choose_user: the one that the server runs as. Ours, unless we are root.
choose_user() {
    server_user='' server_group=''
    if [ "$(id -u)" != 0 ]; then return; fi
    if [ -n "$keep" ] && [ -d "$keep" ] && [ "$(stat -c %u "$keep")" != 0 ]; then
        server_user=$(stat -c %u "$keep") server_group=$(stat -c %g "$keep")
        return
    fi
    for name in postgres nobody; do
        if server_user=$(id -u "$name" 2>/dev/null); then
            server_group=$(id -g "$name")
            return
        fi
    done
    complain "running as root, and there is neither a user postgres nor a user nobody to run PostgreSQL as"
    exit 1
}

# as_server COMMAND...: as the server's user; the kernel sends it SIGINT when its parent dies. For a background job
# exec='exec' is needed: else the parent would be the subshell that `&` makes, and $! its pid.
exec=
as_server() {
    if [ -n "$server_user" ]; then
        set -- --reuid "$server_user" --regid "$server_group" --clear-groups "$@"
    fi
    $exec setpriv --pdeathsig INT "$@"
}

# stop_postmaster PID: fast; when that takes too long, at once; at last by force.
stop_postmaster() {
    for signal in INT QUIT KILL; do
        kill -"$signal" "$1" 2>/dev/null
        tries=0
        while [ "$tries" -lt 500 ]; do
            alive "$1" || return 0
            sleep 0.02
            tries=$((tries + 1))
        done
    done
}

# ---- the front -------------------------------------------------------------------------------------------------------

front() {
    guard='' asked=''
    choose_user
    # The server's user must reach it, and a unix socket's path has 107 bytes at most.
    for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
        if [ "${#parent}" -le 60 ] && as_server test -x "$parent" && [ -w "$parent" ]; then break; fi
    done
    # Named here, made by the guard: so each of them can remove it.
    directory=$parent/passphrase-broker-pg.$(random_number)
    trap 'asked=1; [ -z "$guard" ] || kill -TERM "$guard" 2>/dev/null' TERM INT HUP
    # `&` gives a process an empty stdin, and that before `<&0` is looked at: hence the 3.
    setsid setpriv --pdeathsig TERM sh "$0" --guard "$$" "$directory" "$durability" "$keep" "$@" <&3 3<&- &
    guard=$!
    [ -z "$asked" ] || kill -TERM "$guard" 2>/dev/null
    # Who reads our stdout to its end need not wait for ours.
    exec >/dev/null
    while :; do
        wait "$guard"
        outcome=$?
        # A trapped signal ends `wait` early.
        alive "$guard" || break
    done
    [ -z "$asked" ] || outcome=0
    if [ -d "$directory" ]; then
        # It was killed and could not clean up; the kernel has told postgres.
        postmaster=$(head -n 1 "$directory/data/postmaster.pid" 2>/dev/null) || postmaster=
        [ -z "$postmaster" ] || stop_postmaster "$postmaster"
        rm -rf "$directory" "/dev/shm/${directory##*/}"
        complain "the process that watched PostgreSQL was killed"
        outcome=1
    fi
    exit "$outcome"
}

# ---- the guard -------------------------------------------------------------------------------------------------------

guard() {
    postgres='' reader=''
    trap 'exit 0' TERM HUP PIPE
    # Our parent died before the kernel was asked to tell us.
    [ "$PPID" = "$1" ] || exit 1
    directory=$2 durability=$3 keep=$4
    shift 4
    choose_user

    find_postgres
    if [ -z "$bindir" ]; then
        complain "no PostgreSQL $oldest_version or newer with contrib was found; tests/postgres/install.sh gets one$skipped"
        exit 1
    fi
    trap clean_up EXIT
    mkdir -m 700 "$directory" || exit 1
    log=$directory/log
    # Also where the front looks for postmaster.pid.
    data=$directory/data memory=/dev/shm/${directory##*/}
    if [ -n "$keep" ]; then
        mkdir -p "$keep" && data_directory=$(cd "$keep" && pwd) && ln -s "$data_directory" "$data" || exit 1
    elif in_memory; then
        mkdir -m 700 "$memory" && ln -s "$memory" "$data" || exit 1
    else
        mkdir -m 700 "$data" || exit 1
    fi
    : >"$log"
    if [ -n "$server_user" ]; then
        chown "$server_user:$server_group" "$directory" "$data" "$log" || exit 1
    fi
    if ! as_server test -w "$data/."; then
        complain "uid ${server_user:-$(id -u)}, as which PostgreSQL runs, cannot write to ${keep:-$data}: that user must own it, and every folder above must let it through"
        exit 1
    fi

    cd / || exit 1
    if ! [ -f "$data/PG_VERSION" ]; then
        # Nobody misses data that go with the server; those that stay are written through.
        sync=
        if [ -z "$keep" ]; then sync=--no-sync; fi
        if ! as_server env LD_LIBRARY_PATH="$libraries" "$bindir/initdb" -D "$data" -U postgres -A trust \
            --no-locale -E UTF8 $sync >"$log" 2>&1 </dev/null; then
            report "initdb failed"
            exit 1
        fi
    fi
    start "$@"

    printf 'postgres://postgres@127.0.0.1:%s/postgres\n' "$port"
    exec >/dev/null
    exec 3<&0
    setpriv --pdeathsig KILL cat <&3 >/dev/null 2>&1 3<&- &
    reader=$!
    # Lets `wait` return when any child ends, PostgreSQL for one.
    trap : CHLD
    while alive "$reader"; do
        alive "$postgres" || died
        wait "$reader"
    done
    exit 0
}

# start SETTING...: sets postgres (its pid) and port.
start() {
    attempt=0
    while [ "$attempt" -lt 20 ]; do
        attempt=$((attempt + 1))
        # Below the range that the kernel hands out to clients. A port that is taken shows when postgres binds it.
        port=$((20000 + $(random_number) % 12000))
        : >"$log"
        # Without jit: short statements lose by it, and LLVM is not in the unpacked copy.
        exec='exec' as_server env LD_LIBRARY_PATH="$libraries" "$bindir/postgres" -D "$data" -p "$port" -k "$directory" \
            -c listen_addresses=127.0.0.1 -c max_connections=400 -c shared_buffers=64MB -c jit=off \
            "$@" >>"$log" 2>&1 </dev/null &
        postgres=$! polls=0
        while alive "$postgres"; do
            # As pg_ctl does it: line 8 of postmaster.pid; line 1 says whose file it is.
            case $(sed -n -e 1p -e 8p "$data/postmaster.pid" 2>/dev/null | tr -s ' \n' ' ') in
            "$postgres ready "*) return ;;
            esac
            sleep 0.02
            polls=$((polls + 1))
            # About a minute and a half; a kept directory may have to replay its log first.
            if [ "$polls" -gt 3000 ]; then
                report "PostgreSQL was not ready in time"
                exit 1
            fi
        done
        postgres=
        if ! grep -q 'could not create any TCP/IP sockets' "$log"; then
            report "PostgreSQL did not start"
            exit 1
        fi
    done
    report "no free port was found"
    exit 1
}

report() {
    complain "$1; the end of its log:"
    tail -n 15 "$log" >&2
}

died() {
    postgres=
    report "PostgreSQL ended by itself"
    exit 1
}

# shellcheck disable=SC2329 # the EXIT trap calls it
clean_up() {
    trap '' TERM HUP PIPE
    trap - CHLD
    [ -z "$reader" ] || kill -KILL "$reader" 2>/dev/null
    [ -z "$postgres" ] || stop_postmaster "$postgres"
    rm -rf "$directory" "$memory"
}

# ----------------------------------------------------------------------------------------------------------------------

if [ "${1:-}" = --guard ]; then
    shift
    guard "$@"
fi

durability=durable keep=
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    left=$((left - 1))
    case $argument in
    --durable | --fast) durability=${argument#--} ;;
    --directory | -c)
        [ "$left" -gt 0 ] || usage "$argument needs a value"
        case $argument$1 in
        --directory?*) keep=$1 ;;
        -c?*=*) set -- "$@" -c "$1" ;;
        *) usage "$argument does not take \"$1\"" ;;
        esac
        shift
        left=$((left - 1))
        ;;
    *) usage "unknown argument: $argument" ;;
    esac
done
for tool in setsid setpriv; do
    command -v "$tool" >/dev/null || { complain "needs $tool (util-linux)"; exit 1; }
done
# Whatever else the caller had open, perhaps the other end of our stdin, is none of ours to keep open.
exec 3<&0 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
front "$@"

#!/bin/sh
# The promises of run.sh, tried: it serves, it ends with its caller however that one dies, and it leaves nothing behind.
# shellcheck disable=SC2016,SC2154 # `eval` expands the quoted ones; bindir and libraries come from find.sh
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
chmod 755 "$work"
# run.sh makes its directory here: what it leaves behind is seen.
TMPDIR=$work/tmp
export TMPDIR
mkdir "$TMPDIR" && chmod 1777 "$TMPDIR"
mkfifo "$work/stdin"
passed=0 failed=0

# start ARGUMENT...: run.sh as the child of $caller, which leads a process group; descriptor 9 holds its stdin open
start() {
    : >"$work/url"
    setsid sh -c 'echo $$ >"$1"; shift; exec 3<&0; sh "$@" <&3 & wait' sh "$work/caller" "$here/run.sh" "$@" \
        <"$work/stdin" >"$work/url" 2>"$work/errors" &
    exec 9>"$work/stdin"
    within 60 grep -q . "$work/url" || { cat "$work/errors" >&2; return 1; }
    caller=$(cat "$work/caller")
    postmaster=$(head -n 1 "$TMPDIR"/*/data/postmaster.pid)
    memory=/dev/shm/$(ls "$TMPDIR")
    guard=$(parent "$postmaster")
    front=$(parent "$guard")
}

parent() { sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status"; }

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

gone() {
    for process in "$postmaster" "$guard" "$front"; do
        # a zombie has no command line
        [ -z "$(tr -d '\0' 2>/dev/null <"/proc/$process/cmdline")" ] || return 1
    done 2>/dev/null
    [ -z "$(ls -A "$TMPDIR")" ] && ! [ -e "$memory" ]
}

# ends_after DESCRIPTION COMMAND...
ends_after() {
    description=$1
    shift
    if start --fast && "$@" && within 5 gone; then
        passed=$((passed + 1))
    else
        echo "not so: everything is gone after $description; left: $(ls -A "$TMPDIR")" >&2
        failed=$((failed + 1))
    fi
    exec 9>&-
    kill -KILL "-$caller" 2>/dev/null
    within 5 gone
    wait
}

close_stdin() { exec 9>&-; }

# answers QUERY EXPECTED
answers() {
    answer=$(LD_LIBRARY_PATH="$libraries" "$bindir/psql" -X -A -t -c "$1" "$(cat "$work/url")" 2>&1)
    if [ "$answer" = "$2" ]; then
        passed=$((passed + 1))
    else
        echo "not so: $1 says $2; it says $answer" >&2
        failed=$((failed + 1))
    fi
}

ends_after "the caller closes the pipe" close_stdin
ends_after "SIGTERM to run.sh" eval 'kill -TERM "$front"'
ends_after "SIGHUP to run.sh" eval 'kill -HUP "$front"'
ends_after "SIGKILL to run.sh" eval 'kill -KILL "$front"'
ends_after "SIGKILL to the process that watches stdin" eval 'kill -KILL "$guard"'
ends_after "SIGKILL to PostgreSQL" eval 'kill -KILL "$postmaster"'
ends_after "SIGKILL to the caller's process group" eval 'kill -KILL "-$caller"; close_stdin'
ends_after "SIGKILL to the caller" eval 'kill -KILL "$caller"; close_stdin'

# shellcheck source=tests/postgres/find.sh
. "$here/find.sh"
find_postgres
if start --fast && [ -x "$bindir/psql" ]; then
    answers 'show fsync' on
fi
close_stdin
wait
if start --durable -c work_mem=3MB && [ -x "$bindir/psql" ]; then
    answers 'show fsync' on
    answers 'show synchronous_commit' on
    answers 'show full_page_writes' on
    answers 'show max_connections' 400
    answers 'show work_mem' 3MB
    answers 'create extension pg_trgm' 'CREATE EXTENSION'
fi
close_stdin
wait
if sh "$here/run.sh" --slow >"$work/url" 2>/dev/null </dev/null || [ -s "$work/url" ]; then
    echo "not so: an unknown argument is refused" >&2
    failed=$((failed + 1))
else
    passed=$((passed + 1))
fi

rm -rf "$work"
echo "tests/postgres: $passed passed, $failed failed"
[ "$failed" = 0 ]

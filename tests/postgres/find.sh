# Sourced by the scripts beside it: where are PostgreSQL's server programs?
#
# find_postgres sets bindir (empty when there is none that will do), libraries (the LD_LIBRARY_PATH to start them with)
# and skipped (what was looked at and why it did not do, for error messages). In order: PG_BINDIR, PATH, Debian's and
# Ubuntu's /usr/lib/postgresql/*/bin (newest first), the copy that install.sh unpacked for this user.
# shellcheck shell=sh disable=SC2034 # used by those who source it

oldest_version=14

cache_directory() {
    printf '%s\n' "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/passphrase-broker/postgresql"
}

# Debian's libraries sit in a folder per architecture; the loader does not look into an unpacked copy by itself.
unpacked_libraries() {
    found=
    for folder in "$1"/usr/lib/*-linux-gnu* "$1"/lib/*-linux-gnu*; do
        if [ -d "$folder" ]; then found=$found${found:+:}$folder; fi
    done
    printf '%s\n' "$found"
}

# usable DIRECTORY: initdb and postgres run, are new enough, and contrib's pg_trgm lies where this postgres looks for it.
usable() {
    if ! [ -x "$1/initdb" ] || ! [ -x "$1/postgres" ]; then
        skipped="$skipped
  $1: no initdb or no postgres"
        return 1
    fi
    if ! version=$(LD_LIBRARY_PATH="$libraries" "$1/postgres" --version 2>&1); then
        skipped="$skipped
  $1: postgres does not run: $version"
        return 1
    fi
    major=${version##*PostgreSQL) }
    major=${major%%[!0-9]*}
    if [ "${major:-0}" -lt "$oldest_version" ]; then
        skipped="$skipped
  $1: $version is older than $oldest_version"
        return 1
    fi
    prefix=${1%/bin}
    for share in "${prefix%/lib/postgresql/"$major"}/share/postgresql/$major" "$prefix/share/postgresql" "$prefix/share"; do
        if [ -f "$share/extension/pg_trgm.control" ]; then return 0; fi
    done
    skipped="$skipped
  $1: the extension pg_trgm (contrib) is missing"
    return 1
}

find_postgres() {
    bindir='' skipped='' libraries=${LD_LIBRARY_PATH:-}
    if [ -n "${PG_BINDIR:-}" ]; then
        # Named by hand: this or nothing.
        if usable "$PG_BINDIR"; then bindir=$PG_BINDIR; fi
        return
    fi
    if on_path=$(command -v postgres) && on_path=$(readlink -e "$on_path"); then
        on_path=${on_path%/*}
        if usable "$on_path"; then bindir=$on_path; return; fi
    fi
    for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5,5nr); do
        if [ -d "$candidate" ] && usable "$candidate"; then bindir=$candidate; return; fi
    done
    copy=$(cache_directory)
    for candidate in "$copy"/usr/lib/postgresql/*/bin; do
        if ! [ -d "$candidate" ]; then continue; fi
        libraries=$(unpacked_libraries "$copy")
        if usable "$candidate"; then bindir=$candidate; return; fi
        libraries=${LD_LIBRARY_PATH:-}
    done
}

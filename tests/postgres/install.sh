#!/bin/sh
# Gets PostgreSQL's server programs (initdb, postgres, contrib) when run.sh would find none. Debian and Ubuntu; elsewhere
# it says what to do.
#
# As root, or with a sudo that asks for no password: the distribution's package, without its system-wide cluster. As an
# ordinary user: the same packages, unpacked below ~/.cache/passphrase-broker/postgresql; nothing else is touched.
set -eu

# shellcheck source=tests/postgres/find.sh
. "$(dirname "$0")/find.sh"

complain() {
    printf 'tests/postgres/install.sh: %s\n' "$1" >&2
}

# with_lists COMMAND...: once with apt's lists as they are; if that fails, they may be missing or old.
with_lists() {
    if "$@"; then return; fi
    complain "fetching the package lists"
    apt_get update -q
    "$@"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@" >&2
}

install_package() {
    # Read by the package when it is configured. Removed again: whoever installs another version later decides anew.
    settings=/etc/postgresql-common/createcluster.d
    mkdir -p "$settings"
    echo 'create_main_cluster = false' >"$settings/passphrase-broker.conf"
    trap 'rm -f "$settings/passphrase-broker.conf"' EXIT
    # First by itself: it brings the file that reads the folder above.
    with_lists apt_get install -y -q --no-install-recommends postgresql-common
    apt_get install -y -q --no-install-recommends postgresql
}

unpack_packages() {
    copy=$(cache_directory)
    mkdir -p "${copy%/*}"
    work=$(mktemp -d "$copy.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/log" "$work/root"
    # What is installed is read from the system; what is written is ours.
    cat >"$work/apt.conf" <<CONF
Dir::State "$work/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$work/cache";
Dir::Log "$work/log";
Debug::NoLocking "true";
APT::Keep-Downloaded-Packages "true";
#clear DPkg::Post-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF
    APT_CONFIG=$work/apt.conf
    export APT_CONFIG
    apt_get update -q
    # `postgresql` only names the distribution's version; reinstalled, lest a package that is there half is left out.
    package=$(apt-cache depends postgresql | sed -n 's/^ *Depends: \(postgresql-[0-9][0-9]*\)$/\1/p' | head -n 1)
    if [ -z "$package" ]; then
        complain "no package postgresql in apt's lists"
        exit 1
    fi
    apt_get install -y -q --no-install-recommends --download-only --reinstall "$package"
    for archive in "$work"/cache/archives/*.deb; do
        case ${archive##*/} in
        # only for the just-in-time compiler, which run.sh switches off
        libllvm*) ;;
        *) dpkg-deb -x "$archive" "$work/root" ;;
        esac
    done
    rm -rf "$work/root/usr/share/locale" "$work/root/usr/share/doc" "$work/root/usr/lib/postgresql/"*/lib/bitcode
    rm -rf "$copy"
    mv "$work/root" "$copy"
}

find_postgres
if [ -n "$bindir" ]; then exit 0; fi
if [ -n "${PG_BINDIR:-}" ]; then
    complain "PG_BINDIR is set, and will not do:$skipped"
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    complain "no PostgreSQL $oldest_version or newer with contrib (pg_trgm) was found, and only apt-get is known here: install it, and set PG_BINDIR to the folder of initdb and postgres$skipped"
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    complain "installing PostgreSQL"
    install_package
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    complain "installing PostgreSQL through sudo"
    sudo -n sh "$0"
else
    complain "unpacking PostgreSQL into $(cache_directory)"
    unpack_packages
fi

find_postgres
if [ -z "$bindir" ]; then
    complain "what was installed will not do:$skipped"
    exit 1
fi

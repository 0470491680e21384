#!/bin/sh
# The walk in the README is what `make dev` printed.
#
#   readme.sh --check OUTPUT   fails when the README tells of other members, statuses or commands than OUTPUT does, or
#                              of files that are not there
#   readme.sh --write OUTPUT   puts OUTPUT's steps into the README
#
# The last step is a report that the README shortens by hand: it is left alone.
set -eu
cd "$(dirname "$0")/../.."
mode=$1 output=$2
last=8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Headings and commands as the README has them, with paths that begin in this directory.
awk -v last="$last" '
    /^== [0-9]+\. / {
        if (open) print "```\n"
        open = 0
        if ($2 + 0 == last) exit
        sub(/^== /, "**"); print $0 "**\n"; fresh = 1; next
    }
    /^\$ / && fresh { print "```"; open = 1; fresh = 0 }
    open { lines[++count] = $0; if ($0 != "") { for (i = 1; i <= count; i++) print lines[i]; count = 0 } }
    !open { count = 0 }' "$output" |
    sed -e "s|${DEV_DIRECTORY:-$PWD/.dev}/|.dev/|g" -e "s|$PWD/||g" -e "s|${CARGO_TARGET_DIR:-target}/debug|target/debug|g" >"$work/new"

steps() { awk -v last="$last" '/^\*\*1\. / { on = 1 } $0 ~ "^\\*\\*" last "\\. " { on = 0 } on' README.md; }

# What differs from run to run.
shape() {
    sed -E -e 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/GUID/g' -e 's/[0-9a-f]{32}/VERSION/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z */TIME /g' -e 's/([a-z0-9]{5}-){8}[a-z0-9]{5}/PASSPHRASE/g' \
        -e 's/("sequence": |^ +|^events +|^checkpoint +|^)[0-9]+(,|  TIME| events|)( |$)/\1NUMBER\2\3/' \
        -e 's/("nextCursor": )"[^"]*"/\1"CURSOR"/' -e 's|^(— [^ ]+ )?[A-Za-z0-9+/]{42,}=*$|\1BASE64|' "$1"
}

files_exist() {
    grep -oE '`(src|tests|migrations|deploy|openapi)/[A-Za-z0-9_./-]*`' README.md | tr -d '`' | sort -u | {
        missing=0
        while read -r path; do
            [ -e "$path" ] || { echo "the README names $path, which is not there" >&2; missing=1; }
        done
        return "$missing"
    }
}

case $mode in
--check)
    files_exist
    steps >"$work/old"
    shape "$work/old" >"$work/told"
    shape "$work/new" >"$work/printed"
    [ -s "$work/printed" ] && diff -u "$work/told" "$work/printed"
    ;;
--write)
    awk -v last="$last" -v new="$work/new" '
        /^\*\*1\. / { while ((getline line < new) > 0) print line; skip = 1 }
        $0 ~ "^\\*\\*" last "\\. " { skip = 0 }
        !skip' README.md >"$work/README.md"
    cat "$work/README.md" >README.md
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

#!/bin/sh
# The stand-in for Set-OBMachineSetting: takes a passphrase from its standard input and keeps it, as a server keeps its
# own. $DIRECTORY/mars says what else it does: nothing, `fails`, `killed`, `saves` or `saves-other` (in Key Vault).
# shellcheck disable=SC2154 # the variables come from the test
set -eu
count "mars"
IFS= read -r passphrase
[ -z "$(cat)" ]
# Nobody else may see it: not in arguments, not in an environment.
# Its status tells of processes that ended meanwhile, too.
# shellcheck disable=SC2062 # those are files, the pattern is on standard input
printf '%s\n' "$passphrase" | grep -s -l -F -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ >"$DIRECTORY/seen" || :
if [ -s "$DIRECTORY/seen" ]; then
    echo 'the passphrase is in the process list' >&2
    exit 99
fi
mode=$(cat "$DIRECTORY/mars" 2>/dev/null || :)
case $mode in
fails)
    echo 'Set-OBMachineSetting : The operation failed. ID: 100130. Security PIN entered is incorrect.' >&2
    exit 1
    ;;
killed) kill -KILL $$ ;;
esac
printf '%s' "$passphrase" >"$DIRECTORY/applied.new"
mv_real "$DIRECTORY/applied.new" "$DIRECTORY/applied"
case $mode in
saves*)
    value=$passphrase
    [ "$mode" = saves ] || value='another one, typed in by hand'
    printf '{"name":"%s","value":"%s"}' "$SECRET_NAME" "$value" |
        curl_real -sS -H 'content-type: application/json' -d @- "$SECRETS_URL" >/dev/null
    echo "Server properties updated successfully. Secret: ${KEY_VAULT_URI}secrets/$SECRET_NAME (copied)"
    ;;
*) echo 'Server properties updated successfully' ;;
esac
count "mars"

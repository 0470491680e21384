#!/bin/sh
# The suite that Microsoft ships in the source distribution of azure-keyvault-secrets, live.
#
# usage: run.sh VENV CACHE   (with the environment that tests/conformance/run.sh sets)
# Two runs: as it is, where a live run skips all API versions but the newest; then the tests that speak to a Key
# Vault in every version that azsim speaks. Three things of the suite are Azure's own test equipment, not published,
# and stand in devtools_testutils: its recorder, the making of a Key Vault, and a service principal with a secret
# (a managed identity here).
set -eu
venv=$1 cache=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
archive=$(cut -d' ' -f3 "$here/sdist.sha256")
version=$(sed -n 's/^azure-keyvault-secrets==//p' "$here/../python/requirements.txt")
cd "$cache"
if [ ! -e "$archive" ]; then
    # Not through azsim's proxy, and not with its authority.
    env -u HTTPS_PROXY -u REQUESTS_CA_BUNDLE -u SSL_CERT_FILE "$venv/bin/pip" download --quiet --no-deps --no-binary azure-keyvault-secrets "azure-keyvault-secrets==$version"
fi
sha256sum --check --quiet "$here/sdist.sha256"
rm -rf "${archive%.tar.gz}"
tar xzf "$archive"
cd "${archive%.tar.gz}/tests"
export AZURE_TEST_RUN_LIVE=true PYTHONDONTWRITEBYTECODE=1
export AZURE_KEYVAULT_URL=https://kv-official.vault.azure.net/
# Without sources of its own, `azure` is the installed package.
export PYTHONPATH="$here"
# Most of the time is spent in the suite's own sleep of a minute; workers sleep side by side.
suite() {
    "$venv/bin/python" -m pytest -p no:cacheprovider --disable-warnings --quiet -rsfE --show-capture=no --tb=short \
        -o asyncio_default_fixture_loop_scope=function -n 16 "$@"
}
tell() { grep -E '^(E  |FAILED|ERROR|SKIPPED|[^ ]+ (Error|error):|[0-9]+ (passed|failed))' "$1" || tail -n 30 "$1"; }
echo 'As it is:'
suite . >as-it-is.txt 2>&1 || status=$?
tell as-it-is.txt
echo 'In every API version:'
# Another Key Vault: its tests derive their names from the tests' names, and leave deleted secrets behind.
export AZURE_KEYVAULT_URL=https://kv-official-versions.vault.azure.net/
suite -p every_version test_secrets_client.py test_secrets_async.py test_samples_secrets.py \
    test_samples_secrets_async.py test_parse_id.py >versions.txt 2>&1 || status=$?
tell versions.txt
count() { cat as-it-is.txt versions.txt | grep -oE "[0-9]+ $1" | awk '{ sum += $1 } END { print sum + 0 }'; }
echo "$(count passed) passed, $(($(count failed) + $(count errors?))) failed, $(count skipped) skipped"
exit "${status:-0}"

"""azure-keyvault-secrets with azure-identity, unmodified: every operation on secrets, waiting as customers wait.

The Key Vault takes a moment to delete and recover, and puts an empty page before every page of a list.
"""

import datetime
import json
import os
import time
import urllib.request

from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

from checks import check, refused, run

VAULT = "https://kv-conformance.vault.azure.net/"
client = SecretClient(VAULT, ManagedIdentityCredential())


def until(call, exception, seconds=30):
    """Repeats what the service refuses while it is busy."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@check
def set_answers_the_version_it_made():
    secret = client.set_secret("python-set", "grün", content_type="text/plain", tags={"a": "b"})
    assert secret.value == "grün" and secret.properties.content_type == "text/plain"
    assert secret.properties.tags == {"a": "b"} and len(secret.properties.version) == 32
    assert secret.id == f"{VAULT}secrets/python-set/{secret.properties.version}"
    assert secret.properties.recovery_level == "Recoverable+Purgeable"
    assert secret.properties.recoverable_days == 90


@check
def get_answers_the_latest_or_the_version_asked_for_in_any_case():
    first = client.set_secret("python-get", "one").properties.version
    client.set_secret("python-get", "two")
    assert client.get_secret("python-get").value == "two"
    assert client.get_secret("python-get", first).value == "one"
    assert client.get_secret("PYTHON-GET").value == "two"


@check
def an_empty_value_is_a_value():
    assert client.set_secret("python-empty", "").value == ""
    assert client.get_secret("python-empty").value == ""


@check
def sixty_versions_come_in_the_order_of_their_ids():
    made = {client.set_secret("python-versions", str(n)).properties.version for n in range(60)}
    listed = [p.version for p in client.list_properties_of_secret_versions("python-versions")]
    assert listed == sorted(made)
    pages = [len(list(page)) for page in client.list_properties_of_secret_versions("python-versions").by_page()]
    assert [size for size in pages if size] == [25, 25, 10] and 0 in pages, pages


@check
def versions_of_an_unknown_name_are_none():
    assert list(client.list_properties_of_secret_versions("python-never")) == []


@check
def thirty_secrets_come_in_pages():
    names = {f"python-list-{n:02}" for n in range(30)}
    for name in names:
        client.set_secret(name, name)
    listed = [p.name for p in client.list_properties_of_secrets()]
    assert names <= set(listed) and len(listed) == len(set(listed))
    pages = [len(list(page)) for page in client.list_properties_of_secrets(max_page_size=7).by_page()]
    assert max(pages) == 7 and sum(pages) == len(listed), pages


@check
def update_changes_attributes_and_answers_no_value():
    made = client.set_secret("python-update", "v", tags={"a": "b"})
    expires = datetime.datetime(2050, 1, 2, tzinfo=datetime.timezone.utc)
    updated = client.update_secret_properties("python-update", expires_on=expires, content_type="c")
    assert updated.version == made.properties.version and updated.expires_on == expires
    assert updated.content_type == "c" and updated.tags == {"a": "b"}
    assert client.get_secret("python-update").properties.expires_on == expires


@check
def a_disabled_secret_is_not_read():
    client.set_secret("python-disabled", "v")
    client.update_secret_properties("python-disabled", enabled=False)
    refused(HttpResponseError, lambda: client.get_secret("python-disabled"), 403, "SecretDisabled")
    assert client.update_secret_properties("python-disabled", enabled=True).enabled
    assert client.get_secret("python-disabled").value == "v"


@check
def an_expired_secret_is_read():
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    client.set_secret("python-expired", "v", expires_on=past)
    assert client.get_secret("python-expired").value == "v"


@check
def delete_waits_until_the_secret_is_deleted():
    made = client.set_secret("python-delete", "v")
    started = time.monotonic()
    poller = client.begin_delete_secret("python-delete")
    refused(ResourceExistsError, lambda: client.purge_deleted_secret("python-delete"), 409, "ObjectIsBeingDeleted")
    refused(ResourceExistsError, lambda: client.set_secret("python-delete", "w"), 409, "ObjectIsBeingDeleted")
    poller.wait()
    assert time.monotonic() - started > 1
    deleted = client.get_deleted_secret("python-delete")
    assert deleted.id == made.id and deleted.recovery_id == f"{VAULT}deletedsecrets/python-delete"
    assert deleted.scheduled_purge_date - deleted.deleted_date == datetime.timedelta(days=90)
    assert "python-delete" in [secret.name for secret in client.list_deleted_secrets()]
    refused(ResourceNotFoundError, lambda: client.get_secret("python-delete"), 404, "SecretNotFound")


@check
def the_name_of_a_deleted_secret_is_taken():
    client.set_secret("python-taken", "v")
    client.begin_delete_secret("python-taken").wait()
    refused(
        ResourceExistsError, lambda: client.set_secret("python-taken", "w"), 409, "ObjectIsDeletedButRecoverable"
    )


@check
def recover_waits_until_the_secret_is_back():
    made = client.set_secret("python-recover", "v")
    client.begin_delete_secret("python-recover").wait()
    poller = client.begin_recover_deleted_secret("python-recover")
    refused(ResourceNotFoundError, lambda: client.get_secret("python-recover"), 404)
    poller.wait()
    assert client.get_secret("python-recover").id == made.id


@check
def purge_blocks_the_name_for_a_moment():
    client.set_secret("python-purge", "v")
    client.begin_delete_secret("python-purge").wait()
    client.purge_deleted_secret("python-purge")
    refused(ResourceNotFoundError, lambda: client.get_deleted_secret("python-purge"), 404, "Deleted Secret not found")
    refused(ResourceExistsError, lambda: client.set_secret("python-purge", "w"), 409, "retry later")
    assert until(lambda: client.set_secret("python-purge", "w"), ResourceExistsError).value == "w"


@check
def a_backup_brings_every_version_back():
    first = client.set_secret("python-backup", "one").properties.version
    second = client.set_secret("python-backup", "two").properties.version
    backup = client.backup_secret("python-backup")
    refused(ResourceExistsError, lambda: client.restore_secret_backup(backup), 409)
    client.begin_delete_secret("python-backup").wait()
    client.purge_deleted_secret("python-backup")
    restored = until(lambda: client.restore_secret_backup(backup), ResourceExistsError)
    assert restored.version == second
    assert client.get_secret("python-backup", first).value == "one"
    assert client.get_secret("python-backup").value == "two"


@check
def refusals_come_with_their_status():
    for call in (client.get_secret, client.begin_delete_secret, client.backup_secret, client.begin_recover_deleted_secret):
        refused(ResourceNotFoundError, lambda: call("python-never"), 404, "SecretNotFound")
    refused(HttpResponseError, lambda: client.set_secret("under_score", "v"), 400, "invalid name: under_score")
    refused(HttpResponseError, lambda: client.set_secret("python-long", "v" * 25_601), 400, "25600")
    refused(HttpResponseError, lambda: client.restore_secret_backup(b"not a backup"), 400, "Malformed backup blob")


@check
def the_certificate_is_checked_and_the_proxy_is_used():
    strict = SecretClient(
        VAULT, ManagedIdentityCredential(), connection_verify="/etc/ssl/certs/ca-certificates.crt", retry_total=0
    )
    said = refused(ServiceRequestError, lambda: strict.get_secret("python-set"))
    assert "CERTIFICATE_VERIFY_FAILED" in str(said)
    with urllib.request.urlopen(f"{os.environ['AZSIM_CONTROL_URL']}/hosts") as answer:
        assert "kv-conformance.vault.azure.net" in json.load(answer)


if __name__ == "__main__":
    run()

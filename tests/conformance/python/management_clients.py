"""azure-mgmt-keyvault, -authorization, -recoveryservices and -recoveryservicesbackup, unmodified."""

import uuid

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.recoveryservices import RecoveryServicesClient
from azure.mgmt.recoveryservices.models import IdentityData, PatchVault
from azure.mgmt.recoveryservicesbackup import RecoveryServicesBackupClient

from checks import check, refused, run

SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09591"
SCOPE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mars/providers/Microsoft.KeyVault/vaults/kv-cli"
OFFICER = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
PRINCIPAL = "11111111-2222-3333-4444-555555555555"
credential = ManagedIdentityCredential()
key_vaults = KeyVaultManagementClient(credential, SUBSCRIPTION)
authorization = AuthorizationManagementClient(credential, SUBSCRIPTION)
recovery = RecoveryServicesClient(credential, SUBSCRIPTION)
backup = RecoveryServicesBackupClient(credential, SUBSCRIPTION)


@check
def a_key_vault_is_read():
    found = key_vaults.vaults.get("rg-mars", "kv-cli")
    assert found.id == SCOPE and found.properties.vault_uri == "https://kv-cli.vault.azure.net/"
    assert found.properties.enable_rbac_authorization is True and found.properties.enable_soft_delete is True
    assert found.properties.enable_purge_protection is None and found.properties.soft_delete_retention_in_days == 90
    assert "kv-cli" in [item.name for item in key_vaults.vaults.list_by_resource_group("rg-mars")]


@check
def an_unknown_key_vault_is_not_found():
    refused(ResourceNotFoundError, lambda: key_vaults.vaults.get("rg-mars", "kv-none"), 404, "ResourceNotFound")


@check
def another_subscription_is_refused():
    stranger = KeyVaultManagementClient(credential, str(uuid.uuid4()))
    refused(HttpResponseError, lambda: stranger.vaults.get("rg-mars", "kv-cli"), 404, "SubscriptionNotFound")


@check
def a_deleted_key_vault_is_listed_and_read():
    [deleted] = key_vaults.vaults.list_deleted()
    assert deleted.name == "kv-gone" and deleted.properties.purge_protection_enabled is True
    found = key_vaults.vaults.get_deleted("kv-gone", "westeurope")
    assert found.properties.vault_id.endswith("/vaults/kv-gone")
    assert (found.properties.scheduled_purge_date - found.properties.deletion_date).days == 90


@check
def a_role_is_found_by_its_name_and_its_id():
    [role] = authorization.role_definitions.list(SCOPE, filter="roleName eq 'Key Vault Secrets Officer'")
    assert role.id == OFFICER and role.permissions[0].data_actions == ["Microsoft.KeyVault/vaults/secrets/*"]
    assert authorization.role_definitions.get_by_id(OFFICER).role_name == "Key Vault Secrets Officer"


@check
def a_role_is_assigned_listed_and_taken_away():
    name = str(uuid.uuid4())
    properties = {"role_definition_id": OFFICER, "principal_id": PRINCIPAL, "principal_type": "ServicePrincipal"}
    made = authorization.role_assignments.create(SCOPE, name, properties)
    assert made.name == name and made.scope == SCOPE and made.principal_id == PRINCIPAL
    for filter_ in ("atScope()", f"principalId eq '{PRINCIPAL}'", f"assignedTo('{PRINCIPAL}')"):
        listed = authorization.role_assignments.list_for_scope(SCOPE, filter=filter_)
        assert name in [item.name for item in listed], filter_
    authorization.role_assignments.delete(SCOPE, name)
    listed = authorization.role_assignments.list_for_scope(SCOPE, filter=f"principalId eq '{PRINCIPAL}'")
    assert name not in [item.name for item in listed]


@check
def there_are_no_deny_assignments():
    assert list(authorization.deny_assignments.list_for_scope(SCOPE)) == []


@check
def a_recovery_services_vault_gets_an_identity():
    found = recovery.vaults.get("rg-mars", "rsv-mars")
    assert found.name == "rsv-mars" and found.identity is None and found.sku.name == "Standard"
    patch = PatchVault(identity=IdentityData(type="SystemAssigned"))
    changed = recovery.vaults.begin_update("rg-mars", "rsv-mars", patch).result()
    assert changed.identity.type == "SystemAssigned" and len(changed.identity.principal_id) == 36
    assert recovery.vaults.get("rg-mars", "rsv-mars").identity.principal_id == changed.identity.principal_id


@check
def its_machines_are_listed():
    query = "backupManagementType eq 'MAB'"
    containers = list(backup.backup_protection_containers.list("rsv-mars", "rg-mars", filter=query))
    assert [container.properties.friendly_name for container in containers] == ["srv01"]


@check
def its_configuration_is_read():
    found = backup.backup_resource_vault_configs.get("rsv-mars", "rg-mars")
    assert found.properties.enhanced_security_state is not None


if __name__ == "__main__":
    run()

"""The unmodified Azure CLI, signed in with a managed identity: the commands that preflight's remediations name.

usage: commands.py AZ   (with the environment that tests/conformance/run.sh sets)
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from checks import check, run  # noqa: E402

AZ = sys.argv[1]
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09591"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mars"
KEY_VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-cli"
PRINCIPAL = "11111111-2222-3333-4444-555555555555"
SECRET = "AzBackup-srv01-rsv-mars"
OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
HOME = tempfile.TemporaryDirectory()
os.environ |= {"AZURE_CONFIG_DIR": HOME.name, "AZURE_CORE_COLLECT_TELEMETRY": "false"}


def tried(*words):
    return subprocess.run([AZ, *words, "--only-show-errors"], capture_output=True, text=True, timeout=120)


def az(*words):
    """What a command answers, which must succeed."""
    done = tried(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def refused(text, *words):
    done = tried(*words)
    assert done.returncode != 0 and text in done.stderr, done.stdout + done.stderr


@check
def login_identity_finds_the_subscription():
    [account] = az("login", "--identity")
    assert account["id"] == SUBSCRIPTION and account["user"]["assignedIdentityInfo"] == "MSI"


@check
def keyvault_show_tells_the_uri_with_and_without_the_group():
    assert az("keyvault", "show", "-n", "kv-cli")["properties"]["vaultUri"] == "https://kv-cli.vault.azure.net/"
    shown = az("keyvault", "show", "-n", "kv-cli", "-g", "rg-mars")
    assert shown["id"] == KEY_VAULT and shown["properties"]["enableRbacAuthorization"] is True
    assert shown["properties"]["enablePurgeProtection"] is None and shown["properties"]["enableSoftDelete"] is True
    assert "kv-cli" in [item["name"] for item in az("keyvault", "list")]


@check
def keyvault_show_of_an_unknown_one_is_refused():
    refused("(ResourceNotFound) The Resource 'Microsoft.KeyVault/vaults/kv-none' under resource group 'rg-mars' was",
            "keyvault", "show", "-n", "kv-none", "-g", "rg-mars")
    refused("not found within subscription", "keyvault", "show", "-n", "kv-none")


@check
def keyvault_list_deleted_and_recover_bring_one_back():
    [deleted] = az("keyvault", "list-deleted")
    assert deleted["name"] == "kv-gone" and deleted["properties"]["location"] == "westeurope"
    assert deleted["properties"]["purgeProtectionEnabled"] is True
    az("keyvault", "recover", "-n", "kv-gone")
    assert az("keyvault", "list-deleted") == []
    gone = az("keyvault", "show", "-n", "kv-gone")
    assert gone["name"] == "kv-gone"
    # What was granted at it does not come back.
    assert az("role", "assignment", "list", "--scope", gone["id"], "--fill-principal-name", "false") == []


@check
def keyvault_set_policy_lets_a_principal_write():
    before = az("keyvault", "show", "-n", "kv-policies")
    assert before["properties"]["accessPolicies"] == []
    me = az("account", "get-access-token", "--resource", "https://vault.azure.net")
    assert me["tenant"] and me["accessToken"].count(".") == 2
    az("keyvault", "set-policy", "-n", "kv-policies", "--object-id", PRINCIPAL, "--secret-permissions", "set")
    after = az("keyvault", "show", "-n", "kv-policies")
    [policy] = after["properties"]["accessPolicies"]
    assert policy["objectId"] == PRINCIPAL and policy["permissions"]["secrets"] == ["set"]


@check
def a_policy_decides_at_once_in_the_data_plane():
    own = "3975aeed-7d08-453b-b6f4-445f32698091"
    refused("does not have secrets set permission", "keyvault", "secret", "set", "--vault-name", "kv-policies",
            "-n", "n", "--value", "v")
    az("keyvault", "set-policy", "-n", "kv-policies", "--object-id", own, "--secret-permissions", "set", "get")
    az("keyvault", "secret", "set", "--vault-name", "kv-policies", "-n", "n", "--value", "v")
    assert az("keyvault", "secret", "show", "--vault-name", "kv-policies", "-n", "n")["value"] == "v"


@check
def role_assignment_create_gives_a_built_in_role():
    made = az("role", "assignment", "create", "--assignee-object-id", PRINCIPAL, "--assignee-principal-type",
              "ServicePrincipal", "--role", OFFICER, "--scope", KEY_VAULT)
    assert made["roleDefinitionId"].endswith(OFFICER) and made["scope"] == KEY_VAULT
    assert made["principalId"] == PRINCIPAL and made["principalType"] == "ServicePrincipal"
    listed = az("role", "assignment", "list", "--scope", KEY_VAULT, "--assignee-object-id", PRINCIPAL,
                "--fill-principal-name", "false")
    assert [item["roleDefinitionName"] for item in listed] == ["Key Vault Secrets Officer"]


@check
def role_definition_create_makes_a_role_that_can_be_assigned():
    definition = {
        "Name": "MARS passphrase writer", "Description": "Set secrets only", "Actions": [],
        "DataActions": ["Microsoft.KeyVault/vaults/secrets/setSecret/action"],
        "AssignableScopes": [f"/subscriptions/{SUBSCRIPTION}"],
    }
    made = az("role", "definition", "create", "--role-definition", json.dumps(definition))
    assert made["roleName"] == definition["Name"] and made["roleType"] == "CustomRole"
    assert made["permissions"][0]["dataActions"] == definition["DataActions"]
    az("role", "assignment", "create", "--assignee-object-id", PRINCIPAL, "--assignee-principal-type",
       "ServicePrincipal", "--role", definition["Name"], "--scope", KEY_VAULT)
    az("role", "assignment", "delete", "--assignee-object-id", PRINCIPAL, "--role", definition["Name"],
       "--scope", KEY_VAULT)


@check
def a_role_of_a_name_is_found_before_it_is_made_a_second_time():
    words = ("role", "definition", "list", "--custom-role-only", "true", "--name", "MARS passphrase writer",
             "--query", "[].roleName")
    assert az(*words) == ["MARS passphrase writer"]
    assert az(*words[:-3], "Nobody's role", *words[-2:]) == []


@check
def resource_list_and_show_find_the_vaults():
    listed = az("resource", "list", "--resource-type", "Microsoft.KeyVault/vaults")
    assert "kv-cli" in [item["name"] for item in listed]
    assert az("resource", "show", "--ids", KEY_VAULT)["properties"]["vaultUri"] == "https://kv-cli.vault.azure.net/"
    vaults = az("resource", "list", "-g", "rg-mars", "--resource-type", "Microsoft.RecoveryServices/vaults")
    assert [item["name"] for item in vaults] == ["rsv-mars"]


@check
def a_role_decides_in_the_data_plane():
    own = "3975aeed-7d08-453b-b6f4-445f32698091"
    words = ("keyvault", "secret", "delete", "--vault-name", "kv-cli", "-n", SECRET)
    refused("ForbiddenByRbac", *words)
    az("role", "assignment", "create", "--assignee-object-id", own, "--assignee-principal-type", "ServicePrincipal",
       "--role", "Key Vault Secrets Officer", "--scope", KEY_VAULT)
    assert az(*words)["recoveryId"] == f"https://kv-cli.vault.azure.net/deletedsecrets/{SECRET}"


@check
def keyvault_secret_recover_brings_one_back():
    [deleted] = az("keyvault", "secret", "list-deleted", "--vault-name", "kv-cli")
    assert deleted["name"] == SECRET
    recovered = az("keyvault", "secret", "recover", "--vault-name", "kv-cli", "-n", SECRET)
    shown = az("keyvault", "secret", "show", "--vault-name", "kv-cli", "-n", SECRET)
    assert shown["value"] == "v" and shown["id"] == recovered["id"] and shown["tags"] == {"a": "b"}


@check
def keyvault_secret_set_attributes_enables_a_version():
    version = az("keyvault", "secret", "show", "--vault-name", "kv-cli", "-n", SECRET)["id"]
    az("keyvault", "secret", "set-attributes", "--id", version, "--enabled", "false")
    refused("SecretDisabled", "keyvault", "secret", "show", "--id", version)
    az("keyvault", "secret", "set-attributes", "--id", version, "--enabled", "true")
    assert az("keyvault", "secret", "show", "--id", version)["value"] == "v"


@check
def keyvault_update_switches_purge_protection_on_for_good():
    updated = az("keyvault", "update", "-g", "rg-mars", "-n", "kv-cli", "--enable-purge-protection", "true")
    assert updated["properties"]["enablePurgeProtection"] is True
    az("keyvault", "secret", "set", "--vault-name", "kv-cli", "-n", "doomed", "--value", "v")
    az("keyvault", "secret", "delete", "--vault-name", "kv-cli", "-n", "doomed")
    refused('Operation "purge" is not allowed because purge protection is enabled',
            "keyvault", "secret", "purge", "--vault-name", "kv-cli", "-n", "doomed")


@check
def backup_vault_identity_assign_gives_a_principal():
    def identity():
        return az("backup", "vault", "show", "-g", "rg-mars", "-n", "rsv-mars")["identity"]

    assert identity() is None
    az("backup", "vault", "identity", "assign", "--system-assigned", "-g", "rg-mars", "-n", "rsv-mars")
    assert identity()["type"] == "SystemAssigned" and len(identity()["principalId"]) == 36
    az("backup", "vault", "identity", "remove", "--system-assigned", "-g", "rg-mars", "-n", "rsv-mars")
    assert identity()["type"] == "None"


@check
def the_firewall_lets_whom_it_names_pass():
    updated = az("keyvault", "update", "-n", "kv-cli", "--bypass", "AzureServices", "--default-action", "Deny")
    assert updated["properties"]["networkAcls"]["defaultAction"] == "Deny"
    assert updated["properties"]["networkAcls"]["bypass"] == "AzureServices"
    words = ("keyvault", "secret", "show", "--vault-name", "kv-cli", "-n", SECRET)
    refused("Client address: 203.0.113.7", *words)
    added = az("keyvault", "network-rule", "add", "-n", "kv-cli", "--ip-address", "203.0.113.7/32")
    assert added["properties"]["networkAcls"]["ipRules"] == [{"value": "203.0.113.7/32"}]
    assert az(*words)["value"] == "v"
    az("keyvault", "network-rule", "remove", "-n", "kv-cli", "--ip-address", "203.0.113.7/32")
    assert az("keyvault", "network-rule", "list", "-n", "kv-cli")["ipRules"] == []


@check
def monitor_diagnostic_settings_create_is_listed_afterwards():
    workspace = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/ws"
    made = az("monitor", "diagnostic-settings", "create", "--resource", KEY_VAULT, "--name", "mpb", "--workspace",
              workspace, "--logs", '[{"category":"AuditEvent","enabled":true}]')
    assert made["name"] == "mpb" and made["workspaceId"] == workspace
    [listed] = az("monitor", "diagnostic-settings", "list", "--resource", KEY_VAULT)
    assert listed["logs"][0]["category"] == "AuditEvent" and listed["logs"][0]["enabled"] is True


@check
def keyvault_delete_frees_nothing_until_the_purge():
    az("keyvault", "delete", "-n", "kv-policies")
    assert "kv-policies" in [item["name"] for item in az("keyvault", "list-deleted")]
    az("keyvault", "purge", "-n", "kv-policies")
    assert "kv-policies" not in [item["name"] for item in az("keyvault", "list-deleted")]


if __name__ == "__main__":
    run()

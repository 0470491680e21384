"""What preflight says to run, run: each seed error in the world of `make dev`, mended by its own commands under the unmodified az.

usage: remedies.py AZ
"""

import atexit
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
from checks import check, run  # noqa: E402
from dev_world import DevWorld  # noqa: E402

DEV = DevWorld(sys.argv[1])
atexit.register(DEV.stop)
NAMES = DEV.names
SUBSCRIPTION = NAMES["KEY_VAULT_ID"].split("/")[2]


def pair(key_vault="KEY_VAULT_URI", vault="RECOVERY_SERVICES_VAULT_ID", **more):
    return {"keyVaultUri": NAMES[key_vault], "recoveryServicesVaultId": NAMES[vault]} | more


def found(body, identifier):
    report = DEV.preflight(body)
    [found] = [check for check in report["checks"] if check["id"] == identifier]
    return found


def failed(body):
    return [check["id"] for check in DEV.preflight(body)["checks"] if check["status"] == "fail"]


def commands(found, client="az"):
    return [line for remedy in found["remediation"] if remedy["client"] == client for line in remedy["commands"]]


def settled(body, identifier):
    """The check once it fails no more: what Azure recovers is visible after a moment."""
    deadline = time.monotonic() + 20
    while (now := found(body, identifier))["status"] in ("fail", "unknown") and time.monotonic() < deadline:
        time.sleep(0.5)
    return now


def mended(body, identifier, code=None, before="fail", after="pass", **variables):
    """The check is as it should be, its commands end well, and then it passes."""
    told = found(body, identifier)
    assert told["status"] == before and told.get("marsErrorCode") == code, told
    lines = commands(told)
    assert lines and told["cause"] and told["evidence"], told
    assert commands(told, "powershell") and any(remedy["client"] == "portal" for remedy in told["remediation"]), told
    pasted(lines, **variables)
    now = settled(body, identifier)
    assert now["status"] == after, (lines, now)
    return lines


def pasted(lines, **variables):
    for line in lines:
        DEV.run(line, **variables)


def healed(body):
    """Runs what each failed check says until none fails. Answers which ones failed, in order."""
    met = []
    for _ in range(8):
        failing = [check for check in DEV.preflight(body)["checks"] if check["status"] == "fail"]
        if not failing:
            return met
        first = failing[0]
        met.append(first.get("marsErrorCode") or first["id"])
        pasted(commands(first))
        settled(body, first["id"])
    raise AssertionError((met, failing))


@check
def the_pair_where_all_is_well_passes():
    report = DEV.preflight(pair(fqdn=NAMES["SAMPLE_FQDN"]))
    ill = [check for check in report["checks"] if check["status"] not in ("pass", "skipped")]
    assert report["overall"] == "pass", ill


@check
def a_system_assigned_identity_beside_others_is_enough():
    assert DEV.preflight(pair(vault="RSV_BOTH_IDENTITIES_ID"))["overall"] == "pass"


@check
def error_391224_without_an_identity_is_mended_and_391225_follows():
    body = pair(vault="RSV_NO_IDENTITY_ID")
    pasted(mended(body, "PF-07", "391224"))
    pasted(mended(body, "PF-09", "391225"))
    assert failed(body) == []


@check
def error_391224_with_a_user_assigned_identity_is_mended_and_keeps_it():
    body = pair(vault="RSV_USER_ASSIGNED_ID")
    mended(body, "PF-07", "391224")
    identity = DEV.run(f"az backup vault show --ids {NAMES['RSV_USER_ASSIGNED_ID']} --query identity.type -o tsv")
    assert identity == "SystemAssigned, UserAssigned", identity
    mended(body, "PF-09", "391225")
    assert failed(body) == []


@check
def error_391225_by_roles_is_mended_with_the_right_to_set_and_no_other():
    body = pair(vault="RSV_NO_PERMISSION_ID")
    mended(body, "PF-09", "391225")
    assert found(body, "PF-10")["status"] == "pass"
    assert found(body, "PF-20")["status"] in ("pass", "warn")
    assert failed(body) == []


@check
def error_391225_by_access_policies_is_mended_and_others_keep_their_policies():
    body = pair(key_vault="KEY_VAULT_ACCESS_POLICY_URI")
    policies = "az keyvault show -n kv-mars-policies --query 'length(properties.accessPolicies)' -o tsv"
    before = int(DEV.run(policies))
    pasted(mended(body, "PF-09", "391225"))
    assert int(DEV.run(policies)) == before + 1
    assert failed(body) == []


@check
def error_391282_is_mended_by_recovering_the_secret():
    body = pair(fqdn=NAMES["SOFT_DELETED_FQDN"])
    assert failed(body) == ["PF-13"]
    mended(body, "PF-13", "391282")
    assert failed(body) == []


@check
def error_391283_is_mended_by_recovering_the_key_vault_and_giving_its_roles_again():
    body = pair(key_vault="KEY_VAULT_SOFT_DELETED_URI")
    mended(body, "PF-05", "391283")
    for identifier in failed(body):
        assert identifier in ("PF-09", "PF-16"), identifier
        mended(body, identifier, found(body, identifier).get("marsErrorCode"))
    assert failed(body) == []


@check
def error_100272_is_mended_by_the_uri_that_the_command_prints():
    host = NAMES["KEY_VAULT_URI"].removeprefix("https://").removesuffix("/")
    for wrong in (f"http://{host}", f"https://{host}:443/", f"https://{host}/secrets/x", host.split(".")[0],
                  f"https://portal.azure.com/#@contoso.com/resource{NAMES['KEY_VAULT_ID']}/overview"):
        body = pair() | {"keyVaultUri": wrong}
        told = found(body, "PF-01")
        assert told["status"] == "fail" and told["marsErrorCode"] == "100272", (wrong, told)
        printed = [line for command in commands(told) for line in DEV.run(command).splitlines()]
        assert NAMES["KEY_VAULT_URI"] in printed, (wrong, printed)
    assert found(pair(), "PF-01")["status"] == "pass"


@check
def a_key_vault_without_purge_protection_is_mended():
    body = pair(key_vault="KEY_VAULT_NO_PURGE_PROTECTION_URI")
    assert failed(body) == ["PF-12"]
    pasted(mended(body, "PF-12"))
    assert failed(body) == []


@check
def a_firewall_that_refuses_this_service_is_mended_with_the_address_that_key_vault_saw():
    body = pair(key_vault="KEY_VAULT_FIREWALLED_URI")
    lines = mended(body, "PF-15", after="warn")
    assert any("203.0.113.7" in line for line in lines), lines
    pasted(lines)
    assert failed(body) == []


@check
def a_disabled_secret_is_mended():
    fqdn = NAMES["SAMPLE_FQDN"]
    name = f"AzBackup-{fqdn.replace('.', '-')}-rsv-prod"
    DEV.run(f"az keyvault secret set-attributes --vault-name kv-mars -n {name} --enabled false")
    pasted(mended(pair(fqdn=fqdn), "PF-14", before="warn"))


@check
def a_key_vault_without_a_log_is_mended():
    DEV.run(f"az monitor diagnostic-settings delete --resource {NAMES['KEY_VAULT_ID']} --name audit")
    workspace = NAMES["KEY_VAULT_ID"].replace("Microsoft.KeyVault/vaults", "Microsoft.OperationalInsights/workspaces")
    pasted(mended(pair(), "PF-22", before="warn", LOG_ANALYTICS_WORKSPACE_ID=workspace),
           LOG_ANALYTICS_WORKSPACE_ID=workspace)


@check
def what_only_the_machine_can_mend_says_so_for_the_machine():
    for fqdn, identifier, code in ((NAMES["OLD_AGENT_FQDN"], "PF-17", None),
                                   (NAMES["INCOMPLETE_FQDN"], "PF-18", "Registration is incomplete")):
        told = found(pair(fqdn=fqdn), identifier)
        assert told["status"] == "fail" and told.get("marsErrorCode") == code, told
        assert commands(told) == [] and commands(told, "powershell"), told


@check
def missing_rights_of_this_service_in_arm_are_unknown_and_mended():
    broker = DEV.control("GET", "world")["identity"]["principalId"]
    DEV.run("az role assignment delete --role 'MARS Passphrase Broker (diagnosis)' --assignee-object-id "
            f"{broker} --scope /subscriptions/{SUBSCRIPTION}")
    report = DEV.preflight(pair())
    assert report["overall"] == "unknown", [(check["id"], check["status"]) for check in report["checks"]]
    pasted(mended(pair(), "PF-16", before="unknown"))
    # Nothing but the age of the new role is left.
    assert [check["id"] for check in DEV.preflight(pair())["checks"] if check["status"] not in ("pass", "skipped")] == []


def vault(name, identity=None, group="rg-backup", subscription=SUBSCRIPTION):
    """A Recovery Services vault that the world did not have. Answers its id."""
    spec = {"resourceGroup": group, "subscriptionId": subscription}
    return DEV.control("PUT", "recovery-services-vaults/" + name, spec | ({} if identity is None else {"identity": identity}))["resourceId"]


def with_vault(identifier, **more):
    return pair() | {"recoveryServicesVaultId": identifier} | more


@check
def names_that_a_shell_would_take_apart_are_mended():
    body = with_vault(vault("rsv-odd", {}, group="rg_(back-up).x"))
    assert healed(body) == ["391224", "391225"]


@check
def everything_wrong_at_once_is_mended_one_after_the_other():
    name, fqdn = "kv-mars-deleted", "srv-all01.corp.contoso.com"
    DEV.control("PUT", "key-vaults/" + name, {
        "settings": {"softDeleted": True, "purgeProtection": False, "network": "firewallDenies"},
        "secrets": [{"name": f"AzBackup-{fqdn.replace('.', '-')}-rsv-all", "value": "v", "deleted": True, "enabled": False}]})
    body = with_vault(vault("rsv-all"), keyVaultUri=f"https://{name.upper()}.vault.azure.net", fqdn=fqdn)
    met = healed(body)
    for code in ("391283", "391224", "391225", "391282", "PF-12", "PF-15", "PF-16"):
        assert code in met, met
    pasted(mended(body, "PF-14", before="warn"))


@check
def more_rights_than_setting_are_narrowed():
    principal = "c0ffee00-0000-4000-8000-000000000004"
    DEV.control("POST", "role-assignments", {"principalId": principal, "scope": NAMES["KEY_VAULT_ID"],
                                             "role": "Key Vault Secrets Officer"})
    body = with_vault(vault("rsv-officer", {"principalId": principal}))
    pasted(mended(body, "PF-10", before="warn"))
    assert failed(body) == []


@check
def a_policy_without_set_keeps_what_it_has():
    principal = "c0ffee00-0000-4000-8000-000000000001"
    DEV.run(f"az keyvault set-policy -n kv-mars-policies --object-id {principal} --secret-permissions get list")
    body = with_vault(vault("rsv-reader", {"principalId": principal})) | {"keyVaultUri": NAMES["KEY_VAULT_ACCESS_POLICY_URI"]}
    # The samples' identity has a policy with "set" by now, and whether that object is a group is not known.
    mended(body, "PF-09", "391225", before="unknown")
    query = f"properties.accessPolicies[?objectId=='{principal}'].permissions.secrets[]"
    assert sorted(DEV.run(f'az keyvault show -n kv-mars-policies --query "{query}" -o tsv').split()) == ["get", "list", "set"]


@check
def a_policy_vault_without_a_policy_of_this_service_is_mended():
    DEV.control("PATCH", "key-vaults/kv-mars-policies/settings", {"access": {"policies": []}})
    body = pair(key_vault="KEY_VAULT_ACCESS_POLICY_URI")
    assert set(healed(body)) == {"391225", "PF-16"}


@check
def a_role_that_takes_its_time_is_a_pass_with_a_warning():
    body = with_vault(vault("rsv-slow", {"principalId": "c0ffee00-0000-4000-8000-000000000002"}))
    mended(body, "PF-09", "391225")
    young = found(body, "PF-20")
    assert young["status"] == "warn" and young.get("marsErrorCode") == "391225", young


@check
def a_condition_that_does_not_hold_is_mended():
    principal = "c0ffee00-0000-4000-8000-000000000003"
    condition = "((!(ActionMatches{'Microsoft.KeyVault/vaults/secrets/setSecret/action'})) OR " \
                "(@Request[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'Other-'))"
    DEV.control("POST", "role-assignments", {"principalId": principal, "scope": NAMES["KEY_VAULT_ID"],
                                             "role": f"MARS passphrase writer ({SUBSCRIPTION[:8]})", "condition": condition})
    mended(with_vault(vault("rsv-conditional", {"principalId": principal}), fqdn=NAMES["SAMPLE_FQDN"]), "PF-09", "391225")


@check
def a_vault_in_a_subscription_that_this_service_cannot_read_is_mended_there():
    other = "5b1e0a4c-0000-4000-8000-0000000000aa"
    administrator = DEV.control("GET", "machines")[0]["systemAssigned"]["principalId"]
    DEV.control("POST", "owners", {"principalId": administrator, "scope": f"/subscriptions/{other}"})
    body = with_vault(vault("rsv-far", subscription=other))
    DEV.run("az login --identity")
    assert found(body, "PF-07")["status"] == "unknown"
    pasted(mended(body, "PF-16", before="warn"))
    assert healed(body) == ["391224", "391225"]


if __name__ == "__main__":
    run()

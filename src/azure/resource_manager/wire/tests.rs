//! Recorded shapes of ARM's answers, and what becomes of them when members are missing, odd or hostile.

use serde_json::{Value, json};

use super::{key_vault::KeyVault, recovery_services::RecoveryServicesVault, *};
use crate::domain::{
    key_vault_resource::KeyVaultResource,
    recovery_services_resource::{RecoveryServicesVaultResource, ResourceIdentity},
    recovery_services_vault::RecoveryServicesVaultId,
    resource_id::KeyVaultId,
};

const KEY_VAULT: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-mars";
const RSV: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/rsv";
const TENANT: &str = "70a036f6-8e4d-4615-bad6-149c02e7720d";
const PRINCIPAL: &str = "708fa728-22b1-49fb-afc1-e871561e8f36";
const JUNK: [&str; 7] = ["null", "7", "-1", "true", "\"\\u001b[2J\"", "[]", "{}"];

fn key_vault(told: &Value) -> Option<KeyVaultResource> {
    let asked = KeyVaultId::parse(KEY_VAULT).unwrap();
    KeyVault::deserialize(told).ok()?.read(&asked)
}

fn recovery_services_vault(told: &Value) -> Option<RecoveryServicesVaultResource> {
    let asked = RecoveryServicesVaultId::parse(RSV).unwrap();
    RecoveryServicesVault::deserialize(told).ok()?.read(&asked)
}

fn identity(identity: &Value) -> Option<ResourceIdentity> {
    let told = json!({"id": RSV, "location": "westus", "properties": {}, "identity": identity});
    recovery_services_vault(&told).map(|rsv| rsv.identity)
}

/// As recorded: neither RBAC nor a firewall, and a URI without its final slash.
fn young() -> Value {
    json!({"id": KEY_VAULT, "name": "kv-mars", "type": "Microsoft.KeyVault/vaults", "location": "eastus", "tags": {},
        "properties": {"sku": {"family": "A", "name": "standard"}, "tenantId": TENANT, "accessPolicies": [
            {"tenantId": TENANT, "objectId": PRINCIPAL, "permissions": {"keys": ["all"], "secrets": ["all"]}}],
        "enabledForDeployment": false, "enableSoftDelete": true, "softDeleteRetentionInDays": 7,
        "vaultUri": "https://kv-mars.vault.azure.net", "provisioningState": "RegisteringDns"}})
}

#[test]
fn absent_members_mean_access_policies_no_purge_protection_and_an_open_network() {
    let kv = key_vault(&young()).unwrap();
    assert!(!kv.rbac && !kv.purge_protection);
    assert_eq!((kv.soft_delete, kv.retention_days), (Some(true), Some(7)));
    assert_eq!(kv.uri, "https://kv-mars.vault.azure.net");
    assert_eq!(kv.access_policies[0].secret_permissions, ["all"]);
    assert!(kv.network.public_access.is_none() && !kv.network.default_action_deny);
    assert_eq!(kv.provisioning_state.as_deref(), Some("RegisteringDns"));
}

#[test]
fn a_network_is_told_with_its_rules() {
    let mut told = young();
    told["properties"]["publicNetworkAccess"] = "SecuredByPerimeter".into();
    told["properties"]["privateEndpointConnections"] = json!([{"id": "p"}]);
    told["properties"]["networkAcls"] = json!({"bypass": "none", "defaultAction": "DENY",
        "ipRules": [{"value": "203.0.113.7/32"}], "virtualNetworkRules": [{"id": "v"}]});
    let network = key_vault(&told).unwrap().network;
    assert!(network.default_action_deny && !network.bypass_azure_services);
    assert_eq!(network.public_access.as_deref(), Some("SecuredByPerimeter"));
    assert_eq!(network.ip_rules, ["203.0.113.7/32"]);
    assert_eq!((network.virtual_network_rules, network.private_endpoints), (1, 1));
    told["properties"]["networkAcls"] = json!({"defaultAction": "Perhaps"});
    assert!(key_vault(&told).unwrap().network.default_action_deny);
}

/// Every way to put junk in the place of one member.
fn spoilt(told: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let places: Vec<String> = match told {
        Value::Object(members) => {
            members.keys().map(|key| format!("/{}", key.replace('/', "~1"))).collect()
        }
        Value::Array(items) => (0..items.len()).map(|at| format!("/{at}")).collect(),
        _ => return all,
    };
    for place in places {
        let inside = spoilt(told.pointer(&place).unwrap());
        let junk = JUNK.iter().map(|junk| serde_json::from_str(junk).unwrap());
        for value in inside.into_iter().chain(junk) {
            let mut copy = told.clone();
            *copy.pointer_mut(&place).unwrap() = value;
            all.push(copy);
        }
    }
    all
}

#[test]
fn junk_in_one_place_never_becomes_a_protection_or_a_right() {
    let mut told = young();
    told["properties"]["enablePurgeProtection"] = false.into();
    told["properties"]["enableRbacAuthorization"] = Value::Null;
    told["properties"]["networkAcls"] = json!({"defaultAction": "Deny", "bypass": "None"});
    let (mut read, all) = (0, spoilt(&told));
    for copy in &all {
        let Some(kv) = key_vault(copy) else { continue };
        read += 1;
        let changed = |member: &str| copy["properties"][member] == true;
        assert_eq!(kv.purge_protection, changed("enablePurgeProtection"), "{copy}");
        assert_eq!(kv.rbac, changed("enableRbacAuthorization"), "{copy}");
        assert!([kv.uri.as_str(), kv.location.as_str()].iter().all(|text| text.len() > 2));
        for policy in kv.access_policies {
            assert!(policy.secret_permissions.iter().all(|word| word == "all"), "{copy}");
        }
    }
    assert!(all.len() > 150 && read > 40 && read < all.len(), "{read} of {}", all.len());
}

#[test]
fn a_text_cut_anywhere_is_no_answer() {
    let whole = young().to_string();
    let read = |text: &str| serde_json::from_str(text).ok().and_then(|told| key_vault(&told));
    assert!(read(&whole).is_some());
    assert!((0..whole.len()).all(|end| read(&whole[..end]).is_none()));
}

#[test]
fn the_recorded_forms_of_an_identity_are_read() {
    let never = json!({"location": "westus", "name": "V", "id": RSV,
        "properties": {"provisioningState": "Succeeded"}, "sku": {"name": "Standard"}});
    let absent = |was_taken_away| ResourceIdentity::Absent { was_taken_away };
    assert_eq!(recovery_services_vault(&never).unwrap().identity, absent(false));
    assert_eq!(identity(&Value::Null), Some(absent(false)));
    assert_eq!(identity(&json!({"type": "None"})), Some(absent(true)));
    let principal = |it: &Value| {
        identity(it).and_then(|it| it.system_assigned()).map(|it| it.principal_id.to_string())
    };
    let own = json!({"tenantId": TENANT, "principalId": PRINCIPAL, "type": "systemassigned"});
    assert_eq!(principal(&own).as_deref(), Some(PRINCIPAL));
    let both = json!({"tenantId": TENANT, "principalId": PRINCIPAL, "type": "UserAssigned,SystemAssigned",
        "userAssignedIdentities": {"/subscriptions/s/x": {"clientId": "c", "principalId": "p"}}});
    assert_eq!(principal(&both).as_deref(), Some(PRINCIPAL));
    let user =
        json!({"tenantId": TENANT, "type": "UserAssigned", "userAssignedIdentities": {"/x": {}}});
    assert_eq!(identity(&user), Some(ResourceIdentity::UserAssigned { ids: vec!["/x".into()] }));
    for nobody in [Value::Null, "".into()] {
        let told = json!({"type": "SystemAssigned", "principalId": nobody, "tenantId": TENANT});
        let without = ResourceIdentity::WithoutPrincipal { ids: Vec::new() };
        assert_eq!(identity(&told), Some(without));
    }
}

#[test]
fn junk_in_an_identity_never_makes_a_principal() {
    let told = json!({"tenantId": TENANT, "principalId": PRINCIPAL, "type": "SystemAssigned, UserAssigned",
        "userAssignedIdentities": {"/x": {"clientId": "c"}}});
    for copy in spoilt(&told) {
        let usable = identity(&copy).and_then(|it| it.system_assigned());
        let intact = copy["principalId"] == PRINCIPAL && copy["type"] == told["type"];
        assert!(usable.is_none() || intact, "{copy}");
    }
    for wrong in [json!({}), json!("SystemAssigned"), json!({"type": "Fancy"}), json!([])] {
        assert_eq!(identity(&wrong), None, "{wrong}");
    }
}

#[test]
fn text_that_nobody_should_see_is_none() {
    let shown = |text: &str| shown(Some(text.to_owned()));
    assert_eq!(shown("West Europe").as_deref(), Some("West Europe"));
    assert_eq!(shown("M\u{fc}nchen").as_deref(), Some("M\u{fc}nchen"));
    for wrong in ["", "a\nb", "a\u{1b}[2Jb", "a\u{202e}b", "a\u{feff}", &"a".repeat(513)] {
        assert_eq!(shown(wrong), None, "{wrong:?}");
    }
}

#[test]
fn an_id_lies_within_another_at_a_slash_only() {
    assert!(is_within("/a/B", "/A/b") && is_within("/a/b/c", "/a/b"));
    assert!(!is_within("/a/bc", "/a/b") && !is_within("/a", "/a/b") && !is_within("", "/a"));
    assert!(!is_within("/\u{e4}", "/a"));
}

#[test]
fn moments_have_seven_digits_of_a_second_or_none() {
    let moment = |text: &str| moment(Some(text.to_owned())).map(OffsetDateTime::unix_timestamp);
    assert_eq!(moment("2025-04-14T08:54:26.7153899Z"), Some(1_744_620_866));
    assert_eq!(moment("2024-07-22T06:24:25Z"), Some(1_721_629_465));
    assert_eq!(moment("yesterday"), None);
}

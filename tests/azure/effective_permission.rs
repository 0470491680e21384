//! What we work out from ARM's answers is what Key Vault then does: in each of these worlds the decision is
//! compared with setting a secret. Every list comes in pages of one, with empty pages between them.

use azsim::{Azsim, RECOVERY_VAULT_PRINCIPAL as P, TokenSpec, World};
use passphrase_broker::domain::{
    effective_permission::{
        EffectivePermission, Groups, KeyVaultScope, Question, Rights, SecretAction,
        SecurityPrincipal, decide,
    },
    resource_id::SecretScope,
    role_definition_id::RoleDefinitionId,
    secret_name::SecretName,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::harness::{Azure, SUBSCRIPTION, deadline, key_vault_id, principal};

const SECRET: &str = "AzBackup-web01-rsv";
const OTHER: &str = "0c0c0c0c-0000-4000-8000-00000000000c";
const SET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
const OWN_NAMES: &str = "((!(ActionMatches{'Microsoft.KeyVault/vaults/secrets/setSecret/action'})) OR \
                         (@Request[Microsoft.KeyVault/vaults/secrets:name] StringStartsWith 'AzBackup-'))";

/// Azure's answer to setting the secret, asked as the principal.
async fn sets(azsim: &Azsim) -> bool {
    let ca = reqwest::Certificate::from_pem(azsim.ca_pem().as_bytes()).unwrap();
    let proxy = reqwest::Proxy::https(azsim.proxy_url()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([ca]).proxy(proxy).build().unwrap();
    let token = azsim.mint(&TokenSpec::key_vault(azsim.tenant_id(), P, "app")).unwrap();
    let url = format!("https://kv-mars.vault.azure.net/secrets/{SECRET}?api-version=2025-07-01");
    let request = http.put(url).bearer_auth(token).json(&json!({"value": "v"}));
    request.send().await.unwrap().status() == 200
}

/// Our answer, from ARM alone, some time after everything was assigned.
async fn decided(azure: &Azure) -> EffectivePermission {
    let (arm, id) = (&azure.resource_manager, key_vault_id());
    let scope = SecretScope { key_vault: id.clone(), secret: SecretName::parse(SECRET).ok() };
    let kv = arm.key_vault("r", &id, deadline()).await.unwrap().value;
    let assignments =
        arm.role_assignments("r", &scope, Some(principal()), deadline()).await.unwrap();
    let denials = arm.deny_assignments("r", &scope, deadline()).await.unwrap();
    let mut definitions = Vec::new();
    for assignment in &assignments.value {
        let role = RoleDefinitionId::parse(&assignment.role_definition_id).unwrap();
        definitions.push(
            arm.role_definition("r", &key_vault_id(), &role, deadline()).await.unwrap().value,
        );
    }
    let tenant_id = kv.tenant_id.to_string();
    let who = SecurityPrincipal { object_id: P.to_owned(), tenant_id: tenant_id.clone() };
    let key_vault = KeyVaultScope { id: id.to_string(), tenant_id };
    let question = Question {
        principal: &who,
        action: SecretAction::Set,
        key_vault: &key_vault,
        secret_name: Some(SECRET),
        groups: Groups::NOT_KNOWN,
        now: OffsetDateTime::UNIX_EPOCH + time::Duration::days(365_000),
    };
    let rbac = Rights::Rbac {
        assignments: &assignments.value,
        definitions: &definitions,
        deny_assignments: Some(&denials.value),
    };
    decide(&question, if kv.rbac { rbac } else { Rights::AccessPolicies(&kv.access_policies) })
}

fn world(overlay: &Value) -> World {
    let mut world = json!({
        "subscriptions": [{"subscriptionId": SUBSCRIPTION.to_string()}],
        "groups": [{"id": "inner", "members": [P]}, {"id": OTHER, "members": ["inner"]}],
        "managementGroups": [{"name": "mg", "subscriptions": [SUBSCRIPTION.to_string()]}],
        "paging": {"pageSize": 1, "emptyPages": true},
    });
    overlay.as_object().unwrap().iter().for_each(|(name, value)| world[name] = value.clone());
    serde_json::from_value(world).unwrap()
}

fn at(scope: &str) -> Value {
    json!({"principalId": P, "scope": scope, "dataActions": [SET]})
}

/// A role assignment at the resource group with these members changed.
fn but(change: &Value) -> Value {
    let mut assignment = at(&resource_group());
    change.as_object().unwrap().iter().for_each(|(name, value)| assignment[name] = value.clone());
    json!({"roleAssignments": [assignment]})
}

fn resource_group() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mars")
}

fn denied_at(scope: &str, principal: &str, excluded: &[&str]) -> Value {
    json!({
        "roleAssignments": [at("/"), {"principalId": OTHER, "scope": "/", "role": "Reader"}],
        "denyAssignments": [{
            "scope": scope, "principals": [principal], "excludePrincipals": excluded,
            "permissions": [{"dataActions": ["*/setSecret/*"]}],
        }],
    })
}

fn policies(policies: &Value) -> Value {
    json!({"keyVaults": [{"name": "kv-mars", "settings": {"access": {"policies": policies}}}]})
}

/// Allowed, or not.
fn certain_worlds() -> Vec<(&'static str, Value, bool)> {
    let mg = "/providers/Microsoft.Management/managementGroups/mg";
    let everyone = "00000000-0000-0000-0000-000000000000";
    let secret = |name: &str| format!("{}/secrets/{name}", key_vault_id());
    let policy = |object: &str, word: &str| json!([{"objectId": object, "secrets": ["get", word]}]);
    vec![
        ("no right at all", json!({}), false),
        ("at the Key Vault", json!({"roleAssignments": [at(key_vault_id().as_str())]}), true),
        ("at the resource group", but(&json!({})), true),
        ("at a management group", json!({"roleAssignments": [at(mg)]}), true),
        ("at the secret", json!({"roleAssignments": [at(&secret(SECRET))]}), true),
        ("at another secret", json!({"roleAssignments": [at(&secret("other"))]}), false),
        ("through a group in a group", but(&json!({"principalId": OTHER})), true),
        ("somebody else's", but(&json!({"principalId": "somebody"})), false),
        ("an owner", but(&json!({"role": "Owner"})), false),
        ("an officer", but(&json!({"role": "Key Vault Secrets Officer"})), true),
        ("a user", but(&json!({"role": "Key Vault Secrets User"})), false),
        (
            "an exception",
            but(&json!({"dataActions": ["*"], "notDataActions": ["*/SETSECRET/*"]})),
            false,
        ),
        ("a condition that holds", but(&json!({"condition": OWN_NAMES})), true),
        (
            "a condition that fails",
            but(&json!({"condition": OWN_NAMES.replace("Az", "az")})),
            false,
        ),
        ("a denial", denied_at(&resource_group(), P, &[]), false),
        ("a denial at a management group", denied_at(mg, everyone, &[]), false),
        ("a denial of a group", denied_at("/", OTHER, &[]), false),
        ("a denial that excludes", denied_at("/", everyone, &[OTHER]), true),
        ("a denial of somebody else", denied_at("/", "somebody", &[]), true),
        ("a policy", policies(&policy(P, "set")), true),
        ("a policy for all", policies(&policy(P, "All")), true),
        ("a policy without the word", policies(&policy(P, "list")), false),
        ("others' policies without the word", policies(&policy("somebody", "list")), false),
        (
            "a policy through an application",
            policies(&json!([{"objectId": P, "secrets": ["set"], "applicationId": OTHER}])),
            false,
        ),
    ]
}

#[tokio::test]
async fn what_is_decided_is_what_key_vault_does() {
    for (name, overlay, expected) in certain_worlds() {
        let azure = Azure::of(world(&overlay));
        let decided = decided(&azure).await;
        let allowed = matches!(decided, EffectivePermission::Allowed { propagating: false, .. });
        let denied = matches!(decided, EffectivePermission::Denied { .. });
        assert_eq!((allowed, denied), (expected, !expected), "{name}: {decided:?}");
        assert_eq!(sets(&azure.azsim).await, expected, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_decided_is_never_allowed() {
    let group = |id: &str| json!({"id": id, "members": ["nobody"]});
    let mut excluded = denied_at("/", "00000000-0000-0000-0000-000000000000", &["strangers"]);
    excluded["groups"] = json!([group("strangers")]);
    for (name, overlay) in [
        ("a condition beyond us", but(&json!({"condition": "@Principal[a] StringEquals 'b'"}))),
        ("a condition that nobody can read", but(&json!({"condition": "("}))),
        ("a denial that excludes a group", excluded),
        (
            "others' policies, perhaps of groups",
            policies(&json!([{"objectId": "x", "secrets": ["set"]}])),
        ),
    ] {
        let azure = Azure::of(world(&overlay));
        let decided = decided(&azure).await;
        assert!(matches!(decided, EffectivePermission::Unknown { .. }), "{name}: {decided:?}");
        assert!(!sets(&azure.azsim).await, "{name}");
    }
}

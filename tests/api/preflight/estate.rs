//! A part of Azure in which all is right, for one test alone: a subscription with a Key Vault and a Recovery
//! Services vault, both readable by the broker. A test spoils one thing in it.

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use azsim::{
    Container, DiagnosticSetting, KeyVaultSpec, RecoveryServicesVault, RoleAssignment,
    VaultIdentity,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::harness::{Answer, Broker, Setup, azure};

const KEY_VAULTS: usize = 80;
/// What domain.md B.9 lets the broker read in ARM.
const DIAGNOSIS: &str = include_str!("../../../deploy/azure/role-definition-diagnosis.json");
pub const SET_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
pub const FQDN: &str = "srv-web01.corp.contoso.com";

static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let run = &Uuid::new_v4().simple().to_string()[..8];
    (0..KEY_VAULTS).map(|number| format!("pf-{run}-{number}")).collect()
});
static TAKEN: AtomicUsize = AtomicUsize::new(1);
static BROKER: OnceCell<Broker> = OnceCell::const_new();

/// One that is configured for every Key Vault of these tests.
pub async fn broker() -> &'static Broker {
    let start = || async {
        azure().add_key_vault(KeyVaultSpec::named(&NAMES[0])).unwrap();
        let uris: Vec<String> = NAMES.iter().map(|name| uri(name)).collect();
        let environment = [("KEY_VAULT_URIS", uris.join(","))].into();
        Broker::start(Setup { environment, ..Setup::default() }).await
    };
    BROKER.get_or_init(start).await
}

pub fn uri(key_vault: &str) -> String {
    format!("https://{key_vault}.vault.azure.net/")
}

pub struct Estate {
    pub broker: &'static Broker,
    pub subscription: String,
    pub key_vault: KeyVaultSpec,
    pub recovery_services_vault: RecoveryServicesVault,
    /// The principal of its system-assigned identity.
    pub principal: String,
}

impl Estate {
    /// All is right.
    pub async fn right() -> Self {
        let estate = Self::without_rights(|_| {}, |_| {}).await;
        estate.let_broker_read();
        estate.let_mars_write();
        estate
    }

    /// Nobody has any right yet, but the broker to its secrets.
    pub async fn without_rights(
        spoil_key_vault: impl FnOnce(&mut KeyVaultSpec),
        spoil_vault: impl FnOnce(&mut RecoveryServicesVault),
    ) -> Self {
        let broker = broker().await;
        let (subscription, principal) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let mut key_vault = KeyVaultSpec::named(&NAMES[TAKEN.fetch_add(1, Ordering::Relaxed)]);
        key_vault.subscription_id.clone_from(&subscription);
        spoil_key_vault(&mut key_vault);
        azure().add_key_vault(key_vault.clone()).unwrap();
        let mut vault = RecoveryServicesVault {
            subscription_id: subscription.clone(),
            resource_group: "rg-backup".to_owned(),
            identity: Some(VaultIdentity {
                principal_id: Some(principal.clone()),
                user_assigned: Vec::new(),
            }),
            containers: vec![Container::named(FQDN)],
            ..RecoveryServicesVault::named("rsv-prod")
        };
        vault.location.clone_from(&key_vault.location);
        spoil_vault(&mut vault);
        azure().add_recovery_services_vault(vault.clone());
        azure().add_diagnostic_setting(DiagnosticSetting {
            resource_id: key_vault.resource_id(),
            name: "audit".to_owned(),
            properties: json!({"logs": [{"category": "AuditEvent", "enabled": true}]}),
        });
        Self { broker, subscription, key_vault, recovery_services_vault: vault, principal }
    }

    pub fn let_broker_read(&self) {
        self.let_broker_read_all_but("");
    }

    pub fn let_broker_read_all_but(&self, left_out: &str) {
        let role: Value = serde_json::from_str(DIAGNOSIS).unwrap();
        let actions = role["Actions"].as_array().unwrap().iter();
        let actions = actions.map(|action| action.as_str().unwrap().to_owned());
        let actions = actions.filter(|action| action != left_out).collect();
        let id = Uuid::new_v4().to_string();
        azure().define_role(&azsim::RoleDefinition {
            id: id.clone(),
            role_name: format!("diagnosis {id}"),
            description: String::new(),
            assignable_scopes: vec![self.scope()],
            permissions: vec![azsim::Permission { actions, ..azsim::Permission::default() }],
        });
        let broker = &azure().identity().principal_id;
        let assignment =
            RoleAssignment { role: Some(id), ..RoleAssignment::to(broker, self.scope()) };
        azure().assign(&assignment);
    }

    pub fn let_mars_write(&self) {
        self.assign(&self.principal, &[SET_SECRET]);
    }

    /// Data actions at the Key Vault, for somebody.
    pub fn assign(&self, principal: &str, data_actions: &[&str]) {
        azure().assign(&RoleAssignment {
            data_actions: data_actions.iter().map(ToString::to_string).collect(),
            ..RoleAssignment::to(principal, self.key_vault.resource_id())
        });
    }

    pub fn scope(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    pub fn key_vault_uri(&self) -> String {
        uri(&self.key_vault.name)
    }

    pub fn rsv_id(&self) -> String {
        self.recovery_services_vault.resource_id()
    }

    /// About all of it.
    pub fn subject(&self) -> Value {
        json!({
            "keyVaultUri": self.key_vault_uri(),
            "recoveryServicesVaultId": self.rsv_id(),
            "fqdn": FQDN,
        })
    }

    pub async fn report(&self) -> Answer {
        self.report_on(self.subject()).await
    }

    pub async fn report_on(&self, subject: Value) -> Answer {
        let answer = self.broker.portal().post("/v1/preflight", subject).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }
}

impl Answer {
    /// What a report says of a check.
    pub fn check(&self, id: &str) -> &Value {
        let checks = self.body["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap()
    }

    pub fn statuses(&self, ids: &[&str]) -> Vec<&str> {
        ids.iter().map(|id| self.check(id)["status"].as_str().unwrap()).collect()
    }
}

/// Actions of the broker's role, for a Key Vault with access policies.
pub fn brokers_policy() -> azsim::AccessPolicy {
    azsim::AccessPolicy {
        object_id: azure().identity().principal_id.clone(),
        secrets: ["get", "list", "set", "recover"].map(str::to_owned).into(),
        ..azsim::AccessPolicy::default()
    }
}

#[tokio::test]
async fn when_all_is_right_every_check_passes() {
    let estate = Estate::right().await;
    let report = estate.report().await;
    let not_passed: Vec<&Value> = report.body["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| {
            // The roles of this test are seconds old.
            check["status"] != "pass" && check["id"] != "PF-20"
        })
        .collect();
    assert_eq!(not_passed, Vec::<&Value>::new());
    assert_eq!(
        (&report.body["overall"], report.statuses(&["PF-20"])),
        (&json!("warn"), vec!["warn"])
    );
}

#[tokio::test]
async fn a_report_writes_nothing_and_reads_no_secret_that_exists() {
    let estate = Estate::right().await;
    let name = "AzBackup-srv-web01-corp-contoso-com-rsv-prod";
    azure()
        .put_secret(&estate.key_vault.name, azsim::SecretSpec::new(name, "Made-up-passphrase-1"))
        .unwrap();
    let report = estate.report().await;
    assert!(!report.text.contains("Made-up-passphrase-1"));
    let seen = azure().requests(&estate.key_vault.name).unwrap();
    let asked: Vec<&str> = seen.iter().map(|request| request.operation.as_str()).collect();
    assert!(asked.contains(&"key_vault.get_deleted_secret"), "{asked:?}");
    for request in &seen {
        let reads = ["list_secrets", "list_versions", "get_deleted_secret", "get_secret"];
        let operation = request.operation.trim_start_matches("key_vault.");
        assert!(reads.contains(&operation), "{operation}");
        assert!(
            operation != "get_secret" || request.secret_name.starts_with("preflight-"),
            "{request:?}"
        );
    }
}

//! What Key Vault did and holds, past the broker: azsim's own record, the second witness.
//!
//! Faults are scoped to one broker's Key Vault and one secret. Those that cut a connection cut it for
//! every request on it, so a test that uses them starts a broker of its own.

use std::time::{Duration, Instant};

use azsim::{Effect, Fault, FaultGuard, Grant, RequestSeen, TokenSpec, VersionView};

use super::{actor::Answer, broker::Broker, broker::azure};

impl Broker {
    /// All versions of a secret with their values, oldest first.
    pub fn versions(&self, secret: &str) -> Vec<VersionView> {
        let found = azure().secret(&self.key_vault, secret).unwrap();
        found.map(|secret| secret.versions).unwrap_or_default()
    }

    /// Key Vault's clock has whole seconds: waits until it shows another one than the newest version has.
    pub async fn another_second(&self, secret: &str) {
        let created = self.versions(secret).last().map_or(0, |version| version.created);
        let deadline = Instant::now() + Duration::from_secs(5);
        while now() <= created {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What Key Vault was asked to do with a secret.
    pub fn requests_on(&self, secret: &str) -> Vec<RequestSeen> {
        let mut seen = azure().requests(&self.key_vault).unwrap();
        seen.retain(|request| request.secret_name.eq_ignore_ascii_case(secret));
        seen
    }

    /// A fault for `set_secret`, `get_secret` and so on of one secret.
    pub fn fault(&self, operation: &str, secret: &str, effect: Effect) -> FaultGuard {
        azure().inject(self.spec(operation, secret, effect))
    }

    /// A fault that strikes once.
    pub fn fault_once(&self, operation: &str, secret: &str, effect: Effect) -> FaultGuard {
        azure().inject(self.spec(operation, secret, effect).times(1))
    }

    /// Deletes a secret as an administrator of the Key Vault would: it can be recovered.
    pub async fn soft_delete(&self, secret: &str) {
        self.administer(reqwest::Method::DELETE, &format!("secrets/{secret}"), 200).await;
    }

    /// Recovers a secret past the broker.
    pub async fn recover_by_hand(&self, secret: &str) {
        let path = format!("deletedsecrets/{secret}/recover");
        self.administer(reqwest::Method::POST, &path, 200).await;
    }

    /// Destroys a deleted secret: only where the Key Vault has no purge protection.
    pub async fn purge(&self, secret: &str) {
        self.administer(reqwest::Method::DELETE, &format!("deletedsecrets/{secret}"), 204).await;
    }

    async fn administer(&self, method: reqwest::Method, path: &str, status: u16) {
        let administrator = uuid::Uuid::new_v4().to_string();
        azure().grant(&self.key_vault, Grant::to(&administrator, &["*"])).unwrap();
        let spec = TokenSpec::key_vault(azure().tenant_id(), &administrator, "portal");
        let ca = reqwest::Certificate::from_pem(azure().ca_pem().as_bytes()).unwrap();
        let proxy = reqwest::Proxy::all(azure().proxy_url()).unwrap();
        let client = reqwest::Client::builder().proxy(proxy).tls_certs_merge([ca]).build().unwrap();
        let url =
            format!("https://{}.vault.azure.net/{path}?api-version=2025-07-01", self.key_vault);
        let token = azure().mint(&spec).unwrap();
        let answer = client.request(method, url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }

    fn spec(&self, operation: &str, secret: &str, effect: Effect) -> Fault {
        Fault::new(format!("key_vault.{operation}"), effect)
            .key_vault(&self.key_vault)
            .secret(secret)
    }
}

impl Answer {
    /// The escrow secret that stands beside this machine's secret.
    pub fn escrow_name(&self) -> String {
        escrow_name_of(self.field("secretName"))
    }
}

#[expect(clippy::disallowed_methods, reason = "azsim's clock is the system's")]
fn now() -> i64 {
    time::OffsetDateTime::from(std::time::SystemTime::now()).unix_timestamp()
}

/// Key Vault's refusal with this status and inner code.
pub fn refusal(status: u16, code: &str, inner: &str) -> Effect {
    let error = serde_json::json!({"code": code, "message": "Caller: appid=secret-name-of-azure", "innererror": {"code": inner}});
    Effect::refuse(status, serde_json::json!({"error": error}).to_string())
}

/// The name that the secret of a registration gets.
pub fn secret_name_of(registration: &serde_json::Value) -> String {
    let fqdn = registration["fqdn"].as_str().unwrap();
    format!("AzBackup-{}-rsv-prod", fqdn.replace('.', "-"))
}

fn escrow_name_of(secret_name: &str) -> String {
    secret_name.replacen("AzBackup-", "AzBackupPending-", 1)
}

//! The effective configuration in words, for `check-config`: one line per setting, under the name
//! of its variable. A secret is shown as `(set)`.

use super::{AzureCredential, Config};
use crate::domain::secret_name::SecretNameStyle;

const SET: &str = "(set)";
const UNSET: &str = "(not set)";

impl Config {
    /// One line per setting with its effective value.
    pub fn describe(&self) -> String {
        let seconds = |duration: std::time::Duration| duration.as_secs().to_string();
        let settings = [
            ("LISTEN_ADDRESS", self.listen_address.to_string()),
            ("METRICS_ADDRESS", or_unset(self.metrics_address.as_ref())),
            ("DATABASE_URL", SET.to_owned()),
            ("MIGRATION_DATABASE_URL", or_unset(self.migration_database_url.as_ref().map(|_| SET))),
            ("MIGRATE_ON_START", self.migrate_on_start.to_string()),
            ("DATABASE_MAX_CONNECTIONS", self.database_max_connections.to_string()),
            ("KEY_VAULT_URIS", joined(self.key_vaults.iter())),
            ("SECRET_NAME_STYLE", style(self.secret_name_style).to_owned()),
            ("ENTRA_TENANT_IDS", joined(self.entra_tenant_ids.iter())),
            ("ENTRA_AUDIENCE", self.entra_audience.to_string()),
            ("ENTRA_AUTHORITY", self.entra_authority.to_string()),
            ("ENTRA_USER_SCOPE", self.entra_user_scope.clone()),
            ("AZURE_CREDENTIAL", credential(self.azure_credential).to_owned()),
            ("AZURE_CLIENT_ID", or_unset(self.azure_client_id)),
            ("EXTRA_CA_FILE", or_unset(self.extra_ca.as_ref().map(|ca| ca.path.display()))),
            ("OUTBOUND_PROXY", or_unset(self.outbound_proxy.as_ref())),
            ("CURSOR_KEY", SET.to_owned()),
            ("AUDIT_SIGNING_KEY", or_unset(self.audit_signing_keys.as_ref().map(|_| SET))),
            ("AUDIT_SIGNING_SECRET", or_unset(self.audit_signing_secret.as_ref())),
            ("AUDIT_CHECKPOINT_SECRET", or_unset(self.audit_checkpoint_secret.as_ref())),
            ("AUDIT_CHECKPOINT_SECONDS", seconds(self.audit_checkpoint_every)),
            (
                "AUDIT_WEBHOOK_URL",
                or_unset(self.siem.webhook.as_ref().map(super::WebhookConfig::shown)),
            ),
            ("AUDIT_WEBHOOK_SECRET", or_unset(self.siem.webhook.as_ref().map(|_| SET))),
            ("AUDIT_STDOUT", if self.siem.stdout { "ocsf" } else { "off" }.to_owned()),
            ("TICKET_REQUIRED", self.ticket_rule.required.to_string()),
            ("TICKET_PATTERN", or_unset(self.ticket_rule.pattern.as_ref())),
            ("ROTATION_AGE_DAYS", or_unset(self.rotation_policy.map(|policy| policy.age_days))),
            (
                "ROTATION_JITTER_DAYS",
                or_unset(self.rotation_policy.map(|policy| policy.jitter_days)),
            ),
            ("LOG_LEVEL", self.log_level.clone()),
            ("DRIFT_CHECK_EVERY", every(self.drift_check_every)),
            ("REQUEST_TIMEOUT_SECONDS", seconds(self.request_timeout)),
            ("INTERRUPTED_AFTER_SECONDS", seconds(self.interrupted_after)),
            ("REGISTRATION_ABANDONED_AFTER_SECONDS", seconds(self.registration_abandoned_after)),
            ("RECONCILE_SECONDS", seconds(self.reconcile_every)),
            ("MAX_CONNECTIONS", self.max_connections.to_string()),
            ("MAX_CONNECTIONS_PER_PEER", self.max_connections_per_peer.to_string()),
            ("MAX_CONCURRENT_REQUESTS", self.max_concurrent_requests.to_string()),
            ("DRAIN_SECONDS", seconds(self.drain)),
            ("SHUTDOWN_GRACE_SECONDS", seconds(self.shutdown_grace)),
        ];
        settings.map(|(variable, value)| format!("{variable}={value}\n")).concat()
    }
}

fn or_unset(value: Option<impl ToString>) -> String {
    value.map_or_else(|| UNSET.to_owned(), |value| value.to_string())
}

fn joined(values: impl Iterator<Item = impl ToString>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

fn every(duration: Option<std::time::Duration>) -> String {
    duration.map_or_else(|| "off".to_owned(), |duration| format!("{}s", duration.as_secs()))
}

fn style(style: SecretNameStyle) -> &'static str {
    match style {
        SecretNameStyle::Dash => "dash",
        SecretNameStyle::Strip => "strip",
        SecretNameStyle::Host => "host",
    }
}

fn credential(credential: AzureCredential) -> &'static str {
    match credential {
        AzureCredential::ManagedIdentity => "managedIdentity",
        AzureCredential::WorkloadIdentity => "workloadIdentity",
        AzureCredential::DeveloperTools => "developerTools",
    }
}

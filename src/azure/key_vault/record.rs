//! What is told of a call to Key Vault: numbers and a line in the log of every attempt, and evidence of the
//! whole call for whoever asked.

use std::time::Duration;

use super::{
    KeyVaultError,
    call::{Answer, Call, Failure},
};

impl Call<'_> {
    /// The same outcome, which knows what was asked.
    pub(super) fn testified(
        &self,
        mut outcome: Result<Answer, Failure>,
        duration: Duration,
    ) -> Result<Answer, Failure> {
        let facts = match &mut outcome {
            Ok(answer) => &mut answer.facts,
            Err(failure) => failure.error.facts_mut(),
        };
        facts.action = data_action(self.operation);
        let evidence = facts.evidence_mut();
        evidence.method = self.method.to_string();
        let after_host = self.url.strip_prefix(self.key_vault.as_str().trim_end_matches('/'));
        after_host.unwrap_or_default().clone_into(&mut evidence.path);
        evidence.duration = duration;
        outcome
    }
}

/// One attempt, counted and, when it failed, logged.
pub(super) fn record(call: &Call<'_>, outcome: &Result<Answer, Failure>, took: Duration) {
    let label = outcome.as_ref().map_or_else(|failure| failure.error.code(), |_answer| "ok");
    metrics::counter!(
        "passphrase_broker_key_vault_calls_total",
        "operation" => call.operation, "outcome" => label
    )
    .increment(1);
    metrics::histogram!(
        "passphrase_broker_key_vault_call_seconds", "operation" => call.operation
    )
    .record(took.as_secs_f64());
    if let Err(failure) = outcome {
        log(call, &failure.error);
    }
}

/// What RBAC calls an operation, for whoever has to grant it.
fn data_action(operation: &str) -> Option<&'static str> {
    match operation {
        "get_version" | "may_get" => Some("Microsoft.KeyVault/vaults/secrets/getSecret/action"),
        "set_secret" => Some("Microsoft.KeyVault/vaults/secrets/setSecret/action"),
        "disable_version" => Some("Microsoft.KeyVault/vaults/secrets/update/action"),
        "recover_secret" => Some("Microsoft.KeyVault/vaults/secrets/recover/action"),
        "probe"
        | "list_versions"
        | "list_secrets"
        | "list_deleted_secrets"
        | "get_deleted_secret" => Some("Microsoft.KeyVault/vaults/secrets/readMetadata/action"),
        _ => None,
    }
}

fn log(call: &Call<'_>, error: &KeyVaultError) {
    let (operation, request_id, host) = (call.operation, call.request_id, call.key_vault.host());
    let (outcome, facts) = (error.code(), error.facts());
    let (code, inner_code) = (facts.code.as_deref(), facts.inner_code.as_deref());
    let (status, key_vault_request_id) = (facts.status, facts.request_id.as_deref());
    match error {
        KeyVaultError::NotFound(_) | KeyVaultError::Disabled(_) => tracing::debug!(
            operation,
            request_id,
            host,
            outcome,
            status,
            code,
            inner_code,
            key_vault_request_id,
            "Key Vault call failed"
        ),
        _ => tracing::warn!(
            operation,
            request_id,
            host,
            outcome,
            status,
            code,
            inner_code,
            key_vault_request_id,
            "Key Vault call failed"
        ),
    }
}

//! What callers send about rotations, and how it becomes words of the domain.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    broker::rotation::{Confirmation, FailureReport, NewPassphrase, RotationRequest},
    domain::{
        key_vault_id::SecretReference,
        machine::AgentVersion,
        rotation::{Lifetime, Writer},
    },
    http::{passphrase::GivenPassphrase, problem::Problem},
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct RequestRotationRequest {
    passphrase: NewPassphraseRequest,
    /// Who writes it to `AzBackup-...`: `broker` (when left out) at the confirmation, or `agent`: MARS writes by itself (`Set-OBMachineSetting -KeyVaultUri`), and the confirmation compares.
    #[schema(example = "broker")]
    writer: Option<String>,
    /// 60 to 604800; 3600 when left out.
    #[schema(minimum = 60, maximum = 604_800)]
    expires_in_seconds: Option<u64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct NewPassphraseRequest {
    source: NewSource,
    /// Only with `provided`. MARS's rules hold: 16 and more printable ASCII characters.
    value: Option<GivenPassphrase>,
}

#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum NewSource {
    Generated,
    Provided,
}

#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::http) struct ConfirmRotationRequest {
    #[schema(example = "2.0.9262.0")]
    agent_version: Option<String>,
    /// What MARS printed, only with writer `agent`: this machine's own Key Vault and secret, with a version or without.
    #[schema(
        example = "https://kv-mars.vault.azure.net/secrets/AzBackup-srv01-rsv01/8f3c5d0e9a7b4c21b6d4e0f1a2b3c4d5"
    )]
    secret_identifier: Option<String>,
}

#[derive(Deserialize, ToSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::http) struct FailRotationRequest {
    /// The code that MARS gave.
    #[schema(example = "100130", max_length = 16)]
    mars_error_code: Option<String>,
    /// At most 500 characters. Never put the passphrase here.
    #[schema(max_length = 500)]
    message: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListRotationsQuery {
    /// 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    pub(super) page_size: Option<i64>,
    /// `nextCursor` of the page before.
    pub(super) cursor: Option<String>,
}

impl RequestRotationRequest {
    pub(super) fn parse(self) -> Result<RotationRequest, Problem> {
        let writer = match self.writer.as_deref().map(Writer::parse) {
            None => Writer::Broker,
            Some(Some(writer)) => writer,
            Some(None) => {
                return Err(Problem::at("/writer", "a writer is \"broker\" or \"agent\""));
            }
        };
        let lifetime = self.expires_in_seconds.map(Lifetime::from_seconds).transpose();
        let lifetime =
            lifetime.map_err(|error| Problem::at("/expiresInSeconds", error.to_string()))?;
        let passphrase = match (self.passphrase.source, self.passphrase.value) {
            (NewSource::Generated, None) => NewPassphrase::Generated,
            (NewSource::Provided, Some(value)) => NewPassphrase::Provided(value.parse()?),
            (NewSource::Generated, Some(_)) => {
                return Err(Problem::at(
                    "/passphrase/value",
                    "only a provided passphrase has a value",
                ));
            }
            (NewSource::Provided, None) => {
                return Err(Problem::at("/passphrase/value", "a provided passphrase has a value"));
            }
        };
        Ok(RotationRequest { passphrase, writer, lifetime: lifetime.unwrap_or_default() })
    }
}

impl ConfirmRotationRequest {
    pub(super) fn parse(self) -> Result<Confirmation, Problem> {
        let secret = self.secret_identifier.as_deref().map(SecretReference::parse).transpose();
        let secret = secret.map_err(|error| Problem::at("/secretIdentifier", error.to_string()))?;
        let agent_version = self.agent_version.as_deref().map(AgentVersion::parse).transpose();
        let agent_version =
            agent_version.map_err(|error| Problem::at("/agentVersion", error.to_string()))?;
        Ok(Confirmation { agent_version, secret })
    }
}

impl FailRotationRequest {
    pub(super) fn parse(self) -> Result<FailureReport, Problem> {
        let code_fits = |code: &String| {
            (1..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !self.mars_error_code.as_ref().is_none_or(code_fits) {
            return Err(Problem::at(
                "/marsErrorCode",
                "a MARS error code has 1 to 16 letters and digits",
            ));
        }
        let message_fits =
            |text: &String| text.chars().count() <= 500 && !text.chars().any(char::is_control);
        if !self.message.as_ref().is_none_or(message_fits) {
            return Err(Problem::at(
                "/message",
                "a message has at most 500 characters, and no control characters",
            ));
        }
        Ok(FailureReport { mars_error_code: self.mars_error_code, message: self.message })
    }
}

//! Secrets of this service's own that are no passphrases: its signing key, and its checkpoints.
//!
//! A [`ServiceSecret`] cannot name a machine's secret, so nothing sealed comes out here. A write whose answer was
//! lost is not looked for: whoever writes reads the newest first, each time, and writes again what is missing.

use reqwest::Method;
use zeroize::Zeroizing;

#[cfg(debug_assertions)]
use super::unavailable;
use super::{
    GET_BUDGET, KeyVault, KeyVaultError, KeyVaultFacts, SetError,
    call::{Call, Deadline, Effect, Repeat},
    url, wire,
};
use crate::domain::service_secret::ServiceSecret;

impl KeyVault {
    /// The newest version's value; none when there is no such secret.
    pub async fn read_document(
        &self,
        request_id: &str,
        secret: &ServiceSecret,
    ) -> Result<Option<Zeroizing<String>>, KeyVaultError> {
        let call = Call {
            operation: "get_version",
            request_id,
            method: Method::GET,
            key_vault: secret.key_vault(),
            url: url(secret.key_vault(), &format!("/{}", secret.name()), ""),
            body: None,
            limit: wire::VALUE_LIMIT,
        };
        let answer = self.send(call, Repeat::Always, Deadline::after(GET_BUDGET)).await;
        let answer = match answer.map_err(|failure| failure.error) {
            Ok(answer) => answer,
            Err(KeyVaultError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let document = wire::document(&answer.body, secret);
        document.map(Some).ok_or(KeyVaultError::InvalidAnswer(answer.facts))
    }

    /// Writes a new version, once, with these tags.
    pub async fn write_document(
        &self,
        request_id: &str,
        secret: &ServiceSecret,
        value: &str,
        tags: &[(&str, String)],
    ) -> Result<(), SetError> {
        let body = wire::setting_document(value, tags);
        let body =
            body.ok_or(SetError::Refused(KeyVaultError::Refused(KeyVaultFacts::default())))?;
        fail_point!(("put.before checkpoint"), Err(SetError::Refused(unavailable())));
        let call = Call {
            operation: "set_secret",
            request_id,
            method: Method::PUT,
            key_vault: secret.key_vault(),
            url: url(secret.key_vault(), &format!("/{}", secret.name()), ""),
            body: Some(body),
            limit: wire::VALUE_LIMIT,
        };
        let sent = self.send(call, Repeat::IfWithoutEffect, Deadline::after(GET_BUDGET)).await;
        fail_point!(("put.after checkpoint"), Err(SetError::OutcomeUnknown(unavailable())));
        match sent {
            Ok(_answer) => Ok(()),
            Err(failure) if failure.effect == Effect::Never => {
                Err(SetError::Refused(failure.error))
            }
            Err(failure) => Err(SetError::OutcomeUnknown(failure.error)),
        }
    }
}

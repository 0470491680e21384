//! Where tokens come from: Microsoft's `azure_identity` over our HTTP client. Its errors are told
//! by their status, for their texts may quote what a tool printed.

use std::{error::Error as _, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use azure_core::{
    credentials::{AccessToken as Token, TokenCredential},
    error::ErrorKind,
    http::{ClientOptions, Transport},
};
use azure_identity::{
    ClientAssertionCredentialOptions, DeveloperToolsCredential, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};

use super::{CredentialError, CredentialKind};
use crate::domain::clock::Clock;

/// `azure_identity` would go on for 72 seconds.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Source {
    pub(super) clock: Clock,
    kind: CredentialKind,
    http: reqwest::Client,
    credential: ArcSwap<Inner>,
}

struct Inner(Arc<dyn TokenCredential>);

impl Source {
    pub(super) fn new(
        kind: CredentialKind,
        http: reqwest::Client,
        clock: Clock,
    ) -> Result<Self, CredentialError> {
        let credential = ArcSwap::from_pointee(build(&kind, &http)?);
        Ok(Self { clock, kind, http, credential })
    }

    /// Starts with a new credential: the old one keeps its tokens to itself and cannot be told
    /// that one of them is no good.
    pub(super) fn forget(&self) {
        match build(&self.kind, &self.http) {
            Ok(fresh) => self.credential.store(Arc::new(fresh)),
            Err(error) => tracing::warn!(%error, "the credential cannot be renewed"),
        }
    }

    pub(super) async fn fetch(&self, scope: &str) -> Result<Token, CredentialError> {
        let credential = self.credential.load_full();
        let scopes = [scope];
        let result = tokio::time::timeout(FETCH_TIMEOUT, credential.0.get_token(&scopes, None));
        let outcome = match result.await {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_elapsed) => Err(CredentialError::Unavailable),
        };
        let label = if outcome.is_ok() { "ok" } else { "failed" };
        metrics::counter!("passphrase_broker_access_tokens_total", "outcome" => label).increment(1);
        outcome
    }
}

fn build(kind: &CredentialKind, http: &reqwest::Client) -> Result<Inner, CredentialError> {
    let client_options = ClientOptions {
        transport: Some(Transport::new(Arc::new(http.clone()))),
        ..ClientOptions::default()
    };
    let built: azure_core::Result<Arc<dyn TokenCredential>> = match kind {
        CredentialKind::ManagedIdentity { client_id } => {
            let user_assigned_id = client_id.clone().map(UserAssignedId::ClientId);
            let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
            ManagedIdentityCredential::new(Some(options)).map(|made| made as _)
        }
        CredentialKind::WorkloadIdentity => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                ..WorkloadIdentityCredentialOptions::default()
            };
            WorkloadIdentityCredential::new(Some(options)).map(|made| made as _)
        }
        CredentialKind::DeveloperTools => DeveloperToolsCredential::new(None).map(|made| made as _),
    };
    built.map(Inner).map_err(|_names_a_variable| CredentialError::Misconfigured)
}

/// By the status, nowhere by the text: a developer tool's output may hold a token.
fn classify(error: &azure_core::Error) -> CredentialError {
    let mut current = Some(error);
    while let Some(found) = current {
        if let ErrorKind::HttpResponse { status, .. } = found.kind() {
            return CredentialError::Refused { status: u16::from(*status) };
        }
        current = found.source().and_then(|source| source.downcast_ref::<azure_core::Error>());
    }
    CredentialError::Unavailable
}

//! The one HTTP client: who is trusted, through what it connects, and when it gives up.
//!
//! It follows no redirect (a token must not travel to another host) and takes no proxy from the
//! environment. Plain http is not forbidden here because the managed identity endpoint speaks
//! nothing else; the URLs of Key Vault and Entra ID are built in this room, as https.

use std::time::Duration;

use reqwest::{Certificate, Client, Proxy, redirect};
use thiserror::Error;
use url::Url;

/// Shorter than one attempt at Key Vault, so that "never connected" (safe to repeat a write) is
/// told from "no answer" (not safe).
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);
/// The outermost limit. Callers have narrower ones.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection's buffers keep the last answer, a passphrase perhaps, for as long as it is open. The
/// pool looks after its idle ones once in this time, so they are gone after twice of it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Certificates, as PEM, that are trusted besides those of the platform.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// For https only: the managed identity endpoint is never behind a proxy.
    pub outbound_proxy: Option<Url>,
}

#[derive(Debug, Error)]
pub enum HttpClientError {
    #[error("the extra CA file holds no certificate in PEM form")]
    Certificate,
    #[error("the outbound proxy's URL cannot be used")]
    Proxy,
    #[error("the HTTP client cannot be set up")]
    Build(#[source] reqwest::Error),
}

/// Makes the client that everything in this room shares: its connections are pooled.
pub fn http_client(settings: &HttpSettings) -> Result<Client, HttpClientError> {
    let mut builder = Client::builder()
        .tls_backend_rustls()
        .no_proxy()
        .redirect(redirect::Policy::none())
        // A connection that hangs is dropped with the attempt that found out. Under HTTP/2 the
        // next attempt would share it and hang as well.
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_keepalive(KEEPALIVE)
        .tcp_nodelay(true)
        .user_agent(concat!("passphrase-broker/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = &settings.extra_ca_pem {
        let certificates = Certificate::from_pem_bundle(pem)
            .map_err(|_unreadable| HttpClientError::Certificate)?;
        if certificates.is_empty() {
            return Err(HttpClientError::Certificate);
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some(proxy) = &settings.outbound_proxy {
        builder =
            builder.proxy(Proxy::https(proxy.clone()).map_err(|_bad| HttpClientError::Proxy)?);
    }
    builder.build().map_err(HttpClientError::Build)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_no_settings() {
        assert!(http_client(&HttpSettings::default()).is_ok());
    }

    #[test]
    fn an_extra_ca_without_a_certificate_is_refused() {
        for wrong in ["", "not a certificate"] {
            let settings =
                HttpSettings { extra_ca_pem: Some(wrong.into()), ..HttpSettings::default() };
            assert!(matches!(http_client(&settings), Err(HttpClientError::Certificate)), "{wrong}");
        }
    }
}

//! The certificates: a certificate authority made at start, and a leaf for whatever host name a client asks for.
//!
//! Nothing is written to disk here and no key outlives the process. `*.vault.azure.net` shares one leaf, other names
//! get theirs on demand.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, RwLock},
};

use anyhow::Context;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use time::{Duration, OffsetDateTime};

use crate::azure::{read, write};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    provider: Arc<CryptoProvider>,
    leaves: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl Authority {
    pub(crate) fn new() -> anyhow::Result<Arc<Self>> {
        let mut params = params(Vec::new(), "azsim test authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Arc::new(Self {
            issuer: Issuer::new(params, key),
            certificate,
            provider: Arc::new(aws_lc_rs::default_provider()),
            leaves: RwLock::default(),
        }))
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn server_config(self: &Arc<Self>) -> anyhow::Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn leaf(&self, host: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        let subject = match host.split_once('.') {
            Some((_, "vault.azure.net")) => "*.vault.azure.net",
            _ => host,
        };
        if let Some(leaf) = read(&self.leaves).get(subject) {
            return Ok(Arc::clone(leaf));
        }
        let leaf = Arc::new(self.issue(subject)?);
        write(&self.leaves).insert(subject.to_owned(), Arc::clone(&leaf));
        Ok(leaf)
    }

    fn issue(&self, subject: &str) -> anyhow::Result<CertifiedKey> {
        let mut names = vec![subject.to_owned()];
        if subject == "localhost" {
            names.push("127.0.0.1".to_owned());
        }
        let mut params = params(names, subject)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        CertifiedKey::from_der(vec![certificate.der().clone()], private, &self.provider)
            .context("leaf certificate")
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf(hello.server_name().unwrap_or("localhost")).ok()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

fn params(names: Vec<String>, common_name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(365);
    Ok(params)
}

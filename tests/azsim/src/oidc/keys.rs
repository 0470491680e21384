//! RSA signing keys of a tenant, and the JWKS entries Entra ID publishes for them: with `x5c`, without `alg`.

use anyhow::{Context, ensure};
use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{self, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaEncoding, UnparsedPublicKey},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::Serialize;

pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pair: KeyPair,
    certificate: String,
}

/// One entry of `keys`, in Entra's member order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Jwk {
    kty: &'static str,
    r#use: &'static str,
    kid: String,
    x5t: String,
    n: String,
    e: String,
    x5c: [String; 1],
    cloud_instance_name: &'static str,
    issuer: String,
}

impl SigningKey {
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der()?;
        let certified = rcgen::KeyPair::try_from(pkcs8.as_ref())?;
        let certificate = rcgen::CertificateParams::new(Vec::new())?.self_signed(&certified)?;
        let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der());
        Ok(Self {
            kid: BASE64_URL_SAFE_NO_PAD.encode(thumbprint),
            certificate: BASE64_STANDARD.encode(certificate.der()),
            pair,
        })
    }

    pub(crate) fn jwk(&self) -> anyhow::Result<Jwk> {
        let (modulus, exponent) = self.public_numbers()?;
        Ok(Jwk {
            kty: "RSA",
            r#use: "sig",
            kid: self.kid.clone(),
            x5t: self.kid.clone(),
            n: BASE64_URL_SAFE_NO_PAD.encode(modulus),
            e: BASE64_URL_SAFE_NO_PAD.encode(exponent),
            x5c: [self.certificate.clone()],
            cloud_instance_name: "microsoftonline.com",
            issuer: "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(),
        })
    }

    pub(crate) fn sign(
        &self,
        padding: &'static dyn RsaEncoding,
        message: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(padding, &SystemRandom::new(), message, &mut signature)?;
        Ok(signature)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key().as_ref())
            .verify(message, signature)
            .is_ok()
    }

    /// What a careless validator may take for an HMAC secret.
    pub(crate) fn public_pem(&self) -> anyhow::Result<String> {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der()?;
        let text = BASE64_STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(str::from_utf8).collect::<Result<_, _>>()?;
        Ok(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }

    /// Reads PKCS#1 `SEQUENCE { INTEGER n, INTEGER e }`, whose layout is fixed for 2048 bits and e = 65537.
    fn public_numbers(&self) -> anyhow::Result<(&[u8], &[u8])> {
        let der = self.pair.public_key().as_ref();
        ensure!(
            der.len() == 270
                && der.starts_with(&[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0])
        );
        let exponent = der.get(267..).context("exponent")?;
        Ok((der.get(9..265).context("modulus")?, exponent))
    }
}

pub(crate) fn padding(algorithm: &str) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        "RS256" => &signature::RSA_PKCS1_SHA256,
        "RS384" => &signature::RSA_PKCS1_SHA384,
        "RS512" => &signature::RSA_PKCS1_SHA512,
        "PS256" => &signature::RSA_PSS_SHA256,
        _ => return None,
    })
}

//! Where the audit log is streamed to.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use url::Url;
use zeroize::Zeroizing;

use super::reader::{Reader, Setting};

const EXPECTED_SECRET: &str =
    "whsec_ and the base64 of 24 to 64 random bytes (echo \"whsec_$(openssl rand -base64 32)\")";

const URL: Setting<Url> = Setting {
    expected: "https://<host>/<path> without credentials",
    // Not quoted: the path may be a secret.
    parse: |text| {
        let url = Url::parse(text).map_err(|error| format!("is no URL ({error})"))?;
        let bare =
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if url.scheme() != "https" {
            return Err("does not begin with https://".to_owned());
        }
        if bare { Ok(url) } else { Err("has credentials or a fragment".to_owned()) }
    },
};

const STDOUT: Setting<bool> = Setting {
    expected: "ocsf or off",
    parse: |text| match text {
        "ocsf" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("is {text:?}")),
    },
};

#[derive(Debug, Clone)]
pub struct SiemConfig {
    /// `AUDIT_WEBHOOK_URL`, `AUDIT_WEBHOOK_SECRET`
    pub webhook: Option<WebhookConfig>,
    /// `AUDIT_STDOUT`
    pub stdout: bool,
}

#[derive(Clone)]
pub struct WebhookConfig {
    pub url: Url,
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WebhookConfig({})", self.shown())
    }
}

impl WebhookConfig {
    /// Without the path, which some products use as a password.
    pub(super) fn shown(&self) -> String {
        format!("{}/...", self.url.origin().ascii_serialization())
    }
}

impl SiemConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let stdout = reader.or("AUDIT_STDOUT", "off", &STDOUT);
        let url = reader.optional("AUDIT_WEBHOOK_URL", &URL);
        let secret = reader.secret("AUDIT_WEBHOOK_SECRET", EXPECTED_SECRET, secret);
        if url.is_some() && secret.is_none() {
            reader.require_set("AUDIT_WEBHOOK_SECRET", EXPECTED_SECRET);
        }
        let webhook = url.zip(secret).map(|(url, secret)| WebhookConfig { url, secret });
        Some(Self { webhook, stdout: stdout? })
    }
}

fn secret(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let encoded = text.trim().strip_prefix("whsec_").ok_or("does not begin with whsec_")?;
    let bytes = STANDARD.decode(encoded).map(Zeroizing::new);
    let bytes = bytes.map_err(|_unparsable| "is not base64".to_owned())?;
    if (24..=64).contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(format!("holds {} bytes", bytes.len()))
    }
}

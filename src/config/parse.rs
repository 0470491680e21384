//! One rule per kind of variable: what is accepted, and in which words it is refused.
//!
//! The words may quote a value, except in [`database_url`], [`signing_keys`] and [`cursor_key`], whose values
//! are secret.

use std::{
    fmt::Display, fs, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use regex::{Regex, RegexBuilder};
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{AuditSigningKeys, AzureCredential, CursorKey, ExtraCa, reader::Setting};
use crate::{
    audit::note::SigningKeys,
    domain::{
        key_vault_id::{KeyVaultAllowList, KeyVaultUri},
        secret_name::SecretNameStyle,
    },
};

pub(super) const ADDRESS: Setting<SocketAddr> = Setting {
    expected: "an IP address and a port such as 0.0.0.0:8080 or [::]:8080",
    parse: |text| text.parse().map_err(|_unparsable| format!("is {text:?}, which is no address")),
};

pub(super) const BOOLEAN: Setting<bool> = Setting {
    expected: "true or false",
    parse: |text| text.parse().map_err(|_unparsable| format!("is {text:?}")),
};

pub(super) const KEY_VAULTS: Setting<KeyVaultAllowList> = Setting {
    expected: "one or more Key Vault URIs such as https://kv-mars.vault.azure.net/, separated by \
               commas, the default first",
    parse: key_vaults,
};

pub(super) const TENANTS: Setting<Vec<Uuid>> = Setting {
    expected: "one or more tenant ids (GUIDs), separated by commas",
    parse: |text| distinct(list(text)?, guid),
};

pub(super) const AUDIENCE: Setting<Uuid> = Setting {
    expected: "the client id (a GUID) of the app registration that stands for this service",
    parse: audience,
};

pub(super) const CLIENT_ID: Setting<Uuid> =
    Setting { expected: "the client id (a GUID) of the user-assigned identity", parse: guid };

pub(super) const AUTHORITY: Setting<Url> = Setting {
    expected: "https://<host> without a path, such as https://login.microsoftonline.com",
    parse: |text| origin(text, "https"),
};

pub(super) const PROXY: Setting<Url> = Setting {
    expected: "http://<host>:<port> without credentials or a path",
    parse: |text| origin(text, "http"),
};

pub(super) const SCOPE: Setting<String> = Setting {
    expected: "the name of one delegated scope, such as access_as_user",
    parse: |text| {
        let one_word =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if one_word {
            Ok(text.to_owned())
        } else {
            Err(format!("is {text:?}, which is not one scope's name"))
        }
    },
};

pub(super) const CREDENTIAL: Setting<AzureCredential> = Setting {
    expected: "managedIdentity, workloadIdentity or developerTools",
    parse: |text| match text {
        "managedIdentity" => Ok(AzureCredential::ManagedIdentity),
        "workloadIdentity" => Ok(AzureCredential::WorkloadIdentity),
        "developerTools" => Ok(AzureCredential::DeveloperTools),
        _ => Err(format!("is {text:?}")),
    },
};

pub(super) const CA_FILE: Setting<ExtraCa> =
    Setting { expected: "a readable file with at least one certificate in PEM", parse: ca_file };

pub(super) const EXPECTED_SIGNING_KEYS: &str = "PRIVATE+KEY+name+hash+base64, as `audit keygen` \
     writes it; while keys change, the new and the old one on lines of their own";
pub(super) const EXPECTED_SECRET: &str =
    "https://<name>.vault.azure.net/secrets/<secret> in one of KEY_VAULT_URIS, without a version";
pub(super) const TEXT: Setting<String> =
    Setting { expected: EXPECTED_SECRET, parse: |text| Ok(text.to_owned()) };

pub(super) const STYLE: Setting<SecretNameStyle> = Setting {
    expected: "dash, strip or host",
    parse: |text| SecretNameStyle::parse(text).ok_or_else(|| format!("is {text:?}")),
};

pub(super) const PATTERN: Setting<Regex> = Setting {
    expected: "a regular expression for the whole ticket, such as INC[0-9]{7}",
    parse: pattern,
};

pub(super) const AGE: Setting<u16> =
    Setting { expected: "days from 7 to 3650", parse: |text| number(text, 7..=3650) };

pub(super) const JITTER: Setting<u16> =
    Setting { expected: "days from 0 to 365", parse: |text| number(text, 0..=365) };

pub(super) const TIMEOUT: Setting<Duration> =
    Setting { expected: "seconds from 1 to 120", parse: |text| seconds(text, 1..=120) };

pub(super) const INTERRUPTED: Setting<Duration> =
    Setting { expected: "seconds from 2 to 600", parse: |text| seconds(text, 2..=600) };

pub(super) const ABANDONED: Setting<Duration> =
    Setting { expected: "seconds from 1 to 86400", parse: |text| seconds(text, 1..=86_400) };

pub(super) const EVERY: Setting<Option<Duration>> =
    Setting { expected: "a time from 1s to 30d such as 90s, 30m, 1h or 1d, or off", parse: every };

pub(super) const PERIOD: Setting<Duration> =
    Setting { expected: "seconds from 1 to 3600", parse: |text| seconds(text, 1..=3600) };

pub(super) const DRAIN: Setting<Duration> =
    Setting { expected: "seconds from 0 to 120", parse: |text| seconds(text, 0..=120) };

pub(super) const GRACE: Setting<Duration> =
    Setting { expected: "seconds from 0 to 600", parse: |text| seconds(text, 0..=600) };

pub(super) const POOL: Setting<u32> =
    Setting { expected: "a number from 1 to 1000", parse: |text| number(text, 1..=1000) };

pub(super) const CONNECTIONS: Setting<usize> =
    Setting { expected: "a number from 1 to 65536", parse: |text| number(text, 1..=65_536) };

pub(super) const PER_PEER: Setting<usize> = Setting {
    expected: "a number from 1 to 65536, or 0 for no limit (behind an ingress every peer is the same)",
    parse: |text| number(text, 0..=65_536),
};

pub(super) fn database_url(text: &str) -> Result<SecretString, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => {
            Ok(SecretString::from(text))
        }
        Ok(_) => Err("does not begin with postgres://".to_owned()),
        Err(error) => Err(format!("is no URL ({error})")),
    }
}

/// Says nothing of what the text holds.
pub(super) fn signing_keys(text: &str) -> Result<AuditSigningKeys, String> {
    let keys = SigningKeys::parse(text).map_err(|invalid| invalid.to_string())?;
    Ok(AuditSigningKeys(Arc::new(keys)))
}

pub(super) fn cursor_key(text: &str) -> Result<CursorKey, String> {
    let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_unparsable| "is not base64".to_owned())?;
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    key.map(CursorKey::new).map_err(|_wrong_size| format!("holds {} bytes", bytes.len()))
}

fn key_vaults(text: &str) -> Result<KeyVaultAllowList, String> {
    let parse = |item: &str| KeyVaultUri::parse(item).map_err(|_invalid| format!("names {item:?}"));
    let mut uris = distinct(list(text)?, parse)?.into_iter();
    let default = uris.next().ok_or("names no Key Vault")?;
    Ok(KeyVaultAllowList::new(default, uris.collect()))
}

fn audience(text: &str) -> Result<Uuid, String> {
    if text.starts_with("api://") {
        let why = "is an application id URI, but the tokens that this service accepts are v2 tokens, \
                   and those carry the client id as their audience";
        return Err(why.to_owned());
    }
    guid(text)
}

/// The one spelling with hyphens: braces and `urn:` mean that something else was copied.
fn guid(text: &str) -> Result<Uuid, String> {
    match Uuid::try_parse(text) {
        Ok(id) if text.len() == 36 && !id.is_nil() => Ok(id),
        _ => Err(format!("names {text:?}, which is no GUID")),
    }
}

fn origin(text: &str, scheme: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL ({error})"))?;
    let bare = url.username().is_empty() && url.password().is_none();
    let bare = bare && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != scheme {
        // Not quoted, here and below: what was pasted may contain a password.
        return Err(format!("does not begin with {scheme}://"));
    }
    if bare { Ok(url) } else { Err("has more than a host and a port".to_owned()) }
}

fn ca_file(text: &str) -> Result<ExtraCa, String> {
    let path = PathBuf::from(text);
    let pem = fs::read(&path)
        .map_err(|error| format!("names {text:?}, which cannot be read ({})", error.kind()))?;
    let content = String::from_utf8_lossy(&pem);
    let begins = content.find("-----BEGIN CERTIFICATE-----");
    let ends = content.find("-----END CERTIFICATE-----");
    match (begins, ends) {
        (Some(begin), Some(end)) if begin < end => Ok(ExtraCa { path, pem }),
        _ => Err(format!("names {text:?}, which holds no certificate in PEM")),
    }
}

/// The engine takes linear time whatever the pattern; the limit is for its memory.
fn pattern(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).size_limit(1 << 20).build();
    built.map_err(|error| format!("is not accepted: {}", one_line(&error.to_string())))
}

fn every(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" || text == "0" {
        return Ok(None);
    }
    let wrong = || format!("is {text:?}");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let count = text.strip_suffix(unit).unwrap_or_default();
    let count: u64 = count.parse().map_err(|_no_number| wrong())?;
    let seconds = count.checked_mul(factor).filter(|seconds| (1..=2_592_000).contains(seconds));
    seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(wrong)
}

fn seconds(text: &str, range: RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, range).map(Duration::from_secs)
}

fn number<T: FromStr + PartialOrd + Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| format!("is {text:?}"))
}

fn list(text: &str) -> Result<Vec<&str>, String> {
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    if items.contains(&"") { Err("has an empty item".to_owned()) } else { Ok(items) }
}

fn distinct<T: PartialEq>(
    items: Vec<&str>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let value = parse(item)?;
        if values.contains(&value) {
            return Err(format!("names {item:?} twice"));
        }
        values.push(value);
    }
    Ok(values)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

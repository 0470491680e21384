//! Naming things in Key Vault: the Key Vault itself, a version of a secret, and the list of Key
//! Vaults that this service may talk to.

use std::fmt;

use serde::Serialize;
use thiserror::Error;
use url::Url;

use super::secret_name::SecretName;

/// Every public cloud's suffix. MARS itself knows the first only.
const SUFFIXES: [&str; 3] = [".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net"];

/// `https://<name>.vault.azure.net/`, in the one spelling that is stored and compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct KeyVaultUri(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a Key Vault URI looks like https://<name>.vault.azure.net/ and has nothing after the host"
)]
pub struct InvalidKeyVaultUri;

impl KeyVaultUri {
    /// Parses what the portal shows as "Vault URI". Case and one final slash do not matter.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyVaultUri> {
        let canonical = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let url = Url::parse(&canonical).map_err(|_unparsable| InvalidKeyVaultUri)?;
        let host = url.host_str().unwrap_or_default();
        // The parser forgives tabs, backslashes, userinfo and more: what it understood, written
        // out again, must be what was given.
        if canonical != format!("https://{host}") || !is_key_vault_host(host) {
            return Err(InvalidKeyVaultUri);
        }
        Ok(Self(format!("{canonical}/")))
    }

    /// Ends with a slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn host(&self) -> &str {
        self.0.trim_start_matches("https://").trim_end_matches('/')
    }

    /// What the Key Vault is called: the first label of its host name.
    pub fn name(&self) -> &str {
        self.host().split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for KeyVaultUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_key_vault_host(host: &str) -> bool {
    SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix)).is_some_and(is_key_vault_name)
}

pub(super) fn is_key_vault_name(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The Key Vaults of the configuration. A request can only choose among them, so no request can
/// make this service connect, or send a token, anywhere else.
#[derive(Debug, Clone)]
pub struct KeyVaultAllowList {
    default: KeyVaultUri,
    others: Vec<KeyVaultUri>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyVaultRefused {
    #[error(transparent)]
    Invalid(#[from] InvalidKeyVaultUri),
    #[error("{0} is not one of the Key Vaults that this service is configured for")]
    NotAllowed(KeyVaultUri),
}

impl KeyVaultAllowList {
    /// `uris` is never empty; its first is the default.
    pub fn new(default: KeyVaultUri, others: Vec<KeyVaultUri>) -> Self {
        Self { default, others }
    }

    pub fn default_uri(&self) -> &KeyVaultUri {
        &self.default
    }

    pub fn iter(&self) -> impl Iterator<Item = &KeyVaultUri> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// The configured Key Vault that `text` names; without a text, the default one.
    pub fn choose(&self, text: Option<&str>) -> Result<&KeyVaultUri, KeyVaultRefused> {
        let Some(text) = text else { return Ok(&self.default) };
        let asked = KeyVaultUri::parse(text)?;
        self.iter().find(|uri| **uri == asked).ok_or(KeyVaultRefused::NotAllowed(asked))
    }
}

/// The id that Key Vault gave one version of a secret: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SecretVersion(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a secret version is 32 hexadecimal digits")]
pub struct InvalidSecretVersion;

impl SecretVersion {
    pub fn parse(text: &str) -> Result<Self, InvalidSecretVersion> {
        let hexadecimal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hexadecimal { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidSecretVersion) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One version of one secret in one Key Vault. Every read names all three: "the latest" is never
/// asked for (design: "latest" loses an applied passphrase).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretIdentifier {
    pub key_vault: KeyVaultUri,
    pub name: SecretName,
    pub version: SecretVersion,
}

impl fmt::Display for SecretIdentifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}secrets/{}/{}", self.key_vault, self.name, self.version)
    }
}

/// How somebody names a secret: `https://<name>.vault.azure.net/secrets/<secret>`, with a version or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    pub key_vault: KeyVaultUri,
    pub name: SecretName,
    pub version: Option<SecretVersion>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a secret identifier looks like https://<name>.vault.azure.net/secrets/<secret>/<version>")]
pub struct InvalidSecretReference;

impl SecretReference {
    /// Parses what Azure shows as "secret identifier". Case, one final slash and port 443, which some
    /// answers of Key Vault carry, do not matter.
    pub fn parse(text: &str) -> Result<Self, InvalidSecretReference> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let at = text.to_ascii_lowercase().find("/secrets/").ok_or(InvalidSecretReference)?;
        let (uri, rest) = (&text[..at], &text[at + "/secrets/".len()..]);
        let key_vault = KeyVaultUri::parse(uri.strip_suffix(":443").unwrap_or(uri));
        let (name, version) =
            rest.split_once('/').map_or((rest, None), |(name, version)| (name, Some(version)));
        let version = version.map(SecretVersion::parse).transpose();
        Ok(Self {
            key_vault: key_vault.map_err(|_invalid| InvalidSecretReference)?,
            name: SecretName::parse(name).map_err(|_invalid| InvalidSecretReference)?,
            version: version.map_err(|_invalid| InvalidSecretReference)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_the_final_slash_do_not_matter() {
        let uri = KeyVaultUri::parse("HTTPS://KV-Mars.vault.azure.net").unwrap();
        assert_eq!(uri.as_str(), "https://kv-mars.vault.azure.net/");
        assert_eq!(uri.host(), "kv-mars.vault.azure.net");
    }

    #[test]
    fn everything_else_that_looks_like_a_key_vault_is_refused() {
        for wrong in [
            "http://kv-mars.vault.azure.net/",
            "https://kv-mars.vault.azure.net:443/",
            "https://kv-mars.vault.azure.net:8443/",
            "https://kv-mars.vault.azure.net/secrets/x",
            "https://kv-mars.vault.azure.net/?x=y",
            "https://kv-mars.vault.azure.net/#x",
            "https://kv-mars.vault.azure.net./",
            "https://user@kv-mars.vault.azure.net/",
            "https://kv-mars.vault.azure.net@evil.example/",
            "https://kv-mars.vault.azure.net.evil.example/",
            "https://evil.example/.vault.azure.net",
            "https://evil-vault.azure.net/",
            "https://a.b.vault.azure.net/",
            "https://.vault.azure.net/",
            "https://kv--mars.vault.azure.net/",
            "https://1kv.vault.azure.net/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://kv-m\u{e4}rs.vault.azure.net/",
            "https:\\\\kv-mars.vault.azure.net",
            " https://kv-mars.vault.azure.net/",
            "https://kv-\tmars.vault.azure.net/",
            "kv-mars",
            "",
        ] {
            assert_eq!(KeyVaultUri::parse(wrong), Err(InvalidKeyVaultUri), "{wrong}");
        }
    }

    #[test]
    fn only_configured_key_vaults_can_be_chosen() {
        let list = KeyVaultAllowList::new(
            KeyVaultUri::parse("https://kv-one.vault.azure.net/").unwrap(),
            vec![KeyVaultUri::parse("https://kv-two.vault.azure.net/").unwrap()],
        );
        assert_eq!(list.choose(None).unwrap().host(), "kv-one.vault.azure.net");
        assert_eq!(list.choose(Some("https://KV-TWO.vault.azure.net")).unwrap(), &list.others[0]);
        assert!(matches!(
            list.choose(Some("https://kv-six.vault.azure.net")),
            Err(KeyVaultRefused::NotAllowed(_))
        ));
    }

    #[test]
    fn a_secret_is_named_with_its_version_or_without() {
        let version = "0d33f3ea76c04441b77aa9113da02333";
        let named = |text: &str| SecretReference::parse(text).unwrap();
        let secret = "https://kv-mars.vault.azure.net/secrets/AzBackup-web01-rsv";
        let with = named(&format!("{secret}/{version}"));
        assert_eq!(with.version.as_ref().map(SecretVersion::as_str), Some(version));
        assert_eq!(named(&format!("{secret}/{version}/").replace(".net/", ".net:443/")), with);
        assert_eq!(named(&format!("{secret}/{version}").to_ascii_uppercase()), with);
        for without in [secret.to_owned(), format!("{secret}/")] {
            assert_eq!(named(&without), SecretReference { version: None, ..with.clone() });
        }
        for wrong in [
            "",
            "/secrets/",
            "https://kv-mars.vault.azure.net/secrets/",
            "https://kv-mars.vault.azure.net/keys/a",
            "https://kv-mars.vault.azure.net/secrets/a/latest",
            "https://kv-mars.vault.azure.net/secrets/a//",
            "https://evil.example/secrets/a",
            "https://kv-mars.vault.azure.net/x/secrets/a",
            "https://kv-mars.vault.azure.net:443:443/secrets/a",
            "https://kv-mars.vault.azure.net/secrets/\u{e4}",
            &format!("{secret}/{version}/more"),
            &format!("{secret}/{version}?api-version=7.4"),
        ] {
            assert_eq!(SecretReference::parse(wrong), Err(InvalidSecretReference), "{wrong}");
        }
    }

    #[test]
    fn a_version_is_32_hexadecimal_digits() {
        assert!(SecretVersion::parse("0d33f3ea76c04441b77aa9113da02333").is_ok());
        for wrong in
            ["", "latest", "0d33f3ea76c04441b77aa9113da0233", "../../deletedsecrets/x/aaaaaaaaaa"]
        {
            assert_eq!(SecretVersion::parse(wrong), Err(InvalidSecretVersion));
        }
    }
}

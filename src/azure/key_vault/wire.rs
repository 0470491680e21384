//! The bytes that go to Key Vault and come from it.
//!
//! A value is written once into a buffer of sufficient size, which is wiped, and read straight into
//! a [`Passphrase`]. (Copies inside the HTTP and TLS libraries are beyond reach; the process's
//! allocator wipes those.)

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{DeletedSecret, SecretTags, VersionProperties};
use crate::domain::{
    key_vault_id::{KeyVaultUri, SecretIdentifier, SecretVersion},
    passphrase::Passphrase,
    secret_name::SecretName,
    service_secret::ServiceSecret,
};

/// A value has at most 25,600 bytes.
pub(super) const VALUE_LIMIT: usize = 64 * 1024;
pub(super) const PAGE_LIMIT: usize = 1024 * 1024;

const OPERATION_TAG: &str = "passphraseBrokerOperation";
const MACHINE_TAG: &str = "passphraseBrokerMachine";

/// The body of a write; none if it could not be built, which JSON of a text always can.
pub(super) fn setting(passphrase: &Passphrase, tags: &SecretTags) -> Option<Bytes> {
    #[expect(clippy::disallowed_methods, reason = "the body of a Key Vault request")]
    let text = passphrase.expose();
    let tags = format!(
        r#","tags":{{"{OPERATION_TAG}":"{}","{MACHINE_TAG}":"{}"}}}}"#,
        tags.operation, tags.machine
    );
    // Escaped, a byte becomes six at most. A buffer that grew would leave a copy behind.
    let capacity = r#"{"value":"#.len() + 6 * text.len() + 2 + tags.len();
    let mut body = Zeroizing::new(Vec::with_capacity(capacity));
    body.extend_from_slice(br#"{"value":"#);
    serde_json::to_writer(&mut *body, text).ok()?;
    body.extend_from_slice(tags.as_bytes());
    Some(Bytes::from_owner(body))
}

/// The body of a write of something that is no passphrase.
pub(super) fn setting_document(value: &str, tags: &[(&str, String)]) -> Option<Bytes> {
    let tags: std::collections::BTreeMap<_, _> = tags.iter().map(|(tag, of)| (*tag, of)).collect();
    let body = serde_json::json!({"value": value, "tags": tags, "contentType": "text/plain"});
    serde_json::to_vec(&body).ok().map(Bytes::from)
}

/// The value of a secret of this service's own, if that is what Key Vault says it sent.
pub(super) fn document(body: &[u8], secret: &ServiceSecret) -> Option<Zeroizing<String>> {
    #[derive(Deserialize)]
    struct Document {
        id: String,
        value: String,
    }
    let Document { id, value } = serde_json::from_slice(body).ok()?;
    let value = Zeroizing::new(value);
    let found = parse_id(&id, secret.key_vault())?;
    (found.name == *secret.name()).then_some(value)
}

pub(super) fn disabling() -> Bytes {
    Bytes::from_static(br#"{"attributes":{"enabled":false}}"#)
}

/// A version, as `get` and `set` answer.
#[derive(Deserialize)]
pub(super) struct Bundle {
    id: String,
    #[serde(default, deserialize_with = "passphrase")]
    pub(super) value: Option<Passphrase>,
    pub(super) attributes: Attributes,
}

#[derive(Deserialize)]
pub(super) struct Attributes {
    #[serde(default)]
    enabled: bool,
    created: Option<i64>,
    updated: Option<i64>,
    nbf: Option<i64>,
    exp: Option<i64>,
    #[serde(rename = "recoveryLevel")]
    recovery_level: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Page {
    /// An empty list is there; without one it is no list.
    value: Vec<Item>,
    #[serde(rename = "nextLink")]
    pub(super) next_link: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    attributes: Attributes,
    #[serde(default)]
    tags: Option<Tags>,
}

/// Other people's tags are none of our business, and ours may have been edited.
#[derive(Deserialize)]
struct Tags {
    #[serde(rename = "passphraseBrokerOperation")]
    operation: Option<String>,
    #[serde(rename = "passphraseBrokerMachine")]
    machine: Option<String>,
}

impl Bundle {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// None unless the id names a version in this Key Vault.
    pub(super) fn identifier(&self, key_vault: &KeyVaultUri) -> Option<SecretIdentifier> {
        parse_id(&self.id, key_vault)
    }
}

/// A deleted secret: what `get` told of its newest version, and two dates.
#[derive(Deserialize)]
pub(super) struct Deleted {
    id: String,
    attributes: Attributes,
    #[serde(rename = "deletedDate")]
    since: Option<i64>,
    #[serde(rename = "scheduledPurgeDate")]
    until: Option<i64>,
}

impl Deleted {
    /// None unless it is this secret.
    pub(super) fn parse(
        body: &[u8],
        key_vault: &KeyVaultUri,
        name: &SecretName,
    ) -> Option<DeletedSecret> {
        let deleted: Self = serde_json::from_slice(body).ok()?;
        parse_id(&deleted.id, key_vault).filter(|found| found.name == *name)?;
        Some(DeletedSecret {
            deleted_at: deleted.since.and_then(moment),
            purged_at: deleted.until.and_then(moment),
            enabled: deleted.attributes.enabled,
            recovery_level: deleted.attributes.recovery_level,
        })
    }
}

impl Attributes {
    pub(super) fn created_at(&self) -> Option<OffsetDateTime> {
        self.created.and_then(moment)
    }
}

impl Page {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Of any of its items: they are all of one Key Vault.
    pub(super) fn recovery_level(&self) -> Option<String> {
        self.value.iter().find_map(|item| item.attributes.recovery_level.clone())
    }

    /// None if an item is not a version of this secret.
    pub(super) fn versions(
        self,
        key_vault: &KeyVaultUri,
        name: &SecretName,
    ) -> Option<Vec<VersionProperties>> {
        self.value
            .into_iter()
            .map(|item| item.properties(key_vault).filter(|it| it.identifier.name == *name))
            .collect()
    }
}

impl Item {
    fn properties(self, key_vault: &KeyVaultUri) -> Option<VersionProperties> {
        let tag = |text: Option<String>| text.and_then(|text| Uuid::try_parse(&text).ok());
        let (operation, machine) =
            self.tags.map_or((None, None), |tags| (tag(tags.operation), tag(tags.machine)));
        Some(VersionProperties {
            identifier: parse_id(&self.id, key_vault)?,
            enabled: self.attributes.enabled,
            created_at: self.attributes.created_at(),
            updated_at: self.attributes.updated.and_then(moment),
            not_before: self.attributes.nbf.and_then(moment),
            expires_at: self.attributes.exp.and_then(moment),
            operation,
            machine,
            recovery_level: self.attributes.recovery_level,
        })
    }
}

fn moment(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

/// `https://<key vault>/secrets/<name>/<version>` in the Key Vault that was asked.
fn parse_id(id: &str, key_vault: &KeyVaultUri) -> Option<SecretIdentifier> {
    let url = Url::parse(id).ok()?;
    if !is_on(&url, key_vault) {
        return None;
    }
    let mut path = url.path_segments()?;
    let (Some("secrets"), Some(name), Some(version), None) =
        (path.next(), path.next(), path.next(), path.next())
    else {
        return None;
    };
    Some(SecretIdentifier {
        key_vault: key_vault.clone(),
        name: SecretName::parse(name).ok()?,
        version: SecretVersion::parse(version).ok()?,
    })
}

/// Whether a URL leads to this Key Vault. `nextLink`s really carry `:443`, which is the same.
pub(super) fn is_on(url: &Url, key_vault: &KeyVaultUri) -> bool {
    url.scheme() == "https"
        && url.host_str() == Some(key_vault.host())
        && url.port_or_known_default() == Some(443)
        && url.username().is_empty()
        && url.password().is_none()
}

/// From the buffer into the passphrase, with a size that fits from the beginning.
fn passphrase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Passphrase>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Passphrase::from_key_vault))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "0d33f3ea76c04441b77aa9113da02333";

    fn key_vault() -> KeyVaultUri {
        KeyVaultUri::parse("https://kv-mars.vault.azure.net/").unwrap()
    }

    #[test]
    fn a_body_is_json_whatever_the_passphrase() {
        let tags = SecretTags { operation: Uuid::nil(), machine: Uuid::max() };
        for text in ["plain-and-long-enough", "quote\" back\\slash", "tab\t\u{1}\u{e4}\u{1f511}"] {
            let passphrase = Passphrase::from_key_vault(text.to_owned());
            let body = setting(&passphrase, &tags).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json["value"], text);
            assert_eq!(json["tags"][OPERATION_TAG], Uuid::nil().to_string());
            assert_eq!(json["tags"][MACHINE_TAG], Uuid::max().to_string());
        }
    }

    #[test]
    fn an_answer_becomes_an_identifier_of_the_key_vault_that_was_asked() {
        let id = |id: String| parse_id(&id, &key_vault()).map(|id| id.to_string());
        let good = format!("https://kv-mars.vault.azure.net/secrets/AzBackup-web01/{VERSION}");
        assert_eq!(id(good.clone()), Some(good.clone()));
        assert_eq!(id(good.replace(".net/", ".net:443/")), Some(good.clone()));
        assert_eq!(id(good.replace("kv-mars", "kv-evil")), None);
        assert_eq!(id(good.replace("secrets", "keys")), None);
        assert_eq!(id(good.replace(VERSION, "")), None);
        assert_eq!(id(format!("{good}/more")), None);
    }

    #[test]
    fn a_page_may_hold_nothing_and_odd_tags() {
        let name = SecretName::parse("AzBackup-web01").unwrap();
        let versions =
            |text: String| Page::parse(text.as_bytes()).unwrap().versions(&key_vault(), &name);
        assert_eq!(versions(r#"{"value":[],"nextLink":null}"#.to_owned()), Some(Vec::new()));
        let item = format!(
            r#"{{"value":[{{"id":"https://kv-mars.vault.azure.net/secrets/azbackup-WEB01/{VERSION}",
            "attributes":{{"enabled":true,"created":1739463638,"recoveryLevel":"Recoverable"}},
            "tags":{{"passphraseBrokerOperation":"not a uuid","file-encoding":"utf-8"}}}}]}}"#
        );
        let found = versions(item.clone()).unwrap().remove(0);
        assert!(found.enabled && found.operation.is_none());
        assert_eq!(found.created_at.unwrap().unix_timestamp(), 1_739_463_638);
        assert_eq!(versions(item.replace("WEB01", "web02")), None);
    }

    #[test]
    fn a_list_without_a_list_is_none() {
        for text in ["", "{}", r#"{"value":null}"#, r#"{"nextLink":null}"#, "[]", "null"] {
            assert!(Page::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}

//! The secrets of a Key Vault, living and deleted, a page at a time: names and what is said of them, no
//! values. Whoever lists decides when to ask for the next page, and may do so much later.

use reqwest::Method;
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;

use super::{
    API_VERSION, KeyVault, KeyVaultError, LIST_BUDGET,
    call::{Call, Deadline, Repeat},
    wire,
};
use crate::domain::{key_vault_id::KeyVaultUri, secret_name::SecretName};

const LONGEST_POSITION: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    Living,
    Deleted,
}

/// What a listing says of a secret: of its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSecret {
    pub name: SecretName,
    pub enabled: bool,
    pub created_at: Option<OffsetDateTime>,
    pub updated_at: Option<OffsetDateTime>,
    /// Of a deleted one.
    pub deleted_at: Option<OffsetDateTime>,
    pub purged_at: Option<OffsetDateTime>,
}

/// Where a listing goes on: the query of Key Vault's own link. The host and the path are never taken from
/// anywhere else than the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position(String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPage {
    pub secrets: Vec<ListedSecret>,
    /// None on the last page. A page with one may be empty.
    pub next: Option<Position>,
}

#[derive(Deserialize)]
struct Body {
    value: Vec<Item>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    id: String,
    attributes: Attributes,
    deleted_date: Option<i64>,
    scheduled_purge_date: Option<i64>,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(default)]
    enabled: bool,
    created: Option<i64>,
    updated: Option<i64>,
}

impl Listing {
    fn path(self) -> &'static str {
        match self {
            Self::Living => "secrets",
            Self::Deleted => "deletedsecrets",
        }
    }
}

impl Position {
    /// One that was kept: a query, of characters that stand in one.
    pub fn parse(text: &str) -> Option<Self> {
        let legal =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>');
        let fits = (1..=LONGEST_POSITION).contains(&text.len()) && text.bytes().all(legal);
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From `nextLink`, if it leads on in this listing of this Key Vault.
    fn following(link: &str, key_vault: &KeyVaultUri, listing: Listing) -> Option<Self> {
        let url = Url::parse(link).ok()?;
        let path = url.path().trim_matches('/');
        let same = wire::is_on(&url, key_vault) && path.eq_ignore_ascii_case(listing.path());
        Self::parse(url.query()?).filter(|_| same)
    }
}

impl KeyVault {
    /// One page: the first, or the one at this position.
    pub async fn list_secrets(
        &self,
        request_id: &str,
        key_vault: &KeyVaultUri,
        listing: Listing,
        at: Option<&Position>,
    ) -> Result<SecretPage, KeyVaultError> {
        let first = format!("api-version={API_VERSION}");
        let query = at.map_or(first.as_str(), Position::as_str);
        let call = Call {
            operation: match listing {
                Listing::Living => "list_secrets",
                Listing::Deleted => "list_deleted_secrets",
            },
            request_id,
            method: Method::GET,
            key_vault,
            url: format!("{key_vault}{}?{query}", listing.path()),
            body: None,
            limit: wire::PAGE_LIMIT,
        };
        let sent = self.send(call, Repeat::Always, Deadline::after(LIST_BUDGET)).await;
        let answer = sent.map_err(|failure| failure.error)?;
        let read = || {
            let body: Body = serde_json::from_slice(&answer.body).ok()?;
            let next = match body.next_link.filter(|link| !link.is_empty()) {
                Some(link) => Some(Position::following(&link, key_vault, listing)?),
                None => None,
            };
            let items = body.value.into_iter();
            let secrets = items.map(|item| item.read(key_vault)).collect::<Option<_>>()?;
            Some(SecretPage { secrets, next })
        };
        read().ok_or_else(|| KeyVaultError::InvalidAnswer(answer.facts.clone()))
    }
}

impl Item {
    /// None unless it is a secret of this Key Vault.
    fn read(self, key_vault: &KeyVaultUri) -> Option<ListedSecret> {
        let url = Url::parse(&self.id).ok().filter(|url| wire::is_on(url, key_vault))?;
        let mut path = url.path_segments()?;
        let (Some("secrets"), Some(name), None) = (path.next(), path.next(), path.next()) else {
            return None;
        };
        let moment = |seconds: Option<i64>| {
            seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        };
        Some(ListedSecret {
            name: SecretName::parse(name).ok()?,
            enabled: self.attributes.enabled,
            created_at: moment(self.attributes.created),
            updated_at: moment(self.attributes.updated),
            deleted_at: moment(self.deleted_date),
            purged_at: moment(self.scheduled_purge_date),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_keeps_to_its_listing_and_holds_a_query_only() {
        let key_vault = KeyVaultUri::parse("https://kv-mars.vault.azure.net/").unwrap();
        let query = "api-version=2025-07-01&$skiptoken=eyJOZXh0&maxresults=25";
        let follows = |link: &str| Position::following(link, &key_vault, Listing::Living);
        let good = format!("https://kv-mars.vault.azure.net:443/secrets?{query}");
        assert_eq!(follows(&good).unwrap().as_str(), query);
        for wrong in [
            good.replace("kv-mars", "kv-evil"),
            good.replace("https", "http"),
            good.replace(":443", ":8443"),
            good.replace("/secrets", "/deletedsecrets"),
            good.replace("/secrets", "/secrets/x"),
            good.replace("https://", "https://user@"),
            "https://kv-mars.vault.azure.net/secrets".to_owned(),
            format!("https://kv-mars.vault.azure.net/secrets?{}", "x".repeat(2_000)),
            String::new(),
        ] {
            assert_eq!(follows(&wrong), None, "{wrong}");
        }
        for wrong in ["", "a b", "a#b", "a\nb", "a\u{e4}"] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
    }
}

//! Pages of ARM's long lists and their `nextLink`, when the world asks for them; otherwise every list is one page.
//!
//! Key Vault's provider writes `%24skiptoken`, the others `$skiptoken`.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{Call, Outcome, error::Refused};
use crate::{azure::locked, http::Answer};

/// One page of a list; ARM always names the members `value`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    value: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_link: Option<String>,
}

/// A list that is never long.
pub(super) fn listed<T: Serialize>(value: impl IntoIterator<Item = T>) -> Answer {
    Answer::json(200, &Page { value: value.into_iter().collect(), next_link: None })
}

pub(super) fn paged<T: Serialize>(call: &Call<'_>, items: impl Iterator<Item = T>) -> Outcome {
    Ok(Answer::json(200, &page(call, items)?))
}

/// The page that the request's token begins with.
pub(super) fn page<T>(call: &Call<'_>, items: impl Iterator<Item = T>) -> Result<Page<T>, Refused> {
    let paging = locked(&call.azure.estate).paging;
    let from = call.query.skip_token.as_deref().map_or(Some(Place::default()), Place::decode);
    let from = from.ok_or_else(|| Refused::bad_request("The skip token is not valid."))?;
    if paging.empty_pages && !from.after_empty_page {
        let next = Place { after_empty_page: true, ..from };
        return Ok(Page { value: Vec::new(), next_link: Some(link(call, next)) });
    }
    let size = paging.page_size.map_or(usize::MAX, |size| size.max(1));
    let mut rest = items.skip(from.skip).peekable();
    let value: Vec<T> = rest.by_ref().take(size).collect();
    let next = Place { skip: from.skip + value.len(), after_empty_page: false };
    Ok(Page { next_link: rest.peek().map(|_| link(call, next)), value })
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    skip: usize,
    after_empty_page: bool,
}

impl Place {
    fn encode(self) -> String {
        let end = if self.after_empty_page { "e" } else { "" };
        BASE64_URL_SAFE_NO_PAD.encode(format!("{}!{end}", self.skip))
    }

    fn decode(token: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (skip, end) = text.split_once('!')?;
        Some(Self { skip: skip.parse().ok()?, after_empty_page: end == "e" })
    }
}

/// Absolute: the path and the query as they were asked, and the token.
fn link(call: &Call<'_>, place: Place) -> String {
    let key = match call.path.namespace().as_deref() {
        Some("microsoft.keyvault") => "%24skiptoken",
        _ => "$skiptoken",
    };
    let is_token = |pair: &&str| {
        let pair = pair.to_ascii_lowercase().replace("%24", "$");
        pair.starts_with("$skiptoken=")
    };
    let query = call.uri.query().unwrap_or_default();
    let query: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
    let (path, query, token) = (call.uri.path(), query.join("&"), place.encode());
    format!("https://management.azure.com{path}?{query}&{key}={token}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_token() {
        for after_empty_page in [false, true] {
            let place = Place { skip: 12, after_empty_page };
            assert_eq!(Place::decode(&place.encode()), Some(place));
        }
        assert_eq!(Place::decode("nonsense"), None);
    }
}

//! Pages of 25 and their `nextLink`: port 443, a literal `$skiptoken`, then `maxresults` when it was asked for.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};

use super::{
    error::ServiceError,
    route::Target,
    wire::{Bundle, Page},
};

const PAGE: usize = 25;
/// Ends the marker of a link that stands on an empty page.
const EMPTY_PAGE_DONE: &str = "!e";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SkipToken {
    next_marker: String,
    target_location: u8,
}

/// Where a page starts.
#[derive(Debug, PartialEq, Eq)]
struct Marker {
    /// The last key of the page before; empty at the start.
    after: String,
    empty_page_done: bool,
}

impl Marker {
    fn of(token: Option<&str>) -> Result<Self, ServiceError> {
        let start = Self { after: String::new(), empty_page_done: false };
        let Some(token) = token else { return Ok(start) };
        Self::decode(token).ok_or_else(|| ServiceError::bad_parameter("The $skiptoken is invalid."))
    }

    fn decode(token: &str) -> Option<Self> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let marker = serde_json::from_slice::<SkipToken>(&json).ok()?.next_marker;
        let (marker, empty_page_done) = match marker.strip_suffix(EMPTY_PAGE_DONE) {
            Some(marker) => (marker, true),
            None => (marker.as_str(), false),
        };
        let after = BASE64_STANDARD.decode(marker.strip_prefix("2!")?.split_once('!')?.1).ok()?;
        Some(Self { after: String::from_utf8(after).ok()?, empty_page_done })
    }

    fn encode(&self) -> String {
        let key = BASE64_STANDARD.encode(&self.after);
        let end = if self.empty_page_done { EMPTY_PAGE_DONE } else { "" };
        let next_marker = format!("2!{}!{key}{end}", key.len());
        let token = SkipToken { next_marker, target_location: 0 };
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }
}

/// One page of `items`, which come in the order of their keys.
pub(super) fn page<'a, T: 'a>(
    target: &Target,
    host: &str,
    path: &str,
    empty_pages: bool,
    items: impl Iterator<Item = (&'a String, T)>,
    bundle: impl Fn(T) -> Option<Bundle>,
) -> Result<Page, ServiceError> {
    let size = match target.max_results.as_deref().map(str::parse) {
        None => PAGE,
        Some(Ok(size @ 1..=PAGE)) => size,
        Some(_) => {
            return Err(ServiceError::bad_parameter("maxresults must be between 1 and 25."));
        }
    };
    let link = |marker: &Marker| {
        let limit = target.max_results.as_ref().map(|max| format!("&maxresults={max}"));
        format!(
            "https://{host}:443{path}?api-version={}&$skiptoken={}{}",
            target.api_version,
            marker.encode(),
            limit.unwrap_or_default()
        )
    };
    let start = Marker::of(target.skip_token.as_deref())?;
    if empty_pages && !start.empty_page_done {
        let next = Marker { empty_page_done: true, ..start };
        return Ok(Page { value: Vec::new(), next_link: Some(link(&next)) });
    }
    let mut rest =
        items.skip_while(|(key, _)| !start.after.is_empty() && **key <= start.after).peekable();
    let mut value = Vec::with_capacity(size);
    let mut last = String::new();
    while let Some((key, item)) = rest.next_if(|_| value.len() < size) {
        last.clone_from(key);
        value.extend(bundle(item));
    }
    let next = Marker { after: last, empty_page_done: false };
    let next_link = rest.peek().map(|_| link(&next));
    Ok(Page { value, next_link })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_its_token() {
        for empty_page_done in [false, true] {
            let marker = Marker { after: "AzBackup-ä!e".to_owned(), empty_page_done };
            assert_eq!(Marker::decode(&marker.encode()), Some(marker));
        }
    }
}

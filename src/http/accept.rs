//! Which of two forms a caller wants to read.

use axum::http::{HeaderMap, header};

/// JSON unless one of these is named before it, or with a higher weight.
pub(super) fn prefers(headers: &HeaderMap, other: &[&str]) -> bool {
    let given = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let weigh = |range: &str| {
        let mut parts = range.split(';');
        let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok());
        (kind, weight.unwrap_or(1.0))
    };
    let ranges: Vec<(String, f32)> = given.flat_map(|value| value.split(',')).map(weigh).collect();
    let best = |wanted: &[&str]| {
        let named = ranges
            .iter()
            .enumerate()
            .filter(|(_, (kind, weight))| wanted.contains(&kind.as_str()) && *weight > 0.0);
        named
            .map(|(at, (_, weight))| (*weight, std::cmp::Reverse(at)))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
    };
    match (best(other), best(&["application/json", "application/*", "*/*"])) {
        (Some(_), None) => true,
        (Some(text), Some(json)) => text.0.total_cmp(&json.0).then(text.1.cmp(&json.1)).is_gt(),
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn text_is_for_those_who_ask_for_it() {
        let prefers = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            super::prefers(&headers, &["text/plain", "text/*"])
        };
        for text in [
            "text/plain",
            "TEXT/Plain; charset=utf-8",
            "text/plain, application/json",
            "text/plain, */*;q=0.1",
            "text/*",
        ] {
            assert!(prefers(text), "{text}");
        }
        for json in [
            "*/*",
            "application/json",
            "application/json, text/plain",
            "text/plain;q=0.5, application/json",
            "text/plain;q=0",
            "text/html",
            "",
        ] {
            assert!(!prefers(json), "{json}");
        }
        assert!(!super::prefers(&HeaderMap::new(), &["text/plain"]));
    }
}

//! What all answers of Azure have in common: the ids of a request, a size that is too large, and the
//! shape of an error.

use std::net::IpAddr;

use reqwest::{
    Response,
    header::{DATE, HeaderName},
};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use zeroize::Zeroizing;

use super::resource_manager::CallFacts;

pub(super) const OUR_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const THEIR_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
/// The largest error that is read.
pub(super) const ERROR_LIMIT: usize = 64 * 1024;

/// What a service said, and how it came to say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T, F = CallFacts> {
    pub value: T,
    pub facts: F,
}

impl<T, F> Told<T, F> {
    pub fn map<U>(self, made: impl FnOnce(T) -> U) -> Told<U, F> {
        Told { value: made(self.value), facts: self.facts }
    }
}

pub(super) enum Unread {
    TooLarge,
    Broken,
}

/// A body that holds a passphrase, perhaps: in a buffer that is wiped and does not move, because its
/// size is known before it is filled.
pub(super) async fn read_wiped(
    response: Response,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let size = size(&response, limit)?;
    let mut body = Zeroizing::new(Vec::with_capacity(size.unwrap_or(limit)));
    fill(&mut body, response, size.unwrap_or(limit)).await?;
    Ok(body)
}

/// A body that holds no secret.
pub(super) async fn read(response: Response, limit: usize) -> Result<Vec<u8>, Unread> {
    let size = size(&response, limit)?;
    let mut body = Vec::with_capacity(size.unwrap_or_default());
    fill(&mut body, response, size.unwrap_or(limit)).await?;
    Ok(body)
}

/// As announced; none when it is not.
fn size(response: &Response, limit: usize) -> Result<Option<usize>, Unread> {
    match response.content_length().map(usize::try_from) {
        None => Ok(None),
        Some(Ok(size)) if size <= limit => Ok(Some(size)),
        Some(_too_large) => Err(Unread::TooLarge),
    }
}

async fn fill(body: &mut Vec<u8>, mut response: Response, limit: usize) -> Result<(), Unread> {
    while let Some(chunk) = response.chunk().await.map_err(|_broken| Unread::Broken)? {
        if body.len() + chunk.len() > limit {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(())
}

/// `addr=` of Key Vault's `x-ms-keyvault-network-info`.
pub(super) fn client_address(response: &Response) -> Option<IpAddr> {
    let info = header(response, HeaderName::from_static("x-ms-keyvault-network-info"))?;
    address_in(info)
}

fn address_in(info: &str) -> Option<IpAddr> {
    info.split(';').find_map(|part| part.trim().strip_prefix("addr=")?.parse().ok())
}

/// What time it was where the answer was made.
pub(super) fn date(response: &Response) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(header(response, DATE)?, &Rfc2822).ok()
}

/// A header of the answer that is text.
pub(super) fn header(response: &Response, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// The service's own id of the request, for Microsoft's support.
pub(super) fn request_id(response: &Response) -> Option<String> {
    header(response, THEIR_REQUEST_ID).and_then(tidy_request_id)
}

/// The error object of an answer. A body that cannot be read has none of it.
#[derive(Default, Deserialize)]
pub(super) struct ErrorObject {
    code: Option<String>,
    /// For hints to people. Nothing is decided by it, and it is passed on to nobody.
    pub(super) message: Option<String>,
    innererror: Option<InnerError>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorObject,
}

#[derive(Deserialize)]
struct InnerError {
    code: Option<String>,
}

impl ErrorObject {
    pub(super) fn parse(body: &[u8]) -> Self {
        serde_json::from_slice::<ErrorBody>(body).map(|body| body.error).unwrap_or_default()
    }

    pub(super) fn take_code(&mut self) -> Option<String> {
        self.code.take().and_then(tidy_code)
    }

    pub(super) fn take_inner_code(&mut self) -> Option<String> {
        self.innererror.take().and_then(|inner| inner.code).and_then(tidy_code)
    }
}

fn tidy_code(code: String) -> Option<String> {
    let tidy =
        (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    tidy.then_some(code)
}

fn tidy_request_id(id: &str) -> Option<String> {
    let tidy = (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    tidy.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_is_left_out() {
        let mut error = ErrorObject::parse(
            br#"{"error":{"code":"Malformed backup blob","innererror":{"code":"a\r\nb"}}}"#,
        );
        assert_eq!((error.take_code(), error.take_inner_code()), (None, None));
        for body in ["", "<html>", "[]", r#"{"error":null}"#, r#"{"error":{"code":7}}"#] {
            assert_eq!(ErrorObject::parse(body.as_bytes()).take_code(), None, "{body}");
        }
    }

    #[test]
    fn the_address_that_key_vault_saw_is_an_address_or_nothing() {
        let address = |text: &str| address_in(text).map(|address| address.to_string());
        let recorded = "conn_type=Ipv4;addr=70.37.26.134;act_addr_fam=InterNetwork;";
        assert_eq!(address(recorded).as_deref(), Some("70.37.26.134"));
        let six = "conn_type=Ipv6; addr=2001:db8::7;act_addr_fam=InterNetworkV6";
        assert_eq!(address(six).as_deref(), Some("2001:db8::7"));
        for wrong in
            ["", "addr=", "addr=evil.example", "addr=1.2.3.4:443", "act_addr=1.2.3.4", "addr=1.2.3"]
        {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_request_id_is_left_out() {
        assert_eq!(tidy_request_id("f00d-1").as_deref(), Some("f00d-1"));
        for wrong in ["", "<script>", "a b", &"a".repeat(65)] {
            assert_eq!(tidy_request_id(wrong), None, "{wrong}");
        }
    }
}

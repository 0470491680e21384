//! Parsing at the door. Every extractor refuses with a problem, and no message repeats what was sent:
//! a passphrase in the wrong place must not come back in an error.

use std::sync::Arc;

use axum::{
    body::{Bytes, HttpBody},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    App, LARGEST_BODY,
    codes::Code,
    problem::{Problem, of_status},
};
use crate::{
    broker::IdempotencyKey,
    domain::{caller::Caller, machine::MachineId, rotation::RotationId},
};

/// The caller that the bracket let in. Its absence is a mistake of ours, and nobody gets in by it.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Code::Internal, Code::Internal.title()))
    }
}

/// A JSON body: at most 64 KiB, there within the time for bodies, no unknown and no repeated members.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        require_json(request.headers())?;
        parse(&read(request, app).await?).map(Self)
    }
}

/// Like [`Json`], for operations whose body may be left out.
pub(super) struct OptionalJson<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let named = request
            .headers()
            .contains_key(header::CONTENT_TYPE)
            .then(|| require_json(request.headers()));
        let bytes = read(request, app).await?;
        if bytes.is_empty() || bytes.as_ref() == b"null" {
            return Ok(Self(T::default()));
        }
        named.unwrap_or_else(|| Err(unsupported()))?;
        parse(&bytes).map(Self)
    }
}

async fn read(request: Request, app: &Arc<App>) -> Result<Bytes, Problem> {
    // Announced as too large: refused before any of it is waited for.
    if request.body().size_hint().lower() > LARGEST_BODY as u64 {
        return Err(of_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let bytes = tokio::time::timeout(app.limits.body_timeout, Bytes::from_request(request, app));
    let late = |_elapsed| Problem::new(Code::RequestTimeout, "the body did not arrive in time");
    bytes.await.map_err(late)?.map_err(|rejection| {
        let code = Code::of_status(axum::response::IntoResponse::into_response(rejection).status());
        Problem::new(code, code.title())
    })
}

fn unsupported() -> Problem {
    Problem::new(Code::UnsupportedMediaType, "send the body as application/json")
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let fits = ["application/json", "application/merge-patch+json"];
    if fits.iter().any(|fit| essence.eq_ignore_ascii_case(fit)) {
        Ok(())
    } else {
        Err(unsupported())
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer_to(error.path());
        // serde_json calls a number where a name should be a mistake of syntax.
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        Problem::at(pointer, explain(error.inner(), is_json))
    })?;
    json.end().map_err(|_trailing| Problem::at("", "there is something after the JSON value"))?;
    Ok(parsed)
}

/// Member names of ours only: a name that the caller made up could be a passphrase in the wrong place.
fn pointer_to(path: &serde_path_to_error::Path) -> String {
    let known = [
        "passphrase",
        "tags",
        "value",
        "source",
        "version",
        "fqdn",
        "keyVaultUri",
        "keyVaultId",
        "secretName",
        "recoveryServicesVaultId",
        "agentVersion",
        "agentObjectId",
        "writer",
        "expiresInSeconds",
        "reason",
        "justification",
        "ticket",
        "marsErrorCode",
        "message",
        "secretIdentifier",
        "recoveryServicesVaultIds",
        "items",
        "cursor",
        "chosen",
    ];
    path.iter()
        .map_while(|segment| match segment {
            serde_path_to_error::Segment::Map { key } => {
                known.iter().find(|name| *name == key).map(|name| format!("/{name}"))
            }
            _ => None,
        })
        .collect()
}

/// serde's message quotes the value that did not fit. Only its kind, and names of ours, are passed on:
/// what stands behind the last "expected" is ours, what stands before it is the caller's.
fn explain(error: &serde_json::Error, is_json: bool) -> String {
    let message = error.to_string();
    let place = format!("line {}, column {}", error.line(), error.column());
    let ours = message.rsplit_once(" at line").map_or(message.as_str(), |(start, _)| start);
    let ours = ours.replace('`', "\"");
    let expected = ours.rsplit_once(", expected ").map_or("none", |(_, names)| names);
    let what = if !is_json {
        "this is not JSON".to_owned()
    } else if message.starts_with("missing field") || message.starts_with("duplicate field") {
        // These two quote the name of a member of ours, never a value.
        ours
    } else if message.starts_with("unknown field") {
        format!("there is a member that is not known here; expected {expected}")
    } else if message.starts_with("unknown variant") {
        format!("this is none of the values that are possible here; expected {expected}")
    } else if message.starts_with("repeated") {
        "a member is there twice".to_owned()
    } else {
        "this value is of the wrong kind".to_owned()
    };
    format!("{what} ({place})")
}

/// Path parameters. A machine id that is no UUID names no machine.
macro_rules! id_in_path {
    ($extractor:ident, $($field:ident: $kind:ident = $name:literal),*) => {
        pub(super) struct $extractor { $(pub(super) $field: $kind),* }

        impl<S: Send + Sync> FromRequestParts<S> for $extractor {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                type Names = std::collections::HashMap<String, String>;
                let not_found = |what: &str| Problem::new(Code::NotFound, format!("there is no such {what}"));
                let names = axum::extract::Path::<Names>::from_request_parts(parts, state).await;
                let axum::extract::Path(names) = names.map_err(|_rejection| not_found("resource"))?;
                Ok(Self {
                    $($field: names
                        .get(concat!($name, "Id"))
                        .and_then(|text| Uuid::try_parse(text).ok())
                        .map($kind)
                        .ok_or_else(|| not_found($name))?),*
                })
            }
        }
    };
}

id_in_path!(InMachine, machine: MachineId = "machine");
id_in_path!(InRotation, machine: MachineId = "machine", rotation: RotationId = "rotation");

/// Query parameters: unknown and repeated ones are refused.
pub(super) struct StrictQuery<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|_rejection| {
            Problem::at(
                "query",
                "a query parameter is unknown, repeated, or has a value of the wrong kind",
            )
        })
    }
}

/// How many items a page has at most.
pub(super) fn page_size(asked: Option<i64>) -> Result<i64, Problem> {
    let size = asked.unwrap_or(50);
    if (1..=200).contains(&size) {
        Ok(size)
    } else {
        Err(Problem::at("pageSize", "a page has 1 to 200 items"))
    }
}

/// The `Idempotency-Key` header with the digest of what is asked. `request` is printed with `Debug`, in
/// which a passphrase is redacted: nothing made from a passphrase may reach the database.
pub(super) fn idempotency_key(
    headers: &HeaderMap,
    request: &impl std::fmt::Debug,
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| {
        (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let key = key.ok_or_else(|| {
        Problem::at(
            "Idempotency-Key",
            "a key has 1 to 255 visible ASCII characters; a UUID is a good one",
        )
    })?;
    let printed = format!("{request:?}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, printed.as_bytes());
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    Ok(Some(IdempotencyKey { key: key.to_owned(), fingerprint }))
}

/// The revision in `If-Match`.
pub(super) fn if_match(headers: &HeaderMap) -> Result<i64, Problem> {
    let value = headers.get(header::IF_MATCH).ok_or_else(|| {
        Problem::new(
            Code::PreconditionRequired,
            "send the machine's ETag as If-Match, so that no change is lost",
        )
    })?;
    let revision = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    revision.ok_or_else(|| Problem::new(Code::PreconditionFailed, Code::PreconditionFailed.title()))
}

/// A map that refuses a member given twice: the last one winning would let one reader see another value
/// than the next.
pub(super) fn map_without_repeats<'de, D, V>(
    deserializer: D,
) -> Result<std::collections::BTreeMap<String, V>, D::Error>
where
    D: serde::Deserializer<'de>,
    V: serde::Deserialize<'de>,
{
    struct Members<V>(std::marker::PhantomData<V>);
    impl<'de, V: serde::Deserialize<'de>> serde::de::Visitor<'de> for Members<V> {
        type Value = std::collections::BTreeMap<String, V>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut access: A,
        ) -> Result<Self::Value, A::Error> {
            let mut map = std::collections::BTreeMap::new();
            while let Some((name, value)) = access.next_entry::<String, V>()? {
                if map.insert(name, value).is_some() {
                    return Err(serde::de::Error::custom("repeated member"));
                }
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Members(std::marker::PhantomData))
}

//! Around everything: the request's id, paths that mean two things, security headers, and every error,
//! a library's or ours, as a problem. Panics and the total time are bounded here too.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    body::HttpBody,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    App,
    codes::Code,
    problem::{NoProblem, Problem, of_status},
};
use crate::domain::{caller::RequestFacts, passphrase::Passphrase};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No path of ours.
pub(super) async fn nothing_here() -> Problem {
    of_status(StatusCode::NOT_FOUND)
}

pub(super) async fn edge(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let facts = facts(&request);
    let request_id = facts.request_id.clone();
    let path = request.uri().path().to_owned();
    let method = method_name(request.method());
    let matched =
        request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let span = tracing::info_span!("request", request_id = %request_id, method);
    request.extensions_mut().insert(facts);
    let response = async {
        if is_ambiguous(&path) {
            return axum::response::IntoResponse::into_response(Problem::new(
                Code::InvalidRequest,
                "the path has dots, empty segments or encoded separators",
            ));
        }
        // A panic's payload could hold anything; the hook logs its place only.
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(app.limits.request_timeout * 2, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(_panic)) => axum::response::IntoResponse::into_response(of_status(
                StatusCode::INTERNAL_SERVER_ERROR,
            )),
            Err(_late) => axum::response::IntoResponse::into_response(Problem::new(
                Code::TimedOut,
                Code::TimedOut.title(),
            )),
        }
    }
    .instrument(span.clone())
    .await;
    let mut response = rendered(response, &request_id);
    secure(response.headers_mut(), &path);
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status().as_u16();
    let route = matched.unwrap_or_else(|| "none".to_owned());
    let labels =
        [("route", route.clone()), ("method", method.to_owned()), ("status", status.to_string())];
    metrics::counter!("passphrase_broker_http_requests_total", &labels).increment(1);
    let seconds = started.elapsed().as_secs_f64();
    metrics::histogram!("passphrase_broker_http_request_seconds", "route" => route.clone())
        .record(seconds);
    span.in_scope(|| tracing::info!(route, status, seconds, "answered"));
    response
}

/// A name that the caller made up stays out of the log, and out of the metrics, where it would be a
/// series of its own for ever.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn facts(request: &Request) -> RequestFacts {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            && !Passphrase::looks_generated(id)
    };
    let operation_id = Uuid::now_v7();
    RequestFacts {
        operation_id,
        request_id: given.filter(fits).map_or_else(|| operation_id.to_string(), str::to_owned),
        source_address: request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map(|peer| peer.0.ip().to_string()),
    }
}

/// `..` has beaten access rules elsewhere (CVE-2026-3605). No path of ours needs any of these.
fn is_ambiguous(path: &str) -> bool {
    let folded = path.to_ascii_lowercase();
    let encoded = ["%2f", "%5c", "%2e", "%00", "\\"].iter().any(|part| folded.contains(part));
    let segments = path.strip_prefix('/').unwrap_or(path);
    let dotted = segments.split('/').any(|segment| matches!(segment, "." | ".."));
    encoded || dotted || path.contains("//")
}

/// Writes the problem that an answer carries, and makes one of a bare error.
fn rendered(mut response: Response, request_id: &str) -> Response {
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| {
        let status = response.status();
        let bare = (status.is_client_error() || status.is_server_error())
            && response
                .headers()
                .get(header::CONTENT_TYPE)
                .is_none_or(|kind| kind != "application/json")
            && response.extensions().get::<NoProblem>().is_none();
        bare.then(|| of_status(status))
    });
    let Some(problem) = problem else { return response };
    let mut rendered = problem.render(request_id);
    if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
        rendered.headers_mut().insert(header::ALLOW, allow);
    }
    // The rest of a body that is not read must not be taken for the next request.
    if problem.code == Code::PayloadTooLarge || problem.code == Code::RequestTimeout {
        rendered.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    debug_assert!(rendered.body().size_hint().exact().is_some(), "a problem is short and whole");
    rendered
}

fn secure(headers: &mut HeaderMap, path: &str) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value))
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
    set(header::X_FRAME_OPTIONS, "DENY");
    // The page of the documentation runs a script of its own, and no other.
    let policy = if path.starts_with("/docs") {
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
    } else {
        "default-src 'none'; frame-ancestors 'none'"
    };
    set(header::CONTENT_SECURITY_POLICY, policy);
    if !path.starts_with("/docs") {
        set(header::CACHE_CONTROL, "no-store");
    }
}

#[cfg(test)]
mod tests {
    use super::is_ambiguous;

    #[test]
    fn paths_that_mean_two_things_are_found() {
        for path in [
            "/v1/../x",
            "/v1/./x",
            "/v1//x",
            "/v1/%2e%2e/x",
            "/v1/a%2Fb",
            "/v1/a%5cb",
            "/v1/..",
            "/v1/\\x",
        ] {
            assert!(is_ambiguous(path), "{path}");
        }
        assert!(!is_ambiguous("/v1/machines/0199a.b"));
        assert!(!is_ambiguous("/docs/"));
    }
}

//! The part of Azure Resource Manager (`management.azure.com`) that key vaults, backup vaults and roles need.
//!
//! One room per resource provider. A request passes, in this order: its fault, the token, the api-version, the
//! subscription, the permission, the resource. Without the permission it is 403 whether or not the resource exists.

mod authorization;
mod caller;
mod error;
pub(crate) mod estate;
mod filter;
mod insights;
mod key_vault;
mod log;
mod paging;
mod path;
mod providers;
mod recovery_services;
mod resources;
mod versions;

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Method, Request, Uri, body::Incoming};
use serde::de::DeserializeOwned;
use time::{OffsetDateTime, macros::format_description};
use url::form_urlencoded;

pub use self::log::ManagementRequest;
pub(crate) use self::recovery_services::RecoveryVault;
use self::{
    caller::Caller,
    error::Refused,
    filter::Filter,
    paging::{listed, page, paged},
    path::Path,
};
use crate::{
    access_control::{Plane, new_guid},
    azure::{Azure, locked},
    faults::{Point, around},
    http::{Answer, Dropped, Reply},
};

const LONGEST_BODY: usize = 1024 * 1024;

type Outcome = Result<Answer, Refused>;

pub(crate) async fn answer(azure: Arc<Azure>, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let path = Path::of(head.uri.path());
    let operation = match head.method {
        Method::GET => "resource_manager.get",
        Method::PUT => "resource_manager.put",
        Method::PATCH => "resource_manager.patch",
        Method::DELETE => "resource_manager.delete",
        _ => "resource_manager.post",
    };
    let key_vault = path.key_vault().to_owned();
    let subscription = path.subscription().unwrap_or_default().to_owned();
    let point =
        Point { operation, key_vault: &key_vault, subscription: &subscription, ..Point::default() };
    let fault = azure.faults.take(&point);
    let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(|_| Dropped)?.to_bytes();
    let query = Query::of(head.uri.query().unwrap_or_default());
    let act = || {
        let mut oid = None;
        let done = caller::verify(&azure, &path, &head.headers).and_then(|caller| {
            oid = Some(caller.oid.clone());
            let (method, uri, body) = (&head.method, &head.uri, &*body);
            Call { azure: &azure, caller, method, uri, path, query, body }.route()
        });
        let answer = done.unwrap_or_else(|refused| refused.answer());
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        locked(&azure.estate).log.add(head.method.as_str(), target, oid, answer.status);
        dress(answer, &head.method, &head.headers)
    };
    let refuse = |answer: Answer| {
        let answer = if answer.status == 429 { error::in_words_of_arm(answer) } else { answer };
        dress(answer, &head.method, &head.headers)
    };
    around(fault, act, refuse).await
}

/// The headers that every answer carries.
fn dress(answer: Answer, method: &Method, asked: &HeaderMap) -> Answer {
    let text = |name: &str| asked.get(name).and_then(|value| value.to_str().ok());
    let request_id = new_guid();
    let correlation_id = text("x-ms-correlation-request-id").unwrap_or(&request_id).to_owned();
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let now = OffsetDateTime::now_utc().format(format).unwrap_or_default();
    let (counter, left) = match *method {
        Method::GET => ("x-ms-ratelimit-remaining-subscription-reads", "11999"),
        Method::DELETE => ("x-ms-ratelimit-remaining-subscription-deletes", "14999"),
        _ => ("x-ms-ratelimit-remaining-subscription-writes", "1199"),
    };
    let answer = answer
        .with("Cache-Control", "no-cache")
        .with("Pragma", "no-cache")
        .with("Expires", "-1")
        .with("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        .with("X-Content-Type-Options", "nosniff")
        .with(counter, left)
        .with("x-ms-request-id", &request_id)
        .with("x-ms-correlation-request-id", &correlation_id)
        .with("x-ms-routing-request-id", &format!("WESTEUROPE:{now}:{request_id}"));
    match text("x-ms-client-request-id") {
        Some(id) if text("x-ms-return-client-request-id") == Some("true") => {
            answer.with("x-ms-client-request-id", id)
        }
        _ => answer,
    }
}

struct Query {
    api_version: Option<String>,
    filter: Option<String>,
    skip_token: Option<String>,
}

impl Query {
    fn of(text: &str) -> Self {
        let mut query = Self { api_version: None, filter: None, skip_token: None };
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*key.to_ascii_lowercase() {
                "api-version" => query.api_version = Some(value.into_owned()),
                "$filter" => query.filter = Some(value.into_owned()),
                "$skiptoken" => query.skip_token = Some(value.into_owned()),
                _ => {}
            }
        }
        query
    }
}

/// A request whose caller is known.
struct Call<'a> {
    azure: &'a Azure,
    caller: Caller,
    method: &'a Method,
    uri: &'a Uri,
    path: Path,
    query: Query,
    body: &'a [u8],
}

impl Call<'_> {
    fn route(&self) -> Outcome {
        self.check_api_version()?;
        if let Some(id) = self.path.subscription() {
            let known = self.azure.subscription(id);
            known.ok_or_else(|| Refused::no_subscription(id))?;
        }
        if self.path.is_provider() {
            return providers::answer(self);
        }
        match self.path.namespace().as_deref() {
            None => resources::answer(self),
            Some("microsoft.keyvault") => key_vault::answer(self),
            Some("microsoft.recoveryservices") => recovery_services::answer(self),
            Some("microsoft.authorization") => authorization::answer(self),
            Some("microsoft.insights") => insights::answer(self),
            Some(_) => Err(Refused::invalid_namespace(&self.path.namespace_as_written())),
        }
    }

    fn check_api_version(&self) -> Result<(), Refused> {
        let asked = self.query.api_version.as_deref().filter(|version| !version.is_empty());
        let asked = asked.ok_or_else(Refused::missing_api_version)?;
        // A provider itself is a resource of Microsoft.Resources.
        let namespace = self.path.namespace().filter(|_| !self.path.is_provider());
        let Some(known) = versions::of(namespace.as_deref()) else {
            return Ok(());
        };
        if known.iter().any(|version| version.eq_ignore_ascii_case(asked)) {
            return Ok(());
        }
        if namespace.is_none() {
            return Err(Refused::invalid_api_version(asked, known));
        }
        let (namespace, kind) = (self.path.namespace_as_written(), self.path.kind());
        Err(Refused::no_registered_provider(&namespace, &kind, asked, known))
    }

    fn may(&self, action: &str, scope: &str) -> bool {
        self.azure.decide(&self.caller.oid, action, scope, Plane::Management).is_ok()
    }

    fn require(&self, action: &str, scope: &str) -> Result<(), Refused> {
        if self.may(action, scope) {
            return Ok(());
        }
        Err(Refused::not_authorized(&self.caller, action, &self.azure.canonical(scope)))
    }

    /// The resource group in the path is there.
    fn check_group(&self) -> Result<(), Refused> {
        let (Some(subscription), Some(group)) = (self.path.subscription(), self.path.group())
        else {
            return Ok(());
        };
        let known = self.azure.resource_group(subscription, group);
        known.map(drop).ok_or_else(|| Refused::no_group(group))
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        serde_json::from_slice(self.body).map_err(|_| Refused::unreadable())
    }

    fn filter(&self) -> Result<Filter, Refused> {
        let text = self.query.filter.as_deref().unwrap_or_default();
        Filter::parse(text).ok_or_else(|| Refused::invalid_filter(text))
    }

    fn api_version(&self) -> &str {
        self.query.api_version.as_deref().unwrap_or_default()
    }

    /// No such type, or not with this method.
    fn unknown(&self) -> Outcome {
        let namespace = self.path.namespace_as_written();
        Err(Refused::invalid_type(&namespace, &self.path.kind(), self.api_version()))
    }
}

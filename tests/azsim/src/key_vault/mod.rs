//! The secrets data plane of Key Vault, one `KeyVault` per host name.
//!
//! A request passes, in this order: the 401 challenge (before its body is looked at), its fault, the token, the network
//! rules, the route, the permission, the operation. One mutex per Key Vault, never held across an await.

mod access;
mod backup;
mod error;
mod operations;
mod paging;
mod route;
mod store;
pub(crate) mod view;
mod wire;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Request, body::Incoming};
use uuid::Uuid;

pub(crate) use self::access::CLIENT_ADDRESS;
use self::{
    error::ServiceError,
    operations::{Done, Room},
    route::Target,
    store::{Store, Version},
    view::{RequestSeen, SecretView},
};
use crate::{
    azure::{Azure, KEY_VAULT_SUFFIX, epoch_seconds, locked},
    faults::{Active, Point, around},
    http::{Answer, Dropped, Reply},
    oidc::{Tenant, verify::Caller},
    world::{Access, KeyVaultSpec, Network, SecretSpec, Settings},
};

const LONGEST_BODY: usize = 4 * 1024 * 1024;
const LONGEST_LOG: usize = 20_000;

pub(crate) struct KeyVault {
    /// As it was created; what may change lives in `State`.
    pub(crate) spec: KeyVaultSpec,
    host: String,
    tenant: Arc<Tenant>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    settings: Settings,
    /// Still decide until then.
    former: Option<(Instant, Access, Network)>,
    store: Store,
    requests: VecDeque<RequestSeen>,
}

impl KeyVault {
    pub(crate) fn new(spec: KeyVaultSpec, tenant: Arc<Tenant>) -> Self {
        let state = State { settings: spec.settings.clone(), ..State::default() };
        let key_vault = Self {
            host: format!("{}{KEY_VAULT_SUFFIX}", spec.name.to_ascii_lowercase()),
            tenant,
            state: Mutex::new(state),
            spec,
        };
        for secret in &key_vault.spec.secrets {
            // A new Key Vault holds no deleted secret that could be in the way.
            drop(key_vault.put_secret(secret.clone()));
        }
        key_vault
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn is_soft_deleted(&self) -> bool {
        locked(&self.state).settings.soft_deleted
    }

    pub(crate) fn settings(&self) -> Settings {
        locked(&self.state).settings.clone()
    }

    pub(crate) fn tenant_id(&self) -> &str {
        &self.tenant.id
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut state = locked(&self.state);
        state.former = None;
        change(&mut state.settings);
    }

    /// Shown at once; who may come in is decided by the former rules until the lag is over.
    pub(crate) fn change_after(&self, lag: Duration, change: impl FnOnce(&mut Settings)) {
        let (access, network) = self.rules();
        let mut state = locked(&self.state);
        state.former = (!lag.is_zero()).then(|| (Instant::now() + lag, access, network));
        change(&mut state.settings);
    }

    pub(crate) fn requests(&self) -> Vec<RequestSeen> {
        locked(&self.state).requests.iter().cloned().collect()
    }

    pub(crate) fn secret(&self, name: &str) -> Option<SecretView> {
        let state = locked(&self.state);
        state.store.peek(name).map(|(secret, deleted)| SecretView::of(secret, deleted))
    }

    pub(crate) fn secret_names(&self) -> Vec<String> {
        locked(&self.state).store.names().map(str::to_owned).collect()
    }

    /// A new version, past tokens and permissions. Answers its id.
    pub(crate) fn put_secret(&self, spec: SecretSpec) -> anyhow::Result<String> {
        let mut version = Version::new(spec.value);
        version.enabled = spec.enabled;
        version.content_type = spec.content_type;
        (version.not_before, version.expires) = (spec.not_before, spec.expires);
        version.tags = Some(spec.tags).filter(|tags| !tags.is_empty());
        let id = version.id.clone();
        let mut state = locked(&self.state);
        let mut done = state.store.set(&spec.name, version).map(drop);
        if spec.deleted && done.is_ok() {
            done = state.store.delete(&spec.name, Duration::ZERO).map(drop);
        }
        done.map(|()| id).map_err(|error| anyhow!("{error:?}"))
    }

    pub(crate) fn set_enabled(
        &self,
        name: &str,
        version: &str,
        enabled: bool,
    ) -> anyhow::Result<()> {
        let mut state = locked(&self.state);
        let secret = state.store.secret_mut(name, version).ok().context("no such secret")?;
        let version = secret.version_mut(version).ok().context("no such version")?;
        version.enabled = enabled;
        version.updated = epoch_seconds();
        Ok(())
    }

    fn log(&self, seen: RequestSeen) {
        let mut state = locked(&self.state);
        if state.requests.len() >= LONGEST_LOG {
            state.requests.pop_front();
        }
        state.requests.push_back(seen);
    }

    /// Everything but the permission: that needs role assignments, which are not this Key Vault's.
    fn perform(&self, target: &Target, body: &[u8]) -> Result<Done, ServiceError> {
        let State { settings, store, .. } = &mut *locked(&self.state);
        Room { key_vault: self, settings, store }.perform(target, body)
    }

    fn rules(&self) -> (Access, Network) {
        let state = locked(&self.state);
        let former = state.former.as_ref().filter(|(until, ..)| *until > Instant::now());
        if let Some((_, access, network)) = former {
            return (access.clone(), network.clone());
        }
        (state.settings.access.clone(), state.settings.network.clone())
    }
}

pub(crate) async fn answer(azure: Arc<Azure>, host: String, request: Request<Incoming>) -> Reply {
    let Some(key_vault) = azure.resolve(&host).filter(|found| !found.is_soft_deleted()) else {
        return Err(Dropped);
    };
    let (head, body) = request.into_parts();
    let target = Target::of(&head.method, &head.uri);
    let text = |name: &str| header(&head.headers, name);
    let client_request_id = text("x-ms-client-request-id");
    let visit = Visit { azure: &azure, key_vault: &key_vault, target, client_request_id };
    if head.uri.path() == "/healthstatus" {
        return Ok(visit.dress(Answer::empty(200), false).whole());
    }
    let Some(authorization) = text("authorization") else {
        let answer = ServiceError::missing_token().answer(&key_vault.tenant.id);
        visit.log(answer.status, None, None, None);
        return Ok(visit.dress(answer, false).whole());
    };
    let fault = azure.faults.take(&Point {
        operation: visit.target.operation.name(),
        key_vault: &key_vault.spec.name,
        secret: &visit.target.name,
        ..Point::default()
    });
    let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(|_| Dropped)?.to_bytes();
    if let Some(status) = fault.as_ref().and_then(|active| active.fault.effect.refusal()) {
        visit.log(status, None, None, fault.as_deref());
    }
    let act = || visit.admit(&authorization, &body, fault.as_deref());
    around(fault.clone(), act, |answer| visit.dress(answer, false)).await
}

/// One authenticated or refused request on its way through the room.
struct Visit<'a> {
    azure: &'a Azure,
    key_vault: &'a KeyVault,
    target: Target,
    client_request_id: Option<String>,
}

impl Visit<'_> {
    fn admit(&self, authorization: &str, body: &[u8], fault: Option<&Active>) -> Answer {
        let verdict = access::bearer(authorization).and_then(|token| {
            self.key_vault.tenant.verify(token).map_err(ServiceError::unauthorized)
        });
        let caller = verdict.as_ref().ok().cloned();
        let mut authorized = None;
        let done = verdict.and_then(|caller| self.authorize(&caller)).and_then(|assignment| {
            authorized = assignment;
            self.key_vault.perform(&self.target, body)
        });
        let (answer, version) = match done {
            Ok(Done { answer, version }) => (answer, version),
            Err(error) => (error.answer(&self.key_vault.tenant.id), None),
        };
        self.log(answer.status, version, caller.as_deref(), fault);
        self.dress(answer, authorized.is_some())
    }

    fn authorize(&self, caller: &Caller) -> Result<Option<String>, ServiceError> {
        let (access, network) = self.key_vault.rules();
        access::check_network(self.key_vault, caller, &network)?;
        self.target.check()?;
        access::check_permission(self.azure, self.key_vault, caller, &access, &self.target)
    }

    fn log(
        &self,
        status: u16,
        version: Option<String>,
        caller: Option<&Caller>,
        fault: Option<&Active>,
    ) {
        let asked = Some(self.target.version.clone()).filter(|version| !version.is_empty());
        self.key_vault.log(RequestSeen {
            operation: self.target.operation.name().to_owned(),
            secret_name: self.target.name.clone(),
            version: version.or(asked),
            client_request_id: self.client_request_id.clone(),
            caller_oid: caller.map(|caller| caller.oid.clone()),
            status,
            fault: fault.map(|active| active.id.clone()),
            at: epoch_seconds(),
        });
    }

    /// The headers that every answer carries, 401 and 404 too.
    fn dress(&self, answer: Answer, by_role: bool) -> Answer {
        let client_request_id = self.client_request_id.clone();
        let client_request_id = client_request_id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let answer = answer
            .with("Cache-Control", "no-cache")
            .with("Pragma", "no-cache")
            .with("Expires", "-1")
            .with("Strict-Transport-Security", "max-age=31536000;includeSubDomains")
            .with("X-Content-Type-Options", "nosniff")
            .with("x-ms-client-request-id", &client_request_id)
            .with("x-ms-request-id", &Uuid::new_v4().to_string())
            .with("x-ms-keyvault-region", &self.key_vault.spec.location)
            .with("x-ms-keyvault-service-version", "1.9.3070.2")
            .with(
                "x-ms-keyvault-network-info",
                "conn_type=Ipv4;addr=203.0.113.7;act_addr_fam=InterNetwork;",
            );
        if by_role {
            answer.with("x-ms-keyvault-rbac-assignment-id", "02670f37017357b69327b41b7d9daa8d")
        } else {
            answer
        }
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

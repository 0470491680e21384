//! `/v1/machines`: register, list, get, change, retire.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    App,
    extract::{InMachine, Json, Query, idempotency_key, if_match, map_without_repeats, page_size},
    passphrase::{GivenPassphrase, ReleasedPassphrase},
    problem::{Problem, ProblemBody},
};
use crate::{
    broker::{
        Error,
        machines::MachineChanges,
        registration::{FirstPassphrase, Registration},
    },
    domain::{
        caller::Caller,
        key_vault_id::SecretVersion,
        machine::{AgentVersion, Fqdn, Machine, MachineId, MachineState, Tags},
        recovery_services_vault::RecoveryServicesVaultId,
        secret_name::SecretName,
    },
    store::machines::MachineFilter,
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RegisterMachineRequest {
    /// The name that the machine has in MARS.
    #[schema(example = "srv-web01.corp.contoso.com", max_length = 253)]
    fqdn: String,
    #[schema(
        example = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rsv-prod"
    )]
    recovery_services_vault_id: String,
    /// One of the Key Vaults that this service is configured for; left out: its default one.
    #[schema(example = "https://kv-mars.vault.azure.net/")]
    key_vault_uri: Option<String>,
    /// The secret that holds the passphrase; left out: named in the configured style.
    #[schema(example = "AzBackup-srv-web01-corp-contoso-com-rsv-prod")]
    secret_name: Option<String>,
    #[schema(example = "2.0.9262.0")]
    agent_version: Option<String>,
    /// The object id of the identity that acts as this machine: the principal id of its managed identity.
    agent_object_id: Option<Uuid>,
    #[serde(default, deserialize_with = "map_without_repeats")]
    tags: BTreeMap<String, String>,
    passphrase: PassphraseRequest,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PassphraseRequest {
    source: Source,
    /// Only with `provided`. MARS's rules hold: 16 and more printable ASCII characters.
    value: Option<GivenPassphrase>,
    /// Only with `adopted`, when the newest version is not the one in force.
    version: Option<String>,
}

#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Source {
    /// Made here, and returned once.
    Generated,
    Provided,
    /// Already in Key Vault. Its value is not read.
    Adopted,
    /// There is none yet.
    None,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MachineResponse {
    id: Uuid,
    fqdn: String,
    state: &'static str,
    recovery_services_vault_id: String,
    key_vault_uri: String,
    secret_name: String,
    /// The version in force, as Key Vault names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<String>,
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    current_version_since: Option<OffsetDateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_object_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<String>,
    tags: BTreeMap<String, String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    /// Only in the answer to the registration that generated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<ReleasedPassphrase>,
    /// True in the replay of a request: a passphrase is answered once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    passphrase_omitted: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MachinePage {
    items: Vec<MachineResponse>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListMachinesQuery {
    /// Part of a machine's name, of its secret's name or of a tag (`name=value`), 3 characters or more.
    #[param(min_length = 3, max_length = 128)]
    q: Option<String>,
    /// `awaitingPassphrase`, `active`, `rotating`, `indeterminate`, `softDeleted`, `drifted` or `retired`.
    state: Option<String>,
    recovery_services_vault_id: Option<String>,
    /// 1 to 200; 50 when left out.
    page_size: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct UpdateMachineRequest {
    /// A tag with null is removed; null removes all.
    #[serde(deserialize_with = "mentioned_map")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    tags: Option<Option<BTreeMap<String, Option<String>>>>,
    /// Null unbinds the agent: it is refused from its next call on.
    #[serde(deserialize_with = "mentioned")]
    #[schema(value_type = Option<Uuid>)]
    agent_object_id: Option<Option<Uuid>>,
    #[serde(deserialize_with = "mentioned")]
    #[schema(value_type = Option<String>)]
    agent_version: Option<Option<String>>,
    /// Only while the machine has no passphrase.
    secret_name: Option<String>,
}

/// Registers a machine, and puts its first passphrase in Key Vault.
///
/// Repeating a registration that was interrupted (503, or a lost connection) finishes it after 30 seconds.
#[utoipa::path(
    post, path = "/v1/machines", operation_id = "register_machine", tag = "machines",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and request again answers the same machine, without its passphrase. Kept 24 h.")),
    request_body = RegisterMachineRequest,
    responses(
        (status = 201, description = "Registered. A generated passphrase is in this answer, and in no other.", body = MachineResponse,
         headers(("Location" = String, description = "The machine"), ("ETag" = String, description = "Its revision, for If-Match"))),
        (status = 409, description = "`machine-exists`, `secret-name-taken`, `agent-binding-mismatch`, `key-vault-secret-soft-deleted` (391282), `key-vault-secret-missing`, `idempotency-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`passphrase-policy-violation`, `idempotency-key-reused`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn register_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(request): Json<RegisterMachineRequest>,
) -> Result<Response, Problem> {
    let registration = request.parse(&app)?;
    let key = idempotency_key(&headers, &registration)?;
    let registered = app.broker.register_machine(&caller, registration, key.as_ref()).await?;
    let mut body = MachineResponse::from(&registered.machine);
    body.passphrase = registered.passphrase.map(ReleasedPassphrase);
    body.passphrase_omitted = registered.replayed;
    let mut response = with_etag(StatusCode::CREATED, &registered.machine, body);
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/machines/{}", registered.machine.id))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Lists machines, oldest first.
#[utoipa::path(
    get, path = "/v1/machines", operation_id = "list_machines", tag = "machines", params(ListMachinesQuery),
    responses((status = 200, description = "A page of machines.", body = MachinePage))
)]
pub(super) async fn list_machines(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<ListMachinesQuery>,
) -> Result<axum::Json<MachinePage>, Problem> {
    let limit = page_size(query.page_size)?;
    let filter = query.parse(&caller, &app)?;
    let mut machines = app.broker.list_machines(filter, limit + 1).await?;
    let more = machines.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        machines.pop();
    }
    let last = machines.last().filter(|_| more);
    let next_cursor = last.map(|machine| app.cursors.seal(&caller, &machine.id.to_string()));
    let items = machines.iter().map(MachineResponse::from).collect();
    Ok(axum::Json(MachinePage { items, next_cursor }))
}

/// Shows a machine.
#[utoipa::path(
    get, path = "/v1/machines/{machineId}", operation_id = "get_machine", tag = "machines",
    params(("machineId" = Uuid, Path, description = "The machine")),
    responses((status = 200, description = "The machine.", body = MachineResponse, headers(("ETag" = String, description = "Its revision, for If-Match"))))
)]
pub(super) async fn get_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
) -> Result<Response, Problem> {
    let machine = app.broker.get_machine(&caller, path.machine).await?;
    Ok(with_etag(StatusCode::OK, &machine, MachineResponse::from(&machine)))
}

/// Changes a machine, by JSON merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/v1/machines/{machineId}", operation_id = "update_machine", tag = "machines",
    params(
        ("machineId" = Uuid, Path, description = "The machine"),
        ("If-Match" = String, Header, description = "The ETag of the machine as it was read")
    ),
    request_body(content = UpdateMachineRequest, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The machine as it is now.", body = MachineResponse, headers(("ETag" = String, description = "Its revision, for If-Match"))),
        (status = 409, description = "`agent-binding-mismatch`, `secret-name-taken`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "`precondition-failed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`precondition-required`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn update_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
    headers: HeaderMap,
    Json(request): Json<UpdateMachineRequest>,
) -> Result<Response, Problem> {
    let revision = if_match(&headers)?;
    let changes = request.parse()?;
    let machine = app.broker.update_machine(&caller, path.machine, revision, changes).await?;
    Ok(with_etag(StatusCode::OK, &machine, MachineResponse::from(&machine)))
}

/// Takes a machine out of service. Its secret stays, and every version of it can still be retrieved.
#[utoipa::path(
    post, path = "/v1/machines/{machineId}/retire", operation_id = "retire_machine", tag = "machines",
    params(("machineId" = Uuid, Path, description = "The machine")),
    responses(
        (status = 200, description = "Retired, now or before.", body = MachineResponse),
        (status = 409, description = "`rotation-in-progress`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn retire_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    path: InMachine,
) -> Result<Response, Problem> {
    let machine = app.broker.retire_machine(&caller, path.machine).await?;
    Ok(with_etag(StatusCode::OK, &machine, MachineResponse::from(&machine)))
}

fn with_etag(status: StatusCode, machine: &Machine, body: MachineResponse) -> Response {
    let etag = format!("\"{}\"", machine.revision);
    (status, [(header::ETAG, etag)], axum::Json(body)).into_response()
}

fn invalid(pointer: &'static str) -> impl FnOnce(&dyn std::fmt::Display) -> Problem {
    move |error| Problem::at(pointer, error.to_string())
}

impl RegisterMachineRequest {
    fn parse(self, app: &App) -> Result<Registration, Problem> {
        let fqdn = Fqdn::parse(&self.fqdn).map_err(|error| invalid("/fqdn")(&error))?;
        let recovery_services_vault_id =
            RecoveryServicesVaultId::parse(&self.recovery_services_vault_id)
                .map_err(|error| invalid("/recoveryServicesVaultId")(&error))?;
        let key_vaults = &app.broker.rules().key_vaults;
        let key_vault_uri = key_vaults
            .choose(self.key_vault_uri.as_deref())
            .map_err(|error| Problem::from(Error::from(error)))?;
        let secret_name =
            self.secret_name.as_deref().map(SecretName::parse_for_machine).transpose();
        let agent_version = self.agent_version.as_deref().map(AgentVersion::parse).transpose();
        Ok(Registration {
            fqdn,
            recovery_services_vault_id,
            key_vault_uri: key_vault_uri.clone(),
            secret_name: secret_name.map_err(|error| invalid("/secretName")(&error))?,
            agent_object_id: self.agent_object_id,
            agent_version: agent_version.map_err(|error| invalid("/agentVersion")(&error))?,
            tags: Tags::parse(self.tags).map_err(|error| invalid("/tags")(&error))?,
            source: self.passphrase.parse()?,
        })
    }
}

impl PassphraseRequest {
    fn parse(self) -> Result<FirstPassphrase, Problem> {
        match (self.source, self.value, self.version) {
            (Source::Generated, None, None) => Ok(FirstPassphrase::Generated),
            (Source::Provided, Some(value), None) => value.parse().map(FirstPassphrase::Provided),
            (Source::Provided, None, _) => {
                Err(Problem::at("/passphrase/value", "a provided passphrase has a value"))
            }
            (Source::Adopted, None, version) => {
                let version = version.as_deref().map(SecretVersion::parse).transpose();
                let version = version.map_err(|error| invalid("/passphrase/version")(&error))?;
                Ok(FirstPassphrase::Adopted { version })
            }
            (Source::None, None, None) => Ok(FirstPassphrase::None),
            (_, Some(_), _) => {
                Err(Problem::at("/passphrase/value", "only a provided passphrase has a value"))
            }
            (_, None, Some(_)) => {
                Err(Problem::at("/passphrase/version", "only an adopted passphrase has a version"))
            }
        }
    }
}

impl ListMachinesQuery {
    fn parse(self, caller: &Caller, app: &App) -> Result<MachineFilter, Problem> {
        // Fewer than three characters have no trigram: the search would read every machine.
        let fits = |text: &String| {
            (3..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        if !self.q.as_ref().is_none_or(fits) {
            return Err(Problem::at("q", "search for 3 to 128 characters"));
        }
        let state = self.state.as_deref().map(|name| {
            MachineState::parse(name).ok_or_else(|| Problem::at("state", "there is no such state"))
        });
        let vault = self
            .recovery_services_vault_id
            .as_deref()
            .map(RecoveryServicesVaultId::parse)
            .transpose();
        let after =
            self.cursor.as_deref().map(|cursor| app.cursors.open(caller, cursor)).transpose()?;
        Ok(MachineFilter {
            tenant_id: caller.tenant_id(),
            search: self.q,
            state: state.transpose()?,
            recovery_services_vault_id: vault
                .map_err(|error| invalid("recoveryServicesVaultId")(&error))?,
            after: after.and_then(|position| Uuid::try_parse(&position).ok()).map(MachineId),
        })
    }
}

impl UpdateMachineRequest {
    fn parse(self) -> Result<MachineChanges, Problem> {
        let agent_version = match self.agent_version {
            Some(Some(text)) => Some(Some(
                AgentVersion::parse(&text).map_err(|error| invalid("/agentVersion")(&error))?,
            )),
            Some(None) => Some(None),
            None => None,
        };
        let secret_name =
            self.secret_name.as_deref().map(SecretName::parse_for_machine).transpose();
        Ok(MachineChanges {
            tags: self.tags,
            agent_object_id: self.agent_object_id,
            agent_version,
            secret_name: secret_name.map_err(|error| invalid("/secretName")(&error))?,
        })
    }
}

/// Tells a member that is null from one that is not there.
fn mentioned<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[expect(clippy::option_option, reason = "a merge patch tells null from absent")]
fn mentioned_map<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<BTreeMap<String, Option<String>>>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Map(#[serde(deserialize_with = "map_without_repeats")] BTreeMap<String, Option<String>>);
    Option::<Map>::deserialize(deserializer).map(|map| Some(map.map(|map| map.0)))
}

impl From<&Machine> for MachineResponse {
    fn from(machine: &Machine) -> Self {
        let in_force = machine.in_force.as_ref();
        Self {
            id: machine.id.0,
            fqdn: machine.fqdn.to_string(),
            state: machine.state.name(),
            recovery_services_vault_id: machine.recovery_services_vault_id.to_string(),
            key_vault_uri: machine.key_vault_uri.to_string(),
            secret_name: machine.secret_name.to_string(),
            secret_identifier: in_force
                .map(|in_force| machine.secret(in_force.version.clone()).to_string()),
            current_version: in_force.map(|in_force| in_force.version.to_string()),
            current_version_since: in_force.map(|in_force| in_force.since),
            agent_object_id: machine.agent.map(|agent| agent.object_id),
            agent_version: machine
                .agent_version
                .as_ref()
                .map(|version| version.as_str().to_owned()),
            tags: machine.tags.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            created_at: machine.created_at,
            updated_at: machine.updated_at,
            passphrase: None,
            passphrase_omitted: false,
        }
    }
}

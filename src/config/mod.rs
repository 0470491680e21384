//! The configuration: environment variables, read once and typed from then on.
//!
//! Every mistake is reported in one go, with the variable's name, what is wrong and what is
//! expected. Values of secret variables are never part of a mistake, of `Debug` or of
//! [`Config::describe`]. No other file reads the process environment.

mod describe;
mod parse;
mod reader;
mod redacted;
mod siem;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, time::Duration};

use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

pub use reader::Mistake;
use reader::{EXPECTED_CURSOR_KEY, EXPECTED_DATABASE, FILTER, Reader};
pub use redacted::{AuditSigningKeys, CursorKey, ExtraCa};
pub use siem::{SiemConfig, WebhookConfig};

use crate::domain::{
    key_vault_id::KeyVaultAllowList, reason::TicketRule, rotation_policy::RotationPolicy,
    secret_name::SecretNameStyle, service_secret::ServiceSecret,
};

/// What `serve` needs. Tests build it directly and listen on `127.0.0.1:0`.
#[derive(Debug, Clone)]
pub struct Config {
    /// `LISTEN_ADDRESS`
    pub listen_address: SocketAddr,
    /// `METRICS_ADDRESS`: when given, `/metrics` is served there and not on the main port.
    pub metrics_address: Option<SocketAddr>,
    /// `DATABASE_URL`: the role of the service, which may only append to the audit log.
    pub database_url: SecretString,
    /// `MIGRATION_DATABASE_URL`: the role that owns the tables.
    pub migration_database_url: Option<SecretString>,
    /// `MIGRATE_ON_START`: never true without a `migration_database_url`.
    pub migrate_on_start: bool,
    /// `DATABASE_MAX_CONNECTIONS`
    pub database_max_connections: u32,
    /// `KEY_VAULT_URIS`: the first is the default.
    pub key_vaults: KeyVaultAllowList,
    /// `SECRET_NAME_STYLE`
    pub secret_name_style: SecretNameStyle,
    /// `ENTRA_TENANT_IDS`: never empty.
    pub entra_tenant_ids: Vec<Uuid>,
    /// `ENTRA_AUDIENCE`: the client id, which is what `aud` holds in a v2 token.
    pub entra_audience: Uuid,
    /// `ENTRA_AUTHORITY`: `https`, and nothing after the host and port.
    pub entra_authority: Url,
    /// `ENTRA_USER_SCOPE`: what `scp` of a person's token must contain.
    pub entra_user_scope: String,
    /// `AZURE_CREDENTIAL`
    pub azure_credential: AzureCredential,
    /// `AZURE_CLIENT_ID`: which user-assigned identity.
    pub azure_client_id: Option<Uuid>,
    /// `EXTRA_CA_FILE`
    pub extra_ca: Option<ExtraCa>,
    /// `OUTBOUND_PROXY`: `http`, without credentials.
    pub outbound_proxy: Option<Url>,
    /// `CURSOR_KEY`
    pub cursor_key: CursorKey,
    /// `AUDIT_SIGNING_KEY`
    pub audit_signing_keys: Option<AuditSigningKeys>,
    /// `AUDIT_SIGNING_SECRET`: never together with `audit_signing_keys`.
    pub audit_signing_secret: Option<ServiceSecret>,
    /// `AUDIT_CHECKPOINT_SECRET`
    pub audit_checkpoint_secret: Option<ServiceSecret>,
    /// `AUDIT_CHECKPOINT_SECONDS`
    pub audit_checkpoint_every: Duration,
    pub siem: SiemConfig,
    /// `TICKET_REQUIRED`, `TICKET_PATTERN`
    pub ticket_rule: TicketRule,
    /// `ROTATION_AGE_DAYS`, `ROTATION_JITTER_DAYS`
    pub rotation_policy: Option<RotationPolicy>,
    /// `LOG_LEVEL`: a filter that [`crate::telemetry`] accepts.
    pub log_level: String,
    /// `DRIFT_CHECK_EVERY`: none when it is off.
    pub drift_check_every: Option<Duration>,
    /// `REQUEST_TIMEOUT_SECONDS`
    pub request_timeout: Duration,
    /// `INTERRUPTED_AFTER_SECONDS`: longer than `request_timeout`.
    pub interrupted_after: Duration,
    /// `REGISTRATION_ABANDONED_AFTER_SECONDS`
    pub registration_abandoned_after: Duration,
    /// `RECONCILE_SECONDS`
    pub reconcile_every: Duration,
    /// `MAX_CONNECTIONS`
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_PEER`: zero means no limit.
    pub max_connections_per_peer: usize,
    /// `MAX_CONCURRENT_REQUESTS`
    pub max_concurrent_requests: usize,
    /// `DRAIN_SECONDS`
    pub drain: Duration,
    /// `SHUTDOWN_GRACE_SECONDS`
    pub shutdown_grace: Duration,
}

/// What `migrate` needs: a job that migrates knows neither Azure nor the service's own role.
#[derive(Debug, Clone)]
pub struct MigrationConfig {
    pub database_url: SecretString,
    pub log_level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AzureCredential {
    ManagedIdentity,
    WorkloadIdentity,
    DeveloperTools,
}

impl Config {
    /// Reads the process environment.
    pub fn from_env() -> Result<Self, Vec<Mistake>> {
        Self::from_lookup(environment)
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(&lookup);
        let config = Self::read(&mut reader);
        reader.finish(config)
    }

    /// Reads every variable before it gives up, so that all mistakes are known by then.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let listen_address = reader.or("LISTEN_ADDRESS", "0.0.0.0:8080", &parse::ADDRESS);
        let metrics_address = reader.optional("METRICS_ADDRESS", &parse::ADDRESS);
        if metrics_address.is_some() && metrics_address == listen_address {
            reader.mistake("METRICS_ADDRESS", "is the same as LISTEN_ADDRESS", "another port");
        }
        let database_url = reader.secret("DATABASE_URL", EXPECTED_DATABASE, parse::database_url);
        let database_url = reader.required("DATABASE_URL", EXPECTED_DATABASE, database_url);
        let migration_database_url = migration_database_url(reader);
        let migrate_on_start = reader.or("MIGRATE_ON_START", "false", &parse::BOOLEAN);
        if migrate_on_start == Some(true) && migration_database_url.is_none() {
            reader.require_set("MIGRATION_DATABASE_URL", "a URL, because MIGRATE_ON_START is true");
        }
        let cursor_key = reader.secret("CURSOR_KEY", EXPECTED_CURSOR_KEY, parse::cursor_key);
        let cursor_key = reader.required("CURSOR_KEY", EXPECTED_CURSOR_KEY, cursor_key);
        let key_vaults = reader.must("KEY_VAULT_URIS", &parse::KEY_VAULTS);
        let audit_signing_keys =
            reader.secret("AUDIT_SIGNING_KEY", parse::EXPECTED_SIGNING_KEYS, parse::signing_keys);
        let audit_signing_secret =
            service_secret(reader, "AUDIT_SIGNING_SECRET", key_vaults.as_ref());
        if audit_signing_keys.is_some() && audit_signing_secret.is_some() {
            let problem = "and AUDIT_SIGNING_KEY are both set";
            reader.mistake("AUDIT_SIGNING_SECRET", problem, "one of the two");
        }
        let audit_checkpoint_secret =
            service_secret(reader, "AUDIT_CHECKPOINT_SECRET", key_vaults.as_ref());
        let checkpoint_every = reader.or("AUDIT_CHECKPOINT_SECONDS", "60", &parse::PERIOD);
        let entra_tenant_ids = reader.must("ENTRA_TENANT_IDS", &parse::TENANTS);
        let entra_audience = reader.must("ENTRA_AUDIENCE", &parse::AUDIENCE);
        let authority = "https://login.microsoftonline.com";
        let entra_authority = reader.or("ENTRA_AUTHORITY", authority, &parse::AUTHORITY);
        let entra_user_scope = reader.or("ENTRA_USER_SCOPE", "access_as_user", &parse::SCOPE);
        let credential = reader.or("AZURE_CREDENTIAL", "managedIdentity", &parse::CREDENTIAL);
        let azure_client_id = reader.optional("AZURE_CLIENT_ID", &parse::CLIENT_ID);
        let extra_ca = reader.optional("EXTRA_CA_FILE", &parse::CA_FILE);
        let outbound_proxy = reader.optional("OUTBOUND_PROXY", &parse::PROXY);
        let siem = SiemConfig::read(reader);
        let secret_name_style = reader.or("SECRET_NAME_STYLE", "dash", &parse::STYLE);
        let ticket_required = reader.or("TICKET_REQUIRED", "false", &parse::BOOLEAN);
        let ticket_pattern = reader.optional("TICKET_PATTERN", &parse::PATTERN);
        let rotation_age = reader.optional("ROTATION_AGE_DAYS", &parse::AGE);
        let rotation_jitter = reader.or("ROTATION_JITTER_DAYS", "7", &parse::JITTER);
        let log_level = reader.or("LOG_LEVEL", "info", &FILTER);
        let drift_check_every = reader.or("DRIFT_CHECK_EVERY", "1h", &parse::EVERY);
        let request_timeout = reader.or("REQUEST_TIMEOUT_SECONDS", "15", &parse::TIMEOUT);
        let interrupted_after = interrupted_after(reader, request_timeout);
        let abandoned = reader.or("REGISTRATION_ABANDONED_AFTER_SECONDS", "300", &parse::ABANDONED);
        let reconcile_every = reader.or("RECONCILE_SECONDS", "5", &parse::PERIOD);
        let drain = reader.or("DRAIN_SECONDS", "5", &parse::DRAIN);
        let grace = reader.or("SHUTDOWN_GRACE_SECONDS", "25", &parse::GRACE);
        let max_database = reader.or("DATABASE_MAX_CONNECTIONS", "20", &parse::POOL);
        let max_connections = reader.or("MAX_CONNECTIONS", "512", &parse::CONNECTIONS);
        let max_per_peer = reader.or("MAX_CONNECTIONS_PER_PEER", "32", &parse::PER_PEER);
        let max_requests = reader.or("MAX_CONCURRENT_REQUESTS", "256", &parse::CONNECTIONS);
        Some(Self {
            listen_address: listen_address?,
            metrics_address,
            database_url: database_url?,
            migration_database_url,
            migrate_on_start: migrate_on_start?,
            database_max_connections: max_database?,
            key_vaults: key_vaults?,
            secret_name_style: secret_name_style?,
            entra_tenant_ids: entra_tenant_ids?,
            entra_audience: entra_audience?,
            entra_authority: entra_authority?,
            entra_user_scope: entra_user_scope?,
            azure_credential: credential?,
            azure_client_id,
            extra_ca,
            outbound_proxy,
            cursor_key: cursor_key?,
            audit_signing_keys,
            audit_signing_secret,
            audit_checkpoint_secret,
            audit_checkpoint_every: checkpoint_every?,
            siem: siem?,
            ticket_rule: TicketRule { required: ticket_required?, pattern: ticket_pattern },
            rotation_policy: rotation_age
                .zip(rotation_jitter)
                .map(|(age_days, jitter_days)| RotationPolicy { age_days, jitter_days }),
            log_level: log_level?,
            drift_check_every: drift_check_every?,
            request_timeout: request_timeout?,
            interrupted_after: interrupted_after?,
            registration_abandoned_after: abandoned?,
            reconcile_every: reconcile_every?,
            max_connections: max_connections?,
            max_connections_per_peer: max_per_peer?,
            max_concurrent_requests: max_requests?,
            drain: drain?,
            shutdown_grace: grace?,
        })
    }
}

impl MigrationConfig {
    /// Reads the process environment.
    pub fn from_env() -> Result<Self, Vec<Mistake>> {
        Self::from_lookup(environment)
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(&lookup);
        let url = migration_database_url(&mut reader);
        let database_url = reader.required("MIGRATION_DATABASE_URL", EXPECTED_DATABASE, url);
        let log_level = reader.or("LOG_LEVEL", "info", &FILTER);
        let config = database_url
            .zip(log_level)
            .map(|(database_url, log_level)| Self { database_url, log_level });
        reader.finish(config)
    }
}

/// An operation that may still be running was not interrupted.
fn interrupted_after(
    reader: &mut Reader<'_>,
    request_timeout: Option<Duration>,
) -> Option<Duration> {
    let variable = "INTERRUPTED_AFTER_SECONDS";
    let default = request_timeout? + Duration::from_secs(5);
    let seconds = default.as_secs().to_string();
    let wanted = reader.or(variable, &seconds, &parse::INTERRUPTED)?;
    if Some(wanted) <= request_timeout {
        reader.mistake(variable, "is not more than REQUEST_TIMEOUT_SECONDS", "more seconds");
        return None;
    }
    Some(wanted)
}

/// Its Key Vault has to be one of the list; a list that is wrong has its own mistake.
fn service_secret(
    reader: &mut Reader<'_>,
    variable: &str,
    allowed: Option<&KeyVaultAllowList>,
) -> Option<ServiceSecret> {
    let text = reader.optional(variable, &parse::TEXT)?;
    ServiceSecret::parse(&text, allowed?)
        .map_err(|error| reader.mistake(variable, error.to_string(), parse::EXPECTED_SECRET))
        .ok()
}

fn migration_database_url(reader: &mut Reader<'_>) -> Option<SecretString> {
    reader.secret("MIGRATION_DATABASE_URL", EXPECTED_DATABASE, parse::database_url)
}

/// `FAIL_POINT`, which a release build does not know.
#[cfg(debug_assertions)]
pub fn fail_point() -> Option<String> {
    environment("FAIL_POINT")
}

/// What is not UTF-8 comes out with U+FFFD in it, which the reader reports: "unset" would be a lie.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

//! The composition root: configuration in, a running service out, and an orderly end.

mod background;
mod streams;

use std::{str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, routing::get};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio_util::task::TaskTracker;

use background::{keep_checked, keep_flushed, keep_keys, keep_reconciled, keep_watched};

use crate::{
    audit::AuditLog,
    azure::{
        Credential, CredentialKind, EntraSettings, HttpSettings, KeyVault, ResourceManager,
        TokenVerifier, http_client,
    },
    broker::{Broker, CheckpointRules, Rules},
    config::{AzureCredential, Config, MigrationConfig},
    domain::clock::Clock,
    http::{self, App, CursorKey, HttpLimits},
    listener::{Limits, Listener, Shutdown, Signals},
    process,
    store::Store,
    telemetry,
};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

const FIRST_COMPARISON: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The writer of the log, its look-ups, and readers of the log.
const AUDIT_CONNECTIONS: u32 = 6;

/// Runs until SIGTERM or SIGINT, then for as long as load balancers need to notice, and then until what is in flight has ended.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::init(&config.log_level)?;
    let hardening = process::harden()?;
    tracing::info!(%hardening, "the process is hardened");
    let signals = Signals::listen()?;
    if config.migrate_on_start
        && let Some(url) = &config.migration_database_url
    {
        apply_migrations(url).await?;
    }
    let listener = Listener::bind(config.listen_address)
        .await
        .context("the listen address cannot be bound")?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let shutdown = Shutdown::default();
    let service = Service::start(&config, &shutdown).await?;
    let metrics = metrics_listener(&config, &shutdown).await?;
    tokio::spawn(shutdown.clone().on_signal(signals, config.drain));
    let app = http::router(Arc::clone(&service.app));
    listener.serve(app, Limits::from(&config), shutdown).await;
    metrics.abort();
    service.finish().await;
    tracing::info!("stopped");
    Ok(())
}

/// Brings the database's schema up to this binary's. As its owner: the service cannot.
pub async fn migrate(config: &MigrationConfig) -> anyhow::Result<()> {
    telemetry::init(&config.log_level)?;
    apply_migrations(&config.database_url).await
}

/// For `migrate`, `serve` when it is told to, and tests.
pub async fn apply_migrations(url: &SecretString) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(connect_options(url)?).await;
    let pool = pool.context("the database does not accept the migrations' connection")?;
    MIGRATOR.run(&pool).await.context("the migrations did not run")?;
    pool.close().await;
    tracing::info!("the schema is up to date");
    Ok(())
}

/// A database that cannot be asked yet is looked at by the watch, before the first event is recorded.
async fn refuse_unsafe(audit: &AuditLog) -> anyhow::Result<()> {
    match audit.missing_safeguards().await {
        Ok(missing) if missing.is_empty() => Ok(()),
        Ok(missing) => {
            anyhow::bail!("the database does not protect the log: {}", missing.join("; "))
        }
        Err(error) => {
            tracing::warn!(%error, "whether the database protects the log is not known yet");
            Ok(())
        }
    }
}

/// What runs besides the listener.
struct Service {
    app: Arc<App>,
    audit: AuditLog,
    writer: tokio::task::JoinHandle<()>,
    background: TaskTracker,
}

impl Service {
    async fn start(config: &Config, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let (clock, stop) = (Clock::system(), &shutdown.begun);
        let client = http_client(&HttpSettings {
            extra_ca_pem: config.extra_ca.as_ref().map(|ca| ca.pem.clone()),
            outbound_proxy: config.outbound_proxy.clone(),
        })?;
        let credential = Credential::new(credential_kind(config), client.clone(), clock.clone())?;
        let credential = Arc::new(credential);
        let key_vault = KeyVault::new(client.clone(), Arc::clone(&credential), clock.clone());
        let resource_manager = ResourceManager::new(client.clone(), credential, clock.clone());
        let tokens = Arc::new(TokenVerifier::new(client, clock.clone(), entra_settings(config)));
        let store = Store::new(pool(&config.database_url, config.database_max_connections)?);
        // A pool of its own: a crowd of look-ups must not keep the log from its connection.
        let (audit, writer) =
            AuditLog::start(pool(&config.database_url, AUDIT_CONNECTIONS)?, clock.clone());
        refuse_unsafe(&audit).await?;
        audit.sign_with(config.audit_signing_keys.as_ref().map(|keys| Arc::clone(&keys.0)));
        if config.audit_signing_keys.is_none() && config.audit_signing_secret.is_none() {
            tracing::warn!("no signing key is configured: the audit log has no checkpoints");
        }
        let rules = Rules {
            key_vaults: config.key_vaults.clone(),
            secret_name_style: config.secret_name_style,
            ticket: config.ticket_rule.clone(),
            several_tenants: config.entra_tenant_ids.len() > 1,
            rotation: config.rotation_policy,
            interrupted_after: config.interrupted_after,
            registration_abandoned_after: config.registration_abandoned_after,
            checkpoints: CheckpointRules {
                signing_secret: config.audit_signing_secret.clone(),
                kept_in: config.audit_checkpoint_secret.clone(),
                every: config.audit_checkpoint_every,
            },
        };
        let broker = Broker::new(
            store,
            audit.clone(),
            key_vault,
            resource_manager,
            Arc::clone(&tokens),
            clock.clone(),
            rules,
        );
        let metrics = telemetry::install_metrics();
        let limits = HttpLimits {
            request_timeout: config.request_timeout,
            body_timeout: BODY_TIMEOUT,
            concurrent_requests: config.max_concurrent_requests,
        };
        let served_here =
            config.metrics_address.is_none().then_some(render_metrics as fn() -> String);
        let cursors = CursorKey::new(config.cursor_key.as_bytes());
        let stopping = shutdown.announced.clone();
        let app =
            Arc::new(App::new(broker, cursors, limits, served_here, stopping, TaskTracker::new()));
        // Nothing can be recorded before, so nobody is let in before, unless the database is down.
        let compared = tokio::time::timeout(FIRST_COMPARISON, app.broker.watch_audit_log()).await;
        let background = TaskTracker::new();
        let upkeep = stop.clone().run_until_cancelled_owned(metrics.run_upkeep());
        background.spawn(async move { upkeep.await.unwrap_or_default() });
        background.spawn(keep_keys(tokens, stop.clone()));
        background.spawn(keep_reconciled(Arc::clone(&app), config.reconcile_every, stop.clone()));
        if let Some(every) = config.drift_check_every {
            background.spawn(keep_checked(Arc::clone(&app), every, stop.clone()));
        }
        background.spawn(keep_watched(
            Arc::clone(&app),
            config.audit_checkpoint_every,
            compared.unwrap_or_default(),
            stop.clone(),
        ));
        background.spawn(keep_flushed(audit.clone(), stop.clone()));
        let partitions =
            stop.clone().run_until_cancelled_owned(audit.clone().keep_partitions_ready());
        background.spawn(async move { partitions.await.unwrap_or_default() });
        streams::start(config, &clock, &background, stop)?;
        Ok(Self { app, audit, writer, background })
    }

    /// The calls whose clients hung up, then the events that wait, then the end.
    async fn finish(self) {
        let Self { app, audit, writer, background } = self;
        app.tasks.close();
        app.tasks.wait().await;
        background.close();
        background.wait().await;
        audit.flush_flood().await;
        drop((app, audit));
        if writer.await.is_err() {
            tracing::error!("the writer of the audit log ended badly");
        }
    }
}

fn connect_options(url: &SecretString) -> anyhow::Result<PgConnectOptions> {
    #[expect(clippy::disallowed_methods, reason = "the database's URL, not a passphrase")]
    let url = url.expose_secret();
    // The error would quote the URL, and with it its password.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_quotes_it| anyhow::anyhow!("the database's URL is not valid"))?;
    Ok(options.application_name("passphrase-broker"))
}

/// Connects when it is first needed: a database that is down makes the service unready, not absent.
fn pool(url: &SecretString, connections: u32) -> anyhow::Result<PgPool> {
    let options =
        PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(1));
    Ok(options.connect_lazy_with(connect_options(url)?))
}

fn credential_kind(config: &Config) -> CredentialKind {
    match config.azure_credential {
        AzureCredential::ManagedIdentity => CredentialKind::ManagedIdentity {
            client_id: config.azure_client_id.map(|id| id.to_string()),
        },
        AzureCredential::WorkloadIdentity => CredentialKind::WorkloadIdentity,
        AzureCredential::DeveloperTools => CredentialKind::DeveloperTools,
    }
}

fn entra_settings(config: &Config) -> EntraSettings {
    EntraSettings {
        authority: config.entra_authority.clone(),
        tenants: config.entra_tenant_ids.clone(),
        audience: config.entra_audience.to_string(),
        user_scope: config.entra_user_scope.clone(),
    }
}

fn render_metrics() -> String {
    telemetry::install_metrics().render()
}

async fn metrics_listener(
    config: &Config,
    shutdown: &Shutdown,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let Some(address) = config.metrics_address else { return Ok(tokio::spawn(async {})) };
    let listener = Listener::bind(address).await.context("the metrics address cannot be bound")?;
    let app = Router::new().route("/metrics", get(|| async { render_metrics() }));
    Ok(tokio::spawn(listener.serve(app, Limits::default(), shutdown.clone())))
}

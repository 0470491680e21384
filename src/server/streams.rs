//! The log's streams, as they are configured: each with its own connections to the database and to its sink.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::pool;
use crate::{
    audit::Outbox,
    azure::{HttpSettings, http_client},
    config::Config,
    domain::clock::Clock,
    siem::{Sink, Stdout, Webhook, WebhookKey, stream},
    telemetry,
};

pub(super) fn start(
    config: &Config,
    clock: &Clock,
    background: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    if let Some(webhook) = &config.siem.webhook {
        // Without the proxy, which is for Azure.
        let client = http_client(&HttpSettings {
            extra_ca_pem: config.extra_ca.as_ref().map(|ca| ca.pem.clone()),
            outbound_proxy: None,
        })?;
        let key = WebhookKey::new(&webhook.secret);
        let sink = Sink::Webhook(Webhook::new(client, webhook.url.clone(), key, clock.clone()));
        let outbox = Outbox::new(pool(&config.database_url, 1)?, "webhook");
        background.spawn(stream(outbox, sink, stop.clone()));
    }
    if config.siem.stdout {
        let outbox = Outbox::new(pool(&config.database_url, 1)?, "stdout");
        let sink = Sink::Stdout(Stdout::new(telemetry::lines()));
        background.spawn(stream(outbox, sink, stop.clone()));
    }
    Ok(())
}

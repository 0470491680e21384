//! The metrics of the service: their names, their meaning and their buckets.
//!
//! A process has one recorder, however many servers start in it. No label holds a machine, a
//! person or a path: labels come from small closed sets.

use std::{sync::OnceLock, time::Duration};

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// From a cached answer to a request's whole deadline.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];
const GROUP_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
const UPKEEP: Duration = Duration::from_secs(5);

/// Renders what the process has counted.
#[derive(Debug, Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// The text format of Prometheus, version 0.0.4.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Never ends. Without it, histograms keep every value until somebody renders them.
    pub async fn run_upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

/// The recorder of this process: installed by the first call, shared by all.
pub fn install_metrics() -> MetricsHandle {
    static METRICS: OnceLock<MetricsHandle> = OnceLock::new();
    METRICS.get_or_init(install).clone()
}

fn install() -> MetricsHandle {
    let sizes = Matcher::Full("passphrase_broker_audit_group_size".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(sizes, &GROUP_SIZES))
        // Refused only for an empty list of buckets.
        .unwrap_or_else(|_never| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    let handle = MetricsHandle(recorder.handle());
    if ::metrics::set_global_recorder(recorder).is_err() {
        tracing::error!("another metrics recorder is installed, /metrics stays empty");
    }
    describe();
    handle
}

fn describe() {
    let seconds = |name: &'static str, text| describe_histogram!(name, Unit::Seconds, text);
    describe_counter!(
        "passphrase_broker_http_requests_total",
        "Requests answered, by operation and status"
    );
    seconds("passphrase_broker_http_request_seconds", "Time to answer a request, by operation");
    describe_gauge!("passphrase_broker_http_in_flight", "Requests being worked on");
    describe_counter!(
        "passphrase_broker_unauthenticated_requests_total",
        "Requests without a valid token"
    );
    describe_counter!(
        "passphrase_broker_connections_refused_total",
        "Connections closed at once, by the limit that was reached"
    );
    describe_gauge!(
        "passphrase_broker_audit_queue_length",
        "Audit events that wait to be committed"
    );
    seconds("passphrase_broker_audit_commit_seconds", "Time to commit a group of audit events");
    describe_histogram!("passphrase_broker_audit_group_size", "Audit events in a group");
    describe_counter!(
        "passphrase_broker_audit_failures_total",
        "Audit events that could not be committed; what they stood for was refused"
    );
    describe_gauge!(
        "passphrase_broker_audit_partitions_ready",
        "Partitions of the audit log that are still empty; none is an alarm"
    );
    describe_gauge!(
        "passphrase_broker_audit_read_only",
        "1 when the audit log does not agree with its anchors: nothing is recorded or released"
    );
    describe_gauge!(
        "passphrase_broker_audit_anchor_unreadable",
        "1 when an anchor of the audit log cannot be read, by where it is"
    );
    describe_gauge!(
        "passphrase_broker_audit_unsigned_events",
        "Audit events that no checkpoint covers yet"
    );
    describe_counter!(
        "passphrase_broker_audit_checkpoint_failures_total",
        "Checkpoints that could not be signed, or not be kept in Key Vault"
    );
    describe_gauge!(
        "passphrase_broker_siem_lag_events",
        "Events of the log that a sink has not taken yet"
    );
    describe_gauge!("passphrase_broker_siem_lag_seconds", "Age of the oldest of them");
    describe_counter!("passphrase_broker_siem_events_total", "Events that a sink took");
    describe_counter!(
        "passphrase_broker_siem_failures_total",
        "Deliveries to a sink that failed; each comes again"
    );
    describe_counter!(
        "passphrase_broker_key_vault_calls_total",
        "Calls to Key Vault, by operation and outcome"
    );
    seconds("passphrase_broker_key_vault_call_seconds", "Time of a Key Vault call, by operation");
    describe_counter!(
        "passphrase_broker_resource_manager_calls_total",
        "Calls to Azure Resource Manager, by operation and outcome"
    );
    seconds(
        "passphrase_broker_resource_manager_call_seconds",
        "Time of a Resource Manager call, by operation",
    );
    describe_counter!(
        "passphrase_broker_token_cache_total",
        "Look-ups of a validated token, by result"
    );
    describe_counter!(
        "passphrase_broker_jwks_fetches_total",
        "Fetches of the signing keys of Entra ID, by outcome"
    );
    describe_gauge!("passphrase_broker_rotations", "Rotations, by state");
    describe_gauge!(
        "passphrase_broker_clock_ahead_seconds",
        Unit::Seconds,
        "How far this replica's clock is ahead of PostgreSQL's; negative when it is behind"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_share_one_recorder() {
        let (first, second) = (install_metrics(), install_metrics());
        ::metrics::counter!("passphrase_broker_token_cache_total", "result" => "hit").increment(2);
        let line = "passphrase_broker_token_cache_total{result=\"hit\"} 2";
        assert!(first.render().contains(line), "{}", first.render());
        assert!(second.render().contains(line));
    }

    #[test]
    fn durations_are_histograms_and_every_metric_is_described() {
        let metrics = install_metrics();
        ::metrics::histogram!("passphrase_broker_audit_commit_seconds").record(0.003);
        ::metrics::histogram!("passphrase_broker_audit_group_size").record(3.0);
        let text = metrics.render();
        for line in [
            "# TYPE passphrase_broker_audit_commit_seconds histogram",
            "# HELP passphrase_broker_audit_group_size Audit events in a group",
            "passphrase_broker_audit_commit_seconds_bucket{le=\"0.005\"} 1",
            "passphrase_broker_audit_group_size_bucket{le=\"4\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}

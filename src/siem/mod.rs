//! The log's stream to a SIEM: a webhook, or OCSF on standard output. Each sink has a task and connections of its
//! own and reads the log as an outbox: in order, at least once, and whatever becomes of it, nobody who appends
//! to the log waits for it.

mod ocsf;
mod stdout;
mod webhook;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use stdout::Stdout;
pub use webhook::{Webhook, WebhookKey};

use crate::audit::{Batch, ListError, Outbox};

/// While there is nothing to deliver.
const POLL: Duration = Duration::from_secs(1);
/// Shorter than the lease.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// What a sink may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(10);

/// Where events go.
pub enum Sink {
    Webhook(Webhook),
    Stdout(Stdout),
}

/// Why a batch was not taken. The reason is for our log: no word of the sink's in it.
#[derive(Debug)]
struct Refusal {
    reason: String,
    retry_after: Option<Duration>,
}

impl Sink {
    async fn deliver(&self, batch: &Batch) -> Result<(), Refusal> {
        let delivery = async {
            match self {
                Self::Webhook(webhook) => webhook.deliver(batch).await,
                Self::Stdout(stdout) => stdout.deliver(batch).await,
            }
        };
        let late = |_late| Refusal { reason: "no answer in time".to_owned(), retry_after: None };
        tokio::time::timeout(ATTEMPT_LIMIT, delivery).await.map_err(late)?
    }
}

/// Delivers until `stop`.
pub async fn stream(outbox: Outbox, sink: Sink, stop: CancellationToken) {
    let rounds = async {
        loop {
            let more = round(&outbox, &sink).await.unwrap_or_else(|error| {
                tracing::warn!(sink = outbox.sink(), %error, "the log's stream cannot read the log");
                false
            });
            if !more {
                tokio::time::sleep(POLL).await;
            }
        }
    };
    stop.run_until_cancelled(rounds).await.unwrap_or(());
    if outbox.release().await.is_err() {
        tracing::debug!(sink = outbox.sink(), "the lease was not given back; it ends by itself");
    }
}

/// Whether there may be more to deliver.
async fn round(outbox: &Outbox, sink: &Sink) -> Result<bool, ListError> {
    let lag = outbox.lag().await?;
    gauge("passphrase_broker_siem_lag_events", outbox, lag.events);
    gauge("passphrase_broker_siem_lag_seconds", outbox, lag.seconds);
    if lag.events == 0 {
        return Ok(false);
    }
    let Some(batch) = outbox.take().await? else { return Ok(false) };
    match sink.deliver(&batch).await {
        Ok(()) => {
            outbox.delivered(&batch).await?;
            let events = u64::try_from(batch.events.len()).unwrap_or_default();
            count("passphrase_broker_siem_events_total", outbox, events);
            Ok(true)
        }
        Err(Refusal { reason, retry_after }) => {
            let wait = wait(batch.failures, retry_after);
            let (sink, failures) = (outbox.sink(), batch.failures + 1);
            tracing::warn!(sink, failures, ?wait, reason, "a sink did not take events of the log");
            count("passphrase_broker_siem_failures_total", outbox, 1);
            outbox.failed(wait).await?;
            Ok(false)
        }
    }
}

/// Twice as long after each failure. A sink that says when is asked no earlier.
fn wait(failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures.min(10)));
    let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    doubled.min(LONGEST_WAIT).max(asked)
}

fn gauge(name: &'static str, outbox: &Outbox, value: i64) {
    let value = u32::try_from(value.max(0)).unwrap_or(u32::MAX);
    metrics::gauge!(name, "sink" => outbox.sink()).set(f64::from(value));
}

fn count(name: &'static str, outbox: &Outbox, by: u64) {
    metrics::counter!(name, "sink" => outbox.sink()).increment(by);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_asked_less_and_less_often_and_no_earlier_than_it_wants() {
        let seconds =
            |failures, asked: Option<u64>| wait(failures, asked.map(Duration::from_secs)).as_secs();
        assert_eq!(
            [0, 1, 3, 5, 6, u32::MAX].map(|failures| seconds(failures, None)),
            [1, 2, 8, 32, 60, 60]
        );
        assert_eq!(
            (seconds(0, Some(90)), seconds(3, Some(2)), seconds(0, Some(9_999))),
            (90, 8, 600)
        );
    }
}

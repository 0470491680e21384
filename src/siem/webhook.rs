//! A webhook in the style of Standard Webhooks: one POST for each batch, whose headers prove by HMAC-SHA256 who
//! sent it and when. A batch that comes again has the id that it had before.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, header};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::Url;

use super::Refusal;
use crate::{
    audit::{Batch, OutboxEvent},
    domain::{clock::Clock, retry_after::retry_after},
};

/// What signs. Wiped when it is dropped.
pub struct WebhookKey(Box<hmac::Key>);

impl WebhookKey {
    pub fn new(secret: &[u8]) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// `v1,` and the base64 of HMAC-SHA256 over id, time in seconds and body, with dots between.
    fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

pub struct Webhook {
    client: Client,
    /// From the configuration alone; its path may be a secret, so it is in no log.
    url: Url,
    key: WebhookKey,
    clock: Clock,
}

impl Webhook {
    pub fn new(client: Client, url: Url, key: WebhookKey, clock: Clock) -> Self {
        Self { client, url, key, clock }
    }

    pub(super) async fn deliver(&self, batch: &Batch) -> Result<(), Refusal> {
        let id = id(batch);
        let now = self.clock.now();
        let body = body(&batch.events, now);
        let seconds = now.unix_timestamp();
        let signature = self.key.sign(&id, seconds, &body);
        let request = self.client.post(self.url.clone());
        let sent = request
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await;
        // What went wrong in detail would name the URL.
        let answer = sent.map_err(|error| Refusal {
            reason: if error.is_connect() { "not reachable" } else { "no answer" }.to_owned(),
            retry_after: None,
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let asked = answer.headers().get(header::RETRY_AFTER);
        let retry_after = asked.and_then(|value| retry_after(value.to_str().ok()?, now));
        Err(Refusal { reason: format!("status {}", status.as_u16()), retry_after })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Webhook")
    }
}

/// The same for the same events, whoever sends them.
fn id(batch: &Batch) -> String {
    let sequence = |event: Option<&OutboxEvent>| event.map_or(0, |event| event.sequence);
    format!("audit-{}-{}", sequence(batch.events.first()), sequence(batch.events.last()))
}

/// The bodies are JSON already, and go as they are stored.
fn body(events: &[OutboxEvent], now: OffsetDateTime) -> String {
    let event = |event: &OutboxEvent| {
        format!(
            r#"{{"sequence":{},"recordedAt":"{}","event":{}}}"#,
            event.sequence,
            event.recorded_at.format(&Rfc3339).unwrap_or_default(),
            String::from_utf8_lossy(&event.body)
        )
    };
    let events: Vec<String> = events.iter().map(event).collect();
    let timestamp = now.format(&Rfc3339).unwrap_or_default();
    let events = events.join(",");
    format!(r#"{{"type":"audit.events","timestamp":"{timestamp}","data":{{"events":[{events}]}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specifications_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = WebhookKey::new(&secret).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}

//! One call to Key Vault: attempts, each with a time limit, under one deadline.
//!
//! Every failure says whether the request may have taken effect, because a write that may have
//! must not be repeated.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{
    Method, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use zeroize::Zeroizing;

use super::{KeyVault, KeyVaultError, KeyVaultFacts, record::record};
pub(super) use crate::azure::retry::Deadline;
use crate::{
    azure::{
        answer::{self, ERROR_LIMIT, OUR_REQUEST_ID, Unread},
        credential::AccessToken,
        retry::{self, ATTEMPT_LIMIT},
    },
    domain::{key_vault_id::KeyVaultUri, retry_after::retry_after},
};

pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) request_id: &'a str,
    pub(super) method: Method,
    pub(super) key_vault: &'a KeyVaultUri,
    pub(super) url: String,
    pub(super) body: Option<Bytes>,
    /// The largest answer that is read.
    pub(super) limit: usize,
}

pub(super) struct Answer {
    pub(super) facts: KeyVaultFacts,
    pub(super) body: Zeroizing<Vec<u8>>,
}

pub(super) struct Failure {
    pub(super) error: KeyVaultError,
    pub(super) effect: Effect,
}

/// Whether a request that failed may have done what it asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Never,
    Perhaps,
}

/// When a call that failed in passing may be made again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing, or the same twice.
    Always,
    IfWithoutEffect,
}

impl Failure {
    fn never(error: KeyVaultError) -> Self {
        Self { error, effect: Effect::Never }
    }

    fn perhaps(error: KeyVaultError) -> Self {
        Self { error, effect: Effect::Perhaps }
    }

    fn may_repeat(&self, repeat: Repeat) -> bool {
        let passing =
            matches!(self.error, KeyVaultError::Unavailable(_) | KeyVaultError::Throttled { .. });
        passing && (repeat == Repeat::Always || self.effect == Effect::Never)
    }

    fn retry_after(&self) -> Option<Duration> {
        match self.error {
            KeyVaultError::Throttled { retry_after, .. } => retry_after,
            _ => None,
        }
    }
}

impl KeyVault {
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        repeat: Repeat,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let outcome = self.attempts(&call, repeat, deadline).await;
        call.testified(outcome, started.elapsed())
    }

    /// Without a token: whoever answers need not know us.
    pub(super) async fn send_anonymously(
        &self,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let outcome = self.attempt(&call, None, deadline).await;
        call.testified(outcome, started.elapsed())
    }

    async fn attempts(
        &self,
        call: &Call<'_>,
        repeat: Repeat,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let mut attempt = 0;
        loop {
            if let Some(pace) = &self.pace {
                pace.turn().await;
            }
            let failure = match self.attempt_as_ourselves(call, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.may_repeat(repeat) => failure,
                Err(failure) => return Err(failure),
            };
            let Some(pause) = retry::pause(attempt, failure.retry_after(), deadline.left()) else {
                return Err(failure);
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// With a token; with another one when Key Vault does not take the first (it may have been
    /// issued before a key was withdrawn).
    async fn attempt_as_ourselves(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let scope = scope(call.key_vault);
        let token = self.token(scope, deadline).await?;
        let first = self.attempt(call, Some(&token), deadline).await;
        if !matches!(&first, Err(Failure { error: KeyVaultError::Credential { .. }, .. }))
            || !self.credential.reject(scope, &token)
        {
            return first;
        }
        let token = self.token(scope, deadline).await?;
        self.attempt(call, Some(&token), deadline).await
    }

    async fn token(&self, scope: &str, deadline: Deadline) -> Result<AccessToken, Failure> {
        let refused = |source| {
            let facts = KeyVaultFacts::default();
            Failure::never(KeyVaultError::Credential { source, facts })
        };
        self.credential.token_by(deadline, scope).await.map_err(refused)
    }

    /// One attempt, counted and, when it fails, logged.
    async fn attempt(
        &self,
        call: &Call<'_>,
        token: Option<&AccessToken>,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let limit = deadline.left().min(ATTEMPT_LIMIT);
        let outcome = tokio::time::timeout(limit, self.exchange(call, token)).await;
        let outcome = outcome.unwrap_or_else(|_elapsed| {
            Err(Failure::perhaps(KeyVaultError::Unavailable(KeyVaultFacts::default())))
        });
        record(call, &outcome, started.elapsed());
        outcome
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        token: Option<&AccessToken>,
    ) -> Result<Answer, Failure> {
        let mut request = self.http.request(call.method.clone(), &call.url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        if let Ok(id) = HeaderValue::from_str(call.request_id) {
            request = request.header(OUR_REQUEST_ID, id);
        }
        if let Some(body) = &call.body {
            // Shares the bytes: they are wiped when the last holder lets go.
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|error| {
            let mut facts = KeyVaultFacts::default();
            facts.evidence_mut().connected = Some(!error.is_connect());
            let unavailable = KeyVaultError::Unavailable(facts);
            let never_sent = error.is_connect() || error.is_builder();
            if never_sent { Failure::never(unavailable) } else { Failure::perhaps(unavailable) }
        })?;
        self.receive(call, response).await
    }

    async fn receive(&self, call: &Call<'_>, response: Response) -> Result<Answer, Failure> {
        let status = response.status().as_u16();
        let request_id = answer::request_id(&response);
        let seen = (answer::client_address(&response), answer::date(&response));
        let testify = |mut facts: KeyVaultFacts| {
            let evidence = facts.evidence_mut();
            evidence.connected = Some(true);
            (evidence.client_address, evidence.answered_at) = seen;
            facts
        };
        let wait = answer::header(&response, RETRY_AFTER);
        let wait = wait.and_then(|text| retry_after(text, self.clock.now()));
        if status == 200 {
            let facts = testify(KeyVaultFacts::of_success(status, request_id));
            return match answer::read_wiped(response, call.limit).await {
                Ok(body) => Ok(Answer { facts, body }),
                Err(Unread::TooLarge) => Err(Failure::perhaps(KeyVaultError::InvalidAnswer(facts))),
                Err(Unread::Broken) => Err(Failure::perhaps(KeyVaultError::Unavailable(facts))),
            };
        }
        // The status alone says enough when the body is lost.
        let body = answer::read(response, ERROR_LIMIT).await.unwrap_or_default();
        let facts = testify(KeyVaultFacts::of_error(status, request_id, &body));
        let error = KeyVaultError::classify(facts, wait);
        // 408 and 5xx may come from a gateway that did not see how the request ended.
        let certain = (400..500).contains(&status) && status != 408;
        Err(if certain { Failure::never(error) } else { Failure::perhaps(error) })
    }
}

/// Each cloud has its own. `KeyVaultUri` knows no other hosts.
fn scope(key_vault: &KeyVaultUri) -> &'static str {
    if key_vault.host().ends_with(".vault.azure.cn") {
        "https://vault.azure.cn/.default"
    } else if key_vault.host().ends_with(".vault.usgovcloudapi.net") {
        "https://vault.usgovcloudapi.net/.default"
    } else {
        "https://vault.azure.net/.default"
    }
}

//! What the service does without being asked, round after round, until it stops.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{audit::AuditLog, azure::TokenVerifier, http::App};

/// A machine is due at its own time.
const LOOK_FOR_CHECKS_EVERY: Duration = Duration::from_secs(15);
const REFRESH_KEYS_EVERY: Duration = Duration::from_hours(24);
/// While no keys could be loaded yet.
const RETRY_KEYS_EVERY: Duration = Duration::from_secs(5);
const LOOK_FOR_CHECKPOINTS_EVERY: Duration = Duration::from_secs(1);
/// While the log and its anchors do not agree.
const COMPARE_AGAIN_AFTER: Duration = Duration::from_secs(2);

pub(super) async fn keep_keys(tokens: Arc<TokenVerifier>, stop: CancellationToken) {
    loop {
        let next = match tokens.refresh_keys().await {
            Ok(()) => REFRESH_KEYS_EVERY,
            Err(error) => {
                tracing::warn!(%error, "the keys of Entra ID were not refreshed");
                if tokens.keys_are_fresh() { Duration::from_mins(5) } else { RETRY_KEYS_EVERY }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(next) => {}
        }
    }
}

pub(super) async fn keep_reconciled(app: Arc<App>, every: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => one_round(app.broker.reconcile()).await,
        }
    }
}

/// A panic in one round must not end the rounds.
async fn one_round(work: impl Future<Output = ()>) {
    if AssertUnwindSafe(work).catch_unwind().await.is_err() {
        tracing::error!("a background task panicked; it goes on with its next round");
    }
}

/// Stops between two calls: a check changes nothing but what it has found.
pub(super) async fn keep_checked(app: Arc<App>, every: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval((every / 4).min(LOOK_FOR_CHECKS_EVERY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rounds = async {
        loop {
            ticks.tick().await;
            Box::pin(app.broker.check_drift(every)).await;
        }
    };
    stop.run_until_cancelled(rounds).await.unwrap_or(());
}

/// Compares the log with its anchors each period, sooner while they have not been `compared` well or an append or a
/// signature found a fault since; and signs a checkpoint whenever one is due.
pub(super) async fn keep_watched(
    app: Arc<App>,
    every: Duration,
    compared: bool,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(LOOK_FOR_CHECKPOINTS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_signature = tokio::time::Instant::now();
    let mut next = if compared { next_signature + every } else { next_signature };
    let rounds = async {
        loop {
            ticks.tick().await;
            one_round(async {
                if app.broker.audit_log_is_read_only() {
                    next = next.min(tokio::time::Instant::now() + COMPARE_AGAIN_AFTER);
                }
                if next <= tokio::time::Instant::now() {
                    let agrees = app.broker.watch_audit_log().await;
                    let pause = if agrees { every } else { every.min(COMPARE_AGAIN_AFTER) };
                    next = tokio::time::Instant::now() + pause;
                }
                if next_signature <= tokio::time::Instant::now()
                    && !app.broker.sign_due_checkpoint().await
                {
                    next_signature = tokio::time::Instant::now() + every;
                }
            })
            .await;
        }
    };
    // Anywhere: a checkpoint that is left half done is what a crash would leave.
    stop.run_until_cancelled(rounds).await.unwrap_or(());
}

pub(super) async fn keep_flushed(audit: AuditLog, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => one_round(audit.flush_flood()).await,
        }
    }
}

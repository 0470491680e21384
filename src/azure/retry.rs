//! How long to wait before trying again, and until when. A person waits for the answer, so what
//! does not fit into the budget is not tried.

use std::time::Duration;

use aws_lc_rs::rand;
use tokio::time::Instant;

/// One attempt at one call.
pub(super) const ATTEMPT_LIMIT: Duration = Duration::from_secs(3);
/// At one call. A service in trouble is not helped by asking more often.
const MOST_ATTEMPTS: u32 = 3;
/// The first pause is at most this; each further one at most twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// When an operation has to have ended, with all its attempts.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    pub(super) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub(super) fn earlier_of(self, budget: Duration) -> Self {
        Self(self.0.min(Instant::now() + budget))
    }
}

/// The pause after attempt `attempt`, counted from 0; none when it was the last or there is no time.
/// Real 429s of Key Vault carry no `Retry-After`; one that is there is obeyed, or nothing is tried.
pub(super) fn pause(
    attempt: u32,
    retry_after: Option<Duration>,
    left: Duration,
) -> Option<Duration> {
    let longest = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt));
    let pause = longest.mul_f64(0.5 + jitter() / 2.0).max(retry_after.unwrap_or_default());
    (attempt + 1 < MOST_ATTEMPTS && pause < left).then_some(pause)
}

/// From 0 to 1. Without randomness there is no jitter, which harms nobody.
fn jitter() -> f64 {
    let mut bytes = [0_u8; 2];
    match rand::fill(&mut bytes) {
        Ok(()) => f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX),
        Err(_unspecified) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_the_budget() {
        let left = Duration::from_secs(4);
        for (attempt, longest) in [(0, 200), (1, 400)] {
            let pause = pause(attempt, None, left).unwrap().as_millis();
            assert!((longest / 2..=longest).contains(&pause), "{pause}");
        }
        assert_eq!(pause(0, None, Duration::from_millis(50)), None);
        assert_eq!(pause(2, None, left), None);
    }

    #[test]
    fn a_retry_after_is_obeyed_or_nothing_is_tried() {
        let left = Duration::from_secs(4);
        assert_eq!(pause(0, Some(Duration::from_secs(2)), left), Some(Duration::from_secs(2)));
        assert_eq!(pause(0, Some(Duration::from_hours(1)), left), None);
    }
}

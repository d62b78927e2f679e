//! When to try again: exponential, with jitter, and never before the platform's own `Retry-After`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::{Entropy, shifted};

/// First wait after a failure.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(5);
/// Longest wait between two tries.
pub const BACKOFF_MAX: Duration = Duration::from_secs(900);
/// First wait for stock.
pub const STOCK_FIRST: Duration = Duration::from_secs(60);
/// Longest wait for stock.
pub const STOCK_MAX: Duration = Duration::from_secs(900);

/// When the try after `attempts` failed ones is due. Half of the wait is fixed and half is drawn, so that many
/// orders that failed together do not come back together.
#[must_use]
pub fn next_try(
    now: Timestamp,
    attempts: u32,
    first: Duration,
    longest: Duration,
    after: Option<Duration>,
    entropy: &Entropy,
) -> Timestamp {
    let doubled =
        first.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1).min(20)).unwrap_or(u32::MAX));
    let whole = doubled.min(longest);
    let drawn = whole / 2 + entropy.jitter(whole / 2);
    later(now, after.map_or(drawn, |after| after.max(Duration::ZERO) + entropy.jitter(first / 5)))
}

/// `now` plus a wait.
#[must_use]
pub fn later(now: Timestamp, wait: Duration) -> Timestamp {
    shifted(now, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_below_the_longest() {
        let entropy = Entropy::seeded(1);
        let wait = |attempts| {
            let due = next_try(Timestamp::UNIX_EPOCH, attempts, BACKOFF_FIRST, BACKOFF_MAX, None, &entropy);
            due.as_second()
        };
        assert!((2..=5).contains(&wait(1)));
        assert!((40..=80).contains(&wait(5)));
        assert!((450..=900).contains(&wait(60)));
    }

    #[test]
    fn the_platforms_own_time_counts() {
        let entropy = Entropy::seeded(1);
        let after = Some(Duration::from_secs(300));
        let due = next_try(Timestamp::UNIX_EPOCH, 1, BACKOFF_FIRST, BACKOFF_MAX, after, &entropy);
        assert!((300..=301).contains(&due.as_second()));
    }
}

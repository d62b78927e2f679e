//! How often somebody may try to sign in: by address and by name, so that neither one guesser nor many get far.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use nonzero_ext::nonzero;

use crate::web::error::WebError;

/// Attempts of one address or on one name before they are slowed down.
const ATTEMPTS_BURST: NonZeroU32 = nonzero!(10u32);
/// After the burst, one attempt in this time.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(15);
/// Above so many remembered keys, those at rest are forgotten.
const KEY_COUNT_MAX: usize = 10_000;

/// The limits on sign-in.
#[derive(Debug)]
pub struct SignInLimit {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_name: DefaultKeyedRateLimiter<String>,
}

impl Default for SignInLimit {
    fn default() -> Self {
        let quota = Quota::with_period(ATTEMPT_INTERVAL)
            .unwrap_or_else(|| Quota::per_minute(nonzero!(1u32)))
            .allow_burst(ATTEMPTS_BURST);
        Self { by_address: RateLimiter::keyed(quota), by_name: RateLimiter::keyed(quota) }
    }
}

impl SignInLimit {
    /// Counts an attempt.
    ///
    /// # Errors
    /// Where there were too many; says how long to wait.
    pub fn check(&self, address: Option<IpAddr>, name: &str) -> Result<(), WebError> {
        if self.by_address.len() + self.by_name.len() > KEY_COUNT_MAX {
            self.by_address.retain_recent();
            self.by_name.retain_recent();
        }
        let now = DefaultClock::default().now();
        let wait = |until: governor::NotUntil<_>| {
            WebError::TooManyAttempts(until.wait_time_from(now).as_secs().saturating_add(1))
        };
        if let Some(address) = address {
            self.by_address.check_key(&address).map_err(wait)?;
        }
        self.by_name.check_key(&name.to_lowercase()).map_err(wait)
    }
}

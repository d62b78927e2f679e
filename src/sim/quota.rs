//! Call quotas as the platforms count them: Amazon's token bucket per operation, BigCommerce's window per store.

use jiff::Timestamp;

/// Units in one token: a refill rate of one per ten thousand seconds is one unit per microsecond.
const UNITS_PER_TOKEN: i64 = 10_000 * 1_000_000;

/// Amazon's token bucket.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    rate_per_ten_thousand_s: i64,
    capacity: i64,
    level: i64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket of `burst` tokens that refills at `rate_per_ten_thousand_s`.
    pub fn new(rate_per_ten_thousand_s: i64, burst: i64, now: Timestamp) -> Self {
        let capacity = burst.saturating_mul(UNITS_PER_TOKEN);
        Self { rate_per_ten_thousand_s, capacity, level: capacity, at: now }
    }

    /// Takes a token, or says that there is none.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let elapsed = now.as_microsecond().saturating_sub(self.at.as_microsecond()).max(0);
        let gained = elapsed.saturating_mul(self.rate_per_ten_thousand_s);
        self.level = self.level.saturating_add(gained).min(self.capacity);
        self.at = now;
        if self.level < UNITS_PER_TOKEN {
            return false;
        }
        self.level -= UNITS_PER_TOKEN;
        true
    }
}

/// BigCommerce's quota: so many calls in each window of time.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Calls allowed in a window.
    pub quota: i64,
    /// The window's length in milliseconds.
    pub length_ms: i64,
    used: i64,
    started_ms: i64,
}

impl Window {
    /// An unused window.
    pub const fn new(quota: i64, length_ms: i64) -> Self {
        Self { quota, length_ms, used: 0, started_ms: 0 }
    }

    /// Counts a call; false where the window was full already.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let now_ms = now.as_millisecond();
        if now_ms >= self.started_ms.saturating_add(self.length_ms) || now_ms < self.started_ms {
            self.started_ms = now_ms;
            self.used = 0;
        }
        if self.used >= self.quota {
            return false;
        }
        self.used += 1;
        true
    }

    /// Calls left in this window.
    pub const fn left(&self) -> i64 {
        self.quota.saturating_sub(self.used)
    }

    /// Milliseconds until the next window.
    pub fn reset_ms(&self, now: Timestamp) -> i64 {
        self.started_ms.saturating_add(self.length_ms).saturating_sub(now.as_millisecond()).max(0)
    }
}

//! Pacing: what a platform's quota leaves us, per connection and operation.
//!
//! A platform that refuses a call for want of quota has cost that call, and some punish a stream of them. So
//! every call asks here first. Two shapes are known: a token bucket per operation (Amazon), which is counted on
//! our side, and a window that the platform counts for all its callers and tells of in headers (BigCommerce).
//! Interactive work keeps a reserve that bulk work cannot take. Nothing here sleeps for minutes: a long wait is
//! an error that says how long, and the caller's schedule does the waiting.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::error::ChannelError;
use crate::clock::SharedClock;

/// The longest wait that [`Pacer::admit`] sits out itself, all in all.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// The first pause after a refusal that names no time; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(2);

/// The longest pause after a refusal that names no time.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Bulk work leaves one part in this many of a window's calls to interactive work.
const WINDOW_RESERVE_PART: u64 = 10;

/// Two readings of a window whose ends differ by less than this speak of the same window.
const WINDOW_SLACK: Duration = Duration::from_secs(1);

/// The fastest pace that a platform's header can ask for.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// The slowest pace that a platform's header can ask for.
const PERIOD_MAX: Duration = Duration::from_secs(3600);

/// One operation's quota, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QuotaLine {
    /// The operation or group of operations.
    pub operation: String,
    /// Calls that could go out now, where known.
    pub left: Option<u64>,
    /// The most that can be saved up or used per window.
    pub limit: Option<u64>,
    /// When the next call may go out, in seconds from now; 0 for now.
    pub wait_s: u64,
}

/// Who is waiting for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A person, a new order, a shipment: may use everything.
    Interactive,
    /// Imports of history and catalogues: leave the reserve alone.
    Bulk,
}

/// A token bucket that a platform documents for an operation.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// The operation.
    pub operation: &'static str,
    /// The time in which one call is earned.
    pub period: Duration,
    /// Calls that can be saved up.
    pub burst: u32,
    /// Calls of the burst that bulk work leaves alone; less than `burst`.
    pub reserve: u32,
}

/// What a platform's headers say of the window that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowReading {
    /// Calls left.
    pub left: u64,
    /// Calls per window.
    pub limit: u64,
    /// Until the window ends.
    pub resets_in: Duration,
}

/// Keeps one connection inside its platform's quotas.
#[derive(Debug)]
pub struct Pacer {
    clock: SharedClock,
    time: PaceClock,
    lanes: Mutex<BTreeMap<&'static str, Lane>>,
}

impl Pacer {
    /// A pacer with the platform's documented buckets. An operation without one is held back only by what the
    /// platform's answers say.
    #[must_use]
    pub fn new(clock: SharedClock, buckets: &[Bucket]) -> Self {
        let time = PaceClock::new(clock.clone());
        let lanes = buckets.iter().map(|bucket| (bucket.operation, Lane::counted(*bucket, &time))).collect();
        Self { clock, time, lanes: Mutex::new(lanes) }
    }

    /// Lets one call of `operation` out, after a wait of at most [`WAIT_MAX`].
    ///
    /// # Errors
    /// `Retry` with the time to wait, throttled and never in doubt, where that would take longer.
    pub async fn admit(&self, operation: &'static str, priority: Priority) -> Result<(), ChannelError> {
        self.admit_within(operation, priority, WAIT_MAX).await
    }

    /// Lets one call of `operation` out, after a wait of at most `wait_max`.
    ///
    /// # Errors
    /// As [`Pacer::admit`].
    pub async fn admit_within(
        &self,
        operation: &'static str,
        priority: Priority,
        wait_max: Duration,
    ) -> Result<(), ChannelError> {
        let mut waited = Duration::ZERO;
        loop {
            let Some(wait) = self.take(operation, priority) else { return Ok(()) };
            waited = waited.saturating_add(wait);
            if waited > wait_max {
                return Err(ChannelError::Retry {
                    after: Some(wait),
                    in_doubt: false,
                    throttled: true,
                    message: format!(
                        "the platform's quota for {operation} allows the next call in {} s",
                        seconds_up(wait)
                    ),
                });
            }
            self.clock.sleep(wait).await;
        }
    }

    /// The platform refused a call for want of quota. Nothing more of this operation goes out for the time
    /// that it named, or for a pause of ours that grows with each refusal in a row. The answer is that time.
    pub fn refused(&self, operation: &'static str, named: Option<Duration>) -> Duration {
        let now = self.time.now();
        self.with_lane(operation, |lane| {
            let earned = lane.counted.as_ref().map_or(Duration::ZERO, |counted| counted.bucket.period);
            let pause = named.unwrap_or_else(|| {
                let doubled = BACKOFF_FIRST.saturating_mul(1 << lane.refusals.min(16));
                doubled.max(earned).min(BACKOFF_MAX)
            });
            lane.refusals = lane.refusals.saturating_add(1);
            lane.blocked_until = lane.blocked_until.max(now.saturating_add(pause));
            pause
        })
    }

    /// The platform let a call pass. One refusal is forgiven, not all: a platform that refuses nearly every
    /// call is asked less and less often until calls pass.
    pub fn passed(&self, operation: &'static str) {
        self.with_lane(operation, |lane| lane.refusals = lane.refusals.saturating_sub(1));
    }

    /// The platform says how many calls of `operation` it allows per second, as decimal text. Text that is no
    /// positive number is ignored.
    pub fn learn_rate(&self, operation: &'static str, per_second: &str) {
        let Some(period) = period_of(per_second) else { return };
        self.with_lane(operation, |lane| {
            if let Some(counted) = &mut lane.counted
                && counted.bucket.period != period
            {
                *counted = counted.at_period(period, &self.time);
            }
        });
    }

    /// The platform says what is left of the window that it counts for all its callers.
    pub fn learn_window(&self, operation: &'static str, reading: WindowReading) {
        let ends_at = self.time.now().saturating_add(reading.resets_in);
        self.with_lane(operation, |lane| {
            let left = match &lane.window {
                // Answers overtake one another: within one window the lowest reading is the newest.
                Some(window) if window.ends_at.abs_diff(ends_at) < WINDOW_SLACK => {
                    window.left.min(reading.left)
                }
                _ => reading.left,
            };
            lane.window = Some(Window { left, limit: reading.limit, ends_at });
        });
    }

    /// The time in which one call of `operation` is earned in the long run, where that is known.
    #[must_use]
    pub fn period(&self, operation: &'static str) -> Option<Duration> {
        self.with_lane(operation, |lane| lane.counted.as_ref().map(|counted| counted.bucket.period))
    }

    /// What is left, one line per operation.
    #[must_use]
    pub fn lines(&self) -> Vec<QuotaLine> {
        let now = self.time.now();
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().map(|(operation, lane)| lane.line(operation, now)).collect()
    }

    /// Takes a call out of the budget, or says how long until there is one.
    fn take(&self, operation: &'static str, priority: Priority) -> Option<Duration> {
        let now = self.time.now();
        self.with_lane(operation, |lane| lane.take(priority, now))
    }

    fn with_lane<T>(&self, operation: &'static str, work: impl FnOnce(&mut Lane) -> T) -> T {
        // A poisoned lane still counts: a panic elsewhere cannot have left it half changed.
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        work(lanes.entry(operation).or_default())
    }
}

/// One operation's budget. Instants are times since the pacer was made.
#[derive(Debug, Default)]
struct Lane {
    counted: Option<Counted>,
    window: Option<Window>,
    blocked_until: Duration,
    refusals: u32,
}

#[derive(Debug)]
struct Window {
    left: u64,
    limit: u64,
    ends_at: Duration,
}

impl Lane {
    fn counted(bucket: Bucket, time: &PaceClock) -> Self {
        Self { counted: Some(Counted::new(bucket, SharedState::default(), time)), ..Self::default() }
    }

    fn take(&mut self, priority: Priority, now: Duration) -> Option<Duration> {
        if now < self.blocked_until {
            return Some(self.blocked_until.saturating_sub(now));
        }
        if let Some(window) = &self.window
            && now < window.ends_at
            && window.left <= window.reserve(priority)
        {
            return Some(window.ends_at.saturating_sub(now));
        }
        if let Some(wait) = self.counted.as_ref().and_then(|counted| counted.take(priority, now)) {
            return Some(wait);
        }
        if let Some(window) = &mut self.window {
            window.left = window.left.saturating_sub(1);
        }
        None
    }

    fn line(&self, operation: &str, now: Duration) -> QuotaLine {
        let blocked = self.blocked_until.saturating_sub(now);
        let window = self.window.as_ref().filter(|window| now < window.ends_at);
        let (left, limit, wait) = match (&self.counted, window) {
            (Some(counted), _) => {
                let left = counted.left(now);
                (Some(left), Some(u64::from(counted.bucket.burst)), counted.wait(now))
            }
            (None, Some(window)) => {
                let wait = if window.left == 0 { window.ends_at.saturating_sub(now) } else { Duration::ZERO };
                (Some(window.left), Some(window.limit), wait)
            }
            (None, None) => (None, None, Duration::ZERO),
        };
        let left = if blocked.is_zero() { left } else { left.map(|_| 0) };
        QuotaLine { operation: operation.to_owned(), left, limit, wait_s: seconds_up(wait.max(blocked)) }
    }
}

impl Window {
    fn reserve(&self, priority: Priority) -> u64 {
        match priority {
            Priority::Interactive => 0,
            Priority::Bulk => self.limit / WINDOW_RESERVE_PART,
        }
    }
}

type Limiter = RateLimiter<NotKeyed, SharedState, PaceClock, NoOpMiddleware<Duration>>;

/// A token bucket that we count. Both limiters look at the same state and differ only in how far it may be
/// drained: that difference is the reserve.
#[derive(Debug)]
struct Counted {
    bucket: Bucket,
    state: SharedState,
    started: Duration,
    interactive: Limiter,
    bulk: Limiter,
}

impl Counted {
    fn new(bucket: Bucket, state: SharedState, time: &PaceClock) -> Self {
        let quota = |burst: u32| {
            let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
            // A period of zero is the only refusal, and [`PERIOD_MIN`] rules it out.
            Quota::with_period(bucket.period.max(PERIOD_MIN))
                .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
                .allow_burst(burst)
        };
        // The limiters read the time when they are made and count from there; a stopped clock gives both, and
        // us, the same start.
        let start = time.stopped();
        let full = quota(bucket.burst);
        let kept = quota(bucket.burst.saturating_sub(bucket.reserve));
        let limiter = |quota| RateLimiter::new(quota, state.clone(), start.clone());
        let (interactive, bulk) = (limiter(full), limiter(kept));
        start.run();
        Self { bucket, started: start.start(), interactive, bulk, state }
    }

    /// The same bucket at another pace. It begins empty of debts: what the platform just answered shows that
    /// it still had a call for us.
    fn at_period(&self, period: Duration, time: &PaceClock) -> Self {
        let per_second = Duration::from_secs(1).as_nanos().checked_div(period.as_nanos()).unwrap_or_default();
        let burst = u32::try_from(per_second).unwrap_or(u32::MAX).max(self.bucket.burst);
        Self::new(Bucket { period, burst, ..self.bucket }, SharedState::default(), time)
    }

    fn take(&self, priority: Priority, now: Duration) -> Option<Duration> {
        let limiter = match priority {
            Priority::Interactive => &self.interactive,
            Priority::Bulk => &self.bulk,
        };
        limiter.check().err().map(|not_until| not_until.wait_time_from(now).max(PERIOD_MIN))
    }

    /// How long past `now` the bucket is paid for: zero for a full one.
    fn debt(&self, now: Duration) -> Duration {
        let paid_until: Result<(), Option<Nanos>> =
            self.state.measure_and_replace(&NotKeyed::NonKey, Err::<((), Nanos), _>);
        let paid_until = paid_until.err().flatten().map_or(Duration::ZERO, Duration::from);
        self.started.saturating_add(paid_until).saturating_sub(now)
    }

    fn left(&self, now: Duration) -> u64 {
        let period = self.bucket.period.as_nanos().max(1);
        let used = u64::try_from(self.debt(now).as_nanos().div_ceil(period)).unwrap_or(u64::MAX);
        u64::from(self.bucket.burst).saturating_sub(used)
    }

    fn wait(&self, now: Duration) -> Duration {
        let saved = self.bucket.period.saturating_mul(self.bucket.burst.saturating_sub(1));
        self.debt(now).saturating_sub(saved)
    }
}

#[derive(Debug, Clone, Default)]
struct SharedState(Arc<InMemoryState>);

impl StateStore for SharedState {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, key: &Self::Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

/// The time that passes, whatever the system's clock is set to.
#[derive(Debug, Clone)]
struct PaceClock {
    clock: SharedClock,
    stopped_at: Arc<Mutex<Option<Duration>>>,
    start: Duration,
}

impl PaceClock {
    fn new(clock: SharedClock) -> Self {
        let start = clock.steady();
        Self { clock, stopped_at: Arc::default(), start }
    }

    /// This clock, standing still until it is told to run.
    fn stopped(&self) -> Self {
        let start = self.now();
        Self { clock: self.clock.clone(), stopped_at: Arc::new(Mutex::new(Some(start))), start }
    }

    fn run(&self) {
        *self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn start(&self) -> Duration {
        self.start
    }
}

impl GovernorClock for PaceClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        if let Some(at) = *self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner) {
            return at;
        }
        self.clock.steady()
    }
}

/// The time in which one call is earned at so many per second.
fn period_of(per_second: &str) -> Option<Duration> {
    let rate = Decimal::from_str_exact(per_second.trim()).ok().filter(|rate| *rate > Decimal::ZERO)?;
    let micros = Decimal::from(1_000_000u32).checked_div(rate)?.to_u64()?;
    Some(Duration::from_micros(micros).clamp(PERIOD_MIN, PERIOD_MAX))
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests;

//! Time and randomness, one door.
//!
//! Everything that asks what time it is, waits, or draws a random number does it through [`Clock`] and
//! [`Entropy`], so that tests and the fault campaign can run on simulated time from a seed. Nothing else in
//! the program may call the system clock or the system's random source.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// What [`Clock::sleep`] returns.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A source of time: the system's, or one that a test moves by hand.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant, in UTC.
    fn now(&self) -> Timestamp;

    /// How much time has passed since some moment. Setting the clock does not change it.
    fn steady(&self) -> Duration;

    /// Waits for `duration`. A simulated clock moves itself forward instead and returns at once.
    fn sleep(&self, duration: Duration) -> Sleep<'_>;
}

/// A clock shared between the parts of the program.
pub type SharedClock = Arc<dyn Clock>;

/// The system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one door to the system's clock")]
        Timestamp::now()
    }

    fn steady(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        #[expect(clippy::disallowed_methods, reason = "this is the one door to the system's timer")]
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until it is moved. Sleeping moves it.
#[derive(Debug)]
pub struct ManualClock {
    microsecond: AtomicI64,
    jumped_us: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self { microsecond: AtomicI64::new(start.as_microsecond()), jumped_us: AtomicI64::new(0) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        let step = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.microsecond.fetch_add(step, Ordering::SeqCst);
    }

    /// Lets time pass until `now`.
    pub fn set(&self, now: Timestamp) {
        self.microsecond.store(now.as_microsecond(), Ordering::SeqCst);
    }

    /// Sets the clock to another time, forward or back, without any time having passed.
    pub fn jump(&self, by: SignedDuration) {
        let step = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.microsecond.fetch_add(step, Ordering::SeqCst);
        self.jumped_us.fetch_add(step, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.microsecond.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }

    fn steady(&self) -> Duration {
        let passed = self.microsecond.load(Ordering::SeqCst) - self.jumped_us.load(Ordering::SeqCst);
        Duration::from_micros(u64::try_from(passed).unwrap_or(0))
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        self.advance(duration);
        Box::pin(std::future::ready(()))
    }
}

/// A source of random numbers: the system's, or one that follows from a seed.
#[derive(Debug)]
pub struct Entropy {
    rng: Mutex<ChaCha12Rng>,
}

impl Entropy {
    /// Seeded by the operating system: for everything that must not be guessed.
    #[must_use]
    pub fn from_os() -> Self {
        Self { rng: Mutex::new(ChaCha12Rng::from_os_rng()) }
    }

    /// Follows from `seed`: for tests, the demo's simulators and the fault campaign.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { rng: Mutex::new(ChaCha12Rng::seed_from_u64(seed)) }
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.with(|rng| rng.fill_bytes(bytes));
    }

    /// Any 64-bit number.
    pub fn next_u64(&self) -> u64 {
        self.with(RngCore::next_u64)
    }

    /// A number in `0..bound`; 0 where `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.with(|rng| rng.random_range(0..bound)) }
    }

    /// A duration drawn evenly from `0..=longest`.
    pub fn jitter(&self, longest: Duration) -> Duration {
        let bound = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.below(bound.saturating_add(1)))
    }

    /// `byte_count` random bytes as URL-safe text without padding.
    pub fn token(&self, byte_count: usize) -> String {
        use base64::Engine as _;
        let mut bytes = vec![0u8; byte_count];
        self.fill(&mut bytes);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }

    fn with<T>(&self, draw: impl FnOnce(&mut ChaCha12Rng) -> T) -> T {
        // A poisoned generator still gives numbers: a panic elsewhere cannot make it wrong.
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `instant` moved by `by`, kept inside what a timestamp can say.
#[must_use]
pub fn shifted(instant: Timestamp, by: SignedDuration) -> Timestamp {
    let bound = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    instant.checked_add(by).unwrap_or(bound)
}

/// `instant` without its fraction of a second.
#[must_use]
pub fn whole_second(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_when_somebody_sleeps() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        drop(clock.sleep(Duration::from_millis(1500)));
        assert_eq!(clock.now().as_millisecond(), 1500);
    }

    #[test]
    fn a_seed_decides_every_draw() {
        let draw = |seed| {
            let entropy = Entropy::seeded(seed);
            (entropy.next_u64(), entropy.below(10), entropy.token(9))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}

//! The engine's time: the clock's, except that it never jumps under work that waits.
//!
//! Somebody sets the clock, or a time server does. A call that is in doubt would then be made again too early, since
//! hours seem to have passed, or everything would wait for hours that come again. So a jump is noticed by the time that
//! really passed, kept out of the engine's time, and taken over once nothing is under way or in doubt. A clock that
//! runs a little fast or slow is followed.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::clock::{Clock, shifted};

/// A step of the clock that is larger than what a busy machine takes between two readings.
const JUMP_MIN: SignedDuration = SignedDuration::from_secs(10);

/// How far the engine's time is behind the clock's.
#[derive(Debug)]
pub(super) struct Skew(Mutex<Held>);

#[derive(Debug)]
struct Held {
    /// The clock less the time that really passed, when they were last read.
    offset: SignedDuration,
    /// Jumps that were not taken over yet.
    skew: SignedDuration,
}

impl Skew {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self(Mutex::new(Held { offset: read(clock).1, skew: SignedDuration::ZERO }))
    }

    /// The engine's time.
    pub(super) fn now(&self, clock: &dyn Clock) -> Timestamp {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, offset) = read(clock);
        let jump = offset.saturating_sub(held.offset);
        held.offset = offset;
        if jump.abs() >= JUMP_MIN {
            held.skew = held.skew.saturating_add(jump);
            tracing::warn!("{}", said(jump));
        }
        shifted(wall, -held.skew)
    }

    /// Ends the difference: from now on the engine's time is the clock's. What it was is what times that the engine
    /// keeps have to be moved by.
    pub(super) fn take_over(&self) -> Option<SignedDuration> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skew = std::mem::take(&mut held.skew);
        (!skew.is_zero()).then_some(skew)
    }
}

/// What people are told of a step of the clock.
pub(super) fn said(step: SignedDuration) -> String {
    let direction = if step.is_negative() { "back" } else { "forward" };
    format!(
        "The clock was set {direction} by {:#}. Nothing is lost, and what waits keeps its waiting time. Check the machine's \
         time and its time server: platforms refuse calls whose time is wrong.",
        step.abs()
    )
}

fn read(clock: &dyn Clock) -> (Timestamp, SignedDuration) {
    let wall = clock.now();
    let steady = SignedDuration::try_from(clock.steady()).unwrap_or(SignedDuration::MAX);
    (wall, wall.duration_since(Timestamp::UNIX_EPOCH).saturating_sub(steady))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn who_reads_the_log_learns_of_a_jump_and_what_to_do() {
        let back = said(SignedDuration::from_hours(-25));
        assert!(back.starts_with("The clock was set back by 25h. Nothing is lost"), "{back}");
        assert!(back.contains("Check the machine's time"), "{back}");
        assert!(said(SignedDuration::from_secs(90)).starts_with("The clock was set forward by 1m 30s"));
    }

    #[test]
    fn a_jump_is_kept_out_until_it_is_taken_over_and_a_drift_is_followed() {
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let skew = Skew::new(&clock);
        let day = SignedDuration::from_hours(24);
        for jump in [day, -day, -day] {
            let before = skew.now(&clock);
            clock.jump(jump);
            clock.advance(Duration::from_secs(7));
            assert_eq!(skew.now(&clock), before + SignedDuration::from_secs(7), "{jump}");
        }
        assert_eq!(skew.take_over(), Some(-day));
        assert_eq!(skew.now(&clock), clock.now());
        assert_eq!(skew.take_over(), None);
        clock.jump(SignedDuration::from_millis(-900));
        assert_eq!(skew.now(&clock), clock.now());
    }
}

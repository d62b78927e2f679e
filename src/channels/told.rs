//! What a platform told of an order beside the list of orders, remembered while its polls list the same state of it again
//! and again.
//!
//! Polls overlap, so that an order that changed is listed many times over. What has to be asked for order by order is asked
//! for when its state is first seen, and once more when the answer can no longer lag behind the list.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::error::ChannelError;
use crate::clock::shifted;

/// Times that what belongs to one order of a page is asked for before it counts as not to be had.
pub const TRIES_MAX: usize = 4;

/// It is remembered so long after it was asked for: longer than polls overlap.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(15);

/// Orders of which it is remembered.
const ORDERS_MAX: usize = 1_000;

/// What was told, for one connection.
#[derive(Debug)]
pub struct Told {
    /// An answer may lag so long behind the list.
    lag: SignedDuration,
    orders: Mutex<BTreeMap<String, OfOrder>>,
}

/// What was told of one state of an order.
#[derive(Debug)]
struct OfOrder {
    /// The hash of the order as it was listed.
    state: [u8; 32],
    /// When it was first asked about this state.
    since: Timestamp,
    asked_at: Timestamp,
    answer: String,
}

impl Told {
    /// An empty memory of a platform whose answers may lag so long.
    #[must_use]
    pub const fn new(lag: SignedDuration) -> Self {
        Self { lag, orders: Mutex::new(BTreeMap::new()) }
    }

    fn orders(&self) -> MutexGuard<'_, BTreeMap<String, OfOrder>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer on this state of the order, where asking at `now` could bring nothing new: it came after one could lag, or
    /// it is still too early for a better one.
    #[must_use]
    pub fn known(&self, order_id: &str, listed: &str, now: Timestamp) -> Option<String> {
        let orders = self.orders();
        let known = orders.get(order_id).filter(|known| known.state == state_of(listed))?;
        let settles_at = shifted(known.since, self.lag);
        let is_settled = known.asked_at >= settles_at || now < settles_at;
        // A clock that was put back says nothing.
        let is_recent = known.asked_at <= now && now < shifted(known.asked_at, REMEMBERED);
        (is_settled && is_recent).then(|| known.answer.clone())
    }

    /// Keeps an answer.
    pub fn remember(&self, order_id: &str, listed: &str, asked_at: Timestamp, answer: &str) {
        let state = state_of(listed);
        let mut orders = self.orders();
        orders
            .retain(|_, known| shifted(known.asked_at, REMEMBERED) > asked_at && known.asked_at <= asked_at);
        let before = orders.remove(order_id).filter(|known| known.state == state);
        if orders.len() < ORDERS_MAX {
            let since = before.map_or(asked_at, |known| known.since);
            let of_order = OfOrder { state, since, asked_at, answer: answer.to_owned() };
            orders.insert(order_id.to_owned(), of_order);
        }
    }

    /// Forgets an order: the next time it is asked about again.
    pub fn forget(&self, order_id: &str) {
        self.orders().remove(order_id);
    }
}

/// What stands for a listed state: the answer mostly contains the order itself.
fn state_of(listed: &str) -> [u8; 32] {
    Sha256::digest(listed).into()
}

/// What a platform answers about one order: asked for more than once where something went wrong on the way, or where the
/// answer cannot be read. Beside the order stands a page of others that would all be read anew.
///
/// # Errors
/// The last try's, or one that no other try would help.
pub async fn asked_again<T, F>(ask: impl Fn() -> F) -> Result<T, ChannelError>
where
    F: Future<Output = Result<T, ChannelError>>,
{
    let mut tries = 1;
    loop {
        match ask().await {
            Err(ChannelError::Retry { throttled: false, .. } | ChannelError::Corrupt { .. })
                if tries < TRIES_MAX =>
            {
                tries += 1;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: SignedDuration = SignedDuration::from_secs(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000 + second).unwrap()
    }

    #[test]
    fn a_state_is_asked_about_twice_and_a_new_one_at_once() {
        let told = Told::new(LAG);
        assert_eq!(told.known("1", "open", at(0)), None);
        told.remember("1", "open", at(0), "early");
        assert_eq!(
            told.known("1", "open", at(59)).as_deref(),
            Some("early"),
            "too early for a better answer"
        );
        assert_eq!(told.known("1", "shipped", at(1)), None);
        assert_eq!(told.known("2", "open", at(1)), None);
        assert_eq!(told.known("1", "open", at(60)), None, "the answer may have lagged");
        told.remember("1", "open", at(60), "late");
        assert_eq!(told.known("1", "open", at(61)).as_deref(), Some("late"));
        assert_eq!(told.known("1", "open", at(500)).as_deref(), Some("late"));
        told.remember("1", "shipped", at(501), "early again");
        assert_eq!(told.known("1", "open", at(502)), None);
        assert_eq!(told.known("1", "shipped", at(561)), None);
        told.forget("1");
        assert_eq!(told.known("1", "shipped", at(502)), None);
    }

    #[test]
    fn what_is_old_or_of_a_later_clock_says_nothing() {
        let told = Told::new(LAG);
        told.remember("1", "open", at(0), "early");
        told.remember("1", "open", at(60), "late");
        assert_eq!(told.known("1", "open", at(59)), None);
        assert!(told.known("1", "open", at(959)).is_some());
        assert_eq!(told.known("1", "open", at(960)), None);
        // It does not keep its place from others either.
        for number in 0..ORDERS_MAX {
            told.remember(&format!("n{number}"), "open", at(960), "x");
        }
        assert!(told.known(&format!("n{}", ORDERS_MAX - 1), "open", at(961)).is_some());
        told.remember("one more", "open", at(960), "x");
        assert_eq!(told.known("one more", "open", at(961)), None);
    }
}

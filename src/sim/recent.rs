//! What changed a moment ago, and what it looked like before: for reads that lag behind.
//!
//! Only the platforms' lagging reads may look here; it is forgotten after [`STALE_SECONDS`] and never persisted.

use std::collections::HashMap;

use jiff::Timestamp;

use super::faults::STALE_SECONDS;

/// Entries that are kept without looking for old ones.
const ENTRIES_MIN: usize = 256;

/// Earlier versions of what changed in the last seconds, by place.
#[derive(Debug)]
pub struct Recent<T> {
    entries: HashMap<usize, (Timestamp, Option<T>)>,
    prune_at: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), prune_at: ENTRIES_MIN }
    }
}

impl<T> Recent<T> {
    /// Remembers what stood at `place` before it changed at `now`; nothing where it is new. The oldest version of
    /// the last seconds is the one that counts.
    pub fn remember(&mut self, place: usize, now: Timestamp, before: Option<T>) {
        if self.entries.len() >= self.prune_at {
            self.entries.retain(|_, (at, _)| is_recent(*at, now));
            self.prune_at = self.entries.len().saturating_mul(2).max(ENTRIES_MIN);
        }
        if !self.entries.get(&place).is_some_and(|(at, _)| is_recent(*at, now)) {
            self.entries.insert(place, (now, before));
        }
    }

    /// What a lagging read at `now` sees at `place`: the outer option is none where nothing changed lately, the
    /// inner one where it did not exist yet.
    pub fn before(&self, place: usize, now: Timestamp) -> Option<Option<&T>> {
        let (at, before) = self.entries.get(&place)?;
        is_recent(*at, now).then_some(before.as_ref())
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    at.as_microsecond().saturating_add(STALE_SECONDS * 1_000_000) > now.as_microsecond()
}

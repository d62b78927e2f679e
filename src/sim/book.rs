//! The orders of a platform: found by id and by time, with what is planned for them, what they looked like a moment ago,
//! and which of them the journal does not have yet.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use jiff::Timestamp;

use super::recent::Recent;

/// What a book has to know of an order.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Its place among all orders.
    pub place: usize,
    /// When it was placed.
    pub placed: Timestamp,
    /// When the platform says that it changed last.
    pub updated: Timestamp,
    /// When something happens to it by itself.
    pub due: Option<Timestamp>,
    /// Whether the platform's lists know it.
    pub is_listed: bool,
}

/// An order of a platform.
pub trait Entry: Clone {
    /// The platform's id of it.
    type Id: Eq + Hash;

    /// The platform's id of it.
    fn id(&self) -> Self::Id;

    /// How it stands.
    fn standing(&self) -> Standing;
}

/// Moments in microseconds, each with an order's place.
pub type Times = BTreeSet<(i64, usize)>;

/// All orders of a platform.
#[derive(Debug)]
pub struct Book<T: Entry> {
    entries: Vec<T>,
    places: HashMap<T::Id, usize>,
    by_update: Times,
    by_creation: Times,
    agenda: Times,
    /// What changed orders looked like before, for reads that lag behind.
    previous: Recent<T>,
    changed: BTreeSet<usize>,
}

impl<T: Entry> Default for Book<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            places: HashMap::new(),
            by_update: Times::new(),
            by_creation: Times::new(),
            agenda: Times::new(),
            previous: Recent::default(),
            changed: BTreeSet::new(),
        }
    }
}

impl<T: Entry> Book<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The order at this place.
    pub fn get(&self, place: usize) -> Option<&T> {
        self.entries.get(place)
    }

    /// All, in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.entries.iter()
    }

    /// The place of an order.
    pub fn place_of<Q>(&self, id: &Q) -> Option<usize>
    where
        T::Id: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.places.get(id).copied()
    }

    /// Those that lists know, by the time of their last change or of their placing.
    pub const fn times(&self, is_by_update: bool) -> &Times {
        if is_by_update { &self.by_update } else { &self.by_creation }
    }

    /// What is due first: when, in microseconds, and which order's.
    pub fn first_due(&self) -> Option<(i64, usize)> {
        self.agenda.first().copied()
    }

    /// What a read at `now` sees at this place: one that lags sees what was there before.
    pub fn seen(&self, place: usize, now: Timestamp, is_stale: bool) -> Option<&T> {
        let earlier = if is_stale { self.previous.before(place, now) } else { None };
        earlier.unwrap_or_else(|| self.get(place))
    }

    /// Changes an order at `now`.
    pub fn change(&mut self, place: usize, now: Timestamp, change: impl FnOnce(&mut T)) {
        let Some(before) = self.get(place).cloned() else { return };
        self.amend(place, change);
        self.previous.remember(place, now, Some(before));
        self.changed.insert(place);
    }

    /// Changes what nobody sees of an order that was added just now.
    pub fn amend(&mut self, place: usize, change: impl FnOnce(&mut T)) {
        let Some(mut entry) = self.get(place).cloned() else { return };
        change(&mut entry);
        self.restore(entry);
    }

    /// Adds a new order.
    pub fn add(&mut self, entry: T) {
        let Standing { place, updated, .. } = entry.standing();
        self.previous.remember(place, updated, None);
        self.restore(entry);
        self.changed.insert(place);
    }

    /// Puts an order in its place, as the journal has it.
    pub fn restore(&mut self, entry: T) {
        let after = entry.standing();
        let place = after.place;
        let at = |moment: Timestamp| (moment.as_microsecond(), place);
        if let Some(before) = self.get(place).map(Entry::standing) {
            self.by_update.remove(&at(before.updated));
            self.by_creation.remove(&at(before.placed));
            if let Some(due) = before.due {
                self.agenda.remove(&at(due));
            }
        }
        if after.is_listed {
            self.by_update.insert(at(after.updated));
            self.by_creation.insert(at(after.placed));
        }
        self.agenda.extend(after.due.map(at));
        self.places.insert(entry.id(), place);
        match self.entries.get_mut(place) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    /// Gives what the journal does not have yet to `write`, and takes it for written.
    pub fn take_changes(&mut self, mut write: impl FnMut(&T)) {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|place| self.get(*place)).for_each(&mut write);
    }

    /// Takes nothing for written, for a snapshot.
    pub fn touch_all(&mut self) {
        self.changed.extend(0..self.entries.len());
    }
}

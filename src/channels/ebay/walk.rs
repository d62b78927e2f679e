//! How a list of orders is walked while orders change. Pure.
//!
//! eBay pages by offset and says nothing of the order of its list. An order that changes leaves a window of changes
//! that has an end, so that everything behind it moves one place forward: who pages forward skips one. So a window is
//! closed at both ends and walked from its last page to its first: what moves forward is met again, never missed. What
//! grows (a purchase that is paid late shows up at the time when it was made) begins the window anew.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::{Cursor, PlacedWindow, PollStart, Window};
use crate::clock::shifted;

/// Orders on a page: eBay's most.
pub const PAGE_ORDERS: i64 = 200;

/// How far a poll reaches back behind its cursor: lists may lag behind orders.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// The longest window, so that no walk has thousands of pages.
const WINDOW_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// eBay gives two years; a day less, since it refuses more.
pub const HISTORY: SignedDuration = SignedDuration::from_hours((2 * 365 - 1) * 24);

/// Times that a window that grows is begun anew before it is taken as it is.
const RESTARTS_MAX: u8 = 5;

/// By which of an order's times a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// When it was created: a first import.
    CreationDate,
    /// When it was last changed: a poll.
    LastModifiedDate,
}

impl By {
    const fn word(self) -> &'static str {
        match self {
            Self::CreationDate => "creationdate",
            Self::LastModifiedDate => "lastmodifieddate",
        }
    }
}

/// A window under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    by: By,
    from: Timestamp,
    to: Timestamp,
    /// Where the last window ends; what the cursor becomes then.
    goal: Timestamp,
    /// The place of the page that is read next; none for the look at how much there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    /// How much there was at that look.
    #[serde(default)]
    total: i64,
    #[serde(default)]
    restarts: u8,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Whether the page's orders are taken: those of a look at many pages are read again at the end.
    pub is_taken: bool,
    /// Where to go on.
    pub cursor: Cursor,
    /// How many orders are still to come, at least.
    pub remaining: i64,
}

impl Walk {
    /// The window that is under way, or a new one that ends at `now`, which is eBay's.
    pub fn next(cursor: &Cursor, start: PollStart, now: Timestamp) -> Self {
        let under_way = cursor.window.as_ref().and_then(|window| serde_json::from_str(&window.next).ok());
        if let Some(walk) = under_way {
            return walk;
        }
        let oldest = shifted(now, -HISTORY);
        let (by, from) = match cursor.updated_until {
            Some(until) => (By::LastModifiedDate, shifted(until, -OVERLAP)),
            None => (By::CreationDate, start.since.unwrap_or(oldest)),
        };
        Self::window(by, from.max(oldest).min(now), now)
    }

    fn window(by: By, from: Timestamp, goal: Timestamp) -> Self {
        let to = shifted(from, WINDOW_MAX).min(goal);
        Self { by, from, to, goal, offset: None, total: 0, restarts: 0 }
    }

    /// Whether it is a first import.
    pub const fn is_first_import(&self) -> bool {
        matches!(self.by, By::CreationDate)
    }

    /// What eBay is asked.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        query(self.by, self.from, self.to, self.offset.unwrap_or(0))
    }

    /// What follows the page that was asked for, of a window in which `total` orders are now.
    pub fn step(mut self, cursor: &Cursor, total: i64) -> Result<Step, serde_json::Error> {
        let until = cursor.updated_until;
        let Some(offset) = self.offset else {
            if total <= PAGE_ORDERS {
                return self.end(until);
            }
            self.total = total;
            self.offset = Some(last_page(total));
            return self.go_on(until, false, total);
        };
        if total > self.total && self.restarts < RESTARTS_MAX {
            self.restarts += 1;
            self.offset = None;
            return self.go_on(until, true, total);
        }
        if offset == 0 {
            return self.end(until);
        }
        self.offset = Some((offset - PAGE_ORDERS).max(0));
        self.go_on(until, true, offset)
    }

    fn go_on(&self, until: Option<Timestamp>, is_taken: bool, left: i64) -> Result<Step, serde_json::Error> {
        let next = serde_json::to_string(self)?;
        let window = Some(Window { next, until: Some(self.goal), expires_at: None });
        Ok(Step { is_taken, cursor: Cursor { updated_until: until, window }, remaining: left })
    }

    /// The window is through: the next one, or the end.
    fn end(&self, until: Option<Timestamp>) -> Result<Step, serde_json::Error> {
        if self.to < self.goal {
            return Self::window(self.by, self.to, self.goal).go_on(until, true, 0);
        }
        let updated_until = Some(self.goal).max(until);
        Ok(Step { is_taken: true, cursor: Cursor { updated_until, window: None }, remaining: 0 })
    }
}

/// A page of what was placed in a window: `total/offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedPlace {
    /// How much there was at the look.
    pub total: i64,
    /// The page's place.
    pub offset: i64,
}

impl PlacedPlace {
    /// As the caller keeps it.
    pub fn read(text: &str) -> Option<Self> {
        let (total, offset) = text.split_once('/')?;
        Some(Self { total: total.parse().ok()?, offset: offset.parse().ok()? })
    }

    /// The page before this one, if there is one.
    pub fn before(self) -> Option<Self> {
        (self.offset > 0).then(|| Self { offset: (self.offset - PAGE_ORDERS).max(0), ..self })
    }

    /// The last page of so many orders.
    pub fn last(total: i64) -> Self {
        Self { total, offset: last_page(total) }
    }
}

impl std::fmt::Display for PlacedPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.total, self.offset)
    }
}

/// What eBay is asked for what was placed in a window.
pub fn placed_query(window: PlacedWindow, offset: i64) -> Vec<(&'static str, String)> {
    query(By::CreationDate, window.from, window.until, offset)
}

fn query(by: By, from: Timestamp, to: Timestamp, offset: i64) -> Vec<(&'static str, String)> {
    let filter =
        format!("{}:[{}..{}]", by.word(), super::map::instant_text(from), super::map::instant_text(to));
    vec![
        ("filter", filter),
        ("fieldGroups", "TAX_BREAKDOWN".to_owned()),
        ("limit", PAGE_ORDERS.to_string()),
        ("offset", offset.to_string()),
    ]
}

fn last_page(total: i64) -> i64 {
    (total - 1).max(0) / PAGE_ORDERS * PAGE_ORDERS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2026-11-21T12:00:00Z";

    fn start(since: Option<&str>) -> PollStart {
        PollStart { since: since.map(at), is_bulk: false }
    }

    /// Walks over a list that changes between the pages, and returns what was taken, in order.
    fn walked(mut list: Vec<u32>, mut change: impl FnMut(usize, &mut Vec<u32>)) -> (Vec<u32>, Cursor) {
        let mut cursor = Cursor { updated_until: Some(at("2026-11-21T11:00:00Z")), window: None };
        let mut taken = Vec::new();
        for page in 0..100 {
            let walk = Walk::next(&cursor, start(None), at(NOW));
            let offset = usize::try_from(walk.offset.unwrap_or(0)).unwrap();
            let found: Vec<u32> = list.iter().skip(offset).take(200).copied().collect();
            let step = walk.step(&cursor, i64::try_from(list.len()).unwrap()).unwrap();
            if step.is_taken {
                taken.extend(found);
            }
            cursor = step.cursor;
            if cursor.window.is_none() {
                return (taken, cursor);
            }
            change(page, &mut list);
        }
        panic!("the walk does not end");
    }

    #[test]
    fn one_page_is_one_call() {
        let (taken, cursor) = walked((0..200).collect(), |_, _| panic!("there is no second call"));
        assert_eq!((taken.len(), cursor.updated_until), (200, Some(at(NOW))));
    }

    #[test]
    fn what_leaves_while_we_page_hides_nothing() {
        let all: Vec<u32> = (0..901).collect();
        let gone = [0u32, 1, 2, 250, 499, 650];
        let (taken, _) = walked(all.clone(), |page, list| {
            list.retain(|order| *order != gone[page % gone.len()]);
        });
        let missed: Vec<u32> =
            all.into_iter().filter(|order| !taken.contains(order) && !gone.contains(order)).collect();
        assert_eq!(missed, Vec::<u32>::new());
    }

    #[test]
    fn what_grows_begins_anew_and_ends() {
        let (taken, _) = walked((10..500).collect(), |page, list| {
            if page == 1 {
                list.insert(0, 1);
            }
        });
        for order in (10..500).chain([1]) {
            assert!(taken.contains(&order), "{order}");
        }
        let mut next = 1_000;
        walked((0..401).collect(), |_, list| {
            list.insert(0, next);
            next += 1;
        });
    }

    #[test]
    fn a_first_import_goes_by_creation_in_windows_of_a_month() {
        let mut cursor = Cursor::default();
        let mut windows = Vec::new();
        loop {
            let walk = Walk::next(&cursor, start(Some("2026-09-01T00:00:00Z")), at(NOW));
            assert!(walk.is_first_import());
            windows.push(walk.query()[0].1.clone());
            cursor = walk.step(&cursor, 3).unwrap().cursor;
            if cursor.window.is_none() {
                break;
            }
            assert_eq!(cursor.updated_until, None);
        }
        assert_eq!(
            windows,
            [
                "creationdate:[2026-09-01T00:00:00.000Z..2026-10-01T00:00:00.000Z]",
                "creationdate:[2026-10-01T00:00:00.000Z..2026-10-31T00:00:00.000Z]",
                "creationdate:[2026-10-31T00:00:00.000Z..2026-11-21T12:00:00.000Z]",
            ]
        );
        assert_eq!(cursor.updated_until, Some(at(NOW)));
    }

    #[test]
    fn nothing_older_than_two_years_is_asked_for_and_no_cursor_goes_back() {
        let old = Cursor { updated_until: Some(at("2020-01-01T00:00:00Z")), window: None };
        let walk = Walk::next(&old, start(None), at(NOW));
        assert!(walk.query()[0].1.starts_with("lastmodifieddate:[2024-11-22T12:00:00.000Z.."), "{walk:?}");
        let ahead = Cursor { updated_until: Some(at("2026-11-21T12:00:03Z")), window: None };
        let step = Walk::next(&ahead, start(None), at(NOW)).step(&ahead, 0).unwrap();
        assert_eq!(step.cursor, ahead);
    }
}

//! How the shop's changed orders are walked. Pure: a cursor and a page in, the next cursor out.
//!
//! Page numbers over a list that is sorted by the time of change may skip an order: one that changes meanwhile
//! moves to the end, and everything behind it moves up onto a page that was already read. So there are no page
//! numbers here. After a full page the window begins anew at the last time seen; what is read twice is
//! expected. Where more orders share that second than one page takes (a bulk edit), the second is walked by
//! the orders' ids, which do not change, before it goes on behind it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::{Cursor, PlacedWindow, PollStart, Window};
use super::{map, wire};
use crate::clock::shifted;

/// Orders on a page: the most that BigCommerce gives.
const PAGE_ORDERS_MAX: usize = 250;

/// What BigCommerce gives where it does not heed the limit that was asked for.
const PAGE_ORDERS_DEFAULT: usize = 50;

/// Orders that are asked for one by one in one step: each takes up to three more calls, and a step that asked for more than
/// the quota gives would never end.
const OWN_ORDERS_MAX: usize = 20;

/// How far a poll reaches back behind its cursor, for changes that the list shows late.
pub const OVERLAP: SignedDuration = SignedDuration::from_mins(2);

/// V2's dates are whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Orders changed at or after this; none for all.
    from: Option<Timestamp>,
    /// Within the second `from`: the lowest id that is still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_id: Option<i64>,
}

/// What a page leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Where to go on.
    pub cursor: Cursor,
    /// True where another page is waiting now.
    pub has_more: bool,
}

impl Walk {
    /// The walk that is under way, or a new one.
    #[must_use]
    pub fn next(cursor: &Cursor, start: PollStart) -> Self {
        let under_way = cursor.window.as_ref().and_then(|window| serde_json::from_str(&window.next).ok());
        under_way.unwrap_or_else(|| Self {
            from: cursor.updated_until.map(|until| shifted(until, -OVERLAP)).or(start.since),
            min_id: None,
        })
    }

    /// The query of its page.
    #[must_use]
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("limit", PAGE_ORDERS_MAX.to_string())];
        query.extend(self.from.map(|from| ("min_date_modified", instant_text(from))));
        let Some(min_id) = self.min_id else {
            query.push(("sort", "date_modified:asc".to_owned()));
            return query;
        };
        // One second more, in case the upper end does not count itself.
        let end = self.from.map(|from| instant_text(shifted(from, SECOND)));
        query.extend(end.map(|end| ("max_date_modified", end)));
        query.push(("min_id", min_id.to_string()));
        query.push(("sort", "id:asc".to_owned()));
        query
    }

    /// What the page leads to, of which so many orders are taken, from its start; the rest comes again.
    #[must_use]
    pub fn step(&self, cursor: &Cursor, page: &[&wire::Order], taken: usize) -> Step {
        let is_last = taken == page.len() && !is_full(page.len());
        let kept = page.get(..taken).unwrap_or_default();
        let newest = kept.iter().filter_map(|order| map::modified(order)).max();
        let seen_until = newest.max(cursor.updated_until).max(self.from.filter(|_| is_last));
        let next = match (self.min_id, is_last) {
            (None, true) => None,
            (None, false) => Some(self.after_full_page(newest)),
            (Some(_), false) => Some(self.after_id(kept)),
            // The second is through; the walk goes on behind it.
            (Some(_), true) => Some(Self { from: self.from.map(|from| shifted(from, SECOND)), min_id: None }),
        };
        // While a second is walked by id, what was seen of it is not all of it.
        let is_in_second = next.as_ref().is_some_and(|next| next.min_id.is_some());
        let updated_until = if is_in_second { cursor.updated_until } else { seen_until };
        let window = next.and_then(|next| {
            let next = serde_json::to_string(&next).ok()?;
            Some(Window { next, until: seen_until, expires_at: None })
        });
        Step { has_more: window.is_some(), cursor: Cursor { updated_until, window } }
    }

    fn after_full_page(&self, newest: Option<Timestamp>) -> Self {
        if newest > self.from {
            Self { from: newest, min_id: None }
        } else {
            Self { min_id: Some(0), ..self.clone() }
        }
    }

    fn after_id(&self, kept: &[&wire::Order]) -> Self {
        let last = kept.iter().filter_map(|order| order.id).max().or(self.min_id);
        Self { from: self.from, min_id: last.map(|id| id.saturating_add(1)) }
    }
}

/// The query of a page of the orders that were placed in a window, by their ids, which do not change.
#[must_use]
pub fn placed_query(window: PlacedWindow, min_id: i64) -> Vec<(&'static str, String)> {
    vec![
        ("limit", PAGE_ORDERS_MAX.to_string()),
        ("min_date_created", instant_text(window.from)),
        // Whole seconds: its end counts itself, and ours does not.
        ("max_date_created", instant_text(window.until)),
        ("min_id", min_id.to_string()),
        ("sort", "id:asc".to_owned()),
    ]
}

/// The lowest id of the next page of such orders; none after the last page, and none where a server does not heed
/// `min_id`, whose pages would never end.
#[must_use]
pub fn placed_next(min_id: i64, ids: &[i64]) -> Option<i64> {
    let last = ids.iter().max().filter(|last| **last >= min_id && is_full(ids.len()))?;
    last.checked_add(1)
}

/// How many orders of a page one step takes: as many as bring no more than [`OWN_ORDERS_MAX`] that are asked for one by one.
#[must_use]
pub fn taken(is_asked_for: impl Iterator<Item = bool>) -> usize {
    let mut asked_for = 0;
    let is_within = |is_asked_for: &bool| {
        asked_for += usize::from(*is_asked_for);
        asked_for <= OWN_ORDERS_MAX
    };
    is_asked_for.take_while(is_within).count()
}

fn is_full(count: usize) -> bool {
    count >= PAGE_ORDERS_MAX || count == PAGE_ORDERS_DEFAULT
}

/// An instant as V2 takes it.
fn instant_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

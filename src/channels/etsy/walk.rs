//! How lists of receipts are read although they change meanwhile, and when. Pure: no call, no clock.
//!
//! Etsy pages by offset. What changes between two pages moves to the end of a list that is sorted by change, and
//! everything behind it moves up by one: an offset would pass by a receipt. So a page is followed by a list that begins
//! at the time of the page's last receipt. Only where a whole page lies within a second does the offset grow, and then
//! the next page must show the last receipt of the one before, or that second is read again.
//!
//! Etsy lets its time of change stand still where an order is cancelled or money given back (etsy/open-api 604). So
//! there are sweeps beside the poll: what was cancelled and what waits for shipment, every ten minutes, and everything
//! of the last sixty days, once a day. What is open for longer, such as a thing that is made to order, is looked up
//! receipt by receipt instead (`sync/jobs/read_open.rs`): a list cannot show what is no longer on it. The sweeps go on a
//! few pages after each poll, and less often where a shop is so large that they would take more than a tenth of the
//! day's calls each.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Receipts on a page: Etsy's most.
pub const PAGE_RECEIPTS: u64 = 100;

/// Receipts that a page by offset shares with the one before.
const PAGE_OVERLAP: u64 = 10;

/// So often a list may begin a second again because receipts moved; then its order is not one that can be relied on.
const RESTARTS_MAX: u8 = 5;

/// How far a poll reaches back behind its cursor: Etsy's lists lag behind its receipts.
const OVERLAP_S: i64 = 120;

/// The earliest second that Etsy takes.
const FIRST_SECOND: i64 = 946_684_800;

/// How many days back sweeps look, by when the order was placed. What is open for longer is looked up one by one.
pub const SWEPT_DAYS: u16 = 60;

/// Between two sweeps of cancelled and of open receipts.
const OFTEN: SignedDuration = SignedDuration::from_mins(10);

/// Between two sweeps of everything.
const SELDOM: SignedDuration = SignedDuration::from_hours(24);

/// A sweep takes at most one part in this many of the day's calls.
const SWEEP_SHARE: u64 = 10;

/// Pages of sweeps after each poll.
const SWEPT_PAGES_PER_POLL: u8 = 5;

/// Which receipts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// Those that changed, by Etsy's time of change.
    Changed,
    /// Those that were placed in a window.
    Placed,
    /// Sweep: those that were cancelled.
    Cancelled,
    /// Sweep: those that are paid and wait for shipment.
    Open,
    /// Sweep: all of them.
    Recent,
}

impl List {
    fn filters(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Changed | Self::Placed | Self::Recent => &[],
            Self::Cancelled => &[("was_canceled", "true")],
            Self::Open => &[("was_paid", "true"), ("was_shipped", "false"), ("was_canceled", "false")],
        }
    }
}

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Which.
    pub list: List,
    /// The second that the next page begins at.
    from: i64,
    /// The second that the list ends at, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    /// Receipts of it to pass by.
    #[serde(default)]
    offset: u64,
    /// The last receipt of the page before, where the offset counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// The newest change seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<i64>,
    /// Pages read.
    #[serde(default)]
    pages: u64,
    /// How often a second was begun again.
    #[serde(default)]
    restarts: u8,
}

/// A receipt on a page, as far as its place is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: Option<String>,
    /// The second that the list is sorted by.
    pub at: Option<i64>,
}

impl Walk {
    /// A list from a moment on.
    pub fn new(list: List, from: Timestamp) -> Self {
        let from = from.as_second().max(FIRST_SECOND);
        Self { list, from, until: None, offset: 0, last: None, newest: None, pages: 0, restarts: 0 }
    }

    /// What changed since a poll's cursor, or since the start of a first one.
    pub fn of_changes(updated_until: Option<Timestamp>, since: Option<Timestamp>) -> Self {
        let overlap = SignedDuration::from_secs(OVERLAP_S);
        let behind = updated_until.map(|until| until.checked_sub(overlap).unwrap_or(until));
        Self::new(List::Changed, behind.or(since).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// What was placed in a time. Etsy's own bounds may or may not count themselves: the caller looks.
    pub fn of_window(from: Timestamp, until: Timestamp) -> Self {
        Self { until: Some(until.as_second().max(FIRST_SECOND)), ..Self::new(List::Placed, from) }
    }

    /// The query of the next page.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let (from, sorted) = match self.list {
            List::Changed => ("min_last_modified", "updated"),
            List::Placed | List::Cancelled | List::Open | List::Recent => ("min_created", "created"),
        };
        let mut query = vec![(from, self.from.to_string())];
        query.extend(self.until.map(|until| ("max_created", until.to_string())));
        query.extend([
            ("sort_on", sorted.to_owned()),
            ("sort_order", "asc".to_owned()),
            ("limit", PAGE_RECEIPTS.to_string()),
            ("offset", self.offset.to_string()),
        ]);
        query.extend(self.list.filters().iter().map(|(name, value)| (*name, (*value).to_owned())));
        query
    }

    /// Where it goes on after a page of `rows` out of `count`; none at its end.
    pub fn after(&self, rows: &[Row], count: Option<u64>) -> Option<Self> {
        let length = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let end = self.offset.saturating_add(length);
        let is_last = length < PAGE_RECEIPTS && count.is_none_or(|count| end >= count);
        let pages = self.pages.saturating_add(1);
        let newest = rows.iter().filter_map(|row| row.at).max().max(self.newest);
        let next = Self { pages, newest, ..self.clone() };
        if self.restarts < RESTARTS_MAX && self.has_moved(rows) {
            return Some(Self { offset: 0, last: None, restarts: self.restarts + 1, ..next });
        }
        if rows.is_empty() || is_last {
            return None;
        }
        if let Some(from) = self.next_second(rows) {
            return Some(Self { from, offset: 0, last: None, ..next });
        }
        let overlap = PAGE_OVERLAP.min(length / 2);
        let last = rows.last().and_then(|row| row.id.clone());
        Some(Self { offset: end.saturating_sub(overlap), last, ..next })
    }

    /// True where receipts moved up since the page before: the one that both pages should show is not there.
    fn has_moved(&self, rows: &[Row]) -> bool {
        self.last.is_some() && !rows.iter().any(|row| row.id == self.last)
    }

    /// The second to go on from, where the page reaches beyond the one that it began at. One less than the last
    /// receipt's: nobody says whether Etsy's bound counts itself. None for a page that is not in order.
    fn next_second(&self, rows: &[Row]) -> Option<i64> {
        let seconds: Option<Vec<i64>> = rows.iter().map(|row| row.at).collect();
        let seconds = seconds.filter(|seconds| seconds.is_sorted())?;
        let next = seconds.last()?.saturating_sub(1);
        (next > self.from).then_some(next)
    }

    /// Receipts that the list still holds after a page.
    pub fn remaining(&self, length: usize, count: Option<u64>) -> Option<u64> {
        let end = self.offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        Some(count?.saturating_sub(end))
    }
}

/// What polls and sweeps have come to, in the cursor's window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The poll that has pages left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<Walk>,
    /// The sweep that has pages left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Walk>,
    /// Pages of sweeps that may still be read before the next poll; 0 for a poll.
    pub turns: u8,
    /// When the sweep of cancelled and open receipts ended, and the pages that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub often: Option<Swept>,
    /// The same of everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seldom: Option<Swept>,
}

/// A sweep that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    at: Timestamp,
    pages: u64,
}

impl Swept {
    /// One that ended now.
    pub const fn now(at: Timestamp, pages: u64) -> Self {
        Self { at, pages }
    }

    /// Whether it is time for the next one: the more pages it takes, the later.
    fn is_due(swept: Option<Self>, now: Timestamp, interval: SignedDuration, day_limit: u64) -> bool {
        let Some(swept) = swept else { return true };
        let share = (day_limit / SWEEP_SHARE).max(1);
        let seconds = swept.pages.saturating_mul(86_400) / share;
        let earned = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        swept.at.checked_add(interval.max(earned)).is_ok_and(|due| now >= due)
    }
}

impl Progress {
    /// After a poll: takes up the sweep that is under way, or begins one that is due.
    pub fn begin_sweep(&mut self, now: Timestamp, since: Option<Timestamp>, day_limit: u64) {
        if self.sweep.is_none() {
            let list = if Swept::is_due(self.seldom, now, SELDOM, day_limit) {
                Some(List::Recent)
            } else if Swept::is_due(self.often, now, OFTEN, day_limit) {
                Some(List::Cancelled)
            } else {
                None
            };
            self.sweep = list.map(|list| Walk::new(list, reach(now, since)));
        }
        self.turns = if self.sweep.is_some() { SWEPT_PAGES_PER_POLL } else { 0 };
    }

    /// After a page of a sweep: where the sweeps go on.
    pub fn take_turn(&mut self, walk: &Walk, next: Option<Walk>, now: Timestamp, since: Option<Timestamp>) {
        let pages = walk.pages.saturating_add(1);
        self.turns = self.turns.saturating_sub(1);
        self.sweep = next;
        if self.sweep.is_some() {
            return;
        }
        match walk.list {
            // Both count as one sweep, and the pages of both.
            List::Cancelled => {
                self.sweep = Some(Walk { pages, ..Walk::new(List::Open, reach(now, since)) });
            }
            List::Open => self.often = Some(Swept::now(now, pages)),
            // It holds what the others would show.
            List::Recent => {
                self.seldom = Some(Swept::now(now, pages));
                self.often = Some(Swept { at: now, pages: self.often.map_or(1, |often| often.pages) });
            }
            List::Changed | List::Placed => {}
        }
        if self.sweep.is_none() {
            self.turns = 0;
        }
    }

    /// Lets sweeps rest until after the next poll: what was read of them stays read.
    pub fn rest(&mut self) {
        self.turns = 0;
    }
}

/// From when on sweeps look: never behind the history that the merchant asked for.
fn reach(now: Timestamp, since: Option<Timestamp>) -> Timestamp {
    let reach = now.checked_sub(SignedDuration::from_hours(24 * i64::from(SWEPT_DAYS))).unwrap_or(now);
    since.map_or(reach, |since| since.max(reach))
}

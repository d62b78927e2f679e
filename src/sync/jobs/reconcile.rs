//! Compares days with what the platform says of them: which orders were placed, and which of them are here. What is
//! missing is fetched and goes the way of every order. A day is the merchant's, by the time of placing.
//!
//! Each run takes one page of one day, so that it goes on after a restart and leaves room for everything else; the
//! calls are bulk work, unless somebody waits for a few days. The cursor of the polls is never touched, and a day is compared only where the polls are
//! past it: before that, what is missing is merely on its way.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Job, Ran, history_start};
use crate::channels::error::ChannelError;
use crate::channels::registry;
use crate::channels::{OrderSource, PlacedWindow, Received};
use crate::clock::shifted;
use crate::domain::connection::Connection;
use crate::domain::plan::{EventKind, NewEvent};
use crate::store::connections::{self, StreamUpdate};
use crate::store::reconciliation::{self, Counts, ReconciledDay};
use crate::store::{WriteLane, events};
use crate::sync::{Engine, EngineError};

/// Days before today that are compared once a day: late orders and late answers settle in this time.
const RECENT_DAYS: i32 = 3;
/// Days before today that are compared at least once, however long the program did not run.
const LOOK_BACK_DAYS: i32 = 30;
/// A day that somebody asks for before it is over is compared up to so long ago: lists lag behind orders.
const SETTLE: SignedDuration = SignedDuration::from_mins(10);
/// So many days that somebody asked for are compared at once; more are bulk work.
const AWAITED_DAYS_MAX: usize = 7;
/// Between two looks for a day that is due.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The same while the first import runs, or somebody waits for a day that the polls are not past yet.
const WAITING_INTERVAL: Duration = Duration::from_secs(60);
/// Missing orders that are fetched before they are written.
const FETCHED_AT_ONCE: usize = 20;
/// A day whose later pages the platform refuses begins anew so often before that is an error.
const RESTARTS_MAX: u32 = 3;
/// Who is written as the actor.
const ACTOR: &str = "reconciliation";

/// A day that is being compared: what a restart goes on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Walk {
    day: Date,
    /// When its first page was listed: whoever asks for the day later gets it compared once more.
    started_at: Timestamp,
    from: Timestamp,
    until: Timestamp,
    /// True where somebody waits for it.
    is_awaited: bool,
    /// The platform's next page; none for the first.
    next: Option<String>,
    /// Ids on the pages that were compared.
    platform: i64,
    /// Of them, those that are held.
    held: i64,
    /// Of them, those that are here and cannot be read.
    parked: i64,
    /// Those that were missing and were fetched.
    fetched: i64,
    /// Those that are still missing.
    lacking: i64,
    /// How often the day began anew.
    restarts: u32,
}

impl Walk {
    fn window(&self) -> PlacedWindow {
        PlacedWindow { from: self.from, until: self.until, is_bulk: !self.is_awaited }
    }

    /// The same day from its first page on. What was fetched stays fetched.
    fn anew(self) -> Self {
        let restarts = self.restarts.saturating_add(1);
        Self { next: None, platform: 0, held: 0, parked: 0, lacking: 0, restarts, ..self }
    }
}

/// Days that somebody can ask for lie at most so far back: two years, as far as Amazon goes.
pub(in crate::sync) const ASKED_DAYS_BACK_MAX: i64 = 731;
/// Rows of days that are looked at.
const ROWS_MAX: u32 = 1_000;

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let (id, now, zone) = (connection.id, engine.now(), engine.store().zone().clone());
    let today = now.to_zoned(zone.clone()).date();
    let oldest = today.checked_sub(jiff::Span::new().days(ASKED_DAYS_BACK_MAX)).unwrap_or(Date::MIN);
    let polls = poll_stream(connection);
    let (own, polled, days) = engine
        .store()
        .read(move |read| {
            let own = connections::stream(read, id, Job::Reconcile.stream())?;
            let polled = connections::stream(read, id, polls)?;
            Ok((own, polled, reconciliation::days(read, id, oldest, ROWS_MAX)?))
        })
        .await?;
    let is_anybody_waiting = days.iter().any(ReconciledDay::is_asked);
    let under_way = own
        .and_then(|state| serde_json::from_str::<Walk>(&state.cursor_json).ok())
        // What runs by schedule steps aside; it begins anew.
        .filter(|walk| walk.is_awaited || walk.fetched > 0 || !is_anybody_waiting);
    let place = Place {
        zone: &zone,
        now,
        since: history_start(connection),
        complete_until: polled.and_then(|state| state.complete_until),
    };
    let Some(walk) = under_way.or_else(|| next_day(&days, &place)) else {
        let is_soon = is_anybody_waiting || place.complete_until.is_none();
        return Ok(Ran::Idle(if is_soon { WAITING_INTERVAL } else { INTERVAL }));
    };
    let is_awaited = walk.is_awaited;
    let interval_min = compare_page(engine, connection, walk).await?;
    // What nobody waits for is spread, so that the quota is there when somebody does.
    Ok(if is_awaited { Ran::Again } else { Ran::Until(interval_min) })
}

/// The stream of the polls that bring a connection's orders.
fn poll_stream(connection: &Connection) -> &'static str {
    let is_shop = registry::channel(&connection.channel).is_some_and(|info| info.is_shop);
    if is_shop { Job::PollShop.stream() } else { Job::PollOrders.stream() }
}

/// What decides which day is due.
struct Place<'a> {
    zone: &'a TimeZone,
    now: Timestamp,
    /// Orders placed before are not wanted here.
    since: Option<Timestamp>,
    /// The polls are past this.
    complete_until: Option<Timestamp>,
}

/// A day as a window, without what was placed before the connection's history begins and what is too fresh to be
/// listed; none where nothing of it is left.
pub(in crate::sync) fn day_window(
    day: Date,
    zone: &TimeZone,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Option<PlacedWindow> {
    let from = day.to_zoned(zone.clone()).ok()?.timestamp();
    let until = day.tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp();
    let from = since.map_or(from, |since| since.max(from));
    let until = until.min(shifted(now, -SETTLE));
    (from < until).then_some(PlacedWindow { from, until, is_bulk: true })
}

/// The day that is compared next: first what somebody asked for, then the newest.
fn next_day(days: &[ReconciledDay], place: &Place<'_>) -> Option<Walk> {
    let today = place.now.to_zoned(place.zone.clone()).date();
    let asked: Vec<Date> = days.iter().filter(|known| known.is_asked()).map(|known| known.day).collect();
    let is_few = asked.len() <= AWAITED_DAYS_MAX;
    let before = |ago: i32| today.checked_sub(jiff::Span::new().days(ago)).ok();
    let is_due = |ago: i32, day: &Date| {
        let checked_at = days.iter().find(|known| known.day == *day).and_then(|known| known.checked_at);
        match checked_at {
            None => true,
            Some(at) => ago <= RECENT_DAYS && at.to_zoned(place.zone.clone()).date() < today,
        }
    };
    let by_schedule = (1..=LOOK_BACK_DAYS)
        .filter_map(|ago| before(ago).filter(|day| is_due(ago, day)))
        // Just after midnight the day's last minutes are too fresh.
        .filter(|_| shifted(place.now, -SETTLE).to_zoned(place.zone.clone()).date() == today);
    let asked = asked.into_iter().map(|day| (day, is_few));
    asked.chain(by_schedule.map(|day| (day, false))).find_map(|(day, is_awaited)| {
        let window = day_window(day, place.zone, place.since, place.now)?;
        let is_polled = place.complete_until.is_some_and(|until| until >= window.until);
        is_polled.then_some(Walk {
            day,
            started_at: place.now,
            from: window.from,
            until: window.until,
            is_awaited,
            next: None,
            platform: 0,
            held: 0,
            parked: 0,
            fetched: 0,
            lacking: 0,
            restarts: 0,
        })
    })
}

/// Lists a page, fetches what is missing of it, and keeps how far it came. The answer is the shortest time to the next
/// call that the platform's quota pays for in the long run.
async fn compare_page(
    engine: &Engine,
    connection: &Connection,
    mut walk: Walk,
) -> Result<Duration, EngineError> {
    let id = connection.id;
    let connector = engine.connector(id)?;
    let source = connector
        .order_source()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} gives no orders", connection.channel) })?;
    let interval_min = source.poll_interval_min();
    let listed = match source.placed_orders(walk.window(), walk.next.as_deref()).await {
        // The platform no longer takes the page: the day begins anew.
        Err(ChannelError::Reject { message, .. }) if walk.next.is_some() && walk.restarts < RESTARTS_MAX => {
            tracing::warn!(connection.id = id.0, "the comparison of {} begins anew: {message}", walk.day);
            save(engine, connection, &walk.anew()).await?;
            return Ok(interval_min);
        }
        listed => listed?,
    };
    let ids = listed.external_ids;
    let wanted = ids.clone();
    let known = engine.store().read(move |read| reconciliation::known(read, id, &wanted)).await?;
    let missing: Vec<&String> = ids.iter().filter(|id| !known.has(id)).collect();
    let lacking = fetch(engine, connection, source, &missing, &mut walk).await?;
    walk.lacking += lacking;
    walk.platform += count(ids.len());
    let known = engine.store().read(move |read| reconciliation::known(read, id, &ids)).await?;
    walk.held += count(known.held.len());
    walk.parked += count(known.parked.difference(&known.held).count());
    walk.next = listed.next;
    match walk.next {
        Some(_) => save(engine, connection, &walk).await?,
        None => finish(engine, connection, walk).await?,
    }
    Ok(interval_min)
}

/// Fetches missing orders one by one and brings them in. The answer is how many the platform did not give.
async fn fetch(
    engine: &Engine,
    connection: &Connection,
    source: &dyn OrderSource,
    missing: &[&String],
    walk: &mut Walk,
) -> Result<i64, EngineError> {
    let mut lacking = 0;
    for ids in missing.chunks(FETCHED_AT_ONCE) {
        let mut found: Vec<Received> = Vec::with_capacity(ids.len());
        for id in ids {
            match source.order(id).await {
                Ok(Some(received)) => found.push(received),
                Ok(None) | Err(ChannelError::Reject { .. }) => lacking += 1,
                Err(error) => return Err(error.into()),
            }
        }
        walk.fetched += count(found.len());
        let update = stream_update(engine, walk);
        engine.import(connection, source, found, Some(update), ACTOR).await?;
    }
    Ok(lacking)
}

/// The day is through: what came out, and a word on the connection's timeline where there was a gap.
async fn finish(engine: &Engine, connection: &Connection, walk: Walk) -> Result<(), EngineError> {
    let (id, now, started_at) = (connection.id, engine.now(), walk.started_at);
    let missing = walk.fetched + walk.lacking;
    let text = (missing > 0).then(|| {
        format!(
            "{} has {} orders of {}; {missing} of them were not here, and {} were fetched.",
            connection.alias, walk.platform, walk.day, walk.fetched
        )
    });
    let done = StreamUpdate { cursor_json: "{}".to_owned(), ..stream_update(engine, &walk) };
    engine
        .store()
        .write(WriteLane::Bulk, move |tx| {
            let held = reconciliation::held_count(tx, id, walk.from, walk.until)?;
            let counts = Counts {
                platform: walk.platform,
                held: walk.held,
                parked: walk.parked,
                missing,
                fetched: walk.fetched,
                only_here: (held - walk.held).max(0),
            };
            reconciliation::save(tx, id, walk.day, &counts, started_at)?;
            if let Some(text) = &text {
                let event = NewEvent::new(EventKind::Reconciled, text.clone());
                events::add(tx, None, Some(id), &event, ACTOR, None, now)?;
            }
            connections::save_stream(tx, id, &done)
        })
        .await?;
    Ok(())
}

async fn save(engine: &Engine, connection: &Connection, walk: &Walk) -> Result<(), EngineError> {
    let (id, update) = (connection.id, stream_update(engine, walk));
    engine.store().write(WriteLane::Bulk, move |tx| connections::save_stream(tx, id, &update)).await?;
    Ok(())
}

fn stream_update(engine: &Engine, walk: &Walk) -> StreamUpdate {
    StreamUpdate {
        stream: Job::Reconcile.stream().to_owned(),
        cursor_json: serde_json::to_string(walk).unwrap_or_else(|_| "{}".to_owned()),
        complete_since: None,
        complete_until: None,
        remaining: None,
        success_at: engine.now(),
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ConnectionId;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn checked(day: &str, at: Option<Timestamp>, asked: Option<Timestamp>) -> ReconciledDay {
        let day = day.parse().unwrap();
        ReconciledDay { connection: ConnectionId(1), day, asked_at: asked, checked_at: at, counts: None }
    }

    fn next(days: &[ReconciledDay], now: &str, since: &str, complete_until: &str) -> Option<String> {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let place = Place {
            zone: &zone,
            now: at(now),
            since: Some(at(since)),
            complete_until: Some(at(complete_until)),
        };
        next_day(days, &place).map(|walk| format!("{} {} {}", walk.day, walk.from, walk.until))
    }

    #[test]
    fn the_newest_day_that_was_not_compared_is_next() {
        let (now, since) = ("2026-03-10T09:00:00Z", "2026-03-05T12:00:00Z");
        let mut days = Vec::new();
        let mut compared = Vec::new();
        while let Some(found) = next(&days, now, since, now) {
            let day = found.split(' ').next().unwrap().to_owned();
            days.push(checked(&day, Some(at(now)), None));
            compared.push(found);
        }
        let first = "2026-03-09 2026-03-08T23:00:00Z 2026-03-09T23:00:00Z";
        let last = "2026-03-05 2026-03-05T12:00:00Z 2026-03-05T23:00:00Z";
        assert_eq!((compared.len(), compared[0].as_str(), compared[4].as_str()), (5, first, last));
        let tomorrow = next(&days, "2026-03-11T09:00:00Z", since, "2026-03-11T09:00:00Z").unwrap();
        assert!(tomorrow.starts_with("2026-03-10"), "{tomorrow}");
        days.push(checked("2026-03-10", Some(at("2026-03-11T09:00:00Z")), None));
        let again = next(&days, "2026-03-11T09:00:00Z", since, "2026-03-11T09:00:00Z").unwrap();
        assert!(again.starts_with("2026-03-09"), "recent days are compared once more: {again}");
    }

    #[test]
    fn a_day_waits_until_the_polls_are_past_it() {
        let (now, since) = ("2026-03-10T09:00:00Z", "2026-03-09T00:00:00Z");
        assert_eq!(next(&[], now, since, "2026-03-09T22:59:59Z"), None);
        assert!(next(&[], now, since, "2026-03-09T23:00:00Z").is_some());
        assert_eq!(next(&[], now, now, now), None, "nothing before the connection's history is compared");
        assert_eq!(next(&[], "2026-03-09T23:05:00Z", since, now), None, "its last minutes are too fresh");
    }

    #[test]
    fn what_somebody_asked_for_comes_first_and_today_up_to_a_moment_ago() {
        let (now, since) = ("2026-03-10T09:00:00Z", "2026-01-01T00:00:00Z");
        let asked = checked("2026-01-20", Some(at("2026-02-01T00:00:00Z")), Some(at("2026-03-10T08:59:00Z")));
        assert!(next(&[asked], now, since, now).unwrap().starts_with("2026-01-20"));
        let today = checked("2026-03-10", None, Some(at(now)));
        let found = next(&[today], now, since, now);
        assert_eq!(found.as_deref(), Some("2026-03-10 2026-03-09T23:00:00Z 2026-03-10T08:50:00Z"));
    }
}

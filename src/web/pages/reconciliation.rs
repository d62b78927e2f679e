//! A connection's days compared with its platform, times that were read again, and what happened on it.

use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{Shell, Visit, done};
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use crate::store::connections::{self, StreamState};
use crate::store::events::{self, EventRow};
use crate::store::reconciliation::{self, ReconciledDay};
use crate::store::replays::{self, Replay};
use crate::store::{Read, StoreError};
use crate::web::auth::{CanManage, CanReadOrders, CanWorkOrders, Signed};
use crate::web::error::{self, WebError};
use crate::web::shown::{self, Badge, Moment};
use crate::web::{AppState, routes};

/// Days that are shown.
const DAYS_MAX: u32 = 92;
/// Replays that are shown.
const REPLAYS_MAX: u32 = 10;
/// Events that are shown.
const EVENTS_MAX: u32 = 20;
/// The streams whose failures are shown here.
const STREAMS: [&str; 2] = ["reconciliation", "replay"];

#[derive(Template)]
#[template(path = "pages/reconciliation.html", config = ".askama.toml")]
struct ReconciliationPage {
    shell: Shell,
    alias: String,
    connection: String,
    today: String,
    yesterday: String,
    now: String,
    may_work: bool,
    may_manage: bool,
    view: View,
}

#[derive(Template)]
#[template(path = "parts/reconciliation_state.html", config = ".askama.toml")]
struct ReconciliationPart {
    view: View,
}

/// What changes while the page is open.
struct View {
    address: String,
    errors: Vec<String>,
    days: Vec<DayView>,
    replays: Vec<ReplayView>,
    events: Vec<(Moment, String, String)>,
}

struct DayView {
    day: String,
    badge: Badge,
    counts: Option<reconciliation::Counts>,
    checked: Option<Moment>,
}

struct ReplayView {
    from: Moment,
    asked: Moment,
    badge: Badge,
    replay: Replay,
}

/// What the store says.
struct Held {
    connection: Option<Connection>,
    streams: Vec<StreamState>,
    days: Vec<ReconciledDay>,
    replays: Vec<Replay>,
    events: Vec<EventRow>,
}

/// The form that compares days.
#[derive(Debug, Deserialize)]
pub struct DaysForm {
    from: String,
    to: String,
}

/// The form that reads a time again.
#[derive(Debug, Deserialize)]
pub struct ReplayForm {
    from: String,
}

/// The page.
///
/// # Errors
/// Where there is no such connection.
pub async fn show(
    who: Signed<CanReadOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    let id = *id;
    let held = state.store.read(move |read| held(read, id)).await?;
    let connection = held.connection.clone().ok_or_else(|| WebError::no_connection(id))?;
    let view = view(held, id, &state.zone);
    if visit.wants_fragment {
        return error::html(&ReconciliationPart { view });
    }
    let now = state.clock.now().to_zoned(state.zone.clone());
    visit.page(&ReconciliationPage {
        shell: visit.shell(&who, format!("Reconciliation of {}", connection.alias), "connections"),
        alias: connection.alias,
        connection: routes::connection(id),
        today: now.date().to_string(),
        yesterday: now.date().yesterday().unwrap_or(Date::MIN).to_string(),
        now: now.strftime("%Y-%m-%dT%H:%M").to_string(),
        may_work: who.role().may_work_orders(),
        may_manage: who.role().may_manage(),
        view,
    })
}

/// Compares days.
///
/// # Errors
/// Where it cannot be done.
pub async fn compare(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    form: web::Form<DaysForm>,
) -> Result<HttpResponse, WebError> {
    let day = |text: &str| {
        text.parse::<Date>()
            .map_err(|_| WebError::invalid("invalid_day", format!("“{text}” is no day: write 2026-03-01.")))
    };
    let (from, to) = (day(&form.from)?, day(&form.to)?);
    let notice = state.engine.reconcile(*id, from, to, who.actor()).await.map_err(WebError::Refused)?;
    done(&routes::reconciliation(*id), &notice)
}

/// Reads a time again.
///
/// # Errors
/// Where it cannot be done.
pub async fn replay(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    form: web::Form<ReplayForm>,
) -> Result<HttpResponse, WebError> {
    let invalid =
        || WebError::invalid("invalid_time", format!("“{}” is no time: write 2026-03-01T14:30.", form.from));
    let from: DateTime = form.from.parse().map_err(|_| invalid())?;
    let from = from.to_zoned(state.zone.clone()).map_err(|_| invalid())?.timestamp();
    let notice = state.engine.replay_from(*id, from, who.actor()).await.map_err(WebError::Refused)?;
    done(&routes::reconciliation(*id), &notice)
}

fn held(read: &Read<'_>, id: ConnectionId) -> Result<Held, StoreError> {
    let connection = connections::get(read, id)?;
    let mut streams = Vec::new();
    for name in STREAMS {
        streams.extend(connections::stream(read, id, name)?);
    }
    Ok(Held {
        connection,
        streams,
        days: reconciliation::days(read, id, Date::MIN, DAYS_MAX)?,
        replays: replays::of_connection(read, id, REPLAYS_MAX)?,
        events: events::of_connection(read, id, EVENTS_MAX)?,
    })
}

fn view(held: Held, id: ConnectionId, zone: &TimeZone) -> View {
    let events = held.events.into_iter();
    View {
        address: routes::reconciliation(id),
        errors: held.streams.into_iter().filter_map(|stream| stream.last_error).collect(),
        days: held.days.iter().map(|day| day_view(day, zone)).collect(),
        replays: held.replays.into_iter().map(|replay| replay_view(replay, zone)).collect(),
        events: events.map(|event| (shown::moment(event.at, zone), event.text, event.actor)).collect(),
    }
}

fn day_view(day: &ReconciledDay, zone: &TimeZone) -> DayView {
    let badge = match day.counts {
        _ if day.is_asked() => Badge { text: "Waiting", tone: "wait" },
        None => Badge { text: "Not compared", tone: "calm" },
        Some(counts) if counts.gap() > 0 => Badge { text: "Orders missing", tone: "bad" },
        Some(counts) if counts.missing > 0 => Badge { text: "Gap closed", tone: "good" },
        Some(_) => Badge { text: "Complete", tone: "good" },
    };
    DayView {
        day: day.day.to_string(),
        badge,
        counts: day.counts,
        checked: day.checked_at.map(|at| shown::moment(at, zone)),
    }
}

fn replay_view(replay: Replay, zone: &TimeZone) -> ReplayView {
    let badge = match replay.finished_at {
        Some(_) => Badge { text: "Finished", tone: "good" },
        None => Badge { text: "Running", tone: "wait" },
    };
    let (from, asked) = (shown::moment(replay.from, zone), shown::moment(replay.asked_at, zone));
    ReplayView { from, asked, badge, replay }
}

//! All connections and how they are doing.

use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Shell, Visit, done};
use crate::channels::registry::{self, CHANNELS};
use crate::domain::connection::{Connection, ConnectionState, deadlines};
use crate::store::incidents::{self, Incident};
use crate::store::orders::{self, ParkedPayload};
use crate::store::{StoreError, WriteLane, connections};
use crate::web::auth::{CanReadOrders, CanWorkOrders, Signed};
use crate::web::engine::{ConnectionStatus, ImportProgress};
use crate::web::error::{self, WebError};
use crate::web::shown::{self, Badge, Moment};
use crate::web::{AppState, routes};

/// Orders that could not be read, as many as are listed.
const PARKED_MAX: u32 = 20;

#[derive(Template)]
#[template(path = "pages/connections.html", config = ".askama.toml")]
struct ConnectionsPage {
    shell: Shell,
    may_manage: bool,
    may_work: bool,
    incidents: Vec<IncidentView>,
    parked: Vec<ParkedView>,
    connections: Vec<ConnectionView>,
    channels: Vec<ChannelView>,
}

#[derive(Template)]
#[template(path = "parts/connection_list.html", config = ".askama.toml")]
struct ConnectionsPart {
    may_manage: bool,
    may_work: bool,
    connections: Vec<ConnectionView>,
}

/// Something that went wrong in the world and stays until somebody closes it.
struct IncidentView {
    close: String,
    text: String,
    next_step: String,
    since: Moment,
    order: Option<String>,
}

/// An order that arrived and could not be read.
struct ParkedView {
    external_id: String,
    alias: String,
    what: String,
    at: Moment,
}

struct ChannelView {
    address: String,
    title: &'static str,
    what: &'static str,
}

/// A connection and how it is doing, as a card.
pub(super) struct ConnectionView {
    pub(super) address: String,
    pub(super) alias: String,
    pub(super) channel: String,
    pub(super) channel_title: String,
    pub(super) letter: String,
    pub(super) account: String,
    pub(super) shop: Option<String>,
    pub(super) state: Badge,
    pub(super) since: String,
    pub(super) note: String,
    pub(super) is_paused: bool,
    pub(super) lag: String,
    pub(super) last_success: Option<(Moment, String)>,
    pub(super) next_run: String,
    pub(super) last_error: String,
    pub(super) quota: Vec<(String, String)>,
    pub(super) progress: Option<ProgressView>,
    pub(super) deadlines: Vec<DeadlineView>,
}

/// What stops working on a day unless somebody acts (FEATURES A3).
pub(super) struct DeadlineView {
    /// What ends when, as a sentence.
    pub(super) text: String,
    pub(super) next_step: &'static str,
    pub(super) is_near: bool,
}

/// The import of history.
pub(super) struct ProgressView {
    pub(super) done: u64,
    pub(super) estimate: Option<u64>,
}

/// The list.
///
/// # Errors
/// Where the store does not answer.
pub async fn list(
    who: Signed<CanReadOrders>,
    visit: Visit,
    state: web::Data<AppState>,
) -> Result<HttpResponse, WebError> {
    let (all, open, parked) = state
        .store
        .read(|read| {
            Ok((connections::all(read)?, incidents::open_incidents(read)?, orders::parked(read, PARKED_MAX)?))
        })
        .await?;
    let now = state.clock.now();
    let views = all
        .iter()
        .map(|connection| {
            let status = state.engine.connection_status(connection.id);
            view(connection, &all, status, &state.zone, now)
        })
        .collect();
    let (may_manage, may_work) = (who.role().may_manage(), who.role().may_work_orders());
    if visit.wants_fragment {
        return error::html(&ConnectionsPart { may_manage, may_work, connections: views });
    }
    visit.page(&ConnectionsPage {
        shell: visit.shell(&who, "Connections", "connections"),
        may_manage,
        may_work,
        incidents: open.iter().map(|incident| incident_view(incident, &state.zone)).collect(),
        parked: parked.iter().map(|one| parked_view(one, &all, &state.zone)).collect(),
        connections: views,
        channels: CHANNELS
            .iter()
            .map(|info| ChannelView {
                address: routes::connection_new(info.name),
                title: info.title,
                what: if info.is_shop { "Shop" } else { "Marketplace" },
            })
            .collect(),
    })
}

/// Closes an incident: somebody has dealt with it. Safe to repeat.
///
/// # Errors
/// Where the store does not answer.
pub async fn close_incident(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<i64>,
) -> Result<HttpResponse, WebError> {
    let (id, now, actor) = (*id, state.clock.now(), who.actor().to_owned());
    let closed =
        state.store.write(WriteLane::Interactive, move |tx| incidents::close(tx, id, &actor, now)).await;
    match closed {
        // Somebody else was faster.
        Ok(()) | Err(StoreError::NotFound) => done(routes::CONNECTIONS, "The incident is closed."),
        Err(error) => Err(error.into()),
    }
}

fn parked_view(parked: &ParkedPayload, all: &[Connection], zone: &TimeZone) -> ParkedView {
    let connection = all.iter().find(|connection| connection.id == parked.connection);
    ParkedView {
        external_id: parked
            .external_id
            .clone()
            .unwrap_or_else(|| "An order without a readable id".to_owned()),
        alias: connection.map(|connection| connection.alias.clone()).unwrap_or_default(),
        what: format!("{}: {}", parked.place, parked.what),
        at: shown::moment(parked.parked_at, zone),
    }
}

fn incident_view(incident: &Incident, zone: &TimeZone) -> IncidentView {
    IncidentView {
        close: routes::incident_close(incident.incident_id),
        text: incident.what.text.clone(),
        next_step: incident.what.next_step.clone(),
        since: shown::moment(incident.opened_at, zone),
        order: incident.what.order_no.map(routes::order),
    }
}

/// A connection as a card.
pub(super) fn view(
    connection: &Connection,
    all: &[Connection],
    status: ConnectionStatus,
    zone: &TimeZone,
    now: Timestamp,
) -> ConnectionView {
    let (channel_title, letter) = shown::channel(&connection.channel);
    let shop = connection.settings.shop.and_then(|id| all.iter().find(|other| other.id == id));
    let is_paused = connection.state == ConnectionState::Paused;
    ConnectionView {
        address: routes::connection(connection.id),
        alias: connection.alias.clone(),
        channel: connection.channel.to_string(),
        channel_title,
        letter,
        account: connection.account.clone(),
        shop: shop.map(|shop| shop.alias.clone()),
        state: shown::connection_state(connection.state),
        since: shown::moment(connection.state_since, zone).text,
        note: connection.state_note.clone().unwrap_or_default(),
        is_paused,
        lag: status.lag.map(shown::span).unwrap_or_default(),
        last_success: status.last_success_at.map(|at| (shown::moment(at, zone), shown::from_now(at, now))),
        next_run: match status.next_run_at {
            _ if is_paused => "when it is resumed".to_owned(),
            Some(at) if at > now => shown::from_now(at, now),
            Some(_) => "now".to_owned(),
            None => "not planned".to_owned(),
        },
        last_error: status.last_error.unwrap_or_default(),
        quota: status.quota.into_iter().map(|line| (line.operation, line.left)).collect(),
        deadlines: deadline_views(connection, now.to_zoned(zone.clone()).date()),
        progress: status.progress.map(|ImportProgress { done, estimate }| ProgressView { done, estimate }),
    }
}

/// A deadline is shown as a warning so many days before.
const WARNING_DAYS: i32 = 14;

/// What ends soon, or has ended.
pub(super) fn near_deadlines(connection: &Connection, today: Date) -> Vec<DeadlineView> {
    deadline_views(connection, today).into_iter().filter(|deadline| deadline.is_near).collect()
}

fn deadline_views(connection: &Connection, today: Date) -> Vec<DeadlineView> {
    let life = registry::channel(&connection.channel).map(|info| info.life).unwrap_or_default();
    deadlines(&connection.settings, life, today)
        .into_iter()
        .map(|deadline| DeadlineView {
            text: match deadline.days_left {
                ..0 => format!("{} ended on {}.", deadline.what, deadline.on),
                0 => format!("{} ends today.", deadline.what),
                days => format!("{} ends on {}, in {days} days.", deadline.what, deadline.on),
            },
            next_step: deadline.next_step,
            is_near: deadline.days_left <= WARNING_DAYS,
        })
        .collect()
}

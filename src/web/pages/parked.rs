//! Payloads that could not be read yet: where each came from, why it cannot be read, and the buttons that try again.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::tz::TimeZone;

use super::{Shell, Visit, done};
use crate::domain::connection::Connection;
use crate::domain::id::{ConnectionId, PayloadId};
use crate::store::connections;
use crate::store::orders::{self, ParkedPayload};
use crate::web::auth::{CanReadOrders, CanWorkOrders, Signed};
use crate::web::engine::ParkedReplay;
use crate::web::error::WebError;
use crate::web::shown::{self, Moment};
use crate::web::{AppState, routes};

/// Payloads that are listed.
const ROWS_MAX: u32 = 200;

#[derive(Template)]
#[template(path = "pages/parked.html", config = ".askama.toml")]
struct ParkedPage {
    shell: Shell,
    may_work: bool,
    is_cut: bool,
    connections: Vec<ConnectionChoice>,
    rows: Vec<ParkedRow>,
}

/// A connection with parked payloads.
struct ConnectionChoice {
    alias: String,
    replay: String,
}

struct ParkedRow {
    external_id: String,
    alias: String,
    operation: &'static str,
    why: String,
    at: Moment,
    tried: Option<Moment>,
    address: String,
    replay: String,
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
    let (all, parked) =
        state.store.read(|read| Ok((connections::all(read)?, orders::parked(read, ROWS_MAX)?))).await?;
    let owners: BTreeMap<ConnectionId, String> =
        parked.iter().map(|one| (one.connection, alias(one.connection, &all))).collect();
    visit.page(&ParkedPage {
        shell: visit.shell(&who, "Parked payloads", "connections"),
        may_work: who.role().may_work_orders(),
        is_cut: u32::try_from(parked.len()).is_ok_and(|count| count >= ROWS_MAX),
        connections: owners
            .into_iter()
            .map(|(id, alias)| ConnectionChoice { alias, replay: routes::parked_replay_all(id) })
            .collect(),
        rows: parked.into_iter().map(|one| row(one, &all, &state.zone)).collect(),
    })
}

/// Reads one again.
///
/// # Errors
/// Where it cannot be done.
pub async fn replay(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<PayloadId>,
) -> Result<HttpResponse, WebError> {
    let replayed = state.engine.replay_parked_one(*id, who.actor()).await.map_err(WebError::Refused)?;
    done(routes::PARKED, &notice(replayed))
}

/// Reads all of a connection again.
///
/// # Errors
/// Where it cannot be done.
pub async fn replay_all(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    let replayed = state.engine.replay_parked_all(*id, who.actor()).await.map_err(WebError::Refused)?;
    done(routes::PARKED, &notice(replayed))
}

fn notice(replayed: ParkedReplay) -> String {
    match (replayed.read, replayed.still_parked) {
        (0, 0) => "Nothing was parked.".to_owned(),
        (0, _) => "It still cannot be read. It is kept and read again after an upgrade.".to_owned(),
        (read, 0) => format!("{read} read: in now."),
        (read, still) => format!("{read} read: in now. {still} still cannot be read."),
    }
}

fn alias(id: ConnectionId, all: &[Connection]) -> String {
    let known = all.iter().find(|connection| connection.id == id);
    known.map(|connection| connection.alias.clone()).unwrap_or_default()
}

fn row(parked: ParkedPayload, all: &[Connection], zone: &TimeZone) -> ParkedRow {
    ParkedRow {
        alias: alias(parked.connection, all),
        operation: shown::reading(parked.operation.as_deref()),
        why: format!("{}: {}", parked.place, parked.what),
        at: shown::moment(parked.parked_at, zone),
        tried: parked.tried_at.map(|at| shown::moment(at, zone)),
        address: routes::parked(parked.payload_id),
        replay: routes::parked_replay(parked.payload_id),
        external_id: parked.external_id.unwrap_or_else(|| "Without a readable id".to_owned()),
    }
}

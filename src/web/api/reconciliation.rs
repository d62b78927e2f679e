//! Days compared with the platform, and times that were read again.

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::connections::{one, parse};
use super::{Done, ListQuery, Page};
use crate::domain::id::ConnectionId;
use crate::store::reconciliation::{self, ReconciledDay};
use crate::store::replays::{self, Replay};
use crate::web::AppState;
use crate::web::auth::{CanManage, CanReadOrders, CanWorkOrders, Signed};
use crate::web::error::{self, WebError};

/// Days or replays that a list knows at most.
const ROWS_MAX: u32 = 1_000;

/// A day, by the time of placing in the merchant's zone. Counts are null until it was compared.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayBody {
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// Orders that the platform has of it.
    platform: Option<i64>,
    /// Of them, those that are held.
    held: Option<i64>,
    /// Of them, those that are here and cannot be read.
    parked: Option<i64>,
    /// Those that were not here when they were looked for.
    missing: Option<i64>,
    /// Of those, the ones that were fetched.
    fetched: Option<i64>,
    /// Orders that are held and that the platform does not list.
    only_here: Option<i64>,
    /// Whether somebody asked for it and it was not compared since.
    waiting: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    checked_at: Option<Timestamp>,
}

/// Days to compare.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DaysBody {
    /// The first day.
    #[schema(value_type = String, format = Date)]
    from: Date,
    /// The last day.
    #[schema(value_type = String, format = Date)]
    to: Date,
}

/// A reading of everything that the platform changed since a time.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayBody {
    replay_id: i64,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    asked_by: String,
    /// Orders read so far.
    read: i64,
    /// Of them, those that were not held.
    new: i64,
    /// Those that brought news.
    updated: i64,
    /// Those that said what was known.
    unchanged: i64,
    /// Those that could not be read.
    parked: i64,
    /// Null while it is under way.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
}

/// Since when to read again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayFromBody {
    /// Everything that the platform changed since then is read.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
}

/// The days of a connection, newest first.
///
/// # Errors
/// Where there is no such connection.
#[utoipa::path(get, path = "/api/v1/connections/{id}/reconciliation", responses((status = 200, body = Page<DayBody>)),
    params(("id" = i64, Path), ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)))]
pub async fn days(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let id = one(&state, *id).await?.id;
    let days = state.store.read(move |read| reconciliation::days(read, id, Date::MIN, ROWS_MAX)).await?;
    Ok(error::json(&super::page_of(days.iter().map(day_body).collect(), &query)?))
}

/// Compares days with what the platform says of them, as soon as its quota allows.
///
/// # Errors
/// Where it cannot be done.
#[utoipa::path(post, path = "/api/v1/connections/{id}/reconciliation", params(("id" = i64, Path)),
    request_body = DaysBody, responses((status = 200, body = Done)))]
pub async fn compare(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    input: web::Bytes,
) -> Result<HttpResponse, WebError> {
    let DaysBody { from, to } = parse(&input)?;
    let id = one(&state, *id).await?.id;
    let message = state.engine.reconcile(id, from, to, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&Done { message }))
}

/// The replays of a connection, newest first.
///
/// # Errors
/// Where there is no such connection.
#[utoipa::path(get, path = "/api/v1/connections/{id}/replay", responses((status = 200, body = Page<ReplayBody>)),
    params(("id" = i64, Path), ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)))]
pub async fn replays(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let id = one(&state, *id).await?.id;
    let all = state.store.read(move |read| replays::of_connection(read, id, ROWS_MAX)).await?;
    Ok(error::json(&super::page_of(all.into_iter().map(replay_body).collect(), &query)?))
}

/// Reads again everything that the platform changed since a time, beside the polls.
///
/// # Errors
/// Where it cannot be done.
#[utoipa::path(post, path = "/api/v1/connections/{id}/replay", params(("id" = i64, Path)),
    request_body = ReplayFromBody, responses((status = 200, body = Done)))]
pub async fn replay(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    input: web::Bytes,
) -> Result<HttpResponse, WebError> {
    let ReplayFromBody { from } = parse(&input)?;
    let id = one(&state, *id).await?.id;
    let message = state.engine.replay_from(id, from, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&Done { message }))
}

fn day_body(day: &ReconciledDay) -> DayBody {
    let counts = day.counts;
    DayBody {
        day: day.day,
        platform: counts.map(|counts| counts.platform),
        held: counts.map(|counts| counts.held),
        parked: counts.map(|counts| counts.parked),
        missing: counts.map(|counts| counts.missing),
        fetched: counts.map(|counts| counts.fetched),
        only_here: counts.map(|counts| counts.only_here),
        waiting: day.is_asked(),
        checked_at: day.checked_at,
    }
}

fn replay_body(replay: Replay) -> ReplayBody {
    ReplayBody {
        replay_id: replay.replay_id,
        from: replay.from,
        asked_at: replay.asked_at,
        asked_by: replay.asked_by,
        read: replay.read,
        new: replay.new,
        updated: replay.updated,
        unchanged: replay.unchanged,
        parked: replay.parked,
        finished_at: replay.finished_at,
    }
}

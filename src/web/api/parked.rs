//! Payloads that could not be read yet, and reading them again. Only roles that may see people get here: reasons and
//! payloads can name them.

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::connections::one;
use super::{ListQuery, Page};
use crate::domain::id::{ConnectionId, PayloadId};
use crate::store::connections;
use crate::store::orders::{self, ParkedPayload};
use crate::web::AppState;
use crate::web::auth::{CanReadOrders, CanWorkOrders, Signed};
use crate::web::engine::ParkedReplay;
use crate::web::error::{self, WebError};
use crate::web::pages::orders::connection_named;

/// Parked payloads that a list knows at most.
const ROWS_MAX: u32 = 5_000;

/// A payload that could not be read yet.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedBody {
    payload_id: i64,
    connection_id: i64,
    /// The platform's id of the order, if it could be found.
    external_id: Option<String>,
    /// The reading that brought it: `orders`, `shop_orders`, `reconciliation`, `replay`, or `order` for one alone.
    operation: Option<String>,
    /// The place that could not be read.
    place: String,
    /// What is wrong there.
    what: String,
    #[schema(value_type = String, format = DateTime)]
    parked_at: Timestamp,
    /// When it was read again last, in vain.
    #[schema(value_type = Option<String>, format = DateTime)]
    tried_at: Option<Timestamp>,
    /// As received; only where one payload is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// What reading parked payloads again came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedReplayBody {
    /// Payloads that are in now.
    read: usize,
    /// Payloads that still cannot be read.
    still_parked: usize,
}

/// Which parked payloads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ParkedQuery {
    connection: String,
}

/// Payloads that could not be read yet, newest first.
///
/// # Errors
/// Where a parameter is wrong.
#[utoipa::path(get, path = "/api/v1/parked", responses((status = 200, body = Page<ParkedBody>)), params(
    ("connection" = Option<String>, Query), ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)))]
pub async fn list(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    wanted: web::Query<ParkedQuery>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let wanted = wanted.into_inner();
    let found = state
        .store
        .read(move |read| {
            let connection = match connection_named(&wanted.connection, &connections::all(read)?) {
                Ok(connection) => connection,
                Err(error) => return Ok(Err(error)),
            };
            Ok(Ok(orders::parked_of(read, connection, ROWS_MAX)?))
        })
        .await??;
    Ok(error::json(&super::page_of(found.into_iter().map(|one| body(one, None)).collect(), &query)?))
}

/// One parked payload, as received.
///
/// # Errors
/// Where it is not parked.
#[utoipa::path(get, path = "/api/v1/parked/{payload}", params(("payload" = i64, Path)),
    responses((status = 200, body = ParkedBody)))]
pub async fn get(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    id: web::Path<PayloadId>,
) -> Result<HttpResponse, WebError> {
    let id = *id;
    let found = state
        .store
        .read(move |read| Ok((orders::parked_one(read, id)?, orders::payload(read, id, true)?)))
        .await?;
    let (Some(parked), payload) = found else { return Err(WebError::no_parked(id)) };
    Ok(error::json(&body(parked, payload)))
}

/// Reads one parked payload again, together with the others of its order.
///
/// # Errors
/// Where it cannot be done.
#[utoipa::path(post, path = "/api/v1/parked/{payload}/replay", params(("payload" = i64, Path)),
    responses((status = 200, body = ParkedReplayBody)))]
pub async fn replay(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<PayloadId>,
) -> Result<HttpResponse, WebError> {
    let done = state.engine.replay_parked_one(*id, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&done_body(done)))
}

/// Reads every parked payload of a connection again.
///
/// # Errors
/// Where it cannot be done.
#[utoipa::path(post, path = "/api/v1/connections/{id}/parked/replay", params(("id" = i64, Path)),
    responses((status = 200, body = ParkedReplayBody)))]
pub async fn replay_all(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    let id = one(&state, *id).await?.id;
    let done = state.engine.replay_parked_all(id, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&done_body(done)))
}

fn body(parked: ParkedPayload, payload: Option<String>) -> ParkedBody {
    ParkedBody {
        payload_id: parked.payload_id.0,
        connection_id: parked.connection.0,
        external_id: parked.external_id,
        operation: parked.operation,
        place: parked.place,
        what: parked.what,
        parked_at: parked.parked_at,
        tried_at: parked.tried_at,
        payload,
    }
}

fn done_body(done: ParkedReplay) -> ParkedReplayBody {
    ParkedReplayBody { read: done.read, still_parked: done.still_parked }
}

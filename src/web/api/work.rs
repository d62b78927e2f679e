//! What is owed, what went wrong, what the connections sell, and how it all stands.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ListQuery, Page};
use crate::domain::effect::Effect;
use crate::store::incidents::{self, Incident};
use crate::store::listings::{self, ListingRow};
use crate::store::{connections, effects, status as standing};
use crate::web::AppState;
use crate::web::auth::{AnyRole, CanReadOrders, Signed};
use crate::web::error::{self, WebError};
use crate::web::pages::orders::connection_named;

/// A listing.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListingBody {
    listing_id: i64,
    connection: String,
    channel: String,
    external_id: String,
    product_id: Option<String>,
    sku: Option<String>,
    title: Option<String>,
    quantity: Option<i64>,
    price_minor: Option<i64>,
    currency: Option<String>,
    fulfilled_by: &'static str,
}

/// Open work.
#[derive(Debug, Serialize, ToSchema)]
pub struct EffectBody {
    effect_id: i64,
    order_no: i64,
    kind: &'static str,
    revision: String,
    connection_id: i64,
    state: &'static str,
    attempts: u32,
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    reason: Option<&'static str>,
    what: Option<String>,
    next_step: Option<&'static str>,
}

/// An open incident.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncidentBody {
    incident_id: i64,
    connection_id: Option<i64>,
    order_no: Option<i64>,
    kind: String,
    text: String,
    next_step: String,
    #[schema(value_type = String, format = DateTime)]
    opened_at: Timestamp,
}

/// How it all stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusBody {
    installation: String,
    epoch: i64,
    /// Orders of the last 30 days by status.
    orders_by_status: BTreeMap<&'static str, i64>,
    /// Orders of the last 30 days by state in the shop, without history.
    orders_by_export_state: BTreeMap<&'static str, i64>,
    open_effects: Vec<EffectCount>,
    open_incidents: i64,
    parked: i64,
    #[schema(value_type = Option<String>, format = DateTime)]
    newest_import_at: Option<Timestamp>,
    streams: Vec<StreamBody>,
}

/// Open work of one kind and state.
#[derive(Debug, Serialize, ToSchema)]
pub struct EffectCount {
    kind: &'static str,
    state: &'static str,
    count: i64,
}

/// How far a stream is complete.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamBody {
    connection_id: i64,
    stream: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    complete_until: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success_at: Option<Timestamp>,
    last_error: Option<String>,
}

/// Which listings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListingsQuery {
    connection: String,
    q: String,
}

/// Listings, by number.
///
/// # Errors
/// Where a parameter is wrong.
#[utoipa::path(get, path = "/api/v1/listings", responses((status = 200, body = Page<ListingBody>)), params(
    ("connection" = Option<String>, Query), ("q" = Option<String>, Query),
    ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)))]
pub async fn listings(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    wanted: web::Query<ListingsQuery>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let limit = query.limit()?;
    let after = i64::try_from(query.offset()?).unwrap_or(i64::MAX);
    let row_count = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let wanted = wanted.into_inner();
    let (all, mut rows) = state
        .store
        .read(move |read| {
            let all = connections::all(read)?;
            let connection = match connection_named(&wanted.connection, &all) {
                Ok(connection) => connection,
                Err(error) => return Ok(Err(error)),
            };
            let rows = listings::page(read, connection, Some(&wanted.q), Some(after), row_count)?;
            Ok(Ok((all, rows)))
        })
        .await??;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| has_more).map(|row| row.listing_id.to_string());
    let data = rows.into_iter().map(|row| listing_body(row, &all)).collect();
    Ok(error::json(&Page { data, next_cursor }))
}

/// Open work.
///
/// # Errors
/// Where a parameter is wrong.
#[utoipa::path(get, path = "/api/v1/effects", responses((status = 200, body = Page<EffectBody>)))]
pub async fn effects(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let all = state.store.read(effects::open_effects).await?;
    Ok(error::json(&super::page_of(all.iter().map(effect_body).collect(), &query)?))
}

/// Open incidents.
///
/// # Errors
/// Where a parameter is wrong.
#[utoipa::path(get, path = "/api/v1/incidents", responses((status = 200, body = Page<IncidentBody>)))]
pub async fn incidents(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let all = state.store.read(incidents::open_incidents).await?;
    Ok(error::json(&super::page_of(all.into_iter().map(incident_body).collect(), &query)?))
}

/// How it all stands.
///
/// # Errors
/// Where the store does not answer.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = StatusBody)))]
pub async fn status(_who: Signed<AnyRole>, state: web::Data<AppState>) -> Result<HttpResponse, WebError> {
    let now = state.clock.now();
    let status = state.store.read(move |read| standing::status(read, now)).await?;
    let installation = state.store.installation();
    Ok(error::json(&StatusBody {
        installation: installation.id,
        epoch: installation.epoch,
        orders_by_status: status.by_status.iter().map(|(word, count)| (word.as_str(), *count)).collect(),
        orders_by_export_state: status
            .by_export
            .iter()
            .map(|(word, count)| (word.as_str(), *count))
            .collect(),
        open_effects: status
            .open_effects
            .iter()
            .map(|(kind, state, count)| EffectCount {
                kind: kind.as_str(),
                state: state.as_str(),
                count: *count,
            })
            .collect(),
        open_incidents: status.open_incident_count,
        parked: status.parked_count,
        newest_import_at: status.newest_import_at,
        streams: status
            .streams
            .into_iter()
            .map(|stream| StreamBody {
                connection_id: stream.connection.0,
                stream: stream.stream,
                complete_until: stream.complete_until,
                last_success_at: stream.last_success_at,
                last_error: stream.last_error,
            })
            .collect(),
    }))
}

fn listing_body(row: ListingRow, all: &[crate::domain::connection::Connection]) -> ListingBody {
    let connection = all.iter().find(|connection| connection.id == row.connection);
    ListingBody {
        listing_id: row.listing_id,
        connection: connection.map(|connection| connection.alias.clone()).unwrap_or_default(),
        channel: connection.map(|connection| connection.channel.to_string()).unwrap_or_default(),
        external_id: row.facts.external_id,
        product_id: row.facts.product_id,
        sku: row.facts.sku,
        title: row.facts.title,
        quantity: row.facts.quantity,
        price_minor: row.facts.price_minor,
        currency: row.facts.currency,
        fulfilled_by: row.facts.fulfilled_by.as_str(),
    }
}

fn effect_body(effect: &Effect) -> EffectBody {
    let reason = effect.reason.as_ref();
    EffectBody {
        effect_id: effect.id.0,
        order_no: effect.order_no.0,
        kind: effect.kind.as_str(),
        revision: effect.revision.clone(),
        connection_id: effect.connection.0,
        state: effect.state.as_str(),
        attempts: effect.attempts,
        due_at: effect.due_at,
        reason: reason.map(|reason| reason.code.as_str()),
        what: reason.map(crate::domain::reason::Reason::what),
        next_step: reason.map(crate::domain::reason::Reason::next_step),
    }
}

fn incident_body(incident: Incident) -> IncidentBody {
    IncidentBody {
        incident_id: incident.incident_id,
        connection_id: incident.what.connection.map(|id| id.0),
        order_no: incident.what.order_no.map(|no| no.0),
        kind: incident.what.kind,
        text: incident.what.text,
        next_step: incident.what.next_step,
        opened_at: incident.opened_at,
    }
}

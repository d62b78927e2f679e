//! Orders.

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, ListQuery, Page};
use crate::domain::effect::Verdict;
use crate::domain::id::{EffectId, OrderNo};
use crate::domain::refund::HeldMarketplaceRefund;
use crate::store::events::{self, EventRow};
use crate::store::orders::{self, OrderParts, OrderRow};
use crate::store::refunds::RefundRow;
use crate::store::shipments::ShipmentRow;
use crate::store::{Read, StoreError, connections};
use crate::web::AppState;
use crate::web::auth::{CanReadOrders, CanWorkOrders, Signed};
use crate::web::error::{self, WebError};
use crate::web::pages::address::{address, fields_of};
use crate::web::pages::orders::OrdersQuery;

/// Why an order waits.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonBody {
    /// Stable code.
    code: &'static str,
    /// What happened.
    what: String,
    /// What to do next.
    next_step: &'static str,
}

/// An order as the list tells of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderBody {
    order_no: i64,
    /// The connection's alias.
    connection: String,
    connection_id: i64,
    channel: String,
    external_id: String,
    /// `pending`, `open`, `part_shipped`, `shipped`, `cancelled`.
    status: &'static str,
    history: bool,
    /// Who ships: `seller`, or `platform` from its own warehouse.
    fulfilled_by: &'static str,
    /// `none`, `waiting`, `creating`, `created`, `failed`.
    export_state: &'static str,
    export_reason: Option<ReasonBody>,
    shop_order_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    imported_at: Timestamp,
    currency: String,
    total_minor: i64,
    #[schema(value_type = Option<String>, format = DateTime)]
    ship_by: Option<Timestamp>,
    unit_count: i64,
    lines: Vec<LineBody>,
    shipments: Vec<ShipmentBody>,
    /// What the buyer got back so far with tax: the greater of what the shop and what the marketplace gave back.
    refund_minor: i64,
    /// Refunds that were made in the shop.
    refunds: Vec<RefundBody>,
    /// Refunds that went through on the marketplace, where it tells of them.
    marketplace_refunds: Vec<MarketplaceRefundBody>,
}

/// A refund that was made in the shop.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundBody {
    shop_refund_id: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    refunded_at: Option<Timestamp>,
    /// What went back with tax.
    total_minor: i64,
    /// The marketplace's id of it, where it was asked to give it back.
    marketplace_refund_id: Option<String>,
    /// When the marketplace had given it back.
    #[schema(value_type = Option<String>, format = DateTime)]
    told_at: Option<Timestamp>,
    lines: Vec<RefundLineBody>,
}

/// A refund that went through on the marketplace, whoever asked for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct MarketplaceRefundBody {
    /// The marketplace's id of it; where it gives none, made of its time.
    refund_id: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    refunded_at: Option<Timestamp>,
    /// ISO 4217 code of its amounts; only what is in the order's currency counts.
    currency: &'static str,
    /// The marketplace's own amount: on eBay without the tax that it remits and gives back itself.
    told_minor: i64,
    /// What the buyer got back with tax.
    total_minor: i64,
    /// The refund in the shop that it was made for; null where it was made on the marketplace.
    shop_refund_id: Option<String>,
    /// Lines that the marketplace names.
    lines: Vec<MarketplaceRefundLineBody>,
}

/// What of a marketplace's refund is a line's.
#[derive(Debug, Serialize, ToSchema)]
pub struct MarketplaceRefundLineBody {
    line_id: String,
    total_minor: i64,
}

/// A line's share of a refund.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundLineBody {
    line_id: String,
    quantity: i64,
    quantity_cancelled: i64,
    item_minor: i64,
    shipping_minor: i64,
}

/// A position.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineBody {
    line_id: String,
    sku: Option<String>,
    product_id: Option<String>,
    title: String,
    quantity: i64,
    quantity_shipped: i64,
    quantity_cancelled: i64,
    #[schema(value_type = Option<String>)]
    unit_price: Option<rust_decimal::Decimal>,
    options: Option<String>,
    amounts: Vec<AmountBody>,
}

/// A typed amount.
#[derive(Debug, Serialize, ToSchema)]
pub struct AmountBody {
    kind: &'static str,
    amount_minor: i64,
}

/// A parcel.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShipmentBody {
    parcel: i64,
    /// Who told us first: `shop` or `marketplace`.
    origin: &'static str,
    carrier: Option<String>,
    service: Option<String>,
    tracking: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    shipped_at: Option<Timestamp>,
    /// When the other side was told.
    #[schema(value_type = Option<String>, format = DateTime)]
    told_at: Option<Timestamp>,
    gone: bool,
    lines: Vec<ShippedLineBody>,
}

/// So many units of a line.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShippedLineBody {
    line_id: String,
    quantity: i64,
}

/// One row of an order's history.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventBody {
    event_id: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    kind: &'static str,
    text: String,
    actor: String,
    payload_id: Option<i64>,
}

/// Orders, newest first.
///
/// # Errors
/// Where a parameter is wrong.
#[utoipa::path(get, path = "/api/v1/orders", responses((status = 200, body = Page<OrderBody>)), params(
    ("status" = Option<String>, Query), ("export_state" = Option<String>, Query),
    ("reason" = Option<String>, Query), ("connection" = Option<String>, Query, description = "id or alias"),
    ("channel" = Option<String>, Query), ("q" = Option<String>, Query, description = "a text, last 90 days"),
    ("all_time" = Option<bool>, Query), ("history" = Option<bool>, Query), ("day" = Option<String>, Query),
    ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query)))]
pub async fn list(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    filters: web::Query<OrdersQuery>,
    list: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let limit = list.limit()?;
    let filters = filters.into_inner();
    let place = filters.place()?;
    let page = state
        .store
        .read(move |read| {
            let all = connections::all(read)?;
            let filter = match filters.filter(&all) {
                Ok(filter) => filter,
                Err(error) => return Ok(Err(error)),
            };
            let page = orders::page(read, &filter, place.as_ref(), limit)?;
            let data = bodies(read, &page.rows)?;
            Ok(Ok(Page { data, next_cursor: page.next.map(|cursor| cursor.encode()) }))
        })
        .await??;
    Ok(error::json(&page))
}

/// One order.
///
/// # Errors
/// Where there is no such order.
#[utoipa::path(get, path = "/api/v1/orders/{no}", params(("no" = i64, Path)),
    responses((status = 200, body = OrderBody)))]
pub async fn get(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
) -> Result<HttpResponse, WebError> {
    let no = *no;
    let found = state.store.read(move |read| bodies(read, orders::row(read, no)?.as_slice())).await?;
    let found = found.into_iter().next().ok_or_else(|| WebError::no_order(no))?;
    Ok(error::json(&found))
}

/// The order's history, newest last.
///
/// # Errors
/// Where there is no such order.
#[utoipa::path(get, path = "/api/v1/orders/{no}/events", params(("no" = i64, Path)),
    responses((status = 200, body = Page<EventBody>)))]
pub async fn events(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let no = *no;
    let rows = state
        .store
        .read(move |read| match orders::detail(read, no)? {
            Some(_) => events::of_order(read, no).map(Some),
            None => Ok(None),
        })
        .await?
        .ok_or_else(|| WebError::no_order(no))?;
    Ok(error::json(&super::page_of(rows.iter().map(event_body).collect(), &query)?))
}

/// Sends the order to the shop although it would not go by itself.
///
/// # Errors
/// Where it cannot go.
#[utoipa::path(post, path = "/api/v1/orders/{no}/export", params(("no" = i64, Path)),
    responses((status = 200, body = Done)))]
pub async fn export(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
) -> Result<HttpResponse, WebError> {
    let message = state.engine.export(*no, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&Done { message }))
}

/// Tries now what the order waits for.
///
/// # Errors
/// Where there is nothing to retry.
#[utoipa::path(post, path = "/api/v1/orders/{no}/retry", params(("no" = i64, Path)),
    responses((status = 200, body = Done)))]
pub async fn retry(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
) -> Result<HttpResponse, WebError> {
    let message = state.engine.retry(*no, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&Done { message }))
}

/// Says what became of a held cancellation or refund: `done` where it was dealt with on the marketplace, `again` where
/// it is to be sent again.
///
/// # Errors
/// Where it does not wait for anybody.
#[utoipa::path(post, path = "/api/v1/orders/{no}/effects/{effect}/{verdict}",
    params(("no" = i64, Path), ("effect" = i64, Path), ("verdict" = String, Path, description = "done or again")),
    responses((status = 200, body = Done)))]
pub async fn settle(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    path: web::Path<(OrderNo, EffectId, Verdict)>,
) -> Result<HttpResponse, WebError> {
    let (no, effect, verdict) = path.into_inner();
    let settled = state.engine.settle_by_hand(no, effect, verdict, who.actor()).await;
    Ok(error::json(&Done { message: settled.map_err(WebError::Refused)? }))
}

/// A delivery address that the marketplace withholds.
#[derive(Debug, Deserialize, ToSchema)]
pub struct AddressBody {
    name: String,
    #[serde(default)]
    company: String,
    /// Lines, first to last.
    street: Vec<String>,
    city: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    postal_code: String,
    /// ISO 3166-1 alpha-2 code, or the English name.
    country: String,
    #[serde(default)]
    phone: String,
}

/// Keeps the delivery address of an order whose marketplace gives none, and lets the order go on.
///
/// # Errors
/// Where a part is missing, or the order needs no address.
#[utoipa::path(post, path = "/api/v1/orders/{no}/address", params(("no" = i64, Path)),
    request_body = AddressBody, responses((status = 200, body = Done)))]
pub async fn enter_address(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
    body: web::Json<AddressBody>,
) -> Result<HttpResponse, WebError> {
    let body = body.into_inner();
    let fields = fields_of(|part| match part {
        "name" => body.name.clone(),
        "company" => body.company.clone(),
        "street" => body.street.join("\n"),
        "city" => body.city.clone(),
        "region" => body.region.clone(),
        "postal code" => body.postal_code.clone(),
        "country" => body.country.clone(),
        "phone" => body.phone.clone(),
        _ => String::new(),
    });
    let address = address(&fields).map_err(|(_, problem)| WebError::invalid("invalid_address", problem))?;
    let message = state.engine.enter_address(*no, address, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&Done { message }))
}

/// Notes that the marketplace was told of a parcel by hand: nothing more is sent for it.
///
/// # Errors
/// Where nothing waits for that.
#[utoipa::path(post, path = "/api/v1/orders/{no}/parcels/{parcel}/told",
    params(("no" = i64, Path), ("parcel" = i64, Path)), responses((status = 200, body = Done)))]
pub async fn told_by_hand(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    path: web::Path<(OrderNo, i64)>,
) -> Result<HttpResponse, WebError> {
    let (no, parcel) = path.into_inner();
    let message = state.engine.told_by_hand(no, parcel, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&Done { message }))
}

fn bodies(read: &Read<'_>, rows: &[OrderRow]) -> Result<Vec<OrderBody>, StoreError> {
    let numbers: Vec<OrderNo> = rows.iter().map(|row| row.order_no).collect();
    let mut parts = orders::parts(read, &numbers)?;
    Ok(rows.iter().map(|row| body(row, &parts.remove(&row.order_no).unwrap_or_default())).collect())
}

fn body(row: &OrderRow, parts: &OrderParts) -> OrderBody {
    OrderBody {
        order_no: row.order_no.0,
        connection: row.alias.clone(),
        connection_id: row.connection.0,
        channel: row.channel.to_string(),
        external_id: row.external_id.clone(),
        status: row.status.as_str(),
        history: row.is_history,
        fulfilled_by: row.fulfilled_by.as_str(),
        export_state: row.export_state.as_str(),
        export_reason: row.reason.as_ref().map(|reason| ReasonBody {
            code: reason.code.as_str(),
            what: reason.what(),
            next_step: reason.next_step(),
        }),
        shop_order_id: row.shop_order_id.clone(),
        placed_at: row.placed_at,
        imported_at: row.imported_at,
        currency: row.currency.clone(),
        total_minor: row.total_minor,
        ship_by: row.ship_by,
        unit_count: row.unit_count,
        lines: line_bodies(parts),
        shipments: parts.shipments.iter().map(shipment_body).collect(),
        refund_minor: row.refund_minor,
        refunds: parts.refunds.iter().map(refund_body).collect(),
        marketplace_refunds: parts.marketplace_refunds.iter().map(marketplace_refund_body).collect(),
    }
}

fn line_bodies(parts: &OrderParts) -> Vec<LineBody> {
    let lines = parts.lines.iter().enumerate().map(|(index, line)| LineBody {
        line_id: line.external_id.clone(),
        sku: line.sku.clone(),
        product_id: line.product_id.clone(),
        title: line.title.clone(),
        quantity: line.quantity,
        quantity_shipped: line.quantity_shipped,
        quantity_cancelled: line.quantity_cancelled,
        unit_price: line.unit_price,
        options: line.options.clone(),
        amounts: parts
            .amounts
            .iter()
            .filter(|amount| amount.line == Some(index))
            .map(|amount| AmountBody { kind: amount.kind.as_str(), amount_minor: amount.minor })
            .collect(),
    });
    lines.collect()
}

fn shipment_body(row: &ShipmentRow) -> ShipmentBody {
    let lines = row.parcel.lines.iter();
    ShipmentBody {
        parcel: row.parcel.parcel,
        origin: row.parcel.origin.as_str(),
        carrier: row.parcel.carrier.clone(),
        service: row.parcel.service.clone(),
        tracking: row.parcel.tracking.clone(),
        shipped_at: row.parcel.shipped_at,
        told_at: row.told_at,
        gone: row.parcel.is_gone,
        lines: lines
            .map(|line| ShippedLineBody { line_id: line.external_line_id.clone(), quantity: line.quantity })
            .collect(),
    }
}

fn refund_body(row: &RefundRow) -> RefundBody {
    let lines = row.refund.shares.iter();
    RefundBody {
        shop_refund_id: row.refund.shop_refund_id.clone(),
        refunded_at: row.refund.refunded_at,
        total_minor: row.refund.total_minor,
        marketplace_refund_id: row.marketplace_refund_id.clone(),
        told_at: row.told_at,
        lines: lines
            .map(|share| RefundLineBody {
                line_id: share.external_line_id.clone(),
                quantity: share.quantity,
                quantity_cancelled: share.quantity_cancelled,
                item_minor: share.item_minor,
                shipping_minor: share.shipping_minor,
            })
            .collect(),
    }
}

fn marketplace_refund_body(held: &HeldMarketplaceRefund) -> MarketplaceRefundBody {
    let refund = &held.refund;
    MarketplaceRefundBody {
        refund_id: refund.refund_id.clone(),
        refunded_at: refund.refunded_at,
        currency: refund.currency.code(),
        told_minor: refund.told_minor,
        total_minor: refund.total_minor,
        shop_refund_id: held.shop_refund_id.clone(),
        lines: refund
            .lines
            .iter()
            .map(|line| MarketplaceRefundLineBody {
                line_id: line.external_line_id.clone(),
                total_minor: line.minor,
            })
            .collect(),
    }
}

fn event_body(event: &EventRow) -> EventBody {
    EventBody {
        event_id: event.event_id.0,
        at: event.at,
        kind: event.kind.as_str(),
        text: event.text.clone(),
        actor: event.actor.clone(),
        payload_id: event.payload.map(|payload| payload.0),
    }
}

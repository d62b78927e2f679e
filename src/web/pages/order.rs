//! One order: what it is, where it stands, why, and what can be done.

use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Shell, Visit, done};
use crate::channels::registry;
use crate::domain::customer::Address;
use crate::domain::effect::{Effect, EffectKind, EffectState, Verdict};
use crate::domain::id::{EffectId, OrderNo};
use crate::domain::order::{Amount, AmountKind, ExportState, FulfilledBy, LineFacts};
use crate::domain::plan::ParcelOrigin;
use crate::domain::reason::Reason;
use crate::domain::refund::HeldMarketplaceRefund;
use crate::store::entered_addresses::{self, Wanted};
use crate::store::events::EventRow;
use crate::store::files::FileRow;
use crate::store::orders::{self, OrderDetail};
use crate::store::refunds::RefundRow;
use crate::store::shipments::ShipmentRow;
use crate::web::auth::{CanReadOrders, CanWorkOrders, Signed};
use crate::web::error::{self, WebError};
use crate::web::shown::{self, Badge, Moment};
use crate::web::{AppState, routes};

#[derive(Template)]
#[template(path = "pages/order.html", config = ".askama.toml")]
struct OrderPage {
    shell: Shell,
    order: OrderView,
}

#[derive(Template)]
#[template(path = "parts/order_body.html", config = ".askama.toml")]
struct OrderPart {
    order: OrderView,
}

struct OrderView {
    address: String,
    order_no: String,
    external_id: String,
    alias: String,
    channel: String,
    channel_title: String,
    letter: String,
    status: Badge,
    platform_status: String,
    shipper: String,
    is_platform_fulfilled: bool,
    is_history: bool,
    export: Badge,
    why: Option<Why>,
    incidents: Vec<IncidentView>,
    shop_order: Option<(String, String)>,
    placed: Moment,
    imported: Moment,
    ship_by: Option<Moment>,
    deliver_by: Option<Moment>,
    shipping_method: String,
    payment_method: String,
    lines: Vec<LineView>,
    amounts: Vec<AmountView>,
    total: String,
    difference: Option<String>,
    beside: Vec<AmountView>,
    refunds: Vec<RefundView>,
    marketplace_refunds: Vec<MarketplaceRefundView>,
    refunded: Option<String>,
    after_sale_note: Option<String>,
    tax_collector: Option<String>,
    has_people: bool,
    buyer: Vec<(&'static str, String)>,
    ship_to: Vec<String>,
    bill_to: Vec<String>,
    notes: Vec<(&'static str, String)>,
    parcels: Vec<ParcelView>,
    effects: Vec<EffectView>,
    events: Vec<EventView>,
    payloads: Vec<PayloadView>,
    files: Vec<FileView>,
    /// Where the address is entered, while it can be.
    enter_address: Option<String>,
    /// Who entered the address, and when.
    address_entered: Option<(String, Moment)>,
    may_export: bool,
    may_retry: bool,
    is_busy: bool,
}

struct Why {
    what: String,
    next_step: &'static str,
    tone: &'static str,
}

struct IncidentView {
    text: String,
    next_step: String,
    since: Moment,
    /// Where it is closed, for who may.
    close: Option<String>,
}

struct LineView {
    title: String,
    options: String,
    sku: String,
    quantity: i64,
    shipped: String,
    unit_price: String,
    total: String,
}

struct AmountView {
    label: &'static str,
    amount: String,
}

struct ParcelView {
    number: i64,
    origin: &'static str,
    carrier: String,
    tracking: String,
    shipped: Option<Moment>,
    content: String,
    told: String,
    is_gone: bool,
    /// Where it is marked that the marketplace was told by hand, while that is owed and waits for a person.
    tell: Option<String>,
}

struct RefundView {
    shop_refund_id: String,
    at: Option<Moment>,
    amount: String,
    told: String,
}

struct MarketplaceRefundView {
    at: Option<Moment>,
    amount: String,
    about: String,
}

struct EffectView {
    /// Where a person who has looked says what became of it; empty where nobody is asked.
    address: String,
    label: &'static str,
    state: Badge,
    why: Option<Why>,
    attempts: u32,
    due: Option<String>,
}

struct EventView {
    at: Moment,
    text: String,
    actor: String,
    payload: Option<String>,
}

struct FileView {
    address: String,
    name: String,
    about: String,
    size: String,
    kept: Moment,
}

struct PayloadView {
    address: String,
    kind: String,
    received: Moment,
}

/// The page, or its body alone where htmx refreshes it.
///
/// # Errors
/// Where there is no such order.
pub async fn show(
    who: Signed<CanReadOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
) -> Result<HttpResponse, WebError> {
    let detail = detail(&state, *no).await?;
    let order = view(detail, who.role().may_work_orders(), &state.zone, state.clock.now());
    if visit.wants_fragment {
        return error::html(&OrderPart { order });
    }
    let shell = visit.shell(&who, format!("Order {}", order.external_id), "orders");
    visit.page(&OrderPage { shell, order })
}

/// On to the order in the shop's own pages.
///
/// # Errors
/// Where it is not in the shop, or the shop's address is not known.
pub async fn shop(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
) -> Result<HttpResponse, WebError> {
    let detail = detail(&state, *no).await?;
    let link = shop_link(&detail).ok_or_else(|| {
        WebError::NotFound(
            "The address of this order in the shop is not known. It is read with the shop's profile: press Test \
             on the shop's connection, then try again."
                .to_owned(),
        )
    })?;
    Ok(error::see_other(&link))
}

/// The button *Export*.
///
/// # Errors
/// Where it cannot go into the shop.
pub async fn export(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
) -> Result<HttpResponse, WebError> {
    let next = state.engine.export(*no, who.actor()).await.map_err(WebError::Refused)?;
    done(&routes::order(*no), &next)
}

/// The button *Retry*.
///
/// # Errors
/// Where there is nothing to retry.
pub async fn retry(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
) -> Result<HttpResponse, WebError> {
    let next = state.engine.retry(*no, who.actor()).await.map_err(WebError::Refused)?;
    done(&routes::order(*no), &next)
}

/// The buttons of work that waits for a person who has looked: *It was done* and *Send again*.
///
/// # Errors
/// Where it does not wait any more.
pub async fn settle(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    path: web::Path<(OrderNo, EffectId, Verdict)>,
) -> Result<HttpResponse, WebError> {
    let (no, effect, verdict) = path.into_inner();
    let settled = state.engine.settle_by_hand(no, effect, verdict, who.actor()).await;
    done(&routes::order(no), &settled.map_err(WebError::Refused)?)
}

fn shop_link(detail: &OrderDetail) -> Option<String> {
    let pattern = detail.shop_order_page.as_deref()?;
    let link = pattern.replace("{id}", detail.row.shop_order_id.as_deref()?);
    Some(link).filter(|link| link.starts_with("https://") || link.starts_with("http://"))
}

async fn detail(state: &AppState, no: OrderNo) -> Result<OrderDetail, WebError> {
    state.store.read(move |read| orders::detail(read, no)).await?.ok_or_else(|| WebError::no_order(no))
}

fn view(detail: OrderDetail, may_work: bool, zone: &TimeZone, now: Timestamp) -> OrderView {
    let row = &detail.row;
    let currency = row.currency.as_str();
    let (channel_title, letter) = shown::channel(&row.channel);
    let moment = |at: Timestamp| shown::moment(at, zone);
    let paid: i64 = detail
        .amounts
        .iter()
        .filter(|amount| amount.kind.is_paid_by_buyer())
        .map(|amount| amount.minor)
        .sum();
    let people = detail.people.clone().unwrap_or_default();
    OrderView {
        address: routes::order(row.order_no),
        order_no: row.order_no.to_string(),
        external_id: row.external_id.clone(),
        alias: row.alias.clone(),
        channel: row.channel.to_string(),
        channel_title: channel_title.clone(),
        letter,
        status: shown::status(row.status),
        platform_status: shown::platform_word(&detail.platform_status),
        shipper: shown::shipper(row.fulfilled_by, &row.channel),
        is_platform_fulfilled: row.fulfilled_by == FulfilledBy::Platform,
        is_history: row.is_history,
        export: shown::export(row.export_state, row.reason.as_ref()),
        why: row.reason.as_ref().map(why),
        incidents: detail
            .incidents
            .iter()
            .map(|incident| IncidentView {
                text: incident.what.text.clone(),
                next_step: incident.what.next_step.clone(),
                since: moment(incident.opened_at),
                close: may_work.then(|| routes::incident_close(incident.incident_id)),
            })
            .collect(),
        shop_order: row.shop_order_id.clone().map(|id| (id, routes::order_in_shop(row.order_no))),
        placed: moment(row.placed_at),
        imported: moment(row.imported_at),
        ship_by: detail.ship_by.map(moment),
        deliver_by: detail.deliver_by.map(moment),
        shipping_method: detail.shipping_method.as_deref().map(shown::platform_word).unwrap_or_default(),
        payment_method: detail.payment_method.clone().unwrap_or_default(),
        lines: lines(&detail, currency),
        amounts: amounts(&detail.amounts, currency, AmountKind::is_paid_by_buyer),
        total: shown::money(row.total_minor, currency),
        difference: (paid != row.total_minor)
            .then(|| shown::money(row.total_minor.saturating_sub(paid), currency)),
        beside: amounts(&detail.amounts, currency, |kind| !kind.is_paid_by_buyer()),
        refunds: detail.refunds.iter().map(|row| refund_view(row, currency, zone)).collect(),
        marketplace_refunds: detail
            .marketplace_refunds
            .iter()
            .map(|held| marketplace_refund_view(held, currency, zone))
            .collect(),
        refunded: refunded(row.refund_minor, currency),
        after_sale_note: after_sale_note(&detail, &channel_title),
        tax_collector: tax_collector(&detail.amounts, &channel_title, currency),
        has_people: detail.people.is_some(),
        buyer: [
            ("Name", people.buyer.name),
            ("Company", people.buyer.company),
            ("E-mail", people.buyer.email),
            ("Their order number", people.buyer.purchase_order_number),
        ]
        .into_iter()
        .filter_map(|(label, value)| Some((label, value?)))
        .collect(),
        ship_to: people.ship_to.as_ref().map(address).unwrap_or_default(),
        bill_to: people.bill_to.as_ref().map(address).unwrap_or_default(),
        notes: [
            ("Buyer’s note", people.buyer_note),
            ("Gift message", people.gift_message),
            ("Delivery", people.delivery_instructions),
        ]
        .into_iter()
        .filter_map(|(label, value)| Some((label, value?)))
        .collect(),
        parcels: detail.shipments.iter().map(|parcel| parcel_view(parcel, &detail, may_work, zone)).collect(),
        effects: detail.effects.iter().map(|effect| effect_view(effect, may_work, now)).collect(),
        events: detail.events.iter().map(|event| event_view(event, row.order_no, zone)).collect(),
        payloads: detail
            .payloads
            .iter()
            .map(|payload| PayloadView {
                address: routes::payload(row.order_no, payload.payload_id),
                kind: payload.kind.clone(),
                received: moment(payload.received_at),
            })
            .collect(),
        files: detail.files.iter().map(|file| file_view(file, &detail, zone)).collect(),
        enter_address: wants_address(&detail).filter(|_| may_work),
        address_entered: detail.address_entered.as_ref().map(|(by, at)| (by.clone(), moment(*at))),
        may_export: may_work && row.export_state != ExportState::Created,
        may_retry: may_work && (!detail.effects.is_empty() || row.export_state == ExportState::Failed),
        is_busy: !detail.effects.is_empty() || row.export_state == ExportState::Creating,
    }
}

fn why(reason: &Reason) -> Why {
    Why {
        what: reason.what(),
        next_step: reason.next_step(),
        tone: if reason.needs_person() { "bad" } else { "wait" },
    }
}

fn lines(detail: &OrderDetail, currency: &str) -> Vec<LineView> {
    detail
        .lines
        .iter()
        .enumerate()
        .map(|(index, line)| {
            let total = detail
                .amounts
                .iter()
                .filter(|amount| amount.line == Some(index) && amount.kind.is_paid_by_buyer())
                .map(|amount| amount.minor)
                .sum();
            LineView {
                title: line.title.clone(),
                options: line.options.clone().unwrap_or_default(),
                sku: line.sku.clone().unwrap_or_default(),
                quantity: line.quantity,
                shipped: shipped(line),
                unit_price: line.unit_price.map(|price| shown::price(price, currency)).unwrap_or_default(),
                total: shown::money(total, currency),
            }
        })
        .collect()
}

fn shipped(line: &LineFacts) -> String {
    let mut parts = Vec::new();
    if line.quantity_shipped > 0 {
        parts.push(format!("{} shipped", line.quantity_shipped));
    }
    if line.quantity_cancelled > 0 {
        parts.push(format!("{} cancelled", line.quantity_cancelled));
    }
    parts.join(", ")
}

/// One row per kind, in the order of the kinds, so that the rows sum to the total.
fn amounts(all: &[Amount], currency: &str, is_wanted: impl Fn(AmountKind) -> bool) -> Vec<AmountView> {
    AmountKind::ALL
        .iter()
        .filter(|kind| is_wanted(**kind) && all.iter().any(|amount| amount.kind == **kind))
        .map(|kind| {
            let sum = all.iter().filter(|amount| amount.kind == *kind).map(|amount| amount.minor).sum();
            AmountView { label: shown::amount(*kind), amount: shown::money(sum, currency) }
        })
        .collect()
}

/// Who pays the tax over that the buyer paid (FEATURES B3); none where there is no tax.
fn tax_collector(all: &[Amount], channel_title: &str, currency: &str) -> Option<String> {
    let sum = |is_wanted: &dyn Fn(AmountKind) -> bool| -> i64 {
        all.iter().filter(|amount| is_wanted(amount.kind)).map(|amount| amount.minor).sum()
    };
    let withheld = sum(&|kind| kind == AmountKind::WithheldTax).abs();
    let own = sum(&AmountKind::is_tax).saturating_sub(withheld);
    match (withheld, own) {
        (0, 0) => None,
        (0, _) => Some("you".to_owned()),
        (_, ..=0) => Some(channel_title.to_owned()),
        (_, own) => Some(format!(
            "{channel_title} {}, you {}",
            shown::money(withheld, currency),
            shown::money(own, currency)
        )),
    }
}

fn address(address: &Address) -> Vec<String> {
    let place = [&address.postal_code, &address.city, &address.region]
        .into_iter()
        .filter_map(|part| part.clone())
        .collect::<Vec<_>>()
        .join(" ");
    [&address.name, &address.company]
        .into_iter()
        .filter_map(|part| part.clone())
        .chain(address.street.iter().cloned())
        .chain(Some(place).filter(|place| !place.is_empty()))
        .chain(address.country.clone())
        .chain(address.phone.clone())
        .collect()
}

fn parcel_view(parcel: &ShipmentRow, detail: &OrderDetail, may_work: bool, zone: &TimeZone) -> ParcelView {
    let held = &parcel.parcel;
    let lines = &detail.lines;
    let is_waiting = detail.effects.iter().any(|effect| {
        effect.kind == EffectKind::ConfirmShipment
            && effect.state == EffectState::Held
            && effect.revision.split('.').next().is_some_and(|number| number.parse() == Ok(held.parcel))
    });
    let content: Vec<String> = held
        .lines
        .iter()
        .map(|shipped| {
            let line = lines.iter().find(|line| line.external_id == shipped.external_line_id);
            let name = line.map_or(shipped.external_line_id.as_str(), |line| {
                line.sku.as_deref().unwrap_or(line.title.as_str())
            });
            format!("{} × {name}", shipped.quantity)
        })
        .collect();
    let (origin, other) = match held.origin {
        ParcelOrigin::Shop => ("shipped in the shop", "the marketplace"),
        ParcelOrigin::Marketplace => ("shipped on the marketplace", "the shop"),
    };
    ParcelView {
        number: held.parcel,
        origin,
        carrier: [&held.carrier, &held.service]
            .into_iter()
            .filter_map(|part| part.clone())
            .collect::<Vec<_>>()
            .join(", "),
        tracking: held.tracking.clone().unwrap_or_default(),
        shipped: held.shipped_at.map(|at| shown::moment(at, zone)),
        content: content.join(", "),
        told: match parcel.told_at {
            Some(at) => format!("{other} was told {}", shown::moment(at, zone).text),
            None => format!("{other} has not been told"),
        },
        is_gone: held.is_gone,
        tell: (is_waiting && may_work && parcel.told_at.is_none())
            .then(|| routes::parcel_told(detail.row.order_no, held.parcel)),
    }
}

/// What counts as given back; none where nothing does.
fn refunded(minor: i64, currency: &str) -> Option<String> {
    (minor > 0).then(|| shown::money(minor.saturating_neg(), currency))
}

fn marketplace_refund_view(
    held: &HeldMarketplaceRefund,
    currency: &str,
    zone: &TimeZone,
) -> MarketplaceRefundView {
    let refund = &held.refund;
    let about = match &held.shop_refund_id {
        Some(id) => format!("for refund {id} of the shop"),
        None if refund.currency.code() != currency => "not counted: it is in another currency".to_owned(),
        None => "made on the marketplace".to_owned(),
    };
    MarketplaceRefundView {
        at: refund.refunded_at.map(|at| shown::moment(at, zone)),
        amount: shown::money(refund.total_minor, refund.currency.code()),
        about,
    }
}

fn refund_view(row: &RefundRow, currency: &str, zone: &TimeZone) -> RefundView {
    RefundView {
        shop_refund_id: row.refund.shop_refund_id.clone(),
        at: row.refund.refunded_at.map(|at| shown::moment(at, zone)),
        amount: shown::money(row.refund.total_minor, currency),
        told: match row.told_at {
            Some(at) => format!("given back on the marketplace {}", shown::moment(at, zone).text),
            None => "the marketplace has not given it back for us".to_owned(),
        },
    }
}

/// What people must do by hand on a marketplace that takes no cancellations and refunds.
fn after_sale_note(detail: &OrderDetail, channel_title: &str) -> Option<String> {
    let info = registry::channel(&detail.row.channel)?;
    (!info.is_shop && info.sends_after_sale.is_none()).then(|| {
        format!(
            "{channel_title} takes no cancellations and refunds from other programs: what is cancelled or refunded in \
             the shop has to be done on {channel_title}’s own pages, too."
        )
    })
}

/// Where the address is entered: while the marketplace gives none that a parcel could go to.
fn wants_address(detail: &OrderDetail) -> Option<String> {
    let row = &detail.row;
    let is_shops_own = registry::is_shop(&row.channel);
    let is_missing = detail.address_entered.is_some() || entered_addresses::is_needed(detail.people.as_ref());
    let wanted =
        entered_addresses::judge(row.export_state, row.status, row.fulfilled_by, is_shops_own, is_missing);
    (wanted == Wanted::Yes).then(|| routes::order_address(row.order_no))
}

fn effect_view(effect: &Effect, may_work: bool, now: Timestamp) -> EffectView {
    let is_timed = effect.state != EffectState::Held;
    let is_asked = may_work && !is_timed && effect.kind.is_settled_by_people();
    EffectView {
        address: if is_asked { routes::effect(effect.order_no, effect.id) } else { String::new() },
        label: shown::effect(effect.kind),
        state: shown::effect_state(effect.state),
        why: effect.reason.as_ref().map(why),
        attempts: effect.attempts,
        due: is_timed.then(|| {
            if effect.due_at > now { shown::from_now(effect.due_at, now) } else { "now".to_owned() }
        }),
    }
}

fn file_view(file: &FileRow, detail: &OrderDetail, zone: &TimeZone) -> FileView {
    let of = |line: &&LineFacts| Some(line.external_id.as_str()) == file.external_line_id.as_deref();
    let line = detail.lines.iter().find(of);
    let about =
        line.map(|line| format!("designed by the buyer for {}", line.sku.as_deref().unwrap_or(&line.title)));
    FileView {
        address: routes::file(detail.row.order_no, &file.sha256),
        name: file.name.clone().unwrap_or_else(|| file.sha256.clone()),
        about: about.unwrap_or_default(),
        size: shown::bytes(file.size_bytes),
        kept: shown::moment(file.created_at, zone),
    }
}

fn event_view(event: &EventRow, no: OrderNo, zone: &TimeZone) -> EventView {
    EventView {
        at: shown::moment(event.at, zone),
        text: event.text.clone(),
        actor: event.actor.clone(),
        payload: event.payload.map(|payload| routes::payload(no, payload)),
    }
}

//! What must hold: the platforms' truth against what the appliance holds, after every step and once all is quiet.
//!
//! The truth is the simulators' own; nothing here may ask the appliance what it believes to be true there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::deeds::{has_parcels, list, text};
use super::marketplace::Marketplace;
use super::post::KNOWN_WITHIN;
use super::rig::{Rig, words};
use crate::domain::connection::{ConnectionState, ExportFulfilment, History, UnmatchedSku};
use crate::domain::effect::{Effect, EffectKind, EffectState};
use crate::domain::id::ConnectionId;
use crate::domain::order::{ExportState, OrderStatus};
use crate::domain::plan::cancel_request;
use crate::domain::reason::ReasonCode;
use crate::domain::refund::HeldMarketplaceRefund;
use crate::sim::BIGCOMMERCE;
use crate::store::standing::{Standing, standings};
use crate::store::{effects, incidents, marketplace_refunds, orders, refunds, verify};

/// What is said of an order that a message told of and that is not known as it was then.
pub(super) const UNKNOWN: &str = "not known";

/// The shop's status of a cancelled order.
const CANCELLED: i64 = 5;

/// The shop's status of an order of which all went back.
const REFUNDED: i64 = 4;

/// The marketplaces' words for a cancellation that the buyer asked for.
const BUYERS_REASONS: [&str; 2] = ["BuyerCanceled", "BUYER_ASKED_CANCEL"];

/// What was seen so far: what may only ever grow.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The platform's time and the status of every order that is held.
    held: BTreeMap<(i64, String), (Timestamp, OrderStatus)>,
    /// Parcels at the marketplace: order and tracking number.
    parcels: BTreeSet<(String, String)>,
}

impl Ledger {
    /// A backup was restored: what is held may be older than what was seen.
    pub fn forget_held(&mut self) {
        self.held.clear();
    }
}

/// The platforms' truth.
struct Truth {
    marketplace: Vec<Value>,
    /// Mails of the marketplace to buyers, where it tells of them: one for each parcel.
    told: Vec<Value>,
    shop: Vec<Value>,
    mails: Value,
    go_live: Timestamp,
}

impl Truth {
    fn of(rig: &Rig) -> Result<Self, String> {
        let (world, sells) = (&rig.field.world, rig.plan().marketplace);
        Ok(Self {
            marketplace: list(world, sells.name(), "orders"),
            told: if sells == Marketplace::Etsy { list(world, sells.name(), "mails") } else { Vec::new() },
            shop: list(world, BIGCOMMERCE, "shop_orders"),
            mails: world.control(BIGCOMMERCE, "mails", None).1,
            go_live: rig.go_live,
        })
    }

    fn copies(&self) -> BTreeMap<&str, Vec<&Value>> {
        let mut copies: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for copy in self.shop.iter().filter(|copy| copy["external_order_id"].is_string()) {
            copies.entry(text(copy, "external_order_id")).or_default().push(copy);
        }
        copies
    }

    fn is_history(&self, order: &Value) -> bool {
        placed_at(order) < self.go_live
    }
}

fn placed_at(order: &Value) -> Timestamp {
    text(order, "placed_at").parse().unwrap_or(Timestamp::MIN)
}

/// What must hold at the platforms at every moment.
///
/// # Errors
/// What does not.
pub fn check_truth(rig: &mut Rig) -> Result<(), String> {
    let truth = Truth::of(rig)?;
    check_copies(&truth)?;
    check_reasons(&truth)?;
    check_refunds(rig, &truth)?;
    check_parcels(&truth, &mut rig.ledger)
}

/// What a platform told of is known, though no poll was due meanwhile.
///
/// # Errors
/// What is not.
pub async fn check_told(rig: &mut Rig) -> Result<(), String> {
    for platform in [rig.plan().marketplace.name(), BIGCOMMERCE] {
        let id = if platform == BIGCOMMERCE { rig.shop } else { rig.marketplace };
        let may_call = rig.engine()?.connection(id).is_some_and(|connection| connection.state.may_call());
        if !may_call {
            rig.field.note_trouble(platform);
        }
    }
    let due = rig.field.take_due_news();
    if due.is_empty() {
        return Ok(());
    }
    let truth = Truth::of(rig)?;
    let held = rig.store()?.read(standings).await.map_err(words)?;
    let of_shop = list(&rig.field.world, BIGCOMMERCE, "orders");
    for news in due {
        let is_shops = news.platform == BIGCOMMERCE;
        let (orders, id) =
            if is_shops { (&of_shop, rig.shop) } else { (&truth.marketplace, rig.marketplace) };
        let standing = held.iter().find(|held| held.connection == id && held.external_id == news.order);
        let point_of = |order: &Value| match is_shops {
            true => own_point(&truth, order, standing),
            false => held_point(rig, &truth, order, standing),
        };
        let is_as_told = orders.contains(&news.truth);
        // What has changed since may have been told by a message that never came; that there is the order was told.
        let point = match orders.iter().find(|order| text(order, "id") == news.order) {
            Some(_) if is_as_told => point_of(&news.truth),
            Some(order) if standing.is_none() => point_of(&news.truth).and_then(|_| point_of(order)),
            _ => None,
        };
        if let Some(point) = point {
            let (platform, at, within) = (news.platform, news.at, KNOWN_WITHIN.as_mins());
            return Err(format!(
                "{UNKNOWN} {within} minutes after {platform} told of it at {at:.1}: {point}"
            ));
        }
    }
    Ok(())
}

/// No message is believed that a platform did not send, or sent long ago.
///
/// # Errors
/// Whose.
pub fn check_believed(rig: &Rig) -> Result<(), String> {
    for (platform, id) in [(rig.plan().marketplace.name(), rig.marketplace), (BIGCOMMERCE, rig.shop)] {
        let (status, most) = (rig.engine()?.push_status(id), rig.field.believable(platform));
        if status.verified > most {
            return Err(format!(
                "{} messages were believed to be {platform}'s, and {most} are",
                status.verified
            ));
        }
    }
    Ok(())
}

/// What must hold in the store at every moment.
///
/// # Errors
/// What does not.
pub async fn check_held(rig: &mut Rig) -> Result<(), String> {
    let held = rig.store()?.read(standings).await.map_err(words)?;
    check_standings(&held, rig.marketplace, &mut rig.ledger)
}

/// Nothing is doubled, nothing that must stay out is in, and every total is the marketplace's.
fn check_copies(truth: &Truth) -> Result<(), String> {
    let copies = truth.copies();
    let mut known = 0;
    for order in &truth.marketplace {
        let Some(found) = copies.get(text(order, "id")) else { continue };
        known += 1;
        if found.len() > 1 {
            return Err(format!("an order is in the shop {} times: {order} → {found:?}", found.len()));
        }
        if truth.is_history(order) {
            return Err(format!("history was exported: {order} → {found:?}"));
        }
        if order["paid"] != true && order["status"] != "cancelled" {
            return Err(format!("an unpaid order was exported: {order}"));
        }
        for copy in found {
            let is_same =
                copy["total_minor"] == order["total_minor"] && copy["currency"] == order["currency"];
            if !is_same {
                return Err(format!("the shop's total is not the marketplace's: {order} → {copy}"));
            }
            if copy["parts_minor"] != copy["total_minor"] {
                return Err(format!("an order's parts do not make up its total: {order} → {copy}"));
            }
        }
    }
    if known != copies.len() {
        return Err("the shop has an order that the marketplace does not know".to_owned());
    }
    Ok(())
}

/// Nothing is given back that the shop did not give back, unless the marketplace cancelled the order.
fn check_refunds(rig: &Rig, truth: &Truth) -> Result<(), String> {
    if !rig.plan().marketplace.takes_after_sale() {
        return Ok(());
    }
    let copies = truth.copies();
    for order in &truth.marketplace {
        let copy = copies.get(text(order, "id")).and_then(|found| found.first());
        let in_shop = copy.and_then(|copy| copy["refunded_minor"].as_i64()).unwrap_or(0);
        let most = if order["status"] == "cancelled" {
            order["total_minor"].as_i64().unwrap_or(0)
        } else if is_told(rig) {
            in_shop
        } else {
            0
        };
        if given_back(order) > most {
            return Err(format!("more was given back than {most}: {order} → {copy:?}"));
        }
    }
    Ok(())
}

/// What the marketplace gave back for an order, in minor units.
pub(super) fn given_back(order: &Value) -> i64 {
    let of = |list: &str, field: &str| -> i64 {
        order[list].as_array().into_iter().flatten().filter_map(|one| one[field].as_i64()).sum()
    };
    of("refunds", "amount_minor")
        + of("lines", "refunded_minor")
        + order["refunded_minor"].as_i64().unwrap_or(0)
}

/// Whether the marketplace is told of what is cancelled and refunded in the shop.
fn is_told(rig: &Rig) -> bool {
    let (plan, settings) = (rig.plan(), &rig.plan().settings);
    plan.marketplace.takes_after_sale() && settings.send_refunds == Some(true)
}

/// Nobody says of a buyer who did not ask for it that the buyer wanted a cancellation.
fn check_reasons(truth: &Truth) -> Result<(), String> {
    let is_untrue = |order: &&Value| {
        let mut reasons = order["cancel_reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
        order["buyer_asked"] == false && reasons.any(|word| BUYERS_REASONS.contains(&word))
    };
    match truth.marketplace.iter().filter(|order| !truth.is_history(order)).find(is_untrue) {
        Some(order) => Err(format!("cancelled in the name of a buyer who did not ask for it: {order}")),
        None => Ok(()),
    }
}

/// No parcel is told twice, and none that was told disappears.
fn check_parcels(truth: &Truth, ledger: &mut Ledger) -> Result<(), String> {
    for order in truth.marketplace.iter().chain(&truth.shop) {
        let numbers = tracking_numbers(order);
        let distinct: BTreeSet<&String> = numbers.iter().collect();
        if distinct.len() != numbers.len() {
            return Err(format!("a parcel was told twice: {order}"));
        }
    }
    for copy in &truth.shop {
        let parcels = copy["shipments"].as_array().map_or(0, Vec::len);
        let mails = truth.mails.get("by_order").and_then(|mails| mails.get(text(copy, "id")));
        let mails = mails.and_then(Value::as_u64).unwrap_or(0);
        if u64::try_from(parcels).unwrap_or(0) != mails {
            return Err(format!("the shop mailed {mails} times about {parcels} parcels: {copy}"));
        }
    }
    let mut told = BTreeSet::new();
    if let Some(mail) =
        truth.told.iter().find(|mail| !told.insert((text(mail, "id"), text(mail, "tracking"))))
    {
        return Err(format!("the marketplace mailed twice about one parcel: {mail}"));
    }
    let mut now = BTreeSet::new();
    for order in &truth.marketplace {
        now.extend(tracking_numbers(order).into_iter().map(|number| (text(order, "id").to_owned(), number)));
    }
    if let Some((order, number)) = ledger.parcels.difference(&now).next() {
        return Err(format!("parcel {number} of {order} was there at the marketplace, and is gone"));
    }
    ledger.parcels = now;
    Ok(())
}

/// How far an order of a marketplace has come: none goes back.
const fn stage(status: OrderStatus) -> u8 {
    match status {
        OrderStatus::Pending => 0,
        OrderStatus::Open => 1,
        OrderStatus::PartShipped => 2,
        OrderStatus::Shipped => 3,
        OrderStatus::Cancelled => 4,
    }
}

/// No status was moved by an older fact, also where that bears the time of a newer one, and nothing that was held is gone.
fn check_standings(held: &[Standing], marketplace: ConnectionId, ledger: &mut Ledger) -> Result<(), String> {
    let mut now = BTreeMap::new();
    for order in held {
        let key = (order.connection.0, order.external_id.clone());
        if let Some((updated_at, status)) = ledger.held.get(&key)
            && (order.updated_at < *updated_at
                || order.connection == marketplace && stage(order.status) < stage(*status))
        {
            return Err(format!(
                "order {} went from {status} of {updated_at} back to {} of {}",
                order.external_id, order.status, order.updated_at
            ));
        }
        if now.insert(key, (order.updated_at, order.status)).is_some() {
            return Err(format!("order {} is held twice", order.external_id));
        }
    }
    if let Some((_, lost)) = ledger.held.keys().find(|key| !now.contains_key(*key)) {
        return Err(format!("order {lost} was held and is gone"));
    }
    ledger.held = now;
    Ok(())
}

/// What is still missing or wrong once everybody has had time. An empty list is good news.
///
/// # Errors
/// Where it could not be found out.
pub async fn open_points(rig: &mut Rig) -> Result<Vec<String>, String> {
    check_truth(rig)?;
    check_held(rig).await?;
    let truth = Truth::of(rig)?;
    let store = rig.store()?;
    let (held, refunds, open, incidents, findings, parked) = store
        .read(|read| {
            let held = standings(read)?;
            let numbers: Vec<i64> = held.iter().map(|order| order.order_no.0).collect();
            let refunds = marketplace_refunds::of_orders(read, &numbers)?;
            Ok((
                held,
                refunds,
                effects::open_effects(read)?,
                incidents::open_incidents(read)?,
                verify::verify(read)?,
                orders::parked(read, 10)?,
            ))
        })
        .await
        .map_err(words)?;
    let mut points: Vec<String> = Vec::new();
    let is_wish = |kind: &str| kind == cancel_request::INCIDENT;
    let others = incidents.iter().filter(|incident| !is_wish(&incident.what.kind));
    points.extend(others.map(|incident| format!("an incident is open: {}", incident.what.text)));
    let unwanted: BTreeSet<i64> = incidents
        .iter()
        .filter(|incident| is_wish(&incident.what.kind))
        .filter_map(|incident| Some(incident.what.order_no?.0))
        .collect();
    points.extend(findings.iter().map(|finding| format!("verify, {}: {}", finding.check, finding.text)));
    points
        .extend(parked.iter().map(|parked| format!("a payload is parked: {} {}", parked.place, parked.what)));
    for connection in rig.engine()?.connections() {
        if connection.state != ConnectionState::Active {
            points.push(format!("{} is {}", connection.alias, connection.state));
        }
    }
    let by_id: BTreeMap<(i64, &str), &Standing> =
        held.iter().map(|order| ((order.connection.0, order.external_id.as_str()), order)).collect();
    let copies = truth.copies();
    for order in &truth.marketplace {
        let id = text(order, "id");
        let standing = by_id.get(&(rig.marketplace.0, id)).copied();
        let copy = copies.get(id).and_then(|found| found.first().copied());
        points.extend(held_point(rig, &truth, order, standing));
        points.extend(wish_point(order, standing, &unwanted));
        let refunds = standing.and_then(|standing| refunds.get(&standing.order_no.0));
        points.extend(standing.and_then(|standing| given_back_point(rig, order, standing, refunds)));
        points.extend(export_point(rig, &truth, order, standing, copy));
        points.extend(copy.and_then(|copy| parcel_point(rig, order, copy)));
    }
    for order in list(&rig.field.world, BIGCOMMERCE, "orders") {
        let standing = by_id.get(&(rig.shop.0, text(&order, "id"))).copied();
        points.extend(own_point(&truth, &order, standing));
    }
    for copy in copies.values().flatten() {
        if by_id.contains_key(&(rig.shop.0, text(copy, "id"))) {
            points.push(format!("an order that we created came back as one of the shop's own: {copy}"));
        }
    }
    points.extend(open.iter().filter_map(|effect| effect_point(&truth, effect, &held, &open)));
    points.extend(after_sale_points(rig, &truth, &by_id).await?);
    Ok(points)
}

/// What was cancelled in the shop is cancelled at the marketplace, and what was refunded there went back once.
async fn after_sale_points(
    rig: &Rig,
    truth: &Truth,
    by_id: &BTreeMap<(i64, &str), &Standing>,
) -> Result<Vec<String>, String> {
    if !is_told(rig) {
        return Ok(Vec::new());
    }
    let (mut points, copies) = (Vec::new(), truth.copies());
    for order in truth.marketplace.iter().filter(|order| order["status"] != "cancelled") {
        let id = text(order, "id");
        let Some(copy) = copies.get(id).and_then(|found| found.first()) else { continue };
        if copy["status_id"] == CANCELLED && !has_parcels(order) {
            points.push(format!("cancelled in the shop, and open at the marketplace: {order} → {copy}"));
        }
        let Some(in_shop) = copy["refunded_minor"].as_i64().filter(|minor| *minor > 0) else { continue };
        let Some(order_no) = by_id.get(&(rig.marketplace.0, id)).map(|standing| standing.order_no) else {
            continue;
        };
        let rows = rig.store()?.read(move |read| refunds::of_order(read, order_no)).await.map_err(words)?;
        let known: i64 = rows.iter().map(|row| row.refund.total_minor).sum();
        let sent: i64 =
            rows.iter().filter(|row| row.told_at.is_some()).map(|row| row.refund.sent_minor()).sum();
        if known != in_shop || sent != given_back(order) || rows.iter().any(|row| row.told_at.is_none()) {
            points
                .push(format!("refunds of {known} are held, {sent} of them as given back: {order} → {copy}"));
        }
    }
    Ok(points)
}

/// A buyer's wish to cancel asks for somebody until the order is over, and nothing else does.
fn wish_point(order: &Value, standing: Option<&Standing>, unwanted: &BTreeSet<i64>) -> Option<String> {
    let is_told = standing.is_some_and(|standing| unwanted.contains(&standing.order_no.0));
    let is_left = matches!(text(order, "status"), "open" | "part_shipped");
    if is_told && !(is_left && order["buyer_asked"] == true) {
        return Some(format!("an incident says that the buyer asks to cancel: {order}"));
    }
    let is_exported = standing.is_some_and(|standing| standing.export_state == ExportState::Created);
    let is_missed = is_left && order["buyer_asked"] == true && is_exported && !is_told;
    is_missed.then(|| format!("nobody hears that the buyer asks to cancel: {order}"))
}

/// Every order of the marketplace is held as it stands there.
fn held_point(rig: &Rig, truth: &Truth, order: &Value, standing: Option<&Standing>) -> Option<String> {
    let status = text(order, "status");
    let is_paid = order["paid"] == true;
    let Some(standing) = standing else {
        // One that vanished before it was paid may never have been seen, and some marketplaces list what is paid only.
        let may_be_missing = !is_paid && (status == "cancelled" || !rig.plan().marketplace.lists_unpaid())
            || truth.is_history(order) && rig.plan().settings.history != History::Everything;
        return (!may_be_missing).then(|| format!("a lost order: {order}"));
    };
    let is_vanished = status == "cancelled" && !is_paid && standing.status == OrderStatus::Pending;
    if standing.status.as_str() != status && !is_vanished {
        return Some(format!("order {} is held as {}: {order}", standing.external_id, standing.status));
    }
    let is_money = status != "cancelled" && is_paid;
    let is_same = Some(standing.total_minor) == order["total_minor"].as_i64()
        && order["currency"] == standing.currency.as_str()
        && standing.is_paid == is_paid;
    if is_money && !is_same {
        return Some(format!("the amounts held are not the marketplace's: {standing:?} {order}"));
    }
    (standing.is_history != truth.is_history(order))
        .then(|| format!("history is held as none, or the other way: {order}"))
}

/// What went back is held to the minor unit, where the marketplace tells of it and is asked in time.
fn given_back_point(
    rig: &Rig,
    order: &Value,
    standing: &Standing,
    refunds: Option<&Vec<HeldMarketplaceRefund>>,
) -> Option<String> {
    let marketplace = rig.plan().marketplace;
    // Etsy's receipts that have shipped are looked at once a day.
    let is_late = marketplace == Marketplace::Etsy && order["status"] == "shipped";
    if !marketplace.tells_refunds() || is_late {
        return None;
    }
    let told: i64 = refunds.into_iter().flatten().map(|held| held.refund.told_minor).sum();
    let back = given_back(order);
    let own = order["seller_minor"].as_i64().or(order["total_minor"].as_i64());
    let is_short = back > 0 && Some(back) == own && standing.refund_minor != standing.total_minor;
    (told != back || is_short || standing.refund_minor < told)
        .then(|| format!("{back} went back, {told} are held and {} count: {order}", standing.refund_minor))
}

/// Every order that is owed is in the shop, and what was cancelled is cancelled there.
fn export_point(
    rig: &Rig,
    truth: &Truth,
    order: &Value,
    standing: Option<&Standing>,
    copy: Option<&Value>,
) -> Option<String> {
    let is_cancelled = order["status"] == "cancelled";
    if is_cancelled {
        let copy = copy?;
        let is_settled =
            matches!(copy["status_id"].as_i64(), Some(CANCELLED | REFUNDED)) || has_parcels(copy);
        return (!is_settled).then(|| format!("cancelled, yet open in the shop: {order} → {copy}"));
    }
    match (is_owed(rig, truth, order), copy) {
        (true, None) => Some(format!("not in the shop: {order}, held as {standing:?}")),
        (false, Some(copy)) => Some(format!("in the shop without being owed: {order} → {copy}")),
        (false, None) => None,
        (true, Some(copy)) => {
            let is_known = standing.is_some_and(|standing| {
                standing.export_state == ExportState::Created
                    && standing.export_reason.is_none()
                    && standing.shop_order_id.as_deref() == copy["id"].as_str()
            });
            if !is_known {
                return Some(format!("in the shop as {copy}, held as {standing:?}"));
            }
            let is_told = !rig.plan().marketplace.parcels_have_lines() && has_parcels(copy);
            // A refund takes the place of the status, which is all that tells of an order without parcels.
            let is_refunded = matches!(copy["status_id"].as_i64(), Some(4 | 14))
                && (has_parcels(copy) || !has_parcels(order));
            let is_shipped = matches!(copy["status_id"].as_i64(), Some(2 | 10)) || is_refunded || is_told;
            (order["status"] == "shipped" && !is_shipped)
                .then(|| format!("shipped, yet not in the shop: {order} → {copy}"))
        }
    }
}

fn is_owed(rig: &Rig, truth: &Truth, order: &Value) -> bool {
    let settings = &rig.plan().settings;
    let is_sellers = order["fulfilled_by"] == "seller";
    let is_wanted = is_sellers || settings.export_fulfilment == ExportFulfilment::Both;
    let marketplace = rig.plan().marketplace;
    let has_unknown_sku = order["lines"]
        .as_array()
        .is_some_and(|lines| lines.iter().any(|line| marketplace.is_foreign_sku(text(line, "sku"))));
    // What a marketplace ships from its own warehouse may come without an address, and then waits for one.
    if !is_sellers && marketplace.hides_addresses() {
        return false;
    }
    let is_held = is_sellers && has_unknown_sku && settings.unmatched_sku == UnmatchedSku::Hold;
    order["paid"] == true && !truth.is_history(order) && is_wanted && order["currency"] == "USD" && !is_held
}

/// Every parcel is on both sides.
fn parcel_point(rig: &Rig, order: &Value, copy: &Value) -> Option<String> {
    if order["status"] == "cancelled" || order["fulfilled_by"] != "seller" {
        return None;
    }
    let count = |order: &Value| order["shipments"].as_array().map_or(0, Vec::len);
    let numbers = |order: &Value| tracking_numbers(order).into_iter().collect::<BTreeSet<_>>();
    let is_same = count(order) == count(copy) && numbers(order) == numbers(copy);
    if !is_same {
        return Some(format!("a parcel is missing on one side: {order} → {copy}"));
    }
    if !rig.plan().marketplace.parcels_have_lines() {
        return None;
    }
    let units = |order: &Value| -> i64 {
        let parcels = order["shipments"].as_array().into_iter().flatten();
        let lines = parcels.flat_map(|parcel| parcel["lines"].as_array().into_iter().flatten());
        lines.filter_map(|line| line["quantity"].as_i64()).sum()
    };
    (units(order) != units(copy)).then(|| format!("the parcels differ in their units: {order} → {copy}"))
}

/// The shop's own orders are held and never exported.
fn own_point(truth: &Truth, order: &Value, standing: Option<&Standing>) -> Option<String> {
    let Some(standing) = standing else {
        let is_old = placed_at(order) < truth.go_live;
        return (!is_old).then(|| format!("a storefront order is lost: {order}"));
    };
    let is_same = standing.status.as_str() == text(order, "status")
        && Some(standing.total_minor) == order["total_minor"].as_i64()
        && standing.export_state == ExportState::None;
    (!is_same).then(|| format!("a storefront order is held as {standing:?}: {order}"))
}

/// Nothing is owed any more but what waits for a person with good reason, and what waits for that.
fn effect_point(truth: &Truth, effect: &Effect, held: &[Standing], open: &[Effect]) -> Option<String> {
    let standing = held.iter().find(|order| order.order_no == effect.order_no)?;
    let order = truth.marketplace.iter().find(|order| text(order, "id") == standing.external_id);
    let is_cancelled = order.is_some_and(|order| order["status"] == "cancelled");
    let waits_for_person = |effect: &Effect| {
        let code = effect.reason.as_ref().map(|reason| reason.code);
        effect.state == EffectState::Held
            && match code {
                Some(ReasonCode::UnmatchedSku | ReasonCode::CurrencyDiffers) => true,
                Some(ReasonCode::AddressMissing) => {
                    order.is_some_and(|order| order["fulfilled_by"] != "seller")
                }
                // What was shipped here and cancelled there is for a person.
                Some(
                    ReasonCode::MarketplaceRejected
                    | ReasonCode::TrackingMissing
                    | ReasonCode::ShopRejected
                    | ReasonCode::CancellationRefused
                    | ReasonCode::RefundInDoubt
                    | ReasonCode::RefundRefused
                    | ReasonCode::RefundNotLaid,
                ) => is_cancelled,
                _ => false,
            }
    };
    let waits_for_create = effect.kind == EffectKind::ShipShopOrder
        && open.iter().any(|other| {
            other.order_no == effect.order_no
                && other.kind == EffectKind::CreateShopOrder
                && waits_for_person(other)
        });
    let may_wait = waits_for_person(effect) || waits_for_create;
    (!may_wait).then(|| format!("still owed: {effect:?} of {}", order.unwrap_or(&Value::Null)))
}

fn tracking_numbers(order: &Value) -> Vec<String> {
    let parcels = order["shipments"].as_array().into_iter().flatten();
    parcels.filter_map(|parcel| parcel["tracking"].as_str().map(str::to_owned)).collect()
}

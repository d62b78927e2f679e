//! Decisions: facts and settings in, changes and effects out.
//!
//! The store calls [`plan_import`] and [`plan_parcels`] inside the write that keeps the facts, so that what we
//! hold, what we decided and what we now owe become durable together.

pub mod after_sale;
pub mod cancel_request;
pub mod edits;
pub mod refunds;

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use super::connection::{Connection, ExportFulfilment};
use super::effect::{EffectKind, Lane, NewEffect};
use super::id::{ConnectionId, OrderNo};
use super::order::{ExportState, FulfilledBy, OrderFacts, OrderStatus, words};
use super::reason::{Reason, ReasonCode};
use super::shipment::{ShipmentFacts, ShippedLine, holds_the_same};

words! {
    /// What happened, on an order's or connection's timeline.
    EventKind {
        /// The order arrived.
        Imported = "imported",
        /// The platform's facts changed.
        Updated = "updated",
        /// The status moved.
        StatusChanged = "status_changed",
        /// News that is older than what we hold, kept but not believed.
        StaleIgnored = "stale_ignored",
        /// It goes into the shop.
        ExportPlanned = "export_planned",
        /// It waits, with the reason.
        ExportWaiting = "export_waiting",
        /// It is in the shop.
        ExportCreated = "export_created",
        /// It was found in the shop.
        ExportFound = "export_found",
        /// The shop refused it.
        ExportFailed = "export_failed",
        /// A call ended in doubt.
        InDoubt = "in_doubt",
        /// A parcel was seen.
        ShipmentSeen = "shipment_seen",
        /// A parcel disappeared from the shop's list.
        ShipmentGone = "shipment_gone",
        /// The other side was told of a parcel.
        ShipmentSent = "shipment_sent",
        /// What a buyer designed lies beside the order.
        CustomisationKept = "customisation_kept",
        /// Something waits for a person.
        Held = "held",
        /// A person did something.
        Person = "person",
        /// The connection changed its state.
        ConnectionChanged = "connection_changed",
        /// The machine's clock was set while we were at work.
        ClockSet = "clock_set",
        /// A payload that could not be read before is in.
        Unparked = "unparked",
        /// A day was compared with the platform and had a gap, or a replay ended.
        Reconciled = "reconciled",
        /// The buyer asks to have it cancelled.
        CancelAsked = "cancel_asked",
        /// It was cancelled in the shop.
        CancelledInShop = "cancelled_in_shop",
        /// Money was given back in the shop.
        RefundedInShop = "refunded_in_shop",
        /// The marketplace cancelled it, since we asked.
        CancellationSent = "cancellation_sent",
        /// The marketplace gave money back, since we asked.
        RefundSent = "refund_sent",
        /// Money was given back on the marketplace, and not since we asked; or that changed.
        RefundedOnMarketplace = "refunded_on_marketplace",
    }
}

/// An event that a plan asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// In plain words.
    pub text: String,
}

impl NewEvent {
    /// An event.
    #[must_use]
    pub fn new(kind: EventKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// What a decision needs to know of an order that we hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOrder {
    /// Its number.
    pub order_no: OrderNo,
    /// How far it is.
    pub status: OrderStatus,
    /// The platform's time of the facts that we hold.
    pub updated_at: Timestamp,
    /// Counts the news of it that we took over, and addresses that people entered.
    pub facts_version: i64,
    /// Whether it was paid.
    pub is_paid: bool,
    /// Whether it is history.
    pub is_history: bool,
    /// Whether it is in the shop.
    pub export_state: ExportState,
    /// Why not.
    pub export_reason: Option<ReasonCode>,
    /// A person asked for its export, so that switches no longer count.
    pub is_picked: bool,
}

/// What arriving facts are to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An order that we did not hold.
    New,
    /// News of one that we hold.
    Update,
    /// Older than what we hold: kept as payload, nothing moves.
    Stale,
}

/// The decision on one order's arriving facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPlan {
    /// What they are to us.
    pub change: Change,
    /// The status from now on.
    pub status: OrderStatus,
    /// Placed before go-live.
    pub is_history: bool,
    /// Whether it is in the shop.
    pub export_state: ExportState,
    /// Why not.
    pub export_reason: Option<Reason>,
    /// Work owed from now on.
    pub effects: Vec<NewEffect>,
    /// Kinds of open effects that are no longer owed.
    pub dropped: Vec<EffectKind>,
    /// For the timeline.
    pub events: Vec<NewEvent>,
}

/// What happens to an order that `connection` just told us of.
#[must_use]
pub fn plan_import(
    connection: &Connection,
    held: Option<&HeldOrder>,
    facts: &OrderFacts,
    now: Timestamp,
) -> ImportPlan {
    match held {
        None => plan_new(connection, facts, now),
        Some(held) if facts.updated_at < held.updated_at => plan_stale(held),
        Some(held) => plan_update(connection, held, facts, now),
    }
}

fn plan_new(connection: &Connection, facts: &OrderFacts, now: Timestamp) -> ImportPlan {
    let is_history = connection.settings.go_live.is_some_and(|go_live| facts.placed_at < go_live);
    let (export_state, export_reason) = export_decision(connection, facts, is_history, false);
    let mut events = vec![NewEvent::new(
        EventKind::Imported,
        format!("Arrived from {} as “{}”.", connection.alias, facts.platform_status),
    )];
    let mut effects = export_effects(connection, export_state, export_reason.as_ref(), now);
    if export_state != ExportState::None {
        effects.extend(shipped_effect(connection, facts, now));
    }
    if !is_history {
        effects.extend(customisation_effects(connection, facts, now));
    }
    if is_cancelled_early(export_reason.as_ref()) && !is_history {
        effects.extend(cancel_effect(connection, facts.status, now));
    }
    effects.extend(refund_effect(connection, facts, now));
    events.extend(export_event(export_state, export_reason.as_ref()));
    ImportPlan {
        change: Change::New,
        status: facts.status,
        is_history,
        export_state,
        export_reason,
        effects,
        dropped: Vec::new(),
        events,
    }
}

/// The decision on facts that are older than what is held: nothing moves.
#[must_use]
pub fn plan_stale(held: &HeldOrder) -> ImportPlan {
    ImportPlan {
        change: Change::Stale,
        status: held.status,
        is_history: held.is_history,
        export_state: held.export_state,
        export_reason: None,
        effects: Vec::new(),
        dropped: Vec::new(),
        events: Vec::new(),
    }
}

fn plan_update(connection: &Connection, held: &HeldOrder, facts: &OrderFacts, now: Timestamp) -> ImportPlan {
    let mut events = Vec::new();
    if facts.status != held.status {
        events.push(NewEvent::new(
            EventKind::StatusChanged,
            format!(
                "{} reports “{}”: {} → {}.",
                connection.alias, facts.platform_status, held.status, facts.status
            ),
        ));
    }
    let mut plan = ImportPlan {
        change: Change::Update,
        status: facts.status,
        is_history: held.is_history,
        export_state: held.export_state,
        export_reason: None,
        effects: Vec::new(),
        dropped: Vec::new(),
        events,
    };
    if held.status != facts.status && held.export_state != ExportState::None {
        plan.effects.extend(shipped_effect(connection, facts, now));
    }
    if !held.is_history || held.is_picked {
        plan.effects.extend(customisation_effects(connection, facts, now));
    }
    plan.effects.extend(refund_effect(connection, facts, now));
    match held.export_state {
        ExportState::None | ExportState::Waiting => redecide_export(connection, held, facts, now, &mut plan),
        // One that is being created may be in the shop already: its cancellation waits for the answer.
        ExportState::Created | ExportState::Creating => {
            if facts.status == OrderStatus::Cancelled && held.status != OrderStatus::Cancelled {
                plan.effects.extend(cancel_effect(connection, held.status, now));
            }
        }
        ExportState::Failed => {}
    }
    plan
}

fn redecide_export(
    connection: &Connection,
    held: &HeldOrder,
    facts: &OrderFacts,
    now: Timestamp,
    plan: &mut ImportPlan,
) {
    let (state, reason) = export_decision(connection, facts, held.is_history, held.is_picked);
    if state == ExportState::None && held.export_state == ExportState::Waiting {
        plan.dropped.push(EffectKind::CreateShopOrder);
    }
    if is_cancelled_early(reason.as_ref()) && held.status != OrderStatus::Cancelled && !held.is_history {
        plan.effects.extend(cancel_effect(connection, held.status, now));
    }
    // What the shop or the merge of SKUs said stays until the effect runs again.
    let is_same =
        state == held.export_state && reason.as_ref().map(|reason| reason.code) == held.export_reason;
    let is_queued_already = state == ExportState::Waiting && reason.is_none() && held.export_reason.is_some();
    plan.export_state = state;
    if is_same {
        plan.export_reason = reason;
        return;
    }
    plan.effects.extend(export_effects(connection, state, reason.as_ref(), now));
    if !is_queued_already || held.export_reason == Some(ReasonCode::Unpaid) {
        plan.events.extend(export_event(state, reason.as_ref()));
    }
    plan.export_reason = reason;
}

/// What buyers designed is fetched as soon as there is work: its links die. What is kept already is not fetched again;
/// whoever opens the effects knows that.
fn customisation_effects(
    connection: &Connection,
    facts: &OrderFacts,
    now: Timestamp,
) -> impl Iterator<Item = NewEffect> {
    let is_work = facts.is_paid && matches!(facts.status, OrderStatus::Open | OrderStatus::PartShipped);
    facts.customised_lines.iter().filter(move |_| is_work).map(move |line| NewEffect {
        kind: EffectKind::KeepCustomisation,
        revision: line.clone(),
        connection: connection.id,
        lane: Lane::Orders,
        due_at: now,
        held: None,
    })
}

/// A refund that the marketplace is still at is looked at again: nothing says that it tells when that is through.
fn refund_effect(connection: &Connection, facts: &OrderFacts, now: Timestamp) -> Option<NewEffect> {
    facts.is_refund_under_way().then(|| NewEffect {
        kind: EffectKind::RefreshOrder,
        revision: REFUND_REVISION.to_owned(),
        connection: connection.id,
        lane: Lane::Bulk,
        due_at: now.checked_add(REFUND_LOOK_AFTER).unwrap_or(now),
        held: None,
    })
}

/// The revision of a [`EffectKind::RefreshOrder`] that waits for a refund of the marketplace to go through.
pub const REFUND_REVISION: &str = "refund";

/// A refund that the marketplace is still at is looked at after so long.
const REFUND_LOOK_AFTER: SignedDuration = SignedDuration::from_secs(120);

/// An order that the marketplace calls shipped without naming a parcel: the shop is told of the status alone.
fn shipped_effect(connection: &Connection, facts: &OrderFacts, now: Timestamp) -> Option<NewEffect> {
    let names_parcels = facts.shipments.as_ref().is_some_and(|parcels| !parcels.is_empty());
    if facts.status != OrderStatus::Shipped || names_parcels {
        return None;
    }
    Some(NewEffect {
        kind: EffectKind::ShipShopOrder,
        revision: STATUS_REVISION.to_owned(),
        connection: connection.settings.shop?,
        lane: Lane::Orders,
        due_at: now,
        held: None,
    })
}

/// The revision of a [`EffectKind::ShipShopOrder`] that is about no parcel, but the status.
pub const STATUS_REVISION: &str = "status";

/// Cancelled before it went into the shop, as far as we know. A restore may have forgotten that it did: the
/// cancellation looks, where that can be.
fn is_cancelled_early(reason: Option<&Reason>) -> bool {
    reason.is_some_and(|reason| reason.code == ReasonCode::Cancelled)
}

fn cancel_effect(connection: &Connection, status: OrderStatus, now: Timestamp) -> Option<NewEffect> {
    // A shipped order is no longer ours to cancel: the parcel is on its way.
    if matches!(status, OrderStatus::Shipped | OrderStatus::PartShipped) {
        return None;
    }
    connection.settings.shop.map(|shop| cancellation(shop, now))
}

/// The cancellation of an order's shop order.
#[must_use]
pub fn cancellation(shop: ConnectionId, now: Timestamp) -> NewEffect {
    NewEffect {
        kind: EffectKind::CancelShopOrder,
        revision: "cancelled".to_owned(),
        connection: shop,
        lane: Lane::Orders,
        due_at: now,
        held: None,
    }
}

/// Whether an order goes into the shop, and if not, why.
#[must_use]
pub fn export_decision(
    connection: &Connection,
    facts: &OrderFacts,
    is_history: bool,
    is_picked: bool,
) -> (ExportState, Option<Reason>) {
    let settings = &connection.settings;
    let none = |code| (ExportState::None, Some(Reason::of(code)));
    if settings.shop.is_none() {
        return (ExportState::None, None);
    }
    if is_history && !is_picked {
        return (ExportState::None, None);
    }
    if facts.status == OrderStatus::Cancelled && (!facts.is_paid || is_history) {
        return none(ReasonCode::Cancelled);
    }
    if !is_picked {
        if !settings.export_orders {
            return none(ReasonCode::ExportOff);
        }
        let is_wanted = match settings.export_fulfilment {
            ExportFulfilment::Both => true,
            ExportFulfilment::Seller => facts.fulfilled_by == FulfilledBy::Seller,
            ExportFulfilment::Platform => facts.fulfilled_by == FulfilledBy::Platform,
        };
        if !is_wanted {
            return none(ReasonCode::PlatformFulfilled);
        }
    }
    if !facts.is_paid {
        return (ExportState::Waiting, Some(Reason::of(ReasonCode::Unpaid)));
    }
    (ExportState::Waiting, None)
}

fn export_effects(
    connection: &Connection,
    state: ExportState,
    reason: Option<&Reason>,
    now: Timestamp,
) -> Vec<NewEffect> {
    let is_ready = state == ExportState::Waiting && reason.is_none();
    match connection.settings.shop {
        Some(shop) if is_ready => vec![create_effect(shop, now)],
        _ => Vec::new(),
    }
}

/// The create that an order owes its shop.
#[must_use]
pub fn create_effect(shop: ConnectionId, now: Timestamp) -> NewEffect {
    NewEffect {
        kind: EffectKind::CreateShopOrder,
        revision: "1".to_owned(),
        connection: shop,
        lane: Lane::Orders,
        due_at: now,
        held: None,
    }
}

fn export_event(state: ExportState, reason: Option<&Reason>) -> Option<NewEvent> {
    match (state, reason) {
        (ExportState::Waiting, None) => {
            Some(NewEvent::new(EventKind::ExportPlanned, "Will be created in the shop."))
        }
        (ExportState::Waiting | ExportState::None, Some(reason)) => {
            Some(NewEvent::new(EventKind::ExportWaiting, reason.what()))
        }
        _ => None,
    }
}

words! {
    /// Who told us of a parcel first.
    ParcelOrigin {
        /// The shop: the marketplace is to be told.
        Shop = "shop",
        /// The marketplace: the shop is to be told.
        Marketplace = "marketplace",
    }
}

/// A parcel as held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldParcel {
    /// Our number of it within the order, 1 and up.
    pub parcel: i64,
    /// Who told us first.
    pub origin: ParcelOrigin,
    /// The shop's id of it, once known.
    pub shop_shipment_id: Option<String>,
    /// The marketplace's id of it, once known.
    pub marketplace_package_id: Option<String>,
    /// Carrier, as the origin names it.
    pub carrier: Option<String>,
    /// Service, as the origin names it.
    pub service: Option<String>,
    /// Tracking number.
    pub tracking: Option<String>,
    /// When it was shipped.
    pub shipped_at: Option<Timestamp>,
    /// What is in it, by the marketplace's ids of the lines.
    pub lines: Vec<ShippedLine>,
    /// True where the origin no longer lists it.
    pub is_gone: bool,
}

/// What to do with the parcels of one order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParcelPlan {
    /// New and changed parcels, whole.
    pub upserts: Vec<HeldParcel>,
    /// Work owed from now on.
    pub effects: Vec<NewEffect>,
    /// For the timeline.
    pub events: Vec<NewEvent>,
}

/// What a decision on parcels needs beside them.
#[derive(Debug, Clone, Copy)]
pub struct ParcelContext {
    /// Which side lists these parcels.
    pub side: ParcelOrigin,
    /// The other side's connection; none where it is not to be told.
    pub other: Option<ConnectionId>,
    /// The present.
    pub now: Timestamp,
}

/// Compares the parcels that one side lists with those that we hold. A parcel that the other side told us of
/// comes back as an echo and is recognised by its id or tracking number; only what is new or has changed on
/// its own side is owed to the other.
#[must_use]
pub fn plan_parcels(held: &[HeldParcel], listed: &[ShipmentFacts], context: ParcelContext) -> ParcelPlan {
    let mut plan = ParcelPlan::default();
    let mut next = held.iter().map(|parcel| parcel.parcel).max().unwrap_or(0);
    let mut matched = Vec::new();
    let mut seen = HashSet::new();
    let ids: HashSet<&str> = listed.iter().map(|shipment| shipment.external_id.as_str()).collect();
    for shipment in listed {
        // Pages that shift while they are read list a parcel twice.
        if !shipment.external_id.is_empty() && !seen.insert(shipment.external_id.as_str()) {
            continue;
        }
        let find = |is_it: &dyn Fn(&HeldParcel) -> bool| {
            held.iter().find(|parcel| !matched.contains(&parcel.parcel) && is_it(parcel))
        };
        let known = find(&|parcel| known_id(parcel, context.side) == Some(shipment.external_id.as_str()))
            .or_else(|| {
                // An id that is listed belongs to another.
                let is_free =
                    |parcel: &HeldParcel| known_id(parcel, context.side).is_none_or(|id| !ids.contains(id));
                find(&|parcel| is_free(parcel) && is_alike(parcel, shipment, context.side))
            });
        match known {
            Some(parcel) => {
                matched.push(parcel.parcel);
                plan_known_parcel(parcel, shipment, context, &mut plan);
            }
            None => {
                next += 1;
                plan_new_parcel(next, shipment, context, &mut plan);
            }
        }
    }
    for parcel in held {
        let is_missing =
            parcel.origin == context.side && !parcel.is_gone && !matched.contains(&parcel.parcel);
        if is_missing {
            plan.upserts.push(HeldParcel { is_gone: true, ..parcel.clone() });
            plan.events.push(NewEvent::new(
                EventKind::ShipmentGone,
                format!("Parcel {} is no longer listed by the {}.", parcel.parcel, parcel.origin),
            ));
        }
    }
    plan
}

/// Tracking numbers compare without spaces and case: people and platforms write them differently.
#[must_use]
pub fn normalised_tracking(tracking: &str) -> String {
    tracking.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

/// By what this side knows the parcel, as far as we know.
fn known_id(parcel: &HeldParcel, side: ParcelOrigin) -> Option<&str> {
    match side {
        ParcelOrigin::Shop => parcel.shop_shipment_id.as_deref(),
        ParcelOrigin::Marketplace => parcel.marketplace_package_id.as_deref(),
    }
}

/// Whether what is listed is this parcel, under an id that we do not know yet, or no longer the one that we know.
fn is_alike(parcel: &HeldParcel, shipment: &ShipmentFacts, side: ParcelOrigin) -> bool {
    match (&parcel.tracking, &shipment.tracking) {
        (Some(ours), Some(theirs)) => normalised_tracking(ours) == normalised_tracking(theirs),
        // Without a number the other side's parcel is known by what is in it: a restore may have forgotten its id.
        (None, None) => {
            known_id(parcel, side).is_none()
                && parcel.origin != side
                && !parcel.lines.is_empty()
                && holds_the_same(&parcel.lines, &shipment.lines)
        }
        _ => false,
    }
}

fn plan_known_parcel(
    parcel: &HeldParcel,
    shipment: &ShipmentFacts,
    context: ParcelContext,
    plan: &mut ParcelPlan,
) {
    let mut next = HeldParcel { is_gone: false, ..parcel.clone() };
    match context.side {
        ParcelOrigin::Shop => next.shop_shipment_id = Some(shipment.external_id.clone()),
        ParcelOrigin::Marketplace => next.marketplace_package_id = Some(shipment.external_id.clone()),
    }
    let mut is_news = false;
    if parcel.origin == context.side {
        // Only the side that shipped may change what we hold; the other's version is an echo.
        let number = |tracking: &Option<String>| tracking.as_deref().map(normalised_tracking);
        is_news = shipment.tracking.is_some() && number(&shipment.tracking) != number(&parcel.tracking)
            || shipment.carrier.is_some() && shipment.carrier != parcel.carrier;
        if is_news {
            next.tracking = shipment.tracking.clone().or(next.tracking);
            next.carrier = shipment.carrier.clone().or(next.carrier);
            next.service = shipment.service.clone().or(next.service);
        }
    }
    if next == *parcel {
        return;
    }
    if is_news {
        let change = format!(
            "{}.{}.{}",
            parcel.parcel,
            next.carrier.as_deref().unwrap_or_default(),
            next.tracking.as_deref().map(normalised_tracking).unwrap_or_default()
        );
        plan.effects.extend(parcel_effect(change, context));
        plan.events.push(NewEvent::new(
            EventKind::ShipmentSeen,
            format!("Carrier or tracking of parcel {} changed.", parcel.parcel),
        ));
    }
    plan.upserts.push(next);
}

fn plan_new_parcel(number: i64, shipment: &ShipmentFacts, context: ParcelContext, plan: &mut ParcelPlan) {
    let id = Some(shipment.external_id.clone());
    let (shop_shipment_id, marketplace_package_id) = match context.side {
        ParcelOrigin::Shop => (id, None),
        ParcelOrigin::Marketplace => (None, id),
    };
    plan.events.push(NewEvent::new(
        EventKind::ShipmentSeen,
        format!(
            "Parcel {number} shipped on the {}: {} {}.",
            context.side,
            shipment.carrier.as_deref().unwrap_or("no carrier"),
            shipment.tracking.as_deref().unwrap_or("without tracking number"),
        ),
    ));
    plan.effects.extend(parcel_effect(number.to_string(), context));
    plan.upserts.push(HeldParcel {
        parcel: number,
        origin: context.side,
        shop_shipment_id,
        marketplace_package_id,
        carrier: shipment.carrier.clone(),
        service: shipment.service.clone(),
        tracking: shipment.tracking.clone(),
        shipped_at: shipment.shipped_at,
        lines: shipment.lines.clone(),
        is_gone: false,
    });
}

fn parcel_effect(revision: String, context: ParcelContext) -> Option<NewEffect> {
    let connection = context.other?;
    let kind = match context.side {
        ParcelOrigin::Shop => EffectKind::ConfirmShipment,
        ParcelOrigin::Marketplace => EffectKind::ShipShopOrder,
    };
    Some(NewEffect { kind, revision, connection, lane: Lane::Orders, due_at: context.now, held: None })
}

#[cfg(test)]
mod tests;

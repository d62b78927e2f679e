//! Reads a shop order's parcels after the shop said that something was shipped, and decides what the
//! marketplace has to hear.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Outcome, Work, fulfilment_target};
use crate::channels::error::ChannelError;
use crate::channels::{ShopOrderLine, ShopOrders};
use crate::domain::effect::{Effect, EffectOutcome, EffectState};
use crate::domain::order::{LineFacts, OrderFacts, OrderStatus};
use crate::domain::plan::{ParcelContext, ParcelOrigin, plan_parcels};
use crate::domain::reason::{Reason, ReasonCode};
use crate::domain::shipment::{ShipmentFacts, ShippedLine};
use crate::store::{WriteLane, effects, orders, shipments};
use crate::sync::{Engine, EngineError, retry};

/// The shop's lists show a change at the latest so long after it.
const LIST_LAG_MAX: Duration = Duration::from_secs(60);

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let order_no = work.effect.order_no;
    let shop_order_id = engine.store().read(move |read| orders::shop_order_id(read, order_no)).await?;
    let Some(shop_order_id) = shop_order_id else {
        return Ok(Outcome::Finished(EffectOutcome::Dropped, "It is not in the shop.".to_owned()));
    };
    let connector = engine.connector(work.target.id)?;
    let shop = connector
        .shop_orders()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} is no shop", work.target.alias) })?;
    let listed = shop.shipments(&shop_order_id).await?;
    let looks_again_at = settled_at(&work).filter(|settled_at| *settled_at > engine.now());
    if looks_again_at.is_none() && listed.is_empty() && work.facts.status != OrderStatus::Shipped {
        let held = engine.store().read(move |read| shipments::parcels(read, order_no)).await?;
        if held.iter().all(|parcel| parcel.is_gone) && fulfilment_target(&work.owner, &work.facts).is_some() {
            let detail = "the shop order is marked as shipped, but has no shipment";
            return Ok(Outcome::held(Reason::with(ReasonCode::TrackingMissing, detail), engine.now()));
        }
    }
    let line_ids = line_ids(engine, &work, shop, &shop_order_id).await?;
    let translated: Vec<ShipmentFacts> =
        listed.into_iter().map(|parcel| translate(parcel, &line_ids)).collect();
    let is_export_only = work.held.is_history;
    let context = ParcelContext {
        side: ParcelOrigin::Shop,
        other: fulfilment_target(&work.owner, &work.facts).filter(|_| !is_export_only),
        now: engine.now(),
    };
    let stale = superseded(engine, &work);
    let id = work.effect.id;
    let opened = engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            let held = shipments::parcels(tx, order_no)?;
            let plan = plan_parcels(&held, &translated, context);
            let opened = shipments::apply(tx, order_no, &plan, context.now)?;
            for id in &stale {
                effects::finish(tx, *id, EffectOutcome::Dropped, "Newer news of the shop's shipments came.")?;
            }
            match looks_again_at {
                None => effects::finish(tx, id, EffectOutcome::Done, "The shop's shipments were read.")?,
                Some(at) => {
                    let text =
                        "The shop's shipments were read; once more when every list of the shop has them.";
                    effects::postpone(tx, id, at, EffectState::Due, None, text)?;
                }
            }
            Ok((opened, stale.clone()))
        })
        .await?;
    let (opened, dropped) = opened;
    engine.with_queue(|queue| {
        for id in dropped {
            queue.remove(id);
        }
    });
    engine.enqueue(opened);
    let again = looks_again_at.map(|due_at| Effect { due_at, reason: None, ..work.effect });
    Ok(Outcome::Written(again))
}

/// When the shop's lists can be believed to have the change that asked for this reading: lists may lag
/// behind what the order itself says, and nothing else would ever ask for what they left out.
pub(super) fn settled_at(work: &Work) -> Option<Timestamp> {
    work.effect.revision.parse().ok().map(|changed_at| retry::later(changed_at, LIST_LAG_MAX))
}

/// Earlier readings that still wait, for a person perhaps: this one has seen all that they would see.
pub(super) fn superseded(engine: &Engine, work: &Work) -> Vec<crate::domain::id::EffectId> {
    engine
        .with_queue(|queue| queue.of_order(work.effect.order_no))
        .into_iter()
        .filter(|open| open.kind == work.effect.kind && open.id < work.effect.id)
        .map(|open| open.id)
        .collect()
}

/// The marketplace's line id by the shop's. Read from the shop once per order, then kept.
pub(super) async fn line_ids(
    engine: &Engine,
    work: &Work,
    shop: &dyn ShopOrders,
    shop_order_id: &str,
) -> Result<HashMap<String, String>, EngineError> {
    let order_no = work.effect.order_no;
    let known = engine.store().read(move |read| orders::shop_lines(read, order_no)).await?;
    if !known.lines.is_empty() {
        return Ok(known.lines.into_iter().map(|(external, shop)| (shop, external)).collect());
    }
    let (pairs, _) = read_lines(engine, work, shop, shop_order_id).await?;
    Ok(pairs.into_iter().map(|(external, shop)| (shop, external)).collect())
}

/// Reads the shop order's lines, matches them to the order's and keeps the match. Gives pairs of the
/// marketplace's and the shop's line ids, and the shop's id of the address.
pub(super) async fn read_lines(
    engine: &Engine,
    work: &Work,
    shop: &dyn ShopOrders,
    shop_order_id: &str,
) -> Result<(Vec<(String, String)>, Option<String>), EngineError> {
    let order_no = work.effect.order_no;
    let listed = shop.lines(shop_order_id).await?;
    let address = listed.iter().find_map(|line| line.order_address_id.clone());
    let pairs = match_lines(&work.facts, &listed);
    let (kept, kept_address) = (pairs.clone(), address.clone());
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            orders::set_shop_lines(tx, order_no, kept_address.as_deref(), &kept)
        })
        .await?;
    Ok((pairs, address))
}

/// Whether a line and one of the shop's lines are the same.
type Rule = dyn Fn(&LineFacts, &ShopOrderLine) -> bool;

/// Which of the shop's lines stands for which of the order's: by quantity and SKU, then by quantity and title,
/// then in order. A line is matched once.
fn match_lines(facts: &OrderFacts, listed: &[ShopOrderLine]) -> Vec<(String, String)> {
    let mut free: Vec<&ShopOrderLine> = listed.iter().collect();
    let mut pairs = Vec::new();
    let mut open: Vec<&LineFacts> = facts.lines.iter().collect();
    let by_sku = |line: &LineFacts, shop: &ShopOrderLine| {
        line.quantity - line.quantity_cancelled == shop.quantity
            && matches!((&line.sku, &shop.sku), (Some(ours), Some(theirs)) if ours.eq_ignore_ascii_case(theirs))
    };
    let by_title = |line: &LineFacts, shop: &ShopOrderLine| {
        line.quantity - line.quantity_cancelled == shop.quantity && line.title.trim() == shop.name.trim()
    };
    let by_quantity =
        |line: &LineFacts, shop: &ShopOrderLine| line.quantity - line.quantity_cancelled == shop.quantity;
    let rules: [&Rule; 3] = [&by_sku, &by_title, &by_quantity];
    for rule in rules {
        open.retain(|line| {
            let Some(place) = free.iter().position(|shop| rule(line, shop)) else { return true };
            let shop = free.remove(place);
            pairs.push((line.external_id.clone(), shop.shop_line_id.clone()));
            false
        });
    }
    pairs
}

/// A parcel by the marketplace's line ids; lines that nobody can place leave it empty, which holds it.
fn translate(parcel: ShipmentFacts, line_ids: &HashMap<String, String>) -> ShipmentFacts {
    let lines: Option<Vec<ShippedLine>> = parcel
        .lines
        .iter()
        .map(|line| {
            line_ids
                .get(&line.external_line_id)
                .map(|external| ShippedLine { external_line_id: external.clone(), quantity: line.quantity })
        })
        .collect();
    ShipmentFacts { lines: lines.unwrap_or_default(), ..parcel }
}

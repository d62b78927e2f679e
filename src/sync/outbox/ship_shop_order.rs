//! Tells the shop of a parcel that the marketplace knows of. The shop mails its customer on every call, so it is
//! read first, and after doubt never sent again before it was looked up twice.

use super::confirm_shipment::parcel_of;
use super::doubt;
use super::read_shop_shipments::read_lines;
use super::{Outcome, Work};
use crate::channels::error::ChannelError;
use crate::domain::effect::{EffectOutcome, EffectState};
use crate::domain::order::ExportState;
use crate::domain::plan::{EventKind, HeldParcel, NewEvent, STATUS_REVISION, normalised_tracking};
use crate::domain::reason::{Reason, ReasonCode};
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts, ShippedLine, holds_the_same};
use crate::store::{WriteLane, effects, events, orders, shipments};
use crate::sync::{Engine, EngineError, retry};

/// How long a parcel waits for its order to be in the shop; the create hastens it.
const SHOP_ORDER_WAIT: std::time::Duration = std::time::Duration::from_secs(600);

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let order_no = work.effect.order_no;
    if work.held.export_state == ExportState::None {
        return Ok(Outcome::Finished(EffectOutcome::Dropped, "It is not in the shop.".to_owned()));
    }
    let (shop_order_id, held) = engine
        .store()
        .read(move |read| Ok((orders::shop_order_id(read, order_no)?, shipments::parcels(read, order_no)?)))
        .await?;
    let Some(shop_order_id) = shop_order_id else {
        return Ok(Outcome::Postponed {
            due_at: retry::later(engine.now(), SHOP_ORDER_WAIT),
            state: EffectState::Due,
            reason: None,
            text: "Waits until the order is in the shop.".to_owned(),
        });
    };
    if work.effect.revision == STATUS_REVISION {
        return mark_shipped(engine, &work, &shop_order_id, &held).await;
    }
    let Some(parcel) = parcel_of(&work.effect.revision, &held) else {
        return Ok(Outcome::Finished(EffectOutcome::Dropped, "The parcel is gone.".to_owned()));
    };
    let connector = engine.connector(work.target.id)?;
    let shop = connector
        .shop_orders()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} is no shop", work.target.alias) })?;
    let listed = shop.shipments(&shop_order_id).await?;
    let (pairs, address) = shop_lines(engine, &work, shop, &shop_order_id).await?;
    let lines = shop_line_ids(&parcel, &pairs, &work);
    if let Some(same) = listed.iter().find(|theirs| is_same(theirs, &parcel, lines.as_deref(), &held)) {
        return told(engine, &work, &parcel, &same.external_id, EffectOutcome::Found).await;
    }
    let text = "The shop does not list the parcel yet; looking again before it is sent anew.";
    if let Some(later) = doubt::look_again(engine, &work, text).await? {
        return Ok(later);
    }
    let Some(address) = address else {
        let detail = "the shop order has no delivery address";
        return Ok(Outcome::held(Reason::with(ReasonCode::LinesUnknown, detail), engine.now()));
    };
    let Some(lines) = lines else {
        let detail = format!("parcel {}", parcel.parcel);
        return Ok(Outcome::held(Reason::with(ReasonCode::LinesUnknown, detail), engine.now()));
    };
    let draft = ShipmentDraft {
        parcel: parcel.parcel,
        carrier: parcel.carrier.clone(),
        service: parcel.service.clone(),
        tracking: parcel.tracking.clone(),
        shipped_at: parcel.shipped_at.unwrap_or_else(|| engine.now()),
        lines,
    };
    engine.begin_call(&work).await?;
    let shipment_id = shop.add_shipment(&shop_order_id, &address, &draft).await?;
    told(engine, &work, &parcel, &shipment_id, EffectOutcome::Done).await
}

/// The marketplace says "shipped" and names no parcel: the status alone moves, unless the parcels are known
/// after all. Setting a status twice is harmless.
async fn mark_shipped(
    engine: &Engine,
    work: &Work,
    shop_order_id: &str,
    held: &[HeldParcel],
) -> Result<Outcome, EngineError> {
    if held.iter().any(|parcel| !parcel.is_gone) {
        let text = "Its parcels are known, so they tell the shop.".to_owned();
        return Ok(Outcome::Finished(EffectOutcome::Dropped, text));
    }
    let connector = engine.connector(work.target.id)?;
    let shop = connector
        .shop_orders()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} is no shop", work.target.alias) })?;
    engine.begin_call(work).await?;
    shop.set_status(shop_order_id, shop.shipped_status_id()).await?;
    let text = format!("{} shows it as shipped; the marketplace named no parcel.", work.target.alias);
    Ok(Outcome::Finished(EffectOutcome::Done, text))
}

async fn shop_lines(
    engine: &Engine,
    work: &Work,
    shop: &dyn crate::channels::ShopOrders,
    shop_order_id: &str,
) -> Result<(Vec<(String, String)>, Option<String>), EngineError> {
    let order_no = work.effect.order_no;
    let known = engine.store().read(move |read| orders::shop_lines(read, order_no)).await?;
    if !known.lines.is_empty() && known.address_id.is_some() {
        return Ok((known.lines, known.address_id));
    }
    read_lines(engine, work, shop, shop_order_id).await
}

/// The parcel's lines by the shop's ids. A parcel that names no lines holds everything still unshipped.
fn shop_line_ids(parcel: &HeldParcel, pairs: &[(String, String)], work: &Work) -> Option<Vec<ShippedLine>> {
    let shop_id =
        |external: &str| pairs.iter().find(|(known, _)| known == external).map(|(_, shop)| shop.clone());
    if parcel.lines.is_empty() {
        return work
            .facts
            .lines
            .iter()
            .filter(|line| line.quantity > line.quantity_cancelled)
            .map(|line| {
                let quantity = line.quantity - line.quantity_cancelled;
                shop_id(&line.external_id).map(|external_line_id| ShippedLine { external_line_id, quantity })
            })
            .collect();
    }
    parcel
        .lines
        .iter()
        .map(|line| {
            shop_id(&line.external_line_id)
                .map(|external_line_id| ShippedLine { external_line_id, quantity: line.quantity })
        })
        .collect()
}

/// A parcel that the shop lists already: by tracking number, or, without one, any of the same `lines` (by the shop's
/// ids) that no other parcel of ours stands for. One that names no lines may be any.
fn is_same(
    theirs: &ShipmentFacts,
    parcel: &HeldParcel,
    lines: Option<&[ShippedLine]>,
    held: &[HeldParcel],
) -> bool {
    if parcel.shop_shipment_id.as_deref() == Some(theirs.external_id.as_str()) {
        return theirs.tracking.as_deref().map(normalised_tracking)
            == parcel.tracking.as_deref().map(normalised_tracking);
    }
    match (&parcel.tracking, &theirs.tracking) {
        (Some(ours), Some(listed)) => normalised_tracking(ours) == normalised_tracking(listed),
        (None, None) => {
            let is_alike =
                parcel.lines.is_empty() || lines.is_some_and(|lines| holds_the_same(lines, &theirs.lines));
            let is_it = |other: &HeldParcel| other.shop_shipment_id.as_ref() == Some(&theirs.external_id);
            is_alike && !held.iter().any(is_it)
        }
        _ => false,
    }
}

async fn told(
    engine: &Engine,
    work: &Work,
    parcel: &HeldParcel,
    shipment_id: &str,
    outcome: EffectOutcome,
) -> Result<Outcome, EngineError> {
    let (id, order_no, now, number) = (work.effect.id, work.effect.order_no, engine.now(), parcel.parcel);
    let text = format!("{} was told of parcel {number}.", work.target.alias);
    let shipment_id = shipment_id.to_owned();
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            shipments::mark_told(tx, order_no, number, now, Some(&shipment_id))?;
            effects::finish(tx, id, outcome, &text)?;
            let event = NewEvent::new(EventKind::ShipmentSent, text.clone());
            events::add(tx, Some(order_no), None, &event, "eider", None, now)
        })
        .await?;
    Ok(Outcome::Written(None))
}

//! Looks at a shop order that was cancelled or refunded in the shop, and decides what the marketplace has to hear.
//! Every refund is taken once, by the shop's id of it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Outcome, Work, after_sale, read_shop_shipments};
use crate::channels::ShopOrders;
use crate::channels::error::ChannelError;
use crate::domain::effect::{Effect, EffectOutcome, EffectState};
use crate::domain::id::{ConnectionId, OrderNo};
use crate::domain::order::OrderStatus;
use crate::domain::plan::EventKind;
use crate::domain::plan::after_sale::{
    AfterSaleContext, CancellationPlan, INCIDENT, plan_shop_cancellation, plan_shop_refunds, unlisted_refund,
};
use crate::domain::refund::{AfterSale, HeldRefund, ShopRefund, ShopRefundKind};
use crate::store::StoreError;
use crate::store::incidents::{self, NewIncident};
use crate::store::mirror::MirrorRow;
use crate::store::{Tx, WriteLane, effects, events, orders, refunds};
use crate::sync::{Engine, EngineError};

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let order_no = work.effect.order_no;
    let shop_order_id = engine.store().read(move |read| orders::shop_order_id(read, order_no)).await?;
    let row = work.mirrored.rows.iter().find(|row| Some(&row.shop_order_id) == shop_order_id.as_ref());
    let Some(row) = row.cloned() else {
        return Ok(Outcome::Finished(EffectOutcome::Dropped, "It is not in the shop.".to_owned()));
    };
    let connector = engine.connector(work.target.id)?;
    let shop = connector
        .shop_orders()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} is no shop", work.target.alias) })?;
    let is_refunded = matches!(row.after_sale, Some(AfterSale::Refunded | AfterSale::PartRefunded));
    let listed = if is_refunded || row.refunded_minor > 0 {
        shop.refunds(&row.shop_order_id, work.facts.currency).await?
    } else {
        Vec::new()
    };
    let line_ids = line_ids(engine, &work, shop, &row, &listed).await?;
    let is_shipped = row.items_shipped > 0 || after_sale::is_shipped(engine, &work).await?;
    let marketplace = engine.connector(work.owner.id).ok();
    let (alias, now) = (work.owner.alias.clone(), engine.now());
    let cancellations = after_sale::cancellations(&work.owner, marketplace.as_deref());
    let refunds_telling = after_sale::refunds(&work.owner, marketplace.as_deref());
    let passed_on_since = engine.store().read(refunds::passed_on_since).await?;
    let context = AfterSaleContext {
        marketplace: work.owner.id,
        alias: &alias,
        is_history: work.held.is_history,
        is_shipped,
        cancellations,
        refunds: refunds_telling,
        passed_on_since,
        shop_changed_at: row.updated_at,
        now,
    };
    let unlisted = unlisted_refund(&work.facts, row.refunded_minor, is_refunded, &listed, context);
    // The list of refunds may lag behind what the order itself says.
    let looks_again_at = read_shop_shipments::settled_at(&work).filter(|at| *at > now && unlisted.is_some());
    // A refund afterwards does not undo the cancellation.
    let was_cancelled = row.after_sale == Some(AfterSale::Cancelled) || row.cancelled_at.is_some();
    let cancelled = if was_cancelled {
        plan_shop_cancellation(&work.facts, context)
    } else {
        CancellationPlan::default()
    };
    let held: Vec<HeldRefund> = engine
        .store()
        .read(move |read| refunds::of_order(read, order_no))
        .await?
        .into_iter()
        .map(|row| row.refund)
        .collect();
    let refunded = plan_shop_refunds(&work.facts, &line_ids, &held, &listed, context);
    let (unlisted_event, hold) = unlisted.filter(|_| looks_again_at.is_none()).unzip();
    let hold = hold.flatten();
    let stale = read_shop_shipments::superseded(engine, &work);
    let effect = work.effect.clone();
    let (owner, cancelled_at) = (work.owner.id, row.cancelled_at.unwrap_or(work.effect.created_at));
    let is_held = hold.is_some();
    let opened = engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            let mut opened = keep_cancellation(tx, order_no, owner, (&cancelled, cancelled_at), now)?;
            refunds::add(tx, order_no, &refunded.new, now)?;
            // What is held says so by itself.
            let said = unlisted_event.iter().filter(|_| !is_held);
            for event in refunded.events.iter().chain(said) {
                events::add(tx, Some(order_no), None, event, "eider", None, now)?;
            }
            for new in &refunded.effects {
                opened.extend(effects::open(tx, order_no, new)?);
            }
            for id in &stale {
                effects::finish(tx, *id, EffectOutcome::Dropped, "Newer news of the shop order came.")?;
            }
            match looks_again_at {
                Some(at) => {
                    let text = "The shop's refunds were read; once more when its list has them all.";
                    effects::postpone(tx, effect.id, at, EffectState::Due, None, text)?;
                }
                None if is_held => {}
                None => effects::finish(tx, effect.id, EffectOutcome::Done, "The shop order was read.")?,
            }
            Ok((opened, stale.clone()))
        })
        .await?;
    let (opened, dropped) = opened;
    engine.with_queue(|queue| dropped.into_iter().for_each(|id| queue.remove(id)));
    engine.enqueue(opened);
    if let Some(reason) = hold {
        return Ok(Outcome::held(reason, now));
    }
    let again = looks_again_at.map(|due_at| Effect { due_at, reason: None, ..work.effect });
    Ok(Outcome::Written(again))
}

/// Writes what follows from a cancellation, once for each time that the shop cancelled.
fn keep_cancellation(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    owner: ConnectionId,
    (plan, cancelled_at): (&CancellationPlan, Timestamp),
    now: Timestamp,
) -> Result<Vec<Effect>, StoreError> {
    let said = events::of_order(tx, order_no)?;
    let is_said =
        |event: &events::EventRow| event.kind == EventKind::CancelledInShop && event.at >= cancelled_at;
    if said.iter().any(is_said) {
        return Ok(Vec::new());
    }
    if let Some(event) = &plan.event {
        events::add(tx, Some(order_no), None, event, "eider", None, now)?;
    }
    // The marketplace may have cancelled it, too, while the shop was asked.
    let is_left = |tx: &Tx<'_>| {
        orders::facts(tx, order_no)
            .map(|held| held.is_none_or(|(_, held, _)| held.status != OrderStatus::Cancelled))
    };
    if let Some((text, next_step)) = &plan.incident
        && is_left(tx)?
    {
        let incident = NewIncident {
            connection: Some(owner),
            order_no: Some(order_no),
            kind: INCIDENT.to_owned(),
            text: text.clone(),
            next_step: (*next_step).to_owned(),
        };
        incidents::open(tx, &incident, now)?;
    }
    match &plan.effect {
        Some(new) => Ok(effects::open(tx, order_no, new)?.into_iter().collect()),
        None => Ok(Vec::new()),
    }
}

/// The marketplace's line ids by the shop's, where a refund names any.
async fn line_ids(
    engine: &Engine,
    work: &Work,
    shop: &dyn ShopOrders,
    row: &MirrorRow,
    listed: &[ShopRefund],
) -> Result<HashMap<String, String>, EngineError> {
    let items = listed.iter().flat_map(|refund| &refund.items);
    if items.into_iter().any(|item| item.kind == ShopRefundKind::Goods) {
        return read_shop_shipments::line_ids(engine, work, shop, &row.shop_order_id).await;
    }
    Ok(HashMap::new())
}

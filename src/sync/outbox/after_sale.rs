//! What cancellations and refunds have in common: they may take the marketplace days, they can be switched off, and
//! what the marketplace refuses waits for a person.

use std::time::Duration;

use super::{Outcome, Work};
use crate::channels::registry;
use crate::channels::{Connector, FulfilmentOrder};
use crate::domain::connection::Connection;
use crate::domain::effect::{Effect, EffectOutcome, EffectState};
use crate::domain::order::{LineFacts, OrderStatus};
use crate::domain::plan::after_sale::Telling;
use crate::domain::plan::{EventKind, NewEvent};
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::{WriteLane, effects, events, shipments};
use crate::sync::{Engine, EngineError, retry};

/// A platform that takes its time is asked again after so long, and then ever more rarely.
const ASK_FIRST: Duration = Duration::from_secs(30);
/// Longest wait between two questions.
const ASK_MAX: Duration = Duration::from_secs(3_600);

/// Whether a marketplace is told of cancellations made in the shop.
pub(super) fn cancellations(owner: &Connection, connector: Option<&dyn Connector>) -> Telling {
    let can = connector.is_none_or(|connector| connector.cancellation().is_some());
    telling(owner, owner.settings.send_cancellations, can)
}

/// Whether a marketplace is told of refunds made in the shop.
pub(super) fn refunds(owner: &Connection, connector: Option<&dyn Connector>) -> Telling {
    let can = connector.is_none_or(|connector| connector.refunds().is_some());
    telling(owner, owner.settings.send_refunds, can)
}

fn telling(owner: &Connection, switch: Option<bool>, can: bool) -> Telling {
    let usual = registry::channel(&owner.channel).and_then(|info| info.sends_after_sale);
    match (usual, switch) {
        (Some(usual), switch) if can => {
            if switch.unwrap_or(usual) {
                Telling::On
            } else {
                Telling::Off
            }
        }
        _ => Telling::Impossible,
    }
}

/// The marketplace's order, as its calls take it.
pub(super) fn order_of(work: &Work) -> FulfilmentOrder {
    FulfilmentOrder { external_id: work.facts.external_id.clone(), site: work.facts.site.clone() }
}

/// Whether anything of the order has left, as far as anybody knows.
pub(super) async fn is_shipped(engine: &Engine, work: &Work) -> Result<bool, EngineError> {
    let order_no = work.effect.order_no;
    let parcels = engine.store().read(move |read| shipments::parcels(read, order_no)).await?;
    let by_status = matches!(work.facts.status, OrderStatus::PartShipped | OrderStatus::Shipped);
    let has_units = |line: &LineFacts| line.quantity_shipped > 0;
    Ok(by_status || work.facts.lines.iter().any(has_units) || parcels.iter().any(|parcel| !parcel.is_gone))
}

/// The platform is at it: what it wants to be asked with is durable, and it is asked again.
pub(super) async fn pending(engine: &Engine, work: &Work, ticket: String) -> Result<Outcome, EngineError> {
    let (id, now) = (work.effect.id, engine.now());
    let current = engine.current(&work.effect);
    let since = current.called_at.unwrap_or(current.created_at);
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let due_at = retry::later(now, waited.clamp(ASK_FIRST, ASK_MAX));
    let reason = Reason::of(ReasonCode::Undecided);
    let (kept, why) = (ticket.clone(), reason.clone());
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            effects::set_ticket(tx, id, Some(&kept))?;
            effects::postpone(tx, id, due_at, EffectState::Due, Some(&why), &why.what())
        })
        .await?;
    let next = Effect {
        state: EffectState::Due,
        due_at,
        ticket: Some(ticket),
        first_empty_probe_at: None,
        reason: Some(reason),
        ..current
    };
    Ok(Outcome::Written(Some(next)))
}

/// The effect is over, and the order's timeline says how.
pub(super) async fn over(
    engine: &Engine,
    work: &Work,
    outcome: EffectOutcome,
    kind: EventKind,
    text: String,
) -> Result<Outcome, EngineError> {
    let (id, order_no, now) = (work.effect.id, work.effect.order_no, engine.now());
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            effects::finish(tx, id, outcome, &text)?;
            let event = NewEvent::new(kind, text.clone());
            events::add(tx, Some(order_no), None, &event, "eider", None, now)
        })
        .await?;
    Ok(Outcome::Written(None))
}

/// It waits for a person; whatever the platform wanted to be asked with is forgotten, so that a retry begins anew.
pub(super) async fn held(engine: &Engine, work: &Work, reason: Reason) -> Result<Outcome, EngineError> {
    let id = work.effect.id;
    if engine.current(&work.effect).ticket.is_some() {
        engine.store().write(WriteLane::Interactive, move |tx| effects::set_ticket(tx, id, None)).await?;
        let current = engine.current(&work.effect);
        engine.with_queue(|queue| queue.put(Effect { ticket: None, ..current }));
    }
    Ok(Outcome::held(reason, engine.now()))
}

//! What cancellations and refunds have in common: they may take the marketplace days, they can be switched off, and
//! what the marketplace refuses waits for a person.

use std::time::Duration;

use jiff::Timestamp;

use super::{Outcome, Work, is_young};
use crate::channels::error::{ChannelError, RejectKind};
use crate::channels::registry;
use crate::channels::{Connector, FulfilmentOrder};
use crate::domain::connection::Connection;
use crate::domain::effect::{Effect, EffectKind, EffectOutcome, EffectState};
use crate::domain::order::{LineFacts, OrderStatus};
use crate::domain::plan::after_sale::Telling;
use crate::domain::plan::{EventKind, NewEvent};
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::refunds as shop_refunds;
use crate::store::{WriteLane, effects, events, shipments};
use crate::sync::{Engine, EngineError, retry};

/// A platform that takes its time is asked again after so long, and then ever more rarely.
const ASK_FIRST: Duration = Duration::from_secs(30);
/// Longest wait between two questions.
const ASK_MAX: Duration = Duration::from_secs(3_600);
/// A platform that has not decided after so long is not asked any more: a person looks.
const UNDECIDED_MAX: Duration = Duration::from_secs(3 * 24 * 3_600);

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

/// The platform is at it: what it wants to be asked with is durable, and it is asked again, until it has taken so long
/// that a person should look. Where it is at a refund, `refund` is the shop's id of it: the ticket is the marketplace's.
pub(super) async fn pending(
    engine: &Engine,
    work: &Work,
    ticket: String,
    refund: Option<&str>,
) -> Result<Outcome, EngineError> {
    let (id, order_no, now) = (work.effect.id, work.effect.order_no, engine.now());
    let current = engine.current(&work.effect);
    let (state, due_at, reason) = match asked_next_at(&current, now) {
        Some(due_at) => (EffectState::Due, due_at, Reason::of(ReasonCode::Undecided)),
        None => {
            let detail = "it was asked days ago and has not decided; it is asked again on Retry";
            (EffectState::Held, now, Reason::with(unsettled(&current), detail))
        }
    };
    let (kept, why, refund) = (ticket.clone(), reason.clone(), refund.map(str::to_owned));
    let is_held = state == EffectState::Held;
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            effects::set_ticket(tx, id, Some(&kept))?;
            if let Some(refund) = &refund {
                shop_refunds::set_marketplace_id(tx, order_no, refund, &kept)?;
            }
            if is_held {
                let event = NewEvent::new(EventKind::Held, why.what());
                events::add(tx, Some(order_no), None, &event, "eider", None, now)?;
            }
            effects::postpone(tx, id, due_at, state, Some(&why), &why.what())
        })
        .await?;
    let next = Effect {
        state,
        due_at,
        ticket: Some(ticket),
        first_empty_probe_at: None,
        reason: Some(reason),
        ..current
    };
    Ok(Outcome::Written(Some(next)))
}

/// When a platform that takes its time is asked again: ever more rarely; none once it has taken so long that nothing more
/// is to be expected.
pub(super) fn asked_next_at(effect: &Effect, now: Timestamp) -> Option<Timestamp> {
    let waited = waited(effect, now);
    (waited < UNDECIDED_MAX).then(|| retry::later(now, waited.clamp(ASK_FIRST, ASK_MAX)))
}

/// How long ago the platform was asked.
fn waited(effect: &Effect, now: Timestamp) -> Duration {
    let since = effect.called_at.unwrap_or(effect.created_at);
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// The reason of an effect of which nobody knows what came of it.
fn unsettled(effect: &Effect) -> ReasonCode {
    if effect.kind == EffectKind::RefundOrder {
        ReasonCode::RefundInDoubt
    } else {
        ReasonCode::CancellationRefused
    }
}

/// The platform was asked and does not let us know what came of it. What cannot be known by asking again waits for a
/// person, and keeps what it would be asked with: a retry only asks. Anything else is as good as no answer.
pub(super) fn not_seen(engine: &Engine, work: &Work, error: ChannelError) -> Result<Outcome, EngineError> {
    let (current, now) = (engine.current(&work.effect), engine.now());
    let is_final = match &error {
        ChannelError::Reject { kind: RejectKind::NotFound, .. } => !is_young(&current, now),
        ChannelError::Reject { .. } | ChannelError::Fatal { .. } => true,
        ChannelError::Corrupt { in_doubt, .. } => *in_doubt || waited(&current, now) >= UNDECIDED_MAX,
        ChannelError::Retry { .. } | ChannelError::Reauth { .. } => false,
    };
    if !is_final {
        return Err(error.into());
    }
    let detail = format!("what came of it could not be looked at: {error}");
    Ok(Outcome::held(Reason::with(unsettled(&current), detail), now))
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

//! Asks the marketplace to cancel an order that was cancelled in the shop. Asking twice is harmless; the order is looked
//! at before each time, so that what is cancelled already is never asked for.

use std::sync::Arc;

use super::{Outcome, Work, after_sale};
use crate::channels::Connector;
use crate::channels::after_sale::{CancelReason, Progress};
use crate::domain::effect::EffectOutcome;
use crate::domain::order::{OrderFacts, OrderStatus};
use crate::domain::plan::EventKind;
use crate::domain::plan::after_sale::Telling;
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::{Read, mirror, orders};
use crate::sync::{Engine, EngineError};

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    if work.facts.status == OrderStatus::Cancelled {
        return found(engine, &work).await;
    }
    let connector = engine.connector(work.target.id)?;
    let order = after_sale::order_of(&work);
    let Some(cancellation) = connector.cancellation() else {
        return refused(engine, &work, "it takes no cancellations from other programs".to_owned()).await;
    };
    let progress = match &work.effect.ticket {
        Some(ticket) => match cancellation.cancellation(&order, ticket).await {
            Ok(progress) => progress,
            Err(error) => return after_sale::not_seen(engine, &work, error),
        },
        None => {
            if after_sale::cancellations(&work.owner, Some(&*connector)) != Telling::On {
                let text = format!("{} was not asked: that was switched off meanwhile.", work.target.alias);
                return dropped(engine, &work, text).await;
            }
            if is_set_back(engine, &work).await? {
                let text = format!("The shop set the order back: {} was not asked.", work.target.alias);
                return dropped(engine, &work, text).await;
            }
            let seen = look(engine, &work, &connector).await?;
            match seen.as_ref().map(|facts| facts.status) {
                Some(OrderStatus::Cancelled) => return found(engine, &work).await,
                Some(OrderStatus::PartShipped | OrderStatus::Shipped) => {
                    return refused(engine, &work, "part of it has been shipped".to_owned()).await;
                }
                Some(OrderStatus::Open | OrderStatus::Pending) | None => {}
            }
            if after_sale::is_shipped(engine, &work).await? {
                return refused(engine, &work, "part of it has been shipped".to_owned()).await;
            }
            engine.begin_call(&work).await?;
            cancellation.cancel(&order, reason(seen.as_ref())).await?
        }
    };
    match progress {
        Progress::Done => {
            // A refund of the same order must see that the money goes back with this.
            look(engine, &work, &connector).await?;
            let text = format!("{} cancelled the order, as the shop did.", work.target.alias);
            after_sale::over(engine, &work, EffectOutcome::Done, EventKind::CancellationSent, text).await
        }
        Progress::Pending(ticket) => after_sale::pending(engine, &work, ticket, None).await,
        // What is cancelled already is refused, too.
        Progress::Refused(words) | Progress::Doubtful(words) => {
            match look(engine, &work, &connector).await? {
                Some(facts) if facts.status == OrderStatus::Cancelled => found(engine, &work).await,
                _ => refused(engine, &work, words).await,
            }
        }
    }
}

/// Why, as far as anybody knows. The shop does not say why it cancelled, and it would be untrue that the buyer asked for it,
/// unless the marketplace itself says so: then it counts against nobody.
fn reason(seen: Option<&OrderFacts>) -> CancelReason {
    match seen {
        Some(facts) if facts.is_unwanted_whole() => CancelReason::BuyerAsked,
        _ => CancelReason::OutOfStock,
    }
}

/// The marketplace's order as it is now, kept as news.
async fn look(
    engine: &Engine,
    work: &Work,
    connector: &Arc<dyn Connector>,
) -> Result<Option<OrderFacts>, EngineError> {
    let Some(source) = connector.order_source() else { return Ok(None) };
    let Some(received) = source.order(&work.facts.external_id).await? else { return Ok(None) };
    let facts = received.facts.clone().ok();
    engine.import(&work.target, source, vec![received], None, "eider").await?;
    Ok(facts)
}

/// Whether the shop goes on with the order after all, as far as its list has told.
async fn is_set_back(engine: &Engine, work: &Work) -> Result<bool, EngineError> {
    let Some(shop) = work.owner.settings.shop else { return Ok(false) };
    let (order_no, external_id) = (work.effect.order_no, work.facts.external_id.clone());
    let seen = move |read: &Read<'_>| {
        let own = orders::shop_order_id(read, order_no)?;
        let rows = mirror::find_all(read, shop, std::slice::from_ref(&external_id))?;
        Ok(rows.into_iter().find(|row| Some(&row.shop_order_id) == own.as_ref()))
    };
    Ok(engine.store().read(seen).await?.is_some_and(|row| row.is_set_back()))
}

async fn dropped(engine: &Engine, work: &Work, text: String) -> Result<Outcome, EngineError> {
    after_sale::over(engine, work, EffectOutcome::Dropped, EventKind::CancelledInShop, text).await
}

async fn found(engine: &Engine, work: &Work) -> Result<Outcome, EngineError> {
    let text = format!("{} has cancelled the order already.", work.target.alias);
    after_sale::over(engine, work, EffectOutcome::Found, EventKind::CancellationSent, text).await
}

async fn refused(engine: &Engine, work: &Work, words: String) -> Result<Outcome, EngineError> {
    after_sale::held(engine, work, Reason::with(ReasonCode::CancellationRefused, words)).await
}

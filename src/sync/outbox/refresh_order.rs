//! Fetches an order from its platform again and imports what came back.

use super::{Outcome, Work, after_sale};
use crate::channels::error::ChannelError;
use crate::domain::effect::{EffectOutcome, EffectState};
use crate::domain::plan::REFUND_REVISION;
use crate::sync::{Engine, EngineError};

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let connector = engine.connector(work.target.id)?;
    let alias = &work.target.alias;
    let source = connector
        .order_source()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{alias} gives no orders") })?;
    let Some(received) = source.order(&work.facts.external_id).await? else {
        let text = format!("{alias} no longer knows this order.");
        return Ok(Outcome::Finished(EffectOutcome::Refused, text));
    };
    // A copy that lags behind what is held says nothing of what is under way.
    let is_undecided = received.facts.as_ref().is_ok_and(|facts| {
        let is_under_way = facts.refunds.as_ref().is_some_and(|given_back| given_back.is_more_under_way);
        is_under_way || facts.updated_at < work.facts.updated_at
    });
    engine.import(&work.target, source, vec![received], None, "eider").await?;
    // Only what waits for a refund waits on; a person who asked for the order has it.
    let waits_on = is_undecided && work.effect.revision == REFUND_REVISION;
    if let Some(due_at) = after_sale::asked_next_at(&work.effect, engine.now()).filter(|_| waits_on) {
        let text = format!("{alias} is still at a refund.");
        return Ok(Outcome::Postponed { due_at, state: EffectState::Due, reason: None, text });
    }
    let text = format!("Fetched from {alias} again.");
    Ok(Outcome::Finished(EffectOutcome::Done, text))
}

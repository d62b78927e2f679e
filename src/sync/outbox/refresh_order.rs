//! Fetches an order from its platform again and imports what came back.

use super::{Outcome, Work};
use crate::channels::error::ChannelError;
use crate::domain::effect::EffectOutcome;
use crate::sync::{Engine, EngineError};

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let connector = engine.connector(work.target.id)?;
    let source = connector
        .order_source()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} gives no orders", work.target.alias) })?;
    let Some(received) = source.order(&work.facts.external_id).await? else {
        let text = format!("{} no longer knows this order.", work.target.alias);
        return Ok(Outcome::Finished(EffectOutcome::Refused, text));
    };
    engine.import(&work.target, source, vec![received], None, "eider").await?;
    let text = format!("Fetched from {} again.", work.target.alias);
    Ok(Outcome::Finished(EffectOutcome::Done, text))
}

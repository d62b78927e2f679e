//! Fetches what a buyer designed for a line and keeps it beside the order, before the link to it dies.
//!
//! Fetching twice is harmless. The link stands among the person data of the payload and must appear nowhere else:
//! neither in a reason nor in a log.

use super::{Outcome, Work};
use crate::channels::error::ChannelError;
use crate::channels::{Archive, Connector, Customisations, OrderSource};
use crate::domain::effect::EffectOutcome;
use crate::domain::plan::{EventKind, NewEvent};
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::files::NewFile;
use crate::store::{WriteLane, effects, events, files, orders};
use crate::sync::{Engine, EngineError};

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let connector = engine.connector(work.target.id)?;
    let (source, designs) = capabilities(&*connector, &work)?;
    let (order_no, line) = (work.effect.order_no, work.effect.revision.as_str());
    let held = engine.store().read(move |read| orders::believed_payload(read, order_no)).await?;
    let link = held.and_then(|payload| designs.link(&payload, line));
    if let Some(link) = link
        && let Some(archive) = designs.archive(&link).await?
    {
        return keep(engine, &work, archive).await;
    }
    // The link has died, or its data was erased: the order, read again, has a new one.
    let Some(received) = source.order(&work.facts.external_id).await? else {
        let text = format!("{} no longer knows this order.", work.target.alias);
        return Ok(Outcome::Finished(EffectOutcome::Refused, text));
    };
    let link = designs.link(&received.payload, line);
    engine.import(&work.target, source, vec![received], None, "eider").await?;
    let Some(link) = link else { return Ok(missing(engine, "the order no longer names it")) };
    match designs.archive(&link).await? {
        Some(archive) => keep(engine, &work, archive).await,
        None => Ok(missing(engine, "its link is dead, and so is the one that came with the order just now")),
    }
}

fn capabilities<'c>(
    connector: &'c dyn Connector,
    work: &Work,
) -> Result<(&'c dyn OrderSource, &'c dyn Customisations), ChannelError> {
    let lacking = || ChannelError::Fatal { message: format!("{} gives no designs", work.target.alias) };
    let source = connector.order_source().ok_or_else(lacking)?;
    Ok((source, connector.customisations().ok_or_else(lacking)?))
}

fn missing(engine: &Engine, what: &str) -> Outcome {
    Outcome::held(Reason::with(ReasonCode::CustomisationMissing, what), engine.now())
}

/// The file first, then its row with the end of the effect.
async fn keep(engine: &Engine, work: &Work, archive: Archive) -> Result<Outcome, EngineError> {
    let (effect, external_line_id) = (work.effect.id, work.effect.revision.clone());
    let order_no = work.effect.order_no;
    let line = work.facts.lines.iter().find(|line| line.external_id == external_line_id);
    let of = line.map_or(external_line_id.as_str(), |line| line.sku.as_deref().unwrap_or(&line.title));
    let text = format!("What the buyer designed for {of} is kept with the order.");
    let name = format!("customisation-{}-{external_line_id}.{}", work.facts.external_id, archive.extension);
    let new = NewFile {
        media_type: archive.media_type.to_owned(),
        name,
        order_no,
        external_line_id: Some(external_line_id),
    };
    let laid = engine.store().lay_file(archive.bytes).await?;
    let (kept, connection) = (laid.clone(), work.target.id);
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            files::add(tx, &kept, &new)?;
            let event = NewEvent::new(EventKind::CustomisationKept, text.clone());
            let now = tx.now();
            events::add(tx, Some(order_no), Some(connection), &event, "eider", None, now)?;
            effects::finish(tx, effect, EffectOutcome::Done, &text)
        })
        .await?;
    // The effect is over whatever becomes of the note beside the file: the next start takes that away.
    if let Err(error) = engine.store().file_is_in(laid).await {
        tracing::warn!(effect.id = effect.0, order.no = order_no.0, "{error}");
    }
    Ok(Outcome::Written(None))
}

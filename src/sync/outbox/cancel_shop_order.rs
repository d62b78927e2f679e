//! Cancels the shop order of an order that was cancelled on the marketplace. Setting a status twice is harmless.

use super::{Outcome, Work, create_shop_order};
use crate::channels::error::ChannelError;
use crate::domain::draft::CANCELLED_STATUS_ID;
use crate::domain::effect::{EffectOutcome, EffectState};
use crate::domain::order::ExportState;
use crate::store::mirror::MirrorRow;
use crate::store::orders;
use crate::sync::{Engine, EngineError, retry};

/// How long a cancellation waits for its order's create.
const CREATE_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let order_no = work.effect.order_no;
    let held = engine.store().read(move |read| orders::shop_order_id(read, order_no)).await?;
    let connector = engine.connector(work.target.id)?;
    let shop = connector
        .shop_orders()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} is no shop", work.target.alias) })?;
    let shop_order_id = match held {
        None if is_forgotten(engine, &work) => create_shop_order::adopt(engine, &work, shop).await?,
        held => held,
    };
    let Some(shop_order_id) = shop_order_id else {
        return Ok(match work.held.export_state {
            // The create is hastened to its end by itself, and hastens this one then.
            ExportState::Creating | ExportState::Waiting => Outcome::Postponed {
                due_at: retry::later(engine.now(), CREATE_WAIT),
                state: EffectState::Due,
                reason: None,
                text: "Waits until it is known whether the order is in the shop.".to_owned(),
            },
            ExportState::None | ExportState::Created | ExportState::Failed => {
                Outcome::Finished(EffectOutcome::Dropped, "It never reached the shop.".to_owned())
            }
        });
    };
    // The shop came first, and the marketplace heard of it from us: its cancellation is an echo.
    let own = work.mirrored.rows.iter().find(|row| row.shop_order_id == shop_order_id);
    if own.is_some_and(MirrorRow::is_off) {
        let text = format!("Shop order {shop_order_id} was cancelled or refunded there before.");
        return Ok(Outcome::Finished(EffectOutcome::Found, text));
    }
    engine.begin_call(&work).await?;
    shop.set_status(&shop_order_id, CANCELLED_STATUS_ID).await?;
    Ok(Outcome::Finished(EffectOutcome::Done, format!("Shop order {shop_order_id} was cancelled.")))
}

/// Whether the order may be in the shop although we know nothing of that: a restore has forgotten what was created
/// after its backup.
fn is_forgotten(engine: &Engine, work: &Work) -> bool {
    let is_settled = matches!(work.held.export_state, ExportState::None | ExportState::Failed);
    is_settled && engine.store().installation().may_have_forgotten(work.facts.placed_at)
}

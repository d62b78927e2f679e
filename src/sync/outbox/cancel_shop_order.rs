//! Cancels the shop order of an order that was cancelled on the marketplace. Setting a status twice is harmless.

use super::{Outcome, Work};
use crate::channels::error::ChannelError;
use crate::domain::draft::CANCELLED_STATUS_ID;
use crate::domain::effect::EffectOutcome;
use crate::store::orders;
use crate::sync::{Engine, EngineError};

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let order_no = work.effect.order_no;
    let shop_order_id = engine.store().read(move |read| orders::shop_order_id(read, order_no)).await?;
    let Some(shop_order_id) = shop_order_id else {
        return Ok(Outcome::Finished(EffectOutcome::Dropped, "It never reached the shop.".to_owned()));
    };
    let connector = engine.connector(work.target.id)?;
    let shop = connector
        .shop_orders()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} is no shop", work.target.alias) })?;
    engine.begin_call(&work).await?;
    shop.set_status(&shop_order_id, CANCELLED_STATUS_ID).await?;
    Ok(Outcome::Finished(EffectOutcome::Done, format!("Shop order {shop_order_id} was cancelled.")))
}

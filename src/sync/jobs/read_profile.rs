//! Reads a shop's currency and the address of its order pages, once a day.

use std::time::Duration;

use super::Ran;
use crate::channels::error::ChannelError;
use crate::domain::connection::Connection;
use crate::store::{WriteLane, connections};
use crate::sync::{Engine, EngineError};

const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let connector = engine.connector(connection.id)?;
    let shop = connector
        .shop_orders()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} is no shop", connection.channel) })?;
    let profile = shop.profile().await?;
    let (id, kept) = (connection.id, profile.clone());
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            let (page, zone) = (kept.order_page.as_deref(), kept.time_zone.as_deref());
            connections::set_shop_profile(tx, id, Some(&kept.currency), page, zone)
        })
        .await?;
    let is_news = connection.currency.as_deref() != Some(profile.currency.as_str());
    if let Some(mut current) = engine.connection(connection.id).filter(|_| is_news) {
        current.currency = Some(profile.currency);
        engine.adopt(current, engine.now());
    }
    Ok(Ran::Until(INTERVAL))
}

//! Reads every listing of a connection; a shop's are what SKUs are matched to.

use super::Ran;
use crate::channels::registry;
use crate::domain::connection::Connection;
use crate::store::{WriteLane, listings};
use crate::sync::{Engine, EngineError};

/// More pages than any real catalogue has: a platform whose pages never end is stopped here.
const PAGE_COUNT_MAX: usize = 20_000;

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let interval = engine.settings().listings_interval;
    let connector = engine.connector(connection.id)?;
    let Some(catalogue) = connector.catalogue() else { return Ok(Ran::Until(interval)) };
    let id = connection.id;
    let began_at = engine.now();
    let mut next: Option<String> = None;
    for _ in 0..PAGE_COUNT_MAX {
        let page = catalogue.listings(next.as_deref()).await?;
        let found = page.listings;
        engine.store().write(WriteLane::Bulk, move |tx| listings::upsert(tx, id, &found, began_at)).await?;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    engine.store().write(WriteLane::Bulk, move |tx| listings::mark_gone(tx, id, began_at)).await?;
    if registry::channel(&connection.channel).is_some_and(|info| info.is_shop) {
        let variants = engine.store().read(move |read| listings::shop_variants(read, id)).await?;
        engine.set_variants(id, variants);
    }
    Ok(Ran::Until(interval))
}

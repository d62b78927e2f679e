//! Reads a shop's changed orders: all of them into the mirror, the shop's own as orders.

use std::sync::Arc;

use jiff::SignedDuration;

use super::{Job, Ran, history_start};
use crate::channels::error::ChannelError;
use crate::channels::{Connector, Cursor, OrderSource, PollStart, ShopOrderSummary, ShopPage};
use crate::clock::shifted;
use crate::domain::connection::Connection;
use crate::store::mirror::{self, MirrorRow};
use crate::store::orders::{self, ImportBatch, ImportOutcome, StreamUpdate};
use crate::store::replays::{self, ReplayStep};
use crate::store::{WriteLane, connections};
use crate::sync::{Engine, EngineError, inbox, twins};

/// The mirror reaches back so far before the connection was made: an order placed before that is probed.
const MIRROR_DAYS: i64 = 3;

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let connector = engine.connector(connection.id)?;
    let (Some(shop), Some(source)) = (connector.shop_orders(), connector.order_source()) else {
        return Err(ChannelError::Fatal { message: format!("{} is no shop", connection.channel) }.into());
    };
    let id = connection.id;
    let stream = Job::PollShop.stream();
    let held = engine.store().read(move |read| connections::stream(read, id, stream)).await?;
    let cursor: Cursor =
        held.as_ref().and_then(|state| serde_json::from_str(&state.cursor_json).ok()).unwrap_or_default();
    let mirror_start = shifted(connection.created_at, SignedDuration::from_hours(-24 * MIRROR_DAYS));
    let since = history_start(connection).map(|start| start.min(mirror_start));
    let began_at = engine.now();
    let page = shop.changed_shop_orders(&cursor, PollStart { since, is_bulk: false }).await?;

    let mut update = inbox::stream_update(stream, &page.cursor, None, began_at);
    update.complete_since = since;
    if !page.has_more {
        update.complete_until = Some(began_at);
    }
    let has_more = page.has_more;
    let imported = take(engine, connection, &connector, page, update, None).await?;
    engine.note_poll(id, imported.new, has_more, None, began_at);
    if has_more {
        return Ok(Ran::Again);
    }
    let wished =
        connection.settings.poll_interval_s.map_or(engine.settings().shop_poll_interval, |seconds| {
            std::time::Duration::from_secs(u64::from(seconds))
        });
    Ok(Ran::Until(wished.max(source.poll_interval_min())))
}

/// Keeps a page of a shop: all of it in the mirror, the shop's own as orders; of a marketplace, which has no mirror,
/// the orders alone. The stream's cursor, or that of a replay, is part of the write.
pub(super) async fn take(
    engine: &Engine,
    connection: &Connection,
    connector: &Arc<dyn Connector>,
    page: ShopPage,
    update: StreamUpdate,
    replayed: Option<ReplayStep>,
) -> Result<ImportOutcome, EngineError> {
    let id = connection.id;
    let rows: Vec<MirrorRow> = page.summaries.iter().map(mirror_row).collect();
    let paths = connector.order_source().map(OrderSource::person_paths).unwrap_or_default();
    let has_orders = connection.settings.import_orders;
    let own = if has_orders { page.own } else { Vec::new() };
    let began_at = update.success_at;
    let batch = ImportBatch {
        connection: connection.clone(),
        is_bulk: own.len() > 20,
        orders: own.into_iter().map(|received| inbox::import_item(received, paths)).collect(),
        stream: Some(update),
        now: began_at,
        actor: "eider".to_owned(),
    };
    let lane = if batch.is_bulk { WriteLane::Bulk } else { WriteLane::Interactive };
    let connector = Arc::clone(connector);
    let (mirrored, imported) = engine
        .store()
        .write(lane, move |tx| {
            let mirrored = mirror::apply(tx, id, &rows, |status| is_shipped(&connector, status), began_at)?;
            let imported = orders::import(tx, &batch)?;
            if let Some(step) = &replayed {
                replays::advance(tx, step, &imported, began_at)?;
            }
            Ok((mirrored, imported))
        })
        .await?;
    engine.enqueue(mirrored.effects);
    engine.enqueue(imported.effects.clone());
    twins::report(engine, connection, mirrored.twins).await?;
    Ok(imported)
}

/// The shop's order in the mirror's terms.
pub(in crate::sync) fn mirror_row(order: &ShopOrderSummary) -> MirrorRow {
    MirrorRow {
        shop_order_id: order.shop_order_id.clone(),
        external_order_id: order.origin.external_order_id.clone(),
        external_source: order.origin.external_source.clone(),
        status_id: order.status_id,
        created_at: order.created_at,
        updated_at: order.updated_at,
        total_minor: order.total_minor,
        currency: order.currency.clone(),
        items_shipped: order.items_shipped,
        refunded_minor: order.refunded_minor,
        after_sale: order.after_sale,
        cancelled_at: None,
    }
}

/// True where the shop's status says that something was shipped.
pub(in crate::sync) fn is_shipped(connector: &Arc<dyn Connector>, status_id: u16) -> bool {
    connector.shop_orders().is_some_and(|shop| shop.is_shipped_status(status_id))
}

//! Reads a marketplace's changed orders. Pages that come quickly are stored together: each write costs as much as
//! hundreds of rows. A write holds the cursor of its last page, so that nothing is passed that is not durable.

use std::time::Duration;

use super::{Job, Ran, history_start};
use crate::channels::error::ChannelError;
use crate::channels::{Cursor, OrderPage, OrderSource, PollStart};
use crate::domain::connection::Connection;
use crate::store::connections;
use crate::sync::planted::Planted;
use crate::sync::{Engine, EngineError, inbox, retry};

/// Orders that are gathered before they are written.
pub const GATHERED_ORDERS_MAX: usize = 2_000;
/// How long they may be gathered: a person watches the progress, and what was read is not safe before it is written.
const GATHERED_FOR_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let connector = engine.connector(connection.id)?;
    let source = connector
        .order_source()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} gives no orders", connection.channel) })?;
    let id = connection.id;
    let stream = Job::PollOrders.stream();
    let held = engine.store().read(move |read| connections::stream(read, id, stream)).await?;
    let cursor: Cursor =
        held.as_ref().and_then(|state| serde_json::from_str(&state.cursor_json).ok()).unwrap_or_default();
    let start = PollStart { since: history_start(connection), is_bulk: false };
    let began_at = engine.now();
    let page = gather(engine, source, cursor, start).await?;
    let mut update = inbox::stream_update(stream, &page.cursor, page.remaining, began_at);
    update.complete_since = start.since;
    if !page.has_more {
        update.complete_until = Some(began_at);
    }
    let (has_more, remaining) = (page.has_more, page.remaining);
    if engine.has_planted(Planted::CursorMovedEarly) {
        engine.import(connection, source, Vec::new(), Some(update.clone()), "eider").await?;
    }
    let outcome = engine.import(connection, source, page.orders, Some(update), "eider").await?;
    engine.note_poll(id, outcome.new, has_more, remaining, began_at);
    if has_more {
        return Ok(Ran::Again);
    }
    let wished = connection
        .settings
        .poll_interval_s
        .map_or(engine.settings().poll_interval, |seconds| Duration::from_secs(u64::from(seconds)));
    Ok(Ran::Until(wished.max(source.poll_interval_min())))
}

/// Pages from `cursor` on as one: until there are no more, or there are enough, or one fails. What came before that
/// one is kept; whoever asks for it again hears of the failure.
async fn gather(
    engine: &Engine,
    source: &dyn OrderSource,
    cursor: Cursor,
    start: PollStart,
) -> Result<OrderPage, ChannelError> {
    let until = retry::later(engine.now(), GATHERED_FOR_MAX);
    let mut gathered = source.changed_orders(&cursor, start).await?;
    while gathered.has_more && gathered.orders.len() < GATHERED_ORDERS_MAX && engine.now() < until {
        match source.changed_orders(&gathered.cursor, start).await {
            Ok(next) => {
                let mut orders = std::mem::take(&mut gathered.orders);
                orders.extend(next.orders);
                gathered = OrderPage { orders, ..next };
            }
            Err(failure) => {
                tracing::debug!(order.count = gathered.orders.len(), "a later page failed: {failure}");
                break;
            }
        }
    }
    Ok(gathered)
}

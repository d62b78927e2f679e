//! Reads a marketplace's changed orders, page by page; each page commits with its cursor.

use super::{Job, Ran, history_start};
use crate::channels::error::ChannelError;
use crate::channels::{Cursor, PollStart};
use crate::domain::connection::Connection;
use crate::store::connections;
use crate::sync::planted::Planted;
use crate::sync::{Engine, EngineError, inbox};

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
    let start = PollStart { since: history_start(connection) };
    let began_at = engine.now();
    let page = source.changed_orders(&cursor, start).await?;
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
    if page.has_more {
        return Ok(Ran::Again);
    }
    let wished = connection.settings.poll_interval_s.map_or(engine.settings().poll_interval, |seconds| {
        std::time::Duration::from_secs(u64::from(seconds))
    });
    Ok(Ran::Until(wished.max(source.poll_interval_min())))
}

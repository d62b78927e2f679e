//! Reads again everything that a platform changed since a time, page by page, with a cursor of its own that lies in
//! the store: a restart goes on where it stopped, and the cursor of the polls stays where it is. What comes twice is
//! known by the import. Bulk work.

use std::time::Duration;

use super::{Job, Ran, poll_shop};
use crate::channels::error::ChannelError;
use crate::channels::{Cursor, PollStart, ShopPage};
use crate::domain::connection::Connection;
use crate::domain::plan::{EventKind, NewEvent};
use crate::store::replays::{self, Replay, ReplayStep};
use crate::store::{WriteLane, events};
use crate::sync::{Engine, EngineError, inbox};

/// Between two looks for a replay; one that is asked for does not wait for it.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let id = connection.id;
    let Some(replay) = engine.store().read(move |read| replays::under_way(read, id)).await? else {
        return Ok(Ran::Idle(INTERVAL));
    };
    let connector = engine.connector(id)?;
    let cursor: Cursor = serde_json::from_str(&replay.cursor_json)
        .map_err(|error| ChannelError::Fatal { message: format!("the replay's cursor: {error}") })?;
    let start = PollStart { since: Some(replay.from), is_bulk: true };
    let began_at = engine.now();
    let (page, remaining) = match (connector.shop_orders(), connector.order_source()) {
        (Some(shop), _) => (shop.changed_shop_orders(&cursor, start).await?, None),
        (None, Some(source)) => {
            let page = source.changed_orders(&cursor, start).await?;
            let (cursor, has_more) = (page.cursor, page.has_more);
            (ShopPage { summaries: Vec::new(), own: page.orders, cursor, has_more }, page.remaining)
        }
        (None, None) => {
            let message = format!("{} gives no orders", connection.channel);
            return Err(ChannelError::Fatal { message }.into());
        }
    };
    let is_last = !page.has_more;
    let update = inbox::stream_update(Job::Replay.stream(), &page.cursor, remaining, began_at);
    let cursor_json = update.cursor_json.clone();
    let step = ReplayStep { replay_id: replay.replay_id, cursor_json, is_last };
    poll_shop::take(engine, connection, &connector, page, update, Some(step)).await?;
    if is_last {
        finish(engine, connection, replay).await?;
    }
    Ok(Ran::Again)
}

/// Says on the connection's timeline what it came to.
async fn finish(engine: &Engine, connection: &Connection, begun: Replay) -> Result<(), EngineError> {
    let (id, now) = (connection.id, engine.now());
    let (from, alias) = (engine.time_text(begun.from), connection.alias.clone());
    engine
        .store()
        .write(WriteLane::Bulk, move |tx| {
            let all = replays::of_connection(tx, id, 1)?;
            let Some(replay) = all.first() else { return Ok(()) };
            let text = format!(
                "Everything that {alias} changed since {from} was read again: {} orders, {} of them new, {} with news.",
                replay.read, replay.new, replay.updated
            );
            let event = NewEvent::new(EventKind::Reconciled, text);
            events::add(tx, None, Some(id), &event, &begun.asked_by, None, now)
        })
        .await?;
    Ok(())
}

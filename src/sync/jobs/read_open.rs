//! Looks up open orders that are older than a platform's sweeps reach, or than the history that they read, one by one: a cancellation or refund that moves
//! no time of change would never be heard of otherwise. A few at a time, each in its turn; whose turn it is lies in the
//! store, so that a restart goes on where it stopped.

use std::time::Duration;

use jiff::SignedDuration;

use super::{Job, Ran, history_start};
use crate::channels::error::ChannelError;
use crate::channels::registry;
use crate::clock::shifted;
use crate::domain::connection::Connection;
use crate::domain::id::OrderNo;
use crate::store::connections::{self, StreamUpdate};
use crate::store::orders;
use crate::sync::{Engine, EngineError};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Orders at one look, so that a day's looks take 480 calls at most.
const AT_ONCE: u32 = 20;

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let id = connection.id;
    let swept_days = registry::channel(&connection.channel).and_then(|info| info.swept_days);
    let connector = engine.connector(id)?;
    let (Some(days), Some(source)) = (swept_days, connector.order_source()) else {
        return Ok(Ran::Idle(INTERVAL));
    };
    // A day less than the sweeps reach: none falls between the two.
    let until = shifted(engine.now(), SignedDuration::from_hours(-24 * i64::from(days.saturating_sub(1))));
    let since = history_start(connection);
    let stream = Job::ReadOpen.stream();
    let (before, open) = engine
        .store()
        .read(move |read| {
            let state = connections::stream(read, id, stream)?;
            let last = state.and_then(|state| state.cursor_json.parse().ok()).unwrap_or_default();
            let open = orders::open_placed_before(read, id, until, since, OrderNo(last), AT_ONCE)?;
            Ok((OrderNo(last), open))
        })
        .await?;
    if open.is_empty() {
        return Ok(Ran::Idle(INTERVAL));
    }
    let (mut last, mut received, mut failure) = (before, Vec::with_capacity(open.len()), None);
    for (order_no, external_id) in open {
        match source.order(&external_id).await {
            Ok(Some(order)) => received.push(order),
            // One that cannot be had keeps no other waiting: it has its turn again.
            Ok(None) | Err(ChannelError::Reject { .. } | ChannelError::Corrupt { .. }) => {
                tracing::debug!(
                    connection.id = id.0,
                    order.no = order_no.0,
                    "an open order could not be looked up"
                );
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
        last = order_no;
    }
    let update = StreamUpdate {
        stream: stream.to_owned(),
        cursor_json: last.0.to_string(),
        complete_since: None,
        complete_until: None,
        remaining: None,
        success_at: engine.now(),
    };
    engine.import(connection, source, received, Some(update), "eider").await?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(Ran::Until(INTERVAL)),
    }
}

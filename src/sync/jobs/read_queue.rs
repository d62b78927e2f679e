//! Takes a platform's messages out of the merchant's queue and keeps them with what is pushed. A message is deleted there
//! once it is durable here; one that comes twice changes nothing. A queue in trouble is no trouble of the account: polls
//! bring everything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Ran;
use crate::channels::error::ChannelError;
use crate::channels::message_queue::QueueError;
use crate::domain::connection::Connection;
use crate::sync::{Engine, EngineError};

/// There is no queue: what is entered starts the connection's jobs anew.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// After the queue refused a call, or did not answer.
const TROUBLE_PAUSE: Duration = Duration::from_secs(60);

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let id = connection.id;
    let connector = engine.connector(id)?;
    let Some(queue) = connector.message_queue() else { return Ok(Ran::Idle(INTERVAL)) };
    let pause = engine.settings().queue_pause;
    let received = tokio::select! {
        received = queue.receive() => received,
        // The program stops. What the queue was about to give comes again.
        () = engine.stopping() => return Ok(Ran::Idle(pause)),
    };
    let messages = match received {
        Ok(messages) => messages,
        Err(trouble) => {
            tell(engine, connection, trouble).await?;
            return Ok(Ran::Idle(TROUBLE_PAUSE));
        }
    };
    if messages.is_empty() {
        return Ok(Ran::Idle(pause));
    }
    let spool = &engine.inner.parts.hooks.spool;
    let mut receipts = Vec::with_capacity(messages.len());
    for message in messages {
        match spool.append(id, engine.now(), BTreeMap::new(), message.body).await {
            Ok(()) => receipts.push(message.receipt),
            Err(error) => {
                // What is not kept stays in the queue, which has room for days of it.
                tracing::error!(connection.id = id.0, "{error}");
                break;
            }
        }
    }
    let is_full = receipts.is_empty();
    engine.read_pushed_soon(id);
    if let Err(error) = queue.delete(&receipts).await {
        tracing::warn!(connection.id = id.0, "{error}; the messages come again");
    }
    Ok(if is_full { Ran::Idle(TROUBLE_PAUSE) } else { Ran::Again })
}

/// Says what is wrong with the queue, once for each thing that is.
async fn tell(engine: &Engine, connection: &Connection, trouble: QueueError) -> Result<(), EngineError> {
    let id = connection.id;
    let QueueError { cause, error } = trouble;
    tracing::warn!(connection.id = id.0, "{error}");
    let text = format!(
        "{} sends no messages by the queue, so that polls bring everything: {error}",
        connection.alias
    );
    if matches!(error, ChannelError::Retry { .. }) {
        return Ok(());
    }
    let is_known = engine
        .with_live(id, |live| live.queue_trouble.replace(cause.clone()).as_deref() == Some(cause.as_str()));
    if is_known {
        return Ok(());
    }
    Ok(engine.note_change(id, text).await?)
}

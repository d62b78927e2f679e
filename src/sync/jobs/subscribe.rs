//! Sees to it, once a day, that the platform sends its messages here. What a platform switched off is switched on again.

use std::time::Duration;

use super::Ran;
use crate::channels::error::ChannelError;
use crate::channels::webhooks::HookAddress;
use crate::domain::connection::Connection;
use crate::sync::{Engine, EngineError};

const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let id = connection.id;
    let connector = engine.connector(id)?;
    let subscribed = match (connector.webhooks(), engine.hook_endpoint(id), connector.message_queue()) {
        (Some(webhooks), Some(endpoint), _) => {
            let others = engine.hook_endpoints_beside(id);
            webhooks.subscribe(HookAddress { endpoint: &endpoint, others: &others }).await
        }
        (None, _, Some(queue)) => queue.subscribe().await,
        _ => return Ok(Ran::Idle(INTERVAL)),
    };
    let text = match subscribed {
        Ok(None) => return Ok(Ran::Until(INTERVAL)),
        Ok(Some(text)) => text,
        // Polls bring everything all the same: that it is refused is said, and no trouble of the connection.
        Err(ChannelError::Reject { message, .. } | ChannelError::Fatal { message }) => {
            format!("{} sends no messages here, so that polls bring everything: {message}", connection.alias)
        }
        Err(error) => return Err(error.into()),
    };
    let is_known =
        engine.with_live(id, |live| live.subscription.replace(text.clone()).as_ref() == Some(&text));
    if !is_known {
        engine.note_change(id, text).await?;
    }
    Ok(Ran::Until(INTERVAL))
}

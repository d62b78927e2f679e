//! Reads again what another version could not read: once per payload and version, and without a call.

use std::time::Duration;

use super::Ran;
use crate::domain::connection::Connection;
use crate::store::orders::ParkedChoice;
use crate::sync::{Engine, EngineError};

/// A new version comes with a start; in between there is nothing to look for.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let done = engine.replay_parked(connection.id, ParkedChoice::Untried, "eider").await?;
    if done.read > 0 || done.still_parked > 0 {
        tracing::info!(
            connection.id = connection.id.0,
            payload.read = done.read,
            payload.parked = done.still_parked,
            "parked payloads were read again"
        );
    }
    Ok(Ran::Idle(INTERVAL))
}

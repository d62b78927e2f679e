//! Looks now and then whether a platform that refused the credentials accepts them again: some refuse everybody
//! for a while, and then nobody should have to enter anything anew.

use super::{CHECK_INTERVAL, Ran};
use crate::domain::connection::{Connection, ConnectionState};
use crate::sync::{Engine, EngineError};

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let report = engine.connector(connection.id)?.probe().probe().await;
    if report.is_ok() {
        let state = ConnectionState::Active;
        engine.set_connection_state(connection.id, state, None, "eider").await?;
    }
    Ok(Ran::Until(CHECK_INTERVAL))
}

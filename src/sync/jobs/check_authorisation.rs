//! Looks now and then whether a platform that refused the credentials accepts them again: some refuse everybody
//! for a while, and then nobody should have to enter anything anew.

use super::{CHECK_INTERVAL, Ran};
use crate::channels::error::ChannelError;
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::id::ConnectionId;
use crate::sync::{Engine, EngineError};

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let report = engine.connector(connection.id)?.probe().probe().await;
    if report.is_ok() {
        let state = ConnectionState::Active;
        engine.set_connection_state(connection.id, state, None, "eider").await?;
    }
    Ok(Ran::Until(CHECK_INTERVAL))
}

impl Engine {
    /// An answer that refuses the credentials may be a passing one, or be about that call alone. Where everything else
    /// that orders need still works, the call counts as one to try again.
    pub(in crate::sync) async fn confirmed(&self, id: ConnectionId, error: ChannelError) -> ChannelError {
        let ChannelError::Reauth { message } = &error else { return error };
        let Ok(connector) = self.connector(id) else { return error };
        if !connector.probe().probe().await.is_ok() {
            return error;
        }
        let message = message.clone();
        ChannelError::Retry { after: None, in_doubt: false, throttled: false, message }
    }
}

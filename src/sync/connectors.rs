//! Connectors by connection: built once from the vault's credentials, thrown away when those change.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::consent::{UNSAVED, UnsavedSink};
use crate::channels::error::ChannelError;
use crate::channels::registry;
use crate::channels::{Connector, ConnectorSetup, CredentialSink};
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use crate::secret::Secret;
use crate::vault::Vault;

/// Keeps rotated credentials in the vault.
struct VaultSink(Arc<Vault>);

impl CredentialSink for VaultSink {
    fn keep(&self, connection: ConnectionId, name: &str, value: &Secret) -> Result<(), String> {
        self.0
            .update(|document| {
                document
                    .connections
                    .entry(connection.0)
                    .or_default()
                    .insert(name.to_owned(), value.expose().to_owned());
            })
            .map_err(|error| error.to_string())
    }

    fn kept(&self, connection: ConnectionId, name: &str) -> Option<Secret> {
        let text = self.0.read(|document| document.connections.get(&connection.0)?.get(name).cloned());
        text.map(Secret::new)
    }
}

impl Engine {
    /// The way to a connection's platform.
    pub(super) fn connector(&self, id: ConnectionId) -> Result<Arc<dyn Connector>, ChannelError> {
        if let Some(known) = self.with_live(id, |live| live.connector.clone()) {
            return Ok(known);
        }
        let connection = self
            .connection(id)
            .ok_or_else(|| ChannelError::Fatal { message: format!("connection {id} does not exist") })?;
        let credentials = self
            .inner
            .parts
            .vault
            .read(|document| document.connections.get(&id.0).cloned())
            .unwrap_or_default();
        let credentials = credentials.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        let built = self.build_connector(&connection, credentials)?;
        self.with_live(id, |live| live.connector = Some(Arc::clone(&built)));
        Ok(built)
    }

    /// Builds a connector, also for a connection that is not saved yet.
    pub(super) fn build_connector(
        &self,
        connection: &Connection,
        credentials: BTreeMap<String, Secret>,
    ) -> Result<Arc<dyn Connector>, ChannelError> {
        let info = registry::channel(&connection.channel).ok_or_else(|| ChannelError::Fatal {
            message: format!("this version has no channel “{}”", connection.channel),
        })?;
        (info.connect)(self.connector_setup(connection, credentials)?)
    }

    /// What a connector is built from.
    pub(super) fn connector_setup(
        &self,
        connection: &Connection,
        credentials: BTreeMap<String, Secret>,
    ) -> Result<ConnectorSetup, ChannelError> {
        let base_url = match connection.base_url.as_deref().map(url::Url::parse) {
            None => None,
            Some(Ok(url)) => Some(url),
            Some(Err(error)) => {
                return Err(ChannelError::Fatal { message: format!("the base URL cannot be read: {error}") });
            }
        };
        let parts = &self.inner.parts;
        let vault = Arc::clone(&parts.vault);
        let credential_sink: Arc<dyn CredentialSink> = if connection.id == UNSAVED {
            Arc::new(UnsavedSink { vault, entered: credentials.clone() })
        } else {
            Arc::new(VaultSink(vault))
        };
        Ok(ConnectorSetup {
            connection: connection.id,
            alias: connection.alias.clone(),
            base_url,
            credentials,
            settings: connection.settings.clone(),
            transport: Arc::clone(&parts.transport),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            credential_sink,
        })
    }

    /// Forgets a connector, so that the next call uses new credentials or settings.
    pub(super) fn drop_connector(&self, id: ConnectionId) {
        self.with_live(id, |live| live.connector = None);
    }
}

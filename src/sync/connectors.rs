//! Connectors by connection: built once from the vault's credentials, thrown away when those change.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

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
        // Built while nobody else may: two connectors would keep two paces, and what is built of credentials that were replaced
        // meanwhile has to be dropped with the rest.
        self.with_live(id, |live| {
            if let Some(known) = &live.connector {
                return Ok(Arc::clone(known));
            }
            let built = self.built_of_kept(id)?;
            live.connector = Some(Arc::clone(&built));
            Ok(built)
        })
    }

    fn built_of_kept(&self, id: ConnectionId) -> Result<Arc<dyn Connector>, ChannelError> {
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
        self.build_connector(&connection, credentials)
    }

    /// Held by whoever replaces a connection's credentials.
    pub(super) fn renewals(&self, id: ConnectionId) -> Arc<tokio::sync::Mutex<()>> {
        let mut known = self.inner.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(id).or_default())
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
            renewals: self.renewals(connection.id),
        })
    }

    /// Forgets a connector, so that the next call uses new credentials or settings.
    pub(super) fn drop_connector(&self, id: ConnectionId) {
        self.with_live(id, |live| live.connector = None);
    }
}

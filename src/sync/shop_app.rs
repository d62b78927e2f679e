//! The merchant's own app in the shop's control panel: kept in the vault, installed by a store, opened by its people.
//! Here a store becomes a connection; who its people are is the web's to know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use super::Engine;
use super::commands::{ConnectionUpdate, NewConnectionRequest, Refused};
use crate::channels::error::ChannelError;
use crate::channels::registry::SHOP_APP;
use crate::channels::shop_app::{AppClient, AppGrant, AppMessage, AppStore, ShopPerson};
use crate::domain::connection::{Connection, ConnectionSettings, ConnectionState};
use crate::domain::id::{ChannelName, ConnectionId};
use crate::secret::Secret;
use crate::store::{StoreError, WriteLane, shop_users};
use crate::vault::ShopAppClient;

/// A code is exchanged within this time, or the app is installed anew.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(20);
/// Whether a token still works is known within this time, or stays open.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);
/// Who did what the platform's callbacks did.
const ACTOR: &str = "the shop's control panel";

/// The app as people see it: never its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopAppView {
    /// Its public half.
    pub client_id: String,
    /// Replaces scheme and host of every call, where set.
    pub base_url: Option<String>,
    /// Stores that have installed it.
    pub stores: BTreeSet<String>,
}

/// A store that has installed the app.
#[derive(Debug)]
pub struct AppInstalled {
    /// Its connection.
    pub connection: ConnectionId,
    /// The platform's id of the store.
    pub store: String,
    /// Who installed it.
    pub person: ShopPerson,
}

/// Somebody who does something with the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppVisit {
    /// What the platform signed.
    pub message: AppMessage,
    /// The store's connection; none where it is not connected here.
    pub connection: Option<ConnectionId>,
}

impl Engine {
    /// The app, where there is one.
    #[must_use]
    pub fn shop_app(&self) -> Option<ShopAppView> {
        self.inner.parts.vault.read(|document| {
            let app = document.shop_app.as_ref()?;
            Some(ShopAppView {
                client_id: app.client_id.clone(),
                base_url: app.base_url.clone(),
                stores: app.stores.clone(),
            })
        })
    }

    /// Keeps the app. Without a secret the one that is held stays, if the app is the same one and calls go to the same place.
    ///
    /// # Errors
    /// What has to be mended.
    pub fn set_shop_app(
        &self,
        client_id: &str,
        client_secret: Option<Secret>,
        base_url: Option<Url>,
    ) -> Result<(), Refused> {
        const CHARS_MAX: usize = 200;
        let refused =
            |field: &str, text: &str| Refused { field: Some(field.to_owned()), message: text.to_owned() };
        let client_id = client_id.trim();
        if client_id.is_empty() || client_id.chars().count() > CHARS_MAX {
            return Err(refused("client_id", "Copy the app's client ID from the developer portal."));
        }
        let base_url = base_url.map(|url| url.as_str().trim_end_matches('/').to_owned());
        let secret =
            client_secret.map(|secret| secret.expose().trim().to_owned()).filter(|text| !text.is_empty());
        let kept = self.inner.parts.vault.update(|document| {
            let held = document.shop_app.as_ref().filter(|app| app.client_id == client_id);
            let (stores, removed_at) =
                held.map(|app| (app.stores.clone(), app.removed_at.clone())).unwrap_or_default();
            let same_place = held.filter(|app| app.base_url == base_url);
            let Some(client_secret) = secret.or_else(|| same_place.map(|app| app.client_secret.clone()))
            else {
                return false;
            };
            let client_id = client_id.to_owned();
            document.shop_app =
                Some(ShopAppClient { client_id, client_secret, base_url, stores, removed_at });
            true
        });
        match kept {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(refused("client_secret", "Copy the app's client secret from the developer portal, too."))
            }
            Err(error) => Err(Refused { field: None, message: error.to_string() }),
        }
    }

    /// Forgets the app. Connections stay, with what they hold.
    ///
    /// # Errors
    /// Where the vault cannot be written.
    pub fn remove_shop_app(&self) -> Result<(), String> {
        self.inner.parts.vault.update(|document| document.shop_app = None).map_err(|error| error.to_string())
    }

    /// A store installs the app: its connection is made, or gets new credentials and keeps its settings.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub async fn install_shop_app(&self, grant: AppGrant) -> Result<AppInstalled, String> {
        let client = self.app_client().ok_or("No app is set up here.")?;
        let transport = std::sync::Arc::clone(&self.inner.parts.transport);
        let base_url = client.base_url.clone();
        let AppStore { store, credentials, person } = tokio::select! {
            // An answer that is there counts, however late it is looked at.
            biased;
            exchanged = (SHOP_APP.exchange)(client, transport, grant) => {
                exchanged.map_err(|error| error.to_string())?
            }
            () = self.inner.parts.clock.sleep(EXCHANGE_TIME_MAX) => {
                return Err("BigCommerce did not answer in time.".to_owned());
            }
        };
        let credentials: BTreeMap<String, Secret> =
            credentials.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        let connection = match self.connection_of_store(&store) {
            Some(known) => self.renew(&known, credentials, base_url).await,
            None => self.connect(&store, credentials, base_url).await,
        };
        let connection = connection.map_err(|refused| refused.message)?;
        self.note_store(&store, None)?;
        Ok(AppInstalled { connection, store, person })
    }

    async fn renew(
        &self,
        known: &Connection,
        credentials: BTreeMap<String, Secret>,
        base_url: Option<Url>,
    ) -> Result<ConnectionId, Refused> {
        // The token is for where the app's own calls go.
        let update =
            ConnectionUpdate { credentials, base_url: Some(base_url), ..ConnectionUpdate::default() };
        self.change_connection(known.id, update, ACTOR).await?;
        Ok(known.id)
    }

    async fn connect(
        &self,
        store: &str,
        credentials: BTreeMap<String, Secret>,
        base_url: Option<Url>,
    ) -> Result<ConnectionId, Refused> {
        let title = "BigCommerce";
        let is_taken = self.connections().iter().any(|known| known.alias.eq_ignore_ascii_case(title));
        let alias = if is_taken { format!("{title} {store}") } else { title.to_owned() };
        let request = NewConnectionRequest {
            channel: ChannelName::from(SHOP_APP.channel),
            alias,
            base_url,
            credentials,
            settings: ConnectionSettings::default(),
        };
        self.add_connection(request, ACTOR).await
    }

    /// What a signed message of the platform says; none where it is not the platform's own.
    #[must_use]
    pub fn read_app_message(&self, signed: &str) -> Option<AppVisit> {
        let message = (SHOP_APP.read_message)(&self.app_client()?, signed, self.now())?;
        let connection = self.connection_of_store(&message.store).map(|connection| connection.id);
        Some(AppVisit { message, connection })
    }

    /// Somebody opens the app in a store that is connected here: its control panel may show our pages, unless the store
    /// has removed the app since that was written.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn shop_app_opened(&self, message: &AppMessage) -> Result<(), String> {
        let is_news = self.inner.parts.vault.read(|document| {
            let Some(app) = &document.shop_app else { return false };
            let removed_at = app.removed_at.get(&message.store);
            !app.stores.contains(&message.store) && removed_at.is_none_or(|at| message.issued_at > *at)
        });
        if is_news { self.note_store(&message.store, None) } else { Ok(()) }
    }

    /// A message says that the store has removed the app. Whoever opens the app could say so, too: only where the platform
    /// refuses the store's token is it true. Nothing is deleted, and it goes on with the next installation.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn shop_app_uninstalled(&self, message: &AppMessage) -> Result<(), String> {
        let Some(connection) = self.connection_of_store(&message.store) else { return Ok(()) };
        let id = connection.id;
        if !self.is_token_refused(id).await {
            tracing::info!(connection.id = id.0, "the store's token works, so that the app is installed");
            return Ok(());
        }
        self.note_store(&message.store, Some(message.issued_at))?;
        let end = move |tx: &mut crate::store::Tx<'_>| shop_users::end_sessions(tx, id);
        let ended: Result<(), StoreError> = self.store().write(WriteLane::Interactive, end).await;
        ended.map_err(|error| error.to_string())?;
        // Who paused it decides when it goes on, and hears of the dead token then.
        if self.connection(id).is_none_or(|known| known.state == ConnectionState::Paused) {
            return Ok(());
        }
        let note =
            "The app was uninstalled in the store. Install it again there: settings and orders are kept.";
        let state = ConnectionState::NeedsReauthorisation;
        let set = self.set_connection_state(id, state, Some(note.to_owned()), ACTOR).await;
        set.map_err(|error| error.to_string())
    }

    /// True where the platform says that it does not take a connection's token.
    async fn is_token_refused(&self, id: ConnectionId) -> bool {
        let Ok(connector) = self.connector(id) else { return false };
        let Some(shop) = connector.shop_orders() else { return false };
        tokio::select! {
            biased;
            profile = shop.profile() => matches!(profile, Err(ChannelError::Reauth { .. })),
            () = self.inner.parts.clock.sleep(LOOK_TIME_MAX) => false,
        }
    }

    fn app_client(&self) -> Option<AppClient> {
        self.inner.parts.vault.read(|document| {
            let app = document.shop_app.as_ref()?;
            Some(AppClient {
                client_id: app.client_id.clone(),
                client_secret: Secret::new(app.client_secret.clone()),
                base_url: app.base_url.as_ref().and_then(|url| url.parse().ok()),
            })
        })
    }

    fn connection_of_store(&self, store: &str) -> Option<Connection> {
        let is_it = |known: &Connection| known.channel.as_str() == SHOP_APP.channel && known.account == store;
        self.connections().into_iter().find(is_it)
    }

    /// Notes that a store has the app, or when it removed it.
    fn note_store(&self, store: &str, removed_at: Option<Timestamp>) -> Result<(), String> {
        let noted = self.inner.parts.vault.update(|document| {
            let Some(app) = &mut document.shop_app else { return };
            match removed_at {
                None => {
                    app.stores.insert(store.to_owned());
                    app.removed_at.remove(store);
                }
                Some(at) => {
                    app.stores.remove(store);
                    app.removed_at.insert(store.to_owned(), at);
                }
            }
        });
        noted.map_err(|error| error.to_string())
    }
}

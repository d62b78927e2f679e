//! An app of the merchant's own that a shop installs with one click and opens in its control panel: what its callbacks
//! bring, and what they are exchanged for. Nothing here is remembered.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use jiff::Timestamp;
use url::Url;

use super::error::ChannelError;
use super::registry::CredentialTexts;
use crate::http::SharedTransport;
use crate::secret::Secret;

/// The app as the platform's developer portal knows it.
#[derive(Debug, Clone)]
pub struct AppClient {
    /// The public half.
    pub client_id: String,
    /// What the platform signs with.
    pub client_secret: Secret,
    /// Replaces scheme and host of every call, where set.
    pub base_url: Option<Url>,
}

/// What a store's browser brings when its owner installs the app.
#[derive(Debug, Clone)]
pub struct AppGrant {
    /// Good for one exchange.
    pub code: Secret,
    /// What was allowed, as the platform wrote it.
    pub scope: String,
    /// Which store, as the platform wrote it.
    pub context: String,
    /// The address that the browser came to.
    pub redirect_uri: String,
}

/// Somebody who works in the shop's control panel.
#[derive(Clone, PartialEq, Eq)]
pub struct ShopPerson {
    /// The platform's number of the person.
    pub id: String,
    /// The e-mail.
    pub email: Option<String>,
    /// True for the owner of the store.
    pub is_store_owner: bool,
}

// By hand: logs name nobody.
impl fmt::Debug for ShopPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShopPerson").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A store that has installed the app.
#[derive(Debug)]
pub struct AppStore {
    /// The platform's id of the store: the connection's account.
    pub store: String,
    /// The connection's credentials, all of them.
    pub credentials: CredentialTexts,
    /// Who installed it.
    pub person: ShopPerson,
}

/// What a signed message of the platform says: who does something with the app, in which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppMessage {
    /// The platform's id of the store.
    pub store: String,
    /// Who.
    pub person: ShopPerson,
    /// When the platform wrote it.
    pub issued_at: Timestamp,
    /// Its own id, where it has one.
    pub id: Option<String>,
}

/// An exchange under way.
pub type Exchange = Pin<Box<dyn Future<Output = Result<AppStore, ChannelError>> + Send>>;

/// A platform whose shops install an app.
#[derive(Debug, Clone, Copy)]
pub struct ShopApp {
    /// The channel.
    pub channel: &'static str,
    /// Exchanges the code of an installation for the store's credentials.
    pub exchange: fn(AppClient, SharedTransport, AppGrant) -> Exchange,
    /// What a signed message says at that time; none where it is not the platform's, not for this app, or too old.
    pub read_message: fn(&AppClient, &str, Timestamp) -> Option<AppMessage>,
}

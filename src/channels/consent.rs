//! How a merchant says yes on a platform's own page, and what comes back of it. The state that ties both ends together
//! and the verifier are the caller's to keep; nothing here is remembered.

use std::future::Future;
use std::pin::Pin;

use url::Url;

use super::ConnectorSetup;
use super::error::ChannelError;
use super::registry::CredentialTexts;
use crate::secret::Secret;

/// What the caller wants of the platform's page.
#[derive(Debug, Clone)]
pub struct ConsentRequest {
    /// Where the platform sends the merchant's browser back to. A platform that has the address under a name of its own
    /// (eBay's `RuName`) takes it from the credentials.
    pub redirect_uri: String,
    /// Comes back unchanged: proves that the answer belongs to this request.
    pub state: String,
}

/// Where the merchant goes.
#[derive(Debug, Clone)]
pub struct ConsentStart {
    /// The platform's page.
    pub url: Url,
    /// Proves later that the code comes to whoever asked for it (PKCE); none where the platform has no such thing.
    pub verifier: Option<Secret>,
}

/// What the merchant's browser brings back.
#[derive(Debug, Clone)]
pub struct ConsentAnswer {
    /// The code.
    pub code: Secret,
    /// As it was in the request.
    pub redirect_uri: String,
    /// As it was in the start.
    pub verifier: Option<Secret>,
}

/// Credentials that a code was exchanged for.
pub type Exchanged = Pin<Box<dyn Future<Output = Result<CredentialTexts, ChannelError>> + Send>>;

/// A platform that is connected on a page of its own.
#[derive(Debug, Clone, Copy)]
pub struct Consent {
    /// Builds the platform's page for the credentials entered so far. Makes no call.
    pub start: fn(&CredentialTexts, Option<&Url>, &ConsentRequest) -> Result<ConsentStart, ChannelError>,
    /// Exchanges the code for the credentials that are still missing (the refresh token, the shop's id).
    pub exchange: fn(ConnectorSetup, ConsentAnswer) -> Exchanged,
}

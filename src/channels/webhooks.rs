//! What platforms push to us. A channel tells whether a message is the platform's own and what it is about; it never
//! takes the message's word for more than that: what changed is read from the platform.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::error::ChannelError;

/// A message whose own time lies further from ours than this is refused: who recorded it may play it again.
pub const REPLAY_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Its headers, names in lower case. Only those that a signature may need.
    pub headers: BTreeMap<String, String>,
    /// Its body, byte for byte: signatures are over bytes.
    pub body: Bytes,
    /// When it arrived, by our clock.
    pub received_at: Timestamp,
    /// The address that it was sent to, as the platform knows it.
    pub endpoint: String,
}

/// What a message is about. What it says of the order itself is never believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An order that was placed or changed: it is read now.
    Order(String),
    /// Some order changed: the poll runs now.
    Orders,
    /// Listings, their stock or their prices changed: they are read now.
    Listings,
    /// The authorisation was withdrawn: it is looked at now.
    Authorisation,
    /// Nothing that concerns orders or listings.
    Other(String),
}

/// A message that is the platform's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The platform's id of the message: the same for a repeated delivery.
    pub id: String,
    /// What it is about.
    pub news: Vec<News>,
}

/// Why a message is not acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It is not the platform's, or was changed, or is too old. It is dropped.
    #[error("{0}")]
    Refused(String),
    /// Whether it is cannot be said now: the platform's key could not be fetched. It is tried again.
    #[error(transparent)]
    Later(#[from] ChannelError),
}

/// Reads what a platform pushes.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Headers that a verification needs, in lower case.
    fn headers(&self) -> &'static [&'static str];

    /// Tells whether a message is the platform's own, and what it is about.
    ///
    /// # Errors
    /// See [`PushError`].
    async fn verify(&self, push: &Push) -> Result<Verified, PushError>;

    /// The answer to a platform that asks by `query` (without `?`) whether the endpoint is ours: a content type and a
    /// body. None where it asks no such thing.
    fn challenge(&self, query: &str, endpoint: &str) -> Option<(&'static str, String)> {
        let _ = (query, endpoint);
        None
    }

    /// Sees to it that the platform sends to `endpoint`: registers what is missing, switches on again what the platform
    /// has switched off. Runs daily; the answer says what it did, none for nothing.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn subscribe(&self, endpoint: &str) -> Result<Option<String>, ChannelError>;
}

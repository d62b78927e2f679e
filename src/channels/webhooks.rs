//! What platforms push to us. A channel tells whether a message is the platform's own and what it is about; it never
//! takes the message's word for more than that: what changed is read from the platform.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::error::ChannelError;
use crate::secret::Secret;

/// A message whose own time lies further from ours than this is refused: who recorded it may play it again.
pub const REPLAY_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// What stands before the part of an address that nobody can guess.
const HOOKS_PATH: &str = "/hooks";

/// How long that part is: 32 bytes in base64.
const HOOK_TOKEN_CHARS: usize = 43;

/// Where a platform is to send to.
#[derive(Debug, Clone, Copy)]
pub struct HookAddress<'a> {
    /// This connection's address.
    pub endpoint: &'a str,
    /// The other connections' addresses: what leads there is not this one's.
    pub others: &'a [String],
}

impl HookAddress<'_> {
    /// Whether an address was this connection's before: it has the same unguessable part, or stands at this host and
    /// is no connection's any more. Addresses that this program never makes are somebody else's.
    #[must_use]
    pub fn was_here(&self, address: &str) -> bool {
        if address == self.endpoint || self.is_others(address) {
            return false;
        }
        let (Some(known), Some(own)) = (HookParts::of(address), HookParts::of(self.endpoint)) else {
            return false;
        };
        known.token == own.token || known.host == own.host
    }

    /// Whether an address is, or was, another connection's.
    #[must_use]
    pub fn is_others(&self, address: &str) -> bool {
        let Some(known) = HookParts::of(address) else { return false };
        self.others.iter().filter_map(|other| HookParts::of(other)).any(|other| other.token == known.token)
    }
}

/// An address of this program's form.
struct HookParts {
    host: String,
    token: String,
}

impl HookParts {
    fn of(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok()?;
        let (before, token) = url.path().rsplit_once('/')?;
        let is_token = token.len() == HOOK_TOKEN_CHARS
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_token || !before.ends_with(HOOKS_PATH) {
            return None;
        }
        Some(Self { host: url.host_str()?.to_owned(), token: token.to_owned() })
    }
}

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

    /// What a person enters beside the address at a platform that asks whether it is ours. None where it asks no such
    /// thing.
    fn verification_token(&self) -> Option<Secret> {
        None
    }

    /// Sees to it that the platform sends to this address: registers what is missing, switches on again what the
    /// platform has switched off, and moves here what still leads to an earlier address of this connection. Runs daily;
    /// the answer says what it did, none for nothing.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn subscribe(&self, address: HookAddress<'_>) -> Result<Option<String>, ChannelError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_address_is_told_from_anybody_elses() {
        let token = |first: char| format!("{first}{}", "a".repeat(42));
        let at = |base: &str, first: char| format!("{base}/hooks/{}", token(first));
        let endpoint = at("https://shop.example", 'A');
        let others = [at("https://shop.example", 'B')];
        let address = HookAddress { endpoint: &endpoint, others: &others };
        for (known, was_here) in [
            (endpoint.clone(), false),
            (at("https://old.example", 'A'), true),
            (at("https://old.example/eider", 'A'), true),
            (at("https://shop.example", 'C'), true),
            (at("http://shop.example:8080", 'C'), true),
            // Another connection's, also from before the installation moved.
            (at("https://shop.example", 'B'), false),
            (at("http://shop.example:8080", 'B'), false),
            // Another installation's, and other programs'.
            (at("https://old.example", 'C'), false),
            ("https://shop.example/hooks/short".to_owned(), false),
            (format!("https://shop.example/other/{}", token('A')), false),
            ("no address".to_owned(), false),
        ] {
            assert_eq!(address.was_here(&known), was_here, "{known}");
        }
        assert!(address.is_others(&others[0]) && !address.is_others(&endpoint));
    }
}

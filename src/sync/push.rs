//! What platforms push: kept, answered, and looked at afterwards. A hook's address is unguessable and belongs to one
//! connection; what arrives there is believed only after the platform's signature was checked, and even then only as
//! far as to look (`jobs/read_pushed.rs`).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jiff::Timestamp;
use url::Url;

use super::Engine;
use super::jobs::Job;
use super::spool::{Spool, SpoolError};
use crate::clock::Entropy;
use crate::domain::id::ConnectionId;
use crate::secret::Secret;
use crate::vault::{Vault, VaultError, hash_token};

/// Ids of messages that are remembered per connection, so that a repeated delivery costs no call.
const IDS_REMEMBERED: usize = 4_096;
/// Bytes of a hook's address that nobody can guess.
const TOKEN_BYTES: usize = 32;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is kept, or nobody needs it: the platform is done.
    Taken,
    /// No connection has this address.
    Unknown,
    /// It could not be kept: the platform sends it again.
    Busy(String),
}

/// What came of a connection's messages since the program was started, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushStatus {
    /// Messages that were the platform's own.
    pub verified: u64,
    /// When the last of them arrived.
    pub last_at: Option<Timestamp>,
    /// Messages that were not.
    pub refused: u64,
    /// Why the last one was not.
    pub last_refusal: Option<String>,
    /// Messages of which nobody could say whether they were: they were given up.
    pub given_up: u64,
    /// Why the last one was.
    pub last_given_up: Option<String>,
}

/// Where messages arrive, and what waits to be read.
#[derive(Debug)]
pub struct Hooks {
    pub(super) spool: Spool,
    /// The address of this installation, where platforms can reach it.
    public_url: Option<Url>,
    /// Connections by what [`hash_token`] makes of their address.
    owners: Mutex<HashMap<String, ConnectionId>>,
}

impl Hooks {
    /// Hooks that keep messages in `spool`; `public_url` is where platforms reach this installation, where they do.
    #[must_use]
    pub fn new(spool: Spool, public_url: Option<Url>) -> Self {
        Self { spool, public_url, owners: Mutex::new(HashMap::new()) }
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, HashMap<String, ConnectionId>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that a connection has an address.
    pub(super) fn adopt(&self, vault: &Vault, entropy: &Entropy, id: ConnectionId) -> Result<(), VaultError> {
        let known = vault.read(|document| document.hook_tokens.get(&id.0).cloned());
        let token = match known {
            Some(token) => token,
            None => {
                let mut bytes = [0; TOKEN_BYTES];
                entropy.fill(&mut bytes);
                let token = URL_SAFE_NO_PAD.encode(bytes);
                vault.update(|document| document.hook_tokens.insert(id.0, token.clone()))?;
                token
            }
        };
        self.owners().insert(hash_token(&token), id);
        Ok(())
    }
}

/// Ids of the messages that were read last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// True where the message is new.
    pub(super) fn is_new(&self, id: &str) -> bool {
        !self.ids.contains(id)
    }

    /// Remembers a message that was acted on.
    pub(super) fn remember(&mut self, id: String) {
        if self.ids.insert(id.clone()) {
            self.order.push_back(id);
        }
        if self.order.len() > IDS_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

impl Engine {
    /// The path of a connection's hook, for the platform's own form. None before the vault could be written.
    #[must_use]
    pub fn hook_path(&self, id: ConnectionId) -> Option<String> {
        let token = self.inner.parts.vault.read(|document| document.hook_tokens.get(&id.0).cloned())?;
        Some(format!("/hooks/{token}"))
    }

    /// The whole address of a connection's hook, where platforms can reach this installation at all.
    #[must_use]
    pub fn hook_endpoint(&self, id: ConnectionId) -> Option<String> {
        let base = self.inner.parts.hooks.public_url.as_ref()?;
        Some(format!("{}{}", base.as_str().trim_end_matches('/'), self.hook_path(id)?))
    }

    /// The addresses of all other connections' hooks.
    pub(super) fn hook_endpoints_beside(&self, id: ConnectionId) -> Vec<String> {
        let others = self.connections().into_iter().map(|other| other.id).filter(|other| *other != id);
        others.filter_map(|other| self.hook_endpoint(other)).collect()
    }

    /// Whether a connection's platform pushes at all.
    #[must_use]
    pub fn webhooks_offered(&self, id: ConnectionId) -> bool {
        self.connector(id).is_ok_and(|connector| connector.webhooks().is_some())
    }

    /// What a person enters beside a hook's address, where its platform asks for proof.
    #[must_use]
    pub fn hook_verification_token(&self, id: ConnectionId) -> Option<Secret> {
        self.connector(id).ok()?.webhooks()?.verification_token()
    }

    /// Has what waits for a connection looked at now.
    pub(super) fn read_pushed_soon(&self, id: ConnectionId) {
        let now = self.now();
        self.with_queue(|queue| queue.schedule(id, Job::ReadPushed, now));
        self.inner.wake.notify_one();
    }

    fn hook_owner(&self, token: &str) -> Option<ConnectionId> {
        self.inner.parts.hooks.owners().get(&hash_token(token)).copied()
    }

    /// Keeps a message until it is read. Nothing of it is believed yet.
    pub async fn pushed(&self, token: &str, headers: &BTreeMap<String, String>, body: Bytes) -> Pushed {
        let Some(connection) = self.hook_owner(token).and_then(|id| self.connection(id)) else {
            return Pushed::Unknown;
        };
        let Ok(connector) = self.connector(connection.id) else { return Pushed::Unknown };
        let Some(webhooks) = connector.webhooks() else { return Pushed::Unknown };
        if !connection.state.may_call() {
            // Its polls find everything once it goes on.
            return Pushed::Taken;
        }
        let wanted = webhooks.headers();
        let headers = headers
            .iter()
            .filter(|(name, _)| wanted.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        match self.inner.parts.hooks.spool.append(connection.id, self.now(), headers, body).await {
            Ok(()) => {
                self.read_pushed_soon(connection.id);
                Pushed::Taken
            }
            Err(error @ (SpoolError::Full | SpoolError::Io(_))) => {
                tracing::error!(connection.id = connection.id.0, "{error}");
                Pushed::Busy(error.to_string())
            }
        }
    }

    /// Answers a platform that asks whether an address is ours: a content type and a body.
    #[must_use]
    pub fn push_challenge(&self, token: &str, query: &str) -> Option<(&'static str, String)> {
        let id = self.hook_owner(token)?;
        let connector = self.connector(id).ok()?;
        connector.webhooks()?.challenge(query, &self.hook_endpoint(id)?)
    }

    /// What came of a connection's messages.
    #[must_use]
    pub fn push_status(&self, id: ConnectionId) -> PushStatus {
        self.with_live(id, |live| live.pushed.clone())
    }
}

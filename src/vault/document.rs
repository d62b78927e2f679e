//! What the vault holds.
//!
//! Of what people and scripts present to us (passwords, API tokens, setup links) only hashes are kept. Of what
//! we present to platforms the text itself is kept, since they ask for it. Nothing here may be printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::hex;
use crate::clock::Entropy;
use crate::domain::user::Role;

/// The whole content of the vault.
#[derive(Clone, Serialize, Deserialize)]
// A field that this release does not know would be lost at the next update: refuse to open instead.
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Credentials by connection id: name (as the platform's `config.rs` calls it) to value.
    #[serde(default)]
    pub connections: BTreeMap<i64, BTreeMap<String, String>>,
    /// The unguessable part of each connection's hook address, by connection id.
    #[serde(default)]
    pub hook_tokens: BTreeMap<i64, String>,
    /// Tokens that may call the API.
    #[serde(default)]
    pub api_tokens: Vec<ApiToken>,
    /// People who may sign in.
    #[serde(default)]
    pub users: Vec<User>,
    /// The highest number that a user ever had: what is kept elsewhere under a number never becomes somebody else's.
    #[serde(default)]
    pub highest_user_id: i64,
    /// Links by which a person gets in for the first time or after losing the password.
    #[serde(default)]
    pub setup_tokens: Vec<SetupToken>,
    /// The merchant's own app in the shop's control panel, where there is one.
    #[serde(default)]
    pub shop_app: Option<ShopAppClient>,
    /// Key of the hashes that stand for buyers in reports.
    pub report_key: [u8; 32],
}

/// The merchant's own app in the shop's control panel.
#[derive(Clone, Serialize, Deserialize)]
pub struct ShopAppClient {
    /// Its public half.
    pub client_id: String,
    /// What the platform signs with.
    pub client_secret: String,
    /// Replaces scheme and host of every call, where set.
    pub base_url: Option<String>,
    /// Stores that have installed it: their control panels may show our pages.
    #[serde(default)]
    pub stores: BTreeSet<String>,
    /// Stores that have removed it, and when.
    #[serde(default)]
    pub removed_at: BTreeMap<String, Timestamp>,
}

/// A token that may call the API.
#[derive(Clone, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its number, unique among tokens and never given twice while the newest is kept.
    pub id: i64,
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// [`hash_token`] of the token.
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A person who may sign in.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// Its number, unique among users and never given twice.
    pub id: i64,
    /// The name to sign in with.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// What [`super::hash_password`] made of the password; `None` until the person has set one.
    pub password_hash: Option<String>,
    /// When the user was added.
    pub created_at: Timestamp,
}

/// A link that lets one person in once.
#[derive(Clone, Serialize, Deserialize)]
pub struct SetupToken {
    /// [`hash_token`] of the token in the link.
    pub hash: String,
    /// The user it belongs to; `None` for the first owner, who does not exist yet.
    pub user_id: Option<i64>,
    /// From then on it is worthless.
    pub expires_at: Timestamp,
}

impl Document {
    /// An empty document with a fresh key for reports.
    pub(super) fn new(entropy: &Entropy) -> Self {
        let mut report_key = [0; 32];
        entropy.fill(&mut report_key);
        Self {
            connections: BTreeMap::new(),
            hook_tokens: BTreeMap::new(),
            api_tokens: Vec::new(),
            users: Vec::new(),
            highest_user_id: 0,
            setup_tokens: Vec::new(),
            shop_app: None,
            report_key,
        }
    }

    /// Adds a token for the API and returns its number. `token` itself is not kept.
    pub fn add_api_token(&mut self, token: &str, name: &str, role: Role, created_at: Timestamp) -> i64 {
        let id = next_id(self.api_tokens.iter().map(|known| known.id));
        let name = name.to_owned();
        self.api_tokens.push(ApiToken { id, name, role, hash: hash_token(token), created_at });
        id
    }

    /// The API token that `token` is.
    #[must_use]
    pub fn api_token(&self, token: &str) -> Option<&ApiToken> {
        let hash = hash_token(token);
        self.api_tokens.iter().find(|known| is_same(&known.hash, &hash))
    }

    /// Adds a user without a password and returns the number; `None` where the name is taken.
    pub fn add_user(&mut self, name: &str, role: Role, created_at: Timestamp) -> Option<i64> {
        if self.user_named(name).is_some() {
            return None;
        }
        let id = next_id(self.users.iter().map(|known| known.id).chain([self.highest_user_id]));
        self.highest_user_id = id;
        let name = name.to_owned();
        self.users.push(User { id, name, role, password_hash: None, created_at });
        Some(id)
    }

    /// Removes a user and the links that let the person in; safe to repeat. The number is not given again.
    pub fn remove_user(&mut self, id: i64) {
        let highest = self.users.iter().map(|known| known.id).max().unwrap_or(0);
        self.highest_user_id = self.highest_user_id.max(highest);
        self.users.retain(|user| user.id != id);
        self.setup_tokens.retain(|known| known.user_id != Some(id));
    }

    /// The user of that name, whether written in capitals or not.
    #[must_use]
    pub fn user_named(&self, name: &str) -> Option<&User> {
        let name = name.to_lowercase();
        self.users.iter().find(|user| user.name.to_lowercase() == name)
    }

    /// Keeps a setup token, and forgets those that expired before `now`.
    pub fn add_setup_token(
        &mut self,
        token: &str,
        user_id: Option<i64>,
        now: Timestamp,
        expires_at: Timestamp,
    ) {
        self.setup_tokens.retain(|known| known.expires_at > now);
        self.setup_tokens.push(SetupToken { hash: hash_token(token), user_id, expires_at });
    }

    /// Whether `token` is a setup token that is still good. It stays good.
    #[must_use]
    pub fn is_setup_token(&self, token: &str, now: Timestamp) -> bool {
        let hash = hash_token(token);
        self.setup_tokens.iter().any(|known| is_same(&known.hash, &hash) && known.expires_at > now)
    }

    /// Takes a setup token away and returns it; `None` where it is unknown, used or expired.
    pub fn redeem_setup_token(&mut self, token: &str, now: Timestamp) -> Option<SetupToken> {
        let hash = hash_token(token);
        let position = self.setup_tokens.iter().position(|known| is_same(&known.hash, &hash))?;
        Some(self.setup_tokens.remove(position)).filter(|known| known.expires_at > now)
    }
}

// By hand: counts are all that may be seen of it.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("connections", &self.connections.len())
            .field("api_tokens", &self.api_tokens.len())
            .field("users", &self.users.len())
            .field("setup_tokens", &self.setup_tokens.len())
            .finish_non_exhaustive()
    }
}

/// SHA-256 of a token, as hex digits. A token is long and random, so that a fast hash is enough; passwords are
/// neither and go through [`super::hash_password`].
#[must_use]
pub fn hash_token(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn is_same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn next_id(known: impl Iterator<Item = i64>) -> i64 {
    known.max().unwrap_or(0).saturating_add(1)
}

//! Single-use sign-in links, as the demo prints one. Kept in memory as hashes: a restart prints new ones.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::clock::{Entropy, shifted};
use crate::domain::id::UserId;
use crate::vault::hash_token;

/// How long a link works.
const LINK_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The links that have not been used yet.
#[derive(Debug, Default)]
pub struct SignInLinks {
    open: Mutex<HashMap<String, (UserId, Timestamp)>>,
}

impl SignInLinks {
    /// A new link's token: 32 random bytes, URL-safe.
    pub fn issue(&self, user: UserId, entropy: &Entropy, now: Timestamp) -> String {
        let token = entropy.token(32);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (_, expires_at)| *expires_at > now);
        open.insert(hash_token(&token), (user, shifted(now, LINK_AGE_MAX)));
        token
    }

    /// Uses the link up.
    pub fn take(&self, token: &str, now: Timestamp) -> Option<UserId> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&hash_token(token)).filter(|(_, expires_at)| *expires_at > now).map(|(user, _)| user)
    }
}

//! Connecting on a platform's own page: where the merchant goes, and the credentials that come back. Also refresh tokens
//! that a platform replaced before their connection was saved: none of them may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::commands::NewConnectionRequest;
use crate::channels::CredentialSink;
use crate::channels::consent::{ConsentAnswer, ConsentRequest, ConsentStart};
use crate::channels::registry;
use crate::domain::id::ConnectionId;
use crate::secret::Secret;
use crate::vault::{Vault, hash_token};

/// Credentials that belong to no connection yet lie under this number.
pub(super) const UNSAVED: ConnectionId = ConnectionId(0);
/// A code is exchanged within this time, or it is asked for anew.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(20);

/// Keeps what a platform puts in the place of a credential that was entered and is not saved yet: under the hash of
/// what it replaces, so that saving what was entered saves what holds now.
pub(super) struct UnsavedSink {
    pub(super) vault: Arc<Vault>,
    pub(super) entered: BTreeMap<String, Secret>,
}

impl CredentialSink for UnsavedSink {
    fn keep(&self, _: ConnectionId, name: &str, value: &Secret) -> Result<(), String> {
        let Some(before) = self.entered.get(name) else { return Ok(()) };
        let place = hash_token(before.expose());
        let value = value.expose().to_owned();
        self.vault
            .update(|document| {
                document.connections.entry(UNSAVED.0).or_default().insert(place, value);
            })
            .map_err(|error| error.to_string())
    }

    fn kept(&self, _: ConnectionId, name: &str) -> Option<Secret> {
        let entered = self.entered.get(name)?;
        let last = self.vault.read(|document| {
            let replaced = document.connections.get(&UNSAVED.0)?;
            replaced.get(chain(replaced, entered.expose()).last()?).cloned()
        });
        Some(last.map_or_else(|| entered.clone(), Secret::new))
    }
}

/// The places of what replaced `value`, then of what replaced that, and so on.
fn chain(replaced: &BTreeMap<String, String>, value: &str) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    let mut place = hash_token(value);
    while let Some(next) = replaced.get(&place).filter(|_| !places.contains(&place)) {
        let after = hash_token(next);
        places.push(std::mem::replace(&mut place, after));
    }
    places
}

impl Engine {
    /// What was entered, with everything that its platform replaced since.
    pub(super) fn as_they_are_now(&self, entered: BTreeMap<String, Secret>) -> BTreeMap<String, Secret> {
        let replaced = self.inner.parts.vault.read(|document| document.connections.get(&UNSAVED.0).cloned());
        let replaced = replaced.unwrap_or_default();
        let now = |value: Secret| {
            let last = chain(&replaced, value.expose()).last().and_then(|place| replaced.get(place).cloned());
            last.map_or(value, Secret::new)
        };
        entered.into_iter().map(|(name, value)| (name, now(value))).collect()
    }

    /// Forgets replacements of credentials that are saved now.
    pub(super) fn forget_replaced(&self, entered: &BTreeMap<String, Secret>) {
        let held = self.inner.parts.vault.read(|document| document.connections.get(&UNSAVED.0).cloned());
        let held = held.unwrap_or_default();
        let places: Vec<String> = entered.values().flat_map(|value| chain(&held, value.expose())).collect();
        if places.is_empty() {
            return;
        }
        let forgotten = self.inner.parts.vault.update(|document| {
            if let Some(held) = document.connections.get_mut(&UNSAVED.0) {
                held.retain(|place, _| !places.contains(place));
            }
        });
        if let Err(error) = forgotten {
            tracing::warn!("replaced credentials stay in the vault: {error}");
        }
    }

    /// Where the merchant says yes. Makes no call.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub fn start_consent(
        &self,
        request: &NewConnectionRequest,
        wish: &ConsentRequest,
    ) -> Result<ConsentStart, String> {
        let info = registry::channel(&request.channel).ok_or("There is no such channel.")?;
        let consent =
            info.consent.ok_or_else(|| format!("{} has no page of its own for this.", info.title))?;
        let texts = request.credentials.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        (consent.start)(&texts.collect(), request.base_url.as_ref(), wish).map_err(|error| error.to_string())
    }

    /// Exchanges what came back for the credentials that were missing, and gives all of them.
    ///
    /// # Errors
    /// Why there are none, in a sentence.
    pub async fn finish_consent(
        &self,
        request: &NewConnectionRequest,
        answer: ConsentAnswer,
    ) -> Result<BTreeMap<String, Secret>, String> {
        let info = registry::channel(&request.channel).ok_or("There is no such channel.")?;
        let consent =
            info.consent.ok_or_else(|| format!("{} has no page of its own for this.", info.title))?;
        let setup = self
            .connector_setup(&self.unsaved(request), request.credentials.clone())
            .map_err(|error| error.to_string())?;
        let exchanged = tokio::select! {
            // An answer that is there counts, however late it is looked at.
            biased;
            exchanged = (consent.exchange)(setup, answer) => exchanged.map_err(|error| error.to_string())?,
            () = self.inner.parts.clock.sleep(EXCHANGE_TIME_MAX) => {
                return Err(format!("{} did not answer in time. Begin again.", info.title));
            }
        };
        let mut all = request.credentials.clone();
        all.extend(exchanged.into_iter().map(|(name, value)| (name, Secret::new(value))));
        Ok(all)
    }

    /// The names of the credentials that a connection has.
    #[must_use]
    pub fn held_credentials(&self, id: ConnectionId) -> BTreeSet<String> {
        let names = |document: &crate::vault::Document| {
            document.connections.get(&id.0).map(|held| held.keys().cloned().collect())
        };
        self.inner.parts.vault.read(names).unwrap_or_default()
    }

    /// What a connection's platform is asked with when it is authorised again: its credentials with the new ones over them.
    #[must_use]
    pub fn request_of(
        &self,
        id: ConnectionId,
        entered: BTreeMap<String, Secret>,
    ) -> Option<NewConnectionRequest> {
        let connection = self.connection(id)?;
        let held = self.inner.parts.vault.read(|document| document.connections.get(&id.0).cloned());
        let held = held.unwrap_or_default();
        let mut credentials: BTreeMap<String, Secret> =
            held.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        credentials.extend(entered);
        Some(NewConnectionRequest {
            channel: connection.channel,
            alias: connection.alias,
            base_url: connection.base_url.and_then(|url| url.parse().ok()),
            credentials,
            settings: connection.settings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::KeySource;

    fn entered(token: &str) -> BTreeMap<String, Secret> {
        BTreeMap::from([("refresh_token".to_owned(), Secret::new(token))])
    }

    #[test]
    fn a_token_that_is_replaced_twice_before_it_is_saved_is_found_by_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::open(dir.path(), &KeySource::DataFolder).unwrap());
        for (before, after) in [("a", "b"), ("x", "y"), ("b", "c")] {
            let sink = UnsavedSink { vault: Arc::clone(&vault), entered: entered(before) };
            sink.keep(UNSAVED, "refresh_token", &Secret::new(after)).unwrap();
            // What was not entered belongs to nobody.
            sink.keep(UNSAVED, "shop_id", &Secret::new("9")).unwrap();
        }
        let again = Vault::open(dir.path(), &KeySource::DataFolder);
        let held = again.unwrap().read(|document| document.connections[&UNSAVED.0].clone());
        assert_eq!(held.len(), 3);
        let last = |token: &str| chain(&held, token).last().map(|place| held[place].as_str());
        assert_eq!([last("a"), last("b"), last("x"), last("z")], [Some("c"), Some("c"), Some("y"), None]);
    }
}

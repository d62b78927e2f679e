//! What a demo is furnished with: an owner, a token, and a connection per platform. Every step may run again.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::super::simulators::Offer;
use super::super::{CliError, terminal};
use super::POLL_INTERVAL;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::connection::{ConnectionSettings, History};
use crate::domain::id::{ChannelName, ConnectionId};
use crate::domain::user::Role;
use crate::sync::Engine;
use crate::sync::commands::{ConnectionUpdate, NewConnectionRequest, Refused};
use crate::vault::Vault;

/// The owner's name.
const OWNER: &str = "owner";

/// Who does what the demo does, in timelines.
const ACTOR: &str = "demo";

/// Between two looks at how far the back catalogue is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Looks between two words about it.
const LOOKS_PER_WORD: u32 = 30;

/// The owner's id.
pub fn owner(vault: &Vault) -> Result<i64, CliError> {
    let now = SystemClock.now();
    let id = vault.update(|document| match document.user_named(OWNER) {
        Some(user) => Some(user.id),
        None => document.add_user(OWNER, Role::Owner, now),
    });
    id.map_err(CliError::failed)?
        .ok_or_else(|| CliError::Failed("The demo's owner cannot be made: choose another folder.".to_owned()))
}

/// Lets `token` do what the owner may.
pub fn api_token(vault: &Vault, token: &str) -> Result<(), CliError> {
    if vault.read(|document| document.api_token(token).is_some()) {
        return Ok(());
    }
    let now = SystemClock.now();
    vault
        .update(|document| document.add_api_token(token, ACTOR, Role::Owner, now))
        .map_err(CliError::failed)?;
    Ok(())
}

/// Adds what is missing and mends what has moved; the shop first, since the others name it.
pub async fn connections(
    engine: &Engine,
    vault: &Vault,
    offers: Value,
    go_live: Timestamp,
) -> Result<Vec<ConnectionId>, CliError> {
    let offers = Offer::read_all(offers)?;
    let mut ids = BTreeMap::new();
    for offer in offers {
        let shop = offer.shop.as_ref().and_then(|alias| ids.get(alias)).copied();
        let alias = offer.alias.clone();
        let id = connect(engine, vault, offer, shop, go_live).await.map_err(|refused| {
            CliError::Failed(format!("The demo cannot connect {alias}: {}", refused.message))
        })?;
        ids.insert(alias, id);
    }
    Ok(ids.into_values().collect())
}

async fn connect(
    engine: &Engine,
    vault: &Vault,
    offer: Offer,
    shop: Option<ConnectionId>,
    go_live: Timestamp,
) -> Result<ConnectionId, Refused> {
    let credentials = offer.secrets();
    let known = engine
        .connections()
        .into_iter()
        .find(|known| known.channel.as_str() == offer.channel && known.alias == offer.alias);
    let Some(known) = known else {
        let settings = ConnectionSettings {
            shop,
            go_live: Some(go_live),
            history: History::Everything,
            poll_interval_s: u32::try_from(POLL_INTERVAL.as_secs()).ok(),
            ..ConnectionSettings::default()
        };
        let request = NewConnectionRequest {
            channel: ChannelName(offer.channel),
            alias: offer.alias,
            base_url: Some(offer.base_url),
            credentials,
            settings,
        };
        return engine.add_connection(request, ACTOR).await;
    };
    let is_there = known.base_url.as_deref() == Some(offer.base_url.as_str().trim_end_matches('/'));
    let has_credentials = vault.read(|document| {
        let held = document.connections.get(&known.id.0);
        held.is_some_and(|held| offer.credentials.iter().all(|(name, value)| held.get(name) == Some(value)))
    });
    if !is_there || !has_credentials {
        let update = ConnectionUpdate {
            base_url: Some(Some(offer.base_url)),
            credentials,
            ..ConnectionUpdate::default()
        };
        engine.change_connection(known.id, update, ACTOR).await?;
    }
    Ok(known.id)
}

/// Waits until every connection has been read to its end once.
pub async fn wait_for_back_catalogue(engine: &Engine, connections: &[ConnectionId]) {
    let mut looks: u32 = 0;
    loop {
        let states: Vec<_> = connections.iter().map(|id| engine.live_status(*id)).collect();
        if states.iter().all(|state| state.complete_until.is_some() && !state.is_importing) {
            return;
        }
        looks = looks.saturating_add(1);
        if looks.is_multiple_of(LOOKS_PER_WORD) {
            let imported: u64 = states.iter().map(|state| state.imported).sum();
            let trouble = states.iter().find_map(|state| state.last_error.as_deref());
            let trouble = trouble.map(|error| format!(" Last trouble: {error}")).unwrap_or_default();
            terminal::say(&format!("The back catalogue comes in: {imported} orders so far.{trouble}"));
        }
        SystemClock.sleep(PROGRESS_INTERVAL).await;
    }
}

//! Whose account credentials are for. Two connections to one account would bring every order twice, and so would a
//! connection that goes over to another account: neither is kept. A connection's account changes only as long as nothing
//! is held of it, such as where it was mistyped: the orders that a connection has created in the shop are known by it.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::{NewConnectionRequest, Refused};
use super::consent::UNSAVED;
use super::{Engine, Live};
use crate::channels::error::ChannelError;
use crate::channels::identity::{Identity, Kinship};
use crate::channels::registry::{ChannelInfo, CredentialTexts};
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::id::ConnectionId;
use crate::domain::plan::{EventKind, NewEvent};
use crate::secret::Secret;
use crate::store::{StoreError, WriteLane, connections, events};

/// Credentials that are to replace those of a connection.
#[derive(Clone, Copy)]
pub(super) struct Replacement<'a> {
    /// What was entered.
    pub(super) entered: &'a BTreeMap<String, Secret>,
    /// What is taken away.
    pub(super) removed: &'a BTreeSet<String>,
    /// All that the connection would have then.
    pub(super) whole: &'a BTreeMap<String, Secret>,
    /// Whether its calls go elsewhere from then on.
    pub(super) is_moved: bool,
}

/// Whose the new credentials of a connection are.
#[derive(Debug, Default)]
pub(super) struct Whose {
    /// What the platform calls their account, by the credential that keeps it, where it told.
    pub(super) name: Option<(String, Secret)>,
    /// The account, where it is another than before.
    pub(super) moves_to: Option<String>,
}

impl Engine {
    /// Adds to what was entered for a new connection what the platform calls its account, and gives the account.
    pub(super) async fn name_account(
        &self,
        info: &ChannelInfo,
        request: &mut NewConnectionRequest,
    ) -> Result<String, Refused> {
        if let Some(identity) = info.identity {
            let entered = self.as_they_are_now(request.credentials.clone());
            match self.ask_whose(identity, &self.unsaved(request), entered).await {
                Ok(Some(name)) => {
                    request.credentials.insert(identity.name.to_owned(), Secret::new(name));
                }
                Ok(None) => {}
                Err(error) if !self.others(info, None).is_empty() => return Err(not_now(info, &error)),
                Err(_) => {}
            }
        }
        let new = texts(&request.credentials);
        let account = account_of(info, &new)?;
        match self.kin_of(info, None, Some(&account), &new) {
            None => Ok(account),
            Some((twin, Kinship::Untold)) => Err(untold(info, &twin)),
            Some((twin, Kinship::Same | Kinship::Other)) => Err(twins(&twin)),
        }
    }

    /// Whether a connection may have new credentials: not those of another connection, nor, once anything of its account is
    /// held, of another account.
    pub(super) async fn check_account(
        &self,
        info: &ChannelInfo,
        connection: &Connection,
        change: Replacement<'_>,
    ) -> Result<Whose, Refused> {
        let mut new = texts(change.whole);
        let Some(identity) = info.identity else {
            let is_other = (info.account)(&new).is_some_and(|account| account != connection.account);
            if !is_other {
                return Ok(Whose::default());
            }
            let moves_to = Some(self.moved_account(info, connection, None, &new).await?);
            return Ok(Whose { name: None, moves_to });
        };
        let mut held = self.held_texts(connection.id);
        let is_named = held.contains_key(identity.name);
        let is_new = |name: &&str| {
            let is_held = |value: &Secret| held.get(*name).is_some_and(|before| before == value.expose());
            change.entered.get(*name).is_some_and(|value| !is_named || !is_held(value))
        };
        if !change.is_moved && !identity.fields.iter().any(is_new) {
            return Ok(Whose::default());
        }
        // What was told of the credentials before says nothing of the new ones.
        if new.get(identity.name) == held.get(identity.name) {
            new.remove(identity.name);
        }
        if change.removed.contains(identity.name) {
            held.remove(identity.name);
        }
        let connection_then = Connection { id: UNSAVED, ..connection.clone() };
        let told = match self.ask_whose(identity, &connection_then, change.whole.clone()).await {
            Ok(told) => told,
            Err(error) if held.contains_key(identity.name) => return Err(not_now(info, &error)),
            Err(_) => None,
        };
        if let Some(name) = &told {
            new.insert(identity.name.to_owned(), name.clone());
        }
        let named = held.get(identity.name);
        let moves_to = match (identity.may_replace)(&held, &new) {
            true => None,
            false => Some(self.moved_account(info, connection, named, &new).await?),
        };
        let name = new.get(identity.name).map(String::as_str);
        if let Some((twin, Kinship::Same)) = self.kin_of(info, Some(connection.id), name, &new) {
            return Err(twins(&twin));
        }
        Ok(Whose { name: told.map(|name| (identity.name.to_owned(), Secret::new(name))), moves_to })
    }

    /// The other account that a connection goes over to, which it may as long as nothing is held of its own.
    async fn moved_account(
        &self,
        info: &ChannelInfo,
        connection: &Connection,
        named: Option<&String>,
        new: &CredentialTexts,
    ) -> Result<String, Refused> {
        let id = connection.id;
        if self.store().read(move |read| connections::is_used(read, id)).await? {
            return Err(other_account(info, connection, named, new));
        }
        let account = account_of(info, new)?;
        match self.kin_of(info, Some(id), Some(&account), new) {
            None => Ok(account),
            Some((twin, Kinship::Untold)) => Err(untold(info, &twin)),
            Some((twin, Kinship::Same | Kinship::Other)) => Err(twins(&twin)),
        }
    }

    /// Takes a connection over to another account, durably, and gives it as it is then: paused until its new credentials are
    /// kept, since a process that dies in between must not read the old account in the new one's name.
    pub(super) async fn move_account(
        &self,
        id: ConnectionId,
        account: String,
        actor: &str,
    ) -> Result<Connection, Refused> {
        let before = self.connection(id).ok_or_else(|| Refused::from(StoreError::NotFound))?;
        let now = self.now();
        let note = "Its account was changed: enter the credentials again, then resume it.";
        let text = format!(
            "{} is connected to the account {account} instead of {}, of which nothing was held.",
            before.alias, before.account
        );
        let (to, by) = (account.clone(), actor.to_owned());
        self.store()
            .write(WriteLane::Interactive, move |tx| {
                connections::move_account(tx, id, &to)?;
                connections::set_state(tx, id, ConnectionState::Paused, Some(note), now)?;
                let event = NewEvent::new(EventKind::ConnectionChanged, text.clone());
                events::add(tx, None, Some(id), &event, &by, None, now)
            })
            .await?;
        let moved = Connection {
            account,
            state: ConnectionState::Paused,
            state_note: Some(note.to_owned()),
            state_since: now,
            ..before
        };
        // What was learnt of the old account is forgotten.
        self.with_live(id, |live| *live = Live::default());
        self.adopt(moved.clone(), now);
        Ok(moved)
    }

    /// Asks the platform whose credentials are that are not saved yet.
    async fn ask_whose(
        &self,
        identity: Identity,
        unsaved: &Connection,
        credentials: BTreeMap<String, Secret>,
    ) -> Result<Option<String>, ChannelError> {
        let setup = self.connector_setup(unsaved, credentials)?;
        (identity.ask)(setup).await
    }

    /// The first other connection that has this account, or may have it.
    fn kin_of(
        &self,
        info: &ChannelInfo,
        own: Option<ConnectionId>,
        account: Option<&str>,
        new: &CredentialTexts,
    ) -> Option<(Connection, Kinship)> {
        let kinship = |known: &Connection| {
            let held = self.held_texts(known.id);
            let told = info.identity.map_or(Kinship::Other, |identity| (identity.kinship)(&held, new));
            let theirs = (info.account)(&held);
            let has_account =
                account.is_some_and(|account| known.account == account || theirs.as_deref() == Some(account));
            if told == Kinship::Other && has_account { Kinship::Same } else { told }
        };
        let others = self.others(info, own).into_iter().map(|known| (kinship(&known), known));
        let mut kin: Vec<_> = others.filter(|(kinship, _)| *kinship != Kinship::Other).collect();
        // What is certain comes before what is not.
        kin.sort_by_key(|(kinship, _)| *kinship != Kinship::Same);
        kin.into_iter().next().map(|(kinship, known)| (known, kinship))
    }

    fn others(&self, info: &ChannelInfo, own: Option<ConnectionId>) -> Vec<Connection> {
        let is_other = |known: &Connection| known.channel.as_str() == info.name && Some(known.id) != own;
        self.connections().into_iter().filter(is_other).collect()
    }

    fn held_texts(&self, id: ConnectionId) -> CredentialTexts {
        self.inner.parts.vault.read(|document| document.connections.get(&id.0).cloned()).unwrap_or_default()
    }
}

fn texts(credentials: &BTreeMap<String, Secret>) -> CredentialTexts {
    credentials.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
}

/// The account that credentials name by themselves.
pub(super) fn account_of(info: &ChannelInfo, credentials: &CredentialTexts) -> Result<String, Refused> {
    (info.account)(credentials).ok_or_else(|| {
        refused(format!("The credentials do not say which {} account they are for.", info.title))
    })
}

fn refused(message: String) -> Refused {
    Refused { field: None, message }
}

fn twins(twin: &Connection) -> Refused {
    refused(format!(
        "“{}” is connected to this account already. Two connections to one account would bring every order twice: \
         change that one instead.",
        twin.alias
    ))
}

fn untold(info: &ChannelInfo, twin: &Connection) -> Refused {
    let (alias, title) = (&twin.alias, info.title);
    refused(format!(
        "Nothing tells whether this is another account than that of “{alias}”: both use the same app, and {title} has \
         not named both accounts. One account connected twice would bring every order twice. Connect on {title}'s \
         page, and authorise “{alias}” again there; or enter {} for both.",
        name_label(info)
    ))
}

fn other_account(
    info: &ChannelInfo,
    connection: &Connection,
    named: Option<&String>,
    new: &CredentialTexts,
) -> Refused {
    let (alias, title) = (&connection.alias, info.title);
    let ours = named.unwrap_or(&connection.account);
    let theirs = (info.account)(new).unwrap_or_else(|| "not named".to_owned());
    let mut message = format!(
        "These credentials are for another {title} account ({theirs}) than “{alias}” ({ours}), and were not kept: \
         orders of both would be mixed and could come twice, and shipments would go to the wrong account. Sign in to \
         {title} with the account of “{alias}” and authorise again, or add a new connection for the other account. Where \
         “{alias}” was meant for that one, pause it as well: what came from its account stays here."
    );
    if named.is_some() {
        let hint = format!(" Where “{ours}” is a name of your own, take {} away first.", name_label(info));
        message.push_str(&hint);
    }
    refused(message)
}

fn not_now(info: &ChannelInfo, error: &ChannelError) -> Refused {
    refused(format!(
        "{} did not say whose account these credentials are for ({error}), and they were not kept: another account's \
         would mix orders or bring them twice. Try again in a minute.",
        info.title
    ))
}

/// What people call the credential that names the account.
fn name_label(info: &ChannelInfo) -> &'static str {
    let name = info.identity.map_or("", |identity| identity.name);
    info.credentials.iter().find(|field| field.name == name).map_or("the account", |field| field.label)
}

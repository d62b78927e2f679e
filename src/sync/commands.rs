//! What people ask of the engine: connections added, changed and paused, orders exported, retried and looked up.
//! Every command is safe to give twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::Engine;
use super::accounts::{Replacement, Whose};
use super::consent::UNSAVED;
use super::jobs::Job;
use crate::channels::error::ChannelError;
use crate::channels::pace::QuotaLine;
use crate::channels::registry::{self, ChannelInfo};
use crate::channels::{ProbeLine, ProbeReport};
use crate::clock::whole_second;
use crate::domain::connection::{Connection, ConnectionSettings, ConnectionState};
use crate::domain::draft::ExternalSource;
use crate::domain::effect::{EffectKind, Lane, NewEffect, Verdict};
use crate::domain::id::{ChannelName, ConnectionId, EffectId, OrderNo};
use crate::domain::order::{ExportState, OrderStatus};
use crate::domain::plan::{EventKind, NewEvent};
use crate::domain::reason::{Reason, ReasonCode};
use crate::secret::Secret;
use crate::store::connections::NewConnection;
use crate::store::{StoreError, WriteLane, connections, effects, events, orders};

/// A connection's test ends after so long, whatever the platform does (FEATURES A9).
const TEST_TIME_MAX: Duration = Duration::from_secs(10);

/// A connection that a person wants to add.
#[derive(Debug, Clone)]
pub struct NewConnectionRequest {
    /// The platform.
    pub channel: ChannelName,
    /// What the merchant calls it.
    pub alias: String,
    /// Replaces scheme and host of every call, where set.
    pub base_url: Option<Url>,
    /// Credentials by the registry's field names.
    pub credentials: BTreeMap<String, Secret>,
    /// How it is to be run.
    pub settings: ConnectionSettings,
}

/// What a person changes on a connection; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct ConnectionUpdate {
    /// A new alias.
    pub alias: Option<String>,
    /// New settings, whole.
    pub settings: Option<ConnectionSettings>,
    /// Credentials to replace.
    pub credentials: BTreeMap<String, Secret>,
    /// Credentials to take away: optional ones only.
    pub removed: BTreeSet<String>,
    /// `Some(None)` takes the base URL away; any change of it clears credentials that are not given here.
    pub base_url: Option<Option<Url>>,
}

/// Why a wish was refused: the field that has to be mended, if it is one, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The field.
    pub field: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Refused {
    fn field(field: &str, message: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), message: message.into() }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self { field: None, message: error.to_string() }
    }
}

/// How a connection is doing at this moment.
#[derive(Debug, Clone, Default)]
pub struct LiveStatus {
    /// When its orders are read next.
    pub next_run_at: Option<Timestamp>,
    /// What is left of the platform's quotas.
    pub quota: Vec<QuotaLine>,
    /// When the platform last answered well.
    pub last_success_at: Option<Timestamp>,
    /// What went wrong last, if nothing has gone well since.
    pub last_error: Option<String>,
    /// Everything that the platform changed up to here is in.
    pub complete_until: Option<Timestamp>,
    /// Orders that the first import has brought in, while it runs.
    pub imported: u64,
    /// Orders that the platform says are still to come, while a window runs.
    pub remaining: Option<u64>,
    /// True while a poll still has pages to fetch.
    pub is_importing: bool,
}

/// What became of a search for one order at its platform (FEATURES B13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Our number of it, if it is here now.
    pub order_no: Option<OrderNo>,
    /// Why it is or is not here.
    pub explanation: String,
    /// What to do next.
    pub next_step: String,
}

impl Engine {
    /// Reads a connection's orders now instead of at the next run.
    ///
    /// # Errors
    /// Where it may not call.
    pub fn sync_now(&self, id: ConnectionId) -> Result<(), String> {
        let connection = self.connection(id).ok_or("This connection does not exist.")?;
        if !connection.state.may_call() {
            return Err(format!(
                "{} is {}: resume or re-authorise it first.",
                connection.alias, connection.state
            ));
        }
        let now = self.now();
        self.with_queue(|queue| {
            for job in super::jobs::of(&connection) {
                if matches!(job, Job::PollOrders | Job::PollShop) {
                    queue.schedule(id, job, now);
                }
            }
        });
        self.inner.wake.notify_one();
        Ok(())
    }

    /// Tests credentials that are not saved yet: ten seconds at most.
    pub async fn test_new(&self, request: &NewConnectionRequest) -> ProbeReport {
        let connection = self.unsaved(request);
        match self.build_connector(&connection, self.as_they_are_now(request.credentials.clone())) {
            Err(error) => failed_report(error.to_string()),
            Ok(connector) => self.probe(&*connector).await,
        }
    }

    /// Tests a connection that exists.
    ///
    /// # Errors
    /// Where there is no such connection.
    pub async fn test_existing(&self, id: ConnectionId) -> Result<ProbeReport, String> {
        self.connection(id).ok_or("This connection does not exist.")?;
        Ok(match self.connector(id) {
            Err(error) => failed_report(error.to_string()),
            Ok(connector) => self.probe(&*connector).await,
        })
    }

    async fn probe(&self, connector: &dyn crate::channels::Connector) -> ProbeReport {
        tokio::select! {
            report = connector.probe().probe() => report,
            () = self.inner.parts.clock.sleep(TEST_TIME_MAX) => failed_report(
                "The platform did not answer within ten seconds. Check the base URL and the network, then try again."
                    .to_owned(),
            ),
        }
    }

    pub(super) fn unsaved(&self, request: &NewConnectionRequest) -> Connection {
        let now = self.now();
        Connection {
            id: ConnectionId(0),
            channel: request.channel.clone(),
            alias: request.alias.clone(),
            account: String::new(),
            base_url: request.base_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
            state: ConnectionState::Active,
            state_note: None,
            state_since: now,
            created_at: now,
            settings: request.settings.clone(),
            currency: None,
        }
    }

    /// Adds a connection and starts it.
    ///
    /// # Errors
    /// What has to be mended.
    pub async fn add_connection(
        &self,
        mut request: NewConnectionRequest,
        actor: &str,
    ) -> Result<ConnectionId, Refused> {
        let info = registry::channel(&request.channel).ok_or_else(|| {
            let known = registry::CHANNELS.iter().map(|info| info.name).collect::<Vec<_>>().join(", ");
            Refused::field(
                "channel",
                format!("There is no channel “{}”. Choose one of {known}.", request.channel),
            )
        })?;
        let alias = self.checked_alias(&request.alias, None)?;
        check_credentials(info, &request.credentials)?;
        let mut settings = request.settings.clone();
        self.check_settings(info, &mut settings)?;
        self.check_entered(&self.unsaved(&request), request.credentials.clone())?;
        let account = self.name_account(info, &mut request).await?;
        let mut connection = Connection { alias, account, settings, ..self.unsaved(&request) };

        let now = self.now();
        connection.settings.go_live.get_or_insert(whole_second(now));
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        if let Some(usual) = info.sends_after_sale {
            connection.settings.send_cancellations.get_or_insert(usual);
            connection.settings.send_refunds.get_or_insert(usual);
        }
        if info.life.secret_days.is_some() {
            connection.settings.secret_made_on.get_or_insert(today);
        }
        if info.life.authorisation_days.is_some() {
            connection.settings.authorised_on.get_or_insert(today);
        }
        let row = NewConnection {
            channel: connection.channel.clone(),
            alias: connection.alias.clone(),
            account: connection.account.clone(),
            base_url: connection.base_url.clone(),
            settings: connection.settings.clone(),
            now,
        };
        let text = format!("{} was added by {actor}.", connection.alias);
        let actor = actor.to_owned();
        let id = self
            .store()
            .write(WriteLane::Interactive, move |tx| {
                let id = connections::insert(tx, &row)?;
                let event = NewEvent::new(EventKind::ConnectionChanged, text.clone());
                events::add(tx, None, Some(id), &event, &actor, None, now)?;
                Ok(id)
            })
            .await?;
        self.keep_credentials(id, &request.credentials, None, false, &BTreeSet::new()).await?;
        connection.id = id;
        self.adopt(connection, now);
        Ok(id)
    }

    /// Changes a connection; new credentials take it out of *needs re-authorisation*.
    ///
    /// # Errors
    /// What has to be mended.
    pub async fn change_connection(
        &self,
        id: ConnectionId,
        change: ConnectionUpdate,
        actor: &str,
    ) -> Result<(), Refused> {
        // It may take a while: what is changed is read after it.
        let Whose { name, moves_to } = self.check_replacement(id, &change).await?;
        let mut connection = self.connection(id).ok_or_else(|| Refused::from(StoreError::NotFound))?;
        let info =
            registry::channel(&connection.channel).ok_or_else(|| Refused::from(StoreError::NotFound))?;
        if let Some(alias) = &change.alias {
            connection.alias = self.checked_alias(alias, Some(id))?;
        }
        if let Some(settings) = change.settings {
            let before = std::mem::replace(&mut connection.settings, settings);
            let after = &mut connection.settings;
            after.go_live = after.go_live.or(before.go_live);
            after.secret_made_on = after.secret_made_on.or(before.secret_made_on);
            after.authorised_on = after.authorised_on.or(before.authorised_on);
            self.check_settings(info, &mut connection.settings)?;
        }
        let is_moved = move_to(&mut connection, change.base_url.as_ref());
        let has_credentials = !change.credentials.is_empty();
        let today = self.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        if info.life.secret_days.is_some() && change.credentials.contains_key("client_secret") {
            connection.settings.secret_made_on = Some(today);
        }
        if info.life.authorisation_days.is_some() && change.credentials.contains_key("refresh_token") {
            connection.settings.authorised_on = Some(today);
        }
        let mut removed = change.removed.clone();
        let mut goes_on_as = None;
        if let Some(account) = moves_to {
            goes_on_as = Some(match connection.state {
                ConnectionState::Paused => (ConnectionState::Paused, connection.state_note.take()),
                ConnectionState::Active
                | ConnectionState::Failing
                | ConnectionState::NeedsReauthorisation => (ConnectionState::Active, None),
            });
            let moved = self.move_account(id, account, actor).await?;
            let Connection { alias, base_url, settings, .. } = connection;
            connection = Connection { alias, base_url, settings, ..moved };
            // The old account's name says nothing of the new one.
            removed.extend(info.identity.map(|identity| identity.name.to_owned()));
        }
        if has_credentials || is_moved || !removed.is_empty() {
            // Before the row points elsewhere: the old credentials must never travel to the new address.
            self.keep_credentials(id, &change.credentials, name, is_moved, &removed).await?;
        }
        let now = self.now();
        let (row, text, by) =
            (connection.clone(), format!("{} was changed by {actor}.", connection.alias), actor.to_owned());
        self.store()
            .write(WriteLane::Interactive, move |tx| {
                connections::rename(tx, id, &row.alias)?;
                connections::set_base_url(tx, id, row.base_url.as_deref())?;
                connections::update_settings(tx, id, &row.settings)?;
                let event = NewEvent::new(EventKind::ConnectionChanged, text.clone());
                events::add(tx, None, Some(id), &event, &by, None, now)
            })
            .await?;
        self.adopt(connection.clone(), now);
        // What was built before of old settings goes, too.
        self.drop_connector(id);
        if has_credentials && connection.state == ConnectionState::NeedsReauthorisation {
            goes_on_as = Some((ConnectionState::Active, None));
        }
        if let Some((state, note)) = goes_on_as {
            self.set_connection_state(id, state, note, actor).await?;
        }
        Ok(())
    }

    /// Whether a connection may have the credentials that it would have then, and whose they are.
    async fn check_replacement(&self, id: ConnectionId, change: &ConnectionUpdate) -> Result<Whose, Refused> {
        let mut connection = self.connection(id).ok_or_else(|| Refused::from(StoreError::NotFound))?;
        let info =
            registry::channel(&connection.channel).ok_or_else(|| Refused::from(StoreError::NotFound))?;
        let is_moved = move_to(&mut connection, change.base_url.as_ref());
        if is_moved && change.credentials.is_empty() {
            return Err(Refused::field(
                "base_url",
                "A new base URL clears the credentials: give them together with it.",
            ));
        }
        check_removable(info, &change.removed)?;
        if change.credentials.is_empty() && change.removed.is_empty() {
            return Ok(Whose::default());
        }
        let mut whole = change.credentials.clone();
        if !is_moved {
            let held = self.request_of(id, whole).ok_or_else(|| Refused::from(StoreError::NotFound))?;
            whole = held.credentials;
        }
        // What is entered and removed at once is entered.
        whole.retain(|name, _| !change.removed.contains(name) || change.credentials.contains_key(name));
        let whole = self.as_they_are_now(whole);
        self.check_entered(&connection, whole.clone())?;
        let (entered, removed) = (&change.credentials, &change.removed);
        let replacement = Replacement { entered, removed, whole: &whole, is_moved };
        self.check_account(info, &connection, replacement).await
    }

    /// Whether a connector can be made of what was entered. Makes no call.
    fn check_entered(
        &self,
        connection: &Connection,
        credentials: BTreeMap<String, Secret>,
    ) -> Result<(), Refused> {
        let refused = |message: String| Refused { field: None, message };
        let connector =
            self.build_connector(connection, credentials).map_err(|error| refused(error.to_string()))?;
        connector.flaw().map_or(Ok(()), |flaw| Err(refused(flaw.to_owned())))
    }

    /// Keeps what was entered, as its platform has replaced it since, and what the platform calls the account. Waits for what
    /// is being replaced, by a test of what was entered or by the connection itself: what it brings must neither be missed nor
    /// come after.
    async fn keep_credentials(
        &self,
        id: ConnectionId,
        entered: &BTreeMap<String, Secret>,
        name: Option<(String, Secret)>,
        clears: bool,
        removed: &BTreeSet<String>,
    ) -> Result<(), Refused> {
        let (of_tests, of_connection) = (self.renewals(UNSAVED), self.renewals(id));
        let _turns = (of_tests.lock().await, of_connection.lock().await);
        let mut credentials = self.as_they_are_now(entered.clone());
        credentials.extend(name);
        self.inner
            .parts
            .vault
            .update(|document| {
                let kept = document.connections.entry(id.0).or_default();
                if clears {
                    kept.clear();
                }
                kept.retain(|name, _| !removed.contains(name));
                for (name, value) in credentials {
                    kept.insert(name, value.expose().to_owned());
                }
            })
            .map_err(|error| Refused { field: None, message: error.to_string() })?;
        self.forget_replaced(entered);
        Ok(())
    }

    fn checked_alias(&self, alias: &str, own: Option<ConnectionId>) -> Result<String, Refused> {
        const ALIAS_CHARS_MAX: usize = 60;
        let alias = alias.trim();
        if alias.is_empty() || alias.chars().count() > ALIAS_CHARS_MAX {
            return Err(Refused::field("alias", "Give the connection a name of 1 to 60 characters."));
        }
        let is_taken = self
            .connections()
            .iter()
            .any(|other| Some(other.id) != own && other.alias.eq_ignore_ascii_case(alias));
        if is_taken {
            return Err(Refused::field(
                "alias",
                format!("Another connection is already called “{alias}”: choose another name."),
            ));
        }
        Ok(alias.to_owned())
    }

    fn check_settings(&self, info: &ChannelInfo, settings: &mut ConnectionSettings) -> Result<(), Refused> {
        settings.go_live = settings.go_live.map(whole_second);
        if info.is_shop && settings.shop.is_some() {
            return Err(Refused::field("shop", "A shop has no shop of its own: leave it empty."));
        }
        if info.sends_after_sale.is_none() {
            for (field, switch) in
                [("send_cancellations", settings.send_cancellations), ("send_refunds", settings.send_refunds)]
            {
                if switch == Some(true) {
                    let message = format!(
                        "{} takes neither cancellations nor refunds from other programs: leave this off.",
                        info.title
                    );
                    return Err(Refused::field(field, message));
                }
            }
        }
        let Some(shop) = settings.shop else { return Ok(()) };
        let is_shop = self.connection(shop).is_some_and(|connection| {
            registry::channel(&connection.channel).is_some_and(|channel| channel.is_shop)
        });
        if !is_shop {
            return Err(Refused::field(
                "shop",
                format!("Connection {shop} is no shop: choose one, or none."),
            ));
        }
        Ok(())
    }

    /// Stops all calls of a connection.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn pause(&self, id: ConnectionId, actor: &str) -> Result<(), String> {
        let note = Some(format!("Paused by {actor}."));
        let paused = self.set_connection_state(id, ConnectionState::Paused, note, actor).await;
        paused.map_err(|error| error.to_string())
    }

    /// Lets a paused connection go on where it stopped.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn resume(&self, id: ConnectionId, actor: &str) -> Result<(), String> {
        let resumed = self.set_connection_state(id, ConnectionState::Active, None, actor).await;
        resumed.map_err(|error| error.to_string())
    }

    /// Sends an order to the shop although it would not go by itself. Says what happens next.
    ///
    /// # Errors
    /// Why not.
    pub async fn export(&self, order_no: OrderNo, actor: &str) -> Result<String, String> {
        let loaded = self.store().read(move |read| orders::facts(read, order_no)).await;
        let (facts, held, owner) =
            loaded.map_err(|error| error.to_string())?.ok_or("This order does not exist.")?;
        let owner = self.connection(owner).ok_or("The order's connection does not exist.")?;
        if held.export_state == ExportState::Created {
            return Ok("It is in the shop already.".to_owned());
        }
        let Some(shop) = owner.settings.shop else {
            return Err(format!("{} names no shop: choose one in the connection first.", owner.alias));
        };
        if facts.status == OrderStatus::Cancelled && !facts.is_paid {
            return Err("The order was cancelled: there is nothing to create.".to_owned());
        }
        if !facts.is_paid {
            return Err("The order is not paid yet. It goes into the shop by itself once it is.".to_owned());
        }
        let by = actor.to_owned();
        let opened =
            self.store().write(WriteLane::Interactive, move |tx| orders::pick(tx, order_no, &by)).await;
        self.enqueue(opened.map_err(|error| error.to_string())?);
        let shop = self.connection(shop).map_or_else(|| "the shop".to_owned(), |shop| shop.alias);
        Ok(format!("It is being created in {shop}."))
    }

    /// Tries now what an order waits for. Says what happens next.
    ///
    /// # Errors
    /// Why not.
    pub async fn retry(&self, order_no: OrderNo, actor: &str) -> Result<String, String> {
        let loaded = self.store().read(move |read| orders::facts(read, order_no)).await;
        let (_, held, owner) =
            loaded.map_err(|error| error.to_string())?.ok_or("This order does not exist.")?;
        let (by, now) = (actor.to_owned(), self.now());
        let fetches_again =
            matches!(held.export_reason, Some(ReasonCode::AddressMissing | ReasonCode::TotalMismatch));
        let opened = self
            .store()
            .write(WriteLane::Interactive, move |tx| {
                let mut opened = orders::retry(tx, order_no, &by)?;
                if fetches_again {
                    opened.extend(effects::open(tx, order_no, &refresh_effect(owner, now))?);
                }
                Ok(opened)
            })
            .await
            .map_err(|error| error.to_string())?;
        let count = opened.len();
        self.enqueue(opened);
        Ok(match count {
            0 => "Nothing of this order waits.".to_owned(),
            _ => "It is being tried again.".to_owned(),
        })
    }

    /// A person has looked at what a held cancellation or refund came to. Says what happens next.
    ///
    /// # Errors
    /// Why not.
    pub async fn settle_by_hand(
        &self,
        order_no: OrderNo,
        effect: EffectId,
        verdict: Verdict,
        actor: &str,
    ) -> Result<String, String> {
        let (by, now) = (actor.to_owned(), self.now());
        let settled = self
            .store()
            .write(WriteLane::Interactive, move |tx| {
                effects::settle_by_hand(tx, order_no, effect, verdict, &by, now)
            })
            .await;
        match settled {
            Ok(Some(next)) => {
                self.enqueue(vec![next]);
                Ok("It is being sent again.".to_owned())
            }
            Ok(None) => {
                self.with_queue(|queue| queue.remove(effect));
                Ok("It is settled: nothing is sent for it.".to_owned())
            }
            Err(StoreError::NotFound) => {
                Err("This does not wait for anybody any more. Open the order again.".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Retries every order that waits for this reason; says how many.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn retry_reason(&self, reason: ReasonCode, actor: &str) -> Result<usize, String> {
        let numbers = self.with_queue(|queue| queue.orders_waiting_for(reason));
        for order_no in &numbers {
            self.retry(*order_no, actor).await?;
        }
        Ok(numbers.len())
    }

    /// Fetches one order from its platform now and says why it is or is not here.
    pub async fn find_order(
        &self,
        connection: Option<ConnectionId>,
        external_id: &str,
        actor: &str,
    ) -> Found {
        let external_id = external_id.trim();
        let asked: Vec<Connection> = self
            .connections()
            .into_iter()
            .filter(|known| connection.is_none_or(|id| id == known.id))
            .collect();
        let mut notes = Vec::new();
        for known in &asked {
            match self.find_at(known, external_id, actor).await {
                Ok(Some(found)) => return found,
                Ok(None) => notes.push(format!("{} does not know it.", known.alias)),
                Err(note) => notes.push(note),
            }
        }
        if asked.is_empty() {
            notes.push("There is no connection to ask.".to_owned());
        }
        Found {
            order_no: None,
            explanation: format!("No connection has an order “{external_id}”. {}", notes.join(" ")),
            next_step:
                "Check the number on the marketplace's own page, and that the right account is connected."
                    .to_owned(),
        }
    }

    async fn find_at(
        &self,
        connection: &Connection,
        external_id: &str,
        actor: &str,
    ) -> Result<Option<Found>, String> {
        let (id, wanted) = (connection.id, external_id.to_owned());
        let before = self
            .store()
            .read(move |read| orders::find(read, id, &wanted))
            .await
            .map_err(|error| error.to_string())?;
        let why_not_called = (!connection.state.may_call())
            .then(|| format!("{} is {}, so it was not asked.", connection.alias, connection.state));
        if let Some(note) = why_not_called {
            return match before {
                None => Err(note),
                Some(order_no) => self.explain(connection, order_no, note).await.map(Some),
            };
        }
        let connector = self.connector(connection.id).map_err(|error| error.to_string())?;
        let Some(source) = connector.order_source() else { return Ok(None) };
        let received = match source.order(external_id).await {
            Ok(Some(received)) => received,
            Ok(None) => return Ok(None),
            Err(ChannelError::Reject { .. }) if before.is_none() => return Ok(None),
            Err(error) => return Err(format!("{} could not be asked: {error}", connection.alias)),
        };
        let origin = received.facts.as_ref().map(|facts| facts.origin.clone()).unwrap_or_default();
        if let Some(source) = origin.external_source.as_deref().and_then(|text| text.parse().ok()) {
            return self.find_created(connection, &source, origin.external_order_id.as_deref()).await;
        }
        let is_unreadable = received.facts.as_ref().err().map(ToString::to_string);
        let outcome = self
            .import(connection, source, vec![received], None, actor)
            .await
            .map_err(|error| error.to_string())?;
        if let Some(what) = is_unreadable {
            return Ok(Some(Found {
                order_no: before,
                explanation: format!("{} sent it, but it cannot be read: {what}.", connection.alias),
                next_step:
                    "It is kept and read again after an upgrade. Work on it on the marketplace until then."
                        .to_owned(),
            }));
        }
        let order_no = outcome.orders.first().copied().or(before);
        match order_no {
            Some(order_no) => {
                let note = if before.is_some() { "It was here already." } else { "It was fetched now." };
                self.explain(connection, order_no, note.to_owned()).await.map(Some)
            }
            None => Ok(None),
        }
    }

    /// A shop's order that was created for a marketplace's is that order, and never one of the shop's own.
    async fn find_created(
        &self,
        shop: &Connection,
        source: &ExternalSource,
        external_order_id: Option<&str>,
    ) -> Result<Option<Found>, String> {
        let known = self.connections();
        let owner =
            known.iter().find(|owner| owner.channel == source.channel && owner.account == source.account);
        let (Some(owner), Some(external_id)) = (owner, external_order_id) else {
            return Err(format!("{} has it from a marketplace that is not connected here.", shop.alias));
        };
        let (id, wanted) = (owner.id, external_id.to_owned());
        let found = self.store().read(move |read| orders::find(read, id, &wanted)).await;
        match found.map_err(|error| error.to_string())? {
            Some(order_no) => {
                let note = format!("{} has it as this order.", shop.alias);
                self.explain(owner, order_no, note).await.map(Some)
            }
            None => Err(format!("{} has it as order {external_id} of {}.", shop.alias, owner.alias)),
        }
    }

    async fn explain(
        &self,
        connection: &Connection,
        order_no: OrderNo,
        note: String,
    ) -> Result<Found, String> {
        let loaded = self.store().read(move |read| orders::facts(read, order_no)).await;
        let (facts, held, _) = loaded.map_err(|error| error.to_string())?.ok_or("The order is gone.")?;
        let reason = held.export_reason.map(Reason::of);
        let (why, next_step) = match reason {
            _ if held.is_history => (
                "It was placed before go-live, so it is history and is not exported.".to_owned(),
                "Press Export on the order to send it anyway.",
            ),
            _ if held.export_state == ExportState::Created => {
                ("It is in the shop.".to_owned(), "Nothing to do.")
            }
            Some(reason) => (reason.what(), reason.next_step()),
            None if !facts.is_paid => {
                let unpaid = Reason::of(ReasonCode::Unpaid);
                (unpaid.what(), unpaid.next_step())
            }
            None if registry::channel(&connection.channel).is_some_and(|info| info.is_shop) => (
                "It is the shop's own order: it is kept and reported, and never exported.".to_owned(),
                "Nothing to do.",
            ),
            None if connection.settings.shop.is_none() => (
                "Its connection names no shop, so it is kept and reported only.".to_owned(),
                "Choose a shop in the connection's settings if it should go into one.",
            ),
            None => (String::new(), "Open the order to see what happens to it."),
        };
        Ok(Found {
            order_no: Some(order_no),
            explanation: format!("{}: {note} {why}", connection.alias).trim().to_owned(),
            next_step: next_step.to_owned(),
        })
    }

    /// How a connection is doing.
    #[must_use]
    pub fn live_status(&self, id: ConnectionId) -> LiveStatus {
        let mut status = self.with_live(id, |live| {
            let mut status = live.status.clone();
            status.quota = live.connector.as_ref().map(|connector| connector.quota()).unwrap_or_default();
            status
        });
        let due = |job| self.with_queue(|queue| queue.job(id, job)).map(|slot| slot.due_at);
        status.next_run_at =
            due(Job::PollOrders).or_else(|| due(Job::PollShop)).filter(|due_at| *due_at < Timestamp::MAX);
        status
    }

    /// How far behind its platform a connection is.
    #[must_use]
    pub fn lag(&self, id: ConnectionId) -> Option<SignedDuration> {
        let until = self.with_live(id, |live| live.status.complete_until)?;
        Some(self.now().duration_since(until))
    }
}

/// Points a connection's calls elsewhere, where that is wished; true where they went somewhere else before.
fn move_to(connection: &mut Connection, base_url: Option<&Option<Url>>) -> bool {
    let Some(base_url) = base_url else { return false };
    let wanted = base_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    let before = std::mem::replace(&mut connection.base_url, wanted);
    before != connection.base_url
}

fn refresh_effect(owner: ConnectionId, now: Timestamp) -> NewEffect {
    NewEffect {
        kind: EffectKind::RefreshOrder,
        revision: now.to_string(),
        connection: owner,
        lane: Lane::Orders,
        due_at: now,
        held: None,
    }
}

fn failed_report(detail: String) -> ProbeReport {
    ProbeReport {
        account: None,
        lines: vec![ProbeLine { check: "Connection".to_owned(), is_ok: false, detail }],
        raw: String::new(),
    }
}

fn check_credentials(info: &ChannelInfo, given: &BTreeMap<String, Secret>) -> Result<(), Refused> {
    for field in info.credentials {
        let is_there = given.get(field.name).is_some_and(|value| !value.expose().trim().is_empty());
        if field.is_required && !is_there {
            return Err(Refused::field(field.name, format!("{} is missing. {}", field.label, field.hint)));
        }
    }
    for name in given.keys() {
        if !info.credentials.iter().any(|field| field.name == name) {
            let known = info.credentials.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
            return Err(Refused::field(
                name,
                format!("{} has no credential “{name}”: it takes {known}.", info.title),
            ));
        }
    }
    Ok(())
}

fn check_removable(info: &ChannelInfo, removed: &BTreeSet<String>) -> Result<(), Refused> {
    for name in removed {
        match info.credentials.iter().find(|field| field.name == name) {
            Some(field) if field.is_required => {
                let message = format!("{} needs {}: enter another one.", info.title, field.label);
                return Err(Refused::field(name, message));
            }
            Some(_) => {}
            None => {
                return Err(Refused::field(name, format!("{} has no credential “{name}”.", info.title)));
            }
        }
    }
    Ok(())
}

//! Jobs: work of our own on a schedule, one file each. A job says when it wants to run again; what it brought
//! in is durable by then.

mod check_authorisation;
mod poll_orders;
mod poll_shop;
mod read_listings;
mod read_open;
mod read_parked;
mod read_profile;
mod read_pushed;
mod read_queue;
mod reconcile;
mod replay;
mod subscribe;

pub use poll_orders::GATHERED_ORDERS_MAX;
pub(super) use poll_shop::{is_shipped, mirror_row};
pub(super) use reconcile::{ASKED_DAYS_BACK_MAX, day_window};

use std::time::Duration;

use jiff::Timestamp;

use super::{Engine, EngineError, retry};
use crate::channels::error::ChannelError;
use crate::channels::registry;
use crate::clock::shifted;
use crate::domain::connection::{Connection, ConnectionState, History};
use crate::domain::id::ConnectionId;
use crate::domain::plan::{EventKind, NewEvent};
use crate::store::{StoreError, WriteLane, connections, events};

/// Work of our own on a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Reads name and currency of a shop: before anything can be created there.
    ReadProfile,
    /// Reads listings; a shop's are what SKUs are matched to.
    ReadListings,
    /// Reads a marketplace's changed orders.
    PollOrders,
    /// Reads a shop's changed orders, ours and its own.
    PollShop,
    /// Looks whether a platform that refused the credentials accepts them again.
    CheckAuthorisation,
    /// Reads again what another version could not read.
    ReadParked,
    /// Reads again what a platform changed since a time that somebody named.
    Replay,
    /// Compares days with what the platform says of them, and fetches what is missing.
    Reconcile,
    /// Looks at what the platform pushed.
    ReadPushed,
    /// Takes the platform's messages out of the merchant's queue.
    ReadQueue,
    /// Sees to it that the platform pushes.
    Subscribe,
    /// Looks up open orders that are older than the platform's sweeps reach.
    ReadOpen,
}

impl Job {
    /// The name of its stream in the store.
    #[must_use]
    pub fn stream(self) -> &'static str {
        match self {
            Self::ReadProfile => "profile",
            Self::ReadListings => "listings",
            Self::PollOrders => "orders",
            Self::PollShop => "shop_orders",
            Self::CheckAuthorisation => "authorisation",
            Self::ReadParked => "parked",
            Self::Replay => "replay",
            Self::Reconcile => "reconciliation",
            Self::ReadPushed => "pushed",
            Self::ReadQueue => "queue",
            Self::Subscribe => "subscription",
            Self::ReadOpen => "open_orders",
        }
    }
}

/// Between two looks whether refused credentials are accepted again.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(600);
/// The first look comes sooner: what refused everybody may have been a moment's trouble.
pub(super) const FIRST_CHECK: Duration = Duration::from_secs(60);

/// A connection one of whose jobs failed so often in a row is failing.
const FAILURES_BEFORE_FAILING: u32 = 3;

/// How a run ended.
pub(super) enum Ran {
    /// More is waiting now.
    Again,
    /// Done until the next time.
    Until(Duration),
    /// Nothing to do until then: the platform was not called, so that this says nothing of the connection.
    Idle(Duration),
}

/// The jobs of a connection.
pub(super) fn of(connection: &Connection) -> Vec<Job> {
    match connection.state {
        ConnectionState::NeedsReauthorisation => return vec![Job::CheckAuthorisation],
        ConnectionState::Paused => return Vec::new(),
        ConnectionState::Active | ConnectionState::Failing => {}
    }
    let info = registry::channel(&connection.channel);
    let is_shop = info.is_some_and(|info| info.is_shop);
    let mut jobs = vec![Job::ReadListings];
    if is_shop {
        jobs.extend([Job::ReadProfile, Job::PollShop, Job::ReadParked, Job::Replay]);
    } else if connection.settings.import_orders {
        jobs.extend([Job::PollOrders, Job::ReadParked, Job::Replay]);
    }
    if connection.settings.import_orders {
        jobs.push(Job::Reconcile);
    }
    jobs.extend([Job::ReadPushed, Job::ReadQueue, Job::Subscribe]);
    if connection.settings.import_orders && info.is_some_and(|info| info.swept_days.is_some()) {
        jobs.push(Job::ReadOpen);
    }
    jobs
}

/// From when on a connection without a cursor reads: the history that the merchant asked for.
pub(super) fn history_start(connection: &Connection) -> Option<Timestamp> {
    let go_live = connection.settings.go_live.unwrap_or(connection.created_at);
    let days_before = |days: i64| Some(shifted(go_live, jiff::SignedDuration::from_hours(-24 * days)));
    match connection.settings.history {
        History::None => Some(go_live),
        History::Today => {
            let day = go_live.to_zoned(jiff::tz::TimeZone::UTC).start_of_day();
            Some(day.map_or(go_live, |day| day.timestamp()))
        }
        History::Days(days) => days_before(i64::from(days)),
        History::Everything => None,
    }
}

impl Engine {
    pub(super) async fn run_job(&self, id: ConnectionId, job: Job) {
        let Some(connection) = self.connection(id).filter(|connection| of(connection).contains(&job)) else {
            self.with_queue(|queue| queue.forget_job(id, job));
            return;
        };
        let result = match job {
            Job::ReadProfile => read_profile::run(self, &connection).await,
            Job::ReadListings => read_listings::run(self, &connection).await,
            Job::PollOrders => poll_orders::run(self, &connection).await,
            Job::PollShop => poll_shop::run(self, &connection).await,
            Job::CheckAuthorisation => check_authorisation::run(self, &connection).await,
            Job::ReadParked => read_parked::run(self, &connection).await,
            Job::Replay => replay::run(self, &connection).await,
            Job::Reconcile => reconcile::run(self, &connection).await,
            Job::ReadPushed => read_pushed::run(self, &connection).await,
            Job::ReadQueue => read_queue::run(self, &connection).await,
            Job::Subscribe => subscribe::run(self, &connection).await,
            Job::ReadOpen => read_open::run(self, &connection).await,
        };
        match result {
            Ok(ran) => self.job_went_well(&connection, job, &ran).await,
            Err(error) => self.job_failed(&connection, job, error).await,
        }
    }

    async fn job_went_well(&self, connection: &Connection, job: Job, ran: &Ran) {
        let due_at = match ran {
            Ran::Again => self.now(),
            Ran::Until(wait) | Ran::Idle(wait) => {
                // A tenth of jitter keeps many connections from polling in step.
                retry::later(self.now(), *wait + self.entropy().jitter(*wait / 10))
            }
        };
        self.with_queue(|queue| queue.job_done(connection.id, job, due_at, false));
        // One job that works does not make up for another that keeps failing.
        let is_well = self.with_queue(|queue| queue.failures(connection.id) < FAILURES_BEFORE_FAILING);
        let has_called = !matches!(ran, Ran::Idle(_));
        if is_well && has_called && connection.state == ConnectionState::Failing {
            let state = ConnectionState::Active;
            self.log_failure(self.set_connection_state(connection.id, state, None, "eider").await);
        }
    }

    async fn job_failed(&self, connection: &Connection, job: Job, error: EngineError) {
        let error = match error {
            EngineError::Channel(error) => EngineError::Channel(self.confirmed(connection.id, error).await),
            error @ EngineError::Store(_) => error,
        };
        let now = self.now();
        let failures = self
            .with_queue(|queue| queue.job(connection.id, job))
            .map_or(1, |slot| slot.failures.saturating_add(1));
        let (after, is_failure) = match &error {
            EngineError::Channel(ChannelError::Retry { after, throttled, .. }) => (*after, !throttled),
            _ => (None, true),
        };
        let due_at =
            retry::next_try(now, failures, retry::BACKOFF_FIRST, retry::BACKOFF_MAX, after, self.entropy());
        self.with_queue(|queue| queue.job_done(connection.id, job, due_at, is_failure));
        if !is_failure {
            return;
        }
        tracing::warn!(connection.id = connection.id.0, job = job.stream(), failures, "{error}");
        let (id, text, stream) = (connection.id, error.to_string(), job.stream());
        self.with_live(id, |live| live.status.last_error = Some(text.clone()));
        let kept = self
            .store()
            .write(WriteLane::Interactive, move |tx| connections::fail_stream(tx, id, stream, &text, now))
            .await;
        self.log_failure(kept);
        self.connection_trouble(connection, &error, failures).await;
    }

    /// Writes what a job of ours found out into a connection's history.
    async fn note_change(&self, id: ConnectionId, text: String) -> Result<(), StoreError> {
        let (event, now) = (NewEvent::new(EventKind::ConnectionChanged, text), self.now());
        self.store()
            .write(WriteLane::Interactive, move |tx| {
                events::add(tx, None, Some(id), &event, "eider", None, now)
            })
            .await
    }

    /// Keeps what people see of a poll that went well.
    pub(super) fn note_poll(
        &self,
        id: ConnectionId,
        new_count: usize,
        has_more: bool,
        remaining: Option<u64>,
        began_at: Timestamp,
    ) {
        self.with_live(id, |live| {
            let status = &mut live.status;
            let so_far = if status.is_importing { status.imported } else { 0 };
            status.imported = so_far.saturating_add(u64::try_from(new_count).unwrap_or(u64::MAX));
            status.is_importing = has_more;
            status.remaining = remaining;
            status.last_success_at = Some(began_at);
            status.last_error = None;
            if !has_more {
                status.complete_until = Some(began_at);
            }
        });
    }

    /// What people saw of a poll before the program was started again.
    pub(super) fn recall_stream(&self, stream: &connections::StreamState) {
        if stream.stream != Job::PollOrders.stream() && stream.stream != Job::PollShop.stream() {
            return;
        }
        self.with_live(stream.connection, |live| {
            live.status.last_success_at = stream.last_success_at;
            live.status.complete_until = stream.complete_until;
            if stream.failures > 0 {
                live.status.last_error.clone_from(&stream.last_error);
            }
        });
    }

    /// Moves a connection to the state that an error says it is in.
    pub(super) async fn connection_trouble(
        &self,
        connection: &Connection,
        error: &EngineError,
        failures: u32,
    ) {
        let state = match error {
            EngineError::Channel(ChannelError::Reauth { .. }) => ConnectionState::NeedsReauthorisation,
            EngineError::Channel(_) if failures >= FAILURES_BEFORE_FAILING => ConnectionState::Failing,
            EngineError::Channel(_) | EngineError::Store(_) => return,
        };
        if connection.state != state {
            let note = Some(error.to_string());
            self.log_failure(self.set_connection_state(connection.id, state, note, "eider").await);
        }
    }

    /// For writes whose loss changes nothing but what people see.
    pub(super) fn log_failure(&self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            tracing::error!("{error}");
        }
    }
}

//! The engine: brings orders in, decides what is owed, and does it.
//!
//! [`Engine::step`] runs what is due at the clock's present and returns when the next thing is due, so that the
//! fault campaign can drive it on simulated time; [`Engine::run`] is the same in a loop on the real clock. What
//! the engine knows lies in the store: its queue is loaded at start and a restart continues where it stopped.
//! It must never call a platform inside a store write, and never forget an effect that it did not finish.

mod accounts;
mod by_hand;
pub mod catch_up;
pub mod commands;
mod connectors;
mod consent;
pub mod inbox;
pub mod jobs;
mod notices;
mod outbox;
pub mod parked;
mod planted;
mod push;
pub mod queue;
pub mod retry;
pub mod shop_app;
mod skew;
pub mod spool;
mod twins;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{Notify, watch};

use crate::channels::Connector;
pub use crate::channels::consent::{ConsentAnswer, ConsentRequest, ConsentStart};
use crate::channels::error::ChannelError;
pub use crate::channels::shop_app::{AppGrant, AppMessage, ShopPerson};
use crate::clock::{Entropy, SharedClock};
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::effect::Effect;
use crate::domain::id::ConnectionId;
use crate::domain::listing::ShopVariant;
use crate::domain::plan::{EventKind, NewEvent};
use crate::http::Transport;
use crate::store::{Store, StoreError, WriteLane, connections, events};
use crate::vault::Vault;
#[cfg(test)]
pub use planted::Planted;
use push::Seen;
pub use push::{Hooks, PushStatus, Pushed};
use queue::{Queue, Task};
use skew::Skew;

/// How the engine is set.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Time between two polls of a marketplace, where its quota allows and the connection sets none.
    pub poll_interval: Duration,
    /// Time between two polls of a shop.
    pub shop_poll_interval: Duration,
    /// Time between two readings of all listings.
    pub listings_interval: Duration,
    /// Time between two looks into a merchant's queue that was empty. The queue itself waits for messages.
    pub queue_pause: Duration,
    /// A mistake for the fault campaign to find.
    #[cfg(test)]
    pub planted: Option<Planted>,
}

impl EngineSettings {
    /// Settings with these times between two polls of a marketplace, two of a shop, and two readings of all listings.
    #[must_use]
    pub fn with_intervals(poll: Duration, shop_poll: Duration, listings: Duration) -> Self {
        Self {
            poll_interval: poll,
            shop_poll_interval: shop_poll,
            listings_interval: listings,
            queue_pause: Duration::from_secs(1),
            #[cfg(test)]
            planted: None,
        }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        let (poll, shop_poll) = (Duration::from_secs(30), Duration::from_secs(20));
        Self::with_intervals(poll, shop_poll, Duration::from_secs(45 * 60))
    }
}

/// What the engine is built from.
pub struct EngineParts {
    /// The store.
    pub store: Store,
    /// Credentials.
    pub vault: Arc<Vault>,
    /// The way out.
    pub transport: Arc<dyn Transport>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: Arc<Entropy>,
    /// How it is set.
    pub settings: EngineSettings,
    /// What platforms pushed and nobody has read yet, and where they reach this installation.
    pub hooks: Hooks,
}

/// Why a task did not end well.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A platform.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The store: what was tried is not durable and will be tried again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Tasks that ran.
    pub task_count: usize,
    /// When the next one is due.
    pub next_due: Option<Timestamp>,
}

/// What is known of a connection while the program runs.
#[derive(Default)]
struct Live {
    connector: Option<Arc<dyn Connector>>,
    /// A shop's variants by lower-cased SKU, from its listings.
    variants: Arc<HashMap<String, ShopVariant>>,
    /// SKUs that the shop was asked for and does not have, and when.
    missing_skus: HashMap<String, Timestamp>,
    /// How its polls are going, for people.
    status: commands::LiveStatus,
    /// What came of its pushed messages, for people.
    pushed: PushStatus,
    /// Pushed messages that were acted on.
    seen: Seen,
    /// What was said last of the platform's sending here.
    subscription: Option<String>,
    /// The cause of what was said last of the merchant's queue.
    queue_trouble: Option<String>,
}

struct Inner {
    parts: EngineParts,
    queue: Mutex<Queue>,
    live: Mutex<HashMap<ConnectionId, Live>>,
    connections: Mutex<HashMap<ConnectionId, Connection>>,
    wake: Notify,
    /// True once the program stops.
    stopping: watch::Sender<bool>,
    looks: outbox::Looks,
    skew: Skew,
    /// Held while a connection's state changes, in the file and then here.
    state_changes: tokio::sync::Mutex<()>,
    /// For each connection, held while its credentials are replaced.
    renewals: Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<()>>>>,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl Engine {
    /// Loads what is owed and schedules every active connection's jobs.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn start(parts: EngineParts) -> Result<Self, StoreError> {
        let (known, open, variants, streams) = parts
            .store
            .read(|read| {
                let known = connections::all(read)?;
                let mut variants = HashMap::new();
                for shop in &known {
                    variants.insert(shop.id, crate::store::listings::shop_variants(read, shop.id)?);
                }
                let streams = connections::streams(read)?;
                Ok((known, crate::store::effects::open_effects(read)?, variants, streams))
            })
            .await?;
        let skew = Skew::new(&*parts.clock);
        let engine = Self {
            inner: Arc::new(Inner {
                parts,
                queue: Mutex::new(Queue::default()),
                live: Mutex::new(HashMap::new()),
                connections: Mutex::new(HashMap::new()),
                wake: Notify::new(),
                stopping: watch::Sender::new(false),
                looks: outbox::Looks::default(),
                skew,
                state_changes: tokio::sync::Mutex::new(()),
                renewals: Mutex::new(HashMap::new()),
            }),
        };
        for (shop, found) in variants {
            engine.set_variants(shop, found);
        }
        for stream in streams {
            engine.recall_stream(&stream);
        }
        let now = engine.now();
        // A restored database may be older than a connection.
        let unknown = engine.inner.parts.hooks.spool.keep_of(&known.iter().map(|one| one.id).collect());
        if unknown > 0 {
            tracing::warn!("{unknown} waiting messages of connections that are not there were left out");
        }
        for connection in known {
            engine.adopt(connection, now);
        }
        engine.enqueue(open.into_iter().map(|effect| as_of(effect, now)).collect());
        Ok(engine)
    }

    /// Runs everything that is due now, and what that makes due at once.
    pub async fn step(&self) -> Step {
        let mut task_count = 0;
        loop {
            self.take_over_clock().await;
            let tasks = self.with_queue(|queue| queue.take_due(self.now()));
            if tasks.is_empty() {
                break;
            }
            task_count += tasks.len();
            for task in tasks {
                self.run_task(task).await;
            }
        }
        Step { task_count, next_due: self.with_queue(|queue| queue.next_due()) }
    }

    async fn run_task(&self, task: Task) {
        match task {
            Task::Effect(effect) => self.run_effect(*effect).await,
            Task::Job(connection, job) => self.run_job(connection, job).await,
        }
    }

    fn now(&self) -> Timestamp {
        self.inner.skew.now(&*self.inner.parts.clock)
    }

    /// Goes by the clock again after it was set, as soon as nothing is under way, and keeps that it was.
    async fn take_over_clock(&self) {
        let step = self.with_queue(|queue| {
            let step = if queue.running_count() == 0 { self.inner.skew.take_over() } else { None };
            step.inspect(|step| queue.shift(*step))
        });
        let Some(step) = step else { return };
        let (text, now) = (skew::said(step), self.now());
        let ids: Vec<ConnectionId> = self.connections().iter().map(|connection| connection.id).collect();
        let kept = self.store().write(WriteLane::Interactive, move |tx| {
            let event = NewEvent::new(EventKind::ClockSet, text.clone());
            ids.iter().try_for_each(|id| events::add(tx, None, Some(*id), &event, "eider", None, now))
        });
        if let Err(error) = kept.await {
            tracing::error!(%error, "that the clock was set could not be kept");
        }
    }

    /// Returns once the program stops: for what waits for somebody else and loses nothing by being given up.
    async fn stopping(&self) {
        let mut stopping = self.inner.stopping.subscribe();
        // The sender lives as long as this engine does.
        let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
    }

    fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    fn entropy(&self) -> &Entropy {
        &self.inner.parts.entropy
    }

    fn settings(&self) -> &EngineSettings {
        &self.inner.parts.settings
    }

    fn with_queue<T>(&self, work: impl FnOnce(&mut Queue) -> T) -> T {
        work(&mut self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_live<T>(&self, connection: ConnectionId, work: impl FnOnce(&mut Live) -> T) -> T {
        let mut live = self.inner.live.lock().unwrap_or_else(PoisonError::into_inner);
        work(live.entry(connection).or_default())
    }

    /// A connection as held.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<Connection> {
        self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Every connection, by id.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        let known = self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Connection> = known.values().cloned().collect();
        all.sort_by_key(|connection| connection.id);
        all
    }

    /// Queues effects that a commit has just opened.
    fn enqueue(&self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        self.with_queue(|queue| {
            for effect in effects {
                queue.put(effect);
            }
        });
        self.inner.wake.notify_one();
    }

    /// Takes a connection over as it now is: its jobs run if it may call, else none does.
    fn adopt(&self, connection: Connection, now: Timestamp) {
        let id = connection.id;
        let state = connection.state;
        let planned = jobs::of(&connection);
        let parts = &self.inner.parts;
        // Without an address nothing is pushed; polls bring everything.
        if let Err(error) = parts.hooks.adopt(&parts.vault, &parts.entropy, id) {
            tracing::error!(connection.id = id.0, "its hook has no address: {error}");
        }
        self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(id, connection);
        self.with_queue(|queue| {
            queue.retain_jobs(id, &planned);
            let first = if state.may_call() { now } else { retry::later(now, jobs::FIRST_CHECK) };
            for job in planned {
                queue.schedule(id, job, first);
            }
            if state.may_call() {
                queue.hasten_connection(id, now);
            }
        });
        self.inner.wake.notify_one();
    }

    /// Keeps a state between which calls go on. Its jobs keep their times: a job that fails and one that does not would
    /// else call each other up without end.
    fn note_state(&self, connection: Connection, now: Timestamp) {
        let (id, is_well) = (connection.id, connection.state == ConnectionState::Active);
        self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(id, connection);
        if is_well {
            self.with_queue(|queue| queue.hasten_connection(id, now));
            self.inner.wake.notify_one();
        }
    }

    fn set_variants(&self, shop: ConnectionId, variants: Vec<ShopVariant>) {
        let by_sku: HashMap<String, ShopVariant> = variants
            .into_iter()
            .filter(|variant| !variant.sku.is_empty())
            .map(|variant| (variant.sku.to_lowercase(), variant))
            .collect();
        self.with_live(shop, |live| {
            live.variants = Arc::new(by_sku);
            live.missing_skus.clear();
        });
    }

    /// Moves a connection to a state, durably, with an event that says why.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn set_connection_state(
        &self,
        id: ConnectionId,
        state: ConnectionState,
        note: Option<String>,
        actor: &str,
    ) -> Result<(), StoreError> {
        // One change at a time: what is written last is what is known last.
        let _turn = self.inner.state_changes.lock().await;
        let Some(mut connection) = self.connection(id) else { return Err(StoreError::NotFound) };
        if connection.state == state && connection.state_note == note {
            return Ok(());
        }
        let now = self.now();
        let text = match &note {
            Some(note) => format!("{} is now {state}: {note}", connection.alias),
            None => format!("{} is now {state}.", connection.alias),
        };
        let (kept_note, actor) = (note.clone(), actor.to_owned());
        self.store()
            .write(WriteLane::Interactive, move |tx| {
                connections::set_state(tx, id, state, kept_note.as_deref(), now)?;
                let event = NewEvent::new(EventKind::ConnectionChanged, text.clone());
                events::add(tx, None, Some(id), &event, &actor, None, now)
            })
            .await?;
        let was = connection.state;
        if was != state {
            connection.state_since = now;
        }
        connection.state = state;
        connection.state_note = note;
        if was.may_call() && state.may_call() {
            self.note_state(connection, now);
        } else {
            self.adopt(connection, now);
        }
        Ok(())
    }
}

/// An effect as the last run left it. The clock may have been set back since: what is to come cannot lie behind us, and
/// nothing waits for longer than it ever would.
fn as_of(effect: Effect, now: Timestamp) -> Effect {
    let in_the_past = |at: Option<Timestamp>| at.map(|at| at.min(now));
    Effect {
        due_at: effect.due_at.min(retry::later(now, retry::BACKOFF_MAX)),
        called_at: in_the_past(effect.called_at),
        first_empty_probe_at: in_the_past(effect.first_empty_probe_at),
        ..effect
    }
}

#[cfg(test)]
mod tests;

//! What people ask of the engine when something may have been missed: days compared with the platform, a time read
//! again, parked payloads tried again. Every command is safe to give twice.

use jiff::Timestamp;
use jiff::civil::Date;

use super::Engine;
use super::jobs::{self, Job};
use super::parked::ParkedReplay;
use crate::channels::Cursor;
use crate::domain::connection::Connection;
use crate::domain::id::{ConnectionId, PayloadId};
use crate::domain::plan::{EventKind, NewEvent};
use crate::store::orders::ParkedChoice;
use crate::store::{StoreError, WriteLane, events, orders, reconciliation, replays};

/// Days that are asked for at a time.
const DAYS_MAX: usize = 92;

impl Engine {
    /// Compares the days from `from` to `to` with what the platform says of them, as soon as its quota allows. Says
    /// what happens next.
    ///
    /// # Errors
    /// Why not.
    pub async fn reconcile(
        &self,
        id: ConnectionId,
        from: Date,
        to: Date,
        actor: &str,
    ) -> Result<String, String> {
        let connection = self.callable(id, Job::Reconcile)?;
        let days = self.comparable_days(&connection, from, to)?;
        let (now, by, kept) = (self.now(), actor.to_owned(), days.clone());
        let text = format!("{actor} asked to compare {from} to {to} with {}.", connection.alias);
        self.store()
            .write(WriteLane::Interactive, move |tx| {
                reconciliation::ask(tx, id, &kept, now)?;
                let event = NewEvent::new(EventKind::Person, text.clone());
                events::add(tx, None, Some(id), &event, &by, None, now)
            })
            .await
            .map_err(|error| error.to_string())?;
        self.run_soon(id, Job::Reconcile);
        Ok(match days.len() {
            1 => format!("{from} is compared with {} as soon as its quota allows.", connection.alias),
            count => {
                format!("{count} days are compared with {} as soon as its quota allows.", connection.alias)
            }
        })
    }

    /// The days from `from` to `to`, newest first, of which this connection can hold orders.
    fn comparable_days(&self, connection: &Connection, from: Date, to: Date) -> Result<Vec<Date>, String> {
        let (now, zone) = (self.now(), self.store().zone());
        let today = now.to_zoned(zone.clone()).date();
        if from > to {
            return Err("The first day lies behind the last: exchange them.".to_owned());
        }
        if to > today {
            return Err("The last day lies in the future: choose today or an earlier day.".to_owned());
        }
        let oldest =
            today.checked_sub(jiff::Span::new().days(jobs::ASKED_DAYS_BACK_MAX)).unwrap_or(Date::MIN);
        if from < oldest {
            return Err(format!("The first day lies too far back: choose {oldest} or a later day."));
        }
        let mut days: Vec<Date> =
            from.series(jiff::Span::new().days(1)).take_while(|day| *day <= to).take(DAYS_MAX + 1).collect();
        if days.len() > DAYS_MAX {
            return Err(format!("Choose at most {DAYS_MAX} days at a time."));
        }
        let since = jobs::history_start(connection);
        days.retain(|day| jobs::day_window(*day, zone, since, now).is_some());
        days.reverse();
        match (days.is_empty(), since) {
            (false, _) => Ok(days),
            (true, Some(since)) => Err(format!(
                "{} has no history before {}: there is nothing to compare. Choose later days.",
                connection.alias,
                since.to_zoned(zone.clone()).date()
            )),
            (true, None) => Err("These days have only just begun: try again in a few minutes.".to_owned()),
        }
    }

    /// Reads again everything that the platform changed since `from`, beside the polls. Says what happens next.
    ///
    /// # Errors
    /// Why not.
    pub async fn replay_from(
        &self,
        id: ConnectionId,
        from: Timestamp,
        actor: &str,
    ) -> Result<String, String> {
        let connection = self.callable(id, Job::Replay)?;
        let now = self.now();
        if from >= now {
            return Err("This time lies in the future: choose an earlier one.".to_owned());
        }
        let cursor = Cursor { updated_until: Some(from), window: None };
        let cursor_json = serde_json::to_string(&cursor).map_err(|error| error.to_string())?;
        let by = actor.to_owned();
        let since = self.time_text(from);
        let text = format!(
            "{actor} asked to read everything again that {} changed since {since}.",
            connection.alias
        );
        let running = self
            .store()
            .write(WriteLane::Interactive, move |tx| {
                let running = replays::begin(tx, id, from, &cursor_json, &by, now)?;
                if running.is_none() {
                    let event = NewEvent::new(EventKind::Person, text.clone());
                    events::add(tx, None, Some(id), &event, &by, None, now)?;
                }
                Ok(running)
            })
            .await
            .map_err(|error| error.to_string())?;
        match running {
            Some(running) if running.from != from => Err(format!(
                "A replay from {} is under way. Wait until it has finished, then ask again.",
                self.time_text(running.from)
            )),
            Some(_) | None => {
                self.run_soon(id, Job::Replay);
                Ok(format!("Everything that {} changed since then is read again.", connection.alias))
            }
        }
    }

    /// Reads one parked payload again, together with the others of its order.
    ///
    /// # Errors
    /// Why not.
    pub async fn replay_parked_one(&self, id: PayloadId, actor: &str) -> Result<ParkedReplay, String> {
        let found = self.store().read(move |read| orders::parked_one(read, id)).await;
        let parked = found.map_err(|error| error.to_string())?;
        let Some(parked) = parked else {
            return Err("This payload is not parked any more: it was read in the meantime.".to_owned());
        };
        let replayed = self.replay_parked(parked.connection, ParkedChoice::One(id), actor).await;
        replayed.map_err(|error| error.to_string())
    }

    /// Reads every parked payload of a connection again.
    ///
    /// # Errors
    /// Why not.
    pub async fn replay_parked_all(&self, id: ConnectionId, actor: &str) -> Result<ParkedReplay, String> {
        let replayed = self.replay_parked(id, ParkedChoice::All, actor).await;
        replayed.map_err(|error| error.to_string())
    }

    /// A connection that may call and has this job.
    fn callable(&self, id: ConnectionId, job: Job) -> Result<Connection, String> {
        let connection = self.connection(id).ok_or_else(|| StoreError::NotFound.to_string())?;
        if !connection.state.may_call() {
            return Err(format!(
                "{} is {}: resume or re-authorise it first.",
                connection.alias, connection.state
            ));
        }
        if !jobs::of(&connection).contains(&job) {
            return Err(format!(
                "{} imports no orders: there is nothing to compare or read.",
                connection.alias
            ));
        }
        Ok(connection)
    }

    /// A moment as people read it, in the merchant's zone.
    pub(super) fn time_text(&self, at: Timestamp) -> String {
        at.to_zoned(self.store().zone().clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }

    fn run_soon(&self, id: ConnectionId, job: Job) {
        let now = self.now();
        self.with_queue(|queue| queue.schedule(id, job, now));
        self.inner.wake.notify_one();
    }
}

//! Parked payloads, read again: one, all of a connection, or those that another version could not read.
//!
//! What can be read now goes the way of every order, and its facts are as old as when it was parked: they never move
//! what arrived later. The newest are read first. Where one of an order still cannot be read, its older ones stay
//! parked, so that nobody acts on an order whose end is not known. Nothing here calls a platform.

use std::collections::HashSet;

use super::{Engine, EngineError, inbox};
use crate::channels::error::ChannelError;
use crate::channels::{OrderSource, Received};
use crate::domain::connection::Connection;
use crate::domain::id::{ConnectionId, PayloadId};
use crate::domain::plan::{EventKind, NewEvent};
use crate::store::orders::{ImportBatch, ImportItem, ParkedChoice, ParkedPayload, Reread, StillParked};
use crate::store::{StoreError, WriteLane, events, orders};

/// Parked payloads that are read again in one write.
const BATCH_MAX: u32 = 50;

/// What reading parked payloads again came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParkedReplay {
    /// Payloads that are in now.
    pub read: usize,
    /// Payloads that still cannot be read.
    pub still_parked: usize,
}

/// One batch, sorted into what can be read and what cannot.
struct Sorted {
    items: Vec<ImportItem>,
    read: Vec<(Reread, ParkedPayload)>,
    still: Vec<StillParked>,
}

impl Engine {
    /// Reads parked payloads of a connection again, newest first.
    ///
    /// # Errors
    /// Where the connection cannot be built, or the store does not answer; what was read until then is in.
    pub async fn replay_parked(
        &self,
        id: ConnectionId,
        choice: ParkedChoice,
        actor: &str,
    ) -> Result<ParkedReplay, EngineError> {
        let connection = self.connection(id).ok_or(StoreError::NotFound)?;
        let mut sum = ParkedReplay::default();
        let mut before = PayloadId(i64::MAX);
        let mut unclear = HashSet::new();
        loop {
            let batch = self.replay_batch(&connection, &choice, before, &mut unclear, actor).await?;
            let Some((oldest, done)) = batch else { return Ok(sum) };
            sum.read += done.read;
            sum.still_parked += done.still_parked;
            before = oldest;
        }
    }

    /// One batch; none where nothing is left before `before`. Orders with a payload that cannot be read enter `unclear`.
    async fn replay_batch(
        &self,
        connection: &Connection,
        choice: &ParkedChoice,
        before: PayloadId,
        unclear: &mut HashSet<String>,
        actor: &str,
    ) -> Result<Option<(PayloadId, ParkedReplay)>, EngineError> {
        let (id, choice) = (connection.id, choice.clone());
        let parked = self
            .store()
            .read(move |read| {
                let mut found = Vec::new();
                for parked in orders::parked_batch(read, id, &choice, before, BATCH_MAX)? {
                    let payload = orders::payload(read, parked.payload_id, true)?;
                    found.push((parked, payload));
                }
                Ok(found)
            })
            .await?;
        let Some(oldest) = parked.last().map(|(parked, _)| parked.payload_id) else { return Ok(None) };
        let connector = self.connector(id)?;
        let source = connector.order_source().ok_or_else(|| ChannelError::Fatal {
            message: format!("{} gives no orders", connection.channel),
        })?;
        let sorted = sort(source, parked, unclear);
        let done = ParkedReplay { read: sorted.read.len(), still_parked: sorted.still.len() };
        self.keep_replayed(connection, sorted, actor).await?;
        Ok(Some((oldest, done)))
    }

    /// Orders, the end of their parking, and what is said of it, in one write.
    async fn keep_replayed(
        &self,
        connection: &Connection,
        sorted: Sorted,
        actor: &str,
    ) -> Result<(), StoreError> {
        let Sorted { items, read, still } = sorted;
        let arrived: Vec<String> = read.iter().map(|(_, parked)| self.time_text(parked.parked_at)).collect();
        let (id, now, actor) = (connection.id, self.now(), actor.to_owned());
        let batch = ImportBatch {
            connection: connection.clone(),
            is_bulk: items.len() > 20,
            orders: items,
            stream: None,
            now,
            actor: actor.clone(),
        };
        let outcome = self
            .store()
            .write(WriteLane::Interactive, move |tx| {
                let outcome = orders::import(tx, &batch)?;
                let ids: Vec<String> = read.iter().map(|(one, _)| one.external_id.clone()).collect();
                let numbers = orders::numbers(tx, id, &ids)?;
                for ((one, _), arrived) in read.iter().zip(&arrived) {
                    let order_no = numbers.get(&one.external_id).copied();
                    orders::mark_replayed(tx, one.payload_id, order_no, now)?;
                    let text =
                        format!("A payload that could not be read on {arrived} can be read now and is in.");
                    let event = NewEvent::new(EventKind::Unparked, text);
                    events::add(tx, order_no, Some(id), &event, &actor, Some(one.payload_id), now)?;
                }
                for one in &still {
                    orders::keep_parked(tx, one, now)?;
                }
                Ok(outcome)
            })
            .await?;
        self.enqueue(outcome.effects);
        Ok(())
    }
}

/// What of a batch can be read. Newest first: what stands before an unreadable payload of the same order stays.
fn sort(
    source: &dyn OrderSource,
    parked: Vec<(ParkedPayload, Option<String>)>,
    unclear: &mut HashSet<String>,
) -> Sorted {
    let mut sorted = Sorted { items: Vec::new(), read: Vec::new(), still: Vec::new() };
    for (parked, payload) in parked {
        let still = |place: &str, what: &str| StillParked {
            payload_id: parked.payload_id,
            place: place.to_owned(),
            what: what.to_owned(),
        };
        let Some(payload) = payload else {
            sorted.still.push(still("payload", "its person data was erased"));
            continue;
        };
        let facts = match source.read(&payload) {
            Ok(facts) => facts,
            Err(unreadable) => {
                unclear.extend(parked.external_id.clone());
                sorted.still.push(still(&unreadable.place, &unreadable.what));
                continue;
            }
        };
        let external_id = facts.external_id.clone();
        if unclear.contains(&external_id) {
            sorted.still.push(still("payload", "a newer payload of this order cannot be read yet"));
            continue;
        }
        let received = Received { external_id: Some(external_id.clone()), payload, facts: Ok(facts) };
        let item = inbox::import_item(received, source.person_paths()).from_parked(parked.payload_id);
        if let Some((place, what)) = item.unreadable() {
            let (place, what) = (place.to_owned(), what.to_owned());
            unclear.insert(external_id);
            sorted.still.push(still(&place, &what));
            continue;
        }
        sorted.read.push((Reread { payload_id: parked.payload_id, external_id }, parked));
        sorted.items.push(item);
    }
    sorted
}

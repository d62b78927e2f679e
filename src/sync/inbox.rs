//! What came in becomes rows: person data cut out, facts beside the payload, all in one write with the cursor.

use jiff::Timestamp;

use super::Engine;
use super::planted::Planted;
use crate::channels::{OrderSource, Received};
use crate::domain::connection::Connection;
use crate::domain::person;
use crate::store::orders::{ImportBatch, ImportItem, ImportOutcome, StreamUpdate};
use crate::store::{StoreError, WriteLane, orders};

/// A payload that lies among person data as a whole.
const WHOLE: &str = "{\"$person\":0}";

/// Cuts the person data out of what a platform sent. A payload that cannot be cut is kept whole with the person
/// data, and parked.
#[must_use]
pub fn import_item(received: Received, person_paths: &[&str]) -> ImportItem {
    let Received { external_id, payload, facts } = received;
    let facts = facts.map_err(|unreadable| (unreadable.place, unreadable.what));
    match person::cut(&payload, person_paths) {
        Ok(cut) if facts.is_ok() => ImportItem::new(external_id, cut.payload, cut.values, facts),
        // Nobody knows where people are in a payload that cannot be read.
        Ok(_) => ImportItem::new(external_id, WHOLE.to_owned(), vec![payload], facts),
        Err(error) => {
            let unreadable = ("payload".to_owned(), error.to_string());
            ImportItem::new(external_id, WHOLE.to_owned(), vec![payload], Err(unreadable))
        }
    }
}

impl Engine {
    /// Stores orders that came from a connection, with the new cursor, and queues what is owed for them.
    pub(super) async fn import(
        &self,
        connection: &Connection,
        source: &dyn OrderSource,
        mut received: Vec<Received>,
        stream: Option<StreamUpdate>,
        actor: &str,
    ) -> Result<ImportOutcome, StoreError> {
        let paths = source.person_paths();
        let is_bulk = received.len() > 20;
        if self.has_planted(Planted::OlderFactWins) {
            let facts = received.iter_mut().filter_map(|received| received.facts.as_mut().ok());
            facts.for_each(|facts| facts.updated_at = self.now());
        }
        let batch = ImportBatch {
            connection: connection.clone(),
            orders: received.into_iter().map(|received| import_item(received, paths)).collect(),
            stream,
            is_bulk,
            now: self.now(),
            actor: actor.to_owned(),
        };
        let lane = if is_bulk { WriteLane::Bulk } else { WriteLane::Interactive };
        let outcome = self.store().write(lane, move |tx| orders::import(tx, &batch)).await?;
        self.with_queue(|queue| outcome.found.iter().for_each(|id| queue.remove(*id)));
        self.enqueue(outcome.effects.clone());
        Ok(outcome)
    }
}

/// What a stream has reached, as the store keeps it.
#[must_use]
pub fn stream_update(
    stream: &str,
    cursor: &crate::channels::Cursor,
    remaining: Option<u64>,
    now: Timestamp,
) -> StreamUpdate {
    StreamUpdate {
        stream: stream.to_owned(),
        cursor_json: serde_json::to_string(cursor).unwrap_or_else(|_| "{}".to_owned()),
        complete_since: None,
        complete_until: None,
        remaining: remaining.and_then(|count| i64::try_from(count).ok()),
        success_at: now,
    }
}

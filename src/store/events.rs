//! The timeline: what happened to an order or a connection, who did it, when, and with which payload.

use duckdb::{Connection, Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::values::{get, get_time, get_word, time};
use super::writer::Tx;
use crate::domain::id::{ConnectionId, EventId, OrderNo, PayloadId};
use crate::domain::plan::{EventKind, NewEvent};

/// Most events that a timeline shows.
const TIMELINE_MAX: i64 = 500;

/// One event as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number.
    pub event_id: EventId,
    /// The order it is about.
    pub order_no: Option<OrderNo>,
    /// The connection it is about.
    pub connection: Option<ConnectionId>,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// In plain words.
    pub text: String,
    /// Who did it.
    pub actor: String,
    /// The payload that told of it.
    pub payload: Option<PayloadId>,
}

const EVENT_COLUMNS: &str =
    "SELECT event_id, order_no, connection_id, happened_at, kind, text, actor, payload_id FROM main.event";

/// Adds one event.
///
/// # Errors
/// What the database says.
pub fn add(
    tx: &mut Tx<'_>,
    order_no: Option<OrderNo>,
    connection: Option<ConnectionId>,
    event: &NewEvent,
    actor: &str,
    payload: Option<PayloadId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = EventRow {
        event_id: EventId(tx.ids.event()),
        order_no,
        connection,
        at: now,
        kind: event.kind,
        text: event.text.clone(),
        actor: actor.to_owned(),
        payload,
    };
    tx.pending().add_event(row);
    Ok(())
}

/// Adds events whose ids were drawn already.
pub(super) fn append_rows(connection: &Connection, events: &[EventRow]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut appender = connection.appender_to_db("event", "main")?;
    for event in events {
        appender.append_row(params![
            event.event_id.0,
            event.order_no.map(|id| id.0),
            event.connection.map(|id| id.0),
            time(event.at),
            event.kind.as_str(),
            event.text,
            event.actor,
            event.payload.map(|id| id.0),
        ])?;
    }
    Ok(appender.flush()?)
}

/// An order's events, newest last; the latest five hundred.
///
/// # Errors
/// What the database says.
pub fn of_order(read: &Read<'_>, order_no: OrderNo) -> Result<Vec<EventRow>, StoreError> {
    let sql = format!("{EVENT_COLUMNS} WHERE order_no = ? ORDER BY event_id DESC LIMIT ?");
    let mut events = read.rows(&sql, params![order_no.0, TIMELINE_MAX], event_row)?;
    events.reverse();
    Ok(events)
}

/// A connection's own events (not its orders'), newest first.
///
/// # Errors
/// What the database says.
pub fn of_connection(
    read: &Read<'_>,
    connection: ConnectionId,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let sql = format!(
        "{EVENT_COLUMNS} WHERE connection_id = ? AND order_no IS NULL ORDER BY event_id DESC LIMIT ?"
    );
    read.rows(&sql, params![connection.0, limit], event_row)
}

fn event_row(row: &Row<'_>) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        event_id: EventId(get(row, 0)?),
        order_no: get::<Option<i64>>(row, 1)?.map(OrderNo),
        connection: get::<Option<i64>>(row, 2)?.map(ConnectionId),
        at: get_time(row, 3)?,
        kind: get_word(row, 4)?,
        text: get(row, 5)?,
        actor: get(row, 6)?,
        payload: get::<Option<i64>>(row, 7)?.map(PayloadId),
    })
}

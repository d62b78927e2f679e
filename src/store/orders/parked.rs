//! Payloads that nobody could read yet: listed, read again by a better reader, and let go once they are in.

use std::collections::{HashMap, HashSet};

use duckdb::{Row, params};
use jiff::Timestamp;

use crate::domain::id::{ConnectionId, OrderNo, PayloadId};
use crate::domain::order::READER;
use crate::store::error::StoreError;
use crate::store::reader::Read;
use crate::store::values::{external_key, get, get_time, get_time_or_null, key_list, time};
use crate::store::writer::Tx;

/// A payload that nobody could read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedPayload {
    /// Its number.
    pub payload_id: PayloadId,
    /// Where it came from.
    pub connection: ConnectionId,
    /// The platform's id of the order, if it could be found.
    pub external_id: Option<String>,
    /// Which reading brought it: a stream's name, or `order` where it was fetched alone.
    pub operation: Option<String>,
    /// The place that could not be read.
    pub place: String,
    /// What was wrong there.
    pub what: String,
    /// When it arrived.
    pub parked_at: Timestamp,
    /// When it was tried again last.
    pub tried_at: Option<Timestamp>,
}

/// Which parked payloads are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParkedChoice {
    /// This one, and the others of its order.
    One(PayloadId),
    /// All of a connection.
    All,
    /// Those of a connection that this build's reader has not tried.
    Untried,
}

/// A parked payload that could be read and is in now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// Its number.
    pub payload_id: PayloadId,
    /// The platform's id of its order.
    pub external_id: String,
}

/// A parked payload that still cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillParked {
    /// Its number.
    pub payload_id: PayloadId,
    /// The place that could not be read.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

const COLUMNS: &str =
    "SELECT payload_id, connection_id, external_id, operation, place, what, parked_at, tried_at
    FROM main.parked WHERE replayed_at IS NULL";
const BATCH_FILTER: &str = "AND connection_id = ? AND payload_id < ?
    AND (CAST(? AS BIGINT) IS NULL OR payload_id = ?
        OR external_id = (SELECT external_id FROM main.parked WHERE payload_id = ?))
    AND (CAST(? AS VARCHAR) IS NULL OR reader IS DISTINCT FROM ?)";
const IDS_SQL: &str = "SELECT DISTINCT external_id FROM main.parked
    WHERE replayed_at IS NULL AND external_id IS NOT NULL AND connection_id = ?";
const NUMBERS_SQL: &str = "SELECT external_id, order_no FROM main.orders
    WHERE external_key IN (SELECT unnest(CAST(? AS UBIGINT[]))) AND connection_id = ?";
const REPLAYED_SQL: &str =
    "UPDATE main.parked SET replayed_at = ?, tried_at = ?, reader = ? WHERE payload_id = ?";
const OWNER_SQL: &str = "UPDATE main.person SET order_no = ?
    WHERE person_id = (SELECT person_id FROM raw.payload WHERE payload_id = ?)";
const KEEP_SQL: &str =
    "UPDATE main.parked SET place = ?, what = ?, tried_at = ?, reader = ? WHERE payload_id = ?";

/// Payloads that nobody could read yet, newest first.
///
/// # Errors
/// What the database says.
pub fn parked(read: &Read<'_>, limit: u32) -> Result<Vec<ParkedPayload>, StoreError> {
    parked_of(read, None, limit)
}

/// The same of one connection, or of all.
///
/// # Errors
/// What the database says.
pub fn parked_of(
    read: &Read<'_>,
    connection: Option<ConnectionId>,
    limit: u32,
) -> Result<Vec<ParkedPayload>, StoreError> {
    let sql = format!(
        "{COLUMNS} AND connection_id = coalesce(CAST(? AS BIGINT), connection_id) ORDER BY payload_id DESC LIMIT ?"
    );
    read.rows(&sql, params![connection.map(|id| id.0), limit], parked_row)
}

/// One parked payload.
///
/// # Errors
/// What the database says.
pub fn parked_one(read: &Read<'_>, id: PayloadId) -> Result<Option<ParkedPayload>, StoreError> {
    read.first(&format!("{COLUMNS} AND payload_id = ?"), params![id.0], parked_row)
}

/// Parked payloads of a connection that arrived before `before`, newest first: the order in which they are read
/// again.
///
/// # Errors
/// What the database says.
pub fn parked_batch(
    read: &Read<'_>,
    connection: ConnectionId,
    choice: &ParkedChoice,
    before: PayloadId,
    limit: u32,
) -> Result<Vec<ParkedPayload>, StoreError> {
    let one = match choice {
        ParkedChoice::One(id) => Some(id.0),
        ParkedChoice::All | ParkedChoice::Untried => None,
    };
    let reader = (*choice == ParkedChoice::Untried).then_some(READER);
    let sql = format!("{COLUMNS} {BATCH_FILTER} ORDER BY payload_id DESC LIMIT ?");
    read.rows(&sql, params![connection.0, before.0, one, one, one, reader, reader, limit], parked_row)
}

/// The platform's ids of a connection's orders that lie parked.
///
/// # Errors
/// What the database says.
pub fn parked_ids(read: &Read<'_>, connection: ConnectionId) -> Result<HashSet<String>, StoreError> {
    Ok(read.rows(IDS_SQL, params![connection.0], |row| get(row, 0))?.into_iter().collect())
}

/// Our numbers of those of a platform's orders that are held.
///
/// # Errors
/// What the database says.
pub fn numbers(
    read: &Read<'_>,
    connection: ConnectionId,
    ids: &[String],
) -> Result<HashMap<String, OrderNo>, StoreError> {
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let keys = key_list(wanted.iter().map(|id| external_key(connection, id)));
    let found = read.rows(NUMBERS_SQL, params![keys, connection.0], |row| {
        Ok((get::<String>(row, 0)?, OrderNo(get(row, 1)?)))
    })?;
    // Two ids can share a key: the text decides.
    Ok(found.into_iter().filter(|(id, _)| wanted.contains(id.as_str())).collect())
}

/// A parked payload was read at last, and is in. What it says of people belongs to its order from now on.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn mark_replayed(
    tx: &mut Tx<'_>,
    id: PayloadId,
    order_no: Option<OrderNo>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if tx.execute(REPLAYED_SQL, params![time(now), time(now), READER, id.0])? == 0 {
        return Err(StoreError::NotFound);
    }
    if let Some(order_no) = order_no {
        tx.execute(OWNER_SQL, params![order_no.0, id.0])?;
    }
    Ok(())
}

/// A parked payload was tried again and stays.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn keep_parked(tx: &mut Tx<'_>, still: &StillParked, now: Timestamp) -> Result<(), StoreError> {
    let values = params![still.place, still.what, time(now), READER, still.payload_id.0];
    match tx.execute(KEEP_SQL, values)? {
        0 => Err(StoreError::NotFound),
        _ => Ok(()),
    }
}

fn parked_row(row: &Row<'_>) -> Result<ParkedPayload, StoreError> {
    Ok(ParkedPayload {
        payload_id: PayloadId(get(row, 0)?),
        connection: ConnectionId(get(row, 1)?),
        external_id: get(row, 2)?,
        operation: get(row, 3)?,
        place: get(row, 4)?,
        what: get(row, 5)?,
        parked_at: get_time(row, 6)?,
        tried_at: get_time_or_null(row, 7)?,
    })
}

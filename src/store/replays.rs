//! Replays: readings of everything that a platform changed since a time, each with a cursor of its own, so that the
//! cursor of the polls is never touched. At most one per connection is under way.

use duckdb::{Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::orders::ImportOutcome;
use super::reader::Read;
use super::values::{count, get, get_time, get_time_or_null, time, time_or_null};
use super::writer::Tx;
use crate::domain::id::ConnectionId;

/// A replay, under way or finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Its number.
    pub replay_id: i64,
    /// The connection.
    pub connection: ConnectionId,
    /// Everything changed since then is read.
    pub from: Timestamp,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Who asked.
    pub asked_by: String,
    /// Where it goes on, as the job writes it.
    pub cursor_json: String,
    /// Orders read so far.
    pub read: i64,
    /// Of them, those that were not held.
    pub new: i64,
    /// Those that brought news.
    pub updated: i64,
    /// Those that said what was known.
    pub unchanged: i64,
    /// Those that nobody could read.
    pub parked: i64,
    /// When it ended; none while it is under way.
    pub finished_at: Option<Timestamp>,
}

/// How far a replay came with one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayStep {
    /// The replay.
    pub replay_id: i64,
    /// Where it goes on.
    pub cursor_json: String,
    /// True with its last page.
    pub is_last: bool,
}

const COLUMNS: &str =
    "SELECT replay_id, connection_id, from_at, asked_at, asked_by, cursor, read_count, new_count, updated_count,
    unchanged_count, parked_count, finished_at FROM main.replay";
const NEXT_ID_SQL: &str = "SELECT coalesce(max(replay_id), 0) + 1 FROM main.replay";
const NEW_SQL: &str = "INSERT INTO main.replay (replay_id, connection_id, from_at, asked_at, asked_by, cursor,
    read_count, new_count, updated_count, unchanged_count, parked_count) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0)";
const STEP_SQL: &str = "UPDATE main.replay
    SET cursor = ?, read_count = read_count + ?, new_count = new_count + ?, updated_count = updated_count + ?,
        unchanged_count = unchanged_count + ?, parked_count = parked_count + ?, finished_at = ?
    WHERE replay_id = ?";

/// A connection's replays, newest first.
///
/// # Errors
/// What the database says.
pub fn of_connection(
    read: &Read<'_>,
    connection: ConnectionId,
    limit: u32,
) -> Result<Vec<Replay>, StoreError> {
    let sql = format!("{COLUMNS} WHERE connection_id = ? ORDER BY replay_id DESC LIMIT ?");
    read.rows(&sql, params![connection.0, limit], replay_row)
}

/// The replay that is under way.
///
/// # Errors
/// What the database says.
pub fn under_way(read: &Read<'_>, connection: ConnectionId) -> Result<Option<Replay>, StoreError> {
    let sql = format!("{COLUMNS} WHERE connection_id = ? AND finished_at IS NULL ORDER BY replay_id LIMIT 1");
    read.first(&sql, params![connection.0], replay_row)
}

/// Begins a replay, unless one is under way: that one comes back then.
///
/// # Errors
/// What the database says.
pub fn begin(
    tx: &mut Tx<'_>,
    connection: ConnectionId,
    from: Timestamp,
    cursor_json: &str,
    asked_by: &str,
    now: Timestamp,
) -> Result<Option<Replay>, StoreError> {
    if let Some(running) = under_way(tx, connection)? {
        return Ok(Some(running));
    }
    let id: i64 = tx.first(NEXT_ID_SQL, [], |row| get(row, 0))?.unwrap_or(1);
    tx.execute(NEW_SQL, params![id, connection.0, time(from), time(now), asked_by, cursor_json])?;
    Ok(None)
}

/// Moves a replay on. It belongs into the write that keeps what the page held.
///
/// # Errors
/// What the database says.
pub fn advance(
    tx: &mut Tx<'_>,
    step: &ReplayStep,
    outcome: &ImportOutcome,
    now: Timestamp,
) -> Result<(), StoreError> {
    let same = outcome.unchanged.saturating_add(outcome.stale);
    let read = [outcome.new, outcome.updated, same, outcome.parked].map(count).iter().sum::<i64>();
    tx.execute(
        STEP_SQL,
        params![
            step.cursor_json,
            read,
            count(outcome.new),
            count(outcome.updated),
            count(same),
            count(outcome.parked),
            time_or_null(step.is_last.then_some(now)),
            step.replay_id
        ],
    )?;
    Ok(())
}

fn replay_row(row: &Row<'_>) -> Result<Replay, StoreError> {
    Ok(Replay {
        replay_id: get(row, 0)?,
        connection: ConnectionId(get(row, 1)?),
        from: get_time(row, 2)?,
        asked_at: get_time(row, 3)?,
        asked_by: get(row, 4)?,
        cursor_json: get(row, 5)?,
        read: get(row, 6)?,
        new: get(row, 7)?,
        updated: get(row, 8)?,
        unchanged: get(row, 9)?,
        parked: get(row, 10)?,
        finished_at: get_time_or_null(row, 11)?,
    })
}

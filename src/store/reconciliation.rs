//! What each platform says of a day against what is held: one row per connection and day of placing, in the
//! merchant's zone. Which days are compared, and when, is the engine's.

use std::collections::HashSet;

use duckdb::types::Value;
use duckdb::{Row, params};
use jiff::Timestamp;
use jiff::civil::Date;

use super::error::StoreError;
use super::orders;
use super::reader::Read;
use super::values::{get, get_time_or_null, time};
use super::writer::Tx;
use crate::domain::id::ConnectionId;

/// One comparison of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders that the platform has of that day.
    pub platform: i64,
    /// Of them, those that are held now.
    pub held: i64,
    /// Of them, those that are here and cannot be read.
    pub parked: i64,
    /// Those that were not here, of all comparisons of that day.
    pub missing: i64,
    /// Of those, the ones that were fetched.
    pub fetched: i64,
    /// Orders that are held and that the platform no longer lists.
    pub only_here: i64,
}

impl Counts {
    /// Orders that the platform has and that are still not here.
    #[must_use]
    pub fn gap(&self) -> i64 {
        self.missing.saturating_sub(self.fetched)
    }
}

/// A day as compared, or as somebody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconciledDay {
    /// The connection.
    pub connection: ConnectionId,
    /// The day.
    pub day: Date,
    /// When a person asked for it last.
    pub asked_at: Option<Timestamp>,
    /// When it was compared last: the start of that comparison.
    pub checked_at: Option<Timestamp>,
    /// What came out; none before the first comparison.
    pub counts: Option<Counts>,
}

impl ReconciledDay {
    /// True where somebody asked for it and it was not compared since.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked_at > self.checked_at
    }
}

const COLUMNS: &str =
    "SELECT connection_id, CAST(day AS VARCHAR), asked_at, checked_at, platform_count, held_count, parked_count,
    missing_count, fetched_count, only_here_count FROM main.reconciliation";
const NEW_SQL: &str = "INSERT INTO main.reconciliation (connection_id, day) VALUES (?, CAST(? AS DATE))";
const ASK_SQL: &str =
    "UPDATE main.reconciliation SET asked_at = ? WHERE connection_id = ? AND day = CAST(? AS DATE)";
const SAVE_SQL: &str = "UPDATE main.reconciliation
    SET checked_at = ?, platform_count = ?, held_count = ?, parked_count = ?,
        missing_count = coalesce(fetched_count, 0) + ?, fetched_count = coalesce(fetched_count, 0) + ?,
        only_here_count = ?
    WHERE connection_id = ? AND day = CAST(? AS DATE)";
const GAPS_SQL: &str = "SELECT connection_id, CAST(sum(missing_count - fetched_count) AS BIGINT)
    FROM main.reconciliation WHERE checked_at IS NOT NULL GROUP BY connection_id ORDER BY connection_id";

/// A connection's days, newest first, from `since` on.
///
/// # Errors
/// What the database says.
pub fn days(
    read: &Read<'_>,
    connection: ConnectionId,
    since: Date,
    limit: u32,
) -> Result<Vec<ReconciledDay>, StoreError> {
    let sql =
        format!("{COLUMNS} WHERE connection_id = ? AND day >= CAST(? AS DATE) ORDER BY day DESC LIMIT ?");
    read.rows(&sql, params![connection.0, since.to_string(), limit], day_row)
}

/// How many orders of each connection a platform has that are still not here.
///
/// # Errors
/// What the database says.
pub fn gaps(read: &Read<'_>) -> Result<Vec<(ConnectionId, i64)>, StoreError> {
    read.rows(GAPS_SQL, [], |row| Ok((ConnectionId(get(row, 0)?), get(row, 1)?)))
}

/// Somebody asks for days to be compared.
///
/// # Errors
/// What the database says.
pub fn ask(
    tx: &mut Tx<'_>,
    connection: ConnectionId,
    days: &[Date],
    now: Timestamp,
) -> Result<(), StoreError> {
    for day in days {
        ensure(tx, connection, *day)?;
        tx.execute(ASK_SQL, params![time(now), connection.0, day.to_string()])?;
    }
    Ok(())
}

/// Keeps what a comparison found: its `missing` and `fetched` are its own, and what earlier ones fetched is added to
/// both, so that a day goes on showing the gap that it had. `started_at` is when the comparison began: who asked after
/// that is still waiting.
///
/// # Errors
/// What the database says.
pub fn save(
    tx: &mut Tx<'_>,
    connection: ConnectionId,
    day: Date,
    counts: &Counts,
    started_at: Timestamp,
) -> Result<(), StoreError> {
    ensure(tx, connection, day)?;
    tx.execute(
        SAVE_SQL,
        params![
            time(started_at),
            counts.platform,
            counts.held,
            counts.parked,
            counts.missing,
            counts.fetched,
            counts.only_here,
            connection.0,
            day.to_string()
        ],
    )?;
    Ok(())
}

fn ensure(tx: &Tx<'_>, connection: ConnectionId, day: Date) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM main.reconciliation WHERE connection_id = ? AND day = CAST(? AS DATE)";
    let key = params![connection.0, day.to_string()];
    if tx.first(sql, key, |row| get::<i32>(row, 0))?.is_none() {
        tx.execute(NEW_SQL, params![connection.0, day.to_string()])?;
    }
    Ok(())
}

/// What is here of a platform's orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Ids of those that are held.
    pub held: HashSet<String>,
    /// Ids of those that are here and cannot be read.
    pub parked: HashSet<String>,
}

impl Known {
    /// Whether an order is here, readable or not.
    #[must_use]
    pub fn has(&self, external_id: &str) -> bool {
        self.held.contains(external_id) || self.parked.contains(external_id)
    }
}

/// Which of these ids are here.
///
/// # Errors
/// What the database says.
pub fn known(read: &Read<'_>, connection: ConnectionId, ids: &[String]) -> Result<Known, StoreError> {
    let held = orders::numbers(read, connection, ids)?.into_keys().collect();
    let parked = orders::parked_ids(read, connection)?;
    Ok(Known { held, parked: ids.iter().filter(|id| parked.contains(*id)).cloned().collect() })
}

/// How many orders are held of those placed from `from` up to `until`.
///
/// # Errors
/// What the database says.
pub fn held_count(
    read: &Read<'_>,
    connection: ConnectionId,
    from: Timestamp,
    until: Timestamp,
) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM main.orders WHERE connection_id = ? AND placed_at >= ? AND placed_at < ?";
    let found = read.first(sql, params![connection.0, time(from), time(until)], |row| get(row, 0))?;
    Ok(found.unwrap_or_default())
}

fn day_row(row: &Row<'_>) -> Result<ReconciledDay, StoreError> {
    let day: String = get(row, 1)?;
    let is_counted = get::<Value>(row, 4)? != Value::Null;
    let count = |column| Ok::<i64, StoreError>(get::<Option<i64>>(row, column)?.unwrap_or_default());
    let counts = Counts {
        platform: count(4)?,
        held: count(5)?,
        parked: count(6)?,
        missing: count(7)?,
        fetched: count(8)?,
        only_here: count(9)?,
    };
    Ok(ReconciledDay {
        connection: ConnectionId(get(row, 0)?),
        day: day.parse().map_err(|error| StoreError::Invalid(format!("the day {day}: {error}")))?,
        asked_at: get_time_or_null(row, 2)?,
        checked_at: get_time_or_null(row, 3)?,
        counts: is_counted.then_some(counts),
    })
}

//! The state of affairs in a few numbers: cheap, never a count over everything.

use duckdb::params;
use jiff::{SignedDuration, Timestamp};

use super::connections::{self, StreamState};
use super::effects;
use super::error::StoreError;
use super::reader::Read;
use super::values::{get, get_time_or_null, get_word, time};
use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::order::{ExportState, OrderStatus};

/// Orders are counted that were placed in so long a time.
const COUNT_WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The state of affairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Orders of the last thirty days, by status.
    pub by_status: Vec<(OrderStatus, i64)>,
    /// Orders of the last thirty days, by export state.
    pub by_export: Vec<(ExportState, i64)>,
    /// Open work, by kind and state.
    pub open_effects: Vec<(EffectKind, EffectState, i64)>,
    /// Open incidents.
    pub open_incident_count: i64,
    /// Payloads that nobody could read yet.
    pub parked_count: i64,
    /// When the newest order arrived here.
    pub newest_import_at: Option<Timestamp>,
    /// How far each stream is complete.
    pub streams: Vec<StreamState>,
}

/// How many orders are held. Without a condition the database knows the count without looking.
///
/// # Errors
/// What the database says.
pub fn order_count(read: &Read<'_>) -> Result<i64, StoreError> {
    Ok(read.first("SELECT count(*) FROM main.orders", [], |row| get(row, 0))?.unwrap_or_default())
}

/// Reads the state of affairs.
///
/// # Errors
/// What the database says.
pub fn status(read: &Read<'_>, now: Timestamp) -> Result<Status, StoreError> {
    let since = time(now.checked_sub(COUNT_WINDOW).unwrap_or(Timestamp::MIN));
    let by_status =
        "SELECT status, count(*) FROM main.orders WHERE placed_at >= ? GROUP BY status ORDER BY status";
    let by_export = "SELECT export_state, count(*) FROM main.orders WHERE placed_at >= ? AND NOT is_history
        GROUP BY export_state ORDER BY export_state";
    let newest = "SELECT max(imported_at) FROM main.orders";
    let one = |sql| Ok::<i64, StoreError>(read.first(sql, [], |row| get(row, 0))?.unwrap_or_default());
    Ok(Status {
        by_status: read.rows(by_status, params![since], |row| Ok((get_word(row, 0)?, get(row, 1)?)))?,
        by_export: read.rows(by_export, params![since], |row| Ok((get_word(row, 0)?, get(row, 1)?)))?,
        open_effects: effects::counts(read)?,
        open_incident_count: one("SELECT count(*) FROM main.incident WHERE closed_at IS NULL")?,
        parked_count: one("SELECT count(*) FROM main.parked WHERE replayed_at IS NULL")?,
        newest_import_at: read.first(newest, [], |row| get_time_or_null(row, 0))?.flatten(),
        streams: connections::streams(read)?,
    })
}

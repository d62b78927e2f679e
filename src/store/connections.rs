//! Connections and how far each of their streams has come. Credentials lie in the vault, never here.

use duckdb::{Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::values::{self, from_json, get_time, get_time_or_null, get_word, time, time_or_null, to_json};
use super::writer::Tx;
use crate::domain::connection::{Connection, ConnectionSettings, ConnectionState};
use crate::domain::id::{ChannelName, ConnectionId};

/// A connection to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConnection {
    /// The platform.
    pub channel: ChannelName,
    /// What the merchant calls it; no two connections share one.
    pub alias: String,
    /// The platform's own id of the account.
    pub account: String,
    /// Replaces scheme and host of every call, where set.
    pub base_url: Option<String>,
    /// How the merchant wants it run.
    pub settings: ConnectionSettings,
    /// When it is added.
    pub now: Timestamp,
}

/// How far a stream came with one page, stored with the page's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamUpdate {
    /// The job's name.
    pub stream: String,
    /// Where to go on, as the job writes it.
    pub cursor_json: String,
    /// Everything changed since then is here; `None` leaves what was known.
    pub complete_since: Option<Timestamp>,
    /// Everything changed up to then is here; `None` leaves what was known.
    pub complete_until: Option<Timestamp>,
    /// How many orders the platform still has, where it says so.
    pub remaining: Option<i64>,
    /// When the page was fetched.
    pub success_at: Timestamp,
}

/// A stream as held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// The connection.
    pub connection: ConnectionId,
    /// The job's name.
    pub stream: String,
    /// Where to go on.
    pub cursor_json: String,
    /// Everything changed since then is here.
    pub complete_since: Option<Timestamp>,
    /// Everything changed up to then is here.
    pub complete_until: Option<Timestamp>,
    /// The last page that came.
    pub last_success_at: Option<Timestamp>,
    /// The last failure.
    pub last_error_at: Option<Timestamp>,
    /// What it was.
    pub last_error: Option<String>,
    /// Failures since the last success.
    pub failures: i64,
    /// How many orders the platform still has.
    pub remaining: Option<i64>,
}

/// What a shop says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopProfileRow {
    /// ISO 4217 code of its default currency.
    pub currency: Option<String>,
    /// The address of an order's page, with `{id}` in it.
    pub order_page: Option<String>,
    /// Its IANA time zone.
    pub time_zone: Option<String>,
}

const COLUMNS: &str =
    "SELECT connection_id, channel, alias, account, base_url, state, state_note, state_since, created_at,
    settings, currency FROM main.connection";
const INSERT_SQL: &str =
    "INSERT INTO main.connection (connection_id, channel, alias, account, base_url, state, state_note,
    state_since, created_at, settings) VALUES (?, ?, ?, ?, ?, 'active', NULL, ?, ?, ?)";
const USED_SQL: &str =
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM main.orders WHERE connection_id = ? OR shop_connection_id = ?)
    OR EXISTS (SELECT 1 FROM raw.payload WHERE connection_id = ?)
    OR EXISTS (SELECT 1 FROM main.shop_mirror WHERE connection_id = ?)
    OR EXISTS (SELECT 1 FROM main.shop_user WHERE connection_id = ?)";
const STREAM_COLUMNS: &str =
    "SELECT connection_id, stream, cursor, complete_since, complete_until, last_success_at,
    last_error_at, last_error, failures, remaining FROM main.poll_state";
const SAVE_STREAM_SQL: &str = "UPDATE main.poll_state
    SET cursor = ?, complete_since = coalesce(?, complete_since), complete_until = coalesce(?, complete_until),
        remaining = ?, last_success_at = ?, failures = 0, last_error = NULL
    WHERE connection_id = ? AND stream = ?";
const NEW_STREAM_SQL: &str =
    "INSERT INTO main.poll_state (connection_id, stream, cursor, complete_since, complete_until,
    remaining, last_success_at, failures) VALUES (?, ?, ?, ?, ?, ?, ?, 0)";
const FAIL_STREAM_SQL: &str = "UPDATE main.poll_state
    SET last_error_at = ?, last_error = ?, failures = failures + 1 WHERE connection_id = ? AND stream = ?";
const NEW_FAILED_STREAM_SQL: &str = "INSERT INTO main.poll_state
    (connection_id, stream, cursor, last_error_at, last_error, failures) VALUES (?, ?, '{}', ?, ?, 1)";

/// All connections, in the order they were added.
///
/// # Errors
/// What the database says.
pub fn all(read: &Read<'_>) -> Result<Vec<Connection>, StoreError> {
    read.rows(&format!("{COLUMNS} ORDER BY connection_id"), [], connection_row)
}

/// One connection.
///
/// # Errors
/// What the database says.
pub fn get(read: &Read<'_>, id: ConnectionId) -> Result<Option<Connection>, StoreError> {
    read.first(&format!("{COLUMNS} WHERE connection_id = ?"), params![id.0], connection_row)
}

/// Adds a connection.
///
/// # Errors
/// [`StoreError::Invalid`] where the alias is taken.
pub fn insert(tx: &mut Tx<'_>, new: &NewConnection) -> Result<ConnectionId, StoreError> {
    check_alias(tx, None, &new.alias)?;
    let id = ConnectionId(tx.ids.connection());
    tx.execute(
        INSERT_SQL,
        params![
            id.0,
            new.channel.as_str(),
            new.alias,
            new.account,
            new.base_url,
            time(new.now),
            time(new.now),
            to_json(&new.settings)?
        ],
    )?;
    Ok(id)
}

/// Replaces a connection's settings.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn update_settings(
    tx: &mut Tx<'_>,
    id: ConnectionId,
    settings: &ConnectionSettings,
) -> Result<(), StoreError> {
    let sql = "UPDATE main.connection SET settings = ? WHERE connection_id = ?";
    found(tx.execute(sql, params![to_json(settings)?, id.0])?)
}

/// Gives a connection another alias.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] where the alias is taken.
pub fn rename(tx: &mut Tx<'_>, id: ConnectionId, alias: &str) -> Result<(), StoreError> {
    check_alias(tx, Some(id), alias)?;
    found(tx.execute("UPDATE main.connection SET alias = ? WHERE connection_id = ?", params![alias, id.0])?)
}

/// Sets where a connection's calls go.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn set_base_url(tx: &mut Tx<'_>, id: ConnectionId, base_url: Option<&str>) -> Result<(), StoreError> {
    found(tx.execute(
        "UPDATE main.connection SET base_url = ? WHERE connection_id = ?",
        params![base_url, id.0],
    )?)
}

/// Whether anything is held that was read of a connection's account, or made in it: orders, parked payloads, a shop's
/// orders, people whom a shop let in.
///
/// # Errors
/// What the database says.
pub fn is_used(read: &Read<'_>, id: ConnectionId) -> Result<bool, StoreError> {
    let id = id.0;
    Ok(read.first(USED_SQL, params![id, id, id, id, id], |_| Ok(()))?.is_some())
}

/// Gives a connection of which nothing is held another account. How far the old one was read, and its listings, are
/// forgotten: the new one is read from the start.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] where something is held of the old account.
pub fn move_account(tx: &mut Tx<'_>, id: ConnectionId, account: &str) -> Result<(), StoreError> {
    if is_used(tx, id)? {
        let text = "Orders of the connection's account have come meanwhile: its account stays.";
        return Err(StoreError::Invalid(text.to_owned()));
    }
    for table in ["poll_state", "listing", "reconciliation", "replay"] {
        tx.execute(&format!("DELETE FROM main.{table} WHERE connection_id = ?"), params![id.0])?;
    }
    found(
        tx.execute("UPDATE main.connection SET account = ? WHERE connection_id = ?", params![account, id.0])?,
    )
}

/// What was read of an account is not kept once its connection has another one: it was under way meanwhile.
///
/// # Errors
/// [`StoreError::Invalid`] where the connection has another account than this.
pub fn check_account(tx: &Tx<'_>, connection: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM main.connection WHERE connection_id = ? AND account <> ?";
    match tx.first(sql, params![connection.id.0, connection.account], |_| Ok(()))? {
        Some(()) => {
            let text = format!("{} has another account now: what was read is dropped.", connection.alias);
            Err(StoreError::Invalid(text))
        }
        None => Ok(()),
    }
}

/// Says whether a connection works. Since when changes only with the state.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn set_state(
    tx: &mut Tx<'_>,
    id: ConnectionId,
    state: ConnectionState,
    note: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE main.connection SET state_since = CASE WHEN state = ? THEN state_since ELSE ? END, state = ?,
        state_note = ? WHERE connection_id = ?";
    found(tx.execute(sql, params![state.as_str(), time(now), state.as_str(), note, id.0])?)
}

/// Keeps what the shop says of itself.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn set_shop_profile(
    tx: &mut Tx<'_>,
    id: ConnectionId,
    currency: Option<&str>,
    order_page: Option<&str>,
    time_zone: Option<&str>,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE main.connection SET currency = ?, order_page = ?, time_zone = ? WHERE connection_id = ?";
    found(tx.execute(sql, params![currency, order_page, time_zone, id.0])?)
}

/// What the shop said of itself.
///
/// # Errors
/// What the database says.
pub fn shop_profile(read: &Read<'_>, id: ConnectionId) -> Result<Option<ShopProfileRow>, StoreError> {
    let sql = "SELECT currency, order_page, time_zone FROM main.connection WHERE connection_id = ?";
    read.first(sql, params![id.0], |row| {
        Ok(ShopProfileRow {
            currency: values::get(row, 0)?,
            order_page: values::get(row, 1)?,
            time_zone: values::get(row, 2)?,
        })
    })
}

/// One stream; `None` where it never ran.
///
/// # Errors
/// What the database says.
pub fn stream(read: &Read<'_>, id: ConnectionId, stream: &str) -> Result<Option<StreamState>, StoreError> {
    let sql = format!("{STREAM_COLUMNS} WHERE connection_id = ? AND stream = ?");
    read.first(&sql, params![id.0, stream], stream_row)
}

/// All streams.
///
/// # Errors
/// What the database says.
pub fn streams(read: &Read<'_>) -> Result<Vec<StreamState>, StoreError> {
    read.rows(&format!("{STREAM_COLUMNS} ORDER BY connection_id, stream"), [], stream_row)
}

/// Moves a stream on. It belongs into the write that keeps what the page held.
///
/// # Errors
/// What the database says.
pub fn save_stream(tx: &mut Tx<'_>, id: ConnectionId, update: &StreamUpdate) -> Result<(), StoreError> {
    let (since, until) = (time_or_null(update.complete_since), time_or_null(update.complete_until));
    let success_at = time(update.success_at);
    let changed = tx.execute(
        SAVE_STREAM_SQL,
        params![update.cursor_json, since, until, update.remaining, success_at, id.0, update.stream],
    )?;
    if changed == 0 {
        tx.execute(
            NEW_STREAM_SQL,
            params![id.0, update.stream, update.cursor_json, since, until, update.remaining, success_at],
        )?;
    }
    Ok(())
}

/// Notes that a stream failed. Its cursor stays.
///
/// # Errors
/// What the database says.
pub fn fail_stream(
    tx: &mut Tx<'_>,
    id: ConnectionId,
    stream: &str,
    error: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    if tx.execute(FAIL_STREAM_SQL, params![time(now), error, id.0, stream])? == 0 {
        tx.execute(NEW_FAILED_STREAM_SQL, params![id.0, stream, time(now), error])?;
    }
    Ok(())
}

fn check_alias(tx: &Tx<'_>, own: Option<ConnectionId>, alias: &str) -> Result<(), StoreError> {
    let sql =
        "SELECT connection_id FROM main.connection WHERE lower(alias) = lower(?) AND connection_id <> ?";
    let taken: Option<i64> =
        tx.first(sql, params![alias, own.map_or(0, |id| id.0)], |row| values::get(row, 0))?;
    match taken {
        Some(_) => {
            Err(StoreError::Invalid(format!("Another connection is called “{alias}”. Choose another name.")))
        }
        None => Ok(()),
    }
}

fn found(changed: usize) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

fn connection_row(row: &Row<'_>) -> Result<Connection, StoreError> {
    let settings: String = values::get(row, 9)?;
    Ok(Connection {
        id: ConnectionId(values::get(row, 0)?),
        channel: ChannelName(values::get(row, 1)?),
        alias: values::get(row, 2)?,
        account: values::get(row, 3)?,
        base_url: values::get(row, 4)?,
        state: get_word(row, 5)?,
        state_note: values::get(row, 6)?,
        state_since: get_time(row, 7)?,
        created_at: get_time(row, 8)?,
        settings: from_json(&settings)?,
        currency: values::get(row, 10)?,
    })
}

fn stream_row(row: &Row<'_>) -> Result<StreamState, StoreError> {
    Ok(StreamState {
        connection: ConnectionId(values::get(row, 0)?),
        stream: values::get(row, 1)?,
        cursor_json: values::get(row, 2)?,
        complete_since: get_time_or_null(row, 3)?,
        complete_until: get_time_or_null(row, 4)?,
        last_success_at: get_time_or_null(row, 5)?,
        last_error_at: get_time_or_null(row, 6)?,
        last_error: values::get(row, 7)?,
        failures: values::get(row, 8)?,
        remaining: values::get(row, 9)?,
    })
}

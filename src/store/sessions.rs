//! Sessions of people who signed in: hashes only.

use duckdb::{Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::values::{get, get_time, time};
use super::writer::Tx;
use crate::domain::id::UserId;

/// A session as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Hash of the cookie's token.
    pub session_hash: String,
    /// Whose.
    pub user: UserId,
    /// Since when.
    pub created_at: Timestamp,
    /// Last use, as far as it was written down.
    pub last_seen_at: Timestamp,
    /// It ends then.
    pub expires_at: Timestamp,
    /// The browser and system that it began in, in a few words.
    pub agent: Option<String>,
    /// The person of a shop's control panel that it began for: it ends with that link.
    pub shop_user: Option<i64>,
}

const COLUMNS: &str = "SELECT session_hash, user_id, created_at, last_seen_at, expires_at, agent, shop_user_id FROM main.session";

/// Begins a session.
///
/// # Errors
/// What the database says.
pub fn insert(tx: &mut Tx<'_>, session: &Session) -> Result<(), StoreError> {
    let sql = "INSERT INTO main.session (session_hash, user_id, created_at, last_seen_at, expires_at, agent,
        shop_user_id) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let Session { session_hash, user, created_at, last_seen_at, expires_at, agent, shop_user } = session;
    let (created_at, last_seen_at) = (time(*created_at), time(*last_seen_at));
    tx.execute(
        sql,
        params![session_hash, user.0, created_at, last_seen_at, time(*expires_at), agent, shop_user],
    )?;
    Ok(())
}

/// A session that has not ended.
///
/// # Errors
/// What the database says.
pub fn find(read: &Read<'_>, session_hash: &str, now: Timestamp) -> Result<Option<Session>, StoreError> {
    let sql = format!("{COLUMNS} WHERE session_hash = ? AND expires_at > ?");
    read.first(&sql, params![session_hash, time(now)], session_row)
}

/// A person's sessions that have not ended, the last used first.
///
/// # Errors
/// What the database says.
pub fn of_user(read: &Read<'_>, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
    let sql =
        format!("{COLUMNS} WHERE user_id = ? AND expires_at > ? ORDER BY last_seen_at DESC, session_hash");
    read.rows(&sql, params![user.0, time(now)], session_row)
}

fn session_row(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        session_hash: get(row, 0)?,
        user: UserId(get(row, 1)?),
        created_at: get_time(row, 2)?,
        last_seen_at: get_time(row, 3)?,
        expires_at: get_time(row, 4)?,
        agent: get(row, 5)?,
        shop_user: get(row, 6)?,
    })
}

/// A session was used.
///
/// # Errors
/// What the database says.
pub fn touch(
    tx: &mut Tx<'_>,
    session_hash: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE main.session SET last_seen_at = ?, expires_at = ? WHERE session_hash = ?";
    tx.execute(sql, params![time(now), time(expires_at), session_hash])?;
    Ok(())
}

/// Ends one session.
///
/// # Errors
/// What the database says.
pub fn remove(tx: &mut Tx<'_>, session_hash: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM main.session WHERE session_hash = ?", params![session_hash])?;
    Ok(())
}

/// Ends one session of a person; nobody else's.
///
/// # Errors
/// What the database says.
pub fn remove_one_of(tx: &mut Tx<'_>, user: UserId, session_hash: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM main.session WHERE user_id = ? AND session_hash = ?";
    tx.execute(sql, params![user.0, session_hash])?;
    Ok(())
}

/// Ends all sessions of a person.
///
/// # Errors
/// What the database says.
pub fn remove_of_user(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM main.session WHERE user_id = ?", params![user.0])?;
    Ok(())
}

/// Ends all sessions that began for a person of a shop's control panel.
///
/// # Errors
/// What the database says.
pub fn remove_of_shop_user(tx: &mut Tx<'_>, shop_user: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM main.session WHERE shop_user_id = ?", params![shop_user])?;
    Ok(())
}

/// Ends all sessions that began in a shop's control panel.
///
/// # Errors
/// What the database says.
pub fn remove_of_panels(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM main.session WHERE shop_user_id IS NOT NULL", [])?;
    Ok(())
}

/// Ends every session: after a restore.
///
/// # Errors
/// What the database says.
pub fn remove_all(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM main.session", [])?;
    Ok(())
}

/// Forgets sessions that have ended.
///
/// # Errors
/// What the database says.
pub fn remove_expired(tx: &mut Tx<'_>, now: Timestamp) -> Result<usize, StoreError> {
    tx.execute("DELETE FROM main.session WHERE expires_at <= ?", params![time(now)])
}

//! What people were told, so that nothing is told twice.

use std::collections::HashSet;

use duckdb::params;
use jiff::{SignedDuration, Timestamp};

use super::error::StoreError;
use super::reader::Read;
use super::values::{get, time};
use super::writer::Tx;
use crate::clock::shifted;

/// What was told longer ago is forgotten: nothing stands that long.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 800);

/// The keys of everything that was told.
///
/// # Errors
/// What the database says.
pub fn told(read: &Read<'_>) -> Result<HashSet<String>, StoreError> {
    Ok(read.rows("SELECT notice_key FROM main.notice", [], |row| get(row, 0))?.into_iter().collect())
}

/// Remembers what was told.
///
/// # Errors
/// What the database says.
pub fn remember(tx: &mut Tx<'_>, keys: &[String], now: Timestamp) -> Result<(), StoreError> {
    let connection = tx.connection();
    connection.execute("DELETE FROM main.notice WHERE told_at < ?", params![time(shifted(now, -KEPT))])?;
    let mut insert = connection.prepare("INSERT INTO main.notice VALUES (?, ?)")?;
    for key in keys {
        insert.execute(params![key, time(now)])?;
    }
    Ok(())
}

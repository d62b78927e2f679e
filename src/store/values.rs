//! The passage between our values and DuckDB's: times, words, numbers, lists, hashes. Nothing here decides.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use duckdb::Row;
use duckdb::types::{FromSql, TimeUnit, Value};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use rust_decimal::Decimal;
use sha2::Sha256;
use siphasher::sip::SipHasher13;

use super::error::StoreError;
use crate::domain::id::ConnectionId;

/// Digits after the point of a stored unit price.
const PRICE_SCALE: u32 = 6;
/// Digits of a stored unit price.
const PRICE_WIDTH: u8 = 18;

/// A time as `TIMESTAMP`.
pub(super) fn time(at: Timestamp) -> Value {
    Value::Timestamp(TimeUnit::Microsecond, at.as_microsecond())
}

/// A time that may be missing.
pub(super) fn time_or_null(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, time)
}

/// A list parameter of ids; use it as `unnest(CAST(? AS BIGINT[]))`.
pub(super) fn id_list(ids: impl IntoIterator<Item = i64>) -> Value {
    Value::List(ids.into_iter().map(Value::BigInt).collect())
}

/// A list parameter of hashes; use it as `unnest(CAST(? AS UBIGINT[]))`.
pub(super) fn key_list(keys: impl IntoIterator<Item = u64>) -> Value {
    Value::List(keys.into_iter().map(Value::UBigInt).collect())
}

/// A unit price as `DECIMAL(18,6)`; null where it has more digits than fit: it is derived and never summed.
pub(super) fn price(price: Option<Decimal>) -> Value {
    let Some(mut price) = price else { return Value::Null };
    price.rescale(PRICE_SCALE);
    if price.scale() != PRICE_SCALE {
        return Value::Null;
    }
    let scale = u8::try_from(PRICE_SCALE).unwrap_or_default();
    duckdb::types::Decimal::new(PRICE_WIDTH, scale, price.mantissa()).map_or(Value::Null, Value::Decimal)
}

/// A number that the database counts in 64 bits.
pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a column.
pub(super) fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    Ok(row.get(column)?)
}

/// Reads a time.
pub(super) fn get_time(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreError> {
    get_time_or_null(row, column)?
        .ok_or_else(|| StoreError::Invalid(format!("Column {column} holds no time.")))
}

/// Reads a time that may be missing.
pub(super) fn get_time_or_null(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, StoreError> {
    let microseconds: Option<i64> = row.get(column)?;
    microseconds
        .map(|at| Timestamp::from_microsecond(at).map_err(|error| StoreError::Invalid(error.to_string())))
        .transpose()
}

/// Reads one of our words.
pub(super) fn get_word<T: FromStr<Err: fmt::Display>>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| StoreError::Invalid(error.to_string()))
}

/// Reads one of our words that may be missing.
pub(super) fn get_word_or_null<T: FromStr<Err: fmt::Display>>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>, StoreError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error: T::Err| StoreError::Invalid(error.to_string()))).transpose()
}

/// Reads a JSON document of ours.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Invalid(format!("A stored document is damaged: {error}")))
}

/// Writes a JSON document of ours.
pub(super) fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Invalid(error.to_string()))
}

/// The key of a platform's id within a connection: 64 bits, the same for ever, so it may lie in the file. Two
/// ids can share one; the row's own text decides.
#[must_use]
pub fn external_key(connection: ConnectionId, external_id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&connection.0.to_le_bytes());
    hasher.write(external_id.as_bytes());
    hasher.finish()
}

/// What tells one payload from another cheaply: cut text and what was cut out of it.
pub(super) fn payload_hash(payload: &str, cuts: &[String]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(payload.as_bytes());
    for cut in cuts {
        hasher.write_u8(0xff);
        hasher.write(cut.as_bytes());
    }
    hasher.finish()
}

/// A buyer as reports see one: keyed, so that nobody without the key can tell who it is.
pub(super) fn buyer_key(report_key: &[u8; 32], buyer: &str) -> Option<u64> {
    let mut mac = Hmac::<Sha256>::new_from_slice(report_key).ok()?;
    mac.update(buyer.as_bytes());
    let digest = mac.finalize().into_bytes();
    let first: [u8; 8] = digest.get(..8)?.try_into().ok()?;
    Some(u64::from_le_bytes(first))
}

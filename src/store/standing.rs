//! How every order stands, in one row each: what the fault campaign compares with the platforms' truth.

use duckdb::Row;
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::values::{get, get_time, get_word, get_word_or_null};
use crate::domain::id::{ConnectionId, OrderNo};
use crate::domain::order::{ExportState, OrderStatus};
use crate::domain::reason::ReasonCode;

/// How an order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Our number of it.
    pub order_no: OrderNo,
    /// Its connection.
    pub connection: ConnectionId,
    /// The platform's id of it.
    pub external_id: String,
    /// How far it is.
    pub status: OrderStatus,
    /// Whether it was paid.
    pub is_paid: bool,
    /// Placed before go-live.
    pub is_history: bool,
    /// The platform's time of these facts.
    pub updated_at: Timestamp,
    /// Whether it is in the shop.
    pub export_state: ExportState,
    /// Why not.
    pub export_reason: Option<ReasonCode>,
    /// The shop's id of it.
    pub shop_order_id: Option<String>,
    /// What the buyer pays with tax, in minor units.
    pub total_minor: i64,
    /// What the buyer got back, in minor units: see [`crate::domain::refund::counted`].
    pub refund_minor: i64,
    /// ISO 4217 code.
    pub currency: String,
}

const STANDING_SQL: &str =
    "SELECT order_no, connection_id, external_id, status, is_paid, is_history, platform_updated_at, export_state,
    export_reason, shop_order_id, total_minor, currency, refund_minor FROM main.orders ORDER BY order_no";

/// Every order, oldest first.
///
/// # Errors
/// What the database says.
pub fn standings(read: &Read<'_>) -> Result<Vec<Standing>, StoreError> {
    read.rows(STANDING_SQL, [], standing_row)
}

fn standing_row(row: &Row<'_>) -> Result<Standing, StoreError> {
    Ok(Standing {
        order_no: OrderNo(get(row, 0)?),
        connection: ConnectionId(get(row, 1)?),
        external_id: get(row, 2)?,
        status: get_word(row, 3)?,
        is_paid: get(row, 4)?,
        is_history: get(row, 5)?,
        updated_at: get_time(row, 6)?,
        export_state: get_word(row, 7)?,
        export_reason: get_word_or_null(row, 8)?,
        shop_order_id: get(row, 9)?,
        total_minor: get(row, 10)?,
        currency: get(row, 11)?,
        refund_minor: get(row, 12)?,
    })
}

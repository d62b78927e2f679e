//! Refunds that were made in the shop, and what became of asking the marketplace for them.
//!
//! A refund is asked for at most once: `called_at` is durable before the call goes out, and stays until it is known that
//! nothing came of it.

use std::collections::BTreeSet;

use duckdb::{Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::values::{from_json, get, get_time, get_time_or_null, id_list, time, time_or_null, to_json};
use super::writer::Tx;
use crate::domain::id::OrderNo;
use crate::domain::refund::HeldRefund;

/// A refund and what the marketplace knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRow {
    /// The refund.
    pub refund: HeldRefund,
    /// When the marketplace was asked, where something may have come of it.
    pub called_at: Option<Timestamp>,
    /// The marketplace's refunds of the order before it was asked; none where it lists none, or was not asked.
    pub listed_before: Option<Vec<String>>,
    /// The marketplace's id of it, once known.
    pub marketplace_refund_id: Option<String>,
    /// When the marketplace had given it back.
    pub told_at: Option<Timestamp>,
    /// When a person who had looked said that it is to be sent again.
    pub resend_at: Option<Timestamp>,
}

const COLUMNS: &str =
    "SELECT order_no, shop_refund_id, refunded_at, total_minor, shares, called_at, listed_before,
    marketplace_refund_id, told_at, resend_at FROM main.shop_refund";
const STAMP_SQL: &str = "UPDATE main.orders
    SET refund_minor = refund_minor + ?, net_minor = net_minor - ?, changed_at = ? WHERE order_no = ?";
const STAMP_LINE_SQL: &str =
    "UPDATE main.order_line SET refund_minor = refund_minor + ? WHERE order_no = ? AND external_id = ?";
const CLEAR_LINES_SQL: &str = "UPDATE main.order_line SET refund_minor = 0 WHERE order_no = ?";
/// Since when refunds are passed on in this file.
const SINCE_SQL: &str = "SELECT applied_at FROM main.schema_version WHERE name = '0005_after_sale'";

/// An order's refunds, in the order in which we saw them.
///
/// # Errors
/// What the database says.
pub fn of_order(read: &Read<'_>, order_no: OrderNo) -> Result<Vec<RefundRow>, StoreError> {
    let sql = format!("{COLUMNS} WHERE order_no = ? ORDER BY seen_at, try_cast(shop_refund_id AS BIGINT)");
    Ok(read.rows(&sql, params![order_no.0], refund_row)?.into_iter().map(|(_, row)| row).collect())
}

/// The refunds of some orders.
///
/// # Errors
/// What the database says.
pub(super) fn of_orders(read: &Read<'_>, orders: &[i64]) -> Result<Vec<(i64, RefundRow)>, StoreError> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "{COLUMNS} WHERE order_no IN (SELECT unnest(CAST(? AS BIGINT[])))
        ORDER BY order_no, seen_at, try_cast(shop_refund_id AS BIGINT)"
    );
    read.rows(&sql, params![id_list(orders.iter().copied())], refund_row)
}

/// Since when refunds are passed on: what was refunded before was dealt with by people.
///
/// # Errors
/// What the database says.
pub fn passed_on_since(read: &Read<'_>) -> Result<Timestamp, StoreError> {
    Ok(read.first(SINCE_SQL, [], |row| get_time(row, 0))?.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Keeps refunds that we did not hold, and stamps them on the order and its lines.
///
/// # Errors
/// What the database says.
pub fn add(tx: &Tx<'_>, order_no: OrderNo, refunds: &[HeldRefund], now: Timestamp) -> Result<(), StoreError> {
    for refund in refunds {
        let mut appender = tx.connection().appender_to_db("shop_refund", "main")?;
        appender.append_row(params![
            order_no.0,
            refund.shop_refund_id,
            time_or_null(refund.refunded_at),
            refund.total_minor,
            to_json(&refund.shares)?,
            None::<i64>,
            None::<&str>,
            None::<&str>,
            None::<i64>,
            None::<i64>,
            time(now),
        ])?;
        appender.flush()?;
        let minor = refund.total_minor;
        tx.execute(STAMP_SQL, params![minor, minor, time(now), order_no.0])?;
        stamp_lines(tx, order_no.0, refund)?;
    }
    Ok(())
}

/// Lays the refunds of these orders to their lines again, whose places may have changed.
pub(super) fn lay_again(tx: &Tx<'_>, orders: &[i64]) -> Result<(), StoreError> {
    let held = of_orders(tx, orders)?;
    let refunded: BTreeSet<i64> = held.iter().map(|(order_no, _)| *order_no).collect();
    for order_no in refunded {
        tx.execute(CLEAR_LINES_SQL, params![order_no])?;
    }
    for (order_no, row) in &held {
        stamp_lines(tx, *order_no, &row.refund)?;
    }
    Ok(())
}

fn stamp_lines(tx: &Tx<'_>, order_no: i64, refund: &HeldRefund) -> Result<(), StoreError> {
    for share in &refund.shares {
        let minor = share.item_minor.saturating_add(share.shipping_minor);
        tx.execute(STAMP_LINE_SQL, params![minor, order_no, share.external_line_id])?;
    }
    Ok(())
}

/// The marketplace is about to be asked.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such refund.
pub fn set_called(
    tx: &Tx<'_>,
    order_no: OrderNo,
    shop_refund_id: &str,
    listed_before: Option<&[String]>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE main.shop_refund SET called_at = ?, listed_before = ?
        WHERE order_no = ? AND shop_refund_id = ?";
    let listed = listed_before.map(to_json).transpose()?;
    found(tx.execute(sql, params![time(now), listed, order_no.0, shop_refund_id])?)
}

/// It is certain that nothing came of asking the marketplace. `resend_at` is when a person said so.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such refund.
pub fn clear_called(
    tx: &Tx<'_>,
    order_no: OrderNo,
    shop_refund_id: &str,
    resend_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let sql = "UPDATE main.shop_refund
        SET called_at = NULL, listed_before = NULL, marketplace_refund_id = NULL, resend_at = coalesce(?, resend_at)
        WHERE order_no = ? AND shop_refund_id = ?";
    found(tx.execute(sql, params![time_or_null(resend_at), order_no.0, shop_refund_id])?)
}

/// The marketplace's id of it.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such refund.
pub fn set_marketplace_id(
    tx: &Tx<'_>,
    order_no: OrderNo,
    shop_refund_id: &str,
    id: &str,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE main.shop_refund SET marketplace_refund_id = ? WHERE order_no = ? AND shop_refund_id = ?";
    found(tx.execute(sql, params![id, order_no.0, shop_refund_id])?)
}

/// The marketplace has given it back.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such refund.
pub fn mark_told(
    tx: &Tx<'_>,
    order_no: OrderNo,
    shop_refund_id: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE main.shop_refund SET told_at = ? WHERE order_no = ? AND shop_refund_id = ?";
    found(tx.execute(sql, params![time(now), order_no.0, shop_refund_id])?)
}

fn found(changed: usize) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

fn refund_row(row: &Row<'_>) -> Result<(i64, RefundRow), StoreError> {
    let shares: String = get(row, 4)?;
    let listed: Option<String> = get(row, 6)?;
    let refund = HeldRefund {
        shop_refund_id: get(row, 1)?,
        refunded_at: get_time_or_null(row, 2)?,
        total_minor: get(row, 3)?,
        shares: from_json(&shares)?,
    };
    let held = RefundRow {
        refund,
        called_at: get_time_or_null(row, 5)?,
        listed_before: listed.as_deref().map(from_json).transpose()?,
        marketplace_refund_id: get(row, 7)?,
        told_at: get_time_or_null(row, 8)?,
        resend_at: get_time_or_null(row, 9)?,
    };
    Ok((get(row, 0)?, held))
}

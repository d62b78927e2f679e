//! What marketplaces gave back, whoever asked for it. Written at import alone: an order's refunds are replaced as a whole.

use std::collections::HashMap;

use duckdb::{Row, params};

use super::error::StoreError;
use super::reader::Read;
use super::values::{
    from_json, get, get_time, get_time_or_null, get_word, id_list, time, time_or_null, to_json,
};
use super::writer::Tx;
use crate::domain::id::OrderNo;
use crate::domain::refund::{HeldMarketplaceRefund, MarketplaceRefund};

const OF_ORDERS_SQL: &str =
    "SELECT order_no, refund_id, refunded_at, currency, told_minor, total_minor, lines,
        shop_refund_id, seen_at
    FROM main.marketplace_refund WHERE order_no IN (SELECT unnest(CAST(? AS BIGINT[])))
    ORDER BY order_no, refunded_at NULLS FIRST, refund_id";
const DROP_SQL: &str =
    "DELETE FROM main.marketplace_refund WHERE order_no IN (SELECT unnest(CAST(? AS BIGINT[])))";

/// The refunds of some orders, oldest first.
///
/// # Errors
/// What the database says.
pub fn of_orders(
    read: &Read<'_>,
    orders: &[i64],
) -> Result<HashMap<i64, Vec<HeldMarketplaceRefund>>, StoreError> {
    let mut by_order: HashMap<i64, Vec<HeldMarketplaceRefund>> = HashMap::new();
    if orders.is_empty() {
        return Ok(by_order);
    }
    for (order_no, refund) in
        read.rows(OF_ORDERS_SQL, params![id_list(orders.iter().copied())], refund_row)?
    {
        by_order.entry(order_no).or_default().push(refund);
    }
    Ok(by_order)
}

/// Holds these refunds of these orders from now on, and no others of them.
pub(super) fn replace(tx: &Tx<'_>, orders: &[(OrderNo, &[HeldMarketplaceRefund])]) -> Result<(), StoreError> {
    if orders.is_empty() {
        return Ok(());
    }
    tx.execute(DROP_SQL, params![id_list(orders.iter().map(|(order_no, _)| order_no.0))])?;
    let mut appender = tx.connection().appender_to_db("marketplace_refund", "main")?;
    for (order_no, held) in orders {
        for HeldMarketplaceRefund { refund, shop_refund_id, seen_at } in *held {
            appender.append_row(params![
                order_no.0,
                refund.refund_id,
                time_or_null(refund.refunded_at),
                refund.currency.code(),
                refund.told_minor,
                refund.total_minor,
                to_json(&refund.lines)?,
                shop_refund_id,
                time(*seen_at),
            ])?;
        }
    }
    Ok(appender.flush()?)
}

fn refund_row(row: &Row<'_>) -> Result<(i64, HeldMarketplaceRefund), StoreError> {
    let lines: String = get(row, 6)?;
    let refund = MarketplaceRefund {
        refund_id: get(row, 1)?,
        refunded_at: get_time_or_null(row, 2)?,
        currency: get_word(row, 3)?,
        told_minor: get(row, 4)?,
        total_minor: get(row, 5)?,
        lines: from_json(&lines)?,
    };
    let held = HeldMarketplaceRefund { refund, shop_refund_id: get(row, 7)?, seen_at: get_time(row, 8)? };
    Ok((get(row, 0)?, held))
}

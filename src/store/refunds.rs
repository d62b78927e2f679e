//! Refunds that were made in the shop, what became of asking the marketplace for them, and what counts as refunded on an
//! order and its lines.
//!
//! A refund is asked for at most once: `called_at` is durable before the call goes out, and stays until it is known that
//! nothing came of it.

use std::collections::{BTreeMap, HashMap};

use duckdb::{Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::marketplace_refunds;
use super::reader::Read;
use super::values::{
    from_json, get, get_time, get_time_or_null, get_word, id_list, time, time_or_null, to_json,
};
use super::writer::Tx;
use crate::domain::id::OrderNo;
use crate::domain::money::Currency;
use crate::domain::plan::refunds::PassedOn;
use crate::domain::refund::{self, HeldMarketplaceRefund, HeldRefund, MarketplaceRefund};

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

impl RefundRow {
    /// As what the marketplace gave back is compared with; none where it cannot have done it for the shop's.
    #[must_use]
    pub fn passed_on(&self) -> Option<PassedOn> {
        let may_be_there = self.called_at.is_some() || self.told_at.is_some();
        may_be_there.then(|| PassedOn {
            shop_refund_id: self.refund.shop_refund_id.clone(),
            marketplace_refund_id: self.marketplace_refund_id.clone(),
            sent_minor: self.refund.sent_minor(),
            total_minor: self.refund.total_minor,
        })
    }
}

/// What is left of an order after refunds, without tax, of the columns `total`, `tax` and `refund`: what is left has tax in it
/// in the proportion of the whole, rounded down. In 0009_net.sql once more.
macro_rules! net_sql {
    ($total:literal, $tax:literal, $refund:literal) => {
        concat!(
            "CASE WHEN ",
            $total,
            " = 0 THEN -",
            $tax,
            " - ",
            $refund,
            " ELSE ",
            $total,
            " - ",
            $refund,
            " - CAST(CAST(",
            $tax,
            " AS HUGEINT) * (",
            $total,
            " - ",
            $refund,
            ") // ",
            $total,
            " AS BIGINT) END"
        )
    };
}

pub(super) use net_sql;

const OF_ORDERS_SQL: &str =
    "SELECT order_no, shop_refund_id, refunded_at, total_minor, shares, called_at, listed_before,
        marketplace_refund_id, told_at, resend_at
    FROM main.shop_refund WHERE {order_no} ORDER BY order_no, seen_at, try_cast(shop_refund_id AS BIGINT)";
const CURRENCIES_SQL: &str = "SELECT order_no, currency FROM main.orders WHERE {order_no}";
const LINES_SQL: &str =
    "SELECT order_no, line_no, external_id FROM main.order_line WHERE {order_no} ORDER BY order_no, line_no";
const STAMP_SQL: &str = concat!(
    "UPDATE main.orders AS o SET net_minor = ",
    net_sql!("o.total_minor", "o.tax_minor", "c.minor"),
    ", refund_minor = c.minor, changed_at = ?
    FROM (SELECT unnest(CAST(? AS BIGINT[])) AS order_no, unnest(CAST(? AS BIGINT[])) AS minor) AS c
    WHERE o.order_no = c.order_no AND o.order_no BETWEEN ? AND ?"
);
const STAMP_LINES_SQL: &str = "UPDATE main.order_line AS l SET refund_minor = c.minor
    FROM (SELECT unnest(CAST(? AS BIGINT[])) AS order_no, unnest(CAST(? AS BIGINT[])) AS line_no,
        unnest(CAST(? AS BIGINT[])) AS minor) AS c
    WHERE l.order_no = c.order_no AND l.line_no = c.line_no AND l.order_no BETWEEN ? AND ?";
/// Since when refunds are passed on in this file.
const SINCE_SQL: &str = "SELECT applied_at FROM main.schema_version WHERE name = '0005_after_sale'";

/// An order's refunds, in the order in which we saw them.
///
/// # Errors
/// What the database says.
pub fn of_order(read: &Read<'_>, order_no: OrderNo) -> Result<Vec<RefundRow>, StoreError> {
    Ok(of_orders(read, &[order_no.0])?.into_iter().map(|(_, row)| row).collect())
}

/// The refunds of some orders.
///
/// # Errors
/// What the database says.
pub(super) fn of_orders(read: &Read<'_>, orders: &[i64]) -> Result<Vec<(i64, RefundRow)>, StoreError> {
    read.of_ids(("order_no", OF_ORDERS_SQL), orders.iter().copied(), refund_row)
}

/// Since when refunds are passed on: what was refunded before was dealt with by people.
///
/// # Errors
/// What the database says.
pub fn passed_on_since(read: &Read<'_>) -> Result<Timestamp, StoreError> {
    Ok(read.first(SINCE_SQL, [], |row| get_time(row, 0))?.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Keeps refunds that we did not hold, and stamps what counts as refunded on the order and its lines.
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
    }
    stamp(tx, &[order_no.0], now)
}

/// What the shop and the marketplace gave back of an order or of a line, in minor units.
#[derive(Debug, Clone, Copy, Default)]
struct Sides {
    shop: i64,
    marketplace: i64,
}

/// What was given back of an order.
#[derive(Debug, Default)]
struct Refunded {
    whole: Sides,
    /// By the marketplace's id of the line.
    lines: HashMap<String, Sides>,
}

impl Sides {
    fn counted(self) -> i64 {
        refund::counted(self.shop, self.marketplace)
    }
}

impl Refunded {
    fn add_shops(&mut self, refund: HeldRefund) {
        self.whole.shop = self.whole.shop.saturating_add(refund.total_minor);
        for share in refund.shares {
            let shop = &mut self.lines.entry(share.external_line_id).or_default().shop;
            *shop = shop.saturating_add(share.item_minor).saturating_add(share.shipping_minor);
        }
    }

    fn add_marketplaces(&mut self, refund: MarketplaceRefund) {
        self.whole.marketplace = self.whole.marketplace.saturating_add(refund.total_minor);
        for line in refund.lines {
            let marketplace = &mut self.lines.entry(line.external_line_id).or_default().marketplace;
            *marketplace = marketplace.saturating_add(line.minor);
        }
    }
}

/// Stamps on these orders and their lines what counts as refunded, from what is held of both sides' refunds: see
/// [`refund::counted`]. Lines are known by the marketplace's ids: their places may have changed.
pub(super) fn stamp(tx: &Tx<'_>, orders: &[i64], now: Timestamp) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (orders.iter().min().copied(), orders.iter().max().copied()) else {
        return Ok(());
    };
    let mut refunded = refunded(tx, orders)?;
    let whole = |(order_no, refunded): (&i64, &Refunded)| (*order_no, refunded.whole.counted());
    let (stamped, minors): (Vec<i64>, Vec<i64>) = refunded.iter().map(whole).unzip();
    tx.execute(STAMP_SQL, params![time(now), id_list(stamped), id_list(minors), first, last])?;
    let found = tx.of_ids(("order_no", LINES_SQL), orders.iter().copied(), |row| {
        Ok((get::<i64>(row, 0)?, get::<i32>(row, 1)?, get::<String>(row, 2)?))
    })?;
    let (mut of_order, mut places, mut minors) = (Vec::new(), Vec::new(), Vec::new());
    for (order_no, line_no, external_id) in found {
        let sides = refunded.get_mut(&order_no).and_then(|refunded| refunded.lines.remove(&external_id));
        of_order.push(order_no);
        places.push(i64::from(line_no));
        minors.push(sides.unwrap_or_default().counted());
    }
    if !of_order.is_empty() {
        let lines = params![id_list(of_order), id_list(places), id_list(minors), first, last];
        tx.execute(STAMP_LINES_SQL, lines)?;
    }
    Ok(())
}

/// What went back of each of these orders, on both sides. What the marketplace gave back in another currency than the
/// order's is no part of its sums.
fn refunded(tx: &Tx<'_>, orders: &[i64]) -> Result<BTreeMap<i64, Refunded>, StoreError> {
    let currency = |row: &Row<'_>| Ok((get(row, 0)?, get_word(row, 1)?));
    let found = tx.of_ids(("order_no", CURRENCIES_SQL), orders.iter().copied(), currency)?;
    let currencies: HashMap<i64, Currency> = found.into_iter().collect();
    let mut refunded: BTreeMap<i64, Refunded> =
        orders.iter().map(|order_no| (*order_no, Refunded::default())).collect();
    for (order_no, row) in of_orders(tx, orders)? {
        refunded.entry(order_no).or_default().add_shops(row.refund);
    }
    for (order_no, held) in marketplace_refunds::of_orders(tx, orders)? {
        let own = |one: &HeldMarketplaceRefund| currencies.get(&order_no) == Some(&one.refund.currency);
        for one in held.into_iter().filter(own) {
            refunded.entry(order_no).or_default().add_marketplaces(one.refund);
        }
    }
    Ok(refunded)
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

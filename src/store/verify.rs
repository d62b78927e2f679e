//! Proves on a merchant's file what indexes would have promised: that keys are unique, that sums are right and that
//! nothing hangs in the air. It only reads, and takes as long as it takes.

use super::error::StoreError;
use super::reader::Read;
use super::values::get;

/// Findings that one check lists.
const FINDINGS_MAX: &str = "20";

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static str,
    /// What is wrong, with numbers.
    pub text: String,
}

/// Each check selects one text per finding.
const CHECKS: &[(&str, &str)] = &[
    (
        "one order per platform's id",
        "SELECT format('connection {}: order {} is held {} times, as {}', connection_id, external_id, count(*),
             string_agg(order_no, ', ' ORDER BY order_no))
         FROM main.orders GROUP BY connection_id, external_id HAVING count(*) > 1",
    ),
    (
        "order numbers are unique",
        "SELECT format('order {} is held {} times', order_no, count(*)) FROM main.orders
         GROUP BY order_no HAVING count(*) > 1",
    ),
    (
        "one open effect per order, kind and revision",
        "SELECT format('order {}: {} {} is open {} times', order_no, kind, revision, count(*)) FROM main.effect_open
         GROUP BY order_no, kind, revision HAVING count(*) > 1",
    ),
    (
        "open effects belong to orders",
        "SELECT format('effect {} is for order {}, which does not exist', effect_id, order_no) FROM main.effect_open
         WHERE order_no NOT IN (SELECT order_no FROM main.orders)",
    ),
    (
        "lines belong to orders",
        "SELECT format('a line is for order {}, which does not exist', order_no)
         FROM main.order_line ANTI JOIN main.orders USING (order_no)",
    ),
    (
        "every line is there once",
        "SELECT format('order {}: line {} is held {} times', order_no, line_no, count(*)) FROM main.order_line
         GROUP BY order_no, line_no HAVING count(*) > 1",
    ),
    (
        "orders have all their lines",
        "SELECT format('order {} has {} lines instead of {}', o.order_no, coalesce(l.lines, 0), o.line_count)
         FROM main.orders AS o
         LEFT JOIN (SELECT order_no, count(*) AS lines FROM main.order_line GROUP BY order_no) AS l USING (order_no)
         WHERE coalesce(l.lines, 0) <> o.line_count",
    ),
    (
        "an order's stamped sums are those of its amounts",
        "SELECT format('order {}: item {} and tax {} are stamped, {} and {} are its amounts', o.order_no, o.item_minor,
             o.tax_minor, coalesce(a.item, 0), coalesce(a.tax, 0))
         FROM main.orders AS o
         LEFT JOIN (SELECT order_no, sum(minor) FILTER (kind = 'item') AS item,
             sum(minor) FILTER (kind IN ('item_tax', 'shipping_tax', 'gift_wrap_tax')) AS tax
             FROM main.order_amount GROUP BY order_no) AS a USING (order_no)
         WHERE o.item_minor <> coalesce(a.item, 0) OR o.tax_minor <> coalesce(a.tax, 0)
            OR o.net_minor <> o.total_minor - o.tax_minor - o.refund_minor",
    ),
    (
        "an order that goes into the shop adds up",
        "SELECT format('order {} is in the shop, but its amounts are {} and its total is {}', o.order_no, a.paid,
             o.total_minor)
         FROM main.orders AS o
         JOIN (SELECT order_no, sum(minor) AS paid FROM main.order_amount
             WHERE kind NOT IN ('withheld_tax', 'fee') GROUP BY order_no) AS a USING (order_no)
         WHERE o.export_state = 'created' AND a.paid <> o.total_minor",
    ),
    (
        "payloads are there once",
        "SELECT format('payload {} is held {} times', payload_id, count(*)) FROM raw.payload
         GROUP BY payload_id HAVING count(*) > 1",
    ),
    (
        "one row per shop order",
        "SELECT format('shop order {} is mirrored {} times', shop_order_id, count(*)) FROM main.shop_mirror
         GROUP BY connection_id, shop_order_id HAVING count(*) > 1",
    ),
    (
        "one row per listing",
        "SELECT format('connection {}: listing {} is held {} times', connection_id, external_id, count(*))
         FROM main.listing GROUP BY connection_id, external_id HAVING count(*) > 1",
    ),
];

/// Runs every check. An empty list is good news.
///
/// # Errors
/// What the database says.
pub fn verify(read: &Read<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for (check, sql) in CHECKS {
        let sql = [sql, " LIMIT ", FINDINGS_MAX].concat();
        findings.extend(read.rows(&sql, [], |row| Ok(Finding { check, text: get(row, 0)? }))?);
    }
    Ok(findings)
}

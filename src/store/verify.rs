//! Proves on a merchant's file what indexes would have promised: that keys are unique, that sums are right and that
//! nothing hangs in the air, in the database and among the files beside it. It only reads, and takes as long as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Store;
use super::backup::{blocking, cannot};
use super::error::StoreError;
use super::files;
use super::reader::Read;
use super::refunds::net_sql;
use super::values::get;

/// One check may take so long.
const CHECK_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// The check of what lies beside the database.
const FILES_CHECK: &str = "files are what their rows say";

/// Findings that one check lists.
const FINDINGS_MAX: &str = "20";
/// The same for files.
const FILE_FINDINGS_MAX: usize = 20;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static str,
    /// What is wrong, with numbers.
    pub text: String,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What must not be. Empty is good news.
    pub findings: Vec<Finding>,
    /// Checks that were made.
    pub check_count: usize,
    /// What they were made on, with how much of it there is.
    pub figures: Vec<(&'static str, i64)>,
}

/// What is counted, and how.
const FIGURES_SQL: &str = "SELECT (SELECT count(*) FROM main.orders), (SELECT count(*) FROM main.order_line),
    (SELECT count(*) FROM main.order_amount), (SELECT count(*) FROM raw.payload),
    (SELECT count(*) FROM main.movement), (SELECT count(*) FROM main.effect_open)";
const FIGURE_NAMES: [&str; 6] = ["orders", "lines", "amounts", "payloads", "movements", "open effects"];

const FILE_ROWS_SQL: &str = "SELECT sha256, max(size_bytes) FROM main.file GROUP BY sha256";

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
        "SELECT format('order {}: item {}, tax {}, discount {}, shipping {} and fee {} are stamped, {}, {}, {}, {} and {} '
             || 'are its amounts', o.order_no, o.item_minor, o.tax_minor, o.discount_minor, o.shipping_minor, o.fee_minor,
             coalesce(a.item, 0), coalesce(a.tax, 0), coalesce(a.discount, 0), coalesce(a.shipping, 0), coalesce(a.fee, 0))
         FROM main.orders AS o
         LEFT JOIN (SELECT order_no, sum(minor) FILTER (kind = 'item') AS item,
             sum(minor) FILTER (kind IN ('item_tax', 'shipping_tax', 'gift_wrap_tax')) AS tax,
             sum(minor) FILTER (kind IN ('seller_discount', 'platform_discount', 'shipping_discount')) AS discount,
             sum(minor) FILTER (kind = 'shipping') AS shipping, sum(minor) FILTER (kind = 'fee') AS fee
             FROM main.order_amount GROUP BY order_no) AS a USING (order_no)
         WHERE o.item_minor <> coalesce(a.item, 0) OR o.tax_minor <> coalesce(a.tax, 0)
            OR o.discount_minor <> coalesce(a.discount, 0) OR o.shipping_minor <> coalesce(a.shipping, 0)
            OR o.fee_minor <> coalesce(a.fee, 0)",
    ),
    (
        "an order's net is what is left of its total after refunds, without the tax in it",
        concat!(
            "SELECT format('order {}: net {} is stamped, its total {} less refunds {} and its part of the tax {} is '
                 || 'something else', order_no, net_minor, total_minor, refund_minor, tax_minor)
             FROM main.orders WHERE net_minor <> ",
            net_sql!("total_minor", "tax_minor", "refund_minor")
        ),
    ),
    (
        "an order's lines add up to it",
        "SELECT format('order {}: item {}, tax {} and discount {} are stamped, {}, {} and {} on its lines', o.order_no,
             o.item_minor, o.tax_minor, o.discount_minor, l.item, l.tax, l.discount)
         FROM main.orders AS o
         JOIN (SELECT order_no, sum(item_minor) AS item, sum(tax_minor) AS tax, sum(discount_minor) AS discount
             FROM main.order_line GROUP BY order_no) AS l USING (order_no)
         WHERE o.item_minor <> l.item OR o.tax_minor <> l.tax OR o.discount_minor <> l.discount",
    ),
    (
        "amounts belong to orders",
        "SELECT format('{} amounts are for order {}, which does not exist', count(*), order_no)
         FROM main.order_amount ANTI JOIN main.orders USING (order_no) GROUP BY order_no",
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
        "orders show payloads that are there",
        "SELECT format('order {} shows payload {}, which does not exist', order_no, payload_id)
         FROM main.orders ANTI JOIN raw.payload USING (payload_id)",
    ),
    (
        "payloads belong to orders",
        "SELECT format('payload {} is for order {}, which does not exist', payload_id, order_no)
         FROM raw.payload ANTI JOIN main.orders USING (order_no) WHERE order_no IS NOT NULL",
    ),
    (
        "parked payloads are there",
        "SELECT format('payload {} is parked and does not exist', payload_id)
         FROM main.parked ANTI JOIN raw.payload USING (payload_id)",
    ),
    (
        "events show payloads that are there",
        "SELECT format('event {} shows payload {}, which does not exist', event_id, payload_id)
         FROM main.event ANTI JOIN raw.payload USING (payload_id) WHERE payload_id IS NOT NULL",
    ),
    (
        "whoever is named is there",
        "SELECT format('{} {} names person {}, who does not exist', what, number, person_id)
         FROM (SELECT 'order' AS what, order_no AS number, person_id FROM main.orders
               UNION ALL SELECT 'payload', payload_id, person_id FROM raw.payload)
         ANTI JOIN main.person USING (person_id) WHERE person_id IS NOT NULL",
    ),
    (
        "people are there once",
        "SELECT format('person {} is held {} times', person_id, count(*)) FROM main.person
         GROUP BY person_id HAVING count(*) > 1",
    ),
    (
        "people belong to orders",
        "SELECT format('person {} is for order {}, which does not exist', person_id, order_no)
         FROM main.person ANTI JOIN main.orders USING (order_no) WHERE order_no IS NOT NULL",
    ),
    (
        "parcels belong to orders",
        "SELECT format('parcel {} is for order {}, which does not exist', parcel, order_no)
         FROM main.shipment ANTI JOIN main.orders USING (order_no)",
    ),
    (
        "every parcel is there once",
        "SELECT format('order {}: parcel {} is held {} times', order_no, parcel, count(*)) FROM main.shipment
         GROUP BY order_no, parcel HAVING count(*) > 1",
    ),
    (
        "an order's refunds are the greater of what the shop and the marketplace gave back",
        "SELECT format('order {}: refunds of {} are stamped, the shop gave {} back and the marketplace {}', o.order_no,
             o.refund_minor, coalesce(s.refunded, 0), coalesce(m.refunded, 0))
         FROM main.orders AS o
         LEFT JOIN (SELECT order_no, sum(total_minor) AS refunded FROM main.shop_refund GROUP BY order_no) AS s
             USING (order_no)
         LEFT JOIN (SELECT order_no, currency, sum(total_minor) AS refunded FROM main.marketplace_refund
             GROUP BY order_no, currency) AS m ON m.order_no = o.order_no AND m.currency = o.currency
         WHERE o.refund_minor <> greatest(coalesce(s.refunded, 0), coalesce(m.refunded, 0))",
    ),
    (
        "a line's refunds are the greater of what the shop and the marketplace gave back for it",
        "WITH told AS (
             SELECT order_no, line, sum(shop) AS shop, sum(marketplace) AS marketplace FROM (
                 SELECT order_no, share.external_line_id AS line, share.item_minor + share.shipping_minor AS shop,
                     0 AS marketplace
                 FROM (SELECT order_no, unnest(from_json(shares,
                     '[{\"external_line_id\": \"VARCHAR\", \"item_minor\": \"BIGINT\", \"shipping_minor\": \"BIGINT\"}]'))
                     AS share FROM main.shop_refund)
                 UNION ALL
                 SELECT order_no, share.external_line_id, 0, share.minor
                 FROM (SELECT m.order_no, unnest(from_json(m.lines,
                     '[{\"external_line_id\": \"VARCHAR\", \"minor\": \"BIGINT\"}]')) AS share
                     FROM main.marketplace_refund AS m JOIN main.orders AS o USING (order_no)
                     WHERE m.currency = o.currency))
             GROUP BY order_no, line),
         stamped AS (
             SELECT order_no, external_id AS line, sum(refund_minor) AS minor FROM main.order_line
             WHERE refund_minor <> 0 OR order_no IN (SELECT order_no FROM told) GROUP BY order_no, external_id)
         SELECT format('order {}, line {}: refunds of {} are stamped, the shop gave {} back and the marketplace {}',
             s.order_no, s.line, s.minor, coalesce(t.shop, 0), coalesce(t.marketplace, 0))
         FROM stamped AS s LEFT JOIN told AS t USING (order_no, line)
         WHERE s.minor <> greatest(coalesce(t.shop, 0), coalesce(t.marketplace, 0))",
    ),
    (
        "refunds of the marketplace belong to orders",
        "SELECT format('refund {} of the marketplace is for order {}, which does not exist', refund_id, order_no)
         FROM main.marketplace_refund ANTI JOIN main.orders USING (order_no)",
    ),
    (
        "every refund of the marketplace is there once",
        "SELECT format('order {}: refund {} of the marketplace is held {} times', order_no, refund_id, count(*))
         FROM main.marketplace_refund GROUP BY order_no, refund_id HAVING count(*) > 1",
    ),
    (
        "refunds belong to orders",
        "SELECT format('refund {} is for order {}, which does not exist', shop_refund_id, order_no)
         FROM main.shop_refund ANTI JOIN main.orders USING (order_no)",
    ),
    (
        "every refund of the shop is there once",
        "SELECT format('order {}: refund {} is held {} times', order_no, shop_refund_id, count(*)) FROM main.shop_refund
         GROUP BY order_no, shop_refund_id HAVING count(*) > 1",
    ),
    (
        "everything belongs to connections",
        "SELECT format('{} {} is of connection {}, which does not exist', what, number, connection_id)
         FROM (SELECT 'order' AS what, order_no AS number, connection_id FROM main.orders
               UNION ALL SELECT 'listing', listing_id, connection_id FROM main.listing
               UNION ALL SELECT 'effect', effect_id, connection_id FROM main.effect_open)
         ANTI JOIN main.connection USING (connection_id)",
    ),
    (
        "a shop order stands for one order",
        "SELECT format('connection {}: shop order {} stands for {} orders, {}',
             coalesce(CAST(shop_connection_id AS VARCHAR), 'none'), shop_order_id, count(*),
             string_agg(order_no, ', ' ORDER BY order_no))
         FROM main.orders WHERE shop_order_id IS NOT NULL
         GROUP BY shop_connection_id, shop_order_id HAVING count(*) > 1",
    ),
    (
        "movements are there once",
        "SELECT format('movement {} is held {} times', movement_id, count(*)) FROM main.movement
         GROUP BY movement_id HAVING count(*) > 1",
    ),
    (
        "each movement goes on from the one before",
        "SELECT format('item {} at location {}: movement {} changes {} by {} and says {}', item_id, location_id, movement_id,
             before, change, balance_after)
         FROM (SELECT *, coalesce(lag(balance_after) OVER (PARTITION BY item_id, location_id ORDER BY movement_id), 0)
             AS before FROM main.movement)
         WHERE before + change <> balance_after",
    ),
    (
        "stock is what its movements and reservations say",
        "SELECT format('item {} at location {}: on hand {}, reserved {}, last movement {} are held; its ledger says {}, {}, {}',
             item_id, location_id, coalesce(CAST(s.on_hand AS VARCHAR), 'nothing'),
             coalesce(CAST(s.reserved AS VARCHAR), 'nothing'), coalesce(CAST(s.last_movement_id AS VARCHAR), 'none'),
             coalesce(m.balance, 0), coalesce(r.reserved, 0), coalesce(CAST(m.last_movement_id AS VARCHAR), 'none'))
         FROM main.stock_level AS s
         FULL JOIN (SELECT item_id, location_id, sum(change) AS balance, max(movement_id) AS last_movement_id
             FROM main.movement GROUP BY item_id, location_id) AS m USING (item_id, location_id)
         FULL JOIN (SELECT item_id, location_id, sum(quantity) AS reserved FROM main.reservation
             GROUP BY item_id, location_id) AS r USING (item_id, location_id)
         WHERE s.on_hand IS DISTINCT FROM coalesce(m.balance, 0) OR s.reserved IS DISTINCT FROM coalesce(r.reserved, 0)
            OR s.last_movement_id IS DISTINCT FROM m.last_movement_id",
    ),
    (
        "one level per item and location",
        "SELECT format('item {} at location {} has {} levels', item_id, location_id, count(*)) FROM main.stock_level
         GROUP BY item_id, location_id HAVING count(*) > 1",
    ),
    (
        "one row per shop order",
        "SELECT format('shop order {} is mirrored {} times', shop_order_id, count(*)) FROM main.shop_mirror
         GROUP BY connection_id, shop_order_id HAVING count(*) > 1",
    ),
    (
        "files belong to orders",
        "SELECT format('file {} is of order {}, which does not exist', sha256, order_no)
         FROM main.file ANTI JOIN main.orders USING (order_no) WHERE order_no IS NOT NULL",
    ),
    (
        "one row per listing",
        "SELECT format('connection {}: listing {} is held {} times', connection_id, external_id, count(*))
         FROM main.listing GROUP BY connection_id, external_id HAVING count(*) > 1",
    ),
];

/// Runs every check of the database. An empty list is good news.
///
/// # Errors
/// What the database says.
pub fn verify(read: &Read<'_>) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for check in CHECKS {
        findings.extend(run(read, check)?);
    }
    Ok(findings)
}

/// Every check, each in a read of its own, so that no long transaction stands in the way of checkpoints; then the files.
pub(super) async fn everything(store: &Store) -> Result<Report, StoreError> {
    let readers = &store.inner.readers;
    let mut findings = Vec::new();
    for check in CHECKS {
        findings.extend(readers.run_within(CHECK_TIME_MAX, move |read| run(read, check)).await?);
    }
    // The folder first, then what is noted as arriving, then the rows: a file is written before its row, and its note
    // goes after that.
    let dir = store.dir().to_owned();
    let (lying, arriving) = blocking(move || Ok((held_files(&dir)?, arriving_files(&dir)?))).await?;
    let rows = readers.run_within(CHECK_TIME_MAX, |read| file_rows(&read.uncapped())).await?;
    let mut figures = readers.run_within(CHECK_TIME_MAX, figures).await?;
    figures.push(("files", super::values::count(lying.len())));
    let dir = store.dir().to_owned();
    findings.extend(blocking(move || Ok(compare_files(&dir, &lying, (&rows, &arriving)))).await?);
    Ok(Report { findings, check_count: CHECKS.len().saturating_add(1), figures })
}

fn run(read: &Read<'_>, (check, sql): &(&'static str, &str)) -> Result<Vec<Finding>, StoreError> {
    let sql = [sql, " LIMIT ", FINDINGS_MAX].concat();
    read.rows(&sql, [], |row| Ok(Finding { check, text: get(row, 0)? }))
}

fn figures(read: &Read<'_>) -> Result<Vec<(&'static str, i64)>, StoreError> {
    let counted = read.first(FIGURES_SQL, [], |row| {
        FIGURE_NAMES.into_iter().enumerate().map(|(column, name)| Ok((name, get(row, column)?))).collect()
    })?;
    Ok(counted.unwrap_or_default())
}

/// Sizes by hash, as the database says.
fn file_rows(read: &Read<'_>) -> Result<BTreeMap<String, i64>, StoreError> {
    let rows = read.rows(FILE_ROWS_SQL, [], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    Ok(rows.into_iter().collect())
}

/// Paths in the data folder by the name of the file.
fn held_files(dir: &Path) -> Result<BTreeMap<String, PathBuf>, StoreError> {
    let paths = files::all(dir).map_err(|error| cannot("look into", dir, &error))?;
    let named = paths
        .into_iter()
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path));
    Ok(named.collect())
}

/// Names of files that may have no row yet.
fn arriving_files(dir: &Path) -> Result<BTreeSet<String>, StoreError> {
    files::arriving(dir).map_err(|error| cannot("look into", dir, &error))
}

fn compare_files(
    dir: &Path,
    lying: &BTreeMap<String, PathBuf>,
    (rows, arriving): (&BTreeMap<String, i64>, &BTreeSet<String>),
) -> Vec<Finding> {
    let mut texts = Vec::new();
    for (name, path) in lying {
        let Some(expected_bytes) = rows.get(name) else {
            if arriving.contains(name) {
                continue;
            }
            texts.push(format!("{} belongs to nothing in the database", path.display()));
            continue;
        };
        match files::fingerprint(&dir.join(path)) {
            Ok((_, sha256)) if sha256 != *name => {
                texts.push(format!("{} is not what it was: its content is {sha256}", path.display()));
            }
            Ok((size, _)) if i64::try_from(size) != Ok(*expected_bytes) => {
                texts.push(format!("{} has {size} bytes, the database says {expected_bytes}", path.display()))
            }
            Ok(_) => {}
            // It may have been erased since the folder was read.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => texts.push(format!("{} cannot be read: {error}", path.display())),
        }
    }
    let missing: Vec<&String> = rows.keys().filter(|name| !lying.contains_key(*name)).collect();
    // A file may have come, with its row, since the folder was read.
    let come = if missing.is_empty() { BTreeMap::new() } else { held_files(dir).unwrap_or_default() };
    for name in missing.into_iter().filter(|name| !come.contains_key(*name)) {
        texts.push(format!(
            "file {name} is in the database and not in {}",
            dir.join(files::FOLDER_NAME).display()
        ));
    }
    texts.into_iter().take(FILE_FINDINGS_MAX).map(|text| Finding { check: FILES_CHECK, text }).collect()
}

#[cfg(test)]
mod tests;

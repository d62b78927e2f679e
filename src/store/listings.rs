//! Listings: sellable variants on the connections. A listing keeps its row when SKU or title change there.

use std::collections::HashMap;

use duckdb::{Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::values::{external_key, get, get_time, get_word, key_list, time};
use super::writer::Tx;
use crate::domain::id::ConnectionId;
use crate::domain::listing::{ListingFacts, ShopVariant};

/// Listings on one page.
const PAGE_ROWS_MAX: u32 = 500;

/// A listing as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingRow {
    /// Its number.
    pub listing_id: i64,
    /// Where it is.
    pub connection: ConnectionId,
    /// What the platform says of it.
    pub facts: ListingFacts,
    /// When it was last listed.
    pub seen_at: Timestamp,
    /// The platform no longer lists it.
    pub is_gone: bool,
}

const COLUMNS: &str =
    "SELECT listing_id, connection_id, external_id, product_id, sku, title, quantity, price_minor, currency,
    fulfilled_by, seen_at, is_gone FROM main.listing";
const MAKE_CHANGES_SQL: &str =
    "CREATE OR REPLACE TEMP TABLE listing_change AS SELECT * FROM main.listing LIMIT 0";
const UPDATE_SQL: &str = "UPDATE main.listing AS l
    SET product_id = c.product_id, sku = c.sku, title = c.title, quantity = c.quantity, price_minor = c.price_minor,
        currency = c.currency, fulfilled_by = c.fulfilled_by, seen_at = c.seen_at, is_gone = false
    FROM temp.listing_change AS c WHERE l.listing_id = c.listing_id";
const GONE_SQL: &str =
    "UPDATE main.listing SET is_gone = true WHERE connection_id = ? AND seen_at < ? AND NOT is_gone";
const VARIANTS_SQL: &str = "SELECT product_id, external_id, sku FROM main.listing
    WHERE connection_id = ? AND NOT is_gone AND sku IS NOT NULL AND product_id IS NOT NULL ORDER BY listing_id";

/// Takes a page of listings in.
///
/// # Errors
/// What the database says.
pub fn upsert(
    tx: &mut Tx<'_>,
    connection: ConnectionId,
    listings: &[ListingFacts],
    now: Timestamp,
) -> Result<(), StoreError> {
    if listings.is_empty() {
        return Ok(());
    }
    let keys = key_list(listings.iter().map(|listing| external_key(connection, &listing.external_id)));
    let sql = "SELECT external_id, listing_id FROM main.listing
        WHERE external_key IN (SELECT unnest(CAST(? AS UBIGINT[]))) AND connection_id = ?";
    let mut held: HashMap<String, i64> = tx
        .rows(sql, params![keys, connection.0], |row| Ok((get(row, 0)?, get(row, 1)?)))?
        .into_iter()
        .collect();
    // A page may list one twice: the last one counts.
    let mut newest: HashMap<&str, &ListingFacts> = HashMap::new();
    for listing in listings {
        newest.insert(&listing.external_id, listing);
    }
    let mut changed = Vec::new();
    let mut new = Vec::new();
    for listing in listings {
        let Some(listing) = newest.remove(listing.external_id.as_str()) else { continue };
        match held.remove(&listing.external_id) {
            Some(id) => changed.push((id, listing)),
            None => new.push((tx.ids.listing(), listing)),
        }
    }
    append(tx, "main", "listing", connection, &new, now)?;
    if changed.is_empty() {
        return Ok(());
    }
    tx.execute(MAKE_CHANGES_SQL, [])?;
    append(tx, "temp", "listing_change", connection, &changed, now)?;
    tx.execute(UPDATE_SQL, [])?;
    tx.execute("DROP TABLE temp.listing_change", [])?;
    Ok(())
}

/// Listings of this connection that were last seen before `seen_before` are gone. Their rows stay for history.
///
/// # Errors
/// What the database says.
pub fn mark_gone(
    tx: &mut Tx<'_>,
    connection: ConnectionId,
    seen_before: Timestamp,
) -> Result<usize, StoreError> {
    tx.execute(GONE_SQL, params![connection.0, time(seen_before)])
}

/// The shop's variants, as an order's lines are linked to them.
///
/// # Errors
/// What the database says.
pub fn shop_variants(read: &Read<'_>, shop: ConnectionId) -> Result<Vec<ShopVariant>, StoreError> {
    read.rows(VARIANTS_SQL, params![shop.0], |row| {
        Ok(ShopVariant { product_id: get(row, 0)?, variant_id: get(row, 1)?, sku: get(row, 2)? })
    })
}

/// A page of listings by number, after the number `after`, of one connection or all, with a text in SKU or title.
///
/// # Errors
/// What the database says.
pub fn page(
    read: &Read<'_>,
    connection: Option<ConnectionId>,
    text: Option<&str>,
    after: Option<i64>,
    limit: u32,
) -> Result<Vec<ListingRow>, StoreError> {
    let sql = format!(
        "{COLUMNS} WHERE NOT is_gone AND listing_id > ? AND connection_id = coalesce(?, connection_id)
         AND contains(lower(coalesce(sku, '') || ' ' || coalesce(title, '')), ?) ORDER BY listing_id LIMIT ?"
    );
    let text = text.unwrap_or_default().trim().to_lowercase();
    let connection = connection.map(|id| id.0);
    read.rows(&sql, params![after.unwrap_or(0), connection, text, limit.min(PAGE_ROWS_MAX)], listing_row)
}

fn append(
    tx: &Tx<'_>,
    catalog: &str,
    table: &str,
    connection: ConnectionId,
    listings: &[(i64, &ListingFacts)],
    now: Timestamp,
) -> Result<(), StoreError> {
    if listings.is_empty() {
        return Ok(());
    }
    let mut appender = match catalog {
        "temp" => tx.connection().appender_to_catalog_and_db(table, "temp", "main")?,
        _ => tx.connection().appender_to_db(table, "main")?,
    };
    for (id, listing) in listings {
        appender.append_row(params![
            id,
            connection.0,
            external_key(connection, &listing.external_id),
            listing.external_id,
            listing.product_id,
            listing.sku,
            listing.title,
            listing.quantity,
            listing.price_minor,
            listing.currency,
            listing.fulfilled_by.as_str(),
            time(now),
            false,
        ])?;
    }
    Ok(appender.flush()?)
}

fn listing_row(row: &Row<'_>) -> Result<ListingRow, StoreError> {
    Ok(ListingRow {
        listing_id: get(row, 0)?,
        connection: ConnectionId(get(row, 1)?),
        facts: ListingFacts {
            external_id: get(row, 2)?,
            product_id: get(row, 3)?,
            sku: get(row, 4)?,
            title: get(row, 5)?,
            quantity: get(row, 6)?,
            price_minor: get(row, 7)?,
            currency: get(row, 8)?,
            fulfilled_by: get_word(row, 9)?,
        },
        seen_at: get_time(row, 10)?,
        is_gone: get(row, 11)?,
    })
}

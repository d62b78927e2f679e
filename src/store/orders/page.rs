//! The order list: newest first by (placed at, number), a page at a time by what comes after the last row.
//!
//! Two steps: the page's numbers from the few columns that filter and sort, then these rows whole. Buyers' names
//! are read for the page's rows only.

use std::collections::HashMap;

use duckdb::types::Value;
use duckdb::{Row, params, params_from_iter};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::domain::customer::People;
use crate::domain::id::{ChannelName, ConnectionId, OrderNo};
use crate::domain::order::{ExportState, FulfilledBy, OrderStatus};
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::error::StoreError;
use crate::store::reader::Read;
use crate::store::values::{
    count, from_json, get, get_time, get_time_or_null, get_word, get_word_or_null, id_list, time,
};

/// A text is looked for in so many days, unless it is looked for in everything.
const SEARCH_WINDOW: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Rows that one page may have.
const PAGE_ROWS_MAX: usize = 500;
/// Rows read beyond a page, since some may share the time of the last one.
const SAME_TIME_SPARE: usize = 16;

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// This status.
    pub status: Option<OrderStatus>,
    /// This export state.
    pub export_state: Option<ExportState>,
    /// Not in the shop, or work on it waits, for this reason.
    pub reason: Option<ReasonCode>,
    /// From this connection.
    pub connection: Option<ConnectionId>,
    /// From this channel.
    pub channel: Option<String>,
    /// With this text in an id, SKU, title, name, e-mail or town; case does not matter.
    pub text: Option<String>,
    /// Look for the text in everything, not in the ninety days before the newest order.
    pub all_time: bool,
    /// Only history, or none.
    pub history: Option<bool>,
    /// Placed on this day in the merchant's zone.
    pub day: Option<Date>,
}

/// A place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderCursor {
    /// The row's time.
    pub placed_at: Timestamp,
    /// The row's number.
    pub order_no: OrderNo,
    /// True for the page of newer orders that ends before this row.
    pub is_before: bool,
}

impl OrderCursor {
    /// As text that needs no escaping in a URL.
    #[must_use]
    pub fn encode(&self) -> String {
        let way = if self.is_before { "b" } else { "a" };
        format!("{way}{:x}-{:x}", self.placed_at.as_microsecond(), self.order_no.0)
    }

    /// Reads what [`OrderCursor::encode`] wrote.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let (is_before, rest) = match text.split_at_checked(1)? {
            ("a", rest) => (false, rest),
            ("b", rest) => (true, rest),
            _ => return None,
        };
        let (at, order_no) = rest.rsplit_once('-')?;
        let placed_at = Timestamp::from_microsecond(i64::from_str_radix(at, 16).ok()?).ok()?;
        Some(Self { placed_at, order_no: OrderNo(i64::from_str_radix(order_no, 16).ok()?), is_before })
    }
}

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Our number.
    pub order_no: OrderNo,
    /// Where it comes from.
    pub connection: ConnectionId,
    /// What the merchant calls that.
    pub alias: String,
    /// The kind of platform.
    pub channel: ChannelName,
    /// The platform's id.
    pub external_id: String,
    /// How far it is.
    pub status: OrderStatus,
    /// Placed before go-live.
    pub is_history: bool,
    /// Whether it is in the shop.
    pub export_state: ExportState,
    /// Why not.
    pub reason: Option<Reason>,
    /// The shop's id of it.
    pub shop_order_id: Option<String>,
    /// When the buyer placed it.
    pub placed_at: Timestamp,
    /// When it arrived here.
    pub imported_at: Timestamp,
    /// ISO 4217 code.
    pub currency: String,
    /// What the buyer paid, in minor units.
    pub total_minor: i64,
    /// What the buyer got back, in minor units: see [`crate::domain::refund::counted`].
    pub refund_minor: i64,
    /// Units, without cancelled ones.
    pub unit_count: i64,
    /// Lines.
    pub line_count: i64,
    /// SKU of the first line.
    pub first_sku: Option<String>,
    /// Title of the first line.
    pub first_title: Option<String>,
    /// The buyer's name, or the recipient's.
    pub buyer_name: Option<String>,
    /// Where it goes.
    pub country: Option<String>,
    /// Latest moment to ship.
    pub ship_by: Option<Timestamp>,
    /// Whether it is paid.
    pub is_paid: bool,
    /// Who ships it.
    pub fulfilled_by: FulfilledBy,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPage {
    /// Newest first.
    pub rows: Vec<OrderRow>,
    /// Older orders, if there are any.
    pub next: Option<OrderCursor>,
    /// Newer orders, if there are any.
    pub previous: Option<OrderCursor>,
}

/// What [`order_row`] reads, of an order `o` and its connection `c`.
pub(super) const ROW_COLUMNS: &str = "o.order_no, o.connection_id, c.alias, o.channel, o.external_id, o.status, o.is_history,
    o.export_state, o.export_reason, o.export_detail, o.shop_order_id, o.placed_at, o.imported_at, o.currency,
    o.total_minor, o.unit_count, o.line_count, o.first_sku, o.first_title, o.country, o.ship_by, o.is_paid, o.person_id,
    o.fulfilled_by, o.refund_minor";
/// How many columns these are.
pub(super) const ROW_COLUMN_COUNT: usize = 25;
const NEWEST_SQL: &str = "SELECT max(placed_at) FROM main.orders";
const WINDOW_START_SQL: &str = "SELECT min(order_no) FROM main.orders WHERE placed_at >= ?";
const NAMES_SQL: &str = "SELECT person_id, people FROM main.person
    WHERE person_id BETWEEN ? AND ? AND person_id IN (SELECT unnest(CAST(? AS BIGINT[]))) AND people IS NOT NULL";

/// A page of orders: the newest, or what `at` names.
///
/// # Errors
/// What the database says.
pub fn page(
    read: &Read<'_>,
    filter: &OrderFilter,
    at: Option<&OrderCursor>,
    limit: usize,
) -> Result<OrderPage, StoreError> {
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let is_before = at.is_some_and(|cursor| cursor.is_before);
    let mut numbers = page_numbers(read, filter, at, limit)?;
    let has_more = numbers.len() > limit;
    numbers.truncate(limit);
    if is_before {
        numbers.reverse();
    }
    let rows = rows_of(read, &numbers)?;
    let cursor = |row: Option<&OrderRow>, is_before| {
        row.map(|row| OrderCursor { placed_at: row.placed_at, order_no: row.order_no, is_before })
    };
    let (has_next, has_previous) = if is_before { (true, has_more) } else { (has_more, at.is_some()) };
    let next = cursor(rows.last(), false).filter(|_| has_next);
    let previous = cursor(rows.first(), true).filter(|_| has_previous);
    Ok(OrderPage { rows, next, previous })
}

/// The page's numbers and one more, where there is one.
fn page_numbers(
    read: &Read<'_>,
    filter: &OrderFilter,
    at: Option<&OrderCursor>,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut sql = "SELECT order_no, placed_at FROM main.orders WHERE true".to_owned();
    let mut values = Vec::new();
    restrict(read, filter, &mut sql, &mut values)?;
    let is_before = at.is_some_and(|cursor| cursor.is_before);
    if let Some(cursor) = at {
        // The first condition is what lets whole row groups be skipped.
        sql.push_str(if is_before {
            " AND placed_at >= ? AND (placed_at > ? OR order_no > ?)"
        } else {
            " AND placed_at <= ? AND (placed_at < ? OR order_no < ?)"
        });
        values.extend([time(cursor.placed_at), time(cursor.placed_at), Value::BigInt(cursor.order_no.0)]);
    }
    let wanted = limit.saturating_add(1);
    let ordered = |by: &str, limit: usize| {
        let sql = format!("{sql} ORDER BY {by} LIMIT ?");
        let values = values.iter().cloned().chain([Value::BigInt(count(limit))]);
        read.rows(&sql, params_from_iter(values), |row| Ok((get_time(row, 1)?, get::<i64>(row, 0)?)))
    };
    // By one column the database skips what cannot be among the first; by two it sorts three times as long. So the
    // order of rows with the same time is ours, unless so many share one that the page may not be whole.
    let by_time = wanted.saturating_add(SAME_TIME_SPARE);
    let mut found = ordered(if is_before { "placed_at" } else { "placed_at DESC" }, by_time)?;
    if let Some((last, _)) = found.last().copied().filter(|_| found.len() == by_time) {
        found.retain(|(placed_at, _)| *placed_at != last);
        if found.len() < wanted {
            let by = if is_before { "placed_at, order_no" } else { "placed_at DESC, order_no DESC" };
            found = ordered(by, wanted)?;
        }
    }
    found.sort_unstable();
    if !is_before {
        found.reverse();
    }
    Ok(found.into_iter().take(wanted).map(|(_, order_no)| order_no).collect())
}

fn restrict(
    read: &Read<'_>,
    filter: &OrderFilter,
    sql: &mut String,
    values: &mut Vec<Value>,
) -> Result<(), StoreError> {
    let mut equals = |condition: &str, value: Value| {
        sql.push_str(condition);
        values.push(value);
    };
    let word = |word: &str| Value::Text(word.to_owned());
    if let Some(status) = filter.status {
        equals(" AND status = ?", word(status.as_str()));
    }
    if let Some(state) = filter.export_state {
        equals(" AND export_state = ?", word(state.as_str()));
    }
    if let Some(reason) = filter.reason {
        equals(" AND (export_reason = ?", word(reason.as_str()));
        let owed = " OR order_no IN (SELECT order_no FROM main.effect_open WHERE reason = ?))";
        equals(owed, word(reason.as_str()));
    }
    if let Some(connection) = filter.connection {
        equals(" AND connection_id = ?", Value::BigInt(connection.0));
    }
    if let Some(channel) = &filter.channel {
        equals(" AND channel = ?", word(channel));
    }
    if let Some(is_history) = filter.history {
        equals(" AND is_history = ?", Value::Boolean(is_history));
    }
    if let Some(day) = filter.day {
        equals(" AND placed_day = CAST(? AS DATE)", word(&day.to_string()));
    }
    match filter.text.as_deref().map(str::trim) {
        Some(text) if !text.is_empty() => search(read, text, filter.all_time, sql, values),
        _ => Ok(()),
    }
}

/// Orders with the text, from the two narrow texts that are kept lower-cased for it.
fn search(
    read: &Read<'_>,
    text: &str,
    is_all_time: bool,
    sql: &mut String,
    values: &mut Vec<Value>,
) -> Result<(), StoreError> {
    let text = Value::Text(text.to_lowercase());
    if is_all_time {
        sql.push_str(
            " AND order_no IN (SELECT order_no FROM main.order_search WHERE contains(search, ?)
              UNION ALL SELECT order_no FROM main.person WHERE contains(search, ?) AND order_no IS NOT NULL)",
        );
        values.extend([text.clone(), text]);
        return Ok(());
    }
    let newest = read.first(NEWEST_SQL, [], |row| get_time_or_null(row, 0))?.flatten();
    let Some(start) = newest.and_then(|newest| newest.checked_sub(SEARCH_WINDOW).ok()) else { return Ok(()) };
    let first: Option<i64> = read.first(WINDOW_START_SQL, params![time(start)], |row| get(row, 0))?.flatten();
    sql.push_str(
        " AND placed_at >= ? AND order_no IN (
          SELECT order_no FROM main.order_search WHERE placed_at >= ? AND contains(search, ?)
          UNION ALL SELECT order_no FROM main.person WHERE order_no >= ? AND contains(search, ?))",
    );
    let first = Value::BigInt(first.unwrap_or_default());
    values.extend([time(start), time(start), text.clone(), first, text]);
    Ok(())
}

/// These orders' rows, in the order of `numbers`.
pub(super) fn rows_of(read: &Read<'_>, numbers: &[i64]) -> Result<Vec<OrderRow>, StoreError> {
    let (Some(first), Some(last)) = (numbers.iter().min(), numbers.iter().max()) else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {ROW_COLUMNS} FROM main.orders AS o LEFT JOIN main.connection AS c ON c.connection_id = o.connection_id
        WHERE o.order_no BETWEEN ? AND ? AND o.order_no IN (SELECT unnest(CAST(? AS BIGINT[])))"
    );
    let found = read.rows(&sql, params![first, last, id_list(numbers.iter().copied())], order_row)?;
    let names = buyer_names(read, found.iter().filter_map(|(_, person)| *person))?;
    let mut by_number: HashMap<i64, OrderRow> = HashMap::with_capacity(found.len());
    for (mut row, person) in found {
        row.buyer_name = person.and_then(|person| names.get(&person).cloned());
        by_number.insert(row.order_no.0, row);
    }
    Ok(numbers.iter().filter_map(|number| by_number.remove(number)).collect())
}

fn buyer_names(
    read: &Read<'_>,
    people: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, String>, StoreError> {
    let people: Vec<i64> = people.collect();
    let (Some(first), Some(last)) = (people.iter().min().copied(), people.iter().max().copied()) else {
        return Ok(HashMap::new());
    };
    let found = read.rows(NAMES_SQL, params![first, last, id_list(people)], |row| {
        let people: People = from_json(&get::<String>(row, 1)?)?;
        Ok((get::<i64>(row, 0)?, buyer_name(people)))
    })?;
    Ok(found.into_iter().filter_map(|(id, name)| Some((id, name?))).collect())
}

/// The buyer's name, or the recipient's.
pub(super) fn buyer_name(people: People) -> Option<String> {
    people.buyer.name.or_else(|| people.ship_to.and_then(|address| address.name))
}

/// The row, and whose it is.
pub(super) fn order_row(row: &Row<'_>) -> Result<(OrderRow, Option<i64>), StoreError> {
    let detail: Option<String> = get(row, 9)?;
    let reason = get_word_or_null(row, 8)?.map(|code| Reason { code, detail });
    let order = OrderRow {
        order_no: OrderNo(get(row, 0)?),
        connection: ConnectionId(get(row, 1)?),
        alias: get::<Option<String>>(row, 2)?.unwrap_or_default(),
        channel: ChannelName(get(row, 3)?),
        external_id: get(row, 4)?,
        status: get_word(row, 5)?,
        is_history: get(row, 6)?,
        export_state: get_word(row, 7)?,
        reason,
        shop_order_id: get(row, 10)?,
        placed_at: get_time(row, 11)?,
        imported_at: get_time(row, 12)?,
        currency: get(row, 13)?,
        total_minor: get(row, 14)?,
        refund_minor: get(row, 24)?,
        unit_count: get(row, 15)?,
        line_count: get(row, 16)?,
        first_sku: get(row, 17)?,
        first_title: get(row, 18)?,
        buyer_name: None,
        country: get(row, 19)?,
        ship_by: get_time_or_null(row, 20)?,
        is_paid: get(row, 21)?,
        fulfilled_by: get_word(row, 23)?,
    };
    Ok((order, get(row, 22)?))
}

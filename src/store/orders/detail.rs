//! One order with everything that is known of it, and the payloads it came from.

use std::collections::HashMap;

use duckdb::types::Value;
use duckdb::{Row, params};
use jiff::Timestamp;
use rust_decimal::Decimal;

use super::page::{OrderRow, ROW_COLUMN_COUNT, ROW_COLUMNS, buyer_name, order_row, rows_of};
use crate::domain::customer::People;
use crate::domain::effect::Effect;
use crate::domain::id::{ConnectionId, OrderNo, PayloadId};
use crate::domain::money::Currency;
use crate::domain::order::{Amount, LineFacts, OrderFacts, Origin};
use crate::domain::person;
use crate::domain::plan::HeldOrder;
use crate::domain::refund::HeldMarketplaceRefund;
use crate::store::connections;
use crate::store::effects;
use crate::store::entered_addresses;
use crate::store::error::StoreError;
use crate::store::events::{self, EventRow};
use crate::store::files::{self, FileRow};
use crate::store::incidents::{self, Incident};
use crate::store::marketplace_refunds;
use crate::store::reader::Read;
use crate::store::refunds::{self, RefundRow};
use crate::store::shipments::{self, ShipmentRow};
use crate::store::values::{
    external_key, from_json, get, get_time, get_time_or_null, get_word, get_word_or_null, key_list, time,
};

/// Payloads of one order that are shown.
const PAYLOADS_MAX: i64 = 50;

/// A payload as received, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRow {
    /// Its number.
    pub payload_id: PayloadId,
    /// What it is.
    pub kind: String,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// An order with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderDetail {
    /// As in the list.
    pub row: OrderRow,
    /// People, where they are still kept.
    pub people: Option<People>,
    /// Who entered the delivery address, and when; none where the platform gave it.
    pub address_entered: Option<(String, Timestamp)>,
    /// Positions.
    pub lines: Vec<LineFacts>,
    /// What the total is made of.
    pub amounts: Vec<Amount>,
    /// Parcels.
    pub shipments: Vec<ShipmentRow>,
    /// Refunds that were made in the shop.
    pub refunds: Vec<RefundRow>,
    /// Refunds that went through on the marketplace, where it tells of them.
    pub marketplace_refunds: Vec<HeldMarketplaceRefund>,
    /// What happened, newest last.
    pub events: Vec<EventRow>,
    /// Work owed.
    pub effects: Vec<Effect>,
    /// What went wrong in the world and nobody has closed, newest first.
    pub incidents: Vec<Incident>,
    /// What was received, newest first.
    pub payloads: Vec<PayloadRow>,
    /// What lies beside it, such as a buyer's design.
    pub files: Vec<FileRow>,
    /// The shop it was created in, if it was.
    pub shop_connection: Option<ConnectionId>,
    /// The shop's id of its address on the shop order.
    pub shop_address_id: Option<String>,
    /// The address of an order's page in that shop, with `{id}` in it.
    pub shop_order_page: Option<String>,
    /// When it was created in the shop.
    pub created_in_shop_at: Option<Timestamp>,
    /// How many times its facts changed, and one.
    pub facts_version: i64,
    /// A person asked for its export.
    pub is_picked: bool,
    /// The platform's own word for the status.
    pub platform_status: String,
    /// When the platform last changed it.
    pub platform_updated_at: Timestamp,
    /// As the buyer chose it.
    pub shipping_method: Option<String>,
    /// How it was paid.
    pub payment_method: Option<String>,
    /// The platform's site within the connection.
    pub site: Option<String>,
    /// Latest moment to ship.
    pub ship_by: Option<Timestamp>,
    /// Latest moment of delivery.
    pub deliver_by: Option<Timestamp>,
    /// How manieth order of this buyer it is.
    pub buyer_order_number: Option<i64>,
    /// The buyer's order before it.
    pub previous_order_no: Option<OrderNo>,
}

/// Read after [`ROW_COLUMNS`], of an order `o` and the shop `s` that it is in.
const MORE_COLUMNS: &str = "o.shop_connection_id, o.shop_address_id, s.order_page, o.created_in_shop_at, o.facts_version,
    o.is_picked, o.platform_status, o.platform_updated_at, o.shipping_method, o.payment_method, o.site, o.deliver_by,
    o.buyer_order_number, o.previous_order_no";
const FACTS_SQL: &str = "SELECT external_id, placed_at, platform_updated_at, status, is_paid, fulfilled_by, currency,
        total_minor, shipping_method, payment_method, site, ship_by, deliver_by, platform_status, connection_id,
        is_history, export_state, export_reason, is_picked, person_id, order_no, facts_version
    FROM main.orders
    WHERE {order_no}";
const OPEN_SQL: &str = "SELECT order_no, external_id FROM main.orders
    WHERE connection_id = ? AND status IN ('pending', 'open', 'part_shipped')
        AND (placed_at < ? AND (NOT is_history OR is_picked) OR placed_at < ?)
    ORDER BY order_no <= ?, order_no LIMIT ?";
const LINES_SQL: &str =
    "SELECT external_id, sku, product_id, title, quantity, quantity_shipped, quantity_cancelled,
        unit_price, options, order_no
    FROM main.order_line
    WHERE {order_no} ORDER BY order_no, line_no";
const AMOUNTS_SQL: &str = "SELECT line_no, kind, minor, order_no FROM main.order_amount
    WHERE {order_no}
    ORDER BY order_no, line_no NULLS LAST, kind, minor";
const PEOPLE_SQL: &str = "SELECT people, person_id FROM main.person
    WHERE {person_id}
        AND people IS NOT NULL AND erased_at IS NULL";
const PAYLOADS_SQL: &str = "SELECT payload_id, kind, received_at FROM raw.payload
    WHERE order_no = ? ORDER BY payload_id DESC LIMIT ?";
const PAYLOAD_SQL: &str = "SELECT p.payload, h.cuts, h.erased_at FROM raw.payload AS p
    LEFT JOIN main.person AS h ON h.person_id = p.person_id AND h.person_id = (SELECT person_id FROM raw.payload WHERE payload_id = ?)
    WHERE p.payload_id = ?";
const FIND_SQL: &str =
    "SELECT order_no FROM main.orders WHERE external_key = ? AND connection_id = ? AND external_id = ?";
const FIND_EVERYWHERE_SQL: &str = "SELECT external_id, order_no FROM main.orders
    WHERE external_key IN (SELECT unnest(CAST(? AS UBIGINT[]))) ORDER BY order_no";
const SHOP_LINES_SQL: &str = "SELECT external_line_id, shop_line_id FROM main.shop_line WHERE order_no = ?
    ORDER BY external_line_id, shop_line_id";

/// An order with everything, if we hold it.
///
/// # Errors
/// What the database says.
pub fn detail(read: &Read<'_>, order_no: OrderNo) -> Result<Option<OrderDetail>, StoreError> {
    let sql = format!(
        "SELECT {ROW_COLUMNS}, {MORE_COLUMNS} FROM main.orders AS o
        LEFT JOIN main.connection AS c ON c.connection_id = o.connection_id
        LEFT JOIN main.connection AS s ON s.connection_id = o.shop_connection_id
        WHERE o.order_no = ?"
    );
    let found = read.first(&sql, params![order_no.0], |row| {
        let (order, person_id) = order_row(row)?;
        Ok((more_of(order, row)?, person_id))
    })?;
    let Some((mut detail, person_id)) = found else { return Ok(None) };
    detail.people = people(read, person_id.into_iter())?.into_values().next();
    if entered_addresses::is_needed(detail.people.as_ref())
        && let Some(entered) = entered_addresses::of_orders(read, [order_no])?.remove(&order_no)
    {
        detail.people.get_or_insert_default().ship_to = Some(entered.address.clone());
        detail.address_entered = Some((entered.by, entered.at));
    }
    detail.row.buyer_name = detail.people.clone().and_then(buyer_name);
    detail.lines = lines(read, &[order_no.0])?.remove(&order_no).unwrap_or_default();
    detail.amounts = amounts(read, &[order_no.0])?.remove(&order_no).unwrap_or_default();
    detail.shipments = shipments::of_order(read, order_no)?;
    detail.refunds = refunds::of_order(read, order_no)?;
    let given_back = marketplace_refunds::of_orders(read, &[order_no.0])?.remove(&order_no.0);
    detail.marketplace_refunds = given_back.unwrap_or_default();
    detail.events = events::of_order(read, order_no)?;
    detail.effects = effects::of_orders(read, &[order_no.0])?;
    detail.incidents = incidents::of_order(read, order_no)?;
    detail.files = files::of_order(read, order_no)?;
    detail.payloads = read.rows(PAYLOADS_SQL, params![order_no.0, PAYLOADS_MAX], |row| {
        Ok(PayloadRow {
            payload_id: PayloadId(get(row, 0)?),
            kind: get(row, 1)?,
            received_at: get_time(row, 2)?,
        })
    })?;
    Ok(Some(detail))
}

/// What an order in a list is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderParts {
    /// Positions.
    pub lines: Vec<LineFacts>,
    /// What the total is made of.
    pub amounts: Vec<Amount>,
    /// Parcels.
    pub shipments: Vec<ShipmentRow>,
    /// Refunds that were made in the shop.
    pub refunds: Vec<RefundRow>,
    /// Refunds that went through on the marketplace, where it tells of them.
    pub marketplace_refunds: Vec<HeldMarketplaceRefund>,
}

/// The parts of some orders, in as many statements as of one.
///
/// # Errors
/// What the database says.
pub fn parts(read: &Read<'_>, orders: &[OrderNo]) -> Result<HashMap<OrderNo, OrderParts>, StoreError> {
    let numbers: Vec<i64> = orders.iter().map(|order_no| order_no.0).collect();
    let mut parts: HashMap<OrderNo, OrderParts> = HashMap::with_capacity(orders.len());
    for (order_no, lines) in lines(read, &numbers)? {
        parts.entry(order_no).or_default().lines = lines;
    }
    for (order_no, amounts) in amounts(read, &numbers)? {
        parts.entry(order_no).or_default().amounts = amounts;
    }
    for (order_no, shipment) in shipments::of_orders(read, &numbers)? {
        parts.entry(OrderNo(order_no)).or_default().shipments.push(shipment);
    }
    for (order_no, refund) in refunds::of_orders(read, &numbers)? {
        parts.entry(OrderNo(order_no)).or_default().refunds.push(refund);
    }
    for (order_no, given_back) in marketplace_refunds::of_orders(read, &numbers)? {
        parts.entry(OrderNo(order_no)).or_default().marketplace_refunds = given_back;
    }
    Ok(parts)
}

/// One order as in the list, if we hold it.
///
/// # Errors
/// What the database says.
pub fn row(read: &Read<'_>, order_no: OrderNo) -> Result<Option<OrderRow>, StoreError> {
    Ok(rows_of(read, &[order_no.0])?.pop())
}

fn more_of(row: OrderRow, more: &Row<'_>) -> Result<OrderDetail, StoreError> {
    let at = |column: usize| ROW_COLUMN_COUNT + column;
    let ship_by = row.ship_by;
    Ok(OrderDetail {
        row,
        people: None,
        address_entered: None,
        lines: Vec::new(),
        amounts: Vec::new(),
        shipments: Vec::new(),
        refunds: Vec::new(),
        marketplace_refunds: Vec::new(),
        events: Vec::new(),
        effects: Vec::new(),
        incidents: Vec::new(),
        payloads: Vec::new(),
        files: Vec::new(),
        shop_connection: get::<Option<i64>>(more, at(0))?.map(ConnectionId),
        shop_address_id: get(more, at(1))?,
        shop_order_page: get(more, at(2))?,
        created_in_shop_at: get_time_or_null(more, at(3))?,
        facts_version: get(more, at(4))?,
        is_picked: get(more, at(5))?,
        platform_status: get(more, at(6))?,
        platform_updated_at: get_time(more, at(7))?,
        shipping_method: get(more, at(8))?,
        payment_method: get(more, at(9))?,
        site: get(more, at(10))?,
        ship_by,
        deliver_by: get_time_or_null(more, at(11))?,
        buyer_order_number: get(more, at(12))?,
        previous_order_no: get::<Option<i64>>(more, at(13))?.map(OrderNo),
    })
}

/// A payload's JSON: with its person data put back, or with markers in their places. `None` where we do not hold
/// it, or its person data was erased and is asked for.
///
/// # Errors
/// What the database says, or that a part is missing.
pub fn payload(read: &Read<'_>, id: PayloadId, with_person: bool) -> Result<Option<String>, StoreError> {
    let found = read.first(PAYLOAD_SQL, params![id.0, id.0], |row| {
        Ok((get::<String>(row, 0)?, get::<Option<String>>(row, 1)?, get_time_or_null(row, 2)?))
    })?;
    match found {
        None => Ok(None),
        Some((payload, _, _)) if !with_person => Ok(Some(payload)),
        Some((_, _, Some(_))) => Ok(None),
        Some((payload, None, None)) => Ok(Some(payload)),
        Some((payload, Some(cuts), None)) => {
            let cuts: Vec<String> = from_json(&cuts)?;
            person::restore(&payload, &cuts).map(Some).map_err(|error| StoreError::Invalid(error.to_string()))
        }
    }
}

/// The payload that an order's facts come from, with its person data; `None` where that was erased.
///
/// # Errors
/// What the database says, or that a part is missing.
pub fn believed_payload(read: &Read<'_>, order_no: OrderNo) -> Result<Option<String>, StoreError> {
    let sql = "SELECT payload_id FROM main.orders WHERE order_no = ?";
    match read.first(sql, params![order_no.0], |row| Ok(PayloadId(get(row, 0)?)))? {
        Some(id) => payload(read, id, true),
        None => Ok(None),
    }
}

/// An order's facts as last believed, what decisions need, and its connection. Parcels are not among the facts.
pub type HeldFacts = (OrderFacts, HeldOrder, ConnectionId);

/// One order's [`HeldFacts`].
///
/// # Errors
/// What the database says.
pub fn facts(read: &Read<'_>, order_no: OrderNo) -> Result<Option<HeldFacts>, StoreError> {
    Ok(facts_of(read, &[order_no])?.remove(&order_no))
}

/// The [`HeldFacts`] of some orders, in as many statements as of one.
///
/// # Errors
/// What the database says.
pub fn facts_of(read: &Read<'_>, orders: &[OrderNo]) -> Result<HashMap<OrderNo, HeldFacts>, StoreError> {
    let found = read.of_ids(("order_no", FACTS_SQL), orders.iter().map(|order| order.0), facts_row)?;
    let people = people(read, found.iter().filter_map(|(_, person_id)| *person_id))?;
    let numbers: Vec<i64> = found.iter().map(|((_, held, _), _)| held.order_no.0).collect();
    let mut lines = lines(read, &numbers)?;
    let mut amounts = amounts(read, &numbers)?;
    let whole = |((mut facts, held, connection), person_id): (HeldFacts, Option<i64>)| {
        facts.lines = lines.remove(&held.order_no).unwrap_or_default();
        facts.amounts = amounts.remove(&held.order_no).unwrap_or_default();
        facts.people = person_id.and_then(|person_id| people.get(&person_id).cloned());
        (held.order_no, (facts, held, connection))
    };
    let mut all: HashMap<OrderNo, HeldFacts> = found.into_iter().map(whole).collect();
    let needy = all.iter().filter(|(_, (facts, ..))| entered_addresses::is_needed(facts.people.as_ref()));
    for (order_no, entered) in entered_addresses::of_orders(read, needy.map(|(order_no, _)| *order_no))? {
        if let Some((facts, ..)) = all.get_mut(&order_no) {
            facts.people.get_or_insert_default().ship_to = Some(entered.address);
        }
    }
    Ok(all)
}

/// The order without its lines, amounts and people, and whose it is.
fn facts_row(row: &Row<'_>) -> Result<(HeldFacts, Option<i64>), StoreError> {
    let facts = OrderFacts {
        external_id: get(row, 0)?,
        placed_at: get_time(row, 1)?,
        updated_at: get_time(row, 2)?,
        status: get_word(row, 3)?,
        is_paid: get(row, 4)?,
        fulfilled_by: get_word(row, 5)?,
        currency: get_word::<Currency>(row, 6)?,
        total_minor: get(row, 7)?,
        lines: Vec::new(),
        amounts: Vec::new(),
        shipments: None,
        people: None,
        shipping_method: get(row, 8)?,
        payment_method: get(row, 9)?,
        site: get(row, 10)?,
        ship_by: get_time_or_null(row, 11)?,
        deliver_by: get_time_or_null(row, 12)?,
        origin: Origin::default(),
        platform_status: get(row, 13)?,
        cancel_request: None,
        customised_lines: Vec::new(),
        refunds: None,
    };
    let held = HeldOrder {
        order_no: OrderNo(get(row, 20)?),
        status: facts.status,
        updated_at: facts.updated_at,
        facts_version: get(row, 21)?,
        is_paid: facts.is_paid,
        is_history: get(row, 15)?,
        export_state: get_word(row, 16)?,
        export_reason: get_word_or_null(row, 17)?,
        is_picked: get(row, 18)?,
    };
    Ok(((facts, held, ConnectionId(get(row, 14)?)), get(row, 19)?))
}

/// Our number of a platform's order, if we hold it.
///
/// # Errors
/// What the database says.
pub fn find(
    read: &Read<'_>,
    connection: ConnectionId,
    external_id: &str,
) -> Result<Option<OrderNo>, StoreError> {
    let key = external_key(connection, external_id);
    read.first(FIND_SQL, params![key, connection.0, external_id], |row| Ok(OrderNo(get(row, 0)?)))
}

/// Orders of a connection that were placed before a time and are neither shipped nor cancelled, as (our number, the
/// platform's id): those after `last` first, then from the beginning. History is among them only where it was picked, or
/// placed before `since`: few such orders are held, those that changed or that somebody looked up.
///
/// # Errors
/// What the database says.
pub fn open_placed_before(
    read: &Read<'_>,
    connection: ConnectionId,
    until: Timestamp,
    since: Option<Timestamp>,
    last: OrderNo,
    limit: u32,
) -> Result<Vec<(OrderNo, String)>, StoreError> {
    let since = since.unwrap_or(Timestamp::UNIX_EPOCH);
    read.rows(OPEN_SQL, params![connection.0, time(until), time(since), last.0, limit], |row| {
        Ok((OrderNo(get(row, 0)?), get(row, 1)?))
    })
}

/// Our numbers of orders by the platforms' ids, on every connection, with one scan.
///
/// # Errors
/// What the database says.
pub fn find_everywhere(
    read: &Read<'_>,
    external_ids: &[&str],
) -> Result<HashMap<String, Vec<OrderNo>>, StoreError> {
    let all = connections::all(read)?;
    let keys =
        external_ids.iter().flat_map(|id| all.iter().map(|connection| external_key(connection.id, id)));
    let found = read.rows(FIND_EVERYWHERE_SQL, params![key_list(keys)], |row| {
        Ok((get::<String>(row, 0)?, OrderNo(get(row, 1)?)))
    })?;
    let mut known: HashMap<String, Vec<OrderNo>> = HashMap::new();
    // Two ids can share a key: the text decides.
    for (id, order_no) in found.into_iter().filter(|(id, _)| external_ids.contains(&id.as_str())) {
        known.entry(id).or_default().push(order_no);
    }
    Ok(known)
}

/// The shop's id of an order; `None` where it is not there.
///
/// # Errors
/// What the database says.
pub fn shop_order_id(read: &Read<'_>, order_no: OrderNo) -> Result<Option<String>, StoreError> {
    let sql = "SELECT shop_order_id FROM main.orders WHERE order_no = ?";
    Ok(read.first(sql, params![order_no.0], |row| get::<Option<String>>(row, 0))?.flatten())
}

/// Since when an order is in the shop, by our clock; none where it is not.
///
/// # Errors
/// What the database says.
pub fn in_shop_since(read: &Read<'_>, order_no: OrderNo) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT created_in_shop_at FROM main.orders WHERE order_no = ?";
    Ok(read.first(sql, params![order_no.0], |row| get_time_or_null(row, 0))?.flatten())
}

/// What is known of an order's lines in the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShopLines {
    /// Which of the shop's lines stands for which of the marketplace's: (marketplace's, shop's).
    pub lines: Vec<(String, String)>,
    /// The shop's id of the delivery address.
    pub address_id: Option<String>,
}

/// What is known of an order's lines in the shop; empty until they were read.
///
/// # Errors
/// What the database says.
pub fn shop_lines(read: &Read<'_>, order_no: OrderNo) -> Result<ShopLines, StoreError> {
    let lines = read.rows(SHOP_LINES_SQL, params![order_no.0], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    let sql = "SELECT shop_address_id FROM main.orders WHERE order_no = ?";
    let address_id = read.first(sql, params![order_no.0], |row| get::<Option<String>>(row, 0))?.flatten();
    Ok(ShopLines { lines, address_id })
}

/// People by the number of their row, where they are still kept.
pub(super) fn people(
    read: &Read<'_>,
    people: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, People>, StoreError> {
    let found = read.of_ids(("person_id", PEOPLE_SQL), people, |row| {
        Ok((get::<i64>(row, 1)?, from_json::<People>(&get::<String>(row, 0)?)?))
    })?;
    Ok(found.into_iter().collect())
}

/// Positions by order.
pub(super) fn lines(read: &Read<'_>, orders: &[i64]) -> Result<HashMap<OrderNo, Vec<LineFacts>>, StoreError> {
    let found = read.of_ids(("order_no", LINES_SQL), orders.iter().copied(), |row| {
        let line = LineFacts {
            external_id: get(row, 0)?,
            sku: get(row, 1)?,
            product_id: get(row, 2)?,
            title: get(row, 3)?,
            quantity: get(row, 4)?,
            quantity_shipped: get(row, 5)?,
            quantity_cancelled: get(row, 6)?,
            unit_price: price(row, 7)?,
            options: get(row, 8)?,
        };
        Ok((OrderNo(get(row, 9)?), line))
    })?;
    Ok(by_order(found))
}

fn by_order<T>(found: Vec<(OrderNo, T)>) -> HashMap<OrderNo, Vec<T>> {
    let mut grouped: HashMap<OrderNo, Vec<T>> = HashMap::new();
    for (order_no, one) in found {
        grouped.entry(order_no).or_default().push(one);
    }
    grouped
}

fn price(row: &Row<'_>, column: usize) -> Result<Option<Decimal>, StoreError> {
    match get::<Value>(row, column)? {
        Value::Decimal(price) => {
            Ok(Decimal::try_from_i128_with_scale(price.value(), u32::from(price.scale()))
                .ok()
                .map(|price| price.normalize()))
        }
        _ => Ok(None),
    }
}

fn amounts(read: &Read<'_>, orders: &[i64]) -> Result<HashMap<OrderNo, Vec<Amount>>, StoreError> {
    let found = read.of_ids(("order_no", AMOUNTS_SQL), orders.iter().copied(), |row| {
        let line = get::<Option<i32>>(row, 0)?.and_then(|line| usize::try_from(line).ok());
        Ok((OrderNo(get(row, 3)?), Amount { line, kind: get_word(row, 1)?, minor: get(row, 2)? }))
    })?;
    Ok(by_order(found))
}

//! An order's rows as they are written: what is stamped on write is worked out here, and the Appender is fed here.

use duckdb::types::Value;
use duckdb::{Appender, Connection, params};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::item::{Columns, ImportItem};
use crate::domain::id::ConnectionId;
use crate::domain::money::{allocate, sum};
use crate::domain::order::{AmountKind, OrderFacts};
use crate::store::error::StoreError;
use crate::store::values::{self, count, external_key, time, time_or_null};

/// What is marked on an order beside its facts. The import owns some of it; the rest is carried along unchanged.
#[derive(Debug, Clone)]
pub(super) struct OrderMarks {
    pub(super) order_no: i64,
    pub(super) external_key: u64,
    pub(super) is_history: bool,
    pub(super) is_picked: bool,
    pub(super) export_state: &'static str,
    pub(super) export_reason: Option<&'static str>,
    pub(super) export_detail: Option<String>,
    pub(super) facts_version: i64,
    pub(super) country: Option<String>,
    pub(super) region: Option<String>,
    pub(super) buyer_key: Option<u64>,
    pub(super) buyer_order_number: Option<i64>,
    pub(super) previous_order_no: Option<i64>,
    pub(super) person_id: Option<i64>,
    pub(super) payload_id: i64,
    pub(super) payload_hash: u64,
}

/// Who writes, when, and in which zone days are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowContext<'a> {
    pub(super) connection: ConnectionId,
    pub(super) channel: &'a str,
    pub(super) zone: &'a TimeZone,
    pub(super) zone_name: &'a str,
    pub(super) now: Timestamp,
}

/// Sums over an order or one line, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    item: i64,
    tax: i64,
    discount: i64,
    shipping: i64,
    fee: i64,
}

impl Sums {
    fn add(&mut self, kind: AmountKind, minor: i64) -> Result<(), StoreError> {
        let place = match kind {
            AmountKind::Item => &mut self.item,
            AmountKind::ItemTax | AmountKind::ShippingTax | AmountKind::GiftWrapTax => &mut self.tax,
            AmountKind::Shipping => &mut self.shipping,
            AmountKind::SellerDiscount | AmountKind::PlatformDiscount | AmountKind::ShippingDiscount => {
                &mut self.discount
            }
            AmountKind::Fee => &mut self.fee,
            AmountKind::GiftWrap | AmountKind::Other | AmountKind::WithheldTax => return Ok(()),
        };
        *place = place.checked_add(minor).ok_or_else(too_large)?;
        Ok(())
    }
}

/// The order's sums, and each line's with its share of what is the whole order's, by the lines' value.
pub(super) fn sums(facts: &OrderFacts) -> Result<(Sums, Vec<Sums>), StoreError> {
    let mut whole = Sums::default();
    let mut unassigned = Sums::default();
    let mut lines = vec![Sums::default(); facts.lines.len()];
    for amount in &facts.amounts {
        whole.add(amount.kind, amount.minor)?;
        match amount.line.and_then(|line| lines.get_mut(line)) {
            Some(line) => line.add(amount.kind, amount.minor)?,
            None => unassigned.add(amount.kind, amount.minor)?,
        }
    }
    if unassigned != Sums::default() && !lines.is_empty() {
        let weights: Vec<i64> = lines.iter().map(|line| line.item.max(0)).collect();
        share(&mut lines, &weights, unassigned.item, |line| &mut line.item)?;
        share(&mut lines, &weights, unassigned.tax, |line| &mut line.tax)?;
        share(&mut lines, &weights, unassigned.discount, |line| &mut line.discount)?;
        share(&mut lines, &weights, unassigned.shipping, |line| &mut line.shipping)?;
        share(&mut lines, &weights, unassigned.fee, |line| &mut line.fee)?;
    }
    Ok((whole, lines))
}

fn share(
    lines: &mut [Sums],
    weights: &[i64],
    total: i64,
    place: impl Fn(&mut Sums) -> &mut i64,
) -> Result<(), StoreError> {
    if total == 0 {
        return Ok(());
    }
    let parts = allocate(total, weights).map_err(|error| StoreError::Invalid(error.to_string()))?;
    for (line, part) in lines.iter_mut().zip(parts) {
        let place = place(line);
        *place = place.checked_add(part).ok_or_else(too_large)?;
    }
    Ok(())
}

fn too_large() -> StoreError {
    StoreError::Invalid("An order's amounts are too large to add up.".to_owned())
}

/// Days since 1970 and hour of `at` in the merchant's zone.
fn day_and_hour(at: Timestamp, zone: &TimeZone) -> (i32, i8) {
    let local = zone.to_datetime(at);
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    let days = local.date().since(epoch).map(|span| span.get_days()).unwrap_or_default();
    (days, local.hour())
}

/// What the search box finds an order by, apart from people.
pub(super) fn search_text(facts: &OrderFacts) -> String {
    let mut text = facts.external_id.to_lowercase();
    for line in &facts.lines {
        for part in
            [line.sku.as_deref(), line.product_id.as_deref(), Some(line.title.as_str())].into_iter().flatten()
        {
            text.push('\n');
            text.push_str(&part.to_lowercase());
        }
    }
    text
}

/// Appends an order's row to a table of the shape of `main.orders`.
pub(super) fn append_order(
    appender: &mut Appender<'_>,
    context: &RowContext<'_>,
    facts: &OrderFacts,
    columns: &Columns,
    marks: &OrderMarks,
) -> Result<(), StoreError> {
    let whole = columns.whole;
    let (day, hour) = day_and_hour(facts.placed_at, context.zone);
    let net = sum([facts.total_minor, whole.tax.saturating_neg()]).map_err(|_| too_large())?;
    let first = facts.lines.first();
    appender.append_row(params![
        marks.order_no,
        context.connection.0,
        context.channel,
        marks.external_key,
        facts.external_id,
        facts.status.as_str(),
        facts.platform_status,
        facts.is_paid,
        marks.is_history,
        marks.is_picked,
        facts.fulfilled_by.as_str(),
        marks.export_state,
        marks.export_reason,
        marks.export_detail,
        None::<i64>,
        None::<&str>,
        None::<&str>,
        marks.facts_version,
        time(facts.placed_at),
        time(facts.updated_at),
        time(context.now),
        time(context.now),
        None::<i64>,
        Value::Date32(day),
        hour,
        context.zone_name,
        facts.currency.code(),
        facts.total_minor,
        whole.item,
        whole.shipping,
        whole.tax,
        whole.discount,
        net,
        whole.fee,
        0_i64,
        facts.unit_count(),
        count(facts.lines.len()),
        time_or_null(facts.ship_by),
        time_or_null(facts.deliver_by),
        facts.shipping_method,
        facts.payment_method,
        facts.site,
        marks.country,
        marks.region,
        marks.buyer_key,
        marks.buyer_order_number,
        marks.previous_order_no,
        marks.person_id,
        marks.payload_id,
        marks.payload_hash,
        first.and_then(|line| line.sku.as_deref()),
        first.map(|line| line.title.as_str()),
    ])?;
    Ok(())
}

/// Appends an order's lines, from the line `from` on, to a table of the shape of `main.order_line`.
pub(super) fn append_lines(
    appender: &mut Appender<'_>,
    order_no: i64,
    facts: &OrderFacts,
    columns: &Columns,
    from: usize,
) -> Result<(), StoreError> {
    for (number, (line, share)) in facts.lines.iter().zip(&columns.lines).enumerate().skip(from) {
        appender.append_row(params![
            order_no,
            i32::try_from(number).unwrap_or(i32::MAX),
            line.external_id,
            line.sku,
            line.product_id,
            line.title,
            line.quantity,
            line.quantity_shipped,
            line.quantity_cancelled,
            values::price(line.unit_price),
            line.options,
            share.item,
            share.tax,
            share.discount,
            share.fee,
            share.shipping,
            0_i64,
            None::<i64>,
        ])?;
    }
    Ok(())
}

/// Appends an order's typed amounts.
pub(super) fn append_amounts(
    appender: &mut Appender<'_>,
    order_no: i64,
    facts: &OrderFacts,
) -> Result<(), StoreError> {
    for amount in &facts.amounts {
        appender.append_row(params![
            order_no,
            line_number(amount.line),
            amount.kind.as_str(),
            amount.minor
        ])?;
    }
    Ok(())
}

/// A line's position as stored.
pub(super) fn line_number(line: Option<usize>) -> Option<i32> {
    line.map(|line| i32::try_from(line).unwrap_or(i32::MAX))
}

/// Appends a payload's row.
pub(super) fn append_payload(
    appender: &mut Appender<'_>,
    context: &RowContext<'_>,
    payload_id: i64,
    order_no: Option<i64>,
    person_id: Option<i64>,
    external_id: Option<&str>,
    payload: &str,
) -> Result<(), StoreError> {
    appender.append_row(params![
        payload_id,
        context.connection.0,
        order_no,
        "order",
        external_id,
        time(context.now),
        person_id,
        payload,
    ])?;
    Ok(())
}

/// Writes the rows of `items` as new orders from `first_order_no` on and nothing else: no look-up, no decision, no
/// people, no work owed. It is what `eider bench` compares the import with.
///
/// # Errors
/// What the database says.
pub fn append_bare(
    connection: &Connection,
    items: &[ImportItem],
    first_order_no: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let zone = TimeZone::UTC;
    let context =
        RowContext { connection: ConnectionId(1), channel: "amazon", zone: &zone, zone_name: "UTC", now };
    let mut orders = connection.appender_to_db("orders", "main")?;
    let mut lines = connection.appender_to_db("order_line", "main")?;
    let mut amounts = connection.appender_to_db("order_amount", "main")?;
    let mut payloads = connection.appender_to_db("payload", "raw")?;
    for (order_no, item) in (first_order_no..).zip(items) {
        let Ok(facts) = &item.facts else { continue };
        let marks = OrderMarks {
            order_no,
            external_key: external_key(context.connection, &facts.external_id),
            is_history: false,
            is_picked: false,
            export_state: "none",
            export_reason: None,
            export_detail: None,
            facts_version: 1,
            country: None,
            region: None,
            buyer_key: None,
            buyer_order_number: None,
            previous_order_no: None,
            person_id: None,
            payload_id: order_no,
            payload_hash: item.hash,
        };
        append_order(&mut orders, &context, facts, &item.columns, &marks)?;
        append_lines(&mut lines, order_no, facts, &item.columns, 0)?;
        append_amounts(&mut amounts, order_no, facts)?;
        let external_id = Some(facts.external_id.as_str());
        append_payload(&mut payloads, &context, order_no, Some(order_no), None, external_id, &item.payload)?;
    }
    for appender in [&mut orders, &mut lines, &mut amounts, &mut payloads] {
        appender.flush()?;
    }
    Ok(())
}

//! Parcels of an order, whoever told of them first.

use duckdb::{Row, params};
use jiff::Timestamp;

use super::effects;
use super::error::StoreError;
use super::events;
use super::reader::Read;
use super::values::{from_json, get, get_time_or_null, get_word, id_list, time, time_or_null, to_json};
use super::writer::Tx;
use crate::domain::effect::{Effect, EffectKind, EffectOutcome, EffectState};
use crate::domain::id::OrderNo;
use crate::domain::plan::{EventKind, HeldParcel, NewEvent, ParcelPlan};

/// Who is written as the actor of what a plan decided.
const PLAN_ACTOR: &str = "eider";

const PARCEL_COLUMNS: &str =
    "SELECT order_no, parcel, origin, shop_shipment_id, marketplace_package_id, carrier, service,
    tracking, shipped_at, lines, is_gone, told_at FROM main.shipment";
const UPDATE_SQL: &str = "UPDATE main.shipment
    SET shop_shipment_id = ?, marketplace_package_id = ?, carrier = ?, service = ?, tracking = ?, shipped_at = ?,
        lines = ?, is_gone = ?, seen_at = ?
    WHERE order_no = ? AND parcel = ?";
const TOLD_SQL: &str = "UPDATE main.shipment
    SET told_at = ?, shop_shipment_id = coalesce(?, shop_shipment_id) WHERE order_no = ? AND parcel = ?";

/// A parcel and when the other side was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipmentRow {
    /// The parcel.
    pub parcel: HeldParcel,
    /// When the other side was told.
    pub told_at: Option<Timestamp>,
}

/// An order's parcels, in order.
///
/// # Errors
/// What the database says.
pub fn parcels(read: &Read<'_>, order_no: OrderNo) -> Result<Vec<HeldParcel>, StoreError> {
    Ok(of_order(read, order_no)?.into_iter().map(|row| row.parcel).collect())
}

/// An order's parcels with what the other side knows.
///
/// # Errors
/// What the database says.
pub fn of_order(read: &Read<'_>, order_no: OrderNo) -> Result<Vec<ShipmentRow>, StoreError> {
    let sql = format!("{PARCEL_COLUMNS} WHERE order_no = ? ORDER BY parcel");
    Ok(read.rows(&sql, params![order_no.0], parcel_row)?.into_iter().map(|(_, row)| row).collect())
}

/// The parcels of some orders.
pub(super) fn of_orders(read: &Read<'_>, orders: &[i64]) -> Result<Vec<(i64, ShipmentRow)>, StoreError> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "{PARCEL_COLUMNS} WHERE order_no IN (SELECT unnest(CAST(? AS BIGINT[]))) ORDER BY order_no, parcel"
    );
    read.rows(&sql, params![id_list(orders.iter().copied())], parcel_row)
}

/// Writes what a plan on an order's parcels decided: the parcels, its events, and the effects, of which those come
/// back that were not open yet.
///
/// # Errors
/// What the database says.
pub fn apply(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    plan: &ParcelPlan,
    now: Timestamp,
) -> Result<Vec<Effect>, StoreError> {
    let held = parcels(tx, order_no)?;
    let is_known = |parcel: &HeldParcel| held.iter().any(|known| known.parcel == parcel.parcel);
    let (known, new): (Vec<_>, Vec<_>) = plan.upserts.iter().partition(|parcel| is_known(parcel));
    for parcel in known {
        update(tx, order_no, parcel, now)?;
    }
    let new: Vec<_> = new.into_iter().map(|parcel| (order_no, parcel.clone())).collect();
    append(tx, &new, now)?;
    for event in &plan.events {
        events::add(tx, Some(order_no), None, event, PLAN_ACTOR, None, now)?;
    }
    let mut opened = Vec::new();
    for new in &plan.effects {
        opened.extend(effects::open(tx, order_no, new)?);
    }
    Ok(opened)
}

/// The other side knows of this parcel now.
///
/// # Errors
/// [`StoreError::NotFound`] where there is no such parcel.
pub fn mark_told(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    parcel: i64,
    now: Timestamp,
    shop_shipment_id: Option<&str>,
) -> Result<(), StoreError> {
    match tx.execute(TOLD_SQL, params![time(now), shop_shipment_id, order_no.0, parcel])? {
        0 => Err(StoreError::NotFound),
        _ => Ok(()),
    }
}

/// The marketplace was told of a parcel by hand, on its own pages: nothing is owed for it any more.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] where nothing waits for that.
pub fn told_by_hand(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    parcel: i64,
    by: &str,
) -> Result<Vec<Effect>, StoreError> {
    let now = tx.now();
    let is_it = |effect: &&Effect| {
        effect.kind == EffectKind::ConfirmShipment
            && matches!(effect.state, EffectState::Held | EffectState::Due)
            && effect.revision.split('.').next().is_some_and(|number| number.parse() == Ok(parcel))
    };
    let waiting: Vec<Effect> = tx.pending().open_of(order_no).filter(is_it).cloned().collect();
    if waiting.is_empty() {
        return Err(StoreError::Invalid(
            "Nothing waits to be told of this parcel, or the marketplace is being told at this moment."
                .to_owned(),
        ));
    }
    for effect in &waiting {
        let text = format!("{by} told the marketplace by hand.");
        effects::finish(tx, effect.id, EffectOutcome::Done, &text)?;
    }
    mark_told(tx, order_no, parcel, now, None)?;
    let text = format!("Parcel {parcel}: {by} told the marketplace by hand.");
    events::add(tx, Some(order_no), None, &NewEvent::new(EventKind::Person, text), by, None, now)?;
    Ok(waiting)
}

/// Writes a parcel that we hold already. When it was told of stays as it is.
pub(super) fn update(
    tx: &Tx<'_>,
    order_no: OrderNo,
    parcel: &HeldParcel,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        UPDATE_SQL,
        params![
            parcel.shop_shipment_id,
            parcel.marketplace_package_id,
            parcel.carrier,
            parcel.service,
            parcel.tracking,
            time_or_null(parcel.shipped_at),
            to_json(&parcel.lines)?,
            parcel.is_gone,
            time(now),
            order_no.0,
            parcel.parcel,
        ],
    )?;
    Ok(())
}

/// Writes parcels that we did not hold.
pub(super) fn append(
    tx: &Tx<'_>,
    parcels: &[(OrderNo, HeldParcel)],
    now: Timestamp,
) -> Result<(), StoreError> {
    if parcels.is_empty() {
        return Ok(());
    }
    let mut appender = tx.connection().appender_to_db("shipment", "main")?;
    for (order_no, parcel) in parcels {
        appender.append_row(params![
            order_no.0,
            parcel.parcel,
            parcel.origin.as_str(),
            parcel.shop_shipment_id,
            parcel.marketplace_package_id,
            parcel.carrier,
            parcel.service,
            parcel.tracking,
            time_or_null(parcel.shipped_at),
            to_json(&parcel.lines)?,
            parcel.is_gone,
            None::<i64>,
            time(now),
        ])?;
    }
    Ok(appender.flush()?)
}

fn parcel_row(row: &Row<'_>) -> Result<(i64, ShipmentRow), StoreError> {
    let lines: String = get(row, 9)?;
    let parcel = HeldParcel {
        parcel: get(row, 1)?,
        origin: get_word(row, 2)?,
        shop_shipment_id: get(row, 3)?,
        marketplace_package_id: get(row, 4)?,
        carrier: get(row, 5)?,
        service: get(row, 6)?,
        tracking: get(row, 7)?,
        shipped_at: get_time_or_null(row, 8)?,
        lines: from_json(&lines)?,
        is_gone: get(row, 10)?,
    };
    Ok((get(row, 0)?, ShipmentRow { parcel, told_at: get_time_or_null(row, 11)? }))
}

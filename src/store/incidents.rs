//! Incidents: something went wrong in the world and stays until a person closes it.

use duckdb::{Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::values::{get, get_time, id_list, time};
use super::writer::Tx;
use crate::domain::id::{ConnectionId, OrderNo};

/// An incident to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIncident {
    /// The connection that it is about.
    pub connection: Option<ConnectionId>,
    /// The order that it is about.
    pub order_no: Option<OrderNo>,
    /// A stable word, such as `second_appliance`.
    pub kind: String,
    /// What happened.
    pub text: String,
    /// What to do.
    pub next_step: String,
}

/// An open incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its number.
    pub incident_id: i64,
    /// What it is.
    pub what: NewIncident,
    /// Since when.
    pub opened_at: Timestamp,
}

const COLUMNS: &str =
    "SELECT incident_id, connection_id, order_no, kind, text, next_step, opened_at FROM main.incident";

/// Opens an incident; `None` where one of this kind is open for the same connection and order.
///
/// # Errors
/// What the database says.
pub fn open(tx: &mut Tx<'_>, new: &NewIncident, now: Timestamp) -> Result<Option<i64>, StoreError> {
    let (connection, order_no) = (new.connection.map(|id| id.0), new.order_no.map(|id| id.0));
    let same = "SELECT incident_id FROM main.incident WHERE closed_at IS NULL AND kind = ?
        AND connection_id IS NOT DISTINCT FROM ? AND order_no IS NOT DISTINCT FROM ?";
    if tx.first(same, params![new.kind, connection, order_no], |row| get::<i64>(row, 0))?.is_some() {
        return Ok(None);
    }
    let id = tx.ids.incident();
    let sql =
        "INSERT INTO main.incident (incident_id, connection_id, order_no, kind, text, next_step, opened_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)";
    tx.execute(sql, params![id, connection, order_no, new.kind, new.text, new.next_step, time(now)])?;
    Ok(Some(id))
}

/// A person closes an incident.
///
/// # Errors
/// [`StoreError::NotFound`] where it is not open.
pub fn close(tx: &mut Tx<'_>, incident_id: i64, actor: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql =
        "UPDATE main.incident SET closed_at = ?, closed_by = ? WHERE incident_id = ? AND closed_at IS NULL";
    match tx.execute(sql, params![time(now), actor, incident_id])? {
        0 => Err(StoreError::NotFound),
        _ => Ok(()),
    }
}

/// Closes what is open of one kind for these orders, if anything is: it has settled itself.
///
/// # Errors
/// What the database says.
pub fn close_of_orders(
    tx: &mut Tx<'_>,
    kind: &str,
    orders: &[OrderNo],
    actor: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    if orders.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE main.incident SET closed_at = ?, closed_by = ? WHERE closed_at IS NULL AND kind = ?
        AND order_no IN (SELECT unnest(CAST(? AS BIGINT[])))";
    let numbers = id_list(orders.iter().map(|order_no| order_no.0));
    tx.execute(sql, params![time(now), actor, kind, numbers])?;
    Ok(())
}

/// An order's open incidents, newest first.
///
/// # Errors
/// What the database says.
pub fn of_order(read: &Read<'_>, order_no: OrderNo) -> Result<Vec<Incident>, StoreError> {
    read.rows(
        &format!("{COLUMNS} WHERE closed_at IS NULL AND order_no = ? ORDER BY incident_id DESC LIMIT 50"),
        params![order_no.0],
        incident_row,
    )
}

/// Open incidents, newest first.
///
/// # Errors
/// What the database says.
pub fn open_incidents(read: &Read<'_>) -> Result<Vec<Incident>, StoreError> {
    read.rows(
        &format!("{COLUMNS} WHERE closed_at IS NULL ORDER BY incident_id DESC LIMIT 500"),
        [],
        incident_row,
    )
}

fn incident_row(row: &Row<'_>) -> Result<Incident, StoreError> {
    Ok(Incident {
        incident_id: get(row, 0)?,
        what: NewIncident {
            connection: get::<Option<i64>>(row, 1)?.map(ConnectionId),
            order_no: get::<Option<i64>>(row, 2)?.map(OrderNo),
            kind: get(row, 3)?,
            text: get(row, 4)?,
            next_step: get(row, 5)?,
        },
        opened_at: get_time(row, 6)?,
    })
}

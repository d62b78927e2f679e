//! Delivery addresses that a person entered because the platform gave none. They are person data, and count only while
//! the platform gives no usable address of its own: an import neither wipes one nor is held up by one.

use std::collections::HashMap;

use duckdb::params;
use jiff::Timestamp;

use super::connections;
use super::error::StoreError;
use super::events;
use super::orders;
use super::reader::Read;
use super::values::{from_json, get, get_time, id_list, time, to_json};
use super::writer::Tx;
use crate::domain::customer::{Address, People};
use crate::domain::effect::Effect;
use crate::domain::id::{ChannelName, ConnectionId, OrderNo};
use crate::domain::order::{ExportState, FulfilledBy, OrderStatus};
use crate::domain::plan::{EventKind, NewEvent};

/// An address that was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnteredAddress {
    /// The address.
    pub address: Address,
    /// Who entered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Whether an address can be entered for an order, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It waits for one.
    Yes,
    /// The platform gave a usable one.
    Known,
    /// It is in the shop already, or on its way there.
    InShop,
    /// It was cancelled or shipped.
    Over,
    /// The platform ships it, or it is the shop's own.
    NotOurs,
}

/// Whether an address can be entered for an order: `is_shops_own` where it was placed in a shop, `is_missing` where the
/// platform gave no usable one.
#[must_use]
pub fn judge(
    export_state: ExportState,
    status: OrderStatus,
    fulfilled_by: FulfilledBy,
    is_shops_own: bool,
    is_missing: bool,
) -> Wanted {
    match (export_state, status) {
        _ if is_shops_own || fulfilled_by != FulfilledBy::Seller => Wanted::NotOurs,
        (ExportState::Created | ExportState::Creating, _) => Wanted::InShop,
        (_, OrderStatus::Cancelled | OrderStatus::Shipped) => Wanted::Over,
        _ if is_missing => Wanted::Yes,
        _ => Wanted::Known,
    }
}

/// Says which channels are shops: what is ordered there is the shop's own.
pub type IsShop = fn(&ChannelName) -> bool;

const ENTERED_SQL: &str = "SELECT e.order_no, p.people, e.entered_by, e.entered_at
    FROM main.entered_address AS e JOIN main.person AS p ON p.person_id = e.person_id
    WHERE e.order_no IN (SELECT unnest(CAST(? AS BIGINT[]))) AND p.people IS NOT NULL AND p.erased_at IS NULL
        AND p.person_id >= (SELECT min(person_id) FROM main.entered_address)";

/// What was entered for some orders.
///
/// # Errors
/// What the database says.
pub fn of_orders(
    read: &Read<'_>,
    orders: impl IntoIterator<Item = OrderNo>,
) -> Result<HashMap<OrderNo, EnteredAddress>, StoreError> {
    let numbers: Vec<i64> = orders.into_iter().map(|order| order.0).collect();
    if numbers.is_empty() {
        return Ok(HashMap::new());
    }
    let found = read.rows(ENTERED_SQL, params![id_list(numbers)], |row| {
        let people: People = from_json(&get::<String>(row, 1)?)?;
        Ok((OrderNo(get(row, 0)?), people.ship_to, get::<String>(row, 2)?, get_time(row, 3)?))
    })?;
    let entered = |(order_no, address, by, at): (OrderNo, Option<Address>, String, Timestamp)| {
        Some((order_no, EnteredAddress { address: address?, by, at }))
    };
    Ok(found.into_iter().filter_map(entered).collect())
}

/// True where the platform's own people name no place that a parcel could go to.
#[must_use]
pub fn is_needed(people: Option<&People>) -> bool {
    people.and_then(|people| people.ship_to.as_ref()).is_none_or(Address::is_unusable)
}

/// Whether an address can be entered for an order; none where we do not hold it. `is_shop` says which channels are shops.
///
/// # Errors
/// What the database says.
pub fn wanted(read: &Read<'_>, order_no: OrderNo, is_shop: IsShop) -> Result<Option<Wanted>, StoreError> {
    Ok(wanted_of(read, &[order_no], is_shop)?.remove(&order_no))
}

/// The same for some orders, in as many statements as for one.
///
/// # Errors
/// What the database says.
pub fn wanted_of(
    read: &Read<'_>,
    orders: &[OrderNo],
    is_shop: IsShop,
) -> Result<HashMap<OrderNo, Wanted>, StoreError> {
    let entered = of_orders(read, orders.iter().copied())?;
    let all = connections::all(read)?;
    let shops: Vec<ConnectionId> =
        all.iter().filter(|known| is_shop(&known.channel)).map(|known| known.id).collect();
    let wanted = |(order_no, (facts, held, connection)): (OrderNo, orders::HeldFacts)| {
        let shown = facts.people.as_ref().and_then(|people| people.ship_to.as_ref());
        // What was entered may be corrected, while nothing better came.
        let is_entered = entered.get(&order_no).is_some_and(|entered| Some(&entered.address) == shown);
        let is_missing = is_needed(facts.people.as_ref()) || is_entered;
        let is_shops_own = shops.contains(&connection);
        (order_no, judge(held.export_state, held.status, facts.fulfilled_by, is_shops_own, is_missing))
    };
    Ok(orders::facts_of(read, orders)?.into_iter().map(wanted).collect())
}

/// Keeps an address that somebody entered, and lets the order go on. The answer is what is open now.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] where the order wants no address.
pub fn enter(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    address: &Address,
    by: &str,
    is_shop: IsShop,
) -> Result<Vec<Effect>, StoreError> {
    let now = tx.now();
    let refused = match wanted(tx, order_no, is_shop)?.ok_or(StoreError::NotFound)? {
        Wanted::Yes => None,
        Wanted::Known => {
            Some("The marketplace gave an address: change it there, and it comes with the next import.")
        }
        Wanted::InShop => Some("The order is in the shop already: correct the address there."),
        Wanted::Over => Some("The order was shipped or cancelled: it needs no address any more."),
        Wanted::NotOurs => Some("The order goes into no shop from here, so that it needs no address."),
    };
    if let Some(why) = refused {
        return Err(StoreError::Invalid(why.to_owned()));
    }
    if address.is_unusable() || address.name.is_none() {
        return Err(StoreError::Invalid(
            "An address needs a name, a street, a city or code, and a country.".to_owned(),
        ));
    }
    let (_, _, connection) = orders::facts(tx, order_no)?.ok_or(StoreError::NotFound)?;
    let people = People { ship_to: Some(address.clone()), ..People::default() };
    let person_id = tx.ids.person();
    // One that is corrected leaves nothing behind.
    let old = "DELETE FROM main.person
        WHERE person_id IN (SELECT person_id FROM main.entered_address WHERE order_no = ?)";
    tx.execute(old, params![order_no.0])?;
    tx.execute("DELETE FROM main.entered_address WHERE order_no = ?", params![order_no.0])?;
    let sql = "INSERT INTO main.person (person_id, order_no, connection_id, cuts, people, search, created_at)
        VALUES (?, ?, ?, '[]', ?, ?, ?)";
    let search = orders::people_search(&people);
    tx.execute(sql, params![person_id, order_no.0, connection.0, to_json(&people)?, search, time(now)])?;
    let sql =
        "INSERT INTO main.entered_address (order_no, person_id, entered_by, entered_at) VALUES (?, ?, ?, ?)";
    tx.execute(sql, params![order_no.0, person_id, by, time(now)])?;
    let sql = "UPDATE main.orders
        SET country = ?, region = ?, facts_version = facts_version + 1, changed_at = ? WHERE order_no = ?";
    tx.execute(sql, params![address.country, address.region, time(now), order_no.0])?;
    let text = format!("The delivery address was entered by {by}.");
    events::add(tx, Some(order_no), None, &NewEvent::new(EventKind::Person, text), by, None, now)?;
    orders::go_on(tx, order_no)
}

#[cfg(test)]
mod tests;

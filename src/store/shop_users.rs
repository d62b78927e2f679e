//! People of a shop's control panel, and who they are here. Somebody who is linked to nobody has no access.

use duckdb::{Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::sessions;
use super::values::{get, get_time_or_null, time};
use super::writer::Tx;
use crate::domain::id::{ConnectionId, UserId};

/// Somebody of a shop's control panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopUser {
    /// Our number.
    pub id: i64,
    /// The shop.
    pub connection: ConnectionId,
    /// The platform's number of the person; none for somebody who was linked by e-mail and has not come yet.
    pub external_id: Option<String>,
    /// The e-mail there.
    pub email: Option<String>,
    /// True for the owner of the store.
    pub is_store_owner: bool,
    /// Who it is here; none has no access.
    pub user: Option<UserId>,
    /// Who the person says it is here, while no owner has agreed.
    pub asked: Option<UserId>,
    /// Who linked them.
    pub linked_by: Option<String>,
    /// When the person came last.
    pub seen_at: Option<Timestamp>,
}

/// Who comes from a shop's control panel.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The shop.
    pub connection: ConnectionId,
    /// The platform's number of the person.
    pub external_id: String,
    /// The e-mail there.
    pub email: Option<String>,
    /// True for the owner of the store.
    pub is_store_owner: bool,
}

/// How a person is named before they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// By the platform's number.
    Number(String),
    /// By the e-mail.
    Email(String),
}

const COLUMNS: &str = "SELECT shop_user_id, connection_id, external_id, email, is_store_owner, user_id, linked_by, \
     seen_at, asked_user_id FROM main.shop_user";

fn row(row: &Row<'_>) -> Result<ShopUser, StoreError> {
    Ok(ShopUser {
        id: get(row, 0)?,
        connection: ConnectionId(get(row, 1)?),
        external_id: get(row, 2)?,
        email: get(row, 3)?,
        is_store_owner: get(row, 4)?,
        user: get::<Option<i64>>(row, 5)?.map(UserId),
        linked_by: get(row, 6)?,
        seen_at: get_time_or_null(row, 7)?,
        asked: get::<Option<i64>>(row, 8)?.map(UserId),
    })
}

/// Everybody, in the order in which they came.
///
/// # Errors
/// What the database says.
pub fn all(read: &Read<'_>) -> Result<Vec<ShopUser>, StoreError> {
    read.rows(&format!("{COLUMNS} ORDER BY shop_user_id"), [], row)
}

/// One of them.
///
/// # Errors
/// What the database says.
pub fn get_one(read: &Read<'_>, id: i64) -> Result<Option<ShopUser>, StoreError> {
    read.first(&format!("{COLUMNS} WHERE shop_user_id = ?"), params![id], row)
}

/// Notes that somebody came, and says who it is here. Somebody who was linked by e-mail is known by the number from
/// now on, so that a changed e-mail takes nobody's place.
///
/// # Errors
/// What the database says.
pub fn came(tx: &mut Tx<'_>, visitor: &Visitor, now: Timestamp) -> Result<ShopUser, StoreError> {
    let shop = visitor.connection.0;
    let by_number = format!("{COLUMNS} WHERE connection_id = ? AND external_id = ?");
    let by_email =
        format!("{COLUMNS} WHERE connection_id = ? AND external_id IS NULL AND lower(email) = lower(?)");
    let mut known = tx.first(&by_number, params![shop, visitor.external_id], row)?;
    if known.is_none()
        && let Some(email) = &visitor.email
    {
        known = tx.first(&by_email, params![shop, email], row)?;
    }
    let id = match known {
        Some(known) => known.id,
        None => {
            let number = Known::Number(visitor.external_id.clone());
            insert(tx, visitor.connection, &number)?
        }
    };
    let sql = "UPDATE main.shop_user SET external_id = ?, email = coalesce(?, email), is_store_owner = ?, seen_at = ?
        WHERE shop_user_id = ?";
    let Visitor { external_id, email, is_store_owner, .. } = visitor;
    tx.execute(sql, params![external_id, email, is_store_owner, time(now), id])?;
    get_one(tx, id)?.ok_or(StoreError::NotFound)
}

fn insert(tx: &mut Tx<'_>, connection: ConnectionId, known: &Known) -> Result<i64, StoreError> {
    let next = "SELECT coalesce(max(shop_user_id), 0) + 1 FROM main.shop_user";
    let id: i64 = tx.first(next, [], |row| get(row, 0))?.unwrap_or(1);
    let (number, email) = match known {
        Known::Number(number) => (Some(number), None),
        Known::Email(email) => (None, Some(email)),
    };
    let sql = "INSERT INTO main.shop_user (shop_user_id, connection_id, external_id, email, is_store_owner)
        VALUES (?, ?, ?, ?, false)";
    tx.execute(sql, params![id, connection.0, number, email])?;
    Ok(id)
}

/// Says who somebody is here. Sessions that began under another account end.
///
/// # Errors
/// What the database says.
pub fn link(tx: &mut Tx<'_>, id: i64, user: UserId, by: &str, now: Timestamp) -> Result<(), StoreError> {
    let known = get_one(tx, id)?.ok_or(StoreError::NotFound)?;
    if known.user != Some(user) {
        sessions::remove_of_shop_user(tx, id)?;
    }
    let sql = "UPDATE main.shop_user SET user_id = ?, linked_by = ?, linked_at = ?, asked_user_id = NULL
        WHERE shop_user_id = ?";
    tx.execute(sql, params![user.0, by, time(now), id])?;
    Ok(())
}

/// Keeps who somebody says it is here, until an owner agrees.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn ask(tx: &mut Tx<'_>, id: i64, user: UserId) -> Result<(), StoreError> {
    let sql = "UPDATE main.shop_user SET asked_user_id = ? WHERE shop_user_id = ?";
    if tx.execute(sql, params![user.0, id])? == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

/// Ends what an account gave to people of control panels, and all of its sessions; safe to repeat.
///
/// # Errors
/// What the database says.
pub fn end_access_of(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    sessions::remove_of_user(tx, user)?;
    let sql =
        "UPDATE main.shop_user SET user_id = NULL, linked_by = NULL, linked_at = NULL WHERE user_id = ?";
    tx.execute(sql, params![user.0])?;
    tx.execute("UPDATE main.shop_user SET asked_user_id = NULL WHERE asked_user_id = ?", params![user.0])?;
    Ok(())
}

/// Nobody is linked any more: after the accounts are lost, since new ones get the old numbers.
///
/// # Errors
/// What the database says.
pub fn unlink_all(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let sql = "UPDATE main.shop_user
        SET user_id = NULL, linked_by = NULL, linked_at = NULL, asked_user_id = NULL";
    tx.execute(sql, [])?;
    Ok(())
}

/// Says who somebody is here, also before they came for the first time.
///
/// # Errors
/// What the database says.
pub fn link_known(
    tx: &mut Tx<'_>,
    connection: ConnectionId,
    known: &Known,
    user: UserId,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (column, value) = match known {
        Known::Number(number) => ("external_id", number),
        Known::Email(email) => ("email", email),
    };
    let sql = format!("{COLUMNS} WHERE connection_id = ? AND lower({column}) = lower(?)");
    let there = tx.first(&sql, params![connection.0, value], row)?;
    let id = match there {
        Some(there) => there.id,
        None => insert(tx, connection, known)?,
    };
    link(tx, id, user, by, now)
}

/// Takes the access of somebody away and ends their sessions; safe to repeat.
///
/// # Errors
/// What the database says.
pub fn remove(tx: &mut Tx<'_>, id: i64) -> Result<(), StoreError> {
    sessions::remove_of_shop_user(tx, id)?;
    tx.execute("DELETE FROM main.shop_user WHERE shop_user_id = ?", params![id])?;
    Ok(())
}

/// The same for the person with the platform's number.
///
/// # Errors
/// What the database says.
pub fn remove_person(tx: &mut Tx<'_>, connection: ConnectionId, external_id: &str) -> Result<(), StoreError> {
    let sql = format!("{COLUMNS} WHERE connection_id = ? AND external_id = ?");
    for known in tx.rows(&sql, params![connection.0, external_id], row)? {
        remove(tx, known.id)?;
    }
    Ok(())
}

/// Ends the sessions of everybody who came from a shop's control panel; the links stay.
///
/// # Errors
/// What the database says.
pub fn end_sessions(tx: &mut Tx<'_>, connection: ConnectionId) -> Result<(), StoreError> {
    let sql = "DELETE FROM main.session
        WHERE shop_user_id IN (SELECT shop_user_id FROM main.shop_user WHERE connection_id = ?)";
    tx.execute(sql, params![connection.0])?;
    Ok(())
}

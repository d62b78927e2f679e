//! The mirror of a shop's orders, from the list that we poll anyway: what a create is checked against without a
//! call, and where a shipment made in the shop is first seen.
//!
//! A row is never moved by an older one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use duckdb::{Connection, Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::reader::Read;
use super::values::{
    external_key, get, get_time, get_time_or_null, get_word_or_null, key_list, time, time_or_null,
};
use super::writer::Tx;
use super::{connections, effects, orders, read_installation};
use crate::domain::draft::ExternalSource;
use crate::domain::effect::{Effect, EffectKind, Lane, NewEffect};
use crate::domain::id::{ConnectionId, OrderNo};
use crate::domain::refund::AfterSale;

/// A shop order as the shop lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRow {
    /// The shop's id.
    pub shop_order_id: String,
    /// The marketplace's id that it carries.
    pub external_order_id: Option<String>,
    /// Who made it.
    pub external_source: Option<String>,
    /// The shop's status id.
    pub status_id: u16,
    /// When it was created in the shop.
    pub created_at: Timestamp,
    /// When it was last changed, by the shop's clock.
    pub updated_at: Timestamp,
    /// What the customer pays with tax, in minor units.
    pub total_minor: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// Units shipped.
    pub items_shipped: i64,
    /// What went back so far, in minor units.
    pub refunded_minor: i64,
    /// What became of it after the sale.
    pub after_sale: Option<AfterSale>,
    /// When we first saw that the shop had cancelled it, which a refund afterwards does not undo. None where the shop set
    /// it back, or had cancelled it before this program passed that on. The mirror's own: the shop's list has none.
    pub cancelled_at: Option<Timestamp>,
}

impl MirrorRow {
    /// True where it was cancelled or refunded in the shop, as a whole or in part.
    #[must_use]
    pub fn is_after_sale(&self) -> bool {
        self.after_sale.is_some() || self.refunded_minor > 0
    }

    /// True where nothing of it is to be delivered or paid any more.
    #[must_use]
    pub fn is_off(&self) -> bool {
        let is_paid_back = self.refunded_minor > 0 && self.refunded_minor >= self.total_minor;
        self.after_sale == Some(AfterSale::Cancelled) || is_paid_back
    }

    /// True where the shop goes on with it: neither cancelled nor refunded by its status, nor paid back as a whole.
    #[must_use]
    pub fn is_set_back(&self) -> bool {
        self.after_sale.is_none() && !self.is_off()
    }

    /// This row as it comes after the one that is known.
    fn following(&self, known: Option<&Self>, now: Timestamp) -> Self {
        let before = known.and_then(|known| known.cancelled_at);
        let was_cancelled = known.is_some_and(|known| known.after_sale == Some(AfterSale::Cancelled));
        let cancelled_at = match self.after_sale {
            Some(AfterSale::Cancelled) if !was_cancelled => before.or(Some(now)),
            Some(AfterSale::Cancelled | AfterSale::Refunded | AfterSale::PartRefunded) => before,
            None => None,
        };
        Self { cancelled_at, ..self.clone() }
    }

    /// True where the shop cancelled or refunded more than `known` says.
    fn has_after_sale_news(&self, known: &Self) -> bool {
        self.after_sale.is_some() && self.after_sale != known.after_sale
            || self.refunded_minor > known.refunded_minor
    }
}

/// The shop's answer to a create of ours, on its way into the mirror.
pub(super) struct Created {
    shop: ConnectionId,
    row: MirrorRow,
    is_shipped: Arc<dyn Fn(u16) -> bool + Send + Sync>,
    now: Timestamp,
    /// The reading of its parcels, should it have been shipped meanwhile.
    pub(super) effect: Effect,
    /// The reading of its refunds, should it have been cancelled or refunded meanwhile.
    pub(super) after_sale: Effect,
    /// Who is told that this reading is owed.
    pub(super) opened: Opened,
}

/// Says, once the write is acknowledged, which effects a create's answer opened.
#[derive(Debug, Clone, Default)]
pub struct Opened(Arc<Mutex<Vec<Effect>>>);

impl Opened {
    pub(super) fn add(&self, effect: Effect) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
    }

    /// The effects, if there are any.
    #[must_use]
    pub fn take(&self) -> Vec<Effect> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a page of the shop's list brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorOutcome {
    /// Effects that are open now and were not before.
    pub effects: Vec<Effect>,
    /// What speaks for a second appliance on this shop.
    pub twins: Vec<TwinSign>,
}

/// What speaks for a second appliance that creates orders in this shop, for an account that this one exports. Only of what
/// the shop made since its connection was last resumed, so that nobody is told again of what has been settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwinSign {
    /// Another installation made this order.
    Other(MirrorRow),
    /// This order bears our installation's name, and we never called the shop for it: somebody works on a copy of our data
    /// folder.
    Copy(MirrorRow),
    /// The shop holds one order of a marketplace more than once.
    Twice {
        /// Our number of it, if we hold it.
        order_no: Option<OrderNo>,
        /// The marketplace's id.
        external_id: String,
        /// The shop's ids, oldest first, without those that the shop has cancelled.
        shop_order_ids: Vec<String>,
    },
}

const COLUMNS: &str =
    "SELECT shop_order_id, external_order_id, external_source, status_id, created_at, updated_at,
    total_minor, currency, items_shipped, coalesce(refunded_minor, 0), after_sale, cancelled_at FROM main.shop_mirror";
const UPDATE_SQL: &str = "UPDATE main.shop_mirror
    SET external_order_id = ?, external_key = ?, external_source = ?, status_id = ?, updated_at = ?, total_minor = ?,
        currency = ?, items_shipped = ?, refunded_minor = ?, after_sale = ?, cancelled_at = ?, seen_at = ?
    WHERE shop_order_key = ? AND connection_id = ? AND shop_order_id = ?";
const OURS_SQL: &str = "SELECT order_no, shop_order_id FROM main.orders
    WHERE shop_connection_id = ? AND shop_order_id IN (SELECT unnest(CAST(? AS VARCHAR[])))";
/// Whether the shop was ever asked to create an order of ours, or is known to hold it.
const ASKED_FOR_SQL: &str = "SELECT o.shop_order_id IS NOT NULL OR EXISTS (
        SELECT 1 FROM main.effect_open e WHERE e.order_no = o.order_no AND e.kind = ? AND e.called_at IS NOT NULL
    ) FROM main.orders o WHERE o.order_no = ?";

/// Takes a page of the shop's list in. `is_shipped` says which status ids mean that something was shipped.
///
/// # Errors
/// What the database says.
pub fn apply(
    tx: &mut Tx<'_>,
    shop: ConnectionId,
    page: &[MirrorRow],
    is_shipped: impl Fn(u16) -> bool,
    now: Timestamp,
) -> Result<MirrorOutcome, StoreError> {
    if page.is_empty() {
        return Ok(MirrorOutcome::default());
    }
    let mut held = held(tx, shop, page)?;
    let mut new = Vec::new();
    let mut shipped = Vec::new();
    let mut after_sale = Vec::new();
    let following = |row: &MirrorRow| row.following(held.get(&row.shop_order_id), now);
    let rows: Vec<MirrorRow> = newest_of_each(page).into_iter().map(following).collect();
    for row in &rows {
        match held.get(&row.shop_order_id) {
            Some(known) if row.updated_at < known.updated_at || row == known => continue,
            Some(known) => {
                update(tx, shop, row, now)?;
                if row.has_after_sale_news(known) {
                    after_sale.push(row);
                }
                // Any change of an order with parcels may be a change of a parcel: late tracking moves no status.
                if is_shipped(row.status_id) || row.items_shipped > 0 || known.items_shipped > 0 {
                    shipped.push(row);
                }
            }
            None => {
                new.push(row);
                if is_shipped(row.status_id) || row.items_shipped > 0 {
                    shipped.push(row);
                }
                if row.is_after_sale() {
                    after_sale.push(row);
                }
            }
        }
        held.insert(row.shop_order_id.clone(), row.clone());
    }
    append(tx, shop, &new, now)?;
    let mut effects = open_readings(tx, shop, &shipped, now, reading)?;
    effects.extend(open_readings(tx, shop, &after_sale, now, after_sale_reading)?);
    let mut outcome = MirrorOutcome { effects, ..MirrorOutcome::default() };
    outcome.twins = twin_signs(tx, shop, &new)?;
    Ok(outcome)
}

/// Keeps the shop's answer to a create of an order of ours. It may have been shipped while we did not know that it is
/// ours: its parcels are owed a reading then, which `opened` tells of after the commit.
pub fn keep_created(
    tx: &mut Tx<'_>,
    shop: ConnectionId,
    order_no: OrderNo,
    row: &MirrorRow,
    is_shipped: Arc<dyn Fn(u16) -> bool + Send + Sync>,
    opened: &Opened,
    now: Timestamp,
) {
    // What an attempt that was undone said does not count.
    drop(opened.take());
    // The number may stay unused: gaps are fine.
    let effect = effects::draw(tx, order_no, &reading(shop, row, now));
    let after_sale = effects::draw(tx, order_no, &after_sale_reading(shop, row, now));
    let created =
        Created { shop, row: row.clone(), is_shipped, now, effect, after_sale, opened: opened.clone() };
    tx.pending().add_created(created);
}

/// Writes the answers into the mirror, unless a page of the shop's list brought them before. What comes back are the
/// readings that are owed, as of the newest that we know.
pub(super) fn add_created(
    connection: &Connection,
    created: Vec<Created>,
) -> Result<Vec<(Effect, Opened)>, StoreError> {
    let read = Read::new(connection, usize::MAX);
    let mut by_shop: BTreeMap<ConnectionId, Vec<Created>> = BTreeMap::new();
    for one in created {
        by_shop.entry(one.shop).or_default().push(one);
    }
    let mut owed = Vec::new();
    for (shop, mut answers) in by_shop {
        let rows: Vec<MirrorRow> = answers.iter().map(|one| one.row.clone()).collect();
        let mut held = held(&read, shop, &rows)?;
        let mut new = Vec::new();
        for one in &mut answers {
            one.row = one.row.following(held.get(&one.row.shop_order_id), one.now);
            match held.get(&one.row.shop_order_id) {
                Some(known) if one.row.updated_at < known.updated_at || one.row == *known => {
                    one.row = known.clone();
                }
                Some(_) => update(&read, shop, &one.row, one.now)?,
                None => new.push(one.row.clone()),
            }
            held.insert(one.row.shop_order_id.clone(), one.row.clone());
        }
        let now = answers.iter().map(|one| one.now).max().unwrap_or_default();
        append(&read, shop, &new.iter().collect::<Vec<_>>(), now)?;
        for one in answers {
            let revision = one.row.updated_at.to_string();
            if (one.is_shipped)(one.row.status_id) || one.row.items_shipped > 0 {
                owed.push((Effect { revision: revision.clone(), ..one.effect }, one.opened.clone()));
            }
            if one.row.is_after_sale() {
                owed.push((Effect { revision, ..one.after_sale }, one.opened));
            }
        }
    }
    Ok(owed)
}

/// The shop's orders that carry one of these marketplace ids, oldest first.
///
/// # Errors
/// What the database says.
pub fn find_all(
    read: &Read<'_>,
    shop: ConnectionId,
    external_order_ids: &[String],
) -> Result<Vec<MirrorRow>, StoreError> {
    let keys = key_list(external_order_ids.iter().map(|id| external_key(shop, id)));
    let sql = format!(
        "{COLUMNS} WHERE external_key IN (SELECT unnest(CAST(? AS UBIGINT[]))) AND connection_id = ?
        ORDER BY created_at"
    );
    let mut found = read.rows(&sql, params![keys, shop.0], mirror_row)?;
    found.retain(|row| row.external_order_id.as_ref().is_some_and(|id| external_order_ids.contains(id)));
    Ok(found)
}

fn newest_of_each(page: &[MirrorRow]) -> Vec<&MirrorRow> {
    let mut rows: Vec<&MirrorRow> = page.iter().collect();
    rows.sort_by_key(|row| row.updated_at);
    let mut seen = HashSet::new();
    rows.reverse();
    rows.retain(|row| seen.insert(row.shop_order_id.as_str()));
    rows.reverse();
    rows
}

fn held(
    read: &Read<'_>,
    shop: ConnectionId,
    page: &[MirrorRow],
) -> Result<HashMap<String, MirrorRow>, StoreError> {
    let keys = key_list(page.iter().map(|row| external_key(shop, &row.shop_order_id)));
    let sql = format!(
        "{COLUMNS} WHERE shop_order_key IN (SELECT unnest(CAST(? AS UBIGINT[]))) AND connection_id = ?"
    );
    let found = read.rows(&sql, params![keys, shop.0], mirror_row)?;
    Ok(found.into_iter().map(|row| (row.shop_order_id.clone(), row)).collect())
}

fn update(read: &Read<'_>, shop: ConnectionId, row: &MirrorRow, now: Timestamp) -> Result<(), StoreError> {
    read.execute(
        UPDATE_SQL,
        params![
            row.external_order_id,
            row.external_order_id.as_deref().map(|id| external_key(shop, id)),
            row.external_source,
            row.status_id,
            time(row.updated_at),
            row.total_minor,
            row.currency,
            row.items_shipped,
            row.refunded_minor,
            row.after_sale.map(AfterSale::as_str),
            time_or_null(row.cancelled_at),
            time(now),
            external_key(shop, &row.shop_order_id),
            shop.0,
            row.shop_order_id,
        ],
    )?;
    Ok(())
}

fn append(
    read: &Read<'_>,
    shop: ConnectionId,
    rows: &[&MirrorRow],
    now: Timestamp,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut appender = read.connection().appender_to_db("shop_mirror", "main")?;
    for row in rows {
        appender.append_row(params![
            shop.0,
            row.shop_order_id,
            external_key(shop, &row.shop_order_id),
            row.external_order_id,
            row.external_order_id.as_deref().map(|id| external_key(shop, id)),
            row.external_source,
            i32::from(row.status_id),
            time(row.created_at),
            time(row.updated_at),
            row.total_minor,
            row.currency,
            row.items_shipped,
            time(now),
            row.refunded_minor,
            row.after_sale.map(AfterSale::as_str),
            time_or_null(row.cancelled_at),
        ])?;
    }
    Ok(appender.flush()?)
}

/// Orders of ours among these: what their rows ask for is to be read.
fn open_readings(
    tx: &mut Tx<'_>,
    shop: ConnectionId,
    rows: &[&MirrorRow],
    now: Timestamp,
    reading: impl Fn(ConnectionId, &MirrorRow, Timestamp) -> NewEffect,
) -> Result<Vec<Effect>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids = rows.iter().map(|row| duckdb::types::Value::Text(row.shop_order_id.clone())).collect();
    let ours: HashMap<String, OrderNo> = tx
        .rows(OURS_SQL, params![shop.0, duckdb::types::Value::List(ids)], |row| {
            Ok((get::<String>(row, 1)?, OrderNo(get(row, 0)?)))
        })?
        .into_iter()
        .collect();
    let mut opened = Vec::new();
    for row in rows {
        let Some(order_no) = ours.get(&row.shop_order_id) else { continue };
        opened.extend(effects::open(tx, *order_no, &reading(shop, row, now))?);
    }
    Ok(opened)
}

/// The reading of a shop order's parcels that its row asks for.
#[must_use]
pub fn reading(shop: ConnectionId, row: &MirrorRow, now: Timestamp) -> NewEffect {
    NewEffect {
        kind: EffectKind::ReadShopShipments,
        revision: row.updated_at.to_string(),
        connection: shop,
        lane: Lane::Orders,
        due_at: now,
        held: None,
    }
}

/// The reading of a shop order's refunds that its row asks for.
#[must_use]
pub fn after_sale_reading(shop: ConnectionId, row: &MirrorRow, now: Timestamp) -> NewEffect {
    NewEffect { kind: EffectKind::ReadShopAfterSale, ..reading(shop, row, now) }
}

/// What new rows say of a second appliance.
fn twin_signs(tx: &Tx<'_>, shop: ConnectionId, new: &[&MirrorRow]) -> Result<Vec<TwinSign>, StoreError> {
    // Nearly every page: our own orders are here from the answers to their creates.
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let connections = connections::all(tx)?;
    let Some(resumed_at) = connections.iter().find(|known| known.id == shop).map(|known| known.state_since)
    else {
        return Ok(Vec::new());
    };
    let accounts: HashMap<(String, String), ConnectionId> = connections
        .into_iter()
        .filter(|connection| connection.settings.shop == Some(shop))
        .map(|connection| ((connection.channel.0, connection.account), connection.id))
        .collect();
    let is_recent = |row: &&&MirrorRow| row.created_at > resumed_at;
    let made: Vec<(&MirrorRow, MadeFor)> =
        new.iter().filter(is_recent).filter_map(|row| Some((*row, made_for(row, &accounts)?))).collect();
    if made.is_empty() {
        return Ok(Vec::new());
    }
    let installation = read_installation(tx)?.ok_or(StoreError::NotFound)?;
    let ids: Vec<String> = made.iter().map(|(_, made)| made.external_id.clone()).collect();
    let standing: Vec<(MirrorRow, MadeFor)> = find_all(tx, shop, &ids)?
        .into_iter()
        .filter(|row| !row.is_off() && row.cancelled_at.is_none())
        .filter_map(|row| made_for(&row, &accounts).map(|made| (row, made)))
        .collect();
    let mut signs = Vec::new();
    let mut twice = HashSet::new();
    for (row, made) in made {
        let order_no = orders::find(tx, made.owner, &made.external_id)?;
        if made.installation != installation.id {
            signs.push(TwinSign::Other(row.clone()));
        } else if !installation.may_have_forgotten(row.created_at) && !was_asked_for(tx, order_no)? {
            signs.push(TwinSign::Copy(row.clone()));
        }
        let is_copy = |other: &MadeFor| other.owner == made.owner && other.external_id == made.external_id;
        let copies = standing.iter().filter(|(_, other)| is_copy(other));
        let shop_order_ids: Vec<String> = copies.map(|(row, _)| row.shop_order_id.clone()).collect();
        if shop_order_ids.len() > 1 && twice.insert((made.owner, made.external_id.clone())) {
            signs.push(TwinSign::Twice { order_no, external_id: made.external_id, shop_order_ids });
        }
    }
    Ok(signs)
}

/// Which order of ours a shop order stands for, and who made it.
struct MadeFor {
    owner: ConnectionId,
    external_id: String,
    installation: String,
}

fn made_for(row: &MirrorRow, accounts: &HashMap<(String, String), ConnectionId>) -> Option<MadeFor> {
    let source: ExternalSource = row.external_source.as_deref()?.parse().ok()?;
    let owner = *accounts.get(&(source.channel.0, source.account))?;
    Some(MadeFor { owner, external_id: row.external_order_id.clone()?, installation: source.installation })
}

fn was_asked_for(read: &Read<'_>, order_no: Option<OrderNo>) -> Result<bool, StoreError> {
    let Some(order_no) = order_no else { return Ok(false) };
    let kind = EffectKind::CreateShopOrder.as_str();
    Ok(read.first(ASKED_FOR_SQL, params![kind, order_no.0], |row| get(row, 0))?.unwrap_or(false))
}

fn mirror_row(row: &Row<'_>) -> Result<MirrorRow, StoreError> {
    Ok(MirrorRow {
        shop_order_id: get(row, 0)?,
        external_order_id: get(row, 1)?,
        external_source: get(row, 2)?,
        status_id: get(row, 3)?,
        created_at: get_time(row, 4)?,
        updated_at: get_time(row, 5)?,
        total_minor: get(row, 6)?,
        currency: get(row, 7)?,
        items_shipped: get(row, 8)?,
        refunded_minor: get(row, 9)?,
        after_sale: get_word_or_null(row, 10)?,
        cancelled_at: get_time_or_null(row, 11)?,
    })
}

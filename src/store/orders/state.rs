//! What the export writes on an order, and what a person's buttons do.

use duckdb::params;
use jiff::Timestamp;

use super::detail::facts;
use crate::domain::effect::{Effect, EffectKind, EffectState};
use crate::domain::id::OrderNo;
use crate::domain::order::ExportState;
use crate::domain::plan::{EventKind, NewEvent, create_effect};
use crate::domain::reason::Reason;
use crate::store::connections;
use crate::store::effects;
use crate::store::error::StoreError;
use crate::store::events;
use crate::store::pending::ExportChange;
use crate::store::refunds;
use crate::store::values::time;
use crate::store::writer::Tx;

const PICK_SQL: &str = "UPDATE main.orders SET is_picked = true, changed_at = ? WHERE order_no = ?";
const SET_ADDRESS_SQL: &str = "UPDATE main.orders SET shop_address_id = ? WHERE order_no = ?";
const DROP_LINES_SQL: &str = "DELETE FROM main.shop_line WHERE order_no = ?";

/// Says whether an order is in the shop, and why not.
///
/// # Errors
/// [`StoreError::NotFound`], at the latest from the commit.
pub fn set_export(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    state: ExportState,
    reason: Option<&Reason>,
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.pending().set_export(order_no, ExportChange::new(state, reason.cloned(), now));
    Ok(())
}

/// The order is about to be created in its shop, as it was when its facts had this version.
///
/// # Errors
/// At the latest from the commit: [`StoreError::Changed`] where the facts are others by now, so that what changed is
/// either in the create or told of as an edit.
pub fn begin_export(tx: &mut Tx<'_>, order_no: OrderNo, facts_version: i64) -> Result<(), StoreError> {
    let change = ExportChange::new(ExportState::Creating, None, tx.now());
    tx.pending().set_export(order_no, ExportChange { facts_version: Some(facts_version), ..change });
    Ok(())
}

/// The order is in its connection's shop now.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn set_created(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    shop_order_id: &str,
    created_at: Timestamp,
) -> Result<(), StoreError> {
    let now = tx.now();
    let change = ExportChange::new(ExportState::Created, None, now);
    let created = Some((shop_order_id.to_owned(), created_at));
    tx.pending().set_export(order_no, ExportChange { created, ..change });
    Ok(())
}

/// A person wants this order in the shop, whatever the switches say. What is there already, or under way, stays.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] where its connection names no shop.
pub fn pick(tx: &mut Tx<'_>, order_no: OrderNo, actor: &str) -> Result<Vec<Effect>, StoreError> {
    let (facts, held, connection) = facts(tx, order_no)?.ok_or(StoreError::NotFound)?;
    let connection = connections::get(tx, connection)?.ok_or(StoreError::NotFound)?;
    let Some(shop) = connection.settings.shop else {
        return Err(StoreError::Invalid(format!(
            "“{}” has no shop to export to. Choose one in the connection's settings.",
            connection.alias
        )));
    };
    let now = tx.now();
    found(tx.execute(PICK_SQL, params![time(now), order_no.0])?)?;
    if matches!(held.export_state, ExportState::Created | ExportState::Creating) {
        return Ok(Vec::new());
    }
    say(tx, order_no, "Export was asked for.", actor, now)?;
    let (state, reason) = crate::domain::plan::export_decision(&connection, &facts, held.is_history, true);
    set_export(tx, order_no, state, reason.as_ref())?;
    if state != ExportState::Waiting || reason.is_some() {
        return Ok(Vec::new());
    }
    due_now(tx, order_no, &[EffectKind::CreateShopOrder], now)?;
    effects::open(tx, order_no, &create_effect(shop, now))?;
    Ok(open_of(tx, order_no))
}

/// Everything that this order waits for is tried now; an export that failed begins anew. Calls in doubt and calls
/// under way keep their time: they are looked at by themselves. The answer is what is open now.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn retry(tx: &mut Tx<'_>, order_no: OrderNo, actor: &str) -> Result<Vec<Effect>, StoreError> {
    let (_, held, connection) = facts(tx, order_no)?.ok_or(StoreError::NotFound)?;
    let now = tx.now();
    say(tx, order_no, "Retry was asked for.", actor, now)?;
    due_now(tx, order_no, EffectKind::ALL, now)?;
    if held.export_state == ExportState::Failed {
        let shop = connections::get(tx, connection)?.and_then(|connection| connection.settings.shop);
        if let Some(shop) = shop {
            set_export(tx, order_no, ExportState::Waiting, None)?;
            effects::open(tx, order_no, &create_effect(shop, now))?;
        }
    }
    Ok(open_of(tx, order_no))
}

/// What kept an order from the shop is mended: its export is tried now. The answer is what is open now.
///
/// # Errors
/// [`StoreError::NotFound`].
pub(in crate::store) fn go_on(tx: &mut Tx<'_>, order_no: OrderNo) -> Result<Vec<Effect>, StoreError> {
    let (_, held, connection) = facts(tx, order_no)?.ok_or(StoreError::NotFound)?;
    let now = tx.now();
    due_now(tx, order_no, &[EffectKind::CreateShopOrder], now)?;
    let shop = connections::get(tx, connection)?.and_then(|connection| connection.settings.shop);
    if held.export_state == ExportState::Failed
        && let Some(shop) = shop
    {
        set_export(tx, order_no, ExportState::Waiting, None)?;
        effects::open(tx, order_no, &create_effect(shop, now))?;
    }
    Ok(open_of(tx, order_no))
}

/// Keeps which of the shop's lines stands for which of the marketplace's, and the shop's address on the order.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn set_shop_lines(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    address_id: Option<&str>,
    lines: &[(String, String)],
) -> Result<(), StoreError> {
    found(tx.execute(SET_ADDRESS_SQL, params![address_id, order_no.0])?)?;
    tx.execute(DROP_LINES_SQL, params![order_no.0])?;
    let mut appender = tx.connection().appender_to_db("shop_line", "main")?;
    for (external_line_id, shop_line_id) in lines {
        appender.append_row(params![order_no.0, external_line_id, shop_line_id])?;
    }
    Ok(appender.flush()?)
}

fn due_now(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    kinds: &[EffectKind],
    now: Timestamp,
) -> Result<(), StoreError> {
    for effect in open_of(tx, order_no) {
        let may_move = match effect.state {
            EffectState::Due => true,
            EffectState::Held => !is_for_people_only(tx, &effect)?,
            EffectState::Called | EffectState::InDoubt => false,
        };
        if may_move && kinds.contains(&effect.kind) {
            effects::postpone(
                tx,
                effect.id,
                now,
                EffectState::Due,
                effect.reason.as_ref(),
                "A person asked for it now.",
            )?;
        }
    }
    Ok(())
}

/// Money that the marketplace was asked for once, and that would be asked for again: only somebody who says so, having
/// looked, sends it. While it is not known what came of that, a run only asks.
fn is_for_people_only(tx: &Tx<'_>, effect: &Effect) -> Result<bool, StoreError> {
    if effect.kind != EffectKind::RefundOrder || effect.called_at.is_none() || effect.ticket.is_some() {
        return Ok(false);
    }
    let rows = refunds::of_order(tx, effect.order_no)?;
    let row = rows.iter().find(|row| row.refund.shop_refund_id == effect.revision);
    Ok(row.is_none_or(|row| row.called_at.is_none()))
}

fn open_of(tx: &Tx<'_>, order_no: OrderNo) -> Vec<Effect> {
    tx.pending().open_of(order_no).cloned().collect()
}

fn say(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    text: &str,
    actor: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    events::add(tx, Some(order_no), None, &NewEvent::new(EventKind::Person, text), actor, None, now)
}

fn found(changed: usize) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

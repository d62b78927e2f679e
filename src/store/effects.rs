//! Work owed to the outside. Open effects are a small table; every step is added to `effect_log`, and what is done
//! leaves the open table in the commit that logs it.
//!
//! At most one effect is open per (order, kind, revision): whoever asks for a second joins the first.

use duckdb::{Connection, Row, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::events;
use super::reader::Read;
use super::refunds;
use super::values::{
    get, get_time, get_time_or_null, get_word, get_word_or_null, id_list, time, time_or_null,
};
use super::writer::Tx;
use crate::domain::effect::{Effect, EffectKind, EffectOutcome, EffectState, NewEffect, Verdict};
use crate::domain::id::{ConnectionId, EffectId, OrderNo};
use crate::domain::plan::{EventKind, NewEvent};
use crate::domain::reason::Reason;

const OPEN_COLUMNS: &str =
    "SELECT effect_id, order_no, kind, revision, connection_id, lane, state, attempts, due_at,
    called_at, first_empty_probe_at, reason, reason_detail, created_at, ticket FROM main.effect_open";
/// One step of an effect, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectStep {
    /// The effect.
    pub effect: EffectId,
    /// Its kind.
    pub kind: EffectKind,
    /// Its revision.
    pub revision: String,
    /// When.
    pub at: Timestamp,
    /// A state or an outcome, as stored.
    pub state: String,
    /// Calls made until then.
    pub attempts: i64,
    /// What was said.
    pub text: Option<String>,
}

/// Every open effect, oldest first: read once at start.
///
/// # Errors
/// What the database says.
pub fn open_effects(read: &Read<'_>) -> Result<Vec<Effect>, StoreError> {
    read.rows(&format!("{OPEN_COLUMNS} ORDER BY effect_id"), [], effect_row)
}

/// One open effect.
///
/// # Errors
/// What the database says.
pub fn get_open(read: &Read<'_>, id: EffectId) -> Result<Option<Effect>, StoreError> {
    read.first(&format!("{OPEN_COLUMNS} WHERE effect_id = ?"), params![id.0], effect_row)
}

/// The open effects of some orders.
///
/// # Errors
/// What the database says.
pub fn of_orders(read: &Read<'_>, orders: &[i64]) -> Result<Vec<Effect>, StoreError> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let sql =
        format!("{OPEN_COLUMNS} WHERE order_no IN (SELECT unnest(CAST(? AS BIGINT[]))) ORDER BY effect_id");
    read.rows(&sql, params![id_list(orders.iter().copied())], effect_row)
}

/// The steps of an order's effects, oldest first.
///
/// # Errors
/// What the database says.
pub fn steps(read: &Read<'_>, order_no: OrderNo) -> Result<Vec<EffectStep>, StoreError> {
    let sql = "SELECT effect_id, kind, revision, happened_at, state, attempts, text FROM main.effect_log
        WHERE order_no = ? ORDER BY happened_at, effect_id LIMIT 1000";
    read.rows(sql, params![order_no.0], |row| {
        Ok(EffectStep {
            effect: EffectId(get(row, 0)?),
            kind: get_word(row, 1)?,
            revision: get(row, 2)?,
            at: get_time(row, 3)?,
            state: get(row, 4)?,
            attempts: get(row, 5)?,
            text: get(row, 6)?,
        })
    })
}

/// Whether an effect of this kind and order ended with what it was to bring about.
///
/// # Errors
/// What the database says.
pub fn has_ended_well(read: &Read<'_>, order_no: OrderNo, kind: EffectKind) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM main.effect_log WHERE order_no = ? AND kind = ? AND state IN (?, ?) LIMIT 1";
    let (done, found) = (EffectOutcome::Done.as_str(), EffectOutcome::Found.as_str());
    let ended = read.first(sql, params![order_no.0, kind.as_str(), done, found], |_| Ok(()))?;
    Ok(ended.is_some())
}

/// Opens an effect; `None` where the same is open already.
///
/// # Errors
/// What the database says.
pub fn open(tx: &mut Tx<'_>, order_no: OrderNo, new: &NewEffect) -> Result<Option<Effect>, StoreError> {
    let is_open =
        tx.pending().open_of(order_no).any(|open| open.kind == new.kind && open.revision == new.revision);
    if is_open {
        return Ok(None);
    }
    let effect = draw(tx, order_no, new);
    tx.pending().add(vec![effect.clone()]);
    Ok(Some(effect))
}

/// Gives a new effect its id; it is not written yet.
pub(super) fn draw(tx: &mut Tx<'_>, order_no: OrderNo, new: &NewEffect) -> Effect {
    Effect {
        id: EffectId(tx.ids.effect()),
        order_no,
        kind: new.kind,
        revision: new.revision.clone(),
        connection: new.connection,
        lane: new.lane,
        state: if new.held.is_some() { EffectState::Held } else { EffectState::Due },
        attempts: 0,
        due_at: new.due_at,
        called_at: None,
        first_empty_probe_at: None,
        ticket: None,
        reason: new.held.clone(),
        created_at: tx.now(),
    }
}

/// Appends effects to the open table.
pub(super) fn append_rows<'e>(
    connection: &Connection,
    effects: impl Iterator<Item = &'e Effect>,
) -> Result<(), StoreError> {
    let mut effects = effects.peekable();
    if effects.peek().is_none() {
        return Ok(());
    }
    let mut appender = connection.appender_to_db("effect_open", "main")?;
    for effect in effects {
        appender.append_row(params![
            effect.id.0,
            effect.order_no.0,
            effect.kind.as_str(),
            effect.revision,
            effect.connection.0,
            effect.lane.as_str(),
            effect.state.as_str(),
            i64::from(effect.attempts),
            time(effect.due_at),
            time_or_null(effect.called_at),
            time_or_null(effect.first_empty_probe_at),
            effect.reason.as_ref().map(|reason| reason.code.as_str()),
            effect.reason.as_ref().and_then(|reason| reason.detail.as_deref()),
            time(effect.created_at),
            effect.ticket,
        ])?;
    }
    Ok(appender.flush()?)
}

/// Makes the intent of a call durable: the call may go out once this is committed.
///
/// # Errors
/// [`StoreError::NotFound`] where the effect is no longer open.
pub fn begin_call(tx: &mut Tx<'_>, id: EffectId, now: Timestamp) -> Result<(), StoreError> {
    tx.pending().change(id, Some((now, None)), |effect| {
        effect.state = EffectState::Called;
        effect.attempts = effect.attempts.saturating_add(1);
        effect.called_at = Some(now);
    })
}

/// Puts an effect off, or holds it for a person. Leaving doubt forgets the first empty probe.
///
/// # Errors
/// [`StoreError::NotFound`] where the effect is no longer open.
pub fn postpone(
    tx: &mut Tx<'_>,
    id: EffectId,
    due_at: Timestamp,
    state: EffectState,
    reason: Option<&Reason>,
    text: &str,
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.pending().change(id, Some((now, Some(text))), |effect| {
        effect.state = state;
        effect.due_at = due_at;
        effect.reason = reason.cloned();
        if state != EffectState::InDoubt {
            effect.first_empty_probe_at = None;
        }
    })
}

/// Remembers when the first probe after a call in doubt found nothing.
///
/// # Errors
/// [`StoreError::NotFound`] where the effect is no longer open.
pub fn set_first_empty_probe(tx: &mut Tx<'_>, id: EffectId, at: Timestamp) -> Result<(), StoreError> {
    tx.pending().change(id, None, |effect| effect.first_empty_probe_at = Some(at))
}

/// Keeps what the platform wants to be asked with, and when: the call was answered and is in doubt no longer. `None`
/// forgets it.
///
/// # Errors
/// [`StoreError::NotFound`] where the effect is no longer open.
pub fn set_ticket(tx: &mut Tx<'_>, id: EffectId, ticket: Option<&str>) -> Result<(), StoreError> {
    tx.pending().change(id, None, |effect| effect.ticket = ticket.map(str::to_owned))
}

/// Ends an effect.
///
/// # Errors
/// [`StoreError::NotFound`] where the effect is no longer open.
pub fn finish(tx: &mut Tx<'_>, id: EffectId, outcome: EffectOutcome, text: &str) -> Result<(), StoreError> {
    let now = tx.now();
    tx.pending().end(id, outcome, text, now)
}

/// Ends an effect that waits for a person, who has looked, or makes it due again. Gives the effect where it is open
/// from now on.
///
/// # Errors
/// [`StoreError::NotFound`] where it does not wait for a person, or is none that people settle.
pub fn settle_by_hand(
    tx: &mut Tx<'_>,
    order_no: OrderNo,
    id: EffectId,
    verdict: Verdict,
    actor: &str,
    now: Timestamp,
) -> Result<Option<Effect>, StoreError> {
    let held = tx.pending().open_of(order_no).find(|open| open.id == id).cloned();
    let held = held.filter(|open| open.state == EffectState::Held && open.kind.is_settled_by_people());
    let held = held.ok_or(StoreError::NotFound)?;
    let is_refund = held.kind == EffectKind::RefundOrder;
    let what = match held.kind {
        EffectKind::RefundOrder => "The refund",
        EffectKind::CancelOrder => "The cancellation",
        _ => "The refund that cannot be read",
    };
    let text = match verdict {
        Verdict::Done => format!("{what} was dealt with on the marketplace, says {actor}."),
        Verdict::SendAgain => format!("{what} is to be sent again, says {actor}."),
    };
    let event = NewEvent::new(EventKind::Person, text.clone());
    events::add(tx, Some(order_no), None, &event, actor, None, now)?;
    match verdict {
        Verdict::Done => {
            if is_refund {
                refunds::mark_told(tx, order_no, &held.revision, now)?;
            }
            finish(tx, id, EffectOutcome::Done, &text)?;
            Ok(None)
        }
        Verdict::SendAgain => {
            if is_refund {
                refunds::clear_called(tx, order_no, &held.revision, Some(now))?;
            }
            set_ticket(tx, id, None)?;
            postpone(tx, id, now, EffectState::Due, None, &text)?;
            Ok(Some(Effect { state: EffectState::Due, due_at: now, ticket: None, reason: None, ..held }))
        }
    }
}

/// Ends effects that are no longer owed.
pub(super) fn drop_all(
    tx: &Tx<'_>,
    effects: &[EffectId],
    text: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    effects.iter().try_for_each(|id| tx.pending().end(*id, EffectOutcome::Dropped, text, now))
}

/// Counts open effects by kind, state and lane.
///
/// # Errors
/// What the database says.
pub fn counts(read: &Read<'_>) -> Result<Vec<(EffectKind, EffectState, i64)>, StoreError> {
    let sql = "SELECT kind, state, count(*) FROM main.effect_open GROUP BY ALL ORDER BY ALL";
    read.rows(sql, [], |row| Ok((get_word(row, 0)?, get_word(row, 1)?, get(row, 2)?)))
}

fn effect_row(row: &Row<'_>) -> Result<Effect, StoreError> {
    let reason_detail: Option<String> = get(row, 12)?;
    let reason = get_word_or_null(row, 11)?.map(|code| Reason { code, detail: reason_detail });
    Ok(Effect {
        id: EffectId(get(row, 0)?),
        order_no: OrderNo(get(row, 1)?),
        kind: get_word(row, 2)?,
        revision: get(row, 3)?,
        connection: ConnectionId(get(row, 4)?),
        lane: get_word(row, 5)?,
        state: get_word(row, 6)?,
        attempts: u32::try_from(get::<i64>(row, 7)?).unwrap_or(u32::MAX),
        due_at: get_time(row, 8)?,
        called_at: get_time_or_null(row, 9)?,
        first_empty_probe_at: get_time_or_null(row, 10)?,
        ticket: get(row, 14)?,
        reason,
        created_at: get_time(row, 13)?,
    })
}

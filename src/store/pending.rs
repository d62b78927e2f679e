//! Small changes of one commit, gathered and written as sets.
//!
//! An effect's steps, an order's export state, its events and the shop's answer to a create come hundreds of times a
//! second, a row at a time, and each statement costs more than its row. So they are kept here until the commit, or
//! until something in the same commit reads, and then go out in one statement per table. Open effects are few and are
//! held in memory for that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use duckdb::types::Value;
use duckdb::{Connection, params};
use jiff::Timestamp;

use super::effects;
use super::error::StoreError;
use super::events::{self, EventRow};
use super::mirror::{self, Created};
use super::reader::Read;
use super::values::{id_list, time};
use crate::domain::effect::{Effect, EffectOutcome};
use crate::domain::id::{EffectId, OrderNo};
use crate::domain::order::ExportState;
use crate::domain::reason::Reason;

/// Stands for no time in a list of times: long before any platform.
const NO_TIME: i64 = i64::MIN;
/// Stands for any version of an order's facts: `-1` in [`CHANGE_EXPORTS_SQL`].
const ANY_VERSION: i64 = -1;

const CHANGE_EFFECTS_SQL: &str = "UPDATE main.effect_open AS e
    SET state = c.state, attempts = c.attempts, due_at = make_timestamp(c.due_at),
        called_at = CASE WHEN c.called_at > -9223372036854775808 THEN make_timestamp(c.called_at) END,
        first_empty_probe_at = CASE WHEN c.probed_at > -9223372036854775808 THEN make_timestamp(c.probed_at) END,
        reason = nullif(c.reason, ''), reason_detail = nullif(c.detail, ''), ticket = nullif(c.ticket, '')
    FROM (SELECT unnest(CAST(? AS BIGINT[])) AS effect_id, unnest(CAST(? AS VARCHAR[])) AS state,
        unnest(CAST(? AS BIGINT[])) AS attempts, unnest(CAST(? AS BIGINT[])) AS due_at,
        unnest(CAST(? AS BIGINT[])) AS called_at, unnest(CAST(? AS BIGINT[])) AS probed_at,
        unnest(CAST(? AS VARCHAR[])) AS reason, unnest(CAST(? AS VARCHAR[])) AS detail,
        unnest(CAST(? AS VARCHAR[])) AS ticket) AS c
    WHERE e.effect_id = c.effect_id AND e.effect_id BETWEEN ? AND ?";
const END_EFFECTS_SQL: &str = "DELETE FROM main.effect_open
    WHERE effect_id BETWEEN ? AND ? AND effect_id IN (SELECT unnest(CAST(? AS BIGINT[])))";
const CHANGE_EXPORTS_SQL: &str = "UPDATE main.orders AS o
    SET export_state = c.state, export_reason = nullif(c.reason, ''), export_detail = nullif(c.detail, ''),
        changed_at = make_timestamp(c.changed_at), shop_order_id = coalesce(nullif(c.shop_order_id, ''), o.shop_order_id),
        created_in_shop_at = CASE WHEN c.created_at > -9223372036854775808 THEN make_timestamp(c.created_at)
            ELSE o.created_in_shop_at END,
        shop_connection_id = CASE WHEN c.shop_order_id <> '' THEN s.shop ELSE o.shop_connection_id END
    FROM (SELECT unnest(CAST(? AS BIGINT[])) AS order_no, unnest(CAST(? AS VARCHAR[])) AS state,
        unnest(CAST(? AS VARCHAR[])) AS reason, unnest(CAST(? AS VARCHAR[])) AS detail,
        unnest(CAST(? AS BIGINT[])) AS changed_at, unnest(CAST(? AS VARCHAR[])) AS shop_order_id,
        unnest(CAST(? AS BIGINT[])) AS created_at, unnest(CAST(? AS BIGINT[])) AS facts_version) AS c,
        (SELECT connection_id, CAST(json_extract(settings, '$.shop') AS BIGINT) AS shop FROM main.connection) AS s
    WHERE o.order_no = c.order_no AND o.order_no BETWEEN ? AND ? AND s.connection_id = o.connection_id
        AND c.facts_version IN (-1, o.facts_version)";

/// A step of an effect for `effect_log`.
struct Step {
    effect: Effect,
    at: Timestamp,
    state: &'static str,
    text: Option<String>,
}

/// What becomes of an order's export.
pub(super) struct ExportChange {
    pub(super) state: ExportState,
    pub(super) reason: Option<Reason>,
    pub(super) changed_at: Timestamp,
    /// The shop's id of it, and when it was made there.
    pub(super) created: Option<(String, Timestamp)>,
    /// The order's facts must still be of this version; else the one that asked for it fails.
    pub(super) facts_version: Option<i64>,
}

impl ExportChange {
    pub(super) const fn new(state: ExportState, reason: Option<Reason>, changed_at: Timestamp) -> Self {
        Self { state, reason, changed_at, created: None, facts_version: None }
    }
}

/// What waits to be written, and the open effects as they will be then.
#[derive(Default)]
pub(super) struct Pending {
    open: HashMap<EffectId, Effect>,
    open_by_order: HashMap<OrderNo, Vec<EffectId>>,
    /// Open, and not in the file yet.
    opened: Vec<EffectId>,
    events: Vec<EventRow>,
    created: Vec<Created>,
    changed: BTreeSet<EffectId>,
    ended: Vec<EffectId>,
    steps: Vec<Step>,
    exports: BTreeMap<OrderNo, ExportChange>,
    /// What went wrong where no error could be given back; the commit fails with it.
    failed: Option<StoreError>,
}

impl Pending {
    /// Forgets what waits and reads the open effects: at the start, and after a rollback.
    pub(super) fn reload(&mut self, connection: &Connection) -> Result<(), StoreError> {
        *self = Self::default();
        let open = effects::open_effects(&Read::new(connection, usize::MAX))?;
        self.keep_open(open);
        Ok(())
    }

    /// The open effects of an order, oldest first.
    pub(super) fn open_of(&self, order_no: OrderNo) -> impl Iterator<Item = &Effect> {
        let ids = self.open_by_order.get(&order_no).into_iter().flatten();
        ids.filter_map(|id| self.open.get(id))
    }

    /// New effects, still to be written.
    pub(super) fn add(&mut self, effects: Vec<Effect>) {
        self.opened.extend(effects.iter().map(|effect| effect.id));
        self.keep_open(effects);
    }

    fn keep_open(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.open_by_order.entry(effect.order_no).or_default().push(effect.id);
            self.open.insert(effect.id, effect);
        }
    }

    /// An event, still to be written.
    pub(super) fn add_event(&mut self, event: EventRow) {
        self.events.push(event);
    }

    /// What the shop answered to a create.
    pub(super) fn add_created(&mut self, created: Created) {
        self.created.push(created);
    }

    /// Changes an open effect, and logs the state that it has then, where `log` says so.
    pub(super) fn change(
        &mut self,
        id: EffectId,
        log: Option<(Timestamp, Option<&str>)>,
        change: impl FnOnce(&mut Effect),
    ) -> Result<(), StoreError> {
        let effect = self.open.get_mut(&id).ok_or(StoreError::NotFound)?;
        change(effect);
        self.changed.insert(id);
        if let Some((at, text)) = log {
            let step = Step {
                effect: effect.clone(),
                at,
                state: effect.state.as_str(),
                text: text.map(str::to_owned),
            };
            self.steps.push(step);
        }
        Ok(())
    }

    /// Ends an open effect.
    pub(super) fn end(
        &mut self,
        id: EffectId,
        outcome: EffectOutcome,
        text: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let effect = self.open.remove(&id).ok_or(StoreError::NotFound)?;
        if let Some(ids) = self.open_by_order.get_mut(&effect.order_no) {
            ids.retain(|open| *open != id);
            if ids.is_empty() {
                self.open_by_order.remove(&effect.order_no);
            }
        }
        self.changed.remove(&id);
        // One that was opened in this very commit never gets into the file.
        match self.opened.iter().position(|opened| *opened == id) {
            Some(place) => drop(self.opened.swap_remove(place)),
            None => self.ended.push(id),
        }
        self.steps.push(Step { effect, at, state: outcome.as_str(), text: Some(text.to_owned()) });
        Ok(())
    }

    /// Says whether an order is in the shop; `created` is the shop's id of it and when.
    pub(super) fn set_export(&mut self, order_no: OrderNo, change: ExportChange) {
        let earlier = self.exports.remove(&order_no);
        let (created, facts_version) =
            earlier.map_or((None, None), |earlier| (earlier.created, earlier.facts_version));
        let change = ExportChange {
            created: change.created.or(created),
            facts_version: change.facts_version.or(facts_version),
            ..change
        };
        self.exports.insert(order_no, change);
    }

    /// Remembers an error for the commit.
    pub(super) fn fail(&mut self, error: StoreError) {
        self.failed.get_or_insert(error);
    }

    /// Writes what waits.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.write_created(connection)?;
        self.write_effects(connection)?;
        self.write_exports(connection)?;
        events::append_rows(connection, &std::mem::take(&mut self.events))?;
        if self.steps.is_empty() {
            return Ok(());
        }
        let mut appender = connection.appender_to_db("effect_log", "main")?;
        for Step { effect, at, state, text } in self.steps.drain(..) {
            appender.append_row(params![
                effect.id.0,
                effect.order_no.0,
                effect.kind.as_str(),
                effect.revision,
                effect.connection.0,
                time(at),
                state,
                i64::from(effect.attempts),
                text,
            ])?;
        }
        Ok(appender.flush()?)
    }

    /// The shop's answers enter the mirror. What was shipped, cancelled or refunded meanwhile is read.
    fn write_created(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for (effect, opened) in mirror::add_created(connection, std::mem::take(&mut self.created))? {
            let is_same = |open: &Effect| open.kind == effect.kind && open.revision == effect.revision;
            let is_open = self.open_of(effect.order_no).any(is_same);
            if !is_open {
                opened.add(effect.clone());
                self.add(vec![effect]);
            }
        }
        Ok(())
    }

    fn write_effects(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let opened = std::mem::take(&mut self.opened);
        self.changed.retain(|id| !opened.contains(id));
        effects::append_rows(connection, opened.iter().filter_map(|id| self.open.get(id)))?;
        let changed: Vec<&Effect> = self.changed.iter().filter_map(|id| self.open.get(id)).collect();
        if let (Some(first), Some(last)) = (changed.first(), changed.last()) {
            let reason = |effect: &&Effect| effect.reason.clone();
            let count = connection.execute(
                CHANGE_EFFECTS_SQL,
                params![
                    id_list(changed.iter().map(|effect| effect.id.0)),
                    texts(changed.iter().map(|effect| effect.state.as_str())),
                    id_list(changed.iter().map(|effect| i64::from(effect.attempts))),
                    times(changed.iter().map(|effect| Some(effect.due_at))),
                    times(changed.iter().map(|effect| effect.called_at)),
                    times(changed.iter().map(|effect| effect.first_empty_probe_at)),
                    texts(
                        changed.iter().map(|effect| reason(effect).map_or("", |reason| reason.code.as_str()))
                    ),
                    texts(
                        changed.iter().map(|effect| reason(effect)
                            .and_then(|reason| reason.detail)
                            .unwrap_or_default())
                    ),
                    texts(changed.iter().map(|effect| effect.ticket.clone().unwrap_or_default())),
                    first.id.0,
                    last.id.0,
                ],
            )?;
            all_found(count, changed.len())?;
        }
        self.changed.clear();
        if let (Some(first), Some(last)) = (self.ended.iter().min(), self.ended.iter().max()) {
            let ids = id_list(self.ended.iter().map(|id| id.0));
            let count = connection.execute(END_EFFECTS_SQL, params![first.0, last.0, ids])?;
            all_found(count, self.ended.len())?;
        }
        self.ended.clear();
        Ok(())
    }

    fn write_exports(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let exports = std::mem::take(&mut self.exports);
        let (Some((first, _)), Some((last, _))) = (exports.first_key_value(), exports.last_key_value())
        else {
            return Ok(());
        };
        let changes = || exports.values();
        let detail = |change: &ExportChange| {
            change.reason.clone().and_then(|reason| reason.detail).unwrap_or_default()
        };
        let created = |change: &ExportChange| change.created.clone();
        let count = connection.execute(
            CHANGE_EXPORTS_SQL,
            params![
                id_list(exports.keys().map(|order_no| order_no.0)),
                texts(changes().map(|change| change.state.as_str())),
                texts(
                    changes().map(|change| change.reason.as_ref().map_or("", |reason| reason.code.as_str()))
                ),
                texts(changes().map(detail)),
                times(changes().map(|change| Some(change.changed_at))),
                texts(changes().map(|change| created(change).map(|(id, _)| id).unwrap_or_default())),
                times(changes().map(|change| created(change).map(|(_, at)| at))),
                id_list(changes().map(|change| change.facts_version.unwrap_or(ANY_VERSION))),
                first.0,
                last.0,
            ],
        )?;
        let is_versioned = changes().any(|change| change.facts_version.is_some());
        all_found(count, exports.len())
            .map_err(|error| if is_versioned { StoreError::Changed } else { error })
    }
}

/// A group with a change of something that does not exist is undone, and the one that asked for it fails alone.
fn all_found(changed: usize, expected: usize) -> Result<(), StoreError> {
    if changed == expected { Ok(()) } else { Err(StoreError::NotFound) }
}

fn texts<T: Into<String>>(texts: impl Iterator<Item = T>) -> Value {
    Value::List(texts.map(|text| Value::Text(text.into())).collect())
}

fn times(times: impl Iterator<Item = Option<Timestamp>>) -> Value {
    id_list(times.map(|at| at.map_or(NO_TIME, Timestamp::as_microsecond)))
}

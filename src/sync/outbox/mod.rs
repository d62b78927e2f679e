//! The outbox: each effect is one deed, safe to run twice. What it is about to do is durable before the call
//! goes out; after any answer that leaves doubt we look before doing it again.

mod after_sale;
mod cancel_order;
mod cancel_shop_order;
mod confirm_shipment;
mod create_shop_order;
mod doubt;
mod keep_customisation;
mod look;
mod read_shop_after_sale;
mod read_shop_shipments;
mod refresh_order;
mod refund_order;
mod ship_shop_order;

use std::time::Duration;

use jiff::Timestamp;

use super::planted::Planted;
use super::{Engine, EngineError, retry};
use crate::channels::error::{ChannelError, RejectKind};
use crate::domain::connection::Connection;
use crate::domain::effect::{Effect, EffectKind, EffectOutcome, EffectState};
use crate::domain::id::{ConnectionId, EffectId};
use crate::domain::order::{ExportState, OrderFacts};
use crate::domain::plan::{EventKind, HeldOrder, NewEvent};
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::{StoreError, Tx, WriteLane, effects, events, orders};

pub(super) use look::Looks;
use look::{Look, Mirrored};

/// How long an effect waits for a connection that does not work; it is hastened when the connection does.
const CONNECTION_WAIT: Duration = Duration::from_secs(300);

/// A platform that does not know what an effect is about is asked again for so long.
const SEEN_EVERYWHERE_AFTER: Duration = Duration::from_secs(600);

/// How a run of an effect ended.
enum Outcome {
    /// It is done, or no longer owed.
    Finished(EffectOutcome, String),
    /// It comes again.
    Postponed { due_at: Timestamp, state: EffectState, reason: Option<Reason>, text: String },
    /// The run wrote the effect's end itself.
    Written(Option<Effect>),
}

impl Outcome {
    fn held(reason: Reason, now: Timestamp) -> Self {
        let text = reason.what();
        Self::Postponed { due_at: now, state: EffectState::Held, reason: Some(reason), text }
    }

    fn wait(due_at: Timestamp, reason: Reason) -> Self {
        let text = reason.what();
        Self::Postponed { due_at, state: EffectState::Due, reason: Some(reason), text }
    }
}

/// What every effect works on.
struct Work {
    effect: Effect,
    /// The connection that is called.
    target: Connection,
    /// The order's own connection.
    owner: Connection,
    facts: OrderFacts,
    held: HeldOrder,
    /// What the mirror of the shop knows of an order that is to be created there.
    mirrored: Mirrored,
}

impl Engine {
    pub(super) async fn run_effect(&self, effect: Effect) {
        let (id, order_no) = (effect.id, effect.order_no);
        let result = self.execute(&effect).await;
        let settled = match result {
            Ok(outcome) => self.settle(&effect, outcome).await,
            Err(error) => self.settle_error(&effect, error).await,
        };
        if matches!(settled, Err(StoreError::NotFound)) && self.is_over(id).await {
            // It ended while it ran, or its end is durable though what came after that failed: it is not run again.
            tracing::warn!(effect.id = id.0, order.no = order_no.0, "an effect is no longer open");
            self.with_queue(|queue| queue.remove(id));
        } else if let Err(error) = settled {
            // Nothing became durable: the effect is as it was, and comes again.
            tracing::error!(effect.id = id.0, order.no = order_no.0, "{error}");
            let due_at = retry::later(self.now(), retry::BACKOFF_FIRST);
            self.with_queue(|queue| {
                if let Some(current) = queue.of_order(order_no).into_iter().find(|open| open.id == id) {
                    queue.put(Effect { due_at, ..current });
                }
            });
        }
        self.with_queue(|queue| {
            queue.effect_done(id);
            queue.order_done(order_no);
        });
        self.inner.wake.notify_one();
    }

    /// Whether an effect is no longer open. What cannot be read counts as open.
    async fn is_over(&self, id: EffectId) -> bool {
        let open = self.store().read(move |read| effects::get_open(read, id)).await;
        open.is_ok_and(|open| open.is_none())
    }

    async fn execute(&self, effect: &Effect) -> Result<Outcome, EngineError> {
        let looked = self.inner.looks.look(self.store(), effect).await?;
        let Some(Look { facts: (facts, held, owner), mirrored }) = looked else {
            return Ok(Outcome::Finished(EffectOutcome::Dropped, "The order does not exist.".to_owned()));
        };
        let now = self.now();
        let (Some(target), Some(owner)) = (self.connection(effect.connection), self.connection(owner)) else {
            return Ok(Outcome::Finished(
                EffectOutcome::Dropped,
                "The connection does not exist.".to_owned(),
            ));
        };
        if !target.state.may_call() {
            let detail = format!("{} is {}", target.alias, target.state);
            let reason = Reason::with(self.unavailable(&target, &owner), detail);
            return Ok(Outcome::Postponed {
                due_at: retry::later(now, CONNECTION_WAIT),
                state: if effect.state == EffectState::Called { EffectState::InDoubt } else { effect.state },
                text: reason.what(),
                reason: Some(reason),
            });
        }
        let work = Work { effect: effect.clone(), target, owner, facts, held, mirrored };
        match effect.kind {
            EffectKind::CreateShopOrder => create_shop_order::run(self, work).await,
            EffectKind::CancelShopOrder => cancel_shop_order::run(self, work).await,
            EffectKind::ShipShopOrder => ship_shop_order::run(self, work).await,
            EffectKind::ConfirmShipment => confirm_shipment::run(self, work).await,
            EffectKind::ReadShopShipments => read_shop_shipments::run(self, work).await,
            EffectKind::ReadShopAfterSale => read_shop_after_sale::run(self, work).await,
            EffectKind::CancelOrder => cancel_order::run(self, work).await,
            EffectKind::RefundOrder => refund_order::run(self, work).await,
            EffectKind::RefreshOrder => refresh_order::run(self, work).await,
            EffectKind::KeepCustomisation => keep_customisation::run(self, work).await,
        }
    }

    fn unavailable(&self, target: &Connection, owner: &Connection) -> ReasonCode {
        if target.id == owner.id { ReasonCode::MarketplaceUnavailable } else { ReasonCode::ShopUnavailable }
    }

    async fn settle(&self, effect: &Effect, outcome: Outcome) -> Result<(), StoreError> {
        match outcome {
            Outcome::Written(next) => {
                self.with_queue(|queue| match next {
                    Some(next) => queue.put(next),
                    None => queue.remove(effect.id),
                });
                Ok(())
            }
            Outcome::Finished(outcome, text) => {
                let (id, kept) = (effect.id, text);
                self.store()
                    .write(WriteLane::Interactive, move |tx| effects::finish(tx, id, outcome, &kept))
                    .await?;
                self.with_queue(|queue| queue.remove(effect.id));
                Ok(())
            }
            Outcome::Postponed { due_at, state, reason, text } => {
                let next = Effect { due_at, state, reason: reason.clone(), ..self.current(effect) };
                let is_export = effect.kind == EffectKind::CreateShopOrder;
                let was = effect.reason.as_ref().map(|reason| reason.code);
                let now = self.now();
                let (id, order_no) = (effect.id, effect.order_no);
                self.store()
                    .write(WriteLane::Interactive, move |tx| {
                        effects::postpone(tx, id, due_at, state, reason.as_ref(), &text)?;
                        note_wait(tx, order_no, is_export, state, reason.as_ref(), was, now)
                    })
                    .await?;
                self.with_queue(|queue| queue.put(next));
                Ok(())
            }
        }
    }

    /// The effect as the queue has it: its attempts and marks may have moved while it ran.
    fn current(&self, effect: &Effect) -> Effect {
        let open = self.with_queue(|queue| queue.of_order(effect.order_no));
        open.into_iter().find(|open| open.id == effect.id).unwrap_or_else(|| effect.clone())
    }

    async fn settle_error(&self, effect: &Effect, error: EngineError) -> Result<(), StoreError> {
        let channel = match error {
            EngineError::Store(StoreError::Changed) => {
                return self.settle(effect, begin_anew(effect, self.now())).await;
            }
            EngineError::Store(error) => return Err(error),
            EngineError::Channel(channel) => self.confirmed(effect.connection, channel).await,
        };
        let now = self.now();
        let current = self.current(effect);
        let is_unseen = matches!(&channel, ChannelError::Reject { kind: RejectKind::NotFound, .. });
        let is_young = is_unseen && self.is_new(&current, now).await?;
        // A call of an earlier run, whose process may have died, stays in doubt whatever this run failed at before it
        // called again.
        let has_called = current.attempts > effect.attempts;
        let in_doubt = if has_called || self.has_planted(Planted::DoubtForgotten) {
            current.state == EffectState::InDoubt || channel.is_in_doubt()
        } else {
            doubt::is_in_doubt(effect) || doubt::is_in_doubt(&current)
        };
        let state = if in_doubt { EffectState::InDoubt } else { EffectState::Due };
        let outcome = match &channel {
            ChannelError::Retry { after, throttled, message, .. } => {
                let attempts = if *throttled { 1 } else { tries(&current, now) };
                let due_at = retry::next_try(
                    now,
                    attempts,
                    retry::BACKOFF_FIRST,
                    retry::BACKOFF_MAX,
                    *after,
                    self.entropy(),
                );
                let code = if in_doubt { doubt_code(effect.kind) } else { ReasonCode::Retrying };
                let reason = (!throttled || in_doubt).then(|| Reason::with(code, message.clone()));
                Outcome::Postponed { due_at, state, reason, text: message.clone() }
            }
            ChannelError::Reauth { message } => {
                if let Some(target) = self.connection(effect.connection) {
                    let trouble = EngineError::Channel(channel.clone());
                    self.connection_trouble(&target, &trouble, u32::MAX).await;
                }
                let reason = Reason::with(unavailable_code(effect.kind), message.clone());
                let due_at = retry::later(now, CONNECTION_WAIT);
                Outcome::Postponed { due_at, state, reason: Some(reason), text: message.clone() }
            }
            // An answer that cannot be read says nothing of the order: it is asked for again.
            ChannelError::Corrupt { message, .. } => {
                let (first, longest) = (retry::BACKOFF_FIRST, retry::BACKOFF_MAX);
                let due_at = retry::next_try(now, tries(&current, now), first, longest, None, self.entropy());
                let code = if in_doubt { doubt_code(effect.kind) } else { ReasonCode::Retrying };
                let reason = Some(Reason::with(code, message.clone()));
                Outcome::Postponed { due_at, state, reason, text: message.clone() }
            }
            // What was made a moment ago may not be seen everywhere yet.
            ChannelError::Reject { message, .. } if is_young => {
                let (first, longest) = (retry::BACKOFF_FIRST, retry::BACKOFF_MAX);
                let due_at = retry::next_try(now, tries(&current, now), first, longest, None, self.entropy());
                let reason = Some(Reason::with(ReasonCode::Retrying, message.clone()));
                Outcome::Postponed { due_at, state, reason, text: message.clone() }
            }
            ChannelError::Reject { message, .. } | ChannelError::Fatal { message } => {
                let code = match effect.kind {
                    EffectKind::ConfirmShipment | EffectKind::RefreshOrder => ReasonCode::MarketplaceRejected,
                    EffectKind::KeepCustomisation => ReasonCode::CustomisationMissing,
                    EffectKind::CancelOrder => ReasonCode::CancellationRefused,
                    EffectKind::RefundOrder => ReasonCode::RefundRefused,
                    _ => ReasonCode::ShopRejected,
                };
                Outcome::held(Reason::with(code, message.clone()), now)
            }
        };
        self.settle(effect, outcome).await
    }

    /// Whether what the effect is about has been there for so short a time that it may not be seen everywhere yet: since
    /// the effect is owed, or since the order is in the shop, which may be much later.
    async fn is_new(&self, effect: &Effect, now: Timestamp) -> Result<bool, StoreError> {
        if is_young(effect, now) {
            return Ok(true);
        }
        let order_no = effect.order_no;
        let in_shop = self.store().read(move |read| orders::in_shop_since(read, order_no)).await?;
        Ok(in_shop.is_some_and(|since| now < retry::later(since, SEEN_EVERYWHERE_AFTER)))
    }

    /// Makes the intent of a call durable. From here on a crash leaves the effect in doubt. An order that changed since
    /// it was read for its export is not exported so.
    async fn begin_call(&self, work: &Work) -> Result<Effect, StoreError> {
        let now = self.now();
        let (id, order_no) = (work.effect.id, work.effect.order_no);
        let (is_export, facts_version) =
            (work.effect.kind == EffectKind::CreateShopOrder, work.held.facts_version);
        if !self.has_planted(Planted::IntentNotDurable) {
            self.store()
                .write(WriteLane::Interactive, move |tx| {
                    effects::begin_call(tx, id, now)?;
                    if is_export {
                        orders::begin_export(tx, order_no, facts_version)?;
                    }
                    Ok(())
                })
                .await?;
        }
        let called = Effect {
            state: EffectState::Called,
            attempts: work.effect.attempts.saturating_add(1),
            called_at: Some(now),
            first_empty_probe_at: None,
            reason: None,
            ..work.effect.clone()
        };
        self.with_queue(|queue| queue.put(called.clone()));
        Ok(called)
    }
}

/// The order changed after it was read for a call that has not gone out: it is read again, and what was in doubt stays so.
fn begin_anew(effect: &Effect, now: Timestamp) -> Outcome {
    Outcome::Postponed {
        due_at: now,
        state: if doubt::is_in_doubt(effect) { EffectState::InDoubt } else { EffectState::Due },
        reason: effect.reason.clone(),
        text: "The order has changed meanwhile and is read again.".to_owned(),
    }
}

/// How often an effect has been tried, as far as waiting is concerned: its calls, or, where it fails before any
/// call of its own, how long it has been owed.
fn tries(effect: &Effect, now: Timestamp) -> u32 {
    let seconds = now.duration_since(effect.created_at).as_secs().unsigned_abs();
    let by_age = (seconds / retry::BACKOFF_FIRST.as_secs()).checked_ilog2().unwrap_or(0);
    effect.attempts.max(by_age).max(1)
}

/// Whether the effect has been owed for so short a time that what it is about may not be seen everywhere yet.
fn is_young(effect: &Effect, now: Timestamp) -> bool {
    now < retry::later(effect.created_at, SEEN_EVERYWHERE_AFTER)
}

fn unavailable_code(kind: EffectKind) -> ReasonCode {
    match kind {
        EffectKind::ConfirmShipment
        | EffectKind::RefreshOrder
        | EffectKind::KeepCustomisation
        | EffectKind::CancelOrder
        | EffectKind::RefundOrder => ReasonCode::MarketplaceUnavailable,
        EffectKind::CreateShopOrder
        | EffectKind::CancelShopOrder
        | EffectKind::ShipShopOrder
        | EffectKind::ReadShopShipments
        | EffectKind::ReadShopAfterSale => ReasonCode::ShopUnavailable,
    }
}

/// The reason of an effect whose call ended in doubt.
fn doubt_code(kind: EffectKind) -> ReasonCode {
    let is_after_sale = matches!(kind, EffectKind::CancelOrder | EffectKind::RefundOrder);
    if is_after_sale { ReasonCode::AnswerLost } else { ReasonCode::InDoubt }
}

/// True where the other side says that it was done before.
fn is_already_done(error: &ChannelError) -> bool {
    matches!(error, ChannelError::Reject { kind: RejectKind::AlreadyDone, .. })
}

/// Shows on the order why an effect waits, once per cause.
fn note_wait(
    tx: &mut Tx<'_>,
    order_no: crate::domain::id::OrderNo,
    is_export: bool,
    state: EffectState,
    reason: Option<&Reason>,
    was: Option<ReasonCode>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if is_export {
        let export_state = match state {
            EffectState::InDoubt | EffectState::Called => ExportState::Creating,
            EffectState::Held if is_failure(reason) => ExportState::Failed,
            EffectState::Held | EffectState::Due => ExportState::Waiting,
        };
        orders::set_export(tx, order_no, export_state, reason)?;
    }
    let Some(reason) = reason.filter(|reason| Some(reason.code) != was) else { return Ok(()) };
    let kind = match state {
        EffectState::InDoubt | EffectState::Called => EventKind::InDoubt,
        EffectState::Held if is_export && is_failure(Some(reason)) => EventKind::ExportFailed,
        EffectState::Held => EventKind::Held,
        EffectState::Due => EventKind::ExportWaiting,
    };
    let event = NewEvent::new(kind, reason.what());
    events::add(tx, Some(order_no), None, &event, "eider", None, now)
}

fn is_failure(reason: Option<&Reason>) -> bool {
    reason.is_some_and(|reason| {
        matches!(
            reason.code,
            ReasonCode::ShopRejected | ReasonCode::DuplicateInShop | ReasonCode::TotalMismatch
        )
    })
}

/// The marketplace that an order's shipments go to.
fn fulfilment_target(owner: &Connection, facts: &OrderFacts) -> Option<ConnectionId> {
    (facts.fulfilled_by == crate::domain::order::FulfilledBy::Seller).then_some(owner.id)
}

//! Asks the marketplace to give back what was refunded in the shop.
//!
//! A refund is money: once the marketplace was asked and it is not certain that nothing came of it, it is never asked
//! again. Its refunds of the order are looked at for a while, and then a person is asked to look.

use std::time::Duration;

use super::{Outcome, Work, after_sale, tries};
use crate::channels::after_sale::{ListedRefund, Progress, RefundDraft, RefundLine, RefundReason, Refunds};
use crate::channels::error::ChannelError;
use crate::domain::effect::{EffectKind, EffectOutcome, EffectState};
use crate::domain::money::Money;
use crate::domain::order::{AmountKind, OrderStatus};
use crate::domain::plan::after_sale::Telling;
use crate::domain::plan::{EventKind, NewEvent};
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::refunds::{self, RefundRow};
use crate::store::{Read, WriteLane, effects, events};
use crate::sync::{Engine, EngineError, retry};

/// After a doubt the marketplace's refunds are looked at for so long: platforms finish late.
const LOOK_FOR: Duration = Duration::from_secs(600);
/// Between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
/// A refund waits so long for a cancellation of its order that is under way.
const CANCELLATION_WAIT: Duration = Duration::from_secs(60);

/// A refund that was not sent, since the marketplace's own could not be read before, is tried so often.
const TRIES_MAX: u32 = 8;

/// What a look at the marketplace's refunds says.
enum Seen {
    /// It lists none to us.
    Unlisted,
    /// It is not there.
    Absent,
    /// It is not there, but one of its amount that somebody made on the marketplace's own page.
    ByHand,
    /// It is there, under this id.
    There(String),
}

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let order_no = work.effect.order_no;
    let rows = engine.store().read(move |read| refunds::of_order(read, order_no)).await?;
    let Some(row) = rows.iter().find(|row| row.refund.shop_refund_id == work.effect.revision) else {
        let text = "The refund is not known here.".to_owned();
        return Ok(Outcome::Finished(EffectOutcome::Dropped, text));
    };
    if row.told_at.is_some() {
        let text = "The marketplace has given it back.".to_owned();
        return Ok(Outcome::Finished(EffectOutcome::Found, text));
    }
    let connector = engine.connector(work.target.id)?;
    let Some(channel) = connector.refunds() else {
        let reason = Reason::with(ReasonCode::RefundRefused, "it takes no refunds from other programs");
        return Ok(Outcome::held(reason, engine.now()));
    };
    // Its own row knows what the effect may have lost.
    let known = row.marketplace_refund_id.clone().filter(|_| row.called_at.is_some());
    if let Some(ticket) = work.effect.ticket.clone().or(known) {
        return match channel.refunded(&after_sale::order_of(&work), &ticket).await {
            Ok(progress) => follow(engine, &work, row, progress).await,
            Err(error) => after_sale::not_seen(engine, &work, error),
        };
    }
    if row.called_at.is_some() || is_forgotten(engine, &work, row) {
        return look_for_it(engine, &work, row, &rows, channel).await;
    }
    let telling = after_sale::refunds(&work.owner, Some(&*connector));
    if let Some(outcome) = not_yet(engine, &work, row, telling).await? {
        return Ok(outcome);
    }
    send(engine, &work, row, &rows, channel).await
}

/// Whether it may have been sent in a time that a restore has forgotten. What a person has looked at since is known.
fn is_forgotten(engine: &Engine, work: &Work, row: &RefundRow) -> bool {
    let installation = engine.store().installation();
    let is_older = work.effect.created_at <= installation.epoch_since
        || row.refund.refunded_at.is_some_and(|at| installation.may_be_older(at));
    installation.epoch > 1 && is_older && row.resend_at.is_none_or(|at| at <= installation.epoch_since)
}

/// Why it is not sent now, if it is not.
async fn not_yet(
    engine: &Engine,
    work: &Work,
    row: &RefundRow,
    telling: Telling,
) -> Result<Option<Outcome>, EngineError> {
    let alias = &work.target.alias;
    let dropped = |text: String| {
        after_sale::over(engine, work, EffectOutcome::Dropped, EventKind::RefundedInShop, text)
    };
    if work.facts.status == OrderStatus::Cancelled || is_cancelled_for_us(engine, work).await? {
        let text = format!("{alias} cancelled the order and gives everything back: no refund was sent.");
        return dropped(text).await.map(Some);
    }
    if telling != Telling::On {
        let text = format!("{alias} was not asked for the refund: that was switched off meanwhile.");
        return dropped(text).await.map(Some);
    }
    if row.refund.shares.is_empty() {
        let detail = work.effect.reason.as_ref().and_then(|reason| reason.detail.clone());
        let reason = Reason { code: ReasonCode::RefundNotLaid, detail };
        return Ok(Some(Outcome::held(reason, engine.now())));
    }
    // A cancellation gives everything back: which of the two it is to be is known once that is over.
    let open = engine.with_queue(|queue| queue.of_order(work.effect.order_no));
    let is_cancelling =
        open.iter().any(|one| one.kind == EffectKind::CancelOrder && one.state != EffectState::Held);
    Ok(is_cancelling.then(|| {
        let due_at = retry::later(engine.now(), CANCELLATION_WAIT);
        Outcome::wait(due_at, Reason::of(ReasonCode::Undecided))
    }))
}

/// Whether the marketplace has done a cancellation of ours. Its order may say so later than that.
async fn is_cancelled_for_us(engine: &Engine, work: &Work) -> Result<bool, EngineError> {
    let order_no = work.effect.order_no;
    let ended = move |read: &Read<'_>| effects::has_ended_well(read, order_no, EffectKind::CancelOrder);
    Ok(engine.store().read(ended).await?)
}

async fn send(
    engine: &Engine,
    work: &Work,
    row: &RefundRow,
    rows: &[RefundRow],
    channel: &dyn Refunds,
) -> Result<Outcome, EngineError> {
    let (order, currency) = (after_sale::order_of(work), work.facts.currency);
    let listed = match channel.listed(&order, currency).await {
        Ok(listed) => listed,
        Err(ChannelError::Corrupt { message, .. }) if tries(&work.effect, engine.now()) >= TRIES_MAX => {
            let detail =
                format!("it was not asked, since what it gave back before cannot be read: {message}");
            return Ok(Outcome::held(Reason::with(ReasonCode::RefundRefused, detail), engine.now()));
        }
        Err(error) => return Err(error.into()),
    };
    let back = listed.iter().flatten().map(|one| one.minor).fold(0, i64::saturating_add);
    let withheld: i64 = work.facts.amount(AmountKind::WithheldTax, None).unwrap_or(0).saturating_abs();
    let paid = work.facts.total_minor.saturating_sub(withheld);
    if back.saturating_add(row.refund.sent_minor()) > paid {
        let detail = format!("{} has given {} back already", work.target.alias, shown(work, back));
        return Ok(Outcome::held(Reason::with(ReasonCode::RefundNotLaid, detail), engine.now()));
    }
    let draft = draft(work, row);
    if draft.lines.is_empty() {
        return told(engine, work, row, EffectOutcome::Done).await;
    }
    if row.resend_at.is_none()
        && let Some(there) = made_by_hand(row, rows, listed.as_deref().unwrap_or_default())
    {
        let alias = &work.target.alias;
        let detail = format!(
            "{}, and {alias} lists a refund of {} that was not asked for here",
            shown(work, row.refund.sent_minor()),
            shown(work, there.minor)
        );
        return Ok(Outcome::held(Reason::with(ReasonCode::RefundInDoubt, detail), engine.now()));
    }
    let (order_no, id, now) = (work.effect.order_no, row.refund.shop_refund_id.clone(), engine.now());
    let before: Option<Vec<String>> = listed.map(|listed| listed.into_iter().map(|one| one.id).collect());
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            refunds::set_called(tx, order_no, &id, before.as_deref(), now)
        })
        .await?;
    engine.begin_call(work).await?;
    match channel.refund(&order, &draft).await {
        Ok(progress) => follow(engine, work, row, progress).await,
        Err(error) if error.is_in_doubt() => Err(error.into()),
        Err(error) => {
            // The marketplace did nothing: it may be asked again.
            clear(engine, work, row).await?;
            match error {
                ChannelError::Reject { message, .. } | ChannelError::Fatal { message } => {
                    after_sale::held(engine, work, Reason::with(ReasonCode::RefundRefused, message)).await
                }
                error => Err(error.into()),
            }
        }
    }
}

/// A refund on the marketplace's own page that may be this one, which the shop only records: of its amount, with or
/// without the tax that the marketplace gives back by itself, and claimed by none of ours. One that a person settled by
/// hand claims one of its amount.
fn made_by_hand<'l>(
    row: &RefundRow,
    rows: &[RefundRow],
    listed: &'l [ListedRefund],
) -> Option<&'l ListedRefund> {
    let is_claimed = |one: &ListedRefund| {
        rows.iter().any(|other| other.marketplace_refund_id.as_deref() == Some(one.id.as_str()))
    };
    let is_as =
        |row: &RefundRow, minor: i64| minor == row.refund.sent_minor() || minor == row.refund.total_minor;
    let mut unclaimed: Vec<&ListedRefund> = listed.iter().filter(|one| !is_claimed(one)).collect();
    let is_by_hand = |other: &&RefundRow| other.told_at.is_some() && other.marketplace_refund_id.is_none();
    for other in rows.iter().filter(is_by_hand).filter(|other| other.refund.sent_minor() > 0) {
        if let Some(place) = unclaimed.iter().position(|one| is_as(other, one.minor)) {
            unclaimed.remove(place);
        }
    }
    unclaimed.into_iter().find(|one| is_as(row, one.minor))
}

fn draft(work: &Work, row: &RefundRow) -> RefundDraft {
    let lines = row.refund.shares.iter().map(|share| RefundLine {
        external_line_id: share.external_line_id.clone(),
        item_minor: share.sent_item_minor,
        shipping_minor: share.sent_shipping_minor,
        quantity_cancelled: share.quantity_cancelled,
    });
    RefundDraft {
        key: row.refund.shop_refund_id.clone(),
        currency: work.facts.currency,
        lines: lines.filter(|line| line.item_minor > 0 || line.shipping_minor > 0).collect(),
        is_single_line_order: work.facts.lines.len() == 1,
        reason: RefundReason::Other,
        comment: None,
    }
}

async fn follow(
    engine: &Engine,
    work: &Work,
    row: &RefundRow,
    progress: Progress,
) -> Result<Outcome, EngineError> {
    match progress {
        Progress::Done => told(engine, work, row, EffectOutcome::Done).await,
        Progress::Pending(ticket) => {
            after_sale::pending(engine, work, ticket, Some(&row.refund.shop_refund_id)).await
        }
        // Something may have come of it: what it is asked with stays, so that nothing but a person sends it again.
        Progress::Doubtful(words) => {
            Ok(Outcome::held(Reason::with(ReasonCode::RefundInDoubt, words), engine.now()))
        }
        Progress::Refused(words) => {
            clear(engine, work, row).await?;
            after_sale::held(engine, work, Reason::with(ReasonCode::RefundRefused, words)).await
        }
    }
}

/// It may have been given back, and nobody has said so: it is looked for, and never sent.
async fn look_for_it(
    engine: &Engine,
    work: &Work,
    row: &RefundRow,
    rows: &[RefundRow],
    channel: &dyn Refunds,
) -> Result<Outcome, EngineError> {
    let now = engine.now();
    let hold = |detail: &str| {
        let amount = shown(work, row.refund.sent_minor());
        Outcome::held(Reason::with(ReasonCode::RefundInDoubt, format!("{amount}, {detail}")), now)
    };
    let since = row.called_at.unwrap_or(engine.store().installation().epoch_since);
    let is_over = now >= retry::later(since, LOOK_FOR);
    let seen = match seen(work, row, rows, channel).await {
        Ok(seen) => seen,
        Err(ChannelError::Corrupt { message, .. }) if is_over => {
            return Ok(hold(&format!("and what the marketplace lists cannot be read: {message}")));
        }
        Err(error) => return after_sale::not_seen(engine, work, error),
    };
    match seen {
        Seen::There(id) => follow(engine, work, row, Progress::Pending(id)).await,
        Seen::Unlisted => Ok(hold("and the marketplace does not list refunds to other programs")),
        Seen::Absent if is_over => Ok(hold("which the marketplace does not list among the order's refunds")),
        Seen::ByHand if is_over => Ok(hold(
            "and the marketplace lists one that was made on its own page, and none that was asked for",
        )),
        Seen::Absent | Seen::ByHand => {
            let reason = Reason::of(ReasonCode::AnswerLost);
            Ok(Outcome::Postponed {
                due_at: retry::later(now, BETWEEN_LOOKS),
                state: EffectState::InDoubt,
                text: reason.what(),
                reason: Some(reason),
            })
        }
    }
}

/// Whether the marketplace lists it: of the same amount, not there before it was asked, and none of our others. What was
/// made on the marketplace's own page is never taken for it.
async fn seen(
    work: &Work,
    row: &RefundRow,
    rows: &[RefundRow],
    channel: &dyn Refunds,
) -> Result<Seen, ChannelError> {
    let listed = channel.listed(&after_sale::order_of(work), work.facts.currency).await?;
    let Some(listed) = listed else { return Ok(Seen::Unlisted) };
    let was_before = |id: &String| row.listed_before.iter().flatten().any(|before| before == id);
    let is_others = |id: &String| {
        rows.iter().any(|other| {
            other.refund.shop_refund_id != row.refund.shop_refund_id
                && other.marketplace_refund_id.as_ref() == Some(id)
        })
    };
    let mut fitting: Vec<ListedRefund> = listed
        .into_iter()
        .filter(|one| one.minor == row.refund.sent_minor() && !was_before(&one.id) && !is_others(&one.id))
        .collect();
    Ok(match fitting.iter().position(|one| !one.is_by_hand) {
        Some(place) => Seen::There(fitting.swap_remove(place).id),
        None if fitting.is_empty() => Seen::Absent,
        None => Seen::ByHand,
    })
}

async fn clear(engine: &Engine, work: &Work, row: &RefundRow) -> Result<(), EngineError> {
    let (order_no, id) = (work.effect.order_no, row.refund.shop_refund_id.clone());
    let cleared = engine
        .store()
        .write(WriteLane::Interactive, move |tx| refunds::clear_called(tx, order_no, &id, None))
        .await;
    Ok(cleared?)
}

async fn told(
    engine: &Engine,
    work: &Work,
    row: &RefundRow,
    outcome: EffectOutcome,
) -> Result<Outcome, EngineError> {
    let (effect, order_no, now) = (work.effect.id, work.effect.order_no, engine.now());
    let id = row.refund.shop_refund_id.clone();
    let sent = shown(work, row.refund.sent_minor());
    let text = if row.refund.sent_minor() == row.refund.total_minor {
        format!("{} gave {sent} back, as the shop did.", work.target.alias)
    } else {
        format!("{} gave {sent} back, as the shop did, and the tax that it keeps on top.", work.target.alias)
    };
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            refunds::mark_told(tx, order_no, &id, now)?;
            effects::finish(tx, effect, outcome, &text)?;
            let event = NewEvent::new(EventKind::RefundSent, text.clone());
            events::add(tx, Some(order_no), None, &event, "eider", None, now)
        })
        .await?;
    Ok(Outcome::Written(None))
}

fn shown(work: &Work, minor: i64) -> String {
    Money { minor, currency: work.facts.currency }.to_string()
}

//! Creates an order in the shop, exactly once (DESIGN §4).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::doubt;
use super::{Outcome, Work};
use crate::channels::error::{ChannelError, RejectKind};
use crate::channels::{Connector, ShopOrders};
use crate::clock::shifted;
use crate::domain::connection::InsufficientStock;
use crate::domain::draft::{self, DraftContext, ExternalSource, ShopOrderDraft};
use crate::domain::effect::EffectOutcome;
use crate::domain::listing::ShopVariant;
use crate::domain::money::decimal_of_minor;
use crate::domain::order::{ExportState, OrderStatus};
use crate::domain::plan::{EventKind, NewEvent, cancellation};
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::mirror::{self, MirrorRow, Opened, TwinSign};
use crate::store::{StoreError, WriteLane, effects, events, orders};
use crate::sync::jobs::{self, mirror_row};
use crate::sync::planted::Planted;
use crate::sync::{Engine, EngineError, retry, twins};

/// A SKU that the shop did not have is asked for again after so long.
const MISSING_SKU_KEPT: SignedDuration = SignedDuration::from_mins(10);
/// A shop shows raised stock a moment later.
const STOCK_RAISED_WAIT: Duration = Duration::from_secs(5);
/// A poll takes a while: so much later than one interval the mirror still counts as one poll old.
const MIRROR_GRACE: Duration = Duration::from_secs(15);

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    if work.held.export_state == ExportState::Created {
        return Ok(Outcome::Finished(EffectOutcome::Found, "It is in the shop already.".to_owned()));
    }
    let connector = engine.connector(work.target.id)?;
    let shop = connector
        .shop_orders()
        .ok_or_else(|| ChannelError::Fatal { message: format!("{} is no shop", work.target.alias) })?;

    let source = source_of(engine, &work);
    if let Some(outcome) = look_first(engine, &work, shop, &source).await? {
        return Ok(outcome);
    }
    if work.facts.status == OrderStatus::Cancelled && !work.facts.is_paid {
        return drop_cancelled(engine, &work).await;
    }
    let draft = match build_draft(engine, &work, shop, source, false).await? {
        Ok(draft) => draft,
        Err(reason) => return Ok(wait_for(reason, engine)),
    };
    create(engine, &work, &connector, shop, &draft).await
}

/// The order was cancelled before anything of it reached the shop.
async fn drop_cancelled(engine: &Engine, work: &Work) -> Result<Outcome, EngineError> {
    let (id, order_no) = (work.effect.id, work.effect.order_no);
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            let reason = Reason::of(ReasonCode::Cancelled);
            orders::set_export(tx, order_no, ExportState::None, Some(&reason))?;
            effects::finish(tx, id, EffectOutcome::Dropped, &reason.what())
        })
        .await?;
    Ok(Outcome::Written(None))
}

/// Looks whether the order is in the shop already: in doubt always, else unless the mirror can vouch for it.
async fn look_first(
    engine: &Engine,
    work: &Work,
    shop: &dyn ShopOrders,
    source: &ExternalSource,
) -> Result<Option<Outcome>, EngineError> {
    let is_in_doubt = doubt::is_in_doubt(&work.effect) && !engine.has_planted(Planted::ProbeSkipped);
    let is_complete = is_mirror_complete(engine, work);
    if let Some(outcome) = found(engine, work, source, work.mirrored.rows.clone()).await? {
        return Ok(Some(outcome));
    }
    if is_complete && !is_in_doubt {
        return Ok(None);
    }
    let listed = shop.find(&work.facts.external_id).await?;
    let rows = listed.iter().map(mirror_row).collect();
    if let Some(outcome) = found(engine, work, source, rows).await? {
        return Ok(Some(outcome));
    }
    let text = "The shop does not list it yet; looking again before it is created anew.";
    Ok(doubt::look_again(engine, work, text).await?)
}

/// Whether the mirror would know if the shop had the order: it must be complete from before the order was placed to
/// less than one poll ago. After a restore it knows nothing of what was placed before, and after an installation nothing
/// until what somebody else was at has arrived: the folder of an earlier installation may have been lost.
fn is_mirror_complete(engine: &Engine, work: &Work) -> bool {
    let placed_at = work.facts.placed_at;
    let interval = work
        .target
        .settings
        .poll_interval_s
        .map_or(engine.settings().shop_poll_interval, |seconds| Duration::from_secs(u64::from(seconds)));
    let is_recent =
        |until: Timestamp| retry::later(until, interval + interval / 10 + MIRROR_GRACE) >= engine.now();
    let installation = engine.store().installation();
    let is_planted = engine.has_planted(Planted::EpochIgnored);
    if installation.may_have_forgotten(placed_at) && !is_planted {
        return false;
    }
    let is_older = placed_at <= installation.epoch_since && !is_planted;
    let known_from = is_older.then(|| retry::later(installation.epoch_since, doubt::AFTER_CALL));
    work.mirrored.stream.as_ref().is_some_and(|state| {
        let reaches_back = state.complete_since.is_none_or(|since| since < placed_at);
        let is_known = |until: Timestamp| known_from.is_none_or(|from| from <= until);
        reaches_back && state.complete_until.is_some_and(|until| is_recent(until) && is_known(until))
    })
}

/// Looks whether the shop holds an order that we know nothing of, and takes it over as ours: the shop's id of it.
pub(super) async fn adopt(
    engine: &Engine,
    work: &Work,
    shop: &dyn ShopOrders,
) -> Result<Option<String>, EngineError> {
    let source = source_of(engine, work);
    let listed = shop.find(&work.facts.external_id).await?;
    let rows = listed.iter().map(mirror_row).chain(work.mirrored.rows.iter().cloned());
    let Some(row) = rows.filter(|row| is_same_order(row, &source)).min_by_key(|row| row.created_at) else {
        return Ok(None);
    };
    let (order_no, now, id) = (work.effect.order_no, engine.now(), row.shop_order_id.clone());
    let text = format!("It is in the shop already, as order {id}.");
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            orders::set_created(tx, order_no, &row.shop_order_id, now)?;
            let event = NewEvent::new(EventKind::ExportFound, text.clone());
            events::add(tx, Some(order_no), None, &event, "eider", None, now)
        })
        .await?;
    Ok(Some(id))
}

fn source_of(engine: &Engine, work: &Work) -> ExternalSource {
    ExternalSource {
        channel: work.owner.channel.clone(),
        account: work.owner.account.clone(),
        installation: engine.store().installation().id,
    }
}

/// Settles the order where the shop holds it.
async fn found(
    engine: &Engine,
    work: &Work,
    source: &ExternalSource,
    rows: Vec<MirrorRow>,
) -> Result<Option<Outcome>, EngineError> {
    let ours = same_orders(rows, source);
    let standing: Vec<&MirrorRow> = ours.iter().filter(|row| !row.is_off()).collect();
    if standing.len() > 1 {
        return Ok(Some(duplicate(engine, work, &standing).await?));
    }
    // Of several, one is left where somebody cancelled the others.
    let Some(first) = standing.first().copied().or(ours.first()) else { return Ok(None) };
    let text = format!("It is in the shop already, as order {}.", first.shop_order_id);
    Ok(Some(keep_created(engine, work, first.clone(), EffectOutcome::Found, text).await?))
}

/// The shop's copies of one marketplace order, oldest first. Pages that shift while they are read list a copy twice.
fn same_orders(rows: Vec<MirrorRow>, source: &ExternalSource) -> Vec<MirrorRow> {
    let mut ours: Vec<MirrorRow> = rows.into_iter().filter(|row| is_same_order(row, source)).collect();
    ours.sort_by(|a, b| (&a.shop_order_id, b.updated_at).cmp(&(&b.shop_order_id, a.updated_at)));
    ours.dedup_by(|a, b| a.shop_order_id == b.shop_order_id);
    ours.sort_by_key(|row| row.created_at);
    ours
}

/// The same marketplace order, whoever created it: another integration's copy is the buyer's order too.
fn is_same_order(row: &MirrorRow, source: &ExternalSource) -> bool {
    let theirs = row.external_source.as_deref().and_then(|text| text.parse::<ExternalSource>().ok());
    theirs.is_none_or(|theirs| theirs.is_same_account(source))
}

/// The shop holds the order more than once: who else creates orders there is for a person to find.
async fn duplicate(engine: &Engine, work: &Work, rows: &[&MirrorRow]) -> Result<Outcome, EngineError> {
    let shop_order_ids: Vec<String> = rows.iter().map(|row| row.shop_order_id.clone()).collect();
    let reason = Reason::with(ReasonCode::DuplicateInShop, shop_order_ids.join(", "));
    let (order_no, external_id) = (Some(work.effect.order_no), work.facts.external_id.clone());
    let sign = TwinSign::Twice { order_no, external_id, shop_order_ids };
    twins::report(engine, &work.target, vec![sign]).await?;
    Ok(Outcome::held(reason, engine.now()))
}

/// Builds the draft with the shop's variants, asking the shop for SKUs that its listings do not have.
async fn build_draft(
    engine: &Engine,
    work: &Work,
    shop: &dyn ShopOrders,
    source: ExternalSource,
    custom_lines_only: bool,
) -> Result<Result<ShopOrderDraft, Reason>, EngineError> {
    let variants = variants_for(engine, work, shop).await?;
    Ok(draft::shop_order(
        &work.facts,
        &DraftContext {
            settings: &work.owner.settings,
            alias: &work.owner.alias,
            source,
            variants: &variants,
            shop_currency: work.target.currency.as_deref(),
            custom_lines_only,
        },
    ))
}

async fn variants_for(
    engine: &Engine,
    work: &Work,
    shop: &dyn ShopOrders,
) -> Result<Arc<HashMap<String, ShopVariant>>, EngineError> {
    let now = engine.now();
    let shop_id = work.target.id;
    let (known, unknown) = engine.with_live(shop_id, |live| {
        live.missing_skus.retain(|_, asked_at| shifted(*asked_at, MISSING_SKU_KEPT) > now);
        let unknown: Vec<String> = work
            .facts
            .lines
            .iter()
            .filter_map(|line| line.sku.clone())
            .filter(|sku| {
                let key = sku.to_lowercase();
                !live.variants.contains_key(&key) && !live.missing_skus.contains_key(&key)
            })
            .collect();
        (Arc::clone(&live.variants), unknown)
    });
    let is_platform = work.facts.fulfilled_by == crate::domain::order::FulfilledBy::Platform;
    if unknown.is_empty() || is_platform {
        return Ok(known);
    }
    let asked = shop.variants_by_sku(&unknown).await?;
    Ok(engine.with_live(shop_id, |live| {
        let mut next = HashMap::clone(&live.variants);
        next.extend(asked.into_iter().map(|variant| (variant.sku.to_lowercase(), variant)));
        for sku in unknown {
            let key = sku.to_lowercase();
            if !next.contains_key(&key) {
                live.missing_skus.insert(key, now);
            }
        }
        live.variants = Arc::new(next);
        Arc::clone(&live.variants)
    }))
}

/// A draft that cannot be built waits for a person, or for the shop.
fn wait_for(reason: Reason, engine: &Engine) -> Outcome {
    let now = engine.now();
    if reason.needs_person() {
        return Outcome::held(reason, now);
    }
    Outcome::wait(retry::later(now, retry::BACKOFF_FIRST), reason)
}

async fn create(
    engine: &Engine,
    work: &Work,
    connector: &Arc<dyn Connector>,
    shop: &dyn ShopOrders,
    draft: &ShopOrderDraft,
) -> Result<Outcome, EngineError> {
    let called = engine.begin_call(work).await?;
    let created = match shop.create(draft).await {
        Err(ChannelError::Reject { kind: RejectKind::OutOfStock, message }) => {
            let reason = Reason::with(ReasonCode::OutOfStock, message);
            return not_available(engine, work, connector, shop, draft, reason).await;
        }
        Err(ChannelError::Reject { kind: RejectKind::QuantityLimit, message }) => {
            let reason = Reason::with(ReasonCode::QuantityLimit, message);
            return not_available(engine, work, connector, shop, draft, reason).await;
        }
        other => other?,
    };
    let row = mirror_row(&created);
    let text = format!("Created in {} as order {}.", work.target.alias, row.shop_order_id);
    let total_minor = created.total_minor;
    let outcome = keep_created(engine, work, row, EffectOutcome::Done, text).await?;
    if total_minor != draft.total.inc_tax_minor {
        let currency = draft.currency;
        let detail = format!(
            "{} in the shop, {} on the marketplace",
            decimal_of_minor(total_minor, currency),
            decimal_of_minor(draft.total.inc_tax_minor, currency)
        );
        note_total(engine, work, Reason::with(ReasonCode::ShopTotalDiffers, detail)).await?;
    }
    if called.attempts > 1 {
        verify_single(engine, work, shop).await?;
    }
    Ok(outcome)
}

/// Too little stock, or a limit of the quantity: wait, send the lines as custom lines, or hold, as the merchant
/// chose (FEATURES C9). Waiting helps against a want of stock only.
async fn not_available(
    engine: &Engine,
    work: &Work,
    connector: &Arc<dyn Connector>,
    shop: &dyn ShopOrders,
    draft: &ShopOrderDraft,
    reason: Reason,
) -> Result<Outcome, EngineError> {
    let now = engine.now();
    match work.owner.settings.insufficient_stock {
        InsufficientStock::Wait if reason.needs_person() => Ok(Outcome::held(reason, now)),
        InsufficientStock::RaiseStock if reason.needs_person() => Ok(Outcome::held(reason, now)),
        InsufficientStock::Hold => Ok(Outcome::held(reason, now)),
        InsufficientStock::Wait => Ok(wait_for_stock(engine, work, reason)),
        InsufficientStock::RaiseStock => raise_stock(engine, work, shop, draft, reason).await,
        // Custom lines move no stock: a shop that refuses them as well needs a person.
        InsufficientStock::CustomLine if draft.lines.iter().all(|line| line.variant.is_none()) => {
            Ok(Outcome::held(reason, now))
        }
        InsufficientStock::CustomLine => {
            match build_draft(engine, work, shop, draft.external_source.clone(), true).await? {
                Err(reason) => Ok(wait_for(reason, engine)),
                Ok(draft) => Box::pin(create(engine, work, connector, shop, &draft)).await,
            }
        }
    }
}

fn wait_for_stock(engine: &Engine, work: &Work, reason: Reason) -> Outcome {
    let attempts = work.effect.attempts.saturating_add(1);
    let (first, longest) = (retry::STOCK_FIRST, retry::STOCK_MAX);
    Outcome::wait(retry::next_try(engine.now(), attempts, first, longest, None, engine.entropy()), reason)
}

/// Raises the shop's stock to what the order takes, and comes back once the shop has had time to notice.
async fn raise_stock(
    engine: &Engine,
    work: &Work,
    shop: &dyn ShopOrders,
    draft: &ShopOrderDraft,
    reason: Reason,
) -> Result<Outcome, EngineError> {
    let mut needed: Vec<(ShopVariant, i64)> = Vec::new();
    for line in &draft.lines {
        let Some(variant) = &line.variant else { continue };
        match needed.iter_mut().find(|(known, _)| known.variant_id == variant.variant_id) {
            Some((_, quantity)) => *quantity = quantity.saturating_add(line.quantity),
            None => needed.push((variant.clone(), line.quantity)),
        }
    }
    let raised = shop.raise_stock(&needed).await?;
    if raised.is_empty() {
        // There is enough, as far as the shop says: it is the shop's turn.
        return Ok(wait_for_stock(engine, work, reason));
    }
    let each = raised.iter().map(|raised| format!("{} from {} to {}", raised.sku, raised.from, raised.to));
    let text = format!("{}'s stock was raised: {}.", work.target.alias, each.collect::<Vec<_>>().join(", "));
    let (order_no, now) = (work.effect.order_no, engine.now());
    let event = NewEvent::new(EventKind::ExportWaiting, text);
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            events::add(tx, Some(order_no), None, &event, "eider", None, now)
        })
        .await?;
    Ok(Outcome::wait(retry::later(now, STOCK_RAISED_WAIT), reason))
}

/// The order is in the shop: our row, the mirror and the end of the effect in one write.
async fn keep_created(
    engine: &Engine,
    work: &Work,
    row: MirrorRow,
    outcome: EffectOutcome,
    text: String,
) -> Result<Outcome, EngineError> {
    let (id, order_no, shop, now) = (work.effect.id, work.effect.order_no, work.target.id, engine.now());
    let connector = engine.connector(shop)?;
    let is_shipped: Arc<dyn Fn(u16) -> bool + Send + Sync> =
        Arc::new(move |status| jobs::is_shipped(&connector, status));
    let kind =
        if outcome == EffectOutcome::Found { EventKind::ExportFound } else { EventKind::ExportCreated };
    // One that was found may be from before the marketplace cancelled it: nobody will tell us of that again.
    let is_late = work.facts.status == OrderStatus::Cancelled && row.status_id != draft::CANCELLED_STATUS_ID;
    let opened = Opened::default();
    let told = opened.clone();
    let cancelled = engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            orders::set_created(tx, order_no, &row.shop_order_id, now)?;
            effects::finish(tx, id, outcome, &text)?;
            events::add(tx, Some(order_no), None, &NewEvent::new(kind, text.clone()), "eider", None, now)?;
            mirror::keep_created(tx, shop, order_no, &row, Arc::clone(&is_shipped), &told, now);
            if is_late { effects::open(tx, order_no, &cancellation(shop, now)) } else { Ok(None) }
        })
        .await?;
    engine.enqueue(opened.take().into_iter().chain(cancelled).collect());
    engine.with_queue(|queue| queue.hasten(order_no, now));
    Ok(Outcome::Written(None))
}

async fn note_total(engine: &Engine, work: &Work, reason: Reason) -> Result<(), StoreError> {
    let (order_no, now) = (work.effect.order_no, engine.now());
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            orders::set_export(tx, order_no, ExportState::Created, Some(&reason))?;
            let event = NewEvent::new(EventKind::Held, reason.what());
            events::add(tx, Some(order_no), None, &event, "eider", None, now)
        })
        .await
}

/// After a second create: the shop must hold exactly one.
async fn verify_single(engine: &Engine, work: &Work, shop: &dyn ShopOrders) -> Result<(), EngineError> {
    let listed = match shop.find(&work.facts.external_id).await {
        Ok(listed) => listed,
        // The mirror sees a duplicate at the next poll as well.
        Err(error) => {
            tracing::warn!(order.no = work.effect.order_no.0, "could not verify a second create: {error}");
            return Ok(());
        }
    };
    let rows = same_orders(listed.iter().map(mirror_row).collect(), &source_of(engine, work));
    if rows.len() > 1 {
        duplicate(engine, work, &rows.iter().collect::<Vec<_>>()).await?;
    }
    Ok(())
}

//! Tells the marketplace of a parcel that the shop shipped. Where the package's number makes a repeat the same package
//! (Amazon), telling again is safe; elsewhere (eBay adds one, Etsy mails the buyer) the marketplace's list is read
//! first, and after doubt nothing is told again before it was looked up twice.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use super::{Outcome, Work, doubt, is_already_done};
use crate::channels::error::ChannelError;
use crate::channels::{Fulfilment, FulfilmentOrder};
use crate::domain::connection::{Connection, ConnectionSettings};
use crate::domain::effect::{EffectKind, EffectOutcome};
use crate::domain::id::EffectId;
use crate::domain::order::OrderStatus;
use crate::domain::plan::{EventKind, HeldParcel, NewEvent, normalised_tracking};
use crate::domain::reason::{Reason, ReasonCode};
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts, ShippedLine};
use crate::store::{WriteLane, effects, events, external_key, shipments};
use crate::sync::{Engine, EngineError};

/// Our numbers of packages begin here, with ten digits: nobody counts parcels that far by hand.
const PACKAGE_NUMBER_FIRST: i64 = 1_000_000_000;
/// And there are so many of them.
const PACKAGE_NUMBERS: u64 = 9_000_000_000;

pub(super) async fn run(engine: &Engine, work: Work) -> Result<Outcome, EngineError> {
    let order_no = work.effect.order_no;
    let rows = engine.store().read(move |read| shipments::of_order(read, order_no)).await?;
    let untold: Vec<i64> =
        rows.iter().filter(|row| row.told_at.is_none()).map(|row| row.parcel.parcel).collect();
    let held: Vec<HeldParcel> = rows.into_iter().map(|row| row.parcel).collect();
    let Some(parcel) = parcel_of(&work.effect.revision, &held) else {
        let text = "The shop no longer lists this parcel.".to_owned();
        return Ok(Outcome::Finished(EffectOutcome::Dropped, text));
    };
    // Listed before we told of it: somebody else did, or we did before a restore. A change of it is told all the same.
    let is_listed_already = parcel.marketplace_package_id.is_some()
        && untold.contains(&parcel.parcel)
        && !work.effect.revision.contains('.');
    if is_listed_already {
        return told(engine, &work, &parcel, EffectOutcome::Found).await;
    }
    if work.facts.status == OrderStatus::Cancelled {
        let detail = "the order was cancelled there";
        return Ok(Outcome::held(Reason::with(ReasonCode::MarketplaceRejected, detail), engine.now()));
    }
    let connector = engine.connector(work.target.id)?;
    let fulfilment = connector.fulfilment().ok_or_else(|| ChannelError::Fatal {
        message: format!("{} takes no shipments", work.target.alias),
    })?;
    let number = package_number(&parcel, &work.owner);
    let shipped_at = shipped_at(parcel.shipped_at.unwrap_or(engine.now()), work.facts.placed_at);
    let draft = match draft(&parcel, number, &work.owner.settings, fulfilment, shipped_at) {
        Ok(draft) => draft,
        Err(reason) => return Ok(Outcome::held(reason, engine.now())),
    };
    let order =
        FulfilmentOrder { external_id: work.facts.external_id.clone(), site: work.facts.site.clone() };
    if let Some(listed) = fulfilment.told_parcels(&order).await? {
        if is_listed(&listed, &parcel, &held) {
            return told(engine, &work, &parcel, EffectOutcome::Found).await;
        }
        let is_change = work.effect.revision.contains('.')
            && (parcel.marketplace_package_id.is_some() || !untold.contains(&parcel.parcel));
        if is_change {
            // A second call would be a second parcel there.
            let detail = parcel.tracking.clone().unwrap_or_default();
            return Ok(Outcome::held(Reason::with(ReasonCode::TrackingChanged, detail), engine.now()));
        }
        let text = "The marketplace does not list the parcel yet; looking again before it is told anew.";
        if let Some(later) = doubt::look_again(engine, &work, text).await? {
            return Ok(later);
        }
    }
    engine.begin_call(&work).await?;
    match fulfilment.confirm_shipment(&order, &draft).await {
        Ok(()) => told(engine, &work, &parcel, EffectOutcome::Done).await,
        Err(error) if is_already_done(&error) => read_back(engine, &work, &parcel, error).await,
        Err(error) => Err(error.into()),
    }
}

/// The parcel that a revision (`2`, `2.UPS.1Z…`) is about.
pub(super) fn parcel_of(revision: &str, held: &[HeldParcel]) -> Option<HeldParcel> {
    let number: i64 = revision.split('.').next()?.parse().ok()?;
    held.iter().find(|parcel| parcel.parcel == number && !parcel.is_gone).cloned()
}

/// The number by which the marketplace knows the parcel: the one that it has told us, else one that follows from
/// the shop's id of the parcel. Small numbers are what other hands give to theirs, and a confirmation under a
/// number that is taken puts our parcel in the place of the other; and a restore may deal our own numbers anew.
fn package_number(parcel: &HeldParcel, owner: &Connection) -> i64 {
    let told = parcel.marketplace_package_id.as_deref().and_then(|id| id.parse().ok());
    told.unwrap_or_else(|| {
        let shop = owner.settings.shop.unwrap_or(owner.id);
        let Some(id) = parcel.shop_shipment_id.as_deref() else { return parcel.parcel };
        let drawn = external_key(shop, id) % PACKAGE_NUMBERS;
        i64::try_from(drawn).map_or(parcel.parcel, |drawn| PACKAGE_NUMBER_FIRST + drawn)
    })
}

/// The parcel in the marketplace's words, or why it cannot be told (FEATURES D4).
fn draft(
    parcel: &HeldParcel,
    number: i64,
    settings: &ConnectionSettings,
    fulfilment: &dyn Fulfilment,
    shipped_at: Timestamp,
) -> Result<ShipmentDraft, Reason> {
    let tracking = parcel.tracking.clone().filter(|text| !text.trim().is_empty());
    // Amazon wants one. Elsewhere a parcel can be recognised by it alone, and nothing that was told can be changed: told
    // without, a number that comes later would be a second parcel there and, at Etsy, a second mail.
    if tracking.is_none() {
        return Err(Reason::with(ReasonCode::TrackingMissing, format!("parcel {}", parcel.parcel)));
    }
    if parcel.lines.is_empty() {
        return Err(Reason::with(ReasonCode::LinesUnknown, format!("parcel {}", parcel.parcel)));
    }
    Ok(ShipmentDraft {
        parcel: number,
        carrier: Some(carrier(parcel, settings, fulfilment)?),
        service: parcel.service.clone(),
        tracking,
        shipped_at,
        lines: parcel.lines.clone(),
    })
}

/// When it was shipped, in whole seconds. Marketplaces refuse a parcel that is older than its order, and a shop tells
/// of seconds only, by a clock of its own.
fn shipped_at(shipped_at: Timestamp, placed_at: Timestamp) -> Timestamp {
    let up = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    shipped_at.max(placed_at.round(up).unwrap_or(placed_at))
}

fn carrier(
    parcel: &HeldParcel,
    settings: &ConnectionSettings,
    fulfilment: &dyn Fulfilment,
) -> Result<String, Reason> {
    let named = parcel.carrier.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let mapped = named.and_then(|name| {
        let map = &settings.carrier_map;
        map.iter().find(|(shop, _)| shop.eq_ignore_ascii_case(name)).map(|(_, theirs)| theirs.clone())
    });
    mapped
        .or_else(|| named.and_then(|name| fulfilment.carrier_code(name)))
        .or_else(|| settings.default_carrier.clone())
        .ok_or_else(|| {
            let detail = named.map_or_else(|| format!("parcel {}", parcel.parcel), str::to_owned);
            Reason::with(ReasonCode::CarrierMissing, detail)
        })
}

async fn told(
    engine: &Engine,
    work: &Work,
    parcel: &HeldParcel,
    outcome: EffectOutcome,
) -> Result<Outcome, EngineError> {
    let (id, order_no, now, number) = (work.effect.id, work.effect.order_no, engine.now(), parcel.parcel);
    let text = format!(
        "{} was told of parcel {number}: {} {}.",
        work.target.alias,
        parcel.carrier.as_deref().unwrap_or_default(),
        parcel.tracking.as_deref().unwrap_or_default()
    );
    let stale = superseded(engine, work, number);
    let dropped = stale.clone();
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            shipments::mark_told(tx, order_no, number, now, None)?;
            for id in &stale {
                effects::finish(tx, *id, EffectOutcome::Dropped, "A newer version of the parcel was sent.")?;
            }
            effects::finish(tx, id, outcome, &text)?;
            let event = NewEvent::new(EventKind::ShipmentSent, text.clone());
            events::add(tx, Some(order_no), None, &event, "eider", None, now)
        })
        .await?;
    engine.with_queue(|queue| {
        for id in dropped {
            queue.remove(id);
        }
    });
    Ok(Outcome::Written(None))
}

/// Other versions of the same parcel that still wait: what was just sent is the newest.
fn superseded(engine: &Engine, work: &Work, number: i64) -> Vec<EffectId> {
    engine
        .with_queue(|queue| queue.of_order(work.effect.order_no))
        .into_iter()
        .filter(|open| {
            open.kind == EffectKind::ConfirmShipment
                && open.id != work.effect.id
                && open.revision.split('.').next() == Some(number.to_string().as_str())
        })
        .map(|open| open.id)
        .collect()
}

/// The marketplace says that it was shipped before: true if it lists our tracking number.
async fn read_back(
    engine: &Engine,
    work: &Work,
    parcel: &HeldParcel,
    error: ChannelError,
) -> Result<Outcome, EngineError> {
    let connector = engine.connector(work.target.id)?;
    let source = connector.order_source().ok_or_else(|| error.clone())?;
    let listed = match source.order(&work.facts.external_id).await? {
        Some(received) => received.facts.ok().and_then(|facts| facts.shipments).unwrap_or_default(),
        None => Vec::new(),
    };
    let is_there = parcel.tracking.is_some() && is_listed(&listed, parcel, &[]);
    if is_there {
        return told(engine, work, parcel, EffectOutcome::Found).await;
    }
    let reason = Reason::with(ReasonCode::MarketplaceRejected, error.to_string());
    Ok(Outcome::held(reason, engine.now()))
}

/// Whether the marketplace lists our parcel: by its tracking number; without one, by more untracked parcels of the same
/// lines than other parcels of ours stand for.
fn is_listed(listed: &[ShipmentFacts], parcel: &HeldParcel, held: &[HeldParcel]) -> bool {
    if let Some(ours) = tracking_of(parcel.tracking.as_deref()) {
        return listed.iter().any(|theirs| tracking_of(theirs.tracking.as_deref()).as_ref() == Some(&ours));
    }
    let same_lines = |lines: &[ShippedLine]| {
        lines.len() == parcel.lines.len() && lines.iter().all(|line| parcel.lines.contains(line))
    };
    let theirs = listed
        .iter()
        .filter(|theirs| tracking_of(theirs.tracking.as_deref()).is_none() && same_lines(&theirs.lines));
    let others = held.iter().filter(|other| {
        other.parcel < parcel.parcel
            && !other.is_gone
            && tracking_of(other.tracking.as_deref()).is_none()
            && same_lines(&other.lines)
    });
    theirs.count() > others.count()
}

fn tracking_of(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty()).map(normalised_tracking)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::ParcelOrigin;

    fn lines() -> Vec<ShippedLine> {
        vec![ShippedLine { external_line_id: "L".to_owned(), quantity: 1 }]
    }

    fn ours(parcel: i64, tracking: Option<&str>) -> HeldParcel {
        HeldParcel {
            parcel,
            origin: ParcelOrigin::Shop,
            shop_shipment_id: Some(parcel.to_string()),
            marketplace_package_id: None,
            carrier: None,
            service: None,
            tracking: tracking.map(str::to_owned),
            shipped_at: None,
            lines: lines(),
            is_gone: false,
        }
    }

    fn theirs(tracking: Option<&str>) -> ShipmentFacts {
        ShipmentFacts {
            external_id: "999".to_owned(),
            carrier: None,
            service: None,
            tracking: tracking.map(str::to_owned),
            shipped_at: None,
            lines: lines(),
        }
    }

    #[test]
    fn a_parcel_is_listed_by_its_number_or_by_one_more_of_its_lines() {
        let tracked = ours(1, Some("1Z 999"));
        let held = [tracked.clone()];
        assert!(is_listed(&[theirs(Some("1z999"))], &tracked, &held));
        assert!(!is_listed(&[theirs(Some("1Z998")), theirs(None)], &tracked, &held));
        let (first, second) = (ours(1, None), ours(2, Some(" ")));
        let held = [first.clone(), second.clone()];
        assert!(!is_listed(&[], &first, &held));
        assert!(is_listed(&[theirs(None)], &first, &held));
        assert!(!is_listed(&[theirs(None)], &second, &held), "that one is the first parcel");
        assert!(is_listed(&[theirs(None), theirs(None)], &second, &held));
    }

    #[test]
    fn a_parcel_is_never_older_than_its_order() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let placed = at("2026-03-02T09:00:44.175Z");
        assert_eq!(shipped_at(at("2026-03-02T09:00:44Z"), placed), at("2026-03-02T09:00:45Z"));
        assert_eq!(shipped_at(at("2026-03-02T08:00:00Z"), placed), at("2026-03-02T09:00:45Z"));
        assert_eq!(shipped_at(at("2026-03-02T10:00:00Z"), placed), at("2026-03-02T10:00:00Z"));
    }
}

//! What the shop cancelled or refunded, and what the marketplace has to hear of it (FEATURES E2, E4).
//!
//! A refund is laid to the marketplace's lines without losing a minor unit, and never gives back more than a line was
//! paid, over all refunds together. What cannot be laid waits for a person.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{EventKind, NewEvent};
use crate::domain::effect::{EffectKind, Lane, NewEffect};
use crate::domain::id::ConnectionId;
use crate::domain::money::{Currency, Money, allocate};
use crate::domain::order::{FulfilledBy, OrderFacts, OrderStatus};
use crate::domain::reason::{Reason, ReasonCode};
use crate::domain::refund::{
    HeldRefund, Paid, RefundShare, ShopRefund, ShopRefundItem, ShopRefundKind, paid,
};

/// The incident of an order that was cancelled in the shop after a parcel had left. It is over once the marketplace has
/// cancelled the order, too: nothing is left to be refunded or set back.
pub const INCIDENT: &str = "cancelled_while_shipped";

/// Whether a marketplace is told of what was done in the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// It is.
    On,
    /// The connection's switch is off.
    Off,
    /// The platform has no call for it.
    Impossible,
}

/// What a decision on a shop's cancellation or refund needs beside the order.
#[derive(Debug, Clone, Copy)]
pub struct AfterSaleContext<'a> {
    /// The marketplace's connection.
    pub marketplace: ConnectionId,
    /// What the merchant calls it.
    pub alias: &'a str,
    /// The order is history.
    pub is_history: bool,
    /// Something of it left already: by status, units or parcels.
    pub is_shipped: bool,
    /// Whether cancellations go there.
    pub cancellations: Telling,
    /// Whether refunds go there.
    pub refunds: Telling,
    /// What was cancelled or refunded before this was so before this program passed anything on.
    pub passed_on_since: Timestamp,
    /// When the shop order was last changed, by the shop's clock.
    pub shop_changed_at: Timestamp,
    /// The present.
    pub now: Timestamp,
}

/// What follows from a cancellation in the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CancellationPlan {
    /// What the marketplace is asked for.
    pub effect: Option<NewEffect>,
    /// For the timeline.
    pub event: Option<NewEvent>,
    /// What went wrong in the world, and what to do: part of the order left already.
    pub incident: Option<(String, &'static str)>,
}

/// The shop order was cancelled there. Where the marketplace's order is cancelled already, it was our own deed, or
/// nothing is left to be said.
#[must_use]
pub fn plan_shop_cancellation(facts: &OrderFacts, context: AfterSaleContext<'_>) -> CancellationPlan {
    if facts.status == OrderStatus::Cancelled {
        return CancellationPlan::default();
    }
    let alias = context.alias;
    let said = |text: String| {
        let event = NewEvent::new(EventKind::CancelledInShop, format!("Cancelled in the shop. {text}"));
        CancellationPlan { event: Some(event), ..CancellationPlan::default() }
    };
    if context.shop_changed_at < context.passed_on_since {
        return said(format!("{alias} does not hear of it: it is from an earlier version."));
    }
    if let Some(why) = untold(facts, context, context.cancellations, "cancellations") {
        return said(format!("{why} Cancel the order there by hand if it is not to be delivered."));
    }
    if context.is_shipped {
        let text = format!("Part of it was shipped, so {alias} was not asked to cancel it.");
        let incident =
            format!("Order {} was cancelled in the shop after a parcel had left.", facts.external_id);
        let next_step = "Stop the parcel if you can. Then refund on the marketplace what the buyer does not get, or set \
                         the shop order back if it is to be delivered.";
        return CancellationPlan { incident: Some((incident, next_step)), ..said(text) };
    }
    let effect = NewEffect {
        kind: EffectKind::CancelOrder,
        revision: "cancelled".to_owned(),
        connection: context.marketplace,
        lane: Lane::Orders,
        due_at: context.now,
        held: None,
    };
    CancellationPlan { effect: Some(effect), ..said(format!("{alias} is asked to cancel it, too.")) }
}

/// Why the marketplace is not told, in plain words; none where it is.
fn untold(facts: &OrderFacts, context: AfterSaleContext<'_>, telling: Telling, what: &str) -> Option<String> {
    let alias = context.alias;
    match telling {
        Telling::Impossible => {
            Some(format!("{alias} takes no {what} from other programs and does not hear of it."))
        }
        Telling::Off => Some(format!("{alias} does not hear of it: telling it of {what} is switched off.")),
        Telling::On if context.is_history => {
            Some(format!("{alias} does not hear of it: the order is from before go-live."))
        }
        Telling::On if facts.fulfilled_by == FulfilledBy::Platform => {
            Some(format!("{alias} does not hear of it: it delivers this order itself."))
        }
        Telling::On => None,
    }
}

/// What follows from the refunds that the shop lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefundPlan {
    /// Refunds that we did not hold, to be kept.
    pub new: Vec<HeldRefund>,
    /// What the marketplace is asked for.
    pub effects: Vec<NewEffect>,
    /// For the timeline.
    pub events: Vec<NewEvent>,
}

/// The refunds that the shop lists, against those that we hold. `line_ids` gives the marketplace's line by the shop's.
#[must_use]
pub fn plan_shop_refunds(
    facts: &OrderFacts,
    line_ids: &HashMap<String, String>,
    held: &[HeldRefund],
    listed: &[ShopRefund],
    context: AfterSaleContext<'_>,
) -> RefundPlan {
    let mut plan = RefundPlan::default();
    let mut known = held.to_vec();
    for refund in listed {
        if known.iter().any(|one| one.shop_refund_id == refund.refund_id) {
            continue;
        }
        let laid = lay(facts, line_ids, &known, refund, context.is_shipped);
        let text = shown(refund.total_minor, facts.currency);
        let early = refund.refunded_at.filter(|at| *at < context.passed_on_since);
        let why = match early {
            Some(_) => Some(format!("{} does not hear of it: it is from an earlier version.", context.alias)),
            None if facts.status == OrderStatus::Cancelled => {
                Some(format!("{} cancelled the order and gives everything back.", context.alias))
            }
            None => untold(facts, context, context.refunds, "refunds"),
        };
        let text = match (&why, &laid) {
            (Some(why), _) => format!("{text} were refunded in the shop. {why}"),
            (None, Ok(_)) => {
                format!("{text} were refunded in the shop. {} is asked to give them back.", context.alias)
            }
            (None, Err(reason)) => format!("{text} were refunded in the shop. {reason}"),
        };
        plan.events.push(NewEvent::new(EventKind::RefundedInShop, text));
        if why.is_none() {
            plan.effects.push(NewEffect {
                kind: EffectKind::RefundOrder,
                revision: refund.refund_id.clone(),
                connection: context.marketplace,
                lane: Lane::Orders,
                due_at: context.now,
                held: laid
                    .as_ref()
                    .err()
                    .map(|detail| Reason::with(ReasonCode::RefundNotLaid, detail.clone())),
            });
        }
        let row = HeldRefund {
            shop_refund_id: refund.refund_id.clone(),
            refunded_at: refund.refunded_at,
            total_minor: refund.total_minor,
            shares: laid.unwrap_or_default(),
        };
        known.push(row.clone());
        plan.new.push(row);
    }
    plan
}

/// The shop says that more went back than its refunds make: the part that nobody can pass on, if there is one.
#[must_use]
pub fn unlisted_refund(
    facts: &OrderFacts,
    refunded_minor: i64,
    is_refunded: bool,
    listed: &[ShopRefund],
    context: AfterSaleContext<'_>,
) -> Option<(NewEvent, Option<Reason>)> {
    let sum = listed.iter().map(|refund| refund.total_minor).fold(0, i64::saturating_add);
    let missing = refunded_minor.saturating_sub(sum);
    let is_marked_only = is_refunded && listed.is_empty() && refunded_minor == 0;
    if facts.status == OrderStatus::Cancelled || missing <= 0 && !is_marked_only {
        return None;
    }
    let said = if is_marked_only {
        "the shop order is marked as refunded, and the shop lists no refund of it".to_owned()
    } else {
        format!("the shop says {} more than its refunds make", shown(missing, facts.currency))
    };
    let is_early = context.shop_changed_at < context.passed_on_since;
    let why = is_early
        .then(|| format!("{} does not hear of it: it is from an earlier version.", context.alias))
        .or_else(|| untold(facts, context, context.refunds, "refunds"));
    let (tail, reason) = match why {
        Some(why) => (why, None),
        None => (
            format!("{} was not told.", context.alias),
            Some(Reason::with(ReasonCode::RefundUnreadable, said.clone())),
        ),
    };
    let text = format!("A refund in the shop cannot be read: {said}. {tail}");
    Some((NewEvent::new(EventKind::RefundedInShop, text), reason))
}

/// An amount for people.
fn shown(minor: i64, currency: Currency) -> String {
    format!("{} {}", Money { minor, currency }.decimal(), currency.code())
}

/// A line while a refund is laid to it.
#[derive(Debug, Clone, Default)]
struct Place {
    paid: Paid,
    /// Given back before, over all refunds.
    before: i64,
    item_left: i64,
    shipping_left: i64,
    item: i64,
    shipping: i64,
    quantity: i64,
}

impl Place {
    fn left(&self) -> i64 {
        self.item_left.saturating_add(self.shipping_left)
    }

    /// Takes from the goods first, then from shipping; gives what does not fit.
    fn take(&mut self, minor: i64) -> i64 {
        let of_item = minor.min(self.item_left);
        self.item_left -= of_item;
        self.item = self.item.saturating_add(of_item);
        let rest = minor - of_item;
        rest - self.take_shipping(rest)
    }

    /// Takes from shipping; gives what was taken.
    fn take_shipping(&mut self, minor: i64) -> i64 {
        let taken = minor.min(self.shipping_left);
        self.shipping_left -= taken;
        self.shipping = self.shipping.saturating_add(taken);
        taken
    }
}

/// Lays a refund to the order's lines.
///
/// # Errors
/// Why it cannot be, in a sentence.
fn lay(
    facts: &OrderFacts,
    line_ids: &HashMap<String, String>,
    held: &[HeldRefund],
    refund: &ShopRefund,
    is_shipped: bool,
) -> Result<Vec<RefundShare>, String> {
    let mut places = places(facts, held)?;
    let left: i64 = places.iter().map(Place::left).fold(0, i64::saturating_add);
    if refund.total_minor > left {
        return Err(format!(
            "{} is more than the {} that the buyer paid and that have not been refunded yet",
            shown(refund.total_minor, facts.currency),
            shown(left, facts.currency)
        ));
    }
    let (mut shipping, mut order) = (0_i64, 0_i64);
    for (item, minor) in refund.items.iter().zip(amounts(facts, line_ids, &places, refund)?) {
        match item.kind {
            ShopRefundKind::Shipping => shipping = shipping.saturating_add(minor),
            ShopRefundKind::Order => order = order.saturating_add(minor),
            ShopRefundKind::Goods => {
                let place = line_of(facts, line_ids, item).and_then(|line| places.get_mut(line));
                let place = place.ok_or("a refunded line of the shop order is none of this order")?;
                place.quantity = place.quantity.saturating_add(item.quantity);
                if place.take(minor) > 0 {
                    return Err("more was refunded for a line than the buyer paid for it".to_owned());
                }
            }
        }
    }
    if refund.items.is_empty() {
        order = refund.total_minor;
    }
    order = order.saturating_add(spread_shipping(&mut places, shipping)?);
    let weights: Vec<i64> = places.iter().map(Place::left).collect();
    let parts = allocate(order, &weights).map_err(|error| error.to_string())?;
    for (place, part) in places.iter_mut().zip(parts) {
        if place.take(part) > 0 {
            return Err("more was refunded than the lines of the order were paid".to_owned());
        }
    }
    shares(facts, places, is_shipped)
}

/// Shipping over what the lines' shipping still has; gives what does not fit.
fn spread_shipping(places: &mut [Place], shipping: i64) -> Result<i64, String> {
    let weights: Vec<i64> = places.iter().map(|place| place.shipping_left).collect();
    let room = weights.iter().copied().fold(0, i64::saturating_add);
    let fits = shipping.min(room);
    if fits > 0 {
        let parts = allocate(fits, &weights).map_err(|error| error.to_string())?;
        for (place, part) in places.iter_mut().zip(parts) {
            place.take_shipping(part);
        }
    }
    Ok(shipping - fits)
}

fn places(facts: &OrderFacts, held: &[HeldRefund]) -> Result<Vec<Place>, String> {
    if held.iter().any(|refund| refund.shares.is_empty()) {
        return Err("an earlier refund could not be laid to the order's lines either".to_owned());
    }
    let place = |(paid, line): (Paid, &crate::domain::order::LineFacts)| {
        let earlier = held.iter().flat_map(|refund| &refund.shares);
        let own = earlier.filter(|share| share.external_line_id == line.external_id);
        let (item, shipping) = own.fold((0_i64, 0_i64), |(item, shipping), share| {
            (item.saturating_add(share.item_minor), shipping.saturating_add(share.shipping_minor))
        });
        let before = item.saturating_add(shipping);
        let left = paid.total().saturating_sub(before).max(0);
        let item_left = paid.item.saturating_sub(item).clamp(0, left);
        let shipping_left = paid.shipping.saturating_sub(shipping).clamp(0, left - item_left);
        Place { paid, before, item_left, shipping_left, ..Place::default() }
    };
    let paid = paid(facts.lines.len(), &facts.amounts).map_err(|error| error.to_string())?;
    Ok(paid.into_iter().zip(&facts.lines).map(place).collect())
}

/// The order's line that a part of a refund is of, by its place.
fn line_of(facts: &OrderFacts, line_ids: &HashMap<String, String>, item: &ShopRefundItem) -> Option<usize> {
    let id = item.shop_line_id.as_deref().and_then(|id| line_ids.get(id))?;
    facts.lines.iter().position(|line| line.external_id == *id)
}

/// What each of a refund's parts comes to, so that they make its total. The shop gives no amount of units that were
/// refunded at their price: what they were paid stands in for it. The amounts that it gives may be without tax.
fn amounts(
    facts: &OrderFacts,
    line_ids: &HashMap<String, String>,
    places: &[Place],
    refund: &ShopRefund,
) -> Result<Vec<i64>, String> {
    let estimated = |item: &ShopRefundItem| match item.kind {
        ShopRefundKind::Shipping => {
            places.iter().map(|place| place.paid.shipping).fold(0, i64::saturating_add)
        }
        ShopRefundKind::Order => refund.total_minor,
        ShopRefundKind::Goods => {
            let line = line_of(facts, line_ids, item);
            let place = line.and_then(|line| places.get(line)).map_or(0, |place| place.paid.item);
            let quantity = line.and_then(|line| facts.lines.get(line)).map_or(1, |line| line.quantity.max(1));
            place.saturating_mul(item.quantity.max(1)).div_euclid(quantity)
        }
    };
    let split = |total: i64, weights: &[i64]| allocate(total, weights).map_err(|error| error.to_string());
    let given = refund.items.iter().filter_map(|item| item.minor).fold(0, i64::saturating_add);
    let weights: Vec<i64> = match refund.total_minor.checked_sub(given).filter(|rest| *rest >= 0) {
        Some(rest) if refund.items.iter().any(|item| item.minor.is_none()) => {
            let open: Vec<i64> = refund
                .items
                .iter()
                .map(|item| if item.minor.is_none() { estimated(item).max(0) } else { 0 })
                .collect();
            let parts = split(rest, &open)?;
            refund
                .items
                .iter()
                .zip(parts)
                .map(|(item, part)| item.minor.unwrap_or(0).saturating_add(part))
                .collect()
        }
        _ => refund.items.iter().map(|item| item.minor.unwrap_or_else(|| estimated(item)).max(0)).collect(),
    };
    split(refund.total_minor, &weights)
}

/// The shares as kept, with what the marketplace is asked for.
fn shares(facts: &OrderFacts, places: Vec<Place>, is_shipped: bool) -> Result<Vec<RefundShare>, String> {
    let share = |(place, line): (Place, &crate::domain::order::LineFacts)| {
        let whole = place.item.saturating_add(place.shipping);
        let after = place.before.saturating_add(whole);
        let sent = place.paid.sellers(after).saturating_sub(place.paid.sellers(place.before)).clamp(0, whole);
        let parts = allocate(sent, &[place.item, place.shipping]).map_err(|error| error.to_string())?;
        let is_cancelled = !is_shipped
            && line.quantity_shipped == 0
            && place.quantity <= line.quantity.saturating_sub(line.quantity_cancelled);
        Ok(RefundShare {
            external_line_id: line.external_id.clone(),
            item_minor: place.item,
            shipping_minor: place.shipping,
            sent_item_minor: parts.first().copied().unwrap_or(0),
            sent_shipping_minor: parts.get(1).copied().unwrap_or(0),
            quantity: place.quantity,
            quantity_cancelled: if is_cancelled { place.quantity } else { 0 },
        })
    };
    let made: Result<Vec<RefundShare>, String> = places.into_iter().zip(&facts.lines).map(share).collect();
    Ok(made?.into_iter().filter(|share| share.item_minor > 0 || share.shipping_minor > 0).collect())
}

#[cfg(test)]
mod tests;

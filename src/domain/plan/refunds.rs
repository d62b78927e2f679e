//! What a marketplace gave back, whoever asked for it, against what is held of that.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{EventKind, NewEvent};
use crate::domain::money::{Currency, Money};
use crate::domain::refund::{HeldMarketplaceRefund, MarketplaceRefund};

/// A refund of the shop that the marketplace was asked for, by us or by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOn {
    /// The shop's id of it.
    pub shop_refund_id: String,
    /// The marketplace's id of it, once known.
    pub marketplace_refund_id: Option<String>,
    /// What the marketplace was asked for, in minor units.
    pub sent_minor: i64,
    /// What went back in the shop, in minor units.
    pub total_minor: i64,
}

/// What follows from news of what a marketplace gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenBackPlan {
    /// What is to be held from now on, whole.
    pub held: Vec<HeldMarketplaceRefund>,
    /// For the timeline. What we asked for is said where it was asked for.
    pub events: Vec<NewEvent>,
}

/// The refunds that `alias` lists of an order in `currency`, against those that are held; none where nothing changed.
#[must_use]
pub fn plan_given_back(
    (alias, currency): (&str, Currency),
    held: &[HeldMarketplaceRefund],
    listed: &[MarketplaceRefund],
    passed_on: &[PassedOn],
    now: Timestamp,
) -> Option<GivenBackPlan> {
    let mut plan = GivenBackPlan { held: Vec::with_capacity(listed.len()), events: Vec::new() };
    let mut claims = Claims::new(held, listed, passed_on);
    for refund in listed {
        if plan.held.iter().any(|known| known.refund.refund_id == refund.refund_id) {
            continue;
        }
        let before = held.iter().find(|known| known.refund.refund_id == refund.refund_id);
        let shop_refund_id = claims.claim(refund, before).map(str::to_owned);
        plan.events.extend(event(alias, currency, refund, before, shop_refund_id.as_deref()));
        let seen_at = before.map_or(now, |before| before.seen_at);
        plan.held.push(HeldMarketplaceRefund { refund: refund.clone(), shop_refund_id, seen_at });
    }
    let is_listed = |known: &&HeldMarketplaceRefund| {
        listed.iter().any(|refund| refund.refund_id == known.refund.refund_id)
    };
    for gone in held.iter().filter(|known| !is_listed(known)) {
        let text = format!("{alias} no longer says that {} went back.", shown(&gone.refund));
        plan.events.push(NewEvent::new(EventKind::RefundedOnMarketplace, text));
    }
    (plan.held != held).then_some(plan)
}

/// Which of the shop's refunds are already known as which of the marketplace's.
struct Claims<'a> {
    passed_on: &'a [PassedOn],
    claimed: HashSet<&'a str>,
}

impl<'a> Claims<'a> {
    /// What is listed under a known id, or was recognised before, is claimed already.
    fn new(
        held: &'a [HeldMarketplaceRefund],
        listed: &[MarketplaceRefund],
        passed_on: &'a [PassedOn],
    ) -> Self {
        let is_listed = |id: &str| listed.iter().any(|refund| refund.refund_id == id);
        let before = held.iter().filter(|known| is_listed(&known.refund.refund_id));
        let before = before.filter_map(|known| known.shop_refund_id.as_deref());
        let by_id = passed_on.iter().filter(|one| one.marketplace_refund_id.is_some());
        let claimed = before.chain(by_id.map(|one| one.shop_refund_id.as_str())).collect();
        Self { passed_on, claimed }
    }

    /// The shop's refund that this one was made for: by its id, as it was known before, else by its amount, where
    /// nobody knows the id of what was asked for.
    fn claim(
        &mut self,
        refund: &MarketplaceRefund,
        before: Option<&'a HeldMarketplaceRefund>,
    ) -> Option<&'a str> {
        let by_id =
            self.passed_on.iter().find(|one| one.marketplace_refund_id.as_ref() == Some(&refund.refund_id));
        if let Some(found) = by_id {
            return Some(&found.shop_refund_id);
        }
        let is_unknown = |one: &&PassedOn| one.marketplace_refund_id.is_none();
        let mut unknown = self.passed_on.iter().filter(is_unknown);
        let known = before.and_then(|before| before.shop_refund_id.as_deref());
        if let Some(known) = known.filter(|known| unknown.clone().any(|one| one.shop_refund_id == *known)) {
            return Some(known);
        }
        let is_as = |one: &PassedOn| {
            one.sent_minor > 0 && [one.sent_minor, one.total_minor].contains(&refund.told_minor)
        };
        let claimed = &self.claimed;
        let found = unknown.find(|one| is_as(one) && !claimed.contains(one.shop_refund_id.as_str()))?;
        self.claimed.insert(&found.shop_refund_id);
        Some(&found.shop_refund_id)
    }
}

/// What is said of a refund that is new, is another than was thought, or changed.
fn event(
    alias: &str,
    currency: Currency,
    refund: &MarketplaceRefund,
    before: Option<&HeldMarketplaceRefund>,
    shop_refund_id: Option<&str>,
) -> Option<NewEvent> {
    let was_said = before.is_some_and(|before| before.shop_refund_id.is_none());
    let changed = before.filter(|before| shown(&before.refund) != shown(refund));
    let text = match changed {
        Some(before) => {
            format!("{alias} now says that {} went back instead of {}.", shown(refund), shown(&before.refund))
        }
        None if was_said || shop_refund_id.is_some() => return None,
        None if refund.currency != currency => format!(
            "{alias} gave {} back. It counts in none of the order's sums, which are in {currency}.",
            shown(refund)
        ),
        None if refund.total_minor != refund.told_minor => {
            let tax = Money { minor: refund.total_minor.saturating_sub(refund.told_minor), currency };
            format!("{alias} gave {} back, and {tax} of the tax that it keeps.", shown(refund))
        }
        None => format!("{alias} gave {} back.", shown(refund)),
    };
    Some(NewEvent::new(EventKind::RefundedOnMarketplace, text))
}

fn shown(refund: &MarketplaceRefund) -> Money {
    Money { minor: refund.told_minor, currency: refund.currency }
}

#[cfg(test)]
mod tests;

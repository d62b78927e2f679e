//! An order's refunds, each of them once, wherever eBay lists it.
//!
//! One of the whole order is listed on the order, with a status; one of positions is listed on each of them with its
//! part, without one. What was made in Seller Hub may stand on both. eBay's amounts leave out the tax that it remits,
//! and gives back, itself.

use std::collections::BTreeMap;

use super::super::super::error::Unreadable;
use super::super::wire;
use super::{amounts, instant, unreadable};
use crate::domain::money::{Currency, minor_exact, parse_decimal};
use crate::domain::order::{Amount, LineFacts};
use crate::domain::refund::{GivenBack, MarketplaceRefund, RefundedLine, add_withheld_tax};

/// A refund that did not fail, as an order lists it.
#[derive(Debug)]
pub struct Standing<'o> {
    /// Only where `issueRefund` was asked for it.
    pub refund_id: Option<&'o str>,
    /// eBay's id of any refund, once it is through.
    pub reference_id: Option<&'o str>,
    /// When it went through.
    pub date: Option<&'o str>,
    /// Currency of every amount: the order's, if eBay gives the amount in it.
    pub currency: Currency,
    /// What goes back, without tax that eBay remits, in minor units.
    pub minor: i64,
    status: Option<&'o str>,
    /// Its parts, by position.
    lines: BTreeMap<&'o str, i64>,
}

impl<'o> Standing<'o> {
    fn new(
        refund: &'o wire::OrderRefund,
        line: Option<&'o wire::LineItem>,
        currency: Currency,
    ) -> Result<Self, Unreadable> {
        let (currency, minor) = amount(refund.amount.as_ref(), currency)?;
        let line = line.and_then(|line| line.line_item_id.as_deref());
        Ok(Self {
            refund_id: refund.refund_id.as_deref(),
            reference_id: refund.refund_reference_id.as_deref(),
            date: refund.refund_date.as_deref(),
            currency,
            minor,
            status: refund.refund_status.as_deref(),
            lines: line.into_iter().map(|line| (line, minor)).collect(),
        })
    }

    /// Whether both are one refund: by the first id that both have, else by the moment at which they went through,
    /// where `issueRefund` was asked for neither.
    fn is_same(&self, other: &Self) -> bool {
        let ids = [(self.refund_id, other.refund_id), (self.reference_id, other.reference_id)];
        let is_same = ids.into_iter().find_map(|(one, other)| Some(one? == other?)).unwrap_or_else(|| {
            self.refund_id.or(other.refund_id).is_none() && self.date.is_some() && self.date == other.date
        });
        is_same && self.currency == other.currency
    }

    /// Takes in another place where it is listed.
    fn join(&mut self, other: &Self, minor: i64) {
        self.refund_id = self.refund_id.or(other.refund_id);
        self.reference_id = self.reference_id.or(other.reference_id);
        self.date = self.date.or(other.date);
        self.status = self.status.or(other.status);
        self.minor = minor;
        for (line, minor) in &other.lines {
            let part = self.lines.entry(*line).or_default();
            *part = part.saturating_add(*minor);
        }
    }

    /// Whether the money went back. Without a status that we know, one that has a date did.
    fn is_through(&self) -> bool {
        match self.status {
            Some("REFUNDED") => true,
            Some("PENDING") => false,
            _ => self.date.is_some(),
        }
    }

    /// Its id, which is the same as long as eBay lists it, once it is through.
    fn id(&self) -> Option<&'o str> {
        self.refund_id.or(self.reference_id).or(self.date)
    }

    fn facts(&self, place: usize) -> Result<MarketplaceRefund, Unreadable> {
        let line = |(line, minor): (&&str, &i64)| RefundedLine {
            external_line_id: (*line).to_owned(),
            minor: *minor,
        };
        Ok(MarketplaceRefund {
            refund_id: self.id().map_or_else(|| format!("refund {place}"), str::to_owned),
            refunded_at: instant("refundDate", self.date)?,
            currency: self.currency,
            told_minor: self.minor,
            total_minor: self.minor,
            lines: self.lines.iter().map(line).collect(),
        })
    }

    /// One that is not through yet and that `issueRefund` was not asked for has no id: it goes by its place.
    #[must_use]
    pub fn id_or_place(&self, place: usize) -> String {
        self.id().map_or_else(|| format!("under way, {place}"), str::to_owned)
    }
}

/// What went back, and whether more is under way.
///
/// # Errors
/// Where an amount is no money.
pub fn read(
    order: &wire::Order,
    currency: Currency,
    lines: &[LineFacts],
    amounts: &[Amount],
) -> Result<GivenBack, Unreadable> {
    let standing = standing(order, currency)?;
    let through = standing.iter().enumerate().filter(|(_, one)| one.is_through() && one.minor > 0);
    let mut refunds: Vec<MarketplaceRefund> =
        through.map(|(place, one)| one.facts(place)).collect::<Result<_, _>>()?;
    refunds
        .sort_by(|one, other| (one.refunded_at, &one.refund_id).cmp(&(other.refunded_at, &other.refund_id)));
    if let [line] = lines {
        let names_none = |refund: &&mut MarketplaceRefund| refund.lines.is_empty();
        for refund in refunds.iter_mut().filter(names_none) {
            let (external_line_id, minor) = (line.external_id.clone(), refund.told_minor);
            refund.lines.push(RefundedLine { external_line_id, minor });
        }
    }
    add_withheld_tax(&mut refunds, currency, lines, amounts)
        .map_err(|error| unreadable("paymentSummary.refunds", error))?;
    Ok(GivenBack { refunds, is_more_under_way: standing.iter().any(|one| !one.is_through()) })
}

/// An order's refunds, each of them once, without those that failed. One of several positions is listed on each of
/// them with its part; one that is listed on the order and on positions is the same, and the greater amount counts.
///
/// # Errors
/// Where an amount is no money.
pub fn standing(order: &wire::Order, currency: Currency) -> Result<Vec<Standing<'_>>, Unreadable> {
    let has_failed = |refund: &wire::OrderRefund| refund.refund_status.as_deref() == Some("FAILED");
    let failed: Vec<&str> = of_order(order)
        .filter(|refund| has_failed(refund))
        .filter_map(|refund| refund.refund_id.as_deref())
        .collect();
    let mut all: Vec<Standing<'_>> = Vec::new();
    for refund in of_order(order).filter(|refund| !has_failed(refund)) {
        add_up(&mut all, Standing::new(refund, None, currency)?);
    }
    let mut on_lines: Vec<Standing<'_>> = Vec::new();
    for (line, refund) in of_lines(order).filter(|(_, refund)| !has_failed(refund)) {
        if refund.refund_id.as_deref().is_none_or(|id| !failed.contains(&id)) {
            add_up(&mut on_lines, Standing::new(refund, Some(line), currency)?);
        }
    }
    for one in on_lines {
        match all.iter_mut().find(|known| known.is_same(&one)) {
            Some(known) => known.join(&one, known.minor.max(one.minor)),
            None => all.push(one),
        }
    }
    Ok(all)
}

fn add_up<'o>(all: &mut Vec<Standing<'o>>, one: Standing<'o>) {
    match all.iter_mut().find(|known| known.is_same(&one)) {
        Some(known) => known.join(&one, known.minor.saturating_add(one.minor)),
        None => all.push(one),
    }
}

/// Refunds that are listed on the order.
pub fn of_order(order: &wire::Order) -> impl Iterator<Item = &wire::OrderRefund> {
    order.payment_summary.iter().flat_map(|summary| &summary.refunds)
}

/// Refunds that are listed on its positions.
pub fn of_lines(order: &wire::Order) -> impl Iterator<Item = (&wire::LineItem, &wire::OrderRefund)> {
    order.line_items.iter().flat_map(|line| line.refunds.iter().map(move |refund| (line, refund)))
}

/// An amount in minor units of the order's currency; where eBay gives it in another one only, of that.
fn amount(amount: Option<&wire::Amount>, currency: Currency) -> Result<(Currency, i64), Unreadable> {
    let place = "refunds.amount";
    let Some(given) = amount else { return Ok((currency, 0)) };
    let codes = [given.currency.as_deref(), given.converted_from_currency.as_deref()];
    let foreign = given.currency.as_deref().filter(|_| !codes.contains(&Some(currency.code())));
    let Some(code) = foreign else {
        let decimal = amounts::decimal(amount, currency, place)?.unwrap_or_default();
        return Ok((currency, minor_exact(decimal, currency).map_err(|error| unreadable(place, error))?));
    };
    let currency: Currency = code.parse().map_err(|error| unreadable(place, error))?;
    let decimal = parse_decimal(given.value.as_deref().unwrap_or("0"));
    let minor = decimal.and_then(|decimal| minor_exact(decimal, currency));
    Ok((currency, minor.map_err(|error| unreadable(place, error))?))
}

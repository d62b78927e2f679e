//! Amazon's proceeds as typed amounts that sum to the total.
//!
//! Amazon's model leaves two things open that differ between its marketplaces: whether prices already contain
//! the tax that is listed beside them, and whether a discount is written with a minus. Both are settled by
//! arithmetic: of the few possible readings, the first under which the parts make the total is the one. Where
//! none does, the amounts stay as written, the sum differs from the total, and the order is held for a person.

use super::super::super::error::Unreadable;
use super::super::wire;
use super::{minor, unreadable};
use crate::domain::money::{Currency, sum};
use crate::domain::order::{Amount, AmountKind, LineFacts};

/// One way to read the parts of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// Prices contain the tax.
    has_tax_inside: bool,
    /// Discounts are taken as written instead of off.
    has_discount_as_written: bool,
}

/// The usual one first.
const READINGS: [Reading; 4] = [
    Reading { has_tax_inside: false, has_discount_as_written: false },
    Reading { has_tax_inside: true, has_discount_as_written: false },
    Reading { has_tax_inside: false, has_discount_as_written: true },
    Reading { has_tax_inside: true, has_discount_as_written: true },
];

/// One item's parts as written.
struct Item {
    line: usize,
    parts: Vec<(AmountKind, i64)>,
    total: Option<i64>,
    is_tax_withheld: bool,
    is_cancelled: bool,
}

/// The order's total and amounts.
///
/// # Errors
/// Where an amount is no money of the order's currency.
pub fn read(
    order: &wire::Order,
    lines: &[LineFacts],
    currency: Currency,
) -> Result<(i64, Vec<Amount>), Unreadable> {
    let items = items(order, lines, currency)?;
    let extras = extras(order, currency)?;
    let grand_total = minor(
        order.proceeds.as_ref().and_then(|proceeds| proceeds.grand_total.as_ref()),
        currency,
        "proceeds.grandTotal",
    )?;
    let has_parts = items.iter().any(|item| !item.parts.is_empty());
    let Some(total) = grand_total else {
        if has_parts || !extras.is_empty() {
            let amounts = by_item(&items, READINGS[0], &extras)?;
            return Ok((paid(&amounts)?, amounts));
        }
        // No proceeds at all: a free replacement, or prices without proceeds. The latter must not go into the
        // shop for nothing: a total without parts holds the order.
        return Ok((list_price(order, lines, currency)?, Vec::new()));
    };
    let amounts = settled(&items, &extras, total)?;
    Ok((total, amounts.map_or_else(|| by_item(&items, READINGS[0], &extras), Ok)?))
}

/// The amounts that make the total, if any reading gives them.
fn settled(items: &[Item], extras: &[Amount], total: i64) -> Result<Option<Vec<Amount>>, Unreadable> {
    // A tip that is still pending may not be in the total yet; an item that was cancelled as a whole may still
    // list its parts while the total no longer has them.
    let kept: Vec<&Item> = items.iter().filter(|item| !item.is_cancelled).collect();
    let all: Vec<&Item> = items.iter().collect();
    for items in [&all, &kept] {
        for extras in [extras, &[]] {
            for reading in READINGS {
                for is_item_first in [true, false] {
                    let amounts = amounts(items, reading, is_item_first, extras)?;
                    if paid(&amounts)? == total {
                        return Ok(Some(amounts));
                    }
                }
            }
        }
    }
    Ok(None)
}

fn by_item(items: &[Item], reading: Reading, extras: &[Amount]) -> Result<Vec<Amount>, Unreadable> {
    amounts(&items.iter().collect::<Vec<_>>(), reading, true, extras)
}

/// Every item under the reading that makes its own total, where `is_item_first` and one does; else under
/// `reading`.
fn amounts(
    items: &[&Item],
    reading: Reading,
    is_item_first: bool,
    extras: &[Amount],
) -> Result<Vec<Amount>, Unreadable> {
    let mut amounts = Vec::new();
    for item in items {
        let own = match item.total.filter(|_| is_item_first) {
            Some(total) => own_reading(item, total)?,
            None => None,
        };
        let parts = under(item, own.unwrap_or(reading))?;
        if item.is_tax_withheld {
            let tax = total_of(parts.iter().filter(|(kind, _)| kind.is_tax()))?;
            if tax != 0 {
                amounts.push(Amount { line: Some(item.line), kind: AmountKind::WithheldTax, minor: tax });
            }
        }
        let amount = |(kind, minor)| Amount { line: Some(item.line), kind, minor };
        amounts.extend(parts.into_iter().filter(|(_, minor)| *minor != 0).map(amount));
    }
    amounts.extend(extras);
    Ok(amounts)
}

fn own_reading(item: &Item, total: i64) -> Result<Option<Reading>, Unreadable> {
    for reading in READINGS {
        if total_of(under(item, reading)?.iter())? == total {
            return Ok(Some(reading));
        }
    }
    Ok(None)
}

/// An item's parts under one reading, one amount per kind.
fn under(item: &Item, reading: Reading) -> Result<Vec<(AmountKind, i64)>, Unreadable> {
    let mut parts: Vec<(AmountKind, i64)> = Vec::new();
    let mut add = |kind: AmountKind, minor: i64| -> Result<(), Unreadable> {
        match parts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum = sum.checked_add(minor).ok_or_else(too_large)?,
            None => parts.push((kind, minor)),
        }
        Ok(())
    };
    for (kind, minor) in &item.parts {
        let is_discount = matches!(kind, AmountKind::SellerDiscount | AmountKind::ShippingDiscount);
        let taken_off = is_discount && !reading.has_discount_as_written;
        add(
            *kind,
            if taken_off {
                minor.checked_abs().ok_or_else(too_large)?.checked_neg().ok_or_else(too_large)?
            } else {
                *minor
            },
        )?;
        let priced = match kind {
            AmountKind::ItemTax => Some(AmountKind::Item),
            AmountKind::ShippingTax => Some(AmountKind::Shipping),
            AmountKind::GiftWrapTax => Some(AmountKind::GiftWrap),
            _ => None,
        };
        if let Some(priced) = priced.filter(|_| reading.has_tax_inside) {
            add(priced, minor.checked_neg().ok_or_else(too_large)?)?;
        }
    }
    Ok(parts)
}

fn items(order: &wire::Order, lines: &[LineFacts], currency: Currency) -> Result<Vec<Item>, Unreadable> {
    let read = |(line, (item, facts)): (usize, (&wire::OrderItem, &LineFacts))| {
        let place = format!("orderItems[{line}].proceeds");
        let mut parts = Vec::new();
        let mut total = None;
        if let Some(proceeds) = &item.proceeds {
            total = minor(proceeds.proceeds_total.as_ref(), currency, &place)?;
            for breakdown in &proceeds.breakdowns {
                parts.extend(split(breakdown, currency, &place)?);
            }
            if let (Some(total), true) = (total, proceeds.breakdowns.is_empty()) {
                parts.push((AmountKind::Item, total));
            }
        }
        let collections = item.tax.iter().flat_map(|tax| &tax.tax_collections);
        let is_tax_withheld =
            collections.into_iter().any(|tax| tax.model.as_deref() == Some("MARKETPLACE_FACILITATOR"));
        let is_cancelled = facts.quantity > 0 && facts.quantity_cancelled == facts.quantity;
        Ok(Item { line, parts, total, is_tax_withheld, is_cancelled })
    };
    order.order_items.iter().zip(lines).enumerate().map(read).collect()
}

/// One breakdown by what it is for. What its details leave over goes where the goods' share goes.
fn split(
    breakdown: &wire::Breakdown,
    currency: Currency,
    place: &str,
) -> Result<Vec<(AmountKind, i64)>, Unreadable> {
    let Some(subtotal) = minor(breakdown.subtotal.as_ref(), currency, place)? else { return Ok(Vec::new()) };
    let of_details: fn(Option<&str>) -> AmountKind = match breakdown.kind.as_deref() {
        Some("ITEM") => return Ok(vec![(AmountKind::Item, subtotal)]),
        Some("SHIPPING") => return Ok(vec![(AmountKind::Shipping, subtotal)]),
        Some("GIFT_WRAP") => return Ok(vec![(AmountKind::GiftWrap, subtotal)]),
        Some("TAX") => |subtype| match subtype {
            Some("SHIPPING") => AmountKind::ShippingTax,
            Some("GIFT_WRAP") => AmountKind::GiftWrapTax,
            _ => AmountKind::ItemTax,
        },
        Some("DISCOUNT") => |subtype| match subtype {
            Some("SHIPPING") => AmountKind::ShippingDiscount,
            _ => AmountKind::SellerDiscount,
        },
        // Cash on delivery, and whatever Amazon will think of: the buyer paid it.
        _ => return Ok(vec![(AmountKind::Other, subtotal)]),
    };
    let mut parts = Vec::new();
    let mut left = subtotal;
    for detail in &breakdown.detailed_breakdowns {
        if let Some(value) = minor(detail.value.as_ref(), currency, place)? {
            // Details without their minus belong to a subtotal with one.
            let value = if (subtotal < 0) == (value < 0) { value } else { -value };
            left = left.checked_sub(value).ok_or_else(too_large)?;
            parts.push((of_details(detail.subtype.as_deref()), value));
        }
    }
    if left != 0 {
        parts.push((of_details(None), left));
    }
    Ok(parts)
}

/// What belongs to the order alone: the other categories there only repeat what the items say.
fn extras(order: &wire::Order, currency: Currency) -> Result<Vec<Amount>, Unreadable> {
    let breakdowns = order.proceeds.iter().flat_map(|proceeds| &proceeds.breakdowns);
    let mut amounts = Vec::new();
    for breakdown in breakdowns.filter(|breakdown| breakdown.kind.as_deref() == Some("DELIVERY_TIP")) {
        if let Some(minor) = minor(breakdown.subtotal.as_ref(), currency, "proceeds.breakdowns")? {
            amounts.push(Amount { line: None, kind: AmountKind::Other, minor });
        }
    }
    Ok(amounts)
}

fn list_price(order: &wire::Order, lines: &[LineFacts], currency: Currency) -> Result<i64, Unreadable> {
    let mut total = 0i64;
    for (item, line) in order.order_items.iter().zip(lines) {
        let unit = minor(super::unit_price(item), currency, "orderItems[].product.price")?.unwrap_or(0);
        let units = line.quantity - line.quantity_cancelled;
        total = unit.checked_mul(units).and_then(|price| total.checked_add(price)).ok_or_else(too_large)?;
    }
    Ok(total)
}

fn paid(amounts: &[Amount]) -> Result<i64, Unreadable> {
    sum(amounts.iter().filter(|amount| amount.kind.is_paid_by_buyer()).map(|amount| amount.minor))
        .map_err(|error| unreadable("proceeds", error))
}

fn total_of<'a>(parts: impl Iterator<Item = &'a (AmountKind, i64)>) -> Result<i64, Unreadable> {
    sum(parts.map(|(_, minor)| *minor)).map_err(|error| unreadable("proceeds", error))
}

fn too_large() -> Unreadable {
    unreadable("proceeds", "the amount is too large to hold")
}

//! eBay's sums as typed amounts that make what the buyer paid.
//!
//! The order's sums are eBay's own arithmetic; its positions tell what belongs to which line, and what they leave over
//! stays with the order. Tax that eBay takes and remits comes on top (`collectionMethod` is always NET): it is in
//! eBay's total only where the breakdown of taxes was asked for, which then repeats it among the seller's taxes.
//! Arithmetic tells which of the two a payload is. Where neither makes the total, the sum differs from it, and the
//! order is held for a person.

use rust_decimal::Decimal;

use super::super::super::error::Unreadable;
use super::super::wire;
use super::unreadable;
use crate::domain::money::{Currency, minor_exact, parse_decimal, sum};
use crate::domain::order::{Amount, AmountKind};

/// The buyer's currency: of the total before it was converted for the seller, else of any position.
///
/// # Errors
/// Where no amount names a currency that we know.
pub fn currency(order: &wire::Order) -> Result<Currency, Unreadable> {
    let total = order.pricing_summary.as_ref().and_then(|summary| summary.total.as_ref());
    let costs = order.line_items.iter().filter_map(|line| line.line_item_cost.as_ref());
    let code = total.into_iter().chain(costs).find_map(|amount| {
        let original = amount.converted_from_value.as_ref().and(amount.converted_from_currency.as_deref());
        original.or(amount.currency.as_deref())
    });
    let code = code.ok_or_else(|| unreadable("pricingSummary.total.currency", "it is missing"))?;
    code.parse().map_err(|error| unreadable("pricingSummary.total.currency", error))
}

/// An amount in the order's currency: as it stands, or before it was converted.
///
/// # Errors
/// Where it is in another currency or is no number.
pub fn decimal(
    amount: Option<&wire::Amount>,
    currency: Currency,
    place: &str,
) -> Result<Option<Decimal>, Unreadable> {
    let Some(amount) = amount else { return Ok(None) };
    let text = match (amount.currency.as_deref(), amount.converted_from_currency.as_deref()) {
        (Some(code), _) if code == currency.code() => amount.value.as_deref(),
        (_, Some(code)) if code == currency.code() => amount.converted_from_value.as_deref(),
        (Some(code), _) => {
            return Err(unreadable(place, format!("it is in {code}, the order in {currency}")));
        }
        (None, _) => amount.value.as_deref(),
    };
    text.map(|text| parse_decimal(text).map_err(|error| unreadable(place, error))).transpose()
}

fn minor(amount: Option<&wire::Amount>, currency: Currency, place: &str) -> Result<Option<i64>, Unreadable> {
    let amount = decimal(amount, currency, place)?;
    amount.map(|amount| minor_exact(amount, currency).map_err(|error| unreadable(place, error))).transpose()
}

/// The parts of one position.
#[derive(Debug, Default)]
struct Line {
    item: i64,
    discount: i64,
    shipping: i64,
    shipping_discount: i64,
    tax: i64,
    /// Tax that eBay takes and remits.
    remitted: i64,
    /// Paid to eBay's international carrier.
    import: i64,
}

/// What the buyer paid, and what it is made of.
///
/// # Errors
/// Where an amount is no money of the order's currency.
pub fn read(order: &wire::Order, currency: Currency) -> Result<(i64, Vec<Amount>), Unreadable> {
    let lines: Vec<Line> = order
        .line_items
        .iter()
        .enumerate()
        .map(|(index, line)| read_line(line, currency, &format!("lineItems[{index}]")))
        .collect::<Result<_, _>>()?;
    let none = wire::PricingSummary::default();
    let summary = order.pricing_summary.as_ref().unwrap_or(&none);
    let of = |amount: &Option<wire::Amount>, name: &str| {
        minor(amount.as_ref(), currency, &format!("pricingSummary.{name}"))
    };
    let mut book = Book::default();
    book.enter(AmountKind::Item, of(&summary.price_subtotal, "priceSubtotal")?, &lines, |line| line.item)?;
    let discount = taken_off(of(&summary.price_discount, "priceDiscount")?)?;
    book.enter(AmountKind::SellerDiscount, discount, &lines, |line| line.discount)?;
    book.enter(AmountKind::Shipping, of(&summary.delivery_cost, "deliveryCost")?, &lines, |line| {
        line.shipping
    })?;
    let discount = taken_off(of(&summary.delivery_discount, "deliveryDiscount")?)?;
    book.enter(AmountKind::ShippingDiscount, discount, &lines, |line| line.shipping_discount)?;
    if let Some(adjustment) = of(&summary.adjustment, "adjustment")? {
        let kind = if adjustment < 0 { AmountKind::SellerDiscount } else { AmountKind::Other };
        book.add(None, kind, adjustment);
    }
    let remitted = total(lines.iter().map(|line| line.remitted))?;
    let own_tax = total(lines.iter().map(|line| line.tax))?;
    let stated_fee = of(&summary.fee, "fee")?.unwrap_or(0);
    let stated_tax = of(&summary.tax, "tax")?;
    // Where the order's tax and fee are the seller's and eBay's together, the positions say which is which.
    let both = own_tax.saturating_add(remitted);
    let with_fee = stated_tax.unwrap_or(0).saturating_add(stated_fee);
    let (stated_tax, fee) = match stated_tax {
        _ if remitted != 0 && stated_fee != 0 && with_fee == both => (Some(own_tax), 0),
        Some(tax) if remitted != 0 && tax == both => (Some(own_tax), stated_fee),
        tax => (tax, stated_fee),
    };
    book.add(None, AmountKind::Other, fee);
    book.enter(AmountKind::ItemTax, stated_tax, &lines, |line| line.tax)?;
    let stated = of(&summary.total, "total")?;
    let without = book.paid()?;
    for (index, line) in lines.iter().enumerate() {
        book.add(Some(index), AmountKind::ItemTax, line.remitted);
        book.add(Some(index), AmountKind::WithheldTax, line.remitted);
    }
    let with = book.paid()?;
    let import = total(lines.iter().map(|line| line.import))?;
    let paid = match stated {
        None => with,
        // eBay's total leaves out what it remits itself: the buyer paid that, too.
        Some(stated) if stated == without => with,
        Some(stated)
            if import != 0
                && (stated == with.saturating_add(import) || stated == without.saturating_add(import)) =>
        {
            for (index, line) in lines.iter().enumerate() {
                book.add(Some(index), AmountKind::Other, line.import);
            }
            book.paid()?
        }
        Some(stated) => stated,
    };
    if let Some(fee) =
        minor(order.total_marketplace_fee.as_ref(), currency, "totalMarketplaceFee").ok().flatten()
    {
        book.add(None, AmountKind::Fee, fee);
    }
    Ok((paid, book.amounts))
}

fn read_line(line: &wire::LineItem, currency: Currency, place: &str) -> Result<Line, Unreadable> {
    let of = |amount: Option<&wire::Amount>, name: &str| {
        minor(amount, currency, &format!("{place}.{name}")).map(|minor| minor.unwrap_or(0))
    };
    let item = of(line.line_item_cost.as_ref(), "lineItemCost")?;
    let discount = match minor(
        line.discounted_line_item_cost.as_ref(),
        currency,
        &format!("{place}.discountedLineItemCost"),
    )? {
        Some(discounted) => discounted.saturating_sub(item),
        None => {
            let promotions = line.applied_promotions.iter();
            let amounts = promotions.map(|one| of(one.discount_amount.as_ref(), "appliedPromotions"));
            total(amounts.collect::<Result<Vec<_>, _>>()?)?.saturating_abs().saturating_neg()
        }
    };
    let delivery = line.delivery_cost.as_ref();
    let part = |part: fn(&wire::DeliveryCost) -> &Option<wire::Amount>| {
        of(delivery.and_then(|delivery| part(delivery).as_ref()), "deliveryCost")
    };
    let taxes = |taxes: &[&wire::Tax]| {
        total(taxes.iter().map(|tax| of(tax.amount.as_ref(), "taxes")).collect::<Result<Vec<_>, _>>()?)
    };
    // The breakdown repeats among the seller's taxes what eBay remits: same kind, same amount.
    let mut repeated: Vec<&wire::Tax> = line.ebay_collect_and_remit_taxes.iter().collect();
    let own: Vec<&wire::Tax> = line
        .taxes
        .iter()
        .filter(|tax| {
            let is_same = |other: &&wire::Tax| other.tax_type == tax.tax_type && is_same_amount(other, tax);
            match repeated.iter().position(is_same) {
                Some(at) => {
                    repeated.swap_remove(at);
                    false
                }
                None => true,
            }
        })
        .collect();
    Ok(Line {
        item,
        discount,
        shipping: part(|cost| &cost.shipping_cost)?.saturating_add(part(|cost| &cost.handling_cost)?),
        shipping_discount: part(|cost| &cost.discount_amount)?.saturating_abs().saturating_neg(),
        tax: taxes(&own)?,
        remitted: taxes(&line.ebay_collect_and_remit_taxes.iter().collect::<Vec<_>>())?,
        import: part(|cost| &cost.import_charges)?
            .saturating_add(part(|cost| &cost.shipping_intermediation_fee)?),
    })
}

fn is_same_amount(one: &wire::Tax, other: &wire::Tax) -> bool {
    let value = |tax: &wire::Tax| parse_decimal(tax.amount.as_ref()?.value.as_deref()?).ok();
    value(one).is_some() && value(one) == value(other)
}

/// A discount, with its minus whether eBay writes it or not.
fn taken_off(discount: Option<i64>) -> Result<Option<i64>, Unreadable> {
    let negative = |minor: i64| minor.checked_abs().and_then(i64::checked_neg);
    discount.map(|minor| negative(minor).ok_or_else(too_large)).transpose()
}

/// The amounts so far.
#[derive(Debug, Default)]
struct Book {
    amounts: Vec<Amount>,
}

impl Book {
    /// One kind: what the positions say where that makes the order's sum, and what is left over for the order.
    fn enter(
        &mut self,
        kind: AmountKind,
        stated: Option<i64>,
        lines: &[Line],
        part: fn(&Line) -> i64,
    ) -> Result<(), Unreadable> {
        let of_lines = total(lines.iter().map(part))?;
        let left = stated.unwrap_or(of_lines).checked_sub(of_lines).ok_or_else(too_large)?;
        for (index, line) in lines.iter().enumerate() {
            self.add(Some(index), kind, part(line));
        }
        self.add(None, kind, left);
        Ok(())
    }

    /// Adds to the amount of that kind and place; nothing is no amount.
    fn add(&mut self, line: Option<usize>, kind: AmountKind, minor: i64) {
        if minor == 0 {
            return;
        }
        let known = self.amounts.iter_mut().find(|amount| amount.line == line && amount.kind == kind);
        match known {
            Some(known) => known.minor = known.minor.saturating_add(minor),
            None => self.amounts.push(Amount { line, kind, minor }),
        }
    }

    fn paid(&self) -> Result<i64, Unreadable> {
        total(self.amounts.iter().filter(|amount| amount.kind.is_paid_by_buyer()).map(|amount| amount.minor))
    }
}

fn total(amounts: impl IntoIterator<Item = i64>) -> Result<i64, Unreadable> {
    sum(amounts).map_err(|error| unreadable("pricingSummary", error))
}

fn too_large() -> Unreadable {
    unreadable("pricingSummary", "the amount is too large to hold")
}

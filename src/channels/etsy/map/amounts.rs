//! A receipt's money as typed amounts that sum to what the buyer paid.
//!
//! Etsy gives totals of the whole receipt and a price per line. It leaves open whether the value-added tax stands in
//! the prices or beside them, whether gift wrap is in the price of the goods, and whether a coupon for free shipping
//! has been taken off the shipping already. As with every platform arithmetic settles it: the first reading under
//! which the parts make the total is the one. Where none does, the amounts stay as written, and the order is held.

use super::super::super::error::Unreadable;
use super::super::wire;
use super::{minor, missing, unreadable};
use crate::domain::money::{Currency, MoneyError, allocate, sum};
use crate::domain::order::{Amount, AmountKind};

/// The receipt's totals as written.
#[derive(Debug, Clone, Copy)]
struct Totals {
    goods: i64,
    discount: i64,
    shipping: i64,
    tax: i64,
    vat: i64,
    wrap: i64,
}

/// One way to read them.
#[derive(Debug, Clone, Copy)]
struct Reading {
    is_vat_inside: bool,
    is_wrap_inside: bool,
    is_shipping_free: bool,
}

/// Every reading, the usual one first.
fn readings() -> impl Iterator<Item = Reading> {
    let both = [false, true];
    both.into_iter().flat_map(move |is_shipping_free| {
        both.into_iter().flat_map(move |is_wrap_inside| {
            both.map(|is_vat_inside| Reading { is_vat_inside, is_wrap_inside, is_shipping_free })
        })
    })
}

/// The receipt's total and amounts.
///
/// # Errors
/// Where an amount is no money of the receipt's currency, or is missing.
pub fn read(receipt: &wire::Receipt, currency: Currency) -> Result<(i64, Vec<Amount>), Unreadable> {
    let of = |money: &Option<wire::Money>, place: &str| minor(money.as_ref(), currency, place);
    let total = of(&receipt.grandtotal, "grandtotal")?.ok_or_else(|| missing("grandtotal.amount"))?;
    let lines = line_prices(receipt, currency)?;
    let listed = sum(lines.iter().copied()).map_err(too_large)?;
    let totals = Totals {
        goods: of(&receipt.total_price, "total_price")?.unwrap_or(listed),
        // Etsy writes it without a minus; one with a minus means the same.
        discount: of(&receipt.discount_amt, "discount_amt")?.unwrap_or(0).checked_abs().unwrap_or(0),
        shipping: of(&receipt.total_shipping_cost, "total_shipping_cost")?.unwrap_or(0),
        tax: of(&receipt.total_tax_cost, "total_tax_cost")?.unwrap_or(0),
        vat: of(&receipt.total_vat_cost, "total_vat_cost")?.unwrap_or(0),
        wrap: of(&receipt.gift_wrap_price, "gift_wrap_price")?.unwrap_or(0),
    };
    let mut first = None;
    for reading in readings() {
        let amounts = under(totals, reading, &lines).map_err(too_large)?;
        // Goods are never worth less than nothing: what only sums that way was not meant that way.
        let mut goods = amounts.iter().filter(|amount| amount.kind == AmountKind::Item);
        let is_meant = goods.all(|amount| amount.minor >= 0);
        if is_meant && paid(&amounts).map_err(too_large)? == total {
            return Ok((total, amounts));
        }
        first.get_or_insert(amounts);
    }
    Ok((total, first.unwrap_or_default()))
}

/// Each line's price times its units.
fn line_prices(receipt: &wire::Receipt, currency: Currency) -> Result<Vec<i64>, Unreadable> {
    let price = |one: &wire::Transaction| {
        let unit = minor(one.price.as_ref(), currency, "transactions[].price")?.unwrap_or(0);
        unit.checked_mul(one.quantity.unwrap_or(0)).ok_or_else(|| too_large(MoneyError::Overflow))
    };
    receipt.transactions.iter().map(price).collect()
}

/// The totals under one reading: what is the goods' is spread over the lines by their prices, to the minor unit.
fn under(totals: Totals, reading: Reading, lines: &[i64]) -> Result<Vec<Amount>, MoneyError> {
    let Totals { goods, discount, shipping, tax, vat, wrap } = totals;
    let goods = if reading.is_wrap_inside { less(goods, wrap)? } else { goods };
    let net = if reading.is_vat_inside { less(goods, vat)? } else { goods };
    let mut amounts = Vec::new();
    let all_tax = sum([tax, vat])?;
    for (kind, whole) in [
        (AmountKind::Item, net),
        (AmountKind::SellerDiscount, less(0, discount)?),
        (AmountKind::ItemTax, all_tax),
    ] {
        let parts = spread(whole, lines)?;
        let of_line = |(line, minor): (usize, i64)| Amount { line: Some(line), kind, minor };
        amounts.extend(parts.into_iter().enumerate().filter(|(_, minor)| *minor != 0).map(of_line));
        if lines.is_empty() && whole != 0 {
            amounts.push(Amount { line: None, kind, minor: whole });
        }
    }
    let free = if reading.is_shipping_free { less(0, shipping)? } else { 0 };
    let of_order = [
        (AmountKind::Shipping, shipping),
        (AmountKind::ShippingDiscount, free),
        (AmountKind::GiftWrap, wrap),
    ];
    let of_order = of_order.into_iter().filter(|(_, minor)| *minor != 0);
    amounts.extend(of_order.map(|(kind, minor)| Amount { line: None, kind, minor }));
    Ok(amounts)
}

/// The lines' own prices where they make the whole, else shares of it.
fn spread(whole: i64, lines: &[i64]) -> Result<Vec<i64>, MoneyError> {
    if sum(lines.iter().copied())? == whole { Ok(lines.to_vec()) } else { allocate(whole, lines) }
}

fn less(whole: i64, part: i64) -> Result<i64, MoneyError> {
    whole.checked_sub(part).ok_or(MoneyError::Overflow)
}

fn paid(amounts: &[Amount]) -> Result<i64, MoneyError> {
    sum(amounts.iter().filter(|amount| amount.kind.is_paid_by_buyer()).map(|amount| amount.minor))
}

fn too_large(error: MoneyError) -> Unreadable {
    unreadable("grandtotal", error)
}

//! The shop order that we create for a marketplace's order, to the minor unit.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::connection::{ConnectionSettings, CustomerEmail, UnmatchedSku};
use super::customer::{Address, People};
use super::id::ChannelName;
use super::listing::ShopVariant;
use super::money::{Currency, MoneyError, decimal_of_minor, sum};
use super::order::{AmountKind, FulfilledBy, OrderFacts, OrderStatus};
use super::reason::{Reason, ReasonCode};

/// Digits after the point of a derived unit price: what BigCommerce keeps.
const UNIT_PRICE_DIGITS: u32 = 4;

/// Who made a shop order: `eider:<channel>:<account>:<installation>` in `external_source`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalSource {
    /// The marketplace.
    pub channel: ChannelName,
    /// The marketplace's id of the account.
    pub account: String,
    /// The installation that created it.
    pub installation: String,
}

impl ExternalSource {
    /// True where both stand for the same marketplace account, whichever installation made them: a reinstall or
    /// restore still finds its orders.
    #[must_use]
    pub fn is_same_account(&self, other: &Self) -> bool {
        self.channel == other.channel && self.account == other.account
    }
}

impl fmt::Display for ExternalSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eider:{}:{}:{}", self.channel, self.account, self.installation)
    }
}

impl FromStr for ExternalSource {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(4, ':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("eider"), Some(channel), Some(account), Some(installation))
                if !channel.is_empty() && !installation.is_empty() =>
            {
                Ok(Self {
                    channel: channel.into(),
                    account: account.to_owned(),
                    installation: installation.to_owned(),
                })
            }
            _ => Err(()),
        }
    }
}

/// One line of the shop order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftLine {
    /// The marketplace's id of the line it stands for.
    pub external_line_id: String,
    /// Title.
    pub name: String,
    /// The shop's variant, so that its stock moves; none for a custom line.
    pub variant: Option<ShopVariant>,
    /// Units.
    pub quantity: i64,
    /// Unit price without tax, as paid after discounts.
    pub unit_price_ex_tax: Decimal,
    /// Unit price with tax, as paid after discounts.
    pub unit_price_inc_tax: Decimal,
    /// The whole line without tax, in minor units.
    pub total_ex_tax_minor: i64,
    /// The whole line with tax, in minor units.
    pub total_inc_tax_minor: i64,
}

/// An amount without and with tax, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExInc {
    /// Without tax.
    pub ex_tax_minor: i64,
    /// With tax.
    pub inc_tax_minor: i64,
}

/// A shop order to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopOrderDraft {
    /// The marketplace's order id, unchanged.
    pub external_order_id: String,
    /// Who makes it.
    pub external_source: ExternalSource,
    /// The shop's status id.
    pub status_id: u16,
    /// Currency of every amount.
    pub currency: Currency,
    /// Positions.
    pub lines: Vec<DraftLine>,
    /// All lines together.
    pub subtotal: ExInc,
    /// Shipping after its discounts.
    pub shipping: ExInc,
    /// Gift wrap.
    pub wrapping: ExInc,
    /// Whatever else the buyer paid.
    pub handling: ExInc,
    /// What is taken off the order and could not be folded into its lines: positive minor units.
    pub discount_minor: i64,
    /// What the buyer paid.
    pub total: ExInc,
    /// Bill to.
    pub bill_to: Address,
    /// Ship to.
    pub ship_to: Address,
    /// The customer's e-mail.
    pub email: Option<String>,
    /// Shipping method as the buyer chose it.
    pub shipping_method: Option<String>,
    /// Payment method.
    pub payment_method: String,
    /// For the merchant's eyes.
    pub staff_notes: String,
    /// The buyer's message.
    pub customer_message: Option<String>,
}

/// What a draft needs beside the order.
#[derive(Debug)]
pub struct DraftContext<'a> {
    /// The marketplace connection's settings.
    pub settings: &'a ConnectionSettings,
    /// The marketplace connection's alias.
    pub alias: &'a str,
    /// Who makes it.
    pub source: ExternalSource,
    /// The shop's variants by lower-cased SKU.
    pub variants: &'a HashMap<String, ShopVariant>,
    /// The shop's default currency, once read.
    pub shop_currency: Option<&'a str>,
    /// Every line goes in as a custom line: the shop has too little stock and the merchant chose so.
    pub custom_lines_only: bool,
}

/// Builds the shop order, or says why it cannot be built.
///
/// # Errors
/// The reason that the order waits for.
pub fn shop_order(facts: &OrderFacts, context: &DraftContext<'_>) -> Result<ShopOrderDraft, Reason> {
    check_currency(facts, context)?;
    let total_mismatch = |error: MoneyError| Reason::with(ReasonCode::TotalMismatch, error.to_string());
    check_total(facts)?;
    let people = facts.people.as_ref().ok_or_else(|| Reason::of(ReasonCode::AddressMissing))?;
    let ship_to = ship_to(facts, people, context.alias)?;

    let is_folded = discounts_fold_into_lines(facts).map_err(total_mismatch)?;
    let lines = draft_lines(facts, context, is_folded)?;
    let subtotal = ExInc {
        ex_tax_minor: sum(lines.iter().map(|line| line.total_ex_tax_minor)).map_err(total_mismatch)?,
        inc_tax_minor: sum(lines.iter().map(|line| line.total_inc_tax_minor)).map_err(total_mismatch)?,
    };
    let of = |kind| facts.amount(kind, None).map_err(total_mismatch);
    let shipping_net = checked_sum(&[of(AmountKind::Shipping)?, of(AmountKind::ShippingDiscount)?])?;
    let shipping = ex_inc(shipping_net, of(AmountKind::ShippingTax)?)?;
    let wrapping = ex_inc(of(AmountKind::GiftWrap)?, of(AmountKind::GiftWrapTax)?)?;
    let handling = ex_inc(of(AmountKind::Other)?, 0)?;
    let unfolded = unfolded_discount(facts, is_folded).map_err(total_mismatch)?;
    let tax =
        checked_sum(&[of(AmountKind::ItemTax)?, of(AmountKind::ShippingTax)?, of(AmountKind::GiftWrapTax)?])?;
    let total =
        ExInc { ex_tax_minor: checked_sum(&[facts.total_minor, -tax])?, inc_tax_minor: facts.total_minor };
    Ok(ShopOrderDraft {
        external_order_id: facts.external_id.clone(),
        external_source: context.source.clone(),
        status_id: created_status(facts, context.settings),
        currency: facts.currency,
        lines,
        subtotal,
        shipping,
        wrapping,
        handling,
        discount_minor: -unfolded,
        total,
        bill_to: people
            .bill_to
            .clone()
            .filter(|address| !address.is_unusable())
            .unwrap_or_else(|| ship_to.clone()),
        ship_to,
        email: email(facts, people, context.settings),
        shipping_method: facts.shipping_method.clone(),
        payment_method: context.alias.to_owned(),
        staff_notes: staff_notes(facts, people, context),
        customer_message: people.buyer_note.clone(),
    })
}

/// Where it goes. What the platform ships itself comes without a street, since nobody here needs one; the shop
/// asks for one all the same.
fn ship_to(facts: &OrderFacts, people: &People, alias: &str) -> Result<Address, Reason> {
    let missing = || Reason::of(ReasonCode::AddressMissing);
    let address = people.ship_to.clone().ok_or_else(missing)?;
    if !address.is_unusable() {
        return Ok(address);
    }
    if facts.fulfilled_by != FulfilledBy::Platform || address.country.is_none() {
        return Err(missing());
    }
    let unknown = || Some("-".to_owned());
    Ok(Address {
        name: address.name.or_else(|| Some(format!("{alias} customer"))),
        street: if address.street.is_empty() { vec![format!("Shipped by {alias}")] } else { address.street },
        city: address.city.or_else(unknown),
        ..address
    })
}

/// BigCommerce's status id of a cancelled order.
pub const CANCELLED_STATUS_ID: u16 = 5;

fn created_status(facts: &OrderFacts, settings: &ConnectionSettings) -> u16 {
    match facts.status {
        OrderStatus::Cancelled => CANCELLED_STATUS_ID,
        OrderStatus::Pending | OrderStatus::Open | OrderStatus::PartShipped | OrderStatus::Shipped => {
            settings.created_status_id
        }
    }
}

fn check_currency(facts: &OrderFacts, context: &DraftContext<'_>) -> Result<(), Reason> {
    match context.shop_currency {
        Some(code) if code == facts.currency.code() => Ok(()),
        Some(code) => Err(Reason::with(
            ReasonCode::CurrencyDiffers,
            format!("the order is in {}, the shop in {code}", facts.currency),
        )),
        None => Err(Reason::with(ReasonCode::ShopUnavailable, "its currency has not been read yet")),
    }
}

fn check_total(facts: &OrderFacts) -> Result<(), Reason> {
    let paid =
        facts.sum_paid().map_err(|error| Reason::with(ReasonCode::TotalMismatch, error.to_string()))?;
    if paid == facts.total_minor {
        return Ok(());
    }
    Err(Reason::with(
        ReasonCode::TotalMismatch,
        format!(
            "the parts sum to {} {c}, the total is {} {c}",
            decimal_of_minor(paid, facts.currency),
            decimal_of_minor(facts.total_minor, facts.currency),
            c = facts.currency,
        ),
    ))
}

/// True where every discount belongs to a line and leaves it at zero or above: then the lines carry the prices
/// as paid, and the shop order needs no discount of its own.
fn discounts_fold_into_lines(facts: &OrderFacts) -> Result<bool, MoneyError> {
    for (index, _) in facts.lines.iter().enumerate() {
        if line_net(facts, index)? < 0 {
            return Ok(false);
        }
    }
    Ok(facts.amounts.iter().all(|amount| !is_discount(amount.kind) || amount.line.is_some()))
}

fn is_discount(kind: AmountKind) -> bool {
    matches!(kind, AmountKind::SellerDiscount | AmountKind::PlatformDiscount)
}

fn line_net(facts: &OrderFacts, index: usize) -> Result<i64, MoneyError> {
    sum([AmountKind::Item, AmountKind::SellerDiscount, AmountKind::PlatformDiscount]
        .into_iter()
        .map(|kind| facts.amount(kind, Some(index)))
        .collect::<Result<Vec<_>, _>>()?)
}

fn unfolded_discount(facts: &OrderFacts, is_folded: bool) -> Result<i64, MoneyError> {
    if is_folded {
        return Ok(0);
    }
    sum(facts.amounts.iter().filter(|amount| is_discount(amount.kind)).map(|amount| amount.minor))
}

fn draft_lines(
    facts: &OrderFacts,
    context: &DraftContext<'_>,
    is_folded: bool,
) -> Result<Vec<DraftLine>, Reason> {
    let overflow = |error: MoneyError| Reason::with(ReasonCode::TotalMismatch, error.to_string());
    let mut lines = Vec::with_capacity(facts.lines.len());
    for (index, line) in facts.lines.iter().enumerate() {
        let net =
            if is_folded { line_net(facts, index) } else { facts.amount(AmountKind::Item, Some(index)) }
                .map_err(overflow)?;
        let tax = facts.amount(AmountKind::ItemTax, Some(index)).map_err(overflow)?;
        let quantity = line.quantity - line.quantity_cancelled;
        if quantity <= 0 && net == 0 && tax == 0 {
            continue;
        }
        let variant = line
            .sku
            .as_deref()
            .and_then(|sku| context.variants.get(&sku.to_lowercase()))
            .filter(|_| !is_custom(facts, context))
            .cloned();
        if variant.is_none()
            && context.settings.unmatched_sku == UnmatchedSku::Hold
            && !is_custom(facts, context)
        {
            let sku = line.sku.as_deref().unwrap_or("a line without SKU");
            return Err(Reason::with(ReasonCode::UnmatchedSku, sku));
        }
        let gross = checked_sum(&[net, tax])?;
        lines.push(DraftLine {
            external_line_id: line.external_id.clone(),
            name: line.title.clone(),
            variant,
            quantity: quantity.max(1),
            unit_price_ex_tax: unit_price(net, quantity, facts.currency),
            unit_price_inc_tax: unit_price(gross, quantity, facts.currency),
            total_ex_tax_minor: net,
            total_inc_tax_minor: gross,
        });
    }
    Ok(lines)
}

/// Orders that the platform ships never touch the shop's stock (FEATURES B5).
fn is_custom(facts: &OrderFacts, context: &DraftContext<'_>) -> bool {
    context.custom_lines_only || facts.fulfilled_by == FulfilledBy::Platform
}

fn unit_price(line_minor: i64, quantity: i64, currency: Currency) -> Decimal {
    decimal_of_minor(line_minor, currency)
        .checked_div(Decimal::from(quantity.max(1)))
        .unwrap_or_default()
        .round_dp(UNIT_PRICE_DIGITS)
}

fn ex_inc(net: i64, tax: i64) -> Result<ExInc, Reason> {
    Ok(ExInc { ex_tax_minor: net, inc_tax_minor: checked_sum(&[net, tax])? })
}

fn checked_sum(amounts: &[i64]) -> Result<i64, Reason> {
    sum(amounts.iter().copied()).map_err(|error| Reason::with(ReasonCode::TotalMismatch, error.to_string()))
}

fn email(facts: &OrderFacts, people: &People, settings: &ConnectionSettings) -> Option<String> {
    match &settings.customer_email {
        CustomerEmail::None => None,
        CustomerEmail::Keep => people.buyer.email.clone(),
        CustomerEmail::Fixed(address) => Some(address.clone()),
        CustomerEmail::OrderIdAt(domain) => Some(format!("{}@{domain}", facts.external_id)),
    }
}

fn staff_notes(facts: &OrderFacts, people: &People, context: &DraftContext<'_>) -> String {
    let mut notes =
        vec![format!("{} order {} ({})", context.source.channel, facts.external_id, context.alias)];
    if let Some(ship_by) = facts.ship_by {
        notes.push(format!("Ship by {}", ship_by.strftime("%Y-%m-%d %H:%M UTC")));
    }
    let options = facts.lines.iter().filter_map(|line| {
        line.options
            .as_ref()
            .map(|options| format!("{}: {options}", line.sku.as_deref().unwrap_or(&line.title)))
    });
    notes.extend(options);
    notes.extend(people.gift_message.iter().map(|message| format!("Gift message: {message}")));
    notes.extend(people.delivery_instructions.iter().map(|text| format!("Delivery: {text}")));
    notes.join("\n")
}

#[cfg(test)]
mod tests;

//! Refunds: money that goes back to a buyer, as the shop and the marketplace tell of it and as the marketplace is told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::money::{Currency, MoneyError, allocate};
use super::order::{Amount, AmountKind, LineFacts, words};

words! {
    /// What became of a shop order after the sale, by the shop's status.
    AfterSale {
        /// Cancelled.
        Cancelled = "cancelled",
        /// Refunded as a whole.
        Refunded = "refunded",
        /// Refunded in part.
        PartRefunded = "part_refunded",
    }
}

words! {
    /// What a part of a shop's refund is for.
    ShopRefundKind {
        /// Goods, or the gift wrap of them: of one line.
        Goods = "goods",
        /// Shipping and handling.
        Shipping = "shipping",
        /// The order as a whole.
        Order = "order",
    }
}

/// A part of a refund in the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopRefundItem {
    /// What it is for.
    pub kind: ShopRefundKind,
    /// The shop's id of the line, where it is one's.
    pub shop_line_id: Option<String>,
    /// Units, where the shop says so.
    pub quantity: i64,
    /// The shop's amount of it in minor units; none where it gives none. The refund's total is what counts.
    pub minor: Option<i64>,
}

/// A refund as the shop lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopRefund {
    /// The shop's id.
    pub refund_id: String,
    /// When it was made, by the shop's clock.
    pub refunded_at: Option<Timestamp>,
    /// What went back with tax, in minor units. Above zero.
    pub total_minor: i64,
    /// What it is made of; empty for one of the whole order.
    pub items: Vec<ShopRefundItem>,
}

/// A line's share of a refund, in minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundShare {
    /// The marketplace's id of the line.
    pub external_line_id: String,
    /// Of what the buyer paid for the goods.
    pub item_minor: i64,
    /// Of what the buyer paid for their shipping.
    pub shipping_minor: i64,
    /// What the marketplace is asked to give back for the goods: without tax that it gives back by itself.
    pub sent_item_minor: i64,
    /// The same for their shipping.
    pub sent_shipping_minor: i64,
    /// Units, where the shop says so.
    pub quantity: i64,
    /// Units that are cancelled with it, since nothing of the line was shipped.
    pub quantity_cancelled: i64,
}

/// A refund in the shop as held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRefund {
    /// The shop's id.
    pub shop_refund_id: String,
    /// When it was made, by the shop's clock.
    pub refunded_at: Option<Timestamp>,
    /// What went back with tax, in minor units.
    pub total_minor: i64,
    /// Line by line; empty where it could not be laid to lines.
    pub shares: Vec<RefundShare>,
}

impl HeldRefund {
    /// What the marketplace is asked to give back, in minor units.
    #[must_use]
    pub fn sent_minor(&self) -> i64 {
        let sent = |minor: i64, share: &RefundShare| {
            minor.saturating_add(share.sent_item_minor).saturating_add(share.sent_shipping_minor)
        };
        self.shares.iter().fold(0, sent)
    }
}

/// What a marketplace says that went back to the buyer of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenBack {
    /// Refunds that have gone through, oldest first, each of them once.
    pub refunds: Vec<MarketplaceRefund>,
    /// The marketplace is still at another one: the order is to be looked at again.
    pub is_more_under_way: bool,
}

/// A refund that has gone through on a marketplace, whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketplaceRefund {
    /// The marketplace's id, or what never changes of a refund where it gives none.
    pub refund_id: String,
    /// When it was made, by the marketplace's clock.
    pub refunded_at: Option<Timestamp>,
    /// Currency of every amount. Only what is in the order's own counts.
    pub currency: Currency,
    /// What the marketplace says, in minor units: some leave out tax that they give back by themselves.
    pub told_minor: i64,
    /// What the buyer got back of what was paid, with all tax, in minor units.
    pub total_minor: i64,
    /// Lines that the marketplace names, with tax; empty where it names none.
    pub lines: Vec<RefundedLine>,
}

/// What went back for a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundedLine {
    /// The marketplace's id of the line.
    pub external_line_id: String,
    /// Minor units.
    pub minor: i64,
}

/// A marketplace's refund as held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMarketplaceRefund {
    /// As the marketplace tells of it.
    pub refund: MarketplaceRefund,
    /// The shop's refund that it was made for; none where it was made on the marketplace.
    pub shop_refund_id: Option<String>,
    /// When we saw it first.
    pub seen_at: Timestamp,
}

/// What counts as refunded, of an order or of a line, in minor units: the greater of what the shop and what the
/// marketplace gave back. A refund that one side passes on to the other stands on both, and went back once.
#[must_use]
pub fn counted(shop_minor: i64, marketplace_minor: i64) -> i64 {
    shop_minor.max(marketplace_minor)
}

/// What a line was paid, in minor units, and how much of it is tax that the marketplace gives back by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paid {
    /// For the goods, with tax.
    pub item: i64,
    /// For their shipping, with tax.
    pub shipping: i64,
    /// Of both: tax that the marketplace withheld.
    pub withheld: i64,
}

impl Paid {
    /// Everything.
    #[must_use]
    pub fn total(self) -> i64 {
        self.item.saturating_add(self.shipping).max(0)
    }

    /// Everything but the tax that the marketplace withheld.
    fn own(self) -> i64 {
        self.total().saturating_sub(self.withheld).max(0)
    }

    /// How much of `minor`, counted from nothing, the seller gives back.
    #[must_use]
    pub fn sellers(self, minor: i64) -> i64 {
        let (total, own) = (i128::from(self.total()), i128::from(self.own()));
        if total == 0 {
            return 0;
        }
        let scaled = (i128::from(minor) * own * 2 + total).div_euclid(total * 2);
        i64::try_from(scaled).unwrap_or(minor)
    }

    /// What the buyer gets back, counted from nothing, where the seller gives back `minor`: the least of which
    /// [`Paid::sellers`] makes `minor`, so that a refund that was passed on never comes back as more than it was.
    #[must_use]
    pub fn buyers(self, minor: i64) -> i64 {
        let own = self.own();
        if minor <= 0 {
            return 0;
        }
        if minor >= own {
            return self.total().saturating_add(minor - own);
        }
        let doubled = i128::from(own) * 2;
        let scaled =
            (i128::from(self.total()) * (i128::from(minor) * 2 - 1) + doubled - 1).div_euclid(doubled);
        i64::try_from(scaled).unwrap_or(minor)
    }
}

/// What each of an order's lines was paid, with its share of what is the whole order's.
///
/// # Errors
/// Where a product does not fit.
pub fn paid(line_count: usize, amounts: &[Amount]) -> Result<Vec<Paid>, MoneyError> {
    let mut lines = vec![Paid::default(); line_count];
    let mut rest = Paid::default();
    for amount in amounts {
        let place = amount.line.and_then(|line| lines.get_mut(line)).unwrap_or(&mut rest);
        let part = match amount.kind {
            AmountKind::Shipping | AmountKind::ShippingTax | AmountKind::ShippingDiscount => {
                &mut place.shipping
            }
            AmountKind::WithheldTax => &mut place.withheld,
            AmountKind::Item
            | AmountKind::ItemTax
            | AmountKind::GiftWrap
            | AmountKind::GiftWrapTax
            | AmountKind::SellerDiscount
            | AmountKind::PlatformDiscount
            | AmountKind::Other => &mut place.item,
            AmountKind::Fee => continue,
        };
        let minor =
            if amount.kind == AmountKind::WithheldTax { amount.minor.saturating_abs() } else { amount.minor };
        *part = part.saturating_add(minor);
    }
    let weights: Vec<i64> = lines.iter().map(|line| line.item.max(0)).collect();
    let split = |total: i64| allocate(total, &weights);
    let (items, shippings, withhelds) = (split(rest.item)?, split(rest.shipping)?, split(rest.withheld)?);
    for (((line, item), shipping), withheld) in lines.iter_mut().zip(items).zip(shippings).zip(withhelds) {
        line.item = line.item.saturating_add(item);
        line.shipping = line.shipping.saturating_add(shipping);
        line.withheld = line.withheld.saturating_add(withheld);
    }
    Ok(lines)
}

/// Adds to refunds, oldest first, the tax that the marketplace gives back by itself and does not tell of: each line's in
/// the proportion in which it was paid. What names no line is of all of them, by what is left of each.
///
/// # Errors
/// Where a product does not fit.
pub fn add_withheld_tax(
    refunds: &mut [MarketplaceRefund],
    currency: Currency,
    lines: &[LineFacts],
    amounts: &[Amount],
) -> Result<(), MoneyError> {
    let paid = paid(lines.len(), amounts)?;
    // What the seller gave back so far, by line.
    let mut back = vec![0_i64; lines.len()];
    for refund in refunds.iter_mut().filter(|refund| refund.currency == currency) {
        let (mut unnamed, mut total) = (refund.told_minor, 0_i64);
        for named in &mut refund.lines {
            let place = lines.iter().position(|line| line.external_id == named.external_line_id);
            let of_line = place.and_then(|place| Some((paid.get(place)?, back.get_mut(place)?)));
            let Some((paid, back)) = of_line else { continue };
            unnamed = unnamed.saturating_sub(named.minor);
            named.minor = take(*paid, back, named.minor);
            total = total.saturating_add(named.minor);
        }
        let left: Vec<i64> =
            paid.iter().zip(&back).map(|(paid, back)| paid.own().saturating_sub(*back).max(0)).collect();
        let fits = unnamed.clamp(0, left.iter().copied().fold(0, i64::saturating_add));
        for ((paid, back), part) in paid.iter().zip(&mut back).zip(allocate(fits, &left)?) {
            total = total.saturating_add(take(*paid, back, part));
        }
        // What is more than was paid is no tax.
        refund.total_minor = total.saturating_add(unnamed.saturating_sub(fits));
    }
    Ok(())
}

/// The seller gives back `minor` more of a line; what the buyer gets for that.
fn take(paid: Paid, back: &mut i64, minor: i64) -> i64 {
    let before = paid.buyers(*back);
    *back = back.saturating_add(minor);
    paid.buyers(*back).saturating_sub(before)
}

#[cfg(test)]
mod tests;

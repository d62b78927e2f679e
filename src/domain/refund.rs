//! Refunds: money that goes back to a buyer, as the shop tells of it and as the marketplace is told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::order::words;

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

//! Orders: what a platform says of one, in our words.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::customer::People;
use super::money::{Currency, MoneyError, sum};
use super::refund::GivenBack;
use super::shipment::ShipmentFacts;

/// What reads payloads in this build: its version, and a number that is raised where a reader learns something
/// between two versions. A payload that another one could not read is tried again.
pub const READER: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as stored and shown in URLs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!(
                        "“{text}” is none of {}",
                        Self::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", ")
                    )),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// How far an order is (DESIGN §5). The order of the variants is the way forward; cancelled stands apart.
    OrderStatus {
        /// Not paid yet.
        Pending = "pending",
        /// Paid; nothing shipped.
        Open = "open",
        /// Some units shipped.
        PartShipped = "part_shipped",
        /// Everything shipped.
        Shipped = "shipped",
        /// Cancelled.
        Cancelled = "cancelled",
    }
}

words! {
    /// Whether the order is in the shop.
    ExportState {
        /// It is none of the shop's business: history, switched off, the shop's own.
        None = "none",
        /// It will go there, or waits for something that the reason names.
        Waiting = "waiting",
        /// A create is under way or in doubt.
        Creating = "creating",
        /// It is there.
        Created = "created",
        /// The shop refused it; a person has to look.
        Failed = "failed",
    }
}

words! {
    /// Who ships.
    FulfilledBy {
        /// The seller.
        Seller = "seller",
        /// The platform from its own warehouse (FBA).
        Platform = "platform",
    }
}

words! {
    /// What an amount is for.
    AmountKind {
        /// The goods, without tax.
        Item = "item",
        /// Tax on the goods.
        ItemTax = "item_tax",
        /// Shipping, without tax.
        Shipping = "shipping",
        /// Tax on shipping.
        ShippingTax = "shipping_tax",
        /// Gift wrap, without tax.
        GiftWrap = "gift_wrap",
        /// Tax on gift wrap.
        GiftWrapTax = "gift_wrap_tax",
        /// What the seller takes off: negative.
        SellerDiscount = "seller_discount",
        /// What the platform takes off at its own cost: negative.
        PlatformDiscount = "platform_discount",
        /// Taken off shipping, by whomever: negative.
        ShippingDiscount = "shipping_discount",
        /// Anything else the buyer paid: cash on delivery, a tip.
        Other = "other",
        /// Tax that the platform keeps and remits: tells of tax already counted, no part of the total.
        WithheldTax = "withheld_tax",
        /// What the platform charges the seller: no part of the total.
        Fee = "fee",
    }
}

impl AmountKind {
    /// True where the buyer paid it, so that it is part of the order's total.
    #[must_use]
    pub fn is_paid_by_buyer(self) -> bool {
        !matches!(self, Self::WithheldTax | Self::Fee)
    }

    /// True for tax that is part of the total.
    #[must_use]
    pub fn is_tax(self) -> bool {
        matches!(self, Self::ItemTax | Self::ShippingTax | Self::GiftWrapTax)
    }
}

/// One typed amount of an order, in minor units of the order's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Which line it belongs to, by position; none where it is the whole order's.
    pub line: Option<usize>,
    /// What it is for.
    pub kind: AmountKind,
    /// Minor units; what is taken off is negative.
    pub minor: i64,
}

/// One position of an order, at the price the buyer paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineFacts {
    /// The platform's id of the line.
    pub external_id: String,
    /// SKU; may be missing.
    pub sku: Option<String>,
    /// The platform's id of the product (ASIN, product id).
    pub product_id: Option<String>,
    /// Title.
    pub title: String,
    /// Units ordered.
    pub quantity: i64,
    /// Units shipped so far.
    pub quantity_shipped: i64,
    /// Units cancelled.
    pub quantity_cancelled: i64,
    /// Price of one unit without tax, where the platform gives it: derived, never summed.
    pub unit_price: Option<Decimal>,
    /// Options and personalisation as the buyer chose them, in one text.
    pub options: Option<String>,
}

/// Where a shop's order came from, if another system made it there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The shop's `external_order_id`.
    pub external_order_id: Option<String>,
    /// The shop's `external_source`.
    pub external_source: Option<String>,
}

/// A buyer's wish to have an order cancelled, which is the seller's to grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// The platform's ids of the lines that the buyer no longer wants; empty for the whole order.
    pub lines: Vec<String>,
    /// Why, where the platform has buyers choose from its own list: never what they wrote.
    pub reason: Option<String>,
}

/// An order as a platform tells of it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFacts {
    /// The platform's id, unchanged.
    pub external_id: String,
    /// When the buyer placed it.
    pub placed_at: Timestamp,
    /// When the platform last changed it, by its own clock: what tells older facts from newer.
    pub updated_at: Timestamp,
    /// How far it is.
    pub status: OrderStatus,
    /// Whether it is paid. An unpaid order is no work.
    pub is_paid: bool,
    /// Who ships.
    pub fulfilled_by: FulfilledBy,
    /// Currency of every amount.
    pub currency: Currency,
    /// What the buyer paid with all tax.
    pub total_minor: i64,
    /// Positions.
    pub lines: Vec<LineFacts>,
    /// What the total is made of.
    pub amounts: Vec<Amount>,
    /// Parcels so far. `None` where this payload does not tell of them.
    pub shipments: Option<Vec<ShipmentFacts>>,
    /// People. `None` where this payload does not tell of them, so that what we hold stays.
    pub people: Option<People>,
    /// Shipping method as the buyer chose it.
    pub shipping_method: Option<String>,
    /// Payment method.
    pub payment_method: Option<String>,
    /// The platform's site within the connection (Amazon's marketplace id).
    pub site: Option<String>,
    /// Latest moment to ship.
    pub ship_by: Option<Timestamp>,
    /// Latest moment of delivery.
    pub deliver_by: Option<Timestamp>,
    /// Where it came from; only on a shop's orders.
    pub origin: Origin,
    /// The platform's own word or number for the status, for the timeline.
    pub platform_status: String,
    /// What the buyer asks to have cancelled, while nothing has come of it. Only in what has just arrived: of what is held
    /// the timeline tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_request: Option<CancelRequest>,
    /// The ids of lines whose design the platform hands out as an archive. Only in what has just arrived: what was
    /// fetched lies among the order's files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customised_lines: Vec<String>,
    /// What the platform gave back so far. `None` where this payload does not tell of refunds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunds: Option<GivenBack>,
}

impl OrderFacts {
    /// Sum of one kind of amount, over the order or one line.
    ///
    /// # Errors
    /// Where it does not fit.
    pub fn amount(&self, kind: AmountKind, line: Option<usize>) -> Result<i64, MoneyError> {
        sum(self
            .amounts
            .iter()
            .filter(|amount| amount.kind == kind && (line.is_none() || amount.line == line))
            .map(|amount| amount.minor))
    }

    /// What the typed amounts say that the buyer paid. Equals `total_minor`, else the order is held.
    ///
    /// # Errors
    /// Where it does not fit.
    pub fn sum_paid(&self) -> Result<i64, MoneyError> {
        sum(self.amounts.iter().filter(|amount| amount.kind.is_paid_by_buyer()).map(|amount| amount.minor))
    }

    /// Whether the buyer asks to have this line cancelled.
    #[must_use]
    pub fn is_unwanted(&self, line: &LineFacts) -> bool {
        let request = self.cancel_request.as_ref();
        request.is_some_and(|request| request.lines.is_empty() || request.lines.contains(&line.external_id))
    }

    /// Whether the buyer asks to have everything cancelled that is left of the order.
    #[must_use]
    pub fn is_unwanted_whole(&self) -> bool {
        let mut left = self.lines.iter().filter(|line| line.quantity > line.quantity_cancelled);
        self.cancel_request.is_some() && left.all(|line| self.is_unwanted(line))
    }

    /// True where the platform says that something went back to the buyer.
    #[must_use]
    pub fn is_refunded(&self) -> bool {
        self.refunds.as_ref().is_some_and(|given_back| !given_back.refunds.is_empty())
    }

    /// Units ordered, without cancelled ones.
    #[must_use]
    pub fn unit_count(&self) -> i64 {
        self.lines.iter().map(|line| (line.quantity - line.quantity_cancelled).max(0)).sum()
    }
}

//! Who sells in a campaign, and what the campaign has to know of each: its calls, and how its parcels are counted.

use clap::ValueEnum;

use crate::sim::{AMAZON, EBAY, ETSY};

/// A marketplace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Marketplace {
    /// Amazon.
    Amazon,
    /// eBay.
    Ebay,
    /// Etsy.
    Etsy,
}

impl Marketplace {
    /// All.
    pub const ALL: [Self; 3] = [Self::Amazon, Self::Ebay, Self::Etsy];

    /// Its name, as the simulators have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amazon => AMAZON,
            Self::Ebay => EBAY,
            Self::Etsy => ETSY,
        }
    }

    /// The list that holds it alone.
    #[must_use]
    pub const fn alone(self) -> &'static [&'static str] {
        match self {
            Self::Amazon => &[AMAZON],
            Self::Ebay => &[EBAY],
            Self::Etsy => &[ETSY],
        }
    }

    /// The call that lists its orders.
    #[must_use]
    pub const fn order_list(self) -> &'static str {
        match self {
            Self::Amazon => "searchOrders",
            Self::Ebay => "getOrders",
            Self::Etsy => "getShopReceipts",
        }
    }

    /// The call that reads one of its orders.
    #[must_use]
    pub const fn one_order(self) -> &'static str {
        match self {
            Self::Amazon | Self::Ebay => "getOrder",
            Self::Etsy => "getShopReceipt",
        }
    }

    /// Whether the shop does not have a SKU; an empty one is none.
    #[must_use]
    pub fn is_foreign_sku(self, sku: &str) -> bool {
        match self {
            Self::Amazon => sku.starts_with("AMZ-"),
            Self::Ebay => sku.starts_with("EB-") || sku.is_empty(),
            // Files are sold there only.
            Self::Etsy => sku.starts_with("ETSY-") || sku.ends_with("-PDF"),
        }
    }

    /// Whether it gives no address of what it ships itself.
    #[must_use]
    pub const fn hides_addresses(self) -> bool {
        matches!(self, Self::Ebay)
    }

    /// Whether it lists purchases that are not paid yet.
    #[must_use]
    pub const fn lists_unpaid(self) -> bool {
        matches!(self, Self::Amazon | Self::Etsy)
    }

    /// Whether its parcels say what is in them. Where they do not, one parcel ships the whole order there.
    #[must_use]
    pub const fn parcels_have_lines(self) -> bool {
        matches!(self, Self::Amazon | Self::Ebay)
    }

    /// Whether its tokens die as new ones are given, so that one that is lost on its way is lost for good.
    #[must_use]
    pub const fn tokens_rotate(self) -> bool {
        matches!(self, Self::Etsy)
    }

    /// Whether it can be told of cancellations and refunds.
    #[must_use]
    pub const fn takes_after_sale(self) -> bool {
        matches!(self, Self::Amazon | Self::Ebay)
    }

    /// Whether its orders tell what went back.
    #[must_use]
    pub const fn tells_refunds(self) -> bool {
        matches!(self, Self::Ebay | Self::Etsy)
    }

    /// Whether its buyers ask the seller to cancel, who then grants it.
    #[must_use]
    pub const fn buyers_ask(self) -> bool {
        matches!(self, Self::Amazon | Self::Ebay)
    }

    /// Of a hundred lines, so many are made as the buyer designed them.
    #[must_use]
    pub const fn customised_percent(self) -> u32 {
        match self {
            Self::Amazon => 15,
            Self::Ebay | Self::Etsy => 0,
        }
    }
}

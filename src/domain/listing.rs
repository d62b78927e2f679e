//! Listings: sellable variants on a connection, and the shop's variants that lines are matched to.

use serde::{Deserialize, Serialize};

use super::order::FulfilledBy;

/// One sellable variant as a platform tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingFacts {
    /// The platform's id: on Amazon the SKU, in the shop the variant's id.
    pub external_id: String,
    /// The platform's id of the product it belongs to.
    pub product_id: Option<String>,
    /// SKU; may be missing.
    pub sku: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Quantity offered there, where the platform tracks it.
    pub quantity: Option<i64>,
    /// Price in minor units of `currency`.
    pub price_minor: Option<i64>,
    /// Currency of the price.
    pub currency: Option<String>,
    /// Who ships it.
    pub fulfilled_by: FulfilledBy,
}

/// A shop's variant, as an order's line is linked to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShopVariant {
    /// The shop's product.
    pub product_id: String,
    /// The shop's variant.
    pub variant_id: String,
    /// Its SKU as the shop writes it.
    pub sku: String,
}

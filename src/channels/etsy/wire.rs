//! Etsy's words, as far as we read or write them. Every part may be missing: what must be there is decided in
//! `map.rs`. Nothing here knows what a word means.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::loose;

/// A page of receipts.
#[derive(Debug, Deserialize)]
pub struct Receipts<'a> {
    #[serde(default, deserialize_with = "loose::integer")]
    pub count: Option<i64>,
    #[serde(borrow)]
    pub results: Vec<&'a RawValue>,
}

/// No more of a receipt than which one it is and where it stands in its list. Etsy writes each time under two names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Place {
    #[serde(deserialize_with = "loose::text")]
    pub receipt_id: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub create_timestamp: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub created_timestamp: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub update_timestamp: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub updated_timestamp: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Money {
    #[serde(deserialize_with = "loose::integer")]
    pub amount: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub divisor: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub currency_code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Receipt {
    #[serde(deserialize_with = "loose::text")]
    pub buyer_user_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub buyer_email: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub first_line: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub second_line: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub city: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub state: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub zip: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub country_iso: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub is_paid: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub is_shipped: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub payment_method: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub message_from_buyer: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub gift_message: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub gift_sender: Option<String>,
    pub grandtotal: Option<Money>,
    pub total_price: Option<Money>,
    pub total_shipping_cost: Option<Money>,
    pub total_tax_cost: Option<Money>,
    pub total_vat_cost: Option<Money>,
    pub discount_amt: Option<Money>,
    pub gift_wrap_price: Option<Money>,
    pub shipments: Option<Vec<Shipment>>,
    #[serde(deserialize_with = "loose::list")]
    pub transactions: Vec<Transaction>,
    #[serde(deserialize_with = "loose::list")]
    pub refunds: Vec<Refund>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Transaction {
    #[serde(deserialize_with = "loose::text")]
    pub transaction_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub title: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub is_digital: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub listing_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub sku: Option<String>,
    pub price: Option<Money>,
    #[serde(deserialize_with = "loose::list")]
    pub variations: Vec<Variation>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_method: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_upgrade: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub expected_ship_date: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Variation {
    #[serde(deserialize_with = "loose::text")]
    pub formatted_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub formatted_value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shipment {
    #[serde(deserialize_with = "loose::text")]
    pub receipt_shipping_id: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub shipment_notification_timestamp: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub carrier_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub tracking_code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refund {
    pub amount: Option<Money>,
    #[serde(deserialize_with = "loose::integer")]
    pub created_timestamp: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub status: Option<String>,
}

/// A page of listings.
#[derive(Debug, Default, Deserialize)]
pub struct Listings {
    #[serde(default, deserialize_with = "loose::integer")]
    pub count: Option<i64>,
    pub results: Vec<Listing>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Listing {
    #[serde(deserialize_with = "loose::text")]
    pub listing_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub title: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub listing_type: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
    #[serde(deserialize_with = "loose::list")]
    pub skus: Vec<String>,
    pub price: Option<Money>,
    pub inventory: Option<Inventory>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Inventory {
    #[serde(deserialize_with = "loose::list")]
    pub products: Vec<Product>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Product {
    #[serde(deserialize_with = "loose::text")]
    pub product_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub sku: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub is_deleted: Option<String>,
    #[serde(deserialize_with = "loose::list")]
    pub offerings: Vec<Offering>,
    #[serde(deserialize_with = "loose::list")]
    pub property_values: Vec<PropertyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Offering {
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub is_deleted: Option<String>,
    pub price: Option<Money>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PropertyValue {
    #[serde(deserialize_with = "loose::list")]
    pub values: Vec<String>,
}

/// The shop itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shop {
    #[serde(deserialize_with = "loose::text")]
    pub shop_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub currency_code: Option<String>,
}

/// Whose token it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Myself {
    #[serde(deserialize_with = "loose::text")]
    pub shop_id: Option<String>,
}

/// The answer of the token endpoint, good or bad.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct TokenAnswer {
    #[serde(deserialize_with = "loose::text")]
    pub access_token: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub refresh_token: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub expires_in: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub error: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub error_description: Option<String>,
}

/// Any other refusal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refusal {
    #[serde(deserialize_with = "loose::text")]
    pub error: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub error_description: Option<String>,
}

/// What a message says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    #[serde(deserialize_with = "loose::text")]
    pub event_type: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub resource_url: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shop_id: Option<String>,
}

//! BigCommerce's words, as its answers have them. V2 writes money as text with four decimals and dates after
//! RFC 2822; numbers come as numbers or texts; what is not there is an empty text, `null` or left out. Nothing
//! here is decided.

use rust_decimal::Decimal;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::super::loose;

/// One of V2's errors, which come as a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorV2 {
    #[serde(deserialize_with = "loose::text")]
    pub message: Option<String>,
}

/// V3's error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorV3 {
    #[serde(deserialize_with = "loose::text")]
    pub title: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub detail: Option<String>,
    pub errors: serde_json::Value,
}

/// An order as `v2/orders` has it, list and single alike.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Order {
    #[serde(deserialize_with = "loose::integer")]
    pub id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub customer_id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub date_created: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub date_modified: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub status_id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_cost_ex_tax: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_cost_inc_tax: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub handling_cost_inc_tax: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub wrapping_cost_ex_tax: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub wrapping_cost_inc_tax: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub total_inc_tax: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub discount_amount: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub coupon_discount: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub items_total: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub items_shipped: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub refunded_amount: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub shipping_address_count: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub payment_method: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub payment_status: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub currency_code: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub default_currency_code: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub customer_message: Option<String>,
    pub is_deleted: Option<bool>,
    pub billing_address: Option<Address>,
    #[serde(deserialize_with = "loose::integer")]
    pub channel_id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub external_order_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub external_source: Option<String>,
}

/// A billing or shipping address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Address {
    #[serde(deserialize_with = "loose::integer")]
    pub id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub first_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub last_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub company: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub street_1: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub street_2: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub city: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub state: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub zip: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub country_iso2: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub phone: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub email: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_method: Option<String>,
}

/// A line of an order.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OrderProduct {
    #[serde(deserialize_with = "loose::integer")]
    pub id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub product_id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub variant_id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub order_address_id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub sku: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity_shipped: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub price_ex_tax: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub total_ex_tax: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub total_inc_tax: Option<String>,
    #[serde(deserialize_with = "loose::list")]
    pub product_options: Vec<ProductOption>,
}

/// An option of a line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProductOption {
    #[serde(deserialize_with = "loose::text")]
    pub display_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub display_value: Option<String>,
}

/// A parcel.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shipment {
    #[serde(deserialize_with = "loose::integer")]
    pub id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub date_created: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub tracking_number: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_method: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_provider: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub tracking_carrier: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_provider_display_name: Option<String>,
    #[serde(deserialize_with = "loose::list")]
    pub items: Vec<ShipmentItem>,
}

/// What is in a parcel.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ShipmentItem {
    #[serde(deserialize_with = "loose::integer")]
    pub order_product_id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
}

/// The shop's order as we keep it: what four calls said, each part as received.
#[derive(Debug, Deserialize)]
pub struct Composed<'a> {
    #[serde(borrow)]
    pub order: &'a RawValue,
    #[serde(default, deserialize_with = "loose::list")]
    pub products: Vec<OrderProduct>,
    #[serde(default, deserialize_with = "loose::list")]
    pub shipping_addresses: Vec<Address>,
    #[serde(default, deserialize_with = "loose::list")]
    pub shipments: Vec<Shipment>,
}

/// The body of `createOrder`.
#[derive(Debug, Serialize)]
pub struct NewOrder {
    pub status_id: u16,
    /// Nobody's: the order belongs to no customer account.
    pub customer_id: i64,
    pub billing_address: NewAddress,
    pub shipping_addresses: Vec<NewAddress>,
    pub products: Vec<NewProduct>,
    pub subtotal_ex_tax: String,
    pub subtotal_inc_tax: String,
    pub shipping_cost_ex_tax: String,
    pub shipping_cost_inc_tax: String,
    pub handling_cost_ex_tax: String,
    pub handling_cost_inc_tax: String,
    pub wrapping_cost_ex_tax: String,
    pub wrapping_cost_inc_tax: String,
    pub discount_amount: String,
    pub total_ex_tax: String,
    pub total_inc_tax: String,
    pub payment_method: String,
    pub external_source: String,
    pub external_order_id: String,
    pub staff_notes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_message: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct NewAddress {
    pub first_name: String,
    pub last_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    pub street_1: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street_2: Option<String>,
    pub city: String,
    pub state: String,
    pub zip: String,
    pub country_iso2: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<String>,
}

/// A line to create: of a product that the shop has, or a custom one.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum NewProduct {
    /// Moves stock.
    Variant { product_id: i64, variant_id: i64, quantity: i64, price_ex_tax: Number, price_inc_tax: Number },
    /// Moves none.
    Custom { name: String, quantity: i64, price_ex_tax: Number, price_inc_tax: Number },
}

/// A decimal number written as it is: through no float.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub Decimal);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// The body of `createOrderShipments`.
#[derive(Debug, Serialize)]
pub struct NewShipment {
    pub order_address_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_provider: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comments: Option<String>,
    pub items: Vec<NewShipmentItem>,
}

#[derive(Debug, Serialize)]
pub struct NewShipmentItem {
    pub order_product_id: i64,
    pub quantity: i64,
}

/// The body of `updateOrder` where only the status moves.
#[derive(Debug, Serialize)]
pub struct NewStatus {
    pub status_id: u16,
}

/// A page of V3.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub struct PageV3<T> {
    #[serde(default, deserialize_with = "loose::list")]
    pub data: Vec<T>,
    #[serde(default)]
    pub meta: Meta,
}

/// A refund.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refund {
    #[serde(deserialize_with = "loose::integer")]
    pub id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub created: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub total_amount: Option<String>,
    #[serde(deserialize_with = "loose::list")]
    pub items: Vec<RefundItem>,
    #[serde(deserialize_with = "loose::list")]
    pub payments: Vec<RefundPayment>,
}

/// What a refund is for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RefundItem {
    #[serde(deserialize_with = "loose::text")]
    pub item_type: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub item_id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub requested_amount: Option<String>,
}

/// How the money went back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RefundPayment {
    #[serde(deserialize_with = "loose::text")]
    pub amount: Option<String>,
    pub is_declined: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    pub pagination: Pagination,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pagination {
    #[serde(deserialize_with = "loose::integer")]
    pub total_pages: Option<i64>,
}

/// A variant.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Variant {
    #[serde(deserialize_with = "loose::integer")]
    pub id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub product_id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub sku: Option<String>,
}

/// An entry of `get-inventory-items`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InventoryItem {
    pub identity: InventoryIdentity,
    #[serde(deserialize_with = "loose::list")]
    pub locations: Vec<InventoryLocation>,
}

/// Whose stock it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InventoryIdentity {
    #[serde(deserialize_with = "loose::integer")]
    pub variant_id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub product_id: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub sku: Option<String>,
}

/// Its stock at one location.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InventoryLocation {
    #[serde(deserialize_with = "loose::integer")]
    pub location_id: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub available_to_sell: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub total_inventory_onhand: Option<i64>,
    pub location_enabled: Option<bool>,
}

/// The body of `put-absolute-adjustment`.
#[derive(Debug, Serialize)]
pub struct NewAdjustment {
    pub reason: &'static str,
    pub items: [AdjustedItem; 1],
}

/// One item's stock at a location, of the variant or, where the product is what is tracked, of that.
#[derive(Debug, Serialize)]
pub struct AdjustedItem {
    pub location_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<i64>,
    pub quantity: i64,
}

/// The answer of `getStoreInformation`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Store {
    #[serde(deserialize_with = "loose::text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub currency: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub control_panel_base_url: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub status: Option<String>,
    pub timezone: Option<TimeZone>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TimeZone {
    #[serde(deserialize_with = "loose::text")]
    pub name: Option<String>,
}

/// A pushed message: what it is about, by id.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    pub scope: String,
    /// `stores/` and the store hash.
    pub producer: String,
    pub data: MessageData,
}

/// What a message is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MessageData {
    #[serde(deserialize_with = "loose::integer")]
    pub id: Option<i64>,
}

/// A page of hooks.
#[derive(Debug, Deserialize)]
pub struct Hooks {
    pub data: Vec<Hook>,
}

/// A hook as the store lists it.
#[derive(Debug, Deserialize)]
pub struct Hook {
    pub id: i64,
    pub scope: String,
    pub destination: String,
    #[serde(default)]
    pub is_active: bool,
}

/// A hook to add.
#[derive(Debug, Serialize)]
pub struct NewHook<'a> {
    pub scope: &'a str,
    pub destination: &'a str,
    pub is_active: bool,
}

/// A hook that is switched on again, or moved.
#[derive(Debug, Serialize)]
pub struct HookChange<'a> {
    pub destination: &'a str,
    pub is_active: bool,
}

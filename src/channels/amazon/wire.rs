//! Amazon's words, as its answers have them. Every part is optional, whatever the model calls required: orders
//! that are not paid, buyers that are withheld and old orders all leave parts out. Words of enumerations stay
//! texts, so that a new one is no error. Nothing here is decided.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::loose;

/// What Login with Amazon answers, good or bad.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenAnswer {
    #[serde(deserialize_with = "loose::text")]
    pub access_token: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub expires_in: Option<i64>,
    #[serde(deserialize_with = "loose::text")]
    pub error: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub error_description: Option<String>,
}

/// Errors, the same for every operation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorList {
    #[serde(deserialize_with = "loose::list")]
    pub errors: Vec<ErrorEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorEntry {
    #[serde(deserialize_with = "loose::text")]
    pub code: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub message: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub details: Option<String>,
}

/// A page of `searchOrders`; each order stays the text that it was.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SearchOrders<'a> {
    #[serde(borrow, deserialize_with = "loose::list")]
    pub orders: Vec<&'a RawValue>,
    pub pagination: Option<Pagination>,
    #[serde(deserialize_with = "loose::text")]
    pub last_updated_before: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub created_before: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pagination {
    #[serde(deserialize_with = "loose::text")]
    pub next_token: Option<String>,
}

/// The answer of `getOrder`.
#[derive(Debug, Deserialize)]
pub struct GetOrder<'a> {
    #[serde(borrow)]
    pub order: &'a RawValue,
}

/// No more of an order than its id, for one that cannot be read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OrderId {
    #[serde(deserialize_with = "loose::text")]
    pub order_id: Option<String>,
}

/// No more of an order than which one it is and when it was placed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PlacedOrder {
    #[serde(deserialize_with = "loose::text")]
    pub order_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub created_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Order {
    #[serde(deserialize_with = "loose::text")]
    pub order_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub created_time: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub last_updated_time: Option<String>,
    pub sales_channel: Option<SalesChannel>,
    pub buyer: Option<Buyer>,
    pub recipient: Option<Recipient>,
    pub proceeds: Option<OrderProceeds>,
    pub payment: Option<Payment>,
    pub fulfillment: Option<OrderFulfillment>,
    #[serde(deserialize_with = "loose::list")]
    pub order_items: Vec<OrderItem>,
    pub packages: Option<Vec<Package>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SalesChannel {
    #[serde(deserialize_with = "loose::text")]
    pub marketplace_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Buyer {
    #[serde(deserialize_with = "loose::text")]
    pub buyer_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub buyer_email: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub buyer_company_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub buyer_purchase_order_number: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Recipient {
    pub delivery_address: Option<Address>,
    pub delivery_preference: Option<DeliveryPreference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Address {
    #[serde(deserialize_with = "loose::text")]
    pub name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub company_name: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub address_line1: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub address_line2: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub address_line3: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub city: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub district_or_county: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub state_or_region: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub municipality: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub postal_code: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub country_code: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub phone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeliveryPreference {
    #[serde(deserialize_with = "loose::text")]
    pub drop_off_location: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub address_instruction: Option<String>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Money {
    #[serde(deserialize_with = "loose::text")]
    pub amount: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub currency_code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OrderProceeds {
    pub grand_total: Option<Money>,
    #[serde(deserialize_with = "loose::list")]
    pub breakdowns: Vec<Breakdown>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ItemProceeds {
    pub proceeds_total: Option<Money>,
    #[serde(deserialize_with = "loose::list")]
    pub breakdowns: Vec<Breakdown>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Breakdown {
    #[serde(rename = "type", deserialize_with = "loose::text")]
    pub kind: Option<String>,
    pub subtotal: Option<Money>,
    #[serde(deserialize_with = "loose::list")]
    pub detailed_breakdowns: Vec<Detail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Detail {
    #[serde(deserialize_with = "loose::text")]
    pub subtype: Option<String>,
    pub value: Option<Money>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Payment {
    #[serde(deserialize_with = "loose::list")]
    pub payment_executions: Vec<PaymentExecution>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PaymentExecution {
    #[serde(deserialize_with = "loose::text")]
    pub payment_method: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OrderFulfillment {
    #[serde(deserialize_with = "loose::text")]
    pub fulfillment_status: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub fulfilled_by: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub fulfillment_service_level: Option<String>,
    pub ship_by_window: Option<TimeRange>,
    pub deliver_by_window: Option<TimeRange>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TimeRange {
    #[serde(deserialize_with = "loose::text")]
    pub latest_date_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OrderItem {
    #[serde(deserialize_with = "loose::text")]
    pub order_item_id: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity_ordered: Option<i64>,
    pub product: Option<Product>,
    pub proceeds: Option<ItemProceeds>,
    pub cancellation: Option<Cancellation>,
    pub fulfillment: Option<ItemFulfillment>,
    pub tax: Option<ItemTax>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Product {
    #[serde(deserialize_with = "loose::text")]
    pub asin: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub title: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub seller_sku: Option<String>,
    pub price: Option<Price>,
    pub customization: Option<Customization>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Price {
    pub unit_price: Option<Money>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Customization {
    #[serde(deserialize_with = "loose::text")]
    pub customized_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cancellation {
    pub cancellation_request: Option<CancellationRequest>,
    pub cancellation_execution: Option<CancellationExecution>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CancellationRequest {
    #[serde(deserialize_with = "loose::text")]
    pub requester: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CancellationExecution {
    #[serde(deserialize_with = "loose::text")]
    pub cancelled_by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ItemFulfillment {
    #[serde(deserialize_with = "loose::integer")]
    pub quantity_fulfilled: Option<i64>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity_unfulfilled: Option<i64>,
    pub packing: Option<Packing>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Packing {
    pub gift_option: Option<GiftOption>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GiftOption {
    #[serde(deserialize_with = "loose::text")]
    pub gift_message: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub gift_wrap_level: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ItemTax {
    #[serde(deserialize_with = "loose::list")]
    pub tax_collections: Vec<TaxCollection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TaxCollection {
    #[serde(deserialize_with = "loose::text")]
    pub model: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Package {
    #[serde(deserialize_with = "loose::text")]
    pub package_reference_id: Option<String>,
    pub package_status: Option<PackageStatus>,
    #[serde(deserialize_with = "loose::text")]
    pub carrier: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub ship_time: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub shipping_service: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub tracking_number: Option<String>,
    #[serde(deserialize_with = "loose::list")]
    pub package_items: Vec<PackageItem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PackageStatus {
    #[serde(deserialize_with = "loose::text")]
    pub status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PackageItem {
    #[serde(deserialize_with = "loose::text")]
    pub order_item_id: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
}

/// The body of `confirmShipment`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmShipment {
    pub marketplace_id: String,
    pub package_detail: PackageDetail,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageDetail {
    /// A positive whole number, and yet a JSON string.
    pub package_reference_id: String,
    pub carrier_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<String>,
    pub tracking_number: String,
    pub ship_date: String,
    pub order_items: Vec<ConfirmedItem>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmedItem {
    pub order_item_id: String,
    pub quantity: i64,
}

/// A page of `searchListingsItems`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Listings {
    #[serde(deserialize_with = "loose::list")]
    pub items: Vec<Listing>,
    pub pagination: Option<Pagination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Listing {
    #[serde(deserialize_with = "loose::text")]
    pub sku: Option<String>,
    #[serde(deserialize_with = "loose::list")]
    pub summaries: Vec<Summary>,
    #[serde(deserialize_with = "loose::list")]
    pub offers: Vec<Offer>,
    #[serde(deserialize_with = "loose::list")]
    pub fulfillment_availability: Vec<Availability>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Summary {
    #[serde(deserialize_with = "loose::text")]
    pub marketplace_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub asin: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub item_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Offer {
    #[serde(deserialize_with = "loose::text")]
    pub marketplace_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub offer_type: Option<String>,
    pub price: Option<Money>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Availability {
    #[serde(deserialize_with = "loose::text")]
    pub fulfillment_channel_code: Option<String>,
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
}

/// The answer of `getMarketplaceParticipations`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Participations {
    #[serde(deserialize_with = "loose::list")]
    pub payload: Vec<ParticipationEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ParticipationEntry {
    pub marketplace: Option<Marketplace>,
    #[serde(deserialize_with = "loose::text")]
    pub store_name: Option<String>,
    pub participation: Option<Participation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Marketplace {
    #[serde(deserialize_with = "loose::text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Participation {
    pub is_participating: Option<bool>,
    pub has_suspended_listings: Option<bool>,
}

/// The body of `createFeedDocument`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateFeedDocument {
    pub content_type: &'static str,
}

/// A feed's file: where it is put, or where a report lies.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FeedDocument {
    #[serde(deserialize_with = "loose::text")]
    pub feed_document_id: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub url: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub compression_algorithm: Option<String>,
}

/// The body of `createFeed`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateFeed<'a> {
    pub feed_type: &'static str,
    pub marketplace_ids: &'a [String],
    pub input_feed_document_id: &'a str,
}

/// The answer of `createFeed`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CreatedFeed {
    #[serde(deserialize_with = "loose::text")]
    pub feed_id: Option<String>,
}

/// The answer of `getFeed`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Feed {
    #[serde(deserialize_with = "loose::text")]
    pub processing_status: Option<String>,
    #[serde(deserialize_with = "loose::text")]
    pub result_feed_document_id: Option<String>,
}

/// No more of an order than where its buyers' archives lie.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CustomisedOrder {
    #[serde(deserialize_with = "loose::list")]
    pub order_items: Vec<CustomisedItem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CustomisedItem {
    #[serde(deserialize_with = "loose::text")]
    pub order_item_id: Option<String>,
    pub product: Option<CustomisedProduct>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CustomisedProduct {
    pub customization: Option<Customization>,
}

/// A list of destinations.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Destinations {
    /// All of the application's.
    pub payload: Vec<Destination>,
}

/// An answer with one destination.
#[derive(Debug, Deserialize)]
pub struct OneDestination {
    /// It.
    pub payload: Destination,
}

/// Where notifications go.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Amazon's id of it.
    pub destination_id: String,
    /// What it is.
    #[serde(default)]
    pub resource: DestinationResource,
}

/// What a destination is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DestinationResource {
    /// A queue.
    pub sqs: Option<SqsResource>,
}

/// A queue.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SqsResource {
    /// Its name in AWS.
    pub arn: String,
}

/// An answer with one subscription.
#[derive(Debug, Deserialize)]
pub struct OneSubscription {
    /// It.
    pub payload: Subscription,
}

/// What is sent where.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subscription {
    /// The destination.
    pub destination_id: String,
}

/// A notification. Its own names begin with capitals.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Notification {
    /// What it is, such as `ORDER_CHANGE`. Of feeds and reports the envelope's names begin with small letters.
    #[serde(alias = "notificationType")]
    pub notification_type: String,
    /// What it says.
    pub payload: NotificationPayload,
    /// About itself.
    #[serde(alias = "notificationMetadata")]
    pub notification_metadata: NotificationMetadata,
}

/// What a notification says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NotificationPayload {
    /// An order changed.
    pub order_change_notification: OrderChangeNotification,
}

/// An order changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct OrderChangeNotification {
    /// Whose order.
    pub seller_id: String,
    /// Which.
    pub amazon_order_id: Option<String>,
}

/// About a notification itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NotificationMetadata {
    /// Its id: the same for a repeated one.
    #[serde(alias = "notificationId")]
    pub notification_id: String,
}

//! eBay's words, as its answers have them. Every part is optional: the specifications mark nothing as required, and
//! old orders, unpaid ones and legacy listings leave parts out. Words of enumerations stay texts, so that a new one
//! is no error. Nothing here is decided.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::loose;

/// What the token endpoint answers, good or bad.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenAnswer {
    /// The token.
    pub access_token: Option<String>,
    /// Seconds that it lives.
    pub expires_in: Option<i64>,
    /// A new refresh token, where one is issued.
    pub refresh_token: Option<String>,
    /// What is wrong.
    pub error: Option<String>,
    /// The same in words.
    pub error_description: Option<String>,
}

/// Errors of the REST APIs (`errors`) and of Post-Order (`error`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorList {
    /// As the REST APIs have them.
    #[serde(deserialize_with = "loose::list")]
    pub errors: Vec<Error>,
    /// As Post-Order has them.
    #[serde(deserialize_with = "loose::list")]
    pub error: Vec<Error>,
}

/// One error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Error {
    /// Its number.
    #[serde(rename = "errorId", deserialize_with = "loose::integer")]
    pub error_id: Option<i64>,
    /// In words.
    #[serde(deserialize_with = "loose::text")]
    pub message: Option<String>,
    /// In more words.
    #[serde(rename = "longMessage", deserialize_with = "loose::text")]
    pub long_message: Option<String>,
}

/// A page of `getOrders`, orders left as they are.
#[derive(Debug, Deserialize)]
pub struct Orders<'a> {
    /// Orders.
    #[serde(borrow, default)]
    pub orders: Vec<&'a RawValue>,
    /// How many the filter finds in all.
    #[serde(default, deserialize_with = "loose::integer")]
    pub total: Option<i64>,
}

/// What is looked at of an order before it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OrderHead {
    /// eBay's id.
    #[serde(deserialize_with = "loose::text")]
    pub order_id: Option<String>,
    /// The id that older APIs know.
    #[serde(deserialize_with = "loose::text")]
    pub legacy_order_id: Option<String>,
    /// When it was created.
    #[serde(deserialize_with = "loose::text")]
    pub creation_date: Option<String>,
    /// When it last changed.
    #[serde(deserialize_with = "loose::text")]
    pub last_modified_date: Option<String>,
    /// Where its parcels are listed.
    #[serde(deserialize_with = "loose::list")]
    pub fulfillment_hrefs: Vec<String>,
}

/// A payload as we keep it: an order, and its parcels where they were read with it.
#[derive(Debug, Deserialize)]
pub struct Payload {
    /// The order.
    pub order: Order,
    /// Its parcels.
    #[serde(default)]
    pub fulfillments: Option<Vec<Fulfillment>>,
    /// Our own mark: eBay was asked for the parcels and did not tell them.
    #[serde(default, rename = "fulfillmentsMissing")]
    pub are_fulfillments_missing: bool,
}

/// The same, for the id alone.
#[derive(Debug, Deserialize)]
pub struct PayloadHead {
    /// The order.
    pub order: OrderHead,
}

/// What tells whether an order of a list is to be read alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ListedOrder {
    /// eBay's id.
    #[serde(deserialize_with = "loose::text")]
    pub order_id: Option<String>,
    /// When it was created.
    #[serde(deserialize_with = "loose::text")]
    pub creation_date: Option<String>,
    /// When it last changed.
    #[serde(deserialize_with = "loose::text")]
    pub last_modified_date: Option<String>,
    /// Whether it was or may be cancelled.
    pub cancel_status: Option<CancelStatus>,
}

impl ListedOrder {
    /// Whether somebody asked to cancel it, and nothing says who.
    #[must_use]
    pub fn hides_who_asked(&self) -> bool {
        self.cancel_status.as_ref().is_some_and(|status| {
            status.cancel_state.as_deref() == Some("IN_PROGRESS") && status.cancel_requests.is_empty()
        })
    }
}

/// An order.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Order {
    /// eBay's id.
    #[serde(deserialize_with = "loose::text")]
    pub order_id: Option<String>,
    /// When the buyer bought.
    #[serde(deserialize_with = "loose::text")]
    pub creation_date: Option<String>,
    /// When it changed last.
    #[serde(deserialize_with = "loose::text")]
    pub last_modified_date: Option<String>,
    /// NOT_STARTED, IN_PROGRESS, FULFILLED.
    #[serde(deserialize_with = "loose::text")]
    pub order_fulfillment_status: Option<String>,
    /// PENDING, PAID, FAILED, PARTIALLY_REFUNDED, FULLY_REFUNDED.
    #[serde(deserialize_with = "loose::text")]
    pub order_payment_status: Option<String>,
    /// Whether it was or may be cancelled.
    pub cancel_status: Option<CancelStatus>,
    /// Who bought.
    pub buyer: Option<Buyer>,
    /// The buyer's words.
    #[serde(deserialize_with = "loose::text")]
    pub buyer_checkout_notes: Option<String>,
    /// Sums.
    pub pricing_summary: Option<PricingSummary>,
    /// What was paid and given back.
    pub payment_summary: Option<PaymentSummary>,
    /// Where it goes.
    #[serde(deserialize_with = "loose::list")]
    pub fulfillment_start_instructions: Vec<Instruction>,
    /// Positions.
    #[serde(deserialize_with = "loose::list")]
    pub line_items: Vec<LineItem>,
    /// eBay's programs that it takes part in.
    pub program: Option<Program>,
    /// What eBay charges the seller.
    pub total_marketplace_fee: Option<Amount>,
}

/// Money as decimal text.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Amount {
    /// The amount.
    #[serde(deserialize_with = "loose::text")]
    pub value: Option<String>,
    /// Its currency.
    #[serde(deserialize_with = "loose::text")]
    pub currency: Option<String>,
    /// The amount before it was converted.
    #[serde(deserialize_with = "loose::text")]
    pub converted_from_value: Option<String>,
    /// The currency that it was converted from.
    #[serde(deserialize_with = "loose::text")]
    pub converted_from_currency: Option<String>,
}

/// Whether an order was cancelled.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CancelStatus {
    /// NONE_REQUESTED, IN_PROGRESS, CANCELED.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_state: Option<String>,
    /// Who asked for it. Empty in a list of orders.
    #[serde(deserialize_with = "loose::list")]
    pub cancel_requests: Vec<CancelRequest>,
}

/// A request to cancel an order.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CancelRequest {
    /// eBay's id of it.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_request_id: Option<String>,
    /// REQUESTED, REJECTED, COMPLETED.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_request_state: Option<String>,
    /// Buyer or Seller.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_initiator: Option<String>,
    /// Why.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_reason: Option<String>,
}

impl CancelRequest {
    /// Whether nobody has granted or refused it yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.cancel_request_state.as_deref() == Some("REQUESTED")
    }

    /// Whether the buyer asked.
    #[must_use]
    pub fn is_buyers(&self) -> bool {
        self.cancel_initiator.as_deref().is_some_and(|word| word.eq_ignore_ascii_case("buyer"))
    }
}

/// Who bought.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Buyer {
    /// User name, or an immutable id in its place. Never a key.
    #[serde(deserialize_with = "loose::text")]
    pub username: Option<String>,
    /// Where the buyer is registered.
    pub buyer_registration_address: Option<Contact>,
}

/// A person or an institution with its address.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Contact {
    /// Whole name.
    #[serde(deserialize_with = "loose::text")]
    pub full_name: Option<String>,
    /// Company.
    #[serde(deserialize_with = "loose::text")]
    pub company_name: Option<String>,
    /// Address.
    pub contact_address: Option<Address>,
    /// Phone.
    pub primary_phone: Option<Phone>,
    /// E-mail; gone after 14 days.
    #[serde(deserialize_with = "loose::text")]
    pub email: Option<String>,
}

/// A phone number.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Phone {
    /// The number.
    #[serde(deserialize_with = "loose::text")]
    pub phone_number: Option<String>,
}

/// A postal address.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Address {
    /// Street; gone after 90 days.
    #[serde(deserialize_with = "loose::text")]
    pub address_line1: Option<String>,
    /// More of it.
    #[serde(deserialize_with = "loose::text")]
    pub address_line2: Option<String>,
    /// City.
    #[serde(deserialize_with = "loose::text")]
    pub city: Option<String>,
    /// County.
    #[serde(deserialize_with = "loose::text")]
    pub county: Option<String>,
    /// State.
    #[serde(deserialize_with = "loose::text")]
    pub state_or_province: Option<String>,
    /// Postal code.
    #[serde(deserialize_with = "loose::text")]
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(deserialize_with = "loose::text")]
    pub country_code: Option<String>,
}

/// Sums over the order.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PricingSummary {
    /// Goods before discounts.
    pub price_subtotal: Option<Amount>,
    /// Discounts on goods: negative.
    pub price_discount: Option<Amount>,
    /// What was agreed on later.
    pub adjustment: Option<Amount>,
    /// Delivery before discounts.
    pub delivery_cost: Option<Amount>,
    /// Discounts on delivery: negative.
    pub delivery_discount: Option<Amount>,
    /// Recycling fees and the like.
    pub fee: Option<Amount>,
    /// Tax.
    pub tax: Option<Amount>,
    /// Everything.
    pub total: Option<Amount>,
}

/// What was paid and given back.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PaymentSummary {
    /// Payments.
    #[serde(deserialize_with = "loose::list")]
    pub payments: Vec<Payment>,
    /// Refunds of the whole order.
    #[serde(deserialize_with = "loose::list")]
    pub refunds: Vec<OrderRefund>,
}

/// A payment.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Payment {
    /// How it was paid.
    #[serde(deserialize_with = "loose::text")]
    pub payment_method: Option<String>,
}

/// A refund.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OrderRefund {
    /// eBay's id of what was asked for with `issueRefund`; others have none.
    #[serde(deserialize_with = "loose::text")]
    pub refund_id: Option<String>,
    /// eBay's id of any refund, once it is through. eBay does not give it on a position.
    #[serde(deserialize_with = "loose::text")]
    pub refund_reference_id: Option<String>,
    /// PENDING, REFUNDED, FAILED. eBay does not give it on a position.
    #[serde(deserialize_with = "loose::text")]
    pub refund_status: Option<String>,
    /// When the money went back; only on what is through.
    #[serde(deserialize_with = "loose::text")]
    pub refund_date: Option<String>,
    /// What goes back.
    pub amount: Option<Amount>,
}

/// How and where it is delivered.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Instruction {
    /// SHIP_TO, FULFILLED_BY_EBAY, DIGITAL, PREPARE_FOR_PICKUP and more.
    #[serde(deserialize_with = "loose::text")]
    pub fulfillment_instructions_type: Option<String>,
    /// True where the label's address is eBay's hub or authenticator.
    pub ebay_supported_fulfillment: Option<bool>,
    /// Where it goes in the end; never on the label.
    pub final_destination_address: Option<Address>,
    /// Latest delivery.
    #[serde(deserialize_with = "loose::text")]
    pub max_estimated_delivery_date: Option<String>,
    /// The label.
    pub shipping_step: Option<ShippingStep>,
}

/// What the label needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ShippingStep {
    /// The address.
    pub ship_to: Option<Contact>,
    /// The hub's number for the parcel.
    #[serde(deserialize_with = "loose::text")]
    pub ship_to_reference_id: Option<String>,
    /// The service that the buyer chose.
    #[serde(deserialize_with = "loose::text")]
    pub shipping_service_code: Option<String>,
}

/// A position.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LineItem {
    /// eBay's id of it.
    #[serde(deserialize_with = "loose::text")]
    pub line_item_id: Option<String>,
    /// The listing.
    #[serde(deserialize_with = "loose::text")]
    pub legacy_item_id: Option<String>,
    /// Its variation.
    #[serde(deserialize_with = "loose::text")]
    pub legacy_variation_id: Option<String>,
    /// SKU; legacy listings may have none.
    #[serde(deserialize_with = "loose::text")]
    pub sku: Option<String>,
    /// Title.
    #[serde(deserialize_with = "loose::text")]
    pub title: Option<String>,
    /// Units.
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
    /// NOT_STARTED, IN_PROGRESS, FULFILLED.
    #[serde(deserialize_with = "loose::text")]
    pub line_item_fulfillment_status: Option<String>,
    /// Goods before discounts, for all units.
    pub line_item_cost: Option<Amount>,
    /// Goods after discounts.
    pub discounted_line_item_cost: Option<Amount>,
    /// Promotions.
    #[serde(deserialize_with = "loose::list")]
    pub applied_promotions: Vec<Promotion>,
    /// Delivery.
    pub delivery_cost: Option<DeliveryCost>,
    /// Taxes that are the seller's; with the breakdown, eBay's too.
    #[serde(deserialize_with = "loose::list")]
    pub taxes: Vec<Tax>,
    /// Taxes that eBay takes and remits.
    #[serde(deserialize_with = "loose::list")]
    pub ebay_collect_and_remit_taxes: Vec<Tax>,
    /// Dates.
    pub line_item_fulfillment_instructions: Option<LineDates>,
    /// Where the buyer bought.
    #[serde(deserialize_with = "loose::text")]
    pub purchase_marketplace_id: Option<String>,
    /// Where it is listed.
    #[serde(deserialize_with = "loose::text")]
    pub listing_marketplace_id: Option<String>,
    /// Colour, size.
    #[serde(deserialize_with = "loose::list")]
    pub variation_aspects: Vec<Aspect>,
    /// The vehicle that a part is for.
    #[serde(deserialize_with = "loose::list")]
    pub compatibility_properties: Vec<Property>,
    /// A gift card's recipient.
    pub gift_details: Option<GiftDetails>,
    /// Refunds of the position.
    #[serde(deserialize_with = "loose::list")]
    pub refunds: Vec<OrderRefund>,
}

/// A promotion.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Promotion {
    /// What it takes off.
    pub discount_amount: Option<Amount>,
}

/// What delivery of a position costs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeliveryCost {
    /// Shipping.
    pub shipping_cost: Option<Amount>,
    /// Handling.
    pub handling_cost: Option<Amount>,
    /// Taken off.
    pub discount_amount: Option<Amount>,
    /// Import charges, paid to eBay's carrier.
    pub import_charges: Option<Amount>,
    /// Paid to eBay's carrier.
    pub shipping_intermediation_fee: Option<Amount>,
}

/// A tax or a fee.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tax {
    /// Its kind.
    #[serde(deserialize_with = "loose::text")]
    pub tax_type: Option<String>,
    /// How much.
    pub amount: Option<Amount>,
}

/// Dates of a position.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LineDates {
    /// Latest shipment.
    #[serde(deserialize_with = "loose::text")]
    pub ship_by_date: Option<String>,
    /// Latest delivery.
    #[serde(deserialize_with = "loose::text")]
    pub max_estimated_delivery_date: Option<String>,
}

/// A name and a value.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Aspect {
    /// Name.
    #[serde(deserialize_with = "loose::text")]
    pub name: Option<String>,
    /// Value.
    #[serde(deserialize_with = "loose::text")]
    pub value: Option<String>,
}

/// A property of a vehicle.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Property {
    /// Name.
    #[serde(deserialize_with = "loose::text")]
    pub property_name: Option<String>,
    /// Value.
    #[serde(deserialize_with = "loose::text")]
    pub property_value: Option<String>,
}

/// A digital gift card's recipient.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GiftDetails {
    /// The buyer's words.
    #[serde(deserialize_with = "loose::text")]
    pub message: Option<String>,
}

/// eBay's programs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Program {
    /// An authenticator looks at it first.
    pub authenticity_verification: Option<serde::de::IgnoredAny>,
    /// eBay's warehouse ships it.
    pub fulfillment_program: Option<FulfillmentProgram>,
}

/// Who ships.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FulfillmentProgram {
    /// EBAY.
    #[serde(deserialize_with = "loose::text")]
    pub fulfilled_by: Option<String>,
}

/// A page of `getShippingFulfillments`, parcels left as they are.
#[derive(Debug, Default, Deserialize)]
pub struct Fulfillments<'a> {
    /// Parcels.
    #[serde(borrow, default)]
    pub fulfillments: Vec<&'a RawValue>,
}

/// A parcel.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Fulfillment {
    /// eBay's id: the tracking number, or 999.
    #[serde(deserialize_with = "loose::text")]
    pub fulfillment_id: Option<String>,
    /// Tracking number.
    #[serde(deserialize_with = "loose::text")]
    pub shipment_tracking_number: Option<String>,
    /// Carrier.
    #[serde(deserialize_with = "loose::text")]
    pub shipping_carrier_code: Option<String>,
    /// When it left.
    #[serde(deserialize_with = "loose::text")]
    pub shipped_date: Option<String>,
    /// What is in it.
    #[serde(deserialize_with = "loose::list")]
    pub line_items: Vec<FulfilledLine>,
}

/// So many units of a position.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FulfilledLine {
    /// The position.
    #[serde(deserialize_with = "loose::text")]
    pub line_item_id: Option<String>,
    /// Units; 1 where eBay does not say.
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
}

/// What `createShippingFulfillment` takes.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewFulfillment {
    /// What is in the parcel.
    pub line_items: Vec<NewFulfilledLine>,
    /// When it left.
    pub shipped_date: String,
    /// Carrier; goes with the tracking number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_carrier_code: Option<String>,
    /// Tracking number; goes with the carrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<String>,
}

/// So many units of a position.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewFulfilledLine {
    /// The position.
    pub line_item_id: String,
    /// Units.
    pub quantity: i64,
}

/// A page of `getInventoryItems`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InventoryItems {
    /// Items.
    #[serde(deserialize_with = "loose::list")]
    pub inventory_items: Vec<InventoryItem>,
    /// How many there are in all.
    #[serde(deserialize_with = "loose::integer")]
    pub total: Option<i64>,
}

/// A thing that is stocked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InventoryItem {
    /// SKU.
    #[serde(deserialize_with = "loose::text")]
    pub sku: Option<String>,
    /// Its description.
    pub product: Option<Product>,
    /// How many there are.
    pub availability: Option<Availability>,
}

/// A description.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Product {
    /// Title.
    #[serde(deserialize_with = "loose::text")]
    pub title: Option<String>,
}

/// How many there are.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Availability {
    /// To be shipped.
    pub ship_to_location_availability: Option<ShipToAvailability>,
}

/// Units to be shipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ShipToAvailability {
    /// Units.
    #[serde(deserialize_with = "loose::integer")]
    pub quantity: Option<i64>,
}

/// The offers of one SKU.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Offers {
    /// Offers.
    #[serde(deserialize_with = "loose::list")]
    pub offers: Vec<Offer>,
}

/// An offer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Offer {
    /// Where.
    #[serde(deserialize_with = "loose::text")]
    pub marketplace_id: Option<String>,
    /// Units there.
    #[serde(deserialize_with = "loose::integer")]
    pub available_quantity: Option<i64>,
    /// Price there.
    pub pricing_summary: Option<OfferPricing>,
    /// The listing, once it is published.
    pub listing: Option<OfferListing>,
}

/// An offer's price.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OfferPricing {
    /// Price.
    pub price: Option<Amount>,
}

/// An offer's listing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OfferListing {
    /// The listing's id.
    #[serde(deserialize_with = "loose::text")]
    pub listing_id: Option<String>,
}

/// What `check_eligibility` of a cancellation answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CancelEligibility {
    /// Whether it may be cancelled.
    pub eligible: Option<bool>,
    /// The same, in another release of the documentation.
    pub eligible_for_cancellation: Option<bool>,
    /// Why not.
    #[serde(deserialize_with = "loose::list")]
    pub failure_reason: Vec<String>,
}

/// What creating a cancellation answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CancelCreated {
    /// eBay's id.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_id: Option<String>,
    /// How far it is.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_status: Option<String>,
}

/// A cancellation.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cancellation {
    /// Its detail.
    pub cancel_detail: Option<CancelDetail>,
    /// How far it is, where there is no detail.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_state: Option<String>,
}

/// A cancellation's detail.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CancelDetail {
    /// INITIAL, APPROVAL_PENDING, REFUND_PENDING, CLOSED and more.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_state: Option<String>,
    /// CANCEL_REQUESTED, CANCEL_CLOSED_WITH_REFUND, CANCEL_REJECTED and more.
    #[serde(deserialize_with = "loose::text")]
    pub cancel_status: Option<String>,
}

/// What `issueRefund` takes.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRefund {
    /// Why.
    pub reason_for_refund: &'static str,
    /// A word to the buyer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Position by position, for an order of several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refund_items: Vec<NewRefundItem>,
    /// All of it, for an order of one position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_level_refund_amount: Option<NewAmount>,
}

/// What goes back for a position.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRefundItem {
    /// The position.
    pub line_item_id: String,
    /// How much.
    pub refund_amount: NewAmount,
}

/// Money as decimal text.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct NewAmount {
    /// The amount.
    pub value: String,
    /// Its currency.
    pub currency: &'static str,
}

/// What `issueRefund` answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Refund {
    /// eBay's id.
    #[serde(deserialize_with = "loose::text")]
    pub refund_id: Option<String>,
    /// PENDING, FAILED.
    #[serde(deserialize_with = "loose::text")]
    pub refund_status: Option<String>,
}

/// Who the token is of.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct User {
    /// The immutable id.
    #[serde(deserialize_with = "loose::text")]
    pub user_id: Option<String>,
}

/// The header `X-EBAY-SIGNATURE`, decoded.
#[derive(Debug, Deserialize)]
pub struct PushSignature {
    /// The key's id.
    pub kid: String,
    /// Base64 of the DER.
    pub signature: String,
}

/// A key that eBay signs with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PublicKey {
    /// PEM, without its line breaks.
    pub key: Option<String>,
    /// ECDSA.
    pub algorithm: Option<String>,
    /// SHA1.
    pub digest: Option<String>,
}

/// A notification.
#[derive(Debug, Deserialize)]
pub struct Notification {
    /// What it is of.
    pub metadata: NotificationMetadata,
    /// What it says.
    pub notification: NotificationBody,
}

/// What a notification is of.
#[derive(Debug, Deserialize)]
pub struct NotificationMetadata {
    /// ORDER_CONFIRMATION and more.
    pub topic: String,
}

/// What a notification says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationBody {
    /// The same for each attempt.
    pub notification_id: String,
    /// When this attempt was sent.
    pub publish_date: String,
    /// By topic.
    #[serde(default)]
    pub data: serde_json::Value,
}

/// A page of destinations.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Destinations {
    /// Destinations.
    #[serde(deserialize_with = "loose::list")]
    pub destinations: Vec<Destination>,
}

/// An address that eBay sends to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Destination {
    /// eBay's id.
    #[serde(deserialize_with = "loose::text")]
    pub destination_id: Option<String>,
    /// What it is called.
    #[serde(deserialize_with = "loose::text")]
    pub name: Option<String>,
    /// ENABLED, DISABLED, MARKED_DOWN.
    #[serde(deserialize_with = "loose::text")]
    pub status: Option<String>,
    /// The address.
    pub delivery_config: Option<DeliveryConfig>,
}

/// Where eBay sends to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeliveryConfig {
    /// The address.
    #[serde(deserialize_with = "loose::text")]
    pub endpoint: Option<String>,
}

/// A page of subscriptions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subscriptions {
    /// Subscriptions.
    #[serde(deserialize_with = "loose::list")]
    pub subscriptions: Vec<Subscription>,
}

/// A topic that is sent to a destination.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subscription {
    /// eBay's id.
    #[serde(deserialize_with = "loose::text")]
    pub subscription_id: Option<String>,
    /// The topic.
    #[serde(deserialize_with = "loose::text")]
    pub topic_id: Option<String>,
    /// ENABLED, DISABLED.
    #[serde(deserialize_with = "loose::text")]
    pub status: Option<String>,
    /// Where it goes.
    #[serde(deserialize_with = "loose::text")]
    pub destination_id: Option<String>,
}

/// A topic.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Topic {
    /// The versions that it comes in.
    #[serde(deserialize_with = "loose::list")]
    pub supported_payloads: Vec<TopicPayload>,
}

/// A version of a topic.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicPayload {
    /// Its number.
    #[serde(deserialize_with = "loose::text")]
    pub schema_version: Option<String>,
    /// True where it will go.
    pub deprecated: Option<bool>,
}

//! eBay's answers, field by field as its specifications have them. Nothing here changes state.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::people::{Person, person};
use super::{Ebay, Line, Listing, MARKETPLACE, Order, Parcel, Refund};
use crate::clock::shifted;

/// E-mails are taken back after this many days.
const EMAIL_DAYS: i64 = 14;

/// Names, phones and streets are taken back after this many days.
const NAME_DAYS: i64 = 90;

/// An instant as eBay writes it.
pub fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Money as eBay writes it: no more digits than needed, and one at least.
pub fn money(cents: i64) -> Value {
    let text = super::super::money::two_decimals(cents);
    let text = text.strip_suffix('0').unwrap_or(&text);
    json!({"value": text, "currency": "USD"})
}

/// How a reader asked for an order.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// When.
    pub now: Timestamp,
    /// With the breakdown of taxes.
    pub has_taxes: bool,
    /// Alone: a list does not tell of requests for cancellation.
    pub is_single: bool,
}

impl Ebay {
    /// An order as a reader sees it.
    pub(super) fn order_json(&self, order: &Order, view: View) -> Value {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        put("orderId", json!(order.id));
        put("legacyOrderId", json!(order.id));
        put("creationDate", json!(instant(order.placed)));
        put("lastModifiedDate", json!(instant(order.updated)));
        put("orderFulfillmentStatus", json!(order.fulfillment_word()));
        put("orderPaymentStatus", json!(payment_word(order)));
        put("sellerId", json!("eider-test-goods"));
        put("buyer", self.buyer(order, view));
        if let Some(note) = &order.note {
            put("buyerCheckoutNotes", json!(note));
        }
        put("pricingSummary", pricing(order, view));
        put("cancelStatus", cancel_status(order, view));
        put("paymentSummary", payments(order, view.now));
        put("fulfillmentStartInstructions", json!([self.instruction(order, view)]));
        let hrefs = order.parcels.iter().map(|parcel| parcel_address(order, parcel));
        put("fulfillmentHrefs", hrefs.collect());
        put("lineItems", order.lines.iter().filter_map(|line| self.line_json(order, line, view)).collect());
        if order.is_verified {
            let program = json!({"outcomeReason": "PENDING", "status": "PENDING"});
            put("program", json!({"authenticityVerification": program}));
        } else if order.is_by_ebay {
            put("program", json!({"fulfillmentProgram": {"fulfilledBy": "EBAY"}}));
        }
        if order.remitted() > 0 {
            put("ebayCollectAndRemitTax", json!(true));
        }
        put("salesRecordReference", json!((order.index + 1).to_string()));
        put("totalFeeBasisAmount", money(order.total()));
        put("totalMarketplaceFee", money(order.total() * 13 / 100 + 30));
        Value::Object(body)
    }

    fn buyer(&self, order: &Order, view: View) -> Value {
        let who = person(self.seed, order.buyer);
        json!({
            "username": format!("{}{}", who.first_name.to_lowercase().replace(' ', "_"), order.buyer % 10_000),
            "taxAddress": {
                "stateOrProvince": who.state,
                "postalCode": who.zip,
                "countryCode": who.country_code,
            },
            "buyerRegistrationAddress": contact(&who, order, view),
        })
    }

    fn instruction(&self, order: &Order, view: View) -> Value {
        let later = |days: i64| instant(shifted(order.placed, SignedDuration::from_hours(days * 24)));
        let mut body = json!({
            "fulfillmentInstructionsType": if order.is_by_ebay { "FULFILLED_BY_EBAY" } else { "SHIP_TO" },
            "minEstimatedDeliveryDate": later(4),
            "maxEstimatedDeliveryDate": later(8),
            "ebaySupportedFulfillment": order.is_by_hub || order.is_verified,
        });
        let mut step = json!({"shippingCarrierCode": "USPS", "shippingServiceCode": order.service});
        let recipient = person(self.seed, order.recipient);
        if let (Some(body), Some(step)) = (body.as_object_mut(), step.as_object_mut()) {
            if order.is_by_hub || order.is_verified {
                step.insert("shipTo".to_owned(), hub(order));
                step.insert("shipToReferenceId".to_owned(), json!(format!("EIS-{}", order.index + 700_000)));
                body.insert("finalDestinationAddress".to_owned(), address(&recipient, order, view));
            } else if !order.is_by_ebay {
                step.insert("shipTo".to_owned(), contact(&recipient, order, view));
            }
            body.insert("shippingStep".to_owned(), Value::Object(std::mem::take(step)));
        }
        body
    }

    fn line_json(&self, order: &Order, line: &Line, view: View) -> Option<Value> {
        let listing = self.listings.get(line.listing)?;
        let done = order.fulfilled(line);
        let word = match done {
            0 => "NOT_STARTED",
            done if done < line.quantity => "IN_PROGRESS",
            _ => "FULFILLED",
        };
        let (own, remitted) = if order.is_tax_remitted { (0, line.tax) } else { (line.tax, 0) };
        let shown = own + if view.has_taxes { remitted } else { 0 };
        let mut body = json!({
            "lineItemId": line.id,
            "legacyItemId": listing.id,
            "title": listing.title,
            "lineItemCost": money(line.item()),
            "quantity": line.quantity,
            "soldFormat": "FIXED_PRICE",
            "listingMarketplaceId": MARKETPLACE,
            "purchaseMarketplaceId": MARKETPLACE,
            "lineItemFulfillmentStatus": word,
            "total": money(line.net() + shown),
            "deliveryCost": {"shippingCost": money(line.shipping)},
            "appliedPromotions": [],
            "taxes": taxes(shown, view),
            "properties": {"buyerProtection": true},
            "lineItemFulfillmentInstructions": {
                "shipByDate": instant(shifted(order.placed, SignedDuration::from_hours(48))),
                "maxEstimatedDeliveryDate":
                    instant(shifted(order.placed, SignedDuration::from_hours(8 * 24))),
                "guaranteedDelivery": false,
            },
            "itemLocation": {"location": "Portland, Oregon", "countryCode": "US", "postalCode": "97201"},
            "refunds": order
                .refunds
                .iter()
                .filter(|refund| refund.line.as_deref() == Some(&line.id))
                .map(|refund| line_refund(refund, view.now))
                .collect::<Value>(),
        });
        let item = body.as_object_mut()?;
        let mut put = |name: &str, value: Value| {
            item.insert(name.to_owned(), value);
        };
        if !listing.is_legacy {
            put("sku", json!(listing.sku));
        }
        if let Some((name, value)) = &listing.option {
            put("variationAspects", json!([{"name": name, "value": value}]));
        }
        if let Some(variation) = &listing.variation {
            put("legacyVariationId", json!(variation));
        }
        if line.discount > 0 {
            put("discountedLineItemCost", money(line.item() - line.discount));
            let promotion = json!({"discountAmount": money(line.discount), "promotionId": "9000111222"});
            put("appliedPromotions", json!([promotion]));
        }
        if line.shipping_discount > 0 {
            let cost = json!({
                "shippingCost": money(line.shipping),
                "discountAmount": money(line.shipping_discount),
            });
            put("deliveryCost", cost);
        }
        if remitted > 0 {
            let tax =
                json!({"taxType": "STATE_SALES_TAX", "amount": money(remitted), "collectionMethod": "NET"});
            put("ebayCollectAndRemitTaxes", json!([tax]));
        }
        Some(body)
    }

    /// A thing in stock as the Inventory API has it.
    pub(super) fn item_json(listing: &Listing) -> Value {
        json!({
            "sku": listing.sku,
            "locale": "en_US",
            "condition": "NEW",
            "product": {"title": listing.title, "brand": "Eider"},
            "availability": {"shipToLocationAvailability": {"quantity": listing.quantity}},
        })
    }

    /// Its offer.
    pub(super) fn offer_json(listing: &Listing) -> Value {
        json!({
            "offerId": format!("9{}", listing.id),
            "sku": listing.sku,
            "marketplaceId": MARKETPLACE,
            "format": "FIXED_PRICE",
            "availableQuantity": listing.quantity,
            "pricingSummary": {"price": money(listing.price)},
            "status": "PUBLISHED",
            "listing": {"listingId": listing.id, "listingStatus": "ACTIVE", "soldQuantity": 0},
        })
    }
}

fn taxes(amount: i64, view: View) -> Value {
    if amount == 0 {
        return json!([]);
    }
    let mut tax = json!({"amount": money(amount)});
    if view.has_taxes
        && let Some(tax) = tax.as_object_mut()
    {
        tax.insert("taxType".to_owned(), json!("STATE_SALES_TAX"));
    }
    json!([tax])
}

/// Whether so many days have passed since the order was placed.
fn is_past(order: &Order, view: View, days: i64) -> bool {
    shifted(order.placed, SignedDuration::from_hours(days * 24)) < view.now
}

fn contact(who: &Person, order: &Order, view: View) -> Value {
    let mut body = json!({"contactAddress": address(who, order, view)});
    let Some(fields) = body.as_object_mut() else { return body };
    if !is_past(order, view, NAME_DAYS) {
        fields.insert("fullName".to_owned(), json!(who.full_name()));
        fields.insert("primaryPhone".to_owned(), json!({"phoneNumber": who.phone}));
        if !who.company.is_empty() {
            fields.insert("companyName".to_owned(), json!(who.company));
        }
    }
    if !is_past(order, view, EMAIL_DAYS) {
        let name = who.relay_email.split('@').next().unwrap_or("buyer");
        fields.insert("email".to_owned(), json!(format!("{name}@members.ebay.com")));
    }
    body
}

fn address(who: &Person, order: &Order, view: View) -> Value {
    let mut body = json!({"city": who.city, "postalCode": who.zip, "countryCode": who.country_code});
    let Some(fields) = body.as_object_mut() else { return body };
    if !who.state.is_empty() {
        fields.insert("stateOrProvince".to_owned(), json!(who.state));
    }
    if !is_past(order, view, NAME_DAYS) {
        fields.insert("addressLine1".to_owned(), json!(who.street_1));
        if !who.street_2.is_empty() {
            fields.insert("addressLine2".to_owned(), json!(who.street_2));
        }
    }
    body
}

/// Where eBay wants parcels of its programs.
fn hub(order: &Order) -> Value {
    let name = if order.is_verified { "PSA Authenticator" } else { "eBay International Shipping" };
    json!({
        "fullName": name,
        "contactAddress": {
            "addressLine1": "1850 Airport Exchange Blvd #200",
            "addressLine2": format!("Reference EIS-{}", order.index + 700_000),
            "city": "Erlanger",
            "stateOrProvince": "KY",
            "postalCode": "41025",
            "countryCode": "US",
        },
        "primaryPhone": {"phoneNumber": "+1 415-555-0100"},
    })
}

fn payment_word(order: &Order) -> &'static str {
    match order.given_back() {
        _ if !order.is_paid => "PENDING",
        0 => "PAID",
        back if back < order.net() => "PARTIALLY_REFUNDED",
        _ => "FULLY_REFUNDED",
    }
}

fn pricing(order: &Order, view: View) -> Value {
    let of = |part: fn(&Line) -> i64| order.lines.iter().map(part).sum::<i64>();
    let mut body = json!({
        "priceSubtotal": money(of(Line::item)),
        "deliveryCost": money(of(|line| line.shipping)),
        "total": money(order.net() + if view.has_taxes { order.remitted() } else { 0 }),
    });
    let Some(fields) = body.as_object_mut() else { return body };
    let mut put = |name: &str, cents: i64| {
        if cents != 0 {
            fields.insert(name.to_owned(), money(cents));
        }
    };
    put("priceDiscount", -of(|line| line.discount));
    put("deliveryDiscount", -of(|line| line.shipping_discount));
    let tax = of(|line| line.tax);
    if !order.is_tax_remitted || view.has_taxes {
        put("tax", tax);
    }
    body
}

fn cancel_status(order: &Order, view: View) -> Value {
    let Some(cancellation) = &order.cancellation else {
        return json!({"cancelState": "NONE_REQUESTED", "cancelRequests": []});
    };
    let state = if cancellation.is_closed { "CANCELED" } else { "IN_PROGRESS" };
    let mut body = json!({"cancelState": state, "cancelRequests": []});
    if view.is_single
        && let Some(fields) = body.as_object_mut()
    {
        let request = json!({
            "cancelRequestId": cancellation.id,
            "cancelInitiator": if cancellation.is_by_buyer { "Buyer" } else { "Seller" },
            "cancelReason": cancellation.reason,
            "cancelRequestState": if cancellation.is_closed { "COMPLETED" } else { "REQUESTED" },
            "cancelRequestedDate": instant(cancellation.requested),
        });
        fields.insert("cancelRequests".to_owned(), json!([request]));
    }
    if cancellation.is_closed
        && let Some(fields) = body.as_object_mut()
    {
        fields.insert("cancelledDate".to_owned(), json!(instant(order.updated)));
    }
    body
}

fn payments(order: &Order, now: Timestamp) -> Value {
    let of_order = order.refunds.iter().filter(|refund| refund.line.is_none());
    json!({
        "totalDueSeller": money(order.net()),
        "refunds": of_order.map(|refund| order_refund(refund, now)).collect::<Value>(),
        "payments": [{
            "paymentMethod": "EBAY",
            "paymentReferenceId": format!("PAY-{}", order.index),
            "paymentDate": instant(order.placed),
            "amount": money(order.net()),
            "paymentStatus": "PAID",
        }],
    })
}

/// What was not made by `issueRefund` has no id until it is through, and then no other than its reference.
fn order_refund(refund: &Refund, now: Timestamp) -> Value {
    let status = match (refund.has_failed, refund.is_through(now)) {
        (true, _) => "FAILED",
        (false, true) => "REFUNDED",
        (false, false) => "PENDING",
    };
    let mut body = json!({"amount": money(refund.amount), "refundStatus": status});
    if let Some(fields) = body.as_object_mut() {
        if !refund.is_made_elsewhere {
            fields.insert("refundId".to_owned(), json!(refund.id));
        }
        if refund.is_through(now) {
            fields.insert("refundReferenceId".to_owned(), json!(format!("11-{}", refund.id)));
            fields.insert("refundDate".to_owned(), json!(instant(refund.issued)));
        }
    }
    body
}

/// A refund of a position has no status: one that failed is one that never gets a date.
fn line_refund(refund: &Refund, now: Timestamp) -> Value {
    let mut body = json!({"refundId": refund.id, "amount": money(refund.amount)});
    if refund.is_through(now)
        && let Some(fields) = body.as_object_mut()
    {
        fields.insert("refundDate".to_owned(), json!(instant(refund.issued)));
    }
    body
}

/// Where a parcel is read.
pub fn parcel_address(order: &Order, parcel: &Parcel) -> Value {
    json!(format!(
        "https://api.ebay.com/sell/fulfillment/v1/order/{}/shipping_fulfillment/{}",
        order.id, parcel.id
    ))
}

/// A parcel.
pub fn parcel_json(parcel: &Parcel) -> Value {
    let items: Vec<Value> =
        parcel.items.iter().map(|(id, count)| json!({"lineItemId": id, "quantity": count})).collect();
    let mut body =
        json!({"fulfillmentId": parcel.id, "shippedDate": instant(parcel.shipped), "lineItems": items});
    if let Some(fields) = body.as_object_mut() {
        fields.extend(parcel.tracking.iter().map(|text| ("shipmentTrackingNumber".to_owned(), json!(text))));
        fields.extend(parcel.carrier.iter().map(|text| ("shippingCarrierCode".to_owned(), json!(text))));
    }
    body
}

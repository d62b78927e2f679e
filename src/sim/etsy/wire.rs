//! Etsy's answers, field by field as its specification and recorded answers have them. Nothing here changes state.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::super::people::{Person, person};
use super::{Etsy, Line, Listing, Parcel, Product, Receipt, Refund, SHOP_ID, Status, USER_ID};
use crate::clock::shifted;

/// Etsy's number of the property that is a colour; others follow it.
const PROPERTY: i64 = 200;
/// Etsy's number of what buyers have written on things.
const PERSONALIZATION: i64 = 54;

impl Etsy {
    /// A receipt with its transactions. Etsy writes statuses with a capital although its specification does not.
    pub(super) fn receipt_json(&self, receipt: &Receipt) -> Value {
        let who = person(self.seed, receipt.buyer);
        let placed = receipt.placed.as_second();
        let updated = receipt.updated.as_second();
        let goods = receipt.goods();
        let (message, sender) = receipt.gift.clone().unwrap_or_default();
        let lines = receipt.lines.iter().filter_map(|line| self.transaction_json(receipt, line));
        let mut fields = Map::new();
        let parts = [
            json!({
                "receipt_id": receipt.id,
                "receipt_type": 0,
                "seller_user_id": USER_ID,
                "seller_email": "seller@example.com",
                "buyer_user_id": i64::try_from(receipt.buyer).unwrap_or(1) + 1,
                "buyer_email": Value::Null,
                "status": self.status_word(receipt),
                "payment_method": "cc",
                "payment_email": Value::Null,
                "message_from_payment": Value::Null,
                "message_from_seller": Value::Null,
                "message_from_buyer": receipt.note.as_deref().map(escaped),
                "is_shipped": receipt.status == Status::Completed,
                "is_paid": receipt.is_paid,
                "create_timestamp": placed,
                "created_timestamp": placed,
                "update_timestamp": updated,
                "updated_timestamp": updated,
                "is_gift": receipt.gift.is_some(),
                "gift_message": escaped(&message),
                "gift_sender": escaped(&sender),
            }),
            json!({
                "grandtotal": money(receipt.total()),
                "subtotal": money(goods - receipt.discount),
                "total_price": money(goods),
                "total_shipping_cost": money(receipt.shipping),
                "total_tax_cost": money(receipt.tax),
                "total_vat_cost": money(receipt.vat),
                "discount_amt": money(receipt.discount),
                "gift_wrap_price": money(receipt.wrap),
                "shipments": receipt.parcels.iter().map(parcel_json).collect::<Vec<_>>(),
                "transactions": lines.collect::<Vec<_>>(),
                "refunds": receipt.refunds.iter().map(refund_json).collect::<Vec<_>>(),
            }),
        ];
        for part in parts {
            if let Value::Object(part) = part {
                fields.extend(part);
            }
        }
        fields.extend(self.address(&who));
        Value::Object(fields)
    }

    /// Where it goes; without street and place where Etsy withholds them from the app.
    fn address(&self, who: &Person) -> Map<String, Value> {
        let text = |text: &str| if text.is_empty() { Value::Null } else { json!(escaped(text)) };
        let mut fields = Map::new();
        fields.insert("name".to_owned(), json!(escaped(&who.full_name())));
        let formatted = format!(
            "{}\n{}\n{}, {} {}\n{}",
            who.full_name(),
            who.street_1,
            who.city,
            who.state,
            who.zip,
            who.country
        );
        for (name, value) in [
            ("first_line", text(&who.street_1)),
            ("second_line", text(&who.street_2)),
            ("city", text(&who.city)),
            ("state", text(&who.state)),
            ("zip", text(&who.zip)),
            ("country_iso", json!(who.country_code)),
            ("formatted_address", text(&formatted)),
        ] {
            let shown = if self.meta.is_walled { Value::Null } else { value };
            fields.insert(name.to_owned(), shown);
        }
        fields
    }

    fn status_word(&self, receipt: &Receipt) -> &'static str {
        let refunded = receipt.refunded();
        match receipt.status {
            Status::Canceled => "Canceled",
            Status::Processing => "Payment Processing",
            Status::Paid | Status::Completed if refunded > 0 && refunded == receipt.total() => {
                "Fully Refunded"
            }
            Status::Paid | Status::Completed if refunded > 0 => "Partially Refunded",
            Status::Paid => "Paid",
            Status::Completed => "Completed",
        }
    }

    fn transaction_json(&self, receipt: &Receipt, line: &Line) -> Option<Value> {
        let listing = self.listings.get(line.listing)?;
        let product = listing.products.get(line.product)?;
        let placed = receipt.placed.as_second();
        let is_shipped = receipt.status == Status::Completed;
        let ship_by = shifted(receipt.placed, SignedDuration::from_hours(72)).as_second();
        let mut variations = Vec::new();
        if let Some((name, value)) = &product.option {
            variations.push(json!({
                "property_id": PROPERTY,
                "value_id": product.id,
                "formatted_name": escaped(name),
                "formatted_value": escaped(value),
            }));
        }
        if let Some(text) = &line.personalization {
            variations.push(json!({
                "property_id": PERSONALIZATION,
                "value_id": Value::Null,
                "formatted_name": "Personalization",
                "formatted_value": escaped(text),
            }));
        }
        Some(json!({
            "transaction_id": line.id,
            "title": escaped(&listing.title),
            "description": escaped("Made by hand & sent with care."),
            "seller_user_id": USER_ID,
            "buyer_user_id": i64::try_from(receipt.buyer).unwrap_or(1) + 1,
            "create_timestamp": placed,
            "created_timestamp": placed,
            "paid_timestamp": receipt.is_paid.then_some(placed),
            "shipped_timestamp": is_shipped.then(|| receipt.updated.as_second()),
            "quantity": line.quantity,
            "listing_image_id": Value::Null,
            "receipt_id": receipt.id,
            "is_digital": listing.is_digital,
            "file_data": if listing.is_digital { "1 PDF" } else { "" },
            "listing_id": listing.id,
            "transaction_type": "listing",
            "product_id": product.id,
            "sku": product.sku,
            "price": money(line.unit),
            "shipping_cost": money(0),
            "variations": variations,
            "product_data": property_values(product),
            "shipping_profile_id": Value::Null,
            "min_processing_days": 1,
            "max_processing_days": 3,
            "shipping_method": (!listing.is_digital).then_some("Standard &amp; tracked"),
            "shipping_upgrade": Value::Null,
            "expected_ship_date": (!listing.is_digital).then_some(ship_by),
            "buyer_coupon": 0,
            "shop_coupon": 0,
        }))
    }

    /// The shop.
    pub(super) fn shop_json(&self) -> Value {
        json!({
            "shop_id": SHOP_ID,
            "user_id": USER_ID,
            "shop_name": "EiderTestGoods",
            "title": "Handmade &amp; found",
            "currency_code": "USD",
            "is_vacation": false,
            "login_name": "eidertest",
            "url": "https://www.etsy.com/shop/EiderTestGoods",
            "listing_active_count": self.listings.len(),
            "languages": ["en-US"],
            "shipping_from_country_iso": "US",
            "shop_location_country_iso": "US",
        })
    }

    /// Etsy takes a listing off sale when nothing is left of it.
    pub(super) fn listing_state(listing: &Listing) -> &'static str {
        let left: i64 = listing.products.iter().map(|product| product.quantity).sum();
        if left > 0 { "active" } else { "sold_out" }
    }

    /// A listing, with its inventory where it was asked for.
    pub(super) fn listing_json(listing: &Listing, with_inventory: bool) -> Value {
        let (created, updated) = (listing.created.as_second(), listing.updated.as_second());
        let quantity: i64 = listing.products.iter().map(|product| product.quantity).sum();
        let price = listing.products.iter().map(|product| product.price).min().unwrap_or(0);
        let mut body = json!({
            "listing_id": listing.id,
            "user_id": USER_ID,
            "shop_id": SHOP_ID,
            "title": escaped(&listing.title),
            "description": escaped("Made by hand & sent with care."),
            "state": Self::listing_state(listing),
            "creation_timestamp": created,
            "created_timestamp": created,
            "last_modified_timestamp": updated,
            "updated_timestamp": updated,
            "quantity": quantity,
            "url": format!("https://www.etsy.com/listing/{}", listing.id),
            "is_customizable": false,
            "is_personalizable": true,
            "listing_type": if listing.is_digital { "download" } else { "physical" },
            "tags": ["gift"],
            "materials": [],
            "has_variations": listing.products.len() > 1,
            "language": "en-US",
            "price": money(price),
            "skus": listing.products.iter().map(|product| &product.sku).collect::<Vec<_>>(),
        });
        if let (true, Some(fields)) = (with_inventory, body.as_object_mut()) {
            fields.insert("inventory".to_owned(), Self::inventory_json(listing));
        }
        body
    }

    /// A listing's inventory.
    pub(super) fn inventory_json(listing: &Listing) -> Value {
        let varied = if listing.products.len() > 1 { vec![PROPERTY] } else { Vec::new() };
        let product = |product: &Product| {
            json!({
                "product_id": product.id,
                "sku": product.sku,
                "is_deleted": false,
                "offerings": [{
                    "offering_id": product.id + 1_000_000,
                    "quantity": product.quantity,
                    "is_enabled": true,
                    "is_deleted": false,
                    "price": money(product.price),
                }],
                "property_values": property_values(product),
            })
        };
        json!({
            "products": listing.products.iter().map(product).collect::<Vec<_>>(),
            "price_on_property": varied,
            "quantity_on_property": varied,
            "sku_on_property": varied,
        })
    }
}

fn property_values(product: &Product) -> Vec<Value> {
    let value = |(name, value): &(String, String)| {
        json!({
            "property_id": PROPERTY,
            "property_name": escaped(name),
            "scale_id": Value::Null,
            "scale_name": Value::Null,
            "value_ids": [product.id],
            "values": [escaped(value)],
        })
    };
    product.option.iter().map(value).collect()
}

fn parcel_json(parcel: &Parcel) -> Value {
    json!({
        "receipt_shipping_id": parcel.id,
        "shipment_notification_timestamp": parcel.told.as_second(),
        "carrier_name": parcel.carrier,
        "tracking_code": parcel.tracking,
    })
}

fn refund_json(refund: &Refund) -> Value {
    json!({
        "amount": money(refund.amount),
        "created_timestamp": refund.at.as_second(),
        "reason": escaped("Buyer's request"),
        "note_from_issuer": "",
        "status": "ok",
    })
}

fn money(cents: i64) -> Value {
    json!({"amount": cents, "divisor": 100, "currency_code": "USD"})
}

/// A text as Etsy writes it into its answers.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

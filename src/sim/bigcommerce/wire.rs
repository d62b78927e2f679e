//! The store's V2 answers, field by field as its specification has them. Nothing here changes state.

use jiff::Timestamp;
use jiff::civil;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::money::four_decimals;
use super::{Contact, Line, Order, STORE_HASH, Shipment, ShippingAddress, Taxed};

/// Order statuses: id, name, place in the control panel's list, description.
pub const STATUSES: [(i64, &str, i64, &str); 15] = [
    (0, "Incomplete", 0, "The shopper reached the payment page, but did not complete the transaction."),
    (1, "Pending", 1, "Customer started the checkout process, but did not complete it."),
    (2, "Shipped", 8, "Order has been shipped, but receipt has not been confirmed."),
    (3, "Partially Shipped", 6, "Only some items in the order have been shipped."),
    (4, "Refunded", 11, "Seller has used the Refund action."),
    (5, "Cancelled", 9, "Seller has cancelled an order, due to a stock inconsistency or other reasons."),
    (6, "Declined", 10, "Seller has marked the order as declined."),
    (
        7,
        "Awaiting Payment",
        2,
        "Customer has completed checkout process, but payment has yet to be confirmed.",
    ),
    (8, "Awaiting Pickup", 5, "Order has been pulled, and is awaiting customer pickup."),
    (9, "Awaiting Shipment", 4, "Order has been pulled and packaged, and is awaiting collection."),
    (10, "Completed", 7, "Client has paid for their digital product, or the order has been received."),
    (
        11,
        "Awaiting Fulfillment",
        3,
        "Customer has completed the checkout process and payment has been confirmed.",
    ),
    (12, "Manual Verification Required", 13, "Order is on hold while some aspect needs to be confirmed."),
    (13, "Disputed", 12, "Customer has initiated a dispute resolution process."),
    (14, "Partially Refunded", 14, "Seller has partially refunded the order."),
];

/// A status as the list of statuses has it.
pub fn status_json((id, name, _, description): (i64, &str, i64, &str)) -> Value {
    json!({
        "id": id,
        "name": name,
        "system_label": name,
        "custom_label": name,
        "system_description": description,
    })
}

/// An instant as V2 writes it.
pub fn date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// An instant as V2 reads it: RFC 2822 or ISO 8601, without an offset in UTC.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let parser = rfc2822::DateTimeParser::new();
    if let Ok(at) = parser.parse_timestamp(text) {
        return Some(at);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let local = text
        .parse::<civil::DateTime>()
        .ok()
        .or_else(|| Some(text.parse::<civil::Date>().ok()?.at(0, 0, 0, 0)));
    TimeZone::UTC.to_ambiguous_timestamp(local?).unambiguous().ok()
}

fn link(order: &Order, name: &str) -> Value {
    json!({
        "url": format!("https://api.bigcommerce.com/stores/{STORE_HASH}/v2/orders/{}/{name}", order.id),
        "resource": format!("/orders/{}/{name}", order.id),
    })
}

/// An order as lists and single reads show it.
pub fn order_json(order: &Order) -> Value {
    let mut body = order_head(order);
    let amounts = &order.amounts;
    if let Some(body) = body.as_object_mut() {
        let mut put = |name: &str, amount: i64| {
            body.insert(name.to_owned(), json!(four_decimals(amount)));
        };
        put("base_shipping_cost", amounts.base_shipping);
        put("base_handling_cost", amounts.base_handling);
        put("base_wrapping_cost", amounts.base_wrapping);
        put("discount_amount", amounts.discount);
        put("refunded_amount", order.refunded);
        for name in ["coupon_discount", "store_credit_amount", "gift_certificate_amount"] {
            put(name, 0);
        }
        let mut put_taxed = |name: &str, taxed: Taxed| {
            put(&format!("{name}_ex_tax"), taxed.ex);
            put(&format!("{name}_inc_tax"), taxed.inc);
            put(&format!("{name}_tax"), taxed.tax());
        };
        put_taxed("subtotal", amounts.subtotal);
        put_taxed("shipping_cost", amounts.shipping);
        put_taxed("handling_cost", amounts.handling);
        put_taxed("wrapping_cost", amounts.wrapping);
        put_taxed("total", amounts.total);
        for name in ["products", "shipping_addresses", "coupons"] {
            body.insert(name.to_owned(), link(order, name));
        }
    }
    body
}

fn order_head(order: &Order) -> Value {
    let status = STATUSES.iter().find(|(id, ..)| *id == order.status_id).map_or("", |(_, name, ..)| *name);
    let mut billing = contact_json(&order.billing);
    if let Some(billing) = billing.as_object_mut() {
        billing.insert("form_fields".to_owned(), json!([]));
    }
    let body = json!({
        "id": order.id,
        "customer_id": order.customer_id,
        "date_created": date(order.created),
        "date_modified": date(order.modified),
        "date_shipped": order.shipped.map(date).unwrap_or_default(),
        "status_id": order.status_id,
        "status": status,
        "shipping_cost_tax_class_id": 0,
        "handling_cost_tax_class_id": 0,
        "wrapping_cost_tax_class_id": 0,
        "items_total": order.items_total(),
        "items_shipped": order.items_shipped(),
        "payment_method": order.payment_method,
        "payment_provider_id": "",
        "payment_status": order.payment_status,
        "order_is_digital": false,
        "ip_address": order.ip_address,
        "ip_address_v6": "",
        "geoip_country": "",
        "geoip_country_iso2": "",
    });
    let rest = json!({
        "currency_id": 1,
        "currency_code": order.currency,
        "currency_exchange_rate": "1.0000000000",
        "default_currency_id": 1,
        "default_currency_code": order.currency,
        "store_default_currency_code": "USD",
        "store_default_to_transactional_exchange_rate": "1.0000000000",
        "staff_notes": order.staff_notes,
        "customer_message": order.customer_message,
        "shipping_address_count": order.addresses.len(),
        "is_deleted": order.is_deleted,
        "is_tax_inclusive_pricing": false,
        "ebay_order_id": "0",
        "cart_id": "",
        "billing_address": billing,
        "is_email_opt_in": false,
        "order_source": order.order_source,
        "channel_id": order.channel_id,
        "external_source": order.external_source,
        "external_id": null,
        "external_merchant_id": order.external_merchant_id,
        "external_order_id": order.external_order_id.as_deref().unwrap_or(""),
        "tax_provider_id": "",
        "customer_locale": "en",
    });
    joined(body, rest)
}

/// Two objects as one.
fn joined(body: Value, rest: Value) -> Value {
    match (body, rest) {
        (Value::Object(mut body), Value::Object(rest)) => {
            body.extend(rest);
            Value::Object(body)
        }
        (body, _) => body,
    }
}

fn contact_json(contact: &Contact) -> Value {
    json!({
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "company": contact.company,
        "street_1": contact.street_1,
        "street_2": contact.street_2,
        "city": contact.city,
        "state": contact.state,
        "zip": contact.zip,
        "country": contact.country,
        "country_iso2": contact.country_iso2,
        "phone": contact.phone,
        "email": contact.email,
    })
}

/// A position as `orders/{id}/products` shows it.
pub fn line_json(order: &Order, line: &Line) -> Value {
    let address_id = order.addresses.first().map_or(0, |address| address.id);
    let mut body = json!({
        "id": line.id,
        "order_id": order.id,
        "product_id": line.product_id,
        "variant_id": line.variant_id,
        "order_pickup_method_id": 0,
        "order_address_id": address_id,
        "name": line.name,
        "name_customer": line.name,
        "name_merchant": line.name,
        "sku": line.sku,
        "upc": line.upc,
        "type": "physical",
        "weight": four_decimals(line.weight.saturating_mul(100)),
        "width": "0.0000",
        "height": "0.0000",
        "depth": "0.0000",
        "quantity": line.quantity,
        "quantity_shipped": line.shipped,
        "is_refunded": order.quantity_refunded(line.id) >= line.quantity,
        "quantity_refunded": order.quantity_refunded(line.id),
        "return_id": 0,
        "wrapping_id": 0,
        "wrapping_name": line.wrapping_name,
        "wrapping_message": line.wrapping_message,
        "event_name": null,
        "event_date": null,
        "ebay_item_id": "",
        "ebay_transaction_id": "",
        "option_set_id": null,
        "parent_order_product_id": null,
        "is_bundled_product": false,
        "bin_picking_number": "",
        "external_id": null,
        "brand": "",
        "applied_discounts": [],
        "product_options": [],
        "configurable_fields": [],
        "gift_certificate_id": null,
    });
    if let Some(body) = body.as_object_mut() {
        let mut put = |name: &str, amount: i64| {
            body.insert(name.to_owned(), json!(four_decimals(amount)));
        };
        let total = |price: i64| price.saturating_mul(line.quantity);
        put("base_price", line.price_ex);
        put("price_ex_tax", line.price_ex);
        put("price_inc_tax", line.price_inc);
        put("price_tax", line.price_inc - line.price_ex);
        put("base_total", total(line.price_ex));
        put("total_ex_tax", total(line.price_ex));
        put("total_inc_tax", total(line.price_inc));
        put("total_tax", total(line.price_inc - line.price_ex));
        put("discounted_total_inc_tax", total(line.price_inc));
        put("base_wrapping_cost", line.wrapping_ex);
        put("wrapping_cost_ex_tax", line.wrapping_ex);
        put("wrapping_cost_inc_tax", line.wrapping_inc);
        put("wrapping_cost_tax", line.wrapping_inc - line.wrapping_ex);
        for name in ["base_cost_price", "cost_price_inc_tax", "cost_price_ex_tax", "cost_price_tax"] {
            put(name, 0);
        }
        put("refund_amount", 0);
        put("fixed_shipping_cost", 0);
        if let Some(option) = &line.option {
            body.insert("product_options".to_owned(), json!([option_json(line, option)]));
        }
    }
    body
}

fn option_json(line: &Line, (name, value, value_id): &(String, String, i64)) -> Value {
    json!({
        "id": line.id,
        "option_id": 18,
        "order_product_id": line.id,
        "product_option_id": 120,
        "display_name": name,
        "display_name_customer": name,
        "display_name_merchant": name,
        "display_value": value,
        "display_value_customer": value,
        "display_value_merchant": value,
        "value": value_id.to_string(),
        "type": "Multiple choice",
        "name": name,
        "display_style": "Rectangle",
    })
}

/// An address as `orders/{id}/shipping_addresses` shows it.
pub fn address_json(order: &Order, address: &ShippingAddress) -> Value {
    let mut body = contact_json(&address.contact);
    if let Some(body) = body.as_object_mut() {
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        let amounts = &order.amounts;
        let quotes = format!("/orders/{}/shippingaddresses/{}/shippingquotes", order.id, address.id);
        put("id", json!(address.id));
        put("order_id", json!(order.id));
        put("items_total", json!(order.items_total()));
        put("items_shipped", json!(order.items_shipped()));
        put("shipping_method", json!(address.method));
        put("base_cost", json!(four_decimals(amounts.base_shipping)));
        put("cost_ex_tax", json!(four_decimals(amounts.shipping.ex)));
        put("cost_inc_tax", json!(four_decimals(amounts.shipping.inc)));
        put("cost_tax", json!(four_decimals(amounts.shipping.tax())));
        put("cost_tax_class_id", json!(0));
        put("base_handling_cost", json!(four_decimals(amounts.base_handling)));
        put("handling_cost_ex_tax", json!(four_decimals(amounts.handling.ex)));
        put("handling_cost_inc_tax", json!(four_decimals(amounts.handling.inc)));
        put("handling_cost_tax", json!(four_decimals(amounts.handling.tax())));
        put("handling_cost_tax_class_id", json!(0));
        put("shipping_zone_id", json!(1));
        put("shipping_zone_name", json!(address.contact.country));
        put(
            "shipping_quotes",
            json!({"url": format!("https://api.bigcommerce.com/stores/{STORE_HASH}/v2{quotes}"), "resource": quotes}),
        );
        put("form_fields", json!([]));
    }
    body
}

/// A parcel as `orders/{id}/shipments` shows it.
pub fn shipment_json(order: &Order, shipment: &Shipment) -> Value {
    let product_of =
        |id: i64| order.lines.iter().find(|line| line.id == id).map_or(0, |line| line.product_id);
    let items: Vec<_> = shipment
        .items
        .iter()
        .map(|(id, count)| json!({"order_product_id": id, "product_id": product_of(*id), "quantity": count}))
        .collect();
    let address = order.addresses.iter().find(|address| address.id == shipment.address_id);
    let generated = if shipment.tracking_link.is_empty() && !shipment.tracking_number.is_empty() {
        format!("https://bc-track.aftership.com/{}", shipment.tracking_number)
    } else {
        String::new()
    };
    json!({
        "id": shipment.id,
        "order_id": order.id,
        "customer_id": order.customer_id,
        "order_address_id": shipment.address_id,
        "date_created": date(shipment.created),
        "tracking_number": shipment.tracking_number,
        "merchant_shipping_cost": four_decimals(shipment.cost),
        "shipping_method": shipment.method,
        "comments": shipment.comments,
        "shipping_provider": shipment.provider,
        "shipping_provider_display_name": shipment.provider.to_uppercase(),
        "tracking_carrier": shipment.tracking_carrier,
        "tracking_link": shipment.tracking_link,
        "generated_tracking_link": generated,
        "billing_address": contact_json(&order.billing),
        "shipping_address": address.map_or_else(|| contact_json(&order.billing), |address| contact_json(&address.contact)),
        "items": items,
    })
}

/// The store's profile.
pub fn store_json() -> Value {
    let body = json!({
        "id": STORE_HASH,
        "account_uuid": "11111111-2222-4333-8444-555555555555",
        "domain": "eider-test-goods.example",
        "secure_url": "https://eider-test-goods.example",
        "control_panel_base_url": format!("https://store-{STORE_HASH}.mybigcommerce.com"),
        "status": "live",
        "name": "Eider Test Goods",
        "first_name": "Jane",
        "last_name": "Doe",
        "address": "1 Harbour Way\nPortland, Oregon 97201",
        "country": "United States",
        "country_code": "US",
        "infrastructure_region": "us-central1",
        "phone": "",
        "admin_email": "owner@example.com",
        "order_email": "orders@example.com",
        "favicon_url": "",
        "timezone": {
            "name": "America/Chicago",
            "raw_offset": -21_600,
            "dst_offset": -18_000,
            "dst_correction": true,
            "date_format": {"display": "M jS Y", "export": "M jS Y", "extended_display": "M jS Y @ g:i A"},
        },
        "language": "en",
    });
    let rest = json!({
        "currency": "USD",
        "currency_symbol": "$",
        "decimal_separator": ".",
        "thousands_separator": ",",
        "decimal_places": 2,
        "currency_symbol_location": "left",
        "weight_units": "Ounces",
        "dimension_units": "Inches",
        "dimension_decimal_places": 2,
        "dimension_decimal_token": ".",
        "dimension_thousands_token": ",",
        "plan_name": "Standard",
        "plan_level": "Standard",
        "plan_is_trial": false,
        "industry": "",
        "logo": [],
        "is_price_entered_with_tax": false,
        "store_id": 1_000_001,
        "default_channel_id": 1,
        "default_site_id": 1000,
        "active_comparison_modules": [],
        "features": {
            "stencil_enabled": true,
            "sitewidehttps_enabled": true,
            "facebook_catalog_id": "",
            "checkout_type": "optimized",
            "wishlists_enabled": false,
            "graphql_storefront_api_enabled": true,
            "shopper_consent_tracking_enabled": false,
            "multi_storefront_enabled": false,
            "storefront_limits": {"active": 1, "total_including_inactive": 1},
        },
    });
    joined(body, rest)
}

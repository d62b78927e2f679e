//! Amazon's answers, field by field as its specifications have them. Nothing here changes state.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::money::two_decimals;
use super::super::people::{Person, person};
use super::{Amazon, Canceller, Line, Listing, Order, Package, Status};
use crate::clock::shifted;

/// An instant as Amazon writes it.
pub fn instant(at: Timestamp) -> String {
    format!("{:.3}", at)
}

/// Which data sets a caller asked for.
#[derive(Debug, Clone, Default)]
pub struct Included(pub Vec<String>);

impl Included {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|included| included == name)
    }
}

impl Amazon {
    /// An order with the data sets that were asked for.
    pub(super) fn order_json(&self, order: &Order, included: &Included, now: Timestamp) -> Value {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        put("orderId", json!(order.id));
        put("createdTime", json!(instant(order.placed)));
        put("lastUpdatedTime", json!(instant(order.updated)));
        if order.is_business {
            put("programs", json!(["AMAZON_BUSINESS"]));
        } else if order.is_fba {
            put("programs", json!(["PRIME"]));
        }
        let name = if order.is_foreign { "Amazon.ca" } else { "Amazon.com" };
        put(
            "salesChannel",
            json!({"channelName": "AMAZON", "marketplaceId": order.marketplace(), "marketplaceName": name}),
        );
        if included.has("FULFILLMENT") {
            put("fulfillment", fulfillment(order));
        }
        let is_settled = order.status != Status::Pending && order.is_paid;
        if is_settled && included.has("BUYER") && !order.is_fba {
            put("buyer", self.buyer(order));
        }
        if is_settled && included.has("RECIPIENT") {
            put("recipient", self.recipient(order));
        }
        if is_settled && included.has("PROCEEDS") {
            put("proceeds", order_proceeds(order));
        }
        if is_settled && included.has("PAYMENT") {
            let amount = money(order.total(), order.currency());
            put(
                "payment",
                json!({"paymentExecutions": [{"paymentMethod": "CreditCard", "paymentAmount": amount}]}),
            );
        }
        if included.has("PACKAGES") && !order.packages.is_empty() {
            put("packages", order.packages.iter().map(package).collect());
        }
        let items = order.lines.iter().filter_map(|line| self.item_json(order, line, included, now));
        put("orderItems", items.collect());
        Value::Object(body)
    }

    fn item_json(&self, order: &Order, line: &Line, included: &Included, now: Timestamp) -> Option<Value> {
        let listing = self.listings.get(line.listing)?;
        let is_settled = order.status != Status::Pending && order.is_paid;
        let mut product = json!({
            "asin": listing.asin,
            "title": listing.title,
            "sellerSku": listing.sku,
            "condition": {"conditionType": "NEW", "conditionSubtype": "NEW"},
        });
        if is_settled && let Some(product) = product.as_object_mut() {
            let mut price = json!({"unitPrice": money(line.unit, order.currency())});
            if order.is_business
                && let Some(price) = price.as_object_mut()
            {
                price.insert("priceDesignation".to_owned(), json!("BUSINESS_PRICE"));
            }
            product.insert("price".to_owned(), price);
            if line.is_customised && !order.is_fba {
                let link = self.design_link(&order.id, &line.id, now);
                product.insert("customization".to_owned(), json!({"customizedUrl": link}));
            }
        }
        let mut item = Map::new();
        let mut put = |name: &str, value: Value| {
            item.insert(name.to_owned(), value);
        };
        put("orderItemId", json!(line.id));
        put("quantityOrdered", json!(line.quantity));
        put("product", product);
        if is_settled && included.has("PROCEEDS") {
            put("proceeds", item_proceeds(line, order.currency()));
        }
        if included.has("PROMOTION")
            && let Some(promotion) = &line.promotion
        {
            put("promotion", json!({"breakdowns": [{"promotionId": promotion}]}));
        }
        if included.has("CANCELLATION")
            && let Some(cancellation) = cancellation(order, line)
        {
            put("cancellation", cancellation);
        }
        if included.has("FULFILLMENT") {
            put("fulfillment", item_fulfillment(order, line));
        }
        if is_settled && included.has("TAX") && order.is_tax_withheld && line.tax() > 0 {
            let party = if order.is_foreign { "Amazon.com.ca ULC" } else { "Amazon Services, Inc." };
            put(
                "tax",
                json!({"taxCollections": [{"model": "MARKETPLACE_FACILITATOR", "responsibleParty": party}]}),
            );
        }
        Some(Value::Object(item))
    }

    fn buyer(&self, order: &Order) -> Value {
        let buyer = person(self.seed, order.buyer);
        let mut body = json!({"buyerName": buyer.full_name(), "buyerEmail": buyer.relay_email});
        if order.is_business
            && let Some(body) = body.as_object_mut()
        {
            let company = if buyer.company.is_empty() { "Wide World Importers" } else { &buyer.company };
            body.insert("buyerCompanyName".to_owned(), json!(company));
            body.insert("buyerPurchaseOrderNumber".to_owned(), json!(format!("PO-{}", order.buyer + 10_000)));
        }
        body
    }

    /// Where the parcel goes. Of orders that Amazon ships, the seller sees the place only.
    fn recipient(&self, order: &Order) -> Value {
        let who = person(self.seed, order.recipient);
        let place = json!({
            "city": who.city,
            "stateOrRegion": who.state,
            "postalCode": who.zip,
            "countryCode": who.country_code,
        });
        if order.is_fba {
            return json!({"deliveryAddress": place});
        }
        json!({"deliveryAddress": full_address(&who, place)})
    }

    /// A listing with the data sets that were asked for.
    pub(super) fn listing_json(&self, listing: &Listing, included: &Included) -> Value {
        let mut body = json!({"sku": listing.sku});
        let Some(item) = body.as_object_mut() else { return body };
        if included.has("summaries") {
            let status = if listing.quantity > 0 {
                json!(["BUYABLE", "DISCOVERABLE"])
            } else {
                json!(["DISCOVERABLE"])
            };
            let summary = json!({
                "marketplaceId": super::MARKETPLACE_US,
                "asin": listing.asin,
                "productType": "HOME",
                "conditionType": "new_new",
                "status": status,
                "itemName": listing.title,
                "createdDate": instant(listing.created),
                "lastUpdatedDate": instant(listing.updated),
            });
            item.insert("summaries".to_owned(), json!([summary]));
        }
        if included.has("offers") {
            let offer = json!({
                "marketplaceId": super::MARKETPLACE_US,
                "offerType": "B2C",
                "price": money(listing.price, "USD"),
            });
            item.insert("offers".to_owned(), json!([offer]));
        }
        if included.has("fulfillmentAvailability") {
            let availability = if listing.is_fba {
                json!({"fulfillmentChannelCode": "AMAZON_NA"})
            } else {
                json!({"fulfillmentChannelCode": "DEFAULT", "quantity": listing.quantity})
            };
            item.insert("fulfillmentAvailability".to_owned(), json!([availability]));
        }
        if included.has("issues") {
            item.insert("issues".to_owned(), json!([]));
        }
        body
    }
}

fn money(cents: i64, currency: &str) -> Value {
    json!({"amount": two_decimals(cents), "currencyCode": currency})
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pending => "PENDING",
        Status::Unshipped => "UNSHIPPED",
        Status::PartiallyShipped => "PARTIALLY_SHIPPED",
        Status::Shipped => "SHIPPED",
        Status::Cancelled => "CANCELLED",
    }
}

/// Whether an order's status is called `word`.
pub fn is_status(status: Status, word: &str) -> bool {
    status_word(status) == word
}

fn fulfillment(order: &Order) -> Value {
    let later = |hours: i64| instant(shifted(order.placed, SignedDuration::from_hours(hours)));
    let mut body = json!({
        "fulfillmentStatus": status_word(order.status),
        "fulfilledBy": if order.is_fba { "AMAZON" } else { "MERCHANT" },
        "fulfillmentServiceLevel": order.service,
    });
    if order.status != Status::Pending
        && let Some(body) = body.as_object_mut()
    {
        body.insert(
            "shipByWindow".to_owned(),
            json!({"earliestDateTime": later(0), "latestDateTime": later(48)}),
        );
        body.insert(
            "deliverByWindow".to_owned(),
            json!({"earliestDateTime": later(72), "latestDateTime": later(168)}),
        );
    }
    body
}

fn item_fulfillment(order: &Order, line: &Line) -> Value {
    let fulfilled = order.fulfilled(line);
    let left = if order.status == Status::Cancelled { 0 } else { line.quantity - fulfilled };
    let mut body = json!({"quantityFulfilled": fulfilled, "quantityUnfulfilled": left});
    if let (Some(message), Some(body)) = (&line.gift_message, body.as_object_mut()) {
        let mut gift = json!({"giftMessage": message});
        if line.gift > 0
            && let Some(gift) = gift.as_object_mut()
        {
            gift.insert("giftWrapLevel".to_owned(), json!("Premium Gift Wrap"));
        }
        body.insert("packing".to_owned(), json!({"giftOption": gift}));
    }
    body
}

fn order_proceeds(order: &Order) -> Value {
    let currency = order.currency();
    let sum = |part: fn(&Line) -> i64| order.lines.iter().map(part).sum::<i64>();
    let breakdowns = parts([
        ("ITEM", sum(Line::item)),
        ("SHIPPING", sum(|line| line.shipping)),
        ("GIFT_WRAP", sum(|line| line.gift)),
        ("DISCOUNT", -sum(Line::discounts)),
        ("TAX", sum(Line::tax)),
    ])
    .map(|(kind, amount)| json!({"type": kind, "subtotal": money(amount, currency)}));
    json!({"grandTotal": money(order.total(), currency), "breakdowns": breakdowns.collect::<Vec<_>>()})
}

fn item_proceeds(line: &Line, currency: &str) -> Value {
    let detail = |of: [(&'static str, i64); 3]| -> Vec<Value> {
        let shown = of.into_iter().filter(|(_, amount)| *amount != 0);
        shown.map(|(kind, amount)| json!({"subtype": kind, "value": money(amount, currency)})).collect()
    };
    let breakdowns = parts([
        ("ITEM", line.item()),
        ("SHIPPING", line.shipping),
        ("GIFT_WRAP", line.gift),
        ("DISCOUNT", -line.discounts()),
        ("TAX", line.tax()),
    ])
    .map(|(kind, amount)| {
        let details = match kind {
            "DISCOUNT" => {
                detail([("ITEM", -line.discount), ("SHIPPING", -line.shipping_discount), ("OTHER", 0)])
            }
            "TAX" => detail([
                ("ITEM", line.item_tax),
                ("SHIPPING", line.shipping_tax),
                ("GIFT_WRAP", line.gift_tax),
            ]),
            _ => Vec::new(),
        };
        let mut body = json!({"type": kind, "subtotal": money(amount, currency)});
        if !details.is_empty()
            && let Some(body) = body.as_object_mut()
        {
            body.insert("detailedBreakdowns".to_owned(), Value::Array(details));
        }
        body
    });
    json!({"proceedsTotal": money(line.total(), currency), "breakdowns": breakdowns.collect::<Vec<_>>()})
}

/// The parts that are not zero; the goods always.
fn parts(all: [(&'static str, i64); 5]) -> impl Iterator<Item = (&'static str, i64)> {
    all.into_iter().filter(|(kind, amount)| *kind == "ITEM" || *amount != 0)
}

/// Who asked for an item's cancellation, and who did it.
fn cancellation(order: &Order, line: &Line) -> Option<Value> {
    let mut body = Map::new();
    if order.unwanted.contains(&line.id) {
        let request = json!({"requester": "BUYER", "cancelReason": "Ordered by mistake"});
        body.insert("cancellationRequest".to_owned(), request);
    }
    if let Some(by) = order.cancelled_by {
        body.insert("cancellationExecution".to_owned(), execution(by));
    }
    (!body.is_empty()).then_some(Value::Object(body))
}

fn execution(by: Canceller) -> Value {
    match by {
        Canceller::Buyer => json!({"cancelledBy": "BUYER", "cancelReason": "Ordered by mistake"}),
        Canceller::Merchant => json!({"cancelledBy": "MERCHANT", "cancelReason": "No inventory"}),
        Canceller::Amazon => json!({"cancelledBy": "AMAZON", "cancelReason": "Payment was not received"}),
    }
}

fn package(package: &Package) -> Value {
    let items: Vec<_> =
        package.items.iter().map(|(id, count)| json!({"orderItemId": id, "quantity": count})).collect();
    let mut body = json!({
        "packageReferenceId": package.reference,
        "createdTime": instant(package.created),
        "packageStatus": {"status": "SHIPPED"},
        "carrier": package.carrier,
        "shipTime": instant(package.shipped),
        "shippingService": package.method,
        "packageItems": items,
    });
    if let (Some(tracking), Some(body)) = (&package.tracking, body.as_object_mut()) {
        body.insert("trackingNumber".to_owned(), json!(tracking));
    }
    body
}

fn full_address(who: &Person, place: Value) -> Value {
    let mut body = place;
    if let Some(body) = body.as_object_mut() {
        body.insert("name".to_owned(), json!(who.full_name()));
        body.insert("addressLine1".to_owned(), json!(who.street_1));
        body.insert("phone".to_owned(), json!(who.phone));
        if !who.street_2.is_empty() {
            body.insert("addressLine2".to_owned(), json!(who.street_2));
        }
        if who.company.is_empty() {
            body.insert("addressType".to_owned(), json!("RESIDENTIAL"));
        } else {
            body.insert("companyName".to_owned(), json!(who.company));
            body.insert("addressType".to_owned(), json!("COMMERCIAL"));
        }
    }
    body
}

//! Etsy's words into ours and back. Pure: no call, no clock.
//!
//! Etsy escapes texts for HTML pages (`don&#39;t`) and writes statuses in any case. Its time of the last change is in
//! whole seconds and stands still where an order is cancelled or money given back: see [`changed_at`].

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::super::error::{ChannelError, RejectKind, Unreadable};
use super::wire;
use crate::domain::customer::{Address, Buyer, People};
use crate::domain::listing::ListingFacts;
use crate::domain::money::{Currency, Money, minor_exact};
use crate::domain::order::{FulfilledBy, LineFacts, OrderFacts, OrderStatus, Origin};
use crate::domain::refund::GivenBack;
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts};

mod amounts;
mod refunds;

/// Reads one receipt.
///
/// # Errors
/// Where it lies and what is wrong, for a receipt that cannot be used.
pub fn order(payload: &str) -> Result<OrderFacts, Unreadable> {
    let receipt: wire::Receipt = parsed(payload)?;
    let place: wire::Place = parsed(payload)?;
    let external_id = place.receipt_id.clone().ok_or_else(|| missing("receipt_id"))?;
    let placed_at =
        instant("create_timestamp", placed_second(&place))?.ok_or_else(|| missing("create_timestamp"))?;
    let updated_second = updated_second(&place);
    let currency = currency(&receipt)?;
    let status = status(&receipt);
    let lines = lines(&receipt, status, currency)?;
    let (total_minor, amounts) = amounts::read(&receipt, currency)?;
    let first_text = |text: fn(&wire::Transaction) -> Option<&String>| {
        receipt.transactions.iter().find_map(text).map(|text| plain(text))
    };
    let ship_by = receipt.transactions.iter().filter_map(|one| one.expected_ship_date).min();
    let refunds = refunds::read(&receipt, currency, &lines)?;
    Ok(OrderFacts {
        external_id,
        placed_at,
        updated_at: changed_at(&receipt, status, updated_second, placed_at)?,
        status,
        is_paid: is_paid(&receipt),
        fulfilled_by: fulfilled_by(&receipt),
        currency,
        total_minor,
        lines,
        amounts,
        shipments: receipt.shipments.as_deref().map(shipments).transpose()?,
        people: people(&receipt, status),
        shipping_method: first_text(|one| one.shipping_upgrade.as_ref().or(one.shipping_method.as_ref())),
        payment_method: receipt.payment_method.clone(),
        site: None,
        ship_by: instant("transactions[].expected_ship_date", ship_by)?,
        deliver_by: None,
        origin: Origin::default(),
        platform_status: platform_status(&receipt, currency, &refunds),
        cancel_request: None,
        customised_lines: Vec::new(),
        refunds: Some(refunds),
    })
}

fn parsed<'a, T: serde::Deserialize<'a>>(payload: &'a str) -> Result<T, Unreadable> {
    serde_json::from_str(payload)
        .map_err(|error| unreadable(format!("line {} column {}", error.line(), error.column()), error))
}

fn unreadable(place: impl Into<String>, what: impl ToString) -> Unreadable {
    Unreadable { place: place.into(), what: what.to_string() }
}

fn missing(place: &str) -> Unreadable {
    unreadable(place, "it is missing")
}

/// The id of a receipt that cannot be read, if it can be found.
#[must_use]
pub fn order_id(payload: &str) -> Option<String> {
    serde_json::from_str::<wire::Place>(payload).ok()?.receipt_id
}

/// When a receipt was placed, in seconds since 1970.
#[must_use]
pub fn placed_second(place: &wire::Place) -> Option<i64> {
    place.created_timestamp.or(place.create_timestamp)
}

/// When Etsy says that a receipt changed last, in seconds since 1970.
#[must_use]
pub fn updated_second(place: &wire::Place) -> Option<i64> {
    place.updated_timestamp.or(place.update_timestamp)
}

/// A second since 1970 as an instant; nothing where there is none.
///
/// # Errors
/// Where it is out of any calendar.
fn instant(place: &str, second: Option<i64>) -> Result<Option<Timestamp>, Unreadable> {
    second.map(|second| Timestamp::from_second(second).map_err(|error| unreadable(place, error))).transpose()
}

/// What tells older facts from newer: the latest time that the receipt names, and within that second how far it is.
/// Etsy lets its own time stand still where it cancels, so that a copy that lags behind would look as new as the
/// cancellation.
fn changed_at(
    receipt: &wire::Receipt,
    status: OrderStatus,
    updated_second: Option<i64>,
    placed_at: Timestamp,
) -> Result<Timestamp, Unreadable> {
    let refunds = receipt.refunds.iter().filter_map(|refund| refund.created_timestamp);
    let parcels = receipt.shipments.iter().flatten().filter_map(|one| one.shipment_notification_timestamp);
    let latest = updated_second.into_iter().chain(refunds).chain(parcels).max();
    let latest = instant("update_timestamp", latest)?.unwrap_or(placed_at);
    let step = OrderStatus::ALL.iter().position(|known| *known == status).unwrap_or_default();
    let step = i64::try_from(step).unwrap_or_default();
    Ok(latest.checked_add(SignedDuration::from_millis(step)).unwrap_or(latest))
}

/// A text without its HTML escapes. A bare `&copy` inside a word stays: it is no escape of Etsy's.
#[must_use]
pub fn plain(text: &str) -> String {
    htmlize::unescape_attribute(text).into_owned()
}

fn plain_opt(text: Option<&String>) -> Option<String> {
    text.map(|text| plain(text)).filter(|text| !text.trim().is_empty())
}

fn flag(word: Option<&String>) -> Option<bool> {
    match word?.to_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn word(receipt: &wire::Receipt) -> String {
    receipt.status.as_deref().unwrap_or_default().trim().to_lowercase().replace('_', " ")
}

/// Etsy's booleans are steadier than its words; a word counts where they are absent, and where only it says that
/// nothing will ship.
fn status(receipt: &wire::Receipt) -> OrderStatus {
    let word = word(receipt);
    let is_shipped = flag(receipt.is_shipped.as_ref()).unwrap_or(word == "completed");
    match word.as_str() {
        "canceled" | "cancelled" => return OrderStatus::Cancelled,
        // What was given back in full before it left never leaves.
        "fully refunded" if !is_shipped => return OrderStatus::Cancelled,
        _ => {}
    }
    match (is_paid(receipt), is_shipped) {
        (_, true) => OrderStatus::Shipped,
        (true, false) => OrderStatus::Open,
        (false, false) => OrderStatus::Pending,
    }
}

fn is_paid(receipt: &wire::Receipt) -> bool {
    let says_so =
        || matches!(word(receipt).as_str(), "paid" | "completed" | "fully refunded" | "partially refunded");
    flag(receipt.is_paid.as_ref()).unwrap_or_else(says_so)
}

/// Etsy's own word, and what was given back.
fn platform_status(receipt: &wire::Receipt, currency: Currency, given_back: &GivenBack) -> String {
    let word = receipt.status.clone().unwrap_or_else(|| "unknown".to_owned());
    let own = given_back.refunds.iter().filter(|refund| refund.currency == currency);
    match own.map(|refund| refund.total_minor).fold(0, i64::saturating_add) {
        0 => word,
        minor => format!("{word}, {} refunded", Money { minor, currency }),
    }
}

/// Etsy hands out files itself: an order of files alone needs no address and no parcel.
fn fulfilled_by(receipt: &wire::Receipt) -> FulfilledBy {
    let is_digital = |one: &wire::Transaction| flag(one.is_digital.as_ref()) == Some(true);
    if !receipt.transactions.is_empty() && receipt.transactions.iter().all(is_digital) {
        FulfilledBy::Platform
    } else {
        FulfilledBy::Seller
    }
}

/// The receipt's currency: of the total, else of any price.
fn currency(receipt: &wire::Receipt) -> Result<Currency, Unreadable> {
    let totals = [&receipt.grandtotal, &receipt.total_price].into_iter().flatten();
    let prices = receipt.transactions.iter().filter_map(|one| one.price.as_ref());
    let code = totals.chain(prices).find_map(|money| money.currency_code.as_deref());
    let code = code.ok_or_else(|| missing("grandtotal.currency_code"))?;
    code.parse().map_err(|error| unreadable("grandtotal.currency_code", error))
}

/// Money as a decimal number of major units.
fn decimal(money: &wire::Money, place: &str) -> Result<Option<Decimal>, Unreadable> {
    let Some(amount) = money.amount else { return Ok(None) };
    let divisor = money.divisor.unwrap_or(100);
    let exact = Decimal::from(amount).checked_div(Decimal::from(divisor));
    exact.map(Some).ok_or_else(|| unreadable(place, format!("nothing can be divided by {divisor}")))
}

/// Minor units of money that must be in the receipt's currency.
fn minor(money: Option<&wire::Money>, currency: Currency, place: &str) -> Result<Option<i64>, Unreadable> {
    let Some(money) = money else { return Ok(None) };
    if let Some(code) = money.currency_code.as_deref().filter(|code| *code != currency.code()) {
        return Err(unreadable(place, format!("it is in {code}, the order in {currency}")));
    }
    let Some(amount) = decimal(money, place)? else { return Ok(None) };
    minor_exact(amount, currency).map(Some).map_err(|error| unreadable(place, error))
}

fn lines(
    receipt: &wire::Receipt,
    status: OrderStatus,
    currency: Currency,
) -> Result<Vec<LineFacts>, Unreadable> {
    let is_shipped = status == OrderStatus::Shipped;
    let read = |(index, one): (usize, &wire::Transaction)| {
        let place = format!("transactions[{index}]");
        let quantity = one.quantity.ok_or_else(|| missing(&format!("{place}.quantity")))?;
        let sku = plain_opt(one.sku.as_ref());
        let title = plain_opt(one.title.as_ref()).or_else(|| sku.clone());
        let price_place = format!("{place}.price");
        // Checked here, so that a price in another currency is seen even where the amounts do not need it.
        minor(one.price.as_ref(), currency, &price_place)?;
        let unit_price = one.price.as_ref().map(|price| decimal(price, &price_place)).transpose()?;
        Ok(LineFacts {
            external_id: one
                .transaction_id
                .clone()
                .ok_or_else(|| missing(&format!("{place}.transaction_id")))?,
            sku,
            product_id: one.listing_id.clone(),
            title: title.unwrap_or_else(|| "untitled".to_owned()),
            quantity,
            quantity_shipped: if is_shipped { quantity } else { 0 },
            quantity_cancelled: if status == OrderStatus::Cancelled { quantity } else { 0 },
            unit_price: unit_price.flatten(),
            options: options(one),
        })
    };
    receipt.transactions.iter().enumerate().map(read).collect()
}

/// What the buyer chose and wrote: `Size: Large; Personalization: For Ann`.
fn options(transaction: &wire::Transaction) -> Option<String> {
    let text = |variation: &wire::Variation| {
        let value = plain_opt(variation.formatted_value.as_ref())?;
        Some(match plain_opt(variation.formatted_name.as_ref()) {
            Some(name) => format!("{name}: {value}"),
            None => value,
        })
    };
    let texts: Vec<String> = transaction.variations.iter().filter_map(text).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Everything about people. Where Etsy withholds the address, an order that waits for shipment says so by having none,
/// and one that is over says nothing, so that what we hold stays.
fn people(receipt: &wire::Receipt, status: OrderStatus) -> Option<People> {
    let address = address(receipt);
    let is_over = matches!(status, OrderStatus::Shipped | OrderStatus::Cancelled);
    let is_withheld = address.as_ref().is_none_or(Address::is_unusable);
    if is_withheld && is_over && fulfilled_by(receipt) == FulfilledBy::Seller {
        return None;
    }
    let sender = plain_opt(receipt.gift_sender.as_ref());
    let message = plain_opt(receipt.gift_message.as_ref());
    Some(People {
        buyer: Buyer {
            external_id: receipt.buyer_user_id.clone(),
            name: plain_opt(receipt.name.as_ref()),
            email: receipt.buyer_email.clone(),
            company: None,
            purchase_order_number: None,
        },
        ship_to: address,
        bill_to: None,
        buyer_note: plain_opt(receipt.message_from_buyer.as_ref()),
        gift_message: match (message, sender) {
            (Some(message), Some(sender)) => Some(format!("{message}\n{sender}")),
            (message, _) => message,
        },
        delivery_instructions: None,
    })
}

fn address(receipt: &wire::Receipt) -> Option<Address> {
    let street = [&receipt.first_line, &receipt.second_line];
    let address = Address {
        name: plain_opt(receipt.name.as_ref()),
        company: None,
        street: street.into_iter().filter_map(|line| plain_opt(line.as_ref())).collect(),
        city: plain_opt(receipt.city.as_ref()),
        region: plain_opt(receipt.state.as_ref()),
        postal_code: plain_opt(receipt.zip.as_ref()),
        country: receipt.country_iso.as_ref().map(|code| code.to_uppercase()),
        phone: None,
    };
    let is_empty = Address { name: None, ..address.clone() } == Address::default();
    (!is_empty).then_some(address)
}

/// The parcels that Etsy told the buyer of. It does not say what is in them.
///
/// # Errors
/// Where a time is out of any calendar.
pub fn shipments(listed: &[wire::Shipment]) -> Result<Vec<ShipmentFacts>, Unreadable> {
    let read = |(index, one): (usize, &wire::Shipment)| {
        let by_place = || format!("shipment {}", index + 1);
        let id = one.receipt_shipping_id.clone().or_else(|| one.tracking_code.clone());
        Ok(ShipmentFacts {
            external_id: id.unwrap_or_else(by_place),
            carrier: plain_opt(one.carrier_name.as_ref()),
            service: None,
            tracking: plain_opt(one.tracking_code.as_ref()),
            shipped_at: instant(
                "shipments[].shipment_notification_timestamp",
                one.shipment_notification_timestamp,
            )?,
            lines: Vec::new(),
        })
    };
    listed.iter().enumerate().map(read).collect()
}

/// Carriers that Etsy knows by name, and the words that shops use for them, in lower case.
const CARRIERS: &[(&str, &[&str])] = &[
    ("USPS", &["usps", "us postal service", "united states postal service", "endicia", "stamps.com"]),
    ("UPS", &["ups", "united parcel service", "upsready", "upsonline"]),
    ("FedEx", &["fedex", "federal express"]),
    ("DHL", &["dhl", "dhl express"]),
    ("Canada Post", &["canada post", "canadapost"]),
    ("Royal Mail", &["royal mail", "royalmail"]),
    ("Parcelforce", &["parcelforce", "parcelforce worldwide"]),
    ("Evri", &["evri", "hermes"]),
    ("DPD", &["dpd"]),
    ("GLS", &["gls"]),
    ("Deutsche Post", &["deutsche post"]),
    ("La Poste", &["la poste"]),
    ("Colissimo", &["colissimo"]),
    ("Chronopost", &["chronopost"]),
    ("Correos", &["correos"]),
    ("Poste Italiane", &["poste italiane"]),
    ("PostNL", &["postnl"]),
    ("Australia Post", &["australia post", "auspost", "australia-post"]),
    ("Japan Post", &["japan post"]),
];

/// What Etsy takes for a carrier that it does not know.
const OTHER_CARRIER: &str = "other";

/// What `createReceiptShipment` takes.
///
/// # Errors
/// `Reject` where a part is missing, before any call is spent on it and any buyer gets a mail.
pub fn tracking_form(shipment: &ShipmentDraft) -> Result<Vec<(&'static str, String)>, ChannelError> {
    let missing = |what: &str| ChannelError::Reject {
        kind: RejectKind::Other,
        message: format!("Etsy takes no parcel without {what}; add it to the shipment in the shop"),
    };
    let present = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let carrier = present(&shipment.carrier).ok_or_else(|| missing("a carrier"))?;
    let tracking = present(&shipment.tracking).ok_or_else(|| missing("a tracking number"))?;
    let word = carrier.to_lowercase();
    let known = CARRIERS
        .iter()
        .find(|(name, words)| name.to_lowercase() == word || words.contains(&word.as_str()))
        .map(|(name, _)| (*name).to_owned());
    let is_known = known.is_some();
    let mut form = vec![
        ("tracking_code", tracking),
        ("carrier_name", known.unwrap_or_else(|| OTHER_CARRIER.to_owned())),
        // The seller knows already.
        ("send_bcc", "false".to_owned()),
    ];
    if !is_known && word != OTHER_CARRIER {
        // Under “other” the buyer could not tell who brings it.
        form.push(("note_to_buyer", format!("Shipped with {carrier}")));
    }
    Ok(form)
}

/// A listing's variants, one by one; itself where Etsy gave no inventory.
#[must_use]
pub fn listings(listing: &wire::Listing) -> Vec<ListingFacts> {
    let Some(listing_id) = listing.listing_id.clone() else { return Vec::new() };
    let title = plain_opt(listing.title.as_ref());
    let is_digital = listing.listing_type.as_deref() == Some("download");
    let fulfilled_by = if is_digital { FulfilledBy::Platform } else { FulfilledBy::Seller };
    let facts = |external_id: String, sku: Option<String>, quantity, price: Option<&wire::Money>| {
        let currency: Option<Currency> = price.and_then(|price| price.currency_code.as_deref()?.parse().ok());
        ListingFacts {
            external_id,
            product_id: Some(listing_id.clone()),
            sku,
            title: title.clone(),
            quantity,
            price_minor: currency.and_then(|currency| minor(price, currency, "price").ok().flatten()),
            currency: currency.map(|currency| currency.code().to_owned()),
            fulfilled_by,
        }
    };
    let products = listing.inventory.as_ref().map(|inventory| inventory.products.as_slice());
    let is_gone = |word: &Option<String>| flag(word.as_ref()) == Some(true);
    let variants: Vec<ListingFacts> = products
        .unwrap_or_default()
        .iter()
        .filter(|product| !is_gone(&product.is_deleted))
        .filter_map(|product| {
            let offering = product.offerings.iter().find(|offering| !is_gone(&offering.is_deleted));
            let price = offering.and_then(|offering| offering.price.as_ref());
            let quantity = offering.and_then(|offering| offering.quantity);
            let values = product.property_values.iter().flat_map(|property| &property.values);
            let values: Vec<String> = values.map(|value| plain(value)).collect();
            let mut facts =
                facts(product.product_id.clone()?, plain_opt(product.sku.as_ref()), quantity, price);
            if let Some(title) = facts.title.as_mut().filter(|_| !values.is_empty()) {
                *title = format!("{title} - {}", values.join(", "));
            }
            Some(facts)
        })
        .collect();
    if !variants.is_empty() {
        return variants;
    }
    let sku = plain_opt(listing.skus.first());
    vec![facts(listing_id.clone(), sku, listing.quantity, listing.price.as_ref())]
}

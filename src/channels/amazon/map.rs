//! Amazon's words into ours and back. Pure: no call, no clock.
//!
//! The hard part is money: [`amounts`] says how Amazon's proceeds become typed amounts that sum to the total.

use jiff::Timestamp;

use super::super::error::{ChannelError, RejectKind, Unreadable};
use super::config::currency_of_marketplace;
use super::wire;
use crate::domain::customer::{Address, Buyer, People};
use crate::domain::listing::ListingFacts;
use crate::domain::money::{Currency, minor_exact, parse_decimal};
use crate::domain::order::{CancelRequest, FulfilledBy, LineFacts, OrderFacts, OrderStatus, Origin};
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts, ShippedLine};

mod amounts;

/// What a line says of a design that lies in an archive, on pages and in the shop order.
const CUSTOMISED: &str = "Customised by the buyer: the archive is kept with this order in Eider";

/// Reads one order.
///
/// # Errors
/// Where it lies and what is wrong, for an order that cannot be used.
pub fn order(payload: &str) -> Result<OrderFacts, Unreadable> {
    let order: wire::Order = serde_json::from_str(payload)
        .map_err(|error| unreadable(format!("line {} column {}", error.line(), error.column()), error))?;
    let external_id = order.order_id.clone().ok_or_else(|| unreadable("orderId", "it is missing"))?;
    let placed_at = instant("createdTime", order.created_time.as_deref())?
        .ok_or_else(|| unreadable("createdTime", "it is missing"))?;
    let updated_at = instant("lastUpdatedTime", order.last_updated_time.as_deref())?.unwrap_or(placed_at);
    let fulfillment = order.fulfillment.as_ref();
    let word = fulfillment.and_then(|fulfillment| fulfillment.fulfillment_status.clone());
    let status = status(word.as_deref(), &order.order_items);
    let is_paid = is_paid(status, &order);
    let currency = currency(&order)?;
    let lines = lines(&order, status, currency)?;
    let (total_minor, amounts) =
        if is_paid { amounts::read(&order, &lines, currency)? } else { (0, Vec::new()) };
    let window = |range: Option<&wire::TimeRange>, place| {
        instant(place, range.and_then(|range| range.latest_date_time.as_deref()))
    };
    Ok(OrderFacts {
        external_id,
        placed_at,
        updated_at,
        status,
        is_paid,
        fulfilled_by: fulfilled_by(&order),
        currency,
        total_minor,
        lines,
        amounts,
        shipments: order.packages.as_deref().map(shipments).transpose()?,
        people: people(&order),
        shipping_method: fulfillment.and_then(|fulfillment| fulfillment.fulfillment_service_level.clone()),
        payment_method: order
            .payment
            .as_ref()
            .and_then(|payment| payment.payment_executions.iter().find_map(|one| one.payment_method.clone())),
        site: order.sales_channel.as_ref().and_then(|channel| channel.marketplace_id.clone()),
        ship_by: window(
            fulfillment.and_then(|fulfillment| fulfillment.ship_by_window.as_ref()),
            "fulfillment.shipByWindow",
        )?,
        deliver_by: window(
            fulfillment.and_then(|fulfillment| fulfillment.deliver_by_window.as_ref()),
            "fulfillment.deliverByWindow",
        )?,
        origin: Origin::default(),
        platform_status: word.unwrap_or_else(|| "unknown".to_owned()),
        cancel_request: cancel_request(&order.order_items),
        customised_lines: order
            .order_items
            .iter()
            .filter(|item| is_customised(item))
            .filter_map(|item| item.order_item_id.clone())
            .collect(),
        // Amazon's orders do not tell what went back.
        refunds: None,
    })
}

/// The id of an order that cannot be read, if it can be found.
#[must_use]
pub fn order_id(payload: &str) -> Option<String> {
    serde_json::from_str::<wire::OrderId>(payload).ok()?.order_id
}

/// An instant of the platform; nothing where there is none.
///
/// # Errors
/// Where the text is no instant.
pub fn instant(place: &str, text: Option<&str>) -> Result<Option<Timestamp>, Unreadable> {
    text.map(|text| text.parse().map_err(|error| unreadable(place, error))).transpose()
}

/// An instant as Amazon takes it.
#[must_use]
pub fn instant_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn unreadable(place: impl Into<String>, what: impl ToString) -> Unreadable {
    Unreadable { place: place.into(), what: what.to_string() }
}

/// Amazon's status. A word that we do not know says nothing of payment, so that such an order is no work
/// until it is known, unless Amazon says that units have been shipped.
fn status(word: Option<&str>, items: &[wire::OrderItem]) -> OrderStatus {
    match word {
        Some("PENDING" | "PENDING_AVAILABILITY") => OrderStatus::Pending,
        Some("UNSHIPPED") => OrderStatus::Open,
        Some("PARTIALLY_SHIPPED") => OrderStatus::PartShipped,
        Some("SHIPPED") => OrderStatus::Shipped,
        // Nobody will ever ship an order that Amazon calls unfulfillable.
        Some("CANCELLED" | "CANCELED" | "UNFULFILLABLE") => OrderStatus::Cancelled,
        _ => {
            let fulfilled: i64 = items.iter().map(fulfilled_quantity).sum();
            let ordered: i64 = items.iter().filter_map(|item| item.quantity_ordered).sum();
            match fulfilled {
                0 => OrderStatus::Pending,
                some if some < ordered => OrderStatus::PartShipped,
                _ => OrderStatus::Shipped,
            }
        }
    }
}

/// A cancelled order was paid only where Amazon tells of proceeds: most are cancelled before they are.
fn is_paid(status: OrderStatus, order: &wire::Order) -> bool {
    match status {
        OrderStatus::Pending => false,
        OrderStatus::Open | OrderStatus::PartShipped | OrderStatus::Shipped => true,
        OrderStatus::Cancelled => order
            .proceeds
            .as_ref()
            .and_then(|proceeds| proceeds.grand_total.as_ref()?.amount.as_deref())
            .and_then(|amount| parse_decimal(amount).ok())
            .is_some_and(|amount| !amount.is_zero()),
    }
}

fn fulfilled_by(order: &wire::Order) -> FulfilledBy {
    match order.fulfillment.as_ref().and_then(|fulfillment| fulfillment.fulfilled_by.as_deref()) {
        Some("AMAZON") => FulfilledBy::Platform,
        _ => FulfilledBy::Seller,
    }
}

/// The order's currency: of the total, else of any amount, else of the marketplace, since an unpaid order
/// carries no money at all.
fn currency(order: &wire::Order) -> Result<Currency, Unreadable> {
    let total = order.proceeds.as_ref().and_then(|proceeds| proceeds.grand_total.as_ref());
    let of_items = order.order_items.iter().flat_map(|item| {
        let proceeds = item.proceeds.as_ref().and_then(|proceeds| proceeds.proceeds_total.as_ref());
        [proceeds, unit_price(item)]
    });
    let code = total.into_iter().chain(of_items.flatten()).find_map(|money| money.currency_code.as_deref());
    if let Some(code) = code {
        return code.parse().map_err(|error| unreadable("proceeds.grandTotal.currencyCode", error));
    }
    let marketplace = order.sales_channel.as_ref().and_then(|channel| channel.marketplace_id.as_deref());
    marketplace
        .and_then(currency_of_marketplace)
        .ok_or_else(|| unreadable("salesChannel.marketplaceId", "no amount names a currency, nor does this"))
}

fn unit_price(item: &wire::OrderItem) -> Option<&wire::Money> {
    item.product.as_ref()?.price.as_ref()?.unit_price.as_ref()
}

/// Minor units of an amount that must be in the order's currency.
fn minor(money: Option<&wire::Money>, currency: Currency, place: &str) -> Result<Option<i64>, Unreadable> {
    let Some((money, amount)) = money.and_then(|money| Some((money, money.amount.as_deref()?))) else {
        return Ok(None);
    };
    match money.currency_code.as_deref() {
        Some(code) if code != currency.code() => {
            Err(unreadable(place, format!("it is in {code}, the order in {currency}")))
        }
        _ => parse_decimal(amount)
            .and_then(|amount| minor_exact(amount, currency))
            .map(Some)
            .map_err(|error| unreadable(place, error)),
    }
}

fn lines(order: &wire::Order, status: OrderStatus, currency: Currency) -> Result<Vec<LineFacts>, Unreadable> {
    let read = |(index, item): (usize, &wire::OrderItem)| {
        let place = format!("orderItems[{index}]");
        let product = item.product.as_ref();
        let quantity = item
            .quantity_ordered
            .ok_or_else(|| unreadable(format!("{place}.quantityOrdered"), "it is missing"))?;
        let sku = product.and_then(|product| product.seller_sku.clone());
        let title = product.and_then(|product| product.title.clone()).or_else(|| sku.clone());
        // Checked here, so that a price in another currency is seen even where the amounts do not need it.
        minor(unit_price(item), currency, &format!("{place}.product.price"))?;
        Ok(LineFacts {
            external_id: item
                .order_item_id
                .clone()
                .ok_or_else(|| unreadable(format!("{place}.orderItemId"), "it is missing"))?,
            product_id: product.and_then(|product| product.asin.clone()),
            title: title.unwrap_or_else(|| "untitled".to_owned()),
            sku,
            quantity,
            quantity_shipped: fulfilled_quantity(item),
            quantity_cancelled: cancelled_quantity(item, quantity, status),
            unit_price: unit_price(item).and_then(|money| parse_decimal(money.amount.as_deref()?).ok()),
            options: options(item),
        })
    };
    order.order_items.iter().enumerate().map(read).collect()
}

fn fulfilled_quantity(item: &wire::OrderItem) -> i64 {
    item.fulfillment.as_ref().and_then(|fulfillment| fulfillment.quantity_fulfilled).unwrap_or(0).max(0)
}

/// Amazon gives no number of cancelled units: they are what is neither fulfilled nor waiting, once Amazon says
/// that something was cancelled at all.
fn cancelled_quantity(item: &wire::OrderItem, ordered: i64, status: OrderStatus) -> i64 {
    let open = item.fulfillment.as_ref().and_then(|fulfillment| fulfillment.quantity_unfulfilled);
    let was_cancelled = item
        .cancellation
        .as_ref()
        .and_then(|cancellation| cancellation.cancellation_execution.as_ref())
        .is_some();
    let left = match (status, was_cancelled, open) {
        (OrderStatus::Cancelled, _, _) => ordered - fulfilled_quantity(item),
        (_, true, Some(open)) => ordered - fulfilled_quantity(item) - open,
        _ => 0,
    };
    left.clamp(0, ordered.max(0))
}

/// The items that the buyer asks to have cancelled. Amazon names nobody else who asks; what has been cancelled since is no
/// longer asked for. Its reason may be the buyer's own words, which stay among person data.
fn cancel_request(items: &[wire::OrderItem]) -> Option<CancelRequest> {
    let is_asked = |item: &&wire::OrderItem| {
        let open = item.cancellation.as_ref().filter(|one| one.cancellation_execution.is_none());
        let request = open.and_then(|one| one.cancellation_request.as_ref());
        request.is_some_and(|request| request.requester.as_deref().is_none_or(|word| word == "BUYER"))
    };
    let lines: Vec<String> =
        items.iter().filter(is_asked).filter_map(|item| item.order_item_id.clone()).collect();
    (!lines.is_empty()).then_some(CancelRequest { lines, reason: None })
}

fn gift(item: &wire::OrderItem) -> Option<&wire::GiftOption> {
    item.fulfillment.as_ref()?.packing.as_ref()?.gift_option.as_ref()
}

fn options(item: &wire::OrderItem) -> Option<String> {
    let wrap =
        gift(item).and_then(|gift| gift.gift_wrap_level.as_ref()).map(|level| format!("Gift wrap: {level}"));
    // Never the link itself: whoever has it sees what the buyer wrote and drew.
    let customisation = is_customised(item).then(|| CUSTOMISED.to_owned());
    let texts: Vec<String> = [wrap, customisation].into_iter().flatten().collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn is_customised(item: &wire::OrderItem) -> bool {
    let product = item.product.as_ref();
    product.and_then(|product| product.customization.as_ref()?.customized_url.as_ref()).is_some()
}

/// Where the archive of one line lies, in an order with its person data.
#[must_use]
pub fn customisation_link(payload: &str, external_line_id: &str) -> Option<String> {
    let order: wire::CustomisedOrder = serde_json::from_str(payload).ok()?;
    let item =
        order.order_items.into_iter().find(|item| item.order_item_id.as_deref() == Some(external_line_id));
    item?.product?.customization?.customized_url
}

/// Everything about people. None where the answer carries neither buyer nor recipient, which happens before
/// payment, for what Amazon ships, and after Amazon has taken them back: what we hold then stays.
fn people(order: &wire::Order) -> Option<People> {
    if order.buyer.is_none() && order.recipient.is_none() {
        return None;
    }
    let buyer = order.buyer.as_ref();
    let preference = order.recipient.as_ref().and_then(|recipient| recipient.delivery_preference.as_ref());
    let instructions = preference
        .map(|preference| {
            [preference.drop_off_location.as_deref(), preference.address_instruction.as_deref()]
        })
        .and_then(|texts| joined(texts.into_iter().flatten(), "; "));
    let messages = order.order_items.iter().filter_map(|item| gift(item)?.gift_message.as_deref());
    Some(People {
        buyer: Buyer {
            external_id: None,
            name: buyer.and_then(|buyer| buyer.buyer_name.clone()),
            email: buyer.and_then(|buyer| buyer.buyer_email.clone()),
            company: buyer.and_then(|buyer| buyer.buyer_company_name.clone()),
            purchase_order_number: buyer.and_then(|buyer| buyer.buyer_purchase_order_number.clone()),
        },
        ship_to: order
            .recipient
            .as_ref()
            .and_then(|recipient| recipient.delivery_address.as_ref())
            .map(address),
        bill_to: None,
        buyer_note: None,
        gift_message: joined(messages, "\n"),
        delivery_instructions: instructions,
    })
}

fn joined<'a>(texts: impl Iterator<Item = &'a str>, between: &str) -> Option<String> {
    let texts: Vec<&str> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(between))
}

fn address(address: &wire::Address) -> Address {
    let street = [&address.address_line1, &address.address_line2, &address.address_line3];
    Address {
        name: address.name.clone(),
        company: address.company_name.clone(),
        street: street.into_iter().flatten().cloned().collect(),
        city: address
            .city
            .clone()
            .or_else(|| address.municipality.clone())
            .or_else(|| address.district_or_county.clone()),
        region: address.state_or_region.clone(),
        postal_code: address.postal_code.clone(),
        country: address.country_code.as_ref().map(|code| code.to_uppercase()),
        phone: address.phone.clone(),
    }
}

/// Parcels that have left. One that is cancelled never will, and one that is pending has not yet: calling it
/// shipped would be false.
fn shipments(packages: &[wire::Package]) -> Result<Vec<ShipmentFacts>, Unreadable> {
    let has_left = |package: &&wire::Package| {
        let status = package.package_status.as_ref().and_then(|status| status.status.as_deref());
        !matches!(status, Some("CANCELLED" | "PENDING"))
    };
    let read = |package: &wire::Package| {
        let external_id = package
            .package_reference_id
            .clone()
            .or_else(|| package.tracking_number.clone())
            .ok_or_else(|| unreadable("packages[].packageReferenceId", "it is missing"))?;
        let line = |item: &wire::PackageItem| {
            Some(ShippedLine {
                external_line_id: item.order_item_id.clone()?,
                quantity: item.quantity.unwrap_or(0),
            })
        };
        Ok(ShipmentFacts {
            external_id,
            carrier: package.carrier.clone(),
            service: package.shipping_service.clone(),
            tracking: package.tracking_number.clone(),
            shipped_at: instant("packages[].shipTime", package.ship_time.as_deref())?,
            lines: package.package_items.iter().filter_map(line).collect(),
        })
    };
    packages.iter().filter(has_left).map(read).collect()
}

/// Carrier codes that Amazon knows, and the words that shops use for them, in lower case.
const CARRIERS: &[(&str, &[&str])] = &[
    ("UPS", &["ups", "united parcel service", "upsready", "upsonline"]),
    ("USPS", &["usps", "us postal service", "united states postal service", "endicia", "stamps.com"]),
    ("FedEx", &["fedex", "federal express"]),
    ("DHL", &["dhl", "dhl express"]),
    ("DHL eCommerce", &["dhl ecommerce"]),
    ("OnTrac", &["ontrac"]),
    ("Lasership", &["lasership"]),
    ("Canada Post", &["canada post", "canadapost"]),
    ("Purolator", &["purolator"]),
    ("Royal Mail", &["royal mail", "royalmail"]),
    ("Parcelforce", &["parcelforce", "parcelforce worldwide"]),
    ("Evri", &["evri"]),
    ("Yodel", &["yodel"]),
    ("DPD", &["dpd"]),
    ("GLS", &["gls"]),
    ("Hermes", &["hermes"]),
    ("Deutsche Post", &["deutsche post"]),
    ("TNT", &["tnt"]),
    ("La Poste", &["la poste"]),
    ("Colissimo", &["colissimo"]),
    ("Chronopost", &["chronopost"]),
    ("Correos", &["correos"]),
    ("SEUR", &["seur"]),
    ("Poste Italiane", &["poste italiane"]),
    ("BRT", &["brt", "bartolini"]),
    ("PostNL", &["postnl"]),
    ("Australia Post", &["australia post", "auspost", "australia-post"]),
    ("Japan Post", &["japan post"]),
    ("YamatoTransport", &["yamato", "yamato transport", "yamatotransport"]),
    ("SagawaExpress", &["sagawa", "sagawa express", "sagawaexpress"]),
];

/// Amazon's code for a shop's word for a carrier, if Amazon has one.
#[must_use]
pub fn known_carrier(word: &str) -> Option<&'static str> {
    let word = word.trim().to_lowercase();
    let is_meant = |(code, words): &&(&'static str, &[&str])| {
        code.to_lowercase() == word || words.contains(&word.as_str())
    };
    CARRIERS.iter().find(is_meant).map(|(code, _)| *code)
}

/// What `confirmShipment` takes.
///
/// # Errors
/// `Reject` where a part is missing that Amazon asks for, before any call is spent on it.
pub fn confirmation(
    marketplace_id: &str,
    shipment: &ShipmentDraft,
) -> Result<wire::ConfirmShipment, ChannelError> {
    let missing = |what: &str| ChannelError::Reject {
        kind: RejectKind::Other,
        message: format!("Amazon takes no shipment without {what}; add it to the shipment in the shop"),
    };
    if shipment.parcel < 1 {
        return Err(ChannelError::Fatal { message: "parcels are counted from 1".to_owned() });
    }
    let present = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let carrier = present(&shipment.carrier).ok_or_else(|| missing("a carrier"))?;
    let tracking_number = present(&shipment.tracking).ok_or_else(|| missing("a tracking number"))?;
    if shipment.lines.is_empty() {
        return Err(missing("its lines"));
    }
    let (carrier_code, carrier_name) = match known_carrier(&carrier) {
        Some(code) => (code.to_owned(), None),
        None => ("Other".to_owned(), Some(carrier)),
    };
    let item = |line: &ShippedLine| wire::ConfirmedItem {
        order_item_id: line.external_line_id.clone(),
        quantity: line.quantity,
    };
    Ok(wire::ConfirmShipment {
        marketplace_id: marketplace_id.to_owned(),
        package_detail: wire::PackageDetail {
            package_reference_id: shipment.parcel.to_string(),
            carrier_code,
            carrier_name,
            shipping_method: present(&shipment.service),
            tracking_number,
            ship_date: instant_text(shipment.shipped_at),
            order_items: shipment.lines.iter().map(item).collect(),
        },
    })
}

/// A listing as it stands on the first of `marketplaces` that has it. None for one without SKU: on Amazon the
/// SKU is the listing's id.
#[must_use]
pub fn listing(listing: &wire::Listing, marketplaces: &[String]) -> Option<ListingFacts> {
    let sku = listing.sku.clone()?;
    let summary = marketplaces
        .iter()
        .find_map(|id| listing.summaries.iter().find(|one| one.marketplace_id.as_ref() == Some(id)))
        .or_else(|| listing.summaries.first());
    let site = summary.and_then(|summary| summary.marketplace_id.as_ref());
    let offer = listing
        .offers
        .iter()
        .filter(|offer| offer.marketplace_id.as_ref() == site || site.is_none())
        .min_by_key(|offer| offer.offer_type.as_deref() != Some("B2C"));
    let price = offer.and_then(|offer| offer.price.as_ref());
    let currency: Option<Currency> = price.and_then(|price| price.currency_code.as_deref()?.parse().ok());
    let is_amazons = |availability: &wire::Availability| {
        availability.fulfillment_channel_code.as_deref().is_some_and(|code| code != "DEFAULT")
    };
    let own = listing.fulfillment_availability.iter().find(|availability| !is_amazons(availability));
    let fulfilled_by = if listing.fulfillment_availability.iter().any(is_amazons) {
        FulfilledBy::Platform
    } else {
        FulfilledBy::Seller
    };
    Some(ListingFacts {
        external_id: sku.clone(),
        product_id: summary.and_then(|summary| summary.asin.clone()),
        sku: Some(sku),
        title: summary.and_then(|summary| summary.item_name.clone()),
        quantity: own.and_then(|availability| availability.quantity),
        price_minor: price.zip(currency).and_then(|(price, currency)| {
            minor_exact(parse_decimal(price.amount.as_deref()?).ok()?, currency).ok()
        }),
        currency: currency.map(|currency| currency.code().to_owned()),
        fulfilled_by,
    })
}

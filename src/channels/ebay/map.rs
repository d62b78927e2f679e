//! eBay's words into ours and back. Pure: no call, no clock.
//!
//! The hard part is money: [`amounts`] says how eBay's sums become typed amounts that make what the buyer paid.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::super::error::{ChannelError, RejectKind, Unreadable};
use super::wire;
use crate::domain::customer::{self, Buyer, People};
use crate::domain::listing::ListingFacts;
use crate::domain::money::{Currency, minor_exact, parse_decimal};
use crate::domain::order::{CancelRequest, FulfilledBy, LineFacts, OrderFacts, OrderStatus, Origin};
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts, ShippedLine};

mod amounts;
pub mod refunds;

/// The id of a parcel without tracking number: every such parcel has it.
const NO_TRACKING_ID: &str = "999";

/// Reads one order, and its parcels where they were read with it.
///
/// # Errors
/// Where it lies and what is wrong, for an order that cannot be used.
pub fn order(payload: &str) -> Result<OrderFacts, Unreadable> {
    let wire::Payload { order, fulfillments, are_fulfillments_missing } = serde_json::from_str(payload)
        .map_err(|error| unreadable(format!("line {} column {}", error.line(), error.column()), error))?;
    let external_id = order.order_id.clone().ok_or_else(|| unreadable("orderId", "it is missing"))?;
    let placed_at = instant("creationDate", order.creation_date.as_deref())?
        .ok_or_else(|| unreadable("creationDate", "it is missing"))?;
    let updated_at = instant("lastModifiedDate", order.last_modified_date.as_deref())?.unwrap_or(placed_at);
    let shipments = fulfillments.as_deref().map(shipments).transpose()?;
    let status = status(&order, shipments.as_deref());
    let is_paid = is_paid(&order);
    let currency = amounts::currency(&order)?;
    let lines = lines(&order, status, shipments.as_deref(), currency)?;
    let (total_minor, amounts) = if is_paid { amounts::read(&order, currency)? } else { (0, Vec::new()) };
    let instruction = order.fulfillment_start_instructions.first();
    let step = instruction.and_then(|instruction| instruction.shipping_step.as_ref());
    let refunds = refunds::read(&order, currency, &lines, &amounts)?;
    Ok(OrderFacts {
        placed_at,
        updated_at,
        status,
        is_paid,
        fulfilled_by: fulfilled_by(&order),
        currency,
        total_minor,
        lines,
        amounts,
        shipments,
        people: people(&order, &external_id),
        shipping_method: step
            .and_then(|step| step.shipping_service_code.clone())
            .or_else(|| instruction?.fulfillment_instructions_type.clone()),
        payment_method: order
            .payment_summary
            .as_ref()
            .and_then(|summary| summary.payments.iter().find_map(|payment| payment.payment_method.clone())),
        site: order.line_items.iter().find_map(|line| {
            line.purchase_marketplace_id.clone().or_else(|| line.listing_marketplace_id.clone())
        }),
        ship_by: dates(&order, "shipByDate", |dates| dates.ship_by_date.as_deref())?.into_iter().min(),
        deliver_by: deliver_by(&order)?,
        origin: Origin::default(),
        platform_status: platform_status(&order, are_fulfillments_missing),
        cancel_request: cancel_request(&order),
        customised_lines: Vec::new(),
        refunds: Some(refunds),
        external_id,
    })
}

/// The id of an order that cannot be read, if it can be found.
#[must_use]
pub fn order_id(payload: &str) -> Option<String> {
    serde_json::from_str::<wire::PayloadHead>(payload).ok()?.order.order_id
}

/// An instant of the platform; nothing where there is none.
///
/// # Errors
/// Where the text is no instant.
pub fn instant(place: &str, text: Option<&str>) -> Result<Option<Timestamp>, Unreadable> {
    text.map(|text| text.parse().map_err(|error| unreadable(place, error))).transpose()
}

/// An instant as eBay takes it.
#[must_use]
pub fn instant_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn unreadable(place: impl Into<String>, what: impl ToString) -> Unreadable {
    Unreadable { place: place.into(), what: what.to_string() }
}

fn cancel_state(order: &wire::Order) -> Option<&str> {
    order.cancel_status.as_ref()?.cancel_state.as_deref()
}

/// eBay's status. A payment word that we do not know says nothing of payment, so that such an order is no work until
/// it is known, unless eBay says that units have been shipped.
fn status(order: &wire::Order, shipments: Option<&[ShipmentFacts]>) -> OrderStatus {
    if matches!(cancel_state(order), Some("CANCELED" | "CANCELLED")) {
        return OrderStatus::Cancelled;
    }
    let shipped = match order.order_fulfillment_status.as_deref() {
        Some("NOT_STARTED") => OrderStatus::Open,
        Some("IN_PROGRESS") => OrderStatus::PartShipped,
        Some("FULFILLED") => OrderStatus::Shipped,
        _ => status_by_lines(order, shipments),
    };
    match order.order_payment_status.as_deref() {
        Some("PAID" | "PARTIALLY_REFUNDED") => shipped,
        // Nobody ships what was paid back as a whole before anything left.
        Some("FULLY_REFUNDED") if shipped == OrderStatus::Open => OrderStatus::Cancelled,
        Some("FULLY_REFUNDED") => shipped,
        _ if shipped > OrderStatus::Open => shipped,
        _ => OrderStatus::Pending,
    }
}

/// Where the order's own word is none that we know, its positions tell.
fn status_by_lines(order: &wire::Order, shipments: Option<&[ShipmentFacts]>) -> OrderStatus {
    let word = |line: &wire::LineItem| line.line_item_fulfillment_status.clone().unwrap_or_default();
    let is_all = |wanted: &str| order.line_items.iter().all(|line| word(line) == wanted);
    let has_parcels = shipments.is_some_and(|shipments| !shipments.is_empty());
    match () {
        () if order.line_items.is_empty() => OrderStatus::Pending,
        () if is_all("FULFILLED") => OrderStatus::Shipped,
        () if is_all("NOT_STARTED") && !has_parcels => OrderStatus::Open,
        () if has_parcels || order.line_items.iter().any(|line| word(line) != "NOT_STARTED") => {
            OrderStatus::PartShipped
        }
        () => OrderStatus::Open,
    }
}

fn is_paid(order: &wire::Order) -> bool {
    matches!(order.order_payment_status.as_deref(), Some("PAID" | "PARTIALLY_REFUNDED" | "FULLY_REFUNDED"))
}

/// The words as eBay has them, for the timeline; and that it did not tell the parcels.
fn platform_status(order: &wire::Order, are_parcels_missing: bool) -> String {
    let cancellation = cancel_state(order)
        .filter(|state| *state != "NONE_REQUESTED")
        .map(|state| format!("cancellation {state}"));
    let parcels = are_parcels_missing.then(|| "parcels not told".to_owned());
    let words =
        [order.order_payment_status.clone(), order.order_fulfillment_status.clone(), cancellation, parcels];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() { "unknown".to_owned() } else { words.join(", ") }
}

/// What the buyer asks to have cancelled while it is the seller's turn: on eBay always the whole order.
fn cancel_request(order: &wire::Order) -> Option<CancelRequest> {
    let requests = &order.cancel_status.as_ref()?.cancel_requests;
    let request = requests.iter().find(|one| one.is_buyers() && one.is_open())?;
    // That the buyer asked is no reason.
    let code = request.cancel_reason.as_deref().filter(|code| *code != "BUYER_ASKED_CANCEL");
    let reason = code.map(|code| code.replace('_', " ").to_lowercase());
    Some(CancelRequest { lines: Vec::new(), reason })
}

fn fulfilled_by(order: &wire::Order) -> FulfilledBy {
    let program = order.program.as_ref().and_then(|program| program.fulfillment_program.as_ref());
    let is_of_program = program.and_then(|program| program.fulfilled_by.as_deref()) == Some("EBAY");
    let is_ebays = |instruction: &wire::Instruction| {
        instruction.fulfillment_instructions_type.as_deref() == Some("FULFILLED_BY_EBAY")
    };
    if is_of_program || order.fulfillment_start_instructions.iter().any(is_ebays) {
        FulfilledBy::Platform
    } else {
        FulfilledBy::Seller
    }
}

fn dates(
    order: &wire::Order,
    place: &str,
    date: impl Fn(&wire::LineDates) -> Option<&str>,
) -> Result<Vec<Timestamp>, Unreadable> {
    let texts =
        order.line_items.iter().filter_map(|line| date(line.line_item_fulfillment_instructions.as_ref()?));
    texts.filter_map(|text| instant(place, Some(text)).transpose()).collect()
}

fn deliver_by(order: &wire::Order) -> Result<Option<Timestamp>, Unreadable> {
    let place = "maxEstimatedDeliveryDate";
    let of_order = order
        .fulfillment_start_instructions
        .first()
        .and_then(|instruction| instruction.max_estimated_delivery_date.as_deref());
    let of_lines = dates(order, place, |dates| dates.max_estimated_delivery_date.as_deref())?;
    Ok(instant(place, of_order)?.max(of_lines.into_iter().max()))
}

fn lines(
    order: &wire::Order,
    status: OrderStatus,
    shipments: Option<&[ShipmentFacts]>,
    currency: Currency,
) -> Result<Vec<LineFacts>, Unreadable> {
    let read = |(index, line): (usize, &wire::LineItem)| {
        let place = format!("lineItems[{index}]");
        let missing = |name: &str| unreadable(format!("{place}.{name}"), "it is missing");
        let external_id = line.line_item_id.clone().ok_or_else(|| missing("lineItemId"))?;
        let quantity = line.quantity.ok_or_else(|| missing("quantity"))?;
        let quantity_shipped = shipped_quantity(line, quantity, shipments);
        let price = amounts::decimal(line.line_item_cost.as_ref(), currency, &place)?;
        let sku = line.sku.clone().or_else(|| legacy_sku(line));
        Ok(LineFacts {
            external_id,
            title: line.title.clone().or_else(|| sku.clone()).unwrap_or_else(|| "untitled".to_owned()),
            sku,
            product_id: line.legacy_item_id.clone(),
            quantity,
            quantity_shipped,
            quantity_cancelled: match status {
                OrderStatus::Cancelled => (quantity - quantity_shipped).max(0),
                OrderStatus::Pending
                | OrderStatus::Open
                | OrderStatus::PartShipped
                | OrderStatus::Shipped => 0,
            },
            unit_price: price
                .and_then(|price| price.checked_div(Decimal::from(quantity)))
                .map(|price| price.round_dp(6)),
            options: options(line),
        })
    };
    order.line_items.iter().enumerate().map(read).collect()
}

/// A legacy listing without SKU is named by its id, and by its variation's.
fn legacy_sku(line: &wire::LineItem) -> Option<String> {
    let item = line.legacy_item_id.as_ref()?;
    Some(match &line.legacy_variation_id {
        Some(variation) => format!("{item}-{variation}"),
        None => item.clone(),
    })
}

/// What the parcels say, else what the position's word says: of one under way eBay gives no number.
fn shipped_quantity(line: &wire::LineItem, quantity: i64, shipments: Option<&[ShipmentFacts]>) -> i64 {
    if line.line_item_fulfillment_status.as_deref() == Some("FULFILLED") {
        return quantity;
    }
    let lines = shipments.unwrap_or_default().iter().flat_map(|shipment| &shipment.lines);
    let own = lines.filter(|shipped| Some(&shipped.external_line_id) == line.line_item_id.as_ref());
    own.map(|shipped| shipped.quantity).fold(0, i64::saturating_add).clamp(0, quantity.max(0))
}

fn options(line: &wire::LineItem) -> Option<String> {
    let aspects = line.variation_aspects.iter().map(|aspect| (&aspect.name, &aspect.value));
    let vehicle = line
        .compatibility_properties
        .iter()
        .map(|property| (&property.property_name, &property.property_value));
    let pair = |(name, value): (&Option<String>, &Option<String>)| match (name, value) {
        (Some(name), Some(value)) => Some(format!("{name}: {value}")),
        (None, Some(value)) => Some(value.clone()),
        (_, None) => None,
    };
    let texts: Vec<String> = aspects.chain(vehicle).filter_map(pair).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Everything about people. None where eBay has taken name, street and e-mail back (after 90 days): what we hold then
/// stays.
fn people(order: &wire::Order, external_id: &str) -> Option<People> {
    let instruction = order.fulfillment_start_instructions.first();
    let step = instruction.and_then(|instruction| instruction.shipping_step.as_ref());
    let ship_to = step.and_then(|step| step.ship_to.as_ref());
    let registered = order.buyer.as_ref().and_then(|buyer| buyer.buyer_registration_address.as_ref());
    let is_known = |contact: &&wire::Contact| {
        let street = contact.contact_address.as_ref().and_then(|address| address.address_line1.as_ref());
        contact.full_name.is_some() || contact.email.is_some() || street.is_some()
    };
    [ship_to, registered].into_iter().flatten().find(is_known)?;
    let text = |part: fn(&wire::Contact) -> &Option<String>| {
        [registered, ship_to].into_iter().flatten().find_map(|contact| part(contact).clone())
    };
    let gifts = order.line_items.iter().filter_map(|line| line.gift_details.as_ref()?.message.as_deref());
    Some(People {
        buyer: Buyer {
            // The only thing by which eBay tells a buyer, and no lasting one: for buyers in the US the field holds an id
            // where it held a user name until September 2025. E-mails are of one order.
            external_id: order.buyer.as_ref().and_then(|buyer| buyer.username.clone()),
            name: text(|contact| &contact.full_name),
            email: text(|contact| &contact.email),
            company: registered.and_then(|contact| contact.company_name.clone()),
            purchase_order_number: None,
        },
        ship_to: ship_to.map(address),
        bill_to: registered.filter(is_known).filter(|contact| contact.contact_address.is_some()).map(address),
        buyer_note: order.buyer_checkout_notes.clone(),
        gift_message: joined(gifts, "\n"),
        delivery_instructions: hub_note(order, instruction, external_id),
    })
}

/// What a person must know who packs a parcel that goes to a hub or an authenticator: the label's address is not the
/// buyer's, and the buyer's must not be on it.
fn hub_note(
    order: &wire::Order,
    instruction: Option<&wire::Instruction>,
    external_id: &str,
) -> Option<String> {
    let is_verified =
        order.program.as_ref().is_some_and(|program| program.authenticity_verification.is_some());
    let is_hub = instruction.and_then(|instruction| instruction.ebay_supported_fulfillment) == Some(true);
    if !is_verified && !is_hub {
        return None;
    }
    let whose = if is_verified { "eBay's authenticator" } else { "eBay's shipping hub" };
    let reference = instruction
        .and_then(|instruction| instruction.shipping_step.as_ref()?.ship_to_reference_id.clone())
        .unwrap_or_else(|| external_id.to_owned());
    let place =
        instruction.and_then(|instruction| instruction.final_destination_address.as_ref()).map(|at| {
            let parts =
                [&at.address_line1, &at.address_line2, &at.city, &at.state_or_province, &at.postal_code];
            let parts = parts.into_iter().chain([&at.country_code]).flatten().cloned();
            parts.collect::<Vec<_>>().join(", ")
        });
    let place =
        place.map(|place| format!(" Final destination, not for the label: {place}.")).unwrap_or_default();
    Some(format!("Ships to {whose}; put the reference {reference} on the label.{place}"))
}

fn joined<'a>(texts: impl Iterator<Item = &'a str>, between: &str) -> Option<String> {
    let texts: Vec<&str> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(between))
}

fn address(contact: &wire::Contact) -> customer::Address {
    let none = wire::Address::default();
    let place = contact.contact_address.as_ref().unwrap_or(&none);
    customer::Address {
        name: contact.full_name.clone(),
        company: contact.company_name.clone(),
        street: [&place.address_line1, &place.address_line2].into_iter().flatten().cloned().collect(),
        city: place.city.clone().or_else(|| place.county.clone()),
        region: place.state_or_province.clone(),
        postal_code: place.postal_code.clone(),
        country: place.country_code.as_ref().map(|code| code.to_uppercase()),
        phone: contact.primary_phone.as_ref().and_then(|phone| phone.phone_number.clone()),
    }
}

/// Parcels. Those without tracking number all have one id: they are told apart by their place.
///
/// # Errors
/// Where a parcel cannot be used.
pub fn shipments(fulfillments: &[wire::Fulfillment]) -> Result<Vec<ShipmentFacts>, Unreadable> {
    let read = |(index, one): (usize, &wire::Fulfillment)| {
        let id = one
            .fulfillment_id
            .clone()
            .or_else(|| one.shipment_tracking_number.clone())
            .ok_or_else(|| unreadable("fulfillments[].fulfillmentId", "it is missing"))?;
        let is_untracked = id == NO_TRACKING_ID && one.shipment_tracking_number.is_none();
        let line = |line: &wire::FulfilledLine| {
            Some(ShippedLine {
                external_line_id: line.line_item_id.clone()?,
                quantity: line.quantity.unwrap_or(1),
            })
        };
        Ok(ShipmentFacts {
            external_id: if is_untracked { format!("{id}-{}", index + 1) } else { id },
            carrier: one.shipping_carrier_code.clone(),
            service: None,
            tracking: one.shipment_tracking_number.clone(),
            shipped_at: instant("fulfillments[].shippedDate", one.shipped_date.as_deref())?,
            lines: one.line_items.iter().filter_map(line).collect(),
        })
    };
    fulfillments.iter().enumerate().map(read).collect()
}

/// Carrier codes that eBay knows, and the words that shops use for them, in lower case.
const CARRIERS: &[(&str, &[&str])] = &[
    ("USPS", &["usps", "us postal service", "united states postal service", "endicia", "stamps.com"]),
    ("UPS", &["ups", "united parcel service", "upsready", "upsonline"]),
    ("FedEx", &["fedex", "federal express"]),
    ("DHL", &["dhl", "dhl express", "dhl paket"]),
    ("DHLGlobalMail", &["dhl ecommerce", "dhl global mail"]),
    ("ONTRAC", &["ontrac"]),
    ("LASERSHIP", &["lasership"]),
    ("CanadaPost", &["canada post", "canadapost"]),
    ("Purolator", &["purolator"]),
    ("RoyalMail", &["royal mail", "royalmail"]),
    ("Parcelforce", &["parcelforce", "parcelforce worldwide"]),
    ("Evri", &["evri"]),
    ("Yodel", &["yodel"]),
    ("DPD", &["dpd"]),
    ("GLS", &["gls"]),
    ("Hermes", &["hermes"]),
    ("DeutschePost", &["deutsche post", "deutschepost"]),
    ("TNT", &["tnt"]),
    ("LaPoste", &["la poste", "laposte"]),
    ("Colissimo", &["colissimo"]),
    ("Chronopost", &["chronopost"]),
    ("Correos", &["correos"]),
    ("SEUR", &["seur"]),
    ("PosteItaliane", &["poste italiane", "posteitaliane"]),
    ("BRT", &["brt", "bartolini"]),
    ("PostNL", &["postnl"]),
    ("AustraliaPost", &["australia post", "auspost", "australia-post"]),
    ("JapanPost", &["japan post"]),
    ("Other", &["other"]),
];

/// eBay's code for a shop's word for a carrier, if eBay has one.
#[must_use]
pub fn known_carrier(word: &str) -> Option<&'static str> {
    let word = word.trim().to_lowercase();
    let is_meant = |(code, words): &&(&'static str, &[&str])| {
        code.to_lowercase() == word || words.contains(&word.as_str())
    };
    CARRIERS.iter().find(is_meant).map(|(code, _)| *code)
}

/// What `createShippingFulfillment` takes.
///
/// # Errors
/// `Reject` where a part is missing that eBay asks for, before any call is spent on it.
pub fn fulfillment(shipment: &ShipmentDraft) -> Result<wire::NewFulfillment, ChannelError> {
    if shipment.lines.is_empty() {
        return Err(ChannelError::Reject {
            kind: RejectKind::Other,
            message: "eBay takes no shipment without its lines; add them to the shipment in the shop"
                .to_owned(),
        });
    }
    // eBay takes letters and digits only.
    let tracking: Option<String> = shipment
        .tracking
        .as_deref()
        .map(|text| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>())
        .filter(|text| !text.is_empty());
    let carrier = shipment.carrier.as_deref().and_then(known_carrier).unwrap_or("Other");
    let line = |line: &ShippedLine| wire::NewFulfilledLine {
        line_item_id: line.external_line_id.clone(),
        quantity: line.quantity,
    };
    Ok(wire::NewFulfillment {
        line_items: shipment.lines.iter().map(line).collect(),
        shipped_date: instant_text(shipment.shipped_at),
        // Each goes only with the other.
        shipping_carrier_code: tracking.is_some().then(|| carrier.to_owned()),
        tracking_number: tracking,
    })
}

/// A listing: a thing in stock and its offer on the seller's marketplace, else its first. None without SKU, which is
/// the listing's id here.
#[must_use]
pub fn listing(
    item: &wire::InventoryItem,
    offers: &[wire::Offer],
    marketplace_id: &str,
) -> Option<ListingFacts> {
    let sku = item.sku.clone()?;
    let offer = offers
        .iter()
        .find(|offer| offer.marketplace_id.as_deref() == Some(marketplace_id))
        .or_else(|| offers.first());
    let price = offer.and_then(|offer| offer.pricing_summary.as_ref()?.price.as_ref());
    let currency: Option<Currency> = price.and_then(|price| price.currency.as_deref()?.parse().ok());
    let stocked = item
        .availability
        .as_ref()
        .and_then(|availability| availability.ship_to_location_availability.as_ref()?.quantity);
    Some(ListingFacts {
        external_id: sku.clone(),
        product_id: offer.and_then(|offer| offer.listing.as_ref()?.listing_id.clone()),
        sku: Some(sku),
        title: item.product.as_ref().and_then(|product| product.title.clone()),
        quantity: offer.and_then(|offer| offer.available_quantity).or(stocked),
        price_minor: price.zip(currency).and_then(|(price, currency)| {
            minor_exact(parse_decimal(price.value.as_deref()?).ok()?, currency).ok()
        }),
        currency: currency.map(|currency| currency.code().to_owned()),
        fulfilled_by: FulfilledBy::Seller,
    })
}

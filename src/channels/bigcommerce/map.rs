//! BigCommerce's words into ours and back. Pure: no call, no clock.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use rust_decimal::Decimal;

use super::super::ShopOrderLine;
use super::super::ShopOrderSummary;
use super::super::ShopProfile;
use super::super::error::{ChannelError, Unreadable};
use super::wire;
use crate::domain::customer::{Address, Buyer, People};
use crate::domain::draft::{DraftLine, ExternalSource, ShopOrderDraft};
use crate::domain::listing::ShopVariant;
use crate::domain::money::{Currency, decimal_of_minor, minor_rounded, parse_decimal, sum};
use crate::domain::order::{Amount, AmountKind, FulfilledBy, LineFacts, OrderFacts, OrderStatus, Origin};
use crate::domain::refund::{AfterSale, ShopRefund, ShopRefundItem, ShopRefundKind};
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts, ShippedLine};

/// *Incomplete*: a cart that reached checkout. It is no order yet.
const INCOMPLETE: i64 = 0;

/// *Shipped*.
pub const SHIPPED: u16 = 2;

/// *Partially Shipped*.
pub const PARTIALLY_SHIPPED: u16 = 3;

/// *Completed*: shipped, or downloaded.
pub const COMPLETED: u16 = 10;

/// Digits after the point in BigCommerce's money.
const MONEY_DIGITS: u32 = 4;

/// Characters of a custom line's name: BigCommerce takes no more.
const NAME_CHARS_MAX: usize = 250;

/// Stands for a postal code where the address has none: BigCommerce asks for two characters or more.
const NO_ZIP: &str = "00";

/// Reads a composed payload: an order with its lines, addresses and parcels.
///
/// # Errors
/// Where it lies and what is wrong, for an order that cannot be used.
pub fn order(payload: &str) -> Result<OrderFacts, Unreadable> {
    let composed: wire::Composed<'_> = serde_json::from_str(payload)
        .map_err(|error| unreadable(format!("line {} column {}", error.line(), error.column()), error))?;
    let order: wire::Order = serde_json::from_str(composed.order.get())
        .map_err(|error| unreadable(format!("order, column {}", error.column()), error))?;
    let external_id = id(order.id).ok_or_else(|| unreadable("order.id", "it is missing"))?;
    let placed_at = instant("order.date_created", order.date_created.as_deref())?
        .ok_or_else(|| unreadable("order.date_created", "it is missing"))?;
    let updated_at = instant("order.date_modified", order.date_modified.as_deref())?.unwrap_or(placed_at);
    let currency = currency(&order)?;
    let status = status(&order);
    let lines = lines(&composed.products, status)?;
    let total_minor = money("order.total_inc_tax", order.total_inc_tax.as_deref(), currency)?;
    let amounts = amounts(&order, &composed.products, total_minor, currency)?;
    let status_id = order.status_id.map(|id| id.to_string());
    Ok(OrderFacts {
        external_id,
        placed_at,
        updated_at,
        status,
        is_paid: is_paid(&order),
        fulfilled_by: FulfilledBy::Seller,
        currency,
        total_minor,
        lines,
        amounts,
        shipments: Some(shipments(&composed.shipments)?),
        people: Some(people(&order, &composed.shipping_addresses)),
        shipping_method: composed.shipping_addresses.iter().find_map(|one| one.shipping_method.clone()),
        payment_method: order.payment_method.clone(),
        site: id(order.channel_id),
        ship_by: None,
        deliver_by: None,
        origin: origin(&order),
        platform_status: order.status.or(status_id).unwrap_or_else(|| "unknown".to_owned()),
        cancel_request: None,
        customised_lines: Vec::new(),
        refunds: None,
    })
}

/// True for an order that this program did not make and that is one: no cart, not archived.
#[must_use]
pub fn is_own(order: &wire::Order) -> bool {
    let is_ours =
        order.external_source.as_deref().is_some_and(|source| source.parse::<ExternalSource>().is_ok());
    !is_ours && order.status_id != Some(INCOMPLETE) && order.is_deleted != Some(true)
}

/// The mirror's row of an order.
///
/// # Errors
/// Where it lies and what is wrong.
pub fn summary(order: &wire::Order) -> Result<ShopOrderSummary, Unreadable> {
    let currency = currency(order)?;
    let created_at = instant("date_created", order.date_created.as_deref())?
        .ok_or_else(|| unreadable("date_created", "it is missing"))?;
    Ok(ShopOrderSummary {
        shop_order_id: id(order.id).ok_or_else(|| unreadable("id", "it is missing"))?,
        origin: origin(order),
        status_id: order
            .status_id
            .and_then(|id| u16::try_from(id).ok())
            .ok_or_else(|| unreadable("status_id", "it is missing"))?,
        created_at,
        updated_at: instant("date_modified", order.date_modified.as_deref())?.unwrap_or(created_at),
        total_minor: money("total_inc_tax", order.total_inc_tax.as_deref(), currency)?,
        currency: currency.code().to_owned(),
        items_shipped: order.items_shipped.unwrap_or(0),
        refunded_minor: money("refunded_amount", order.refunded_amount.as_deref(), currency)?,
        after_sale: match order.status_id {
            Some(5) => Some(AfterSale::Cancelled),
            Some(4) => Some(AfterSale::Refunded),
            Some(14) => Some(AfterSale::PartRefunded),
            _ => None,
        },
    })
}

/// The order's refunds, oldest first; without those that the payment provider declined.
///
/// # Errors
/// Where one lies and what is wrong with it.
pub fn refunds(refunds: &[wire::Refund], currency: Currency) -> Result<Vec<ShopRefund>, Unreadable> {
    let read = |(index, refund): (usize, &wire::Refund)| {
        let place = format!("data[{index}]");
        let missing = |name: &str| unreadable(format!("{place}.{name}"), "it is missing");
        let total = refund.total_amount.as_deref().ok_or_else(|| missing("total_amount"))?;
        let total = money(&format!("{place}.total_amount"), Some(total), currency)?;
        let declined = refund.payments.iter().filter(|payment| payment.is_declined == Some(true));
        let declined: i64 = declined
            .map(|payment| money(&format!("{place}.payments"), payment.amount.as_deref(), currency))
            .sum::<Result<i64, _>>()?;
        let total_minor = total.saturating_sub(declined);
        let items = refund.items.iter().map(|item| refund_item(item, currency, &place));
        Ok((total_minor > 0).then_some(ShopRefund {
            refund_id: id(refund.id).ok_or_else(|| missing("id"))?,
            refunded_at: instant(&format!("{place}.created"), refund.created.as_deref())?,
            total_minor,
            items: items.collect::<Result<_, _>>()?,
        }))
    };
    refunds.iter().enumerate().filter_map(|one| read(one).transpose()).collect()
}

/// What a refund is for. A kind that we do not know is the order's.
fn refund_item(
    item: &wire::RefundItem,
    currency: Currency,
    place: &str,
) -> Result<ShopRefundItem, Unreadable> {
    let kind = match item.item_type.as_deref() {
        Some("PRODUCT" | "GIFT_WRAPPING") => ShopRefundKind::Goods,
        Some("SHIPPING" | "HANDLING") => ShopRefundKind::Shipping,
        _ => ShopRefundKind::Order,
    };
    let amount = item.requested_amount.as_deref();
    let is_product = item.item_type.as_deref() == Some("PRODUCT");
    Ok(ShopRefundItem {
        kind,
        shop_line_id: id(item.item_id).filter(|_| kind == ShopRefundKind::Goods),
        quantity: item.quantity.filter(|_| is_product).unwrap_or(0).max(0),
        minor: amount
            .map(|text| money(&format!("{place}.items.requested_amount"), Some(text), currency))
            .transpose()?,
    })
}

/// When an order was last changed, if it says so.
#[must_use]
pub fn modified(order: &wire::Order) -> Option<Timestamp> {
    instant("date_modified", order.date_modified.as_deref()).ok().flatten()
}

/// When an order was placed, by the shop's clock.
#[must_use]
pub fn created(order: &wire::Order) -> Option<Timestamp> {
    instant("date_created", order.date_created.as_deref()).ok().flatten()
}

/// A V2 date (RFC 2822), or an ISO 8601 one, as newer parts of the platform write them.
fn instant(place: &str, text: Option<&str>) -> Result<Option<Timestamp>, Unreadable> {
    // The day of the week adds nothing and is not worth losing an order for.
    const PARSER: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let Some(text) = text else { return Ok(None) };
    PARSER
        .parse_timestamp(text)
        .or_else(|error| text.parse::<Timestamp>().map_err(|_| error))
        .map(Some)
        .map_err(|error| unreadable(place, error))
}

fn unreadable(place: impl Into<String>, what: impl ToString) -> Unreadable {
    Unreadable { place: place.into(), what: what.to_string() }
}

fn id(number: Option<i64>) -> Option<String> {
    number.map(|number| number.to_string())
}

fn origin(order: &wire::Order) -> Origin {
    Origin {
        external_order_id: order.external_order_id.clone(),
        external_source: order.external_source.clone(),
    }
}

/// The currency that the customer pays in. `currency_code` is only what the storefront showed.
fn currency(order: &wire::Order) -> Result<Currency, Unreadable> {
    let code = order.default_currency_code.as_deref().or(order.currency_code.as_deref());
    code.ok_or_else(|| unreadable("default_currency_code", "it is missing"))?
        .parse()
        .map_err(|error| unreadable("default_currency_code", error))
}

/// Minor units of an amount with four decimals; what is left out is nothing. BigCommerce calculates with
/// fractions of a cent, so that parts are rounded; [`amounts`] makes up for it.
fn money(place: &str, text: Option<&str>, currency: Currency) -> Result<i64, Unreadable> {
    text.map_or(Ok(0), |text| parse_decimal(text).and_then(|amount| minor_rounded(amount, currency)))
        .map_err(|error| unreadable(place, error))
}

fn status(order: &wire::Order) -> OrderStatus {
    let shipped = order.items_shipped.unwrap_or(0);
    let by_units = if shipped <= 0 {
        OrderStatus::Open
    } else if order.items_total.is_some_and(|total| shipped < total) {
        OrderStatus::PartShipped
    } else {
        OrderStatus::Shipped
    };
    match order.status_id {
        Some(0 | 1 | 7) => OrderStatus::Pending,
        Some(2 | 10) => OrderStatus::Shipped,
        Some(3) => OrderStatus::PartShipped,
        Some(5 | 6) => OrderStatus::Cancelled,
        // Refunded before anything was shipped: nobody will ship it.
        Some(4) if by_units == OrderStatus::Open => OrderStatus::Cancelled,
        _ => by_units,
    }
}

fn is_paid(order: &wire::Order) -> bool {
    match order.status_id {
        Some(0 | 1 | 6 | 7) => false,
        Some(5) => {
            !matches!(order.payment_status.as_deref(), Some("pending" | "declined" | "void" | "void pending"))
        }
        _ => true,
    }
}

fn lines(products: &[wire::OrderProduct], status: OrderStatus) -> Result<Vec<LineFacts>, Unreadable> {
    let read = |(index, product): (usize, &wire::OrderProduct)| {
        let missing = |field: &str| unreadable(format!("products[{index}].{field}"), "it is missing");
        let quantity = product.quantity.ok_or_else(|| missing("quantity"))?;
        let shipped = product.quantity_shipped.unwrap_or(0);
        let is_cancelled = status == OrderStatus::Cancelled;
        Ok(LineFacts {
            external_id: id(product.id).ok_or_else(|| missing("id"))?,
            sku: product.sku.clone(),
            product_id: id(product.product_id.filter(|id| *id > 0)),
            title: product
                .name
                .clone()
                .or_else(|| product.sku.clone())
                .unwrap_or_else(|| "untitled".to_owned()),
            quantity,
            quantity_shipped: shipped,
            quantity_cancelled: if is_cancelled { (quantity - shipped).max(0) } else { 0 },
            unit_price: product.price_ex_tax.as_deref().and_then(|price| parse_decimal(price).ok()),
            options: options(&product.product_options),
        })
    };
    products.iter().enumerate().map(read).collect()
}

fn options(options: &[wire::ProductOption]) -> Option<String> {
    let text = |option: &wire::ProductOption| {
        let value = option.display_value.as_deref()?;
        Some(match option.display_name.as_deref() {
            Some(name) => format!("{name}: {value}"),
            None => value.to_owned(),
        })
    };
    let texts: Vec<String> = options.iter().filter_map(text).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Typed amounts that sum to the total. What rounding, fees and surcharges of other apps leave over is paid by
/// the buyer all the same: it is *other* where it adds, a discount where it takes off.
fn amounts(
    order: &wire::Order,
    products: &[wire::OrderProduct],
    total: i64,
    currency: Currency,
) -> Result<Vec<Amount>, Unreadable> {
    let read = |place: &str, text: &Option<String>| money(place, text.as_deref(), currency);
    let mut amounts = Vec::new();
    let mut add = |line: Option<usize>, kind: AmountKind, minor: i64| {
        if minor != 0 {
            amounts.push(Amount { line, kind, minor });
        }
    };
    for (index, product) in products.iter().enumerate() {
        let place = format!("products[{index}].total_ex_tax");
        let net = read(&place, &product.total_ex_tax)?;
        let gross =
            product.total_inc_tax.as_ref().map_or(Ok(net), |_| read(&place, &product.total_inc_tax))?;
        add(Some(index), AmountKind::Item, net);
        add(Some(index), AmountKind::ItemTax, gross - net);
    }
    let shipping = read("order.shipping_cost_ex_tax", &order.shipping_cost_ex_tax)?;
    add(None, AmountKind::Shipping, shipping);
    let shipping_gross = read("order.shipping_cost_inc_tax", &order.shipping_cost_inc_tax)?;
    add(None, AmountKind::ShippingTax, shipping_gross - shipping);
    let wrapping = read("order.wrapping_cost_ex_tax", &order.wrapping_cost_ex_tax)?;
    add(None, AmountKind::GiftWrap, wrapping);
    let wrapping_gross = read("order.wrapping_cost_inc_tax", &order.wrapping_cost_inc_tax)?;
    add(None, AmountKind::GiftWrapTax, wrapping_gross - wrapping);
    add(None, AmountKind::Other, read("order.handling_cost_inc_tax", &order.handling_cost_inc_tax)?);
    let discount = read("order.discount_amount", &order.discount_amount)?;
    add(None, AmountKind::SellerDiscount, -discount);
    let coupons = read("order.coupon_discount", &order.coupon_discount)?;
    add(None, AmountKind::SellerDiscount, -coupons);
    let paid = sum(amounts.iter().map(|amount| amount.minor))
        .map_err(|error| unreadable("order.total_inc_tax", error))?;
    let left = total.checked_sub(paid).ok_or_else(|| unreadable("order.total_inc_tax", "it is too large"))?;
    if left != 0 {
        let kind = if left > 0 { AmountKind::Other } else { AmountKind::SellerDiscount };
        amounts.push(Amount { line: None, kind, minor: left });
    }
    Ok(amounts)
}

/// The order's parcels.
///
/// # Errors
/// Where one lacks its id or has a date that is none.
pub fn shipments(shipments: &[wire::Shipment]) -> Result<Vec<ShipmentFacts>, Unreadable> {
    let read = |shipment: &wire::Shipment| {
        let line = |item: &wire::ShipmentItem| {
            Some(ShippedLine {
                external_line_id: id(item.order_product_id)?,
                quantity: item.quantity.unwrap_or(0),
            })
        };
        let provider = shipment.shipping_provider.as_ref().filter(|name| *name != "custom");
        Ok(ShipmentFacts {
            external_id: id(shipment.id).ok_or_else(|| unreadable("shipments[].id", "it is missing"))?,
            carrier: provider
                .or(shipment.tracking_carrier.as_ref())
                .or(shipment.shipping_provider_display_name.as_ref())
                .cloned(),
            service: shipment.shipping_method.clone(),
            tracking: shipment.tracking_number.clone(),
            shipped_at: instant("shipments[].date_created", shipment.date_created.as_deref())?,
            lines: shipment.items.iter().filter_map(line).collect(),
        })
    };
    shipments.iter().map(read).collect()
}

fn people(order: &wire::Order, shipping: &[wire::Address]) -> People {
    let billing = order.billing_address.as_ref();
    People {
        buyer: Buyer {
            external_id: id(order.customer_id.filter(|id| *id > 0)),
            name: billing.and_then(full_name),
            email: billing.and_then(|address| address.email.clone()),
            company: billing.and_then(|address| address.company.clone()),
            purchase_order_number: None,
        },
        ship_to: shipping.first().map(address),
        bill_to: billing.map(address),
        buyer_note: order.customer_message.clone(),
        gift_message: None,
        delivery_instructions: None,
    }
}

fn full_name(address: &wire::Address) -> Option<String> {
    let parts: Vec<&str> =
        [&address.first_name, &address.last_name].into_iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn address(address: &wire::Address) -> Address {
    Address {
        name: full_name(address),
        company: address.company.clone(),
        street: [&address.street_1, &address.street_2].into_iter().flatten().cloned().collect(),
        city: address.city.clone(),
        region: address.state.clone(),
        postal_code: address.zip.clone(),
        country: address.country_iso2.clone(),
        phone: address.phone.clone(),
    }
}

/// A line of an order that exists.
#[must_use]
pub fn order_line(product: &wire::OrderProduct) -> Option<ShopOrderLine> {
    Some(ShopOrderLine {
        shop_line_id: id(product.id)?,
        order_address_id: id(product.order_address_id.filter(|id| *id > 0)),
        variant_id: id(product.variant_id.filter(|id| *id > 0)),
        sku: product.sku.clone(),
        name: product.name.clone().unwrap_or_default(),
        quantity: product.quantity.unwrap_or(0),
        quantity_shipped: product.quantity_shipped.unwrap_or(0),
    })
}

/// Where an item's stock can be raised: the location, what lies there, and what can be sold in all.
#[must_use]
pub fn sellable(item: &wire::InventoryItem) -> Option<(i64, i64, i64)> {
    let enabled = || item.locations.iter().filter(|location| location.location_enabled != Some(false));
    let first = enabled().next()?;
    let available = enabled().filter_map(|location| location.available_to_sell).sum();
    Some((first.location_id?, first.total_inventory_onhand.unwrap_or(0), available))
}

/// A variant that has a SKU.
#[must_use]
pub fn variant(variant: wire::Variant) -> Option<ShopVariant> {
    Some(ShopVariant { product_id: id(variant.product_id)?, variant_id: id(variant.id)?, sku: variant.sku? })
}

/// Name and currency. None where the store does not say its currency.
#[must_use]
pub fn profile(store: wire::Store) -> Option<ShopProfile> {
    let order_page = store
        .control_panel_base_url
        .map(|base| format!("{}/manage/orders/{{id}}", base.trim_end_matches('/')));
    Some(ShopProfile {
        name: store.name.unwrap_or_else(|| "BigCommerce".to_owned()),
        currency: store.currency?,
        time_zone: store.timezone.and_then(|zone| zone.name),
        order_page,
    })
}

/// The order to create.
///
/// # Errors
/// `Fatal` where a variant's id is none of BigCommerce's.
pub fn new_order(draft: &ShopOrderDraft) -> Result<wire::NewOrder, ChannelError> {
    let money = |minor: i64| {
        let mut amount = decimal_of_minor(minor, draft.currency);
        amount.rescale(MONEY_DIGITS);
        amount.to_string()
    };
    let billing = wire::NewAddress { email: draft.email.clone(), ..new_address(&draft.bill_to) };
    let shipping =
        wire::NewAddress { shipping_method: draft.shipping_method.clone(), ..new_address(&draft.ship_to) };
    Ok(wire::NewOrder {
        status_id: draft.status_id,
        customer_id: 0,
        billing_address: billing,
        shipping_addresses: vec![shipping],
        products: draft.lines.iter().map(new_product).collect::<Result<_, _>>()?,
        subtotal_ex_tax: money(draft.subtotal.ex_tax_minor),
        subtotal_inc_tax: money(draft.subtotal.inc_tax_minor),
        shipping_cost_ex_tax: money(draft.shipping.ex_tax_minor),
        shipping_cost_inc_tax: money(draft.shipping.inc_tax_minor),
        handling_cost_ex_tax: money(draft.handling.ex_tax_minor),
        handling_cost_inc_tax: money(draft.handling.inc_tax_minor),
        wrapping_cost_ex_tax: money(draft.wrapping.ex_tax_minor),
        wrapping_cost_inc_tax: money(draft.wrapping.inc_tax_minor),
        discount_amount: money(draft.discount_minor),
        total_ex_tax: money(draft.total.ex_tax_minor),
        total_inc_tax: money(draft.total.inc_tax_minor),
        payment_method: draft.payment_method.clone(),
        external_source: draft.external_source.to_string(),
        external_order_id: draft.external_order_id.clone(),
        staff_notes: draft.staff_notes.clone(),
        customer_message: draft.customer_message.clone(),
    })
}

fn new_product(line: &DraftLine) -> Result<wire::NewProduct, ChannelError> {
    let price = |price: Decimal| {
        let mut price = price;
        price.rescale(MONEY_DIGITS);
        wire::Number(price)
    };
    let (price_ex_tax, price_inc_tax) = (price(line.unit_price_ex_tax), price(line.unit_price_inc_tax));
    let quantity = line.quantity;
    Ok(match &line.variant {
        Some(variant) => wire::NewProduct::Variant {
            product_id: number("product id", &variant.product_id)?,
            variant_id: number("variant id", &variant.variant_id)?,
            quantity,
            price_ex_tax,
            price_inc_tax,
        },
        None => wire::NewProduct::Custom {
            name: line.name.chars().take(NAME_CHARS_MAX).collect(),
            quantity,
            price_ex_tax,
            price_inc_tax,
        },
    })
}

/// An id of BigCommerce's, which are numbers in what it is sent.
///
/// # Errors
/// `Fatal` where it is none.
pub fn number(what: &str, text: &str) -> Result<i64, ChannelError> {
    text.parse()
        .map_err(|_| ChannelError::Fatal { message: format!("“{text}” is no {what} of BigCommerce") })
}

/// An address as BigCommerce takes it: every part that it asks for is there, in the form that it checks.
fn new_address(address: &Address) -> wire::NewAddress {
    let (first_name, last_name) = names(address.name.as_deref().unwrap_or_default());
    let mut street = address.street.iter();
    let street_1 = street.next().cloned().unwrap_or_default();
    let rest: Vec<&str> = street.map(String::as_str).collect();
    let country = address.country.as_deref().unwrap_or_default().to_uppercase();
    let region = address.region.as_deref().unwrap_or_default();
    wire::NewAddress {
        first_name,
        last_name,
        company: address.company.clone(),
        street_1,
        street_2: (!rest.is_empty()).then(|| rest.join(", ")),
        city: address.city.clone().unwrap_or_default(),
        state: state_name(&country, region),
        zip: address
            .postal_code
            .clone()
            .filter(|zip| zip.chars().count() >= 2)
            .unwrap_or_else(|| NO_ZIP.to_owned()),
        country_iso2: country,
        phone: address.phone.clone(),
        email: None,
        shipping_method: None,
    }
}

/// First and last name: the last word is the last name.
fn names(name: &str) -> (String, String) {
    match name.trim().rsplit_once(char::is_whitespace) {
        Some((first, last)) => (first.trim_end().to_owned(), last.to_owned()),
        None => (name.trim().to_owned(), String::new()),
    }
}

/// The full name of a state: BigCommerce checks it and takes no code. What is no code stays as it is.
fn state_name(country: &str, region: &str) -> String {
    keshvar::Alpha2::try_from(country)
        .ok()
        .and_then(|country| {
            let code = region.trim().to_uppercase();
            country.to_country().subdivisions().get(code.as_str()).map(|state| state.name().to_owned())
        })
        .unwrap_or_else(|| region.trim().to_owned())
}

/// BigCommerce's own words for carriers (`shipping_provider`), and what people call them, in lower case.
const PROVIDERS: &[(&str, &[&str])] = &[
    ("auspost", &["auspost", "australia post"]),
    ("canadapost", &["canadapost", "canada post"]),
    ("endicia", &["endicia"]),
    ("usps", &["usps", "us postal service", "united states postal service"]),
    ("fedex", &["fedex", "federal express"]),
    ("ups", &["ups", "united parcel service"]),
    ("royalmail", &["royalmail", "royal mail"]),
];

/// The parcel to add. A carrier that BigCommerce does not know is told in the comments: any other word in its
/// field would be refused.
///
/// # Errors
/// `Fatal` where an id is none of BigCommerce's.
pub fn new_shipment(
    order_address_id: &str,
    shipment: &ShipmentDraft,
) -> Result<wire::NewShipment, ChannelError> {
    let carrier = shipment.carrier.as_deref().map(str::trim).filter(|carrier| !carrier.is_empty());
    let provider = carrier.and_then(|carrier| {
        let word = carrier.to_lowercase();
        PROVIDERS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(provider, _)| *provider)
    });
    let item = |line: &ShippedLine| {
        Ok(wire::NewShipmentItem {
            order_product_id: number("line id", &line.external_line_id)?,
            quantity: line.quantity,
        })
    };
    Ok(wire::NewShipment {
        order_address_id: number("address id", order_address_id)?,
        tracking_number: shipment.tracking.clone(),
        shipping_method: shipment.service.clone(),
        shipping_provider: provider,
        comments: carrier.filter(|_| provider.is_none()).map(|carrier| format!("Carrier: {carrier}")),
        items: shipment.lines.iter().map(item).collect::<Result<_, ChannelError>>()?,
    })
}

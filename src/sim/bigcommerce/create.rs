//! How `POST v2/orders` becomes an order: what the store refuses, and how it counts.
//!
//! The store believes the prices that it is given. Of a pair of prices without and with tax it takes the missing one
//! to be the same, which makes totals come out wrong, as in the real store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::super::money::{parse_four_decimals, whole_cents};
use super::super::options::StockRule;
use super::wire::parse_date;
use super::{Amounts, Contact, Line, Order, ShippingAddress, Shop, Taxed};
use crate::clock::whole_second;

/// A refusal's text.
pub type Refused<T> = Result<T, String>;

/// Statuses that exist.
pub const STATUS_MAX: i64 = 14;

/// Countries that the store ships to: name, ISO code.
const COUNTRIES: [(&str, &str); 16] = [
    ("United States", "US"),
    ("Canada", "CA"),
    ("United Kingdom", "GB"),
    ("Germany", "DE"),
    ("France", "FR"),
    ("Spain", "ES"),
    ("Italy", "IT"),
    ("Poland", "PL"),
    ("Netherlands", "NL"),
    ("Austria", "AT"),
    ("Ireland", "IE"),
    ("Mexico", "MX"),
    ("Japan", "JP"),
    ("Australia", "AU"),
    ("Brazil", "BR"),
    ("Sweden", "SE"),
];

const US_STATES: &str = "Alabama|Alaska|American Samoa|Arizona|Arkansas|Armed Forces Africa|Armed Forces Americas|\
    Armed Forces Canada|Armed Forces Europe|Armed Forces Middle East|Armed Forces Pacific|California|Colorado|\
    Connecticut|Delaware|District of Columbia|Federated States Of Micronesia|Florida|Georgia|Guam|Hawaii|Idaho|\
    Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Marshall Islands|Maryland|Massachusetts|Michigan|Minnesota|\
    Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|\
    North Dakota|Northern Mariana Islands|Ohio|Oklahoma|Oregon|Palau|Pennsylvania|Puerto Rico|Rhode Island|\
    South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virgin Islands|Virginia|Washington|West Virginia|\
    Wisconsin|Wyoming";

const CANADIAN_PROVINCES: &str = "Alberta|British Columbia|Manitoba|New Brunswick|Newfoundland and Labrador|\
    Northwest Territories|Nova Scotia|Nunavut|Ontario|Prince Edward Island|Quebec|Saskatchewan|Yukon Territory|Yukon";

impl Shop {
    /// Creates an order, or says why not.
    pub(super) fn create_order(&mut self, body: &Value, now: Timestamp) -> Refused<usize> {
        let billing_body =
            body.get("billing_address").ok_or("The required field 'billing_address' was not supplied.")?;
        let billing = contact(billing_body, "billing_address")?;
        if body.get("consignments").is_some() {
            return Err("The field 'consignments' is not supported together with 'products'.".to_owned());
        }
        let entries = body.get("products").and_then(Value::as_array).filter(|entries| !entries.is_empty());
        let entries = entries.ok_or("The required field 'products' was not supplied.")?;
        let lines = entries.iter().map(|entry| self.line(entry)).collect::<Refused<Vec<_>>>()?;
        let status_id = integer(body, "status_id")?.unwrap_or(1);
        if !(0..=STATUS_MAX).contains(&status_id) {
            return Err("The field 'status_id' is invalid.".to_owned());
        }
        let shipping = shipping_contacts(body, &billing)?;
        let amounts = amounts(body, &lines)?;
        let created = match optional(body, "date_created") {
            Some(text) => parse_date(&text).ok_or("The field 'date_created' is invalid.")?,
            None => now,
        };
        let currency = optional(body, "default_currency_code").unwrap_or_else(|| "USD".to_owned());
        if currency != "USD" {
            return Err(
                "The field 'default_currency_code' is not a transactional currency of this store.".to_owned()
            );
        }
        self.check_stock(&lines)?;
        let mut order = Order {
            index: self.orders.len(),
            id: self.next_order_id(),
            created: whole_second(created),
            modified: whole_second(now),
            shipped: (status_id == 2).then(|| whole_second(now)),
            status_id,
            customer_id: integer(body, "customer_id")?.unwrap_or(0),
            billing,
            addresses: Vec::new(),
            lines,
            shipments: Vec::new(),
            amounts,
            currency,
            payment_method: optional(body, "payment_method").unwrap_or_else(|| "Manual".to_owned()),
            payment_status: String::new(),
            staff_notes: optional(body, "staff_notes").unwrap_or_default(),
            customer_message: optional(body, "customer_message").unwrap_or_default(),
            external_source: optional(body, "external_source"),
            external_order_id: optional(body, "external_order_id"),
            external_merchant_id: optional(body, "external_merchant_id"),
            order_source: "external".to_owned(),
            channel_id: integer(body, "channel_id")?.unwrap_or(1),
            ip_address: optional(body, "ip_address").unwrap_or_default(),
            is_deleted: false,
            has_stock: false,
            mails: 0,
            pays_at: None,
            refunds: Vec::new(),
            refunded: 0,
        };
        for line in &mut order.lines {
            line.id = self.new_line_id();
        }
        for (contact, method) in shipping {
            order.addresses.push(ShippingAddress { id: self.new_address_id(), contact, method });
        }
        let index = self.add(order, now);
        self.settle_stock(index, now);
        Ok(index)
    }

    /// One position. Its id is given later, when nothing can be refused any more.
    fn line(&self, entry: &Value) -> Refused<Line> {
        let quantity = integer(entry, "quantity")?.unwrap_or(0);
        if quantity < 1 {
            return Err("The field 'quantity' is invalid.".to_owned());
        }
        let prices = (amount(entry, "price_ex_tax")?, amount(entry, "price_inc_tax")?);
        let wrapping_ex = amount(entry, "wrapping_cost_ex_tax")?;
        let wrapping_inc = amount(entry, "wrapping_cost_inc_tax")?.or(wrapping_ex).unwrap_or(0);
        let mut line = match integer(entry, "product_id")?.filter(|id| *id != 0) {
            Some(product_id) => self.catalogue_line(entry, product_id, prices)?,
            None => custom_line(entry, prices)?,
        };
        line.quantity = quantity;
        line.wrapping_ex = wrapping_ex.unwrap_or(wrapping_inc);
        line.wrapping_inc = wrapping_inc;
        line.wrapping_name = optional(entry, "wrapping_name").unwrap_or_default();
        line.wrapping_message = optional(entry, "wrapping_message").unwrap_or_default();
        Ok(line)
    }

    fn catalogue_line(
        &self,
        entry: &Value,
        product_id: i64,
        prices: (Option<i64>, Option<i64>),
    ) -> Refused<Line> {
        let place = self.products.binary_search_by_key(&product_id, |product| product.id).ok();
        let product = place.and_then(|place| self.products.get(place));
        let product =
            product.ok_or_else(|| format!("The field 'product_id' is invalid: no product {product_id}."))?;
        let variant = match (integer(entry, "variant_id")?, product.variants.as_slice()) {
            (Some(wanted), variants) => variants.iter().find(|variant| variant.id == wanted),
            (None, [only]) => Some(only),
            (None, variants) => variants.iter().find(|variant| chooses(entry, variant.option.as_ref())),
        };
        let variant = variant.ok_or("The options of one or more products are invalid or missing.")?;
        let catalogue = variant.price.unwrap_or(product.price).saturating_mul(100);
        let (price_ex, price_inc) = match prices {
            (Some(ex), Some(inc)) => (ex, inc),
            (Some(one), None) | (None, Some(one)) => (one, one),
            (None, None) => (catalogue, catalogue),
        };
        Ok(Line {
            product_id,
            variant_id: variant.id,
            name: optional(entry, "name").unwrap_or_else(|| product.name.clone()),
            sku: variant.sku.clone(),
            weight: product.weight,
            option: variant.option.clone(),
            ..blank_line(price_ex, price_inc)
        })
    }

    /// Refuses more units than are in stock, all positions of a variant together.
    fn check_stock(&self, lines: &[Line]) -> Refused<()> {
        if self.stock_rule == StockRule::Off {
            return Ok(());
        }
        let mut units: BTreeMap<i64, i64> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.product_id != 0) {
            let sum = units.entry(line.variant_id).or_default();
            *sum = sum.saturating_add(line.quantity);
        }
        for (id, wanted) in units {
            let Some((product, variant)) = self.variant(id) else { continue };
            if variant.stock < wanted {
                return Err(format!(
                    "The product '{}' (SKU {}) does not have enough stock: {} available, {wanted} requested.",
                    product.name, variant.sku, variant.stock
                ));
            }
        }
        Ok(())
    }
}

fn blank_line(price_ex: i64, price_inc: i64) -> Line {
    Line {
        id: 0,
        product_id: 0,
        variant_id: 0,
        name: String::new(),
        sku: String::new(),
        upc: String::new(),
        quantity: 0,
        shipped: 0,
        price_ex,
        price_inc,
        wrapping_ex: 0,
        wrapping_inc: 0,
        wrapping_name: String::new(),
        wrapping_message: String::new(),
        weight: 0,
        option: None,
    }
}

fn custom_line(entry: &Value, prices: (Option<i64>, Option<i64>)) -> Refused<Line> {
    let name = optional(entry, "name").ok_or("The required field 'name' was not supplied.")?;
    if name.chars().count() > 250 {
        return Err("The field 'name' is invalid: at most 250 characters.".to_owned());
    }
    let (price_ex, price_inc) = match prices {
        (Some(ex), Some(inc)) => (ex, inc),
        (Some(one), None) | (None, Some(one)) => (one, one),
        (None, None) => return Err("The required field 'price_ex_tax' was not supplied.".to_owned()),
    };
    Ok(Line {
        name,
        sku: optional(entry, "sku").unwrap_or_default(),
        upc: optional(entry, "upc").unwrap_or_default(),
        ..blank_line(price_ex, price_inc)
    })
}

/// Whether the entry's `product_options` choose the variant with this option.
fn chooses(entry: &Value, option: Option<&(String, String, i64)>) -> bool {
    let Some((_, label, value_id)) = option else { return false };
    let chosen = entry.get("product_options").and_then(Value::as_array);
    let chosen = chosen.into_iter().flatten().filter_map(|choice| optional(choice, "value"));
    chosen.into_iter().any(|value| value == *label || value == value_id.to_string())
}

/// The order's amounts: sums of the positions, except where the body overrides them in pairs.
fn amounts(body: &Value, lines: &[Line]) -> Refused<Amounts> {
    let sum = |part: fn(&Line) -> i64| lines.iter().map(part).fold(0, i64::saturating_add);
    let counted = Taxed {
        ex: sum(|line| line.price_ex.saturating_mul(line.quantity)),
        inc: sum(|line| line.price_inc.saturating_mul(line.quantity)),
    };
    let wrapped = Taxed { ex: sum(|line| line.wrapping_ex), inc: sum(|line| line.wrapping_inc) };
    let subtotal = pair(body, "subtotal")?.unwrap_or(counted);
    let (shipping, base_shipping) = cost(body, "shipping", Taxed::default())?;
    let (handling, base_handling) = cost(body, "handling", Taxed::default())?;
    let (wrapping, base_wrapping) = cost(body, "wrapping", wrapped)?;
    let discount = amount(body, "discount_amount")?.unwrap_or(0);
    let gross = subtotal.plus(shipping).plus(handling).plus(wrapping);
    let net = |amount: i64| whole_cents((amount - discount).max(0));
    let counted = Taxed { ex: net(gross.ex), inc: net(gross.inc) };
    let total = pair(body, "total")?.unwrap_or(counted);
    Ok(Amounts {
        subtotal,
        shipping,
        base_shipping,
        handling,
        base_handling,
        wrapping,
        base_wrapping,
        discount,
        total,
    })
}

/// A cost from its pair, else from its base, else `fallback`; and the base.
fn cost(body: &Value, name: &str, fallback: Taxed) -> Refused<(Taxed, i64)> {
    let base = amount(body, &format!("base_{name}_cost"))?;
    let pair = pair(body, &format!("{name}_cost"))?;
    let taxed = pair.or_else(|| base.map(|base| Taxed { ex: base, inc: base })).unwrap_or(fallback);
    Ok((taxed, base.unwrap_or(taxed.ex)))
}

fn pair(body: &Value, name: &str) -> Refused<Option<Taxed>> {
    let (ex_name, inc_name) = (format!("{name}_ex_tax"), format!("{name}_inc_tax"));
    match (amount(body, &ex_name)?, amount(body, &inc_name)?) {
        (Some(ex), Some(inc)) => Ok(Some(Taxed { ex, inc })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(format!("The field '{inc_name}' is required when '{ex_name}' is supplied.")),
        (None, Some(_)) => Err(format!("The field '{ex_name}' is required when '{inc_name}' is supplied.")),
    }
}

fn shipping_contacts(body: &Value, billing: &Contact) -> Refused<Vec<(Contact, String)>> {
    let entries =
        body.get("shipping_addresses").and_then(Value::as_array).filter(|entries| !entries.is_empty());
    let Some(entries) = entries else { return Ok(vec![(billing.clone(), String::new())]) };
    let read = |entry: &Value| {
        let method = optional(entry, "shipping_method").unwrap_or_default();
        Ok((contact(entry, "shipping_addresses")?, method))
    };
    entries.iter().map(read).collect()
}

/// A name and address that the store accepts.
pub(super) fn contact(body: &Value, field: &str) -> Refused<Contact> {
    let text = |name: &str| optional(body, name).unwrap_or_default();
    let zip = text("zip");
    if zip.trim().chars().count() < 2 {
        return Err(format!("The field '{field}.zip' is invalid: at least two characters are required."));
    }
    let (name, code) = (text("country"), text("country_iso2"));
    let known = COUNTRIES.iter().find(|(known_name, known_code)| {
        if code.is_empty() {
            known_name.eq_ignore_ascii_case(&name)
        } else {
            known_code.eq_ignore_ascii_case(&code)
        }
    });
    let Some((country, country_iso2)) = known else {
        return Err(format!(
            "The field '{field}.country' is invalid: '{name}{code}' is not a known country."
        ));
    };
    let state = text("state");
    let states = match *country_iso2 {
        "US" => US_STATES,
        "CA" => CANADIAN_PROVINCES,
        _ => "",
    };
    let is_known =
        states.is_empty() || states.split('|').any(|known| known.eq_ignore_ascii_case(state.trim()));
    if !is_known {
        return Err(format!("The field '{field}.state' is invalid: '{state}' is not a state of {country}."));
    }
    Ok(Contact {
        first_name: text("first_name"),
        last_name: text("last_name"),
        company: text("company"),
        street_1: text("street_1"),
        street_2: text("street_2"),
        city: text("city"),
        state,
        zip,
        country: (*country).to_owned(),
        country_iso2: (*country_iso2).to_owned(),
        phone: text("phone"),
        email: text("email"),
    })
}

/// A text that is neither missing nor empty; numbers are taken as text.
pub(super) fn optional(body: &Value, name: &str) -> Option<String> {
    match body.get(name)? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number, as a number or as text.
pub(super) fn integer(body: &Value, name: &str) -> Refused<Option<i64>> {
    let invalid = || format!("The field '{name}' is invalid.");
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_i64().map(Some).ok_or_else(invalid),
        Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| invalid()),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(invalid()),
    }
}

/// An amount that is not negative.
fn amount(body: &Value, name: &str) -> Refused<Option<i64>> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match parse_four_decimals(value) {
            Some(amount) if amount >= 0 => Ok(Some(amount)),
            _ => Err(format!("The field '{name}' is invalid.")),
        },
    }
}

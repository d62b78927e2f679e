//! A simulated BigCommerce store: products, orders, shipments, and what changes them.
//!
//! The state changes only here and in `create`; `calls` checks requests and `wire` writes answers. Amounts are in
//! ten-thousandths of the currency's unit, as V2 writes them; instants are whole seconds, as V2 shows them.

mod app;
mod calls;
mod create;
mod hooks;
mod refunds;
mod storefront;
mod truth;
mod v3;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::catalogue::Good;
use super::draw::Draw;
use super::options::StockRule;
use super::push::Message;
use super::quota::Window;
use super::recent::Recent;
use crate::clock::whole_second;

pub use calls::{Call, operation_of};
use hooks::Hook;
use refunds::Refund;

/// The store's hash, part of every path.
pub const STORE_HASH: &str = "eidersim01";
/// The API account's client id.
pub const CLIENT_ID: &str = "eidersimclient0000000000000000";
/// The API account's secret.
pub const CLIENT_SECRET: &str = "eidersimsecret000000000000000000000000000000000000000000000000";

/// The first order's number.
const FIRST_ORDER_ID: i64 = 100;
/// Calls in a window where quotas do not hold: headers must say something.
const UNLIMITED_QUOTA: i64 = 1_000_000;
/// A window's length.
const WINDOW_MS: i64 = 30_000;

/// One sellable variant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Variant {
    /// Its id.
    pub id: i64,
    /// The merchant's SKU.
    pub sku: String,
    /// Its own price in cents; none inherits the product's.
    pub price: Option<i64>,
    /// Units in stock.
    pub stock: i64,
    /// Option name, value, and the value's id.
    pub option: Option<(String, String, i64)>,
}

/// One product with its variants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Product {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its price in cents.
    pub price: i64,
    /// Its weight in hundredths of an ounce.
    pub weight: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed last.
    pub modified: Timestamp,
    /// At least one.
    pub variants: Vec<Variant>,
}

/// A name and an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    first_name: String,
    last_name: String,
    company: String,
    street_1: String,
    street_2: String,
    city: String,
    state: String,
    zip: String,
    country: String,
    country_iso2: String,
    phone: String,
    email: String,
}

/// Where an order goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShippingAddress {
    id: i64,
    contact: Contact,
    method: String,
}

/// One position; prices for one unit, wrapping for the position.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    id: i64,
    product_id: i64,
    variant_id: i64,
    name: String,
    sku: String,
    upc: String,
    quantity: i64,
    shipped: i64,
    price_ex: i64,
    price_inc: i64,
    wrapping_ex: i64,
    wrapping_inc: i64,
    wrapping_name: String,
    wrapping_message: String,
    weight: i64,
    option: Option<(String, String, i64)>,
}

/// One parcel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shipment {
    id: i64,
    address_id: i64,
    created: Timestamp,
    tracking_number: String,
    tracking_carrier: String,
    tracking_link: String,
    provider: String,
    method: String,
    cost: i64,
    comments: String,
    /// Order product ids and units.
    items: Vec<(i64, i64)>,
}

/// An amount without and with tax.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taxed {
    ex: i64,
    inc: i64,
}

impl Taxed {
    const fn tax(self) -> i64 {
        self.inc - self.ex
    }

    const fn plus(self, other: Self) -> Self {
        Self { ex: self.ex + other.ex, inc: self.inc + other.inc }
    }
}

/// An order's amounts.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Amounts {
    subtotal: Taxed,
    shipping: Taxed,
    base_shipping: i64,
    handling: Taxed,
    base_handling: i64,
    wrapping: Taxed,
    base_wrapping: i64,
    discount: i64,
    total: Taxed,
}

/// One order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    index: usize,
    id: i64,
    created: Timestamp,
    modified: Timestamp,
    shipped: Option<Timestamp>,
    status_id: i64,
    customer_id: i64,
    billing: Contact,
    addresses: Vec<ShippingAddress>,
    lines: Vec<Line>,
    shipments: Vec<Shipment>,
    amounts: Amounts,
    currency: String,
    payment_method: String,
    payment_status: String,
    staff_notes: String,
    customer_message: String,
    external_source: Option<String>,
    external_order_id: Option<String>,
    external_merchant_id: Option<String>,
    order_source: String,
    channel_id: i64,
    ip_address: String,
    is_deleted: bool,
    /// Whether its units have been taken from stock.
    has_stock: bool,
    /// Mails about shipments that the customer has got.
    mails: i64,
    /// When the buyer pays, for storefront orders that are not paid yet.
    pays_at: Option<Timestamp>,
    /// What was refunded in the control panel.
    #[serde(default)]
    refunds: Vec<Refund>,
    /// What went back in all, also where no refund says so.
    #[serde(default)]
    refunded: i64,
}

impl Order {
    fn items_total(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    fn items_shipped(&self) -> i64 {
        self.lines.iter().map(|line| line.shipped).sum()
    }

    /// Counts the parcels' units into the positions.
    fn count_shipped(&mut self) {
        let units = self.shipments.iter().flat_map(|shipment| &shipment.items);
        let units: Vec<(i64, i64)> = units.copied().collect();
        for line in &mut self.lines {
            line.shipped = units.iter().filter(|(id, _)| *id == line.id).map(|(_, count)| count).sum();
        }
    }
}

/// Counters and the token's generation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Meta {
    lines: i64,
    addresses: i64,
    shipments: i64,
    storefront_orders: u64,
    authorisation: u64,
    /// Refunds ever made.
    #[serde(default)]
    refunds: i64,
    /// Hooks ever added.
    #[serde(default)]
    hooks: i64,
    /// Messages ever sent.
    #[serde(default)]
    messages: u64,
    /// Codes of installations ever given.
    #[serde(default)]
    codes_issued: u64,
    /// Messages ever signed for the control panel.
    #[serde(default)]
    messages_signed: u64,
    /// Codes that are good, and the second when each dies.
    #[serde(default)]
    codes: BTreeMap<String, i64>,
}

/// A record of the journal.
#[derive(Serialize)]
pub enum RecordRef<'a> {
    /// Counters.
    Meta(&'a Meta),
    /// An order as it is now.
    Order(&'a Order),
    /// A product as it is now, and its place.
    Product(usize, &'a Product),
    /// A hook as it is now.
    Hook(&'a Hook),
    /// A hook that is gone.
    HookGone(i64),
}

/// A record of the journal, read back.
#[derive(Deserialize)]
pub enum Record {
    /// Counters.
    Meta(Meta),
    /// An order as it was then.
    Order(Box<Order>),
    /// A product as it was then, and its place.
    Product(usize, Product),
    /// A hook as it was then.
    Hook(Hook),
    /// A hook that is gone.
    HookGone(i64),
}

#[derive(Debug, Default)]
struct Changes {
    meta: bool,
    orders: BTreeSet<usize>,
    products: BTreeSet<usize>,
    hooks: BTreeSet<i64>,
}

/// All of the store.
#[derive(Debug)]
pub struct Shop {
    seed: u64,
    stock_rule: StockRule,
    has_quotas: bool,
    window: Window,
    meta: Meta,
    orders: Vec<Order>,
    products: Vec<Product>,
    /// Variant id → product and variant.
    variants: BTreeMap<i64, (usize, usize)>,
    skus: HashMap<String, i64>,
    by_modified: BTreeSet<(i64, usize)>,
    by_created: BTreeSet<(i64, usize)>,
    by_external_id: HashMap<String, BTreeSet<usize>>,
    agenda: BTreeSet<(i64, usize)>,
    /// What changed orders looked like before, for reads that lag behind.
    previous: Recent<Order>,
    hooks: BTreeMap<i64, Hook>,
    /// On their way out. They are lost with the process: polling finds what they told of.
    messages: Vec<Message>,
    changes: Changes,
}

impl Shop {
    /// A store without products or orders.
    pub fn new(seed: u64, stock_rule: StockRule, has_quotas: bool) -> Self {
        let quota = if has_quotas { 150 } else { UNLIMITED_QUOTA };
        Self {
            seed,
            stock_rule,
            has_quotas,
            window: Window::new(quota, WINDOW_MS),
            meta: Meta::default(),
            orders: Vec::new(),
            products: Vec::new(),
            variants: BTreeMap::new(),
            skus: HashMap::new(),
            by_modified: BTreeSet::new(),
            by_created: BTreeSet::new(),
            by_external_id: HashMap::new(),
            agenda: BTreeSet::new(),
            previous: Recent::default(),
            hooks: BTreeMap::new(),
            messages: Vec::new(),
            changes: Changes::default(),
        }
    }

    /// Puts the goods into the catalogue.
    pub fn stock_goods(&mut self, goods: &[Good], now: Timestamp) {
        let mut products: BTreeMap<u32, Product> = BTreeMap::new();
        for (number, good) in goods.iter().enumerate() {
            let number = i64::try_from(number).unwrap_or(0);
            let product = products.entry(good.product_number).or_insert_with(|| Product {
                id: 80 + i64::from(good.product_number),
                name: good.product.clone(),
                price: good.price_cents,
                weight: good.weight_hundredths,
                created: now,
                modified: now,
                variants: Vec::new(),
            });
            product.variants.push(Variant {
                id: 300 + number,
                sku: good.sku.clone(),
                price: (good.price_cents != product.price).then_some(good.price_cents),
                stock: good.stock,
                option: good.option.map(|(name, value)| (name.to_owned(), value.to_owned(), 900 + number)),
            });
        }
        for product in products.into_values() {
            self.changes.products.insert(self.products.len());
            self.put_product(self.products.len(), product);
        }
    }

    /// When the next planned step is due, in microseconds.
    pub fn next_due(&self) -> Option<i64> {
        self.agenda.first().map(|(due, _)| *due)
    }

    /// Takes the step that is due first: the buyer of an unpaid storefront order pays.
    pub fn take_step(&mut self, now: Timestamp) {
        if let Some((_, index)) = self.agenda.first().copied() {
            self.pay(index, now);
        }
    }

    /// An unpaid order is paid. Does nothing to others.
    pub fn pay(&mut self, index: usize, now: Timestamp) {
        self.change(index, now, |order| {
            order.pays_at = None;
            if matches!(order.status_id, 1 | 7) {
                order.status_id = 11;
                order.payment_status = "captured".to_owned();
            }
        });
    }

    /// Sets an order's status, moving stock as the store's rule says.
    pub fn set_status(&mut self, index: usize, status_id: i64, now: Timestamp) {
        self.change(index, now, |order| {
            order.status_id = status_id;
            if status_id == 2 && order.shipped.is_none() {
                order.shipped = Some(whole_second(now));
            }
        });
        self.settle_stock(index, now);
    }

    /// Adds a parcel. The customer gets a mail.
    pub fn add_shipment(&mut self, index: usize, shipment: Shipment, now: Timestamp) {
        let told = self
            .orders
            .get(index)
            .map(|order| json!({"type": "shipment", "id": shipment.id, "orderId": order.id}));
        self.change(index, now, |order| {
            order.shipments.push(shipment);
            order.mails += 1;
            order.count_shipped();
        });
        if let Some(told) = told {
            self.announce("store/shipment/created", told, now);
        }
        let is_whole =
            self.orders.get(index).is_some_and(|order| order.items_shipped() >= order.items_total());
        self.set_status(index, if is_whole { 2 } else { 3 }, now);
    }

    /// Takes parcels away. The status stays, as in the real store.
    pub fn remove_shipments(&mut self, index: usize, id: Option<i64>, now: Timestamp) {
        self.change(index, now, |order| {
            order.shipments.retain(|shipment| id.is_some_and(|id| id != shipment.id));
            order.count_shipped();
        });
    }

    /// Takes or gives back stock where the order's status asks for it. What has shipped is never given back.
    fn settle_stock(&mut self, index: usize, now: Timestamp) {
        let Some(order) = self.orders.get(index) else { return };
        let is_dead = matches!(order.status_id, 0 | 4 | 5 | 6);
        let wants_stock = match self.stock_rule {
            StockRule::Placement => !is_dead,
            StockRule::Completion => matches!(order.status_id, 2 | 10),
            StockRule::Off => false,
        };
        let has_stock = order.has_stock;
        if wants_stock == has_stock || (has_stock && !is_dead) {
            return;
        }
        let units: Vec<_> = order
            .lines
            .iter()
            .map(|line| {
                (line.variant_id, if has_stock { line.quantity - line.shipped } else { -line.quantity })
            })
            .collect();
        if let Some(order) = self.orders.get_mut(index) {
            order.has_stock = wants_stock;
            self.changes.orders.insert(index);
        }
        for (variant, by) in units {
            self.change_stock(variant, by, now);
        }
    }

    fn change_stock(&mut self, variant: i64, by: i64, now: Timestamp) {
        let Some((product, place)) = self.variants.get(&variant).copied() else { return };
        let Some(product_entry) = self.products.get_mut(product) else { return };
        let Some(entry) = product_entry.variants.get_mut(place) else { return };
        entry.stock = entry.stock.saturating_add(by).max(0);
        product_entry.modified = now;
        self.changes.products.insert(product);
    }

    /// The product and the variant of a variant id.
    fn variant(&self, id: i64) -> Option<(&Product, &Variant)> {
        let (product, place) = self.variants.get(&id)?;
        let product = self.products.get(*product)?;
        Some((product, product.variants.get(*place)?))
    }

    /// Changes an order at `now`, keeping everything that depends on it in step.
    fn change(&mut self, index: usize, now: Timestamp, change: impl FnOnce(&mut Order)) {
        let Some(order) = self.orders.get_mut(index) else { return };
        let before = order.clone();
        change(order);
        order.modified = whole_second(now);
        let after = order.clone();
        self.unindex(&before);
        self.index(&after);
        self.previous.remember(index, now, Some(before));
        self.changes.orders.insert(index);
        self.announce("store/order/updated", json!({"type": "order", "id": after.id}), now);
    }

    /// Adds a new order and takes its stock.
    fn add(&mut self, order: Order, now: Timestamp) -> usize {
        let (index, id) = (order.index, order.id);
        self.index(&order);
        self.orders.push(order);
        self.announce("store/order/created", json!({"type": "order", "id": id}), now);
        self.previous.remember(index, now, None);
        self.changes.orders.insert(index);
        index
    }

    fn index(&mut self, order: &Order) {
        self.by_modified.insert((order.modified.as_second(), order.index));
        self.by_created.insert((order.created.as_second(), order.index));
        if let Some(id) = &order.external_order_id {
            self.by_external_id.entry(id.clone()).or_default().insert(order.index);
        }
        if let Some(due) = order.pays_at {
            self.agenda.insert((due.as_microsecond(), order.index));
        }
    }

    fn unindex(&mut self, order: &Order) {
        self.by_modified.remove(&(order.modified.as_second(), order.index));
        self.by_created.remove(&(order.created.as_second(), order.index));
        if let Some(places) = order.external_order_id.as_ref().and_then(|id| self.by_external_id.get_mut(id))
        {
            places.remove(&order.index);
        }
        if let Some(due) = order.pays_at {
            self.agenda.remove(&(due.as_microsecond(), order.index));
        }
    }

    fn put_product(&mut self, index: usize, product: Product) {
        for (place, variant) in product.variants.iter().enumerate() {
            self.variants.insert(variant.id, (index, place));
            self.skus.insert(variant.sku.clone(), variant.id);
        }
        match self.products.get_mut(index) {
            Some(known) => *known = product,
            None => self.products.push(product),
        }
    }

    /// Takes a record of the journal back in.
    pub fn restore(&mut self, record: Record) {
        match record {
            Record::Meta(meta) => self.meta = meta,
            Record::Product(index, product) => self.put_product(index, product),
            Record::Hook(hook) => {
                self.hooks.insert(hook.id, hook);
            }
            Record::HookGone(id) => {
                self.hooks.remove(&id);
            }
            Record::Order(order) => {
                if let Some(known) = self.orders.get(order.index).cloned() {
                    self.unindex(&known);
                }
                self.index(&order);
                match self.orders.get_mut(order.index) {
                    Some(known) => *known = *order,
                    None => self.orders.push(*order),
                }
            }
        }
    }

    /// Gives everything that changed since the last call to `write`, and forgets that it changed.
    pub fn take_changes(&mut self, write: &mut impl FnMut(RecordRef<'_>)) {
        let changes = std::mem::take(&mut self.changes);
        if changes.meta {
            write(RecordRef::Meta(&self.meta));
        }
        for (index, product) in
            changes.products.iter().filter_map(|index| Some((*index, self.products.get(*index)?)))
        {
            write(RecordRef::Product(index, product));
        }
        for order in changes.orders.iter().filter_map(|index| self.orders.get(*index)) {
            write(RecordRef::Order(order));
        }
        for id in &changes.hooks {
            write(self.hooks.get(id).map_or(RecordRef::HookGone(*id), RecordRef::Hook));
        }
    }

    /// Marks everything as changed, for a snapshot.
    pub fn touch_all(&mut self) {
        self.changes.meta = true;
        self.changes.products.extend(0..self.products.len());
        self.changes.orders.extend(0..self.orders.len());
        self.changes.hooks.extend(self.hooks.keys());
    }

    /// The access token that is valid now.
    pub fn access_token(&self) -> String {
        Draw::new(self.seed, "bigcommerce.token", self.meta.authorisation).code(31).to_lowercase()
    }

    /// The access token dies, and a new one is issued.
    pub fn revoke(&mut self) {
        self.meta.authorisation += 1;
        self.changes.meta = true;
    }

    fn new_line_id(&mut self) -> i64 {
        self.changes.meta = true;
        self.meta.lines += 1;
        self.meta.lines
    }

    fn new_address_id(&mut self) -> i64 {
        self.changes.meta = true;
        self.meta.addresses += 1;
        self.meta.addresses
    }

    fn new_shipment_id(&mut self) -> i64 {
        self.changes.meta = true;
        self.meta.shipments += 1;
        self.meta.shipments
    }

    fn next_order_id(&self) -> i64 {
        FIRST_ORDER_ID.saturating_add(i64::try_from(self.orders.len()).unwrap_or(0))
    }

    /// The place of the order with this number.
    fn place_of(&self, id: i64) -> Option<usize> {
        let index = usize::try_from(id.checked_sub(FIRST_ORDER_ID)?).ok()?;
        (index < self.orders.len()).then_some(index)
    }
}

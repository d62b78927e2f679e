//! A simulated Amazon: its orders, listings and tokens, and what changes them.
//!
//! The state changes only here; `calls` checks requests and `wire` writes answers. Every change of an order goes
//! through [`Amazon::change`], which keeps the indexes, the agenda and the list of what to journal in step.

mod calls;
mod feeds;
mod generate;
mod queue;
mod storage;
mod truth;
mod wire;

pub use queue::{ACCESS_KEY_ID, QUEUE_URL};

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::book::{Book, Entry, Standing};
use super::catalogue::Good;
use super::draw::Draw;
use super::quota::Bucket;

pub use calls::{Call, operation_of};
use feeds::{Document, Feed, Refund};

/// The seller whose account this is.
pub const SELLER_ID: &str = "A3EIDERSIM0001";
/// The marketplace of the shop's currency.
pub const MARKETPLACE_US: &str = "ATVPDKIKX0DER";
/// The marketplace of the other currency.
pub const MARKETPLACE_CA: &str = "A2EUQ1WTGCTBG2";
/// The application's identifier.
pub const CLIENT_ID: &str = "amzn1.application-oa2-client.0e1de5eider";
/// The application's secret.
pub const CLIENT_SECRET: &str = "amzn1.oa2-cs.v1.simulated-secret";

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Not paid yet.
    Pending,
    /// Paid, nothing shipped.
    Unshipped,
    /// Some units shipped.
    PartiallyShipped,
    /// All units shipped.
    Shipped,
    /// Will never ship.
    Cancelled,
}

/// Something that will happen to an order by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The payment goes through.
    Pay,
    /// The payment fails.
    CancelUnpaid,
    /// The order disappears, as unpaid ones do.
    Vanish,
    /// The buyer cancels before shipment.
    CancelByBuyer,
    /// Amazon's warehouse ships.
    ShipByAmazon,
}

/// Who cancelled an order, in Amazon's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Canceller {
    /// The buyer.
    Buyer,
    /// The seller.
    Merchant,
    /// Amazon, because the payment failed.
    Amazon,
}

/// One position of an order; amounts in cents for the whole position, discounts as positive numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// Amazon's order item id.
    pub id: String,
    /// The listing, counted from 0.
    pub listing: usize,
    /// Units ordered.
    pub quantity: i64,
    /// The price of one unit.
    pub unit: i64,
    /// Tax on the goods.
    pub item_tax: i64,
    /// Shipping.
    pub shipping: i64,
    /// Tax on shipping.
    pub shipping_tax: i64,
    /// Gift wrap.
    pub gift: i64,
    /// Tax on gift wrap.
    pub gift_tax: i64,
    /// Discount on the goods.
    pub discount: i64,
    /// Discount on shipping.
    pub shipping_discount: i64,
    /// The promotion behind the discounts.
    pub promotion: Option<String>,
    /// The buyer's gift message.
    pub gift_message: Option<String>,
    /// Whether the buyer designed it.
    #[serde(default)]
    pub is_customised: bool,
    /// What went back.
    #[serde(default)]
    pub refunds: Vec<Refund>,
}

impl Line {
    /// The goods' price without tax and discount.
    pub const fn item(&self) -> i64 {
        self.unit.saturating_mul(self.quantity)
    }

    /// All tax on the position.
    pub const fn tax(&self) -> i64 {
        self.item_tax + self.shipping_tax + self.gift_tax
    }

    /// All discounts on the position.
    pub const fn discounts(&self) -> i64 {
        self.discount + self.shipping_discount
    }

    /// What the buyer pays for the position.
    pub const fn total(&self) -> i64 {
        self.item() + self.shipping + self.gift + self.tax() - self.discounts()
    }
}

/// One parcel of an order that the seller ships.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Package {
    /// The seller's number for it.
    pub reference: String,
    /// The carrier's code, or its name where the code is `Other`.
    pub carrier: String,
    /// The shipping service.
    pub method: String,
    /// The tracking number.
    pub tracking: Option<String>,
    /// When it left.
    pub shipped: Timestamp,
    /// When Amazon heard of it.
    pub created: Timestamp,
    /// Order item ids and units.
    pub items: Vec<(String, i64)>,
}

/// One order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Its place in the list of all orders.
    pub index: usize,
    /// Amazon's order id.
    pub id: String,
    /// When the buyer placed it.
    pub placed: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// Whether it was ever paid.
    pub is_paid: bool,
    /// Whether Amazon's warehouse ships it.
    pub is_fba: bool,
    /// Whether it was placed in the other currency's marketplace.
    pub is_foreign: bool,
    /// Whether it is a business order.
    pub is_business: bool,
    /// Whether Amazon withholds the tax.
    pub is_tax_withheld: bool,
    /// Whether it disappeared.
    pub is_gone: bool,
    /// Whether a test placed it, so that it does nothing by itself.
    pub is_scripted: bool,
    /// The buyer's number.
    pub buyer: u64,
    /// The recipient's number, the buyer's mostly.
    pub recipient: u64,
    /// Amazon's word for the shipping speed.
    pub service: String,
    /// The positions.
    pub lines: Vec<Line>,
    /// The parcels of the seller.
    pub packages: Vec<Package>,
    /// The order item ids that the buyer asks the seller to cancel.
    #[serde(default)]
    pub unwanted: Vec<String>,
    /// Who cancelled it.
    pub cancelled_by: Option<Canceller>,
    /// The seller's reasons for that, in the feed's words.
    #[serde(default)]
    pub cancel_reasons: Vec<String>,
    /// What will happen by itself, and when.
    pub plan: Option<(Timestamp, Step)>,
}

impl Order {
    /// What the buyer pays.
    pub fn total(&self) -> i64 {
        self.lines.iter().map(Line::total).sum()
    }

    /// The order's currency.
    pub const fn currency(&self) -> &'static str {
        if self.is_foreign { "CAD" } else { "USD" }
    }

    /// The order's marketplace.
    pub const fn marketplace(&self) -> &'static str {
        if self.is_foreign { MARKETPLACE_CA } else { MARKETPLACE_US }
    }

    /// Units of a position that have shipped.
    pub fn fulfilled(&self, line: &Line) -> i64 {
        if self.is_fba {
            return if self.status == Status::Shipped { line.quantity } else { 0 };
        }
        self.fulfilled_without(line, None)
    }

    /// Units of a position in parcels other than `reference`.
    fn fulfilled_without(&self, line: &Line, reference: Option<&str>) -> i64 {
        let parcels = self.packages.iter().filter(|package| Some(package.reference.as_str()) != reference);
        parcels
            .flat_map(|package| &package.items)
            .filter(|(id, _)| *id == line.id)
            .map(|(_, count)| count)
            .sum()
    }

    /// The status that follows from the parcels.
    fn status_by_packages(&self) -> Status {
        let left: i64 =
            self.lines.iter().map(|line| line.quantity - self.fulfilled_without(line, None)).sum();
        match (left, self.packages.is_empty()) {
            (left, _) if left <= 0 => Status::Shipped,
            (_, true) => Status::Unshipped,
            (_, false) => Status::PartiallyShipped,
        }
    }
}

impl Entry for Order {
    type Id = String;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn standing(&self) -> Standing {
        Standing {
            place: self.index,
            placed: self.placed,
            updated: self.updated,
            due: self.plan.map(|(due, _)| due),
            is_listed: !self.is_gone,
        }
    }
}

/// One listing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing {
    /// The seller's SKU.
    pub sku: String,
    /// Amazon's catalogue number.
    pub asin: String,
    /// The title there.
    pub title: String,
    /// The price in cents.
    pub price: i64,
    /// Units for sale.
    pub quantity: i64,
    /// Whether Amazon's warehouse ships it.
    pub is_fba: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
}

/// Counters and tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Meta {
    orders_generated: u64,
    tokens_issued: u64,
    authorisation: u64,
    /// Access tokens and the microsecond when each dies.
    tokens: BTreeMap<String, i64>,
    /// The same of the application itself.
    #[serde(default)]
    application_tokens: BTreeMap<String, i64>,
    #[serde(default)]
    notifications: queue::Notifications,
}

/// A record of the journal.
#[derive(Serialize)]
pub enum RecordRef<'a> {
    /// Counters and tokens.
    Meta(&'a Meta),
    /// An order as it is now.
    Order(&'a Order),
    /// A listing as it is now, and its place.
    Listing(usize, &'a Listing),
    /// A feed's file as it is now, and its place.
    Document(usize, &'a Document),
    /// A feed as it is now, and its place.
    Feed(usize, &'a Feed),
}

/// A record of the journal, read back.
#[derive(Deserialize)]
pub enum Record {
    /// Counters and tokens.
    Meta(Meta),
    /// An order as it was then.
    Order(Box<Order>),
    /// A listing as it was then, and its place.
    Listing(usize, Listing),
    /// A feed's file as it was then, and its place.
    Document(usize, Document),
    /// A feed as it was then, and its place.
    Feed(usize, Box<Feed>),
}

/// What has changed since the last look.
#[derive(Debug, Default)]
struct Changes {
    meta: bool,
    listings: BTreeSet<usize>,
    documents: BTreeSet<usize>,
    feeds: BTreeSet<usize>,
}

/// All of Amazon.
#[derive(Debug)]
pub struct Amazon {
    seed: u64,
    foreign_percent: u32,
    customised_percent: u32,
    has_quotas: bool,
    meta: Meta,
    orders: Book<Order>,
    listings: Vec<Listing>,
    documents: Vec<Document>,
    feeds: Vec<Feed>,
    feed_agenda: BTreeSet<(i64, usize)>,
    /// How the next feeds end, where a test said so.
    feed_fates: VecDeque<feeds::Fate>,
    /// Rows of feeds that were done in part, as they were handed over.
    rows_left: Vec<BTreeMap<String, String>>,
    listing_index: HashMap<String, usize>,
    buckets: HashMap<&'static str, Bucket>,
    changes: Changes,
}

impl Amazon {
    /// An Amazon without orders or listings.
    pub fn new(seed: u64, foreign_percent: u32, customised_percent: u32, has_quotas: bool) -> Self {
        Self {
            seed,
            foreign_percent,
            customised_percent,
            has_quotas,
            documents: Vec::new(),
            feeds: Vec::new(),
            feed_agenda: BTreeSet::new(),
            feed_fates: VecDeque::new(),
            rows_left: Vec::new(),
            meta: Meta::default(),
            orders: Book::default(),
            listings: Vec::new(),
            listing_index: HashMap::new(),
            buckets: HashMap::new(),
            changes: Changes::default(),
        }
    }

    /// Lists the goods: most under the shop's SKU, some shipped by Amazon, a few under a SKU that the shop does not
    /// know.
    pub fn list_goods(&mut self, goods: &[Good], now: Timestamp) {
        for (number, good) in goods.iter().enumerate() {
            let mut draw = Draw::new(self.seed, "amazon.listing", u64::try_from(number).unwrap_or(0));
            let (sku, is_fba) = match number % 20 {
                4 | 11 | 17 => (format!("{}-FBA", good.sku), true),
                8 => (format!("AMZ-{}", draw.code(10)), false),
                _ => (good.sku.clone(), false),
            };
            let listing = Listing {
                sku,
                asin: format!("B0{}", draw.code(8)),
                title: format!("{} | Gift-ready packaging, 2-year warranty", good.title),
                price: good.price_cents + draw.between(0, 4) * 50,
                quantity: good.stock,
                is_fba,
                created: now,
                updated: now,
            };
            self.changes.listings.insert(self.listings.len());
            self.put_listing(self.listings.len(), listing);
        }
    }

    /// When the next planned step is due, in microseconds.
    pub fn next_due(&self) -> Option<i64> {
        let dues = [self.orders.first_due(), self.feed_agenda.first().copied()];
        dues.into_iter().flatten().map(|(due, _)| due).min()
    }

    /// Takes the step that is due first.
    pub fn take_step(&mut self, now: Timestamp) {
        let of_orders = self.orders.first_due().map(|(due, _)| due);
        let of_feeds = self.feed_agenda.first().map(|(due, _)| *due);
        if let Some(due) = of_feeds
            && of_orders.is_none_or(|other| due < other)
        {
            return self.take_feed_step(now);
        }
        let Some((_, index)) = self.orders.first_due() else { return };
        let Some((_, step)) = self.orders.get(index).and_then(|order| order.plan) else { return };
        match step {
            Step::Pay => self.pay(index, now),
            Step::CancelUnpaid => self.cancel(index, Canceller::Amazon, now),
            Step::CancelByBuyer => self.cancel(index, Canceller::Buyer, now),
            Step::Vanish => {
                self.cancel(index, Canceller::Amazon, now);
                self.change(index, now, |order| order.is_gone = true);
            }
            Step::ShipByAmazon => self.change(index, now, |order| {
                order.status = Status::Shipped;
                order.plan = None;
            }),
        }
    }

    /// The payment of a pending order goes through. Does nothing to others.
    pub fn pay(&mut self, index: usize, now: Timestamp) {
        if self.orders.get(index).is_none_or(|order| order.status != Status::Pending) {
            return;
        }
        let plan = self.plan_after_payment(index, now);
        self.change(index, now, |order| {
            order.status = Status::Unshipped;
            order.is_paid = true;
            order.plan = plan;
        });
    }

    /// Cancels an order of which nothing has shipped, and puts the units back on sale. Does nothing to others.
    pub fn cancel(&mut self, index: usize, by: Canceller, now: Timestamp) {
        let Some(order) = self.orders.get(index) else { return };
        if !matches!(order.status, Status::Pending | Status::Unshipped) {
            self.change(index, now, |order| order.plan = None);
            return;
        }
        let units: Vec<_> = order.lines.iter().map(|line| (line.listing, line.quantity)).collect();
        self.change(index, now, |order| {
            order.status = Status::Cancelled;
            order.cancelled_by = Some(by);
            order.plan = None;
        });
        for (listing, quantity) in units {
            self.change_stock(listing, quantity, now);
        }
    }

    /// Adds a parcel, or puts it in the place of the one with the same reference.
    pub fn put_package(&mut self, index: usize, package: Package, now: Timestamp) {
        self.change(index, now, |order| {
            match order.packages.iter_mut().find(|known| known.reference == package.reference) {
                Some(known) => *known = package,
                None => order.packages.push(package),
            }
            order.status = order.status_by_packages();
            order.plan = None;
        });
    }

    /// Changes an order at `now`.
    fn change(&mut self, index: usize, now: Timestamp, change: impl FnOnce(&mut Order)) {
        self.orders.change(index, now, |order| {
            change(order);
            order.updated = now;
        });
        self.announce(index, now);
    }

    /// Adds a new order.
    fn add(&mut self, order: Order) {
        let (index, placed) = (order.index, order.placed);
        self.orders.add(order);
        self.announce(index, placed);
    }

    fn change_stock(&mut self, listing: usize, by: i64, now: Timestamp) {
        if let Some(entry) = self.listings.get_mut(listing) {
            entry.quantity = entry.quantity.saturating_add(by).max(0);
            entry.updated = now;
            self.changes.listings.insert(listing);
        }
    }

    fn put_listing(&mut self, index: usize, listing: Listing) {
        self.listing_index.insert(listing.sku.clone(), index);
        match self.listings.get_mut(index) {
            Some(known) => *known = listing,
            None => self.listings.push(listing),
        }
    }

    /// Takes a record of the journal back in.
    pub fn restore(&mut self, record: Record) {
        match record {
            Record::Meta(meta) => self.meta = meta,
            Record::Listing(index, listing) => self.put_listing(index, listing),
            Record::Feed(place, feed) => self.put_feed(place, *feed),
            Record::Document(place, document) => match self.documents.get_mut(place) {
                Some(known) => *known = document,
                None => self.documents.push(document),
            },
            Record::Order(order) => self.orders.restore(*order),
        }
    }

    /// Gives everything that changed since the last call to `write`, and forgets that it changed.
    pub fn take_changes(&mut self, write: &mut impl FnMut(RecordRef<'_>)) {
        let changes = std::mem::take(&mut self.changes);
        if changes.meta {
            write(RecordRef::Meta(&self.meta));
        }
        for (index, listing) in
            changes.listings.iter().filter_map(|index| Some((*index, self.listings.get(*index)?)))
        {
            write(RecordRef::Listing(index, listing));
        }
        for (place, document) in
            changes.documents.iter().filter_map(|place| Some((*place, self.documents.get(*place)?)))
        {
            write(RecordRef::Document(place, document));
        }
        for (place, feed) in changes.feeds.iter().filter_map(|place| Some((*place, self.feeds.get(*place)?)))
        {
            write(RecordRef::Feed(place, feed));
        }
        self.orders.take_changes(|order| write(RecordRef::Order(order)));
    }

    /// Marks everything as changed, for a snapshot.
    pub fn touch_all(&mut self) {
        self.changes.meta = true;
        self.changes.listings.extend(0..self.listings.len());
        self.orders.touch_all();
        self.changes.documents.extend(0..self.documents.len());
        self.changes.feeds.extend(0..self.feeds.len());
    }

    /// The refresh token that is valid now.
    pub fn refresh_token(&self) -> String {
        let number = self.meta.authorisation;
        format!("Atzr|{}", Draw::new(self.seed, "amazon.refresh", number).code(60))
    }

    /// Ends the seller's authorisation: all tokens die, and a new refresh token is issued.
    pub fn revoke(&mut self) {
        self.meta.authorisation += 1;
        self.meta.tokens.clear();
        self.changes.meta = true;
    }

    /// A token for the application itself, which opens no order.
    fn issue_application_token(&mut self, now: Timestamp) -> String {
        let token = self.issue_access_token(now);
        if let Some(dies) = self.meta.tokens.remove(&token) {
            self.meta.application_tokens.retain(|_, dies| *dies > now.as_microsecond());
            self.meta.application_tokens.insert(token.clone(), dies);
        }
        token
    }

    fn issue_access_token(&mut self, now: Timestamp) -> String {
        let number = self.meta.tokens_issued;
        self.meta.tokens_issued += 1;
        let token = format!("Atza|{}", Draw::new(self.seed, "amazon.access", number).code(60));
        let now = now.as_microsecond();
        self.meta.tokens.retain(|_, dies| *dies > now);
        self.meta.tokens.insert(token.clone(), now + TOKEN_SECONDS * 1_000_000);
        self.changes.meta = true;
        token
    }
}

/// How long an access token lives.
const TOKEN_SECONDS: i64 = 3_600;

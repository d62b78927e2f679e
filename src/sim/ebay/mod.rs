//! A simulated eBay: its orders, its stock, its cancellations and tokens, and what changes them.
//!
//! The state changes only here and in `generate`; `calls` checks requests and `wire` writes answers. Every change of an
//! order goes through [`Ebay::change`], which keeps the indexes, the agenda and the list of what to journal in step.
//!
//! eBay's quotas are per day and application and not documented for these APIs: none holds here.

mod calls;
mod generate;
mod hooks;
mod truth;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::book::{Book, Entry, Standing};
use super::catalogue::Good;
use super::draw::Draw;
use super::push::Message;
use crate::clock::shifted;

pub use calls::{Call, operation_of};

/// The application's id.
pub const CLIENT_ID: &str = "EiderSim-Eider-PRD-0e1de5000-eider001";
/// The application's secret.
pub const CLIENT_SECRET: &str = "PRD-0e1de5000-simulated-secret";
/// What stands for the redirect address.
pub const RU_NAME: &str = "Eider_Sim-EiderSim-Eider-eiders";
/// Where alerts of undelivered notifications go.
pub const ALERT_EMAIL: &str = "alerts@shop.example";
/// The seller's immutable id.
pub const USER_ID: &str = "eIdErS1mU01";
/// The immutable id of another seller, of whom nothing but the name is known here.
pub const OTHER_USER_ID: &str = "eIdErS1mU02";
/// The code that the consent page hands out.
pub const CONSENT_CODE: &str = "v^1.1#i^1#simulated-consent-code";
/// Where the seller lists.
pub const MARKETPLACE: &str = "EBAY_US";

/// How long an access token lives.
const TOKEN_SECONDS: i64 = 7_200;

/// How long eBay takes for a refund.
const REFUND_SECONDS: i64 = 60;

/// Something that will happen to an order by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The payment goes through.
    Pay,
    /// The purchase is never paid.
    Lapse,
    /// The buyer cancels before shipment.
    CancelByBuyer,
    /// A cancellation that was asked for is done.
    EndCancellation,
    /// eBay's warehouse ships.
    ShipByEbay,
}

/// A cancellation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cancellation {
    /// eBay's id.
    pub id: String,
    /// Whether it is done.
    pub is_closed: bool,
    /// Whether the buyer asked for it.
    pub is_by_buyer: bool,
    /// Whether it waits for the seller to grant it.
    #[serde(default)]
    pub is_asked_only: bool,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub requested: Timestamp,
}

/// Money that goes back for a position, or for the whole order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refund {
    /// eBay's id, which is shown of what `issueRefund` made.
    pub id: String,
    /// Whether it was made in Seller Hub or by a cancellation, and not by `issueRefund`.
    #[serde(default)]
    pub is_made_elsewhere: bool,
    /// Whether eBay could not take the money from the seller.
    #[serde(default)]
    pub has_failed: bool,
    /// The position; none for the order.
    pub line: Option<String>,
    /// Cents.
    pub amount: i64,
    /// When it was asked for.
    pub issued: Timestamp,
}

impl Refund {
    /// One of the whole order that `issueRefund` did not make.
    pub const fn elsewhere(id: String, amount: i64, issued: Timestamp) -> Self {
        Self { id, is_made_elsewhere: true, has_failed: false, line: None, amount, issued }
    }

    /// Whether the money has gone back.
    pub fn is_through(&self, now: Timestamp) -> bool {
        !self.has_failed && shifted(self.issued, SignedDuration::from_secs(REFUND_SECONDS)) <= now
    }

    /// Whether eBay is still at it.
    pub fn is_under_way(&self, now: Timestamp) -> bool {
        !self.has_failed && !self.is_through(now)
    }
}

/// One position of an order; amounts in cents for the whole position, discounts as positive numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// eBay's id of it.
    pub id: String,
    /// The listing, counted from 0.
    pub listing: usize,
    /// Units ordered.
    pub quantity: i64,
    /// The price of one unit.
    pub unit: i64,
    /// Discount on the goods.
    pub discount: i64,
    /// Shipping.
    pub shipping: i64,
    /// Discount on shipping.
    pub shipping_discount: i64,
    /// Tax on all of it.
    pub tax: i64,
}

impl Line {
    /// The goods' price before discounts.
    pub const fn item(&self) -> i64 {
        self.unit.saturating_mul(self.quantity)
    }

    /// What the buyer pays for the position, without tax.
    pub const fn net(&self) -> i64 {
        self.item() - self.discount + self.shipping - self.shipping_discount
    }
}

/// One parcel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parcel {
    /// The tracking number, or 999.
    pub id: String,
    /// The carrier's code.
    pub carrier: Option<String>,
    /// The tracking number.
    pub tracking: Option<String>,
    /// When it left.
    pub shipped: Timestamp,
    /// Ids of positions and units.
    pub items: Vec<(String, i64)>,
}

/// One order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Its place in the list of all orders.
    pub index: usize,
    /// eBay's order id.
    pub id: String,
    /// When the buyer bought.
    pub placed: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    /// Whether it is paid. Only then it is shown.
    pub is_paid: bool,
    /// Whether eBay's warehouse ships it.
    pub is_by_ebay: bool,
    /// Whether eBay's warehouse has shipped it.
    pub is_shipped_by_ebay: bool,
    /// Whether the parcel goes to eBay's shipping hub.
    pub is_by_hub: bool,
    /// Whether the parcel goes to an authenticator.
    pub is_verified: bool,
    /// Whether eBay takes and remits the tax; else it is the seller's.
    pub is_tax_remitted: bool,
    /// Whether a test placed it, so that it does nothing by itself.
    pub is_scripted: bool,
    /// The buyer's number.
    pub buyer: u64,
    /// The recipient's number, the buyer's mostly.
    pub recipient: u64,
    /// eBay's word for the service.
    pub service: String,
    /// The buyer's words.
    pub note: Option<String>,
    /// The positions.
    pub lines: Vec<Line>,
    /// The parcels of the seller.
    pub parcels: Vec<Parcel>,
    /// Its cancellation.
    pub cancellation: Option<Cancellation>,
    /// Money that went back.
    pub refunds: Vec<Refund>,
    /// What will happen by itself, and when.
    pub plan: Option<(Timestamp, Step)>,
}

impl Order {
    /// What the buyer pays without tax that eBay remits.
    pub fn net(&self) -> i64 {
        self.lines.iter().map(|line| line.net() + if self.is_tax_remitted { 0 } else { line.tax }).sum()
    }

    /// Tax that eBay takes and remits.
    pub fn remitted(&self) -> i64 {
        if self.is_tax_remitted { self.lines.iter().map(|line| line.tax).sum() } else { 0 }
    }

    /// What went back, or will.
    pub fn given_back(&self) -> i64 {
        self.refunds.iter().filter(|refund| !refund.has_failed).map(|refund| refund.amount).sum()
    }

    /// What the buyer pays.
    pub fn total(&self) -> i64 {
        self.net() + self.remitted()
    }

    /// Whether it is cancelled for good.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.as_ref().is_some_and(|cancellation| cancellation.is_closed)
    }

    /// Units of a position that have shipped.
    pub fn fulfilled(&self, line: &Line) -> i64 {
        if self.is_shipped_by_ebay {
            return line.quantity;
        }
        let items = self.parcels.iter().flat_map(|parcel| &parcel.items);
        let units: i64 = items.filter(|(id, _)| *id == line.id).map(|(_, count)| count).sum();
        units.min(line.quantity)
    }

    /// eBay's word for how far it is.
    pub fn fulfillment_word(&self) -> &'static str {
        let left: i64 = self.lines.iter().map(|line| line.quantity - self.fulfilled(line)).sum();
        let is_begun = self.lines.iter().any(|line| self.fulfilled(line) > 0);
        match (left, is_begun) {
            (0, _) => "FULFILLED",
            (_, true) => "IN_PROGRESS",
            (_, false) => "NOT_STARTED",
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
            is_listed: self.is_paid,
        }
    }
}

/// One listing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing {
    /// The seller's SKU.
    pub sku: String,
    /// eBay's listing id.
    pub id: String,
    /// The variation's id, where it has variations.
    pub variation: Option<String>,
    /// Name and value of the variation.
    pub option: Option<(String, String)>,
    /// The title there.
    pub title: String,
    /// The price in cents.
    pub price: i64,
    /// Units for sale.
    pub quantity: i64,
    /// Whether eBay's warehouse ships it.
    pub is_by_ebay: bool,
    /// Whether it was made in Seller Hub without a SKU: the Inventory API does not know it.
    pub is_legacy: bool,
}

/// An address that notifications go to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Destination {
    /// eBay's id.
    pub id: String,
    /// As it was asked for.
    pub body: serde_json::Value,
}

/// A topic that is sent to a destination.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subscription {
    /// eBay's id.
    pub id: String,
    /// As it was asked for.
    pub body: serde_json::Value,
}

/// Counters, tokens and notifications.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Meta {
    orders_generated: u64,
    tokens_issued: u64,
    authorisation: u64,
    numbers_given: u64,
    /// Access tokens, the microsecond when each dies, and whether it is the seller's.
    tokens: BTreeMap<String, (i64, bool)>,
    destinations: Vec<Destination>,
    subscriptions: Vec<Subscription>,
    /// Whether the other seller is the one who says yes on eBay's page.
    #[serde(default)]
    is_other_signed_in: bool,
    /// Access tokens of the other seller.
    #[serde(default)]
    tokens_of_other: BTreeSet<String>,
    /// Whether grants lack the scope that tells whose they are.
    #[serde(default)]
    is_seller_hidden: bool,
    /// Where alerts go; without it there are no destinations.
    #[serde(default)]
    alert_email: Option<String>,
}

/// A record of the journal.
#[derive(Serialize)]
pub enum RecordRef<'a> {
    /// Counters, tokens and notifications.
    Meta(&'a Meta),
    /// An order as it is now.
    Order(&'a Order),
    /// A listing as it is now, and its place.
    Listing(usize, &'a Listing),
}

/// A record of the journal, read back.
#[derive(Deserialize)]
pub enum Record {
    /// Counters, tokens and notifications.
    Meta(Box<Meta>),
    /// An order as it was then.
    Order(Box<Order>),
    /// A listing as it was then, and its place.
    Listing(usize, Box<Listing>),
}

/// What has changed since the last look.
#[derive(Debug, Default)]
struct Changes {
    meta: bool,
    listings: BTreeSet<usize>,
}

/// All of eBay.
#[derive(Debug)]
pub struct Ebay {
    seed: u64,
    meta: Meta,
    orders: Book<Order>,
    listings: Vec<Listing>,
    listing_index: HashMap<String, usize>,
    changes: Changes,
    messages: Vec<Message>,
}

impl Ebay {
    /// An eBay without orders or listings.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            meta: Meta::default(),
            orders: Book::default(),
            listings: Vec::new(),
            listing_index: HashMap::new(),
            changes: Changes::default(),
            messages: Vec::new(),
        }
    }

    /// Lists the goods: most under the shop's SKU, some shipped by eBay, a few under a SKU that the shop does not know
    /// or under none at all.
    pub fn list_goods(&mut self, goods: &[Good]) {
        for (number, good) in goods.iter().enumerate() {
            let mut draw = Draw::new(self.seed, "ebay.listing", u64::try_from(number).unwrap_or(0));
            let (sku, is_by_ebay) = match number % 20 {
                6 => (format!("{}-EFN", good.sku), true),
                13 => (format!("EB-{}", draw.code(10)), false),
                _ => (good.sku.clone(), false),
            };
            let mut of_product = Draw::new(self.seed, "ebay.product", u64::from(good.product_number));
            let listing = Listing {
                sku,
                id: format!("2{}", of_product.digits(11)),
                variation: good.option.map(|_| draw.digits(12)),
                option: good.option.map(|(name, value)| (name.to_owned(), value.to_owned())),
                title: good.product.chars().take(80).collect(),
                price: good.price_cents + draw.between(0, 3) * 100,
                quantity: good.stock,
                is_by_ebay,
                is_legacy: number % 20 == 9,
            };
            self.changes.listings.insert(number);
            self.put_listing(number, listing);
        }
    }

    /// When the next planned step is due, in microseconds.
    pub fn next_due(&self) -> Option<i64> {
        self.orders.first_due().map(|(due, _)| due)
    }

    /// Takes the step that is due first.
    pub fn take_step(&mut self, now: Timestamp) {
        let Some((_, index)) = self.orders.first_due() else { return };
        let Some((_, step)) = self.orders.get(index).and_then(|order| order.plan) else { return };
        match step {
            Step::Pay => self.pay(index, now),
            Step::Lapse => self.change(index, now, |order| order.plan = None),
            Step::CancelByBuyer => self.cancel(index, true, "BUYER_ASKED_CANCEL", now),
            Step::EndCancellation => self.end_cancellation(index, now),
            Step::ShipByEbay => self.change(index, now, |order| {
                order.is_shipped_by_ebay = true;
                order.plan = None;
            }),
        }
    }

    /// The payment of a purchase goes through. Does nothing to others.
    pub fn pay(&mut self, index: usize, now: Timestamp) {
        if self.orders.get(index).is_none_or(|order| order.is_paid) {
            return;
        }
        let plan = self.plan_after_payment(index, now);
        self.change(index, now, |order| {
            order.is_paid = true;
            order.plan = plan;
        });
        self.announce(index, now);
    }

    /// Cancels an order of which nothing has shipped, at once. Does nothing to others.
    pub fn cancel(&mut self, index: usize, is_by_buyer: bool, reason: &str, now: Timestamp) {
        self.ask_to_cancel(index, is_by_buyer, reason, now);
        self.end_cancellation(index, now);
    }

    /// Asks for a cancellation, which takes a while. The answer is its id; none where it cannot be.
    pub fn ask_to_cancel(
        &mut self,
        index: usize,
        is_by_buyer: bool,
        reason: &str,
        now: Timestamp,
    ) -> Option<String> {
        let order = self.orders.get(index)?;
        if order.cancellation.is_some() {
            return None;
        }
        if order.fulfillment_word() != "NOT_STARTED" {
            self.change(index, now, |order| order.plan = None);
            return None;
        }
        let id = format!("5{}", self.new_number(9));
        let seconds = Draw::new(self.seed, "ebay.cancel", u64::try_from(index).unwrap_or(0)).between(20, 60);
        let due = shifted(now, SignedDuration::from_secs(seconds));
        let cancellation = Cancellation {
            id: id.clone(),
            is_closed: false,
            is_by_buyer,
            is_asked_only: false,
            reason: reason.to_owned(),
            requested: now,
        };
        self.change(index, now, |order| {
            order.cancellation = Some(cancellation);
            order.plan = Some((due, Step::EndCancellation));
        });
        Some(id)
    }

    /// The buyer asks for a cancellation, of which nothing comes until the seller grants it.
    pub fn ask_seller_to_cancel(&mut self, index: usize, now: Timestamp) {
        if self.ask_to_cancel(index, true, "BUYER_ASKED_CANCEL", now).is_none() {
            return;
        }
        self.change(index, now, |order| {
            order.plan = None;
            if let Some(cancellation) = &mut order.cancellation {
                cancellation.is_asked_only = true;
            }
        });
    }

    /// The seller grants a cancellation. False where none waits for that.
    pub fn approve(&mut self, index: usize, now: Timestamp) -> bool {
        let waits = |order: &Order| {
            order.cancellation.as_ref().is_some_and(|one| one.is_asked_only && !one.is_closed)
        };
        if !self.orders.get(index).is_some_and(waits) {
            return false;
        }
        let due = shifted(now, SignedDuration::from_secs(30));
        self.change(index, now, |order| {
            order.plan = Some((due, Step::EndCancellation));
            if let Some(cancellation) = &mut order.cancellation {
                cancellation.is_asked_only = false;
            }
        });
        true
    }

    /// A cancellation is done: the money goes back and the units are on sale again.
    fn end_cancellation(&mut self, index: usize, now: Timestamp) {
        let Some(order) = self.orders.get(index) else { return };
        if order.cancellation.as_ref().is_none_or(|cancellation| cancellation.is_closed) {
            return;
        }
        let units: Vec<_> = order.lines.iter().map(|line| (line.listing, line.quantity)).collect();
        let refund = order.is_paid.then(|| order.net() - order.given_back()).filter(|left| *left > 0);
        let id = format!("7{}", self.new_number(10));
        self.change(index, now, |order| {
            if let Some(cancellation) = &mut order.cancellation {
                cancellation.is_closed = true;
            }
            if let Some(amount) = refund {
                order.refunds.push(Refund::elsewhere(id, amount, now));
            }
            order.plan = None;
        });
        for (listing, quantity) in units {
            self.change_stock(listing, quantity);
        }
    }

    /// Somebody gives money back in Seller Hub. False where so much cannot go back.
    pub fn give_back(&mut self, index: usize, amount: i64, now: Timestamp) -> bool {
        let has_left = |order: &Order| order.is_paid && amount <= order.net() - order.given_back();
        if amount <= 0 || !self.orders.get(index).is_some_and(has_left) {
            return false;
        }
        let id = format!("7{}", self.new_number(10));
        self.change(index, now, |order| order.refunds.push(Refund::elsewhere(id, amount, now)));
        true
    }

    /// The newest refund fails. False where none is under way.
    pub fn fail_refund(&mut self, index: usize, now: Timestamp) -> bool {
        let newest = self.orders.get(index).and_then(|order| order.refunds.last());
        let Some(id) = newest.filter(|refund| refund.is_under_way(now)).map(|refund| refund.id.clone())
        else {
            return false;
        };
        self.change(index, now, |order| {
            for refund in order.refunds.iter_mut().filter(|refund| refund.id == id) {
                refund.has_failed = true;
            }
        });
        true
    }

    /// Adds a parcel.
    pub fn add_parcel(&mut self, index: usize, parcel: Parcel, now: Timestamp) {
        self.change(index, now, |order| {
            order.parcels.push(parcel);
            order.plan = None;
        });
    }

    /// Changes an order at `now`.
    fn change(&mut self, index: usize, now: Timestamp, change: impl FnOnce(&mut Order)) {
        self.orders.change(index, now, |order| {
            change(order);
            order.updated = now;
        });
    }

    fn change_stock(&mut self, listing: usize, by: i64) {
        if let Some(entry) = self.listings.get_mut(listing) {
            entry.quantity = entry.quantity.saturating_add(by).max(0);
            self.changes.listings.insert(listing);
        }
    }

    fn put_listing(&mut self, index: usize, listing: Listing) {
        if !listing.is_legacy {
            self.listing_index.insert(listing.sku.clone(), index);
        }
        match self.listings.get_mut(index) {
            Some(known) => *known = listing,
            None => self.listings.push(listing),
        }
    }

    /// Takes a record of the journal back in.
    pub fn restore(&mut self, record: Record) {
        match record {
            Record::Meta(meta) => self.meta = *meta,
            Record::Listing(index, listing) => self.put_listing(index, *listing),
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
        self.orders.take_changes(|order| write(RecordRef::Order(order)));
    }

    /// Marks everything as changed, for a snapshot.
    pub fn touch_all(&mut self) {
        self.changes.meta = true;
        self.changes.listings.extend(0..self.listings.len());
        self.orders.touch_all();
    }

    /// The refresh token that is valid now.
    pub fn refresh_token(&self) -> String {
        let number = self.meta.authorisation;
        format!("v^1.1#i^1#r^1#{}", Draw::new(self.seed, "ebay.refresh", number).code(60))
    }

    /// The other seller's refresh token.
    pub fn other_refresh_token(&self) -> String {
        format!("v^1.1#i^1#r^1#{}", Draw::new(self.seed, "ebay.refresh.other", 0).code(60))
    }

    /// Decides who says yes on eBay's page from now on. The answer is that seller and the refresh token that comes of it.
    pub fn sign_in(&mut self, is_other: bool) -> (&'static str, String) {
        self.meta.is_other_signed_in = is_other;
        self.changes.meta = true;
        if is_other { (OTHER_USER_ID, self.other_refresh_token()) } else { (USER_ID, self.refresh_token()) }
    }

    /// Decides whether grants tell whose they are.
    pub fn hide_seller(&mut self, is_hidden: bool) {
        self.meta.is_seller_hidden = is_hidden;
        self.changes.meta = true;
    }

    /// Ends the seller's authorisation: all tokens die, and a new refresh token is issued.
    pub fn revoke(&mut self) {
        self.meta.authorisation += 1;
        self.meta.tokens.clear();
        self.meta.tokens_of_other.clear();
        self.changes.meta = true;
    }

    /// eBay switches off what does not answer.
    pub fn disable_subscriptions(&mut self) {
        for one in &mut self.meta.subscriptions {
            set(&mut one.body, "status", "DISABLED");
        }
        self.changes.meta = true;
    }

    /// eBay switches off the addresses that do not answer.
    pub fn disable_destinations(&mut self) {
        for one in &mut self.meta.destinations {
            set(&mut one.body, "status", "DISABLED");
        }
        self.changes.meta = true;
    }

    /// The newest subscription leads to an address that is gone.
    pub fn lose_address(&mut self) {
        if let Some(newest) = self.meta.subscriptions.last_mut() {
            set(&mut newest.body, "destinationId", "00000000-0000-0000-0000-000000000000");
        }
        self.changes.meta = true;
    }

    fn issue_access_token(&mut self, is_sellers: bool, now: Timestamp) -> String {
        let number = self.meta.tokens_issued;
        self.meta.tokens_issued += 1;
        let token = format!("v^1.1#i^1#p^3#{}", Draw::new(self.seed, "ebay.access", number).code(60));
        let now = now.as_microsecond();
        self.meta.tokens.retain(|_, (dies, _)| *dies > now);
        self.meta.tokens.insert(token.clone(), (now + TOKEN_SECONDS * 1_000_000, is_sellers));
        self.changes.meta = true;
        token
    }

    /// A number of `length` digits that was not given before, in all likelihood.
    fn new_number(&mut self, length: usize) -> String {
        let number = self.meta.numbers_given;
        self.meta.numbers_given += 1;
        self.changes.meta = true;
        Draw::new(self.seed, "ebay.number", number).digits(length)
    }
}

/// Sets a field of an object.
fn set(body: &mut serde_json::Value, name: &str, value: impl Into<serde_json::Value>) {
    if let Some(fields) = body.as_object_mut() {
        fields.insert(name.to_owned(), value.into());
    }
}

//! A simulated Etsy: one shop's receipts, listings, grants and mails, and what changes them.
//!
//! The state changes only here; `calls` checks requests and `wire` writes answers. Every change of a receipt goes
//! through [`Etsy::change`]. As on the real Etsy a receipt's time of change stands still when it is cancelled or
//! refunded, and every call that tells of a parcel sends the buyer a mail.

mod calls;
mod generate;
mod hooks;
mod tokens;
mod truth;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::book::{Book, Entry, Standing};
use super::catalogue::Good;
use super::draw::Draw;
use super::push::Message;
use super::quota::Window;

pub use calls::{Call, operation_of};

/// The shop's number.
pub const SHOP_ID: i64 = 52_000_017;
/// Its owner's number.
pub const USER_ID: i64 = 41_000_023;
/// The number of another shop, of which nothing but the number is known here.
pub const OTHER_SHOP_ID: i64 = 52_000_018;
/// Its owner's number.
pub const OTHER_USER_ID: i64 = 41_000_024;
/// The app's public half.
pub const KEYSTRING: &str = "eidersimkeystring0000001";
/// The app's secret half.
pub const SHARED_SECRET: &str = "eidersim01";

/// Where a receipt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The payment is under way.
    Processing,
    /// Paid, not shipped.
    Paid,
    /// Shipped, or handed out as files.
    Completed,
    /// Will never ship.
    Canceled,
}

/// Something that will happen to a receipt by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The payment goes through.
    Pay,
    /// The seller agrees to a buyer's wish and cancels on Etsy's page.
    Cancel,
    /// The seller gives a part of the price back.
    RefundPart,
}

/// One position of a receipt; amounts in cents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// Etsy's transaction id.
    pub id: i64,
    /// The listing, counted from 0.
    pub listing: usize,
    /// Its product, counted from 0.
    pub product: usize,
    /// Units.
    pub quantity: i64,
    /// The price of one unit.
    pub unit: i64,
    /// What the buyer had written on it.
    pub personalization: Option<String>,
}

/// A parcel that Etsy was told of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parcel {
    /// Etsy's id of it.
    pub id: i64,
    /// The carrier's name.
    pub carrier: String,
    /// The tracking number.
    pub tracking: String,
    /// When the buyer got the mail.
    pub told: Timestamp,
}

/// Money given back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refund {
    /// How much, in cents.
    pub amount: i64,
    /// When.
    pub at: Timestamp,
}

/// One receipt; amounts in cents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    /// Its place in the list of all receipts.
    pub index: usize,
    /// Etsy's id.
    pub id: i64,
    /// When the buyer placed it.
    pub placed: Timestamp,
    /// When Etsy says that it changed last.
    pub updated: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// Whether it was ever paid.
    pub is_paid: bool,
    /// Whether a test placed it, so that it does nothing by itself.
    pub is_scripted: bool,
    /// The buyer's number.
    pub buyer: u64,
    /// The gift's message and sender.
    pub gift: Option<(String, String)>,
    /// What the buyer wrote to the seller.
    pub note: Option<String>,
    /// Gift wrap.
    pub wrap: i64,
    /// A coupon, as a positive number.
    pub discount: i64,
    /// Shipping.
    pub shipping: i64,
    /// Sales tax.
    pub tax: i64,
    /// Value-added tax.
    pub vat: i64,
    /// The positions.
    pub lines: Vec<Line>,
    /// The parcels.
    pub parcels: Vec<Parcel>,
    /// The refunds.
    pub refunds: Vec<Refund>,
    /// What will happen by itself, and when.
    pub plan: Option<(Timestamp, Step)>,
}

impl Receipt {
    /// The goods' prices.
    pub fn goods(&self) -> i64 {
        self.lines.iter().map(|line| line.unit.saturating_mul(line.quantity)).sum()
    }

    /// What the buyer pays.
    pub fn total(&self) -> i64 {
        self.goods() - self.discount + self.shipping + self.tax + self.vat + self.wrap
    }

    /// What went back.
    pub fn refunded(&self) -> i64 {
        self.refunds.iter().map(|refund| refund.amount).sum()
    }
}

/// One variant of a listing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Product {
    /// Etsy's id.
    pub id: i64,
    /// The seller's SKU.
    pub sku: String,
    /// What it is a variant by: `("Color", "Charcoal")`.
    pub option: Option<(String, String)>,
    /// The price in cents.
    pub price: i64,
    /// Units for sale.
    pub quantity: i64,
}

impl Entry for Receipt {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    fn standing(&self) -> Standing {
        Standing {
            place: self.index,
            placed: self.placed,
            updated: self.updated,
            due: self.plan.map(|(due, _)| due),
            is_listed: true,
        }
    }
}

/// One listing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing {
    /// Etsy's id.
    pub id: i64,
    /// The title.
    pub title: String,
    /// Whether it is files.
    pub is_digital: bool,
    /// The variants; at least one.
    pub products: Vec<Product>,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
}

/// A mail that Etsy sent to a buyer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mail {
    /// The receipt's id.
    pub receipt: i64,
    /// What it told of.
    pub tracking: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Counters, grants and mails.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Meta {
    receipts_generated: u64,
    ids_given: i64,
    tokens_issued: u64,
    /// The number of the refresh token that is valid: it changes with every renewal.
    refresh: u64,
    /// Access tokens and the microsecond when each dies.
    tokens: BTreeMap<String, i64>,
    /// Codes of Etsy's page, not exchanged yet.
    codes: BTreeMap<String, tokens::Code>,
    mails: Vec<Mail>,
    /// Whether the app sees no addresses and may tell no tracking.
    is_walled: bool,
    /// Calls by hour since 1970: the quota is of a rolling day.
    calls_by_hour: BTreeMap<i64, i64>,
    /// What was entered in Etsy's webhook portal.
    #[serde(default)]
    hook: Option<hooks::Hook>,
    #[serde(default)]
    messages_sent: u64,
    /// Whether the other shop's owner is the one who says yes on Etsy's page.
    #[serde(default)]
    is_other_signed_in: bool,
    /// The number of the other owner's refresh token.
    #[serde(default)]
    other_refresh: u64,
}

/// A record of the journal.
#[derive(Serialize)]
pub enum RecordRef<'a> {
    /// Counters, grants and mails.
    Meta(&'a Meta),
    /// A receipt as it is now.
    Receipt(&'a Receipt),
    /// A listing as it is now, and its place.
    Listing(usize, &'a Listing),
}

/// A record of the journal, read back.
#[derive(Deserialize)]
pub enum Record {
    /// Counters, grants and mails.
    Meta(Box<Meta>),
    /// A receipt as it was then.
    Receipt(Box<Receipt>),
    /// A listing as it was then, and its place.
    Listing(usize, Listing),
}

/// What has changed since the last look.
#[derive(Debug, Default)]
struct Changes {
    meta: bool,
    listings: BTreeSet<usize>,
}

/// All of Etsy.
#[derive(Debug)]
pub struct Etsy {
    seed: u64,
    has_quotas: bool,
    meta: Meta,
    receipts: Book<Receipt>,
    listings: Vec<Listing>,
    /// Listing and product by SKU.
    sku_index: HashMap<String, (usize, usize)>,
    second: Window,
    changes: Changes,
    messages: Vec<Message>,
}

/// Calls a second.
const CALLS_PER_SECOND: i64 = 10;

impl Etsy {
    /// An Etsy without receipts or listings.
    pub fn new(seed: u64, has_quotas: bool) -> Self {
        Self {
            seed,
            has_quotas,
            meta: Meta::default(),
            receipts: Book::default(),
            listings: Vec::new(),
            sku_index: HashMap::new(),
            second: Window::new(CALLS_PER_SECOND, 1_000),
            changes: Changes::default(),
            messages: Vec::new(),
        }
    }

    /// Lists the goods, variants of one product as one listing: most under the shop's SKU, some as files to download, a
    /// few under a SKU that the shop does not know.
    pub fn list_goods(&mut self, goods: &[Good], now: Timestamp) {
        let mut by_product: BTreeMap<u32, Vec<&Good>> = BTreeMap::new();
        for good in goods {
            by_product.entry(good.product_number).or_default().push(good);
        }
        for (number, goods) in by_product {
            let Some(first) = goods.first() else { continue };
            let mut draw = Draw::new(self.seed, "etsy.listing", u64::from(number));
            let is_digital = number % 13 == 5;
            let is_unknown = number % 17 == 8;
            let products = goods.iter().enumerate().map(|(place, good)| Product {
                id: 9_000_000_000 + i64::from(number) * 100 + i64::try_from(place).unwrap_or(0),
                sku: match (is_digital, is_unknown) {
                    (true, _) => format!("{}-PDF", good.sku),
                    (false, true) => format!("ETSY-{}", draw.code(8)),
                    (false, false) => good.sku.clone(),
                },
                option: good.option.map(|(name, value)| (name.to_owned(), value.to_owned())),
                price: good.price_cents + draw.between(0, 4) * 50,
                // Etsy's most is 999.
                quantity: good.stock.min(999),
            });
            let kind = if is_digital { "digital pattern" } else { "handmade" };
            let listing = Listing {
                id: 1_700_000_000 + i64::from(number),
                title: format!("{} | {kind}, the maker's own & signed", first.product),
                is_digital,
                products: products.collect(),
                created: now,
                updated: now,
            };
            let index = self.listings.len();
            self.changes.listings.insert(index);
            self.put_listing(index, listing);
        }
    }

    /// When the next planned step is due, in microseconds.
    pub fn next_due(&self) -> Option<i64> {
        self.receipts.first_due().map(|(due, _)| due)
    }

    /// Takes the step that is due first.
    pub fn take_step(&mut self, now: Timestamp) {
        let Some((_, index)) = self.receipts.first_due() else { return };
        let Some((_, step)) = self.receipts.get(index).and_then(|receipt| receipt.plan) else { return };
        match step {
            Step::Pay => self.pay(index, now),
            Step::Cancel => {
                self.cancel(index, now);
            }
            Step::RefundPart => {
                let amount = self.receipts.get(index).map_or(0, |receipt| receipt.total() / 4);
                self.refund(index, amount, now);
            }
        }
        self.change(index, now, false, |receipt| {
            // What the step itself has planned stays; the step that was taken does not come again.
            if receipt.plan.is_some_and(|(due, taken)| taken == step && due <= now) {
                receipt.plan = None;
            }
        });
    }

    /// The payment goes through. Does nothing to receipts that are paid or cancelled.
    pub fn pay(&mut self, index: usize, now: Timestamp) {
        if self.receipts.get(index).is_none_or(|receipt| receipt.status != Status::Processing) {
            return;
        }
        let is_digital = self.receipts.get(index).is_some_and(|receipt| self.is_digital(receipt));
        let plan = self.plan_after_payment(index, now);
        self.change(index, now, true, |receipt| {
            receipt.status = if is_digital { Status::Completed } else { Status::Paid };
            receipt.is_paid = true;
            receipt.plan = plan;
        });
        self.announce("order.paid", index, now);
    }

    /// Cancels a receipt that has not shipped: everything goes back, and Etsy's time of change stands still. True where
    /// it could be.
    pub fn cancel(&mut self, index: usize, now: Timestamp) -> bool {
        let Some(receipt) = self.receipts.get(index) else { return false };
        if !matches!(receipt.status, Status::Processing | Status::Paid) {
            return false;
        }
        let left = if receipt.is_paid { receipt.total() - receipt.refunded() } else { 0 };
        let units: Vec<_> =
            receipt.lines.iter().map(|line| (line.listing, line.product, line.quantity)).collect();
        self.change(index, now, false, |receipt| {
            receipt.status = Status::Canceled;
            receipt.plan = None;
            if left > 0 {
                receipt.refunds.push(Refund { amount: left, at: now });
            }
        });
        for (listing, product, quantity) in units {
            self.change_stock(listing, product, quantity, now);
        }
        self.announce("order.canceled", index, now);
        true
    }

    /// Gives money back, and Etsy's time of change stands still. True where so much was left.
    pub fn refund(&mut self, index: usize, amount: i64, now: Timestamp) -> bool {
        let Some(receipt) = self.receipts.get(index) else { return false };
        let left = receipt.total() - receipt.refunded();
        if !receipt.is_paid || amount < 1 || amount > left {
            return false;
        }
        self.change(index, now, false, |receipt| receipt.refunds.push(Refund { amount, at: now }));
        true
    }

    /// Tells of a parcel, or of the shipment alone: the receipt is complete and the buyer gets a mail, every time.
    pub fn ship(&mut self, index: usize, parcel: Option<(String, String)>, now: Timestamp) {
        let id = self.next_id();
        let Some(receipt) = self.receipts.get(index) else { return };
        let tracking = parcel.as_ref().map(|(_, tracking)| tracking.clone());
        self.meta.mails.push(Mail { receipt: receipt.id, tracking, at: now });
        self.changes.meta = true;
        self.change(index, now, true, |receipt| {
            receipt.status = Status::Completed;
            receipt.plan = None;
            receipt.parcels.extend(parcel.map(|(carrier, tracking)| Parcel {
                id,
                carrier,
                tracking,
                told: now,
            }));
        });
        self.announce("order.shipped", index, now);
    }

    /// Whether the app sees addresses and may tell tracking.
    pub fn set_wall(&mut self, is_walled: bool) {
        self.meta.is_walled = is_walled;
        self.changes.meta = true;
    }

    fn is_digital(&self, receipt: &Receipt) -> bool {
        let is_files =
            |line: &Line| self.listings.get(line.listing).is_some_and(|listing| listing.is_digital);
        receipt.lines.iter().all(is_files)
    }

    /// Changes a receipt at `now`; `is_told` says whether Etsy's time of change moves with it.
    fn change(&mut self, index: usize, now: Timestamp, is_told: bool, change: impl FnOnce(&mut Receipt)) {
        self.receipts.change(index, now, |receipt| {
            change(receipt);
            if is_told {
                receipt.updated = now;
            }
        });
    }

    fn put_listing(&mut self, index: usize, listing: Listing) {
        for (place, product) in listing.products.iter().enumerate() {
            self.sku_index.insert(product.sku.clone(), (index, place));
        }
        match self.listings.get_mut(index) {
            Some(known) => *known = listing,
            None => self.listings.push(listing),
        }
    }

    fn change_stock(&mut self, listing: usize, product: usize, by: i64, now: Timestamp) {
        let Some(entry) = self.listings.get_mut(listing) else { return };
        entry.updated = now;
        if let Some(product) = entry.products.get_mut(product) {
            product.quantity = product.quantity.saturating_add(by).clamp(0, 999);
        }
        self.changes.listings.insert(listing);
    }

    /// A number that nothing else has.
    fn next_id(&mut self) -> i64 {
        self.meta.ids_given += 1;
        self.changes.meta = true;
        3_400_000_000 + self.meta.ids_given
    }

    /// Takes a record of the journal back in.
    pub fn restore(&mut self, record: Record) {
        match record {
            Record::Meta(meta) => self.meta = *meta,
            Record::Listing(index, listing) => self.put_listing(index, listing),
            Record::Receipt(receipt) => self.receipts.restore(*receipt),
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
        self.receipts.take_changes(|receipt| write(RecordRef::Receipt(receipt)));
    }

    /// Marks everything as changed, for a snapshot.
    pub fn touch_all(&mut self) {
        self.changes.meta = true;
        self.changes.listings.extend(0..self.listings.len());
        self.receipts.touch_all();
    }
}

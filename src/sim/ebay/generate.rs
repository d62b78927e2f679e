//! Where eBay's orders come from: each follows from the seed and its number.

use jiff::{SignedDuration, Timestamp};

use super::super::draw::Draw;
use super::super::money::share;
use super::{Cancellation, Ebay, Line, Order, Parcel, Refund, Step};
use crate::clock::shifted;

/// Sales tax rates in hundredths of a percent.
const TAX_RATES: [i64; 8] = [0, 625, 700, 825, 888, 950, 1_025, 560];

const NOTES: [&str; 4] = [
    "Please leave it at the back door, the dog is friendly.",
    "Könnten Sie bitte gut verpacken? Danke!",
    "It's a gift -- no invoice in the box please :)",
    "Monogram: Z. & M. <3",
];

/// An order that a test asks for.
pub struct Wish {
    /// The listing's place.
    pub listing: usize,
    /// Units.
    pub quantity: i64,
    /// Whether it is paid at once.
    pub is_paid: bool,
}

impl Ebay {
    /// Generates `count` orders placed in the `days` before `start`, most of them shipped.
    pub fn generate_history(&mut self, count: u32, days: u32, start: Timestamp) {
        let span = i64::from(days) * 86_400;
        let step = span.checked_div(i64::from(count)).unwrap_or(span).max(1);
        for number in 0..i64::from(count) {
            let mut draw = Draw::new(self.seed, "ebay.history", u64::try_from(number).unwrap_or(0));
            let age = span.saturating_sub(number.saturating_mul(span) / i64::from(count.max(1)));
            let age = age.saturating_sub(draw.between(0, step)).max(60);
            let placed = shifted(start, SignedDuration::from_secs(-age));
            let Some(mut order) = self.new_order(placed, None) else { continue };
            age_order(&mut order, &mut draw, start, age);
            self.orders.add(order);
        }
    }

    /// Generates the next order, placed at `now`.
    pub fn generate_order(&mut self, now: Timestamp) {
        let number = self.meta.orders_generated;
        let Some(mut order) = self.new_order(now, None) else { return };
        let mut draw = Draw::new(self.seed, "ebay.life", number);
        if draw.percent(10) {
            let wait = SignedDuration::from_secs(draw.between(20, 600));
            let step = if draw.percent(20) { Step::Lapse } else { Step::Pay };
            order.plan = Some((shifted(now, wait), step));
        } else {
            order.is_paid = true;
        }
        let index = self.place(order);
        if self.orders.get(index).is_some_and(|order| order.is_paid)
            && let Some((due, step)) = self.plan_after_payment(index, now)
        {
            self.orders.amend(index, |order| order.plan = Some((due, step)));
        }
    }

    /// Places the order that a test asks for. It does nothing by itself: only the test pays, ships or cancels it.
    pub fn sell(&mut self, wish: &Wish, now: Timestamp) -> Option<usize> {
        let mut order = self.new_order(now, Some(wish))?;
        order.is_scripted = true;
        order.is_paid = wish.is_paid;
        Some(self.place(order))
    }

    /// What an order that has just been paid will do by itself.
    pub(super) fn plan_after_payment(&self, index: usize, now: Timestamp) -> Option<(Timestamp, Step)> {
        let order = self.orders.get(index).filter(|order| !order.is_scripted)?;
        let mut draw = Draw::new(self.seed, "ebay.after-payment", u64::try_from(index).unwrap_or(0));
        if order.is_by_ebay {
            let wait = SignedDuration::from_secs(draw.between(300, 3_600));
            return Some((shifted(now, wait), Step::ShipByEbay));
        }
        draw.percent(3)
            .then(|| (shifted(now, SignedDuration::from_secs(draw.between(60, 2_400))), Step::CancelByBuyer))
    }

    fn place(&mut self, order: Order) -> usize {
        let (index, placed) = (order.index, order.placed);
        let units: Vec<_> = order.lines.iter().map(|line| (line.listing, line.quantity)).collect();
        self.orders.add(order);
        for (listing, quantity) in units {
            self.change_stock(listing, -quantity);
        }
        self.announce(index, placed);
        index
    }

    /// An unpaid order, not yet added.
    fn new_order(&mut self, placed: Timestamp, wish: Option<&Wish>) -> Option<Order> {
        let number = self.meta.orders_generated;
        self.meta.orders_generated += 1;
        self.changes.meta = true;
        let mut draw = Draw::new(self.seed, "ebay.order", number);
        // One in five buys again. Buyers here are others than Amazon's.
        let number = number + 3_000_000_000;
        let buyer =
            if draw.percent(20) { 3_000_000_000 + draw.below(number - 2_999_999_999) } else { number };
        let recipient = if draw.percent(6) { number + 1_000_000_000 } else { buyer };
        let is_by_ebay = match wish {
            Some(wish) => self.listings.get(wish.listing)?.is_by_ebay,
            None => draw.percent(5),
        };
        let rate = draw.pick(&TAX_RATES).copied().unwrap_or(0);
        let lines = match wish {
            Some(wish) => vec![self.new_line(&mut draw, wish.listing, wish.quantity, rate)?],
            None => self.new_lines(&mut draw, is_by_ebay, rate),
        };
        if lines.is_empty() {
            return None;
        }
        let is_special = !is_by_ebay && wish.is_none();
        Some(Order {
            index: self.orders.len(),
            id: self.new_order_id(&mut draw),
            placed,
            updated: placed,
            is_paid: false,
            is_by_ebay,
            is_shipped_by_ebay: false,
            is_by_hub: is_special && draw.percent(4),
            is_verified: is_special && draw.percent(2),
            is_tax_remitted: draw.percent(90),
            is_scripted: false,
            buyer,
            recipient,
            service: draw
                .pick(&["USPSPriority", "UPSGround", "FedExHomeDelivery", "USPSFirstClass"])?
                .to_string(),
            note: draw.percent(8).then(|| draw.word(&NOTES).to_owned()),
            lines,
            parcels: Vec::new(),
            cancellation: None,
            refunds: Vec::new(),
            plan: None,
        })
    }

    fn new_order_id(&self, draw: &mut Draw) -> String {
        loop {
            let id = format!("{:02}-{}-{}", draw.between(1, 29), draw.digits(5), draw.digits(5));
            if self.orders.place_of(&id).is_none() {
                return id;
            }
        }
    }

    fn new_lines(&self, draw: &mut Draw, is_by_ebay: bool, rate: i64) -> Vec<Line> {
        let count = if draw.percent(80) { 1 } else { draw.between(2, 4) };
        let mut lines: Vec<Line> = Vec::new();
        for _ in 0..count {
            let Some(listing) = self.pick_listing(draw, is_by_ebay) else { continue };
            if lines.iter().any(|line| line.listing == listing) {
                continue;
            }
            let quantity = if draw.percent(80) { 1 } else { draw.between(2, 4) };
            lines.extend(self.new_line(draw, listing, quantity, rate));
        }
        lines
    }

    /// A listing with enough units; the first ones sell best.
    fn pick_listing(&self, draw: &mut Draw, is_by_ebay: bool) -> Option<usize> {
        let count = u64::try_from(self.listings.len()).unwrap_or(0);
        let is_fit = |index: &usize| {
            self.listings
                .get(*index)
                .is_some_and(|listing| listing.is_by_ebay == is_by_ebay && listing.quantity >= 5)
        };
        let chosen = (0..40)
            .filter_map(|_| usize::try_from(draw.below(count).min(draw.below(count))).ok())
            .find(is_fit);
        chosen.or_else(|| (0..self.listings.len()).find(is_fit))
    }

    fn new_line(&self, draw: &mut Draw, listing: usize, quantity: i64, rate: i64) -> Option<Line> {
        let unit = self.listings.get(listing)?.price;
        let item = unit.saturating_mul(quantity);
        let discount = if draw.percent(15) { share(item, draw.between(300, 2_500)).min(item) } else { 0 };
        let shipping = if draw.percent(40) { draw.between(299, 1_499) } else { 0 };
        let shipping_discount = if shipping > 0 && draw.percent(20) { shipping / 2 } else { 0 };
        Some(Line {
            id: format!("100{}", draw.digits(11)),
            listing,
            quantity,
            unit,
            discount,
            shipping,
            shipping_discount,
            tax: share(item - discount + shipping - shipping_discount, rate),
        })
    }
}

/// Turns a new order into one of the back catalogue, placed `age` seconds before `start`.
fn age_order(order: &mut Order, draw: &mut Draw, start: Timestamp, age: i64) {
    let delay = draw.between(3_600, 3 * 86_400).min(age.saturating_sub(30)).max(1);
    let changed = shifted(order.placed, SignedDuration::from_secs(delay)).min(start);
    order.updated = changed;
    order.is_paid = true;
    if draw.percent(4) {
        order.cancellation = Some(Cancellation {
            id: format!("5{}", draw.digits(9)),
            is_closed: true,
            is_by_buyer: draw.percent(50),
            is_asked_only: false,
            reason: "BUYER_ASKED_CANCEL".to_owned(),
            requested: order.placed,
        });
        let id = format!("7{}", draw.digits(10));
        order.refunds.push(Refund::elsewhere(id, order.net(), changed));
        return;
    }
    // The last day's orders are still being worked on.
    if age < 86_400 && draw.percent(40) && !order.is_by_ebay {
        order.updated = order.placed;
        return;
    }
    if order.is_by_ebay {
        order.is_shipped_by_ebay = true;
        return;
    }
    let items = order.lines.iter().map(|line| (line.id.clone(), line.quantity)).collect();
    let tracking = format!("9400{}", draw.digits(18));
    order.parcels.push(Parcel {
        id: tracking.clone(),
        carrier: Some(draw.word(&["USPS", "UPS", "FedEx"]).to_owned()),
        tracking: Some(tracking),
        shipped: changed,
        items,
    });
}

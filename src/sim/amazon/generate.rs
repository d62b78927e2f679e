//! Where Amazon's orders come from: each follows from the seed and its number.

use jiff::{SignedDuration, Timestamp};

use super::super::draw::Draw;
use super::super::money::share;
use super::{Amazon, Canceller, Line, Order, Package, Status, Step};
use crate::clock::shifted;

/// Sales tax rates in hundredths of a percent, by the recipient's number.
const TAX_RATES: [i64; 8] = [0, 625, 700, 825, 888, 950, 1_025, 560];

const MESSAGES: [&str; 5] = [
    "Happy birthday, Zoë! 🎂 Love from all of us.",
    "Congratulations on the new house & garden",
    "For Anne-Marie — <3",
    "Enjoy!\n\n— Mum & Dad",
    "Merry Christmas 2026 \"ho ho ho\"",
];

/// An order that a test asks for.
pub struct Wish {
    /// The listing's place.
    pub listing: usize,
    /// Units.
    pub quantity: i64,
    /// Whether it is paid at once.
    pub is_paid: bool,
    /// Whether the buyer designed it.
    pub is_customised: bool,
}

impl Amazon {
    /// Generates `count` orders placed in the `days` before `start`, most of them shipped.
    pub fn generate_history(&mut self, count: u32, days: u32, start: Timestamp) {
        let span = i64::from(days) * 86_400;
        let step = span.checked_div(i64::from(count)).unwrap_or(span).max(1);
        for number in 0..i64::from(count) {
            let mut draw = Draw::new(self.seed, "amazon.history", u64::try_from(number).unwrap_or(0));
            let age = span.saturating_sub(number.saturating_mul(span) / i64::from(count.max(1)));
            let age = age.saturating_sub(draw.between(0, step)).max(60);
            let placed = shifted(start, SignedDuration::from_secs(-age));
            let Some(mut order) = self.new_order(placed, None) else { continue };
            age_order(&mut order, &mut draw, start, age);
            self.add(order);
        }
    }

    /// Generates the next order, placed at `now`.
    pub fn generate_order(&mut self, now: Timestamp) {
        let number = self.meta.orders_generated;
        let Some(mut order) = self.new_order(now, None) else { return };
        let mut draw = Draw::new(self.seed, "amazon.life", number);
        let pending = if order.is_fba { 40 } else { 12 };
        if draw.percent(pending) {
            let wait = SignedDuration::from_secs(draw.between(20, 600));
            let step = match draw.below(10) {
                0 => Step::CancelUnpaid,
                1 => Step::Vanish,
                _ => Step::Pay,
            };
            order.plan = Some((shifted(now, wait), step));
        } else {
            order.status = Status::Unshipped;
            order.is_paid = true;
        }
        let index = self.place(order, now);
        self.plan_next(index, now);
    }

    /// Places the order that a test asks for. It does nothing by itself: only the test pays, ships or cancels it.
    pub fn sell(&mut self, wish: &Wish, now: Timestamp) -> Option<usize> {
        let mut order = self.new_order(now, Some(wish))?;
        order.is_scripted = true;
        if wish.is_paid {
            order.status = Status::Unshipped;
            order.is_paid = true;
        }
        Some(self.place(order, now))
    }

    /// What an order that has just been paid will do by itself.
    pub(super) fn plan_after_payment(&self, index: usize, now: Timestamp) -> Option<(Timestamp, Step)> {
        let order = self.orders.get(index).filter(|order| !order.is_scripted)?;
        let mut draw = Draw::new(self.seed, "amazon.after-payment", u64::try_from(index).unwrap_or(0));
        if order.is_fba {
            return Some((
                shifted(now, SignedDuration::from_secs(draw.between(300, 3_600))),
                Step::ShipByAmazon,
            ));
        }
        let changes_mind = draw.percent(3);
        changes_mind
            .then(|| (shifted(now, SignedDuration::from_secs(draw.between(60, 2_400))), Step::CancelByBuyer))
    }

    fn place(&mut self, order: Order, now: Timestamp) -> usize {
        let index = order.index;
        let units: Vec<_> = order.lines.iter().map(|line| (line.listing, line.quantity)).collect();
        self.add(order);
        for (listing, quantity) in units {
            self.change_stock(listing, -quantity, now);
        }
        index
    }

    /// Plans what a new order that is paid already does next.
    fn plan_next(&mut self, index: usize, now: Timestamp) {
        if self.orders.get(index).is_none_or(|order| !order.is_paid) {
            return;
        }
        let Some((due, step)) = self.plan_after_payment(index, now) else { return };
        self.orders.amend(index, |order| order.plan = Some((due, step)));
    }

    /// A pending order, not yet added.
    fn new_order(&mut self, placed: Timestamp, wish: Option<&Wish>) -> Option<Order> {
        let number = self.meta.orders_generated;
        self.meta.orders_generated += 1;
        self.changes.meta = true;
        let mut draw = Draw::new(self.seed, "amazon.order", number);
        // One in five buys again: the first buyers' numbers come back.
        let buyer = if draw.percent(20) { draw.below(number.max(1)) } else { number };
        let recipient = if draw.percent(6) { number + 1_000_000_000 } else { buyer };
        let is_fba = match wish {
            Some(wish) => self.listings.get(wish.listing)?.is_fba,
            None => draw.percent(15),
        };
        let rate = draw.pick(&TAX_RATES).copied().unwrap_or(0);
        let mut lines = match wish {
            Some(wish) => vec![self.new_line(&mut draw, wish.listing, wish.quantity, rate)?],
            None => self.new_lines(&mut draw, is_fba, rate),
        };
        if lines.is_empty() {
            return None;
        }
        // A draw of its own, so that the orders are the same whether any is designed or none.
        let mut designed = Draw::new(self.seed, "amazon.customised", number);
        for line in lines.iter_mut().filter(|_| !is_fba) {
            line.is_customised = match wish {
                Some(wish) => wish.is_customised,
                None => designed.percent(u64::from(self.customised_percent)),
            };
        }
        let is_foreign = wish.is_none() && draw.percent(u64::from(self.foreign_percent));
        Some(Order {
            index: self.orders.len(),
            id: self.new_order_id(&mut draw),
            placed,
            updated: placed,
            status: Status::Pending,
            is_paid: false,
            is_fba,
            is_foreign,
            is_business: draw.percent(5),
            is_tax_withheld: draw.percent(85),
            is_gone: false,
            is_scripted: false,
            buyer,
            recipient,
            service: draw.pick(&["STANDARD", "STANDARD", "EXPEDITED", "SECOND_DAY", "PRIORITY"])?.to_string(),
            lines,
            packages: Vec::new(),
            unwanted: Vec::new(),
            cancelled_by: None,
            cancel_reasons: Vec::new(),
            plan: None,
        })
    }

    fn new_order_id(&self, draw: &mut Draw) -> String {
        loop {
            let id = format!("11{}-{}-{}", draw.between(1, 4), draw.digits(7), draw.digits(7));
            if self.orders.place_of(&id).is_none() {
                return id;
            }
        }
    }

    fn new_lines(&self, draw: &mut Draw, is_fba: bool, rate: i64) -> Vec<Line> {
        let count = match draw.below(10) {
            0..=6 => 1,
            7 | 8 => 2,
            _ => draw.between(3, 6),
        };
        let mut lines: Vec<Line> = Vec::new();
        for _ in 0..count {
            let Some(listing) = self.pick_listing(draw, is_fba) else { continue };
            if lines.iter().any(|line| line.listing == listing) {
                continue;
            }
            let quantity = if draw.percent(75) { 1 } else { draw.between(2, 5) };
            lines.extend(self.new_line(draw, listing, quantity, rate));
        }
        lines
    }

    /// A listing with enough units; the first ones sell best.
    fn pick_listing(&self, draw: &mut Draw, is_fba: bool) -> Option<usize> {
        let count = u64::try_from(self.listings.len()).unwrap_or(0);
        let chosen = (0..40).find_map(|_| {
            let index = usize::try_from(draw.below(count).min(draw.below(count))).ok()?;
            let listing = self.listings.get(index)?;
            (listing.is_fba == is_fba && listing.quantity >= 5).then_some(index)
        });
        chosen
            .or_else(|| self.listings.iter().position(|entry| entry.is_fba == is_fba && entry.quantity >= 5))
    }

    fn new_line(&self, draw: &mut Draw, listing: usize, quantity: i64, rate: i64) -> Option<Line> {
        let unit = self.listings.get(listing)?.price;
        let item = unit.saturating_mul(quantity);
        let discount = if draw.percent(15) { share(item, draw.between(300, 2_500)).min(item) } else { 0 };
        let shipping = if draw.percent(35) { draw.between(299, 1_499) } else { 0 };
        let shipping_discount = if shipping > 0 && draw.percent(25) { shipping } else { 0 };
        let gift = if draw.percent(4) { 399 } else { 0 };
        let promotion = (discount + shipping_discount > 0)
            .then(|| draw.word(&["Save 10% & more", "PAWS-FREE-SHIP", "Black Friday Deal 2026"]).to_owned());
        Some(Line {
            id: draw.digits(14),
            listing,
            quantity,
            unit,
            item_tax: share(item - discount, rate),
            shipping,
            shipping_tax: share(shipping - shipping_discount, rate),
            gift,
            gift_tax: share(gift, rate),
            discount,
            shipping_discount,
            promotion,
            gift_message: (gift > 0 || draw.percent(2)).then(|| draw.word(&MESSAGES).to_owned()),
            is_customised: false,
            refunds: Vec::new(),
        })
    }
}

/// Turns a new order into one of the back catalogue, placed `age` seconds before `start`.
fn age_order(order: &mut Order, draw: &mut Draw, start: Timestamp, age: i64) {
    let delay = draw.between(3_600, 3 * 86_400).min(age.saturating_sub(30)).max(1);
    let changed = shifted(order.placed, SignedDuration::from_secs(delay)).min(start);
    order.updated = changed;
    order.status = Status::Unshipped;
    order.is_paid = true;
    if draw.percent(4) {
        order.status = Status::Cancelled;
        let by_seller = draw.percent(50) && !order.is_fba;
        order.cancelled_by = Some(if by_seller { Canceller::Merchant } else { Canceller::Buyer });
        return;
    }
    // The last day's orders are still being worked on.
    if age < 86_400 && draw.percent(40) && !order.is_fba {
        order.updated = order.placed;
        return;
    }
    order.status = Status::Shipped;
    if !order.is_fba {
        let items = order.lines.iter().map(|line| (line.id.clone(), line.quantity)).collect();
        let carrier = draw.word(&["USPS", "UPS", "FedEx"]).to_owned();
        let tracking = Some(format!("9400{}", draw.digits(18)));
        let method = "Ground".to_owned();
        order.packages.push(Package {
            reference: "1".to_owned(),
            carrier,
            method,
            tracking,
            shipped: changed,
            created: changed,
            items,
        });
    }
}

//! Where Etsy's receipts come from: each follows from the seed and its number.

use jiff::{SignedDuration, Timestamp};

use super::super::draw::Draw;
use super::super::money::share;
use super::super::people::person;
use super::{Etsy, Line, Parcel, Receipt, Status, Step};
use crate::clock::shifted;

/// Sales tax rates in hundredths of a percent.
const TAX_RATES: [i64; 6] = [0, 625, 700, 825, 888, 950];

const PERSONALIZATIONS: [&str; 5] = [
    "Anne-Marie & José",
    "\"Zoë\" — 14.02.2027",
    "don't rush, it's for <Grandma>",
    "Smith Family\nEst. 2019",
    "Łukasz 🎂",
];

const NOTES: [&str; 3] =
    ["Please don't include the price & ship before Friday!", "Merci beaucoup", "It's a surprise <3"];

/// A receipt that a test asks for.
pub struct Wish {
    /// Listing and product.
    pub product: (usize, usize),
    /// Units.
    pub quantity: i64,
    /// Whether it is paid at once.
    pub is_paid: bool,
    /// What is to be written on it.
    pub personalization: Option<String>,
}

impl Etsy {
    /// Generates `count` receipts placed in the `days` before `start`, most of them shipped.
    pub fn generate_history(&mut self, count: u32, days: u32, start: Timestamp) {
        let span = i64::from(days) * 86_400;
        let step = span.checked_div(i64::from(count)).unwrap_or(span).max(1);
        for number in 0..i64::from(count) {
            let mut draw = Draw::new(self.seed, "etsy.history", u64::try_from(number).unwrap_or(0));
            let age = span.saturating_sub(number.saturating_mul(span) / i64::from(count.max(1)));
            let age = age.saturating_sub(draw.between(0, step)).max(60);
            let placed = shifted(start, SignedDuration::from_secs(-age));
            let Some(mut receipt) = self.new_receipt(placed, None) else { continue };
            self.age(&mut receipt, &mut draw, start, age);
            self.receipts.add(receipt);
        }
    }

    /// Turns a new receipt into one of the back catalogue, placed `age` seconds before `start`.
    fn age(&mut self, receipt: &mut Receipt, draw: &mut Draw, start: Timestamp, age: i64) {
        let delay = draw.between(3_600, 3 * 86_400).min(age.saturating_sub(30)).max(1);
        let changed = shifted(receipt.placed, SignedDuration::from_secs(delay)).min(start);
        receipt.is_paid = true;
        receipt.status = Status::Completed;
        if self.is_digital(receipt) {
            return;
        }
        if draw.percent(4) {
            receipt.status = Status::Canceled;
            receipt.refunds.push(super::Refund { amount: receipt.total(), at: changed });
            return;
        }
        // The last day's receipts are still being worked on.
        if age < 86_400 && draw.percent(40) {
            receipt.status = Status::Paid;
            return;
        }
        receipt.updated = changed;
        let tracking = format!("9400{}", draw.digits(18));
        let carrier = draw.word(&["USPS", "UPS", "FedEx"]).to_owned();
        receipt.parcels.push(Parcel { id: self.next_id(), carrier, tracking, told: changed });
    }

    /// Generates the next receipt, placed at `now`.
    pub fn generate_order(&mut self, now: Timestamp) {
        let number = self.meta.receipts_generated;
        let Some(receipt) = self.new_receipt(now, None) else { return };
        let index = self.place(receipt, now);
        let mut draw = Draw::new(self.seed, "etsy.life", number);
        if draw.percent(6) {
            let due = shifted(now, SignedDuration::from_secs(draw.between(20, 600)));
            let step = if draw.percent(20) { Step::Cancel } else { Step::Pay };
            self.change(index, now, false, |receipt| receipt.plan = Some((due, step)));
        } else {
            self.pay(index, now);
        }
    }

    /// Places the receipt that a test asks for. It does nothing by itself.
    pub fn sell(&mut self, wish: &Wish, now: Timestamp) -> Option<usize> {
        let mut receipt = self.new_receipt(now, Some(wish))?;
        receipt.is_scripted = true;
        let index = self.place(receipt, now);
        if wish.is_paid {
            self.pay(index, now);
        }
        Some(index)
    }

    /// What a receipt that has just been paid will do by itself.
    pub(super) fn plan_after_payment(&self, index: usize, now: Timestamp) -> Option<(Timestamp, Step)> {
        let receipt = self.receipts.get(index).filter(|receipt| !receipt.is_scripted)?;
        if self.is_digital(receipt) {
            return None;
        }
        let mut draw = Draw::new(self.seed, "etsy.after-payment", u64::try_from(index).unwrap_or(0));
        let step = match draw.below(100) {
            0..3 => Step::Cancel,
            3..5 => Step::RefundPart,
            _ => return None,
        };
        Some((shifted(now, SignedDuration::from_secs(draw.between(60, 2_400))), step))
    }

    fn place(&mut self, receipt: Receipt, now: Timestamp) -> usize {
        let units: Vec<_> =
            receipt.lines.iter().map(|line| (line.listing, line.product, line.quantity)).collect();
        let index = receipt.index;
        self.receipts.add(receipt);
        for (listing, product, quantity) in units {
            self.change_stock(listing, product, -quantity, now);
        }
        index
    }

    /// A receipt whose payment is under way, not yet added.
    fn new_receipt(&mut self, placed: Timestamp, wish: Option<&Wish>) -> Option<Receipt> {
        let number = self.meta.receipts_generated;
        self.meta.receipts_generated += 1;
        let mut draw = Draw::new(self.seed, "etsy.receipt", number);
        let buyer = if draw.percent(15) { draw.below(number.max(1)) } else { number } + 2_000_000_000;
        let lines = self.new_lines(&mut draw, wish)?;
        let goods: i64 = lines.iter().map(|line| line.unit * line.quantity).sum();
        let is_digital = lines
            .iter()
            .all(|line| self.listings.get(line.listing).is_some_and(|listing| listing.is_digital));
        let discount = if draw.percent(20) { share(goods, draw.between(500, 2_500)) } else { 0 };
        let shipping = if is_digital || draw.percent(40) { 0 } else { draw.between(299, 1_499) };
        let is_at_home = person(self.seed, buyer).country_code == "US";
        let rate = draw.pick(&TAX_RATES).copied().unwrap_or(0);
        let has_wrap = !is_digital && draw.percent(5);
        let gift = draw.percent(8).then(|| {
            (draw.word(&["Happy birthday & enjoy!", "For you, it's handmade"]).to_owned(), "Zoë".to_owned())
        });
        Some(Receipt {
            index: self.receipts.len(),
            id: self.next_id(),
            placed,
            updated: placed,
            status: Status::Processing,
            is_paid: false,
            is_scripted: false,
            buyer,
            gift,
            note: draw.percent(15).then(|| draw.word(&NOTES).to_owned()),
            wrap: if has_wrap { 450 } else { 0 },
            discount,
            shipping,
            tax: if is_at_home { share(goods - discount + shipping, rate) } else { 0 },
            vat: if is_at_home { 0 } else { share(goods - discount, 2_000) },
            lines,
            parcels: Vec::new(),
            refunds: Vec::new(),
            plan: None,
        })
    }

    fn new_lines(&mut self, draw: &mut Draw, wish: Option<&Wish>) -> Option<Vec<Line>> {
        if let Some(wish) = wish {
            let line = self.new_line(draw, wish.product, wish.quantity)?;
            return Some(vec![Line { personalization: wish.personalization.clone(), ..line }]);
        }
        let count = if draw.percent(75) { 1 } else { draw.between(2, 4) };
        let mut lines: Vec<Line> = Vec::new();
        for _ in 0..count {
            let Some(product) = self.pick_product(draw) else { continue };
            if lines.iter().any(|line| (line.listing, line.product) == product) {
                continue;
            }
            let quantity = if draw.percent(80) { 1 } else { draw.between(2, 4) };
            lines.extend(self.new_line(draw, product, quantity));
        }
        (!lines.is_empty()).then_some(lines)
    }

    /// A product with enough units; the first ones sell best.
    fn pick_product(&self, draw: &mut Draw) -> Option<(usize, usize)> {
        let count = u64::try_from(self.listings.len()).unwrap_or(0);
        (0..40).find_map(|_| {
            let index = usize::try_from(draw.below(count).min(draw.below(count))).ok()?;
            let products = &self.listings.get(index)?.products;
            let place = usize::try_from(draw.below(u64::try_from(products.len()).unwrap_or(1))).unwrap_or(0);
            (products.get(place)?.quantity >= 5).then_some((index, place))
        })
    }

    fn new_line(&mut self, draw: &mut Draw, product: (usize, usize), quantity: i64) -> Option<Line> {
        let (listing, place) = product;
        let unit = self.listings.get(listing)?.products.get(place)?.price;
        let personalization = draw.percent(25).then(|| draw.word(&PERSONALIZATIONS).to_owned());
        Some(Line { id: self.next_id(), listing, product: place, quantity, unit, personalization })
    }
}

//! The shop's own sales: orders that buyers place in the storefront. They are nobody's export.

use jiff::{SignedDuration, Timestamp};

use super::super::draw::Draw;
use super::super::money::{share, whole_cents};
use super::super::people::person;
use super::{Amounts, Contact, Line, Order, ShippingAddress, Shop, Taxed};
use crate::clock::shifted;
use crate::clock::whole_second;

/// Buyers' numbers start here, apart from the marketplaces'.
const BUYERS_FROM: u64 = 5_000_000_000;

impl Shop {
    /// Generates `count` storefront orders placed in the `days` before `start`, all finished. They take no stock: the stock at the
    /// start is what they left.
    pub fn generate_history(&mut self, count: u32, days: u32, start: Timestamp) {
        let span = i64::from(days) * 86_400;
        for number in 0..i64::from(count) {
            let age = span.saturating_sub(number.saturating_mul(span) / i64::from(count.max(1))).max(3_600);
            let placed = shifted(start, SignedDuration::from_secs(-age));
            let Some(mut order) = self.storefront_order(placed, None) else { continue };
            let mut draw = Draw::new(self.seed, "storefront.history", u64::try_from(number).unwrap_or(0));
            let settled = shifted(placed, SignedDuration::from_secs(draw.between(1_800, 86_400))).min(start);
            order.modified = whole_second(settled);
            order.status_id = if draw.percent(5) { 5 } else { 10 };
            order.payment_status = "captured".to_owned();
            order.shipped = (order.status_id == 10).then(|| whole_second(settled));
            self.add(order, settled);
        }
    }

    /// Generates the next storefront order, placed at `now`. One in ten is paid a little later.
    pub fn generate_order(&mut self, now: Timestamp) {
        let number = self.meta.storefront_orders;
        let Some(mut order) = self.storefront_order(now, None) else { return };
        let mut draw = Draw::new(self.seed, "storefront.life", number);
        if draw.percent(10) {
            order.status_id = 7;
            order.payment_status = "pending".to_owned();
            order.pays_at = Some(shifted(now, SignedDuration::from_secs(draw.between(30, 600))));
        }
        let index = self.add(order, now);
        self.settle_stock(index, now);
    }

    /// Sells `quantity` of a variant in the storefront: the order's place, or nothing where too few are in stock.
    pub(super) fn sell(
        &mut self,
        variant_id: i64,
        quantity: i64,
        is_paid: bool,
        now: Timestamp,
    ) -> Option<usize> {
        let mut order = self.storefront_order(now, Some((variant_id, quantity)))?;
        if !is_paid {
            order.status_id = 7;
            order.payment_status = "pending".to_owned();
        }
        let index = self.add(order, now);
        self.settle_stock(index, now);
        Some(index)
    }

    fn storefront_order(&mut self, placed: Timestamp, wish: Option<(i64, i64)>) -> Option<Order> {
        let number = self.meta.storefront_orders;
        self.meta.storefront_orders += 1;
        self.changes.meta = true;
        let mut draw = Draw::new(self.seed, "storefront.order", number);
        let chosen = match wish {
            Some(wish) => vec![wish],
            None => self.choose(&mut draw),
        };
        let mut lines = Vec::new();
        for (variant_id, quantity) in chosen {
            lines.push(self.storefront_line(variant_id, quantity)?);
        }
        if lines.is_empty() {
            return None;
        }
        let subtotal: i64 = lines.iter().map(|line| line.price_ex.saturating_mul(line.quantity)).sum();
        let base = draw.pick(&[0, 59_500, 99_500]).copied().unwrap_or(0);
        let rate = draw.pick(&[0, 700, 825]).copied().unwrap_or(0);
        let shipping = Taxed { ex: base, inc: base + whole_cents(share(base, rate)) };
        let subtotal = Taxed { ex: subtotal, inc: subtotal + whole_cents(share(subtotal, rate)) };
        let buyer = person(self.seed, BUYERS_FROM + number);
        let contact = Contact {
            first_name: buyer.first_name,
            last_name: buyer.last_name,
            company: buyer.company,
            street_1: buyer.street_1,
            street_2: buyer.street_2,
            city: buyer.city,
            state: buyer.state_name,
            zip: buyer.zip,
            country: buyer.country.to_owned(),
            country_iso2: buyer.country_code.to_owned(),
            phone: buyer.phone,
            email: buyer.email,
        };
        let address_id = self.new_address_id();
        Some(Order {
            index: self.orders.len(),
            id: self.next_order_id(),
            created: whole_second(placed),
            modified: whole_second(placed),
            shipped: None,
            status_id: 11,
            customer_id: 0,
            billing: contact.clone(),
            addresses: vec![ShippingAddress { id: address_id, contact, method: "Flat Rate".to_owned() }],
            lines,
            shipments: Vec::new(),
            amounts: Amounts {
                subtotal,
                shipping,
                base_shipping: base,
                total: subtotal.plus(shipping),
                ..Amounts::default()
            },
            currency: "USD".to_owned(),
            payment_method: "Credit Card".to_owned(),
            payment_status: "captured".to_owned(),
            staff_notes: String::new(),
            customer_message: if draw.percent(8) {
                "Please leave it <behind> the shed & ring".to_owned()
            } else {
                String::new()
            },
            external_source: None,
            external_order_id: None,
            external_merchant_id: None,
            order_source: "www".to_owned(),
            channel_id: 1,
            ip_address: "203.0.113.7".to_owned(),
            is_deleted: false,
            has_stock: false,
            mails: 0,
            pays_at: None,
            refunds: Vec::new(),
            refunded: 0,
        })
    }

    /// One or two variants that are well in stock.
    fn choose(&self, draw: &mut Draw) -> Vec<(i64, i64)> {
        let ids: Vec<i64> = self.variants.keys().copied().collect();
        let count = if draw.percent(80) { 1 } else { 2 };
        let mut chosen: Vec<(i64, i64)> = Vec::new();
        for _ in 0..count {
            let Some(id) = draw.pick(&ids).copied() else { continue };
            let is_stocked = self.variant(id).is_some_and(|(_, variant)| variant.stock >= 5);
            if is_stocked && !chosen.iter().any(|(known, _)| *known == id) {
                chosen.push((id, if draw.percent(80) { 1 } else { draw.between(2, 3) }));
            }
        }
        chosen
    }

    fn storefront_line(&mut self, variant_id: i64, quantity: i64) -> Option<Line> {
        let id = self.new_line_id();
        let (product, variant) = self.variant(variant_id)?;
        if variant.stock < quantity {
            return None;
        }
        let price = variant.price.unwrap_or(product.price).saturating_mul(100);
        Some(Line {
            id,
            product_id: product.id,
            variant_id,
            name: product.name.clone(),
            sku: variant.sku.clone(),
            upc: String::new(),
            quantity,
            shipped: 0,
            price_ex: price,
            price_inc: price,
            wrapping_ex: 0,
            wrapping_inc: 0,
            wrapping_name: String::new(),
            wrapping_message: String::new(),
            weight: product.weight,
            option: variant.option.clone(),
        })
    }
}

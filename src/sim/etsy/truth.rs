//! What really stands in the simulated Etsy, for tests: DESIGN §7's tables and deeds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::control::{self, ControlError};
use super::generate::Wish;
use super::{Etsy, Line, Parcel, Receipt, Status};

impl Etsy {
    /// Every receipt.
    pub fn truth_orders(&self) -> Value {
        self.receipts.iter().map(|receipt| self.truth_order(receipt)).collect()
    }

    /// Every variant of every listing.
    pub fn truth_listings(&self) -> Value {
        let rows = self.listings.iter().flat_map(|listing| {
            listing.products.iter().map(|product| {
                json!({
                    "channel": super::super::ETSY,
                    "sku": product.sku,
                    "quantity": product.quantity,
                    "price_minor": product.price,
                    "currency": "USD",
                    "fulfilled_by": if listing.is_digital { "etsy" } else { "seller" },
                })
            })
        });
        rows.collect()
    }

    /// Every mail that a buyer got.
    pub fn truth_mails(&self) -> Value {
        let row = |mail: &super::Mail| json!({"id": mail.receipt.to_string(), "tracking": mail.tracking, "at": mail.at.to_string()});
        self.meta.mails.iter().map(row).collect()
    }

    /// Sells something: `{sku, quantity, paid, placed_at, personalization}`.
    pub fn truth_sell(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let sku = control::text(body, "sku")?;
        let product = *self.sku_index.get(&sku).ok_or(ControlError::Unknown("no listing has this SKU"))?;
        let wish = Wish {
            product,
            quantity: control::optional_count(body, "quantity")?.unwrap_or(1),
            is_paid: control::optional_flag(body, "paid").unwrap_or(true),
            personalization: control::optional_text(body, "personalization"),
        };
        let placed_at = control::optional_time(body, "placed_at")?.unwrap_or(now);
        let index = self.sell(&wish, placed_at).ok_or(ControlError::Unknown("nothing could be sold"))?;
        self.truth_at(index)
    }

    /// Ships as the seller would by hand: `{id, carrier, tracking}`.
    pub fn truth_ship(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        if self.receipts.get(index).is_none_or(|receipt| receipt.status != Status::Paid) {
            return Err(ControlError::Refused("the order is not waiting for shipment"));
        }
        let carrier = control::optional_text(body, "carrier").unwrap_or_else(|| "USPS".to_owned());
        let parcel = control::optional_text(body, "tracking").map(|tracking| (carrier, tracking));
        self.ship(index, parcel, now);
        self.truth_at(index)
    }

    /// The seller cancels on Etsy's page: `{id}`.
    pub fn truth_cancel(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        if !self.cancel(index, now) {
            return Err(ControlError::Refused("the order can no longer be cancelled"));
        }
        self.truth_at(index)
    }

    /// The buyer pays: `{id}`.
    pub fn truth_pay(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        self.pay(index, now);
        self.truth_at(index)
    }

    /// The seller gives money back: `{id, amount_minor}`.
    pub fn truth_refund(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        let amount = control::level(body, "amount_minor")?;
        if !self.refund(index, amount, now) {
            return Err(ControlError::Refused("so much cannot go back"));
        }
        self.truth_at(index)
    }

    fn truth_find(&self, body: &Value) -> Result<usize, ControlError> {
        let id = control::text(body, "id")?;
        let index = id.parse().ok().and_then(|id: i64| self.receipts.place_of(&id));
        index.ok_or(ControlError::Unknown("no such order"))
    }

    fn truth_at(&self, index: usize) -> Result<Value, ControlError> {
        let receipt = self.receipts.get(index).ok_or(ControlError::Unknown("no such order"))?;
        Ok(self.truth_order(receipt))
    }

    fn truth_order(&self, receipt: &Receipt) -> Value {
        let status = match receipt.status {
            Status::Processing => "pending",
            Status::Paid => "open",
            Status::Completed => "shipped",
            Status::Canceled => "cancelled",
        };
        let sku = |line: &Line| {
            let listing = self.listings.get(line.listing)?;
            listing.products.get(line.product).map(|product| product.sku.clone())
        };
        let line = |line: &Line| {
            json!({
                "line_id": line.id.to_string(),
                "sku": sku(line),
                "quantity": line.quantity,
                "amount_minor": line.unit.saturating_mul(line.quantity),
            })
        };
        let shipment =
            |parcel: &Parcel| json!({"carrier": parcel.carrier, "tracking": parcel.tracking, "lines": []});
        json!({
            "id": receipt.id.to_string(),
            "channel": super::super::ETSY,
            "status": status,
            "paid": receipt.is_paid,
            "placed_at": receipt.placed.to_string(),
            "fulfilled_by": if self.is_digital(receipt) { "etsy" } else { "seller" },
            "total_minor": receipt.total(),
            "refunded_minor": receipt.refunded(),
            "currency": "USD",
            "lines": receipt.lines.iter().map(line).collect::<Vec<_>>(),
            "shipments": receipt.parcels.iter().map(shipment).collect::<Vec<_>>(),
        })
    }
}

//! What really stands in the simulated eBay, for tests: DESIGN §7's tables and deeds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::control::{self, ControlError};
use super::generate::Wish;
use super::{Ebay, Order, Parcel};

impl Ebay {
    /// Every order, unpaid ones included.
    pub fn truth_orders(&self) -> Value {
        self.orders.iter().map(|order| self.truth_order(order)).collect()
    }

    /// Every listing with a SKU.
    pub fn truth_listings(&self) -> Value {
        let row = |listing: &super::Listing| {
            json!({
                "channel": super::super::EBAY,
                "sku": listing.sku,
                "quantity": listing.quantity,
                "price_minor": listing.price,
                "currency": "USD",
                "fulfilled_by": if listing.is_by_ebay { "ebay" } else { "seller" },
            })
        };
        self.listings.iter().filter(|listing| !listing.is_legacy).map(row).collect()
    }

    /// Sells something: `{sku, quantity, paid, placed_at}`.
    pub fn truth_sell(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let sku = control::text(body, "sku")?;
        let listing =
            *self.listing_index.get(&sku).ok_or(ControlError::Unknown("no listing has this SKU"))?;
        let quantity = control::optional_count(body, "quantity")?.unwrap_or(1);
        let wish = Wish { listing, quantity, is_paid: control::optional_flag(body, "paid").unwrap_or(true) };
        let placed_at = control::optional_time(body, "placed_at")?.unwrap_or(now);
        let index = self.sell(&wish, placed_at).ok_or(ControlError::Unknown("nothing could be sold"))?;
        self.truth_at(index)
    }

    /// Ships as the seller would by hand: `{id, carrier, tracking, lines?}`, lines by `line_id` or `sku`.
    pub fn truth_ship(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        let order = self.orders.get(index).ok_or(ControlError::Unknown("no such order"))?;
        if !order.is_paid || order.is_cancelled() || order.fulfillment_word() == "FULFILLED" {
            return Err(ControlError::Refused("the order is not waiting for shipment"));
        }
        if order.is_by_ebay {
            self.change(index, now, |order| {
                order.is_shipped_by_ebay = true;
                order.plan = None;
            });
            return self.truth_at(index);
        }
        let tracking = control::optional_text(body, "tracking");
        let carrier = control::optional_text(body, "carrier").unwrap_or_else(|| "USPS".to_owned());
        let parcel = Parcel {
            id: tracking.clone().unwrap_or_else(|| "999".to_owned()),
            carrier: tracking.is_some().then_some(carrier),
            tracking,
            shipped: now,
            items: self.truth_items(order, body)?,
        };
        self.add_parcel(index, parcel, now);
        self.truth_at(index)
    }

    /// The buyer cancels: `{id}`.
    pub fn truth_cancel(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        let is_open =
            |order: &Order| order.fulfillment_word() == "NOT_STARTED" && order.cancellation.is_none();
        if !self.orders.get(index).is_some_and(is_open) {
            return Err(ControlError::Refused("the order can no longer be cancelled"));
        }
        self.cancel(index, true, "BUYER_ASKED_CANCEL", now);
        self.truth_at(index)
    }

    /// The buyer asks the seller to cancel: `{id}`.
    pub fn truth_ask_cancel(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        self.ask_seller_to_cancel(index, now);
        self.truth_at(index)
    }

    /// Somebody gives money back in Seller Hub: `{id, amount_minor}`.
    pub fn truth_refund(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        let amount = control::level(body, "amount_minor")?;
        if !self.give_back(index, amount, now) {
            return Err(ControlError::Refused("so much cannot go back"));
        }
        self.truth_at(index)
    }

    /// The refund that was asked for last fails: `{id}`.
    pub fn truth_fail_refund(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        if !self.fail_refund(index, now) {
            return Err(ControlError::Refused("no refund is under way"));
        }
        self.truth_at(index)
    }

    /// The buyer pays: `{id}`.
    pub fn truth_pay(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        self.pay(index, now);
        self.truth_at(index)
    }

    fn truth_find(&self, body: &Value) -> Result<usize, ControlError> {
        let id = control::text(body, "id")?;
        self.orders.place_of(&id).ok_or(ControlError::Unknown("no such order"))
    }

    fn truth_at(&self, index: usize) -> Result<Value, ControlError> {
        let order = self.orders.get(index).map(|order| self.truth_order(order));
        order.ok_or(ControlError::Unknown("no such order"))
    }

    /// The units to ship: those of the body's `lines`, else all that are left.
    fn truth_items(&self, order: &Order, body: &Value) -> Result<Vec<(String, i64)>, ControlError> {
        let Some(wanted) = body.get("lines").and_then(Value::as_array) else {
            let left =
                order.lines.iter().map(|line| (line.id.clone(), line.quantity - order.fulfilled(line)));
            return Ok(left.filter(|(_, count)| *count > 0).collect());
        };
        let mut items = Vec::new();
        for entry in wanted {
            let line_id = control::optional_text(entry, "line_id");
            let sku = control::optional_text(entry, "sku");
            let is_meant = |line: &&super::Line| {
                line_id.as_ref() == Some(&line.id)
                    || sku.is_some()
                        && sku.as_deref() == self.listings.get(line.listing).map(|known| known.sku.as_str())
            };
            let line = order.lines.iter().find(is_meant).ok_or(ControlError::Unknown("no such line"))?;
            let left = line.quantity - order.fulfilled(line);
            let count = control::optional_count(entry, "quantity")?.unwrap_or(left);
            if count > left {
                return Err(ControlError::Refused("more units than are left to ship"));
            }
            items.push((line.id.clone(), count));
        }
        Ok(items)
    }

    fn truth_order(&self, order: &Order) -> Value {
        let status = match order.fulfillment_word() {
            _ if order.is_cancelled() => "cancelled",
            _ if !order.is_paid => "pending",
            "NOT_STARTED" => "open",
            "IN_PROGRESS" => "part_shipped",
            _ => "shipped",
        };
        let line = |line: &super::Line| {
            // Nobody is told the SKU of what was listed without one.
            let listing = self.listings.get(line.listing).filter(|listing| !listing.is_legacy);
            json!({
                "line_id": line.id,
                "sku": listing.map(|listing| &listing.sku),
                "quantity": line.quantity,
                "amount_minor": line.item(),
            })
        };
        let shipment = |parcel: &Parcel| {
            let lines: Vec<_> =
                parcel.items.iter().map(|(id, count)| json!({"line_id": id, "quantity": count})).collect();
            json!({"carrier": parcel.carrier, "tracking": parcel.tracking, "lines": lines})
        };
        let refund = |refund: &super::Refund| json!({"id": refund.id, "line_id": refund.line, "amount_minor": refund.amount});
        json!({
            "id": order.id,
            "refunds": order.refunds.iter().filter(|refund| !refund.has_failed).map(refund).collect::<Vec<_>>(),
            "buyer_asked": order.cancellation.as_ref().is_some_and(|cancellation| cancellation.is_by_buyer),
            "cancel_reasons": order.cancellation.iter().map(|cancellation| &cancellation.reason).collect::<Vec<_>>(),
            "cancellation_id": order.cancellation.as_ref().map(|cancellation| &cancellation.id),
            "seller_minor": order.net(),
            "channel": super::super::EBAY,
            "status": status,
            "paid": order.is_paid,
            "placed_at": order.placed.to_string(),
            "fulfilled_by": if order.is_by_ebay { "ebay" } else { "seller" },
            "total_minor": order.total(),
            "currency": "USD",
            "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
            "shipments": order.parcels.iter().map(shipment).collect::<Vec<_>>(),
        })
    }
}

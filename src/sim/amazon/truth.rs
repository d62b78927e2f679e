//! What really stands in the simulated Amazon, for tests: DESIGN §7's tables and deeds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::control::{self, ControlError};
use super::generate::Wish;
use super::{Amazon, Canceller, Order, Package, Status};

impl Amazon {
    /// Every order, unpaid and vanished ones included; a vanished one is a cancelled one here.
    pub fn truth_orders(&self) -> Value {
        self.orders.iter().map(|order| self.truth_order(order)).collect()
    }

    /// Every listing.
    pub fn truth_listings(&self) -> Value {
        let row = |listing: &super::Listing| {
            json!({
                "channel": super::super::AMAZON,
                "sku": listing.sku,
                "quantity": listing.quantity,
                "price_minor": listing.price,
                "currency": "USD",
                "fulfilled_by": if listing.is_fba { "amazon" } else { "seller" },
            })
        };
        self.listings.iter().map(row).collect()
    }

    /// Sells something: `{sku, quantity, paid, placed_at, customised}`. An order that was placed and changed long ago shows late in
    /// the lists: a poll that is past that time never sees it.
    pub fn truth_sell(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let sku = control::text(body, "sku")?;
        let listing =
            *self.listing_index.get(&sku).ok_or(ControlError::Unknown("no listing has this SKU"))?;
        let quantity = control::optional_count(body, "quantity")?.unwrap_or(1);
        let wish = Wish {
            listing,
            quantity,
            is_paid: control::optional_flag(body, "paid").unwrap_or(true),
            is_customised: control::optional_flag(body, "customised").unwrap_or(false),
        };
        let placed_at = control::optional_time(body, "placed_at")?.unwrap_or(now);
        let index = self.sell(&wish, placed_at).ok_or(ControlError::Unknown("nothing could be sold"))?;
        self.truth_at(index)
    }

    /// Ships as the seller would by hand: `{id, carrier, tracking, lines?}`, lines by `line_id` or `sku`.
    pub fn truth_ship(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        let order = self.orders.get(index).ok_or(ControlError::Unknown("no such order"))?;
        if !matches!(order.status, Status::Unshipped | Status::PartiallyShipped) {
            return Err(ControlError::Refused("the order is not waiting for shipment"));
        }
        if order.is_fba {
            self.change(index, now, |order| {
                order.status = Status::Shipped;
                order.plan = None;
            });
            return self.truth_at(index);
        }
        let items = self.truth_items(order, body)?;
        let highest = order.packages.iter().filter_map(|package| package.reference.parse::<u64>().ok()).max();
        let package = Package {
            reference: (highest.unwrap_or(0) + 1).to_string(),
            carrier: control::optional_text(body, "carrier").unwrap_or_else(|| "USPS".to_owned()),
            method: "Ground".to_owned(),
            tracking: control::optional_text(body, "tracking"),
            shipped: now,
            created: now,
            items,
        };
        self.put_package(index, package, now);
        self.truth_at(index)
    }

    /// The buyer cancels: `{id}`.
    pub fn truth_cancel(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        if !self
            .orders
            .get(index)
            .is_some_and(|order| matches!(order.status, Status::Pending | Status::Unshipped))
        {
            return Err(ControlError::Refused("the order can no longer be cancelled"));
        }
        self.cancel(index, Canceller::Buyer, now);
        self.truth_at(index)
    }

    /// The buyer asks the seller to cancel: `{id, lines?}`, lines by `line_id` or `sku`.
    pub fn truth_ask_cancel(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        let order = self.orders.get(index).ok_or(ControlError::Unknown("no such order"))?;
        if order.status != Status::Unshipped || order.is_fba {
            return Err(ControlError::Refused("the buyer cannot ask the seller to cancel the order"));
        }
        let unwanted = self.truth_items(order, body)?.into_iter().map(|(line, _)| line).collect();
        self.change(index, now, |order| order.unwanted = unwanted);
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
        self.orders
            .get(index)
            .map(|order| self.truth_order(order))
            .ok_or(ControlError::Unknown("no such order"))
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
        let status = match order.status {
            Status::Pending => "pending",
            Status::Unshipped => "open",
            Status::PartiallyShipped => "part_shipped",
            Status::Shipped => "shipped",
            Status::Cancelled => "cancelled",
        };
        let line = |line: &super::Line| {
            json!({
                "line_id": line.id,
                "sku": self.listings.get(line.listing).map(|listing| &listing.sku),
                "quantity": line.quantity,
                "amount_minor": line.item(),
                "refunded_minor": line.refunds.iter().map(|refund| refund.goods + refund.shipping).sum::<i64>(),
            })
        };
        let shipment = |package: &Package| {
            let lines: Vec<_> =
                package.items.iter().map(|(id, count)| json!({"line_id": id, "quantity": count})).collect();
            json!({"carrier": package.carrier, "tracking": package.tracking, "lines": lines})
        };
        json!({
            "id": order.id,
            "channel": super::super::AMAZON,
            "status": status,
            "paid": order.is_paid,
            "placed_at": order.placed.to_string(),
            "fulfilled_by": if order.is_fba { "amazon" } else { "seller" },
            "total_minor": order.total(),
            "currency": order.currency(),
            "buyer_asked": !order.unwanted.is_empty(),
            "cancel_reasons": order.cancel_reasons,
            "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
            "shipments": order.packages.iter().map(shipment).collect::<Vec<_>>(),
        })
    }
}

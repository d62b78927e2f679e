//! What really stands in the simulated store, for tests: DESIGN §7's tables and deeds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::BIGCOMMERCE;
use super::super::control::{self, ControlError};
use super::super::money::whole_cents;
use super::calls::Refusal;
use super::{Order, Shop};

impl From<Refusal> for ControlError {
    fn from(Refusal(_, message): Refusal) -> Self {
        Self::Platform(message)
    }
}

impl Shop {
    /// The storefront's own orders, in the words that all channels share.
    pub fn truth_orders(&self) -> Value {
        let own = self.orders.iter().filter(|order| order.order_source == "www");
        own.map(truth_own_order).collect()
    }

    /// Every order of the store, archived ones included.
    pub fn truth_shop_orders(&self) -> Value {
        self.orders.iter().map(truth_shop_order).collect()
    }

    /// Every variant.
    pub fn truth_listings(&self) -> Value {
        let row = |id: &i64| {
            let (product, variant) = self.variant(*id)?;
            Some(json!({
                "channel": BIGCOMMERCE,
                "sku": variant.sku,
                "quantity": variant.stock,
                "price_minor": variant.price.unwrap_or(product.price),
                "currency": "USD",
                "fulfilled_by": "seller",
            }))
        };
        self.variants.keys().filter_map(row).collect()
    }

    /// Mails about shipments that customers have got: in all, and by order.
    pub fn truth_mails(&self) -> Value {
        let mailed = self.orders.iter().filter(|order| order.mails > 0);
        let by_order: serde_json::Map<String, Value> =
            mailed.map(|order| (order.id.to_string(), json!(order.mails))).collect();
        let sent: i64 = self.orders.iter().map(|order| order.mails).sum();
        json!({"sent": sent, "by_order": by_order})
    }

    /// A storefront sale: `{sku, quantity, paid, placed_at}`. One that was placed and changed long ago shows late in
    /// the lists: a poll that is past that time never sees it.
    pub fn truth_sell(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let sku = control::text(body, "sku")?;
        let variant = *self.skus.get(&sku).ok_or(ControlError::Unknown("no variant has this SKU"))?;
        let quantity = control::optional_count(body, "quantity")?.unwrap_or(1);
        let is_paid = control::optional_flag(body, "paid").unwrap_or(true);
        let placed_at = control::optional_time(body, "placed_at")?.unwrap_or(now);
        let index = self
            .sell(variant, quantity, is_paid, placed_at)
            .ok_or(ControlError::Refused("not enough in stock"))?;
        self.truth_at(index)
    }

    /// Ships in the control panel: `{id, carrier, tracking, lines?}`, lines by `line_id` or `sku`.
    pub fn truth_ship(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        let order = self.orders.get(index).ok_or(ControlError::Unknown("no such order"))?;
        let address_id = order.addresses.first().map(|address| address.id);
        let carrier = control::optional_text(body, "carrier").unwrap_or_default();
        let provider = carrier.to_lowercase();
        let is_known =
            ["usps", "fedex", "ups", "royalmail", "auspost", "canadapost"].contains(&provider.as_str());
        let shipment_body = json!({
            "order_address_id": address_id,
            "items": truth_items(order, body)?,
            "tracking_number": control::optional_text(body, "tracking").unwrap_or_default(),
            "shipping_provider": if is_known { provider } else { String::new() },
            "tracking_carrier": if is_known { String::new() } else { carrier },
        });
        let shipment = self.shipment(index, &shipment_body, now)?;
        self.add_shipment(index, shipment, now);
        self.truth_at(index)
    }

    /// Cancels: `{id}`.
    pub fn truth_cancel(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        self.set_status(index, 5, now);
        self.truth_at(index)
    }

    /// The buyer pays: `{id}`.
    pub fn truth_pay(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        self.pay(index, now);
        self.truth_at(index)
    }

    /// Sets what is in stock: `{sku, quantity}`.
    pub fn truth_stock(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let sku = control::text(body, "sku")?;
        let quantity = control::level(body, "quantity")?;
        let id = *self.skus.get(&sku).ok_or(ControlError::Unknown("no variant has this SKU"))?;
        let level = self.variant(id).map_or(0, |(_, variant)| variant.stock);
        self.change_stock(id, quantity.saturating_sub(level), now);
        Ok(json!({"sku": sku, "quantity": quantity}))
    }

    pub(super) fn truth_find(&self, body: &Value) -> Result<usize, ControlError> {
        let id = control::text(body, "id")?.parse().map_err(|_| ControlError::Unknown("no such order"))?;
        self.place_of(id).ok_or(ControlError::Unknown("no such order"))
    }

    pub(super) fn truth_at(&self, index: usize) -> Result<Value, ControlError> {
        let order = self.orders.get(index).ok_or(ControlError::Unknown("no such order"))?;
        Ok(if order.order_source == "www" { truth_own_order(order) } else { truth_shop_order(order) })
    }
}

/// The units to ship: those of the body's `lines`, else all that are left.
fn truth_items(order: &Order, body: &Value) -> Result<Vec<Value>, ControlError> {
    let Some(wanted) = body.get("lines").and_then(Value::as_array) else {
        let left = order.lines.iter().filter(|line| line.quantity > line.shipped);
        return Ok(left
            .map(|line| json!({"order_product_id": line.id, "quantity": line.quantity - line.shipped}))
            .collect());
    };
    let mut items = Vec::new();
    for entry in wanted {
        let line_id = control::optional_text(entry, "line_id");
        let sku = control::optional_text(entry, "sku");
        let is_meant =
            |line: &&super::Line| line_id == Some(line.id.to_string()) || sku.as_ref() == Some(&line.sku);
        let line = order.lines.iter().find(is_meant).ok_or(ControlError::Unknown("no such line"))?;
        let count = control::optional_count(entry, "quantity")?.unwrap_or(line.quantity - line.shipped);
        items.push(json!({"order_product_id": line.id, "quantity": count}));
    }
    Ok(items)
}

fn shipments(order: &Order) -> Vec<Value> {
    let row = |shipment: &super::Shipment| {
        let lines: Vec<_> = shipment
            .items
            .iter()
            .map(|(id, count)| json!({"line_id": id.to_string(), "quantity": count}))
            .collect();
        let carrier =
            if shipment.provider.is_empty() { &shipment.tracking_carrier } else { &shipment.provider };
        let tracking = (!shipment.tracking_number.is_empty()).then_some(&shipment.tracking_number);
        json!({"id": shipment.id.to_string(), "carrier": carrier, "tracking": tracking, "lines": lines})
    };
    order.shipments.iter().map(row).collect()
}

/// Cents of an amount in ten-thousandths.
const fn minor(amount: i64) -> i64 {
    (amount + 50) / 100
}

fn truth_shop_order(order: &Order) -> Value {
    let line = |line: &super::Line| {
        json!({
            "line_id": line.id.to_string(),
            "sku": line.sku,
            "quantity": line.quantity,
            "variant_id": (line.variant_id != 0).then(|| line.variant_id.to_string()),
        })
    };
    // What the total ought to be: the store takes the one that it is given.
    let goods = order.lines.iter().map(|line| whole_cents(line.price_inc.saturating_mul(line.quantity)));
    let amounts = &order.amounts;
    let others = [amounts.shipping.inc, amounts.handling.inc, amounts.wrapping.inc, -amounts.discount];
    let parts = goods.chain(others).fold(0, i64::saturating_add);
    json!({
        "id": order.id.to_string(),
        "external_order_id": order.external_order_id,
        "external_source": order.external_source,
        "status_id": order.status_id,
        "total_minor": minor(amounts.total.inc),
        "parts_minor": minor(parts),
        "currency": order.currency,
        "is_deleted": order.is_deleted,
        "refunded_minor": minor(order.refunded),
        "refund_count": order.refunds.len(),
        "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
        "shipments": shipments(order),
    })
}

fn truth_own_order(order: &Order) -> Value {
    let status = match order.status_id {
        0 | 1 | 7 => "pending",
        3 => "part_shipped",
        2 | 10 => "shipped",
        4..=6 => "cancelled",
        _ => "open",
    };
    let line = |line: &super::Line| {
        json!({
            "line_id": line.id.to_string(),
            "sku": line.sku,
            "quantity": line.quantity,
            "amount_minor": minor(line.price_ex.saturating_mul(line.quantity)),
        })
    };
    json!({
        "id": order.id.to_string(),
        "channel": BIGCOMMERCE,
        "status": status,
        "paid": !matches!(order.payment_status.as_str(), "pending" | ""),
        "placed_at": order.created.to_string(),
        "fulfilled_by": "seller",
        "total_minor": minor(order.amounts.total.inc),
        "currency": order.currency,
        "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
        "shipments": shipments(order),
    })
}

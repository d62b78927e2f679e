//! Refunds in the simulated store: made in the control panel, listed by V3. A refund never gives stock back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::control::{self, ControlError};
use super::super::money::json_number;
use super::{Order, Shop};
use crate::clock::whole_second;

/// *Refunded*.
const REFUNDED: i64 = 4;
/// *Partially Refunded*.
const PARTIALLY_REFUNDED: i64 = 14;

/// What a refund is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefundItem {
    /// PRODUCT, SHIPPING or ORDER.
    kind: String,
    /// Of the position, the address or the order.
    id: i64,
    /// Units of a position.
    quantity: i64,
    /// Ten-thousandths.
    amount: i64,
    /// Whether the list says the amount: of units at their price it does not.
    is_listed: bool,
}

/// Money that went back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refund {
    id: i64,
    created: Timestamp,
    items: Vec<RefundItem>,
    /// Ten-thousandths.
    total: i64,
}

impl Order {
    /// Units of a position that were refunded.
    pub(super) fn quantity_refunded(&self, line: i64) -> i64 {
        let items = self.refunds.iter().flat_map(|refund| &refund.items);
        items.filter(|item| item.kind == "PRODUCT" && item.id == line).map(|item| item.quantity).sum()
    }
}

impl Shop {
    /// An order's refunds as V3 lists them.
    pub(super) fn refunds_json(order: &Order) -> Value {
        let item = |item: &RefundItem| {
            let mut body = json!({
                "item_type": item.kind,
                "item_id": item.id,
                "reason": "",
            });
            let Some(fields) = body.as_object_mut() else { return body };
            if item.kind == "PRODUCT" {
                fields.insert("quantity".to_owned(), json!(item.quantity));
            }
            if item.is_listed {
                fields.insert("requested_amount".to_owned(), json_number(item.amount / 100));
            }
            body
        };
        let refund = |refund: &Refund| {
            json!({
                "id": refund.id,
                "order_id": order.id,
                "user_id": 7,
                "created": refund.created.to_string(),
                "reason": "",
                "total_amount": json_number(refund.total / 100),
                "total_tax": json_number(0),
                "uses_merchant_override_values": false,
                "items": refund.items.iter().map(item).collect::<Vec<_>>(),
                "payments": [{
                    "id": refund.id,
                    "provider_id": "custom",
                    "amount": json_number(refund.total / 100),
                    "offline": true,
                    "is_declined": false,
                    "declined_message": "",
                }],
            })
        };
        json!({"data": order.refunds.iter().map(refund).collect::<Vec<_>>(), "meta": {}})
    }

    /// Refunds in the control panel: `{id, lines?: [{line_id|sku, quantity?, amount_minor?}], amount_minor?, manual?}`.
    /// Without lines and amount, all that is left; with an amount alone, of the order as a whole; `manual` marks the
    /// order as refunded and lists no refund.
    pub fn truth_refund(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let index = self.truth_find(body)?;
        let order = self.orders.get(index).ok_or(ControlError::Unknown("no such order"))?;
        let left = order.amounts.total.inc - order.refunded;
        let amount = control::optional_count(body, "amount_minor")?.map(|minor| minor * 100);
        let is_manual = control::optional_flag(body, "manual").unwrap_or(false);
        let (items, total) = match body.get("lines").and_then(Value::as_array) {
            Some(lines) => {
                let items = refund_items(order, lines)?;
                let total = items.iter().map(|item| item.amount).sum();
                (items, total)
            }
            None => match amount {
                Some(amount) => (vec![whole(order, amount)], amount),
                None => (everything(order, left), left),
            },
        };
        if total <= 0 || total > left {
            return Err(ControlError::Refused("more than is left of the order"));
        }
        let is_whole = total == left;
        if !is_manual {
            self.meta.refunds += 1;
            self.changes.meta = true;
        }
        let refund = Refund { id: self.meta.refunds, created: whole_second(now), items, total };
        let told = json!({"type": "order", "id": order_id(self, index), "refund": {"refund_id": refund.id}});
        self.change(index, now, |order| {
            order.refunded += total;
            order.status_id = if is_whole { REFUNDED } else { PARTIALLY_REFUNDED };
            order.payment_status = if is_whole { "refunded" } else { "partially refunded" }.to_owned();
            if !is_manual {
                order.refunds.push(refund);
            }
        });
        self.announce("store/order/refund/created", told, now);
        self.truth_at(index)
    }
}

fn order_id(shop: &Shop, index: usize) -> i64 {
    shop.orders.get(index).map_or(0, |order| order.id)
}

fn whole(order: &Order, amount: i64) -> RefundItem {
    RefundItem { kind: "ORDER".to_owned(), id: order.id, quantity: 0, amount, is_listed: true }
}

/// Each position and the shipping; what is left where something went back before is of the order as a whole.
fn everything(order: &Order, left: i64) -> Vec<RefundItem> {
    if order.refunded > 0 {
        return vec![whole(order, left)];
    }
    let line = |line: &super::Line| RefundItem {
        kind: "PRODUCT".to_owned(),
        id: line.id,
        quantity: line.quantity,
        amount: line.price_inc.saturating_mul(line.quantity),
        is_listed: false,
    };
    let mut items: Vec<RefundItem> = order.lines.iter().map(line).collect();
    let address = order.addresses.first().map_or(0, |address| address.id);
    let shipping = order.amounts.shipping.inc;
    if shipping > 0 {
        let (kind, is_listed) = ("SHIPPING".to_owned(), true);
        items.push(RefundItem { kind, id: address, quantity: 0, amount: shipping, is_listed });
    }
    items
}

fn refund_items(order: &Order, lines: &[Value]) -> Result<Vec<RefundItem>, ControlError> {
    let mut items = Vec::new();
    for entry in lines {
        let line_id = control::optional_text(entry, "line_id");
        let sku = control::optional_text(entry, "sku");
        let is_meant =
            |line: &&super::Line| line_id == Some(line.id.to_string()) || sku.as_ref() == Some(&line.sku);
        let line = order.lines.iter().find(is_meant).ok_or(ControlError::Unknown("no such line"))?;
        let quantity = control::optional_count(entry, "quantity")?.unwrap_or(line.quantity);
        let amount = control::optional_count(entry, "amount_minor")?.map(|minor| minor * 100);
        let is_listed = amount.is_some();
        let amount = amount.unwrap_or_else(|| line.price_inc.saturating_mul(quantity) / 100 * 100);
        items.push(RefundItem { kind: "PRODUCT".to_owned(), id: line.id, quantity, amount, is_listed });
    }
    Ok(items)
}

//! The store's calls: which request means which operation, what is refused, and what is answered in V2.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::money::parse_four_decimals;
use super::super::reply;
use super::app::is_exchange;
use super::create::{STATUS_MAX, contact, integer, optional};
use super::wire::{self, STATUSES};
use super::{Order, STORE_HASH, Shipment, Shop};
use crate::clock::whole_second;

/// Entries on a page unless the caller asks for another number.
const PAGE_DEFAULT: usize = 50;
/// Entries on a page at most.
pub const PAGE_MAX: usize = 250;

/// One request, taken apart.
pub struct Call<'a> {
    /// The request.
    pub request: &'a Request<Bytes>,
    /// When it arrives.
    pub now: Timestamp,
    /// Whether a read misses the last changes.
    pub is_stale: bool,
    /// Whether the caller has been checked already: late effects are not checked again.
    pub is_admitted: bool,
}

/// What a path means: the operation's name in the specification, and the numbers in the path.
fn route(request: &Request<Bytes>) -> (&'static str, Vec<i64>) {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let ["stores", _, path @ ..] = path.as_slice() else { return ("unknown", Vec::new()) };
    let numbers = path.iter().filter_map(|part| part.parse().ok()).collect();
    let shape: Vec<&str> =
        path.iter().map(|part| if part.parse::<i64>().is_ok() { "#" } else { *part }).collect();
    let operation = match (request.method().as_str(), shape.as_slice()) {
        ("GET", ["v2", "orders"]) => "getOrders",
        ("POST", ["v2", "orders"]) => "createOrder",
        ("GET", ["v2", "orders", "count"]) => "getOrdersCount",
        ("GET", ["v2", "orders", "#"]) => "getOrder",
        ("PUT", ["v2", "orders", "#"]) => "updateOrder",
        ("DELETE", ["v2", "orders", "#"]) => "deleteOrder",
        ("GET", ["v2", "orders", "#", "products"]) => "getOrderProducts",
        ("GET", ["v2", "orders", "#", "products", "#"]) => "getOrderProduct",
        ("GET", ["v2", "orders", "#", "coupons"]) => "getOrderCoupons",
        ("GET", ["v2", "orders", "#", "shipping_addresses" | "shippingaddresses"]) => {
            "getOrderShippingAddresses"
        }
        ("GET", ["v2", "orders", "#", "shipments"]) => "getOrderShipments",
        ("POST", ["v2", "orders", "#", "shipments"]) => "createOrderShipments",
        ("DELETE", ["v2", "orders", "#", "shipments"]) => "deleteOrderShipments",
        ("GET", ["v2", "orders", "#", "shipments", "count"]) => "getOrderShipmentsCount",
        ("GET", ["v2", "orders", "#", "shipments", "#"]) => "getOrderShipment",
        ("PUT", ["v2", "orders", "#", "shipments", "#"]) => "updateOrderShipment",
        ("DELETE", ["v2", "orders", "#", "shipments", "#"]) => "deleteOrderShipment",
        ("GET", ["v3", "orders", "#", "payment_actions", "refunds"]) => "getOrderRefunds",
        ("GET", ["v2", "order_statuses"]) => "getOrderStatuses",
        ("GET", ["v2", "store"]) => "getStoreInformation",
        ("GET", ["v2", "time"]) => "getSystemTimestamp",
        ("GET", ["v3", "catalog", "variants"]) => "getVariants",
        ("GET", ["v3", "catalog", "products"]) => "getProducts",
        ("GET", ["v3", "inventory", "items"]) => "get-inventory-items",
        ("PUT", ["v3", "inventory", "adjustments", "absolute"]) => "put-absolute-adjustment",
        ("GET", ["v3", "hooks"]) => "getWebhooks",
        ("POST", ["v3", "hooks"]) => "createWebhooks",
        ("PUT", ["v3", "hooks", "#"]) => "updateWebhook",
        ("DELETE", ["v3", "hooks", "#"]) => "deleteWebhook",
        _ => "unknown",
    };
    (operation, numbers)
}

/// The operation's name in the specification; `unknown` for what is none.
pub fn operation_of(request: &Request<Bytes>) -> &'static str {
    if is_exchange(request) { "token" } else { route(request).0 }
}

/// A refusal: status and text.
pub struct Refusal(pub StatusCode, pub String);

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self(StatusCode::BAD_REQUEST, message)
    }
}

/// An answer or a refusal.
pub type Answer = Result<Response<Bytes>, Refusal>;

impl Shop {
    /// Answers one call.
    pub fn serve(&mut self, call: &Call<'_>) -> Response<Bytes> {
        if is_exchange(call.request) {
            return self.exchange_code(call);
        }
        let (operation, numbers) = route(call.request);
        let answer = self.admit(call).and_then(|()| self.answer(operation, &numbers, call));
        let mut response = answer.unwrap_or_else(|refusal| self.refused(call.request, &refusal));
        self.set_quota_headers(&mut response, call.now);
        response
    }

    /// The answer when the platform fails (500), throttles (429) or does not accept the token (401). Every other 429
    /// comes without quota headers: then the platform is busy, not the quota used up.
    pub fn failure(
        &self,
        status: StatusCode,
        request: &Request<Bytes>,
        now: Timestamp,
        number: u64,
    ) -> Response<Bytes> {
        let message = match status {
            StatusCode::TOO_MANY_REQUESTS => "Too many requests. Please try again later.",
            StatusCode::UNAUTHORIZED => "The access token is not valid.",
            StatusCode::FORBIDDEN => "You don't have a required scope to access the endpoint",
            _ => "An internal error occurred. Please try again.",
        };
        let mut response = self.refused(request, &Refusal(status, message.to_owned()));
        if status == StatusCode::TOO_MANY_REQUESTS && number.is_multiple_of(2) {
            set_headers(&mut response, self.window.quota, 0, self.window.reset_ms(now).max(500));
        }
        response
    }

    fn admit(&mut self, call: &Call<'_>) -> Result<(), Refusal> {
        if call.is_admitted {
            return Ok(());
        }
        let token = call.request.headers().get("x-auth-token").and_then(|value| value.to_str().ok());
        let hash = call.request.uri().path().split('/').nth(2);
        if hash != Some(STORE_HASH) || token != Some(self.access_token().as_str()) {
            let message = "Unauthorized: no valid X-Auth-Token for this store was supplied.".to_owned();
            return Err(Refusal(StatusCode::UNAUTHORIZED, message));
        }
        let is_free = self.window.take(call.now) || !self.has_quotas;
        if is_free {
            return Ok(());
        }
        Err(Refusal(StatusCode::TOO_MANY_REQUESTS, "Too many requests. Please try again later.".to_owned()))
    }

    fn set_quota_headers(&self, response: &mut Response<Bytes>, now: Timestamp) {
        set_headers(response, self.window.quota, self.window.left(), self.window.reset_ms(now));
    }

    /// An error in the words of the API's version: V2 an array, V3 an object, which the inventory calls a problem and the
    /// hooks give no list of errors.
    fn refused(&self, request: &Request<Bytes>, Refusal(status, message): &Refusal) -> Response<Bytes> {
        let code = status.as_u16();
        let path = request.uri().path();
        if path.contains("/v3/") {
            let kind = "https://developer.bigcommerce.com/api-docs/getting-started/api-status-codes";
            let body = match path.contains("/v3/hooks") {
                true => json!({"status": code, "title": message, "type": kind}),
                false => json!({"status": code, "title": message, "type": kind, "errors": {}}),
            };
            let mut response = reply::json(*status, &body);
            if path.contains("/v3/inventory/") {
                reply::set_header(&mut response, "content-type", "application/problem+json");
            }
            return response;
        }
        reply::json(*status, &json!([{"status": code, "message": message}]))
    }

    fn answer(&mut self, operation: &'static str, numbers: &[i64], call: &Call<'_>) -> Answer {
        let order_id = numbers.first().copied().unwrap_or(0);
        let part_id = numbers.get(1).copied().unwrap_or(0);
        match operation {
            "getOrders" => self.list_orders(call),
            "createOrder" => self.create(call),
            "getOrdersCount" => self.count_orders(call),
            "getOrder" => Ok(ok(&wire::order_json(self.seen_order(order_id, call)?))),
            "updateOrder" => self.update(order_id, call),
            "deleteOrder" => self.archive(order_id, call.now),
            "getOrderProducts" | "getOrderProduct" => {
                let order = self.seen_order(order_id, call)?;
                let lines = order.lines.iter().filter(|line| part_id == 0 || line.id == part_id);
                let found: Vec<_> = lines.map(|line| wire::line_json(order, line)).collect();
                if part_id == 0 { page(call, found) } else { first(found) }
            }
            "getOrderCoupons" => {
                self.seen_order(order_id, call).map(|_| reply::empty(StatusCode::NO_CONTENT))
            }
            "getOrderShippingAddresses" => {
                let order = self.seen_order(order_id, call)?;
                page(call, order.addresses.iter().map(|address| wire::address_json(order, address)).collect())
            }
            "getOrderShipments" | "getOrderShipment" | "getOrderShipmentsCount" => {
                let order = self.seen_order(order_id, call)?;
                let wanted = order.shipments.iter().filter(|shipment| part_id == 0 || shipment.id == part_id);
                let found: Vec<_> = wanted.map(|shipment| wire::shipment_json(order, shipment)).collect();
                match operation {
                    "getOrderShipmentsCount" => Ok(ok(&json!({"count": found.len()}))),
                    "getOrderShipment" => first(found),
                    _ => page(call, found),
                }
            }
            "getOrderRefunds" => Ok(ok(&Self::refunds_json(self.seen_order(order_id, call)?))),
            "createOrderShipments" => self.ship(order_id, call),
            "updateOrderShipment" => self.edit_shipment(order_id, part_id, call),
            "deleteOrderShipments" => self.unship(order_id, None, call.now),
            "deleteOrderShipment" => self.unship(order_id, Some(part_id), call.now),
            "getOrderStatuses" => Ok(ok(&STATUSES.iter().map(|status| wire::status_json(*status)).collect())),
            "getStoreInformation" => Ok(ok(&wire::store_json())),
            "getSystemTimestamp" => Ok(ok(&json!({"time": call.now.as_second()}))),
            "getVariants" => self.list_variants(&Query::of(call.request)),
            "getProducts" => self.list_products(&Query::of(call.request)),
            "get-inventory-items" => self.list_inventory(&Query::of(call.request)),
            "put-absolute-adjustment" => self.set_inventory(call),
            "getWebhooks" => self.list_hooks(&Query::of(call.request)),
            "createWebhooks" => self.add_hook(call),
            "updateWebhook" => self.change_hook(order_id, call),
            "deleteWebhook" => self.remove_hook(order_id),
            _ => Err(not_found()),
        }
    }

    /// An order as this call may see it: a lagging read sees the one before the last change.
    fn seen_order(&self, id: i64, call: &Call<'_>) -> Result<&Order, Refusal> {
        let index = self.place_of(id).ok_or_else(not_found)?;
        self.seen_at(index, call).ok_or_else(not_found)
    }

    fn seen_at(&self, index: usize, call: &Call<'_>) -> Option<&Order> {
        let earlier = if call.is_stale { self.previous.before(index, call.now) } else { None };
        earlier.unwrap_or_else(|| self.orders.get(index))
    }

    fn known_order(&self, id: i64) -> Result<(usize, &Order), Refusal> {
        let index = self.place_of(id).ok_or_else(not_found)?;
        Ok((index, self.orders.get(index).ok_or_else(not_found)?))
    }

    fn list_orders(&self, call: &Call<'_>) -> Answer {
        let query = Query::of(call.request);
        let filter = Filter::read(&query)?;
        let (page, limit) = query.page(PAGE_DEFAULT)?;
        let found = self.matching(&query, &filter, call)?;
        let skipped = page.saturating_sub(1).saturating_mul(limit);
        let shown: Vec<_> = found.skip(skipped).take(limit).map(wire::order_json).collect();
        Ok(list(shown))
    }

    fn count_orders(&self, call: &Call<'_>) -> Answer {
        let query = Query::of(call.request);
        let filter = Filter::read(&query)?;
        let mut counts = [0_i64; 15];
        let mut all = 0_i64;
        for order in self.matching(&query, &filter, call)? {
            all += 1;
            if let Some(count) = usize::try_from(order.status_id).ok().and_then(|id| counts.get_mut(id)) {
                *count += 1;
            }
        }
        let statuses: Vec<_> = STATUSES
            .iter()
            .zip(counts)
            .map(|(status, count)| {
                let mut body = wire::status_json(*status);
                if let Some(body) = body.as_object_mut() {
                    body.insert("count".to_owned(), json!(count));
                    body.insert("sort_order".to_owned(), json!(status.2));
                }
                body
            })
            .collect();
        Ok(ok(&json!({"statuses": statuses, "count": all})))
    }

    /// The orders that match, in the order that was asked for, by the index that leads there fastest.
    fn matching<'a>(
        &'a self,
        query: &Query,
        filter: &'a Filter,
        call: &Call<'_>,
    ) -> Result<Box<dyn Iterator<Item = &'a Order> + 'a>, Refusal> {
        let sort = query.one("sort").unwrap_or_else(|| "id:asc".to_owned());
        let (field, direction) = sort.split_once(':').unwrap_or((sort.as_str(), "asc"));
        let at = |index: &usize| self.orders.get(*index);
        let by_time = |index: &'a BTreeSet<(i64, usize)>, low: Option<i64>, high: Option<i64>| {
            let low = low.unwrap_or(i64::MIN);
            let high = high.unwrap_or(i64::MAX).max(low);
            index.range((low, 0)..=(high, usize::MAX)).filter_map(move |(_, place)| self.orders.get(*place))
        };
        let is_reversed = match direction {
            "asc" => false,
            "desc" => true,
            _ => return Err(invalid_sort()),
        };
        let found: Vec<&Order> = match (&filter.external_order_id, field) {
            // Everything as it was: the indexes are of what is now.
            _ if call.is_stale => {
                let mut found: Vec<&Order> =
                    (0..self.orders.len()).filter_map(|index| self.seen_at(index, call)).collect();
                found.sort_by_key(|order| sort_key(order, field));
                found
            }
            (Some(id), "id") => self.by_external_id.get(id).into_iter().flatten().filter_map(at).collect(),
            (None, "id") if !is_reversed && filter.is_open() => {
                let start = filter.min_id.and_then(|id| self.place_of(id)).unwrap_or(0);
                return Ok(Box::new(self.orders.iter().skip(start).filter(|order| filter.matches(order))));
            }
            (_, "date_modified") => {
                let found = by_time(&self.by_modified, filter.min_modified, filter.max_modified);
                if !is_reversed {
                    return Ok(Box::new(found.filter(|order| filter.matches(order))));
                }
                return Ok(Box::new(found.rev().filter(|order| filter.matches(order))));
            }
            (_, "date_created") => {
                by_time(&self.by_created, filter.min_created, filter.max_created).collect()
            }
            (_, "id" | "status_id" | "customer_id" | "channel_id" | "external_id") => {
                let mut found: Vec<&Order> =
                    by_time(&self.by_modified, filter.min_modified, filter.max_modified).collect();
                found.sort_by_key(|order| sort_key(order, field));
                found
            }
            _ => return Err(invalid_sort()),
        };
        let found = found.into_iter().filter(|order| filter.matches(order));
        Ok(if is_reversed { Box::new(found.rev()) } else { Box::new(found) })
    }

    fn create(&mut self, call: &Call<'_>) -> Answer {
        let body = read_body(call)?;
        let index = self.create_order(&body, call.now)?;
        let order = self.orders.get(index).ok_or_else(not_found)?;
        Ok(ok(&wire::order_json(order)))
    }

    fn update(&mut self, id: i64, call: &Call<'_>) -> Answer {
        let body = read_body(call)?;
        let (index, order) = self.known_order(id)?;
        if body.get("products").is_some() || body.get("shipping_addresses").is_some() {
            return Err(Refusal::from(
                "Positions and addresses of an order cannot be changed here.".to_owned(),
            ));
        }
        let status_id = integer(&body, "status_id")?;
        if status_id.is_some_and(|status| !(0..=STATUS_MAX).contains(&status)) {
            return Err(Refusal::from("The field 'status_id' is invalid.".to_owned()));
        }
        let billing = match body.get("billing_address") {
            Some(billing) => contact(billing, "billing_address")?,
            None => order.billing.clone(),
        };
        let text = |name: &str, now: &str| match body.get(name) {
            Some(_) => optional(&body, name).unwrap_or_default(),
            None => now.to_owned(),
        };
        let staff_notes = text("staff_notes", &order.staff_notes);
        let customer_message = text("customer_message", &order.customer_message);
        let payment_method = text("payment_method", &order.payment_method);
        let external_source = match body.get("external_source") {
            Some(_) => optional(&body, "external_source"),
            None => order.external_source.clone(),
        };
        let external_order_id = match body.get("external_order_id") {
            Some(_) => optional(&body, "external_order_id"),
            None => order.external_order_id.clone(),
        };
        let is_deleted = body.get("is_deleted").and_then(Value::as_bool).unwrap_or(order.is_deleted);
        self.change(index, call.now, |order| {
            order.billing = billing;
            order.staff_notes = staff_notes;
            order.customer_message = customer_message;
            order.payment_method = payment_method;
            order.external_source = external_source;
            order.external_order_id = external_order_id;
            order.is_deleted = is_deleted;
        });
        if let Some(status_id) = status_id {
            self.set_status(index, status_id, call.now);
        }
        Ok(ok(&wire::order_json(self.known_order(id)?.1)))
    }

    fn archive(&mut self, id: i64, now: Timestamp) -> Answer {
        let (index, _) = self.known_order(id)?;
        self.change(index, now, |order| order.is_deleted = true);
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    fn ship(&mut self, id: i64, call: &Call<'_>) -> Answer {
        let body = read_body(call)?;
        let (index, _) = self.known_order(id)?;
        let shipment = self.shipment(index, &body, call.now)?;
        let shipment_id = shipment.id;
        self.add_shipment(index, shipment, call.now);
        let (_, order) = self.known_order(id)?;
        let shipment = order.shipments.iter().find(|known| known.id == shipment_id).ok_or_else(not_found)?;
        Ok(reply::json(StatusCode::CREATED, &wire::shipment_json(order, shipment)))
    }

    /// The parcel that a body describes.
    pub(super) fn shipment(
        &mut self,
        index: usize,
        body: &Value,
        now: Timestamp,
    ) -> Result<Shipment, Refusal> {
        let order = self.orders.get(index).ok_or_else(not_found)?;
        if matches!(order.status_id, 0 | 4 | 5 | 6) {
            return Err(Refusal::from("The order cannot be shipped in its status.".to_owned()));
        }
        let address_id = integer(body, "order_address_id")?;
        let address_id =
            address_id.ok_or("The required field 'order_address_id' was not supplied.".to_owned())?;
        if !order.addresses.iter().any(|address| address.id == address_id) {
            return Err(Refusal::from("The field 'order_address_id' is invalid.".to_owned()));
        }
        let items = shipment_items(order, body)?;
        let tracking_number = optional(body, "tracking_number").unwrap_or_default();
        if tracking_number.chars().count() > 50 {
            return Err(Refusal::from(
                "The field 'tracking_number' is invalid: at most 50 characters.".to_owned(),
            ));
        }
        let method =
            order.addresses.iter().find(|address| address.id == address_id).map(|address| &address.method);
        let method = optional(body, "shipping_method").or_else(|| method.cloned()).unwrap_or_default();
        Ok(Shipment {
            id: self.new_shipment_id(),
            address_id,
            created: whole_second(now),
            tracking_number,
            tracking_carrier: optional(body, "tracking_carrier").unwrap_or_default(),
            tracking_link: optional(body, "tracking_link").unwrap_or_default(),
            provider: optional(body, "shipping_provider").unwrap_or_default(),
            method,
            cost: body.get("merchant_shipping_cost").and_then(parse_four_decimals).unwrap_or(0),
            comments: optional(body, "comments").unwrap_or_default(),
            items,
        })
    }

    fn edit_shipment(&mut self, id: i64, shipment_id: i64, call: &Call<'_>) -> Answer {
        let body = read_body(call)?;
        let (index, order) = self.known_order(id)?;
        if !order.shipments.iter().any(|shipment| shipment.id == shipment_id) {
            return Err(not_found());
        }
        self.change(index, call.now, |order| {
            let Some(shipment) = order.shipments.iter_mut().find(|shipment| shipment.id == shipment_id)
            else {
                return;
            };
            let set = |field: &mut String, name: &str| {
                if body.get(name).is_some() {
                    *field = optional(&body, name).unwrap_or_default();
                }
            };
            set(&mut shipment.tracking_number, "tracking_number");
            set(&mut shipment.tracking_carrier, "tracking_carrier");
            set(&mut shipment.tracking_link, "tracking_link");
            set(&mut shipment.provider, "shipping_provider");
            set(&mut shipment.method, "shipping_method");
            set(&mut shipment.comments, "comments");
        });
        let (_, order) = self.known_order(id)?;
        let shipment = order.shipments.iter().find(|known| known.id == shipment_id).ok_or_else(not_found)?;
        Ok(ok(&wire::shipment_json(order, shipment)))
    }

    fn unship(&mut self, id: i64, shipment_id: Option<i64>, now: Timestamp) -> Answer {
        let (index, order) = self.known_order(id)?;
        if shipment_id.is_some_and(|wanted| !order.shipments.iter().any(|shipment| shipment.id == wanted)) {
            return Err(not_found());
        }
        self.remove_shipments(index, shipment_id, now);
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }
}

fn shipment_items(order: &Order, body: &Value) -> Result<Vec<(i64, i64)>, Refusal> {
    let entries = body.get("items").and_then(Value::as_array).filter(|entries| !entries.is_empty());
    let entries = entries.ok_or("The required field 'items' was not supplied.".to_owned())?;
    let mut items: Vec<(i64, i64)> = Vec::new();
    for entry in entries {
        let id = integer(entry, "order_product_id")?.unwrap_or(0);
        let count = integer(entry, "quantity")?.unwrap_or(0);
        match items.iter_mut().find(|(known, _)| *known == id) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => items.push((id, count)),
        }
    }
    for (id, count) in &items {
        let line = order.lines.iter().find(|line| line.id == *id);
        let line = line.ok_or_else(|| format!("The field 'order_product_id' is invalid: {id}."))?;
        if *count < 1 || *count > line.quantity - line.shipped {
            return Err(Refusal::from(format!(
                "The quantity of order product {id} is invalid: {} of {} are left to ship.",
                line.quantity - line.shipped,
                line.quantity
            )));
        }
    }
    Ok(items)
}

fn set_headers(response: &mut Response<Bytes>, quota: i64, left: i64, reset_ms: i64) {
    reply::set_header(response, "x-rate-limit-requests-quota", &quota.to_string());
    reply::set_header(response, "x-rate-limit-requests-left", &left.to_string());
    reply::set_header(response, "x-rate-limit-time-window-ms", &super::WINDOW_MS.to_string());
    reply::set_header(response, "x-rate-limit-time-reset-ms", &reset_ms.to_string());
}

fn read_body(call: &Call<'_>) -> Result<Value, Refusal> {
    let body = serde_json::from_slice::<Value>(call.request.body()).ok().filter(Value::is_object);
    body.ok_or_else(|| Refusal::from("The request body is not a JSON object.".to_owned()))
}

fn ok(body: &Value) -> Response<Bytes> {
    reply::json(StatusCode::OK, body)
}

fn not_found() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "The requested resource was not found.".to_owned())
}

/// A V2 list: an empty one has no body at all.
fn list(entries: Vec<Value>) -> Response<Bytes> {
    if entries.is_empty() { reply::empty(StatusCode::NO_CONTENT) } else { ok(&Value::Array(entries)) }
}

fn page(call: &Call<'_>, entries: Vec<Value>) -> Answer {
    let (page, limit) = Query::of(call.request).page(PAGE_DEFAULT)?;
    let skipped = page.saturating_sub(1).saturating_mul(limit);
    Ok(list(entries.into_iter().skip(skipped).take(limit).collect()))
}

fn first(entries: Vec<Value>) -> Answer {
    entries.first().map(ok).ok_or_else(not_found)
}

/// A request's query.
pub struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Bytes>) -> Self {
        let raw = request.uri().query().unwrap_or("");
        Self(form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    /// A parameter that is there and not empty.
    pub fn one(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.clone())
    }

    /// A list separated by commas.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        Some(self.one(name)?.split(',').map(|entry| entry.trim().to_owned()).collect())
    }

    /// A list of numbers.
    pub fn numbers(&self, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        let Some(entries) = self.list(name) else { return Ok(None) };
        let numbers: Result<Vec<i64>, _> = entries.iter().map(|entry| entry.parse()).collect();
        numbers.map(Some).map_err(|_| Refusal::from(format!("The field '{name}' is invalid.")))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.one(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Refusal::from(format!("The field '{name}' is invalid.")))
    }

    fn second(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.one(name) else { return Ok(None) };
        let at = wire::parse_date(&text).ok_or_else(|| format!("The field '{name}' is invalid."))?;
        Ok(Some(at.as_second()))
    }

    /// Page and limit.
    pub fn page(&self, default: usize) -> Result<(usize, usize), Refusal> {
        let read = |name: &str, default: usize| match self.number(name)? {
            None => Ok(default),
            Some(number) => usize::try_from(number)
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| Refusal::from(format!("The field '{name}' is invalid."))),
        };
        let limit = read("limit", default)?;
        if limit > PAGE_MAX {
            return Err(Refusal::from(format!("The field 'limit' is invalid: at most {PAGE_MAX}.")));
        }
        Ok((read("page", 1)?, limit))
    }
}

/// Which orders a list shows.
struct Filter {
    min_id: Option<i64>,
    max_id: Option<i64>,
    status_id: Option<i64>,
    customer_id: Option<i64>,
    channel_id: Option<i64>,
    email: Option<String>,
    external_order_id: Option<String>,
    payment_method: Option<String>,
    min_modified: Option<i64>,
    max_modified: Option<i64>,
    min_created: Option<i64>,
    max_created: Option<i64>,
    is_deleted: bool,
}

fn invalid_sort() -> Refusal {
    Refusal::from("The field 'sort' is invalid.".to_owned())
}

fn sort_key(order: &Order, field: &str) -> (i64, i64) {
    match field {
        "date_modified" => (order.modified.as_second(), order.id),
        "date_created" => (order.created.as_second(), order.id),
        "status_id" => (order.status_id, order.id),
        "customer_id" => (order.customer_id, order.id),
        "channel_id" => (order.channel_id, order.id),
        _ => (order.id, 0),
    }
}

impl Filter {
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self {
            min_id: query.number("min_id")?,
            max_id: query.number("max_id")?,
            status_id: query.number("status_id")?,
            customer_id: query.number("customer_id")?,
            channel_id: query.number("channel_id")?,
            email: query.one("email"),
            external_order_id: query.one("external_order_id"),
            payment_method: query.one("payment_method"),
            min_modified: query.second("min_date_modified")?,
            max_modified: query.second("max_date_modified")?,
            min_created: query.second("min_date_created")?,
            max_created: query.second("max_date_created")?,
            is_deleted: query.one("is_deleted").is_some_and(|text| text == "true" || text == "1"),
        })
    }

    /// Whether it asks for no time range, so that the list of all orders is as good as an index.
    const fn is_open(&self) -> bool {
        self.min_modified.is_none() && self.max_modified.is_none()
    }

    fn matches(&self, order: &Order) -> bool {
        let (created, modified) = (order.created.as_second(), order.modified.as_second());
        self.is_deleted == order.is_deleted
            && self.min_id.is_none_or(|id| order.id >= id)
            && self.max_id.is_none_or(|id| order.id <= id)
            && self.status_id.is_none_or(|id| order.status_id == id)
            && self.customer_id.is_none_or(|id| order.customer_id == id)
            && self.channel_id.is_none_or(|id| order.channel_id == id)
            && self.email.as_ref().is_none_or(|email| order.billing.email == *email)
            && self.payment_method.as_ref().is_none_or(|method| order.payment_method == *method)
            && self.external_order_id.as_ref().is_none_or(|id| order.external_order_id.as_ref() == Some(id))
            && self.min_modified.is_none_or(|at| modified >= at)
            && self.max_modified.is_none_or(|at| modified <= at)
            && self.min_created.is_none_or(|at| created >= at)
            && self.max_created.is_none_or(|at| created <= at)
    }
}

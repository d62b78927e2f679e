//! eBay's calls: which request means which operation, what is refused, and what is answered.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::control;
use super::super::faults::STALE_SECONDS;
use super::super::money::parse_four_decimals;
use super::super::reply;
use super::wire::{self, View};
use super::{
    CLIENT_ID, CLIENT_SECRET, CONSENT_CODE, Destination, Ebay, OTHER_USER_ID, Order, Parcel, RU_NAME, Refund,
    Subscription, TOKEN_SECONDS, USER_ID,
};
use crate::clock::shifted;

/// Orders on a page at most.
const PAGE_ORDERS_MAX: usize = 200;
/// Days of orders where a list has no filter.
const DAYS_DEFAULT: i64 = 90;
/// Days that orders are kept for.
const DAYS_MAX: i64 = 2 * 365;
/// Where fulfilment lies.
const ORDERS: [&str; 4] = ["sell", "fulfillment", "v1", "order"];

/// Where the consent page leads back to.
const CONSENT_ADDRESS: &str = "https://localhost/";

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

/// The operation's name in the specification; `token` for the token endpoint, `consent` for eBay's page, `unknown` for what
/// is none.
pub fn operation_of(request: &Request<Bytes>) -> &'static str {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let method = request.method();
    match path.as_slice() {
        ["identity", "v1", "oauth2", "token"] if *method == post => "token",
        ["oauth2", "authorize"] if *method == get => "consent",
        ["commerce", "identity", "v1", "user"] if *method == get => "getUser",
        ["sell", "fulfillment", "v1", "order"] if *method == get => "getOrders",
        ["sell", "fulfillment", "v1", "order", _] if *method == get => "getOrder",
        ["sell", "fulfillment", "v1", "order", _, "issue_refund"] if *method == post => "issueRefund",
        ["sell", "fulfillment", "v1", "order", _, "shipping_fulfillment"] if *method == get => {
            "getShippingFulfillments"
        }
        ["sell", "fulfillment", "v1", "order", _, "shipping_fulfillment"] if *method == post => {
            "createShippingFulfillment"
        }
        ["sell", "inventory", "v1", "inventory_item"] if *method == get => "getInventoryItems",
        ["sell", "inventory", "v1", "offer"] if *method == get => "getOffers",
        ["post-order", "v2", "cancellation", "check_eligibility"] if *method == post => {
            "checkCancellationEligibility"
        }
        ["post-order", "v2", "cancellation"] if *method == post => "createCancellation",
        ["post-order", "v2", "cancellation", _] if *method == get => "getCancellation",
        ["post-order", "v2", "cancellation", _, "approve"] if *method == post => "approveCancellation",
        ["commerce", "notification", "v1", "config"] if *method == put => "updateConfig",
        ["commerce", "notification", "v1", "destination"] if *method == get => "getDestinations",
        ["commerce", "notification", "v1", "destination"] if *method == post => "createDestination",
        ["commerce", "notification", "v1", "destination", _] if *method == put => "updateDestination",
        ["commerce", "notification", "v1", "subscription"] if *method == get => "getSubscriptions",
        ["commerce", "notification", "v1", "subscription"] if *method == post => "createSubscription",
        ["commerce", "notification", "v1", "subscription", _] if *method == put => "updateSubscription",
        ["commerce", "notification", "v1", "subscription", _, "enable"] if *method == post => {
            "enableSubscription"
        }
        ["commerce", "notification", "v1", "topic", _] if *method == get => "getTopic",
        ["commerce", "notification", "v1", "public_key", _] if *method == get => "getPublicKey",
        _ => "unknown",
    }
}

/// Whether an operation is the application's own and not a seller's.
fn is_applications(operation: &str) -> bool {
    matches!(
        operation,
        "getPublicKey"
            | "getTopic"
            | "updateConfig"
            | "getDestinations"
            | "createDestination"
            | "updateDestination"
    )
}

/// An error as eBay's REST APIs write it.
pub struct Refusal(StatusCode, i64, String);

impl Refusal {
    fn request(id: i64, message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, id, message.into())
    }

    fn not_found(id: i64, message: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, id, message.into())
    }

    fn response(&self) -> Response<Bytes> {
        let Self(status, id, message) = self;
        let domain = match *status {
            StatusCode::UNAUTHORIZED => "OAuth",
            _ => "API_FULFILLMENT",
        };
        let category = if status.is_server_error() { "APPLICATION" } else { "REQUEST" };
        let error = json!({
            "errorId": id,
            "domain": domain,
            "category": category,
            "message": message,
            "longMessage": message,
        });
        reply::json(*status, &json!({"errors": [error]}))
    }
}

type Answer = Result<Response<Bytes>, Refusal>;

impl Ebay {
    /// Answers one call.
    pub fn serve(&mut self, operation: &'static str, call: &Call<'_>) -> Response<Bytes> {
        let mut response = match operation {
            "token" => self.token(call),
            "consent" => consent(call),
            _ => {
                let answer = self.admit(operation, call).and_then(|()| self.answer(operation, call));
                answer.unwrap_or_else(|refusal| refusal.response())
            }
        };
        reply::set_header(&mut response, "date", &http_date(call.now));
        response
    }

    fn answer(&mut self, operation: &str, call: &Call<'_>) -> Answer {
        match operation {
            "getOrders" => self.get_orders(call),
            "getOrder" => self.get_order(call),
            "getShippingFulfillments" => self.get_parcels(call),
            "createShippingFulfillment" => self.create_parcel(call),
            "issueRefund" => self.issue_refund(call),
            "getInventoryItems" => self.get_items(call),
            "getOffers" => self.get_offers(call),
            "checkCancellationEligibility" => self.check_cancellation(call),
            "createCancellation" => self.create_cancellation(call),
            "getCancellation" => self.get_cancellation(call),
            "approveCancellation" => self.approve_cancellation(call),
            "getUser" => self.get_user(call),
            _ if operation != "unknown" => self.notifications(operation, call),
            _ => Err(Refusal::not_found(2_002, "Resource not found")),
        }
    }

    fn get_user(&self, call: &Call<'_>) -> Answer {
        if self.meta.is_seller_hidden {
            return Err(forbidden());
        }
        let is_other = bearer(call).is_some_and(|token| self.meta.tokens_of_other.contains(token));
        let (id, name) =
            if is_other { (OTHER_USER_ID, "other-test-goods") } else { (USER_ID, "eider-test-goods") };
        Ok(reply::json(StatusCode::OK, &json!({"userId": id, "username": name, "status": "CONFIRMED"})))
    }

    /// The answer when the platform fails (500), throttles (429), or does not accept the token (401) or its scopes (403).
    pub fn failure(&self, status: StatusCode, now: Timestamp) -> Response<Bytes> {
        let refusal = match status {
            StatusCode::TOO_MANY_REQUESTS => {
                Refusal(status, 2_001, "Too many requests. The request limit has been reached.".to_owned())
            }
            StatusCode::UNAUTHORIZED => unauthorized(),
            StatusCode::FORBIDDEN => forbidden(),
            _ => Refusal(StatusCode::INTERNAL_SERVER_ERROR, 30_500, "System error".to_owned()),
        };
        let mut response = refusal.response();
        reply::set_header(&mut response, "date", &http_date(now));
        response
    }

    fn admit(&self, operation: &str, call: &Call<'_>) -> Result<(), Refusal> {
        if call.is_admitted {
            return Ok(());
        }
        let header = call.request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let is_post_order = call.request.uri().path().starts_with("/post-order/");
        let scheme = if is_post_order { "IAF " } else { "Bearer " };
        let token = header.and_then(|header| header.strip_prefix(scheme)).ok_or_else(unauthorized)?;
        let (dies, is_sellers) = self.meta.tokens.get(token).ok_or_else(unauthorized)?;
        if *dies <= call.now.as_microsecond() {
            return Err(unauthorized());
        }
        let is_others = self.meta.tokens_of_other.contains(token) && operation != "getUser";
        if operation != "unknown" && (is_others || *is_sellers == is_applications(operation)) {
            return Err(forbidden());
        }
        Ok(())
    }

    fn token(&mut self, call: &Call<'_>) -> Response<Bytes> {
        let refused = |status: StatusCode, error: &str, text: &str| {
            reply::json(status, &json!({"error": error, "error_description": text}))
        };
        let pair = STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
        let header = call.request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if header != Some(&format!("Basic {pair}")) {
            return refused(StatusCode::UNAUTHORIZED, "invalid_client", "client authentication failed");
        }
        let fields: Vec<(String, String)> =
            form_urlencoded::parse(call.request.body()).into_owned().collect();
        let field = |name: &str| {
            fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
        };
        let invalid = |text: &str| refused(StatusCode::BAD_REQUEST, "invalid_grant", text);
        let is_sellers = field("grant_type") != "client_credentials";
        match field("grant_type") {
            "refresh_token"
                if ![self.refresh_token(), self.other_refresh_token()]
                    .iter()
                    .any(|known| known == field("refresh_token")) =>
            {
                return invalid(
                    "the provided authorization refresh token is invalid or was issued to another client",
                );
            }
            "authorization_code" if field("code") != CONSENT_CODE || field("redirect_uri") != RU_NAME => {
                return invalid(
                    "the provided authorization grant code is invalid or was issued to another client",
                );
            }
            "client_credentials" if field("scope").is_empty() => {
                return refused(StatusCode::BAD_REQUEST, "invalid_scope", "a scope is required");
            }
            "refresh_token" | "authorization_code" | "client_credentials" => {}
            _ => {
                let text = "the grant type is not supported";
                return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", text);
            }
        }
        let is_others = match field("grant_type") {
            "refresh_token" => field("refresh_token") == self.other_refresh_token(),
            "authorization_code" => self.meta.is_other_signed_in,
            _ => false,
        };
        let token = self.issue_access_token(is_sellers, call.now);
        if is_others {
            self.meta.tokens_of_other.insert(token.clone());
        }
        let kind = if is_sellers { "User Access Token" } else { "Application Access Token" };
        let mut body = json!({"access_token": token, "token_type": kind, "expires_in": TOKEN_SECONDS});
        if field("grant_type") == "authorization_code"
            && let Some(body) = body.as_object_mut()
        {
            let refresh = if is_others { self.other_refresh_token() } else { self.refresh_token() };
            body.insert("refresh_token".to_owned(), json!(refresh));
            body.insert("refresh_token_expires_in".to_owned(), json!(47_304_000));
        }
        reply::json(StatusCode::OK, &body)
    }

    fn get_orders(&self, call: &Call<'_>) -> Answer {
        let query = Query::of(call.request);
        let has_taxes = query.has_taxes()?;
        let limit = query.number("limit", 50)?;
        let offset = query.number("offset", 0)?;
        if limit == 0 || limit > PAGE_ORDERS_MAX {
            return Err(Refusal::request(30_810, "Invalid limit. The limit must be between 1 and 200."));
        }
        // Brackets and braces have to be percent-encoded.
        if call.request.uri().query().is_some_and(|raw| raw.contains(['[', ']', '{', '}'])) {
            return Err(Refusal::request(30_700, "Invalid filter."));
        }
        let filter = Filter::read(query.one("filter").as_deref().unwrap_or_default(), call.now)?;
        let hidden = hidden_since(call);
        let index = self.orders.times(filter.is_by_update);
        let (from, to) = (filter.from.as_microsecond(), filter.to.as_microsecond());
        let found: Vec<&Order> = index
            .range((from, 0)..=(to.max(from), usize::MAX))
            .filter(|(at, _)| *at <= to)
            .filter_map(|(_, number)| self.orders.get(*number))
            .filter(|order| filter.words.is_empty() || filter.words.contains(order.fulfillment_word()))
            .filter(|order| order.updated < hidden)
            .collect();
        let view = View { now: call.now, has_taxes, is_single: false };
        let page: Vec<Value> =
            found.iter().skip(offset).take(limit).map(|order| self.order_json(order, view)).collect();
        let address = |offset: usize| {
            format!("https://api.ebay.com/sell/fulfillment/v1/order?limit={limit}&offset={offset}")
        };
        let mut body = json!({
            "href": address(offset),
            "total": found.len(),
            "limit": limit,
            "offset": offset,
            "orders": page,
        });
        let end = offset.saturating_add(limit);
        if let (true, Some(body)) = (end < found.len(), body.as_object_mut()) {
            body.insert("next".to_owned(), json!(address(end)));
        }
        Ok(reply::json(StatusCode::OK, &body))
    }

    fn get_order(&self, call: &Call<'_>) -> Answer {
        let has_taxes = Query::of(call.request).has_taxes()?;
        let index = self.find_order(&segment(call.request, ORDERS.len()), StatusCode::NOT_FOUND)?;
        let order = self.orders.seen(index, call.now, call.is_stale).filter(|order| order.is_paid);
        let order = order.ok_or_else(|| unknown_order(StatusCode::NOT_FOUND))?;
        let view = View { now: call.now, has_taxes, is_single: true };
        Ok(reply::json(StatusCode::OK, &self.order_json(order, view)))
    }

    fn find_order(&self, id: &str, status: StatusCode) -> Result<usize, Refusal> {
        let index = self.orders.place_of(id);
        let is_shown = |index: &usize| self.orders.get(*index).is_some_and(|order| order.is_paid);
        index.filter(is_shown).ok_or_else(|| unknown_order(status))
    }

    fn get_parcels(&self, call: &Call<'_>) -> Answer {
        let index = self.find_order(&segment(call.request, ORDERS.len()), StatusCode::BAD_REQUEST)?;
        let order = self.orders.seen(index, call.now, call.is_stale);
        let parcels: Vec<Value> =
            order.map(|order| order.parcels.iter().map(wire::parcel_json).collect()).unwrap_or_default();
        let body = json!({"total": parcels.len(), "fulfillments": parcels, "warnings": []});
        Ok(reply::json(StatusCode::OK, &body))
    }

    fn create_parcel(&mut self, call: &Call<'_>) -> Answer {
        let index = self.find_order(&segment(call.request, ORDERS.len()), StatusCode::BAD_REQUEST)?;
        let order = self.orders.get(index).ok_or_else(|| unknown_order(StatusCode::BAD_REQUEST))?;
        let parcel = new_parcel(order, call)?;
        let address = wire::parcel_address(order, &parcel);
        self.add_parcel(index, parcel, call.now);
        let mut response = reply::json(StatusCode::CREATED, &json!({}));
        reply::set_header(&mut response, "location", address.as_str().unwrap_or_default());
        Ok(response)
    }

    fn issue_refund(&mut self, call: &Call<'_>) -> Answer {
        let id = segment(call.request, ORDERS.len());
        let index = self.find_order(&id, StatusCode::NOT_FOUND)?;
        let order = self.orders.get(index).ok_or_else(|| unknown_order(StatusCode::NOT_FOUND))?;
        let wanted = refunds(order, call)?;
        let refund_id = format!("7{}", self.new_number(10));
        self.change(index, call.now, |order| {
            for (line, amount) in wanted {
                order.refunds.push(Refund {
                    id: refund_id.clone(),
                    is_made_elsewhere: false,
                    has_failed: false,
                    line,
                    amount,
                    issued: call.now,
                });
            }
        });
        Ok(reply::json(StatusCode::OK, &json!({"refundId": refund_id, "refundStatus": "PENDING"})))
    }

    fn get_items(&self, call: &Call<'_>) -> Answer {
        let query = Query::of(call.request);
        let limit = query.number("limit", 25)?;
        let page = query.number("offset", 0)?;
        if limit == 0 || limit > 200 {
            return Err(Refusal::request(25_706, "You have provided invalid pagination values."));
        }
        let known: Vec<_> = self.listings.iter().filter(|listing| !listing.is_legacy).collect();
        let items: Vec<Value> = known
            .iter()
            .skip(page.saturating_mul(limit))
            .take(limit)
            .map(|listing| Self::item_json(listing))
            .collect();
        let address = |page: usize| {
            format!("https://api.ebay.com/sell/inventory/v1/inventory_item?limit={limit}&offset={page}")
        };
        let size = known.len().div_ceil(limit);
        let mut body = json!({
            "href": address(page),
            "total": known.len(),
            "size": size,
            "limit": limit,
            "inventoryItems": items,
        });
        if let (true, Some(body)) = (page + 1 < size, body.as_object_mut()) {
            body.insert("next".to_owned(), json!(address(page + 1)));
        }
        Ok(reply::json(StatusCode::OK, &body))
    }

    fn get_offers(&self, call: &Call<'_>) -> Answer {
        let sku = Query::of(call.request).one("sku").unwrap_or_default();
        if sku.is_empty() {
            return Err(Refusal::request(25_709, "Invalid value for sku."));
        }
        let listing = self.listing_index.get(&sku).and_then(|index| self.listings.get(*index));
        let listing = listing.ok_or_else(|| Refusal::not_found(25_713, "This Offer is not available."))?;
        let body = json!({
            "href": "https://api.ebay.com/sell/inventory/v1/offer",
            "total": 1,
            "size": 1,
            "limit": 25,
            "offers": [Self::offer_json(listing)],
        });
        Ok(reply::json(StatusCode::OK, &body))
    }

    fn check_cancellation(&self, call: &Call<'_>) -> Answer {
        let id = legacy_order_id(call)?;
        let index = self.find_order(&id, StatusCode::NOT_FOUND)?;
        let reason = self.orders.get(index).and_then(uncancellable);
        let body = json!({
            "legacyOrderId": id,
            "eligible": reason.is_none(),
            "failureReason": reason.into_iter().collect::<Vec<_>>(),
        });
        Ok(reply::json(StatusCode::OK, &body))
    }

    fn create_cancellation(&mut self, call: &Call<'_>) -> Answer {
        let id = legacy_order_id(call)?;
        let body: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
        let reason = body.get("cancelReason").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !["BUYER_ASKED_CANCEL", "OUT_OF_STOCK_OR_CANNOT_FULFILL", "ADDRESS_ISSUES"]
            .contains(&reason.as_str())
        {
            return Err(Refusal::request(1_602, "cancelReason is missing or not valid."));
        }
        let index = self.find_order(&id, StatusCode::NOT_FOUND)?;
        let made = self.ask_to_cancel(index, false, &reason, call.now);
        let made =
            made.ok_or_else(|| Refusal::request(1_616, "The order is not eligible for cancellation."))?;
        Ok(reply::json(StatusCode::CREATED, &json!({"cancelId": made})))
    }

    fn get_cancellation(&self, call: &Call<'_>) -> Answer {
        let id = segment(call.request, 3);
        let found = self
            .orders
            .iter()
            .rev()
            .filter_map(|order| Some((order, order.cancellation.as_ref()?)))
            .find(|(_, cancellation)| cancellation.id == id);
        let (order, cancellation) =
            found.ok_or_else(|| Refusal::not_found(1_615, "The cancellation does not exist."))?;
        let (state, status) = if cancellation.is_closed {
            ("CLOSED", "CANCEL_CLOSED_WITH_REFUND")
        } else if cancellation.is_asked_only {
            ("APPROVAL_PENDING", "CANCEL_REQUESTED")
        } else {
            ("REFUND_PENDING", "CANCEL_PENDING")
        };
        let body = json!({"cancelDetail": {
            "cancelId": cancellation.id,
            "legacyOrderId": order.id,
            "cancelState": state,
            "cancelStatus": status,
            "cancelReason": cancellation.reason,
        }});
        Ok(reply::json(StatusCode::OK, &body))
    }

    fn approve_cancellation(&mut self, call: &Call<'_>) -> Answer {
        let id = segment(call.request, 3);
        let is_it = |order: &&Order| order.cancellation.as_ref().is_some_and(|one| one.id == id);
        let order = self.orders.iter().rev().find(is_it);
        let index = order.ok_or_else(|| Refusal::not_found(1_615, "The cancellation does not exist."))?.index;
        if !self.approve(index, call.now) {
            return Err(Refusal::request(1_619, "The cancellation does not wait for the seller."));
        }
        Ok(reply::empty(StatusCode::OK))
    }

    fn notifications(&mut self, operation: &str, call: &Call<'_>) -> Answer {
        let body: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
        let id = segment(call.request, 4);
        match operation {
            "updateConfig" => {
                let email = body.get("alertEmail").and_then(Value::as_str);
                let email = email.filter(|email| email.contains('@'));
                let email = email.ok_or_else(|| Refusal::request(195_025, "Invalid or missing email."))?;
                self.meta.alert_email = Some(email.to_owned());
                self.changes.meta = true;
                Ok(reply::empty(StatusCode::NO_CONTENT))
            }
            "getDestinations" => {
                let row = |one: &Destination| with_id(&one.body, "destinationId", &one.id);
                let rows: Vec<Value> = self.meta.destinations.iter().map(row).collect();
                let body = json!({"total": rows.len(), "limit": 20, "destinations": rows});
                Ok(reply::json(StatusCode::OK, &body))
            }
            "createDestination" => {
                if self.meta.alert_email.is_none() {
                    return Err(conflict(
                        195_003,
                        "Please provide configurations required for notifications. Refer to /config",
                    ));
                }
                self.admit_destination(&body, None)?;
                let id = self.new_number(12);
                self.meta.destinations.push(Destination { id: id.clone(), body });
                Ok(made("destination", &id))
            }
            "updateDestination" => {
                self.admit_destination(&body, Some(&id))?;
                let known = self.meta.destinations.iter_mut().find(|one| one.id == id);
                let missing = || Refusal::not_found(195_022, "Invalid or missing destination id.");
                known.ok_or_else(missing)?.body = body;
                self.changes.meta = true;
                Ok(reply::empty(StatusCode::NO_CONTENT))
            }
            "getSubscriptions" => {
                let row = |one: &Subscription| with_id(&one.body, "subscriptionId", &one.id);
                let rows: Vec<Value> = self.meta.subscriptions.iter().map(row).collect();
                let body = json!({"total": rows.len(), "limit": 20, "subscriptions": rows});
                Ok(reply::json(StatusCode::OK, &body))
            }
            "createSubscription" => {
                let topic = body.get("topicId").cloned().unwrap_or_default();
                if self.meta.subscriptions.iter().any(|one| one.body.get("topicId") == Some(&topic)) {
                    return Err(conflict(195_012, "Subscription already exists"));
                }
                self.admit_subscription(&body)?;
                let id = self.new_number(12);
                self.meta.subscriptions.push(Subscription { id: id.clone(), body });
                Ok(made("subscription", &id))
            }
            "updateSubscription" => {
                self.admit_subscription(&body)?;
                let known = self.meta.subscriptions.iter_mut().find(|one| one.id == id);
                let known = known.ok_or_else(unknown_subscription)?;
                // The topic stays what it is.
                for name in ["status", "destinationId", "payload"] {
                    if let Some(value) = body.get(name) {
                        super::set(&mut known.body, name, value.clone());
                    }
                }
                self.changes.meta = true;
                Ok(reply::empty(StatusCode::NO_CONTENT))
            }
            "enableSubscription" => {
                let known = self.meta.subscriptions.iter_mut().find(|one| one.id == id);
                let known = known.ok_or_else(unknown_subscription)?;
                super::set(&mut known.body, "status", "ENABLED");
                self.changes.meta = true;
                Ok(reply::empty(StatusCode::NO_CONTENT))
            }
            "getTopic" => {
                let payload = json!({
                    "format": ["JSON"],
                    "schemaVersion": "1.0",
                    "deliveryProtocol": "HTTPS",
                    "deprecated": false,
                });
                let body = json!({"topicId": id, "status": "ENABLED", "supportedPayloads": [payload]});
                Ok(reply::json(StatusCode::OK, &body))
            }
            _ => match super::hooks::public_key(&id) {
                Some(body) => Ok(reply::json(StatusCode::OK, &body)),
                None => Err(Refusal::not_found(195_002, "Invalid public key id.")),
            },
        }
    }

    /// Refuses an address that eBay would not send to. `own` is the one that changes, if one does.
    fn admit_destination(&self, body: &Value, own: Option<&str>) -> Result<(), Refusal> {
        let text = |body: &Value, path: &str| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let endpoint = text(body, "/deliveryConfig/endpoint");
        // The real eBay takes https only; here a test's own address will do.
        let host = endpoint.as_deref().and_then(|endpoint| endpoint.parse::<http::Uri>().ok());
        let is_near = host.is_some_and(|uri| uri.host().is_some_and(control::is_loopback));
        if !is_near && !endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("https://")) {
            return Err(Refusal::request(195_017, "Invalid or missing endpoint."));
        }
        let proof = text(body, "/deliveryConfig/verificationToken");
        if !proof.is_some_and(|proof| (32..=80).contains(&proof.len())) {
            return Err(Refusal::request(
                195_019,
                "Invalid or missing verification token for this endpoint.",
            ));
        }
        let mut others = self.meta.destinations.iter().filter(|one| Some(one.id.as_str()) != own);
        if others.any(|one| text(&one.body, "/deliveryConfig/endpoint") == endpoint) {
            return Err(conflict(195_021, "Destination exists for this endpoint"));
        }
        Ok(())
    }

    /// Refuses a subscription that leads nowhere.
    fn admit_subscription(&self, body: &Value) -> Result<(), Refusal> {
        let id = body.get("destinationId").and_then(Value::as_str);
        let known = self.meta.destinations.iter().find(|one| Some(one.id.as_str()) == id);
        let known = known.ok_or_else(|| Refusal::request(195_007, "Invalid or missing destination id."))?;
        if known.body.get("status").and_then(Value::as_str) != Some("ENABLED") {
            let message = "The subscription cannot be enabled since the destination is not enabled.";
            return Err(conflict(195_015, message));
        }
        Ok(())
    }
}

fn with_id(body: &Value, name: &str, id: &str) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.insert(name.to_owned(), json!(id));
        // What proves an address is never shown again.
        if let Some(config) = fields.get_mut("deliveryConfig").and_then(Value::as_object_mut) {
            config.remove("verificationToken");
        }
    }
    body
}

fn made(kind: &str, id: &str) -> Response<Bytes> {
    let mut response = reply::json(StatusCode::CREATED, &json!({}));
    let address = format!("https://api.ebay.com/commerce/notification/v1/{kind}/{id}");
    reply::set_header(&mut response, "location", &address);
    response
}

fn bearer<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    let header = call.request.headers().get("authorization")?.to_str().ok()?;
    header.strip_prefix("Bearer ")
}

/// eBay's page. The seller always says yes, and the browser goes back at once: to the address that stands beside the RuName
/// in eBay's console, which is here the one whose page does not load.
fn consent(call: &Call<'_>) -> Response<Bytes> {
    let query = call.request.uri().query().unwrap_or("");
    let fields: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let is_right = field("response_type") == "code"
        && field("client_id") == CLIENT_ID
        && field("redirect_uri") == RU_NAME
        && !field("scope").is_empty();
    if !is_right {
        return reply::json(StatusCode::BAD_REQUEST, &json!({"error": "invalid_request"}));
    }
    let mut back = form_urlencoded::Serializer::new(String::new());
    back.append_pair("code", CONSENT_CODE).append_pair("expires_in", "299");
    back.append_pair("state", field("state"));
    let mut response = reply::empty(StatusCode::FOUND);
    reply::set_header(&mut response, "location", &format!("{CONSENT_ADDRESS}?{}", back.finish()));
    response
}

fn unauthorized() -> Refusal {
    Refusal(StatusCode::UNAUTHORIZED, 1_001, "Invalid access token".to_owned())
}

fn forbidden() -> Refusal {
    let message = "Insufficient permissions to fulfill the request.".to_owned();
    Refusal(StatusCode::FORBIDDEN, 1_100, message)
}

fn conflict(id: i64, message: &str) -> Refusal {
    Refusal(StatusCode::CONFLICT, id, message.to_owned())
}

fn unknown_subscription() -> Refusal {
    Refusal::not_found(195_013, "The subscription id does not exist.")
}

fn unknown_order(status: StatusCode) -> Refusal {
    Refusal(status, 32_100, "Invalid Order Id".to_owned())
}

/// Why an order cannot be cancelled, in eBay's words.
fn uncancellable(order: &Order) -> Option<&'static str> {
    if order.cancellation.is_some() {
        return Some("ALREADY_CANCELED");
    }
    (order.fulfillment_word() != "NOT_STARTED").then_some("ORDER_SHIPPED")
}

fn legacy_order_id(call: &Call<'_>) -> Result<String, Refusal> {
    let body: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
    let id = body.get("legacyOrderId").and_then(Value::as_str).map(str::to_owned);
    id.ok_or_else(|| Refusal::request(1_601, "legacyOrderId is missing."))
}

/// The parcel that a request describes, or why eBay refuses it.
fn new_parcel(order: &Order, call: &Call<'_>) -> Result<Parcel, Refusal> {
    let invalid = || Refusal::request(32_600, "Invalid input data");
    let body: Value = serde_json::from_slice(call.request.body()).map_err(|_| invalid())?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (carrier, tracking) = (text("shippingCarrierCode"), text("trackingNumber"));
    let is_plain = tracking.is_none_or(|text| text.chars().all(|letter| letter.is_ascii_alphanumeric()));
    if carrier.is_some() != tracking.is_some() || !is_plain {
        return Err(Refusal::request(32_300, "Invalid shipment tracking number or carrier"));
    }
    let shipped = match text("shippedDate") {
        None => call.now,
        Some(text) => text.parse().map_err(|_| Refusal::request(32_500, "Invalid shipped date"))?,
    };
    if shipped < order.placed {
        return Err(Refusal::request(32_500, "Invalid shipped date"));
    }
    if order.is_cancelled() || order.is_by_ebay {
        return Err(invalid());
    }
    let entries = body.get("lineItems").and_then(Value::as_array).filter(|entries| !entries.is_empty());
    let mut items: Vec<(String, i64)> = Vec::new();
    for entry in entries.ok_or_else(invalid)? {
        let id = entry.get("lineItemId").and_then(Value::as_str).unwrap_or_default();
        let line = order.lines.iter().find(|line| line.id == id);
        let line = line.ok_or_else(|| Refusal::request(32_200, format!("Invalid line item id: {id}")))?;
        if items.iter().any(|(known, _)| known == id) {
            return Err(Refusal::request(32_210, "Duplicate line item in the request"));
        }
        let quantity = entry.get("quantity").map_or(Some(1), Value::as_i64);
        let quantity = quantity.filter(|count| (1..=line.quantity).contains(count)).ok_or_else(invalid)?;
        items.push((id.to_owned(), quantity));
    }
    // A second parcel without tracking number is a second parcel: eBay cannot tell it from the first.
    if tracking.is_some() && order.parcels.iter().any(|parcel| parcel.tracking.as_deref() == tracking) {
        let message = "A shipment with this tracking number exists".to_owned();
        return Err(Refusal(StatusCode::CONFLICT, 32_300, message));
    }
    Ok(Parcel {
        id: tracking.unwrap_or("999").to_owned(),
        carrier: carrier.map(str::to_owned),
        tracking: tracking.map(str::to_owned),
        shipped,
        items,
    })
}

/// What a request gives back: by position, or for the order.
fn refunds(order: &Order, call: &Call<'_>) -> Result<Vec<(Option<String>, i64)>, Refusal> {
    let body: Value = serde_json::from_slice(call.request.body())
        .map_err(|_| Refusal::request(34_902, "Request can't be empty."))?;
    if body.get("reasonForRefund").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Refusal::request(34_903, "The refund reason must be specified."));
    }
    let amount = |amount: Option<&Value>| {
        let amount = amount.ok_or_else(|| Refusal::request(34_906, "The amount value must be specified."))?;
        if amount.get("currency").and_then(Value::as_str) != Some("USD") {
            return Err(Refusal::request(34_909, "The amount currency isn't correct."));
        }
        let cents = amount.get("value").and_then(parse_four_decimals).map(|value| value / 100);
        cents.filter(|cents| *cents > 0).ok_or_else(|| {
            Refusal::request(34_907, "The amount value must be positive and within two decimals.")
        })
    };
    let mut wanted = Vec::new();
    match body.get("refundItems").and_then(Value::as_array).filter(|items| !items.is_empty()) {
        Some(items) => {
            for item in items {
                let id = item.get("lineItemId").and_then(Value::as_str).unwrap_or_default();
                if !order.lines.iter().any(|line| line.id == id) {
                    return Err(Refusal::request(34_914, "Can't find the item in the order."));
                }
                wanted.push((Some(id.to_owned()), amount(item.get("refundAmount"))?));
            }
        }
        None => match body.get("orderLevelRefundAmount") {
            Some(whole) => wanted.push((None, amount(Some(whole))?)),
            None => {
                let message = "Either orderLevelRefundAmount or refundItems must be specified.";
                return Err(Refusal::request(34_905, message));
            }
        },
    }
    let before = order.given_back();
    if before >= order.net() {
        return Err(Refusal::request(34_917, "This order was already refunded."));
    }
    if before + wanted.iter().map(|(_, amount)| amount).sum::<i64>() > order.net() {
        return Err(Refusal::request(34_915, "The refund amount exceeds order amount."));
    }
    Ok(wanted)
}

/// What changed from then on, a lagging read does not see.
fn hidden_since(call: &Call<'_>) -> Timestamp {
    if call.is_stale { shifted(call.now, SignedDuration::from_secs(-STALE_SECONDS)) } else { Timestamp::MAX }
}

/// The decoded part of the path at `position`.
fn segment(request: &Request<Bytes>, position: usize) -> String {
    let raw = request.uri().path().split('/').filter(|part| !part.is_empty()).nth(position).unwrap_or("");
    percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned()
}

/// A date as HTTP's headers have it.
fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A request's query.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Bytes>) -> Self {
        let raw = request.uri().query().unwrap_or("");
        Self(form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    fn one(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Refusal> {
        let Some(text) = self.one(name) else { return Ok(default) };
        text.parse().map_err(|_| Refusal::request(30_800, format!("Invalid value for {name}.")))
    }

    fn has_taxes(&self) -> Result<bool, Refusal> {
        match self.one("fieldGroups").as_deref() {
            None => Ok(false),
            Some("TAX_BREAKDOWN") => Ok(true),
            Some(_) => Err(Refusal::request(30_850, "Invalid field group.")),
        }
    }
}

/// What a list asks for.
struct Filter {
    is_by_update: bool,
    from: Timestamp,
    to: Timestamp,
    words: BTreeSet<&'static str>,
}

impl Filter {
    fn read(text: &str, now: Timestamp) -> Result<Self, Refusal> {
        let invalid = || Refusal::request(30_700, "Invalid filter.");
        let days = |days: i64| shifted(now, SignedDuration::from_hours(-24 * days));
        let (mut created, mut updated, mut words) = (None, None, BTreeSet::new());
        for criterion in text.split(',').filter(|criterion| !criterion.is_empty()) {
            let (name, value) = criterion.split_once(':').ok_or_else(invalid)?;
            match name {
                "creationdate" => created = Some(range(value).ok_or_else(invalid)?),
                "lastmodifieddate" => updated = Some(range(value).ok_or_else(invalid)?),
                "orderfulfillmentstatus" => {
                    words = match value {
                        "{NOT_STARTED|IN_PROGRESS}" => BTreeSet::from(["NOT_STARTED", "IN_PROGRESS"]),
                        "{FULFILLED|IN_PROGRESS}" => BTreeSet::from(["FULFILLED", "IN_PROGRESS"]),
                        _ => return Err(invalid()),
                    };
                }
                _ => return Err(invalid()),
            }
        }
        // Where both are given, only the creation counts.
        let (is_by_update, (from, to)) = match (created, updated) {
            (Some(created), _) => (false, created),
            (None, Some(updated)) => (true, updated),
            (None, None) => (false, (days(DAYS_DEFAULT), None)),
        };
        if from < days(DAYS_MAX) {
            return Err(Refusal::request(30_820, "The date is more than two years in the past."));
        }
        let to = to.unwrap_or(now);
        if to < from || from > now {
            return Err(invalid());
        }
        Ok(Self { is_by_update, from, to, words })
    }
}

/// `[from..to]` or `[from..]`.
fn range(text: &str) -> Option<(Timestamp, Option<Timestamp>)> {
    let (from, to) = text.strip_prefix('[')?.strip_suffix(']')?.split_once("..")?;
    let to = if to.is_empty() { None } else { Some(to.parse().ok()?) };
    Some((from.parse().ok()?, to))
}

//! Amazon's calls: which request means which operation, what is refused, and what is answered.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::faults::STALE_SECONDS;
use super::super::quota::Bucket;
use super::super::reply;
use super::wire::{Included, instant, is_status};
use super::{Amazon, CLIENT_ID, CLIENT_SECRET, Order, Package, SELLER_ID, Status, TOKEN_SECONDS};
use crate::clock::shifted;

/// A page token's life.
const PAGE_TOKEN_HOURS: i64 = 24;
/// Orders on a page at most.
const PAGE_ORDERS_MAX: usize = 100;
/// Listings on a page at most.
const PAGE_LISTINGS_MAX: usize = 20;

/// One request, taken apart.
pub struct Call<'a> {
    /// The request.
    pub request: &'a Request<Bytes>,
    /// When it arrives.
    pub now: Timestamp,
    /// Its number, for draws and request ids.
    pub number: u64,
    /// Whether a read misses the last changes.
    pub is_stale: bool,
    /// Whether the caller has been checked already: late effects are not checked again.
    pub is_admitted: bool,
}

/// The operation's name in the specification; `token` for the token endpoint, `unknown` for what is none.
pub fn operation_of(request: &Request<Bytes>) -> &'static str {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    match (request.method(), path.as_slice()) {
        (&Method::POST, ["auth", "o2", "token"]) => "token",
        (&Method::GET, ["orders", "2026-01-01", "orders"]) => "searchOrders",
        (&Method::GET, ["orders", "2026-01-01", "orders", _]) => "getOrder",
        (&Method::POST, ["orders", "v0", "orders", _, "shipmentConfirmation"]) => "confirmShipment",
        (&Method::GET, ["listings", "2021-08-01", "items", _]) => "searchListingsItems",
        (&Method::GET, ["sellers", "v1", "marketplaceParticipations"]) => "getMarketplaceParticipations",
        (&Method::POST, ["feeds", "2021-06-30", "documents"]) => "createFeedDocument",
        (&Method::GET, ["feeds", "2021-06-30", "documents", _]) => "getFeedDocument",
        (&Method::POST, ["feeds", "2021-06-30", "feeds"]) => "createFeed",
        (&Method::GET, ["feeds", "2021-06-30", "feeds", _]) => "getFeed",
        (&Method::GET, ["notifications", "v1", "destinations"]) => "getDestinations",
        (&Method::POST, ["notifications", "v1", "destinations"]) => "createDestination",
        (&Method::GET, ["notifications", "v1", "subscriptions", _]) => "getSubscription",
        (&Method::POST, ["notifications", "v1", "subscriptions", _]) => "createSubscription",
        (&Method::POST, []) => {
            let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
            target.and_then(super::queue::operation_of).unwrap_or("unknown")
        }
        (method, path) => super::storage::operation_of(method, path).unwrap_or("unknown"),
    }
}

/// Rate per ten thousand seconds and burst of an operation.
fn plan_of(operation: &str) -> (&'static str, i64, i64) {
    match operation {
        "searchOrders" => ("0.0056", 56, 20),
        "getOrder" => ("0.5", 5_000, 30),
        "confirmShipment" => ("2.0", 20_000, 10),
        "searchListingsItems" => ("5.0", 50_000, 5),
        "createFeedDocument" => ("0.5", 5_000, 15),
        "createFeed" => ("0.0083", 83, 15),
        "getFeed" => ("2.0", 20_000, 15),
        "getFeedDocument" => ("0.0222", 222, 10),
        "getDestinations" | "createDestination" | "getSubscription" | "createSubscription" => {
            ("1.0", 10_000, 5)
        }
        _ => ("0.016", 160, 15),
    }
}

/// An error as SP-API writes it.
pub struct Refusal(StatusCode, &'static str, String, String);

impl Refusal {
    pub(super) fn not_found(message: String) -> Self {
        Self(StatusCode::NOT_FOUND, "NotFound", message, String::new())
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, "InvalidInput", message.into(), String::new())
    }

    pub(super) fn conflict(message: &str) -> Self {
        Self(StatusCode::CONFLICT, "Conflict", message.to_owned(), String::new())
    }

    fn response(&self) -> Response<Bytes> {
        let Self(status, code, message, details) = self;
        reply::json(*status, &json!({"errors": [{"code": code, "message": message, "details": details}]}))
    }
}

pub(super) type Answer = Result<Response<Bytes>, Refusal>;

impl Amazon {
    /// Answers one call.
    pub fn serve(&mut self, operation: &'static str, call: &Call<'_>) -> Response<Bytes> {
        if operation == "token" {
            return self.token(call);
        }
        if matches!(operation, "uploadFeedDocument" | "downloadFeedDocument" | "downloadCustomization") {
            return self.serve_storage(operation, call);
        }
        if matches!(operation, "ReceiveMessage" | "DeleteMessageBatch") {
            return self.serve_queue(operation, call);
        }
        let answer = self.admit(operation, call).and_then(|()| match operation {
            "searchOrders" => self.search_orders(call),
            "getOrder" => self.get_order(call),
            "confirmShipment" => self.confirm_shipment(call),
            "searchListingsItems" => self.search_listings(call),
            "getMarketplaceParticipations" => Ok(participations()),
            "createFeedDocument" => self.create_feed_document(call),
            "createFeed" => self.create_feed(call),
            "getFeed" => self.get_feed(call),
            "getFeedDocument" => self.get_feed_document(call),
            "getDestinations" | "createDestination" | "getSubscription" | "createSubscription" => {
                self.notifications(operation, call)
            }
            _ => Err(Refusal(
                StatusCode::NOT_FOUND,
                "NotFound",
                "The requested resource doesn't exist.".to_owned(),
                String::new(),
            )),
        });
        let mut response = answer.unwrap_or_else(|refusal| refusal.response());
        if response.status() != StatusCode::TOO_MANY_REQUESTS || call.number.is_multiple_of(2) {
            reply::set_header(&mut response, "x-amzn-ratelimit-limit", plan_of(operation).0);
        }
        reply::set_header(&mut response, "x-amzn-requestid", &format!("sim-{:012}", call.number));
        response
    }

    /// The answer when the platform fails (500), throttles (429) or does not accept the token (401).
    pub fn failure(&self, status: StatusCode, number: u64) -> Response<Bytes> {
        let refusal = match status {
            StatusCode::TOO_MANY_REQUESTS => quota_exceeded(),
            StatusCode::UNAUTHORIZED => unauthorized("The access token you provided has expired."),
            StatusCode::FORBIDDEN => unauthorized(""),
            _ => Refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalFailure",
                "We encountered an internal error. Please try again.".to_owned(),
                String::new(),
            ),
        };
        let mut response = refusal.response();
        reply::set_header(&mut response, "x-amzn-requestid", &format!("sim-{number:012}"));
        response
    }

    fn admit(&mut self, operation: &'static str, call: &Call<'_>) -> Result<(), Refusal> {
        if call.is_admitted {
            return Ok(());
        }
        let token = call.request.headers().get("x-amz-access-token").and_then(|value| value.to_str().ok());
        let Some(token) = token else { return Err(unauthorized("The access token is missing.")) };
        // Destinations belong to the application, everything else to the seller.
        let tokens = match operation {
            "getDestinations" | "createDestination" => &self.meta.application_tokens,
            _ => &self.meta.tokens,
        };
        match tokens.get(token) {
            None => {
                return Err(unauthorized("The access token you provided is revoked, malformed or invalid."));
            }
            Some(dies) if *dies <= call.now.as_microsecond() => {
                return Err(unauthorized("The access token you provided has expired."));
            }
            Some(_) => {}
        }
        if !self.has_quotas || operation == "unknown" {
            return Ok(());
        }
        let (_, rate, burst) = plan_of(operation);
        let bucket = self.buckets.entry(operation).or_insert_with(|| Bucket::new(rate, burst, call.now));
        if bucket.take(call.now) { Ok(()) } else { Err(quota_exceeded()) }
    }

    fn token(&mut self, call: &Call<'_>) -> Response<Bytes> {
        let fields = token_fields(call.request.body());
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let refused = |error: &str, text: &str| {
            let body = json!({
                "error": error,
                "error_description": text,
                "request_id": format!("sim-{:012}", call.number),
            });
            reply::json(StatusCode::BAD_REQUEST, &body)
        };
        if field("client_id") != CLIENT_ID || field("client_secret") != CLIENT_SECRET {
            return refused("invalid_client", "Client authentication failed");
        }
        if field("grant_type") == "client_credentials" {
            if field("scope") != "sellingpartnerapi::notifications" {
                return refused("invalid_scope", "The requested scope is invalid, unknown or malformed");
            }
            let token = self.issue_application_token(call.now);
            let body = json!({"access_token": token, "token_type": "bearer", "expires_in": TOKEN_SECONDS});
            return reply::json(StatusCode::OK, &body);
        }
        if field("grant_type") != "refresh_token" {
            return refused("unsupported_grant_type", "The authorization grant type is not supported");
        }
        let valid = self.refresh_token();
        if field("refresh_token") != valid {
            return refused("invalid_grant", "The request has an invalid grant parameter : refresh_token");
        }
        let token = self.issue_access_token(call.now);
        let body = json!({
            "access_token": token,
            "token_type": "bearer",
            "expires_in": TOKEN_SECONDS,
            "refresh_token": valid,
        });
        reply::json(StatusCode::OK, &body)
    }

    fn search_orders(&self, call: &Call<'_>) -> Answer {
        let query = Query::of(call.request);
        let filter = Filter::read(&query)?;
        let size = query.number("maxResultsPerPage", PAGE_ORDERS_MAX)?;
        if size == 0 || size > PAGE_ORDERS_MAX {
            return Err(Refusal::invalid("maxResultsPerPage must be between 1 and 100."));
        }
        let (upper, from) = match query.one("paginationToken") {
            Some(token) => Place::read(&token, &filter, call.now)?,
            None => (filter.upper(call.now)?, (filter.after.as_microsecond(), 0)),
        };
        let included = query.included()?;
        let index = self.orders.times(filter.is_by_update);
        let hidden = hidden_since(call);
        let to = (upper.as_microsecond(), usize::MAX).max(from);
        let mut found = index
            .range(from..=to)
            .filter(|(at, _)| *at <= upper.as_microsecond())
            .filter_map(|(at, number)| Some(((*at, *number), self.orders.get(*number)?)))
            .filter(|(_, order)| filter.matches(order) && order.updated < hidden);
        let page: Vec<_> = found.by_ref().take(size).collect();
        let next = found.next().map(|(place, _)| place);
        let bound = if filter.is_by_update { "lastUpdatedBefore" } else { "createdBefore" };
        let orders: Vec<_> =
            page.iter().map(|(_, order)| self.order_json(order, &included, call.now)).collect();
        let mut body = json!({"orders": orders, bound: instant(upper)});
        if let (Some(place), Some(body)) = (next, body.as_object_mut()) {
            let token = Place { place, upper, issued: call.now, filter }.write();
            body.insert("pagination".to_owned(), json!({"nextToken": token}));
        }
        Ok(reply::json(StatusCode::OK, &body))
    }

    fn get_order(&self, call: &Call<'_>) -> Answer {
        let included = Query::of(call.request).included()?;
        let index = self.find_order(&segment(call.request, 3))?;
        let order = self.orders.seen(index, call.now, call.is_stale).ok_or_else(not_found)?;
        Ok(reply::json(StatusCode::OK, &json!({"order": self.order_json(order, &included, call.now)})))
    }

    fn find_order(&self, id: &str) -> Result<usize, Refusal> {
        let index = self.orders.place_of(id).ok_or_else(not_found)?;
        let is_gone = self.orders.get(index).is_none_or(|order| order.is_gone);
        if is_gone { Err(not_found()) } else { Ok(index) }
    }

    fn confirm_shipment(&mut self, call: &Call<'_>) -> Answer {
        let id = segment(call.request, 3);
        let index = self.find_order(&id)?;
        let order = self.orders.get(index).ok_or_else(not_found)?;
        let package = confirmed_package(order, call)?;
        self.put_package(index, package, call.now);
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    fn search_listings(&self, call: &Call<'_>) -> Answer {
        let query = Query::of(call.request);
        if segment(call.request, 3) != SELLER_ID {
            return Err(unauthorized("The seller has not authorised this application."));
        }
        if query.list("marketplaceIds").is_empty() {
            return Err(Refusal::invalid("'marketplaceIds' is required."));
        }
        let size = query.number("pageSize", 10)?;
        if size == 0 || size > PAGE_LISTINGS_MAX {
            return Err(Refusal::invalid("'pageSize' must be between 1 and 20."));
        }
        let mut included = Included(query.list("includedData"));
        if included.0.is_empty() {
            included = Included(vec!["summaries".to_owned()]);
        }
        let wanted = query.list("identifiers");
        let matching: Vec<_> = self
            .listings
            .iter()
            .filter(|listing| {
                wanted.is_empty() || wanted.contains(&listing.sku) || wanted.contains(&listing.asin)
            })
            .collect();
        let start = match query.one("pageToken") {
            Some(token) => {
                listing_place(&token).ok_or_else(|| Refusal::invalid("'pageToken' is invalid."))?
            }
            None => 0,
        };
        let items: Vec<_> = matching
            .iter()
            .skip(start)
            .take(size)
            .map(|listing| self.listing_json(listing, &included))
            .collect();
        let mut body = json!({"numberOfResults": matching.len(), "items": items});
        let end = start.saturating_add(size);
        if let (true, Some(body)) = (end < matching.len(), body.as_object_mut()) {
            let token = URL_SAFE_NO_PAD.encode(format!("listing:{end}"));
            body.insert("pagination".to_owned(), json!({"nextToken": token}));
        }
        Ok(reply::json(StatusCode::OK, &body))
    }
}

fn listing_place(token: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    std::str::from_utf8(&bytes).ok()?.strip_prefix("listing:")?.parse().ok()
}

/// What changed from then on, a lagging read does not see.
fn hidden_since(call: &Call<'_>) -> Timestamp {
    if call.is_stale { shifted(call.now, SignedDuration::from_secs(-STALE_SECONDS)) } else { Timestamp::MAX }
}

/// The parcel that a confirmation describes, or why Amazon refuses it.
fn confirmed_package(order: &Order, call: &Call<'_>) -> Result<Package, Refusal> {
    let body: Value = serde_json::from_slice(call.request.body())
        .map_err(|_| Refusal::invalid("The request body is not valid JSON."))?;
    if body.get("marketplaceId").and_then(Value::as_str) != Some(order.marketplace()) {
        return Err(Refusal::invalid("MarketplaceId: is invalid for this order."));
    }
    let detail = body.get("packageDetail").ok_or_else(|| Refusal::invalid("PackageDetail: is missing."))?;
    let reference = package_reference(detail)?;
    let text = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or("").trim().to_owned();
    let (code, name, tracking) = (text("carrierCode"), text("carrierName"), text("trackingNumber"));
    if code.is_empty() {
        return Err(Refusal::invalid("CarrierCode: is missing."));
    }
    if code.eq_ignore_ascii_case("other") && name.is_empty() {
        return Err(Refusal::invalid("CarrierName: is required when CarrierCode is Other."));
    }
    if tracking.is_empty() {
        return Err(Refusal::invalid("TrackingNumber: is missing."));
    }
    let shipped = text("shipDate")
        .parse::<Timestamp>()
        .map_err(|_| Refusal::invalid("ShipDate: is invalid, must be an ISO 8601 date and time."))?;
    if shipped < order.placed {
        return Err(Refusal::invalid("ShipDate: is before the order's purchase date."));
    }
    check_shippable(order, &reference)?;
    let items = confirmed_items(order, detail, &reference)?;
    let carrier = if code.eq_ignore_ascii_case("other") { name } else { code };
    Ok(Package {
        reference,
        carrier,
        method: text("shippingMethod"),
        tracking: Some(tracking),
        shipped,
        created: call.now,
        items,
    })
}

fn package_reference(detail: &Value) -> Result<String, Refusal> {
    match detail.get("packageReferenceId") {
        Some(Value::String(text)) if text.parse::<u64>().is_ok_and(|number| number > 0) => Ok(text.clone()),
        Some(Value::String(_)) => {
            Err(Refusal::invalid("PackageReferenceId: is invalid, must be a positive numeric value."))
        }
        _ => Err(Refusal::invalid(
            "The input you have submitted is not valid. Please check the fields with invalid type \
             [packageDetail.packageReferenceId].",
        )),
    }
}

fn check_shippable(order: &Order, reference: &str) -> Result<(), Refusal> {
    if order.is_fba {
        return Err(Refusal::invalid(
            "The order is fulfilled by Amazon and cannot be confirmed by the seller.",
        ));
    }
    match order.status {
        Status::Unshipped | Status::PartiallyShipped => Ok(()),
        Status::Shipped if order.packages.iter().any(|package| package.reference == reference) => Ok(()),
        Status::Shipped => Err(Refusal::invalid(format!(
            "Failed to create package due to not finding a matching package or order already fulfilled. \
             ErrorMessage(errorCode=GeneralError, errorDescription=Unable to find package to update for order ({}), \
             errorMetric=PackageToUpdateNotFound, packageIndex=null)",
            order.id
        ))),
        Status::Pending => Err(Refusal::invalid("The order is pending and cannot be shipped yet.")),
        Status::Cancelled => Err(Refusal::invalid("The order has been canceled.")),
    }
}

fn confirmed_items(order: &Order, detail: &Value, reference: &str) -> Result<Vec<(String, i64)>, Refusal> {
    let entries = detail.get("orderItems").and_then(Value::as_array).filter(|entries| !entries.is_empty());
    let entries = entries.ok_or_else(|| Refusal::invalid("OrderItems: is missing."))?;
    let mut units: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in entries {
        let id = entry.get("orderItemId").and_then(Value::as_str).unwrap_or("");
        let quantity = entry.get("quantity").and_then(Value::as_i64).unwrap_or(0);
        if quantity < 1 {
            return Err(Refusal::invalid("OrderItems: quantity must be a positive integer."));
        }
        let sum = units.entry(id).or_default();
        *sum = sum.saturating_add(quantity);
    }
    for (id, quantity) in &units {
        let line = order.lines.iter().find(|line| line.id == *id);
        let line =
            line.ok_or_else(|| Refusal::invalid(format!("OrderItems: {id} is not part of the order.")))?;
        if *quantity > line.quantity - order.fulfilled_without(line, Some(reference)) {
            return Err(Refusal::invalid(format!(
                "OrderItems: the quantity of {id} exceeds the quantity that is left to ship."
            )));
        }
    }
    Ok(units.into_iter().map(|(id, quantity)| (id.to_owned(), quantity)).collect())
}

fn participations() -> Response<Bytes> {
    let row = |id: &str, name: &str, country: &str, currency: &str, language: &str, domain: &str| {
        json!({
            "marketplace": {
                "id": id,
                "name": name,
                "countryCode": country,
                "defaultCurrencyCode": currency,
                "defaultLanguageCode": language,
                "domainName": domain,
            },
            "storeName": "Eider Test Goods",
            "participation": {"isParticipating": true, "hasSuspendedListings": false},
        })
    };
    let payload = json!([
        row(super::MARKETPLACE_US, "Amazon.com", "US", "USD", "en_US", "www.amazon.com"),
        row(super::MARKETPLACE_CA, "Amazon.ca", "CA", "CAD", "en_CA", "www.amazon.ca"),
    ]);
    reply::json(StatusCode::OK, &json!({"payload": payload}))
}

fn unauthorized(details: &str) -> Refusal {
    let message = "Access to requested resource is denied.".to_owned();
    Refusal(StatusCode::FORBIDDEN, "Unauthorized", message, details.to_owned())
}

fn quota_exceeded() -> Refusal {
    let message = "You exceeded your quota for the requested resource.".to_owned();
    Refusal(StatusCode::TOO_MANY_REQUESTS, "QuotaExceeded", message, String::new())
}

fn not_found() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "NotFound", "The order was not found.".to_owned(), String::new())
}

/// The decoded part of the path at `position`.
pub(super) fn segment(request: &Request<Bytes>, position: usize) -> String {
    let raw = request.uri().path().split('/').filter(|part| !part.is_empty()).nth(position).unwrap_or("");
    percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned()
}

/// Login with Amazon takes a form, and JSON too.
fn token_fields(body: &Bytes) -> BTreeMap<String, String> {
    if let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) {
        let text = |value: Value| value.as_str().map(str::to_owned);
        return fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect();
    }
    form_urlencoded::parse(body).into_owned().collect()
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

    /// A list: separated by commas, repeated, or both.
    fn list(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(known, _)| known == name).flat_map(|(_, value)| value.split(','));
        values.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Refusal> {
        let Some(text) = self.one(name) else { return Ok(default) };
        text.parse().map_err(|_| Refusal::invalid(format!("'{name}' is not a number.")))
    }

    fn instant(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.one(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Refusal::invalid(format!("'{name}' is not an ISO 8601 date and time.")))
    }

    fn included(&self) -> Result<Included, Refusal> {
        const KNOWN: [&str; 11] = [
            "BUYER",
            "RECIPIENT",
            "PROCEEDS",
            "EXPENSE",
            "PROMOTION",
            "CANCELLATION",
            "FULFILLMENT",
            "PACKAGES",
            "TAX",
            "PAYMENT",
            "FULFILLMENT_ORDERS",
        ];
        let included = self.list("includedData");
        match included.iter().find(|name| !KNOWN.contains(&name.as_str())) {
            Some(name) => Err(Refusal::invalid(format!("'{name}' is not a data set."))),
            None => Ok(Included(included)),
        }
    }
}

/// What a search asks for. A page token carries it, and the next page must ask for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Filter {
    is_by_update: bool,
    after: Timestamp,
    before: Option<Timestamp>,
    marketplaces: Vec<String>,
    statuses: Vec<String>,
    fulfilled_by: Vec<String>,
}

impl Filter {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let (created, updated) = (query.instant("createdAfter")?, query.instant("lastUpdatedAfter")?);
        let (created_before, updated_before) =
            (query.instant("createdBefore")?, query.instant("lastUpdatedBefore")?);
        let (is_by_update, after, before) = match (created, updated) {
            (None, Some(after)) if created_before.is_none() => (true, after, updated_before),
            (Some(after), None) if updated_before.is_none() => (false, after, created_before),
            _ => {
                return Err(Refusal::invalid(
                    "Exactly one of 'createdAfter' and 'lastUpdatedAfter' is required, with its own 'Before' only.",
                ));
            }
        };
        Ok(Self {
            is_by_update,
            after,
            before,
            marketplaces: query.list("marketplaceIds"),
            statuses: query.list("fulfillmentStatuses"),
            fulfilled_by: query.list("fulfilledBy"),
        })
    }

    /// The latest time that the search looks at.
    fn upper(&self, now: Timestamp) -> Result<Timestamp, Refusal> {
        let Some(before) = self.before else { return Ok(now) };
        if before < self.after {
            return Err(Refusal::invalid("The end of the time period is before its start."));
        }
        if before > shifted(now, SignedDuration::from_secs(-120)) {
            return Err(Refusal::invalid(
                "The end of the time period must be at least two minutes in the past.",
            ));
        }
        Ok(before)
    }

    fn matches(&self, order: &Order) -> bool {
        let by = if order.is_fba { "AMAZON" } else { "MERCHANT" };
        (self.marketplaces.is_empty() || self.marketplaces.iter().any(|id| id == order.marketplace()))
            && (self.statuses.is_empty() || self.statuses.iter().any(|word| is_status(order.status, word)))
            && (self.fulfilled_by.is_empty() || self.fulfilled_by.iter().any(|word| word == by))
    }
}

/// Where a search goes on.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    place: (i64, usize),
    upper: Timestamp,
    issued: Timestamp,
    filter: Filter,
}

impl Place {
    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn read(token: &str, filter: &Filter, now: Timestamp) -> Result<(Timestamp, (i64, usize)), Refusal> {
        let place: Option<Self> =
            URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let place = place.ok_or_else(|| Refusal::invalid("'paginationToken' is invalid."))?;
        if shifted(place.issued, SignedDuration::from_hours(PAGE_TOKEN_HOURS)) < now {
            return Err(Refusal::invalid("'paginationToken' has expired."));
        }
        if place.filter != *filter {
            return Err(Refusal::invalid(
                "The parameters differ from those that 'paginationToken' was made for.",
            ));
        }
        Ok((place.upper, place.place))
    }
}

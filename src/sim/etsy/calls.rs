//! Etsy's calls: which request means which operation, what is refused, and what is answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::super::reply;
use super::{
    CALLS_PER_SECOND, Etsy, KEYSTRING, OTHER_SHOP_ID, OTHER_USER_ID, Receipt, SHARED_SECRET, SHOP_ID, Status,
    USER_ID,
};

/// Calls in a rolling day.
const CALLS_PER_DAY: i64 = 10_000;
/// What the headers say where no quota holds.
const UNLIMITED: i64 = 1_000_000_000;
/// Receipts or listings on a page at most, and where nobody says.
const PAGE_MAX: usize = 100;
const PAGE_DEFAULT: usize = 25;
/// The earliest second that filters take.
const FIRST_SECOND: i64 = 946_684_800;
/// Above this an order inside the United States needs tracking, in cents.
const TRACKED_ABOVE: i64 = 1_000;
/// The carriers that Etsy knows, in lower case.
const CARRIERS: [&str; 12] = [
    "usps",
    "ups",
    "fedex",
    "dhl",
    "canada post",
    "royal mail",
    "australia post",
    "deutsche post",
    "la poste",
    "postnl",
    "dpd",
    "other",
];

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

/// The operation's name in the specification; `token` for the token endpoint, `consent` for Etsy's page, `unknown` for
/// what is none.
pub fn operation_of(request: &Request<Bytes>) -> &'static str {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    match (request.method(), path.as_slice()) {
        (&Method::POST, ["v3", "public", "oauth", "token"]) => "token",
        (&Method::GET, ["oauth", "connect"]) => "consent",
        (method, ["v3", "application", rest @ ..]) => match (method, rest) {
            (&Method::GET, ["users", "me"]) => "getMe",
            (&Method::GET, ["shops", _]) => "getShop",
            (&Method::GET, ["shops", _, "receipts"]) => "getShopReceipts",
            (&Method::GET, ["shops", _, "receipts", _]) => "getShopReceipt",
            (&Method::POST, ["shops", _, "receipts", _, "tracking"]) => "createReceiptShipment",
            (&Method::GET, ["shops", _, "listings"]) => "getListingsByShop",
            (&Method::GET, ["listings", _, "inventory"]) => "getListingInventory",
            _ => "unknown",
        },
        _ => "unknown",
    }
}

/// An error as Etsy writes it.
pub struct Refusal(StatusCode, String);

impl Refusal {
    fn of(status: StatusCode, message: impl Into<String>) -> Self {
        Self(status, message.into())
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, message)
    }

    fn response(&self) -> Response<Bytes> {
        reply::json(self.0, &json!({"error": self.1}))
    }
}

type Answer = Result<Response<Bytes>, Refusal>;

impl Etsy {
    /// Answers one call.
    pub fn serve(&mut self, call: &Call<'_>) -> Response<Bytes> {
        let operation = operation_of(call.request);
        match operation {
            "token" => return self.token(call),
            "consent" => return self.consent(call),
            _ => {}
        }
        let answer = self.admit(call).and_then(|()| match operation {
            "getMe" => {
                let (user, shop) =
                    if is_others(call) { (OTHER_USER_ID, OTHER_SHOP_ID) } else { (USER_ID, SHOP_ID) };
                Ok(reply::json(StatusCode::OK, &json!({"user_id": user, "shop_id": shop})))
            }
            "getShop" => check_shop(call).map(|()| reply::json(StatusCode::OK, &self.shop_json())),
            "getShopReceipts" => self.receipts(call),
            "getShopReceipt" => self.receipt(call),
            "createReceiptShipment" => self.take_tracking(call),
            "getListingsByShop" => self.shop_listings(call),
            "getListingInventory" => self.inventory(call),
            _ => Err(Refusal::of(StatusCode::NOT_FOUND, "Resource not found")),
        });
        let mut response = answer.unwrap_or_else(|refusal| refusal.response());
        self.tell_quota(&mut response, call.now);
        response
    }

    /// The answer when the platform fails (500), throttles (429) or does not accept the token (401).
    pub fn failure(&self, status: StatusCode) -> Response<Bytes> {
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                let mut response = Refusal::of(status, "Exceeded per second rate limit").response();
                reply::set_header(&mut response, "retry-after", "1");
                response
            }
            StatusCode::UNAUTHORIZED => unauthorized("access token is expired").response(),
            StatusCode::FORBIDDEN => Refusal::of(status, "Insufficient scope").response(),
            _ => Refusal::of(StatusCode::INTERNAL_SERVER_ERROR, "Server Error").response(),
        }
    }

    fn admit(&mut self, call: &Call<'_>) -> Result<(), Refusal> {
        if call.is_admitted {
            return Ok(());
        }
        let header = |name: &str| call.request.headers().get(name).and_then(|value| value.to_str().ok());
        match header("x-api-key") {
            None => return Err(Refusal::of(StatusCode::FORBIDDEN, "Missing x-api-key header.")),
            Some(key) if key == format!("{KEYSTRING}:{SHARED_SECRET}") => {}
            Some(key) if key == KEYSTRING => {
                let message = "Shared secret is required in x-api-key header.";
                return Err(Refusal::of(StatusCode::FORBIDDEN, message));
            }
            Some(_) => return Err(Refusal::of(StatusCode::FORBIDDEN, "Invalid API key")),
        }
        let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let dies = token.and_then(|token| self.meta.tokens.get(token));
        match dies {
            Some(dies) if *dies > call.now.as_microsecond() => {}
            Some(_) => return Err(unauthorized("access token is expired")),
            None => return Err(unauthorized("access token is invalid")),
        }
        if is_others(call) && operation_of(call.request) != "getMe" {
            return Err(Refusal::of(StatusCode::FORBIDDEN, "Unauthorized"));
        }
        self.count(call.now)
    }

    fn count(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if !self.has_quotas {
            return Ok(());
        }
        let hour = now.as_second() / 3_600;
        self.meta.calls_by_hour.retain(|known, _| *known > hour - 24);
        if !self.second.take(now) {
            return Err(Refusal::of(StatusCode::TOO_MANY_REQUESTS, "Exceeded per second rate limit"));
        }
        if self.left_today() < 1 {
            return Err(Refusal::of(StatusCode::TOO_MANY_REQUESTS, "Exceeded per day rate limit"));
        }
        *self.meta.calls_by_hour.entry(hour).or_default() += 1;
        self.changes.meta = true;
        Ok(())
    }

    fn left_today(&self) -> i64 {
        CALLS_PER_DAY - self.meta.calls_by_hour.values().sum::<i64>()
    }

    fn tell_quota(&self, response: &mut Response<Bytes>, now: Timestamp) {
        let (second, left, day, today) = if self.has_quotas {
            (CALLS_PER_SECOND, self.second.left(), CALLS_PER_DAY, self.left_today())
        } else {
            (1_000, 1_000, UNLIMITED, UNLIMITED)
        };
        for (name, value) in [
            ("x-limit-per-second", second),
            ("x-remaining-this-second", left),
            ("x-limit-per-day", day),
            ("x-remaining-today", today),
        ] {
            reply::set_header(response, name, &value.max(0).to_string());
        }
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let oldest = self.meta.calls_by_hour.first_key_value().map_or(0, |(hour, _)| *hour);
            let back = (oldest + 24) * 3_600 - now.as_second();
            let wait = if today < 1 { back.max(1) } else { 1 };
            reply::set_header(response, "retry-after", &wait.to_string());
        }
    }

    /// A receipt as the caller sees it: a lagging read sees what stood there before the last changes.
    fn seen(&self, index: usize, call: &Call<'_>) -> Option<&Receipt> {
        self.receipts.seen(index, call.now, call.is_stale)
    }

    fn receipts(&self, call: &Call<'_>) -> Answer {
        check_shop(call)?;
        let query = Query::of(call.request);
        let (limit, offset) = query.page()?;
        let bound = |name: &str| query.second(name);
        let (placed_from, placed_to) = (bound("min_created")?, bound("max_created")?);
        let (changed_from, changed_to) = (bound("min_last_modified")?, bound("max_last_modified")?);
        let (paid, shipped) = (query.flag("was_paid")?, query.flag("was_shipped")?);
        let canceled = query.flag("was_canceled")?;
        let by = query.word("sort_on", &["created", "updated", "receipt_id"])?;
        let order = query.word("sort_order", &["desc", "asc", "ascending", "descending", "up", "down"])?;
        let within = |at: Timestamp, from: Option<i64>, to: Option<i64>| {
            from.is_none_or(|from| at.as_second() >= from) && to.is_none_or(|to| at.as_second() <= to)
        };
        let is_meant = |receipt: &&Receipt| {
            within(receipt.placed, placed_from, placed_to)
                && within(receipt.updated, changed_from, changed_to)
                && paid.is_none_or(|paid| paid == receipt.is_paid)
                && shipped.is_none_or(|shipped| shipped == (receipt.status == Status::Completed))
                && canceled.is_none_or(|canceled| canceled == (receipt.status == Status::Canceled))
        };
        let mut found: Vec<&Receipt> =
            (0..self.receipts.len()).filter_map(|index| self.seen(index, call)).filter(is_meant).collect();
        found.sort_by_key(|receipt| match by {
            "updated" => (receipt.updated.as_second(), receipt.id),
            "receipt_id" => (receipt.id, 0),
            _ => (receipt.placed.as_second(), receipt.id),
        });
        if matches!(order, "desc" | "descending" | "down") {
            found.reverse();
        }
        let results: Vec<_> =
            found.iter().skip(offset).take(limit).map(|receipt| self.receipt_json(receipt)).collect();
        Ok(reply::json(StatusCode::OK, &json!({"count": found.len(), "results": results})))
    }

    fn receipt(&self, call: &Call<'_>) -> Answer {
        let index = self.find(call)?;
        let receipt = self.seen(index, call).ok_or_else(not_found)?;
        Ok(reply::json(StatusCode::OK, &self.receipt_json(receipt)))
    }

    fn find(&self, call: &Call<'_>) -> Result<usize, Refusal> {
        check_shop(call)?;
        let id = segment(call.request, 5);
        let id: i64 =
            id.parse().map_err(|_| Refusal::invalid("Invalid value for receipt_id, expected a number"))?;
        self.receipts.place_of(&id).ok_or_else(not_found)
    }

    /// A parcel. Every call that is taken sends the buyer a mail.
    fn take_tracking(&mut self, call: &Call<'_>) -> Answer {
        let index = self.find(call)?;
        if self.meta.is_walled {
            return Err(Refusal::of(StatusCode::FORBIDDEN, "Unauthorized"));
        }
        let kind = call.request.headers().get("content-type").and_then(|value| value.to_str().ok());
        if !kind.unwrap_or_default().starts_with("application/x-www-form-urlencoded") {
            return Err(Refusal::invalid("The body must be form-urlencoded"));
        }
        let fields: BTreeMap<String, String> =
            form_urlencoded::parse(call.request.body()).into_owned().collect();
        let field = |name: &str| fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        if field("send_bcc").is_some_and(|word| !matches!(word, "true" | "false")) {
            return Err(Refusal::invalid("Expected boolean value for 'send_bcc'"));
        }
        let receipt = self.receipts.get(index).ok_or_else(not_found)?;
        match receipt.status {
            Status::Canceled => {
                return Err(Refusal::of(StatusCode::CONFLICT, "The receipt has been canceled"));
            }
            Status::Processing => {
                return Err(Refusal::of(StatusCode::CONFLICT, "The receipt has not been paid"));
            }
            Status::Paid | Status::Completed => {}
        }
        let parcel = match (field("carrier_name"), field("tracking_code")) {
            (Some(carrier), Some(_)) if !CARRIERS.contains(&carrier.to_lowercase().as_str()) => {
                return Err(Refusal::invalid(format!("'{carrier}' is not a supported carrier")));
            }
            (Some(carrier), Some(tracking)) => Some((carrier.to_owned(), tracking.to_owned())),
            (None, None) if receipt.total() <= TRACKED_ABOVE => None,
            _ => {
                return Err(Refusal::invalid(
                    "A tracking code and a carrier name are required for this order",
                ));
            }
        };
        self.ship(index, parcel, call.now);
        let receipt = self.receipts.get(index).ok_or_else(not_found)?;
        Ok(reply::json(StatusCode::OK, &self.receipt_json(receipt)))
    }

    fn shop_listings(&self, call: &Call<'_>) -> Answer {
        check_shop(call)?;
        let query = Query::of(call.request);
        let (limit, offset) = query.page()?;
        let state = query.word("state", &["active", "inactive", "sold_out", "draft", "expired"])?;
        let with_inventory = query
            .0
            .iter()
            .any(|(name, value)| name == "includes" && value.split(',').any(|word| word == "Inventory"));
        let found: Vec<_> =
            self.listings.iter().filter(|listing| Self::listing_state(listing) == state).collect();
        let results: Vec<_> = found
            .iter()
            .skip(offset)
            .take(limit)
            .map(|listing| Self::listing_json(listing, with_inventory))
            .collect();
        Ok(reply::json(StatusCode::OK, &json!({"count": found.len(), "results": results})))
    }

    fn inventory(&self, call: &Call<'_>) -> Answer {
        let id = segment(call.request, 3);
        let listing = self.listings.iter().find(|listing| listing.id.to_string() == id);
        let listing = listing.ok_or_else(not_found)?;
        Ok(reply::json(StatusCode::OK, &Self::inventory_json(listing)))
    }
}

/// Whether the call is in the name of the other shop's owner: a token begins with its user's number.
fn is_others(call: &Call<'_>) -> bool {
    let header = call.request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    let user = token.and_then(|token| token.split('.').next());
    user.and_then(|user| user.parse().ok()) == Some(OTHER_USER_ID)
}

fn check_shop(call: &Call<'_>) -> Result<(), Refusal> {
    let id = segment(call.request, 3);
    match id.parse::<i64>() {
        Ok(SHOP_ID) => Ok(()),
        Ok(_) => Err(Refusal::of(StatusCode::NOT_FOUND, "Shop not found")),
        Err(_) => Err(Refusal::invalid("Invalid value for shop_id, expected a number")),
    }
}

fn not_found() -> Refusal {
    Refusal::of(StatusCode::NOT_FOUND, "Resource not found")
}

fn unauthorized(text: &str) -> Refusal {
    Refusal::of(StatusCode::UNAUTHORIZED, format!("invalid_token: {text}"))
}

/// The decoded part of the path at `position`.
fn segment(request: &Request<Bytes>, position: usize) -> String {
    let raw = request.uri().path().split('/').filter(|part| !part.is_empty()).nth(position).unwrap_or("");
    percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned()
}

/// A request's query.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request<Bytes>) -> Self {
        let raw = request.uri().query().unwrap_or("");
        Self(form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let wrong = || Refusal::invalid(format!("Invalid value for '{name}', expected a number"));
        self.one(name).map(|text| text.parse().map_err(|_| wrong())).transpose()
    }

    fn second(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.number(name)? {
            Some(second) if second < FIRST_SECOND => {
                Err(Refusal::invalid(format!("'{name}' must be at least {FIRST_SECOND}")))
            }
            second => Ok(second),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.one(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Refusal::invalid(format!("Expected boolean value for '{name}'"))),
        }
    }

    /// One of `words`; the first one where nobody says.
    fn word<'w>(&self, name: &str, words: &[&'w str]) -> Result<&'w str, Refusal> {
        let Some(given) = self.one(name) else { return Ok(words.first().copied().unwrap_or_default()) };
        let known = words.iter().find(|word| **word == given).copied();
        known.ok_or_else(|| Refusal::invalid(format!("'{given}' is no value of '{name}'")))
    }

    /// Limit and offset.
    fn page(&self) -> Result<(usize, usize), Refusal> {
        let number = |name: &str, default: usize| {
            let given = self.number(name)?;
            let wrong = || Refusal::invalid(format!("'{name}' is out of range"));
            given.map_or(Ok(default), |number| usize::try_from(number).map_err(|_| wrong()))
        };
        let (limit, offset) = (number("limit", PAGE_DEFAULT)?, number("offset", 0)?);
        if limit == 0 || limit > PAGE_MAX {
            return Err(Refusal::invalid("'limit' must be between 1 and 100"));
        }
        Ok((limit, offset))
    }
}

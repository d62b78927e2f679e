//! Amazon, on the Selling Partner API: Orders 2026-01-01, `confirmShipment` (Orders v0), Listings 2021-08-01, Feeds
//! 2021-06-30.
//!
//! What Amazon is like:
//! - `searchOrders` is allowed one call per three minutes, after a burst of twenty. A page of a hundred orders
//!   with everything on it therefore does the work of a hundred calls, and a first import is pages alone.
//! - Orders that are not paid carry no money and no people, and may vanish. Amazon takes people back 30 days
//!   after delivery. What Amazon ships itself (FBA) never carries a street or a parcel.
//! - The window ends two minutes before the present, by Amazon's own choice; its end comes back in the answer
//!   and is our cursor. We never send one of our own.
//! - A page token lives for 24 hours and belongs to the filter that it came with.
//! - `searchListingsItems` gives the first 1,000 listings of a search.
//! - Cancellations and refunds are feeds: see `feeds.rs`.
//! - What a buyer designed lies in an archive behind a link that dies soon; each reading of the order gives a new one.
//!
//! A connection never tells Amazon of parcels for orders that Amazon ships.

mod client;
mod config;
mod feeds;
mod map;
mod queue;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::after_sale::{Cancellation, Refunds};
use super::error::{ChannelError, RejectKind, Unreadable};
use super::message_queue::MessageQueue;
use super::pace::{Bucket, Priority, QuotaLine};
use super::registry::ChannelInfo;
use super::request::segment;
use super::{
    Archive, Catalogue, Connector, ConnectorSetup, Cursor, Customisations, Fulfilment, FulfilmentOrder,
    ListingPage, OrderPage, OrderSource, PlacedPage, PlacedWindow, PollStart, Probe, ProbeLine, ProbeReport,
    Received, Window,
};
use crate::clock::shifted;
use crate::domain::connection::CredentialLife;
use crate::domain::order::OrderFacts;
use crate::domain::shipment::ShipmentDraft;
use crate::secret::Secret;
use client::{Client, Effect, Limits, Outgoing};
use queue::Queue;

/// The channel.
pub const INFO: ChannelInfo = ChannelInfo {
    name: "amazon",
    title: "Amazon",
    is_shop: false,
    credentials: config::CREDENTIALS,
    steps: config::STEPS,
    account: config::account,
    identity: None,
    credentials_file: None,
    consent: None,
    // The secret must be rotated every 180 days (*Rotating your app's LWA credentials*); sellers authorise for a
    // year.
    life: CredentialLife { secret_days: Some(180), authorisation_days: Some(365), tokens_rotate: false },
    sends_after_sale: Some(false),
    swept_days: None,
    connect,
};

/// Calls per second and burst, as each operation's *Usage Plan* in Amazon's models has them. Answers may say
/// another rate, which then counts.
pub(crate) const QUOTAS: &[Bucket] = &[
    // 0.0056 per second.
    Bucket { operation: "searchOrders", period: Duration::from_millis(178_571), burst: 20, reserve: 4 },
    // 0.5 per second.
    Bucket { operation: "getOrder", period: Duration::from_secs(2), burst: 30, reserve: 5 },
    // 2 per second.
    Bucket { operation: "confirmShipment", period: Duration::from_millis(500), burst: 10, reserve: 0 },
    // 5 per second.
    Bucket { operation: "searchListingsItems", period: Duration::from_millis(200), burst: 5, reserve: 1 },
    // 0.016 per second.
    Bucket {
        operation: "getMarketplaceParticipations",
        period: Duration::from_millis(62_500),
        burst: 15,
        reserve: 0,
    },
    // 0.5 per second.
    Bucket { operation: "createFeedDocument", period: Duration::from_secs(2), burst: 15, reserve: 0 },
    // 0.0083 per second.
    Bucket { operation: "createFeed", period: Duration::from_millis(120_482), burst: 15, reserve: 0 },
    // 2 per second.
    Bucket { operation: "getFeed", period: Duration::from_millis(500), burst: 15, reserve: 0 },
    // 0.0222 per second.
    Bucket { operation: "getFeedDocument", period: Duration::from_millis(45_045), burst: 10, reserve: 0 },
];

/// Everything that an order can carry and that we read.
const INCLUDED_DATA: &str =
    "BUYER,RECIPIENT,PROCEEDS,EXPENSE,PROMOTION,PAYMENT,FULFILLMENT,PACKAGES,CANCELLATION,TAX";

/// Orders on a page: Amazon's most.
const PAGE_ORDERS: &str = "100";

/// Listings on a page: Amazon's most.
const PAGE_LISTINGS: &str = "20";

/// How far a poll reaches back behind its cursor. More would cost pages, and pages are dear.
const OVERLAP: SignedDuration = SignedDuration::from_mins(2);

/// A page token's life, less an hour for clocks that differ.
const PAGE_TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(23);

/// Amazon refuses a window that begins less than two minutes ago.
const WINDOW_AGE_MIN: SignedDuration = SignedDuration::from_mins(3);

/// Where a first import of everything begins: Amazon gives two years, in some marketplaces everything since
/// 2016.
const HISTORY_START: Timestamp = Timestamp::constant(1_451_606_400, 0);

/// How far back a connection's test looks for an order.
const PROBE_REACH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Characters of a raw answer that a test shows.
const PROBE_RAW_CHARS_MAX: usize = 4_000;

/// Where people lie in an order of the 2026-01-01 model.
const PERSON_PATHS: &[&str] = &[
    "buyer",
    "recipient",
    "tax.taxRegistrations",
    "orderItems[].fulfillment.packing.giftOption.giftMessage",
    "orderItems[].product.customization",
    "orderItems[].cancellation.cancellationRequest",
];

/// An archive with a buyer's pictures stays below this.
const ARCHIVE_BYTES_MAX: usize = 50_000_000;

/// Archives that are fetched at a time: each is held whole until it lies on the disk.
const ARCHIVES_AT_ONCE_MAX: usize = 3;

/// How long an archive may take: on a slow line the longest takes most of it.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// What every ZIP archive begins with.
const ZIP_MAGIC: &[u8] = b"PK";

/// A connection to Amazon.
#[derive(Debug)]
pub struct Amazon {
    client: Client,
    /// Where Amazon writes its notifications, where the merchant has a queue; or what is wrong with what was entered of
    /// it, which orders do not need.
    queue: Option<Result<Queue, String>>,
    /// Whoever fetches an archive holds one of these.
    archives: Semaphore,
}

fn connect(setup: ConnectorSetup) -> Result<Arc<dyn Connector>, ChannelError> {
    Ok(Arc::new(Amazon::new(&setup)?))
}

impl Connector for Amazon {
    fn order_source(&self) -> Option<&dyn OrderSource> {
        Some(self)
    }

    fn fulfilment(&self) -> Option<&dyn Fulfilment> {
        Some(self)
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(self)
    }

    fn cancellation(&self) -> Option<&dyn Cancellation> {
        Some(self)
    }

    fn refunds(&self) -> Option<&dyn Refunds> {
        Some(self)
    }

    fn customisations(&self) -> Option<&dyn Customisations> {
        Some(self)
    }

    fn message_queue(&self) -> Option<&dyn MessageQueue> {
        self.queue.as_ref().map(|_| self as &dyn MessageQueue)
    }

    fn flaw(&self) -> Option<&str> {
        self.queue.as_ref()?.as_ref().err().map(String::as_str)
    }

    fn probe(&self) -> &dyn Probe {
        self
    }

    fn quota(&self) -> Vec<QuotaLine> {
        self.client.pacer.lines()
    }
}

/// What a page token belongs to: Amazon wants the filter again with each page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Walk {
    by: By,
    after: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum By {
    CreatedAfter,
    LastUpdatedAfter,
}

impl Walk {
    /// The window that is under way, or a new one.
    fn next(cursor: &Cursor, start: PollStart, now: Timestamp) -> Self {
        let under_way = cursor
            .window
            .as_ref()
            .filter(|window| window.expires_at.is_none_or(|expires_at| now < expires_at))
            .and_then(|window| serde_json::from_str(&window.next).ok());
        if let Some(walk) = under_way {
            return walk;
        }
        let latest = shifted(now, -WINDOW_AGE_MIN);
        match cursor.updated_until {
            Some(until) => {
                let after = shifted(until, -OVERLAP).min(latest);
                Self { by: By::LastUpdatedAfter, after, token: None }
            }
            None => {
                let after = start.since.unwrap_or(HISTORY_START).min(latest);
                Self { by: By::CreatedAfter, after, token: None }
            }
        }
    }

    fn query(&self, marketplaces: &str) -> Vec<(&'static str, String)> {
        let by = match self.by {
            By::CreatedAfter => "createdAfter",
            By::LastUpdatedAfter => "lastUpdatedAfter",
        };
        let mut query = vec![
            (by, map::instant_text(self.after)),
            ("marketplaceIds", marketplaces.to_owned()),
            ("includedData", INCLUDED_DATA.to_owned()),
            ("maxResultsPerPage", PAGE_ORDERS.to_owned()),
        ];
        query.extend(self.token.clone().map(|token| ("paginationToken", token)));
        query
    }
}

#[async_trait]
impl OrderSource for Amazon {
    async fn changed_orders(&self, cursor: &Cursor, start: PollStart) -> Result<OrderPage, ChannelError> {
        let now = self.client.now();
        let walk = Walk::next(cursor, start, now);
        // A first import is bulk, too: it leaves enough of the quota for polls and people.
        let priority = match walk.by {
            By::LastUpdatedAfter if !start.is_bulk => Priority::Interactive,
            By::CreatedAfter | By::LastUpdatedAfter => Priority::Bulk,
        };
        let query = walk.query(&self.client.config.marketplace_ids.join(","));
        let body = match self.read("searchOrders", ORDERS_PATH.to_owned(), query, priority).await {
            // Amazon no longer takes the page token. The window begins anew; what comes twice is expected.
            Err(ChannelError::Reject { kind: RejectKind::Other, message }) if walk.token.is_some() => {
                tracing::warn!("a window of orders begins anew: {message}");
                let cursor = Cursor { updated_until: cursor.updated_until, window: None };
                return Ok(OrderPage { orders: Vec::new(), cursor, has_more: true, remaining: None });
            }
            answer => answer?,
        };
        let page: wire::SearchOrders<'_> = parse("searchOrders", &body)?;
        let orders: Vec<Received> = page.orders.iter().map(|order| received(order.get())).collect();
        let until = window_end(cursor, &walk, &page, &orders)?;
        let next_token = page.pagination.and_then(|pagination| pagination.next_token);
        let has_more = next_token.is_some();
        let cursor = match next_token {
            Some(token) => Cursor {
                updated_until: cursor.updated_until,
                window: Some(Window {
                    next: serde_json::to_string(&Walk { token: Some(token), ..walk }).map_err(broken)?,
                    until,
                    expires_at: Some(shifted(now, PAGE_TOKEN_LIFE)),
                }),
            },
            None => Cursor { updated_until: until, window: None },
        };
        Ok(OrderPage { orders, cursor, has_more, remaining: None })
    }

    async fn order(&self, external_id: &str) -> Result<Option<Received>, ChannelError> {
        let path = format!("{ORDERS_PATH}/{}", segment(external_id));
        let query = vec![("includedData", INCLUDED_DATA.to_owned())];
        match self.read("getOrder", path, query, Priority::Interactive).await {
            Ok(body) => {
                let answer: wire::GetOrder<'_> = parse("getOrder", &body)?;
                Ok(Some(received(answer.order.get())))
            }
            Err(ChannelError::Reject { kind: RejectKind::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn placed_orders(
        &self,
        window: PlacedWindow,
        page: Option<&str>,
    ) -> Result<PlacedPage, ChannelError> {
        let mut query = vec![
            ("createdAfter", map::instant_text(window.from)),
            // Its end counts itself, and ours does not.
            ("createdBefore", map::instant_text(window.until)),
            ("marketplaceIds", self.client.config.marketplace_ids.join(",")),
            ("maxResultsPerPage", PAGE_ORDERS.to_owned()),
        ];
        query.extend(page.map(|token| ("paginationToken", token.to_owned())));
        let priority = if window.is_bulk { Priority::Bulk } else { Priority::Interactive };
        let body = self.read("searchOrders", ORDERS_PATH.to_owned(), query, priority).await?;
        let answer: wire::SearchOrders<'_> = parse("searchOrders", &body)?;
        let mut external_ids = Vec::with_capacity(answer.orders.len());
        for order in &answer.orders {
            let placed: wire::PlacedOrder = parse("searchOrders", order.get().as_bytes())?;
            let placed_at = map::instant("createdTime", placed.created_time.as_deref()).ok().flatten();
            // One that does not say when is in the window that Amazon was asked for.
            if placed_at.is_none_or(|at| window.contains(at)) {
                external_ids.extend(placed.order_id);
            }
        }
        let next = answer.pagination.and_then(|pagination| pagination.next_token);
        Ok(PlacedPage { external_ids, next })
    }

    fn read(&self, payload: &str) -> Result<OrderFacts, Unreadable> {
        map::order(payload)
    }

    fn person_paths(&self) -> &'static [&'static str] {
        PERSON_PATHS
    }

    fn poll_interval_min(&self) -> Duration {
        self.client.pacer.period("searchOrders").unwrap_or_default().max(Duration::from_secs(1))
    }
}

/// The path of orders.
const ORDERS_PATH: &str = "/orders/2026-01-01/orders";

/// What the cursor becomes once the window is through: the end that Amazon names, else the newest change seen,
/// never our clock. Pages of one window may each name an end; the first one counts, since what changes while
/// we page comes after it. An order that was created in a first import's window and has changed since is newer
/// than that window's end, too.
fn window_end(
    cursor: &Cursor,
    walk: &Walk,
    page: &wire::SearchOrders<'_>,
    orders: &[Received],
) -> Result<Option<Timestamp>, ChannelError> {
    let held = cursor.window.as_ref().filter(|_| walk.token.is_some());
    let named = match walk.by {
        By::CreatedAfter => page.created_before.as_deref(),
        By::LastUpdatedAfter => page.last_updated_before.as_deref(),
    };
    let named = map::instant("lastUpdatedBefore", named)
        .map_err(|error| ChannelError::Corrupt { in_doubt: false, message: error.to_string() })?;
    if let Some(first) = held.and_then(|window| window.until)
        && named.is_some()
    {
        return Ok(Some(first));
    }
    if named.is_some() {
        return Ok(named.max(cursor.updated_until));
    }
    let newest = orders.iter().filter_map(|order| order.facts.as_ref().ok()).map(|facts| facts.updated_at);
    let newest = match walk.by {
        By::LastUpdatedAfter => newest.max(),
        // Sorted by creation, the newest change says nothing of the orders around it.
        By::CreatedAfter => Some(walk.after),
    };
    Ok(newest.max(held.and_then(|window| window.until)).max(cursor.updated_until))
}

fn received(payload: &str) -> Received {
    let facts = map::order(payload);
    let external_id = match &facts {
        Ok(facts) => Some(facts.external_id.clone()),
        Err(_) => map::order_id(payload),
    };
    Received { external_id, payload: payload.to_owned(), facts }
}

fn parse<'a, T: Deserialize<'a>>(operation: &str, body: &'a [u8]) -> Result<T, ChannelError> {
    serde_json::from_slice(body).map_err(|error| ChannelError::unreadable("Amazon", operation, false, &error))
}

fn broken(error: serde_json::Error) -> ChannelError {
    ChannelError::Fatal { message: format!("could not write JSON: {error}") }
}

#[async_trait]
impl Fulfilment for Amazon {
    async fn confirm_shipment(
        &self,
        order: &FulfilmentOrder,
        shipment: &ShipmentDraft,
    ) -> Result<(), ChannelError> {
        let own = &self.client.config.marketplace_ids;
        let site =
            order.site.as_ref().or_else(|| own.first()).ok_or_else(|| ChannelError::Fatal {
                message: "the connection has no marketplace".to_owned(),
            })?;
        let confirmation = map::confirmation(site, shipment)?;
        let answer = self
            .client
            .send(&Outgoing {
                operation: "confirmShipment",
                method: Method::POST,
                path: format!("/orders/v0/orders/{}/shipmentConfirmation", segment(&order.external_id)),
                query: Vec::new(),
                body: Some(serde_json::to_vec(&confirmation).map_err(broken)?),
                priority: Priority::Interactive,
                effect: Effect::Write,
                limits: Limits::default(),
            })
            .await?;
        // Amazon answers 204 with nothing. Words that are not its own came from something on the way.
        if answer.is_empty() || serde_json::from_slice::<serde::de::IgnoredAny>(&answer).is_ok() {
            return Ok(());
        }
        Err(ChannelError::Corrupt {
            in_doubt: true,
            message: "confirmShipment: the answer is not Amazon's; the parcel is told again".to_owned(),
        })
    }

    fn carrier_code(&self, shop_carrier: &str) -> Option<String> {
        let word = shop_carrier.trim();
        (!word.is_empty()).then(|| map::known_carrier(word).unwrap_or(word).to_owned())
    }
}

#[async_trait]
impl Customisations for Amazon {
    fn link(&self, payload: &str, external_line_id: &str) -> Option<Secret> {
        map::customisation_link(payload, external_line_id).map(Secret::new)
    }

    async fn archive(&self, link: &Secret) -> Result<Option<Archive>, ChannelError> {
        // It is never closed, so that there always is a turn.
        let turn = self.archives.acquire().await;
        let limits = (ARCHIVE_BYTES_MAX, ARCHIVE_TIMEOUT);
        let bytes = self.client.download("downloadCustomization", link.expose(), limits).await?;
        drop(turn);
        let Some(bytes) = bytes else { return Ok(None) };
        if !bytes.starts_with(ZIP_MAGIC) {
            return Err(ChannelError::Corrupt {
                in_doubt: false,
                message: "downloadCustomization: what came is no ZIP archive".to_owned(),
            });
        }
        Ok(Some(Archive { bytes, media_type: "application/zip", extension: "zip" }))
    }
}

#[async_trait]
impl Catalogue for Amazon {
    async fn listings(&self, page: Option<&str>) -> Result<ListingPage, ChannelError> {
        let config = &self.client.config;
        let path = format!("/listings/2021-08-01/items/{}", segment(&config.seller_id));
        let mut query = vec![
            ("marketplaceIds", config.marketplace_ids.join(",")),
            ("includedData", "summaries,offers,fulfillmentAvailability".to_owned()),
            ("pageSize", PAGE_LISTINGS.to_owned()),
        ];
        query.extend(page.map(|token| ("pageToken", token.to_owned())));
        let body = self.read("searchListingsItems", path, query, Priority::Bulk).await?;
        let answer: wire::Listings = parse("searchListingsItems", &body)?;
        Ok(ListingPage {
            listings: answer
                .items
                .iter()
                .filter_map(|item| map::listing(item, &config.marketplace_ids))
                .collect(),
            next: answer.pagination.and_then(|pagination| pagination.next_token),
        })
    }
}

#[async_trait]
impl Probe for Amazon {
    async fn probe(&self) -> ProbeReport {
        let mut lines = Vec::new();
        let mut raw = String::new();
        let participations = self
            .try_read("getMarketplaceParticipations", "/sellers/v1/marketplaceParticipations", Vec::new(), 3)
            .await;
        match participations {
            Ok(body) => {
                raw = String::from_utf8_lossy(&body).chars().take(PROBE_RAW_CHARS_MAX).collect();
                lines.push(line("Sign in", true, "Amazon gave an access token."));
                lines.extend(self.marketplace_lines(&body));
            }
            Err(error) => {
                // A refused token names itself as such; everything else came after the token.
                let is_token = error.to_string().contains("Login with Amazon")
                    || matches!(&error, ChannelError::Reauth { .. });
                lines.push(line("Sign in", !is_token, &error.to_string()));
                if is_token {
                    return ProbeReport { account: self.account(), lines, raw };
                }
                lines.push(line("Marketplaces", false, &error.to_string()));
            }
        }
        let query = vec![
            ("lastUpdatedAfter", map::instant_text(shifted(self.client.now(), -PROBE_REACH))),
            ("marketplaceIds", self.client.config.marketplace_ids.join(",")),
            ("includedData", INCLUDED_DATA.to_owned()),
            ("maxResultsPerPage", "1".to_owned()),
        ];
        let found = self.try_read("searchOrders", ORDERS_PATH, query, 4).await;
        lines.push(order_line(found));
        ProbeReport { account: self.account(), lines, raw }
    }
}

impl Amazon {
    /// A connector for what was entered. Makes no call.
    fn new(setup: &ConnectorSetup) -> Result<Self, ChannelError> {
        Ok(Self {
            client: Client::new(setup)?,
            queue: Queue::new(setup).map_err(|error| error.to_string()).transpose(),
            archives: Semaphore::new(ARCHIVES_AT_ONCE_MAX),
        })
    }

    async fn read(
        &self,
        operation: &'static str,
        path: String,
        query: Vec<(&'static str, String)>,
        priority: Priority,
    ) -> Result<bytes::Bytes, ChannelError> {
        let outgoing = Outgoing {
            operation,
            method: Method::GET,
            path,
            query,
            body: None,
            priority,
            effect: Effect::Read,
            limits: Limits::default(),
        };
        self.client.send(&outgoing).await
    }

    /// A read that a person waits for: it fails rather than waits for its turn.
    async fn try_read(
        &self,
        operation: &'static str,
        path: &str,
        query: Vec<(&'static str, String)>,
        timeout_s: u64,
    ) -> Result<bytes::Bytes, ChannelError> {
        let outgoing = Outgoing {
            operation,
            method: Method::GET,
            path: path.to_owned(),
            query,
            body: None,
            priority: Priority::Interactive,
            effect: Effect::Read,
            limits: Limits { timeout: Duration::from_secs(timeout_s), wait_max: Duration::ZERO },
        };
        self.client.send(&outgoing).await
    }

    fn account(&self) -> Option<String> {
        Some(self.client.config.seller_id.clone())
    }

    fn marketplace_lines(&self, body: &[u8]) -> Vec<ProbeLine> {
        let answer: wire::Participations = match parse("getMarketplaceParticipations", body) {
            Ok(answer) => answer,
            Err(error) => return vec![line("Marketplaces", false, &error.to_string())],
        };
        let check = |id: &String| {
            let entry = answer.payload.iter().find(|entry| {
                entry.marketplace.as_ref().and_then(|marketplace| marketplace.id.as_ref()) == Some(id)
            });
            let check = format!("Marketplace {id}");
            let Some(entry) = entry else {
                let text = "The seller does not sell there; remove it or enrol in it.";
                return line(&check, false, text);
            };
            let name = entry.marketplace.as_ref().and_then(|marketplace| marketplace.name.as_deref());
            let store = entry.store_name.as_deref().unwrap_or("no name");
            let state = entry.participation.as_ref();
            if state.and_then(|state| state.is_participating) == Some(false) {
                return line(&check, false, "The seller no longer takes part in it.");
            }
            let note = match state.and_then(|state| state.has_suspended_listings) {
                Some(true) => "; some listings are suspended",
                _ => "",
            };
            line(&check, true, &format!("{}, store “{store}”{note}.", name.unwrap_or("active")))
        };
        self.client.config.marketplace_ids.iter().map(check).collect()
    }
}

fn line(check: &str, is_ok: bool, detail: &str) -> ProbeLine {
    ProbeLine { check: check.to_owned(), is_ok, detail: detail.to_owned() }
}

/// Whether orders come, and with their buyers: a role that was not granted shows only in what is left out.
fn order_line(found: Result<bytes::Bytes, ChannelError>) -> ProbeLine {
    let body = match found {
        Ok(body) => body,
        Err(ChannelError::Retry { throttled: true, message, .. }) => {
            let text =
                format!("{message}. Orders come once it recovers; this says nothing against the set-up.");
            return line("Orders", true, &text);
        }
        Err(error) => return line("Orders", false, &error.to_string()),
    };
    let page: wire::SearchOrders<'_> = match parse("searchOrders", &body) {
        Ok(page) => page,
        Err(error) => return line("Orders", false, &error.to_string()),
    };
    let Some(order) = page.orders.first() else {
        let text =
            "Readable; there is none of the last 30 days, so that buyer and address could not be seen.";
        return line("Orders", true, text);
    };
    match map::order(order.get()) {
        Err(error) => line("Orders", false, &format!("The newest order cannot be read: {error}.")),
        Ok(facts) => {
            let has_address = facts.people.is_some_and(|people| people.ship_to.is_some());
            let must_have_address = facts.is_paid
                && facts.fulfilled_by == crate::domain::order::FulfilledBy::Seller
                && facts.status == crate::domain::order::OrderStatus::Open;
            if must_have_address && !has_address {
                let text = "Readable, but buyer and address are withheld: ask for the role Direct-to-Consumer \
                            Shipping in Seller Central, then authorise the app again.";
                return line("Orders", false, text);
            }
            line("Orders", true, if has_address { "Readable, with buyer and address." } else { "Readable." })
        }
    }
}

#[cfg(test)]
mod tests;

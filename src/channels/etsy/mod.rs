//! Etsy, on the Open API v3: receipts, tracking, listings with their inventory.
//!
//! What Etsy is like:
//! - Calls are counted per app: some ten a second and ten thousand in a rolling day. The headers say what is left.
//! - A receipt's time of change stands still when it is cancelled or refunded: polls alone would never hear of it, so
//!   sweeps run beside them (`walk.rs`), and the engine looks up open receipts that are older than those reach.
//! - In a growing list of countries most apps see no address and may tell no tracking. Such orders are imported and wait
//!   for an address; such parcels wait for a person, with what to do.
//! - Telling of a parcel sends the buyer a mail, every time. It is never told again before the receipt was read back.
//! - Nothing can be cancelled or refunded over the API: both are only seen.
//! - Refresh tokens rotate with every use (`grant.rs`).
//! - The receipt does not say what is in a parcel, and the first parcel marks the whole receipt as shipped.

mod client;
mod config;
mod consent;
mod grant;
mod map;
mod push;
mod walk;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;

use super::consent::Consent;
use super::error::{ChannelError, RejectKind, Unreadable};
use super::pace::{Priority, QuotaLine};
use super::registry::ChannelInfo;
use super::request::segment;
use super::webhooks::Webhooks;
use super::{
    Catalogue, Connector, ConnectorSetup, Cursor, Fulfilment, FulfilmentOrder, ListingPage, OrderPage,
    OrderSource, PlacedPage, PlacedWindow, PollStart, Probe, ProbeLine, ProbeReport, Received, Window,
};
use crate::domain::connection::CredentialLife;
use crate::domain::order::{FulfilledBy, OrderFacts, OrderStatus};
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts};
use client::{Client, Effect, Limits, Outgoing};
use walk::{List, Progress, Row, Swept, Walk};

/// The channel.
pub const INFO: ChannelInfo = ChannelInfo {
    name: "etsy",
    title: "Etsy",
    is_shop: false,
    credentials: config::CREDENTIALS,
    steps: config::STEPS,
    account: config::account,
    identity: None,
    credentials_file: None,
    consent: Some(Consent { start: consent::start, exchange: consent::exchange }),
    // A refresh token lives for 90 days from its last renewal, and one in use is renewed every hour.
    life: CredentialLife { secret_days: None, authorisation_days: None, tokens_rotate: true },
    sends_after_sale: None,
    swept_days: Some(walk::SWEPT_DAYS),
    connect,
};

/// Polls take at most one part in this many of the day's calls.
const POLL_SHARE: u64 = 3;

/// Listings on a page: Etsy's most.
const PAGE_LISTINGS: usize = 100;

/// The listings that can be sold or were sold out, in the order that they are read in.
const LISTING_STATES: [&str; 2] = ["active", "sold_out"];

/// Characters of a raw answer that a test shows.
const PROBE_RAW_CHARS_MAX: usize = 4_000;

/// Where people lie in a receipt. What a buyer has a thing personalised with is of people, too.
const PERSON_PATHS: &[&str] = &[
    "buyer_email",
    "buyer_user_id",
    "name",
    "first_line",
    "second_line",
    "city",
    "state",
    "zip",
    "country_iso",
    "formatted_address",
    "payment_email",
    "message_from_payment",
    "message_from_seller",
    "message_from_buyer",
    "gift_message",
    "gift_sender",
    "transactions[].buyer_user_id",
    "transactions[].variations",
    "refunds[].note_from_issuer",
    "refunds[].reason",
];

/// A connection to Etsy.
#[derive(Debug)]
pub struct Etsy {
    client: Client,
}

fn connect(setup: ConnectorSetup) -> Result<Arc<dyn Connector>, ChannelError> {
    Ok(Arc::new(Etsy { client: Client::new(&setup)? }))
}

impl Connector for Etsy {
    fn order_source(&self) -> Option<&dyn OrderSource> {
        Some(self)
    }

    fn fulfilment(&self) -> Option<&dyn Fulfilment> {
        Some(self)
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(self)
    }

    fn webhooks(&self) -> Option<&dyn Webhooks> {
        Some(self)
    }

    fn probe(&self) -> &dyn Probe {
        self
    }

    fn quota(&self) -> Vec<QuotaLine> {
        self.client.pacer.lines()
    }
}

/// A page of receipts as read.
struct Page {
    orders: Vec<Received>,
    next: Option<Walk>,
    remaining: Option<u64>,
}

#[async_trait]
impl OrderSource for Etsy {
    async fn changed_orders(&self, cursor: &Cursor, start: PollStart) -> Result<OrderPage, ChannelError> {
        let mut progress: Progress = cursor
            .window
            .as_ref()
            .and_then(|window| serde_json::from_str(&window.next).ok())
            .unwrap_or_default();
        match progress.sweep.clone().filter(|_| progress.turns > 0 && progress.poll.is_none()) {
            Some(walk) => {
                let orders = self.swept(&mut progress, &walk, start.since).await?;
                page(orders, cursor.updated_until, &progress, None)
            }
            None => self.polled(cursor, progress, start).await,
        }
    }

    async fn order(&self, external_id: &str) -> Result<Option<Received>, ChannelError> {
        match self.read("getShopReceipt", self.receipt_path(external_id, ""), Vec::new()).await {
            Ok(body) => Ok(Some(received(text("getShopReceipt", &body)?))),
            Err(ChannelError::Reject { kind: RejectKind::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn placed_orders(
        &self,
        window: PlacedWindow,
        page: Option<&str>,
    ) -> Result<PlacedPage, ChannelError> {
        let walk = match page {
            None => Walk::of_window(window.from, window.until),
            Some(page) => serde_json::from_str(page).map_err(|_| ChannelError::Reject {
                kind: RejectKind::Other,
                message: "this place in the list of receipts cannot be read".to_owned(),
            })?,
        };
        let priority = if window.is_bulk { Priority::Bulk } else { Priority::Interactive };
        let (receipts, count) = self.receipts(&walk, priority).await?;
        let rows: Vec<Row> = receipts.iter().map(|(row, _)| row.clone()).collect();
        let is_in = |row: &&Row| {
            let placed_at = row.at.and_then(|second| Timestamp::from_second(second).ok());
            // One that does not say when is in the window that Etsy was asked for.
            placed_at.is_none_or(|at| window.contains(at))
        };
        let external_ids = rows.iter().filter(is_in).filter_map(|row| row.id.clone()).collect();
        let next = walk.after(&rows, count).map(|next| serde_json::to_string(&next)).transpose();
        Ok(PlacedPage { external_ids, next: next.map_err(broken)? })
    }

    fn read(&self, payload: &str) -> Result<OrderFacts, Unreadable> {
        map::order(payload)
    }

    fn person_paths(&self) -> &'static [&'static str] {
        PERSON_PATHS
    }

    fn poll_interval_min(&self) -> Duration {
        let polls = (self.client.day_limit() / POLL_SHARE).max(1);
        Duration::from_secs((86_400 / polls).max(1))
    }
}

impl Etsy {
    /// A page of what changed. At the end sweeps have their turn.
    async fn polled(
        &self,
        cursor: &Cursor,
        mut progress: Progress,
        start: PollStart,
    ) -> Result<OrderPage, ChannelError> {
        let walk = progress.poll.take();
        let walk = walk.unwrap_or_else(|| Walk::of_changes(cursor.updated_until, start.since));
        // A first import is bulk, too: it leaves enough of the quota for polls and people.
        let is_first = cursor.updated_until.is_none();
        let priority = if is_first || start.is_bulk { Priority::Bulk } else { Priority::Interactive };
        let Page { orders, next, remaining } = self.page(&walk, priority).await?;
        let newest = orders.iter().filter_map(updated_second).max().max(walk.newest);
        if let Some(next) = next {
            progress.poll = Some(next);
            return page(orders, cursor.updated_until, &progress, remaining);
        }
        let newest = newest.and_then(|second| Timestamp::from_second(second).ok());
        let now = self.client.now();
        if is_first {
            // Whatever sweeps would look at has just been read: what was placed since then has changed since then.
            progress.often = Some(Swept::now(now, 1));
            progress.seldom = Some(Swept::now(now, 1));
        }
        progress.begin_sweep(now, start.since, self.client.day_limit());
        page(orders, newest.max(cursor.updated_until), &progress, remaining)
    }

    /// A page of a sweep. One that cannot be had now must not keep the next poll waiting.
    async fn swept(
        &self,
        progress: &mut Progress,
        walk: &Walk,
        since: Option<Timestamp>,
    ) -> Result<Vec<Received>, ChannelError> {
        let now = self.client.now();
        match self.page(walk, Priority::Bulk).await {
            Ok(Page { orders, next, .. }) => {
                progress.take_turn(walk, next, now, since);
                Ok(orders)
            }
            Err(error @ (ChannelError::Reauth { .. } | ChannelError::Fatal { .. })) => Err(error),
            Err(ChannelError::Reject { message, .. }) => {
                tracing::warn!("Etsy refused a sweep, which is left out this time: {message}");
                progress.take_turn(walk, None, now, since);
                progress.rest();
                Ok(Vec::new())
            }
            Err(error @ (ChannelError::Retry { .. } | ChannelError::Corrupt { .. })) => {
                tracing::debug!("a sweep goes on after the next poll: {error}");
                progress.rest();
                Ok(Vec::new())
            }
        }
    }

    async fn page(&self, walk: &Walk, priority: Priority) -> Result<Page, ChannelError> {
        let (receipts, count) = self.receipts(walk, priority).await?;
        let (rows, orders): (Vec<Row>, Vec<Received>) =
            receipts.into_iter().map(|(row, payload)| (row, received(&payload))).unzip();
        let remaining = walk.remaining(orders.len(), count);
        Ok(Page { next: walk.after(&rows, count), orders, remaining })
    }

    /// A page of a list: each receipt's place and its payload, byte for byte, and how many the list holds.
    async fn receipts(
        &self,
        walk: &Walk,
        priority: Priority,
    ) -> Result<(Vec<(Row, String)>, Option<u64>), ChannelError> {
        let path = format!("{}/receipts", self.shop_path());
        let outgoing = Outgoing { priority, ..reading("getShopReceipts", path, walk.query()) };
        let body = self.client.send(&outgoing).await?;
        let answer: wire::Receipts<'_> = parse("getShopReceipts", &body)?;
        let row = |payload: &&serde_json::value::RawValue| {
            let place: wire::Place = serde_json::from_str(payload.get()).unwrap_or_default();
            let at = match walk.list {
                List::Changed => map::updated_second(&place),
                List::Placed | List::Cancelled | List::Open | List::Recent => map::placed_second(&place),
            };
            (Row { id: place.receipt_id, at }, payload.get().to_owned())
        };
        let count = answer.count.and_then(|count| u64::try_from(count).ok());
        Ok((answer.results.iter().map(row).collect(), count))
    }

    async fn read(
        &self,
        operation: &'static str,
        path: String,
        query: Vec<(&'static str, String)>,
    ) -> Result<Bytes, ChannelError> {
        self.client.send(&reading(operation, path, query)).await
    }

    fn shop_path(&self) -> String {
        format!("/v3/application/shops/{}", segment(&self.client.shop_id))
    }

    fn receipt_path(&self, external_id: &str, end: &str) -> String {
        format!("{}/receipts/{}{end}", self.shop_path(), segment(external_id))
    }
}

fn reading<'a>(operation: &'static str, path: String, query: Vec<(&'static str, String)>) -> Outgoing<'a> {
    Outgoing {
        operation,
        method: Method::GET,
        path,
        query,
        form: None,
        priority: Priority::Interactive,
        effect: Effect::Read,
        limits: Limits::default(),
    }
}

/// A page with its cursor. The window stays after the last page: it holds when the sweeps ran.
fn page(
    orders: Vec<Received>,
    updated_until: Option<Timestamp>,
    progress: &Progress,
    remaining: Option<u64>,
) -> Result<OrderPage, ChannelError> {
    let has_more = progress.poll.is_some() || progress.turns > 0;
    let next = serde_json::to_string(progress).map_err(broken)?;
    let cursor = Cursor { updated_until, window: Some(Window { next, until: None, expires_at: None }) };
    Ok(OrderPage { orders, cursor, has_more, remaining })
}

fn received(payload: &str) -> Received {
    let facts = map::order(payload);
    let external_id = match &facts {
        Ok(facts) => Some(facts.external_id.clone()),
        Err(_) => map::order_id(payload),
    };
    Received { external_id, payload: payload.to_owned(), facts }
}

/// Etsy's own time of change: what the cursor is made of.
fn updated_second(order: &Received) -> Option<i64> {
    serde_json::from_str(&order.payload).ok().as_ref().and_then(map::updated_second)
}

fn text<'a>(operation: &str, body: &'a [u8]) -> Result<&'a str, ChannelError> {
    let payload: &serde_json::value::RawValue = parse(operation, body)?;
    Ok(payload.get())
}

fn parse<'a, T: Deserialize<'a>>(operation: &str, body: &'a [u8]) -> Result<T, ChannelError> {
    serde_json::from_slice(body).map_err(|error| ChannelError::unreadable("Etsy", operation, false, &error))
}

fn broken(error: serde_json::Error) -> ChannelError {
    ChannelError::Fatal { message: format!("could not write JSON: {error}") }
}

#[async_trait]
impl Fulfilment for Etsy {
    async fn confirm_shipment(
        &self,
        order: &FulfilmentOrder,
        shipment: &ShipmentDraft,
    ) -> Result<(), ChannelError> {
        let outgoing = Outgoing {
            operation: "createReceiptShipment",
            method: Method::POST,
            path: self.receipt_path(&order.external_id, "/tracking"),
            query: Vec::new(),
            form: Some(map::tracking_form(shipment)?),
            priority: Priority::Interactive,
            effect: Effect::Write,
            limits: Limits::default(),
        };
        let answer = self.client.send(&outgoing).await?;
        // The receipt comes back. Anything that is none came from something on the way: nobody knows whether the
        // buyer has got a mail.
        match serde_json::from_slice::<wire::Place>(&answer) {
            Ok(place) if place.receipt_id.is_some() => Ok(()),
            _ => Err(ChannelError::Corrupt {
                in_doubt: true,
                message: "createReceiptShipment: the answer is not Etsy's; the receipt is read back before \
                          anything is told again"
                    .to_owned(),
            }),
        }
    }

    async fn told_parcels(
        &self,
        order: &FulfilmentOrder,
    ) -> Result<Option<Vec<ShipmentFacts>>, ChannelError> {
        let body = self.read("getShopReceipt", self.receipt_path(&order.external_id, ""), Vec::new()).await?;
        let receipt: wire::Receipt = parse("getShopReceipt", &body)?;
        let Some(listed) = receipt.shipments else {
            return Err(ChannelError::Corrupt {
                in_doubt: false,
                message: "getShopReceipt: the receipt does not say which parcels Etsy knows".to_owned(),
            });
        };
        let parcels = map::shipments(&listed);
        parcels
            .map(Some)
            .map_err(|error| ChannelError::Corrupt { in_doubt: false, message: error.to_string() })
    }

    fn carrier_code(&self, shop_carrier: &str) -> Option<String> {
        // What Etsy does not know goes under “other”, with its name in the note to the buyer.
        let word = shop_carrier.trim();
        (!word.is_empty()).then(|| word.to_owned())
    }
}

#[async_trait]
impl Catalogue for Etsy {
    async fn listings(&self, page: Option<&str>) -> Result<ListingPage, ChannelError> {
        let (place, offset) = listing_place(page)?;
        let state = LISTING_STATES.get(place).copied().unwrap_or_default();
        let query = vec![
            ("state", state.to_owned()),
            ("includes", "Inventory".to_owned()),
            ("limit", PAGE_LISTINGS.to_string()),
            ("offset", offset.to_string()),
        ];
        let path = format!("{}/listings", self.shop_path());
        let outgoing = Outgoing { priority: Priority::Bulk, ..reading("getListingsByShop", path, query) };
        let body = self.client.send(&outgoing).await?;
        let answer: wire::Listings = parse("getListingsByShop", &body)?;
        let end = offset.saturating_add(answer.results.len());
        let is_last = answer.results.is_empty()
            || answer.results.len() < PAGE_LISTINGS
                && answer.count.is_none_or(|count| usize::try_from(count).is_ok_and(|count| end >= count));
        let next = match is_last {
            false => Some((place, end)),
            true => (place + 1 < LISTING_STATES.len()).then_some((place + 1, 0)),
        };
        Ok(ListingPage {
            listings: answer.results.iter().flat_map(map::listings).collect(),
            next: next.map(|(place, offset)| format!("{place}:{offset}")),
        })
    }
}

/// Which of the states, and how many listings of it were read.
fn listing_place(page: Option<&str>) -> Result<(usize, usize), ChannelError> {
    let Some(page) = page else { return Ok((0, 0)) };
    let parts =
        page.split_once(':').and_then(|(place, offset)| Some((place.parse().ok()?, offset.parse().ok()?)));
    parts.ok_or_else(|| ChannelError::Reject {
        kind: RejectKind::Other,
        message: "this place in the list of listings cannot be read".to_owned(),
    })
}

#[async_trait]
impl Probe for Etsy {
    async fn probe(&self) -> ProbeReport {
        let account = Some(self.client.shop_id.clone());
        let mut lines = Vec::new();
        let mut raw = String::new();
        match self.try_read("getShop", self.shop_path(), Vec::new(), 4).await {
            Ok(body) => {
                raw = String::from_utf8_lossy(&body).chars().take(PROBE_RAW_CHARS_MAX).collect();
                lines.push(line("Sign in", true, "Etsy gave an access token."));
                lines.push(shop_line(&body));
            }
            Err(error @ (ChannelError::Reauth { .. } | ChannelError::Fatal { .. })) => {
                lines.push(line("Sign in", false, &error.to_string()));
                return ProbeReport { account, lines, raw };
            }
            Err(error) => lines.push(line("Shop", false, &error.to_string())),
        }
        let newest = [("sort_on", "created"), ("sort_order", "desc"), ("limit", "1"), ("was_paid", "true")];
        let query = newest.map(|(name, value)| (name, value.to_owned())).to_vec();
        let path = format!("{}/receipts", self.shop_path());
        lines.push(order_line(self.try_read("getShopReceipts", path, query, 4).await));
        ProbeReport { account, lines, raw }
    }
}

impl Etsy {
    /// A read that a person waits for: it fails rather than waits for its turn.
    async fn try_read(
        &self,
        operation: &'static str,
        path: String,
        query: Vec<(&'static str, String)>,
        timeout_s: u64,
    ) -> Result<Bytes, ChannelError> {
        let limits = Limits { timeout: Duration::from_secs(timeout_s), wait_max: Duration::ZERO };
        self.client.send(&Outgoing { limits, ..reading(operation, path, query) }).await
    }
}

fn line(check: &str, is_ok: bool, detail: &str) -> ProbeLine {
    ProbeLine { check: check.to_owned(), is_ok, detail: detail.to_owned() }
}

fn shop_line(body: &[u8]) -> ProbeLine {
    let shop: wire::Shop = match parse("getShop", body) {
        Ok(shop) => shop,
        Err(error) => return line("Shop", false, &error.to_string()),
    };
    let Some(name) = shop.shop_name else {
        return line("Shop", false, "Etsy's answer names no shop; check the shop ID.");
    };
    let currency = shop.currency_code.as_deref().unwrap_or("an unknown currency");
    line("Shop", true, &format!("“{}”, in {currency}.", map::plain(&name)))
}

/// Whether orders come, and with their addresses: the access wall shows only in what is left out.
fn order_line(found: Result<Bytes, ChannelError>) -> ProbeLine {
    let body = match found {
        Ok(body) => body,
        Err(ChannelError::Retry { throttled: true, message, .. }) => {
            let text =
                format!("{message}. Orders come once it recovers; this says nothing against the set-up.");
            return line("Orders", true, &text);
        }
        Err(error) => return line("Orders", false, &error.to_string()),
    };
    let page: wire::Receipts<'_> = match parse("getShopReceipts", &body) {
        Ok(page) => page,
        Err(error) => return line("Orders", false, &error.to_string()),
    };
    let Some(receipt) = page.results.first() else {
        return line("Orders", true, "Readable; there is none yet, so that no address could be seen.");
    };
    let facts = match map::order(receipt.get()) {
        Ok(facts) => facts,
        Err(error) => return line("Orders", false, &format!("The newest order cannot be read: {error}.")),
    };
    let address = facts.people.and_then(|people| people.ship_to);
    let has_address = address.is_some_and(|address| !address.is_unusable());
    let must_have = facts.fulfilled_by == FulfilledBy::Seller && facts.status == OrderStatus::Open;
    match (has_address, must_have) {
        (true, _) => line("Orders", true, "Readable, with the address."),
        // Not red: orders come, and an authorisation that works must be seen to work.
        (false, true) => line(
            "Orders",
            true,
            "Readable, but Etsy withholds the buyer's address from this app, as it does in some countries. Orders are \
             imported and wait for an address; ask Etsy's developer support for access to addresses.",
        ),
        (false, false) => line("Orders", true, "Readable; the newest one needs no address."),
    }
}

#[cfg(test)]
mod tests;

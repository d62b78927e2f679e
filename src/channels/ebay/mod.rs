//! eBay: Sell Fulfillment, Sell Inventory, Post-Order for cancellations, Notification.
//!
//! What eBay is like:
//! - Purchases that are not paid are not listed. E-mails are taken back after 14 days, names and streets after 90: what
//!   is read once is kept.
//! - Lists are paged by offset while orders change; `walk.rs` says how nothing is missed.
//! - Tax that eBay takes and remits is on top of its total; with `fieldGroups=TAX_BREAKDOWN`, which we always ask for,
//!   it is in it.
//! - The label's address may be a hub or an authenticator. What eBay's own warehouse ships carries no address.
//! - A list of orders says that somebody asked to cancel one; who asked stands only in the order alone, which is read
//!   then.
//! - A parcel cannot be changed or taken back, and telling of it twice is not safe: what is in doubt is read first
//!   ([`Fulfilment::told_parcels`]). The parcel's id is its tracking number.
//! - Listings made in Seller Hub or by the Trading API are not in the Inventory API until the seller migrates them
//!   (`bulkMigrateListing`). Their orders come all the same, by SKU where they have one, else by listing and variation.
//! - eBay counts calls by day and application and says so only when asked: refusals pace us.

mod after_sale;
mod client;
mod config;
mod consent;
mod identity;
mod map;
mod parcels;
mod push;
mod sign;
mod walk;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{ChannelError, RejectKind, Unreadable};
use super::pace::{Priority, QuotaLine};
use super::registry::ChannelInfo;
use super::request::segment;
use super::told::asked_again;
use super::{
    Catalogue, Connector, ConnectorSetup, Cursor, Fulfilment, FulfilmentOrder, ListingPage, OrderPage,
    OrderSource, PlacedPage, PlacedWindow, PollStart, Probe, ProbeLine, ProbeReport, Received,
    after_sale as sale, webhooks,
};
use crate::clock::shifted;
use crate::domain::connection::CredentialLife;
use crate::domain::order::{FulfilledBy, OrderFacts, OrderStatus};
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts};
use client::{Client, Limits, Outgoing};
use parcels::Parcels;
use walk::{PAGE_ORDERS, PlacedPlace, Walk};

/// The channel.
pub const INFO: ChannelInfo = ChannelInfo {
    name: "ebay",
    title: "eBay",
    is_shop: false,
    credentials: config::CREDENTIALS,
    steps: config::STEPS,
    account: config::account,
    identity: Some(identity::IDENTITY),
    credentials_file: None,
    consent: Some(consent::CONSENT),
    // Sellers authorise for 18 months; the refresh token stays the same in that time.
    life: CredentialLife { secret_days: None, authorisation_days: Some(540), tokens_rotate: false },
    sends_after_sale: Some(true),
    swept_days: None,
    connect,
};

/// The path of orders.
const ORDERS_PATH: &str = "/sell/fulfillment/v1/order";

/// The path of things in stock.
const ITEMS_PATH: &str = "/sell/inventory/v1/inventory_item";

/// The path of offers.
const OFFERS_PATH: &str = "/sell/inventory/v1/offer";

/// Things in stock on a page. Each costs one more call for its offers.
const PAGE_ITEMS: i64 = 25;

/// Between two polls at eBay itself: a tenth of the smallest quota by day that eBay documents for any of its APIs.
const POLL_INTERVAL_MIN: Duration = Duration::from_secs(60);

/// Between two polls of a server that stands in for eBay.
const POLL_INTERVAL_MIN_ELSEWHERE: Duration = Duration::from_secs(1);

/// The parcels of so many orders of a page are asked for at once: a page on which every order is shipped takes two hundred
/// calls, and nothing of it is kept before the last.
const ORDERS_AT_ONCE: usize = 8;

/// How far back a connection's test looks for an order.
const PROBE_REACH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Characters of a raw answer that a test shows.
const PROBE_RAW_CHARS_MAX: usize = 4_000;

/// Where people lie in a payload of ours.
const PERSON_PATHS: &[&str] = &[
    "order.buyer",
    "order.buyerCheckoutNotes",
    "order.fulfillmentStartInstructions[].shippingStep.shipTo",
    "order.fulfillmentStartInstructions[].finalDestinationAddress",
    "order.fulfillmentStartInstructions[].pickupStep",
    "order.fulfillmentStartInstructions[].appointment",
    "order.lineItems[].giftDetails",
];

/// A connection to eBay.
#[derive(Debug)]
pub struct Ebay {
    client: Client,
    is_elsewhere: bool,
    /// What was created before is history.
    go_live: Option<Timestamp>,
    /// Keys that eBay signs notifications with, and until when each is trusted.
    push_keys: Mutex<BTreeMap<String, (push::PushKey, Timestamp)>>,
    parcels: Parcels,
}

fn connect(setup: ConnectorSetup) -> Result<Arc<dyn Connector>, ChannelError> {
    Ok(Arc::new(Ebay::new(&setup)?))
}

impl Ebay {
    fn new(setup: &ConnectorSetup) -> Result<Self, ChannelError> {
        Ok(Self {
            client: Client::new(setup)?,
            is_elsewhere: setup.base_url.is_some(),
            go_live: setup.settings.go_live,
            push_keys: Mutex::default(),
            parcels: Parcels::default(),
        })
    }
}

impl Connector for Ebay {
    fn order_source(&self) -> Option<&dyn OrderSource> {
        Some(self)
    }

    fn fulfilment(&self) -> Option<&dyn Fulfilment> {
        Some(self)
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(self)
    }

    fn cancellation(&self) -> Option<&dyn sale::Cancellation> {
        Some(self)
    }

    fn refunds(&self) -> Option<&dyn sale::Refunds> {
        Some(self)
    }

    fn webhooks(&self) -> Option<&dyn webhooks::Webhooks> {
        Some(self)
    }

    fn probe(&self) -> &dyn Probe {
        self
    }

    fn quota(&self) -> Vec<QuotaLine> {
        self.client.pacer.lines()
    }
}

#[async_trait]
impl OrderSource for Ebay {
    async fn changed_orders(&self, cursor: &Cursor, start: PollStart) -> Result<OrderPage, ChannelError> {
        // The window ends by eBay's clock, of which the sign-in tells.
        self.client.sign_in().await?;
        let walk = Walk::next(cursor, start, self.client.platform_now());
        let is_bulk = walk.is_first_import() || start.is_bulk;
        let priority = if is_bulk { Priority::Bulk } else { Priority::Interactive };
        let body = self.client.send(&listing(walk.query(), priority)).await?.body;
        let page: wire::Orders<'_> = parse("getOrders", &body)?;
        let step = walk.step(cursor, total(&page)).map_err(broken)?;
        let mut orders = match step.is_taken {
            true => self.complete_all(&page.orders, is_bulk, priority).await?,
            false => Vec::new(),
        };
        orders.sort_by_key(|order| order.facts.as_ref().ok().map(|facts| facts.updated_at));
        let has_more = step.cursor.window.is_some();
        let remaining = u64::try_from(step.remaining).ok().filter(|_| has_more && step.remaining > 0);
        Ok(OrderPage { orders, cursor: step.cursor, has_more, remaining })
    }

    async fn order(&self, external_id: &str) -> Result<Option<Received>, ChannelError> {
        match self.client.send(&self.one_order(external_id)).await {
            Ok(got) => {
                let order: &RawValue = parse("getOrder", &got.body)?;
                self.complete_now(order).await.map(Some)
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
        let place =
            page.map(|text| PlacedPlace::read(text).ok_or_else(|| begun_anew("it is no place of ours")));
        let place = place.transpose()?;
        let priority = if window.is_bulk { Priority::Bulk } else { Priority::Interactive };
        let query = walk::placed_query(window, place.map_or(0, |place| place.offset));
        let body = self.client.send(&listing(query, priority)).await?.body;
        let answer: wire::Orders<'_> = parse("getOrders", &body)?;
        let total = total(&answer);
        let next = match place {
            Some(place) if total > place.total => {
                return Err(begun_anew("more orders have been paid meanwhile"));
            }
            Some(place) => place.before(),
            // The first page of many is read again at the end: what comes from behind it must not be missed.
            None if total > PAGE_ORDERS => {
                let next = Some(PlacedPlace::last(total).to_string());
                return Ok(PlacedPage { external_ids: Vec::new(), next });
            }
            None => None,
        };
        let mut external_ids = Vec::with_capacity(answer.orders.len());
        for order in &answer.orders {
            let head: wire::OrderHead = parse("getOrders", order.get().as_bytes())?;
            let placed_at = map::instant("creationDate", head.creation_date.as_deref()).ok().flatten();
            // One that does not say when is in the window that eBay was asked for.
            if placed_at.is_none_or(|at| window.contains(at)) {
                external_ids.extend(head.order_id);
            }
        }
        Ok(PlacedPage { external_ids, next: next.map(|place| place.to_string()) })
    }

    fn read(&self, payload: &str) -> Result<OrderFacts, Unreadable> {
        map::order(payload)
    }

    fn person_paths(&self) -> &'static [&'static str] {
        PERSON_PATHS
    }

    fn poll_interval_min(&self) -> Duration {
        if self.is_elsewhere { POLL_INTERVAL_MIN_ELSEWHERE } else { POLL_INTERVAL_MIN }
    }
}

fn listing(query: Vec<(&'static str, String)>, priority: Priority) -> Outgoing<'static> {
    Outgoing { query, ..Outgoing::read("getOrders", ORDERS_PATH, priority) }
}

fn total(page: &wire::Orders<'_>) -> i64 {
    page.total.unwrap_or_else(|| i64::try_from(page.orders.len()).unwrap_or(i64::MAX))
}

fn begun_anew(why: &str) -> ChannelError {
    ChannelError::Reject {
        kind: RejectKind::Other,
        message: format!("the list of orders cannot be paged on, since {why}: it is begun anew"),
    }
}

fn parse<'a, T: Deserialize<'a>>(operation: &str, body: &'a [u8]) -> Result<T, ChannelError> {
    serde_json::from_slice(body).map_err(|error| ChannelError::unreadable("eBay", operation, false, &error))
}

fn broken(error: serde_json::Error) -> ChannelError {
    ChannelError::Fatal { message: format!("could not write JSON: {error}") }
}

impl Ebay {
    fn one_order(&self, external_id: &str) -> Outgoing<'static> {
        let path = format!("{ORDERS_PATH}/{}", segment(external_id));
        let query = vec![("fieldGroups", "TAX_BREAKDOWN".to_owned())];
        Outgoing { query, ..Outgoing::read("getOrder", path, Priority::Interactive) }
    }

    /// A page's orders as we keep them. Where parcels cannot be read, the page fails once all were asked for: several such
    /// orders are counted together, and keep the others no longer than one.
    async fn complete_all(
        &self,
        page: &[&RawValue],
        is_bulk: bool,
        priority: Priority,
    ) -> Result<Vec<Received>, ChannelError> {
        let mut orders = Vec::with_capacity(page.len());
        let mut unreadable = None;
        for some in page.chunks(ORDERS_AT_ONCE) {
            let complete = some.iter().map(|order| async move {
                match self.complete_listed(order, is_bulk, priority).await {
                    Err(error @ ChannelError::Corrupt { .. }) => Ok(Err(error)),
                    completed => completed.map(Ok),
                }
            });
            for completed in try_join_all(complete).await? {
                match completed {
                    Ok(order) => orders.push(order),
                    Err(error) => unreadable = Some(error),
                }
            }
        }
        unreadable.map_or(Ok(orders), Err)
    }

    /// An order of a list as we keep it. A list says that a cancellation was asked for, and not by whom: the order alone
    /// does. Where it cannot be read alone, or is older there, the list's word stands.
    async fn complete_listed(
        &self,
        order: &RawValue,
        is_bulk: bool,
        priority: Priority,
    ) -> Result<Received, ChannelError> {
        let listed: wire::ListedOrder = serde_json::from_str(order.get()).unwrap_or_default();
        let goes_without = is_bulk && self.is_history(listed.creation_date.as_deref());
        let asked = listed.order_id.as_deref().filter(|_| listed.hides_who_asked() && !goes_without);
        let Some(id) = asked else { return self.complete(order, is_bulk, priority).await };
        let alone = match self.order_alone(id, priority).await {
            Ok(alone) => Some(alone),
            Err(
                error @ (ChannelError::Retry { throttled: true, .. }
                | ChannelError::Reauth { .. }
                | ChannelError::Fatal { .. }),
            ) => return Err(error),
            Err(error) => {
                tracing::warn!(order.id = id, "it is not known who asked to cancel an order: {error}");
                None
            }
        };
        let is_news = |alone: &&RawValue| {
            let alone: wire::ListedOrder = serde_json::from_str(alone.get()).unwrap_or_default();
            let at = |one: &wire::ListedOrder| {
                map::instant("lastModifiedDate", one.last_modified_date.as_deref()).ok().flatten()
            };
            alone.order_id == listed.order_id && at(&alone) >= at(&listed)
        };
        let alone = alone.as_deref().filter(is_news);
        self.complete(alone.unwrap_or(order), is_bulk, priority).await
    }

    /// One order as eBay wrote it.
    async fn order_alone(&self, order_id: &str, priority: Priority) -> Result<Box<RawValue>, ChannelError> {
        let outgoing = Outgoing { priority, ..self.one_order(order_id) };
        asked_again(|| self.client.fetch(&outgoing)).await
    }

    /// Whether an order that was created then was created before the connection's go-live.
    fn is_history(&self, creation_date: Option<&str>) -> bool {
        let created_at: Option<Timestamp> = creation_date.and_then(|text| text.parse().ok());
        self.go_live.is_none_or(|go_live| created_at.is_none_or(|at| at < go_live))
    }
}

fn received(payload: String) -> Received {
    let facts = map::order(&payload);
    let external_id = match &facts {
        Ok(facts) => Some(facts.external_id.clone()),
        Err(_) => map::order_id(&payload),
    };
    Received { external_id, payload, facts }
}

#[async_trait]
impl Fulfilment for Ebay {
    async fn confirm_shipment(
        &self,
        order: &FulfilmentOrder,
        shipment: &ShipmentDraft,
    ) -> Result<(), ChannelError> {
        let body = map::fulfillment(shipment)?;
        let path = format!("{ORDERS_PATH}/{}/shipping_fulfillment", segment(&order.external_id));
        let answer =
            self.client.send(&Outgoing::write("createShippingFulfillment", path, &body)?).await?.body;
        // eBay answers 201 with nothing, or an empty object. Words that are not its own came from something on the way.
        if answer.is_empty() || serde_json::from_slice::<serde::de::IgnoredAny>(&answer).is_ok() {
            return Ok(());
        }
        Err(ChannelError::Corrupt {
            in_doubt: true,
            message: "createShippingFulfillment: the answer is not eBay's; eBay's parcels are looked at"
                .to_owned(),
        })
    }

    async fn told_parcels(
        &self,
        order: &FulfilmentOrder,
    ) -> Result<Option<Vec<ShipmentFacts>>, ChannelError> {
        let list = self.parcels_now(&order.external_id, Priority::Interactive).await?;
        let told: Vec<wire::Fulfillment> = parse("getShippingFulfillments", list.array.as_bytes())?;
        let parcels = map::shipments(&told);
        parcels
            .map(Some)
            .map_err(|error| ChannelError::Corrupt { in_doubt: false, message: error.to_string() })
    }

    fn carrier_code(&self, shop_carrier: &str) -> Option<String> {
        let word = shop_carrier.trim();
        (!word.is_empty()).then(|| map::known_carrier(word).unwrap_or("Other").to_owned())
    }
}

#[async_trait]
impl Catalogue for Ebay {
    async fn listings(&self, page: Option<&str>) -> Result<ListingPage, ChannelError> {
        // Here the offset counts pages.
        let number: i64 = page.and_then(|page| page.parse().ok()).unwrap_or(0);
        let query = vec![("limit", PAGE_ITEMS.to_string()), ("offset", number.to_string())];
        let outgoing = Outgoing { query, ..Outgoing::read("getInventoryItems", ITEMS_PATH, Priority::Bulk) };
        let found: wire::InventoryItems = self.client.fetch(&outgoing).await?;
        let mut listings = Vec::new();
        for item in &found.inventory_items {
            let Some(sku) = &item.sku else { continue };
            let offers = self.offers(sku).await?;
            listings.extend(map::listing(item, &offers, &self.client.config.marketplace_id));
        }
        let seen = number.saturating_add(1).saturating_mul(PAGE_ITEMS);
        let has_more = !found.inventory_items.is_empty() && found.total.is_some_and(|total| total > seen);
        Ok(ListingPage { listings, next: has_more.then(|| number.saturating_add(1).to_string()) })
    }
}

impl Ebay {
    /// The offers of a SKU; none where it is stocked and not offered.
    async fn offers(&self, sku: &str) -> Result<Vec<wire::Offer>, ChannelError> {
        let query = vec![("sku", sku.to_owned())];
        let outgoing = Outgoing { query, ..Outgoing::read("getOffers", OFFERS_PATH, Priority::Bulk) };
        match self.client.fetch::<wire::Offers>(&outgoing).await {
            Ok(found) => Ok(found.offers),
            Err(ChannelError::Reject { kind: RejectKind::NotFound, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Probe for Ebay {
    async fn probe(&self) -> ProbeReport {
        let account = self.client.config.account.clone();
        let mut lines = Vec::new();
        if let Err(error) = self.client.sign_in().await {
            lines.push(line("Sign in", false, &error.to_string()));
            return ProbeReport { account, lines, raw: String::new() };
        }
        lines.push(line("Sign in", true, "eBay gave an access token."));
        let now = self.client.platform_now();
        let filter = format!("lastmodifieddate:[{}..]", map::instant_text(shifted(now, -PROBE_REACH)));
        let query = vec![
            ("filter", filter),
            ("fieldGroups", "TAX_BREAKDOWN".to_owned()),
            ("limit", "1".to_owned()),
            ("offset", "0".to_owned()),
        ];
        let found = self.try_read("getOrders", ORDERS_PATH, query).await;
        let raw = found.as_ref().map_or_else(
            |_| String::new(),
            |body| String::from_utf8_lossy(body).chars().take(PROBE_RAW_CHARS_MAX).collect(),
        );
        lines.push(order_line(found));
        let query = vec![("limit", "1".to_owned()), ("offset", "0".to_owned())];
        lines.push(listing_line(self.try_read("getInventoryItems", ITEMS_PATH, query).await));
        lines.push(signing_line(&self.client.config));
        ProbeReport { account, lines, raw }
    }
}

impl Ebay {
    /// A read that a person waits for: it fails rather than waits for its turn.
    async fn try_read(
        &self,
        operation: &'static str,
        path: &str,
        query: Vec<(&'static str, String)>,
    ) -> Result<bytes::Bytes, ChannelError> {
        let limits = Limits { timeout: Duration::from_secs(3), wait_max: Duration::ZERO };
        let outgoing = Outgoing { query, limits, ..Outgoing::read(operation, path, Priority::Interactive) };
        self.client.send(&outgoing).await.map(|got| got.body)
    }
}

fn line(check: &str, is_ok: bool, detail: &str) -> ProbeLine {
    ProbeLine { check: check.to_owned(), is_ok, detail: detail.to_owned() }
}

/// Whether orders come, and with their buyers.
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
    let page: wire::Orders<'_> = match parse("getOrders", &body) {
        Ok(page) => page,
        Err(error) => return line("Orders", false, &error.to_string()),
    };
    let Some(order) = page.orders.first() else {
        return line("Orders", true, "Readable; there is none of the last 30 days.");
    };
    match received(format!("{{\"order\":{}}}", order.get())).facts {
        Err(error) => line("Orders", false, &format!("The newest order cannot be read: {error}.")),
        Ok(facts) => {
            let has_address = facts.people.is_some_and(|people| people.ship_to.is_some());
            let must_have_address =
                facts.fulfilled_by == FulfilledBy::Seller && facts.status == OrderStatus::Open;
            let text = match (has_address, must_have_address) {
                (true, _) => "Readable, with buyer and address.",
                (false, true) => {
                    "Readable, but an open order has no address: look at it on eBay, it may be for pickup."
                }
                (false, false) => "Readable.",
            };
            line("Orders", true, text)
        }
    }
}

/// Whether listings come, and which do not.
fn listing_line(found: Result<bytes::Bytes, ChannelError>) -> ProbeLine {
    let read = found.and_then(|body| parse::<wire::InventoryItems>("getInventoryItems", &body));
    match read {
        Ok(items) if items.total.unwrap_or(0) == 0 => line(
            "Listings",
            true,
            "None in the Inventory API. Listings made in Seller Hub are not there until you migrate them; their orders \
             come all the same and are matched by SKU.",
        ),
        Ok(items) => line(
            "Listings",
            true,
            &format!(
                "{} in the Inventory API; those made in Seller Hub and not migrated are not among them.",
                items.total.unwrap_or(0)
            ),
        ),
        Err(error) => line("Listings", false, &error.to_string()),
    }
}

fn signing_line(config: &config::Config) -> ProbeLine {
    let detail = match &config.signing_key {
        Some(_) => "A signing key is there: refunds and cancellations are signed.",
        None => {
            "None, which is right outside the EU and the UK. Sellers there need a signing key for refunds and \
             cancellations."
        }
    };
    line("Signing key", true, detail)
}

#[cfg(test)]
mod tests;

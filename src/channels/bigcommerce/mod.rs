//! BigCommerce: the shop that orders are created in, and a source of orders of its own.
//!
//! What BigCommerce is like:
//! - No call can be repeated under a key: whoever creates an order must look before doing it again.
//! - An empty list is 204 without a body. Lists of V2 are bare arrays without a count.
//! - An order's lines, addresses and parcels are calls of their own; the list gives links to them.
//! - One quota counts every call of the store, other apps' included; its state comes in headers.
//! - Adding a shipment mails the customer, each time.
//! - Creating an order checks that stock is there for lines that name a variant; the refusal has no code.
//! - `external_id` is read-only: the marketplace's id goes into `external_order_id`, and is found by it.
//!
//! Where this differs from the published specification, and why, is listed in `tests/it/specs/deviations.rs`.

pub mod app;
mod client;
mod config;
mod map;
mod walk;
mod webhooks;
mod wire;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{join, try_join_all, try_join3};
use http::Method;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::value::RawValue;

use super::error::{ChannelError, RejectKind, Unreadable};
use super::pace::{Priority, QuotaLine};
use super::registry::ChannelInfo;
use super::request::segment;
use super::told::{Told, asked_again};
use super::{
    Connector, ConnectorSetup, Cursor, OrderPage, OrderSource, PlacedPage, PlacedWindow, PollStart, Probe,
    ProbeLine, ProbeReport, RaisedStock, Received, ShopOrderLine, ShopOrderSummary, ShopOrders, ShopPage,
    ShopProfile,
};
use crate::clock::SharedClock;
use crate::domain::connection::CredentialLife;
use crate::domain::draft::ShopOrderDraft;
use crate::domain::listing::ShopVariant;
use crate::domain::money::Currency;
use crate::domain::order::OrderFacts;
use crate::domain::refund::ShopRefund;
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts};
use client::{Client, Outgoing, corrupt, parse};

/// The channel.
pub const INFO: ChannelInfo = ChannelInfo {
    name: "bigcommerce",
    title: "BigCommerce",
    is_shop: true,
    credentials: config::CREDENTIALS,
    steps: config::STEPS,
    account: config::account,
    identity: None,
    credentials_file: Some(config::parse_credentials_file),
    consent: None,
    // A store-level API account does not end.
    life: CredentialLife { secret_days: None, authorisation_days: None, tokens_rotate: false },
    sends_after_sale: None,
    swept_days: None,
    connect,
};

/// Lines, addresses or parcels on a page: the most that BigCommerce gives.
const PAGE_PARTS_MAX: usize = 250;

/// What BigCommerce gives where it does not heed the limit that was asked for. A page of this length may be a
/// full one.
const PAGE_PARTS_DEFAULT: usize = 50;

/// Pages of an order's parts: an order with more is not read further.
const PART_PAGES_MAX: usize = 20;

/// Orders read in full at the same time, each by up to three calls.
const DETAILS_AT_ONCE: usize = 10;

/// An order's lines and addresses may lag so long behind the list. Half of what the polls overlap: one of them lists the
/// order after it.
const DETAILS_LAG: SignedDuration = SignedDuration::from_secs(walk::OVERLAP.as_secs() / 2);

/// SKUs asked for in one call.
const SKUS_AT_ONCE: usize = 50;

/// Characters of SKUs in one call, encoded, so that the address stays below what servers take.
const SKU_CHARS_MAX: usize = 1_500;

/// Variants on a page: the most that BigCommerce gives.
const PAGE_VARIANTS: &str = "250";

/// Shortest time between two polls: a fifth of the smallest plan's quota (150 calls in 30 s) at most.
const POLL_INTERVAL_MIN: Duration = Duration::from_secs(2);

/// How long one check of a connection's test may take; all run at the same time.
const PROBE_TIMEOUT: Duration = Duration::from_secs(7);

/// Characters of a raw answer that a test shows.
const PROBE_RAW_CHARS_MAX: usize = 4_000;

/// Where people lie in a composed payload.
const PERSON_PATHS: &[&str] = &[
    "order.billing_address",
    "order.customer_message",
    "order.staff_notes",
    "order.ip_address",
    "order.ip_address_v6",
    "products[].product_options",
    "products[].configurable_fields",
    "products[].wrapping_message",
    "shipping_addresses",
    "shipments[].billing_address",
    "shipments[].shipping_address",
    "shipments[].comments",
];

/// A connection to BigCommerce.
#[derive(Debug)]
pub struct BigCommerce {
    client: Client,
    clock: SharedClock,
    /// The shop's own orders in full, as they were told last.
    told: Told,
}

impl BigCommerce {
    fn new(setup: &ConnectorSetup) -> Result<Self, ChannelError> {
        Ok(Self { client: Client::new(setup)?, clock: setup.clock.clone(), told: Told::new(DETAILS_LAG) })
    }
}

fn connect(setup: ConnectorSetup) -> Result<Arc<dyn Connector>, ChannelError> {
    Ok(Arc::new(BigCommerce::new(&setup)?))
}

impl Connector for BigCommerce {
    fn order_source(&self) -> Option<&dyn OrderSource> {
        Some(self)
    }

    fn shop_orders(&self) -> Option<&dyn ShopOrders> {
        Some(self)
    }

    fn webhooks(&self) -> Option<&dyn super::webhooks::Webhooks> {
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
impl OrderSource for BigCommerce {
    async fn changed_orders(&self, cursor: &Cursor, start: PollStart) -> Result<OrderPage, ChannelError> {
        let page = self.changed_shop_orders(cursor, start).await?;
        Ok(OrderPage { orders: page.own, cursor: page.cursor, has_more: page.has_more, remaining: None })
    }

    async fn order(&self, external_id: &str) -> Result<Option<Received>, ChannelError> {
        let outgoing = self.get("getOrder", order_path(external_id, ""), Vec::new(), Priority::Interactive);
        let Some(body) = self.found(&outgoing).await? else { return Ok(None) };
        let Some(order) = parse::<&RawValue>(&outgoing, &body)? else { return Ok(None) };
        self.told.forget(external_id);
        self.compose(order.get(), Priority::Interactive).await.map(Some)
    }

    async fn placed_orders(
        &self,
        window: PlacedWindow,
        page: Option<&str>,
    ) -> Result<PlacedPage, ChannelError> {
        let min_id = page.map_or(Ok(0), str::parse).map_err(|_| ChannelError::Reject {
            kind: RejectKind::Other,
            message: "this page of the shop's orders is none that it gave".to_owned(),
        })?;
        let query = walk::placed_query(window, min_id);
        let priority = if window.is_bulk { Priority::Bulk } else { Priority::Interactive };
        let outgoing = self.get("getOrders", "/v2/orders".to_owned(), query, priority);
        let body = self.client.send(&outgoing).await?;
        let listed = read_orders(&outgoing, &body)?;
        let is_meant = |listed: &&Listed<'_>| {
            map::is_own(&listed.order) && map::created(&listed.order).is_none_or(|at| window.contains(at))
        };
        let external_ids =
            listed.iter().filter(is_meant).filter_map(|listed| listed.order.id).map(|id| id.to_string());
        let ids: Vec<i64> = listed.iter().filter_map(|listed| listed.order.id).collect();
        let next = walk::placed_next(min_id, &ids).map(|id| id.to_string());
        Ok(PlacedPage { external_ids: external_ids.collect(), next })
    }

    fn read(&self, payload: &str) -> Result<OrderFacts, Unreadable> {
        map::order(payload)
    }

    fn person_paths(&self) -> &'static [&'static str] {
        PERSON_PATHS
    }

    fn poll_interval_min(&self) -> Duration {
        POLL_INTERVAL_MIN
    }
}

#[async_trait]
impl ShopOrders for BigCommerce {
    async fn changed_shop_orders(&self, cursor: &Cursor, start: PollStart) -> Result<ShopPage, ChannelError> {
        let walk = walk::Walk::next(cursor, start);
        let priority = if start.is_bulk { Priority::Bulk } else { Priority::Interactive };
        let outgoing = self.get("getOrders", "/v2/orders".to_owned(), walk.query(), priority);
        let body = self.client.send(&outgoing).await?;
        let listed = read_orders(&outgoing, &body)?;
        let known: Vec<_> = listed.iter().map(|listed| self.known(listed, start.is_bulk)).collect();
        let is_asked_for =
            |(listed, known): (&Listed<'_>, &Option<String>)| map::is_own(&listed.order) && known.is_none();
        let taken = walk::taken(listed.iter().zip(&known).map(is_asked_for));
        let step = walk.step(cursor, &listed.iter().map(|listed| &listed.order).collect::<Vec<_>>(), taken);
        let taken = listed.get(..taken).unwrap_or_default();
        let summaries: Vec<ShopOrderSummary> = taken.iter().filter_map(mirrored).collect();
        let own: Vec<_> = taken.iter().zip(known).filter(|(listed, _)| map::is_own(&listed.order)).collect();
        let mut own = own.into_iter().peekable();
        let mut received = Vec::new();
        while own.peek().is_some() {
            let some = own.by_ref().take(DETAILS_AT_ONCE);
            received.extend(try_join_all(some.map(|(listed, known)| self.in_full(listed, known))).await?);
        }
        Ok(ShopPage { summaries, own: received, cursor: step.cursor, has_more: step.has_more })
    }

    async fn find(&self, external_order_id: &str) -> Result<Vec<ShopOrderSummary>, ChannelError> {
        let query = vec![("external_order_id", external_order_id.to_owned()), ("limit", "250".to_owned())];
        let outgoing = self.get("getOrders", "/v2/orders".to_owned(), query, Priority::Interactive);
        let body = self.client.send(&outgoing).await?;
        let listed = read_orders(&outgoing, &body)?;
        // A server that does not know the filter answers with every order.
        let is_meant =
            |listed: &&Listed<'_>| listed.order.external_order_id.as_deref() == Some(external_order_id);
        listed
            .iter()
            .filter(is_meant)
            .map(|listed| map::summary(&listed.order).map_err(|error| corrupt(&outgoing, &error.to_string())))
            .collect()
    }

    async fn create(&self, draft: &ShopOrderDraft) -> Result<ShopOrderSummary, ChannelError> {
        let body = json(&map::new_order(draft)?)?;
        let outgoing = Outgoing::write("createOrder", Method::POST, "/v2/orders".to_owned(), body);
        self.summary(&outgoing).await
    }

    async fn lines(&self, shop_order_id: &str) -> Result<Vec<ShopOrderLine>, ChannelError> {
        let parts = self.parts("getOrderProducts", shop_order_id, "products", Priority::Interactive).await?;
        let products: Vec<wire::OrderProduct> = parts.read()?;
        Ok(products.iter().filter_map(map::order_line).collect())
    }

    async fn shipments(&self, shop_order_id: &str) -> Result<Vec<ShipmentFacts>, ChannelError> {
        let parts =
            self.parts("getOrderShipments", shop_order_id, "shipments", Priority::Interactive).await?;
        let shipments: Vec<wire::Shipment> = parts.read()?;
        map::shipments(&shipments).map_err(|error| parts.corrupt(&error))
    }

    async fn refunds(
        &self,
        shop_order_id: &str,
        currency: Currency,
    ) -> Result<Vec<ShopRefund>, ChannelError> {
        let path = format!("/v3/orders/{}/payment_actions/refunds", segment(shop_order_id));
        let outgoing = self.get("getOrderRefunds", path, Vec::new(), Priority::Interactive);
        let body = self.client.send(&outgoing).await?;
        let listed = parse::<wire::PageV3<wire::Refund>>(&outgoing, &body)?.map(|page| page.data);
        map::refunds(&listed.unwrap_or_default(), currency)
            .map_err(|error| corrupt(&outgoing, &error.to_string()))
    }

    async fn add_shipment(
        &self,
        shop_order_id: &str,
        order_address_id: &str,
        shipment: &ShipmentDraft,
    ) -> Result<String, ChannelError> {
        let body = json(&map::new_shipment(order_address_id, shipment)?)?;
        let path = order_path(shop_order_id, "/shipments");
        let outgoing = Outgoing::write("createOrderShipments", Method::POST, path, body);
        let body = self.client.send(&outgoing).await?;
        let created: Option<wire::Shipment> = parse(&outgoing, &body)?;
        created
            .and_then(|shipment| shipment.id)
            .map(|id| id.to_string())
            .ok_or_else(|| corrupt(&outgoing, "the new shipment's id is missing"))
    }

    async fn raise_stock(&self, needed: &[(ShopVariant, i64)]) -> Result<Vec<RaisedStock>, ChannelError> {
        let ids = needed.iter().map(|(variant, _)| variant.variant_id.as_str()).collect::<Vec<_>>().join(",");
        let query = vec![("variant_id:in", ids), ("limit", PAGE_VARIANTS.to_owned())];
        let path = "/v3/inventory/items".to_owned();
        let outgoing = self.get("get-inventory-items", path, query, Priority::Interactive);
        let body = self.client.send(&outgoing).await?;
        let held = parse::<wire::PageV3<wire::InventoryItem>>(&outgoing, &body)?.map(|page| page.data);
        let mut raised = Vec::new();
        for item in held.unwrap_or_default() {
            let is_item = |(variant, _): &&(ShopVariant, i64)| {
                item.identity.variant_id.is_some_and(|id| variant.variant_id == id.to_string())
            };
            let Some((variant, quantity)) = needed.iter().find(is_item) else { continue };
            let Some((location_id, on_hand, from)) = map::sellable(&item) else { continue };
            if from >= *quantity {
                continue;
            }
            self.set_stock(&item.identity, location_id, on_hand + (quantity - from)).await?;
            raised.push(RaisedStock { sku: variant.sku.clone(), from, to: *quantity });
        }
        Ok(raised)
    }

    async fn set_status(
        &self,
        shop_order_id: &str,
        status_id: u16,
    ) -> Result<ShopOrderSummary, ChannelError> {
        let body = json(&wire::NewStatus { status_id })?;
        self.summary(&Outgoing::write("updateOrder", Method::PUT, order_path(shop_order_id, ""), body)).await
    }

    async fn variants_by_sku(&self, skus: &[String]) -> Result<Vec<ShopVariant>, ChannelError> {
        let mut found = BTreeSet::new();
        for (name, value) in sku_filters(skus) {
            found.extend(self.variants(name, &value).await?);
        }
        let wanted: HashSet<String> = skus.iter().map(|sku| sku.to_lowercase()).collect();
        let variants = found.into_iter().map(|(sku, product_id, variant_id)| ShopVariant {
            product_id,
            variant_id,
            sku,
        });
        Ok(variants.filter(|variant| wanted.contains(&variant.sku.to_lowercase())).collect())
    }

    async fn profile(&self) -> Result<ShopProfile, ChannelError> {
        let outgoing =
            self.get("getStoreInformation", "/v2/store".to_owned(), Vec::new(), Priority::Interactive);
        let body = self.client.send(&outgoing).await?;
        parse::<wire::Store>(&outgoing, &body)?
            .and_then(map::profile)
            .ok_or_else(|| corrupt(&outgoing, "the store's currency is missing"))
    }

    fn is_shipped_status(&self, status_id: u16) -> bool {
        [map::SHIPPED, map::PARTIALLY_SHIPPED, map::COMPLETED].contains(&status_id)
    }

    fn shipped_status_id(&self) -> u16 {
        map::SHIPPED
    }
}

#[async_trait]
impl Probe for BigCommerce {
    async fn probe(&self) -> ProbeReport {
        let one = || vec![("limit", "1".to_owned())];
        let (store, (time, (orders, variants))) = join(
            self.check("getStoreInformation", "/v2/store", Vec::new()),
            join(
                self.check("getSystemTimestamp", "/v2/time", Vec::new()),
                join(
                    self.check("getOrders", "/v2/orders", one()),
                    self.check("getVariants", "/v3/catalog/variants", one()),
                ),
            ),
        )
        .await;
        let raw = store.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
        let raw = raw.unwrap_or_default().chars().take(PROBE_RAW_CHARS_MAX).collect();
        let lines = vec![
            store_line(&store),
            line("Connection", &time, "The store answers."),
            line("Orders", &orders, "Readable. Creating them is tried with the first order."),
            line("Products", &variants, "Readable, so that SKUs can be matched."),
        ];
        ProbeReport { account: Some(self.client.config.store_hash.clone()), lines, raw }
    }
}

/// One order of a list: as received, and read.
struct Listed<'a> {
    raw: &'a str,
    order: wire::Order,
}

/// An order in full, as one payload.
fn received(external_id: Option<String>, payload: String) -> Received {
    let facts = map::order(&payload);
    Received { external_id, payload, facts }
}

/// A list's order for the mirror. One that cannot be read is none that we created, since we read those back: it
/// must not stop the list, and arrives as an order that cannot be read.
fn mirrored(listed: &Listed<'_>) -> Option<ShopOrderSummary> {
    map::summary(&listed.order)
        .inspect_err(|error| tracing::warn!("an order of the shop cannot be mirrored: {error}"))
        .ok()
}

/// A list of orders.
fn read_orders<'a>(outgoing: &Outgoing<'_>, body: &'a Bytes) -> Result<Vec<Listed<'a>>, ChannelError> {
    let raws: Vec<&'a RawValue> = parse(outgoing, body)?.unwrap_or_default();
    let read = |raw: &'a RawValue| {
        let order = serde_json::from_str(raw.get())
            .map_err(|error| ChannelError::unreadable(client::NAME, outgoing.operation, false, &error))?;
        Ok(Listed { raw: raw.get(), order })
    };
    raws.into_iter().map(read).collect()
}

/// An order's lines, addresses or parcels: each as received, in one array.
struct PartList {
    operation: &'static str,
    array: String,
}

impl PartList {
    fn read<T: for<'de> serde::Deserialize<'de>>(&self) -> Result<Vec<T>, ChannelError> {
        serde_json::from_str(&self.array)
            .map_err(|error| ChannelError::unreadable(client::NAME, self.operation, false, &error))
    }

    fn corrupt(&self, error: &dyn std::fmt::Display) -> ChannelError {
        ChannelError::Corrupt {
            in_doubt: false,
            message: format!("BigCommerce's answer to {} cannot be read: {error}", self.operation),
        }
    }
}

impl BigCommerce {
    fn get(
        &self,
        operation: &'static str,
        path: String,
        query: Vec<(&'static str, String)>,
        priority: Priority,
    ) -> Outgoing<'static> {
        Outgoing::get(operation, path, query, priority)
    }

    /// The answer's body; none where the platform does not have it.
    async fn found(&self, outgoing: &Outgoing<'_>) -> Result<Option<Bytes>, ChannelError> {
        match self.client.send(outgoing).await {
            Err(ChannelError::Reject { kind: RejectKind::NotFound, .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Sends a write that answers with the order.
    async fn summary(&self, outgoing: &Outgoing<'_>) -> Result<ShopOrderSummary, ChannelError> {
        let body = self.client.send(outgoing).await?;
        let order: wire::Order =
            parse(outgoing, &body)?.ok_or_else(|| corrupt(outgoing, "the order is missing"))?;
        map::summary(&order).map_err(|error| corrupt(outgoing, &error.to_string()))
    }

    /// A listed order in full, as it is known. Polls list it again and again, and only what may be news is asked for again;
    /// whoever reads many orders anew wants what the shop says now.
    fn known(&self, listed: &Listed<'_>, is_bulk: bool) -> Option<String> {
        let id = listed.order.id.filter(|_| !is_bulk)?;
        self.told.known(&id.to_string(), listed.raw, self.clock.now())
    }

    /// A listed order in full: as it is known, else asked for.
    async fn in_full(&self, listed: &Listed<'_>, known: Option<String>) -> Result<Received, ChannelError> {
        if let Some(payload) = known {
            return Ok(received(listed.order.id.map(|id| id.to_string()), payload));
        }
        let now = self.clock.now();
        let received = asked_again(|| self.compose(listed.raw, Priority::Bulk)).await?;
        if let Some(id) = &received.external_id {
            self.told.remember(id, listed.raw, now, &received.payload);
        }
        Ok(received)
    }

    /// The shop's order with its lines, addresses and parcels, as one payload.
    async fn compose(&self, order: &str, priority: Priority) -> Result<Received, ChannelError> {
        let read: wire::Order = serde_json::from_str(order).unwrap_or_default();
        let external_id = read.id.map(|id| id.to_string());
        let part = async |operation: &'static str, part: &'static str, is_empty: bool| {
            let Some(id) = external_id.as_deref().filter(|_| !is_empty) else { return Ok("[]".to_owned()) };
            self.parts(operation, id, part, priority).await.map(|list| list.array)
        };
        let has_no_address = read.shipping_address_count == Some(0);
        let (products, addresses, shipments) = try_join3(
            part("getOrderProducts", "products", false),
            part("getOrderShippingAddresses", "shipping_addresses", has_no_address),
            part("getOrderShipments", "shipments", read.items_shipped == Some(0)),
        )
        .await?;
        let payload = format!(
            "{{\"order\":{order},\"products\":{products},\"shipping_addresses\":{addresses},\"shipments\":{shipments}}}"
        );
        Ok(received(external_id, payload))
    }

    /// All pages of a part of an order, each element as received.
    async fn parts(
        &self,
        operation: &'static str,
        shop_order_id: &str,
        part: &str,
        priority: Priority,
    ) -> Result<PartList, ChannelError> {
        let mut elements: Vec<String> = Vec::new();
        for page in 1..=PART_PAGES_MAX {
            let query = vec![("limit", PAGE_PARTS_MAX.to_string()), ("page", page.to_string())];
            let path = order_path(shop_order_id, &format!("/{part}"));
            let outgoing = self.get(operation, path, query, priority);
            let body = match self.found(&outgoing).await? {
                Some(body) => body,
                // An order without parcels may answer that there is no such list.
                None if part == "shipments" => break,
                None => {
                    return Err(ChannelError::Reject {
                        kind: RejectKind::NotFound,
                        message: format!("the shop has no order {shop_order_id}"),
                    });
                }
            };
            let list: Vec<&RawValue> = parse(&outgoing, &body)?.unwrap_or_default();
            elements.extend(list.iter().map(|element| element.get().to_owned()));
            if list.len() < PAGE_PARTS_DEFAULT {
                break;
            }
        }
        Ok(PartList { operation, array: format!("[{}]", elements.join(",")) })
    }

    /// SKU, product and variant of every variant that the filter finds.
    async fn variants(
        &self,
        filter: &'static str,
        value: &str,
    ) -> Result<Vec<(String, String, String)>, ChannelError> {
        let mut found = Vec::new();
        let mut page = 1;
        loop {
            let query = vec![
                (filter, value.to_owned()),
                ("limit", PAGE_VARIANTS.to_owned()),
                ("page", page.to_string()),
            ];
            let path = "/v3/catalog/variants".to_owned();
            let outgoing = self.get("getVariants", path, query, Priority::Interactive);
            let body = self.client.send(&outgoing).await?;
            let Some(answer) = parse::<wire::PageV3<wire::Variant>>(&outgoing, &body)? else { break };
            let variants = answer.data.into_iter().filter_map(map::variant);
            found.extend(variants.map(|variant| (variant.sku, variant.product_id, variant.variant_id)));
            if answer.meta.pagination.total_pages.unwrap_or(1) <= page {
                break;
            }
            page += 1;
        }
        Ok(found)
    }

    /// Sets an item's stock. Some items are tracked by product, which the inventory only tells by refusing.
    async fn set_stock(
        &self,
        identity: &wire::InventoryIdentity,
        location_id: i64,
        quantity: i64,
    ) -> Result<(), ChannelError> {
        let set = async |variant_id: Option<i64>, product_id: Option<i64>| {
            let item = wire::AdjustedItem { location_id, variant_id, product_id, quantity };
            let body = json(&wire::NewAdjustment { reason: "Sold on a marketplace", items: [item] })?;
            let path = "/v3/inventory/adjustments/absolute".to_owned();
            self.client.send(&Outgoing::write("put-absolute-adjustment", Method::PUT, path, body)).await
        };
        match set(identity.variant_id, None).await {
            Err(ChannelError::Reject { .. }) if identity.product_id.is_some() => {
                set(None, identity.product_id).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    async fn check(
        &self,
        operation: &'static str,
        path: &str,
        query: Vec<(&'static str, String)>,
    ) -> Result<Bytes, ChannelError> {
        let outgoing = self.get(operation, path.to_owned(), query, Priority::Interactive);
        self.client.send(&Outgoing { timeout: PROBE_TIMEOUT, ..outgoing }).await
    }
}

/// The filters that find these SKUs, each short enough for one address. A SKU with a comma would be read as
/// two and is asked for alone.
fn sku_filters(skus: &[String]) -> Vec<(&'static str, String)> {
    let wanted: BTreeSet<&str> = skus.iter().map(|sku| sku.trim()).filter(|sku| !sku.is_empty()).collect();
    let (alone, listed): (Vec<&str>, Vec<&str>) = wanted.into_iter().partition(|sku| sku.contains(','));
    let mut filters: Vec<(&'static str, String)> =
        alone.into_iter().map(|sku| ("sku", sku.to_owned())).collect();
    let (mut batch, mut chars) = (Vec::new(), 0);
    for sku in listed {
        let length = segment(sku).len() + segment(",").len();
        if !batch.is_empty() && (batch.len() == SKUS_AT_ONCE || chars + length > SKU_CHARS_MAX) {
            filters.push(("sku:in", batch.join(",")));
            (batch, chars) = (Vec::new(), 0);
        }
        batch.push(sku);
        chars += length;
    }
    if !batch.is_empty() {
        filters.push(("sku:in", batch.join(",")));
    }
    filters
}

fn order_path(id: &str, below: &str) -> String {
    format!("/v2/orders/{}{below}", segment(id))
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, ChannelError> {
    serde_json::to_vec(body)
        .map_err(|error| ChannelError::Fatal { message: format!("could not write JSON: {error}") })
}

fn store_line(store: &Result<Bytes, ChannelError>) -> ProbeLine {
    let read: wire::Store = match store {
        Ok(body) => serde_json::from_slice(body).unwrap_or_default(),
        Err(error) => {
            return ProbeLine { check: "Store".to_owned(), is_ok: false, detail: error.to_string() };
        }
    };
    let name = read.name.as_deref().unwrap_or("no name");
    match read.currency {
        Some(currency) => {
            let detail = format!("“{name}”, default currency {currency}.");
            ProbeLine { check: "Store".to_owned(), is_ok: true, detail }
        }
        None => ProbeLine {
            check: "Store".to_owned(),
            is_ok: false,
            detail: "The store does not say its currency: set Information & Settings to read-only."
                .to_owned(),
        },
    }
}

fn line(check: &str, answer: &Result<Bytes, ChannelError>, detail: &str) -> ProbeLine {
    match answer {
        Ok(_) => ProbeLine { check: check.to_owned(), is_ok: true, detail: detail.to_owned() },
        Err(error) => ProbeLine { check: check.to_owned(), is_ok: false, detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests;

//! Channels: what a platform can do for us, in small capability traits, and one folder per platform.
//!
//! Their words stay in each platform's `wire.rs`; ours begin in its `map.rs`. A channel never sees the store,
//! never decides, never keeps anything but tokens and pace: it turns one request of ours into calls, and their
//! answers into facts. Whatever fails is a [`ChannelError`] that names the recovery.

pub mod after_sale;
pub mod consent;
pub mod error;
pub mod identity;
pub mod message_queue;
pub mod pace;
pub mod registry;
pub mod shop_app;
pub mod standard_webhooks;
pub mod webhooks;

mod answer;
#[cfg(test)]
mod conformance;
mod loose;
mod request;
#[cfg(test)]
mod script;
mod told;

pub mod amazon;
pub mod bigcommerce;
pub mod ebay;
pub mod etsy;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::clock::{Entropy, SharedClock};
use crate::domain::connection::ConnectionSettings;
use crate::domain::draft::ShopOrderDraft;
use crate::domain::id::ConnectionId;
use crate::domain::listing::{ListingFacts, ShopVariant};
use crate::domain::money::Currency;
use crate::domain::order::{OrderFacts, Origin};
use crate::domain::refund::{AfterSale, ShopRefund};
use crate::domain::shipment::{ShipmentDraft, ShipmentFacts};
use crate::http::Transport;
use crate::secret::Secret;
use error::{ChannelError, Unreadable};

/// What a connector is built from. Building makes no call.
pub struct ConnectorSetup {
    /// The connection, for logs and pace.
    pub connection: ConnectionId,
    /// The merchant's name for it.
    pub alias: String,
    /// Replaces scheme and host of every call, token calls included, where set. Without a trailing slash.
    pub base_url: Option<url::Url>,
    /// Credentials by the names of DESIGN §7. Lists are comma-separated.
    pub credentials: BTreeMap<String, Secret>,
    /// The connection's settings.
    pub settings: ConnectionSettings,
    /// The way out.
    pub transport: Arc<dyn Transport>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: Arc<Entropy>,
    /// Where rotated credentials are made durable before they are used.
    pub credential_sink: Arc<dyn CredentialSink>,
    /// One for all connectors of the connection. Held by whoever renews what its platform replaces, from the look at what is
    /// kept until the new one is kept: of two that renew with the same refresh token, the second is refused.
    pub renewals: Arc<tokio::sync::Mutex<()>>,
}

/// Keeps a rotated credential before it is used for the first time.
pub trait CredentialSink: Send + Sync {
    /// Makes `value` durable as the connection's `name`.
    ///
    /// # Errors
    /// A sentence where it could not be written; the caller must not use the credential then.
    fn keep(&self, connection: ConnectionId, name: &str, value: &Secret) -> Result<(), String>;

    /// What is durable as the connection's `name` now. Another connector of the same connection may have rotated it
    /// meanwhile, such as one that was built for new settings while the old one was still at work. None where nothing
    /// is, or for a connection that is not saved yet.
    fn kept(&self, connection: ConnectionId, name: &str) -> Option<Secret> {
        let _ = (connection, name);
        None
    }
}

/// A connection's way to its platform. Each capability is there or not; nothing answers "not supported".
pub trait Connector: Send + Sync + fmt::Debug {
    /// Reads orders.
    fn order_source(&self) -> Option<&dyn OrderSource> {
        None
    }
    /// Creates orders in a shop.
    fn shop_orders(&self) -> Option<&dyn ShopOrders> {
        None
    }
    /// Takes shipments for orders that came from here.
    fn fulfilment(&self) -> Option<&dyn Fulfilment> {
        None
    }
    /// Reads listings.
    fn catalogue(&self) -> Option<&dyn Catalogue> {
        None
    }
    /// Cancels orders.
    fn cancellation(&self) -> Option<&dyn after_sale::Cancellation> {
        None
    }
    /// Gives money back.
    fn refunds(&self) -> Option<&dyn after_sale::Refunds> {
        None
    }
    /// Fetches what buyers designed.
    fn customisations(&self) -> Option<&dyn Customisations> {
        None
    }
    /// Reads what the platform pushes.
    fn webhooks(&self) -> Option<&dyn webhooks::Webhooks> {
        None
    }
    /// Reads what the platform writes to the merchant's queue, where the merchant has one.
    fn message_queue(&self) -> Option<&dyn message_queue::MessageQueue> {
        None
    }
    /// What is wrong with what was entered, where the rest works without it.
    fn flaw(&self) -> Option<&str> {
        None
    }
    /// Tests the connection.
    fn probe(&self) -> &dyn Probe;
    /// What is left of the platform's quota, for people: one line per operation.
    fn quota(&self) -> Vec<pace::QuotaLine>;
}

/// How far a poll has come: the platform's own timestamps, and its token within a window that spans pages.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// Everything that the platform changed up to here has been seen.
    pub updated_until: Option<Timestamp>,
    /// A window that is being paged through, if one is. It opens with the first page and ends with the last.
    pub window: Option<Window>,
}

/// A window of a poll that takes several pages.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// What comes next: a platform's token or a page number.
    pub next: String,
    /// What `updated_until` becomes once the last page is in.
    pub until: Option<Timestamp>,
    /// When the platform's token dies; then the window is begun anew from `updated_until`.
    pub expires_at: Option<Timestamp>,
}

/// One order as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The platform's id, if it could be found.
    pub external_id: Option<String>,
    /// The JSON as received: of this order alone, byte for byte.
    pub payload: String,
    /// What it says, or why it cannot be read.
    pub facts: Result<OrderFacts, Unreadable>,
}

/// One page of changed orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPage {
    /// Orders, oldest change first.
    pub orders: Vec<Received>,
    /// Where to go on; stored in the same commit as the orders.
    pub cursor: Cursor,
    /// True where another page of the window is waiting now.
    pub has_more: bool,
    /// How many orders the window still holds, where the platform says so.
    pub remaining: Option<u64>,
}

/// From when on a poll without a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollStart {
    /// Orders placed or changed since then; `None` for everything that the platform still gives.
    pub since: Option<Timestamp>,
    /// True for work that nobody waits for: it leaves the quota's reserve to others.
    pub is_bulk: bool,
}

/// The time in which orders were placed, from its first moment up to, but without, its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedWindow {
    /// The first moment.
    pub from: Timestamp,
    /// The end, which no longer counts. It lies at least two minutes back.
    pub until: Timestamp,
    /// True where nobody waits for the list: it leaves the quota's reserve to others.
    pub is_bulk: bool,
}

impl PlacedWindow {
    /// Whether an order of this moment was placed in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

/// One page of the ids of orders that were placed in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPage {
    /// The platform's ids of those that are orders to us, whatever their state.
    pub external_ids: Vec<String>,
    /// What comes next, if anything.
    pub next: Option<String>,
}

/// Reads orders.
#[async_trait]
pub trait OrderSource: Send + Sync {
    /// The next page of orders changed since the cursor, with an overlap that the platform's habits ask for.
    /// What comes back twice is expected.
    ///
    /// # Errors
    /// See [`ChannelError`]; nothing has been taken then and the cursor stays.
    async fn changed_orders(&self, cursor: &Cursor, start: PollStart) -> Result<OrderPage, ChannelError>;

    /// One order, now. `None` where the platform does not know it.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn order(&self, external_id: &str) -> Result<Option<Received>, ChannelError>;

    /// The ids of the orders that were placed in a window, page by page, from the start where `page` is none. It is
    /// what the platform says of that time; nothing is read in full.
    ///
    /// # Errors
    /// See [`ChannelError`]; `Reject` where the platform no longer takes `page`: the caller begins anew.
    async fn placed_orders(
        &self,
        window: PlacedWindow,
        page: Option<&str>,
    ) -> Result<PlacedPage, ChannelError>;

    /// Reads a stored payload again: after an upgrade, or for a replay. Pure.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, payload: &str) -> Result<OrderFacts, Unreadable>;

    /// Where personal data lies in a payload of [`Received`], as [`crate::domain::person::cut`] takes it.
    fn person_paths(&self) -> &'static [&'static str];

    /// Shortest time between two polls that the platform's quota pays for in the long run.
    fn poll_interval_min(&self) -> std::time::Duration;
}

/// Stock of a variant that was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaisedStock {
    /// The variant's SKU.
    pub sku: String,
    /// Units that could be sold before.
    pub from: i64,
    /// Units that can be sold now.
    pub to: i64,
}

/// A shop order as the shop lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopOrderSummary {
    /// The shop's id.
    pub shop_order_id: String,
    /// Who made it.
    pub origin: Origin,
    /// The shop's status id.
    pub status_id: u16,
    /// When it was created in the shop.
    pub created_at: Timestamp,
    /// When it was last changed, by the shop's clock.
    pub updated_at: Timestamp,
    /// What the customer pays with tax, in minor units.
    pub total_minor: i64,
    /// Currency.
    pub currency: String,
    /// Units shipped.
    pub items_shipped: i64,
    /// What went back so far, in minor units.
    pub refunded_minor: i64,
    /// What became of it after the sale, by its status.
    pub after_sale: Option<AfterSale>,
}

/// A page of the shop's changed orders: every one in the mirror's terms, and those that are the shop's own in
/// full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopPage {
    /// Every order that changed.
    pub summaries: Vec<ShopOrderSummary>,
    /// Those that no integration of ours created (FEATURES B12), as orders.
    pub own: Vec<Received>,
    /// Where to go on; stored in the same commit.
    pub cursor: Cursor,
    /// True where another page of the window is waiting now.
    pub has_more: bool,
}

/// The shop's products of a line, after creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopOrderLine {
    /// The shop's id of the line (`order_product_id`).
    pub shop_line_id: String,
    /// The shop's id of its address.
    pub order_address_id: Option<String>,
    /// Its variant; none on a custom line.
    pub variant_id: Option<String>,
    /// SKU.
    pub sku: Option<String>,
    /// Title.
    pub name: String,
    /// Units.
    pub quantity: i64,
    /// Units shipped.
    pub quantity_shipped: i64,
}

/// The shop's currency and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopProfile {
    /// Name.
    pub name: String,
    /// ISO 4217 code of its default currency.
    pub currency: String,
    /// IANA time zone, where given.
    pub time_zone: Option<String>,
    /// The address of an order's page in the control panel, with `{id}` in it.
    pub order_page: Option<String>,
}

/// Creates and follows orders in a shop.
#[async_trait]
pub trait ShopOrders: Send + Sync {
    /// The next page of the shop's changed orders.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn changed_shop_orders(&self, cursor: &Cursor, start: PollStart) -> Result<ShopPage, ChannelError>;

    /// Orders in the shop with this marketplace id, archived ones included where the shop can list them.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn find(&self, external_order_id: &str) -> Result<Vec<ShopOrderSummary>, ChannelError>;

    /// Creates the order. Exactly one call goes out. An error that `is_in_doubt` means that it may exist.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn create(&self, draft: &ShopOrderDraft) -> Result<ShopOrderSummary, ChannelError>;

    /// The order's lines.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn lines(&self, shop_order_id: &str) -> Result<Vec<ShopOrderLine>, ChannelError>;

    /// The order's parcels, by the shop's ids of the lines.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn shipments(&self, shop_order_id: &str) -> Result<Vec<ShipmentFacts>, ChannelError>;

    /// The order's refunds, oldest first, in the order's currency.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn refunds(&self, shop_order_id: &str, currency: Currency)
    -> Result<Vec<ShopRefund>, ChannelError>;

    /// Adds a parcel; the shop mails the customer on every call. The answer is the shop's id of it.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn add_shipment(
        &self,
        shop_order_id: &str,
        order_address_id: &str,
        shipment: &ShipmentDraft,
    ) -> Result<String, ChannelError>;

    /// Sees to it that at least so many units of each variant are in stock, so that an order can be created. Absolute
    /// numbers go out, so it may run twice. The answer is what was raised; the shop may take a moment to show it.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn raise_stock(&self, needed: &[(ShopVariant, i64)]) -> Result<Vec<RaisedStock>, ChannelError>;

    /// Moves the order to a status.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn set_status(&self, shop_order_id: &str, status_id: u16)
    -> Result<ShopOrderSummary, ChannelError>;

    /// The shop's variants with these SKUs, any case, as many calls as it takes.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn variants_by_sku(&self, skus: &[String]) -> Result<Vec<ShopVariant>, ChannelError>;

    /// Name and currency.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn profile(&self) -> Result<ShopProfile, ChannelError>;

    /// True where a line with this status counts as shipped as a whole or in part.
    fn is_shipped_status(&self, status_id: u16) -> bool;

    /// The status that says that everything is shipped.
    fn shipped_status_id(&self) -> u16;
}

/// Takes shipments for orders that came from here.
#[async_trait]
pub trait Fulfilment: Send + Sync {
    /// Tells of a parcel. Where [`Self::told_parcels`] gives none, telling again with the same parcel number is the
    /// same parcel: safe to repeat.
    ///
    /// # Errors
    /// See [`ChannelError`]; `Reject` with [`error::RejectKind::AlreadyDone`] where the platform says that it
    /// was shipped already: the caller reads the order back.
    async fn confirm_shipment(
        &self,
        order: &FulfilmentOrder,
        shipment: &ShipmentDraft,
    ) -> Result<(), ChannelError>;

    /// The parcels that the platform lists of an order, read from the platform now. `None` where telling twice is the
    /// same as telling once (Amazon), so that nobody has to ask first; elsewhere a call in doubt is never repeated
    /// before this list lacks its tracking number.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn told_parcels(
        &self,
        order: &FulfilmentOrder,
    ) -> Result<Option<Vec<ShipmentFacts>>, ChannelError> {
        let _ = order;
        Ok(None)
    }

    /// The platform's carrier code for the shop's word; `None` where it knows none and takes no free text.
    fn carrier_code(&self, shop_carrier: &str) -> Option<String>;
}

/// What a shipment call says of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FulfilmentOrder {
    /// The platform's id.
    pub external_id: String,
    /// The platform's site within the connection (Amazon's marketplace id).
    pub site: Option<String>,
}

/// What a buyer designed, as the platform packs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// As sent.
    pub bytes: bytes::Bytes,
    /// Its media type: what was found in it, not what the platform calls it.
    pub media_type: &'static str,
    /// What its name ends in.
    pub extension: &'static str,
}

/// Fetches what buyers designed, which a platform hands out behind links that die soon.
#[async_trait]
pub trait Customisations: Send + Sync {
    /// The link to a line's archive, from an order's payload with its person data. Pure. The link is a secret.
    fn link(&self, payload: &str, external_line_id: &str) -> Option<Secret>;

    /// What lies behind a link; `None` where the link is dead. A new one comes with the order, read again.
    ///
    /// # Errors
    /// See [`ChannelError`]; `Reject` where it is too long to be kept.
    async fn archive(&self, link: &Secret) -> Result<Option<Archive>, ChannelError>;
}

/// A page of listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingPage {
    /// Listings.
    pub listings: Vec<ListingFacts>,
    /// What comes next, if anything.
    pub next: Option<String>,
}

/// Reads listings.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// One page of listings, from the start where `page` is none.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn listings(&self, page: Option<&str>) -> Result<ListingPage, ChannelError>;
}

/// One line of a connection's test.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProbeLine {
    /// What was tried.
    pub check: String,
    /// Whether it works.
    pub is_ok: bool,
    /// What the platform said, redacted, or what is missing and what to do.
    pub detail: String,
}

/// What a connection's test found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProbeReport {
    /// The platform's id of the account (seller id, store hash), if it could be read.
    pub account: Option<String>,
    /// Line by line.
    pub lines: Vec<ProbeLine>,
    /// The raw answer, redacted.
    pub raw: String,
}

impl ProbeReport {
    /// True where everything that orders need works.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.lines.iter().all(|line| line.is_ok)
    }
}

/// Tests a connection (FEATURES A9): at most ten seconds, never an error, always a report.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Tries what orders need.
    async fn probe(&self) -> ProbeReport;
}

//! What connectors and simulators say to each other while an appliance does everything that it can do: an engine
//! with a shop and a marketplace in-process and on simulated time, and then each connector by itself into what an
//! engine seldom meets. Every call and its answer is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eider::channels::after_sale::{CancelReason, Progress, RefundDraft, RefundLine, RefundReason};
use eider::channels::registry::channel;
use eider::channels::webhooks::HookAddress;
use eider::channels::{
    Connector, ConnectorSetup, CredentialSink, Cursor, FulfilmentOrder, PlacedWindow, PollStart, Window,
};
use eider::clock::{Clock as _, Entropy, ManualClock, SharedClock};
use eider::domain::connection::{ConnectionSettings, ExportFulfilment, History, InsufficientStock};
use eider::domain::id::{ChannelName, ConnectionId};
use eider::domain::listing::ShopVariant;
use eider::domain::shipment::{ShipmentDraft, ShippedLine};
use eider::http::{Answer, Call, Transport, TransportError};
use eider::secret::Secret;
use eider::sim::{AMAZON_ACCESS_KEY_ID, AMAZON_QUEUE_URL, Delivery, Reply, SimOptions, World};
use eider::store::{Store, StoreOptions};
use eider::sync::commands::NewConnectionRequest;
use eider::sync::spool::Spool;
use eider::sync::{Engine, EngineParts, EngineSettings, Hooks};
use eider::vault::{KeySource, Vault};
use http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::gate::Exchange;
use super::misuse::{self, Misuse};

/// An address of our own for webhooks, as this program makes them.
pub fn hook_at(first: char) -> String {
    format!("https://shop.test/hooks/{first}{}", "a".repeat(42))
}

/// The shop's operations that [`Rig::shop_calls`] leads to.
const OF_ONE_ORDER: [&str; 10] = [
    "getOrder",
    "getOrders",
    "getOrderProducts",
    "getOrderShipments",
    "getOrderRefunds",
    "createOrderShipments",
    "updateOrder",
    "getVariants",
    "get-inventory-items",
    "put-absolute-adjustment",
];

/// Everything that was said, from one run that all tests share.
pub fn exchanges() -> &'static [Exchange] {
    static SEEN: OnceLock<Vec<Exchange>> = OnceLock::new();
    SEEN.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(everything())
    })
}

/// The simulated platforms as the network, which keeps what passes through it.
#[derive(Debug)]
pub struct Recorder {
    pub world: Arc<World>,
    pub clock: Arc<ManualClock>,
    pub seen: Mutex<Vec<Exchange>>,
}

impl Recorder {
    /// The platform's answer, kept with its call.
    pub fn answer(&self, exchange: Exchange, request: &Request<Bytes>) -> Reply {
        let reply = self.world.handle(&exchange.platform, request);
        self.seen.lock().unwrap().push(exchange.answered(&reply.response));
        reply
    }
}

#[async_trait]
impl Transport for Recorder {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        let host = call.request.uri().host().unwrap_or_default();
        let platform = host.split('.').next().unwrap_or_default().to_owned();
        let reply = self.answer(Exchange::of(&platform, call.operation, &call.request), &call.request);
        match reply.delivery {
            Delivery::Now => {}
            Delivery::NeverAnswered => {
                self.clock.advance(call.timeout);
                return Err(TransportError::TimedOut { request_sent: true });
            }
            other => panic!("nothing here asks for {other:?}"),
        }
        let (parts, body) = reply.response.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body, duration: Duration::ZERO })
    }
}

/// Takes rotated credentials: whoever connects anew asks the simulated platform for those that are valid then.
#[derive(Debug)]
struct Taken;

impl CredentialSink for Taken {
    fn keep(&self, _: ConnectionId, _: &str, _: &Secret) -> Result<(), String> {
        Ok(())
    }
}

/// A connector to `channel_name` under `http://CHANNEL.test`, by itself.
pub fn connector(
    channel_name: &str,
    credentials: BTreeMap<String, Secret>,
    transport: Arc<dyn Transport>,
    clock: SharedClock,
) -> Arc<dyn Connector> {
    let setup = setup(channel_name, credentials, transport, clock);
    (channel(&ChannelName::from(channel_name)).unwrap().connect)(setup).unwrap()
}

/// What such a connector is made from.
pub fn setup(
    channel_name: &str,
    credentials: BTreeMap<String, Secret>,
    transport: Arc<dyn Transport>,
    clock: SharedClock,
) -> ConnectorSetup {
    ConnectorSetup {
        connection: ConnectionId(1),
        alias: "Test".to_owned(),
        base_url: Some(format!("http://{channel_name}.test").parse().unwrap()),
        credentials,
        settings: ConnectionSettings::default(),
        transport,
        clock,
        entropy: Arc::new(Entropy::seeded(1)),
        credential_sink: Arc::new(Taken),
        renewals: Arc::default(),
    }
}

/// The credentials of the simulated platforms, by channel.
pub fn credentials(world: &World) -> BTreeMap<String, BTreeMap<String, Secret>> {
    let text = |value: &Value| match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let listed = world.connections(|platform| format!("http://{platform}.test"));
    let of_entry = |entry: &Value| {
        let secrets = entry["credentials"].as_object().unwrap().iter();
        let secrets = secrets.map(|(name, value)| (name.clone(), Secret::new(text(value)))).collect();
        (entry["channel"].as_str().unwrap().to_owned(), secrets)
    };
    listed.as_array().unwrap().iter().map(of_entry).collect()
}

/// One appliance with one shop and one marketplace.
struct Rig {
    recorder: Arc<Recorder>,
    clock: Arc<ManualClock>,
    engine: Engine,
    _data: tempfile::TempDir,
}

async fn everything() -> Vec<Exchange> {
    let options = SimOptions {
        orders: 260,
        rate_per_minute: 12,
        foreign_currency_percent: 10,
        customised_percent: 10,
        ..SimOptions::default()
    };
    let busy = Rig::new(options, |settings| {
        settings.history = History::Everything;
        settings.export_fulfilment = ExportFulfilment::Both;
        settings.insufficient_stock = InsufficientStock::CustomLine;
    })
    .await;
    busy.pass(1_800).await;
    let quiet = SimOptions { orders: 0, rate_per_minute: 0, seed: 2, ..SimOptions::default() };
    let quiet = Rig::new(quiet, |settings| settings.insufficient_stock = InsufficientStock::RaiseStock).await;
    quiet.every_deed().await;
    quiet.hooks_again().await;
    quiet.feeds().await;
    quiet.queue().await;
    quiet.beyond_connectors();
    quiet.every_misuse();
    quiet.every_refusal().await;
    let mut seen = std::mem::take(&mut *busy.recorder.seen.lock().unwrap());
    seen.append(&mut quiet.recorder.seen.lock().unwrap());
    seen.append(&mut super::etsy::exchanges().await);
    seen.extend(super::ebay::everything().await);
    seen
}

fn store_options(dir: &Path, clock: &Arc<ManualClock>) -> StoreOptions {
    StoreOptions {
        dir: dir.to_owned(),
        memory_limit: "512MB".to_owned(),
        threads: 1,
        reader_count: 1,
        query_timeout: Duration::from_secs(60),
        row_cap: 100_000,
        free_space_floor_bytes: 0,
        zone: jiff::tz::TimeZone::UTC,
        clock: Arc::clone(clock) as SharedClock,
        entropy: Arc::new(Entropy::seeded(5)),
    }
}

impl Rig {
    async fn new(options: SimOptions, change: impl FnOnce(&mut ConnectionSettings)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap()));
        let world = Arc::new(World::open(options, Arc::clone(&clock) as SharedClock).unwrap());
        let recorder = Arc::new(Recorder {
            world: Arc::clone(&world),
            clock: Arc::clone(&clock),
            seen: Mutex::default(),
        });
        let store = Store::open(store_options(data.path(), &clock)).unwrap();
        let vault = Vault::open(data.path(), &KeySource::DataFolder).unwrap();
        let engine = Engine::start(EngineParts {
            store,
            vault: Arc::new(vault),
            transport: Arc::clone(&recorder) as Arc<dyn Transport>,
            clock: Arc::clone(&clock) as SharedClock,
            entropy: Arc::new(Entropy::seeded(6)),
            settings: EngineSettings::default(),
            hooks: Hooks::new(Spool::open(data.path()).unwrap(), Some("https://shop.test".parse().unwrap())),
        })
        .await
        .unwrap();
        let mut credentials = credentials(&world);
        let mut request = |channel: &str, settings| NewConnectionRequest {
            channel: channel.into(),
            alias: channel.to_owned(),
            base_url: Some(format!("http://{channel}.test").parse().unwrap()),
            credentials: credentials.remove(channel).unwrap(),
            settings,
        };
        let shop = request("bigcommerce", ConnectionSettings::default());
        let shop = engine.add_connection(shop, "test").await.unwrap();
        let mut settings = ConnectionSettings { shop: Some(shop), ..ConnectionSettings::default() };
        change(&mut settings);
        let amazon = request("amazon", settings);
        engine.add_connection(amazon, "test").await.unwrap();
        let rig = Self { recorder, clock, engine, _data: data };
        rig.pass(60).await;
        rig
    }

    /// Lets simulated time pass, running whatever becomes due.
    async fn pass(&self, seconds: i64) {
        let end = self.clock.now() + SignedDuration::from_secs(seconds);
        loop {
            let step = self.engine.step().await;
            let now = self.clock.now();
            if now >= end {
                return;
            }
            let next = step.next_due.unwrap_or(end).min(end).max(now + SignedDuration::from_millis(200));
            self.clock.set(next);
        }
    }

    fn control(&self, platform: &str, name: &str, body: &Value) -> Value {
        let (status, answer) = self.recorder.world.control(platform, name, Some(body));
        assert!(status.is_success(), "{name}: {status} {answer}");
        answer
    }

    fn truth(&self, platform: &str, name: &str) -> Vec<Value> {
        self.recorder.world.control(platform, name, None).1.as_array().cloned().unwrap_or_default()
    }

    /// SKUs that the seller ships and that the shop has as well.
    fn skus(&self) -> Vec<String> {
        let in_shop = self.truth("bigcommerce", "listings");
        let has = |sku: &str| {
            in_shop.iter().any(|known| known["sku"] == sku && known["quantity"].as_i64() > Some(5))
        };
        let listings = self.truth("amazon", "listings");
        let own = listings.iter().filter(|listing| listing["fulfilled_by"] == "seller");
        own.filter_map(|listing| listing["sku"].as_str()).filter(|sku| has(sku)).map(str::to_owned).collect()
    }

    fn sell(&self, sku: &str, quantity: i64, is_paid: bool) -> String {
        let sold =
            self.control("amazon", "sell", &json!({"sku": sku, "quantity": quantity, "paid": is_paid}));
        sold["id"].as_str().unwrap().to_owned()
    }

    fn shop_order_of(&self, external_id: &str) -> Value {
        let all = self.truth("bigcommerce", "shop_orders");
        let found = all.into_iter().find(|order| order["external_order_id"] == external_id);
        found.unwrap_or_else(|| panic!("{external_id} is not in the shop"))
    }

    /// Shipments both ways, in part and in several parcels; payments, cancellations, lost answers.
    async fn every_deed(&self) {
        let skus = self.skus();
        let sku = |number: usize| skus[number % skus.len()].as_str();
        let shipped_by_shop = self.sell(sku(0), 3, true);
        let shipped_by_marketplace = self.sell(sku(1), 2, true);
        let cancelled = self.sell(sku(2), 1, true);
        let unpaid = self.sell(sku(3), 1, false);
        self.control("bigcommerce", "stock", &json!({"sku": sku(4), "quantity": 0}));
        self.sell(sku(4), 1, true);
        self.pass(180).await;
        self.control("amazon", "pay", &json!({"id": unpaid}));
        let copy = self.shop_order_of(&shipped_by_shop);
        let ship = |carrier: &str, tracking: &str, quantity: i64| {
            let lines = json!([{"sku": sku(0), "quantity": quantity}]);
            let body = json!({"id": copy["id"], "carrier": carrier, "tracking": tracking, "lines": lines});
            self.control("bigcommerce", "ship", &body)
        };
        ship("UPS", "1Z999AA10123456784", 1);
        self.pass(120).await;
        ship("Bicycle Messengers", "BM-1", 2);
        for (carrier, tracking) in [("USPS", "9400100000000000000001"), ("Ontrac", "D10010000000001")] {
            let lines = json!([{"line_id": self.amazon_line(&shipped_by_marketplace), "quantity": 1}]);
            let id = &shipped_by_marketplace;
            let body = json!({"id": id, "carrier": carrier, "tracking": tracking, "lines": lines});
            self.control("amazon", "ship", &body);
            self.pass(300).await;
        }
        self.control("amazon", "cancel", &json!({"id": cancelled}));
        let copy = self.shop_order_of(&unpaid);
        for body in [json!({"id": copy["id"], "amount_minor": 100}), json!({"id": copy["id"]})] {
            self.control("bigcommerce", "refund", &body);
            self.pass(120).await;
        }
        self.pass(300).await;
        // The answer is lost: the engine asks whether the order is there before it does anything again.
        self.fault("bigcommerce", "createOrder", "timeout_after");
        self.sell(sku(5), 1, true);
        self.pass(300).await;
        self.clock.advance(Duration::from_secs(40 * 60));
        self.sell(sku(6), 1, true);
        self.pass(600).await;
        let now = self.clock.now();
        let (from, until) = (now - SignedDuration::from_hours(1), now - SignedDuration::from_mins(5));
        let window = PlacedWindow { from, until, is_bulk: true };
        for channel in ["amazon", "bigcommerce"] {
            let connector = self.alone(channel);
            let placed = connector.order_source().unwrap().placed_orders(window, None).await.unwrap();
            assert!(channel == "bigcommerce" || !placed.external_ids.is_empty());
            let report = self.alone(channel).probe().probe().await;
            assert!(report.is_ok(), "{:?}", report.lines);
        }
    }

    fn amazon_line(&self, id: &str) -> Value {
        let order = self.truth("amazon", "orders").into_iter().find(|order| order["id"] == id).unwrap();
        order["lines"][0]["line_id"].clone()
    }

    fn fault(&self, platform: &str, operation: &str, kind: &str) {
        self.control(platform, "fault", &json!({"operation": operation, "kind": kind, "count": 1}));
    }

    fn alone(&self, channel: &str) -> Arc<dyn Connector> {
        self.alone_with(channel, &[])
    }

    /// The same, with what a person enters beside the rest.
    fn alone_with(&self, channel: &str, entered: &[(&str, &str)]) -> Arc<dyn Connector> {
        let mut own = credentials(&self.recorder.world).remove(channel).unwrap();
        own.extend(entered.iter().map(|(name, text)| ((*name).to_owned(), Secret::from(*text))));
        let transport = Arc::clone(&self.recorder) as Arc<dyn Transport>;
        connector(channel, own, transport, Arc::clone(&self.clock) as SharedClock)
    }

    /// Hooks at another connection's address stay; those that the shop has switched off are switched on again, and those
    /// at an earlier address are moved, or go where there are others.
    async fn hooks_again(&self) {
        self.control("bigcommerce", "hooks_off", &json!({}));
        let shop = self.alone("bigcommerce");
        let hooks = shop.webhooks().unwrap();
        let known = self.engine.connections().into_iter().find(|one| one.channel.as_str() == "bigcommerce");
        let own = self.engine.hook_endpoint(known.unwrap().id).unwrap();
        let (first, second, third) = (hook_at('A'), hook_at('B'), hook_at('C'));
        let subscribe = async |endpoint: &str, others: &[String]| {
            hooks.subscribe(HookAddress { endpoint, others }).await.unwrap().unwrap_or_default()
        };
        let beside = [own.clone()];
        let said = subscribe(&first, &beside).await;
        assert!(said.contains("14 hooks were added, 0 switched on again, 0 moved"), "{said}");
        self.control("bigcommerce", "hooks_off", &json!({}));
        let said = subscribe(&first, &beside).await;
        assert!(said.contains("0 hooks were added, 14 switched on again"), "{said}");
        assert_eq!(subscribe(&first, &beside).await, "");
        let said = subscribe(&second, &beside).await;
        assert!(said.contains("0 hooks were added, 0 switched on again, 14 moved"), "{said}");
        // A third connection comes and goes: its hooks are in the way.
        let said = subscribe(&third, &[own, second.clone()]).await;
        assert!(said.contains("14 hooks were added"), "{said}");
        let said = subscribe(&second, &beside).await;
        assert!(said.contains("0 moved from an earlier address, 14 removed"), "{said}");
        assert_eq!(subscribe(&second, &beside).await, "");
    }

    /// Each step of subscribing the merchant's queue refused, then done, and found done the next time.
    async fn queue(&self) {
        let entered = [
            ("queue_url", AMAZON_QUEUE_URL),
            ("aws_access_key_id", AMAZON_ACCESS_KEY_ID),
            ("aws_secret_access_key", "x"),
        ];
        let subscribe = async || {
            let amazon = self.alone_with("amazon", &entered);
            amazon.message_queue().unwrap().subscribe().await
        };
        for operation in ["getSubscription", "getDestinations", "createDestination", "createSubscription"] {
            // A token that is refused once is fetched anew. What fails may have been done all the same, so that is last.
            for (kind, count) in [("429", 1), ("401", 2), ("500", 1)] {
                self.control(
                    "amazon",
                    "fault",
                    &json!({"operation": operation, "kind": kind, "count": count}),
                );
                assert!(subscribe().await.is_err(), "{operation} {kind}");
            }
        }
        assert!(subscribe().await.is_ok());
        assert_eq!(subscribe().await, Ok(None));
    }

    /// A cancellation and a refund on Amazon, each done and each refused.
    async fn feeds(&self) {
        let skus = self.skus();
        let open = self.sell(&skus[7 % skus.len()], 1, true);
        let shipped = self.sell(&skus[8 % skus.len()], 1, true);
        self.control("amazon", "ship", &json!({"id": shipped}));
        let amazon = self.alone("amazon");
        let of = |id: &str| FulfilmentOrder { external_id: id.to_owned(), site: None };
        let cancellation = amazon.cancellation().unwrap();
        let asked = cancellation.cancel(&of(&open), CancelReason::OutOfStock).await.unwrap();
        let Progress::Pending(ticket) = asked else { panic!("{asked:?}") };
        assert_eq!(
            cancellation.cancellation(&of(&open), &ticket).await,
            Ok(Progress::Pending(ticket.clone()))
        );
        self.pass(120).await;
        assert_eq!(cancellation.cancellation(&of(&open), &ticket).await, Ok(Progress::Done));
        assert_eq!(cancellation.cancel(&of(&open), CancelReason::OutOfStock).await, Ok(Progress::Done));
        let refused = cancellation.cancel(&of(&shipped), CancelReason::OutOfStock).await;
        assert!(matches!(refused, Ok(Progress::Refused(_))), "{refused:?}");
        let refunds = amazon.refunds().unwrap();
        let line = self.amazon_line(&shipped).as_str().unwrap().to_owned();
        for (item_minor, is_done) in [(100, true), (10_000_000, false)] {
            let asked = refunds.refund(&of(&shipped), &refund(&line, item_minor)).await.unwrap();
            let Progress::Pending(ticket) = asked else { panic!("{asked:?}") };
            self.pass(120).await;
            let told = refunds.refunded(&of(&shipped), &ticket).await.unwrap();
            assert_eq!(matches!(told, Progress::Done), is_done, "{told:?}");
            assert_eq!(matches!(told, Progress::Refused(_)), !is_done, "{told:?}");
        }
    }

    /// Operations that the simulated shop answers and no connector uses yet.
    fn beyond_connectors(&self) {
        let own = credentials(&self.recorder.world).remove("bigcommerce").unwrap();
        let store = own["store_hash"].expose();
        let orders = self.truth("bigcommerce", "shop_orders");
        let shipped = orders
            .iter()
            .find(|order| order["shipments"].as_array().is_some_and(|parcels| parcels.len() > 1))
            .unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (id, line) = (text(&shipped["id"]), text(&shipped["lines"][0]["line_id"]));
        let parcel = text(&shipped["shipments"][0]["id"]);
        let calls = [
            ("getOrdersCount", "GET", "v2/orders/count".to_owned(), None),
            ("getOrderStatuses", "GET", "v2/order_statuses".to_owned(), None),
            ("getOrderProduct", "GET", format!("v2/orders/{id}/products/{line}"), None),
            ("getOrderCoupons", "GET", format!("v2/orders/{id}/coupons"), None),
            ("getOrderShipmentsCount", "GET", format!("v2/orders/{id}/shipments/count"), None),
            ("getOrderShipment", "GET", format!("v2/orders/{id}/shipments/{parcel}"), None),
            (
                "updateOrderShipment",
                "PUT",
                format!("v2/orders/{id}/shipments/{parcel}"),
                Some(json!({"tracking_number": "1Z999AA10123456785"})),
            ),
            ("deleteOrderShipment", "DELETE", format!("v2/orders/{id}/shipments/{parcel}"), None),
            ("deleteOrderShipments", "DELETE", format!("v2/orders/{id}/shipments"), None),
            ("getProducts", "GET", "v3/catalog/products?include=variants&limit=250".to_owned(), None),
            ("deleteOrder", "DELETE", format!("v2/orders/{id}"), None),
            ("deleteWebhook", "DELETE", "v3/hooks/1".to_owned(), None),
        ];
        for (operation, method, path, body) in calls {
            let body = body.map(|body: Value| body.to_string()).unwrap_or_default();
            let path = format!("/stores/{store}/{path}");
            let request = request(method, &path, ("x-auth-token", own["access_token"].expose()), body);
            let answer = self.recorder.answer(Exchange::of("bigcommerce", operation, &request), &request);
            assert!(answer.response.status().is_success(), "{operation}: {}", answer.response.status());
        }
    }

    /// What connectors never do wrong.
    fn every_misuse(&self) {
        let all = credentials(&self.recorder.world);
        let (amazon, shop) = (&all["amazon"], &all["bigcommerce"]);
        let unshipped = self
            .truth("amazon", "orders")
            .into_iter()
            .find(|order| order["status"] == "open" && order["lines"][0]["fulfilled_by"] != "amazon")
            .unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (id, line) = (text(&unshipped["id"]), text(&unshipped["lines"][0]["line_id"]));
        let token = ("x-amz-access-token", &*self.amazon_token(amazon));
        for misuse in misuse::of_amazon(amazon["seller_id"].expose(), &id, &line) {
            self.refused("amazon", &misuse, token, "");
            self.refused("amazon", &Misuse { status: 403, ..misuse }, ("x-amz-access-token", "dead"), "");
        }
        let base = format!("/stores/{}", shop["store_hash"].expose());
        let token = ("x-auth-token", shop["access_token"].expose());
        for misuse in misuse::of_shop() {
            self.refused("bigcommerce", &misuse, token, &base);
        }
    }

    fn refused(&self, platform: &str, misuse: &Misuse, token: (&str, &str), base: &str) {
        let request = request(misuse.method, &format!("{base}{}", misuse.path), token, misuse.body.clone());
        let exchange = Exchange::of(platform, misuse.operation, &request);
        let answer = self.recorder.answer(Exchange { is_right: false, ..exchange }, &request);
        assert_eq!(answer.response.status().as_u16(), misuse.status, "{misuse:?}");
    }

    fn amazon_token(&self, own: &BTreeMap<String, Secret>) -> String {
        let field = |name: &str| own[name].expose().to_owned();
        let body = json!({
            "grant_type": "refresh_token",
            "refresh_token": field("refresh_token"),
            "client_id": field("client_id"),
            "client_secret": field("client_secret"),
        });
        let request = request("POST", "/auth/o2/token", ("accept", "application/json"), body.to_string());
        let answer = self.recorder.world.handle("amazon", &request).response;
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// What platforms refuse: each call throttled, failing, unauthorised, and with nonsense in it.
    async fn every_refusal(&self) {
        let variants = self.variants().await;
        for kind in ["429", "500", "401"] {
            for operation in ["searchOrders", "getOrder", "confirmShipment", "searchListingsItems"] {
                self.fault("amazon", operation, kind);
                self.amazon_calls("303-0000000-0000000").await;
            }
            for operation in ["createFeedDocument", "createFeed", "getFeed", "getFeedDocument"] {
                self.fault("amazon", operation, kind);
                self.feed_calls().await;
            }
            self.fault("amazon", "getMarketplaceParticipations", kind);
            self.alone("amazon").probe().probe().await;
            for operation in OF_ONE_ORDER {
                self.fault("bigcommerce", operation, kind);
                self.shop_calls("999999", &variants).await;
            }
            self.fault("bigcommerce", "getStoreInformation", kind);
            self.alone("bigcommerce").probe().probe().await;
        }
        let cancelled =
            self.truth("amazon", "orders").into_iter().find(|order| order["status"] == "cancelled");
        self.amazon_calls(cancelled.unwrap()["id"].as_str().unwrap()).await;
        let shipped =
            self.truth("bigcommerce", "shop_orders").into_iter().find(|order| order["status_id"] == 2);
        self.shop_calls(shipped.unwrap()["id"].as_str().unwrap(), &variants).await;
        self.control("amazon", "revoke", &json!({}));
        self.control("bigcommerce", "revoke", &json!({}));
        self.pass(8_000).await;
    }

    /// Every call of the marketplace about one order. Answers of any kind are fine: the gate looks at them.
    async fn amazon_calls(&self, id: &str) {
        let amazon = self.alone("amazon");
        let source = amazon.order_source().unwrap();
        // A page token that Amazon did not make.
        let walk = json!({"by": "lastUpdatedAfter", "after": "2026-03-01T00:00:00Z", "token": "none"});
        let window = Window { next: walk.to_string(), until: None, expires_at: None };
        let cursor =
            Cursor { updated_until: Some("2026-03-01T00:00:00Z".parse().unwrap()), window: Some(window) };
        drop(source.changed_orders(&cursor, PollStart { since: None, is_bulk: false }).await);
        drop(source.order(id).await);
        let order = FulfilmentOrder { external_id: id.to_owned(), site: None };
        drop(amazon.fulfilment().unwrap().confirm_shipment(&order, &parcel("1")).await);
        drop(amazon.catalogue().unwrap().listings(None).await);
    }

    /// Every call about a feed, and of one that is done its report.
    async fn feed_calls(&self) {
        let amazon = self.alone("amazon");
        let order = FulfilmentOrder { external_id: "303-0000000-0000000".to_owned(), site: None };
        let refunds = amazon.refunds().unwrap();
        drop(refunds.refund(&order, &refund("1", 100)).await);
        let feeds = self.truth("amazon", "feeds");
        let done = feeds.iter().find(|feed| feed["status"] == "DONE").unwrap();
        drop(refunds.refunded(&order, done["id"].as_str().unwrap()).await);
    }

    /// Two variants of the shop.
    async fn variants(&self) -> Vec<ShopVariant> {
        let shop = self.alone("bigcommerce");
        let skus = self.skus();
        let found = shop.shop_orders().unwrap().variants_by_sku(&skus[..2]).await.unwrap();
        assert_eq!(found.len(), 2);
        found
    }

    /// Every call of the shop about one order and what is in it.
    async fn shop_calls(&self, id: &str, variants: &[ShopVariant]) {
        let shop = self.alone("bigcommerce");
        let orders = shop.shop_orders().unwrap();
        drop(shop.order_source().unwrap().order(id).await);
        drop(orders.find(id).await);
        drop(orders.lines(id).await);
        drop(orders.shipments(id).await);
        drop(orders.refunds(id, "USD".parse().unwrap()).await);
        drop(orders.add_shipment(id, "1", &parcel("1")).await);
        drop(orders.set_status(id, 99).await);
        drop(orders.variants_by_sku(&["none".to_owned(), "a,b".to_owned()]).await);
        let mut needed = Vec::new();
        for variant in variants {
            self.control("bigcommerce", "stock", &json!({"sku": variant.sku, "quantity": 0}));
            needed.push((variant.clone(), 3));
        }
        drop(orders.raise_stock(&needed).await);
    }
}

/// A call as somebody else makes it.
pub fn request(method: &str, path: &str, token: (&str, &str), body: String) -> Request<Bytes> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", "application/json")
        .header(token.0, token.1);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(Bytes::from(body)).unwrap()
}

fn refund(line: &str, item_minor: i64) -> RefundDraft {
    RefundDraft {
        key: "1".to_owned(),
        currency: "USD".parse().unwrap(),
        lines: vec![RefundLine {
            external_line_id: line.to_owned(),
            item_minor,
            shipping_minor: 0,
            quantity_cancelled: 0,
        }],
        is_single_line_order: false,
        reason: RefundReason::Returned,
        comment: None,
    }
}

pub fn parcel(line: &str) -> ShipmentDraft {
    ShipmentDraft {
        parcel: 1,
        carrier: Some("UPS".to_owned()),
        service: Some("Ground".to_owned()),
        tracking: Some("1Z999AA10123456784".to_owned()),
        shipped_at: "2026-03-02T10:00:00Z".parse().unwrap(),
        lines: vec![ShippedLine { external_line_id: line.to_owned(), quantity: 1 }],
    }
}

//! The engine against the simulated platforms, in-process and on simulated time.

mod accounts;
mod after_sale;
mod by_hand;
mod edits;
mod tokens;
mod twins;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::commands::{ConnectionUpdate, NewConnectionRequest};
use super::spool::Spool;
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::domain::connection::{
    ConnectionSettings, ExportFulfilment, History, InsufficientStock, UnmatchedSku,
};
use crate::domain::effect::EffectState;
use crate::domain::id::OrderNo;
use crate::http::{Answer, Call, TransportError};
use crate::secret::Secret;
use crate::sim::{Delivery, SimOptions, World};
use crate::store::{StoreOptions, events};
use crate::vault::KeySource;

/// The simulated platforms as the network: `http://amazon.test/…` is answered by the world's `amazon`.
#[derive(Debug)]
struct InProcess {
    world: Arc<World>,
    clock: Arc<ManualClock>,
    gate: Option<Arc<Gate>>,
}

/// Keeps calls of one operation waiting.
#[derive(Debug)]
struct Gate {
    operation: &'static str,
    /// One waits.
    reached: Notify,
    /// One may go on.
    opened: Notify,
}

impl Gate {
    fn before(operation: &'static str) -> Arc<Self> {
        Arc::new(Self { operation, reached: Notify::new(), opened: Notify::new() })
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        if let Some(gate) = self.gate.as_ref().filter(|gate| gate.operation == call.operation) {
            gate.reached.notify_one();
            gate.opened.notified().await;
        }
        let host = call.request.uri().host().unwrap_or_default();
        let platform = host.split('.').next().unwrap_or_default().to_owned();
        let reply = self.world.handle(&platform, &call.request);
        let timed_out = || {
            self.clock.advance(call.timeout);
            Err(TransportError::TimedOut { request_sent: true })
        };
        match reply.delivery {
            Delivery::NeverAnswered => return timed_out(),
            Delivery::After(wait) if wait >= call.timeout => return timed_out(),
            Delivery::After(wait) => self.clock.advance(wait),
            Delivery::ResetConnection | Delivery::Drip { cut_after_bytes: Some(_), .. } => {
                return Err(TransportError::ResetMidway("connection reset".to_owned()));
            }
            Delivery::Now | Delivery::Drip { .. } => {}
        }
        let (parts, body) = reply.response.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body, duration: Duration::ZERO })
    }
}

/// The appliance's clock, which may be wrong: the platforms' never is.
#[derive(Debug)]
struct OwnClock {
    right: Arc<ManualClock>,
    wrong_by_s: Arc<AtomicI64>,
}

impl Clock for OwnClock {
    fn now(&self) -> Timestamp {
        self.right.now() + SignedDuration::from_secs(self.wrong_by_s.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        self.right.steady()
    }

    fn sleep(&self, duration: Duration) -> crate::clock::Sleep<'_> {
        self.right.sleep(duration)
    }
}

/// Where platforms reach the appliance.
const PUBLIC_URL: &str = "http://127.0.0.1:8080";

/// One appliance with one shop and one marketplace, both simulated.
struct Rig {
    dir: tempfile::TempDir,
    world: Arc<World>,
    clock: Arc<ManualClock>,
    wrong_by_s: Arc<AtomicI64>,
    engine: Engine,
    shop: ConnectionId,
    amazon: ConnectionId,
}

fn quiet() -> SimOptions {
    SimOptions { orders: 0, rate_per_minute: 0, ..SimOptions::default() }
}

fn store_options(dir: &std::path::Path, clock: SharedClock) -> StoreOptions {
    StoreOptions {
        dir: dir.to_owned(),
        memory_limit: "512MB".to_owned(),
        threads: 1,
        reader_count: 1,
        query_timeout: Duration::from_secs(60),
        row_cap: 100_000,
        free_space_floor_bytes: 0,
        zone: jiff::tz::TimeZone::UTC,
        clock,
        entropy: Arc::new(Entropy::seeded(5)),
    }
}

async fn open(
    dir: &std::path::Path,
    world: &Arc<World>,
    clock: &Arc<ManualClock>,
    wrong_by_s: &Arc<AtomicI64>,
) -> Engine {
    let transport = InProcess { world: Arc::clone(world), clock: Arc::clone(clock), gate: None };
    open_over(dir, transport, wrong_by_s).await
}

async fn open_over(dir: &std::path::Path, transport: InProcess, wrong_by_s: &Arc<AtomicI64>) -> Engine {
    open_at(PUBLIC_URL, dir, transport, wrong_by_s).await
}

async fn open_at(
    public_url: &str,
    dir: &std::path::Path,
    transport: InProcess,
    wrong_by_s: &Arc<AtomicI64>,
) -> Engine {
    let clock = &transport.clock;
    let own: SharedClock =
        Arc::new(OwnClock { right: Arc::clone(clock), wrong_by_s: Arc::clone(wrong_by_s) });
    let store = Store::open(store_options(dir, Arc::clone(&own))).unwrap();
    let vault = Vault::open(dir, &KeySource::DataFolder).unwrap();
    Engine::start(EngineParts {
        store,
        vault: Arc::new(vault),
        transport: Arc::new(transport),
        clock: own,
        entropy: Arc::new(Entropy::seeded(6)),
        settings: EngineSettings::default(),
        hooks: Hooks::new(Spool::open(dir).unwrap(), Some(public_url.parse().unwrap())),
    })
    .await
    .unwrap()
}

fn connection_requests(world: &World) -> HashMap<String, NewConnectionRequest> {
    let listed = world.connections(|platform| format!("http://{platform}.test"));
    let text = |value: &Value| match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let requests = listed.as_array().unwrap().iter().map(|entry| {
        let credentials: BTreeMap<String, Secret> = entry["credentials"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), Secret::new(text(value))))
            .collect();
        let channel = entry["channel"].as_str().unwrap().to_owned();
        let request = NewConnectionRequest {
            channel: channel.as_str().into(),
            alias: entry["alias"].as_str().unwrap().to_owned(),
            base_url: Some(entry["base_url"].as_str().unwrap().parse().unwrap()),
            credentials,
            settings: ConnectionSettings::default(),
        };
        (channel, request)
    });
    requests.collect()
}

impl Rig {
    async fn new(options: SimOptions, change: impl FnOnce(&mut ConnectionSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap()));
        let world = Arc::new(World::open(options, Arc::clone(&clock) as SharedClock).unwrap());
        let wrong_by_s = Arc::new(AtomicI64::new(0));
        let engine = open(dir.path(), &world, &clock, &wrong_by_s).await;
        let mut requests = connection_requests(&world);
        let shop = engine.add_connection(requests.remove("bigcommerce").unwrap(), "test").await.unwrap();
        let mut request = requests.remove("amazon").unwrap();
        request.settings.shop = Some(shop);
        change(&mut request.settings);
        let amazon = engine.add_connection(request, "test").await.unwrap();
        let mut rig = Self { dir, world, clock, wrong_by_s, engine, shop, amazon };
        rig.pass(60).await;
        rig
    }

    /// Lets simulated time pass, running whatever becomes due.
    async fn pass(&mut self, seconds: i64) {
        let end = self.clock.now() + SignedDuration::from_secs(seconds);
        loop {
            let step = self.engine.step().await;
            let now = self.clock.now();
            if now >= end {
                return;
            }
            let wrong_by = SignedDuration::from_secs(self.wrong_by_s.load(Ordering::SeqCst));
            let next_due = step.next_due.map(|due_at| crate::clock::shifted(due_at, -wrong_by));
            let next = next_due.unwrap_or(end).min(end).max(now + SignedDuration::from_millis(200));
            self.clock.set(next);
        }
    }

    /// The process dies and is started again on the same folder.
    async fn restart(&mut self) {
        self.restart_with(None).await;
    }

    /// The same, where calls wait at a gate.
    async fn restart_with(&mut self, gate: Option<Arc<Gate>>) {
        self.restart_at(PUBLIC_URL, gate).await;
    }

    async fn restart_at(&mut self, public_url: &str, gate: Option<Arc<Gate>>) {
        let store = self.engine.store().clone();
        let placeholder = tempfile::tempdir().unwrap();
        // Both must go before the folder's lock is free.
        let spare = open(placeholder.path(), &self.world, &self.clock, &self.wrong_by_s).await;
        drop(std::mem::replace(&mut self.engine, spare));
        store.close().await;
        drop(store);
        let transport = InProcess { world: Arc::clone(&self.world), clock: Arc::clone(&self.clock), gate };
        self.engine = open_at(public_url, self.dir.path(), transport, &self.wrong_by_s).await;
    }

    /// A backup of now.
    async fn back_up(&self) -> std::path::PathBuf {
        let backup = self.dir.path().join(format!("backup-{}", self.clock.now()));
        self.engine.store().copy_file(backup.clone()).await.unwrap();
        backup
    }

    /// The backup takes the place of the file, and a new epoch begins.
    async fn restore(&mut self, backup: &std::path::Path) {
        let store = self.engine.store().clone();
        let placeholder = tempfile::tempdir().unwrap();
        let spare = open(placeholder.path(), &self.world, &self.clock, &self.wrong_by_s).await;
        drop(std::mem::replace(&mut self.engine, spare));
        store.close().await;
        drop(store);
        std::fs::copy(backup, self.dir.path().join("eider.duckdb")).unwrap();
        let own = OwnClock { right: Arc::clone(&self.clock), wrong_by_s: Arc::clone(&self.wrong_by_s) };
        let store = Store::open(store_options(self.dir.path(), Arc::new(own))).unwrap();
        store.begin_epoch().await.unwrap();
        store.close().await;
        drop(store);
        self.engine = open(self.dir.path(), &self.world, &self.clock, &self.wrong_by_s).await;
    }

    fn control(&self, platform: &str, name: &str, body: &Value) -> Value {
        let (status, answer) = self.world.control(platform, name, Some(body));
        assert!(status.is_success(), "{name}: {status} {answer}");
        answer
    }

    fn truth(&self, platform: &str, name: &str) -> Vec<Value> {
        self.world.control(platform, name, None).1.as_array().cloned().unwrap_or_default()
    }

    fn fault(&self, platform: &str, operation: &str, kind: &str, count: u32) {
        self.control(platform, "fault", &json!({"operation": operation, "kind": kind, "count": count}));
    }

    /// A seller-fulfilled SKU that the shop has as well.
    fn sku(&self) -> String {
        let variants: Vec<String> = self
            .truth("bigcommerce", "listings")
            .iter()
            .filter(|listing| listing["quantity"].as_i64() > Some(5))
            .filter_map(|listing| listing["sku"].as_str().map(str::to_owned))
            .collect();
        self.truth("amazon", "listings")
            .iter()
            .filter(|listing| listing["fulfilled_by"] == "seller")
            .filter_map(|listing| listing["sku"].as_str())
            .find(|sku| variants.iter().any(|known| known == sku))
            .unwrap()
            .to_owned()
    }

    fn sell(&self, quantity: i64) -> String {
        self.sell_sku(&self.sku(), quantity)
    }

    fn sell_sku(&self, sku: &str, quantity: i64) -> String {
        let sold = self.control("amazon", "sell", &json!({"sku": sku, "quantity": quantity, "paid": true}));
        sold["id"].as_str().unwrap().to_owned()
    }

    fn shop_orders_of(&self, external_id: &str) -> Vec<Value> {
        let all = self.truth("bigcommerce", "shop_orders");
        all.into_iter().filter(|order| order["external_order_id"] == external_id).collect()
    }

    /// Somebody else calls the shop's API.
    fn call_shop(&self, method: http::Method, path: &str, body: &Value) -> Value {
        let shop = connection_requests(&self.world).remove("bigcommerce").unwrap().credentials;
        let told = |name: &str| shop[name].expose().to_owned();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/stores/{}/v2/orders{path}", told("store_hash")))
            .header("x-auth-token", told("access_token"))
            .body(bytes::Bytes::from(body.to_string()))
            .unwrap();
        let answer = self.world.handle("bigcommerce", &request).response;
        assert!(answer.status().is_success(), "{answer:?}");
        serde_json::from_slice(answer.body()).unwrap()
    }

    /// Somebody enters the number of a shop order's first parcel.
    fn enter_tracking(&self, order: &Value, tracking: &str) {
        let (order, parcel) = (order["id"].as_str().unwrap(), order["shipments"][0]["id"].as_str().unwrap());
        let path = format!("/{order}/shipments/{parcel}");
        self.call_shop(http::Method::PUT, &path, &json!({"tracking_number": tracking}));
    }

    fn amazon_order(&self, external_id: &str) -> Value {
        self.truth("amazon", "orders").into_iter().find(|order| order["id"] == external_id).unwrap()
    }

    async fn order_no(&self, external_id: &str) -> OrderNo {
        let (id, wanted) = (self.amazon, external_id.to_owned());
        self.engine
            .store()
            .read(move |read| crate::store::orders::find(read, id, &wanted))
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("{external_id} is not here"))
    }

    /// Lets time pass, second by second, until the order has arrived.
    async fn wait_for_order(&mut self, external_id: &str) -> OrderNo {
        for _ in 0..600 {
            let (id, wanted) = (self.amazon, external_id.to_owned());
            let found =
                self.engine.store().read(move |read| crate::store::orders::find(read, id, &wanted)).await;
            if let Some(order_no) = found.unwrap() {
                return order_no;
            }
            self.pass(1).await;
        }
        panic!("{external_id} did not arrive")
    }

    async fn export(&self, external_id: &str) -> (ExportState, Option<ReasonCode>) {
        let order_no = self.order_no(external_id).await;
        let loaded = self.engine.store().read(move |read| crate::store::orders::facts(read, order_no)).await;
        let (_, held, _) = loaded.unwrap().unwrap();
        (held.export_state, held.export_reason)
    }

    /// Every paid order after go-live is in the shop once, with the same total; everything else is not.
    async fn assert_exactly_once(&self) {
        for order in self.truth("amazon", "orders") {
            let id = order["id"].as_str().unwrap();
            let copies = self.shop_orders_of(id);
            let placed_at: Timestamp = order["placed_at"].as_str().unwrap().parse().unwrap();
            let go_live = self.engine.connection(self.amazon).unwrap().settings.go_live.unwrap();
            let is_owed = order["paid"] == true
                && order["fulfilled_by"] == "seller"
                && placed_at >= go_live
                && order["status"] != "cancelled";
            assert_eq!(copies.len(), usize::from(is_owed), "{order} → {copies:?}");
            if let Some(copy) = copies.first() {
                assert_eq!(copy["total_minor"], order["total_minor"], "{order} → {copy}");
                assert_eq!(copy["currency"], order["currency"]);
            }
        }
    }
}

use crate::domain::order::ExportState;
use crate::domain::reason::ReasonCode;

#[tokio::test]
async fn orders_go_into_the_shop_once_with_the_same_total() {
    let options = SimOptions { orders: 60, rate_per_minute: 20, seed: 3, ..SimOptions::default() };
    let mut rig = Rig::new(options, |settings| settings.history = History::Everything).await;
    rig.pass(1800).await;
    // What was sold in the last minutes may still be on its way.
    rig.control("amazon", "clock", &json!({"advance_s": 0}));
    let sold: Vec<String> = rig
        .truth("amazon", "orders")
        .iter()
        .filter_map(|order| order["id"].as_str().map(str::to_owned))
        .collect();
    assert!(sold.len() > 200, "{}", sold.len());
    let shop_count = rig.truth("bigcommerce", "shop_orders").len();
    assert!(shop_count > 100, "{shop_count}");
    let (mut doubled, mut wrong) = (0, Vec::new());
    for id in &sold {
        let copies = rig.shop_orders_of(id);
        doubled += usize::from(copies.len() > 1);
        if let Some(copy) = copies.first() {
            let order = rig.amazon_order(id);
            if copy["total_minor"] != order["total_minor"] {
                wrong.push((order, copy.clone()));
            }
        }
    }
    assert_eq!(doubled, 0);
    assert!(wrong.is_empty(), "{:?}", wrong.first());
}

#[tokio::test]
async fn a_create_that_ends_in_doubt_is_never_repeated_blindly() {
    for kind in ["timeout_before", "timeout_after", "late", "reset", "500", "malformed"] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        rig.fault("bigcommerce", "createOrder", kind, 1);
        let id = rig.sell(2);
        rig.pass(900).await;
        assert_eq!(rig.shop_orders_of(&id).len(), 1, "{kind}");
        assert_eq!(rig.export(&id).await, (ExportState::Created, None), "{kind}");
        rig.assert_exactly_once().await;
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_create_does_not_double_it() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.fault("bigcommerce", "createOrder", "timeout_after", 1);
    let id = rig.sell(1);
    let order_no = rig.wait_for_order(&id).await;
    while rig.engine.with_queue(|queue| queue.of_order(order_no).iter().all(|effect| effect.attempts == 0)) {
        rig.pass(1).await;
    }
    assert_eq!(rig.export(&id).await.0, ExportState::Creating);
    rig.restart().await;
    rig.pass(600).await;
    assert_eq!(rig.shop_orders_of(&id).len(), 1);
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
}

#[tokio::test]
async fn a_shipment_in_the_shop_reaches_the_marketplace_by_line_and_parcel() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(3);
    rig.pass(120).await;
    let shop_id = rig.shop_orders_of(&id)[0]["id"].as_str().unwrap().to_owned();
    rig.control(
        "bigcommerce",
        "ship",
        &json!({"id": shop_id, "carrier": "UPS", "tracking": "1Z999AA10123456784"}),
    );
    rig.pass(300).await;
    let order = rig.amazon_order(&id);
    assert_eq!(order["status"], "shipped", "{order}");
    assert_eq!(order["shipments"].as_array().unwrap().len(), 1, "{order}");
    assert_eq!(order["shipments"][0]["tracking"], "1Z999AA10123456784");
    let calls = rig.world.control("amazon", "calls", None).1;
    rig.pass(1200).await;
    let confirmations = |calls: &Value| calls["confirmShipment"].clone();
    assert_eq!(confirmations(&rig.world.control("amazon", "calls", None).1), confirmations(&calls));
    assert_eq!(rig.shop_orders_of(&id)[0]["shipments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn part_shipments_and_several_parcels_go_out_one_by_one() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(3);
    rig.pass(120).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    let sku = copy["lines"][0]["sku"].clone();
    let ship = |tracking: &str, quantity: i64| json!({"id": copy["id"], "carrier": "FedEx", "tracking": tracking, "lines": [{"sku": sku, "quantity": quantity}]});
    rig.control("bigcommerce", "ship", &ship("770000000001", 1));
    rig.pass(120).await;
    let order = rig.amazon_order(&id);
    assert_eq!(order["status"], "part_shipped", "{order}");
    rig.control("bigcommerce", "ship", &ship("770000000002", 2));
    rig.pass(120).await;
    let order = rig.amazon_order(&id);
    assert_eq!(order["status"], "shipped", "{order}");
    let told: Vec<(&str, i64)> = order["shipments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parcel| {
            (parcel["tracking"].as_str().unwrap(), parcel["lines"][0]["quantity"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(told, [("770000000001", 1), ("770000000002", 2)]);
}

#[tokio::test]
async fn looking_up_what_we_created_in_the_shop_finds_the_marketplaces_order() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(1);
    rig.pass(120).await;
    let shop_id = rig.shop_orders_of(&id)[0]["id"].as_str().unwrap().to_owned();
    let found = rig.engine.find_order(Some(rig.shop), &shop_id, "test").await;
    assert_eq!(found.order_no, Some(rig.order_no(&id).await), "{found:?}");
    let held = rig.engine.store().read(crate::store::standing::standings).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
}

#[tokio::test]
async fn a_list_of_parcels_that_lags_behind_loses_none() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(3);
    rig.pass(120).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    let sku = copy["lines"][0]["sku"].clone();
    for (tracking, quantity) in [("770000000001", 1), ("770000000002", 2)] {
        rig.fault("bigcommerce", "getOrderShipments", "stale", 1);
        rig.control("bigcommerce", "ship", &json!({"id": copy["id"], "carrier": "FedEx", "tracking": tracking, "lines": [{"sku": sku, "quantity": quantity}]}));
        rig.pass(300).await;
    }
    let order = rig.amazon_order(&id);
    assert_eq!(order["shipments"].as_array().unwrap().len(), 2, "{order}");
    let order_no = rig.order_no(&id).await;
    assert!(rig.engine.with_queue(|queue| queue.of_order(order_no)).is_empty());
}

#[tokio::test]
async fn a_shop_order_that_cannot_be_seen_yet_needs_no_person() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.fault("bigcommerce", "getOrderShipments", "stale", 1);
    rig.fault("bigcommerce", "getOrderProducts", "stale", 1);
    let id = rig.sell(1);
    rig.control("amazon", "ship", &json!({"id": id, "carrier": "USPS", "tracking": "940012"}));
    rig.pass(600).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    assert_eq!(copy["shipments"][0]["tracking"], "940012", "{copy}");
}

/// The parcel may be known long before the order is in the shop: the shop's lists lag behind the order, not the parcel.
#[tokio::test]
async fn a_shop_order_that_was_made_late_and_cannot_be_seen_yet_needs_no_person() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let sku = rig.sku();
    rig.control("bigcommerce", "stock", &json!({"sku": sku, "quantity": 0}));
    let id = rig.sell_sku(&sku, 1);
    rig.pass(200).await;
    rig.control("amazon", "ship", &json!({"id": id, "carrier": "USPS", "tracking": "940012"}));
    rig.pass(900).await;
    assert_eq!(rig.export(&id).await, (ExportState::Waiting, Some(ReasonCode::OutOfStock)));
    rig.fault("bigcommerce", "getOrderShipments", "stale", 1);
    rig.fault("bigcommerce", "getOrderProducts", "stale", 1);
    rig.control("bigcommerce", "stock", &json!({"sku": sku, "quantity": 5}));
    rig.pass(7_200).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    assert_eq!(copy["shipments"][0]["tracking"], "940012", "{copy}");
}

#[tokio::test]
async fn what_was_created_after_the_backup_and_then_cancelled_is_cancelled_after_the_restore() {
    for is_known_before in [false, true] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        let mut backup = rig.back_up().await;
        let id = if is_known_before {
            rig.fault("bigcommerce", "createOrder", "500", 1);
            let id = rig.sell(1);
            rig.wait_for_order(&id).await;
            backup = rig.back_up().await;
            id
        } else {
            rig.sell(1)
        };
        rig.pass(600).await;
        assert_eq!(rig.shop_orders_of(&id).len(), 1);
        rig.control("amazon", "cancel", &json!({"id": id}));
        rig.restore(&backup).await;
        rig.pass(900).await;
        let copies = rig.shop_orders_of(&id);
        assert_eq!(copies.len(), 1, "{copies:?}");
        assert_eq!(copies[0]["status_id"], 5, "{copies:?}");
    }
}

/// The backup knows nothing of a create that was on its way when it was restored. By our clock the order may have been
/// placed after the restore.
#[tokio::test]
async fn a_create_that_arrives_after_the_restore_is_not_made_again() {
    for wrong_by_s in [0, -90] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        rig.wrong_by_s.store(wrong_by_s, Ordering::SeqCst);
        rig.restart().await;
        rig.pass(120).await;
        let backup = rig.back_up().await;
        rig.fault("bigcommerce", "createOrder", "late", 1);
        let id = rig.sell(1);
        while rig.calls("bigcommerce")["createOrder"].is_null() {
            rig.pass(1).await;
        }
        assert_eq!(rig.shop_orders_of(&id).len(), 0, "it has not arrived");
        rig.restore(&backup).await;
        rig.pass(900).await;
        let copies = rig.shop_orders_of(&id);
        assert_eq!(copies.len(), 1, "{wrong_by_s}: {copies:?}");
        rig.assert_exactly_once().await;
    }
}

#[tokio::test]
async fn a_parcel_never_takes_the_place_of_one_that_somebody_else_confirmed() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(3);
    rig.pass(120).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    let line = rig.amazon_order(&id)["lines"][0]["line_id"].clone();
    // The marketplace's own page counts its packages from one, and we hear of this one later than of ours.
    rig.fault("amazon", "searchOrders", "500", 3);
    rig.control("amazon", "ship", &json!({"id": id, "carrier": "USPS", "tracking": "940011", "lines": [{"line_id": line, "quantity": 1}]}));
    let sku = copy["lines"][0]["sku"].clone();
    rig.control("bigcommerce", "ship", &json!({"id": copy["id"], "carrier": "UPS", "tracking": "1Z01", "lines": [{"sku": sku, "quantity": 2}]}));
    rig.pass(900).await;
    let order = rig.amazon_order(&id);
    let told: Vec<&str> = order["shipments"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|parcel| parcel["tracking"].as_str())
        .collect();
    assert_eq!(told, ["940011", "1Z01"], "{order}");
}

/// What the shop lists without a number may be ours, sent before an answer was lost: not where other units are in it.
#[tokio::test]
async fn a_parcel_without_a_number_is_not_taken_for_one_of_other_units() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(3);
    rig.pass(120).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    let line = rig.amazon_order(&id)["lines"][0]["line_id"].clone();
    let sku = copy["lines"][0]["sku"].clone();
    rig.control(
        "amazon",
        "ship",
        &json!({"id": id, "carrier": "FedEx", "lines": [{"line_id": line, "quantity": 2}]}),
    );
    rig.control(
        "bigcommerce",
        "ship",
        &json!({"id": copy["id"], "carrier": "DHL", "tracking": "", "lines": [{"sku": sku, "quantity": 1}]}),
    );
    rig.pass(600).await;
    let units = |order: &Value| -> Vec<i64> {
        let parcels = order["shipments"].as_array().unwrap();
        let mut units: Vec<i64> =
            parcels.iter().map(|parcel| parcel["lines"][0]["quantity"].as_i64().unwrap()).collect();
        units.sort_unstable();
        units
    };
    let copy = rig.shop_orders_of(&id).remove(0);
    assert_eq!(units(&copy), [1, 2], "{copy}");
    let packed =
        copy["shipments"].as_array().unwrap().iter().find(|parcel| parcel["lines"][0]["quantity"] == 1);
    rig.enter_tracking(&json!({"id": copy["id"], "shipments": [packed.unwrap()]}), "1Z01");
    rig.pass(1_800).await;
    let order = rig.amazon_order(&id);
    assert_eq!(units(&order), [1, 2], "{order}");
}

/// Nobody has to do anything any more once the marketplace lists the parcel, whoever confirmed it there.
#[tokio::test]
async fn a_held_parcel_that_the_marketplace_lists_is_done() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(2);
    rig.pass(120).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    rig.control("bigcommerce", "ship", &json!({"id": copy["id"], "carrier": "", "tracking": "AC 1"}));
    rig.pass(600).await;
    let order_no = rig.order_no(&id).await;
    let held = rig.engine.with_queue(|queue| queue.of_order(order_no));
    assert!(held.iter().any(|effect| effect.state == EffectState::Held), "{held:?}");
    rig.control("amazon", "ship", &json!({"id": id, "carrier": "DHL", "tracking": "AC1"}));
    rig.pass(600).await;
    assert_eq!(rig.engine.with_queue(|queue| queue.of_order(order_no)), []);
    rig.restart().await;
    assert_eq!(rig.engine.with_queue(|queue| queue.of_order(order_no)), [], "that is durable");
    let rows =
        rig.engine.store().read(move |read| crate::store::shipments::of_order(read, order_no)).await.unwrap();
    assert_eq!((rows.len(), rows[0].told_at.is_some()), (1, true), "{rows:?}");
    assert_eq!(rig.amazon_order(&id)["shipments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_shipment_on_the_marketplace_reaches_the_shop_once() {
    for kind in [None, Some("timeout_after"), Some("late"), Some("timeout_before")] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        let id = rig.sell(2);
        rig.pass(120).await;
        if let Some(kind) = kind {
            rig.fault("bigcommerce", "createOrderShipments", kind, 1);
        }
        rig.control(
            "amazon",
            "ship",
            &json!({"id": id, "carrier": "USPS", "tracking": "9400100000000000000001"}),
        );
        rig.pass(1200).await;
        let copy = rig.shop_orders_of(&id).remove(0);
        let shipments = copy["shipments"].as_array().unwrap();
        assert_eq!(shipments.len(), 1, "{kind:?} {copy}");
        assert_eq!(shipments[0]["tracking"], "9400100000000000000001");
        assert_eq!(copy["status_id"], 2, "{copy}");
        assert_eq!(rig.amazon_order(&id)["shipments"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_shipment_made_while_the_create_was_in_doubt_is_told() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.fault("bigcommerce", "createOrder", "timeout_after", 1);
    let id = rig.sell(1);
    while rig.shop_orders_of(&id).is_empty() {
        rig.pass(1).await;
    }
    let shop_id = rig.shop_orders_of(&id)[0]["id"].clone();
    rig.control(
        "bigcommerce",
        "ship",
        &json!({"id": shop_id, "carrier": "UPS", "tracking": "1Z999AA10123456784"}),
    );
    rig.pass(600).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    assert_eq!(rig.amazon_order(&id)["status"], "shipped");
}

#[tokio::test]
async fn a_shipment_without_tracking_is_held_and_sent_once_it_has_one() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(1);
    rig.pass(120).await;
    let shop_id = rig.shop_orders_of(&id)[0]["id"].as_str().unwrap().to_owned();
    rig.control("bigcommerce", "ship", &json!({"id": shop_id, "carrier": "UPS", "tracking": ""}));
    rig.pass(300).await;
    assert_eq!(rig.amazon_order(&id)["status"], "open");
    let order_no = rig.order_no(&id).await;
    let waits = rig.engine.with_queue(|queue| queue.orders_waiting_for(ReasonCode::TrackingMissing));
    assert_eq!(waits, [order_no]);
}

#[tokio::test]
async fn an_unpaid_order_is_recorded_and_becomes_work_when_it_is_paid() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let sold = rig.control("amazon", "sell", &json!({"sku": rig.sku(), "quantity": 1, "paid": false}));
    let id = sold["id"].as_str().unwrap().to_owned();
    rig.pass(120).await;
    assert_eq!(rig.export(&id).await, (ExportState::Waiting, Some(ReasonCode::Unpaid)));
    assert!(rig.shop_orders_of(&id).is_empty());
    rig.control("amazon", "pay", &json!({"id": id}));
    rig.pass(180).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    rig.assert_exactly_once().await;
}

#[tokio::test]
async fn too_little_stock_waits_and_goes_in_when_there_is_some() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let sku = rig.sku();
    rig.control("bigcommerce", "stock", &json!({"sku": sku, "quantity": 0}));
    let id = rig.sell_sku(&sku, 1);
    rig.pass(200).await;
    assert_eq!(rig.export(&id).await, (ExportState::Waiting, Some(ReasonCode::OutOfStock)));
    rig.control("bigcommerce", "stock", &json!({"sku": sku, "quantity": 5}));
    rig.pass(7200).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    rig.assert_exactly_once().await;
}

#[tokio::test]
async fn too_little_stock_goes_in_as_custom_lines_where_the_merchant_says_so() {
    let mut rig =
        Rig::new(quiet(), |settings| settings.insufficient_stock = InsufficientStock::CustomLine).await;
    let sku = rig.sku();
    rig.control("bigcommerce", "stock", &json!({"sku": sku, "quantity": 0}));
    let id = rig.sell_sku(&sku, 1);
    rig.pass(200).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    assert_eq!(rig.shop_orders_of(&id)[0]["lines"][0]["variant_id"], Value::Null);
}

#[tokio::test]
async fn too_little_stock_is_raised_where_the_merchant_says_so() {
    let mut rig =
        Rig::new(quiet(), |settings| settings.insufficient_stock = InsufficientStock::RaiseStock).await;
    let sku = rig.sku();
    rig.control("bigcommerce", "stock", &json!({"sku": sku, "quantity": 1}));
    // The second answer is lost: the number is absolute, so that it is simply sent again.
    rig.fault("bigcommerce", "put-absolute-adjustment", "timeout_after", 1);
    let id = rig.sell_sku(&sku, 3);
    rig.pass(600).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    let lines = &rig.shop_orders_of(&id)[0]["lines"];
    assert!(lines[0]["variant_id"].is_string(), "{lines}");
    let stock =
        rig.truth("bigcommerce", "listings").into_iter().find(|listing| listing["sku"] == sku.as_str());
    assert_eq!(stock.unwrap()["quantity"], 0, "raised to what it takes, and taken");
    rig.assert_exactly_once().await;
}

#[tokio::test]
async fn an_unknown_sku_is_held_where_the_merchant_says_so() {
    let mut rig = Rig::new(quiet(), |settings| settings.unmatched_sku = UnmatchedSku::Hold).await;
    let known: Vec<Value> = rig.truth("bigcommerce", "listings");
    let sku = rig
        .truth("amazon", "listings")
        .iter()
        .filter(|listing| listing["fulfilled_by"] == "seller")
        .find(|listing| !known.iter().any(|variant| variant["sku"] == listing["sku"]))
        .and_then(|listing| listing["sku"].as_str().map(str::to_owned))
        .unwrap();
    let id = rig.sell_sku(&sku, 1);
    rig.pass(120).await;
    assert_eq!(rig.export(&id).await, (ExportState::Waiting, Some(ReasonCode::UnmatchedSku)));
    assert!(rig.shop_orders_of(&id).is_empty());
}

#[tokio::test]
async fn what_the_platform_ships_goes_in_only_where_wanted_and_without_stock() {
    for (wanted, count) in [(ExportFulfilment::Seller, 0), (ExportFulfilment::Both, 1)] {
        let mut rig = Rig::new(quiet(), |settings| settings.export_fulfilment = wanted).await;
        let sku = rig
            .truth("amazon", "listings")
            .iter()
            .find(|listing| listing["fulfilled_by"] == "amazon")
            .and_then(|listing| listing["sku"].as_str().map(str::to_owned))
            .unwrap();
        let id = rig.sell_sku(&sku, 1);
        rig.pass(120).await;
        let copies = rig.shop_orders_of(&id);
        assert_eq!(copies.len(), count);
        if let Some(copy) = copies.first() {
            assert_eq!(copy["lines"][0]["variant_id"], Value::Null);
        }
    }
}

#[tokio::test]
async fn history_stays_out_of_the_shop_until_somebody_picks_it() {
    let options = SimOptions { orders: 20, rate_per_minute: 0, ..SimOptions::default() };
    let mut rig = Rig::new(options, |settings| settings.history = History::Everything).await;
    rig.pass(300).await;
    let held = rig.truth("amazon", "orders");
    assert!(held.len() >= 20);
    for order in &held {
        let id = order["id"].as_str().unwrap();
        rig.order_no(id).await;
        assert!(rig.shop_orders_of(id).is_empty());
    }
    let pick = held
        .iter()
        .find(|order| order["status"] == "shipped" && order["fulfilled_by"] == "seller")
        .and_then(|order| order["id"].as_str().map(str::to_owned))
        .unwrap();
    let order_no = rig.order_no(&pick).await;
    rig.engine.export(order_no, "test").await.unwrap();
    rig.pass(300).await;
    assert_eq!(rig.shop_orders_of(&pick).len(), 1);
}

#[tokio::test]
async fn a_revoked_token_stops_the_connection_and_loses_nothing() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.control("amazon", "revoke", &json!({}));
    rig.pass(8000).await;
    let state = rig.engine.connection(rig.amazon).unwrap().state;
    assert_eq!(state, ConnectionState::NeedsReauthorisation);
    let id = rig.sell(1);
    rig.pass(3600).await;
    assert_eq!(rig.engine.connection(rig.amazon).unwrap().state, ConnectionState::NeedsReauthorisation);
    let fresh = connection_requests(&rig.world).remove("amazon").unwrap().credentials;
    let change = ConnectionUpdate { credentials: fresh, ..ConnectionUpdate::default() };
    rig.engine.change_connection(rig.amazon, change, "test").await.unwrap();
    rig.pass(300).await;
    assert_eq!(rig.engine.connection(rig.amazon).unwrap().state, ConnectionState::Active);
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
}

#[tokio::test]
async fn a_poll_that_keeps_failing_beside_one_that_works_is_tried_ever_more_rarely() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let calls = |rig: &Rig| {
        // By operation and status.
        let counted = rig.world.control("amazon", "calls", None).1["searchOrders"].clone();
        counted.as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>()
    };
    rig.pass(300).await;
    let before = calls(&rig);
    assert!(before > 0);
    rig.fault("amazon", "searchOrders", "malformed", 8);
    // The listings are read well meanwhile, more than once.
    rig.pass(7_200).await;
    assert!(rig.engine.connection(rig.amazon).unwrap().state == ConnectionState::Active);
    let polls = calls(&rig) - before;
    rig.fault("amazon", "searchOrders", "malformed", 1_000);
    rig.pass(7_200).await;
    assert_eq!(rig.engine.connection(rig.amazon).unwrap().state, ConnectionState::Failing);
    let failing = calls(&rig) - before - polls;
    assert!(failing < 25, "{failing} calls in two hours in which none could work");
}

/// The process died between the intent and the answer, and the next one may not look into the shop at once.
#[tokio::test]
async fn a_doubt_of_the_process_before_outlives_a_look_that_is_refused() {
    for kind in ["429", "500", "timeout_before"] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        rig.engine.pause(rig.shop, "test").await.unwrap();
        let id = rig.sell(1);
        let order_no = rig.wait_for_order(&id).await;
        let effect = rig.engine.with_queue(|queue| queue.of_order(order_no)).remove(0);
        let now = rig.clock.now();
        let begun =
            move |tx: &mut crate::store::Tx<'_>| crate::store::effects::begin_call(tx, effect.id, now);
        rig.engine.store().write(WriteLane::Interactive, begun).await.unwrap();
        rig.engine.resume(rig.shop, "test").await.unwrap();
        rig.restart().await;
        rig.fault("bigcommerce", "getOrders", kind, 3);
        rig.pass(110).await;
        assert_eq!(rig.shop_orders_of(&id), Vec::<Value>::new(), "{kind}: it may still arrive");
        rig.pass(1_800).await;
        assert_eq!(rig.shop_orders_of(&id).len(), 1, "{kind}");
    }
}

const DAY_S: i64 = 86_400;

#[tokio::test]
async fn a_clock_that_is_set_does_not_end_a_doubt_before_its_time() {
    for jump_s in [DAY_S, -DAY_S] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        rig.fault("bigcommerce", "createOrder", "late", 1);
        let id = rig.sell(1);
        let order_no = rig.wait_for_order(&id).await;
        let is_in_doubt = |rig: &Rig| {
            let open = rig.engine.with_queue(|queue| queue.of_order(order_no));
            open.iter().any(|effect| effect.state == EffectState::InDoubt)
        };
        while !is_in_doubt(&rig) {
            rig.pass(1).await;
        }
        rig.wrong_by_s.fetch_add(jump_s, Ordering::SeqCst);
        rig.pass(600).await;
        assert_eq!(rig.shop_orders_of(&id).len(), 1, "{jump_s}");
        assert_eq!(rig.export(&id).await, (ExportState::Created, None), "{jump_s}");
    }
}

#[tokio::test]
async fn whatever_the_clock_is_set_to_orders_go_on_arriving() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    for jump_s in [-DAY_S, 2 * DAY_S, -30 * DAY_S] {
        rig.wrong_by_s.fetch_add(jump_s, Ordering::SeqCst);
        let id = rig.sell(1);
        rig.pass(300).await;
        assert_eq!(rig.export(&id).await, (ExportState::Created, None), "{jump_s}");
        assert_eq!(
            rig.engine.now(),
            rig.engine.inner.parts.clock.now(),
            "the engine goes by the clock again"
        );
        let connection = rig.amazon;
        let told =
            rig.engine.store().read(move |read| events::of_connection(read, connection, 1)).await.unwrap();
        let direction = if jump_s < 0 { "back" } else { "forward" };
        assert_eq!(told[0].kind, EventKind::ClockSet, "{told:?}");
        assert!(told[0].text.starts_with(&format!("The clock was set {direction} by ")), "{told:?}");
    }
    // Set back while the program is down, with something in doubt.
    rig.fault("bigcommerce", "createOrder", "timeout_before", 1);
    let id = rig.sell(1);
    rig.pass(90).await;
    rig.wrong_by_s.fetch_sub(DAY_S, Ordering::SeqCst);
    rig.restart().await;
    rig.pass(1_800).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    rig.assert_exactly_once().await;
}

#[tokio::test]
async fn a_cancellation_reaches_the_shop_also_while_the_create_is_in_doubt() {
    for kind in [None, Some("timeout_after"), Some("timeout_before"), Some("late")] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        if let Some(kind) = kind {
            rig.fault("bigcommerce", "createOrder", kind, 1);
        }
        let id = rig.sell(1);
        let order_no = rig.wait_for_order(&id).await;
        while rig
            .engine
            .with_queue(|queue| queue.of_order(order_no).iter().any(|effect| effect.attempts == 0))
        {
            rig.pass(1).await;
        }
        rig.control("amazon", "cancel", &json!({"id": id}));
        rig.pass(900).await;
        let statuses: Vec<Value> =
            rig.shop_orders_of(&id).iter().map(|copy| copy["status_id"].clone()).collect();
        assert!(statuses.len() <= 1 && statuses.iter().all(|status| status == 5), "{kind:?} {statuses:?}");
        assert!(rig.engine.with_queue(|queue| queue.of_order(order_no)).is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_asked_for_again() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.clock.advance(Duration::from_secs(40 * 60));
    rig.fault("bigcommerce", "getOrders", "malformed", 3);
    let id = rig.sell(1);
    rig.pass(900).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    rig.assert_exactly_once().await;
}

#[tokio::test]
async fn a_platform_that_refuses_everybody_for_a_while_needs_no_person() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.fault("bigcommerce", "*", "401", 6);
    rig.pass(60).await;
    assert_eq!(rig.engine.connection(rig.shop).unwrap().state, ConnectionState::NeedsReauthorisation);
    let id = rig.sell(1);
    rig.pass(1200).await;
    assert_eq!(rig.engine.connection(rig.shop).unwrap().state, ConnectionState::Active);
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
}

#[tokio::test]
async fn the_shops_own_orders_are_orders_and_never_exported() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let sold = rig.control("bigcommerce", "sell", &json!({"sku": rig.sku(), "quantity": 1, "paid": true}));
    let id = sold["id"].as_str().unwrap().to_owned();
    rig.pass(120).await;
    let shop = rig.shop;
    let found = rig.engine.store().read(move |read| crate::store::orders::find(read, shop, &id)).await;
    let order_no = found.unwrap().unwrap();
    let loaded = rig.engine.store().read(move |read| crate::store::orders::facts(read, order_no)).await;
    assert_eq!(loaded.unwrap().unwrap().1.export_state, ExportState::None);
    assert_eq!(rig.truth("bigcommerce", "shop_orders").len(), 1);
}

#[tokio::test]
async fn many_faults_at_once_lose_and_double_nothing() {
    let options = SimOptions {
        rate_per_minute: 10,
        orders: 0,
        faults: crate::sim::FaultRate::Many,
        seed: 11,
        ..SimOptions::default()
    };
    let mut rig = Rig::new(options, |_| ()).await;
    rig.pass(3600).await;
    let settled_before = rig.clock.now() - SignedDuration::from_mins(20);
    let (mut owed, mut missing) = (0, 0);
    for order in rig.truth("amazon", "orders") {
        let copies = rig.shop_orders_of(order["id"].as_str().unwrap());
        assert!(copies.len() <= 1, "{order} {copies:?}");
        let placed_at: Timestamp = order["placed_at"].as_str().unwrap().parse().unwrap();
        let is_open = order["status"] == "open" || order["status"] == "shipped";
        if order["paid"] == true && order["fulfilled_by"] == "seller" && is_open && placed_at < settled_before
        {
            owed += 1;
            missing += 1 - copies.len();
        }
    }
    assert!(owed > 100, "{owed}");
    // A failing call is tried again within minutes; an order may have met several of them.
    assert!(missing * 20 <= owed, "{missing} of {owed} are not in the shop after twenty minutes");
}

#[tokio::test]
async fn a_steady_state_costs_little_more_than_one_call_per_shop_order() {
    let options = SimOptions { rate_per_minute: 20, orders: 0, seed: 4, ..SimOptions::default() };
    let mut rig = Rig::new(options, |_| ()).await;
    rig.pass(1800).await;
    let calls = rig.world.control("bigcommerce", "calls", None).1;
    let count = |operation: &str| -> u64 {
        calls[operation].as_object().map(|by| by.values().filter_map(Value::as_u64).sum()).unwrap_or(0)
    };
    let created = count("createOrder");
    assert!(created > 100, "{calls}");
    let polls = 1800 / 20 + 10;
    // Probes are `getOrders` beyond the polls, and variants asked for by SKU.
    let probes = count("getOrders").saturating_sub(polls * 2);
    assert!(probes * 10 <= created, "{calls}");
}

/// What the store says, from a test.
impl Rig {
    /// Lets hours pass in which little is looked at: a minute of each.
    async fn pass_hours(&mut self, hours: u32) {
        for _ in 0..hours {
            self.clock.advance(Duration::from_secs(3540));
            self.pass(60).await;
        }
    }

    async fn days(&self, id: ConnectionId) -> Vec<crate::store::reconciliation::ReconciledDay> {
        let since = jiff::civil::Date::MIN;
        let read =
            move |read: &crate::store::Read<'_>| crate::store::reconciliation::days(read, id, since, 100);
        self.engine.store().read(read).await.unwrap()
    }

    async fn cursor(&self, id: ConnectionId, stream: &'static str) -> String {
        let held = self.engine.store().read(move |read| connections::stream(read, id, stream)).await;
        held.unwrap().unwrap().cursor_json
    }

    async fn holds(&self, id: ConnectionId, external_id: &str) -> bool {
        let wanted = external_id.to_owned();
        let found = self.engine.store().read(move |read| crate::store::orders::find(read, id, &wanted)).await;
        found.unwrap().is_some()
    }

    /// An order that the platform's list shows only after every poll has gone by.
    fn sell_late(&self, platform: &str, placed_at: &str) -> String {
        let wish = json!({"sku": self.sku(), "quantity": 1, "paid": true, "placed_at": placed_at});
        self.control(platform, "sell", &wish)["id"].as_str().unwrap().to_owned()
    }

    async fn parked(&self) -> Vec<crate::store::orders::ParkedPayload> {
        self.engine.store().read(|read| crate::store::orders::parked(read, 100)).await.unwrap()
    }

    /// What a platform says of an order at this moment.
    async fn received(&self, external_id: &str) -> crate::channels::Received {
        let connector = self.engine.connector(self.amazon).unwrap();
        connector.order_source().unwrap().order(external_id).await.unwrap().unwrap()
    }

    /// Parks what a reader of an older version could not read.
    async fn park(&self, received: crate::channels::Received) {
        let unreadable = crate::channels::error::Unreadable {
            place: "proceeds".to_owned(),
            what: "an older reader did not know it".to_owned(),
        };
        let received = crate::channels::Received { facts: Err(unreadable), ..received };
        let connector = self.engine.connector(self.amazon).unwrap();
        let connection = self.engine.connection(self.amazon).unwrap();
        let source = connector.order_source().unwrap();
        let outcome = self.engine.import(&connection, source, vec![received], None, "test").await.unwrap();
        assert_eq!(outcome.parked, 1);
    }

    /// As after an upgrade: another version parked what lies there.
    async fn upgrade(&mut self) {
        let write = |tx: &mut crate::store::Tx<'_>| {
            let changed = tx.connection().execute("UPDATE main.parked SET reader = '0.0.1-1'", [])?;
            assert!(changed > 0);
            Ok(())
        };
        self.engine.store().write(WriteLane::Interactive, write).await.unwrap();
        self.restart().await;
    }
}

#[tokio::test]
async fn an_order_that_no_poll_saw_is_found_by_its_day_and_goes_its_way() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.pass_hours(3).await;
    let seen = rig.sell(1);
    rig.pass(600).await;
    let late = rig.sell_late("amazon", "2026-03-02T10:00:00Z");
    let own = rig.sell_late("bigcommerce", "2026-03-02T10:00:00Z");
    rig.pass_hours(1).await;
    assert!(rig.holds(rig.amazon, &seen).await && !rig.holds(rig.amazon, &late).await);
    assert!(!rig.holds(rig.shop, &own).await, "the polls are past it");
    assert_eq!(rig.days(rig.amazon).await, [], "no day is over yet");

    rig.pass_hours(14).await;
    assert!(rig.holds(rig.amazon, &late).await && rig.holds(rig.shop, &own).await);
    rig.assert_exactly_once().await;
    let amazon = rig.days(rig.amazon).await;
    assert_eq!(amazon.len(), 1, "{amazon:?}");
    assert_eq!(amazon[0].day.to_string(), "2026-03-02");
    let expected = |platform| crate::store::reconciliation::Counts {
        platform,
        held: platform,
        parked: 0,
        missing: 1,
        fetched: 1,
        only_here: 0,
    };
    assert_eq!(amazon[0].counts, Some(expected(2)));
    assert_eq!(rig.days(rig.shop).await[0].counts, Some(expected(1)), "orders that we created are no gap");
    let id = rig.amazon;
    let events = rig.engine.store().read(move |read| events::of_connection(read, id, 10)).await.unwrap();
    assert!(
        events.iter().any(|event| event.text.contains("1 of them were not here, and 1 were fetched")),
        "{events:?}"
    );

    // The next day it is compared once more, and the gap that it had stays in sight.
    rig.pass_hours(24).await;
    let again = rig.days(rig.amazon).await;
    assert!(again[1].checked_at > amazon[0].checked_at);
    assert_eq!(again[1].counts, Some(expected(2)));
    rig.assert_exactly_once().await;
}

#[tokio::test]
async fn a_comparison_goes_on_through_faults_and_a_restart() {
    let options = SimOptions { orders: 300, ..quiet() };
    let mut rig = Rig::new(options, |settings| settings.history = History::Days(20)).await;
    rig.pass_hours(1).await;
    let held = rig.engine.store().read(crate::store::status::order_count).await.unwrap();
    assert!(held > 20, "{held}");
    let late: Vec<String> = (0..30).map(|_| rig.sell_late("amazon", "2026-02-25T10:00:00Z")).collect();
    let days = ("2026-02-20".parse().unwrap(), "2026-03-01".parse().unwrap());
    rig.engine.reconcile(rig.amazon, days.0, days.1, "ada").await.unwrap();
    rig.fault("amazon", "searchOrders", "malformed", 1);
    rig.fault("amazon", "getOrder", "500", 2);
    rig.fault("amazon", "getOrder", "timeout_after", 1);
    rig.pass(30).await;
    rig.restart().await;
    rig.pass_hours(24).await;
    for id in &late {
        assert!(rig.holds(rig.amazon, id).await, "{id}");
    }
    let compared = rig.days(rig.amazon).await;
    assert!(compared.len() >= 10 && compared.iter().all(|day| !day.is_asked()), "{compared:?}");
    let of_the_day = compared.iter().find(|day| day.day.to_string() == "2026-02-25").unwrap().counts.unwrap();
    assert_eq!((of_the_day.missing, of_the_day.fetched, of_the_day.only_here), (30, 30, 0));
    assert!(compared.iter().all(|day| day.counts.is_some_and(|counts| counts.gap() == 0)), "{compared:?}");
    let state = rig.engine.connection(rig.amazon).unwrap().state;
    assert_eq!(state, ConnectionState::Active);
}

/// Who asks for a day while that day is being compared is not answered by what was listed before.
#[tokio::test]
async fn a_day_that_is_asked_for_while_it_is_compared_is_compared_once_more() {
    let mut rig = Rig::new(quiet(), |settings| settings.history = History::Days(20)).await;
    let sell = |rig: &Rig, time: &str| rig.sell_late("amazon", &format!("2026-02-25T{time}Z"));
    rig.pass_hours(1).await;
    let sold: Vec<String> = (0..150).map(|_| sell(&rig, "10:00:00")).collect();
    let day = "2026-02-25".parse().unwrap();
    rig.engine.reconcile(rig.amazon, day, day, "ada").await.unwrap();
    let is_over = std::cell::Cell::new(false);
    let between = async {
        let stream = jobs::Job::Reconcile.stream();
        while !rig.cursor(rig.amazon, stream).await.contains("\"next\":\"") {
            assert!(!is_over.get(), "the comparison was never seen between two pages");
        }
        // One of them belongs on the page that was read already, whatever the order of the list.
        let late = [sell(&rig, "00:00:30"), sell(&rig, "23:59:30")];
        rig.clock.advance(Duration::from_millis(1));
        rig.engine.reconcile(rig.amazon, day, day, "ada").await.unwrap();
        late
    };
    let step = async {
        rig.engine.step().await;
        is_over.set(true);
    };
    let (late, ()) = tokio::join!(between, step);
    rig.pass(3600).await;
    for id in sold.iter().chain(&late) {
        assert!(rig.holds(rig.amazon, id).await, "{id}");
    }
    let compared = rig.days(rig.amazon).await.into_iter().find(|known| known.day == day).unwrap();
    assert!(!compared.is_asked());
    assert_eq!(compared.counts.unwrap().platform, 152);
}

#[tokio::test]
async fn what_only_we_hold_is_counted_and_days_that_cannot_be_compared_are_refused() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let sold = rig.control("bigcommerce", "sell", &json!({"sku": rig.sku(), "quantity": 1, "paid": true}));
    rig.pass_hours(1).await;
    let id: i64 = sold["id"].as_str().unwrap().parse().unwrap();
    // An archived order is no longer listed.
    let connector = rig.engine.connector(rig.shop).unwrap();
    let window = crate::channels::PlacedWindow {
        from: "2026-03-02T00:00:00Z".parse().unwrap(),
        until: rig.clock.now() - SignedDuration::from_mins(10),
        is_bulk: false,
    };
    let listed = connector.order_source().unwrap().placed_orders(window, None).await.unwrap();
    assert_eq!(listed.external_ids, [id.to_string()]);
    assert_eq!(listed.next, None);
    let day = |text: &str| text.parse::<jiff::civil::Date>().unwrap();
    let today = day("2026-03-02");
    for (from, to, why) in [
        ("2026-03-02", "2026-03-01", "lies behind"),
        ("2026-03-02", "2026-03-03", "future"),
        ("2020-01-01", "2020-01-01", "too far back"),
        ("2025-06-01", "2026-01-01", "at most 92 days"),
        ("2026-02-01", "2026-02-02", "no history before 2026-03-02"),
    ] {
        let refused = rig.engine.reconcile(rig.amazon, day(from), day(to), "ada").await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    rig.engine.reconcile(rig.amazon, today, today, "ada").await.unwrap();
    assert!(rig.days(rig.amazon).await[0].is_asked());
    rig.pass(60).await;
    assert_eq!(rig.days(rig.amazon).await[0].counts.unwrap().platform, 0, "compared at once");
    rig.engine.pause(rig.amazon, "ada").await.unwrap();
    let refused = rig.engine.reconcile(rig.amazon, today, today, "ada").await.unwrap_err();
    assert!(refused.contains("resume"), "{refused}");
}

#[tokio::test]
async fn a_time_read_again_doubles_nothing_and_moves_no_cursor() {
    let options = SimOptions { orders: 250, ..quiet() };
    let mut rig = Rig::new(options, |settings| settings.history = History::Everything).await;
    rig.pass_hours(1).await;
    let late = rig.sell_late("amazon", "2026-03-02T09:30:00Z");
    rig.pass(300).await;
    rig.engine.pause(rig.amazon, "ada").await.unwrap();
    let (cursor, before) =
        (rig.cursor(rig.amazon, "orders").await, rig.cursor(rig.shop, "shop_orders").await);
    let held = rig.engine.store().read(crate::store::status::order_count).await.unwrap();
    assert!(held > 200 && !rig.holds(rig.amazon, &late).await, "{held}");
    let from: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
    let refused = rig.engine.replay_from(rig.amazon, from, "ada").await.unwrap_err();
    assert!(refused.contains("resume"), "{refused}");

    rig.engine.resume(rig.amazon, "ada").await.unwrap();
    rig.engine.replay_from(rig.amazon, from, "ada").await.unwrap();
    rig.engine.replay_from(rig.amazon, from, "ada").await.unwrap();
    let other = rig.engine.replay_from(rig.amazon, from + SignedDuration::from_hours(1), "ada").await;
    assert!(other.unwrap_err().contains("under way"));
    rig.engine.replay_from(rig.shop, from, "ada").await.unwrap();
    rig.fault("amazon", "searchOrders", "500", 2);
    rig.pass(1).await;
    rig.restart().await;
    rig.pass(1800).await;
    assert!(rig.holds(rig.amazon, &late).await);
    rig.assert_exactly_once().await;
    for (id, stream, earlier) in [(rig.amazon, "orders", cursor), (rig.shop, "shop_orders", before)] {
        let read = move |read: &crate::store::Read<'_>| crate::store::replays::of_connection(read, id, 10);
        let replays = rig.engine.store().read(read).await.unwrap();
        assert_eq!(replays.len(), 1, "asked twice, read once");
        assert!(replays[0].finished_at.is_some(), "{replays:?}");
        if stream == "orders" {
            assert!(replays[0].read > 200 && replays[0].new == 1, "{replays:?}");
        }
        let read = |text: &str| serde_json::from_str::<crate::channels::Cursor>(text).unwrap().updated_until;
        assert!(read(&rig.cursor(id, stream).await) >= read(&earlier), "the polls go on where they were");
    }
    assert_eq!(rig.engine.store().verify().await.unwrap().findings, []);
}

#[tokio::test]
async fn what_an_older_version_could_not_read_is_read_once_after_an_upgrade() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.pass_hours(1).await;
    let id = rig.sell_late("amazon", "2026-03-02T09:00:30Z");
    let received = rig.received(&id).await;
    rig.park(received.clone()).await;
    let broken = crate::channels::Received { external_id: None, payload: "{".to_owned(), ..received };
    rig.park(broken).await;
    rig.pass(300).await;
    let parked = rig.parked().await;
    assert_eq!((parked.len(), parked[1].operation.as_deref()), (2, Some("order")));
    assert!(
        parked.iter().all(|one| one.tried_at.is_none()),
        "this version does not try again what it parked"
    );
    assert!(!rig.holds(rig.amazon, &id).await);

    rig.upgrade().await;
    rig.pass(60).await;
    let left = rig.parked().await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].tried_at.is_some() && left[0].what.contains("EOF"), "with its new reason: {left:?}");
    rig.pass(600).await;
    rig.assert_exactly_once().await;
    let order_no = rig.order_no(&id).await;
    let events = rig.engine.store().read(move |read| events::of_order(read, order_no)).await.unwrap();
    let read = |event: &&events::EventRow| event.kind == EventKind::Unparked;
    assert_eq!(events.iter().filter(read).count(), 1, "{events:?}");
    rig.restart().await;
    rig.pass(60).await;
    assert_eq!(rig.parked().await, left, "tried once per version");
    assert_eq!(rig.engine.store().verify().await.unwrap().findings, []);
}

#[tokio::test]
async fn a_parked_payload_moves_nothing_that_arrived_later() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell(1);
    let open = rig.received(&id).await;
    rig.park(open).await;
    let parked = rig.parked().await[0].payload_id;
    rig.wait_for_order(&id).await;
    rig.pass(120).await;
    rig.control("amazon", "cancel", &json!({"id": id}));
    rig.pass(900).await;
    let order_no = rig.order_no(&id).await;
    let status = async |rig: &Rig| {
        let facts = rig.engine.store().read(move |read| crate::store::orders::facts(read, order_no)).await;
        facts.unwrap().unwrap().0.status
    };
    assert_eq!(status(&rig).await, crate::domain::order::OrderStatus::Cancelled);
    let done = rig.engine.replay_parked_one(parked, "ada").await.unwrap();
    assert_eq!((done.read, done.still_parked), (1, 0));
    rig.pass(900).await;
    assert_eq!(status(&rig).await, crate::domain::order::OrderStatus::Cancelled);
    assert!(rig.shop_orders_of(&id).len() <= 1);
    assert_eq!(rig.parked().await, []);
    assert!(rig.engine.replay_parked_one(parked, "ada").await.is_err(), "it is not parked any more");
    assert_eq!(rig.engine.store().verify().await.unwrap().findings, []);
}

#[tokio::test]
async fn an_order_whose_newest_payload_cannot_be_read_stays_parked_whole() {
    let rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell_late("amazon", "2026-03-02T09:00:30Z");
    let received = rig.received(&id).await;
    rig.park(received.clone()).await;
    let newer = crate::channels::Received { payload: format!("{{\"orderId\":\"{id}\"}}"), ..received };
    rig.park(newer).await;
    let done = rig.engine.replay_parked_all(rig.amazon, "ada").await.unwrap();
    assert_eq!((done.read, done.still_parked), (0, 2));
    let parked = rig.parked().await;
    assert!(parked[1].what.contains("newer payload"), "{parked:?}");
    assert!(!rig.holds(rig.amazon, &id).await, "nobody acts on an order whose end is not known");
}

/// Delivers a message as the web server would.
async fn deliver(engine: &Engine, message: &crate::sim::Message) -> Pushed {
    let token = message.url.rsplit('/').next().unwrap();
    let headers = message.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    engine.pushed(token, &headers, message.body.clone().into()).await
}

impl Rig {
    fn calls(&self, platform: &str) -> Value {
        self.world.control(platform, "calls", None).1
    }

    /// A sale in the storefront, and what the shop sends of it.
    fn sell_in_storefront(&self) -> (String, Vec<crate::sim::Message>) {
        let wish = json!({"sku": self.sku(), "quantity": 1, "paid": true});
        let id = self.control("bigcommerce", "sell", &wish)["id"].as_str().unwrap().to_owned();
        (id, self.world.take_messages())
    }
}

#[tokio::test]
async fn what_a_shop_pushes_is_seen_at_once_and_what_is_forged_or_doubled_changes_nothing() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.pass(60).await;
    let (sold, messages) = rig.sell_in_storefront();
    assert!(!messages.is_empty(), "{}", rig.calls("bigcommerce"));
    assert!(messages.iter().all(|message| message.url.starts_with("http://127.0.0.1:8080/hooks/")));
    rig.engine.step().await;
    assert!(!rig.holds(rig.shop, &sold).await, "no poll is due");
    for message in &messages {
        assert_eq!(deliver(&rig.engine, message).await, Pushed::Taken);
    }
    rig.engine.step().await;
    assert!(rig.holds(rig.shop, &sold).await, "no time has passed");

    // The poll that it called up is over; the same message again calls up none.
    rig.pass(1).await;
    let before = rig.calls("bigcommerce");
    deliver(&rig.engine, &messages[0]).await;
    rig.engine.step().await;
    assert_eq!(rig.calls("bigcommerce"), before, "a repeated delivery costs no call");

    let mut forged = messages[0].clone();
    forged.body = forged.body.replace("order", "0rder");
    assert_eq!(deliver(&rig.engine, &forged).await, Pushed::Taken, "whether it is true is seen later");
    rig.engine.step().await;
    assert_eq!(rig.calls("bigcommerce"), before);
    let status = rig.engine.push_status(rig.shop);
    assert_eq!((status.verified, status.refused), (messages.len() as u64 + 1, 1), "{status:?}");
    forged.url.push('x');
    assert_eq!(deliver(&rig.engine, &forged).await, Pushed::Unknown);

    // Played again when it is old.
    rig.clock.advance(Duration::from_secs(600));
    deliver(&rig.engine, &messages[0]).await;
    rig.engine.step().await;
    assert_eq!(rig.engine.push_status(rig.shop).refused, 2);
}

#[tokio::test]
async fn a_lost_message_costs_time_only_and_an_unread_one_survives_a_crash() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.pass(60).await;
    rig.fault("bigcommerce", "*", "lost_webhook", 9);
    let (lost, messages) = rig.sell_in_storefront();
    assert_eq!(messages, []);
    rig.pass(60).await;
    assert!(rig.holds(rig.shop, &lost).await, "the poll is the backstop");

    let mut messages = Vec::new();
    while messages.is_empty() {
        messages = rig.sell_in_storefront().1;
    }
    assert_eq!(deliver(&rig.engine, &messages[0]).await, Pushed::Taken);
    rig.restart().await;
    rig.engine.step().await;
    assert_eq!(rig.engine.push_status(rig.shop).verified, 1);
    rig.pass(1).await;
    rig.restart().await;
    rig.engine.step().await;
    assert_eq!(rig.engine.push_status(rig.shop).verified, 0, "what was read is forgotten");
}

#[tokio::test]
async fn hooks_that_the_shop_switched_off_are_switched_on_within_a_day() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.pass(60).await;
    rig.control("bigcommerce", "hooks_off", &json!({}));
    assert_eq!(rig.sell_in_storefront().1, []);
    rig.pass_hours(27).await;
    assert_ne!(rig.sell_in_storefront().1, []);
    let added = rig.calls("bigcommerce")["createWebhooks"]["200"].as_u64();
    assert_eq!(added, Some(14), "each is added once");
    let id = rig.shop;
    let events = rig.engine.store().read(move |read| events::of_connection(read, id, 20)).await.unwrap();
    assert!(
        events.iter().any(|event| event.text.contains("0 hooks were added, 14 switched on")),
        "{events:?}"
    );
}

/// Hooks that stay behind fail for ever, and the shop blocks a whole domain for too many failures.
#[tokio::test]
async fn hooks_go_along_when_the_address_of_the_installation_or_of_the_hook_changes() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.pass(60).await;
    let moved_to = "http://127.0.0.1:9090";
    rig.restart_at(moved_to, None).await;
    rig.pass_hours(27).await;
    rig.assert_shop_tells(|url| url.starts_with("http://127.0.0.1:9090/hooks/"));

    let (shop, token) = (rig.shop, "Z".repeat(43));
    let renew = |document: &mut crate::vault::Document| document.hook_tokens.insert(shop.0, token.clone());
    rig.engine.inner.parts.vault.update(renew).unwrap();
    rig.restart_at(moved_to, None).await;
    rig.pass_hours(27).await;
    rig.assert_shop_tells(|url| url.ends_with(&token));
    let calls = rig.calls("bigcommerce");
    assert_eq!(calls["createWebhooks"]["200"], 14, "each is added once: {calls}");
}

#[tokio::test]
async fn what_ebay_sends_goes_along_when_the_address_of_the_installation_changes() {
    let mut other = Other::with_hooks("ebay", "createShippingFulfillment").await;
    let connection = other.connection();
    other.rig.restart_at("http://127.0.0.1:9090", None).await;
    other.rig.pass_hours(27).await;
    other.rig.world.take_messages();
    other.sell();
    let messages = other.rig.world.take_messages();
    let own: Vec<_> = messages.into_iter().filter(|message| message.platform == "ebay").collect();
    assert_eq!(own.len(), 1, "one subscription for each topic: {own:?}");
    assert!(own[0].url.starts_with("http://127.0.0.1:9090/hooks/"), "{own:?}");
    assert_eq!(deliver(&other.rig.engine, &own[0]).await, Pushed::Taken);
    let told = other.rig.engine.store().read(move |read| events::of_connection(read, connection, 50));
    let told = told.await.unwrap();
    assert!(told.iter().any(|event| event.text.contains("ORDER_CONFIRMATION moved here")), "{told:?}");
    assert!(!told.iter().any(|event| event.text.contains("sends no messages")), "{told:?}");
}

/// eBay unlocks an application's keys once its address answers: so the address comes first.
#[tokio::test]
async fn an_ebay_connection_has_its_address_and_answers_for_it_before_it_is_authorised() {
    let options = SimOptions { marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
    let mut rig = Rig::new(options, |_| ()).await;
    let whole = connection_requests(&rig.world).remove("ebay").unwrap();
    let mut request = whole.clone();
    request.credentials.retain(|name, _| name != "refresh_token");
    let id = rig.engine.add_connection(request, "test").await.unwrap();
    rig.pass(60).await;
    let waiting = rig.engine.connection(id).unwrap();
    assert_eq!(waiting.state, ConnectionState::NeedsReauthorisation, "{waiting:?}");
    assert!(waiting.state_note.unwrap().contains("No seller has agreed yet"));
    let nothing = rig.calls("ebay");
    assert!(nothing.as_object().is_none_or(serde_json::Map::is_empty), "{nothing}");

    let proof = rig.engine.hook_verification_token(id).unwrap();
    assert!((32..=80).contains(&proof.expose().len()));
    let endpoint = rig.engine.hook_endpoint(id).unwrap();
    let token = endpoint.rsplit('/').next().unwrap();
    let (_, answer) = rig.engine.push_challenge(token, "challenge_code=a1").unwrap();
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(format!("a1{}{endpoint}", proof.expose()));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer, json!({"challengeResponse": hex}).to_string());

    let change = ConnectionUpdate { credentials: whole.credentials, ..ConnectionUpdate::default() };
    rig.engine.change_connection(id, change, "test").await.unwrap();
    rig.pass(60).await;
    assert_eq!(rig.engine.connection(id).unwrap().state, ConnectionState::Active);
    assert_ne!(rig.calls("ebay")["getOrders"]["200"], Value::Null);
}

impl Rig {
    /// A sale in the storefront is told of, once in each scope, and at such an address.
    fn assert_shop_tells(&self, is_right: impl Fn(&str) -> bool) {
        let messages = self.sell_in_storefront().1;
        let scope = |message: &crate::sim::Message| {
            serde_json::from_str::<Value>(&message.body).unwrap()["scope"].to_string()
        };
        let scopes: std::collections::BTreeSet<String> = messages.iter().map(scope).collect();
        assert!(!messages.is_empty() && messages.len() == scopes.len(), "{messages:?}");
        assert!(messages.iter().all(|message| is_right(&message.url)), "{messages:?}");
    }
}

/// One of the marketplaces on which telling of a parcel twice is not the same as telling once.
struct Other {
    rig: Rig,
    name: &'static str,
    /// The call that tells of a parcel.
    operation: &'static str,
}

impl Other {
    async fn new(name: &'static str, operation: &'static str) -> Self {
        let options = SimOptions { marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
        let rig = Rig::new(options, |_| ()).await;
        let mut request = connection_requests(&rig.world).remove(name).unwrap();
        request.settings.shop = Some(rig.shop);
        rig.engine.add_connection(request, "test").await.unwrap();
        let mut other = Self { rig, name, operation };
        other.rig.pass(60).await;
        other
    }

    fn sell(&self) -> String {
        let stocked = |sku: &Value| {
            let shop = self.rig.truth("bigcommerce", "listings");
            shop.iter().any(|own| own["sku"] == *sku && own["quantity"].as_i64() > Some(5))
        };
        let listings = self.rig.truth(self.name, "listings");
        let listing =
            listings.iter().find(|one| one["fulfilled_by"] == "seller" && stocked(&one["sku"])).unwrap();
        let wish = json!({"sku": listing["sku"], "quantity": 1, "paid": true});
        self.rig.control(self.name, "sell", &wish)["id"].as_str().unwrap().to_owned()
    }

    fn order(&self, id: &str) -> Value {
        self.rig.truth(self.name, "orders").into_iter().find(|order| order["id"] == id).unwrap()
    }
}

const OTHERS: [(&str, &str); 2] = [("ebay", "createShippingFulfillment"), ("etsy", "createReceiptShipment")];

#[tokio::test]
async fn an_order_of_ebay_and_of_etsy_is_in_the_shop_once_at_its_price() {
    for (name, operation) in OTHERS {
        let mut other = Other::new(name, operation).await;
        other.rig.fault("bigcommerce", "createOrder", "timeout_after", 1);
        let id = other.sell();
        other.rig.pass(900).await;
        let copies = other.rig.shop_orders_of(&id);
        assert_eq!(copies.len(), 1, "{name}: {copies:?}");
        assert_eq!(copies[0]["total_minor"], other.order(&id)["total_minor"], "{name}");
        other.rig.control(name, "cancel", &json!({"id": id}));
        other.rig.pass(1800).await;
        assert_eq!(other.rig.shop_orders_of(&id)[0]["status_id"], 5, "{name}: cancelled there, too");
    }
}

/// The platforms say whole seconds: an order of the very second of go-live is no history.
#[tokio::test]
async fn what_is_sold_in_the_second_of_go_live_goes_into_the_shop() {
    for (name, operation) in OTHERS {
        let options = SimOptions { marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
        let rig = Rig::new(options, |_| ()).await;
        let mut request = connection_requests(&rig.world).remove(name).unwrap();
        request.settings.shop = Some(rig.shop);
        rig.clock.set("2026-03-02T09:10:00.443Z".parse().unwrap());
        let id = rig.engine.add_connection(request, "test").await.unwrap();
        rig.clock.set("2026-03-02T09:10:00.612Z".parse().unwrap());
        let mut other = Other { rig, name, operation };
        let sold = other.sell();
        other.rig.pass(600).await;
        assert_eq!(other.rig.shop_orders_of(&sold).len(), 1, "{name}");

        let given = Some("2026-03-02T09:20:00.9Z".parse().unwrap());
        let settings =
            ConnectionSettings { go_live: given, ..other.rig.engine.connection(id).unwrap().settings };
        let change = ConnectionUpdate { settings: Some(settings), ..ConnectionUpdate::default() };
        other.rig.engine.change_connection(id, change, "test").await.unwrap();
        let kept = other.rig.engine.connection(id).unwrap().settings.go_live;
        assert_eq!(kept, Some("2026-03-02T09:20:00Z".parse().unwrap()), "{name}");
    }
}

/// Nothing can be on its way from before a restore where there was none.
#[tokio::test]
async fn what_was_sold_before_the_installation_is_not_waited_for() {
    let options = SimOptions { orders: 20, ..quiet() };
    let mut rig = Rig::new(options, |settings| settings.history = History::Everything).await;
    rig.pass(40).await;
    let installed_at = rig.engine.store().installation().epoch_since;
    let created = rig.truth("bigcommerce", "shop_orders").len();
    assert!(created > 0 && rig.clock.now() < installed_at + SignedDuration::from_secs(120), "{created}");
}

/// Etsy's time of change stands still where it cancels, and its sweeps reach sixty days back.
#[tokio::test]
async fn what_etsy_cancels_after_seventy_days_is_cancelled_in_the_shop() {
    let options = SimOptions { marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
    let rig = Rig::new(options, |_| ()).await;
    let mut other = Other { rig, name: "etsy", operation: "createReceiptShipment" };
    let listing = other.sell();
    let sku = other.order(&listing)["lines"][0]["sku"].clone();
    let days_ago = |days: i64| other.rig.clock.now() - SignedDuration::from_hours(24 * days);
    let wish = json!({"sku": sku, "quantity": 1, "paid": true, "placed_at": days_ago(70).to_string()});
    let mut request = connection_requests(&other.rig.world).remove("etsy").unwrap();
    (request.settings.shop, request.settings.go_live) = (Some(other.rig.shop), Some(days_ago(100)));
    let id = other.rig.control("etsy", "sell", &wish)["id"].as_str().unwrap().to_owned();
    other.rig.engine.add_connection(request, "test").await.unwrap();
    other.rig.pass(1_800).await;
    assert_eq!(other.rig.shop_orders_of(&id).len(), 1);
    other.rig.control("etsy", "cancel", &json!({"id": id}));
    other.rig.pass(5_400).await;
    assert_eq!(other.rig.shop_orders_of(&id)[0]["status_id"], 5, "cancelled there, too");
    // Nothing is left to be looked up.
    let calls = |rig: &Rig| rig.calls("etsy")["getShopReceipt"].clone();
    let before = calls(&other.rig);
    other.rig.pass(7_200).await;
    assert_eq!(calls(&other.rig), before);
}

/// Sweeps begin with the history that the merchant asked for; what somebody looked up may be older.
#[tokio::test]
async fn what_etsy_cancels_of_an_order_from_before_the_history_is_seen() {
    let mut etsy = Other::new("etsy", "createReceiptShipment").await;
    let sku = etsy.order(&etsy.sell())["lines"][0]["sku"].clone();
    let placed_at = etsy.rig.clock.now() - SignedDuration::from_hours(48);
    let wish = json!({"sku": sku, "quantity": 1, "paid": true, "placed_at": placed_at.to_string()});
    let id = etsy.rig.control("etsy", "sell", &wish)["id"].as_str().unwrap().to_owned();
    let connection = etsy.connection();
    let found = etsy.rig.engine.find_order(Some(connection), &id, "test").await;
    let order_no = found.order_no.unwrap_or_else(|| panic!("{found:?}"));
    etsy.rig.control("etsy", "cancel", &json!({"id": id}));
    etsy.rig.pass(2 * 3_600).await;
    let held = etsy.rig.engine.store().read(crate::store::standing::standings).await.unwrap();
    let order = held.iter().find(|order| order.order_no == order_no).unwrap();
    assert_eq!((order.status, order.is_history), (crate::domain::order::OrderStatus::Cancelled, true));
}

/// The first reading may come late: what was sold after go-live and shipped before it is no history.
#[tokio::test]
async fn what_was_shipped_on_ebay_before_the_first_reading_brings_its_parcel() {
    let options = SimOptions { marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
    let rig = Rig::new(options, |_| ()).await;
    let mut request = connection_requests(&rig.world).remove("ebay").unwrap();
    request.settings.shop = Some(rig.shop);
    rig.fault("ebay", "getOrders", "500", 4);
    rig.engine.add_connection(request, "test").await.unwrap();
    let mut other = Other { rig, name: "ebay", operation: "createShippingFulfillment" };
    other.rig.pass(1).await;
    let id = other.sell();
    other.rig.control("ebay", "ship", &json!({"id": id, "carrier": "USPS", "tracking": "940012"}));
    other.rig.pass(3_600).await;
    let copy = other.rig.shop_orders_of(&id).remove(0);
    assert_eq!(copy["shipments"][0]["tracking"], "940012", "{copy}");
}

#[tokio::test]
async fn ebay_and_etsy_are_told_of_a_parcel_once_whatever_becomes_of_the_answer() {
    for (name, operation) in OTHERS {
        for kind in [None, Some("timeout_after"), Some("late"), Some("timeout_before"), Some("malformed")] {
            let mut other = Other::new(name, operation).await;
            let id = other.sell();
            other.rig.pass(120).await;
            let copy = other.rig.shop_orders_of(&id).remove(0);
            if let Some(kind) = kind {
                other.rig.fault(name, other.operation, kind, 1);
            }
            let tracking = "9400100000000000000001";
            other.rig.control(
                "bigcommerce",
                "ship",
                &json!({"id": copy["id"], "carrier": "USPS", "tracking": tracking}),
            );
            other.rig.pass(1800).await;
            let order = other.order(&id);
            let told = order["shipments"].as_array().unwrap();
            assert_eq!(told.len(), 1, "{name} {kind:?}: {order}");
            assert_eq!(told[0]["tracking"], tracking, "{name} {kind:?}: {order}");
            let calls = other.rig.calls(name)[operation].clone();
            let count: u64 = calls.as_object().unwrap().values().filter_map(Value::as_u64).sum();
            let wanted = if kind == Some("timeout_before") { 2 } else { 1 };
            assert_eq!(count, wanted, "{name} {kind:?}: {calls}");
            if name == "etsy" {
                assert_eq!(other.rig.truth("etsy", "mails").len(), 1, "{kind:?}");
            }
        }
    }
}

/// Everything that the queue tells of is read at once, without a poll, and deleted only once it is kept.
#[tokio::test]
async fn what_amazon_writes_to_the_merchants_queue_is_read_at_once() {
    let mut rig = Rig::new(quiet(), |settings| settings.poll_interval_s = Some(3_600)).await;
    rig.enter_queue(crate::sim::AMAZON_ACCESS_KEY_ID).await;
    rig.pass(60).await;
    let id = rig.sell(2);
    // The first answer of the queue is lost, and so is the first deletion: the message comes again, and changes nothing.
    rig.fault("amazon", "ReceiveMessage", "timeout_after", 1);
    rig.fault("amazon", "DeleteMessageBatch", "500", 1);
    rig.pass(120).await;
    rig.assert_exactly_once().await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    assert_eq!(rig.engine.push_status(rig.amazon).refused, 0);
    let searches = rig.calls("amazon")["searchOrders"].clone();
    rig.control("amazon", "cancel", &json!({"id": id}));
    rig.restart().await;
    rig.pass(60).await;
    assert_eq!(rig.shop_orders_of(&id)[0]["status_id"], 5, "the cancellation came by the queue, too");
    rig.pass(600).await;
    let reads = rig.calls("amazon")["getOrder"]["200"].as_u64().unwrap();
    assert!(reads < 12, "{reads} reads of one order: messages are deleted. {searches}");
}

/// A queue that refuses us is said once, and is no trouble of the account: polls go on.
#[tokio::test]
async fn a_queue_that_refuses_the_key_leaves_the_polls_alone() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.enter_queue("AKIASOMEBODY").await;
    let id = rig.sell(1);
    rig.pass(120).await;
    // It passes, and is no reason to say the rest again.
    rig.fault("amazon", "ReceiveMessage", "500", 1);
    rig.pass(180).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    let connection = rig.engine.connection(rig.amazon).unwrap();
    assert_eq!(connection.state, ConnectionState::Active);
    let amazon = rig.amazon;
    let events = rig.engine.store().read(move |read| events::of_connection(read, amazon, 50)).await;
    let told: Vec<_> =
        events.unwrap().into_iter().filter(|event| event.text.contains("InvalidClientTokenId")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

/// What was kept of a queue before anybody looked at it stops no import, and what is wrong is kept no more.
#[tokio::test]
async fn a_mistyped_queue_is_refused_and_one_that_is_there_stops_nothing() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let amazon = rig.amazon;
    let entered = |text: &str| {
        let credentials = [("queue_url".to_owned(), Secret::new(text))].into();
        ConnectionUpdate { credentials, ..ConnectionUpdate::default() }
    };
    let wrong = rig.engine.change_connection(amazon, entered("https://sqs.test/orders"), "test").await;
    assert!(wrong.unwrap_err().message.contains("none of SQS"));
    let half = rig.engine.change_connection(amazon, entered(crate::sim::AMAZON_QUEUE_URL), "test").await;
    assert!(half.unwrap_err().message.contains("access key id is missing"));
    assert!(!rig.engine.held_credentials(amazon).contains("queue_url"), "what is wrong is not kept");

    let keep = |document: &mut crate::vault::Document| {
        let held = document.connections.get_mut(&amazon.0).unwrap();
        held.insert("queue_url".to_owned(), "https://sqs.test/orders".to_owned())
    };
    rig.engine.inner.parts.vault.update(keep).unwrap();
    rig.restart().await;
    let id = rig.sell(1);
    rig.pass(300).await;
    assert_eq!(rig.export(&id).await, (ExportState::Created, None));
    let told = rig.engine.store().read(move |read| events::of_connection(read, amazon, 50)).await.unwrap();
    let told = told.iter().filter(|event| event.text.contains("none of SQS")).count();
    assert!((1..=2).contains(&told), "by the queue and by the subscription, once each: {told}");

    let removed = ["queue_url"].map(str::to_owned).into();
    let take_away = ConnectionUpdate { removed, ..ConnectionUpdate::default() };
    rig.engine.change_connection(amazon, take_away, "test").await.unwrap();
    assert!(rig.engine.connector(amazon).unwrap().message_queue().is_none());
    let removed = ["seller_id"].map(str::to_owned).into();
    let needed = ConnectionUpdate { removed, ..ConnectionUpdate::default() };
    let refused = rig.engine.change_connection(amazon, needed, "test").await.unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("seller_id"));
}

/// The queue is asked to wait for messages; a program that stops does not.
#[tokio::test]
async fn a_stop_waits_for_no_message() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.enter_queue(crate::sim::AMAZON_ACCESS_KEY_ID).await;
    let queue = Gate::before("ReceiveMessage");
    rig.restart_with(Some(Arc::clone(&queue))).await;
    let (engine, amazon) = (rig.engine.clone(), rig.amazon);
    let waiting = tokio::spawn(async move { engine.run_job(amazon, jobs::Job::ReadQueue).await });
    queue.reached.notified().await;
    let (_stop, stopped) = watch::channel(true);
    rig.engine.run(stopped).await;
    // The queue never answers: it ends because the program does.
    waiting.await.unwrap();
}

impl Rig {
    /// The merchant enters a queue of his, and who may read it.
    async fn enter_queue(&mut self, access_key_id: &str) {
        let mut request = connection_requests(&self.world).remove("amazon").unwrap();
        for (name, text) in [
            ("queue_url", crate::sim::AMAZON_QUEUE_URL),
            ("aws_access_key_id", access_key_id),
            ("aws_secret_access_key", "simulated/secret/access/key"),
        ] {
            request.credentials.insert(name.to_owned(), Secret::new(text));
        }
        let change = ConnectionUpdate { credentials: request.credentials, ..ConnectionUpdate::default() };
        self.engine.change_connection(self.amazon, change, "test").await.unwrap();
    }
}

impl Other {
    /// The next poll is far away: what comes before it was pushed.
    async fn with_hooks(name: &'static str, operation: &'static str) -> Self {
        let mut other = Self::new(name, operation).await;
        let id = other.connection();
        let mut settings = other.rig.engine.connection(id).unwrap().settings;
        settings.poll_interval_s = Some(7_200);
        let mut change = ConnectionUpdate { settings: Some(settings), ..ConnectionUpdate::default() };
        if name == "etsy" {
            // The portal of webhooks has no API: a person enters address and secret on both sides.
            let secret = "whsec_c2ltdWxhdGVkLWV0c3ktc2VjcmV0";
            let url = other.rig.engine.hook_endpoint(id).unwrap();
            other.rig.control("etsy", "hook", &json!({"url": url, "secret": secret}));
            change.credentials = connection_requests(&other.rig.world).remove(name).unwrap().credentials;
            change.credentials.insert("webhook_secret".to_owned(), Secret::new(secret));
        }
        other.rig.engine.change_connection(id, change, "test").await.unwrap();
        other.rig.pass(60).await;
        other.rig.world.take_messages();
        other
    }

    fn connection(&self) -> ConnectionId {
        let known = self.rig.engine.connections();
        known.iter().find(|known| known.channel.as_str() == self.name).unwrap().id
    }
}

#[tokio::test]
async fn what_ebay_and_etsy_push_is_read_at_once_and_believed_only_if_it_is_theirs() {
    for (name, operation) in OTHERS {
        let mut other = Other::with_hooks(name, operation).await;
        let connection = other.connection();
        let sold = other.sell();
        let messages = other.rig.world.take_messages();
        let own: Vec<_> = messages.into_iter().filter(|message| message.platform == name).collect();
        assert_eq!(own.len(), 1, "{name}: {own:?}");
        // Forged first: it costs nothing and brings nothing.
        let mut forged = own[0].clone();
        forged.body = forged.body.replace(&sold, "1");
        assert_eq!(deliver(&other.rig.engine, &forged).await, Pushed::Taken, "{name}");
        other.rig.pass(5).await;
        assert!(!other.rig.holds(connection, &sold).await, "{name}");
        assert_eq!(other.rig.engine.push_status(connection).refused, 1, "{name}");
        // Twice, as platforms do: one reading.
        let before = reads_of(&other);
        for _ in 0..2 {
            assert_eq!(deliver(&other.rig.engine, &own[0]).await, Pushed::Taken, "{name}");
        }
        other.rig.pass(30).await;
        assert!(other.rig.holds(connection, &sold).await, "{name}: no poll was due");
        assert_eq!(reads_of(&other) - before, 1, "{name}");
        assert_eq!(other.rig.shop_orders_of(&sold).len(), 1, "{name}: it is in the shop already");
        // One that is lost costs time, and no order.
        let lost = other.sell();
        other.rig.world.take_messages();
        other.rig.pass(8_000).await;
        assert!(other.rig.holds(connection, &lost).await, "{name}");
    }
}

fn reads_of(other: &Other) -> u64 {
    let operation = if other.name == "ebay" { "getOrder" } else { "getShopReceipt" };
    other.rig.calls(other.name)[operation]["200"].as_u64().unwrap_or(0)
}

impl Rig {
    fn sell_designed(&self) -> String {
        let wish = json!({"sku": self.sku(), "quantity": 1, "paid": true, "customised": true});
        self.control("amazon", "sell", &wish)["id"].as_str().unwrap().to_owned()
    }

    async fn files(&self, order_no: OrderNo) -> Vec<crate::store::files::FileRow> {
        self.engine.store().read(move |read| crate::store::files::of_order(read, order_no)).await.unwrap()
    }

    async fn assert_sound(&self) {
        assert_eq!(self.engine.store().verify().await.unwrap().findings, []);
    }

    fn design_effects(&self, order_no: OrderNo) -> Vec<Effect> {
        let open = self.engine.with_queue(|queue| queue.of_order(order_no));
        open.into_iter().filter(|effect| effect.kind == EffectKind::KeepCustomisation).collect()
    }
}

use crate::domain::effect::{Effect, EffectKind};

#[tokio::test]
async fn what_a_buyer_designed_is_kept_once_and_its_link_is_nowhere_else() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let id = rig.sell_designed();
    let order_no = rig.wait_for_order(&id).await;
    rig.pass(30).await;
    let kept = rig.files(order_no).await;
    assert_eq!(kept.len(), 1);
    let order = rig.amazon_order(&id);
    assert_eq!(kept[0].external_line_id.as_deref(), order["lines"][0]["line_id"].as_str());
    let (file, size) = rig.engine.store().open_file(&kept[0].sha256).await.unwrap().unwrap();
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut &file, &mut content).unwrap();
    assert_eq!((content.len() as u64, &content[..2]), (size, b"PK".as_slice()));
    rig.assert_sound().await;
    // The order changes: what is kept is not fetched again.
    rig.pass(600).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    rig.control("bigcommerce", "ship", &json!({"id": copy["id"], "carrier": "UPS", "tracking": "1Z1"}));
    rig.pass(1800).await;
    assert_eq!(rig.amazon_order(&id)["status"], "shipped");
    assert_eq!(rig.calls("amazon")["downloadCustomization"], json!({"200": 1}));
    let held = rig.engine.store().read(|read| {
        let texts = "SELECT string_agg(text, ' ') FROM (SELECT options AS text FROM main.order_line
            UNION ALL SELECT text FROM main.event UNION ALL SELECT text FROM main.effect_log
            UNION ALL SELECT payload FROM raw.payload UNION ALL SELECT people FROM main.person)";
        read.first(texts, [], |row| Ok(row.get::<_, String>(0).unwrap()))
    });
    let held = held.await.unwrap().unwrap();
    assert!(held.contains("Customised by the buyer") && !held.contains("signature="), "{held}");
}

#[tokio::test]
async fn a_design_whose_link_has_died_is_fetched_by_the_orders_new_one() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.fault("amazon", "downloadCustomization", "500", 6);
    let id = rig.sell_designed();
    let order_no = rig.wait_for_order(&id).await;
    rig.pass(10).await;
    // Nobody reads the order while its link dies.
    rig.engine.pause(rig.amazon, "ann").await.unwrap();
    rig.pass(900).await;
    assert!(rig.files(order_no).await.is_empty());
    rig.engine.resume(rig.amazon, "ann").await.unwrap();
    rig.pass(5_400).await;
    assert_eq!(rig.files(order_no).await.len(), 1);
    assert!(rig.design_effects(order_no).is_empty());
    assert_eq!(rig.shop_orders_of(&id).len(), 1, "the order itself waits for nothing");
    let calls = rig.calls("amazon");
    assert_eq!(calls["downloadCustomization"], json!({"200": 1, "403": 1, "500": 6}));
    assert_eq!(calls["getOrder"], json!({"200": 1}), "read again once");
    rig.assert_sound().await;
}

#[tokio::test]
async fn a_design_that_is_gone_waits_for_a_person() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.fault("amazon", "downloadCustomization", "401", 2);
    let id = rig.sell_designed();
    let order_no = rig.wait_for_order(&id).await;
    rig.pass(1800).await;
    let open = rig.design_effects(order_no);
    let reason = open[0].reason.as_ref().unwrap();
    assert_eq!(
        (open.len(), open[0].state, reason.code),
        (1, EffectState::Held, ReasonCode::CustomisationMissing)
    );
    assert!(!reason.what().contains("http"), "{}", reason.what());
    assert_eq!(rig.calls("amazon")["downloadCustomization"], json!({"403": 2}), "once each");
    rig.engine.retry(order_no, "ann").await.unwrap();
    rig.pass(60).await;
    assert_eq!(rig.files(order_no).await.len(), 1);
    assert!(rig.design_effects(order_no).is_empty());
}

#[tokio::test]
async fn a_crash_between_a_file_and_its_row_leaves_nothing_behind() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.fault("amazon", "downloadCustomization", "500", 3);
    let id = rig.sell_designed();
    let order_no = rig.wait_for_order(&id).await;
    rig.engine.store().lay_file(bytes::Bytes::from_static(b"PK half an effect")).await.unwrap();
    let lying = || {
        let mut open = vec![rig.dir.path().join("files")];
        let mut count = 0;
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { open.push(path) } else { count += 1 }
            }
        }
        count
    };
    assert_eq!(lying(), 1);
    rig.assert_sound().await;
    rig.restart().await;
    let lying = || std::fs::read_dir(rig.dir.path().join("files.part")).unwrap().count();
    assert_eq!(lying(), 0);
    rig.assert_sound().await;
    rig.pass(600).await;
    assert_eq!(rig.files(order_no).await.len(), 1, "fetched again");
    rig.assert_sound().await;
    // And one whose row is in, while its note was not taken away yet, stays.
    let sha256 = rig.files(order_no).await[0].sha256.clone();
    std::fs::write(rig.dir.path().join("files.part").join(&sha256), "").unwrap();
    rig.restart().await;
    rig.assert_sound().await;
    assert!(rig.engine.store().open_file(&sha256).await.unwrap().is_some());
}

/// Keeps what people are told; or cannot.
#[derive(Default)]
struct Board {
    is_down: std::sync::atomic::AtomicBool,
    told: Mutex<Vec<crate::notify::Notice>>,
}

#[async_trait::async_trait]
impl crate::notify::Notifier for Board {
    async fn tell(&self, notices: &[crate::notify::Notice]) -> Result<(), String> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err("the mail server does not answer".to_owned());
        }
        self.told.lock().unwrap().extend_from_slice(notices);
        Ok(())
    }
}

#[tokio::test]
async fn people_are_told_once_that_an_account_needs_them_and_as_soon_as_they_can_be() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let (board, zone) = (Board::default(), jiff::tz::TimeZone::UTC);
    assert_eq!(rig.engine.tell_people(&board, &zone).await, Ok(0));
    rig.control("amazon", "revoke", &json!({}));
    rig.pass(8_000).await;
    board.is_down.store(true, Ordering::SeqCst);
    rig.engine.tell_people(&board, &zone).await.unwrap_err();
    board.is_down.store(false, Ordering::SeqCst);
    assert_eq!(rig.engine.tell_people(&board, &zone).await, Ok(1));
    rig.restart().await;
    assert_eq!(rig.engine.tell_people(&board, &zone).await, Ok(0), "that is durable");
    let told = board.told.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].title.contains("needs a new authorisation"), "{told:?}");
}

impl Rig {
    /// The texts of what happened to a connection, newest first.
    async fn history_of(&self, id: ConnectionId) -> Vec<String> {
        let events =
            self.engine.store().read(move |read| events::of_connection(read, id, 200)).await.unwrap();
        events.into_iter().map(|event| event.text).collect()
    }

    /// The connection never stopped and nobody was told anything, though what it sends here was refused, which is said once.
    async fn assert_unstopped(&self, id: ConnectionId, refused: &str) {
        let (board, zone) = (Board::default(), jiff::tz::TimeZone::UTC);
        assert_eq!(self.engine.tell_people(&board, &zone).await, Ok(0));
        assert_eq!(self.engine.connection(id).unwrap().state, ConnectionState::Active);
        let history = self.history_of(id).await;
        assert!(!history.iter().any(|text| text.contains(" is now ")), "{history:?}");
        let said = |text: &&String| text.contains("sends no messages here") && text.contains(refused);
        assert_eq!(history.iter().filter(said).count(), 1, "{history:?}");
    }
}

/// A grant without the right to notifications is no grant that is gone: polls go on, and nobody is asked for anything.
#[tokio::test]
async fn a_refused_subscription_is_said_once_and_stops_nothing() {
    let options = SimOptions { marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
    for operation in ["getSubscriptions", "getDestinations"] {
        let rig = Rig::new(options.clone(), |_| ()).await;
        let mut request = connection_requests(&rig.world).remove("ebay").unwrap();
        request.settings.shop = Some(rig.shop);
        rig.fault("ebay", operation, "403", 100_000);
        let id = rig.engine.add_connection(request, "test").await.unwrap();
        let mut other = Other { rig, name: "ebay", operation: "createShippingFulfillment" };
        other.rig.pass(1_500).await;
        let sold = other.sell();
        other.rig.pass(1_500).await;
        assert_eq!(other.rig.shop_orders_of(&sold).len(), 1, "{operation}");
        other.rig.assert_unstopped(id, operation).await;
    }
    for operation in ["getSubscription", "getDestinations"] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        rig.fault("amazon", operation, "403", 100_000);
        rig.enter_queue(crate::sim::AMAZON_ACCESS_KEY_ID).await;
        rig.pass(1_500).await;
        let sold = rig.sell(1);
        rig.pass(1_500).await;
        assert_eq!(rig.export(&sold).await, (ExportState::Created, None), "{operation}");
        rig.assert_unstopped(rig.amazon, operation).await;
    }
}

impl Rig {
    /// A fault that strikes what is about one thing only, and does not pass.
    fn lasting_fault(&self, platform: &str, operation: &str, kind: &str, about: &str) {
        let fault = json!({"operation": operation, "kind": kind, "count": 1_000_000, "about": about});
        self.control(platform, "fault", &fault);
    }
}

/// One order whose parcels eBay never tells keeps no other, and is no reason to stop.
#[tokio::test]
async fn one_order_whose_parcels_never_come_keeps_no_other() {
    for kind in ["403", "malformed"] {
        let mut other = Other::new("ebay", "createShippingFulfillment").await;
        let id = other.connection();
        let (bad, good) = (other.sell(), other.sell());
        other.rig.pass(300).await;
        other.rig.lasting_fault("ebay", "getShippingFulfillments", kind, &bad);
        other.rig.control("ebay", "ship", &json!({"id": bad, "carrier": "USPS", "tracking": "940011"}));
        other.rig.control("ebay", "ship", &json!({"id": good, "carrier": "USPS", "tracking": "940012"}));
        other.rig.pass(3_600).await;
        let copy = other.rig.shop_orders_of(&good).remove(0);
        assert_eq!(copy["shipments"][0]["tracking"], "940012", "{kind}: {copy}");
        let copy = other.rig.shop_orders_of(&bad).remove(0);
        assert_eq!(copy["shipments"].as_array().map(Vec::len), Some(0), "{kind}: none is made up: {copy}");
        let wanted = bad.clone();
        let held = other.rig.engine.store().read(move |read| {
            let order_no = crate::store::orders::find(read, id, &wanted)?;
            order_no.map_or(Ok(None), |order_no| crate::store::orders::facts(read, order_no))
        });
        let (_, held, _) = held.await.unwrap().unwrap();
        assert_eq!(held.status, crate::domain::order::OrderStatus::Shipped, "{kind}: eBay's word counts");
        let sold = other.sell();
        other.rig.pass(300).await;
        assert_eq!(other.rig.shop_orders_of(&sold).len(), 1, "{kind}: polls go on");
        assert_eq!(other.rig.engine.connection(id).unwrap().state, ConnectionState::Active, "{kind}");
        let history = other.rig.history_of(id).await;
        let is_stopped = |text: &String| text.contains(" is now needs_reauthorisation");
        assert!(!history.iter().any(is_stopped), "{kind}: {history:?}");
    }
}

impl Other {
    /// What the marketplace has sent since the last time.
    fn messages(&self) -> Vec<crate::sim::Message> {
        let sent = self.rig.world.take_messages().into_iter();
        sent.filter(|message| message.platform == self.name).collect()
    }
}

/// Messages that nobody can check keep none that can be, are never believed, and do not wait for ever.
#[tokio::test]
async fn messages_that_cannot_be_checked_keep_no_other() {
    for kind in ["malformed", "500"] {
        let mut other = Other::with_hooks("ebay", "createShippingFulfillment").await;
        let connection = other.connection();
        // The first one brings the key.
        let first = other.sell();
        let message = other.messages().remove(0);
        deliver(&other.rig.engine, &message).await;
        other.rig.pass(5).await;
        assert!(other.rig.holds(connection, &first).await, "{kind}");
        other.rig.lasting_fault("ebay", "getPublicKey", kind, "another-key");
        let header = json!({"alg": "ecdsa", "kid": "another-key", "signature": "AA==", "digest": "SHA1"});
        let header = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(header.to_string())
        };
        let unheard = other.sell();
        let forged =
            crate::sim::Message { headers: vec![("x-ebay-signature", header)], ..other.messages().remove(0) };
        // More than are looked at together.
        for _ in 0..60 {
            assert_eq!(deliver(&other.rig.engine, &forged).await, Pushed::Taken, "{kind}");
        }
        let sold = other.sell();
        let message = other.messages().remove(0);
        deliver(&other.rig.engine, &message).await;
        other.rig.pass(30).await;
        assert!(other.rig.holds(connection, &sold).await, "{kind}: it waits behind none of them");
        assert!(
            !other.rig.holds(connection, &unheard).await,
            "{kind}: what cannot be checked is not believed"
        );
        other.rig.pass(3_600).await;
        let status = other.rig.engine.push_status(connection);
        assert_eq!((status.verified, status.refused, status.given_up), (2, 0, 60), "{kind}: {status:?}");
        assert!(status.last_given_up.is_some_and(|why| why.contains("getPublicKey")), "{kind}");
        assert_eq!(other.rig.engine.inner.parts.hooks.spool.waiting_count(), 0, "{kind}");
        assert_eq!(other.rig.engine.connection(connection).unwrap().state, ConnectionState::Active, "{kind}");
        // Where eBay did not answer, a poll looks for what may have been missed.
        assert!(kind != "500" || other.rig.holds(connection, &unheard).await, "{kind}");
    }
}

/// One order that cannot be read by itself is left to the poll and asked for again for minutes, and the others of its batch are
/// read at once.
#[tokio::test]
async fn an_order_that_cannot_be_read_by_itself_keeps_no_other() {
    for kind in ["malformed", "500"] {
        let mut other = Other::with_hooks("ebay", "createShippingFulfillment").await;
        let connection = other.connection();
        let (bad, good) = (other.sell(), other.sell());
        other.rig.lasting_fault("ebay", "getOrder", kind, &bad);
        for message in other.messages() {
            deliver(&other.rig.engine, &message).await;
        }
        other.rig.pass(60).await;
        assert!(other.rig.holds(connection, &good).await, "{kind}");
        assert!(other.rig.holds(connection, &bad).await, "{kind}: the list knows it");
        assert_eq!(other.rig.engine.inner.parts.hooks.spool.waiting_count(), 1, "{kind}");
        other.rig.pass(3_600).await;
        assert_eq!(other.rig.engine.inner.parts.hooks.spool.waiting_count(), 0, "{kind}");
        assert_eq!(other.rig.engine.connection(connection).unwrap().state, ConnectionState::Active, "{kind}");
    }
}

/// Etsy's cancellations move no time of change: no poll lists them, and the next sweep is minutes away.
#[tokio::test]
async fn a_pushed_cancellation_that_cannot_be_read_at_first_is_known_soon() {
    for count in [1, 4] {
        let mut other = Other::with_hooks("etsy", "createReceiptShipment").await;
        let connection = other.connection();
        let sold = other.sell();
        for message in other.messages() {
            deliver(&other.rig.engine, &message).await;
        }
        other.rig.pass(30).await;
        assert!(other.rig.holds(connection, &sold).await);
        other.rig.fault("etsy", "getShopReceipt", "500", count);
        other.rig.control("etsy", "cancel", &json!({"id": sold}));
        for message in other.messages() {
            deliver(&other.rig.engine, &message).await;
        }
        other.rig.pass(120).await;
        let held = other.rig.engine.store().read(crate::store::standing::standings).await.unwrap();
        let statuses: Vec<_> =
            held.iter().filter(|order| order.external_id == sold).map(|order| order.status).collect();
        assert_eq!(statuses, [crate::domain::order::OrderStatus::Cancelled], "{count}");
        assert_eq!(other.rig.engine.inner.parts.hooks.spool.waiting_count(), 0, "{count}");
    }
}

/// A restored database may know nothing of a connection that messages wait for.
#[tokio::test]
async fn messages_of_a_connection_that_is_not_there_do_not_wait_for_good() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let spool = rig.engine.inner.parts.hooks.spool.clone();
    for connection in [ConnectionId(99), rig.shop] {
        let body = bytes::Bytes::from_static(b"{}");
        spool.append(connection, rig.clock.now(), BTreeMap::new(), body).await.unwrap();
    }
    drop(spool);
    rig.restart().await;
    let spool = &rig.engine.inner.parts.hooks.spool;
    assert!(spool.waiting(ConnectionId(99), 9, Timestamp::MAX).is_empty());
    assert_eq!(spool.waiting(rig.shop, 9, Timestamp::MAX).len(), 1);
}

/// What keeps the whole connection keeps its messages, too: none is given up for it.
#[tokio::test]
async fn messages_wait_for_a_quota_that_is_used_up() {
    let mut other = Other::with_hooks("ebay", "createShippingFulfillment").await;
    let connection = other.connection();
    let (one, two) = (other.sell(), other.sell());
    other.rig.fault("ebay", "getOrder", "429", 3);
    for message in other.messages() {
        deliver(&other.rig.engine, &message).await;
    }
    other.rig.pass(1).await;
    assert_eq!(other.rig.engine.inner.parts.hooks.spool.waiting_count(), 2);
    other.rig.pass(900).await;
    assert!(other.rig.holds(connection, &one).await && other.rig.holds(connection, &two).await);
    let status = other.rig.engine.push_status(connection);
    assert_eq!((status.verified, status.given_up), (2, 0), "{status:?}");
}

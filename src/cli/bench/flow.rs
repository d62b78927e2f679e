//! The way of an order: from the marketplace's answer into the file, into the shop, and its shipment back. Simulated
//! platforms over real loopback HTTP, the real engine, and a look at every call on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::simulators::Offer;
use super::super::{CliError, data};
use super::figure::{Figure, Limit, percentile};
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::config::Config;
use crate::domain::connection::{Connection, ConnectionSettings, History};
use crate::domain::id::{ChannelName, ConnectionId, OrderNo};
use crate::domain::order::ExportState;
use crate::http::{Answer, Call, HttpTransport, Transport, TransportError};
use crate::sim::server::{self, Layout, Running};
use crate::sim::{AMAZON, BIGCOMMERCE, MARKETPLACES, SimOptions, World};
use crate::store::{CommitMoment, Store, StoreError, orders};
use crate::sync::commands::NewConnectionRequest;
use crate::sync::spool::Spool;
use crate::sync::{Engine, EngineParts, EngineSettings, Hooks};

/// Orders that are followed one by one.
const SINGLE_COUNT: usize = 40;

/// Orders that are sold at once.
const MANY_COUNT: usize = 300;

/// Orders that wait on each marketplace when all are connected.
const WAITING_PER_MARKETPLACE: usize = 3_000;

/// Orders that wait in the shop's own storefront then.
const WAITING_IN_SHOP: usize = 1_000;

/// Operations that are named one by one, the longest first.
const OPERATIONS_SHOWN: usize = 12;

/// What has not happened by then does not happen.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Between two looks at one order: a look costs the database some work, too.
const LOOK_INTERVAL: Duration = Duration::from_millis(4);

/// Between two looks at many orders.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);

/// Stock of every variant, so that none runs out.
const STOCK: u64 = 1_000_000;

/// One order at a time; the platforms answer in 100 ms.
pub async fn single_orders(config: &Config, dir: &Path) -> Result<Vec<Figure>, CliError> {
    let rig = Rig::start(config, dir, latency(100), Waiting::None).await?;
    let (mut visible, mut created) = (Vec::new(), Vec::new());
    for _ in 0..SINGLE_COUNT {
        let id = rig.sell()?;
        rig.engine.sync_now(rig.amazon).map_err(CliError::Failed)?;
        let order_no = rig.wait(LOOK_INTERVAL, || rig.find(&id)).await?;
        let seen_at = Instant::now();
        rig.wait(LOOK_INTERVAL, || rig.is_created(order_no)).await?;
        let created_at = Instant::now();
        let answered_at = rig.spy.order_answered_at(&id).ok_or_else(|| {
            CliError::Failed(format!("Order {id} was stored, but no answer of the marketplace had it."))
        })?;
        visible.push(seen_at.saturating_duration_since(answered_at));
        created.push(created_at.saturating_duration_since(answered_at));
    }
    rig.stop().await?;
    Ok(vec![
        Figure::time("answer to order stored, p50", percentile(&mut visible, 50), None),
        Figure::time(
            "answer to order stored, p95",
            percentile(&mut visible, 95),
            Some(Limit::Below(300_000)),
        ),
        Figure::time("answer to shop order, shop in 100 ms, p50", percentile(&mut created, 50), None),
        Figure::time(
            "answer to shop order, shop in 100 ms, p95",
            percentile(&mut created, 95),
            Some(Limit::Below(1_000_000)),
        ),
    ])
}

/// Many orders at once; the platforms answer in 50 ms. Then all are shipped.
pub async fn many_orders(config: &Config, dir: &Path) -> Result<Vec<Figure>, CliError> {
    let rig = Rig::start(config, dir, latency(50), Waiting::None).await?;
    rig.spy.forget();
    for _ in 0..MANY_COUNT {
        rig.sell()?;
    }
    rig.engine.sync_now(rig.amazon).map_err(CliError::Failed)?;
    let count = u64::try_from(MANY_COUNT).unwrap_or(u64::MAX);
    rig.wait_for_calls("createOrder", count).await?;
    let creates = rig.spy.count(|seen| seen.operation == "createOrder");
    let probes = rig.spy.count(|seen| seen.is_probe);
    let time = rig.spy.time_of("createOrder");
    rig.ship_all()?;
    rig.wait_for_calls("confirmShipment", count).await?;
    let calls = rig.spy.count(|_| true);
    rig.stop().await?;
    Ok(vec![
        Figure::rate("orders created, shop in 50 ms", count, time, "orders/s", Some(Limit::AtLeast(100_000))),
        Figure::ratio(
            "create and probe calls per shop order",
            creates + probes,
            count,
            "calls",
            Some(Limit::AtMost(1_100)),
        ),
        Figure::ratio("all calls per order through shipment", calls, count, "calls", None),
    ])
}

/// Ten thousand orders wait on four platforms that answer in 50 ms, when all are connected at once.
pub async fn waiting_orders(config: &Config, dir: &Path) -> Result<Vec<Figure>, CliError> {
    let options = SimOptions { marketplaces: &MARKETPLACES, ..latency(50) };
    let rig = Rig::start(config, dir, options, Waiting::Many).await?;
    let sold = WAITING_PER_MARKETPLACE * MARKETPLACES.len();
    let in_shop = "SELECT count(*) FROM orders WHERE created_in_shop_at IS NOT NULL";
    let stored = rig.wait_for_rows("SELECT count(*) FROM orders", sold + WAITING_IN_SHOP).await?;
    let created = rig.wait_for_rows(in_shop, sold).await?;
    let (commits, commit_time) = rig.spy.commits();
    let (calls, busy) = rig.spy.by_operation();
    rig.stop().await?;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut figures = vec![
        Figure::rate(
            "10000 orders waiting on four platforms, stored",
            count(sold + WAITING_IN_SHOP),
            stored,
            "orders/s",
            None,
        ),
        Figure::rate(
            "the same, 9000 of them created in a shop in 50 ms",
            count(sold),
            created,
            "orders/s",
            Some(Limit::AtLeast(100_000)),
        ),
        Figure::time("the same, from connecting to the last one", created, None),
        Figure::ratio(
            "the same, orders in one commit",
            count(sold + WAITING_IN_SHOP),
            commits,
            "orders",
            None,
        ),
        Figure::time("the same, commits under way", commit_time, None),
        Figure::ratio("the same, calls under way at a time", millis(busy), millis(created), "calls", None),
    ];
    let mut slowest: Vec<_> = calls.into_iter().collect();
    slowest.sort_by_key(|(_, (_, time))| std::cmp::Reverse(*time));
    figures.extend(slowest.into_iter().take(OPERATIONS_SHOWN).map(|(operation, (number, time))| {
        let each = time.checked_div(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or_default();
        Figure::time(format!("the same, {number} calls of {operation}, each"), each, None)
    }));
    Ok(figures)
}

fn latency(ms: u64) -> SimOptions {
    SimOptions { orders: 0, rate_per_minute: 0, latency: Duration::from_millis(ms), ..SimOptions::default() }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What waits on the platforms when they are connected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nothing: it is begun once all is read.
    None,
    /// Orders on every platform: they are what is measured.
    Many,
}

/// Platforms, a store and an engine between them.
struct Rig {
    world: Arc<World>,
    running: Running,
    store: Store,
    engine: Engine,
    amazon: ConnectionId,
    spy: Arc<Spy>,
    sku: String,
    connected_at: Instant,
    stop: watch::Sender<bool>,
    worker: JoinHandle<()>,
}

impl Rig {
    async fn start(
        config: &Config,
        dir: &Path,
        options: SimOptions,
        waiting: Waiting,
    ) -> Result<Self, CliError> {
        let marketplaces = options.marketplaces;
        let go_live = SystemClock.now();
        let world = Arc::new(World::open(options, Arc::new(SystemClock)).map_err(CliError::failed)?);
        let running =
            server::start(&world, &Layout::PortEach(Default::default())).map_err(CliError::failed)?;
        let mut config = config.clone();
        config.data.dir = dir.to_owned();
        let store = data::open_store(&config).await.map_err(CliError::failed)?;
        let inner = HttpTransport::new(config.network.http_settings()).map_err(CliError::failed)?;
        let spy = Arc::new(Spy { inner, seen: Mutex::new(Vec::new()), commits: Mutex::default() });
        let watcher = Arc::clone(&spy);
        store.watch_commits(move |moment| watcher.on_commit(moment));
        let engine = Engine::start(EngineParts {
            store: store.clone(),
            vault: Arc::new(data::open_vault(&config)?),
            transport: Arc::clone(&spy) as Arc<dyn Transport>,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(Entropy::from_os()),
            settings: EngineSettings::default(),
            hooks: Hooks::new(Spool::open(dir).map_err(CliError::failed)?, None),
        })
        .await
        .map_err(CliError::failed)?;
        let (stop, stopped) = watch::channel(false);
        let worker = tokio::spawn({
            let engine = engine.clone();
            async move { engine.run(stopped).await }
        });
        let sku = stocked_sku(&world)?;
        if waiting == Waiting::Many {
            for marketplace in marketplaces {
                sell_many(&world, marketplace, WAITING_PER_MARKETPLACE)?;
            }
            sell_many(&world, BIGCOMMERCE, WAITING_IN_SHOP)?;
        }
        let offers = world.connections(|platform| running.sims.get(platform).cloned().unwrap_or_default());
        let connected_at = Instant::now();
        connect(&engine, offers, go_live).await?;
        let is_amazon = |known: &Connection| known.channel.as_str() == AMAZON;
        let amazon = engine.connections().into_iter().find(is_amazon).map(|known| known.id);
        let amazon =
            amazon.ok_or_else(|| CliError::Failed("The simulated platforms offer no Amazon.".to_owned()))?;
        let rig = Self { world, running, store, engine, amazon, spy, sku, connected_at, stop, worker };
        if waiting == Waiting::Many {
            return Ok(rig);
        }
        rig.wait(COUNT_INTERVAL, || async {
            let is_read = |id: ConnectionId| rig.engine.live_status(id).complete_until.is_some();
            Ok(rig.engine.connections().iter().all(|known| is_read(known.id)).then_some(()))
        })
        .await?;
        Ok(rig)
    }

    /// A paid sale on the marketplace; the platform's id of it.
    fn sell(&self) -> Result<String, CliError> {
        let sold = deed(&self.world, AMAZON, "sell", &json!({"sku": self.sku, "quantity": 1, "paid": true}))?;
        text(&sold, "id")
    }

    /// Every order in the shop is shipped there.
    fn ship_all(&self) -> Result<(), CliError> {
        let (_, shop_orders) = self.world.control(BIGCOMMERCE, "shop_orders", None);
        for (number, order) in shop_orders.as_array().into_iter().flatten().enumerate() {
            let parcel = json!({"id": text(order, "id")?, "carrier": "UPS", "tracking": format!("1Z999AA1{number:010}")});
            deed(&self.world, BIGCOMMERCE, "ship", &parcel)?;
        }
        Ok(())
    }

    async fn find(&self, id: &str) -> Result<Option<OrderNo>, StoreError> {
        let (amazon, id) = (self.amazon, id.to_owned());
        self.store.read(move |read| orders::find(read, amazon, &id)).await
    }

    async fn is_created(&self, order_no: OrderNo) -> Result<Option<()>, StoreError> {
        let found = self.store.read(move |read| orders::facts(read, order_no)).await?;
        Ok(found.filter(|(_, held, _)| held.export_state == ExportState::Created).map(|_| ()))
    }

    /// Waits until so many calls of an operation were answered.
    async fn wait_for_calls(&self, operation: &str, count: u64) -> Result<(), CliError> {
        self.wait(COUNT_INTERVAL, || async move {
            Ok((self.spy.count(|seen| seen.operation == operation) >= count).then_some(()))
        })
        .await
    }

    /// Waits until a query counts so many, and says how long that took from connecting on.
    async fn wait_for_rows(&self, sql: &str, count: usize) -> Result<Duration, CliError> {
        self.wait(COUNT_INTERVAL, || async move {
            let found = self.store.query(sql.to_owned(), Vec::new(), 1).await?.json_rows()?;
            let number = found.first().and_then(|row| row.first()).and_then(Value::as_u64);
            let is_there = number.and_then(|number| usize::try_from(number).ok()) >= Some(count);
            Ok(is_there.then(|| self.connected_at.elapsed()))
        })
        .await
    }

    async fn wait<T, F: Future<Output = Result<Option<T>, StoreError>>>(
        &self,
        interval: Duration,
        look: impl Fn() -> F,
    ) -> Result<T, CliError> {
        let started = Instant::now();
        while started.elapsed() < WAIT_MAX {
            if let Some(found) = look().await.map_err(CliError::failed)? {
                return Ok(found);
            }
            SystemClock.sleep(interval).await;
        }
        let trouble =
            self.engine.connections().iter().find_map(|known| self.engine.live_status(known.id).last_error);
        Err(CliError::Failed(format!(
            "What was to be measured did not happen within {} s. {}",
            WAIT_MAX.as_secs(),
            trouble.unwrap_or_default()
        )))
    }

    async fn stop(self) -> Result<(), CliError> {
        // Nobody listens any more only where the worker has ended already.
        let _ = self.stop.send(true);
        self.worker.await.map_err(CliError::failed)?;
        self.running.stop().await;
        self.store.close().await;
        Ok(())
    }
}

/// Connects them all; shops come first, and marketplaces name theirs.
async fn connect(engine: &Engine, offers: Value, go_live: Timestamp) -> Result<(), CliError> {
    let mut shops = BTreeMap::new();
    for offer in Offer::read_all(offers)? {
        let alias = offer.alias.clone();
        let request = NewConnectionRequest {
            credentials: offer.secrets(),
            channel: ChannelName(offer.channel),
            alias: offer.alias,
            base_url: Some(offer.base_url),
            settings: ConnectionSettings {
                shop: offer.shop.as_ref().and_then(|name| shops.get(name).copied()),
                go_live: Some(go_live),
                history: History::None,
                poll_interval_s: Some(1),
                ..ConnectionSettings::default()
            },
        };
        let id = engine
            .add_connection(request, "bench")
            .await
            .map_err(|refused| CliError::Failed(refused.message))?;
        shops.insert(alias, id);
    }
    Ok(())
}

/// Paid sales of everything that the seller ships and the shop has, in turns.
fn sell_many(world: &World, platform: &str, count: usize) -> Result<(), CliError> {
    let (_, listings) = world.control(platform, "listings", None);
    let (_, variants) = world.control(BIGCOMMERCE, "listings", None);
    let in_shop: Vec<&str> = skus(&variants).collect();
    let mut fitting: Vec<&str> = skus(&listings).filter(|sku| in_shop.contains(sku)).collect();
    fitting.dedup();
    for sku in &fitting {
        deed(world, BIGCOMMERCE, "stock", &json!({"sku": sku, "quantity": STOCK}))?;
    }
    for sku in fitting.iter().cycle().take(count) {
        deed(world, platform, "sell", &json!({"sku": sku, "quantity": 1, "paid": true}))?;
    }
    Ok(())
}

/// SKUs of the listings that the seller ships.
fn skus(listings: &Value) -> impl Iterator<Item = &str> {
    let of_seller = |listing: &&Value| listing.get("fulfilled_by").is_some_and(|by| by == "seller");
    listings
        .as_array()
        .into_iter()
        .flatten()
        .filter(of_seller)
        .filter_map(|listing| listing.get("sku")?.as_str())
}

/// A SKU that Amazon's seller ships and the shop has, with more stock than will be sold.
fn stocked_sku(world: &World) -> Result<String, CliError> {
    let (_, listings) = world.control(AMAZON, "listings", None);
    let (_, variants) = world.control(BIGCOMMERCE, "listings", None);
    let sku = skus(&listings)
        .find(|sku| skus(&variants).any(|known| known == *sku))
        .map(str::to_owned)
        .ok_or_else(|| CliError::Failed("The simulated platforms have no SKU in common.".to_owned()))?;
    deed(world, BIGCOMMERCE, "stock", &json!({"sku": sku, "quantity": STOCK}))?;
    Ok(sku)
}

fn deed(world: &World, platform: &str, name: &str, body: &Value) -> Result<Value, CliError> {
    let (status, answer) = world.control(platform, name, Some(body));
    if status.is_success() {
        Ok(answer)
    } else {
        Err(CliError::Failed(format!("The simulated {platform} refused {name}: {answer}")))
    }
}

fn text(value: &Value, name: &str) -> Result<String, CliError> {
    let found = value.get(name).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| CliError::Failed(format!("The simulators gave no {name}: {value}")))
}

/// Looks at every call and answer on its way.
struct Spy {
    inner: HttpTransport,
    seen: Mutex<Vec<Seen>>,
    commits: Mutex<Commits>,
}

/// Commits so far.
#[derive(Default)]
struct Commits {
    count: u64,
    time: Duration,
    began_at: Option<Instant>,
}

struct Seen {
    operation: &'static str,
    is_probe: bool,
    sent_at: Instant,
    answered_at: Instant,
    /// Of searches for orders alone.
    body: Bytes,
}

impl std::fmt::Debug for Spy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spy")
    }
}

#[async_trait]
impl Transport for Spy {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        let operation = call.operation;
        let is_probe = call.request.uri().query().is_some_and(|query| query.contains("external_order_id"));
        let sent_at = Instant::now();
        let answer = self.inner.send(call).await;
        let body = match &answer {
            Ok(answer) if operation == "searchOrders" => answer.body.clone(),
            Ok(_) | Err(_) => Bytes::new(),
        };
        self.with(|seen| seen.push(Seen { operation, is_probe, sent_at, answered_at: Instant::now(), body }));
        answer
    }
}

impl Spy {
    fn with<T>(&self, look: impl FnOnce(&mut Vec<Seen>) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn on_commit(&self, moment: CommitMoment) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        match moment {
            CommitMoment::Before => commits.began_at = Some(Instant::now()),
            CommitMoment::After => {
                commits.count += 1;
                let time = commits.began_at.take().map(|began_at| began_at.elapsed());
                commits.time += time.unwrap_or_default();
            }
        }
    }

    /// How many commits there were, and how long they took in all.
    fn commits(&self) -> (u64, Duration) {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        (commits.count, commits.time)
    }

    /// Calls of each operation and their time, and the time of all.
    fn by_operation(&self) -> (BTreeMap<&'static str, (u64, Duration)>, Duration) {
        let mut found: BTreeMap<_, (u64, Duration)> = BTreeMap::new();
        self.with(|seen| {
            for call in seen.iter() {
                let entry = found.entry(call.operation).or_default();
                entry.0 += 1;
                entry.1 += call.answered_at.saturating_duration_since(call.sent_at);
            }
        });
        let busy = found.values().map(|(_, time)| *time).sum();
        (found, busy)
    }

    fn forget(&self) {
        self.with(Vec::clear);
    }

    fn count(&self, is_meant: impl Fn(&Seen) -> bool) -> u64 {
        self.with(|seen| u64::try_from(seen.iter().filter(|seen| is_meant(seen)).count()).unwrap_or(u64::MAX))
    }

    /// When the marketplace first gave this order.
    fn order_answered_at(&self, id: &str) -> Option<Instant> {
        let has_it = |seen: &&Seen| seen.body.windows(id.len()).any(|part| part == id.as_bytes());
        self.with(|seen| seen.iter().find(has_it).map(|seen| seen.answered_at))
    }

    /// From the first call of an operation to the last answer.
    fn time_of(&self, operation: &str) -> Duration {
        self.with(|seen| {
            let calls = || seen.iter().filter(|seen| seen.operation == operation);
            let first = calls().map(|seen| seen.sent_at).min();
            let last = calls().map(|seen| seen.answered_at).max();
            first.zip(last).map_or(Duration::ZERO, |(first, last)| last.saturating_duration_since(first))
        })
    }
}

//! How far behind the platforms' own quotas leave the appliance: the real connectors, planning and store against
//! simulated platforms that hold their published quotas, on simulated time, where nothing goes wrong.
//!
//! Calls take no time of their own here and run one after the other, so that what is left is waiting: for the next
//! poll, for a quota, for the shop. Nothing here may depend on how fast the machine is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::deeds::{list, text};
use super::field::answer_of;
use super::marketplace::Marketplace;
use super::rig::{self, START, TICK, connection_requests, words};
use super::snapshot::{self, Cut, Scratch};
use super::{on_threads, runtime};
use crate::clock::{Clock as _, Entropy, ManualClock, SharedClock, shifted};
use crate::domain::connection::{ConnectionSettings, History};
use crate::domain::id::ConnectionId;
use crate::http::{Answer, Call, Transport, TransportError};
use crate::sim::{AMAZON, BIGCOMMERCE, EBAY, ETSY, Quotas, SimOptions, World};
use crate::store::Store;
use crate::sync::spool::Spool;
use crate::sync::{Engine, EngineParts, EngineSettings, Hooks};
use crate::vault::{KeySource, Vault};

/// Days over which history is spread.
const HISTORY_DAYS: u32 = 365;
/// Stock of every variant, so that none runs out.
const STOCK: u64 = 100_000_000;
/// How long an order waits in the shop before its parcel leaves.
const PACKING: SignedDuration = SignedDuration::from_mins(20);
/// Between two looks at what is to be shipped.
const LOOK_INTERVAL: SignedDuration = SignedDuration::from_secs(60);
/// An import that takes longer than this is not waited for.
const IMPORT_MAX: SignedDuration = SignedDuration::from_hours(24 * 60);
/// More orders than any measurement has.
const ROWS_MAX: usize = 1_000_000;

/// What is to be measured.
#[derive(Debug, Clone, Copy)]
pub enum Question {
    /// Orders that arrive evenly, so many a day, for so long.
    Rate {
        /// The marketplace.
        marketplace: Marketplace,
        /// Orders a day.
        per_day: u32,
        /// How long they arrive.
        length: SignedDuration,
    },
    /// Orders of a year that are there when the connection is made.
    Import {
        /// The marketplace.
        marketplace: Marketplace,
        /// How many.
        orders: u32,
    },
}

impl Question {
    /// Who sells.
    #[must_use]
    pub const fn marketplace(self) -> Marketplace {
        match self {
            Self::Rate { marketplace, .. } | Self::Import { marketplace, .. } => marketplace,
        }
    }
}

/// The middle, the slow end and the slowest of many times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// Half took no longer.
    pub p50: SignedDuration,
    /// Nineteen of twenty took no longer.
    pub p95: SignedDuration,
    /// None took longer.
    pub max: SignedDuration,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The question.
    pub question: Question,
    /// Orders that the marketplace had.
    pub sold: usize,
    /// Orders that were stored at the end.
    pub stored: usize,
    /// From the sale until the order is stored.
    pub to_stored: Spread,
    /// From the sale until it is in the shop.
    pub to_shop: Spread,
    /// From the parcel in the shop until the marketplace is told.
    pub to_told: Spread,
    /// How long the oldest order that is not stored at the end has waited; none where all are.
    pub oldest_waiting: Option<SignedDuration>,
    /// Simulated time that it took.
    pub took: SignedDuration,
    /// Calls of each platform's operations.
    pub calls: Calls,
}

/// How often each operation was called, by platform.
pub type Calls = BTreeMap<&'static str, BTreeMap<String, u64>>;

/// Answers the questions, as many at a time as there are threads. `tell` hears of each answer.
///
/// # Errors
/// Where the machine does not let it run, or a platform refuses what it must not.
pub fn measure(
    questions: &[Question],
    threads: usize,
    tell: &(dyn Fn(&Finding) + Sync),
) -> Result<Vec<Finding>, String> {
    let template = Scratch::make("template").map_err(words)?;
    runtime()?.block_on(rig::make_template(template.path()))?;
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(BTreeMap::new());
    let work = || -> Result<(), String> {
        let runtime = runtime()?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(question) = questions.get(number) else { return Ok(()) };
            let finding = runtime.block_on(answer(*question, &template))?;
            tell(&finding);
            findings.lock().unwrap_or_else(PoisonError::into_inner).insert(number, finding);
        }
    };
    on_threads(threads, work)?;
    Ok(findings.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
}

async fn answer(question: Question, template: &Scratch) -> Result<Finding, String> {
    match question {
        Question::Rate { marketplace, per_day, length } => {
            let mut bench = Bench::start(marketplace, 0, History::None, template).await?;
            let gap_us = 86_400_000_000_i64.checked_div(i64::from(per_day)).unwrap_or(i64::MAX);
            bench.sell_for(SignedDuration::from_micros(gap_us), length).await?;
            bench.finding(question, None).await
        }
        Question::Import { marketplace, orders } => {
            let mut bench = Bench::start(marketplace, orders, History::Everything, template).await?;
            let took = bench.wait_for_import().await?;
            bench.finding(question, Some(took)).await
        }
    }
}

/// One appliance between a marketplace and a shop that hold their quotas.
struct Bench {
    world: Arc<World>,
    clock: Arc<ManualClock>,
    engine: Engine,
    store: Store,
    marketplace: Marketplace,
    connection: ConnectionId,
    skus: Vec<String>,
    /// When each sale was made, by the platform's id of it.
    sales: Vec<(String, Timestamp)>,
    /// What waits to be shipped in the shop: the shop's id, and when its time comes.
    packing: VecDeque<(String, Timestamp)>,
    packed_until: Timestamp,
    parcels: u64,
    started_at: Timestamp,
    /// Calls before that.
    calls_before: Calls,
    _scratch: Scratch,
}

impl Bench {
    async fn start(
        marketplace: Marketplace,
        orders: u32,
        history: History,
        template: &Scratch,
    ) -> Result<Self, String> {
        let scratch = Scratch::make(marketplace.name()).map_err(words)?;
        snapshot::copy(template.path(), scratch.path(), Cut::default()).map_err(words)?;
        let clock = Arc::new(ManualClock::new(START));
        let shared = Arc::clone(&clock) as SharedClock;
        let options = SimOptions {
            orders,
            history_days: HISTORY_DAYS,
            rate_per_minute: 0,
            quotas: Quotas::Real,
            marketplaces: marketplace.alone(),
            ..SimOptions::default()
        };
        let world = Arc::new(World::open(options, Arc::clone(&shared)).map_err(words)?);
        let entropy = Arc::new(Entropy::seeded(11));
        let store_options = rig::store_options(scratch.path(), &shared, Arc::clone(&entropy));
        let store = Store::open(store_options).map_err(words)?;
        let vault = Vault::open(scratch.path(), &KeySource::DataFolder).map_err(words)?;
        let engine = Engine::start(EngineParts {
            store: store.clone(),
            vault: Arc::new(vault),
            transport: Arc::new(Line { world: Arc::clone(&world) }),
            clock: shared,
            entropy,
            settings: EngineSettings::default(),
            hooks: Hooks::new(Spool::open(scratch.path()).map_err(words)?, None),
        })
        .await
        .map_err(words)?;
        let skus = stock_up(&world, marketplace.name())?;
        let connection = connect(&engine, &world, marketplace.name(), history).await?;
        Ok(Self {
            world,
            clock,
            engine,
            store,
            marketplace,
            connection,
            skus,
            sales: Vec::new(),
            packing: VecDeque::new(),
            packed_until: START,
            parcels: 0,
            started_at: START,
            calls_before: Calls::new(),
            _scratch: scratch,
        })
    }

    /// Sells one order after the other for so long. What is in the shop leaves it after a while.
    async fn sell_for(&mut self, gap: SignedDuration, length: SignedDuration) -> Result<(), String> {
        // The first reading of listings and orders is not what is measured.
        self.pass(SignedDuration::from_mins(60)).await?;
        self.started_at = self.clock.now();
        self.calls_before = self.calls();
        let end = shifted(self.started_at, length);
        let mut next_sale = self.started_at;
        let mut next_look = self.started_at;
        loop {
            let now = self.clock.now();
            while next_sale <= now && next_sale < end {
                self.sell()?;
                next_sale = shifted(next_sale, gap);
            }
            if next_look <= now {
                self.ship_due().await?;
                next_look = shifted(now, LOOK_INTERVAL);
            }
            if now >= end {
                return Ok(());
            }
            self.step(next_sale.min(next_look).min(end)).await;
        }
    }

    /// Waits until all of the marketplace's orders are stored, and says how long that took.
    async fn wait_for_import(&mut self) -> Result<SignedDuration, String> {
        self.sales = list(&self.world, self.marketplace.name(), "orders")
            .iter()
            .map(|order| (text(order, "id").to_owned(), self.started_at))
            .collect();
        let end = shifted(self.started_at, IMPORT_MAX);
        loop {
            let status = self.engine.live_status(self.connection);
            if status.complete_until.is_some() && !status.is_importing {
                return Ok(self.clock.now().duration_since(self.started_at));
            }
            if self.clock.now() >= end {
                let trouble = status.last_error.unwrap_or_default();
                return Err(format!("{}: the import does not end: {trouble}", self.marketplace.name()));
            }
            self.step(end).await;
        }
    }

    async fn pass(&self, time: SignedDuration) -> Result<(), String> {
        let end = shifted(self.clock.now(), time);
        while self.clock.now() < end {
            self.step(end).await;
        }
        Ok(())
    }

    /// Lets the engine do what is due, then time pass until something is, at the latest until `latest`.
    async fn step(&self, latest: Timestamp) {
        let next_due = self.engine.step().await.next_due;
        let now = self.clock.now();
        let next = next_due.map_or(latest, |due| due.min(latest));
        self.clock.set(next.max(shifted(now, TICK)));
    }

    fn sell(&mut self) -> Result<(), String> {
        let place = self.sales.len().checked_rem(self.skus.len()).unwrap_or(0);
        let sku = self.skus.get(place).ok_or("nothing is for sale")?;
        let body = json!({"sku": sku, "quantity": 1, "paid": true});
        let sold = deed(&self.world, self.marketplace.name(), "sell", &body)?;
        self.sales.push((text(&sold, "id").to_owned(), self.clock.now()));
        Ok(())
    }

    /// What has lain in the shop long enough leaves it.
    async fn ship_due(&mut self) -> Result<(), String> {
        let now = self.clock.now();
        let sql = "SELECT shop_order_id, epoch_us(created_in_shop_at) FROM orders
                   WHERE created_in_shop_at > make_timestamp(?) AND created_in_shop_at <= make_timestamp(?)
                   ORDER BY created_in_shop_at, order_no";
        let params = vec![json!(self.packed_until.as_microsecond()), json!(now.as_microsecond())];
        for row in self.rows(sql, params).await? {
            let id = row.first().and_then(Value::as_str).unwrap_or_default().to_owned();
            let created_us = row.get(1).and_then(Value::as_i64).unwrap_or(0);
            let created_at = Timestamp::from_microsecond(created_us).map_err(words)?;
            self.packing.push_back((id, shifted(created_at, PACKING)));
        }
        self.packed_until = now;
        while let Some((id, due)) = self.packing.front()
            && *due <= now
        {
            self.parcels += 1;
            let tracking = format!("1Z999AA1{:010}", self.parcels);
            let parcel = json!({"id": id, "carrier": "UPS", "tracking": tracking});
            deed(&self.world, BIGCOMMERCE, "ship", &parcel)?;
            self.packing.pop_front();
        }
        Ok(())
    }

    async fn rows(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Vec<Value>>, String> {
        let found = self.store.query(sql.to_owned(), params, ROWS_MAX).await.map_err(words)?;
        found.json_rows().map_err(words)
    }

    async fn finding(&self, question: Question, took: Option<SignedDuration>) -> Result<Finding, String> {
        let orders = "SELECT external_id, date_diff('microsecond', placed_at, imported_at),
                             date_diff('microsecond', placed_at, created_in_shop_at)
                      FROM orders WHERE channel = ? ORDER BY order_no";
        let parcels = "SELECT date_diff('microsecond', s.shipped_at, s.told_at)
                       FROM shipments s JOIN orders o ON o.order_no = s.order_no
                       WHERE o.channel = ? AND s.told_at IS NOT NULL ORDER BY s.order_no";
        let held = self.rows(orders, vec![json!(self.marketplace.name())]).await?;
        let told = self.rows(parcels, vec![json!(self.marketplace.name())]).await?;
        let stored: BTreeSet<&str> =
            held.iter().filter_map(|row| row.first().and_then(Value::as_str)).collect();
        let now = self.clock.now();
        let is_waiting = |(id, _): &&(String, Timestamp)| !stored.contains(id.as_str());
        let oldest = self.sales.iter().filter(is_waiting).map(|(_, at)| *at).min();
        Ok(Finding {
            question,
            sold: self.sales.len(),
            stored: stored.len(),
            to_stored: spread(&held, 1),
            to_shop: spread(&held, 2),
            to_told: spread(&told, 0),
            oldest_waiting: oldest.map(|at| now.duration_since(at)),
            took: took.unwrap_or_else(|| now.duration_since(self.started_at)),
            calls: self.calls_since_start(),
        })
    }

    fn calls(&self) -> Calls {
        [self.marketplace.name(), BIGCOMMERCE].map(|name| (name, calls(&self.world, name))).into()
    }

    fn calls_since_start(&self) -> Calls {
        let mut calls = self.calls();
        for (platform, before) in &self.calls_before {
            for (operation, count) in calls.get_mut(platform).into_iter().flatten() {
                *count -= before.get(operation).copied().unwrap_or(0).min(*count);
            }
        }
        calls
    }
}

/// What the seller ships and the shop has, with more stock than will be sold.
fn stock_up(world: &World, marketplace: &str) -> Result<Vec<String>, String> {
    let in_shop: BTreeSet<String> =
        list(world, BIGCOMMERCE, "listings").iter().map(|variant| text(variant, "sku").to_owned()).collect();
    let mut skus = Vec::new();
    for listing in list(world, marketplace, "listings") {
        let sku = text(&listing, "sku");
        if text(&listing, "fulfilled_by") == "seller" && in_shop.contains(sku) {
            deed(world, BIGCOMMERCE, "stock", &json!({"sku": sku, "quantity": STOCK}))?;
            skus.push(sku.to_owned());
        }
    }
    Ok(skus)
}

/// Connects the shop and the marketplace at their real addresses, so that their published quotas are kept.
async fn connect(
    engine: &Engine,
    world: &World,
    marketplace: &str,
    history: History,
) -> Result<ConnectionId, String> {
    let mut requests = connection_requests(world)?;
    let mut add = async |channel: &str, settings: ConnectionSettings| {
        let mut request = requests.remove(channel).ok_or_else(|| format!("there is no {channel}"))?;
        request.base_url = None;
        request.settings = settings;
        engine.add_connection(request, "delays").await.map_err(|refused| refused.message)
    };
    let shop = add(BIGCOMMERCE, ConnectionSettings::default()).await?;
    let settings = ConnectionSettings { shop: Some(shop), history, ..ConnectionSettings::default() };
    add(marketplace, settings).await
}

fn deed(world: &World, platform: &str, name: &str, body: &Value) -> Result<Value, String> {
    let (status, answer) = world.control(platform, name, Some(body));
    if status.is_success() { Ok(answer) } else { Err(format!("{platform} refused {name} {body}: {answer}")) }
}

/// How often each operation was called.
fn calls(world: &World, platform: &str) -> BTreeMap<String, u64> {
    let (_, counts) = world.control(platform, "calls", None);
    let by_operation = counts.as_object().into_iter().flatten();
    by_operation
        .map(|(operation, by_status)| {
            let counts = by_status.as_object().into_iter().flatten();
            (operation.clone(), counts.filter_map(|(_, count)| count.as_u64()).sum())
        })
        .collect()
}

/// The spread of a column of microseconds; rows without a value do not count.
fn spread(rows: &[Vec<Value>], column: usize) -> Spread {
    let mut times: Vec<i64> = rows.iter().filter_map(|row| row.get(column).and_then(Value::as_i64)).collect();
    times.sort_unstable();
    let at = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
        SignedDuration::from_micros(times.get(place).copied().unwrap_or(0))
    };
    Spread { p50: at(50), p95: at(95), max: at(100) }
}

/// The way to the platforms, by the hosts that they really have. No time passes on it.
#[derive(Debug)]
struct Line {
    world: Arc<World>,
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        let host = call.request.uri().host().unwrap_or_default();
        let owner = host.rsplit('.').nth(1).unwrap_or_default();
        let platform = [AMAZON, BIGCOMMERCE, EBAY, ETSY].into_iter().find(|known| *known == owner);
        match platform {
            Some(platform) => Ok(answer_of(self.world.handle(platform, &call.request).response)),
            None => Err(TransportError::Invalid(format!("no simulated platform has the host {host}"))),
        }
    }
}

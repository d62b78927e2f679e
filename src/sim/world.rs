//! All simulated platforms of one process: their state, their clock, their faults, and what survives a kill.
//!
//! A call is answered in four steps: the world catches up with its clock, the platform answers, the changes go into
//! the journal, and only when they are durable does the answer leave. Nothing here opens a socket or asks the system
//! for the time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::amazon::{self, Amazon};
use super::bigcommerce::{self, Shop};
use super::catalogue::goods;
use super::draw::Draw;
use super::ebay::{self, Ebay};
use super::etsy::{self, Etsy};
use super::faults::{self, Fault, Planned};
use super::journal::Journal;
use super::options::{FaultRate, Quotas, SimOptions};
use super::push::Message;
use super::reply::{self, Delivery, Reply};
use super::{AMAZON, BIGCOMMERCE, EBAY, ETSY, PLATFORMS, control};
use crate::clock::{SharedClock, shifted};

/// After a longer stop no orders are made up for the time that has passed.
const CATCH_UP_SECONDS: i64 = 600;

/// The share of new orders that are storefront sales, in percent.
const STOREFRONT_PERCENT: u64 = 10;

/// Why a world could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The folder cannot be read or written.
    #[error("the simulators' folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    /// The folder holds the world of another seed.
    #[error("the folder holds simulators of seed {found}, not {wanted}: give that seed or another folder")]
    OtherSeed {
        /// The folder's seed.
        found: u64,
        /// The seed that was asked for.
        wanted: u64,
    },
}

/// What the world itself has to remember.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Meta {
    seed: u64,
    /// How far `/_sim/clock` has moved the clock.
    offset_s: i64,
    /// Orders that have arrived.
    arrivals: u64,
    /// When the next order arrives, in microseconds.
    next_arrival: Option<i64>,
}

#[derive(Serialize)]
enum RecordRef<'a> {
    World(&'a Meta),
    Amazon(amazon::RecordRef<'a>),
    Ebay(ebay::RecordRef<'a>),
    Etsy(etsy::RecordRef<'a>),
    Shop(bigcommerce::RecordRef<'a>),
}

#[derive(Deserialize)]
enum Record {
    World(Meta),
    Amazon(amazon::Record),
    Ebay(ebay::Record),
    Etsy(etsy::Record),
    Shop(bigcommerce::Record),
}

/// Everything that changes.
pub(super) struct State {
    /// The world's time: that of the last call, never going back.
    pub now: Timestamp,
    /// Amazon.
    pub amazon: Amazon,
    /// eBay.
    pub ebay: Ebay,
    /// Etsy.
    pub etsy: Etsy,
    /// The BigCommerce store.
    pub shop: Shop,
    meta: Meta,
    has_meta_changed: bool,
    arrival_gap_us: Option<i64>,
    marketplaces: &'static [&'static str],
    planned: BTreeMap<String, Vec<Planned>>,
    /// Effects that come after their client gave up, by when and by call number.
    late: BTreeMap<(i64, u64), (String, Request<Bytes>)>,
    calls: BTreeMap<String, BTreeMap<&'static str, BTreeMap<String, u64>>>,
    call_number: u64,
    /// Messages that a fault kept from ever being sent, by platform.
    lost_messages: BTreeMap<&'static str, u64>,
}

/// All simulated platforms of one process.
pub struct World {
    options: SimOptions,
    clock: SharedClock,
    state: Mutex<State>,
    journal: Option<Journal>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("World").field("options", &self.options).finish_non_exhaustive()
    }
}

impl World {
    /// Opens the world of `options`: a new one with its back catalogue, or the one in the folder as it was left.
    ///
    /// # Errors
    /// Where the folder cannot be used, is in use, or holds the world of another seed.
    pub fn open(options: SimOptions, clock: SharedClock) -> Result<Self, SimError> {
        let mut state = State::new(&options, clock.now());
        let mut found_seed = None;
        let journal = match &options.folder {
            None => None,
            Some(folder) => Some(Journal::open(folder, &mut |line| {
                state.restore(line)?;
                found_seed = Some(state.meta.seed);
                Ok(())
            })?),
        };
        match found_seed {
            Some(found) if found != options.seed => {
                return Err(SimError::OtherSeed { found, wanted: options.seed });
            }
            Some(_) => state.resume(clock.now()),
            None => {
                state.found(&options);
                if let Some(journal) = &journal {
                    journal.snapshot(state.all_records().into_iter())?;
                }
            }
        }
        state.forget_changes();
        Ok(Self { options, clock, state: Mutex::new(state), journal })
    }

    /// Answers one request to `platform`, whose path is the platform's own.
    ///
    /// Where the world has a folder this waits for the disk; call it where that may block.
    pub fn handle(&self, platform: &str, request: &Request<Bytes>) -> Reply {
        let mut state = self.lock();
        state.catch_up(self.clock.now());
        let reply = state.answer(platform, request, &self.options);
        let Some(journal) = &self.journal else {
            state.forget_changes();
            return reply;
        };
        let ticket = state.changes().and_then(|records| journal.append(&records));
        if journal.wants_snapshot()
            && let Err(error) = journal.snapshot(state.all_records().into_iter())
        {
            tracing::warn!(error = %error, "the simulators' snapshot could not be written");
        }
        drop(state);
        match ticket.and_then(|ticket| journal.wait(ticket)) {
            Ok(()) => reply,
            Err(_) => {
                let body = json!({"error": "the simulator's journal could not be written"});
                Reply {
                    response: reply::json(StatusCode::SERVICE_UNAVAILABLE, &body),
                    delivery: Delivery::Now,
                }
            }
        }
    }

    /// When something happens by itself next, by the world's clock. What clients and people do comes beside it.
    pub fn next_event(&self) -> Option<Timestamp> {
        let state = self.lock();
        let at = Timestamp::from_microsecond(state.next_due()?).ok()?;
        Some(shifted(at, SignedDuration::from_secs(state.meta.offset_s.saturating_neg())))
    }

    /// Messages that a fault kept from ever being sent, by platform, since the start.
    pub fn lost_messages(&self) -> BTreeMap<&'static str, u64> {
        self.lock().lost_messages.clone()
    }

    /// Messages that the platforms send by themselves, up to now.
    pub fn take_messages(&self) -> Vec<Message> {
        let mut state = self.lock();
        state.catch_up(self.clock.now());
        let messages = state.take_messages();
        if let Some(journal) = &self.journal {
            // Nobody waits for it: with the process its messages are lost as well.
            let _ = state.changes().and_then(|records| journal.append(&records));
        } else {
            state.forget_changes();
        }
        messages
    }

    /// One of the simulators' own calls, without HTTP: `call("amazon", "sell", Some(&body))`. No body makes it a read.
    /// Returns status and body.
    pub fn control(&self, platform: &str, name: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let mut request = Request::new(bytes);
        *request.method_mut() = if body.is_some() { Method::POST } else { Method::GET };
        if let Ok(uri) = format!("/_sim/{name}").parse() {
            *request.uri_mut() = uri;
        }
        let response = self.handle(platform, &request).response;
        let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        (response.status(), body)
    }

    /// The connections to these platforms, as the API takes them; `base_url` says where each is served.
    pub fn connections(&self, base_url: impl Fn(&str) -> String) -> Value {
        let state = self.lock();
        let mut marketplaces = vec![amazon::MARKETPLACE_US];
        if self.options.foreign_currency_percent > 0 {
            marketplaces.push(amazon::MARKETPLACE_CA);
        }
        let mut connections = vec![
            json!({
                "channel": BIGCOMMERCE,
                "alias": "Shop",
                "base_url": base_url(BIGCOMMERCE),
                "credentials": {
                    "client_id": bigcommerce::CLIENT_ID,
                    "store_hash": bigcommerce::STORE_HASH,
                    "access_token": state.shop.access_token(),
                    "client_secret": bigcommerce::CLIENT_SECRET,
                },
                "settings": {},
            }),
            json!({
                "channel": AMAZON,
                "alias": "Amazon US",
                "base_url": base_url(AMAZON),
                "credentials": {
                    "client_id": amazon::CLIENT_ID,
                    "client_secret": amazon::CLIENT_SECRET,
                    "refresh_token": state.amazon.refresh_token(),
                    "seller_id": amazon::SELLER_ID,
                    "marketplace_ids": marketplaces,
                },
                "settings": {"shop": "Shop"},
            }),
            json!({
                "channel": EBAY,
                "alias": "eBay US",
                "base_url": base_url(EBAY),
                "credentials": {
                    "client_id": ebay::CLIENT_ID,
                    "client_secret": ebay::CLIENT_SECRET,
                    "refresh_token": state.ebay.refresh_token(),
                    "ru_name": ebay::RU_NAME,
                    "marketplace_id": ebay::MARKETPLACE,
                    "alert_email": ebay::ALERT_EMAIL,
                },
                "settings": {"shop": "Shop"},
            }),
            json!({
                "channel": ETSY,
                "alias": "Etsy",
                "base_url": base_url(ETSY),
                "credentials": {
                    "keystring": etsy::KEYSTRING,
                    "shared_secret": etsy::SHARED_SECRET,
                    "refresh_token": state.etsy.refresh_token(),
                    "shop_id": etsy::SHOP_ID.to_string(),
                },
                "settings": {"shop": "Shop"},
            }),
        ];
        let sells = |entry: &Value| {
            let channel = entry["channel"].as_str().unwrap_or_default();
            channel == BIGCOMMERCE || state.marketplaces.contains(&channel)
        };
        connections.retain(sells);
        Value::Array(connections)
    }

    /// No more orders arrive by themselves.
    pub fn end_arrivals(&self) {
        let mut state = self.lock();
        state.arrival_gap_us = None;
        state.meta.next_arrival = None;
        state.has_meta_changed = true;
    }

    /// Whether answers wait for the disk.
    pub const fn is_durable(&self) -> bool {
        self.journal.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(options: &SimOptions, now: Timestamp) -> Self {
        let has_quotas = options.quotas == Quotas::Real;
        let rate = i64::from(options.rate_per_minute);
        Self {
            now: whole_millisecond(now),
            amazon: Amazon::new(
                options.seed,
                options.foreign_currency_percent,
                options.customised_percent,
                has_quotas,
            ),
            ebay: Ebay::new(options.seed),
            etsy: Etsy::new(options.seed, has_quotas),
            shop: Shop::new(options.seed, options.stock_rule, has_quotas),
            meta: Meta { seed: options.seed, offset_s: 0, arrivals: 0, next_arrival: None },
            has_meta_changed: false,
            arrival_gap_us: 60_000_000_i64.checked_div(rate),
            marketplaces: options.marketplaces,
            planned: BTreeMap::new(),
            late: BTreeMap::new(),
            calls: BTreeMap::new(),
            call_number: 0,
            lost_messages: BTreeMap::new(),
        }
    }

    /// Makes a new world: catalogue and back catalogue.
    fn found(&mut self, options: &SimOptions) {
        let goods = goods(options.seed, options.catalogue);
        let opened = shifted(self.now, SignedDuration::from_hours(-24 * 400));
        self.shop.stock_goods(&goods, opened);
        for marketplace in self.marketplaces {
            match *marketplace {
                AMAZON => {
                    self.amazon.list_goods(&goods, opened);
                    self.amazon.generate_history(options.orders, options.history_days, self.now);
                }
                EBAY => {
                    self.ebay.list_goods(&goods);
                    self.ebay.generate_history(options.orders, options.history_days, self.now);
                }
                ETSY => {
                    self.etsy.list_goods(&goods, opened);
                    self.etsy.generate_history(options.orders, options.history_days, self.now);
                }
                _ => {}
            }
        }
        self.shop.generate_history(options.orders / 10, options.history_days, self.now);
        self.meta.next_arrival = self.gap().map(|gap| self.now.as_microsecond().saturating_add(gap));
    }

    /// Goes on with a world that was stopped.
    fn resume(&mut self, now: Timestamp) {
        self.now = whole_millisecond(shifted(now, SignedDuration::from_secs(self.meta.offset_s)));
        let now = self.now.as_microsecond();
        let oldest = now.saturating_sub(CATCH_UP_SECONDS * 1_000_000);
        let gap = self.gap();
        self.meta.next_arrival = match (self.meta.next_arrival, gap) {
            (_, None) => None,
            (Some(next), Some(_)) if next >= oldest => Some(next),
            (_, Some(gap)) => Some(now.saturating_add(gap)),
        };
    }

    /// The time until the next arrival.
    fn gap(&self) -> Option<i64> {
        let mean = self.arrival_gap_us?;
        Some(Draw::new(self.meta.seed, "gap", self.meta.arrivals).gap(mean))
    }

    /// Moves the clock forward and lets everything happen that falls into that time.
    pub fn move_clock(&mut self, seconds: i64) {
        self.meta.offset_s = self.meta.offset_s.saturating_add(seconds);
        self.has_meta_changed = true;
        self.run_until(shifted(self.now, SignedDuration::from_secs(seconds)));
    }

    fn catch_up(&mut self, clock: Timestamp) {
        self.run_until(shifted(clock, SignedDuration::from_secs(self.meta.offset_s)));
    }

    /// Lets everything happen until `goal`, in the order of time.
    fn run_until(&mut self, goal: Timestamp) {
        // The world's time never goes back, whatever its clock does.
        let goal = whole_millisecond(goal).max(self.now);
        let goal_us = goal.as_microsecond();
        while let Some(due) = self.next_due().filter(|due| *due <= goal_us) {
            let at = Timestamp::from_microsecond(due).unwrap_or(self.now);
            self.now = whole_millisecond(at).max(self.now);
            if self.late_due() == Some(due) {
                self.apply_late();
            } else if self.amazon.next_due() == Some(due) {
                self.amazon.take_step(self.now);
            } else if self.ebay.next_due() == Some(due) {
                self.ebay.take_step(self.now);
            } else if self.etsy.next_due() == Some(due) {
                self.etsy.take_step(self.now);
            } else if self.shop.next_due() == Some(due) {
                self.shop.take_step(self.now);
            } else {
                self.arrive(due);
            }
        }
        self.now = goal;
    }

    /// When the first effect comes whose client gave up, in microseconds.
    fn late_due(&self) -> Option<i64> {
        self.late.first_key_value().map(|((due, _), _)| *due)
    }

    /// When something happens by itself next, in microseconds.
    fn next_due(&self) -> Option<i64> {
        let platforms =
            [self.amazon.next_due(), self.ebay.next_due(), self.etsy.next_due(), self.shop.next_due()];
        platforms.into_iter().chain([self.late_due(), self.meta.next_arrival]).flatten().min()
    }

    /// The next order arrives.
    fn arrive(&mut self, due: i64) {
        let is_storefront =
            Draw::new(self.meta.seed, "arrival", self.meta.arrivals).percent(STOREFRONT_PERCENT);
        if is_storefront {
            self.shop.generate_order(self.now);
        } else {
            // A draw of its own, so that the same orders arrive whether one marketplace sells or many.
            let mut draw = Draw::new(self.meta.seed, "arrival.marketplace", self.meta.arrivals);
            match draw.word(self.marketplaces) {
                EBAY => self.ebay.generate_order(self.now),
                ETSY => self.etsy.generate_order(self.now),
                _ => self.amazon.generate_order(self.now),
            }
        }
        self.meta.arrivals += 1;
        self.meta.next_arrival = self.gap().map(|gap| due.saturating_add(gap));
        self.has_meta_changed = true;
    }

    fn apply_late(&mut self) {
        if let Some(((_, number), (platform, request))) = self.late.pop_first() {
            self.serve(&platform, &request, number, false, true);
        }
    }

    fn answer(&mut self, platform: &str, request: &Request<Bytes>, options: &SimOptions) -> Reply {
        if !PLATFORMS.contains(&platform) {
            let body = json!({"error": "there is no such platform"});
            return Reply { response: reply::json(StatusCode::NOT_FOUND, &body), delivery: Delivery::Now };
        }
        if control::is_control(request) {
            return Reply { response: control::serve(self, platform, request), delivery: Delivery::Now };
        }
        self.call_number += 1;
        let number = self.call_number;
        let operation = operation_of(platform, request);
        let called = (operation, request.uri().path());
        let fault =
            if operation == "token" { None } else { self.fault(platform, called, number, options.faults) };
        let reply = match fault {
            None => {
                let delivery =
                    if options.latency.is_zero() { Delivery::Now } else { Delivery::After(options.latency) };
                Reply { response: self.serve(platform, request, number, false, false), delivery }
            }
            Some(fault) => self.answer_with(fault, platform, request, number),
        };
        self.count(platform, operation, &reply);
        reply
    }

    fn fault(
        &mut self,
        platform: &str,
        (operation, path): (&str, &str),
        number: u64,
        rate: FaultRate,
    ) -> Option<Fault> {
        let planned = self.planned.get_mut(platform);
        let planned = planned.and_then(|list| faults::take_planned(list, operation, path));
        planned.or_else(|| faults::draw_fault(self.meta.seed, number, rate.per_thousand()))
    }

    /// Answers a call that something happens to.
    fn answer_with(&mut self, fault: Fault, platform: &str, request: &Request<Bytes>, number: u64) -> Reply {
        let is_read = request.method() == Method::GET;
        // Half of the broken connections and of the platform's own errors come after the effect.
        let is_done = Draw::new(self.meta.seed, "fault.side", number).percent(50);
        let gateway = || reply::empty(StatusCode::GATEWAY_TIMEOUT);
        let (response, delivery) = match fault {
            Fault::TimeoutBefore => (gateway(), Delivery::NeverAnswered),
            Fault::TimeoutAfter => {
                (self.serve(platform, request, number, false, false), Delivery::NeverAnswered)
            }
            Fault::Late => {
                if !is_read {
                    let wait = faults::late_delay(self.meta.seed, number);
                    let wait = i64::try_from(wait.as_micros()).unwrap_or(0);
                    let due = self.now.as_microsecond().saturating_add(wait);
                    self.late.insert((due, number), (platform.to_owned(), request.clone()));
                }
                (gateway(), Delivery::NeverAnswered)
            }
            Fault::Reset => {
                let response =
                    if is_done { self.serve(platform, request, number, false, false) } else { gateway() };
                (response, Delivery::ResetConnection)
            }
            Fault::ServerError => {
                if is_done {
                    self.serve(platform, request, number, false, false);
                }
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                (self.failure(platform, status, request, number), Delivery::Now)
            }
            Fault::TooManyRequests => {
                (self.failure(platform, StatusCode::TOO_MANY_REQUESTS, request, number), Delivery::Now)
            }
            Fault::Unauthorized => {
                (self.failure(platform, StatusCode::UNAUTHORIZED, request, number), Delivery::Now)
            }
            Fault::Forbidden => {
                (self.failure(platform, StatusCode::FORBIDDEN, request, number), Delivery::Now)
            }
            Fault::Malformed => {
                let mut response = self.serve(platform, request, number, false, false);
                *response.status_mut() = StatusCode::OK;
                let half = response.body().len() / 2;
                *response.body_mut() = response.body().slice(..half);
                if half == 0 {
                    *response.body_mut() = Bytes::from_static(b"<html><body>Service</body>");
                }
                (response, Delivery::Now)
            }
            Fault::Slow => {
                let response = self.serve(platform, request, number, false, false);
                let piece_bytes = (response.body().len() / 8).max(1);
                let pause = Duration::from_millis(300);
                (response, Delivery::Drip { piece_bytes, pause, cut_after_bytes: None })
            }
            Fault::Stale => (self.serve(platform, request, number, is_read, false), Delivery::Now),
            Fault::Partial => {
                let response = self.serve(platform, request, number, false, false);
                let length = response.body().len();
                let cut = Delivery::Drip {
                    piece_bytes: (length / 2).max(1),
                    pause: Duration::ZERO,
                    cut_after_bytes: Some(length / 2),
                };
                // Without a body there is nothing to cut: the connection breaks instead.
                (response, if length == 0 { Delivery::ResetConnection } else { cut })
            }
            // Those strike no call.
            Fault::DuplicateWebhook | Fault::LostWebhook => {
                (self.serve(platform, request, number, false, false), Delivery::Now)
            }
        };
        Reply { response, delivery }
    }

    fn take_messages(&mut self) -> Vec<Message> {
        let mut sent = Vec::new();
        let waiting = self.shop.take_messages().into_iter();
        let waiting = waiting.chain(self.ebay.take_messages()).chain(self.etsy.take_messages());
        for message in waiting {
            let fault = self.planned.get_mut(message.platform).and_then(faults::take_of_messages);
            match fault {
                Some(Fault::LostWebhook) => *self.lost_messages.entry(message.platform).or_default() += 1,
                Some(Fault::DuplicateWebhook) => sent.extend([message.clone(), message]),
                _ => sent.push(message),
            }
        }
        sent
    }

    fn serve(
        &mut self,
        platform: &str,
        request: &Request<Bytes>,
        number: u64,
        is_stale: bool,
        is_admitted: bool,
    ) -> Response<Bytes> {
        let now = self.now;
        match platform {
            AMAZON => {
                let operation = amazon::operation_of(request);
                self.amazon.serve(operation, &amazon::Call { request, now, number, is_stale, is_admitted })
            }
            EBAY => {
                let operation = ebay::operation_of(request);
                self.ebay.serve(operation, &ebay::Call { request, now, is_stale, is_admitted })
            }
            ETSY => self.etsy.serve(&etsy::Call { request, now, is_stale, is_admitted }),
            _ => self.shop.serve(&bigcommerce::Call { request, now, is_stale, is_admitted }),
        }
    }

    fn failure(
        &self,
        platform: &str,
        status: StatusCode,
        request: &Request<Bytes>,
        number: u64,
    ) -> Response<Bytes> {
        match platform {
            AMAZON => self.amazon.failure(status, number),
            EBAY => self.ebay.failure(status, self.now),
            ETSY => self.etsy.failure(status),
            _ => self.shop.failure(status, request, self.now, number),
        }
    }

    fn count(&mut self, platform: &str, operation: &'static str, reply: &Reply) {
        let outcome = match reply.delivery {
            Delivery::NeverAnswered => "never_answered".to_owned(),
            Delivery::ResetConnection => "reset".to_owned(),
            Delivery::Drip { cut_after_bytes: Some(_), .. } => "cut".to_owned(),
            Delivery::Now | Delivery::After(_) | Delivery::Drip { .. } => {
                reply.response.status().as_u16().to_string()
            }
        };
        let by_operation = self.calls.entry(platform.to_owned()).or_default();
        *by_operation.entry(operation).or_default().entry(outcome).or_default() += 1;
    }

    /// How many calls a platform has had since the start, by operation and outcome.
    pub fn calls(&self, platform: &str) -> Value {
        json!(self.calls.get(platform).cloned().unwrap_or_default())
    }

    /// Plans a fault that a test asked for.
    pub fn plan(&mut self, platform: &str, fault: Planned) {
        self.planned.entry(platform.to_owned()).or_default().push(fault);
    }

    /// One line of the journal: everything that one call changed, so that a torn line loses it as a whole.
    fn restore(&mut self, line: &str) -> io::Result<()> {
        let records: Vec<Record> = serde_json::from_str(line).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("unknown record: {error}"))
        })?;
        for record in records {
            match record {
                Record::World(meta) => self.meta = meta,
                Record::Amazon(record) => self.amazon.restore(record),
                Record::Ebay(record) => self.ebay.restore(record),
                Record::Etsy(record) => self.etsy.restore(record),
                Record::Shop(record) => self.shop.restore(record),
            }
        }
        Ok(())
    }

    /// What has changed since the last call, as lines of the journal, at most one.
    fn changes(&mut self) -> io::Result<Vec<String>> {
        let mut records = Vec::new();
        self.take_changes(&mut |record| records.push(serde_json::to_string(record)));
        let records = records.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(if records.is_empty() { Vec::new() } else { vec![format!("[{}]", records.join(","))] })
    }

    /// The whole state, one record a line.
    fn all_records(&mut self) -> Vec<String> {
        self.has_meta_changed = true;
        self.amazon.touch_all();
        self.ebay.touch_all();
        self.etsy.touch_all();
        self.shop.touch_all();
        let mut records = Vec::new();
        self.take_changes(&mut |record| {
            records.extend(serde_json::to_string(&[record]));
        });
        records
    }

    fn forget_changes(&mut self) {
        self.take_changes(&mut |_| {});
    }

    fn take_changes(&mut self, write: &mut impl FnMut(&RecordRef<'_>)) {
        if std::mem::take(&mut self.has_meta_changed) {
            write(&RecordRef::World(&self.meta));
        }
        self.amazon.take_changes(&mut |record| write(&RecordRef::Amazon(record)));
        self.ebay.take_changes(&mut |record| write(&RecordRef::Ebay(record)));
        self.etsy.take_changes(&mut |record| write(&RecordRef::Etsy(record)));
        self.shop.take_changes(&mut |record| write(&RecordRef::Shop(record)));
    }
}

/// Answers show milliseconds: what is shown must not be rounded past what is meant.
fn whole_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// The operation's name in the platform's specification; `unknown` for what is none.
pub fn operation_of(platform: &str, request: &Request<Bytes>) -> &'static str {
    match platform {
        AMAZON => amazon::operation_of(request),
        EBAY => ebay::operation_of(request),
        ETSY => etsy::operation_of(request),
        _ => bigcommerce::operation_of(request),
    }
}

//! One appliance on simulated platforms: started, stepped, killed, started again on what the crash left, and set
//! back to a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use url::Url;

use super::deeds::{self, Deeds, list, text};
use super::field::{Field, FieldSetup, Passage, Tally, Witness};
use super::invariants::{self, Ledger};
use super::marketplace::Marketplace;
use super::matrix::{Fault, Side};
use super::post::{self, PUBLIC_URL};
use super::seed::Plan;
use super::snapshot::{self, Cut, Scratch};
use crate::channels::consent::{ConsentAnswer, ConsentRequest};
use crate::clock::{Clock, Entropy, ManualClock, SharedClock, shifted};
use crate::domain::connection::ConnectionState;
use crate::domain::effect::{Effect, EffectKind, EffectState, Verdict};
use crate::domain::id::ConnectionId;
use crate::domain::reason::ReasonCode;
use crate::secret::Secret;
use crate::sim::{BIGCOMMERCE, ETSY, STALE_SECONDS, World};
use crate::store::refunds::{self, RefundRow};
use crate::store::standing::{Standing, standings};
use crate::store::{Store, StoreOptions, effects};
use crate::sync::commands::{ConnectionUpdate, NewConnectionRequest};
use crate::sync::spool::Spool;
use crate::sync::{Engine, EngineParts, EngineSettings, Hooks, Pushed};
use crate::vault::{KeySource, Vault};

/// A process that was down for so many seconds has something to catch up with.
const LONG_DOWN_S: u64 = 60;

/// When every run begins.
pub(super) const START: Timestamp = Timestamp::constant(1_772_442_000, 0);
/// A step that leads to another one at the same moment moves the clock at least by this.
pub(super) const TICK: SignedDuration = SignedDuration::from_millis(200);
/// More steps than any sound run takes, in one simulated hour: beyond, it runs in circles.
const STEPS_PER_HOUR_MAX: u64 = 60_000;

/// One appliance.
pub struct Rig {
    /// The field that it plays on.
    pub field: Arc<Field>,
    /// The shop's connection.
    pub shop: ConnectionId,
    /// The marketplace's.
    pub marketplace: ConnectionId,
    /// What was seen so far.
    pub ledger: Ledger,
    /// What was placed before is history: when the marketplace was connected.
    pub go_live: Timestamp,
    plan: Plan,
    scratch: Scratch,
    alive: Option<Alive>,
    entropy_seed: u64,
    engine_settings: EngineSettings,
    restores: Vec<Restore>,
    /// When the platforms stop sending; none where they do not, or have.
    upset_at: Option<Timestamp>,
    steps: u64,
    started_at: Timestamp,
}

/// A process that lives.
struct Alive {
    engine: Engine,
    store: Store,
}

/// A backup and when it is put back.
#[derive(Debug)]
struct Restore {
    taken_at: Timestamp,
    restored_at: Timestamp,
    is_taken: bool,
    is_done: bool,
}

impl Rig {
    /// Sets everything up on a copy of `template`, an empty data folder, and connects both platforms.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn start(
        seed: u64,
        plan: Plan,
        template: &Path,
        settings: EngineSettings,
        witness: Option<Witness>,
    ) -> Result<Self, String> {
        let scratch = Scratch::make(&seed.to_string()).map_err(words)?;
        let clock = Arc::new(ManualClock::new(START));
        let shared = Arc::clone(&clock) as SharedClock;
        let world = World::open(plan.sim.clone(), shared).map_err(words)?;
        let draw = Entropy::seeded(seed ^ 0xDEED);
        let deeds = Deeds::new(plan.marketplace, draw, START, plan.deed_gap_s, plan.leaning);
        let field = Arc::new(Field::new(FieldSetup {
            world,
            clock,
            rates: plan.rates,
            aims: plan.aims.clone(),
            deeds,
            entropy: Entropy::seeded(seed ^ 0xF1E1D),
            root: scratch.path().to_owned(),
            witness,
            has_hooks: plan.hooks.is_some(),
        }));
        snapshot::copy(template, &field.folder(), Cut::default()).map_err(words)?;
        let engine_settings = EngineSettings {
            poll_interval: plan.poll_interval,
            shop_poll_interval: plan.shop_poll_interval,
            queue_pause: plan.hooks.as_ref().map_or(settings.queue_pause, |hooks| hooks.queue_pause),
            ..settings
        };
        let upset_at =
            plan.hooks.as_ref().and_then(|hooks| hooks.upset_at).map(|after| shifted(START, after));
        let restores = plan
            .restores
            .iter()
            .map(|(taken, age)| Restore {
                taken_at: shifted(START, *taken),
                restored_at: shifted(START, *taken + *age),
                is_taken: false,
                is_done: false,
            })
            .collect();
        let mut rig = Self {
            field,
            shop: ConnectionId(0),
            marketplace: ConnectionId(0),
            ledger: Ledger::default(),
            go_live: START,
            plan,
            scratch,
            alive: None,
            entropy_seed: seed,
            engine_settings,
            restores,
            upset_at,
            steps: 0,
            started_at: START,
        };
        rig.open().await?;
        rig.connect().await?;
        Ok(rig)
    }

    /// How the run is planned.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Simulated time since the start.
    #[must_use]
    pub fn elapsed(&self) -> SignedDuration {
        self.field.clock.now().duration_since(self.started_at)
    }

    /// Steps of the engine.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The store of the process that lives.
    ///
    /// # Errors
    /// Where none does.
    pub fn store(&self) -> Result<&Store, String> {
        self.alive.as_ref().map(|alive| &alive.store).ok_or_else(|| "no process lives".to_owned())
    }

    /// The engine of the process that lives.
    ///
    /// # Errors
    /// Where none does.
    pub fn engine(&self) -> Result<&Engine, String> {
        self.alive.as_ref().map(|alive| &alive.engine).ok_or_else(|| "no process lives".to_owned())
    }

    /// Lets simulated time pass, through every crash and restore that falls into it.
    ///
    /// # Errors
    /// What must not be.
    pub async fn pass(&mut self, time: SignedDuration) -> Result<(), String> {
        let end = shifted(self.field.clock.now(), time);
        loop {
            self.field.let_people_act();
            self.mend(false).await?;
            self.notice_dead_token()?;
            self.back_up().await?;
            self.look_one_up().await?;
            self.upset_hooks().await?;
            invariants::check_told(self).await?;
            self.deliver().await?;
            let (before, began_at) = (self.field.tally(), self.field.clock.now());
            let engine = self.engine()?.clone();
            let step = self.unless_dead(engine.step()).await;
            drop(engine);
            self.field.note_busy(began_at);
            self.steps += 1;
            let next_due = match step {
                Some(step) => {
                    self.check(before).await?;
                    step.next_due
                }
                None => {
                    self.wake_up(false).await?;
                    invariants::check_truth(self)?;
                    invariants::check_held(self).await?;
                    // What has started gets to work at once.
                    Some(self.field.clock.now())
                }
            };
            let now = self.field.clock.now();
            if now >= end {
                return Ok(());
            }
            self.check_pace()?;
            let next_deed = Some(self.field.next_deed());
            let next = [next_due, next_deed, self.field.next_message(), self.next_restore(), Some(end)];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            self.field.clock.set(next.max(shifted(now, TICK)));
        }
    }

    /// Enters new credentials where a platform wants them: those that are due, or all.
    ///
    /// # Errors
    /// Where they are refused.
    pub async fn mend(&mut self, is_last: bool) -> Result<(), String> {
        for platform in self.field.due_repairs(is_last) {
            let mut requests = self.requests()?;
            let request = requests.remove(platform).ok_or("the platform has no credentials")?;
            let engine = self.engine()?.clone();
            match self.unless_dead(self.enter_anew(&engine, platform, request)).await {
                Some(Ok(())) => {
                    self.field.note(&format!("a person enters new credentials for {platform}"));
                    self.field.repaired(platform);
                }
                // Whose they are could not be asked: the person tries again.
                Some(Err(refused)) if !is_last => {
                    self.field.note(&format!("new credentials for {platform}: {refused}"));
                }
                Some(Err(refused)) => return Err(format!("new credentials: {refused}")),
                None => {
                    drop(engine);
                    self.wake_up(false).await?;
                }
            }
        }
        Ok(())
    }

    /// New credentials, typed in, or got on the platform's own page.
    async fn enter_anew(
        &self,
        engine: &Engine,
        platform: &str,
        request: NewConnectionRequest,
    ) -> Result<(), String> {
        let id = if platform == BIGCOMMERCE { self.shop } else { self.marketplace };
        let credentials = match platform {
            ETSY => self.consent(engine, &request).await?,
            _ => request.credentials,
        };
        let change = ConnectionUpdate { credentials, ..ConnectionUpdate::default() };
        engine.change_connection(id, change, "campaign").await.map_err(|refused| refused.message)
    }

    /// What the shop's owner gets by saying yes on Etsy's page.
    async fn consent(
        &self,
        engine: &Engine,
        request: &NewConnectionRequest,
    ) -> Result<BTreeMap<String, Secret>, String> {
        let wish = ConsentRequest { redirect_uri: PUBLIC_URL.to_owned(), state: "campaign".to_owned() };
        let start = engine.start_consent(request, &wish)?;
        let page = http::Request::get(start.url.as_str()).body(bytes::Bytes::new()).map_err(words)?;
        let answer = self.field.world.handle(ETSY, &page).response;
        let back = answer.headers().get(http::header::LOCATION).and_then(|place| place.to_str().ok());
        let back = Url::parse(back.ok_or("Etsy's page leads nowhere")?).map_err(words)?;
        let code = back.query_pairs().find(|(name, _)| name == "code").ok_or("Etsy gave no code")?.1;
        let code = Secret::new(code.into_owned());
        let answer = ConsentAnswer { code, redirect_uri: wish.redirect_uri, verifier: start.verifier };
        engine.finish_consent(request, answer).await
    }

    /// Once nothing goes wrong any more, a person looks at the marketplace's own pages for what waits for one, and says
    /// what became of it there.
    ///
    /// # Errors
    /// What must not be.
    pub async fn settle_doubts(&self) -> Result<(), String> {
        let sold = list(&self.field.world, self.plan.marketplace.name(), "orders");
        let store = self.store()?;
        let (held, open) =
            store.read(|read| Ok((standings(read)?, effects::open_effects(read)?))).await.map_err(words)?;
        let mut looked_at = BTreeSet::new();
        for effect in open.iter().filter(|effect| effect.state == EffectState::Held) {
            let Some(standing) = held.iter().find(|order| order.order_no == effect.order_no) else {
                continue;
            };
            let Some(order) = sold.iter().find(|order| text(order, "id") == standing.external_id) else {
                continue;
            };
            // One thing of an order at a time.
            if order["status"] == "cancelled" || looked_at.contains(&effect.order_no.0) {
                continue;
            }
            let code = effect.reason.as_ref().map(|reason| reason.code);
            let verdict = match (effect.kind, code) {
                (EffectKind::CancelOrder, Some(ReasonCode::CancellationRefused)) => Verdict::SendAgain,
                (EffectKind::RefundOrder, Some(ReasonCode::RefundInDoubt)) => {
                    // What the marketplace's report says was not done is done there by hand.
                    let order = self.do_the_rest(order);
                    // What is under way is waited for.
                    let is_under_way = |other: &Effect| {
                        other.order_no == effect.order_no
                            && other.kind == EffectKind::RefundOrder
                            && other.state != EffectState::Held
                    };
                    if open.iter().any(is_under_way) {
                        continue;
                    }
                    let order_no = effect.order_no;
                    let rows =
                        store.read(move |read| refunds::of_order(read, order_no)).await.map_err(words)?;
                    let is_there = is_given_back(&rows, &effect.revision, invariants::given_back(&order));
                    if is_there { Verdict::Done } else { Verdict::SendAgain }
                }
                _ => continue,
            };
            looked_at.insert(effect.order_no.0);
            let text = format!("a person looks at {} of {}: {verdict}", effect.kind, standing.external_id);
            self.field.note(&text);
            self.engine()?.settle_by_hand(effect.order_no, effect.id, verdict, "campaign").await?;
        }
        Ok(())
    }

    /// The order, once what was done of it in part has been done.
    fn do_the_rest(&self, order: &Value) -> Value {
        let sells = self.plan.marketplace.name();
        if self.plan.marketplace == Marketplace::Amazon {
            self.field.world.control(sells, "finish_feeds", Some(&json!({"id": order["id"]})));
        }
        let all = list(&self.field.world, sells, "orders");
        all.into_iter().find(|known| known["id"] == order["id"]).unwrap_or_else(|| order.clone())
    }

    /// A token that was lost on its way is lost for good where a new one kills the old one: a person has to authorise
    /// the account again.
    fn notice_dead_token(&self) -> Result<(), String> {
        if !self.plan.marketplace.tokens_rotate() {
            return Ok(());
        }
        let state = self.engine()?.connection(self.marketplace).map(|connection| connection.state);
        if state == Some(ConnectionState::NeedsReauthorisation) {
            self.field.plan_repair(self.plan.marketplace.name());
        }
        Ok(())
    }

    /// Now and then a person looks an order up, so that it is fetched from its platform.
    async fn look_one_up(&mut self) -> Result<(), String> {
        if !self.field.is_on() || self.field.below(12) != 0 {
            return Ok(());
        }
        let (platform, name, one_order, id) = if self.field.below(2) == 0 {
            let sells = self.plan.marketplace;
            (sells.name(), "orders", sells.one_order(), self.marketplace)
        } else {
            (BIGCOMMERCE, "shop_orders", "getOrder", self.shop)
        };
        let just_heard = if self.field.below(2) == 0 { self.just_heard_of(id).await? } else { None };
        let external_id = if let Some(external_id) = just_heard {
            self.field.aim(Fault::Stale, (platform, one_order), Side::After, 0);
            external_id
        } else {
            let known = list(&self.field.world, platform, name);
            let bound = u64::try_from(known.len()).unwrap_or(0);
            let place = usize::try_from(self.field.below(bound)).unwrap_or(0);
            let Some(order) = known.get(place) else { return Ok(()) };
            text(order, "id").to_owned()
        };
        self.field.note(&format!("a person looks {platform} {external_id} up"));
        let engine = self.engine()?.clone();
        if self.unless_dead(engine.find_order(Some(id), &external_id, "campaign")).await.is_none() {
            drop(engine);
            self.wake_up(false).await?;
        }
        Ok(())
    }

    /// The held order whose last change is so young that another of its platform's servers may not know it yet: what that
    /// one says is older than what is held.
    async fn just_heard_of(&self, connection: ConnectionId) -> Result<Option<String>, String> {
        let held = self.store()?.read(standings).await.map_err(words)?;
        let recently = shifted(self.field.clock.now(), SignedDuration::from_secs(-STALE_SECONDS));
        let is_meant = |order: &Standing| order.connection == connection && order.updated_at > recently;
        let newest = held.into_iter().filter(is_meant).max_by_key(|order| order.updated_at);
        Ok(newest.map(|order| order.external_id))
    }

    /// Brings the messages that are due to the engine's own door, as the web server does.
    async fn deliver(&mut self) -> Result<(), String> {
        self.field.collect_messages();
        self.prove_addresses()?;
        while let Some(letter) = self.field.take_letter() {
            let platform = letter.message.platform;
            let id = if platform == BIGCOMMERCE { self.shop } else { self.marketplace };
            let engine = self.engine()?.clone();
            // Who may not call forgets what is pushed: its polls find everything once it goes on.
            let is_kept = engine.connection(id).is_some_and(|connection| connection.state.may_call());
            let told = if is_kept { self.field.told_by(&letter) } else { None };
            let (headers, body) = (letter.headers(), letter.message.body.clone().into());
            let answer = self.unless_dead(engine.pushed(letter.token(), &headers, body)).await;
            drop(engine);
            match answer {
                Some(Pushed::Taken) => self.field.letter_taken(letter, is_kept, told),
                Some(Pushed::Unknown) => {
                    return Err(format!("{platform} sends to an address that no connection has"));
                }
                Some(Pushed::Busy(_)) | None => self.field.letter_refused(letter),
            }
            if self.field.is_dead() {
                self.wake_up(false).await?;
            }
        }
        Ok(())
    }

    /// eBay asks whether the addresses that it was told of are ours.
    fn prove_addresses(&self) -> Result<(), String> {
        for challenge in self.field.take_challenges() {
            let code = self.field.below(u64::MAX).to_string();
            let token = challenge.endpoint.rsplit('/').next().unwrap_or_default();
            let answer = self.engine()?.push_challenge(token, &format!("challenge_code={code}"));
            let answer = answer.map(|(_, body)| body).unwrap_or_default();
            let said: Value = serde_json::from_str(&answer).unwrap_or_default();
            if text(&said, "challengeResponse") != challenge.expected(&code) {
                return Err(format!("eBay asked whether {} is ours and heard {answer}", challenge.endpoint));
            }
        }
        Ok(())
    }

    /// The platforms stop sending; the next process sees to it.
    async fn upset_hooks(&mut self) -> Result<(), String> {
        let now = self.field.clock.now();
        if !self.field.is_on() || self.upset_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        self.upset_at = None;
        let Some(done) = deeds::upset_hooks(&self.field.world, self.plan.marketplace) else { return Ok(()) };
        self.field.note(&done);
        self.field.kill()?;
        self.wake_up(false).await
    }

    /// The platforms' truth after every step that changed something, and what is held after every one that wrote.
    async fn check(&mut self, before: Tally) -> Result<(), String> {
        if self.plan.hooks.is_some() {
            invariants::check_believed(self)?;
        }
        let now = self.field.tally();
        if now.writes != before.writes {
            invariants::check_truth(self)?;
        }
        if now.commits != before.commits {
            invariants::check_held(self).await?;
        }
        Ok(())
    }

    fn check_pace(&self) -> Result<(), String> {
        let hours = u64::try_from(self.elapsed().as_hours()).unwrap_or(0) + 1;
        if self.steps > hours.saturating_mul(STEPS_PER_HOUR_MAX) {
            return Err("it runs in circles: too many steps for the time that has passed".to_owned());
        }
        Ok(())
    }

    /// Runs something of the process, unless the process dies of it.
    async fn unless_dead<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.field.death() => None,
            // It may have died without anybody waiting for anything.
            done = work => (!self.field.is_dead()).then_some(done),
        }
    }

    /// Starts the next process on what the crash left, after a while.
    async fn wake_up(&mut self, is_restored: bool) -> Result<(), String> {
        self.alive = None;
        let (_, _, broken) = self.field.result();
        if let Some(error) = broken {
            return Err(format!("the files could not be copied: {error}"));
        }
        let seconds = match self.field.below(20) {
            0..13 => 1 + self.field.below(20),
            13..17 => 60 + self.field.below(240),
            _ => 300 + self.field.below(1_200),
        };
        // Whoever restores does it in haste.
        let seconds = if is_restored { 1 + self.field.below(10) } else { seconds };
        self.field.clock.advance(Duration::from_secs(seconds));
        self.field.miss_messages();
        if self.field.is_on() {
            self.plan_start(is_restored, seconds);
        }
        self.open().await
    }

    /// What starts after a long time has much to read, and may die again in the middle of that. What was restored is
    /// the most careful about orders that it has forgotten, and its shop may not answer, or not all of it. What died
    /// in the middle of a call looks whether it had its effect, and may not be let look. Whoever starts creates what waits,
    /// and may die of that.
    fn plan_start(&self, is_restored: bool, down_s: u64) {
        let died = Fault::CrashAtCommit;
        let shop = (BIGCOMMERCE, "getOrders");
        let sold = (self.plan.marketplace.name(), self.plan.marketplace.order_list());
        match self.field.below(4) {
            0 | 1 if is_restored => self.field.aim(Fault::ServerError, shop, Side::Before, 0),
            2 if is_restored => self.field.aim(Fault::Stale, shop, Side::After, 0),
            0 if down_s >= LONG_DOWN_S => self.field.aim(died, sold, Side::Before, 2),
            1 if down_s >= LONG_DOWN_S => self.field.aim(died, sold, Side::During, 2),
            2 if down_s >= LONG_DOWN_S => self.field.aim(died, shop, Side::Before, 2),
            0 | 1 if self.field.died_in_write() => {
                self.field.aim(Fault::ServerError, shop, Side::Before, 0);
                self.field.aim(Fault::ServerError, shop, Side::Before, 0);
            }
            2 if self.field.died_in_write() => {
                self.field.aim(Fault::Throttled, shop, Side::Before, 0);
            }
            0 => self.field.aim(Fault::Crash, (BIGCOMMERCE, "createOrder"), Side::After, 2),
            _ => {}
        }
    }

    /// Opens the folder of this life and starts the engine. The process may die of that, too.
    async fn open(&mut self) -> Result<(), String> {
        let life = self.field.begin_life();
        let dir = self.field.folder();
        let clock = Arc::clone(&self.field.clock) as SharedClock;
        // Each life draws its own numbers, as a real process would.
        let draw =
            |purpose: u64| Arc::new(Entropy::seeded(self.entropy_seed ^ (life << 32) ^ (purpose << 56)));
        let store = Store::open(store_options(&dir, &clock, draw(1))).map_err(words)?;
        let field = Arc::clone(&self.field);
        store.watch_commits(move |moment| field.on_commit(life, moment));
        let vault = Vault::open(&dir, &KeySource::DataFolder).map_err(words)?;
        let spool = Spool::open(&dir).map_err(words)?;
        // The field keeps the spool, so that the spool must not keep the field.
        let field = Arc::downgrade(&self.field);
        spool.watch(move |connection, moment| {
            if let Some(field) = field.upgrade() {
                field.on_spool(life, connection, moment);
            }
        });
        self.field.keep_spool(&spool);
        let public_url = self.plan.hooks.as_ref().map(|_| PUBLIC_URL.parse()).transpose().map_err(words)?;
        let parts = EngineParts {
            store: store.clone(),
            vault: Arc::new(vault),
            transport: Arc::new(Passage::new(Arc::clone(&self.field), life)),
            clock,
            entropy: draw(2),
            settings: self.engine_settings.clone(),
            hooks: Hooks::new(spool, public_url),
        };
        let engine = Engine::start(parts).await.map_err(words)?;
        self.field.note(&format!("process {life} starts"));
        self.alive = Some(Alive { engine, store });
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), String> {
        let mut requests = self.requests()?;
        let engine = self.engine()?.clone();
        let shop = requests.remove(BIGCOMMERCE).ok_or("there is no shop")?;
        self.shop = engine.add_connection(shop, "campaign").await.map_err(|refused| refused.message)?;
        let sells = self.plan.marketplace.name();
        let mut marketplace = requests.remove(sells).ok_or("there is no marketplace")?;
        marketplace.settings = self.plan.settings.clone();
        marketplace.settings.shop = Some(self.shop);
        let history = marketplace.settings.history;
        let before = self.field.clock.now();
        self.marketplace =
            engine.add_connection(marketplace, "campaign").await.map_err(|refused| refused.message)?;
        let connected =
            engine.connection(self.marketplace).and_then(|connection| connection.settings.go_live);
        // Kept from here on: who is asked later might have forgotten it.
        self.go_live =
            connected.filter(|at| (before..=self.field.clock.now()).contains(at)).ok_or_else(|| {
                format!("connected at {before} with {history:?}, orders are exported from {connected:?} on")
            })?;
        self.field.name_connection(self.shop, BIGCOMMERCE);
        self.field.name_connection(self.marketplace, sells);
        if let Some(endpoint) = engine.hook_endpoint(self.marketplace).filter(|_| sells == ETSY) {
            self.field.world.control(sells, "hook", Some(&post::etsy_portal(&endpoint)));
        }
        Ok(())
    }

    /// What a person enters to connect each platform.
    fn requests(&self) -> Result<BTreeMap<String, NewConnectionRequest>, String> {
        let mut requests = connection_requests(&self.field.world)?;
        if self.plan.hooks.is_some() {
            post::enter_hooks(&mut requests);
        }
        Ok(requests)
    }

    fn next_restore(&self) -> Option<Timestamp> {
        let due = self.restores.iter().filter(|restore| !restore.is_done);
        due.map(|restore| if restore.is_taken { restore.restored_at } else { restore.taken_at }).min()
    }

    /// Takes the backup that is due, or puts it back.
    async fn back_up(&mut self) -> Result<(), String> {
        let now = self.field.clock.now();
        for number in 0..self.restores.len() {
            let backup = self.scratch.path().join(format!("backup-{number}"));
            let Some(restore) = self.restores.get_mut(number) else { break };
            if !restore.is_taken && restore.taken_at <= now {
                restore.is_taken = true;
                restore.taken_at = now;
                self.take_backup(&backup).await?;
            } else if restore.is_taken && !restore.is_done && restore.restored_at <= now {
                restore.is_done = true;
                let taken_at = restore.taken_at;
                self.restore(&backup).await?;
                self.field.forget_credentials_since(taken_at);
            }
        }
        Ok(())
    }

    async fn take_backup(&self, backup: &Path) -> Result<(), String> {
        let folder = self.field.folder();
        // Nothing is being written: between two steps the files are whole.
        snapshot::back_up(&folder, backup).map_err(words)?;
        // The database's own copy takes the place of the file that was copied with the rest.
        let database = snapshot::database(backup);
        std::fs::remove_file(&database).map_err(words)?;
        self.store()?.copy_file(database).await.map_err(words)?;
        snapshot::drop_log(backup).map_err(words)?;
        self.field.note("a backup is taken");
        Ok(())
    }

    async fn restore(&mut self, backup: &Path) -> Result<(), String> {
        self.field.note("the backup is restored");
        self.field.kill()?;
        self.alive = None;
        let folder = self.field.folder();
        snapshot::put_back(backup, &folder).map_err(words)?;
        let clock = Arc::clone(&self.field.clock) as SharedClock;
        let store =
            Store::open(store_options(&folder, &clock, Arc::new(Entropy::seeded(7)))).map_err(words)?;
        store.begin_epoch().await.map_err(words)?;
        store.close().await;
        drop(store);
        self.ledger.forget_held();
        self.wake_up(true).await
    }
}

/// Whether a refund is among those that the marketplace has given back, by what they come to: of those that it is not
/// known of, the ones that together make up the rest. Where none do, enough must have been given back.
pub(super) fn is_given_back(rows: &[RefundRow], shop_refund_id: &str, given_back: i64) -> bool {
    let (told, open): (Vec<&RefundRow>, Vec<&RefundRow>) = rows.iter().partition(|row| row.told_at.is_some());
    let minor = |row: &&RefundRow| row.refund.sent_minor();
    let rest = given_back - told.iter().map(minor).sum::<i64>();
    let is_meant = |row: &&RefundRow| row.refund.shop_refund_id == shop_refund_id;
    let mut fitting = (0..1_u32 << open.len().min(16)).map(|choice| {
        let chosen = open.iter().enumerate().filter(move |(place, _)| choice & (1 << place) != 0);
        chosen.map(|(_, row)| *row).collect::<Vec<_>>()
    });
    match fitting.find(|chosen| chosen.iter().map(minor).sum::<i64>() == rest) {
        Some(chosen) => chosen.iter().any(is_meant),
        None => rest >= open.iter().filter(|row| is_meant(row)).map(minor).sum::<i64>(),
    }
}

/// A data folder with an empty store, to be copied for every seed.
///
/// # Errors
/// What went wrong, in words.
pub async fn make_template(dir: &Path) -> Result<(), String> {
    let clock: SharedClock = Arc::new(ManualClock::new(START));
    std::fs::create_dir_all(dir).map_err(words)?;
    let store = Store::open(store_options(dir, &clock, Arc::new(Entropy::seeded(1)))).map_err(words)?;
    drop(Vault::open(dir, &KeySource::DataFolder).map_err(words)?);
    store.close().await;
    Ok(())
}

/// A store in `dir` that follows from clock and entropy alone.
pub(super) fn store_options(dir: &Path, clock: &SharedClock, entropy: Arc<Entropy>) -> StoreOptions {
    StoreOptions {
        dir: dir.to_owned(),
        memory_limit: "256MB".to_owned(),
        threads: 1,
        reader_count: 1,
        query_timeout: Duration::from_secs(60),
        row_cap: 100_000,
        free_space_floor_bytes: 0,
        zone: jiff::tz::TimeZone::UTC,
        clock: Arc::clone(clock),
        entropy,
    }
}

/// What a person enters to connect each platform.
pub(super) fn connection_requests(world: &World) -> Result<BTreeMap<String, NewConnectionRequest>, String> {
    let listed = world.connections(|platform| format!("http://{platform}.test"));
    let words_of = |value: &Value| match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let mut requests = BTreeMap::new();
    for entry in listed.as_array().into_iter().flatten() {
        let credentials = entry["credentials"].as_object().into_iter().flatten();
        let credentials =
            credentials.map(|(name, value)| (name.clone(), Secret::new(words_of(value)))).collect();
        let channel = words_of(&entry["channel"]);
        let request = NewConnectionRequest {
            channel: channel.as_str().into(),
            alias: words_of(&entry["alias"]),
            base_url: Some(words_of(&entry["base_url"]).parse().map_err(words)?),
            credentials,
            settings: Default::default(),
        };
        requests.insert(channel, request);
    }
    Ok(requests)
}

/// An error in words.
pub fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

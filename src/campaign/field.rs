//! The field between one appliance and the simulated platforms: every call passes here, meets its fault, and is
//! counted; here the process dies, with a copy of its files as they are at that moment.
//!
//! A dead process must not be heard again: whatever it still does after its copy was made meets silence.

mod messages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::deeds::{Deeds, list};
use super::matrix::{Cell, Fault, Matrix, OPERATIONS, Operation, OperationKind, Side, place_of};
use super::post::Post;
use super::snapshot::{self, Cut};
use super::trace::Trace;
use crate::clock::{Clock, Entropy, ManualClock, shifted};
use crate::domain::id::ConnectionId;
use crate::http::{Answer, Call, Transport, TransportError};
use crate::sim::{Delivery, Reply, World};
use crate::store::CommitMoment;
use crate::sync::spool::Spool;

/// Who restores a backup enters credentials that it does not know so much later.
const REENTERED_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// How often things go wrong by themselves, in a thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Calls that meet a fault.
    pub fault: u64,
    /// Calls at which the process dies.
    pub crash_at_call: u64,
    /// Commits at which it dies, and moments of the spool.
    pub crash_at_commit: u64,
    /// Messages that meet a fault.
    pub message: u64,
}

/// A cell that this run is to hit: the `skip`th call after so many that it could strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aim {
    /// What and where.
    pub cell: Cell,
    /// Calls that are let pass before.
    pub skip: u32,
    /// Whether it is over after one try, though nothing came of it.
    pub is_once: bool,
}

/// What the field starts with.
pub struct FieldSetup {
    /// The platforms.
    pub world: World,
    /// Their time and ours.
    pub clock: Arc<ManualClock>,
    /// What goes wrong by itself.
    pub rates: Rates,
    /// What is made to go wrong.
    pub aims: Vec<Aim>,
    /// What people do meanwhile.
    pub deeds: Deeds,
    /// Where the draws come from.
    pub entropy: Entropy,
    /// The folder of folders, one for each life of the process.
    pub root: PathBuf,
    /// Who sees what is said.
    pub witness: Option<Witness>,
    /// Whether the platforms push.
    pub has_hooks: bool,
}

/// Sees every request as it reaches a platform, and the platform's own answer, before the network spoils it: the
/// platform, the operation, both.
pub type Witness = fn(&str, &str, &Request<Bytes>, &Response<Bytes>);

/// The field.
#[derive(Debug)]
pub struct Field {
    /// The platforms.
    pub world: World,
    /// Their time and ours.
    pub clock: Arc<ManualClock>,
    crash: Notify,
    witness: Option<Witness>,
    has_hooks: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    draw: Entropy,
    rates: Rates,
    aims: Vec<Aim>,
    is_on: bool,
    /// The process that is heard.
    life: u64,
    is_dead: bool,
    root: PathBuf,
    /// Calls and commits until the process dies again: crashes come in rows.
    dies_in: Option<u32>,
    last_operation: usize,
    /// Whether the last process died while a call that changes something had not been answered.
    died_in_write: bool,
    wal_bytes: u64,
    commit_crash: Option<Side>,
    snapshot_error: Option<String>,
    matrix: Matrix,
    trace: Trace,
    deeds: Deeds,
    /// When a person enters new credentials, by platform.
    repairs: BTreeMap<&'static str, Timestamp>,
    /// When new credentials were last entered.
    entered: BTreeMap<&'static str, Timestamp>,
    writes: u64,
    commits: u64,
    post: Post,
    connections: BTreeMap<ConnectionId, &'static str>,
    /// What is pushed to the living process and not read.
    spool: Option<Spool>,
    spool_bytes: u64,
    append_crash: Option<Side>,
}

/// What became of a call.
struct Outcome {
    /// None where the process is dead.
    answer: Option<Result<Answer, TransportError>>,
    /// Whether the fault really took place.
    is_hit: bool,
}

impl Outcome {
    fn answered(response: Response<Bytes>) -> Self {
        Self { answer: Some(Ok(answer_of(response))), is_hit: true }
    }

    fn failed(error: TransportError) -> Self {
        Self { answer: Some(Err(error)), is_hit: true }
    }

    const fn dead() -> Self {
        Self { answer: None, is_hit: true }
    }
}

/// What has happened on the field up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Calls that changed something, and deeds of people.
    pub writes: u64,
    /// Commits of the store.
    pub commits: u64,
}

impl Field {
    /// A field on which nothing goes wrong yet.
    #[must_use]
    pub fn new(setup: FieldSetup) -> Self {
        let state = State {
            draw: setup.entropy,
            rates: setup.rates,
            aims: setup.aims,
            is_on: false,
            life: 0,
            is_dead: false,
            root: setup.root,
            dies_in: None,
            last_operation: 0,
            died_in_write: false,
            wal_bytes: 0,
            commit_crash: None,
            snapshot_error: None,
            matrix: Matrix::default(),
            trace: Trace::default(),
            deeds: setup.deeds,
            repairs: BTreeMap::new(),
            entered: BTreeMap::new(),
            writes: 0,
            commits: 0,
            post: Post::default(),
            connections: BTreeMap::new(),
            spool: None,
            spool_bytes: 0,
            append_crash: None,
        };
        Self {
            world: setup.world,
            clock: setup.clock,
            crash: Notify::new(),
            witness: setup.witness,
            has_hooks: setup.has_hooks,
            state: Mutex::new(state),
        }
    }

    /// Waits until the process dies.
    pub async fn death(&self) {
        while !self.is_dead() {
            self.crash.notified().await;
        }
    }

    /// Whether the process has died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.lock().is_dead
    }

    /// From now on things go wrong and people are at work, or no longer.
    pub fn set_faults(&self, is_on: bool) {
        let mut state = self.lock();
        state.is_on = is_on;
        if !is_on {
            state.dies_in = None;
            state.commit_crash = None;
        }
    }

    /// Whether things go wrong.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.lock().is_on
    }

    /// Kills the process between two calls, for a restore.
    ///
    /// # Errors
    /// What became of the copy of its files, if that failed.
    pub fn kill(&self) -> Result<(), String> {
        let mut state = self.lock();
        if !state.is_dead {
            let now = self.clock.now();
            state.settle_spool();
            state.die(now, Cut::default());
            self.crash.notify_one();
        }
        state.snapshot_error.clone().map_or(Ok(()), Err)
    }

    /// The folder of the process that lives, or, after its death, of the next one.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let state = self.lock();
        folder_of(&state.root, state.life)
    }

    /// A new process is heard from now on; a second death may be near. The answer is its number.
    pub fn begin_life(&self) -> u64 {
        let now = self.clock.now();
        let mut state = self.lock();
        state.is_dead = false;
        state.commit_crash = None;
        state.append_crash = None;
        for platform in state.connections.clone().into_values() {
            state.post.trouble(platform, now);
        }
        state.dies_in = (state.is_on && state.draw.below(100) < 30).then(|| {
            let events = state.draw.below(14).saturating_add(1);
            u32::try_from(events).unwrap_or(1)
        });
        state.life
    }

    /// What has happened up to now.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let state = self.lock();
        Tally { writes: state.writes, commits: state.commits }
    }

    /// A line for the log of this run.
    pub fn note(&self, text: &str) {
        let now = self.clock.now();
        self.lock().trace.add(now, text);
    }

    /// What was counted, and the log.
    #[must_use]
    pub fn result(&self) -> (Matrix, Trace, Option<String>) {
        let state = self.lock();
        (state.matrix.clone(), state.trace.clone(), state.snapshot_error.clone())
    }

    /// When people do the next thing.
    #[must_use]
    pub fn next_deed(&self) -> Timestamp {
        let state = self.lock();
        if state.is_on { state.deeds.next_at() } else { Timestamp::MAX }
    }

    /// Lets people do what is due.
    pub fn let_people_act(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.is_on {
            state.act(&self.world, now);
        }
    }

    /// People finish what they began: missing tracking numbers, empty shelves.
    pub fn let_people_finish(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        let state = &mut *state;
        for done in state.deeds.finish(&self.world) {
            state.trace.add(now, &done);
            state.writes += 1;
        }
    }

    /// Platforms whose new credentials a person enters now.
    #[must_use]
    pub fn due_repairs(&self, is_last: bool) -> Vec<&'static str> {
        let now = self.clock.now();
        let state = self.lock();
        let due = state.repairs.iter().filter(|(_, at)| is_last || **at <= now);
        due.map(|(platform, _)| *platform).collect()
    }

    /// The platform wants new credentials; a person enters them after a while.
    pub fn plan_repair(&self, platform: &'static str) {
        let now = self.clock.now();
        let mut state = self.lock();
        let minutes = 2 + state.draw.below(25);
        let due_at = shifted(now, SignedDuration::from_mins(i64::try_from(minutes).unwrap_or(2)));
        state.repairs.entry(platform).or_insert(due_at);
    }

    /// New credentials are in.
    pub fn repaired(&self, platform: &'static str) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.repairs.remove(platform);
        state.entered.insert(platform, now);
    }

    /// A backup that was taken then is put back: credentials that were entered since are gone, and whoever restores
    /// enters them again.
    pub fn forget_credentials_since(&self, taken_at: Timestamp) {
        let due_at = shifted(self.clock.now(), REENTERED_AFTER);
        let mut state = self.lock();
        let State { repairs, entered, .. } = &mut *state;
        for (platform, _) in entered.iter().filter(|(_, at)| **at >= taken_at) {
            repairs.entry(platform).or_insert(due_at);
        }
    }

    /// Something is made to go wrong at a platform's next call, or one of the next.
    pub fn aim(&self, fault: Fault, call: (&str, &str), side: Side, skip_max: u64) {
        let Some(operation) = place_of(call.0, call.1) else { return };
        let mut state = self.lock();
        let skip = u32::try_from(state.draw.below(skip_max + 1)).unwrap_or(0);
        // A stale answer is meant for what happens now: kept for later, it would excuse what is not known in time.
        let is_once = fault == Fault::Stale;
        state.aims.push(Aim { cell: Cell { fault, operation, side }, skip, is_once });
    }

    /// Whether the last process died while a call that changes something had not been answered.
    #[must_use]
    pub fn died_in_write(&self) -> bool {
        self.lock().died_in_write
    }

    /// A draw for the run itself.
    pub fn below(&self, bound: u64) -> u64 {
        self.lock().draw.below(bound)
    }

    /// The store commits, on its own thread.
    pub fn on_commit(&self, life: u64, moment: CommitMoment) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.is_dead || state.life != life {
            return;
        }
        let folder = folder_of(&state.root, life);
        let mut cut = Cut::default();
        match moment {
            CommitMoment::Before => {
                state.commits += 1;
                state.commit_crash = state.draw_commit_crash();
                state.wal_bytes = snapshot::wal_bytes(&folder);
                if state.commit_crash != Some(Side::Before) {
                    return;
                }
            }
            CommitMoment::After if state.commit_crash.is_none() => {
                let commits = state.commits;
                state.trace.count(commits);
                return;
            }
            CommitMoment::After => {}
        }
        let Some(side) = state.commit_crash.take() else { return };
        let cell = Cell { fault: Fault::CrashAtCommit, operation: state.last_operation, side };
        if side == Side::During {
            let written = snapshot::wal_bytes(&folder).saturating_sub(state.wal_bytes);
            cut.wal_bytes = Some(state.wal_bytes.saturating_add(state.draw.below(written)));
        }
        state.settle_spool();
        state.strike_dead(now, cell, cut);
        self.crash.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call; none where its process is dead.
    fn exchange(&self, life: u64, call: &Call) -> Option<Result<Answer, TransportError>> {
        let platform = platform_of(call);
        let Some(operation) = place_of(&platform, call.operation) else {
            let text = format!("the campaign does not know {platform}.{}", call.operation);
            return Some(Err(TransportError::Invalid(text)));
        };
        let known = OPERATIONS.get(operation)?;
        let mut state = self.lock();
        if state.is_dead || state.life != life {
            return None;
        }
        self.clock.advance(Duration::from_millis(20 + state.draw.below(180)));
        let now = self.clock.now();
        if state.is_on {
            state.act(&self.world, now);
        }
        state.last_operation = operation;
        state.matrix.count_call(operation);
        state.writes += u64::from(known.kind.is_write());
        let cell = state.draw_cell(operation, known);
        let outcome = match cell {
            None => Outcome::answered(self.handle(known, &call.request)),
            Some(cell) => self.strike(&mut state, cell, known, call),
        };
        let struck = cell.filter(|_| outcome.is_hit);
        self.note_call(&mut state, known, call, struck, &outcome);
        state.trace.call(now, known, call, struck, outcome.answer.as_ref());
        if let Some(cell) = struck {
            state.matrix.hit(cell);
            state.forget_aim(cell);
        } else if let Some(spared) = cell {
            state.forget_try(spared);
        }
        if outcome.answer.is_none() {
            state.settle_spool();
            state.die(self.clock.now(), Cut::default());
            state.died_in_write = known.kind.is_write();
            self.crash.notify_one();
        }
        outcome.answer
    }

    fn handle(&self, operation: &Operation, request: &Request<Bytes>) -> Response<Bytes> {
        self.reply(operation, request).response
    }

    fn reply(&self, operation: &Operation, request: &Request<Bytes>) -> Reply {
        let reply = self.world.handle(operation.platform, request);
        if let Some(witness) = self.witness {
            witness(operation.platform, operation.name, request, &reply.response);
        }
        reply
    }

    /// Makes the platform's next call meet one of its own faults.
    fn plan(&self, operation: &Operation, kind: &str) {
        let body = json!({"operation": "*", "kind": kind, "count": 1});
        self.world.control(operation.platform, "fault", Some(&body));
    }

    fn strike(&self, state: &mut State, cell: Cell, operation: &Operation, call: &Call) -> Outcome {
        let request = &call.request;
        let reset = || Outcome::failed(TransportError::ResetMidway("connection reset".to_owned()));
        let is_after = cell.side == Side::After;
        match cell.fault {
            Fault::ConnectFailed => {
                self.clock.advance(Duration::from_secs(state.draw.below(10)));
                Outcome::failed(TransportError::ConnectFailed("connection refused".to_owned()))
            }
            Fault::Timeout => {
                if is_after {
                    self.handle(operation, request);
                }
                self.time_out(call)
            }
            Fault::Late => self.strike_late(state, operation, call),
            Fault::Reset => {
                if is_after {
                    self.handle(operation, request);
                }
                reset()
            }
            Fault::ServerError => {
                if is_after {
                    self.handle(operation, request);
                }
                Outcome::answered(server_error(state.draw.below(3)))
            }
            Fault::Throttled if operation.kind == OperationKind::Token => {
                Outcome::answered(page(StatusCode::TOO_MANY_REQUESTS, "Too many requests"))
            }
            Fault::Throttled => {
                self.plan(operation, "429");
                Outcome::answered(self.handle(operation, request))
            }
            Fault::Expired => Outcome::answered(self.handle(operation, &with_dead_token(request))),
            Fault::Revoked => self.strike_revoked(state, operation, request),
            Fault::Malformed => {
                if is_after {
                    self.handle(operation, request);
                }
                Outcome::answered(page(StatusCode::OK, "Please sign in to the network"))
            }
            Fault::Partial => {
                let mut response = self.handle(operation, request);
                let half = response.body().len() / 2;
                if half == 0 {
                    return reset();
                }
                *response.body_mut() = response.body().slice(..half);
                Outcome::answered(response)
            }
            Fault::Stale => {
                // It is one only where something has changed lately.
                let fresh = self.handle(operation, request);
                self.plan(operation, "stale");
                let stale = self.handle(operation, request);
                let is_hit = fresh.status() != stale.status() || fresh.body() != stale.body();
                Outcome { is_hit, ..Outcome::answered(stale) }
            }
            Fault::PartialSuccess => self.do_in_part(operation, request),
            Fault::Duplicate if operation.list.is_none() => {
                self.handle(operation, request);
                Outcome::answered(self.handle(operation, request))
            }
            Fault::Duplicate | Fault::Reordered => {
                let response = self.handle(operation, request);
                relist(response, operation, cell.fault, &state.draw)
            }
            Fault::Lost => self.lose_message(state, operation, request),
            Fault::Forged => self.forge_message(operation, request),
            Fault::Slow => {
                self.clock.advance(Duration::from_secs(3 + state.draw.below(24)));
                Outcome::answered(self.handle(operation, request))
            }
            Fault::Crash => {
                if is_after {
                    // It may still be under way when we die, and land when the next process is at work.
                    if operation.kind.is_write() && state.draw.below(2) == 0 {
                        self.plan(operation, "late");
                    }
                    self.handle(operation, request);
                }
                Outcome::dead()
            }
            Fault::CrashAtCommit | Fault::CrashWhileRead | Fault::Replayed => {
                Outcome { is_hit: false, ..Outcome::answered(self.handle(operation, request)) }
            }
        }
    }

    /// One of the things that the call asks for is not done.
    fn do_in_part(&self, operation: &Operation, request: &Request<Bytes>) -> Outcome {
        let platform = operation.platform;
        if operation.name == "createFeed" {
            self.world.control(platform, "feed", Some(&json!({"outcome": "PARTIAL"})));
            let response = self.handle(operation, request);
            let feeds = list(&self.world, platform, "feeds");
            let is_hit = feeds.last().is_some_and(|feed| feed["fate"] == "PARTIAL");
            return Outcome { is_hit, ..Outcome::answered(response) };
        }
        self.world.control(platform, "keep_message", Some(&json!({})));
        let response = self.handle(operation, request);
        let said: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let failed = said.get("Failed").and_then(Value::as_array);
        Outcome { is_hit: failed.is_some_and(|failed| !failed.is_empty()), ..Outcome::answered(response) }
    }

    fn time_out(&self, call: &Call) -> Outcome {
        self.clock.advance(call.timeout);
        Outcome::failed(TransportError::TimedOut { request_sent: true })
    }

    /// The client is told that it failed, in one of three ways, and the effect comes later.
    fn strike_late(&self, state: &State, operation: &Operation, call: &Call) -> Outcome {
        self.plan(operation, "late");
        let reply = self.reply(operation, &call.request);
        let is_hit = reply.delivery == Delivery::NeverAnswered;
        let outcome = match state.draw.below(3) {
            0 => self.time_out(call),
            1 => {
                self.clock.advance(Duration::from_secs(state.draw.below(20)));
                Outcome::failed(TransportError::ResetMidway("connection reset".to_owned()))
            }
            _ => {
                self.clock.advance(Duration::from_secs(10));
                Outcome::answered(page(StatusCode::GATEWAY_TIMEOUT, "Gateway timeout"))
            }
        };
        Outcome { is_hit, ..outcome }
    }

    /// The seller ends the authorisation just before the call; a person gives a new one after a while.
    fn strike_revoked(&self, state: &mut State, operation: &Operation, request: &Request<Bytes>) -> Outcome {
        self.world.control(operation.platform, "revoke", Some(&json!({})));
        let minutes = 2 + state.draw.below(25);
        let wait = SignedDuration::from_mins(i64::try_from(minutes).unwrap_or(2));
        state.repairs.insert(operation.platform, shifted(self.clock.now(), wait));
        Outcome::answered(self.handle(operation, request))
    }
}

impl State {
    /// People do what is due.
    fn act(&mut self, world: &World, now: Timestamp) {
        for done in self.deeds.perform_due(world, now) {
            self.trace.add(now, &done);
            self.writes += 1;
        }
    }

    /// The process dies of something.
    fn strike_dead(&mut self, now: Timestamp, cell: Cell, cut: Cut) {
        self.matrix.hit(cell);
        self.trace.add(now, &cell.to_string());
        self.die(now, cut);
    }

    /// The process dies: its files are copied as they are, but for what is cut off.
    fn die(&mut self, now: Timestamp, cut: Cut) {
        let (from, to) = (folder_of(&self.root, self.life), folder_of(&self.root, self.life + 1));
        if let Err(error) = snapshot::copy(&from, &to, cut) {
            self.snapshot_error.get_or_insert(error.to_string());
        }
        self.is_dead = true;
        self.died_in_write = false;
        self.life += 1;
        self.dies_in = None;
        self.trace.add(now, "the process dies");
    }

    /// What happens to this call.
    fn draw_cell(&mut self, operation: usize, known: &Operation) -> Option<Cell> {
        if !self.is_on {
            return None;
        }
        if let Some(cell) = self.aimed(operation, |fault| fault != Fault::CrashAtCommit) {
            return Some(cell);
        }
        if self.must_die() || self.draw.below(1000) < self.rates.crash_at_call {
            let side = if self.draw.below(2) == 0 { Side::Before } else { Side::After };
            return Some(Cell { fault: Fault::Crash, operation, side });
        }
        if self.draw.below(1000) >= self.rates.fault {
            return None;
        }
        let total: u64 = USUAL.iter().map(|(_, _, weight)| weight).sum();
        let mut place = self.draw.below(total);
        for (fault, side, weight) in USUAL {
            if place < weight {
                return fault.is_possible(known, side).then_some(Cell { fault, operation, side });
            }
            place -= weight;
        }
        None
    }

    fn aimed(&mut self, operation: usize, is_meant: impl Fn(Fault) -> bool) -> Option<Cell> {
        let meant = |aim: &&mut Aim| aim.cell.operation == operation && is_meant(aim.cell.fault);
        for aim in self.aims.iter_mut().filter(meant) {
            if aim.skip == 0 {
                return Some(aim.cell);
            }
            aim.skip -= 1;
        }
        None
    }

    fn forget_aim(&mut self, cell: Cell) {
        if let Some(place) = self.aims.iter().position(|aim| aim.cell == cell) {
            self.aims.remove(place);
        }
    }

    /// Nothing came of what was tried: it is tried again, unless it was meant for now alone.
    fn forget_try(&mut self, cell: Cell) {
        let is_over = |aim: &Aim| aim.cell == cell && aim.skip == 0 && aim.is_once;
        if let Some(place) = self.aims.iter().position(is_over) {
            self.aims.remove(place);
        }
    }

    /// Counts down to the next death of a row.
    fn must_die(&mut self) -> bool {
        let Some(left) = self.dies_in else { return false };
        self.dies_in = left.checked_sub(1);
        left == 0
    }

    fn draw_commit_crash(&mut self) -> Option<Side> {
        if !self.is_on {
            return None;
        }
        if let Some(cell) = self.aimed(self.last_operation, |fault| fault == Fault::CrashAtCommit) {
            self.forget_aim(cell);
            return Some(cell.side);
        }
        self.draws_death().then(|| self.draw_side())
    }

    fn draws_death(&mut self) -> bool {
        self.must_die() || self.draw.below(1000) < self.rates.crash_at_commit
    }

    fn draw_side(&self) -> Side {
        match self.draw.below(3) {
            0 => Side::Before,
            1 => Side::During,
            _ => Side::After,
        }
    }
}

/// What goes wrong by itself, and how often beside the others.
const USUAL: [(Fault, Side, u64); 23] = [
    (Fault::ConnectFailed, Side::Before, 20),
    (Fault::Timeout, Side::Before, 20),
    (Fault::Timeout, Side::After, 40),
    (Fault::Late, Side::After, 60),
    (Fault::Reset, Side::Before, 10),
    (Fault::Reset, Side::After, 20),
    (Fault::ServerError, Side::Before, 20),
    (Fault::ServerError, Side::After, 20),
    (Fault::Throttled, Side::Before, 30),
    (Fault::Expired, Side::Before, 3),
    (Fault::Revoked, Side::Before, 1),
    (Fault::Malformed, Side::Before, 10),
    (Fault::Malformed, Side::After, 10),
    (Fault::Partial, Side::After, 20),
    (Fault::PartialSuccess, Side::After, 20),
    (Fault::Stale, Side::After, 60),
    (Fault::Duplicate, Side::After, 20),
    (Fault::Reordered, Side::After, 20),
    (Fault::Slow, Side::After, 20),
    (Fault::Crash, Side::Before, 2),
    (Fault::Crash, Side::After, 4),
    (Fault::CrashAtCommit, Side::Before, 0),
    (Fault::CrashAtCommit, Side::After, 0),
];

/// One process's way to the platforms.
#[derive(Debug)]
pub struct Passage {
    field: Arc<Field>,
    life: u64,
}

impl Passage {
    /// The way of the process of this number.
    #[must_use]
    pub const fn new(field: Arc<Field>, life: u64) -> Self {
        Self { field, life }
    }
}

#[async_trait]
impl Transport for Passage {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        match self.field.exchange(self.life, &call) {
            Some(result) => result,
            None => std::future::pending().await,
        }
    }
}

fn folder_of(root: &Path, life: u64) -> PathBuf {
    root.join(format!("life-{life}"))
}

fn platform_of(call: &Call) -> String {
    let host = call.request.uri().host().unwrap_or_default();
    host.split('.').next().unwrap_or_default().to_owned()
}

/// An answer that took no time.
pub(super) fn answer_of(response: Response<Bytes>) -> Answer {
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body, duration: Duration::ZERO }
}

/// A page for people, as proxies and portals send.
fn page(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("<html><body>{text}</body></html>")));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

fn server_error(variant: u64) -> Response<Bytes> {
    match variant {
        0 => page(StatusCode::BAD_GATEWAY, "Bad gateway"),
        1 => {
            let mut response = page(StatusCode::SERVICE_UNAVAILABLE, "Be right back");
            response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("30"));
            response
        }
        _ => {
            let mut response = Response::new(Bytes::from_static(b"{\"error\":\"internal\"}"));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// The request as it would be with a token that has died meanwhile.
fn with_dead_token(request: &Request<Bytes>) -> Request<Bytes> {
    let mut request = request.clone();
    let dead = [("x-amz-access-token", "dead"), ("x-auth-token", "dead"), ("authorization", "Bearer dead")];
    for (name, text) in dead {
        if let Some(value) = request.headers_mut().get_mut(name) {
            *value = HeaderValue::from_static(text);
        }
    }
    request
}

/// The answer with another body.
fn with_body(response: Response<Bytes>, body: &Value) -> Outcome {
    let (parts, _) = response.into_parts();
    Outcome::answered(Response::from_parts(parts, Bytes::from(body.to_string())))
}

/// The answer with its list repeated or shuffled; unhit where the list is too short for that.
fn relist(response: Response<Bytes>, operation: &Operation, fault: Fault, draw: &Entropy) -> Outcome {
    let unhit = |response| Outcome { is_hit: false, ..Outcome::answered(response) };
    let Ok(mut body) = serde_json::from_slice::<Value>(response.body()) else { return unhit(response) };
    let mut place = Some(&mut body);
    for name in operation.list.unwrap_or_default() {
        place = place.and_then(|value| value.get_mut(*name));
    }
    let Some(Value::Array(list)) = place else { return unhit(response) };
    if fault == Fault::Duplicate {
        if list.is_empty() {
            return unhit(response);
        }
        list.extend_from_within(..);
    } else {
        if list.len() < 2 {
            return unhit(response);
        }
        for end in (1..list.len()).rev() {
            let bound = u64::try_from(end + 1).unwrap_or(1);
            list.swap(end, usize::try_from(draw.below(bound)).unwrap_or(0));
        }
    }
    with_body(response, &body)
}

//! Messages on the field: those that the platforms send, what goes wrong with them, and the spool in which the appliance
//! keeps them, at any moment of which the process may die.

use bytes::Bytes;
use http::{HeaderValue, Request};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::deeds::{list, text};
use super::super::matrix::{Cell, Fault, MESSAGE, Operation, OperationKind, RECEIVE_MESSAGE, Side, place_of};
use super::super::post::{self, Challenge, Ended, Letter, News};
use super::super::snapshot::{self, Cut};
use super::{Aim, Field, Outcome, State, folder_of, with_body};
use crate::clock::Clock as _;
use crate::domain::id::ConnectionId;
use crate::http::Call;
use crate::sim::{AMAZON, EBAY, Message};
use crate::sync::spool::{Spool, SpoolMoment};

/// What happens to messages by itself.
const USUAL_OF_MESSAGES: [(Fault, Side); 9] = [
    (Fault::Lost, Side::Before),
    (Fault::ConnectFailed, Side::Before),
    (Fault::Malformed, Side::Before),
    (Fault::Forged, Side::Before),
    (Fault::Timeout, Side::After),
    (Fault::Late, Side::After),
    (Fault::Duplicate, Side::After),
    (Fault::Reordered, Side::After),
    (Fault::Replayed, Side::After),
];

impl Field {
    /// What is pushed to the living process lies here from now on.
    pub fn keep_spool(&self, spool: &Spool) {
        let mut state = self.lock();
        let connections = state.connections.clone();
        for (id, platform) in connections {
            let waiting = spool.waiting(id, usize::MAX, Timestamp::MAX).len();
            state.post.found(platform, u64::try_from(waiting).unwrap_or(u64::MAX));
        }
        state.spool = Some(spool.clone());
    }

    /// Whose messages a connection takes.
    pub fn name_connection(&self, id: ConnectionId, platform: &'static str) {
        self.lock().connections.insert(id, platform);
    }

    /// The spool keeps or forgets messages: the first on its own thread, which nobody else waits for then.
    pub fn on_spool(&self, life: u64, connection: ConnectionId, moment: SpoolMoment) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.is_dead || state.life != life {
            return;
        }
        let platform = state.connections.get(&connection).copied().unwrap_or_default();
        let Some(operation) = place_of(platform, MESSAGE) else { return };
        let folder = folder_of(&state.root, life);
        let mut cut = Cut::default();
        let cell = match moment {
            SpoolMoment::BeforeAppend => {
                state.matrix.count_call(operation);
                state.spool_bytes = snapshot::spool_bytes(&folder);
                state.append_crash = state.draw_append_crash(operation);
                if state.append_crash != Some(Side::Before) {
                    return;
                }
                Cell { fault: Fault::Crash, operation, side: Side::Before }
            }
            SpoolMoment::AfterAppend => {
                let Some(side) = state.append_crash.take() else { return };
                if side == Side::During {
                    let written = snapshot::spool_bytes(&folder).saturating_sub(state.spool_bytes);
                    cut.spool_bytes = Some(state.spool_bytes.saturating_add(state.draw.below(written)));
                }
                Cell { fault: Fault::Crash, operation, side }
            }
            SpoolMoment::BeforeForgotten => {
                let cell = Cell { fault: Fault::CrashWhileRead, operation, side: Side::After };
                if !state.draws_crash_while_read(cell) {
                    return;
                }
                state.settle_spool();
                cell
            }
        };
        state.strike_dead(now, cell, cut);
        self.crash.notify_one();
    }

    /// Collects what the platforms have sent by now.
    pub fn collect_messages(&self) {
        if !self.has_hooks {
            return;
        }
        let messages = self.world.take_messages();
        let now = self.clock.now();
        let mut state = self.lock();
        for message in messages {
            state.send(message, now);
        }
    }

    /// When the next message is brought, or something happens at a platform that may lead to one.
    #[must_use]
    pub fn next_message(&self) -> Option<Timestamp> {
        if !self.has_hooks {
            return None;
        }
        let next = self.lock().post.next_at();
        [next, self.world.next_event()].into_iter().flatten().min()
    }

    /// The next message that is due.
    pub fn take_letter(&self) -> Option<Letter> {
        let now = self.clock.now();
        self.lock().post.take_due(now)
    }

    /// How an order stands at its platform that a message tells of for the first time.
    pub fn told_by(&self, letter: &Letter) -> Option<News> {
        let now = self.clock.now();
        let order = letter.tells_of(now)?;
        self.news_of(letter.message.platform, order, now)
    }

    /// A message was answered. `told` is what has to be known of it; none where the appliance did not keep it, or need not
    /// know it.
    pub fn letter_taken(&self, letter: Letter, is_kept: bool, told: Option<News>) {
        let now = self.clock.now();
        let mut state = self.lock();
        let platform = letter.message.platform;
        let text = format!("{platform} pushes {}", letter.message.body);
        let ended = state.post.taken(now, letter, is_kept);
        let struck = match ended {
            Ended::Struck(cell) => format!(" [{cell}]"),
            Ended::Well | Ended::Spared(_) => String::new(),
        };
        state.trace.add(now, &format!("{text}{struck} → taken"));
        match ended {
            Ended::Well => {}
            Ended::Struck(cell) => state.matrix.hit(cell),
            Ended::Spared(cell) => state.aims.push(Aim { cell, skip: 0, is_once: false }),
        }
        let Some(operation) = place_of(platform, MESSAGE) else { return };
        told.into_iter().for_each(|news| state.post.told(news));
        let cell = Cell { fault: Fault::CrashWhileRead, operation, side: Side::Before };
        if is_kept && state.draws_crash_while_read(cell) {
            state.settle_spool();
            state.strike_dead(now, cell, Cut::default());
            self.crash.notify_one();
        }
    }

    /// A message was not answered.
    pub fn letter_refused(&self, letter: Letter) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.trace.add(now, &format!("{} gets no answer", letter.message.platform));
        state.post.not_taken(now, letter);
    }

    /// Nobody was there up to now.
    pub fn miss_messages(&self) {
        self.collect_messages();
        let now = self.clock.now();
        self.lock().post.miss_all(now);
    }

    /// What the platforms told of so long ago that it has to be known.
    pub fn take_due_news(&self) -> Vec<News> {
        let now = self.clock.now();
        self.lock().post.take_due_news(now)
    }

    /// The appliance has been busy since then.
    pub fn note_busy(&self, since: Timestamp) {
        let time = self.clock.now().duration_since(since);
        self.lock().post.busy(time);
    }

    /// A platform's account cannot be asked at the moment.
    pub fn note_trouble(&self, platform: &'static str) {
        let now = self.clock.now();
        self.lock().post.trouble(platform, now);
    }

    /// How many of a platform's messages the living process may believe at most.
    #[must_use]
    pub fn believable(&self, platform: &str) -> u64 {
        self.lock().post.believable(platform)
    }

    /// The addresses that eBay asks for proof now.
    pub fn take_challenges(&self) -> Vec<Challenge> {
        self.lock().post.take_challenges()
    }

    fn news_of(&self, platform: &'static str, order: String, at: Timestamp) -> Option<News> {
        let orders = list(&self.world, platform, "orders");
        let truth = orders.into_iter().find(|known| text(known, "id") == order)?;
        Some(News { platform, order, truth, at, since: at })
    }

    /// What a call means for messages: those that it brings, and how far its platform can be asked at all.
    pub(super) fn note_call(
        &self,
        state: &mut State,
        operation: &Operation,
        call: &Call,
        struck: Option<Cell>,
        outcome: &Outcome,
    ) {
        let (now, platform) = (self.clock.now(), operation.platform);
        let answer = outcome.answer.as_ref().and_then(|answer| answer.as_ref().ok());
        let answer = answer.filter(|answer| answer.status.is_success());
        let is_reading = operation.name == "getPublicKey"
            || matches!(
                operation.kind,
                OperationKind::OrderRead | OperationKind::Token | OperationKind::File
            );
        if is_reading && (struck.is_some() || answer.is_none()) {
            state.post.trouble(platform, now);
        }
        if struck.is_some_and(|cell| cell.fault == Fault::Stale) {
            state.post.stale(platform);
        }
        let Some(answer) = answer else { return };
        match (platform, operation.name) {
            (EBAY, "createDestination" | "updateDestination") => {
                state.post.ask_for_proof(call.request.body())
            }
            (AMAZON, RECEIVE_MESSAGE) => {
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let messages = body.get("Messages").and_then(Value::as_array).map(Vec::as_slice);
                let messages = messages.unwrap_or_default();
                for order in state.post.received(messages) {
                    let news = self.news_of(AMAZON, order, now);
                    news.into_iter().for_each(|news| state.post.told(news));
                }
            }
            _ => {}
        }
    }

    /// The platform never wrote one of the messages that the queue would have given.
    pub(super) fn lose_message(
        &self,
        state: &State,
        operation: &Operation,
        request: &Request<Bytes>,
    ) -> Outcome {
        let response = self.handle(operation, request);
        let mut body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let messages = body.get_mut("Messages").and_then(Value::as_array_mut);
        let Some(messages) = messages.filter(|messages| !messages.is_empty()) else {
            return Outcome { is_hit: false, ..Outcome::answered(response) };
        };
        let bound = u64::try_from(messages.len()).unwrap_or(1);
        let lost = messages.remove(usize::try_from(state.draw.below(bound)).unwrap_or(0));
        let mut delete = request.clone();
        let entries = json!([{"Id": "0", "ReceiptHandle": lost.get("ReceiptHandle")}]);
        let asked: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let wish = json!({"QueueUrl": asked.get("QueueUrl"), "Entries": entries});
        *delete.body_mut() = wish.to_string().into();
        let target = HeaderValue::from_static("AmazonSQS.DeleteMessageBatch");
        delete.headers_mut().insert("x-amz-target", target);
        self.world.handle(operation.platform, &delete);
        with_body(response, &body)
    }

    /// Somebody else wrote into the queue, too.
    pub(super) fn forge_message(&self, operation: &Operation, request: &Request<Bytes>) -> Outcome {
        let response = self.handle(operation, request);
        let mut body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let forged = body.pointer("/Messages/0").and_then(post::of_other_seller);
        match (body.get_mut("Messages").and_then(Value::as_array_mut), forged) {
            (Some(messages), Some(forged)) => messages.insert(0, forged),
            _ => return Outcome { is_hit: false, ..Outcome::answered(response) },
        }
        with_body(response, &body)
    }
}

impl State {
    /// A platform sends a message.
    fn send(&mut self, message: Message, now: Timestamp) {
        let cell =
            place_of(message.platform, MESSAGE).and_then(|operation| self.draw_message_cell(operation));
        if let Some(cell) = cell {
            self.forget_aim(cell);
        }
        // What keeps it from coming has taken place by that; the rest does when it comes.
        let is_hit = |cell: &Cell| matches!(cell.fault, Fault::Lost | Fault::ConnectFailed);
        if let Some(cell) = cell.filter(is_hit) {
            self.matrix.hit(cell);
            self.trace.add(now, &format!("{} pushes {} [{cell}]", message.platform, message.body));
        }
        self.post.add(message, cell, &self.draw);
    }

    /// What happens to a message on its way.
    fn draw_message_cell(&mut self, operation: usize) -> Option<Cell> {
        if !self.is_on {
            return None;
        }
        let is_meant = |fault| !matches!(fault, Fault::Crash | Fault::CrashWhileRead);
        if let Some(cell) = self.aimed(operation, is_meant) {
            return Some(cell);
        }
        if self.draw.below(1000) >= self.rates.message {
            return None;
        }
        let place = usize::try_from(self.draw.below(USUAL_OF_MESSAGES.len().try_into().unwrap_or(1))).ok()?;
        let (fault, side) = USUAL_OF_MESSAGES.get(place).copied()?;
        Some(Cell { fault, operation, side })
    }

    /// Whether the process dies while it keeps this message.
    fn draw_append_crash(&mut self, operation: usize) -> Option<Side> {
        if !self.is_on {
            return None;
        }
        if let Some(cell) = self.aimed(operation, |fault| fault == Fault::Crash) {
            self.forget_aim(cell);
            return Some(cell.side);
        }
        self.draws_death_of_message().then(|| self.draw_side())
    }

    /// Whether the process dies between its answer and the end of what a message leads to.
    fn draws_crash_while_read(&mut self, cell: Cell) -> bool {
        if !self.is_on {
            return false;
        }
        let is_aimed = self.aims.contains(&Aim { cell, skip: 0, is_once: false });
        self.forget_aim(cell);
        is_aimed || self.draws_death_of_message()
    }

    /// Messages are many, and each is another chance to die: as much as at one commit in four.
    fn draws_death_of_message(&self) -> bool {
        self.draw.below(4_000) < self.rates.crash_at_commit
    }

    /// Whether the file of messages is as everything that was asked for leaves it: else a copy of it would follow from how
    /// fast its thread is.
    pub(super) fn settle_spool(&self) {
        if let Some(spool) = &self.spool {
            spool.settle();
        }
    }
}

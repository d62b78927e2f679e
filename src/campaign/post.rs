//! What the platforms push: messages on their way to the appliance, what goes wrong with them there, and what they told.
//!
//! The rig brings what is due to the engine's own door. A platform that is not answered comes again. Nothing here may
//! know what the appliance makes of a message: whether it is known what was told is for `invariants` to see.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::deeds::text;
use super::matrix::{Cell, Fault};
use crate::channels::webhooks::REPLAY_WINDOW;
use crate::clock::{Entropy, shifted, whole_second};
use crate::secret::Secret;
use crate::sim::{
    AMAZON, AMAZON_ACCESS_KEY_ID, AMAZON_QUEUE_URL, EBAY, ETSY, MESSAGE_RETRIES_AFTER, Message,
};
use crate::sync::commands::NewConnectionRequest;

/// Where the platforms reach the appliance.
pub const PUBLIC_URL: &str = "https://eider.test/";

/// What was told is known after so long in which the appliance had time and nothing was wrong with the platform's reading
/// calls: long before the next poll would find it.
pub const KNOWN_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// A message that comes first within this time is acted on: the window of replays, less what a busy appliance takes.
const FRESH: SignedDuration = SignedDuration::from_secs(270);

/// Seconds between two rounds of a platform that brings messages.
const ROUND_S: i64 = 5;

/// What Etsy's portal signs with.
const ETSY_SECRET: &str = "whsec_c2ltdWxhdGVkLWV0c3ktc2VjcmV0";

/// Where a notification names its seller.
const SELLER_PATH: &str = "/Payload/OrderChangeNotification/SellerId";

/// Another seller, whose notification has no business in this queue.
const OTHER_SELLER: &str = "A0SOMEBODYELSE";

/// A message on its way.
#[derive(Debug, Clone)]
pub struct Letter {
    /// What is sent.
    pub message: Message,
    /// Later ones are higher.
    number: u64,
    /// Times that it was brought and not answered.
    tries: usize,
    kind: LetterKind,
    /// What goes wrong with it.
    cell: Option<Cell>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LetterKind {
    /// As the platform sent it.
    Own,
    /// The same once more.
    Copy,
    /// Cut off, forged or long over: it must change nothing.
    Bad,
}

impl Letter {
    fn has(&self, fault: Fault) -> bool {
        self.cell.is_some_and(|cell| cell.fault == fault)
    }

    /// Where it is brought: what nobody can guess of the address.
    #[must_use]
    pub fn token(&self) -> &str {
        self.message.url.rsplit('/').next().unwrap_or_default()
    }

    /// Its headers, as a server hands them on.
    #[must_use]
    pub fn headers(&self) -> BTreeMap<String, String> {
        self.message.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    /// The order that it tells of for the first time, while it may be acted on. None where another message may have told of
    /// it before.
    #[must_use]
    pub fn tells_of(&self, now: Timestamp) -> Option<String> {
        let is_fresh = now.duration_since(self.message.made_at) <= FRESH;
        (self.kind == LetterKind::Own && self.tries == 0 && is_fresh).then(|| order_of(&self.message))?
    }
}

/// What a platform told.
#[derive(Debug, Clone)]
pub struct News {
    /// Who told it.
    pub platform: &'static str,
    /// The platform's id of the order.
    pub order: String,
    /// How the order stood there then.
    pub truth: Value,
    /// When it was told.
    pub at: Timestamp,
    /// From when on the appliance could have looked.
    pub since: Timestamp,
}

/// An address that eBay is told of, which eBay asks for proof at once.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// The address.
    pub endpoint: String,
    proof: String,
}

impl Challenge {
    /// What eBay takes for the proof, by its own text: the hash of its code, the verification token and the address.
    #[must_use]
    pub fn expected(&self, code: &str) -> String {
        let hash = Sha256::digest(format!("{code}{}{}", self.proof, self.endpoint));
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What became of a message that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing went wrong with it.
    Well,
    /// What was to go wrong did.
    Struck(Cell),
    /// What was to go wrong did not.
    Spared(Cell),
}

/// Everything that is on its way.
#[derive(Debug, Default)]
pub struct Post {
    on_way: BTreeMap<(Timestamp, u64), Letter>,
    numbered: u64,
    /// The latest of each platform's messages that was taken.
    last_taken: BTreeMap<&'static str, u64>,
    /// What was told and not looked for yet.
    news: Vec<News>,
    /// Messages out of the queue that told of something before.
    known_ids: BTreeSet<String>,
    /// Messages of each platform that the living process may believe.
    believable: BTreeMap<&'static str, u64>,
    challenges: Vec<Challenge>,
}

impl Post {
    /// A platform sends a message, with which this goes wrong.
    pub fn add(&mut self, message: Message, cell: Option<Cell>, draw: &Entropy) {
        let seconds = |from: u64, below: u64| {
            SignedDuration::from_secs(i64::try_from(from + draw.below(below)).unwrap_or(0))
        };
        let usual = next_round(message.made_at);
        self.numbered += 1;
        let own = Letter { message, number: self.numbered, tries: 0, kind: LetterKind::Own, cell };
        let plain = Letter { cell: None, ..own.clone() };
        let other = |kind: LetterKind| Letter { kind, ..own.clone() };
        match cell.map(|cell| cell.fault) {
            Some(Fault::Lost) => {}
            // It is brought at the usual time, and nobody opens.
            Some(Fault::ConnectFailed) => self.bring_again(usual, plain),
            Some(Fault::Late) => self.bring(shifted(usual, seconds(120, 120)), own),
            Some(Fault::Reordered) => self.bring(shifted(usual, seconds(20, 180)), own),
            Some(Fault::Duplicate) => {
                self.bring(shifted(usual, seconds(0, 30)), other(LetterKind::Copy));
                self.bring(usual, plain);
            }
            Some(Fault::Forged) => {
                let mut forged = other(LetterKind::Bad);
                forged.message.body = with_other_digits(&forged.message.body);
                self.bring(shifted(usual, SignedDuration::from_millis(-20)), forged);
                self.bring(usual, plain);
            }
            Some(Fault::Replayed) => {
                self.bring(shifted(usual, seconds(360, 600)), other(LetterKind::Bad));
                self.bring(usual, plain);
            }
            Some(Fault::Malformed) => {
                let mut cut_off = other(LetterKind::Bad);
                let half = cut_off.message.body.len() / 2;
                cut_off.message.body.truncate(half);
                self.bring(usual, cut_off);
            }
            _ => self.bring(usual, own),
        }
    }

    fn bring(&mut self, at: Timestamp, letter: Letter) {
        let number = letter.number * 2 + u64::from(letter.kind != LetterKind::Own);
        self.on_way.insert((at, number), letter);
    }

    /// It was brought at `at`, and nobody answered.
    fn bring_again(&mut self, at: Timestamp, letter: Letter) {
        let wait =
            MESSAGE_RETRIES_AFTER.get(letter.tries).and_then(|wait| SignedDuration::try_from(*wait).ok());
        // After the last of them the platform gives up; the poll is left.
        if let Some(wait) = wait {
            self.bring(shifted(at, wait), Letter { tries: letter.tries + 1, ..letter });
        }
    }

    /// When the next one is brought.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        self.on_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one that is due.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Letter> {
        let is_due = self.next_at().is_some_and(|at| at <= now);
        if is_due { self.on_way.pop_first().map(|(_, letter)| letter) } else { None }
    }

    /// Nobody was there up to now: what was brought meanwhile comes again.
    pub fn miss_all(&mut self, now: Timestamp) {
        while let Some(at) = self.next_at().filter(|at| *at <= now) {
            if let Some((_, letter)) = self.on_way.pop_first() {
                self.bring_again(at, letter);
            }
        }
    }

    /// It was not answered.
    pub fn not_taken(&mut self, now: Timestamp, letter: Letter) {
        self.bring_again(now, letter);
    }

    /// It was answered. `is_kept` where the appliance will look at it.
    pub fn taken(&mut self, now: Timestamp, letter: Letter, is_kept: bool) -> Ended {
        let platform = letter.message.platform;
        let is_in_time = now.duration_since(letter.message.made_at) <= REPLAY_WINDOW;
        if is_kept && is_in_time && letter.kind != LetterKind::Bad {
            *self.believable.entry(platform).or_default() += 1;
        }
        let is_overtaken = self.last_taken.get(platform).is_some_and(|last| *last > letter.number);
        if letter.kind == LetterKind::Own {
            let last = self.last_taken.entry(platform).or_default();
            *last = letter.number.max(*last);
        }
        let Some(cell) = letter.cell else { return Ended::Well };
        if letter.has(Fault::Timeout) {
            // The platform does not know it.
            self.bring_again(now, Letter { cell: None, ..letter });
        } else if letter.has(Fault::Reordered) && !is_overtaken {
            return Ended::Spared(cell);
        }
        Ended::Struck(cell)
    }

    /// A platform told of an order.
    pub fn told(&mut self, news: News) {
        self.news.push(news);
    }

    /// What came out of the merchant's queue: the orders that it tells of for the first time.
    pub fn received(&mut self, messages: &[Value]) -> Vec<String> {
        let mut orders = Vec::new();
        for message in messages {
            let said: Value = serde_json::from_str(text(message, "Body")).unwrap_or_default();
            let said_at = |path: &str| said.pointer(path).and_then(Value::as_str).map(str::to_owned);
            if said_at(SELLER_PATH).is_some_and(|seller| seller == OTHER_SELLER) {
                continue;
            }
            *self.believable.entry(AMAZON).or_default() += 1;
            let id = said_at("/NotificationMetadata/NotificationId").unwrap_or_default();
            if self.known_ids.insert(id) {
                orders.extend(said_at("/Payload/OrderChangeNotification/AmazonOrderId"));
            }
        }
        orders
    }

    /// A process starts that finds so many messages of a platform.
    pub fn found(&mut self, platform: &'static str, count: u64) {
        self.believable.insert(platform, count);
    }

    /// How many of a platform's messages the living process may believe at most.
    #[must_use]
    pub fn believable(&self, platform: &str) -> u64 {
        self.believable.get(platform).copied().unwrap_or(0)
    }

    /// Nothing could be read from a platform up to now.
    pub fn trouble(&mut self, platform: &str, now: Timestamp) {
        for news in self.news.iter_mut().filter(|news| news.platform == platform) {
            news.since = now;
        }
    }

    /// The appliance was busy for so long: its calls go out one after the other here.
    pub fn busy(&mut self, time: SignedDuration) {
        for news in &mut self.news {
            news.since = shifted(news.since, time);
        }
    }

    /// A platform said what is no longer so: the next poll finds what it was asked for.
    pub fn stale(&mut self, platform: &str) {
        self.news.retain(|news| news.platform != platform);
    }

    /// What has to be known by now.
    pub fn take_due_news(&mut self, now: Timestamp) -> Vec<News> {
        let is_due = |news: &News| now.duration_since(news.since) > KNOWN_WITHIN;
        let (due, later) = std::mem::take(&mut self.news).into_iter().partition(is_due);
        self.news = later;
        due
    }

    /// eBay was told of an address by this request.
    pub fn ask_for_proof(&mut self, request: &[u8]) {
        let body: Value = serde_json::from_slice(request).unwrap_or_default();
        let config = body.get("deliveryConfig").unwrap_or(&Value::Null);
        let (endpoint, proof) = (text(config, "endpoint"), text(config, "verificationToken"));
        self.challenges.push(Challenge { endpoint: endpoint.to_owned(), proof: proof.to_owned() });
    }

    /// The addresses that eBay asks for proof now.
    pub fn take_challenges(&mut self) -> Vec<Challenge> {
        std::mem::take(&mut self.challenges)
    }
}

/// When what is sent now is brought: platforms go round with what they have every few seconds.
fn next_round(sent_at: Timestamp) -> Timestamp {
    let past_s = sent_at.as_second().rem_euclid(ROUND_S);
    shifted(whole_second(sent_at), SignedDuration::from_secs(ROUND_S - past_s))
}

/// The order that a message is about.
fn order_of(message: &Message) -> Option<String> {
    let body: Value = serde_json::from_str(&message.body).ok()?;
    match message.platform {
        EBAY => body.pointer("/notification/data/order/orderId")?.as_str().map(str::to_owned),
        ETSY => text(&body, "resource_url").rsplit('/').next().map(str::to_owned),
        _ => {
            let data = body.get("data").filter(|data| text(data, "type") == "order")?;
            data.get("id")?.as_i64().map(|id| id.to_string())
        }
    }
}

/// The same text about something else: every digit is another one.
fn with_other_digits(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '0'..='8' => char::from_u32(u32::from(letter) + 1).unwrap_or(letter),
            '9' => '0',
            other => other,
        })
        .collect()
}

/// A notification of another seller's order, made from one of this seller's.
pub fn of_other_seller(message: &Value) -> Option<Value> {
    let mut said: Value = serde_json::from_str(text(message, "Body")).ok()?;
    *said.pointer_mut(SELLER_PATH)? = OTHER_SELLER.into();
    Some(json!({"MessageId": "forged", "ReceiptHandle": "forged", "Body": said.to_string()}))
}

/// What a person enters beside the rest so that a platform can push.
pub fn enter_hooks(requests: &mut BTreeMap<String, NewConnectionRequest>) {
    let of_amazon = [
        ("queue_url", AMAZON_QUEUE_URL),
        ("aws_access_key_id", AMAZON_ACCESS_KEY_ID),
        ("aws_secret_access_key", "simulated/secret/access/key"),
    ];
    let of_etsy = [("webhook_secret", ETSY_SECRET)];
    for (channel, fields) in [(AMAZON, &of_amazon[..]), (ETSY, &of_etsy[..])] {
        let Some(request) = requests.get_mut(channel) else { continue };
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Secret::new(*text)));
        request.credentials.extend(fields);
    }
}

/// What a person enters in Etsy's portal, so that it sends to this address.
#[must_use]
pub fn etsy_portal(endpoint: &str) -> Value {
    json!({"url": endpoint, "secret": ETSY_SECRET})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::matrix::{MESSAGE, Side, place_of};

    const SENT: Timestamp = Timestamp::constant(1_772_442_000, 0);

    fn message(body: &str) -> Message {
        let url = "https://eider.test/hooks/token".to_owned();
        Message { platform: ETSY, url, headers: Vec::new(), body: body.to_owned(), made_at: SENT }
    }

    /// A message that meets a fault, brought to whoever takes everything: bodies and seconds after it was sent.
    fn brought(fault: Option<Fault>) -> Vec<(String, i64)> {
        let operation = place_of(ETSY, MESSAGE).unwrap();
        let (mut post, draw) = (Post::default(), Entropy::seeded(4));
        let cell = fault.map(|fault| Cell { fault, operation, side: Side::Before });
        post.add(message(r#"{"receipt":129}"#), cell, &draw);
        let mut seen = Vec::new();
        while let Some(at) = post.next_at() {
            let letter = post.take_due(at).unwrap();
            seen.push((letter.message.body.clone(), at.duration_since(SENT).as_secs()));
            post.taken(at, letter, true);
        }
        seen
    }

    #[test]
    fn what_goes_wrong_with_a_message_is_what_its_name_says() {
        let bodies = |fault| brought(Some(fault)).into_iter().map(|(body, _)| body).collect::<Vec<_>>();
        let (own, other) = (r#"{"receipt":129}"#, r#"{"receipt":230}"#);
        assert_eq!(brought(None).len(), 1);
        assert_eq!(bodies(Fault::Lost), Vec::<String>::new());
        assert_eq!(bodies(Fault::Duplicate), [own, own]);
        assert_eq!(bodies(Fault::Timeout), [own, own], "who is not heard comes again");
        assert_eq!(bodies(Fault::Forged), [other, own], "and before the true one");
        assert_eq!(bodies(Fault::Malformed), [&own[..7]]);
        let at = |fault| brought(Some(fault)).last().unwrap().1;
        assert_eq!(at(Fault::ConnectFailed), 65);
        assert!((120..245).contains(&at(Fault::Late)), "later than others, and within the window of replays");
        assert!(at(Fault::Replayed) > 300, "beyond that window");
    }

    #[test]
    fn who_finds_nobody_comes_again_until_it_gives_up() {
        let (mut post, draw) = (Post::default(), Entropy::seeded(4));
        post.add(message("{}"), None, &draw);
        let mut tries = 0;
        while let Some(at) = post.next_at() {
            post.miss_all(at);
            tries += 1;
        }
        assert_eq!(tries, 1 + MESSAGE_RETRIES_AFTER.len());
    }

    #[test]
    fn what_was_told_has_to_be_known_once_nothing_was_wrong_for_a_while() {
        let after = |minutes: i64| shifted(SENT, SignedDuration::from_mins(minutes));
        let news = News { platform: ETSY, order: "1".to_owned(), truth: Value::Null, at: SENT, since: SENT };
        let mut post = Post::default();
        post.told(news.clone());
        post.trouble(ETSY, after(4));
        post.trouble(EBAY, after(8));
        post.busy(SignedDuration::from_mins(2));
        assert!(post.take_due_news(after(11)).is_empty());
        assert_eq!(post.take_due_news(after(12)).len(), 1);
        assert!(post.take_due_news(after(13)).is_empty(), "it is looked for once");
        post.told(news);
        post.stale(ETSY);
        assert!(post.take_due_news(after(60)).is_empty(), "nobody could have known better");
    }
}

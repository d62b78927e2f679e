//! Reads what a platform pushed: checks that it is the platform's, and looks at what it is about. The message itself
//! changes nothing. What cannot be looked at for all messages, such as without an authorisation, stays until it can be; a
//! single message never keeps the others: polls find whatever it told of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{Job, Ran};
use crate::channels::error::ChannelError;
use crate::channels::registry;
use crate::channels::webhooks::{News, Push, PushError, Verified};
use crate::channels::{Connector, OrderSource, Received};
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use crate::sync::planted::Planted;
use crate::sync::spool::{Entry, PutOff};
use crate::sync::{Engine, EngineError, retry};

/// Messages that are looked at together: one order is fetched once, however many tell of it.
const AT_ONCE: usize = 50;
/// Nothing waits: the next message calls this job up.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Times that a message is tried of which nobody can say whether it is the platform's, or whose order cannot be read: minutes,
/// with the waits between.
const TRIES_MAX: u32 = 8;
/// Checking messages ends after so long, though some wait: where the platform does not answer, each costs a timeout.
const CHECKING_MAX: Duration = Duration::from_secs(60);
/// Where so many orders of a batch could not be read one by one, the others are not asked for now.
const UNREAD_ORDERS_MAX: usize = 3;
/// Who is written as the actor.
const ACTOR: &str = "webhook";

/// A message that is the platform's own.
#[derive(Debug)]
struct Message {
    /// The platform's id of it.
    id: String,
    received_at: Timestamp,
    /// How often it was put off.
    tries: u32,
}

/// What messages are about, together.
#[derive(Debug, Default)]
struct Batch {
    /// The platform's own messages by their numbers.
    verified: BTreeMap<u64, Message>,
    /// Orders to be read, and the messages that tell of each.
    orders: BTreeMap<String, Vec<u64>>,
    jobs: BTreeSet<Job>,
    /// What keeps the whole connection from being read: the messages that it concerns wait.
    trouble: Option<ChannelError>,
}

impl Batch {
    fn add(&mut self, number: u64, news: News, is_shop: bool) {
        match news {
            // A shop's poll reads an order, its mirror and its shipments together.
            News::Order(_) | News::Orders if is_shop => {
                self.jobs.insert(Job::PollShop);
            }
            News::Order(id) => self.orders.entry(id).or_default().push(number),
            News::Orders => {
                self.jobs.insert(Job::PollOrders);
            }
            News::Listings => {
                self.jobs.insert(Job::ReadListings);
            }
            // A call with the credentials shows what became of them.
            News::Authorisation => {
                self.jobs.insert(poll(is_shop));
            }
            News::Other(_) => {}
        }
    }
}

fn poll(is_shop: bool) -> Job {
    if is_shop { Job::PollShop } else { Job::PollOrders }
}

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let id = connection.id;
    let spool = &engine.inner.parts.hooks.spool;
    let now = engine.now();
    let waiting = spool.waiting(id, AT_ONCE, now);
    if waiting.is_empty() {
        let wait = |due_at: Timestamp| Duration::try_from(due_at.duration_since(now)).unwrap_or_default();
        return Ok(Ran::Idle(spool.next_due(id).map_or(INTERVAL, wait).min(INTERVAL)));
    }
    let connector = engine.connector(id)?;
    let numbers: Vec<u64> = waiting.iter().map(|entry| entry.id).collect();
    if connector.webhooks().is_none() && connector.message_queue().is_none() {
        spool.done(&numbers);
        return Ok(Ran::Idle(INTERVAL));
    }
    if engine.has_planted(Planted::MessageForgottenEarly) {
        spool.done(&numbers);
    }
    let mut batch = check(engine, connection, &*connector, waiting).await;
    if let Some(source) = connector.order_source().filter(|_| connection.settings.import_orders) {
        fetch(engine, connection, source, &mut batch).await?;
    }
    let now = engine.now();
    let own = super::of(connection);
    engine.with_queue(|queue| {
        for job in batch.jobs.into_iter().filter(|job| own.contains(job)) {
            queue.schedule(id, job, now);
        }
    });
    let numbers: Vec<u64> = batch.verified.keys().copied().collect();
    engine.with_live(id, |live| {
        for Message { id, received_at, .. } in batch.verified.into_values() {
            live.pushed.verified = live.pushed.verified.saturating_add(1);
            live.pushed.last_at = Some(received_at);
            live.seen.remember(id);
        }
    });
    spool.done(&numbers);
    batch.trouble.map_or(Ok(Ran::Again), |error| Err(error.into()))
}

/// Whether an error concerns the whole connection: no other message or order would be answered either.
fn is_of_connection(error: &ChannelError) -> bool {
    matches!(error, ChannelError::Reauth { .. } | ChannelError::Retry { throttled: true, .. })
}

/// Checks which messages are the platform's own. Those that are not are dropped here, and those of which nobody can say
/// wait behind the others.
async fn check(
    engine: &Engine,
    connection: &Connection,
    connector: &dyn Connector,
    waiting: Vec<Entry>,
) -> Batch {
    let id = connection.id;
    let is_shop = registry::channel(&connection.channel).is_some_and(|info| info.is_shop);
    let endpoint = engine.hook_endpoint(id).unwrap_or_default();
    let until = retry::later(engine.now(), CHECKING_MAX);
    let mut batch = Batch::default();
    for entry in waiting {
        let Entry { id: number, received_at, headers, body, put_off, .. } = entry;
        let tries = put_off.map_or(0, |put_off| put_off.tries);
        let push = Push { headers, body, received_at, endpoint: endpoint.clone() };
        match verify(connector, &push).await {
            Ok(Verified { id: message, news }) => {
                if engine.with_live(id, |live| live.seen.is_new(&message)) {
                    news.into_iter().for_each(|news| batch.add(number, news, is_shop));
                }
                batch.verified.insert(number, Message { id: message, received_at, tries });
            }
            Err(PushError::Refused(why)) => {
                refuse(engine, id, why);
                engine.inner.parts.hooks.spool.done(&[number]);
            }
            Err(PushError::Later(error)) if is_of_connection(&error) => {
                batch.trouble = Some(error);
                break;
            }
            Err(PushError::Later(error)) => {
                if !put_behind(engine, number, tries, &error) {
                    give_up(engine, id, number, &error);
                    if matches!(error, ChannelError::Retry { .. }) {
                        // The network may be to blame. The poll waits for it, and believes nothing of the message.
                        batch.jobs.insert(poll(is_shop));
                    }
                }
            }
        }
        if engine.now() >= until {
            break;
        }
    }
    batch
}

async fn verify(connector: &dyn Connector, push: &Push) -> Result<Verified, PushError> {
    match (connector.webhooks(), connector.message_queue()) {
        (Some(webhooks), _) => webhooks.verify(push).await,
        // A message that has no signature lay in the queue: no address takes one without.
        (None, Some(queue)) => queue.read(&push.body),
        (None, None) => Err(PushError::Refused("there is no queue any more".to_owned())),
    }
}

/// Somebody knows the address and not the key. It is counted, and said once a message in the log.
fn refuse(engine: &Engine, id: ConnectionId, why: String) {
    tracing::warn!(connection.id = id.0, "a pushed message was dropped: {why}");
    engine.with_live(id, |live| {
        live.pushed.refused = live.pushed.refused.saturating_add(1);
        live.pushed.last_refusal = Some(why);
    });
}

/// Has a message, put off so many times before, wait behind the others; after the last of them the answer is false.
fn put_behind(engine: &Engine, number: u64, tries: u32, error: &ChannelError) -> bool {
    let tries = tries.saturating_add(1);
    if tries >= TRIES_MAX {
        return false;
    }
    let after = match error {
        ChannelError::Retry { after, .. } => *after,
        ChannelError::Reauth { .. }
        | ChannelError::Reject { .. }
        | ChannelError::Corrupt { .. }
        | ChannelError::Fatal { .. } => None,
    };
    let (first, longest) = (retry::BACKOFF_FIRST, retry::BACKOFF_MAX);
    let due_at = retry::next_try(engine.now(), tries, first, longest, after, engine.entropy());
    engine.inner.parts.hooks.spool.put_off(number, PutOff { tries, due_at });
    true
}

/// Drops a message that could never be checked. It was never believed.
fn give_up(engine: &Engine, id: ConnectionId, number: u64, error: &ChannelError) {
    tracing::warn!(connection.id = id.0, "a pushed message was given up: {error}");
    engine.with_live(id, |live| {
        live.pushed.given_up = live.pushed.given_up.saturating_add(1);
        live.pushed.last_given_up = Some(error.to_string());
    });
    engine.inner.parts.hooks.spool.done(&[number]);
}

/// Fetches the orders that messages are about, and brings them in. For one that cannot be read by itself the poll is called
/// up, which may bring it, and its messages wait behind the others: what a marketplace cancels or refunds need not move an
/// order's time of change, so that no poll lists it soon. Where the whole connection has to wait, all messages do.
async fn fetch(
    engine: &Engine,
    connection: &Connection,
    source: &dyn OrderSource,
    batch: &mut Batch,
) -> Result<(), EngineError> {
    let mut received: Vec<Received> = Vec::with_capacity(batch.orders.len());
    let (mut unread, mut last_error, mut has_to_wait): (usize, Option<ChannelError>, bool) = (0, None, false);
    for (order, messages) in std::mem::take(&mut batch.orders) {
        if has_to_wait {
            batch.verified.retain(|number, _| !messages.contains(number));
            continue;
        }
        // Where several were not answered, this one would not be either.
        let answer = match &last_error {
            Some(error) if unread >= UNREAD_ORDERS_MAX => Err(error.clone()),
            _ => source.order(&order).await,
        };
        match answer {
            Ok(Some(order)) => received.push(order),
            // The list may know more than the order's own address does.
            Ok(None) | Err(ChannelError::Reject { .. }) => {
                batch.jobs.insert(Job::PollOrders);
            }
            Err(error) if is_of_connection(&error) => {
                batch.verified.retain(|number, _| !messages.contains(number));
                batch.trouble = Some(error);
                has_to_wait = true;
            }
            Err(error) => {
                tracing::warn!(
                    connection.id = connection.id.0,
                    order.id = order,
                    "not read by itself: {error}"
                );
                batch.jobs.insert(Job::PollOrders);
                batch.verified.retain(|number, message| {
                    !messages.contains(number) || !put_behind(engine, *number, message.tries, &error)
                });
                unread = unread.saturating_add(1);
                last_error = Some(error);
            }
        }
    }
    if !received.is_empty() {
        engine.import(connection, source, received, None, ACTOR).await?;
    }
    Ok(())
}

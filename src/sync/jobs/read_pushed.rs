//! Reads what a platform pushed: checks that it is the platform's, and looks at what it is about. The message itself
//! changes nothing; whatever cannot be looked at now stays until it can.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Job, Ran};
use crate::channels::error::ChannelError;
use crate::channels::registry;
use crate::channels::webhooks::{News, Push, PushError};
use crate::channels::{OrderSource, Received};
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use crate::sync::{Engine, EngineError};

/// Messages that are looked at together: one order is fetched once, however many tell of it.
const AT_ONCE: usize = 50;
/// Nothing waits: the next message calls this job up.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Who is written as the actor.
const ACTOR: &str = "webhook";

/// What messages are about, together.
#[derive(Debug, Default)]
struct Wanted {
    orders: BTreeSet<String>,
    jobs: BTreeSet<Job>,
}

impl Wanted {
    fn add(&mut self, news: News, is_shop: bool) {
        match news {
            // A shop's poll reads an order, its mirror and its shipments together.
            News::Order(_) | News::Orders if is_shop => {
                self.jobs.insert(Job::PollShop);
            }
            News::Order(id) => {
                self.orders.insert(id);
            }
            News::Orders => {
                self.jobs.insert(Job::PollOrders);
            }
            News::Listings => {
                self.jobs.insert(Job::ReadListings);
            }
            // A call with the credentials shows what became of them.
            News::Authorisation => {
                self.jobs.insert(if is_shop { Job::PollShop } else { Job::PollOrders });
            }
            News::Other(_) => {}
        }
    }
}

pub(super) async fn run(engine: &Engine, connection: &Connection) -> Result<Ran, EngineError> {
    let id = connection.id;
    let spool = &engine.inner.parts.hooks.spool;
    let waiting = spool.waiting(id, AT_ONCE);
    if waiting.is_empty() {
        return Ok(Ran::Idle(INTERVAL));
    }
    let connector = engine.connector(id)?;
    let numbers: Vec<u64> = waiting.iter().map(|entry| entry.id).collect();
    let (webhooks, queue) = (connector.webhooks(), connector.message_queue());
    if webhooks.is_none() && queue.is_none() {
        spool.done(&numbers);
        return Ok(Ran::Idle(INTERVAL));
    }
    let is_shop = registry::channel(&connection.channel).is_some_and(|info| info.is_shop);
    let endpoint = engine.hook_endpoint(id).unwrap_or_default();
    let mut wanted = Wanted::default();
    let mut read = Vec::new();
    for entry in waiting {
        let received_at = entry.received_at;
        let push = Push { headers: entry.headers, body: entry.body, received_at, endpoint: endpoint.clone() };
        // A message that has no signature lay in the queue: no address takes one without.
        let verified = match (webhooks, queue) {
            (Some(webhooks), _) => webhooks.verify(&push).await,
            (None, queue) => queue.map_or_else(
                || Err(PushError::Refused("there is no queue any more".to_owned())),
                |queue| queue.read(&push.body),
            ),
        };
        match verified {
            Ok(verified) => {
                engine.with_live(id, |live| {
                    live.pushed.verified = live.pushed.verified.saturating_add(1);
                    live.pushed.last_at = Some(received_at);
                });
                if engine.with_live(id, |live| live.seen.is_new(&verified.id)) {
                    read.push(verified.id);
                    for news in verified.news {
                        wanted.add(news, is_shop);
                    }
                }
            }
            Err(PushError::Refused(why)) => refuse(engine, id, why),
            Err(PushError::Later(error)) => return Err(error.into()),
        }
    }
    if let Some(source) = connector.order_source().filter(|_| connection.settings.import_orders) {
        fetch(engine, connection, source, &mut wanted).await?;
    }
    let now = engine.now();
    let own = super::of(connection);
    engine.with_queue(|queue| {
        for job in wanted.jobs.into_iter().filter(|job| own.contains(job)) {
            queue.schedule(id, job, now);
        }
    });
    engine.with_live(id, |live| {
        for message in read {
            live.seen.remember(message);
        }
    });
    spool.done(&numbers);
    Ok(Ran::Again)
}

/// Somebody knows the address and not the key. It is counted, and said once a message in the log.
fn refuse(engine: &Engine, id: ConnectionId, why: String) {
    tracing::warn!(connection.id = id.0, "a pushed message was dropped: {why}");
    engine.with_live(id, |live| {
        live.pushed.refused = live.pushed.refused.saturating_add(1);
        live.pushed.last_refusal = Some(why);
    });
}

/// Fetches the orders that messages are about, and brings them in.
async fn fetch(
    engine: &Engine,
    connection: &Connection,
    source: &dyn OrderSource,
    wanted: &mut Wanted,
) -> Result<(), EngineError> {
    let mut received: Vec<Received> = Vec::with_capacity(wanted.orders.len());
    for id in &wanted.orders {
        match source.order(id).await {
            Ok(Some(order)) => received.push(order),
            // The list may know more than the order's own address does.
            Ok(None) | Err(ChannelError::Reject { .. }) => {
                wanted.jobs.insert(Job::PollOrders);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !received.is_empty() {
        engine.import(connection, source, received, None, ACTOR).await?;
    }
    Ok(())
}

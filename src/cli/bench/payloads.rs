//! Amazon's wire JSON, recorded from a simulated Amazon, and as many different orders of it as are wanted.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::super::CliError;
use super::super::simulators::Offer;
use crate::channels::registry;
use crate::channels::{Connector, ConnectorSetup, CredentialSink, Cursor, OrderSource, PollStart};
use crate::clock::{Clock as _, Entropy, SystemClock, shifted};
use crate::domain::connection::ConnectionSettings;
use crate::domain::id::{ChannelName, ConnectionId};
use crate::http::{Answer, Call, Transport, TransportError};
use crate::secret::Secret;
use crate::sim::{AMAZON, SimOptions, World};

/// Orders that are recorded; the others are made of them.
const RECORDED_COUNT: u32 = 1_000;

/// Orders are placed so far apart: a million in two years.
const BETWEEN_ORDERS: SignedDuration = SignedDuration::from_secs(63);

/// Digits of an order id's last two groups.
const ID_GROUP: u64 = 10_000_000;

/// Orders as Amazon sends them.
pub struct Payloads {
    connector: Arc<dyn Connector>,
    recorded: Vec<Recorded>,
    recorded_at: Timestamp,
}

struct Recorded {
    id: String,
    payload: String,
}

impl Payloads {
    /// Asks a simulated Amazon for its orders, through the real connector.
    pub async fn record() -> Result<Self, CliError> {
        let options = SimOptions { orders: RECORDED_COUNT, rate_per_minute: 0, ..SimOptions::default() };
        let world = Arc::new(World::open(options, Arc::new(SystemClock)).map_err(CliError::failed)?);
        let connector = connector(&world)?;
        let source = connector.order_source().ok_or_else(no_amazon)?;
        let mut recorded = Vec::new();
        let mut cursor = Cursor::default();
        loop {
            let page = source
                .changed_orders(&cursor, PollStart { since: None, is_bulk: false })
                .await
                .map_err(CliError::failed)?;
            recorded.extend(page.orders.into_iter().filter_map(|order| {
                // Pending orders have no amounts and would make the import look fast.
                let is_paid = order.facts.as_ref().is_ok_and(|facts| facts.is_paid);
                is_paid.then_some(Recorded { id: order.external_id?, payload: order.payload })
            }));
            cursor = page.cursor;
            if !page.has_more {
                break;
            }
        }
        if recorded.is_empty() {
            return Err(CliError::Failed("The simulated Amazon gave no orders to measure with.".to_owned()));
        }
        Ok(Self { connector, recorded, recorded_at: SystemClock.now() })
    }

    /// What reads them.
    pub fn source(&self) -> Result<&dyn OrderSource, CliError> {
        self.connector.order_source().ok_or_else(no_amazon)
    }

    /// Orders `from` to `to`, each with an id, a time and a buyer of its own. Order `newest` is of now.
    pub fn between(&self, from: u64, to: u64, newest: u64) -> Vec<String> {
        (from..to).filter_map(|number| self.order(number, newest)).collect()
    }

    fn order(&self, number: u64, newest: u64) -> Option<String> {
        let count = u64::try_from(self.recorded.len()).ok()?;
        let place = usize::try_from(number.checked_rem(count)?).ok()?;
        let Recorded { id, payload } = self.recorded.get(place)?;
        let own_id = format!("900-{:07}-{:07}", number / ID_GROUP, number % ID_GROUP);
        let buyer = format!("\"buyerEmail\":\"b{}.", number.checked_div(count)?);
        let payload = payload.replace(id.as_str(), &own_id).replace("\"buyerEmail\":\"", &buyer);
        let age = i32::try_from(newest.checked_sub(number)?).ok()?;
        let placed_at = shifted(self.recorded_at, -(BETWEEN_ORDERS * age)).to_string();
        let payload = with_text(payload, "createdTime", &placed_at)?;
        with_text(payload, "lastUpdatedTime", &placed_at)
    }
}

/// The payload with another text for its first member of this name.
fn with_text(mut payload: String, name: &str, text: &str) -> Option<String> {
    let name = format!("\"{name}\":\"");
    let start = payload.find(&name)?.checked_add(name.len())?;
    let end = payload.get(start..)?.find('"')?.checked_add(start)?;
    payload.replace_range(start..end, text);
    Some(payload)
}

fn no_amazon() -> CliError {
    CliError::Failed("This version has no channel that reads Amazon's orders.".to_owned())
}

fn connector(world: &Arc<World>) -> Result<Arc<dyn Connector>, CliError> {
    let info = registry::channel(&ChannelName::from(AMAZON)).ok_or_else(no_amazon)?;
    let offers = Offer::read_all(world.connections(|platform| format!("http://{platform}.invalid")))?;
    let offer = offers.into_iter().find(|offer| offer.channel == AMAZON).ok_or_else(no_amazon)?;
    let setup = ConnectorSetup {
        connection: ConnectionId(1),
        alias: offer.alias.clone(),
        credentials: offer.secrets(),
        base_url: Some(offer.base_url),
        settings: ConnectionSettings::default(),
        transport: Arc::new(InProcess { world: Arc::clone(world) }),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(Entropy::seeded(1)),
        credential_sink: Arc::new(Forgotten),
        renewals: Arc::default(),
    };
    (info.connect)(setup).map_err(CliError::failed)
}

/// Carries calls to the simulated Amazon without a socket.
struct InProcess {
    world: Arc<World>,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        let (parts, body) = self.world.handle(AMAZON, &call.request).response.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body, duration: std::time::Duration::ZERO })
    }
}

/// Nothing rotates here.
struct Forgotten;

impl CredentialSink for Forgotten {
    fn keep(&self, _: ConnectionId, _: &str, _: &Secret) -> Result<(), String> {
        Ok(())
    }
}

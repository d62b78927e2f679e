//! Parcels: eBay lists those of an order by themselves, at a call for each order.
//!
//! The polls overlap, so that an order that changed is listed in five of them or six. Its parcels are asked for when its
//! change is first seen, and once more when an answer can no longer lag behind what was listed then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use serde_json::value::RawValue;

use super::super::Received;
use super::super::error::ChannelError;
use super::super::pace::Priority;
use super::super::request::segment;
use super::super::told::{Told, asked_again};
use super::client::Outgoing;
use super::{Ebay, ORDERS_PATH, parse, received, wire};

/// Readings of an order in a row in which its parcels could not be read before it is taken without them. A fault on the way
/// passes in that time, which is minutes with the waits between; what lasts longer must not keep other orders.
pub(super) const READINGS_MAX: u32 = 8;

/// Orders whose unreadable parcels are counted.
const ORDERS_MAX: usize = 1_000;

/// An answer may lag so long behind a change (DESIGN §4: platforms finish late).
const LAG: SignedDuration = SignedDuration::from_secs(120);

/// What was told of parcels, for one connection.
#[derive(Debug)]
pub(super) struct Parcels {
    /// Orders whose parcels could not be read, and in how many readings in a row.
    unreadable: Mutex<BTreeMap<String, u32>>,
    told: Told,
}

impl Default for Parcels {
    fn default() -> Self {
        Self { unreadable: Mutex::default(), told: Told::new(LAG) }
    }
}

impl Parcels {
    fn unreadable(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a reading in which an order's parcels could not be read, and says how many there were in a row.
    fn count_unreadable(&self, order_id: &str) -> u32 {
        let mut held = self.unreadable();
        if held.len() >= ORDERS_MAX && !held.contains_key(order_id) {
            held.pop_first();
        }
        let readings = held.entry(order_id.to_owned()).or_default();
        *readings = readings.saturating_add(1);
        *readings
    }
}

impl Ebay {
    /// A listed order as we keep it, with its parcels. In a reading of many orders history goes without them, which would
    /// cost a call for each order; what was shipped before the first reading came that far is no history.
    pub(super) async fn complete(
        &self,
        order: &RawValue,
        is_bulk: bool,
        priority: Priority,
    ) -> Result<Received, ChannelError> {
        let head: wire::OrderHead = serde_json::from_str(order.get()).unwrap_or_default();
        let is_history = self.is_history(head.creation_date.as_deref());
        let goes_without = head.fulfillment_hrefs.is_empty() || is_bulk && is_history;
        let Some(id) = head.order_id.filter(|_| !goes_without) else {
            return Ok(with(order, "\"fulfillments\":null"));
        };
        let now = self.client.platform_now();
        // Whoever reads many orders, or reads them again, wants what eBay says now.
        let known = if is_bulk { None } else { self.parcels.told.known(&id, order.get(), now) };
        if let Some(parcels) = known {
            return Ok(with(order, &format!("\"fulfillments\":{parcels}")));
        }
        let told = self.parcels_if_told(&id, priority).await?;
        // As many as the order speaks of: else the answer lags, or the order does.
        if let Some(told) = &told
            && told.count == head.fulfillment_hrefs.len()
        {
            self.parcels.told.remember(&id, order.get(), now, &told.array);
        }
        let parcels = told.map_or_else(
            || "\"fulfillments\":null,\"fulfillmentsMissing\":true".to_owned(),
            |told| format!("\"fulfillments\":{}", told.array),
        );
        Ok(with(order, &parcels))
    }

    /// One order as we keep it, with its parcels as they are now.
    pub(super) async fn complete_now(&self, order: &RawValue) -> Result<Received, ChannelError> {
        let head: wire::OrderHead = serde_json::from_str(order.get()).unwrap_or_default();
        if let Some(id) = head.order_id {
            self.parcels.told.forget(&id);
        }
        self.complete(order, false, Priority::Interactive).await
    }

    /// An order's parcels. Where eBay refuses those of this one order, or what it answers cannot be read in many readings,
    /// there are none, and the order goes without them. Whatever else goes wrong says nothing of this order and fails the
    /// page.
    async fn parcels_if_told(
        &self,
        order_id: &str,
        priority: Priority,
    ) -> Result<Option<List>, ChannelError> {
        let error = match self.parcels_now(order_id, priority).await {
            Ok(list) => {
                self.parcels.unreadable().remove(order_id);
                return Ok(Some(list));
            }
            Err(error) => error,
        };
        let goes_without = match &error {
            ChannelError::Reject { .. } => true,
            ChannelError::Corrupt { .. } => self.parcels.count_unreadable(order_id) >= READINGS_MAX,
            ChannelError::Retry { .. } | ChannelError::Reauth { .. } | ChannelError::Fatal { .. } => false,
        };
        if !goes_without {
            return Err(error);
        }
        tracing::warn!(order.id = order_id, "an order comes without its parcels: {error}");
        Ok(None)
    }

    /// An order's parcels as they are now.
    pub(super) async fn parcels_now(&self, order_id: &str, priority: Priority) -> Result<List, ChannelError> {
        let path = format!("{ORDERS_PATH}/{}/shipping_fulfillment", segment(order_id));
        let outgoing = Outgoing::read("getShippingFulfillments", path, priority);
        asked_again(|| async { List::of(&self.client.send(&outgoing).await?.body) }).await
    }
}

/// An order with members beside it, as it is kept.
fn with(order: &RawValue, parcels: &str) -> Received {
    received(format!("{{\"order\":{},{parcels}}}", order.get()))
}

/// The parcels of one answer.
#[derive(Debug)]
pub(super) struct List {
    /// A JSON array, as eBay wrote it.
    pub(super) array: String,
    count: usize,
}

impl List {
    fn of(body: &[u8]) -> Result<Self, ChannelError> {
        let list: wire::Fulfillments<'_> = parse("getShippingFulfillments", body)?;
        let texts: Vec<&str> = list.fulfillments.iter().map(|parcel| parcel.get()).collect();
        Ok(Self { array: format!("[{}]", texts.join(",")), count: texts.len() })
    }
}

//! Counts the calls that go out, by connection, operation and answer. It changes nothing about them.

use std::sync::Arc;

use async_trait::async_trait;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::{Answer, Call, Transport, TransportError};

/// What calls are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The connection's id; 0 for calls on nobody's behalf.
    pub connection: i64,
    /// The operation, such as `searchOrders`.
    pub operation: &'static str,
    /// The answer's status; 0 where none came.
    pub status: u64,
}

/// How many calls went out since the start. Cheap to clone.
pub type CallCounts = Family<CallLabels, Counter>;

/// A transport whose calls are counted.
#[derive(Debug)]
pub struct CountedTransport {
    inner: Arc<dyn Transport>,
    counts: CallCounts,
}

impl CountedTransport {
    /// Counts the calls of `inner` in `counts`.
    #[must_use]
    pub fn new(inner: Arc<dyn Transport>, counts: CallCounts) -> Self {
        Self { inner, counts }
    }
}

#[async_trait]
impl Transport for CountedTransport {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        let (connection, operation) = (call.connection.unwrap_or_default(), call.operation);
        let outcome = self.inner.send(call).await;
        let status = outcome.as_ref().map_or(0, |answer| u64::from(answer.status.as_u16()));
        self.counts.get_or_create(&CallLabels { connection, operation, status }).inc();
        outcome
    }
}

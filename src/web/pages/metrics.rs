//! Counts and times for Prometheus, as docs/metrics.md lists them. Nothing here names a buyer or an order.

use actix_web::{HttpResponse, web};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::id::ConnectionId;
use crate::store::{connections, effects, incidents, orders, reconciliation, status};
use crate::web::AppState;
use crate::web::auth::Scraper;
use crate::web::error::{self, WebError};

/// Payloads that could not be read are counted up to here.
const PARKED_MAX: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EffectLabels {
    kind: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    connection: i64,
    alias: String,
    channel: String,
}

impl ConnectionLabels {
    fn of(connection: &Connection) -> Self {
        Self {
            connection: connection.id.0,
            alias: connection.alias.clone(),
            channel: connection.channel.to_string(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    connection: i64,
    alias: String,
    state: &'static str,
}

/// What the store says.
struct Held {
    connections: Vec<Connection>,
    effects: Vec<(EffectKind, EffectState, i64)>,
    incident_count: usize,
    parked_count: usize,
    order_count: i64,
    gaps: Vec<(ConnectionId, i64)>,
}

/// The metrics.
///
/// # Errors
/// Where the store does not answer.
pub async fn show(_who: Scraper, state: web::Data<AppState>) -> Result<HttpResponse, WebError> {
    let held = state
        .store
        .read(|read| {
            Ok(Held {
                connections: connections::all(read)?,
                effects: effects::counts(read)?,
                incident_count: incidents::open_incidents(read)?.len(),
                parked_count: orders::parked(read, PARKED_MAX)?.len(),
                order_count: status::order_count(read)?,
                gaps: reconciliation::gaps(read)?,
            })
        })
        .await?;
    let mut registry = Registry::with_prefix("eider");
    work(&mut registry, &held);
    connection_lines(&mut registry, &held.connections, &state);
    gap_lines(&mut registry, &held);
    let calls = "Calls to platforms since the start; status 0 where no answer came";
    registry.register("http_calls", calls, state.calls.clone());
    let writes = "Time from asking for a write to the answer after its commit";
    registry.register_with_unit("store_write", writes, Unit::Seconds, state.store.write_seconds());
    let wal = ConstGauge::new(i64::try_from(state.store.wal_bytes()).unwrap_or(i64::MAX));
    registry.register_with_unit("store_wal", "Log that is not folded into the file yet", Unit::Bytes, wal);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| WebError::Internal(error.to_string()))?;
    Ok(error::metrics(text))
}

fn work(registry: &mut Registry, held: &Held) {
    let open = Family::<EffectLabels, Gauge>::default();
    for (kind, state, count) in &held.effects {
        open.get_or_create(&EffectLabels { kind: kind.as_str(), state: state.as_str() }).set(*count);
    }
    registry.register("open_effects", "Work owed to the outside", open);
    let orders = ConstCounter::new(u64::try_from(held.order_count).unwrap_or_default());
    registry.register("orders_imported", "Orders held, history included", orders);
    let gauge = |count: usize| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
    registry.register("open_incidents", "Incidents that nobody has closed", gauge(held.incident_count));
    registry.register("parked_payloads", "Payloads that could not be read yet", gauge(held.parked_count));
}

fn gap_lines(registry: &mut Registry, held: &Held) {
    let gaps = Family::<ConnectionLabels, Gauge>::default();
    for connection in &held.connections {
        let Some((_, gap)) = held.gaps.iter().find(|(id, _)| *id == connection.id) else { continue };
        gaps.get_or_create(&ConnectionLabels::of(connection)).set(*gap);
    }
    registry.register("missing_orders", "Orders that a platform listed and that could not be fetched", gaps);
}

fn connection_lines(registry: &mut Registry, all: &[Connection], state: &AppState) {
    let lags = Family::<ConnectionLabels, Gauge>::default();
    let states = Family::<StateLabels, Gauge>::default();
    for connection in all {
        if let Some(lag) = state.engine.connection_status(connection.id).lag {
            lags.get_or_create(&ConnectionLabels::of(connection)).set(lag.as_secs());
        }
        for known in ConnectionState::ALL {
            let labels = StateLabels {
                connection: connection.id.0,
                alias: connection.alias.clone(),
                state: known.as_str(),
            };
            states.get_or_create(&labels).set(i64::from(known == connection.state));
        }
    }
    registry.register_with_unit(
        "connection_lag",
        "How far behind its platform a connection is",
        Unit::Seconds,
        lags,
    );
    registry.register("connection_state", "1 for the state that a connection is in", states);
}

//! Import: how fast payloads become orders, empty and full, beside what the bare Appender does with the same rows.

use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{CliError, data, terminal};
use super::figure::{Figure, Limit, per_second};
use super::payloads::Payloads;
use crate::channels::{OrderSource, Received};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::connection::{Connection, ConnectionSettings, ConnectionState};
use crate::domain::id::ChannelName;
use crate::sim::AMAZON;
use crate::store::connections::NewConnection;
use crate::store::orders::{ImportBatch, ImportItem};
use crate::store::{Store, StoreError, WriteLane, connections, orders};
use crate::sync::inbox;

/// Orders of one commit: what the writer takes together at most.
const BATCH_ORDERS: u64 = 10_000;

/// Orders of one rate: the backlog of the design.
const MEASURED_ORDERS_MAX: u64 = 100_000;

/// Orders that are added to a full file to see what they cost there.
const ADDED_ORDERS_MAX: u64 = 50_000;

/// A file with orders in it.
pub struct Filled {
    /// The store.
    pub store: Store,
    /// Its one connection.
    pub connection: Connection,
    /// Orders in it.
    pub order_count: u64,
}

/// What the bare Appender does.
pub async fn bare(config: &Config, payloads: &Payloads, order_count: u64) -> Result<Vec<Figure>, CliError> {
    let store = open(config, "bare").await?;
    let count = order_count.min(MEASURED_ORDERS_MAX);
    let source = payloads.source()?;
    let (mut read_time, mut time) = (Duration::ZERO, Duration::ZERO);
    for (from, to) in batches(0, count) {
        let texts = payloads.between(from, to);
        let started = Instant::now();
        let items = read(source, texts);
        read_time += started.elapsed();
        let (first, now) = (i64::try_from(from).unwrap_or(i64::MAX), SystemClock.now());
        let started = Instant::now();
        let write =
            move |tx: &mut crate::store::Tx<'_>| orders::append_bare(tx.connection(), &items, first, now);
        store.write(WriteLane::Bulk, write).await.map_err(CliError::failed)?;
        time += started.elapsed();
    }
    store.close().await;
    Ok(vec![
        Figure::rate("bare Appender, same rows", count, time, "orders/s", None),
        Figure::rate("payloads read and people cut out, no store", count, read_time, "orders/s", None),
    ])
}

/// Imports `order_count` orders into an empty file, then some more, and leaves the file open.
pub async fn fill(
    config: &Config,
    payloads: &Payloads,
    order_count: u64,
    figures: &mut Vec<Figure>,
) -> Result<Filled, CliError> {
    let store = data::open_store(config).await.map_err(CliError::failed)?;
    let connection = connection(&store).await?;
    let source = payloads.source()?;
    let bare = figures.first().cloned();
    let first = order_count.min(MEASURED_ORDERS_MAX);
    let at_empty = import(&store, &connection, source, payloads, (0, first)).await?;
    import(&store, &connection, source, payloads, (first, order_count)).await?;
    let added = (order_count / 2).clamp(1, ADDED_ORDERS_MAX);
    let end = order_count.saturating_add(added);
    let at_full = import(&store, &connection, source, payloads, (order_count, end)).await?;
    let least = Some(Limit::AtLeast(20_000_000));
    figures.push(Figure::rate("import at 0 orders in the file", first, at_empty, "orders/s", least));
    figures.push(Figure::rate(format!("import at {order_count} orders"), added, at_full, "orders/s", least));
    let percent = |part, whole| u64::saturating_mul(part, 100).checked_div(whole).unwrap_or(0);
    let (empty_rate, full_rate) = (per_second(first, at_empty), per_second(added, at_full));
    let share = percent(empty_rate, bare.map_or(0, |bare| bare.whole_value()));
    figures.push(Figure::whole(
        "import's share of the bare Appender",
        share,
        "%",
        Some(Limit::AtLeast(50_000)),
    ));
    let kept = percent(full_rate, empty_rate);
    figures.push(Figure::whole("rate kept in the full file", kept, "%", Some(Limit::AtLeast(70_000))));
    Ok(Filled { store, connection, order_count: end })
}

async fn open(config: &Config, name: &str) -> Result<Store, CliError> {
    let mut config = config.clone();
    config.data.dir = config.data.dir.parent().unwrap_or_else(|| Path::new(".")).join(name);
    data::open_store(&config).await.map_err(CliError::failed)
}

/// One Amazon connection that went live now: what is imported is a backlog of history. It is paused, so that no
/// engine calls anybody on its behalf.
async fn connection(store: &Store) -> Result<Connection, CliError> {
    let now = SystemClock.now();
    let made = store.write(WriteLane::Interactive, move |tx| {
        let id = connections::insert(
            tx,
            &NewConnection {
                channel: ChannelName::from(AMAZON),
                alias: "Amazon".to_owned(),
                account: "BENCH".to_owned(),
                base_url: None,
                settings: ConnectionSettings { go_live: Some(now), ..ConnectionSettings::default() },
                now,
            },
        )?;
        connections::set_state(tx, id, ConnectionState::Paused, Some("Measuring."), now)?;
        connections::get(tx, id)?.ok_or(StoreError::NotFound)
    });
    made.await.map_err(CliError::failed)
}

/// Imports the orders with these numbers; says how long reading, deciding and writing took. Making the payloads is
/// the platform's work and does not count.
async fn import(
    store: &Store,
    connection: &Connection,
    source: &dyn OrderSource,
    payloads: &Payloads,
    (from, to): (u64, u64),
) -> Result<Duration, CliError> {
    let mut time = Duration::ZERO;
    for (from, to) in batches(from, to) {
        let texts = payloads.between(from, to);
        let started = Instant::now();
        let batch = ImportBatch {
            connection: connection.clone(),
            orders: read(source, texts),
            stream: None,
            is_bulk: true,
            now: SystemClock.now(),
            actor: "bench".to_owned(),
        };
        let imported = store.write(WriteLane::Bulk, move |tx| orders::import(tx, &batch)).await;
        time += started.elapsed();
        let new = imported.map_err(CliError::failed)?.new;
        if u64::try_from(new).ok() != Some(to.saturating_sub(from)) {
            return Err(CliError::Failed(format!(
                "Of orders {from} to {to}, {new} were taken for new ones."
            )));
        }
        if to % MEASURED_ORDERS_MAX == 0 {
            terminal::say(&format!("{to} orders are in."));
        }
    }
    Ok(time)
}

fn read(source: &dyn OrderSource, texts: Vec<String>) -> Vec<ImportItem> {
    let paths = source.person_paths();
    let received = |payload: String| {
        let facts = source.read(&payload);
        Received { external_id: facts.as_ref().ok().map(|facts| facts.external_id.clone()), payload, facts }
    };
    texts.into_iter().map(|text| inbox::import_item(received(text), paths)).collect()
}

fn batches(from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
    let step = usize::try_from(BATCH_ORDERS).unwrap_or(usize::MAX);
    (from..to).step_by(step).map(move |start| (start, start.saturating_add(BATCH_ORDERS).min(to)))
}

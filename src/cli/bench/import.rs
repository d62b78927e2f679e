//! Import: how fast payloads become orders, empty and full, beside what the bare Appender does with the same rows.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

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
use crate::sync::jobs::GATHERED_ORDERS_MAX;

/// Orders of one write.
const BATCH_ORDERS: u64 = GATHERED_ORDERS_MAX as u64;

/// Orders whose payloads are made at a time.
const MADE_ORDERS: u64 = 20_000;

/// Connections that import side by side: while one's orders are written, another's are read.
const CONNECTION_COUNT: u64 = 2;

/// Orders of one rate: the backlog of the design.
const MEASURED_ORDERS_MAX: u64 = 100_000;

/// Orders that are added to a full file to see what they cost there.
const ADDED_ORDERS_MAX: u64 = 100_000;

/// A file with orders in it.
pub struct Filled {
    /// The store.
    pub store: Store,
    /// Its connections.
    pub connections: Vec<Connection>,
    /// Orders in it.
    pub order_count: u64,
}

/// What the bare Appender does.
pub async fn bare(config: &Config, payloads: &Payloads, order_count: u64) -> Result<Vec<Figure>, CliError> {
    let store = open(config, "bare").await?;
    let count = order_count.min(MEASURED_ORDERS_MAX);
    let source = payloads.source()?;
    let (mut read_time, mut time) = (Duration::ZERO, Duration::ZERO);
    for (from, to) in steps(0, count, BATCH_ORDERS) {
        let texts = payloads.between(from, to, count);
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
    payloads: &Arc<Payloads>,
    order_count: u64,
    figures: &mut Vec<Figure>,
) -> Result<Filled, CliError> {
    let store = data::open_store(config).await.map_err(CliError::failed)?;
    // Buyers are told apart by a key, as under `serve`.
    store.set_report_key([1; 32]);
    let mut connections = Vec::new();
    for number in 1..=CONNECTION_COUNT {
        connections.push(connection(&store, number).await?);
    }
    let bare = figures.first().cloned();
    let first = order_count.min(MEASURED_ORDERS_MAX);
    let added = order_count.clamp(1, ADDED_ORDERS_MAX);
    let end = order_count.saturating_add(added);
    // What is added to the full file is history that is older than everything in it.
    let at_empty = import(&store, &connections, payloads, (added, added + first), end).await?;
    import(&store, &connections, payloads, (added + first, end), end).await?;
    let at_full = import(&store, &connections, payloads, (0, added), end).await?;
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
    Ok(Filled { store, connections, order_count: end })
}

async fn open(config: &Config, name: &str) -> Result<Store, CliError> {
    let mut config = config.clone();
    config.data.dir = config.data.dir.parent().unwrap_or_else(|| Path::new(".")).join(name);
    data::open_store(&config).await.map_err(CliError::failed)
}

/// An Amazon connection that went live now: what is imported is a backlog of history. It is paused, so that no engine
/// calls anybody on its behalf.
async fn connection(store: &Store, number: u64) -> Result<Connection, CliError> {
    let now = SystemClock.now();
    let made = store.write(WriteLane::Interactive, move |tx| {
        let id = connections::insert(
            tx,
            &NewConnection {
                channel: ChannelName::from(AMAZON),
                alias: format!("Amazon {number}"),
                account: format!("BENCH{number}"),
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

/// Imports the orders with these numbers, the connections side by side; says how long reading, deciding and writing
/// took. Making the payloads is the platform's work and does not count.
async fn import(
    store: &Store,
    connections: &[Connection],
    payloads: &Arc<Payloads>,
    (from, to): (u64, u64),
    newest: u64,
) -> Result<Duration, CliError> {
    let mut time = Duration::ZERO;
    for (from, to) in steps(from, to, MADE_ORDERS) {
        let made: Vec<Vec<String>> =
            steps(from, to, BATCH_ORDERS).map(|(from, to)| payloads.between(from, to, newest)).collect();
        let waiting = Arc::new(Mutex::new(made));
        let started = Instant::now();
        let side_by_side = connections.iter().map(|connection| {
            drain(store.clone(), connection.clone(), Arc::clone(payloads), Arc::clone(&waiting))
        });
        let new: u64 = try_join_all(side_by_side).await?.into_iter().sum();
        time += started.elapsed();
        if new != to.saturating_sub(from) {
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

/// One connection takes batches as long as there are any; how many orders were new.
async fn drain(
    store: Store,
    connection: Connection,
    payloads: Arc<Payloads>,
    waiting: Arc<Mutex<Vec<Vec<String>>>>,
) -> Result<u64, CliError> {
    let mut new = 0;
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(texts) = next else { return Ok(new) };
        let source = Arc::clone(&payloads);
        let read = tokio::task::spawn_blocking(move || Ok::<_, CliError>(read(source.source()?, texts)));
        let batch = ImportBatch {
            connection: connection.clone(),
            orders: read.await.map_err(CliError::failed)??,
            stream: None,
            is_bulk: true,
            now: SystemClock.now(),
            actor: "bench".to_owned(),
        };
        let imported = store.write(WriteLane::Bulk, move |tx| orders::import(tx, &batch)).await;
        new += u64::try_from(imported.map_err(CliError::failed)?.new).unwrap_or(u64::MAX);
    }
}

fn read(source: &dyn OrderSource, texts: Vec<String>) -> Vec<ImportItem> {
    let paths = source.person_paths();
    let received = |payload: String| {
        let facts = source.read(&payload);
        Received { external_id: facts.as_ref().ok().map(|facts| facts.external_id.clone()), payload, facts }
    };
    texts.into_iter().map(|text| inbox::import_item(received(text), paths)).collect()
}

fn steps(from: u64, to: u64, step: u64) -> impl Iterator<Item = (u64, u64)> {
    let width = usize::try_from(step).unwrap_or(usize::MAX);
    (from..to).step_by(width).map(move |start| (start, start.saturating_add(step).min(to)))
}

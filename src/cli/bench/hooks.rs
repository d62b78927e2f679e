//! Hooks: how many messages of platforms are taken in a second, and how long each waits for its answer, while nothing
//! else goes on, while checkpoints run and while a backup runs. The whole appliance over loopback HTTP, on the full file;
//! a simulated shop's messages, rightly signed, of a kind that calls up no work beyond the check of the signature.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use tokio::sync::oneshot;

use super::super::simulators::Offer;
use super::super::{CliError, terminal};
use super::figure::{Figure, Limit, spread};
use crate::app::{App, AppSetup};
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::config::Config;
use crate::domain::connection::ConnectionSettings;
use crate::domain::id::{ChannelName, ConnectionId};
use crate::domain::plan::{EventKind, NewEvent};
use crate::http::{Call, HttpSettings, HttpTransport, Transport as _};
use crate::sim::server::{self, Layout};
use crate::sim::{BIGCOMMERCE, SimOptions, World, standard_headers};
use crate::store::{Store, WriteLane, events};
use crate::sync::commands::NewConnectionRequest;
use crate::sync::{Engine, EngineSettings};

/// Messages that are on their way at the same time.
const SENDER_COUNT: usize = 8;

/// How long messages are counted while nothing else goes on.
const QUIET_TIME: Duration = Duration::from_secs(5);

/// Checkpoints beside which messages are counted.
const CHECKPOINT_COUNT: u32 = 5;

/// Rows that each of them moves from the log into the file.
const CHECKPOINT_ROWS: u32 = 50_000;

/// An answer, whatever else goes on.
const ANSWER_LIMIT: Option<Limit> = Some(Limit::Below(50_000));

/// Runs the appliance on the full file, and sends it messages.
pub async fn measure(config: &Config, scratch: &Path) -> Result<Vec<Figure>, CliError> {
    terminal::say("Sending hooks, alone and beside checkpoints and a backup.");
    let options = SimOptions { orders: 0, rate_per_minute: 0, ..SimOptions::default() };
    let world = Arc::new(World::open(options, Arc::new(SystemClock)).map_err(CliError::failed)?);
    let running = server::start(&world, &Layout::PortEach(Default::default())).map_err(CliError::failed)?;
    let offers = world.connections(|platform| running.sims.get(platform).cloned().unwrap_or_default());
    let offer = Offer::read_all(offers)?.into_iter().find(|offer| offer.channel == BIGCOMMERCE);
    let offer = offer.ok_or_else(|| CliError::Failed("The simulated platforms offer no shop.".to_owned()))?;
    let mut config = config.clone();
    config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let setup = AppSetup {
        config,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(Entropy::from_os()),
        engine: EngineSettings::default(),
    };
    let app = App::start(setup).await.map_err(CliError::failed)?;
    let (engine, store, url) = (app.engine().clone(), app.store().clone(), app.url().to_owned());
    let (end, ended) = oneshot::channel::<()>();
    // Nothing is ever sent: the appliance ends when the other side is dropped.
    let appliance = tokio::spawn(app.run(async move { drop(ended.await) }));
    let measured = send_beside_all(&engine, &store, &url, offer, scratch).await;
    drop(end);
    appliance.await.map_err(CliError::failed)?.map_err(CliError::failed)?;
    running.stop().await;
    measured
}

async fn send_beside_all(
    engine: &Engine,
    store: &Store,
    url: &str,
    offer: Offer,
    scratch: &Path,
) -> Result<Vec<Figure>, CliError> {
    let sender = Sender::new(engine, url, offer).await?;
    let mut figures = Vec::new();
    let gate = Gate::default();
    figures.extend(sender.figures("alone", &gate, quiet(&gate)).await?);
    let gate = Gate::default();
    let work = checkpoints(&gate, store, sender.connection);
    figures.extend(sender.figures("beside a checkpoint", &gate, work).await?);
    let gate = Gate::default();
    let work = backup(&gate, store, scratch);
    figures.extend(sender.figures("beside a backup", &gate, work).await?);
    Ok(figures)
}

/// Says which messages count.
#[derive(Debug, Default)]
struct Gate {
    is_counting: AtomicBool,
    is_over: AtomicBool,
}

impl Gate {
    /// Counts the messages that are sent during `work`, and says how long that was.
    async fn count<T>(&self, work: impl Future<Output = T>) -> (T, Duration) {
        self.is_counting.store(true, Ordering::SeqCst);
        let started = Instant::now();
        let done = work.await;
        let time = started.elapsed();
        self.is_counting.store(false, Ordering::SeqCst);
        (done, time)
    }
}

async fn quiet(gate: &Gate) -> Result<Duration, CliError> {
    let ((), time) = gate.count(SystemClock.sleep(QUIET_TIME)).await;
    Ok(time)
}

async fn checkpoints(gate: &Gate, store: &Store, connection: ConnectionId) -> Result<Duration, CliError> {
    let mut counted = Duration::ZERO;
    for _ in 0..CHECKPOINT_COUNT {
        let written = store.write(WriteLane::Bulk, move |tx| {
            let now = tx.now();
            for number in 0..CHECKPOINT_ROWS {
                let event = NewEvent::new(EventKind::ConnectionChanged, format!("Measuring, row {number}."));
                events::add(tx, None, Some(connection), &event, "bench", None, now)?;
            }
            Ok(())
        });
        written.await.map_err(CliError::failed)?;
        let (done, time) = gate.count(store.checkpoint()).await;
        done.map_err(CliError::failed)?;
        counted += time;
    }
    Ok(counted)
}

async fn backup(gate: &Gate, store: &Store, scratch: &Path) -> Result<Duration, CliError> {
    let (made, time) = gate.count(store.back_up(&scratch.join("backups-beside-hooks"), None)).await;
    made.map_err(CliError::failed)?;
    Ok(time)
}

/// The shop, which sends.
struct Sender {
    transport: HttpTransport,
    connection: ConnectionId,
    address: String,
    client_secret: String,
    body: String,
    number: AtomicU64,
}

/// What became of the messages that count.
#[derive(Debug, Default)]
struct Sent {
    times: Vec<Duration>,
    /// Those that are to come again, for too many wait.
    put_off: u64,
}

impl Sender {
    /// Connects the shop, which then knows the hook's address.
    async fn new(engine: &Engine, url: &str, offer: Offer) -> Result<Self, CliError> {
        let held = |name: &str| offer.credentials.get(name).cloned().unwrap_or_default();
        let (client_secret, store_hash) = (held("client_secret"), held("store_hash"));
        let request = NewConnectionRequest {
            credentials: offer.secrets(),
            channel: ChannelName(offer.channel),
            alias: offer.alias,
            base_url: Some(offer.base_url),
            settings: ConnectionSettings::default(),
        };
        let added = engine.add_connection(request, "bench").await;
        let connection = added.map_err(|refused| CliError::Failed(refused.message))?;
        let path = engine.hook_path(connection);
        let path = path.ok_or_else(|| CliError::Failed("The shop has no hook.".to_owned()))?;
        let settings = HttpSettings { allow_private: true, ..HttpSettings::default() };
        let body =
            json!({"scope": "store/cart/created", "producer": format!("stores/{store_hash}"), "data": {}});
        Ok(Self {
            transport: HttpTransport::new(settings).map_err(CliError::failed)?,
            connection,
            address: format!("{}{path}", url.trim_end_matches('/')),
            client_secret,
            body: body.to_string(),
            number: AtomicU64::new(0),
        })
    }

    /// Sends until `work` is over; `work` says how long it let messages count.
    async fn figures(
        &self,
        when: &str,
        gate: &Gate,
        work: impl Future<Output = Result<Duration, CliError>>,
    ) -> Result<Vec<Figure>, CliError> {
        let work = async {
            let counted = work.await;
            gate.is_over.store(true, Ordering::SeqCst);
            counted
        };
        let senders = try_join_all((0..SENDER_COUNT).map(|_| self.send_until(gate)));
        let (counted, sent) = tokio::join!(work, senders);
        let (counted, sent) = (counted?, sent?);
        let put_off: u64 = sent.iter().map(|sent| sent.put_off).sum();
        let times: Vec<Duration> = sent.into_iter().flat_map(|sent| sent.times).collect();
        let count = u64::try_from(times.len()).unwrap_or(u64::MAX);
        let longest = times.iter().max().copied().unwrap_or_default();
        let mut figures = vec![Figure::rate(format!("hooks taken, {when}"), count, counted, "hooks/s", None)];
        figures.extend(spread(&format!("answer to a hook, {when}"), times, ANSWER_LIMIT));
        figures.push(Figure::time(
            format!("answer to a hook, {when}, longest of {count}"),
            longest,
            ANSWER_LIMIT,
        ));
        figures.push(Figure::whole(format!("hooks put off, {when}"), put_off, "hooks", None));
        Ok(figures)
    }

    async fn send_until(&self, gate: &Gate) -> Result<Sent, CliError> {
        let mut sent = Sent::default();
        while !gate.is_over.load(Ordering::SeqCst) {
            let counts = gate.is_counting.load(Ordering::SeqCst);
            let (status, time) = self.send().await?;
            match status {
                StatusCode::OK if counts => sent.times.push(time),
                StatusCode::OK => {}
                StatusCode::SERVICE_UNAVAILABLE => sent.put_off += 1,
                status => return Err(CliError::Failed(format!("A hook was answered with {status}."))),
            }
        }
        Ok(sent)
    }

    /// One message, and how long its answer took.
    async fn send(&self) -> Result<(StatusCode, Duration), CliError> {
        let id = format!("msg_{}", self.number.fetch_add(1, Ordering::SeqCst));
        let signed = standard_headers(id, SystemClock.now(), &self.body, self.client_secret.as_bytes());
        let mut request = http::Request::post(&self.address)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in signed {
            request = request.header(name, value);
        }
        let request = request.body(Bytes::from(self.body.clone())).map_err(CliError::failed)?;
        let started = Instant::now();
        let answer = self.transport.send(Call::new("hook", request)).await.map_err(CliError::failed)?;
        Ok((answer.status, started.elapsed()))
    }
}

//! Serves a world over HTTP on loopback: every platform on a port of its own for `eider demo`, or all of them under
//! one address for `eider simulate`.
//!
//! Nothing is decided here: the world answers, and this file makes the network treat the answer as the world says, and
//! delivers what the platforms send by themselves.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::dev::{Extensions, ServerHandle};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::push::{Message, RETRY_AFTER};
use super::reply::{Delivery, Reply};
use super::world::operation_of;
use super::{PLATFORMS, World, control};
use crate::clock::{Clock as _, SystemClock, shifted};
use crate::http::{Call, HttpSettings, HttpTransport, Transport as _};

/// A request's body at most.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a connection that gets no answer is held before it is closed.
const SILENCE: Duration = Duration::from_secs(120);
/// How long an unused connection stays open: longer than clients keep theirs, so that a call never meets one that
/// is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// How long a cut body waits before its connection breaks.
const FLUSH: Duration = Duration::from_millis(50);
/// Messages wait so long for others.
const MESSAGES_EVERY: Duration = Duration::from_millis(50);
/// A message that is not answered in this time was not delivered.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Threads that serve one listener.
const WORKERS: usize = 2;

/// Where a world is served.
#[derive(Debug, Clone)]
pub enum Layout {
    /// Every platform on a loopback port of its own: the one named here where it is free, else any.
    PortEach(BTreeMap<String, u16>),
    /// All platforms under one address, each under its name.
    Single(SocketAddr),
}

/// What became of the messages that a platform sent since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Deliveries {
    /// Messages that were answered by 2xx.
    pub delivered: u64,
    /// Those of them that took more than one try.
    pub redelivered: u64,
    /// Tries that were not: nobody listens there, or does not answer so.
    pub refused: u64,
    /// Messages that were not delivered in the last of their tries.
    pub given_up: u64,
}

/// How one try to deliver a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Try {
    Taken { is_first: bool },
    ComesAgain { after: Duration },
    GivenUp,
}

impl Deliveries {
    fn count(&mut self, ended: Try) {
        match ended {
            Try::Taken { is_first } => {
                self.delivered += 1;
                self.redelivered += u64::from(!is_first);
            }
            Try::ComesAgain { .. } => self.refused += 1,
            Try::GivenUp => {
                self.refused += 1;
                self.given_up += 1;
            }
        }
    }
}

/// What became of the messages, by platform.
type AllDeliveries = Arc<Mutex<BTreeMap<&'static str, Deliveries>>>;

/// A world that is being served.
#[derive(Debug)]
pub struct Running {
    /// The one address, for [`Layout::Single`], ending in a slash.
    pub url: Option<String>,
    /// Each platform's base URL, without a slash at the end.
    pub sims: BTreeMap<String, String>,
    servers: Vec<(ServerHandle, JoinHandle<io::Result<()>>)>,
    messages: JoinHandle<()>,
}

impl Running {
    /// Stops serving. Calls that are under way get a second.
    pub async fn stop(self) {
        self.messages.abort();
        for (handle, task) in self.servers {
            handle.stop(true).await;
            // The task ends with the server; how it ended no longer matters.
            let _ = task.await;
        }
    }
}

/// Serves `world`. Must be called inside a Tokio runtime.
///
/// # Errors
/// Where an address cannot be taken or is not on loopback.
pub fn start(world: &Arc<World>, layout: &Layout) -> io::Result<Running> {
    match layout {
        Layout::PortEach(wanted) => start_each(world, wanted),
        Layout::Single(listen) => start_single(world, *listen),
    }
}

fn start_each(world: &Arc<World>, wanted: &BTreeMap<String, u16>) -> io::Result<Running> {
    let mut sims = BTreeMap::new();
    let mut servers = Vec::new();
    let (messages, deliveries) = deliver_messages(world)?;
    for platform in PLATFORMS {
        let listener = match wanted.get(platform).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)))
        {
            Some(Ok(listener)) => listener,
            Some(Err(_)) | None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        };
        sims.insert(platform.to_owned(), format!("http://{}", listener.local_addr()?));
        let serving = Serving::new(world, Some(platform), &BTreeMap::new(), &deliveries);
        servers.push(listen(serving, listener)?);
    }
    Ok(Running { url: None, sims, servers, messages })
}

fn start_single(world: &Arc<World>, address: SocketAddr) -> io::Result<Running> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the simulators are served on loopback only",
        ));
    }
    let listener = TcpListener::bind(address)?;
    let url = format!("http://{}/", listener.local_addr()?);
    let sims: BTreeMap<String, String> =
        PLATFORMS.iter().map(|platform| ((*platform).to_owned(), format!("{url}{platform}"))).collect();
    let (messages, deliveries) = deliver_messages(world)?;
    let servers = vec![listen(Serving::new(world, None, &sims, &deliveries), listener)?];
    Ok(Running { url: Some(url), sims, servers, messages })
}

/// Delivers what the platforms send by themselves, and counts. What is not answered by 2xx comes again later.
fn deliver_messages(world: &Arc<World>) -> io::Result<(JoinHandle<()>, AllDeliveries)> {
    let settings = HttpSettings { allow_private: true, ..HttpSettings::default() };
    let door = HttpTransport::new(settings).map_err(io::Error::other)?;
    let world = Arc::clone(world);
    let deliveries = AllDeliveries::default();
    let counted = Arc::clone(&deliveries);
    let task = tokio::spawn(async move {
        let mut waiting: Vec<(Timestamp, usize, Message)> = Vec::new();
        loop {
            let now = SystemClock.now();
            waiting.extend(world.take_messages().into_iter().map(|message| (now, 0, message)));
            let (due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _, _)| *at <= now);
            waiting = later;
            for (_, tries, message) in due {
                let ended = match (send_message(&door, &message).await, RETRY_AFTER.get(tries)) {
                    (true, _) => Try::Taken { is_first: tries == 0 },
                    (false, Some(wait)) => Try::ComesAgain { after: *wait },
                    (false, None) => Try::GivenUp,
                };
                counted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .entry(message.platform)
                    .or_default()
                    .count(ended);
                if let Try::ComesAgain { after } = ended {
                    let at = SignedDuration::try_from(after).map_or(now, |wait| shifted(now, wait));
                    waiting.push((at, tries + 1, message));
                }
            }
            SystemClock.sleep(MESSAGES_EVERY).await;
        }
    });
    Ok((task, deliveries))
}

async fn send_message(door: &HttpTransport, message: &Message) -> bool {
    let mut request = Request::post(&message.url).header("content-type", "application/json");
    for (name, value) in &message.headers {
        request = request.header(*name, value);
    }
    let Ok(request) = request.body(Bytes::copy_from_slice(message.body.as_bytes())) else { return false };
    let call = Call {
        request,
        timeout: MESSAGE_TIMEOUT,
        body_bytes_max: BODY_BYTES_MAX,
        operation: "webhook",
        connection: None,
    };
    door.send(call).await.is_ok_and(|answer| answer.status.is_success())
}

/// What a handler needs.
struct Serving {
    world: Arc<World>,
    /// The platform of this listener; none where the path names it.
    platform: Option<&'static str>,
    sims: BTreeMap<String, String>,
    unanswered: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    deliveries: AllDeliveries,
}

impl Serving {
    fn new(
        world: &Arc<World>,
        platform: Option<&'static str>,
        sims: &BTreeMap<String, String>,
        deliveries: &AllDeliveries,
    ) -> Self {
        Self {
            world: Arc::clone(world),
            platform,
            sims: sims.clone(),
            unanswered: Arc::default(),
            deliveries: Arc::clone(deliveries),
        }
    }

    /// What became of every platform's messages.
    fn messages(&self) -> serde_json::Value {
        let deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lost = self.world.lost_messages();
        let of = |platform: &'static str| {
            let counts = deliveries.get(platform).copied().unwrap_or_default();
            let mut shown = serde_json::json!(counts);
            if let Some(shown) = shown.as_object_mut() {
                let lost = lost.get(platform).copied().unwrap_or_default();
                shown.insert("lost".to_owned(), serde_json::json!(lost));
            }
            (platform.to_owned(), shown)
        };
        PLATFORMS.into_iter().map(of).collect::<serde_json::Map<_, _>>().into()
    }
}

/// A call that somebody waits for the answer of.
struct Unanswered {
    operation: &'static str,
    calls: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Unanswered {
    fn begin(calls: &Arc<Mutex<BTreeMap<&'static str, u64>>>, operation: &'static str) -> Self {
        *calls.lock().unwrap_or_else(PoisonError::into_inner).entry(operation).or_default() += 1;
        Self { operation, calls: Arc::clone(calls) }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = calls.get_mut(self.operation) {
            *count = count.saturating_sub(1);
        }
    }
}

/// A connection's socket, kept to break it.
struct Socket(TcpStream);

fn listen(serving: Serving, listener: TcpListener) -> io::Result<(ServerHandle, JoinHandle<io::Result<()>>)> {
    let serving = web::Data::new(serving);
    let app = move || {
        App::new()
            .app_data(serving.clone())
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .default_service(web::to(serve))
    };
    let server = HttpServer::new(app)
        .on_connect(keep_socket)
        .keep_alive(KEEP_ALIVE)
        .workers(WORKERS)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?
        .run();
    let handle = server.handle();
    Ok((handle, tokio::spawn(server)))
}

fn keep_socket(connection: &dyn std::any::Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<actix_web::rt::net::TcpStream>();
    let copy = stream.and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
    if let Some(copy) = copy {
        data.insert(Socket(TcpStream::from(copy)));
    }
}

async fn serve(request: HttpRequest, body: Bytes, serving: web::Data<Serving>) -> HttpResponse {
    let uri = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (platform, path) = match serving.platform {
        Some(platform) => (platform, uri.as_str()),
        None => match split_platform(&uri) {
            Some(found) => found,
            None => return root(&request, &uri, &serving),
        },
    };
    let Some(asked) = translate(&request, path, body) else {
        return HttpResponse::BadRequest().finish();
    };
    let _unanswered = Unanswered::begin(&serving.unanswered, operation_of(platform, &asked));
    let reply = if serving.world.is_durable() {
        let world = Arc::clone(&serving.world);
        match web::block(move || world.handle(platform, &asked)).await {
            Ok(reply) => reply,
            Err(_) => return HttpResponse::ServiceUnavailable().finish(),
        }
    } else {
        serving.world.handle(platform, &asked)
    };
    deliver(&request, reply).await
}

/// The platform that a path names, and the rest of the path.
fn split_platform(uri: &str) -> Option<(&'static str, &str)> {
    PLATFORMS.iter().find_map(|platform| {
        let rest = uri.strip_prefix('/')?.strip_prefix(platform)?;
        rest.starts_with('/').then_some((*platform, rest))
    })
}

/// What the one address answers itself.
fn root(request: &HttpRequest, uri: &str, serving: &Serving) -> HttpResponse {
    if !control::is_loopback(request.connection_info().host()) {
        return HttpResponse::Forbidden().finish();
    }
    match uri {
        "/_sim/connections" => HttpResponse::Ok().json(
            serving.world.connections(|platform| serving.sims.get(platform).cloned().unwrap_or_default()),
        ),
        "/_sim/unanswered" => {
            HttpResponse::Ok().json(&*serving.unanswered.lock().unwrap_or_else(PoisonError::into_inner))
        }
        "/_sim/messages" => HttpResponse::Ok().json(serving.messages()),
        "/" => HttpResponse::Ok().json(serde_json::json!({"sims": serving.sims})),
        _ => HttpResponse::NotFound().finish(),
    }
}

/// The request in the types that worlds take: actix has those of an older `http`.
fn translate(request: &HttpRequest, path: &str, body: Bytes) -> Option<Request<Bytes>> {
    let mut asked = Request::builder().method(request.method().as_str()).uri(path);
    for (name, value) in request.headers() {
        asked = asked.header(name.as_str(), value.as_bytes());
    }
    asked.body(body).ok()
}

/// Lets the network treat the answer as the world says.
async fn deliver(request: &HttpRequest, reply: Reply) -> HttpResponse {
    let Reply { response, delivery } = reply;
    match delivery {
        Delivery::Now => plain(response),
        Delivery::After(wait) => {
            SystemClock.sleep(wait).await;
            plain(response)
        }
        Delivery::NeverAnswered => {
            SystemClock.sleep(SILENCE).await;
            break_connection(request);
            HttpResponse::GatewayTimeout().finish()
        }
        Delivery::ResetConnection => {
            break_connection(request);
            HttpResponse::BadGateway().finish()
        }
        Delivery::Drip { piece_bytes, pause, cut_after_bytes } => {
            drip(request, response, Pieces { bytes: piece_bytes, pause, cut_after: cut_after_bytes })
        }
    }
}

/// How a body comes in pieces.
struct Pieces {
    bytes: usize,
    pause: Duration,
    cut_after: Option<usize>,
}

fn break_connection(request: &HttpRequest) {
    if let Some(Socket(stream)) = request.conn_data::<Socket>() {
        // A socket that is closed already cannot be broken any more.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn head(response: &Response<Bytes>) -> actix_web::HttpResponseBuilder {
    let status = actix_web::http::StatusCode::from_u16(response.status().as_u16());
    let mut builder =
        HttpResponse::build(status.unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR));
    for (name, value) in response.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            builder.insert_header((name, value));
        }
    }
    builder
}

fn plain(response: Response<Bytes>) -> HttpResponse {
    let mut builder = head(&response);
    if response.status() == StatusCode::NO_CONTENT {
        builder.finish()
    } else {
        builder.body(response.into_body())
    }
}

/// A body in pieces. One that is cut promises its whole length, and then the connection breaks.
fn drip(request: &HttpRequest, response: Response<Bytes>, pieces: Pieces) -> HttpResponse {
    let mut builder = head(&response);
    let body = response.into_body();
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let end = pieces.cut_after.unwrap_or(body.len()).min(body.len());
    let socket = request.conn_data::<Socket>().and_then(|Socket(stream)| stream.try_clone().ok());
    let start = (0_usize, socket);
    let stream = stream::unfold(start, move |(at, socket)| {
        let body = body.clone();
        async move {
            if at < end {
                SystemClock.sleep(pieces.pause).await;
                let next = at.saturating_add(pieces.bytes).min(end);
                return Some((Ok::<Bytes, io::Error>(body.slice(at..next)), (next, socket)));
            }
            if end == body.len() {
                return None;
            }
            // What has been written must be on its way before the connection breaks.
            SystemClock.sleep(FLUSH).await;
            if let Some(stream) = socket {
                // A socket that is closed already cannot be broken any more.
                let _ = stream.shutdown(Shutdown::Both);
            }
            Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), (end, None)))
        }
    });
    builder.no_chunking(length).body(SizedStream::new(length, Box::pin(stream)))
}

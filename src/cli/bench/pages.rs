//! Pages over a full file, as HTML from a server of its own, which also tells how long a start takes and what idling
//! costs.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::COOKIE;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::super::{CliError, data, machine};
use super::figure::{Figure, Limit, spread};
use super::import::Filled;
use crate::clock::{Clock as _, Entropy, SystemClock, shifted};
use crate::config::Config;
use crate::domain::id::{OrderNo, UserId};
use crate::domain::user::Role;
use crate::http::{Call, HttpSettings, HttpTransport, Transport as _};
use crate::store::WriteLane;
use crate::store::orders::{self, OrderFilter};
use crate::store::sessions::{self, Session};
use crate::vault::hash_token;
use crate::web::auth::SESSION_COOKIE;

/// Times that each page is asked for.
const ROUNDS: usize = 200;

/// A server that is not up by then never will be.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a server is left alone before its memory is read.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// p99 of a page at a million orders.
const PAGE_LIMIT: Option<Limit> = Some(Limit::Below(50_000));

/// p99 of a search in ninety days at a million orders.
const SEARCH_LIMIT: Option<Limit> = Some(Limit::Below(200_000));

/// Somebody who may look.
pub struct Visitor {
    cookie: String,
    order_no: OrderNo,
    connection: String,
    order_count: u64,
    /// Of the newest order.
    sku: String,
    day: String,
}

/// Makes an owner with a session, so that pages can be asked for.
pub async fn let_in(filled: &Filled, config: &Config) -> Result<Visitor, CliError> {
    let now = SystemClock.now();
    let vault = data::open_vault(config)?;
    let user =
        vault.update(|document| document.add_user("bench", Role::Owner, now)).map_err(CliError::failed)?;
    let user = user.ok_or_else(|| CliError::Failed("The scratch folder has users already.".to_owned()))?;
    let token = Entropy::from_os().token(32);
    let session = Session {
        session_hash: hash_token(&token),
        user: UserId(user),
        created_at: now,
        last_seen_at: now,
        expires_at: shifted(now, SignedDuration::from_hours(24)),
        shop_user: None,
        agent: None,
    };
    let begun = filled.store.write(WriteLane::Interactive, move |tx| sessions::insert(tx, &session)).await;
    begun.map_err(CliError::failed)?;
    let newest = filled.store.read(|read| orders::page(read, &OrderFilter::default(), None, 1)).await;
    let newest = newest.map_err(CliError::failed)?.rows.into_iter().next();
    let newest = newest.ok_or_else(|| CliError::Failed("The scratch file has no orders.".to_owned()))?;
    Ok(Visitor {
        cookie: format!("{SESSION_COOKIE}={token}"),
        order_no: OrderNo(i64::try_from(filled.order_count / 2).unwrap_or(1)),
        connection: filled.connections.first().map(|first| first.id.to_string()).unwrap_or_default(),
        order_count: filled.order_count,
        day: newest.placed_at.to_zoned(TimeZone::UTC).date().to_string(),
        sku: newest.first_sku.unwrap_or_default(),
    })
}

/// Starts `eider serve` on the file, and asks it for pages.
pub async fn from_server(dir: &Path, visitor: &Visitor) -> Result<Vec<Figure>, CliError> {
    let started = Instant::now();
    let mut server = start(dir)?;
    let url = url_of(&mut server).await?;
    let visit = Visit::new(&visitor.cookie)?;
    visit.get(&format!("{url}orders")).await?;
    let count = visitor.order_count;
    let mut figures = vec![Figure::time(
        format!("start to first page, {count} orders"),
        started.elapsed(),
        Some(Limit::Below(1_000_000)),
    )];
    SystemClock.sleep(IDLE_TIME).await;
    if let Some(bytes) = server.id().and_then(machine::resident_bytes) {
        let limit = Some(Limit::Below(150_000));
        figures.push(Figure::whole(format!("idle memory, {count} orders"), bytes / 1_000_000, "MB", limit));
    }
    let pages = [
        ("newest page", "orders".to_owned(), PAGE_LIMIT),
        ("page of one status", "orders?status=shipped".to_owned(), PAGE_LIMIT),
        ("page of one export state", "orders?export_state=created".to_owned(), PAGE_LIMIT),
        ("page of one connection", format!("orders?connection={}", visitor.connection), PAGE_LIMIT),
        ("page of one day", format!("orders?day={}", visitor.day), PAGE_LIMIT),
        ("one old order", format!("orders/{}", visitor.order_no), PAGE_LIMIT),
        ("search by SKU, 90 days", format!("orders?q={}", visitor.sku), SEARCH_LIMIT),
        ("search without a match, 90 days", "orders?q=no-such-text".to_owned(), SEARCH_LIMIT),
    ];
    for (name, path, limit) in pages {
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            times.push(visit.get(&format!("{url}{path}")).await?);
        }
        figures.extend(spread(&format!("{name}, HTML"), times, limit));
    }
    // It holds a scratch file: nothing is lost with it.
    server.kill().await.map_err(CliError::failed)?;
    Ok(figures)
}

fn start(dir: &Path) -> Result<Child, CliError> {
    let program = std::env::current_exe().map_err(CliError::failed)?;
    Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(dir)
        // The merchant's own settings must not reach the scratch file.
        .env_clear()
        .current_dir(dir)
        .env("EIDER__LOG__LEVEL", "error")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| CliError::Failed(format!("`eider serve` could not be started: {error}.")))
}

async fn url_of(server: &mut Child) -> Result<String, CliError> {
    let failed = || CliError::Failed("`eider serve` did not start on the scratch file.".to_owned());
    let out = server.stdout.take().ok_or_else(failed)?;
    let mut line = String::new();
    let mut reader = BufReader::new(out);
    let read = tokio::time::timeout(START_TIME_MAX, reader.read_line(&mut line)).await;
    read.map_err(|_| failed())?.map_err(CliError::failed)?;
    let ready: Value = serde_json::from_str(&line).map_err(|_| failed())?;
    ready.get("url").and_then(Value::as_str).map(str::to_owned).ok_or_else(failed)
}

/// A browser that is signed in.
struct Visit {
    transport: HttpTransport,
    cookie: String,
}

impl Visit {
    fn new(cookie: &str) -> Result<Self, CliError> {
        let settings = HttpSettings { allow_private: true, ..HttpSettings::default() };
        let transport = HttpTransport::new(settings).map_err(CliError::failed)?;
        Ok(Self { transport, cookie: cookie.to_owned() })
    }

    async fn get(&self, address: &str) -> Result<Duration, CliError> {
        let request = http::Request::get(address).header(COOKIE, &self.cookie).body(Bytes::new());
        let started = Instant::now();
        let answer = self.transport.send(Call::new("page", request.map_err(CliError::failed)?)).await;
        let time = started.elapsed();
        let status = answer.map_err(CliError::failed)?.status;
        if status.is_success() {
            return Ok(time);
        }
        Err(CliError::Failed(format!("The page {address} answered {status}: it could not be measured.")))
    }
}

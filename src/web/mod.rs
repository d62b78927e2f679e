//! The pages and the JSON API.
//!
//! A handler extracts who asks (with the role as a type), parses, makes one call into the store or the engine,
//! and fills a template. Nothing here decides, calls a platform, or keeps state but links that are used once.

mod api;
mod assets;
pub mod auth;
pub mod engine;
mod error;
mod hooks;
mod htmx;
mod pages;
mod routes;
mod shown;

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::middleware::{Compress, DefaultHeaders, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpServer};
use jiff::tz::TimeZone;

use crate::clock::{Entropy, SharedClock};
use crate::domain::id::UserId;
use crate::http::CallCounts;
use crate::store::Store;
use crate::vault::Vault;
use auth::{Network, Passes, SignInLimit, SignInLinks};
use engine::Engine;
pub use error::WebError;
pub use pages::consent::Consents;

/// Threads that answer requests: pages are short and their work is the store's.
const WORKER_COUNT: usize = 2;
/// A form or JSON body may be this long.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Seconds that running requests get when the server stops.
const DRAIN_SECONDS_MAX: u64 = 5;

/// Scripts and styles come from here alone, and none stands in the page itself. Who may show a page in a frame follows.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors ";

/// What the handlers share.
pub struct AppState {
    /// The database.
    pub store: Store,
    /// The running engine.
    pub engine: Arc<dyn Engine>,
    /// Users, tokens.
    pub vault: Arc<Vault>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: Arc<Entropy>,
    /// Calls that went out since the start.
    pub calls: CallCounts,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// Where this site is.
    pub network: Network,
    /// Single-use links.
    pub links: SignInLinks,
    /// What lets somebody in who comes from a shop's control panel.
    pub passes: Passes,
    /// Connections that are being added on a platform's own page.
    pub consents: Consents,
    /// How often somebody may try to sign in.
    pub sign_in_limit: SignInLimit,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState").field("network", &self.network).finish_non_exhaustive()
    }
}

/// Adds every route. The app data must hold a `web::Data<AppState>`.
pub fn configure(config: &mut ServiceConfig) {
    let headers = DefaultHeaders::new()
        .add(("X-Content-Type-Options", "nosniff"))
        .add(("Referrer-Policy", "same-origin"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"));
    config.app_data(web::FormConfig::default().limit(BODY_BYTES_MAX));
    config.app_data(web::JsonConfig::default().limit(BODY_BYTES_MAX));
    config.app_data(web::PayloadConfig::default().limit(BODY_BYTES_MAX));
    // Outside of what asks who signs in and from which page: platforms have neither.
    hooks::configure(config);
    // The last one wrapped sees the request first.
    config.service(
        web::scope("")
            .wrap(from_fn(auth::guard))
            .wrap(from_fn(error::render))
            .wrap(from_fn(auth::frame))
            .wrap(headers)
            .wrap(Compress::default())
            .configure(routes::configure),
    );
}

/// The setup link's address, to be printed when there is no owner yet; none once there is one.
///
/// # Errors
/// Where the vault cannot be written.
pub fn setup_link(state: &AppState) -> Result<Option<String>, WebError> {
    if auth::has_owner(state) {
        return Ok(None);
    }
    Ok(Some(state.network.link(&routes::setup(&auth::issue_setup(state)?))))
}

/// The path of a setup link, to be put behind an address that ends in a slash.
#[must_use]
pub fn setup_path(token: &str) -> String {
    routes::setup(token).trim_start_matches('/').to_owned()
}

/// A single-use sign-in link for `user`.
pub fn sign_in_link(state: &AppState, user: UserId) -> String {
    let token = state.links.issue(user, &state.entropy, state.clock.now());
    state.network.link(&routes::login_link(&token))
}

/// Starts to serve on a bound listener. The server runs when awaited and drains when stopped; signals are the
/// caller's.
///
/// # Errors
/// Where the listener cannot be used.
pub fn serve(listener: TcpListener, state: web::Data<AppState>) -> std::io::Result<Server> {
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(configure))
        .workers(WORKER_COUNT)
        .shutdown_timeout(DRAIN_SECONDS_MAX)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// The same for a listener that serves `/hooks/` alone.
///
/// # Errors
/// Where the listener cannot be used.
pub fn serve_hooks(listener: TcpListener, state: web::Data<AppState>) -> std::io::Result<Server> {
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(hooks::configure))
        .workers(1)
        .shutdown_timeout(DRAIN_SECONDS_MAX)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

#[cfg(test)]
mod tests;

//! The one HTTP door out.
//!
//! Every call that leaves the program goes through [`Transport`], so that tests and the fault campaign can put
//! simulated platforms in its place. [`HttpTransport`] is the real network: it holds every call to a deadline
//! and every answer to a size, follows no redirect, repeats nothing, uses no proxy, and connects only to the
//! address that it has checked. It must never log a body, a header or a query, and it must never decide
//! whether to try again: whoever called knows what a second call would do.

mod address;
mod counted;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use address::{BlockedAddress, CheckedResolver};
pub use counted::{CallCounts, CallLabels, CountedTransport};

/// How long a call may take in all, unless its caller says otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How many bytes the body of an answer may have, unless its caller says otherwise.
pub const BODY_BYTES_MAX_DEFAULT: usize = 16 * 1024 * 1024;

/// How long an unused connection is kept open for the next call.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// How many unused connections are kept for one host.
const POOL_IDLE_PER_HOST_MAX: usize = 16;

/// A segment of a path with this many characters is taken for a credential and not logged.
const LOGGED_SEGMENT_CHARS_MAX: usize = 23;

/// Something that carries a call to a server and its answer back.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends `call` once and waits for the whole answer. Any status is an [`Answer`]; an error means that no
    /// whole answer came, and [`TransportError::in_doubt`] says whether the request may have had its effect.
    async fn send(&self, call: Call) -> Result<Answer, TransportError>;
}

/// A transport shared between the parts of the program.
pub type SharedTransport = Arc<dyn Transport>;

/// One request and its limits.
#[derive(Clone)]
pub struct Call {
    /// Method, absolute address, headers and body.
    pub request: http::Request<Bytes>,
    /// From the first attempt to connect to the last byte of the answer.
    pub timeout: Duration,
    /// An answer with a longer body is refused.
    pub body_bytes_max: usize,
    /// The name that logs, quotas and counts use, such as `searchOrders`.
    pub operation: &'static str,
    /// The connection on whose behalf the call is made, where there is one.
    pub connection: Option<i64>,
}

impl Call {
    /// A call with the default limits, on nobody's behalf.
    #[must_use]
    pub fn new(operation: &'static str, request: http::Request<Bytes>) -> Self {
        Self {
            request,
            timeout: TIMEOUT_DEFAULT,
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
            operation,
            connection: None,
        }
    }
}

// By hand, because headers, body and query carry credentials.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("connection", &self.connection)
            .field("method", self.request.method())
            .field("host", &self.request.uri().host())
            .field("path", &loggable_path(self.request.uri().path()))
            .finish_non_exhaustive()
    }
}

/// A whole answer, whatever its status.
#[derive(Clone)]
pub struct Answer {
    /// The server's status; nobody has judged it yet.
    pub status: http::StatusCode,
    /// The server's headers.
    pub headers: http::HeaderMap,
    /// The body, whole, as sent.
    pub body: Bytes,
    /// From the start of the call to the last byte.
    pub duration: Duration,
}

// By hand, because body and headers carry tokens and person data.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}

/// Why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The deadline passed.
    #[error("{}", timed_out_text(*request_sent))]
    TimedOut {
        /// False only where it is certain that the request never left.
        request_sent: bool,
    },
    /// No connection came about: name unknown, port closed, TLS refused. The request never left.
    #[error("could not connect ({0}); check the address and the network, then try again")]
    ConnectFailed(String),
    /// The connection broke after the request may have left.
    #[error(
        "the connection broke before the whole answer arrived ({0}); the request may have had its effect: check before sending it again"
    )]
    ResetMidway(String),
    /// The answer is longer than its caller allows.
    #[error("the answer is longer than the limit of {limit} bytes; ask for smaller pages")]
    BodyTooLarge {
        /// The caller's limit, in bytes.
        limit: usize,
    },
    /// The host is, or resolves only to, addresses that are not public.
    #[error(
        "{address} is not a public address; set network.allow_private = true if this server is meant to be reached"
    )]
    Blocked {
        /// The host, and the address it resolves to where it is a name.
        address: String,
    },
    /// The request cannot be sent by anybody.
    #[error("the request is not valid ({0}); correct the address or settings it is built from")]
    Invalid(String),
}

impl TransportError {
    /// Whether the request may have had its effect at the server although no answer says so.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        match self {
            Self::TimedOut { request_sent } => *request_sent,
            Self::ResetMidway(_) | Self::BodyTooLarge { .. } => true,
            Self::ConnectFailed(_) | Self::Blocked { .. } | Self::Invalid(_) => false,
        }
    }
}

/// Settings of the real network.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Whether addresses that are not public may be reached.
    pub allow_private: bool,
    /// How long name lookup, connecting and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// What servers see as our `User-Agent`.
    pub user_agent: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            allow_private: false,
            connect_timeout: Duration::from_secs(10),
            user_agent: concat!("Eider/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The real network.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    allow_private: bool,
}

impl HttpTransport {
    /// Builds the pool of connections.
    ///
    /// # Errors
    /// [`TransportError::Invalid`] where the user agent cannot be a header, or the system's certificates cannot
    /// be read.
    pub fn new(settings: HttpSettings) -> Result<Self, TransportError> {
        #[expect(clippy::disallowed_methods, reason = "this is the one door to HTTP")]
        let client = reqwest::Client::builder()
            .user_agent(settings.user_agent)
            .connect_timeout(settings.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            // A proxy would resolve the name itself: the address we checked would not be the one connected.
            .no_proxy()
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST_MAX)
            .dns_resolver(CheckedResolver { allow_private: settings.allow_private })
            .build()
            .map_err(|error| TransportError::Invalid(cause(&error)))?;
        Ok(Self { client, allow_private: settings.allow_private })
    }

    async fn exchange(
        &self,
        request: reqwest::Request,
        body_bytes_max: usize,
    ) -> Result<Answer, TransportError> {
        let started = Instant::now();
        let mut response = self.client.execute(request).await.map_err(|error| transport_error(&error))?;
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |bytes| bytes > body_bytes_max) {
            return Err(TransportError::BodyTooLarge { limit: body_bytes_max });
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(&error))? {
            if body.len().saturating_add(chunk.len()) > body_bytes_max {
                return Err(TransportError::BodyTooLarge { limit: body_bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
            duration: started.elapsed(),
        })
    }

    async fn checked_exchange(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        body_bytes_max: usize,
    ) -> Result<Answer, TransportError> {
        let request =
            reqwest::Request::try_from(request).map_err(|error| TransportError::Invalid(cause(&error)))?;
        if !matches!(request.url().scheme(), "http" | "https") {
            return Err(TransportError::Invalid(
                "the address must begin with http:// or https://".to_owned(),
            ));
        }
        if !self.allow_private {
            address::check_literal(request.url())
                .map_err(|blocked| TransportError::Blocked { address: blocked.to_string() })?;
        }
        // Cut off from outside, so that an answer that drips in slowly meets the same deadline. What had been
        // done by then is not known, so the request counts as sent.
        tokio::time::timeout(timeout, self.exchange(request, body_bytes_max))
            .await
            .unwrap_or(Err(TransportError::TimedOut { request_sent: true }))
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        let Call { request, timeout, body_bytes_max, operation, connection } = call;
        let method = request.method().clone();
        let host = request.uri().authority().map(host_and_port).unwrap_or_default();
        let path = loggable_path(request.uri().path());
        let started = Instant::now();
        let outcome = self.checked_exchange(request, timeout, body_bytes_max).await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Ok(answer) => tracing::info!(
                operation,
                connection.id = connection,
                %method,
                host,
                path,
                status = answer.status.as_u16(),
                body_bytes = answer.body.len(),
                duration_ms,
                "called a server"
            ),
            Err(error) => tracing::warn!(
                operation,
                connection.id = connection,
                %method,
                host,
                path,
                in_doubt = error.in_doubt(),
                duration_ms,
                "a call got no answer: {error}"
            ),
        }
        outcome
    }
}

/// Sorts what the client library reports by what it means for the request.
fn transport_error(error: &reqwest::Error) -> TransportError {
    if let Some(blocked) = sources(error).find_map(|source| source.downcast_ref::<BlockedAddress>()) {
        return TransportError::Blocked { address: blocked.to_string() };
    }
    if error.is_builder() {
        return TransportError::Invalid(cause(error));
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => TransportError::TimedOut { request_sent: false },
        (true, false) => TransportError::ConnectFailed(cause(error)),
        (false, true) => TransportError::TimedOut { request_sent: true },
        (false, false) => TransportError::ResetMidway(cause(error)),
    }
}

/// The innermost cause. The outer layers repeat the address, whose query may hold a credential.
fn cause(error: &reqwest::Error) -> String {
    let innermost: Option<&(dyn StdError + 'static)> = sources(error).last();
    innermost.map_or_else(|| "no further cause given".to_owned(), ToString::to_string)
}

fn sources(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(StdError::source(error), |&source| source.source())
}

fn timed_out_text(request_sent: bool) -> &'static str {
    if request_sent {
        "no whole answer in time; the request may have had its effect: check before sending it again"
    } else {
        "could not connect in time; nothing was sent: try again later"
    }
}

/// The authority without user and password.
fn host_and_port(authority: &http::uri::Authority) -> String {
    match authority.port_u16() {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    }
}

/// `path` with every segment that may be a credential, as in webhook addresses, replaced.
fn loggable_path(path: &str) -> String {
    let loggable = |segment: &str| -> String {
        let is_credential = segment.chars().count() > LOGGED_SEGMENT_CHARS_MAX
            && segment.chars().any(|character| character.is_ascii_digit());
        if is_credential { "***".to_owned() } else { segment.to_owned() }
    };
    path.split('/').map(loggable).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;

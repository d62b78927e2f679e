//! Amazon's endpoints. Every call goes through [`Client::send`], which paces it, signs it with an access token
//! and turns whatever comes back into an answer or a [`ChannelError`]. No HTTP status leaves this file.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::super::ConnectorSetup;
use super::super::answer::{failed, in_one_line, lost, redirected, retry, retry_after, shortened};
use super::super::error::{ChannelError, RejectKind};
use super::super::pace::{Pacer, Priority};
use super::super::request::{self, Parts};
use super::config::Config;
use super::{QUOTAS, wire};
use crate::clock::{SharedClock, shifted};
use crate::domain::id::ConnectionId;
use crate::http::{Answer, BODY_BYTES_MAX_DEFAULT, Call, SharedTransport, TIMEOUT_DEFAULT, TransportError};
use crate::secret::Secret;

/// An access token is renewed so long before it dies.
const TOKEN_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// An access token's life where the answer does not say.
const TOKEN_LIFE_S_DEFAULT: i64 = 3600;

/// A page of a hundred orders with everything on it stays below this.
const PAGE_BYTES_MAX: usize = 2 * BODY_BYTES_MAX_DEFAULT;

/// Reads that may be closed to us while orders are open: one order, and notifications, which have a role of their own. A
/// 403 to them says nothing of the seller's authorisation.
const CLOSED_ALONE: &[&str] = &["getOrder", "getSubscription", "getDestinations"];

/// Whether a call changes anything at Amazon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reading again is always safe.
    Read,
    /// A lost answer leaves it in doubt.
    Write,
}

/// One call of the Selling Partner API.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The operation's name in Amazon's model.
    pub operation: &'static str,
    /// Method.
    pub method: Method,
    /// Path, encoded.
    pub path: String,
    /// Query.
    pub query: Vec<(&'a str, String)>,
    /// JSON body.
    pub body: Option<Vec<u8>>,
    /// Who waits.
    pub priority: Priority,
    /// Whether it changes anything.
    pub effect: Effect,
    /// The longest that the call may take, and that it may wait for its turn.
    pub limits: Limits,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The call itself.
    pub timeout: Duration,
    /// Its turn before that.
    pub wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: TIMEOUT_DEFAULT, wait_max: super::super::pace::WAIT_MAX }
    }
}

/// Amazon over HTTP, for one connection.
#[derive(Debug)]
pub struct Client {
    /// What was entered.
    pub config: Config,
    /// The connection's quotas.
    pub pacer: Pacer,
    connection: ConnectionId,
    transport: SharedTransport,
    clock: SharedClock,
    /// Held while a token is fetched: whoever comes meanwhile waits for that one token.
    token: tokio::sync::Mutex<Option<Token>>,
    /// The same, of the application itself.
    application_token: tokio::sync::Mutex<Option<Token>>,
}

/// In whose name a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The seller's, whose orders they are.
    Seller,
    /// The application's own, which Amazon wants for destinations of notifications.
    Application,
}

/// What the application's own token is good for.
const APPLICATION_SCOPE: &str = "sellingpartnerapi::notifications";

#[derive(Debug, Clone)]
struct Token {
    value: Secret,
    renew_at: Timestamp,
}

impl Client {
    /// A client for what was entered. Makes no call.
    ///
    /// # Errors
    /// `Fatal` where a credential is missing or wrong.
    pub fn new(setup: &ConnectorSetup) -> Result<Self, ChannelError> {
        Ok(Self {
            config: Config::read(&setup.credentials, setup.base_url.as_ref())?,
            // A server that stands in for Amazon has quotas of its own, if any: its refusals tell.
            pacer: Pacer::new(setup.clock.clone(), if setup.base_url.is_none() { QUOTAS } else { &[] }),
            connection: setup.connection,
            transport: setup.transport.clone(),
            clock: setup.clock.clone(),
            token: tokio::sync::Mutex::new(None),
            application_token: tokio::sync::Mutex::new(None),
        })
    }

    /// The present, for windows that the platform would refuse. Never for a cursor.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sends one call. A token that the platform no longer accepts is renewed once and the call repeated: the
    /// platform did nothing for the refused one.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send(&self, outgoing: &Outgoing<'_>) -> Result<Bytes, ChannelError> {
        self.send_as(Grant::Seller, outgoing).await
    }

    /// [`Client::send`] in somebody's name.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send_as(&self, grant: Grant, outgoing: &Outgoing<'_>) -> Result<Bytes, ChannelError> {
        let token = self.access_token(grant, None, outgoing.limits.timeout).await?;
        let answer = self.exchange(outgoing, &token).await?;
        if !is_token_refused(&answer) {
            return self.judge(outgoing, answer);
        }
        let renewed = self.access_token(grant, Some(&token), outgoing.limits.timeout).await?;
        let answer = self.exchange(outgoing, &renewed).await?;
        self.judge(outgoing, answer)
    }

    async fn exchange(&self, outgoing: &Outgoing<'_>, token: &Secret) -> Result<Answer, ChannelError> {
        self.pacer.admit_within(outgoing.operation, outgoing.priority, outgoing.limits.wait_max).await?;
        let token = request::secret_header("access token", token.expose())?;
        let request = Parts {
            method: outgoing.method.clone(),
            base: &self.config.api_base,
            path: &outgoing.path,
            query: &outgoing.query,
            headers: vec![(HeaderName::from_static("x-amz-access-token"), token)],
            body: outgoing.body.clone().map(|body| ("application/json", body)),
        }
        .build()?;
        let call = Call {
            request,
            timeout: outgoing.limits.timeout,
            body_bytes_max: PAGE_BYTES_MAX,
            operation: outgoing.operation,
            connection: Some(self.connection.0),
        };
        self.transport
            .send(call)
            .await
            .map_err(|error| lost(outgoing.operation, outgoing.effect == Effect::Write, &error))
    }

    /// Puts a file where Amazon said. The address carries its own permission, so that no token goes with it, and the
    /// file does nothing until a feed names it: a lost upload is done again.
    ///
    /// # Errors
    /// See [`ChannelError`]; never in doubt.
    pub async fn upload(
        &self,
        operation: &'static str,
        url: &str,
        (content_type, file): (&'static str, Vec<u8>),
    ) -> Result<(), ChannelError> {
        let request = http::Request::builder()
            .method(Method::PUT)
            .uri(self.address(operation, url)?)
            .header(CONTENT_TYPE, content_type)
            .body(Bytes::from(file));
        let answer =
            self.exchange_presigned(operation, request, (BODY_BYTES_MAX_DEFAULT, TIMEOUT_DEFAULT)).await?;
        if answer.status.is_success() && answer.body.is_empty() {
            return Ok(());
        }
        // Storage says nothing more of a file that it has taken: somebody on the way has answered instead.
        if answer.status.is_success() {
            let message =
                format!("{operation}: the answer is not of Amazon's storage; the file may not have arrived");
            return Err(ChannelError::Corrupt { in_doubt: false, message });
        }
        Err(retry(
            retry_after(&answer.headers),
            format!("{operation}: the file was not taken ({})", answer.status),
        ))
    }

    /// Fetches a file from where Amazon said; `None` where the address is dead. The address is a secret: it says who
    /// bought what to whoever has it.
    ///
    /// # Errors
    /// See [`ChannelError`]; `Reject` where the file is longer than `bytes_max`.
    pub async fn download(
        &self,
        operation: &'static str,
        url: &str,
        (bytes_max, timeout): (usize, Duration),
    ) -> Result<Option<Bytes>, ChannelError> {
        let request = http::Request::builder()
            .method(Method::GET)
            .uri(self.address(operation, url)?)
            .body(Bytes::new());
        let answer = self.exchange_presigned(operation, request, (bytes_max, timeout)).await?;
        match answer.status {
            status if status.is_success() => Ok(Some(answer.body)),
            // Storage says so of an address whose time is over, and of one that it never gave.
            StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::GONE => Ok(None),
            status if status.is_redirection() => Err(ChannelError::Fatal {
                message: format!("{operation}: the address answers with a redirect, which is never followed"),
            }),
            status => Err(retry(
                retry_after(&answer.headers),
                format!("{operation}: the file did not come ({status})"),
            )),
        }
    }

    async fn exchange_presigned(
        &self,
        operation: &'static str,
        request: Result<http::Request<Bytes>, http::Error>,
        (body_bytes_max, timeout): (usize, Duration),
    ) -> Result<Answer, ChannelError> {
        let request = request.map_err(|_| unusable(operation))?;
        let call = Call {
            body_bytes_max,
            timeout,
            connection: Some(self.connection.0),
            ..Call::new(operation, request)
        };
        self.transport.send(call).await.map_err(|error| match error {
            TransportError::BodyTooLarge { limit } => ChannelError::Reject {
                kind: RejectKind::Other,
                message: format!("{operation}: the file is longer than {} MB", limit / 1_000_000),
            },
            error => lost(operation, false, &error),
        })
    }

    /// An address that Amazon gave, at the connection's own base where it has one: that stands for all of Amazon.
    fn address(&self, operation: &'static str, url: &str) -> Result<String, ChannelError> {
        let given: http::Uri = url.parse().map_err(|_| unusable(operation))?;
        match &self.config.own_base {
            None if given.scheme_str() == Some("https") => Ok(url.to_owned()),
            None => Err(unusable(operation)),
            Some(base) if url.strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with('/')) => {
                Ok(url.to_owned())
            }
            Some(base) => {
                let path = given.path_and_query().ok_or_else(|| unusable(operation))?;
                Ok(format!("{base}{path}"))
            }
        }
    }

    /// What an answer means.
    fn judge(&self, outgoing: &Outgoing<'_>, answer: Answer) -> Result<Bytes, ChannelError> {
        let operation = outgoing.operation;
        let rate = answer.headers.get("x-amzn-ratelimit-limit").and_then(|value| value.to_str().ok());
        if let Some(rate) = rate {
            self.pacer.learn_rate(operation, rate);
        }
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let after = self.pacer.refused(operation, retry_after(&answer.headers));
            return Err(ChannelError::Retry {
                after: Some(after),
                in_doubt: false,
                throttled: true,
                message: format!("Amazon's quota for {operation} is used up"),
            });
        }
        self.pacer.passed(operation);
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(refusal(outgoing, &answer))
    }

    /// A token that works for a minute at least. Where `refused` is the token at hand, a new one is fetched.
    async fn access_token(
        &self,
        grant: Grant,
        refused: Option<&Secret>,
        timeout: Duration,
    ) -> Result<Secret, ChannelError> {
        let held = match grant {
            Grant::Seller => &self.token,
            Grant::Application => &self.application_token,
        };
        let mut held = held.lock().await;
        if let Some(token) = held.as_ref()
            && self.clock.now() < token.renew_at
            && refused != Some(&token.value)
        {
            return Ok(token.value.clone());
        }
        let token = self.fetch_token(grant, timeout).await?;
        let value = token.value.clone();
        *held = Some(token);
        Ok(value)
    }

    async fn fetch_token(&self, grant: Grant, timeout: Duration) -> Result<Token, ChannelError> {
        let mut form = match grant {
            Grant::Seller => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("refresh_token", self.config.refresh_token.expose().to_owned()),
            ],
            Grant::Application => {
                vec![("grant_type", "client_credentials".to_owned()), ("scope", APPLICATION_SCOPE.to_owned())]
            }
        };
        form.push(("client_id", self.config.client_id.clone()));
        form.push(("client_secret", self.config.client_secret.expose().to_owned()));
        let form = request::pairs(&form);
        let request = Parts {
            method: Method::POST,
            base: &self.config.token_base,
            path: "/auth/o2/token",
            query: &[],
            headers: Vec::new(),
            body: Some(("application/x-www-form-urlencoded;charset=UTF-8", form.into_bytes())),
        }
        .build()?;
        let asked_at = self.clock.now();
        let call = Call { timeout, connection: Some(self.connection.0), ..Call::new("token", request) };
        let answer = self.transport.send(call).await.map_err(|error| match error {
            TransportError::Blocked { .. } | TransportError::Invalid(_) => {
                ChannelError::Fatal { message: format!("Login with Amazon: {error}") }
            }
            _ => retry(None, format!("Login with Amazon: {error}")),
        })?;
        read_token(&answer, asked_at)
    }
}

fn read_token(answer: &Answer, asked_at: Timestamp) -> Result<Token, ChannelError> {
    let said: wire::TokenAnswer = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        let value = said.access_token.ok_or_else(|| ChannelError::Corrupt {
            in_doubt: false,
            message: "Login with Amazon answered without an access token".to_owned(),
        })?;
        let life = SignedDuration::from_secs(said.expires_in.unwrap_or(TOKEN_LIFE_S_DEFAULT));
        return Ok(Token { value: Secret::new(value), renew_at: shifted(asked_at, life - TOKEN_MARGIN) });
    }
    let text = shortened(said.error_description.as_deref().unwrap_or("no reason given"));
    match said.error.as_deref() {
        Some("invalid_grant") => Err(ChannelError::Reauth {
            message: format!(
                "Amazon no longer accepts the refresh token ({text}); authorise the app again and paste the \
                 new one"
            ),
        }),
        Some("invalid_client" | "unauthorized_client") => Err(ChannelError::Reauth {
            message: format!(
                "Amazon does not accept the client identifier and secret ({text}); the secret dies 180 days \
                 after its rotation: create a new one and enter it"
            ),
        }),
        _ if answer.status == StatusCode::TOO_MANY_REQUESTS || answer.status.is_server_error() => {
            Err(retry(retry_after(&answer.headers), "Login with Amazon is not answering properly".to_owned()))
        }
        error => Err(ChannelError::Fatal {
            message: format!(
                "Login with Amazon refused the request: {} ({text})",
                error.unwrap_or("no error code")
            ),
        }),
    }
}

fn refusal(outgoing: &Outgoing<'_>, answer: &Answer) -> ChannelError {
    let operation = outgoing.operation;
    let said = said(&answer.body);
    let message = format!("Amazon, {operation}: {said}");
    let status = answer.status;
    match status {
        StatusCode::NOT_FOUND => ChannelError::Reject { kind: RejectKind::NotFound, message },
        // It came back after the token was renewed. A list of orders or listings that is closed means that the app
        // lacks a role, which takes a person and a new authorisation.
        StatusCode::UNAUTHORIZED => ChannelError::Reauth { message },
        StatusCode::FORBIDDEN if outgoing.effect == Effect::Write || CLOSED_ALONE.contains(&operation) => {
            ChannelError::Reject { kind: RejectKind::Other, message }
        }
        StatusCode::FORBIDDEN => ChannelError::Reauth {
            message: format!(
                "{message}; grant the app the roles for orders and shipping in Seller Central and authorise \
                 it again"
            ),
        },
        StatusCode::REQUEST_TIMEOUT => failed(answer, outgoing.effect == Effect::Write, message),
        _ if status.is_server_error() => failed(answer, outgoing.effect == Effect::Write, message),
        _ if status.is_redirection() => redirected(operation),
        _ => {
            let is_write = outgoing.effect == Effect::Write;
            ChannelError::garbled("Amazon", operation, is_write, &answer.body).unwrap_or_else(|| {
                let is_done = is_done_before(&said);
                let kind = if is_done { RejectKind::AlreadyDone } else { RejectKind::Other };
                ChannelError::Reject { kind, message }
            })
        }
    }
}

/// Never with the address itself, which is a secret.
fn unusable(operation: &'static str) -> ChannelError {
    ChannelError::Corrupt {
        in_doubt: false,
        message: format!("{operation}: what Amazon gave is no https address"),
    }
}

/// The words that Amazon uses for a parcel that it knows already; no code tells them apart
/// (selling-partner-api-models, issue 5037).
fn is_done_before(said: &str) -> bool {
    let said = said.to_lowercase();
    [
        "packagetoupdatenotfound",
        "already fulfilled",
        "already been fulfilled",
        "already shipped",
        "already been shipped",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn is_token_refused(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => {
            let errors: wire::ErrorList = serde_json::from_slice(&answer.body).unwrap_or_default();
            errors.errors.iter().any(|error| error.code.as_deref() == Some("Unauthorized"))
        }
        _ => false,
    }
}

/// Amazon's errors in one line.
fn said(body: &[u8]) -> String {
    let list: wire::ErrorList = serde_json::from_slice(body).unwrap_or_default();
    let texts: Vec<String> = list
        .errors
        .into_iter()
        .map(|error| {
            let parts = [error.code, error.message, error.details];
            parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
        })
        .collect();
    in_one_line(&texts, "; ")
}

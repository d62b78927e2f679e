//! eBay's endpoints. Every call goes through [`Client::send`], which paces it, signs it with an access token and turns
//! whatever comes back into an answer or a [`ChannelError`]. No HTTP status leaves this file.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;

use super::super::answer::{failed, in_one_line, lost, redirected, retry, retry_after, shortened};
use super::super::error::{ChannelError, RejectKind};
use super::super::pace::{Pacer, Priority};
use super::super::request::{self, Parts};
use super::super::{ConnectorSetup, CredentialSink};
use super::config::{APPLICATION_SCOPE, Application, Config};
use super::sign::Signed;
use super::wire;
use crate::clock::{SharedClock, shifted};
use crate::domain::id::ConnectionId;
use crate::http::{Answer, Call, SharedTransport, TIMEOUT_DEFAULT, TransportError};
use crate::secret::Secret;

/// An access token is renewed so long before it dies.
const TOKEN_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// An access token's life where the answer does not say.
const TOKEN_LIFE_S_DEFAULT: i64 = 7_200;

/// A person waits until eBay has said whose a grant is.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(4);

/// Times that eBay is asked whose a grant is.
const IDENTITY_TRIES_MAX: u32 = 2;

/// Errors that say that something was done before: a refund (34917), a parcel that can only be changed (34500).
const DONE_BEFORE: &[i64] = &[34_917, 34_500];
/// Errors that say that it is too early: an earlier refund (34922) or the buyer's payment (34929) is still being processed.
const NOT_YET: &[i64] = &[34_922, 34_929];

/// Errors that say that there is no such order, or no offer of that SKU.
const NOT_THERE: &[i64] = &[32_100, 25_713];

/// Reads that may be closed to us while orders are open: one order, its parcels, and notifications, which have a scope of
/// their own. A 403 to them says nothing of the seller's authorisation.
const CLOSED_ALONE: &[&str] = &[
    "getOrder",
    "getShippingFulfillments",
    "getDestinations",
    "getSubscriptions",
    "getTopic",
    "getPublicKey",
];

/// The error that says that eBay knows no address for its own alerts.
const CONFIG_MISSING: i64 = 195_003;

/// Whether a refusal says that an address for eBay's own alerts comes first.
#[must_use]
pub fn is_config_missing(error: &ChannelError) -> bool {
    // A refusal's text holds eBay's numbers as `said` writes them.
    matches!(error, ChannelError::Reject { message, .. } if message.contains(&format!("{CONFIG_MISSING}: ")))
}

/// Whether a call changes anything at eBay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reading again is always safe.
    Read,
    /// A lost answer leaves it in doubt.
    Write,
}

/// In whose name a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The seller's.
    Seller,
    /// The seller's, in the form that the Post-Order API takes.
    SellerIaf,
    /// The application's own.
    Application,
}

/// One call.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The operation's name in eBay's specification.
    pub operation: &'static str,
    /// Method.
    pub method: Method,
    /// Path, encoded.
    pub path: String,
    /// Query.
    pub query: Vec<(&'a str, String)>,
    /// JSON body.
    pub body: Option<Vec<u8>>,
    /// In whose name.
    pub grant: Grant,
    /// Who waits.
    pub priority: Priority,
    /// Whether it changes anything.
    pub effect: Effect,
    /// Whether sellers in the EU and the UK have to sign it.
    pub is_signed: bool,
    /// The longest that the call may take, and that it may wait for its turn.
    pub limits: Limits,
}

impl Outgoing<'_> {
    /// A read in the seller's name.
    #[must_use]
    pub fn read(operation: &'static str, path: impl Into<String>, priority: Priority) -> Self {
        Self {
            operation,
            method: Method::GET,
            path: path.into(),
            query: Vec::new(),
            body: None,
            grant: Grant::Seller,
            priority,
            effect: Effect::Read,
            is_signed: false,
            limits: Limits::default(),
        }
    }

    /// A write in the seller's name, for which nobody stands back.
    ///
    /// # Errors
    /// `Fatal` where the body cannot be written.
    pub fn write(
        operation: &'static str,
        path: impl Into<String>,
        body: &impl serde::Serialize,
    ) -> Result<Self, ChannelError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ChannelError::Fatal { message: format!("could not write JSON: {error}") })?;
        Ok(Self {
            method: Method::POST,
            body: Some(body),
            effect: Effect::Write,
            ..Self::read(operation, path, Priority::Interactive)
        })
    }
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

/// What a good answer carries.
#[derive(Debug)]
pub struct Got {
    /// The body.
    pub body: Bytes,
    /// The last part of the address of what was made, if something was.
    pub made: Option<String>,
}

/// eBay over HTTP, for one connection.
pub struct Client {
    /// What was entered.
    pub config: Config,
    /// The connection's quotas.
    pub pacer: Pacer,
    connection: ConnectionId,
    transport: SharedTransport,
    clock: SharedClock,
    credential_sink: Arc<dyn CredentialSink>,
    /// Held while a token is fetched: whoever comes meanwhile waits for that one token.
    seller: tokio::sync::Mutex<Held>,
    application: tokio::sync::Mutex<Held>,
    /// How far eBay's clock is ahead of ours, by the date of its last answer.
    ahead: Mutex<SignedDuration>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A grant and the token that it gave.
#[derive(Debug)]
struct Held {
    refresh: Option<Secret>,
    token: Option<Token>,
}

#[derive(Debug, Clone)]
struct Token {
    value: Secret,
    renew_at: Timestamp,
    /// A new refresh token that came with it.
    rotated: Option<Secret>,
}

impl Client {
    /// A client for what was entered. Makes no call.
    ///
    /// # Errors
    /// `Fatal` where a credential is missing or wrong.
    pub fn new(setup: &ConnectorSetup) -> Result<Self, ChannelError> {
        let config = Config::read(&setup.credentials, setup.base_url.as_ref())?;
        let refresh = config.refresh_token.clone();
        Ok(Self {
            config,
            // eBay counts by day and by application, and tells of it only when asked: its refusals pace us.
            pacer: Pacer::new(setup.clock.clone(), &[]),
            connection: setup.connection,
            transport: setup.transport.clone(),
            clock: setup.clock.clone(),
            credential_sink: setup.credential_sink.clone(),
            seller: tokio::sync::Mutex::new(Held { refresh, token: None }),
            application: tokio::sync::Mutex::new(Held { refresh: None, token: None }),
            ahead: Mutex::new(SignedDuration::ZERO),
        })
    }

    /// The present by eBay's clock, as far as its last answer told.
    #[must_use]
    pub fn platform_now(&self) -> Timestamp {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        shifted(self.clock.now(), ahead)
    }

    /// Sees to it that there is a token, so that eBay's clock has been heard of.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn sign_in(&self) -> Result<(), ChannelError> {
        self.access_token(Grant::Seller, None, TIMEOUT_DEFAULT).await.map(drop)
    }

    /// Sends one call. A token that the platform no longer accepts is renewed once and the call repeated: the
    /// platform did nothing for the refused one.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send(&self, outgoing: &Outgoing<'_>) -> Result<Got, ChannelError> {
        let token = self.access_token(outgoing.grant, None, outgoing.limits.timeout).await?;
        let answer = self.exchange(outgoing, &token).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return self.judge(outgoing, answer);
        }
        let renewed = self.access_token(outgoing.grant, Some(&token), outgoing.limits.timeout).await?;
        let answer = self.exchange(outgoing, &renewed).await?;
        self.judge(outgoing, answer)
    }

    /// Sends one call and reads its answer.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn fetch<T: DeserializeOwned>(&self, outgoing: &Outgoing<'_>) -> Result<T, ChannelError> {
        let got = self.send(outgoing).await?;
        let is_write = outgoing.effect == Effect::Write;
        serde_json::from_slice(&got.body)
            .map_err(|error| ChannelError::unreadable("eBay", outgoing.operation, is_write, &error))
    }

    async fn exchange(&self, outgoing: &Outgoing<'_>, token: &Secret) -> Result<Answer, ChannelError> {
        self.pacer.admit_within(outgoing.operation, outgoing.priority, outgoing.limits.wait_max).await?;
        let scheme = if outgoing.grant == Grant::SellerIaf { "IAF" } else { "Bearer" };
        let bearer = format!("{scheme} {}", token.expose());
        let mut headers = vec![(AUTHORIZATION, request::secret_header("access token", &bearer)?)];
        if outgoing.grant == Grant::SellerIaf {
            let marketplace = request::secret_header("marketplace", &self.config.marketplace_id)?;
            headers.push((HeaderName::from_static("x-ebay-c-marketplace-id"), marketplace));
        }
        headers.extend(self.signature(outgoing)?);
        let request = Parts {
            method: outgoing.method.clone(),
            base: &self.config.application.api_base,
            path: &outgoing.path,
            query: &outgoing.query,
            headers,
            body: outgoing.body.clone().map(|body| ("application/json", body)),
        }
        .build()?;
        let call = Call {
            timeout: outgoing.limits.timeout,
            connection: Some(self.connection.0),
            ..Call::new(outgoing.operation, request)
        };
        let answer = self
            .transport
            .send(call)
            .await
            .map_err(|error| lost(outgoing.operation, outgoing.effect == Effect::Write, &error))?;
        self.hear_clock(&answer);
        Ok(answer)
    }

    /// The signature's headers, where the call takes one and there is a key.
    fn signature(&self, outgoing: &Outgoing<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, ChannelError> {
        let Some(key) = self.config.signing_key.as_ref().filter(|_| outgoing.is_signed) else {
            return Ok(Vec::new());
        };
        let base = &self.config.application.api_base;
        let address = format!("{base}{}", outgoing.path);
        let url = url::Url::parse(&address)
            .map_err(|error| ChannelError::Fatal { message: format!("{address} is no address: {error}") })?;
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let signed = Signed {
            method: outgoing.method.as_str(),
            path: url.path(),
            authority: &authority,
            body: outgoing.body.as_deref().unwrap_or_default(),
        };
        let headers = key.headers(signed, self.platform_now());
        headers
            .into_iter()
            .map(|(name, value)| {
                Ok((HeaderName::from_static(name), request::secret_header("signing key", &value)?))
            })
            .collect()
    }

    fn hear_clock(&self, answer: &Answer) {
        let text = answer.headers.get(http::header::DATE).and_then(|value| value.to_str().ok());
        let Some(date) = text.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) else { return };
        let ahead = date.timestamp().duration_since(self.clock.now());
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = ahead;
    }

    /// What an answer means.
    fn judge(&self, outgoing: &Outgoing<'_>, answer: Answer) -> Result<Got, ChannelError> {
        let operation = outgoing.operation;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let after = self.pacer.refused(operation, retry_after(&answer.headers));
            return Err(ChannelError::Retry {
                after: Some(after),
                in_doubt: false,
                throttled: true,
                message: format!("eBay's quota for {operation} is used up"),
            });
        }
        self.pacer.passed(operation);
        if answer.status.is_success() {
            let location = answer.headers.get(http::header::LOCATION).and_then(|value| value.to_str().ok());
            let made = location.and_then(|at| at.trim_end_matches('/').rsplit('/').next()).map(str::to_owned);
            return Ok(Got { body: answer.body, made });
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
        let is_applications = grant == Grant::Application;
        let mut held = if is_applications { &self.application } else { &self.seller }.lock().await;
        if held.refresh.is_none() && !is_applications {
            return Err(ChannelError::Reauth {
                message: "No seller has agreed yet: unlock the application's keys at eBay with the webhook address and \
                          the verification token of this page, then authorise on eBay's page"
                    .to_owned(),
            });
        }
        if let Some(token) = held.token.as_ref()
            && self.clock.now() < token.renew_at
            && refused != Some(&token.value)
        {
            return Ok(token.value.clone());
        }
        let mut form = match &held.refresh {
            Some(refresh) => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("refresh_token", refresh.expose().to_owned()),
            ],
            None => vec![("grant_type", "client_credentials".to_owned())],
        };
        if held.refresh.is_none() {
            form.push(("scope", APPLICATION_SCOPE.to_owned()));
        }
        let asked = TokenCall {
            application: &self.config.application,
            connection: self.connection,
            transport: &self.transport,
            clock: &self.clock,
            timeout,
        };
        let (token, answer) = asked.ask(&form).await?;
        self.hear_clock(&answer);
        if let Some(rotated) = token.rotated.as_ref().filter(|rotated| held.refresh.as_ref() != Some(rotated))
            && held.refresh.is_some()
        {
            // Durable first: the old one may be dead from now on.
            self.credential_sink.keep(self.connection, "refresh_token", rotated).map_err(|error| {
                retry(None, format!("eBay's new refresh token could not be kept: {error}"))
            })?;
            held.refresh = Some(rotated.clone());
        }
        let value = token.value.clone();
        held.token = Some(token);
        Ok(value)
    }

    /// eBay's immutable id of the seller whose grant this is; none where the grant may not ask for it.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn seller_id(&self) -> Result<Option<String>, ChannelError> {
        let token = self.access_token(Grant::Seller, None, IDENTITY_TIMEOUT).await?;
        let mut tries = 1;
        loop {
            match self.ask_seller_id(&token).await {
                Err(ChannelError::Retry { throttled: false, .. } | ChannelError::Corrupt { .. })
                    if tries < IDENTITY_TRIES_MAX =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn ask_seller_id(&self, token: &Secret) -> Result<Option<String>, ChannelError> {
        let bearer = format!("Bearer {}", token.expose());
        let request = Parts {
            method: Method::GET,
            base: &self.config.application.apiz_base,
            path: "/commerce/identity/v1/user/",
            query: &[],
            headers: vec![(AUTHORIZATION, request::secret_header("access token", &bearer)?)],
            body: None,
        }
        .build()?;
        let call = Call {
            timeout: IDENTITY_TIMEOUT,
            connection: Some(self.connection.0),
            ..Call::new("getUser", request)
        };
        let answer = self.transport.send(call).await.map_err(|error| lost("getUser", false, &error))?;
        if answer.status.is_success() {
            let user: wire::User = serde_json::from_slice(&answer.body)
                .map_err(|error| ChannelError::unreadable("eBay", "getUser", false, &error))?;
            return Ok(user.user_id.filter(|id| !id.trim().is_empty()));
        }
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(ChannelError::Retry {
                after: retry_after(&answer.headers),
                in_doubt: false,
                throttled: true,
                message: "eBay's quota for getUser is used up".to_owned(),
            });
        }
        // The token is fresh: a refusal of it is not about its scopes.
        if answer.status == StatusCode::UNAUTHORIZED || answer.status.is_server_error() {
            let message = "eBay's getUser is not answering properly".to_owned();
            return Err(retry(retry_after(&answer.headers), message));
        }
        Ok(None)
    }
}

/// A call of the token endpoint.
struct TokenCall<'a> {
    application: &'a Application,
    connection: ConnectionId,
    transport: &'a SharedTransport,
    clock: &'a SharedClock,
    timeout: Duration,
}

impl TokenCall<'_> {
    async fn ask(&self, form: &[(&str, String)]) -> Result<(Token, Answer), ChannelError> {
        let pair = format!("{}:{}", self.application.client_id, self.application.client_secret.expose());
        let basic = format!("Basic {}", STANDARD.encode(pair));
        let request = Parts {
            method: Method::POST,
            base: &self.application.api_base,
            path: "/identity/v1/oauth2/token",
            query: &[],
            headers: vec![(AUTHORIZATION, request::secret_header("client secret", &basic)?)],
            body: Some(("application/x-www-form-urlencoded", request::pairs(form).into_bytes())),
        }
        .build()?;
        let asked_at = self.clock.now();
        let call = Call {
            timeout: self.timeout,
            connection: Some(self.connection.0),
            ..Call::new("token", request)
        };
        let answer = self.transport.send(call).await.map_err(|error| match error {
            TransportError::Blocked { .. } | TransportError::Invalid(_) => {
                ChannelError::Fatal { message: format!("eBay's sign-in: {error}") }
            }
            _ => retry(None, format!("eBay's sign-in: {error}")),
        })?;
        Ok((read_token(&answer, asked_at)?, answer))
    }
}

/// Exchanges a code for a refresh token.
///
/// # Errors
/// See [`ChannelError`].
pub async fn exchange_code(
    setup: &ConnectorSetup,
    application: &Application,
    form: &[(&str, String)],
) -> Result<Secret, ChannelError> {
    let asked = TokenCall {
        application,
        connection: setup.connection,
        transport: &setup.transport,
        clock: &setup.clock,
        timeout: TIMEOUT_DEFAULT,
    };
    let (token, _) = asked.ask(form).await?;
    token.rotated.ok_or_else(|| ChannelError::Corrupt {
        in_doubt: false,
        message: "eBay answered without a refresh token".to_owned(),
    })
}

fn read_token(answer: &Answer, asked_at: Timestamp) -> Result<Token, ChannelError> {
    let said: wire::TokenAnswer = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        let value = said.access_token.ok_or_else(|| ChannelError::Corrupt {
            in_doubt: false,
            message: "eBay's sign-in answered without an access token".to_owned(),
        })?;
        let life = SignedDuration::from_secs(said.expires_in.unwrap_or(TOKEN_LIFE_S_DEFAULT));
        return Ok(Token {
            value: Secret::new(value),
            renew_at: shifted(asked_at, life - TOKEN_MARGIN),
            rotated: said.refresh_token.map(Secret::new),
        });
    }
    let text = shortened(said.error_description.as_deref().unwrap_or("no reason given"));
    match said.error.as_deref() {
        Some("invalid_grant") => Err(ChannelError::Reauth {
            message: format!(
                "eBay no longer accepts the refresh token ({text}); it lives for 18 months and dies with the seller's \
                 password: connect on eBay's page again"
            ),
        }),
        Some("invalid_client" | "unauthorized_client") => Err(ChannelError::Reauth {
            message: format!(
                "eBay does not accept App ID and Cert ID ({text}); look whether the keys are still enabled and enter \
                 them again"
            ),
        }),
        _ if answer.status == StatusCode::TOO_MANY_REQUESTS || answer.status.is_server_error() => {
            Err(retry(retry_after(&answer.headers), "eBay's sign-in is not answering properly".to_owned()))
        }
        error => Err(ChannelError::Fatal {
            message: format!(
                "eBay's sign-in refused the request: {} ({text})",
                error.unwrap_or("no error code")
            ),
        }),
    }
}

fn refusal(outgoing: &Outgoing<'_>, answer: &Answer) -> ChannelError {
    let operation = outgoing.operation;
    let (said, ids) = said(&answer.body);
    let message = format!("eBay, {operation}: {said}");
    let is_write = outgoing.effect == Effect::Write;
    let status = answer.status;
    let has = |list: &[i64]| ids.iter().any(|id| list.contains(id));
    match status {
        _ if has(NOT_YET) => retry(None, message),
        StatusCode::NOT_FOUND => ChannelError::Reject { kind: RejectKind::NotFound, message },
        StatusCode::UNAUTHORIZED => ChannelError::Reauth { message },
        // A list of orders or listings that is closed means that the grant lacks a scope.
        StatusCode::FORBIDDEN if is_write || CLOSED_ALONE.contains(&operation) => {
            ChannelError::Reject { kind: RejectKind::Other, message }
        }
        StatusCode::FORBIDDEN => ChannelError::Reauth {
            message: format!(
                "{message}; connect on eBay's page again and agree to everything that is asked for"
            ),
        },
        // A parcel with this tracking number is there.
        StatusCode::CONFLICT => ChannelError::Reject { kind: RejectKind::AlreadyDone, message },
        _ if status == StatusCode::REQUEST_TIMEOUT || status.is_server_error() => {
            failed(answer, is_write, message)
        }
        _ if status.is_redirection() => redirected(operation),
        _ => ChannelError::garbled("eBay", operation, is_write, &answer.body).unwrap_or_else(|| {
            let kind = match () {
                () if has(DONE_BEFORE) => RejectKind::AlreadyDone,
                () if has(NOT_THERE) => RejectKind::NotFound,
                () => RejectKind::Other,
            };
            ChannelError::Reject { kind, message }
        }),
    }
}

/// eBay's errors in one line, and their numbers.
fn said(body: &[u8]) -> (String, Vec<i64>) {
    let list: wire::ErrorList = serde_json::from_slice(body).unwrap_or_default();
    let errors: Vec<wire::Error> = list.errors.into_iter().chain(list.error).collect();
    let ids = errors.iter().filter_map(|error| error.error_id).collect();
    let text = |error: wire::Error| {
        let id = error.error_id.map(|id| id.to_string());
        [id, error.long_message.or(error.message)].into_iter().flatten().collect::<Vec<_>>().join(": ")
    };
    let texts: Vec<String> = errors.into_iter().map(text).collect();
    (in_one_line(&texts, "; "), ids)
}

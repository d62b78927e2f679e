//! Etsy's endpoints. Every call goes through [`Client::send`], which paces it, signs it with the app's key and an
//! access token, and turns whatever comes back into an answer or a [`ChannelError`]. No HTTP status leaves this file.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use jiff::Timestamp;

use super::super::ConnectorSetup;
use super::super::answer::{failed, in_one_line, lost, number, redirected, retry_after};
use super::super::error::{ChannelError, RejectKind};
use super::super::pace::{Bucket, Pacer, Priority, WAIT_MAX, WindowReading};
use super::super::request::{self, Parts};
use super::config::{App, Config};
use super::grant::Grants;
use super::wire;
use crate::clock::SharedClock;
use crate::domain::id::ConnectionId;
use crate::http::{Answer, BODY_BYTES_MAX_DEFAULT, Call, SharedTransport, TIMEOUT_DEFAULT};
use crate::secret::Secret;

/// Every call of the app counts here, whoever makes it.
pub const PER_SECOND: &str = "calls a second";

/// And here.
pub const PER_DAY: &str = "calls a day";

/// What an app gets a day until Etsy's answers say otherwise.
pub const DAY_LIMIT_DEFAULT: u64 = 10_000;

/// What an app gets a second until Etsy's answers say otherwise; half of what new apps are given.
const SECOND: Bucket =
    Bucket { operation: PER_SECOND, period: Duration::from_millis(200), burst: 5, reserve: 1 };

/// The day rolls: a little comes back all the time. What was left is believed for so long.
const DAY_READING_LIFE: Duration = Duration::from_secs(600);

/// The pause after a refusal for the day's quota that names no time.
const DAY_PAUSE: Duration = Duration::from_secs(900);

/// A page of a hundred receipts, each with its listings' long descriptions, stays below this.
const PAGE_BYTES_MAX: usize = 2 * BODY_BYTES_MAX_DEFAULT;

/// Whether a call changes anything at Etsy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reading again is always safe.
    Read,
    /// A lost answer leaves it in doubt, and the buyer may have got a mail.
    Write,
}

/// One call.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The operation's name in Etsy's specification.
    pub operation: &'static str,
    /// Method.
    pub method: Method,
    /// Path, encoded.
    pub path: String,
    /// Query.
    pub query: Vec<(&'a str, String)>,
    /// A form's fields.
    pub form: Option<Vec<(&'static str, String)>>,
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
        Self { timeout: TIMEOUT_DEFAULT, wait_max: WAIT_MAX }
    }
}

/// The way to Etsy, without anybody's grant.
#[derive(Debug, Clone)]
pub struct Wire {
    /// The app.
    pub app: App,
    /// On whose behalf calls go out.
    pub connection: ConnectionId,
    /// The way out.
    pub transport: SharedTransport,
}

/// Etsy over HTTP, for one connection.
#[derive(Debug)]
pub struct Client {
    /// The shop.
    pub shop_id: String,
    /// What messages are signed with.
    pub webhook_secret: Option<Secret>,
    /// The app's quotas.
    pub pacer: Pacer,
    wire: Wire,
    grants: Grants,
    clock: SharedClock,
}

impl Client {
    /// A client for what was entered. Makes no call.
    ///
    /// # Errors
    /// `Fatal` where a credential is missing.
    pub fn new(setup: &ConnectorSetup) -> Result<Self, ChannelError> {
        let config = Config::read(&setup.credentials, setup.base_url.as_ref())?;
        let wire = Wire {
            app: config.app.clone(),
            connection: setup.connection,
            transport: setup.transport.clone(),
        };
        // A server that stands in for Etsy has quotas of its own, if any: its answers tell.
        let buckets: &[Bucket] = if setup.base_url.is_none() { &[SECOND] } else { &[] };
        Ok(Self {
            shop_id: config.shop_id.clone(),
            webhook_secret: config.webhook_secret.clone(),
            pacer: Pacer::new(setup.clock.clone(), buckets),
            grants: Grants::new(setup, &config),
            wire,
            clock: setup.clock.clone(),
        })
    }

    /// The present, for windows and schedules. Never for a cursor.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Calls that the app gets a day, as far as is known.
    #[must_use]
    pub fn day_limit(&self) -> u64 {
        let lines = self.pacer.lines();
        let known = lines.iter().find(|line| line.operation == PER_DAY).and_then(|line| line.limit);
        known.unwrap_or(DAY_LIMIT_DEFAULT).max(1)
    }

    /// Sends one call. A token that Etsy no longer accepts is renewed once and the call repeated: Etsy did nothing for
    /// the refused one.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send(&self, outgoing: &Outgoing<'_>) -> Result<Bytes, ChannelError> {
        let token = self.grants.access_token(&self.wire, None).await?;
        let answer = self.exchange(outgoing, &token).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return self.judge(outgoing, answer);
        }
        let renewed = self.grants.access_token(&self.wire, Some(&token)).await?;
        let answer = self.exchange(outgoing, &renewed).await?;
        self.judge(outgoing, answer)
    }

    async fn exchange(&self, outgoing: &Outgoing<'_>, token: &Secret) -> Result<Answer, ChannelError> {
        let Limits { timeout, wait_max } = outgoing.limits;
        for lane in [PER_DAY, PER_SECOND] {
            self.pacer.admit_within(lane, outgoing.priority, wait_max).await?;
        }
        let mut headers = vec![api_key(&self.wire.app)?];
        headers.push((AUTHORIZATION, bearer(token)?));
        let request = Parts {
            method: outgoing.method.clone(),
            base: &self.wire.app.api_base,
            path: &outgoing.path,
            query: &outgoing.query,
            headers,
            body: outgoing.form.as_ref().map(|form| (FORM, request::pairs(form).into_bytes())),
        }
        .build()?;
        let call = Call {
            request,
            timeout,
            body_bytes_max: PAGE_BYTES_MAX,
            operation: outgoing.operation,
            connection: Some(self.wire.connection.0),
        };
        self.wire
            .transport
            .send(call)
            .await
            .map_err(|error| lost(outgoing.operation, outgoing.effect == Effect::Write, &error))
    }

    /// What an answer means.
    fn judge(&self, outgoing: &Outgoing<'_>, answer: Answer) -> Result<Bytes, ChannelError> {
        self.learn(&answer.headers);
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.throttled(outgoing.operation, &answer));
        }
        self.pacer.passed(PER_SECOND);
        self.pacer.passed(PER_DAY);
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(refusal(outgoing, &answer))
    }

    fn learn(&self, headers: &HeaderMap) {
        if let Some(limit) = number(headers, "x-limit-per-second") {
            self.pacer.learn_rate(PER_SECOND, &limit.to_string());
        }
        if let (Some(limit), Some(left)) =
            (number(headers, "x-limit-per-day"), number(headers, "x-remaining-today"))
        {
            self.pacer.learn_window(PER_DAY, WindowReading { left, limit, resets_in: DAY_READING_LIFE });
        }
    }

    fn throttled(&self, operation: &str, answer: &Answer) -> ChannelError {
        let is_day = number(&answer.headers, "x-remaining-today") == Some(0)
            || said(&answer.body).to_lowercase().contains("day");
        let named = retry_after(&answer.headers);
        let after = if is_day {
            self.pacer.refused(PER_DAY, Some(named.unwrap_or(DAY_PAUSE)))
        } else {
            self.pacer.refused(PER_SECOND, named)
        };
        let which = if is_day { "the last 24 hours" } else { "this second" };
        ChannelError::Retry {
            after: Some(after),
            in_doubt: false,
            throttled: true,
            message: format!("the app's calls of {which} at Etsy are used up ({operation})"),
        }
    }
}

/// How Etsy takes what is written.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// The header that says which app calls.
///
/// # Errors
/// `Reauth` where the key was pasted wrong.
pub fn api_key(app: &App) -> Result<(HeaderName, HeaderValue), ChannelError> {
    let value = request::secret_header("keystring or the shared secret", app.api_key.expose())?;
    Ok((HeaderName::from_static("x-api-key"), value))
}

/// The header that says who has said yes.
///
/// # Errors
/// `Reauth` where the token cannot be one.
pub fn bearer(token: &Secret) -> Result<HeaderValue, ChannelError> {
    request::secret_header("access token", &format!("Bearer {}", token.expose()))
}

/// What a refusal means and what to do.
pub fn refusal(outgoing: &Outgoing<'_>, answer: &Answer) -> ChannelError {
    let operation = outgoing.operation;
    let message = format!("Etsy, {operation}: {}", said(&answer.body));
    let is_write = outgoing.effect == Effect::Write;
    let status = answer.status;
    let reject = |kind, message| ChannelError::Reject { kind, message };
    let garbled = || ChannelError::garbled("Etsy", operation, is_write, &answer.body);
    match status {
        StatusCode::NOT_FOUND => reject(RejectKind::NotFound, message),
        // It came back after the token was renewed.
        StatusCode::UNAUTHORIZED => ChannelError::Reauth { message },
        StatusCode::FORBIDDEN if is_write => reject(RejectKind::Other, tracking_wall(&message)),
        StatusCode::FORBIDDEN if operation == "getShopReceipt" => reject(RejectKind::Other, message),
        StatusCode::FORBIDDEN => ChannelError::Reauth {
            message: format!(
                "{message}; check that the shared secret is entered, that the app is not suspended, and that you have \
                 let it read orders, listings and the shop, then authorise it again"
            ),
        },
        StatusCode::CONFLICT => garbled().unwrap_or_else(|| reject(RejectKind::AlreadyDone, message)),
        StatusCode::REQUEST_TIMEOUT => failed(answer, is_write, message),
        _ if status.is_server_error() => failed(answer, is_write, message),
        _ if status.is_redirection() => redirected(operation),
        _ => garbled().unwrap_or_else(|| reject(RejectKind::Other, message)),
    }
}

/// Etsy takes no tracking from most apps of sellers in some countries, and says only `Unauthorized`.
fn tracking_wall(message: &str) -> String {
    format!(
        "{message}. Etsy does not let this app complete orders of your country. Enter carrier and tracking number in \
         Shop Manager → Orders & Shipping → Complete order; the parcel is recognised here by its number. Ask Etsy's \
         developer support for access"
    )
}

/// Etsy's message in one line.
pub fn said(body: &[u8]) -> String {
    let refusal: wire::Refusal = serde_json::from_slice(body).unwrap_or_default();
    let texts: Vec<String> = [refusal.error, refusal.error_description].into_iter().flatten().collect();
    in_one_line(&texts, ": ")
}

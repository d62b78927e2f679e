//! The merchant's grant. Etsy gives a new refresh token with every renewal and the old one dies, so that a token that
//! is used before it is kept is a grant that a crash takes away. One renewal runs at a time; what it brought is made
//! durable before it is used for the first time.
//!
//! What a lost answer takes cannot be had again: Etsy may have given a token that nobody holds. So the token is renewed
//! minutes before it dies, works on through those minutes whatever becomes of the renewal, and the old refresh token
//! is tried again; if Etsy has dropped it, the message says why.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::answer::{retry, retry_after, shortened};
use super::super::error::ChannelError;
use super::super::request::{self, Parts};
use super::super::{ConnectorSetup, CredentialSink};
use super::client::{FORM, Wire};
use super::config::{Config, SESSION};
use super::wire;
use crate::clock::{SharedClock, shifted};
use crate::domain::id::ConnectionId;
use crate::http::{Answer, Call, TIMEOUT_DEFAULT, TransportError};
use crate::secret::Secret;

/// The path of tokens.
const TOKEN_PATH: &str = "/v3/public/oauth/token";

/// An access token is renewed so long before it dies.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_mins(5);

/// An access token that dies sooner than this is not sent: the call takes time, too.
const LAST_MOMENTS: SignedDuration = SignedDuration::from_secs(15);

/// Between two attempts to renew while the old token still works.
const RENEWAL_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// An access token's life where the answer does not say.
const TOKEN_LIFE_S_DEFAULT: i64 = 3600;

/// Keeps the grant of one connection.
#[derive(Clone)]
pub struct Grants {
    connection: ConnectionId,
    sink: Arc<dyn CredentialSink>,
    clock: SharedClock,
    renewals: Arc<tokio::sync::Mutex<()>>,
    /// Held while a token is renewed: whoever comes meanwhile waits for that one renewal.
    held: Arc<tokio::sync::Mutex<Held>>,
}

// By hand: a sink cannot be printed, and what is held should not.
impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grants").field("connection", &self.connection).finish_non_exhaustive()
    }
}

struct Held {
    /// The newest refresh token that is durable.
    refresh: Secret,
    access: Option<Access>,
    /// What Etsy gave and could not be kept yet. It is kept before anything else is tried.
    unkept: Option<Granted>,
    /// When an answer was lost that may have replaced the refresh token.
    lost_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Access {
    value: Secret,
    renew_at: Timestamp,
    dies_at: Timestamp,
}

/// Tokens, as Etsy hands them out.
#[derive(Debug, Clone)]
pub struct Granted {
    /// For calls.
    pub access: Secret,
    /// When it dies.
    pub dies_at: Timestamp,
    /// For the next renewal; none where Etsy left the old one as it is.
    pub refresh: Option<Secret>,
}

/// An access token as the vault keeps it, and which refresh token it came with: after a new authorisation the one that
/// is left from before is nobody's.
#[derive(Serialize, Deserialize)]
struct Session {
    access_token: String,
    dies_at: Timestamp,
    of: String,
}

impl Grants {
    /// The grant as it was entered or kept last.
    pub fn new(setup: &ConnectorSetup, config: &Config) -> Self {
        let refresh = config.refresh_token.clone();
        let access = config.session.as_ref().and_then(|session| kept_access(session, &refresh));
        Self {
            connection: setup.connection,
            sink: Arc::clone(&setup.credential_sink),
            clock: setup.clock.clone(),
            renewals: Arc::clone(&setup.renewals),
            held: Arc::new(tokio::sync::Mutex::new(Held { refresh, access, unkept: None, lost_at: None })),
        }
    }

    /// A token that works. Where `refused` is the token at hand, a new one is fetched. A renewal that has begun runs to
    /// its end even where nobody waits for it any more, such as after a test that took too long: a token that is on
    /// its way must not be lost.
    ///
    /// # Errors
    /// `Reauth` where Etsy no longer accepts the grant; `Retry` where a new one cannot be had or kept now.
    pub async fn access_token(&self, wire: &Wire, refused: Option<&Secret>) -> Result<Secret, ChannelError> {
        if let Some(token) = self.at_hand(&*self.held.lock().await, refused) {
            return Ok(token);
        }
        let (grants, wire, refused) = (self.clone(), wire.clone(), refused.cloned());
        let renewal = tokio::spawn(async move { grants.renewed_or_old(&wire, refused.as_ref()).await });
        renewal.await.unwrap_or_else(|error| {
            Err(ChannelError::Fatal { message: format!("the renewal of Etsy's token broke off: {error}") })
        })
    }

    fn at_hand(&self, held: &Held, refused: Option<&Secret>) -> Option<Secret> {
        let now = self.clock.now();
        let access = held.access.as_ref()?;
        (now < access.renew_at && refused != Some(&access.value)).then(|| access.value.clone())
    }

    async fn renewed_or_old(&self, wire: &Wire, refused: Option<&Secret>) -> Result<Secret, ChannelError> {
        let mut held = self.held.lock().await;
        // Whoever held the lock before may have renewed it.
        if let Some(token) = self.at_hand(&held, refused) {
            return Ok(token);
        }
        let turn = self.renewals.lock().await;
        let error = match self.renewed(&mut held, wire, refused).await {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        drop(turn);
        let now = self.clock.now();
        let lives = |access: &&mut Access| {
            now < shifted(access.dies_at, -LAST_MOMENTS) && refused != Some(&access.value)
        };
        let Some(access) = held.access.as_mut().filter(lives) else { return Err(error) };
        tracing::warn!(
            connection.id = self.connection.0,
            "Etsy's token was not renewed yet, and works on for now: {error}"
        );
        access.renew_at = shifted(now, RENEWAL_PAUSE);
        Ok(access.value.clone())
    }

    async fn renewed(
        &self,
        held: &mut Held,
        wire: &Wire,
        refused: Option<&Secret>,
    ) -> Result<Secret, ChannelError> {
        if let Some(token) = self.adopt(held, refused) {
            return Ok(token);
        }
        let granted = match held.unkept.take() {
            Some(granted) => granted,
            None => self.fetched(held, wire).await?,
        };
        if let Err(why) = self.keep(held, &granted) {
            // It stays in memory and is kept before it is used: the old one is dead already.
            held.unkept = Some(granted);
            return Err(ChannelError::Retry {
                after: None,
                in_doubt: false,
                throttled: false,
                message: format!(
                    "Etsy's new refresh token could not be stored ({why}); nothing is called until it is, since a \
                     restart would lose the authorisation. Make room on the disk and check the data folder"
                ),
            });
        }
        let access = Access::new(granted.access, granted.dies_at);
        let value = access.value.clone();
        held.access = Some(access);
        Ok(value)
    }

    async fn fetched(&self, held: &mut Held, wire: &Wire) -> Result<Granted, ChannelError> {
        let fields = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", wire.app.keystring.clone()),
            ("refresh_token", held.refresh.expose().to_owned()),
        ];
        let answered = fetch(wire, &self.clock, &fields, TIMEOUT_DEFAULT).await;
        let answered = answered.map_err(|error| self.after_loss(held, error))?;
        held.lost_at = None;
        Ok(answered)
    }

    /// Goes on with what another connector of this connection has kept, or what was entered anew. The answer is its access
    /// token, where that works.
    fn adopt(&self, held: &mut Held, refused: Option<&Secret>) -> Option<Secret> {
        let refresh = Secret::new(self.sink.kept(self.connection, "refresh_token")?.expose().trim());
        let unkept = held.unkept.as_ref().and_then(|granted| granted.refresh.as_ref());
        if refresh == held.refresh || unkept == Some(&refresh) {
            return None;
        }
        let session = self.sink.kept(self.connection, SESSION);
        let access = session.as_ref().and_then(|session| kept_access(session, &refresh));
        (held.refresh, held.access, held.unkept, held.lost_at) = (refresh, access, None, None);
        let now = self.clock.now();
        let access = held.access.as_ref().filter(|access| now < access.renew_at)?;
        (refused != Some(&access.value)).then(|| access.value.clone())
    }

    /// Makes durable what Etsy gave: the refresh token first, without which nothing goes on.
    fn keep(&self, held: &mut Held, granted: &Granted) -> Result<(), String> {
        if let Some(refresh) = &granted.refresh
            && *refresh != held.refresh
        {
            self.sink.keep(self.connection, "refresh_token", refresh)?;
            held.refresh = refresh.clone();
        }
        let session = Session {
            access_token: granted.access.expose().to_owned(),
            dies_at: granted.dies_at,
            of: digest(&held.refresh),
        };
        let session = serde_json::to_string(&session).map_err(|error| error.to_string())?;
        self.sink.keep(self.connection, SESSION, &Secret::new(session))
    }

    /// Remembers an answer that was lost, and says so where Etsy then refuses the old token.
    fn after_loss(&self, held: &mut Held, error: TokenError) -> ChannelError {
        match (error, held.lost_at) {
            (TokenError::Lost(error), _) => {
                held.lost_at.get_or_insert(self.clock.now());
                error
            }
            (TokenError::Other(ChannelError::Reauth { message }), Some(lost_at)) => ChannelError::Reauth {
                message: format!(
                    "{message}. The answer to a renewal at {lost_at} never arrived: Etsy had given a new token, and \
                     nobody can ask for it again"
                ),
            },
            (TokenError::Other(error), _) => error,
        }
    }
}

impl Access {
    fn new(value: Secret, dies_at: Timestamp) -> Self {
        Self { value, renew_at: shifted(dies_at, -RENEWED_BEFORE), dies_at }
    }
}

/// Why there is no token.
pub enum TokenError {
    /// Etsy may have given one, and the answer did not arrive whole.
    Lost(ChannelError),
    /// Etsy gave none.
    Other(ChannelError),
}

impl From<TokenError> for ChannelError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Lost(error) | TokenError::Other(error) => error,
        }
    }
}

/// Asks for tokens.
///
/// # Errors
/// See [`TokenError`].
pub async fn fetch(
    wire: &Wire,
    clock: &SharedClock,
    fields: &[(&str, String)],
    timeout: Duration,
) -> Result<Granted, TokenError> {
    let request = Parts {
        method: Method::POST,
        base: &wire.app.api_base,
        path: TOKEN_PATH,
        query: &[],
        headers: Vec::new(),
        body: Some((FORM, request::pairs(fields).into_bytes())),
    }
    .build()
    .map_err(TokenError::Other)?;
    let asked_at = clock.now();
    let call = Call { timeout, connection: Some(wire.connection.0), ..Call::new("token", request) };
    let answer = wire.transport.send(call).await.map_err(|error| {
        let message = format!("Etsy's token endpoint: {error}");
        match error {
            TransportError::Blocked { .. } | TransportError::Invalid(_) => {
                TokenError::Other(ChannelError::Fatal { message })
            }
            _ if error.in_doubt() => TokenError::Lost(retry(None, message)),
            _ => TokenError::Other(retry(None, message)),
        }
    })?;
    read(&answer, asked_at)
}

fn read(answer: &Answer, asked_at: Timestamp) -> Result<Granted, TokenError> {
    let said: wire::TokenAnswer = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        let value = said.access_token.ok_or_else(|| {
            TokenError::Lost(ChannelError::Corrupt {
                in_doubt: false,
                message: "Etsy answered without an access token".to_owned(),
            })
        })?;
        let life = SignedDuration::from_secs(said.expires_in.unwrap_or(TOKEN_LIFE_S_DEFAULT));
        return Ok(Granted {
            access: Secret::new(value),
            dies_at: shifted(asked_at, life),
            refresh: said.refresh_token.map(Secret::new),
        });
    }
    let text = shortened(said.error_description.as_deref().unwrap_or("no reason given"));
    let error = match said.error.as_deref() {
        Some("invalid_grant" | "invalid_token") => ChannelError::Reauth {
            message: format!(
                "Etsy no longer accepts the authorisation ({text}): it was withdrawn, was not used for 90 days, or \
                 another program renewed its token. Connect again"
            ),
        },
        Some("invalid_client" | "unauthorized_client") => ChannelError::Reauth {
            message: format!("Etsy does not know the app's keystring ({text}); enter it again"),
        },
        _ if answer.status == StatusCode::TOO_MANY_REQUESTS => {
            retry(retry_after(&answer.headers), "Etsy gives no more tokens for now".to_owned())
        }
        _ if answer.status.is_server_error() => {
            // Half an answer of a server that failed says nothing of what it did before.
            let message = "Etsy's token endpoint is not answering properly".to_owned();
            return Err(TokenError::Lost(retry(retry_after(&answer.headers), message)));
        }
        error => ChannelError::Fatal {
            message: format!("Etsy gives no token: {} ({text})", error.unwrap_or("no error code")),
        },
    };
    Err(TokenError::Other(error))
}

/// The access token in a kept session, where it came with this refresh token.
fn kept_access(session: &Secret, refresh: &Secret) -> Option<Access> {
    let session: Session = serde_json::from_str(session.expose()).ok()?;
    let is_its_own = session.of == digest(refresh);
    is_its_own.then(|| Access::new(Secret::new(session.access_token), session.dies_at))
}

fn digest(secret: &Secret) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(secret.expose()) {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

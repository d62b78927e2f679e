//! BigCommerce's endpoints. Every call goes through [`Client::send`], which paces it and turns whatever comes
//! back into a body or a [`ChannelError`]. No HTTP status leaves this file.

use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use super::super::ConnectorSetup;
use super::super::answer::{failed, in_one_line, lost, number, redirected, retry, retry_after};
use super::super::error::{ChannelError, RejectKind};
use super::super::pace::{Pacer, Priority, WindowReading};
use super::super::request::{self, Parts};
use super::config::Config;
use super::wire;
use crate::domain::id::ConnectionId;
use crate::http::{Answer, BODY_BYTES_MAX_DEFAULT, Call, SharedTransport, TIMEOUT_DEFAULT};

/// One quota counts every call of the store, other apps' calls included.
const STORE: &str = "store";

/// One call.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The operation's id in BigCommerce's specification.
    pub operation: &'static str,
    /// Method. Everything but `GET` changes something.
    pub method: Method,
    /// Path below the store's, encoded, such as `/v2/orders`.
    pub path: String,
    /// Query.
    pub query: Vec<(&'a str, String)>,
    /// JSON body.
    pub body: Option<Vec<u8>>,
    /// Who waits.
    pub priority: Priority,
    /// The longest that the call may take.
    pub timeout: Duration,
}

impl<'a> Outgoing<'a> {
    /// A read.
    #[must_use]
    pub fn get(
        operation: &'static str,
        path: String,
        query: Vec<(&'a str, String)>,
        priority: Priority,
    ) -> Self {
        Self { operation, method: Method::GET, path, query, body: None, priority, timeout: TIMEOUT_DEFAULT }
    }

    /// A write, which a person or an order waits for.
    #[must_use]
    pub fn write(operation: &'static str, method: Method, path: String, body: Vec<u8>) -> Self {
        Self {
            operation,
            method,
            path,
            query: Vec::new(),
            body: Some(body),
            priority: Priority::Interactive,
            timeout: TIMEOUT_DEFAULT,
        }
    }

    fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

/// BigCommerce over HTTP, for one connection.
#[derive(Debug)]
pub struct Client {
    /// What was entered.
    pub config: Config,
    /// The store's quota, as its answers tell of it.
    pub pacer: Pacer,
    connection: ConnectionId,
    transport: SharedTransport,
}

impl Client {
    /// A client for what was entered. Makes no call.
    ///
    /// # Errors
    /// `Fatal` where a credential is missing or wrong.
    pub fn new(setup: &ConnectorSetup) -> Result<Self, ChannelError> {
        Ok(Self {
            config: Config::read(&setup.credentials, setup.base_url.as_ref())?,
            pacer: Pacer::new(setup.clock.clone(), &[]),
            connection: setup.connection,
            transport: setup.transport.clone(),
        })
    }

    /// Sends one call, once. The body is empty where there is nothing (V2 answers so to empty lists). A refused
    /// token is shown a second time before it is believed to be dead, since that stops the whole connection; the
    /// shop did nothing for the refused call.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send(&self, outgoing: &Outgoing<'_>) -> Result<Bytes, ChannelError> {
        let mut answer = self.exchange(outgoing).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            answer = self.exchange(outgoing).await?;
        }
        self.judge(outgoing, answer)
    }

    async fn exchange(&self, outgoing: &Outgoing<'_>) -> Result<Answer, ChannelError> {
        self.pacer.admit(STORE, outgoing.priority).await?;
        let token = request::secret_header("access token", self.config.access_token.expose())?;
        let request = Parts {
            method: outgoing.method.clone(),
            base: &self.config.base,
            path: &format!("/stores/{}{}", self.config.store_hash, outgoing.path),
            query: &outgoing.query,
            headers: vec![(HeaderName::from_static("x-auth-token"), token)],
            body: outgoing.body.clone().map(|body| ("application/json", body)),
        }
        .build()?;
        let call = Call {
            request,
            timeout: outgoing.timeout,
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
            operation: outgoing.operation,
            connection: Some(self.connection.0),
        };
        self.transport.send(call).await.map_err(|error| lost(outgoing.operation, outgoing.is_write(), &error))
    }

    fn judge(&self, outgoing: &Outgoing<'_>, answer: Answer) -> Result<Bytes, ChannelError> {
        let window = window(&answer.headers);
        if let Some(window) = window {
            self.pacer.learn_window(STORE, window);
        }
        let status = answer.status;
        if status == StatusCode::TOO_MANY_REQUESTS {
            // Without the window's headers it is no quota but the platform's own load: our own pause then.
            let named = number(&answer.headers, "x-rate-limit-time-reset-ms").map(Duration::from_millis);
            let after = self.pacer.refused(STORE, named.or_else(|| retry_after(&answer.headers)));
            return Err(ChannelError::Retry {
                after: Some(after),
                in_doubt: false,
                throttled: true,
                message: format!("BigCommerce takes no more calls for now ({})", outgoing.operation),
            });
        }
        self.pacer.passed(STORE);
        if status.is_success() {
            return Ok(answer.body);
        }
        Err(refusal(outgoing, &answer))
    }
}

/// What the answer says; nothing for an empty one.
///
/// # Errors
/// `Corrupt` where it cannot be read, in doubt after a write.
pub fn parse<'a, T: Deserialize<'a>>(
    outgoing: &Outgoing<'_>,
    body: &'a Bytes,
) -> Result<Option<T>, ChannelError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(body)
        .map(Some)
        .map_err(|error| ChannelError::unreadable(NAME, outgoing.operation, outgoing.is_write(), &error))
}

/// Where hooks are: a 403 to calls there says nothing of the token, since polls go on without hooks.
pub const HOOKS_PATH: &str = "/v3/hooks";

/// The platform's name, for people.
pub const NAME: &str = "BigCommerce";

/// The error for an answer that lacks what it must have.
#[must_use]
pub fn corrupt(outgoing: &Outgoing<'_>, what: &str) -> ChannelError {
    ChannelError::Corrupt {
        in_doubt: outgoing.is_write(),
        message: format!("BigCommerce's answer to {}: {what}", outgoing.operation),
    }
}

fn refusal(outgoing: &Outgoing<'_>, answer: &Answer) -> ChannelError {
    let said = said(&answer.body);
    let message = format!("BigCommerce, {}: {said}", outgoing.operation);
    let status = answer.status;
    match status {
        StatusCode::UNAUTHORIZED => ChannelError::Reauth {
            message: format!(
                "{message}; the access token is not valid: create an API account and enter its token"
            ),
        },
        // A hook may need a scope that orders do not.
        StatusCode::FORBIDDEN if outgoing.path.starts_with(HOOKS_PATH) => {
            ChannelError::Reject { kind: RejectKind::Other, message }
        }
        StatusCode::FORBIDDEN => ChannelError::Reauth {
            message: format!(
                "{message}; the token lacks a scope: set Orders to modify and Products and \
                              Information & Settings to read-only in the API account, and enter the new token"
            ),
        },
        StatusCode::NOT_FOUND => ChannelError::Reject { kind: RejectKind::NotFound, message },
        // A conflict is over once the other change is through; nothing was done.
        StatusCode::CONFLICT => retry(None, message),
        StatusCode::REQUEST_TIMEOUT => failed(answer, outgoing.is_write(), message),
        _ if status.is_server_error() => failed(answer, outgoing.is_write(), message),
        _ if status.is_redirection() => redirected(outgoing.operation),
        _ => {
            let garbled = ChannelError::garbled(NAME, outgoing.operation, outgoing.is_write(), &answer.body);
            garbled.unwrap_or_else(|| {
                let kind = match outgoing.is_write() {
                    true if is_quantity_limit(&said) => RejectKind::QuantityLimit,
                    true if is_out_of_stock(&said) => RejectKind::OutOfStock,
                    _ => RejectKind::Other,
                };
                ChannelError::Reject { kind, message }
            })
        }
    }
}

/// Nor has it one for a product's minimum and maximum purchase quantity.
fn is_quantity_limit(said: &str) -> bool {
    let said = said.to_lowercase();
    (said.contains("minimum") || said.contains("maximum"))
        && (said.contains("quantity") || said.contains("purchase"))
}

/// BigCommerce has no code for a want of stock: only its words tell.
fn is_out_of_stock(said: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("stock") || said.contains("inventory")
}

/// Errors in one line: V2 sends a list of them, V3 one object, some gateways neither.
fn said(body: &[u8]) -> String {
    let of_v2 = serde_json::from_slice::<Vec<wire::ErrorV2>>(body)
        .map(|errors| errors.into_iter().filter_map(|error| error.message).collect::<Vec<_>>());
    let texts: Vec<String> = of_v2.unwrap_or_else(|_| {
        let error: wire::ErrorV3 = serde_json::from_slice(body).unwrap_or_default();
        let fields = error.errors.as_object().into_iter().flatten();
        let fields = fields.map(|(field, what)| format!("{field}: {}", what.as_str().unwrap_or_default()));
        [error.title, error.detail].into_iter().flatten().chain(fields).collect()
    });
    in_one_line(&texts, "; ")
}

fn window(headers: &HeaderMap) -> Option<WindowReading> {
    Some(WindowReading {
        left: number(headers, "x-rate-limit-requests-left")?,
        limit: number(headers, "x-rate-limit-requests-quota")?,
        resets_in: Duration::from_millis(number(headers, "x-rate-limit-time-reset-ms")?),
    })
}

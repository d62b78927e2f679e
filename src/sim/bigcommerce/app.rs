//! The store's single-click app: codes of an installation, the token that one is exchanged for, and the signed messages
//! of the control panel. The app is the API account's: the same client, the same secret.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::super::control::{ControlError, optional_flag, optional_text};
use super::super::draw::Draw;
use super::super::reply;
use super::{CLIENT_ID, CLIENT_SECRET, Call, STORE_HASH, Shop};

/// What the app is allowed to do.
const SCOPE: &str = "store_v2_default store_v2_orders store_v2_products_read_only store_v2_information_read_only \
     store_inventory";
/// The store's owner in the control panel.
const OWNER_ID: i64 = 1001;
const OWNER_EMAIL: &str = "owner@store.example";
/// How long a code lives.
const CODE_SECONDS: i64 = 300;
/// How long a signed message is good.
const MESSAGE_SECONDS: i64 = 86_400;

/// Whether a call is the exchange of a code.
pub fn is_exchange(request: &Request<Bytes>) -> bool {
    request.method() == Method::POST && request.uri().path() == "/oauth2/token"
}

impl Shop {
    /// The store's owner installs the app: what the browser brings to the auth callback.
    pub fn install_app(&mut self, now: Timestamp) -> Value {
        let code = Draw::new(self.seed, "bigcommerce.code", self.meta.codes_issued).code(31).to_lowercase();
        self.meta.codes_issued += 1;
        self.meta.codes.insert(code.clone(), now.as_second().saturating_add(CODE_SECONDS));
        self.changes.meta = true;
        json!({
            "code": code,
            "scope": SCOPE,
            "context": format!("stores/{STORE_HASH}"),
            "account_uuid": "5bd7ae1c-06ba-4d3c-9f8e-7f7f2e6a0c11",
        })
    }

    /// What the control panel signs when somebody opens or removes the app. `user_id`, `email` and `owner` say who.
    ///
    /// # Errors
    /// Where the message cannot be signed.
    pub fn signed_message(&mut self, body: &Value, now: Timestamp) -> Result<Value, ControlError> {
        let owner = json!({"id": OWNER_ID, "email": OWNER_EMAIL});
        let user = match optional_text(body, "user_id") {
            Some(id) if optional_flag(body, "owner") != Some(true) => {
                let id: i64 = id.parse().map_err(|_| ControlError::Field("user_id"))?;
                let email = optional_text(body, "email").unwrap_or_else(|| format!("user{id}@store.example"));
                json!({"id": id, "email": email, "locale": "en-US"})
            }
            _ => json!({"id": OWNER_ID, "email": OWNER_EMAIL, "locale": "en-US"}),
        };
        let seconds = now.as_second();
        let number = self.meta.messages_signed;
        self.meta.messages_signed += 1;
        self.changes.meta = true;
        let claims = json!({
            "aud": CLIENT_ID,
            "iss": "bc",
            "iat": seconds,
            "nbf": seconds.saturating_sub(5),
            "exp": seconds.saturating_add(MESSAGE_SECONDS),
            "jti": Draw::new(self.seed, "bigcommerce.jti", number).code(32),
            "sub": format!("stores/{STORE_HASH}"),
            "user": user,
            "owner": owner,
            "url": "/",
            "channel_id": null,
        });
        let key = EncodingKey::from_secret(CLIENT_SECRET.as_bytes());
        let signed = encode(&Header::new(Algorithm::HS256), &claims, &key);
        let signed = signed.map_err(|error| ControlError::Platform(error.to_string()))?;
        Ok(json!({"signed_payload_jwt": signed}))
    }

    /// The owner uninstalls the app: its token dies.
    ///
    /// # Errors
    /// Where the message cannot be signed.
    pub fn uninstall_app(&mut self, now: Timestamp) -> Result<Value, ControlError> {
        self.revoke();
        self.signed_message(&json!({}), now)
    }

    /// The exchange of a code for the token. A code is good once.
    pub(super) fn exchange_code(&mut self, call: &Call<'_>) -> Response<Bytes> {
        let body: Value = serde_json::from_slice(call.request.body()).unwrap_or(Value::Null);
        let field = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("");
        let dies = self.meta.codes.remove(field("code"));
        self.changes.meta = true;
        let context = format!("stores/{STORE_HASH}");
        let is_right = dies.is_some_and(|dies| dies > call.now.as_second())
            && field("client_id") == CLIENT_ID
            && field("client_secret") == CLIENT_SECRET
            && field("grant_type") == "authorization_code"
            && field("context") == context
            && field("scope") == SCOPE
            && field("redirect_uri").starts_with("https://");
        if !is_right {
            let body = json!({"error": "Invalid client id, client secret or code."});
            return reply::json(StatusCode::BAD_REQUEST, &body);
        }
        let owner = json!({"id": OWNER_ID, "username": OWNER_EMAIL, "email": OWNER_EMAIL});
        let body = json!({
            "access_token": self.access_token(),
            "scope": SCOPE,
            "user": owner,
            "owner": owner,
            "context": context,
            "account_uuid": "5bd7ae1c-06ba-4d3c-9f8e-7f7f2e6a0c11",
        });
        reply::json(StatusCode::OK, &body)
    }
}

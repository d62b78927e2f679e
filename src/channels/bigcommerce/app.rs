//! The merchant's own app in BigCommerce's control panel: the code of an installation becomes the store's token, and
//! what BigCommerce signs is verified. It must never say why a message was refused: that would help a forger.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::{Deserialize, Serialize};

use super::super::error::{ChannelError, RejectKind};
use super::super::loose;
use super::super::request::{self, Parts};
use super::super::shop_app::{AppClient, AppGrant, AppMessage, AppStore, Exchange, ShopApp, ShopPerson};
use super::config::store_hash;
use crate::http::{Call, SharedTransport};

/// BigCommerce's apps.
pub const APP: ShopApp = ShopApp { channel: "bigcommerce", exchange, read_message };

/// Where codes are exchanged.
const LOGIN_HOST: &str = "https://login.bigcommerce.com";
/// A person waits.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Who signs.
const ISSUER: &str = "bc";
/// How far BigCommerce's clock and ours may differ.
const LEEWAY_SECONDS: i64 = 60;
const OPERATION: &str = "oauth2/token";

#[derive(Serialize)]
struct TokenRequest<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    code: &'a str,
    scope: &'a str,
    grant_type: &'static str,
    redirect_uri: &'a str,
    context: &'a str,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    user: Person,
    #[serde(default)]
    owner: Option<Person>,
    context: String,
}

#[derive(Deserialize)]
struct Person {
    #[serde(default, deserialize_with = "loose::text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "loose::text")]
    email: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iat: i64,
    nbf: i64,
    exp: i64,
    #[serde(default, deserialize_with = "loose::text")]
    jti: Option<String>,
    sub: String,
    user: Person,
    #[serde(default)]
    owner: Option<Person>,
}

fn exchange(client: AppClient, transport: SharedTransport, grant: AppGrant) -> Exchange {
    Box::pin(async move { exchanged(&client, &transport, &grant).await })
}

async fn exchanged(
    client: &AppClient,
    transport: &SharedTransport,
    grant: &AppGrant,
) -> Result<AppStore, ChannelError> {
    let wanted = context_store(&grant.context).ok_or_else(|| ChannelError::Reject {
        kind: RejectKind::Other,
        message: "BigCommerce named no store".to_owned(),
    })?;
    let body = TokenRequest {
        client_id: &client.client_id,
        client_secret: client.client_secret.expose(),
        code: grant.code.expose(),
        scope: &grant.scope,
        grant_type: "authorization_code",
        redirect_uri: &grant.redirect_uri,
        context: &grant.context,
    };
    let body =
        serde_json::to_vec(&body).map_err(|error| ChannelError::Fatal { message: error.to_string() })?;
    let request = Parts {
        method: Method::POST,
        base: &request::base(client.base_url.as_ref(), LOGIN_HOST),
        path: "/oauth2/token",
        query: &[],
        headers: Vec::new(),
        body: Some(("application/json", body)),
    }
    .build()?;
    let call = Call { timeout: TIMEOUT, ..Call::new(OPERATION, request) };
    let answer = transport.send(call).await.map_err(|error| ChannelError::Retry {
        after: None,
        in_doubt: false,
        throttled: false,
        message: format!("BigCommerce could not be reached: {error}"),
    })?;
    if !answer.status.is_success() {
        return Err(ChannelError::Reject {
            kind: RejectKind::Other,
            message: format!("BigCommerce did not take the code of this installation ({})", answer.status),
        });
    }
    let answer: TokenAnswer = serde_json::from_slice(&answer.body)
        .map_err(|error| ChannelError::unreadable("BigCommerce", OPERATION, false, &error))?;
    let store = context_store(&answer.context).filter(|store| *store == wanted);
    let (Some(store), Some(person)) = (store, person(answer.user, answer.owner.as_ref())) else {
        return Err(ChannelError::Corrupt {
            in_doubt: false,
            message: "BigCommerce's answer is for another store, or names nobody".to_owned(),
        });
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let credentials = [
        pair("client_id", &client.client_id),
        pair("client_secret", client.client_secret.expose()),
        pair("store_hash", &store),
        pair("access_token", &answer.access_token),
    ];
    Ok(AppStore { credentials: credentials.into(), store, person })
}

fn read_message(client: &AppClient, signed: &str, now: Timestamp) -> Option<AppMessage> {
    let mut wanted = Validation::new(Algorithm::HS256);
    wanted.set_audience(&[&client.client_id]);
    wanted.set_issuer(&[ISSUER]);
    wanted.set_required_spec_claims(&["aud", "iss", "exp", "nbf", "sub"]);
    // The library asks the system for the time; here time comes from one door, so the times are compared below.
    wanted.validate_exp = false;
    wanted.validate_nbf = false;
    let key = DecodingKey::from_secret(client.client_secret.expose().as_bytes());
    let claims = decode::<Claims>(signed, &key, &wanted).ok()?.claims;
    let seconds = now.as_second();
    let is_current = claims.exp.saturating_add(LEEWAY_SECONDS) > seconds
        && claims.nbf <= seconds.saturating_add(LEEWAY_SECONDS)
        && claims.iat <= seconds.saturating_add(LEEWAY_SECONDS);
    if !is_current {
        return None;
    }
    Some(AppMessage {
        store: context_store(&claims.sub)?,
        person: person(claims.user, claims.owner.as_ref())?,
        issued_at: Timestamp::from_second(claims.iat).ok()?,
        id: claims.jti.filter(|id| !id.is_empty()),
    })
}

/// The store of `stores/{hash}`.
fn context_store(context: &str) -> Option<String> {
    store_hash(context.strip_prefix("stores/")?).filter(|hash| !hash.is_empty())
}

fn person(user: Person, owner: Option<&Person>) -> Option<ShopPerson> {
    let id = user.id?;
    let is_store_owner = owner.is_some_and(|owner| owner.id.as_ref() == Some(&id));
    Some(ShopPerson { id, email: user.email, is_store_owner })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;
    use crate::secret::Secret;

    fn client() -> AppClient {
        AppClient { client_id: "app1".to_owned(), client_secret: Secret::new("s3cret"), base_url: None }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_646_943_200).unwrap()
    }

    /// The payload of BigCommerce's documentation, with our app's id and another store.
    fn claims() -> Value {
        json!({
            "aud": "app1",
            "iss": "bc",
            "iat": 1_646_943_190,
            "nbf": 1_646_943_185,
            "exp": 1_647_029_590,
            "jti": "f5f5f5",
            "sub": "stores/z4zn3wo",
            "user": {"id": 9_876_543, "email": "user@example.com", "locale": "en-US"},
            "owner": {"id": 9_876_543, "email": "user@example.com"},
            "url": "/",
            "channel_id": null
        })
    }

    fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    #[test]
    fn what_bigcommerce_signed_says_who_opens_the_app_in_which_store() {
        let message = read_message(&client(), &signed(Algorithm::HS256, "s3cret", &claims()), now()).unwrap();
        assert_eq!(message.store, "z4zn3wo");
        assert_eq!((message.person.id.as_str(), message.person.is_store_owner), ("9876543", true));
        assert_eq!(message.issued_at.as_second(), 1_646_943_190);
        assert_eq!(message.id.as_deref(), Some("f5f5f5"));
    }

    #[test]
    fn whatever_is_not_bigcommerces_own_is_refused() {
        let changed = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            signed(Algorithm::HS256, "s3cret", &claims)
        };
        let good = signed(Algorithm::HS256, "s3cret", &claims());
        let parts: Vec<&str> = good.split('.').collect();
        // {"alg":"none","typ":"JWT"}
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let seconds = now().as_second();
        let cases = [
            ("another secret", signed(Algorithm::HS256, "other", &claims())),
            ("another algorithm", signed(Algorithm::HS512, "s3cret", &claims())),
            ("no algorithm", format!("{none}.{}.", parts[1])),
            ("no algorithm, old signature", format!("{none}.{}.{}", parts[1], parts[2])),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("another audience", changed("aud", json!("app2"))),
            ("no audience", changed("aud", Value::Null)),
            ("another issuer", changed("iss", json!("cb"))),
            ("no issuer", changed("iss", Value::Null)),
            ("expired", changed("exp", json!(seconds - 61))),
            ("no end", changed("exp", Value::Null)),
            ("not yet", changed("nbf", json!(seconds + 61))),
            ("no beginning", changed("nbf", Value::Null)),
            ("issued later", changed("iat", json!(seconds + 61))),
            ("not issued", changed("iat", Value::Null)),
            ("no store", changed("sub", json!("z4zn3wo"))),
            ("a path for a store", changed("sub", json!("stores/../x"))),
            ("nobody", changed("user", json!({}))),
            ("nothing", String::new()),
            ("words", "a.b.c".to_owned()),
        ];
        for (what, forged) in cases {
            assert_eq!(read_message(&client(), &forged, now()), None, "{what}");
        }
    }

    /// RFC 7515, appendix A.1.
    #[test]
    fn the_standards_own_example_verifies_and_one_changed_letter_does_not() {
        #[derive(Deserialize)]
        struct Example {
            iss: String,
            exp: i64,
        }
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                     eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                     dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, key).unwrap();
        let mut wanted = Validation::new(Algorithm::HS256);
        wanted.validate_exp = false;
        let key = DecodingKey::from_secret(&bytes);
        let read = decode::<Example>(token, &key, &wanted).unwrap().claims;
        assert_eq!((read.iss.as_str(), read.exp), ("joe", 1_300_819_380));
        assert!(decode::<Example>(token.replace("dBjft", "dBjfu"), &key, &wanted).is_err());
    }
}

//! How a merchant says yes on Etsy's page (OAuth 2 with PKCE), and what the code is exchanged for: the refresh token and
//! the shop's number. Nothing here is remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use http::header::AUTHORIZATION;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};
use url::Url;

use super::super::ConnectorSetup;
use super::super::consent::{ConsentAnswer, ConsentRequest, ConsentStart, Exchanged};
use super::super::error::ChannelError;
use super::super::pace::Priority;
use super::super::registry::CredentialTexts;
use super::super::request::{self, Parts};
use super::client::{Effect, Limits, Outgoing, Wire, api_key, bearer, refusal};
use super::config::{App, CONSENT_HOST};
use super::grant::{self, Granted};
use super::wire;
use crate::http::Call;
use crate::secret::Secret;

/// What the merchant is asked for: orders and their parcels, listings, and the shop's name.
const SCOPES: [&str; 5] = ["transactions_r", "transactions_w", "listings_r", "shops_r", "email_r"];

/// A person waits.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Etsy's page for the app that was entered.
///
/// # Errors
/// `Fatal` where the keystring is missing or an address is none.
pub fn start(
    credentials: &CredentialTexts,
    base_url: Option<&Url>,
    wanted: &ConsentRequest,
) -> Result<ConsentStart, ChannelError> {
    let app = App::read(&secrets(credentials), base_url)?;
    let page = format!("{}/oauth/connect", request::base(base_url, CONSENT_HOST));
    let broken = |error: url::ParseError| ChannelError::Fatal {
        message: format!("the address of Etsy's page cannot be built: {error}"),
    };
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let client = BasicClient::new(ClientId::new(app.keystring))
        .set_auth_uri(AuthUrl::new(page).map_err(broken)?)
        .set_redirect_uri(RedirectUrl::new(wanted.redirect_uri.clone()).map_err(broken)?);
    let state = wanted.state.clone();
    let (url, _) = client
        .authorize_url(|| CsrfToken::new(state))
        .add_scopes(SCOPES.map(|scope| Scope::new(scope.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    Ok(ConsentStart { url, verifier: Some(Secret::new(verifier.into_secret())) })
}

/// Exchanges the code for the refresh token and the shop's number.
pub fn exchange(setup: ConnectorSetup, answer: ConsentAnswer) -> Exchanged {
    Box::pin(async move { exchanged(&setup, &answer).await })
}

async fn exchanged(setup: &ConnectorSetup, answer: &ConsentAnswer) -> Result<CredentialTexts, ChannelError> {
    let wire = Wire {
        app: App::read(&setup.credentials, setup.base_url.as_ref())?,
        connection: setup.connection,
        transport: setup.transport.clone(),
    };
    let verifier = answer.verifier.as_ref().ok_or_else(|| ChannelError::Fatal {
        message: "the answer of Etsy's page came without what this appliance began it with; connect again"
            .to_owned(),
    })?;
    let fields = [
        ("grant_type", "authorization_code".to_owned()),
        ("client_id", wire.app.keystring.clone()),
        ("redirect_uri", answer.redirect_uri.clone()),
        ("code", answer.code.expose().to_owned()),
        ("code_verifier", verifier.expose().to_owned()),
    ];
    let granted = grant::fetch(&wire, &setup.clock, &fields, TIMEOUT).await?;
    let shop_id = shop_of(&wire, &granted).await?;
    let refresh = granted.refresh.ok_or_else(|| ChannelError::Corrupt {
        in_doubt: false,
        message: "Etsy gave no refresh token; connect again".to_owned(),
    })?;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Ok([pair("refresh_token", refresh.expose()), pair("shop_id", &shop_id)].into())
}

/// The shop of whoever said yes.
async fn shop_of(wire: &Wire, granted: &Granted) -> Result<String, ChannelError> {
    let outgoing = Outgoing {
        operation: "getMe",
        method: Method::GET,
        path: "/v3/application/users/me".to_owned(),
        query: Vec::new(),
        form: None,
        priority: Priority::Interactive,
        effect: Effect::Read,
        limits: Limits::default(),
    };
    let request = Parts {
        method: outgoing.method.clone(),
        base: &wire.app.api_base,
        path: &outgoing.path,
        query: &[],
        headers: vec![api_key(&wire.app)?, (AUTHORIZATION, bearer(&granted.access)?)],
        body: None,
    }
    .build()?;
    let call = Call {
        timeout: TIMEOUT,
        connection: Some(wire.connection.0),
        ..Call::new(outgoing.operation, request)
    };
    let answer = wire.transport.send(call).await.map_err(|error| ChannelError::Retry {
        after: None,
        in_doubt: false,
        throttled: false,
        message: format!("getMe: {error}"),
    })?;
    if !answer.status.is_success() {
        return Err(refusal(&outgoing, &answer));
    }
    let myself: wire::Myself = super::parse("getMe", &answer.body)?;
    myself.shop_id.filter(|id| id != "0").ok_or_else(|| ChannelError::Reject {
        kind: super::RejectKind::Other,
        message: "this Etsy account has no shop: sign in as the shop's owner".to_owned(),
    })
}

fn secrets(credentials: &CredentialTexts) -> BTreeMap<String, Secret> {
    credentials.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect()
}

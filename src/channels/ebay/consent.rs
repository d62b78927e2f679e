//! How a seller says yes on eBay's page. The redirect address is a name (RuName) that stands for an address in eBay's
//! own console; eBay has no verifier (PKCE).

use url::Url;

use super::super::ConnectorSetup;
use super::super::consent::{Consent, ConsentAnswer, ConsentRequest, ConsentStart, Exchanged};
use super::super::error::ChannelError;
use super::super::registry::CredentialTexts;
use super::client;
use super::config::{Application, SCOPES};
use crate::secret::Secret;

/// eBay's consent.
pub const CONSENT: Consent = Consent { start, exchange };

fn start(
    credentials: &CredentialTexts,
    base_url: Option<&Url>,
    request: &ConsentRequest,
) -> Result<ConsentStart, ChannelError> {
    let secrets = credentials.iter().map(|(name, text)| (name.clone(), Secret::new(text.as_str()))).collect();
    let application = Application::read(&secrets, base_url)?;
    let address = format!("{}/oauth2/authorize", application.auth_base);
    let mut url = Url::parse(&address)
        .map_err(|error| ChannelError::Fatal { message: format!("{address} is no address: {error}") })?;
    url.query_pairs_mut()
        .append_pair("client_id", &application.client_id)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", ru_name(&application)?)
        .append_pair("scope", &SCOPES.join(" "))
        .append_pair("state", &request.state);
    Ok(ConsentStart { url, verifier: None })
}

fn exchange(setup: ConnectorSetup, answer: ConsentAnswer) -> Exchanged {
    Box::pin(async move {
        let application = Application::read(&setup.credentials, setup.base_url.as_ref())?;
        let form = [
            ("grant_type", "authorization_code".to_owned()),
            ("code", answer.code.expose().to_owned()),
            ("redirect_uri", ru_name(&application)?.to_owned()),
        ];
        let refresh_token = client::exchange_code(&setup, &application, &form).await?;
        Ok(CredentialTexts::from([("refresh_token".to_owned(), refresh_token.expose().to_owned())]))
    })
}

fn ru_name(application: &Application) -> Result<&str, ChannelError> {
    application.ru_name.as_deref().ok_or_else(|| ChannelError::Fatal {
        message: "the credential ru_name is missing; eBay takes it in place of an address".to_owned(),
    })
}

//! Etsy's settings and credentials. It reads what a person entered; it makes no call.

use std::collections::BTreeMap;

use url::Url;

use super::super::error::ChannelError;
use super::super::registry::{CredentialField, CredentialTexts};
use super::super::request;
use crate::secret::Secret;

/// What a seller enters.
pub const CREDENTIALS: &[CredentialField] = &[
    CredentialField {
        name: "keystring",
        label: "Keystring",
        is_required: true,
        is_secret: false,
        hint: "etsy.com/developers/your-apps → your app → See API Key Details",
    },
    CredentialField {
        name: "shared_secret",
        label: "Shared secret",
        is_required: true,
        is_secret: true,
        hint: "shown beside the keystring; Etsy refuses every call without it since February 2026",
    },
    CredentialField {
        name: "refresh_token",
        label: "Refresh token",
        is_required: true,
        is_secret: true,
        hint: "comes by itself where you connect on Etsy's page; begins with your user number and a point. Etsy gives a \
               new one with every renewal, so that one that another program renews is of no use here",
    },
    CredentialField {
        name: "shop_id",
        label: "Shop ID",
        is_required: true,
        is_secret: false,
        hint: "the shop's number; found by itself where you connect on Etsy's page",
    },
    CredentialField {
        name: "webhook_secret",
        label: "Webhook signing secret",
        is_required: false,
        is_secret: true,
        hint: "Manage your apps → Go to Webhook portal → your endpoint → Signing secret; commercial apps only. Without \
               it orders come by schedule alone",
    },
];

/// The steps in Etsy's own console.
pub const STEPS: &[&str] = &[
    "Sign in to Etsy as the shop's owner, turn on two-factor authentication, and open etsy.com/developers.",
    "Choose Create a New App, describe it as an integration of your own shop, and wait until Etsy has approved the key.",
    "Open Manage your apps → your app → Edit your callback URLs, and enter this appliance's https address as the form \
     shows it, letter by letter.",
    "Copy the keystring and the shared secret.",
    "Choose Connect: Etsy asks you to let the app read and complete your orders, read your listings and your shop.",
    "In some countries Etsy withholds buyers' addresses from such apps and takes no tracking from them. Orders then wait \
     here for an address; ask Etsy's developer support for access to them.",
];

/// Where calls go.
const API_HOST: &str = "https://openapi.etsy.com";

/// Where a merchant says yes.
pub const CONSENT_HOST: &str = "https://www.etsy.com";

/// Under this name the vault keeps the access token beside the refresh token, so that a restart renews nothing.
pub const SESSION: &str = "session";

/// The app: all that calls need before anybody has said yes.
#[derive(Debug, Clone)]
pub struct App {
    /// Its public half.
    pub keystring: String,
    /// `keystring:shared_secret`, as the `x-api-key` header has it.
    pub api_key: Secret,
    /// Scheme and host of every call.
    pub api_base: String,
}

impl App {
    /// Reads what was entered.
    ///
    /// # Errors
    /// `Fatal` with the name of the field that is missing.
    pub fn read(
        credentials: &BTreeMap<String, Secret>,
        base_url: Option<&Url>,
    ) -> Result<Self, ChannelError> {
        let keystring = entered(credentials, "keystring")?.to_owned();
        let shared_secret = entered(credentials, "shared_secret")?;
        let api_key = Secret::new(format!("{keystring}:{shared_secret}"));
        Ok(Self { keystring, api_key, api_base: request::base(base_url, API_HOST) })
    }
}

/// Everything that calls need.
#[derive(Debug)]
pub struct Config {
    /// The app.
    pub app: App,
    /// The shop.
    pub shop_id: String,
    /// The grant as it was when this was read. Etsy gives another with every renewal.
    pub refresh_token: Secret,
    /// The access token that was kept last, as [`SESSION`] has it.
    pub session: Option<Secret>,
    /// What messages are signed with, where the merchant has an endpoint.
    pub webhook_secret: Option<Secret>,
}

impl Config {
    /// Reads what was entered.
    ///
    /// # Errors
    /// `Fatal` with the name of the field that is missing or wrong.
    pub fn read(
        credentials: &BTreeMap<String, Secret>,
        base_url: Option<&Url>,
    ) -> Result<Self, ChannelError> {
        let optional =
            |name: &str| credentials.get(name).filter(|secret| !secret.expose().trim().is_empty()).cloned();
        Ok(Self {
            app: App::read(credentials, base_url)?,
            shop_id: entered(credentials, "shop_id")?.to_owned(),
            refresh_token: Secret::new(entered(credentials, "refresh_token")?),
            session: optional(SESSION),
            webhook_secret: optional("webhook_secret"),
        })
    }
}

/// The account that the credentials stand for.
#[must_use]
pub fn account(credentials: &CredentialTexts) -> Option<String> {
    credentials.get("shop_id").map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn entered<'a>(credentials: &'a BTreeMap<String, Secret>, name: &str) -> Result<&'a str, ChannelError> {
    let text = credentials.get(name).map(|secret| secret.expose().trim()).unwrap_or_default();
    if text.is_empty() {
        return Err(ChannelError::Fatal { message: format!("the credential {name} is missing; enter it") });
    }
    Ok(text)
}

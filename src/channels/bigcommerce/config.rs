//! BigCommerce's settings and credentials. It reads what a person entered; it makes no call.

use std::collections::BTreeMap;

use super::super::error::ChannelError;
use super::super::registry::CredentialField;
use super::super::request;
use crate::secret::Secret;

/// What a merchant enters.
pub const CREDENTIALS: &[CredentialField] = &[
    CredentialField {
        name: "client_id",
        label: "Client ID",
        is_required: false,
        is_secret: false,
        hint: "in the .txt file that BigCommerce hands out, after CLIENT ID",
    },
    CredentialField {
        name: "store_hash",
        label: "Store hash or API path",
        is_required: true,
        is_secret: false,
        hint: "in the .txt file after API PATH, such as https://api.bigcommerce.com/stores/abc123/v3/",
    },
    CredentialField {
        name: "access_token",
        label: "Access token",
        is_required: true,
        is_secret: true,
        hint: "in the .txt file after ACCESS TOKEN; BigCommerce shows it only once",
    },
    CredentialField {
        name: "client_secret",
        label: "Client secret",
        is_required: false,
        is_secret: true,
        hint: "in the .txt file after CLIENT SECRET; webhooks are signed with it",
    },
];

/// The steps in the store's own console.
pub const STEPS: &[&str] = &[
    "Sign in to the store's control panel as its owner and open Settings → API → Store-level API accounts.",
    "Choose Create API account, token type V2/V3 API token, and give it a name.",
    "Set Orders to modify, Products to read-only and Information & Settings to read-only. Set Store Inventory to \
     modify only where orders may raise the stock.",
    "Save; the browser downloads a .txt file with the credentials. Paste its text, or its parts.",
];

/// BigCommerce's host for every store.
const HOST: &str = "https://api.bigcommerce.com";

/// Everything that calls need.
#[derive(Debug)]
pub struct Config {
    /// The store.
    pub store_hash: String,
    /// The token, which does not expire.
    pub access_token: Secret,
    /// What webhooks are signed with, where it was entered.
    pub client_secret: Option<Secret>,
    /// Scheme and host.
    pub base: String,
    /// True where BigCommerce itself is called, and no server that stands in for it.
    pub is_real: bool,
}

impl Config {
    /// Reads what was entered.
    ///
    /// # Errors
    /// `Fatal` with the name of the field that is missing or wrong.
    pub fn read(
        credentials: &BTreeMap<String, Secret>,
        base_url: Option<&url::Url>,
    ) -> Result<Self, ChannelError> {
        let entered = |name: &str| credentials.get(name).map(|secret| secret.expose().trim());
        let store_hash = entered("store_hash").and_then(store_hash).ok_or_else(|| ChannelError::Fatal {
            message: "the store hash is missing or wrong; enter it or the store's API path".to_owned(),
        })?;
        let access_token = entered("access_token").filter(|token| !token.is_empty()).ok_or_else(|| {
            ChannelError::Fatal { message: "the credential access_token is missing; enter it".to_owned() }
        })?;
        let client_secret = entered("client_secret").filter(|secret| !secret.is_empty()).map(Secret::new);
        Ok(Self {
            store_hash,
            access_token: Secret::new(access_token),
            client_secret,
            base: request::base(base_url, HOST),
            is_real: base_url.is_none(),
        })
    }
}

/// The account that the credentials stand for.
#[must_use]
pub fn account(credentials: &BTreeMap<String, String>) -> Option<String> {
    credentials.get("store_hash").and_then(|text| store_hash(text))
}

/// The store hash in what a person entered: itself, an API path, or the control panel's address.
#[must_use]
pub fn store_hash(text: &str) -> Option<String> {
    let text = text.trim();
    let hash = if let Some((_, after)) = text.split_once("/stores/") {
        after.split('/').next()?
    } else if let Some((_, after)) = text.split_once("store-") {
        after.split(['.', '/']).next()?
    } else {
        text
    };
    let is_hash = !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_hash.then(|| hash.to_lowercase())
}

/// The credentials in the text that BigCommerce hands out: a label, a colon, a value, on the same line or the
/// next. Lines with other labels are passed over; what is missing is missing in the answer.
#[must_use]
pub fn parse_credentials_file(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open: Option<&'static str> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let labelled = line.split_once(':').and_then(|(label, value)| Some((field(label)?, value.trim())));
        match (labelled, open.take()) {
            (Some((name, "")), _) => open = Some(name),
            (Some((name, value)), _) => keep(&mut found, name, value),
            (None, Some(name)) => keep(&mut found, name, line),
            (None, None) => {}
        }
    }
    found
}

fn field(label: &str) -> Option<&'static str> {
    match label.trim().to_uppercase().replace(['_', '-'], " ").as_str() {
        "CLIENT ID" => Some("client_id"),
        "CLIENT SECRET" => Some("client_secret"),
        "ACCESS TOKEN" => Some("access_token"),
        "API PATH" | "STORE HASH" => Some("store_hash"),
        _ => None,
    }
}

fn keep(found: &mut BTreeMap<String, String>, name: &'static str, value: &str) {
    let value = if name == "store_hash" { store_hash(value) } else { Some(value.to_owned()) };
    if let Some(value) = value {
        found.insert(name.to_owned(), value);
    }
}

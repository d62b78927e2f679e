//! eBay's settings and credentials. It reads what a person entered; it makes no call.

use std::collections::BTreeMap;

use super::super::error::ChannelError;
use super::super::registry::{CredentialField, CredentialTexts};
use super::super::request;
use super::sign::SigningKey;
use crate::secret::Secret;

/// What a seller enters.
pub const CREDENTIALS: &[CredentialField] = &[
    CredentialField {
        name: "client_id",
        label: "App ID (Client ID)",
        is_required: true,
        is_secret: false,
        hint: "developer.ebay.com → Your account → Application Keys, column Production",
    },
    CredentialField {
        name: "client_secret",
        label: "Cert ID (Client Secret)",
        is_required: true,
        is_secret: true,
        hint: "beside the App ID; begins with PRD-",
    },
    CredentialField {
        name: "refresh_token",
        label: "Refresh token",
        is_required: false,
        is_secret: true,
        hint: "comes back when you connect on eBay's page; begins with v^1.1#. Without it the connection waits, and has \
               its webhook address already",
    },
    CredentialField {
        name: "ru_name",
        label: "RuName",
        is_required: false,
        is_secret: false,
        hint: "Application Keys → User Tokens → Get a Token from eBay via Your Application; needed to connect on \
               eBay's page",
    },
    CredentialField {
        name: "seller",
        label: "Seller",
        is_required: false,
        is_secret: false,
        hint: "eBay's immutable user ID of the account; found by itself where the token has the scope \
               commerce.identity.readonly, as it has when you connect on eBay's page. Without it, enter something of \
               your own for each account under the same App ID",
    },
    CredentialField {
        name: "marketplace_id",
        label: "Marketplace",
        is_required: false,
        is_secret: false,
        hint: "where you list, such as EBAY_US, EBAY_GB or EBAY_DE; EBAY_US where left empty",
    },
    CredentialField {
        name: "environment",
        label: "Environment",
        is_required: false,
        is_secret: false,
        hint: "production or sandbox; production where left empty",
    },
    CredentialField {
        name: "signing_key",
        label: "Signing key (private)",
        is_required: false,
        is_secret: true,
        hint: "sellers in the EU and the UK only: privateKey of createSigningKey with ED25519 (Key Management API); \
               without it eBay refuses refunds and cancellations",
    },
    CredentialField {
        name: "signing_jwe",
        label: "Signing key (JWE)",
        is_required: false,
        is_secret: true,
        hint: "jwe of the same answer",
    },
    CredentialField {
        name: "verification_token",
        label: "Verification token",
        is_required: false,
        is_secret: true,
        hint: "for notifications: 32 to 80 letters, digits, _ and -; the same as in eBay's Alerts & Notifications. \
               Made by itself where left empty; the connection's page shows it",
    },
    CredentialField {
        name: "alert_email",
        label: "E-mail for eBay's alerts",
        is_required: false,
        is_secret: false,
        hint: "eBay writes there when notifications cannot be delivered, and sends none before it has an address; \
               needed only where Alerts & Notifications has none yet",
    },
];

/// The steps in eBay's own console.
pub const STEPS: &[&str] = &[
    "Join the eBay Developers Program at developer.ebay.com with any eBay account and create an application; its \
     production keys are locked at first.",
    "Copy App ID and Cert ID from Application Keys, enter them here without a refresh token and choose Connect. \
     Nothing is called yet; the connection's page now shows its webhook address and its verification token.",
    "Unlock the keys: open Alerts & Notifications of the production keys and enter, for Marketplace Account Deletion, \
     an e-mail address, then this webhook address and this verification token. eBay asks the address at once, so that \
     it must be reachable by https (public_url). Its other way, “Not persisting eBay data”, is for those who store \
     none: this appliance stores orders and their buyers.",
    "Under User Tokens choose Get a Token from eBay via Your Application, add a redirect URL with this appliance's \
     address as the accepted URL, and copy the RuName.",
    "On the connection's page, under Re-authorise, enter the RuName and authorise on the platform's page: eBay asks \
     the seller to agree, and the refresh token comes back by itself. It lives for about 18 months. With keys that are \
     unlocked already, connect on eBay's page at once.",
    "Sellers in the EU or the UK who refund or cancel from here: create a signing key with the Key Management API \
     (cipher ED25519) and enter its private key and its JWE.",
];

/// What we ask the seller for.
pub const SCOPES: &[&str] = &[
    "https://api.ebay.com/oauth/api_scope/sell.fulfillment",
    "https://api.ebay.com/oauth/api_scope/sell.inventory",
    "https://api.ebay.com/oauth/api_scope/sell.finances",
    "https://api.ebay.com/oauth/api_scope/commerce.notification.subscription",
    "https://api.ebay.com/oauth/api_scope/commerce.identity.readonly",
];

/// What the application asks for in its own name.
pub const APPLICATION_SCOPE: &str = "https://api.ebay.com/oauth/api_scope";

/// The marketplace where none is entered.
const MARKETPLACE_DEFAULT: &str = "EBAY_US";

/// eBay's hosts.
struct Hosts {
    api: &'static str,
    apiz: &'static str,
    auth: &'static str,
}

const PRODUCTION: Hosts =
    Hosts { api: "https://api.ebay.com", apiz: "https://apiz.ebay.com", auth: "https://auth.ebay.com" };

const SANDBOX: Hosts = Hosts {
    api: "https://api.sandbox.ebay.com",
    apiz: "https://apiz.sandbox.ebay.com",
    auth: "https://auth.sandbox.ebay.com",
};

/// The application, which may still lack a seller's consent.
#[derive(Debug)]
pub struct Application {
    /// App ID.
    pub client_id: String,
    /// Cert ID.
    pub client_secret: Secret,
    /// What stands for the redirect address.
    pub ru_name: Option<String>,
    /// Scheme and host of most calls, and of tokens.
    pub api_base: String,
    /// Scheme and host of the identity API.
    pub apiz_base: String,
    /// Scheme and host of the consent page.
    pub auth_base: String,
}

impl Application {
    /// Reads what was entered.
    ///
    /// # Errors
    /// `Fatal` with the name of the field that is missing or wrong.
    pub fn read(
        credentials: &BTreeMap<String, Secret>,
        base_url: Option<&url::Url>,
    ) -> Result<Self, ChannelError> {
        let hosts = match optional(credentials, "environment").map(str::to_lowercase).as_deref() {
            None | Some("production") => PRODUCTION,
            Some("sandbox") => SANDBOX,
            Some(word) => {
                let message = format!("“{word}” is no environment of eBay; use production or sandbox");
                return Err(ChannelError::Fatal { message });
            }
        };
        Ok(Self {
            client_id: entered(credentials, "client_id")?.to_owned(),
            client_secret: Secret::new(entered(credentials, "client_secret")?),
            ru_name: optional(credentials, "ru_name").map(str::to_owned),
            api_base: request::base(base_url, hosts.api),
            apiz_base: request::base(base_url, hosts.apiz),
            auth_base: request::base(base_url, hosts.auth),
        })
    }
}

/// Everything that calls need.
#[derive(Debug)]
pub struct Config {
    /// The application.
    pub application: Application,
    /// The seller's grant as entered; none before the seller has agreed.
    pub refresh_token: Option<Secret>,
    /// The seller's marketplace.
    pub marketplace_id: String,
    /// What signs refunds and cancellations.
    pub signing_key: Option<SigningKey>,
    /// Proves to eBay that the webhook's address is ours.
    pub verification_token: Option<Secret>,
    /// Where eBay writes to when notifications cannot be delivered.
    pub alert_email: Option<String>,
    /// The account, for reports.
    pub account: Option<String>,
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
        let signing_key = match (optional(credentials, "signing_key"), optional(credentials, "signing_jwe")) {
            (Some(key), Some(jwe)) => Some(SigningKey::read(key, jwe)?),
            (None, None) => None,
            _ => {
                let message = "signing_key and signing_jwe belong together: enter both or none".to_owned();
                return Err(ChannelError::Fatal { message });
            }
        };
        let seller = optional(credentials, "seller");
        Ok(Self {
            application: Application::read(credentials, base_url)?,
            refresh_token: optional(credentials, "refresh_token").map(Secret::new),
            marketplace_id: optional(credentials, "marketplace_id").unwrap_or(MARKETPLACE_DEFAULT).to_owned(),
            signing_key,
            verification_token: optional(credentials, "verification_token").map(Secret::new),
            alert_email: optional(credentials, "alert_email").map(str::to_owned),
            account: account_of(optional(credentials, "client_id"), seller),
        })
    }
}

/// The account that the credentials stand for: the seller whom eBay named or a person entered, else the application.
#[must_use]
pub fn account(credentials: &CredentialTexts) -> Option<String> {
    account_of(text(credentials, "client_id"), text(credentials, "seller"))
}

/// What was entered under a name.
pub fn text<'a>(credentials: &'a CredentialTexts, name: &str) -> Option<&'a str> {
    credentials.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn account_of(client_id: Option<&str>, seller: Option<&str>) -> Option<String> {
    seller.or(client_id).map(str::to_owned)
}

fn optional<'a>(credentials: &'a BTreeMap<String, Secret>, name: &str) -> Option<&'a str> {
    credentials.get(name).map(|secret| secret.expose().trim()).filter(|text| !text.is_empty())
}

fn entered<'a>(credentials: &'a BTreeMap<String, Secret>, name: &str) -> Result<&'a str, ChannelError> {
    optional(credentials, name)
        .ok_or_else(|| ChannelError::Fatal { message: format!("the credential {name} is missing; enter it") })
}

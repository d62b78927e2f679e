//! Amazon's settings and credentials. It reads what a person entered; it makes no call.

use std::collections::BTreeMap;

use super::super::error::ChannelError;
use super::super::registry::CredentialField;
use super::super::request;
use crate::domain::money::Currency;
use crate::secret::Secret;

/// What a seller enters.
pub const CREDENTIALS: &[CredentialField] = &[
    CredentialField {
        name: "client_id",
        label: "Client identifier",
        is_required: true,
        is_secret: false,
        hint: "Seller Central → Apps and Services → Develop Apps → your app → View next to LWA credentials",
    },
    CredentialField {
        name: "client_secret",
        label: "Client secret",
        is_required: true,
        is_secret: true,
        hint: "shown beside the client identifier; Amazon asks to rotate it every 180 days",
    },
    CredentialField {
        name: "refresh_token",
        label: "Refresh token",
        is_required: true,
        is_secret: true,
        hint: "Develop Apps → Authorize → Authorize app; begins with Atzr|",
    },
    CredentialField {
        name: "seller_id",
        label: "Seller ID (merchant token)",
        is_required: true,
        is_secret: false,
        hint: "Seller Central → Account Info → Merchant token; begins with A",
    },
    CredentialField {
        name: "marketplace_ids",
        label: "Marketplaces",
        is_required: true,
        is_secret: false,
        hint: "one or more marketplace ids of one region, separated by commas, such as ATVPDKIKX0DER",
    },
    CredentialField {
        name: "region",
        label: "Region",
        is_required: false,
        is_secret: false,
        hint: "one of na, eu, fe; found from the marketplaces where left empty",
    },
    CredentialField {
        name: "queue_url",
        label: "Queue for notifications (SQS)",
        is_required: false,
        is_secret: false,
        hint: "AWS → SQS → your queue → URL; empty: orders come by schedule",
    },
    CredentialField {
        name: "aws_access_key_id",
        label: "Access key id for the queue",
        is_required: false,
        is_secret: false,
        hint: "of a user that may receive and delete messages of this queue, and nothing else",
    },
    CredentialField {
        name: "aws_secret_access_key",
        label: "Secret access key for the queue",
        is_required: false,
        is_secret: true,
        hint: "shown once beside the access key id",
    },
];

/// The steps in Amazon's own console.
pub const STEPS: &[&str] = &[
    "Sign in to Seller Central as the primary user and open Apps and Services → Develop Apps.",
    "Register as a private developer for your own organisation and ask for the roles Inventory and Order \
     Tracking, Direct-to-Consumer Shipping and Product Listing; Amazon may take days to grant the second one.",
    "Add a new app client of type SP API with the same roles and save it.",
    "Open View next to LWA credentials and copy the client identifier and the client secret.",
    "Choose Authorize in the app's menu, then Authorize app, and copy the refresh token at once: Amazon shows \
     it only once.",
    "Copy the merchant token from Account Info and enter the ids of the marketplaces you sell on.",
];

/// Where Login with Amazon gives tokens, for every region.
const TOKEN_HOST: &str = "https://api.amazon.com";

/// A group of marketplaces behind one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// North and South America.
    NorthAmerica,
    /// Europe, Middle East, Africa, India.
    Europe,
    /// Japan, Australia, Singapore.
    FarEast,
}

impl Region {
    fn of_word(word: &str) -> Option<Self> {
        match word.to_lowercase().as_str() {
            "na" => Some(Self::NorthAmerica),
            "eu" => Some(Self::Europe),
            "fe" => Some(Self::FarEast),
            _ => None,
        }
    }

    fn host(self) -> &'static str {
        match self {
            Self::NorthAmerica => "https://sellingpartnerapi-na.amazon.com",
            Self::Europe => "https://sellingpartnerapi-eu.amazon.com",
            Self::FarEast => "https://sellingpartnerapi-fe.amazon.com",
        }
    }
}

/// Amazon's marketplaces: id, region, currency (SP-API documentation, *Marketplace IDs*).
const MARKETPLACES: &[(&str, Region, &str)] = &[
    ("A2EUQ1WTGCTBG2", Region::NorthAmerica, "CAD"),
    ("ATVPDKIKX0DER", Region::NorthAmerica, "USD"),
    ("A1AM78C64UM0Y8", Region::NorthAmerica, "MXN"),
    ("A2Q3Y263D00KWC", Region::NorthAmerica, "BRL"),
    ("A28R8C7NBKEWEA", Region::Europe, "EUR"),
    ("A1RKKUPIHCS9HS", Region::Europe, "EUR"),
    ("A1F83G8C2ARO7P", Region::Europe, "GBP"),
    ("A13V1IB3VIYZZH", Region::Europe, "EUR"),
    ("AMEN7PMS3EDWL", Region::Europe, "EUR"),
    ("A1805IZSGTT6HS", Region::Europe, "EUR"),
    ("A1PA6795UKMFR9", Region::Europe, "EUR"),
    ("APJ6JRA9NG5V4", Region::Europe, "EUR"),
    ("A2NODRKZP88ZB9", Region::Europe, "SEK"),
    ("AE08WJ6YKNBMC", Region::Europe, "ZAR"),
    ("A1C3SOZRARQ6R3", Region::Europe, "PLN"),
    ("ARBP9OOSHTCHU", Region::Europe, "EGP"),
    ("A33AVAJ2PDY3EV", Region::Europe, "TRY"),
    ("A17E79C6D8DWNP", Region::Europe, "SAR"),
    ("A2VIGQ35RCS4UG", Region::Europe, "AED"),
    ("A21TJRUUN4KGV", Region::Europe, "INR"),
    ("A19VAU5U5O7RUS", Region::FarEast, "SGD"),
    ("A39IBJ37TRP1C6", Region::FarEast, "AUD"),
    ("A1VC38T7YXB528", Region::FarEast, "JPY"),
];

/// The currency that a marketplace sells in; none for one that we do not know.
#[must_use]
pub fn currency_of_marketplace(id: &str) -> Option<Currency> {
    let (_, _, code) = MARKETPLACES.iter().find(|(known, _, _)| *known == id)?;
    code.parse().ok()
}

/// Everything that calls need.
#[derive(Debug)]
pub struct Config {
    /// The app.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The seller's grant. Login with Amazon does not rotate it.
    pub refresh_token: Secret,
    /// The seller.
    pub seller_id: String,
    /// The marketplaces that this connection covers; at least one.
    pub marketplace_ids: Vec<String>,
    /// Scheme and host of the Selling Partner API.
    pub api_base: String,
    /// Scheme and host of Login with Amazon.
    pub token_base: String,
    /// The connection's own base, which stands for every host of Amazon's.
    pub own_base: Option<String>,
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
        let marketplace_ids: Vec<String> = entered(credentials, "marketplace_ids")?
            .split(',')
            .map(str::trim)
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect();
        let region = region(credentials, &marketplace_ids)?;
        Ok(Self {
            client_id: entered(credentials, "client_id")?.to_owned(),
            client_secret: Secret::new(entered(credentials, "client_secret")?),
            refresh_token: Secret::new(entered(credentials, "refresh_token")?),
            seller_id: entered(credentials, "seller_id")?.to_owned(),
            marketplace_ids,
            api_base: request::base(base_url, region.host()),
            token_base: request::base(base_url, TOKEN_HOST),
            own_base: base_url.map(|own| request::base(Some(own), "")),
        })
    }
}

/// The account that the credentials stand for.
#[must_use]
pub fn account(credentials: &BTreeMap<String, String>) -> Option<String> {
    credentials.get("seller_id").map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn entered<'a>(credentials: &'a BTreeMap<String, Secret>, name: &str) -> Result<&'a str, ChannelError> {
    let text = credentials.get(name).map(|secret| secret.expose().trim()).unwrap_or_default();
    if text.is_empty() {
        return Err(ChannelError::Fatal { message: format!("the credential {name} is missing; enter it") });
    }
    Ok(text)
}

fn region(
    credentials: &BTreeMap<String, Secret>,
    marketplace_ids: &[String],
) -> Result<Region, ChannelError> {
    let word = credentials.get("region").map(|secret| secret.expose().trim()).unwrap_or_default();
    if !word.is_empty() {
        return Region::of_word(word).ok_or_else(|| ChannelError::Fatal {
            message: format!("“{word}” is no region of Amazon; use na, eu or fe"),
        });
    }
    let first = marketplace_ids.first().ok_or_else(|| ChannelError::Fatal {
        message: "no marketplace id is given; enter at least one".to_owned(),
    })?;
    MARKETPLACES.iter().find(|(id, _, _)| id == first).map(|(_, region, _)| *region).ok_or_else(|| {
        ChannelError::Fatal {
            message: format!("the marketplace id {first} is not known; enter the region (na, eu or fe) too"),
        }
    })
}

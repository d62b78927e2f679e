//! Which channels there are: a plain list.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ChannelError;
use super::identity::Identity;
use super::shop_app::ShopApp;
use super::{Connector, ConnectorSetup};
use crate::domain::connection::CredentialLife;
use crate::domain::id::ChannelName;

/// One field of a channel's credentials, as the form shows it.
#[derive(Debug, Clone, Copy)]
pub struct CredentialField {
    /// The name in the API and in the vault.
    pub name: &'static str,
    /// The label.
    pub label: &'static str,
    /// Whether it must be there.
    pub is_required: bool,
    /// Whether it is hidden while typed.
    pub is_secret: bool,
    /// Where a person finds it.
    pub hint: &'static str,
}

/// Credentials by field, in plain text, while they are looked at.
pub type CredentialTexts = BTreeMap<String, String>;

/// A channel as people choose it.
#[derive(Debug, Clone, Copy)]
pub struct ChannelInfo {
    /// The name.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// True where orders can be created in it.
    pub is_shop: bool,
    /// What it needs to sign in.
    pub credentials: &'static [CredentialField],
    /// The steps in the platform's own console, in order.
    pub steps: &'static [&'static str],
    /// The account that these credentials stand for (seller id, store hash); never a secret.
    pub account: fn(&CredentialTexts) -> Option<String>,
    /// How the platform tells whose credentials are, where they do not say so by themselves.
    pub identity: Option<Identity>,
    /// Reads the credentials out of the text file that the platform hands out, where it hands one out.
    pub credentials_file: Option<fn(&str) -> CredentialTexts>,
    /// The platform's own page on which the merchant says yes, where it has one.
    pub consent: Option<super::consent::Consent>,
    /// How long credentials stay good.
    pub life: CredentialLife,
    /// Whether what is cancelled or refunded in the shop goes there unless the merchant says otherwise; none where the
    /// platform has no such call.
    pub sends_after_sale: Option<bool>,
    /// How many days back, by when an order was placed, its polls hear of everything. Open orders older than that are
    /// looked up one by one. None where the platform's time of change tells of everything.
    pub swept_days: Option<u16>,
    /// Builds a connector.
    pub connect: fn(ConnectorSetup) -> Result<Arc<dyn Connector>, ChannelError>,
}

/// Every channel.
pub const CHANNELS: &[ChannelInfo] =
    &[super::amazon::INFO, super::bigcommerce::INFO, super::ebay::INFO, super::etsy::INFO];

/// The app that shops install and open in their control panel.
pub const SHOP_APP: ShopApp = super::bigcommerce::app::APP;

/// True for a channel in which orders can be created.
#[must_use]
pub fn is_shop(name: &ChannelName) -> bool {
    channel(name).is_some_and(|info| info.is_shop)
}

/// The channel of that name.
#[must_use]
pub fn channel(name: &ChannelName) -> Option<&'static ChannelInfo> {
    CHANNELS.iter().find(|info| info.name == name.as_str())
}

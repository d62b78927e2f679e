//! A connection: one seller account on a channel, and how the merchant wants it run.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::id::{ChannelName, ConnectionId};

/// How much history a new connection brings in (FEATURES A8). All of it stays history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Nothing placed before go-live.
    None,
    /// What was placed since the start of go-live's day.
    #[default]
    Today,
    /// So many days before go-live.
    Days(u16),
    /// Everything the platform still gives.
    Everything,
}

/// Which of Amazon's orders go into the shop (FEATURES B5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFulfilment {
    /// What the seller ships.
    #[default]
    Seller,
    /// What the platform ships.
    Platform,
    /// Both.
    Both,
}

/// What becomes of a line whose SKU the shop does not have (FEATURES C2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmatchedSku {
    /// It goes into the shop as a custom line.
    #[default]
    CustomLine,
    /// The order waits for a person.
    Hold,
}

/// What becomes of an order that the shop refuses for want of stock (FEATURES C9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InsufficientStock {
    /// It waits and is tried again by itself.
    #[default]
    Wait,
    /// It goes in with the short lines as custom lines.
    CustomLine,
    /// The shop's stock is raised to what it takes; then it goes in.
    RaiseStock,
    /// It waits for a person.
    Hold,
}

/// The e-mail that a shop order carries (FEATURES C6).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomerEmail {
    /// None, so that the shop mails nobody by mistake.
    #[default]
    None,
    /// The buyer's as the marketplace gives it.
    Keep,
    /// One fixed address.
    Fixed(String),
    /// The order's id at this domain.
    OrderIdAt(String),
}

/// A connection's settings. Stored as JSON; unknown keys are refused when a person sets them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionSettings {
    /// The shop that this marketplace's orders are created in.
    pub shop: Option<ConnectionId>,
    /// Orders are imported at all.
    pub import_orders: bool,
    /// Stock and price are managed (nothing is pushed yet).
    pub manage_stock: bool,
    /// Orders placed before this are history. Set when the connection is made, to the second: a platform that says whole
    /// seconds would make an order of that very second look older than it is.
    pub go_live: Option<Timestamp>,
    /// How much history comes in.
    pub history: History,
    /// Seconds between two polls; the platform's quota sets the floor.
    pub poll_interval_s: Option<u32>,
    /// Orders go into the shop by themselves.
    pub export_orders: bool,
    /// Which orders go into the shop, by who ships them.
    pub export_fulfilment: ExportFulfilment,
    /// What becomes of unknown SKUs.
    pub unmatched_sku: UnmatchedSku,
    /// What becomes of orders that the shop has too little stock for.
    pub insufficient_stock: InsufficientStock,
    /// The shop's status id of created orders: 9 is *Awaiting Shipment*.
    pub created_status_id: u16,
    /// The e-mail on shop orders.
    pub customer_email: CustomerEmail,
    /// The shop's carrier names → the marketplace's carrier codes (FEATURES D1).
    pub carrier_map: BTreeMap<String, String>,
    /// The carrier where the shop names none; without it such a shipment is held (FEATURES D4).
    pub default_carrier: Option<String>,
    /// Whether the marketplace is asked to cancel what is cancelled in the shop; none for the channel's own default.
    pub send_cancellations: Option<bool>,
    /// Whether the marketplace is asked to give back what is refunded in the shop; none for the channel's own default.
    pub send_refunds: Option<bool>,
    /// The day on which the platform made the app's secret, where such a secret ends (FEATURES A3).
    pub secret_made_on: Option<Date>,
    /// The day on which the account was authorised, where an authorisation ends.
    pub authorised_on: Option<Date>,
}

/// How long what a platform accepts today stays good, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CredentialLife {
    /// The app's secret; none where it does not end.
    pub secret_days: Option<i16>,
    /// The account's authorisation; none where it does not end.
    pub authorisation_days: Option<i16>,
    /// Whether the platform replaces a token as it is used, so that an older copy of it is dead.
    pub tokens_rotate: bool,
}

/// Something that stops working on a day unless a person does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// What ends.
    pub what: &'static str,
    /// What to do before that.
    pub next_step: &'static str,
    /// The day.
    pub on: Date,
    /// Days from today; negative once it has passed.
    pub days_left: i32,
}

/// What ends when, for a connection with these settings.
#[must_use]
pub fn deadlines(settings: &ConnectionSettings, life: CredentialLife, today: Date) -> Vec<Deadline> {
    let ends = |what, next_step, since: Option<Date>, days: Option<i16>| {
        let on = since?.checked_add(Span::new().days(days?)).ok()?;
        let days_left = today.until(on).ok()?.get_days();
        Some(Deadline { what, next_step, on, days_left })
    };
    let secret = ends(
        "The app's client secret",
        "Make a new one in the platform's developer console and enter it in the connection.",
        settings.secret_made_on,
        life.secret_days,
    );
    let authorisation = ends(
        "The authorisation",
        "Authorise the app again in the seller account and enter the new token in the connection.",
        settings.authorised_on,
        life.authorisation_days,
    );
    secret.into_iter().chain(authorisation).collect()
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            shop: None,
            import_orders: true,
            manage_stock: false,
            go_live: None,
            history: History::default(),
            poll_interval_s: None,
            export_orders: true,
            export_fulfilment: ExportFulfilment::default(),
            unmatched_sku: UnmatchedSku::default(),
            insufficient_stock: InsufficientStock::default(),
            created_status_id: 9,
            customer_email: CustomerEmail::default(),
            carrier_map: BTreeMap::new(),
            default_carrier: None,
            send_cancellations: None,
            send_refunds: None,
            secret_made_on: None,
            authorised_on: None,
        }
    }
}

/// Whether a connection works (FEATURES A10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Works.
    Active,
    /// Stopped by a person, or by us because going on would do harm; the note says which.
    Paused,
    /// The platform no longer accepts its credentials.
    NeedsReauthorisation,
    /// Calls fail.
    Failing,
}

impl ConnectionState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Active, Self::Paused, Self::NeedsReauthorisation, Self::Failing];

    /// The word as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::NeedsReauthorisation => "needs_reauthorisation",
            Self::Failing => "failing",
        }
    }

    /// True where work may go out.
    #[must_use]
    pub fn may_call(self) -> bool {
        matches!(self, Self::Active | Self::Failing)
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ConnectionState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("“{text}” is no state of a connection"))
    }
}

/// A connection as held. Its credentials lie in the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The platform.
    pub channel: ChannelName,
    /// What the merchant calls it.
    pub alias: String,
    /// The platform's own id of the account (seller id, store hash).
    pub account: String,
    /// Replaces scheme and host of every call, where set.
    pub base_url: Option<String>,
    /// Whether it works.
    pub state: ConnectionState,
    /// Why it does not, in plain words.
    pub state_note: Option<String>,
    /// Since when it is in this state.
    pub state_since: Timestamp,
    /// When it was added.
    pub created_at: Timestamp,
    /// How the merchant wants it run.
    pub settings: ConnectionSettings,
    /// The shop's default currency, as last read; marketplaces have none.
    pub currency: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_known_in_time() {
        let settings = ConnectionSettings {
            secret_made_on: Some("2026-06-01".parse().unwrap()),
            authorised_on: Some("2026-06-01".parse().unwrap()),
            ..ConnectionSettings::default()
        };
        let life =
            CredentialLife { secret_days: Some(180), authorisation_days: Some(365), tokens_rotate: false };
        let left = |today: &str| -> Vec<i32> {
            deadlines(&settings, life, today.parse().unwrap())
                .iter()
                .map(|deadline| deadline.days_left)
                .collect()
        };
        assert_eq!(left("2026-06-01"), [180, 365]);
        assert_eq!(left("2026-11-29"), [-1, 184]);
        assert!(deadlines(&settings, CredentialLife::default(), "2026-06-01".parse().unwrap()).is_empty());
    }
}

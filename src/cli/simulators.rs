//! What commands know of the simulated platforms: their flags, and how to connect to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::CliError;
use crate::secret::Secret;
use crate::sim::{FaultRate, MARKETPLACES, Quotas, SimOptions};

/// Of Amazon's positions, so many in a hundred are designed by the buyer: rare, and yet seen in a demo.
const CUSTOMISED_PERCENT: u32 = 2;

/// How the simulated platforms behave.
#[derive(Debug, Clone, Args)]
pub struct SimArgs {
    /// Decides every order, price and fault
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Orders of the back catalogue, per marketplace
    #[arg(long, value_name = "N", default_value_t = 200)]
    orders: u32,
    /// New orders a minute in all; 0 for none
    #[arg(long, value_name = "PER_MIN", default_value_t = 12)]
    pub rate: u32,
    /// How many calls fail: some is 1 %, many 8 %
    #[arg(long, value_enum, default_value_t = Faults::Off)]
    faults: Faults,
    /// Whether the platforms' call quotas hold
    #[arg(long, value_enum, default_value_t = QuotaRule::Off)]
    quotas: QuotaRule,
    /// How long every answer takes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Faults {
    Off,
    Some,
    Many,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum QuotaRule {
    Real,
    Off,
}

impl SimArgs {
    /// As the simulators take it. Without a `folder` their state dies with the process.
    pub fn options(&self, seed: u64, folder: Option<PathBuf>) -> SimOptions {
        SimOptions {
            seed,
            orders: self.orders,
            rate_per_minute: self.rate,
            faults: match self.faults {
                Faults::Off => FaultRate::Off,
                Faults::Some => FaultRate::Some,
                Faults::Many => FaultRate::Many,
            },
            quotas: match self.quotas {
                QuotaRule::Real => Quotas::Real,
                QuotaRule::Off => Quotas::Off,
            },
            latency: Duration::from_millis(self.latency),
            marketplaces: &MARKETPLACES,
            customised_percent: CUSTOMISED_PERCENT,
            folder,
            ..SimOptions::default()
        }
    }
}

/// How to connect to a platform, as `/_sim/connections` says it.
#[derive(Debug)]
pub struct Offer {
    /// The platform.
    pub channel: String,
    /// What it is called.
    pub alias: String,
    /// Where it answers.
    pub base_url: Url,
    /// As the vault keeps them.
    pub credentials: BTreeMap<String, String>,
    /// The alias of the shop that its orders go to.
    pub shop: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WrittenOffer {
    channel: String,
    alias: String,
    base_url: Url,
    credentials: BTreeMap<String, Value>,
    #[serde(default)]
    settings: WrittenSettings,
}

#[derive(Debug, Default, Deserialize)]
struct WrittenSettings {
    shop: Option<String>,
}

impl Offer {
    /// Every platform's; shops first, since the others name them.
    pub fn read_all(written: Value) -> Result<Vec<Self>, CliError> {
        let written: Vec<WrittenOffer> = serde_json::from_value(written).map_err(|error| {
            CliError::Failed(format!("The platforms do not say how to connect ({error})."))
        })?;
        let mut offers: Vec<Self> = written
            .into_iter()
            .map(|offer| Self {
                channel: offer.channel,
                alias: offer.alias,
                base_url: offer.base_url,
                credentials: offer
                    .credentials
                    .iter()
                    .map(|(name, value)| (name.clone(), credential(value)))
                    .collect(),
                shop: offer.settings.shop,
            })
            .collect();
        offers.sort_by_key(|offer| offer.shop.is_some());
        Ok(offers)
    }

    /// The credentials as connectors take them.
    pub fn secrets(&self) -> BTreeMap<String, Secret> {
        self.credentials.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect()
    }
}

/// A credential as the vault keeps it: lists are comma-separated.
fn credential(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(credential).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

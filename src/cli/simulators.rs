//! The flags of the simulated platforms, which `demo` and `simulate` share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::sim::{FaultRate, Quotas, SimOptions};

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
            folder,
            ..SimOptions::default()
        }
    }
}

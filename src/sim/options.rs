//! What a world is made from. Two worlds with the same options and the same calls are the same.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often calls fail by themselves. Token calls never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FaultRate {
    /// Only faults that somebody asked for.
    #[default]
    Off,
    /// 1 % of calls.
    Some,
    /// 8 % of calls.
    Many,
}

impl FaultRate {
    /// Failing calls in a thousand.
    #[must_use]
    pub const fn per_thousand(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::Some => 10,
            Self::Many => 80,
        }
    }
}

/// Whether the platforms' call quotas hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quotas {
    /// The platforms' real figures.
    Real,
    /// As many calls as one likes.
    #[default]
    Off,
}

/// When an order takes stock in the shop: a setting of the real shop too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StockRule {
    /// When the order is placed.
    #[default]
    Placement,
    /// When the order is shipped or completed.
    Completion,
    /// Never.
    Off,
}

/// What a world is made from.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// Decides every order, name, price, fault and delay.
    pub seed: u64,
    /// Orders of the back catalogue per marketplace, most of them shipped. The shop gets a tenth of it as storefront
    /// orders.
    pub orders: u32,
    /// Days before the start over which the back catalogue is spread.
    pub history_days: u32,
    /// New orders a minute in all, about one in ten of them on the shop's own storefront.
    pub rate_per_minute: u32,
    /// How often calls fail by themselves.
    pub faults: FaultRate,
    /// Whether the call quotas hold.
    pub quotas: Quotas,
    /// How long every answer takes.
    pub latency: Duration,
    /// Variants in the shop.
    pub catalogue: u32,
    /// When an order takes stock in the shop.
    pub stock_rule: StockRule,
    /// The marketplaces that sell, and that `/_sim/connections` names. Others answer, and have nothing.
    pub marketplaces: &'static [&'static str],
    /// Amazon orders in another currency than the shop's, in percent.
    pub foreign_currency_percent: u32,
    /// Amazon's positions that the buyer designed, in percent.
    pub customised_percent: u32,
    /// The folder that keeps the state; none keeps it in memory only.
    pub folder: Option<PathBuf>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            orders: 200,
            history_days: 90,
            rate_per_minute: 12,
            faults: FaultRate::Off,
            quotas: Quotas::Off,
            latency: Duration::ZERO,
            catalogue: 120,
            stock_rule: StockRule::Placement,
            marketplaces: &[super::AMAZON],
            foreign_currency_percent: 0,
            customised_percent: 0,
            folder: None,
        }
    }
}

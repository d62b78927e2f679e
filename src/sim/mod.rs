//! Simulated platforms: an Amazon, an eBay, an Etsy and a BigCommerce that behave, in the platforms' own wire formats.
//!
//! [`World`] holds the state of all platforms of one process and answers requests without a socket, so that the
//! fault campaign can call it in-process on simulated time; [`server`] serves the same world over HTTP for
//! `eider demo`, `eider simulate`, tests and benchmarks. A world takes its time from a clock that it is given and
//! everything else from its seed.
//!
//! Nothing here may use `channels`: the wire formats are written down a second time, from the platforms' own
//! specifications, because a mistake that both sides share would agree with itself.

pub mod server;

mod amazon;
mod bigcommerce;
mod book;
mod catalogue;
mod control;
mod draw;
mod ebay;
mod etsy;
mod faults;
mod journal;
mod money;
mod options;
mod people;
mod push;
mod quota;
mod recent;
mod reply;
mod world;

pub use amazon::{ACCESS_KEY_ID as AMAZON_ACCESS_KEY_ID, QUEUE_URL as AMAZON_QUEUE_URL};
pub use ebay::CONSENT_CODE as EBAY_CONSENT_CODE;
pub(crate) use faults::STALE_SECONDS;
pub use options::{FaultRate, Quotas, SimOptions, StockRule};
pub use push::{Message, RETRY_AFTER as MESSAGE_RETRIES_AFTER, standard_headers};
pub use reply::{Delivery, Reply};
pub use world::{SimError, World};

/// The platforms that a world simulates, by the names that connections use.
pub const PLATFORMS: [&str; 4] = [AMAZON, BIGCOMMERCE, EBAY, ETSY];

/// Those of them that are marketplaces.
pub const MARKETPLACES: [&str; 3] = [AMAZON, EBAY, ETSY];

/// Amazon's name as a channel.
pub const AMAZON: &str = "amazon";

/// BigCommerce's name as a channel.
pub const BIGCOMMERCE: &str = "bigcommerce";

/// eBay's name as a channel.
pub const EBAY: &str = "ebay";

/// Etsy's name as a channel.
pub const ETSY: &str = "etsy";

#[cfg(test)]
mod tests;

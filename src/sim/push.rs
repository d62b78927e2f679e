//! Messages that a simulated platform sends by itself. The world makes them; whoever serves it delivers them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sends it.
    pub platform: &'static str,
    /// Where to.
    pub url: String,
    /// Headers, beside the content type.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
    /// When what it tells of happened, by the world's time.
    pub made_at: Timestamp,
}

/// Waits between two deliveries of a message that was not answered by 2xx.
pub const RETRY_AFTER: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(180), Duration::from_secs(300), Duration::from_secs(600)];

/// The headers of a message that is signed as Standard Webhooks describes it.
pub fn standard_headers(
    id: String,
    sent_at: Timestamp,
    body: &str,
    key: &[u8],
) -> Vec<(&'static str, String)> {
    let second = sent_at.as_second();
    // HMAC takes keys of any length.
    let signature = Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(format!("{id}.{second}.{body}")).finalize().into_bytes())
        .map(|bytes| format!("v1,{}", STANDARD.encode(bytes)))
        .unwrap_or_default();
    vec![("webhook-id", id), ("webhook-timestamp", second.to_string()), ("webhook-signature", signature)]
}

//! What every platform's answers have in common, and calls that have none: what it means, what comes after it, and how
//! much of its words is kept. What a refusal means is each platform's own.

use std::time::Duration;

use http::HeaderMap;

use super::error::ChannelError;
use crate::http::{Answer, TransportError};

/// So much of a platform's message is kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// The call had no answer. A write may have had its effect all the same.
pub fn lost(operation: &str, is_write: bool, error: &TransportError) -> ChannelError {
    let in_doubt = is_write && error.in_doubt();
    let message = format!("{operation}: {error}");
    match error {
        TransportError::TimedOut { .. }
        | TransportError::ConnectFailed(_)
        | TransportError::ResetMidway(_) => {
            ChannelError::Retry { after: None, in_doubt, throttled: false, message }
        }
        TransportError::BodyTooLarge { .. } => ChannelError::Corrupt { in_doubt, message },
        TransportError::Blocked { .. } | TransportError::Invalid(_) => ChannelError::Fatal { message },
    }
}

/// The platform failed: a write may have had its effect.
pub fn failed(answer: &Answer, is_write: bool, message: String) -> ChannelError {
    ChannelError::Retry { after: retry_after(&answer.headers), in_doubt: is_write, throttled: false, message }
}

/// Nothing came of the call, and it is worth another try.
pub fn retry(after: Option<Duration>, message: String) -> ChannelError {
    ChannelError::Retry { after, in_doubt: false, throttled: false, message }
}

/// No platform redirects its calls: something else answers at this address.
pub fn redirected(operation: &str) -> ChannelError {
    ChannelError::Fatal {
        message: format!("{operation}: the address answers with a redirect; check the base URL"),
    }
}

/// No more of a platform's words than people read.
pub fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// A platform's messages in one line.
pub fn in_one_line(texts: &[String], between: &str) -> String {
    if texts.is_empty() { "no reason given".to_owned() } else { shortened(&texts.join(between)) }
}

/// The time that a refusal names.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    number(headers, http::header::RETRY_AFTER.as_str()).map(Duration::from_secs)
}

/// A header that is a number.
pub fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

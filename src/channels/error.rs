//! Errors that name the recovery. A caller never looks at an HTTP status.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What is in a refusal that the caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectKind {
    /// The platform does not have it.
    NotFound,
    /// Too little stock.
    OutOfStock,
    /// Fewer or more units than the product's limits allow.
    QuantityLimit,
    /// It was done before: read it back.
    AlreadyDone,
    /// Anything else: a person has to look.
    Other,
}

/// Why a call did not work, by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChannelError {
    /// Try again, after `after` where the platform named a time.
    #[error("{message}")]
    Retry {
        /// Not before this long from now; none for our own backoff.
        after: Option<Duration>,
        /// True where the call may have had its effect: look before doing it again.
        in_doubt: bool,
        /// True where it was the platform's quota: no failure, only waiting.
        throttled: bool,
        /// What happened.
        message: String,
    },
    /// The credentials are no longer accepted: nothing goes on until a person authorises again.
    #[error("{message}")]
    Reauth {
        /// What happened.
        message: String,
    },
    /// The platform refused this request for good.
    #[error("{message}")]
    Reject {
        /// What the caller can act on.
        kind: RejectKind,
        /// The platform's own message, without personal data.
        message: String,
    },
    /// The platform's answer cannot be read. After a write it is in doubt.
    #[error("{message}")]
    Corrupt {
        /// True where the call may have had its effect.
        in_doubt: bool,
        /// What could not be read.
        message: String,
    },
    /// Our own mistake or a broken set-up: retrying changes nothing.
    #[error("{message}")]
    Fatal {
        /// What happened.
        message: String,
    },
}

impl ChannelError {
    /// True where the call may have had its effect.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Retry { in_doubt: true, .. } | Self::Corrupt { in_doubt: true, .. })
    }

    /// Where a refusal is no JSON: half of one says nothing, and a page for people is not the platform's. After a write
    /// it is in doubt, since nobody knows who refused. A refusal without a body is the platform's.
    #[must_use]
    pub fn garbled(platform: &str, operation: &str, in_doubt: bool, body: &[u8]) -> Option<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let error = serde_json::from_slice::<serde::de::IgnoredAny>(body).err()?;
        Some(Self::unreadable(platform, operation, in_doubt, &error))
    }

    /// An answer that cannot be read, by what the parser says. Its own words may quote a buyer: only the place is kept.
    #[must_use]
    pub fn unreadable(platform: &str, operation: &str, in_doubt: bool, error: &serde_json::Error) -> Self {
        let place = format!("line {}, column {}", error.line(), error.column());
        let what = if error.is_data() {
            format!("has another shape than {platform} documents ({place})")
        } else {
            format!(
                "is no JSON ({place}): something on the way may have answered, such as a proxy or a sign-in page"
            )
        };
        Self::Corrupt {
            in_doubt,
            message: format!(
                "{platform}'s answer to {operation} {what}. Nothing of it was taken, and it is asked for again; if it \
                 stays so, check the base URL and the network"
            ),
        }
    }
}

/// Why a payload cannot be read. It is parked with this and replayed after an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{what} (at {place})")]
pub struct Unreadable {
    /// Where in the payload.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

//! Ids are types, so that an order's number never lands where a connection's is meant.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(/// One seller account on a channel.
    ConnectionId);
id!(/// Our number of an order: monotone in the order of arrival, never reused.
    OrderNo);
id!(/// A payload as received, in `raw.payload`.
    PayloadId);
id!(/// Work owed to the outside.
    EffectId);
id!(/// One row of history.
    EventId);
id!(/// A parcel.
    ShipmentId);
id!(/// The personal data cut out of one payload.
    PersonId);
id!(/// Somebody who signs in.
    UserId);

/// The name of a kind of platform: `amazon`, `bigcommerce`, … The registry of channels says which exist.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelName(pub String);

impl ChannelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ChannelName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

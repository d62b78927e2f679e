//! Secrets that cannot be printed.
//!
//! A [`Secret`] holds a token, a key or a password. It prints and serialises as `[redacted]`, compares in
//! constant time and is overwritten when dropped. What is inside leaves through [`Secret::expose`] alone,
//! which is easy to find in a review; nothing may pass its result to a log, an error or a page.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// What stands in the place of a secret wherever one is printed.
pub const REDACTED: &str = "[redacted]";

/// A text that must not be seen.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes a text over as a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, to be put into a request or a hash.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for Secret {
    /// Takes as long for a near miss as for a far one; only the length shows.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_shows_it() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        let printed = format!("{secret} {secret:?} {:#?} {}", Some(&secret), serde_json::json!(secret));
        assert!(!printed.contains("hunter2"), "{printed}");
        assert_eq!(printed.matches(REDACTED).count(), 4);
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn equality_looks_at_the_whole_text() {
        assert_eq!(Secret::new("abc"), Secret::new("abc"));
        assert_ne!(Secret::new("abc"), Secret::new("abd"));
        assert_ne!(Secret::new("abc"), Secret::new("abcd"));
    }
}

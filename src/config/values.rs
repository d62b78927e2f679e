//! Settings whose text has a form of its own. Each is parsed once, here, and prints as it was written.

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use url::Url;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// An object a line, for machines.
    Json,
}

/// An amount of memory with its unit, such as `1GB` or `512MiB`, in a form the database understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemoryLimit(String);

impl MemoryLimit {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MemoryLimit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
        let digits = text.strip_suffix(unit).unwrap_or_default();
        let is_amount = digits.parse::<u64>().is_ok_and(|amount| amount > 0);
        if is_amount && matches!(unit, "MB" | "GB" | "TB" | "MiB" | "GiB" | "TiB") {
            Ok(Self(text))
        } else {
            Err("expected a number and a unit, such as \"1GB\" or \"512MiB\"".to_owned())
        }
    }
}

impl From<MemoryLimit> for String {
    fn from(limit: MemoryLimit) -> Self {
        limit.0
    }
}

/// A length of time with its unit, such as `24h`, `90m` or `1d 12h`; a day has 24 hours. At least a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interval {
    text: String,
    duration: Duration,
}

impl Interval {
    /// So many hours.
    #[must_use]
    pub fn hours(hours: u32) -> Self {
        Self { text: format!("{hours}h"), duration: Duration::from_secs(u64::from(hours) * 60 * 60) }
    }

    /// How long it is.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expected =
            || "expected a time of a minute or more with its unit, such as \"24h\" or \"90m\"".to_owned();
        let span: jiff::Span = text.parse().map_err(|_| expected())?;
        let duration = span
            .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| *duration >= Duration::from_secs(60))
            .ok_or_else(expected)?;
        Ok(Self { text, duration })
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.text
    }
}

/// The address under which this installation is reached: `http` or `https`, perhaps with a path, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// As an address; its path ends with `/`, so that relative paths can be joined to it.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut url = Url::parse(&text).map_err(|error| {
            format!("{error}; expected an address such as \"https://orders.example.com/\"")
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the address must begin with http:// or https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the address must not hold a user or password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("the address must not have a query or fragment".to_owned());
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time zone of the IANA database, such as `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MerchantZone {
    name: String,
    zone: TimeZone,
}

impl MerchantZone {
    /// The zone's name, as written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zone itself.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl Default for MerchantZone {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }
}

impl TryFrom<String> for MerchantZone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let zone = TimeZone::get(&name).map_err(|_| {
            "no such time zone; expected a name such as \"Europe/Berlin\" or \"UTC\"".to_owned()
        })?;
        Ok(Self { name, zone })
    }
}

impl From<MerchantZone> for String {
    fn from(zone: MerchantZone) -> Self {
        zone.name
    }
}

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
        http_address(&text, "https://orders.example.com/").map(Self)
    }
}

/// An address with nothing but host, port and path; its path ends with `/`.
fn http_address(text: &str, example: &str) -> Result<Url, String> {
    let mut url =
        Url::parse(text).map_err(|error| format!("{error}; expected an address such as \"{example}\""))?;
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
    Ok(url)
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

/// Where an S3-compatible service is reached: `http` or `https`, perhaps with a path, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(Url);

impl Endpoint {
    /// As an address; its path ends with `/`.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        http_address(&text, "https://s3.example.com/").map(Self)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.0.into()
    }
}

/// A bucket and a prefix in it, such as `s3://backups/eider`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketAddress {
    name: String,
    prefix: String,
}

impl BucketAddress {
    /// How every such address begins.
    pub const SCHEME: &str = "s3://";

    /// The bucket's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the names of its objects begin with, before a slash; empty where they lie at the top.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl TryFrom<String> for BucketAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expected =
            || "expected a bucket and perhaps a prefix in it, such as \"s3://backups/eider\"".to_owned();
        let rest = text.strip_prefix(Self::SCHEME).ok_or_else(expected)?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
        if name.len() < 3 || name.len() > 63 || !name.chars().all(is_name) {
            return Err(expected());
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_part =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(is_name);
        if !prefix.is_empty() && !prefix.split('/').all(is_part) {
            return Err(format!("{}; a prefix has letters, digits, - . _ and single slashes", expected()));
        }
        Ok(Self { name: name.to_owned(), prefix: prefix.to_owned() })
    }
}

impl From<BucketAddress> for String {
    fn from(address: BucketAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for BucketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::SCHEME, self.name)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// A public key that backups are encrypted to, such as `age1…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgeRecipient(age::x25519::Recipient);

impl AgeRecipient {
    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &age::x25519::Recipient {
        &self.0
    }
}

impl TryFrom<String> for AgeRecipient {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err(
                "this is a secret key: keep it elsewhere and give its public key, \"age1…\"".to_owned()
            );
        }
        // Never what was written: a secret key with a slip of the pen would be in it.
        let key = text.trim().parse();
        key.map(Self)
            .map_err(|_| "expected public keys as `age-keygen` prints them, each \"age1…\"".to_owned())
    }
}

impl From<AgeRecipient> for String {
    fn from(recipient: AgeRecipient) -> Self {
        recipient.0.to_string()
    }
}

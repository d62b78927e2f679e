//! Typed settings.
//!
//! Defaults < `appliance.toml` < `EIDER__SECTION__KEY` < `EIDER__SECTION__KEY_FILE` < flags. A key that does
//! not exist is an error that names the nearest one; a value that does not fit names its key, where it came
//! from and what is expected. To add a setting, add a field and its default here, and the same key to
//! `appliance.toml` and `docs/configuration.md`: a test compares the three.
//!
//! The vault's key (`EIDER_KEY`, `EIDER_KEY_FILE`) is no setting and must never become one: settings are
//! printed.

mod load;
mod print;
mod values;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::http::HttpSettings;
use crate::secret::Secret;

pub use load::{ConfigError, ConfigFile, Flags, Loaded, load};
pub use values::{
    AgeRecipient, BucketAddress, Endpoint, Interval, LogFormat, MemoryLimit, MerchantZone, PublicUrl,
};

/// The file that is read where `--config` names none; it may be absent.
pub const CONFIG_FILE_NAME: &str = "appliance.toml";

/// How the names of environment variables begin. What follows is section and key, joined by `__`.
pub const VARIABLE_PREFIX: &str = "EIDER__";

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address under which browsers and platforms reach this installation; links are built from it alone.
    pub public_url: Option<PublicUrl>,
    /// The web server.
    pub server: ServerConfig,
    /// The data folder.
    pub data: DataConfig,
    /// The database.
    pub store: StoreConfig,
    /// Copies of the data.
    pub backup: BackupConfig,
    /// Calls to the outside.
    pub network: NetworkConfig,
    /// The engine.
    pub sync: SyncConfig,
    /// Messages on stderr.
    pub log: LogConfig,
    /// Mail to people.
    pub mail: MailConfig,
    /// The merchant.
    pub merchant: MerchantConfig,
}

/// `[server]`: the web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Where pages and API are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A second listener that serves `/hooks/` alone.
    pub hooks_listen: Option<SocketAddr>,
    /// Networks of the proxies whose forwarded headers count.
    pub trusted_proxies: Vec<IpNet>,
}

/// `[data]`: the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The folder that holds database, vault and files.
    pub dir: PathBuf,
}

/// `[store]`: the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// How much memory the database may take; `None` lets it choose from what the machine or container has.
    pub memory_limit: Option<MemoryLimit>,
    /// Threads of the database; 0 takes as many as there are cores.
    pub threads: u32,
    /// Writes stop while the volume has less free space than this, in megabytes.
    pub free_space_floor_mb: u64,
    /// Connections that read at the same time.
    pub reader_count: NonZeroU32,
    /// A query that takes longer is interrupted, in milliseconds.
    pub query_timeout_ms: NonZeroU64,
    /// A query's answer is cut off after this many rows.
    pub row_cap: NonZeroU64,
}

/// `[backup]`: copies of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// The folder that backups go to, by the clock and by `eider backup`; without this and a bucket none are made by
    /// the clock.
    pub dir: Option<PathBuf>,
    /// From one to the next.
    pub every: Interval,
    /// How many stay, in the folder and in the bucket.
    pub keep: NonZeroU32,
    /// The S3-compatible bucket that backups go to, beside the folder or instead of it.
    pub bucket: Option<BucketAddress>,
    /// Where the bucket's service is reached; `None` is Amazon S3 in the region.
    pub endpoint: Option<Endpoint>,
    /// The bucket's region, which signatures name.
    pub region: String,
    /// The id of the key that opens the bucket.
    pub access_key_id: Option<Secret>,
    /// The key itself.
    pub secret_access_key: Option<Secret>,
    /// Public keys that backups in the bucket are encrypted to; none leaves them as they are.
    pub age_recipients: Vec<AgeRecipient>,
}

/// A bucket for backups, with all that is needed to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSettings {
    /// Bucket and prefix.
    pub address: BucketAddress,
    /// Where its service is reached; `None` is Amazon S3 in the region.
    pub endpoint: Option<Endpoint>,
    /// Its region.
    pub region: String,
    /// The id of the key that opens it.
    pub access_key_id: Secret,
    /// The key itself.
    pub secret_access_key: Secret,
    /// Public keys that backups in it are encrypted to.
    pub age_recipients: Vec<AgeRecipient>,
}

/// `[network]`: calls to the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Whether addresses that are not public (simulators, servers in the LAN) may be called.
    pub allow_private: bool,
    /// For name lookup, connecting and the TLS handshake together, in milliseconds.
    pub connect_timeout_ms: NonZeroU64,
    /// For a whole call, in milliseconds.
    pub request_timeout_ms: NonZeroU64,
}

/// `[sync]`: the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncConfig {
    /// Between two looks at a connection's orders, in seconds, where its quota allows that many.
    pub poll_interval_s: NonZeroU64,
    /// Between two looks at a shop's orders, in seconds.
    pub shop_poll_interval_s: NonZeroU64,
    /// Between two readings of all listings, in seconds.
    pub listings_interval_s: NonZeroU64,
}

/// `[log]`: messages on stderr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter as `tracing` understands it.
    pub level: String,
}

/// `[mail]`: what needs people is told by mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// The mail server with user and password; without it no mail is sent.
    pub server: Option<Secret>,
    /// Who writes.
    pub from: Option<String>,
    /// Who reads.
    pub to: Vec<String>,
}

/// `[merchant]`: the merchant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerchantConfig {
    /// The zone whose days reports count in.
    pub time_zone: MerchantZone,
}

impl Config {
    /// What holds where nothing is set. `environment` decides where data lies by default.
    #[must_use]
    pub fn defaults(environment: &BTreeMap<String, String>) -> Self {
        const fn count(number: u32) -> NonZeroU32 {
            NonZeroU32::MIN.saturating_add(number - 1)
        }
        const fn amount(number: u64) -> NonZeroU64 {
            NonZeroU64::MIN.saturating_add(number - 1)
        }
        Self {
            public_url: None,
            server: ServerConfig {
                listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
                hooks_listen: None,
                trusted_proxies: Vec::new(),
            },
            data: DataConfig { dir: data_folder(environment, "eider") },
            store: StoreConfig {
                memory_limit: None,
                threads: 0,
                free_space_floor_mb: 512,
                reader_count: count(4),
                query_timeout_ms: amount(30_000),
                row_cap: amount(10_000),
            },
            backup: BackupConfig {
                dir: None,
                every: Interval::hours(24),
                keep: count(7),
                bucket: None,
                endpoint: None,
                region: "us-east-1".to_owned(),
                access_key_id: None,
                secret_access_key: None,
                age_recipients: Vec::new(),
            },
            network: NetworkConfig {
                allow_private: false,
                connect_timeout_ms: amount(10_000),
                request_timeout_ms: amount(30_000),
            },
            sync: SyncConfig {
                poll_interval_s: amount(30),
                shop_poll_interval_s: amount(20),
                listings_interval_s: amount(45 * 60),
            },
            log: LogConfig { format: LogFormat::Text, level: "info".to_owned() },
            mail: MailConfig { server: None, from: None, to: Vec::new() },
            merchant: MerchantConfig { time_zone: MerchantZone::default() },
        }
    }

    /// Every key that can be set, as `section.key`.
    #[must_use]
    pub fn keys() -> Vec<String> {
        let defaults = Self::defaults(&BTreeMap::new());
        print::leaves(&defaults).into_iter().map(|(key, _)| key).collect()
    }
}

impl BackupConfig {
    /// The bucket that is set, if one is.
    ///
    /// # Errors
    /// Which setting is missing.
    pub fn bucket_settings(&self) -> Result<Option<BucketSettings>, String> {
        match &self.bucket {
            Some(address) => self.bucket_at(address.clone()).map(Some),
            // Else somebody would believe that these are encrypted.
            None if self.dir.is_some() && !self.age_recipients.is_empty() => Err(
                "backup.age_recipients is set, and backups in a folder (backup.dir) are not encrypted: set backup.bucket \
                 as well, or take the recipients out and put the folder on an encrypted disk."
                    .to_owned(),
            ),
            None => Ok(None),
        }
    }

    /// The bucket at `address`, with the service, key and recipients that are set.
    ///
    /// # Errors
    /// Which setting is missing.
    pub fn bucket_at(&self, address: BucketAddress) -> Result<BucketSettings, String> {
        let key = |name: &str, key: &Option<Secret>| {
            let key = key.clone().filter(|key| !key.is_empty());
            let variable = name.to_uppercase().replace('.', "__");
            key.ok_or_else(|| format!("{name} is not set, and {address} opens to a key alone: set it, or {VARIABLE_PREFIX}{variable}."))
        };
        Ok(BucketSettings {
            access_key_id: key("backup.access_key_id", &self.access_key_id)?,
            secret_access_key: key("backup.secret_access_key", &self.secret_access_key)?,
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            age_recipients: self.age_recipients.clone(),
            address,
        })
    }
}

impl NetworkConfig {
    /// The limit for connecting.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.get())
    }

    /// The limit for a whole call.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.get())
    }

    /// What the HTTP door needs to know.
    #[must_use]
    pub fn http_settings(&self) -> HttpSettings {
        HttpSettings {
            allow_private: self.allow_private,
            connect_timeout: self.connect_timeout(),
            ..HttpSettings::default()
        }
    }
}

impl StoreConfig {
    /// The deadline of a query.
    #[must_use]
    pub fn query_timeout(&self) -> Duration {
        Duration::from_millis(self.query_timeout_ms.get())
    }
}

impl SyncConfig {
    /// Between two looks at a connection's orders.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        Duration::from_secs(self.poll_interval_s.get())
    }

    /// Between two looks at a shop's orders.
    #[must_use]
    pub fn shop_poll_interval(&self) -> Duration {
        Duration::from_secs(self.shop_poll_interval_s.get())
    }

    /// Between two readings of all listings.
    #[must_use]
    pub fn listings_interval(&self) -> Duration {
        Duration::from_secs(self.listings_interval_s.get())
    }
}

/// The folder for `program`'s data: `$XDG_DATA_HOME/program`, else `~/.local/share/program`, else a folder of
/// that name where the process runs.
#[must_use]
pub fn data_folder(environment: &BTreeMap<String, String>, program: &str) -> PathBuf {
    let variable = |name: &str| environment.get(name).filter(|path| Path::new(path).is_absolute());
    match (variable("XDG_DATA_HOME"), variable("HOME")) {
        (Some(data_home), _) => Path::new(data_home).join(program),
        (None, Some(home)) => Path::new(home).join(".local/share").join(program),
        (None, None) => PathBuf::from(program),
    }
}

/// The process's environment; what is not UTF-8 appears with replacement characters.
#[must_use]
pub fn process_environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

#[cfg(test)]
mod tests;

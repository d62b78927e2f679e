//! The control socket: commands that touch data while an appliance holds the data folder.
//!
//! One process holds the file (see `store/`), so that a command beside it asks through a Unix socket in the data
//! folder that only the folder's owner can use. A conversation is one line of JSON from the command, and one line
//! of JSON and the output's bytes back. The same [`Parts::answer`] runs where nobody holds the folder: both ways
//! print the same. Nothing here may answer to another user, or wait for a client without a limit.

mod answer;
mod bucket;
mod client;
mod place;
mod server;
pub mod table;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::{Entropy, SharedClock};
use crate::domain::user::Role;
use crate::http::HttpSettings;
use crate::secret::Secret;
use crate::store::Store;
use crate::vault::Vault;

pub use answer::{ConnectionReport, IncidentReport, StatusReport};
pub use bucket::BucketAsked;
pub use client::{Asked, ask};
pub use server::serve;

/// How long a link that sets a password works.
pub const SETUP_LINK_LIFE: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// A line of the conversation has at most so many bytes.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// What answers are made from.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// Users and tokens.
    pub vault: Arc<Vault>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: Arc<Entropy>,
    /// Where people reach the appliance, ending in a slash.
    pub base_url: String,
    /// The path of a setup link, without its first slash, for its token: pages know their own addresses.
    pub setup_path: fn(&str) -> String,
    /// Rows that a query gives at most.
    pub row_cap: usize,
    /// How calls to a bucket are made.
    pub network: HttpSettings,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// One SELECT over the views of the schema `report`.
    Sql {
        /// The statement.
        sql: String,
        /// How to write its answer.
        format: SqlFormat,
    },
    /// A new person.
    UserAdd {
        /// The name to sign in with.
        name: String,
        /// What the person may do.
        role: Role,
        /// The password; without one the answer is a link that sets it.
        #[serde(with = "exposed")]
        password: Option<Secret>,
    },
    /// A person who cannot get in, or no longer may with the old password.
    UserReset {
        /// The name to sign in with.
        name: String,
        /// The new password; without one the answer is a link that sets it.
        #[serde(with = "exposed")]
        password: Option<Secret>,
    },
    /// Who may sign in.
    UserList,
    /// A new token for the API.
    TokenCreate {
        /// What it is for.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// Whether the data agrees with itself.
    Verify,
    /// A backup of the data.
    Backup {
        /// The folder that it goes to, in which it gets a folder of its own; an absolute path.
        dir: Option<std::path::PathBuf>,
        /// The bucket that it goes to.
        bucket: Option<Box<BucketAsked>>,
        /// How many backups stay in each; without it none is removed.
        keep: Option<u32>,
    },
    /// Connections and incidents, as JSON: a [`StatusReport`].
    Status,
}

/// How a query's answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SqlFormat {
    /// Columns side by side, for people
    Table,
    /// Comma-separated, with a header line
    Csv,
    /// An array of objects
    Json,
    /// A Parquet file
    Parquet,
}

/// What a command prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// For stdout.
    pub output: Vec<u8>,
    /// For stderr, line by line.
    pub notes: Vec<String>,
    /// False where the question was answered and the answer is bad news.
    pub is_ok: bool,
}

impl Reply {
    fn text(output: impl Into<String>) -> Self {
        Self { output: output.into().into_bytes(), notes: Vec::new(), is_ok: true }
    }

    fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// The first line of an answer; `byte_count` bytes of output follow it.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    error: Option<String>,
    is_ok: bool,
    notes: Vec<String>,
    byte_count: usize,
}

/// A password on its way through the socket: the one place where it is written out.
mod exposed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::secret::Secret;

    pub fn serialize<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests;

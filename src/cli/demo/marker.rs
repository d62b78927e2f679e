//! `demo.json`: makes a folder a demo's, and remembers what has to stay the same from one run to the next.
//!
//! The file holds the demo's API token in the clear, so that scripts can go on with it after a restart; it is
//! readable by its owner alone, and it opens simulated data only.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::CliError;
use crate::clock::{Clock as _, Entropy, SystemClock};

/// The file's name in the data folder.
pub const MARKER_NAME: &str = "demo.json";

/// Held while a demo runs: the simulators' state has one writer too.
const LOCK_NAME: &str = "demo.lock";

/// What a folder that `serve` made holds.
const SERVED_NAMES: [&str; 2] = ["eider.duckdb", "vault.eider"];

/// The seed of a new folder where none is given.
const SEED_DEFAULT: u64 = 1;

/// Random bytes of the token.
const TOKEN_BYTES: usize = 32;

/// Where a demo's platforms run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// In the demo's process; their state lies in its folder.
    Own,
    /// In a process of their own.
    Elsewhere,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    seed: u64,
    origin: Origin,
    /// Orders placed before are the back catalogue.
    #[serde(default)]
    go_live: Option<Timestamp>,
    /// Ports by platform.
    #[serde(default)]
    ports: BTreeMap<String, u16>,
    #[serde(default)]
    token: Option<String>,
}

/// The demo's folder, ours as long as this lives.
#[derive(Debug)]
pub struct Marker {
    dir: PathBuf,
    content: Content,
    is_new: bool,
    _lock: File,
}

impl Marker {
    /// Makes `dir` a demo's folder, or continues one.
    pub fn open(dir: &Path, seed: Option<u64>, origin: Origin) -> Result<Self, CliError> {
        let path = dir.join(MARKER_NAME);
        let found = match fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice::<Content>(&bytes).map_err(|error| {
                CliError::Failed(format!(
                    "{} cannot be read ({error}): remove the folder to start anew, or choose another with --data.",
                    path.display()
                ))
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(dir, &error)),
        };
        let is_new = found.is_none();
        let content = match found {
            Some(content) => continued(dir, content, seed, origin)?,
            None => {
                if SERVED_NAMES.iter().any(|name| dir.join(name).exists()) {
                    return Err(CliError::Failed(format!(
                        "{} was made by `eider serve`: a demo would mix simulated orders with yours. Nothing was \
                         changed: choose another folder with --data.",
                        dir.display()
                    )));
                }
                let seed = seed.unwrap_or(SEED_DEFAULT);
                Content { seed, origin, go_live: None, ports: BTreeMap::new(), token: None }
            }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| unusable(dir, &error))?;
        let marker = Self { dir: dir.to_owned(), content, is_new, _lock: lock(dir)? };
        marker.save()?;
        Ok(marker)
    }

    /// True in the folder's first run.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The seed of the simulators.
    pub fn seed(&self) -> u64 {
        self.content.seed
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The ports that the platforms had last.
    pub fn ports(&self) -> &BTreeMap<String, u16> {
        &self.content.ports
    }

    /// When the shop opened for the demo's marketplaces: what was placed before is history.
    pub fn go_live(&self) -> Timestamp {
        self.content.go_live.unwrap_or_else(|| SystemClock.now())
    }

    /// Remembers where the platforms are and, the first time, that this is the moment of going live.
    pub fn platforms_run(&mut self, ports: BTreeMap<String, u16>) -> Result<(), CliError> {
        self.content.ports = ports;
        self.content.go_live.get_or_insert_with(|| SystemClock.now());
        self.save()
    }

    /// The owner's API token: the same in every run.
    pub fn token(&mut self, entropy: &Entropy) -> Result<String, CliError> {
        if let Some(token) = &self.content.token {
            return Ok(token.clone());
        }
        let token = entropy.token(TOKEN_BYTES);
        self.content.token = Some(token.clone());
        self.save()?;
        Ok(token)
    }

    fn save(&self) -> Result<(), CliError> {
        let write = || -> io::Result<()> {
            let new = self.dir.join(format!("{MARKER_NAME}.new"));
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            serde_json::to_writer_pretty(&mut file, &self.content)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, self.dir.join(MARKER_NAME))?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| unusable(&self.dir, &error))
    }
}

/// Refuses to continue a folder as something that it is not.
fn continued(dir: &Path, content: Content, seed: Option<u64>, origin: Origin) -> Result<Content, CliError> {
    if let Some(seed) = seed.filter(|seed| *seed != content.seed) {
        return Err(CliError::Failed(format!(
            "The demo in {} has seed {}, not {seed}. Leave --seed away to continue it, or choose another folder with \
             --data.",
            dir.display(),
            content.seed
        )));
    }
    if content.origin != origin {
        let (had, to_do) = match content.origin {
            Origin::Own => ("runs its own platforms", "leave --simulators away"),
            Origin::Elsewhere => ("uses the platforms of `eider simulate`", "give --simulators URL again"),
        };
        return Err(CliError::Failed(format!(
            "The demo in {} {had}; other platforms would know nothing of its orders. To continue it, {to_do}; for a \
             new one, choose another folder with --data.",
            dir.display()
        )));
    }
    Ok(content)
}

fn lock(dir: &Path) -> Result<File, CliError> {
    let path = dir.join(LOCK_NAME);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| unusable(dir, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::Failed(format!(
            "Another demo runs in {}. Stop it first, or choose another folder with --data.",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unusable(dir, &error)),
    }
}

fn unusable(dir: &Path, error: &io::Error) -> CliError {
    CliError::Failed(format!(
        "The demo's folder {} cannot be used ({error}): mend its permissions, or choose another with --data.",
        dir.display()
    ))
}

#[cfg(test)]
mod tests;

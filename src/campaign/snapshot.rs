//! What a crash leaves: the data folder's files as they are at that moment, in another folder.
//!
//! Closing DuckDB folds its log in and is no crash; a copy of file and log is.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const DATABASE: &str = "eider.duckdb";
const LOG: &str = "eider.duckdb.wal";
/// What else lies in the folder and matters.
const SECRETS: [&str; 2] = [crate::vault::VAULT_FILE_NAME, crate::vault::KEY_FILE_NAME];

/// How long the database's log is; 0 where there is none.
#[must_use]
pub fn wal_bytes(folder: &Path) -> u64 {
    fs::metadata(folder.join(LOG)).map_or(0, |metadata| metadata.len())
}

/// Copies what lies in `from`. `kept_wal_bytes` cuts the log off there, as a crash in the middle of writing does.
///
/// # Errors
/// What the disk says.
pub fn copy(from: &Path, to: &Path, kept_wal_bytes: Option<u64>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for name in [DATABASE, LOG].into_iter().chain(SECRETS) {
        let source = from.join(name);
        if source.try_exists()? {
            fs::copy(&source, to.join(name))?;
        }
    }
    let log = to.join(LOG);
    match kept_wal_bytes {
        Some(bytes) if log.try_exists()? => File::options().write(true).open(log)?.set_len(bytes),
        _ => Ok(()),
    }
}

/// Takes the log out of a folder whose database has it folded in.
///
/// # Errors
/// What the disk says.
pub fn drop_log(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(LOG)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The database's file in a folder.
#[must_use]
pub fn database(folder: &Path) -> PathBuf {
    folder.join(DATABASE)
}

/// A folder on memory-backed storage, where there is such, that goes with the run.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// What the disk says.
    pub fn make(name: &str) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let within = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let name = format!("eider-sim-{}-{name}", crate::clock::Entropy::from_os().token(6));
        let path = within.join(name);
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a scratch folder is left over");
        }
    }
}

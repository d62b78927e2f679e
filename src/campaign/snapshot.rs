//! What a crash leaves: the data folder's files as they are at that moment, in another folder.
//!
//! Closing DuckDB folds its log in and is no crash; a copy of file and log is.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const DATABASE: &str = "eider.duckdb";
const LOG: &str = "eider.duckdb.wal";
/// What platforms pushed and nobody has read.
const SPOOL: &str = crate::sync::spool::SPOOL_FILE_NAME;
/// What a backup holds, and a restore puts back. What was pushed stays where it is.
const OF_BACKUPS: [&str; 3] = [DATABASE, LOG, crate::vault::VAULT_FILE_NAME];
/// What opens the vault: in no backup, and a restore leaves it where it is.
const KEY: &str = crate::vault::KEY_FILE_NAME;

/// What was being written when the process died: so many bytes of it are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Of the database's log; none leaves it whole.
    pub wal_bytes: Option<u64>,
    /// Of the spool; none leaves it whole.
    pub spool_bytes: Option<u64>,
}

/// How long the database's log is; 0 where there is none.
#[must_use]
pub fn wal_bytes(folder: &Path) -> u64 {
    length(&folder.join(LOG))
}

/// How long the spool is; 0 where there is none.
#[must_use]
pub fn spool_bytes(folder: &Path) -> u64 {
    length(&folder.join(SPOOL))
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// Copies everything that lies in `from`, as a crash leaves it.
///
/// # Errors
/// What the disk says.
pub fn copy(from: &Path, to: &Path, cut: Cut) -> io::Result<()> {
    copy_files(from, to, OF_BACKUPS.into_iter().chain([KEY, SPOOL]))?;
    for (name, kept) in [(LOG, cut.wal_bytes), (SPOOL, cut.spool_bytes)] {
        let file = to.join(name);
        if let Some(bytes) = kept
            && file.try_exists()?
        {
            File::options().write(true).open(file)?.set_len(bytes)?;
        }
    }
    Ok(())
}

/// Copies what a backup holds.
///
/// # Errors
/// What the disk says.
pub fn back_up(from: &Path, to: &Path) -> io::Result<()> {
    copy_files(from, to, OF_BACKUPS)
}

/// Puts a backup in the place of what lies in `folder`, as a restore does.
///
/// # Errors
/// What the disk says.
pub fn put_back(backup: &Path, folder: &Path) -> io::Result<()> {
    for name in OF_BACKUPS {
        remove(&folder.join(name))?;
    }
    copy_files(backup, folder, OF_BACKUPS)
}

fn copy_files<'a>(from: &Path, to: &Path, names: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for name in names {
        let source = from.join(name);
        if source.try_exists()? {
            fs::copy(&source, to.join(name))?;
        }
    }
    Ok(())
}

/// Takes the log out of a folder whose database has it folded in.
///
/// # Errors
/// What the disk says.
pub fn drop_log(folder: &Path) -> io::Result<()> {
    remove(&folder.join(LOG))
}

/// Removes a file that may not be there.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
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

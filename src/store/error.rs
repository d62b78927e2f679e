//! What can go wrong in the store. Every text says what happened and what to do; none holds a buyer's data.

use std::path::PathBuf;

use thiserror::Error;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Another process holds the data folder.
    #[error(
        "The data folder {} is in use by process {}. Stop that process, or use the commands that talk to it.",
        dir.display(), holder.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string())
    )]
    Locked {
        /// The data folder.
        dir: PathBuf,
        /// The process that holds it, where it said so.
        holder: Option<u32>,
    },
    /// The file was written by a newer version.
    #[error(
        "The file {} has schema {found}, and this version knows up to {known}. Start the newer version, or restore a \
         backup made before the upgrade.", file.display()
    )]
    NewerFile {
        /// The database file.
        file: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// Too little room on the disk to write safely.
    #[error(
        "Only {available_bytes} bytes are free where {} lies, and {floor_bytes} are kept free. Nothing was written: \
         make room and try again.", dir.display()
    )]
    FreeSpace {
        /// The data folder.
        dir: PathBuf,
        /// Bytes free.
        available_bytes: u64,
        /// Bytes that stay free.
        floor_bytes: u64,
    },
    /// The disk took no more in the middle of a write.
    #[error(
        "There is no room left on the disk. Nothing that was kept before is lost, and nothing more is taken in until \
         there is room: free some, or enlarge the volume; then everything goes on by itself. ({message})"
    )]
    DiskFull {
        /// What the database said.
        message: String,
    },
    /// The deadline passed.
    #[error("The query took too long and was stopped. Ask for less: a shorter time, fewer rows.")]
    Timeout,
    /// More rows than one request may have.
    #[error("The query gave too many rows. Ask for less, or export the report as a file.")]
    TooManyRows,
    /// The database refused a statement.
    #[error("The database refused the statement: {message}")]
    Sql {
        /// What the database said.
        message: String,
    },
    /// No such row.
    #[error("It does not exist, or no longer. Reload the page.")]
    NotFound,
    /// The order has changed since it was read.
    #[error("The order has changed meanwhile. Reload the page.")]
    Changed,
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store is closed.
    #[error("The program is shutting down. Try again once it runs.")]
    Closed,
    /// The database can no longer be used by this process.
    #[error(
        "The database stopped working and the program must be started again. Nothing acknowledged is lost. {0}"
    )]
    Fatal(String),
}

/// The system's words for a disk, a quota or a file that takes no more.
const NO_ROOM: [&str; 3] = ["No space left on device", "Disk quota exceeded", "File too large"];

impl StoreError {
    /// True where the database said that it can no longer be used.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal(_))
    }

    pub(super) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::Invalid(format!("{what}: {error}"))
    }
}

impl From<duckdb::Error> for StoreError {
    fn from(error: duckdb::Error) -> Self {
        if matches!(error, duckdb::Error::QueryReturnedNoRows) {
            return Self::NotFound;
        }
        let message = error.to_string();
        let is_fatal =
            message.contains("database has been invalidated") || message.starts_with("FATAL Error");
        let is_full = NO_ROOM.iter().any(|words| message.contains(words));
        match (is_fatal, is_full) {
            (true, true) => {
                return Self::Fatal(format!("There is no room left on the disk: make room first. {message}"));
            }
            (true, false) => return Self::Fatal(message),
            (false, true) => return Self::DiskFull { message },
            (false, false) => {}
        }
        if message.starts_with("INTERRUPT Error") {
            return Self::Timeout;
        }
        Self::Sql { message }
    }
}

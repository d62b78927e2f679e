//! The one encrypted file of secrets: `vault.eider` in the data folder.
//!
//! It holds what must not lie in the database that analysts query and that backups copy: credentials of
//! connections, hashes of API tokens, passwords and setup links, and the key of the hashes in reports. It is
//! replaced as a whole, so that after a crash either the old or the new document is there, and
//! [`Vault::update`] returns only when the new one is durable: a rotated refresh token may be used from then
//! on. It must never write a secret anywhere else, log one, or put one into an error.
//!
//! Reads are cheap. Updates and password hashing block for milliseconds: async callers use `spawn_blocking`.

mod document;
mod file;
mod key;
mod password;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::clock::Entropy;

pub use document::{ApiToken, Document, SetupToken, ShopAppClient, User, hash_token};
pub use key::{KEY_FILE_VARIABLE, KEY_VARIABLE, KeySource};
pub use password::{hash_password, is_password};

use file::VaultFile;
use key::Key;

/// The name of the vault in the data folder.
pub const VAULT_FILE_NAME: &str = "vault.eider";

/// The name of the key in the data folder, where no other key is set.
pub const KEY_FILE_NAME: &str = "vault.key";

/// Why the vault cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file cannot be read or written.
    #[error("{action} {}: {cause}", path.display())]
    Io {
        /// What was tried, such as `cannot read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A key is there but is none.
    #[error(
        "{origin} is not a key: {problem}. Expected 32 random bytes as base64 or as 64 hex digits, as `openssl rand -base64 32` prints them"
    )]
    BadKey {
        /// The variable or file that holds it.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Both variables are set.
    #[error("EIDER_KEY and EIDER_KEY_FILE are both set: keep one of them")]
    TwoKeys,
    /// Others can read the key file.
    #[error("{} can be read by other users (mode {mode:04o}): run `chmod 600` on it, and consider it known to them", path.display())]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is a vault but no key for it.
    #[error("{} is there but its key is not: put {KEY_FILE_NAME} back beside it, or set EIDER_KEY to the key that was saved", vault.display())]
    KeyMissing {
        /// The vault.
        vault: PathBuf,
    },
    /// The file is whole, but another key encrypted it.
    #[error("{} was encrypted with another key than {origin}: set the key that was in use when it was written", vault.display())]
    WrongKey {
        /// The vault.
        vault: PathBuf,
        /// Where the key came from.
        origin: String,
    },
    /// The file is not what was written.
    #[error("{} is damaged ({problem}): put it back from a backup, or move it away and authorise every connection again", vault.display())]
    Damaged {
        /// The vault.
        vault: PathBuf,
        /// How that shows.
        problem: String,
    },
    /// A newer release wrote it.
    #[error("{} was written by a newer release of Eider (format {version}): start that release", vault.display())]
    TooNew {
        /// The vault.
        vault: PathBuf,
        /// Its format.
        version: u8,
    },
    /// Encrypting or hashing failed.
    #[error("{0}")]
    Crypto(String),
}

/// The vault, open. Shared behind an `Arc`; one per process.
pub struct Vault {
    file: VaultFile,
    key_created: Option<PathBuf>,
    document: RwLock<Arc<Document>>,
    /// Held for the length of an update, so that no update is built on a document that another replaces.
    writing: Mutex<()>,
}

impl Vault {
    /// Opens the vault in `dir`, making the folder, a key and an empty vault where there are none.
    ///
    /// # Errors
    /// [`VaultError`] says what is wrong with key or file, and what to do.
    pub fn open(dir: &Path, key_source: &KeySource) -> Result<Self, VaultError> {
        make_folder(dir)?;
        let path = dir.join(VAULT_FILE_NAME);
        let vault_exists = path.try_exists().map_err(|cause| VaultError::Io {
            action: "cannot look for",
            path: path.clone(),
            cause,
        })?;
        let (key, key_created) = Key::obtain(key_source, dir, vault_exists)?;
        let file = VaultFile::new(path, key);
        let document = if vault_exists {
            file.read()?
        } else {
            let document = Document::new(&Entropy::from_os());
            // Written at once, so that a wrong key is noticed at the next start and not after the first secret.
            file.stage(&document)?;
            file.replace()?;
            file.settle()?;
            document
        };
        Ok(Self { file, key_created, document: RwLock::new(Arc::new(document)), writing: Mutex::new(()) })
    }

    /// The key file that opening has just made: whoever started the program should be told to save it.
    #[must_use]
    pub fn key_created(&self) -> Option<&Path> {
        self.key_created.as_deref()
    }

    /// The file, for backups. It can be copied at any time: it is only ever replaced as a whole.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Looks at the document.
    pub fn read<T>(&self, look: impl FnOnce(&Document) -> T) -> T {
        look(&self.snapshot())
    }

    /// Changes the document. When this returns `Ok`, the change is durable; `change` must not call back into
    /// the vault.
    ///
    /// # Errors
    /// Where the new document could not be written, the old one stays in force, in memory too. Only where the
    /// folder could not be synced afterwards is the new one in force but perhaps not durable.
    pub fn update<T>(&self, change: impl FnOnce(&mut Document) -> T) -> Result<T, VaultError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Document::clone(&self.snapshot());
        let answer = change(&mut next);
        self.file.stage(&next)?;
        self.file.replace()?;
        *self.document.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.file.settle()?;
        Ok(answer)
    }

    fn snapshot(&self) -> Arc<Document> {
        // A panic elsewhere cannot leave half a document: it is swapped as a whole.
        Arc::clone(&self.document.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("path", &self.path()).finish_non_exhaustive()
    }
}

fn make_folder(dir: &Path) -> Result<(), VaultError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|cause| VaultError::Io {
        action: "cannot make the folder",
        path: dir.to_owned(),
        cause,
    })
}

/// `bytes` as lower-case hex digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;

//! Where the vault's key comes from.
//!
//! `EIDER_KEY`, the file that `EIDER_KEY_FILE` names, or `vault.key` in the data folder, which is made on first
//! run. The last is the weakest, since it lies beside what it protects, and must never be part of a backup.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::file::sync_folder;
use super::{KEY_FILE_NAME, VaultError};
use crate::clock::Entropy;
use crate::secret::Secret;

/// The environment variable that holds the key.
pub const KEY_VARIABLE: &str = "EIDER_KEY";

/// The environment variable that names a file with the key.
pub const KEY_FILE_VARIABLE: &str = "EIDER_KEY_FILE";

const KEY_BYTES: usize = 32;

/// Where to take the key from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The key itself, as text: `EIDER_KEY`.
    Text(Secret),
    /// A file with the key as text: `EIDER_KEY_FILE`. Its permissions are its owner's business, since
    /// orchestrators mount such files readable.
    File(PathBuf),
    /// `vault.key` in the data folder, made where there is none.
    DataFolder,
}

impl KeySource {
    /// Reads the two variables from `environment`.
    ///
    /// # Errors
    /// [`VaultError::TwoKeys`] where both are set.
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, VaultError> {
        match (environment.get(KEY_VARIABLE), environment.get(KEY_FILE_VARIABLE)) {
            (Some(_), Some(_)) => Err(VaultError::TwoKeys),
            (Some(text), None) => Ok(Self::Text(Secret::new(text.as_str()))),
            (None, Some(path)) => Ok(Self::File(PathBuf::from(path))),
            (None, None) => Ok(Self::DataFolder),
        }
    }
}

/// The key and where it came from.
pub(super) struct Key {
    pub(super) bytes: Zeroizing<[u8; KEY_BYTES]>,
    pub(super) origin: String,
}

impl Key {
    /// The key, and its file where that has just been made.
    pub(super) fn obtain(
        source: &KeySource,
        dir: &Path,
        vault_exists: bool,
    ) -> Result<(Self, Option<PathBuf>), VaultError> {
        match source {
            KeySource::Text(text) => Ok((Self::parse(text.expose(), KEY_VARIABLE.to_owned())?, None)),
            KeySource::File(path) => Ok((Self::read(path)?, None)),
            KeySource::DataFolder => {
                let path = dir.join(KEY_FILE_NAME);
                match fs::metadata(&path) {
                    Ok(metadata) => {
                        let mode = metadata.permissions().mode() & 0o777;
                        if mode & 0o077 != 0 {
                            return Err(VaultError::KeyExposed { path, mode });
                        }
                        Ok((Self::read(&path)?, None))
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        if vault_exists {
                            return Err(VaultError::KeyMissing { vault: dir.join(super::VAULT_FILE_NAME) });
                        }
                        Ok((Self::create(dir, &path)?, Some(path)))
                    }
                    Err(cause) => Err(VaultError::Io { action: "cannot look for", path, cause }),
                }
            }
        }
    }

    fn create(dir: &Path, path: &Path) -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        Entropy::from_os().fill(&mut *bytes);
        let text = Zeroizing::new(format!("{}\n", BASE64.encode(*bytes)));
        let write = || -> std::io::Result<()> {
            // Written beside and renamed: half a key after a crash would lock the owner out.
            let staged = path.with_extension("key.new");
            let mut file =
                fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&staged, path)?;
            sync_folder(dir)
        };
        write().map_err(|cause| VaultError::Io { action: "cannot write", path: path.to_owned(), cause })?;
        Ok(Self { bytes, origin: path.display().to_string() })
    }

    fn read(path: &Path) -> Result<Self, VaultError> {
        let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|cause| VaultError::Io {
            action: "cannot read the key in",
            path: path.to_owned(),
            cause,
        })?;
        Self::parse(&text, path.display().to_string())
    }

    fn parse(text: &str, origin: String) -> Result<Self, VaultError> {
        let text = text.trim();
        let bad = |problem: String| VaultError::BadKey { origin: origin.clone(), problem };
        if text.is_empty() {
            return Err(bad("it is empty".to_owned()));
        }
        let decoded = if text.len() == KEY_BYTES * 2 { from_hex(text) } else { None };
        let decoded = match decoded {
            Some(decoded) => decoded,
            None => from_base64(text).ok_or_else(|| bad("it is neither base64 nor hex".to_owned()))?,
        };
        let length = decoded.len();
        let bytes = <[u8; KEY_BYTES]>::try_from(decoded.as_slice())
            .map(Zeroizing::new)
            .map_err(|_| bad(format!("it has {length} bytes")))?;
        Ok(Self { bytes, origin })
    }
}

/// Either alphabet, with padding or without.
fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(text.trim_end_matches('=').replace('-', "+").replace('_', "/"));
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(text.as_bytes()).ok().map(Zeroizing::new)
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<_>>()
        .map(Zeroizing::new)
}

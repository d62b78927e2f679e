//! What a backup says of itself: `manifest.json` in its folder. Without one a folder is no backup.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::error::StoreError;
use crate::store::{FILE_NAME, files};
use crate::vault::VAULT_FILE_NAME;

/// Its name in the backup.
pub const MANIFEST_NAME: &str = "manifest.json";

/// The layout of backups that this version writes.
pub(in crate::store) const FORMAT: u32 = 1;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of the backup.
    pub format: u32,
    /// The version that wrote it.
    pub version: String,
    /// The schema of the database in it.
    pub schema: i64,
    /// Whose data it is.
    pub installation: String,
    /// The installation's epoch then.
    pub epoch: i64,
    /// The moment that it shows.
    pub created_at: Timestamp,
    /// Every file in it but this one.
    pub files: Vec<ManifestFile>,
    /// Rows by table, as `schema.table`.
    pub tables: BTreeMap<String, i64>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path in the backup, and in the data folder.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it, as hex digits.
    pub sha256: String,
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// False for what no backup holds. A manifest is somebody's text: it may not name what lies elsewhere.
    pub(in crate::store) fn may_name(path: &Path) -> bool {
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        is_plain
            && (path == Path::new(FILE_NAME)
                || path == Path::new(VAULT_FILE_NAME)
                || path.starts_with(files::FOLDER_NAME))
    }

    /// Reads the manifest of the backup in `dir`.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where there is none, or none that this version reads.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(MANIFEST_NAME);
        let text = fs::read_to_string(&path).map_err(|error| {
            StoreError::Invalid(format!(
                "{} is no backup: {MANIFEST_NAME} in it cannot be read ({error}). Name the folder that `eider backup` \
                 made, eider-… with its date.",
                dir.display()
            ))
        })?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| {
            StoreError::Invalid(format!(
                "{} cannot be understood ({error}): the backup is damaged or a newer version made it. Use that \
                 version, or another backup.",
                path.display()
            ))
        })?;
        if manifest.format != FORMAT {
            return Err(StoreError::Invalid(format!(
                "{} has format {}, and this version reads {FORMAT}: use version {} or newer.",
                path.display(),
                manifest.format,
                manifest.version
            )));
        }
        Ok(manifest)
    }
}

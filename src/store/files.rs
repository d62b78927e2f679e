//! Files that lie beside the database: `DATA/files/`, each named by the SHA-256 of its content, perhaps in folders,
//! and each with a row in `main.file`. Here only what is needed to keep and to check them; nothing is served here.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The folder of files in the data folder.
pub const FOLDER_NAME: &str = "files";

/// Bytes that are read or copied at a time.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// Every file of the data folder `dir`, as paths from there, in order. None where there is no folder of files.
///
/// # Errors
/// What the disk says.
pub(super) fn all(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(FOLDER_NAME)];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(dir.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Size and SHA-256 of a file, as hex digits.
///
/// # Errors
/// What the disk says.
pub(super) fn fingerprint(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut size_bytes = 0_u64;
    loop {
        let read = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hasher.update(part);
        size_bytes = size_bytes.saturating_add(u64::try_from(read).unwrap_or_default());
    }
    Ok((size_bytes, hex(&hasher.finalize())))
}

/// Bytes as lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Makes what was created, renamed or removed in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

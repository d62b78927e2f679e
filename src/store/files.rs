//! Files that lie beside the database: `DATA/files/`, each named by the SHA-256 of its content, perhaps in folders,
//! and each with a row in `main.file`. Nothing is served here.
//!
//! A file is durable before its row is. So that a crash between the two leaves nothing behind that belongs to nobody,
//! a note in `DATA/files.part/` names it first and goes last; at the next start a file that is noted and has no row is
//! taken away, and no other is.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use duckdb::{Connection, params};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Store;
use super::backup::{blocking, cannot};
use super::error::StoreError;
use super::reader::Read;
use super::values::{get, get_time, id_list, time};
use super::writer::Tx;
use crate::domain::id::OrderNo;

/// The folder of files in the data folder.
pub const FOLDER_NAME: &str = "files";

/// The folder, in the data folder, of notes on files that have no row yet.
const ARRIVING_NAME: &str = "files.part";

/// What the name of a file ends in while it is written.
const NEW_SUFFIX: &str = ".new";

/// Characters of a name that make its folder.
const FOLDER_CHARS: usize = 2;

const OF_PERSON_SQL: &str = "SELECT sha256 FROM main.file WHERE order_no = ? AND has_person_data";
const DROP_OF_PERSON_SQL: &str = "DELETE FROM main.file WHERE order_no = ? AND has_person_data";
const KNOWN_SQL: &str = "SELECT DISTINCT sha256 FROM main.file";
const ADD_SQL: &str = "INSERT INTO main.file
    (sha256, size_bytes, media_type, name, order_no, has_person_data, created_at, external_line_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const OF_ORDER_SQL: &str =
    "SELECT sha256, size_bytes, media_type, name, created_at, external_line_id FROM main.file
    WHERE order_no = ? ORDER BY created_at, name, sha256";
const KEPT_SQL: &str = "SELECT order_no, external_line_id FROM main.file
    WHERE order_no IN (SELECT unnest(CAST(? AS BIGINT[]))) AND external_line_id IS NOT NULL";

/// A file that lies in its place, and whose row is still to be written with [`add`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    sha256: String,
    size_bytes: i64,
}

/// What a new row says of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its media type.
    pub media_type: String,
    /// Its name for people.
    pub name: String,
    /// The order that it belongs to.
    pub order_no: OrderNo,
    /// The platform's id of the line that it is about, if it is about one.
    pub external_line_id: Option<String>,
}

/// A file as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// SHA-256 of its content, in hex digits: its name on the disk.
    pub sha256: String,
    /// Its size.
    pub size_bytes: i64,
    /// Its media type.
    pub media_type: String,
    /// Its name for people.
    pub name: Option<String>,
    /// When it was kept.
    pub created_at: Timestamp,
    /// The platform's id of the line that it is about, if it is about one.
    pub external_line_id: Option<String>,
}

impl Store {
    /// Puts content into its place and makes it durable. Its row comes with [`add`]; then [`Store::file_is_in`] ends it.
    /// Content that lies there already stays as it is.
    ///
    /// # Errors
    /// What the disk says, or that too little of it is free.
    pub async fn lay_file(&self, content: Bytes) -> Result<Laid, StoreError> {
        let store = self.clone();
        blocking(move || {
            store.inner.shared.check_space()?;
            lay(store.dir(), &content)
        })
        .await
    }

    /// Says that a file's row is durable.
    ///
    /// # Errors
    /// What the disk says; the next start does it then.
    pub async fn file_is_in(&self, laid: Laid) -> Result<(), StoreError> {
        let dir = self.dir().join(ARRIVING_NAME);
        blocking(move || {
            match fs::remove_file(dir.join(&laid.sha256)) {
                // Somebody else kept the same content meanwhile.
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("write", &dir, &error)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Opens a file, and says how long it is; `None` where it is not there.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn open_file(&self, sha256: &str) -> Result<Option<(File, u64)>, StoreError> {
        let Some(path) = place_of(sha256) else { return Ok(None) };
        let path = self.dir().join(path);
        blocking(move || match File::open(&path) {
            Ok(file) => {
                let size = file.metadata().map_err(|error| cannot("read", &path, &error))?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read", &path, &error)),
        })
        .await
    }
}

/// Gives a file its row.
///
/// # Errors
/// What the database says.
pub fn add(tx: &Tx<'_>, laid: &Laid, new: &NewFile) -> Result<(), StoreError> {
    tx.execute(
        ADD_SQL,
        params![
            laid.sha256,
            laid.size_bytes,
            new.media_type,
            new.name,
            new.order_no.0,
            true,
            time(tx.now()),
            new.external_line_id
        ],
    )?;
    Ok(())
}

/// An order's files, oldest first.
///
/// # Errors
/// What the database says.
pub fn of_order(read: &Read<'_>, order_no: OrderNo) -> Result<Vec<FileRow>, StoreError> {
    read.rows(OF_ORDER_SQL, params![order_no.0], |row| {
        Ok(FileRow {
            sha256: get(row, 0)?,
            size_bytes: get(row, 1)?,
            media_type: get(row, 2)?,
            name: get(row, 3)?,
            created_at: get_time(row, 4)?,
            external_line_id: get(row, 5)?,
        })
    })
}

/// The lines of these orders whose file is kept.
pub(super) fn kept_of_orders(read: &Read<'_>, orders: &[i64]) -> Result<Vec<(OrderNo, String)>, StoreError> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    read.rows(KEPT_SQL, params![id_list(orders.iter().copied())], |row| {
        Ok((OrderNo(get(row, 0)?), get(row, 1)?))
    })
}

/// Takes away the rows of an order's files with person data, and gives the names of those files.
pub(super) fn drop_of_person(tx: &Tx<'_>, order_no: i64) -> Result<Vec<String>, StoreError> {
    let names = tx.rows(OF_PERSON_SQL, params![order_no], |row| get(row, 0))?;
    tx.execute(DROP_OF_PERSON_SQL, params![order_no])?;
    Ok(names)
}

/// Takes content away that has no row any more.
pub(super) fn remove_content(dir: &Path, names: &BTreeSet<String>) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    for path in all(dir).map_err(|error| cannot("look into", dir, &error))? {
        let is_named = path.file_name().is_some_and(|name| names.contains(name.to_string_lossy().as_ref()));
        if is_named {
            let path = dir.join(path);
            fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
        }
    }
    Ok(())
}

/// The names of all files that have a row.
pub(super) fn known(connection: &Connection) -> Result<BTreeSet<String>, StoreError> {
    Ok(Read::new(connection, usize::MAX).rows(KNOWN_SQL, [], |row| get(row, 0))?.into_iter().collect())
}

/// Whether a name is one of content: the SHA-256 of something.
pub(super) fn is_of_content(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The names of files that may have no row yet.
///
/// # Errors
/// What the disk says.
pub(super) fn arriving(dir: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    match fs::read_dir(dir.join(ARRIVING_NAME)) {
        Ok(entries) => {
            for entry in entries {
                names.insert(entry?.file_name().to_string_lossy().into_owned());
            }
            Ok(names)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(names),
        Err(error) => Err(error),
    }
}

/// Takes away what a crash left between a file and its row. Nobody else may be at the folder.
pub(super) fn remove_rest(dir: &Path, connection: &Connection) -> Result<(), StoreError> {
    let folder = dir.join(ARRIVING_NAME);
    let noted = arriving(dir).map_err(|error| cannot("look into", &folder, &error))?;
    if noted.is_empty() {
        return Ok(());
    }
    let known = known(connection)?;
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("remove", path, &error)),
        _ => Ok(()),
    };
    for name in noted {
        if let Some(path) = place_of(&name).filter(|_| !known.contains(&name)) {
            remove(&dir.join(path))?;
        }
        remove(&folder.join(&name))?;
    }
    Ok(())
}

/// Where content with this SHA-256 lies in the data folder; `None` for what is no such name.
fn place_of(sha256: &str) -> Option<PathBuf> {
    let folder = sha256.get(..FOLDER_CHARS).filter(|_| is_of_content(sha256))?;
    Some(Path::new(FOLDER_NAME).join(folder).join(sha256))
}

fn lay(dir: &Path, content: &[u8]) -> Result<Laid, StoreError> {
    let sha256 = hex(&Sha256::digest(content));
    let too_long = || StoreError::Invalid("The file is too long to be kept.".to_owned());
    let size_bytes = i64::try_from(content.len()).map_err(|_| too_long())?;
    let path = dir.join(place_of(&sha256).ok_or_else(too_long)?);
    let arriving = dir.join(ARRIVING_NAME);
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(dir);
        for folder in [arriving.as_path(), folder] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // The note first: from here on the file is either noted or has its row.
        File::create(arriving.join(&sha256))?;
        sync_folder(&arriving)?;
        let new = arriving.join(format!("{sha256}{NEW_SUFFIX}"));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync_folder(folder)?;
        sync_folder(&dir.join(FOLDER_NAME))?;
        sync_folder(dir)
    };
    write().map_err(|error| cannot("write", &path, &error))?;
    Ok(Laid { sha256, size_bytes })
}

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

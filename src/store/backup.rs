//! Backups: a consistent copy of database, vault (never its key) and files in a folder of its own, made while writes go
//! on, looked at before it gets its name, and removed by age only where it is certainly ours.
//!
//! A folder named `eider-…` is a whole backup: it is written under another name and renamed when all of it is durable
//! and checked. Restoring is `restore.rs`.

mod archive;
pub mod bucket;
mod copy;
mod delivery;
mod manifest;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use duckdb::{AccessMode, Connection};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::error::StoreError;
use super::files::{self, sync_folder};
use super::migrate::{self, EngineLimits};
use super::reader::Read;
use super::values::get;
use super::writer::FileHold;
use super::{FILE_NAME, Store, TEMP_NAME};
use crate::vault::VAULT_FILE_NAME;

pub(super) use copy::{Copied, copy};
pub use delivery::{Delivered, Destination};
pub(super) use manifest::FORMAT;
pub use manifest::{MANIFEST_NAME, Manifest, ManifestFile};
pub use schedule::{Schedule, run_schedule};

/// How the names of backups begin.
const NAME_PREFIX: &str = "eider-";
/// How the names of folders begin that are no backup, or not yet.
const PART_PREFIX: &str = ".eider-part-";
/// What a second instance may use to look at a copy, beside the live one.
const LOOK_MEMORY: &str = "256MB";
/// Room for what a backup needs beside its data: folders and manifest.
const SLACK_BYTES: u64 = 1 << 20;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its folder.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// How long it took in all.
    pub duration: Duration,
    /// How long the database was copied, while commits went into the log.
    pub copy_duration: Duration,
    /// Older backups that were removed.
    pub removed: Vec<PathBuf>,
}

impl Store {
    /// Makes a backup in a new folder below `to`, and with `keep` removes this installation's older ones there beyond
    /// so many. A caller that goes away ends it, and nothing is left.
    ///
    /// # Errors
    /// What the database or the disk says, and what to do. No folder with a backup's name is left then.
    pub async fn back_up(&self, to: &Path, keep: Option<u32>) -> Result<Backup, StoreError> {
        let turn = Turn::take(self)?;
        let (backup, _turn) = self.make_backup(turn, to, Place::Outside, keep).await?;
        Ok(backup)
    }

    /// Makes it, and gives the turn back to who has more to do with it.
    async fn make_backup(
        &self,
        turn: Turn,
        to: &Path,
        place: Place,
        keep: Option<u32>,
    ) -> Result<(Backup, Turn), StoreError> {
        let started = Instant::now();
        let caller = Caller::new();
        let target = {
            let (store, to) = (self.clone(), to.to_owned());
            blocking(move || Target::prepare(&store, &to, place)).await?
        };
        let hold = self.inner.writer.hold_file().await?;
        let (store, wanted) = (self.clone(), caller.flag());
        // The turn ends where the work ends, also where the caller is gone long before.
        let (mut backup, turn) = blocking(move || {
            let turn = turn;
            let part = Part::make(&target.dir, &store.installation().id, target.now)?;
            let job = Job { store: &store, target: &target, part: part.path(), wanted: &wanted };
            let (manifest, copy_duration) = job.fill(hold)?;
            let path = part.rename(&target.dir, target.now)?;
            let backup =
                Backup { path, manifest, duration: Duration::ZERO, copy_duration, removed: Vec::new() };
            Ok((backup, turn))
        })
        .await?;
        if let Some(keep) = keep {
            let (dir, installation) = (to.to_owned(), self.installation().id);
            backup.removed = blocking(move || remove_older(&dir, &installation, keep)).await?;
        }
        backup.duration = started.elapsed();
        Ok((backup, turn))
    }
}

/// The backups of `installation` in `dir`, newest first.
///
/// # Errors
/// What the disk says.
pub fn backups(dir: &Path, installation: &str) -> Result<Vec<(PathBuf, Manifest)>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot("look into", dir, &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| cannot("look into", dir, &error))?;
        let is_named = entry.file_name().to_string_lossy().starts_with(NAME_PREFIX);
        // What is no backup, or another installation's, is none of our business.
        if let (true, Ok(manifest)) = (is_named, Manifest::read(&entry.path()))
            && manifest.installation == installation
        {
            found.push((entry.path(), manifest));
        }
    }
    found.sort_by(|left, right| right.1.created_at.cmp(&left.1.created_at).then(right.0.cmp(&left.0)));
    Ok(found)
}

/// Unpacks the archive `file` into the new folder `to`.
pub(super) fn unpack_file(file: &Path, to: &Path, identity: Option<&Path>) -> Result<(), StoreError> {
    let opened = File::open(file).map_err(|error| cannot("read", file, &error))?;
    archive::unpack(opened, &file.display().to_string(), to, archive::Keys(identity)).map(drop)
}

/// Copies the database as of now to the new file `to`, while commits go on.
pub(super) async fn copy_database(store: &Store, to: &Path) -> Result<Copied, StoreError> {
    let hold = store.inner.writer.hold_file().await?;
    let (from, to) = (store.inner.shared.file.clone(), to.to_owned());
    blocking(move || {
        let copied = copy(&from, &to, Some(hold.size_bytes), || !hold.is_unwelcome());
        copied.map_err(|error| cannot("write", &to, &error))
    })
    .await
}

/// Rows of each table of the file, as `schema.table`. The database knows them without reading the tables.
pub(super) fn row_counts(connection: &Connection) -> Result<BTreeMap<String, i64>, StoreError> {
    const TABLES_SQL: &str = "SELECT schema_name, table_name FROM duckdb_tables()
        WHERE database_name = current_database() AND NOT internal AND NOT temporary ORDER BY ALL";
    let read = Read::new(connection, usize::MAX);
    let tables = read.rows(TABLES_SQL, [], |row| Ok((get::<String>(row, 0)?, get::<String>(row, 1)?)))?;
    let mut counts = BTreeMap::new();
    for (schema, table) in tables {
        // Names cannot be bound; these are the file's own.
        let sql = format!("SELECT count(*) FROM {}", quoted(&schema, &table));
        let count: Option<i64> = read.first(&sql, [], |row| get(row, 0))?;
        counts.insert(format!("{schema}.{table}"), count.unwrap_or_default());
    }
    Ok(counts)
}

/// A table's name as SQL takes it.
pub(super) fn quoted(schema: &str, table: &str) -> String {
    format!("\"{}\".\"{}\"", schema.replace('"', "\"\""), table.replace('"', "\"\""))
}

/// Opens a copy in a second instance, without changing it, and compares its rows with what they should be. Says which
/// files it has rows of.
pub(super) fn check_copy(
    file: &Path,
    temp_dir: &Path,
    expected: &BTreeMap<String, i64>,
) -> Result<BTreeSet<String>, StoreError> {
    let limits = EngineLimits { memory_limit: LOOK_MEMORY, threads: 1, temp_dir };
    let connection = migrate::open_apart(file, &limits, AccessMode::ReadOnly)
        .map_err(|error| StoreError::Invalid(format!("{} does not open: {error}", file.display())))?;
    let found = row_counts(&connection)?;
    let tables = expected.keys().chain(found.keys());
    let differing = tables.into_iter().find(|table| expected.get(*table) != found.get(*table));
    let Some(table) = differing else { return files::known(&connection) };
    let rows = |counts: &BTreeMap<String, i64>| {
        counts.get(table).map_or_else(|| "no such table".to_owned(), |count| format!("{count} rows"))
    };
    Err(StoreError::Invalid(format!(
        "{} is not what was copied: {table} has {} instead of {}.",
        file.display(),
        rows(&found),
        rows(expected)
    )))
}

/// Runs what blocks on a thread where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::Invalid(format!("It failed inside this program: {error}."))))
}

/// A disk's refusal in words.
pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> StoreError {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            " Make room there, or choose another folder."
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " Give that folder to the user that runs Eider, or choose another."
        }
        _ => "",
    };
    if error.kind() == io::ErrorKind::Interrupted {
        return StoreError::Invalid("It was broken off and nothing of it was kept.".to_owned());
    }
    StoreError::Invalid(format!("Cannot {what} {}: {error}.{hint}", path.display()))
}

/// The time in the names of folders: UTC to the second, in order of the alphabet.
pub(super) fn time_name(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// One backup at a time in a process.
struct Turn(Store);

impl Turn {
    fn take(store: &Store) -> Result<Self, StoreError> {
        if store.inner.is_backing_up.swap(true, Ordering::SeqCst) {
            return Err(StoreError::Invalid(
                "A backup is being made already. Wait for it, then ask again.".to_owned(),
            ));
        }
        Ok(Self(store.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.inner.is_backing_up.store(false, Ordering::SeqCst);
    }
}

/// Tells the copying thread when its caller goes away.
struct Caller(Arc<AtomicBool>);

impl Caller {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Whether a backup stays where it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It stays, so it must not lie in the data folder.
    Outside,
    /// It is on its way, and goes away again.
    Staging,
}

/// Where the backup goes, looked at before anything is held up.
struct Target {
    dir: PathBuf,
    now: Timestamp,
}

impl Target {
    fn prepare(store: &Store, to: &Path, place: Place) -> Result<Self, StoreError> {
        let shared = &store.inner.shared;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(to)
            .map_err(|error| cannot("make the folder", to, &error))?;
        let dir = to.canonicalize().map_err(|error| cannot("find", to, &error))?;
        let data = shared.dir.canonicalize().map_err(|error| cannot("find", &shared.dir, &error))?;
        if place == Place::Outside && dir.starts_with(&data) {
            return Err(StoreError::Invalid(format!(
                "{} lies inside the data folder {}: what harms that folder would harm the backup too. Choose a folder \
                 outside, best on another disk.",
                dir.display(),
                data.display()
            )));
        }
        remove_parts(&dir, &store.installation().id)?;
        check_room(store, &dir, &data)?;
        Ok(Self { dir, now: shared.clock.now() })
    }
}

/// Refuses early where the backup cannot fit. On the data's own disk the floor stays free as well.
fn check_room(store: &Store, dir: &Path, data: &Path) -> Result<(), StoreError> {
    let shared = &store.inner.shared;
    let mut needed = size_of(&shared.file).saturating_add(shared.wal_bytes()).saturating_add(SLACK_BYTES);
    for path in files::all(data).map_err(|error| cannot("look into", data, &error))? {
        needed = needed.saturating_add(size_of(&data.join(path)));
    }
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    if device(dir) == device(data) {
        needed = needed.saturating_add(shared.free_space_floor_bytes);
    }
    check_free(dir, needed)
}

/// Refuses where so many bytes do not fit into `dir`.
fn check_free(dir: &Path, needed: u64) -> Result<(), StoreError> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| cannot("look at the room in", dir, &error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= needed {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "The backup takes up to {} MB, and {} has {} MB free. Make room there, or choose another folder.",
        needed.div_ceil(1_000_000),
        dir.display(),
        free / 1_000_000
    )))
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map(|meta| meta.len()).unwrap_or(0)
}

/// The folder while it is written. Unless it is renamed it goes with this.
struct Part {
    path: Option<PathBuf>,
}

impl Part {
    fn make(dir: &Path, installation: &str, now: Timestamp) -> Result<Self, StoreError> {
        let path = dir.join(format!("{PART_PREFIX}{installation}-{}", time_name(now)));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| cannot("make", &path, &error))?;
        Ok(Self { path: Some(path) })
    }

    fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives the folder its name. Two within a second get a number.
    fn rename(mut self, dir: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
        let name = format!("{NAME_PREFIX}{}", time_name(now));
        let mut to = dir.join(&name);
        let mut number = 1;
        while to.symlink_metadata().is_ok() {
            number += 1;
            to = dir.join(format!("{name}-{number}"));
        }
        fs::rename(self.path(), &to).map_err(|error| cannot("name", &to, &error))?;
        self.path = None;
        sync_folder(dir).map_err(|error| cannot("write", dir, &error))?;
        Ok(to)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.path.as_ref().map(fs::remove_dir_all) {
            tracing::warn!(%error, "the rest of a broken backup is left over; the next backup removes it");
        }
    }
}

/// What fills a backup's folder.
struct Job<'a> {
    store: &'a Store,
    target: &'a Target,
    part: &'a Path,
    wanted: &'a AtomicBool,
}

impl Job<'_> {
    fn fill(&self, hold: FileHold) -> Result<(Manifest, Duration), StoreError> {
        let shared = &self.store.inner.shared;
        let started = Instant::now();
        let database = {
            let to = self.part.join(FILE_NAME);
            let copied =
                copy(&shared.file, &to, Some(hold.size_bytes), || self.is_wanted() && !hold.is_unwelcome());
            copied.map_err(|error| cannot("write", &to, &error))?
        };
        let tables = hold.row_counts.clone();
        // From here on the log may be folded in again.
        drop(hold);
        let copy_duration = started.elapsed();
        let known = check_copy(&self.part.join(FILE_NAME), &shared.dir.join(TEMP_NAME), &tables)?;
        let mut copied = vec![(PathBuf::from(FILE_NAME), database)];
        copied.extend(self.copy_if_there(Path::new(VAULT_FILE_NAME))?);
        for path in files::all(&shared.dir).map_err(|error| cannot("look into", &shared.dir, &error))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // What has come since the database was copied has no row in it.
            if known.contains(&*name) || !files::is_of_content(&name) {
                copied.extend(self.copy_if_there(&path)?);
            }
        }
        self.read_again(&copied)?;
        let manifest = self.manifest(copied, tables);
        self.write_manifest(&manifest)?;
        Ok((manifest, copy_duration))
    }

    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// A file may go (an erasure) between being listed and being copied.
    fn copy_if_there(&self, path: &Path) -> Result<Option<(PathBuf, Copied)>, StoreError> {
        let from = self.store.inner.shared.dir.join(path);
        if !from.exists() {
            return Ok(None);
        }
        let to = self.part.join(path);
        if let Some(folder) = to.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| cannot("make", folder, &error))?;
        }
        let copied =
            copy(&from, &to, None, || self.is_wanted()).map_err(|error| cannot("write", &to, &error))?;
        Ok(Some((path.to_owned(), copied)))
    }

    /// What was written must come back as it was read.
    fn read_again(&self, copied: &[(PathBuf, Copied)]) -> Result<(), StoreError> {
        for (path, copied) in copied {
            let path = self.part.join(path);
            let found = files::fingerprint(&path).map_err(|error| cannot("read", &path, &error))?;
            if found != (copied.size_bytes, copied.sha256.clone()) {
                return Err(StoreError::Invalid(format!(
                    "{} does not come back as it was written: that disk is not to be trusted. Choose another folder.",
                    path.display()
                )));
            }
            if let Some(folder) = path.parent() {
                sync_folder(folder).map_err(|error| cannot("write", folder, &error))?;
            }
        }
        Ok(())
    }

    fn manifest(&self, copied: Vec<(PathBuf, Copied)>, tables: BTreeMap<String, i64>) -> Manifest {
        let installation = self.store.installation();
        let files = copied.into_iter().map(|(path, copied)| ManifestFile {
            path,
            bytes: copied.size_bytes,
            sha256: copied.sha256,
        });
        Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: migrate::known_version(),
            installation: installation.id,
            epoch: installation.epoch,
            created_at: self.target.now,
            files: files.collect(),
            tables,
        }
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let path = self.part.join(MANIFEST_NAME);
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(manifest)?;
            text.push(b'\n');
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&text)?;
            file.sync_all()?;
            sync_folder(self.part)
        };
        write().map_err(|error| cannot("write", &path, &error))
    }
}

/// Removes what backups of this installation left that did not come to their end.
fn remove_parts(dir: &Path, installation: &str) -> Result<(), StoreError> {
    let prefix = format!("{PART_PREFIX}{installation}-");
    for entry in fs::read_dir(dir).map_err(|error| cannot("look into", dir, &error))? {
        let entry = entry.map_err(|error| cannot("look into", dir, &error))?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(|error| cannot("remove", &path, &error))?;
        }
    }
    Ok(())
}

/// Removes this installation's backups beyond the newest `keep`; never the newest.
fn remove_older(dir: &Path, installation: &str, keep: u32) -> Result<Vec<PathBuf>, StoreError> {
    let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
    let mut removed = Vec::new();
    for (path, manifest) in backups(dir, installation)?.into_iter().skip(keep) {
        // Renamed first: a folder with a backup's name is a whole one at any time.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = dir.join(format!("{PART_PREFIX}{}-{name}", manifest.installation));
        fs::rename(&path, &part).map_err(|error| cannot("remove", &path, &error))?;
        fs::remove_dir_all(&part).map_err(|error| cannot("remove", &part, &error))?;
        removed.push(path);
    }
    Ok(removed)
}

#[cfg(test)]
pub(in crate::store) mod tests;

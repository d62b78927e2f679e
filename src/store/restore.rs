//! Restores a backup: checks it, prepares it beside the present data, and only then puts it in their place (`swap.rs`).
//! What was there is moved aside and never deleted; whatever fails before leaves it as it was.
//!
//! A restored database is of a new epoch, knows no session, and says of each connection whether it still has credentials
//! that can be trusted.

mod swap;

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use duckdb::{AccessMode, params};
use jiff::Timestamp;

use super::backup::bucket::Bucket;
use super::backup::{self, MANIFEST_NAME, Manifest, cannot, check_copy, copy, time_name};
use super::error::StoreError;
use super::files;
use super::migrate::{self, EngineLimits};
use super::reader::Read;
use super::values::{get, get_time, time};
use super::verify::Finding;
use super::{
    FILE_NAME, LOCK_NAME, Store, StoreOptions, TEMP_NAME, WriteLane, connections, sessions, shop_users,
};
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::id::ChannelName;
use crate::vault::{KEY_FILE_NAME, KeySource, VAULT_FILE_NAME, Vault, VaultError};

/// What was there lies in a folder of this name and the time.
pub(super) const ASIDE_PREFIX: &str = "before-restore-";

/// A backup that comes from elsewhere, in the stage.
const FETCHED_NAME: &str = "fetched";

/// How to restore.
pub struct RestoreOptions {
    /// The data folder and how its database is opened.
    pub store: StoreOptions,
    /// The backup.
    pub from: Origin,
    /// Where the vault's key comes from.
    pub key: KeySource,
    /// Whether a channel's tokens are replaced as they are used, so that those in a backup may be dead.
    pub tokens_rotate: fn(&ChannelName) -> bool,
    /// Restores also what `verify` finds fault with.
    pub despite_findings: bool,
}

/// Where a backup comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A folder that `eider backup` made.
    Folder(PathBuf),
    /// An archive as it lies in a bucket, as a file, and the file with the secret keys that open it.
    Archive {
        /// The file.
        file: PathBuf,
        /// The keys.
        identity: Option<PathBuf>,
    },
    /// A backup in a bucket, and the file with the secret keys that open it.
    Bucket {
        /// The bucket.
        bucket: Bucket,
        /// The backup's name there.
        name: String,
        /// The keys.
        identity: Option<PathBuf>,
    },
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup said of itself.
    pub manifest: Manifest,
    /// The epoch that began.
    pub epoch: i64,
    /// Where the data lie that were there, if any were.
    pub aside: Option<PathBuf>,
    /// Why the vault was begun anew, where it was: then nobody can sign in before the setup link is used.
    pub lost_vault: Option<String>,
    /// Connections that need a person, each with the reason.
    pub reauthorise: Vec<(String, &'static str)>,
    /// What does not agree in the restored data, where that was accepted.
    pub findings: Vec<Finding>,
    /// Erasures since the backup that were made again.
    pub erased_again: usize,
}

/// Why a connection needs a person.
const ROTATED: &str = "its token is replaced whenever it is used, so the one in the backup may be dead";
const NO_CREDENTIALS: &str = "its credentials could not be restored";

/// Restores a backup into the data folder.
///
/// # Errors
/// [`StoreError::Locked`] while a process holds the folder, else what is wrong with the backup or the disk. The present
/// data are as they were then.
pub async fn restore(options: RestoreOptions) -> Result<Restored, StoreError> {
    let dir = options.store.dir.clone();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| cannot("make the folder", &dir, &error))?;
    // Held to the end: nobody may open the folder meanwhile.
    let _lock = super::lock(&dir)?;
    finish_interrupted(&dir)?;
    let prepared = prepare(&options).await;
    if prepared.is_err()
        && !swap::is_pending(&dir)
        && let Err(error) = swap::remove(&dir.join(swap::STAGE_NAME))
    {
        tracing::warn!(%error, "the rest of a broken restore is left over; the next start removes it");
    }
    let mut restored = prepared?;
    put_in_place(&dir)?;
    restored.aside = restored.aside.filter(|aside| aside.exists());
    Ok(restored)
}

/// True where a restore was interrupted after its data were ready: the next start finishes it.
#[must_use]
pub fn is_pending(dir: &Path) -> bool {
    swap::is_pending(dir)
}

/// Finishes an interrupted restore, or removes what one left that never came so far. The caller holds the lock.
pub(super) fn finish_interrupted(dir: &Path) -> Result<(), StoreError> {
    if swap::is_pending(dir) {
        tracing::warn!("a restore was interrupted; it is finished now");
    }
    put_in_place(dir)
}

/// Puts what is ready in its place and removes what is left over.
fn put_in_place(dir: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| cannot("finish the restore in", dir, &error);
    while swap::step(dir).map_err(failed)? {}
    swap::remove(&dir.join(swap::STAGE_NAME)).map_err(failed)
}

/// Checks the backup and makes it ready beside the present data. When this returns well, it is what counts.
async fn prepare(options: &RestoreOptions) -> Result<Restored, StoreError> {
    let dir = &options.store.dir;
    let present = present(options)?;
    let (from, target) = (fetched(options).await?, dir.clone());
    let manifest = backup::blocking(move || stage(&from, &target)).await?;
    // Only what was fetched lies there, and it is copied.
    swap::remove(&dir.join(swap::STAGE_NAME).join(FETCHED_NAME))
        .map_err(|error| cannot("remove the downloaded backup in", dir, &error))?;
    let mut restored = Restored {
        epoch: 0,
        aside: None,
        lost_vault: None,
        reauthorise: Vec::new(),
        findings: Vec::new(),
        erased_again: 0,
        manifest,
    };
    let credentials = open_vault(options, &mut restored)?;
    settle(options, present, &credentials, &mut restored).await?;
    let now = options.store.clock.now();
    let aside = unused(dir, &PathBuf::from(format!("{ASIDE_PREFIX}{}", time_name(now))));
    swap::commit(dir, &aside).map_err(|error| cannot("replace the data in", dir, &error))?;
    restored.aside = Some(dir.join(aside));
    Ok(restored)
}

/// The backup as a folder: where it lies elsewhere, it is brought beside the data first.
async fn fetched(options: &RestoreOptions) -> Result<PathBuf, StoreError> {
    let to = options.store.dir.join(swap::STAGE_NAME).join(FETCHED_NAME);
    match &options.from {
        Origin::Folder(folder) => return Ok(folder.clone()),
        Origin::Archive { file, identity } => {
            let (file, identity, to) = (file.clone(), identity.clone(), to.clone());
            backup::blocking(move || backup::unpack_file(&file, &to, identity.as_deref())).await?;
        }
        Origin::Bucket { bucket, name, identity } => bucket.fetch(name, &to, identity.clone()).await?,
    }
    Ok(to)
}

/// Two within a second get a number.
fn unused(dir: &Path, name: &Path) -> PathBuf {
    let numbered = (2..).map(|number: u32| PathBuf::from(format!("{}-{number}", name.display())));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !dir.join(name).exists())
        .unwrap_or_else(|| name.to_owned())
}

/// Copies the backup into the data folder, beside the data, and compares it with what it says of itself.
fn stage(from: &Path, dir: &Path) -> Result<Manifest, StoreError> {
    let manifest = Manifest::read(from)?;
    if manifest.schema > migrate::known_version() {
        return Err(StoreError::NewerFile {
            file: from.join(FILE_NAME),
            found: manifest.schema,
            known: migrate::known_version(),
        });
    }
    let data = dir.join(swap::STAGE_NAME).join(swap::DATA_NAME);
    let make = |folder: &Path| {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| cannot("make the folder", folder, &error))
    };
    make(&data)?;
    check_room(&manifest, dir)?;
    for file in &manifest.files {
        if !Manifest::may_name(&file.path) {
            return Err(StoreError::Invalid(format!(
                "{} names {}, which no backup holds: nothing was restored.",
                from.join(MANIFEST_NAME).display(),
                file.path.display()
            )));
        }
        let (source, to) = (from.join(&file.path), data.join(&file.path));
        make(to.parent().unwrap_or(&data))?;
        let copied = copy(&source, &to, None, || true).map_err(|error| cannot("copy", &source, &error))?;
        if (copied.size_bytes, &copied.sha256) != (file.bytes, &file.sha256) {
            return Err(StoreError::Invalid(format!(
                "{} is damaged: it is not what the backup's manifest says. Nothing was changed: restore another \
                 backup.",
                source.display()
            )));
        }
    }
    if !data.join(FILE_NAME).exists() {
        return Err(StoreError::Invalid(format!(
            "{} holds no database. Nothing was changed.",
            from.display()
        )));
    }
    check_copy(&data.join(FILE_NAME), &dir.join(swap::STAGE_NAME), &manifest.tables).map(drop)?;
    Ok(manifest)
}

fn check_room(manifest: &Manifest, dir: &Path) -> Result<(), StoreError> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| cannot("look at the room in", dir, &error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free > manifest.size_bytes() {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "The backup takes {} MB, and {} has {} MB free: the present data stay beside it. Make room there.",
        manifest.size_bytes().div_ceil(1_000_000),
        dir.display(),
        free / 1_000_000
    )))
}

/// What the restored data must not forget of the present ones.
#[derive(Default)]
struct Present {
    installation: String,
    epoch: i64,
    erased: Vec<(i64, String, Timestamp)>,
}

/// Looks into the data that are there. Damaged ones are perhaps why somebody restores: then there is nothing to keep.
fn present(options: &RestoreOptions) -> Result<Present, StoreError> {
    let dir = &options.store.dir;
    let file = dir.join(FILE_NAME);
    if !file.exists() {
        return Ok(Present::default());
    }
    let temp_dir = dir.join(TEMP_NAME);
    DirBuilder::new()
        .recursive(true)
        .create(&temp_dir)
        .map_err(|error| cannot("make the folder", &temp_dir, &error))?;
    let limits = EngineLimits { memory_limit: &options.store.memory_limit, threads: 1, temp_dir: &temp_dir };
    let looked = migrate::open_apart(&file, &limits, AccessMode::ReadOnly).and_then(|connection| {
        let read = Read::new(&connection, usize::MAX);
        let erased = read.rows("SELECT order_no, cause, erased_at FROM main.erasure_log", [], |row| {
            Ok((get(row, 0)?, get(row, 1)?, get_time(row, 2)?))
        })?;
        let installation = super::read_installation(&read)?.ok_or(StoreError::NotFound)?;
        Ok(Present { installation: installation.id, epoch: installation.epoch, erased })
    });
    Ok(looked.unwrap_or_else(|error| {
        tracing::warn!(%error, "the present data cannot be read; they are moved aside as they are");
        Present::default()
    }))
}

/// Connections whose credentials the restored vault holds. A vault that cannot be opened is left out, and begun anew at
/// the next start.
fn open_vault(options: &RestoreOptions, restored: &mut Restored) -> Result<BTreeSet<i64>, StoreError> {
    let dir = &options.store.dir;
    let data = dir.join(swap::STAGE_NAME).join(swap::DATA_NAME);
    let vault = data.join(VAULT_FILE_NAME);
    if !vault.exists() {
        restored.lost_vault = Some("the backup holds none".to_owned());
        return Ok(BTreeSet::new());
    }
    let key_file = dir.join(KEY_FILE_NAME);
    let opened = match &options.key {
        // The key stays where it is; the vault is not there yet.
        KeySource::DataFolder if key_file.exists() => Vault::open(&data, &KeySource::File(key_file)),
        key => Vault::open(&data, key),
    };
    let lost = match opened {
        Ok(vault) => return Ok(vault.read(|document| document.connections.keys().copied().collect())),
        Err(VaultError::KeyMissing { .. }) => {
            format!("its key is not there: {KEY_FILE_NAME} in the data folder, or EIDER_KEY, was not given")
        }
        Err(VaultError::WrongKey { origin, .. }) => {
            format!("{origin} is another key than the one it was written with")
        }
        Err(VaultError::Damaged { problem, .. }) => format!("it is damaged ({problem})"),
        Err(error) => return Err(StoreError::Invalid(error.to_string())),
    };
    std::fs::remove_file(&vault).map_err(|error| cannot("leave out", &vault, &error))?;
    restored.lost_vault = Some(lost);
    Ok(BTreeSet::new())
}

/// Opens the prepared data as the store that they will be, and brings them up to the present.
async fn settle(
    options: &RestoreOptions,
    present: Present,
    credentials: &BTreeSet<i64>,
    restored: &mut Restored,
) -> Result<(), StoreError> {
    let data = options.store.dir.join(swap::STAGE_NAME).join(swap::DATA_NAME);
    let opening = StoreOptions { dir: data.clone(), ..options.store.clone() };
    let store = backup::blocking(move || Store::open(opening)).await?;
    let settled = settle_store(&store, options, present, credentials, restored).await;
    store.close().await;
    drop(store);
    settled?;
    // What a store leaves in its folder beside its data; the data folder has its own.
    let tidy = || -> io::Result<()> {
        std::fs::remove_file(data.join(LOCK_NAME))?;
        swap::remove(&data.join(TEMP_NAME))?;
        std::fs::File::open(data.join(FILE_NAME))?.sync_all()?;
        files::sync_folder(&data)
    };
    tidy().map_err(|error| cannot("prepare", &data, &error))
}

async fn settle_store(
    store: &Store,
    options: &RestoreOptions,
    present: Present,
    credentials: &BTreeSet<i64>,
    restored: &mut Restored,
) -> Result<(), StoreError> {
    restored.findings = store.verify().await?.findings;
    if let (Some(finding), false) = (restored.findings.first(), options.despite_findings) {
        return Err(StoreError::Invalid(format!(
            "The backup's data do not agree with themselves; first of {} findings: {}: {}. Nothing was changed: restore \
             another backup, or this one with --despite-findings.",
            restored.findings.len(),
            finding.check,
            finding.text
        )));
    }
    let is_same = store.installation().id == present.installation;
    let (epoch, erased) = if is_same { (present.epoch, present.erased) } else { (0, Vec::new()) };
    let (erased_again, left) =
        store.write(WriteLane::Interactive, move |tx| erase_again(tx, &erased)).await?;
    restored.erased_again = erased_again;
    let dir = store.dir().to_owned();
    backup::blocking(move || files::remove_content(&dir, &left)).await?;
    let known = store.read(connections::all).await?;
    let needing: Vec<(Connection, &'static str)> = known
        .into_iter()
        .filter_map(|connection| Some((reason(options, &connection, credentials)?, connection)))
        .map(|(reason, connection)| (connection, reason))
        .collect();
    restored.reauthorise =
        needing.iter().map(|(connection, reason)| (connection.alias.clone(), *reason)).collect();
    let are_users_lost = restored.lost_vault.is_some();
    store
        .write(WriteLane::Interactive, move |tx| {
            let now = tx.now();
            sessions::remove_all(tx)?;
            if are_users_lost {
                shop_users::unlink_all(tx)?;
            }
            for (connection, reason) in &needing {
                let note = format!("Restored from a backup: {reason}. Enter its credentials again.");
                let state = ConnectionState::NeedsReauthorisation;
                connections::set_state(tx, connection.id, state, Some(&note), now)?;
            }
            Ok(())
        })
        .await?;
    restored.epoch = store.begin_epoch_after(epoch).await?.epoch;
    Ok(())
}

/// Why a connection needs a person, if it does.
fn reason(
    options: &RestoreOptions,
    connection: &Connection,
    credentials: &BTreeSet<i64>,
) -> Option<&'static str> {
    if !credentials.contains(&connection.id.0) {
        return Some(NO_CREDENTIALS);
    }
    (options.tokens_rotate)(&connection.channel).then_some(ROTATED)
}

/// Erases what was erased since the backup was made. Gives how many orders that were, and the names of files that nothing
/// needs any more.
fn erase_again(
    tx: &mut super::Tx<'_>,
    erased: &[(i64, String, Timestamp)],
) -> Result<(usize, BTreeSet<String>), StoreError> {
    const IS_LOGGED_SQL: &str = "SELECT 1 FROM main.erasure_log WHERE order_no = ? AND erased_at = ?";
    const ERASE_SQL: &str = "UPDATE main.person SET cuts = '[]', people = NULL, search = NULL, erased_at = ?
        WHERE order_no = ?";
    const LOG_SQL: &str = "INSERT INTO main.erasure_log (order_no, cause, erased_at) VALUES (?, ?, ?)";
    let (mut count, mut left) = (0, BTreeSet::new());
    for (order_no, cause, at) in erased {
        if tx.first(IS_LOGGED_SQL, params![order_no, time(*at)], |row| get::<i32>(row, 0))?.is_some() {
            continue;
        }
        tx.execute(ERASE_SQL, params![time(*at), order_no])?;
        left.extend(files::drop_of_person(tx, *order_no)?);
        tx.execute(LOG_SQL, params![order_no, cause, time(*at)])?;
        count += 1;
    }
    let known = files::known(tx.connection())?;
    left.retain(|name| !known.contains(name));
    Ok((count, left))
}

#[cfg(test)]
mod tests;

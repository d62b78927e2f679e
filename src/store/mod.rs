//! The store: the one DuckDB file, the thread that writes it and the connections that read it.
//!
//! Only this module uses DuckDB. All writes pass one thread, which is why keys are unique without any index. A
//! write is durable when its answer arrives. Person data lies in `main.person` and nowhere else; secrets never
//! enter this file.

pub mod backup;
mod compact;
pub mod connections;
pub mod effects;
pub mod entered_addresses;
mod error;
pub mod events;
pub mod export;
pub mod files;
pub mod incidents;
pub mod listings;
pub mod marketplace_refunds;
mod migrate;
pub mod mirror;
pub mod notices;
pub mod orders;
mod pending;
mod query;
mod reader;
pub mod reconciliation;
pub mod refunds;
pub mod replays;
pub mod restore;
pub mod sessions;
pub mod shipments;
pub mod shop_users;
pub mod standing;
pub mod status;
mod values;
pub mod verify;
mod writer;

use std::fs::{File, TryLockError};
use std::future::Future;
use std::io::{Read as _, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use duckdb::{Connection, params};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use prometheus_client::metrics::histogram::Histogram;

use crate::clock::{Entropy, SharedClock, shifted};
use migrate::EngineLimits;
use reader::ReaderPool;
use writer::{Ids, Shared, Writer};

pub use compact::{Compacted, compact};
pub use error::StoreError;
pub use export::{QueryColumn, QueryResult};
pub use reader::Read;
pub use values::external_key;
pub use writer::{BULK_QUEUE_MAX, CommitMoment, INTERACTIVE_QUEUE_MAX, Tx, WriteLane};

/// The database's name in the data folder.
const FILE_NAME: &str = "eider.duckdb";
/// The lock's name in the data folder.
const LOCK_NAME: &str = "eider.lock";
/// Where the database may spill, in the data folder.
const TEMP_NAME: &str = "tmp";
/// Where a backup lies, in the data folder, that is on its way into a bucket.
const STAGING_NAME: &str = "backup.part";
/// Random characters of an installation's id.
const INSTALLATION_ID_BYTES: usize = 9;
/// Where the counts of write times are parted, in seconds.
const WRITE_SECONDS_BUCKETS: [f64; 10] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data folder. It is made where it is missing.
    pub dir: PathBuf,
    /// What DuckDB may use, as it writes it: `1GB`.
    pub memory_limit: String,
    /// Threads of DuckDB.
    pub threads: usize,
    /// Requests that read at a time; the console has as many of its own, at most two.
    pub reader_count: usize,
    /// Deadline of one read.
    pub query_timeout: Duration,
    /// Rows that one read may give.
    pub row_cap: usize,
    /// Bytes that stay free on the disk.
    pub free_space_floor_bytes: u64,
    /// The merchant's zone: days and hours are stamped in it.
    pub zone: TimeZone,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: Arc<Entropy>,
}

/// The data folder's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Random, for good.
    pub id: String,
    /// 1, and one more after every restore.
    pub epoch: i64,
    /// When the installation was made, or the last restore.
    pub epoch_since: Timestamp,
}

/// A platform's clock and ours may differ by so much.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_hours(1);

impl Installation {
    /// True of what a platform says to be of a time before this epoch, or may mean so: its clock is another.
    #[must_use]
    pub fn may_be_older(&self, at: Timestamp) -> bool {
        at <= shifted(self.epoch_since, CLOCK_MARGIN)
    }

    /// True of what may have been dealt with in a time that a restore has forgotten.
    #[must_use]
    pub fn may_have_forgotten(&self, at: Timestamp) -> bool {
        self.epoch > 1 && self.may_be_older(at)
    }
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    writer: Writer,
    write_seconds: Histogram,
    readers: Arc<ReaderPool>,
    consoles: Arc<ReaderPool>,
    installation: RwLock<Installation>,
    is_backing_up: AtomicBool,
    lock: Mutex<Option<File>>,
}

const INSTALLATION_SQL: &str = "SELECT installation_id, epoch, epoch_since FROM main.installation";
const NEW_INSTALLATION_SQL: &str = "INSERT INTO main.installation
    (installation_id, epoch, epoch_since, created_at, merchant_zone) VALUES (?, 1, ?, ?, ?)";
const SET_ZONE_SQL: &str = "UPDATE main.installation SET merchant_zone = ? WHERE merchant_zone <> ?";
const NEW_EPOCH_SQL: &str = "UPDATE main.installation SET epoch = greatest(epoch, ?) + 1, epoch_since = ?";

impl Store {
    /// Opens the data folder, makes it where it is new, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerFile`], or what the disk or the database says.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let dir = &options.dir;
        let temp_dir = dir.join(TEMP_NAME);
        std::fs::create_dir_all(&temp_dir)
            .map_err(|error| StoreError::io(&format!("{} could not be made", temp_dir.display()), &error))?;
        let lock = lock(dir)?;
        restore::finish_interrupted(dir)?;
        compact::remove_rest(dir)?;
        migrate::self_test()?;
        let file = dir.join(FILE_NAME);
        let limits = EngineLimits {
            memory_limit: &options.memory_limit,
            threads: options.threads,
            temp_dir: &temp_dir,
        };
        let now = options.clock.now();
        let connection = migrate::open_file(&file, &limits, now)?;
        files::remove_rest(dir, &connection)?;
        let zone_name = options.zone.iana_name().unwrap_or("UTC").to_owned();
        let installation = identify(&connection, &options.entropy, &zone_name, now)?;
        let shared = Arc::new(Shared {
            dir: dir.clone(),
            file,
            clock: options.clock,
            zone: options.zone,
            zone_name,
            row_cap: options.row_cap,
            free_space_floor_bytes: options.free_space_floor_bytes,
            report_key: OnceLock::new(),
            fatal: tokio::sync::watch::Sender::new(None),
            commit_watcher: writer::CommitWatcher::default(),
        });
        let reader_count = options.reader_count.max(1);
        let clones = |count: usize| (0..count).map(|_| connection.try_clone()).collect::<Result<Vec<_>, _>>();
        let readers = ReaderPool::new(clones(reader_count)?, Arc::clone(&shared), options.query_timeout);
        let consoles = clones(reader_count.min(2))?;
        for console in &consoles {
            console.execute_batch("SET schema = 'report'")?;
        }
        let consoles = ReaderPool::new(consoles, Arc::clone(&shared), options.query_timeout);
        let ids = Ids::load(&connection)?;
        let writer = Writer::start(connection, ids, Arc::clone(&shared))?;
        let inner = Inner {
            shared,
            writer,
            write_seconds: Histogram::new(WRITE_SECONDS_BUCKETS),
            readers,
            consoles,
            installation: RwLock::new(installation),
            is_backing_up: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The key under which buyers appear in reports. Only the first call counts.
    pub fn set_report_key(&self, key: [u8; 32]) {
        self.inner.shared.report_key.get_or_init(|| key);
    }

    /// Tells `watcher` of every commit from now on, on the writer's thread: for whoever imitates a crash there. Only
    /// the first call counts.
    pub fn watch_commits(&self, watcher: impl Fn(CommitMoment) + Send + Sync + 'static) {
        self.inner.shared.commit_watcher.set(Box::new(watcher));
    }

    /// Writes. `work` may run more than once (where a group of writes is undone because of another one), so it must
    /// not move anything out of itself. The answer comes after COMMIT. A caller that goes away does not undo it.
    ///
    /// # Errors
    /// What `work` says, or why nothing could be written.
    pub async fn write<T, F>(&self, lane: WriteLane, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let started = Instant::now();
        let written = self.inner.writer.write(lane, work).await;
        self.inner.write_seconds.observe(started.elapsed().as_secs_f64());
        written
    }

    /// Reads, in one transaction, with the deadline.
    ///
    /// # Errors
    /// [`StoreError::Timeout`], [`StoreError::TooManyRows`], or what `work` says.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.inner.readers.run(work).await
    }

    /// Runs one SELECT over the `report` views: the console's, a report's, an export's.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where it is anything else, [`StoreError::Timeout`], or what the database says.
    pub async fn query(
        &self,
        sql: String,
        params: Vec<serde_json::Value>,
        row_cap: usize,
    ) -> Result<QueryResult, StoreError> {
        self.inner.consoles.run(move |read| query::run(read, &sql, &params, row_cap)).await
    }

    /// How long writes took, in seconds, from asking to the answer after COMMIT.
    #[must_use]
    pub fn write_seconds(&self) -> Histogram {
        self.inner.write_seconds.clone()
    }

    /// Bytes of the log that is not folded into the file yet.
    #[must_use]
    pub fn wal_bytes(&self) -> u64 {
        self.inner.shared.wal_bytes()
    }

    /// Who this data folder is.
    #[must_use]
    pub fn installation(&self) -> Installation {
        self.inner.installation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The merchant's zone: days begin and end in it.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.inner.shared.zone
    }

    /// The data folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.shared.dir
    }

    /// Starts a new epoch: after a restore, what was placed before is probed before it is created.
    ///
    /// # Errors
    /// Why it could not be written.
    pub async fn begin_epoch(&self) -> Result<Installation, StoreError> {
        self.begin_epoch_after(0).await
    }

    /// Starts an epoch that is also newer than `epoch`.
    pub(super) async fn begin_epoch_after(&self, epoch: i64) -> Result<Installation, StoreError> {
        let begun = self
            .write(WriteLane::Interactive, move |tx| {
                tx.execute(NEW_EPOCH_SQL, params![epoch, values::time(tx.now())])?;
                read_installation(tx)
            })
            .await?
            .ok_or(StoreError::NotFound)?;
        *self.inner.installation.write().unwrap_or_else(PoisonError::into_inner) = begun.clone();
        Ok(begun)
    }

    /// Looks whether the data agrees with itself, one check after the other, and at every file. It takes as long as it
    /// takes; writes go on.
    ///
    /// # Errors
    /// What the database or the disk says.
    pub async fn verify(&self) -> Result<verify::Report, StoreError> {
        verify::everything(self).await
    }

    /// Folds the log into the file. Where the file is being copied it waits for that.
    ///
    /// # Errors
    /// What the database says.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        self.inner.writer.checkpoint().await
    }

    /// Copies the database as of now to `to`, which must not be there. Commits go on meanwhile, into the log.
    ///
    /// # Errors
    /// What the database or the disk says.
    pub async fn copy_file(&self, to: PathBuf) -> Result<(), StoreError> {
        backup::copy_database(self, &to).await.map(drop)
    }

    /// Takes no more work, finishes what waits, folds the log in and lets go of the file.
    pub async fn close(&self) {
        let store = self.clone();
        let closed = tokio::task::spawn_blocking(move || {
            store.inner.writer.close();
            store.inner.readers.close();
            store.inner.consoles.close();
            drop(store.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        });
        drop(closed.await);
    }

    /// Resolves with the database's words when it failed for good: the process must end and be started again.
    pub fn fatal(&self) -> impl Future<Output = String> + Send + 'static {
        let mut fatal = self.inner.shared.fatal.subscribe();
        async move {
            loop {
                let text = fatal.borrow_and_update().clone();
                if let Some(text) = text {
                    return text;
                }
                if fatal.changed().await.is_err() {
                    // The store was closed in good order: nothing will ever fail.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// Takes the folder's lock and leaves our process id in it.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_NAME);
    let failed =
        |error: std::io::Error| StoreError::io(&format!("{} could not be used", path.display()), &error);
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(failed)?;
            return Err(StoreError::Locked { dir: dir.to_owned(), holder: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    write!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// Reads who the folder is; a new one becomes somebody.
fn identify(
    connection: &Connection,
    entropy: &Entropy,
    zone_name: &str,
    now: Timestamp,
) -> Result<Installation, StoreError> {
    if let Some(installation) = read_installation(&Read::new(connection, 1))? {
        connection.execute(SET_ZONE_SQL, params![zone_name, zone_name])?;
        return Ok(installation);
    }
    let id = entropy.token(INSTALLATION_ID_BYTES);
    connection.execute(NEW_INSTALLATION_SQL, params![id, values::time(now), values::time(now), zone_name])?;
    Ok(Installation { id, epoch: 1, epoch_since: now })
}

fn read_installation(read: &Read<'_>) -> Result<Option<Installation>, StoreError> {
    read.first(INSTALLATION_SQL, [], |row| {
        Ok(Installation {
            id: values::get(row, 0)?,
            epoch: values::get(row, 1)?,
            epoch_since: values::get_time(row, 2)?,
        })
    })
}

#[cfg(test)]
mod tests;

//! The one thread that writes. It groups waiting writes into one commit and answers each only after that commit;
//! where one of a group fails, the group is rolled back and each runs alone, so that only the bad one fails.
//!
//! It must never answer before COMMIT, never hand out an id twice, and never go on after the database failed for
//! good.

use std::any::Any;
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use duckdb::Connection;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::error::StoreError;
use super::pending::Pending;
use super::reader::Read;
use crate::clock::SharedClock;

/// How many interactive writes may wait.
pub const INTERACTIVE_QUEUE_MAX: usize = 2_048;
/// How many bulk writes may wait.
pub const BULK_QUEUE_MAX: usize = 64;
/// How long a group of interactive writes is kept open for more, while there is company to expect.
const INTERACTIVE_WINDOW: Duration = Duration::from_millis(2);
/// How many interactive writes go into one commit.
const INTERACTIVE_GROUP_MAX: usize = 256;
/// How many orders go into one commit of the bulk lane.
const BULK_GROUP_ORDERS_MAX: usize = 10_000;
/// How long a bulk commit goes on while interactive writes wait.
const BULK_CUT: Duration = Duration::from_millis(50);
/// How long a bulk commit goes on while nobody waits.
const BULK_GROUP: Duration = Duration::from_millis(500);
/// Without writes for so long, the log is folded into the file.
const QUIET: Duration = Duration::from_secs(2);
/// A smaller log is left alone when quiet.
const QUIET_WAL_BYTES_MIN: u64 = 4 << 20;
/// A larger log is folded in at once.
const WAL_BYTES_MAX: u64 = 256 << 20;

/// A queue of writes that the other may not starve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteLane {
    /// Somebody waits: one order, a button, an effect's step.
    Interactive,
    /// Pages of history, listings.
    Bulk,
}

/// What writer and readers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) file: PathBuf,
    pub(super) clock: SharedClock,
    pub(super) zone: TimeZone,
    pub(super) zone_name: String,
    pub(super) row_cap: usize,
    pub(super) free_space_floor_bytes: u64,
    pub(super) report_key: OnceLock<[u8; 32]>,
    pub(super) fatal: watch::Sender<Option<String>>,
    pub(super) commit_watcher: CommitWatcher,
}

/// A moment around a commit, for whoever imitates a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitMoment {
    /// Everything has been said to the database; nothing of it is durable.
    Before,
    /// It is durable; nobody has been told.
    After,
}

/// Who is told of every commit, on the writer's thread.
#[derive(Default)]
pub(super) struct CommitWatcher(OnceLock<Box<dyn Fn(CommitMoment) + Send + Sync>>);

impl CommitWatcher {
    pub(super) fn set(&self, watcher: Box<dyn Fn(CommitMoment) + Send + Sync>) {
        self.0.get_or_init(|| watcher);
    }

    fn tell(&self, moment: CommitMoment) {
        if let Some(watcher) = self.0.get() {
            watcher(moment);
        }
    }
}

impl std::fmt::Debug for CommitWatcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CommitWatcher")
    }
}

impl Shared {
    /// Remembers that the database failed for good, so that the process ends with a clear text.
    pub(super) fn note(&self, error: &StoreError) {
        if let StoreError::Fatal(text) = error {
            self.fatal.send_if_modified(|fatal| {
                let is_news = fatal.is_none();
                fatal.get_or_insert_with(|| text.clone());
                is_news
            });
        }
    }

    fn failed(&self) -> Option<StoreError> {
        self.fatal.borrow().clone().map(StoreError::Fatal)
    }

    pub(super) fn check_space(&self) -> Result<(), StoreError> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|error| StoreError::io("The free space could not be read", &error.into()))?;
        let available_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        if available_bytes < self.free_space_floor_bytes {
            return Err(StoreError::FreeSpace {
                dir: self.dir.clone(),
                available_bytes,
                floor_bytes: self.free_space_floor_bytes,
            });
        }
        Ok(())
    }

    pub(super) fn wal_bytes(&self) -> u64 {
        let mut name = self.file.as_os_str().to_owned();
        name.push(".wal");
        std::fs::metadata(name).map(|meta| meta.len()).unwrap_or(0)
    }
}

/// The last id of each kind that was handed out. Gaps are fine, reuse is not: nothing is ever put back.
#[derive(Debug, Default)]
pub(super) struct Ids {
    order_no: i64,
    payload: i64,
    person: i64,
    event: i64,
    effect: i64,
    connection: i64,
    listing: i64,
    incident: i64,
}

impl Ids {
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        // One statement for each: planning them as one takes the database several times as long as all of these.
        let last = |id: &str, tables: &[&str]| {
            tables.iter().try_fold(0_i64, |known, table| {
                let sql = format!("SELECT coalesce(max({id}), 0) FROM {table}");
                Ok::<i64, StoreError>(known.max(connection.query_row(&sql, [], |row| row.get(0))?))
            })
        };
        Ok(Self {
            order_no: last("order_no", &["main.orders"])?,
            payload: last("payload_id", &["raw.payload", "main.parked"])?,
            person: last("person_id", &["main.person"])?,
            event: last("event_id", &["main.event"])?,
            effect: last("effect_id", &["main.effect_open", "main.effect_log"])?,
            connection: last("connection_id", &["main.connection"])?,
            listing: last("listing_id", &["main.listing"])?,
            incident: last("incident_id", &["main.incident"])?,
        })
    }

    pub(super) fn order_no(&mut self) -> i64 {
        self.order_no += 1;
        self.order_no
    }
    pub(super) fn payload(&mut self) -> i64 {
        self.payload += 1;
        self.payload
    }
    pub(super) fn person(&mut self) -> i64 {
        self.person += 1;
        self.person
    }
    pub(super) fn event(&mut self) -> i64 {
        self.event += 1;
        self.event
    }
    pub(super) fn effect(&mut self) -> i64 {
        self.effect += 1;
        self.effect
    }
    pub(super) fn connection(&mut self) -> i64 {
        self.connection += 1;
        self.connection
    }
    pub(super) fn listing(&mut self) -> i64 {
        self.listing += 1;
        self.listing
    }
    pub(super) fn incident(&mut self) -> i64 {
        self.incident += 1;
        self.incident
    }
}

/// An open write. Everything that is asked of a [`Read`] can be asked of it, and sees its own writes.
pub struct Tx<'c> {
    read: Read<'c>,
    pub(super) ids: &'c mut Ids,
    pub(super) shared: &'c Shared,
    pending: &'c RefCell<Pending>,
    pub(super) order_count: usize,
}

impl<'c> Tx<'c> {
    /// The present, by the program's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Changes that go out together at the end of the commit.
    pub(super) fn pending(&self) -> RefMut<'_, Pending> {
        self.pending.borrow_mut()
    }
}

impl<'c> Deref for Tx<'c> {
    type Target = Read<'c>;

    fn deref(&self) -> &Read<'c> {
        &self.read
    }
}

/// One waiting write.
trait Item: Send {
    /// Runs it. It may run more than once.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Answers whoever waits.
    fn settle(self: Box<Self>, result: Result<(), StoreError>);
}

struct Work<T, F> {
    work: F,
    value: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    // Held until the answer is out: this is what bounds the queue.
    _permit: OwnedSemaphorePermit,
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send> Item for Work<T, F> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.value = Some((self.work)(tx)?);
        Ok(())
    }

    fn settle(self: Box<Self>, result: Result<(), StoreError>) {
        let Self { value, answer, .. } = *self;
        // Whoever asked may have gone away; the write stands all the same.
        drop(answer.send(result.and_then(|()| value.ok_or(StoreError::Closed))));
    }
}

enum Command {
    Checkpoint(oneshot::Sender<Result<(), StoreError>>),
    HoldFile(oneshot::Sender<Result<FileHold, StoreError>>),
}

/// While this is held the file stays as of the checkpoint before it: commits go on, into the log. Letting go, also in
/// a panic, lets checkpoints happen again.
pub(super) struct FileHold {
    /// How much of the file belongs to that checkpoint; bulk writes may append to it meanwhile.
    pub(super) size_bytes: u64,
    /// Rows of each table as of that checkpoint, as `schema.table`.
    pub(super) row_counts: BTreeMap<String, i64>,
    queue: Arc<Queue>,
}

impl FileHold {
    /// True where the program wants to end: whoever holds the file should let go.
    pub(super) fn is_unwelcome(&self) -> bool {
        self.queue.lock().is_closed
    }
}

impl Drop for FileHold {
    fn drop(&mut self) {
        self.queue.lock().is_held = false;
        self.queue.news.notify_all();
    }
}

#[derive(Default)]
struct Waiting {
    interactive: VecDeque<Box<dyn Item>>,
    bulk: VecDeque<Box<dyn Item>>,
    commands: VecDeque<Command>,
    /// The file is being copied: no checkpoint may happen, and commands wait.
    is_held: bool,
    is_closed: bool,
}

struct Queue {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the writer thread.
pub(super) struct Writer {
    queue: Arc<Queue>,
    interactive: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection, ids: Ids, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue { waiting: Mutex::default(), news: Condvar::new() });
        let mut pending = Pending::default();
        pending.reload(&connection)?;
        let pending = RefCell::new(pending);
        let side = WriterThread { connection, ids, pending, shared, queue: Arc::clone(&queue), company: 1 };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || side.run())
            .map_err(|error| StoreError::io("The writer could not be started", &error))?;
        Ok(Self {
            queue,
            interactive: Arc::new(Semaphore::new(INTERACTIVE_QUEUE_MAX)),
            bulk: Arc::new(Semaphore::new(BULK_QUEUE_MAX)),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) async fn write<T, F>(&self, lane: WriteLane, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let room = match lane {
            WriteLane::Interactive => &self.interactive,
            WriteLane::Bulk => &self.bulk,
        };
        let permit = Arc::clone(room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let item = Box::new(Work { work, value: None, answer, _permit: permit });
        {
            let mut waiting = self.queue.lock();
            if waiting.is_closed {
                return Err(StoreError::Closed);
            }
            match lane {
                WriteLane::Interactive => waiting.interactive.push_back(item),
                WriteLane::Bulk => waiting.bulk.push_back(item),
            }
        }
        self.queue.news.notify_one();
        answered.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) async fn checkpoint(&self) -> Result<(), StoreError> {
        self.command(Command::Checkpoint).await
    }

    /// Folds the log in and keeps the file as it then is. One at a time: a second one waits for the first.
    pub(super) async fn hold_file(&self) -> Result<FileHold, StoreError> {
        self.command(Command::HoldFile).await
    }

    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.queue.lock();
            if waiting.is_closed {
                return Err(StoreError::Closed);
            }
            waiting.commands.push_back(command(answer));
        }
        self.queue.news.notify_one();
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes no more writes, finishes those that wait, folds the log in and ends the thread.
    pub(super) fn close(&self) {
        self.queue.lock().is_closed = true;
        self.queue.news.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

struct WriterThread {
    connection: Connection,
    ids: Ids,
    pending: RefCell<Pending>,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    /// How many interactive writes the last group had: as many may be about to come again.
    company: usize,
}

impl WriterThread {
    fn run(mut self) {
        loop {
            let (command, has_interactive, has_bulk, is_closed) = self.wait();
            if let Some(command) = command {
                self.obey(command);
            }
            if has_interactive {
                self.interactive_group();
            }
            if has_bulk {
                self.bulk_group();
            }
            if !has_interactive && !has_bulk && is_closed {
                self.wait_for_file();
                self.fold(0);
                return;
            }
            self.fold(WAL_BYTES_MAX);
        }
    }

    /// Waits for work. When quiet for a while it folds the log into the file meanwhile.
    fn wait(&self) -> (Option<Command>, bool, bool, bool) {
        let mut waiting = self.queue.lock();
        loop {
            let has_interactive = !waiting.interactive.is_empty();
            let has_bulk = !waiting.bulk.is_empty();
            let has_commands = !waiting.is_held && !waiting.commands.is_empty();
            if has_interactive || has_bulk || waiting.is_closed || has_commands {
                // One at a time: it may be to hold the file.
                let command = if has_commands { waiting.commands.pop_front() } else { None };
                return (command, has_interactive, has_bulk, waiting.is_closed);
            }
            let (guard, timeout) =
                self.queue.news.wait_timeout(waiting, QUIET).unwrap_or_else(PoisonError::into_inner);
            waiting = guard;
            if timeout.timed_out() && waiting.interactive.is_empty() && waiting.bulk.is_empty() {
                drop(waiting);
                self.fold(QUIET_WAL_BYTES_MIN);
                waiting = self.queue.lock();
            }
        }
    }

    /// Whoever copies the file is told to let go when the program ends, and does so soon. Closing the database would
    /// fold the log in under the copy.
    fn wait_for_file(&self) {
        let mut waiting = self.queue.lock();
        // Their askers hear that the program ends.
        waiting.commands.clear();
        while waiting.is_held {
            waiting = self.queue.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn obey(&self, command: Command) {
        match command {
            Command::Checkpoint(answer) => drop(answer.send(self.checkpoint())),
            // Where nobody waits for it any more, the hold ends with the answer.
            Command::HoldFile(answer) => drop(answer.send(self.hold_file())),
        }
    }

    fn hold_file(&self) -> Result<FileHold, StoreError> {
        self.checkpoint()?;
        let size_bytes = file_bytes(&self.shared.file)?;
        let row_counts = super::backup::row_counts(&self.connection)?;
        self.queue.lock().is_held = true;
        Ok(FileHold { size_bytes, row_counts, queue: Arc::clone(&self.queue) })
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.shared.check_space()?;
        self.connection
            .execute_batch("CHECKPOINT")
            .map_err(StoreError::from)
            .inspect_err(|error| self.shared.note(error))
    }

    /// Folds the log into the file where it is larger than `bytes`.
    fn fold(&self, bytes: u64) {
        if self.shared.failed().is_some() || self.shared.wal_bytes() <= bytes || self.queue.lock().is_held {
            return;
        }
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the log could not be folded into the data file; it is tried again");
        }
    }

    /// Commits what waits in the interactive lane. With company expected it waits a little for it.
    fn interactive_group(&mut self) {
        let until = Instant::now() + INTERACTIVE_WINDOW;
        let mut waiting = self.queue.lock();
        while waiting.interactive.len() < self.company {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            let (guard, _) =
                self.queue.news.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
            waiting = guard;
        }
        let size = waiting.interactive.len().min(INTERACTIVE_GROUP_MAX);
        let mut items: VecDeque<_> = waiting.interactive.drain(..size).collect();
        drop(waiting);
        self.company = size.max(1);
        while !items.is_empty() {
            self.group(|_, _| items.pop_front());
        }
    }

    fn bulk_group(&mut self) {
        let queue = Arc::clone(&self.queue);
        let started = Instant::now();
        self.group(|item_count, order_count| {
            let mut waiting = queue.lock();
            let age = started.elapsed();
            let is_full = order_count >= BULK_GROUP_ORDERS_MAX
                || age >= BULK_GROUP
                || (age >= BULK_CUT && !waiting.interactive.is_empty());
            if item_count > 0 && is_full { None } else { waiting.bulk.pop_front() }
        });
    }

    /// Runs what `next` gives in one commit, or each alone where one of them fails.
    fn group(&mut self, next: impl FnMut(usize, usize) -> Option<Box<dyn Item>>) {
        let mut items = Vec::new();
        let result = self.attempt(&mut items, next);
        if let Err(error) = &result {
            self.roll_back(error);
            if items.len() > 1 && !error.is_fatal() {
                for item in items {
                    self.alone(item);
                }
                return;
            }
        }
        for item in items {
            item.settle(result.clone());
        }
    }

    fn alone(&mut self, item: Box<dyn Item>) {
        let mut items = Vec::new();
        let mut item = Some(item);
        let result = self.attempt(&mut items, |_, _| item.take());
        if let Err(error) = &result {
            self.roll_back(error);
        }
        for item in items {
            item.settle(result.clone());
        }
    }

    /// Every item that was taken lies in `items` afterwards, whatever happened; at least one is taken.
    fn attempt(
        &mut self,
        items: &mut Vec<Box<dyn Item>>,
        mut next: impl FnMut(usize, usize) -> Option<Box<dyn Item>>,
    ) -> Result<(), StoreError> {
        items.extend(next(0, 0));
        if let Some(error) = self.shared.failed() {
            return Err(error);
        }
        self.shared.check_space()?;
        self.connection.execute_batch("BEGIN TRANSACTION")?;
        let mut tx = Tx {
            read: Read::within(&self.connection, &self.pending),
            ids: &mut self.ids,
            shared: &self.shared,
            pending: &self.pending,
            order_count: 0,
        };
        while let Some(item) = items.last_mut() {
            catch_unwind(AssertUnwindSafe(|| item.run(&mut tx)))
                .unwrap_or_else(|panic| Err(panicked(&*panic)))?;
            match next(items.len(), tx.order_count) {
                Some(item) => items.push(item),
                None => break,
            }
        }
        tx.settle()?;
        self.shared.commit_watcher.tell(CommitMoment::Before);
        self.connection.execute_batch("COMMIT")?;
        self.shared.commit_watcher.tell(CommitMoment::After);
        Ok(())
    }

    fn roll_back(&self, error: &StoreError) {
        self.shared.note(error);
        if error.is_fatal() {
            return;
        }
        // Where the transaction never began, or ended with a failed COMMIT, the ROLLBACK says that there is none.
        if let Err(error) = self.connection.execute_batch("ROLLBACK") {
            let error = StoreError::from(error);
            self.shared.note(&error);
            tracing::debug!(%error, "there was nothing to roll back");
        }
        // What was to be written is undone with the rest.
        if let Err(error) = self.pending.borrow_mut().reload(&self.connection) {
            self.shared.note(&StoreError::Fatal(format!("Open work could not be read again: {error}")));
        }
    }
}

fn file_bytes(file: &Path) -> Result<u64, StoreError> {
    let metadata = std::fs::metadata(file)
        .map_err(|error| StoreError::io(&format!("{} could not be looked at", file.display()), &error))?;
    Ok(metadata.len())
}

fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    StoreError::Invalid(format!("A write failed inside this program and was undone: {text}"))
}

//! What platforms pushed and nobody has read yet: an append-only file of its own, so that a platform is answered as
//! soon as its message is durable, however long a commit, a checkpoint or a backup takes.
//!
//! A line is one message. Lines that were read are forgotten in memory; the file is emptied when none waits any more.
//! After a crash some messages are read twice, which changes nothing: a message only says what to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::domain::id::ConnectionId;

/// The spool's name in the data folder.
pub const SPOOL_FILE_NAME: &str = "pushed.jsonl";
/// Messages that wait, of one connection: more are refused, and the platform sends them again later.
const WAITING_MAX: usize = 20_000;
/// Bytes of bodies that wait in all.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Messages that become durable together.
const GROUP_MAX: usize = 256;
/// A file that is longer and mostly read is written anew.
const REWRITE_BYTES_MIN: u64 = 32 * 1024 * 1024;

/// Why a message was not taken.
#[derive(Debug, Clone, Error)]
pub enum SpoolError {
    /// Too much waits already.
    #[error("too many messages wait to be read")]
    Full,
    /// The disk.
    #[error("the spool of pushed messages cannot be written: {0}. Platforms send them again; polls go on")]
    Io(String),
}

/// A message that waits to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: later ones are higher.
    pub id: u64,
    /// The connection that it came to.
    pub connection: ConnectionId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Headers that its signature needs.
    pub headers: BTreeMap<String, String>,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// That it could not be read yet; nothing of that is kept in the file.
    pub put_off: Option<PutOff>,
}

/// A message that could not be read waits behind the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOff {
    /// How often it could not be read.
    pub tries: u32,
    /// Not before that time again.
    pub due_at: Timestamp,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    id: u64,
    connection: ConnectionId,
    received_at: Timestamp,
    headers: BTreeMap<String, String>,
    /// Base64.
    body: String,
}

enum Message {
    Append(Entry, oneshot::Sender<Result<(), SpoolError>>),
    /// Something was read: the file may be emptied.
    Tidy,
    /// Somebody waits until what came before is done.
    Settle(mpsc::SyncSender<()>),
}

/// A moment of the spool, for whoever imitates a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolMoment {
    /// A message is about to be written; nothing of it is durable. On the thread that writes.
    BeforeAppend,
    /// It is durable; nobody has been told. On the thread that writes.
    AfterAppend,
    /// Messages were dealt with; the spool still has them. On the thread of whoever dealt with them.
    BeforeForgotten,
}

/// Who is told of every moment of the spool.
type Watcher = Box<dyn Fn(ConnectionId, SpoolMoment) + Send + Sync>;

#[derive(Default)]
struct Waiting {
    entries: BTreeMap<u64, Entry>,
    /// How many of them are of each connection: asked for with every message.
    counts: BTreeMap<ConnectionId, usize>,
    bytes: usize,
    last_id: u64,
}

impl Waiting {
    fn add(&mut self, entry: Entry) {
        self.bytes = self.bytes.saturating_add(entry.body.len());
        *self.counts.entry(entry.connection).or_default() += 1;
        self.entries.insert(entry.id, entry);
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.bytes = self.bytes.saturating_sub(entry.body.len());
        if let Some(count) = self.counts.get_mut(&entry.connection) {
            *count = count.saturating_sub(1);
        }
    }
}

struct Shared {
    path: PathBuf,
    waiting: Mutex<Waiting>,
    watcher: OnceLock<Watcher>,
}

/// The spool, open. One per data folder; cheap to clone.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    /// The thread that writes, once there is something to write.
    writer: Arc<Mutex<Option<mpsc::Sender<Message>>>>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens the spool of a data folder and finds what was not read before. No file is made before there is a message.
    ///
    /// # Errors
    /// Where the file is there and cannot be read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(SPOOL_FILE_NAME);
        let mut waiting = Waiting::default();
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(file) => {
                for line in BufReader::new(file).split(b'\n') {
                    match read_line(&line?) {
                        Some(entry) => {
                            waiting.last_id = waiting.last_id.max(entry.id);
                            waiting.add(entry);
                        }
                        // Half a line was never acknowledged: its platform sends it again.
                        None => tracing::warn!("a line of {} is incomplete and was left out", path.display()),
                    }
                }
            }
        }
        let shared = Arc::new(Shared { path, waiting: Mutex::new(waiting), watcher: OnceLock::new() });
        Ok(Self { shared, writer: Arc::default() })
    }

    /// Tells `watcher` of every moment from now on: for whoever imitates a crash there. Only the first call counts.
    pub fn watch(&self, watcher: impl Fn(ConnectionId, SpoolMoment) + Send + Sync + 'static) {
        self.shared.watcher.get_or_init(|| Box::new(watcher));
    }

    /// Returns once the file is as everything that was asked for up to now leaves it.
    pub fn settle(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (done, is_done) = mpsc::sync_channel(1);
        // Without a thread nothing was asked for, or nothing is done any more.
        if writer.is_some_and(|writer| writer.send(Message::Settle(done)).is_ok()) {
            let _ = is_done.recv();
        }
    }

    /// Keeps a message. When this returns, it is durable.
    ///
    /// # Errors
    /// See [`SpoolError`]; the message is not kept then.
    pub async fn append(
        &self,
        connection: ConnectionId,
        received_at: Timestamp,
        headers: BTreeMap<String, String>,
        body: Bytes,
    ) -> Result<(), SpoolError> {
        let entry = {
            let mut waiting = self.shared.lock();
            let of_connection = waiting.counts.get(&connection).copied().unwrap_or_default();
            if of_connection >= WAITING_MAX || waiting.bytes.saturating_add(body.len()) > WAITING_BYTES_MAX {
                return Err(SpoolError::Full);
            }
            waiting.last_id = waiting.last_id.saturating_add(1);
            Entry { id: waiting.last_id, connection, received_at, headers, body, put_off: None }
        };
        let (answer, answered) = oneshot::channel();
        self.send(Message::Append(entry, answer))?;
        answered.await.unwrap_or_else(|_| Err(SpoolError::Io("its thread ended".to_owned())))
    }

    /// The oldest messages of a connection that wait, without those that are put off.
    #[must_use]
    pub fn waiting(&self, connection: ConnectionId, at_most: usize, now: Timestamp) -> Vec<Entry> {
        let waiting = self.shared.lock();
        waiting
            .entries
            .values()
            .filter(|entry| entry.connection == connection)
            .filter(|entry| entry.put_off.is_none_or(|put_off| put_off.due_at <= now))
            .take(at_most)
            .cloned()
            .collect()
    }

    /// Has a message wait behind the others.
    pub fn put_off(&self, id: u64, put_off: PutOff) {
        if let Some(entry) = self.shared.lock().entries.get_mut(&id) {
            entry.put_off = Some(put_off);
        }
    }

    /// When the first of a connection's messages that are put off is due.
    #[must_use]
    pub fn next_due(&self, connection: ConnectionId) -> Option<Timestamp> {
        let waiting = self.shared.lock();
        let own = waiting.entries.values().filter(|entry| entry.connection == connection);
        own.filter_map(|entry| Some(entry.put_off?.due_at)).min()
    }

    /// How many messages wait, of all connections.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.shared.lock().entries.len()
    }

    /// Forgets messages that were read.
    pub fn done(&self, ids: &[u64]) {
        let first =
            ids.iter().find_map(|id| self.shared.lock().entries.get(id).map(|entry| entry.connection));
        if let Some(connection) = first {
            self.shared.tell(connection, SpoolMoment::BeforeForgotten);
        }
        {
            let mut waiting = self.shared.lock();
            for id in ids {
                waiting.remove(*id);
            }
        }
        // Where this fails, the messages are read once more after the next start.
        if let Err(error) = self.send(Message::Tidy) {
            tracing::warn!("{error}");
        }
    }

    /// Forgets messages of connections that are not among `known`: nobody reads them. Returns how many there were.
    pub fn keep_of(&self, known: &BTreeSet<ConnectionId>) -> usize {
        let unknown: Vec<u64> = {
            let waiting = self.shared.lock();
            let others = waiting.entries.values().filter(|entry| !known.contains(&entry.connection));
            others.map(|entry| entry.id).collect()
        };
        if !unknown.is_empty() {
            self.done(&unknown);
        }
        unknown.len()
    }

    fn send(&self, message: Message) -> Result<(), SpoolError> {
        let gone = || SpoolError::Io("its thread ended".to_owned());
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() {
            let (sender, receiver) = mpsc::channel();
            let shared = Arc::clone(&self.shared);
            let mut file = Writer::open(&shared.path).map_err(|error| SpoolError::Io(error.to_string()))?;
            std::thread::Builder::new()
                .name("push-spool".to_owned())
                .spawn(move || file.run(&shared, &receiver))
                .map_err(|error| SpoolError::Io(error.to_string()))?;
            *writer = Some(sender);
        }
        writer.as_ref().ok_or_else(gone)?.send(message).map_err(|_| gone())
    }
}

impl Shared {
    fn tell(&self, connection: ConnectionId, moment: SpoolMoment) {
        if let Some(watcher) = self.watcher.get() {
            watcher(connection, moment);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's end of the file.
struct Writer {
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

impl Writer {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let mut writer = Self { file, length };
        if !writer.ends_whole()? {
            // A line that was cut off must not swallow the next one.
            writer.append(b"\n")?;
        }
        Ok(writer)
    }

    fn ends_whole(&self) -> io::Result<bool> {
        use std::os::unix::fs::FileExt as _;
        let Some(last) = self.length.checked_sub(1) else { return Ok(true) };
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, last)?;
        Ok(byte == *b"\n")
    }

    fn run(&mut self, shared: &Shared, messages: &mpsc::Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            let mut entries = Vec::new();
            let mut answers = Vec::new();
            let mut waiters = Vec::new();
            for message in std::iter::once(first).chain(messages.try_iter().take(GROUP_MAX)) {
                match message {
                    Message::Append(entry, answer) => {
                        entries.push(entry);
                        answers.push(answer);
                    }
                    Message::Settle(waiter) => waiters.push(waiter),
                    Message::Tidy => {}
                }
            }
            // Before new ones lie behind what was read.
            if let Err(error) = self.tidy(shared) {
                tracing::warn!("the spool of pushed messages cannot be emptied: {error}");
            }
            let first = entries.first().map(|entry| entry.connection);
            if let Some(connection) = first {
                shared.tell(connection, SpoolMoment::BeforeAppend);
            }
            let kept = self.keep(&entries).map_err(|error| SpoolError::Io(error.to_string()));
            if let Some(connection) = first.filter(|_| kept.is_ok()) {
                shared.tell(connection, SpoolMoment::AfterAppend);
            }
            if kept.is_ok() {
                let mut waiting = shared.lock();
                for entry in entries {
                    waiting.add(entry);
                }
            }
            for answer in answers {
                // Whoever asked may have gone away: then the platform sends it again.
                let _ = answer.send(kept.clone());
            }
            for waiter in waiters {
                // Nobody else waits.
                let _ = waiter.send(());
            }
        }
    }

    fn keep(&mut self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for entry in entries {
            write_line(&mut lines, entry)?;
        }
        self.append(&lines)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a group is worse than none.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Gives back the room of what was read.
    fn tidy(&mut self, shared: &Shared) -> io::Result<()> {
        let left = {
            let waiting = shared.lock();
            let is_worth_it = self.length > REWRITE_BYTES_MIN
                && u64::try_from(waiting.bytes).is_ok_and(|bytes| bytes < self.length / 4);
            if self.length == 0 || !(waiting.entries.is_empty() || is_worth_it) {
                return Ok(());
            }
            waiting.entries.values().cloned().collect::<Vec<_>>()
        };
        if left.is_empty() {
            self.file.set_len(0)?;
            self.length = 0;
            return Ok(());
        }
        let fresh = shared.path.with_extension("new");
        let mut lines = Vec::new();
        for entry in &left {
            write_line(&mut lines, entry)?;
        }
        let mut file = File::create(&fresh)?;
        file.write_all(&lines)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &shared.path)?;
        *self = Self::open(&shared.path)?;
        Ok(())
    }
}

fn write_line(to: &mut Vec<u8>, entry: &Entry) -> io::Result<()> {
    let line = Line {
        id: entry.id,
        connection: entry.connection,
        received_at: entry.received_at,
        headers: entry.headers.clone(),
        body: STANDARD.encode(&entry.body),
    };
    serde_json::to_writer(&mut *to, &line)?;
    to.push(b'\n');
    Ok(())
}

fn read_line(bytes: &[u8]) -> Option<Entry> {
    let line: Line = serde_json::from_slice(bytes).ok()?;
    Some(Entry {
        id: line.id,
        connection: line.connection,
        received_at: line.received_at,
        headers: line.headers,
        body: STANDARD.decode(line.body).ok()?.into(),
        put_off: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConnectionId = ConnectionId(1);
    const TWO: ConnectionId = ConnectionId(2);

    async fn push(spool: &Spool, connection: ConnectionId, body: &str) {
        let headers = BTreeMap::from([("webhook-id".to_owned(), "m\"1".to_owned())]);
        let at = Timestamp::UNIX_EPOCH;
        spool.append(connection, at, headers, Bytes::copy_from_slice(body.as_bytes())).await.unwrap();
    }

    fn bodies(spool: &Spool, connection: ConnectionId) -> Vec<Bytes> {
        spool.waiting(connection, 100, Timestamp::UNIX_EPOCH).into_iter().map(|entry| entry.body).collect()
    }

    #[tokio::test]
    async fn what_was_not_read_is_there_after_a_restart_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        for body in ["a\n", "b", "\u{0}c"] {
            push(&spool, ONE, body).await;
        }
        push(&spool, TWO, "other").await;
        let first = spool.waiting(ONE, 1, Timestamp::UNIX_EPOCH);
        spool.done(&[first[0].id]);
        drop(spool);
        let again = Spool::open(dir.path()).unwrap();
        // What was read is read again: nothing waits for that to be durable.
        assert_eq!(bodies(&again, ONE), ["a\n", "b", "\u{0}c"]);
        assert_eq!(again.waiting(ONE, 1, Timestamp::UNIX_EPOCH)[0].headers["webhook-id"], "m\"1");
        push(&again, ONE, "d").await;
        assert_eq!(bodies(&again, ONE), ["a\n", "b", "\u{0}c", "d"]);
        assert_eq!(bodies(&again, TWO), ["other"]);
    }

    #[tokio::test]
    async fn what_is_put_off_waits_behind_the_others_and_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        push(&spool, ONE, "first").await;
        push(&spool, ONE, "second").await;
        let due_at = Timestamp::from_second(60).unwrap();
        let first = spool.waiting(ONE, 1, Timestamp::UNIX_EPOCH)[0].id;
        spool.put_off(first, PutOff { tries: 1, due_at });
        assert_eq!(bodies(&spool, ONE), ["second"]);
        assert_eq!((spool.next_due(ONE), spool.next_due(TWO)), (Some(due_at), None));
        let due: Vec<Bytes> = spool.waiting(ONE, 9, due_at).into_iter().map(|entry| entry.body).collect();
        assert_eq!(due, ["first", "second"]);
        drop(spool);
        assert_eq!(bodies(&Spool::open(dir.path()).unwrap(), ONE), ["first", "second"]);
    }

    #[tokio::test]
    async fn what_belongs_to_no_connection_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        push(&spool, ONE, "a").await;
        push(&spool, TWO, "b").await;
        assert_eq!(spool.keep_of(&BTreeSet::from([ONE])), 1);
        assert_eq!((bodies(&spool, ONE).len(), spool.waiting_count()), (1, 1));
        spool.done(&[spool.waiting(ONE, 1, Timestamp::UNIX_EPOCH)[0].id]);
        spool.settle();
        assert_eq!(Spool::open(dir.path()).unwrap().waiting_count(), 0);
    }

    #[tokio::test]
    async fn a_line_that_was_cut_off_costs_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        push(&spool, ONE, "whole").await;
        drop(spool);
        let path = dir.path().join(SPOOL_FILE_NAME);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":2,\"conn").unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        assert_eq!(bodies(&spool, ONE), ["whole"]);
        push(&spool, ONE, "next").await;
        drop(spool);
        assert_eq!(bodies(&Spool::open(dir.path()).unwrap(), ONE), ["whole", "next"]);
    }

    #[tokio::test]
    async fn the_file_is_empty_when_all_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        assert!(!dir.path().join(SPOOL_FILE_NAME).exists());
        for body in ["a", "b"] {
            push(&spool, ONE, body).await;
        }
        let ids: Vec<u64> =
            spool.waiting(ONE, 10, Timestamp::UNIX_EPOCH).iter().map(|entry| entry.id).collect();
        spool.done(&ids);
        // The thread takes one message after the other: this one comes after the emptying.
        push(&spool, TWO, "later").await;
        assert_eq!(spool.waiting_count(), 1);
        drop(spool);
        assert_eq!(bodies(&Spool::open(dir.path()).unwrap(), ONE), Vec::<Bytes>::new());
    }

    #[tokio::test]
    async fn whoever_imitates_a_crash_sees_the_file_before_and_after_each_step() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let path = dir.path().join(SPOOL_FILE_NAME);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (keeps, file) = (Arc::clone(&seen), path.clone());
        spool.watch(move |connection, moment| {
            let length = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
            keeps.lock().unwrap().push((connection, moment, length > 0));
        });
        push(&spool, TWO, "message").await;
        let ids: Vec<u64> =
            spool.waiting(TWO, 10, Timestamp::UNIX_EPOCH).iter().map(|entry| entry.id).collect();
        spool.done(&ids);
        // Asked for and not waited for: only who settles can say what the file holds.
        spool.settle();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        spool.done(&ids);
        let expected = [
            (TWO, SpoolMoment::BeforeAppend, false),
            (TWO, SpoolMoment::AfterAppend, true),
            (TWO, SpoolMoment::BeforeForgotten, true),
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn more_than_can_wait_is_refused_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let large = Bytes::from(vec![b'x'; WAITING_BYTES_MAX / 2]);
        let append = |body: Bytes| spool.append(ONE, Timestamp::UNIX_EPOCH, BTreeMap::new(), body);
        append(large.clone()).await.unwrap();
        append(large.clone()).await.unwrap();
        assert!(matches!(append(Bytes::from_static(b"x")).await, Err(SpoolError::Full)));
        assert_eq!(spool.waiting_count(), 2);
    }
}

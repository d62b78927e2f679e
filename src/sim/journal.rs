//! What survives a kill: an append-only file of records, made durable before an answer leaves.
//!
//! A generation is a snapshot and the journal of everything after it. Calls that run at the same time share one
//! fsync. A torn tail is what a kill leaves and is cut off; it never keeps the world from starting. The records'
//! meaning belongs to the platforms: this file knows lines only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::draw::fnv1a;

/// A journal below this size is never worth a new snapshot.
const COMPACT_BYTES_MIN: u64 = 32 * 1024 * 1024;

/// The open journal of one world.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    inner: Mutex<Inner>,
    synced: Condvar,
    /// Held until the journal is dropped, so that two worlds never write one folder.
    _lock: File,
}

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    generation: u64,
    snapshot_bytes: u64,
    journal_bytes: u64,
    appended: u64,
    durable: u64,
    is_syncing: bool,
    is_broken: bool,
}

impl Inner {
    /// It takes nothing any more. That is said once: whoever waits hears it each time.
    fn breaks(&mut self, error: &io::Error) {
        if !self.is_broken {
            tracing::error!(
                %error,
                "the simulators' journal could not be written; they answer 503 until they are started again"
            );
        }
        self.is_broken = true;
    }
}

impl Journal {
    /// Opens the journal in `folder` and gives every record to `apply`, oldest first. Creates the folder.
    ///
    /// # Errors
    /// Where the folder cannot be read or written, where another world holds it, and where `apply` refuses.
    pub fn open(folder: &Path, apply: &mut impl FnMut(&str) -> io::Result<()>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        lock.try_lock().map_err(|_| {
            io::Error::new(io::ErrorKind::WouldBlock, "another process simulates platforms in this folder")
        })?;
        let generation = newest_generation(folder)?;
        let snapshot = read_records(&snapshot_path(folder, generation), apply)?;
        let path = journal_path(folder, generation);
        let journal_bytes = read_records(&path, apply)?;
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.set_len(journal_bytes)?;
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
        sync_folder(folder)?;
        let inner = Inner {
            file: Arc::new(file),
            generation,
            snapshot_bytes: snapshot,
            journal_bytes,
            appended: 0,
            durable: 0,
            is_syncing: false,
            is_broken: false,
        };
        Ok(Self { folder: folder.to_owned(), inner: Mutex::new(inner), synced: Condvar::new(), _lock: lock })
    }

    /// Appends records, not durable yet, and returns the ticket to wait for. No records give the ticket of the
    /// last ones: a reader may not see what could still be lost.
    ///
    /// # Errors
    /// Where the file cannot be written; the journal takes nothing any more then.
    pub fn append(&self, records: &[String]) -> io::Result<u64> {
        let mut inner = self.lock();
        if inner.is_broken {
            return Err(io::Error::other("the journal could not be written before"));
        }
        if records.is_empty() {
            return Ok(inner.appended);
        }
        let mut lines = String::new();
        for record in records {
            push_line(&mut lines, record);
        }
        if let Err(error) = (&*inner.file).write_all(lines.as_bytes()) {
            inner.breaks(&error);
            return Err(error);
        }
        inner.journal_bytes += u64::try_from(lines.len()).unwrap_or(0);
        inner.appended += 1;
        Ok(inner.appended)
    }

    /// Waits until everything up to `ticket` is durable. The first to wait syncs for all who wait.
    ///
    /// # Errors
    /// Where the file cannot be synced; the journal takes nothing any more then.
    pub fn wait(&self, ticket: u64) -> io::Result<()> {
        let mut inner = self.lock();
        loop {
            if inner.is_broken {
                return Err(io::Error::other("the journal could not be made durable"));
            }
            if inner.durable >= ticket {
                return Ok(());
            }
            if inner.is_syncing {
                inner = self.synced.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            inner.is_syncing = true;
            let (file, goal) = (Arc::clone(&inner.file), inner.appended);
            drop(inner);
            let result = file.sync_data();
            inner = self.lock();
            inner.is_syncing = false;
            match result {
                Ok(()) => inner.durable = inner.durable.max(goal),
                Err(error) => inner.breaks(&error),
            }
            self.synced.notify_all();
        }
    }

    /// Whether the journal has outgrown its snapshot.
    pub fn wants_snapshot(&self) -> bool {
        let inner = self.lock();
        inner.journal_bytes > COMPACT_BYTES_MIN
            && inner.journal_bytes > inner.snapshot_bytes.saturating_mul(2)
    }

    /// Writes a new generation from `records`, which are the whole state, and starts an empty journal.
    ///
    /// # Errors
    /// Where a file cannot be written; the old generation stays in use then.
    pub fn snapshot(&self, records: impl Iterator<Item = String>) -> io::Result<()> {
        let mut inner = self.lock();
        let generation = inner.generation + 1;
        let file = File::create(journal_path(&self.folder, generation))?;
        file.sync_all()?;
        let path = snapshot_path(&self.folder, generation);
        let scratch = path.with_extension("new");
        let mut writer = BufWriter::new(File::create(&scratch)?);
        let mut bytes = 0;
        for record in records {
            let mut line = String::new();
            push_line(&mut line, &record);
            bytes += u64::try_from(line.len()).unwrap_or(0);
            writer.write_all(line.as_bytes())?;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&scratch, &path)?;
        sync_folder(&self.folder)?;
        let old = inner.generation;
        inner.file = Arc::new(file);
        inner.generation = generation;
        inner.snapshot_bytes = bytes;
        inner.journal_bytes = 0;
        inner.durable = inner.appended;
        drop(inner);
        self.synced.notify_all();
        // The old generation is only in the way now; the next start removes what stays.
        let _ = fs::remove_file(journal_path(&self.folder, old));
        let _ = fs::remove_file(snapshot_path(&self.folder, old));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn snapshot_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("snapshot-{generation}"))
}

fn journal_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("journal-{generation}"))
}

/// The newest generation with a whole snapshot; 0 has none. Files of other generations are removed.
fn newest_generation(folder: &Path) -> io::Result<u64> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let generation_of =
        |name: &str, kind: &str| name.strip_prefix(kind).and_then(|rest| rest.parse::<u64>().ok());
    let newest = names.iter().filter_map(|name| generation_of(name, "snapshot-")).max().unwrap_or(0);
    for name in &names {
        let generation = generation_of(name, "journal-").or_else(|| generation_of(name, "snapshot-"));
        if generation.is_some_and(|generation| generation != newest) || name.ends_with(".new") {
            fs::remove_file(folder.join(name))?;
        }
    }
    Ok(newest)
}

/// Gives every whole record of a file to `apply` and returns how many bytes they take. A missing file has none.
fn read_records(path: &Path, apply: &mut impl FnMut(&str) -> io::Result<()>) -> io::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut whole = 0;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let Some(record) = checked_record(&line) else { return Ok(whole) };
        apply(record)?;
        whole += u64::try_from(length).unwrap_or(0);
    }
}

/// The record in a line, or nothing where the line is torn.
fn checked_record(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, record) = text.split_once(' ')?;
    (u64::from_str_radix(sum, 16).ok()? == fnv1a(record.as_bytes())).then_some(record)
}

fn push_line(lines: &mut String, record: &str) {
    lines.push_str(&format!("{:016x} {record}\n", fnv1a(record.as_bytes())));
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

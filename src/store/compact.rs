//! Writes the database anew, so that what was deleted is gone from the file and its room is free again. Nobody may hold
//! the data folder meanwhile; until the new file takes the old one's place, in one rename, the old one counts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use duckdb::{AccessMode, Connection};

use super::backup::{cannot, quoted, row_counts};
use super::error::StoreError;
use super::files::sync_folder;
use super::migrate::{self, EngineLimits};
use super::reader::Read;
use super::values::get;
use super::{FILE_NAME, StoreOptions, TEMP_NAME, restore};

/// The new file's name while it is written.
const PART_NAME: &str = "eider.duckdb.compact";

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// Size of the file, with its log, before.
    pub before_bytes: u64,
    /// And after.
    pub after_bytes: u64,
    /// Rows in all, the same before and after.
    pub row_count: i64,
    /// Copies of older data in the folder that may still hold what is gone here.
    pub older_copies: Vec<PathBuf>,
}

/// Writes the database of the data folder anew. It blocks until that is done.
///
/// # Errors
/// [`StoreError::Locked`] while a process holds the folder, else what the disk or the database says. The old file is as
/// it was then.
pub fn compact(options: &StoreOptions) -> Result<Compacted, StoreError> {
    let dir = &options.dir;
    let _lock = super::lock(dir)?;
    restore::finish_interrupted(dir)?;
    remove_rest(dir)?;
    let (file, part) = (dir.join(FILE_NAME), dir.join(PART_NAME));
    let temp_dir = dir.join(TEMP_NAME);
    fs::create_dir_all(&temp_dir).map_err(|error| cannot("make the folder", &temp_dir, &error))?;
    let limits =
        EngineLimits { memory_limit: &options.memory_limit, threads: options.threads, temp_dir: &temp_dir };
    let before_bytes = size(&file)?.saturating_add(size(&log_of(&file)).unwrap_or(0));
    check_room(options, before_bytes)?;
    // Opened as `serve` opens it: up to date, and with the log folded in when it is closed.
    let connection = migrate::open_file(&file, &limits, options.clock.now())?;
    connection.execute_batch("CHECKPOINT")?;
    drop(connection);
    check_no_log(&file)?;
    let written = write_anew(&file, &part, &limits, options);
    let row_count = match written {
        Ok(row_count) => row_count,
        Err(error) => {
            remove_part(&part)?;
            return Err(error);
        }
    };
    let replace = || -> io::Result<()> {
        File::open(&part)?.sync_all()?;
        fs::rename(&part, &file)?;
        sync_folder(dir)
    };
    replace().map_err(|error| cannot("replace", &file, &error))?;
    Ok(Compacted { before_bytes, after_bytes: size(&file)?, row_count, older_copies: older_copies(dir)? })
}

/// The schema is made as for a new file, so that nothing of it depends on what a copy carries over; then each table is
/// filled in the order of its rows, which is what makes old rows cheap to find.
fn write_anew(
    file: &Path,
    part: &Path,
    limits: &EngineLimits<'_>,
    options: &StoreOptions,
) -> Result<i64, StoreError> {
    let connection = migrate::open_apart(part, limits, AccessMode::ReadWrite)?;
    connection.execute_batch("SET preserve_insertion_order = true")?;
    migrate::make_schema(&connection, options.clock.now())?;
    let attach = format!("ATTACH '{}' AS old (READ_ONLY)", file.to_string_lossy().replace('\'', "''"));
    connection.execute_batch(&attach)?;
    for (schema, table) in tables(&connection)? {
        let name = quoted(&schema, &table);
        let columns = columns(&connection, &schema, &table)?;
        // Migrations write rows too: all rows come from the old file.
        connection.execute_batch(&format!(
            "BEGIN TRANSACTION; DELETE FROM {name};
             INSERT INTO {name} ({columns}) SELECT {columns} FROM old.{name}; COMMIT"
        ))?;
    }
    connection.execute_batch("CHECKPOINT")?;
    let compared = compare(&connection);
    connection.execute_batch("DETACH old")?;
    let row_count = compared?;
    connection.execute_batch("CHECKPOINT")?;
    drop(connection);
    check_no_log(part)?;
    Ok(row_count)
}

fn tables(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    const SQL: &str = "SELECT schema_name, table_name FROM duckdb_tables()
        WHERE database_name = current_database() AND NOT internal AND NOT temporary ORDER BY ALL";
    Read::new(connection, usize::MAX).rows(SQL, [], |row| Ok((get(row, 0)?, get(row, 1)?)))
}

/// The table's columns as SQL takes them.
fn columns(connection: &Connection, schema: &str, table: &str) -> Result<String, StoreError> {
    const SQL: &str = "SELECT column_name FROM duckdb_columns()
        WHERE database_name = current_database() AND schema_name = ? AND table_name = ? ORDER BY column_index";
    let names: Vec<String> =
        Read::new(connection, usize::MAX).rows(SQL, [schema, table], |row| get(row, 0))?;
    let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    Ok(names.join(", "))
}

/// Compares every table with the one that it was filled from, row by row, by hashes of whole rows. Says how many rows
/// there are in all.
fn compare(connection: &Connection) -> Result<i64, StoreError> {
    let read = Read::new(connection, usize::MAX);
    let missing: Vec<String> = read.rows(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = 'old' AND NOT internal
         EXCEPT SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = current_database()",
        [],
        |row| get(row, 0),
    )?;
    let mut differing: Vec<String> = missing;
    let counts: BTreeMap<String, i64> = row_counts(connection)?;
    for (schema, table) in tables(connection)? {
        let name = quoted(&schema, &table);
        let print = |of: &str| -> Result<Option<(i64, String)>, StoreError> {
            let sql =
                format!("SELECT count(*), CAST(sum(CAST(hash(t) AS HUGEINT)) AS VARCHAR) FROM {of} AS t");
            read.first(&sql, [], |row| Ok((get(row, 0)?, get::<Option<String>>(row, 1)?.unwrap_or_default())))
        };
        if print(&name)? != print(&format!("old.{name}"))? {
            differing.push(format!("{schema}.{table}"));
        }
    }
    if differing.is_empty() {
        return Ok(counts.values().sum());
    }
    Err(StoreError::Invalid(format!(
        "The new file does not hold what the old one does ({}). The old one stays in use: report this.",
        differing.join(", ")
    )))
}

/// With a log beside it, a file is not all there is of its data.
fn check_no_log(file: &Path) -> Result<(), StoreError> {
    let log = log_of(file);
    if size(&log).unwrap_or(0) == 0 {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "{} could not be folded into its file. Nothing was changed: start and stop `eider serve` once, then try again.",
        log.display()
    )))
}

fn check_room(options: &StoreOptions, needed: u64) -> Result<(), StoreError> {
    let dir = &options.dir;
    let stat = rustix::fs::statvfs(dir).map_err(|error| cannot("look at the room in", dir, &error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free > needed {
        return Ok(());
    }
    Err(StoreError::FreeSpace { dir: dir.clone(), available_bytes: free, floor_bytes: needed })
}

/// Removes what an interrupted run left. The caller holds the folder's lock.
pub(super) fn remove_rest(dir: &Path) -> Result<(), StoreError> {
    remove_part(&dir.join(PART_NAME))
}

fn remove_part(part: &Path) -> Result<(), StoreError> {
    for path in [part.to_owned(), log_of(part)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(cannot("remove", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies from before an upgrade or a restore.
fn older_copies(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| cannot("look into", dir, &error))? {
        let entry = entry.map_err(|error| cannot("look into", dir, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{FILE_NAME}.schema-")) || name.starts_with(restore::ASIDE_PREFIX) {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn size(path: &Path) -> Result<u64, StoreError> {
    fs::metadata(path).map(|meta| meta.len()).map_err(|error| cannot("look at", path, &error))
}

fn log_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".wal");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;

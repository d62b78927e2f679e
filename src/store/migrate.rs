//! Opens a data file and brings it to the schema that this version knows. Forward only; a file that a newer
//! version wrote is refused. Before an existing file is changed it is copied beside itself.

use std::path::{Path, PathBuf};

use duckdb::{AccessMode, Config, Connection, params};
use jiff::Timestamp;

use super::error::StoreError;
use super::values::{count, time};

/// Every migration, in order. Once released, a file here is never edited.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_first", include_str!("migrations/0001_first.sql")),
    ("0002_session_agent", include_str!("migrations/0002_session_agent.sql")),
    ("0003_reconciliation", include_str!("migrations/0003_reconciliation.sql")),
    ("0004_customisation", include_str!("migrations/0004_customisation.sql")),
    ("0005_after_sale", include_str!("migrations/0005_after_sale.sql")),
    ("0006_shop_user_and_address", include_str!("migrations/0006_shop_user_and_address.sql")),
    ("0007_notice", include_str!("migrations/0007_notice.sql")),
    ("0008_marketplace_refund", include_str!("migrations/0008_marketplace_refund.sql")),
    ("0009_net", include_str!("migrations/0009_net.sql")),
];

const HAS_VERSION_SQL: &str =
    "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'main' AND table_name = 'schema_version'";
const VERSION_SQL: &str = "SELECT coalesce(max(version), 0) FROM main.schema_version";
const RECORD_SQL: &str = "INSERT INTO main.schema_version (version, name, applied_at) VALUES (?, ?, ?)";
/// Not part of the opening configuration: with external access off, no directory for spilling can be named there.
const LOCK_SQL: &str = "SET enable_external_access = false; SET lock_configuration = true";

/// What the engine may use.
#[derive(Debug, Clone)]
pub(super) struct EngineLimits<'a> {
    /// As DuckDB writes it, such as `1GB`.
    pub(super) memory_limit: &'a str,
    /// Threads.
    pub(super) threads: usize,
    /// Where it may spill.
    pub(super) temp_dir: &'a Path,
}

/// Opens the file and brings its schema up to date. The configuration is locked afterwards.
pub(super) fn open_file(
    file: &Path,
    limits: &EngineLimits<'_>,
    now: Timestamp,
) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(file, engine_config(limits)?)?;
    let found = schema_version(&connection)?;
    let known = known_version();
    if found > known {
        return Err(StoreError::NewerFile { file: file.to_owned(), found, known });
    }
    if found < known {
        if found > 0 {
            connection.execute_batch("CHECKPOINT")?;
            let copy = copy_path(file, found);
            std::fs::copy(file, &copy).and_then(|_| std::fs::File::open(&copy)?.sync_all()).map_err(
                |error| StoreError::io(&format!("{} could not be copied", file.display()), &error),
            )?;
        }
        apply(&connection, found, now)?;
        connection.execute_batch("CHECKPOINT")?;
    }
    connection.execute_batch(LOCK_SQL)?;
    Ok(connection)
}

/// Opens a file that nobody else uses, in an instance of its own, without changing its schema: a copy, or a file to be.
pub(super) fn open_apart(
    file: &Path,
    limits: &EngineLimits<'_>,
    mode: AccessMode,
) -> Result<Connection, StoreError> {
    Ok(Connection::open_with_flags(file, engine_config(limits)?.access_mode(mode)?)?)
}

/// Makes the present schema in a file that has none.
pub(super) fn make_schema(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    apply(connection, 0, now)
}

/// The newest schema that this version knows.
pub(super) fn known_version() -> i64 {
    count(MIGRATIONS.len())
}

/// The schema of a file; 0 for a new one.
pub(super) fn schema_version(connection: &Connection) -> Result<i64, StoreError> {
    let tables: i64 = connection.query_row(HAS_VERSION_SQL, [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    Ok(connection.query_row(VERSION_SQL, [], |row| row.get(0))?)
}

/// Where the file as it was before an upgrade is kept.
fn copy_path(file: &Path, version: i64) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".schema-{version}"));
    file.with_file_name(name)
}

fn apply(connection: &Connection, found: i64, now: Timestamp) -> Result<(), StoreError> {
    for (position, (name, sql)) in MIGRATIONS.iter().enumerate() {
        let version = count(position) + 1;
        if version <= found {
            continue;
        }
        connection.execute_batch("BEGIN TRANSACTION")?;
        let applied = connection
            .execute_batch(sql)
            .and_then(|()| connection.execute(RECORD_SQL, params![version, name, time(now)]));
        if let Err(error) = applied {
            connection.execute_batch("ROLLBACK")?;
            return Err(error.into());
        }
        connection.execute_batch("COMMIT")?;
        tracing::info!(schema = version, name, "the data file was brought up to date");
    }
    Ok(())
}

/// No network, no other files, no extension that is not built in. Checkpoints are the writer's: a huge threshold
/// keeps DuckDB from starting one inside a commit. Insertion order is not kept: with it, on two threads, DuckDB 2.0.0
/// now and then waits a tenth of a second inside a small UPDATE; whatever needs an order says so in its statement.
fn engine_config(limits: &EngineLimits<'_>) -> Result<Config, StoreError> {
    Ok(Config::default()
        .with("memory_limit", limits.memory_limit)?
        .with("threads", limits.threads.max(1).to_string())?
        .with("temp_directory", limits.temp_dir.to_string_lossy())?
        .with("checkpoint_threshold", "1TB")?
        .with("preserve_insertion_order", "false")?
        .with("autoinstall_known_extensions", "false")?
        .with("autoload_known_extensions", "false")?)
}

/// The case that made DuckDB 1.5 unusable: a prepared statement that is used again after inserts must see them.
pub(super) fn self_test() -> Result<(), StoreError> {
    let connection = Connection::open_in_memory_with_flags(
        Config::default().with("threads", "1")?.with("autoload_known_extensions", "false")?,
    )?;
    connection
        .execute_batch("CREATE TABLE probe (id BIGINT, word VARCHAR); INSERT INTO probe VALUES (1, 'a')")?;
    let mut statement =
        connection.prepare("SELECT count(*) FROM probe WHERE id >= ? AND word IS NOT NULL")?;
    for expected in 1_i64..=3 {
        let found: i64 = statement.query_row([1_i64], |row| row.get(0))?;
        if found != expected {
            return Err(StoreError::Fatal(format!(
                "The built-in database failed its self-test ({found} rows instead of {expected}): install another build."
            )));
        }
        connection.execute("INSERT INTO probe VALUES (?, 'b')", [expected + 1])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty database of this version.
    #[expect(
        clippy::disallowed_methods,
        reason = "a database of an older version, which nothing else can open"
    )]
    fn of_version(version: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        for (position, (name, sql)) in MIGRATIONS[..version].iter().enumerate() {
            connection.execute_batch(sql).unwrap();
            let row = params![count(position) + 1, name, time(Timestamp::UNIX_EPOCH)];
            connection.execute(RECORD_SQL, row).unwrap();
        }
        connection
    }

    /// The values of an order's row of which each text is `x`.
    fn some_order(connection: &Connection) -> String {
        let values = "SELECT string_agg(CASE data_type WHEN 'VARCHAR' THEN '''x''' WHEN 'BOOLEAN' THEN 'false'
                WHEN 'TIMESTAMP' THEN 'TIMESTAMP ''2026-01-01''' WHEN 'DATE' THEN 'DATE ''2026-01-01''' ELSE '7' END,
                ', ' ORDER BY column_index)
            FROM duckdb_columns() WHERE schema_name = 'main' AND table_name = 'orders'";
        connection.query_row(values, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_file_of_an_older_version_is_brought_up_to_date_and_kept_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("eider.duckdb");
        let limits = EngineLimits { memory_limit: "256MB", threads: 1, temp_dir: dir.path() };
        let now = Timestamp::UNIX_EPOCH;
        let old = open_apart(&file, &limits, AccessMode::ReadWrite).unwrap();
        let (name, sql) = MIGRATIONS[0];
        old.execute_batch(sql).unwrap();
        old.execute(RECORD_SQL, params![1, name, time(now)]).unwrap();
        old.execute_batch("CHECKPOINT").unwrap();
        old.close().unwrap();
        let before = std::fs::read(&file).unwrap();

        let new = open_file(&file, &limits, now).unwrap();
        assert_eq!(schema_version(&new).unwrap(), known_version());
        new.close().unwrap();
        let kept = dir.path().join("eider.duckdb.schema-1");
        assert_eq!(std::fs::read(&kept).unwrap(), before);

        // The next start has nothing to do, and leaves the copy alone.
        std::fs::write(&kept, "kept").unwrap();
        open_file(&file, &limits, now).unwrap().close().unwrap();
        assert_eq!(std::fs::read(&kept).unwrap(), b"kept");
    }

    #[test]
    fn what_was_cancelled_or_refunded_before_the_upgrade_is_known_afterwards() {
        let connection = of_version(4);
        for status in [4, 5, 9, 14] {
            let row = "INSERT INTO main.shop_mirror SELECT 1, ?::VARCHAR, 1, NULL, NULL, NULL, ?, TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01',
                1, 'USD', 0,
                TIMESTAMP '2026-01-01'";
            connection.execute(row, params![status, status]).unwrap();
        }
        apply(&connection, 4, Timestamp::UNIX_EPOCH).unwrap();
        let held = "SELECT string_agg(coalesce(after_sale, '-') || coalesce(cancelled_at::VARCHAR, ''), ' ' ORDER BY status_id)
            FROM main.shop_mirror";
        let held: String = connection.query_row(held, [], |row| row.get(0)).unwrap();
        assert_eq!(held, "refunded cancelled - part_refunded");
    }

    #[test]
    fn what_is_left_of_refunded_orders_has_its_net_after_the_upgrade() {
        let connection = of_version(8);
        let values = some_order(&connection);
        for refund in [0, 400, 3_300] {
            connection.execute(&format!("INSERT INTO main.orders VALUES ({values})"), []).unwrap();
            let sums = "UPDATE main.orders SET channel = 'ebay', total_minor = 3300, tax_minor = 300, refund_minor = ?,
                net_minor = 3000 - ? WHERE channel = 'x'";
            connection.execute(sums, [refund, refund]).unwrap();
        }
        apply(&connection, 8, Timestamp::UNIX_EPOCH).unwrap();
        let held = "SELECT string_agg(net_minor, ' ' ORDER BY refund_minor) FROM main.orders";
        let held: String = connection.query_row(held, [], |row| row.get(0)).unwrap();
        assert_eq!(held, "3000 2637 0");
    }

    #[test]
    fn what_was_refunded_on_a_marketplace_before_the_upgrade_is_news_when_it_is_read_again() {
        let connection = of_version(7);
        let values = some_order(&connection);
        let orders = [
            ("etsy", "Paid, 5.00 USD refunded"),
            ("etsy", "Paid"),
            ("ebay", "PARTIALLY_REFUNDED, NOT_STARTED"),
            ("amazon", "REFUNDED"),
        ];
        for (channel, status) in orders {
            connection.execute(&format!("INSERT INTO main.orders VALUES ({values})"), []).unwrap();
            let name = "UPDATE main.orders SET channel = ?, platform_status = ? WHERE channel = 'x'";
            connection.execute(name, [channel, status]).unwrap();
        }
        apply(&connection, 7, Timestamp::UNIX_EPOCH).unwrap();
        let read =
            "SELECT string_agg(channel || payload_hash, ' ' ORDER BY platform_status) FROM main.orders";
        let read: String = connection.query_row(read, [], |row| row.get(0)).unwrap();
        assert_eq!(read, "ebay0 etsy7 etsy0 amazon7");
    }
}

//! Compaction of real files.

use super::*;
use crate::store::tests::{Bench, facts, item, options};
use crate::store::{Store, StoreError, WriteLane, orders};

const MARKER: &str = "Wilhelmina-Marker-7719";

fn holds(dir: &Path, text: &str) -> bool {
    let names = [FILE_NAME.to_owned(), format!("{FILE_NAME}.wal")];
    names
        .iter()
        .filter_map(|name| fs::read(dir.join(name)).ok())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

/// Everything that a file is made of beside its rows.
fn shape(store_file: &Path) -> Vec<String> {
    const SQL: &str = "SELECT sql || coalesce(comment, '') FROM duckdb_tables() WHERE NOT internal
        UNION ALL SELECT sql || coalesce(comment, '') FROM duckdb_views() WHERE NOT internal
        UNION ALL SELECT table_name || column_name || coalesce(comment, '') FROM duckdb_columns() WHERE NOT internal
        ORDER BY ALL";
    let connection = Connection::open_with_flags(store_file, duckdb::Config::default()).unwrap();
    Read::new(&connection, usize::MAX).rows(SQL, [], |row| get(row, 0)).unwrap()
}

/// How the payloads are stored.
fn payload_compression(file: &Path) -> Vec<String> {
    const SQL: &str = "SELECT DISTINCT compression FROM pragma_storage_info('raw.payload')
        WHERE column_name = 'payload' AND segment_type = 'VARCHAR'";
    let connection = Connection::open_with_flags(file, duckdb::Config::default()).unwrap();
    Read::new(&connection, usize::MAX).rows(SQL, [], |row| get(row, 0)).unwrap()
}

#[tokio::test]
async fn what_was_deleted_is_gone_from_the_file_and_all_else_is_there() {
    let bench = Bench::new().await;
    bench.import((0..3_000).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    let plant = format!(
        "INSERT INTO main.person SELECT 900000 + range, NULL, 1, '[]', '{MARKER}' || md5(range::VARCHAR), '{MARKER}', now(), NULL
         FROM range(100000)"
    );
    let planted =
        bench.store.write(WriteLane::Interactive, move |tx| Ok(tx.connection().execute_batch(&plant)?));
    planted.await.unwrap();
    bench.store.checkpoint().await.unwrap();
    let delete = "DELETE FROM main.person WHERE person_id >= 900000";
    bench.store.write(WriteLane::Interactive, move |tx| tx.execute(delete, []).map(drop)).await.unwrap();
    let before = bench.store.read(|read| orders::page(read, &Default::default(), None, 100)).await.unwrap();
    bench.store.close().await;
    let dir = bench.dir.path().to_owned();
    assert!(holds(&dir, MARKER), "deleting alone leaves it in the file");
    let file = dir.join(FILE_NAME);
    let shape_before = shape(&file);
    fs::write(dir.join("eider.duckdb.schema-1"), "").unwrap();

    let compacted = compact(&options(&dir)).unwrap();
    assert!(!holds(&dir, MARKER));
    assert!(compacted.after_bytes < compacted.before_bytes, "{compacted:?}");
    assert_eq!(compacted.older_copies, [dir.join("eider.duckdb.schema-1")]);
    assert_eq!(shape(&file), shape_before);
    assert_eq!(payload_compression(&file), ["ZSTD"]);
    let store = Store::open(options(&dir)).unwrap();
    let after = store.read(|read| orders::page(read, &Default::default(), None, 100)).await.unwrap();
    assert_eq!(after.rows, before.rows);
    assert_eq!(store.verify().await.unwrap().findings, []);
    // Ids go on where they were.
    let newest = after.rows[0].order_no;
    store.close().await;
    assert_eq!(newest.0, 3_000);
}

#[tokio::test]
async fn rows_keep_their_order() {
    let bench = Bench::new().await;
    bench.import((0..5_000).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    bench.store.close().await;
    let before = order_numbers(bench.dir.path());
    compact(&options(bench.dir.path())).unwrap();
    assert_eq!(order_numbers(bench.dir.path()), before);
}

/// Order numbers as their rows lie in the file.
fn order_numbers(dir: &Path) -> Vec<i64> {
    let connection = Connection::open_with_flags(dir.join(FILE_NAME), duckdb::Config::default()).unwrap();
    let sql = "SELECT order_no FROM main.orders ORDER BY rowid";
    Read::new(&connection, usize::MAX).rows(sql, [], |row| get(row, 0)).unwrap()
}

#[tokio::test]
async fn a_folder_in_use_is_not_compacted_and_what_a_killed_run_left_is_removed() {
    let bench = Bench::new().await;
    assert!(matches!(compact(&options(bench.dir.path())), Err(StoreError::Locked { .. })));
    bench.store.close().await;
    let dir = bench.dir.path();
    for name in [PART_NAME.to_owned(), format!("{PART_NAME}.wal")] {
        fs::write(dir.join(name), "half").unwrap();
    }
    let store = Store::open(options(dir)).unwrap();
    store.close().await;
    assert!(!dir.join(PART_NAME).exists());
    fs::write(dir.join(PART_NAME), "half").unwrap();
    compact(&options(dir)).unwrap();
    assert!(!dir.join(PART_NAME).exists());
}

#[tokio::test]
async fn a_new_file_that_differs_is_not_taken() {
    let bench = Bench::new().await;
    let make = "CREATE TABLE main.unknown (n BIGINT); INSERT INTO main.unknown VALUES (1)";
    let made =
        bench.store.write(WriteLane::Interactive, move |tx| Ok(tx.connection().execute_batch(make)?));
    made.await.unwrap();
    bench.store.close().await;
    let before = fs::read(bench.dir.path().join(FILE_NAME)).unwrap();
    let refused = compact(&options(bench.dir.path())).unwrap_err().to_string();
    assert!(refused.contains("main.unknown"), "{refused}");
    assert_eq!(fs::read(bench.dir.path().join(FILE_NAME)).unwrap().len(), before.len());
    assert!(!bench.dir.path().join(PART_NAME).exists());
}

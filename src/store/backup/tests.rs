//! Backups of real files, while nobody writes and while everybody does.

use std::sync::atomic::AtomicI64;

use futures_util::FutureExt as _;

use super::*;
use crate::clock::{ManualClock, SharedClock};
use crate::store::orders::{self, ImportBatch, OrderFilter};
use crate::store::tests::{Bench, at, facts, item, options};
use crate::store::{StoreOptions, WriteLane, incidents};
use crate::vault::{KEY_FILE_NAME, KeySource, Vault};

/// A file of the data folder with its row.
pub(in crate::store) async fn keep_file(bench: &Bench, content: &[u8]) -> PathBuf {
    use sha2::Digest as _;
    let sha256 = files::hex(&sha2::Sha256::digest(content));
    let path = Path::new(files::FOLDER_NAME).join(&sha256[..2]).join(&sha256);
    let full = bench.dir.path().join(&path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(&full, content).unwrap();
    let size = i64::try_from(content.len()).unwrap();
    let sql =
        "INSERT INTO main.file VALUES (?, ?, 'image/png', 'logo', NULL, false, TIMESTAMP '2026-01-01', NULL)";
    bench
        .store
        .write(WriteLane::Interactive, move |tx| tx.execute(sql, duckdb::params![sha256, size]).map(drop))
        .await
        .unwrap();
    path
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Opens a backup's database as a data folder of its own.
fn open_copy(backup: &Path) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(backup.join(FILE_NAME), dir.path().join(FILE_NAME)).unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    (dir, store)
}

#[tokio::test]
async fn a_backup_holds_database_vault_and_files_and_no_key() {
    let bench = Bench::new().await;
    drop(Vault::open(bench.dir.path(), &KeySource::DataFolder).unwrap());
    assert!(bench.dir.path().join(KEY_FILE_NAME).exists());
    let file = keep_file(&bench, b"a logo").await;
    bench.import((0..50).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    let to = tempfile::tempdir().unwrap();

    let backup = bench.store.back_up(&to.path().join("deep/er"), None).await.unwrap();
    assert_eq!(backup.path.file_name().unwrap(), "eider-20260101T000000Z");
    assert_eq!(names(&backup.path), [FILE_NAME, "files", MANIFEST_NAME, VAULT_FILE_NAME]);
    assert_eq!(fs::read(backup.path.join(&file)).unwrap(), b"a logo");
    let manifest = Manifest::read(&backup.path).unwrap();
    assert_eq!(manifest, backup.manifest);
    assert_eq!(manifest.tables["main.orders"], 50);
    assert_eq!(manifest.installation, bench.store.installation().id);
    for file in &manifest.files {
        let found = files::fingerprint(&backup.path.join(&file.path)).unwrap();
        assert_eq!(found, (file.bytes, file.sha256.clone()), "{}", file.path.display());
    }
    let (_dir, copy) = open_copy(&backup.path);
    let page = copy.read(|read| orders::page(read, &OrderFilter::default(), None, 100)).await.unwrap();
    assert_eq!(page.rows.len(), 50);
    // A second one within the second gets a name of its own.
    let second = bench.store.back_up(&to.path().join("deep/er"), None).await.unwrap();
    assert_eq!(second.path.file_name().unwrap(), "eider-20260101T000000Z-2");
}

#[tokio::test]
async fn while_the_file_is_held_commits_go_into_the_log_and_checkpoints_wait() {
    let bench = Bench::new().await;
    let file = bench.store.inner.shared.file.clone();
    let hold = bench.store.inner.writer.hold_file().await.unwrap();
    let held = files::fingerprint(&file).unwrap();
    let mut checkpoint = Box::pin(bench.store.checkpoint());
    assert!((&mut checkpoint).now_or_never().is_none());
    bench.import((0..50).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    assert!((&mut checkpoint).now_or_never().is_none());
    assert!(bench.store.wal_bytes() > 0);
    assert_eq!(files::fingerprint(&file).unwrap(), held);
    drop(hold);
    checkpoint.await.unwrap();
    assert_eq!(bench.store.wal_bytes(), 0);
    assert_ne!(files::fingerprint(&file).unwrap(), held);
}

#[tokio::test]
async fn a_program_that_ends_asks_for_the_file_and_waits_for_it() {
    let bench = Bench::new().await;
    let hold = bench.store.inner.writer.hold_file().await.unwrap();
    assert!(!hold.is_unwelcome());
    bench.import(vec![item(facts("O1", 1))]).await;
    let held = files::fingerprint(&bench.store.inner.shared.file).unwrap();
    let store = bench.store.clone();
    let close = tokio::spawn(async move { store.close().await });
    while !hold.is_unwelcome() {
        tokio::task::yield_now().await;
    }
    assert!(!close.is_finished());
    assert_eq!(files::fingerprint(&bench.store.inner.shared.file).unwrap(), held);
    drop(hold);
    close.await.unwrap();
    assert_ne!(files::fingerprint(&bench.store.inner.shared.file).unwrap(), held);
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_and_lets_go_of_the_file() {
    let bench = Bench::new().await;
    let to = tempfile::tempdir().unwrap();
    let inside = bench.store.back_up(&bench.dir.path().join("backups"), None).await.unwrap_err();
    assert!(inside.to_string().contains("inside the data folder"), "{inside}");

    let file = to.path().join("file");
    fs::write(&file, "").unwrap();
    let no_folder = bench.store.back_up(&file, None).await.unwrap_err();
    assert!(no_folder.to_string().contains("make the folder"), "{no_folder}");

    // Found only when the database is copied already: what looks like a file cannot be read.
    fs::create_dir_all(bench.dir.path().join("files")).unwrap();
    std::os::unix::fs::symlink(to.path(), bench.dir.path().join("files/aa")).unwrap();
    let dir = to.path().join("backups");
    let broken = bench.store.back_up(&dir, None).await.unwrap_err();
    assert!(broken.to_string().contains("files/aa"), "{broken}");
    assert_eq!(names(&dir), Vec::<String>::new());
    bench.store.checkpoint().await.unwrap();

    // What a killed process left goes with the next backup.
    fs::remove_file(bench.dir.path().join("files/aa")).unwrap();
    let installation = bench.store.installation().id;
    fs::create_dir(dir.join(format!("{PART_PREFIX}{installation}-20250101T000000Z"))).unwrap();
    fs::create_dir(dir.join(format!("{PART_PREFIX}another-20250101T000000Z"))).unwrap();
    bench.store.back_up(&dir, None).await.unwrap();
    assert_eq!(names(&dir), [".eider-part-another-20250101T000000Z", "eider-20260101T000000Z"]);
}

#[tokio::test]
async fn a_full_disk_is_told_before_anything_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    store.close().await;
    drop(store);
    // Nobody has so much room above what is to stay free.
    let to = tempfile::tempdir().unwrap();
    let floor = u64::MAX / 2;
    let full = Store::open(StoreOptions { free_space_floor_bytes: floor, ..options(dir.path()) }).unwrap();
    let refused = full.back_up(to.path(), None).await.unwrap_err();
    assert!(refused.to_string().contains("Make room"), "{refused}");
    assert_eq!(names(to.path()), Vec::<String>::new());
}

#[tokio::test]
async fn only_our_own_backups_are_removed_and_never_the_newest() {
    let clock = Arc::new(ManualClock::new(at(0)));
    let dir = tempfile::tempdir().unwrap();
    let shared: SharedClock = clock.clone();
    let store = Store::open(StoreOptions { clock: shared, ..options(dir.path()) }).unwrap();
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("eider-holidays")).unwrap();
    let others = store.back_up(to.path(), None).await.unwrap().path;
    let mut manifest = Manifest::read(&others).unwrap();
    manifest.installation = "another".to_owned();
    fs::write(others.join(MANIFEST_NAME), serde_json::to_vec(&manifest).unwrap()).unwrap();
    for _ in 0..4 {
        clock.advance(Duration::from_secs(60));
        store.back_up(to.path(), Some(2)).await.unwrap();
    }
    let left =
        ["eider-20260101T000000Z", "eider-20260101T000300Z", "eider-20260101T000400Z", "eider-holidays"];
    assert_eq!(names(to.path()), left);
    assert_eq!(backups(to.path(), &store.installation().id).unwrap().len(), 2);
}

/// A clock that stops the schedule when it has slept so often.
#[derive(Debug)]
struct FewSleeps {
    clock: ManualClock,
    left: AtomicI64,
    stop: tokio::sync::watch::Sender<bool>,
    slept: std::sync::Mutex<Vec<Duration>>,
}

impl crate::clock::Clock for FewSleeps {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn steady(&self) -> Duration {
        self.clock.steady()
    }

    fn sleep(&self, duration: Duration) -> crate::clock::Sleep<'_> {
        self.slept.lock().unwrap().push(duration);
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.stop.send(true).unwrap();
            return Box::pin(std::future::pending());
        }
        self.clock.sleep(duration)
    }
}

/// Runs the schedule through `count` backups; how long it waited before each and after the last.
async fn scheduled(dir: &Path, start: Timestamp, to: &Path, count: i64) -> (Store, Vec<Duration>) {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let clock = Arc::new(FewSleeps {
        clock: ManualClock::new(start),
        left: AtomicI64::new(count),
        stop,
        slept: std::sync::Mutex::default(),
    });
    let shared: SharedClock = clock.clone();
    let store = Store::open(StoreOptions { clock: shared.clone(), ..options(dir) }).unwrap();
    let to = Destination { dir: Some(to.to_owned()), bucket: None, keep: Some(2) };
    let schedule = Schedule { to, every: Duration::from_secs(3_600) };
    run_schedule(store.clone(), shared, schedule, stopped).await;
    let slept = clock.slept.lock().unwrap().clone();
    (store, slept)
}

#[tokio::test]
async fn the_schedule_keeps_time_tells_of_failures_and_makes_up_for_what_was_missed() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = to.path().join("backups");
    let hour = Duration::from_secs(3_600);
    let (store, slept) = scheduled(dir.path(), at(0), &target, 3).await;
    assert_eq!(slept, [Duration::ZERO, hour, hour, hour]);
    assert_eq!(names(&target), ["eider-20260101T010000Z", "eider-20260101T020000Z"]);
    store.close().await;
    drop(store);

    // Half an hour is left of the last one; after a failure it is tried sooner, and told once.
    fs::rename(&target, to.path().join("elsewhere")).unwrap();
    fs::write(&target, "").unwrap();
    let (store, slept) = scheduled(dir.path(), at(9_000), &target, 2).await;
    let quarter = Duration::from_secs(900);
    assert_eq!(slept, [Duration::ZERO, quarter, quarter]);
    let open = store.read(incidents::open_incidents).await.unwrap();
    assert_eq!(open.len(), 1);
    assert!(open[0].what.text.contains("backup could not be made"), "{}", open[0].what.text);
    store.close().await;
    drop(store);

    fs::remove_file(&target).unwrap();
    fs::rename(to.path().join("elsewhere"), &target).unwrap();
    let (store, slept) = scheduled(dir.path(), at(9_000), &target, 1).await;
    assert_eq!(slept, [Duration::from_secs(1_800), hour]);
    assert_eq!(store.read(incidents::open_incidents).await.unwrap(), []);
}

/// How many rows the two tables of ticks have: each tick is a row in both, in one write.
async fn ticks(store: &Store) -> (i64, i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM main.tick_left), (SELECT count(*) FROM main.tick_right),
        (SELECT coalesce(max(tick), 0) FROM main.tick_left)";
    let counted =
        store.read(move |read| read.first(sql, [], |row| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?))));
    counted.await.unwrap().unwrap()
}

/// Ticks until told to stop; every tick up to `acknowledged` is durable.
async fn tick(store: Store, acknowledged: Arc<AtomicI64>, is_over: Arc<AtomicBool>) {
    let mut tick = 0_i64;
    while !is_over.load(Ordering::SeqCst) {
        tick += 1;
        let write = store.write(WriteLane::Interactive, move |tx| {
            tx.execute("INSERT INTO main.tick_left VALUES (?)", [tick])?;
            tx.execute("INSERT INTO main.tick_right VALUES (?)", [tick]).map(drop)
        });
        write.await.unwrap();
        acknowledged.store(tick, Ordering::SeqCst);
    }
}

/// Imports so many orders a write until told to stop; says how many writes were acknowledged.
async fn import(bench: &Bench, batch_orders: usize, is_over: Arc<AtomicBool>) -> i64 {
    let mut batch_count = 0;
    while !is_over.load(Ordering::SeqCst) {
        let orders = (0..batch_orders).map(|number| item(facts(&format!("B{batch_count}-{number}"), 1)));
        let batch = ImportBatch {
            connection: bench.amazon.clone(),
            orders: orders.collect(),
            stream: None,
            is_bulk: true,
            now: at(100),
            actor: "poll".to_owned(),
        };
        bench.store.write(WriteLane::Bulk, move |tx| orders::import(tx, &batch)).await.unwrap();
        batch_count += 1;
    }
    batch_count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_copy_is_of_one_commit_and_nothing_acknowledged_is_missing() {
    const BATCH_ORDERS: usize = 500;
    let bench = Bench::new().await;
    let make = "CREATE TABLE main.tick_left (tick BIGINT); CREATE TABLE main.tick_right (tick BIGINT)";
    let made =
        bench.store.write(WriteLane::Interactive, move |tx| Ok(tx.connection().execute_batch(make)?));
    made.await.unwrap();
    let (acknowledged, is_over) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let ticking = tokio::spawn(tick(bench.store.clone(), Arc::clone(&acknowledged), Arc::clone(&is_over)));
    let to = tempfile::tempdir().unwrap();
    let back_up = async {
        let mut made = Vec::new();
        for _ in 0..6 {
            let before = acknowledged.load(Ordering::SeqCst);
            let backup = bench.store.back_up(to.path(), None).await.unwrap();
            made.push((before, backup, acknowledged.load(Ordering::SeqCst)));
            // What is being written agrees with itself at any moment.
            assert_eq!(bench.store.read(crate::store::verify::verify).await.unwrap(), []);
        }
        is_over.store(true, Ordering::SeqCst);
        made
    };
    let (made, batch_count) = tokio::join!(back_up, import(&bench, BATCH_ORDERS, Arc::clone(&is_over)));
    ticking.await.unwrap();

    let batch_orders = i64::try_from(BATCH_ORDERS).unwrap();
    for (before, backup, after) in made {
        let (_dir, copy) = open_copy(&backup.path);
        let (left, right, last) = ticks(&copy).await;
        assert_eq!((left, right), (last, last), "{}", backup.path.display());
        assert!((before..=after + 1).contains(&last), "{last} of {before} to {after}");
        assert_eq!(backup.manifest.tables["main.orders"] % batch_orders, 0);
        assert_eq!(copy.read(crate::store::verify::verify).await.unwrap(), []);
    }
    // The live file, as after a crash: with its log, nobody had a chance to tidy up.
    let crashed = tempfile::tempdir().unwrap();
    for name in names(bench.dir.path()).iter().filter(|name| name.starts_with(FILE_NAME)) {
        fs::copy(bench.dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    let crashed_store = Store::open(options(crashed.path())).unwrap();
    let last = acknowledged.load(Ordering::SeqCst);
    assert_eq!(ticks(&crashed_store).await, (last, last, last));
    let sql = "SELECT count(*) FROM main.orders";
    let orders = crashed_store.read(move |read| read.first(sql, [], |row| get::<i64>(row, 0))).await.unwrap();
    assert_eq!(orders, Some(batch_count * batch_orders));
}

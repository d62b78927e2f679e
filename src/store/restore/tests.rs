//! Restores of real backups, whole, damaged and interrupted.

use std::fs;

use super::*;
use crate::domain::id::{ConnectionId, OrderNo, UserId};
use crate::store::backup::Backup;
use crate::store::orders::{self, OrderFilter};
use crate::store::sessions::Session;
use crate::store::tests::{Bench, at, facts, item, options};
use crate::store::verify;

/// A store with 5 orders, a session, a file and a vault with the marketplace's credentials, its backup, and 3 orders
/// more; nobody holds the folder.
struct Scene {
    dir: tempfile::TempDir,
    backups: tempfile::TempDir,
    backup: Backup,
    amazon: ConnectionId,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// `spoil` may change the database before it is backed up.
    async fn with(spoil: impl Fn(&duckdb::Connection) + Send + 'static) -> Self {
        let bench = Bench::new().await;
        let vault = Vault::open(bench.dir.path(), &KeySource::DataFolder).unwrap();
        let credentials = [("refresh_token".to_owned(), "t".to_owned())].into();
        let amazon = bench.amazon.id;
        vault.update(|document| document.connections.insert(amazon.0, credentials)).unwrap();
        let session = Session {
            session_hash: "h".to_owned(),
            shop_user: None,
            user: UserId(1),
            created_at: at(0),
            last_seen_at: at(0),
            expires_at: at(1_000_000),
            agent: None,
        };
        let opened = bench.store.write(WriteLane::Interactive, move |tx| {
            spoil(tx.connection());
            let known = shop_users::Known::Number("1001".to_owned());
            shop_users::link_known(tx, amazon, &known, UserId(1), "ada", at(0))?;
            sessions::insert(tx, &session)
        });
        opened.await.unwrap();
        backup::tests::keep_file(&bench, b"a logo").await;
        bench.import((0..5).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
        let backups = tempfile::tempdir().unwrap();
        let backup = bench.store.back_up(backups.path(), None).await.unwrap();
        bench.import((0..3).map(|number| item(facts(&format!("P{number}"), 1))).collect()).await;
        bench.store.close().await;
        let Bench { dir, .. } = bench;
        Self { dir, backups, backup, amazon }
    }

    fn in_folder(&self, dir: &Path) -> RestoreOptions {
        RestoreOptions {
            store: options(dir),
            from: Origin::Folder(self.backup.path.clone()),
            key: KeySource::DataFolder,
            tokens_rotate: |_| false,
            despite_findings: false,
        }
    }

    fn here(&self) -> RestoreOptions {
        self.in_folder(self.dir.path())
    }
}

async fn order_count(store: &Store) -> usize {
    store.read(|read| orders::page(read, &OrderFilter::default(), None, 100)).await.unwrap().rows.len()
}

async fn states(store: &Store) -> Vec<ConnectionState> {
    store.read(connections::all).await.unwrap().iter().map(|connection| connection.state).collect()
}

#[tokio::test]
async fn a_restore_brings_everything_back_and_moves_the_rest_aside() {
    let scene = Scene::new().await;
    let restored = restore(scene.here()).await.unwrap();
    assert_eq!((restored.epoch, restored.lost_vault, restored.findings.len()), (2, None, 0));
    // The shop never had credentials in this vault; the marketplace's are there.
    assert_eq!(restored.reauthorise, [("My bigcommerce".to_owned(), NO_CREDENTIALS)]);
    let store = Store::open(options(scene.dir.path())).unwrap();
    assert_eq!(order_count(&store).await, 5);
    assert_eq!(store.installation().epoch, 2);
    assert_eq!(store.verify().await.unwrap().findings, []);
    assert_eq!(states(&store).await, [ConnectionState::NeedsReauthorisation, ConnectionState::Active]);
    assert_eq!(store.read(|read| sessions::find(read, "h", at(1))).await.unwrap(), None);
    assert_eq!(store.read(shop_users::all).await.unwrap()[0].user, Some(UserId(1)), "its account is there");
    let vault = Vault::open(scene.dir.path(), &KeySource::DataFolder).unwrap();
    assert!(vault.read(|document| document.connections.contains_key(&scene.amazon.0)));
    store.close().await;
    drop(store);

    let aside = Store::open(options(&restored.aside.unwrap())).unwrap();
    assert_eq!(order_count(&aside).await, 8);
    aside.close().await;
    // Again: an epoch is never begun twice.
    assert_eq!(restore(scene.here()).await.unwrap().epoch, 3);
    let mut names: Vec<_> =
        fs::read_dir(scene.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = [
        "before-restore-20260101T000000Z",
        "before-restore-20260101T000000Z-2",
        "eider.duckdb",
        "eider.lock",
        "files",
        "tmp",
        "vault.eider",
        "vault.key",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_token_that_is_replaced_as_it_is_used_is_not_trusted() {
    let scene = Scene::new().await;
    let options_here =
        RestoreOptions { tokens_rotate: |channel| channel.as_str() == "amazon", ..scene.here() };
    let restored = restore(options_here).await.unwrap();
    assert!(restored.reauthorise.contains(&("My amazon".to_owned(), ROTATED)), "{restored:?}");
    let store = Store::open(options(scene.dir.path())).unwrap();
    assert_eq!(states(&store).await, [ConnectionState::NeedsReauthorisation; 2]);
}

#[tokio::test]
async fn without_the_key_all_data_are_kept_and_the_vault_begins_anew() {
    let scene = Scene::new().await;
    let fresh = tempfile::tempdir().unwrap();
    let other_key = KeySource::Text(crate::secret::Secret::new("ab".repeat(32)));
    for (key, why) in [(KeySource::DataFolder, "not there"), (other_key, "another key")] {
        let restored =
            restore(RestoreOptions { key: key.clone(), ..scene.in_folder(fresh.path()) }).await.unwrap();
        assert!(restored.lost_vault.unwrap().contains(why));
        assert_eq!(restored.reauthorise.len(), 2);
        let store = Store::open(options(fresh.path())).unwrap();
        assert_eq!(order_count(&store).await, 5);
        assert_eq!(store.read(shop_users::all).await.unwrap()[0].user, None, "new accounts get old numbers");
        assert!(!fresh.path().join(VAULT_FILE_NAME).exists());
        let vault = Vault::open(fresh.path(), &key).unwrap();
        assert!(vault.read(|document| document.connections.is_empty()));
        store.close().await;
        // The second round is without a key file too.
        if let Some(made) = vault.key_created() {
            fs::remove_file(made).unwrap();
        }
    }
}

#[tokio::test]
async fn a_backup_that_is_not_what_it_says_changes_nothing() {
    let scene = Scene::new().await;
    let backup = &scene.backup.path;
    let refused = async |what: &str| {
        let error = restore(scene.here()).await.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        let store = Store::open(options(scene.dir.path())).unwrap();
        assert_eq!((order_count(&store).await, store.installation().epoch), (8, 1));
        store.close().await;
        assert!(!scene.dir.path().join(swap::STAGE_NAME).exists());
    };
    let manifest = fs::read_to_string(backup.join(MANIFEST_NAME)).unwrap();
    for (from, to, what) in [
        ("\"path\": \"vault.eider\"", "\"path\": \"../vault.eider\"", "no backup holds"),
        ("\"schema\": ", "\"schema\": 9", "has schema"),
        ("\"main.orders\": 5", "\"main.orders\": 6", "main.orders has 5 rows instead of 6 rows"),
        ("\"format\": 1", "\"format\": 2", "has format 2"),
        ("{", "", "cannot be understood"),
    ] {
        fs::write(backup.join(MANIFEST_NAME), manifest.replacen(from, to, 1)).unwrap();
        refused(what).await;
    }
    fs::remove_file(backup.join(MANIFEST_NAME)).unwrap();
    refused("is no backup").await;
    fs::write(backup.join(MANIFEST_NAME), manifest).unwrap();
    let mut bytes = fs::read(backup.join(FILE_NAME)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(backup.join(FILE_NAME), &bytes).unwrap();
    refused("is damaged").await;
    fs::remove_file(backup.join(FILE_NAME)).unwrap();
    refused("Cannot copy").await;
    assert!(scene.backups.path().exists());
}

#[tokio::test]
async fn a_backup_with_findings_is_restored_only_on_purpose() {
    let scene = Scene::with(|connection| {
        let plant = "INSERT INTO main.order_line SELECT 77, 0, 'x', NULL, NULL, 'x', 1, 0, 0, NULL, NULL,
            0, 0, 0, 0, 0, 0, NULL";
        connection.execute_batch(plant).unwrap();
    })
    .await;
    let refused = restore(scene.here()).await.unwrap_err().to_string();
    assert!(refused.contains("--despite-findings"), "{refused}");
    let restored = restore(RestoreOptions { despite_findings: true, ..scene.here() }).await.unwrap();
    assert_eq!(restored.findings.len(), 1);
}

#[tokio::test]
async fn a_folder_in_use_is_not_restored_into() {
    let scene = Scene::new().await;
    let store = Store::open(options(scene.dir.path())).unwrap();
    assert!(matches!(restore(scene.here()).await, Err(StoreError::Locked { .. })));
    assert_eq!(order_count(&store).await, 8);
}

#[tokio::test]
async fn killed_between_any_two_steps_either_the_old_or_the_new_data_are_there() {
    // Before the data are ready, the old ones count, however much is prepared.
    let scene = Scene::new().await;
    stage(&scene.backup.path, scene.dir.path()).unwrap();
    let store = Store::open(options(scene.dir.path())).unwrap();
    assert_eq!(order_count(&store).await, 8);
    assert!(!scene.dir.path().join(swap::STAGE_NAME).exists());
    store.close().await;
    drop(store);

    let mut step_count = 0;
    loop {
        let scene = Scene::new().await;
        let dir = scene.dir.path();
        let restored = prepare(&scene.here()).await.unwrap();
        let mut has_steps = true;
        for _ in 0..step_count {
            has_steps = swap::step(dir).unwrap();
        }
        assert_eq!(is_pending(dir), step_count < 8, "after {step_count} steps");
        // As the next start finds it.
        let store = Store::open(options(dir)).unwrap();
        assert_eq!(
            (order_count(&store).await, store.installation().epoch),
            (5, 2),
            "after {step_count} steps"
        );
        assert_eq!(store.verify().await.unwrap().findings, []);
        assert!(Vault::open(dir, &KeySource::DataFolder).is_ok());
        store.close().await;
        let aside = Store::open(options(&restored.aside.unwrap())).unwrap();
        assert_eq!(
            (order_count(&aside).await, aside.installation().epoch),
            (8, 1),
            "after {step_count} steps"
        );
        aside.close().await;
        if !has_steps {
            break;
        }
        step_count += 1;
    }
    // Out with vault, files and database, a mark, in with the three, and the end; the ninth finds nothing.
    assert_eq!(step_count, 9);
}

#[tokio::test]
async fn who_was_erased_since_the_backup_is_erased_again() {
    let scene = Scene::new().await;
    let live = Store::open(options(scene.dir.path())).unwrap();
    let log = "INSERT INTO main.erasure_log VALUES (1, 'request', TIMESTAMP '2026-01-02')";
    live.write(WriteLane::Interactive, move |tx| tx.execute(log, []).map(drop)).await.unwrap();
    live.close().await;
    drop(live);
    let restored = restore(scene.here()).await.unwrap();
    assert_eq!(restored.erased_again, 1);
    let store = Store::open(options(scene.dir.path())).unwrap();
    for (order_no, is_known) in [(1, false), (2, true)] {
        let detail = store.read(move |read| orders::detail(read, OrderNo(order_no))).await.unwrap().unwrap();
        assert_eq!(detail.people.is_some(), is_known, "order {order_no}");
    }
    assert_eq!(store.read(verify::verify).await.unwrap(), []);
}

#[tokio::test]
async fn designs_of_who_was_erased_go_with_their_content() {
    let bench = Bench::new().await;
    let orders =
        bench.import((0..2).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await.orders;
    for (order_no, content) in
        [(orders[0], "first"), (orders[1], "second"), (orders[0], "of both"), (orders[1], "of both")]
    {
        let file = bench.store.lay_file(content.into()).await.unwrap();
        let new = files::NewFile {
            media_type: "application/zip".to_owned(),
            name: content.to_owned(),
            order_no,
            external_line_id: Some("1".to_owned()),
        };
        let row = file.clone();
        bench.store.write(WriteLane::Interactive, move |tx| files::add(tx, &row, &new)).await.unwrap();
        bench.store.file_is_in(file).await.unwrap();
    }
    let erased = vec![(orders[0].0, "request".to_owned(), at(5))];
    let (count, left) =
        bench.store.write(WriteLane::Interactive, move |tx| erase_again(tx, &erased)).await.unwrap();
    assert_eq!((count, left.len()), (1, 1), "what another order needs stays");
    files::remove_content(bench.dir.path(), &left).unwrap();
    let held =
        async |order_no| bench.store.read(move |read| files::of_order(read, order_no)).await.unwrap().len();
    assert_eq!((held(orders[0]).await, held(orders[1]).await), (0, 2));
    assert_eq!(files::all(bench.dir.path()).unwrap().len(), 2);
    assert_eq!(bench.store.verify().await.unwrap().findings, []);
}

//! Backups into a bucket and back, whole, interrupted, refused and damaged.

use std::fs;

use age::secrecy::ExposeSecret as _;
use futures_util::FutureExt as _;

use super::stand_in::{BUCKET, Fault, KEY, KEY_ID, StandIn};
use super::*;
use crate::clock::{ManualClock, SharedClock};
use crate::secret::Secret;
use crate::store::backup::tests::keep_file;
use crate::store::backup::{Delivered, Destination};
use crate::store::orders::{self, OrderFilter};
use crate::store::restore::{Origin, RestoreOptions, Restored, restore};
use crate::store::tests::{Bench, at, facts, item, options};
use crate::store::{STAGING_NAME, Store, StoreOptions};
use crate::vault::{KeySource, Vault};

fn settings(recipients: &[&age::x25519::Identity]) -> BucketSettings {
    let recipient =
        |key: &&age::x25519::Identity| AgeRecipient::try_from(key.to_public().to_string()).unwrap();
    BucketSettings {
        address: format!("s3://{BUCKET}/shop/eider").try_into().unwrap(),
        endpoint: Some("http://bucket.test:9000".to_owned().try_into().unwrap()),
        region: "eu-central-1".to_owned(),
        access_key_id: Secret::new(KEY_ID),
        secret_access_key: Secret::new(KEY),
        age_recipients: recipients.iter().map(recipient).collect(),
    }
}

/// Small pieces, and no long waits before something is tried again.
fn bucket(settings: BucketSettings, there: &Arc<StandIn>) -> Bucket {
    let transport: SharedTransport = Arc::<StandIn>::clone(there);
    let pace = Pace { piece_bytes_min: 64 << 10, retry_count_max: 1, retry_wait: Duration::from_millis(1) };
    Bucket::open_with(settings, transport, pace).unwrap()
}

fn to(bucket: &Bucket) -> Destination {
    Destination { dir: None, bucket: Some(bucket.clone()), keep: None }
}

/// A store with 5 orders, a vault and a file that does not compress, of several pieces.
async fn bench() -> Bench {
    let bench = Bench::new().await;
    drop(Vault::open(bench.dir.path(), &KeySource::DataFolder).unwrap());
    let noise = crate::clock::Entropy::seeded(7).token(300_000);
    keep_file(&bench, noise.as_bytes()).await;
    bench.import((0..5).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    bench
}

async fn delivered(store: &Store, to: &Destination) -> Delivered {
    store.deliver_backup(to).await.unwrap()
}

async fn refused(store: &Store, to: &Destination) -> String {
    store.deliver_backup(to).await.unwrap_err().to_string()
}

fn name_of(delivered: &Delivered) -> String {
    let address = &delivered.uploaded.as_ref().unwrap().address;
    address.rsplit('/').next().unwrap().to_owned()
}

async fn restored(dir: &Path, from: Origin) -> Result<Restored, String> {
    let key = KeySource::DataFolder;
    let options =
        RestoreOptions { store: options(dir), from, key, tokens_rotate: |_| false, despite_findings: false };
    restore(options).await.map_err(|error| error.to_string())
}

fn in_bucket(bucket: &Bucket, name: &str, identity: Option<&Path>) -> Origin {
    Origin::Bucket { bucket: bucket.clone(), name: name.to_owned(), identity: identity.map(Path::to_owned) }
}

async fn order_count(dir: &Path) -> usize {
    let store = Store::open(options(dir)).unwrap();
    let page = store.read(|read| orders::page(read, &OrderFilter::default(), None, 100)).await.unwrap();
    store.close().await;
    page.rows.len()
}

fn key_file(dir: &Path, name: &str, key: &age::x25519::Identity) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, format!("# created by a test\n{}\n", key.to_string().expose_secret())).unwrap();
    path
}

/// Nothing lies in the folder but what a store has there.
fn is_tidy(dir: &Path) -> bool {
    !dir.join(STAGING_NAME).exists() && !dir.join("restore.part").exists()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_into_the_bucket_in_pieces_and_comes_back() {
    let (bench, there) = (bench().await, Arc::new(StandIn::default()));
    let bucket = bucket(settings(&[]), &there);
    let made = delivered(&bench.store, &to(&bucket)).await;
    let id = bench.store.installation().id;
    let name = format!("eider-20260101T000000Z-{id}");
    assert_eq!(made.path, None);
    assert_eq!(made.uploaded.as_ref().unwrap().address, format!("s3://{BUCKET}/shop/eider/{name}"));
    assert_eq!(there.names(), [format!("shop/eider/{name}.json"), format!("shop/eider/{name}.tar.zst")]);
    assert!(there.calls().contains(&"UploadPart 3".to_owned()), "{:?}", there.calls());
    assert!(is_tidy(bench.dir.path()));
    let stored = bucket.backups().await.unwrap();
    let size_bytes = u64::try_from(there.object(&format!("shop/eider/{name}.tar.zst")).len()).unwrap();
    let expected =
        Stored { name: name.clone(), created_at: at(0), installation: id, size_bytes, is_encrypted: false };
    assert_eq!(stored, [expected]);

    let fresh = tempfile::tempdir().unwrap();
    let back = restored(fresh.path(), in_bucket(&bucket, &name, None)).await.unwrap();
    assert_eq!(back.manifest, made.manifest);
    assert!(is_tidy(fresh.path()));
    assert_eq!(order_count(fresh.path()).await, 5);
    for file in &made.manifest.files {
        assert!(fresh.path().join(&file.path).exists() || file.path == Path::new("vault.eider"));
    }
    // The archive as any other tool downloads it.
    let (other, file) = (tempfile::tempdir().unwrap(), fresh.path().join("downloaded.tar.zst"));
    fs::write(&file, there.object(&format!("shop/eider/{name}.tar.zst"))).unwrap();
    restored(other.path(), Origin::Archive { file, identity: None }).await.unwrap();
    assert_eq!(order_count(other.path()).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_backup_opens_to_each_of_its_keys_and_to_no_other() {
    let (bench, there) = (bench().await, Arc::new(StandIn::default()));
    let [ours, deposited, another] = [(); 3].map(|()| age::x25519::Identity::generate());
    let bucket = bucket(settings(&[&ours, &deposited]), &there);
    let name = name_of(&delivered(&bench.store, &to(&bucket)).await);
    let archive = there.object(&format!("shop/eider/{name}.tar.zst.age"));
    assert!(archive.starts_with(b"age-encryption.org/v1"));
    assert!(bucket.backups().await.unwrap()[0].is_encrypted);

    let (keys, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let without = restored(fresh.path(), in_bucket(&bucket, &name, None)).await.unwrap_err();
    assert!(without.contains("is encrypted") && without.contains("--identity"), "{without}");
    let wrong = key_file(keys.path(), "wrong", &another);
    let wrong = restored(fresh.path(), in_bucket(&bucket, &name, Some(&wrong))).await.unwrap_err();
    assert!(wrong.contains("No key in") && wrong.contains("Nothing was changed"), "{wrong}");
    let rubbish = keys.path().join("rubbish");
    fs::write(&rubbish, "AGE-SECRET-KEY-1NOTAKEY\n").unwrap();
    let rubbish = restored(fresh.path(), in_bucket(&bucket, &name, Some(&rubbish))).await.unwrap_err();
    assert!(rubbish.contains("cannot be used") && !rubbish.contains("NOTAKEY"), "{rubbish}");
    assert!(is_tidy(fresh.path()) && !fresh.path().join("eider.duckdb").exists());

    for (number, key) in [&ours, &deposited].into_iter().enumerate() {
        let (fresh, key) = (tempfile::tempdir().unwrap(), key_file(keys.path(), &number.to_string(), key));
        restored(fresh.path(), in_bucket(&bucket, &name, Some(&key))).await.unwrap();
        assert_eq!(order_count(fresh.path()).await, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_leaves_nothing_and_harms_nothing() {
    let clock = Arc::new(ManualClock::new(at(0)));
    let dir = tempfile::tempdir().unwrap();
    let shared: SharedClock = clock.clone();
    let store = Store::open(StoreOptions { clock: shared, ..options(dir.path()) }).unwrap();
    let there = Arc::new(StandIn::default());
    let bucket = bucket(settings(&[]), &there);
    let first = name_of(&delivered(&store, &to(&bucket)).await);
    let before = there.names();
    clock.advance(Duration::from_secs(60));
    let cases = [
        ("CreateMultipartUpload", Fault::Broken),
        ("UploadPart 2", Fault::Broken),
        ("UploadPart 2", Fault::AnswerLost),
        ("CompleteMultipartUpload", Fault::Broken),
        ("CompleteMultipartUpload", Fault::AnswerLost),
        ("HeadObject", Fault::Unreached),
        ("PutObject", Fault::Denied),
    ];
    // So that there is a second piece.
    let noise = crate::clock::Entropy::seeded(7).token(300_000);
    fs::create_dir_all(dir.path().join("files/aa")).unwrap();
    fs::write(dir.path().join("files/aa/noise"), noise).unwrap();
    for (operation, fault) in cases {
        there.fail(operation, fault);
        let told = refused(&store, &to(&bucket)).await;
        assert!(told.contains("Earlier backups are as they were"), "{operation} {fault:?}: {told}");
        assert_eq!(there.names(), before, "{operation} {fault:?}");
        assert_eq!(there.open_upload_count(), 0, "{operation} {fault:?}");
        assert!(is_tidy(dir.path()));
        there.mend();
    }
    // Whoever asked goes away in the middle.
    there.fail("UploadPart 2", Fault::Silent);
    let there_alone = to(&bucket);
    tokio::select! {
        made = store.deliver_backup(&there_alone) => panic!("{made:?}"),
        () = there.is_waited_for.notified() => {}
    }
    while there.open_upload_count() > 0 {
        tokio::task::yield_now().await;
    }
    there.mend();
    assert_eq!(there.names(), before);
    // Room for the next one, and the first is still good.
    let second = name_of(&delivered(&store, &to(&bucket)).await);
    assert_eq!(
        bucket.backups().await.unwrap().iter().map(|stored| &stored.name).collect::<Vec<_>>(),
        [&second, &first]
    );
    let fresh = tempfile::tempdir().unwrap();
    restored(fresh.path(), in_bucket(&bucket, &first, None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_our_own_backups_go_and_never_the_newest() {
    let clock = Arc::new(ManualClock::new(at(0)));
    let dir = tempfile::tempdir().unwrap();
    let shared: SharedClock = clock.clone();
    let store = Store::open(StoreOptions { clock: shared, ..options(dir.path()) }).unwrap();
    let id = store.installation().id;
    let there = Arc::new(StandIn::default());
    let bucket = bucket(settings(&[]), &there);
    let others = [
        "eider-20250101T000000Z-another.json".to_owned(),
        "eider-20250101T000000Z-another.tar.zst".to_owned(),
        "eider-holidays.tar.zst".to_owned(),
        // Older than they may be, and only named like ours.
        format!("eider-20250101T000000Z-{id}.tar.zst.bak"),
        format!("deeper/eider-20250101T000000Z-{id}.tar.zst"),
    ];
    for name in &others {
        there.set(&format!("shop/eider/{name}"), "x");
    }
    // What a killed process left, of ours.
    there.set(&format!("shop/eider/eider-20250101T000000Z-{id}.tar.zst"), "x");
    let to = Destination { keep: Some(2), ..to(&bucket) };
    let mut removed = Vec::new();
    for _ in 0..4 {
        clock.advance(Duration::from_secs(60));
        removed.extend(delivered(&store, &to).await.uploaded.unwrap().removed);
    }
    let name = |minute: u32| format!("eider-20260101T00{minute:02}00Z-{id}");
    assert_eq!(removed, [bucket.address_of(&name(1)), bucket.address_of(&name(2))]);
    let kept = [3, 4].into_iter().flat_map(|minute| [".json", ".tar.zst"].map(|end| name(minute) + end));
    let mut expected: Vec<_> =
        others.into_iter().chain(kept).map(|name| format!("shop/eider/{name}")).collect();
    expected.sort();
    assert_eq!(there.names(), expected);

    // A key that may not remove: the backup counts.
    there.fail("DeleteObject", Fault::Denied);
    clock.advance(Duration::from_secs(60));
    let uploaded = delivered(&store, &to).await.uploaded.unwrap();
    assert_eq!(uploaded.removed, Vec::<String>::new());
    assert!(uploaded.not_removed.unwrap().contains("refuses the key"));
    let ours = bucket.backups().await.unwrap().into_iter().filter(|stored| stored.installation == id);
    assert_eq!(ours.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_with_what_to_do() {
    let bench = Bench::new().await;
    let there = Arc::new(StandIn::default());
    let wrong = |settings: BucketSettings| bucket(settings, &there);
    let cases = [
        (
            BucketSettings { address: "s3://elsewhere".to_owned().try_into().unwrap(), ..settings(&[]) },
            "no bucket “elsewhere”",
        ),
        (BucketSettings { access_key_id: Secret::new("AKOTHER"), ..settings(&[]) }, "(InvalidAccessKeyId)"),
        (
            BucketSettings { secret_access_key: Secret::new("guessed"), ..settings(&[]) },
            "(SignatureDoesNotMatch)",
        ),
    ];
    for (settings, expected) in cases {
        let told = refused(&bench.store, &to(&wrong(settings))).await;
        assert!(told.contains(expected) && told.contains("orrect backup."), "{told}");
        assert!(!told.contains("guessed") && !told.contains(KEY), "{told}");
    }
    there.fail("ListObjectsV2", Fault::Unreached);
    let told = refused(&bench.store, &to(&wrong(settings(&[])))).await;
    assert!(
        told.contains("http://bucket.test:9000/ gave no answer") && told.contains("backup.endpoint"),
        "{told}"
    );
    there.mend();
    assert_eq!(there.names(), Vec::<String>::new());
    let fresh = tempfile::tempdir().unwrap();
    let missing = restored(fresh.path(), in_bucket(&wrong(settings(&[])), "eider-20260101T000000Z-x", None));
    assert!(missing.await.unwrap_err().contains("it is not there"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_and_the_data_stay() {
    let (bench, there) = (bench().await, Arc::new(StandIn::default()));
    let key = age::x25519::Identity::generate();
    let keys = tempfile::tempdir().unwrap();
    let identity = key_file(keys.path(), "key", &key);
    for recipients in [vec![], vec![&key]] {
        let bucket = bucket(settings(&recipients), &there);
        for object in there.names() {
            there.remove(&object);
        }
        let name = name_of(&delivered(&bench.store, &to(&bucket)).await);
        let archive = there.names().into_iter().find(|object| !object.ends_with(".json")).unwrap();
        let whole = there.object(&archive);
        let mut flipped = whole.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for damaged in [whole.slice(..whole.len() - 1), whole.slice(..0), flipped.into()] {
            there.set(&archive, damaged);
            let fresh = tempfile::tempdir().unwrap();
            let told = restored(fresh.path(), in_bucket(&bucket, &name, Some(&identity))).await.unwrap_err();
            assert!(told.contains("damaged") && told.contains("Nothing was changed"), "{told}");
            assert!(is_tidy(fresh.path()) && !fresh.path().join("eider.duckdb").exists());
        }
        there.set(&archive, whole);
        there.fail("GetObject", Fault::AnswerLost);
        let fresh = tempfile::tempdir().unwrap();
        let told = restored(fresh.path(), in_bucket(&bucket, &name, Some(&identity))).await.unwrap_err();
        assert!(told.contains("gave no answer"), "{told}");
        there.mend();
        restored(fresh.path(), in_bucket(&bucket, &name, Some(&identity))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_does_not_answer_costs_the_folder_nothing() {
    let bench = Bench::new().await;
    let (there, folder) = (Arc::new(StandIn::default()), tempfile::tempdir().unwrap());
    let bucket = bucket(settings(&[]), &there);
    let dir = folder.path().join("backups");
    let to = Destination { dir: Some(dir.clone()), bucket: Some(bucket.clone()), keep: Some(2) };
    there.fail("UploadPart", Fault::Broken);
    for _ in 0..4 {
        let told = bench.store.deliver_backup_unless(&to, at(-60)).await.unwrap_err().to_string();
        assert!(told.contains("The backup itself lies in"), "{told}");
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "the one that is young enough is uploaded again");
    there.mend();
    let made = bench.store.deliver_backup_unless(&to, at(-60)).await.unwrap();
    assert_eq!((fs::read_dir(&dir).unwrap().count(), there.names().len()), (1, 2));
    // Once more changes nothing; one that is old is followed by the next.
    assert_eq!(bench.store.deliver_backup_unless(&to, at(-60)).await.unwrap().uploaded, made.uploaded);
    bench.import(vec![item(facts("O", 1))]).await;
    let told = bench.store.deliver_backup_unless(&to, at(0)).await.unwrap_err().to_string();
    assert!(told.contains("another backup of the same second"), "{told}");
    assert_eq!((fs::read_dir(&dir).unwrap().count(), there.names().len()), (2, 2));
}

#[test]
fn an_archive_may_name_nothing_but_what_a_backup_holds() {
    let manifest = r#"{"format":1,"version":"0","schema":1,"installation":"i","epoch":1,
        "created_at":"2026-01-01T00:00:00Z","tables":{},"files":[
        {"path":"eider.duckdb","bytes":1,"sha256":""},{"path":"../x","bytes":1,"sha256":""}]}"#;
    let packed = |entries: &[(&str, &str)]| {
        let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        for (path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(u64::try_from(content.len()).unwrap());
            header.set_cksum();
            archive.append(&header, content.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    };
    let (manifest, database) = (("manifest.json", manifest), ("eider.duckdb", "d"));
    for (entries, expected) in [
        (vec![database], "eider.duckdb is in it"),
        (vec![manifest, ("../x", "y")], "../x is in it"),
        (vec![manifest, ("/etc/x", "y")], "x is in it"),
        (vec![manifest, ("eider.duckdb", "longer")], "eider.duckdb is in it"),
        (vec![manifest, database, database], "eider.duckdb is in it"),
        (vec![manifest, database], "../x is missing"),
        (vec![], "manifest.json is missing"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let told =
            archive::unpack(&packed(&entries)[..], "it", &dir.path().join("to"), Keys(None)).unwrap_err();
        assert!(told.to_string().contains(expected), "{told}");
        assert!(!dir.path().join("x").exists());
    }
}

#[test]
fn a_backup_is_known_by_its_name_and_by_those_of_its_objects() {
    let name = "eider-20260102T030405Z-a-b_9";
    for text in
        [name.to_owned(), format!("{name}.json"), format!("{name}.tar.zst"), format!("{name}.tar.zst.age")]
    {
        assert_eq!(named(&text).as_deref(), Some(name));
    }
    for text in
        ["eider", "eider-holidays", "eider-20260102T030405Z", "eider-20261302T030405Z-a", "eider-2026-a", ""]
    {
        assert_eq!(named(text), None, "{text}");
    }
}

#[tokio::test]
async fn without_a_place_there_is_no_backup() {
    let bench = Bench::new().await;
    let nowhere = Destination { dir: None, bucket: None, keep: None };
    let told = bench.store.deliver_backup(&nowhere).now_or_never().unwrap().unwrap_err();
    assert!(told.to_string().contains("set backup.dir or backup.bucket"), "{told}");
}

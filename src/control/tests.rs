//! The socket answers what a command asks, and nobody else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::*;
use crate::clock::SystemClock;
use crate::store::StoreOptions;
use crate::vault::KeySource;
use std::time::Duration;

fn parts(dir: &Path) -> Parts {
    let entropy = Arc::new(Entropy::seeded(1));
    let store = Store::open(StoreOptions {
        dir: dir.to_owned(),
        memory_limit: "256MB".to_owned(),
        threads: 1,
        reader_count: 1,
        query_timeout: Duration::from_secs(10),
        row_cap: 100,
        free_space_floor_bytes: 0,
        zone: TimeZone::UTC,
        clock: Arc::new(SystemClock),
        entropy: Arc::clone(&entropy),
    })
    .unwrap();
    let vault = Arc::new(Vault::open(dir, &KeySource::DataFolder).unwrap());
    let base_url = "http://127.0.0.1:8080/".to_owned();
    let setup_path = |token: &str| format!("setup/{token}");
    Parts {
        store,
        vault,
        clock: Arc::new(SystemClock),
        entropy,
        base_url,
        setup_path,
        row_cap: 100,
        network: HttpSettings::default(),
    }
}

fn add_user(name: &str) -> Request {
    Request::UserAdd {
        name: name.to_owned(),
        role: Role::Staff,
        password: Some(Secret::new("correct horse")),
    }
}

async fn asked(dir: &Path, request: &Request) -> Result<Reply, String> {
    match ask(dir, request).await.unwrap() {
        Asked::Answered(answered) => answered,
        Asked::Nobody => panic!("nobody listens in {}", dir.display()),
    }
}

#[tokio::test]
async fn a_command_beside_the_appliance_prints_what_it_prints_alone() {
    let dir = tempfile::tempdir().unwrap();
    let parts = parts(dir.path());
    let (stop, stopped) = watch::channel(false);
    // What a killed process leaves.
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("control.sock")).unwrap());
    let served = serve(parts.clone(), stopped).unwrap();
    let mode = std::fs::metadata(dir.path().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let added = asked(dir.path(), &add_user("ann")).await.unwrap();
    assert_eq!(String::from_utf8(added.output).unwrap(), "ann may sign in as staff.\n");
    let refused = asked(dir.path(), &add_user("Ann")).await.unwrap_err();
    assert!(refused.contains("already"), "{refused}");

    for request in [
        Request::UserList,
        Request::Sql { sql: "select count(*) as n from orders".to_owned(), format: SqlFormat::Csv },
        Request::Sql { sql: "select 1 as one".to_owned(), format: SqlFormat::Parquet },
        Request::Verify,
    ] {
        assert_eq!(asked(dir.path(), &request).await, parts.answer(request).await);
    }
    let refused =
        asked(dir.path(), &Request::Sql { sql: "select nothing".to_owned(), format: SqlFormat::Json }).await;
    assert!(refused.is_err());

    stop.send(true).unwrap();
    served.await.unwrap();
    assert_eq!(ask(dir.path(), &Request::UserList).await.unwrap(), Asked::Nobody);
    parts.store.close().await;
}

#[tokio::test]
async fn a_folder_with_a_long_path_points_to_its_socket() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(120));
    let parts = parts(&long);
    let (stop, stopped) = watch::channel(false);
    let served = serve(parts.clone(), stopped).unwrap();
    assert!(asked(&long, &Request::UserList).await.is_ok());
    stop.send(true).unwrap();
    served.await.unwrap();
    assert!(!long.join("control.path").exists());
    parts.store.close().await;
}

#[test]
fn a_password_is_written_for_the_socket_alone() {
    let request = add_user("ann");
    let written = serde_json::to_string(&request).unwrap();
    assert!(written.contains("correct horse"));
    assert_eq!(serde_json::from_str::<Request>(&written).unwrap(), request);
    assert!(!format!("{request:?}").contains("correct"));
}

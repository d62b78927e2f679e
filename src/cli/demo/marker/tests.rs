//! The marker tells whose folder it is, and keeps the seed.

use super::*;

fn refusal(result: Result<Marker, CliError>) -> String {
    result.map(|marker| marker.seed()).unwrap_err().to_string()
}

#[test]
fn a_folder_is_continued_with_its_own_seed_ports_and_token() {
    let dir = tempfile::tempdir().unwrap();
    let mut marker = Marker::open(dir.path(), Some(7), Origin::Own).unwrap();
    marker.platforms_run(BTreeMap::from([("amazon".to_owned(), 4711)])).unwrap();
    let token = marker.token(&Entropy::seeded(1)).unwrap();
    let go_live = marker.go_live();
    drop(marker);

    let mut again = Marker::open(dir.path(), None, Origin::Own).unwrap();
    assert!(!again.is_new());
    assert_eq!((again.seed(), again.go_live()), (7, go_live));
    assert_eq!(again.ports().get("amazon"), Some(&4711));
    assert_eq!(again.token(&Entropy::seeded(2)).unwrap(), token);
    drop(again);

    assert!(refusal(Marker::open(dir.path(), Some(8), Origin::Own)).contains("has seed 7, not 8"));
    assert!(refusal(Marker::open(dir.path(), None, Origin::Elsewhere)).contains("runs its own platforms"));
}

#[test]
fn a_folder_that_serve_made_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("eider.duckdb"), b"").unwrap();
    assert!(refusal(Marker::open(dir.path(), None, Origin::Own)).contains("made by `eider serve`"));
    assert!(!dir.path().join(MARKER_NAME).exists());
}

#[test]
fn two_demos_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Marker::open(dir.path(), None, Origin::Own).unwrap();
    assert!(refusal(Marker::open(dir.path(), None, Origin::Own)).contains("Another demo runs"));
}

//! Keeping data with the real program: beside a running appliance, on a disk that is full, and back again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::appliance::{Appliance, EIDER, eider};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn failed(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_the_appliance_there_are_backups_and_nothing_that_needs_the_data_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let appliance = Appliance::start(dir.path());
    let backup = succeeded(eider(dir.path(), &["backup", "--to", "backups"]));
    let backup = backup.trim();
    assert!(Path::new(backup).join("manifest.json").exists(), "{backup}");
    assert!(succeeded(eider(dir.path(), &["verify"])).contains("agrees with itself"));
    assert!(failed(eider(dir.path(), &["restore", backup])).contains("stop that process"));
    assert!(failed(eider(dir.path(), &["compact"])).contains("stop that process"));
    assert!(failed(eider(dir.path(), &["backup", "--to", "data/x"])).contains("inside the data folder"));
    appliance.stop().await;

    succeeded(eider(dir.path(), &["user", "add", "ann", "--role", "owner"]));
    assert!(succeeded(eider(dir.path(), &["restore", backup])).contains("Epoch 2 begins"));
    assert!(!succeeded(eider(dir.path(), &["user", "list"])).contains("ann"), "she came after the backup");
    assert!(succeeded(eider(dir.path(), &["compact"])).contains("rows are there"));
    assert!(succeeded(eider(dir.path(), &["verify"])).contains("agrees with itself"));
    Appliance::start(dir.path()).stop().await;
}

#[test]
fn a_disk_that_is_full_in_the_middle_leaves_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    succeeded(eider(dir.path(), &["user", "add", "ann", "--role", "owner"]));
    fs::create_dir(dir.path().join("data/files")).unwrap();
    fs::write(dir.path().join("data/files/large"), vec![7; 40 << 20]).unwrap();
    // No file may grow beyond 30 MB; the signal that says so is ignored, so that the write fails as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f 30720; exec '{EIDER}' backup --to backups --data data");
    let output = Command::new("bash").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    let said = failed(output);
    assert!(said.contains("files/large") && said.contains("Make room there"), "{said}");
    assert_eq!(entries(&dir.path().join("backups")), Vec::<PathBuf>::new());
    // With room again it works, and says that this file belongs to nothing.
    succeeded(eider(dir.path(), &["backup", "--to", "backups"]));
    assert!(text(&eider(dir.path(), &["verify"]).stdout).contains("files/large belongs to nothing"));
}

#[test]
fn where_no_folder_is_named_the_setting_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let output = eider(dir.path(), &["backup"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("backup.dir or backup.bucket"));
    let output = eider(dir.path(), &["backup", "--to", "s3://backups/eider"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("EIDER__BACKUP__ACCESS_KEY_ID"));
    assert!(failed(eider(dir.path(), &["restore", "nowhere"])).contains("is no backup"));
}

//! The sample `appliance.toml` against the settings that exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use eider::config::{self, Config, ConfigFile, Flags};

/// The sample with the `#` in front of every key taken away.
fn uncommented_sample() -> String {
    let sample = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("appliance.toml")).unwrap();
    let is_key = |line: &str| {
        line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).is_some_and(|(name, _)| {
            name.chars().all(|character| character.is_ascii_lowercase() || character == '_')
        })
    };
    let uncommented = sample.lines().map(|line| if is_key(line) { &line[2..] } else { line });
    uncommented.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_file_holds_every_setting_with_its_default() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("appliance.toml");
    fs::write(&path, uncommented_sample()).unwrap();
    let loaded = config::load(&ConfigFile::Named(path), &BTreeMap::new(), &Flags::default()).unwrap();
    let unset: Vec<String> =
        Config::keys().into_iter().filter(|key| loaded.source_of(key) == "default").collect();
    assert!(unset.is_empty(), "missing in appliance.toml: {unset:?}");

    // These have no default that a file could show.
    let mut expected = Config::defaults(&BTreeMap::new());
    expected.public_url.clone_from(&loaded.config.public_url);
    expected.server.hooks_listen = loaded.config.server.hooks_listen;
    expected.data.dir.clone_from(&loaded.config.data.dir);
    expected.store.memory_limit.clone_from(&loaded.config.store.memory_limit);
    expected.backup.dir.clone_from(&loaded.config.backup.dir);
    expected.backup.bucket.clone_from(&loaded.config.backup.bucket);
    expected.backup.endpoint.clone_from(&loaded.config.backup.endpoint);
    expected.backup.access_key_id.clone_from(&loaded.config.backup.access_key_id);
    expected.backup.secret_access_key.clone_from(&loaded.config.backup.secret_access_key);
    expected.mail.server.clone_from(&loaded.config.mail.server);
    expected.mail.from.clone_from(&loaded.config.mail.from);
    assert_eq!(loaded.config, expected);
}

#[test]
fn the_sample_file_as_it_stands_changes_nothing() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("appliance.toml");
    let loaded = config::load(&ConfigFile::Named(sample), &BTreeMap::new(), &Flags::default()).unwrap();
    assert_eq!(loaded.config, Config::defaults(&BTreeMap::new()));
}

//! The vault on a real file system.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::domain::user::Role;
use crate::secret::Secret;

const HEX_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn text_key(text: &str) -> KeySource {
    KeySource::Text(Secret::new(text))
}

fn error_of(dir: &TempDir, key: &KeySource) -> VaultError {
    Vault::open(dir.path(), key).unwrap_err()
}

fn store_credential(vault: &Vault, value: &str) {
    let credentials = BTreeMap::from([("refresh_token".to_owned(), value.to_owned())]);
    vault.update(|document| document.connections.insert(7, credentials)).unwrap();
}

fn credential(vault: &Vault) -> String {
    vault.read(|document| document.connections[&7]["refresh_token"].clone())
}

#[test]
fn what_was_updated_is_there_after_a_restart_and_cannot_be_read_on_disk() {
    let dir = TempDir::new().unwrap();
    let vault = Vault::open(dir.path(), &KeySource::DataFolder).unwrap();
    store_credential(&vault, "a-refresh-token");
    let report_key = vault.read(|document| document.report_key);
    drop(vault);
    let reopened = Vault::open(dir.path(), &KeySource::DataFolder).unwrap();
    assert_eq!(credential(&reopened), "a-refresh-token");
    assert_eq!(reopened.read(|document| document.report_key), report_key);
    let bytes = fs::read(reopened.path()).unwrap();
    assert!(!bytes.windows(15).any(|window| window == b"a-refresh-token"));
    assert_eq!(fs::metadata(reopened.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{reopened:?} {:?}", reopened.read(Document::clone)).contains("a-refresh-token"));
}

#[test]
fn the_first_run_makes_a_key_and_says_so_once() {
    let dir = TempDir::new().unwrap();
    let key_path = dir.path().join(KEY_FILE_NAME);
    let vault = Vault::open(dir.path(), &KeySource::DataFolder).unwrap();
    assert_eq!(vault.key_created(), Some(key_path.as_path()));
    assert_eq!(fs::metadata(&key_path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(vault);
    assert_eq!(Vault::open(dir.path(), &KeySource::DataFolder).unwrap().key_created(), None);
    // What was saved of the key opens the vault from the environment too.
    let saved = fs::read_to_string(&key_path).unwrap();
    Vault::open(dir.path(), &text_key(&saved)).unwrap();
}

#[test]
fn a_key_is_taken_as_hex_or_base64_from_text_or_file() {
    let dir = TempDir::new().unwrap();
    store_credential(&Vault::open(dir.path(), &text_key(HEX_KEY)).unwrap(), "same");
    let file = dir.path().join("mounted");
    fs::write(&file, format!("{BASE64_KEY}\n")).unwrap();
    for key in [text_key(BASE64_KEY), text_key(BASE64_KEY.trim_end_matches('=')), KeySource::File(file)] {
        assert_eq!(credential(&Vault::open(dir.path(), &key).unwrap()), "same");
    }
    assert!(!dir.path().join(KEY_FILE_NAME).exists());
}

#[test]
fn what_is_no_key_is_refused_with_the_reason_and_not_shown() {
    let dir = TempDir::new().unwrap();
    for (text, reason) in [("", "empty"), ("correct horse", "neither base64 nor hex"), ("c2hvcnQ", "5 bytes")]
    {
        let message = error_of(&dir, &text_key(text)).to_string();
        assert!(message.contains("EIDER_KEY") && message.contains(reason), "{message}");
        assert!(text.is_empty() || !message.contains(text), "{message}");
    }
    assert!(!dir.path().join(VAULT_FILE_NAME).exists());
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(Vault::open(dir.path(), &KeySource::DataFolder).unwrap());
    fs::set_permissions(dir.path().join(KEY_FILE_NAME), fs::Permissions::from_mode(0o640)).unwrap();
    let message = error_of(&dir, &KeySource::DataFolder).to_string();
    assert!(message.contains("0640") && message.contains("chmod 600"), "{message}");
}

#[test]
fn a_lost_key_is_not_replaced_by_a_new_one() {
    let dir = TempDir::new().unwrap();
    drop(Vault::open(dir.path(), &KeySource::DataFolder).unwrap());
    fs::remove_file(dir.path().join(KEY_FILE_NAME)).unwrap();
    assert!(matches!(error_of(&dir, &KeySource::DataFolder), VaultError::KeyMissing { .. }));
    assert!(!dir.path().join(KEY_FILE_NAME).exists());
}

#[test]
fn a_wrong_key_and_a_damaged_file_are_told_apart() {
    let dir = TempDir::new().unwrap();
    drop(Vault::open(dir.path(), &text_key(HEX_KEY)).unwrap());
    let path = dir.path().join(VAULT_FILE_NAME);
    let whole = fs::read(&path).unwrap();
    let other_key = text_key(&HEX_KEY.replace("1f", "20"));
    assert!(matches!(error_of(&dir, &other_key), VaultError::WrongKey { .. }));

    for length in [0, 3, 30, 60, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = error_of(&dir, &text_key(HEX_KEY));
        assert!(matches!(error, VaultError::Damaged { .. }), "{length}: {error}");
    }
    for position in [0, 10, 40, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        fs::write(&path, changed).unwrap();
        let error = error_of(&dir, &text_key(HEX_KEY));
        assert!(matches!(error, VaultError::Damaged { .. }), "{position}: {error}");
    }
}

#[test]
fn a_newer_format_is_refused_as_such() {
    use sha2::Digest as _;
    let dir = TempDir::new().unwrap();
    drop(Vault::open(dir.path(), &text_key(HEX_KEY)).unwrap());
    let path = dir.path().join(VAULT_FILE_NAME);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 32);
    bytes[4] = 2;
    let checksum = sha2::Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(error_of(&dir, &text_key(HEX_KEY)), VaultError::TooNew { version: 2, .. }));
}

#[test]
fn a_crash_between_writing_and_replacing_leaves_the_old_document() {
    let dir = TempDir::new().unwrap();
    let vault = Vault::open(dir.path(), &text_key(HEX_KEY)).unwrap();
    store_credential(&vault, "old");
    let mut next = vault.read(Document::clone);
    next.connections.clear();
    vault.file.stage(&next).unwrap();
    drop(vault);

    let reopened = Vault::open(dir.path(), &text_key(HEX_KEY)).unwrap();
    assert_eq!(credential(&reopened), "old");
    store_credential(&reopened, "new");
    assert_eq!(credential(&Vault::open(dir.path(), &text_key(HEX_KEY)).unwrap()), "new");
}

#[test]
fn an_update_that_cannot_be_written_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let vault = Vault::open(dir.path(), &text_key(HEX_KEY)).unwrap();
    store_credential(&vault, "old");
    // A folder in the place of the staged file: that cannot be written, not even by root.
    fs::create_dir(dir.path().join("vault.eider.new")).unwrap();
    assert!(vault.update(|document| document.connections.clear()).is_err());
    assert_eq!(credential(&vault), "old");
}

#[test]
fn two_keys_in_the_environment_are_one_too_many() {
    let environment = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let source = |pairs: &[(&str, &str)]| KeySource::from_environment(&environment(pairs));
    assert_eq!(source(&[]).unwrap(), KeySource::DataFolder);
    assert_eq!(source(&[("EIDER_KEY", "k")]).unwrap(), text_key("k"));
    assert_eq!(source(&[("EIDER_KEY_FILE", "/k")]).unwrap(), KeySource::File("/k".into()));
    assert!(matches!(source(&[("EIDER_KEY", "k"), ("EIDER_KEY_FILE", "/k")]), Err(VaultError::TwoKeys)));
}

#[test]
fn a_setup_token_works_once_and_not_for_ever() {
    let mut document = Document::new(&Entropy::seeded(1));
    let now = Timestamp::UNIX_EPOCH;
    let later = now + SignedDuration::from_hours(1);
    document.add_setup_token("first", Some(3), now, later);
    assert!(document.is_setup_token("first", now) && !document.is_setup_token("other", now));
    assert_eq!(document.redeem_setup_token("first", now).unwrap().user_id, Some(3));
    assert!(document.redeem_setup_token("first", now).is_none());
    document.add_setup_token("second", None, now, later);
    assert!(!document.is_setup_token("second", later));
    assert!(document.redeem_setup_token("second", later).is_none());
}

#[test]
fn tokens_and_users_are_found_by_what_they_present() {
    let mut document = Document::new(&Entropy::seeded(1));
    let now = Timestamp::UNIX_EPOCH;
    let first = document.add_api_token("tok-a", "ci", Role::Analyst, now);
    let second = document.add_api_token("tok-b", "shop floor", Role::Staff, now);
    assert_ne!(first, second);
    assert_eq!(document.api_token("tok-b").unwrap().name, "shop floor");
    assert!(document.api_token("tok-c").is_none());
    assert!(!serde_json::to_string(&document).unwrap().contains("tok-a"));
    assert_eq!(document.add_user("Ada", Role::Owner, now), Some(1));
    assert_eq!(document.add_user("ada", Role::Staff, now), None);
    assert_eq!(document.user_named("ADA").unwrap().role, Role::Owner);
}

#[test]
fn a_password_fits_its_own_hash_alone() {
    let password = Secret::new("correct horse battery staple");
    let hash = hash_password(&password).unwrap();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    assert_ne!(hash, hash_password(&password).unwrap());
    assert!(is_password(&password, &hash));
    assert!(!is_password(&Secret::new("correct horse"), &hash));
    assert!(!is_password(&password, "no hash"));
}

#[test]
fn a_users_number_is_never_given_twice() {
    let mut document = Document::new(&Entropy::seeded(1));
    let now = Timestamp::UNIX_EPOCH;
    document.add_user("ada", Role::Owner, now).unwrap();
    let bob = document.add_user("bob", Role::Staff, now).unwrap();
    // As a document is that an older version wrote.
    document.highest_user_id = 0;
    document.remove_user(bob);
    let eve = document.add_user("eve", Role::Staff, now).unwrap();
    assert_eq!((bob, eve), (2, 3));
    document.remove_user(eve);
    let again: Document = serde_json::from_str(&serde_json::to_string(&document).unwrap()).unwrap();
    assert_eq!(again.highest_user_id, 3);
}

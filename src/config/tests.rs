//! Settings from real files and a made-up environment.

use std::fs;

use serde::Serialize;
use tempfile::TempDir;

use super::*;
use crate::secret::Secret;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads `text` as the file, with these variables; an error as its text, without the folder's name.
fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(CONFIG_FILE_NAME), text).unwrap();
    let file = ConfigFile::DefaultIn(dir.path().to_owned());
    load(&file, &environment(variables), &Flags::default())
        .map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

fn message(text: &str, variables: &[(&str, &str)]) -> String {
    loaded(text, variables).unwrap_err()
}

#[test]
fn each_layer_overrides_the_one_before() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("settings.toml");
    fs::write(&path, "[server]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let pointed = dir.path().join("listen");
    fs::write(&pointed, "127.0.0.1:3\n").unwrap();
    let file = ConfigFile::Named(path.clone());
    let variable = ("EIDER__SERVER__LISTEN", "127.0.0.1:2");
    let file_variable = ("EIDER__SERVER__LISTEN_FILE", pointed.to_str().unwrap());
    let flags = Flags { listen: Some("127.0.0.1:4".parse().unwrap()), data: None };
    let none = Flags::default();
    let port = |file: &ConfigFile, variables: &[(&str, &str)], flags: &Flags| {
        let loaded = load(file, &environment(variables), flags).unwrap();
        (loaded.config.server.listen.port(), loaded.source_of("server.listen").to_owned())
    };
    let absent = ConfigFile::DefaultIn(dir.path().to_owned());
    assert_eq!(port(&absent, &[], &none), (8080, "default".to_owned()));
    assert_eq!(port(&file, &[], &none), (1, format!("{}, line 2", path.display())));
    assert_eq!(port(&file, &[variable], &none), (2, "EIDER__SERVER__LISTEN".to_owned()));
    assert_eq!(port(&file, &[variable, file_variable], &none), (3, "EIDER__SERVER__LISTEN_FILE".to_owned()));
    assert_eq!(port(&file, &[variable, file_variable], &flags), (4, "--listen".to_owned()));
}

#[test]
fn a_named_file_must_be_there() {
    let file = ConfigFile::from_flag(Some("/nowhere/appliance.toml".into()));
    let error = load(&file, &BTreeMap::new(), &Flags::default()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/appliance.toml"), "{error}");
}

#[test]
fn every_kind_of_value_can_come_from_a_variable() {
    let variables = [
        ("EIDER__PUBLIC_URL", "https://orders.example.com/eider"),
        ("EIDER__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8"),
        ("EIDER__STORE__MEMORY_LIMIT", "1GB"),
        ("EIDER__STORE__ROW_CAP", "5"),
        ("EIDER__NETWORK__ALLOW_PRIVATE", "true"),
        ("EIDER__LOG__FORMAT", "json"),
        ("EIDER__MERCHANT__TIME_ZONE", "Europe/Berlin"),
        // The vault's key is no setting, and other programs' variables are not ours.
        ("EIDER_KEY", "x"),
        ("PATH", "/bin"),
    ];
    let config = loaded("", &variables).unwrap().config;
    assert_eq!(config.public_url.unwrap().as_url().as_str(), "https://orders.example.com/eider/");
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.store.memory_limit.unwrap().as_str(), "1GB");
    assert_eq!(config.store.row_cap.get(), 5);
    assert!(config.network.allow_private && config.network.http_settings().allow_private);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.merchant.time_zone.name(), "Europe/Berlin");
}

#[test]
fn an_unknown_key_names_its_place_and_the_nearest_key() {
    assert_eq!(
        message("[server]\n\nlistn = \"x\"\n[nonsense]\nzzz = 1\n", &[]),
        "appliance.toml, line 4: there is no setting `nonsense`; `eider config print` lists all\n\
         appliance.toml, line 3: there is no setting `server.listn`; did you mean `server.listen`?"
    );
    assert_eq!(
        message("[server]\nallow_private = true\n", &[]),
        "appliance.toml, line 2: there is no setting `server.allow_private`; did you mean `network.allow_private`?"
    );
    assert_eq!(
        message("", &[("EIDER__SERVER__LISTNE", "x")]),
        "environment: there is no setting `EIDER__SERVER__LISTNE`; did you mean `EIDER__SERVER__LISTEN`?"
    );
    assert_eq!(
        message("server = 1\n", &[]),
        "appliance.toml, line 1: `server` is a section; write `[server]` and its keys below it"
    );
}

#[test]
fn a_value_that_does_not_fit_names_key_source_and_what_is_expected() {
    assert_eq!(
        message("[store]\nrow_cap = \"many\"\n", &[]),
        "appliance.toml, line 2: store.row_cap is not valid: found string \"many\", expected a nonzero u64; \
         the default is 10000"
    );
    assert_eq!(
        message("", &[("EIDER__SERVER__LISTEN", "8080")]),
        "EIDER__SERVER__LISTEN: server.listen is not valid: invalid socket address syntax; \
         the default is \"127.0.0.1:8080\""
    );
    for (text, expected) in [
        ("[sync]\npoll_interval_s = 0\n", "sync.poll_interval_s is not valid: found signed int `0`"),
        ("[log]\nformat = \"xml\"\n", "line 2: log.format is not valid"),
        ("[merchant]\ntime_zone = \"Mars/Olympus\"\n", "no such time zone"),
        ("[store]\nmemory_limit = \"lots\"\n", "such as \"1GB\""),
        ("public_url = \"https://u:secret@example.com\"\n", "must not hold a user or password"),
        ("public_url = \"ftp://example.com\"\n", "must begin with http://"),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"x\"]\n",
            "line 2: server.trusted_proxies is not valid",
        ),
        ("[server\n", "appliance.toml, line 1:"),
    ] {
        let message = message(text, &[]);
        assert!(message.contains(expected) && !message.contains("secret"), "{text}: {message}");
    }
}

#[test]
fn data_lies_where_the_desktop_standard_puts_it() {
    let folder = |pairs: &[(&str, &str)]| data_folder(&environment(pairs), "eider");
    assert_eq!(folder(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]), PathBuf::from("/x/eider"));
    assert_eq!(
        folder(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]),
        PathBuf::from("/h/.local/share/eider")
    );
    assert_eq!(folder(&[]), PathBuf::from("eider"));
}

#[test]
fn what_is_printed_can_be_read_back() {
    let variables = [("EIDER__PUBLIC_URL", "https://orders.example.com"), ("HOME", "/home/ada")];
    let first = loaded("[store]\nreader_count = 2\n", &variables).unwrap();
    let printed = first.print();
    assert!(printed.contains("reader_count = 2  # "), "{printed}");
    assert!(printed.contains("line 2\n"), "{printed}");
    assert!(
        printed.contains("public_url = \"https://orders.example.com/\"  # EIDER__PUBLIC_URL"),
        "{printed}"
    );
    assert!(printed.contains("# hooks_listen is not set"), "{printed}");
    assert_eq!(loaded(&printed, &[]).unwrap().config, first.config, "{printed}");
}

#[test]
fn a_secret_is_printed_redacted() {
    #[derive(Serialize)]
    struct Settings {
        token: Secret,
    }
    let printed = print::as_toml(&Settings { token: Secret::new("hunter2") }, |_| "default");
    assert_eq!(printed, "token = \"[redacted]\"  # default\n");
}

#[test]
fn a_bucket_for_backups_is_named_with_its_key_which_is_never_printed() {
    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let variables = [
        ("EIDER__BACKUP__BUCKET", "s3://backups/shop/eider/"),
        ("EIDER__BACKUP__ENDPOINT", "https://s3.example.com:9000"),
        ("EIDER__BACKUP__ACCESS_KEY_ID", "AKPLAIN"),
        ("EIDER__BACKUP__SECRET_ACCESS_KEY", "hunter2"),
        ("EIDER__BACKUP__AGE_RECIPIENTS", RECIPIENT),
    ];
    let all = loaded("", &variables).unwrap();
    let printed = all.print();
    assert!(!printed.contains("AKPLAIN") && !printed.contains("hunter2"), "{printed}");
    assert!(
        printed.contains("secret_access_key = \"[redacted]\"") && printed.contains(RECIPIENT),
        "{printed}"
    );
    let settings = all.config.backup.bucket_settings().unwrap().unwrap();
    assert_eq!((settings.address.name(), settings.address.prefix()), ("backups", "shop/eider"));
    assert_eq!(settings.secret_access_key.expose(), "hunter2");
    let told = |left_out: usize| {
        let some: Vec<_> = variables
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != left_out)
            .map(|(_, pair)| *pair)
            .collect();
        loaded("", &some).unwrap().config.backup.bucket_settings()
    };
    assert!(told(3).unwrap_err().contains("EIDER__BACKUP__SECRET_ACCESS_KEY"));
    assert!(told(0).unwrap().is_none());

    let unencrypted = [("EIDER__BACKUP__DIR", "/b"), ("EIDER__BACKUP__AGE_RECIPIENTS", RECIPIENT)];
    let unencrypted = loaded("", &unencrypted).unwrap().config.backup.bucket_settings().unwrap_err();
    assert!(unencrypted.contains("are not encrypted"), "{unencrypted}");
    for (variable, value, expected) in [
        ("EIDER__BACKUP__BUCKET", "backups", "such as \"s3://backups/eider\""),
        ("EIDER__BACKUP__BUCKET", "s3://backups/../x", "single slashes"),
        ("EIDER__BACKUP__BUCKET", "s3://b", "such as \"s3://backups/eider\""),
        ("EIDER__BACKUP__ENDPOINT", "s3.example.com", "such as \"https://s3.example.com/\""),
        ("EIDER__BACKUP__AGE_RECIPIENTS", "age1hunter2", "expected public keys"),
        ("EIDER__BACKUP__AGE_RECIPIENTS", "AGE-SECRET-KEY-1HUNTER2", "this is a secret key"),
    ] {
        let told = message("", &[(variable, value)]);
        assert!(told.contains(expected) && !told.to_lowercase().contains("hunter2"), "{told}");
    }
}

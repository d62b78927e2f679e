//! The program as it is typed: what it prints where, and its exit codes.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::appliance::Appliance;

/// Runs the program in an empty folder, without the tester's own settings.
fn eider(dir: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eider"))
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Fails with what the program said.
fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

#[test]
fn what_is_not_understood_ends_with_2_and_says_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, hint) in [
        (["demo", "--sede", "7"].as_slice(), "--seed"),
        (&["demo", "--rate", "fast"], "invalid digit"),
        (&["serve", "--listen", "8080"], "invalid socket address"),
        (&["helthcheck"], "healthcheck"),
        (&["sql", "select 1", "--format", "xml"], "table, csv, json, parquet"),
        (&["simulate", "--listen", "0.0.0.0:0"], "loopback only"),
    ] {
        let output = eider(dir.path(), &[], arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(hint), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_setting_that_does_not_exist_ends_with_2_and_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    let output = eider(dir.path(), &[("EIDER__SERVER__LISTN", "127.0.0.1:1")], &["config", "print"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("EIDER__SERVER__LISTEN"), "{}", stderr(&output));
}

#[test]
fn config_print_names_every_source_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let variables =
        [("EIDER_KEY", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="), ("EIDER__LOG__LEVEL", "debug")];
    let output = succeeded(eider(dir.path(), &variables, &["config", "print", "--data", "/srv/eider"]));
    let text = stdout(&output);
    assert!(text.contains("level = \"debug\"  # EIDER__LOG__LEVEL"), "{text}");
    assert!(text.contains("dir = \"/srv/eider\"  # --data"), "{text}");
    assert!(!text.contains("c2VjcmV0"), "{text}");
}

#[test]
fn a_mistyped_folder_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let output = eider(dir.path(), &[], &["sql", "select 1", "--data", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("There is no data in nowhere"), "{}", stderr(&output));
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn an_idle_folder_answers_sql_and_knows_its_people() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| eider(dir.path(), &[], &[arguments, &["--data", "data"]].concat());

    let added = succeeded(run(&["user", "add", "ann", "--role", "owner"]));
    assert!(stdout(&added).starts_with("http://127.0.0.1:8080/setup/"), "{}", stdout(&added));
    assert!(stdout(&succeeded(run(&["user", "list"]))).contains("ann   owner  waits for the link"));
    let token = succeeded(run(&["token", "create", "--role", "analyst", "--name", "metabase"]));
    assert!(stdout(&token).trim().len() >= 32);

    let orders = "select count(*) as n from orders";
    assert_eq!(stdout(&succeeded(run(&["sql", orders, "--format", "csv"]))), "n\n0\n");
    assert_eq!(stdout(&succeeded(run(&["sql", orders, "--format", "json"]))), "[{\"n\":0}]\n");
    assert_eq!(stdout(&succeeded(run(&["sql", orders]))), "n\n─\n0\n");
    assert!(succeeded(run(&["sql", orders, "--format", "parquet"])).stdout.starts_with(b"PAR1"));
    let refused = run(&["sql", "select * from main.person"]);
    assert_eq!(refused.status.code(), Some(1), "{}", stdout(&refused));

    assert!(stdout(&succeeded(run(&["verify"]))).contains("agrees with itself"));
    assert!(stdout(&succeeded(run(&["migrate"]))).contains("is up to date"));
    assert!(stdout(&succeeded(run(&["doctor"]))).contains("ok    data: database and vault open"));
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one_wish_to_stop() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_eider"))
        .args(["simulate", "--listen", "127.0.0.1:0", "--orders", "1", "--rate", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let process = Pid::from_child(&child);
    kill_process(process, Signal::TERM).unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("Stopping")), "the first one was taken");
    // The process may be gone already: then there was nothing left to interrupt.
    let _ = kill_process(process, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0), "it drained and ended well");
}

#[test]
fn who_listens_everywhere_prints_links_that_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_eider"))
        .args(["serve", "--listen", "0.0.0.0:0", "--data"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "it drained and ended well");
    assert!(ready.starts_with("{\"url\":\"http://127.0.0.1:"), "{ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_for_machines_is_an_object_on_each_line_up_to_the_last_words() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("EIDER__LOG__FORMAT", "json"), ("EIDER__LOG__LEVEL", "debug")];
    let appliance = Appliance::start_with(dir.path(), &variables);
    let second = eider(dir.path(), &variables, &["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
    let (first, second) = (appliance.running.said(), stderr(&second));
    let mut levels = BTreeSet::new();
    for line in first.lines().chain(second.lines()) {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
        assert!(text(&object["timestamp"]).parse::<Timestamp>().is_ok(), "{line}");
        assert!(object["fields"].is_object() && !text(&object["target"]).is_empty(), "{line}");
        levels.insert(text(&object["level"]));
    }
    assert!(levels.contains("INFO") && levels.contains("ERROR"), "{levels:?}");
    assert!(first.contains("Nobody owns this appliance yet"), "{first}");
    assert!(second.contains("Stop that process"), "{second}");
    appliance.stop().await;
}

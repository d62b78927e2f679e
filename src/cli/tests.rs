//! The command line: what it takes, and what it says to what it does not take.

use clap::CommandFactory as _;

use super::*;

fn refusal(arguments: &[&str]) -> (i32, String) {
    let error = CommandLine::try_parse_from(arguments).unwrap_err();
    (error.exit_code(), error.to_string())
}

#[test]
fn the_command_line_is_sound() {
    CommandLine::command().debug_assert();
}

#[test]
fn what_is_not_understood_says_what_is_expected() {
    let (code, text) = refusal(&["eider", "demo", "--sede", "7"]);
    assert_eq!(code, 2);
    assert!(text.contains("--seed"), "{text}");

    let (code, text) = refusal(&["eider", "demo", "--faults", "sum"]);
    assert_eq!(code, 2);
    assert!(text.contains("off, some, many"), "{text}");

    let (code, text) = refusal(&["eider", "dmeo"]);
    assert_eq!(code, 2);
    assert!(text.contains("demo"), "{text}");

    let (code, text) = refusal(&["eider", "token", "create", "--name", "x", "--role", "ownr"]);
    assert_eq!(code, 2);
    assert!(text.contains("owner"), "{text}");
}

#[test]
fn the_data_folder_can_be_named_before_and_after_the_command() {
    for arguments in [["eider", "--data", "/d", "user", "list"], ["eider", "user", "list", "--data", "/d"]] {
        let command_line = CommandLine::try_parse_from(arguments).unwrap();
        assert_eq!(command_line.place.data, Some(PathBuf::from("/d")));
    }
}

//! What the person at the terminal sees, and what scripts read. A reader that went away is no error.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;

use super::CliError;
use crate::clock::{Clock as _, SystemClock};
use crate::secret::Secret;

/// Set where a machine reads stderr: each line of it is a JSON object then.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on what is said is written as the log's lines are, for a machine.
pub fn speak_json() {
    IS_JSON.store(true, Ordering::Relaxed);
}

/// A line to the person: stderr.
pub fn say(text: &str) {
    tell("INFO", text, text);
}

/// The last words of a command that failed: stderr.
pub fn complain(text: &str) {
    tell("ERROR", &format!("error: {text}"), text);
}

/// Says it whatever level is logged: nobody asked for it to be left out.
fn tell(level: &str, for_person: &str, for_machine: &str) {
    let line = if IS_JSON.load(Ordering::Relaxed) {
        let at = SystemClock.now().to_string();
        let fields = json!({"message": for_machine});
        json!({"timestamp": at, "level": level, "fields": fields, "target": "eider"}).to_string()
    } else {
        for_person.to_owned()
    };
    // Where stderr is gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Results, as they are: stdout. A reader that has had enough (`| head`) ends the output quietly.
pub fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::Failed(format!("The output could not be written: {error}."))),
    }
}

/// One line of results.
pub fn print_line(text: &str) -> Result<(), CliError> {
    print(format!("{text}\n").as_bytes())
}

/// True where stdout is a screen and no file or pipe.
pub fn is_screen() -> bool {
    io::stdout().is_terminal()
}

/// Reads a password from stdin: asked for without echo where a person sits there, else the first line.
pub fn read_password() -> Result<Secret, CliError> {
    let failed = |error: io::Error| CliError::Failed(format!("The password could not be read: {error}."));
    let stdin = io::stdin();
    let mut line = String::new();
    if stdin.is_terminal() {
        let shown = tcgetattr(&stdin).map_err(|error| failed(error.into()))?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(|error| failed(error.into()))?;
        say("Password:");
        let read = stdin.lock().read_line(&mut line);
        tcsetattr(&stdin, OptionalActions::Flush, &shown).map_err(|error| failed(error.into()))?;
        read.map_err(failed)?;
    } else {
        stdin.lock().read_line(&mut line).map_err(failed)?;
    }
    let password = Secret::new(line.trim_end_matches(['\r', '\n']));
    if password.is_empty() {
        return Err(CliError::Usage("No password came on stdin: give it as the first line.".to_owned()));
    }
    Ok(password)
}

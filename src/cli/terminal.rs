//! What the person at the terminal sees, and what scripts read. A reader that went away is no error.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::CliError;
use crate::secret::Secret;

/// A line to the person: stderr.
pub fn say(text: &str) {
    // Where stderr is gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
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

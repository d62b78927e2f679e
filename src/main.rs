//! The binary: reads the command line, runs the command, and ends with its exit code. Everything else lies in
//! the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match eider::cli::parse() {
        Ok(command_line) => eider::cli::run_to_end(command_line),
        Err(code) => code,
    }
}

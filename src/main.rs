//! The binary: reads the command line, runs the command, and ends with its exit code. Everything else lies in
//! the library.

use std::process::ExitCode;

/// Rows are made of many small texts, by Rust here and by DuckDB there: its `malloc` is replaced as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match eider::cli::parse() {
        Ok(command_line) => eider::cli::run_to_end(command_line),
        Err(code) => code,
    }
}

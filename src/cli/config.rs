//! `eider config print`: the settings in force, each with where it came from. Secrets are never among them.

use clap::Subcommand;

use super::{CliError, Place, terminal};

/// `eider config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings in force, as a file that could be used as appliance.toml
    Print,
}

/// Runs it.
pub fn run(place: &Place, command: &ConfigCommand) -> Result<(), CliError> {
    match command {
        ConfigCommand::Print => terminal::print(place.load(None)?.print().as_bytes()),
    }
}

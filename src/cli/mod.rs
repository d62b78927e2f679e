//! The command line: one file per command, and here what can be typed and how a command ends.
//!
//! Exit codes: 0 done, 1 failed, 2 not understood (a flag, a value, a setting). Results go to stdout, everything
//! meant for a person to stderr. Nothing here holds a rule of the trade: commands call what the pages call.

mod backup;
mod bench;
mod compact;
mod config;
mod data;
mod delays;
mod demo;
mod doctor;
mod healthcheck;
mod logging;
pub(crate) mod machine;
mod migrate;
mod restore;
mod serve;
mod signals;
mod sim;
mod simulate;
mod simulators;
mod sql;
mod terminal;
mod token;
mod user;
mod verify;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use thiserror::Error;

use crate::config::{ConfigFile, Flags, Loaded, load, process_environment};
use crate::domain::user::Role;

/// The command was not understood: a flag, a value or a setting.
const EXIT_USAGE: u8 = 2;

/// How long work that is still under way holds up the end of the process.
const LEFTOVERS_TIME_MAX: Duration = Duration::from_secs(2);

/// The command line, parsed.
#[derive(Debug, Parser)]
#[command(
    name = "eider",
    version,
    about = "Brings marketplace orders into your shop, and keeps both sides in step.",
    arg_required_else_help = true,
    subcommand_required = true
)]
pub struct CommandLine {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where settings and data are.
#[derive(Debug, Clone, Args)]
struct Place {
    /// The folder that holds database, vault and files
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The settings file; without it, appliance.toml in the present folder if it is there
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything on simulated platforms
    Demo(demo::DemoArgs),
    /// Run the simulated platforms alone
    Simulate(simulate::SimulateArgs),
    /// Run the appliance
    Serve(serve::ServeArgs),
    /// Look for what could go wrong on this machine
    Doctor,
    /// Ask a running appliance whether it is well
    Healthcheck,
    /// Show the settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Check that the data agrees with itself
    Verify,
    /// Copy the data to a folder or bucket, also while the appliance runs
    Backup(backup::BackupArgs),
    /// Put a backup in the place of the data; the appliance must not run
    Restore(restore::RestoreArgs),
    /// Write the database anew, without what was deleted; the appliance must not run
    Compact,
    /// Bring the database up to this version
    Migrate,
    /// People who may sign in
    #[command(subcommand)]
    User(user::UserCommand),
    /// Tokens for the API
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Ask the database: the views of the schema `report`
    Sql(sql::SqlArgs),
    /// Run the fault campaign: everything that can go wrong with the platforms, from seeds, without network
    Sim(sim::SimArgs),
    /// Work out how far behind the platforms' call quotas leave us, on simulated time, without network
    Delays(delays::DelaysArgs),
    /// Measure this machine on a scratch file
    Bench(bench::BenchArgs),
}

/// Why a command did not do what was asked.
#[derive(Debug, Error)]
pub enum CliError {
    /// What was typed or set makes no sense: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It did not work: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// It did not work, and the output has said why: exit code 1.
    #[error("")]
    Said,
}

impl CliError {
    /// A failure that is told in somebody else's words.
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Reads the command line of this process. Help and mistakes are printed.
///
/// # Errors
/// The exit code: 0 after help or version, 2 after a mistake.
pub fn parse() -> Result<CommandLine, ExitCode> {
    CommandLine::try_parse().map_err(|error| {
        // Where the terminal is gone there is nobody left to tell.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}

/// Runs the command and says how it ended.
#[must_use]
pub fn run_to_end(command_line: CommandLine) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::complain(&format!(
                "no threads can be started ({error}): raise the limits of this user."
            ));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(command_line));
    runtime.shutdown_timeout(LEFTOVERS_TIME_MAX);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Said) => ExitCode::FAILURE,
        Err(CliError::Failed(text)) => {
            terminal::complain(&text);
            ExitCode::FAILURE
        }
        Err(CliError::Usage(text)) => {
            terminal::complain(&text);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

async fn run(command_line: CommandLine) -> Result<(), CliError> {
    let CommandLine { place, command } = command_line;
    match command {
        Command::Demo(args) => demo::run(&place, args).await,
        Command::Simulate(args) => simulate::run(&place, args).await,
        Command::Serve(args) => serve::run(&place, args).await,
        Command::Doctor => doctor::run(&place).await,
        Command::Healthcheck => healthcheck::run(&place).await,
        Command::Config(command) => config::run(&place, &command),
        Command::Verify => verify::run(&place).await,
        Command::Backup(args) => backup::run(&place, args).await,
        Command::Restore(args) => restore::run(&place, args).await,
        Command::Compact => compact::run(&place).await,
        Command::Migrate => migrate::run(&place).await,
        Command::User(command) => user::run(&place, command).await,
        Command::Token(command) => token::run(&place, command).await,
        Command::Sql(args) => sql::run(&place, args).await,
        Command::Sim(args) => sim::run(&place, args).await,
        Command::Delays(args) => delays::run(&place, args).await,
        Command::Bench(args) => bench::run(&place, args).await,
    }
}

impl Place {
    /// Reads the settings.
    fn load(&self, listen: Option<SocketAddr>) -> Result<Loaded, CliError> {
        self.load_with_data(listen, self.data.clone())
    }

    fn load_with_data(&self, listen: Option<SocketAddr>, data: Option<PathBuf>) -> Result<Loaded, CliError> {
        let file = ConfigFile::from_flag(self.config.clone());
        load(&file, &process_environment(), &Flags { listen, data })
            .map_err(|error| CliError::Usage(error.to_string()))
    }

    /// Reads the settings of a command that does one thing and ends: only warnings are logged.
    fn load_quietly(&self) -> Result<Loaded, CliError> {
        let loaded = self.load(None)?;
        logging::start(&loaded, logging::Unset::Warn)?;
        Ok(loaded)
    }
}

/// Takes a role by its name.
fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|name| name.parse::<Role>())
}

#[cfg(test)]
mod tests;

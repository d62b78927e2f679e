//! Messages on stderr, as the settings `[log]` say. Nothing of it goes to stdout, which belongs to results.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::{CliError, terminal};
use crate::config::{Loaded, LogFormat};

/// What is logged where `log.level` is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// The setting's own default.
    Default,
    /// Warnings and errors alone: for commands whose stderr is for a person.
    Warn,
    /// Nothing: for commands in which failures are the rule.
    Silent,
}

/// Starts logging; once per process.
pub fn start(loaded: &Loaded, unset: Unset) -> Result<(), CliError> {
    let log = &loaded.config.log;
    let is_unset = loaded.source_of("log.level") == "default";
    let level = match (is_unset, unset) {
        (true, Unset::Warn) => "warn",
        (true, Unset::Silent) => "off",
        // The web server tells of its threads at that level.
        (true, Unset::Default) => "info,actix_server=warn",
        (false, Unset::Default | Unset::Warn | Unset::Silent) => log.level.as_str(),
    };
    let filter = EnvFilter::try_new(level).map_err(|error| {
        CliError::Usage(format!(
            "{}: log.level is not valid: {error}. Expected error, warn, info, debug or trace.",
            loaded.source_of("log.level")
        ))
    })?;
    let is_screen = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_screen).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => {
            terminal::speak_json();
            builder.json().try_init()
        }
    };
    started.map_err(|error| CliError::Failed(format!("Logging cannot be started: {error}.")))
}

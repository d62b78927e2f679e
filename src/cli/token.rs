//! `eider token create`: a token for the API. It is shown once; only its hash is kept.

use clap::Subcommand;

use super::{CliError, Place, data, role_parser};
use crate::control::Request;
use crate::domain::user::Role;

/// `eider token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it, once
    Create {
        /// What the token may do
        #[arg(long, value_parser = role_parser())]
        role: Role,
        /// What it is for
        #[arg(long)]
        name: String,
    },
}

/// Runs it.
pub async fn run(place: &Place, command: TokenCommand) -> Result<(), CliError> {
    let TokenCommand::Create { role, name } = command;
    let loaded = place.load_quietly()?;
    data::perform(&loaded, Request::TokenCreate { name, role }, data::Folder::MayBeNew).await
}

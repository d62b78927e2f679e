//! `eider user add|reset-password|list`: people who may sign in. A person gets in by a link that works once, or by
//! a password that comes on stdin; passwords are never flags, because flags show in the list of processes.

use clap::Subcommand;

use super::{CliError, Place, data, role_parser, terminal};
use crate::control::Request;
use crate::domain::user::Role;

/// `eider user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a person; prints a link that works once
    Add {
        /// The name to sign in with
        name: String,
        /// What the person may do
        #[arg(long, value_parser = role_parser())]
        role: Role,
        /// Set a password instead: the first line of stdin, or asked for on a terminal
        #[arg(long)]
        password_stdin: bool,
    },
    /// Take a person's password and sessions away; prints a link that works once
    ResetPassword {
        /// The name to sign in with
        name: String,
        /// Set a password instead: the first line of stdin, or asked for on a terminal
        #[arg(long)]
        password_stdin: bool,
    },
    /// List who may sign in
    List,
}

/// Runs it.
pub async fn run(place: &Place, command: UserCommand) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let password = |is_wanted: bool| is_wanted.then(terminal::read_password).transpose();
    let (request, folder) = match command {
        UserCommand::Add { name, role, password_stdin } => {
            let password = password(password_stdin)?;
            (Request::UserAdd { name, role, password }, data::Folder::MayBeNew)
        }
        UserCommand::ResetPassword { name, password_stdin } => {
            let password = password(password_stdin)?;
            (Request::UserReset { name, password }, data::Folder::MustExist)
        }
        UserCommand::List => (Request::UserList, data::Folder::MustExist),
    };
    data::perform(&loaded, request, folder).await
}

//! `eider backup`: a copy of the data in a folder of its own, made by the process that holds the data. Prints its path.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Place, data};
use crate::control::Request;

/// `eider backup …`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The folder that the backup goes to, instead of `backup.dir`; nothing older is removed there
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Runs it.
pub async fn run(place: &Place, args: BackupArgs) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let settings = &loaded.config.backup;
    let (to, keep) = match (args.to, settings.dir.clone()) {
        (Some(to), _) => (to, None),
        (None, Some(dir)) => (dir, Some(settings.keep.get())),
        (None, None) => {
            return Err(CliError::Usage(
                "No folder for the backup is named: give one with --to, or set backup.dir.".to_owned(),
            ));
        }
    };
    // The process that makes the backup may run elsewhere.
    let to = std::path::absolute(&to)
        .map_err(|error| CliError::Usage(format!("{} names no folder ({error}).", to.display())))?;
    data::perform(&loaded, Request::Backup { to, keep }, data::Folder::MustExist).await
}

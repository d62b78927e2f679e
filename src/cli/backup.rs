//! `eider backup`: a copy of the data in a folder of its own or in a bucket, made by the process that holds the data.
//! Prints where it is.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Place, data};
use crate::config::{BackupConfig, BucketAddress, BucketSettings};
use crate::control::Request;

/// `eider backup …`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The folder or bucket (s3://NAME/PREFIX) that the backup goes to, instead of `backup.dir` and `backup.bucket`;
    /// nothing older is removed there
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
}

/// Runs it.
pub async fn run(place: &Place, args: BackupArgs) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let settings = &loaded.config.backup;
    let (dir, bucket, keep) = match args.to {
        Some(to) => match bucket_named(settings, &to)? {
            Some(bucket) => (None, Some(bucket), None),
            None => (Some(PathBuf::from(to)), None, None),
        },
        None => {
            let bucket = settings.bucket_settings().map_err(CliError::Usage)?;
            (settings.dir.clone(), bucket, Some(settings.keep.get()))
        }
    };
    if dir.is_none() && bucket.is_none() {
        return Err(CliError::Usage(
            "No place for the backup is named: give one with --to, or set backup.dir or backup.bucket."
                .to_owned(),
        ));
    }
    // The process that makes the backup may run elsewhere.
    let absolute = |dir: PathBuf| {
        std::path::absolute(&dir)
            .map_err(|error| CliError::Usage(format!("{} names no folder ({error}).", dir.display())))
    };
    let dir = dir.map(absolute).transpose()?;
    let bucket = bucket.map(|bucket| Box::new(bucket.into()));
    data::perform(&loaded, Request::Backup { dir, bucket, keep }, data::Folder::MustExist).await
}

/// The bucket that `text` names, where it is no path.
pub fn bucket_named(settings: &BackupConfig, text: &str) -> Result<Option<BucketSettings>, CliError> {
    if !text.starts_with(BucketAddress::SCHEME) {
        return Ok(None);
    }
    let address = BucketAddress::try_from(text.to_owned())
        .map_err(|problem| CliError::Usage(format!("{text} names no bucket: {problem}.")))?;
    settings.bucket_at(address).map(Some).map_err(CliError::Usage)
}

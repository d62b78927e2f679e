//! `eider restore`: puts a backup in the place of the data, which are moved aside. Nobody may use them meanwhile. Where
//! a bucket is named and no backup in it, it says which there are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::backup::bucket_named;
use super::{CliError, Place, data, terminal};
use crate::app::store_options;
use crate::channels::registry;
use crate::clock::{Entropy, SharedClock, SystemClock};
use crate::config::{BucketAddress, BucketSettings, Config, process_environment};
use crate::control::table;
use crate::domain::id::ChannelName;
use crate::http::HttpTransport;
use crate::store::StoreError;
use crate::store::backup::bucket::{Bucket, named};
use crate::store::restore::{Origin, RestoreOptions, Restored, restore};
use crate::vault::KeySource;

/// `eider restore …`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup: a folder that `eider backup` made, s3://BUCKET/PREFIX/NAME, or an archive that was downloaded from
    /// there. Only the bucket, or nothing where `backup.bucket` is set: list what is there
    #[arg(value_name = "BACKUP")]
    from: Option<String>,
    /// The file with the secret key that opens an encrypted backup, as `age-keygen` makes it
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Restore also where `verify` finds fault with the backup's data
    #[arg(long)]
    despite_findings: bool,
}

/// Runs it.
pub async fn run(place: &Place, args: RestoreArgs) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let from = match origin(&loaded.config, args.from, args.identity)? {
        Asked::Restore(from) => from,
        Asked::List(bucket) => return list(&bucket).await,
    };
    let dir = &loaded.config.data.dir;
    data::make_folder(dir)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let options = RestoreOptions {
        store: store_options(&loaded.config, &clock, &Arc::new(Entropy::from_os())),
        from,
        key: KeySource::from_environment(&process_environment()).map_err(CliError::failed)?,
        tokens_rotate,
        despite_findings: args.despite_findings,
    };
    match restore(options).await {
        Ok(restored) => tell(dir, &restored),
        Err(StoreError::Locked { holder, .. }) => {
            let holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            Err(CliError::Failed(format!(
                "{} is in use by {holder}. Nothing was changed: stop that process, then restore.",
                dir.display()
            )))
        }
        Err(error) => Err(CliError::failed(error)),
    }
}

/// What is asked for.
enum Asked {
    Restore(Origin),
    List(Bucket),
}

fn origin(config: &Config, from: Option<String>, identity: Option<PathBuf>) -> Result<Asked, CliError> {
    let Some(from) = from else {
        let settings = config.backup.bucket_settings().map_err(CliError::Usage)?;
        let settings = settings.ok_or_else(|| {
            CliError::Usage(
                "No backup is named: give the folder that `eider backup` made, or an address s3://…"
                    .to_owned(),
            )
        })?;
        return open(config, settings).map(Asked::List);
    };
    if !from.starts_with(BucketAddress::SCHEME) {
        let path = PathBuf::from(from);
        let from =
            if path.is_file() { Origin::Archive { file: path, identity } } else { Origin::Folder(path) };
        return Ok(Asked::Restore(from));
    }
    let name = from.rsplit_once('/').and_then(|(place, name)| Some((place, named(name)?)));
    let place = name.as_ref().map_or(from.as_str(), |(place, _)| place);
    let Some(settings) = bucket_named(&config.backup, place)? else {
        return Err(CliError::Usage(format!("{from} names no bucket.")));
    };
    let bucket = open(config, settings)?;
    Ok(match name {
        Some((_, name)) => Asked::Restore(Origin::Bucket { bucket, name, identity }),
        None => Asked::List(bucket),
    })
}

fn open(config: &Config, settings: BucketSettings) -> Result<Bucket, CliError> {
    let door = HttpTransport::new(config.network.http_settings()).map_err(CliError::failed)?;
    Bucket::open(settings, Arc::new(door)).map_err(CliError::failed)
}

/// What is in the bucket, newest first.
async fn list(bucket: &Bucket) -> Result<(), CliError> {
    let stored = bucket.backups().await.map_err(CliError::failed)?;
    if stored.is_empty() {
        terminal::say("There is no backup.");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = stored
        .iter()
        .map(|stored| {
            vec![
                bucket.address_of(&stored.name),
                stored.created_at.to_string(),
                stored.size_bytes.to_string(),
                if stored.is_encrypted { "encrypted" } else { "" }.to_owned(),
            ]
        })
        .collect();
    terminal::print(table::aligned(&["backup", "made at", "bytes", ""], &rows).as_bytes())?;
    terminal::say("Name one of them to restore it.");
    Ok(())
}

fn tokens_rotate(channel: &ChannelName) -> bool {
    registry::channel(channel).is_some_and(|info| info.life.tokens_rotate)
}

fn tell(dir: &Path, restored: &Restored) -> Result<(), CliError> {
    let manifest = &restored.manifest;
    terminal::print_line(&format!(
        "{} holds what the backup of {} holds: {} orders. Epoch {} begins, and everybody is signed out.",
        dir.display(),
        manifest.created_at,
        manifest.tables.get("main.orders").copied().unwrap_or_default(),
        restored.epoch
    ))?;
    if let Some(aside) = &restored.aside {
        terminal::say(&format!(
            "What was there lies in {}. Remove it once nobody needs it.",
            aside.display()
        ));
    }
    for finding in &restored.findings {
        terminal::say(&format!("Does not agree: {}: {}", finding.check, finding.text));
    }
    if restored.erased_again > 0 {
        terminal::say(&format!(
            "{} erasures that were made since the backup were made again.",
            restored.erased_again
        ));
    }
    if let Some(why) = &restored.lost_vault {
        terminal::say(&format!(
            "The backup's vault cannot be used: {why}. All orders are there; credentials, users and API tokens are not. \
             `eider serve` begins a new vault and prints the link by which the first owner comes in; buyers of new \
             orders get other keys in reports than before. With the key at hand, give it and restore again."
        ));
    }
    for (alias, reason) in &restored.reauthorise {
        terminal::say(&format!("Connection “{alias}” has to be authorised again: {reason}."));
    }
    Ok(())
}

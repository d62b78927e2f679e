//! `eider restore`: puts a backup in the place of the data, which are moved aside. Nobody may use them meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{CliError, Place, data, terminal};
use crate::app::store_options;
use crate::channels::registry;
use crate::clock::{Entropy, SharedClock, SystemClock};
use crate::config::process_environment;
use crate::domain::id::ChannelName;
use crate::store::StoreError;
use crate::store::restore::{RestoreOptions, Restored, restore};
use crate::vault::KeySource;

/// `eider restore …`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup: a folder that `eider backup` made
    #[arg(value_name = "BACKUP")]
    from: PathBuf,
    /// Restore also where `verify` finds fault with the backup's data
    #[arg(long)]
    despite_findings: bool,
}

/// Runs it.
pub async fn run(place: &Place, args: RestoreArgs) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let dir = &loaded.config.data.dir;
    data::make_folder(dir)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let options = RestoreOptions {
        store: store_options(&loaded.config, &clock, &Arc::new(Entropy::from_os())),
        from: args.from,
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

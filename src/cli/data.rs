//! Commands on a data folder: on the folder itself where nobody holds it, else through the control socket of the
//! process that does. Both ways run the same code and print the same.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{CliError, machine, terminal};
use crate::app::store_options;
use crate::clock::{Clock as _, Entropy, SharedClock, SystemClock};
use crate::config::{Config, Loaded, process_environment};
use crate::control::{self, Asked, Parts, Reply, Request};
use crate::store::{Store, StoreError, restore};
use crate::vault::{KeySource, Vault};

/// The database's name in the data folder.
const DATABASE_NAME: &str = "eider.duckdb";

/// How often a folder that is held by somebody who does not answer yet is tried.
const TRY_COUNT_MAX: u32 = 100;

/// Between two tries.
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// Whether a command may make the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// It asks about what is there.
    MustExist,
    /// It may be the first to write into it.
    MayBeNew,
}

/// Runs `request` and prints its answer.
pub async fn perform(loaded: &Loaded, request: Request, folder: Folder) -> Result<(), CliError> {
    let reply = answer(&loaded.config, request, folder).await?;
    terminal::print(&reply.output)?;
    for note in &reply.notes {
        terminal::say(note);
    }
    if reply.is_ok { Ok(()) } else { Err(CliError::Said) }
}

/// Runs `request`, here or in the process that holds the folder.
pub async fn answer(config: &Config, request: Request, folder: Folder) -> Result<Reply, CliError> {
    let dir = &config.data.dir;
    if folder == Folder::MustExist {
        check_exists(dir)?;
    }
    make_folder(dir)?;
    let mut tries = 0;
    loop {
        match open_store(config).await {
            Ok(store) => return answer_here(config, store, request).await,
            Err(StoreError::Locked { holder, .. }) => match control::ask(dir, &request).await {
                Ok(Asked::Answered(answered)) => return answered.map_err(CliError::Failed),
                // It is starting, stopping, or another command that is done in a moment.
                Ok(Asked::Nobody) if tries < TRY_COUNT_MAX => {
                    tries += 1;
                    SystemClock.sleep(TRY_INTERVAL).await;
                }
                Ok(Asked::Nobody) => return Err(unanswered(dir, holder)),
                Err(error) => {
                    return Err(CliError::Failed(format!(
                        "The process that holds {} broke off its answer ({error}). What was asked may have been \
                         done: look before asking again.",
                        dir.display()
                    )));
                }
            },
            Err(error) => return Err(CliError::failed(error)),
        }
    }
}

async fn answer_here(config: &Config, store: Store, request: Request) -> Result<Reply, CliError> {
    let answered = match open_vault(config) {
        Ok(vault) => {
            let parts = Parts {
                store: store.clone(),
                vault: Arc::new(vault),
                clock: Arc::new(SystemClock),
                entropy: Arc::new(Entropy::from_os()),
                base_url: base_url(config),
                setup_path: crate::web::setup_path,
                row_cap: usize::try_from(config.store.row_cap.get()).unwrap_or(usize::MAX),
                network: config.network.http_settings(),
            };
            parts.answer(request).await.map_err(CliError::Failed)
        }
        Err(error) => Err(error),
    };
    store.close().await;
    answered
}

fn unanswered(dir: &Path, holder: Option<u32>) -> CliError {
    let holder = holder.map_or_else(|| "Another process".to_owned(), |pid| format!("Process {pid}"));
    CliError::Failed(format!(
        "{holder} holds {} and does not answer on its control socket. Nothing was done: try again, or stop that \
         process first.",
        dir.display()
    ))
}

/// Refuses a folder without a database, so that a mistyped `--data` makes no new one.
pub fn check_exists(dir: &Path) -> Result<(), CliError> {
    // An interrupted restore has moved the old database away and is finished by whoever opens the folder.
    if dir.join(DATABASE_NAME).exists() || restore::is_pending(dir) {
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "There is no data in {}: name the folder with --data, or start `eider serve` there first.",
        dir.display()
    )))
}

/// Makes the data folder where it is missing; nobody else may enter it.
pub fn make_folder(dir: &Path) -> Result<(), CliError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        CliError::Failed(format!(
            "The data folder {} cannot be made ({error}): mend the permissions above it, or choose another with \
             --data.",
            dir.display()
        ))
    })
}

/// Opens the data folder as the settings say.
pub async fn open_store(config: &Config) -> Result<Store, StoreError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let options = store_options(config, &clock, &Arc::new(Entropy::from_os()));
    let opened = tokio::task::spawn_blocking(move || Store::open(options)).await;
    opened
        .unwrap_or_else(|error| Err(StoreError::Invalid(format!("Opening the data folder failed: {error}."))))
}

/// Opens the vault as the environment says.
pub fn open_vault(config: &Config) -> Result<Vault, CliError> {
    let source = KeySource::from_environment(&process_environment()).map_err(CliError::failed)?;
    Vault::open(&config.data.dir, &source).map_err(CliError::failed)
}

/// The address that links are built from, ending in a slash.
pub fn base_url(config: &Config) -> String {
    match &config.public_url {
        Some(url) => url.to_string(),
        None => format!("http://{}/", machine::reachable(config.server.listen)),
    }
}

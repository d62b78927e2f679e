//! `eider migrate`: brings the database up to this version, without starting anything. `serve` does it too.

use super::{CliError, Place, data, terminal};
use crate::store::StoreError;

/// Runs it.
pub async fn run(place: &Place) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let dir = &loaded.config.data.dir;
    data::check_exists(dir)?;
    match data::open_store(&loaded.config).await {
        Ok(store) => {
            store.close().await;
            terminal::print_line(&format!(
                "{} is up to date with version {}.",
                dir.display(),
                env!("CARGO_PKG_VERSION")
            ))
        }
        Err(StoreError::Locked { holder, .. }) => {
            let holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            Err(CliError::Failed(format!(
                "{} is in use by {holder}, which brought it up to its own version when it started. Nothing was \
                 changed: stop that process to migrate with this version.",
                dir.display()
            )))
        }
        Err(error) => Err(CliError::failed(error)),
    }
}

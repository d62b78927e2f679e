//! `eider compact`: writes the database anew, so that what was deleted is gone from it. Nobody may use it meanwhile.

use std::sync::Arc;

use super::{CliError, Place, data, terminal};
use crate::app::store_options;
use crate::clock::{Entropy, SharedClock, SystemClock};
use crate::store::{StoreError, compact};

/// Runs it.
pub async fn run(place: &Place) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let dir = &loaded.config.data.dir;
    data::check_exists(dir)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let options = store_options(&loaded.config, &clock, &Arc::new(Entropy::from_os()));
    let done = tokio::task::spawn_blocking(move || compact(&options)).await.map_err(CliError::failed)?;
    let compacted = match done {
        Ok(compacted) => compacted,
        Err(StoreError::Locked { holder, .. }) => {
            let holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            return Err(CliError::Failed(format!(
                "{} is in use by {holder}, and compacting needs the database for itself. Nothing was changed: stop that \
                 process, run `eider compact`, and start it again.",
                dir.display()
            )));
        }
        Err(error) => return Err(CliError::failed(error)),
    };
    for copy in &compacted.older_copies {
        terminal::say(&format!(
            "{} is an older copy and may hold what is gone here: remove it once nobody needs it.",
            copy.display()
        ));
    }
    terminal::print_line(&format!(
        "{} bytes before, {} bytes now; all {} rows are there.",
        compacted.before_bytes, compacted.after_bytes, compacted.row_count
    ))
}

//! `eider serve`: runs the appliance until it is told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::demo::marker::MARKER_NAME;
use super::{CliError, Place, data, logging, signals, terminal};
use crate::app::{App, AppSetup};
use crate::clock::{Entropy, SystemClock};
use crate::sync::EngineSettings;

/// `eider serve …`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to serve pages and API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs it.
pub async fn run(place: &Place, args: ServeArgs) -> Result<(), CliError> {
    let loaded = place.load(args.listen)?;
    logging::start(&loaded, logging::Unset::Default)?;
    let stop = signals::first_signal()?;
    let config = loaded.config;
    data::make_folder(&config.data.dir)?;
    warn_of_demo(&config.data.dir, config.network.allow_private);
    let sync = &config.sync;
    let engine = EngineSettings::with_intervals(
        sync.poll_interval(),
        sync.shop_poll_interval(),
        sync.listings_interval(),
    );
    let setup =
        AppSetup { config, clock: Arc::new(SystemClock), entropy: Arc::new(Entropy::from_os()), engine };
    let app = App::start(setup).await.map_err(CliError::failed)?;
    welcome(&app)?;
    terminal::print_line(&json!({"url": app.url()}).to_string())?;
    app.run(stop).await.map_err(CliError::failed)
}

/// A demo's folder may be served: its connections then call simulators that only `eider demo` runs.
fn warn_of_demo(dir: &Path, allow_private: bool) {
    if !dir.join(MARKER_NAME).exists() {
        return;
    }
    let also = if allow_private { "" } else { ", and network.allow_private is off" };
    terminal::say(&format!(
        "warning: {} was made by `eider demo`. Its connections call simulated platforms that do not run here{also}: \
         expect them to fail. `eider demo --data …` continues it.",
        dir.display()
    ));
}

/// Tells the first person what they need to get in, and what they must keep.
fn welcome(app: &App) -> Result<(), CliError> {
    if let Some(key) = app.vault().key_created() {
        terminal::say(&format!(
            "A key for the credentials was made: {}. Save a copy of it somewhere else now: without it, every \
             connection has to be authorised again after a restore.",
            key.display()
        ));
    }
    match app.setup_link().map_err(CliError::failed)? {
        Some(link) => terminal::say(&format!("Nobody owns this appliance yet. Open this link, once: {link}")),
        None => terminal::say(&format!("Eider runs at {}", app.url())),
    }
    Ok(())
}

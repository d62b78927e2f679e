//! `eider simulate`: the simulated platforms alone, as one process, so that an appliance can be killed while their
//! truth lives on. On loopback only.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::simulators::SimArgs;
use super::{CliError, Place, logging, signals, terminal};
use crate::clock::SystemClock;
use crate::sim::World;
use crate::sim::server::{self, Layout};

/// The seed where none is given.
const SEED_DEFAULT: u64 = 1;

/// `eider simulate …`
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Where to serve the platforms; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9400")]
    listen: SocketAddr,
    #[command(flatten)]
    sim: SimArgs,
}

/// Runs it.
pub async fn run(place: &Place, args: SimulateArgs) -> Result<(), CliError> {
    logging::start(&place.load(None)?, logging::Unset::Warn)?;
    let SimulateArgs { listen, sim } = args;
    if !listen.ip().is_loopback() {
        return Err(CliError::Usage(format!(
            "--listen {listen}: the simulated platforms hand out their truth to anybody who asks, so they are served \
             on loopback only: use 127.0.0.1:{}.",
            listen.port()
        )));
    }
    let stop = signals::first_signal()?;
    let options = sim.options(sim.seed.unwrap_or(SEED_DEFAULT), place.data.clone());
    let is_kept = options.folder.is_some();
    let world = World::open(options, Arc::new(SystemClock)).map_err(CliError::failed)?;
    let running = server::start(&Arc::new(world), &Layout::Single(listen)).map_err(|error| {
        CliError::Failed(format!(
            "The simulated platforms cannot be served on {listen} ({error}): stop what uses that port, or choose \
             another with --listen 127.0.0.1:0."
        ))
    })?;
    let url = running.url.clone().unwrap_or_default();
    terminal::say(&format!(
        "Simulated platforms run at {url}. `eider demo --simulators {url}` uses them; Ctrl-C stops them{}.",
        if is_kept { "" } else { " and forgets what happened (--data DIR keeps it)" }
    ));
    terminal::print_line(&json!({"url": url, "sims": running.sims}).to_string())?;
    stop.await;
    running.stop().await;
    Ok(())
}

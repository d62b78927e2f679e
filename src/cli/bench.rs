//! `eider bench`: measures this machine on scratch files: import, pages, start, hooks, and the way of an order into the
//! shop and back. It says what it measured beside the limits of the design; it never judges the result by failing.
//!
//! Orders are the wire JSON that a simulated Amazon gives; everything they pass is the real thing.

mod figure;
mod flow;
mod hooks;
mod import;
mod keep;
mod pages;
mod payloads;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use self::figure::Figure;
use self::payloads::Payloads;
use super::{CliError, Place, logging, machine, signals, terminal};
use crate::clock::Entropy;
use crate::config::Config;

/// `eider bench …`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Orders in the file when pages, start and memory are measured
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    orders: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(place: &Place, args: BenchArgs) -> Result<(), CliError> {
    let loaded = place.load(None)?;
    logging::start(&loaded, logging::Unset::Warn)?;
    let scratch = Scratch::make(place.data.as_deref())?;
    let mut config = loaded.config;
    config.data.dir = scratch.path.join("orders");
    config.public_url = None;
    config.network.allow_private = true;
    let stop = signals::first_signal()?;
    let figures = tokio::select! {
        measured = measure(&config, &scratch.path, args.orders) => measured?,
        // The scratch files go with the folder.
        () = stop => return Ok(()),
    };
    if args.json {
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "orders": args.orders,
            "cores": machine::cores(),
            "figures": figures,
        });
        return terminal::print_line(&report.to_string());
    }
    terminal::print(figure::table(&figures).as_bytes())
}

async fn measure(config: &Config, scratch: &Path, order_count: u64) -> Result<Vec<Figure>, CliError> {
    terminal::say(&format!("Measuring in {} on {} cores.", scratch.display(), machine::cores()));
    let payloads = Arc::new(Payloads::record().await?);
    let mut figures = import::bare(config, &payloads, order_count).await?;
    let filled = import::fill(config, &payloads, order_count, &mut figures).await?;
    let (kept, backup) = keep::measure(&filled, scratch).await?;
    figures.extend(kept);
    let visitor = pages::let_in(&filled, config).await?;
    filled.store.close().await;
    drop(filled);
    figures.extend(pages::from_server(&config.data.dir, &visitor).await?);
    figures.extend(keep::measure_alone(config, &backup, &scratch.join("restored")).await?);
    figures.extend(hooks::measure(config, scratch).await?);
    figures.extend(flow::single_orders(config, &scratch.join("single")).await?);
    figures.extend(flow::many_orders(config, &scratch.join("many")).await?);
    figures.extend(flow::waiting_orders(config, &scratch.join("waiting")).await?);
    Ok(figures)
}

/// A folder that goes with the measurement.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn make(within: Option<&Path>) -> Result<Self, CliError> {
        let within = within.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = within.join(format!("eider-bench-{}", Entropy::from_os().token(6)));
        std::fs::create_dir_all(&path).map_err(|error| {
            CliError::Failed(format!(
                "{} cannot be made ({error}): name a folder with room for the scratch file with --data.",
                path.display()
            ))
        })?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            terminal::say(&format!("{} is left over ({error}): remove it.", self.path.display()));
        }
    }
}

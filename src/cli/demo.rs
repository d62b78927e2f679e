//! `eider demo`: everything on simulated platforms, in one command. The appliance is the real one: real connectors,
//! real HTTP, real database; only the platforms are simulated.
//!
//! A folder that a demo used is continued. A folder that `serve` made is never touched.

pub mod marker;
mod platforms;
mod seed;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::oneshot;
use url::Url;

use self::marker::{Marker, Origin};
use self::platforms::Platforms;
use super::simulators::SimArgs;
use super::{CliError, Place, logging, signals, terminal};
use crate::app::{App, AppSetup};
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::config::{Config, data_folder, process_environment};
use crate::domain::id::UserId;
use crate::sync::{Engine, EngineSettings};
use crate::vault::Vault;

/// The name of the demo's folder among other programs' data.
const FOLDER_NAME: &str = "eider-demo";

/// Between two looks at the platforms: a sale is in the shop within seconds.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// `eider demo …`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to serve the pages; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    sim: SimArgs,
    /// End by itself, so long after it is ready
    #[arg(long = "for", value_name = "SECONDS")]
    duration_s: Option<u64>,
    /// Use the platforms of a running `eider simulate` instead of own ones
    #[arg(long, value_name = "URL")]
    simulators: Option<Url>,
}

/// What the line on stdout says.
struct Ready {
    url: String,
    login: String,
    token: String,
}

/// Runs it.
pub async fn run(place: &Place, args: DemoArgs) -> Result<(), CliError> {
    let dir = place.data.clone().unwrap_or_else(|| data_folder(&process_environment(), FOLDER_NAME));
    let mut loaded = place.load_with_data(args.listen, Some(dir.clone()))?;
    logging::start(&loaded, logging::Unset::Warn)?;
    // The simulated platforms are on loopback.
    loaded.config.network.allow_private = true;
    let stop = signals::first_signal()?;
    let origin = args.simulators.as_ref().map_or(Origin::Own, |_| Origin::Elsewhere);
    let marker = Marker::open(&dir, args.sim.seed, origin)?;
    terminal::say(&format!(
        "{} the demo in {}.",
        if marker.is_new() { "Starting" } else { "Continuing" },
        dir.display()
    ));
    let ended = with_platforms(&loaded.config, &args, marker, stop).await;
    if ended.is_ok() {
        terminal::say("Stopped. The same command continues where it was.");
    }
    ended
}

async fn with_platforms(
    config: &Config,
    args: &DemoArgs,
    mut marker: Marker,
    stop: impl Future<Output = ()>,
) -> Result<(), CliError> {
    let platforms = match &args.simulators {
        Some(url) => Platforms::elsewhere(url, &mut marker).await?,
        None => Platforms::own(&args.sim, &mut marker)?,
    };
    let ended = with_appliance(config, args, &mut marker, &platforms, stop).await;
    platforms.stop().await;
    ended
}

async fn with_appliance(
    config: &Config,
    args: &DemoArgs,
    marker: &mut Marker,
    platforms: &Platforms,
    stop: impl Future<Output = ()>,
) -> Result<(), CliError> {
    let setup = AppSetup {
        config: config.clone(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(Entropy::from_os()),
        engine: EngineSettings {
            poll_interval: POLL_INTERVAL,
            shop_poll_interval: POLL_INTERVAL,
            ..EngineSettings::default()
        },
    };
    let app = App::start(setup).await.map_err(CliError::failed)?;
    let owner = seed::owner(app.vault())?;
    let token = marker.token(&Entropy::from_os())?;
    seed::api_token(app.vault(), &token)?;
    let ready = Ready { url: app.url().to_owned(), login: app.login_link(UserId(owner)), token };
    let (engine, vault) = (app.engine().clone(), Arc::clone(app.vault()));
    let (end, ended) = oneshot::channel::<()>();
    // Nothing is ever sent: the appliance ends when the other side is dropped.
    let mut appliance = tokio::spawn(app.run(async move { drop(ended.await) }));
    let connected = connect(marker, platforms, &engine, &vault);
    let shown = async {
        connected.await?;
        show(args, platforms, &ready, &config.data.dir).await
    };
    let mut broke_off = None;
    let outcome = tokio::select! {
        outcome = shown => outcome,
        () = stop => Ok(()),
        joined = &mut appliance => { broke_off = Some(joined); Ok(()) }
    };
    drop(end);
    let joined = match broke_off {
        Some(joined) => joined,
        None => appliance.await,
    };
    joined.map_err(CliError::failed)?.map_err(CliError::failed)?;
    outcome
}

/// Connects the platforms and waits until the back catalogue is in.
async fn connect(
    marker: &Marker,
    platforms: &Platforms,
    engine: &Engine,
    vault: &Vault,
) -> Result<(), CliError> {
    let connections = seed::connections(engine, vault, platforms.connections(), marker.go_live()).await?;
    seed::wait_for_back_catalogue(engine, &connections).await;
    Ok(())
}

/// Says that all is ready, and stays as long as it shall.
async fn show(args: &DemoArgs, platforms: &Platforms, ready: &Ready, dir: &Path) -> Result<(), CliError> {
    let sims = platforms.addresses();
    explain(args, ready, sims.get("bigcommerce"));
    let line = json!({
        "url": ready.url,
        "login": ready.login,
        "token": ready.token,
        "data": dir.canonicalize().unwrap_or_else(|_| dir.to_owned()),
        "sims": sims,
    });
    terminal::print_line(&line.to_string())?;
    match args.duration_s {
        Some(seconds) => SystemClock.sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
    Ok(())
}

fn explain(args: &DemoArgs, ready: &Ready, shop: Option<&String>) {
    let arriving = match (&args.simulators, args.sim.rate) {
        (Some(_), _) => "New orders arrive as `eider simulate` was told.".to_owned(),
        (None, 0) => "No new orders arrive by themselves (--rate 0).".to_owned(),
        (None, rate) => {
            format!(
                "About {rate} new orders arrive a minute. A paid order is in the shop within ten seconds."
            )
        }
    };
    terminal::say(&format!(
        "\nReady. Open this link, it signs you in once:\n\n    {}\n\n{arriving}\nOrders shows them come in; open one \
         to see its timeline, and the shop order that was made for it.",
        ready.login
    ));
    if let Some(shop) = shop {
        terminal::say(&format!(
            "Ship one in the shop, and its marketplace hears of it:\n\n    curl {shop}/_sim/ship -d '{{\"id\":\"<shop order \
             id>\",\"carrier\":\"UPS\",\"tracking\":\"1Z999AA10123456784\"}}'\n\nCtrl-C stops; the same command \
             continues where it was.\n"
        ));
    }
}

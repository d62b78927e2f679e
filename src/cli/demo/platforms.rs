//! The platforms that a demo runs against: its own, or those of `eider simulate`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use super::super::CliError;
use super::super::simulators::SimArgs;
use super::marker::Marker;
use crate::clock::SystemClock;
use crate::http::{Call, HttpSettings, HttpTransport, Transport as _};
use crate::sim::World;
use crate::sim::server::{self, Layout, Running};

/// The folder of the simulators' state, in the data folder.
const FOLDER_NAME: &str = "simulators";

/// Platforms that answer.
pub enum Platforms {
    /// In this process.
    Own {
        /// Their state.
        world: Arc<World>,
        /// Their servers.
        running: Running,
    },
    /// In another.
    Elsewhere {
        /// What they say of how to connect.
        connections: Value,
    },
}

impl Platforms {
    /// Starts the platforms of the demo's folder, on the ports that they had if those are free.
    pub fn own(args: &SimArgs, marker: &mut Marker) -> Result<Self, CliError> {
        let options = args.options(marker.seed(), Some(marker.dir().join(FOLDER_NAME)));
        let world = Arc::new(World::open(options, Arc::new(SystemClock)).map_err(CliError::failed)?);
        let running = server::start(&world, &Layout::PortEach(marker.ports().clone())).map_err(|error| {
            CliError::Failed(format!("The simulated platforms cannot be served on loopback ({error})."))
        })?;
        let port = |url: &String| Url::parse(url).ok().and_then(|url| url.port());
        let ports =
            running.sims.iter().filter_map(|(platform, url)| Some((platform.clone(), port(url)?))).collect();
        marker.platforms_run(ports)?;
        Ok(Self::Own { world, running })
    }

    /// Asks a running `eider simulate` how to connect.
    pub async fn elsewhere(url: &Url, marker: &mut Marker) -> Result<Self, CliError> {
        let address = format!("{}/_sim/connections", url.as_str().trim_end_matches('/'));
        let unreachable = |what: String| {
            CliError::Failed(format!(
                "{address} {what}. Start `eider simulate` first, and give the url that it prints to --simulators."
            ))
        };
        let transport = HttpTransport::new(HttpSettings { allow_private: true, ..HttpSettings::default() })
            .map_err(CliError::failed)?;
        let request = http::Request::get(&address).body(Bytes::new()).map_err(CliError::failed)?;
        let answer = transport
            .send(Call::new("simConnections", request))
            .await
            .map_err(|error| unreachable(format!("gave no answer: {error}")))?;
        if !answer.status.is_success() {
            return Err(unreachable(format!("answered {}", answer.status)));
        }
        let connections = serde_json::from_slice(&answer.body)
            .map_err(|error| unreachable(format!("did not answer as simulated platforms do ({error})")))?;
        marker.platforms_run(BTreeMap::new())?;
        Ok(Self::Elsewhere { connections })
    }

    /// How to connect to each, as the platforms' `/_sim/connections` says it.
    pub fn connections(&self) -> Value {
        match self {
            Self::Own { world, running } => {
                world.connections(|platform| running.sims.get(platform).cloned().unwrap_or_default())
            }
            Self::Elsewhere { connections } => connections.clone(),
        }
    }

    /// Each platform's address.
    pub fn addresses(&self) -> BTreeMap<String, String> {
        match self {
            Self::Own { running, .. } => running.sims.clone(),
            Self::Elsewhere { connections } => {
                let text =
                    |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
                let entries = connections.as_array().map(Vec::as_slice).unwrap_or_default();
                entries
                    .iter()
                    .filter_map(|entry| Some((text(entry, "channel")?, text(entry, "base_url")?)))
                    .collect()
            }
        }
    }

    /// Stops what runs here.
    pub async fn stop(self) {
        match self {
            Self::Own { running, .. } => running.stop().await,
            Self::Elsewhere { .. } => {}
        }
    }
}

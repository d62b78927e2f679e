//! `eider healthcheck`: asks the appliance that these settings describe whether it is well. For container engines
//! and supervisors: exit code 0 or 1.

use std::time::Duration;

use bytes::Bytes;

use super::{CliError, Place, machine, terminal};
use crate::http::{Call, HttpSettings, HttpTransport, Transport as _};

/// An appliance that takes longer is not well.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Runs it.
pub async fn run(place: &Place) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let listen = machine::reachable(loaded.config.server.listen);
    if listen.port() == 0 {
        return Err(CliError::Usage(
            "server.listen has port 0, so that nobody knows where to ask: set a port.".to_owned(),
        ));
    }
    let address = format!("http://{listen}/healthz");
    let transport = HttpTransport::new(HttpSettings { allow_private: true, ..HttpSettings::default() })
        .map_err(CliError::failed)?;
    let request = http::Request::get(&address).body(Bytes::new()).map_err(CliError::failed)?;
    let mut call = Call::new("healthz", request);
    call.timeout = ANSWER_TIME_MAX;
    match transport.send(call).await {
        Ok(answer) if answer.status.is_success() => terminal::print_line("ok"),
        Ok(answer) => Err(CliError::Failed(format!(
            "{address} answered {}: {}. See the log of `eider serve`.",
            answer.status,
            String::from_utf8_lossy(&answer.body).trim()
        ))),
        Err(error) => {
            Err(CliError::Failed(format!("{address} gave no answer: {error}. Is `eider serve` running?")))
        }
    }
}

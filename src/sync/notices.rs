//! Tells people what needs them: each thing once, and again after a failure until it is told.

use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::Engine;
use crate::channels::registry;
use crate::notify::{Notice, Notifier, due};
use crate::store::{StoreError, WriteLane, incidents, notices};

/// Between two looks at what there is to tell.
const INTERVAL: Duration = Duration::from_secs(60);
/// Between two tries where it cannot be told.
const RETRY: Duration = Duration::from_secs(600);

impl Engine {
    /// Tells what has not been told, until `stop` says so.
    pub async fn run_notices(
        &self,
        notifier: &dyn Notifier,
        zone: &TimeZone,
        mut stop: watch::Receiver<bool>,
    ) {
        let tell = async {
            loop {
                let wait = match self.tell_people(notifier, zone).await {
                    Ok(_) => INTERVAL,
                    Err(error) => {
                        tracing::error!("people could not be told what needs them: {error}");
                        RETRY
                    }
                };
                self.inner.parts.clock.sleep(wait).await;
            }
        };
        // A mail server that does not answer keeps nobody from stopping.
        tokio::select! {
            _ = stop.wait_for(|is_stopped| *is_stopped) => {}
            () = tell => {}
        }
    }

    /// Tells what has not been told, and says how much that was. What is told is remembered afterwards, so that a crash
    /// between the two tells it twice rather than never.
    ///
    /// # Errors
    /// Where it could not be told or remembered.
    pub async fn tell_people(&self, notifier: &dyn Notifier, zone: &TimeZone) -> Result<usize, String> {
        let words = |error: StoreError| error.to_string();
        let now = self.now();
        let (told, open) = self
            .store()
            .read(|read| Ok((notices::told(read)?, incidents::open_incidents(read)?)))
            .await
            .map_err(words)?;
        let today = now.to_zoned(zone.clone()).date();
        let mut new: Vec<Notice> = self
            .connections()
            .iter()
            .flat_map(|connection| {
                let life = registry::channel(&connection.channel).map(|info| info.life).unwrap_or_default();
                due(connection, life, today)
            })
            .collect();
        new.extend(open.into_iter().map(|incident| Notice {
            key: format!("incident:{}", incident.incident_id),
            title: incident.what.text,
            text: incident.what.next_step,
        }));
        new.retain(|notice| !told.contains(&notice.key));
        if new.is_empty() {
            return Ok(0);
        }
        notifier.tell(&new).await?;
        let keys: Vec<String> = new.into_iter().map(|notice| notice.key).collect();
        let count = keys.len();
        self.store()
            .write(WriteLane::Interactive, move |tx| notices::remember(tx, &keys, now))
            .await
            .map_err(words)?;
        Ok(count)
    }
}

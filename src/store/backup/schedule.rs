//! Backups by the clock. One that fails is told in an incident and tried again; nothing else stops for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::delivery::{Delivered, Destination, newest_in};
use crate::clock::{SharedClock, shifted};
use crate::store::incidents::{self, NewIncident};
use crate::store::{Store, StoreError, WriteLane};

/// The incident's kind.
const INCIDENT_KIND: &str = "backup_failed";
/// Who closes it.
const ACTOR: &str = "backup";
/// After a failure it is tried again this soon, or after the interval where that is shorter.
const RETRY: Duration = Duration::from_secs(15 * 60);

/// When backups are made, and where.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Where they go, and how many stay.
    pub to: Destination,
    /// From one to the next.
    pub every: Duration,
}

/// Makes backups until `stopped` says so. What was missed while the program was down is made up for at once.
pub async fn run_schedule(
    store: Store,
    clock: SharedClock,
    schedule: Schedule,
    mut stopped: watch::Receiver<bool>,
) {
    let mut has_failed = false;
    loop {
        let wait = if has_failed {
            schedule.every.min(RETRY)
        } else {
            until_next(&store, &schedule, clock.now()).await
        };
        tokio::select! {
            _ = stopped.wait_for(|is_stopped| *is_stopped) => return,
            () = clock.sleep(wait) => {}
        }
        // A backup that is under way at the end of the program is broken off, and leaves nothing.
        let made = tokio::select! {
            _ = stopped.wait_for(|is_stopped| *is_stopped) => return,
            made = store.deliver_backup_unless(&schedule.to, fresh_since(&schedule, clock.now())) => made,
        };
        has_failed = made.is_err();
        note(&store, made).await;
    }
}

/// A backup of that time or before is due to be followed by the next.
fn fresh_since(schedule: &Schedule, now: Timestamp) -> Timestamp {
    let every = SignedDuration::try_from(schedule.every).unwrap_or(SignedDuration::MAX);
    shifted(now, every.checked_neg().unwrap_or(SignedDuration::MIN))
}

/// How long until the next one is due somewhere. Where it cannot be looked, it is tried at once: the backup says why.
async fn until_next(store: &Store, schedule: &Schedule, now: Timestamp) -> Duration {
    let installation = store.installation().id;
    let Ok(newest) = oldest_newest(&schedule.to, installation).await else { return Duration::ZERO };
    let Some(newest) = newest else { return Duration::ZERO };
    let every = SignedDuration::try_from(schedule.every).unwrap_or(SignedDuration::MAX);
    let due = shifted(newest, every);
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO).min(schedule.every)
}

/// When the newest backup was made, in the place where that is longest ago; `None` where a place has none.
async fn oldest_newest(to: &Destination, installation: String) -> Result<Option<Timestamp>, StoreError> {
    let mut oldest = None;
    if let Some(dir) = &to.dir {
        let Some((_, newest)) = newest_in(dir, installation.clone()).await? else { return Ok(None) };
        oldest = Some(newest.created_at);
    }
    if let Some(bucket) = &to.bucket {
        let stored = bucket.backups().await?;
        let newest = stored.iter().find(|stored| stored.installation == installation);
        let Some(newest) = newest else { return Ok(None) };
        oldest = Some(oldest.map_or(newest.created_at, |oldest: Timestamp| oldest.min(newest.created_at)));
    }
    Ok(oldest)
}

async fn note(store: &Store, made: Result<Delivered, StoreError>) {
    let noted = match made {
        Ok(backup) => {
            tracing::info!(
                path = backup.path.as_ref().map(|path| path.display().to_string()),
                address = backup.uploaded.as_ref().map(|uploaded| uploaded.address.as_str()),
                bytes = backup.manifest.size_bytes(),
                duration_ms = backup.duration.as_millis(),
                removed = backup.removed.len(),
                "a backup was made"
            );
            if let Some(why) = backup.uploaded.as_ref().and_then(|uploaded| uploaded.not_removed.as_ref()) {
                tracing::warn!("older backups stay in the bucket: {why}");
            }
            store
                .write(WriteLane::Interactive, |tx| {
                    let now = tx.now();
                    let open = incidents::open_incidents(tx)?;
                    for incident in open.iter().filter(|incident| incident.what.kind == INCIDENT_KIND) {
                        incidents::close(tx, incident.incident_id, ACTOR, now)?;
                    }
                    Ok(())
                })
                .await
        }
        Err(error) => {
            tracing::error!(%error, "no backup could be made; it is tried again");
            let new = NewIncident {
                connection: None,
                order_no: None,
                kind: INCIDENT_KIND.to_owned(),
                text: format!("The scheduled backup could not be made. {error}"),
                next_step:
                    "Mend what it says; it is tried again within 15 minutes and closes this by itself. \
                            `eider backup` makes one now."
                        .to_owned(),
            };
            store
                .write(WriteLane::Interactive, move |tx| {
                    let now = tx.now();
                    incidents::open(tx, &new, now).map(drop)
                })
                .await
        }
    };
    if let Err(error) = noted {
        tracing::warn!(%error, "how the backup ended could not be noted");
    }
}

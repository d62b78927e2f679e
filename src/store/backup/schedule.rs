//! Backups by the clock. One that fails is told in an incident and tried again; nothing else stops for it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::{Backup, backups, blocking};
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The folder that they go to.
    pub dir: PathBuf,
    /// From one to the next.
    pub every: Duration,
    /// How many stay.
    pub keep: u32,
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
            made = store.back_up(&schedule.dir, Some(schedule.keep)) => made,
        };
        has_failed = made.is_err();
        note(&store, made).await;
    }
}

/// How long until the next one is due. A folder that cannot be looked at is tried at once: the backup says why.
async fn until_next(store: &Store, schedule: &Schedule, now: Timestamp) -> Duration {
    let (dir, installation) = (schedule.dir.clone(), store.installation().id);
    let newest = blocking(move || Ok(backups(&dir, &installation)?.into_iter().next())).await;
    let Ok(Some((_, newest))) = newest else { return Duration::ZERO };
    let every = SignedDuration::try_from(schedule.every).unwrap_or(SignedDuration::MAX);
    let due = shifted(newest.created_at, every);
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO).min(schedule.every)
}

async fn note(store: &Store, made: Result<Backup, StoreError>) {
    let noted = match made {
        Ok(backup) => {
            tracing::info!(
                path = %backup.path.display(),
                bytes = backup.manifest.size_bytes(),
                duration_ms = backup.duration.as_millis(),
                removed = backup.removed.len(),
                "a backup was made"
            );
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

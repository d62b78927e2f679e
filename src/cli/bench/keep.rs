//! Keeping: how fast a backup is, how long writes wait beside it, how long looking at everything takes, and writing it
//! anew. On the full file of the bench, in its scratch folder.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::{CliError, terminal};
use super::figure::Figure;
use super::import::Filled;
use crate::app::store_options;
use crate::clock::{Entropy, SharedClock, SystemClock};
use crate::config::Config;
use crate::domain::connection::ConnectionState;
use crate::domain::id::ConnectionId;
use crate::store::backup::Backup;
use crate::store::restore::{Origin, RestoreOptions, restore};
use crate::store::{Store, StoreOptions, WriteLane, compact, connections};
use crate::vault::KeySource;

/// Backs up while somebody writes, and then looks at everything. Returns the backup, too.
pub async fn measure(filled: &Filled, scratch: &Path) -> Result<(Vec<Figure>, Backup), CliError> {
    terminal::say("Backing up beside writes.");
    let connection = filled.connections.first().map(|connection| connection.id);
    let connection =
        connection.ok_or_else(|| CliError::Failed("There is no connection to write to.".to_owned()))?;
    filled.store.checkpoint().await.map_err(CliError::failed)?;
    let alone = longest_write(&filled.store, connection, 200).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let back_up = async {
        let made = filled.store.back_up(&scratch.join("backups"), None).await;
        is_over.store(true, Ordering::SeqCst);
        made.map_err(CliError::failed)
    };
    let (made, writes) = tokio::join!(back_up, write_until(&filled.store, connection, Arc::clone(&is_over)));
    let (made, (beside, write_count)) = (made?, writes?);
    let started = Instant::now();
    let report = filled.store.verify().await.map_err(CliError::failed)?;
    let verify_time = started.elapsed();
    if let Some(finding) = report.findings.first() {
        return Err(CliError::Failed(format!("{}: {}", finding.check, finding.text)));
    }
    let (orders, bytes) = (filled.order_count, made.manifest.size_bytes());
    let figures = vec![
        Figure::whole(format!("backup of {orders} orders, size"), bytes / 1_000_000, "MB", None),
        Figure::rate(
            "backup, copied while commits go on",
            bytes / 1_000_000,
            made.copy_duration,
            "MB/s",
            None,
        ),
        Figure::rate(
            "backup, read again, opened and counted too",
            bytes / 1_000_000,
            made.duration,
            "MB/s",
            None,
        ),
        Figure::time("longest of 200 interactive writes, alone", alone, None),
        Figure::time(format!("longest of {write_count} interactive writes beside a backup"), beside, None),
        Figure::time(format!("verify, {} checks", report.check_count), verify_time, None),
    ];
    Ok((figures, made))
}

/// What needs the data for itself: restores the backup into a folder, and writes the database of the data folder anew.
pub async fn measure_alone(
    config: &Config,
    backup: &Backup,
    restored: &Path,
) -> Result<Vec<Figure>, CliError> {
    terminal::say("Restoring and compacting.");
    let clock: SharedClock = Arc::new(SystemClock);
    let own = store_options(config, &clock, &Arc::new(Entropy::from_os()));
    let options = RestoreOptions {
        store: StoreOptions { dir: restored.to_owned(), ..own.clone() },
        from: Origin::Folder(backup.path.clone()),
        key: KeySource::DataFolder,
        tokens_rotate: |_| false,
        despite_findings: false,
    };
    let started = Instant::now();
    restore(options).await.map_err(CliError::failed)?;
    let restore_time = started.elapsed();
    let started = Instant::now();
    let done = tokio::task::spawn_blocking(move || compact(&own)).await.map_err(CliError::failed)?;
    let compacted = done.map_err(CliError::failed)?;
    let compact_time = started.elapsed();
    let megabytes = |bytes: u64| bytes / 1_000_000;
    Ok(vec![
        Figure::rate(
            "restore into an empty folder, checked",
            megabytes(backup.manifest.size_bytes()),
            restore_time,
            "MB/s",
            None,
        ),
        Figure::rate("compact", megabytes(compacted.before_bytes), compact_time, "MB/s", None),
        Figure::whole("the same, size afterwards", megabytes(compacted.after_bytes), "MB", None),
    ])
}

async fn longest_write(store: &Store, connection: ConnectionId, count: u32) -> Result<Duration, CliError> {
    let mut longest = Duration::ZERO;
    for _ in 0..count {
        longest = longest.max(write(store, connection).await?);
    }
    Ok(longest)
}

async fn write_until(
    store: &Store,
    connection: ConnectionId,
    is_over: Arc<AtomicBool>,
) -> Result<(Duration, u64), CliError> {
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !is_over.load(Ordering::SeqCst) {
        longest = longest.max(write(store, connection).await?);
        count += 1;
    }
    Ok((longest, count))
}

/// One small write, as a button's; how long it took to be durable.
async fn write(store: &Store, connection: ConnectionId) -> Result<Duration, CliError> {
    let started = Instant::now();
    let write = store.write(WriteLane::Interactive, move |tx| {
        let now = tx.now();
        connections::set_state(tx, connection, ConnectionState::Paused, Some("Measuring."), now)
    });
    write.await.map_err(CliError::failed)?;
    Ok(started.elapsed())
}

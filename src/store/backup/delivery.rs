//! Where backups go: a folder, a bucket, or both. Into a bucket goes what lies checked in the folder, or in a staging
//! folder that goes away again. What a bucket refuses never costs a folder anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::bucket::{Bucket, Uploaded};
use super::{Backup, Manifest, Place, Turn, backups, blocking, cannot};
use crate::store::error::StoreError;
use crate::store::{STAGING_NAME, Store};

/// Where backups go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The folder.
    pub dir: Option<PathBuf>,
    /// The bucket.
    pub bucket: Option<Bucket>,
    /// How many of this installation's backups stay in each; without it all do.
    pub keep: Option<u32>,
}

/// A backup that is where it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Its folder, unless it went into a bucket alone.
    pub path: Option<PathBuf>,
    /// What became of it in the bucket, where there is one.
    pub uploaded: Option<Uploaded>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// How long all of it took.
    pub duration: Duration,
    /// Older backups that were removed from the folder.
    pub removed: Vec<PathBuf>,
}

impl Store {
    /// Makes a backup and puts it where `to` says.
    ///
    /// # Errors
    /// What the database, the disk or the bucket says, and what to do. Where only the bucket failed, the backup lies in
    /// the folder.
    pub async fn deliver_backup(&self, to: &Destination) -> Result<Delivered, StoreError> {
        let started = Instant::now();
        let turn = Turn::take(self)?;
        let mut delivered = match &to.dir {
            Some(dir) => {
                let (backup, turn) = self.make_backup(turn, dir, Place::Outside, to.keep).await?;
                self.upload_backup(turn, to, backup).await?
            }
            None => self.deliver_staged(turn, to).await?,
        };
        delivered.duration = started.elapsed();
        Ok(delivered)
    }

    /// Like [`Store::deliver_backup`], but a backup in the folder that is younger than `fresh_since` is good enough: so
    /// a bucket that does not answer for a day leaves one backup in the folder and not a hundred.
    pub(super) async fn deliver_backup_unless(
        &self,
        to: &Destination,
        fresh_since: Timestamp,
    ) -> Result<Delivered, StoreError> {
        let (Some(dir), Some(_)) = (&to.dir, &to.bucket) else { return self.deliver_backup(to).await };
        let (started, turn) = (Instant::now(), Turn::take(self)?);
        let fresh = newest_in(dir, self.installation().id).await?;
        let Some((path, manifest)) = fresh.filter(|(_, manifest)| manifest.created_at > fresh_since) else {
            drop(turn);
            return self.deliver_backup(to).await;
        };
        let backup = Backup {
            path,
            manifest,
            duration: Duration::ZERO,
            copy_duration: Duration::ZERO,
            removed: Vec::new(),
        };
        let mut delivered = self.upload_backup(turn, to, backup).await?;
        delivered.duration = started.elapsed();
        Ok(delivered)
    }

    /// Uploads what was made in a folder of its own, where there is a bucket.
    async fn upload_backup(
        &self,
        turn: Turn,
        to: &Destination,
        backup: Backup,
    ) -> Result<Delivered, StoreError> {
        let uploaded = match &to.bucket {
            Some(bucket) => {
                let uploaded = upload(bucket, &backup.path, &backup.manifest, to.keep).await;
                Some(uploaded.map_err(|error| {
                    StoreError::Invalid(format!(
                        "{error} The backup itself lies in {}.",
                        backup.path.display()
                    ))
                })?)
            }
            None => None,
        };
        drop(turn);
        Ok(Delivered {
            path: Some(backup.path),
            uploaded,
            manifest: backup.manifest,
            duration: Duration::ZERO,
            removed: backup.removed,
        })
    }

    /// Makes the backup in a folder that goes away again. The turn is held to the end: the folder is one for all.
    async fn deliver_staged(&self, turn: Turn, to: &Destination) -> Result<Delivered, StoreError> {
        let Some(bucket) = &to.bucket else {
            return Err(StoreError::Invalid(
                "There is no place for the backup: set backup.dir or backup.bucket.".to_owned(),
            ));
        };
        // First, so that a bucket that cannot be used does not cost a whole copy each time.
        bucket.backups().await?;
        let staging = Staging::begin(self.dir().join(STAGING_NAME))?;
        let (backup, turn) = self.make_backup(turn, &staging.0, Place::Staging, None).await?;
        let uploaded = upload(bucket, &backup.path, &backup.manifest, to.keep).await?;
        drop(staging);
        drop(turn);
        Ok(Delivered {
            path: None,
            uploaded: Some(uploaded),
            manifest: backup.manifest,
            duration: Duration::ZERO,
            removed: Vec::new(),
        })
    }
}

async fn upload(
    bucket: &Bucket,
    folder: &Path,
    manifest: &Manifest,
    keep: Option<u32>,
) -> Result<Uploaded, StoreError> {
    let mut uploaded = bucket.upload(folder, manifest).await?;
    if let Some(keep) = keep {
        // A key that may not delete is a good idea: then the bucket's own rules do it, and the backup counts.
        match bucket.remove_older(&manifest.installation, keep).await {
            Ok(removed) => uploaded.removed = removed,
            Err(error) => uploaded.not_removed = Some(error.to_string()),
        }
    }
    Ok(uploaded)
}

/// The newest backup of `installation` in the folder.
pub(super) async fn newest_in(
    dir: &Path,
    installation: String,
) -> Result<Option<(PathBuf, Manifest)>, StoreError> {
    let dir = dir.to_owned();
    blocking(move || Ok(backups(&dir, &installation)?.into_iter().next())).await
}

/// The folder for backups that are only on their way. It goes with this.
struct Staging(PathBuf);

impl Staging {
    /// Removes what a killed process left.
    fn begin(path: PathBuf) -> Result<Self, StoreError> {
        remove(&path).map_err(|error| cannot("remove", &path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, "a copy of the data is left over; the next backup removes it");
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

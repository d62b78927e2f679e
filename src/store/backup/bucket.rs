//! Backups in an S3-compatible bucket: an archive (`archive.rs`) and, once all of that is there, a small object of the
//! same name that says what is in it. Without the second one the first is no backup.
//!
//! Only objects whose name holds this installation's id are ever removed or written, and never the newest backup.

mod door;
mod failure;
mod pieces;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, MultipartUpload, ObjectStore as _, ObjectStoreExt as _, RetryConfig};
use serde::{Deserialize, Serialize};

use super::archive::{self, Digest, ENCRYPTED_SUFFIX, Keys, PLAIN_SUFFIX};
use super::{Manifest, NAME_PREFIX, blocking, time_name};
use crate::config::{AgeRecipient, BucketSettings};
use crate::http::SharedTransport;
use crate::store::error::StoreError;

use door::Door;
use pieces::PieceWriter;

/// How the names of the objects end that say what is in an archive.
const LABEL_SUFFIX: &str = ".json";
/// The layout of those objects that this version writes.
const LABEL_FORMAT: u32 = 1;
/// S3 takes 10,000 pieces of an object.
const PIECE_COUNT_MAX: u64 = 9_000;
/// A call that may be repeated is not repeated later than this after the first one.
const RETRY_TIME_MAX: Duration = Duration::from_secs(180);

/// A place for backups in a bucket. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<AmazonS3>,
    settings: Arc<BucketSettings>,
    pace: Pace,
}

/// How a bucket is called.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Bytes of a piece of an archive, unless so many pieces would be too many.
    piece_bytes_min: u64,
    /// How often a call is repeated that may be repeated.
    retry_count_max: usize,
    /// Between the first two; it doubles.
    retry_wait: Duration,
}

/// Two or three pieces are in memory at a time.
const PACE: Pace =
    Pace { piece_bytes_min: 8 << 20, retry_count_max: 4, retry_wait: Duration::from_millis(200) };

// By hand: what the library prints of itself is its own affair.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.settings.address.to_string()).finish()
    }
}

/// A backup in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name, by which it is restored.
    pub name: String,
    /// When it was made, to the second.
    pub created_at: Timestamp,
    /// Whose data it is.
    pub installation: String,
    /// Bytes of the archive.
    pub size_bytes: u64,
    /// Whether a secret key is needed to read it.
    pub is_encrypted: bool,
}

/// A backup that went into a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Its address, by which it is restored.
    pub address: String,
    /// Bytes of the archive.
    pub size_bytes: u64,
    /// Older ones that were removed.
    pub removed: Vec<String>,
    /// Why older ones stay that should have gone. The backup is there all the same.
    pub not_removed: Option<String>,
}

/// The small object beside an archive.
#[derive(Debug, Serialize, Deserialize)]
struct Label {
    format: u32,
    archive: String,
    bytes: u64,
    sha256: String,
    backup: Manifest,
}

/// What the name of one of our objects says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ObjectName {
    name: String,
    created_at: Timestamp,
    installation: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Label,
    Plain,
    Encrypted,
}

/// Everything in the bucket that has a backup's name.
#[derive(Debug, Default)]
struct Listing {
    labels: Vec<ObjectName>,
    archives: Vec<(ObjectName, u64)>,
}

impl Bucket {
    /// Calls nothing yet.
    ///
    /// # Errors
    /// Settings that no call can be made from.
    pub fn open(settings: BucketSettings, transport: SharedTransport) -> Result<Self, StoreError> {
        Self::open_with(settings, transport, PACE)
    }

    fn open_with(
        settings: BucketSettings,
        transport: SharedTransport,
        pace: Pace,
    ) -> Result<Self, StoreError> {
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: pace.retry_wait, ..BackoffConfig::default() },
            max_retries: pace.retry_count_max,
            retry_timeout: RETRY_TIME_MAX,
        };
        // Never from the environment: what holds is what `eider config print` shows.
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(Door(transport))
            .with_bucket_name(settings.address.name())
            .with_region(settings.region.as_str())
            .with_access_key_id(settings.access_key_id.expose())
            .with_secret_access_key(settings.secret_access_key.expose())
            .with_allow_http(true)
            // Not every S3 knows how to remove several at once.
            .with_disable_bulk_delete(true)
            .with_retry(retry);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.as_url().as_str().trim_end_matches('/'));
        }
        let objects = builder
            .build()
            .map_err(|error| StoreError::Invalid(format!("{} cannot be used: {error}.", settings.address)))?;
        Ok(Self { objects: Arc::new(objects), settings: Arc::new(settings), pace })
    }

    /// All whole backups, newest first, also other installations'.
    ///
    /// # Errors
    /// Why the bucket cannot be looked into, and what to do.
    pub async fn backups(&self) -> Result<Vec<Stored>, StoreError> {
        Ok(self.list().await?.whole())
    }

    /// Where the backup of this name lies.
    #[must_use]
    pub fn address_of(&self, name: &str) -> String {
        format!("{}/{name}", self.settings.address)
    }

    /// Uploads the backup in `folder`. It counts once all of it is there.
    ///
    /// # Errors
    /// Why not, and what to do. Nothing of it is left then, and other backups are as they were.
    pub(super) async fn upload(&self, folder: &Path, manifest: &Manifest) -> Result<Uploaded, StoreError> {
        let name = format!("{NAME_PREFIX}{}-{}", time_name(manifest.created_at), manifest.installation);
        let suffix = if self.settings.age_recipients.is_empty() { PLAIN_SUFFIX } else { ENCRYPTED_SUFFIX };
        let listing = self.list().await?;
        let mut uploaded = Uploaded {
            address: self.address_of(&name),
            size_bytes: 0,
            removed: Vec::new(),
            not_removed: None,
        };
        if let Some(stored) = listing.whole().iter().find(|stored| stored.name == name) {
            let label = self.label(&name).await?;
            if label.backup != *manifest {
                return Err(StoreError::Invalid(format!(
                    "{} holds another backup of the same second already; it stays. Make a new one.",
                    uploaded.address
                )));
            }
            uploaded.size_bytes = stored.size_bytes;
            return Ok(uploaded);
        }
        let object = format!("{name}{suffix}");
        let digest = self.upload_archive(&object, folder, manifest).await?;
        let label = Label {
            format: LABEL_FORMAT,
            archive: object.clone(),
            bytes: digest.size_bytes,
            sha256: digest.sha256,
            backup: manifest.clone(),
        };
        if let Err(error) = self.put_label(&name, &label).await {
            // Without its label it is of no use, and would be paid for.
            self.remove_broken(&object).await;
            return Err(error);
        }
        uploaded.size_bytes = digest.size_bytes;
        Ok(uploaded)
    }

    /// Removes this installation's backups beyond the newest `keep`, and archives of broken uploads; never the newest.
    pub(super) async fn remove_older(
        &self,
        installation: &str,
        keep: u32,
    ) -> Result<Vec<String>, StoreError> {
        let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
        let mut listing = self.list().await?;
        listing.labels.retain(|object| object.installation == installation);
        listing.archives.retain(|(object, _)| object.installation == installation);
        let whole = listing.whole();
        let Some(newest) = whole.first() else { return Ok(Vec::new()) };
        let kept: Vec<&str> = whole.iter().take(keep).map(|stored| stored.name.as_str()).collect();
        // Younger than the newest may be one that another process is uploading.
        let is_over = |object: &ObjectName| {
            !kept.contains(&object.name.as_str()) && object.created_at < newest.created_at
        };
        // Labels first: what has one is a whole backup at any time.
        for label in listing.labels.iter().filter(|label| is_over(label)) {
            self.remove(&format!("{}{LABEL_SUFFIX}", label.name)).await?;
        }
        for (archive, _) in listing.archives.iter().filter(|(archive, _)| is_over(archive)) {
            self.remove(&archive.object()).await?;
        }
        Ok(whole.iter().skip(keep).map(|stored| self.address_of(&stored.name)).collect())
    }

    /// Downloads the backup of this name into the new folder `to`, with the keys in the file `identity`.
    ///
    /// # Errors
    /// What is wrong with the bucket, the backup, the keys or the disk. What was written is its caller's to remove.
    pub(in crate::store) async fn fetch(
        &self,
        name: &str,
        to: &Path,
        identity: Option<PathBuf>,
    ) -> Result<(), StoreError> {
        let address = self.address_of(name);
        let label = self.label(name).await?;
        let is_expected = [PLAIN_SUFFIX, ENCRYPTED_SUFFIX].map(|suffix| format!("{name}{suffix}"));
        if label.format != LABEL_FORMAT || !is_expected.contains(&label.archive) {
            return Err(StoreError::Invalid(format!(
                "{address} was written by version {} in another way: use that version or a newer one.",
                label.backup.version
            )));
        }
        let path = self.path(&label.archive);
        let there = self.objects.head(&path).await;
        let there = there.map_err(|error| self.failed(&format!("find {address}"), &error))?;
        if there.size != label.bytes {
            return Err(StoreError::Invalid(format!(
                "{address} is damaged: {} bytes are there of {}. Nothing was changed: restore another backup.",
                there.size, label.bytes
            )));
        }
        let (sender, reader) = pieces::to_reader();
        let (what, folder) = (address.clone(), to.to_owned());
        let unpacking = blocking(move || archive::unpack(reader, &what, &folder, Keys(identity.as_deref())));
        let fetching = async {
            let mut start = 0;
            while start < label.bytes {
                let end = label.bytes.min(start.saturating_add(self.pace.piece_bytes_min));
                let piece = self.objects.get_range(&path, start..end).await;
                let piece = piece.map_err(|error| self.failed(&format!("download {address}"), &error))?;
                // Who unpacks says itself why it takes no more.
                if sender.send(piece).await.is_err() {
                    break;
                }
                start = end;
            }
            drop(sender);
            Ok::<(), StoreError>(())
        };
        let (fetched, unpacked) = tokio::join!(fetching, unpacking);
        fetched?;
        let digest = unpacked?;
        if (digest.size_bytes, &digest.sha256) != (label.bytes, &label.sha256) {
            return Err(StoreError::Invalid(format!(
                "{address} is damaged: it is not what was uploaded. Nothing was changed: restore another backup."
            )));
        }
        Ok(())
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        let prefix = self.settings.address.prefix();
        let prefix = (!prefix.is_empty()).then(|| ObjectPath::from(prefix));
        let found = self.objects.list_with_delimiter(prefix.as_ref()).await;
        let found =
            found.map_err(|error| self.failed(&format!("look into {}", self.settings.address), &error))?;
        let mut listing = Listing::default();
        for object in found.objects {
            let Some(named) = object.location.filename().and_then(ObjectName::parse) else { continue };
            match named.kind {
                Kind::Label => listing.labels.push(named),
                Kind::Plain | Kind::Encrypted => listing.archives.push((named, object.size)),
            }
        }
        Ok(listing)
    }

    async fn label(&self, name: &str) -> Result<Label, StoreError> {
        let doing = format!("read {}", self.address_of(name));
        let path = self.path(&format!("{name}{LABEL_SUFFIX}"));
        let found = self.objects.get(&path).await.map_err(|error| self.failed(&doing, &error))?;
        let text = found.bytes().await.map_err(|error| self.failed(&doing, &error))?;
        serde_json::from_slice(&text).map_err(|error| {
            StoreError::Invalid(format!(
                "{}{LABEL_SUFFIX} cannot be understood ({error}): the backup is damaged or a newer version made it. Use \
                 that version, or another backup.",
                self.address_of(name)
            ))
        })
    }

    async fn put_label(&self, name: &str, label: &Label) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(label)
            .map_err(|error| StoreError::Invalid(format!("The backup cannot be described: {error}.")))?;
        let put = self.objects.put(&self.path(&format!("{name}{LABEL_SUFFIX}")), text.into()).await;
        put.map(drop).map_err(|error| self.failed(&format!("write to {}", self.settings.address), &error))
    }

    async fn upload_archive(
        &self,
        object: &str,
        folder: &Path,
        manifest: &Manifest,
    ) -> Result<Digest, StoreError> {
        let doing = format!("upload to {}", self.settings.address);
        let path = self.path(object);
        let begun = self.objects.put_multipart(&path).await;
        let mut upload = Upload(Some(begun.map_err(|error| self.failed(&doing, &error))?));
        let piece_bytes = manifest.size_bytes().div_ceil(PIECE_COUNT_MAX).max(self.pace.piece_bytes_min);
        let (writer, pieces) = pieces::from_writer(usize::try_from(piece_bytes).unwrap_or(usize::MAX));
        let (folder, manifest) = (folder.to_owned(), manifest.clone());
        let recipients: Vec<AgeRecipient> = self.settings.age_recipients.clone();
        let packing = blocking(move || {
            let packed = archive::pack(&folder, &manifest, &recipients, writer).and_then(PieceWriter::finish);
            packed.map_err(|error| super::cannot("read", &folder, &error))
        });
        let sending = async {
            // The pieces end with this, so that packing finds nobody who takes more where sending fails.
            let mut pieces = pieces;
            while let Some(piece) = pieces.recv().await {
                upload.part(piece).await?;
            }
            Ok::<(), object_store::Error>(())
        };
        let (sent, packed) = tokio::join!(sending, packing);
        let digest = match (sent, packed) {
            (Err(error), _) => Err(self.failed(&doing, &error)),
            (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(digest)) => Ok(digest),
        };
        let digest = match digest {
            Ok(digest) => digest,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        };
        let complete = async {
            upload.complete().await.map_err(|error| self.failed(&doing, &error))?;
            let there = self.objects.head(&path).await.map_err(|error| self.failed(&doing, &error))?;
            if there.size == digest.size_bytes {
                return Ok(());
            }
            Err(StoreError::Invalid(format!(
                "{} says that {} bytes of the backup arrived of {}. Nothing of it was kept: try again.",
                self.settings.address, there.size, digest.size_bytes
            )))
        };
        if let Err(error) = complete.await {
            upload.abort().await;
            self.remove_broken(object).await;
            return Err(error);
        }
        Ok(digest)
    }

    async fn remove(&self, object: &str) -> Result<(), StoreError> {
        match self.objects.delete(&self.path(object)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&format!("remove {}", self.address_of(object)), &error)),
        }
    }

    /// Removes what may have become of a broken upload.
    async fn remove_broken(&self, object: &str) {
        if let Err(error) = self.remove(object).await {
            tracing::warn!(%error, "the rest of a broken upload may be left; a later backup removes it");
        }
    }

    fn path(&self, object: &str) -> ObjectPath {
        match self.settings.address.prefix() {
            "" => ObjectPath::from(object),
            prefix => ObjectPath::from(format!("{prefix}/{object}")),
        }
    }

    fn failed(&self, doing: &str, error: &object_store::Error) -> StoreError {
        failure::told(&self.settings, doing, error)
    }
}

/// The name of the backup that `text` names, where it names one: a backup's name, or that of an object of it.
#[must_use]
pub fn named(text: &str) -> Option<String> {
    let named = ObjectName::parse(text).or_else(|| ObjectName::parse(&format!("{text}{LABEL_SUFFIX}")));
    named.map(|object| object.name)
}

impl ObjectName {
    /// `eider-20260102T030405Z-` and the installation's id, and what it is.
    fn parse(object: &str) -> Option<Self> {
        let kinds =
            [(LABEL_SUFFIX, Kind::Label), (ENCRYPTED_SUFFIX, Kind::Encrypted), (PLAIN_SUFFIX, Kind::Plain)];
        let (name, kind) =
            kinds.iter().find_map(|(suffix, kind)| Some((object.strip_suffix(suffix)?, *kind)))?;
        let (time, installation) = name.strip_prefix(NAME_PREFIX)?.split_once('-')?;
        let created_at = DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
        let created_at = created_at.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        if time_name(created_at) != time || installation.is_empty() || !installation.chars().all(is_plain) {
            return None;
        }
        let (name, installation) = (name.to_owned(), installation.to_owned());
        Some(Self { name, created_at, installation, kind })
    }

    /// The object's own name.
    fn object(&self) -> String {
        let suffix = match self.kind {
            Kind::Label => LABEL_SUFFIX,
            Kind::Plain => PLAIN_SUFFIX,
            Kind::Encrypted => ENCRYPTED_SUFFIX,
        };
        format!("{}{suffix}", self.name)
    }
}

impl Listing {
    /// Backups with both objects, newest first.
    fn whole(&self) -> Vec<Stored> {
        let is_labelled = |name: &str| self.labels.iter().any(|label| label.name == name);
        let mut whole: Vec<Stored> = self
            .archives
            .iter()
            .filter(|(archive, _)| is_labelled(&archive.name))
            .map(|(archive, size_bytes)| Stored {
                name: archive.name.clone(),
                created_at: archive.created_at,
                installation: archive.installation.clone(),
                size_bytes: *size_bytes,
                is_encrypted: archive.kind == Kind::Encrypted,
            })
            .collect();
        whole.sort_by(|left, right| {
            right.created_at.cmp(&left.created_at).then_with(|| right.name.cmp(&left.name))
        });
        whole.dedup_by(|left, right| left.name == right.name);
        whole
    }
}

/// An upload that is under way. Until it is complete there is no object; dropped in the middle, its pieces go.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    async fn part(&mut self, piece: bytes::Bytes) -> object_store::Result<()> {
        match &mut self.0 {
            Some(upload) => upload.put_part(piece.into()).await,
            None => Ok(()),
        }
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        if let Some(upload) = &mut self.0 {
            upload.complete().await?;
        }
        self.0 = None;
        Ok(())
    }

    async fn abort(&mut self) {
        if let Some(mut upload) = self.0.take() {
            abort(upload.as_mut()).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        // Its caller is gone. Where the program ends before this has, the bucket's own rule for broken uploads does it.
        runtime.spawn(async move { abort(upload.as_mut()).await });
    }
}

async fn abort(upload: &mut dyn MultipartUpload) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(
            %error,
            "pieces of a broken upload may be left, though no object; the bucket's rule for broken uploads removes them"
        );
    }
}

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;

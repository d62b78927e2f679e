//! A backup's folder as one stream, and back: tar, compressed with zstd, and encrypted with age where there are public
//! keys. What is read back may be anybody's: nothing in it is written elsewhere than where a backup's files lie, and
//! nothing that its manifest does not name.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use age::{DecryptError, Decryptor, Encryptor, IdentityFile};
use sha2::{Digest as _, Sha256};

use super::{MANIFEST_NAME, Manifest, cannot, check_free};
use crate::config::AgeRecipient;
use crate::store::error::StoreError;
use crate::store::files::{CHUNK_BYTES, hex};

/// How the names of archives end.
pub(super) const PLAIN_SUFFIX: &str = ".tar.zst";
/// How the names of encrypted archives end.
pub(super) const ENCRYPTED_SUFFIX: &str = ".tar.zst.age";
/// What an encrypted file begins with.
const AGE_MAGIC: &[u8] = b"age-encryption.org/";
/// Little of it is gained by trying harder: payloads are compressed in the database already.
const ZSTD_LEVEL: i32 = 1;

/// What went through, as it was stored: the encrypted bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
}

/// Writes the backup in `folder` to `to`, the manifest first.
///
/// # Errors
/// What a file or `to` says.
pub(super) fn pack<W: Write>(
    folder: &Path,
    manifest: &Manifest,
    recipients: &[AgeRecipient],
    to: W,
) -> io::Result<W> {
    if recipients.is_empty() {
        return compress(folder, manifest, to);
    }
    let keys = recipients.iter().map(|recipient| recipient.key() as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(keys).map_err(io::Error::other)?;
    compress(folder, manifest, encryptor.wrap_output(to)?)?.finish()
}

fn compress<W: Write>(folder: &Path, manifest: &Manifest, to: W) -> io::Result<W> {
    let mut encoder = zstd::Encoder::new(to, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    let mut archive = tar::Builder::new(encoder);
    let paths = manifest.files.iter().map(|file| file.path.as_path());
    for path in std::iter::once(Path::new(MANIFEST_NAME)).chain(paths) {
        let file = File::open(folder.join(path))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(manifest.created_at.as_second()).unwrap_or_default());
        archive.append_data(&mut header, path, file)?;
    }
    archive.into_inner()?.finish()
}

/// Where the secret keys lie that open an encrypted archive.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Keys<'a>(pub(in crate::store) Option<&'a Path>);

impl Keys<'_> {
    fn read(self, what: &str) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, StoreError> {
        let Some(path) = self.0 else {
            return Err(StoreError::Invalid(format!(
                "{what} is encrypted. Nothing was changed: name the file with its secret key, --identity FILE."
            )));
        };
        let found = IdentityFile::from_file(path.display().to_string());
        let identities = found.map_err(|error| {
            StoreError::Invalid(format!(
                "The identity file {} cannot be used: {error}. Nothing was changed: name a file that `age-keygen` made; \
                 one with a passphrase has to be decrypted first.",
                path.display()
            ))
        })?;
        identities.into_identities().map_err(|error| StoreError::Invalid(error.to_string()))
    }
}

/// Reads the archive `what` into the new folder `to`, so that it is a backup's folder as if never packed.
///
/// # Errors
/// What is wrong with the archive, the keys or the disk; what was written so far is its caller's to remove.
pub(super) fn unpack(from: impl Read, what: &str, to: &Path, keys: Keys<'_>) -> Result<Digest, StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(to)
        .map_err(|error| cannot("make the folder", to, &error))?;
    let mut raw = BufReader::with_capacity(CHUNK_BYTES, Counted::new(from));
    let begins = raw.fill_buf().map_err(|error| unreadable(what, &error))?;
    if begins.starts_with(AGE_MAGIC) {
        let identities = keys.read(what)?;
        let decryptor =
            Decryptor::new_buffered(&mut raw).map_err(|error| undecryptable(what, keys, error))?;
        let opened = decryptor.decrypt(identities.iter().map(|key| &**key as &dyn age::Identity));
        expand(opened.map_err(|error| undecryptable(what, keys, error))?, what, to)?;
    } else {
        expand(&mut raw, what, to)?;
    }
    // What may follow belongs to the file as well.
    io::copy(&mut raw, &mut io::sink()).map_err(|error| unreadable(what, &error))?;
    Ok(raw.into_inner().digest())
}

fn expand(from: impl Read, what: &str, to: &Path) -> Result<(), StoreError> {
    let decoder = zstd::Decoder::new(from).map_err(|error| unreadable(what, &error))?;
    let mut archive = tar::Archive::new(decoder);
    let mut missing: Option<BTreeMap<PathBuf, u64>> = None;
    for entry in archive.entries().map_err(|error| unreadable(what, &error))? {
        let mut entry = entry.map_err(|error| unreadable(what, &error))?;
        let path = entry.path().map_err(|error| unreadable(what, &error))?.into_owned();
        let size_bytes = entry.size();
        let is_expected = match &mut missing {
            None => path == Path::new(MANIFEST_NAME),
            Some(missing) => missing.remove(&path) == Some(size_bytes) && Manifest::may_name(&path),
        };
        if !is_expected || !entry.header().entry_type().is_file() {
            return Err(unreadable(what, &io::Error::other(format!("{} is in it", path.display()))));
        }
        write_entry(&mut entry, what, &to.join(&path))?;
        if missing.is_none() {
            let manifest = Manifest::read(to)?;
            // It lies there beside the copy that is restored from it.
            check_free(to, manifest.size_bytes().saturating_mul(2))?;
            missing = Some(manifest.files.into_iter().map(|file| (file.path, file.bytes)).collect());
        }
    }
    let missing = missing.unwrap_or_else(|| [(PathBuf::from(MANIFEST_NAME), 0)].into());
    if let Some((path, _)) = missing.first_key_value() {
        return Err(unreadable(what, &io::Error::other(format!("{} is missing in it", path.display()))));
    }
    // To the end, where the checksums are.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| unreadable(what, &error))?;
    Ok(())
}

fn write_entry(entry: &mut impl Read, what: &str, to: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| cannot("write", to, &error);
    if let Some(folder) = to.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(what, &error)),
        };
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { return Ok(()) };
        file.write_all(part).map_err(failed)?;
    }
}

fn unreadable(what: &str, error: &io::Error) -> StoreError {
    StoreError::Invalid(format!(
        "{what} is damaged or no backup ({error}). Nothing was changed: restore another backup."
    ))
}

fn undecryptable(what: &str, keys: Keys<'_>, error: DecryptError) -> StoreError {
    match error {
        DecryptError::NoMatchingKeys => StoreError::Invalid(format!(
            "No key in {} opens {what}: it was encrypted to others. Nothing was changed: name the file whose public key \
             was in backup.age_recipients when the backup was made.",
            keys.0.unwrap_or(Path::new("")).display()
        )),
        DecryptError::Io(error) => unreadable(what, &error),
        error => unreadable(what, &io::Error::other(error.to_string())),
    }
}

/// Counts and hashes what is read.
struct Counted<R> {
    inner: R,
    hasher: Sha256,
    size_bytes: u64,
}

impl<R> Counted<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), size_bytes: 0 }
    }

    fn digest(self) -> Digest {
        Digest { size_bytes: self.size_bytes, sha256: hex(&self.hasher.finalize()) }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(part) = buffer.get(..read) {
            self.hasher.update(part);
            self.size_bytes = self.size_bytes.saturating_add(u64::try_from(read).unwrap_or_default());
        }
        Ok(read)
    }
}

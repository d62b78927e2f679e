//! The vault's bytes on disk: encrypting, decrypting, replacing.
//!
//! Layout: `EIDV`, one byte of version, 24 bytes of nonce, the encrypted document, SHA-256 of all before. The
//! checksum tells a damaged file from a wrong key, which the cipher alone cannot. The file must never be
//! written in place.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::VaultError;
use super::document::Document;
use super::key::Key;
use crate::clock::Entropy;

const MAGIC: &[u8; 4] = b"EIDV";
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 32;
/// Beside the vault, so that renaming it stays inside one file system.
const STAGED_EXTENSION: &str = "eider.new";

/// The file and the key to it.
pub(super) struct VaultFile {
    path: PathBuf,
    staged: PathBuf,
    key: Key,
}

impl VaultFile {
    pub(super) fn new(path: PathBuf, key: Key) -> Self {
        Self { staged: path.with_extension(STAGED_EXTENSION), path, key }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and decrypts the document.
    pub(super) fn read(&self) -> Result<Document, VaultError> {
        let bytes = fs::read(&self.path).map_err(|cause| self.io("cannot read", cause))?;
        let damaged =
            |problem: &str| VaultError::Damaged { vault: self.path.clone(), problem: problem.to_owned() };
        let (content, checksum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(|| damaged("it is cut short"))?;
        let (header, rest) =
            content.split_first_chunk::<{ MAGIC.len() + 1 }>().ok_or_else(|| damaged("it is cut short"))?;
        let [magic @ .., version] = header;
        if magic != MAGIC {
            return Err(damaged("it does not begin like a vault"));
        }
        if Sha256::digest(content).as_slice() != checksum {
            return Err(damaged("its checksum does not match: it was cut short or changed"));
        }
        if *version != VERSION {
            return Err(VaultError::TooNew { vault: self.path.clone(), version: *version });
        }
        let (nonce, encrypted) =
            rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(|| damaged("it is cut short"))?;
        let plain = self
            .cipher()
            .decrypt(XNonce::from_slice(nonce), Payload { msg: encrypted, aad: header })
            .map(Zeroizing::new)
            .map_err(|_| VaultError::WrongKey {
                vault: self.path.clone(),
                origin: self.key.origin.clone(),
            })?;
        // The parser's own message could quote a value.
        serde_json::from_slice(&plain)
            .map_err(|error| damaged(&format!("line {}, column {} inside", error.line(), error.column())))
    }

    /// Encrypts the document into a file beside the vault and makes that durable. What an earlier run left
    /// there is overwritten.
    pub(super) fn stage(&self, document: &Document) -> Result<(), VaultError> {
        let bytes = self.encrypted(document)?;
        let write = || -> std::io::Result<()> {
            let mut file =
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&self.staged)?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        write().map_err(|cause| VaultError::Io { action: "cannot write", path: self.staged.clone(), cause })
    }

    /// Puts what was staged in the vault's place.
    pub(super) fn replace(&self) -> Result<(), VaultError> {
        fs::rename(&self.staged, &self.path).map_err(|cause| self.io("cannot replace", cause))
    }

    /// Makes the replacing durable.
    pub(super) fn settle(&self) -> Result<(), VaultError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        sync_folder(folder).map_err(|cause| self.io("cannot sync the folder of", cause))
    }

    fn encrypted(&self, document: &Document) -> Result<Vec<u8>, VaultError> {
        let plain = serde_json::to_vec(document)
            .map(Zeroizing::new)
            .map_err(|_| VaultError::Crypto("the vault's content cannot be written down".to_owned()))?;
        let mut nonce = [0; NONCE_BYTES];
        Entropy::from_os().fill(&mut nonce);
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        let encrypted = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: &plain, aad: &bytes })
            .map_err(|_| VaultError::Crypto("the vault is too large to be encrypted".to_owned()))?;
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&encrypted);
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        Ok(bytes)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key.bytes).into())
    }

    fn io(&self, action: &'static str, cause: std::io::Error) -> VaultError {
        VaultError::Io { action, path: self.path.clone(), cause }
    }
}

/// Makes a rename or a new file in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

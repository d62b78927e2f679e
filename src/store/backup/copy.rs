//! Copies one file so that the copy is durable and its hash is known. A copy that does not come to its end is told as
//! an error; what it left is its caller's to remove.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::store::files::{CHUNK_BYTES, hex};

/// So much is written before it is made durable: a heap of unwritten pages would hold up commits on the same disk.
const UNWRITTEN_BYTES_MAX: u64 = 8 << 20;

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Copied {
    /// Bytes.
    pub(in crate::store) size_bytes: u64,
    /// SHA-256 as hex digits.
    pub(in crate::store) sha256: String,
}

/// Copies the first `size_bytes` of `from`, or all of it, into the new file `to`. Between two pieces it asks whether to
/// go on.
///
/// # Errors
/// What the disk says; `UnexpectedEof` where `from` is shorter; `Interrupted` where it is not to go on.
pub(in crate::store) fn copy(
    from: &Path,
    to: &Path,
    size_bytes: Option<u64>,
    mut may_go_on: impl FnMut() -> bool,
) -> io::Result<Copied> {
    let mut source = File::open(from)?.take(size_bytes.unwrap_or(u64::MAX));
    let mut target = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut copied, mut unwritten) = (0_u64, 0_u64);
    loop {
        if !may_go_on() {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let read = match source.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        target.write_all(part)?;
        hasher.update(part);
        let read = u64::try_from(read).unwrap_or_default();
        copied = copied.saturating_add(read);
        unwritten = unwritten.saturating_add(read);
        if unwritten >= UNWRITTEN_BYTES_MAX {
            target.sync_data()?;
            unwritten = 0;
        }
    }
    if size_bytes.is_some_and(|expected| copied != expected) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    target.sync_all()?;
    Ok(Copied { size_bytes: copied, sha256: hex(&hasher.finalize()) })
}

//! Pieces of an archive between a thread that may block and the calls that carry them, one waiting at a time. Neither
//! side waits for one that is gone.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::Digest;
use crate::store::files::hex;

/// Cuts what is written into pieces of one size.
pub(super) struct PieceWriter {
    to: mpsc::Sender<Bytes>,
    piece: Vec<u8>,
    piece_bytes: usize,
    hasher: Sha256,
    size_bytes: u64,
}

/// A writer of pieces of so many bytes, the last one smaller, and where they come out.
pub(super) fn from_writer(piece_bytes: usize) -> (PieceWriter, mpsc::Receiver<Bytes>) {
    let (to, pieces) = mpsc::channel(1);
    let piece = Vec::with_capacity(piece_bytes);
    (PieceWriter { to, piece, piece_bytes, hasher: Sha256::new(), size_bytes: 0 }, pieces)
}

impl PieceWriter {
    /// Hands the last piece on, and says what went through in all.
    pub(super) fn finish(mut self) -> io::Result<Digest> {
        if !self.piece.is_empty() {
            self.hand_on()?;
        }
        Ok(Digest { size_bytes: self.size_bytes, sha256: hex(&self.hasher.finalize()) })
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(self.piece_bytes));
        let size_bytes = u64::try_from(piece.len()).unwrap_or_default();
        self.hasher.update(&piece);
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
        self.to.blocking_send(piece.into()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() >= self.piece_bytes {
            self.hand_on()?;
        }
        let room = self.piece_bytes.saturating_sub(self.piece.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.piece.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads pieces as one stream.
pub(super) struct PieceReader {
    from: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

/// Where pieces go in, and a reader of them.
pub(super) fn to_reader() -> (mpsc::Sender<Bytes>, PieceReader) {
    let (pieces, from) = mpsc::channel(1);
    (pieces, PieceReader { from, piece: Bytes::new() })
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(piece) = self.from.blocking_recv() else { return Ok(0) };
            self.piece = piece;
        }
        let taken = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(buffer.get_mut(..taken).unwrap_or_default());
        Ok(taken)
    }
}

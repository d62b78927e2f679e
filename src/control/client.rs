//! The command's side of the conversation.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::{Head, LINE_BYTES_MAX, Reply, Request, place};

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nobody listens.
    Nobody,
    /// The answer, or why there is none.
    Answered(Result<Reply, String>),
}

/// Asks the process that holds the data folder `dir`.
///
/// # Errors
/// Where the conversation broke off: what was asked may have been done.
pub async fn ask(dir: &Path, request: &Request) -> io::Result<Asked> {
    let Ok(mut stream) = UnixStream::connect(place::find(dir)).await else { return Ok(Asked::Nobody) };
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    // The writing side stays open: the server takes its end for "never mind".
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    let head: Head = serde_json::from_slice(&line)?;
    if let Some(error) = head.error {
        return Ok(Asked::Answered(Err(error)));
    }
    let mut output = vec![0; head.byte_count];
    reader.read_exact(&mut output).await?;
    Ok(Asked::Answered(Ok(Reply { output, notes: head.notes, is_ok: head.is_ok })))
}

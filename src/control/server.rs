//! The appliance's side of the conversation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::{Head, LINE_BYTES_MAX, Parts, Reply, Request, place};

/// Conversations at a time; more wait at the door.
const CONVERSATION_COUNT_MAX: usize = 8;

/// A client has so long to say what it wants.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

/// A client has so long to take its answer.
const TAKE_TIME_MAX: Duration = Duration::from_secs(60);

/// Conversations that are under way at the end get so long.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(3);

/// Between two tries to accept where the system refuses (too many open files).
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Listens in the data folder `dir` until `stopped` says so. The caller holds the folder's lock, and awaits the
/// task at the end. Must be called inside a Tokio runtime.
///
/// # Errors
/// Where the socket cannot be made.
pub fn serve(parts: Parts, stopped: watch::Receiver<bool>) -> io::Result<JoinHandle<()>> {
    let dir: PathBuf = parts.store.dir().to_owned();
    let (listener, place) = place::bind(&dir, &parts.entropy)?;
    Ok(tokio::spawn(async move {
        listen(parts, listener, stopped).await;
        drop(place);
    }))
}

async fn listen(parts: Parts, listener: tokio::net::UnixListener, mut stopped: watch::Receiver<bool>) {
    let parts = Arc::new(parts);
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            () = is_over(&mut stopped) => break,
            Some(_) = conversations.join_next(), if !conversations.is_empty() => {}
            accepted = listener.accept(), if conversations.len() < CONVERSATION_COUNT_MAX => match accepted {
                Ok((stream, _)) => {
                    conversations.spawn(converse(Arc::clone(&parts), stream));
                }
                Err(error) => {
                    tracing::warn!("a command could not reach the control socket: {error}");
                    parts.clock.sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    let drained =
        tokio::time::timeout(DRAIN_TIME_MAX, async { while conversations.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!("{} commands were cut off because the program ends", conversations.len());
    }
}

/// Resolves when the appliance ends. An error means that the sender is gone, which is an end as well.
async fn is_over(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|is_stopped| *is_stopped).await);
}

async fn converse(parts: Arc<Parts>, stream: UnixStream) {
    if let Err(error) = exchange(&parts, stream).await {
        tracing::warn!("a conversation on the control socket broke off: {error}");
    }
}

async fn exchange(parts: &Parts, stream: UnixStream) -> io::Result<()> {
    // The socket's mode keeps others out already; a second look costs nothing.
    let own = rustix::process::geteuid().as_raw();
    let theirs = stream.peer_cred()?.uid();
    if theirs != own && theirs != 0 {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    let mut limited = (&mut reader).take(LINE_BYTES_MAX);
    let read = limited.read_until(b'\n', &mut line);
    tokio::time::timeout(REQUEST_TIME_MAX, read)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let answered = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => tokio::select! {
            answered = parts.answer(request) => answered,
            // Dropping the work stops its query.
            () = is_gone(&mut reader) => return Ok(()),
        },
        Err(error) => Err(format!(
            "The running appliance (version {}) does not understand this command: {error}. Use the same version.",
            env!("CARGO_PKG_VERSION")
        )),
    };
    let (head, output) = match answered {
        Ok(Reply { output, notes, is_ok }) => {
            (Head { error: None, is_ok, notes, byte_count: output.len() }, output)
        }
        Err(error) => {
            (Head { error: Some(error), is_ok: false, notes: Vec::new(), byte_count: 0 }, Vec::new())
        }
    };
    let mut message = serde_json::to_vec(&head)?;
    message.push(b'\n');
    message.extend(output);
    let written = tokio::time::timeout(TAKE_TIME_MAX, writer.write_all(&message)).await;
    written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Resolves when the client is no longer there. It says nothing after its request.
async fn is_gone(reader: &mut BufReader<OwnedReadHalf>) {
    // A byte too many, an end or a broken connection: nobody waits for the answer.
    let _ = reader.read_u8().await;
}

//! Ctrl-C and SIGTERM: the first asks the program to finish and end, the second ends it at once.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, terminal};

/// The exit code of a process that was told twice: what shells use for Ctrl-C.
const EXIT_INTERRUPTED: i32 = 130;

/// A signal so soon after the first is the same wish: `timeout` sends one to the process and one to its group.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Resolves at the first signal. From this call on, signals no longer end the process by themselves.
pub fn first_signal() -> Result<impl Future<Output = ()> + Send + 'static, CliError> {
    let listen = |kind| {
        signal(kind).map_err(|error| CliError::Failed(format!("Signals cannot be listened to: {error}.")))
    };
    let mut interrupts = listen(SignalKind::interrupt())?;
    let mut terminations = listen(SignalKind::terminate())?;
    Ok(async move {
        next(&mut interrupts, &mut terminations).await;
        terminal::say(
            "Stopping: finishing what is under way. Once more ends at once; nothing stored is lost.",
        );
        let first_at = Instant::now();
        tokio::spawn(async move {
            loop {
                next(&mut interrupts, &mut terminations).await;
                if first_at.elapsed() > SAME_WISH {
                    std::process::exit(EXIT_INTERRUPTED);
                }
            }
        });
    })
}

async fn next(interrupts: &mut Signal, terminations: &mut Signal) {
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
    }
}

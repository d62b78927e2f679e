//! `eider doctor`: what could go wrong on this machine, line by line, with what to do. It changes nothing but a file
//! that it writes and removes to see whether the folder can be written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::machine::{self, Encryption};
use super::{CliError, Place, data, terminal};
use crate::clock::{Clock as _, SystemClock, shifted};
use crate::config::{Config, Loaded, process_environment};
use crate::control::{Request, StatusReport};
use crate::http::HttpTransport;
use crate::store::backup::bucket::Bucket;
use crate::vault::{KEY_FILE_NAME, KeySource, VAULT_FILE_NAME};

/// This program is younger than that: a clock before it is wrong.
const CLOCK_MIN: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// A file written so much in the future says that the clock was set back.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(5);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug)]
struct Line {
    level: Level,
    check: &'static str,
    text: String,
}

impl Line {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, text: text.into() }
    }

    fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Warn, check, text: text.into() }
    }

    fn fail(check: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Fail, check, text: text.into() }
    }
}

/// Runs it.
pub async fn run(place: &Place) -> Result<(), CliError> {
    let loaded = place.load_quietly()?;
    let mut lines = machine_lines(&loaded);
    lines.extend(bucket(&loaded.config).await);
    lines.extend(data_lines(&loaded.config).await);
    for line in &lines {
        let level = match line.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        terminal::print_line(&format!("{level}  {}: {}", line.check, line.text))?;
    }
    if lines.iter().any(|line| line.level == Level::Fail) { Err(CliError::Said) } else { Ok(()) }
}

fn machine_lines(loaded: &Loaded) -> Vec<Line> {
    let config = &loaded.config;
    let dir = &config.data.dir;
    let mut lines = vec![writable(dir)];
    if dir.is_dir() {
        lines.push(free_space(dir, config.store.free_space_floor_mb));
        lines.extend(permissions(dir));
        lines.push(encryption(dir));
    }
    lines.push(key());
    lines.push(memory(config));
    lines.push(clock(dir));
    lines.push(time_zone(loaded));
    lines
}

fn writable(dir: &Path) -> Line {
    const CHECK: &str = "data folder";
    if !dir.exists() {
        let text = format!("{} is not there yet; `eider serve` makes it.", dir.display());
        return Line::warn(CHECK, text);
    }
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let tried = (|| -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(b"doctor")?;
        file.sync_all()?;
        fs::remove_file(&path)
    })();
    match tried {
        Ok(()) => Line::ok(CHECK, format!("{} can be written.", dir.display())),
        Err(error) => Line::fail(
            CHECK,
            format!("{} cannot be written ({error}): give it to the user that runs Eider.", dir.display()),
        ),
    }
}

fn free_space(dir: &Path, floor_mb: u64) -> Line {
    const CHECK: &str = "free space";
    let space = match rustix::fs::statvfs(dir) {
        Ok(space) => space,
        Err(error) => return Line::warn(CHECK, format!("unknown: the volume does not say ({error}).")),
    };
    let free_mb = space.f_bavail.saturating_mul(space.f_frsize) / 1_000_000;
    let text = format!("{free_mb} MB free; writing stops below {floor_mb} MB");
    match free_mb {
        free_mb if free_mb < floor_mb => Line::fail(CHECK, format!("{text}: make room.")),
        free_mb if free_mb < floor_mb.saturating_mul(3) => {
            Line::warn(CHECK, format!("{text}: make room soon."))
        }
        _ => Line::ok(CHECK, format!("{text}.")),
    }
}

/// Who else can read what is secret, or personal.
fn permissions(dir: &Path) -> Vec<Line> {
    const CHECK: &str = "permissions";
    let exposed = |path: &Path| {
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then_some(mode)
    };
    let mut lines = Vec::new();
    for name in [KEY_FILE_NAME, VAULT_FILE_NAME] {
        let path = dir.join(name);
        if let Some(mode) = exposed(&path) {
            let text = format!("{} can be read by others (mode {mode:04o}): chmod 600 it.", path.display());
            lines.push(Line::fail(CHECK, text));
        }
    }
    if let Some(mode) = exposed(dir) {
        let text = format!(
            "{} can be entered by others (mode {mode:04o}), and it holds buyers' addresses: chmod 700 it.",
            dir.display()
        );
        lines.push(Line::warn(CHECK, text));
    }
    if lines.is_empty() {
        lines.push(Line::ok(CHECK, "only this user can read the data folder."));
    }
    lines
}

fn encryption(dir: &Path) -> Line {
    const CHECK: &str = "encrypted volume";
    match machine::encryption_of(dir) {
        Encryption::Yes => Line::ok(CHECK, "yes."),
        Encryption::No(device) => Line::warn(
            CHECK,
            format!(
                "{device} is not encrypted by this system. Amazon requires buyers' data to be encrypted at rest: use \
                 an encrypted volume, unless the layer below (a cloud disk) encrypts it."
            ),
        ),
        Encryption::Unknown(why) => Line::warn(
            CHECK,
            format!(
                "unknown: {why}. Amazon requires buyers' data to be encrypted at rest: see to it outside."
            ),
        ),
    }
}

fn key() -> Line {
    const CHECK: &str = "vault key";
    match KeySource::from_environment(&process_environment()) {
        Ok(KeySource::Text(_)) => Line::ok(CHECK, "comes from EIDER_KEY."),
        Ok(KeySource::File(path)) if File::open(&path).is_ok() => {
            Line::ok(CHECK, format!("comes from {}.", path.display()))
        }
        Ok(KeySource::File(path)) => {
            Line::fail(CHECK, format!("{} cannot be read: mend EIDER_KEY_FILE.", path.display()))
        }
        Ok(KeySource::DataFolder) => Line::warn(
            CHECK,
            format!(
                "lies beside the vault ({KEY_FILE_NAME}). Keep a copy elsewhere, and better move it out with \
                 EIDER_KEY_FILE."
            ),
        ),
        Err(error) => Line::fail(CHECK, error.to_string()),
    }
}

fn memory(config: &Config) -> Line {
    const CHECK: &str = "memory";
    let text = config.store.memory_limit.as_ref().map_or("1GB", |limit| limit.as_str());
    let limit = machine::memory_limit_bytes(text);
    let (Some(limit), Some(available)) = (limit, machine::memory_bytes()) else {
        return Line::warn(CHECK, format!("the database may take {text}; what there is, is unknown."));
    };
    let whose =
        if machine::container_memory_bytes() == Some(available) { "the container" } else { "this machine" };
    let text =
        format!("the database may take {} MB of {whose}'s {} MB", limit / 1_000_000, available / 1_000_000);
    if limit > available / 4 * 3 {
        let text = format!("{text}: the process may be killed. Lower store.memory_limit or give it more.");
        return Line::warn(CHECK, text);
    }
    if limit < machine::REPORT_MEMORY_BYTES_MIN {
        return Line::warn(CHECK, format!("{text}: heavy reports want 1 GB."));
    }
    Line::ok(CHECK, format!("{text}."))
}

fn clock(dir: &Path) -> Line {
    const CHECK: &str = "clock";
    let now = SystemClock.now();
    if now < CLOCK_MIN {
        return Line::fail(CHECK, format!("it says {now}, which is past: set it, and keep it with NTP."));
    }
    let written = fs::metadata(dir.join("eider.duckdb")).and_then(|metadata| metadata.modified()).ok();
    let written = written.and_then(|at| Timestamp::try_from(at).ok());
    match written.filter(|written| *written > shifted(now, CLOCK_SLACK)) {
        Some(written) => Line::fail(
            CHECK,
            format!(
                "it says {now}, but the database was written at {written}: set it, and keep it with NTP."
            ),
        ),
        None => Line::ok(CHECK, format!("{now}.")),
    }
}

fn time_zone(loaded: &Loaded) -> Line {
    const CHECK: &str = "time zone";
    const KEY: &str = "merchant.time_zone";
    let name = loaded.config.merchant.time_zone.name();
    if loaded.source_of(KEY) == "default" {
        return Line::warn(CHECK, format!("{name}, because {KEY} is not set: reports count its days."));
    }
    Line::ok(CHECK, format!("{name}."))
}

/// Whether the bucket for backups opens to the key, where one is set.
async fn bucket(config: &Config) -> Option<Line> {
    const CHECK: &str = "backup bucket";
    let settings = match config.backup.bucket_settings() {
        Ok(settings) => settings?,
        Err(problem) => return Some(Line::fail(CHECK, problem)),
    };
    let address = settings.address.to_string();
    let is_encrypted = !settings.age_recipients.is_empty();
    let looked = async {
        let door = HttpTransport::new(config.network.http_settings()).map_err(|error| error.to_string())?;
        let bucket = Bucket::open(settings, Arc::new(door)).map_err(|error| error.to_string())?;
        bucket.backups().await.map_err(|error| error.to_string())
    };
    Some(match looked.await {
        Err(problem) => Line::fail(CHECK, problem),
        Ok(stored) if is_encrypted => {
            Line::ok(CHECK, format!("{address} opens and holds {} backups.", stored.len()))
        }
        Ok(stored) => Line::warn(
            CHECK,
            format!(
                "{address} opens and holds {} backups. New ones hold buyers' addresses in plain text: set \
                 backup.age_recipients.",
                stored.len()
            ),
        ),
    })
}

/// What only the data can tell: asked here, or of the process that holds it.
async fn data_lines(config: &Config) -> Vec<Line> {
    const CHECK: &str = "data";
    if data::check_exists(&config.data.dir).is_err() {
        return vec![Line::ok(CHECK, "none yet.")];
    }
    let answered = data::answer(config, Request::Status, data::Folder::MustExist).await;
    let report = answered.and_then(|reply| {
        serde_json::from_slice::<StatusReport>(&reply.output)
            .map_err(|error| CliError::Failed(format!("the answer cannot be read: {error}.")))
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => return vec![Line::fail(CHECK, error.to_string())],
    };
    let mut lines =
        vec![Line::ok(CHECK, format!("database and vault open; installation {}.", report.installation))];
    lines.extend(report.connections.iter().map(|connection| {
        let note = connection.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        let text = format!(
            "“{}” ({}) is {} since {}{note}",
            connection.alias, connection.channel, connection.state, connection.since
        );
        if connection.is_well { Line::ok("connection", text) } else { Line::warn("connection", text) }
    }));
    lines.extend(
        report
            .incidents
            .iter()
            .map(|incident| Line::warn("incident", format!("{} {}", incident.text, incident.next_step))),
    );
    lines
}

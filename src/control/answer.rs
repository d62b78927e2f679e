//! What each request does and says. The output is for the person or script that ran the command.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BucketAsked, Parts, Reply, Request, SETUP_LINK_LIFE, SqlFormat, table};
use crate::clock::shifted;
use crate::domain::id::UserId;
use crate::domain::user::Role;
use crate::http::HttpTransport;
use crate::secret::Secret;
use crate::store::backup::Destination;
use crate::store::backup::bucket::Bucket;
use crate::store::{StoreError, WriteLane, connections, incidents, shop_users};
use crate::vault::{Document, User, VaultError, hash_password};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// A name of a user or token has at most so many characters.
const NAME_CHARS_MAX: usize = 100;

/// A password has at least so many characters.
const PASSWORD_CHARS_MIN: usize = 10;

/// The state of connections and incidents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The installation's id.
    pub installation: String,
    /// Where people reach it.
    pub url: String,
    /// Every connection.
    pub connections: Vec<ConnectionReport>,
    /// What a person has to look at.
    pub incidents: Vec<IncidentReport>,
}

/// How a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionReport {
    /// What the merchant calls it.
    pub alias: String,
    /// The platform.
    pub channel: String,
    /// The word of its state.
    pub state: String,
    /// Whether nothing needs a person.
    pub is_well: bool,
    /// Why it is in this state.
    pub note: Option<String>,
    /// Since when.
    pub since: String,
}

/// An open incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentReport {
    /// What happened.
    pub text: String,
    /// What to do.
    pub next_step: String,
}

impl Parts {
    /// Does what `request` asks.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do.
    pub async fn answer(&self, request: Request) -> Result<Reply, String> {
        match request {
            Request::Sql { sql, format } => self.sql(sql, format).await,
            Request::UserAdd { name, role, password } => self.add_user(name, role, password).await,
            Request::UserReset { name, password } => self.reset_user(name, password).await,
            Request::UserList => Ok(self.list_users()),
            Request::TokenCreate { name, role } => self.create_token(name, role).await,
            Request::Verify => self.verify().await,
            Request::Backup { dir, bucket, keep } => self.back_up(dir, bucket, keep).await,
            Request::Status => self.status().await,
        }
        .map_err(|error| error.0)
    }

    async fn sql(&self, sql: String, format: SqlFormat) -> Result<Reply, Refusal> {
        let result = self.store.query(sql, Vec::new(), self.row_cap).await?;
        let mut output = Vec::new();
        match format {
            SqlFormat::Table => {
                let headers: Vec<&str> = result.columns.iter().map(|column| column.name.as_str()).collect();
                output = table::aligned(&headers, &result.text_rows()?).into_bytes();
            }
            SqlFormat::Csv => result.write_csv(&mut output)?,
            SqlFormat::Json => {
                result.write_json(&mut output)?;
                output.push(b'\n');
            }
            SqlFormat::Parquet => result.write_parquet(&mut output)?,
        }
        let reply = Reply { output, notes: Vec::new(), is_ok: true };
        Ok(if result.truncated {
            reply.with_note(format!(
                "There is more: these are the first {} rows. Ask for less, or raise store.row_cap.",
                result.row_count()
            ))
        } else {
            reply
        })
    }

    async fn add_user(&self, name: String, role: Role, password: Option<Secret>) -> Result<Reply, Refusal> {
        let name = checked_name("user", &name)?;
        let hash = hashed(password).await?;
        let has_password = hash.is_some();
        let (token, now) = (self.entropy.token(TOKEN_BYTES), self.clock.now());
        let (new_name, setup) = (name.clone(), token.clone());
        let added = self.change(move |document| {
            let id = document.add_user(&new_name, role, now)?;
            set_way_in(document, id, hash, &setup, now);
            Some(id)
        });
        match added.await? {
            Some(_) if has_password => Ok(Reply::text(format!("{name} may sign in as {role}.\n"))),
            Some(_) => {
                Ok(self.link_reply(&token, &format!("{name} sets a password here and signs in as {role}")))
            }
            None => Err(Refusal(format!(
                "There is a user “{name}” already. Choose another name, or run `eider user reset-password {name}`."
            ))),
        }
    }

    async fn reset_user(&self, name: String, password: Option<Secret>) -> Result<Reply, Refusal> {
        let hash = hashed(password).await?;
        let has_password = hash.is_some();
        let (token, now) = (self.entropy.token(TOKEN_BYTES), self.clock.now());
        let (wanted, setup) = (name.clone(), token.clone());
        let found = self.change(move |document| {
            let id = document.user_named(&wanted)?.id;
            document.setup_tokens.retain(|known| known.user_id != Some(id));
            set_way_in(document, id, hash, &setup, now);
            Some(id)
        });
        let Some(id) = found.await? else {
            return Err(Refusal(format!("There is no user “{name}”. `eider user list` shows who there is.")));
        };
        // Whoever has a session got it with the old password.
        let end = move |tx: &mut crate::store::Tx<'_>| shop_users::end_access_of(tx, UserId(id));
        self.store.write(WriteLane::Interactive, end).await?;
        if has_password {
            return Ok(Reply::text(format!("{name} has a new password, and is signed out everywhere.\n")));
        }
        Ok(self.link_reply(&token, &format!("{name} is signed out everywhere and sets a new password here")))
    }

    fn link_reply(&self, token: &str, what: &str) -> Reply {
        let hours = SETUP_LINK_LIFE.as_hours();
        Reply::text(format!("{}{}\n", self.base_url, (self.setup_path)(token)))
            .with_note(format!("{what}. The link works once, for {} days.", hours / 24))
    }

    fn list_users(&self) -> Reply {
        let row = |user: &User| {
            let way_in = if user.password_hash.is_some() { "password" } else { "waits for the link" };
            vec![user.name.clone(), user.role.to_string(), way_in.to_owned(), user.created_at.to_string()]
        };
        let rows: Vec<Vec<String>> = self.vault.read(|document| document.users.iter().map(row).collect());
        Reply::text(table::aligned(&["name", "role", "signs in by", "since"], &rows))
    }

    async fn create_token(&self, name: String, role: Role) -> Result<Reply, Refusal> {
        let name = checked_name("token", &name)?;
        let (token, now) = (self.entropy.token(TOKEN_BYTES), self.clock.now());
        let (kept, label) = (token.clone(), name.clone());
        let added = self.change(move |document| {
            let is_taken = document.api_tokens.iter().any(|known| known.name == label);
            (!is_taken).then(|| document.add_api_token(&kept, &label, role, now))
        });
        match added.await? {
            Some(_) => Ok(Reply::text(format!("{token}\n")).with_note(format!(
                "This token “{name}” may do what the role {role} may. It is shown only now: keep it safe."
            ))),
            None => Err(Refusal(format!(
                "There is a token “{name}” already. Choose another name, or revoke that one in the settings."
            ))),
        }
    }

    async fn verify(&self) -> Result<Reply, Refusal> {
        let report = self.store.verify().await?;
        let figures: Vec<String> =
            report.figures.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let looked = format!("{} checks on {}.", report.check_count, figures.join(", "));
        if report.findings.is_empty() {
            return Ok(Reply::text(format!("The data agrees with itself: {looked}\n")));
        }
        let lines: String =
            report.findings.iter().map(|finding| format!("{}: {}\n", finding.check, finding.text)).collect();
        let mut reply = Reply::text(lines).with_note(looked).with_note(
            "The data does not agree with itself. Nothing was changed: stop the appliance, keep a copy of the data \
             folder, and report this.",
        );
        reply.is_ok = false;
        Ok(reply)
    }

    async fn back_up(
        &self,
        dir: Option<PathBuf>,
        bucket: Option<Box<BucketAsked>>,
        keep: Option<u32>,
    ) -> Result<Reply, Refusal> {
        let bucket = match bucket {
            Some(asked) => {
                let door = HttpTransport::new(self.network.clone());
                let door = door.map_err(|error| Refusal(format!("The bucket cannot be called: {error}.")))?;
                Some(Bucket::open((*asked).into(), Arc::new(door))?)
            }
            None => None,
        };
        let backup = self.store.deliver_backup(&Destination { dir, bucket, keep }).await?;
        let orders = backup.manifest.tables.get("main.orders").copied().unwrap_or_default();
        let path = backup.path.as_ref().map(|path| format!("{}\n", path.display()));
        let address = backup.uploaded.as_ref().map(|uploaded| format!("{}\n", uploaded.address));
        let places: String = path.into_iter().chain(address).collect();
        let mut reply = Reply::text(places).with_note(format!(
            "{orders} orders, {} bytes, in {} ms; the copy opens and holds every row. It does not hold the vault's key: \
             keep that elsewhere.",
            backup.manifest.size_bytes(),
            backup.duration.as_millis()
        ));
        for removed in &backup.removed {
            reply = reply.with_note(format!("Removed {}.", removed.display()));
        }
        if let Some(uploaded) = backup.uploaded {
            reply = reply.with_note(format!("{} bytes went into the bucket.", uploaded.size_bytes));
            for removed in &uploaded.removed {
                reply = reply.with_note(format!("Removed {removed}."));
            }
            if let Some(why) = uploaded.not_removed {
                reply = reply.with_note(format!("The backup is there, and older ones stay: {why}"));
            }
        }
        Ok(reply)
    }

    async fn status(&self) -> Result<Reply, Refusal> {
        let (known, open) =
            self.store.read(|read| Ok((connections::all(read)?, incidents::open_incidents(read)?))).await?;
        let report = StatusReport {
            installation: self.store.installation().id,
            url: self.base_url.clone(),
            connections: known
                .into_iter()
                .map(|connection| ConnectionReport {
                    is_well: connection.state == crate::domain::connection::ConnectionState::Active,
                    alias: connection.alias,
                    channel: connection.channel.to_string(),
                    state: connection.state.to_string(),
                    note: connection.state_note,
                    since: connection.state_since.to_string(),
                })
                .collect(),
            incidents: open
                .into_iter()
                .map(|incident| IncidentReport {
                    text: incident.what.text,
                    next_step: incident.what.next_step,
                })
                .collect(),
        };
        let text = serde_json::to_string(&report).map_err(|error| Refusal(error.to_string()))?;
        Ok(Reply::text(format!("{text}\n")))
    }

    /// Changes the vault off the threads that answer.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Document) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let vault = Arc::clone(&self.vault);
        let changed = tokio::task::spawn_blocking(move || vault.update(change)).await;
        Ok(changed.map_err(|error| Refusal(error.to_string()))??)
    }
}

/// Why a request was not done: the sentence for the person.
struct Refusal(String);

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        Self(error.to_string())
    }
}

/// A password, or a link that sets one.
fn set_way_in(document: &mut Document, id: i64, hash: Option<String>, setup: &str, now: jiff::Timestamp) {
    if hash.is_none() {
        document.add_setup_token(setup, Some(id), now, shifted(now, SETUP_LINK_LIFE));
    }
    if let Some(user) = document.users.iter_mut().find(|user| user.id == id) {
        user.password_hash = hash;
    }
}

/// Hashes a password off the threads that answer: it takes long on purpose.
async fn hashed(password: Option<Secret>) -> Result<Option<String>, Refusal> {
    let Some(password) = password else { return Ok(None) };
    if password.expose().chars().count() < PASSWORD_CHARS_MIN {
        return Err(Refusal(format!(
            "The password is too short: it takes {PASSWORD_CHARS_MIN} characters or more."
        )));
    }
    let hashed = tokio::task::spawn_blocking(move || hash_password(&password)).await;
    Ok(Some(hashed.map_err(|error| Refusal(error.to_string()))??))
}

fn checked_name(what: &str, name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    let is_fit =
        !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(char::is_control);
    if is_fit {
        return Ok(name.to_owned());
    }
    Err(Refusal(format!(
        "“{}” is no name for a {what}: give 1 to {NAME_CHARS_MAX} characters.",
        name.escape_debug()
    )))
}

//! Builds and wires everything: store, vault, engine, web server, and ends them in order.
//!
//! Nothing is decided here. Whoever starts an [`App`] waits for [`App::run`], which ends when it is told to, or
//! when the database can no longer go on: then the process must exit and be started again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::web::Data;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use thiserror::Error;
use tokio::sync::watch;
use url::Url;

use crate::channels::{ProbeReport, pace::QuotaLine};
use crate::cli::machine;
use crate::clock::{Entropy, SharedClock};
use crate::config::{Config, process_environment};
use crate::control;
use crate::domain::customer::Address;
use crate::domain::effect::Verdict;
use crate::domain::id::{ConnectionId, EffectId, OrderNo, PayloadId, UserId};
use crate::domain::reason::ReasonCode;
use crate::http::{CallCounts, CountedTransport, HttpTransport, SharedTransport, Transport, TransportError};
use crate::notify::{Mail, MailSettings};
use crate::secret::Secret;
use crate::store::backup::bucket::Bucket;
use crate::store::{Store, StoreError, StoreOptions, backup};
use crate::sync::commands::{ConnectionUpdate, Found, NewConnectionRequest, Refused};
use crate::sync::parked::ParkedReplay;
use crate::sync::shop_app::{AppInstalled, AppVisit, ShopAppView};
use crate::sync::spool::Spool;
use crate::sync::{AppGrant, AppMessage, ConsentAnswer, ConsentRequest, ConsentStart};
use crate::sync::{Engine, EngineParts, EngineSettings, Hooks, Pushed};
use crate::vault::{KeySource, Vault, VaultError};
use crate::web::auth::{Network, Passes, SignInLimit, SignInLinks};
use crate::web::engine as asked;
use crate::web::{self, AppState, WebError};

/// What an appliance is started with.
pub struct AppSetup {
    /// Settings.
    pub config: Config,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: Arc<Entropy>,
    /// The engine's own settings.
    pub engine: EngineSettings,
}

/// Why an appliance did not start or could not go on.
#[derive(Debug, Error)]
pub enum AppError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What platforms pushed.
    #[error(
        "what platforms pushed cannot be read from pushed.jsonl in the data folder: {0}. Mend or remove the file: polls bring everything all the same"
    )]
    Spool(std::io::Error),
    /// The HTTP door.
    #[error("calls to the outside cannot be made: {0}")]
    Transport(#[from] TransportError),
    /// The settings of backups.
    #[error("{0}")]
    Backup(String),
    /// The settings of mail.
    #[error("{0}")]
    Mail(String),
    /// The address is taken or not ours.
    #[error(
        "cannot listen on {address}: {source}. Choose another address with --listen, or stop what uses it"
    )]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server broke off.
    #[error("the web server broke off: {0}")]
    Server(std::io::Error),
    /// The control socket.
    #[error(
        "the control socket in {dir} cannot be made: {source}. Commands beside the running program need it: the folder has to \
         be the user's who runs it"
    )]
    Control {
        /// The data folder.
        dir: String,
        /// Why.
        source: std::io::Error,
    },
    /// The setup link.
    #[error("the setup link cannot be made: {0}")]
    Setup(WebError),
    /// The database has to be opened anew.
    #[error(
        "the database stopped and must be opened anew: {0}. Nothing acknowledged is lost; start the program again"
    )]
    Fatal(String),
}

/// A started appliance.
pub struct App {
    store: Store,
    vault: Arc<Vault>,
    engine: Engine,
    state: Data<AppState>,
    server: actix_web::dev::Server,
    hooks_server: Option<actix_web::dev::Server>,
    stop: watch::Sender<bool>,
    control: tokio::task::JoinHandle<()>,
    backups: Option<tokio::task::JoinHandle<()>>,
    mail: Option<(Mail, jiff::tz::TimeZone)>,
    url: String,
}

impl App {
    /// Opens the data folder, starts the engine and binds the listener. Nothing is served before [`App::run`].
    ///
    /// # Errors
    /// What could not be opened or bound, and what to do.
    pub async fn start(setup: AppSetup) -> Result<Self, AppError> {
        let AppSetup { config, clock, entropy, engine } = setup;
        let address = config.server.listen;
        let listener = TcpListener::bind(address).map_err(|source| AppError::Listen { address, source })?;
        let bound = listener.local_addr().map_err(|source| AppError::Listen { address, source })?;
        let calls = CallCounts::default();
        let door = Arc::new(HttpTransport::new(config.network.http_settings())?);
        let transport: Arc<dyn Transport> = Arc::new(CountedTransport::new(door, calls.clone()));
        let schedule = schedule(&config, &transport)?;
        let store = open_store(&config, &clock, &entropy)?;
        let vault =
            Arc::new(Vault::open(&config.data.dir, &KeySource::from_environment(&process_environment())?)?);
        let spool = Spool::open(&config.data.dir).map_err(AppError::Spool)?;
        let public_url = config.public_url.as_ref().map(|url| url.as_url().clone());
        let mail = mail(&config)?.map(|mail| (mail, config.merchant.time_zone.zone().clone()));
        store.set_report_key(vault.read(|document| document.report_key));
        let engine = Engine::start(EngineParts {
            store: store.clone(),
            vault: Arc::clone(&vault),
            transport,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            settings: engine,
            hooks: Hooks::new(spool, public_url.clone()),
        })
        .await?;
        // A listener on every address, as in a container, is reached by none that is called "every".
        let local = format!("http://{}/", machine::reachable(bound));
        let url = config.public_url.as_ref().map_or(local, |url| url.as_url().to_string());
        let parts = control::Parts {
            store: store.clone(),
            vault: Arc::clone(&vault),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            base_url: url.clone(),
            setup_path: web::setup_path,
            row_cap: row_cap(&config),
            network: config.network.http_settings(),
        };
        let state = Data::new(AppState {
            store: store.clone(),
            engine: Arc::new(engine.clone()),
            vault: Arc::clone(&vault),
            clock,
            entropy,
            calls,
            zone: config.merchant.time_zone.zone().clone(),
            network: Network { public_url, trusted_proxies: config.server.trusted_proxies.clone() },
            links: SignInLinks::default(),
            passes: Passes::default(),
            consents: web::Consents::default(),
            sign_in_limit: SignInLimit::default(),
        });
        let server = web::serve(listener, state.clone()).map_err(AppError::Server)?;
        let hooks_server = match config.server.hooks_listen {
            None => None,
            Some(address) => {
                let listener =
                    TcpListener::bind(address).map_err(|source| AppError::Listen { address, source })?;
                Some(web::serve_hooks(listener, state.clone()).map_err(AppError::Server)?)
            }
        };
        let (stop, stopped) = watch::channel(false);
        let no_socket = |source| AppError::Control { dir: config.data.dir.display().to_string(), source };
        let control = control::serve(parts, stopped.clone()).map_err(no_socket)?;
        let backups = schedule
            .map(|schedule| backup::run_schedule(store.clone(), Arc::clone(&state.clock), schedule, stopped))
            .map(tokio::spawn);
        Ok(Self { store, vault, engine, state, server, hooks_server, stop, control, backups, mail, url })
    }

    /// Where people reach it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A link that signs a user in, once.
    #[must_use]
    pub fn login_link(&self, user: UserId) -> String {
        self.absolute(web::sign_in_link(&self.state, user))
    }

    /// The link by which the first owner comes in; none once there is one.
    ///
    /// # Errors
    /// Where the vault cannot be written.
    pub fn setup_link(&self) -> Result<Option<String>, AppError> {
        let link = web::setup_link(&self.state).map_err(AppError::Setup)?;
        Ok(link.map(|link| self.absolute(link)))
    }

    fn absolute(&self, link: String) -> String {
        match link.strip_prefix('/') {
            Some(path) => format!("{}{path}", self.url),
            None => link,
        }
    }

    /// Serves and syncs until `until` ends, then lets what is under way end, checkpoints and closes.
    ///
    /// # Errors
    /// Where the database or the server could not go on.
    pub async fn run(self, until: impl Future<Output = ()>) -> Result<(), AppError> {
        let Self { store, engine, server, hooks_server, stop, control, backups, mail, .. } = self;
        let handle = server.handle();
        let hooks_handle = hooks_server.as_ref().map(actix_web::dev::Server::handle);
        let server = tokio::spawn(server);
        let hooks_server = hooks_server.map(tokio::spawn);
        let worker = tokio::spawn({
            let (engine, stopped) = (engine.clone(), stop.subscribe());
            async move { engine.run(stopped).await }
        });
        let mail = mail.map(|(mail, zone)| {
            let (engine, stopped) = (engine.clone(), stop.subscribe());
            tokio::spawn(async move { engine.run_notices(&mail, &zone, stopped).await })
        });
        let ended = tokio::select! {
            () = until => Ok(()),
            cause = store.fatal() => Err(AppError::Fatal(cause)),
        };
        // Nobody listens any more only where all of them have ended already.
        let _ = stop.send(true);
        handle.stop(ended.is_ok()).await;
        if let Some(handle) = hooks_handle {
            handle.stop(ended.is_ok()).await;
        }
        let served = server.await;
        if let Some(Ok(Err(error))) = match hooks_server {
            Some(server) => Some(server.await),
            None => None,
        } {
            tracing::error!("the listener for hooks broke off: {error}");
        }
        for task in [worker.await, control.await, outcome_of(backups).await, outcome_of(mail).await] {
            if let Err(error) = task {
                tracing::error!("a task broke off: {error}");
            }
        }
        ended?;
        if let Ok(Err(error)) = served {
            return Err(AppError::Server(error));
        }
        store.close().await;
        Ok(())
    }
}

/// Opens the data folder's store as the settings say.
///
/// # Errors
/// What the store says.
pub fn open_store(config: &Config, clock: &SharedClock, entropy: &Arc<Entropy>) -> Result<Store, StoreError> {
    Store::open(store_options(config, clock, entropy))
}

/// The store's options from the settings.
#[must_use]
pub fn store_options(config: &Config, clock: &SharedClock, entropy: &Arc<Entropy>) -> StoreOptions {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let threads = usize::try_from(config.store.threads).ok().filter(|count| *count > 0).unwrap_or(cores);
    StoreOptions {
        dir: config.data.dir.clone(),
        memory_limit: config
            .store
            .memory_limit
            .as_ref()
            .map_or_else(|| "1GB".to_owned(), |limit| limit.as_str().to_owned()),
        threads,
        reader_count: usize::try_from(config.store.reader_count.get()).unwrap_or(4),
        query_timeout: config.store.query_timeout(),
        row_cap: row_cap(config),
        free_space_floor_bytes: config.store.free_space_floor_mb.saturating_mul(1_000_000),
        zone: config.merchant.time_zone.zone().clone(),
        clock: Arc::clone(clock),
        entropy: Arc::clone(entropy),
    }
}

/// What became of a task that may never have begun.
async fn outcome_of(task: Option<tokio::task::JoinHandle<()>>) -> Result<(), tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => Ok(()),
    }
}

/// How people are told what needs them, where the settings name a mail server.
fn mail(config: &Config) -> Result<Option<Mail>, AppError> {
    let Some(server) = config.mail.server.clone().filter(|server| !server.is_empty()) else {
        return Ok(None);
    };
    let from = config.mail.from.clone();
    let from =
        from.ok_or_else(|| AppError::Mail("mail.from is not set: who writes the mails?".to_owned()))?;
    let pages = config.public_url.as_ref().map(|url| url.as_url().to_string()).unwrap_or_default();
    let settings = MailSettings { server, from, to: config.mail.to.clone(), pages };
    Mail::new(&settings).map(Some).map_err(|error| AppError::Mail(error.to_string()))
}

/// When backups are made, where the settings name a folder or a bucket.
fn schedule(config: &Config, transport: &SharedTransport) -> Result<Option<backup::Schedule>, AppError> {
    let settings = &config.backup;
    let bucket = settings.bucket_settings().map_err(AppError::Backup)?;
    let bucket = bucket.map(|bucket| Bucket::open(bucket, Arc::clone(transport))).transpose()?;
    if settings.dir.is_none() && bucket.is_none() {
        return Ok(None);
    }
    let keep = Some(settings.keep.get());
    let to = backup::Destination { dir: settings.dir.clone(), bucket, keep };
    Ok(Some(backup::Schedule { to, every: settings.every.duration() }))
}

fn row_cap(config: &Config) -> usize {
    usize::try_from(config.store.row_cap.get()).unwrap_or(usize::MAX)
}

fn report(report: ProbeReport) -> asked::TestReport {
    let lines = report.lines.into_iter();
    asked::TestReport {
        account: report.account,
        lines: lines
            .map(|line| asked::TestLine { check: line.check, is_ok: line.is_ok, detail: line.detail })
            .collect(),
        raw: report.raw,
    }
}

fn quota(line: QuotaLine) -> asked::QuotaText {
    let left = match (line.left, line.limit) {
        (Some(left), Some(limit)) => format!("{left} of {limit} left"),
        (Some(left), None) => format!("{left} left"),
        (None, _) => "not known yet".to_owned(),
    };
    let wait = if line.wait_s > 0 { format!(", next call in {} s", line.wait_s) } else { String::new() };
    asked::QuotaText { operation: line.operation, left: format!("{left}{wait}") }
}

#[async_trait]
impl asked::Engine for Engine {
    async fn sync_now(&self, connection: ConnectionId) -> Result<(), String> {
        Self::sync_now(self, connection)
    }

    async fn test_connection(&self, request: NewConnectionRequest) -> asked::TestReport {
        report(self.test_new(&request).await)
    }

    async fn test_existing(&self, connection: ConnectionId) -> Result<asked::TestReport, String> {
        Self::test_existing(self, connection).await.map(report)
    }

    async fn add_connection(
        &self,
        request: NewConnectionRequest,
        actor: &str,
    ) -> Result<ConnectionId, Refused> {
        Self::add_connection(self, request, actor).await
    }

    async fn change_connection(
        &self,
        connection: ConnectionId,
        update: ConnectionUpdate,
        actor: &str,
    ) -> Result<(), Refused> {
        Self::change_connection(self, connection, update, actor).await
    }

    async fn pause(&self, connection: ConnectionId, actor: &str) -> Result<(), String> {
        Self::pause(self, connection, actor).await
    }

    async fn resume(&self, connection: ConnectionId, actor: &str) -> Result<(), String> {
        Self::resume(self, connection, actor).await
    }

    async fn export(&self, order: OrderNo, actor: &str) -> Result<String, String> {
        Self::export(self, order, actor).await
    }

    async fn enter_address(&self, order: OrderNo, address: Address, actor: &str) -> Result<String, String> {
        Self::enter_address(self, order, address, actor).await
    }

    async fn told_by_hand(&self, order: OrderNo, parcel: i64, actor: &str) -> Result<String, String> {
        Self::told_by_hand(self, order, parcel, actor).await
    }

    async fn retry(&self, order: OrderNo, actor: &str) -> Result<String, String> {
        Self::retry(self, order, actor).await
    }

    async fn settle_by_hand(
        &self,
        order: OrderNo,
        effect: EffectId,
        verdict: Verdict,
        actor: &str,
    ) -> Result<String, String> {
        Self::settle_by_hand(self, order, effect, verdict, actor).await
    }

    async fn retry_reason(&self, reason: ReasonCode, actor: &str) -> Result<usize, String> {
        Self::retry_reason(self, reason, actor).await
    }

    async fn find_order(&self, connection: Option<ConnectionId>, external_id: &str, actor: &str) -> Found {
        Self::find_order(self, connection, external_id, actor).await
    }

    async fn reconcile(
        &self,
        connection: ConnectionId,
        from: Date,
        to: Date,
        actor: &str,
    ) -> Result<String, String> {
        Self::reconcile(self, connection, from, to, actor).await
    }

    async fn replay_from(
        &self,
        connection: ConnectionId,
        from: Timestamp,
        actor: &str,
    ) -> Result<String, String> {
        Self::replay_from(self, connection, from, actor).await
    }

    async fn replay_parked_one(&self, payload: PayloadId, actor: &str) -> Result<ParkedReplay, String> {
        Self::replay_parked_one(self, payload, actor).await
    }

    async fn replay_parked_all(&self, connection: ConnectionId, actor: &str) -> Result<ParkedReplay, String> {
        Self::replay_parked_all(self, connection, actor).await
    }

    fn start_consent(
        &self,
        request: &NewConnectionRequest,
        wish: &ConsentRequest,
    ) -> Result<ConsentStart, String> {
        Self::start_consent(self, request, wish)
    }

    async fn finish_consent(
        &self,
        request: &NewConnectionRequest,
        answer: ConsentAnswer,
    ) -> Result<BTreeMap<String, Secret>, String> {
        Self::finish_consent(self, request, answer).await
    }

    fn held_credentials(&self, connection: ConnectionId) -> BTreeSet<String> {
        Self::held_credentials(self, connection)
    }

    fn request_of(
        &self,
        connection: ConnectionId,
        entered: BTreeMap<String, Secret>,
    ) -> Option<NewConnectionRequest> {
        Self::request_of(self, connection, entered)
    }

    fn shop_app(&self) -> Option<ShopAppView> {
        Self::shop_app(self)
    }

    fn set_shop_app(
        &self,
        client_id: &str,
        client_secret: Option<Secret>,
        base_url: Option<Url>,
    ) -> Result<(), Refused> {
        Self::set_shop_app(self, client_id, client_secret, base_url)
    }

    fn remove_shop_app(&self) -> Result<(), String> {
        Self::remove_shop_app(self)
    }

    async fn install_shop_app(&self, grant: AppGrant) -> Result<AppInstalled, String> {
        Self::install_shop_app(self, grant).await
    }

    fn read_app_message(&self, signed: &str) -> Option<AppVisit> {
        Self::read_app_message(self, signed)
    }

    fn shop_app_opened(&self, message: &AppMessage) -> Result<(), String> {
        Self::shop_app_opened(self, message)
    }

    async fn shop_app_uninstalled(&self, message: &AppMessage) -> Result<(), String> {
        Self::shop_app_uninstalled(self, message).await
    }

    async fn pushed(&self, token: &str, headers: BTreeMap<String, String>, body: Bytes) -> Pushed {
        Self::pushed(self, token, &headers, body).await
    }

    fn push_challenge(&self, token: &str, query: &str) -> Option<(&'static str, String)> {
        Self::push_challenge(self, token, query)
    }

    fn hook(&self, connection: ConnectionId) -> Option<asked::HookText> {
        let status = self.push_status(connection);
        let is_offered = self.webhooks_offered(connection);
        is_offered.then(|| asked::HookText {
            path: self.hook_path(connection).unwrap_or_default(),
            endpoint: self.hook_endpoint(connection),
            verification_token: self.hook_verification_token(connection),
            status,
        })
    }

    fn connection_status(&self, connection: ConnectionId) -> asked::ConnectionStatus {
        let status = self.live_status(connection);
        let progress = status.is_importing.then_some(asked::ImportProgress {
            done: status.imported,
            estimate: status.remaining.map(|remaining| status.imported.saturating_add(remaining)),
        });
        asked::ConnectionStatus {
            lag: self.lag(connection),
            next_run_at: status.next_run_at,
            quota: status.quota.into_iter().map(quota).collect(),
            progress,
            last_success_at: status.last_success_at,
            last_error: status.last_error,
        }
    }
}

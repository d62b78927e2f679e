//! What the pages and the API ask of the running engine: one trait, implemented by the application.
//!
//! Everything here is a wish or a question in the words of the trade. It must never name a channel's wire
//! format, never touch the store, and never give a credential back.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use url::Url;

use crate::domain::customer::Address;
use crate::domain::effect::Verdict;
use crate::domain::id::{ConnectionId, EffectId, OrderNo, PayloadId};
use crate::domain::reason::ReasonCode;
use crate::secret::Secret;
pub use crate::sync::commands::{ConnectionUpdate, Found, NewConnectionRequest, Refused};
pub use crate::sync::parked::ParkedReplay;
pub use crate::sync::shop_app::{AppInstalled, AppVisit, ShopAppView};
pub use crate::sync::{AppGrant, AppMessage, ConsentAnswer, ConsentRequest, ConsentStart, ShopPerson};
pub use crate::sync::{PushStatus, Pushed};

/// One line of a connection's test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TestLine {
    /// What was tried.
    pub check: String,
    /// Whether it works.
    pub is_ok: bool,
    /// What the platform said, or what is missing and what to do.
    pub detail: String,
}

/// What a connection's test found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TestReport {
    /// The platform's id of the account, if it could be read.
    pub account: Option<String>,
    /// Line by line.
    pub lines: Vec<TestLine>,
    /// The raw answer, redacted.
    pub raw: String,
}

impl TestReport {
    /// True where everything that orders need works.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.lines.iter().all(|line| line.is_ok)
    }
}

/// How much of a connection's history is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ImportProgress {
    /// Orders imported so far.
    pub done: u64,
    /// Orders in all, as far as the platform says.
    pub estimate: Option<u64>,
}

/// What is left of one quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct QuotaText {
    /// The operation.
    pub operation: String,
    /// What is left of it, in words.
    pub left: String,
}

/// Where a connection's platform pushes to, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookText {
    /// The path of the address.
    pub path: String,
    /// The whole address, where `public_url` is set.
    pub endpoint: Option<String>,
    /// What is entered beside it at a platform that asks for proof.
    pub verification_token: Option<Secret>,
    /// What came of its messages since the start.
    pub status: PushStatus,
}

/// How a connection is doing at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// How far behind the platform we are.
    pub lag: Option<SignedDuration>,
    /// When its orders are read next.
    pub next_run_at: Option<Timestamp>,
    /// What is left of the platform's quotas.
    pub quota: Vec<QuotaText>,
    /// The import of history, while it runs.
    pub progress: Option<ImportProgress>,
    /// When the platform last answered well.
    pub last_success_at: Option<Timestamp>,
    /// What went wrong last, if it was the last thing that happened.
    pub last_error: Option<String>,
}

/// The engine, as the pages see it. Every method is safe to call twice.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Reads the connection's orders now instead of at the next run.
    async fn sync_now(&self, connection: ConnectionId) -> Result<(), String>;
    /// Tests credentials that are not saved yet: ten seconds at most, never an error.
    async fn test_connection(&self, draft: NewConnectionRequest) -> TestReport;
    /// Tests a connection that exists.
    async fn test_existing(&self, connection: ConnectionId) -> Result<TestReport, String>;
    /// Adds a connection and starts it.
    async fn add_connection(&self, draft: NewConnectionRequest, actor: &str)
    -> Result<ConnectionId, Refused>;
    /// Changes a connection; new credentials take it out of *needs re-authorisation*.
    async fn change_connection(
        &self,
        connection: ConnectionId,
        change: ConnectionUpdate,
        actor: &str,
    ) -> Result<(), Refused>;
    /// Stops all calls of a connection.
    async fn pause(&self, connection: ConnectionId, actor: &str) -> Result<(), String>;
    /// Lets a paused connection go on.
    async fn resume(&self, connection: ConnectionId, actor: &str) -> Result<(), String>;
    /// Sends the order to the shop although it would not go by itself. Says what happens next, or why not.
    async fn export(&self, order: OrderNo, actor: &str) -> Result<String, String>;
    /// Keeps a delivery address that a person entered, and lets the order go on. Says what happens next, or why not.
    async fn enter_address(&self, order: OrderNo, address: Address, actor: &str) -> Result<String, String>;
    /// The marketplace was told of a parcel by hand. Says so, or why that cannot be.
    async fn told_by_hand(&self, order: OrderNo, parcel: i64, actor: &str) -> Result<String, String>;
    /// Tries now what the order waits for. Says what happens next, or why not.
    async fn retry(&self, order: OrderNo, actor: &str) -> Result<String, String>;
    /// Takes what a person says of a held cancellation or refund. Says what happens next, or why not.
    async fn settle_by_hand(
        &self,
        order: OrderNo,
        effect: EffectId,
        verdict: Verdict,
        actor: &str,
    ) -> Result<String, String>;
    /// Retries every order that waits for this reason; says how many.
    async fn retry_reason(&self, reason: ReasonCode, actor: &str) -> Result<usize, String>;
    /// Fetches one order from its platform now and says why it is or is not here.
    async fn find_order(&self, connection: Option<ConnectionId>, external_id: &str, actor: &str) -> Found;
    /// Compares days with what the platform says of them. Says what happens next, or why not.
    async fn reconcile(
        &self,
        connection: ConnectionId,
        from: Date,
        to: Date,
        actor: &str,
    ) -> Result<String, String>;
    /// Reads again what the platform changed since a time. Says what happens next, or why not.
    async fn replay_from(
        &self,
        connection: ConnectionId,
        from: Timestamp,
        actor: &str,
    ) -> Result<String, String>;
    /// Reads one parked payload again, with the others of its order.
    async fn replay_parked_one(&self, payload: PayloadId, actor: &str) -> Result<ParkedReplay, String>;
    /// Reads every parked payload of a connection again.
    async fn replay_parked_all(&self, connection: ConnectionId, actor: &str) -> Result<ParkedReplay, String>;
    /// Where the merchant says yes to a connection. Makes no call.
    fn start_consent(
        &self,
        request: &NewConnectionRequest,
        wish: &ConsentRequest,
    ) -> Result<ConsentStart, String>;

    /// Exchanges what came back for credentials, and gives all of the connection's.
    async fn finish_consent(
        &self,
        request: &NewConnectionRequest,
        answer: ConsentAnswer,
    ) -> Result<BTreeMap<String, Secret>, String>;

    /// The names of the credentials that a connection has.
    fn held_credentials(&self, connection: ConnectionId) -> BTreeSet<String>;

    /// A connection as it would be added anew, with what was entered over what is held.
    fn request_of(
        &self,
        connection: ConnectionId,
        entered: BTreeMap<String, Secret>,
    ) -> Option<NewConnectionRequest>;

    /// The merchant's own app in the shop's control panel, where there is one.
    fn shop_app(&self) -> Option<ShopAppView>;

    /// Keeps the app; without a secret the one that is held stays.
    fn set_shop_app(
        &self,
        client_id: &str,
        client_secret: Option<Secret>,
        base_url: Option<Url>,
    ) -> Result<(), Refused>;

    /// Forgets the app. Connections stay.
    fn remove_shop_app(&self) -> Result<(), String>;

    /// A store installs the app: its connection is made, or gets new credentials and keeps its settings.
    async fn install_shop_app(&self, grant: AppGrant) -> Result<AppInstalled, String>;

    /// What a signed message of the app's platform says; none where it is not the platform's own.
    fn read_app_message(&self, signed: &str) -> Option<AppVisit>;

    /// Somebody opens the app in a store that is connected here: its control panel may show our pages.
    fn shop_app_opened(&self, message: &AppMessage) -> Result<(), String>;

    /// A message says that a store has removed the app: where its token is dead, its connection waits for a new
    /// installation.
    async fn shop_app_uninstalled(&self, message: &AppMessage) -> Result<(), String>;

    /// Keeps what a platform pushed to the address that ends in `token`; nothing of it is read yet.
    async fn pushed(&self, token: &str, headers: BTreeMap<String, String>, body: Bytes) -> Pushed;

    /// Answers a platform that asks whether an address is ours: a content type and a body.
    fn push_challenge(&self, token: &str, query: &str) -> Option<(&'static str, String)>;

    /// Where a connection's platform pushes to; none where it pushes nothing.
    fn hook(&self, connection: ConnectionId) -> Option<HookText>;

    /// How the connection is doing.
    fn connection_status(&self, connection: ConnectionId) -> ConnectionStatus;
}

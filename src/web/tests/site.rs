//! A site on a scratch folder, with orders that a test names.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::cookie::Cookie;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{App, test, web};
use async_trait::async_trait;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use scraper::{Html, Selector};
use tempfile::TempDir;

use crate::clock::{Entropy, ManualClock};
use crate::domain::connection::{Connection, ConnectionSettings};
use crate::domain::customer::{Address, Buyer, People};
use crate::domain::effect::Verdict;
use crate::domain::id::{ChannelName, ConnectionId, EffectId, OrderNo, PayloadId, UserId};
use crate::domain::money::Currency;
use crate::domain::order::{Amount, AmountKind, FulfilledBy, LineFacts, OrderFacts, OrderStatus, Origin};
use crate::domain::reason::ReasonCode;
use crate::domain::user::Role;
use crate::secret::Secret;
use crate::store::connections::{self, NewConnection};
use crate::store::orders::{self, ImportBatch, ImportItem};
use crate::store::{Store, StoreOptions, WriteLane};
use crate::vault::{KeySource, Vault, hash_password};
use crate::web::auth::{Network, Passes, SignInLimit, SignInLinks};
use crate::web::engine::*;
use crate::web::{AppState, configure, sign_in_link};

/// What the engine was asked for.
#[derive(Default)]
pub struct Recorder {
    pub calls: Mutex<Vec<String>>,
    pub requests: Mutex<Vec<NewConnectionRequest>>,
    pub updates: Mutex<Vec<ConnectionUpdate>>,
    /// Why the next change of a connection is refused, where it is.
    pub refusal: Mutex<Option<String>>,
    /// The engine behind what is about the app of a shop's control panel, where a test has one.
    pub real: std::sync::OnceLock<crate::sync::Engine>,
}

impl Recorder {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

#[async_trait]
impl Engine for Recorder {
    async fn sync_now(&self, connection: ConnectionId) -> Result<(), String> {
        self.note(format!("sync {connection}"));
        Ok(())
    }
    async fn test_connection(&self, draft: NewConnectionRequest) -> TestReport {
        self.note(format!("test {}", draft.channel));
        TestReport {
            account: Some("A1".to_owned()),
            lines: vec![
                TestLine { check: "Sign in".to_owned(), is_ok: true, detail: "accepted".to_owned() },
                TestLine { check: "Orders".to_owned(), is_ok: false, detail: "add the role".to_owned() },
            ],
            raw: "{}".to_owned(),
        }
    }
    async fn test_existing(&self, _: ConnectionId) -> Result<TestReport, String> {
        Ok(TestReport::default())
    }
    async fn add_connection(
        &self,
        draft: NewConnectionRequest,
        actor: &str,
    ) -> Result<ConnectionId, Refused> {
        self.note(format!("add {} {} by {actor}", draft.channel, draft.alias));
        self.requests.lock().unwrap().push(draft);
        Ok(ConnectionId(1))
    }
    async fn change_connection(
        &self,
        connection: ConnectionId,
        change: ConnectionUpdate,
        actor: &str,
    ) -> Result<(), Refused> {
        if let Some(message) = self.refusal.lock().unwrap().take() {
            return Err(Refused { field: None, message });
        }
        self.note(format!("change {connection} to {:?} by {actor}", change.alias));
        self.updates.lock().unwrap().push(change);
        Ok(())
    }
    async fn pause(&self, connection: ConnectionId, actor: &str) -> Result<(), String> {
        self.note(format!("pause {connection} by {actor}"));
        Ok(())
    }
    async fn resume(&self, connection: ConnectionId, actor: &str) -> Result<(), String> {
        self.note(format!("resume {connection} by {actor}"));
        Ok(())
    }
    async fn export(&self, order: OrderNo, actor: &str) -> Result<String, String> {
        self.note(format!("export {order} by {actor}"));
        Ok("It goes into the shop now.".to_owned())
    }
    async fn enter_address(&self, order: OrderNo, address: Address, actor: &str) -> Result<String, String> {
        let street = Some(address.street.join(";"));
        let line = [address.name, street, address.city, address.region, address.postal_code]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        self.note(format!("address of {order} by {actor}: {}", line.join("|")));
        Ok("The order goes on.".to_owned())
    }
    async fn told_by_hand(&self, order: OrderNo, parcel: i64, actor: &str) -> Result<String, String> {
        self.note(format!("parcel {parcel} of {order} told by {actor}"));
        Ok("Noted.".to_owned())
    }
    async fn retry(&self, order: OrderNo, actor: &str) -> Result<String, String> {
        self.note(format!("retry {order} by {actor}"));
        Err("Nothing waits.".to_owned())
    }
    async fn settle_by_hand(
        &self,
        order: OrderNo,
        effect: EffectId,
        verdict: Verdict,
        actor: &str,
    ) -> Result<String, String> {
        self.note(format!("effect {effect} of {order}: {verdict} by {actor}"));
        Ok("It is settled.".to_owned())
    }
    async fn retry_reason(&self, reason: ReasonCode, _: &str) -> Result<usize, String> {
        self.note(format!("retry {reason}"));
        Ok(3)
    }
    async fn find_order(&self, _: Option<ConnectionId>, external_id: &str, _: &str) -> Found {
        Found {
            order_no: None,
            explanation: format!("{external_id} is unpaid."),
            next_step: "Wait.".to_owned(),
        }
    }
    async fn reconcile(
        &self,
        connection: ConnectionId,
        from: Date,
        to: Date,
        actor: &str,
    ) -> Result<String, String> {
        self.note(format!("reconcile {connection} {from} to {to} by {actor}"));
        Ok("The days are compared.".to_owned())
    }
    async fn replay_from(
        &self,
        connection: ConnectionId,
        from: Timestamp,
        actor: &str,
    ) -> Result<String, String> {
        self.note(format!("replay {connection} from {from} by {actor}"));
        Ok("It is read again.".to_owned())
    }
    async fn replay_parked_one(&self, payload: PayloadId, actor: &str) -> Result<ParkedReplay, String> {
        self.note(format!("replay payload {payload} by {actor}"));
        Ok(ParkedReplay { read: 0, still_parked: 1 })
    }
    async fn replay_parked_all(&self, connection: ConnectionId, actor: &str) -> Result<ParkedReplay, String> {
        self.note(format!("replay parked of {connection} by {actor}"));
        Ok(ParkedReplay { read: 2, still_parked: 1 })
    }
    fn start_consent(
        &self,
        draft: &NewConnectionRequest,
        wish: &ConsentRequest,
    ) -> Result<ConsentStart, String> {
        self.note(format!("consent to {} back to {}", draft.channel, wish.redirect_uri));
        let url = format!("https://platform.test/yes?state={}", wish.state).parse().unwrap();
        Ok(ConsentStart { url, verifier: Some(Secret::new("verifier")) })
    }
    async fn finish_consent(
        &self,
        draft: &NewConnectionRequest,
        answer: ConsentAnswer,
    ) -> Result<std::collections::BTreeMap<String, Secret>, String> {
        if answer.code.expose() != "good" || answer.verifier.unwrap().expose() != "verifier" {
            return Err("The platform does not know this code.".to_owned());
        }
        let mut credentials = draft.credentials.clone();
        credentials.insert("refresh_token".to_owned(), Secret::new("fresh"));
        Ok(credentials)
    }
    fn held_credentials(&self, _: ConnectionId) -> std::collections::BTreeSet<String> {
        ["seller_id", "queue_url"].map(str::to_owned).into()
    }
    fn request_of(
        &self,
        _: ConnectionId,
        credentials: std::collections::BTreeMap<String, Secret>,
    ) -> Option<NewConnectionRequest> {
        let (channel, settings) = (ChannelName::from("amazon"), ConnectionSettings::default());
        let alias = "Amazon US".to_owned();
        Some(NewConnectionRequest { channel, alias, base_url: None, credentials, settings })
    }
    fn shop_app(&self) -> Option<ShopAppView> {
        self.real.get()?.shop_app()
    }
    fn set_shop_app(
        &self,
        client_id: &str,
        client_secret: Option<Secret>,
        base_url: Option<url::Url>,
    ) -> Result<(), Refused> {
        self.real.get().unwrap().set_shop_app(client_id, client_secret, base_url)
    }
    fn remove_shop_app(&self) -> Result<(), String> {
        self.real.get().unwrap().remove_shop_app()
    }
    async fn install_shop_app(&self, grant: AppGrant) -> Result<AppInstalled, String> {
        self.real.get().unwrap().install_shop_app(grant).await
    }
    fn read_app_message(&self, signed: &str) -> Option<AppVisit> {
        self.real.get()?.read_app_message(signed)
    }
    fn shop_app_opened(&self, message: &AppMessage) -> Result<(), String> {
        self.real.get().unwrap().shop_app_opened(message)
    }
    async fn shop_app_uninstalled(&self, message: &AppMessage) -> Result<(), String> {
        self.real.get().unwrap().shop_app_uninstalled(message).await
    }
    async fn pushed(
        &self,
        token: &str,
        headers: std::collections::BTreeMap<String, String>,
        body: bytes::Bytes,
    ) -> Pushed {
        if token == "full" {
            return Pushed::Busy("too many messages wait".to_owned());
        }
        if token != "known" {
            return Pushed::Unknown;
        }
        let id = headers.get("webhook-id").cloned().unwrap_or_default();
        self.note(format!("pushed {id} {}", String::from_utf8_lossy(&body)));
        Pushed::Taken
    }
    fn push_challenge(&self, token: &str, query: &str) -> Option<(&'static str, String)> {
        (token == "known").then(|| ("application/json", format!("{{\"asked\":\"{query}\"}}")))
    }
    fn hook(&self, _: ConnectionId) -> Option<HookText> {
        Some(HookText {
            path: "/hooks/known".to_owned(),
            verification_token: Some(Secret::new("proof-that-the-address-is-ours-32")),
            ..HookText::default()
        })
    }
    fn connection_status(&self, _: ConnectionId) -> ConnectionStatus {
        ConnectionStatus {
            lag: Some(SignedDuration::from_secs(42)),
            quota: vec![QuotaText {
                operation: "searchOrders".to_owned(),
                left: "20 of 20 calls".to_owned(),
            }],
            progress: Some(ImportProgress { done: 120, estimate: Some(400) }),
            ..ConnectionStatus::default()
        }
    }
}

/// A site on a scratch folder.
pub struct Site {
    pub state: web::Data<AppState>,
    pub engine: Arc<Recorder>,
    pub clock: Arc<ManualClock>,
    pub connection: Connection,
    pub dir: TempDir,
}

/// An answer, read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The texts of all elements that fit, each with its white space drawn together.
    pub fn texts(&self, selector: &str) -> Vec<String> {
        let html = Html::parse_document(&self.body);
        let texts = |element: scraper::ElementRef<'_>| element.text().collect::<String>();
        html.select(&Selector::parse(selector).unwrap())
            .map(|element| texts(element).split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    pub fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        let html = Html::parse_document(&self.body);
        let element = html.select(&Selector::parse(selector).unwrap()).next()?;
        element.value().attr(name).map(str::to_owned)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

impl Site {
    /// One Amazon connection, no orders, an owner `ada`.
    pub async fn new() -> Self {
        Self::at(None).await
    }

    /// The same, with a public address.
    pub async fn at(public_url: Option<&str>) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(now()));
        let entropy = Arc::new(Entropy::seeded(1));
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let store = Store::open(StoreOptions {
            dir: dir.path().to_owned(),
            memory_limit: "256MB".to_owned(),
            threads: 1,
            reader_count: 1,
            query_timeout: Duration::from_secs(20),
            row_cap: 10_000,
            free_space_floor_bytes: 0,
            zone: zone.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        })
        .unwrap();
        let vault = Arc::new(Vault::open(dir.path(), &KeySource::DataFolder).unwrap());
        store.set_report_key(vault.read(|document| document.report_key));
        let connection = add_connection(&store).await;
        let engine = Arc::new(Recorder::default());
        let state = web::Data::new(AppState {
            store,
            engine: engine.clone(),
            vault,
            clock: clock.clone(),
            entropy,
            calls: crate::http::CallCounts::default(),
            zone,
            network: Network { public_url: public_url.map(|url| url.parse().unwrap()), ..Network::default() },
            links: SignInLinks::default(),
            passes: Passes::default(),
            consents: crate::web::Consents::default(),
            sign_in_limit: SignInLimit::default(),
        });
        let site = Self { state, engine, clock, connection, dir };
        site.add_user("ada", Role::Owner);
        site
    }

    /// A user with the password `correct horse battery`.
    pub fn add_user(&self, name: &str, role: Role) -> UserId {
        let hash = hash_password(&Secret::new("correct horse battery")).unwrap();
        let add = |document: &mut crate::vault::Document| {
            let id = document.add_user(name, role, now()).unwrap();
            document.users.iter_mut().find(|user| user.id == id).unwrap().password_hash = Some(hash);
            UserId(id)
        };
        self.state.vault.update(add).unwrap()
    }

    pub fn add_token(&self, role: Role) -> String {
        let token = format!("token-of-{role}");
        self.state.vault.update(|document| document.add_api_token(&token, "script", role, now())).unwrap();
        token
    }

    /// Imports orders; `facts` are told apart by their external ids.
    pub async fn import(&self, facts: Vec<OrderFacts>) -> Vec<OrderNo> {
        let connection = self.connection.clone();
        let outcome = self
            .state
            .store
            .write(WriteLane::Interactive, move |tx| {
                let orders = facts
                    .iter()
                    .map(|facts| {
                        let payload = format!("{{\"orderId\":\"{}\"}}", facts.external_id);
                        ImportItem::new(
                            Some(facts.external_id.clone()),
                            payload,
                            Vec::new(),
                            Ok(facts.clone()),
                        )
                    })
                    .collect();
                let batch = ImportBatch {
                    connection: connection.clone(),
                    orders,
                    stream: None,
                    is_bulk: false,
                    now: now(),
                    actor: "sync".to_owned(),
                };
                orders::import(tx, &batch)
            })
            .await
            .unwrap();
        outcome.orders
    }

    pub async fn send(&self, request: test::TestRequest) -> Answer {
        let app = test::init_service(App::new().app_data(self.state.clone()).configure(configure)).await;
        let answer = test::call_service(&app, request.to_request()).await;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = to_bytes(answer.into_body()).await.map_err(|_| "no body").unwrap();
        Answer { status, headers, body: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// The cookie of a signed-in user.
    pub async fn session(&self, user: UserId) -> Cookie<'static> {
        let link = sign_in_link(&self.state, user);
        let app = test::init_service(App::new().app_data(self.state.clone()).configure(configure)).await;
        let answer = test::call_service(&app, test::TestRequest::get().uri(&link).to_request()).await;
        let cookie = answer.response().cookies().next().unwrap().into_owned();
        assert!(cookie.http_only().unwrap());
        cookie
    }

    pub async fn owner(&self) -> Cookie<'static> {
        self.session(UserId(1)).await
    }

    /// A page as the owner sees it.
    pub async fn get(&self, path: &str) -> Answer {
        let cookie = self.owner().await;
        self.send(test::TestRequest::get().uri(path).cookie(cookie)).await
    }

    /// A form as this site's own page sends it.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let cookie = self.owner().await;
        let request = test::TestRequest::post().uri(path).cookie(cookie).set_form(fields);
        self.send(request.insert_header(("Sec-Fetch-Site", "same-origin"))).await
    }

    /// An API call with a token.
    pub async fn api(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<serde_json::Value>,
    ) -> Answer {
        let mut request = test::TestRequest::with_uri(path)
            .method(method)
            .insert_header((header::AUTHORIZATION, format!("Bearer {token}")));
        if let Some(body) = body {
            request = request.set_json(body);
        }
        self.send(request).await
    }
}

async fn add_connection(store: &Store) -> Connection {
    store
        .write(WriteLane::Interactive, |tx| {
            let settings = ConnectionSettings {
                go_live: Some("2026-01-01T00:00:00Z".parse().unwrap()),
                ..ConnectionSettings::default()
            };
            let new = NewConnection {
                channel: ChannelName::from("amazon"),
                alias: "Amazon US".to_owned(),
                account: "SELLER1".to_owned(),
                base_url: None,
                settings,
                now: now(),
            };
            let id = connections::insert(tx, &new)?;
            Ok(connections::get(tx, id)?.unwrap())
        })
        .await
        .unwrap()
}

/// An order of 27.49 USD with two lines, placed `minutes` before now.
pub fn order(external_id: &str, minutes: i64) -> OrderFacts {
    let placed_at = now().checked_sub(SignedDuration::from_mins(minutes)).unwrap();
    let line = |id: &str, sku: &str, title: &str| LineFacts {
        external_id: id.to_owned(),
        sku: Some(sku.to_owned()),
        product_id: None,
        title: title.to_owned(),
        quantity: 1,
        quantity_shipped: 0,
        quantity_cancelled: 0,
        unit_price: None,
        options: None,
    };
    let amount = |line, kind, minor| Amount { line, kind, minor };
    OrderFacts {
        external_id: external_id.to_owned(),
        placed_at,
        updated_at: placed_at,
        status: OrderStatus::Open,
        is_paid: true,
        fulfilled_by: FulfilledBy::Seller,
        currency: "USD".parse::<Currency>().unwrap(),
        total_minor: 2749,
        lines: vec![line("L1", "MUG-1", "Mug, blue"), line("L2", "CUP-2", "Cup")],
        amounts: vec![
            amount(Some(0), AmountKind::Item, 1500),
            amount(Some(0), AmountKind::ItemTax, 150),
            amount(Some(1), AmountKind::Item, 1000),
            amount(None, AmountKind::Shipping, 499),
            amount(Some(1), AmountKind::SellerDiscount, -400),
        ],
        shipments: None,
        people: Some(People {
            buyer: Buyer { name: Some("Grace Example".to_owned()), ..Buyer::default() },
            ship_to: Some(Address {
                name: Some("Grace Example".to_owned()),
                street: vec!["1 Test Street".to_owned()],
                city: Some("Springfield".to_owned()),
                country: Some("US".to_owned()),
                ..Address::default()
            }),
            ..People::default()
        }),
        shipping_method: Some("Standard".to_owned()),
        payment_method: None,
        site: None,
        ship_by: None,
        deliver_by: None,
        origin: Origin::default(),
        platform_status: "Unshipped".to_owned(),
        cancel_request: None,
        customised_lines: Vec::new(),
        refunds: None,
    }
}

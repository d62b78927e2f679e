//! The app in the shop's control panel, against the simulated BigCommerce: installed, opened, linked, removed, forged.

use std::sync::Arc;
use std::time::Duration;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::site::{Answer, Site};
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::id::{ConnectionId, UserId};
use crate::domain::user::Role;
use crate::http::{Call, Transport, TransportError};
use crate::sim::{SimOptions, World};
use crate::store::{connections, shop_users};
use crate::sync::spool::Spool;
use crate::sync::{Engine, EngineParts, EngineSettings, Hooks};

const URL: &str = "https://eider.test";
const FRAME: (&str, &str) = ("Sec-Fetch-Dest", "iframe");
const ADA: [(&str, &str); 2] = [("name", "ada"), ("password", "correct horse battery")];
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

#[derive(Debug)]
struct InProcess(Arc<World>);

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, call: Call) -> Result<crate::http::Answer, TransportError> {
        let (parts, body) = self.0.handle("bigcommerce", &call.request).response.into_parts();
        Ok(crate::http::Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            duration: Duration::ZERO,
        })
    }
}

/// A site with a public address, its own engine, and a simulated store.
struct Panel {
    site: Site,
    world: Arc<World>,
    client_id: String,
    client_secret: String,
}

impl Panel {
    /// The app is set up; no store has installed it.
    async fn new() -> Self {
        let site = Site::at(Some(URL)).await;
        let options = SimOptions { orders: 0, rate_per_minute: 0, ..SimOptions::default() };
        let world = Arc::new(World::open(options, site.clock.clone()).unwrap());
        let engine = Engine::start(EngineParts {
            store: site.state.store.clone(),
            vault: Arc::clone(&site.state.vault),
            transport: Arc::new(InProcess(Arc::clone(&world))),
            clock: site.clock.clone(),
            entropy: Arc::clone(&site.state.entropy),
            settings: EngineSettings::default(),
            hooks: Hooks::new(Spool::open(site.dir.path()).unwrap(), None),
        })
        .await
        .unwrap();
        assert!(site.engine.real.set(engine).is_ok());
        let listed = world.connections(|platform| format!("http://{platform}.test"));
        let credential = |name: &str| listed[0]["credentials"][name].as_str().unwrap().to_owned();
        let panel = Self {
            client_id: credential("client_id"),
            client_secret: credential("client_secret"),
            site,
            world,
        };
        let kept = panel.set_up("http://bigcommerce.test").await;
        assert_eq!(kept.status, StatusCode::SEE_OTHER, "{}", kept.body);
        panel
    }

    async fn set_up(&self, base_url: &str) -> Answer {
        let (id, secret) = (self.client_id.as_str(), self.client_secret.as_str());
        let fields = [("client_id", id), ("client_secret", secret), ("base_url", base_url)];
        self.site.post("/settings/bigcommerce-app", &fields).await
    }

    /// What a deed of the simulated store answers.
    fn deed(&self, name: &str, body: &Value) -> Value {
        let request = Request::post(format!("/_sim/{name}")).body(Bytes::from(body.to_string())).unwrap();
        let response = self.world.handle("bigcommerce", &request).response;
        assert!(response.status().is_success(), "{name}: {response:?}");
        serde_json::from_slice(response.body()).unwrap()
    }

    fn grant(&self) -> String {
        let grant = self.deed("app_install", &json!({}));
        let mut query = form_urlencoded::Serializer::new(String::new());
        for name in ["code", "scope", "context", "account_uuid"] {
            query.append_pair(name, grant[name].as_str().unwrap());
        }
        format!("/bigcommerce/auth?{}", query.finish())
    }

    /// The address that the control panel opens.
    fn signed(&self, path: &str, who: &Value) -> String {
        let signed = self.deed("app_load", who);
        format!("/bigcommerce/{path}?signed_payload_jwt={}", signed["signed_payload_jwt"].as_str().unwrap())
    }

    async fn frame(&self, path: &str) -> Answer {
        self.site.send(TestRequest::get().uri(path).insert_header(FRAME)).await
    }

    async fn framed(&self, path: &str, cookie: &Cookie<'static>) -> Answer {
        self.site.send(TestRequest::get().uri(path).insert_header(FRAME).cookie(cookie.clone())).await
    }

    async fn link(&self, page: &Answer, fields: &[(&str, &str)]) -> Answer {
        let pass = page.attribute("input[name=pass]", "value").unwrap();
        let mut all = vec![("pass", pass.as_str())];
        all.extend(fields);
        let request = TestRequest::post().uri("/bigcommerce/link").insert_header(FRAME).insert_header(OWN);
        self.site.send(request.set_form(all)).await
    }

    async fn store_connection(&self) -> Option<Connection> {
        let all = self.site.state.store.read(connections::all).await.unwrap();
        all.into_iter().find(|known| known.channel.as_str() == "bigcommerce")
    }

    fn credential(&self, connection: ConnectionId, name: &str) -> Option<String> {
        self.site.state.vault.read(|document| document.connections.get(&connection.0)?.get(name).cloned())
    }

    /// An owner says in the settings who somebody of the control panel is.
    async fn agree(&self, shop_user: i64, user: UserId) {
        let path = format!("/settings/shop-users/{shop_user}/link");
        let agreed = self.site.post(&path, &[("user", &user.to_string())]).await;
        assert_eq!(agreed.status, StatusCode::SEE_OTHER, "{}", agreed.body);
    }

    /// Installed, and its owner linked to the site's.
    async fn installed(&self) -> Cookie<'static> {
        let page = self.frame(&self.grant()).await;
        self.link(&page, &ADA).await;
        self.agree(1, UserId(1)).await;
        cookie(&self.frame(&self.signed("load", &json!({}))).await)
    }

    /// Somebody of the store who is linked to a staff account.
    async fn colleague(&self, user_id: i64, name: &str) -> (Value, UserId) {
        let who = json!({"user_id": user_id});
        self.frame(&self.signed("load", &who)).await;
        let user = self.site.add_user(name, Role::Staff);
        let people = self.site.state.store.read(shop_users::all).await.unwrap();
        self.agree(people.last().unwrap().id, user).await;
        (who, user)
    }

    fn stores(&self) -> Vec<String> {
        let app = self.site.engine.real.get().unwrap().shop_app().unwrap();
        app.stores.into_iter().collect()
    }
}

fn cookie(answer: &Answer) -> Cookie<'static> {
    let set = answer.header("set-cookie").to_owned();
    assert!(set.starts_with("__Host-eider_panel="), "{} {set} {}", answer.status, answer.body);
    Cookie::parse(set).unwrap().into_owned()
}

#[actix_web::test]
async fn a_store_installs_the_app_and_its_owner_works_in_the_frame() {
    let panel = Panel::new().await;
    let page = panel.frame(&panel.grant()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let text = page.texts("main").join(" ");
    assert!(text.contains("BigCommerce user 1001 (owner@store.example) has no account here"), "{text}");
    let shop = panel.store_connection().await.unwrap();
    assert_eq!((shop.account.as_str(), shop.state), ("eidersim01", ConnectionState::Active));
    assert!(panel.credential(shop.id, "access_token").is_some());
    assert_eq!(panel.credential(shop.id, "client_secret").unwrap(), panel.client_secret);

    let wrong = panel.link(&page, &[("name", "ada"), ("password", "wrong")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let waits = panel.link(&page, &ADA).await;
    assert_eq!((waits.status, waits.header("set-cookie")), (StatusCode::OK, ""), "{}", waits.body);
    assert!(waits.texts("main").join(" ").contains("signed in as ada, and an owner has to agree"));
    assert_eq!(panel.link(&page, &ADA).await.status, StatusCode::CONFLICT, "a page links once");
    let still = panel.frame(&panel.signed("load", &json!({}))).await;
    assert_eq!((still.status, still.header("set-cookie")), (StatusCode::OK, ""), "nobody has agreed");
    let settings = panel.site.get("/settings").await.texts("#shop-users").join(" ");
    assert!(settings.contains("Signed in as ada (owner) and waits for your yes"), "{settings}");
    panel.agree(1, UserId(1)).await;
    let entered = panel.frame(&panel.signed("load", &json!({}))).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.body);

    let set = entered.header("set-cookie").to_owned();
    for attribute in ["; HttpOnly", "; SameSite=None", "; Secure", "; Path=/", "; Partitioned"] {
        assert!(set.contains(attribute), "{set} lacks {attribute}");
    }
    assert!(!set.contains("Domain"), "{set}");
    let session = cookie(&entered);
    let opened = panel.framed(entered.header("location"), &session).await;
    assert_eq!((opened.status, opened.header("location")), (StatusCode::SEE_OTHER, "/"));
    let orders = panel.framed("/orders", &session).await;
    assert_eq!(orders.status, StatusCode::OK);
    let policy = orders.header("content-security-policy");
    assert!(policy.contains("frame-ancestors https://store-eidersim01.mybigcommerce.com"), "{policy}");
    assert!(!policy.contains("*.mybigcommerce"), "{policy}");
    assert_eq!(orders.header("x-frame-options"), "");

    let again = panel.frame(&panel.signed("load", &json!({}))).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "known from now on");
    cookie(&again);
}

#[actix_web::test]
async fn a_code_works_once_and_a_new_one_renews_the_token_and_keeps_the_settings() {
    let panel = Panel::new().await;
    let grant = panel.grant();
    assert_eq!(panel.frame(&grant).await.status, StatusCode::OK);
    let replay = panel.frame(&grant).await;
    assert_eq!(replay.status, StatusCode::CONFLICT);
    assert!(replay.texts("main").join(" ").contains("Install the app again"), "{}", replay.body);

    let before = panel.store_connection().await.unwrap();
    let token = panel.credential(before.id, "access_token").unwrap();
    let engine = panel.site.engine.real.get().unwrap();
    let update = crate::web::engine::ConnectionUpdate {
        alias: Some("Our shop".to_owned()),
        ..crate::web::engine::ConnectionUpdate::default()
    };
    engine.change_connection(before.id, update, "ada").await.unwrap();
    panel.deed("revoke", &json!({}));
    assert_eq!(panel.frame(&panel.grant()).await.status, StatusCode::OK);
    let after = panel.store_connection().await.unwrap();
    assert_eq!((after.id, after.alias.as_str()), (before.id, "Our shop"));
    assert_eq!(after.settings, before.settings);
    assert_ne!(panel.credential(after.id, "access_token").unwrap(), token);
}

#[actix_web::test]
async fn what_bigcommerce_did_not_sign_a_moment_ago_opens_nothing() {
    let panel = Panel::new().await;
    panel.installed().await;
    let now = panel.site.state.clock.now().as_second();
    let claims = |change: (&str, Value)| {
        let mut claims = json!({
            "aud": panel.client_id, "iss": "bc", "iat": now, "nbf": now, "exp": now + 86_400,
            "sub": "stores/eidersim01", "user": {"id": 1001}, "owner": {"id": 1001},
        });
        claims[change.0] = change.1;
        claims
    };
    let sign = |algorithm, secret: &str, claims: &Value| {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let secret = panel.client_secret.as_str();
    let good = sign(Algorithm::HS256, secret, &claims(("iss", json!("bc"))));
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", good.split('.').nth(1).unwrap());
    let cases = [
        ("another secret", sign(Algorithm::HS256, "other", &claims(("iss", json!("bc"))))),
        ("another algorithm", sign(Algorithm::HS384, secret, &claims(("iss", json!("bc"))))),
        ("no algorithm", none),
        ("another audience", sign(Algorithm::HS256, secret, &claims(("aud", json!("another"))))),
        ("another issuer", sign(Algorithm::HS256, secret, &claims(("iss", json!("me"))))),
        ("expired", sign(Algorithm::HS256, secret, &claims(("exp", json!(now - 3_600))))),
        ("from tomorrow", sign(Algorithm::HS256, secret, &claims(("iat", json!(now + 86_400))))),
        ("from an hour ago", sign(Algorithm::HS256, secret, &claims(("iat", json!(now - 3_600))))),
        ("nothing", String::new()),
    ];
    let mut texts = std::collections::BTreeSet::new();
    for (what, forged) in cases {
        let answer = panel.frame(&format!("/bigcommerce/load?signed_payload_jwt={forged}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}: {}", answer.body);
        assert_eq!(answer.header("set-cookie"), "", "{what}");
        texts.insert(answer.texts("main").join(" "));
        for path in ["uninstall", "remove_user"] {
            let answer = panel.frame(&format!("/bigcommerce/{path}?signed_payload_jwt={forged}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {what}");
        }
    }
    assert_eq!(texts.len(), 1, "the answer tells a forger something: {texts:?}");
    assert_eq!(panel.store_connection().await.unwrap().state, ConnectionState::Active);

    let elsewhere = sign(Algorithm::HS256, secret, &claims(("sub", json!("stores/other"))));
    let answer = panel.frame(&format!("/bigcommerce/load?signed_payload_jwt={elsewhere}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let opens = panel.frame(&format!("/bigcommerce/load?signed_payload_jwt={good}")).await;
    assert_eq!(opens.status, StatusCode::SEE_OTHER, "{}", opens.body);
}

#[actix_web::test]
async fn somebody_without_an_account_here_sees_nothing_until_an_owner_links_them() {
    let panel = Panel::new().await;
    panel.installed().await;
    let who = json!({"user_id": 12345, "email": "a@b.c"});
    let page = panel.frame(&panel.signed("load", &who)).await;
    assert_eq!((page.status, page.header("set-cookie")), (StatusCode::OK, ""));
    assert!(page.texts("main").join(" ").contains("BigCommerce user 12345 (a@b.c) has no account here"));

    let settings = panel.site.get("/settings").await;
    assert!(settings.texts("#shop-users").join(" ").contains("12345 (a@b.c)"), "{}", settings.body);
    let bob = panel.site.add_user("bob", Role::Staff);
    let bob = bob.to_string();
    let linked = panel.site.post("/settings/shop-users/2/link", &[("user", &bob)]).await;
    assert_eq!(linked.status, StatusCode::SEE_OTHER, "{}", linked.body);
    let session = cookie(&panel.frame(&panel.signed("load", &who)).await);
    assert_eq!(panel.framed("/orders", &session).await.status, StatusCode::OK);
    let not_his = panel.framed("/settings/bigcommerce-app", &session).await;
    assert_eq!(not_his.status, StatusCode::FORBIDDEN, "the role is the account's");

    let removed = panel.frame(&panel.signed("remove_user", &who)).await;
    assert_eq!(removed.status, StatusCode::OK);
    let out = panel.framed("/orders", &session).await;
    assert!(out.header("location").starts_with("/login"), "{}", out.status);
    assert!(panel.frame("/login").await.texts("main").join(" ").contains("Open the app again"));
    assert_eq!(panel.frame(&panel.signed("load", &who)).await.header("set-cookie"), "", "no access any more");
}

#[actix_web::test]
async fn an_owner_links_somebody_by_e_mail_before_they_come() {
    let panel = Panel::new().await;
    panel.installed().await;
    let shop = panel.store_connection().await.unwrap().id.to_string();
    let bob = panel.site.add_user("bob", Role::Warehouse).to_string();
    let fields = [("shop", shop.as_str()), ("person", "New@Store.example"), ("user", bob.as_str())];
    assert_eq!(panel.site.post("/settings/shop-users", &fields).await.status, StatusCode::SEE_OTHER);
    let bad = [("shop", shop.as_str()), ("person", "somebody"), ("user", bob.as_str())];
    assert_eq!(panel.site.post("/settings/shop-users", &bad).await.status, StatusCode::BAD_REQUEST);
    cookie(&panel.frame(&panel.signed("load", &json!({"user_id": 7, "email": "new@store.example"}))).await);
    // Known by the number from now on: whoever takes the e-mail over later is somebody else.
    let other =
        panel.frame(&panel.signed("load", &json!({"user_id": 8, "email": "new@store.example"}))).await;
    assert_eq!((other.status, other.header("set-cookie")), (StatusCode::OK, ""));
}

#[actix_web::test]
async fn where_the_cookie_does_not_come_back_a_link_opens_a_tab_once() {
    let panel = Panel::new().await;
    panel.installed().await;
    let entered = panel.frame(&panel.signed("load", &json!({}))).await;
    let page = panel.frame(entered.header("location")).await;
    let link = page.attribute("main a", "href").unwrap();
    assert_eq!(page.attribute("main a", "target").unwrap(), "_blank");
    let tab = panel.site.send(TestRequest::get().uri(&link)).await;
    let session = Cookie::parse(tab.header("set-cookie").to_owned()).unwrap().into_owned();
    assert_eq!((session.name(), tab.header("location")), ("eider_session", "/"));
    assert!(tab.header("set-cookie").contains("SameSite=Lax"));
    let orders = panel.site.send(TestRequest::get().uri("/orders").cookie(session)).await;
    assert_eq!(orders.status, StatusCode::OK);
    assert_eq!(panel.site.send(TestRequest::get().uri(&link)).await.status, StatusCode::NOT_FOUND, "once");

    let late = panel.frame(&panel.signed("load", &json!({}))).await;
    let link = panel.frame(late.header("location")).await.attribute("main a", "href").unwrap();
    panel.site.clock.advance(Duration::from_secs(60));
    assert_eq!(panel.site.send(TestRequest::get().uri(&link)).await.status, StatusCode::NOT_FOUND, "60 s");

    let kept = panel.frame(&panel.signed("load", &json!({}))).await;
    panel.framed(kept.header("location"), &cookie(&kept)).await;
    let unused = kept.header("location").replace("opened?pass=", "tab/");
    assert_eq!(panel.site.send(TestRequest::get().uri(&unused)).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn forms_of_the_frame_work_and_those_of_the_panel_around_it_do_not() {
    let panel = Panel::new().await;
    let session = panel.installed().await;
    let send = async |headers: &[(&'static str, &'static str)]| {
        let mut request = TestRequest::post().uri("/connections/1/sync").cookie(session.clone());
        for header in headers {
            request = request.insert_header(*header);
        }
        panel.site.send(request).await
    };
    let own = send(&[OWN, FRAME]).await;
    assert_eq!(own.status, StatusCode::SEE_OTHER);
    let notice = own.header("set-cookie");
    assert!(notice.starts_with("eider_notice="), "{notice}");
    assert!(notice.contains("SameSite=None; ") && notice.ends_with("; Partitioned"), "{notice}");
    let panel_host = ("Origin", "https://store-eidersim01.mybigcommerce.com");
    let around = send(&[("Sec-Fetch-Site", "cross-site"), panel_host]).await;
    assert_eq!(around.status, StatusCode::FORBIDDEN);
    assert_eq!(send(&[panel_host]).await.status, StatusCode::FORBIDDEN);
    let out = panel.site.send(
        TestRequest::post().uri("/logout").cookie(session.clone()).insert_header(OWN).insert_header(FRAME),
    );
    let out = out.await;
    let gone: Vec<&str> = out.headers.get_all("set-cookie").map(|value| value.to_str().unwrap()).collect();
    assert!(gone.iter().any(|set| set.starts_with("__Host-eider_panel=;") && set.contains("Partitioned")));
    assert!(panel.framed("/orders", &session).await.header("location").starts_with("/login"));
}

#[actix_web::test]
async fn an_uninstalled_app_ends_the_sessions_and_waits_for_a_new_installation() {
    let panel = Panel::new().await;
    let session = panel.installed().await;
    let signed = panel.deed("app_uninstall", &json!({}))["signed_payload_jwt"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let answer = panel.frame(&format!("/bigcommerce/uninstall?signed_payload_jwt={signed}")).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let shop = panel.store_connection().await.unwrap();
    assert_eq!(shop.state, ConnectionState::NeedsReauthorisation);
    assert!(shop.state_note.unwrap().contains("Install it again"));
    assert!(panel.framed("/orders", &session).await.header("location").starts_with("/login"));
    let login = panel.frame("/login").await;
    assert_eq!(login.header("x-frame-options"), "DENY", "no store shows our pages any more");
    let people = panel.site.state.store.read(shop_users::all).await.unwrap();
    assert_eq!(people[0].user, Some(UserId(1)), "nothing is deleted");

    let back = panel.frame(&panel.grant()).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "linked as before: {}", back.body);
    assert_eq!(panel.store_connection().await.unwrap().state, ConnectionState::Active);
}

#[actix_web::test]
async fn the_stores_owner_makes_the_first_account_and_nobody_else_does() {
    let panel = Panel::new().await;
    panel.site.state.vault.update(|document| document.users.clear()).unwrap();
    let chosen =
        [("name", "grace"), ("password", "correct horse battery"), ("repeated", "correct horse battery")];
    panel.frame(&panel.grant()).await;
    let staff = panel.frame(&panel.signed("load", &json!({"user_id": 5}))).await;
    assert_eq!(panel.link(&staff, &chosen).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let owner = panel.frame(&panel.signed("load", &json!({}))).await;
    let short = [("name", "grace"), ("password", "short"), ("repeated", "short")];
    assert_eq!(panel.link(&owner, &short).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let session = cookie(&panel.link(&owner, &chosen).await);
    assert_eq!(panel.framed("/settings/bigcommerce-app", &session).await.status, StatusCode::OK);
    assert!(crate::web::setup_link(&panel.site.state).unwrap().is_none());
}

#[actix_web::test]
async fn without_an_app_or_https_nothing_is_framed_and_the_page_says_what_is_needed() {
    let plain = Site::new().await;
    let page = plain.get("/orders").await;
    assert!(page.header("content-security-policy").ends_with("frame-ancestors 'none'"));
    assert_eq!(page.header("x-frame-options"), "DENY");
    for path in ["/bigcommerce/auth?code=a&context=stores/b", "/bigcommerce/load?signed_payload_jwt=a"] {
        let answer = plain.send(TestRequest::get().uri(path)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY");
    }
    let app = plain.get("/settings/bigcommerce-app").await;
    assert!(app.texts(".notice").join(" ").contains("public HTTPS address"), "{}", app.body);
    assert!(!app.body.contains("/bigcommerce/auth"));

    let panel = Panel::new().await;
    let app = panel.site.get("/settings/bigcommerce-app").await;
    let addresses = app.texts("dd.id");
    assert_eq!(
        addresses,
        ["auth", "load", "uninstall", "remove_user"].map(|name| format!("{URL}/bigcommerce/{name}"))
    );
    assert!(!app.body.contains(&panel.client_secret));
}

#[actix_web::test]
async fn the_secret_never_travels_to_another_address_by_a_change_of_the_base_url_alone() {
    let panel = Panel::new().await;
    let fields = [("client_id", panel.client_id.as_str()), ("base_url", "http://evil.test")];
    let moved = panel.site.post("/settings/bigcommerce-app", &fields).await;
    assert_eq!(moved.status, StatusCode::UNPROCESSABLE_ENTITY);
    let held = |panel: &Panel| panel.site.engine.real.get().unwrap().shop_app().unwrap().base_url;
    assert_eq!(held(&panel).unwrap(), "http://bigcommerce.test");
    let same = [("client_id", panel.client_id.as_str()), ("base_url", "http://bigcommerce.test")];
    assert_eq!(panel.site.post("/settings/bigcommerce-app", &same).await.status, StatusCode::SEE_OTHER);
    let staff = panel.site.session(panel.site.add_user("bob", Role::Manager)).await;
    let request = TestRequest::get().uri("/settings/bigcommerce-app").cookie(staff);
    assert_eq!(panel.site.send(request).await.status, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn a_link_ends_with_its_account_and_nobody_else_gets_its_number() {
    let panel = Panel::new().await;
    panel.installed().await;
    let (who, bob) = panel.colleague(12345, "bob").await;
    cookie(&panel.frame(&panel.signed("load", &who)).await);
    let gone = panel.site.post(&format!("/settings/users/{bob}/remove"), &[]).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER);
    let people = panel.site.state.store.read(shop_users::all).await.unwrap();
    assert_eq!((people[0].user, people[1].user), (Some(UserId(1)), None));
    assert_ne!(panel.site.add_user("eve", Role::Owner), bob);
    assert_eq!(panel.frame(&panel.signed("load", &who)).await.header("set-cookie"), "");
}

#[actix_web::test]
async fn nobody_is_led_to_link_an_account_to_somebody_else() {
    let panel = Panel::new().await;
    panel.installed().await;
    let who = json!({"user_id": 12345});
    let sent = panel.signed("load", &who);
    let request = TestRequest::get().uri(&sent).insert_header(("Sec-Fetch-Dest", "document"));
    let tab = panel.site.send(request).await;
    assert_eq!(tab.status, StatusCode::CONFLICT);
    assert!(tab.texts("main").join(" ").contains("Open Eider in the store's control panel"), "{}", tab.body);

    let page = panel.frame(&sent).await;
    let policy = page.header("content-security-policy");
    assert!(policy.ends_with("frame-ancestors https://store-eidersim01.mybigcommerce.com"), "{policy}");
    let wrong = panel.link(&page, &[("name", "ada"), ("password", "wrong")]).await;
    let policy = wrong.header("content-security-policy");
    assert!(policy.ends_with("frame-ancestors https://store-eidersim01.mybigcommerce.com"), "{policy}");
    panel.site.add_user("max", Role::Manager);
    let mighty = panel.link(&page, &[("name", "max"), ("password", "correct horse battery")]).await;
    assert_eq!(mighty.header("set-cookie"), "", "a manager's account waits, too");
    panel.site.add_user("bob", Role::Staff);
    let page = panel.frame(&panel.signed("load", &who)).await;
    cookie(&panel.link(&page, &[("name", "bob"), ("password", "correct horse battery")]).await);
}

#[actix_web::test]
async fn a_page_links_the_person_that_it_was_made_for_and_no_later_one() {
    let panel = Panel::new().await;
    panel.installed().await;
    let page = panel.frame(&panel.signed("load", &json!({"user_id": 5}))).await;
    panel.site.post("/settings/shop-users/2/unlink", &[]).await;
    panel.frame(&panel.signed("load", &json!({"user_id": 6}))).await;
    let people = panel.site.state.store.read(shop_users::all).await.unwrap();
    assert_eq!((people[1].id, people[1].external_id.as_deref()), (2, Some("6")), "the number is given again");
    panel.site.add_user("bob", Role::Staff);
    let late = panel.link(&page, &[("name", "bob"), ("password", "correct horse battery")]).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
}

#[actix_web::test]
async fn what_opens_the_app_neither_uninstalls_it_nor_removes_anybody_nor_opens_it_again() {
    let panel = Panel::new().await;
    let session = panel.installed().await;
    let shop = panel.store_connection().await.unwrap();
    let (who, _) = panel.colleague(12345, "bob").await;
    let opened = panel.signed("load", &who);
    panel.frame(&opened.replace("/load?", "/uninstall?")).await;
    assert_eq!(panel.store_connection().await.unwrap().state, ConnectionState::Active);
    assert_eq!(panel.framed("/orders", &session).await.status, StatusCode::OK, "its token works");
    assert_eq!(panel.stores(), ["eidersim01"]);

    cookie(&panel.frame(&opened).await);
    assert_eq!(panel.frame(&opened).await.status, StatusCode::BAD_REQUEST, "once");
    let removed = panel.frame(&opened.replace("/load?", "/remove_user?")).await;
    assert_eq!(removed.status, StatusCode::BAD_REQUEST);
    let removes = panel.signed("remove_user", &who);
    for _ in 0..2 {
        assert_eq!(panel.frame(&removes).await.status, StatusCode::OK);
    }
    assert_eq!(
        panel.frame(&removes.replace("/remove_user?", "/load?")).await.status,
        StatusCode::BAD_REQUEST
    );

    let engine = panel.site.engine.real.get().unwrap();
    engine.pause(shop.id, "ada").await.unwrap();
    let signed = panel.deed("app_uninstall", &json!({}))["signed_payload_jwt"].as_str().unwrap().to_owned();
    panel.frame(&format!("/bigcommerce/uninstall?signed_payload_jwt={signed}")).await;
    assert_eq!(panel.store_connection().await.unwrap().state, ConnectionState::Paused, "as somebody left it");
    assert!(panel.stores().is_empty());
}

#[actix_web::test]
async fn who_opens_the_app_brings_the_frame_back_unless_it_was_uninstalled_since() {
    let panel = Panel::new().await;
    panel.installed().await;
    let forget = |document: &mut crate::vault::Document| document.shop_app.as_mut().unwrap().stores.clear();
    panel.site.state.vault.update(forget).unwrap();
    let before = panel.signed("load", &json!({}));
    panel.frame(&panel.signed("load", &json!({}))).await;
    assert_eq!(panel.stores(), ["eidersim01"]);
    let signed = panel.deed("app_uninstall", &json!({}))["signed_payload_jwt"].as_str().unwrap().to_owned();
    panel.frame(&format!("/bigcommerce/uninstall?signed_payload_jwt={signed}")).await;
    panel.frame(&before).await;
    assert!(panel.stores().is_empty(), "written before");
    panel.frame(&panel.grant()).await;
    assert_eq!(panel.stores(), ["eidersim01"]);
}

#[actix_web::test]
async fn an_owner_without_a_password_is_an_owner_and_no_name_is_taken_over() {
    let panel = Panel::new().await;
    panel.site.state.vault.update(|document| document.users[0].password_hash = None).unwrap();
    panel.frame(&panel.grant()).await;
    let chosen =
        |name| [("name", name), ("password", "correct horse battery"), ("repeated", "correct horse battery")];
    let page = panel.frame(&panel.signed("load", &json!({}))).await;
    assert_eq!(panel.link(&page, &chosen("grace")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let demote = |document: &mut crate::vault::Document| document.users[0].role = Role::Staff;
    panel.site.state.vault.update(demote).unwrap();
    let page = panel.frame(&panel.signed("load", &json!({}))).await;
    assert_eq!(panel.link(&page, &chosen("Ada")).await.status, StatusCode::CONFLICT);
    assert_eq!(panel.link(&page, &chosen("grace")).await.status, StatusCode::CONFLICT, "the page is used up");
    let users = panel.site.state.vault.read(|document| document.users.clone());
    assert_eq!((users.len(), users[0].password_hash.as_deref()), (1, None));
}

#[actix_web::test]
async fn access_from_a_control_panel_ends_with_the_day_the_password_and_the_app() {
    let panel = Panel::new().await;
    panel.installed().await;
    let (who, bob) = panel.colleague(12345, "bob").await;
    let session = cookie(&panel.frame(&panel.signed("load", &who)).await);
    let is_in =
        async |session: &Cookie<'static>| panel.framed("/orders", session).await.status == StatusCode::OK;
    for _ in 0..23 {
        panel.site.clock.advance(Duration::from_secs(3_600));
        assert!(is_in(&session).await);
    }
    panel.site.clock.advance(Duration::from_secs(3_600));
    assert!(!is_in(&session).await, "a day, however it was used");

    let session = cookie(&panel.frame(&panel.signed("load", &who)).await);
    panel.site.post(&format!("/settings/users/{bob}/password"), &[]).await;
    assert!(!is_in(&session).await);
    assert_eq!(
        panel.frame(&panel.signed("load", &who)).await.header("set-cookie"),
        "",
        "the link is gone, too"
    );

    panel.agree(2, bob).await;
    let session = cookie(&panel.frame(&panel.signed("load", &who)).await);
    assert!(is_in(&session).await);
    let forgotten = panel.site.post("/settings/bigcommerce-app/remove", &[]).await;
    assert_eq!(forgotten.status, StatusCode::SEE_OTHER);
    assert!(!is_in(&session).await);
}

#[actix_web::test]
async fn a_link_into_a_tab_opens_nothing_once_the_access_has_ended_nor_for_another_site() {
    let panel = Panel::new().await;
    panel.installed().await;
    let (who, _) = panel.colleague(12345, "bob").await;
    let tab = async || {
        let entered = panel.frame(&panel.signed("load", &who)).await;
        panel.frame(entered.header("location")).await.attribute("main a", "href").unwrap()
    };
    let open = async |link: &str, site: &'static str| {
        let request = TestRequest::get().uri(link).insert_header(("Sec-Fetch-Site", site));
        panel.site.send(request).await.status
    };
    let link = tab().await;
    assert_eq!(open(&link, "cross-site").await, StatusCode::FORBIDDEN);
    assert_eq!(open(&link, "same-origin").await, StatusCode::SEE_OTHER, "it was not used up");
    let link = tab().await;
    panel.agree(2, UserId(1)).await;
    assert_eq!(open(&link, "same-origin").await, StatusCode::NOT_FOUND, "it was for another account");
    let link = tab().await;
    panel.site.post("/settings/shop-users/2/unlink", &[]).await;
    assert_eq!(open(&link, "same-origin").await, StatusCode::NOT_FOUND);
}

//! What the pages say of connections, and what their forms ask of the engine.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;

use super::site::{Site, now};
use crate::domain::connection::{ConnectionSettings, ConnectionState};
use crate::domain::id::{ChannelName, ConnectionId};
use crate::domain::user::Role;
use crate::store::connections::NewConnection;
use crate::store::incidents::{self, NewIncident};
use crate::store::orders::{ImportBatch, ImportItem};
use crate::store::{WriteLane, connections, orders};

#[actix_web::test]
async fn a_connection_is_tested_before_it_is_saved() {
    let site = Site::new().await;
    let fields: Vec<(String, String)> = crate::channels::registry::CHANNELS
        .iter()
        .find(|info| info.name == "amazon")
        .unwrap()
        .credentials
        .iter()
        .map(|field| (format!("credential_{}", field.name), "value".to_owned()))
        .chain([("alias".to_owned(), "Amazon".to_owned())])
        .collect();
    let mut fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.push(("do", "test"));
    let tested = site.post("/connections/new/amazon", &fields).await;
    assert!(tested.texts("#test li").join(" ").contains("Orders: does not work add the role"));
    fields.pop();
    let missing = site.post("/connections/new/amazon", &fields[..1]).await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    let saved = site.post("/connections/new/amazon", &fields).await;
    assert_eq!(saved.header("location"), "/connections/1");
    assert_eq!(*site.engine.calls.lock().unwrap(), ["test amazon", "add amazon Amazon by ada"]);
}

#[actix_web::test]
async fn who_saves_an_app_whose_seller_has_not_agreed_is_told_what_comes_next() {
    let site = Site::new().await;
    let app = [("alias", "eBay"), ("credential_client_id", "app"), ("credential_client_secret", "s")];
    for (token, wanted) in
        [("", "Saved. Authorise it next"), ("v^1.1#x", "Connected. Its orders are being read")]
    {
        let mut fields = app.to_vec();
        fields.extend([("credential_refresh_token", token), ("do", "save")]);
        let saved = site.post("/connections/new/ebay", &fields).await;
        assert_eq!(saved.header("location"), "/connections/1", "{}", saved.body);
        let notice =
            percent_encoding::percent_decode_str(saved.header("set-cookie")).decode_utf8_lossy().into_owned();
        assert!(notice.contains(wanted), "{notice}");
    }
}

#[actix_web::test]
async fn connections_show_how_they_are_doing() {
    let site = Site::new().await;
    let text = site.get("/connections").await.texts("main").join(" ");
    for wanted in ["Amazon US", "Active", "42 s", "20 of 20 calls", "120 of about 400", "Sync now", "Pause"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    for path in ["/connections/1", "/connections/new/bigcommerce"] {
        assert_eq!(site.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[actix_web::test]
async fn a_handed_out_file_connects_a_shop_after_a_mistake_was_mended() {
    let site = Site::new().await;
    let text = "ACCESS TOKEN: tok\nCLIENT ID: cid\nCLIENT SECRET: sec\nAPI PATH: \
                https://api.bigcommerce.com/stores/abc123/v3/";
    let asked = site.get("/connections/new/bigcommerce").await;
    assert!(asked.texts("aside li").join(" ").contains("Store-level API accounts"), "{}", asked.body);
    let wrong = [("pasted", text), ("alias", "My shop"), ("poll_interval_s", "0"), ("do", "save")];
    let again = site.post("/connections/new/bigcommerce", &wrong).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(again.texts("[role=alert]").join(" ").contains("Seconds between two looks"), "{}", again.body);
    assert!(again.texts("textarea[name=pasted]").join(" ").contains("tok"), "what was typed is still there");
    assert_eq!(again.attribute("input[name=alias]", "value").as_deref(), Some("My shop"));
    let right = [("pasted", text), ("alias", "My shop"), ("do", "save")];
    assert_eq!(site.post("/connections/new/bigcommerce", &right).await.status, StatusCode::SEE_OTHER);
    let added = site.engine.requests.lock().unwrap().pop().unwrap();
    assert_eq!(added.credentials["store_hash"].expose(), "abc123");
    assert_eq!(added.credentials["access_token"].expose(), "tok");
}

#[actix_web::test]
async fn the_carriers_of_a_connection_are_edited_row_by_row() {
    let site = Site::new().await;
    let path = "/connections/1/settings";
    let shown = site.get("/connections/1").await;
    assert_eq!(shown.attribute(".carriers input", "name").as_deref(), Some("carrier_shop_0"));
    let mut fields =
        vec![("alias", "Amazon US"), ("carrier_shop_0", "Royal Mail"), ("carrier_code_0", "ROYAL_MAIL")];

    fields.push(("do", "add_carrier"));
    let added = site.post(path, &fields).await;
    assert_eq!((added.status, added.texts(".carriers tbody tr").len()), (StatusCode::OK, 2));
    assert_eq!(added.attribute(".carriers input", "value").as_deref(), Some("Royal Mail"));
    fields.pop();

    fields.extend([("carrier_shop_1", "UPS"), ("do", "save")]);
    let wrong = site.post(path, &fields).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.texts("[role=alert]"), ["Carriers: “UPS” lacks the marketplace’s code."]);
    assert_eq!(wrong.attribute("[aria-invalid]", "name").as_deref(), Some("carrier_shop_1"));
    assert!(site.engine.updates.lock().unwrap().is_empty(), "nothing was saved so far");

    fields.pop();
    fields.push(("do", "remove_carrier_1"));
    assert_eq!(
        site.post(path, &fields).await.attribute("[name=carrier_shop_1]", "value").as_deref(),
        Some("")
    );
    fields.retain(|(name, _)| !matches!(*name, "do" | "carrier_shop_1"));
    fields.push(("do", "save"));
    assert_eq!(site.post(path, &fields).await.header("location"), "/connections/1");
    let saved = site.engine.updates.lock().unwrap().pop().unwrap().settings.unwrap();
    assert_eq!(saved.carrier_map, [("Royal Mail".to_owned(), "ROYAL_MAIL".to_owned())].into());
}

#[actix_web::test]
async fn whoever_switches_stock_on_is_told_who_becomes_its_master() {
    let site = Site::new().await;
    let page = site.get("/connections/1").await.texts("form").join(" ");
    assert!(
        page.contains("Manage orders") && page.contains("Eider is the master of this connection’s stock")
    );
    let fields = [("alias", "Amazon US"), ("import_orders", "on"), ("manage_stock", "on"), ("do", "save")];
    let saved = site.post("/connections/1/settings", &fields).await;
    let notice =
        percent_encoding::percent_decode_str(saved.header("set-cookie")).decode_utf8_lossy().into_owned();
    assert!(notice.contains("Eider is now the master of stock on Amazon US."), "{notice}");
    let settings = site.engine.updates.lock().unwrap().pop().unwrap().settings.unwrap();
    assert!(settings.manage_stock && settings.import_orders && !settings.export_orders);
}

#[actix_web::test]
async fn what_ends_soon_is_a_banner_on_the_orders_page() {
    let site = Site::new().await;
    let mut settings = site.connection.settings.clone();
    settings.secret_made_on = Some("2025-09-10".parse().unwrap());
    settings.authorised_on = Some("2026-02-01".parse().unwrap());
    let write =
        move |tx: &mut crate::store::Tx<'_>| connections::update_settings(tx, ConnectionId(1), &settings);
    site.state.store.write(WriteLane::Interactive, write).await.unwrap();
    let card = site.get("/connections/1").await;
    let text = card.texts("main").join(" ");
    for wanted in ["ends on 2026-03-09, in 8 days", "ends on 2027-02-01, in 337 days"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert_eq!(card.attribute("[name=secret_made_on]", "value").as_deref(), Some("2025-09-10"));
    let banners = site.get("/orders").await.texts("main > .notice").join(" ");
    assert!(banners.contains("Amazon US: The app's client secret ends on 2026-03-09"), "{banners}");
    assert!(!banners.contains("2027"), "{banners}");
}

#[actix_web::test]
async fn every_state_of_a_connection_is_said_with_its_reason_and_since_when() {
    let site = Site::new().await;
    for (state, words) in [
        (ConnectionState::Paused, "Paused"),
        (ConnectionState::NeedsReauthorisation, "Needs re-authorisation"),
        (ConnectionState::Failing, "Failing"),
    ] {
        site.clock.advance(std::time::Duration::from_secs(3_600));
        let at = site.state.clock.now();
        let write = move |tx: &mut crate::store::Tx<'_>| {
            connections::set_state(tx, ConnectionId(1), state, Some("The note."), at)
        };
        site.state.store.write(WriteLane::Interactive, write).await.unwrap();
        let since = crate::web::shown::moment(at, &site.state.zone).text;
        for path in ["/connections", "/connections/1"] {
            let text = site.get(path).await.texts("main").join(" ");
            for wanted in [words, "The note.", &format!("since {since}")] {
                assert!(text.contains(wanted), "{wanted} on {path}: {text}");
            }
        }
        let banner = site.get("/orders").await.texts("main > .notice").join(" ");
        assert!(banner.contains(words) && banner.contains("The note."), "{banner}");
    }
}

#[actix_web::test]
async fn staff_may_sync_and_are_shown_no_more() {
    let site = Site::new().await;
    let cookie = site.session(site.add_user("bob", Role::Staff)).await;
    for path in ["/connections", "/connections/1"] {
        let page = site.send(TestRequest::get().uri(path).cookie(cookie.clone())).await;
        assert_eq!(page.texts("main button"), ["Sync now"], "{path}");
    }
}

#[actix_web::test]
async fn an_incident_stays_in_sight_until_somebody_closes_it() {
    let site = Site::new().await;
    let incident = NewIncident {
        connection: Some(ConnectionId(1)),
        order_no: None,
        kind: "second_appliance".to_owned(),
        text: "Another installation creates orders in this shop.".to_owned(),
        next_step: "Stop one of the two.".to_owned(),
    };
    let open = move |tx: &mut crate::store::Tx<'_>| incidents::open(tx, &incident, now());
    site.state.store.write(WriteLane::Interactive, open).await.unwrap();
    for path in ["/orders", "/connections"] {
        let text = site.get(path).await.texts("main").join(" ");
        assert!(
            text.contains("Another installation") && text.contains("Stop one of the two."),
            "{path}: {text}"
        );
    }
    for _ in 0..2 {
        assert_eq!(site.post("/incidents/1/close", &[]).await.header("location"), "/connections");
    }
    assert!(!site.get("/orders").await.body.contains("Another installation"));
}

#[actix_web::test]
async fn orders_that_cannot_be_read_are_listed_with_the_reason() {
    let site = Site::new().await;
    let batch = ImportBatch {
        connection: site.connection.clone(),
        orders: vec![ImportItem::new(
            Some("113-9".to_owned()),
            "{}".to_owned(),
            Vec::new(),
            Err(("orderItems[0]".to_owned(), "it has no quantity".to_owned())),
        )],
        stream: None,
        is_bulk: false,
        now: now(),
        actor: "sync".to_owned(),
    };
    site.state.store.write(WriteLane::Interactive, move |tx| orders::import(tx, &batch)).await.unwrap();
    let text = site.get("/connections").await.texts("main").join(" ");
    assert!(text.contains("113-9 Amazon US"), "{text}");
    assert!(text.contains("orderItems[0]: it has no quantity"), "{text}");
}

#[actix_web::test]
async fn a_platform_is_connected_on_its_own_page() {
    let site = Site::new().await;
    let fields = [
        ("alias", "eBay US"),
        ("credential_client_id", "app"),
        ("credential_client_secret", "cert"),
        ("credential_ru_name", "ru"),
        ("do", "consent"),
    ];
    let asked = site.post("/connections/new/ebay", &fields).await;
    assert_eq!(asked.status, StatusCode::OK, "{:?}", asked.texts("main"));
    let address = asked.attribute("main a.button", "href").unwrap();
    let state = asked.attribute("input[name=state]", "value").unwrap();
    assert_eq!(address, format!("https://platform.test/yes?state={state}"));
    assert_eq!(*site.engine.calls.lock().unwrap(), ["consent to ebay back to https://localhost/"]);

    let paste = |pasted: String| {
        let state = state.clone();
        let site = &site;
        async move { site.post("/connections/consent", &[("state", state.as_str()), ("pasted", &pasted)]).await }
    };
    let other = paste("https://localhost/?state=other&code=good".to_owned()).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert!(other.texts("main").join(" ").contains("belongs to another attempt"));
    let refused = paste(format!("https://localhost/?state={state}&error=access_denied")).await;
    assert!(refused.texts("main").join(" ").contains("access_denied"), "{:?}", refused.texts("main"));
    let wrong = paste("bad".to_owned()).await;
    assert!(wrong.texts("main").join(" ").contains("does not know this code"));
    assert!(site.engine.requests.lock().unwrap().is_empty());

    let connected = paste(format!("https://localhost/?state={state}&code=good")).await;
    assert_eq!(connected.header("location"), "/connections/1");
    let added = site.engine.requests.lock().unwrap().remove(0);
    let credential = |name: &str| added.credentials[name].expose().to_owned();
    assert_eq!([credential("client_id"), credential("refresh_token")], ["app", "fresh"]);
    assert_eq!(paste("good".to_owned()).await.status, StatusCode::CONFLICT, "it is good once");
}

#[actix_web::test]
async fn a_consent_of_another_account_says_what_to_do_and_changes_nothing() {
    let site = Site::new().await;
    let new = NewConnection {
        channel: ChannelName::from("ebay"),
        alias: "eBay US".to_owned(),
        account: "ma8vp1jySJC".to_owned(),
        base_url: None,
        settings: ConnectionSettings::default(),
        now: now(),
    };
    let add = site.state.store.write(WriteLane::Interactive, move |tx| connections::insert(tx, &new));
    let id = add.await.unwrap();
    let asked = site.post(&format!("/connections/{id}/authorise"), &[("do", "consent")]).await;
    assert_eq!(asked.status, StatusCode::OK, "{:?}", asked.texts("main"));
    let state = asked.attribute("input[name=state]", "value").unwrap();
    *site.engine.refusal.lock().unwrap() = Some("These are another account's.".to_owned());
    let fields = [("state", state.as_str()), ("pasted", "good")];
    let refused = site.post("/connections/consent", &fields).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.texts("main").join(" ").contains("These are another account's."), "{}", refused.body);
    assert!(site.engine.updates.lock().unwrap().is_empty());
    assert_eq!(site.post("/connections/consent", &fields).await.status, StatusCode::CONFLICT, "begin again");
}

#[actix_web::test]
async fn a_hooks_verification_token_is_shown_to_those_who_may_manage() {
    let site = Site::new().await;
    for (name, role, is_shown) in
        [("mia", Role::Manager, true), ("sam", Role::Staff, false), ("wim", Role::Warehouse, false)]
    {
        let user = site.add_user(name, role);
        let session = site.session(user).await;
        let request = TestRequest::get().uri("/connections/1").cookie(session);
        let page = site.send(request).await;
        assert_eq!(page.status, StatusCode::OK, "{name}");
        let shown = page.texts("#verification-token");
        assert_eq!(shown == ["proof-that-the-address-is-ours-32"], is_shown, "{name}: {shown:?}");
        assert_eq!(page.body.contains("proof-that"), is_shown, "{name}");
    }
}

#[actix_web::test]
async fn an_optional_credential_that_is_stored_can_be_taken_away() {
    let site = Site::new().await;
    let page = site.get("/connections/1").await;
    assert!(page.attribute("input[name=remove_credential_queue_url]", "type").is_some(), "{}", page.body);
    for name in ["seller_id", "region"] {
        let held = page.attribute(&format!("input[name=remove_credential_{name}]"), "type");
        assert_eq!(held, None, "{name}: needed, or not stored");
    }
    site.post("/connections/1/authorise", &[("remove_credential_queue_url", "on")]).await;
    let token = site.add_token(Role::Owner);
    let body = serde_json::json!({"credentials": {"queue_url": null, "region": ""}});
    site.api(actix_web::http::Method::PATCH, "/api/v1/connections/1", &token, Some(body)).await;
    let updates = site.engine.updates.lock().unwrap();
    let removed: Vec<Vec<&str>> =
        updates.iter().map(|update| update.removed.iter().map(String::as_str).collect()).collect();
    assert_eq!(removed, [["queue_url"], ["queue_url"]]);
    assert!(updates.iter().all(|update| update.credentials.is_empty()));
}

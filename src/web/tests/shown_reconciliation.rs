//! What the pages and the API say of compared days, replays and parked payloads, and what they ask of the engine.

use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use serde_json::json;

use super::site::{Site, now};
use crate::domain::id::ConnectionId;
use crate::domain::plan::{EventKind, NewEvent};
use crate::domain::user::Role;
use crate::store::orders::{ImportBatch, ImportItem, ImportOutcome};
use crate::store::reconciliation::Counts;
use crate::store::replays::ReplayStep;
use crate::store::{WriteLane, connections, events, orders, reconciliation, replays};

const BUYER: &str = "Grace Example";

/// Two compared days, one with a gap, one that somebody asked for, a replay under way, an event and an error.
async fn compared(site: &Site) {
    let id = ConnectionId(1);
    let write = move |tx: &mut crate::store::Tx<'_>| {
        let day = |text: &str| text.parse().unwrap();
        let full = Counts { platform: 40, held: 40, ..Counts::default() };
        reconciliation::save(tx, id, day("2026-02-27"), &full, now())?;
        let gap = Counts { platform: 31, held: 28, parked: 1, missing: 4, fetched: 2, only_here: 5 };
        reconciliation::save(tx, id, day("2026-02-28"), &gap, now())?;
        reconciliation::ask(tx, id, &[day("2026-03-01")], now())?;
        replays::begin(tx, id, now(), "{}", "ada", now())?;
        let outcome = ImportOutcome { new: 3, unchanged: 14, ..ImportOutcome::default() };
        let step = ReplayStep { replay_id: 1, cursor_json: "{}".to_owned(), is_last: false };
        replays::advance(tx, &step, &outcome, now())?;
        let event = NewEvent::new(EventKind::Reconciled, "Two orders were fetched.");
        events::add(tx, None, Some(id), &event, "reconciliation", None, now())?;
        connections::fail_stream(tx, id, "reconciliation", "The platform is down.", now())
    };
    site.state.store.write(WriteLane::Interactive, write).await.unwrap();
}

/// An order that arrived and could not be read.
async fn parked(site: &Site) {
    let payload = format!("{{\"orderId\":\"113-9\",\"buyer\":\"{BUYER}\"}}");
    let why = ("orderItems[0]".to_owned(), "it has no quantity".to_owned());
    let item =
        ImportItem::new(Some("113-9".to_owned()), "{\"$person\":0}".to_owned(), vec![payload], Err(why));
    let batch = ImportBatch {
        connection: site.connection.clone(),
        orders: vec![item],
        stream: None,
        is_bulk: false,
        now: now(),
        actor: "sync".to_owned(),
    };
    site.state.store.write(WriteLane::Interactive, move |tx| orders::import(tx, &batch)).await.unwrap();
}

#[actix_web::test]
async fn a_page_shows_each_day_with_its_gap_and_each_replay_with_its_counts() {
    let site = Site::new().await;
    let empty = site.get("/connections/1/reconciliation").await.texts("main").join(" ");
    assert!(empty.contains("No day was compared yet."), "{empty}");
    compared(&site).await;
    let page = site.get("/connections/1/reconciliation").await;
    let cells = |section: u8, row: u8| {
        page.texts(&format!("section:nth-of-type({section}) tbody tr:nth-child({row}) td")).join(" | ")
    };
    let at = "2026-03-01 13:00";
    assert_eq!(cells(1, 1), "2026-03-01 | Waiting |  | not yet");
    assert_eq!(cells(1, 2), format!("2026-02-28 | Orders missing | 31 | 28 | 1 | 4 | 2 | 5 | {at}"));
    assert_eq!(cells(1, 3), format!("2026-02-27 | Complete | 40 | 40 | 0 | 0 | 0 | 0 | {at}"));
    assert_eq!(cells(2, 1), format!("{at} | Running | {at} by ada | 17 | 3 | 0 | 14 | 0"));
    let text = page.texts("main").join(" ");
    assert!(text.contains("Two orders were fetched.") && text.contains("The platform is down."), "{text}");
    let linked = site.get("/connections/1").await.body;
    assert!(linked.contains("href=\"/connections/1/reconciliation\""));
    assert_eq!(site.get("/connections/9/reconciliation").await.status, StatusCode::NOT_FOUND);
    let metrics = site.get("/metrics").await.body;
    let line = "eider_missing_orders{connection=\"1\",alias=\"Amazon US\",channel=\"amazon\"} 2";
    assert!(metrics.lines().any(|known| known == line), "{metrics}");
}

#[actix_web::test]
async fn the_forms_ask_for_days_and_times_in_the_merchants_zone() {
    let site = Site::new().await;
    let path = "/connections/1/reconciliation";
    let asked = site.post(path, &[("from", "2026-02-01"), ("to", "2026-02-03")]).await;
    assert_eq!((asked.status, asked.header("location")), (StatusCode::SEE_OTHER, path));
    let wrong = site.post(path, &[("from", "yesterday"), ("to", "2026-02-03")]).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.body.contains("“yesterday” is no day"));
    site.post("/connections/1/replay", &[("from", "2026-02-01T10:30")]).await;
    site.post("/parked/7/replay", &[]).await;
    site.post("/connections/1/parked/replay", &[]).await;
    assert_eq!(
        *site.engine.calls.lock().unwrap(),
        [
            "reconcile 1 2026-02-01 to 2026-02-03 by ada",
            "replay 1 from 2026-02-01T09:30:00Z by ada",
            "replay payload 7 by ada",
            "replay parked of 1 by ada"
        ]
    );
}

#[actix_web::test]
async fn the_api_compares_days_and_reads_times_again() {
    let site = Site::new().await;
    compared(&site).await;
    let token = site.add_token(Role::Manager);
    let path = "/api/v1/connections/1/reconciliation";
    let days = site.api(Method::GET, path, &token, None).await.json();
    assert_eq!(days["data"][0]["day"], "2026-03-01");
    assert_eq!((&days["data"][0]["waiting"], &days["data"][0]["platform"]), (&json!(true), &json!(null)));
    assert_eq!((&days["data"][1]["missing"], &days["data"][1]["fetched"]), (&json!(4), &json!(2)));
    let replays = site.api(Method::GET, "/api/v1/connections/1/replay", &token, None).await.json();
    assert_eq!((&replays["data"][0]["read"], &replays["data"][0]["finished_at"]), (&json!(17), &json!(null)));
    let body = json!({"from": "2026-02-01", "to": "2026-02-03"});
    assert_eq!(site.api(Method::POST, path, &token, Some(body)).await.status, StatusCode::OK);
    let body = json!({"from": "2026-02-01T00:00:00Z"});
    let replayed = site.api(Method::POST, "/api/v1/connections/1/replay", &token, Some(body)).await;
    assert_eq!(replayed.json()["message"], "It is read again.");
    let wrong = site.api(Method::POST, path, &token, Some(json!({"from": "2026-02-01"}))).await;
    assert_eq!(
        (wrong.status, wrong.json()["code"].clone()),
        (StatusCode::BAD_REQUEST, json!("invalid_json"))
    );
    let staff = site.add_token(Role::Staff);
    let body = Some(json!({"from": "2026-02-01T00:00:00Z"}));
    let refused = site.api(Method::POST, "/api/v1/connections/1/replay", &staff, body).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn parked_payloads_are_listed_and_shown_to_those_who_may_see_people() {
    let site = Site::new().await;
    assert!(site.get("/parked").await.body.contains("Nothing is parked"));
    parked(&site).await;
    let page = site.get("/parked").await;
    let text = page.texts("main tbody tr").join(" ");
    for part in
        ["113-9", "Amazon US", "The order, fetched alone", "orderItems[0]: it has no quantity", "not yet"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!page.body.contains(BUYER), "a list names nobody");
    assert_eq!(page.texts("main button"), ["Read all of Amazon US again", "Read again"]);
    let address = page.attribute("main tbody a", "href").unwrap();
    assert!(site.get(&address).await.texts("pre").join(" ").contains(BUYER));
    assert_eq!(site.get("/parked/99").await.status, StatusCode::NOT_FOUND);

    let viewer = site.session(site.add_user("eve", Role::Analyst)).await;
    for path in ["/parked", address.as_str()] {
        let refused = site.send(TestRequest::get().uri(path).cookie(viewer.clone())).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    let (analyst, staff) = (site.add_token(Role::Analyst), site.add_token(Role::Staff));
    let list = site.api(Method::GET, "/api/v1/parked?connection=Amazon%20US", &staff, None).await.json();
    assert_eq!(list["data"][0]["place"], "orderItems[0]");
    let one = format!("/api/v1/parked/{}", list["data"][0]["payload_id"]);
    let whole = site.api(Method::GET, &one, &staff, None).await.json();
    assert!(whole["payload"].as_str().unwrap().contains(BUYER), "{whole}");
    for path in ["/api/v1/parked", one.as_str()] {
        assert_eq!(site.api(Method::GET, path, &analyst, None).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let done = site.api(Method::POST, "/api/v1/connections/1/parked/replay", &staff, None).await.json();
    assert_eq!(done, json!({"read": 2, "still_parked": 1}));
}

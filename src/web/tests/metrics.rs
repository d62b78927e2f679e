//! What Prometheus reads, and who may.

use std::net::SocketAddr;

use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;

use super::site::{Site, now, order};
use crate::domain::effect::{EffectKind, Lane, NewEffect};
use crate::domain::user::Role;
use crate::http::CallLabels;
use crate::store::{WriteLane, effects};

fn from(address: &str) -> TestRequest {
    TestRequest::get().uri("/metrics").peer_addr(address.parse::<SocketAddr>().unwrap())
}

#[actix_web::test]
async fn the_metrics_say_what_is_owed_how_late_it_is_and_what_was_called() {
    let site = Site::new().await;
    let no = site.import(vec![order("113-1", 5), order("113-2", 6)]).await[0];
    let owed = NewEffect {
        kind: EffectKind::RefreshOrder,
        revision: "1".to_owned(),
        connection: site.connection.id,
        lane: Lane::Orders,
        due_at: now(),
        held: None,
    };
    let open = move |tx: &mut crate::store::Tx<'_>| effects::open(tx, no, &owed).map(drop);
    site.state.store.write(WriteLane::Interactive, open).await.unwrap();
    let call = CallLabels { connection: 1, operation: "searchOrders", status: 429 };
    site.state.calls.get_or_create(&call).inc_by(3);
    let answer = site.send(from("127.0.0.1:40000")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        "eider_orders_imported_total 2",
        "eider_http_calls_total{connection=\"1\",operation=\"searchOrders\",status=\"429\"} 3",
        "eider_connection_lag_seconds{connection=\"1\",alias=\"Amazon US\",channel=\"amazon\"} 42",
        "eider_connection_state{connection=\"1\",alias=\"Amazon US\",state=\"active\"} 1",
        "eider_connection_state{connection=\"1\",alias=\"Amazon US\",state=\"paused\"} 0",
        "eider_open_effects{kind=\"refresh_order\",state=\"due\"} 1",
        "eider_open_incidents 0",
        "eider_parked_payloads 0",
        "# EOF",
    ] {
        assert!(answer.body.lines().any(|known| known == line), "{line}:\n{}", answer.body);
    }
    for begin in ["eider_store_write_seconds_count ", "eider_store_wal_bytes "] {
        assert!(answer.body.lines().any(|known| known.starts_with(begin)), "{begin}:\n{}", answer.body);
    }
}

#[actix_web::test]
async fn metrics_are_for_this_machine_and_for_tokens() {
    let site = Site::new().await;
    let token = site.add_token(Role::Analyst);
    assert_eq!(site.api(Method::GET, "/metrics", &token, None).await.status, StatusCode::OK);
    assert_eq!(site.api(Method::GET, "/metrics", "wrong", None).await.status, StatusCode::UNAUTHORIZED);
    for (request, is_allowed) in [
        (from("[::1]:40000"), true),
        (from("192.0.2.1:40000"), false),
        (from("127.0.0.1:40000").insert_header(("X-Forwarded-For", "192.0.2.1")), false),
        (from("127.0.0.1:40000").insert_header(("Via", "1.1 proxy")), false),
    ] {
        assert_eq!(site.send(request).await.status == StatusCode::OK, is_allowed);
    }
}
